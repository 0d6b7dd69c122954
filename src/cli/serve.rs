//! `kafkarium serve`: the cluster without the console. Facts go to standard output, one JSON object a line; SIGTERM and SIGINT end it in an
//! orderly way within a second.
//!
//! Deliberately not here: what a fact looks like as JSON (`events`), and the console (`up`).

use super::exit::{Exit, Failure, Outcome};
use super::host::HostArgs;
use super::output;
use super::ready::ReadyFile;
use super::{events, ports};
use crate::cluster::control_socket::ControlServer;
use crate::cluster::data_dir::DataDir;
use crate::cluster::live::{FactKind, LiveCluster, StartError};
use crate::cluster::options::ClusterOptions;
use crate::engine::observe::Event;
use crate::protocol::ids::TopicId;
use clap::Args;
use serde_json::{Value, json};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the cluster may take until a produce with acks=all would succeed.
const READY_TIME: Duration = Duration::from_secs(60);
/// How often it is looked whether a signal has come while nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Host a cluster without the console
#[derive(Debug, Clone, Args)]
pub struct Serve {
    #[command(flatten)]
    host: HostArgs,
}

/// A running cluster and the socket for its commands.
pub struct Hosted {
    /// The cluster.
    pub cluster: LiveCluster,
    _control: ControlServer,
}

/// Starts a cluster for a verb of the command line, with its control socket.
///
/// # Errors
/// If a port or the data are taken, or a setting is wrong: each with what the user can do.
pub fn host(args: &HostArgs, options: ClusterOptions) -> Result<Hosted, Failure> {
    let mut data = DataDir::open(&options.place).map_err(Failure::from)?;
    let socket = args.socket.clone().unwrap_or_else(|| data.default_socket());
    data.tell(Some(socket.clone())).map_err(Failure::from)?;
    let cluster = LiveCluster::start(options, data).map_err(refused)?;
    let control = ControlServer::bind(&socket, Arc::new(cluster.clone())).map_err(|error| {
        cluster.shut_down();
        Failure::new(Exit::Io, format!("{}: {error}", socket.display()))
    })?;
    Ok(Hosted { cluster, _control: control })
}

fn refused(error: StartError) -> Failure {
    match &error {
        StartError::PortInUse { address, free, wanted, .. } => {
            let port = address.port();
            // The same ports that the console's page offers.
            let count = u8::try_from(*wanted).unwrap_or(u8::MAX);
            let free = ports::free_range(address.ip(), port, count).map_or(*free, |(first, _)| first);
            let holder = ports::holder(port).map(|who| format!(" by {who}")).unwrap_or_default();
            let reason = format!("port {port} is in use{holder}; free ports begin at {free}: --port {free}");
            Failure::new(Exit::PortInUse, reason)
        }
        StartError::Setting { .. } => Failure::new(Exit::Usage, error.to_string()),
        _ => Failure::new(Exit::Io, error.to_string()),
    }
}

/// Becomes true when the process is asked to end.
///
/// # Errors
/// If the operating system gives no thread or no signal handler.
pub fn ending_signal() -> std::io::Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let is_ending = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_ending);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let context = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(context);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        flag.store(true, Ordering::Release);
    })?;
    Ok(is_ending)
}

impl Serve {
    /// Runs until a signal comes.
    pub fn run(&self) -> Outcome {
        let options = self.host.options(false)?;
        let is_ending = ending_signal()?;
        let ready = self.host.ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
        let hosted = host(&self.host, options)?;
        let cluster = &hosted.cluster;
        let bootstrap = cluster.bootstrap_servers();
        let mut teller = Teller::new(cluster);
        let told = await_ready(cluster, &mut teller, &is_ending);
        if told.is_err() || is_ending.load(Ordering::Acquire) {
            cluster.shut_down();
            return told;
        }
        output::narrate(&format!("kafkarium: ready at {bootstrap}"));
        if let Some(ready) = &ready {
            ready.write(&bootstrap)?;
        }
        teller.line(&json!({ "event": "ready", "bootstrap_servers": bootstrap }));
        let mut seen = 0;
        while !is_ending.load(Ordering::Acquire) {
            teller.catch_up();
            seen = cluster.wait_change(seen, LOOK_EVERY);
        }
        cluster.shut_down();
        drop(ready);
        Ok(())
    }
}

/// Waits until the cluster is ready or is asked to end, and tells meanwhile what happens.
fn await_ready(cluster: &LiveCluster, teller: &mut Teller, is_ending: &AtomicBool) -> Outcome {
    let until = Instant::now() + READY_TIME;
    loop {
        let ready = cluster.wait_ready(LOOK_EVERY);
        teller.catch_up();
        match ready {
            Err(error) if error.is_final || Instant::now() >= until => {
                return Err(Failure::new(Exit::Failed, format!("the brokers did not become ready: {error}")));
            }
            Err(_) if !is_ending.load(Ordering::Acquire) => {}
            _ => return Ok(()),
        }
    }
}

/// Writes facts as lines. Nobody reading them is no reason to stop.
struct Teller<'a> {
    cluster: &'a LiveCluster,
    /// The last fact written.
    last: u64,
    is_read: bool,
    /// Of all topics seen so far: what is told of a topic may be told when it is gone.
    names: BTreeMap<TopicId, String>,
}

impl Teller<'_> {
    fn new(cluster: &LiveCluster) -> Teller<'_> {
        Teller { cluster, last: 0, is_read: true, names: BTreeMap::new() }
    }

    fn line(&mut self, line: &Value) {
        self.is_read = self.is_read && output::json(line).is_ok();
    }

    /// Writes every fact that was not written yet.
    fn catch_up(&mut self) {
        let (facts, has_gap) = self.cluster.facts_after(self.last);
        if has_gap {
            self.line(&json!({ "event": "gap" }));
        }
        // The brokers are asked once for all names that are missing: a topic may be gone.
        let asked = OnceCell::new();
        for fact in facts {
            self.last = fact.number;
            let line = match &fact.kind {
                FactKind::Broker(kind) => {
                    let event = Event { id: fact.id, cause: fact.cause, at: fact.at, kind: kind.clone() };
                    events::to_json(&event, &|topic| {
                        let known = self.names.get(&topic);
                        known.or_else(|| asked.get_or_init(|| self.cluster.topic_names()).get(&topic)).cloned()
                    })
                }
                FactKind::Host(host) => {
                    Some(json!({ "at_ms": fact.at.as_millis(), "event": "host", "what": format!("{host:?}") }))
                }
            };
            if let Some(line) = line {
                self.line(&line);
            }
        }
        self.names.extend(asked.into_inner().into_iter().flatten());
    }
}

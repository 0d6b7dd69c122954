//! `kafkarium serve`: the cluster without the console. Events go to standard output, one JSON object a line; SIGTERM and SIGINT end it in an
//! orderly way within a second.

use super::exit::{Exit, Failure, Outcome};
use super::host::HostArgs;
use super::output;
use super::ready::ReadyFile;
use super::{events, ports};
use crate::cluster::control_socket::ControlServer;
use crate::cluster::data_dir::DataDir;
use crate::cluster::live::executor::Executor;
use crate::cluster::live::supervisor::{LiveCluster, Standing, StartError, Told};
use crate::cluster::options::ClusterOptions;
use crate::engine::observe::{EventKind, Scope};
use crate::protocol::ids::{PartitionId, TopicId};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How long the cluster may take until a produce with acks=all would succeed.
const READY_TIME: Duration = Duration::from_secs(60);

/// Host a cluster without the console
#[derive(Debug, Clone, Args)]
pub struct Serve {
    #[command(flatten)]
    host: HostArgs,
}

/// A running cluster with everything that belongs to it.
pub struct Hosted {
    /// The cluster.
    pub cluster: Arc<LiveCluster>,
    /// Its commands.
    pub executor: Executor,
    _control: ControlServer,
    _data: DataDir,
}

/// Starts a cluster for a verb of the command line.
pub fn host(
    args: &HostArgs,
    options: ClusterOptions,
    tell: Arc<dyn Fn(Told) + Send + Sync>,
) -> Result<Hosted, Failure> {
    let mut data = DataDir::open(&options.place).map_err(|error| Failure::new(Exit::DataInUse, error.to_string()))?;
    let (listen, first_port, brokers) = (options.listen, options.first_port, options.brokers);
    let cluster = LiveCluster::start(options, data.folder(), tell).map_err(|error| match error {
        StartError::PortTaken(port) => {
            let holder = ports::holder(port).map(|who| format!(" by {who}")).unwrap_or_default();
            let free = ports::free_range(listen, first_port, brokers);
            let offer = free.map(|(first, last)| format!("; {first} to {last} are free: --port {first}"));
            let reason = format!("port {port} is in use{holder}{}", offer.unwrap_or_default());
            Failure::new(Exit::PortInUse, reason)
        }
        StartError::Setting(reason) => Failure::new(Exit::Usage, reason),
        StartError::Io(error) => Failure::from(error),
    })?;
    let socket = args.socket.clone().unwrap_or_else(|| data.default_socket());
    let executor = Executor::new(Arc::clone(&cluster));
    let control = ControlServer::bind(&socket, Arc::new(executor.clone()))
        .map_err(|error| Failure::new(Exit::Io, format!("{}: {error}", socket.display())))?;
    data.tell(Some(socket)).map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
    Ok(Hosted { cluster, executor, _control: control, _data: data })
}

impl Serve {
    pub fn run(&self) -> Outcome {
        let options = self.host.options(false)?;
        let ready = self.host.ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
        let (sender, told) = mpsc::channel();
        let signals = sender.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tell: Arc<dyn Fn(Told) + Send + Sync> = {
            let sender = std::sync::Mutex::new(sender);
            Arc::new(move |told| {
                // Progress is far too much for a line each.
                if matches!(&told, Told::Event(_, event) if !event.kind.is_fact()) {
                    return;
                }
                let _ = sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).send(Some(told));
            })
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(wait_for_signal());
            let _ = signals.send(None);
        })?;
        let hosted = host(&self.host, options, tell)?;
        let bootstrap = hosted.cluster.bootstrap_servers();
        if !hosted.cluster.wait_ready(READY_TIME) {
            return Err(Failure::new(Exit::Failed, "the brokers did not become ready"));
        }
        output::narrate(&format!("kafkarium: ready at {bootstrap}"));
        if let Some(ready) = &ready {
            ready.write(&bootstrap)?;
        }
        output::json(&json!({ "event": "ready", "bootstrap_servers": bootstrap }))?;
        let mut names = Names::default();
        while let Ok(Some(told)) = told.recv() {
            names.learn(&hosted.cluster, &told);
            if let Some(line) = line_of(&told, &names) {
                output::json(&line)?;
            }
        }
        hosted.cluster.stop_all();
        drop(ready);
        Ok(())
    }
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let streams = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = streams else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// Topics' names: events carry ids.
#[derive(Default)]
struct Names {
    known: BTreeMap<TopicId, String>,
}

impl Names {
    fn learn(&mut self, cluster: &LiveCluster, told: &Told) {
        let Told::Event(_, event) = told else { return };
        let Some(PartitionId { topic, .. }) = partition_of(&event.kind) else { return };
        if !self.known.contains_key(&topic) && topic != TopicId::METADATA {
            for snapshot in cluster.snapshots(&Scope { partitions: Some(Vec::new()) }) {
                let names = snapshot.image.topics.iter().map(|(id, topic)| (*id, topic.name.clone()));
                self.known.extend(names);
            }
        }
    }
}

fn partition_of(kind: &EventKind) -> Option<PartitionId> {
    match kind {
        EventKind::LeaderElected { partition, .. }
        | EventKind::IsrChanged { partition, .. }
        | EventKind::BecameLeader { partition, .. }
        | EventKind::BecameFollower { partition, .. }
        | EventKind::Truncated { partition, .. }
        | EventKind::LogStartMoved { partition, .. }
        | EventKind::NotEnoughReplicas { partition } => Some(*partition),
        _ => None,
    }
}

fn line_of(told: &Told, names: &Names) -> Option<serde_json::Value> {
    match told {
        Told::Event(_, event) => events::to_json(event, &|id| names.known.get(&id).cloned()),
        Told::Standing(broker, standing) => {
            let (state, reason) = match standing {
                Standing::Running => ("running", None),
                Standing::Suspended => ("suspended", None),
                Standing::Stopped => ("stopped", None),
                Standing::Killed => ("killed", None),
                Standing::PowerLost => ("power lost", None),
                Standing::Crashed(reason) => ("crashed", Some(reason)),
            };
            Some(json!({ "event": "process", "broker": broker, "state": state, "reason": reason }))
        }
        Told::Line(line) => Some(json!({ "event": "log", "line": line })),
    }
}

//! The cluster's own clients: the demo workload, steady loads, records written and read once, and live tails. All of them talk TCP like
//! anybody's client.
//!
//! A [`Workload`] is a handle on tasks of one small runtime that its host lends; everything about records of loads goes through the
//! [`ledger`](super::ledger).
//!
//! Invariants: what is under way is bounded, so that a cluster that is down does not fill the memory; a load waits for its readers, so
//! that every record of it is followed; paused time produces nothing and slowed time less. Every task ends when it is stopped or the
//! handle goes.
//!
//! Deliberately not here: the protocol (`client`), connections (`dial`), what records of a load came to (`ledger`).

mod beat;
mod demo;
mod follow;
mod load;
mod once;
mod source;
mod steady;
mod tail;

pub(in crate::cluster) use beat::{Beat, Pace};
pub(in crate::cluster) use demo::{
    GROUP as DEMO_GROUP, READERS as DEMO_READERS, TOPICS as DEMO_TOPICS, create_topics as create_demo_topics,
};
pub use load::LoadStatus;
pub(in crate::cluster) use once::{Batch, NOTHING_FOR, Writing, reply, shown, start};
pub(in crate::cluster) use source::Source;

use super::command::{Consume, ConsumeCommand, Join, Produce, ProduceCommand, Reply};
use super::ledger::{Ledger, LoadId, Report};
use super::view::{Acks, ProduceDraft, ReadRequest, TailBatch, TailId};
use load::Load;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use steady::Steady;
use tail::Tail;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// The name of the demo workload among the loads.
pub const DEMO: &str = "demo";
/// After this long without success a command that writes or reads gives up.
pub(in crate::cluster) const PATIENCE: Duration = Duration::from_secs(30);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole after every operation, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wall time, in milliseconds since 1970 UTC.
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What all tasks share.
#[derive(Debug)]
struct Shared {
    bootstrap: Mutex<String>,
    ledger: Mutex<Ledger>,
    pace: Mutex<Pace>,
    /// When the ledger's times began.
    clock_ms: Mutex<u64>,
    /// A reader in a group that is silent for so long is out, in milliseconds.
    session_timeout_ms: u32,
}

impl Shared {
    fn bootstrap(&self) -> String {
        lock(&self.bootstrap).clone()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Workload {
    runtime: Handle,
    shared: Arc<Shared>,
    loads: Mutex<BTreeMap<String, Load>>,
    readers: Mutex<BTreeMap<String, Steady>>,
    tails: Mutex<BTreeMap<TailId, Tail>>,
    last_id: Mutex<u64>,
    /// Loads are told from those of earlier runs, whose records may still be there.
    run: u64,
}

impl Workload {
    /// Clients that run on a runtime and begin with these servers (`HOST:PORT,…`), whose `group.min.session.timeout.ms` is told: members
    /// with shorter sessions would not be let in. Nothing runs yet.
    pub fn new(runtime: Handle, bootstrap_servers: &str, min_session_timeout_ms: u64) -> Workload {
        let least = u32::try_from(min_session_timeout_ms).unwrap_or(u32::MAX);
        Workload {
            runtime,
            shared: Arc::new(Shared {
                bootstrap: Mutex::new(bootstrap_servers.to_owned()),
                ledger: Mutex::default(),
                pace: Mutex::default(),
                clock_ms: Mutex::default(),
                session_timeout_ms: least.max(follow::SESSION_TIMEOUT_MS),
            }),
            loads: Mutex::default(),
            readers: Mutex::default(),
            tails: Mutex::default(),
            last_id: Mutex::default(),
            run: wall_ms().unsigned_abs() << 12,
        }
    }

    /// Tasks that begin from now on begin with these servers.
    pub fn set_bootstrap_servers(&self, servers: &str) {
        servers.clone_into(&mut lock(&self.shared.bootstrap));
    }

    /// How cluster time runs: thousandths of real time; 0 while it stands still. Loads keep to it.
    pub fn set_pace(&self, permille: u32) {
        *lock(&self.shared.pace) = Pace { permille };
    }

    /// Cluster time, in milliseconds, for what the ledger says of moments.
    pub fn set_clock(&self, at_ms: u64) {
        *lock(&self.shared.clock_ms) = at_ms;
    }

    fn next_id(&self) -> u64 {
        let mut last = lock(&self.last_id);
        *last += 1;
        *last
    }

    /// Starts the demo workload: a stream of orders with keys, their payments and clicks, and two readers, the group `orders-app`. Its
    /// topics are created where they are missing. False if it runs already.
    pub fn start_demo(&self) -> bool {
        let id = LoadId(self.run + self.next_id());
        let shared = Arc::clone(&self.shared);
        self.begin(DEMO, || Load::demo(&self.runtime, shared, id))
    }

    /// Starts a steady load. False if one of its name runs.
    fn start_load(&self, produce: &Produce) -> bool {
        let id = LoadId(self.run + self.next_id());
        let shared = Arc::clone(&self.shared);
        let name = produce.load_name();
        self.begin(name, || Load::steady(&self.runtime, shared, id, produce.clone()))
    }

    fn begin(&self, name: &str, begin: impl FnOnce() -> Load) -> bool {
        let mut loads = lock(&self.loads);
        if loads.get(name).is_some_and(Load::runs) {
            return false;
        }
        loads.insert(name.to_owned(), begin());
        true
    }

    /// Ends the load of a name, or all, the demo included; the names of those that ran. What was under way is still followed for a
    /// moment.
    pub fn stop(&self, name: Option<&str>) -> Vec<String> {
        let loads = lock(&self.loads);
        let meant = loads.iter().filter(|(known, load)| load.runs() && name.is_none_or(|name| name == *known));
        let names: Vec<String> = meant.map(|(known, _)| known.clone()).collect();
        names.iter().for_each(|name| loads[name].stop());
        names
    }

    /// A topic is deleted, or about to be: loads that write to it alone end, and its records are no longer followed.
    pub fn topic_deleted(&self, topic: &str) {
        lock(&self.loads).values().filter(|load| load.runs() && load.writes_to(topic)).for_each(Load::abandon);
        lock(&self.shared.ledger).deleted(topic);
    }

    /// Ends everything at once.
    pub fn shut_down(&self) {
        lock(&self.loads).clear();
        lock(&self.readers).clear();
        lock(&self.tails).clear();
    }

    /// How every load is doing, by name; ended ones too.
    pub fn loads(&self) -> Vec<(String, LoadStatus)> {
        lock(&self.loads).iter().map(|(name, load)| (name.clone(), load.status())).collect()
    }

    /// What the ledger says; `None` if there was no load.
    pub fn ledger(&self) -> Option<Report> {
        let ledger = lock(&self.shared.ledger);
        (!ledger.is_empty()).then(|| ledger.report())
    }

    /// Carries out `produce …` and `produce stop`. Blocks until the records are acknowledged or given up; a load is only begun.
    pub fn produce(&self, command: &ProduceCommand) -> Reply {
        match command {
            ProduceCommand::Stop { name } => {
                let stopped = self.stop(name.as_deref());
                match (name, stopped.as_slice()) {
                    (Some(name), []) => Reply::failed(format!("no load {name} runs")),
                    (None, []) => Reply::done("no load runs"),
                    (_, names) => {
                        let text = format!("stopped {}; the ledger stays", names.join(", "));
                        Reply::told(text, json!({ "stopped": names }))
                    }
                }
            }
            ProduceCommand::Records(produce) => match produce.load.rate {
                Some(rate) => {
                    let name = produce.load_name();
                    if self.start_load(produce) {
                        let text = format!("{name} writes {rate} to {}; `produce stop {name}` ends it", produce.topic);
                        Reply::told(text, json!({ "load": name, "topic": produce.topic }))
                    } else {
                        Reply::failed(format!("a load {name} runs already: stop it, or choose another --name"))
                    }
                }
                None => {
                    let (done, outcome) = mpsc::channel();
                    let written = once::write(self.shared.bootstrap(), once::Batch::from_command(produce));
                    self.runtime.spawn(async move {
                        // Whoever waited may have given up.
                        let _ = done.send(written.await);
                    });
                    match outcome.recv_timeout(PATIENCE + Duration::from_secs(5)) {
                        Ok(Ok(written)) => written.reply(&produce.topic),
                        Ok(Err(reason)) => Reply::failed(format!("{}: {reason}", produce.topic)),
                        Err(_) => Reply::timed_out(format!("{}: not acknowledged in time", produce.topic)),
                    }
                }
            },
        }
    }

    /// Sends records by hand; `done` is told a sentence, or why not. Does not block.
    pub fn send(&self, draft: &ProduceDraft, done: impl FnOnce(Result<String, String>) + Send + 'static) -> TaskHandle {
        let written = once::write(self.shared.bootstrap(), once::Batch::from_draft(draft));
        let topic = draft.topic.clone();
        let task = self.runtime.spawn(async move { done(written.await.map(|written| written.sentence(&topic))) });
        TaskHandle(task.abort_handle())
    }

    /// Carries out `consume …` and what is done to members that stay.
    pub fn consume(&self, command: &ConsumeCommand) -> Reply {
        let done = match command {
            ConsumeCommand::Records(consume) => return self.read(consume),
            ConsumeCommand::Join(join) => return self.join(join),
            ConsumeCommand::Stop { name } => return self.leave(name.as_deref()),
            ConsumeCommand::Kill { name } => lock(&self.readers).remove(name).filter(Steady::runs).map(|_| "is dead"),
            ConsumeCommand::Pause { name } => self.tell(name, Steady::pause).then_some("stands still"),
            ConsumeCommand::Resume { name } => self.tell(name, Steady::resume).then_some("goes on"),
            ConsumeCommand::Slow { name, rate } => self.tell(name, |reader| reader.slow(*rate)).then_some("is slow"),
        };
        match (command.reader(), done) {
            (Some(name), Some(done)) => Reply::told(format!("{name} {done}"), json!({ "reader": name })),
            (name, _) => Reply::failed(format!("no reader {} runs", name.unwrap_or_default())),
        }
    }

    fn tell(&self, name: &str, tell: impl FnOnce(&Steady)) -> bool {
        lock(&self.readers).get(name).filter(|reader| reader.runs()).map(tell).is_some()
    }

    fn join(&self, join: &Join) -> Reply {
        let mut readers = lock(&self.readers);
        if readers.get(&join.name).is_some_and(Steady::runs) {
            return Reply::failed(format!("a reader {} runs already: stop it, or choose another --name", join.name));
        }
        readers.insert(join.name.clone(), Steady::begin(&self.runtime, self.shared.bootstrap(), join.clone()));
        Reply::told(join.sentence(), json!({ "reader": join.name, "topic": join.consume.topic }))
    }

    fn leave(&self, name: Option<&str>) -> Reply {
        let readers = lock(&self.readers);
        let meant = readers.iter().filter(|(known, reader)| reader.runs() && name.is_none_or(|name| name == *known));
        let names: Vec<String> = meant.map(|(known, _)| known.clone()).collect();
        names.iter().for_each(|name| readers[name].leave());
        ConsumeCommand::stopped(name, &names)
    }

    /// Carries out `consume TOPIC …`. Blocks until the records are there, the end is reached or nothing comes any more.
    fn read(&self, consume: &Consume) -> Reply {
        if consume.follow && consume.max.is_none() {
            let reason = "--follow needs --max here: only `kafkarium consume` and the console's tail go on without end";
            return Reply::failed(reason);
        }
        let (done, outcome) = mpsc::channel();
        let read = once::read(self.shared.bootstrap(), consume.clone(), PATIENCE);
        self.runtime.spawn(async move {
            let _ = done.send(read.await);
        });
        // The reader has its own patience, counted from the last record.
        match outcome.recv() {
            Ok(Ok(records)) => once::reply(&consume.topic, &records),
            Ok(Err(reason)) => Reply::failed(format!("{}: {reason}", consume.topic)),
            Err(_) => Reply::failed("the reader ended without a word"),
        }
    }

    /// Starts reading a topic as a consumer without a group would.
    pub fn open_reader(&self, want: &ReadRequest) -> TailId {
        let id = TailId(self.next_id());
        lock(&self.tails).insert(id, Tail::open(&self.runtime, self.shared.bootstrap(), want));
        id
    }

    /// Records that arrived since the last call, at most `limit`.
    pub fn poll_tail(&self, tail: TailId, limit: usize) -> TailBatch {
        lock(&self.tails).get(&tail).map(|tail| tail.poll(limit)).unwrap_or_default()
    }

    /// Ends a tail. Unknown ids are ignored.
    pub fn close_tail(&self, tail: TailId) {
        lock(&self.tails).remove(&tail);
    }
}

/// A task that can be called off.
#[derive(Debug)]
pub struct TaskHandle(AbortHandle);

impl TaskHandle {
    /// Ends it; what it was to tell is not told.
    pub fn cancel(&self) {
        self.0.abort();
    }
}

/// Kafka's number for `acks`.
pub(in crate::cluster) fn acks_number(acks: Acks) -> i16 {
    match acks {
        Acks::All => -1,
        Acks::Leader => 1,
        Acks::None => 0,
    }
}

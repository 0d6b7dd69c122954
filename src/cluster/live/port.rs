//! [`LivePort`]: the console's door to a live cluster.
//!
//! Invariants: nothing here waits for a broker: a thread asks them how they are as long as a port is open, commands run
//! on threads of their own and answer by [`ClusterPort::replies`], tails are read by the sockets' runtime.
//!
//! Deliberately not here: what is shown (`observation`), what commands do (`execute.rs`).

use crate::client::consumer::{Consumer, ConsumerOptions, ConsumerRecord, Start};
use crate::cluster::command::values::Setting;
use crate::cluster::command::{Execute, Load, Produce, Reply, catalogue, complete, parse_line};
use crate::cluster::dial::Driver;
use crate::cluster::live::execute::pin;
use crate::cluster::live::handle::LiveCluster;
use crate::cluster::view::{
    Change, ClusterPort, ClusterView, CommandDoc, CommandId, CommandReply, Completion, Consequence, Outcome,
    ProduceDraft, TailBatch, TailFrom, TailId, TailRecord, TopicSummary, ViewRequest,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// How often the brokers are asked how they are while nothing is told.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// ... and how often at most.
const ASK_AT_MOST_EVERY: Duration = Duration::from_millis(40);
/// Records of a tail that nobody polls; older ones are left out.
const TAIL_KEEPS: usize = 2_000;

/// See the module.
pub struct LivePort {
    cluster: LiveCluster,
    commands: Vec<CommandDoc>,
    last_id: u64,
    answers: (Sender<CommandReply>, Receiver<CommandReply>),
    tails: BTreeMap<TailId, Tail>,
    is_over: Arc<AtomicBool>,
}

struct Tail {
    read: Arc<Mutex<TailRead>>,
    task: AbortHandle,
}

#[derive(Default)]
struct TailRead {
    records: VecDeque<TailRecord>,
    problem: String,
    skipped: u64,
}

impl LivePort {
    /// Opens a door.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn open(cluster: &LiveCluster) -> std::io::Result<LivePort> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (weak, over) = (Arc::downgrade(&cluster.inner), Arc::clone(&is_over));
        std::thread::Builder::new().name("observer".to_owned()).spawn(move || {
            let mut seen = 0;
            while !over.load(Ordering::Relaxed) {
                let Some(supervisor) = weak.upgrade() else { return };
                supervisor.refresh();
                std::thread::sleep(ASK_AT_MOST_EVERY);
                seen = supervisor.host.history.wait(seen, ASK_EVERY);
            }
        })?;
        Ok(LivePort {
            cluster: cluster.clone(),
            commands: catalogue(),
            last_id: 0,
            answers: channel(),
            tails: BTreeMap::new(),
            is_over,
        })
    }

    /// Runs something on a thread of its own and answers under a new id.
    fn run(&mut self, line: String, work: impl FnOnce(&LiveCluster) -> Outcome + Send + 'static) -> CommandId {
        self.last_id += 1;
        let id = CommandId(self.last_id);
        let (cluster, answer, told) = (self.cluster.clone(), self.answers.0.clone(), line.clone());
        let thread = std::thread::Builder::new().name("command".to_owned()).spawn(move || {
            let outcome = work(&cluster);
            // The console may be gone.
            drop(answer.send(CommandReply { id, line: told, outcome }));
        });
        if let Err(error) = thread {
            let outcome = Outcome::Failed { reason: error.to_string(), next: String::new() };
            drop(self.answers.0.send(CommandReply { id, line, outcome }));
        }
        id
    }
}

impl Drop for LivePort {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for tail in self.tails.values() {
            tail.task.abort();
        }
    }
}

fn outcome(reply: Reply) -> Outcome {
    match reply {
        Reply::Done { text, .. } => {
            let mut lines = text.lines().map(str::to_owned);
            let summary = lines.next().unwrap_or_default();
            let rest: Vec<String> = lines.collect();
            if rest.is_empty() {
                Outcome::Done { summary, output: Vec::new() }
            } else {
                Outcome::Done { summary: String::new(), output: std::iter::once(summary).chain(rest).collect() }
            }
        }
        Reply::Failed { reason, .. } => Outcome::Failed { reason, next: String::new() },
    }
}

impl ClusterPort for LivePort {
    fn view(&mut self, want: &ViewRequest) -> Arc<ClusterView> {
        Arc::new(self.cluster.inner.host.watch().observer.view(want))
    }

    fn changed(&mut self) -> Change {
        self.cluster.inner.host.watch().observer.changed()
    }

    fn submit(&mut self, line: &str) -> CommandId {
        let parsed = parse_line(line).map_err(|error| error.to_string());
        self.run(line.to_owned(), move |cluster| match parsed {
            Ok(command) => outcome(cluster.execute(command)),
            Err(reason) => Outcome::Failed { reason, next: String::new() },
        })
    }

    fn replies(&mut self) -> Vec<CommandReply> {
        self.answers.1.try_iter().collect()
    }

    fn consequence(&self, line: &str) -> Option<Consequence> {
        let command = parse_line(line).ok()?;
        self.cluster.inner.host.watch().observer.consequence(&command)
    }

    fn undo_of(&self, line: &str) -> Option<String> {
        let command = parse_line(line).ok()?;
        let pinned = pin(command, |who| self.cluster.inner.host.watch().observer.resolve(who)).ok()?;
        pinned.undo().map(|undo| undo.to_string())
    }

    fn complete(&self, line: &str) -> Completion {
        complete(line, &self.cluster.inner.host.watch().observer)
    }

    fn commands(&self) -> &[CommandDoc] {
        &self.commands
    }

    fn topics(&self, containing: &str, limit: usize) -> Vec<TopicSummary> {
        self.cluster.inner.host.watch().observer.topics(containing, limit)
    }

    fn produce(&mut self, draft: &ProduceDraft) -> CommandId {
        let produce = Produce {
            topic: draft.topic.clone(),
            value: draft.value.clone(),
            key: draft.key.clone(),
            header: draft
                .headers
                .iter()
                .map(|(key, value)| Setting { key: key.clone(), value: value.clone() })
                .collect(),
            partition: draft.partition,
            acks: draft.acks,
            load: Load { count: Some(u64::from(draft.count.max(1))), ..Load::default() },
        };
        let line = format!("produce {}", draft.topic);
        self.run(line, move |cluster| {
            if cluster.inner.host.clock.is_paused() {
                let reason = "paused: time stands still until `run`".to_owned();
                return Outcome::Failed { reason, next: String::new() };
            }
            outcome(cluster.produce_once(&produce).unwrap_or_else(Reply::failed))
        })
    }

    fn open_tail(&mut self, topic: &str, from: TailFrom) -> TailId {
        self.last_id += 1;
        let id = TailId(self.last_id);
        let read: Arc<Mutex<TailRead>> = Arc::default();
        let start = match from {
            TailFrom::End => Start::Latest,
            TailFrom::Start => Start::Earliest,
            TailFrom::Last(count) => Start::BeforeEnd(i64::from(count)),
        };
        let (servers, topic) = (self.cluster.inner.own_servers(), topic.to_owned());
        let into = Arc::clone(&read);
        let task = self.cluster.inner.runtime().spawn(async move { follow(&servers, topic, start, &into).await });
        self.tails.insert(id, Tail { read, task: task.abort_handle() });
        id
    }

    fn poll_tail(&mut self, tail: TailId, limit: usize) -> TailBatch {
        let Some(tail) = self.tails.get(&tail) else { return TailBatch::default() };
        let mut read = tail.read.lock().unwrap_or_else(PoisonError::into_inner);
        let count = read.records.len().min(limit);
        TailBatch {
            records: read.records.drain(..count).collect(),
            problem: read.problem.clone(),
            skipped: std::mem::take(&mut read.skipped),
        }
    }

    fn close_tail(&mut self, tail: TailId) {
        if let Some(tail) = self.tails.remove(&tail) {
            tail.task.abort();
        }
    }
}

async fn follow(servers: &str, topic: String, start: Start, into: &Mutex<TailRead>) {
    let options = ConsumerOptions { start, ..ConsumerOptions::default() };
    let mut driver = Driver::new(Consumer::new(&[topic], options), servers, "kafkarium");
    loop {
        driver.step(Duration::from_millis(250)).await;
        let records = driver.machine.take_records();
        let errors = driver.machine.take_errors();
        let mut read = into.lock().unwrap_or_else(PoisonError::into_inner);
        if !records.is_empty() {
            read.problem.clear();
        }
        read.records.extend(records.into_iter().map(shown));
        if let Some(error) = errors.into_iter().next_back() {
            read.problem = error;
        }
        while read.records.len() > TAIL_KEEPS {
            read.records.pop_front();
            read.skipped += 1;
        }
    }
}

fn shown(read: ConsumerRecord) -> TailRecord {
    let header =
        |(key, value): (String, Option<bytes::Bytes>)| (key, value.map(|value| text(&value)).unwrap_or_default());
    TailRecord {
        partition: read.partition.partition,
        offset: read.record.offset,
        timestamp_ms: read.record.timestamp,
        key: read.record.key.as_ref().map(|bytes| text(bytes)),
        value: read.record.value.as_ref().map(|bytes| text(bytes)),
        headers: read.record.headers.into_iter().map(header).collect(),
    }
}

/// Bytes as text; what is no UTF-8 as `\xNN`.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

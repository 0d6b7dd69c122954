//! A steady load: a producer that keeps a rate, and the readers that follow its records.
//!
//! Invariants: at most [`UNDER_WAY_MAX`] records wait for their acknowledgement, what is due beyond is not sent; every record carries
//! its tag; a load that is stopped still waits a moment for what is under way, so that its ledger ends in order.
//!
//! Deliberately not here: what is written by the demo (`demo`), and what became of it (`ledger`).

use super::beat::Beat;
use super::follow::{follow, follow_in_group};
use super::source::Source;
use super::{Shared, acks_number, demo, lock, wall_ms};
use crate::client::Target;
use crate::client::admin::Admin;
use crate::client::consumer::{Reset, Start};
use crate::client::metadata::Metadata;
use crate::client::producer::{Delivery, Producer, ProducerOptions};
use crate::cluster::command::Produce;
use crate::cluster::dial::Driver;
use crate::cluster::ledger::{HEADER, LoadId, Tag};
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Records under way at most.
const UNDER_WAY_MAX: usize = 5_000;
/// A record that nobody takes is given up after this long, in milliseconds.
const DELIVERY_TIMEOUT_MS: u64 = 30_000;
/// Records go in batches of so much time: fewer requests, and still quick to the eye.
const TICK: Duration = Duration::from_millis(100);
/// After this long a load begins although a reader has no place yet.
const READERS_PATIENCE: Duration = Duration::from_secs(5);
/// A load that was stopped waits so long for what is under way and for its readers.
const FAREWELL: Duration = Duration::from_secs(3);
/// A topic that is gone is tried again after so long.
const GONE: Duration = Duration::from_secs(10);
/// Pause before something is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// How a load is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadStatus {
    /// It runs.
    pub runs: bool,
    /// Records sent.
    pub sent: u64,
    /// Of those, acknowledged.
    pub acked: u64,
    /// Of those, given up.
    pub failed: u64,
    /// Records that were due and not sent, because too many were under way.
    pub skipped: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Load {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    status: Arc<Mutex<LoadStatus>>,
    topics: Vec<String>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Load {
    pub(super) fn demo(runtime: &Handle, shared: Arc<Shared>, id: LoadId) -> Load {
        Load::begin(runtime, shared, id, Source::Demo, super::DEMO)
    }

    pub(super) fn steady(runtime: &Handle, shared: Arc<Shared>, id: LoadId, produce: Produce) -> Load {
        let name = produce.load_name().to_owned();
        Load::begin(runtime, shared, id, Source::Command(Box::new(produce)), &name)
    }

    fn begin(runtime: &Handle, shared: Arc<Shared>, id: LoadId, source: Source, name: &str) -> Load {
        let (stop, stopped) = watch::channel(false);
        let status = Arc::new(Mutex::new(LoadStatus { runs: true, ..LoadStatus::default() }));
        lock(&shared.ledger).begin(id, source.acks());
        let client_id = format!("kafkarium-{name}");
        let topics = source.topics();
        let run = Run { shared, id, source, status: Arc::clone(&status), stopped, client_id };
        let task = runtime.spawn(run.run());
        Load { task, stop, status, topics }
    }

    pub(super) fn runs(&self) -> bool {
        lock(&self.status).runs
    }

    pub(super) fn stop(&self) {
        lock(&self.status).runs = false;
        self.stop.send_replace(true);
    }

    /// Whether it writes to a topic and to no other.
    pub(super) fn writes_to(&self, topic: &str) -> bool {
        self.topics.iter().all(|own| own == topic)
    }

    /// Ends it at once: what is under way is not waited for.
    pub(super) fn abandon(&self) {
        lock(&self.status).runs = false;
        self.task.abort();
    }

    pub(super) fn status(&self) -> LoadStatus {
        *lock(&self.status)
    }
}

/// A load at work.
struct Run {
    shared: Arc<Shared>,
    id: LoadId,
    source: Source,
    status: Arc<Mutex<LoadStatus>>,
    stopped: watch::Receiver<bool>,
    client_id: String,
}

/// Tasks that end with what holds them.
struct Readers {
    tasks: Vec<JoinHandle<()>>,
    ready: Vec<watch::Receiver<bool>>,
    leave: watch::Sender<bool>,
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Readers {
    /// Lets members leave their group before they end.
    async fn leave(mut self) {
        if self.leave.receiver_count() == 0 {
            return;
        }
        self.leave.send_replace(true);
        for task in &mut self.tasks {
            let _ = tokio::time::timeout(FAREWELL / 3, task).await;
        }
    }
}

impl Run {
    async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        let prepared = tokio::select! {
            start = self.prepare() => Some(start),
            _ = stopped.wait_for(|stopped| *stopped) => None,
        };
        let Some(start) = prepared else { return };
        let readers = self.start_readers(start);
        let is_stopped = tokio::select! {
            () = all_ready(readers.ready.clone()) => false,
            () = tokio::time::sleep(READERS_PATIENCE) => false,
            _ = stopped.wait_for(|stopped| *stopped) => true,
        };
        if !is_stopped {
            self.write().await;
            lock(&self.status).runs = false;
            // The readers are a moment behind.
            tokio::time::sleep(FAREWELL / 3).await;
        }
        readers.leave().await;
    }

    /// Sees to the topics; where readers have to begin so that they miss nothing of this load.
    async fn prepare(&mut self) -> Start {
        let topics = self.source.topics();
        let are_there = loop {
            match self.ask(Metadata::request(Some(&topics), false)).await {
                Some(Response::Metadata(response)) => {
                    break response.topics.iter().all(|topic| topic.error_code == 0 && !topic.partitions.is_empty());
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        };
        if matches!(self.source, Source::Demo) {
            loop {
                let answer = self.ask(demo::create_topics()).await;
                let Some(Response::CreateTopics(response)) = answer else { continue };
                let is_there =
                    |code| matches!(ErrorCode::from_code(code), ErrorCode::None | ErrorCode::TopicAlreadyExists);
                if response.topics.iter().all(|topic| is_there(topic.error_code)) {
                    break;
                }
                // Brokers may still be registering, or the controller is being elected.
                tokio::time::sleep(PAUSE).await;
            }
        }
        // What was in the topics before is not ours; what comes into new ones is, from the first record on.
        if are_there { Start::Latest } else { Start::Earliest }
    }

    async fn ask(&self, request: Request) -> Option<Response> {
        let admin = Admin::new(Target::Any, request, 0);
        let mut driver = Driver::new(admin, &self.shared.bootstrap(), &self.client_id);
        while driver.machine.outcome.is_none() {
            driver.step(Duration::from_secs(1)).await;
        }
        let outcome = driver.machine.outcome.take()?;
        if outcome.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
        outcome.ok()
    }

    fn start_readers(&self, start: Start) -> Readers {
        let (mut tasks, mut ready) = (Vec::new(), Vec::new());
        let (leave, leaves) = watch::channel(false);
        if matches!(self.source, Source::Demo) {
            let crew = demo::crew(if start == Start::Latest { Reset::Latest } else { Reset::Earliest });
            for number in 1..=demo::READERS {
                let (tell, told) = watch::channel(false);
                let client_id = format!("{}-{number}", demo::GROUP);
                let reading = follow_in_group(Arc::clone(&self.shared), crew.clone(), client_id, tell, leaves.clone());
                tasks.push(tokio::spawn(reading));
                ready.push(told);
            }
        } else {
            let (tell, told) = watch::channel(false);
            let client_id = format!("{}-reader", self.client_id);
            let (topics, partitions) = (self.source.topics(), self.source.partitions());
            let reading = follow(Arc::clone(&self.shared), topics, partitions, start, client_id, tell);
            tasks.push(tokio::spawn(reading));
            ready.push(told);
        }
        Readers { tasks, ready, leave }
    }

    /// Writes until it is stopped or its count is reached, and waits for what is under way.
    async fn write(&mut self) {
        let options = ProducerOptions {
            acks: acks_number(self.source.acks()),
            delivery_timeout_ms: DELIVERY_TIMEOUT_MS,
            creates_topics: !matches!(self.source, Source::Demo),
            ..ProducerOptions::default()
        };
        let mut driver = Driver::new(Producer::new(options), &self.shared.bootstrap(), &self.client_id);
        let mut beat = Beat::new(self.source.interval());
        let mut gone: BTreeMap<String, Instant> = BTreeMap::new();
        let mut under_way: BTreeMap<u64, (u64, String)> = BTreeMap::new();
        let (mut number, mut last, mut turn_at) = (0, Instant::now(), Instant::now());
        let mut farewell: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if farewell.is_none() && now >= turn_at {
                let pace = *lock(&self.shared.pace);
                let due = beat.due(now - last, pace);
                last = now;
                turn_at = now + beat.next(TICK, pace);
                for _ in 0..due.min(self.source.count().map_or(u64::MAX, |count| count - number)) {
                    number += 1;
                    self.send(&mut driver, number, &gone, &mut under_way);
                }
                gone.retain(|_, until| *until > now);
            }
            if farewell.is_none() && (*self.stopped.borrow() || self.source.count() == Some(number)) {
                farewell = Some(now + FAREWELL);
            }
            if farewell.is_some_and(|until| driver.machine.unfinished() == 0 || now >= until) {
                return;
            }
            let wait = turn_at.saturating_duration_since(now).min(TICK * 10);
            driver.step(if farewell.is_some() { TICK } else { wait }).await;
            for delivery in driver.machine.take_deliveries() {
                if let Some((number, topic)) = under_way.remove(&delivery.record) {
                    self.delivered(delivery, number, topic, &mut gone);
                }
            }
        }
    }

    fn send(
        &self,
        driver: &mut Driver<Producer>,
        number: u64,
        gone: &BTreeMap<String, Instant>,
        under_way: &mut BTreeMap<u64, (u64, String)>,
    ) {
        let mut record = self.source.record(number, wall_ms());
        if driver.machine.unfinished() >= UNDER_WAY_MAX || gone.contains_key(&record.topic) {
            lock(&self.status).skipped += 1;
            return;
        }
        let tag = Tag { load: self.id, number };
        record.headers.push((HEADER.to_owned(), Some(Bytes::from(tag.to_string()))));
        let topic = record.topic.clone();
        let now_ms = driver.now_ms();
        let sent = driver.machine.send(now_ms, record);
        // The producer counts what it was given; the tag counts what was due. They differ by what was skipped.
        under_way.insert(sent, (number, topic));
        lock(&self.status).sent += 1;
    }

    fn delivered(&self, delivery: Delivery, number: u64, topic: String, gone: &mut BTreeMap<String, Instant>) {
        match (delivery.partition, delivery.outcome) {
            (Some(partition), Ok(offset)) => {
                lock(&self.status).acked += 1;
                lock(&self.shared.ledger).acked(Tag { load: self.id, number }, &partition, offset);
            }
            (partition, _) => {
                lock(&self.status).failed += 1;
                if partition.is_none() {
                    gone.insert(topic, Instant::now() + GONE);
                }
            }
        }
    }
}

async fn all_ready(readers: Vec<watch::Receiver<bool>>) {
    for mut reader in readers {
        if reader.wait_for(|ready| *ready).await.is_err() {
            // It ended; whoever waits has a limit of its own.
            std::future::pending::<()>().await;
        }
    }
}

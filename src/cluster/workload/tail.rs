//! A live tail: a reader that goes on until it is closed, and hands over what has come when it is asked.
//!
//! Invariants: of what comes, at most [`HELD_MAX`] records wait to be asked for, the oldest go first and are counted; of what is read from
//! somewhere on nothing is left out, the reader waits (one answer of the brokers may come on top). Closing ends its connections.
//!
//! Deliberately not here: how records are shown.

use super::lock;
use super::once::{CLIENT_ID, shown};
use crate::client::consumer::{Consumer, ConsumerOptions, Start};
use crate::cluster::dial::Driver;
use crate::cluster::view::{ReadRequest, TailBatch, TailFrom, TailRecord};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Records that wait to be asked for, at most.
const HELD_MAX: usize = 2_000;
/// How long one turn may wait.
const STEP: Duration = Duration::from_millis(250);
/// After this long without an answer of any leader it is told that nothing comes.
const SILENCE: Duration = Duration::from_secs(2);

/// What has come and was not asked for yet.
#[derive(Debug, Default)]
pub(super) struct Held {
    records: VecDeque<TailRecord>,
    problem: String,
    skipped: u64,
    read: u64,
}

impl Held {
    /// Takes a record in; all are kept if nothing may be left out.
    pub(super) fn put(&mut self, record: TailRecord, all: bool) {
        if !all && self.records.len() == HELD_MAX {
            self.records.pop_front();
            self.skipped += 1;
        }
        self.records.push_back(record);
    }

    pub(super) fn take(&mut self, limit: usize) -> TailBatch {
        let count = limit.min(self.records.len());
        TailBatch {
            records: self.records.drain(..count).collect(),
            problem: self.problem.clone(),
            skipped: std::mem::take(&mut self.skipped),
            read: std::mem::take(&mut self.read),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    held: Mutex<Held>,
    /// Something was taken: a reader that waits for room goes on.
    taken: Notify,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tail {
    pub(super) fn open(runtime: &Handle, bootstrap: String, want: &ReadRequest) -> Tail {
        let shared = Arc::new(Shared::default());
        let task = runtime.spawn(read(bootstrap, want.clone(), Arc::clone(&shared)));
        Tail { shared, task }
    }

    pub(super) fn poll(&self, limit: usize) -> TailBatch {
        let batch = lock(&self.shared.held).take(limit);
        self.shared.taken.notify_one();
        batch
    }
}

async fn read(bootstrap: String, want: ReadRequest, shared: Arc<Shared>) {
    let start = match want.from {
        TailFrom::End => Start::Latest,
        TailFrom::Start => Start::Earliest,
        TailFrom::Last(count) => Start::BeforeEnd(i64::from(count)),
        TailFrom::Offset(offset) => Start::Offset(offset),
        TailFrom::Time(time_ms) => Start::Timestamp(time_ms),
    };
    let topic = &want.topic;
    let options = ConsumerOptions { start, partitions: want.partitions.clone(), ..ConsumerOptions::default() };
    let mut driver = Driver::new(Consumer::new(std::slice::from_ref(topic), options), &bootstrap, CLIENT_ID);
    let began = Instant::now();
    let mut last_error: Option<(Instant, String)> = None;
    loop {
        // Who reads from somewhere on wants all of it: what was not taken holds the reading up.
        while want.from.is_browsed() && lock(&shared.held).records.len() >= HELD_MAX / 2 {
            shared.taken.notified().await;
        }
        driver.step(STEP).await;
        let records = driver.machine.take_records();
        if let Some(error) = driver.machine.take_errors().into_iter().next_back() {
            last_error = Some((Instant::now(), error));
        }
        // What mends itself is no problem any more after a while.
        last_error = last_error.filter(|(at, _)| records.is_empty() && at.elapsed() < SILENCE * 2);
        let unknown = driver.machine.positions().find(|(_, next, _)| next.is_none()).map(|(partition, ..)| partition);
        let problem = match (&last_error, unknown) {
            (Some((_, error)), _) => error.clone(),
            (None, Some(partition)) if began.elapsed() > SILENCE => format!("{partition} has no leader that answers"),
            (None, None) if began.elapsed() > SILENCE && driver.machine.positions().next().is_none() => {
                driver.last_failure().map_or_else(|| format!("there is no topic {topic}"), str::to_owned)
            }
            _ => String::new(),
        };
        // Conditions are tried before the lock: whoever draws is not to wait for them.
        let read = records.len() as u64;
        let wanted: Vec<TailRecord> = records.iter().map(shown).filter(|record| want.query.matches(record)).collect();
        let mut held = lock(&shared.held);
        held.read += read;
        wanted.into_iter().for_each(|record| held.put(record, want.from.is_browsed()));
        held.problem = problem;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64) -> TailRecord {
        TailRecord { offset, ..TailRecord::default() }
    }

    #[test]
    fn what_comes_faster_than_it_is_asked_for_is_left_out_and_counted() {
        let mut held = Held::default();
        (0..2_500).for_each(|offset| held.put(record(offset), false));
        let batch = held.take(10);
        assert_eq!((batch.records.len(), batch.records[0].offset, batch.skipped), (10, 500, 500));
        assert_eq!(held.take(10_000).records.len(), HELD_MAX - 10);
        assert_eq!(held.take(10), TailBatch::default());
    }
}

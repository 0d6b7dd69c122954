//! A live tail: a reader that goes on until it is closed, and hands over what has come when it is asked.
//!
//! Invariants: at most [`HELD_MAX`] records wait to be asked for, the oldest go first and are counted; closing ends its connections.
//!
//! Deliberately not here: how records are shown.

use super::lock;
use super::once::{CLIENT_ID, shown};
use crate::client::consumer::{Consumer, ConsumerOptions, Start};
use crate::cluster::dial::Driver;
use crate::cluster::view::{TailBatch, TailFrom, TailRecord};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
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
}

impl Held {
    pub(super) fn put(&mut self, record: TailRecord) {
        if self.records.len() == HELD_MAX {
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
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    held: Arc<Mutex<Held>>,
    task: JoinHandle<()>,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tail {
    pub(super) fn open(runtime: &Handle, bootstrap: String, topic: &str, from: TailFrom) -> Tail {
        let held = Arc::new(Mutex::new(Held::default()));
        let task = runtime.spawn(read(bootstrap, topic.to_owned(), from, Arc::clone(&held)));
        Tail { held, task }
    }

    pub(super) fn poll(&self, limit: usize) -> TailBatch {
        lock(&self.held).take(limit)
    }
}

async fn read(bootstrap: String, topic: String, from: TailFrom, held: Arc<Mutex<Held>>) {
    let start = match from {
        TailFrom::End => Start::Latest,
        TailFrom::Start => Start::Earliest,
        TailFrom::Last(count) => Start::BeforeEnd(i64::from(count)),
    };
    let options = ConsumerOptions { start, ..ConsumerOptions::default() };
    let mut driver = Driver::new(Consumer::new(std::slice::from_ref(&topic), options), &bootstrap, CLIENT_ID);
    let began = Instant::now();
    let mut last_error: Option<(Instant, String)> = None;
    loop {
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
        let mut held = lock(&held);
        records.iter().map(shown).for_each(|record| held.put(record));
        held.problem = problem;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64) -> TailRecord {
        TailRecord { partition: 0, offset, timestamp_ms: 0, key: None, value: None, headers: Vec::new() }
    }

    #[test]
    fn what_comes_faster_than_it_is_asked_for_is_left_out_and_counted() {
        let mut held = Held::default();
        (0..2_500).for_each(|offset| held.put(record(offset)));
        let batch = held.take(10);
        assert_eq!((batch.records.len(), batch.records[0].offset, batch.skipped), (10, 500, 500));
        assert_eq!(held.take(10_000).records.len(), HELD_MAX - 10);
        assert_eq!(held.take(10), TailBatch::default());
    }
}

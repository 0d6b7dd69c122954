//! Records written or read once.
//!
//! Invariant: each ends with an outcome: all that was wanted, or why not.

use crate::cluster::command::Consume;
use crate::cluster::reading::Reader;
use crate::cluster::sim::workload::Around;
use crate::cluster::view::TailRecord;
use crate::cluster::workload::{NOTHING_FOR, PATIENCE, Writing, shown};
use crate::engine::time::Instant;

/// How often a reader looks whether it has waited long enough, in milliseconds.
const LOOK_AGAIN_MS: u64 = 100;

/// Writes some records.
#[derive(Debug, Clone)]
pub struct OnceWriter {
    pub(super) machine: Writing,
    begins_at: Option<Instant>,
    /// Whether all was written, once that is known.
    pub outcome: Option<Result<(), String>>,
}

impl OnceWriter {
    /// A writer that has everything before it.
    pub(in crate::cluster) fn new(machine: Writing) -> OnceWriter {
        OnceWriter { machine, begins_at: None, outcome: None }
    }

    /// What was written.
    pub(in crate::cluster) fn machine(&self) -> &Writing {
        &self.machine
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.begins_at
    }

    pub(super) fn prepare(&mut self, around: &Around) {
        self.begins_at = None;
        self.machine.fill(around.now.as_millis(), around.wall.0);
    }

    pub(super) fn harvest(&mut self, now: Instant) {
        let outcome = self.machine.harvest();
        if let Err(refusal) = outcome {
            self.outcome.get_or_insert(Err(refusal.to_string()));
        } else if self.machine.written().is_some() {
            self.outcome.get_or_insert(Ok(()));
        } else {
            // More of a large batch may go now.
            self.begins_at = Some(now.plus_millis(LOOK_AGAIN_MS));
        }
    }
}

/// Reads some records.
#[derive(Debug, Clone)]
pub struct OnceReader {
    pub(super) machine: Reader,
    consume: Consume,
    records: Vec<TailRecord>,
    /// When something came last.
    last: Instant,
    looks_at: Instant,
    outcome: Option<Result<(), String>>,
}

impl OnceReader {
    /// A reader that has read nothing.
    pub fn new(machine: Reader, consume: Consume, now: Instant) -> OnceReader {
        OnceReader { machine, consume, records: Vec::new(), last: now, looks_at: now, outcome: None }
    }

    /// What it has read, or why it could not, once it is done.
    pub fn outcome(&self) -> Option<Result<&[TailRecord], &str>> {
        match self.outcome.as_ref()? {
            Ok(()) => Some(Ok(&self.records)),
            Err(reason) => Some(Err(reason)),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.outcome.is_some() && self.machine.is_gone()
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        Some(self.looks_at)
    }

    pub(super) fn harvest(&mut self, now: Instant) {
        self.looks_at = now.plus_millis(LOOK_AGAIN_MS);
        if self.outcome.is_some() {
            return;
        }
        let wanted = usize::try_from(self.consume.max.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let more = self.machine.take_records(wanted - self.records.len());
        if !more.is_empty() {
            self.last = now;
        }
        self.records.extend(more.iter().map(shown));
        self.machine.processed();
        let silence = now.since(self.last);
        let is_idle = self.machine.has_nothing() && !self.consume.follow && silence > NOTHING_FOR;
        let is_at_end = !self.consume.follow && self.machine.is_at_end();
        self.outcome = match self.machine.take_errors().into_iter().next() {
            Some(error) => Some(Err(error)),
            None if self.records.len() >= wanted || is_at_end || is_idle => Some(Ok(())),
            None if silence > PATIENCE && self.records.is_empty() && !self.consume.follow => {
                Some(Err("no leader answers".to_owned()))
            }
            None if silence > PATIENCE => Some(Ok(())),
            None => None,
        };
        if self.outcome.is_some() {
            self.machine.leave(now.as_millis());
            self.looks_at = now.plus_millis(1);
        }
    }
}

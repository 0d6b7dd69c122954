//! A client that reads topics from some place on, follows the leaders, and tells the ledger what it reads.
//!
//! Once nobody writes any more it reads on to the end, until the ledger has seen everything that was acknowledged.

use super::{Around, Done, Leg};
use crate::client::consumer::{Consumer, ConsumerOptions, Start};
use crate::cluster::ledger::follower::Follower;
use crate::engine::time::Instant;

/// How long a broker may hold an answer, in milliseconds.
const WAIT_MS: u32 = 500;
/// After this long without an answer a client asks again, in milliseconds.
const REQUEST_TIMEOUT_MS: u64 = 2_000;
/// After so long without writers, what a leader tells is of a log that holds everything that was written, in milliseconds.
const SETTLING_MS: u64 = 100;

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The topics, all of their partitions.
    pub topics: Vec<String>,
    /// Where to begin.
    pub start: Start,
    /// When to begin.
    pub begins_at: Instant,
    /// Until when to go on at least.
    pub until: Instant,
    /// Whether the ledger is told what it reads: one reader is, who reads everything.
    pub is_followed: bool,
    /// Whether it reads only what is committed, and keeps what some rule follows.
    pub is_committed: bool,
}

/// A committed record that some rule follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// One side of a transfer.
    Leg(Leg),
    /// What was made of another record.
    Done(Done),
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Reading {
    pub(super) machine: Consumer,
    follower: Option<Follower>,
    pub(super) begins_at: Instant,
    pub(super) until: Instant,
    pub(super) is_done: bool,
    /// Since when nobody writes any more.
    quiet_since: Option<Instant>,
    pub(super) violation: Option<String>,
    /// How many records it has read.
    pub records: u64,
    /// What it has read, with partition and offset, if it reads what is committed.
    pub pieces: Vec<(i32, i64, Piece)>,
    committed_topic: Option<String>,
}

impl Reading {
    /// A client that has read nothing.
    pub fn new(scope: Scope) -> Reading {
        let options = ConsumerOptions {
            start: scope.start,
            max_wait_ms: WAIT_MS,
            request_timeout_ms: REQUEST_TIMEOUT_MS,
            read_committed: scope.is_committed,
            ..ConsumerOptions::default()
        };
        Reading {
            machine: Consumer::new(&scope.topics, options),
            follower: scope.is_followed.then(Follower::default),
            begins_at: scope.begins_at,
            until: scope.until,
            is_done: false,
            quiet_since: None,
            violation: None,
            records: 0,
            pieces: Vec::new(),
            committed_topic: scope.topics.into_iter().next().filter(|_| scope.is_committed),
        }
    }

    /// The topic whose committed records it reads, if it does that.
    pub fn committed_topic(&self) -> Option<&str> {
        self.committed_topic.as_deref()
    }

    /// Each partition with the next offset to be read.
    pub fn places(&self) -> impl Iterator<Item = (i32, i64)> {
        self.machine.positions().filter_map(|(partition, next, _)| Some((partition.partition, next?)))
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        (!self.is_done).then_some(self.begins_at)
    }

    pub(super) fn harvest(&mut self, around: &mut Around, note: &mut dyn FnMut(std::fmt::Arguments)) {
        let records = self.machine.take_records();
        self.records += records.len() as u64;
        if let Some(first) = records.first() {
            note(format_args!("reads {} from {} at {}", records.len(), first.partition, first.record.offset));
        }
        if let Some(follower) = &mut self.follower {
            follower.read(around.ledger, &records);
            for (partition, next, high_watermark) in self.machine.positions() {
                follower.stands(around.ledger, partition, next, high_watermark);
            }
        }
        if self.committed_topic.is_some() {
            let pieces = records.iter().filter_map(|read| {
                let value = read.record.value.as_deref()?;
                let piece = Leg::read(value).map(Piece::Leg).or_else(|| Done::read(value).map(Piece::Done))?;
                Some((read.partition.partition, read.record.offset, piece))
            });
            self.pieces.extend(pieces);
        }
        if let Some(error) = self.machine.take_errors().pop() {
            note(format_args!("was told {error}"));
            self.violation.get_or_insert(format!("a reader was told {error}"));
        }
        let counts = around.ledger.counts();
        let has_all = counts.acked <= counts.readable + counts.lost;
        if around.now < self.until || !around.is_quiet {
            self.quiet_since = None;
            return;
        }
        let since = *self.quiet_since.get_or_insert(around.now);
        // A transaction's markers are written after its end was answered.
        let is_settled =
            self.committed_topic.is_none() || self.machine.is_settled_since(since.plus_millis(SETTLING_MS).as_millis());
        self.is_done = has_all && is_settled && self.machine.is_at_end();
    }
}

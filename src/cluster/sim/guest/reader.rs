//! Readers that stay: one that follows the records of loads for the ledger, and members of groups.
//!
//! Invariants: what a member hands out counts as processed at once; a slow one takes no more than its rate allows, and commits no more.

use crate::client::consumer::{Consumer, ConsumerOptions, Start};
use crate::client::group::GroupConsumer;
use crate::cluster::command::values::Rate;
use crate::cluster::ledger::follower::Follower;
use crate::cluster::sim::workload::Around;
use crate::cluster::workload::{Beat, Pace};
use crate::engine::time::Instant;
use std::fmt::Arguments;
use std::time::Duration;

/// A broker may hold an answer for so long, in milliseconds.
const MAX_WAIT_MS: u32 = 500;
/// How long leaving may take, in milliseconds.
const LEAVING_MS: u64 = 1_000;
/// A slow member looks so often what it may take.
const TICK: Duration = Duration::from_millis(100);

/// Reads some topics for the ledger.
#[derive(Debug, Clone)]
pub struct Following {
    /// What it reads.
    pub topics: Vec<String>,
    pub(super) client_id: String,
    pub(super) machine: Consumer,
    follower: Follower,
}

impl Following {
    /// A reader of partitions of topics (of all if none is named), from some place on.
    pub fn new(topics: Vec<String>, partitions: Vec<i32>, start: Start, client_id: String) -> Following {
        let options = ConsumerOptions { start, partitions, max_wait_ms: MAX_WAIT_MS, ..ConsumerOptions::default() };
        let machine = Consumer::new(&topics, options);
        Following { topics, client_id, machine, follower: Follower::default() }
    }

    pub(super) fn harvest(&mut self, around: &mut Around, note: &mut dyn FnMut(Arguments)) {
        let records = self.machine.take_records();
        self.follower.read(around.ledger, &records);
        for (partition, next, high_watermark) in self.machine.positions() {
            self.follower.stands(around.ledger, partition, next, high_watermark);
        }
        for error in self.machine.take_errors() {
            note(format_args!("was told {error}"));
            if error.contains(" at ") {
                // A batch that cannot be read: what was in it is not known.
                around.ledger.gap(around.now.as_millis());
            }
        }
    }
}

/// Is a member of a group.
#[derive(Debug, Clone)]
pub struct Steady {
    /// What `consume stop` calls it.
    pub name: String,
    /// Its group.
    pub group: String,
    pub(super) machine: GroupConsumer,
    /// How fast it processes records, if it is slow.
    pace: Option<(Rate, Beat)>,
    leaves: bool,
    last: Instant,
    turn_at: Instant,
    /// How many records it has processed.
    pub records: u64,
}

impl Steady {
    /// A member that is about to join.
    pub fn new(name: &str, group: &str, machine: GroupConsumer, now: Instant) -> Steady {
        Steady {
            name: name.to_owned(),
            group: group.to_owned(),
            machine,
            leaves: false,
            pace: None,
            last: now,
            turn_at: now,
            records: 0,
        }
    }

    /// From now on it processes so many records at most; as many as there are if `None`.
    pub fn set_pace(&mut self, rate: Option<Rate>, now: Instant) {
        self.pace = rate.map(|rate| (rate, Beat::new(rate.interval())));
        (self.last, self.turn_at) = (now, now);
    }

    /// Commits what it has processed and leaves its group.
    pub fn leave(&mut self, now: Instant) {
        self.leaves = true;
        self.machine.leave(now.as_millis(), LEAVING_MS);
    }

    /// Whether nobody has told it to leave.
    pub fn runs(&self) -> bool {
        !self.leaves
    }

    pub(super) fn is_done(&self) -> bool {
        self.machine.member().is_gone()
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.pace.is_some().then_some(self.turn_at)
    }

    pub(super) fn harvest(&mut self, around: &Around, note: &mut dyn FnMut(Arguments)) {
        let now = around.now;
        let limit = match &mut self.pace {
            None => usize::MAX,
            Some((_, beat)) => {
                let due = beat.due(now.since(self.last), Pace::default());
                self.turn_at = now + beat.next(TICK, Pace::default()).max(Duration::from_millis(1));
                usize::try_from(due).unwrap_or(usize::MAX)
            }
        };
        self.last = now;
        for event in self.machine.take_events() {
            note(format_args!("{}: {event:?}", self.name));
        }
        for error in self.machine.take_errors() {
            note(format_args!("{} was told {error}", self.name));
        }
        if limit > 0 {
            self.records += self.machine.take_records(limit).len() as u64;
            self.machine.processed();
        }
    }
}

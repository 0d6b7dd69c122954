//! The readers of a load: they tell the ledger everything they read, in order, and when a broker set them back.
//!
//! They read what they are told to, or share the partitions as members of a group, which takes a reader's partitions over when it dies.
//!
//! Invariants: a reader has a place in every partition before its load begins; a place that jumps is told as what it is: a log that was
//! cut, or records that retention removed; a partition that another member reads now has no place here any more.
//!
//! Deliberately not here: verdicts (`ledger`).

use super::{Shared, lock};
use crate::client::consumer::{Consumer, ConsumerOptions, ConsumerRecord, Reset, Start};
use crate::client::group::GroupConsumer;
use crate::client::member::assignor::Assignor;
use crate::client::member::{Event, MemberOptions};
use crate::client::metadata::TopicPartition;
use crate::cluster::dial::Driver;
use crate::cluster::ledger::{HEADER, Ledger, Tag};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// How long one turn of a reader may wait.
const STEP: Duration = Duration::from_millis(250);

/// A broker may hold an answer for so long, in milliseconds.
const MAX_WAIT_MS: u32 = 500;
/// A member that is silent for so long loses its partitions, in milliseconds.
const SESSION_TIMEOUT_MS: u32 = 3_000;
/// Between two heartbeats, in milliseconds: how soon a member hears of a rebalance.
const HEARTBEAT_INTERVAL_MS: u32 = 300;
/// The others wait so long for a member that does not join again, in milliseconds.
const REBALANCE_TIMEOUT_MS: u32 = 5_000;
/// Between two commits, in milliseconds.
const COMMIT_INTERVAL_MS: u64 = 1_000;
/// How long leaving may take, in milliseconds.
const LEAVING_MS: u64 = 1_000;

/// Where a reader is in a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Watch {
    next: i64,
    /// The broker said that the place is out of range, and a new one is looked for.
    is_lost: bool,
    /// It was set back: what lies between its place and where it was may come again, or not.
    is_set_back: bool,
}

/// What a reader tells the ledger.
#[derive(Debug, Default)]
pub(super) struct Follower {
    places: BTreeMap<TopicPartition, Watch>,
}

impl Follower {
    /// Records that were read, in order a partition.
    pub(super) fn read(&mut self, ledger: &mut Ledger, records: &[ConsumerRecord]) {
        for read in records {
            let header = read.record.headers.iter().find(|(name, _)| name == HEADER);
            let tag = header.and_then(|(_, value)| Tag::parse(value.as_ref()?));
            ledger.read(&read.partition, read.record.offset, tag);
        }
    }

    /// Where a reader is after a turn.
    pub(super) fn stands(
        &mut self,
        ledger: &mut Ledger,
        partition: &TopicPartition,
        next: Option<i64>,
        high_watermark: i64,
    ) {
        let Some(place) = self.places.get_mut(partition) else {
            if let Some(next) = next {
                ledger.reads_from(partition, next);
                self.places.insert(partition.clone(), Watch { next, ..Watch::default() });
            }
            return;
        };
        let Some(next) = next else {
            place.is_lost = true;
            return;
        };
        if place.is_lost {
            place.is_lost = false;
            if next > place.next {
                ledger.removed(partition, next);
            }
            place.is_set_back |= next < place.next;
        }
        place.next = next;
        if place.is_set_back && next >= high_watermark {
            // Everything there is was read again: the rest of what was read before is no more.
            place.is_set_back = false;
            ledger.cut(partition, high_watermark);
        }
    }

    /// Another reads it now.
    fn leaves(&mut self, partition: &TopicPartition) {
        self.places.remove(partition);
    }

    /// Whether it has a place in so many partitions.
    pub(super) fn is_ready(&self, partitions: usize) -> bool {
        partitions > 0 && self.places.len() >= partitions
    }
}

/// Reads partitions of topics for ever; `ready` is told once it has a place in every one.
pub(super) async fn follow(
    shared: Arc<Shared>,
    topics: Vec<String>,
    partitions: Vec<i32>,
    start: Start,
    client_id: String,
    ready: watch::Sender<bool>,
) {
    let options = ConsumerOptions { start, partitions, max_wait_ms: MAX_WAIT_MS, ..ConsumerOptions::default() };
    let mut driver = Driver::new(Consumer::new(&topics, options), &shared.bootstrap(), &client_id);
    let mut follower = Follower::default();
    loop {
        driver.step(STEP).await;
        let records = driver.machine.take_records();
        let errors = driver.machine.take_errors();
        let known = tell(&shared, &mut follower, &records, &errors, driver.machine.positions());
        if !*ready.borrow() && follower.is_ready(known) {
            ready.send_replace(true);
        }
    }
}

/// Tells the ledger what a reader read and where it is; in how many partitions that is.
fn tell<'a>(
    shared: &Shared,
    follower: &mut Follower,
    records: &[ConsumerRecord],
    errors: &[String],
    positions: impl Iterator<Item = (&'a TopicPartition, Option<i64>, i64)>,
) -> usize {
    let mut ledger = lock(&shared.ledger);
    follower.read(&mut ledger, records);
    let mut known = 0;
    for (partition, next, high_watermark) in positions {
        known += 1;
        follower.stands(&mut ledger, partition, next, high_watermark);
    }
    if errors.iter().any(|error| error.contains(" at ")) {
        // A batch that cannot be read: what was in it is not known.
        ledger.gap(*lock(&shared.clock_ms));
    }
    known
}

/// Waits until it is told to end, or nobody is there to tell.
async fn told(leaves: &mut watch::Receiver<bool>) {
    let _ = leaves.wait_for(|leaves| *leaves).await;
}

/// A group of readers that share the partitions of some topics.
#[derive(Debug, Clone)]
pub(super) struct Crew {
    /// The group's name.
    pub(super) group: &'static str,
    /// The topics.
    pub(super) topics: Vec<String>,
    /// How many partitions they have together.
    pub(super) partitions: usize,
    /// Where to begin where the group has committed nothing, until it has places everywhere.
    pub(super) reset: Reset,
    /// Where any of them has found a place.
    pub(super) places: Arc<Mutex<BTreeSet<TopicPartition>>>,
}

/// Reads as a member of a group until it is told to leave; `ready` is told once the group has a place in every partition.
pub(super) async fn follow_in_group(
    shared: Arc<Shared>,
    crew: Crew,
    client_id: String,
    ready: watch::Sender<bool>,
    mut leaves: watch::Receiver<bool>,
) {
    let member = MemberOptions {
        assignors: vec![Assignor::CooperativeSticky],
        session_timeout_ms: SESSION_TIMEOUT_MS,
        heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
        rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
        auto_commit_interval_ms: Some(COMMIT_INTERVAL_MS),
        ..MemberOptions::new(crew.group, &crew.topics)
    };
    let options = ConsumerOptions { reset: crew.reset, max_wait_ms: MAX_WAIT_MS, ..ConsumerOptions::default() };
    let reader = || GroupConsumer::new(member.clone(), options.clone());
    let mut driver = Driver::new(reader(), &shared.bootstrap(), &client_id);
    let mut follower = Follower::default();
    while !driver.machine.member().is_gone() {
        tokio::select! {
            () = driver.step(STEP) => {}
            () = told(&mut leaves) => {
                let now_ms = driver.now_ms();
                driver.machine.leave(now_ms, LEAVING_MS);
                driver.step(STEP).await;
            }
        }
        for event in driver.machine.take_events() {
            if let Event::Revoked(partitions) | Event::Lost(partitions) = event {
                partitions.iter().for_each(|partition| follower.leaves(partition));
            }
        }
        let records = driver.machine.take_records(usize::MAX);
        let errors = driver.machine.take_errors();
        tell(&shared, &mut follower, &records, &errors, driver.machine.positions());
        driver.machine.processed();
        let mut places = lock(&crew.places);
        places.extend(follower.places.keys().cloned());
        if !*ready.borrow() && places.len() >= crew.partitions {
            ready.send_replace(true);
            // From now on what is not committed is read again: the ledger knows it already, and nothing is missed.
            driver.machine.set_reset(Reset::Earliest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ledger::LoadId;
    use crate::cluster::view::Acks;
    use crate::protocol::records::Record;
    use bytes::Bytes;

    const LOAD: LoadId = LoadId(1);

    fn partition() -> TopicPartition {
        TopicPartition::new("orders", 0)
    }

    fn record(offset: i64, number: u64) -> ConsumerRecord {
        let tag = Tag { load: LOAD, number }.to_string();
        let headers = vec![("source".to_owned(), None), (HEADER.to_owned(), Some(Bytes::from(tag)))];
        let record = Record { offset, timestamp: 0, key: None, value: None, headers };
        ConsumerRecord { partition: partition(), record, leader_epoch: 0 }
    }

    /// A ledger and a reader at 0, with records 1 to 6 acknowledged at offsets 0 to 5 and the first four read.
    fn under_way() -> (Ledger, Follower) {
        let (mut ledger, mut follower) = (Ledger::default(), Follower::default());
        ledger.begin(LOAD, Acks::Leader);
        follower.stands(&mut ledger, &partition(), None, -1);
        assert!(!follower.is_ready(1));
        follower.stands(&mut ledger, &partition(), Some(0), 0);
        assert!(follower.is_ready(1));
        for number in 1..=6_u64 {
            ledger.acked(Tag { load: LOAD, number }, &partition(), i64::try_from(number).expect("small") - 1);
        }
        let records: Vec<_> =
            (0..4).map(|offset| record(offset, u64::try_from(offset).expect("positive") + 1)).collect();
        follower.read(&mut ledger, &records);
        follower.stands(&mut ledger, &partition(), Some(4), 4);
        assert_eq!(ledger.report().counts.readable, 4);
        (ledger, follower)
    }

    #[test]
    fn a_log_that_was_cut_is_known_when_all_that_is_left_was_read_again() {
        let (mut ledger, mut follower) = under_way();
        follower.stands(&mut ledger, &partition(), None, 4);
        follower.stands(&mut ledger, &partition(), Some(0), 4);
        assert_eq!(ledger.report().counts.lost, 0, "it may all come again");
        follower.read(&mut ledger, &[record(0, 1), record(1, 2)]);
        follower.stands(&mut ledger, &partition(), Some(2), 2);
        let counts = ledger.report().counts;
        assert_eq!((counts.lost, counts.readable, counts.duplicated), (4, 2, 0));
    }

    #[test]
    fn records_that_retention_removed_before_they_were_read_are_not_lost() {
        let (mut ledger, mut follower) = under_way();
        follower.stands(&mut ledger, &partition(), None, 4);
        follower.stands(&mut ledger, &partition(), Some(6), 6);
        follower.read(&mut ledger, &[record(6, 7)]);
        assert_eq!((ledger.report().counts.lost, ledger.report().counts.readable), (0, 4));
    }
}

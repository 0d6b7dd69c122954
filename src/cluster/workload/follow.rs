//! The readers of a load: they tell the ledger everything they read, in order, and when a broker set them back.
//!
//! They read what they are told to, or share the partitions as members of a group, which takes a reader's partitions over when it dies.
//!
//! Invariants: a reader has a place in every partition before its load begins; a partition that another member reads now has no place here
//! any more.
//!
//! Deliberately not here: what is made of a reader's places (`ledger/follower`), and verdicts (`ledger`).

use super::{Shared, lock};
use crate::client::consumer::{Consumer, ConsumerOptions, ConsumerRecord, Reset, Start};
use crate::client::group::GroupConsumer;
use crate::client::member::assignor::Assignor;
use crate::client::member::{Event, MemberOptions};
use crate::client::metadata::TopicPartition;
use crate::cluster::dial::Driver;
use crate::cluster::ledger::follower::Follower;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// How long one turn of a reader may wait.
const STEP: Duration = Duration::from_millis(250);

/// A broker may hold an answer for so long, in milliseconds.
const MAX_WAIT_MS: u32 = 500;
/// A member that is silent for so long loses its partitions, in milliseconds; longer where brokers do not let it in with that.
pub(super) const SESSION_TIMEOUT_MS: u32 = 3_000;
/// Between two heartbeats, in milliseconds: how soon a member hears of a rebalance.
const HEARTBEAT_INTERVAL_MS: u32 = 300;
/// The others wait so long for a member that does not join again, in milliseconds.
const REBALANCE_TIMEOUT_MS: u32 = 5_000;
/// Between two commits, in milliseconds.
const COMMIT_INTERVAL_MS: u64 = 1_000;
/// How long leaving may take, in milliseconds.
const LEAVING_MS: u64 = 1_000;

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
        session_timeout_ms: shared.session_timeout_ms,
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
        places.extend(follower.places().cloned());
        if !*ready.borrow() && places.len() >= crew.partitions {
            ready.send_replace(true);
            // From now on what is not committed is read again: the ledger knows it already, and nothing is missed.
            driver.machine.set_reset(Reset::Earliest);
        }
    }
}

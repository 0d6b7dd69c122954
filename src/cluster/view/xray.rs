//! One partition from the inside, as the console shows it: every replica's log on one axis of offsets, and what tells them apart.
//!
//! Invariants: one partition at a time; batches are those of a stretch of offsets, bounded; what no broker has told is `None` or empty,
//! never made up. A broker that is gone keeps what it told last.
//!
//! Deliberately not here: how anything looks, records.

use super::{BrokerId, PartitionName, ReplicaRole};
use crate::engine::observe::{BatchHead, ProducerInside};
use std::sync::Arc;

/// What the console wants to see of the inside of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XrayRequest {
    /// Which.
    pub partition: PartitionName,
    /// The first offset in view.
    pub from: i64,
    /// The offset after the last in view.
    pub to: i64,
}

/// A partition from the inside.
#[derive(Debug, Clone, PartialEq)]
pub struct XrayView {
    /// Which.
    pub name: PartitionName,
    /// The partition before it by name.
    pub previous: Option<PartitionName>,
    /// The partition after it by name.
    pub next: Option<PartitionName>,
    /// Who leads, by the metadata, whether it answers or not.
    pub leader: Option<BrokerId>,
    /// The leader epoch.
    pub leader_epoch: i32,
    /// The in-sync replicas, in Kafka's order.
    pub isr: Vec<BrokerId>,
    /// The eligible leader replicas (KIP-966).
    pub elr: Vec<BrokerId>,
    /// `min.insync.replicas` of its topic.
    pub min_isr: u32,
    /// The high watermark.
    pub high_watermark: Option<i64>,
    /// Records a second by which it grows.
    pub records_per_s: Option<u64>,
    /// Since when it stands still though it should move.
    pub stalled_since_ms: Option<u64>,
    /// Where readers of committed transactions stop.
    pub last_stable_offset: Option<i64>,
    /// Why nothing moves, in a few words.
    pub reason: String,
    /// Every replica in the order of the assignment: the first is the preferred leader.
    pub replicas: Vec<XrayReplica>,
    /// Producers the leader knows: those with an open transaction, then those that wrote last.
    pub producers: Vec<XrayProducer>,
    /// How many there are.
    pub producer_count: usize,
    /// The truncation that is to come, under way or was the last.
    pub truncation: Option<Truncation>,
}

impl XrayView {
    /// The leader's replica.
    pub fn of_leader(&self) -> Option<&XrayReplica> {
        self.replicas.iter().find(|replica| Some(replica.broker) == self.leader)
    }

    /// The log end of the leader, or the furthest there is.
    pub fn end(&self) -> Option<i64> {
        let of_leader = self.of_leader().and_then(|replica| replica.log_end);
        of_leader.or_else(|| self.replicas.iter().filter_map(|replica| replica.log_end).max())
    }
}

/// A replica from the inside.
#[derive(Debug, Clone, PartialEq)]
pub struct XrayReplica {
    /// On which broker.
    pub broker: BrokerId,
    /// What it is.
    pub role: ReplicaRole,
    /// The leader epoch it is in; `None` while it has told nothing.
    pub leader_epoch: Option<i32>,
    /// Its first offset.
    pub log_start: i64,
    /// Its log end offset.
    pub log_end: Option<i64>,
    /// Whether it is in the ISR.
    pub in_isr: bool,
    /// Records of the leader it does not have.
    pub behind: u64,
    /// From here on its records are nobody else's, and go.
    pub diverges_at: Option<i64>,
    /// The batches in view; `None` while they have not been looked at.
    pub batches: Option<Arc<[BatchHead]>>,
    /// Its leader epochs with where each begins, in order.
    pub epochs: Arc<[(i32, i64)]>,
}

impl XrayReplica {
    /// The leader epoch in which an offset was written.
    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        epoch_at(&self.epochs, offset)
    }
}

/// The leader epoch in which an offset was written, by a list of epochs and their starts.
pub fn epoch_at(epochs: &[(i32, i64)], offset: i64) -> Option<i32> {
    let after = epochs.partition_point(|(_, start)| *start <= offset);
    Some(epochs[after.checked_sub(1)?].0)
}

/// A producer of the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XrayProducer {
    /// What the leader's log knows of it.
    pub known: ProducerInside,
    /// Its transactional id, if its coordinator tells one.
    pub transactional_id: Option<Arc<str>>,
}

/// How far a truncation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TruncationStage {
    /// A replica has records that nobody else has, and does not know yet.
    Extra,
    /// It asks the new leader where their logs part.
    Asks,
    /// It has cut its log.
    Cuts,
    /// It copies what it lacks, or is in sync again.
    Rejoins,
}

/// A replica whose log parts from the leader's, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncation {
    /// The replica.
    pub broker: BrokerId,
    /// Whom it follows.
    pub leader: Option<BrokerId>,
    /// Where its log ended.
    pub from: i64,
    /// Where the logs part: it is cut to end here.
    pub to: i64,
    /// The epoch of what goes, if it was seen.
    pub epoch: Option<i32>,
    /// The leader epoch that the leader began there.
    pub leader_epoch: i32,
    /// How far it is.
    pub stage: TruncationStage,
    /// When it was cut.
    pub at_ms: Option<u64>,
    /// Whether it is in sync again.
    pub is_over: bool,
}

impl Truncation {
    /// How many offsets go.
    pub fn records(&self) -> u64 {
        u64::try_from(self.from - self.to).unwrap_or(0)
    }
}

//! What was committed, as the outside can know it: each batch at the moment when a leader's high watermark passed it. Every other rule
//! about records is checked against this.
//!
//! Where somebody gave a command that may destroy more than Kafka's contract survives, an unclean election and one of the last known leader
//! begin the partition's history anew: what that leader lacks is a loss that the ledger names, not a broken rule.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::disk::DiskLog;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::{ElectionReason, EventKind};
use crate::protocol::batch::BatchHeader;
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::{BTreeMap, BTreeSet};

/// A committed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Its header: with the checksum, all there is to know.
    pub header: BatchHeader,
    /// The epoch of the leader whose high watermark passed it first.
    pub committed_in: i32,
}

impl Committed {
    /// Whether a batch on a disk is this one.
    pub fn is(&self, header: &BatchHeader) -> bool {
        self.header.crc == header.crc
            && self.header.base_offset == header.base_offset
            && self.header.leader_epoch == header.leader_epoch
    }
}

/// Batches that have just been committed.
#[derive(Debug, Clone)]
pub struct News {
    /// On which partition.
    pub partition: PartitionId,
    /// By which leader.
    pub leader: BrokerId,
    /// The first of them in the partition's history.
    pub from: usize,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct History {
    partitions: BTreeMap<PartitionId, Vec<Committed>>,
    /// The epoch in which a partition's history began anew.
    begun_anew: BTreeMap<PartitionId, i32>,
    /// Partitions of which some replica has taken records away.
    compacted: BTreeSet<PartitionId>,
}

impl History {
    /// A partition's committed batches, in order.
    pub fn of(&self, partition: PartitionId) -> &[Committed] {
        self.partitions.get(&partition).map_or(&[], Vec::as_slice)
    }

    /// All partitions with committed records.
    pub fn partitions(&self) -> impl Iterator<Item = (&PartitionId, &[Committed])> {
        self.partitions.iter().map(|(partition, batches)| (partition, batches.as_slice()))
    }

    /// The batch at an offset.
    pub fn at(&self, partition: PartitionId, base_offset: i64) -> Option<&Committed> {
        let batches = self.of(partition);
        let place = batches.binary_search_by_key(&base_offset, |batch| batch.header.base_offset).ok()?;
        Some(&batches[place])
    }

    /// Whether records were taken out of a partition by compaction: its batches are no longer what was committed, and CompactionKeepsLast says
    /// what has to be left.
    pub fn is_compacted(&self, partition: PartitionId) -> bool {
        self.compacted.contains(&partition)
    }

    /// Whether a log has a committed batch, or had it before compaction.
    pub fn is_in(&self, partition: PartitionId, log: Option<&DiskLog>, batch: &Committed) -> bool {
        let Some(log) = log else { return false };
        let found = log.batches.get(log.position(batch.header.base_offset));
        let is_past = || self.is_compacted(partition) && log.end_offset >= batch.header.next_offset();
        found.is_some_and(|found| batch.is(&found.header)) || is_past()
    }

    /// Whether any partition's history began anew: what was acknowledged before may be gone.
    pub fn has_begun_anew(&self) -> bool {
        !self.begun_anew.is_empty()
    }

    fn begin_anew(&mut self, world: &World, outcome: &StepOutcome) {
        if !world.may_lose_records {
            return;
        }
        for event in &outcome.events {
            let EventKind::LeaderElected { partition, leader_epoch, reason, .. } = event.kind else { continue };
            if matches!(reason, ElectionReason::Unclean | ElectionReason::LastKnownLeader) {
                self.partitions.remove(&partition);
                self.begun_anew.insert(partition, leader_epoch);
            }
        }
    }

    /// Takes in what leaders' high watermarks passed.
    pub(super) fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<Vec<News>, Violation> {
        let mut news = Vec::new();
        let Some(leader) = outcome.stepped else { return Ok(news) };
        self.begin_anew(world, outcome);
        if let Some(node) = world.nodes.get(&leader) {
            self.compacted.extend(node.disk.rewritten());
        }
        for event in &outcome.events {
            let EventKind::HighWatermark { partition, leader_epoch, offset } = event.kind else { continue };
            // Whoever led before may not know yet that it does no more.
            if self.begun_anew.get(&partition).is_some_and(|epoch| leader_epoch < *epoch) {
                continue;
            }
            let Some(log) = world.nodes[&leader].disk.log_of(partition) else { continue };
            let known = self.partitions.entry(partition).or_default();
            let from = known.len();
            let end = known.last().map_or(log.start_offset, |batch| batch.header.next_offset());
            for batch in &log.batches[log.position(end)..] {
                if batch.header.next_offset() > offset {
                    break;
                }
                known.push(Committed { header: batch.header, committed_in: leader_epoch });
            }
            if known.len() > from {
                news.push(News { partition, leader, from });
            }
        }
        Ok(news)
    }
}

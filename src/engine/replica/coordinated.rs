//! Partitions of internal topics as their coordinators use them: leaderships that come and go, a high watermark that
//! moves, appends of the coordinator's own, reads of everything there is (Kafka's `CoordinatorPartitionWriter` and
//! `CoordinatorLoader`).
//!
//! Invariants: an append is refused unless this broker leads in the epoch that the coordinator believes in, and unless
//! enough replicas are in sync. What was appended counts when the high watermark has passed it, and not before.
//!
//! It knows nothing of what the records mean.

use super::{ReplicaEnv, Replicas};
use crate::engine::io::Ctx;
use crate::engine::rpc::Rpc;
use crate::protocol::batch::Batch;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::PartitionId;
use std::collections::BTreeSet;

/// A partition that this broker leads, as its coordinator has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Coordinated {
    /// The epoch in which it leads.
    pub leader_epoch: i32,
    /// The first offset there is.
    pub log_start: i64,
    /// The offset after the last record.
    pub log_end: i64,
    /// Records below are on every in-sync replica.
    pub high_watermark: i64,
    /// The largest batch it takes, in bytes.
    pub max_batch_bytes: usize,
}

impl Replicas {
    /// Coordinators had their turn: followers that wait are given what was written.
    pub(in crate::engine) fn after_coordinators(&mut self, cx: &mut Ctx, rpc: &mut Rpc, env: &ReplicaEnv) {
        self.settle(cx, rpc, env);
    }

    /// Something has happened to a partition that a coordinator has to know.
    pub(super) fn tell_coordinator(&mut self, id: PartitionId) {
        if self.partitions.get(&id).is_some_and(|replica| replica.is_internal) {
            self.coordinator_news.insert(id);
        }
    }

    /// The partitions of internal topics whose leadership or high watermark has changed since the last call.
    pub(in crate::engine) fn take_coordinator_news(&mut self) -> BTreeSet<PartitionId> {
        std::mem::take(&mut self.coordinator_news)
    }

    /// A partition, if this broker leads it.
    pub(in crate::engine) fn coordinated(&self, id: PartitionId) -> Option<Coordinated> {
        let replica = self.partitions.get(&id).filter(|replica| self.is_current && replica.is_leader())?;
        Some(Coordinated {
            leader_epoch: replica.leader_epoch,
            log_start: replica.log.start_offset(),
            log_end: replica.log.end_offset(),
            high_watermark: replica.high_watermark,
            max_batch_bytes: usize::try_from(replica.config.max_message_bytes).unwrap_or(usize::MAX),
        })
    }

    /// Appends a coordinator's records, all or none; the offset after the last of them.
    ///
    /// # Errors
    /// `NOT_LEADER_OR_FOLLOWER` if this broker does not lead in that epoch, `NOT_ENOUGH_REPLICAS`, or why the log
    /// refuses.
    pub(in crate::engine) fn append_as_coordinator(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        id: PartitionId,
        leader_epoch: i32,
        batches: Vec<Batch>,
    ) -> Result<i64, ErrorCode> {
        let found = self.partitions.get_mut(&id).filter(|replica| replica.leader_epoch == leader_epoch);
        let replica = found.ok_or(ErrorCode::NotLeaderOrFollower)?;
        let leader = replica.as_leader().ok_or(ErrorCode::NotLeaderOrFollower)?;
        if leader.is_under_min_isr(&replica.config) {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        let old_end = replica.log.end_offset();
        let appended = replica.log.append_as_leader(cx, batches, leader_epoch, &replica.config, false);
        let end = appended.map_err(|error| error.code)?.last_offset + 1;
        self.leader_appended(cx, env, id, old_end);
        Ok(end)
    }

    /// Batches from an offset on, safe or not, for a coordinator that loads.
    ///
    /// # Errors
    /// `NOT_LEADER_OR_FOLLOWER`, or `KAFKA_STORAGE_ERROR` if the store refuses.
    pub(in crate::engine) fn read_as_coordinator(
        &self,
        cx: &mut Ctx,
        id: PartitionId,
        from: i64,
        max_bytes: usize,
    ) -> Result<Vec<Batch>, ErrorCode> {
        let replica = self.partitions.get(&id).ok_or(ErrorCode::NotLeaderOrFollower)?;
        let read = replica.log.read(cx.log(), from, max_bytes, replica.log.end_offset());
        read.map_err(|error| Replicas::storage_failed(cx, &error))
    }
}

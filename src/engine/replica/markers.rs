//! Markers of transactions, written by the leader of a partition: as a coordinator's records are, and told when the
//! high watermark has passed them.

use super::purgatory::{Draft, Place, WaitFor};
use super::{Access, ReplicaEnv, Replicas};
use crate::engine::io::Ctx;
use crate::engine::log::ProducerSummary;
use crate::engine::mutant::Mutant;
use crate::engine::rpc::Rpc;
use crate::engine::txn::marking::{MarkerPlace, batch_of};
use crate::engine::txn::metadata::BUMPS_FROM;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::PartitionId;
use crate::protocol::peer::TxnMarker;

impl Replicas {
    /// Writes a marker; what becomes of it is told by [`Replicas::take_marked`].
    ///
    /// # Errors
    /// If it cannot be written: `UNKNOWN_TOPIC_OR_PARTITION`, `NOT_LEADER_OR_FOLLOWER`, `NOT_ENOUGH_REPLICAS`,
    /// `INVALID_PRODUCER_EPOCH`, `TRANSACTION_COORDINATOR_FENCED`, or why the log refuses.
    pub(in crate::engine) fn write_marker(
        &mut self,
        cx: &mut Ctx,
        rpc: &mut Rpc,
        env: &ReplicaEnv,
        id: PartitionId,
        marker: &TxnMarker,
        place: MarkerPlace,
    ) -> Result<(), ErrorCode> {
        let offset = self.append_marker(cx, env, id, marker)?;
        if cx.has(Mutant::MarkerAnsweredAtOnce) {
            self.marked.push((place, ErrorCode::None));
            return Ok(());
        }
        let wait = Place { at: (0, 0), partition: id, offset, wait_for: WaitFor::Replicated, is_done: false };
        let deadline = cx.now.plus_millis(env.config.peer_request_timeout_ms);
        self.park_for(cx, None, Some(deadline), Draft::Marker { place, error: ErrorCode::None }, vec![wait]);
        self.finish_replicated(cx, env, id);
        self.after_coordinators(cx, rpc, env);
        Ok(())
    }

    /// Appends a marker; the offset after it.
    ///
    /// # Errors
    /// As [`Replicas::write_marker`].
    pub(in crate::engine) fn append_marker(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        id: PartitionId,
        marker: &TxnMarker,
    ) -> Result<i64, ErrorCode> {
        let replica = self.find(env, id, -1, Access::Leader)?;
        let leader_epoch = replica.leader_epoch;
        // With version 2 the epoch was bumped before the marker: one in the epoch of an open transaction is late, and
        // must not end what came after its own (KIP-890). Without one open it is a repetition (KAFKA-19999).
        let is_late = marker.transaction_version >= BUMPS_FROM
            && replica.log.has_open_transaction(marker.producer_id, marker.producer_epoch);
        let is_known = |known: ProducerSummary| {
            known.producer_id == marker.producer_id && known.producer_epoch >= marker.producer_epoch
        };
        if is_late || (cx.has(Mutant::MarkerRepetitionRefused) && replica.log.producers().any(is_known)) {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        let batch = batch_of(marker, cx.wall.0);
        let end = self.append_as_coordinator(cx, env, id, leader_epoch, vec![batch])?;
        self.replica_mut(id).expect("just written to").end_verifying(marker.producer_id);
        Ok(end)
    }

    /// What became of markers since the last call.
    pub(in crate::engine) fn take_marked(&mut self) -> Vec<(MarkerPlace, ErrorCode)> {
        std::mem::take(&mut self.marked)
    }

    /// Whether coordinators do not know yet what has changed.
    pub(in crate::engine) fn has_coordinator_news(&self) -> bool {
        !self.coordinator_news.is_empty()
    }
}

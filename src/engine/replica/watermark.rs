//! The high watermark moves, and who waited for it is told. Also what follows when a leader's log grows.
//!
//! Invariant: it never goes backwards here. Only a cut of the log below it (`follower.rs`) lowers it.

use super::partition::Role;
use super::timers::Timer;
use super::{ReplicaEnv, Replicas};
use crate::engine::io::Ctx;
use crate::engine::mutant::Mutant;
use crate::engine::observe::EventKind;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::PartitionId;

impl Replicas {
    /// Computes a leader's high watermark anew: after a follower's position, a persisted write, a change of the ISR, or
    /// time.
    pub(in crate::engine) fn raise_high_watermark(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId) {
        let Some(replica) = self.partitions.get_mut(&id) else { return };
        let Role::Leader(leader) = &mut replica.role else { return };
        let rule = Self::isr_rule(env, &replica.config, cx.now);
        let (persisted, end) = (replica.log.persisted_end(), replica.log.end_offset());
        let target = leader.high_watermark(persisted, end, &rule);
        let Some(offset) = target.filter(|offset| *offset > replica.high_watermark) else { return };
        replica.high_watermark = offset;
        leader.stalled_since = (offset < end).then_some(cx.now);
        for follower in leader.followers.keys() {
            if let Some(peer) = self.peers.get_mut(follower) {
                peer.has_news(id);
            }
        }
        if replica.is_internal {
            self.coordinator_news.insert(id);
        }
        let leader_epoch = replica.leader_epoch;
        cx.emit(EventKind::HighWatermark { partition: id, leader_epoch, offset });
        self.checkpoint.changed(cx.now, &mut self.timers);
        self.touch_readers(id);
        self.finish_replicated(cx, env, id);
    }

    /// Those whose write is on every in-sync replica now are answered, with the check that enough of them are left
    /// (`acks=all`).
    pub(in crate::engine) fn finish_replicated(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId) {
        loop {
            let Some(replica) = self.partitions.get_mut(&id) else { return };
            let high_watermark = replica.high_watermark;
            let Role::Leader(leader) = &mut replica.role else { return };
            let due = leader.waits_replicated.first().copied().filter(|wait| wait.offset <= high_watermark);
            let Some(wait) = due else { return };
            leader.waits_replicated.pop_first();
            let is_enough = leader.maximal_isr().len() >= leader.min_isr(&replica.config);
            let error = if is_enough { ErrorCode::None } else { ErrorCode::NotEnoughReplicasAfterAppend };
            self.finish_wait(cx, env, id, wait, error);
        }
    }

    /// Those that wait for the leader's own disk only are answered (`acks=1`).
    pub(in crate::engine) fn finish_persisted(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId) {
        loop {
            let Some(replica) = self.partitions.get_mut(&id) else { return };
            let persisted = replica.log.persisted_end();
            let Role::Leader(leader) = &mut replica.role else { return };
            let due = leader.waits_persisted.first().copied().filter(|wait| wait.offset <= persisted);
            let Some(wait) = due else { return };
            leader.waits_persisted.pop_first();
            self.finish_wait(cx, env, id, wait, ErrorCode::None);
        }
    }

    /// Those that wait until records are gone everywhere are answered (DeleteRecords).
    pub(in crate::engine) fn finish_deleted(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId) {
        loop {
            let Some(replica) = self.partitions.get_mut(&id) else { return };
            let own_start = replica.log.start_offset();
            let Role::Leader(leader) = &mut replica.role else { return };
            if leader.waits_deleted.is_empty() {
                return;
            }
            let low_watermark = leader.low_watermark(own_start);
            let due = leader.waits_deleted.first().copied().filter(|wait| wait.offset <= low_watermark);
            let Some(wait) = due else { return };
            leader.waits_deleted.pop_first();
            self.purgatory.set_low_watermark(wait, low_watermark);
            self.finish_wait(cx, env, id, wait, ErrorCode::None);
        }
    }

    /// A leader's log has grown from `old_end`: followers that wait are to be given the records.
    pub(in crate::engine) fn leader_appended(&mut self, cx: &Ctx, env: &ReplicaEnv, id: PartitionId, old_end: i64) {
        self.note_write(cx, id);
        let Some(replica) = self.partitions.get_mut(&id) else { return };
        let Role::Leader(leader) = &mut replica.role else { return };
        leader.stalled_since.get_or_insert(cx.now);
        for (follower, progress) in &mut leader.followers {
            let peer = self.peers.get_mut(follower);
            progress.before_append(old_end, peer.as_ref().map(|peer| peer.last_fetch_at));
            let Some(peer) = peer else { continue };
            let is_worth_an_answer = match cx.has(Mutant::FetchSessionLostUpdate) {
                true => peer.has_records_now(id),
                false => peer.has_records(id),
            };
            if is_worth_an_answer {
                self.touched_peers.insert(*follower);
            }
        }
        self.arm_lag_check(cx, env, id);
    }

    /// Sets the timer for the next look at a partition's followers, unless it is set early enough.
    pub(in crate::engine) fn arm_lag_check(&mut self, cx: &Ctx, env: &ReplicaEnv, id: PartitionId) {
        let Some(replica) = self.partitions.get_mut(&id) else { return };
        let end = replica.log.end_offset();
        let Role::Leader(leader) = &mut replica.role else { return };
        let rule = Self::isr_rule(env, &replica.config, cx.now);
        let next = leader.next_lag_check(end, &rule);
        if let Some(at) = next.filter(|at| leader.lag_check_at.is_none_or(|set| *at < set)) {
            leader.lag_check_at = Some(at);
            self.timers.set(at, Timer::Lag(id));
        }
    }
}

//! A leader changes its ISR: it asks the controller (AlterPartition, KIP-497), one request under way at a time for the
//! whole broker with everything that has come up (Kafka's `AlterPartitionManager`), one change under way a partition.
//!
//! Invariants: a replica counts as a member from the moment it is proposed and until its leaving is decided; a proposal
//! stays until the controller's word or newer metadata takes its place, for an answer that was lost may have been a
//! yes.

use super::leader::PendingIsr;
use super::partition::Role;
use super::timers::Timer;
use super::{ReplicaEnv, Replicas};
use crate::engine::io::Ctx;
use crate::engine::mutant::Mutant;
use crate::engine::rpc::{Purpose, Rpc, RpcResult};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, PartitionId};
use crate::protocol::peer::{
    AlterPartitionAnswer, AlterPartitionItem, AlterPartitionRequest, AlterPartitionResponse, PeerRequest, PeerResponse,
};
use std::collections::{BTreeMap, BTreeSet};

/// Changes on their way to the controller.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct IsrChanges {
    /// Partitions with a proposal that has to be sent (again).
    queue: BTreeSet<PartitionId>,
    /// Partitions in the request that is under way, with the partition epoch they were sent with: an answer is good for
    /// that state only.
    sent: BTreeMap<PartitionId, i32>,
    under_way: UnderWay,
    is_backing_off: bool,
}

/// The request under way.
#[derive(Debug, Clone, Default, PartialEq)]
enum UnderWay {
    #[default]
    Nothing,
    /// To another broker, by its correlation id.
    Remote(u64),
    /// To this broker itself, not picked up yet.
    Local(AlterPartitionRequest),
    /// This broker itself is deciding.
    LocalTaken,
}

impl IsrChanges {
    /// The pause after an error is over.
    pub fn may_send(&mut self) {
        self.is_backing_off = false;
    }

    /// Whoever was asked decides no more.
    pub fn controller_changed(&mut self) {
        self.under_way = UnderWay::Nothing;
        self.queue.extend(std::mem::take(&mut self.sent).into_keys());
        self.is_backing_off = false;
    }
}

impl Replicas {
    /// The request for this broker's own controller, once. Its answer goes to [`Replicas::on_alter_partition_answer`].
    pub fn take_local_alter_partition(&mut self) -> Option<AlterPartitionRequest> {
        match std::mem::take(&mut self.isr_changes.under_way) {
            UnderWay::Local(request) => {
                self.isr_changes.under_way = UnderWay::LocalTaken;
                Some(request)
            }
            other => {
                self.isr_changes.under_way = other;
                None
            }
        }
    }

    /// What this broker's own controller decided; `None` if it is the controller no more.
    pub fn on_alter_partition_answer(
        &mut self,
        cx: &mut Ctx,
        rpc: &mut Rpc,
        env: &ReplicaEnv,
        answer: Option<PeerResponse>,
    ) {
        self.begin(cx, env);
        if self.isr_changes.under_way == UnderWay::LocalTaken {
            self.settle_isr_request(cx, env, answer);
        }
        self.settle(cx, rpc, env);
    }

    /// What another broker as the controller decided.
    pub(super) fn on_alter_partition_result(&mut self, cx: &mut Ctx, env: &ReplicaEnv, result: RpcResult) {
        if self.isr_changes.under_way == UnderWay::Remote(result.request.id) {
            self.settle_isr_request(cx, env, result.outcome.ok());
        }
    }

    fn settle_isr_request(&mut self, cx: &mut Ctx, env: &ReplicaEnv, answer: Option<PeerResponse>) {
        self.isr_changes.under_way = UnderWay::Nothing;
        let mut unanswered = std::mem::take(&mut self.isr_changes.sent);
        if let Some(PeerResponse::AlterPartition(AlterPartitionResponse { error: ErrorCode::None, partitions })) =
            answer
        {
            for item in partitions {
                if let Some(sent_epoch) = unanswered.remove(&item.partition) {
                    self.settle_isr_item(cx, env, &item, sent_epoch);
                }
            }
        }
        if !unanswered.is_empty() {
            self.isr_changes.queue.extend(unanswered.into_keys());
            self.back_off_isr(cx, env);
        }
    }

    /// The controller's word on one partition (`Partition.handleAlterPartitionUpdate` and `handleAlterPartitionError`).
    fn settle_isr_item(&mut self, cx: &mut Ctx, env: &ReplicaEnv, answer: &AlterPartitionAnswer, sent_epoch: i32) {
        let id = answer.partition;
        let Some(replica) = self.partitions.get_mut(&id) else { return };
        if replica.partition_epoch != sent_epoch {
            return;
        }
        let is_this_term = replica.leader_epoch == answer.leader_epoch && answer.partition_epoch >= sent_epoch;
        let Some(leader) = replica.as_leader_mut() else { return };
        match answer.error {
            ErrorCode::None if is_this_term => {
                self.adopt_isr(cx, env, id, answer.partition_epoch, &answer.isr);
            }
            ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted => {
                leader.pending = None;
                self.timers.set(cx.now.plus_millis(env.config.replica_fetch_backoff_ms), Timer::Isr(id));
                self.raise_high_watermark(cx, env, id);
            }
            // Fenced, outdated, unknown: newer metadata is on its way here. Asking again does no harm: the epochs in
            // the request make it good for one state of the partition only.
            _ => {
                self.isr_changes.queue.insert(id);
                self.back_off_isr(cx, env);
            }
        }
    }

    /// Takes over an ISR that the controller decided in this leader epoch, by answer or by metadata, whichever comes
    /// first.
    pub(super) fn adopt_isr(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        id: PartitionId,
        partition_epoch: i32,
        isr: &[BrokerId],
    ) {
        let Some(replica) = self.partitions.get_mut(&id) else { return };
        let Role::Leader(leader) = &mut replica.role else { return };
        assert!(partition_epoch >= replica.partition_epoch, "partition epochs do not go backwards");
        replica.partition_epoch = partition_epoch;
        leader.isr = isr.to_vec();
        leader.pending = None;
        if cx.has(Mutant::ProgressWiped) {
            let replicas: Vec<BrokerId> = std::mem::take(&mut leader.followers).into_keys().collect();
            leader.set_replicas(env.broker, &replicas, cx.now);
        }
        leader.told_not_enough_replicas &= leader.is_under_min_isr(&replica.config);
        self.isr_changes.queue.remove(&id);
        self.raise_high_watermark(cx, env, id);
        self.finish_deleted(cx, env, id);
        self.look_at_isr(cx, env, id);
    }

    /// Looks for members to add or to leave out.
    pub(super) fn look_at_isr(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId) {
        self.maybe_expand_isr(cx, env, id);
        self.maybe_shrink_isr(cx, env, id);
        self.arm_lag_check(cx, env, id);
    }

    /// Proposes replicas that have caught up (`Partition.maybeExpandIsr`).
    pub(super) fn maybe_expand_isr(&mut self, cx: &Ctx, env: &ReplicaEnv, id: PartitionId) {
        let Some(replica) = self.partitions.get_mut(&id) else { return };
        let end = replica.log.end_offset();
        let Role::Leader(leader) = &mut replica.role else { return };
        if leader.pending.is_some() || leader.isr.len() > leader.followers.len() {
            return;
        }
        let rule = Self::isr_rule(env, &replica.config, cx.now);
        let joiners = leader.joiners(replica.high_watermark, end, &rule);
        if joiners.is_empty() {
            return;
        }
        let isr = leader.isr.iter().copied().chain(joiners).collect();
        leader.pending = Some(PendingIsr { isr, joins: !cx.has(Mutant::JoinNotWaitedFor) });
        self.isr_changes.queue.insert(id);
    }

    /// Proposes to go on without members that have not kept up (`Partition.maybeShrinkIsr`).
    pub(super) fn maybe_shrink_isr(&mut self, cx: &Ctx, env: &ReplicaEnv, id: PartitionId) {
        let Some(replica) = self.partitions.get_mut(&id) else { return };
        let end = replica.log.end_offset();
        let Role::Leader(leader) = &mut replica.role else { return };
        if leader.pending.is_some() {
            return;
        }
        let rule = Self::isr_rule(env, &replica.config, cx.now);
        let laggards = leader.laggards(end, &rule);
        if laggards.is_empty() {
            return;
        }
        let isr = leader.isr.iter().copied().filter(|broker| !laggards.contains(broker)).collect();
        if cx.has(Mutant::ShrinkBeforeController) {
            leader.isr.clone_from(&isr);
        }
        leader.pending = Some(PendingIsr { isr, joins: false });
        self.isr_changes.queue.insert(id);
    }

    /// A follower's lag time may have run out.
    pub(super) fn on_lag_timer(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId) {
        let Some(leader) = self.partitions.get_mut(&id).and_then(|replica| replica.as_leader_mut()) else { return };
        // A timer of an earlier term as the leader is not the one that is waited for.
        if leader.lag_check_at.is_none_or(|at| at > cx.now) {
            return;
        }
        leader.lag_check_at = None;
        self.maybe_shrink_isr(cx, env, id);
        // A replica outside the ISR that was waited for may have fallen behind.
        self.raise_high_watermark(cx, env, id);
        self.arm_lag_check(cx, env, id);
    }

    fn back_off_isr(&mut self, cx: &Ctx, env: &ReplicaEnv) {
        if !self.isr_changes.is_backing_off {
            self.isr_changes.is_backing_off = true;
            self.timers.set(cx.now.plus_millis(env.config.replica_fetch_backoff_ms), Timer::AlterPartition);
        }
    }

    /// Sends all proposals that wait, if nothing is under way.
    pub(super) fn send_isr_changes(&mut self, cx: &mut Ctx, rpc: &mut Rpc, env: &ReplicaEnv) {
        let changes = &self.isr_changes;
        if changes.queue.is_empty() || changes.under_way != UnderWay::Nothing || changes.is_backing_off {
            return;
        }
        let (Some(controller), Some(broker_epoch)) = (env.controller, env.broker_epoch) else { return };
        let mut items = Vec::with_capacity(changes.queue.len());
        for id in std::mem::take(&mut self.isr_changes.queue) {
            if let Some(item) = self.isr_item(env, id, broker_epoch) {
                self.isr_changes.sent.insert(id, item.partition_epoch);
                items.push(item);
            }
        }
        if items.is_empty() {
            return;
        }
        let request = AlterPartitionRequest { broker: env.broker, broker_epoch, partitions: items };
        self.isr_changes.under_way = if controller == env.broker {
            UnderWay::Local(request)
        } else {
            let (purpose, timeout_ms) = (Purpose::AlterPartition, env.config.peer_request_timeout_ms);
            UnderWay::Remote(rpc.send(cx, controller, purpose, PeerRequest::AlterPartition(request), timeout_ms))
        };
    }

    /// A proposal as it is sent: each member with the broker epoch it fetched under, −1 if it has not fetched yet
    /// (KIP-903).
    fn isr_item(&self, env: &ReplicaEnv, id: PartitionId, broker_epoch: i64) -> Option<AlterPartitionItem> {
        let replica = self.partitions.get(&id)?;
        let leader = replica.as_leader()?;
        let pending = leader.pending.as_ref()?;
        let epoch_of = |broker: &BrokerId| match leader.followers.get(broker) {
            _ if *broker == env.broker => broker_epoch,
            Some(progress) => progress.broker_epoch.unwrap_or(-1),
            None => -1,
        };
        Some(AlterPartitionItem {
            partition: id,
            leader_epoch: replica.leader_epoch,
            partition_epoch: replica.partition_epoch,
            new_isr: pending.isr.iter().map(|broker| (*broker, epoch_of(broker))).collect(),
            is_recovering: false,
        })
    }
}

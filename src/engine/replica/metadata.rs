//! Metadata becomes deeds: logs are made and deleted, replicas become leaders and followers (Kafka's
//! `ReplicaManager.applyDelta`, `Partition.makeLeader` and `makeFollower`).
//!
//! Invariants: epochs only rise; a new leader begins its epoch in the log even when there is nothing to write
//! (KAFKA-7415), keeps its own high watermark and never cuts its log to it (KIP-101); a log is deleted only by metadata
//! that is at least as new as this broker's life.

use super::leader::Leader;
use super::partition::{Replica, Role};
use super::{ReplicaEnv, Replicas};
use crate::engine::config::TopicConfig;
use crate::engine::controller::configs::topic_config_on;
use crate::engine::controller::image::MetadataDelta;
use crate::engine::controller::record::{ConfigResource, PartitionState};
use crate::engine::io::Ctx;
use crate::engine::log::PartitionLog;
use crate::engine::mutant::Mutant;
use crate::engine::observe::EventKind;
use crate::engine::rpc::Rpc;
use crate::protocol::ids::{BrokerId, LogId, PartitionId, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The configurations of topics, resolved once a change of metadata.
type Configs = BTreeMap<TopicId, (Arc<str>, Arc<TopicConfig>)>;

impl Replicas {
    /// Takes over what changed in the metadata; `env.image` has it already.
    pub fn apply_metadata(&mut self, cx: &mut Ctx, rpc: &mut Rpc, env: &ReplicaEnv, delta: &MetadataDelta) {
        let was_current = self.is_current;
        self.begin(cx, env);
        // Metadata that became current in this very step was applied as a whole.
        if was_current {
            if delta.is_whole {
                self.apply_whole_image(cx, env);
            } else {
                self.apply_delta(cx, env, delta);
            }
        }
        self.settle(cx, rpc, env);
    }

    /// Compares all replicas with the whole image: after the start, and when a snapshot took the place of the image.
    pub(super) fn apply_whole_image(&mut self, cx: &mut Ctx, env: &ReplicaEnv) {
        let gone: Vec<PartitionId> =
            self.partitions.keys().copied().filter(|id| env.image.partition(*id).is_none()).collect();
        for id in gone {
            self.remove(cx, env, id);
        }
        let mut configs = Configs::new();
        let kept: BTreeSet<PartitionId> = self.partitions.keys().copied().collect();
        for (id, _, state) in env.image.partitions() {
            if state.replicas.contains(&env.broker) || kept.contains(&id) {
                self.apply_partition(cx, env, id, state, &mut configs);
            }
        }
        self.reconfigure(cx, env, |_| true);
        self.brokers_changed(cx, env, &env.image.brokers.keys().copied().collect());
    }

    fn apply_delta(&mut self, cx: &mut Ctx, env: &ReplicaEnv, delta: &MetadataDelta) {
        for (topic, image) in &delta.removed_topics {
            for partition in image.partitions.keys() {
                self.remove(cx, env, PartitionId::new(*topic, *partition));
            }
        }
        let mut configs = Configs::new();
        for id in &delta.partitions {
            if let Some(state) = env.image.partition(*id) {
                self.apply_partition(cx, env, *id, state, &mut configs);
            }
        }
        if !delta.configs.is_empty() {
            let everywhere = delta.configs.iter().any(|resource| match resource {
                ConfigResource::Cluster => true,
                ConfigResource::Broker(broker) => *broker == env.broker,
                ConfigResource::Topic(_) | ConfigResource::Group(_) => false,
            });
            self.reconfigure(cx, env, |topic| {
                everywhere || delta.configs.contains(&ConfigResource::Topic(topic.to_owned()))
            });
        }
        if !delta.brokers.is_empty() {
            self.brokers_changed(cx, env, &delta.brokers);
        }
    }

    fn apply_partition(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        id: PartitionId,
        state: &PartitionState,
        configs: &mut Configs,
    ) {
        if !state.replicas.contains(&env.broker) {
            self.remove(cx, env, id);
            return;
        }
        if !self.partitions.contains_key(&id) {
            self.create(cx, env, id, configs);
        }
        let replica = self.partitions.get_mut(&id).expect("just made");
        if state.leader_epoch > replica.leader_epoch {
            replica.partition_epoch = state.partition_epoch;
            if state.leader == Some(env.broker) {
                self.become_leader(cx, env, id, state);
            } else {
                self.become_follower(cx, env, id, state);
            }
        } else if state.leader_epoch == replica.leader_epoch && state.partition_epoch >= replica.partition_epoch {
            let is_newer = state.partition_epoch > replica.partition_epoch;
            if let Role::Leader(leader) = &mut replica.role {
                // The ISR may be known already from the controller's answer, which says nothing of the replicas.
                leader.set_replicas(env.broker, &state.replicas, cx.now);
                if is_newer {
                    self.adopt_isr(cx, env, id, state.partition_epoch, &state.isr);
                }
            } else {
                replica.partition_epoch = state.partition_epoch;
            }
        }
        self.take_early_positions(cx, env, id);
    }

    fn create(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId, configs: &mut Configs) {
        let (topic, config) = configs.entry(id.topic).or_insert_with(|| {
            let name = env.image.topics.get(&id.topic).map(|topic| topic.name.as_str()).unwrap_or_default();
            (Arc::from(name), Arc::new(topic_config_on(env.image, env.config, env.broker, name)))
        });
        let (topic, config) = (Arc::clone(topic), Arc::clone(config));
        self.last_log += 1;
        let mut log = PartitionLog::create(cx, LogId(self.last_log), id, &topic);
        log.configure(&config);
        self.partitions.insert(id, Replica::new(log, topic, config, 0));
    }

    /// This broker leads a partition in a new epoch. When it led before, requests that wait go on waiting: their
    /// records stay.
    fn become_leader(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId, state: &PartitionState) {
        self.stop_fetching(id);
        let replica = self.partitions.get_mut(&id).expect("the replica exists");
        replica.leader = Some(env.broker);
        replica.leader_epoch = state.leader_epoch;
        if !cx.has(Mutant::NoEpochAtLeaderStart) {
            replica.log.begin_epoch(cx, state.leader_epoch);
        }
        let log_end = replica.log.end_offset();
        let mut leader = Leader::new(log_end, env.broker, &state.replicas, &state.isr, cx.now);
        leader.stalled_since = (replica.high_watermark < log_end).then_some(cx.now);
        let high_watermark = replica.high_watermark;
        match std::mem::replace(&mut replica.role, Role::Leader(Box::new(leader))) {
            Role::Leader(mut old) => {
                let leader = replica.as_leader_mut().expect("just made");
                leader.waits_replicated.append(&mut old.waits_replicated);
                leader.waits_persisted.append(&mut old.waits_persisted);
                leader.waits_deleted.append(&mut old.waits_deleted);
                self.sleep_followers(id, old.followers.keys());
            }
            Role::Follower | Role::Idle => self.leaders += 1,
        }
        self.note_write(cx, id);
        self.tell_coordinator(id);
        cx.emit(EventKind::BecameLeader { partition: id, leader_epoch: state.leader_epoch, log_end, high_watermark });
        self.touch_readers(id);
        self.raise_high_watermark(cx, env, id);
        self.arm_lag_check(cx, env, id);
    }

    /// This broker follows somebody, or nobody while nobody can lead.
    fn become_follower(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId, state: &PartitionState) {
        self.stop_fetching(id);
        let replica = self.partitions.get_mut(&id).expect("the replica exists");
        replica.leader = state.leader;
        replica.leader_epoch = state.leader_epoch;
        if let Role::Leader(old) = std::mem::replace(&mut replica.role, Role::Follower) {
            self.leaders -= 1;
            self.sleep_followers(id, old.followers.keys());
            self.fail_waits(cx, env, id, *old);
        }
        let (leader_epoch, leader) = (state.leader_epoch, state.leader);
        cx.emit(EventKind::BecameFollower { partition: id, leader_epoch, leader });
        self.touch_readers(id);
        if cx.has(Mutant::TruncateToHighWatermark) {
            self.cut_to_high_watermark(cx, id);
        }
        self.tell_coordinator(id);
        if let Some(leader) = leader {
            self.start_fetching(leader, id);
        }
    }

    /// This broker has no replica of a partition any more.
    fn remove(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId) {
        if !self.partitions.contains_key(&id) {
            return;
        }
        self.stop_fetching(id);
        self.touch_readers(id);
        self.tell_coordinator(id);
        let replica = self.partitions.remove(&id).expect("just seen");
        replica.log.delete(cx);
        if let Role::Leader(old) = replica.role {
            self.leaders -= 1;
            self.sleep_followers(id, old.followers.keys());
            self.fail_waits(cx, env, id, *old);
        }
    }

    /// Topics whose configuration may have changed get it anew.
    fn reconfigure(&mut self, cx: &mut Ctx, env: &ReplicaEnv, is_concerned: impl Fn(&str) -> bool) {
        let mut resolved: BTreeMap<TopicId, Arc<TopicConfig>> = BTreeMap::new();
        let mut changed = Vec::new();
        for (id, replica) in &mut self.partitions {
            if !is_concerned(&replica.topic) {
                continue;
            }
            let config = resolved
                .entry(id.topic)
                .or_insert_with(|| Arc::new(topic_config_on(env.image, env.config, env.broker, &replica.topic)));
            if replica.config != *config {
                replica.config = Arc::clone(config);
                replica.log.configure(config);
                changed.push(*id);
            }
        }
        for id in changed {
            // Another `min.insync.replicas` may let the high watermark go on.
            self.raise_high_watermark(cx, env, id);
        }
    }

    /// Brokers came, went, or may be in sync again: leaders with such a follower look at their ISR.
    fn brokers_changed(&mut self, cx: &mut Ctx, env: &ReplicaEnv, brokers: &BTreeSet<BrokerId>) {
        let concerns = |leader: &Leader| leader.followers.keys().any(|follower| brokers.contains(follower));
        let concerned: Vec<PartitionId> = self
            .partitions
            .iter()
            .filter(|(_, replica)| replica.as_leader().is_some_and(concerns))
            .map(|(id, _)| *id)
            .collect();
        for id in concerned {
            self.raise_high_watermark(cx, env, id);
            self.maybe_expand_isr(cx, env, id);
        }
    }
}

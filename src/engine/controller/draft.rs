//! A decision in the making: records, events, and what the cluster looks like once they are applied, as far as later
//! parts of the same decision need to know (partitions and which brokers are active). So a decision that touches a
//! partition twice, or fences two brokers, is consistent when its records are applied in order.
//!
//! It does not hold a whole second image: a copy of 10,000 partitions for each heartbeat would be too dear.

use crate::engine::config::ClusterConfig;
use crate::engine::controller::configs;
use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::partition_change::{Changed, PartitionChange, TopicRules};
use crate::engine::controller::record::{MetadataRecord, PartitionState};
use crate::engine::controller::{ControllerReply, Decision, features};
use crate::engine::observe::{ElectionReason, EventKind};
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::BTreeMap;

/// See the module.
pub(super) struct Draft<'a> {
    /// The image at the end of the log, before this decision.
    pub image: &'a MetadataImage,
    /// The static configuration.
    pub config: &'a ClusterConfig,
    next_offset: i64,
    partitions: BTreeMap<PartitionId, PartitionState>,
    active: BTreeMap<BrokerId, bool>,
    records: Vec<MetadataRecord>,
    events: Vec<EventKind>,
}

impl<'a> Draft<'a> {
    /// Nothing decided yet.
    pub fn new(image: &'a MetadataImage, config: &'a ClusterConfig, next_offset: i64) -> Draft<'a> {
        Draft {
            image,
            config,
            next_offset,
            partitions: BTreeMap::new(),
            active: BTreeMap::new(),
            records: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The offset that the next record will get.
    pub fn next_offset(&self) -> i64 {
        self.next_offset + i64::try_from(self.records.len()).expect("a decision has few records")
    }

    /// Adds a record that changes neither a partition nor which brokers are active.
    pub fn push(&mut self, record: MetadataRecord) {
        self.records.push(record);
    }

    /// Adds something to tell.
    pub fn emit(&mut self, event: EventKind) {
        self.events.push(event);
    }

    /// Whether a broker may lead and be in sync, all of this decision considered.
    pub fn is_active(&self, broker: BrokerId) -> bool {
        self.active.get(&broker).copied().unwrap_or_else(|| self.image.is_active(broker))
    }

    /// From here on the broker counts as active, or not.
    pub fn set_active(&mut self, broker: BrokerId, is_active: bool) {
        self.active.insert(broker, is_active);
    }

    /// A partition's state, all of this decision considered.
    pub fn partition(&self, id: PartitionId) -> Option<&PartitionState> {
        self.partitions.get(&id).or_else(|| self.image.partition(id))
    }

    /// What holds for the partitions of a topic.
    pub fn rules(&self, topic: &str) -> TopicRules {
        TopicRules {
            min_insync_replicas: configs::min_insync_replicas(self.image, self.config, topic),
            unclean_election: configs::allows_unclean_election(self.image, self.config, topic),
            has_elr: self.image.feature(features::ELIGIBLE_LEADER_REPLICAS) >= 1,
            mutant: self.config.mutant,
        }
    }

    /// Changes a partition: `want` says what is wanted, the rest follows. The new state, or `None` if nothing changes.
    pub fn change(
        &mut self,
        id: PartitionId,
        rules: TopicRules,
        want: impl FnOnce(&mut PartitionChange),
    ) -> Option<&PartitionState> {
        let before = self.partition(id)?;
        let may_lead = |broker| self.is_active(broker);
        let mut change = PartitionChange::new(before, rules, &may_lead);
        want(&mut change);
        let changed = change.build()?;
        let before = before.clone();
        self.tell(id, &before, &changed);
        let (topic, partition) = (id.topic, id.partition);
        self.records.push(MetadataRecord::PartitionChange { topic, partition, state: changed.state.clone() });
        self.partitions.insert(id, changed.state);
        self.partitions.get(&id)
    }

    fn tell(&mut self, id: PartitionId, before: &PartitionState, changed: &Changed) {
        let after = &changed.state;
        if let Some(reason) = changed.election {
            let reason = if after.leader.is_none() { ElectionReason::NoneEligible } else { reason };
            let (leader, leader_epoch) = (after.leader, after.leader_epoch);
            self.events.push(EventKind::LeaderElected { partition: id, leader, leader_epoch, reason });
        }
        if before.isr != after.isr || before.elr != after.elr {
            let shrunk = before.isr.iter().any(|member| !after.isr.contains(member));
            let (isr, elr) = (after.isr.clone(), after.elr.clone());
            self.events.push(EventKind::IsrChanged { partition: id, isr, elr, shrunk });
        }
        if changed.is_reassigned {
            self.events.push(EventKind::ReassignmentDone { partition: id, replicas: after.replicas.clone() });
        }
    }

    /// Changes every partition that `affected` picks.
    pub fn change_all(
        &mut self,
        affected: impl Fn(&PartitionState) -> bool,
        want: impl Fn(&PartitionState, &mut PartitionChange),
    ) {
        let image = self.image;
        for topic in image.topics.values() {
            let mut rules = None;
            for (number, committed) in &topic.partitions {
                let id = PartitionId::new(topic.id, *number);
                let before = self.partitions.get(&id).unwrap_or(committed);
                if affected(before) {
                    let rules = *rules.get_or_insert_with(|| self.rules(&topic.name));
                    let before = before.clone();
                    self.change(id, rules, |change| want(&before, change));
                }
            }
        }
    }

    /// The decision.
    pub fn finish(self, reply: Option<ControllerReply>) -> Decision {
        Decision { records: self.records, reply, events: self.events, answers_at_once: false }
    }
}

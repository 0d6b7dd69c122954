//! What predicates ask of a simulated world, at this very moment.
//!
//! Invariants: metadata is what the broker that has applied most of it says; a leader that is dead leads nothing, even if the controller has
//! not seen it yet; what became of records is what their readers found.

use crate::cluster::command::Partition;
use crate::cluster::command::predicate::{Count, Facts, GroupFacts, Measure, Members};
use crate::cluster::observation::groups::{facts_of, state_of};
use crate::cluster::sim::world::{Node, Power, World};
use crate::engine::controller::image::MetadataImage;
use crate::engine::group;
use crate::protocol::ids::{BrokerId, PartitionId};
use std::sync::Arc;

/// The metadata of the broker that has applied most of it.
pub fn newest_image(world: &World) -> Option<&Arc<MetadataImage>> {
    let images = world.nodes.values().filter_map(|node| node.broker.as_ref()).map(|broker| broker.image());
    images.max_by_key(|image| image.end_offset)
}

pub(super) fn partition_id(world: &World, partition: &Partition) -> Option<PartitionId> {
    let image = newest_image(world)?;
    let id = PartitionId::new(*image.topic_ids.get(&partition.topic)?, partition.partition);
    image.partition(id).map(|_| id)
}

/// Who coordinates a group now: a leader that is dead coordinates nothing.
pub(super) fn coordinator_of(world: &World, group: &str) -> Option<BrokerId> {
    let image = newest_image(world)?;
    group::coordinator_of(image, group).filter(|id| world.nodes.get(id).is_some_and(|node| node.power != Power::Off))
}

/// Whether there are groups at all.
pub(super) fn has_groups(world: &World) -> bool {
    newest_image(world).is_some_and(|image| group::partition_of(image, "").is_some())
}

impl Facts for World {
    fn leader(&self, partition: &Partition) -> Option<Option<BrokerId>> {
        let state = newest_image(self)?.partition(partition_id(self, partition)?)?;
        // Whoever is dead leads nothing, even if the controller has not seen it yet.
        Some(state.leader.filter(|leader| self.nodes.get(leader).is_some_and(|node| node.power != Power::Off)))
    }

    fn controller(&self) -> Option<Option<BrokerId>> {
        let active = self.nodes.iter().filter(|(_, node)| node.power == Power::On).filter_map(|(id, node)| {
            let broker = node.broker.as_ref().filter(|broker| broker.is_active_controller())?;
            Some((broker.image().end_offset, *id))
        });
        Some(active.max().map(|(_, id)| id))
    }

    fn members(&self, list: Members, partition: &Partition) -> Option<Vec<BrokerId>> {
        let state = newest_image(self)?.partition(partition_id(self, partition)?)?;
        Some(match list {
            Members::Isr => state.isr.clone(),
            Members::Replicas => state.replicas.clone(),
        })
    }

    fn measure(&self, measure: Measure, partition: &Partition, on: Option<BrokerId>) -> Option<i64> {
        let id = partition_id(self, partition)?;
        let state = newest_image(self)?.partition(id)?;
        if (measure, on) == (Measure::LeaderEpoch, None) {
            return Some(i64::from(state.leader_epoch));
        }
        let node = self.nodes.get(&on.or(state.leader)?)?;
        let replica = || {
            let scope = crate::engine::observe::Scope { partitions: Some(vec![id]), inside: None };
            node.broker.as_ref()?.replicas().snapshot(&scope).into_iter().next()
        };
        match measure {
            Measure::LeaderEpoch => replica().map(|replica| i64::from(replica.leader_epoch)),
            Measure::HighWatermark => replica().map(|replica| replica.high_watermark),
            // A replica that was never written to has no log yet.
            _ if !state.replicas.contains(&node.config.broker) => None,
            Measure::LogEndOffset => Some(node.disk.log_of(id).map_or(0, |log| log.end_offset)),
            Measure::LogStartOffset => Some(node.disk.log_of(id).map_or(0, |log| log.start_offset)),
        }
    }

    fn count(&self, count: Count) -> Option<u64> {
        let states = || newest_image(self).into_iter().flat_map(|image| image.partitions());
        let number = match count {
            Count::Alive => self.nodes.values().filter(|node| node.power == Power::On).count(),
            Count::UnderReplicated => states().filter(|(_, _, state)| state.isr.len() < state.replicas.len()).count(),
            Count::Leaderless => states().filter(|(_, _, state)| state.leader.is_none()).count(),
            Count::Faults => {
                let broken = |node: &&Node| {
                    node.power != Power::On
                        || node.skew_ms != 0
                        || !node.write_delay.is_zero()
                        || node.disk.fault().is_some()
                };
                self.links.faulty().count() + self.links.drops().len() + self.nodes.values().filter(broken).count()
            }
            Count::Acked => return Some(self.account()?.counts.acked),
            Count::Readable => return Some(self.account()?.counts.readable),
            Count::Lost => return Some(self.account()?.counts.lost),
            Count::Duplicated => return Some(self.account()?.counts.duplicated),
            Count::Reordered => return Some(self.account()?.counts.reordered),
        };
        u64::try_from(number).ok()
    }

    fn group(&self, name: &str) -> Option<GroupFacts> {
        let image = newest_image(self)?;
        let broker = self.nodes.get(&coordinator_of(self, name)?)?.broker.as_ref()?;
        let told = broker.groups().snapshot(image, &broker.config().cluster);
        let told = told.into_iter().find(|group| *group.group == *name)?;
        let end = |topic: &str, partition| {
            self.measure(Measure::HighWatermark, &Partition { topic: topic.to_owned(), partition }, None)
        };
        Some(facts_of(&told, Some(state_of(&told)), end))
    }
}

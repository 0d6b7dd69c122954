//! Liveness: what has to come true, once faults have stopped, within bounded virtual time (`EventuallyUnfenced`, `EventuallyMetadataConverges`,
//! `EventuallyAcknowledgedValueFullyReplicated`, `EventuallyWriteIsAcceptedOrRejected` of the KIP-966 model): every broker runs and is
//! unfenced, all have applied the same metadata, every partition has a leader, its whole ISR and no lag, every high watermark is at the log's
//! end, no transaction is open, and no request waits unanswered.

use crate::client::metadata::TopicPartition;
use crate::cluster::sim::workload::{Belief, Client, ClientId, Membership, Role};
use crate::cluster::sim::world::{Node, Power, World};
use crate::engine::controller::image::MetadataImage;
use crate::engine::io::LogRead;
use crate::engine::observe::{ReplicaRole, Scope};
use crate::protocol::ids::{BrokerId, PartitionId};
use std::sync::Arc;

/// The rule's name.
pub const RULE: &str = "Liveness";

/// What keeps the cluster from being whole; `None` when nothing does. Members read on as long as they are there: first their groups have to come
/// to rest, then they leave.
pub fn what_is_missing(world: &mut World) -> Option<String> {
    let missing = unfinished_metadata(world).or_else(|| unfinished_client(world, false));
    if let Some(missing) = missing.or_else(|| unfinished_group(world)) {
        return Some(missing);
    }
    if world.retire_members() {
        return Some("members are to leave".to_owned());
    }
    let image = Arc::clone(world.nodes.values().find_map(|node| Some(node.broker.as_ref()?.image()))?);
    unfinished_client(world, true)
        .or_else(|| unfinished_partition(world, &image))
        .or_else(|| unfinished_broker(world, &image))
}

fn unfinished_metadata(world: &World) -> Option<String> {
    let mut end = None;
    for (id, node) in &world.nodes {
        // A broker that was asked to stop may have stopped only now: it is whole without it only if it runs.
        let Some(broker) = node.broker.as_ref().filter(|_| node.power == Power::On) else {
            return Some(format!("broker {id} does not run"));
        };
        if broker.is_fenced() {
            return Some(format!("broker {id} is fenced"));
        }
        let applied = broker.image().end_offset;
        if *end.get_or_insert(applied) != applied {
            return Some(format!("broker {id} has not applied the same metadata"));
        }
    }
    None
}

/// Readers read on as long as anybody writes.
fn unfinished_client(world: &World, of_readers: bool) -> Option<String> {
    let wanted = |(_, client): &(&ClientId, &Client)| matches!(client.role, Role::Reading(_)) == of_readers;
    world.clients.iter().filter(wanted).find_map(|(id, client)| {
        let what = client.what_is_missing(world.now)?;
        Some(format!("client {} has {what}", id.0))
    })
}

/// Every partition that a group reads has an owner (`EventuallyConverges` of the KIP-848 model).
fn unfinished_group(world: &World) -> Option<String> {
    let image = world.nodes.values().find_map(|node| Some(node.broker.as_ref()?.image()))?;
    let staying = |membership: &&Membership| !membership.is_retired();
    for membership in world.clients.values().filter_map(Client::membership).filter(staying) {
        let group = &membership.life.group;
        let others = world.clients.values().filter_map(|client| client.membership()?.belief());
        let of_group: Vec<Belief> = others.filter(|belief| belief.group == group).collect();
        for name in &membership.life.topics {
            let Some(topic) = image.topic_by_name(name) else { return Some(format!("there is no topic {name}")) };
            for partition in 0..topic.partitions.len() {
                let number = i32::try_from(partition).expect("a few partitions");
                let place = TopicPartition::new(name, number);
                if !of_group.iter().any(|belief| belief.owned.contains(&place)) {
                    return Some(format!("nobody owns {place} in {group}"));
                }
            }
        }
    }
    None
}

fn unfinished_partition(world: &World, image: &MetadataImage) -> Option<String> {
    for (partition, topic, state) in image.partitions() {
        let name = format!("{}-{}", topic.name, partition.partition);
        let Some(leader) = state.leader else { return Some(format!("{name} has no leader")) };
        if state.isr.len() < state.replicas.len() {
            return Some(format!("{name} misses an in-sync replica: {:?} of {:?}", state.isr, state.replicas));
        }
        let end = |id: &BrokerId| world.nodes[id].disk.log_of(partition).map(|log| log.end_offset);
        let ends: Vec<Option<i64>> = state.replicas.iter().map(end).collect();
        if ends.windows(2).any(|pair| pair[0] != pair[1]) {
            return Some(format!("{name} ends differently: {ends:?}"));
        }
        if let Some(missing) = lag_of(&world.nodes[&leader], partition, &name) {
            return Some(missing);
        }
    }
    None
}

fn lag_of(leader: &Node, partition: PartitionId, name: &str) -> Option<String> {
    let scope = Scope { partitions: Some(vec![partition]) };
    let replica = leader.broker.as_ref()?.replicas().snapshot(&scope, &leader.disk).pop()?;
    if replica.role != ReplicaRole::Leader {
        return Some(format!("the leader of {name} does not know yet that it is"));
    }
    let (high_watermark, end) = (replica.high_watermark, replica.log_end);
    if high_watermark < end {
        return Some(format!("the high watermark of {name} stands at {high_watermark} of {end}"));
    }
    // Whoever began one has ended it, or its coordinator has when its time was over.
    let stable = replica.last_stable_offset;
    (stable < end).then(|| format!("{name} has an open transaction: what is stable ends at {stable} of {end}"))
}

fn unfinished_broker(world: &World, image: &MetadataImage) -> Option<String> {
    for (id, node) in &world.nodes {
        let expected = image.partitions().filter(|(_, _, state)| state.replicas.contains(id)).count();
        if node.disk.logs().len() != 1 + expected {
            return Some(format!("broker {id} has logs it should not have"));
        }
        let parked = node.broker.as_ref()?.replicas().parked();
        if parked > 0 {
            return Some(format!("{parked} requests wait on broker {id}"));
        }
    }
    None
}

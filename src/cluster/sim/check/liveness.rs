//! Liveness: what has to come true, once faults have stopped, within bounded virtual time (`EventuallyUnfenced`, `EventuallyMetadataConverges`,
//! `EventuallyAcknowledgedValueFullyReplicated`, `EventuallyWriteIsAcceptedOrRejected` of the KIP-966 model): every broker runs and is
//! unfenced, all have applied the same metadata, every partition has a leader, its whole ISR and no lag, every high watermark is at the log's
//! end, no transaction is open, and no request waits unanswered.
//!
//! The same is asked of a core first, all brokers but one that stays down: whatever can have a leader without it has one, and goes on.

use crate::client::metadata::TopicPartition;
use crate::cluster::sim::workload::{Belief, Client, ClientId, Membership, Role};
use crate::cluster::sim::world::{Node, Power, World};
use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::record::PartitionState;
use crate::engine::io::LogRead;
use crate::engine::observe::{ReplicaRole, Scope};
use crate::protocol::ids::{BrokerId, PartitionId};
use std::sync::Arc;

/// The rule's name.
pub const RULE: &str = "Liveness";

/// What keeps the cluster from going on without a broker that is down; `None` when nothing does. Partitions that only it could lead wait for it,
/// and whoever uses them with them.
pub fn what_a_core_misses(world: &World, down: BrokerId) -> Option<String> {
    if let Some(missing) = unfinished_metadata(world, Some(down)) {
        return Some(missing);
    }
    let image = Arc::clone(first_image(world)?);
    if !image.brokers.get(&down).is_none_or(|broker| broker.fenced) {
        return Some(format!("broker {down} is not fenced, although it is down"));
    }
    if let Some(missing) = unfinished_partition(world, &image, Some(down)) {
        return Some(missing);
    }
    if is_held_up(&image, Some(down)) {
        return None;
    }
    unfinished_client(world, false).or_else(|| unfinished_group(world))
}

/// Whether some partition waits for who is down: then so may transactions, clients and groups.
fn is_held_up(image: &MetadataImage, down: Option<BrokerId>) -> bool {
    down.is_some_and(|down| image.partitions().any(|(_, _, state)| waits_for(state, down)))
}

/// Whether nobody else has all records of a partition.
fn waits_for(state: &PartitionState, down: BrokerId) -> bool {
    state.isr.iter().chain(&state.elr).all(|id| *id == down)
}

fn first_image(world: &World) -> Option<&Arc<MetadataImage>> {
    world.nodes.values().find_map(|node| Some(node.broker.as_ref()?.image()))
}

/// What keeps the cluster from being whole; `None` when nothing does. Members read on as long as they are there: first their groups have to come
/// to rest, then they leave.
pub fn what_is_missing(world: &mut World) -> Option<String> {
    let missing = unfinished_metadata(world, None).or_else(|| unfinished_client(world, false));
    if let Some(missing) = missing.or_else(|| unfinished_group(world)) {
        return Some(missing);
    }
    if world.retire_members() {
        return Some("members are to leave".to_owned());
    }
    let image = Arc::clone(first_image(world)?);
    unfinished_client(world, true)
        .or_else(|| unfinished_partition(world, &image, None))
        .or_else(|| unfinished_broker(world, &image))
}

fn unfinished_metadata(world: &World, down: Option<BrokerId>) -> Option<String> {
    let mut end = None;
    for (id, node) in world.nodes.iter().filter(|(id, _)| Some(**id) != down) {
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
    let image = first_image(world)?;
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

fn unfinished_partition(world: &World, image: &MetadataImage, down: Option<BrokerId>) -> Option<String> {
    let may_be_open = is_held_up(image, down);
    for (partition, topic, state) in image.partitions() {
        if down.is_some_and(|down| waits_for(state, down)) {
            continue;
        }
        let name = format!("{}-{}", topic.name, partition.partition);
        let Some(leader) = state.leader else { return Some(format!("{name} has no leader")) };
        let live: Vec<BrokerId> = state.replicas.iter().copied().filter(|id| Some(*id) != down).collect();
        if !live.iter().all(|id| state.isr.contains(id)) || state.isr.len() != live.len() {
            return Some(format!("{name} misses an in-sync replica: {:?} of {live:?}", state.isr));
        }
        let end = |id: &BrokerId| world.nodes[id].disk.log_of(partition).map(|log| log.end_offset);
        let ends: Vec<Option<i64>> = live.iter().map(end).collect();
        if ends.windows(2).any(|pair| pair[0] != pair[1]) {
            return Some(format!("{name} ends differently: {ends:?}"));
        }
        if let Some(missing) = lag_of(&world.nodes[&leader], partition, &name, may_be_open) {
            return Some(missing);
        }
    }
    None
}

fn lag_of(leader: &Node, partition: PartitionId, name: &str, may_be_open: bool) -> Option<String> {
    let scope = Scope { partitions: Some(vec![partition]), inside: None };
    let replica = leader.broker.as_ref()?.replicas().snapshot(&scope).pop()?;
    if replica.role != ReplicaRole::Leader {
        return Some(format!("the leader of {name} does not know yet that it is"));
    }
    let (high_watermark, end) = (replica.high_watermark, replica.log_end);
    if high_watermark < end {
        return Some(format!("the high watermark of {name} stands at {high_watermark} of {end}"));
    }
    // Whoever began one has ended it, or its coordinator has when its time was over.
    let stable = replica.last_stable_offset;
    (stable < end && !may_be_open)
        .then(|| format!("{name} has an open transaction: what is stable ends at {stable} of {end}"))
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

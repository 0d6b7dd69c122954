//! Liveness: what has to come true, once faults have stopped, within bounded virtual time (`EventuallyUnfenced`, `EventuallyMetadataConverges`,
//! `EventuallyAcknowledgedValueFullyReplicated`, `EventuallyWriteIsAcceptedOrRejected` of the KIP-966 model): every broker runs and is
//! unfenced, all have applied the same metadata, every partition has a leader, its whole ISR and no lag, every high watermark is at the log's
//! end, no transaction is open, and no request waits unanswered.

use crate::cluster::sim::world::{Node, Power, World};
use crate::engine::controller::image::MetadataImage;
use crate::engine::io::LogRead;
use crate::engine::observe::{ReplicaRole, Scope};
use crate::protocol::ids::{BrokerId, PartitionId};

/// The rule's name.
pub const RULE: &str = "Liveness";

/// What keeps the cluster from being whole; `None` when nothing does.
pub fn what_is_missing(world: &World) -> Option<String> {
    let mut images = Vec::new();
    for (id, node) in &world.nodes {
        // A broker that was asked to stop may have stopped only now: it is whole without it only if it runs.
        if node.power != Power::On {
            return Some(format!("broker {id} does not run"));
        }
        let broker = node.broker.as_ref()?;
        if broker.is_fenced() {
            return Some(format!("broker {id} is fenced"));
        }
        images.push((id, broker.image()));
    }
    let (_, first) = images.first()?;
    if let Some((id, _)) = images.iter().find(|(_, image)| image.end_offset != first.end_offset) {
        return Some(format!("broker {id} has not applied the same metadata"));
    }
    for (id, client) in &world.clients {
        if let Some(what) = client.what_is_missing(world.now) {
            return Some(format!("client {} has {what}", id.0));
        }
    }
    unfinished_partition(world, first).or_else(|| unfinished_broker(world, first))
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
    // NoHangingTransaction: whoever began one has ended it, or its coordinator has when its time was over.
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

//! OneOwnerPerPartition: two members of a group never believe in the same generation, or epoch, that a partition is theirs; and of two members
//! that the coordinator has as they believe to be, only one owns it (`NoDoubleClientAssignment` of the KIP-848 model). Who was put out and
//! does not know it yet believes in an older generation, and can commit nothing.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::workload::{Belief, Client};
use crate::cluster::sim::world::World;
use crate::engine::group;

const RULE: &str = "OneOwnerPerPartition";

pub(super) fn look(world: &World) -> Result<(), Violation> {
    let beliefs: Vec<Belief> =
        world.clients.values().filter_map(|client: &Client| client.membership()?.belief()).collect();
    for (place, one) in beliefs.iter().enumerate() {
        for other in beliefs[place + 1..].iter().filter(|other| other.group == one.group) {
            let Some(partition) = one.owned.intersection(other.owned).next() else { continue };
            let is_same = one.generation == other.generation && !one.is_mixed;
            if is_same || (is_current(world, one) && is_current(world, other)) {
                let what = format!(
                    "{partition} is owned in {} by {} in generation {} and by {} in {}",
                    one.group, one.member, one.generation, other.member, other.generation
                );
                return Err(Violation { rule: RULE, what });
            }
        }
    }
    Ok(())
}

/// Whether the coordinator that leads by the newest metadata has a member of a consumer group in the epoch in which it believes to be.
fn is_current(world: &World, belief: &Belief) -> bool {
    let images = world.nodes.values().filter_map(|node| Some(node.broker.as_ref()?.image()));
    let Some(newest) = images.max_by_key(|image| image.end_offset) else { return false };
    let coordinator = group::coordinator_of(newest, belief.group).and_then(|id| world.nodes[&id].broker.as_ref());
    let Some(coordinator) = coordinator else { return false };
    let shards = coordinator.groups().shards().filter(|shard| shard.is_active());
    let found = shards.filter_map(|shard| shard.appended().group(belief.group)).next();
    found.is_some_and(|found| {
        let consumers = &found.consumer;
        consumers.member(belief.member).is_some() && consumers.member_epoch(belief.member) == belief.generation
    })
}

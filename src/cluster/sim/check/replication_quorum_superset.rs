//! ReplicationQuorumSuperset: whom a leader waits for before its high watermark moves (its maximal ISR) includes everyone whom the
//! controller counts as in sync (`ReplicationQuorumSuperset` of the KIP-966 model). Looked at when a high watermark has moved and when
//! the metadata has.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::check::decisions::Decisions;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::{EventKind, ReplicaRole, Scope};
use crate::protocol::ids::{BrokerId, PartitionId};

const RULE: &str = "ReplicationQuorumSuperset";

pub(super) fn look(
    decisions: &Decisions,
    world: &World,
    outcome: &StepOutcome,
    has_news: bool,
) -> Result<(), Violation> {
    if has_news {
        for (id, _, state) in decisions.image().partitions() {
            if let Some(leader) = state.leader {
                compare(decisions, world, leader, id)?;
            }
        }
    }
    let Some(leader) = outcome.stepped else { return Ok(()) };
    for event in &outcome.events {
        if let EventKind::HighWatermark { partition, .. } = event.kind {
            compare(decisions, world, leader, partition)?;
        }
    }
    Ok(())
}

fn compare(decisions: &Decisions, world: &World, leader: BrokerId, id: PartitionId) -> Result<(), Violation> {
    let (Some(state), node) = (decisions.partition(id), &world.nodes[&leader]) else { return Ok(()) };
    let Some(broker) = node.broker.as_ref() else { return Ok(()) };
    let scope = Scope { partitions: Some(vec![id]), inside: None };
    for replica in broker.replicas().snapshot(&scope) {
        let is_this_term = replica.role == ReplicaRole::Leader && replica.leader_epoch == state.leader_epoch;
        let left_out = state.isr.iter().find(|member| !replica.maximal_isr.contains(member));
        if let Some(member) = left_out.filter(|_| is_this_term) {
            let what = format!(
                "{id}: the controller counts {:?} as in sync, leader {leader} waits for {:?} and not for {member}",
                state.isr, replica.maximal_isr
            );
            return Err(Violation { rule: RULE, what });
        }
    }
    Ok(())
}

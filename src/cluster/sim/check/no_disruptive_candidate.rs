//! NoDisruptiveCandidate: a voter that cannot have heard from a majority for a while raises no epoch, so that its return deposes nobody
//! (KIP-996: candidates are nominated by pre-votes).

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::world::{Power, StepOutcome, World};
use crate::engine::observe::{EventKind, QuorumRole};
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeMap;

/// How long pre-votes may have been under way when the links went, in milliseconds: longer than an election's timeout and the slowest
/// message.
const GRACE_MS: u64 = 1_500;

/// Since when each voter reaches too few others.
#[derive(Debug, Clone, Default)]
pub struct NoDisruptiveCandidate {
    lonely_since: BTreeMap<BrokerId, Instant>,
}

impl NoDisruptiveCandidate {
    pub(super) fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        let stands = outcome.events.iter().find_map(|event| match event.kind {
            EventKind::QuorumRole { to: QuorumRole::Candidate, epoch, .. } => Some(epoch),
            _ => None,
        });
        let has_started = outcome.events.iter().any(|event| matches!(event.kind, EventKind::Started { .. }));
        // Links, processes and disks change in steps that are nobody's.
        if (outcome.stepped.is_some() || outcome.is_of_client) && stands.is_none() && !has_started {
            return Ok(());
        }
        for id in world.nodes.keys() {
            if is_lonely(world, *id) {
                self.lonely_since.entry(*id).or_insert(world.now);
            } else {
                self.lonely_since.remove(id);
            }
        }
        let (Some(id), Some(epoch)) = (outcome.stepped, stands) else { return Ok(()) };
        let Some(since) = self.lonely_since.get(&id) else { return Ok(()) };
        if since.plus_millis(GRACE_MS) > world.now {
            return Ok(());
        }
        let what = format!("broker {id} raises the epoch to {epoch}, and has reached no majority since {since}");
        Err(Violation { rule: "NoDisruptiveCandidate", what })
    }
}

/// Whether a broker reaches, both ways, fewer other voters than a majority takes. A suspended one is reached: it answers what waits for it as soon
/// as it goes on.
fn is_lonely(world: &World, id: BrokerId) -> bool {
    let Some(broker) = world.nodes[&id].broker.as_ref() else { return true };
    let voters = broker.quorum().voters();
    let reaches = |voter: &&BrokerId| {
        world.nodes.get(voter).is_some_and(|node| node.power != Power::Off)
            && !world.network.is_cut(id, **voter)
            && !world.network.is_cut(**voter, id)
    };
    let reached = voters.keys().filter(|voter| **voter != id).filter(reaches).count();
    reached < voters.len() / 2
}

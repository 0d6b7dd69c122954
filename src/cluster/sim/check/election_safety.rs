//! ElectionSafety: at most one leader an epoch, in the metadata quorum and in every partition (Raft, figure 3; `NeverTwoLeadersInSameEpoch`
//! of the KRaft models); and no voter of the quorum votes twice in an epoch, whatever it lives through (Raft §5.2).

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::{EventKind, QuorumRole};
use crate::protocol::ids::{BrokerId, DirectoryId, PartitionId};
use std::collections::BTreeMap;

/// Who led when.
#[derive(Debug, Clone, Default)]
pub struct ElectionSafety {
    leaders: BTreeMap<(PartitionId, i32), BrokerId>,
    /// Whom each log directory voted for.
    votes: BTreeMap<(DirectoryId, i32), BrokerId>,
}

impl ElectionSafety {
    pub(super) fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        let Some(broker) = outcome.stepped else { return Ok(()) };
        for event in &outcome.events {
            if let EventKind::Voted { epoch, candidate } = event.kind {
                let directory = world.nodes[&broker].config.directory;
                let first = *self.votes.entry((directory, epoch)).or_insert(candidate);
                if first != candidate {
                    let what = format!("broker {broker} votes for {first} and for {candidate} in epoch {epoch}");
                    return Err(Violation { rule: "ElectionSafety", what });
                }
            }
            let (partition, epoch) = match event.kind {
                EventKind::QuorumRole { to: QuorumRole::Leader, epoch, .. } => (PartitionId::METADATA, epoch),
                EventKind::BecameLeader { partition, leader_epoch, .. } => (partition, leader_epoch),
                _ => continue,
            };
            let leader = *self.leaders.entry((partition, epoch)).or_insert(broker);
            if leader != broker {
                let what = format!("{leader} and {broker} both lead {partition} in epoch {epoch}");
                return Err(Violation { rule: "ElectionSafety", what });
            }
        }
        Ok(())
    }
}

//! ElectionSafety: at most one leader an epoch, in the metadata quorum and in every partition (Raft, figure 3; `NeverTwoLeadersInSameEpoch`
//! of the KRaft models).

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::world::StepOutcome;
use crate::engine::observe::{EventKind, QuorumRole};
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::BTreeMap;

/// Who led when.
#[derive(Debug, Clone, Default)]
pub struct ElectionSafety {
    leaders: BTreeMap<(PartitionId, i32), BrokerId>,
}

impl ElectionSafety {
    pub(super) fn look(&mut self, outcome: &StepOutcome) -> Result<(), Violation> {
        let Some(broker) = outcome.stepped else { return Ok(()) };
        for event in &outcome.events {
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

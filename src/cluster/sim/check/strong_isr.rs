//! StrongIsr: below a leader's high watermark every member of the controller's ISR holds identical records (`StrongIsr` of the
//! Kafka replication model). A member whose machine lost power since it joined is excused: it registers as unclean and is taken out
//! (KIP-966).

use crate::cluster::sim::check::decisions::Decisions;
use crate::cluster::sim::check::history::News;
use crate::cluster::sim::check::{History, Violation};
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::EventKind;
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::BTreeMap;

/// Which power loss of a broker was the last before it joined an ISR.
#[derive(Debug, Clone, Default)]
pub struct StrongIsr {
    joined_after: BTreeMap<(PartitionId, BrokerId), u32>,
    /// And before it registered.
    registered_after: BTreeMap<BrokerId, u32>,
}

impl StrongIsr {
    pub(super) fn look(
        &mut self,
        decisions: &Decisions,
        history: &History,
        world: &World,
        outcome: &StepOutcome,
        news: &[News],
    ) -> Result<(), Violation> {
        for event in &outcome.events {
            if let (EventKind::Registered { .. }, Some(broker)) = (&event.kind, outcome.stepped) {
                self.registered_after.insert(broker, world.nodes[&broker].power_losses);
            }
            if let EventKind::IsrChanged { partition, isr, shrunk: false, .. } = &event.kind {
                for member in isr {
                    // Who is taken in for what it had told before it lost it is taken out when it registers.
                    let registered_after = self.registered_after.get(member).copied().unwrap_or_default();
                    self.joined_after.insert((*partition, *member), registered_after);
                }
            }
        }
        for News { partition, leader, from } in news {
            let isr = decisions.partition(*partition).map(|state| state.isr.clone()).unwrap_or_default();
            for member in isr {
                let node = &world.nodes[&member];
                if self.is_excused(world, *partition, member) {
                    continue;
                }
                let missing = history.of(*partition)[*from..]
                    .iter()
                    .find(|batch| !history.is_in(*partition, node.disk.log_of(*partition), batch));
                if let Some(batch) = missing {
                    let offset = batch.header.base_offset;
                    let what = format!(
                        "{partition}: committed at {offset} by broker {leader}, but {member} in the ISR lacks it"
                    );
                    return Err(Violation { rule: "StrongIsr", what });
                }
            }
        }
        Ok(())
    }

    /// Whether a broker's machine lost power since it joined the ISR: what it had proves nothing any more.
    pub(super) fn is_excused(&self, world: &World, partition: PartitionId, member: BrokerId) -> bool {
        let joined_after = self.joined_after.get(&(partition, member)).copied().unwrap_or(0);
        joined_after < world.nodes[&member].power_losses
    }
}

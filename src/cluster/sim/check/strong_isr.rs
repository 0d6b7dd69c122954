//! StrongIsr: below a leader's high watermark every member of the controller's ISR holds identical records (`StrongIsr` of the
//! Kafka replication model). A member whose machine lost power since it joined is excused: it registers as unclean and is taken out
//! (KIP-966).

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
}

impl StrongIsr {
    pub(super) fn look(
        &mut self,
        history: &History,
        world: &World,
        outcome: &StepOutcome,
        news: &[News],
    ) -> Result<(), Violation> {
        for event in &outcome.events {
            if let EventKind::IsrChanged { partition, isr, shrunk: false, .. } = &event.kind {
                for member in isr {
                    self.joined_after.insert((*partition, *member), world.nodes[member].power_losses);
                }
            }
        }
        for News { partition, leader, from } in news {
            for member in controllers_isr(world, *partition) {
                let node = &world.nodes[&member];
                let joined_after = self.joined_after.get(&(*partition, member)).copied().unwrap_or(0);
                if joined_after < node.power_losses {
                    continue;
                }
                let missing = history.of(*partition)[*from..].iter().find(|batch| {
                    let log = node.disk.log_of(*partition);
                    let found = log.and_then(|log| log.batches.get(log.position(batch.header.base_offset)));
                    !found.is_some_and(|found| batch.is(&found.header))
                });
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
}

/// The ISR as the controller has committed it: as the broker has it that has applied most of the metadata. (A controller that is cut off
/// may believe for a while that it is the only one.)
fn controllers_isr(world: &World, partition: PartitionId) -> Vec<BrokerId> {
    let brokers = world.nodes.values().filter_map(|node| node.broker.as_ref());
    let newest = brokers.max_by_key(|broker| broker.image().end_offset);
    newest.and_then(|broker| broker.image().partition(partition)).map_or_else(Vec::new, |state| state.isr.clone())
}

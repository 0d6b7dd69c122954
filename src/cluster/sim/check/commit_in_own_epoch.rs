//! CommitInOwnEpoch: a leader of the metadata quorum commits by counting replicas only up to a record of its own epoch; what is older is
//! committed with it (Raft §5.4.2 and its figure 8). What goes wrong otherwise takes a third leader that has never heard of the record,
//! so that the rule itself is looked at.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::EventKind;
use crate::protocol::ids::LogId;

pub(super) fn look(world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
    let Some(id) = outcome.stepped else { return Ok(()) };
    for event in &outcome.events {
        let EventKind::MetadataCommitted { offset } = event.kind else { continue };
        let node = &world.nodes[&id];
        let (Some(broker), Some(log)) = (&node.broker, node.disk.log(LogId::METADATA)) else { continue };
        let Some(last) = log.batches.get(log.position(offset - 1)) else { continue };
        let (epoch, own_epoch) = (last.header.leader_epoch, broker.quorum().epoch());
        if epoch != own_epoch && broker.quorum().is_leader() {
            let what = format!(
                "broker {id}, leader in epoch {own_epoch}, commits up to {offset} by a record of epoch {epoch}"
            );
            return Err(Violation { rule: "CommitInOwnEpoch", what });
        }
    }
    Ok(())
}

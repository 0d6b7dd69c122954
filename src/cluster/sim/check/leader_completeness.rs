//! LeaderCompleteness: whoever begins to lead a partition holds everything that was committed in it in former epochs (`LeaderCompleteness`
//! of the KIP-966 model; whoever learns late of an epoch that is over owes nothing of what came after it). Unclean election breaks it by
//! design; worlds that allow it do not check this rule.

use crate::cluster::sim::check::history::Committed;
use crate::cluster::sim::check::{History, Violation};
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::EventKind;

pub(super) fn look(history: &History, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
    let Some(leader) = outcome.stepped else { return Ok(()) };
    for event in &outcome.events {
        let EventKind::BecameLeader { partition, leader_epoch, .. } = event.kind else { continue };
        let committed = history.of(partition);
        let Some(log) = world.nodes[&leader].disk.log_of(partition) else {
            if committed.is_empty() {
                continue;
            }
            let what = format!("broker {leader} leads {partition} and has no log of it");
            return Err(Violation { rule: "LeaderCompleteness", what });
        };
        let is_owed =
            |batch: &&Committed| batch.committed_in < leader_epoch && batch.header.base_offset >= log.start_offset;
        for batch in committed.iter().filter(is_owed) {
            if !history.is_in(partition, Some(log), batch) {
                let what = format!(
                    "broker {leader} leads {partition} in epoch {leader_epoch} without the committed record at {} of epoch {}",
                    batch.header.base_offset, batch.header.leader_epoch
                );
                return Err(Violation { rule: "LeaderCompleteness", what });
            }
        }
    }
    Ok(())
}

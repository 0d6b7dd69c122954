//! MetadataLeaderCompleteness: whoever begins to lead the metadata quorum has every record that was committed in the epochs before its own
//! (Raft, figure 3: Leader Completeness; `LeaderHasAllAckedValues` of the KRaft models). A candidate that slept may learn late that it was
//! elected, when leaders of later epochs are further.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::check::metadata_prefix::MetadataPrefix;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::{EventKind, QuorumRole};
use crate::protocol::ids::LogId;

pub(super) fn look(committed: &MetadataPrefix, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
    let Some(id) = outcome.stepped else { return Ok(()) };
    for event in &outcome.events {
        let EventKind::QuorumRole { to: QuorumRole::Leader, epoch, .. } = event.kind else { continue };
        let log = world.nodes[&id].disk.log(LogId::METADATA);
        let start = log.map_or(0, |log| log.start_offset);
        for (offset, batch_epoch, crc) in committed.from(start, epoch) {
            let found = log.and_then(|log| log.batches.get(log.position(offset)));
            let is_there = found.is_some_and(|batch| {
                (batch.header.base_offset, batch.header.leader_epoch, batch.header.crc) == (offset, batch_epoch, crc)
            });
            if !is_there {
                let what = format!(
                    "broker {id} leads the quorum in epoch {epoch} without the committed record at {offset} of epoch {batch_epoch}"
                );
                return Err(Violation { rule: "MetadataLeaderCompleteness", what });
            }
        }
    }
    Ok(())
}

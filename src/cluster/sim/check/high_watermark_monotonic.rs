//! HighWatermarkMonotonic: within a leader epoch the high watermark never goes back, and it never lies beyond the leader's log end,
//! not even at the beginning of the epoch.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::EventKind;
use crate::protocol::ids::PartitionId;
use std::collections::BTreeMap;

/// The last high watermark of each leader epoch.
#[derive(Debug, Clone, Default)]
pub struct HighWatermarkMonotonic {
    last: BTreeMap<(PartitionId, i32), i64>,
}

impl HighWatermarkMonotonic {
    pub(super) fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        let Some(id) = outcome.stepped else { return Ok(()) };
        for event in &outcome.events {
            if let EventKind::BecameLeader { partition, leader_epoch, log_end, high_watermark } = event.kind
                && high_watermark > log_end
            {
                let what = format!(
                    "{partition} in epoch {leader_epoch} on broker {id}: begins at {high_watermark}, beyond the log end {log_end}"
                );
                return Err(Violation { rule: "HighWatermarkMonotonic", what });
            }
            let EventKind::HighWatermark { partition, leader_epoch, offset } = event.kind else { continue };
            let last = self.last.entry((partition, leader_epoch)).or_insert(offset);
            let end = world.nodes[&id].disk.log_of(partition).map_or(i64::MAX, |log| log.end_offset);
            let what = if offset < *last {
                format!("{partition} in epoch {leader_epoch} on broker {id}: from {last} back to {offset}")
            } else if offset > end {
                format!("{partition} in epoch {leader_epoch} on broker {id}: {offset} is beyond the log end {end}")
            } else {
                *last = offset;
                continue;
            };
            return Err(Violation { rule: "HighWatermarkMonotonic", what });
        }
        Ok(())
    }
}

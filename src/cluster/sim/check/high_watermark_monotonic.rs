//! HighWatermarkMonotonic: within a leader epoch the high watermark never goes back, and it never lies beyond the log end,
//! on a leader or on a follower, not even at the beginning of the epoch.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::{EventKind, Scope};
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::BTreeMap;

/// All replicas of the broker that took a step are looked at now and then.
const LOOK_ONE_IN: u64 = 16;

/// The last high watermark of each leader epoch.
#[derive(Debug, Clone, Default)]
pub struct HighWatermarkMonotonic {
    last: BTreeMap<(PartitionId, i32), i64>,
    looks: u64,
}

impl HighWatermarkMonotonic {
    pub(super) fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        let Some(id) = outcome.stepped else { return Ok(()) };
        self.looks += 1;
        if self.looks.is_multiple_of(LOOK_ONE_IN) {
            within_logs(world, id)?;
        }
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

/// No replica's high watermark lies beyond its own log end.
fn within_logs(world: &World, id: BrokerId) -> Result<(), Violation> {
    let node = &world.nodes[&id];
    let Some(broker) = &node.broker else { return Ok(()) };
    for replica in broker.replicas().snapshot(&Scope { partitions: None, inside: None }) {
        if replica.high_watermark > replica.log_end {
            let (partition, offset, end) = (replica.partition, replica.high_watermark, replica.log_end);
            let what = format!("{partition} on broker {id}: {offset} is beyond the log end {end}");
            return Err(Violation { rule: "HighWatermarkMonotonic", what });
        }
    }
    Ok(())
}

//! LogMatching: two replicas that have a batch of the same leader epoch at the same offset have the same batch there (Raft, figure 3).

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::disk::DiskLog;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::EventKind;
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::BTreeSet;

/// Logs are compared whole when leadership changes, and their ends now and then.
const COMPARE_ONE_IN: u64 = 64;
/// How many batches at the end are compared now and then.
const COMPARED_BATCHES: usize = 16;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct LogMatching {
    seen: u64,
}

impl LogMatching {
    pub(super) fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        for event in &outcome.events {
            match event.kind {
                EventKind::BecameLeader { partition, .. } => compare(world, partition, usize::MAX)?,
                EventKind::HighWatermark { partition, .. } => {
                    self.seen += 1;
                    if self.seen.is_multiple_of(COMPARE_ONE_IN) {
                        compare(world, partition, COMPARED_BATCHES)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// All logs of all replicas.
pub(super) fn everywhere(world: &World) -> Result<(), Violation> {
    use crate::engine::io::LogRead;
    let partitions: BTreeSet<PartitionId> =
        world.nodes.values().flat_map(|node| node.disk.logs()).map(|log| log.partition).collect();
    partitions.into_iter().try_for_each(|partition| compare(world, partition, usize::MAX))
}

fn compare(world: &World, partition: PartitionId, last: usize) -> Result<(), Violation> {
    let logs: Vec<(BrokerId, &DiskLog)> =
        world.nodes.iter().filter_map(|(id, node)| Some((*id, node.disk.log_of(partition)?))).collect();
    for (index, (a, log_a)) in logs.iter().enumerate() {
        for (b, log_b) in &logs[index + 1..] {
            let from = log_a.batches.len().saturating_sub(last);
            for batch in &log_a.batches[from..] {
                let header = &batch.header;
                let Some(other) = log_b.batches.get(log_b.position(header.base_offset)) else { break };
                let is_same_place =
                    other.header.base_offset == header.base_offset && other.header.leader_epoch == header.leader_epoch;
                if is_same_place && other.header.crc != header.crc {
                    let what = format!(
                        "{partition}: brokers {a} and {b} differ at {} in epoch {}",
                        header.base_offset, header.leader_epoch
                    );
                    return Err(Violation { rule: "LogMatching", what });
                }
            }
        }
    }
    Ok(())
}

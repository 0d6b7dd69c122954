//! LogMatching: two replicas that have a batch of the same leader epoch at the same offset have the same batches there and everywhere
//! before (Raft, figure 3). Compaction takes records out of replicas, each at its own time: what is left then is looked at by CompactionKeepsLast.

use crate::cluster::sim::check::{History, Violation};
use crate::cluster::sim::disk::DiskLog;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::EventKind;
use crate::protocol::batch::BatchHeader;
use crate::protocol::ids::{BrokerId, PartitionId};
use std::cmp::Ordering;
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
    pub(super) fn look(&mut self, history: &History, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        for event in &outcome.events {
            match event.kind {
                EventKind::BecameLeader { partition, .. } => compare(history, world, partition, usize::MAX)?,
                EventKind::HighWatermark { partition, .. } => {
                    self.seen += 1;
                    if self.seen.is_multiple_of(COMPARE_ONE_IN) {
                        compare(history, world, partition, COMPARED_BATCHES)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// All logs of all replicas.
pub(super) fn everywhere(history: &History, world: &World) -> Result<(), Violation> {
    use crate::engine::io::LogRead;
    let partitions: BTreeSet<PartitionId> =
        world.nodes.values().flat_map(|node| node.disk.logs()).map(|log| log.partition).collect();
    partitions.into_iter().try_for_each(|partition| compare(history, world, partition, usize::MAX))
}

fn compare(history: &History, world: &World, partition: PartitionId, last: usize) -> Result<(), Violation> {
    if history.is_compacted(partition) {
        return Ok(());
    }
    let logs: Vec<(BrokerId, &DiskLog)> =
        world.nodes.iter().filter_map(|(id, node)| Some((*id, node.disk.log_of(partition)?))).collect();
    for (index, (a, log_a)) in logs.iter().enumerate() {
        for (b, log_b) in &logs[index + 1..] {
            let Some((at_a, at_b)) = last_common(log_a, log_b) else { continue };
            // From there backwards both have to be the same, as far as both go back.
            let before = log_a.batches[..=at_a].iter().rev().zip(log_b.batches[..=at_b].iter().rev());
            for (ours, theirs) in before.take(last).map(|(ours, theirs)| (&ours.header, &theirs.header)) {
                let key = |header: &BatchHeader| (header.base_offset, header.leader_epoch, header.crc);
                if key(ours) != key(theirs) {
                    let what = format!(
                        "{partition}: brokers {a} and {b} agree at {}, and before it have offset {} of epoch {} and offset {} of epoch {}",
                        log_a.batches[at_a].header.base_offset,
                        ours.base_offset,
                        ours.leader_epoch,
                        theirs.base_offset,
                        theirs.leader_epoch
                    );
                    return Err(Violation { rule: "LogMatching", what });
                }
            }
        }
    }
    Ok(())
}

/// The last place where both logs have a batch of the same epoch at the same offset.
fn last_common(a: &DiskLog, b: &DiskLog) -> Option<(usize, usize)> {
    let (mut at_a, mut at_b) = (a.batches.len().checked_sub(1)?, b.batches.len().checked_sub(1)?);
    loop {
        let (ours, theirs) = (&a.batches[at_a].header, &b.batches[at_b].header);
        match ours.base_offset.cmp(&theirs.base_offset) {
            Ordering::Equal if ours.leader_epoch == theirs.leader_epoch => return Some((at_a, at_b)),
            Ordering::Equal => (at_a, at_b) = (at_a.checked_sub(1)?, at_b.checked_sub(1)?),
            Ordering::Greater => at_a = at_a.checked_sub(1)?,
            Ordering::Less => at_b = at_b.checked_sub(1)?,
        }
    }
}

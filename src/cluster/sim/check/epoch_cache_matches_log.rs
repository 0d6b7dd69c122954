//! EpochCacheMatchesLog: the leader epochs that a replica keeps are those of its batches, in rising order, and at most one more at the log's
//! end that has no records yet; a leader's last one is its own (KIP-101, KAFKA-7415, KAFKA-10706). Looked at when a part changes and when a
//! log loses its end. Where compaction took records out, an epoch's first records may be gone: it begins where the one before ends.

use crate::cluster::sim::check::{History, Violation};
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::EventKind;
use crate::protocol::ids::{BrokerId, PartitionId};

const RULE: &str = "EpochCacheMatchesLog";

pub(super) fn look(history: &History, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
    let Some(id) = outcome.stepped else { return Ok(()) };
    for event in &outcome.events {
        match event.kind {
            EventKind::BecameLeader { partition, leader_epoch, .. } => {
                compare(history, world, id, partition, Some(leader_epoch))?;
            }
            EventKind::BecameFollower { partition, .. } | EventKind::Truncated { partition, .. } => {
                compare(history, world, id, partition, None)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// All replicas of all brokers.
pub(super) fn everywhere(history: &History, world: &World) -> Result<(), Violation> {
    for (id, node) in &world.nodes {
        let Some(broker) = &node.broker else { continue };
        let partitions: Vec<PartitionId> = broker.image().partitions().map(|(partition, _, _)| partition).collect();
        partitions.into_iter().try_for_each(|partition| compare(history, world, *id, partition, None))?;
    }
    Ok(())
}

fn compare(
    history: &History,
    world: &World,
    id: BrokerId,
    partition: PartitionId,
    leads_in: Option<i32>,
) -> Result<(), Violation> {
    let node = &world.nodes[&id];
    let Some(replica) = node.broker.as_ref().and_then(|broker| broker.replicas().log(partition)) else { return Ok(()) };
    let Some(log) = node.disk.log_of(partition) else { return Ok(()) };
    let kept: Vec<(i32, i64)> = replica.epochs().filter(|(_, start)| *start > log.start_offset).collect();
    let mut written: Vec<(i32, i64)> = Vec::new();
    let mut last = replica.epochs().take_while(|(_, start)| *start <= log.start_offset).last().map(|(epoch, _)| epoch);
    for batch in &log.batches {
        let header = &batch.header;
        if last != Some(header.leader_epoch) {
            written.push((header.leader_epoch, header.base_offset));
            last = Some(header.leader_epoch);
        }
    }
    let without_records = kept.last().filter(|(_, start)| *start == log.end_offset);
    let with_records = &kept[..kept.len() - usize::from(without_records.is_some())];
    let is_compacted = history.is_compacted(partition);
    // Every batch lies in its own epoch: that holds with any records gone.
    let strays = |&(epoch, start): &(i32, i64)| {
        replica.epochs().take_while(|(_, from)| *from <= start).last().map(|(epoch, _)| epoch) != Some(epoch)
    };
    if is_compacted && written.iter().any(strays) || !is_compacted && with_records != written {
        let what = format!("{partition} on broker {id}: the epochs are {kept:?}, the log has {written:?}");
        return Err(Violation { rule: RULE, what });
    }
    if leads_in.is_some_and(|epoch| replica.last_epoch() != Some(epoch)) {
        let (epoch, last) = (leads_in.unwrap_or(-1), replica.last_epoch());
        let what = format!("{partition}: broker {id} leads in epoch {epoch}, its log knows of {last:?} only");
        return Err(Violation { rule: RULE, what });
    }
    Ok(())
}

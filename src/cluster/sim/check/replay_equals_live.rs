//! ReplayEqualsLive: what a broker keeps in memory is what its log says. Producers: rebuilt from the batches on the disk they are what the
//! replica has, looked at when a part changes and when a log loses its end. Metadata: applied anew from the first record on they are
//! what the broker has, looked at when all is calm. (A log is only as good as what a restart makes of it; redpanda#31483.)

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::world::{Node, StepOutcome, World};
use crate::engine::config::TopicConfig;
use crate::engine::controller::image::{MetadataDelta, MetadataImage};
use crate::engine::controller::record;
use crate::engine::io::LogRead;
use crate::engine::log::{PartitionLog, ProducerSummary};
use crate::engine::observe::EventKind;
use crate::protocol::ids::{BrokerId, LogId, PartitionId};
use crate::protocol::records;

const RULE: &str = "ReplayEqualsLive";

pub(super) fn look(world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
    let Some(id) = outcome.stepped else { return Ok(()) };
    for event in &outcome.events {
        match event.kind {
            EventKind::BecameLeader { partition, .. }
            | EventKind::BecameFollower { partition, .. }
            | EventKind::Truncated { partition, .. } => producers(world, id, partition)?,
            _ => {}
        }
    }
    Ok(())
}

/// All replicas of all brokers, and their metadata.
pub(super) fn everywhere(world: &World) -> Result<(), Violation> {
    for (id, node) in &world.nodes {
        let Some(broker) = &node.broker else { continue };
        for (partition, _, _) in broker.image().partitions() {
            producers(world, *id, partition)?;
        }
        metadata(*id, node, broker.image())?;
    }
    Ok(())
}

fn producers(world: &World, id: BrokerId, partition: PartitionId) -> Result<(), Violation> {
    let node = &world.nodes[&id];
    if node.disk.fault().is_some() {
        // Nothing can be read there.
        return Ok(());
    }
    let Some(live) = node.broker.as_ref().and_then(|broker| broker.replicas().log(partition)) else { return Ok(()) };
    let Some(info) = node.disk.logs().into_iter().find(|info| info.log == live.id()) else { return Ok(()) };
    let replayed = PartitionLog::recover(&info, &node.disk, &TopicConfig::default())
        .map_err(|error| Violation { rule: RULE, what: format!("broker {id}: {error}") })?;
    // The batch of a producer's last record stays, and its latest timestamp may go with another record, as in Kafka: it tells only when a
    // producer is forgotten.
    let is_compacted = world.nodes.values().any(|node| node.disk.rewritten().any(|rewritten| rewritten == partition));
    let comparable = |producer: ProducerSummary| match is_compacted {
        false => producer,
        true => ProducerSummary { last_timestamp: 0, ..producer },
    };
    let (live, replayed): (Vec<ProducerSummary>, Vec<ProducerSummary>) =
        (live.producers().map(comparable).collect(), replayed.producers().map(comparable).collect());
    if live == replayed {
        return Ok(());
    }
    let what = format!("{partition} on broker {id}: producers are {live:?}, the log says {replayed:?}");
    Err(Violation { rule: RULE, what })
}

/// A log that begins with a snapshot is not replayed: its beginning is gone.
fn metadata(id: BrokerId, node: &Node, live: &MetadataImage) -> Result<(), Violation> {
    let Some(log) = node.disk.log(LogId::METADATA).filter(|log| log.start_offset == 0) else { return Ok(()) };
    let broken = |what: String| Violation { rule: RULE, what: format!("metadata on broker {id}: {what}") };
    let (mut image, mut delta) = (MetadataImage::default(), MetadataDelta::default());
    for batch in log.batches.iter().filter(|batch| batch.header.next_offset() <= live.end_offset) {
        let decoded = records::decode(batch).map_err(|error| broken(error.to_string()))?;
        for (offset, value) in (batch.header.base_offset..).zip(decoded) {
            let record = record::decode(value.value.as_deref().unwrap_or_default());
            let record = record.map_err(|error| broken(error.to_string()))?;
            image.apply(offset, batch.header.leader_epoch, &record, &mut delta);
        }
    }
    if image == *live {
        Ok(())
    } else {
        Err(broken(format!("what was applied up to {} is not what the log says", live.end_offset)))
    }
}

//! CompactionKeepsLast: in a compacted partition the last committed record of every key stays, and what is left has the offset, the key and
//! the value that were committed there (KIP-58, `LogCleaner`). Looked at when a replica has compacted its log, and at the end.
//!
//! A tombstone may go once its time is over, and a transaction's records go with its abort: neither has to be there. A replica that does not
//! have everything yet may lack what a later record, which it does not have yet either, has replaced: it is not asked for keys. One that led
//! before may have records that were never committed, beyond what it has compacted: it is asked for what comes before them.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::record::ConfigResource;
use crate::engine::observe::EventKind;
use crate::protocol::ids::{BrokerId, PartitionId};
use crate::protocol::records;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

const RULE: &str = "CompactionKeepsLast";

/// A key and a value.
type Pair = (Option<Bytes>, Option<Bytes>);

/// What was committed in a partition.
#[derive(Debug, Clone, Default)]
struct Contents {
    end: i64,
    records: BTreeMap<i64, Pair>,
    /// Those of transactions.
    transactional: BTreeSet<i64>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct CompactionKeepsLast {
    partitions: BTreeMap<PartitionId, Contents>,
}

impl CompactionKeepsLast {
    pub(super) fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        let Some(id) = outcome.stepped else { return Ok(()) };
        for event in &outcome.events {
            match event.kind {
                EventKind::HighWatermark { partition, offset, .. } => self.note(world, partition, id, offset),
                EventKind::LogCleaned { partition, end, .. } => self.compare(world, id, partition, end)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// All replicas of all compacted partitions.
    pub(super) fn at_end(&self, world: &World) -> Result<(), Violation> {
        for partition in self.partitions.keys() {
            world.nodes.keys().try_for_each(|id| self.compare(world, *id, *partition, i64::MAX))?;
        }
        Ok(())
    }

    /// What a leader's high watermark has just passed.
    fn note(&mut self, world: &World, partition: PartitionId, leader: BrokerId, high_watermark: i64) {
        let node = &world.nodes[&leader];
        let is_compacted = node.broker.as_ref().is_some_and(|broker| is_compacted(broker.image(), partition));
        let (Some(log), true) = (node.disk.log_of(partition), is_compacted) else { return };
        let contents = self.partitions.entry(partition).or_default();
        for batch in &log.batches[log.position(contents.end)..] {
            if batch.header.next_offset() > high_watermark {
                return;
            }
            contents.end = batch.header.next_offset();
            if batch.header.is_control() {
                continue;
            }
            for record in records::decode(batch).unwrap_or_default() {
                if batch.header.is_transactional() {
                    contents.transactional.insert(record.offset);
                }
                contents.records.insert(record.offset, (record.key, record.value));
            }
        }
    }

    /// A replica that has compacted its log up to `clean_end`.
    fn compare(&self, world: &World, id: BrokerId, partition: PartitionId, clean_end: i64) -> Result<(), Violation> {
        let Some(contents) = self.partitions.get(&partition) else { return Ok(()) };
        let Some(log) = world.nodes[&id].disk.log_of(partition) else { return Ok(()) };
        let mut found: BTreeMap<i64, Pair> = BTreeMap::new();
        for batch in log.batches.iter().filter(|batch| !batch.header.is_control()) {
            let decoded = records::decode(batch)
                .map_err(|error| broken(partition, id, &format!("offset {}: {error}", batch.header.base_offset)))?;
            found.extend(decoded.into_iter().map(|record| (record.offset, (record.key, record.value))));
        }
        let mut committed = found.range(..contents.end);
        let other = committed.find(|(offset, pair)| contents.records.get(offset) != Some(*pair)).map(|(at, _)| *at);
        if let Some(offset) = other.filter(|offset| *offset < clean_end) {
            return Err(broken(partition, id, &format!("what is at {offset} was not committed there")));
        }
        if other.is_none() && log.end_offset < contents.end {
            return Ok(());
        }
        let owed = contents.owed(log.start_offset, other.unwrap_or(contents.end));
        match owed.into_iter().find(|(_, offset)| !found.contains_key(offset)) {
            Some((key, offset)) => {
                let key = String::from_utf8_lossy(key);
                Err(broken(partition, id, &format!("the last record of {key}, committed at {offset}, is gone")))
            }
            None => Ok(()),
        }
    }
}

impl Contents {
    /// The offset of each key's last record within a range, where it has to be there.
    fn owed(&self, from: i64, to: i64) -> BTreeMap<&Bytes, i64> {
        let mut last = BTreeMap::new();
        for (offset, (key, value)) in self.records.range(from..to.max(from)) {
            let Some(key) = key else { continue };
            match value {
                Some(_) if !self.transactional.contains(offset) => last.insert(key, *offset),
                _ => last.remove(key),
            };
        }
        last
    }
}

fn is_compacted(image: &MetadataImage, partition: PartitionId) -> bool {
    let Some(topic) = image.topics.get(&partition.topic) else { return false };
    let configs = image.configs.get(&ConfigResource::Topic(topic.name.clone()));
    configs.and_then(|configs| configs.get("cleanup.policy")).is_some_and(|policy| policy.contains("compact"))
}

fn broken(partition: PartitionId, id: BrokerId, what: &str) -> Violation {
    Violation { rule: RULE, what: format!("{partition} on broker {id}: {what}") }
}

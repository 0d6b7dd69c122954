//! A live tail of a simulated topic, for whoever looks on: it reads the leaders' logs below their high watermarks, as a consumer would get
//! them, and leaves no trace in the world.
//!
//! Invariants: the same world gives the same records, whoever looks; after going back in time it goes on from where the logs end then.

use crate::client::consumer::ConsumerRecord;
use crate::client::metadata::TopicPartition;
use crate::cluster::command::Partition;
use crate::cluster::command::predicate::{Facts, Measure};
use crate::cluster::sim::execute::newest_image;
use crate::cluster::sim::world::World;
use crate::cluster::view::{ReadRequest, TailBatch, TailFrom};
use crate::cluster::workload::shown;
use crate::protocol::ids::PartitionId;
use crate::protocol::records;
use std::collections::BTreeMap;

/// So many records are looked at in a poll, at most: whoever looks on does not wait.
const LOOKED_AT_MAX: u64 = 5_000;

/// See the module.
#[derive(Debug, Clone)]
pub struct Tail {
    want: ReadRequest,
    /// The next offset of each partition that was looked at.
    next: BTreeMap<i32, i64>,
}

impl Tail {
    /// A tail that has read nothing; it begins where the topic's partitions are when it is polled first.
    pub fn new(want: &ReadRequest) -> Tail {
        Tail { want: want.clone(), next: BTreeMap::new() }
    }

    /// What is there and was not read yet, at most `limit` records.
    pub fn poll(&mut self, world: &World, limit: usize) -> TailBatch {
        let mut batch = TailBatch::default();
        let found = newest_image(world).and_then(|image| {
            let topic = image.topic_by_name(&self.want.topic)?;
            Some((*image.topic_ids.get(&self.want.topic)?, topic.partitions.keys().copied().collect::<Vec<_>>()))
        });
        let Some((topic, numbers)) = found else {
            batch.problem = format!("there is no topic {}", self.want.topic);
            return batch;
        };
        let is_wanted = |number: &i32| self.want.partitions.is_empty() || self.want.partitions.contains(number);
        let numbers: Vec<i32> = numbers.into_iter().filter(is_wanted).collect();
        for number in numbers {
            let named = Partition { topic: self.want.topic.clone(), partition: number };
            if self.read(world, &named, PartitionId::new(topic, number), limit, &mut batch).is_none() {
                batch.problem = format!("{named} has no leader that answers");
            }
        }
        batch
    }

    /// Reads one partition; `None` if nobody leads it.
    fn read(
        &mut self,
        world: &World,
        named: &Partition,
        id: PartitionId,
        limit: usize,
        out: &mut TailBatch,
    ) -> Option<()> {
        let leader = world.leader(named).flatten()?;
        let high_watermark = world.measure(Measure::HighWatermark, named, None)?;
        let log = world.nodes.get(&leader)?.disk.log_of(id)?;
        let next = self.next.entry(named.partition).or_insert_with(|| match self.want.from {
            TailFrom::End => high_watermark,
            TailFrom::Start => log.start_offset,
            TailFrom::Last(records) => high_watermark - i64::from(records),
            TailFrom::Offset(offset) => offset,
            TailFrom::Time(time_ms) => {
                let batch = log.batches.iter().find(|batch| batch.header.max_timestamp >= time_ms);
                let records = batch.map(|batch| records::decode(batch).unwrap_or_default()).unwrap_or_default();
                let first = records.iter().find(|record| record.timestamp >= time_ms);
                first.map_or(high_watermark, |record| record.offset)
            }
        });
        *next = (*next).clamp(log.start_offset, high_watermark.max(log.start_offset));
        for batch in &log.batches[log.position(*next)..] {
            if batch.header.next_offset() > high_watermark {
                break;
            }
            for record in records::decode(batch).ok().filter(|_| !batch.header.is_control()).unwrap_or_default() {
                if record.offset < *next {
                    continue;
                }
                if out.records.len() >= limit || out.read >= LOOKED_AT_MAX {
                    return Some(());
                }
                *next = record.offset + 1;
                let partition = TopicPartition::new(&named.topic, named.partition);
                out.read += 1;
                let record = shown(&ConsumerRecord { partition, record, leader_epoch: batch.header.leader_epoch });
                if self.want.query.matches(&record) {
                    out.records.push(record);
                }
            }
            *next = batch.header.next_offset();
        }
        Some(())
    }
}

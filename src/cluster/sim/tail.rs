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
use crate::cluster::view::{TailBatch, TailFrom, TailRecord};
use crate::cluster::workload::shown;
use crate::protocol::ids::PartitionId;
use crate::protocol::records;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Clone)]
pub struct Tail {
    topic: String,
    from: TailFrom,
    /// The next offset of each partition that was looked at.
    next: BTreeMap<i32, i64>,
}

impl Tail {
    /// A tail that has read nothing; it begins where the topic's partitions are when it is polled first.
    pub fn new(topic: &str, from: TailFrom) -> Tail {
        Tail { topic: topic.to_owned(), from, next: BTreeMap::new() }
    }

    /// What is there and was not read yet, at most `limit` records.
    pub fn poll(&mut self, world: &World, limit: usize) -> TailBatch {
        let mut batch = TailBatch::default();
        let found = newest_image(world).and_then(|image| {
            let topic = image.topic_by_name(&self.topic)?;
            Some((*image.topic_ids.get(&self.topic)?, topic.partitions.keys().copied().collect::<Vec<_>>()))
        });
        let Some((topic, numbers)) = found else {
            batch.problem = format!("there is no topic {}", self.topic);
            return batch;
        };
        for number in numbers {
            let named = Partition { topic: self.topic.clone(), partition: number };
            if self.read(world, &named, PartitionId::new(topic, number), limit, &mut batch.records).is_none() {
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
        out: &mut Vec<TailRecord>,
    ) -> Option<()> {
        let leader = world.leader(named).flatten()?;
        let high_watermark = world.measure(Measure::HighWatermark, named, None)?;
        let log = world.nodes.get(&leader)?.disk.log_of(id)?;
        let next = self.next.entry(named.partition).or_insert(match self.from {
            TailFrom::End => high_watermark,
            TailFrom::Start => log.start_offset,
            TailFrom::Last(records) => high_watermark - i64::from(records),
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
                if out.len() >= limit {
                    return Some(());
                }
                *next = record.offset + 1;
                let partition = TopicPartition::new(&named.topic, named.partition);
                out.push(shown(&ConsumerRecord { partition, record, leader_epoch: batch.header.leader_epoch }));
            }
            *next = batch.header.next_offset();
        }
        Some(())
    }
}

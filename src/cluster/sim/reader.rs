//! A reader that asks any replica, now and then, for what lies at the end of a log: the probe of ConsistentRead (`check/consistent_read.rs`).
//!
//! It is nobody's client: no group, no position, no patience. It speaks the same requests as any client.

use crate::cluster::sim::check::{History, Violation, consistent_read};
use crate::cluster::sim::world::{Power, World};
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::codec::{Request, Response};
use crate::protocol::ids::{BrokerId, PartitionId};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

/// So far back from the end of what is committed does it read at most, in records.
const BACK: u64 = 20;
/// After so many milliseconds without an answer a question is forgotten.
const PATIENCE_MS: u64 = 5_000;

/// See the module.
#[derive(Debug, Clone)]
pub struct Reader {
    rng: Prng,
    next_at: Instant,
    every_ms: u64,
    asked: Vec<Asked>,
}

#[derive(Debug, Clone)]
struct Asked {
    id: u64,
    at: Instant,
    broker: BrokerId,
    partition: PartitionId,
}

impl Reader {
    /// A reader that asks about so often.
    pub fn new(rng: Prng, every_ms: u64) -> Reader {
        Reader { rng, next_at: Instant::ZERO, every_ms, asked: Vec::new() }
    }

    /// Asks if it is time, and looks at what was answered.
    ///
    /// # Errors
    /// If somebody showed what was not committed.
    pub fn look(&mut self, world: &mut World, history: &History) -> Result<(), Violation> {
        let mut waiting = Vec::new();
        for asked in std::mem::take(&mut self.asked) {
            match world.take_answer(asked.id) {
                Some(Some(Response::Fetch(reply))) => {
                    consistent_read::look(history, asked.broker, asked.partition, &reply)?;
                }
                Some(_) => {}
                None if world.now < asked.at.plus_millis(PATIENCE_MS) => waiting.push(asked),
                None => {}
            }
        }
        self.asked = waiting;
        if world.now >= self.next_at {
            self.next_at = world.now.plus_millis(self.rng.range(1, self.every_ms * 2));
            self.ask(world, history);
        }
        Ok(())
    }

    fn ask(&mut self, world: &mut World, history: &History) {
        let known: Vec<PartitionId> = history.partitions().map(|(id, _)| *id).collect();
        let Some(partition) = self.rng.pick(&known).copied() else { return };
        let holders: Vec<BrokerId> = world
            .nodes
            .iter()
            .filter(|(_, node)| node.power == Power::On && node.disk.log_of(partition).is_some())
            .map(|(id, _)| *id)
            .collect();
        let Some(broker) = self.rng.pick(&holders).copied() else { return };
        let log = world.nodes[&broker].disk.log_of(partition).expect("a holder has a log");
        let back = i64::try_from(self.rng.range(0, BACK)).expect("a few records");
        let offset = (log.end_offset - back).max(log.start_offset);
        let wanted = FetchPartition::default()
            .with_partition(partition.partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_last_fetched_epoch(-1)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_string(log.topic.clone())))
            .with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            .with_max_wait_ms(0)
            .with_min_bytes(0)
            .with_max_bytes(1 << 20)
            .with_session_id(0)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let id = world.ask(broker, Request::Fetch(request));
        self.asked.push(Asked { id, at: world.now, broker, partition });
    }
}

//! Simulated producers: idempotent, acks=all, one batch under way at a time, repeated until it is acknowledged. They keep the ledger:
//! which record was acknowledged at which offset.
//!
//! They speak the same requests as any client, without the bytes. They deliberately know nothing of the brokers' insides.

use crate::engine::prng::Prng;
use crate::engine::time::{Instant, WallTime};
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use crate::protocol::records::BatchBuilder;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateTopicsRequest, InitProducerIdRequest, MetadataRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// After this long without an answer a client asks again, in milliseconds.
const ATTEMPT_TIMEOUT_MS: u64 = 1_500;
/// How long a client waits before it repeats what failed, in milliseconds.
const RETRY_BACKOFF_MS: u64 = 50;

/// Names a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub u32);

/// What a client wants after its turn.
#[derive(Debug, Default)]
pub struct Wishes {
    /// A request to send.
    pub ask: Option<Ask>,
    /// When to be given another turn.
    pub wake: Option<Instant>,
}

/// A request of a client.
#[derive(Debug)]
pub struct Ask {
    /// To whom.
    pub broker: BrokerId,
    /// Pairs the answer.
    pub attempt: u64,
    /// What.
    pub request: Request,
}

/// An acknowledged batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acked {
    /// Which partition of the client's topic.
    pub partition: i32,
    /// Its first offset.
    pub base_offset: i64,
    /// How many records it has.
    pub count: i32,
    /// The checksum that tells it from every other batch.
    pub crc: u32,
}

/// What to make, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The topic; made by the client if it does not exist.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each has.
    pub replication_factor: i16,
    /// Time between batches, in milliseconds.
    pub interval_ms: u64,
    /// No more batches from here on: the client only finishes what it has begun.
    pub until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    CreateTopic,
    InitProducer,
    FindLeader,
    Send,
}

/// A batch that is not acknowledged yet.
#[derive(Debug, Clone)]
struct Pending {
    partition: i32,
    sequence: i32,
    count: i32,
    timestamp: i64,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Client {
    id: ClientId,
    load: Load,
    rng: Prng,
    stage: Stage,
    attempt: u64,
    deadline: Option<Instant>,
    producer: (i64, i16),
    sequences: BTreeMap<i32, i32>,
    /// Leaders with their epochs: what a broker says that has an older epoch is old news (KIP-320).
    leaders: BTreeMap<i32, (BrokerId, i32)>,
    pending: Option<Pending>,
    next_batch_at: Instant,
    /// Everything that was acknowledged.
    pub acked: Vec<Acked>,
    /// An answer no correct cluster gives.
    pub violation: Option<String>,
    note: Option<String>,
    /// A batch was acknowledged: the next one waits for its interval.
    wants_pause: bool,
}

impl Client {
    /// A producer that has everything before it.
    pub fn new(id: ClientId, load: Load, rng: Prng) -> Client {
        Client {
            id,
            load,
            rng,
            stage: Stage::CreateTopic,
            attempt: 0,
            deadline: None,
            producer: (-1, -1),
            sequences: BTreeMap::new(),
            leaders: BTreeMap::new(),
            pending: None,
            next_batch_at: Instant::ZERO,
            acked: Vec::new(),
            violation: None,
            note: None,
            wants_pause: false,
        }
    }

    /// Who it is.
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// No more batches from here on.
    pub fn end(&mut self, now: Instant) {
        self.load.until = self.load.until.min(now);
    }

    /// The topic it writes to.
    pub fn topic(&self) -> &str {
        &self.load.topic
    }

    /// Whether it has nothing more to do.
    pub fn is_done(&self, now: Instant) -> bool {
        self.pending.is_none() && now >= self.load.until
    }

    /// A line for the trace.
    pub fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// An answer to its request, or its timer.
    pub fn turn(
        &mut self,
        now: Instant,
        wall: WallTime,
        brokers: &[BrokerId],
        answer: Option<(u64, Option<Response>)>,
    ) -> Wishes {
        match answer {
            Some((attempt, response)) if attempt == self.attempt && self.deadline.is_some() => {
                self.deadline = None;
                if !self.on_response(response) {
                    self.next_batch_at = now.plus_millis(RETRY_BACKOFF_MS);
                    return Wishes { ask: None, wake: Some(self.next_batch_at) };
                }
            }
            // The answer to an attempt that was given up.
            Some(_) => return Wishes::default(),
            None => match self.deadline {
                Some(deadline) if now < deadline => return Wishes::default(),
                Some(_) => {
                    self.deadline = None;
                    self.stage = self.stage.min_after_failure();
                }
                None => {}
            },
        }
        if std::mem::take(&mut self.wants_pause) {
            self.next_batch_at = now.plus_millis(self.load.interval_ms);
        }
        self.ask(now, wall, brokers)
    }

    fn ask(&mut self, now: Instant, wall: WallTime, brokers: &[BrokerId]) -> Wishes {
        if now < self.next_batch_at {
            return Wishes { ask: None, wake: Some(self.next_batch_at) };
        }
        if self.stage == Stage::Send && self.pending.is_none() {
            if now >= self.load.until {
                return Wishes::default();
            }
            self.begin_batch(wall);
        }
        let any = *self.rng.pick(brokers).expect("a cluster has brokers");
        let (broker, request) = match self.stage {
            Stage::CreateTopic => (any, self.create_topic()),
            Stage::InitProducer => {
                (any, Request::InitProducerId(InitProducerIdRequest::default().with_transactional_id(None)))
            }
            Stage::FindLeader => (any, self.metadata()),
            Stage::Send => {
                let pending = self.pending.as_ref().expect("a batch was begun");
                match self.leaders.get(&pending.partition) {
                    Some((leader, _)) => (*leader, self.produce(pending)),
                    None => {
                        self.stage = Stage::FindLeader;
                        (any, self.metadata())
                    }
                }
            }
        };
        self.attempt += 1;
        let deadline = now.plus_millis(ATTEMPT_TIMEOUT_MS);
        self.deadline = Some(deadline);
        Wishes { ask: Some(Ask { broker, attempt: self.attempt, request }), wake: Some(deadline) }
    }

    fn begin_batch(&mut self, wall: WallTime) {
        let partitions = u64::try_from(self.load.partitions).expect("a few partitions");
        let partition = i32::try_from(self.rng.below(partitions)).expect("a few partitions");
        let sequence = self.sequences.get(&partition).copied().unwrap_or(0);
        let count = i32::try_from(self.rng.range(1, 5)).expect("a few records");
        self.pending = Some(Pending { partition, sequence, count, timestamp: wall.0 });
    }

    fn create_topic(&self) -> Request {
        let topic = CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(self.load.topic.clone())))
            .with_num_partitions(self.load.partitions)
            .with_replication_factor(self.load.replication_factor);
        Request::CreateTopics(CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000))
    }

    fn metadata(&self) -> Request {
        let name = TopicName(StrBytes::from_string(self.load.topic.clone()));
        let topic = MetadataRequestTopic::default().with_name(Some(name));
        Request::Metadata(MetadataRequest::default().with_topics(Some(vec![topic])))
    }

    fn batch(&self, pending: &Pending) -> crate::protocol::batch::Batch {
        let mut batch = BatchBuilder::new().producer(self.producer.0, self.producer.1, pending.sequence);
        for index in 0..pending.count {
            let value = format!("{}/{}/{}", self.id.0, pending.partition, pending.sequence + index);
            batch.push(pending.timestamp, None, Some(value.as_bytes()), &[]);
        }
        batch.build().expect("an uncompressed batch")
    }

    fn produce(&self, pending: &Pending) -> Request {
        let data = PartitionProduceData::default()
            .with_index(pending.partition)
            .with_records(Some(self.batch(pending).to_bytes()));
        let topic = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_string(self.load.topic.clone())))
            .with_partition_data(vec![data]);
        Request::Produce(
            ProduceRequest::default()
                .with_transactional_id(None)
                .with_acks(-1)
                .with_timeout_ms(1_000)
                .with_topic_data(vec![topic]),
        )
    }

    /// Whether the client got on.
    fn on_response(&mut self, response: Option<Response>) -> bool {
        match (self.stage, response) {
            (Stage::CreateTopic, Some(Response::CreateTopics(response))) => {
                let code = response.topics.first().map_or(-1, |topic| topic.error_code);
                let made = matches!(ErrorCode::from_code(code), ErrorCode::None | ErrorCode::TopicAlreadyExists);
                self.advance(made, Stage::InitProducer)
            }
            (Stage::InitProducer, Some(Response::InitProducerId(response))) => {
                self.producer = (response.producer_id.0, response.producer_epoch);
                self.advance(response.error_code == 0, Stage::FindLeader)
            }
            (Stage::FindLeader, Some(Response::Metadata(response))) => {
                for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
                    let known = self.leaders.get(&partition.partition_index).map_or(-1, |(_, epoch)| *epoch);
                    if partition.leader_id.0 >= 0 && partition.leader_epoch >= known {
                        let leader = (BrokerId(partition.leader_id.0), partition.leader_epoch);
                        self.leaders.insert(partition.partition_index, leader);
                    }
                }
                let wanted = self.pending.as_ref().map(|pending| pending.partition);
                let found = wanted.map_or(!self.leaders.is_empty(), |partition| self.leaders.contains_key(&partition));
                self.advance(found, Stage::Send)
            }
            (Stage::Send, Some(Response::Produce(response))) => {
                let answer = response.responses.first().and_then(|topic| topic.partition_responses.first());
                let Some(answer) = answer else { return false };
                self.on_produced(ErrorCode::from_code(answer.error_code), answer.base_offset)
            }
            _ => {
                self.stage = self.stage.min_after_failure();
                false
            }
        }
    }

    fn advance(&mut self, is_done: bool, next: Stage) -> bool {
        if is_done {
            self.stage = next;
        }
        is_done
    }

    fn on_produced(&mut self, error: ErrorCode, base_offset: i64) -> bool {
        let pending = self.pending.clone().expect("an answer belongs to a batch");
        if error == ErrorCode::None {
            let crc = self.batch(&pending).header.crc;
            self.acked.push(Acked { partition: pending.partition, base_offset, count: pending.count, crc });
            self.note = Some(format!("acked {}-{} at {base_offset}", self.load.topic, pending.partition));
            self.sequences.insert(pending.partition, pending.sequence + pending.count);
            self.pending = None;
            self.wants_pause = true;
            return true;
        }
        self.note = Some(format!("refused {}-{}: {error}", self.load.topic, pending.partition));
        let is_a_bug = matches!(
            error,
            ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId | ErrorCode::InvalidProducerEpoch
        );
        if is_a_bug {
            self.violation = Some(format!("an idempotent producer that repeats faithfully was told {error}"));
        }
        self.stage = Stage::FindLeader;
        false
    }
}

impl Stage {
    /// A request got no answer: leaders may have moved; what comes before that is repeated as it is.
    fn min_after_failure(self) -> Stage {
        if self == Stage::Send { Stage::FindLeader } else { self }
    }
}

//! A producer: idempotent if it wants acknowledgements from all, one request under way a broker, batches repeated until they are
//! acknowledged or their time is over. It tells of every record how it ended.
//!
//! Order is kept a partition: a batch is sent only after the one before it was acknowledged or given up.

use crate::client::metadata::{Metadata, TopicPartition, partition_of_key, topic_name};
use crate::client::{Answer, Call, Machine, Target, Turn};
use crate::protocol::batch::Batch;
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use crate::protocol::records::{BatchBuilder, Compression, RecordError};
use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use std::collections::{BTreeMap, VecDeque};

/// How a producer works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerOptions {
    /// `acks`: 0, 1 or −1.
    pub acks: i16,
    /// The codec.
    pub compression: Compression,
    /// The largest batch before compression, in bytes (`batch.size`).
    pub batch_bytes_max: usize,
    /// After this long a record that is not acknowledged is given up, in milliseconds (`delivery.timeout.ms`).
    pub delivery_timeout_ms: u64,
    /// After this long without an answer a request has failed, in milliseconds (`request.timeout.ms`).
    pub request_timeout_ms: u64,
    /// Wait before a repetition, in milliseconds (`retry.backoff.ms`).
    pub retry_backoff_ms: u64,
    /// Whether a topic that is not there may be created by asking for it (if the brokers do that).
    pub creates_topics: bool,
}

impl Default for ProducerOptions {
    fn default() -> ProducerOptions {
        ProducerOptions {
            acks: -1,
            compression: Compression::None,
            batch_bytes_max: 256 * 1024,
            delivery_timeout_ms: 120_000,
            request_timeout_ms: 5_000,
            retry_backoff_ms: 50,
            creates_topics: true,
        }
    }
}

/// A record to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProducerRecord {
    /// The topic.
    pub topic: String,
    /// The partition; by the key, or in turn, unless given.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Its time, in milliseconds.
    pub timestamp_ms: i64,
}

/// How a record ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The record: the number that [`Producer::send`] gave it.
    pub record: u64,
    /// Where it went; `None` if it never found a partition.
    pub partition: Option<TopicPartition>,
    /// Its offset (−1 with acks=0), or why it was not written.
    pub outcome: Result<i64, String>,
}

/// A batch on its way.
#[derive(Debug, Clone)]
struct Sealed {
    records: Vec<u64>,
    batch: Batch,
    deadline_ms: u64,
}

/// A partition's records, in order.
#[derive(Debug, Clone, Default)]
struct Queue {
    open: VecDeque<(u64, ProducerRecord, u64)>,
    sealed: Option<Sealed>,
    in_flight: bool,
    not_before_ms: u64,
    next_sequence: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    Metadata,
    ProducerId,
    Produce(BrokerId, Vec<TopicPartition>),
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Producer {
    options: ProducerOptions,
    metadata: Metadata,
    topics: Vec<String>,
    queues: BTreeMap<TopicPartition, Queue>,
    unrouted: VecDeque<(u64, ProducerRecord, u64)>,
    calls: BTreeMap<u64, Pending>,
    last_call: u64,
    last_record: u64,
    round_robin: i32,
    producer: Option<(i64, i16)>,
    wants_metadata: bool,
    not_before_ms: u64,
    busy: Vec<BrokerId>,
    deliveries: Vec<Delivery>,
    addresses: Vec<(BrokerId, String, u16)>,
}

impl Producer {
    /// A producer with nothing to send.
    pub fn new(options: ProducerOptions) -> Producer {
        Producer {
            options,
            metadata: Metadata::default(),
            topics: Vec::new(),
            queues: BTreeMap::new(),
            unrouted: VecDeque::new(),
            calls: BTreeMap::new(),
            last_call: 0,
            last_record: 0,
            round_robin: 0,
            producer: None,
            wants_metadata: false,
            not_before_ms: 0,
            busy: Vec::new(),
            deliveries: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// Takes a record; its number comes back in a [`Delivery`].
    pub fn send(&mut self, now_ms: u64, record: ProducerRecord) -> u64 {
        self.last_record += 1;
        if !self.topics.contains(&record.topic) {
            self.topics.push(record.topic.clone());
            self.wants_metadata = true;
        }
        self.unrouted.push_back((self.last_record, record, now_ms + self.options.delivery_timeout_ms));
        self.last_record
    }

    /// How the records ended that have ended since the last time.
    pub fn take_deliveries(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }

    /// Records that have not ended.
    pub fn unfinished(&self) -> usize {
        let queued = |queue: &Queue| queue.open.len() + queue.sealed.as_ref().map_or(0, |sealed| sealed.records.len());
        self.unrouted.len() + self.queues.values().map(queued).sum::<usize>()
    }

    fn call(&mut self, turn: &mut Turn, to: Target, request: Request, pending: Pending, expects_answer: bool) {
        self.last_call += 1;
        if expects_answer {
            self.calls.insert(self.last_call, pending);
        }
        let timeout_ms = self.options.request_timeout_ms;
        turn.calls.push(Call { id: self.last_call, to, request, timeout_ms, expects_answer });
    }

    fn route(&mut self) {
        let mut kept = VecDeque::new();
        for (number, record, deadline_ms) in std::mem::take(&mut self.unrouted) {
            let partitions = self.metadata.partitions(&record.topic);
            let count = i32::try_from(partitions.len()).expect("fewer than 2^31 partitions");
            if count == 0 {
                kept.push_back((number, record, deadline_ms));
                continue;
            }
            let partition = match (record.partition, &record.key) {
                (Some(partition), _) => partition,
                (None, Some(key)) => partition_of_key(key, count),
                (None, None) => {
                    self.round_robin = self.round_robin.wrapping_add(1) & i32::MAX;
                    self.round_robin % count
                }
            };
            let key = TopicPartition::new(&record.topic, partition);
            if partition >= count || partition < 0 {
                let outcome = Err(format!("{} has {count} partitions: there is no {partition}", record.topic));
                self.deliveries.push(Delivery { record: number, partition: Some(key), outcome });
                continue;
            }
            self.queues.entry(key).or_default().open.push_back((number, record, deadline_ms));
        }
        self.unrouted = kept;
    }

    fn expire(&mut self, now_ms: u64) {
        let deliveries = &mut self.deliveries;
        let mut give_up = |number: u64, partition: Option<&TopicPartition>| {
            let outcome = Err("not acknowledged in time".to_owned());
            deliveries.push(Delivery { record: number, partition: partition.cloned(), outcome });
        };
        self.unrouted.retain(|(number, _, deadline_ms)| {
            let keep = now_ms < *deadline_ms;
            if !keep {
                give_up(*number, None);
            }
            keep
        });
        for (partition, queue) in &mut self.queues {
            if !queue.in_flight && queue.sealed.as_ref().is_some_and(|sealed| now_ms >= sealed.deadline_ms) {
                let sealed = queue.sealed.take().expect("just seen");
                sealed.records.iter().for_each(|number| give_up(*number, Some(partition)));
            }
            while queue.open.front().is_some_and(|(_, _, deadline_ms)| now_ms >= *deadline_ms) {
                let (number, _, _) = queue.open.pop_front().expect("just seen");
                give_up(number, Some(partition));
            }
        }
    }

    /// Sends what can be sent: one request a broker, one batch a partition.
    fn produce(&mut self, now_ms: u64, turn: &mut Turn) {
        let mut ready: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
        for (partition, queue) in &mut self.queues {
            if queue.in_flight || (queue.sealed.is_none() && queue.open.is_empty()) {
                continue;
            }
            if now_ms < queue.not_before_ms {
                turn.wake(queue.not_before_ms);
                continue;
            }
            match self.metadata.leader(partition) {
                Some(leader) if !self.busy.contains(&leader) => {
                    ready.entry(leader).or_default().push(partition.clone())
                }
                Some(_) => {}
                None => self.wants_metadata = true,
            }
        }
        for (leader, partitions) in ready {
            let mut data: BTreeMap<String, Vec<PartitionProduceData>> = BTreeMap::new();
            for partition in &partitions {
                if let Some(bytes) = self.seal(partition) {
                    let part =
                        PartitionProduceData::default().with_index(partition.partition).with_records(Some(bytes));
                    data.entry(partition.topic.clone()).or_default().push(part);
                }
            }
            let topic = |(name, parts): (String, Vec<PartitionProduceData>)| {
                TopicProduceData::default().with_name(topic_name(&name)).with_partition_data(parts)
            };
            let timeout_ms = i32::try_from(self.options.request_timeout_ms).unwrap_or(i32::MAX);
            let request = ProduceRequest::default()
                .with_acks(self.options.acks)
                .with_timeout_ms(timeout_ms)
                .with_topic_data(data.into_iter().map(topic).collect());
            let expects_answer = self.options.acks != 0;
            let pending = Pending::Produce(leader, partitions.clone());
            self.call(turn, Target::Broker(leader), Request::Produce(request), pending, expects_answer);
            if expects_answer {
                self.busy.push(leader);
                for partition in &partitions {
                    self.queues.get_mut(partition).expect("a queue that has something").in_flight = true;
                }
            } else {
                partitions.iter().for_each(|partition| self.finish(partition, Ok(-1)));
            }
        }
    }

    /// The next batch of a partition: the one that is repeated, or a new one of what waits.
    fn seal(&mut self, partition: &TopicPartition) -> Option<Bytes> {
        let queue = self.queues.get_mut(partition).expect("a queue that has something");
        if queue.sealed.is_none() {
            let mut builder = BatchBuilder::new().compression(self.options.compression);
            if let Some((id, epoch)) = self.producer {
                builder = builder.producer(id, epoch, queue.next_sequence);
            }
            let (mut records, mut last_deadline_ms) = (Vec::new(), 0);
            while let Some((number, record, deadline_ms)) = queue.open.pop_front() {
                builder.push(record.timestamp_ms, record.key.as_deref(), record.value.as_deref(), &record.headers);
                records.push(number);
                last_deadline_ms = deadline_ms;
                if builder.size() >= self.options.batch_bytes_max {
                    break;
                }
            }
            let count = i32::try_from(records.len()).expect("a batch below 2^31 records");
            match builder.build() {
                Ok(batch) => {
                    queue.next_sequence = queue.next_sequence.checked_add(count).unwrap_or(0);
                    queue.sealed = Some(Sealed { records, batch, deadline_ms: last_deadline_ms });
                }
                Err(error) => {
                    self.refuse(partition, &records, &error);
                    return None;
                }
            }
        }
        let queue = self.queues.get(partition).expect("a queue that has something");
        queue.sealed.as_ref().map(|sealed| sealed.batch.to_bytes())
    }

    fn refuse(&mut self, partition: &TopicPartition, records: &[u64], error: &RecordError) {
        let outcome = Err(error.to_string());
        for record in records {
            let partition = Some(partition.clone());
            self.deliveries.push(Delivery { record: *record, partition, outcome: outcome.clone() });
        }
    }

    fn finish(&mut self, partition: &TopicPartition, outcome: Result<i64, String>) {
        let Some(queue) = self.queues.get_mut(partition) else { return };
        queue.in_flight = false;
        let Some(sealed) = queue.sealed.take() else { return };
        for (place, record) in (0_i64..).zip(sealed.records) {
            let outcome = outcome.clone().map(|base| if base < 0 { base } else { base + place });
            self.deliveries.push(Delivery { record, partition: Some(partition.clone()), outcome });
        }
    }

    fn retry(&mut self, now_ms: u64, partition: &TopicPartition, backoff: bool) {
        if let Some(queue) = self.queues.get_mut(partition) {
            queue.in_flight = false;
            queue.not_before_ms = if backoff { now_ms + self.options.retry_backoff_ms } else { now_ms };
        }
    }

    fn on_produced(&mut self, now_ms: u64, partitions: &[TopicPartition], response: &Response) {
        let Response::Produce(response) = response else { return };
        for topic in &response.responses {
            for part in &topic.partition_responses {
                let partition = TopicPartition::new(&topic.name.0, part.index);
                let error = ErrorCode::from_code(part.error_code);
                match error {
                    ErrorCode::None | ErrorCode::DuplicateSequenceNumber => {
                        self.finish(&partition, Ok(part.base_offset))
                    }
                    error if is_retriable(error) => {
                        let leader = part.current_leader.leader_id.0;
                        let is_hinted = leader >= 0
                            && self.metadata.hint(&partition, BrokerId(leader), part.current_leader.leader_epoch);
                        self.wants_metadata |= !is_hinted;
                        self.retry(now_ms, &partition, !is_hinted);
                    }
                    error => self.finish(&partition, Err(error.to_string())),
                }
            }
        }
        // A partition that the answer left out is asked again.
        for partition in partitions {
            if self.queues.get(partition).is_some_and(|queue| queue.in_flight) {
                self.retry(now_ms, partition, true);
            }
        }
    }
}

impl Machine for Producer {
    fn turn(&mut self, now_ms: u64) -> Turn {
        let mut turn = Turn { addresses: std::mem::take(&mut self.addresses), ..Turn::default() };
        self.expire(now_ms);
        self.route();
        if self.unfinished() == 0 {
            return turn;
        }
        let is_calling = |kind: &Pending| self.calls.values().any(|pending| pending == kind);
        let (asks_metadata, asks_id) = (is_calling(&Pending::Metadata), is_calling(&Pending::ProducerId));
        let may_ask = now_ms >= self.not_before_ms;
        if self.options.acks == -1 && self.producer.is_none() {
            if !asks_id && may_ask {
                // The crate's default is an empty name, which brokers refuse: no name is no transactions.
                let request = InitProducerIdRequest::default().with_transactional_id(None);
                let request = Request::InitProducerId(request);
                self.call(&mut turn, Target::Any, request, Pending::ProducerId, true);
            }
        } else {
            self.produce(now_ms, &mut turn);
        }
        self.wants_metadata |= !self.unrouted.is_empty();
        if self.wants_metadata && !asks_metadata && may_ask {
            self.wants_metadata = false;
            let request = Metadata::request(Some(&self.topics), self.options.creates_topics);
            self.call(&mut turn, Target::Any, request, Pending::Metadata, true);
        }
        if !may_ask {
            turn.wake(self.not_before_ms);
        }
        turn.wake(now_ms + 1_000);
        turn
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        let Some(pending) = self.calls.remove(&call) else { return };
        match (pending, answer) {
            (Pending::Metadata, Answer::Response(response)) => {
                self.addresses.extend(self.metadata.update(&response));
                let has_all = self.topics.iter().all(|topic| !self.metadata.partitions(topic).is_empty());
                if !has_all {
                    self.not_before_ms = now_ms + self.options.retry_backoff_ms;
                }
            }
            (Pending::ProducerId, Answer::Response(response)) => match *response {
                Response::InitProducerId(given) if given.error_code == 0 => {
                    self.producer = Some((given.producer_id.0, given.producer_epoch));
                }
                _ => self.not_before_ms = now_ms + self.options.retry_backoff_ms,
            },
            (Pending::Produce(leader, partitions), answer) => {
                self.busy.retain(|busy| *busy != leader);
                match answer {
                    Answer::Response(response) => self.on_produced(now_ms, &partitions, &response),
                    Answer::Failed(_) => {
                        self.wants_metadata = true;
                        partitions.iter().for_each(|partition| self.retry(now_ms, partition, true));
                    }
                }
            }
            (Pending::Metadata, Answer::Failed(_)) => {
                self.wants_metadata = true;
                self.not_before_ms = now_ms + self.options.retry_backoff_ms;
            }
            (Pending::ProducerId, Answer::Failed(_)) => self.not_before_ms = now_ms + self.options.retry_backoff_ms,
        }
    }
}

/// Whether the same request may succeed later (Kafka's `RetriableException`s as far as a producer meets them).
pub fn is_retriable(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::NotEnoughReplicasAfterAppend
            | ErrorCode::RequestTimedOut
            | ErrorCode::NetworkException
            | ErrorCode::BrokerNotAvailable
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::OffsetNotAvailable
            | ErrorCode::KafkaStorageError
            | ErrorCode::CorruptMessage
            | ErrorCode::NotController
    )
}

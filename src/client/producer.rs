//! A producer: idempotent if it wants acknowledgements from all, one request under way a broker, batches repeated until they are
//! acknowledged or their time is over. It tells of every record how it ended.
//!
//! Order is kept a partition: a batch is sent only after the one before it was acknowledged or given up. Nobody knows what became of a batch
//! that was given up: an idempotent producer goes on in its next epoch, whose sequences begin at 0 a partition (KIP-360,
//! `TransactionManager.bumpIdempotentProducerEpoch`).

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
    /// The checksum of the batch it was sent in; `None` if it never was in one.
    pub crc: Option<u32>,
    /// Its offset (−1 with acks=0), or why it is not known to be written.
    pub outcome: Result<i64, Refusal>,
}

/// Why a record is not known to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It was not acknowledged before its time was over, and what its partition's leader said last, if it said anything; it may be
    /// there all the same.
    TooLate(Option<ErrorCode>),
    /// The topic has no such partition: its name, the partition, and how many there are.
    NoSuchPartition(String, i32, i32),
    /// No batch could be made of it; in words.
    Unwritable(String),
    /// The leader refused it for good.
    Error(ErrorCode),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::TooLate(None) => f.write_str("not acknowledged in time"),
            Refusal::TooLate(Some(error)) => write!(f, "not acknowledged in time: {error}"),
            Refusal::NoSuchPartition(topic, partition, count) => {
                write!(f, "{topic} has {count} partitions: there is no {partition}")
            }
            Refusal::Unwritable(reason) => f.write_str(reason),
            Refusal::Error(error) => error.fmt(f),
        }
    }
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
    /// Why the batch that is sealed was not taken when it was sent last.
    last_error: Option<ErrorCode>,
    /// Who its sequences belong to: another producer id or epoch begins at 0.
    producer: Option<(i64, i16)>,
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
    /// Not before this is metadata asked for again: while there is no leader, every answer says so at once.
    metadata_not_before_ms: u64,
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
            metadata_not_before_ms: 0,
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
                let outcome = Err(Refusal::NoSuchPartition(record.topic, partition, count));
                self.deliveries.push(Delivery { record: number, partition: Some(key), crc: None, outcome });
                continue;
            }
            self.queues.entry(key).or_default().open.push_back((number, record, deadline_ms));
        }
        self.unrouted = kept;
    }

    fn expire(&mut self, now_ms: u64) {
        let deliveries = &mut self.deliveries;
        let mut give_up =
            |number: u64, partition: Option<&TopicPartition>, crc: Option<u32>, error: Option<ErrorCode>| {
                let (partition, outcome) = (partition.cloned(), Err(Refusal::TooLate(error)));
                deliveries.push(Delivery { record: number, partition, crc, outcome });
            };
        self.unrouted.retain(|(number, _, deadline_ms)| {
            let keep = now_ms < *deadline_ms;
            if !keep {
                give_up(*number, None, None, None);
            }
            keep
        });
        let mut is_sequence_open = false;
        for (partition, queue) in &mut self.queues {
            if !queue.in_flight && queue.sealed.as_ref().is_some_and(|sealed| now_ms >= sealed.deadline_ms) {
                let sealed = queue.sealed.take().expect("just seen");
                let crc = Some(sealed.batch.header.crc);
                let error = queue.last_error.take();
                sealed.records.iter().for_each(|number| give_up(*number, Some(partition), crc, error));
                is_sequence_open |= queue.producer == self.producer;
            }
            while queue.open.front().is_some_and(|(_, _, deadline_ms)| now_ms >= *deadline_ms) {
                let (number, _, _) = queue.open.pop_front().expect("just seen");
                give_up(number, Some(partition), None, None);
            }
        }
        if is_sequence_open {
            self.next_epoch();
        }
    }

    /// Nobody knows which sequences were taken: the next batch of each partition begins anew.
    fn next_epoch(&mut self) {
        let next = |(id, epoch): (i64, i16)| epoch.checked_add(1).map(|epoch| (id, epoch));
        self.producer = self.producer.and_then(next);
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
            if queue.producer != self.producer {
                (queue.producer, queue.next_sequence) = (self.producer, 0);
            }
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
        let outcome = Err(Refusal::Unwritable(error.to_string()));
        for record in records {
            let (record, partition) = (*record, Some(partition.clone()));
            self.deliveries.push(Delivery { record, partition, crc: None, outcome: outcome.clone() });
        }
    }

    fn finish(&mut self, partition: &TopicPartition, outcome: Result<i64, ErrorCode>) {
        let Some(queue) = self.queues.get_mut(partition) else { return };
        queue.in_flight = false;
        queue.last_error = None;
        let Some(sealed) = queue.sealed.take() else { return };
        let is_current = queue.producer == self.producer;
        let crc = Some(sealed.batch.header.crc);
        for (place, record) in (0_i64..).zip(sealed.records) {
            let outcome = outcome.map(|base| if base < 0 { base } else { base + place }).map_err(Refusal::Error);
            self.deliveries.push(Delivery { record, partition: Some(partition.clone()), crc, outcome });
        }
        match outcome {
            Err(ErrorCode::InvalidProducerEpoch) if is_current => self.producer = None,
            Err(_) if is_current => self.next_epoch(),
            _ => {}
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
                        if let Some(queue) = self.queues.get_mut(&partition) {
                            queue.last_error = Some(error);
                        }
                        self.retry(now_ms, &partition, !is_hinted);
                    }
                    error => self.finish(&partition, Err(error)),
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
        if self.wants_metadata && !asks_metadata {
            if now_ms >= self.metadata_not_before_ms {
                self.wants_metadata = false;
                let request = Metadata::request(Some(&self.topics), self.options.creates_topics);
                self.call(&mut turn, Target::Any, request, Pending::Metadata, true);
            } else {
                turn.wake(self.metadata_not_before_ms);
            }
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
                self.metadata_not_before_ms = now_ms + self.options.retry_backoff_ms;
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
                self.metadata_not_before_ms = now_ms + self.options.retry_backoff_ms;
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

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
    use kafka_protocol::messages::{BrokerId as WireBrokerId, InitProducerIdResponse, MetadataResponse, ProducerId};

    fn send(producer: &mut Producer, now_ms: u64) {
        let record =
            ProducerRecord { topic: "t".to_owned(), value: Some(Bytes::from_static(b"v")), ..Default::default() };
        producer.send(now_ms, record);
    }

    fn answer(producer: &mut Producer, now_ms: u64, call: &Call, response: Response) {
        producer.answer(now_ms, call.id, Answer::Response(Box::new(response)));
    }

    fn metadata(leader: i32) -> Response {
        let partition = MetadataResponsePartition::default().with_leader_id(WireBrokerId(leader)).with_leader_epoch(1);
        let topic = MetadataResponseTopic::default().with_name(Some(topic_name("t"))).with_partitions(vec![partition]);
        Response::Metadata(MetadataResponse::default().with_topics(vec![topic]))
    }

    /// A producer that knows its id and a leader, and the batch that it sends first.
    fn ready(options: ProducerOptions) -> (Producer, Call) {
        let mut producer = Producer::new(options);
        send(&mut producer, 0);
        for call in producer.turn(0).calls {
            let given = InitProducerIdResponse::default().with_producer_id(ProducerId(7)).with_producer_epoch(0);
            let is_metadata = matches!(call.request, Request::Metadata(_));
            answer(&mut producer, 0, &call, if is_metadata { metadata(1) } else { Response::InitProducerId(given) });
        }
        let call = producer.turn(0).calls.pop().expect("a batch can be sent");
        (producer, call)
    }

    fn batch_of(call: &Call) -> (i16, i32) {
        let Request::Produce(request) = &call.request else { panic!("{call:?}") };
        let bytes = request.topic_data[0].partition_data[0].records.clone().expect("records");
        let batches = Batch::parse_all(&bytes).expect("a batch");
        (batches[0].header.producer_epoch, batches[0].header.base_sequence)
    }

    #[test]
    fn after_a_batch_was_given_up_sequences_begin_anew_in_the_next_epoch() {
        let (mut producer, first) = ready(ProducerOptions { delivery_timeout_ms: 1_000, ..Default::default() });
        assert_eq!(batch_of(&first), (0, 0));
        send(&mut producer, 900);
        producer.answer(1_200, first.id, Answer::Failed("no answer in time".to_owned()));
        let calls = producer.turn(1_250).calls;
        let told = producer.take_deliveries();
        assert_eq!(told.iter().map(|delivery| &delivery.outcome).collect::<Vec<_>>(), [&Err(Refusal::TooLate(None))]);
        let second = calls.iter().find(|call| matches!(call.request, Request::Produce(_))).expect("the next batch");
        assert_eq!(batch_of(second), (1, 0), "nobody knows whether sequence 0 of epoch 0 was taken");
    }

    #[test]
    fn while_there_is_no_leader_metadata_is_asked_for_at_intervals() {
        let (mut producer, first) = ready(ProducerOptions::default());
        producer.answer(10, first.id, Answer::Failed("connection reset".to_owned()));
        let mut now_ms = 10;
        let mut asked = 0;
        while now_ms < 1_010 {
            let turn = producer.turn(now_ms);
            for call in turn.calls {
                assert!(matches!(call.request, Request::Metadata(_)), "{call:?}");
                asked += 1;
                answer(&mut producer, now_ms, &call, metadata(-1));
            }
            now_ms += 1;
        }
        assert!((10..=21).contains(&asked), "{asked} times in a second");
    }
}

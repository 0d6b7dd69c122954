//! A producer that writes in transactions, one at a time: it finds its coordinator, gets producer id and epoch, writes a transaction's records to
//! their partitions, tells how far a group has come, and ends it, each step repeated until it is done or can no longer succeed (KIP-98, KIP-447,
//! KIP-890).
//!
//! Invariants: a transaction is told as committed only if the coordinator has said so, and as aborted only if it cannot have been committed;
//! every batch is the first of its producer epoch on its partition, because each end of a transaction takes the producer to another epoch.
//! Offsets are told last, and a transaction whose member the group went on without is aborted.
//!
//! Deliberately not here: version 1 of the protocol, where the client names the partitions before it writes to them.

use crate::client::member::Position;
use crate::client::metadata::{Metadata, TopicPartition, topic_name};
use crate::client::producer::{ProducerRecord, is_retriable};
use crate::client::{Answer, Call, Machine, Target, Turn};
use crate::protocol::batch::Batch;
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use crate::protocol::records::BatchBuilder;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    EndTxnRequest, FindCoordinatorRequest, FindCoordinatorResponse, GroupId, InitProducerIdRequest, ProduceRequest,
    ProducerId, TransactionalId, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// The kind of coordinator that FindCoordinator is asked for (`CoordinatorType.TRANSACTION`).
const TRANSACTION_COORDINATOR: i8 = 1;
/// And the kind that groups have.
const GROUP_COORDINATOR: i8 = 0;

/// How a transactional producer works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionOptions {
    /// Its name among all producers (`transactional.id`): whoever comes later under it fences whoever was before.
    pub transactional_id: String,
    /// After this long the coordinator aborts an open transaction, in milliseconds (`transaction.timeout.ms`).
    pub transaction_timeout_ms: i32,
    /// After this long without an answer a request has failed, in milliseconds (`request.timeout.ms`).
    pub request_timeout_ms: u64,
    /// Wait before a repetition, in milliseconds (`retry.backoff.ms`).
    pub retry_backoff_ms: u64,
}

/// A transaction to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// What it writes, each record with its partition.
    pub records: Vec<ProducerRecord>,
    /// How far a group has come with it.
    pub offsets: Option<GroupOffsets>,
    /// Whether it commits in the end; else it aborts.
    pub commits: bool,
}

/// How far a group has come, as a member of it says; anybody may who names no member and no generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffsets {
    /// The group.
    pub group: String,
    /// The member's id; empty for none.
    pub member: String,
    /// Its `group.instance.id`, if it is a static one.
    pub instance: Option<String>,
    /// Its generation, or epoch; −1 for none.
    pub generation: i32,
    /// The next offset of each partition.
    pub positions: BTreeMap<TopicPartition, Position>,
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The coordinator has said that it commits: the partitions that were written to, each with its first offset.
    Committed(Vec<(TopicPartition, i64)>),
    /// It was aborted, or will be.
    Aborted,
    /// The end was asked for and no answer tells which it was: why.
    Unknown(ErrorCode),
}

/// A partition's share of a transaction.
#[derive(Debug, Clone)]
struct Part {
    batch: Batch,
    not_before_ms: u64,
    is_in_flight: bool,
    base_offset: Option<i64>,
}

#[derive(Debug, Clone)]
struct Job {
    transaction: Transaction,
    parts: BTreeMap<TopicPartition, Part>,
    are_offsets_told: bool,
    is_ending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    Metadata,
    Coordinator,
    ProducerId,
    Produce(TopicPartition),
    GroupCoordinator,
    Offsets,
    End,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct TransactionalProducer {
    options: TransactionOptions,
    metadata: Metadata,
    topics: Vec<String>,
    coordinator: Option<BrokerId>,
    /// Of the group whose offsets it tells.
    group_coordinator: Option<BrokerId>,
    producer: Option<(i64, i16)>,
    job: Option<Job>,
    calls: BTreeMap<u64, Pending>,
    last_call: u64,
    wants_metadata: bool,
    metadata_not_before_ms: u64,
    not_before_ms: u64,
    outcome: Option<Outcome>,
    /// What no correct cluster says.
    violation: Option<ErrorCode>,
    addresses: Vec<(BrokerId, String, u16)>,
}

impl TransactionalProducer {
    /// A producer that has not begun.
    pub fn new(options: TransactionOptions) -> TransactionalProducer {
        TransactionalProducer {
            options,
            metadata: Metadata::default(),
            topics: Vec::new(),
            coordinator: None,
            group_coordinator: None,
            producer: None,
            job: None,
            calls: BTreeMap::new(),
            last_call: 0,
            wants_metadata: true,
            metadata_not_before_ms: 0,
            not_before_ms: 0,
            outcome: None,
            violation: None,
            addresses: Vec::new(),
        }
    }

    /// Begins a transaction.
    ///
    /// # Panics
    /// If another one has not ended, or a record has no partition.
    pub fn begin(&mut self, transaction: Transaction) {
        assert!(self.job.is_none() && self.outcome.is_none(), "one transaction at a time");
        for record in &transaction.records {
            assert!(record.partition.is_some(), "a record of a transaction names its partition");
            if !self.topics.contains(&record.topic) {
                self.topics.push(record.topic.clone());
                self.wants_metadata = true;
            }
        }
        let are_offsets_told = transaction.offsets.is_none();
        self.job = Some(Job { transaction, parts: BTreeMap::new(), are_offsets_told, is_ending: false });
    }

    /// Whether a transaction is under way, or its end was not taken yet.
    pub fn is_busy(&self) -> bool {
        self.job.is_some() || self.outcome.is_some()
    }

    /// How the transaction ended, once it has.
    pub fn take_outcome(&mut self) -> Option<Outcome> {
        self.outcome.take()
    }

    /// An error that a producer which does everything right is never told.
    pub fn violation(&self) -> Option<ErrorCode> {
        self.violation
    }

    fn call(&mut self, turn: &mut Turn, to: Target, request: Request, pending: Pending) {
        self.last_call += 1;
        self.calls.insert(self.last_call, pending);
        let timeout_ms = self.options.request_timeout_ms;
        turn.calls.push(Call { id: self.last_call, to, request, timeout_ms, expects_answer: true });
    }

    fn is_calling(&self, kind: &Pending) -> bool {
        self.calls.values().any(|pending| pending == kind)
    }

    fn name(&self) -> TransactionalId {
        TransactionalId(StrBytes::from_string(self.options.transactional_id.clone()))
    }

    /// Finds the coordinator and gets an id from it; the producer once both are known.
    fn ready(&mut self, now_ms: u64, turn: &mut Turn) -> Option<(BrokerId, (i64, i16))> {
        if let (Some(coordinator), Some(producer)) = (self.coordinator, self.producer) {
            return Some((coordinator, producer));
        }
        if now_ms < self.not_before_ms {
            turn.wake(self.not_before_ms);
            return None;
        }
        match self.coordinator {
            None if !self.is_calling(&Pending::Coordinator) => {
                let request = FindCoordinatorRequest::default()
                    .with_key_type(TRANSACTION_COORDINATOR)
                    .with_coordinator_keys(vec![self.name().0]);
                self.call(turn, Target::Any, Request::FindCoordinator(request), Pending::Coordinator);
            }
            Some(coordinator) if !self.is_calling(&Pending::ProducerId) => {
                let request = InitProducerIdRequest::default()
                    .with_transactional_id(Some(self.name()))
                    .with_transaction_timeout_ms(self.options.transaction_timeout_ms)
                    .with_producer_id(ProducerId(-1))
                    .with_producer_epoch(-1);
                self.call(turn, Target::Broker(coordinator), Request::InitProducerId(request), Pending::ProducerId);
            }
            _ => {}
        }
        None
    }

    fn work(&mut self, now_ms: u64, turn: &mut Turn) {
        let Some((coordinator, producer)) = self.ready(now_ms, turn) else { return };
        let job = self.job.as_mut().expect("there is something to do");
        if job.parts.is_empty() {
            job.parts = split(&job.transaction.records, producer);
        }
        let is_written = job.parts.values().all(|part| part.base_offset.is_some());
        if !is_written && !job.is_ending {
            return self.write(now_ms, turn);
        }
        if !job.are_offsets_told && !job.is_ending {
            return self.tell_offsets(now_ms, producer, turn);
        }
        job.is_ending = true;
        let commits = job.transaction.commits;
        if self.is_calling(&Pending::End) {
            return;
        }
        if now_ms < self.not_before_ms {
            return turn.wake(self.not_before_ms);
        }
        let request = EndTxnRequest::default()
            .with_transactional_id(self.name())
            .with_producer_id(ProducerId(producer.0))
            .with_producer_epoch(producer.1)
            .with_committed(commits);
        self.call(turn, Target::Broker(coordinator), Request::EndTxn(request), Pending::End);
    }

    fn write(&mut self, now_ms: u64, turn: &mut Turn) {
        let job = self.job.as_mut().expect("there is something to do");
        let mut ready = Vec::new();
        for (partition, part) in &mut job.parts {
            if part.is_in_flight || part.base_offset.is_some() {
                continue;
            }
            if now_ms < part.not_before_ms {
                turn.wake(part.not_before_ms);
                continue;
            }
            match self.metadata.leader(partition) {
                Some(leader) => {
                    part.is_in_flight = true;
                    ready.push((leader, partition.clone(), part.batch.to_bytes()));
                }
                None => self.wants_metadata = true,
            }
        }
        for (leader, partition, bytes) in ready {
            let part = PartitionProduceData::default().with_index(partition.partition).with_records(Some(bytes));
            let topic =
                TopicProduceData::default().with_name(topic_name(&partition.topic)).with_partition_data(vec![part]);
            let request = ProduceRequest::default()
                .with_transactional_id(Some(self.name()))
                .with_acks(-1)
                .with_timeout_ms(i32::try_from(self.options.request_timeout_ms).unwrap_or(i32::MAX))
                .with_topic_data(vec![topic]);
            self.call(turn, Target::Broker(leader), Request::Produce(request), Pending::Produce(partition));
        }
    }

    /// Finds the group's coordinator and tells it how far the group has come.
    fn tell_offsets(&mut self, now_ms: u64, producer: (i64, i16), turn: &mut Turn) {
        if self.is_calling(&Pending::Offsets) || self.is_calling(&Pending::GroupCoordinator) {
            return;
        }
        if now_ms < self.not_before_ms {
            return turn.wake(self.not_before_ms);
        }
        let job = self.job.as_ref().expect("there is something to do");
        let offsets = job.transaction.offsets.as_ref().expect("offsets that are to be told");
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let Some(coordinator) = self.group_coordinator else {
            let request = FindCoordinatorRequest::default()
                .with_key_type(GROUP_COORDINATOR)
                .with_coordinator_keys(vec![text(&offsets.group)]);
            return self.call(turn, Target::Any, Request::FindCoordinator(request), Pending::GroupCoordinator);
        };
        let mut topics: BTreeMap<&str, Vec<TxnOffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, position) in &offsets.positions {
            let part = TxnOffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(position.offset)
                .with_committed_leader_epoch(position.leader_epoch)
                .with_committed_metadata(Some(StrBytes::from_static_str("")));
            topics.entry(&partition.topic).or_default().push(part);
        }
        let topic = |(name, partitions)| {
            TxnOffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
        };
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.name())
            .with_group_id(GroupId(text(&offsets.group)))
            .with_producer_id(ProducerId(producer.0))
            .with_producer_epoch(producer.1)
            .with_generation_id(offsets.generation)
            .with_member_id(text(&offsets.member))
            .with_group_instance_id(offsets.instance.as_deref().map(text))
            .with_topics(topics.into_iter().map(topic).collect());
        self.call(turn, Target::Broker(coordinator), Request::TxnOffsetCommit(request), Pending::Offsets);
    }

    fn on_offsets(&mut self, now_ms: u64, response: &Response) {
        let Response::TxnOffsetCommit(response) = response else { return };
        let codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|part| part.error_code);
        let worst = codes.map(ErrorCode::from_code).find(|error| *error != ErrorCode::None);
        let Some(job) = &mut self.job else { return };
        match worst {
            None => job.are_offsets_told = true,
            Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) => {
                self.group_coordinator = None;
                self.again(now_ms);
            }
            // The group has gone on without this member, or the transaction may not go on: it is aborted.
            Some(
                ErrorCode::IllegalGeneration
                | ErrorCode::UnknownMemberId
                | ErrorCode::StaleMemberEpoch
                | ErrorCode::FencedMemberEpoch
                | ErrorCode::FencedInstanceId
                | ErrorCode::RebalanceInProgress
                | ErrorCode::TransactionAbortable,
            ) => {
                job.transaction.commits = false;
                job.is_ending = true;
            }
            Some(ErrorCode::ConcurrentTransactions | ErrorCode::CoordinatorLoadInProgress) => self.again(now_ms),
            Some(error) if is_retriable(error) => self.again(now_ms),
            Some(error) => self.fail(error),
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.job = None;
        // What is still under way belongs to a transaction that is over.
        self.calls.retain(|_, pending| {
            !matches!(pending, Pending::Produce(_) | Pending::GroupCoordinator | Pending::Offsets | Pending::End)
        });
        self.outcome = Some(outcome);
    }

    /// The coordinator goes on without this transaction: begin anew, in another epoch, which ends whatever is open.
    fn fail(&mut self, error: ErrorCode) {
        let Some(job) = &self.job else { return };
        let may_be_committed = job.is_ending && job.transaction.commits;
        self.producer = None;
        self.end(if may_be_committed { Outcome::Unknown(error) } else { Outcome::Aborted });
    }

    fn again(&mut self, now_ms: u64) {
        self.not_before_ms = now_ms + self.options.retry_backoff_ms;
    }

    /// What a coordinator's error leads to; true if the same may succeed later.
    fn on_coordinator_error(&mut self, now_ms: u64, error: ErrorCode) -> bool {
        self.again(now_ms);
        match error {
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.coordinator = None;
                true
            }
            ErrorCode::ConcurrentTransactions | ErrorCode::CoordinatorLoadInProgress => true,
            error => is_retriable(error),
        }
    }

    fn on_produced(&mut self, now_ms: u64, partition: &TopicPartition, response: &Response) {
        let Response::Produce(response) = response else { return };
        let found = response.responses.first().and_then(|topic| topic.partition_responses.first());
        let Some(answer) = found else { return self.write_again(now_ms, partition) };
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None | ErrorCode::DuplicateSequenceNumber => {
                let part = self.job.as_mut().and_then(|job| job.parts.get_mut(partition));
                if let Some(part) = part {
                    part.is_in_flight = false;
                    part.base_offset = Some(answer.base_offset);
                }
            }
            error
                if is_retriable(error)
                    || matches!(error, ErrorCode::ConcurrentTransactions | ErrorCode::CoordinatorLoadInProgress) =>
            {
                let leader = answer.current_leader.leader_id.0;
                let epoch = answer.current_leader.leader_epoch;
                let is_hinted = leader >= 0 && self.metadata.hint(partition, BrokerId(leader), epoch);
                self.wants_metadata |= !is_hinted;
                self.write_again(now_ms, partition);
            }
            error => {
                if matches!(error, ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId) {
                    self.violation.get_or_insert(error);
                }
                self.fail(error);
            }
        }
    }

    fn write_again(&mut self, now_ms: u64, partition: &TopicPartition) {
        let not_before_ms = now_ms + self.options.retry_backoff_ms;
        if let Some(part) = self.job.as_mut().and_then(|job| job.parts.get_mut(partition)) {
            (part.is_in_flight, part.not_before_ms) = (false, not_before_ms);
        }
    }

    /// The coordinator that was found, if there is one.
    fn found(&mut self, response: &FindCoordinatorResponse) -> Option<BrokerId> {
        let found = response.coordinators.first().filter(|found| found.error_code == 0)?;
        let broker = BrokerId(found.node_id.0);
        self.addresses.push((broker, found.host.to_string(), u16::try_from(found.port).unwrap_or(0)));
        Some(broker)
    }

    fn on_response(&mut self, now_ms: u64, pending: Pending, response: Response) {
        match (pending, response) {
            (Pending::Metadata, response) => {
                self.addresses.extend(self.metadata.update(&response));
                self.metadata_not_before_ms = now_ms + self.options.retry_backoff_ms;
            }
            (Pending::Coordinator, Response::FindCoordinator(response)) => {
                self.again(now_ms);
                if let Some(broker) = self.found(&response) {
                    self.coordinator = Some(broker);
                    self.not_before_ms = now_ms;
                }
            }
            (Pending::ProducerId, Response::InitProducerId(given)) => match ErrorCode::from_code(given.error_code) {
                ErrorCode::None => self.producer = Some((given.producer_id.0, given.producer_epoch)),
                error => _ = self.on_coordinator_error(now_ms, error),
            },
            (Pending::Produce(partition), response) => self.on_produced(now_ms, &partition, &response),
            (Pending::GroupCoordinator, Response::FindCoordinator(response)) => {
                self.again(now_ms);
                if let Some(broker) = self.found(&response) {
                    self.group_coordinator = Some(broker);
                    self.not_before_ms = now_ms;
                }
            }
            (Pending::Offsets, response) => self.on_offsets(now_ms, &response),
            (Pending::End, Response::EndTxn(response)) => match ErrorCode::from_code(response.error_code) {
                ErrorCode::None => {
                    let Some(job) = &self.job else { return };
                    let places = job.parts.iter().map(|(partition, part)| {
                        (partition.clone(), part.base_offset.expect("it was written before it ended"))
                    });
                    let outcome =
                        if job.transaction.commits { Outcome::Committed(places.collect()) } else { Outcome::Aborted };
                    self.producer = Some((response.producer_id.0, response.producer_epoch));
                    self.end(outcome);
                }
                error => {
                    if !self.on_coordinator_error(now_ms, error) {
                        self.fail(error);
                    }
                }
            },
            // An answer of another kind is none.
            (pending, _) => self.on_failure(now_ms, pending),
        }
    }

    fn on_failure(&mut self, now_ms: u64, pending: Pending) {
        match pending {
            Pending::Metadata => {
                self.wants_metadata = true;
                self.metadata_not_before_ms = now_ms + self.options.retry_backoff_ms;
            }
            Pending::Coordinator | Pending::GroupCoordinator => self.again(now_ms),
            Pending::Offsets => {
                self.group_coordinator = None;
                self.again(now_ms);
            }
            Pending::ProducerId | Pending::End => {
                self.coordinator = None;
                self.again(now_ms);
            }
            Pending::Produce(partition) => {
                self.wants_metadata = true;
                self.write_again(now_ms, &partition);
            }
        }
    }
}

impl Machine for TransactionalProducer {
    fn turn(&mut self, now_ms: u64) -> Turn {
        let mut turn = Turn { addresses: std::mem::take(&mut self.addresses), ..Turn::default() };
        if self.job.is_some() {
            self.work(now_ms, &mut turn);
        }
        if self.wants_metadata && !self.topics.is_empty() && !self.is_calling(&Pending::Metadata) {
            if now_ms >= self.metadata_not_before_ms {
                self.wants_metadata = false;
                let request = Metadata::request(Some(&self.topics), false);
                self.call(&mut turn, Target::Any, request, Pending::Metadata);
            } else {
                turn.wake(self.metadata_not_before_ms);
            }
        }
        turn
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        let Some(pending) = self.calls.remove(&call) else { return };
        match answer {
            Answer::Response(response) => self.on_response(now_ms, pending, *response),
            Answer::Failed(_) => self.on_failure(now_ms, pending),
        }
    }
}

/// One batch a partition, each the first of the producer's epoch there.
fn split(records: &[ProducerRecord], (id, epoch): (i64, i16)) -> BTreeMap<TopicPartition, Part> {
    let mut builders: BTreeMap<TopicPartition, BatchBuilder> = BTreeMap::new();
    for record in records {
        let partition = TopicPartition::new(&record.topic, record.partition.expect("a partition is named"));
        let builder =
            builders.entry(partition).or_insert_with(|| BatchBuilder::new().producer(id, epoch, 0).transactional());
        builder.push(record.timestamp_ms, record.key.as_deref(), record.value.as_deref(), &record.headers);
    }
    let part = |(partition, builder): (TopicPartition, BatchBuilder)| {
        let batch = builder.build().expect("an uncompressed batch");
        (partition, Part { batch, not_before_ms: 0, is_in_flight: false, base_offset: None })
    };
    builders.into_iter().map(part).collect()
}

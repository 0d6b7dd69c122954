//! A consumer of partitions that were assigned to it: finds where to begin, fetches from the leaders, and follows them when they move.
//!
//! Which partitions that are is either all of some topics, or what [`Consumer::assign`] and [`Consumer::revoke`] say.
//!
//! Invariant: an answer to what was asked before a partition was taken away and given again does not count.
//!
//! Deviation from a whole client: no group (`client::group`), no fetch session, one fetch under way a broker.

use crate::client::metadata::{Metadata, TopicPartition, topic_name};
use crate::client::producer::is_retriable;
use crate::client::{Answer, Call, Machine, Target, Turn};
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::fetch::{FetchReply, FetchReplyPartition};
use crate::protocol::ids::BrokerId;
use crate::protocol::records::{self, Record};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId as WireBrokerId, FetchRequest, ListOffsetsRequest};
use std::collections::{BTreeMap, BTreeSet};

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Earliest,
    /// After the last record there is.
    Latest,
    /// At an offset.
    Offset(i64),
    /// At the first record at or after a time, in milliseconds.
    Timestamp(i64),
    /// So many records before the end.
    BeforeEnd(i64),
}

/// What to do where there is no offset to go on from, or none that exists (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reset {
    /// From the first record there is.
    #[default]
    Earliest,
    /// From what comes next.
    Latest,
    /// Nothing: that is an error.
    Fail,
}

/// How a consumer works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// Where to begin.
    pub start: Start,
    /// The partition of each topic to read; all if empty.
    pub partitions: Vec<i32>,
    /// What to do when an offset is out of range.
    pub reset: Reset,
    /// Whether records of aborted and open transactions are left out.
    pub read_committed: bool,
    /// How long a broker may hold an answer, in milliseconds (`fetch.max.wait.ms`).
    pub max_wait_ms: u32,
    /// The most bytes of one answer (`fetch.max.bytes`).
    pub max_bytes: u32,
    /// After this long without an answer a request has failed, in milliseconds (`request.timeout.ms`).
    pub request_timeout_ms: u64,
}

impl Default for ConsumerOptions {
    fn default() -> ConsumerOptions {
        ConsumerOptions {
            start: Start::Latest,
            partitions: Vec::new(),
            reset: Reset::Earliest,
            read_committed: false,
            max_wait_ms: 250,
            max_bytes: 8 * 1024 * 1024,
            request_timeout_ms: 10_000,
        }
    }
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Where.
    pub partition: TopicPartition,
    /// What.
    pub record: Record,
    /// The epoch of the leader that wrote it.
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    Metadata,
    /// Where partitions begin, as of the so-manieth assignment.
    Offsets(Vec<TopicPartition>, u64),
    /// With the offsets that were asked for: an answer is for a position that has not moved since.
    Fetch(BrokerId, BTreeMap<TopicPartition, i64>),
}

/// A partition that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    /// The next offset; `None` while it is looked for.
    next: Option<i64>,
    /// The high watermark that the leader told last.
    high_watermark: i64,
    /// Whether no transaction was open below the high watermark then, and when that was told.
    settled_at_ms: Option<u64>,
    not_before_ms: u64,
    is_asked: bool,
    start: Start,
    /// The leader epoch of the last batch; −1 before one was read.
    leader_epoch: i32,
    /// Which assignment gave it.
    assignment: u64,
}

impl Position {
    fn fresh(start: Start, assignment: u64) -> Position {
        let next = if let Start::Offset(offset) = start { Some(offset) } else { None };
        Position {
            next,
            high_watermark: -1,
            settled_at_ms: None,
            not_before_ms: 0,
            is_asked: false,
            start,
            leader_epoch: -1,
            assignment,
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Consumer {
    options: ConsumerOptions,
    topics: Vec<String>,
    metadata: Metadata,
    /// Partitions are given one by one, and not with their topics.
    is_assigned: bool,
    assignments: u64,
    positions: BTreeMap<TopicPartition, Position>,
    calls: BTreeMap<u64, Pending>,
    busy: BTreeSet<BrokerId>,
    last_call: u64,
    wants_metadata: bool,
    not_before_ms: u64,
    records: Vec<ConsumerRecord>,
    errors: Vec<String>,
    addresses: Vec<(BrokerId, String, u16)>,
}

/// Wait before a repetition, in milliseconds.
const RETRY_BACKOFF_MS: u64 = 100;

impl Consumer {
    /// A consumer of topics.
    pub fn new(topics: &[String], options: ConsumerOptions) -> Consumer {
        Consumer {
            options,
            topics: topics.to_vec(),
            metadata: Metadata::default(),
            is_assigned: false,
            assignments: 0,
            positions: BTreeMap::new(),
            calls: BTreeMap::new(),
            busy: BTreeSet::new(),
            last_call: 0,
            wants_metadata: true,
            not_before_ms: 0,
            records: Vec::new(),
            errors: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// A consumer that reads nothing until it is assigned something.
    pub fn unassigned(options: ConsumerOptions) -> Consumer {
        Consumer { is_assigned: true, wants_metadata: false, ..Consumer::new(&[], options) }
    }

    /// Reads a partition as well, from here on. Only for one that was made [`unassigned`](Consumer::unassigned).
    pub fn assign(&mut self, partition: TopicPartition, start: Start) {
        assert!(self.is_assigned, "partitions come with their topics");
        if !self.topics.contains(&partition.topic) {
            self.topics.push(partition.topic.clone());
        }
        self.wants_metadata |= self.metadata.leader(&partition).is_none();
        self.assignments += 1;
        self.positions.insert(partition, Position::fresh(start, self.assignments));
    }

    /// Does not read a partition any more. What was read of it and not taken is dropped.
    pub fn revoke(&mut self, partition: &TopicPartition) {
        self.positions.remove(partition);
        self.records.retain(|read| read.partition != *partition);
    }

    /// What to do from now on when an offset is out of range.
    pub fn set_reset(&mut self, reset: Reset) {
        self.options.reset = reset;
    }

    /// Where it is in a partition: the next offset, and the leader epoch of the record before it (−1 if not known).
    pub fn position(&self, partition: &TopicPartition) -> Option<(i64, i32)> {
        let position = self.positions.get(partition)?;
        Some((position.next?, position.leader_epoch))
    }

    /// The records that have come since the last time, in order a partition.
    pub fn take_records(&mut self) -> Vec<ConsumerRecord> {
        std::mem::take(&mut self.records)
    }

    /// What went wrong and will not mend itself, since the last time.
    pub fn take_errors(&mut self) -> Vec<String> {
        std::mem::take(&mut self.errors)
    }

    /// Whether every partition was read up to the high watermark that its leader told.
    pub fn is_at_end(&self) -> bool {
        let at_end = |position: &Position| position.next.is_some_and(|next| next >= position.high_watermark);
        !self.positions.is_empty()
            && self.positions.values().all(|position| at_end(position) && position.high_watermark >= 0)
    }

    /// Whether every partition's leader has told since a moment that no transaction is open.
    pub fn is_settled_since(&self, at_ms: u64) -> bool {
        self.positions.values().all(|position| position.settled_at_ms.is_some_and(|settled_ms| settled_ms >= at_ms))
    }

    /// Every partition that is read: the offset to be read next (`None` while it is looked for, also after the broker said that it is
    /// out of range) and the high watermark that its leader told last (−1 before it told any).
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, Option<i64>, i64)> {
        self.positions.iter().map(|(partition, position)| (partition, position.next, position.high_watermark))
    }

    fn call(&mut self, turn: &mut Turn, to: Target, request: Request, pending: Pending) {
        self.last_call += 1;
        self.calls.insert(self.last_call, pending);
        let timeout_ms = self.options.request_timeout_ms;
        turn.calls.push(Call { id: self.last_call, to, request, timeout_ms, expects_answer: true });
    }

    fn on_metadata(&mut self, now_ms: u64, response: &Response) {
        self.addresses.extend(self.metadata.update(response));
        // While there is no leader, every answer says so at once: the next is asked for a little later.
        self.not_before_ms = now_ms + RETRY_BACKOFF_MS;
        for topic in &self.topics {
            let found = self.metadata.partitions(topic);
            if found.is_empty() {
                self.wants_metadata = true;
                let error = self.metadata.error(topic).unwrap_or(ErrorCode::None);
                if !error.is_none() && !is_retriable(error) {
                    self.errors.push(format!("{topic}: {error}"));
                }
            }
            for partition in found {
                let is_wanted =
                    self.options.partitions.is_empty() || self.options.partitions.contains(&partition.partition);
                if is_wanted && !self.is_assigned {
                    self.positions.entry(partition).or_insert(Position::fresh(self.options.start, 0));
                }
            }
        }
    }

    /// Asks the leaders where to begin.
    fn ask_offsets(&mut self, now_ms: u64, turn: &mut Turn) {
        let mut by_leader: BTreeMap<BrokerId, Vec<(TopicPartition, i64)>> = BTreeMap::new();
        for (partition, position) in &mut self.positions {
            if position.next.is_some() || position.is_asked {
                continue;
            }
            if now_ms < position.not_before_ms {
                turn.wake(position.not_before_ms);
                continue;
            }
            let timestamp = match position.start {
                Start::Earliest => -2,
                Start::Latest | Start::BeforeEnd(_) | Start::Offset(_) => -1,
                Start::Timestamp(at_ms) => at_ms,
            };
            match self.metadata.leader(partition) {
                Some(leader) => {
                    position.is_asked = true;
                    by_leader.entry(leader).or_default().push((partition.clone(), timestamp));
                }
                None => self.wants_metadata = true,
            }
        }
        for (leader, wanted) in by_leader {
            let mut topics: BTreeMap<String, Vec<ListOffsetsPartition>> = BTreeMap::new();
            for (partition, timestamp) in &wanted {
                let part = ListOffsetsPartition::default()
                    .with_partition_index(partition.partition)
                    .with_timestamp(*timestamp);
                topics.entry(partition.topic.clone()).or_default().push(part);
            }
            let topic = |(name, parts): (String, Vec<ListOffsetsPartition>)| {
                ListOffsetsTopic::default().with_name(topic_name(&name)).with_partitions(parts)
            };
            let request = ListOffsetsRequest::default()
                .with_replica_id(WireBrokerId(-1))
                .with_isolation_level(i8::from(self.options.read_committed))
                .with_topics(topics.into_iter().map(topic).collect());
            let partitions = wanted.into_iter().map(|(partition, _)| partition).collect();
            let pending = Pending::Offsets(partitions, self.assignments);
            self.call(turn, Target::Broker(leader), Request::ListOffsets(request), pending);
        }
    }

    fn on_offsets(
        &mut self,
        now_ms: u64,
        partitions: &[TopicPartition],
        assignments: u64,
        response: Option<&Response>,
    ) {
        if let Some(Response::ListOffsets(response)) = response {
            for topic in &response.topics {
                for part in &topic.partitions {
                    let partition = TopicPartition::new(&topic.name.0, part.partition_index);
                    let Some(position) = self.positions.get_mut(&partition) else { continue };
                    if part.error_code == 0 && position.assignment <= assignments {
                        let offset = part.offset.max(0);
                        position.next = Some(match position.start {
                            Start::BeforeEnd(records) => (offset - records).max(0),
                            // No record is that young: from the end on.
                            Start::Timestamp(_) if part.offset < 0 => {
                                position.start = Start::Latest;
                                continue;
                            }
                            _ => offset,
                        });
                    }
                }
            }
        }
        for partition in partitions {
            let position = self.positions.get_mut(partition).filter(|position| position.assignment <= assignments);
            let Some(position) = position else { continue };
            position.is_asked = false;
            if position.next.is_none() {
                position.not_before_ms = now_ms + RETRY_BACKOFF_MS;
                self.wants_metadata = true;
            }
        }
    }

    fn fetch(&mut self, now_ms: u64, turn: &mut Turn) {
        let mut by_leader: BTreeMap<BrokerId, BTreeMap<String, Vec<FetchPartition>>> = BTreeMap::new();
        let mut asked: BTreeMap<BrokerId, BTreeMap<TopicPartition, i64>> = BTreeMap::new();
        for (partition, position) in &self.positions {
            let Some(next) = position.next else { continue };
            if now_ms < position.not_before_ms {
                turn.wake(position.not_before_ms);
                continue;
            }
            match self.metadata.leader(partition) {
                Some(leader) if !self.busy.contains(&leader) => {
                    let part = FetchPartition::default()
                        .with_partition(partition.partition)
                        .with_current_leader_epoch(self.metadata.leader_epoch(partition))
                        .with_fetch_offset(next)
                        .with_log_start_offset(-1)
                        .with_partition_max_bytes(i32::try_from(self.options.max_bytes).unwrap_or(i32::MAX));
                    by_leader.entry(leader).or_default().entry(partition.topic.clone()).or_default().push(part);
                    asked.entry(leader).or_default().insert(partition.clone(), next);
                }
                Some(_) => {}
                None => self.wants_metadata = true,
            }
        }
        for (leader, topics) in by_leader {
            let topic = |(name, parts): (String, Vec<FetchPartition>)| {
                FetchTopic::default().with_topic(topic_name(&name)).with_partitions(parts)
            };
            let request = FetchRequest::default()
                .with_replica_id(WireBrokerId(-1))
                .with_max_wait_ms(i32::try_from(self.options.max_wait_ms).unwrap_or(i32::MAX))
                .with_min_bytes(1)
                .with_max_bytes(i32::try_from(self.options.max_bytes).unwrap_or(i32::MAX))
                .with_isolation_level(i8::from(self.options.read_committed))
                .with_session_epoch(-1)
                .with_topics(topics.into_iter().map(topic).collect());
            self.busy.insert(leader);
            let pending = Pending::Fetch(leader, asked.remove(&leader).unwrap_or_default());
            self.call(turn, Target::Broker(leader), Request::Fetch(request), pending);
        }
    }

    fn on_fetched(&mut self, now_ms: u64, asked: &BTreeMap<TopicPartition, i64>, reply: FetchReply) {
        for topic in reply.topics {
            for part in topic.partitions {
                let partition = TopicPartition::new(&topic.name, part.partition);
                let next = self.positions.get(&partition).and_then(|position| position.next);
                if next.is_none() || asked.get(&partition).copied() != next {
                    // Another leader was asked meanwhile, or the place is looked for anew (`FetchCollector.handleInitializeErrors`).
                    continue;
                }
                match part.error {
                    ErrorCode::None => self.take(now_ms, &partition, part),
                    error => self.on_fetch_error(now_ms, &partition, &part, error),
                }
            }
        }
    }

    fn on_fetch_error(
        &mut self,
        now_ms: u64,
        partition: &TopicPartition,
        part: &FetchReplyPartition,
        error: ErrorCode,
    ) {
        let hinted = part.current_leader.and_then(|hint| Some((hint.broker?, hint.epoch)));
        let is_known = hinted.is_some_and(|(leader, epoch)| self.metadata.hint(partition, leader, epoch));
        self.wants_metadata |= !is_known;
        let Some(position) = self.positions.get_mut(partition) else { return };
        if error == ErrorCode::OffsetOutOfRange {
            // What is asked for is gone or not there yet.
            position.start = match self.options.reset {
                Reset::Earliest => Start::Earliest,
                Reset::Latest => Start::Latest,
                Reset::Fail => {
                    self.errors.push(format!("{partition}: {error}"));
                    position.not_before_ms = now_ms + RETRY_BACKOFF_MS;
                    return;
                }
            };
            position.next = None;
        } else if !is_retriable(error) {
            self.errors.push(format!("{partition}: {error}"));
        }
        position.not_before_ms = now_ms + RETRY_BACKOFF_MS;
    }

    fn take(&mut self, now_ms: u64, partition: &TopicPartition, part: FetchReplyPartition) {
        let Some(position) = self.positions.get_mut(partition) else { return };
        let Some(mut next) = position.next else { return };
        position.high_watermark =
            if self.options.read_committed { part.last_stable_offset } else { part.high_watermark };
        position.settled_at_ms = (part.last_stable_offset == part.high_watermark).then_some(now_ms);
        let mut aborted = part.aborted.unwrap_or_default();
        aborted.sort_by_key(|transaction| transaction.first_offset);
        let mut hidden: BTreeSet<i64> = BTreeSet::new();
        for batch in &part.records {
            let header = &batch.header;
            while aborted.first().is_some_and(|transaction| transaction.first_offset <= header.last_offset()) {
                hidden.insert(aborted.remove(0).producer_id);
            }
            if header.is_control() {
                hidden.remove(&header.producer_id);
            } else if !(self.options.read_committed
                && header.is_transactional()
                && hidden.contains(&header.producer_id))
            {
                match records::decode(batch) {
                    Ok(decoded) => {
                        let wanted = decoded.into_iter().filter(|record| record.offset >= next);
                        let leader_epoch = header.leader_epoch;
                        let known = |record| ConsumerRecord { partition: partition.clone(), record, leader_epoch };
                        self.records.extend(wanted.map(known));
                    }
                    Err(error) => self.errors.push(format!("{partition} at {}: {error}", header.base_offset)),
                }
            }
            next = next.max(header.next_offset());
            position.leader_epoch = header.leader_epoch;
        }
        position.next = Some(next);
    }
}

impl Machine for Consumer {
    fn turn(&mut self, now_ms: u64) -> Turn {
        let mut turn = Turn { addresses: std::mem::take(&mut self.addresses), ..Turn::default() };
        self.ask_offsets(now_ms, &mut turn);
        self.fetch(now_ms, &mut turn);
        let is_asked = self.calls.values().any(|pending| *pending == Pending::Metadata);
        if self.wants_metadata && !is_asked {
            if now_ms >= self.not_before_ms {
                self.wants_metadata = false;
                let request = Metadata::request(Some(&self.topics), false);
                self.call(&mut turn, Target::Any, request, Pending::Metadata);
            } else {
                turn.wake(self.not_before_ms);
            }
        }
        turn
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        let Some(pending) = self.calls.remove(&call) else { return };
        match (pending, answer) {
            (Pending::Metadata, Answer::Response(response)) => self.on_metadata(now_ms, &response),
            (Pending::Metadata, Answer::Failed(_)) => {
                self.wants_metadata = true;
                self.not_before_ms = now_ms + RETRY_BACKOFF_MS;
            }
            (Pending::Offsets(partitions, assignments), answer) => {
                let response = if let Answer::Response(response) = &answer { Some(&**response) } else { None };
                self.on_offsets(now_ms, &partitions, assignments, response);
            }
            (Pending::Fetch(leader, asked), Answer::Response(response)) => {
                self.busy.remove(&leader);
                if let Response::Fetch(reply) = *response {
                    self.on_fetched(now_ms, &asked, reply);
                }
            }
            (Pending::Fetch(leader, _), Answer::Failed(_)) => {
                self.busy.remove(&leader);
                self.wants_metadata = true;
                self.not_before_ms = now_ms + RETRY_BACKOFF_MS;
                for (partition, position) in &mut self.positions {
                    if self.metadata.leader(partition) == Some(leader) {
                        position.not_before_ms = now_ms + RETRY_BACKOFF_MS;
                    }
                }
            }
        }
    }
}

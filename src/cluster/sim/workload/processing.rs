//! Consume, process, produce: what is made of records is written in one transaction with how far the group has come (KIP-98, KIP-447).
//!
//! Invariants: records are taken only when the transaction before has ended; one that was aborted is tried again with what is still the
//! member's own; where nobody knows how one ended the process begins anew from what is committed.

use crate::client::consumer::ConsumerRecord;
use crate::client::group::GroupConsumer;
use crate::client::member::{Event, Position};
use crate::client::metadata::TopicPartition;
use crate::client::producer::ProducerRecord;
use crate::client::transaction::{GroupOffsets, Outcome, Transaction, TransactionOptions, TransactionalProducer};
use crate::client::{Answer, Machine, Turn};
use crate::engine::time::WallTime;
use bytes::Bytes;
use std::collections::BTreeMap;

/// So many records at most are dealt with in one transaction.
const RECORDS_MAX: usize = 40;

/// What was made of a record, as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Done {
    /// The record's partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

impl Done {
    fn write(self) -> Bytes {
        Bytes::from(format!("done {} {}", self.partition, self.offset))
    }

    /// Reads what was written; `None` for anything else.
    pub fn read(value: &[u8]) -> Option<Done> {
        let mut words = std::str::from_utf8(value).ok()?.strip_prefix("done ")?.split(' ');
        Some(Done { partition: words.next()?.parse().ok()?, offset: words.next()?.parse().ok()? })
    }
}

/// A member of a group and its producer, as one machine.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) consumer: GroupConsumer,
    producer: TransactionalProducer,
    group: String,
    output: (String, i32),
    /// Taken, and not committed yet.
    batch: Vec<ConsumerRecord>,
    /// The generation and the offsets of the transaction that is under way.
    attempt: Option<(i32, BTreeMap<TopicPartition, Position>)>,
    /// Partitions of it were given up since it began.
    has_given_up: bool,
    /// And of the one that has just been committed.
    committed: Option<(i32, BTreeMap<TopicPartition, Position>)>,
}

impl Pair {
    pub(super) fn new(
        consumer: GroupConsumer,
        options: TransactionOptions,
        group: String,
        output: (String, i32),
    ) -> Pair {
        let producer = TransactionalProducer::new(options);
        Pair {
            consumer,
            producer,
            group,
            output,
            batch: Vec::new(),
            attempt: None,
            has_given_up: false,
            committed: None,
        }
    }

    /// What has just been committed: the generation, and the next offset of each partition.
    pub(super) fn take_committed(&mut self) -> Option<(i32, BTreeMap<TopicPartition, Position>)> {
        self.committed.take()
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.batch.is_empty() && !self.producer.is_busy()
    }

    /// What is given up is another's to process. True if the member has come back in the generation of the transaction under way, after it gave up
    /// partitions whose records are in it: that would still be committed although it reads them again, so everything has to begin anew. In any
    /// other generation the coordinator refuses it.
    pub(super) fn follow(&mut self, events: &[Event]) -> bool {
        let mut must_restart = false;
        for event in events {
            let Some((generation, positions)) = self.attempt.as_ref().filter(|_| self.producer.is_busy()) else {
                self.has_given_up = false;
                self.batch.retain(|read| !is_given_up(event, &read.partition));
                continue;
            };
            self.has_given_up |= positions.keys().any(|partition| is_given_up(event, partition));
            let is_back = matches!(event, Event::Joined { generation: joined, .. } if joined == generation);
            must_restart |= is_back && self.has_given_up;
            self.batch.retain(|read| !is_given_up(event, &read.partition));
        }
        must_restart
    }

    /// Takes records; how many.
    pub(super) fn take(&mut self) -> usize {
        if !self.is_idle() {
            return 0;
        }
        self.batch = self.consumer.take_records(RECORDS_MAX);
        self.batch.len()
    }

    /// Begins a transaction with what it has, if it is a member and none is under way.
    pub(super) fn begin(&mut self, wall: WallTime) {
        let member = self.consumer.member();
        let Some(generation) = member.believes_in().filter(|_| !self.batch.is_empty() && !self.producer.is_busy())
        else {
            return;
        };
        let mut positions: BTreeMap<TopicPartition, Position> = BTreeMap::new();
        let mut records = Vec::new();
        for read in &self.batch {
            let position = Position { offset: read.record.offset + 1, leader_epoch: read.leader_epoch };
            positions.insert(read.partition.clone(), position);
            let done = Done { partition: read.partition.partition, offset: read.record.offset };
            let to = (i64::from(done.partition) + done.offset).rem_euclid(i64::from(self.output.1));
            records.push(ProducerRecord {
                topic: self.output.0.clone(),
                partition: Some(i32::try_from(to).expect("a few partitions")),
                value: Some(done.write()),
                timestamp_ms: wall.0,
                ..ProducerRecord::default()
            });
        }
        self.attempt = Some((generation, positions.clone()));
        self.has_given_up = false;
        let offsets = GroupOffsets {
            group: self.group.clone(),
            member: member.id().to_owned(),
            instance: member.instance_id().map(str::to_owned),
            generation,
            positions,
        };
        self.producer.begin(Transaction { records, offsets: Some(offsets), commits: true });
    }

    /// Takes in how a transaction ended; true if nobody knows, and everything has to begin anew.
    pub(super) fn harvest(&mut self, note: &mut dyn FnMut(std::fmt::Arguments)) -> bool {
        match self.producer.take_outcome() {
            None => false,
            Some(Outcome::Committed(_)) => {
                note(format_args!("has processed {} records", self.batch.len()));
                self.batch.clear();
                self.committed = self.attempt.take();
                false
            }
            Some(Outcome::Aborted) => {
                note(format_args!("processes {} records again", self.batch.len()));
                false
            }
            Some(Outcome::Unknown(error)) => {
                note(format_args!("does not know what it has processed: {error}"));
                true
            }
        }
    }
}

/// Whether an event takes a partition away.
fn is_given_up(event: &Event, partition: &TopicPartition) -> bool {
    matches!(event, Event::Revoked(gone) | Event::Lost(gone) if gone.contains(partition))
}

impl Machine for Pair {
    fn turn(&mut self, now_ms: u64) -> Turn {
        let mut turn = self.consumer.turn(now_ms);
        let mut writing = self.producer.turn(now_ms);
        // Each has numbers of its own for its calls: even ones are the consumer's.
        turn.calls.iter_mut().for_each(|call| call.id *= 2);
        writing.calls.iter_mut().for_each(|call| call.id = call.id * 2 + 1);
        turn.calls.append(&mut writing.calls);
        turn.addresses.append(&mut writing.addresses);
        if let Some(at_ms) = writing.wake_at_ms {
            turn.wake(at_ms);
        }
        turn
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        if call.is_multiple_of(2) {
            self.consumer.answer(now_ms, call / 2, answer);
        } else {
            self.producer.answer(now_ms, call / 2, answer);
        }
    }
}

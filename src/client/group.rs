//! A consumer that is a member of a group: reads what the group gives it, and commits what was processed.
//!
//! Invariants: a record is handed out only while its partition is its own; a commit never goes beyond what whoever drives it said
//! was processed ([`GroupConsumer::processed`]), so that a record comes again rather than never; a place that the consumer found
//! without a committed offset is committed like any other, so that the next owner begins there as well.
//!
//! Deliberately not here: the protocol of groups (`member`), reading (`consumer`).

use crate::client::consumer::{Consumer, ConsumerOptions, ConsumerRecord, Reset, Start};
use crate::client::member::{Event, Member, MemberOptions, Position};
use crate::client::metadata::TopicPartition;
use crate::client::{Answer, Machine, Turn};
use std::collections::{BTreeMap, VecDeque};

/// See the module.
#[derive(Debug, Clone)]
pub struct GroupConsumer {
    member: Member,
    consumer: Consumer,
    reset: Reset,
    /// Read, and not handed out yet.
    held: VecDeque<ConsumerRecord>,
    /// Where whoever took the records is once those are processed.
    taken: BTreeMap<TopicPartition, Position>,
    events: Vec<Event>,
    errors: Vec<String>,
}

impl GroupConsumer {
    /// A member of a group that reads with these options; `options.start` and `options.partitions` do not count.
    pub fn new(member: MemberOptions, options: ConsumerOptions) -> GroupConsumer {
        GroupConsumer {
            reset: options.reset,
            member: Member::new(member),
            consumer: Consumer::unassigned(options),
            held: VecDeque::new(),
            taken: BTreeMap::new(),
            events: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// At most so many records, in order a partition. Those taken before are to be [`processed`](GroupConsumer::processed) first.
    pub fn take_records(&mut self, limit: usize) -> Vec<ConsumerRecord> {
        self.held.extend(self.consumer.take_records());
        let records: Vec<ConsumerRecord> = self.held.drain(..limit.min(self.held.len())).collect();
        let mut ahead: BTreeMap<&TopicPartition, Position> = BTreeMap::new();
        for waiting in self.held.iter().rev() {
            let position = Position { offset: waiting.record.offset, leader_epoch: waiting.leader_epoch };
            ahead.insert(&waiting.partition, position);
        }
        for partition in self.member.owned() {
            let read = self.consumer.position(partition);
            let end = read.map(|(offset, leader_epoch)| Position { offset, leader_epoch });
            if let Some(position) = ahead.get(partition).copied().or(end) {
                self.taken.insert(partition.clone(), position);
            }
        }
        records
    }

    /// What was taken last was dealt with: it may be committed.
    pub fn processed(&mut self) {
        for (partition, position) in std::mem::take(&mut self.taken) {
            self.member.processed(&partition, position);
        }
    }

    /// Commits what was processed as soon as it can.
    pub fn commit(&mut self) {
        self.member.commit();
    }

    /// What happened to its membership since the last time, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What went wrong and will not mend itself, since the last time.
    pub fn take_errors(&mut self) -> Vec<String> {
        let mut errors = std::mem::take(&mut self.errors);
        errors.extend(self.consumer.take_errors());
        errors
    }

    /// What to do from now on where there is no committed offset, or none that exists.
    pub fn set_reset(&mut self, reset: Reset) {
        self.reset = reset;
        self.consumer.set_reset(reset);
    }

    /// Leaves the group; see [`Member::leave`].
    pub fn leave(&mut self, now_ms: u64, within_ms: u64) {
        self.member.leave(now_ms, within_ms);
    }

    /// The membership.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Every partition that is its own and whose place was asked for: see [`Consumer::positions`].
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, Option<i64>, i64)> {
        self.consumer.positions()
    }

    /// Whether the partitions that it owns were read to the end, as far as their leaders told, and everything was handed out.
    pub fn is_at_end(&self) -> bool {
        let known = self.consumer.positions().count();
        self.held.is_empty() && known > 0 && known == self.member.owned().len() && self.consumer.is_at_end()
    }

    /// Whether the leaders of all partitions that it owns have told since a moment in milliseconds that no transaction is open.
    pub fn is_settled_since(&self, at_ms: u64) -> bool {
        self.consumer.is_settled_since(at_ms)
    }

    fn follow_the_group(&mut self) {
        for event in self.member.take_events() {
            match &event {
                Event::Assigned(places) => self.take_over(places),
                Event::Revoked(partitions) | Event::Lost(partitions) => {
                    self.held.extend(self.consumer.take_records());
                    self.held.retain(|read| !partitions.contains(&read.partition));
                    partitions.iter().for_each(|partition| self.consumer.revoke(partition));
                }
                Event::Joined { .. } | Event::Trouble(_) => {}
            }
            self.events.push(event);
        }
    }

    fn take_over(&mut self, places: &BTreeMap<TopicPartition, Option<Position>>) {
        for (partition, committed) in places {
            // What was taken before it was given away does not count any more.
            self.taken.remove(partition);
            let start = match (committed, self.reset) {
                (Some(position), _) => Start::Offset(position.offset),
                (None, Reset::Earliest) => Start::Earliest,
                (None, Reset::Latest) => Start::Latest,
                (None, Reset::Fail) => {
                    self.errors
                        .push(format!("{partition}: nothing is committed for it, and nothing says where to begin"));
                    continue;
                }
            };
            self.consumer.assign(partition.clone(), start);
        }
    }
}

impl Machine for GroupConsumer {
    fn turn(&mut self, now_ms: u64) -> Turn {
        let mut turn = self.member.turn(now_ms);
        self.follow_the_group();
        let mut reading = self.consumer.turn(now_ms);
        // Each has numbers of its own for its calls: even ones are the member's.
        turn.calls.iter_mut().for_each(|call| call.id *= 2);
        reading.calls.iter_mut().for_each(|call| call.id = call.id * 2 + 1);
        turn.calls.append(&mut reading.calls);
        turn.addresses.append(&mut reading.addresses);
        if let Some(at_ms) = reading.wake_at_ms {
            turn.wake(at_ms);
        }
        turn
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        if call.is_multiple_of(2) {
            self.member.answer(now_ms, call / 2, answer);
            self.follow_the_group();
        } else {
            self.consumer.answer(now_ms, call / 2, answer);
        }
    }
}

//! What reads for `consume`, here and on the command line: a consumer of its own, or a member of a group.
//!
//! Invariant: what a member hands out is committed only after whoever took it says that it was processed.
//!
//! Deliberately not here: how records are shown, and for how long is read.

use super::command::{Consume, GroupProtocol, Membership, ResetTo};
use crate::client::consumer::{Consumer, ConsumerOptions, ConsumerRecord, Reset};
use crate::client::group::GroupConsumer;
use crate::client::member::{Event, MemberOptions, Protocol};
use crate::client::{Answer, Machine, Turn};
use std::hash::{BuildHasher, Hasher, RandomState};

/// Between two commits of what was read, in milliseconds.
const COMMIT_INTERVAL_MS: u64 = 1_000;
/// The others wait so long for a member that does not join again, in milliseconds.
const REBALANCE_TIMEOUT_MS: u32 = 60_000;
/// How long a member may take to leave, in milliseconds.
const LEAVING_MS: u64 = 3_000;

/// An id that no other member has.
pub fn new_member_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    uuid::Builder::from_random_bytes((u128::from(random()) << 64 | u128::from(random())).to_be_bytes())
        .into_uuid()
        .to_string()
}

/// See the module.
#[derive(Debug, Clone)]
pub enum Reader {
    /// Reads what it was told to.
    Alone(Box<Consumer>),
    /// Reads what its group gives it.
    Member(Box<GroupConsumer>),
}

impl Reader {
    /// The reader that a command wants. `options.reset` does not count; `member_id` gives an id that no other member has.
    pub fn new(command: &Consume, options: ConsumerOptions, member_id: impl FnOnce() -> String) -> Reader {
        let topics = [command.topic.clone()];
        let Membership { group, reset, instance_id, session_timeout, protocol } = &command.membership;
        let Some(group) = group else { return Reader::Alone(Box::new(Consumer::new(&topics, options))) };
        let reset = match reset {
            ResetTo::Earliest => Reset::Earliest,
            ResetTo::Latest => Reset::Latest,
            ResetTo::None => Reset::Fail,
        };
        let protocol = match protocol {
            GroupProtocol::Classic => Protocol::Classic,
            GroupProtocol::Consumer => Protocol::Consumer { member_id: member_id() },
        };
        let session_timeout_ms = u32::try_from(session_timeout.as_millis()).unwrap_or(u32::MAX);
        let member = MemberOptions {
            protocol,
            instance: instance_id.clone(),
            session_timeout_ms,
            heartbeat_interval_ms: (session_timeout_ms / 10).clamp(100, 3_000),
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            auto_commit_interval_ms: Some(COMMIT_INTERVAL_MS),
            ..MemberOptions::new(group, &topics)
        };
        Reader::Member(Box::new(GroupConsumer::new(member, ConsumerOptions { reset, ..options })))
    }

    /// At most so many records, in order a partition.
    pub fn take_records(&mut self, limit: usize) -> Vec<ConsumerRecord> {
        match self {
            Reader::Alone(consumer) => {
                let mut records = consumer.take_records();
                records.truncate(limit);
                records
            }
            Reader::Member(consumer) => consumer.take_records(limit),
        }
    }

    /// What was taken last was dealt with.
    pub fn processed(&mut self) {
        if let Reader::Member(consumer) = self {
            consumer.processed();
        }
    }

    /// What happened in its group since the last time.
    pub fn take_events(&mut self) -> Vec<Event> {
        match self {
            Reader::Alone(_) => Vec::new(),
            Reader::Member(consumer) => consumer.take_events(),
        }
    }

    /// What went wrong and will not mend itself, since the last time.
    pub fn take_errors(&mut self) -> Vec<String> {
        match self {
            Reader::Alone(consumer) => consumer.take_errors(),
            Reader::Member(consumer) => {
                let mut errors = consumer.take_errors();
                errors.extend(consumer.member().failure().map(str::to_owned));
                errors
            }
        }
    }

    /// Whether everything that it reads was read to the end.
    pub fn is_at_end(&self) -> bool {
        match self {
            Reader::Alone(consumer) => consumer.is_at_end(),
            Reader::Member(consumer) => consumer.is_at_end(),
        }
    }

    /// Whether it is a member to which its group gives nothing, because others have everything.
    pub fn has_nothing(&self) -> bool {
        match self {
            Reader::Alone(_) => false,
            Reader::Member(consumer) => consumer.member().generation() >= 0 && consumer.member().owned().is_empty(),
        }
    }

    /// Ends: a member commits what was processed and leaves its group. It has when [`is_gone`](Reader::is_gone) says so.
    pub fn leave(&mut self, now_ms: u64) {
        if let Reader::Member(consumer) = self {
            consumer.leave(now_ms, LEAVING_MS);
        }
    }

    /// Whether it is in no group, or not any more.
    pub fn is_gone(&self) -> bool {
        match self {
            Reader::Alone(_) => true,
            Reader::Member(consumer) => consumer.member().is_gone(),
        }
    }
}

impl Machine for Reader {
    fn turn(&mut self, now_ms: u64) -> Turn {
        match self {
            Reader::Alone(consumer) => consumer.turn(now_ms),
            Reader::Member(consumer) => consumer.turn(now_ms),
        }
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        match self {
            Reader::Alone(consumer) => consumer.answer(now_ms, call, answer),
            Reader::Member(consumer) => consumer.answer(now_ms, call, answer),
        }
    }
}

//! What a decision comes to: answers that can go out at once, records to be written, and what is to happen when they
//! are on every in-sync replica, or when they are not.

use crate::engine::config::ClusterConfig;
use crate::engine::group::record::GroupRecord;
use crate::engine::io::RequestToken;
use crate::engine::observe::GroupEvent;
use crate::engine::time::Instant;
use crate::engine::txn::marking::MarkerPlace;
use crate::protocol::codec::Response;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a decision may know of the world.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The broker's time.
    pub now: Instant,
    /// Wall time, in milliseconds, for what is written.
    pub wall_ms: i64,
    /// What all brokers have in common.
    pub config: &'a ClusterConfig,
}

/// What happens when records are committed, or cannot be.
#[derive(Debug, Clone, PartialEq)]
pub enum After {
    /// A client is answered: as here, or with an error put in.
    Answer {
        /// The request.
        token: RequestToken,
        /// Its answer, if all went well.
        response: Response,
    },
    /// The members of a generation are told what they were given.
    Assigned {
        /// The group.
        group: Arc<str>,
        /// The generation.
        generation: i32,
        /// What each member gets.
        assignment: BTreeMap<Arc<str>, Bytes>,
    },
    /// A static member has come back under another id without a rebalance.
    Replaced {
        /// The group.
        group: Arc<str>,
        /// The id it had.
        old: Arc<str>,
        /// The id it has.
        new: Arc<str>,
        /// Its JoinGroup.
        token: RequestToken,
        /// The answer to it.
        response: Response,
    },
    /// A marker of a transaction has its result.
    Marked(MarkerPlace),
    /// A group of a DeleteGroups is gone.
    Deleted {
        /// The request.
        request: u64,
        /// The group's place in it.
        place: usize,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Answers that wait for nothing.
    pub answers: Vec<(RequestToken, Response)>,
    /// What is to be written.
    pub records: Vec<GroupRecord>,
    /// Producer and epoch in whose transaction they are, if they are in one.
    pub producer: Option<(i64, i16)>,
    /// What follows when it is committed; at once if there is nothing to write.
    pub after: Vec<After>,
    /// There may be nothing to write, and what follows waits all the same for what was written before: it tells of it.
    pub waits_for_earlier: bool,
    /// What has happened.
    pub events: Vec<GroupEvent>,
}

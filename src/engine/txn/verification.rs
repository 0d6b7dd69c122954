//! Leaders ask before they take the first records (or offsets) of a transaction: whether the coordinator has the
//! partition in it, or, for clients of version 2, that it take it in (KIP-890; Kafka's `AddPartitionsToTxnManager`).
//! Meanwhile the request waits here, and what the same connection sends after it waits behind it.
//!
//! Invariants: what is appended after an answer is checked against the guard that was taken before the question was put
//! (for the last time), so that a marker in between is noticed. The requests of a connection are carried out in their order.

use crate::engine::broker::Broker;
use crate::engine::io::{Ctx, RequestToken, Wake};
use crate::engine::replica::verified::{Guard, Verified};
use crate::engine::rpc::Purpose;
use crate::engine::time::Instant;
use crate::engine::txn::metadata::Partition;
use crate::engine::txn::{AddAsker, coordinator_of};
use crate::protocol::codec::{Request, RequestHeader};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{ConnectionId, PartitionId};
use crate::protocol::peer::{AddPartitionsToTxnRequest, PeerRequest};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// While the transaction before is ending, the question is put again: after so long, and for so long at most, in
/// milliseconds (`add.partitions.to.txn.retry.backoff.ms` and its maximum).
const RETRY_MS: u64 = 20;
const RETRY_MAX_MS: u64 = 100;

/// A client's request.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Held {
    /// Names it.
    pub token: RequestToken,
    /// Where it came from.
    pub connection: ConnectionId,
    /// Its header.
    pub header: RequestHeader,
    /// Its body.
    pub request: Request,
}

/// What has to be asked before a request is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Question {
    /// The transactional id.
    pub id: Arc<str>,
    /// Producer and epoch.
    pub producer: (i64, i16),
    /// To take the partitions in, else only whether they are in.
    pub adds: bool,
    /// The partitions, with the guards that were taken.
    pub partitions: Vec<(Partition, PartitionId, Guard)>,
}

#[derive(Debug, Clone)]
struct Asked {
    held: Held,
    question: Question,
    until: Instant,
}

/// All requests that wait for a coordinator's word.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Verifications {
    asked: BTreeMap<u64, Asked>,
    last: u64,
    /// Questions to be put again.
    again: BTreeSet<(Instant, u64)>,
    /// Connections with a request that waits, and what came after it.
    behind: BTreeMap<ConnectionId, VecDeque<Held>>,
}

impl Verifications {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.asked.len() + self.behind.values().map(VecDeque::len).sum::<usize>()
    }

    /// When a question is to be put again.
    pub fn next_wake(&self) -> Option<Wake> {
        self.again.first().map(|(at, _)| Wake { at: *at, why: "a coordinator is asked again" })
    }

    /// A client is gone, and with it what it waited for.
    pub fn forget(&mut self, connection: ConnectionId) {
        self.behind.remove(&connection);
        self.asked.retain(|_, asked| asked.held.connection != connection);
        self.again.retain(|(_, number)| self.asked.contains_key(number));
    }
}

impl Broker {
    /// Whether a request has to wait behind one of the same connection; it is kept then.
    pub(in crate::engine) fn waits_behind(&mut self, held: Held) -> Option<Held> {
        match self.verifications.behind.get_mut(&held.connection) {
            Some(behind) => {
                behind.push_back(held);
                None
            }
            None => Some(held),
        }
    }

    /// Asks the coordinator; the request is carried out with its answer.
    pub(in crate::engine) fn verify(&mut self, cx: &mut Ctx, held: Held, question: Question) {
        let connection = held.connection;
        self.verifications.last += 1;
        let number = self.verifications.last;
        self.verifications.behind.entry(connection).or_default();
        let until = cx.now.plus_millis(RETRY_MAX_MS);
        self.verifications.asked.insert(number, Asked { held, question, until });
        self.ask_coordinator(cx, number);
    }

    fn ask_coordinator(&mut self, cx: &mut Ctx, number: u64) {
        let Some(asked) = self.verifications.asked.get(&number) else { return };
        let question = &asked.question;
        let request = AddPartitionsToTxnRequest {
            transactional_id: Arc::clone(&question.id),
            producer_id: question.producer.0,
            producer_epoch: question.producer.1,
            verify_only: !question.adds,
            partitions: question.partitions.iter().map(|(name, _, _)| name.clone()).collect(),
        };
        match coordinator_of(&self.image, &question.id) {
            None => {
                let results = vec![ErrorCode::CoordinatorNotAvailable; request.partitions.len()];
                self.on_verified(cx, number, Some(results));
            }
            Some(coordinator) if coordinator == self.config.broker => {
                self.add_partitions(cx, AddAsker::Own(number), request);
            }
            Some(coordinator) => {
                let timeout_ms = self.config.cluster.peer_request_timeout_ms;
                let request = PeerRequest::AddPartitionsToTxn(request);
                self.rpc.send(cx, coordinator, Purpose::Verification(number), request, timeout_ms);
            }
        }
    }

    /// Time has passed: questions that are due are put again.
    pub(in crate::engine) fn ask_coordinators_again(&mut self, cx: &mut Ctx) {
        while let Some(&(at, number)) = self.verifications.again.first() {
            if at > cx.now {
                break;
            }
            self.verifications.again.pop_first();
            if let Some(asked) = self.verifications.asked.get_mut(&number) {
                self.replicas.renew_guards(&mut asked.question);
            }
            self.ask_coordinator(cx, number);
        }
    }

    /// The coordinator's answer, a result for each partition; `None` if there was none.
    pub(in crate::engine) fn on_verified(&mut self, cx: &mut Ctx, number: u64, results: Option<Vec<ErrorCode>>) {
        let Some(asked) = self.verifications.asked.get(&number) else { return };
        let is_busy = results.as_ref().is_some_and(|results| results.contains(&ErrorCode::ConcurrentTransactions));
        if is_busy && asked.question.adds && cx.now < asked.until {
            self.verifications.again.insert((cx.now.plus_millis(RETRY_MS), number));
            return;
        }
        let Asked { held, question, .. } = self.verifications.asked.remove(&number).expect("just seen");
        let results = results.unwrap_or_else(|| vec![ErrorCode::NetworkException; question.partitions.len()]);
        let mut verified = Verified::default();
        for ((_, id, guard), result) in question.partitions.into_iter().zip(results) {
            verified.insert(id, if result.is_none() { Ok(guard) } else { Err(result) });
        }
        let connection = held.connection;
        self.carry_out_verified(cx, held, &verified);
        // What came meanwhile has its turn, up to the next that has to wait.
        let behind = self.verifications.behind.remove(&connection).unwrap_or_default();
        let mut behind = behind.into_iter();
        while let Some(next) = behind.next() {
            self.on_request(cx, next.token, next.connection, next.header, next.request);
            if let Some(waiting) = self.verifications.behind.get_mut(&connection) {
                waiting.extend(behind);
                break;
            }
        }
    }
}

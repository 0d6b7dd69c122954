//! Requests under way to other brokers: who was asked what, and until when an answer counts. An answer that comes too late, twice, or from
//! somebody else finds nothing here and is dropped. Deliberately no retries: whoever asked decides what a failure means.

use crate::engine::io::{Ctx, RequestToken, Wake};
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::{PeerBody, PeerMessage, PeerRequest, PeerResponse};
use std::collections::{BTreeMap, BTreeSet};

/// Who asked, so that the answer finds its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The metadata quorum.
    Quorum,
    /// The broker's life: registration, heartbeats.
    Lifecycle,
    /// A leader's change of an ISR.
    AlterPartition,
    /// A block of producer ids.
    ProducerIds,
    /// A client's request that was passed on.
    Forward(RequestToken),
    /// A follower's fetch from a leader.
    ReplicaFetch,
    /// Markers of transactions, by their number.
    TxnMarkers(u64),
    /// A leader's question about a transaction, by its number.
    Verification(u64),
}

/// A request under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    /// Its correlation id.
    pub id: u64,
    /// Who was asked.
    pub to: BrokerId,
    /// Who asked.
    pub purpose: Purpose,
    /// When it was asked.
    pub sent_at: Instant,
    /// When it counts as lost.
    pub deadline: Instant,
}

/// Why a request got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpcFailure {
    /// Its deadline passed.
    TimedOut,
    /// The connection was reset.
    LinkDown,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcResult {
    /// The request.
    pub request: Outstanding,
    /// Its answer, or why there is none.
    pub outcome: Result<PeerResponse, RpcFailure>,
}

/// All requests of a broker that are under way.
#[derive(Debug, Clone, Default)]
pub struct Rpc {
    last_id: u64,
    outstanding: BTreeMap<u64, Outstanding>,
    deadlines: BTreeSet<(Instant, u64)>,
}

impl Rpc {
    /// None yet. An answer to what the process before this one asked belongs to nothing: each life counts from elsewhere.
    pub fn of_life(incarnation: uuid::Uuid) -> Rpc {
        Rpc { last_id: incarnation.as_u64_pair().1 >> 8, ..Rpc::default() }
    }

    /// Sends a request and remembers it; returns its correlation id.
    pub fn send(&mut self, cx: &mut Ctx, to: BrokerId, purpose: Purpose, request: PeerRequest, timeout_ms: u64) -> u64 {
        assert!(to != cx.broker, "a broker asks itself without a message");
        self.last_id += 1;
        let id = self.last_id;
        let deadline = cx.now.plus_millis(timeout_ms);
        self.outstanding.insert(id, Outstanding { id, to, purpose, sent_at: cx.now, deadline });
        self.deadlines.insert((deadline, id));
        cx.send(to, PeerMessage { correlation_id: id, cause: None, body: PeerBody::Request(request) });
        id
    }

    /// Answers another broker's request.
    pub fn respond(cx: &mut Ctx, to: BrokerId, correlation_id: u64, response: PeerResponse) {
        cx.send(to, PeerMessage { correlation_id, cause: None, body: PeerBody::Response(response) });
    }

    /// The request that an answer belongs to, if it still waits.
    pub fn take(&mut self, from: BrokerId, id: u64) -> Option<Outstanding> {
        if self.outstanding.get(&id)?.to != from {
            return None;
        }
        let request = self.outstanding.remove(&id)?;
        self.deadlines.remove(&(request.deadline, id));
        Some(request)
    }

    /// Requests whose deadline has passed.
    pub fn expire(&mut self, now: Instant) -> Vec<RpcResult> {
        let mut expired = Vec::new();
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            let request = self.outstanding.remove(&id).expect("a deadline belongs to a request under way");
            expired.push(RpcResult { request, outcome: Err(RpcFailure::TimedOut) });
        }
        expired
    }

    /// Requests to a peer whose connection was reset.
    pub fn fail_peer(&mut self, peer: BrokerId) -> Vec<RpcResult> {
        let ids: Vec<u64> = self.outstanding.values().filter(|r| r.to == peer).map(|r| r.id).collect();
        ids.into_iter()
            .filter_map(|id| self.take(peer, id))
            .map(|request| RpcResult { request, outcome: Err(RpcFailure::LinkDown) })
            .collect()
    }

    /// When the next deadline passes.
    pub fn next_wake(&self) -> Option<Wake> {
        self.deadlines.first().map(|&(at, _)| Wake { at, why: "request to another broker times out" })
    }
}

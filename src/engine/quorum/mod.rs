//! The metadata quorum: KRaft, a Raft in which followers pull (KIP-595), with pre-votes (KIP-996), snapshots
//! (KIP-630) and voters that are an id and a log directory (KIP-853). One [`Quorum`] a broker, voter or observer;
//! what it commits is the cluster's metadata.
//!
//! Invariants:
//! - One leader an epoch (ElectionSafety): a vote leaves the broker only when it is on the disk, one an epoch.
//! - A broker that starts again never leads an epoch that it may have led before, nor stands for it again.
//! - Only an entry of its own epoch lets a leader commit, and only what a majority of voters has on the disk.
//! - Nothing below the high watermark is ever truncated.
//! - Nothing polls: what has to happen later is told by [`Quorum::next_wake`], with its reason.
//!
//! Each role is a file; this one holds what all have in common: the election's state, the ways from role to role, and
//! who gets which message. Deliberately absent: what the records mean (the controller's), and voters that come or go
//! by id.

mod account;
mod candidate;
mod follower;
mod leader;
mod log;
mod resigned;
mod snapshot;
mod unattached;
mod voters;

#[cfg(test)]
mod tests;

pub use account::{QuorumRequest, RecentRecord, VoteAnswer, VoteRefusal};
pub use leader::{NotLeader, QuorumDescription, QuorumReplica};
pub use snapshot::Committed;
pub use voters::{VoterChangeError, VoterSet};

use crate::engine::config::BrokerConfig;
use crate::engine::controller::image::MetadataImage;
use crate::engine::io::{Ctx, LogRead, ReadError, StorageOp, Wake};
use crate::engine::observe::{EventKind, QuorumRole};
use crate::engine::prng::Prng;
use crate::engine::quorum::account::{Answers, Recent};
use crate::engine::quorum::candidate::Nominee;
use crate::engine::quorum::follower::{Fetch, Follower};
use crate::engine::quorum::leader::Leader;
use crate::engine::quorum::log::MetadataLog;
use crate::engine::quorum::resigned::Resigned;
use crate::engine::quorum::unattached::Unattached;
use crate::engine::quorum::voters::{ReplicaKey, VoterHistory};
use crate::engine::rpc::{Purpose, Rpc, RpcResult};
use crate::engine::time::Instant;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, DirectoryId, LogId};
use crate::protocol::peer::{PeerRequest, PeerResponse, SnapshotId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// The name of the election's state in the store (Kafka's file `quorum-state`).
const STATE_KEY: &str = "quorum/state";
/// How long to wait before a request that failed is sent again (`controller.quorum.retry.backoff.ms`), in milliseconds.
const RETRY_BACKOFF_MS: u64 = 20;

/// What must survive a crash: the epoch, and what was promised in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Election {
    epoch: i32,
    voted_for: Option<ReplicaKey>,
    leader: Option<BrokerId>,
}

#[derive(Debug, Clone)]
enum Role {
    Unattached(Unattached),
    Prospective(Nominee),
    Candidate(Nominee),
    Follower(Follower),
    Leader(Leader),
    Resigned(Resigned),
}

/// What a request under way was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Vote { epoch: i32, pre_vote: bool },
    Begin,
    End,
    Fetch { epoch: i32, offset: i64 },
    Snapshot { epoch: i32 },
}

/// The settings that matter here, in milliseconds and bytes.
#[derive(Debug, Clone, Copy)]
struct Settings {
    election_timeout_ms: u64,
    fetch_timeout_ms: u64,
    backoff_max_ms: u64,
    request_timeout_ms: u64,
    fetch_wait_max_ms: u64,
    snapshot_bytes: u64,
    fetch_max_bytes: usize,
}

/// An answer that promises something which is not on the disk yet.
#[derive(Debug, Clone)]
struct Deferred {
    seq: u64,
    to: BrokerId,
    correlation_id: u64,
    response: PeerResponse,
}

/// One broker's part in the metadata quorum.
#[derive(Debug, Clone)]
pub struct Quorum {
    me: BrokerId,
    directory: DirectoryId,
    initial_voters: VoterSet,
    settings: Settings,
    election: Election,
    /// The persist that makes `election` safe, while it has not come back.
    election_seq: Option<u64>,
    log: MetadataLog,
    voters: VoterHistory,
    is_voter: bool,
    /// The snapshots in the store, the latest last.
    snapshots: Vec<SnapshotId>,
    role: Role,
    high_watermark: i64,
    /// The offset after the last committed record that was handed out.
    applied: i64,
    /// A snapshot that has to be handed out.
    arrived: Option<MetadataImage>,
    sent: BTreeMap<u64, (BrokerId, Sent)>,
    deferred: VecDeque<Deferred>,
    /// Candidacies in a row that came to nothing.
    failed_elections: u32,
    /// The last votes it was asked for, and the newest records: for those who look.
    answers: Answers,
    recent: Recent,
    is_stopping: bool,
    failure: Option<ReadError>,
}

impl Quorum {
    /// The quorum's part of a broker that starts, by what its store holds. [`Quorum::start`] comes next.
    ///
    /// # Errors
    /// If the metadata log, its latest snapshot or the election's state cannot be read.
    pub fn recover(
        config: &BrokerConfig,
        read: &dyn LogRead,
        now: Instant,
        rng: &mut Prng,
    ) -> Result<Quorum, ReadError> {
        let mut election = match read.meta(STATE_KEY) {
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| ReadError { log: LogId::METADATA, reason: format!("{STATE_KEY}: {error}") })?,
            None => Election::default(),
        };
        let snapshots = snapshot::list(read);
        let (log, mut changes) = MetadataLog::recover(read, &snapshots)?;
        if election.epoch < log.last_epoch() {
            election = Election { epoch: log.last_epoch(), ..Election::default() };
        }
        let arrived = snapshots.last().map(|id| snapshot::load(read, *id)).transpose()?;
        let committed = arrived.as_ref().map_or(0, |image| image.end_offset);
        changes.retain(|change| change.offset >= committed);
        let voters = VoterHistory::new(&config.initial_voters, arrived.as_ref().map(|image| &image.voters), changes);
        let cluster = &config.cluster;
        let settings = Settings {
            election_timeout_ms: cluster.quorum_election_timeout_ms.max(1),
            fetch_timeout_ms: cluster.quorum_fetch_timeout_ms,
            backoff_max_ms: cluster.quorum_election_backoff_max_ms.max(1),
            request_timeout_ms: cluster.quorum_request_timeout_ms,
            fetch_wait_max_ms: cluster.quorum_fetch_wait_max_ms,
            snapshot_bytes: cluster.metadata_snapshot_bytes,
            fetch_max_bytes: leader::FETCH_MAX_BYTES,
        };
        let election_deadline = settings.election_deadline(now, rng);
        let role = match election.leader {
            // It has led this epoch and must not go on: what it lost in the crash, others may have.
            Some(leader) if leader == config.broker => {
                let others = voters.current().keys().copied().filter(|id| *id != leader).collect();
                Role::Resigned(Resigned::new(now, election_deadline, others))
            }
            Some(leader) => Role::Follower(Follower {
                fetch: Fetch::AwaitsPersist,
                ..Follower::new(leader, now, now.plus_millis(settings.fetch_timeout_ms))
            }),
            None => Role::Unattached(Unattached { deadline: election_deadline, fetch: Fetch::AwaitsPersist }),
        };
        Ok(Quorum {
            me: config.broker,
            directory: config.directory,
            initial_voters: config.initial_voters.clone(),
            settings,
            election,
            election_seq: None,
            log,
            is_voter: voters.is_voter(config.broker, config.directory),
            voters,
            snapshots,
            role,
            high_watermark: committed,
            applied: committed,
            arrived,
            sent: BTreeMap::new(),
            deferred: VecDeque::new(),
            failed_elections: 0,
            answers: Answers::default(),
            recent: Recent::default(),
            is_stopping: false,
            failure: None,
        })
    }

    /// The first step after [`Quorum::recover`]: makes the log if there is none, and stands at once where nobody else
    /// can know better.
    pub fn start(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let is_fresh = self.election == Election::default() && self.log.end() == 0;
        let sync = self.must_sync();
        if !self.log.begin(cx, sync) {
            // A synced write makes safe what the process before had written and not synced.
            self.write_election(cx);
        }
        if self.quorum_role() != QuorumRole::Unattached {
            self.emit_role(cx, QuorumRole::Unattached, "recovered");
        }
        if self.is_voter && self.voters.current().len() == 1 {
            self.become_candidate(cx, "only voter");
        } else if is_fresh && self.is_voter && self.voters.current().keys().next() == Some(&self.me) {
            self.become_prospective(cx, rpc, "first start");
        } else {
            self.on_wake(cx, rpc);
        }
    }

    /// A request of another broker: Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch of the metadata log or
    /// FetchSnapshot. Others are not the quorum's and are left alone.
    pub fn on_request(
        &mut self,
        cx: &mut Ctx,
        rpc: &mut Rpc,
        from: BrokerId,
        correlation_id: u64,
        request: PeerRequest,
    ) {
        match request {
            PeerRequest::Vote(request) => self.on_vote(cx, from, correlation_id, &request),
            PeerRequest::BeginQuorumEpoch(request) => self.on_begin(cx, rpc, from, correlation_id, &request),
            PeerRequest::EndQuorumEpoch(request) => self.on_end(cx, rpc, from, correlation_id, &request),
            PeerRequest::QuorumFetch(request) => self.on_fetch(cx, from, correlation_id, request),
            PeerRequest::FetchSnapshot(request) => self.on_fetch_snapshot(cx, from, correlation_id, request),
            _ => {}
        }
    }

    /// How a request of [`Purpose::Quorum`] ended.
    pub fn on_result(&mut self, cx: &mut Ctx, rpc: &mut Rpc, result: RpcResult) {
        let id = result.request.id;
        let Some((_, sent)) = self.sent.remove(&id) else { return };
        let from = result.request.to;
        let Ok(response) = result.outcome else {
            if matches!(sent, Sent::Fetch { .. } | Sent::Snapshot { .. }) {
                self.on_fetch_failed(cx, id);
            }
            return;
        };
        if let Some((epoch, leader)) = sender_state(&response) {
            self.observe(cx, rpc, from, epoch, leader);
        }
        match (sent, response) {
            (Sent::Vote { epoch, pre_vote }, PeerResponse::Vote(response)) => {
                self.on_vote_response(cx, rpc, from, epoch, pre_vote, &response);
            }
            (Sent::Fetch { epoch, offset }, PeerResponse::QuorumFetch(response)) => {
                self.on_fetch_response(cx, rpc, id, from, epoch, offset, response);
            }
            (Sent::Snapshot { epoch }, PeerResponse::FetchSnapshot(response))
                if epoch == self.epoch() && self.is_fetch(id) =>
            {
                self.on_piece(cx, rpc, response);
            }
            (Sent::End, PeerResponse::EndQuorumEpoch(_)) => self.on_end_acknowledged(from),
            (Sent::Fetch { .. } | Sent::Snapshot { .. }, _) => self.on_fetch_failed(cx, id),
            _ => {}
        }
    }

    /// What was written up to a sequence number is safe.
    pub fn on_persisted(&mut self, cx: &mut Ctx, rpc: &mut Rpc, seq: u64) {
        self.log.on_persisted(seq);
        self.election_seq = self.election_seq.filter(|waits_for| *waits_for > seq);
        while self.deferred.front().is_some_and(|deferred| deferred.seq <= seq) {
            let Deferred { to, correlation_id, response, .. } = self.deferred.pop_front().expect("there is one");
            Rpc::respond(cx, to, correlation_id, response);
        }
        match &self.role {
            Role::Candidate(_) => self.candidate_persisted(cx, rpc),
            Role::Leader(_) => self.advance(cx),
            Role::Follower(_) | Role::Unattached(_) => self.fetch_persisted(cx, rpc),
            Role::Prospective(_) | Role::Resigned(_) => {}
        }
    }

    /// Does what is due.
    pub fn on_wake(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        match &self.role {
            Role::Unattached(_) => self.wake_unattached(cx, rpc),
            Role::Prospective(_) | Role::Candidate(_) => self.wake_nominee(cx, rpc),
            Role::Follower(_) => self.wake_follower(cx, rpc),
            Role::Leader(_) => self.wake_leader(cx, rpc),
            Role::Resigned(_) => self.wake_resigned(cx, rpc),
        }
    }

    /// When [`Quorum::on_wake`] has to be called at the latest, and why.
    pub fn next_wake(&self) -> Option<Wake> {
        let may_stand = self.is_voter && !self.is_stopping;
        match &self.role {
            Role::Unattached(unattached) => unattached.next_wake(self.is_voter, may_stand),
            Role::Prospective(nominee) => Some(nominee.next_wake(true)),
            Role::Candidate(nominee) => Some(nominee.next_wake(self.election_seq.is_none())),
            Role::Follower(follower) => follower.next_wake(self.is_voter, may_stand),
            Role::Leader(leader) => leader.next_wake(self.me, &self.voters, &self.settings),
            Role::Resigned(resigned) => resigned.next_wake(may_stand),
        }
    }

    /// The timer of whoever does not lead ends at a moment. Not what a broker does: a simulated world brings about a split vote so.
    pub fn set_election_timer(&mut self, at: Instant) {
        match &mut self.role {
            Role::Unattached(unattached) => unattached.deadline = at,
            Role::Prospective(nominee) | Role::Candidate(nominee) => nominee.deadline = at,
            Role::Follower(follower) => follower.deadline = at,
            Role::Resigned(resigned) => resigned.deadline = at,
            Role::Leader(_) => {}
        }
    }

    /// Hands the leadership over in a controlled shutdown: tells the voters that the epoch ends, and does not stand
    /// again. A follower goes on following.
    pub fn resign(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        self.is_stopping = true;
        match &self.role {
            Role::Leader(_) => self.become_resigned(cx, rpc, "controlled shutdown"),
            Role::Prospective(_) | Role::Candidate(_) => {
                let epoch = self.epoch();
                self.become_unattached(cx, epoch, "controlled shutdown");
            }
            Role::Unattached(_) | Role::Follower(_) | Role::Resigned(_) => {}
        }
    }

    /// Whether this broker leads.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Whether this broker leads and has committed a record of its own epoch: only then it knows all that was
    /// committed, and only then the controller may act.
    pub fn is_leader_caught_up(&self) -> bool {
        matches!(&self.role, Role::Leader(leader) if self.high_watermark > leader.epoch_start)
    }

    /// Who leads, as far as this broker knows; `None` while it doubts.
    pub fn leader(&self) -> Option<BrokerId> {
        match &self.role {
            Role::Leader(_) => Some(self.me),
            Role::Follower(follower) if !follower.leader_resigned => Some(follower.leader),
            _ => None,
        }
    }

    /// The epoch.
    pub fn epoch(&self) -> i32 {
        self.election.epoch
    }

    /// Everything before it is committed, as far as this broker knows.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The end of its log: the offset of the next record.
    pub fn log_end(&self) -> i64 {
        self.log.end()
    }

    /// The voters, each with its log directory.
    pub fn voters(&self) -> &VoterSet {
        self.voters.current()
    }

    /// Whether this broker votes: a wiped one does not until it is readmitted.
    pub fn is_voter(&self) -> bool {
        self.is_voter
    }

    /// A read that failed while another broker was answered: the log directory is to be treated as failed.
    pub fn take_failure(&mut self) -> Option<ReadError> {
        self.failure.take()
    }

    fn quorum_role(&self) -> QuorumRole {
        match &self.role {
            Role::Unattached(_) => QuorumRole::Unattached,
            Role::Prospective(_) => QuorumRole::Prospective,
            Role::Candidate(_) => QuorumRole::Candidate,
            Role::Follower(_) if self.is_voter => QuorumRole::Follower,
            Role::Follower(_) => QuorumRole::Observer,
            Role::Leader(_) => QuorumRole::Leader,
            Role::Resigned(_) => QuorumRole::Resigned,
        }
    }

    /// Whether a broker is one of those that vote, be it that its disk is a new one and it does not yet again.
    fn may_vote(&self, broker: BrokerId) -> bool {
        self.initial_voters.contains_key(&broker)
    }

    /// Whether its writes have to survive a loss of power: it votes, or will again.
    fn must_sync(&self) -> bool {
        self.may_vote(self.me)
    }

    fn key(&self) -> ReplicaKey {
        ReplicaKey { broker: self.me, directory: self.directory }
    }

    fn other_voters(&self) -> Vec<BrokerId> {
        self.voters.current().keys().copied().filter(|id| *id != self.me).collect()
    }

    fn write_election(&mut self, cx: &mut Ctx) {
        let value = Bytes::from(serde_json::to_vec(&self.election).expect("nothing in it that JSON cannot hold"));
        cx.write_synced(StorageOp::PutMeta { key: STATE_KEY.to_owned(), value });
        self.election_seq = Some(cx.persist_seq());
    }

    /// Answers when everything the answer promises is safe.
    fn respond_when_safe(&mut self, cx: &mut Ctx, to: BrokerId, correlation_id: u64, response: PeerResponse) {
        match self.election_seq {
            Some(seq) => self.deferred.push_back(Deferred { seq, to, correlation_id, response }),
            None => Rpc::respond(cx, to, correlation_id, response),
        }
    }

    fn send(
        &mut self,
        cx: &mut Ctx,
        rpc: &mut Rpc,
        to: BrokerId,
        request: PeerRequest,
        timeout_ms: u64,
        sent: Sent,
    ) -> u64 {
        let id = rpc.send(cx, to, Purpose::Quorum, request, timeout_ms);
        self.sent.insert(id, (to, sent));
        id
    }

    /// Why a request that only the leader answers is refused (`KafkaRaftClient.validateLeaderOnlyRequest`).
    fn leader_error(&self, epoch: i32) -> ErrorCode {
        if epoch < self.epoch() {
            ErrorCode::FencedLeaderEpoch
        } else if epoch > self.epoch() {
            ErrorCode::UnknownLeaderEpoch
        } else if !self.is_leader() {
            ErrorCode::NotLeaderOrFollower
        } else {
            ErrorCode::None
        }
    }

    /// Another broker is in this epoch and knows this leader.
    fn observe(&mut self, cx: &mut Ctx, rpc: &mut Rpc, from: BrokerId, epoch: i32, leader: Option<BrokerId>) {
        let leader = leader.filter(|leader| *leader != self.me);
        if epoch > self.epoch() {
            match leader {
                Some(leader) => self.become_follower(cx, rpc, epoch, leader, "leader of a higher epoch"),
                None => self.become_unattached(cx, epoch, "higher epoch"),
            }
            return;
        }
        let Some(leader) = leader.filter(|_| epoch == self.epoch()) else { return };
        let is_known = self.election.leader == Some(leader);
        match &self.role {
            Role::Leader(_) | Role::Resigned(_) | Role::Follower(_) => {}
            // Others may not know yet what this broker has noticed: only the leader itself can prove that it lives.
            Role::Prospective(_) if is_known && from != leader => {}
            // One leader an epoch: whoever names another is wrong.
            _ if self.election.leader.is_some() && !is_known => {}
            _ => self.become_follower(cx, rpc, epoch, leader, "found the leader"),
        }
    }

    fn become_unattached(&mut self, cx: &mut Ctx, epoch: i32, why: &'static str) {
        // Whoever was about to stand keeps its turn, or one that cannot win could keep the others from it for ever.
        let deadline = match &self.role {
            Role::Unattached(Unattached { deadline, .. }) => *deadline,
            Role::Prospective(nominee) => nominee.deadline,
            _ => self.settings.election_deadline(cx.now, cx.rng),
        };
        if epoch > self.epoch() {
            self.election = Election { epoch, ..Election::default() };
            self.write_election(cx);
        }
        self.enter(cx, Role::Unattached(Unattached { deadline, fetch: Fetch::At(cx.now) }), why);
    }

    fn become_follower(&mut self, cx: &mut Ctx, rpc: &mut Rpc, epoch: i32, leader: BrokerId, why: &'static str) {
        assert!(leader != self.me, "nobody follows itself");
        let before = self.election;
        if epoch > self.epoch() {
            self.election = Election { epoch, ..Election::default() };
        }
        self.election.leader = Some(leader);
        if self.election != before {
            self.write_election(cx);
        }
        let deadline = cx.now.plus_millis(self.settings.fetch_timeout_ms);
        self.enter(cx, Role::Follower(Follower::new(leader, cx.now, deadline)), why);
        self.send_fetch(cx, rpc);
    }

    fn enter(&mut self, cx: &mut Ctx, role: Role, why: &'static str) {
        let from = self.quorum_role();
        let before = std::mem::replace(&mut self.role, role);
        self.emit_role(cx, from, why);
        if let Role::Leader(leader) = before {
            self.refuse_parked(cx, leader);
        }
    }

    fn emit_role(&mut self, cx: &mut Ctx, from: QuorumRole, why: &'static str) {
        let (to, epoch, leader) = (self.quorum_role(), self.epoch(), self.leader());
        cx.emit(EventKind::QuorumRole { from, to, epoch, leader, why });
    }

    /// The voters by the log are others now.
    fn voters_changed(&mut self, cx: &mut Ctx) {
        cx.emit(EventKind::VotersChanged { voters: self.voters.current().keys().copied().collect() });
        let from = self.quorum_role();
        self.is_voter = self.voters.is_voter(self.me, self.directory);
        if self.quorum_role() != from {
            self.emit_role(cx, from, "voters changed");
        }
    }
}

impl Settings {
    /// A random moment between one and two election timeouts from now (`QuorumState.randomElectionTimeoutMs`).
    fn election_deadline(&self, now: Instant, rng: &mut Prng) -> Instant {
        now.plus_millis(self.election_timeout_ms + rng.below(self.election_timeout_ms))
    }
}

/// The epoch and the leader that an answer names.
fn sender_state(response: &PeerResponse) -> Option<(i32, Option<BrokerId>)> {
    match response {
        PeerResponse::Vote(response) => Some((response.epoch, response.leader)),
        PeerResponse::BeginQuorumEpoch(response) | PeerResponse::EndQuorumEpoch(response) => {
            Some((response.epoch, response.leader))
        }
        PeerResponse::QuorumFetch(response) => Some((response.epoch, response.leader)),
        PeerResponse::FetchSnapshot(response) => Some((response.epoch, response.leader)),
        _ => None,
    }
}

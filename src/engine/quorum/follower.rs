//! Follower (and, when it does not vote, observer): pulls the leader's log, cuts its own where they differ, and
//! learns what is committed.
//!
//! Invariants: one Fetch at a time, and only from a log that is wholly on the disk, because the position in it is the
//! acknowledgement; the high watermark only rises; nothing below it is cut.
//!
//! A voter that gets no answer for the fetch timeout stands; an observer looks for the leader. While its own disk
//! makes it wait, that clock stands still: a slow disk is no sign of a dead leader.

use crate::engine::io::{Ctx, Wake};
use crate::engine::observe::{EventKind, TruncationReason};
use crate::engine::quorum::snapshot::Download;
use crate::engine::quorum::{Quorum, RETRY_BACKOFF_MS, Role, Sent, log};
use crate::engine::rpc::Rpc;
use crate::engine::time::Instant;
use crate::protocol::batch::Batch;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, EpochEnd, PartitionId};
use crate::protocol::peer::{
    BeginQuorumEpochRequest, EndQuorumEpochRequest, PeerRequest, PeerResponse, QuorumEpochResponse, QuorumFetchRequest,
    QuorumFetchResponse,
};
use bytes::BytesMut;

/// Where the pulling of the log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fetch {
    /// Asked, by the request of this id.
    InFlight(u64),
    /// To be asked at this moment.
    At(Instant),
    /// To be asked as soon as the log is on the disk.
    AwaitsPersist,
}

impl Fetch {
    /// When to ask, if that is a matter of time.
    pub(super) fn due(self) -> Option<Instant> {
        match self {
            Fetch::At(at) => Some(at),
            Fetch::InFlight(_) | Fetch::AwaitsPersist => None,
        }
    }
}

/// The role's state.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    pub(super) leader: BrokerId,
    /// When the leader counts as lost.
    pub(super) deadline: Instant,
    pub(super) fetch: Fetch,
    /// The leader has answered in this epoch: pre-votes against it are refused (KIP-996).
    pub(super) has_fetched: bool,
    /// The leader has said that it ends its epoch.
    pub(super) leader_resigned: bool,
    /// A snapshot on its way, because the leader's log begins behind ours.
    pub(super) download: Option<Download>,
}

impl Follower {
    pub(super) fn new(leader: BrokerId, now: Instant, deadline: Instant) -> Follower {
        Follower { leader, deadline, fetch: Fetch::At(now), has_fetched: false, leader_resigned: false, download: None }
    }

    pub(super) fn next_wake(&self, is_voter: bool, may_stand: bool) -> Option<Wake> {
        let fetch = self.fetch.due().map(|at| Wake { at, why: "fetches metadata again" });
        let gives_up = (may_stand || !is_voter) && self.fetch != Fetch::AwaitsPersist;
        let deadline = gives_up.then_some(Wake { at: self.deadline, why: "fetch timeout" });
        Wake::earlier(fetch, deadline)
    }
}

impl Quorum {
    pub(super) fn wake_follower(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let Role::Follower(follower) = &self.role else { return };
        let gives_up = !(self.is_voter && self.is_stopping) && follower.fetch != Fetch::AwaitsPersist;
        if gives_up && cx.now >= follower.deadline {
            let why = if follower.leader_resigned { "the leader resigned" } else { "fetch timeout" };
            if self.is_voter {
                self.become_prospective(cx, rpc, why);
            } else {
                let epoch = self.epoch();
                self.become_unattached(cx, epoch, why);
                self.send_fetch(cx, rpc);
            }
        } else if follower.fetch.due().is_some_and(|at| cx.now >= at) {
            if follower.download.is_some() {
                self.fetch_piece(cx, rpc);
            } else {
                self.send_fetch(cx, rpc);
            }
        }
    }

    pub(super) fn set_fetch(&mut self, fetch: Fetch) {
        match &mut self.role {
            Role::Follower(follower) => follower.fetch = fetch,
            Role::Unattached(unattached) => unattached.fetch = fetch,
            _ => {}
        }
    }

    /// Whether a request is the one Fetch or FetchSnapshot that is waited for.
    pub(super) fn is_fetch(&self, id: u64) -> bool {
        match &self.role {
            Role::Follower(follower) => follower.fetch == Fetch::InFlight(id),
            Role::Unattached(unattached) => unattached.fetch == Fetch::InFlight(id),
            _ => false,
        }
    }

    /// Pulls from the leader; an observer without one asks any voter.
    pub(super) fn send_fetch(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let to = match &self.role {
            Role::Follower(follower) => Some(follower.leader),
            Role::Unattached(_) if !self.is_voter => cx.rng.pick(&self.other_voters()).copied(),
            _ => return,
        };
        let Some(to) = to else {
            // The only voter was this broker, with another disk: there is nobody to ask.
            self.set_fetch(Fetch::At(cx.now.plus_millis(self.settings.fetch_timeout_ms)));
            return;
        };
        if !self.log.is_persisted() {
            self.set_fetch(Fetch::AwaitsPersist);
            return;
        }
        let wait_ms = self.settings.fetch_wait_max_ms;
        // A lost message costs a part of the fetch timeout, not all of it.
        let slack_ms = self.settings.fetch_timeout_ms.saturating_sub(wait_ms) / 2;
        let timeout_ms = self.settings.request_timeout_ms.min(wait_ms + slack_ms).max(1);
        let (epoch, offset) = (self.epoch(), self.log.end());
        let request = PeerRequest::QuorumFetch(QuorumFetchRequest {
            epoch,
            replica: self.me,
            directory: self.directory,
            fetch_offset: offset,
            last_fetched_epoch: self.log.last_epoch(),
            high_watermark: self.high_watermark,
            max_wait_ms: u32::try_from(wait_ms).unwrap_or(u32::MAX),
        });
        let id = self.send(cx, rpc, to, request, timeout_ms, Sent::Fetch { epoch, offset });
        self.set_fetch(Fetch::InFlight(id));
    }

    /// The log may be on the disk now.
    pub(super) fn fetch_persisted(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        if !self.log.is_persisted() {
            return;
        }
        let fetch_timeout_ms = self.settings.fetch_timeout_ms;
        match &mut self.role {
            Role::Follower(follower) if follower.fetch == Fetch::AwaitsPersist => {
                follower.deadline = follower.deadline.max(cx.now.plus_millis(fetch_timeout_ms));
                self.send_fetch(cx, rpc);
            }
            Role::Unattached(unattached) if unattached.fetch == Fetch::AwaitsPersist => self.send_fetch(cx, rpc),
            _ => {}
        }
    }

    /// No answer, or none that helps: tries again shortly.
    pub(super) fn on_fetch_failed(&mut self, cx: &mut Ctx, id: u64) {
        if self.is_fetch(id) {
            self.set_fetch(Fetch::At(cx.now.plus_millis(RETRY_BACKOFF_MS)));
        }
    }

    pub(super) fn on_fetch_response(
        &mut self,
        cx: &mut Ctx,
        rpc: &mut Rpc,
        id: u64,
        from: BrokerId,
        epoch: i32,
        offset: i64,
        response: QuorumFetchResponse,
    ) {
        let fetch_timeout_ms = self.settings.fetch_timeout_ms;
        let is_current = self.is_fetch(id) && epoch == self.epoch() && offset == self.log.end();
        let Role::Follower(follower) = &mut self.role else {
            self.on_fetch_failed(cx, id);
            return;
        };
        if !is_current || follower.leader != from || !response.error.is_none() || response.epoch != epoch {
            self.on_fetch_failed(cx, id);
            return;
        }
        follower.has_fetched = true;
        follower.leader_resigned = false;
        follower.deadline = cx.now.plus_millis(fetch_timeout_ms);
        self.failed_elections = 0;
        if let Some(snapshot) = response.snapshot {
            if let Role::Follower(follower) = &mut self.role {
                follower.download = Some(Download { snapshot, bytes: BytesMut::new() });
            }
            self.fetch_piece(cx, rpc);
            return;
        }
        let is_useful = match response.diverging_epoch {
            Some(diverging) => self.cut(cx, diverging),
            None => self.take_batches(cx, response.batches),
        };
        let known = response.high_watermark.min(self.log.end());
        if response.diverging_epoch.is_none() && known > self.high_watermark {
            self.high_watermark = known;
        }
        if is_useful {
            self.send_fetch(cx, rpc);
        } else {
            self.on_fetch_failed(cx, id);
        }
    }

    /// Cuts the log where the leader says that it diverges. False if that says nothing new.
    fn cut(&mut self, cx: &mut Ctx, diverging: EpochEnd) -> bool {
        let (from, to) = (self.log.end(), self.log.truncation_point(diverging));
        if to >= from {
            return false;
        }
        assert!(
            to >= self.high_watermark,
            "cutting to {to} would lose what is committed up to {}",
            self.high_watermark
        );
        let sync = self.must_sync();
        self.log.truncate(cx, to, sync);
        self.recent.truncate(to);
        let reason = TruncationReason::DivergingEpoch;
        cx.emit(EventKind::Truncated { partition: PartitionId::METADATA, from, to, reason });
        if self.voters.truncate(to) {
            self.voters_changed(cx);
        }
        true
    }

    /// Appends what the leader sent. False if that does not fit the log.
    fn take_batches(&mut self, cx: &mut Ctx, batches: Vec<Batch>) -> bool {
        for batch in batches {
            let header = batch.header;
            let fits = header.base_offset == self.log.end()
                && (self.log.last_epoch()..=self.epoch()).contains(&header.leader_epoch)
                && batch.crc_is_valid();
            let change = match log::voter_change(&batch) {
                Ok(change) if fits => change,
                _ => return false,
            };
            let sync = self.must_sync();
            self.log.append(cx, batch, sync);
            if let Some(change) = change {
                self.voters.push(change);
                self.voters_changed(cx);
            }
        }
        true
    }

    /// A new leader makes itself known.
    pub(super) fn on_begin(
        &mut self,
        cx: &mut Ctx,
        rpc: &mut Rpc,
        from: BrokerId,
        correlation_id: u64,
        request: &BeginQuorumEpochRequest,
    ) {
        let error = self.epoch_error(from, request.leader, request.epoch);
        if error.is_none() {
            self.observe(cx, rpc, from, request.epoch, Some(request.leader));
        }
        let response = QuorumEpochResponse { error, epoch: self.epoch(), leader: self.leader() };
        Rpc::respond(cx, from, correlation_id, PeerResponse::BeginQuorumEpoch(response));
    }

    /// The leader ends its epoch: the one it would like to follow stands at once, the others later, each in its turn.
    pub(super) fn on_end(
        &mut self,
        cx: &mut Ctx,
        rpc: &mut Rpc,
        from: BrokerId,
        correlation_id: u64,
        request: &EndQuorumEpochRequest,
    ) {
        let error = self.epoch_error(from, request.leader, request.epoch);
        if error.is_none() {
            self.observe(cx, rpc, from, request.epoch, Some(request.leader));
            let place = request.preferred_candidates.iter().position(|id| *id == self.me);
            let place = u64::try_from(place.unwrap_or(request.preferred_candidates.len())).expect("a place in a list");
            let maximum = self.settings.backoff_max_ms;
            let delay_ms = match place {
                0 => 0,
                _ => ((maximum / 2) << (place - 1).min(16)).min(maximum) + cx.rng.below(maximum),
            };
            if let Role::Follower(follower) = &mut self.role
                && follower.leader == request.leader
            {
                follower.leader_resigned = true;
                follower.deadline = follower.deadline.min(cx.now.plus_millis(delay_ms));
                if delay_ms == 0 && self.is_voter && !self.is_stopping {
                    self.become_prospective(cx, rpc, "the leader resigned");
                }
            }
        }
        let response = QuorumEpochResponse { error, epoch: self.epoch(), leader: self.leader() };
        Rpc::respond(cx, from, correlation_id, PeerResponse::EndQuorumEpoch(response));
    }

    /// Why a leader's word is not heard (`KafkaRaftClient.validateVoterOnlyRequest`).
    fn epoch_error(&self, from: BrokerId, leader: BrokerId, epoch: i32) -> ErrorCode {
        if from != leader || !self.may_vote(leader) {
            ErrorCode::InconsistentVoterSet
        } else if epoch < self.epoch() {
            ErrorCode::FencedLeaderEpoch
        } else {
            ErrorCode::None
        }
    }
}

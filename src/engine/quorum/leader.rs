//! Leader: appends, answers those who pull, and commits what a majority of the voters has on the disk.
//!
//! Invariants: it begins its epoch with a LeaderChange record and commits nothing before that is committed (Raft
//! §5.4.2); its own log counts only as far as it is on the disk; a voter's position counts only for the directory
//! that votes.
//!
//! A leader that a majority has not pulled from for one and a half fetch timeouts resigns, because others may have
//! elected another already (`LeaderState`'s check of the quorum). Fetches with nothing to answer are parked, and
//! answered as soon as there is.

use crate::engine::controller::record::MetadataRecord;
use crate::engine::io::{Ctx, ReadError, Wake};
use crate::engine::mutant::Mutant;
use crate::engine::observe::EventKind;
use crate::engine::quorum::log::{Position, voter_change};
use crate::engine::quorum::voters::{VoterChangeError, VoterHistory};
use crate::engine::quorum::{Quorum, Role, Sent, Settings, log};
use crate::engine::rpc::Rpc;
use crate::engine::time::Instant;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, DirectoryId, LogId};
use crate::protocol::peer::{
    BeginQuorumEpochRequest, PeerRequest, PeerResponse, QuorumFetchRequest, QuorumFetchResponse, SnapshotId,
};
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

/// The most of the log in one response, in bytes (`KafkaRaftClient.MAX_FETCH_SIZE_BYTES`).
pub(super) const FETCH_MAX_BYTES: usize = 8 * 1024 * 1024;
/// An observer that has not fetched for so long is forgotten, in milliseconds
/// (`LeaderState.OBSERVER_SESSION_TIMEOUT_MS`).
const OBSERVER_SESSION_TIMEOUT_MS: u64 = 300_000;

/// Only the leader appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this broker does not lead the metadata quorum")]
pub struct NotLeader {
    /// Who does, as far as it knows.
    pub leader: Option<BrokerId>,
    /// The epoch.
    pub epoch: i32,
}

/// The quorum as its leader sees it: what DescribeQuorum tells (KIP-595, KIP-836).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The leader.
    pub leader: BrokerId,
    /// Its epoch.
    pub epoch: i32,
    /// What is committed.
    pub high_watermark: i64,
    /// The voters, in order of id.
    pub voters: Vec<QuorumReplica>,
    /// Others who fetched lately, in order of id.
    pub observers: Vec<QuorumReplica>,
}

/// One replica of the metadata log, as the leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumReplica {
    /// The broker.
    pub broker: BrokerId,
    /// Its log directory.
    pub directory: DirectoryId,
    /// The end of its log; −1 if it has not fetched in this epoch.
    pub log_end_offset: i64,
    /// When it fetched last; the leader itself: now.
    pub last_fetch: Option<Instant>,
    /// When it last had all that the leader had; the leader itself: now.
    pub last_caught_up: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Progress {
    directory: DirectoryId,
    end_offset: i64,
    last_fetch: Instant,
    last_caught_up: Option<Instant>,
    /// The leader's log end at the last fetch.
    leader_end: i64,
}

#[derive(Debug, Clone)]
struct Parked {
    correlation_id: u64,
    request: QuorumFetchRequest,
    deadline: Instant,
}

/// The role's state.
#[derive(Debug, Clone)]
pub(super) struct Leader {
    /// The offset of the LeaderChange record.
    pub(super) epoch_start: i64,
    since: Instant,
    progress: BTreeMap<BrokerId, Progress>,
    /// One Fetch a replica: whoever asks again has given up the request before.
    parked: BTreeMap<BrokerId, Parked>,
    /// When each voter was told of the epoch.
    told: BTreeMap<BrokerId, Instant>,
    /// The snapshot that is being given away in pieces.
    pub(super) serving: Option<(SnapshotId, Bytes)>,
}

impl Leader {
    fn new(epoch_start: i64, since: Instant) -> Leader {
        Leader {
            epoch_start,
            since,
            progress: BTreeMap::new(),
            parked: BTreeMap::new(),
            told: BTreeMap::new(),
            serving: None,
        }
    }

    /// The progress of a voter, if it is the directory that votes.
    fn of_voter(&self, voter: BrokerId, directory: DirectoryId) -> Option<&Progress> {
        self.progress.get(&voter).filter(|progress| progress.directory == directory)
    }

    fn last_contact(&self, voter: BrokerId, directory: DirectoryId) -> Instant {
        self.of_voter(voter, directory).map_or(self.since, |progress| progress.last_fetch)
    }

    /// Another sign of life than a Fetch.
    pub(super) fn note_contact(&mut self, from: BrokerId, now: Instant) {
        if let Some(progress) = self.progress.get_mut(&from) {
            progress.last_fetch = now;
        }
    }

    /// A replica has everything before `offset` on its disk (`LeaderState.updateReplicaState`).
    fn note_fetch(&mut self, from: BrokerId, directory: DirectoryId, offset: i64, now: Instant, leader_end: i64) {
        let before = self.progress.get(&from).filter(|progress| progress.directory == directory);
        let caught_up = match before {
            _ if offset >= leader_end => Some(now),
            Some(before) if offset >= before.leader_end => before.last_caught_up.max(Some(before.last_fetch)),
            Some(before) => before.last_caught_up,
            None => None,
        };
        // A message that was overtaken takes nothing back: within an epoch a follower does not lose what it has
        // acknowledged.
        let end_offset = before.map_or(offset, |before| before.end_offset.max(offset));
        let progress = Progress { directory, end_offset, last_fetch: now, last_caught_up: caught_up, leader_end };
        self.progress.insert(from, progress);
    }

    /// The offset that a majority of the voters has on the disk.
    fn majority_end(&self, me: BrokerId, persisted_end: i64, voters: &VoterHistory) -> i64 {
        let end_of = |(id, directory): (&BrokerId, &DirectoryId)| match *id == me {
            true => persisted_end,
            false => self.of_voter(*id, *directory).map_or(0, |progress| progress.end_offset),
        };
        let mut ends: Vec<i64> = voters.current().iter().map(end_of).collect();
        ends.sort_unstable_by_key(|end| Reverse(*end));
        ends[voters.majority() - 1]
    }

    /// When it has to resign if nobody fetches until then; never if it is a majority by itself.
    fn resigns_at(&self, me: BrokerId, voters: &VoterHistory, settings: &Settings) -> Option<Instant> {
        let others = voters.current().iter().filter(|(id, _)| **id != me);
        let mut contacts: Vec<Instant> = others.map(|(id, directory)| self.last_contact(*id, *directory)).collect();
        contacts.sort_unstable_by_key(|at| Reverse(*at));
        let needed = voters.majority().checked_sub(2)?;
        Some(contacts.get(needed)?.plus_millis(settings.silence_limit_ms()))
    }

    /// The same as a timer.
    pub(super) fn silence(&self, me: BrokerId, voters: &VoterHistory, settings: &Settings) -> Option<Wake> {
        self.resigns_at(me, voters, settings).map(|at| Wake { at, why: "a majority is silent" })
    }

    /// When a voter that does not fetch is told of the epoch (again).
    fn tell_at(&self, voter: BrokerId, directory: DirectoryId, settings: &Settings) -> Instant {
        let contact = self.last_contact(voter, directory);
        let heard = self.told.get(&voter).map_or(contact, |told| contact.max(*told));
        heard.plus_millis((settings.fetch_timeout_ms / 2).max(1))
    }

    pub(super) fn next_wake(&self, me: BrokerId, voters: &VoterHistory, settings: &Settings) -> Option<Wake> {
        let parked = self.parked.values().map(|parked| parked.deadline).min();
        let parked = parked.map(|at| Wake { at, why: "answers an idle metadata fetch" });
        let silence = self.silence(me, voters, settings);
        let others = voters.current().iter().filter(|(id, _)| **id != me);
        let tell = others.map(|(id, directory)| self.tell_at(*id, *directory, settings)).min();
        let tell = tell.map(|at| Wake { at, why: "tells a voter of its epoch" });
        Wake::earlier(parked, Wake::earlier(silence, tell))
    }

    pub(super) fn followers(&self) -> Vec<(BrokerId, i64, Instant)> {
        self.progress.iter().map(|(id, progress)| (*id, progress.end_offset, progress.last_fetch)).collect()
    }

    /// The other voters, the furthest in the log first.
    pub(super) fn preferred_successors(&self, me: BrokerId, voters: &VoterHistory) -> Vec<BrokerId> {
        let end_of = |id: BrokerId, directory| self.of_voter(id, directory).map_or(-1, |progress| progress.end_offset);
        let others = voters.current().iter().filter(|(id, _)| **id != me);
        let mut others: Vec<_> = others.map(|(id, directory)| (Reverse(end_of(*id, *directory)), *id)).collect();
        others.sort_unstable();
        others.into_iter().map(|(_, id)| id).collect()
    }
}

impl Settings {
    /// How long a majority may be silent before the leader resigns (`LeaderState.CHECK_QUORUM_TIMEOUT_FACTOR`).
    fn silence_limit_ms(&self) -> u64 {
        self.fetch_timeout_ms + self.fetch_timeout_ms / 2
    }
}

impl Quorum {
    /// Appends records as one batch, one offset each; they are committed when [`Quorum::take_committed`] hands them
    /// out.
    ///
    /// # Errors
    /// If this broker does not lead.
    ///
    /// # Panics
    /// If there is no record.
    pub fn append(&mut self, cx: &mut Ctx, records: &[MetadataRecord]) -> Result<Range<i64>, NotLeader> {
        if !self.is_leader() {
            return Err(NotLeader { leader: self.leader(), epoch: self.epoch() });
        }
        let first = self.log.end();
        let batch = log::encode(first, self.epoch(), cx.wall.0, records);
        let change = voter_change(&batch).expect("a batch that was just written is readable");
        let sync = self.must_sync();
        self.log.append(cx, batch, sync);
        self.recent.note(first, self.epoch(), records);
        if let Some(change) = change {
            let is_news = change.voters != *self.voters.current();
            self.voters.push(change);
            if is_news {
                self.voters_changed(cx);
            }
        }
        self.answer_parked(cx);
        Ok(first..self.log.end())
    }

    /// Begins or goes on to put a broker's new log directory in the place of the one it voted with (KIP-853): the old
    /// one is taken out first, the new one put in when that is committed. The leader does so by itself when a wiped
    /// voter has fetched the whole log.
    ///
    /// # Errors
    /// If this cannot be done, or not now; nothing is changed then.
    pub fn request_voter_change(
        &mut self,
        cx: &mut Ctx,
        voter: BrokerId,
        directory: DirectoryId,
    ) -> Result<i64, VoterChangeError> {
        let Role::Leader(leader) = &self.role else { return Err(VoterChangeError::NotLeader) };
        let has_open_change = self.voters.last_change().is_some_and(|offset| offset >= self.high_watermark);
        if !self.is_leader_caught_up() || has_open_change {
            return Err(VoterChangeError::NotCommitted);
        }
        let mut voters = self.voters.current().clone();
        match voters.get(&voter) {
            Some(current) if *current == directory => return Err(VoterChangeError::NoChange),
            Some(_) => voters.remove(&voter),
            None if self.may_vote(voter) => voters.insert(voter, directory),
            None => return Err(VoterChangeError::NoSuchVoter),
        };
        let has_committed = |progress: &&Progress| {
            progress.end_offset >= self.high_watermark && progress.last_caught_up >= Some(progress.last_fetch)
        };
        if leader.of_voter(voter, directory).filter(has_committed).is_none() {
            return Err(VoterChangeError::NotCaughtUp);
        }
        let silence_limit_ms = self.settings.silence_limit_ms();
        let is_intact = |id: BrokerId, directory: DirectoryId| {
            let progress = leader.of_voter(id, directory);
            id == self.me || progress.is_some_and(|p| cx.now < p.last_fetch.plus_millis(silence_limit_ms))
        };
        let others = self.voters.current().iter().filter(|(id, _)| **id != voter);
        let intact = others.filter(|(id, directory)| is_intact(**id, **directory)).count();
        if intact < self.voters.majority() {
            return Err(VoterChangeError::NoIntactMajority);
        }
        let appended = self.append(cx, &[MetadataRecord::Voters { voters }]);
        appended.map(|offsets| offsets.start).map_err(|_| VoterChangeError::NotLeader)
    }

    /// What DescribeQuorum tells; `None` if this broker does not lead.
    pub fn describe(&self, now: Instant) -> Option<QuorumDescription> {
        let Role::Leader(leader) = &self.role else { return None };
        let replica = |broker: BrokerId, directory: DirectoryId| {
            let progress = leader.of_voter(broker, directory);
            QuorumReplica {
                broker,
                directory,
                log_end_offset: progress.map_or(-1, |progress| progress.end_offset),
                last_fetch: progress.map(|progress| progress.last_fetch),
                last_caught_up: progress.and_then(|progress| progress.last_caught_up),
            }
        };
        let own = QuorumReplica {
            broker: self.me,
            directory: self.directory,
            log_end_offset: self.log.end(),
            last_fetch: Some(now),
            last_caught_up: Some(now),
        };
        let voters = self.voters.current().iter();
        let voters =
            voters.map(|(id, directory)| if *id == self.me { own } else { replica(*id, *directory) }).collect();
        let observers = leader
            .progress
            .iter()
            .filter(|(id, progress)| !self.voters.is_voter(**id, progress.directory))
            .filter(|(_, progress)| now < progress.last_fetch.plus_millis(OBSERVER_SESSION_TIMEOUT_MS))
            .map(|(id, progress)| replica(*id, progress.directory))
            .collect();
        let (epoch, high_watermark) = (self.epoch(), self.high_watermark);
        Some(QuorumDescription { leader: self.me, epoch, high_watermark, voters, observers })
    }

    pub(super) fn become_leader(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let epoch = self.epoch();
        self.failed_elections = 0;
        self.election.leader = Some(self.me);
        self.write_election(cx);
        self.enter(cx, Role::Leader(Leader::new(self.log.end(), cx.now)), "majority of votes");
        let mut records = vec![MetadataRecord::LeaderChange { leader: self.me, epoch }];
        if !self.voters.is_recorded() {
            records.push(MetadataRecord::Voters { voters: self.voters.current().clone() });
        }
        self.append(cx, &records).expect("it leads");
        for voter in self.other_voters() {
            self.tell(cx, rpc, voter);
        }
    }

    fn tell(&mut self, cx: &mut Ctx, rpc: &mut Rpc, voter: BrokerId) {
        let request = BeginQuorumEpochRequest { epoch: self.epoch(), leader: self.me };
        let timeout_ms = self.settings.request_timeout_ms;
        self.send(cx, rpc, voter, PeerRequest::BeginQuorumEpoch(request), timeout_ms, Sent::Begin);
        if let Role::Leader(leader) = &mut self.role {
            leader.told.insert(voter, cx.now);
        }
    }

    pub(super) fn wake_leader(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let Role::Leader(leader) = &self.role else { return };
        if leader.resigns_at(self.me, &self.voters, &self.settings).is_some_and(|at| cx.now >= at) {
            self.become_resigned(cx, rpc, "a majority is silent");
            return;
        }
        let is_due = |(id, directory): &(&BrokerId, &DirectoryId)| {
            **id != self.me && cx.now >= leader.tell_at(**id, **directory, &self.settings)
        };
        let silent: Vec<BrokerId> = self.voters.current().iter().filter(is_due).map(|(id, _)| *id).collect();
        for voter in silent {
            self.tell(cx, rpc, voter);
        }
        self.answer_parked(cx);
    }

    pub(super) fn on_fetch(&mut self, cx: &mut Ctx, from: BrokerId, correlation_id: u64, request: QuorumFetchRequest) {
        let error = self.leader_error(request.epoch);
        if !error.is_none() || request.replica != from {
            let error = if error.is_none() { ErrorCode::InvalidRequest } else { error };
            Rpc::respond(cx, from, correlation_id, PeerResponse::QuorumFetch(self.fetch_response(error)));
            return;
        }
        let is_valid = self.log.judge(request.fetch_offset, request.last_fetched_epoch) == Position::Valid;
        let (end, wait_ms) = (self.log.end(), u64::from(request.max_wait_ms).min(self.settings.fetch_wait_max_ms));
        let directory = request.directory;
        let Role::Leader(leader) = &mut self.role else { return };
        if is_valid {
            leader.note_fetch(from, directory, request.fetch_offset, cx.now, end);
        } else {
            leader.note_contact(from, cx.now);
        }
        leader.parked.insert(from, Parked { correlation_id, request, deadline: cx.now.plus_millis(wait_ms) });
        if is_valid {
            self.advance(cx);
            if self.may_vote(from) && !self.voters.is_voter(from, directory) {
                // Refused while it cannot be done: the next fetch asks again.
                let _ = self.request_voter_change(cx, from, directory);
            }
        }
        self.answer_parked(cx);
    }

    /// Commits what a majority has on the disk, once that includes a record of the leader's own epoch.
    pub(super) fn advance(&mut self, cx: &mut Ctx) {
        let Role::Leader(leader) = &self.role else { return };
        let end = leader.majority_end(self.me, self.log.persisted_end(), &self.voters);
        let is_own = end > leader.epoch_start || cx.has(Mutant::FormerEpochCommitted);
        if end <= self.high_watermark || !is_own {
            return;
        }
        self.high_watermark = end;
        cx.emit(EventKind::MetadataCommitted { offset: end });
        self.answer_parked(cx);
    }

    /// Answers the parked fetches that can be answered or have waited long enough.
    fn answer_parked(&mut self, cx: &mut Ctx) {
        let Role::Leader(leader) = &self.role else { return };
        let waiting: Vec<BrokerId> = leader.parked.keys().copied().collect();
        for from in waiting {
            let Role::Leader(leader) = &self.role else { return };
            let parked = &leader.parked[&from];
            let is_over = cx.now >= parked.deadline;
            let response = match self.answer(cx, &parked.request) {
                Ok(Some(response)) => response,
                Ok(None) if is_over => self.fetch_response(ErrorCode::None),
                Ok(None) => continue,
                Err(failure) => {
                    self.failure = Some(failure);
                    self.fetch_response(ErrorCode::KafkaStorageError)
                }
            };
            if let Role::Leader(leader) = &mut self.role {
                let parked = leader.parked.remove(&from).expect("it waited");
                Rpc::respond(cx, from, parked.correlation_id, PeerResponse::QuorumFetch(response));
            }
        }
    }

    /// The answer to a Fetch; `None` if there is nothing to say yet.
    fn answer(&self, cx: &Ctx, request: &QuorumFetchRequest) -> Result<Option<QuorumFetchResponse>, ReadError> {
        let mut response = self.fetch_response(ErrorCode::None);
        match self.log.judge(request.fetch_offset, request.last_fetched_epoch) {
            Position::Diverging(end) => response.diverging_epoch = Some(end),
            Position::NeedsSnapshot => {
                response.snapshot = self.snapshots.last().copied();
                assert!(response.snapshot.is_some(), "a log that was trimmed starts at a snapshot");
            }
            Position::Valid if request.fetch_offset < self.log.end() => {
                response.batches =
                    cx.log().read(LogId::METADATA, request.fetch_offset, self.settings.fetch_max_bytes)?;
            }
            Position::Valid if request.high_watermark < self.high_watermark => {}
            Position::Valid => return Ok(None),
        }
        Ok(Some(response))
    }

    fn fetch_response(&self, error: ErrorCode) -> QuorumFetchResponse {
        QuorumFetchResponse {
            error,
            epoch: self.epoch(),
            leader: self.leader(),
            batches: Vec::new(),
            high_watermark: self.high_watermark,
            log_start_offset: self.log.start(),
            diverging_epoch: None,
            snapshot: None,
        }
    }

    /// Leads no more: whoever waits is told at once.
    pub(super) fn refuse_parked(&mut self, cx: &mut Ctx, leader: Leader) {
        for (from, parked) in leader.parked {
            let response = self.fetch_response(ErrorCode::NotLeaderOrFollower);
            Rpc::respond(cx, from, parked.correlation_id, PeerResponse::QuorumFetch(response));
        }
    }
}

//! Prospective and candidate: standing for leader, and voting for those who stand.
//!
//! Prospective asks first whether it would be elected (KIP-996) and raises no epoch; only with a majority of such
//! pre-votes it becomes a candidate, raises the epoch, votes for itself and asks in earnest. A broker that others
//! hear no need to replace therefore deposes nobody, however often its link comes and goes.
//!
//! Invariants: a candidate asks only when its own vote is on the disk; a vote is given once an epoch, to a log that
//! is not behind; voters that follow a leader and have heard of it refuse pre-votes.

use crate::engine::io::{Ctx, Wake};
use crate::engine::mutant::Mutant;
use crate::engine::observe::EventKind;
use crate::engine::quorum::account::{VoteAnswer, VoteRefusal};
use crate::engine::quorum::voters::ReplicaKey;
use crate::engine::quorum::{Election, Quorum, RETRY_BACKOFF_MS, Role, Sent};
use crate::engine::rpc::Rpc;
use crate::engine::time::Instant;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::{PeerRequest, PeerResponse, VoteRequest, VoteResponse};
use std::collections::BTreeSet;

/// The state of both roles.
#[derive(Debug, Clone)]
pub(super) struct Nominee {
    pub(super) granted: BTreeSet<BrokerId>,
    pub(super) refused: BTreeSet<BrokerId>,
    /// When this attempt ends; after a lost election: when the next one begins.
    pub(super) deadline: Instant,
    /// When those who have not granted are asked again: a request may have been lost, and a pre-vote that was refused
    /// may be granted when the voter misses the leader too.
    resend_at: Instant,
    resend_after_ms: u64,
    /// The election is lost; only the backoff is waited for.
    is_lost: bool,
}

impl Nominee {
    fn new(now: Instant, deadline: Instant) -> Nominee {
        Nominee {
            granted: BTreeSet::new(),
            refused: BTreeSet::new(),
            deadline,
            resend_at: now.plus_millis(RETRY_BACKOFF_MS),
            resend_after_ms: RETRY_BACKOFF_MS,
            is_lost: false,
        }
    }

    /// When this attempt ends, or the next one begins.
    pub(super) fn timer(&self) -> Wake {
        let why = if self.is_lost { "election backoff" } else { "election timeout" };
        Wake { at: self.deadline, why }
    }

    pub(super) fn next_wake(&self, may_ask: bool) -> Wake {
        let deadline = self.timer();
        if self.is_lost || !may_ask {
            return deadline;
        }
        deadline.min(Wake { at: self.resend_at, why: "asks for votes again" })
    }
}

impl Quorum {
    /// Asks whether it would be elected. The leader it followed, if any, is not forgotten.
    pub(super) fn become_prospective(&mut self, cx: &mut Ctx, rpc: &mut Rpc, why: &'static str) {
        assert!(self.is_voter, "only voters stand");
        if cx.has(Mutant::NoPreVote) {
            return self.become_candidate(cx, why);
        }
        let deadline = self.settings.election_deadline(cx.now, cx.rng);
        let mut nominee = Nominee::new(cx.now, deadline);
        nominee.granted.insert(self.me);
        self.enter(cx, Role::Prospective(nominee), why);
        self.ask_for_votes(cx, rpc);
    }

    /// Raises the epoch and votes for itself. The others are asked when that is on the disk.
    pub(super) fn become_candidate(&mut self, cx: &mut Ctx, why: &'static str) {
        self.election = Election { epoch: self.epoch() + 1, voted_for: Some(self.key()), leader: None };
        self.write_election(cx);
        let deadline = self.settings.election_deadline(cx.now, cx.rng);
        self.enter(cx, Role::Candidate(Nominee::new(cx.now, deadline)), why);
        cx.emit(EventKind::Voted { epoch: self.epoch(), candidate: self.me });
    }

    /// A candidate's own vote may be on the disk now.
    pub(super) fn candidate_persisted(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let Role::Candidate(candidate) = &mut self.role else { return };
        if self.election_seq.is_some() || !candidate.granted.insert(self.me) {
            return;
        }
        candidate.resend_at = cx.now.plus_millis(RETRY_BACKOFF_MS);
        if self.voters.majority() == 1 {
            self.become_leader(cx, rpc);
        } else {
            self.ask_for_votes(cx, rpc);
        }
    }

    fn ask_for_votes(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let (nominee, pre_vote) = match &self.role {
            Role::Prospective(nominee) => (nominee, true),
            Role::Candidate(nominee) => (nominee, false),
            _ => return,
        };
        let asked: Vec<_> = self
            .voters
            .current()
            .iter()
            .filter(|(id, _)| **id != self.me && !nominee.granted.contains(id))
            .filter(|(id, _)| pre_vote || !nominee.refused.contains(id))
            .map(|(id, directory)| (*id, *directory))
            .collect();
        let epoch = self.epoch();
        for (voter, directory) in asked {
            let request = VoteRequest {
                epoch,
                candidate: self.me,
                candidate_directory: self.directory,
                voter_directory: Some(directory),
                last_epoch: self.log.last_epoch(),
                last_epoch_end_offset: self.log.end(),
                pre_vote,
            };
            let timeout_ms = self.settings.request_timeout_ms;
            self.send(cx, rpc, voter, PeerRequest::Vote(request), timeout_ms, Sent::Vote { epoch, pre_vote });
        }
    }

    pub(super) fn wake_nominee(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let may_ask = matches!(self.role, Role::Prospective(_)) || self.election_seq.is_none();
        let (Role::Prospective(nominee) | Role::Candidate(nominee)) = &mut self.role else { return };
        if cx.now >= nominee.deadline {
            match &self.role {
                Role::Prospective(_) => self.give_up_pre_vote(cx, rpc, "no majority of pre-votes"),
                _ => self.candidate_deadline(cx, rpc),
            }
        } else if may_ask && !nominee.is_lost && cx.now >= nominee.resend_at {
            let longest = (self.settings.election_timeout_ms / 2).max(RETRY_BACKOFF_MS);
            nominee.resend_after_ms = (nominee.resend_after_ms * 2).min(longest);
            nominee.resend_at = cx.now.plus_millis(nominee.resend_after_ms);
            self.ask_for_votes(cx, rpc);
        }
    }

    fn candidate_deadline(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let Role::Candidate(candidate) = &self.role else { return };
        if candidate.is_lost {
            self.become_prospective(cx, rpc, "election backoff");
        } else {
            self.lose_election(cx);
        }
    }

    /// Nobody can win any more, or the time is over: waits the longer the more often it has lost (`QuorumState`'s
    /// exponential backoff). Votes that still come count.
    fn lose_election(&mut self, cx: &mut Ctx) {
        let Role::Candidate(candidate) = &mut self.role else { return };
        let maximum = self.settings.backoff_max_ms;
        let bound = ((maximum / 4).max(1) << self.failed_elections.min(16)).min(maximum);
        self.failed_elections += 1;
        candidate.is_lost = true;
        candidate.deadline = cx.now.plus_millis(1 + cx.rng.below(bound));
    }

    /// Not enough pre-votes: goes back to the leader it knew, which may live after all, or tries again later.
    fn give_up_pre_vote(&mut self, cx: &mut Ctx, rpc: &mut Rpc, why: &'static str) {
        let epoch = self.epoch();
        match self.election.leader.filter(|leader| *leader != self.me) {
            Some(leader) => {
                let deadline = self.settings.election_deadline(cx.now, cx.rng);
                self.become_follower(cx, rpc, epoch, leader, why);
                if let Role::Follower(follower) = &mut self.role {
                    follower.deadline = follower.deadline.min(deadline);
                }
            }
            None => {
                if let Role::Prospective(nominee) = &mut self.role {
                    nominee.deadline = self.settings.election_deadline(cx.now, cx.rng);
                }
                self.become_unattached(cx, epoch, why);
            }
        }
    }

    pub(super) fn on_vote_response(
        &mut self,
        cx: &mut Ctx,
        rpc: &mut Rpc,
        from: BrokerId,
        epoch: i32,
        pre_vote: bool,
        response: &VoteResponse,
    ) {
        if epoch != self.epoch() || response.epoch != epoch {
            return;
        }
        let majority = self.voters.majority();
        let voters = self.voters.current().len();
        let nominee = match &mut self.role {
            Role::Prospective(nominee) if pre_vote => nominee,
            Role::Candidate(nominee) if !pre_vote => nominee,
            _ => return,
        };
        if response.vote_granted && response.error.is_none() {
            nominee.refused.remove(&from);
            nominee.granted.insert(from);
            if nominee.granted.len() >= majority {
                if pre_vote {
                    self.become_candidate(cx, "majority of pre-votes");
                } else {
                    self.become_leader(cx, rpc);
                }
            }
            return;
        }
        if !nominee.granted.contains(&from) {
            nominee.refused.insert(from);
        }
        if voters - nominee.refused.len() < majority && !nominee.is_lost {
            if pre_vote {
                self.give_up_pre_vote(cx, rpc, "pre-votes refused");
            } else {
                self.lose_election(cx);
            }
        }
    }

    /// Somebody stands.
    pub(super) fn on_vote(&mut self, cx: &mut Ctx, from: BrokerId, correlation_id: u64, request: &VoteRequest) {
        let error = if request.voter_directory.is_some_and(|directory| directory != self.directory) {
            // The voter that is meant had another disk.
            ErrorCode::InvalidVoterKey
        } else if request.candidate != from || !self.may_vote(request.candidate) {
            ErrorCode::InconsistentVoterSet
        } else if request.epoch < self.epoch() {
            ErrorCode::FencedLeaderEpoch
        } else {
            ErrorCode::None
        };
        let refusal = match error {
            ErrorCode::InvalidVoterKey => Some(VoteRefusal::OtherDirectory),
            ErrorCode::InconsistentVoterSet => Some(VoteRefusal::NotAVoter),
            ErrorCode::FencedLeaderEpoch => Some(VoteRefusal::StaleEpoch { epoch: self.epoch() }),
            _ => {
                if request.epoch > self.epoch() {
                    self.become_unattached(cx, request.epoch, "vote in a higher epoch");
                }
                self.consider(cx, request)
            }
        };
        let (candidate, is_pre_vote) = (request.candidate, request.pre_vote);
        self.answers.note(VoteAnswer { at: cx.now, epoch: request.epoch, candidate, is_pre_vote, refusal });
        let vote_granted = refusal.is_none();
        let (epoch, leader) = (self.epoch(), self.leader());
        let response = PeerResponse::Vote(VoteResponse { error, epoch, leader, vote_granted });
        self.respond_when_safe(cx, from, correlation_id, response);
    }

    /// Gives the vote if it is one in earnest and nothing speaks against it. Tells what does.
    fn consider(&mut self, cx: &mut Ctx, request: &VoteRequest) -> Option<VoteRefusal> {
        let candidate = ReplicaKey { broker: request.candidate, directory: request.candidate_directory };
        let refusal = self.refusal(cx, request);
        if refusal.is_some() || request.pre_vote || self.election.voted_for == Some(candidate) {
            return refusal;
        }
        self.election.voted_for = Some(candidate);
        if !cx.has(Mutant::VoteNotPersisted) {
            self.write_election(cx);
        }
        cx.emit(EventKind::Voted { epoch: request.epoch, candidate: candidate.broker });
        // Whoever votes gives the candidate an election's time.
        let epoch = self.epoch();
        if !matches!(self.role, Role::Unattached(_)) {
            self.become_unattached(cx, epoch, "voted for another");
        }
        let deadline = self.settings.election_deadline(cx.now, cx.rng);
        if let Role::Unattached(unattached) = &mut self.role {
            unattached.deadline = deadline;
        }
        None
    }

    /// What speaks against a vote (`EpochState.canGrantVote` of each role).
    fn refusal(&self, cx: &Ctx, request: &VoteRequest) -> Option<VoteRefusal> {
        let theirs = (request.last_epoch, request.last_epoch_end_offset);
        let ours = (self.log.last_epoch(), self.log.end());
        let is_behind = theirs < ours && !cx.has(Mutant::VoteForShorterLog);
        let behind = is_behind.then_some(VoteRefusal::LogBehind { theirs, ours });
        if request.pre_vote {
            let leader = match &self.role {
                Role::Leader(_) => Some(self.me),
                Role::Follower(follower) if !follower.leader_resigned && follower.has_fetched => Some(follower.leader),
                _ => None,
            };
            return leader.map(VoteRefusal::HasLeader).or(behind);
        }
        let candidate = ReplicaKey { broker: request.candidate, directory: request.candidate_directory };
        let leader = self.election.leader.map(VoteRefusal::HasLeader);
        if self.election.voted_for == Some(candidate) {
            return leader;
        }
        let spent = leader.or(self.election.voted_for.map(|key| VoteRefusal::VotedFor(key.broker)));
        spent.filter(|_| !cx.has(Mutant::TwoVotesInAnEpoch)).or(behind)
    }
}

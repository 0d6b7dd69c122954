//! What a broker tells of its part in the quorum: the votes it was asked for, what it asks of others, when it acts next, and the
//! newest records it knows, decoded.
//!
//! Invariants: everything that is kept for this alone is a ring; nothing in it decides anything.
//!
//! Deliberately not here: what others make of it, and words for people.

use crate::engine::controller::record::MetadataRecord;
use crate::engine::io::Wake;
use crate::engine::observe::QuorumSnapshot;
use crate::engine::quorum::follower::Fetch;
use crate::engine::quorum::{Quorum, Role, Sent};
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// So many votes that were asked for are remembered.
const ANSWERS_MAX: usize = 16;
/// So many records are kept decoded.
const RECENT_MAX: usize = 32;
/// So many of the newest leader epochs are told.
const EPOCHS_MAX: usize = 12;

/// Why a vote is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoteRefusal {
    /// The voter that is meant had another log directory (KIP-853).
    OtherDirectory,
    /// Whoever asks does not vote itself.
    NotAVoter,
    /// The voter is in a later epoch.
    StaleEpoch {
        /// That epoch.
        epoch: i32,
    },
    /// The candidate's log is behind the voter's (Raft §5.4.1): epoch of the last record and log end of each.
    LogBehind {
        /// The candidate's.
        theirs: (i32, i64),
        /// The voter's.
        ours: (i32, i64),
    },
    /// The vote of this epoch is given.
    VotedFor(BrokerId),
    /// The epoch has a leader, or the voter hears from the one it follows (KIP-996).
    HasLeader(BrokerId),
}

/// A vote that was asked for, and the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoteAnswer {
    /// When, by the voter's clock.
    pub at: Instant,
    /// In which epoch.
    pub epoch: i32,
    /// Who asked.
    pub candidate: BrokerId,
    /// It was only asked what the answer would be (KIP-996).
    pub is_pre_vote: bool,
    /// Why not; `None`: the vote was given.
    pub refusal: Option<VoteRefusal>,
}

/// What a request under way to another broker is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuorumRequest {
    /// Asks for a vote.
    Vote {
        /// The candidate's epoch.
        epoch: i32,
        /// Asks only what the answer would be.
        is_pre_vote: bool,
    },
    /// Tells that it leads (BeginQuorumEpoch).
    Begin,
    /// Tells that it leads no more (EndQuorumEpoch).
    End,
    /// Pulls records.
    Fetch {
        /// From this offset on.
        offset: i64,
    },
    /// Pulls a snapshot.
    Snapshot,
}

/// A record of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentRecord {
    /// Its offset.
    pub offset: i64,
    /// The epoch of the leader that wrote it.
    pub epoch: i32,
    /// What it says.
    pub record: Arc<MetadataRecord>,
}

/// The newest records: of a leader as it writes them, of all others as they are committed.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent(BTreeMap<i64, (i32, Arc<MetadataRecord>)>);

impl Recent {
    /// Takes records in that follow each other from an offset on.
    pub(super) fn note(&mut self, base_offset: i64, epoch: i32, records: &[MetadataRecord]) {
        let skipped = records.len().saturating_sub(RECENT_MAX);
        for (offset, record) in (base_offset..).zip(records).skip(skipped) {
            if self.0.get(&offset).is_none_or(|(known, _)| *known != epoch) {
                self.0.insert(offset, (epoch, Arc::new(record.clone())));
            }
        }
        while self.0.len() > RECENT_MAX {
            self.0.pop_first();
        }
    }

    /// Everything from an offset on is gone.
    pub(super) fn truncate(&mut self, end: i64) {
        self.0.split_off(&end);
    }

    fn told(&self) -> Vec<RecentRecord> {
        let told = |(offset, (epoch, record)): (&i64, &(i32, Arc<MetadataRecord>))| RecentRecord {
            offset: *offset,
            epoch: *epoch,
            record: Arc::clone(record),
        };
        self.0.iter().map(told).collect()
    }
}

/// The last votes that were asked for, the newest last. A candidate that asks again for the same is one entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(VecDeque<VoteAnswer>);

impl Answers {
    pub(super) fn note(&mut self, answer: VoteAnswer) {
        let is_same = |old: &VoteAnswer| VoteAnswer { at: answer.at, ..*old } == answer;
        self.0.retain(|old| !is_same(old));
        if self.0.len() == ANSWERS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(answer);
    }
}

impl Quorum {
    /// Its own account of itself.
    pub fn snapshot(&self) -> QuorumSnapshot {
        let nominee = match &self.role {
            Role::Prospective(nominee) | Role::Candidate(nominee) => Some(nominee),
            _ => None,
        };
        let votes = |of: fn(&super::Nominee) -> Vec<BrokerId>| nominee.map(of).unwrap_or_default();
        QuorumSnapshot {
            role: self.quorum_role(),
            epoch: self.epoch(),
            leader: self.leader(),
            voted_for: self.election.voted_for.map(|key| key.broker),
            log_start: self.log.start(),
            log_end: self.log.end(),
            persisted_end: self.log.persisted_end(),
            high_watermark: self.high_watermark,
            epochs: self.log.newest_epochs(EPOCHS_MAX).to_vec(),
            snapshot_end: self.snapshots.last().map(|snapshot| snapshot.end_offset),
            voters: self.voters.current().keys().copied().collect(),
            votes_granted: votes(|nominee| nominee.granted.iter().copied().collect()),
            votes_refused: votes(|nominee| nominee.refused.iter().copied().collect()),
            failed_elections: self.failed_elections,
            answers: self.answers.0.iter().copied().collect(),
            requests: self.sent.values().map(|(to, sent)| (*to, request_of(*sent))).collect(),
            timer: self.election_timer(),
            recent: self.recent.told(),
            followers: match &self.role {
                Role::Leader(leader) => leader.followers(),
                _ => Vec::new(),
            },
        }
    }

    /// When it stands, gives up or resigns if nothing comes in between, and what that timer is called.
    fn election_timer(&self) -> Option<Wake> {
        let may_stand = self.is_voter && !self.is_stopping;
        match &self.role {
            Role::Unattached(unattached) => {
                may_stand.then_some(Wake { at: unattached.deadline, why: "election timeout" })
            }
            Role::Prospective(nominee) | Role::Candidate(nominee) => Some(nominee.timer()),
            Role::Follower(follower) => {
                let runs = may_stand && follower.fetch != Fetch::AwaitsPersist;
                runs.then_some(Wake { at: follower.deadline, why: "fetch timeout" })
            }
            Role::Leader(leader) => leader.silence(self.me, &self.voters, &self.settings),
            Role::Resigned(resigned) => may_stand.then_some(Wake { at: resigned.deadline, why: "election timeout" }),
        }
    }
}

fn request_of(sent: Sent) -> QuorumRequest {
    match sent {
        Sent::Vote { epoch, pre_vote } => QuorumRequest::Vote { epoch, is_pre_vote: pre_vote },
        Sent::Begin => QuorumRequest::Begin,
        Sent::End => QuorumRequest::End,
        Sent::Fetch { offset, .. } => QuorumRequest::Fetch { offset },
        Sent::Snapshot { .. } => QuorumRequest::Snapshot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(at_ms: u64, epoch: i32, refusal: Option<VoteRefusal>) -> VoteAnswer {
        VoteAnswer { at: Instant::from_millis(at_ms), epoch, candidate: BrokerId(2), is_pre_vote: true, refusal }
    }

    #[test]
    fn the_newest_records_are_kept_and_a_truncation_takes_its_own_away() {
        let mut recent = Recent::default();
        recent.note(0, 1, &vec![MetadataRecord::NoOp; 100]);
        let offsets = |recent: &Recent| recent.told().iter().map(|one| one.offset).collect::<Vec<_>>();
        assert_eq!(offsets(&recent), (68..100).collect::<Vec<_>>());
        recent.truncate(98);
        recent.note(98, 2, &[MetadataRecord::LeaderChange { leader: BrokerId(3), epoch: 2 }]);
        let last = recent.told().pop().expect("there is one");
        assert_eq!((last.offset, last.epoch), (98, 2));
        // Another leader wrote at the same offset.
        recent.note(97, 2, &[MetadataRecord::NoOp]);
        assert_eq!(recent.told()[29].epoch, 2);
    }

    #[test]
    fn a_candidate_that_asks_again_is_one_entry_and_the_ring_is_bounded() {
        let mut answers = Answers::default();
        answers.note(answer(10, 1, Some(VoteRefusal::HasLeader(BrokerId(1)))));
        answers.note(answer(20, 1, Some(VoteRefusal::HasLeader(BrokerId(1)))));
        answers.note(answer(30, 1, None));
        let times: Vec<u64> = answers.0.iter().map(|one| one.at.as_millis()).collect();
        assert_eq!(times, [20, 30]);
        (0..100).for_each(|epoch| answers.note(answer(40, epoch, None)));
        assert_eq!(answers.0.len(), ANSWERS_MAX);
    }
}

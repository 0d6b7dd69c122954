//! Who votes: the voters by the log (KIP-853). The latest record counts, committed or not, as in Raft's own changes
//! of membership; until there is one, the voters the cluster was made with.
//!
//! A voter is an id *and* a log directory. A broker whose disk was replaced has forgotten what it voted and stored,
//! so it is no voter until the leader has taken the old directory out and, once that is committed, put the new one in.
//! Never in one step: a majority with the new directory in it need not meet one with the old.
//!
//! Invariants: offsets of the changes rise; only one change is uncommitted at a time (the leader sees to it); a change
//! adds one voter or takes one away.
//!
//! Not here: voters of other ids. Which brokers may vote is fixed when the cluster is made.

use crate::engine::quorum::log::VoterChange;
use crate::protocol::ids::{BrokerId, DirectoryId};
use std::collections::BTreeMap;

/// The voters and their log directories.
pub type VoterSet = BTreeMap<BrokerId, DirectoryId>;

/// A voter or an observer: an id and a directory (Kafka's `ReplicaKey`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct ReplicaKey {
    pub(super) broker: BrokerId,
    pub(super) directory: DirectoryId,
}

/// Why the voters cannot change now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoterChangeError {
    /// Another broker leads, or nobody.
    #[error("this broker does not lead the quorum")]
    NotLeader,
    /// The leader has not committed a record of its own epoch yet, or the last change is not committed.
    #[error("the leader's own epoch or an earlier change of the voters is not committed yet")]
    NotCommitted,
    /// No voter has ever had this id.
    #[error("no voter has this id")]
    NoSuchVoter,
    /// The voter has this directory already.
    #[error("the voter has this directory already")]
    NoChange,
    /// The new directory has not fetched the whole log.
    #[error("the broker has not fetched the whole metadata log yet")]
    NotCaughtUp,
    /// The voters whose logs are intact are no majority: what they have may not be all that was committed.
    #[error("the voters with an intact log are no majority")]
    NoIntactMajority,
}

/// The voters over the length of the log.
#[derive(Debug, Clone)]
pub(super) struct VoterHistory {
    /// The voters where the log starts, and whether a record or snapshot has said so.
    base: VoterSet,
    base_is_recorded: bool,
    changes: Vec<VoterChange>,
}

impl VoterHistory {
    /// The voters the cluster was made with, or those of a snapshot, and the changes since.
    pub(super) fn new(initial: &VoterSet, snapshot: Option<&VoterSet>, changes: Vec<VoterChange>) -> VoterHistory {
        let recorded = snapshot.filter(|voters| !voters.is_empty());
        let base = recorded.unwrap_or(initial).clone();
        VoterHistory { base, base_is_recorded: recorded.is_some(), changes }
    }

    /// The voters now.
    pub(super) fn current(&self) -> &VoterSet {
        self.changes.last().map_or(&self.base, |change| &change.voters)
    }

    /// Whether the log or a snapshot names the voters.
    pub(super) fn is_recorded(&self) -> bool {
        self.base_is_recorded || !self.changes.is_empty()
    }

    /// Where the last change stands that the log still has.
    pub(super) fn last_change(&self) -> Option<i64> {
        self.changes.last().map(|change| change.offset)
    }

    /// Whether a replica votes: its id alone is not enough.
    pub(super) fn is_voter(&self, broker: BrokerId, directory: DirectoryId) -> bool {
        self.current().get(&broker) == Some(&directory)
    }

    /// How many voters are a majority.
    pub(super) fn majority(&self) -> usize {
        self.current().len() / 2 + 1
    }

    /// A change was appended.
    pub(super) fn push(&mut self, change: VoterChange) {
        assert!(self.last_change().is_none_or(|last| last < change.offset), "changes of the voters come in order");
        self.changes.push(change);
    }

    /// The log was truncated. Tells whether the voters are others now.
    pub(super) fn truncate(&mut self, end: i64) -> bool {
        let before = self.changes.len();
        self.changes.retain(|change| change.offset < end);
        before != self.changes.len()
    }

    /// The log was trimmed: what is below its start has become the base.
    pub(super) fn trim(&mut self, start: i64) {
        let kept = self.changes.partition_point(|change| change.offset < start);
        if let Some(last) = self.changes.drain(..kept).next_back() {
            self.base = last.voters;
            self.base_is_recorded = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn set(directories: &[u128]) -> VoterSet {
        (1..).map(BrokerId).zip(directories.iter().map(|d| DirectoryId(Uuid::from_u128(*d)))).collect()
    }

    #[test]
    fn the_latest_change_counts_until_it_is_truncated_and_a_trim_keeps_it() {
        let change = |offset, voters| VoterChange { offset, voters };
        let mut history = VoterHistory::new(&set(&[1, 2, 3]), Some(&VoterSet::new()), Vec::new());
        assert!(!history.is_recorded());
        history.push(change(1, set(&[1, 2, 3])));
        history.push(change(9, set(&[1, 2, 4])));
        assert!(!history.is_voter(BrokerId(3), DirectoryId(Uuid::from_u128(3))));
        assert!(history.truncate(9) && !history.truncate(9));
        assert_eq!(history.current(), &set(&[1, 2, 3]));
        history.push(change(9, set(&[1, 2, 5])));
        history.trim(20);
        assert_eq!((history.current(), history.last_change()), (&set(&[1, 2, 5]), None));
        assert!(history.is_recorded() && history.majority() == 2);
    }
}

//! Historical bugs, planted: each value brings one back, at the line where the rule lives that forbids it. A rule is proven by the
//! simulator's finding what breaks without it, and a demo can show the old rule beside the new.
//!
//! Invariants: without a mutant nothing here has any effect; one value, one rule; every value is in [`Mutant::ALL`], with what it breaks,
//! where it comes from and the checkers that are to find it.
//!
//! Deliberately out of reach of a live host: [`ClusterConfig::with_mutant`](crate::engine::config::ClusterConfig::with_mutant) is called by
//! the simulated world alone, and no setting has a name that leads here.

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each value's story is in the table below")]
pub enum Mutant {
    TruncateToHighWatermark,
    NoEpochComparison,
    NoEpochAtLeaderStart,
    EpochCacheNotTruncated,
    NoLeaderEpochFencing,
    LastFetchedEpochLost,
    TruncateToStart,
    DivergingPositionCounts,
    StaleBrokerEpochJoinsIsr,
    FencedReplicaJoinsIsr,
    JoinBelowEpochStart,
    JoinNotWaitedFor,
    ShrinkBeforeController,
    StaleAlterPartition,
    ProgressWiped,
    UncleanReplicaKeepsPlace,
    UncleanReplicaStaysEligible,
    EligibleReplicasNotCleared,
    LeaderOutsideIsr,
    AckBeforeIsr,
    DuplicateAckedAtOnce,
    HighWatermarkBelowMinIsr,
    FollowerHighWatermarkBeyondEnd,
    FollowerServesBeyondHighWatermark,
    FetchSessionLostUpdate,
    SequenceNotCheckedAfterFailover,
    ProducersNotRebuilt,
    ProducersLostAtRecovery,
    ProducerIdsGivenTwice,
    VoteNotPersisted,
    TwoVotesInAnEpoch,
    VoteForShorterLog,
    NoPreVote,
    FormerEpochCommitted,
    ControllerAnswersBeforeCommit,
    SyncedTooEarly,
    ReplayPastTornRecord,
    TornTailKept,
    WriteErrorIgnored,
    SyncNotAwaited,
    CompactionKeysCollide,
    CompactionBeyondHighWatermark,
    MarkersCompacted,
    OldGenerationCommits,
    OldGenerationCommitsInTransaction,
    AssignedBeforeRevoked,
    CommitAnsweredAtOnce,
    CoordinatorLoadsHalf,
    AbortedOffsetsCount,
    StagedOffsetWins,
    OffsetsMarkerAnsweredAtOnce,
    MarkerAnsweredAtOnce,
    MarkerRepetitionRefused,
    PreparedForgotten,
    DelayedEndEndsNext,
    FencedEpochAccepted,
    StableBeyondOpenTransaction,
}

/// What is to be known of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Story {
    /// Which.
    pub mutant: Mutant,
    /// Its name on the command line.
    pub name: &'static str,
    /// The rule that it breaks, and how.
    pub breaks: &'static str,
    /// Where the rule or the bug comes from.
    pub source: &'static str,
    /// The checkers that ought to find it; any of them will do.
    pub checkers: &'static [&'static str],
}

impl Mutant {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Mutant> {
        STORIES.iter().map(|story| story.mutant)
    }

    /// The mutant of a name.
    pub fn by_name(name: &str) -> Option<Mutant> {
        STORIES.iter().find(|story| story.name == name).map(|story| story.mutant)
    }

    /// Its story.
    pub fn story(self) -> &'static Story {
        STORIES.iter().find(|story| story.mutant == self).expect("every mutant has a story")
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.story().name
    }
}

const fn story(
    mutant: Mutant,
    name: &'static str,
    breaks: &'static str,
    source: &'static str,
    checkers: &'static [&'static str],
) -> Story {
    Story { mutant, name, breaks, source, checkers }
}

/// All stories: replication, ISR, acknowledgement and reading, producers, quorum and controller, storage, groups, transactions.
pub const STORIES: &[Story] = &[
    story(
        Mutant::TruncateToHighWatermark,
        "truncate-to-high-watermark",
        "a new follower cuts its log to its own high watermark, which lags behind what was acknowledged",
        "KIP-101, KAFKA-1211",
        &["LeaderCandidateCompleteness"],
    ),
    story(
        Mutant::NoEpochComparison,
        "no-epoch-comparison",
        "a follower cuts to where the leader's next epoch begins and does not look whether it has that epoch itself",
        "KIP-279, KAFKA-6361",
        &["LogMatching", "StrongIsr", "EpochCacheMatchesLog"],
    ),
    story(
        Mutant::NoEpochAtLeaderStart,
        "no-epoch-at-leader-start",
        "a leader enters its epoch in the log only with its first record",
        "KAFKA-7415",
        &["EpochCacheMatchesLog"],
    ),
    story(
        Mutant::EpochCacheNotTruncated,
        "epoch-cache-not-truncated",
        "a cut that removes no record leaves the epochs as they are, and the follower never gets on",
        "KAFKA-10706",
        &["Liveness"],
    ),
    story(
        Mutant::NoLeaderEpochFencing,
        "no-leader-epoch-fencing",
        "a leader takes positions that were told in another leader epoch, and does not compare the logs",
        "KIP-320, KAFKA-6880",
        &["StrongIsr", "LogMatching", "LeaderCandidateCompleteness"],
    ),
    story(
        Mutant::LastFetchedEpochLost,
        "last-fetched-epoch-lost",
        "a follower tells the epoch of its last record only with the first fetch of a session",
        "KAFKA-15510",
        &["LogMatching", "StrongIsr"],
    ),
    story(
        Mutant::TruncateToStart,
        "truncate-to-start",
        "a follower whose log differs from the leader's begins anew at the log start",
        "KAFKA-2143",
        &["LeaderCandidateCompleteness"],
    ),
    story(
        Mutant::DivergingPositionCounts,
        "diverging-position-counts",
        "a leader counts a follower's position although their logs differ before it",
        "KIP-595 (Partition.fetchRecords)",
        &["StrongIsr", "LeaderCompleteness"],
    ),
    story(
        Mutant::StaleBrokerEpochJoinsIsr,
        "stale-broker-epoch-joins-isr",
        "a follower that came back without its last records joins the ISR by what it had told in its life before",
        "KIP-903",
        &["StrongIsr", "LeaderCandidateCompleteness"],
    ),
    story(
        Mutant::FencedReplicaJoinsIsr,
        "fenced-replica-joins-isr",
        "a fenced follower that still fetches is taken back into the ISR",
        "KIP-841",
        &["ValidIsrAndElr"],
    ),
    story(
        Mutant::JoinBelowEpochStart,
        "join-below-epoch-start",
        "a follower joins the ISR at the new leader's stale high watermark, before it has reached the epoch's start",
        "KAFKA-7128 (Partition.isFollowerInSync)",
        &["StrongIsr", "LeaderCandidateCompleteness"],
    ),
    story(
        Mutant::JoinNotWaitedFor,
        "join-not-waited-for",
        "the high watermark does not wait for a replica that is about to join the ISR",
        "KIP-497 (maximal ISR)",
        &["ReplicationQuorumSuperset"],
    ),
    story(
        Mutant::ShrinkBeforeController,
        "shrink-before-controller",
        "a leader goes on without a member of the ISR before the controller has agreed",
        "KIP-497 (maximal ISR)",
        &["ReplicationQuorumSuperset"],
    ),
    story(
        Mutant::StaleAlterPartition,
        "stale-alter-partition",
        "the controller takes a change of the ISR from a leader of an older epoch",
        "KIP-497 (ReplicationControlManager.validateAlterPartitionData)",
        &["LeaderInIsr", "ReplicationQuorumSuperset", "LeaderCompleteness"],
    ),
    story(
        Mutant::ProgressWiped,
        "progress-wiped",
        "a leader forgets how far its followers are with every change of the ISR",
        "Crabka #308",
        &["Liveness"],
    ),
    story(
        Mutant::UncleanReplicaKeepsPlace,
        "unclean-replica-keeps-place",
        "a broker that comes back after an unclean stop keeps its places in ISR and ELR",
        "KIP-966, KAFKA-14139",
        &["ValidIsrAndElr"],
    ),
    story(
        Mutant::UncleanReplicaStaysEligible,
        "unclean-replica-stays-eligible",
        "a broker that comes back after an unclean stop leaves the ISR, but not the ELR",
        "KAFKA-18106",
        &["ValidIsrAndElr"],
    ),
    story(
        Mutant::EligibleReplicasNotCleared,
        "eligible-replicas-not-cleared",
        "the ELR is not emptied when the ISR is large enough again",
        "KIP-966, KAFKA-18635",
        &["ValidIsrAndElr"],
    ),
    story(
        Mutant::LeaderOutsideIsr,
        "leader-outside-isr",
        "with no member of ISR or ELR there, any replica is made the leader though nobody allowed it",
        "KIP-106, KAFKA-1211",
        &["LeaderCompleteness"],
    ),
    story(
        Mutant::AckBeforeIsr,
        "ack-before-isr",
        "acks=all is answered when the leader alone has the records",
        "KIP-679 (Partition.checkEnoughReplicasReachOffset)",
        &["NoCommittedRecordLost"],
    ),
    story(
        Mutant::DuplicateAckedAtOnce,
        "duplicate-acked-at-once",
        "a batch that is there already is acknowledged at once, replicated or not",
        "KIP-98 (ReplicaManager.appendRecords)",
        &["NoCommittedRecordLost"],
    ),
    story(
        Mutant::HighWatermarkBelowMinIsr,
        "high-watermark-below-min-isr",
        "the high watermark moves on while fewer replicas than min.insync.replicas are in sync",
        "KIP-966 (strict min ISR)",
        &["LeaderCandidateCompleteness", "LeaderCompleteness"],
    ),
    story(
        Mutant::FollowerHighWatermarkBeyondEnd,
        "follower-high-watermark-beyond-end",
        "a follower takes the leader's high watermark even beyond its own log end",
        "KAFKA-5634 (UnifiedLog.updateHighWatermark)",
        &["HighWatermarkMonotonic"],
    ),
    story(
        Mutant::FollowerServesBeyondHighWatermark,
        "follower-serves-beyond-high-watermark",
        "a follower gives consumers what is not committed yet",
        "KIP-392",
        &["ConsistentRead"],
    ),
    story(
        Mutant::FetchSessionLostUpdate,
        "fetch-session-lost-update",
        "records that come while no request of the follower waits are never offered to its session",
        "KIP-227, KAFKA-8950",
        &["Liveness"],
    ),
    story(
        Mutant::SequenceNotCheckedAfterFailover,
        "sequence-not-checked-after-failover",
        "a new leader takes a producer's first batch as it comes: a batch that is repeated is there twice",
        "KIP-98, librdkafka#4953",
        &["IdempotentAppend"],
    ),
    story(
        Mutant::ProducersNotRebuilt,
        "producers-not-rebuilt",
        "after a cut a log still believes in the batches that are gone, and acknowledges their repetition",
        "KAFKA-7190 (ProducerStateManager.truncateAndReload)",
        &["ReplayEqualsLive"],
    ),
    story(
        Mutant::ProducersLostAtRecovery,
        "producers-lost-at-recovery",
        "a broker that starts does not rebuild what it knew of producers from its log",
        "KIP-98, librdkafka#3584",
        &["ReplayEqualsLive"],
    ),
    story(
        Mutant::ProducerIdsGivenTwice,
        "producer-ids-given-twice",
        "the controller does not write down which producer ids it has given away",
        "KIP-730",
        &["IdempotentAppend"],
    ),
    story(
        Mutant::VoteNotPersisted,
        "vote-not-persisted",
        "a vote is answered and forgotten by a restart",
        "Raft §5.2 (QuorumStateStore)",
        &["ElectionSafety"],
    ),
    story(
        Mutant::TwoVotesInAnEpoch,
        "two-votes-in-an-epoch",
        "a voter grants every candidate of an epoch its vote",
        "Raft §5.2",
        &["ElectionSafety"],
    ),
    story(
        Mutant::VoteForShorterLog,
        "vote-for-shorter-log",
        "a voter does not compare its log with the candidate's",
        "Raft §5.4.1",
        &["MetadataLeaderCompleteness"],
    ),
    story(
        Mutant::NoPreVote,
        "no-pre-vote",
        "a voter that misses its leader raises the epoch without asking whether others miss it too",
        "KIP-996",
        &["NoDisruptiveCandidate"],
    ),
    story(
        Mutant::FormerEpochCommitted,
        "former-epoch-committed",
        "a leader of the quorum commits records of former epochs by counting replicas",
        "Raft §5.4.2, KAFKA-16248",
        &["CommitInOwnEpoch"],
    ),
    story(
        Mutant::ControllerAnswersBeforeCommit,
        "controller-answers-before-commit",
        "the controller answers before its decision is committed",
        "KIP-631 (ControllerPurgatory)",
        &["ReplicationQuorumSuperset", "StrongIsr", "LeaderInIsr"],
    ),
    story(
        Mutant::SyncedTooEarly,
        "synced-too-early",
        "what has been written counts as safe before the store says so",
        "KAFKA-16541, KIP-966",
        &["LeaderCompleteness", "LeaderCandidateCompleteness", "StrongIsr"],
    ),
    story(
        Mutant::ReplayPastTornRecord,
        "replay-past-torn-record",
        "after a crash what follows a torn record is read as if nothing were missing",
        "ARIES; KAFKA-3919 (log recovery stops at the first invalid batch)",
        &["LogMatching", "StrongIsr", "LeaderCandidateCompleteness"],
    ),
    story(
        Mutant::TornTailKept,
        "torn-tail-kept",
        "after a crash a batch of which only the header was written counts: its offsets are there, its records are not",
        "KAFKA-3919 (LogSegment.recover truncates at the first invalid batch)",
        &["LogMatching", "StrongIsr", "LeaderCandidateCompleteness", "LeaderCompleteness"],
    ),
    story(
        Mutant::WriteErrorIgnored,
        "write-error-ignored",
        "a write that the disk refused is told to be safe, and the broker goes on without it",
        "KIP-112 (LogDirFailureChannel), fsyncgate",
        &["LogMatching", "StrongIsr", "LeaderCandidateCompleteness", "LeaderCompleteness"],
    ),
    story(
        Mutant::SyncNotAwaited,
        "sync-not-awaited",
        "what has to survive a loss of power counts as safe once it is written, before it is synced",
        "Raft §5.2 (QuorumStateStore, KafkaRaftLog.flush)",
        &["ElectionSafety", "MetadataLeaderCompleteness", "MetadataPrefix"],
    ),
    story(
        Mutant::CompactionKeysCollide,
        "compaction-keys-collide",
        "compaction takes two keys for one if a short hash of them is the same, and drops the last record of one",
        "LogCleaner (SkimpyOffsetMap)",
        &["CompactionKeepsLast"],
    ),
    story(
        Mutant::CompactionBeyondHighWatermark,
        "compaction-beyond-high-watermark",
        "compaction lets a record that is not committed yet replace one that is",
        "LogCleanerManager.cleanableOffsets",
        &["CompactionKeepsLast"],
    ),
    story(
        Mutant::MarkersCompacted,
        "markers-compacted",
        "compaction takes a producer's markers for records of one key and keeps the last: offsets that were committed are no longer",
        "redpanda#5163",
        &["ReplayEqualsLive", "CommittedOffsetNeverRegresses", "ExactlyOnce"],
    ),
    story(
        Mutant::OldGenerationCommits,
        "old-generation-commits",
        "a coordinator takes commits of members that are not in its group any more, or in an older generation",
        "KIP-62 (ClassicGroup.validateOffsetCommit)",
        &["CommittedOffsetNeverRegresses"],
    ),
    story(
        Mutant::OldGenerationCommitsInTransaction,
        "old-generation-commits-in-transaction",
        "a coordinator takes offsets within a transaction from members that its group went on without",
        "KIP-447 (ClassicGroup.validateOffsetCommit)",
        &["ExactlyOnce", "CommittedOffsetNeverRegresses"],
    ),
    story(
        Mutant::AssignedBeforeRevoked,
        "assigned-before-revoked",
        "a partition is given to its next member before the last one has given it back",
        "KIP-848 (CurrentAssignmentBuilder)",
        &["OneOwnerPerPartition"],
    ),
    story(
        Mutant::CommitAnsweredAtOnce,
        "commit-answered-at-once",
        "a group coordinator answers when it alone has the records",
        "KIP-848 (CoordinatorRuntime)",
        &["CommittedOffsetNeverRegresses", "OneOwnerPerPartition"],
    ),
    story(
        Mutant::CoordinatorLoadsHalf,
        "coordinator-loads-half",
        "a group coordinator works with half of its partition read",
        "KAFKA-5600 (CoordinatorLoaderImpl)",
        &["ReplayEqualsLive"],
    ),
    story(
        Mutant::AbortedOffsetsCount,
        "aborted-offsets-count",
        "offsets of a transaction come into force although it was aborted",
        "KIP-98 (OffsetMetadataManager.completePendingTransactionalOffsets)",
        &["ReplayEqualsLive", "ExactlyOnce", "CommittedOffsetNeverRegresses"],
    ),
    story(
        Mutant::StagedOffsetWins,
        "staged-offset-wins",
        "an offset within a transaction counts when that commits although a plain commit came after it; once loaded anew it does not",
        "redpanda#31483 (OffsetMetadataManager)",
        &["ReplayEqualsLive"],
    ),
    story(
        Mutant::OffsetsMarkerAnsweredAtOnce,
        "offsets-marker-answered-at-once",
        "the marker of a transaction with offsets is answered before those are in force, and whether they come to be",
        "KAFKA-17507",
        &["NoHangingTransaction", "CommittedOffsetNeverRegresses", "ExactlyOnce"],
    ),
    story(
        Mutant::MarkerAnsweredAtOnce,
        "marker-answered-at-once",
        "a marker counts as written when the leader alone has it, and an election drops it",
        "KAFKA-20716",
        &["NoHangingTransaction", "TransfersBalance", "ReadCommitted"],
    ),
    story(
        Mutant::MarkerRepetitionRefused,
        "marker-repetition-refused",
        "a marker that is written again is refused, and its coordinator sends it for ever",
        "KAFKA-19999",
        &["NoHangingTransaction"],
    ),
    story(
        Mutant::PreparedForgotten,
        "prepared-forgotten",
        "a coordinator that takes over does not write the markers that its predecessor owed",
        "KIP-98 (TransactionStateManager.loadTransactionsForTxnTopicPartition)",
        &["NoHangingTransaction"],
    ),
    story(
        Mutant::DelayedEndEndsNext,
        "delayed-end-ends-next",
        "an EndTxn of an epoch that is over ends the transaction that is open now",
        "KAFKA-17754, KIP-890",
        &["TransfersBalance", "ReadCommitted", "ExactlyOnce"],
    ),
    story(
        Mutant::FencedEpochAccepted,
        "fenced-epoch-accepted",
        "coordinator and leaders take records of a producer epoch that is over",
        "KIP-98, KIP-360",
        &["TransfersBalance", "ReadCommitted", "IdempotentAppend"],
    ),
    story(
        Mutant::StableBeyondOpenTransaction,
        "stable-beyond-open-transaction",
        "readers of committed records are given what belongs to open transactions",
        "KIP-98 (UnifiedLog.fetchLastStableOffsetMetadata)",
        &["ReadCommitted"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_mutant_has_one_story_and_a_name_of_its_own() {
        // The last value of the enum: a value that is added after it without a story is seen here.
        let count = Mutant::StableBeyondOpenTransaction as usize + 1;
        let mutants: BTreeSet<Mutant> = Mutant::all().collect();
        let names: BTreeSet<&str> = STORIES.iter().map(|story| story.name).collect();
        assert_eq!((mutants.len(), names.len(), STORIES.len()), (count, count, count));
        for mutant in Mutant::all() {
            assert_eq!(Mutant::by_name(mutant.name()), Some(mutant));
            assert!(!mutant.story().checkers.is_empty(), "{} has no checker", mutant.name());
        }
    }
}

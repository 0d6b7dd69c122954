//! What a broker tells about itself: events (facts and progress) as they happen, and snapshots when asked. The engine does not know
//! who listens. Events animate; snapshots tell the truth.

use crate::engine::controller::image::MetadataImage;
use crate::engine::group::snapshot::GroupSnapshot;
use crate::engine::io::Wake;
use crate::engine::log::{Cleaned, ProducerSummary};
use crate::engine::quorum::{QuorumRequest, RecentRecord, VoteAnswer};
use crate::engine::time::Instant;
use crate::engine::txn::snapshot::TransactionSnapshot;
use crate::protocol::ids::{BrokerId, LogId, PartitionId};
use std::sync::Arc;

pub use crate::protocol::peer::EventId;

/// Something that happened on a broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Names it.
    pub id: EventId,
    /// What caused it, if known.
    pub cause: Option<EventId>,
    /// When, in the broker's time.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
}

/// The roles of KRaft (Kafka's `QuorumState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Kafka's own")]
pub enum QuorumRole {
    Unattached,
    Prospective,
    Candidate,
    Follower,
    Observer,
    Leader,
    Resigned,
}

/// Why a log lost its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TruncationReason {
    /// The leader said where the logs diverge (KIP-595, KIP-279).
    DivergingEpoch,
    /// The log ends behind the leader's start: begun anew there.
    OutOfRange,
    /// A metadata snapshot took its place.
    Snapshot,
}

/// Why the controller chose a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionReason {
    /// The partition is new.
    Created,
    /// The leader was fenced, stopped or removed, and an in-sync replica took over.
    InSync,
    /// The ISR was empty, and an eligible leader replica took over (KIP-966).
    EligibleLeaderReplica,
    /// ISR and ELR were empty, and the last known leader came back.
    LastKnownLeader,
    /// The preferred leader was put back.
    Preferred,
    /// A replica that was not in sync took over: acknowledged records may be lost.
    Unclean,
    /// The replicas were reassigned.
    Reassignment,
    /// Nobody can lead.
    NoneEligible,
}

/// Everything that is told. Facts are rare and never dropped; progress may be coalesced.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are named for what they hold")]
pub enum EventKind {
    /// The broker recovered its store and runs.
    Started { was_clean: bool },
    /// The broker's registration was accepted.
    Registered { broker_epoch: i64 },
    /// Seen by the controller: a broker was fenced.
    BrokerFenced { broker: BrokerId },
    /// Seen by the controller: a broker was unfenced.
    BrokerUnfenced { broker: BrokerId },
    /// The broker began a controlled shutdown.
    ShutdownBegan,
    /// The broker's part in the metadata quorum changed.
    QuorumRole { from: QuorumRole, to: QuorumRole, epoch: i32, leader: Option<BrokerId>, why: &'static str },
    /// The broker gave its vote.
    Voted { epoch: i32, candidate: BrokerId },
    /// Metadata is committed up to here, on the leader.
    MetadataCommitted { offset: i64 },
    /// A metadata snapshot was written.
    SnapshotWritten { end_offset: i64 },
    /// A metadata snapshot was loaded.
    SnapshotLoaded { end_offset: i64 },
    /// The voters of the quorum changed.
    VotersChanged { voters: Vec<BrokerId> },
    /// Decided by the controller: who leads.
    LeaderElected { partition: PartitionId, leader: Option<BrokerId>, leader_epoch: i32, reason: ElectionReason },
    /// Decided by the controller: who is in sync.
    IsrChanged { partition: PartitionId, isr: Vec<BrokerId>, elr: Vec<BrokerId>, shrunk: bool },
    /// Decided by the controller.
    TopicCreated { topic: String, partitions: i32 },
    /// Decided by the controller.
    TopicDeleted { topic: String },
    /// Decided by the controller.
    ReassignmentDone { partition: PartitionId, replicas: Vec<BrokerId> },
    /// This broker leads a partition now.
    BecameLeader { partition: PartitionId, leader_epoch: i32, log_end: i64, high_watermark: i64 },
    /// This broker follows in a partition now.
    BecameFollower { partition: PartitionId, leader_epoch: i32, leader: Option<BrokerId> },
    /// A log lost its end.
    Truncated { partition: PartitionId, from: i64, to: i64, reason: TruncationReason },
    /// The log's beginning moved (retention, DeleteRecords).
    LogStartMoved { partition: PartitionId, to: i64 },
    /// A log was compacted up to an offset.
    LogCleaned { partition: PartitionId, end: i64, done: Cleaned },
    /// The broker refused writes because too few replicas are in sync.
    NotEnoughReplicas { partition: PartitionId },
    /// A leader wrote records (progress).
    Appended {
        partition: PartitionId,
        leader_epoch: i32,
        first: i64,
        last: i64,
        producer_id: i64,
        producer_epoch: i16,
        base_sequence: i32,
    },
    /// A leader's high watermark moved (progress).
    HighWatermark { partition: PartitionId, leader_epoch: i32, offset: i64 },
    /// Something in a group, or in its coordinator here.
    Group(GroupEvent),
    /// Something in a transaction, or in its coordinator here.
    Transaction(TransactionEvent),
    /// The store failed: the broker goes offline.
    StorageFailed { reason: String },
}

/// What happens in groups, told by their coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named for what they hold")]
pub enum GroupEvent {
    /// This broker coordinates the groups of a partition of `__consumer_offsets` now.
    CoordinatorLoaded { partition: PartitionId, groups: usize },
    /// It does so no more.
    CoordinatorUnloaded { partition: PartitionId },
    /// Everybody is to join again; the generation is the one that ends.
    Rebalancing { group: String, generation: i32, cause: String },
    /// Everybody has an assignment.
    Stable { group: String, generation: i32, members: usize },
    /// The last member has gone.
    Empty { group: String, generation: i32 },
    /// An administrator deleted it.
    Deleted { group: String },
}

/// What happens in transactions, told by their coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named for what they hold")]
pub enum TransactionEvent {
    /// This broker coordinates the transactions of a partition of `__transaction_state` now.
    CoordinatorLoaded { partition: PartitionId, transactions: usize },
    /// It does so no more.
    CoordinatorUnloaded { partition: PartitionId },
    /// It is committed how one ends; markers are written (progress).
    Ending { transactional_id: String, commits: bool },
    /// All markers are written (progress).
    Ended { transactional_id: String, commits: bool },
    /// It was open too long, and is aborted.
    TimedOut { transactional_id: String },
}

impl EventKind {
    /// Facts are never dropped; progress is coalesced.
    pub fn is_fact(&self) -> bool {
        !matches!(
            self,
            EventKind::Appended { .. }
                | EventKind::HighWatermark { .. }
                | EventKind::MetadataCommitted { .. }
                | EventKind::Transaction(TransactionEvent::Ending { .. } | TransactionEvent::Ended { .. })
        )
    }
}

/// What a snapshot is to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The partitions wanted; `None` for all.
    pub partitions: Option<Vec<PartitionId>>,
    /// The one log to look into.
    pub inside: Option<Stretch>,
}

/// A stretch of a log that somebody looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Of which partition.
    pub partition: PartitionId,
    /// The first offset.
    pub from: i64,
    /// The offset after the last.
    pub to: i64,
}

/// A broker's own account of itself.
#[derive(Debug, Clone)]
pub struct BrokerSnapshot {
    /// Who.
    pub broker: BrokerId,
    /// When, in its time.
    pub at: Instant,
    /// Its registration.
    pub broker_epoch: Option<i64>,
    /// Whether it believes to be fenced.
    pub is_fenced: bool,
    /// Whether it is handing over in a controlled shutdown.
    pub is_shutting_down: bool,
    /// Its part in the quorum.
    pub quorum: QuorumSnapshot,
    /// The metadata as far as it has applied it.
    pub image: Arc<MetadataImage>,
    /// Bytes taken in from clients since its start.
    pub bytes_in: u64,
    /// Bytes given to clients since its start.
    pub bytes_out: u64,
    /// Its replicas within the scope.
    pub replicas: Vec<ReplicaSnapshot>,
    /// What is inside the one log of [`Scope::inside`], if it has a replica of it.
    pub inside: Option<Inside>,
    /// The groups that it coordinates.
    pub groups: Vec<GroupSnapshot>,
    /// The transactional ids that it coordinates.
    pub transactions: Vec<TransactionSnapshot>,
    /// Requests that wait for something.
    pub parked_requests: usize,
    /// What it waits for next.
    pub next_wake: Option<Wake>,
}

/// A broker's part in the metadata quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumSnapshot {
    /// Its role.
    pub role: QuorumRole,
    /// Its epoch.
    pub epoch: i32,
    /// The leader it knows.
    pub leader: Option<BrokerId>,
    /// Whom it voted for in this epoch.
    pub voted_for: Option<BrokerId>,
    /// The start of its metadata log.
    pub log_start: i64,
    /// The end of its metadata log.
    pub log_end: i64,
    /// The offset up to which it is on the disk.
    pub persisted_end: i64,
    /// The high watermark it knows.
    pub high_watermark: i64,
    /// The newest leader epochs in its log, each with its first offset.
    pub epochs: Vec<(i32, i64)>,
    /// The end of its latest snapshot of the metadata.
    pub snapshot_end: Option<i64>,
    /// The voters, by its own log.
    pub voters: Vec<BrokerId>,
    /// The votes it has as a candidate.
    pub votes_granted: Vec<BrokerId>,
    /// The votes that were refused it as a candidate.
    pub votes_refused: Vec<BrokerId>,
    /// Candidacies in a row that came to nothing.
    pub failed_elections: u32,
    /// The last votes that it was asked for, the newest last.
    pub answers: Vec<VoteAnswer>,
    /// What it has asked of others and waits for.
    pub requests: Vec<(BrokerId, QuorumRequest)>,
    /// When it stands, gives up or resigns if nothing comes in between.
    pub timer: Option<Wake>,
    /// The newest records it knows: as a leader all, else those that are committed. In order of offset.
    pub recent: Vec<RecentRecord>,
    /// As a leader: each voter's and observer's fetched log end and the time of its last fetch.
    pub followers: Vec<(BrokerId, i64, Instant)>,
}

/// What a replica does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplicaRole {
    /// Leads.
    Leader,
    /// Follows and fetches.
    Follower,
    /// Follows and is cutting its log.
    Truncating,
    /// Has no leader to fetch from.
    Idle,
}

/// One replica on one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSnapshot {
    /// Of which partition.
    pub partition: PartitionId,
    /// Its log.
    pub log: LogId,
    /// What it does.
    pub role: ReplicaRole,
    /// The leader epoch it is in.
    pub leader_epoch: i32,
    /// The first offset.
    pub log_start: i64,
    /// The offset after the last record.
    pub log_end: i64,
    /// The offset up to which it is as safe as the durability mode promises.
    pub persisted_end: i64,
    /// Its high watermark.
    pub high_watermark: i64,
    /// Where readers of committed transactions stop.
    pub last_stable_offset: i64,
    /// Bytes in the log.
    pub size_bytes: u64,
    /// As a leader: the ISR as the controller has it.
    pub isr: Vec<BrokerId>,
    /// As a leader: ISR and additions under way (Kafka's maximal ISR).
    pub maximal_isr: Vec<BrokerId>,
    /// As a leader: since when the high watermark has not moved although there are records beyond it.
    pub stalled_since: Option<Instant>,
}

/// What is inside one replica's log: what tells two logs apart, without a look at any record. Bounded, whatever the log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// Of which partition.
    pub partition: PartitionId,
    /// Where readers of committed transactions stop.
    pub last_stable_offset: i64,
    /// The first batches of the stretch that was asked for, in order.
    pub batches: Vec<BatchHead>,
    /// The last leader epochs with where each begins, in order.
    pub epochs: Vec<(i32, i64)>,
    /// Producers: those with an open transaction, then those that wrote last.
    pub producers: Vec<ProducerInside>,
    /// How many producers the log knows.
    pub producer_count: usize,
}

/// A batch, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHead {
    /// The first offset.
    pub base_offset: i64,
    /// The last offset.
    pub last_offset: i64,
    /// The epoch of the leader that took it.
    pub leader_epoch: i32,
    /// Records in it.
    pub records: i32,
    /// Its size.
    pub size_bytes: u64,
    /// The idempotent producer, or −1.
    pub producer_id: i64,
    /// Its first sequence number, or −1.
    pub base_sequence: i32,
    /// Whether it is part of a transaction.
    pub is_transactional: bool,
    /// Whether it is a marker of a transaction's end.
    pub is_control: bool,
}

/// A producer as a log knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerInside {
    /// What is known of it.
    pub summary: ProducerSummary,
    /// The offset of its last record.
    pub last_offset: Option<i64>,
}

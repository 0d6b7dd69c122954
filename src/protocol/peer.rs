//! What brokers say to each other: typed messages, never encoded between the brokers of one process. They mirror
//! Kafka's inter-broker and quorum APIs (the same fields, the same errors); the Wire view shows them under Kafka's
//! names.

use crate::protocol::batch::Batch;
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, DirectoryId, EpochEnd, LeaderHint, PartitionId};
use std::sync::Arc;

/// Names the event that caused something: the broker it happened on and its number there. Hosts (commands, links) use
/// [`EventId::HOST`] as the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Where it happened.
    pub broker: BrokerId,
    /// Its number there, from 1.
    pub seq: u64,
}

impl EventId {
    /// The "broker" of events that a host adds.
    pub const HOST: BrokerId = BrokerId(0);
}

/// One message between two brokers.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerMessage {
    /// Pairs a response with its request: chosen by the one who asks, unique on that broker for its life.
    pub correlation_id: u64,
    /// What caused it.
    pub cause: Option<EventId>,
    /// What it says.
    pub body: PeerBody,
}

/// Question or answer.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerBody {
    /// A question.
    Request(PeerRequest),
    /// The answer to one.
    Response(PeerResponse),
}

/// What a broker may ask another.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerRequest {
    /// Vote (key 52, with KIP-996's pre-vote).
    Vote(VoteRequest),
    /// BeginQuorumEpoch (key 53).
    BeginQuorumEpoch(BeginQuorumEpochRequest),
    /// EndQuorumEpoch (key 54).
    EndQuorumEpoch(EndQuorumEpochRequest),
    /// Fetch (key 1) on the metadata log.
    QuorumFetch(QuorumFetchRequest),
    /// FetchSnapshot (key 59).
    FetchSnapshot(FetchSnapshotRequest),
    /// BrokerRegistration (key 62).
    RegisterBroker(RegisterBrokerRequest),
    /// BrokerHeartbeat (key 63).
    BrokerHeartbeat(BrokerHeartbeatRequest),
    /// AlterPartition (key 56).
    AlterPartition(AlterPartitionRequest),
    /// AllocateProducerIds (key 67).
    AllocateProducerIds(AllocateProducerIdsRequest),
    /// A client's admin request passed on to the active controller (Envelope, key 58).
    Forward(Box<ForwardRequest>),
    /// Fetch (key 1) of partitions' replicas.
    ReplicaFetch(ReplicaFetchRequest),
    /// AddPartitionsToTxn (key 24) of a leader.
    AddPartitionsToTxn(AddPartitionsToTxnRequest),
    /// WriteTxnMarkers (key 27).
    WriteTxnMarkers(WriteTxnMarkersRequest),
}

/// What a broker may answer.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each is the answer to the request of the same name")]
pub enum PeerResponse {
    Vote(VoteResponse),
    BeginQuorumEpoch(QuorumEpochResponse),
    EndQuorumEpoch(QuorumEpochResponse),
    QuorumFetch(QuorumFetchResponse),
    FetchSnapshot(FetchSnapshotResponse),
    RegisterBroker(RegisterBrokerResponse),
    BrokerHeartbeat(BrokerHeartbeatResponse),
    AlterPartition(AlterPartitionResponse),
    AllocateProducerIds(AllocateProducerIdsResponse),
    Forward(ForwardResponse),
    ReplicaFetch(ReplicaFetchResponse),
    AddPartitionsToTxn(AddPartitionsToTxnResponse),
    WriteTxnMarkers(WriteTxnMarkersResponse),
}

impl PeerRequest {
    /// The name of Kafka's API, for traces, faults ("drop next RESPONSE of API") and the screen.
    pub fn api_name(&self) -> &'static str {
        match self {
            PeerRequest::Vote(_) => "Vote",
            PeerRequest::BeginQuorumEpoch(_) => "BeginQuorumEpoch",
            PeerRequest::EndQuorumEpoch(_) => "EndQuorumEpoch",
            PeerRequest::QuorumFetch(_) => "QuorumFetch",
            PeerRequest::FetchSnapshot(_) => "FetchSnapshot",
            PeerRequest::RegisterBroker(_) => "BrokerRegistration",
            PeerRequest::BrokerHeartbeat(_) => "BrokerHeartbeat",
            PeerRequest::AlterPartition(_) => "AlterPartition",
            PeerRequest::AllocateProducerIds(_) => "AllocateProducerIds",
            PeerRequest::Forward(_) => "Forward",
            PeerRequest::ReplicaFetch(_) => "Fetch",
            PeerRequest::AddPartitionsToTxn(_) => "AddPartitionsToTxn",
            PeerRequest::WriteTxnMarkers(_) => "WriteTxnMarkers",
        }
    }
}

impl PeerResponse {
    /// The name of Kafka's API.
    pub fn api_name(&self) -> &'static str {
        match self {
            PeerResponse::Vote(_) => "Vote",
            PeerResponse::BeginQuorumEpoch(_) => "BeginQuorumEpoch",
            PeerResponse::EndQuorumEpoch(_) => "EndQuorumEpoch",
            PeerResponse::QuorumFetch(_) => "QuorumFetch",
            PeerResponse::FetchSnapshot(_) => "FetchSnapshot",
            PeerResponse::RegisterBroker(_) => "BrokerRegistration",
            PeerResponse::BrokerHeartbeat(_) => "BrokerHeartbeat",
            PeerResponse::AlterPartition(_) => "AlterPartition",
            PeerResponse::AllocateProducerIds(_) => "AllocateProducerIds",
            PeerResponse::Forward(_) => "Forward",
            PeerResponse::ReplicaFetch(_) => "Fetch",
            PeerResponse::AddPartitionsToTxn(_) => "AddPartitionsToTxn",
            PeerResponse::WriteTxnMarkers(_) => "WriteTxnMarkers",
        }
    }
}

/// Asks for a vote in an epoch, or (pre-vote) whether one would be given.
#[derive(Debug, Clone, PartialEq)]
pub struct VoteRequest {
    /// The epoch to vote in; with `pre_vote` the epoch the asker is in.
    pub epoch: i32,
    /// Who asks.
    pub candidate: BrokerId,
    /// Its log directory (KIP-853: a voter is an id and a directory).
    pub candidate_directory: DirectoryId,
    /// The directory of the voter that is asked, if the asker knows it.
    pub voter_directory: Option<DirectoryId>,
    /// The epoch of the last record in the asker's metadata log.
    pub last_epoch: i32,
    /// The end of the asker's metadata log.
    pub last_epoch_end_offset: i64,
    /// A question only: nothing is promised by the answer.
    pub pre_vote: bool,
}

/// Answers [`VoteRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct VoteResponse {
    /// `None`, or why it cannot be answered.
    pub error: ErrorCode,
    /// The epoch the voter is in.
    pub epoch: i32,
    /// The leader of that epoch, if the voter knows one.
    pub leader: Option<BrokerId>,
    /// Whether the vote is given.
    pub vote_granted: bool,
}

/// A new leader tells the voters.
#[derive(Debug, Clone, PartialEq)]
pub struct BeginQuorumEpochRequest {
    /// Its epoch.
    pub epoch: i32,
    /// The leader.
    pub leader: BrokerId,
}

/// A leader resigns and says whom it would like to follow, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct EndQuorumEpochRequest {
    /// Its epoch.
    pub epoch: i32,
    /// The leader that resigns.
    pub leader: BrokerId,
    /// The other voters, the furthest in the log first.
    pub preferred_candidates: Vec<BrokerId>,
}

/// Answers [`BeginQuorumEpochRequest`] and [`EndQuorumEpochRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct QuorumEpochResponse {
    /// `None` or why not.
    pub error: ErrorCode,
    /// The epoch the answerer is in.
    pub epoch: i32,
    /// The leader it knows.
    pub leader: Option<BrokerId>,
}

/// A voter or an observer pulls the metadata log.
#[derive(Debug, Clone, PartialEq)]
pub struct QuorumFetchRequest {
    /// The epoch the asker is in.
    pub epoch: i32,
    /// Who asks.
    pub replica: BrokerId,
    /// Its log directory.
    pub directory: DirectoryId,
    /// Its log end: everything before is persisted on it.
    pub fetch_offset: i64,
    /// The epoch of its last record.
    pub last_fetched_epoch: i32,
    /// The high watermark it knows.
    pub high_watermark: i64,
    /// How long the leader may hold the answer when there is nothing new.
    pub max_wait_ms: u32,
}

/// Identifies a snapshot of the metadata: the state after all records below an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// The first offset it does not cover.
    pub end_offset: i64,
    /// The epoch of the last record it covers.
    pub epoch: i32,
}

/// Answers [`QuorumFetchRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct QuorumFetchResponse {
    /// `None` or why not.
    pub error: ErrorCode,
    /// The epoch the answerer is in.
    pub epoch: i32,
    /// The leader it knows.
    pub leader: Option<BrokerId>,
    /// Records from `fetch_offset` on.
    pub batches: Vec<Batch>,
    /// The leader's high watermark.
    pub high_watermark: i64,
    /// The first offset the leader still has.
    pub log_start_offset: i64,
    /// Set when the logs differ: the asker truncates.
    pub diverging_epoch: Option<EpochEnd>,
    /// Set when the asker is too far behind: it fetches this snapshot.
    pub snapshot: Option<SnapshotId>,
}

/// Asks for a piece of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchSnapshotRequest {
    /// The epoch the asker is in.
    pub epoch: i32,
    /// Who asks.
    pub replica: BrokerId,
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// From which byte.
    pub position: u64,
    /// At most so many bytes.
    pub max_bytes: u32,
}

/// Answers [`FetchSnapshotRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct FetchSnapshotResponse {
    /// `None` or why not.
    pub error: ErrorCode,
    /// The epoch the answerer is in.
    pub epoch: i32,
    /// The leader it knows.
    pub leader: Option<BrokerId>,
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// The whole size.
    pub size: u64,
    /// Where this piece begins.
    pub position: u64,
    /// The piece.
    pub bytes: bytes::Bytes,
}

/// A broker tells the controller that it exists.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterBrokerRequest {
    /// The broker.
    pub broker: BrokerId,
    /// Drawn at each start.
    pub incarnation: uuid::Uuid,
    /// Its log directory.
    pub directory: DirectoryId,
    /// The address clients are told.
    pub host: String,
    /// The port clients are told.
    pub port: u16,
    /// Its rack (`broker.rack`).
    pub rack: Option<String>,
    /// The broker epoch of its last registration if its log was closed cleanly, else −1 (KIP-966).
    pub previous_broker_epoch: i64,
    /// Whether it is a voter of the metadata quorum (`process.roles` holds `controller`).
    pub is_controller: bool,
}

/// Answers [`RegisterBrokerRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterBrokerResponse {
    /// `None`, `NotController`, `DuplicateBrokerRegistration`, …
    pub error: ErrorCode,
    /// The broker epoch: the offset of the registration's record.
    pub broker_epoch: i64,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerHeartbeatRequest {
    /// The broker.
    pub broker: BrokerId,
    /// Its epoch.
    pub broker_epoch: i64,
    /// How far it has applied the metadata log (its last applied offset).
    pub current_metadata_offset: i64,
    /// It does not want to serve (yet).
    pub want_fence: bool,
    /// It wants to stop: its leaderships are to move.
    pub want_shut_down: bool,
}

/// Answers [`BrokerHeartbeatRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerHeartbeatResponse {
    /// `None`, `NotController`, `StaleBrokerEpoch`, `BrokerIdNotRegistered`, …
    pub error: ErrorCode,
    /// It has applied its own registration.
    pub is_caught_up: bool,
    /// It is fenced.
    pub is_fenced: bool,
    /// It may stop now.
    pub should_shut_down: bool,
}

/// A leader asks for another ISR.
#[derive(Debug, Clone, PartialEq)]
pub struct AlterPartitionRequest {
    /// The leader.
    pub broker: BrokerId,
    /// Its epoch.
    pub broker_epoch: i64,
    /// One partition at least.
    pub partitions: Vec<AlterPartitionItem>,
}

/// One partition of an [`AlterPartitionRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct AlterPartitionItem {
    /// Which.
    pub partition: PartitionId,
    /// The leader epoch of the asker.
    pub leader_epoch: i32,
    /// The partition epoch it knows.
    pub partition_epoch: i32,
    /// The ISR it wants, each member with the broker epoch it fetched under (KIP-903).
    pub new_isr: Vec<(BrokerId, i64)>,
    /// It leads after an unclean election and has not finished recovering.
    pub is_recovering: bool,
}

/// Answers [`AlterPartitionRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct AlterPartitionResponse {
    /// An error for the whole request.
    pub error: ErrorCode,
    /// One answer a partition.
    pub partitions: Vec<AlterPartitionAnswer>,
}

/// One partition of an [`AlterPartitionResponse`].
#[derive(Debug, Clone, PartialEq)]
pub struct AlterPartitionAnswer {
    /// Which.
    pub partition: PartitionId,
    /// `None` or why not.
    pub error: ErrorCode,
    /// The leader now.
    pub leader: Option<BrokerId>,
    /// Its epoch.
    pub leader_epoch: i32,
    /// The ISR now.
    pub isr: Vec<BrokerId>,
    /// The partition epoch now.
    pub partition_epoch: i32,
    /// The leader is still recovering.
    pub is_recovering: bool,
}

/// A broker asks for a block of producer ids.
#[derive(Debug, Clone, PartialEq)]
pub struct AllocateProducerIdsRequest {
    /// The broker.
    pub broker: BrokerId,
    /// Its epoch.
    pub broker_epoch: i64,
}

/// Answers [`AllocateProducerIdsRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct AllocateProducerIdsResponse {
    /// `None` or why not.
    pub error: ErrorCode,
    /// The first id of the block.
    pub first: i64,
    /// How many.
    pub length: i32,
}

/// A client's request, passed on.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardRequest {
    /// Its header.
    pub header: RequestHeader,
    /// Its body.
    pub request: Request,
}

/// Answers [`ForwardRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardResponse {
    /// `NotController` when the asker has to find another, else `None`.
    pub error: ErrorCode,
    /// The response for the client.
    pub response: Option<Response>,
}

/// A follower pulls partitions, in a session (KIP-227).
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaFetchRequest {
    /// The follower.
    pub replica: BrokerId,
    /// Its broker epoch (KIP-903).
    pub broker_epoch: i64,
    /// The session; 0 asks for a new one.
    pub session_id: i32,
    /// The request's number in the session; 0 begins one.
    pub session_epoch: i32,
    /// How long the leader may hold the answer.
    pub max_wait_ms: u32,
    /// The leader answers once it has so many bytes.
    pub min_bytes: u32,
    /// At most so many bytes in all (one batch always fits).
    pub max_bytes: u32,
    /// Partitions that are new in the session or whose position changed.
    pub partitions: Vec<ReplicaFetchPartition>,
    /// Partitions that leave the session.
    pub forgotten: Vec<PartitionId>,
}

/// One partition of a [`ReplicaFetchRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaFetchPartition {
    /// Which.
    pub partition: PartitionId,
    /// The leader epoch the follower knows (KIP-320).
    pub current_leader_epoch: i32,
    /// The follower's persisted log end.
    pub fetch_offset: i64,
    /// The epoch of its last record, −1 if its log is empty (KIP-595).
    pub last_fetched_epoch: i32,
    /// Its log start.
    pub log_start_offset: i64,
    /// At most so many bytes of this partition.
    pub max_bytes: u32,
}

/// Answers [`ReplicaFetchRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaFetchResponse {
    /// An error for the whole session.
    pub error: ErrorCode,
    /// The session.
    pub session_id: i32,
    /// Partitions with something to say.
    pub partitions: Vec<ReplicaFetchAnswer>,
}

/// One partition of a [`ReplicaFetchResponse`].
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaFetchAnswer {
    /// Which.
    pub partition: PartitionId,
    /// `None` or why not.
    pub error: ErrorCode,
    /// The leader's high watermark.
    pub high_watermark: i64,
    /// The leader's log start.
    pub log_start_offset: i64,
    /// Records from the fetch offset on.
    pub batches: Vec<Batch>,
    /// Set when the logs differ: the follower truncates.
    pub diverging_epoch: Option<EpochEnd>,
    /// The leader the answerer knows, with an error.
    pub current_leader: Option<LeaderHint>,
}

/// A leader asks a coordinator whether partitions are in a transaction, or that they be taken in (KIP-890).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddPartitionsToTxnRequest {
    /// The transactional id.
    pub transactional_id: Arc<str>,
    /// Its producer.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// Only whether they are in.
    pub verify_only: bool,
    /// Topics' names and partitions.
    pub partitions: Vec<(Arc<str>, i32)>,
}

/// Answers [`AddPartitionsToTxnRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddPartitionsToTxnResponse {
    /// One result a partition.
    pub results: Vec<ErrorCode>,
}

/// A marker: how a producer's transaction ends, and where it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnMarker {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch; with version 2 the one after the transaction's.
    pub producer_epoch: i16,
    /// It commits, else it aborts.
    pub commits: bool,
    /// The leader epoch of the coordinator's partition.
    pub coordinator_epoch: i32,
    /// The version of the transaction protocol (KIP-1228).
    pub transaction_version: i16,
    /// Topics' names and partitions.
    pub partitions: Vec<(Arc<str>, i32)>,
}

/// A coordinator has markers for the partitions that a broker leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteTxnMarkersRequest {
    /// The markers.
    pub markers: Vec<TxnMarker>,
}

/// Answers [`WriteTxnMarkersRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteTxnMarkersResponse {
    /// For each marker one result a partition.
    pub results: Vec<Vec<ErrorCode>>,
}

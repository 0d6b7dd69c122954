//! What the console draws: one immutable snapshot of the cluster at a time, and the door to ask for it
//! ([`ClusterPort`]).
//!
//! Invariants: everything in a [`ClusterView`] is of the same moment (`at_ms`); its size depends on what was asked
//! for in the [`ViewRequest`] and on the number of brokers, never on the number of partitions; counts are exact,
//! lists are windows. A value that is not known is `None`, never a made-up zero.
//!
//! Deliberately not here: how anything looks (no colour, no glyph, no width), and how a host comes by the facts.
//!
//! Units: times are milliseconds of *cluster time* (which stands still while paused and slows down with `speed`)
//! unless the name says `wall`; rates are means over the last second of cluster time.

mod faults;
mod groups;
mod lesson;
mod port;
mod quorum;
mod recorded;
mod topics;
mod wire;
mod xray;

pub use crate::protocol::ids::BrokerId;
pub use faults::{Copies, FaultsRequest, FaultsView, LinkView, Outlook, Point, PointKind, Traffic};
pub use groups::{
    BEHIND_MAX_MS, GroupDetail, GroupEffect, GroupMember, GroupPartition, GroupRebalance, GroupRow, GroupState,
    GroupsRequest, GroupsView,
};
pub use lesson::{LessonState, LessonView, Page, Turn};
pub use port::*;
pub use quorum::{
    Ballot, Contest, MetadataLine, QuorumMessage, QuorumReplica, QuorumStanding, QuorumView, Reach, Term, Vote,
    VoteNote,
};
pub use recorded::Recorded;
pub use topics::{
    PlaceView, PlacementRequest, PlacementView, SetBy, TopicDetail, TopicRow, TopicSetting, TopicSums, TopicsRequest,
    TopicsView,
};
pub use wire::{WireDetail, WireEnd, WireField, WireMessage, WireRequest, WireState, WireView};
pub use xray::{Truncation, TruncationStage, XrayProducer, XrayReplica, XrayRequest, XrayView, epoch_at};

use std::fmt;
use std::sync::Arc;

/// A partition as people write it: `orders-0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionName {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number in it, from 0.
    pub partition: i32,
}

impl PartitionName {
    /// The partition `partition` of `topic`.
    pub fn new(topic: &str, partition: i32) -> PartitionName {
        PartitionName { topic: Arc::from(topic), partition }
    }
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What the console wants to see. A host fills exactly this and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewRequest {
    /// Index of the first wanted row, in the order asked for.
    pub first_row: usize,
    /// How many rows are in view. The host returns at most so many.
    pub row_count: usize,
    /// Only partitions whose name contains this, ignoring case; a leading `!` inverts. Empty: all.
    pub filter: String,
    /// The order of the rows.
    pub sort: RowSort,
    /// The selected partition: the host says where it is now ([`PartitionRows::selected_index`]), in the window or not.
    pub selected: Option<PartitionName>,
    /// Tell the causes of this in [`ClusterView::why`].
    pub why: Option<WhyAbout>,
    /// View this moment of the recording and not the present. Hosts that do not record ([`Capabilities::recall`]) ignore it.
    pub at_ms: Option<u64>,
    /// Where the timeline ends; `None`: at the moment that is viewed.
    pub end_ms: Option<u64>,
    /// How much past the timeline shows.
    pub window_ms: u64,
    /// How many samples each timeline strip has.
    pub strip_samples: usize,
    /// How many samples each broker's rate history has.
    pub spark_samples: usize,
    /// Tell of consumer groups.
    pub groups: Option<GroupsRequest>,
    /// Tell of topics.
    pub topics: Option<TopicsRequest>,
    /// Tell where new partitions would go.
    pub placement: Option<PlacementRequest>,
    /// Tell of the metadata quorum.
    pub quorum: bool,
    /// Tell of messages.
    pub wire: Option<WireRequest>,
    /// Tell who has the records of this partition, and who has read them.
    pub place: Option<PartitionName>,
    /// Look into a partition.
    pub xray: Option<XrayRequest>,
    /// Look into a link, and tell what a command would do.
    pub faults: Option<FaultsRequest>,
}

impl Default for ViewRequest {
    fn default() -> ViewRequest {
        ViewRequest {
            first_row: 0,
            row_count: 64,
            filter: String::new(),
            sort: RowSort::WorstFirst,
            selected: None,
            why: None,
            at_ms: None,
            end_ms: None,
            window_ms: 60_000,
            strip_samples: 120,
            spark_samples: 16,
            groups: None,
            topics: None,
            placement: None,
            quorum: false,
            wire: None,
            place: None,
            xray: None,
            faults: None,
        }
    }
}

/// The order of the partition rows. Whatever the order, rows that need attention come before healthy ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum RowSort {
    /// By severity, then by name.
    #[default]
    WorstFirst,
    /// By name.
    Name,
    /// Most records behind first.
    RecordsBehind,
    /// Fastest high watermark first.
    Rate,
}

/// The cluster at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterView {
    /// Cluster time of everything in here, from the cluster's start.
    pub at_ms: u64,
    /// The same moment on the wall, milliseconds since 1970 UTC.
    pub wall_ms: i64,
    /// What to add to UTC for the user's clock, in seconds. 0 where the host does not know.
    pub utc_offset_s: i32,
    /// Which time this is.
    pub clock: ClockMode,
    /// What the host is and can do.
    pub host: HostFacts,
    /// Exact counts over all partitions, whatever the filter.
    pub totals: Totals,
    /// All brokers, by id.
    pub brokers: Vec<BrokerCard>,
    /// The window of partitions asked for.
    pub rows: PartitionRows,
    /// What happened in the window of time asked for.
    pub timeline: Timeline,
    /// What the headline is made of.
    pub situation: Situation,
    /// The causes asked for in [`ViewRequest::why`].
    pub why: Option<Why>,
    /// The verdict on the records of the host's own producers and consumers. `None`: no load of its own runs or ran.
    pub ledger: Option<Ledger>,
    /// Every fault that is active, newest first: what `undo` and `heal` end.
    pub faults: Vec<ActiveFault>,
    /// What is recorded of the past, if anything is.
    pub recorded: Option<Recorded>,
    /// The lesson that is read, if one is.
    pub lesson: Option<LessonView>,
    /// The consumer groups, as far as they were asked for.
    pub groups: Option<GroupsView>,
    /// The topics, as far as they were asked for.
    pub topics: Option<TopicsView>,
    /// Where new partitions would go, if that was asked for.
    pub placement: Option<PlacementView>,
    /// The metadata quorum, if it was asked for.
    pub quorum: Option<Box<QuorumView>>,
    /// Messages, if they were asked for and the host records them.
    pub wire: Option<WireView>,
    /// The partition asked for in [`ViewRequest::place`].
    pub place: Option<PlaceView>,
    /// The inside of a partition, if it was asked for and there is such a partition.
    pub xray: Option<Box<XrayView>>,
    /// The link and the forecast asked for in [`ViewRequest::faults`].
    pub link_faults: Option<Box<FaultsView>>,
}

/// Which time a view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockMode {
    /// The present. `speed_permille` is 1000 at normal speed, 100 when ten times slower.
    Live {
        /// Cluster seconds per 1000 real seconds.
        speed_permille: u32,
    },
    /// The world stands still (local hosts), or only the picture does (attached ones).
    Paused {
        /// How old the picture is; `None` where the world itself stands still.
        stale_ms: Option<u64>,
    },
    /// The past, so far behind the present.
    Rewound {
        /// The distance to the present.
        behind_ms: u64,
    },
}

impl Default for ClockMode {
    fn default() -> ClockMode {
        ClockMode::Live { speed_permille: 1000 }
    }
}

/// What a host is and what it can do. What it cannot do is not offered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostFacts {
    /// `local`, or the name of the attached cluster.
    pub name: String,
    /// `HOST:PORT,…` as a client wants it.
    pub bootstrap_servers: String,
    /// What the host can do.
    pub can: Capabilities,
    /// Something the user must know about this machine: `machine stalled 1.2 s`.
    pub notice: Option<String>,
    /// What leaving destroys, as a sentence: `The data of this run is removed.` `None`: nothing.
    pub quit_loses: Option<String>,
    /// Which simulated world this is; `None` on a live cluster.
    pub world: Option<WorldFacts>,
}

/// Which simulated world is shown, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorldFacts {
    /// What everything random comes from.
    pub seed: u64,
    /// The line of history: 1 at first, one more each time that a command was given in the past.
    pub branch: u32,
    /// How many happenings there were up to now.
    pub steps: u64,
}

/// What a host can do beyond showing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Stop and run the world.
    pub pause: bool,
    /// Run the world slower than real time.
    pub slow: bool,
    /// Advance the world by one happening.
    pub step: bool,
    /// Take the world itself back, and let it go on differently from there.
    pub rewind: bool,
    /// Show what was recorded of the past ([`ViewRequest::at_ms`]); the cluster goes on meanwhile.
    pub recall: bool,
    /// Kill, suspend, cut and so on.
    pub faults: bool,
    /// A demo workload can be started (`demo` on the empty screen).
    pub demo: bool,
}

/// Exact counts over all partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// All partitions.
    pub partitions: u32,
    /// Partitions nobody leads.
    pub no_leader: u32,
    /// Partitions whose high watermark stands still though records wait above it.
    pub stalled: u32,
    /// Partitions with fewer in-sync replicas than replicas.
    pub missing_copy: u32,
    /// All others.
    pub all_in_sync: u32,
    /// Bytes a second the brokers took from producers.
    pub bytes_in_per_s: u64,
    /// Bytes a second the brokers gave to consumers.
    pub bytes_out_per_s: u64,
    /// Records a second appended by leaders.
    pub records_in_per_s: u64,
}

/// One broker.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerCard {
    /// Its id.
    pub id: BrokerId,
    /// The port clients reach it at.
    pub port: u16,
    /// What it is doing.
    pub state: BrokerState,
    /// Since when it is in this state.
    pub since_ms: u64,
    /// What brought it there, in a few words: `kill −9`, `you suspended it`. Empty when there is nothing to say.
    pub cause: String,
    /// When the controller fenced it, or will if nothing changes (session timeout). `None`: not fenced, not about to
    /// be.
    pub fenced_at_ms: Option<u64>,
    /// Its place in the metadata quorum.
    pub quorum: QuorumRole,
    /// Partitions it leads.
    pub leaders: u32,
    /// Replicas it hosts, led ones included.
    pub replicas: u32,
    /// Bytes a second in from producers.
    pub bytes_in_per_s: u64,
    /// Bytes a second out to consumers.
    pub bytes_out_per_s: u64,
    /// Past values of `bytes_in_per_s`, oldest first.
    pub in_history: Vec<u64>,
    /// Past values of `bytes_out_per_s`, oldest first.
    pub out_history: Vec<u64>,
    /// Bytes of its store on disk, or in memory.
    pub disk_bytes: u64,
    /// How full its disk or its limit is, in thousandths; `None` without a limit.
    pub disk_used_permille: Option<u16>,
    /// Faults that act on it alone.
    pub faults: Vec<FaultChip>,
    /// What it waits for next: `election timeout in 120 ms`.
    pub next_wake: Option<NextWake>,
}

/// What a broker is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerState {
    /// Up and serving.
    Running,
    /// Coming up: recovering its log or registering.
    Starting,
    /// In a controlled shutdown.
    Stopping,
    /// Stopped cleanly.
    Stopped,
    /// Ended like `kill −9`.
    Killed,
    /// Its machine lost power: what had not been synced is gone.
    PowerLost,
    /// Frozen with its sockets open.
    Suspended,
    /// Up, and fenced by the controller.
    Fenced,
    /// It failed on its own.
    Crashed {
        /// The failed assertion, or what the disk said.
        message: String,
    },
}

impl BrokerState {
    /// Whether clients can get an answer from it.
    pub fn answers(&self) -> bool {
        matches!(self, BrokerState::Running | BrokerState::Fenced | BrokerState::Stopping)
    }

    /// Whether its process is gone.
    pub fn is_dead(&self) -> bool {
        use BrokerState::{Crashed, Killed, PowerLost, Stopped};
        matches!(self, Killed | PowerLost | Stopped | Crashed { .. })
    }
}

/// A broker's place in the metadata quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum QuorumRole {
    /// Reads the metadata log only.
    #[default]
    Observer,
    /// May vote.
    Voter,
    /// Stands for election.
    Candidate,
    /// The active controller.
    Controller,
}

/// What a broker waits for next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextWake {
    /// When.
    pub at_ms: u64,
    /// Why, as `Wake.why` says it: `election timeout`.
    pub why: String,
}

/// A fault shown on the broker it acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultChip {
    /// What kind.
    pub kind: FaultKind,
    /// At most 9 cells: `+200 ms`, `full`, `cut 1 3`.
    pub text: String,
}

/// Kinds of fault, for their glyph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The broker is gone: killed, power lost, stopped.
    Down,
    /// Frozen.
    Suspended,
    /// A link is cut.
    Cut,
    /// A disk or link is slow, or throttled.
    Slow,
    /// A link loses or holds messages.
    Loss,
    /// A disk is full or damaged.
    Disk,
    /// A clock runs ahead or behind.
    Clock,
}

/// One active fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveFault {
    /// What kind.
    pub kind: FaultKind,
    /// `link 1 ⇄ 3 cut`, `broker 2 killed`.
    pub text: String,
    /// Since when.
    pub since_ms: u64,
    /// The command line that ends it: `start 2`, `link heal 1 3`.
    pub undo: String,
    /// The links it acts on, sender and receiver; [`CLIENTS`](crate::cluster::link::CLIENTS) stands for the clients.
    pub links: Vec<(BrokerId, BrokerId)>,
}

/// A window of partition rows in the order asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartitionRows {
    /// Rows after the filter.
    pub total: usize,
    /// Of those, rows that need attention: they are the first ones.
    pub attention_total: usize,
    /// Index of `rows[0]`.
    pub first: usize,
    /// The rows in view.
    pub rows: Vec<PartitionRow>,
    /// Where the selected partition is now, if the filter lets it through.
    pub selected_index: Option<usize>,
}

/// How bad a partition is off; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum PartitionSeverity {
    /// Nobody leads it.
    NoLeader,
    /// Records wait above a high watermark that stands still.
    Stalled,
    /// Fewer in-sync replicas than replicas.
    MissingCopy,
    /// All in sync.
    #[default]
    Healthy,
}

/// One partition with all its replicas.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionRow {
    /// Which.
    pub name: PartitionName,
    /// How bad.
    pub severity: PartitionSeverity,
    /// Who leads.
    pub leader: Option<BrokerId>,
    /// The leader epoch.
    pub leader_epoch: i32,
    /// Since when this leader leads; a change flashes.
    pub leader_since_ms: u64,
    /// The in-sync replicas, in Kafka's order.
    pub isr: Vec<BrokerId>,
    /// The eligible leader replicas (KIP-966).
    pub elr: Vec<BrokerId>,
    /// `min.insync.replicas` of its topic.
    pub min_isr: u32,
    /// Every replica, in the order of the assignment.
    pub replicas: Vec<ReplicaBar>,
    /// The first offset kept.
    pub log_start: i64,
    /// The high watermark; `None` if nobody knows it now.
    pub high_watermark: Option<i64>,
    /// Records a second by which the high watermark grows.
    pub records_per_s: Option<u64>,
    /// Since when the high watermark stands still though it should move.
    pub stalled_since_ms: Option<u64>,
    /// Why it stalls or has no leader, in a few words: `waits for 5`.
    pub reason: String,
}

impl PartitionRow {
    /// The leader's log end, or the furthest of any replica while there is no leader.
    pub fn log_end(&self) -> Option<i64> {
        let leader = self.replicas.iter().find(|replica| Some(replica.broker) == self.leader);
        leader.and_then(|replica| replica.log_end).or_else(|| self.replicas.iter().filter_map(|r| r.log_end).max())
    }
}

/// One replica of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaBar {
    /// On which broker.
    pub broker: BrokerId,
    /// What it is.
    pub role: ReplicaRole,
    /// Its first offset.
    pub log_start: i64,
    /// Its log end offset; `None` while its store cannot be read.
    pub log_end: Option<i64>,
    /// Records of the leader it does not have.
    pub behind: u64,
    /// Records at its end that will be cut (they diverge from the leader's log).
    pub to_cut: u64,
    /// Whether it is in the ISR.
    pub in_isr: bool,
}

/// What a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplicaRole {
    /// It leads.
    Leader,
    /// It follows and is in the ISR.
    InSync,
    /// It follows, out of sync.
    OutOfSync,
    /// It is back and copies what it missed.
    CatchingUp,
    /// It is cutting its log to the leader's.
    Truncating,
    /// Its broker is down.
    Dead,
    /// Its broker is down and has the last complete copy (the only member of the ISR or ELR).
    LastComplete,
    /// Its broker is suspended.
    Suspended,
}

/// What happened, on one axis of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timeline {
    /// Where the axis ends: at [`ClusterView::at_ms`], or later if that is in the past.
    pub end_ms: u64,
    /// How much past it covers.
    pub window_ms: u64,
    /// Facts, oldest first. The newest are kept where there are too many; then `dropped` says how many are not shown.
    pub events: Vec<TimelineEvent>,
    /// Facts in the window that did not fit.
    pub dropped: u32,
    /// Stalled or leaderless partitions over time, oldest first, one sample a column.
    pub stalls: Vec<u32>,
    /// Bytes a second in over time, oldest first.
    pub bytes_in: Vec<u64>,
}

/// A fact that stands on the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEvent {
    /// Grows with time; the same fact keeps it from view to view.
    pub id: u64,
    /// When.
    pub at_ms: u64,
    /// Until when it lasted; `None`: a moment, or it still lasts (`ongoing`).
    pub until_ms: Option<u64>,
    /// It still lasts.
    pub ongoing: bool,
    /// What happened.
    pub kind: EventKind,
    /// One line: `clicks-1 ISR 2,5 → 2`.
    pub text: String,
    /// The broker it is about.
    pub broker: Option<BrokerId>,
    /// The partition it is about.
    pub partition: Option<PartitionName>,
}

/// Kinds of fact; each has a lane, a glyph and a severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// A broker was killed, lost power or crashed.
    BrokerDied,
    /// A broker was stopped cleanly.
    BrokerStopped,
    /// A broker is coming up.
    BrokerStarting,
    /// A broker is up and unfenced.
    BrokerUp,
    /// A broker was frozen.
    Suspended,
    /// A broker was thawed.
    Resumed,
    /// The controller fenced a broker.
    Fenced,
    /// A link was cut.
    LinkCut,
    /// A link is slow or throttled.
    LinkSlow,
    /// A link loses or holds messages.
    LinkLossy,
    /// A disk is slow.
    DiskSlow,
    /// A disk is full or damaged.
    DiskFault,
    /// A fault ended.
    Healed,
    /// A partition has a new leader.
    LeaderElected,
    /// A partition has no leader.
    LeaderLost,
    /// A new active controller.
    ControllerElected,
    /// A voter asks for votes.
    CandidateStands,
    /// There is no active controller.
    ControllerLost,
    /// The ISR shrank.
    IsrShrunk,
    /// The ISR grew.
    IsrExpanded,
    /// A high watermark stands still.
    HighWatermarkStalled,
    /// A replica cut its log.
    Truncated,
    /// Records were lost.
    RecordsLost,
    /// A topic was created, altered or deleted.
    TopicChanged,
    /// A setting was changed.
    ConfigChanged,
    /// Members of a group are to join again, or partitions are to move among them.
    GroupRebalances,
    /// Everybody in a group reads again.
    GroupStable,
    /// The machine stood still, or the clock was paused or slowed.
    Clock,
    /// What the user marked.
    Mark,
}

/// The facts behind the headline. Everything that does not hold is empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Situation {
    /// The broker whose loss is the latest and still acts, or acted within the last half minute.
    pub last_death: Option<Death>,
    /// Brokers that are back and catch up.
    pub catching_up: Vec<CatchUp>,
    /// The worst partitions, at most three of each severity but `Healthy`, worst first.
    pub worst: Vec<WorstPartition>,
    /// There is no active controller since then.
    pub no_controller_since_ms: Option<u64>,
    /// What keeps the quorum from deciding, or is about to end that.
    pub contest: Option<Contest>,
    /// Records the ledger knows to be lost, with the rule that lost them.
    pub lost: Option<LostRecords>,
    /// Nothing has been created yet.
    pub no_topics: bool,
}

/// A broker's loss and what it led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Which broker.
    pub broker: BrokerId,
    /// When.
    pub at_ms: u64,
    /// How: [`BrokerState::Killed`], `PowerLost`, `Stopped`, `Suspended` or `Crashed`.
    pub state: BrokerState,
    /// Partitions that have a new leader because of it.
    pub elected: u32,
    /// From the death to the last of those elections.
    pub took_ms: u64,
    /// When the controller will fence it, if it has not yet.
    pub fence_at_ms: Option<u64>,
    /// When it was up again, if it is.
    pub back_at_ms: Option<u64>,
}

/// A broker that is back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatchUp {
    /// Which broker.
    pub broker: BrokerId,
    /// Replicas that are not in sync yet.
    pub replicas: u32,
    /// Records still to copy.
    pub records: u64,
    /// Records it cut, which nobody else had.
    pub cut: u64,
}

/// A partition the headline names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorstPartition {
    /// Which.
    pub name: PartitionName,
    /// How bad.
    pub severity: PartitionSeverity,
    /// Since when.
    pub since_ms: u64,
    /// The broker everything waits for: the one with the last complete copy, or the slowest in the ISR.
    pub waits_for: Option<BrokerId>,
}

/// Records known to be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRecords {
    /// How many.
    pub count: u64,
    /// The first partition concerned.
    pub name: PartitionName,
    /// First lost offset.
    pub first_offset: i64,
    /// Last lost offset.
    pub last_offset: i64,
    /// The rule that lost them: `acks=1 and the leader died`.
    pub rule: String,
}

/// What the ledger says about the records of the host's own clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Acknowledged to the producer.
    pub acked: u64,
    /// Of those, seen readable below the high watermark.
    pub readable: u64,
    /// Acknowledged and gone.
    pub lost: u64,
    /// Readable more often than sent.
    pub duplicated: u64,
    /// Readable in another order than sent, per key.
    pub reordered: u64,
    /// Since then something was missed and nothing can be promised.
    pub unknown_since_ms: Option<u64>,
}

/// What a "why?" is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyAbout {
    /// The headline.
    Headline,
    /// A partition's state.
    Partition(PartitionName),
    /// A broker's state.
    Broker(BrokerId),
    /// What a consumer group does.
    Group(Arc<str>),
    /// Who is the controller, or why nobody is.
    Quorum,
}

/// A chain of causes, the first cause first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// What it answers: it echoes the request.
    pub about: WhyAbout,
    /// As a question: `Why does payments-2's high watermark stand at 40,418?`
    pub question: String,
    /// The chain.
    pub steps: Vec<WhyStep>,
    /// The chain begins with a cause that is no longer kept.
    pub truncated: bool,
}

/// One link of a chain of causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhyStep {
    /// When it happened, or will happen if nothing changes (`expected`).
    pub at_ms: u64,
    /// What kind of fact.
    pub kind: EventKind,
    /// One or two sentences.
    pub text: String,
    /// It has not happened yet.
    pub expected: bool,
}

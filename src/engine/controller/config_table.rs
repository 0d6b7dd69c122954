//! THE table of configurations: every topic configuration of Kafka 4, those of consumer groups, the broker configurations that mean something
//! here, and those that tools read. Name, type, default, allowed values, whether it may change while brokers run, what
//! it does in a line of our own.
//!
//! Invariants: names are unique within a scope and sorted; every default is valid; every synonym of a topic
//! configuration is a broker configuration of the table.
//!
//! A default here is Kafka's. What this program sets differently (timing presets, replication factors) is static
//! configuration, and told as such. Security, tiered storage and quotas are left out: there is nothing behind them.
//!
//! Deviation: `segment.bytes` may be as small as 14 bytes, as up to Kafka 3.9 (KIP-1030 raised it to 1 MiB): retention
//! is to be seen.

/// The type of a value (`ConfigDef.Type`), with the number that DescribeConfigs tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Kafka's own")]
#[repr(i8)]
pub enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
}

/// What a configuration belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// A topic.
    Topic,
    /// A broker, or all of them.
    Broker,
    /// A group.
    Group,
}

/// Whether a value may change while brokers run (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Only at a broker's start.
    ReadOnly,
    /// For one broker or for all.
    PerBroker,
    /// For all, or for one where that is only a test.
    ClusterWide,
}

/// Which values are allowed, beyond what the type allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// All.
    Any,
    /// Numbers from here up.
    AtLeast(i64),
    /// Numbers from the first to the second.
    Between(i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Some of these words.
    ListOf(&'static [&'static str]),
    /// A decimal fraction from 0 to 1.
    Ratio,
    /// `partition:broker` pairs, or `*`.
    Replicas,
}

/// A broker's configuration that a topic's falls back on, and how many of the topic's units one of its units is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synonym {
    /// The broker's configuration.
    pub name: &'static str,
    /// `log.retention.hours` is 3,600,000 times `retention.ms`.
    pub factor: i64,
}

/// One configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigDef {
    /// Kafka's name.
    pub name: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// Kafka's default; `None` for null.
    pub default: Option<&'static str>,
    /// What it belongs to.
    pub scope: Scope,
    /// Whether it may change while brokers run.
    pub update: Update,
    /// Which values are allowed.
    pub check: Check,
    /// For topics and groups: where the value comes from if they have none, the first that is set.
    pub synonyms: &'static [Synonym],
    /// What it does.
    pub doc: &'static str,
}

use Check::{Any, AtLeast, Between, ListOf, OneOf, Ratio, Replicas};
use Kind::{Boolean, Class, Double, Int, List, Long, Short};
use Update::{ClusterWide, PerBroker, ReadOnly};

const fn same(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

const fn times(name: &'static str, factor: i64) -> Synonym {
    Synonym { name, factor }
}

const fn topic(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    check: Check,
    synonyms: &'static [Synonym],
    doc: &'static str,
) -> ConfigDef {
    let default = Some(default);
    ConfigDef { name, kind, default, scope: Scope::Topic, update: ClusterWide, check, synonyms, doc }
}

const fn broker(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    check: Check,
    update: Update,
    doc: &'static str,
) -> ConfigDef {
    ConfigDef { name, kind, default: Some(default), scope: Scope::Broker, update, check, synonyms: &[], doc }
}

const fn group(
    name: &'static str,
    default: &'static str,
    synonyms: &'static [Synonym],
    doc: &'static str,
) -> ConfigDef {
    let (kind, default) = (Int, Some(default));
    ConfigDef { name, kind, default, scope: Scope::Group, update: ClusterWide, check: AtLeast(1), synonyms, doc }
}

const fn unset(name: &'static str, kind: Kind, check: Check, update: Update, doc: &'static str) -> ConfigDef {
    ConfigDef { name, kind, default: None, scope: Scope::Broker, update, check, synonyms: &[], doc }
}

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;
const I32_MAX: &str = "2147483647";
const I64_MAX: &str = "9223372036854775807";
const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
const TIMESTAMPS: &[&str] = &["CreateTime", "LogAppendTime"];
const POLICIES: &[&str] = &["compact", "delete"];
const ASSIGNORS: &[&str] = &["uniform", "range"];
const MIGRATIONS: &[&str] = &crate::engine::config::MigrationPolicy::NAMES;

/// The configurations of topics, by name.
#[rustfmt::skip]
pub static TOPIC: &[ConfigDef] = &[
    topic("cleanup.policy", List, "delete", ListOf(POLICIES), &[same("log.cleanup.policy")],
        "What happens to old records: deleted by age and size, or compacted to the last one of each key."),
    topic("compression.gzip.level", Int, "-1", Between(-1, 9), &[same("compression.gzip.level")],
        "The gzip level, if the topic is kept as gzip; -1 is the default level."),
    topic("compression.lz4.level", Int, "9", Between(1, 17), &[same("compression.lz4.level")],
        "The lz4 level, if the topic is kept as lz4."),
    topic("compression.type", Kind::String, "producer", OneOf(CODECS), &[same("compression.type")],
        "How the topic is compressed; kafkarium keeps batches as the producer made them."),
    topic("compression.zstd.level", Int, "3", Between(-131_072, 22), &[same("compression.zstd.level")],
        "The zstd level, if the topic is kept as zstd."),
    topic("delete.retention.ms", Long, "86400000", AtLeast(0), &[same("log.cleaner.delete.retention.ms")],
        "How long tombstones stay in a compacted topic."),
    topic("file.delete.delay.ms", Long, "60000", AtLeast(0), &[same("log.segment.delete.delay.ms")],
        "How long Kafka waits before it removes a file; kafkarium does not wait."),
    topic("flush.messages", Long, I64_MAX, AtLeast(1), &[same("log.flush.interval.messages")],
        "After how many records Kafka syncs; kafkarium's durability mode decides instead."),
    topic("flush.ms", Long, I64_MAX, AtLeast(0),
        &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")],
        "After how long Kafka syncs; kafkarium's durability mode decides instead."),
    topic("follower.replication.throttled.replicas", List, "", Replicas, &[],
        "Followers whose replication is throttled; kept and told, not applied."),
    topic("index.interval.bytes", Int, "4096", AtLeast(0), &[same("log.index.interval.bytes")],
        "How often Kafka adds an entry to its offset index; without effect here."),
    topic("leader.replication.throttled.replicas", List, "", Replicas, &[],
        "Leaders whose replication is throttled; kept and told, not applied."),
    topic("local.retention.bytes", Long, "-2", AtLeast(-2), &[same("log.local.retention.bytes")],
        "Tiered storage's local size; without effect here."),
    topic("local.retention.ms", Long, "-2", AtLeast(-2), &[same("log.local.retention.ms")],
        "Tiered storage's local age; without effect here."),
    topic("max.compaction.lag.ms", Long, I64_MAX, AtLeast(1), &[same("log.cleaner.max.compaction.lag.ms")],
        "At most so long a record stays uncompacted."),
    topic("max.message.bytes", Int, "1048588", AtLeast(0), &[same("message.max.bytes")],
        "The largest record batch, compressed."),
    topic("message.timestamp.after.max.ms", Long, "3600000", AtLeast(0), &[same("log.message.timestamp.after.max.ms")],
        "How far a record's time may lie in the future."),
    topic("message.timestamp.before.max.ms", Long, I64_MAX, AtLeast(0), &[same("log.message.timestamp.before.max.ms")],
        "How far a record's time may lie in the past."),
    topic("message.timestamp.type", Kind::String, "CreateTime", OneOf(TIMESTAMPS),
        &[same("log.message.timestamp.type")],
        "Whose time a record bears: the producer's, or the leader's at the append."),
    topic("min.cleanable.dirty.ratio", Double, "0.5", Ratio, &[same("log.cleaner.min.cleanable.ratio")],
        "How much of a log must be uncompacted before it is compacted."),
    topic("min.compaction.lag.ms", Long, "0", AtLeast(0), &[same("log.cleaner.min.compaction.lag.ms")],
        "At least so long a record stays uncompacted."),
    topic("min.insync.replicas", Int, "1", AtLeast(1), &[same("min.insync.replicas")],
        "How many replicas must have a record before acks=all is answered."),
    topic("preallocate", Boolean, "false", Any, &[same("log.preallocate")],
        "Whether Kafka reserves a segment's file; without effect here."),
    topic("remote.log.copy.disable", Boolean, "false", Any, &[],
        "Tiered storage's switch for copies; without effect here."),
    topic("remote.log.delete.on.disable", Boolean, "false", Any, &[],
        "Tiered storage's clean-up; without effect here."),
    topic("remote.storage.enable", Boolean, "false", OneOf(&["false"]), &[],
        "Tiered storage; there is none here."),
    topic("retention.bytes", Long, "-1", Any, &[same("log.retention.bytes")],
        "The size a partition may grow to before its oldest segments go; -1 for no limit."),
    topic("retention.ms", Long, "604800000", AtLeast(-1),
        &[same("log.retention.ms"), times("log.retention.minutes", MINUTE_MS), times("log.retention.hours", HOUR_MS)],
        "The age at which segments go; -1 for never."),
    topic("segment.bytes", Int, "1073741824", AtLeast(14), &[same("log.segment.bytes")],
        "The size of a segment: retention and compaction work on whole ones."),
    topic("segment.index.bytes", Int, "10485760", AtLeast(4), &[same("log.index.size.max.bytes")],
        "The size of Kafka's index files; without effect here."),
    topic("segment.jitter.ms", Long, "0", AtLeast(0),
        &[same("log.roll.jitter.ms"), times("log.roll.jitter.hours", HOUR_MS)],
        "Spreads the rolling of segments; without effect here."),
    topic("segment.ms", Long, "604800000", AtLeast(1), &[same("log.roll.ms"), times("log.roll.hours", HOUR_MS)],
        "The age at which a segment is closed and the next begun."),
    topic("unclean.leader.election.enable", Boolean, "false", Any, &[same("unclean.leader.election.enable")],
        "Whether a replica that lacks acknowledged records may lead when no other can."),
];

/// The configurations of brokers, by name.
#[rustfmt::skip]
pub static BROKER: &[ConfigDef] = &[
    unset("advertised.listeners", Kind::String, Any, ReadOnly,
        "The address that clients are told."),
    broker("auto.create.topics.enable", Boolean, "true", Any, ReadOnly,
        "Whether asking for a topic's metadata makes it."),
    broker("auto.leader.rebalance.enable", Boolean, "true", Any, ReadOnly,
        "Whether preferred leaders are put back from time to time."),
    broker("background.threads", Int, "10", AtLeast(1), ClusterWide,
        "Kafka's threads for background work; without effect here."),
    broker("broker.heartbeat.interval.ms", Int, "2000", AtLeast(1), ReadOnly,
        "How often a broker shows itself to the controller."),
    broker("broker.id", Int, "-1", Any, ReadOnly,
        "The broker's id."),
    unset("broker.rack", Kind::String, Any, ReadOnly,
        "The broker's rack: replicas are spread over racks."),
    broker("broker.session.timeout.ms", Int, "9000", AtLeast(1), ReadOnly,
        "After this long a silent broker is fenced."),
    broker("compression.gzip.level", Int, "-1", Between(-1, 9), ClusterWide,
        "Default of the topic configuration of this name."),
    broker("compression.lz4.level", Int, "9", Between(1, 17), ClusterWide,
        "Default of the topic configuration of this name."),
    broker("compression.type", Kind::String, "producer", OneOf(CODECS), ClusterWide,
        "Default of the topic configuration of this name."),
    broker("compression.zstd.level", Int, "3", Between(-131_072, 22), ClusterWide,
        "Default of the topic configuration of this name."),
    broker("connections.max.idle.ms", Long, "600000", Any, ReadOnly,
        "After this long an idle connection is closed."),
    broker("controlled.shutdown.enable", Boolean, "true", Any, ReadOnly,
        "Whether a broker that stops hands its leaderships over first."),
    broker("controller.quorum.append.linger.ms", Int, "25", AtLeast(0), ReadOnly,
        "How long Kafka's quorum leader gathers records; kafkarium writes at once."),
    broker("controller.quorum.election.backoff.max.ms", Int, "1000", AtLeast(0), ReadOnly,
        "At most so long a voter waits after a lost election."),
    broker("controller.quorum.election.timeout.ms", Int, "1000", AtLeast(1), ReadOnly,
        "How long an election may take before the next begins."),
    broker("controller.quorum.fetch.timeout.ms", Int, "2000", AtLeast(1), ReadOnly,
        "After this long without the quorum's leader a voter wants an election."),
    broker("controller.quorum.fetch.wait.max.ms", Int, "500", AtLeast(1), ReadOnly,
        "How long the quorum's leader holds an idle Fetch. kafkarium's own name: Kafka has it built in."),
    broker("controller.quorum.request.timeout.ms", Int, "2000", AtLeast(1), ReadOnly,
        "After this long an unanswered request within the quorum counts as lost."),
    broker("default.replication.factor", Int, "1", Between(1, 32_767), ReadOnly,
        "Replicas of a topic whose creator does not say."),
    broker("delete.topic.enable", Boolean, "true", Any, ReadOnly,
        "Whether topics can be deleted."),
    broker("fetch.max.bytes", Int, "57671680", AtLeast(1024), ReadOnly,
        "The largest response to a client's Fetch."),
    broker("follower.replication.throttled.rate", Long, I64_MAX, AtLeast(0), PerBroker,
        "Followers' throttle in bytes a second; kept and told, not applied."),
    broker("group.consumer.assignors", List, "uniform,range", ListOf(ASSIGNORS), ReadOnly,
        "The assignors of consumer groups; the first is the default."),
    broker("group.consumer.heartbeat.interval.ms", Int, "5000", AtLeast(1), ReadOnly,
        "How often members of consumer groups (KIP-848) show themselves."),
    broker("group.consumer.max.heartbeat.interval.ms", Int, "15000", AtLeast(1), ReadOnly,
        "The largest heartbeat interval a consumer group may have."),
    broker("group.consumer.max.session.timeout.ms", Int, "60000", AtLeast(1), ReadOnly,
        "The largest session timeout a consumer group may have."),
    broker("group.consumer.max.size", Int, I32_MAX, AtLeast(1), ReadOnly,
        "Members of a consumer group at most."),
    broker("group.consumer.migration.policy", Kind::String, "bidirectional", OneOf(MIGRATIONS), ReadOnly,
        "Which groups may change their protocol while members work: to consumer groups, to classic ones, both, none."),
    broker("group.consumer.min.heartbeat.interval.ms", Int, "5000", AtLeast(1), ReadOnly,
        "The smallest heartbeat interval a consumer group may have."),
    broker("group.consumer.min.session.timeout.ms", Int, "45000", AtLeast(1), ReadOnly,
        "The smallest session timeout a consumer group may have."),
    broker("group.consumer.session.timeout.ms", Int, "45000", AtLeast(1), ReadOnly,
        "After this long a silent member of a consumer group is out."),
    broker("group.initial.rebalance.delay.ms", Int, "3000", AtLeast(0), ReadOnly,
        "How long a new classic group waits for more members."),
    broker("group.max.session.timeout.ms", Int, "1800000", AtLeast(0), ReadOnly,
        "The largest session timeout a classic member may ask for."),
    broker("group.max.size", Int, I32_MAX, AtLeast(1), ReadOnly,
        "Members of a classic group at most."),
    broker("group.min.session.timeout.ms", Int, "6000", AtLeast(0), ReadOnly,
        "The smallest session timeout a classic member may ask for."),
    broker("leader.imbalance.check.interval.seconds", Long, "300", AtLeast(1), ReadOnly,
        "How often preferred leaders are put back."),
    broker("leader.imbalance.per.broker.percentage", Int, "10", AtLeast(0), ReadOnly,
        "Told only: like Kafka's controller, ours puts every preferred leader back."),
    broker("leader.replication.throttled.rate", Long, I64_MAX, AtLeast(0), PerBroker,
        "Leaders' throttle in bytes a second; kept and told, not applied."),
    broker("listeners", Kind::String, "PLAINTEXT://:9092", Any, ReadOnly,
        "The address that the broker listens on."),
    broker("log.cleaner.backoff.ms", Long, "15000", AtLeast(0), ClusterWide,
        "How long the compactor rests when there is nothing to compact."),
    broker("log.cleaner.delete.retention.ms", Long, "86400000", AtLeast(0), ClusterWide,
        "Default of delete.retention.ms."),
    broker("log.cleaner.enable", Boolean, "true", Any, ReadOnly,
        "Whether topics are compacted."),
    broker("log.cleaner.max.compaction.lag.ms", Long, I64_MAX, AtLeast(1), ClusterWide,
        "Default of max.compaction.lag.ms."),
    broker("log.cleaner.min.cleanable.ratio", Double, "0.5", Ratio, ClusterWide,
        "Default of min.cleanable.dirty.ratio."),
    broker("log.cleaner.min.compaction.lag.ms", Long, "0", AtLeast(0), ClusterWide,
        "Default of min.compaction.lag.ms."),
    broker("log.cleaner.threads", Int, "1", AtLeast(0), ClusterWide,
        "Kafka's threads for compaction; without effect here."),
    broker("log.cleanup.policy", List, "delete", ListOf(POLICIES), ClusterWide,
        "Default of cleanup.policy."),
    broker("log.dir", Kind::String, "/tmp/kafka-logs", Any, ReadOnly,
        "Where Kafka keeps its logs; kafkarium has its data folder."),
    unset("log.dirs", Kind::String, Any, ReadOnly,
        "Where Kafka keeps its logs; kafkarium has its data folder."),
    broker("log.flush.interval.messages", Long, I64_MAX, AtLeast(1), ClusterWide,
        "Default of flush.messages."),
    unset("log.flush.interval.ms", Long, AtLeast(0), ClusterWide,
        "Default of flush.ms."),
    broker("log.flush.scheduler.interval.ms", Long, I64_MAX, AtLeast(0), ReadOnly,
        "Default of flush.ms where log.flush.interval.ms is not set."),
    broker("log.index.interval.bytes", Int, "4096", AtLeast(0), ClusterWide,
        "Default of index.interval.bytes."),
    broker("log.index.size.max.bytes", Int, "10485760", AtLeast(4), ClusterWide,
        "Default of segment.index.bytes."),
    broker("log.local.retention.bytes", Long, "-2", AtLeast(-2), ClusterWide,
        "Default of local.retention.bytes."),
    broker("log.local.retention.ms", Long, "-2", AtLeast(-2), ClusterWide,
        "Default of local.retention.ms."),
    broker("log.message.timestamp.after.max.ms", Long, "3600000", AtLeast(0), ClusterWide,
        "Default of message.timestamp.after.max.ms."),
    broker("log.message.timestamp.before.max.ms", Long, I64_MAX, AtLeast(0), ClusterWide,
        "Default of message.timestamp.before.max.ms."),
    broker("log.message.timestamp.type", Kind::String, "CreateTime", OneOf(TIMESTAMPS), ClusterWide,
        "Default of message.timestamp.type."),
    broker("log.preallocate", Boolean, "false", Any, ClusterWide,
        "Default of preallocate."),
    broker("log.retention.bytes", Long, "-1", Any, ClusterWide,
        "Default of retention.bytes."),
    broker("log.retention.check.interval.ms", Long, "300000", AtLeast(1), ReadOnly,
        "How often old segments are looked for."),
    broker("log.retention.hours", Int, "168", Any, ReadOnly,
        "Default of retention.ms, in hours, where nothing finer is set."),
    unset("log.retention.minutes", Int, Any, ReadOnly,
        "Default of retention.ms, in minutes, where log.retention.ms is not set."),
    unset("log.retention.ms", Long, AtLeast(-1), ClusterWide,
        "Default of retention.ms."),
    broker("log.roll.hours", Int, "168", AtLeast(1), ReadOnly,
        "Default of segment.ms, in hours, where log.roll.ms is not set."),
    broker("log.roll.jitter.hours", Int, "0", AtLeast(0), ReadOnly,
        "Default of segment.jitter.ms, in hours, where log.roll.jitter.ms is not set."),
    unset("log.roll.jitter.ms", Long, AtLeast(0), ClusterWide,
        "Default of segment.jitter.ms."),
    unset("log.roll.ms", Long, AtLeast(1), ClusterWide,
        "Default of segment.ms."),
    broker("log.segment.bytes", Int, "1073741824", AtLeast(14), ClusterWide,
        "Default of segment.bytes."),
    broker("log.segment.delete.delay.ms", Long, "60000", AtLeast(0), ClusterWide,
        "Default of file.delete.delay.ms."),
    broker("max.connection.creation.rate", Int, I32_MAX, AtLeast(0), PerBroker,
        "New connections a second at most; without effect here."),
    broker("max.connections", Int, I32_MAX, AtLeast(0), PerBroker,
        "Connections to a broker at most."),
    broker("max.connections.per.ip", Int, I32_MAX, AtLeast(0), ClusterWide,
        "Connections of one address at most; without effect here."),
    broker("max.incremental.fetch.session.cache.slots", Int, "1000", AtLeast(0), ReadOnly,
        "Fetch sessions a broker keeps at most."),
    broker("max.request.partition.size.limit", Int, "2000", AtLeast(1), ReadOnly,
        "Partitions that one DescribeTopicPartitions response holds at most."),
    broker("message.max.bytes", Int, "1048588", AtLeast(0), ClusterWide,
        "Default of max.message.bytes."),
    broker("metadata.log.max.record.bytes.between.snapshots", Long, "20971520", AtLeast(1), ReadOnly,
        "After how many bytes of metadata a snapshot is written."),
    broker("metadata.log.max.snapshot.interval.ms", Long, "3600000", AtLeast(0), ReadOnly,
        "After how long Kafka writes a snapshot anyway; without effect here."),
    broker("metadata.max.idle.interval.ms", Int, "500", AtLeast(0), ReadOnly,
        "How often Kafka's idle controller writes a no-op; without effect here."),
    broker("min.insync.replicas", Int, "1", AtLeast(1), ClusterWide,
        "Default of the topic configuration of this name."),
    broker("node.id", Int, "-1", Any, ReadOnly,
        "The broker's id."),
    broker("num.io.threads", Int, "8", AtLeast(1), ClusterWide,
        "Kafka's threads for requests; a broker here has one of its own."),
    broker("num.network.threads", Int, "3", AtLeast(1), ClusterWide,
        "Kafka's threads for sockets; without effect here."),
    broker("num.partitions", Int, "1", AtLeast(1), ReadOnly,
        "Partitions of a topic whose creator does not say."),
    broker("num.recovery.threads.per.data.dir", Int, "2", AtLeast(1), ClusterWide,
        "Kafka's threads for recovery; without effect here."),
    broker("num.replica.fetchers", Int, "1", AtLeast(1), ClusterWide,
        "Kafka's threads for replication; without effect here."),
    broker("offset.metadata.max.bytes", Int, "4096", AtLeast(0), ReadOnly,
        "The largest metadata that goes with a committed offset."),
    broker("offsets.commit.timeout.ms", Int, "5000", AtLeast(1), ReadOnly,
        "How long a commit may wait for the replicas."),
    broker("offsets.retention.check.interval.ms", Long, "600000", AtLeast(1), ReadOnly,
        "How often expired offsets are looked for."),
    broker("offsets.retention.minutes", Int, "10080", AtLeast(1), ReadOnly,
        "How long offsets of an empty group are kept."),
    broker("offsets.topic.num.partitions", Int, "50", AtLeast(1), ReadOnly,
        "Partitions of __consumer_offsets."),
    broker("offsets.topic.replication.factor", Short, "3", AtLeast(1), ReadOnly,
        "Replicas of __consumer_offsets."),
    broker("offsets.topic.segment.bytes", Int, "104857600", AtLeast(1), ReadOnly,
        "The size of a segment of __consumer_offsets."),
    broker("process.roles", List, "broker,controller", Any, ReadOnly,
        "Whether the node is a broker, a voter of the quorum, or both."),
    broker("producer.id.expiration.ms", Int, "86400000", AtLeast(1), ClusterWide,
        "How long a leader remembers a producer that is silent."),
    broker("queued.max.requests", Int, "500", AtLeast(1), ReadOnly,
        "Requests that may wait for a broker before its sockets are left unread."),
    broker("replica.fetch.backoff.ms", Int, "1000", AtLeast(0), ReadOnly,
        "How long a follower rests after a failed Fetch."),
    broker("replica.fetch.max.bytes", Int, "1048576", AtLeast(0), ReadOnly,
        "How much of one partition a follower fetches at once."),
    broker("replica.fetch.min.bytes", Int, "1", AtLeast(0), ReadOnly,
        "How much a follower waits for; without effect here: always 1."),
    broker("replica.fetch.response.max.bytes", Int, "10485760", AtLeast(0), ReadOnly,
        "How much a follower fetches at once."),
    broker("replica.fetch.wait.max.ms", Int, "500", AtLeast(0), ReadOnly,
        "How long a leader holds a follower's Fetch when there is nothing new."),
    broker("replica.lag.time.max.ms", Long, "30000", AtLeast(1), ReadOnly,
        "After this long behind, a follower leaves the ISR."),
    unset("replica.selector.class", Class, Any, ReadOnly,
        "Who reads from which replica (KIP-392)."),
    broker("replica.socket.timeout.ms", Int, "30000", AtLeast(1), ReadOnly,
        "After this long an unanswered request between brokers counts as lost."),
    broker("request.timeout.ms", Int, "30000", AtLeast(1), ReadOnly,
        "After this long a broker gives up on the controller's answer."),
    broker("socket.receive.buffer.bytes", Int, "102400", Any, ReadOnly,
        "A socket's receive buffer; -1 for the system's."),
    broker("socket.request.max.bytes", Int, "104857600", AtLeast(1), ReadOnly,
        "The largest request."),
    broker("socket.send.buffer.bytes", Int, "102400", Any, ReadOnly,
        "A socket's send buffer; -1 for the system's."),
    broker("transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, "10000", AtLeast(1), ReadOnly,
        "How often transactions that timed out are looked for."),
    broker("transaction.max.timeout.ms", Int, "900000", AtLeast(1), ReadOnly,
        "The longest a transaction may take."),
    broker("transaction.partition.verification.enable", Boolean, "true", Any, ClusterWide,
        "Whether leaders ask the coordinator before they take a transaction's records."),
    broker("transaction.state.log.min.isr", Int, "2", AtLeast(1), ReadOnly,
        "min.insync.replicas of __transaction_state."),
    broker("transaction.state.log.num.partitions", Int, "50", AtLeast(1), ReadOnly,
        "Partitions of __transaction_state."),
    broker("transaction.state.log.replication.factor", Short, "3", AtLeast(1), ReadOnly,
        "Replicas of __transaction_state."),
    broker("transaction.state.log.segment.bytes", Int, "104857600", AtLeast(1), ReadOnly,
        "The size of a segment of __transaction_state."),
    broker("transactional.id.expiration.ms", Int, "604800000", AtLeast(1), ReadOnly,
        "How long a transactional id is remembered."),
    broker("unclean.leader.election.enable", Boolean, "false", Any, ClusterWide,
        "Default of the topic configuration of this name."),
    broker("unclean.leader.election.interval.ms", Long, "300000", AtLeast(1), ReadOnly,
        "How often leaderless partitions are looked at."),
];

/// Every group configuration (KIP-848; `GroupConfig`), by name.
#[rustfmt::skip]
pub static GROUP: &[ConfigDef] = &[
    group("consumer.heartbeat.interval.ms", "5000", &[same("group.consumer.heartbeat.interval.ms")],
        "How often members of the group show themselves."),
    group("consumer.session.timeout.ms", "45000", &[same("group.consumer.session.timeout.ms")],
        "After this long a silent member of the group is out."),
];

/// A configuration by name.
pub fn find(scope: Scope, name: &str) -> Option<&'static ConfigDef> {
    let table = match scope {
        Scope::Topic => TOPIC,
        Scope::Broker => BROKER,
        Scope::Group => GROUP,
    };
    table.binary_search_by(|def| def.name.cmp(name)).ok().map(|index| &table[index])
}

impl ConfigDef {
    /// Whether a value is allowed.
    ///
    /// # Errors
    /// Why not, in Kafka's words where tools show them.
    pub fn validate(&self, value: &str) -> Result<(), String> {
        let wrong = |why: String| Err(format!("Invalid value {value} for configuration {}: {why}", self.name));
        let (low, high, kind) = match self.kind {
            Kind::Boolean => {
                let is_bool = value.trim().eq_ignore_ascii_case("true") || value.trim().eq_ignore_ascii_case("false");
                if !is_bool {
                    return wrong("Expected value to be either true or false".to_owned());
                }
                return self.validate_words(value);
            }
            Kind::Short => (i64::from(i16::MIN), i64::from(i16::MAX), "16-bit"),
            Kind::Int => (i64::from(i32::MIN), i64::from(i32::MAX), "32-bit"),
            Kind::Long => (i64::MIN, i64::MAX, "64-bit"),
            Kind::Double => {
                let is_ratio = millionths(value).is_some_and(|ratio| ratio <= 1_000_000);
                return if is_ratio { Ok(()) } else { wrong("Value must be a number from 0 to 1".to_owned()) };
            }
            Kind::String | Kind::List | Kind::Class => return self.validate_words(value),
        };
        let Some(number) = value.trim().parse::<i64>().ok().filter(|number| (low..=high).contains(number)) else {
            return wrong(format!("Not a number of type {kind}"));
        };
        match self.check {
            AtLeast(least) if number < least => wrong(format!("Value must be at least {least}")),
            Between(least, _) if number < least => wrong(format!("Value must be at least {least}")),
            Between(_, most) if number > most => wrong(format!("Value must be no more than {most}")),
            _ => Ok(()),
        }
    }

    fn validate_words(&self, value: &str) -> Result<(), String> {
        let wrong = |why: String| Err(format!("Invalid value {value} for configuration {}: {why}", self.name));
        match self.check {
            OneOf(words) if !words.contains(&value) => wrong(format!("String must be one of: {}", words.join(", "))),
            ListOf(words) => {
                let unknown = list(value).find(|word| !words.contains(word));
                match unknown {
                    Some(word) => wrong(format!("String must be one of: {} (and not {word})", words.join(", "))),
                    None if list(value).next().is_none() => wrong("The list must not be empty".to_owned()),
                    None => Ok(()),
                }
            }
            Replicas if !is_replica_list(value) => {
                wrong("Must be the literal '*' or a list of replicas as [partitionId]:[brokerId],...".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// The words of a list value.
pub fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// A decimal fraction that is not negative, in millionths, rounded up; `None` if it is none.
fn millionths(value: &str) -> Option<u64> {
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let (kept, rest) = fraction.split_at(fraction.len().min(6));
    let kept: u64 = format!("{kept:0<6}").parse().ok()?;
    let rounded = u64::from(rest.bytes().any(|digit| digit != b'0'));
    whole.checked_mul(1_000_000)?.checked_add(kept + rounded)
}

fn is_replica_list(value: &str) -> bool {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    value == "*" || list(value).all(|pair| pair.split_once(':').is_some_and(|(a, b)| is_number(a) && is_number(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique_and_every_default_is_valid() {
        for table in [TOPIC, BROKER] {
            assert!(table.windows(2).all(|pair| pair[0].name < pair[1].name), "sorted");
            for def in table {
                if let Some(default) = def.default {
                    assert_eq!(def.validate(default), Ok(()), "{}", def.name);
                }
                assert_eq!(find(def.scope, def.name), Some(def));
            }
        }
    }

    #[test]
    fn every_synonym_of_a_topics_configuration_is_a_brokers_and_yields_its_default() {
        for def in TOPIC {
            for synonym in def.synonyms {
                let broker = find(Scope::Broker, synonym.name).expect(synonym.name);
                assert!(synonym.factor > 1 || broker.kind == def.kind, "{}", def.name);
            }
            let defaults = def.synonyms.iter().filter_map(|synonym| {
                let default = find(Scope::Broker, synonym.name)?.default?;
                let scaled = || default.parse::<i64>().ok().map(|number| (number * synonym.factor).to_string());
                if synonym.factor == 1 { Some(default.to_owned()) } else { scaled() }
            });
            if let Some(first) = defaults.into_iter().next() {
                assert_eq!(Some(first.as_str()), def.default, "{}", def.name);
            }
        }
    }

    #[test]
    fn values_are_checked_by_type_and_range() {
        let check = |name, value| find(Scope::Topic, name).expect(name).validate(value).is_ok();
        assert!(check("retention.ms", "-1") && !check("retention.ms", "-2") && !check("retention.ms", "soon"));
        assert!(check("segment.bytes", "1024") && !check("segment.bytes", "4294967296"));
        assert!(check("cleanup.policy", "compact,delete") && !check("cleanup.policy", "compact,melt"));
        assert!(!check("cleanup.policy", ""));
        assert!(check("preallocate", "TRUE") && !check("preallocate", "yes"));
        assert!(check("compression.type", "zstd") && !check("compression.type", "brotli"));
        for (ratio, is_valid) in [("0.5", true), ("1", true), (".25", true), ("1.0000001", false), ("-0.1", false)] {
            assert_eq!(check("min.cleanable.dirty.ratio", ratio), is_valid, "{ratio}");
        }
        let throttled = "leader.replication.throttled.replicas";
        assert!(check(throttled, "*") && check(throttled, "0:1,1:2") && !check(throttled, "0-1"));
    }
}

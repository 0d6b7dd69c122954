//! The broker's configuration, typed, with Kafka's names in the docs. Values that a test or a user sets by name go through the
//! table in `controller/configs.rs`. Two presets of timing exist (`lab` and `kafka`); everything else has Kafka's default but for the
//! replication factors and `min.insync.replicas`, which fit the number of brokers so that the first picture is a safe one.

use crate::engine::group::consumer::assignor::Assignor;
use crate::engine::mutant::Mutant;
use crate::protocol::ids::{BrokerId, DirectoryId};

/// A preset of timing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timing {
    /// Short timeouts: a failover is seen within a second.
    #[default]
    Lab,
    /// Kafka's defaults.
    Kafka,
}

/// Which groups may change their protocol while members work (KIP-848).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MigrationPolicy {
    /// From classic to consumer groups and back.
    #[default]
    Bidirectional,
    /// From classic to consumer groups.
    Upgrade,
    /// From consumer to classic groups.
    Downgrade,
    /// None.
    Disabled,
}

impl MigrationPolicy {
    /// Kafka's names, in the order of the values.
    pub const NAMES: [&'static str; 4] = ["bidirectional", "upgrade", "downgrade", "disabled"];

    /// The one of a name, whatever its case.
    pub fn by_name(name: &str) -> Option<MigrationPolicy> {
        let all = [
            MigrationPolicy::Bidirectional,
            MigrationPolicy::Upgrade,
            MigrationPolicy::Downgrade,
            MigrationPolicy::Disabled,
        ];
        all.into_iter().find(|policy| policy.name().eq_ignore_ascii_case(name))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        MigrationPolicy::NAMES[self as usize]
    }
}

/// What every broker of a cluster has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The cluster's id, as clients see it.
    pub cluster_id: String,
    /// `broker.heartbeat.interval.ms`.
    pub broker_heartbeat_interval_ms: u64,
    /// `broker.session.timeout.ms`.
    pub broker_session_timeout_ms: u64,
    /// `controller.quorum.election.timeout.ms`.
    pub quorum_election_timeout_ms: u64,
    /// `controller.quorum.fetch.timeout.ms`.
    pub quorum_fetch_timeout_ms: u64,
    /// `controller.quorum.election.backoff.max.ms`.
    pub quorum_election_backoff_max_ms: u64,
    /// `controller.quorum.request.timeout.ms`.
    pub quorum_request_timeout_ms: u64,
    /// How long the leader holds an idle metadata Fetch (`MAX_FETCH_WAIT_MS` in Kafka's raft client). Well below the fetch timeout.
    pub quorum_fetch_wait_max_ms: u64,
    /// Metadata bytes after which a snapshot is written (`metadata.log.max.record.bytes.between.snapshots`).
    pub metadata_snapshot_bytes: u64,
    /// `replica.lag.time.max.ms`.
    pub replica_lag_time_max_ms: u64,
    /// `replica.fetch.wait.max.ms`.
    pub replica_fetch_wait_max_ms: u64,
    /// `replica.fetch.max.bytes`: of one partition.
    pub replica_fetch_max_bytes: u32,
    /// `replica.fetch.response.max.bytes`: of one response.
    pub replica_fetch_response_max_bytes: u32,
    /// `replica.fetch.backoff.ms`.
    pub replica_fetch_backoff_ms: u64,
    /// After this long without an answer a request to another broker counts as lost.
    pub peer_request_timeout_ms: u64,
    /// `fetch.max.bytes`: of one response to a client.
    pub fetch_max_bytes: u32,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_session_slots: usize,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval_ms: u64,
    /// `log.cleaner.backoff.ms`: how long the cleaner rests when no log needs it.
    pub cleaner_backoff_ms: u64,
    /// `log.cleaner.enable`.
    pub cleaner_enabled: bool,
    /// `leader.imbalance.check.interval.seconds`, in milliseconds.
    pub leader_imbalance_check_interval_ms: u64,
    /// `auto.leader.rebalance.enable`.
    pub auto_leader_rebalance_enable: bool,
    /// `leader.imbalance.per.broker.percentage`.
    pub leader_imbalance_percentage: u32,
    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: u64,
    /// `group.consumer.assignors`, the first being the default.
    pub group_consumer_assignors: Vec<Assignor>,
    /// `group.consumer.heartbeat.interval.ms`.
    pub group_consumer_heartbeat_interval_ms: u64,
    /// `group.consumer.max.heartbeat.interval.ms`.
    pub group_consumer_max_heartbeat_interval_ms: u64,
    /// `group.consumer.max.session.timeout.ms`.
    pub group_consumer_max_session_timeout_ms: u64,
    /// `group.consumer.max.size`.
    pub group_consumer_max_size: usize,
    /// `group.consumer.migration.policy`.
    pub group_consumer_migration_policy: MigrationPolicy,
    /// `group.consumer.min.heartbeat.interval.ms`.
    pub group_consumer_min_heartbeat_interval_ms: u64,
    /// `group.consumer.min.session.timeout.ms`.
    pub group_consumer_min_session_timeout_ms: u64,
    /// `group.consumer.session.timeout.ms`.
    pub group_consumer_session_timeout_ms: u64,
    /// `group.initial.rebalance.delay.ms`.
    pub group_initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`.
    pub group_min_session_timeout_ms: u64,
    /// `group.max.session.timeout.ms`.
    pub group_max_session_timeout_ms: u64,
    /// `group.max.size`.
    pub group_max_size: usize,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.commit.timeout.ms`: how long any write of a group coordinator may wait for the replicas.
    pub offsets_commit_timeout_ms: u64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: u64,
    /// `offsets.retention.minutes`.
    pub offsets_retention_minutes: u64,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_num_partitions: i32,
    /// `offsets.topic.replication.factor`.
    pub offsets_topic_replication_factor: i16,
    /// `offsets.topic.segment.bytes`.
    pub offsets_topic_segment_bytes: u64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`: how often transactions are looked through for those that are open
    /// too long, and ids for those that have rested for long.
    pub transaction_sweep_interval_ms: u64,
    /// `transaction.max.timeout.ms`.
    pub transaction_max_timeout_ms: u64,
    /// `transaction.state.log.min.isr`.
    pub transaction_topic_min_isr: i32,
    /// `transaction.state.log.num.partitions`.
    pub transaction_topic_num_partitions: i32,
    /// `transaction.state.log.replication.factor`.
    pub transaction_topic_replication_factor: i16,
    /// `transaction.state.log.segment.bytes`.
    pub transaction_topic_segment_bytes: u64,
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration_ms: u64,
    /// Settings by Kafka's name that have no field of their own: the brokers' static configuration, told by DescribeConfigs and
    /// inherited by topics where a topic's key has the broker's key as its default.
    pub properties: std::collections::BTreeMap<String, String>,
    /// A planted bug, in a simulated world: see [`ClusterConfig::with_mutant`].
    pub(in crate::engine) mutant: Option<Mutant>,
}

impl ClusterConfig {
    /// A preset for a cluster of so many brokers.
    pub fn preset(timing: Timing, cluster_id: &str, brokers: usize) -> ClusterConfig {
        let lab = timing == Timing::Lab;
        let pick = |lab_ms: u64, kafka_ms: u64| if lab { lab_ms } else { kafka_ms };
        ClusterConfig {
            cluster_id: cluster_id.to_owned(),
            broker_heartbeat_interval_ms: pick(100, 2_000),
            broker_session_timeout_ms: pick(600, 9_000),
            quorum_election_timeout_ms: pick(150, 1_000),
            quorum_fetch_timeout_ms: pick(300, 2_000),
            quorum_election_backoff_max_ms: pick(100, 1_000),
            quorum_request_timeout_ms: pick(300, 2_000),
            quorum_fetch_wait_max_ms: pick(100, 500),
            metadata_snapshot_bytes: 20 * 1024 * 1024,
            replica_lag_time_max_ms: pick(1_000, 30_000),
            replica_fetch_wait_max_ms: pick(100, 500),
            replica_fetch_max_bytes: 1024 * 1024,
            replica_fetch_response_max_bytes: 10 * 1024 * 1024,
            replica_fetch_backoff_ms: pick(50, 1_000),
            peer_request_timeout_ms: pick(1_000, 30_000),
            fetch_max_bytes: 55 * 1024 * 1024,
            fetch_session_slots: 1_000,
            retention_check_interval_ms: pick(1_000, 300_000),
            cleaner_backoff_ms: pick(1_000, 15_000),
            cleaner_enabled: true,
            leader_imbalance_check_interval_ms: 300_000,
            auto_leader_rebalance_enable: true,
            leader_imbalance_percentage: 10,
            auto_create_topics_enable: true,
            num_partitions: 1,
            default_replication_factor: i16::try_from(brokers.min(3)).expect("at most three"),
            min_insync_replicas: if brokers >= 3 { 2 } else { 1 },
            producer_id_expiration_ms: 86_400_000,
            group_consumer_assignors: vec![Assignor::Uniform, Assignor::Range],
            group_consumer_heartbeat_interval_ms: pick(500, 5_000),
            group_consumer_max_heartbeat_interval_ms: 15_000,
            group_consumer_max_session_timeout_ms: 60_000,
            group_consumer_max_size: 2_147_483_647,
            group_consumer_migration_policy: MigrationPolicy::Bidirectional,
            group_consumer_min_heartbeat_interval_ms: pick(100, 5_000),
            group_consumer_min_session_timeout_ms: pick(1_000, 45_000),
            group_consumer_session_timeout_ms: pick(10_000, 45_000),
            group_initial_rebalance_delay_ms: pick(0, 3_000),
            group_min_session_timeout_ms: pick(1_000, 6_000),
            group_max_session_timeout_ms: 1_800_000,
            group_max_size: 2_147_483_647,
            offset_metadata_max_bytes: 4_096,
            offsets_commit_timeout_ms: 5_000,
            offsets_retention_check_interval_ms: 600_000,
            offsets_retention_minutes: 10_080,
            offsets_topic_num_partitions: 50,
            offsets_topic_replication_factor: i16::try_from(brokers.min(3)).expect("at most three"),
            offsets_topic_segment_bytes: 104_857_600,
            transaction_sweep_interval_ms: pick(500, 10_000),
            transaction_max_timeout_ms: 900_000,
            transaction_topic_min_isr: if brokers >= 3 { 2 } else { 1 },
            transaction_topic_num_partitions: 50,
            transaction_topic_replication_factor: i16::try_from(brokers.min(3)).expect("at most three"),
            transaction_topic_segment_bytes: 104_857_600,
            transactional_id_expiration_ms: 604_800_000,
            properties: std::collections::BTreeMap::new(),
            mutant: None,
        }
    }
}

impl ClusterConfig {
    /// The same with a planted bug. For simulated worlds alone: no setting leads here, and a live host never calls it (a test of the
    /// source sees to that).
    pub fn with_mutant(self, mutant: Option<Mutant>) -> ClusterConfig {
        ClusterConfig { mutant, ..self }
    }

    /// Whether a bug is planted.
    pub fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// What one broker starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Its id.
    pub broker: BrokerId,
    /// Its log directory.
    pub directory: DirectoryId,
    /// Drawn at each start.
    pub incarnation: uuid::Uuid,
    /// The address clients are told.
    pub host: String,
    /// The port clients are told.
    pub port: u16,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The voters of the quorum when the cluster was made (id and directory): what holds until the log says otherwise.
    pub initial_voters: std::collections::BTreeMap<BrokerId, DirectoryId>,
    /// What all brokers have in common.
    pub cluster: ClusterConfig,
}

/// How a topic's records are stamped (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer's time.
    #[default]
    CreateTime,
    /// The leader's time at the append.
    LogAppendTime,
}

/// A topic's configuration, resolved: the topic's own value, else the brokers' dynamic one, else their static one, else Kafka's default
/// (`LogConfig`). Made by `controller::configs::topic_config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election_enable: bool,
    /// `retention.ms`; `None` for −1.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`; `None` for −1.
    pub retention_bytes: Option<u64>,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: u64,
    /// `max.message.bytes`.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: u64,
    /// `cleanup.policy` holds `delete`.
    pub cleanup_delete: bool,
    /// `cleanup.policy` holds `compact`.
    pub cleanup_compact: bool,
    /// `delete.retention.ms`.
    pub delete_retention_ms: u64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: u64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: u64,
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub min_cleanable_dirty_millionths: u64,
    /// `compression.type` other than `producer` is kept and shown; batches stay as the producer made them.
    pub compression_type: String,
}

impl Default for TopicConfig {
    fn default() -> TopicConfig {
        TopicConfig {
            min_insync_replicas: 1,
            unclean_leader_election_enable: false,
            retention_ms: Some(604_800_000),
            retention_bytes: None,
            segment_bytes: 1024 * 1024 * 1024,
            segment_ms: 604_800_000,
            max_message_bytes: 1_048_588,
            message_timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: u64::MAX,
            timestamp_after_max_ms: 3_600_000,
            cleanup_delete: true,
            cleanup_compact: false,
            delete_retention_ms: 86_400_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX.cast_unsigned(),
            min_cleanable_dirty_millionths: 500_000,
            compression_type: "producer".to_owned(),
        }
    }
}

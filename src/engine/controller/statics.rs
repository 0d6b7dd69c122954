//! The static configuration by Kafka's names: what `--set KEY=VALUE` writes and DescribeConfigs reads. Some names have
//! a typed field in [`ClusterConfig`]; the others are kept as they are.
//!
//! Invariant: a value that was accepted is valid by the table; reading back gives what was set (numbers in their plain
//! form).
//!
//! What belongs to one broker (its id, address, rack) is not set here: the cluster gives it.

use crate::engine::config::{ClusterConfig, MigrationPolicy};
use crate::engine::controller::config_table::{self, BROKER, ConfigDef, Kind, Scope};
use crate::engine::group::consumer::assignor::Assignor;

/// Why a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// There is no such name.
    #[error("no broker configuration is named {name:?}{}", suggestion(.nearest))]
    UnknownName {
        /// What was asked for.
        name: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// The cluster gives it.
    #[error("{name} is given by the cluster and cannot be set")]
    Given {
        /// The name.
        name: &'static str,
    },
    /// The value is not allowed.
    #[error("{0}")]
    InvalidValue(String),
    /// Two values do not go together.
    #[error("{0}")]
    Contradiction(String),
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// What the cluster gives each broker.
const GIVEN: &[&str] = &[
    "advertised.listeners",
    "broker.id",
    "broker.rack",
    "listeners",
    "log.dir",
    "log.dirs",
    "node.id",
    "process.roles",
];

/// A name that has a field of its own.
struct Field {
    name: &'static str,
    get: fn(&ClusterConfig) -> i64,
    set: fn(&mut ClusterConfig, i64),
}

macro_rules! fields {
    ($($name:literal => $field:ident;)*) => {
        &[$(Field {
            name: $name,
            get: |config| i64::try_from(config.$field).unwrap_or(i64::MAX),
            // The table's range check comes first: what passed it fits.
            set: |config, value| config.$field = value.try_into().expect("a value within the table's range"),
        },)*]
    };
}

static FIELDS: &[Field] = fields! {
    "broker.heartbeat.interval.ms" => broker_heartbeat_interval_ms;
    "broker.session.timeout.ms" => broker_session_timeout_ms;
    "controller.quorum.election.backoff.max.ms" => quorum_election_backoff_max_ms;
    "controller.quorum.election.timeout.ms" => quorum_election_timeout_ms;
    "controller.quorum.fetch.timeout.ms" => quorum_fetch_timeout_ms;
    "controller.quorum.fetch.wait.max.ms" => quorum_fetch_wait_max_ms;
    "controller.quorum.request.timeout.ms" => quorum_request_timeout_ms;
    "default.replication.factor" => default_replication_factor;
    "fetch.max.bytes" => fetch_max_bytes;
    "group.consumer.heartbeat.interval.ms" => group_consumer_heartbeat_interval_ms;
    "group.consumer.max.heartbeat.interval.ms" => group_consumer_max_heartbeat_interval_ms;
    "group.consumer.max.session.timeout.ms" => group_consumer_max_session_timeout_ms;
    "group.consumer.max.size" => group_consumer_max_size;
    "group.consumer.min.heartbeat.interval.ms" => group_consumer_min_heartbeat_interval_ms;
    "group.consumer.min.session.timeout.ms" => group_consumer_min_session_timeout_ms;
    "group.consumer.session.timeout.ms" => group_consumer_session_timeout_ms;
    "group.initial.rebalance.delay.ms" => group_initial_rebalance_delay_ms;
    "group.max.session.timeout.ms" => group_max_session_timeout_ms;
    "group.max.size" => group_max_size;
    "group.min.session.timeout.ms" => group_min_session_timeout_ms;
    "leader.imbalance.per.broker.percentage" => leader_imbalance_percentage;
    "log.cleaner.backoff.ms" => cleaner_backoff_ms;
    "log.retention.check.interval.ms" => retention_check_interval_ms;
    "max.incremental.fetch.session.cache.slots" => fetch_session_slots;
    "metadata.log.max.record.bytes.between.snapshots" => metadata_snapshot_bytes;
    "min.insync.replicas" => min_insync_replicas;
    "num.partitions" => num_partitions;
    "offset.metadata.max.bytes" => offset_metadata_max_bytes;
    "offsets.commit.timeout.ms" => offsets_commit_timeout_ms;
    "offsets.retention.check.interval.ms" => offsets_retention_check_interval_ms;
    "offsets.retention.minutes" => offsets_retention_minutes;
    "offsets.topic.num.partitions" => offsets_topic_num_partitions;
    "offsets.topic.replication.factor" => offsets_topic_replication_factor;
    "offsets.topic.segment.bytes" => offsets_topic_segment_bytes;
    "producer.id.expiration.ms" => producer_id_expiration_ms;
    "replica.fetch.backoff.ms" => replica_fetch_backoff_ms;
    "replica.fetch.max.bytes" => replica_fetch_max_bytes;
    "replica.fetch.response.max.bytes" => replica_fetch_response_max_bytes;
    "replica.fetch.wait.max.ms" => replica_fetch_wait_max_ms;
    "replica.lag.time.max.ms" => replica_lag_time_max_ms;
    "replica.socket.timeout.ms" => peer_request_timeout_ms;
    "transaction.abort.timed.out.transaction.cleanup.interval.ms" => transaction_sweep_interval_ms;
    "transaction.max.timeout.ms" => transaction_max_timeout_ms;
    "transaction.state.log.min.isr" => transaction_topic_min_isr;
    "transaction.state.log.num.partitions" => transaction_topic_num_partitions;
    "transaction.state.log.replication.factor" => transaction_topic_replication_factor;
    "transaction.state.log.segment.bytes" => transaction_topic_segment_bytes;
    "transactional.id.expiration.ms" => transactional_id_expiration_ms;
};

/// Fields of other shapes.
static ODD_FIELDS: &[Field] = &[
    Field {
        name: "log.cleaner.enable",
        get: |config| i64::from(config.cleaner_enabled),
        set: |config, value| config.cleaner_enabled = value == 1,
    },
    Field {
        name: "auto.create.topics.enable",
        get: |config| i64::from(config.auto_create_topics_enable),
        set: |config, value| config.auto_create_topics_enable = value == 1,
    },
    Field {
        name: "auto.leader.rebalance.enable",
        get: |config| i64::from(config.auto_leader_rebalance_enable),
        set: |config, value| config.auto_leader_rebalance_enable = value == 1,
    },
    Field {
        name: "leader.imbalance.check.interval.seconds",
        get: |config| i64::try_from(config.leader_imbalance_check_interval_ms / 1_000).unwrap_or(i64::MAX),
        set: |config, value| {
            let seconds = u64::try_from(value).expect("a value within the table's range");
            config.leader_imbalance_check_interval_ms = seconds.saturating_mul(1_000);
        },
    },
];

/// A name that has a field of its own whose values are words.
struct Words {
    name: &'static str,
    get: fn(&ClusterConfig) -> String,
    set: fn(&mut ClusterConfig, &str),
}

static WORDS: &[Words] = &[
    Words {
        name: "group.consumer.assignors",
        get: |config| {
            config.group_consumer_assignors.iter().map(|assignor| assignor.name()).collect::<Vec<_>>().join(",")
        },
        set: |config, value| {
            config.group_consumer_assignors =
                value.split(',').filter_map(|name| Assignor::by_name(name.trim())).collect();
        },
    },
    Words {
        name: "group.consumer.migration.policy",
        get: |config| config.group_consumer_migration_policy.name().to_owned(),
        set: |config, value| {
            config.group_consumer_migration_policy = MigrationPolicy::by_name(value).unwrap_or_default();
        },
    },
];

fn words(name: &str) -> Option<&'static Words> {
    WORDS.iter().find(|words| words.name == name)
}

fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().chain(ODD_FIELDS).find(|field| field.name == name)
}

/// Sets a broker configuration by Kafka's name for the whole cluster.
///
/// # Errors
/// If the name is unknown (with the nearest one there is), given by the cluster, or the value is not allowed.
pub fn set_static(config: &mut ClusterConfig, name: &str, value: &str) -> Result<(), SetError> {
    let name = name.trim();
    let Some(def) = config_table::find(Scope::Broker, name) else {
        // A topic's name where the brokers' is wanted: retention.ms for log.retention.ms.
        let synonym = config_table::find(Scope::Topic, name).and_then(|def| def.synonyms.first());
        let nearest = synonym.map(|synonym| synonym.name).or_else(|| nearest(name));
        return Err(SetError::UnknownName { name: name.to_owned(), nearest });
    };
    if GIVEN.contains(&def.name) {
        return Err(SetError::Given { name: def.name });
    }
    let value = value.trim();
    def.validate(value).map_err(SetError::InvalidValue)?;
    if let Some(words) = words(def.name) {
        (words.set)(config, value);
        return Ok(());
    }
    match field(def.name) {
        Some(field) => (field.set)(config, number(def, value)),
        None => {
            config.properties.insert(def.name.to_owned(), value.to_owned());
        }
    }
    Ok(())
}

fn number(def: &ConfigDef, value: &str) -> i64 {
    match def.kind {
        Kind::Boolean => i64::from(value.eq_ignore_ascii_case("true")),
        _ => value.parse().expect("the table has checked that it is a number"),
    }
}

/// What is set statically for a broker configuration, if it is anything but the default.
pub fn static_value(config: &ClusterConfig, name: &str) -> Option<String> {
    if let Some(words) = words(name) {
        let default = config_table::find(Scope::Broker, name).and_then(|def| def.default);
        return Some((words.get)(config)).filter(|value| Some(value.as_str()) != default);
    }
    let Some(field) = field(name) else { return config.properties.get(name).cloned() };
    let def = config_table::find(Scope::Broker, name).expect("every field is in the table");
    let number = (field.get)(config);
    let value = if def.kind == Kind::Boolean { (number == 1).to_string() } else { number.to_string() };
    Some(value).filter(|value| Some(value.as_str()) != def.default)
}

/// Whether the values go together: what one timeout promises, another must not break.
///
/// # Errors
/// The first pair that does not.
pub fn check_together(config: &ClusterConfig) -> Result<(), SetError> {
    let less = |small: (&str, u64), large: (&str, u64), why: &str| {
        if small.1 < large.1 {
            return Ok(());
        }
        let ((small, a), (large, b)) = (small, large);
        Err(SetError::Contradiction(format!("{small} ({a}) must be less than {large} ({b}): {why}")))
    };
    less(
        ("broker.heartbeat.interval.ms", config.broker_heartbeat_interval_ms),
        ("broker.session.timeout.ms", config.broker_session_timeout_ms),
        "a healthy broker would be fenced",
    )?;
    less(
        ("group.consumer.heartbeat.interval.ms", config.group_consumer_heartbeat_interval_ms),
        ("group.consumer.session.timeout.ms", config.group_consumer_session_timeout_ms),
        "a healthy member of a consumer group would be out",
    )?;
    within(
        ("group.consumer.heartbeat.interval.ms", config.group_consumer_heartbeat_interval_ms),
        ("group.consumer.min.heartbeat.interval.ms", config.group_consumer_min_heartbeat_interval_ms),
        ("group.consumer.max.heartbeat.interval.ms", config.group_consumer_max_heartbeat_interval_ms),
    )?;
    within(
        ("group.consumer.session.timeout.ms", config.group_consumer_session_timeout_ms),
        ("group.consumer.min.session.timeout.ms", config.group_consumer_min_session_timeout_ms),
        ("group.consumer.max.session.timeout.ms", config.group_consumer_max_session_timeout_ms),
    )?;
    less(
        ("controller.quorum.fetch.wait.max.ms", config.quorum_fetch_wait_max_ms),
        ("controller.quorum.fetch.timeout.ms", config.quorum_fetch_timeout_ms),
        "an idle quorum would hold elections for ever",
    )
}

/// Whether a value is within two others (`GroupCoordinatorConfig`).
fn within(value: (&str, u64), least: (&str, u64), most: (&str, u64)) -> Result<(), SetError> {
    for ((small, a), (large, b)) in [(least, value), (value, most)] {
        if a > b {
            let message = format!("{small} ({a}) must be less than or equal to {large} ({b})");
            return Err(SetError::Contradiction(message));
        }
    }
    Ok(())
}

/// The name in the table that takes the fewest edits, if it takes few.
fn nearest(name: &str) -> Option<&'static str> {
    let best = BROKER.iter().map(|def| (edits(name, def.name), def.name)).min()?;
    (best.0 <= name.len() / 3 + 1).then_some(best.1)
}

/// The Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::config::Timing;

    fn kafka() -> ClusterConfig {
        ClusterConfig::preset(Timing::Kafka, "test", 1)
    }

    #[test]
    fn every_broker_configuration_can_be_set_to_its_default_and_read_back() {
        for def in BROKER.iter().filter(|def| !GIVEN.contains(&def.name)) {
            let mut config = kafka();
            let Some(default) = def.default else { continue };
            set_static(&mut config, def.name, default).expect(def.name);
            let read = static_value(&config, def.name);
            assert!(read.is_none() || read.as_deref() == Some(default), "{}", def.name);
        }
    }

    #[test]
    fn typed_names_change_their_field_and_others_are_kept() {
        let mut config = kafka();
        set_static(&mut config, "broker.session.timeout.ms", " 700 ").expect("valid");
        set_static(&mut config, "auto.create.topics.enable", "false").expect("valid");
        set_static(&mut config, "leader.imbalance.check.interval.seconds", "7").expect("valid");
        set_static(&mut config, "log.retention.hours", "1").expect("valid");
        assert_eq!(config.broker_session_timeout_ms, 700);
        assert!(!config.auto_create_topics_enable);
        assert_eq!(config.leader_imbalance_check_interval_ms, 7_000);
        assert_eq!(static_value(&config, "log.retention.hours").as_deref(), Some("1"));
        assert_eq!(static_value(&config, "auto.create.topics.enable").as_deref(), Some("false"));
    }

    #[test]
    fn every_field_stands_in_the_table_and_takes_the_ends_of_its_range() {
        for field in FIELDS {
            let def = config_table::find(Scope::Broker, field.name).expect(field.name);
            for value in ["0", "1", "2147483647", "9223372036854775807", "-1"] {
                // Refused or set: never a panic.
                let _ = def.validate(value).map(|()| set_static(&mut kafka(), field.name, value));
            }
        }
    }

    #[test]
    fn unknown_names_come_with_the_nearest_one() {
        let error = |name| set_static(&mut kafka(), name, "1").expect_err("unknown").to_string();
        assert!(error("broker.sesion.timeout.ms").ends_with("did you mean broker.session.timeout.ms?"));
        assert!(error("retention.ms").ends_with("did you mean log.retention.ms?"));
        assert!(!error("zzz").contains("did you mean"));
    }

    #[test]
    fn what_the_cluster_gives_and_invalid_values_are_refused() {
        assert_eq!(set_static(&mut kafka(), "node.id", "1"), Err(SetError::Given { name: "node.id" }));
        let error = set_static(&mut kafka(), "num.partitions", "0").expect_err("too few").to_string();
        assert_eq!(error, "Invalid value 0 for configuration num.partitions: Value must be at least 1");
    }

    #[test]
    fn timeouts_that_break_each_other_are_told() {
        assert_eq!(check_together(&kafka()), Ok(()));
        assert_eq!(check_together(&ClusterConfig::preset(Timing::Lab, "test", 3)), Ok(()));
        let mut config = kafka();
        config.broker_heartbeat_interval_ms = 9_000;
        assert!(check_together(&config).is_err());
    }
}

//! Which value of a configuration holds: the topic's own, else the broker's dynamic one, else the brokers' dynamic
//! default, else the static one, else Kafka's default (KIP-226; `KafkaConfigSchema`, `LogConfig`).
//!
//! Invariant: the same image and static configuration give the same answer on the controller and on every broker, which
//! is why a leader's and the controller's idea of `min.insync.replicas` agree (KIP-966).
//!
//! Who may change what is decided in [`super::alter_configs`]; how it is told, in [`super::describe`].

use crate::engine::config::{ClusterConfig, TimestampType, TopicConfig};
use crate::engine::controller::config_table::{self, ConfigDef, Scope, Synonym};
use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::record::ConfigResource;
use crate::engine::controller::statics;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeMap;

/// What was set dynamically: [`MetadataImage::configs`], or what it will be.
pub(super) type Dynamic = BTreeMap<ConfigResource, BTreeMap<String, String>>;

const GROUP_HEARTBEAT: &str = "consumer.heartbeat.interval.ms";
const GROUP_SESSION: &str = "consumer.session.timeout.ms";

/// The times of a consumer group (KIP-848).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupTimeouts {
    /// How often members are to show themselves, in milliseconds.
    pub heartbeat_interval_ms: u64,
    /// After how long one that does not is out, in milliseconds.
    pub session_timeout_ms: u64,
}

/// Where a value comes from, with the number that DescribeConfigs tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    /// Set for the topic.
    Topic = 1,
    /// Set for the group.
    Group = 8,
    /// Set for the broker while it runs.
    Broker = 2,
    /// Set for all brokers while they run.
    Cluster = 3,
    /// Given at the brokers' start.
    Static = 4,
    /// Kafka's default.
    Default = 5,
}

/// One value that was found, of the topic's configuration or of a broker's that it falls back on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Of which configuration.
    pub name: &'static str,
    /// The value, in that configuration's own unit; `None` for null.
    pub value: Option<String>,
    /// Where it was found.
    pub source: ConfigSource,
    /// How many of the asked configuration's units one is.
    pub factor: i64,
}

impl Found {
    /// The value in the unit of the configuration that was asked for.
    pub fn scaled(&self) -> Option<String> {
        let value = self.value.clone()?;
        match (self.factor, value.parse::<i64>()) {
            (2.., Ok(number)) if number >= 0 => Some(number.saturating_mul(self.factor).to_string()),
            _ => Some(value),
        }
    }
}

/// Every value there is for a configuration, the one that holds first. A topic's falls back on its synonyms, all of a
/// layer before the next layer, and so does a group's; a broker's on itself.
pub(super) fn layers(
    dynamic: &Dynamic,
    cluster: &ClusterConfig,
    broker: Option<BrokerId>,
    own: Option<&str>,
    def: &'static ConfigDef,
) -> Vec<Found> {
    let mut found = Vec::new();
    if let Some(value) = own {
        let value = Some(value.to_owned());
        let source = if def.scope == Scope::Group { ConfigSource::Group } else { ConfigSource::Topic };
        found.push(Found { name: def.name, value, source, factor: 1 });
    }
    let itself = [Synonym { name: def.name, factor: 1 }];
    let synonyms = if def.scope == Scope::Broker { &itself[..] } else { def.synonyms };
    let dynamic_of = |resource: &ConfigResource, name: &str| dynamic.get(resource)?.get(name).cloned();
    let mut layer = |source, value_of: &dyn Fn(&str) -> Option<String>| {
        for synonym in synonyms {
            if let Some(value) = value_of(synonym.name) {
                found.push(Found { name: synonym.name, value: Some(value), source, factor: synonym.factor });
            }
        }
    };
    if let Some(broker) = broker {
        let resource = ConfigResource::Broker(broker);
        layer(ConfigSource::Broker, &|name| dynamic_of(&resource, name));
    }
    layer(ConfigSource::Cluster, &|name| dynamic_of(&ConfigResource::Cluster, name));
    layer(ConfigSource::Static, &|name| statics::static_value(cluster, name));
    layer(ConfigSource::Default, &|name| config_table::find(Scope::Broker, name)?.default.map(str::to_owned));
    if def.scope == Scope::Topic && def.synonyms.is_empty() {
        let value = def.default.map(str::to_owned);
        found.push(Found { name: def.name, value, source: ConfigSource::Default, factor: 1 });
    }
    found
}

fn topic_value(
    dynamic: &Dynamic,
    cluster: &ClusterConfig,
    broker: Option<BrokerId>,
    own: Option<&BTreeMap<String, String>>,
    name: &str,
) -> String {
    let def = config_table::find(Scope::Topic, name).expect("the configurations asked for are in the table");
    let own = own.and_then(|own| own.get(name)).map(String::as_str);
    let found = layers(dynamic, cluster, broker, own, def);
    found.first().and_then(Found::scaled).unwrap_or_default()
}

/// `min.insync.replicas` of a topic, as it is set: see `PartitionState::effective_min_isr` for what it means for a
/// partition.
pub fn min_insync_replicas(image: &MetadataImage, cluster: &ClusterConfig, topic: &str) -> i32 {
    min_insync_replicas_in(&image.configs, cluster, topic)
}

pub(super) fn min_insync_replicas_in(dynamic: &Dynamic, cluster: &ClusterConfig, topic: &str) -> i32 {
    let own = dynamic.get(&ConfigResource::Topic(topic.to_owned()));
    let value = topic_value(dynamic, cluster, None, own, "min.insync.replicas");
    value.parse().unwrap_or(cluster.min_insync_replicas)
}

/// `unclean.leader.election.enable` of a topic.
pub fn allows_unclean_election(image: &MetadataImage, cluster: &ClusterConfig, topic: &str) -> bool {
    let own = image.configs.get(&ConfigResource::Topic(topic.to_owned()));
    is_true(&topic_value(&image.configs, cluster, None, own, "unclean.leader.election.enable"))
}

/// A topic's configuration as every broker sees it that has no dynamic configuration of its own.
pub fn topic_config(image: &MetadataImage, cluster: &ClusterConfig, topic: &str) -> TopicConfig {
    resolve_topic(image, cluster, None, topic)
}

/// A topic's configuration on one broker.
pub fn topic_config_on(image: &MetadataImage, cluster: &ClusterConfig, broker: BrokerId, topic: &str) -> TopicConfig {
    resolve_topic(image, cluster, Some(broker), topic)
}

/// How often members of a consumer group show themselves, and after how long one that does not is out, in
/// milliseconds: the group's own configuration, else the brokers' (`GroupMetadataManager.consumerGroupSessionTimeoutMs`).
pub fn consumer_group_timeouts_ms(image: &MetadataImage, cluster: &ClusterConfig, group: &str) -> GroupTimeouts {
    let own = if image.configs.is_empty() { None } else { image.configs.get(&ConfigResource::Group(group.to_owned())) };
    let value = |name: &str| own.and_then(|own| own.get(name)).and_then(|value| value.parse().ok());
    GroupTimeouts {
        heartbeat_interval_ms: value(GROUP_HEARTBEAT).unwrap_or(cluster.group_consumer_heartbeat_interval_ms),
        session_timeout_ms: value(GROUP_SESSION).unwrap_or(cluster.group_consumer_session_timeout_ms),
    }
}

/// Whether a group may have these configurations (`GroupConfig.validate`).
///
/// # Errors
/// Why not, in Kafka's words.
pub(super) fn check_group(cluster: &ClusterConfig, values: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in values {
        let Some(def) = config_table::find(Scope::Group, name) else {
            return Err(format!("Unknown group config name: {name}"));
        };
        def.validate(value)?;
    }
    let value = |name: &str, default: u64| values.get(name).and_then(|value| value.parse().ok()).unwrap_or(default);
    let heartbeat_ms = value(GROUP_HEARTBEAT, cluster.group_consumer_heartbeat_interval_ms);
    let session_ms = value(GROUP_SESSION, cluster.group_consumer_session_timeout_ms);
    let heartbeats =
        cluster.group_consumer_min_heartbeat_interval_ms..=cluster.group_consumer_max_heartbeat_interval_ms;
    let sessions = cluster.group_consumer_min_session_timeout_ms..=cluster.group_consumer_max_session_timeout_ms;
    for (name, value, allowed, what) in [
        (GROUP_HEARTBEAT, heartbeat_ms, heartbeats, "heartbeat.interval.ms"),
        (GROUP_SESSION, session_ms, sessions, "session.timeout.ms"),
    ] {
        if value < *allowed.start() {
            return Err(format!("{name} must be greater than or equal to group.consumer.min.{what}"));
        }
        if value > *allowed.end() {
            return Err(format!("{name} must be less than or equal to group.consumer.max.{what}"));
        }
    }
    if session_ms <= heartbeat_ms {
        return Err(format!("{GROUP_SESSION} must be greater than {GROUP_HEARTBEAT}"));
    }
    Ok(())
}

fn resolve_topic(image: &MetadataImage, cluster: &ClusterConfig, broker: Option<BrokerId>, topic: &str) -> TopicConfig {
    let own = image.configs.get(&ConfigResource::Topic(topic.to_owned()));
    let value = |name: &str| topic_value(&image.configs, cluster, broker, own, name);
    let unsigned = |name: &str| value(name).parse::<u64>().ok();
    let defaults = TopicConfig::default();
    let policies = value("cleanup.policy");
    let has_policy = |policy: &str| config_table::list(&policies).any(|word| word == policy);
    TopicConfig {
        min_insync_replicas: min_insync_replicas(image, cluster, topic),
        unclean_leader_election_enable: is_true(&value("unclean.leader.election.enable")),
        // −1, and anything below it, is "no limit".
        retention_ms: unsigned("retention.ms"),
        retention_bytes: unsigned("retention.bytes"),
        segment_bytes: unsigned("segment.bytes").unwrap_or(defaults.segment_bytes),
        segment_ms: unsigned("segment.ms").unwrap_or(defaults.segment_ms),
        max_message_bytes: value("max.message.bytes").parse().unwrap_or(defaults.max_message_bytes),
        message_timestamp_type: match value("message.timestamp.type").as_str() {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        },
        timestamp_before_max_ms: unsigned("message.timestamp.before.max.ms")
            .unwrap_or(defaults.timestamp_before_max_ms),
        timestamp_after_max_ms: unsigned("message.timestamp.after.max.ms").unwrap_or(defaults.timestamp_after_max_ms),
        cleanup_delete: has_policy("delete"),
        cleanup_compact: has_policy("compact"),
        delete_retention_ms: unsigned("delete.retention.ms").unwrap_or(defaults.delete_retention_ms),
        min_compaction_lag_ms: unsigned("min.compaction.lag.ms").unwrap_or(defaults.min_compaction_lag_ms),
        max_compaction_lag_ms: unsigned("max.compaction.lag.ms").unwrap_or(defaults.max_compaction_lag_ms),
        min_cleanable_dirty_millionths: millionths(&value("min.cleanable.dirty.ratio"))
            .unwrap_or(defaults.min_cleanable_dirty_millionths),
        compression_type: value("compression.type"),
    }
}

/// A broker configuration's value on a broker: dynamic, static or default; `None` for null and for names the table does
/// not have.
pub fn broker_value(image: &MetadataImage, cluster: &ClusterConfig, broker: BrokerId, name: &str) -> Option<String> {
    let def = config_table::find(Scope::Broker, name)?;
    layers(&image.configs, cluster, Some(broker), None, def).first()?.value.clone()
}

/// A decimal fraction in millionths; what is finer is left out.
fn millionths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let part = digits.map(|digit| char::from(digit).to_digit(10)).try_fold(0, |sum, digit| Some(sum * 10 + digit?))?;
    whole.checked_mul(1_000_000)?.checked_add(u64::from(part))
}

/// How booleans are read, whatever their case.
pub(super) fn is_true(value: &str) -> bool {
    value.trim().eq_ignore_ascii_case("true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::config::Timing;

    fn set(image: &mut MetadataImage, resource: ConfigResource, name: &str, value: &str) {
        image.configs.entry(resource).or_default().insert(name.to_owned(), value.to_owned());
    }

    #[test]
    fn without_anything_set_a_topic_has_kafkas_defaults() {
        let cluster = ClusterConfig::preset(Timing::Kafka, "test", 1);
        assert_eq!(topic_config(&MetadataImage::default(), &cluster, "orders"), {
            // The table tells 2^63−1 for "no bound", as Kafka does.
            TopicConfig { timestamp_before_max_ms: 9_223_372_036_854_775_807, ..TopicConfig::default() }
        });
    }

    #[test]
    fn the_topic_comes_before_the_broker_before_the_cluster_before_what_is_static() {
        let mut cluster = ClusterConfig::preset(Timing::Kafka, "test", 3);
        let mut image = MetadataImage::default();
        let retention = |image: &MetadataImage, cluster: &ClusterConfig| {
            topic_config_on(image, cluster, BrokerId(1), "orders").retention_ms
        };
        statics::set_static(&mut cluster, "log.retention.hours", "2").expect("valid");
        assert_eq!(retention(&image, &cluster), Some(7_200_000));
        statics::set_static(&mut cluster, "log.retention.minutes", "3").expect("valid");
        assert_eq!(retention(&image, &cluster), Some(180_000), "the finer unit wins");
        set(&mut image, ConfigResource::Cluster, "log.retention.ms", "4");
        assert_eq!(retention(&image, &cluster), Some(4));
        set(&mut image, ConfigResource::Broker(BrokerId(1)), "log.retention.ms", "5");
        assert_eq!(retention(&image, &cluster), Some(5));
        assert_eq!(topic_config(&image, &cluster, "orders").retention_ms, Some(4), "of the others");
        set(&mut image, ConfigResource::Topic("orders".to_owned()), "retention.ms", "-1");
        assert_eq!(retention(&image, &cluster), None);
    }

    #[test]
    fn the_minimum_of_in_sync_replicas_follows_topic_cluster_and_static_value() {
        let cluster = ClusterConfig::preset(Timing::Lab, "test", 3);
        let mut image = MetadataImage::default();
        assert_eq!(min_insync_replicas(&image, &cluster, "orders"), 2);
        set(&mut image, ConfigResource::Cluster, "min.insync.replicas", "3");
        assert_eq!(min_insync_replicas(&image, &cluster, "orders"), 3);
        set(&mut image, ConfigResource::Topic("orders".to_owned()), "min.insync.replicas", "1");
        assert_eq!(topic_config(&image, &cluster, "orders").min_insync_replicas, 1);
    }

    #[test]
    fn a_group_has_its_own_times_within_the_brokers_bounds() {
        let cluster = ClusterConfig::preset(Timing::Kafka, "test", 3);
        let mut image = MetadataImage::default();
        let timeouts = |image: &MetadataImage| {
            let timeouts = consumer_group_timeouts_ms(image, &cluster, "billing");
            (timeouts.heartbeat_interval_ms, timeouts.session_timeout_ms)
        };
        assert_eq!(timeouts(&image), (5_000, 45_000));
        set(&mut image, ConfigResource::Group("audit".to_owned()), GROUP_SESSION, "50000");
        assert_eq!(timeouts(&image), (5_000, 45_000), "another group's");
        set(&mut image, ConfigResource::Group("billing".to_owned()), GROUP_SESSION, "50000");
        assert_eq!(timeouts(&image), (5_000, 50_000));

        let refusal = |values: &[(&str, &str)]| {
            let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            check_group(&cluster, &values).err().unwrap_or_default()
        };
        assert_eq!(refusal(&[(GROUP_SESSION, "50000"), (GROUP_HEARTBEAT, "15000")]), "");
        assert_eq!(
            refusal(&[(GROUP_SESSION, "44999")]),
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"
        );
        assert_eq!(
            refusal(&[(GROUP_HEARTBEAT, "15001")]),
            "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms"
        );
        assert_eq!(refusal(&[("session", "1")]), "Unknown group config name: session");
        assert!(refusal(&[(GROUP_SESSION, "soon")]).contains("Not a number"));
        let mut odd = cluster.clone();
        odd.group_consumer_min_session_timeout_ms = 1;
        let values = BTreeMap::from([(GROUP_SESSION.to_owned(), "5000".to_owned())]);
        let why = check_group(&odd, &values).expect_err("as long as a heartbeat's interval");
        assert_eq!(why, "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms");
    }

    #[test]
    fn a_negative_number_of_hours_means_without_limit() {
        let mut cluster = ClusterConfig::preset(Timing::Kafka, "test", 1);
        statics::set_static(&mut cluster, "log.retention.hours", "-1").expect("valid");
        assert_eq!(topic_config(&MetadataImage::default(), &cluster, "orders").retention_ms, None);
    }
}

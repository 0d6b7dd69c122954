//! Topics as the console shows them, and where the partitions of a new one would go.
//!
//! Invariants: rows are a window; settings are of one topic; a placement is told for the partitions in view only. Counts are exact.
//!
//! Deliberately not here: how anything looks, and which values a setting may have (`engine::controller::config_table`).

use super::{BrokerId, PartitionRow, PartitionSeverity};
use std::sync::Arc;

/// What the console wants to see of topics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicsRequest {
    /// Index of the first wanted row, the worst topic first.
    pub first_row: usize,
    /// How many rows are in view.
    pub row_count: usize,
    /// The topic wanted in detail; the first one if there is no such topic.
    pub selected: Option<Arc<str>>,
    /// Kafka's own topics too.
    pub internal: bool,
    /// Only topics whose name contains this, ignoring case; a leading `!` inverts. Empty: all.
    pub filter: String,
    /// How many samples a history of rates has.
    pub spark_samples: usize,
}

/// The topics at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicsView {
    /// The window of rows: topics that need attention first, Kafka's own last, else by name.
    pub rows: Vec<TopicRow>,
    /// Index of the first of them.
    pub first_row: usize,
    /// How many topics the filter lets through.
    pub total: usize,
    /// How many users' topics there are, their partitions, and the bytes in one copy of each.
    pub own: TopicSums,
    /// The same of Kafka's own topics.
    pub internal: TopicSums,
    /// Index of the topic in detail.
    pub selected_index: usize,
    /// That topic.
    pub detail: Option<Box<TopicDetail>>,
}

/// What topics add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicSums {
    /// How many there are.
    pub topics: u32,
    /// Their partitions.
    pub partitions: u32,
    /// Bytes in their leaders' logs.
    pub bytes: u64,
}

/// A topic in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRow {
    /// Its name.
    pub name: Arc<str>,
    /// Kafka's own (`__consumer_offsets`).
    pub internal: bool,
    /// The worst of its partitions.
    pub severity: PartitionSeverity,
    /// Its partitions.
    pub partitions: u32,
    /// Replicas of each partition (replication factor).
    pub replicas: u32,
    /// `min.insync.replicas`.
    pub min_isr: u32,
    /// Partitions nobody leads.
    pub no_leader: u32,
    /// Partitions whose high watermark stands still though records wait above it.
    pub stalled: u32,
    /// Partitions with fewer in-sync replicas than replicas.
    pub under_replicated: u32,
    /// Records a second appended by the leaders.
    pub records_per_s: u64,
    /// Past values of `records_per_s`, one a second, oldest first.
    pub rate_history: Vec<u64>,
    /// Bytes in the leaders' logs.
    pub bytes: u64,
    /// `cleanup.policy`.
    pub cleanup: String,
    /// How many settings it has of its own.
    pub changed: u32,
}

/// A topic in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDetail {
    /// Its row.
    pub row: TopicRow,
    /// Its settings: those of its own first, then those that are no defaults, then the rest, each by name.
    pub settings: Vec<TopicSetting>,
}

impl TopicDetail {
    /// The value of a setting; `None` for null and for names that there are not.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|setting| setting.name == name)?.value.as_deref()
    }
}

/// A setting of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSetting {
    /// Kafka's name of it.
    pub name: &'static str,
    /// Its value; `None` for null.
    pub value: Option<String>,
    /// Where the value was set.
    pub set_by: SetBy,
    /// Kafka's default.
    pub default: Option<&'static str>,
    /// What it does.
    pub doc: &'static str,
}

/// Where a value was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetBy {
    /// For the topic.
    Topic,
    /// For the brokers while they run.
    Brokers,
    /// At the brokers' start.
    Start,
    /// Nowhere: Kafka's default.
    Default,
}

/// Where a record is: its partition, and who has read how far in it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceView {
    /// The partition with its replicas.
    pub row: PartitionRow,
    /// Groups that have committed an offset in it, by name, each with that offset: everything below it was read. At most 100.
    pub groups: Vec<(Arc<str>, i64)>,
}

/// Where the replicas of partitions that do not exist yet would go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlacementRequest {
    /// How many partitions are in view.
    pub partitions: u32,
    /// Replicas of each.
    pub replicas: u32,
}

/// An example of a placement: the controller draws where it begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlacementView {
    /// What was asked for.
    pub of: PlacementRequest,
    /// The replicas of each partition, the preferred leader first. Empty where `problem` is not.
    pub rows: Vec<Vec<BrokerId>>,
    /// Why it cannot be, in Kafka's words.
    pub problem: String,
}

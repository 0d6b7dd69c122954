//! Topics with what their partitions add up to, kept up to date as each partition changes.
//!
//! Invariants: a topic's counts are those of its partitions as they are; a change costs O(log n), a view what is in its window; only
//! another filter costs a pass over all topics. Rates are sampled once a second, and only of topics that are or were written to.
//!
//! Deliberately not here: single partitions (`partitions`), and which settings there are (`engine::controller`).

use super::meter::Samples;
use super::partition::Counted;
use super::ranking::Ranking;
use super::shared::SharedMap;
use crate::cluster::view::{
    PartitionSeverity, PlacementRequest, PlacementView, SetBy, TopicDetail, TopicRow, TopicSetting, TopicSums,
    TopicsRequest, TopicsView,
};
use crate::engine::config::ClusterConfig;
use crate::engine::controller::configs::{self, ConfigSource};
use crate::engine::controller::describe;
use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::placement::Placer;
use crate::engine::controller::record::ConfigResource;
use crate::engine::prng::Prng;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A sample of a rate stands for so long, in milliseconds.
const RATE_EVERY_MS: u64 = 1_000;
/// So many are kept of each topic.
const RATES: usize = 60;

/// Whether a topic is the cluster's own, not its users'.
pub(super) fn is_internal(topic: &str) -> bool {
    topic.starts_with("__")
}

/// What one topic's partitions add up to.
#[derive(Debug, Clone)]
struct Topic {
    partitions: u32,
    no_leader: u32,
    stalled: u32,
    missing_copy: u32,
    under_replicated: u32,
    records_per_s: u64,
    bytes: u64,
    rates: Samples<u64>,
    /// It was written to since it is known.
    is_sampled: bool,
}

impl Default for Topic {
    fn default() -> Topic {
        Topic {
            partitions: 0,
            no_leader: 0,
            stalled: 0,
            missing_copy: 0,
            under_replicated: 0,
            records_per_s: 0,
            bytes: 0,
            rates: Samples::new(RATE_EVERY_MS, RATES),
            is_sampled: false,
        }
    }
}

impl Topic {
    fn severity(&self) -> PartitionSeverity {
        if self.no_leader > 0 {
            PartitionSeverity::NoLeader
        } else if self.stalled > 0 {
            PartitionSeverity::Stalled
        } else if self.missing_copy > 0 {
            PartitionSeverity::MissingCopy
        } else {
            PartitionSeverity::Healthy
        }
    }
}

/// The order of the rows: the worst first, Kafka's own last, then by name.
type Key = (PartitionSeverity, bool, Arc<str>);

/// The rows that pass a filter, in order.
#[derive(Debug, Clone, Default)]
struct Listing {
    internal: bool,
    filter: String,
    rows: Ranking<Key>,
}

impl Listing {
    fn passes(&self, name: &str) -> bool {
        if is_internal(name) && !self.internal {
            return false;
        }
        let (is_inverted, wanted) = match self.filter.strip_prefix('!') {
            Some(wanted) => (true, wanted),
            None => (false, self.filter.as_str()),
        };
        wanted.is_empty() || name.to_lowercase().contains(&wanted.to_lowercase()) != is_inverted
    }
}

fn key(name: &Arc<str>, severity: PartitionSeverity) -> Key {
    (severity, is_internal(name), Arc::clone(name))
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Topics {
    known: SharedMap<Arc<str>, Topic>,
    own: TopicSums,
    internal: TopicSums,
    listing: Listing,
    sampled_at: Option<u64>,
    /// How many rows were built or looked at for views: what a test holds against the size of the window.
    pub(super) rows_touched: usize,
}

impl Topics {
    /// Adds what a partition adds to its topic, or takes it back.
    pub(super) fn count(&mut self, name: &Arc<str>, counted: &Counted, add: bool) {
        let is_new = self.known.get(name).is_none();
        if is_new {
            self.known.insert(Arc::clone(name), Topic::default());
        }
        let topic = self.known.get_mut(name).expect("it was put in");
        let before = topic.severity();
        let sums = if is_internal(name) { &mut self.internal } else { &mut self.own };
        let step = |number: &mut u32| *number = if add { *number + 1 } else { *number - 1 };
        let sum = |number: &mut u64, by: u64| *number = if add { *number + by } else { *number - by };
        step(&mut topic.partitions);
        step(&mut sums.partitions);
        match counted.severity {
            PartitionSeverity::NoLeader => step(&mut topic.no_leader),
            PartitionSeverity::Stalled => step(&mut topic.stalled),
            PartitionSeverity::MissingCopy => step(&mut topic.missing_copy),
            PartitionSeverity::Healthy => {}
        }
        if counted.is_under_replicated {
            step(&mut topic.under_replicated);
        }
        sum(&mut topic.records_per_s, counted.records_per_s);
        sum(&mut topic.bytes, counted.bytes);
        sum(&mut sums.bytes, counted.bytes);
        topic.is_sampled |= topic.records_per_s > 0;
        sums.topics += u32::from(is_new);
        let after = topic.severity();
        if (is_new || before != after) && self.listing.passes(name) {
            self.listing.rows.remove(&key(name, before));
            self.listing.rows.insert(key(name, after));
        }
    }

    /// Forgets a topic that has no partition any more.
    pub(super) fn forget_if_empty(&mut self, name: &Arc<str>) {
        if self.known.get(name).is_some_and(|topic| topic.partitions == 0)
            && let Some(topic) = self.known.remove(name)
        {
            self.listing.rows.remove(&key(name, topic.severity()));
            let sums = if is_internal(name) { &mut self.internal } else { &mut self.own };
            sums.topics -= 1;
        }
    }

    /// Notes the rates of this moment. Called as often as one likes.
    pub(super) fn sample(&mut self, at_ms: u64) {
        let slot = at_ms / RATE_EVERY_MS;
        if self.sampled_at == Some(slot) {
            return;
        }
        self.sampled_at = Some(slot);
        let sampled = self.known.iter().filter(|(_, topic)| topic.is_sampled);
        let names: Vec<Arc<str>> = sampled.map(|(name, _)| Arc::clone(name)).collect();
        for name in &names {
            let topic = self.known.get_mut(name).expect("it is known");
            topic.rates.push(at_ms, topic.records_per_s);
        }
    }

    /// What these take in memory beyond what they share with others.
    pub(super) fn bytes_beyond(&self, other: &Topics) -> usize {
        let known = self.known.bytes_beyond(&other.known, |topic| size_of::<Topic>() + topic.rates.bytes());
        known + self.listing.rows.bytes_beyond(&other.listing.rows)
    }

    /// The topics that are wanted.
    pub(super) fn view(&mut self, want: &TopicsRequest, image: &MetadataImage, cluster: &ClusterConfig) -> TopicsView {
        if want.internal != self.listing.internal || want.filter != self.listing.filter {
            self.list_anew(want);
        }
        let rows = &self.listing.rows;
        let selected = want.selected.as_ref().filter(|name| self.listing.passes(name));
        let selected =
            selected.and_then(|name| self.known.get(name).map(|topic| rows.rank(&key(name, topic.severity()))));
        let selected_index = selected.unwrap_or(0);
        let row = |key: &Key| self.row(&key.2, want, image, cluster);
        let detail = rows.from(selected_index).next().and_then(row);
        let window: Vec<TopicRow> = rows.from(want.first_row).take(want.row_count).filter_map(row).collect();
        self.rows_touched += window.len() + 1;
        TopicsView {
            rows: window,
            first_row: want.first_row,
            total: rows.len(),
            own: self.own,
            internal: self.internal,
            selected_index,
            detail: detail.map(|row| Box::new(TopicDetail { settings: settings(&row.name, image, cluster), row })),
        }
    }

    fn list_anew(&mut self, want: &TopicsRequest) {
        let listing = Listing { internal: want.internal, filter: want.filter.clone(), rows: Ranking::default() };
        self.rows_touched += self.known.len();
        let passing = self.known.iter().filter(|(name, _)| listing.passes(name));
        let rows = passing.map(|(name, topic)| key(name, topic.severity())).collect();
        self.listing = Listing { rows, ..listing };
    }

    fn row(
        &self,
        name: &Arc<str>,
        want: &TopicsRequest,
        image: &MetadataImage,
        cluster: &ClusterConfig,
    ) -> Option<TopicRow> {
        let topic = self.known.get(name)?;
        let own = image.configs.get(&ConfigResource::Topic(name.to_string()));
        let first = image.topic_by_name(name).and_then(|topic| topic.partitions.values().next());
        let config = configs::topic_config(image, cluster, name);
        let policies = [(config.cleanup_compact, "compact"), (config.cleanup_delete, "delete")];
        let cleanup: Vec<&str> = policies.iter().filter(|(is_on, _)| *is_on).map(|(_, word)| *word).collect();
        Some(TopicRow {
            name: Arc::clone(name),
            internal: is_internal(name),
            severity: topic.severity(),
            partitions: topic.partitions,
            replicas: first.map_or(0, |state| u32::try_from(state.replicas.len()).unwrap_or(u32::MAX)),
            min_isr: u32::try_from(config.min_insync_replicas).unwrap_or(1),
            no_leader: topic.no_leader,
            stalled: topic.stalled,
            under_replicated: topic.under_replicated,
            records_per_s: topic.records_per_s,
            rate_history: topic.rates.newest(want.spark_samples),
            bytes: topic.bytes,
            cleanup: cleanup.join(","),
            changed: own.map_or(0, |own| u32::try_from(own.len()).unwrap_or(u32::MAX)),
        })
    }
}

fn settings(topic: &str, image: &MetadataImage, cluster: &ClusterConfig) -> Vec<TopicSetting> {
    let none = BTreeMap::new();
    let own = image.configs.get(&ConfigResource::Topic(topic.to_owned())).unwrap_or(&none);
    let entries = describe::topic_entries(image, cluster, None, own);
    let setting = |entry: describe::ConfigEntry| {
        let def = entry.def?;
        let set_by = match entry.source {
            ConfigSource::Topic | ConfigSource::Group => SetBy::Topic,
            ConfigSource::Broker | ConfigSource::Cluster => SetBy::Brokers,
            ConfigSource::Static => SetBy::Start,
            ConfigSource::Default => SetBy::Default,
        };
        Some(TopicSetting { name: def.name, value: entry.value, set_by, default: def.default, doc: def.doc })
    };
    let mut settings: Vec<TopicSetting> = entries.into_iter().filter_map(setting).collect();
    settings.sort_by_key(|setting| (setting.set_by, setting.name));
    settings
}

/// Where partitions that do not exist yet would go: an example, for the controller draws where it begins.
pub(super) fn placement(want: &PlacementRequest, image: &MetadataImage) -> PlacementView {
    let replicas = usize::try_from(want.replicas).unwrap_or(usize::MAX);
    let mut rng = Prng::new(u64::from(want.replicas));
    let mut placer = Placer::new(image, &mut rng);
    match placer.check(replicas) {
        Ok(()) => PlacementView {
            of: want.clone(),
            rows: (0..want.partitions).map(|_| placer.place(replicas)).collect(),
            problem: String::new(),
        },
        Err(problem) => PlacementView { of: want.clone(), rows: Vec::new(), problem },
    }
}

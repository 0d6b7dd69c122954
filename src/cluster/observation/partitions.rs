//! All partitions, with what the console counts and lists kept up to date as each one changes.
//!
//! Invariants: totals, the brokers' shares and both rankings are those of the partitions as they are (each partition remembers what it
//! added, and takes exactly that back before it adds anew); a change costs O(log n), a view what is in its window; only another order
//! or filter costs a pass over all.
//!
//! Deliberately not here: what happened and why (`facts`).

use super::partition::{Heard, Lives, Partition, Rates};
use super::ranking::Ranking;
use super::shared::SharedMap;
use super::topics::{self, Topics};
use crate::cluster::view::{
    PartitionName, PartitionRows, PartitionSeverity, RowSort, Totals, ViewRequest, WorstPartition,
};
use crate::engine::observe::ReplicaSnapshot;
use crate::protocol::ids::{BrokerId, PartitionId, TopicId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a name in a sorted set takes, about.
const NAME_BYTES: usize = 48;

/// The order of the rows: the group first, then what the user sorts by, then the name, and of each group internal topics last.
type RowKey = (u8, bool, Reverse<u64>, PartitionName);

/// Whether a partition is the cluster's own, not its users': what is shown of those comes first.
fn is_internal(name: &PartitionName) -> bool {
    topics::is_internal(&name.topic)
}

/// What one broker has of all partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) leaders: u32,
    pub(super) replicas: u32,
    /// Replicas out of sync, and what they miss together.
    pub(super) lagging: u32,
    pub(super) lagging_records: u64,
}

/// The rows in the order and with the filter that were asked for last.
#[derive(Debug, Clone, Default)]
struct Listing {
    sort: RowSort,
    filter: String,
    rows: Ranking<RowKey>,
}

impl Listing {
    fn key(&self, partition: &Partition) -> RowKey {
        let counted = &partition.counted;
        let is_healthy = counted.severity == PartitionSeverity::Healthy;
        let (group, weight) = match self.sort {
            RowSort::WorstFirst => (counted.severity as u8, 0),
            RowSort::Name => (u8::from(is_healthy), 0),
            RowSort::RecordsBehind => (u8::from(is_healthy), counted.behind_max),
            RowSort::Rate => (u8::from(is_healthy), counted.watermark_per_s),
        };
        // In the order of severity only the last group is the healthy one.
        let group = if is_healthy { PartitionSeverity::Healthy as u8 } else { group };
        (group, is_internal(&partition.name), Reverse(weight), partition.name.clone())
    }

    fn passes(&self, name: &PartitionName) -> bool {
        let (is_inverted, wanted) = match self.filter.strip_prefix('!') {
            Some(wanted) => (true, wanted),
            None => (false, self.filter.as_str()),
        };
        wanted.is_empty() || name.to_string().to_lowercase().contains(&wanted.to_lowercase()) != is_inverted
    }
}

/// Everything that is counted and ranked.
#[derive(Debug, Clone, Default)]
struct Tally {
    shares: BTreeMap<BrokerId, Share>,
    totals: Totals,
    under_replicated: u32,
    /// Everything that is not healthy, worst first.
    attention: Arc<BTreeSet<(PartitionSeverity, bool, PartitionName)>>,
    listing: Listing,
    topics: Topics,
}

impl Tally {
    /// Adds what a partition adds to counts and rankings, or takes it back.
    fn count(&mut self, partition: &Partition, add: bool) {
        let counted = &partition.counted;
        let step = |number: &mut u32| *number = if add { *number + 1 } else { *number - 1 };
        step(&mut self.totals.partitions);
        step(match counted.severity {
            PartitionSeverity::NoLeader => &mut self.totals.no_leader,
            PartitionSeverity::Stalled => &mut self.totals.stalled,
            PartitionSeverity::MissingCopy => &mut self.totals.missing_copy,
            PartitionSeverity::Healthy => &mut self.totals.all_in_sync,
        });
        if counted.is_under_replicated {
            step(&mut self.under_replicated);
        }
        let sum = |number: &mut u64, by: u64| *number = if add { *number + by } else { *number - by };
        sum(&mut self.totals.records_in_per_s, counted.records_per_s);
        if let Some(leader) = counted.leader {
            step(&mut self.shares.entry(leader).or_default().leaders);
        }
        for (broker, is_lagging, behind) in &counted.replicas {
            let share = self.shares.entry(*broker).or_default();
            step(&mut share.replicas);
            if *is_lagging {
                step(&mut share.lagging);
                sum(&mut share.lagging_records, *behind);
            }
        }
        if counted.severity != PartitionSeverity::Healthy {
            let key = (counted.severity, is_internal(&partition.name), partition.name.clone());
            let attention = Arc::make_mut(&mut self.attention);
            if add {
                attention.insert(key)
            } else {
                attention.remove(&key)
            };
        }
        self.topics.count(&partition.name.topic, counted, add);
        if self.listing.passes(&partition.name) {
            let key = self.listing.key(partition);
            if add {
                self.listing.rows.insert(key)
            } else {
                self.listing.rows.remove(&key)
            };
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Partitions {
    map: SharedMap<PartitionId, Partition>,
    /// Changes with the topics only: copies share it.
    names: Arc<BTreeMap<PartitionName, PartitionId>>,
    tally: Tally,
    /// What rates are measured with.
    rates: BTreeMap<PartitionId, Rates>,
    /// How many rows were built or looked at for views: what a test holds against the size of the window.
    pub(super) rows_touched: usize,
}

/// How a partition's state changed in a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turned {
    pub(super) from: PartitionSeverity,
    pub(super) to: PartitionSeverity,
}

impl Partitions {
    pub(super) fn get(&self, id: PartitionId) -> Option<&Partition> {
        self.map.get(&id)
    }

    pub(super) fn by_name(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.map.get(self.names.get(&PartitionName::new(topic, partition))?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.map.values()
    }

    pub(super) fn ids(&self) -> Vec<PartitionId> {
        self.map.iter().map(|(id, _)| *id).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn totals(&self) -> Totals {
        self.tally.totals
    }

    pub(super) fn topics(&mut self) -> &mut Topics {
        &mut self.tally.topics
    }

    pub(super) fn under_replicated(&self) -> u32 {
        self.tally.under_replicated
    }

    pub(super) fn share(&self, broker: BrokerId) -> Share {
        self.tally.shares.get(&broker).copied().unwrap_or_default()
    }

    /// The partitions whose name starts so, by name.
    pub(super) fn starting_with(&self, start: &str) -> impl Iterator<Item = &PartitionName> {
        let topic = start.rsplit_once('-').map_or(start, |(topic, _)| topic).to_owned();
        let from = PartitionName::new(&topic, i32::MIN);
        self.names.range(from..).map(|(name, _)| name).take_while(move |name| name.topic.starts_with(topic.as_str()))
    }

    /// The partitions before and after one, by name.
    pub(super) fn neighbours(&self, name: &PartitionName) -> (Option<PartitionName>, Option<PartitionName>) {
        use std::ops::Bound::{Excluded, Unbounded};
        let before = self.names.range(..name.clone()).next_back();
        let after = self.names.range((Excluded(name.clone()), Unbounded)).next();
        (before.map(|(name, _)| name.clone()), after.map(|(name, _)| name.clone()))
    }

    /// Puts a new partition in. The caller refreshes it.
    pub(super) fn add(&mut self, partition: Partition) {
        self.remove_one(partition.id);
        Arc::make_mut(&mut self.names).insert(partition.name.clone(), partition.id);
        let mut partition = partition;
        partition.counted.severity = PartitionSeverity::Healthy;
        self.tally.count(&partition, true);
        self.map.insert(partition.id, partition);
    }

    /// Takes all partitions of a topic out.
    pub(super) fn remove_topic(&mut self, topic: TopicId) {
        let first = PartitionId::new(topic, i32::MIN);
        let from = self.map.from(&first).map(|(id, _)| *id);
        let gone: Vec<PartitionId> = from.take_while(|id| id.topic == topic).collect();
        gone.into_iter().for_each(|id| self.remove_one(id));
    }

    pub(super) fn remove_one(&mut self, id: PartitionId) {
        self.rates.remove(&id);
        if let Some(partition) = self.map.remove(&id) {
            self.tally.count(&partition, false);
            self.tally.topics.forget_if_empty(&partition.name.topic);
            if self.names.get(&partition.name) == Some(&id) {
                Arc::make_mut(&mut self.names).remove(&partition.name);
            }
        }
    }

    /// What follows from what a broker says of a replica; `None`: nothing, and nothing changes.
    pub(super) fn listen(&mut self, at_ms: u64, broker: BrokerId, replica: &ReplicaSnapshot) -> Option<Heard> {
        let partition = self.map.get(&replica.partition)?;
        partition.listen(self.rates.entry(replica.partition).or_default(), at_ms, broker, replica)
    }

    /// These without what only measuring needs.
    pub(super) fn frozen(&self) -> Partitions {
        let (map, names, tally) = (self.map.clone(), Arc::clone(&self.names), self.tally.clone());
        Partitions { map, names, tally, rates: BTreeMap::new(), rows_touched: 0 }
    }

    /// Changes a partition, and brings every count and order up to date. `None`: there is no such partition, or nothing follows.
    pub(super) fn change<T>(
        &mut self,
        id: PartitionId,
        now_ms: u64,
        lives: &Lives,
        change: impl FnOnce(&mut Partition) -> Option<T>,
    ) -> Option<(T, Turned)> {
        let partition = self.map.get_mut(&id)?;
        let changed = change(partition);
        changed.map(|changed| {
            let counted = partition.count(now_ms, lives);
            let turned = Turned { from: partition.counted.severity, to: counted.severity };
            if counted != partition.counted {
                self.tally.count(partition, false);
                partition.counted = counted;
                self.tally.count(partition, true);
            }
            if turned.from != turned.to {
                partition.severity_since_ms = match turned.to {
                    PartitionSeverity::Stalled => partition.stalled_since_ms.unwrap_or(now_ms),
                    _ => now_ms,
                };
            }
            (changed, turned)
        })
    }

    /// The window of rows that is wanted.
    pub(super) fn rows(&mut self, want: &ViewRequest, lives: &Lives) -> PartitionRows {
        if want.sort != self.tally.listing.sort || want.filter != self.tally.listing.filter {
            self.list_anew(want);
        }
        let listing = &self.tally.listing;
        let row = |key: &RowKey| self.names.get(&key.3).and_then(|id| self.map.get(id)).map(|found| found.row(lives));
        let rows: Vec<_> = listing.rows.from(want.first_row).take(want.row_count).filter_map(row).collect();
        let selected = want.selected.as_ref().filter(|name| listing.passes(name));
        let selected = selected.and_then(|name| self.map.get(self.names.get(name)?));
        self.rows_touched += rows.len();
        PartitionRows {
            total: listing.rows.len(),
            attention_total: listing.rows.count_while(|key| key.0 < PartitionSeverity::Healthy as u8),
            first: want.first_row,
            selected_index: selected.map(|partition| listing.rows.rank(&listing.key(partition))),
            rows,
        }
    }

    fn list_anew(&mut self, want: &ViewRequest) {
        let mut listing =
            Listing { sort: want.sort, filter: want.filter.clone(), rows: Ranking::from_iter(std::iter::empty()) };
        self.rows_touched += self.map.len();
        let passing = self.map.values().filter(|partition| listing.passes(&partition.name));
        listing.rows = passing.map(|partition| listing.key(partition)).collect::<Vec<_>>().into_iter().collect();
        self.tally.listing = listing;
    }

    /// At most three of each severity but the healthy, worst first.
    pub(super) fn worst(&self, lives: &Lives) -> Vec<WorstPartition> {
        let severities = [PartitionSeverity::NoLeader, PartitionSeverity::Stalled, PartitionSeverity::MissingCopy];
        let first = |severity: PartitionSeverity| {
            let from = (severity, false, PartitionName::new("", i32::MIN));
            self.tally.attention.range(from..).take_while(move |(found, ..)| *found == severity).take(3)
        };
        let describe = |(severity, _, name): &(PartitionSeverity, bool, PartitionName)| {
            let partition = self.map.get(self.names.get(name)?)?;
            Some(WorstPartition {
                name: name.clone(),
                severity: *severity,
                since_ms: partition.severity_since_ms,
                waits_for: partition.waits_for(*severity, lives),
            })
        };
        severities.into_iter().flat_map(first).filter_map(describe).collect()
    }

    /// Partitions that are not healthy, worst first.
    pub(super) fn attention(&self) -> impl Iterator<Item = PartitionId> {
        self.tally.attention.iter().filter_map(|(.., name)| self.names.get(name).copied())
    }

    /// The partitions of the rows in a window of the order that was asked for last.
    pub(super) fn window(&self, first: usize, count: usize) -> impl Iterator<Item = PartitionId> {
        self.tally.listing.rows.from(first).take(count).filter_map(|(.., name)| self.names.get(name).copied())
    }

    /// What these take in memory beyond what they share with others.
    pub(super) fn bytes_beyond(&self, other: &Partitions) -> usize {
        let own = self.map.bytes_beyond(&other.map, Partition::bytes_held);
        let names = if Arc::ptr_eq(&self.names, &other.names) { 0 } else { self.names.len() * 2 * NAME_BYTES };
        let (tally, theirs) = (&self.tally, &other.tally);
        let is_shared = Arc::ptr_eq(&tally.attention, &theirs.attention);
        let attention = if is_shared { 0 } else { tally.attention.len() * NAME_BYTES };
        let listed = tally.listing.rows.bytes_beyond(&theirs.listing.rows);
        own + names + attention + listed + tally.shares.len() * 64 + tally.topics.bytes_beyond(&theirs.topics)
    }
}

//! Consumer groups, put together from what their coordinators tell.
//!
//! Invariants: a group outlives its coordinator here until another one tells of it, or its coordinator, still in office, no longer does; a
//! view costs its window and the one group in detail. Histories are rings.
//!
//! Deliberately not here: log ends, which belong to the partitions (they are lent).

use super::meter::Samples;
use crate::cluster::command::Partition;
use crate::cluster::command::predicate::{GroupFacts, GroupPhase};
use crate::cluster::view::{
    BEHIND_MAX_MS, GroupDetail, GroupEffect, GroupMember, GroupPartition, GroupRebalance, GroupRow, GroupState,
    GroupsRequest, GroupsView, PartitionName,
};
use crate::engine::group::classic::GroupState as Classic;
use crate::engine::group::consumer::image::ConsumerState;
use crate::engine::group::record::CommittedOffset;
use crate::engine::group::snapshot::{GroupSnapshot, MemberSnapshot};
use crate::engine::observe::EventId;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often the lag is written down, and how often in all: a minute.
const SAMPLE_MS: u64 = 1_000;
const SAMPLES: usize = 60;
/// The same for each partition.
const PARTITION_SAMPLE_MS: u64 = 2_000;
const PARTITION_SAMPLES: usize = 30;
/// So many events may be known of groups that are not.
const EARLY_MAX: usize = 256;
/// So many rebalances are remembered of each group.
const REBALANCES_MAX: usize = 16;

/// What an entry of a map takes, and what a member does, about.
const PLACE_BYTES: usize = 64;
const MEMBER_BYTES: usize = 512;

/// A partition, by its topic's name and its number.
type Place = (Arc<str>, i32);

/// What is known of one group.
#[derive(Debug, Clone)]
struct Known {
    told: Arc<GroupSnapshot>,
    coordinator: BrokerId,
    coordinator_before: Option<BrokerId>,
    state: GroupState,
    since_ms: u64,
    stable_until_ms: Option<u64>,
    lag: Option<u64>,
    lag_history: Samples<u64>,
    /// The newest last.
    rebalances: Arc<Vec<GroupRebalance>>,
    /// Who read what when everybody did last.
    owners: Arc<BTreeMap<Place, Arc<str>>>,
    /// Lag and end of each partition that something is committed for.
    histories: BTreeMap<Place, Samples<(u64, i64)>>,
}

/// What is asked of a group when somebody wants to know why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) state: GroupState,
    pub(super) coordinator: BrokerId,
    pub(super) since_ms: u64,
    pub(super) rebalancing: Option<EventId>,
}

/// What has to be known of partitions.
pub(super) trait Ends {
    /// The high watermark.
    fn high_watermark(&self, topic: &str, partition: i32) -> Option<i64>;
    /// Who coordinates the groups of a partition of `__consumer_offsets`, if anybody does now.
    fn coordinator(&self, partition: i32) -> Option<BrokerId>;
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    known: BTreeMap<Arc<str>, Arc<Known>>,
    /// When their coordinators told of them last.
    heard: BTreeMap<Arc<str>, u64>,
    /// The events that told of their last rebalances; one may come before the group itself does.
    rebalancing: BTreeMap<Arc<str>, EventId>,
}

/// What a group does by its coordinator's account.
pub fn state_of(told: &GroupSnapshot) -> GroupState {
    match (&told.consumer, told.state) {
        (Some(consumer), _) => match consumer.state {
            ConsumerState::Empty => GroupState::Empty,
            ConsumerState::Assigning => GroupState::Assigning,
            ConsumerState::Reconciling => GroupState::Reconciling,
            ConsumerState::Stable => GroupState::Stable,
        },
        (None, Classic::Empty) => GroupState::Empty,
        (None, Classic::PreparingRebalance) => GroupState::Preparing,
        (None, Classic::CompletingRebalance) => GroupState::Completing,
        (None, Classic::Stable) => GroupState::Stable,
    }
}

/// What predicates ask of a group that its coordinator tells of; `state` is none while it has no coordinator.
pub fn facts_of(
    told: &GroupSnapshot,
    state: Option<GroupState>,
    high_watermark: impl Fn(&str, i32) -> Option<i64>,
) -> GroupFacts {
    let committed: Vec<(Partition, i64)> = told
        .offsets
        .iter()
        .flat_map(|(topic, all)| {
            let named = |partition: &i32| Partition { topic: topic.to_string(), partition: *partition };
            all.iter().map(move |(partition, committed)| (named(partition), committed.offset))
        })
        .collect();
    let behind = committed.iter().filter_map(|(partition, offset)| {
        Some((high_watermark(&partition.topic, partition.partition)? - offset).max(0))
    });
    let lag = behind.reduce(|left, right| left + right);
    let phase = state.map(|state| match state {
        GroupState::Empty => GroupPhase::Empty,
        GroupState::Stable => GroupPhase::Stable,
        GroupState::Preparing
        | GroupState::Completing
        | GroupState::Assigning
        | GroupState::Reconciling
        | GroupState::NoCoordinator => GroupPhase::Rebalancing,
    });
    GroupFacts { phase, members: told.members.len(), generation: told.generation, lag, committed }
}

impl Groups {
    /// These without what only hearing the next account of them needs.
    pub(super) fn frozen(&self) -> Groups {
        let (known, rebalancing) = (self.known.clone(), self.rebalancing.clone());
        Groups { known, rebalancing, heard: BTreeMap::new() }
    }

    /// What these take in memory beyond what they share with others.
    pub(super) fn bytes_beyond(&self, other: &Groups) -> usize {
        let is_own = |(name, known): &(&Arc<str>, &Arc<Known>)| {
            !other.known.get(*name).is_some_and(|other| Arc::ptr_eq(other, known))
        };
        let own: usize = self.known.iter().filter(is_own).map(|(_, known)| known.bytes_held()).sum();
        own + (self.known.len() + self.rebalancing.len()) * PLACE_BYTES
    }

    /// A broker tells of the groups that it coordinates.
    pub(super) fn hear(&mut self, broker: BrokerId, at_ms: u64, told: &[GroupSnapshot], ends: &dyn Ends) {
        let names: BTreeSet<&str> = told.iter().map(|group| &*group.group).collect();
        // Still in office and silent about it: it was deleted, or never became real.
        self.known.retain(|name, known| {
            known.coordinator != broker
                || names.contains(&**name)
                || ends.coordinator(known.told.partition) != Some(broker)
        });
        self.heard.retain(|name, _| self.known.contains_key(name));
        for group in told {
            // A coordinator that has lost its office and does not know it yet is not believed.
            let is_in_office = ends.coordinator(group.partition).is_none_or(|coordinator| coordinator == broker);
            let new = || Arc::new(Known::new(group, broker, at_ms));
            let known = self.known.entry(Arc::clone(&group.group)).or_insert_with(new);
            if known.coordinator != broker && !is_in_office {
                continue;
            }
            let heard_ms = self.heard.insert(Arc::clone(&group.group), at_ms).unwrap_or(at_ms);
            if !known.is_still(group, broker, at_ms, ends) {
                Arc::make_mut(known).hear(group, broker, heard_ms, at_ms, ends);
            }
        }
    }

    /// Their window, and one in detail. Who is filtered out or beyond the window costs a comparison.
    pub(super) fn view(&self, want: &GroupsRequest, ends: &dyn Ends) -> GroupsView {
        let (is_inverted, wanted) = match want.filter.strip_prefix('!') {
            Some(wanted) => (true, wanted),
            None => (false, &want.filter[..]),
        };
        let wanted = wanted.to_lowercase();
        let passes = |name: &str| wanted.is_empty() || name.to_lowercase().contains(&wanted) != is_inverted;
        let mut shown: Vec<(&Arc<str>, &Arc<Known>)> = self.known.iter().filter(|(name, _)| passes(name)).collect();
        if want.by_lag {
            shown.sort_by_key(|(_, known)| std::cmp::Reverse(known.lag));
        }
        let is_selected = |(name, _): &(&Arc<str>, &Arc<Known>)| want.selected.as_ref() == Some(*name);
        let selected_index = shown.iter().position(is_selected).unwrap_or(0);
        let rows = shown.iter().skip(want.first_row).take(want.row_count);
        let detail = shown.get(selected_index).map(|(_, known)| known.detail(want.spark_samples, ends));
        GroupsView {
            rows: rows.map(|(name, known)| known.row(name, want.spark_samples, ends)).collect(),
            first_row: want.first_row,
            total: shown.len(),
            known: self.known.len(),
            selected_index,
            detail: detail.map(Box::new),
        }
    }

    /// At most `limit` groups that have committed an offset in a partition, by name.
    pub(super) fn readers_of(&self, name: &PartitionName, limit: usize) -> Vec<(Arc<str>, i64)> {
        let committed = |known: &Known| Some(known.told.offsets.get(&name.topic)?.get(&name.partition)?.offset);
        let readers = self.known.iter().filter_map(|(group, known)| Some((Arc::clone(group), committed(known)?)));
        readers.take(limit).collect()
    }

    /// An event told of a rebalance.
    pub(super) fn told_of_rebalance(&mut self, group: &str, event: EventId) {
        self.rebalancing.insert(Arc::from(group), event);
        if self.rebalancing.len() > self.known.len() + EARLY_MAX {
            self.rebalancing.retain(|group, _| self.known.contains_key(group));
        }
    }

    /// What a group is doing, who coordinates it or did last, since when it has been so, and the event that told of its last
    /// rebalance.
    pub(super) fn story(&self, group: &str, ends: &dyn Ends) -> Option<Story> {
        let known = self.known.get(group)?;
        Some(Story {
            state: known.state_now(ends),
            coordinator: known.coordinator,
            since_ms: known.since_ms,
            rebalancing: self.rebalancing.get(group).copied(),
        })
    }

    /// What predicates ask of one.
    pub(super) fn facts(&self, name: &str, ends: &dyn Ends) -> Option<GroupFacts> {
        let known = self.known.get(name)?;
        let state = known.state_now(ends);
        Some(facts_of(&known.told, (state != GroupState::NoCoordinator).then_some(state), |topic, partition| {
            ends.high_watermark(topic, partition)
        }))
    }

    /// The names of those that start so, with what they are doing.
    pub(super) fn starting_with<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a Arc<str>, GroupState)> {
        self.known.iter().filter(move |(name, _)| name.starts_with(start)).map(|(name, known)| (name, known.state))
    }
}

impl Known {
    fn new(told: &GroupSnapshot, coordinator: BrokerId, at_ms: u64) -> Known {
        Known {
            told: Arc::new(told.clone()),
            coordinator,
            coordinator_before: None,
            state: state_of(told),
            since_ms: at_ms,
            stable_until_ms: None,
            lag: None,
            lag_history: Samples::new(SAMPLE_MS, SAMPLES),
            rebalances: Arc::default(),
            owners: Arc::new(owners_of(told)),
            histories: BTreeMap::new(),
        }
    }

    /// Whether nothing would follow from hearing this, but that it was heard within a second again.
    fn is_still(&self, told: &GroupSnapshot, broker: BrokerId, at_ms: u64, ends: &dyn Ends) -> bool {
        let is_same = || self.coordinator == broker && *self.told == *told;
        let lags = || told.offsets.iter().flat_map(|(topic, all)| all.iter().map(move |one| (topic, one)));
        let is_read = |(topic, (partition, committed)): (&Arc<str>, (&i32, &CommittedOffset))| {
            let known = self.histories.get(&(Arc::clone(topic), *partition));
            match (ends.high_watermark(topic, *partition), known) {
                (Some(end), Some(known)) => {
                    u64::try_from((end - committed.offset).max(0)).is_ok_and(|lag| known.is_still(at_ms, (lag, end)))
                }
                (None, known) => known.is_none(),
                (Some(_), None) => false,
            }
        };
        is_same() && self.lag_history.is_still(at_ms, self.lag.unwrap_or(0)) && lags().all(is_read)
    }

    /// What it takes in memory, `told` and the names of members about.
    fn bytes_held(&self) -> usize {
        let histories: usize = self.histories.values().map(|history| PLACE_BYTES + history.bytes()).sum();
        let (members, offsets) =
            (self.told.members.len(), self.told.offsets.values().map(BTreeMap::len).sum::<usize>());
        let rebalances = self.rebalances.capacity() * size_of::<GroupRebalance>();
        size_of::<Known>()
            + histories
            + self.lag_history.bytes()
            + members * MEMBER_BYTES
            + offsets * 3 * PLACE_BYTES
            + rebalances
    }

    /// Takes in what is told; its coordinator told of it last at `heard_ms`.
    fn hear(&mut self, told: &GroupSnapshot, broker: BrokerId, heard_ms: u64, at_ms: u64, ends: &dyn Ends) {
        if self.coordinator != broker {
            let cause = format!("coordinator moved {} → {broker}", self.coordinator);
            self.coordinator_before = Some(std::mem::replace(&mut self.coordinator, broker));
            // Nobody moves: what it took is the time without one.
            let took_ms = at_ms.saturating_sub(heard_ms);
            let effect = Some(GroupEffect { took_ms, moved: 0, members: told.members.len() });
            self.remember(GroupRebalance { at_ms, generation: told.generation, cause, effect });
        }
        let state = state_of(told);
        if state != self.state {
            self.stable_until_ms = match (self.state, state) {
                (_, GroupState::Stable) => None,
                (GroupState::Stable, _) => Some(at_ms),
                _ => self.stable_until_ms,
            };
            (self.state, self.since_ms) = (state, at_ms);
        }
        for rebalance in &told.rebalances {
            let at_ms = rebalance.at.as_millis();
            let (generation, cause) = (rebalance.generation, rebalance.cause.clone());
            self.remember(GroupRebalance { at_ms, generation, cause, effect: None });
        }
        if *self.told != *told {
            self.told = Arc::new(told.clone());
        }
        if matches!(state, GroupState::Stable | GroupState::Empty) {
            self.settle();
        }
        self.measure(at_ms, ends);
    }

    /// Everybody reads, or nobody is left to: what came of the last rebalance.
    fn settle(&mut self) {
        let owners = owners_of(&self.told);
        let (since_ms, members) = (self.since_ms, self.told.members.len());
        let moved = owners.iter().filter(|(name, owner)| self.owners.get(*name) != Some(*owner)).count();
        let left = self.owners.keys().filter(|name| !owners.contains_key(*name)).count();
        if self.rebalances.last().is_some_and(|last| last.effect.is_none())
            && let Some(last) = Arc::make_mut(&mut self.rebalances).last_mut()
        {
            let took_ms = since_ms.saturating_sub(last.at_ms);
            last.effect = Some(GroupEffect { took_ms, moved: moved + left, members });
        }
        if *self.owners != owners {
            self.owners = Arc::new(owners);
        }
    }

    fn measure(&mut self, at_ms: u64, ends: &dyn Ends) {
        let partitions = self.told.offsets.iter().flat_map(|(topic, all)| all.iter().map(move |one| (topic, one)));
        self.lag = None;
        for (topic, (partition, committed)) in partitions {
            let Some(end) = ends.high_watermark(topic, *partition) else { continue };
            let Ok(lag) = u64::try_from((end - committed.offset).max(0)) else { continue };
            self.lag = Some(self.lag.unwrap_or(0) + lag);
            let history = self.histories.entry((Arc::clone(topic), *partition));
            let empty = || Samples::new(PARTITION_SAMPLE_MS, PARTITION_SAMPLES);
            history.or_insert_with(empty).push(at_ms, (lag, end));
        }
        self.lag_history.push(at_ms, self.lag.unwrap_or(0));
    }

    /// How long ago an offset was a partition's end.
    fn behind_ms(&self, name: &PartitionName, committed: i64, end: i64) -> Option<u64> {
        if committed >= end {
            return Some(0);
        }
        let history = self.histories.get(&(Arc::clone(&name.topic), name.partition))?.newest(PARTITION_SAMPLES);
        let slots = history.iter().rev().position(|(_, end)| *end <= committed);
        match slots {
            Some(slots) => Some(slots as u64 * PARTITION_SAMPLE_MS),
            None if history.len() == PARTITION_SAMPLES => Some(BEHIND_MAX_MS),
            // It has not been looked at for long enough to know.
            None => None,
        }
    }

    fn lags_of(&self, name: &PartitionName, samples: usize) -> Vec<u64> {
        let Some(history) = self.histories.get(&(Arc::clone(&name.topic), name.partition)) else { return Vec::new() };
        let most = |samples: &[(u64, i64)]| samples.iter().copied().max_by_key(|(lag, _)| *lag).unwrap_or((0, 0));
        let window_ms = PARTITION_SAMPLE_MS * PARTITION_SAMPLES as u64;
        history.columns(window_ms, samples.max(1), most).into_iter().map(|(lag, _)| lag).collect()
    }

    fn remember(&mut self, rebalance: GroupRebalance) {
        let is_same = |known: &GroupRebalance| {
            (known.at_ms, known.generation, &known.cause) == (rebalance.at_ms, rebalance.generation, &rebalance.cause)
        };
        if !self.rebalances.iter().any(is_same) {
            let rebalances = Arc::make_mut(&mut self.rebalances);
            rebalances.push(rebalance);
            rebalances.sort_by_key(|rebalance| rebalance.at_ms);
            let beyond = rebalances.len().saturating_sub(REBALANCES_MAX);
            rebalances.drain(..beyond);
        }
    }

    fn state_now(&self, ends: &dyn Ends) -> GroupState {
        if ends.coordinator(self.told.partition).is_none() { GroupState::NoCoordinator } else { self.state }
    }

    fn row(&self, name: &Arc<str>, samples: usize, ends: &dyn Ends) -> GroupRow {
        let most = |samples: &[u64]| samples.iter().copied().max().unwrap_or(0);
        let window_ms = SAMPLE_MS * SAMPLES as u64;
        GroupRow {
            name: Arc::clone(name),
            state: self.state_now(ends),
            members: self.told.members.len(),
            lag: self.lag,
            lag_history: self.lag_history.columns(window_ms, samples.max(1), most),
        }
    }

    fn detail(&self, samples: usize, ends: &dyn Ends) -> GroupDetail {
        let mut members: Vec<GroupMember> = self.told.members.iter().map(member).collect();
        members.sort_by(|left, right| (&left.client, &left.id).cmp(&(&right.client, &right.id)));
        let committed = self.told.offsets.iter().flat_map(|(topic, partitions)| {
            partitions.keys().map(|partition| PartitionName { topic: Arc::clone(topic), partition: *partition })
        });
        let read = members.iter().flat_map(|member| member.owns.iter().chain(&member.awaits).cloned());
        let names: BTreeSet<PartitionName> = committed.chain(read).collect();
        let partition = |name: PartitionName| {
            let offsets = self.told.offsets.get(&name.topic);
            let committed = offsets.and_then(|offsets| offsets.get(&name.partition)).map(|committed| committed.offset);
            let end = ends.high_watermark(&name.topic, name.partition);
            GroupPartition {
                owner: members.iter().position(|member| member.owns.contains(&name)),
                behind_ms: committed.zip(end).and_then(|(committed, end)| self.behind_ms(&name, committed, end)),
                lag_history: self.lags_of(&name, samples),
                committed,
                end,
                name,
            }
        };
        // Kafka's assignors for eager members take everything back first (KIP-429).
        let is_eager = self.told.protocol.as_deref().is_none_or(|protocol| !protocol.contains("cooperative"));
        GroupDetail {
            name: Arc::clone(&self.told.group),
            state: self.state_now(ends),
            since_ms: self.since_ms,
            stable_until_ms: self.stable_until_ms,
            state_ends_ms: self.told.state_ends_at.map(Instant::as_millis),
            reads_on: self.told.consumer.is_some() || !is_eager,
            is_consumer_protocol: self.told.consumer.is_some(),
            assignor: self.told.protocol.clone(),
            generation: self.told.generation,
            target_epoch: self.told.consumer.as_ref().map(|consumer| consumer.target_epoch),
            coordinator: self.coordinator,
            coordinator_before: self.coordinator_before,
            partitions: names.into_iter().map(partition).collect(),
            members,
            rebalances: self.rebalances.iter().rev().cloned().collect(),
        }
    }
}

/// Who reads what.
fn owners_of(told: &GroupSnapshot) -> BTreeMap<Place, Arc<str>> {
    let owned = told.members.iter().flat_map(|member| member.owns.iter().map(move |name| (name, &member.member)));
    owned.map(|((topic, number), member)| ((Arc::from(topic.as_str()), *number), Arc::clone(member))).collect()
}

fn member(told: &MemberSnapshot) -> GroupMember {
    let names = |partitions: &[(String, i32)]| -> Vec<PartitionName> {
        let mut names: Vec<_> = partitions.iter().map(|(topic, number)| PartitionName::new(topic, *number)).collect();
        names.sort();
        names
    };
    let owns = names(&told.owns);
    let target = told.progress.as_ref().map(|progress| names(&progress.target)).unwrap_or_default();
    GroupMember {
        id: Arc::clone(&told.member),
        client: Arc::clone(&told.client_id),
        instance: told.instance.clone(),
        seen_ms: told.expires_at.map(|at| at.as_millis().saturating_sub(told.session_timeout_ms)),
        session_timeout_ms: told.session_timeout_ms,
        host: Arc::clone(&told.host),
        subscribes: told.subscribes.clone(),
        rebalance_timeout_ms: told.rebalance_timeout_ms,
        epoch: told.progress.as_ref().map(|progress| progress.epoch),
        gives_back: told.progress.as_ref().map(|progress| names(&progress.gives_back)).unwrap_or_default(),
        awaits: target.into_iter().filter(|name| !owns.contains(name)).collect(),
        owns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::group::classic::Rebalance;
    use crate::engine::group::record::CommittedOffset;
    use std::cell::Cell;

    /// Every partition ends at 100; one broker coordinates all.
    struct World(Cell<Option<i32>>);

    impl Ends for World {
        fn high_watermark(&self, _topic: &str, _partition: i32) -> Option<i64> {
            Some(100)
        }
        fn coordinator(&self, _partition: i32) -> Option<BrokerId> {
            self.0.get().map(BrokerId)
        }
    }

    /// Every partition ends there.
    struct Growing(i64);

    impl Ends for Growing {
        fn high_watermark(&self, _topic: &str, _partition: i32) -> Option<i64> {
            Some(self.0)
        }
        fn coordinator(&self, _partition: i32) -> Option<BrokerId> {
            Some(BrokerId(1))
        }
    }

    fn group(name: &str, state: Classic, members: &[(&str, i32)]) -> GroupSnapshot {
        let member = |(id, partition): &(&str, i32)| MemberSnapshot {
            member: Arc::from(*id),
            instance: None,
            client_id: Arc::from("app"),
            expires_at: Some(Instant::from_millis(11_000)),
            host: Arc::from("/127.0.0.1"),
            subscribes: Vec::new(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 10_000,
            owns: vec![("orders".to_owned(), *partition)],
            progress: None,
        };
        let committed = |offset| CommittedOffset {
            offset,
            leader_epoch: 0,
            metadata: Arc::from(""),
            committed_at_ms: 0,
            expires_at_ms: None,
        };
        GroupSnapshot {
            group: Arc::from(name),
            partition: 7,
            state,
            state_ends_at: None,
            consumer: None,
            protocol_type: None,
            protocol: Some(Arc::from("range")),
            generation: 3,
            leader: None,
            members: members.iter().map(member).collect(),
            offsets: BTreeMap::from([(Arc::from("orders"), BTreeMap::from([(0, committed(90)), (1, committed(40))]))]),
            rebalances: Vec::new(),
        }
    }

    fn want() -> GroupsRequest {
        GroupsRequest { row_count: 10, spark_samples: 8, ..GroupsRequest::default() }
    }

    #[test]
    fn lag_owners_and_states_are_put_together() {
        let (mut groups, world) = (Groups::default(), World(Cell::new(Some(1))));
        groups.hear(BrokerId(1), 1_000, &[group("a", Classic::Stable, &[("m1", 0), ("m2", 1)])], &world);
        groups.hear(BrokerId(1), 2_000, &[group("a", Classic::PreparingRebalance, &[("m1", 0)])], &world);
        let view = groups.view(&want(), &world);
        let row = &view.rows[0];
        assert_eq!((row.state, row.members, row.lag), (GroupState::Preparing, 1, Some(70)));
        let detail = view.detail.expect("the first one");
        assert_eq!((detail.since_ms, detail.stable_until_ms), (2_000, Some(2_000)));
        let lags: Vec<_> = detail.partitions.iter().map(|one| (one.name.partition, one.lag(), one.owner)).collect();
        assert_eq!(lags, [(0, Some(10), Some(0)), (1, Some(60), None)]);
    }

    #[test]
    fn a_filter_and_an_order_decide_the_window() {
        let (mut groups, world) = (Groups::default(), Growing(90));
        let told = ["app-a", "app-b", "other"].map(|name| group(name, Classic::Stable, &[("m1", 0)]));
        groups.hear(BrokerId(1), 1_000, &told[..1], &world);
        groups.hear(BrokerId(1), 2_000, &told, &Growing(190));
        let names = |filter: &str, by_lag| {
            let view = groups.view(&GroupsRequest { filter: filter.to_owned(), by_lag, ..want() }, &world);
            let names: Vec<String> = view.rows.iter().map(|row| row.name.to_string()).collect();
            (names.join(" "), view.total, view.known)
        };
        assert_eq!(names("", false), ("app-a app-b other".to_owned(), 3, 3));
        assert_eq!(names("APP", false), ("app-a app-b".to_owned(), 2, 3), "letters of any case");
        assert_eq!(names("!app", false), ("other".to_owned(), 1, 3));
        assert_eq!(names("none", true), (String::new(), 0, 3));
    }

    #[test]
    fn what_came_of_a_rebalance_is_told_when_everybody_reads_again() {
        let (mut groups, world) = (Groups::default(), World(Cell::new(Some(1))));
        groups.hear(BrokerId(1), 1_000, &[group("a", Classic::Stable, &[("m1", 0), ("m1", 1)])], &world);
        let begun = Rebalance { at: Instant::from_millis(2_000), generation: 3, cause: "m2 joined".to_owned() };
        let mut told = group("a", Classic::PreparingRebalance, &[("m1", 0), ("m1", 1)]);
        told.rebalances.push(begun.clone());
        groups.hear(BrokerId(1), 2_100, &[told], &world);
        let going_on = groups.view(&want(), &world).detail.expect("the first one");
        assert_eq!(going_on.rebalances[0].effect, None);
        assert!(!going_on.reads_on, "range takes everything back first");
        let mut told = group("a", Classic::Stable, &[("m1", 0), ("m2", 1)]);
        told.rebalances.push(begun);
        groups.hear(BrokerId(1), 2_500, &[told], &world);
        let after = groups.view(&want(), &world).detail.expect("the first one");
        assert_eq!(after.rebalances[0].effect, Some(GroupEffect { took_ms: 500, moved: 1, members: 2 }));
    }

    #[test]
    fn how_far_behind_in_time_is_when_the_offset_was_the_end() {
        let (mut groups, mut world) = (Groups::default(), Growing(90));
        for second in 0..10 {
            groups.hear(BrokerId(1), second * 2_000, &[group("a", Classic::Stable, &[("m1", 0)])], &world);
            world.0 += 10;
        }
        let detail = groups.view(&want(), &world).detail.expect("the first one");
        let behind: Vec<_> = detail.partitions.iter().map(|one| (one.lag(), one.behind_ms)).collect();
        assert_eq!(behind, [(Some(100), Some(18_000)), (Some(150), None)], "of the other nobody can know yet");
        assert_eq!(detail.partitions[0].lag_history.last(), Some(&90));
    }

    #[test]
    fn a_group_outlives_its_coordinator_until_another_tells_of_it() {
        let (mut groups, world) = (Groups::default(), World(Cell::new(Some(1))));
        let told = [group("a", Classic::Stable, &[("m1", 0)])];
        groups.hear(BrokerId(1), 1_000, &told, &world);
        world.0.set(None);
        assert_eq!(groups.view(&want(), &world).rows[0].state, GroupState::NoCoordinator);
        world.0.set(Some(2));
        groups.hear(BrokerId(1), 2_000, &[], &world);
        groups.hear(BrokerId(2), 2_000, &told, &world);
        let detail = groups.view(&want(), &world).detail.expect("still there");
        assert_eq!((detail.coordinator, detail.coordinator_before), (BrokerId(2), Some(BrokerId(1))));
        assert_eq!(detail.rebalances[0].cause, "coordinator moved 1 → 2");
        groups.hear(BrokerId(2), 3_000, &[], &world);
        assert_eq!(groups.view(&want(), &world).total, 0, "its coordinator, in office, no longer tells of it");
    }
}

//! Consumer groups, put together from what their coordinators tell.
//!
//! Invariants: a group outlives its coordinator here until another one tells of it, or its coordinator, still in office, no longer does; a
//! view costs its window and the one group in detail. Histories are rings.
//!
//! Deliberately not here: log ends, which belong to the partitions (they are lent).

use super::meter::Samples;
use crate::cluster::view::{
    GroupDetail, GroupMember, GroupPartition, GroupRebalance, GroupRow, GroupState, GroupsRequest, GroupsView,
    PartitionName,
};
use crate::engine::group::classic::GroupState as Classic;
use crate::engine::group::consumer::image::ConsumerState;
use crate::engine::group::snapshot::{GroupSnapshot, MemberSnapshot};
use crate::protocol::ids::BrokerId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often the lag is written down, and how often in all: a minute.
const SAMPLE_MS: u64 = 1_000;
const SAMPLES: usize = 60;
/// So many rebalances are remembered of each group.
const REBALANCES_MAX: usize = 16;

/// What is known of one group.
#[derive(Debug, Clone)]
struct Known {
    told: GroupSnapshot,
    coordinator: BrokerId,
    coordinator_before: Option<BrokerId>,
    state: GroupState,
    since_ms: u64,
    stable_until_ms: Option<u64>,
    lag: Option<u64>,
    lag_history: Samples<u64>,
    /// The newest last.
    rebalances: Vec<GroupRebalance>,
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
    known: BTreeMap<Arc<str>, Known>,
}

fn state_of(told: &GroupSnapshot) -> GroupState {
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

impl Groups {
    /// A broker tells of the groups that it coordinates.
    pub(super) fn hear(&mut self, broker: BrokerId, at_ms: u64, told: &[GroupSnapshot], ends: &dyn Ends) {
        let names: BTreeSet<&str> = told.iter().map(|group| &*group.group).collect();
        // Still in office and silent about it: it was deleted, or never became real.
        self.known.retain(|name, known| {
            known.coordinator != broker
                || names.contains(&**name)
                || ends.coordinator(known.told.partition) != Some(broker)
        });
        for group in told {
            // A coordinator that has lost its office and does not know it yet is not believed.
            let is_in_office = ends.coordinator(group.partition).is_none_or(|coordinator| coordinator == broker);
            let known = self.known.entry(Arc::clone(&group.group)).or_insert_with(|| Known::new(group, broker, at_ms));
            if known.coordinator == broker || is_in_office {
                known.hear(group, broker, at_ms, ends);
            }
        }
    }

    /// Their window, and one in detail.
    pub(super) fn view(&self, want: &GroupsRequest, ends: &dyn Ends) -> GroupsView {
        let is_selected = |name: &Arc<str>| want.selected.as_ref() == Some(name);
        let selected_index = self.known.keys().position(is_selected).unwrap_or(0);
        let rows = self.known.iter().skip(want.first_row).take(want.row_count);
        GroupsView {
            rows: rows.map(|(name, known)| known.row(name, want.spark_samples, ends)).collect(),
            first_row: want.first_row,
            total: self.known.len(),
            selected_index,
            detail: self.known.values().nth(selected_index).map(|known| Box::new(known.detail(ends))),
        }
    }

    /// The names of those that start so, with what they are doing.
    pub(super) fn starting_with<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a Arc<str>, GroupState)> {
        self.known.iter().filter(move |(name, _)| name.starts_with(start)).map(|(name, known)| (name, known.state))
    }
}

impl Known {
    fn new(told: &GroupSnapshot, coordinator: BrokerId, at_ms: u64) -> Known {
        Known {
            told: told.clone(),
            coordinator,
            coordinator_before: None,
            state: state_of(told),
            since_ms: at_ms,
            stable_until_ms: None,
            lag: None,
            lag_history: Samples::new(SAMPLE_MS, SAMPLES),
            rebalances: Vec::new(),
        }
    }

    fn hear(&mut self, told: &GroupSnapshot, broker: BrokerId, at_ms: u64, ends: &dyn Ends) {
        if self.coordinator != broker {
            let cause = format!("coordinator moved {} → {broker}", self.coordinator);
            self.coordinator_before = Some(std::mem::replace(&mut self.coordinator, broker));
            self.remember(GroupRebalance { at_ms, generation: told.generation, cause });
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
            self.remember(GroupRebalance { at_ms, generation: rebalance.generation, cause: rebalance.cause.clone() });
        }
        if self.told != *told {
            self.told = told.clone();
        }
        let partitions = self.told.offsets.iter().flat_map(|(topic, all)| all.iter().map(move |one| (topic, one)));
        let lags = partitions.filter_map(|(topic, (partition, committed))| {
            let end = ends.high_watermark(topic, *partition)?;
            u64::try_from((end - committed.offset).max(0)).ok()
        });
        self.lag = lags.reduce(|left, right| left + right);
        self.lag_history.push(at_ms, self.lag.unwrap_or(0));
    }

    fn remember(&mut self, rebalance: GroupRebalance) {
        if !self.rebalances.contains(&rebalance) {
            self.rebalances.push(rebalance);
            self.rebalances.sort_by_key(|rebalance| rebalance.at_ms);
            let beyond = self.rebalances.len().saturating_sub(REBALANCES_MAX);
            self.rebalances.drain(..beyond);
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

    fn detail(&self, ends: &dyn Ends) -> GroupDetail {
        let mut members: Vec<GroupMember> = self.told.members.iter().map(member).collect();
        members.sort_by(|left, right| (&left.client, &left.id).cmp(&(&right.client, &right.id)));
        let committed = self.told.offsets.iter().flat_map(|(topic, partitions)| {
            partitions.keys().map(|partition| PartitionName { topic: Arc::clone(topic), partition: *partition })
        });
        let read = members.iter().flat_map(|member| member.owns.iter().chain(&member.awaits).cloned());
        let names: BTreeSet<PartitionName> = committed.chain(read).collect();
        let partition = |name: PartitionName| {
            let offsets = self.told.offsets.get(&name.topic);
            GroupPartition {
                committed: offsets.and_then(|offsets| offsets.get(&name.partition)).map(|committed| committed.offset),
                end: ends.high_watermark(&name.topic, name.partition),
                owner: members.iter().position(|member| member.owns.contains(&name)),
                name,
            }
        };
        GroupDetail {
            name: Arc::clone(&self.told.group),
            state: self.state_now(ends),
            since_ms: self.since_ms,
            stable_until_ms: self.stable_until_ms,
            is_consumer_protocol: self.told.consumer.is_some(),
            assignor: self.told.protocol.clone(),
            generation: self.told.generation,
            coordinator: self.coordinator,
            coordinator_before: self.coordinator_before,
            partitions: names.into_iter().map(partition).collect(),
            members,
            rebalances: self.rebalances.iter().rev().cloned().collect(),
        }
    }
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
        epoch: told.progress.as_ref().map(|progress| progress.epoch),
        gives_back: told.progress.as_ref().map(|progress| names(&progress.gives_back)).unwrap_or_default(),
        awaits: target.into_iter().filter(|name| !owns.contains(name)).collect(),
        owns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn group(name: &str, state: Classic, members: &[(&str, i32)]) -> GroupSnapshot {
        let member = |(id, partition): &(&str, i32)| MemberSnapshot {
            member: Arc::from(*id),
            instance: None,
            client_id: Arc::from("app"),
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
        GroupsRequest { first_row: 0, row_count: 10, selected: None, spark_samples: 8 }
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

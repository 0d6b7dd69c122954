//! Answers from the newest truth: whom a WHO means, whether a predicate holds, what can be named.
//!
//! Invariants: what is not known is told as not known (`None`), never guessed; a leader that does not answer is no leader.
//!
//! Deliberately not here: waiting for something to become true (the host asks again).

use super::Observer;
use super::partition::Partition as Known;
use crate::cluster::command::Names;
use crate::cluster::command::predicate::{Count, Facts, GroupFacts, Measure, Members};
use crate::cluster::command::{Partition, Who};
use crate::cluster::view::{
    BrokerState, CompletionValue, GroupState, PartitionName, PartitionSeverity, PlaceView, TopicSummary,
};
use crate::engine::controller::config_table;
use crate::engine::group::partition_of;
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most values of one kind that are offered.
const VALUES_MAX: usize = 200;

/// The most groups that are named as readers of a partition.
const READERS_MAX: usize = 100;

impl Observer {
    /// A partition with its replicas, and the groups that read it.
    pub(super) fn place(&self, name: &PartitionName) -> Option<PlaceView> {
        let row = self.partitions.by_name(&name.topic, name.partition)?.row(&self.lives);
        Some(PlaceView { row, groups: self.groups.readers_of(name, READERS_MAX) })
    }

    /// A partition by its name.
    pub fn partition_id(&self, named: &Partition) -> Option<PartitionId> {
        self.partitions.by_name(&named.topic, named.partition).map(|partition| partition.id)
    }

    /// Whom a WHO means now. An error is a sentence.
    pub fn resolve(&self, who: &Who) -> Result<Vec<BrokerId>, String> {
        match who {
            Who::Ids(ids) => match ids.iter().find(|id| !self.brokers.contains_key(id)) {
                Some(unknown) => Err(format!("there is no broker {unknown}")),
                None => Ok(ids.clone()),
            },
            Who::LeaderOf(partition) => {
                let known = self.find(partition).ok_or_else(|| format!("there is no partition {partition}"))?;
                known.leader(&self.lives).map(|leader| vec![leader]).ok_or_else(|| format!("{partition} has no leader"))
            }
            Who::Controller => {
                self.controller.map(|broker| vec![broker]).ok_or_else(|| "there is no controller now".to_owned())
            }
            Who::CoordinatorOf(group) => {
                let led = partition_of(&self.image, group).and_then(|id| self.partitions.get(id)?.leader(&self.lives));
                led.map(|broker| vec![broker]).ok_or_else(|| format!("{group} has no coordinator now"))
            }
            Who::Killed => {
                let down = self.brokers.values().filter(|broker| broker.host_state.is_dead());
                Ok(down.map(|broker| broker.id).collect())
            }
        }
    }

    pub(super) fn find(&self, partition: &Partition) -> Option<&Known> {
        self.partitions.by_name(&partition.topic, partition.partition)
    }

    /// At most `limit` topics whose name contains `containing`, by name, internal ones last.
    pub fn topics(&self, containing: &str, limit: usize) -> Vec<TopicSummary> {
        let is_internal = |name: &str| name.starts_with("__");
        let found = |name: &&String| name.contains(containing);
        let own = self.image.topic_ids.keys().filter(|name| !is_internal(name));
        let internal = self.image.topic_ids.keys().filter(|name| is_internal(name));
        let summary = |name: &String| {
            let partitions = self.image.topic_by_name(name).map(|topic| &topic.partitions);
            let replicas =
                partitions.and_then(|partitions| partitions.values().map(|state| state.replicas.len()).max());
            TopicSummary {
                name: Arc::from(name.as_str()),
                partitions: u32::try_from(partitions.map_or(0, |partitions| partitions.len())).unwrap_or(u32::MAX),
                replicas: u32::try_from(replicas.unwrap_or(0)).unwrap_or(u32::MAX),
                internal: is_internal(name),
            }
        };
        own.chain(internal).filter(found).take(limit).map(summary).collect()
    }
}

impl Facts for Observer {
    fn leader(&self, partition: &Partition) -> Option<Option<BrokerId>> {
        Some(self.find(partition)?.leader(&self.lives))
    }

    fn controller(&self) -> Option<Option<BrokerId>> {
        Some(self.controller)
    }

    fn members(&self, list: Members, partition: &Partition) -> Option<Vec<BrokerId>> {
        let state = &self.find(partition)?.state;
        Some(match list {
            Members::Isr => state.isr.clone(),
            Members::Replicas => state.replicas.clone(),
        })
    }

    fn measure(&self, measure: Measure, partition: &Partition, on: Option<BrokerId>) -> Option<i64> {
        let known = self.find(partition)?;
        let seen = || known.seen_on(on.or_else(|| known.leader(&self.lives))?);
        match (measure, on) {
            (Measure::LeaderEpoch, None) => Some(i64::from(known.state.leader_epoch)),
            (Measure::LeaderEpoch, Some(_)) => Some(i64::from(seen()?.leader_epoch)),
            (Measure::HighWatermark, None) => known.high_watermark,
            (Measure::HighWatermark, Some(_)) => Some(seen()?.high_watermark),
            (Measure::LogEndOffset, _) => Some(seen()?.log_end),
            (Measure::LogStartOffset, _) => Some(seen()?.log_start),
        }
    }

    fn count(&self, count: Count) -> Option<u64> {
        let totals = self.partitions.totals();
        let counts = || self.ledger.as_ref().filter(|_| self.unknown_since_ms.is_none()).map(|report| report.counts);
        Some(match count {
            Count::Alive => self.brokers.values().filter(|broker| broker.state == BrokerState::Running).count() as u64,
            Count::UnderReplicated => u64::from(self.partitions.under_replicated()),
            Count::Leaderless => u64::from(totals.no_leader),
            Count::Faults => self.faults.len() as u64,
            Count::Acked => counts()?.acked,
            Count::Readable => counts()?.readable,
            Count::Lost => counts()?.lost,
            Count::Duplicated => counts()?.duplicated,
            Count::Reordered => counts()?.reordered,
        })
    }

    fn group(&self, group: &str) -> Option<GroupFacts> {
        self.groups.facts(group, &self.ends())
    }
}

impl Names for Observer {
    fn brokers(&self) -> Vec<CompletionValue> {
        let value = |broker: &super::Broker| {
            let leaders = self.partitions.share(broker.id).leaders;
            let note = match &broker.state {
                BrokerState::Running if self.controller == Some(broker.id) => format!("controller, leads {leaders}"),
                BrokerState::Running => format!("leads {leaders}"),
                BrokerState::Starting => "starting".to_owned(),
                BrokerState::Stopping => "stopping".to_owned(),
                BrokerState::Stopped => "stopped".to_owned(),
                BrokerState::Killed => "killed".to_owned(),
                BrokerState::PowerLost => "without power".to_owned(),
                BrokerState::Suspended => "suspended".to_owned(),
                BrokerState::Fenced => "fenced".to_owned(),
                BrokerState::Crashed { .. } => "crashed".to_owned(),
            };
            CompletionValue { text: broker.id.to_string(), note, refused: false }
        };
        self.brokers.values().map(value).collect()
    }

    fn topics(&self, start: &str) -> Vec<CompletionValue> {
        let names = self.image.topic_ids.range(start.to_owned()..).map(|(name, _)| name);
        let value = |name: &String| {
            let partitions = self.image.topic_by_name(name).map_or(0, |topic| topic.partitions.len());
            let note = format!("{partitions} partition{}", if partitions == 1 { "" } else { "s" });
            CompletionValue { text: name.clone(), note, refused: false }
        };
        names.take_while(|name| name.starts_with(start)).take(VALUES_MAX).map(value).collect()
    }

    fn partitions(&self, start: &str) -> Vec<CompletionValue> {
        let names = self.partitions.starting_with(start).take(VALUES_MAX);
        let value = |name: &crate::cluster::view::PartitionName| {
            let known = self.partitions.by_name(&name.topic, name.partition);
            let leader = known.and_then(|known| known.leader(&self.lives));
            let is_stalled = known.is_some_and(|known| known.counted.severity == PartitionSeverity::Stalled);
            let note = match leader {
                Some(leader) if is_stalled => format!("led by {leader}, stalled"),
                Some(leader) => format!("led by {leader}"),
                None => "no leader".to_owned(),
            };
            CompletionValue { text: name.to_string(), note, refused: false }
        };
        names.map(value).filter(|value| value.text.starts_with(start)).collect()
    }

    fn groups(&self, start: &str) -> Vec<CompletionValue> {
        let word = |state: GroupState| match state {
            GroupState::Empty => "empty",
            GroupState::Stable => "stable",
            GroupState::NoCoordinator => "without a coordinator",
            GroupState::Preparing | GroupState::Completing | GroupState::Assigning | GroupState::Reconciling => {
                "rebalancing"
            }
        };
        let value = |(name, state): (&Arc<str>, GroupState)| CompletionValue {
            text: name.to_string(),
            note: word(state).to_owned(),
            refused: false,
        };
        self.groups.starting_with(start).take(VALUES_MAX).map(value).collect()
    }

    fn transactional_ids(&self, start: &str) -> Vec<CompletionValue> {
        self.coordinated.transaction_values(&self.lives, start, VALUES_MAX)
    }

    fn settings(&self, start: &str) -> Vec<CompletionValue> {
        let defs = config_table::TOPIC.iter().chain(config_table::BROKER);
        let names: BTreeSet<&str> = defs.map(|def| def.name).filter(|name| name.starts_with(start)).collect();
        let value = |name: &str| CompletionValue { text: name.to_owned(), ..CompletionValue::default() };
        names.into_iter().map(value).collect()
    }
}

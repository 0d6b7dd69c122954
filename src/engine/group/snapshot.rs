//! What coordinators tell people of their groups: state, members and what they own, committed offsets, the last
//! rebalances with their causes. Lag is not here: log ends belong to the partitions' leaders.

use crate::engine::config::ClusterConfig;
use crate::engine::controller::configs::consumer_group_timeouts_ms;
use crate::engine::controller::image::MetadataImage;
use crate::engine::group::Groups;
use crate::engine::group::classic::{CONSUMER, ClassicGroup, GroupState, Rebalance};
use crate::engine::group::consumer::draft::assignor;
use crate::engine::group::consumer::group::Lateness;
use crate::engine::group::consumer::image::{ConsumerImage, ConsumerState};
use crate::engine::group::consumer::record::{ConsumerMember, MemberState, Partitions};
use crate::engine::group::image::Offsets;
use crate::engine::group::member::Member;
use crate::engine::group::shard::Shard;
use crate::engine::time::Instant;
use crate::protocol::consumer_protocol::{decode_assignment, decode_subscription};
use std::sync::Arc;

/// One member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSnapshot {
    /// Its id.
    pub member: Arc<str>,
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<Arc<str>>,
    /// What its client calls itself.
    pub client_id: Arc<str>,
    /// Where its client is.
    pub host: Arc<str>,
    /// Topics that it wants, sorted, or the expression for their names; nothing unless it is a consumer.
    pub subscribes: Vec<Arc<str>>,
    /// When it is out unless it shows itself before; `None` while one of its requests waits, which shows it too.
    pub expires_at: Option<Instant>,
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: u64,
    /// How long it may take to join again, or to give partitions back, in milliseconds.
    pub rebalance_timeout_ms: u64,
    /// Topics and partitions that it owns, if it is a consumer.
    pub owns: Vec<(String, i32)>,
    /// In a consumer group: how far it is.
    pub progress: Option<MemberProgress>,
}

/// How far a member of a consumer group (KIP-848) is on its way to its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberProgress {
    /// Its epoch.
    pub epoch: i32,
    /// What it is doing.
    pub state: MemberState,
    /// Topics and partitions that it has to give back, and may use until it has.
    pub gives_back: Vec<(String, i32)>,
    /// Topics and partitions that it is to have in the end.
    pub target: Vec<(String, i32)>,
    /// It uses the classic protocol.
    pub is_classic: bool,
}

/// What only a consumer group (KIP-848) has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSnapshot {
    /// What it is doing.
    pub state: ConsumerState,
    /// The number of changes of members, subscriptions and topics.
    pub epoch: i32,
    /// The epoch that the targets are for.
    pub target_epoch: i32,
}

/// One group, as its coordinator has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSnapshot {
    /// Its name.
    pub group: Arc<str>,
    /// The partition of `__consumer_offsets` that it lives in.
    pub partition: i32,
    /// What it is doing; of a consumer group the state of a classic one that is nearest.
    pub state: GroupState,
    /// When what it is doing ends at the latest: members that have not joined, or not asked for their assignment, are out.
    pub state_ends_at: Option<Instant>,
    /// What only a consumer group has; `None` for a classic one.
    pub consumer: Option<ConsumerSnapshot>,
    /// What kind of members it has.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol that was chosen; of a consumer group its assignor.
    pub protocol: Option<Arc<str>>,
    /// Its generation, or its epoch.
    pub generation: i32,
    /// The member that computes the assignment.
    pub leader: Option<Arc<str>>,
    /// Its members, by id.
    pub members: Vec<MemberSnapshot>,
    /// What is committed, by topic and partition.
    pub offsets: Offsets,
    /// The last rebalances that this coordinator saw, the latest last.
    pub rebalances: Vec<Rebalance>,
}

impl GroupSnapshot {
    /// Kafka's name for what it is doing.
    pub fn state_name(&self) -> &'static str {
        self.consumer.as_ref().map_or(self.state.name(), |consumer| consumer.state.name())
    }
}

impl Groups {
    /// The groups that are coordinated here, by partition; the classic ones of each come first.
    pub fn snapshot(&self, metadata: &MetadataImage, config: &ClusterConfig) -> Vec<GroupSnapshot> {
        let classic = |shard| Shard::groups(shard).map(move |group| snapshot_of(shard, group));
        let consumers = |shard| {
            let groups = Shard::consumer_groups(shard);
            groups.map(move |(id, group)| snapshot_of_consumers(shard, id, group, metadata, config))
        };
        self.shards().flat_map(|shard| classic(shard).chain(consumers(shard))).collect()
    }
}

fn snapshot_of_consumers(
    shard: &Shard,
    id: &Arc<str>,
    group: &ConsumerImage,
    metadata: &MetadataImage,
    config: &ClusterConfig,
) -> GroupSnapshot {
    let named = |partitions: &Partitions| {
        let mut all = Vec::new();
        for (topic, numbers) in partitions {
            let Some(topic) = metadata.topics.get(topic) else { continue };
            all.extend(numbers.iter().map(|number| (topic.name.clone(), *number)));
        }
        all
    };
    let timers = shard.consumer_timers(id);
    let timeouts = consumer_group_timeouts_ms(metadata, config, id);
    let classic_timeout_ms = |member: &ConsumerMember| u64::try_from(member.classic.as_ref()?.session_timeout_ms).ok();
    let member = |(id, member): (&Arc<str>, &Arc<ConsumerMember>)| {
        let current = group.current(id);
        MemberSnapshot {
            member: Arc::clone(id),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client_id),
            host: Arc::clone(&member.client_host),
            subscribes: member.topics.iter().chain(&member.regex).cloned().collect(),
            rebalance_timeout_ms: u64::try_from(member.rebalance_timeout_ms).unwrap_or(0),
            expires_at: timers.and_then(|timers| timers.time_of(id, Lateness::Session)),
            session_timeout_ms: classic_timeout_ms(member).unwrap_or(timeouts.session_timeout_ms),
            owns: named(&current.assigned),
            progress: Some(MemberProgress {
                epoch: current.epoch,
                state: current.state,
                gives_back: named(&current.pending_revocation),
                target: named(&group.target(id)),
                is_classic: member.classic.is_some(),
            }),
        }
    };
    let state = group.state();
    GroupSnapshot {
        group: Arc::clone(id),
        partition: shard.id().partition,
        state: match state {
            ConsumerState::Empty => GroupState::Empty,
            ConsumerState::Assigning => GroupState::PreparingRebalance,
            ConsumerState::Reconciling => GroupState::CompletingRebalance,
            ConsumerState::Stable => GroupState::Stable,
        },
        state_ends_at: None,
        consumer: Some(ConsumerSnapshot { state, epoch: group.epoch(), target_epoch: group.target_epoch() }),
        protocol_type: Some(Arc::from(CONSUMER)),
        protocol: Some(Arc::from(assignor(group, config).name())),
        generation: group.epoch(),
        leader: None,
        members: group.members().map(member).collect(),
        offsets: shard.committed().group(id).map(|image| image.offsets.clone()).unwrap_or_default(),
        rebalances: timers.into_iter().flat_map(|timers| timers.rebalances().cloned()).collect(),
    }
}

/// The topics that a consumer named under the protocol that it likes best.
fn subscribes(member: &Member) -> Vec<Arc<str>> {
    let told = member.protocols.first().and_then(|(_, told)| decode_subscription(told.clone()));
    let mut topics: Vec<Arc<str>> = told.into_iter().flat_map(|told| told.topics).map(Arc::from).collect();
    topics.sort();
    topics
}

fn snapshot_of(shard: &Shard, group: &ClassicGroup) -> GroupSnapshot {
    let is_consumers = group.protocol_type().is_some_and(|kind| **kind == *CONSUMER);
    let member = |member: &Member| MemberSnapshot {
        member: Arc::clone(&member.id),
        instance: member.instance.clone(),
        client_id: Arc::clone(&member.client_id),
        host: Arc::clone(&member.client_host),
        subscribes: if is_consumers { subscribes(member) } else { Vec::new() },
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        expires_at: member.expires_at.filter(|_| !member.is_waiting()),
        session_timeout_ms: member.session_timeout_ms,
        owns: if is_consumers { decode_assignment(member.assignment.clone()).unwrap_or_default() } else { Vec::new() },
        progress: None,
    };
    GroupSnapshot {
        group: Arc::clone(group.id()),
        partition: shard.id().partition,
        state: group.state(),
        state_ends_at: group.state_ends_at(),
        consumer: None,
        protocol_type: group.protocol_type().cloned(),
        protocol: group.protocol().cloned(),
        generation: group.generation(),
        leader: group.leader().cloned(),
        members: group.members().map(member).collect(),
        offsets: shard.committed().group(group.id()).map(|image| image.offsets.clone()).unwrap_or_default(),
        rebalances: group.rebalances().cloned().collect(),
    }
}

//! What coordinators tell people of their groups: state, members and what they own, committed offsets, the last
//! rebalances with their causes. Lag is not here: log ends belong to the partitions' leaders.

use crate::engine::group::Groups;
use crate::engine::group::classic::{CONSUMER, ClassicGroup, GroupState, Rebalance};
use crate::engine::group::image::Offsets;
use crate::engine::group::member::Member;
use crate::engine::group::shard::Shard;
use crate::protocol::consumer_protocol::decode_assignment;
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
    /// Topics and partitions that it owns, if it is a consumer.
    pub owns: Vec<(String, i32)>,
}

/// One group, as its coordinator has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSnapshot {
    /// Its name.
    pub group: Arc<str>,
    /// The partition of `__consumer_offsets` that it lives in.
    pub partition: i32,
    /// What it is doing.
    pub state: GroupState,
    /// What kind of members it has.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol that was chosen.
    pub protocol: Option<Arc<str>>,
    /// Its generation.
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

impl Groups {
    /// The groups that are coordinated here, by partition and name.
    pub fn snapshot(&self) -> Vec<GroupSnapshot> {
        self.shards().flat_map(|shard| shard.groups().map(|group| snapshot_of(shard, group))).collect()
    }
}

fn snapshot_of(shard: &Shard, group: &ClassicGroup) -> GroupSnapshot {
    let is_consumers = group.protocol_type().is_some_and(|kind| **kind == *CONSUMER);
    let member = |member: &Member| MemberSnapshot {
        member: Arc::clone(&member.id),
        instance: member.instance.clone(),
        client_id: Arc::clone(&member.client_id),
        owns: if is_consumers { decode_assignment(member.assignment.clone()).unwrap_or_default() } else { Vec::new() },
    };
    GroupSnapshot {
        group: Arc::clone(group.id()),
        partition: shard.id().partition,
        state: group.state(),
        protocol_type: group.protocol_type().cloned(),
        protocol: group.protocol().cloned(),
        generation: group.generation(),
        leader: group.leader().cloned(),
        members: group.members().map(member).collect(),
        offsets: shard.committed().group(group.id()).map(|image| image.offsets.clone()).unwrap_or_default(),
        rebalances: group.rebalances().cloned().collect(),
    }
}

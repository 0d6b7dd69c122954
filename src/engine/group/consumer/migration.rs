//! A classic group becomes a consumer group when its first member of the consumer protocol joins, and a consumer group
//! becomes a classic one when the last of them leaves (KIP-848, `group.consumer.migration.policy`). Meanwhile members of
//! both protocols work in a consumer group.
//!
//! Invariant: what members had they have afterwards; both groups' records change in one append.

use crate::engine::config::{ClusterConfig, MigrationPolicy};
use crate::engine::group::classic::{CONSUMER, ClassicGroup};
use crate::engine::group::consumer::draft::{Draft, Refusal};
use crate::engine::group::consumer::embedded::{read_assignment, write_assignment};
use crate::engine::group::consumer::image::ConsumerImage;
use crate::engine::group::consumer::record::{
    ClassicMember, ConsumerMember, ConsumerRecord, Current, GroupEpoch, MemberState,
};
use crate::engine::group::member::Member;
use crate::engine::group::record::{GroupMetadata, GroupRecord, MemberMetadata};
use crate::protocol::consumer_protocol::decode_subscription;
use crate::protocol::error::ErrorCode;
use bytes::Bytes;
use std::sync::Arc;

/// Whether a classic group with members may become a consumer group.
///
/// # Errors
/// `GROUP_ID_NOT_FOUND`: there is no consumer group of that name.
pub fn check_upgrade(group: &ClassicGroup, config: &ClusterConfig) -> Result<(), Refusal> {
    let policy = config.group_consumer_migration_policy;
    let is_allowed = matches!(policy, MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade)
        && group.protocol_type().is_some_and(|kind| **kind == *CONSUMER)
        && group.members().count() <= config.group_consumer_max_size;
    if is_allowed {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {} is not a consumer group.", group.id())))
}

/// The classic group ends, and its members go on as members of a consumer group with what they have.
///
/// # Errors
/// `GROUP_ID_NOT_FOUND` if a member's subscription cannot be read.
pub fn upgrade(draft: &mut Draft, group: &ClassicGroup) -> Result<(), Refusal> {
    draft.end_classic();
    let epoch = group.generation();
    draft.push(ConsumerRecord::Epoch(Some(GroupEpoch { epoch, metadata_hash: 0 })));
    for member in group.members() {
        let told = group.protocol().map(|protocol| member.subscription(protocol)).filter(|told| !told.is_empty());
        let told = told.or_else(|| member.protocols.first().map(|(_, told)| told.clone())).unwrap_or_default();
        let subscription = decode_subscription(told).ok_or_else(|| {
            let message = format!(
                "Cannot upgrade the classic group {} to consumer group because the embedded consumer protocol is \
                 malformed.",
                group.id()
            );
            Refusal::new(ErrorCode::GroupIdNotFound, message)
        })?;
        let assigned = read_assignment(&member.assignment, draft.world().metadata);
        let current = Current {
            epoch,
            previous_epoch: epoch,
            state: MemberState::Stable,
            assigned: assigned.clone(),
            ..Current::default()
        };
        let described = ConsumerMember {
            instance: member.instance.clone(),
            rack: None,
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            topics: subscription.topics.iter().map(|topic| Arc::from(topic.as_str())).collect(),
            regex: None,
            rebalance_timeout_ms: clamp(member.rebalance_timeout_ms),
            assignor: None,
            classic: Some(classic_of(member)),
        };
        draft.push(ConsumerRecord::Member(Arc::clone(&member.id), Some(described)));
        draft.push(ConsumerRecord::Target(Arc::clone(&member.id), Some(assigned)));
        draft.push(ConsumerRecord::Current(Arc::clone(&member.id), Some(current)));
    }
    draft.push(ConsumerRecord::TargetEpoch(Some(epoch)));
    Ok(())
}

fn clamp(milliseconds: u64) -> i32 {
    i32::try_from(milliseconds).unwrap_or(i32::MAX)
}

fn classic_of(member: &Member) -> ClassicMember {
    ClassicMember { session_timeout_ms: clamp(member.session_timeout_ms), protocols: member.protocols.clone() }
}

/// Whether a consumer group without some of its members is to become a classic one: all others, and there are some, use
/// the classic protocol.
pub fn may_downgrade(image: &ConsumerImage, without: &[Arc<str>], config: &ClusterConfig) -> bool {
    let policy = config.group_consumer_migration_policy;
    let mut left = image.members().filter(|(id, _)| !without.contains(id)).peekable();
    let is_allowed = matches!(policy, MigrationPolicy::Bidirectional | MigrationPolicy::Downgrade);
    is_allowed
        && left.peek().is_some()
        && image.size() - without.len() <= config.group_max_size
        && left.all(|(_, member)| member.classic.is_some())
}

/// The records by which a consumer group becomes the classic group of those that are left.
pub fn downgrade(group: &Arc<str>, draft: Draft, without: &[Arc<str>]) -> Vec<GroupRecord> {
    let (image, world) = (draft.image().clone(), draft.world());
    let mut records = draft.into_records();
    let consumer = |record| GroupRecord::Consumer { group: Arc::clone(group), record };
    records.extend(image.tombstones().into_iter().map(consumer));
    let left: Vec<(&Arc<str>, &ConsumerMember, &ClassicMember)> = image
        .members()
        .filter(|(id, _)| !without.contains(id))
        .filter_map(|(id, member)| Some((id, &**member, member.classic.as_ref()?)))
        .collect();
    let protocol = common_protocol(&left);
    let member = |(id, member, classic): &(&Arc<str>, &ConsumerMember, &ClassicMember)| {
        let spoken = classic.protocols.iter().find(|(name, _)| Some(name) == protocol.as_ref());
        let subscription = spoken.map(|(_, told)| told.clone()).unwrap_or_default();
        MemberMetadata {
            member: Arc::clone(id),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: classic.session_timeout_ms,
            subscription,
            assignment: write_assignment(&image.current(id).assigned, world.metadata),
        }
    };
    let value = GroupMetadata {
        protocol_type: Arc::from(CONSUMER),
        generation: image.epoch(),
        protocol: protocol.clone(),
        leader: left.first().map(|(id, _, _)| Arc::clone(id)),
        state_since_ms: Some(world.wall_ms),
        members: left.iter().map(member).collect(),
    };
    records.push(GroupRecord::Group { group: Arc::clone(group), value: Some(value) });
    records
}

/// The first protocol of the first member that all speak.
fn common_protocol(members: &[(&Arc<str>, &ConsumerMember, &ClassicMember)]) -> Option<Arc<str>> {
    let speaks = |classic: &ClassicMember, name: &Arc<str>| classic.protocols.iter().any(|(other, _)| other == name);
    let (_, _, first) = members.first()?;
    let names = first.protocols.iter().map(|(name, _): &(Arc<str>, Bytes)| name);
    names.into_iter().find(|name| members.iter().all(|(_, _, classic)| speaks(classic, name))).cloned()
}

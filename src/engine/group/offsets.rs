//! Committed offsets: who may commit, what may be deleted, what has expired (Kafka's `OffsetMetadataManager` and
//! `ClassicGroup.validateOffsetCommit`). Decisions only; the shard carries them out.

use crate::engine::group::classic::{CONSUMER, ClassicGroup, GroupState};
use crate::engine::group::consumer::image::ConsumerImage;
use crate::engine::group::image::GroupImage;
use crate::engine::group::record::{CommittedOffset, GroupRecord};
use crate::protocol::error::ErrorCode;
use std::sync::Arc;

/// From this version of OffsetCommit on a group that does not exist is said not to exist.
const NOT_FOUND_FROM: i16 = 9;

/// From this version of OffsetCommit on members of the consumer protocol can say their epochs (KIP-848).
const MEMBER_EPOCHS_FROM: i16 = 9;

/// In whose name offsets are committed.
#[derive(Debug, Clone)]
pub struct Committer {
    /// The member; empty for who is in no group.
    pub member: Arc<str>,
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<Arc<str>>,
    /// The generation it is in; below 0 for who is in no group.
    pub generation: i32,
    /// The request's version.
    pub version: i16,
}

/// Whether somebody may commit to a group. A group that does not exist may be committed to by who is in no group: an
/// administrator, or a consumer that assigns itself.
///
/// # Errors
/// `ILLEGAL_GENERATION`, `GROUP_ID_NOT_FOUND`, `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID` or `REBALANCE_IN_PROGRESS`.
pub fn check_commit(group: Option<&ClassicGroup>, committer: &Committer) -> Result<(), ErrorCode> {
    let Some(group) = group else {
        return match committer.generation {
            generation if generation < 0 => Ok(()),
            _ if committer.version >= NOT_FOUND_FROM => Err(ErrorCode::GroupIdNotFound),
            _ => Err(ErrorCode::IllegalGeneration),
        };
    };
    if committer.generation < 0 && group.state() == GroupState::Empty {
        return Ok(());
    }
    if committer.generation >= 0 || !committer.member.is_empty() || committer.instance.is_some() {
        group.check_member(&committer.member, committer.instance.as_deref())?;
        if committer.generation != group.generation() {
            return Err(ErrorCode::IllegalGeneration);
        }
    } else {
        return Err(ErrorCode::UnknownMemberId);
    }
    // It has the generation from its JoinGroup and not its assignment yet: it has to rejoin first.
    if group.state() == GroupState::CompletingRebalance {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}

/// The same in a transaction: its producer vouches for what it does, so that a group may be committed to by who is no
/// member of it, and while it rebalances.
///
/// # Errors
/// `ILLEGAL_GENERATION`, `UNKNOWN_MEMBER_ID` or `FENCED_INSTANCE_ID`.
pub fn check_transactional_commit(group: Option<&ClassicGroup>, committer: &Committer) -> Result<(), ErrorCode> {
    let is_member = committer.generation >= 0 || !committer.member.is_empty() || committer.instance.is_some();
    match group {
        None if committer.generation < 0 => Ok(()),
        None => Err(ErrorCode::IllegalGeneration),
        Some(group) if committer.generation < 0 && group.state() == GroupState::Empty => Ok(()),
        Some(_) if !is_member => Ok(()),
        Some(group) => {
            group.check_member(&committer.member, committer.instance.as_deref())?;
            if committer.generation == group.generation() { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
        }
    }
}

/// Whether offsets of a topic may be deleted by an administrator: nobody reads it in the group's name.
///
/// # Errors
/// `NON_EMPTY_GROUP` (for the whole request) or `GROUP_SUBSCRIBED_TO_TOPIC`.
pub fn check_delete(group: &ClassicGroup, topic: &str) -> Result<(), ErrorCode> {
    if group.state() == GroupState::Empty {
        return Ok(());
    }
    if group.protocol_type().is_none_or(|kind| **kind != *CONSUMER) {
        return Err(ErrorCode::NonEmptyGroup);
    }
    if group.is_subscribed_to(topic) { Err(ErrorCode::GroupSubscribedToTopic) } else { Ok(()) }
}

/// The end of an offset.
pub fn tombstone(group: &Arc<str>, topic: &Arc<str>, partition: i32) -> GroupRecord {
    GroupRecord::Offset { group: Arc::clone(group), topic: Arc::clone(topic), partition, value: None }
}

/// The ends of all that is kept of a group.
pub fn tombstones(group: &Arc<str>, image: Option<&GroupImage>) -> Vec<GroupRecord> {
    let offsets = image.into_iter().flat_map(|image| &image.offsets);
    let mut records: Vec<GroupRecord> = offsets
        .flat_map(|(topic, partitions)| partitions.keys().map(|partition| tombstone(group, topic, *partition)))
        .collect();
    let consumer = image.map(|image| &image.consumer).filter(|consumer| consumer.exists());
    let of_consumer = |record| GroupRecord::Consumer { group: Arc::clone(group), record };
    match consumer {
        Some(consumer) => records.extend(consumer.tombstones().into_iter().map(of_consumer)),
        None => records.push(GroupRecord::Group { group: Arc::clone(group), value: None }),
    }
    records
}

/// Whether somebody may commit to a consumer group (`ConsumerGroup.validateOffsetCommit`): its members with their
/// epochs, those of the classic protocol with their generations, and while it is empty who is in no group.
///
/// # Errors
/// `UNKNOWN_MEMBER_ID`, `UNSUPPORTED_VERSION`, `STALE_MEMBER_EPOCH` or `ILLEGAL_GENERATION`.
pub fn check_consumer_commit(
    group: &ConsumerImage,
    committer: &Committer,
    is_transactional: bool,
) -> Result<(), ErrorCode> {
    if committer.generation < 0 && group.size() == 0 {
        return Ok(());
    }
    let is_anonymous = committer.generation < 0 && committer.member.is_empty() && committer.instance.is_none();
    if is_transactional && is_anonymous {
        return Ok(());
    }
    let member = group.member(&committer.member).ok_or(ErrorCode::UnknownMemberId)?;
    let is_classic = member.classic.is_some();
    if !is_transactional && !is_classic && committer.version < MEMBER_EPOCHS_FROM {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if group.member_epoch(&committer.member) == committer.generation {
        return Ok(());
    }
    // Requests of transactions know of generations alone.
    let is_stale = !is_classic && !is_transactional;
    Err(if is_stale { ErrorCode::StaleMemberEpoch } else { ErrorCode::IllegalGeneration })
}

/// Whether a member may read what its group has committed (OffsetFetch from version 9 on): who does not say who it is may.
///
/// # Errors
/// `UNKNOWN_MEMBER_ID` or `STALE_MEMBER_EPOCH`.
pub fn check_consumer_fetch(group: &ConsumerImage, member: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
    let Some(member) = member.filter(|member| !member.is_empty() || epoch >= 0) else { return Ok(()) };
    let found = group.member(member).ok_or(ErrorCode::UnknownMemberId)?;
    match (group.member_epoch(member) == epoch, found.classic.is_some()) {
        (true, _) => Ok(()),
        (false, true) => Err(ErrorCode::IllegalGeneration),
        (false, false) => Err(ErrorCode::StaleMemberEpoch),
    }
}

/// What has expired of a consumer group: offsets of topics that no member reads, each from its commit on; the group
/// itself when it has neither members nor offsets.
pub fn expired_of(group: &Arc<str>, image: &GroupImage, wall_ms: i64, retention_ms: i64) -> Vec<GroupRecord> {
    let is_expired = |topic: &str, offset: &CommittedOffset| {
        let is_due = match offset.expires_at_ms {
            Some(expires_at_ms) => wall_ms >= expires_at_ms,
            None => wall_ms.saturating_sub(offset.committed_at_ms) >= retention_ms,
        };
        is_due && !image.consumer.is_subscribed_to(topic)
    };
    let all = || image.offsets.iter().flat_map(|(topic, of)| of.iter().map(move |(number, at)| (topic, *number, at)));
    let (gone, left): (Vec<_>, Vec<_>) = all().partition(|(topic, _, offset)| is_expired(topic, offset));
    let mut records: Vec<GroupRecord> =
        gone.into_iter().map(|(topic, number, _)| tombstone(group, topic, number)).collect();
    if left.is_empty() && image.consumer.size() == 0 {
        let of_consumer = |record| GroupRecord::Consumer { group: Arc::clone(group), record };
        records.extend(image.consumer.tombstones().into_iter().map(of_consumer));
    }
    records
}

/// What has expired of a group by `offsets.retention.minutes` (KIP-211): offsets of an empty group, counted from when
/// it became empty; of a group that never had members, from each commit; and of topics that a group of consumers reads
/// no more. A group that has neither members nor offsets goes itself.
pub fn expired(group: &ClassicGroup, image: Option<&GroupImage>, wall_ms: i64, retention_ms: i64) -> Vec<GroupRecord> {
    let is_old = |since_ms: i64| wall_ms.saturating_sub(since_ms) >= retention_ms;
    let is_expired = |topic: &str, offset: &CommittedOffset| {
        let is_due = |since_ms: i64| match offset.expires_at_ms {
            Some(expires_at_ms) => wall_ms >= expires_at_ms,
            None => is_old(since_ms),
        };
        match (group.state(), group.protocol_type()) {
            (_, None) => is_due(offset.committed_at_ms),
            (GroupState::Empty, Some(_)) => is_due(group.state_since_ms().unwrap_or(offset.committed_at_ms)),
            (GroupState::Stable, Some(kind)) if **kind == *CONSUMER => {
                group.subscribed().is_some_and(|topics| !topics.contains(topic)) && is_due(offset.committed_at_ms)
            }
            _ => false,
        }
    };
    let mut records = Vec::new();
    let mut is_any_left = false;
    for (topic, partitions) in image.into_iter().flat_map(|image| &image.offsets) {
        for (partition, offset) in partitions {
            if is_expired(topic, offset) {
                records.push(tombstone(group.id(), topic, *partition));
            } else {
                is_any_left = true;
            }
        }
    }
    if !is_any_left && group.state() == GroupState::Empty && group.has_nobody_coming() {
        records.push(GroupRecord::Group { group: Arc::clone(group.id()), value: None });
    }
    records
}

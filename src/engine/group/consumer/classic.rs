//! Members of a consumer group that use the classic protocol, as they may after an upgrade and before a downgrade
//! (KIP-848; Kafka's `classicGroupJoinToConsumerGroup` and its kin). Their generation is their epoch; they join again
//! wherever a member of the consumer protocol would take a step.

use crate::engine::group::classic::CONSUMER;
use crate::engine::group::consumer::draft::Draft;
use crate::engine::group::consumer::embedded::by_id;
use crate::engine::group::consumer::image::ConsumerImage;
use crate::engine::group::consumer::record::{ClassicMember, ConsumerMember, Current, MemberState};
use crate::engine::group::member::Join;
use crate::engine::group::session::Sync;
use crate::protocol::consumer_protocol::{Subscription, decode_subscription};
use crate::protocol::error::ErrorCode;
use std::sync::Arc;

/// From this version of JoinGroup on a client is given an id before it joins (KIP-394).
const ID_FIRST_FROM: i16 = 4;

/// Whether a client may join with what it speaks; what it subscribes to.
///
/// # Errors
/// `GROUP_MAX_SIZE_REACHED`, `INCONSISTENT_GROUP_PROTOCOL`, or `MEMBER_ID_REQUIRED`.
pub fn check_join(image: &ConsumerImage, join: &Join, most: usize) -> Result<Subscription, ErrorCode> {
    if image.member(&join.member).is_none() && image.size() >= most {
        return Err(ErrorCode::GroupMaxSizeReached);
    }
    let others = || image.members().filter_map(|(_, member)| member.classic.as_ref());
    let all_speak = |name: &Arc<str>| others().all(|classic| classic.protocols.iter().any(|(other, _)| other == name));
    if *join.protocol_type != *CONSUMER || !join.protocols.iter().any(|(name, _)| all_speak(name)) {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    let first = join.protocols.first().ok_or(ErrorCode::InconsistentGroupProtocol)?;
    let subscription = decode_subscription(first.1.clone()).ok_or(ErrorCode::InconsistentGroupProtocol)?;
    if join.member.is_empty() && join.instance.is_none() && join.asker.version >= ID_FIRST_FROM {
        return Err(ErrorCode::MemberIdRequired);
    }
    Ok(subscription)
}

/// A member joins, for the first time or again: its id is `id` from now on.
///
/// # Errors
/// `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`, or what is wrong with a regular expression in the group.
pub fn join(
    draft: &mut Draft,
    id: &Arc<str>,
    join: &Join,
    subscription: &Subscription,
    has_new_topics: bool,
) -> Result<Current, ErrorCode> {
    if let Some(instance) = &join.instance {
        match draft.image().static_member(instance).cloned() {
            Some(holder) if join.member.is_empty() => draft.replace(&holder, id),
            Some(holder) if holder != *id => return Err(ErrorCode::FencedInstanceId),
            None if !join.member.is_empty() => return Err(ErrorCode::UnknownMemberId),
            _ => {}
        }
    }
    let clamp = |milliseconds: u64| i32::try_from(milliseconds).unwrap_or(i32::MAX);
    let member = ConsumerMember {
        instance: join.instance.clone(),
        rack: None,
        client_id: Arc::clone(&join.client_id),
        client_host: Arc::clone(&join.client_host),
        topics: subscription.topics.iter().map(|topic| Arc::from(topic.as_str())).collect(),
        regex: None,
        rebalance_timeout_ms: clamp(join.rebalance_timeout_ms),
        assignor: None,
        classic: Some(ClassicMember {
            session_timeout_ms: clamp(join.session_timeout_ms),
            protocols: join.protocols.clone(),
        }),
    };
    let has_changed = draft.subscribe(id, member);
    if has_changed || has_new_topics {
        draft.look_at_topics(has_changed).map_err(|refusal| refusal.error)?;
    }
    draft.assign();
    let owned = by_id(&subscription.owned, draft.world().metadata);
    Ok(draft.reconcile(id, Some(&owned)))
}

/// The member that a request of the classic protocol speaks for.
///
/// # Errors
/// `UNKNOWN_MEMBER_ID`, also for a member of the consumer protocol, `FENCED_INSTANCE_ID` or `ILLEGAL_GENERATION`.
pub fn check_member<'a>(
    image: &'a ConsumerImage,
    id: &str,
    instance: Option<&str>,
    generation: i32,
) -> Result<(&'a ConsumerMember, &'a ClassicMember), ErrorCode> {
    let found = who(image, id, instance)?;
    if image.member_epoch(id) == generation { Ok(found) } else { Err(ErrorCode::IllegalGeneration) }
}

/// The same without a generation.
///
/// # Errors
/// As [`check_member`].
pub fn who<'a>(
    image: &'a ConsumerImage,
    id: &str,
    instance: Option<&str>,
) -> Result<(&'a ConsumerMember, &'a ClassicMember), ErrorCode> {
    if let Some(instance) = instance {
        let holder = image.static_member(instance).ok_or(ErrorCode::UnknownMemberId)?;
        if **holder != *id {
            return Err(ErrorCode::FencedInstanceId);
        }
    }
    let member = image.member(id).ok_or(ErrorCode::UnknownMemberId)?;
    let classic = member.classic.as_ref().ok_or(ErrorCode::UnknownMemberId)?;
    Ok((member, classic))
}

/// Whether a member that asks for its assignment speaks what it was told.
///
/// # Errors
/// `INCONSISTENT_GROUP_PROTOCOL`.
pub fn check_sync(classic: &ClassicMember, sync: &Sync) -> Result<(), ErrorCode> {
    let chosen = classic.protocols.first().map(|(name, _)| name);
    let has_other_type = sync.protocol_type.as_deref().is_some_and(|kind| *kind != *CONSUMER);
    let has_other_name = sync.protocol.is_some() && sync.protocol.as_ref() != chosen;
    if has_other_type || has_other_name { Err(ErrorCode::InconsistentGroupProtocol) } else { Ok(()) }
}

/// Whether a member that asks for its assignment has to join again first: one that gives back has done so already.
pub fn must_rejoin_before_sync(image: &ConsumerImage, id: &str) -> bool {
    let current = image.current(id);
    image.epoch() > current.epoch && current.state != MemberState::UnrevokedPartitions
}

/// Whether a member that shows itself has to join again: the group has changed, it has to give back, or what it waits
/// for is free.
pub fn must_rejoin(image: &ConsumerImage, id: &str) -> bool {
    let current = image.current(id);
    let is_waiting = || {
        let missing = super::reconcile::without(&image.target(id), &current.assigned);
        let mut places = missing.iter().flat_map(|(topic, numbers)| numbers.iter().map(|number| (*topic, *number)));
        places.any(|(topic, number)| image.owner(topic, number).is_some())
    };
    current.epoch < image.epoch()
        || current.state == MemberState::UnrevokedPartitions
        || (current.state == MemberState::UnreleasedPartitions && !is_waiting())
}

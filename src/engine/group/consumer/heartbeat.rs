//! ConsumerGroupHeartbeat as a decision (KIP-848; Kafka's `GroupMetadataManager.consumerGroupHeartbeat`): a member joins,
//! shows itself, says what it subscribes to and what it owns, and leaves.
//!
//! Invariants: who speaks with an epoch that is not the member's is fenced, but for one whose last answer was lost; a
//! static member's place is taken by another only when it has left.

use crate::engine::group::consumer::draft::{Draft, Refusal};
use crate::engine::group::consumer::image::{ConsumerImage, WILL_COME_BACK};
use crate::engine::group::consumer::reconcile::without;
use crate::engine::group::consumer::record::{ConsumerMember, ConsumerRecord, Current, Partitions};
use crate::protocol::error::ErrorCode;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The epoch of who leaves for good.
pub const LEAVES: i32 = -1;

/// ConsumerGroupHeartbeat, as the group takes it. `None` stands for "as before".
#[derive(Debug, Clone, Default)]
pub struct Beat {
    /// The member's id.
    pub member: Arc<str>,
    /// Its epoch: 0 to join, −1 to leave, −2 to leave and come back.
    pub epoch: i32,
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<Arc<str>>,
    /// Its rack.
    pub rack: Option<Arc<str>>,
    /// How long it may take to give partitions back, in milliseconds.
    pub rebalance_timeout_ms: Option<i32>,
    /// Names of topics.
    pub topics: Option<BTreeSet<Arc<str>>>,
    /// A regular expression for names of topics; empty for none any more.
    pub regex: Option<Arc<str>>,
    /// The assignor that it wants.
    pub assignor: Option<Arc<str>>,
    /// What it owns.
    pub owned: Option<Partitions>,
    /// What its client calls itself.
    pub client_id: Arc<str>,
    /// Where its client is.
    pub client_host: Arc<str>,
}

impl Beat {
    /// Whether everything is said, as it is by who joins and by who is not sure what was heard.
    fn is_full(&self) -> bool {
        self.rebalance_timeout_ms.is_some() && (self.topics.is_some() || self.regex.is_some()) && self.owned.is_some()
    }
}

/// What a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its epoch.
    pub epoch: i32,
    /// What it is to have from now on, if that has changed.
    pub assignment: Option<Partitions>,
    /// What it has, by the coordinator's account.
    pub current: Current,
}

/// A member joins or shows itself.
///
/// # Errors
/// What the client has to know instead.
pub fn beat(draft: &mut Draft, beat: &Beat, has_new_topics: bool) -> Result<Told, Refusal> {
    let config = draft.world().config;
    let is_known = draft.image().member(&beat.member).is_some();
    if beat.epoch == 0 && !is_known && draft.image().size() >= config.group_consumer_max_size {
        let most = config.group_consumer_max_size;
        let message = format!("The consumer group has reached its maximum capacity of {most} members.");
        return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message));
    }
    find_or_admit(draft, beat)?;
    let before = draft.image().current(&beat.member);
    let has_changed = draft.subscribe(&beat.member, described(draft.image(), beat));
    if has_changed || has_new_topics {
        draft.look_at_topics(has_changed)?;
    }
    draft.assign();
    let current = draft.reconcile(&beat.member, beat.owned.as_ref());
    let is_news = beat.epoch == 0 || beat.is_full() || current.assigned != before.assigned;
    let assignment = is_news.then(|| current.assigned.clone());
    Ok(Told { epoch: current.epoch, assignment, current })
}

/// Whether the member may speak; a static one may take the place of one that has left.
fn find_or_admit(draft: &mut Draft, beat: &Beat) -> Result<(), Refusal> {
    let joins = beat.epoch == 0;
    let Some(instance) = &beat.instance else {
        if joins {
            return Ok(());
        }
        if draft.image().member(&beat.member).is_none() {
            return Err(unknown(&beat.member));
        }
        return check_epoch(&draft.image().current(&beat.member), beat.epoch, beat.owned.as_ref());
    };
    let holder = draft.image().static_member(instance).cloned();
    match holder {
        None if joins => Ok(()),
        None => Err(unknown_instance(instance)),
        Some(holder) if holder == beat.member && joins => Ok(()),
        Some(holder) if joins => {
            let is_classic = draft.image().member(&holder).is_some_and(|member| member.classic.is_some());
            if !is_classic && !may_be_replaced(&draft.image().current(&holder)) {
                let message = format!(
                    "Static member {} with instance id {instance} cannot join the group because the instance id is \
                     owned by {holder} member.",
                    beat.member
                );
                return Err(Refusal::new(ErrorCode::UnreleasedInstanceId, message));
            }
            draft.replace(&holder, &beat.member);
            Ok(())
        }
        Some(holder) => {
            check_instance(&holder, &beat.member, instance)?;
            check_epoch(&draft.image().current(&holder), beat.epoch, beat.owned.as_ref())
        }
    }
}

/// Only who has said that it will come back lets another take its place.
fn may_be_replaced(holder: &Current) -> bool {
    holder.epoch == WILL_COME_BACK
}

fn unknown(member: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownMemberId, format!("Member {member} is not a member of the group."))
}

fn unknown_instance(instance: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownMemberId, format!("Instance id {instance} is unknown."))
}

fn check_instance(holder: &Arc<str>, member: &Arc<str>, instance: &str) -> Result<(), Refusal> {
    if holder == member {
        return Ok(());
    }
    let message = format!("Static member {member} with instance id {instance} was fenced by member {holder}.");
    Err(Refusal::new(ErrorCode::FencedInstanceId, message))
}

/// A member speaks with its epoch. With the one before only if it owns nothing that it has not now: then the answer that
/// told it the new one was lost.
fn check_epoch(current: &Current, epoch: i32, owned: Option<&Partitions>) -> Result<(), Refusal> {
    let fenced = |which: &str| {
        let message = format!(
            "The consumer group member has a {which} member epoch ({epoch}) than the one known by the group \
             coordinator ({}). The member must abandon all its partitions and rejoin.",
            current.epoch
        );
        Err(Refusal::new(ErrorCode::FencedMemberEpoch, message))
    };
    if epoch > current.epoch {
        return fenced("greater");
    }
    let has_lost_answer =
        || epoch == current.previous_epoch && owned.is_some_and(|owned| without(owned, &current.assigned).is_empty());
    if epoch < current.epoch && !has_lost_answer() {
        return fenced("smaller");
    }
    Ok(())
}

/// The member as it is with what it says.
fn described(image: &ConsumerImage, beat: &Beat) -> ConsumerMember {
    let mut member = image.member(&beat.member).map(|member| (**member).clone()).unwrap_or_default();
    if image.member(&beat.member).is_none() {
        member.rebalance_timeout_ms = -1;
    }
    member.client_id = Arc::clone(&beat.client_id);
    member.client_host = Arc::clone(&beat.client_host);
    member.classic = None;
    if let Some(instance) = &beat.instance {
        member.instance = Some(Arc::clone(instance));
    }
    if let Some(rack) = &beat.rack {
        member.rack = Some(Arc::clone(rack));
    }
    if let Some(rebalance_timeout_ms) = beat.rebalance_timeout_ms {
        member.rebalance_timeout_ms = rebalance_timeout_ms;
    }
    if let Some(topics) = &beat.topics {
        member.topics.clone_from(topics);
    }
    if let Some(regex) = &beat.regex {
        member.regex = Some(Arc::clone(regex)).filter(|regex| !regex.is_empty());
    }
    if let Some(assignor) = &beat.assignor {
        member.assignor = Some(Arc::clone(assignor));
    }
    member
}

/// Who leaves, by its own word.
///
/// # Errors
/// `UNKNOWN_MEMBER_ID` or `FENCED_INSTANCE_ID`.
pub fn who_leaves(image: &ConsumerImage, beat: &Beat) -> Result<Arc<str>, Refusal> {
    match &beat.instance {
        None if image.member(&beat.member).is_some() => Ok(Arc::clone(&beat.member)),
        None => Err(unknown(&beat.member)),
        Some(instance) => {
            let holder = image.static_member(instance).ok_or_else(|| unknown_instance(instance))?;
            check_instance(holder, &beat.member, instance)?;
            Ok(Arc::clone(holder))
        }
    }
}

/// A static member leaves and will come back: what it has stays its own until its session ends.
pub fn leave_for_a_while(draft: &mut Draft, id: &Arc<str>) {
    let current = draft.image().current(id);
    let current = Current { epoch: WILL_COME_BACK, pending_revocation: Partitions::new(), ..current };
    draft.push(ConsumerRecord::Current(Arc::clone(id), Some(current)));
}

/// Members are out, with all that they had; the group's epoch rises.
pub fn fence(draft: &mut Draft, ids: &[Arc<str>]) {
    for id in ids {
        draft.remove(id);
    }
    // Every expression left was valid when it came.
    let _ = draft.look_at_topics(true);
}

//! A classic group (Kafka's `ClassicGroup`): its members, its state, its generation, and its timers.
//!
//! Here is what a group *is*: who belongs to it, who leads, which protocol all speak. What it *does* when a client asks
//! or time passes is in `rebalance.rs` (joining) and `session.rs` (syncing, heartbeats, leaving, silence).
//!
//! What is durable of it is in the image: its last generation with members and assignment. The rest (joins under way,
//! the timers of sessions) a coordinator's death forgets, as Kafka's does: the next coordinator takes the members of
//! the last generation for alive and lets them show themselves.
//!
//! A group's state is never `Dead` here: a group that is deleted is gone.

use crate::engine::group::answers::text;
use crate::engine::group::member::{Join, Member};
use crate::engine::group::outcome::Moment;
use crate::engine::group::record::{GroupMetadata, GroupRecord, MemberMetadata};
use crate::engine::time::Instant;
use crate::protocol::error::ErrorCode;
use bytes::{Buf, Bytes};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The protocol type of consumers, whose subscriptions the coordinator can read.
pub const CONSUMER: &str = "consumer";
/// So many rebalances are remembered, with their causes.
const REMEMBERED_REBALANCES: usize = 8;

/// What a group is doing (`ClassicGroupState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupState {
    /// Nobody is in it; offsets may be.
    Empty,
    /// It waits for its members to join.
    PreparingRebalance,
    /// It waits for the leader's assignment.
    CompletingRebalance,
    /// Everybody works.
    Stable,
}

impl GroupState {
    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
        }
    }
}

/// A rebalance that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebalance {
    /// When, in the coordinator's time.
    pub at: Instant,
    /// The generation that it ended.
    pub generation: i32,
    /// Why.
    pub cause: String,
}

/// What may be due in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A new group has waited long enough for more members; or longer, if some came meanwhile.
    FirstJoin,
    /// Members have had long enough to join again.
    Join,
    /// Members have had long enough to ask for their assignment.
    Sync,
    /// A member was silent for too long, or a client with a new id did not use it.
    Member(Arc<str>),
}

/// See the module.
#[derive(Debug, Clone)]
pub struct ClassicGroup {
    pub(super) id: Arc<str>,
    pub(super) state: GroupState,
    pub(super) was_empty: bool,
    pub(super) state_since_ms: Option<i64>,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<Arc<str>>,
    pub(super) protocol: Option<Arc<str>>,
    pub(super) leader: Option<Arc<str>>,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    pub(super) statics: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids that were given away and have not joined yet, and until when they hold.
    pub(super) pending: BTreeMap<Arc<str>, Instant>,
    /// Members of this generation that have not asked for their assignment yet.
    pub(super) pending_sync: BTreeSet<Arc<str>>,
    /// A member came while a new group waited for more.
    pub(super) has_new_member: bool,
    /// How much longer a new group may wait, in milliseconds.
    pub(super) first_join_left_ms: u64,
    /// Topics of consumers; `None` if the subscriptions cannot be read.
    pub(super) subscribed: Option<BTreeSet<String>>,
    pub(super) join_due: Option<(Instant, Due)>,
    pub(super) sync_due: Option<Instant>,
    pub(super) due: BTreeSet<(Instant, Due)>,
    pub(super) rebalances: VecDeque<Rebalance>,
}

impl ClassicGroup {
    /// A group that nobody has joined.
    pub fn new(id: Arc<str>) -> ClassicGroup {
        ClassicGroup {
            id,
            state: GroupState::Empty,
            was_empty: false,
            state_since_ms: None,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            has_new_member: false,
            first_join_left_ms: 0,
            subscribed: None,
            join_due: None,
            sync_due: None,
            due: BTreeSet::new(),
            rebalances: VecDeque::new(),
        }
    }

    /// The group of a loaded generation: its members are taken for alive from now on.
    pub fn load(id: Arc<str>, metadata: &GroupMetadata, now: Instant) -> ClassicGroup {
        let mut group = ClassicGroup::new(id);
        let protocol = metadata.protocol.clone().unwrap_or_else(|| Arc::from(""));
        group.state_since_ms = metadata.state_since_ms;
        group.generation = metadata.generation;
        group.protocol_type = Some(Arc::clone(&metadata.protocol_type)).filter(|kind| !kind.is_empty());
        group.protocol.clone_from(&metadata.protocol);
        group.leader.clone_from(&metadata.leader);
        for member in &metadata.members {
            let id = Arc::clone(&member.member);
            if let Some(instance) = &member.instance {
                group.statics.insert(Arc::clone(instance), Arc::clone(&id));
            }
            group.members.insert(Arc::clone(&id), loaded_member(member, &protocol));
            group.show(&id, now);
        }
        group.state = if group.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        group.subscribed = group.read_subscriptions();
        group
    }

    /// Its name.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// What it is doing.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// Its generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// What kind of members it has; nothing before the first.
    pub fn protocol_type(&self) -> Option<&Arc<str>> {
        self.protocol_type.as_ref()
    }

    /// The protocol that was chosen for this generation.
    pub fn protocol(&self) -> Option<&Arc<str>> {
        self.protocol.as_ref()
    }

    /// The member that computes the assignment.
    pub fn leader(&self) -> Option<&Arc<str>> {
        self.leader.as_ref()
    }

    /// Its members, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The last rebalances, the latest last.
    pub fn rebalances(&self) -> impl Iterator<Item = &Rebalance> {
        self.rebalances.iter()
    }

    /// When the state it is in ends at the latest.
    pub fn state_ends_at(&self) -> Option<Instant> {
        match self.state {
            GroupState::PreparingRebalance => self.join_due.as_ref().map(|(at, _)| *at),
            GroupState::CompletingRebalance => self.sync_due,
            GroupState::Empty | GroupState::Stable => None,
        }
    }

    /// When it is to be looked at next.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Since when it has been in its state, in milliseconds of wall time.
    pub fn state_since_ms(&self) -> Option<i64> {
        self.state_since_ms
    }

    /// Whether its members are consumers that read a topic. `true` too if they are consumers and their subscriptions
    /// cannot be read.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.protocol_type.as_deref() == Some(CONSUMER) && !self.members.is_empty(),
        }
    }

    /// Whether no client holds an id that it has not used yet.
    pub fn has_nobody_coming(&self) -> bool {
        self.pending.is_empty()
    }

    /// The topics that its consumers read, if that is known.
    pub fn subscribed(&self) -> Option<&BTreeSet<String>> {
        self.subscribed.as_ref()
    }

    /// What it is now, with an assignment, as a record.
    pub fn record(&self, assignment: &BTreeMap<Arc<str>, Bytes>) -> GroupRecord {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let clamp = |milliseconds: u64| i32::try_from(milliseconds).unwrap_or(i32::MAX);
        let member = |member: &Member| MemberMetadata {
            member: Arc::clone(&member.id),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            rebalance_timeout_ms: clamp(member.rebalance_timeout_ms),
            session_timeout_ms: clamp(member.session_timeout_ms),
            subscription: member.subscription(protocol),
            assignment: assignment.get(&member.id).cloned().unwrap_or_default(),
        };
        let value = GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_else(|| Arc::from("")),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since_ms: self.state_since_ms,
            members: self.members.values().map(member).collect(),
        };
        GroupRecord::Group { group: Arc::clone(&self.id), value: Some(value) }
    }

    /// What each member was given.
    pub(super) fn assignment(&self) -> BTreeMap<Arc<str>, Bytes> {
        self.members.iter().map(|(id, member)| (Arc::clone(id), member.assignment.clone())).collect()
    }

    pub(super) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    pub(super) fn enter(&mut self, at: &Moment, state: GroupState) {
        self.was_empty = self.state == GroupState::Empty;
        self.state = state;
        self.state_since_ms = Some(at.wall_ms);
    }

    pub(super) fn remember(&mut self, at: &Moment, cause: String) {
        if self.rebalances.len() == REMEMBERED_REBALANCES {
            self.rebalances.pop_front();
        }
        self.rebalances.push_back(Rebalance { at: at.now, generation: self.generation, cause });
    }

    /// The longest that any member may take to join again, in milliseconds.
    pub(super) fn rebalance_timeout_ms(&self) -> u64 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    /// Whether a member with these protocols fits in.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[(Arc<str>, Bytes)]) -> bool {
        if protocol_type.is_empty() || protocols.is_empty() {
            return false;
        }
        if self.state == GroupState::Empty {
            return true;
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| self.members.values().all(|member| member.speaks(name)))
    }

    /// The protocol that all speak and most like best.
    pub(super) fn choose_protocol(&self) -> Option<Arc<str>> {
        let all_speak = |name: &str| self.members.values().all(|member| member.speaks(name));
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| all_speak(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| Arc::clone(name))
    }

    /// Whether a request may speak for a member: it exists, and a static one is who it says (KIP-345).
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID` or `FENCED_INSTANCE_ID`.
    pub fn check_member(&self, member: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        match instance {
            None if self.members.contains_key(member) => Ok(()),
            None => Err(ErrorCode::UnknownMemberId),
            Some(instance) => match self.statics.get(instance) {
                None => Err(ErrorCode::UnknownMemberId),
                Some(known) if **known == *member => Ok(()),
                Some(_) => Err(ErrorCode::FencedInstanceId),
            },
        }
    }

    /// Whether there is room for one more (`group.max.size`); a member that is in already may stay.
    pub(super) fn has_room_for(&self, member: &str, most: usize) -> bool {
        match self.state {
            GroupState::Empty => true,
            GroupState::PreparingRebalance => {
                let is_joining = |member: &Member| member.joining.is_some();
                self.members.get(member).is_some_and(is_joining)
                    || self.members.values().filter(|member| is_joining(member)).count() < most
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.members.contains_key(member) || self.members.len() < most
            }
        }
    }

    pub(super) fn add(&mut self, id: &Arc<str>, join: &Join) {
        if self.members.is_empty() {
            self.protocol_type = Some(Arc::clone(&join.protocol_type));
        }
        if let Some(instance) = &join.instance {
            self.statics.insert(Arc::clone(instance), Arc::clone(id));
        }
        self.leader.get_or_insert_with(|| Arc::clone(id));
        self.forget_pending(id);
        self.members.insert(Arc::clone(id), Member::new(Arc::clone(id), join));
    }

    /// Takes a member out, with its timer. Requests of it that wait come back with it.
    pub(super) fn take(&mut self, id: &str) -> Option<Member> {
        self.rest(id);
        let member = self.members.remove(id)?;
        self.pending_sync.remove(id);
        if let Some(instance) = &member.instance
            && self.statics.get(instance).is_some_and(|known| **known == *id)
        {
            self.statics.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// A static member has another id from now on.
    pub(super) fn rename(&mut self, old: &Arc<str>, new: &Arc<str>) {
        self.rest(old);
        let Some(mut member) = self.members.remove(old) else { return };
        member.id = Arc::clone(new);
        if let Some(instance) = &member.instance {
            self.statics.insert(Arc::clone(instance), Arc::clone(new));
        }
        if self.is_leader(old) {
            self.leader = Some(Arc::clone(new));
        }
        if self.pending_sync.remove(old) {
            self.pending_sync.insert(Arc::clone(new));
        }
        self.members.insert(Arc::clone(new), member);
    }

    /// A member has shown itself.
    pub fn show(&mut self, id: &Arc<str>, now: Instant) {
        let Some(session_ms) = self.members.get(id).map(|member| member.session_timeout_ms) else { return };
        self.expire_member_at(id, now.plus_millis(session_ms));
    }

    pub(super) fn expire_member_at(&mut self, id: &Arc<str>, at: Instant) {
        self.rest(id);
        if let Some(member) = self.members.get_mut(id) {
            member.expires_at = Some(at);
            self.due.insert((at, Due::Member(Arc::clone(id))));
        }
    }

    /// Takes a member's timer back.
    fn rest(&mut self, id: &str) {
        if let Some(at) = self.members.get_mut(id).and_then(|member| member.expires_at.take()) {
            self.due.remove(&(at, Due::Member(Arc::from(id))));
        }
    }

    pub(super) fn add_pending(&mut self, id: &Arc<str>, until: Instant) {
        self.pending.insert(Arc::clone(id), until);
        self.due.insert((until, Due::Member(Arc::clone(id))));
    }

    pub(super) fn forget_pending(&mut self, id: &str) -> bool {
        let Some(until) = self.pending.remove(id) else { return false };
        self.due.remove(&(until, Due::Member(Arc::from(id))));
        true
    }

    pub(super) fn set_join_due(&mut self, at: Instant, due: Due) {
        self.clear_join_due();
        self.due.insert((at, due.clone()));
        self.join_due = Some((at, due));
    }

    pub(super) fn clear_join_due(&mut self) {
        if let Some(due) = self.join_due.take() {
            self.due.remove(&due);
        }
    }

    pub(super) fn set_sync_due(&mut self, at: Instant) {
        self.clear_sync_due();
        self.due.insert((at, Due::Sync));
        self.sync_due = Some(at);
    }

    pub(super) fn clear_sync_due(&mut self) {
        if let Some(at) = self.sync_due.take() {
            self.due.remove(&(at, Due::Sync));
        }
    }

    /// The members as their leader is told of them.
    pub(super) fn members_for_leader(&self, version: i16) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let one = |member: &Member| {
            let told = JoinGroupResponseMember::default()
                .with_member_id(text(&member.id))
                .with_metadata(member.subscription(protocol));
            match &member.instance {
                Some(instance) if version >= 5 => told.with_group_instance_id(Some(text(instance))),
                _ => told,
            }
        };
        self.members.values().map(one).collect()
    }

    /// The topics of all members, if they are consumers and can be understood.
    pub(super) fn read_subscriptions(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return None;
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(read_topics(&member.subscription(protocol))?);
        }
        Some(topics)
    }
}

/// The topics of a consumer's subscription (`ConsumerProtocolSubscription`): they come first in every version.
fn read_topics(mut subscription: &[u8]) -> Option<Vec<String>> {
    let _version = subscription.try_get_i16().ok()?;
    let count = subscription.try_get_i32().ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(subscription.try_get_i16().ok()?).ok()?;
        topics.push(String::from_utf8(subscription.split_off(..length)?.to_vec()).ok()?);
    }
    Some(topics)
}

fn loaded_member(member: &MemberMetadata, protocol: &Arc<str>) -> Member {
    Member {
        id: Arc::clone(&member.member),
        instance: member.instance.clone(),
        client_id: Arc::clone(&member.client_id),
        client_host: Arc::clone(&member.client_host),
        rebalance_timeout_ms: u64::try_from(member.rebalance_timeout_ms).unwrap_or(0),
        session_timeout_ms: u64::try_from(member.session_timeout_ms).unwrap_or(0),
        protocols: vec![(Arc::clone(protocol), member.subscription.clone())],
        assignment: member.assignment.clone(),
        is_new: false,
        joining: None,
        syncing: None,
        expires_at: None,
    }
}

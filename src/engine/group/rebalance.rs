//! Joining a classic group, and the rebalance that follows (KIP-62, KIP-134, KIP-345, KIP-394, KIP-814; Kafka's
//! `GroupMetadataManager.classicGroupJoin` and what it calls).
//!
//! Invariants: a generation begins only when every member has joined, or had its time to; a JoinGroup is answered once;
//! of two clients with the same `group.instance.id` the earlier is fenced.

use crate::engine::group::answers::{self, Joined, join_refused};
use crate::engine::group::classic::{ClassicGroup, Due, GroupState};
use crate::engine::group::member::{Asker, Join};
use crate::engine::group::outcome::{After, Moment, Outcome};
use crate::engine::observe::GroupEvent;
use crate::protocol::error::ErrorCode;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A new member has no heartbeat before its first generation: its JoinGroup may wait so long, in milliseconds
/// (`classicGroupNewMemberJoinTimeoutMs`).
const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 300_000;
/// From this version of JoinGroup on a client is given an id before it joins (KIP-394).
const ID_FIRST_FROM: i16 = 4;
/// From this version on a leader can be told to leave the assignment as it is (KIP-814).
const SKIPS_ASSIGNMENT_FROM: i16 = 9;

impl ClassicGroup {
    /// JoinGroup. The group exists, be it since a moment ago.
    pub fn join(&mut self, at: &Moment, join: Join, out: &mut Outcome) {
        let refuse = |out: &mut Outcome, member: &str, error: ErrorCode| {
            out.answers.push((join.asker.token, join_refused(join.asker, member, error)));
        };
        if !self.has_room_for(&join.member, at.config.group_max_size) {
            self.take(&join.member);
            return refuse(out, "", ErrorCode::GroupMaxSizeReached);
        }
        if !self.supports(&join.protocol_type, &join.protocols) {
            return refuse(out, &join.member, ErrorCode::InconsistentGroupProtocol);
        }
        if join.member.is_empty() {
            return self.join_new(at, &join, out);
        }
        if self.pending.contains_key(&join.member) {
            let id = Arc::clone(&join.member);
            return self.add_and_rebalance(at, &id, &join, out);
        }
        if let Err(error) = self.check_member(&join.member, join.instance.as_deref()) {
            return refuse(out, &join.member, error);
        }
        self.join_again(at, &join, out);
    }

    fn join_new(&mut self, at: &Moment, join: &Join, out: &mut Outcome) {
        let id = Arc::clone(&join.new_member);
        match &join.instance {
            Some(instance) => match self.statics.get(instance).cloned() {
                Some(old) => self.replace(at, &old, join, out),
                None => self.add_and_rebalance(at, &id, join, out),
            },
            None if join.asker.version >= ID_FIRST_FROM => {
                self.add_pending(&id, at.now.plus_millis(join.session_timeout_ms));
                out.answers.push((join.asker.token, join_refused(join.asker, &id, ErrorCode::MemberIdRequired)));
            }
            None => self.add_and_rebalance(at, &id, join, out),
        }
    }

    /// A member that is known joins.
    fn join_again(&mut self, at: &Moment, join: &Join, out: &mut Outcome) {
        let member = &self.members[&join.member];
        let is_same = member.protocols == join.protocols;
        let reason = join.reason.as_deref().unwrap_or("not given");
        match self.state {
            GroupState::Empty => {
                let error = ErrorCode::UnknownMemberId;
                out.answers.push((join.asker.token, join_refused(join.asker, &join.member, error)));
            }
            GroupState::PreparingRebalance => self.update_and_rebalance(at, join, String::new(), out),
            // It may not have got the answer to its first JoinGroup.
            GroupState::CompletingRebalance if is_same => {
                out.answers.push((join.asker.token, self.joined(join.asker, &join.member, false)));
            }
            GroupState::Stable if is_same && !self.is_leader(&join.member) => {
                out.answers.push((join.asker.token, self.joined(join.asker, &join.member, false)));
            }
            GroupState::Stable if self.is_leader(&join.member) => {
                let cause = format!("the leader {} joined again; its reason: {reason}", join.member);
                self.update_and_rebalance(at, join, cause, out);
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                let cause = format!("{} subscribes to something else; its reason: {reason}", join.member);
                self.update_and_rebalance(at, join, cause, out);
            }
        }
    }

    fn add_and_rebalance(&mut self, at: &Moment, id: &Arc<str>, join: &Join, out: &mut Outcome) {
        if self.state == GroupState::PreparingRebalance && self.was_empty {
            self.has_new_member = true;
        }
        self.add(id, join);
        self.expire_member_at(id, at.now.plus_millis(NEW_MEMBER_JOIN_TIMEOUT_MS));
        self.rebalance_or_complete(at, format!("{id} joined"), out);
    }

    fn update_and_rebalance(&mut self, at: &Moment, join: &Join, cause: String, out: &mut Outcome) {
        self.update(&Arc::clone(&join.member), join, out);
        self.rebalance_or_complete(at, cause, out);
    }

    /// A member says anew what it is. An earlier JoinGroup of it that still waits is of no use to anybody.
    fn update(&mut self, id: &Arc<str>, join: &Join, out: &mut Outcome) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.protocols.clone_from(&join.protocols);
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        if let Some(earlier) = member.joining.replace(join.asker) {
            out.answers.push((earlier.token, join_refused(earlier, id, ErrorCode::RebalanceInProgress)));
        }
    }

    /// A static member comes back without its id: it gets another, and who has the old one is fenced.
    fn replace(&mut self, at: &Moment, old: &Arc<str>, join: &Join, out: &mut Outcome) {
        let new = Arc::clone(&join.new_member);
        let old_leader = self.leader.clone().unwrap_or_else(|| Arc::from(""));
        self.fence(old, out);
        self.rename(old, &new);
        self.show(&new, at.now);
        self.update(&new, join, out);
        let reason = join.reason.as_deref().unwrap_or("not given");
        match self.state {
            GroupState::Stable if self.protocol.is_some() && self.protocol == self.choose_protocol() => {
                let can_skip = join.asker.version >= SKIPS_ASSIGNMENT_FROM;
                let response = if can_skip {
                    self.joined(join.asker, &new, self.is_leader(&new))
                } else {
                    // An older client must not take itself for the leader, or it would assign anew: it is told the id it had.
                    self.joined_under(join.asker, &new, &old_leader)
                };
                out.records.push(self.record(&self.assignment()));
                let (group, old) = (Arc::clone(&self.id), Arc::clone(old));
                out.after.push(After::Replaced { group, old, new, token: join.asker.token, response });
            }
            GroupState::Stable => {
                let cause = format!("static member {new} speaks other protocols; its reason: {reason}");
                self.rebalance_or_complete(at, cause, out);
            }
            // The leader may be assigning to the old id already.
            GroupState::CompletingRebalance => {
                let cause = format!("static member {new} came back; its reason: {reason}");
                self.prepare_rebalance(at, cause, out);
            }
            GroupState::PreparingRebalance | GroupState::Empty => self.maybe_complete_join(at, out),
        }
    }

    /// Requests of a static member whose place another client has taken.
    fn fence(&mut self, old: &Arc<str>, out: &mut Outcome) {
        let Some(member) = self.members.get_mut(old) else { return };
        if let Some(asker) = member.joining.take() {
            out.answers.push((asker.token, join_refused(asker, old, ErrorCode::FencedInstanceId)));
        }
        if let Some(asker) = member.syncing.take() {
            let answer = answers::synced(asker.version, ErrorCode::FencedInstanceId, None, None, Bytes::new());
            out.answers.push((asker.token, answer));
        }
    }

    /// The record of a static member's return is committed, or could not be written: it is answered, if it still waits,
    /// or has its old id back.
    pub fn replaced(
        &mut self,
        at: &Moment,
        (old, new): (&Arc<str>, &Arc<str>),
        asker: crate::engine::io::RequestToken,
        outcome: Result<crate::protocol::codec::Response, crate::protocol::codec::Response>,
        out: &mut Outcome,
    ) {
        let waits = self.members.get(new).and_then(|member| member.joining).is_some_and(|found| found.token == asker);
        if !waits {
            return;
        }
        if let Some(member) = self.members.get_mut(new) {
            member.joining = None;
        }
        match outcome {
            Ok(response) => out.answers.push((asker, response)),
            Err(refusal) => {
                self.rename(new, old);
                self.show(old, at.now);
                out.answers.push((asker, refusal));
            }
        }
    }

    pub(super) fn rebalance_or_complete(&mut self, at: &Moment, cause: String, out: &mut Outcome) {
        if self.state == GroupState::PreparingRebalance {
            self.maybe_complete_join(at, out);
        } else {
            self.prepare_rebalance(at, cause, out);
        }
    }

    /// Everybody is to join again.
    pub(super) fn prepare_rebalance(&mut self, at: &Moment, cause: String, out: &mut Outcome) {
        if self.state == GroupState::CompletingRebalance {
            self.reset_assignment(at, ErrorCode::RebalanceInProgress, out);
        }
        self.clear_sync_due();
        let is_first = self.state == GroupState::Empty;
        if is_first {
            let delay_ms = at.config.group_initial_rebalance_delay_ms;
            self.first_join_left_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms);
            self.set_join_due(at.now.plus_millis(delay_ms), Due::FirstJoin);
        }
        self.enter(at, GroupState::PreparingRebalance);
        let (group, generation) = (self.id.to_string(), self.generation);
        out.events.push(GroupEvent::Rebalancing { group, generation, cause: cause.clone() });
        self.remember(at, cause);
        if !is_first {
            self.complete_join_or_wait(at, out);
        }
    }

    fn has_everybody_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    fn complete_join_or_wait(&mut self, at: &Moment, out: &mut Outcome) {
        self.clear_join_due();
        if self.has_everybody_joined() {
            self.complete_join(at, out);
        } else {
            self.set_join_due(at.now.plus_millis(self.rebalance_timeout_ms()), Due::Join);
        }
    }

    /// Ends the wait for joins if there is nobody left to wait for. A new group waits all the same.
    pub(super) fn maybe_complete_join(&mut self, at: &Moment, out: &mut Outcome) {
        if self.state == GroupState::PreparingRebalance && !self.was_empty && self.has_everybody_joined() {
            self.complete_join(at, out);
        }
    }

    /// A new group has waited: longer if members came meanwhile, but never longer than the longest rebalance timeout.
    pub(super) fn on_first_join_due(&mut self, at: &Moment, out: &mut Outcome) {
        if self.has_new_member && self.first_join_left_ms != 0 {
            self.has_new_member = false;
            let delay_ms = at.config.group_initial_rebalance_delay_ms.min(self.first_join_left_ms);
            self.first_join_left_ms = self.first_join_left_ms.saturating_sub(delay_ms);
            self.set_join_due(at.now.plus_millis(delay_ms), Due::FirstJoin);
        } else {
            self.complete_join(at, out);
        }
    }

    /// The next generation begins with those who have joined, and static members whether they have or not.
    pub(super) fn complete_join(&mut self, at: &Moment, out: &mut Outcome) {
        self.clear_join_due();
        let is_late =
            |member: &&crate::engine::group::member::Member| member.joining.is_none() && member.instance.is_none();
        let late: Vec<Arc<str>> = self.members.values().filter(is_late).map(|member| Arc::clone(&member.id)).collect();
        for id in late {
            self.take(&id);
        }
        if !self.elect_leader() && !self.members.is_empty() {
            // Static members alone, and none has joined: their sessions decide.
            self.set_join_due(at.now.plus_millis(self.rebalance_timeout_ms()), Due::Join);
            return;
        }
        self.generation += 1;
        self.pending_sync.clear();
        self.has_new_member = false;
        if self.members.is_empty() {
            self.protocol = None;
            self.subscribed = None;
            self.enter(at, GroupState::Empty);
            out.records.push(self.record(&BTreeMap::new()));
            out.events.push(GroupEvent::Empty { group: self.id.to_string(), generation: self.generation });
            return;
        }
        self.protocol = self.choose_protocol();
        self.subscribed = self.read_subscriptions();
        self.enter(at, GroupState::CompletingRebalance);
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(asker) = self.members.get_mut(&id).and_then(|member| member.joining.take()) {
                out.answers.push((asker.token, self.joined(asker, &id, false)));
            }
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
            }
            self.show(&id, at.now);
            self.pending_sync.insert(id);
        }
        self.set_sync_due(at.now.plus_millis(self.rebalance_timeout_ms()));
    }

    /// Sees to it that the leader is somebody who has joined.
    fn elect_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(|member| member.joining.is_some()) {
            return true;
        }
        let joined = self.members.values().find(|member| member.joining.is_some()).map(|member| Arc::clone(&member.id));
        let has_found = joined.is_some();
        self.leader = joined.or_else(|| self.leader.take());
        has_found
    }

    /// The generation as a member is told of it.
    fn joined(&self, asker: Asker, member: &str, skip_assignment: bool) -> crate::protocol::codec::Response {
        let leader = self.leader.as_deref().unwrap_or_default();
        let members = if self.is_leader(member) { self.members_for_leader(asker.version) } else { Vec::new() };
        let told = Joined { member, leader, members, skip_assignment, ..self.generation_told() };
        answers::joined(asker, told)
    }

    fn joined_under(&self, asker: Asker, member: &str, leader: &str) -> crate::protocol::codec::Response {
        answers::joined(asker, Joined { member, leader, ..self.generation_told() })
    }

    fn generation_told(&self) -> Joined<'_> {
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.as_deref(),
            protocol: self.protocol.as_deref(),
            ..Joined::default()
        }
    }
}

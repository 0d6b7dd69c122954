//! A classic group between two rebalances: assignments are handed out, members show themselves, leave, or fall silent
//! (Kafka's `classicGroupSync`, `classicGroupHeartbeat`, `classicGroupLeave` and the expirations).
//!
//! Invariant: an assignment is told only when it is committed, so that no coordinator after this one knows of another.

use crate::engine::group::answers::{self, join_refused};
use crate::engine::group::classic::{ClassicGroup, Due, GroupState};
use crate::engine::group::member::Asker;
use crate::engine::group::outcome::{After, Moment, Outcome};
use crate::engine::observe::GroupEvent;
use crate::protocol::error::ErrorCode;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// SyncGroup, as the group takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sync {
    /// Who waits for the answer.
    pub asker: Asker,
    /// The member.
    pub member: Arc<str>,
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<Arc<str>>,
    /// The generation it is in.
    pub generation: i32,
    /// What kind of member it is, from version 5 on.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol it speaks, from version 5 on.
    pub protocol: Option<Arc<str>>,
    /// From the leader: what each member gets.
    pub assignment: BTreeMap<Arc<str>, Bytes>,
}

impl ClassicGroup {
    /// SyncGroup.
    pub fn sync(&mut self, at: &Moment, sync: Sync, out: &mut Outcome) {
        let asker = sync.asker;
        let refuse = |out: &mut Outcome, error: ErrorCode| {
            out.answers.push((asker.token, answers::synced(asker.version, error, None, None, Bytes::new())));
        };
        let checked = self.check_member(&sync.member, sync.instance.as_deref()).and_then(|()| self.check_sync(&sync));
        if let Err(error) = checked {
            return refuse(out, error);
        }
        match self.state {
            GroupState::Empty => refuse(out, ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => refuse(out, ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance => {
                self.has_synced(&sync.member);
                if let Some(member) = self.members.get_mut(&sync.member)
                    && let Some(earlier) = member.syncing.replace(asker)
                {
                    let error = ErrorCode::RebalanceInProgress;
                    let answer = answers::synced(earlier.version, error, None, None, Bytes::new());
                    out.answers.push((earlier.token, answer));
                }
                if self.is_leader(&sync.member) {
                    self.store_assignment(sync.assignment, out);
                }
            }
            GroupState::Stable => {
                self.has_synced(&sync.member);
                let assignment = self.members[&sync.member].assignment.clone();
                let answer = self.synced(asker, assignment);
                out.answers.push((asker.token, answer));
                self.show(&sync.member, at.now);
            }
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), ErrorCode> {
        if sync.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |told: &Option<Arc<str>>, ours: &Option<Arc<str>>| told.is_some() && told != ours;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn has_synced(&mut self, member: &str) {
        self.pending_sync.remove(member);
        if self.pending_sync.is_empty() {
            self.clear_sync_due();
        }
    }

    /// Writes the leader's assignment down; members that it forgot get nothing.
    fn store_assignment(&mut self, told: BTreeMap<Arc<str>, Bytes>, out: &mut Outcome) {
        let assignment: BTreeMap<Arc<str>, Bytes> =
            self.members.keys().map(|id| (Arc::clone(id), told.get(id).cloned().unwrap_or_default())).collect();
        out.records.push(self.record(&assignment));
        let (group, generation) = (Arc::clone(&self.id), self.generation);
        out.after.push(After::Assigned { group, generation, assignment });
    }

    /// The assignment of a generation is committed, or could not be written.
    pub fn assigned(
        &mut self,
        at: &Moment,
        generation: i32,
        outcome: Result<BTreeMap<Arc<str>, Bytes>, ErrorCode>,
        out: &mut Outcome,
    ) {
        // A member may have come or gone meanwhile: then this is history.
        if self.state != GroupState::CompletingRebalance || self.generation != generation {
            return;
        }
        match outcome {
            Ok(mut assignment) => {
                for member in self.members.values_mut() {
                    member.assignment = assignment.remove(&member.id).unwrap_or_default();
                }
                self.enter(at, GroupState::Stable);
                let members = self.members.len();
                out.events.push(GroupEvent::Stable { group: self.id.to_string(), generation, members });
                self.answer_syncs(at, ErrorCode::None, out);
            }
            Err(error) => {
                self.reset_assignment(at, error, out);
                self.rebalance_or_complete(at, format!("the assignment could not be written: {error}"), out);
            }
        }
    }

    /// Nobody has been given anything; who waits for it is told why.
    pub(super) fn reset_assignment(&mut self, at: &Moment, error: ErrorCode, out: &mut Outcome) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        self.answer_syncs(at, error, out);
    }

    fn answer_syncs(&mut self, at: &Moment, error: ErrorCode, out: &mut Outcome) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else { continue };
            let Some(asker) = member.syncing.take() else { continue };
            let assignment = member.assignment.clone();
            let answer = match error {
                ErrorCode::None => self.synced(asker, assignment),
                error => answers::synced(asker.version, error, None, None, Bytes::new()),
            };
            out.answers.push((asker.token, answer));
            // Its session may have run out while it waited.
            self.show(&id, at.now);
        }
    }

    fn synced(&self, asker: Asker, assignment: Bytes) -> crate::protocol::codec::Response {
        let (kind, protocol) = (self.protocol_type.as_deref(), self.protocol.as_deref());
        answers::synced(asker.version, ErrorCode::None, kind, protocol, assignment)
    }

    /// Heartbeat.
    ///
    /// # Errors
    /// What the member has to know: `REBALANCE_IN_PROGRESS`, `ILLEGAL_GENERATION`, `UNKNOWN_MEMBER_ID` or
    /// `FENCED_INSTANCE_ID`.
    pub fn heartbeat(
        &mut self,
        at: &Moment,
        member: &Arc<str>,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        self.check_member(member, instance)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state {
            GroupState::Empty => Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => {
                self.show(member, at.now);
                Err(ErrorCode::RebalanceInProgress)
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.show(member, at.now);
                Ok(())
            }
        }
    }

    /// LeaveGroup of one member, by id or, from version 3 on, by instance (an administrator's way). The group is not
    /// rebalanced yet: [`ClassicGroup::after_leaving`].
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID` or `FENCED_INSTANCE_ID`.
    pub fn leave(&mut self, member: &str, instance: Option<&str>, out: &mut Outcome) -> Result<(), ErrorCode> {
        if self.forget_pending(member) {
            return Ok(());
        }
        let id = match instance {
            Some(instance) if member.is_empty() => {
                self.statics.get(instance).cloned().ok_or(ErrorCode::UnknownMemberId)?
            }
            _ => {
                self.check_member(member, instance)?;
                Arc::from(member)
            }
        };
        self.remove(&id, out);
        Ok(())
    }

    /// Members have left.
    pub fn after_leaving(&mut self, at: &Moment, cause: String, out: &mut Outcome) {
        match self.state {
            GroupState::Empty => {}
            GroupState::PreparingRebalance => self.maybe_complete_join(at, out),
            GroupState::CompletingRebalance | GroupState::Stable => self.prepare_rebalance(at, cause, out),
        }
    }

    fn remove(&mut self, id: &str, out: &mut Outcome) {
        let Some(member) = self.take(id) else { return };
        let error = ErrorCode::UnknownMemberId;
        if let Some(asker) = member.joining {
            out.answers.push((asker.token, join_refused(asker, "", error)));
        }
        if let Some(asker) = member.syncing {
            out.answers.push((asker.token, answers::synced(asker.version, error, None, None, Bytes::new())));
        }
    }

    /// Time has passed: what is due happens.
    pub fn on_due(&mut self, at: &Moment, out: &mut Outcome) {
        while let Some((due_at, _)) = self.due.first() {
            if *due_at > at.now {
                break;
            }
            let (_, due) = self.due.pop_first().expect("just seen");
            match due {
                Due::FirstJoin => {
                    self.join_due = None;
                    self.on_first_join_due(at, out);
                }
                Due::Join => {
                    self.join_due = None;
                    self.complete_join(at, out);
                }
                Due::Sync => {
                    self.sync_due = None;
                    self.expire_syncs(at, out);
                }
                Due::Member(id) => self.expire_member(at, &id, out),
            }
        }
    }

    fn expire_member(&mut self, at: &Moment, id: &Arc<str>, out: &mut Outcome) {
        if self.pending.remove(id).is_some() {
            return self.maybe_complete_join(at, out);
        }
        let Some(member) = self.members.get_mut(id) else { return };
        member.expires_at = None;
        if member.is_waiting() && !member.is_new {
            return;
        }
        let session_ms = member.session_timeout_ms;
        self.remove(id, out);
        self.after_leaving(at, format!("{id} was silent for {session_ms} ms"), out);
    }

    /// Members that have joined and then never asked for their assignment are out.
    fn expire_syncs(&mut self, at: &Moment, out: &mut Outcome) {
        if !matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable) || self.pending_sync.is_empty() {
            return;
        }
        let late = std::mem::take(&mut self.pending_sync);
        for id in &late {
            self.remove(id, out);
        }
        let names: Vec<&str> = late.iter().map(|id| &**id).collect();
        self.prepare_rebalance(at, format!("{} did not ask for an assignment", names.join(", ")), out);
    }

    /// This coordinator is one no more: whoever waits is to ask the next.
    pub fn abandon(&mut self, error: ErrorCode, out: &mut Outcome) {
        for (id, member) in &mut self.members {
            if let Some(asker) = member.joining.take() {
                out.answers.push((asker.token, join_refused(asker, id, error)));
            }
            if let Some(asker) = member.syncing.take() {
                out.answers.push((asker.token, answers::synced(asker.version, error, None, None, Bytes::new())));
            }
        }
    }
}

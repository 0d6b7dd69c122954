//! How a coordinator gives a consumer group its turn: requests and time come in, decisions go into the log, and answers
//! wait until what they say is committed (KIP-848).

use crate::engine::group::answers::{self, Joined, join_refused, text};
use crate::engine::group::classic::{CONSUMER, Rebalance};
use crate::engine::group::consumer::draft::{Draft, Refusal, World};
use crate::engine::group::consumer::group::{ConsumerGroup, Lateness};
use crate::engine::group::consumer::heartbeat::{self, Beat, LEAVES, Told};
use crate::engine::group::consumer::image::{ConsumerImage, ConsumerState, WILL_COME_BACK};
use crate::engine::group::consumer::record::{ConsumerRecord, MemberState, Partitions};
use crate::engine::group::consumer::{classic, embedded, migration};
use crate::engine::group::member::Join;
use crate::engine::group::record::GroupRecord;
use crate::engine::group::session::Sync;
use crate::engine::group::shard::Shard;
use crate::engine::group::{After, Outcome, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::observe::GroupEvent;
use crate::engine::time::Instant;
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages::ConsumerGroupHeartbeatResponse;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use std::borrow::Cow;
use std::sync::Arc;

/// A member that could not be put out because nothing could be written is looked at again after so long, in
/// milliseconds.
const RETRY_MS: u64 = 500;

impl Shard {
    /// A consumer group, as far as it is decided.
    pub fn consumer_group(&self, id: &str) -> Option<&ConsumerImage> {
        if !self.consumers.contains_key(id) {
            return None;
        }
        self.appended.group(id).map(|group| &group.consumer)
    }

    /// What the coordinator knows of a consumer group beyond its records.
    pub fn consumer_timers(&self, id: &str) -> Option<&ConsumerGroup> {
        self.consumers.get(id)
    }

    fn draft<'a>(&'a self, cx: &Ctx, turn: &Turn<'a>, id: &Arc<str>) -> Draft<'a> {
        let world = World { config: turn.env.config, metadata: turn.env.image, wall_ms: cx.wall.0 };
        let image = match self.appended.group(id) {
            Some(group) => Cow::Borrowed(&group.consumer),
            None => Cow::Owned(ConsumerImage::default()),
        };
        Draft::new(id, world, image)
    }

    fn has_modern_member(&self, id: &str) -> bool {
        let image = self.consumer_group(id);
        image.is_some_and(|image| image.members().any(|(_, member)| member.classic.is_none()))
    }

    fn has_new_topics(&self, turn: &Turn, id: &str) -> bool {
        self.consumers.get(id).is_none_or(|group| group.has_new_topics(turn.env.image.end_offset))
    }

    /// ConsumerGroupHeartbeat.
    pub(in crate::engine) fn consumer_heartbeat(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: &Arc<str>,
        beat: &Beat,
        token: RequestToken,
    ) {
        let result = match beat.epoch {
            LEAVES | WILL_COME_BACK => self.consumer_leaves(cx, turn, id, beat, token),
            _ => self.consumer_shows_itself(cx, turn, id, beat, token),
        };
        if let Err(refusal) = result {
            cx.respond(token, refused(&refusal));
        }
    }

    fn consumer_shows_itself(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: &Arc<str>,
        beat: &Beat,
        token: RequestToken,
    ) -> Result<(), Refusal> {
        let has_new_topics = self.has_new_topics(turn, id);
        let mut draft = self.draft(cx, turn, id);
        let is_new = draft.image().member(&beat.member).is_none();
        if !self.consumers.contains_key(id) {
            self.make_way(&mut draft, id, beat)?;
        }
        let before = (draft.image().epoch(), draft.image().state());
        let told = heartbeat::beat(&mut draft, beat, has_new_topics)?;
        let cause = match (is_new, has_new_topics) {
            (true, _) => format!("{} joined", beat.member),
            (false, false) => format!("{} subscribes to something else", beat.member),
            (false, true) => "subscriptions or topics have changed".to_owned(),
        };
        let after = (draft.image().epoch(), draft.image().state(), draft.image().size());
        let mut outcome = Outcome {
            records: draft.into_records(),
            after: vec![After::Answer { token, response: answered(turn, id, beat, &told) }],
            waits_for_earlier: true,
            ..Outcome::default()
        };
        tell(&mut outcome, id, before, after, &cause);
        if let Some(waiting) = self.groups.get_mut(id).filter(|_| !outcome.records.is_empty()) {
            // The group becomes a consumer group: who waits as a classic member is to join again.
            waiting.abandon(ErrorCode::RebalanceInProgress, &mut outcome);
        }
        self.carry_out(cx, turn, outcome);
        self.has_decided(cx, turn, id, (before.0, after.0), cause);
        self.wait_for(cx, turn, id, beat, &told);
        Ok(())
    }

    /// There is no consumer group yet: a classic one becomes one, or goes if it is empty.
    fn make_way(&self, draft: &mut Draft, id: &Arc<str>, beat: &Beat) -> Result<(), Refusal> {
        let group = self.groups.get(id);
        if beat.epoch != 0 {
            let why = if group.is_some() { "is not a consumer group" } else { "not found" };
            return Err(Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {id} {why}.")));
        }
        match group {
            Some(group) if group.members().next().is_some() => {
                migration::check_upgrade(group, draft.world().config)?;
                migration::upgrade(draft, group)
            }
            Some(_) => {
                draft.end_classic();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Sets a member's timers after it has shown itself.
    fn wait_for(&mut self, cx: &Ctx, turn: &Turn, id: &Arc<str>, beat: &Beat, told: &Told) {
        let found = self.appended.group(id).and_then(|group| group.consumer.member(&beat.member));
        let Some(member) = found.cloned() else { return };
        let Some(group) = self.consumers.get_mut(id) else { return };
        group.set(&beat.member, Lateness::Session, cx.now.plus_millis(turn.timeouts_ms(id).session_timeout_ms));
        group.clear(&beat.member, Lateness::Join);
        group.clear(&beat.member, Lateness::Sync);
        if told.current.state == MemberState::UnrevokedPartitions {
            let timeout_ms = u64::try_from(member.rebalance_timeout_ms).unwrap_or(0);
            group.set_if_absent(&beat.member, Lateness::Revocation, cx.now.plus_millis(timeout_ms));
        } else {
            group.clear(&beat.member, Lateness::Revocation);
        }
        self.arm(id);
    }

    fn consumer_leaves(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: &Arc<str>,
        beat: &Beat,
        token: RequestToken,
    ) -> Result<(), Refusal> {
        let Some(image) = self.consumer_group(id) else {
            return Err(Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {id} not found.")));
        };
        let member = heartbeat::who_leaves(image, beat)?;
        let response = ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(text(&beat.member)))
            .with_member_epoch(beat.epoch);
        let after = vec![After::Answer { token, response: Response::ConsumerGroupHeartbeat(response) }];
        if beat.epoch == WILL_COME_BACK {
            let mut draft = self.draft(cx, turn, id);
            heartbeat::leave_for_a_while(&mut draft, &member);
            let records = draft.into_records();
            if let Some(group) = self.consumers.get_mut(id) {
                group.clear(&member, Lateness::Revocation);
            }
            self.carry_out(cx, turn, Outcome { records, after, ..Outcome::default() });
        } else {
            let cause = format!("{member} left");
            self.put_out(cx, turn, id, &[member], &cause, after);
        }
        Ok(())
    }

    /// Members are out. The group goes on, as a classic one if only classic members are left.
    fn put_out(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: &Arc<str>,
        members: &[Arc<str>],
        cause: &str,
        after: Vec<After>,
    ) {
        let mut draft = self.draft(cx, turn, id);
        let before = (draft.image().epoch(), draft.image().state());
        if migration::may_downgrade(draft.image(), members, turn.env.config) {
            let records = migration::downgrade(id, draft, members);
            self.carry_out(cx, turn, Outcome { records, after, ..Outcome::default() });
            let cause = format!("{cause}, the last member of the consumer protocol");
            self.with_group(cx, turn, id, |group, at, out| group.prepare_rebalance(at, cause, out));
            return;
        }
        heartbeat::fence(&mut draft, members);
        let now = (draft.image().epoch(), draft.image().state(), draft.image().size());
        let mut outcome = Outcome { records: draft.into_records(), after, ..Outcome::default() };
        tell(&mut outcome, id, before, now, cause);
        self.carry_out(cx, turn, outcome);
        self.has_decided(cx, turn, id, (before.0, now.0), cause.to_owned());
        let image = self.appended.group(id).map(|group| &group.consumer);
        let is_in = |member: &Arc<str>| image.is_some_and(|image| image.member(member).is_some());
        let gone: Vec<&Arc<str>> = members.iter().filter(|member| !is_in(member)).collect();
        if let Some(group) = self.consumers.get_mut(id) {
            gone.into_iter().for_each(|member| group.forget(member));
        }
        self.arm(id);
    }

    /// A decision that looked at the topics was to take the group from one epoch to another. If it could not be written,
    /// the next one has to look again.
    fn has_decided(&mut self, cx: &Ctx, turn: &Turn, id: &str, (before, after): (i32, i32), cause: String) {
        let is_written = self.consumer_group(id).is_some_and(|image| image.epoch() == after);
        let Some(group) = self.consumers.get_mut(id).filter(|_| is_written) else { return };
        group.has_looked(turn.env.image.end_offset);
        if after > before {
            group.remember(Rebalance { at: cx.now, generation: before, cause });
        }
    }

    /// Time has passed for members of a consumer group.
    pub(in crate::engine::group) fn on_consumers_due(&mut self, cx: &mut Ctx, turn: &mut Turn, id: &Arc<str>) {
        while let Some((member, lateness)) = self.consumers.get_mut(id).and_then(|group| group.take_due(cx.now)) {
            if self.consumer_group(id).is_none_or(|image| image.member(&member).is_none()) {
                continue;
            }
            let cause = format!("{member} {}", lateness.cause());
            self.put_out(cx, turn, id, &[Arc::clone(&member)], &cause, Vec::new());
            let is_still_in = self.consumer_group(id).is_some_and(|image| image.member(&member).is_some());
            if let Some(group) = self.consumers.get_mut(id).filter(|_| is_still_in) {
                group.set(&member, lateness, cx.now.plus_millis(RETRY_MS));
            }
        }
        self.arm(id);
    }

    /// JoinGroup to a consumer group that has members.
    pub(in crate::engine::group) fn classic_joins(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: &Arc<str>,
        join: &Join,
    ) {
        let has_new_topics = self.has_new_topics(turn, id);
        let mut draft = self.draft(cx, turn, id);
        let before = (draft.image().epoch(), draft.image().state());
        let member = if join.member.is_empty() { &join.new_member } else { &join.member };
        let is_new = draft.image().member(member).is_none();
        let joined = classic::check_join(draft.image(), join, turn.env.config.group_consumer_max_size)
            .and_then(|subscription| classic::join(&mut draft, member, join, &subscription, has_new_topics));
        let current = match joined {
            Ok(current) => current,
            Err(error) => {
                let told = if error == ErrorCode::MemberIdRequired { member } else { &join.member };
                return cx.respond(join.asker.token, join_refused(join.asker, told, error));
            }
        };
        let response = answers::joined(
            join.asker,
            Joined {
                generation: current.epoch,
                protocol_type: Some(CONSUMER),
                protocol: join.protocols.first().map(|(name, _)| &**name),
                member,
                ..Joined::default()
            },
        );
        if migration::may_downgrade(draft.image(), &[], turn.env.config) && self.has_modern_member(id) {
            // A static member came back with the classic protocol, and was the last of the other one.
            let records = migration::downgrade(id, draft, &[]);
            let after = vec![After::Answer { token: join.asker.token, response }];
            self.carry_out(cx, turn, Outcome { records, after, ..Outcome::default() });
            let cause = format!("{member} joined, and nobody uses the consumer protocol any more");
            self.with_group(cx, turn, id, |group, at, out| group.prepare_rebalance(at, cause, out));
            return;
        }
        let after = (draft.image().epoch(), draft.image().state(), draft.image().size());
        let cause = format!("{member} {}", if is_new { "joined" } else { "joined again" });
        let mut outcome = Outcome {
            records: draft.into_records(),
            after: vec![After::Answer { token: join.asker.token, response }],
            waits_for_earlier: true,
            ..Outcome::default()
        };
        tell(&mut outcome, id, before, after, &cause);
        self.carry_out(cx, turn, outcome);
        self.has_decided(cx, turn, id, (before.0, after.0), cause);
        if let Some(group) = self.consumers.get_mut(id) {
            group.clear(member, Lateness::Join);
            group.clear(member, Lateness::Revocation);
            group.set(member, Lateness::Session, cx.now.plus_millis(join.session_timeout_ms));
            group.set(member, Lateness::Sync, cx.now.plus_millis(join.rebalance_timeout_ms));
        }
        self.arm(id);
    }

    /// SyncGroup to a consumer group.
    ///
    /// # Errors
    /// What the member has to know; otherwise it is answered.
    pub(in crate::engine) fn classic_syncs(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: &Arc<str>,
        sync: &Sync,
    ) -> Result<(), ErrorCode> {
        let image = self.consumer_group(id).ok_or(ErrorCode::UnknownMemberId)?;
        let (member, told) = classic::check_member(image, &sync.member, sync.instance.as_deref(), sync.generation)?;
        classic::check_sync(told, sync)?;
        let session = cx.now.plus_millis(positive(told.session_timeout_ms));
        if classic::must_rejoin_before_sync(image, &sync.member) {
            let until = cx.now.plus_millis(positive(member.rebalance_timeout_ms));
            self.set_timer(id, &sync.member, Lateness::Join, until);
            return Err(ErrorCode::RebalanceInProgress);
        }
        let assigned = image.current(&sync.member).assigned;
        let assignment = embedded::write_assignment(&assigned, turn.env.image);
        let response = answers::synced(
            sync.asker.version,
            ErrorCode::None,
            sync.protocol_type.as_deref(),
            sync.protocol.as_deref(),
            assignment,
        );
        if let Some(group) = self.consumers.get_mut(id) {
            group.clear(&sync.member, Lateness::Sync);
            group.set(&sync.member, Lateness::Session, session);
        }
        self.arm(id);
        let after = vec![After::Answer { token: sync.asker.token, response }];
        self.carry_out(cx, turn, Outcome { after, waits_for_earlier: true, ..Outcome::default() });
        Ok(())
    }

    /// Heartbeat to a consumer group.
    ///
    /// # Errors
    /// What the member has to know.
    pub(in crate::engine) fn classic_beats(
        &mut self,
        cx: &Ctx,
        id: &Arc<str>,
        member: &Arc<str>,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        let image = self.consumer_group(id).ok_or(ErrorCode::UnknownMemberId)?;
        let (described, told) = classic::check_member(image, member, instance, generation)?;
        let session = cx.now.plus_millis(positive(told.session_timeout_ms));
        let until = cx.now.plus_millis(positive(described.rebalance_timeout_ms));
        let must_rejoin = classic::must_rejoin(image, member);
        if let Some(group) = self.consumers.get_mut(id) {
            group.set(member, Lateness::Session, session);
        }
        if must_rejoin {
            self.set_timer(id, member, Lateness::Join, until);
        }
        self.arm(id);
        if must_rejoin { Err(ErrorCode::RebalanceInProgress) } else { Ok(()) }
    }

    fn set_timer(&mut self, id: &Arc<str>, member: &Arc<str>, lateness: Lateness, until: Instant) {
        if let Some(group) = self.consumers.get_mut(id) {
            group.set_if_absent(member, lateness, until);
        }
        self.arm(id);
    }

    /// LeaveGroup to a consumer group: each member's error, in order. The answer goes out when it is committed.
    pub(in crate::engine) fn classic_leaves(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: &Arc<str>,
        members: &[(Arc<str>, Option<Arc<str>>)],
        answer: impl FnOnce(&[ErrorCode]) -> (RequestToken, Response),
    ) {
        let mut gone: Vec<Arc<str>> = Vec::new();
        let mut errors = Vec::new();
        for (member, instance) in members {
            let found = self.consumer_group(id).ok_or(ErrorCode::UnknownMemberId).and_then(|image| {
                let holder = instance.as_deref().filter(|_| member.is_empty());
                let named = holder.and_then(|instance| image.static_member(instance)).unwrap_or(member);
                classic::who(image, named, instance.as_deref()).map(|_| Arc::clone(named))
            });
            errors.push(found.as_ref().err().copied().unwrap_or(ErrorCode::None));
            gone.extend(found.ok().filter(|found| !gone.contains(found)));
        }
        let (token, response) = answer(&errors);
        let after = vec![After::Answer { token, response }];
        if gone.is_empty() {
            return self.carry_out(cx, turn, Outcome { after, ..Outcome::default() });
        }
        let cause = format!("{} left", gone.iter().map(|member| &**member).collect::<Vec<_>>().join(", "));
        self.put_out(cx, turn, id, &gone, &cause, after);
    }

    /// The records by which an empty consumer group makes way for a classic one.
    pub(in crate::engine::group) fn ends_of_consumer_group(&self, id: &Arc<str>) -> Vec<GroupRecord> {
        let image = self.appended.group(id).map(|group| &group.consumer).filter(|image| !image.is_blank());
        let consumer = |record: ConsumerRecord| GroupRecord::Consumer { group: Arc::clone(id), record };
        image.map(ConsumerImage::tombstones).unwrap_or_default().into_iter().map(consumer).collect()
    }
}

fn positive(milliseconds: i32) -> u64 {
    u64::try_from(milliseconds).unwrap_or(0)
}

/// What people are told of a change from one epoch and state to another.
fn tell(
    outcome: &mut Outcome,
    id: &Arc<str>,
    before: (i32, ConsumerState),
    (epoch, state, members): (i32, ConsumerState, usize),
    cause: &str,
) {
    let group = id.to_string();
    if epoch > before.0 {
        outcome.events.push(GroupEvent::Rebalancing {
            group: group.clone(),
            generation: before.0,
            cause: cause.to_owned(),
        });
    }
    match state {
        ConsumerState::Stable if (epoch, state) != before => {
            outcome.events.push(GroupEvent::Stable { group, generation: epoch, members });
        }
        ConsumerState::Empty if state != before.1 => {
            outcome.events.push(GroupEvent::Empty { group, generation: epoch });
        }
        _ => {}
    }
}

fn answered(turn: &Turn, group: &str, beat: &Beat, told: &Told) -> Response {
    let heartbeat_interval_ms = turn.timeouts_ms(group).heartbeat_interval_ms;
    let response = ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(&beat.member)))
        .with_member_epoch(told.epoch)
        .with_heartbeat_interval_ms(i32::try_from(heartbeat_interval_ms).unwrap_or(i32::MAX))
        .with_assignment(told.assignment.as_ref().map(assignment));
    Response::ConsumerGroupHeartbeat(response)
}

fn assignment(partitions: &Partitions) -> Assignment {
    let topics = partitions.iter().map(|(topic, numbers)| {
        TopicPartitions::default().with_topic_id(topic.0).with_partitions(numbers.iter().copied().collect())
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

/// The answer to a heartbeat that was refused.
pub fn refused(refusal: &Refusal) -> Response {
    Response::ConsumerGroupHeartbeat(
        ConsumerGroupHeartbeatResponse::default()
            .with_error_code(refusal.error.code())
            .with_error_message(Some(text(&refusal.message)).filter(|_| !refusal.message.is_empty())),
    )
}

/// The answer to a SyncGroup that was refused.
pub fn sync_refused(sync: &Sync, error: ErrorCode) -> Response {
    answers::synced(sync.asker.version, error, None, None, Bytes::new())
}

//! The coordinator of one partition of `__consumer_offsets`, on the broker that leads it (Kafka's
//! `GroupCoordinatorShard` and `CoordinatorRuntime`).
//!
//! Invariants:
//! - What was decided is appended, and only then applied; both images change through [`Image::apply`] alone.
//! - A client is told, and shown, only what the high watermark has passed.
//! - A coordinator that has not read its partition to the end decides nothing.
//! - A write is concluded once: when it is committed, when it has waited too long, or when this broker leads no more. A write
//!   that has waited too long may be committed later; the images then have it, as every later coordinator will.

use crate::engine::group::answers::{with_error, write_error};
use crate::engine::group::classic::{ClassicGroup, GroupState};
use crate::engine::group::consumer::group::ConsumerGroup;
use crate::engine::group::consumer::image::{ConsumerImage, ConsumerState};
use crate::engine::group::consumer::record::ConsumerRecord;
use crate::engine::group::image::{Change, Image};
use crate::engine::group::member::Join;
use crate::engine::group::outcome::{After, Moment, Outcome};
use crate::engine::group::record::GroupRecord;
use crate::engine::group::{Turn, answers, offsets};
use crate::engine::io::Ctx;
use crate::engine::log::end_of_transaction;
use crate::engine::mutant::Mutant;
use crate::engine::observe::{EventKind, GroupEvent};
use crate::engine::time::Instant;
use crate::engine::txn::marking::MarkerPlace;
use crate::engine::txn::metadata::NO_PRODUCER;
use crate::protocol::batch::Batch;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::PartitionId;
use crate::protocol::peer::TxnMarker;
use crate::protocol::records::{self, BatchBuilder};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// So much is read in one step while loading, in bytes: a broker has other things to do as well.
const LOAD_CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// After a store has refused a read it is asked again, in milliseconds.
const LOAD_RETRY_MS: u64 = 1_000;

/// Whether it works yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It reads its partition: from which offset on, and when it goes on.
    Loading { from: i64, at: Instant },
    /// It works.
    Active,
}

/// A write that is not committed yet.
#[derive(Debug, Clone)]
struct Waiting {
    /// The high watermark that commits it.
    end: i64,
    /// When it has waited too long.
    deadline: Instant,
    after: Vec<After>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Shard {
    id: PartitionId,
    leader_epoch: i32,
    phase: Phase,
    /// The log's whole content: what decisions look at.
    pub(super) appended: Image,
    /// The content up to the high watermark: what clients are shown.
    committed: Image,
    /// What is in `appended` and not in `committed` yet, with the high watermark that commits them.
    uncommitted: VecDeque<(i64, Change)>,
    waiting: VecDeque<Waiting>,
    pub(super) groups: BTreeMap<Arc<str>, ClassicGroup>,
    /// Consumer groups; the names are not among those of `groups`.
    pub(super) consumers: BTreeMap<Arc<str>, ConsumerGroup>,
    due: BTreeSet<(Instant, Arc<str>)>,
    due_of: BTreeMap<Arc<str>, Instant>,
    retention_at: Instant,
    /// Groups of DeleteGroups requests that are done: request, place in it, error.
    deleted: Vec<(u64, usize, ErrorCode)>,
    /// What became of transactions' markers.
    marked: Vec<(MarkerPlace, ErrorCode)>,
}

impl Shard {
    /// The coordinator of a partition that this broker has begun to lead.
    pub(super) fn new(cx: &Ctx, turn: &Turn, id: PartitionId, leader_epoch: i32, log_start: i64) -> Shard {
        Shard {
            id,
            leader_epoch,
            phase: Phase::Loading { from: log_start, at: cx.now },
            appended: Image::default(),
            committed: Image::default(),
            uncommitted: VecDeque::new(),
            waiting: VecDeque::new(),
            groups: BTreeMap::new(),
            consumers: BTreeMap::new(),
            due: BTreeSet::new(),
            due_of: BTreeMap::new(),
            retention_at: cx.now.plus_millis(turn.env.config.offsets_retention_check_interval_ms),
            deleted: Vec::new(),
            marked: Vec::new(),
        }
    }

    /// Its partition.
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// Whether it has read its partition.
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// What clients are shown.
    pub fn committed(&self) -> &Image {
        &self.committed
    }

    /// The whole content of its partition as it knows it.
    pub fn appended(&self) -> &Image {
        &self.appended
    }

    /// A classic group.
    pub fn group(&self, group: &str) -> Option<&ClassicGroup> {
        self.groups.get(group)
    }

    /// All classic groups, by name.
    pub fn groups(&self) -> impl Iterator<Item = &ClassicGroup> {
        self.groups.values()
    }

    /// All consumer groups, by name, as clients are shown them.
    pub fn consumer_groups(&self) -> impl Iterator<Item = (&Arc<str>, &ConsumerImage)> {
        self.committed.groups().map(|(id, group)| (id, &group.consumer)).filter(|(_, group)| group.exists())
    }

    /// When it is to be looked at next, and why.
    pub fn next_due(&self) -> Option<(Instant, &'static str)> {
        match self.phase {
            Phase::Loading { at, .. } => Some((at, "a group coordinator loads")),
            Phase::Active => {
                let group = self.due.first().map(|(at, _)| (*at, "a group's session or rebalance"));
                let write = self.waiting.front().map(|waiting| (waiting.deadline, "a group's write times out"));
                let retention = Some((self.retention_at, "expired offsets are looked for"));
                [group, write, retention].into_iter().flatten().min()
            }
        }
    }

    /// DeleteGroups requests that can be told of a group.
    pub(super) fn take_deleted(&mut self) -> Vec<(u64, usize, ErrorCode)> {
        std::mem::take(&mut self.deleted)
    }

    /// What became of transactions' markers.
    pub(super) fn take_marked(&mut self) -> Vec<(MarkerPlace, ErrorCode)> {
        std::mem::take(&mut self.marked)
    }

    /// This broker leads in another epoch now, and did so all the time.
    pub(super) fn set_leader_epoch(&mut self, leader_epoch: i32) {
        self.leader_epoch = leader_epoch;
    }

    /// Reads on, up to the end of the log.
    pub(super) fn load(&mut self, cx: &mut Ctx, turn: &mut Turn) {
        let Phase::Loading { from, .. } = self.phase else { return };
        let Some(log) = turn.replicas.coordinated(self.id) else { return };
        let mut next = from.max(log.log_start);
        match turn.replicas.read_as_coordinator(cx, self.id, next, LOAD_CHUNK_BYTES) {
            Ok(mut batches) => {
                if cx.has(Mutant::CoordinatorLoadsHalf) {
                    batches.truncate(batches.len().div_ceil(2));
                    next = log.log_end;
                }
                for batch in &batches {
                    self.take_over(batch);
                    next = next.max(batch.header.next_offset());
                }
                if batches.is_empty() {
                    next = log.log_end;
                }
                self.phase = Phase::Loading { from: next, at: cx.now };
            }
            Err(_) => self.phase = Phase::Loading { from: next, at: cx.now.plus_millis(LOAD_RETRY_MS) },
        }
        self.show_committed(log.high_watermark);
        if next >= log.log_end {
            self.activate(cx, turn);
        }
    }

    /// A batch of the log as it is found there.
    fn take_over(&mut self, batch: &Batch) {
        let (producer_id, end) = (batch.header.producer_id, batch.header.next_offset());
        if batch.header.is_control() {
            if let Some(commits) = end_of_transaction(batch) {
                self.apply(end, Change::Ended { producer_id, commits });
            }
            return;
        }
        let Ok(found) = records::iterate(batch) else { return };
        let read = |record: records::Record| {
            let key = record.key?;
            // What cannot be read is of no group that could be served.
            GroupRecord::read(&key, record.value.as_deref()).ok().flatten()
        };
        let records: Vec<GroupRecord> = found.map_while(Result::ok).filter_map(read).collect();
        let is_in_transaction = batch.header.is_transactional();
        let change =
            if is_in_transaction { Change::InTransaction(producer_id, records) } else { Change::Plain(records) };
        self.apply(end, change);
    }

    fn apply(&mut self, end: i64, change: Change) {
        self.appended.apply_change(&change);
        self.uncommitted.push_back((end, change));
    }

    fn activate(&mut self, cx: &mut Ctx, turn: &Turn) {
        self.phase = Phase::Active;
        for (id, image) in self.appended.groups() {
            if image.consumer.exists() {
                let session_timeout_ms = turn.timeouts_ms(id).session_timeout_ms;
                let group = ConsumerGroup::load(&image.consumer, cx.now, session_timeout_ms);
                self.consumers.insert(Arc::clone(id), group);
                continue;
            }
            let group = match &image.metadata {
                Some(metadata) => ClassicGroup::load(Arc::clone(id), metadata, cx.now),
                None => ClassicGroup::new(Arc::clone(id)),
            };
            self.groups.insert(Arc::clone(id), group);
        }
        for (id, _, _) in self.appended.pending().filter(|(id, _, _)| !self.consumers.contains_key(id)) {
            self.groups.entry(Arc::clone(id)).or_insert_with(|| ClassicGroup::new(Arc::clone(id)));
        }
        for id in self.groups.keys().chain(self.consumers.keys()).cloned().collect::<Vec<_>>() {
            self.arm(&id);
        }
        let groups = self.groups.len() + self.consumers.len();
        cx.emit(EventKind::Group(GroupEvent::CoordinatorLoaded { partition: self.id, groups }));
    }

    /// Records up to the high watermark are shown to clients.
    fn show_committed(&mut self, high_watermark: i64) {
        while self.uncommitted.front().is_some_and(|(end, _)| *end <= high_watermark) {
            let (_, change) = self.uncommitted.pop_front().expect("just seen");
            self.committed.apply_change(&change);
        }
    }

    /// The high watermark has moved: what waited for it goes on.
    pub(super) fn on_high_watermark(&mut self, cx: &mut Ctx, turn: &mut Turn, high_watermark: i64) {
        self.show_committed(high_watermark);
        let mut done = Vec::new();
        while self.waiting.front().is_some_and(|waiting| waiting.end <= high_watermark) {
            done.extend(self.waiting.pop_front().expect("just seen").after);
        }
        for after in done {
            let outcome = self.conclude(cx, turn, after, Ok(()));
            self.carry_out(cx, turn, outcome);
        }
    }

    /// Time has passed.
    pub(super) fn on_due(&mut self, cx: &mut Ctx, turn: &mut Turn) {
        if let Phase::Loading { at, .. } = self.phase {
            if at <= cx.now {
                self.load(cx, turn);
            }
            return;
        }
        let mut late = Vec::new();
        while self.waiting.front().is_some_and(|waiting| waiting.deadline <= cx.now) {
            late.extend(self.waiting.pop_front().expect("just seen").after);
        }
        for after in late {
            let outcome = self.conclude(cx, turn, after, Err(ErrorCode::RequestTimedOut));
            self.carry_out(cx, turn, outcome);
        }
        while let Some((at, id)) = self.due.first().cloned() {
            if at > cx.now {
                break;
            }
            if self.consumers.contains_key(&id) {
                self.on_consumers_due(cx, turn, &id);
            } else {
                self.with_group(cx, turn, &id, |group, at, out| group.on_due(at, out));
            }
        }
        if self.retention_at <= cx.now {
            self.retention_at = cx.now.plus_millis(turn.env.config.offsets_retention_check_interval_ms);
            self.expire_offsets(cx, turn);
        }
    }

    /// Gives a group its turn and carries out what it comes to.
    pub(in crate::engine) fn with_group<R>(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: &Arc<str>,
        act: impl FnOnce(&mut ClassicGroup, &Moment, &mut Outcome) -> R,
    ) -> Option<R> {
        let mut outcome = Outcome::default();
        let at = moment(cx, turn);
        let result = self.groups.get_mut(id).map(|group| act(group, &at, &mut outcome));
        self.arm(id);
        self.carry_out(cx, turn, outcome);
        result
    }

    /// Sets the timer of a group as it wants it now.
    pub(super) fn arm(&mut self, id: &Arc<str>) {
        let classic = self.groups.get(id).and_then(ClassicGroup::next_due);
        let wanted = classic.or_else(|| self.consumers.get(id).and_then(ConsumerGroup::next_due));
        let set = self.due_of.get(id).copied();
        if wanted == set {
            return;
        }
        if let Some(at) = set {
            self.due.remove(&(at, Arc::clone(id)));
            self.due_of.remove(id);
        }
        if let Some(at) = wanted {
            self.due.insert((at, Arc::clone(id)));
            self.due_of.insert(Arc::clone(id), at);
        }
    }

    /// Answers, tells, and writes; what is written waits for the replicas.
    pub(in crate::engine) fn carry_out(&mut self, cx: &mut Ctx, turn: &mut Turn, outcome: Outcome) {
        let mut queue = VecDeque::from([outcome]);
        while let Some(outcome) = queue.pop_front() {
            for event in outcome.events {
                cx.emit(EventKind::Group(event));
            }
            for (token, response) in outcome.answers {
                cx.respond(token, response);
            }
            let result = if outcome.records.is_empty() {
                if let Some(end) = self.uncommitted.back().map(|(end, _)| *end).filter(|_| outcome.waits_for_earlier) {
                    let deadline = cx.now.plus_millis(turn.env.config.offsets_commit_timeout_ms);
                    self.waiting.push_back(Waiting { end, deadline, after: outcome.after });
                    continue;
                }
                Ok(())
            } else {
                match self.append(cx, turn, outcome.records, outcome.producer) {
                    Ok(_) if cx.has(Mutant::CommitAnsweredAtOnce) => Ok(()),
                    Ok(end) => {
                        let deadline = cx.now.plus_millis(turn.env.config.offsets_commit_timeout_ms);
                        self.waiting.push_back(Waiting { end, deadline, after: outcome.after });
                        continue;
                    }
                    Err(error) => Err(error),
                }
            };
            for after in outcome.after {
                queue.push_back(self.conclude(cx, turn, after, result));
            }
        }
    }

    /// Appends records and applies them; the high watermark that commits them.
    fn append(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        records: Vec<GroupRecord>,
        producer: Option<(i64, i16)>,
    ) -> Result<i64, ErrorCode> {
        let limit = turn.replicas.coordinated(self.id).ok_or(ErrorCode::NotLeaderOrFollower)?.max_batch_bytes;
        let batches = batches_of(&records, producer, cx.wall.0, limit)?;
        let end = turn.replicas.append_as_coordinator(cx, turn.env, self.id, self.leader_epoch, batches)?;
        match producer {
            Some((producer_id, _)) => self.apply(end, Change::InTransaction(producer_id, records.clone())),
            None if cx.has(Mutant::StagedOffsetWins) && records.iter().all(is_offset) => {
                // As if it had been committed in a transaction of its own, which is no later than any other.
                self.apply(end, Change::InTransaction(NO_PRODUCER, records.clone()));
                self.apply(end, Change::Ended { producer_id: NO_PRODUCER, commits: true });
            }
            None => self.apply(end, Change::Plain(records.clone())),
        }
        records.iter().for_each(|record| self.follow(cx, turn, record));
        Ok(end)
    }

    /// A record was appended: groups come and go with it.
    fn follow(&mut self, cx: &Ctx, turn: &Turn, record: &GroupRecord) {
        let id = record.group();
        match record {
            GroupRecord::Group { value: None, .. } => {
                self.groups.remove(id);
            }
            GroupRecord::Group { value: Some(metadata), .. } if !self.groups.contains_key(id) => {
                self.groups.insert(Arc::clone(id), ClassicGroup::load(Arc::clone(id), metadata, cx.now));
            }
            GroupRecord::Consumer { record: ConsumerRecord::Epoch(None), .. } => {
                self.consumers.remove(id);
            }
            GroupRecord::Consumer { record: ConsumerRecord::Epoch(Some(_)), .. }
                if !self.consumers.contains_key(id) =>
            {
                let session_timeout_ms = turn.timeouts_ms(id).session_timeout_ms;
                let image = self.appended.group(id).map(|group| group.consumer.clone()).unwrap_or_default();
                self.consumers.insert(Arc::clone(id), ConsumerGroup::load(&image, cx.now, session_timeout_ms));
            }
            GroupRecord::Offset { value: Some(_), .. } if !self.is_known(id) => {
                self.groups.insert(Arc::clone(id), ClassicGroup::new(Arc::clone(id)));
            }
            _ => return,
        }
        self.arm(&Arc::clone(id));
    }

    fn is_known(&self, id: &str) -> bool {
        self.groups.contains_key(id) || self.consumers.contains_key(id)
    }

    /// Ends a producer's transaction here; told when its offsets are in force for everybody.
    ///
    /// # Errors
    /// If the marker cannot be written.
    pub(super) fn write_marker(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        marker: &TxnMarker,
        place: MarkerPlace,
    ) -> Result<(), ErrorCode> {
        if !self.is_active() {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        let appended = turn.replicas.append_marker(cx, turn.env, self.id, marker);
        if cx.has(Mutant::OffsetsMarkerAnsweredAtOnce) {
            if let Ok(end) = appended {
                self.apply(end, Change::Ended { producer_id: marker.producer_id, commits: marker.commits });
            }
            self.marked.push((place, ErrorCode::None));
            return Ok(());
        }
        let end = appended?;
        let commits = marker.commits || cx.has(Mutant::AbortedOffsetsCount);
        self.apply(end, Change::Ended { producer_id: marker.producer_id, commits });
        let deadline = cx.now.plus_millis(turn.env.config.offsets_commit_timeout_ms);
        self.waiting.push_back(Waiting { end, deadline, after: vec![After::Marked(place)] });
        Ok(())
    }

    /// What follows a write that is committed or has failed.
    fn conclude(&mut self, cx: &mut Ctx, turn: &Turn, after: After, result: Result<(), ErrorCode>) -> Outcome {
        let mut out = Outcome::default();
        let result = result.map_err(write_error);
        let at = moment(cx, turn);
        let touched = match after {
            After::Answer { token, response } => {
                out.answers.push((token, concluded(response, result)));
                None
            }
            After::Assigned { group: id, generation, assignment } => {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.assigned(&at, generation, result.map(|()| assignment), &mut out);
                }
                Some(id)
            }
            After::Replaced { group: id, old, new, token, response } => {
                if let Some(group) = self.groups.get_mut(&id) {
                    let outcome = match result {
                        Ok(()) => Ok(response),
                        Err(error) => Err(with_error(response, error)),
                    };
                    group.replaced(&at, (&old, &new), token, outcome, &mut out);
                }
                Some(id)
            }
            After::Deleted { request, place } => {
                self.deleted.push((request, place, result.err().unwrap_or(ErrorCode::None)));
                None
            }
            After::Marked(place) => {
                self.marked.push((place, result.err().unwrap_or(ErrorCode::None)));
                None
            }
        };
        if let Some(id) = touched {
            self.arm(&id);
        }
        out
    }

    /// This broker leads no more: whoever waits is to ask the next coordinator.
    pub(super) fn unload(&mut self, cx: &mut Ctx) {
        let mut out = Outcome::default();
        let error = ErrorCode::NotCoordinator;
        for after in std::mem::take(&mut self.waiting).into_iter().flat_map(|waiting| waiting.after) {
            match after {
                After::Answer { token, response } => out.answers.push((token, with_error(response, error))),
                After::Deleted { request, place } => self.deleted.push((request, place, error)),
                After::Marked(place) => self.marked.push((place, error)),
                // They wait as members of their groups.
                After::Assigned { .. } | After::Replaced { .. } => {}
            }
        }
        for group in self.groups.values_mut() {
            group.abandon(error, &mut out);
        }
        for (token, response) in out.answers {
            cx.respond(token, response);
        }
        cx.emit(EventKind::Group(GroupEvent::CoordinatorUnloaded { partition: self.id }));
    }

    /// JoinGroup. A group that nobody knows is made for a client that has no id yet.
    pub(in crate::engine) fn join(&mut self, cx: &mut Ctx, turn: &mut Turn, id: &Arc<str>, join: Join) {
        if self.consumer_group(id).is_some_and(|image| image.size() > 0) {
            return self.classic_joins(cx, turn, id, &join);
        }
        if !self.groups.contains_key(id) {
            let refused = if join.member.is_empty() {
                let group = ClassicGroup::new(Arc::clone(id));
                let mut records = self.ends_of_consumer_group(id);
                records.push(group.record(&BTreeMap::new()));
                self.append(cx, turn, records, None)
                    .map(|_| self.groups.insert(Arc::clone(id), group))
                    .map_err(write_error)
            } else {
                Err(ErrorCode::UnknownMemberId)
            };
            if let Err(error) = refused {
                return cx.respond(join.asker.token, answers::join_refused(join.asker, &join.member, error));
            }
        }
        self.with_group(cx, turn, id, |group, at, out| group.join(at, join, out));
    }

    /// Deletes a group; its place in a DeleteGroups request is told when that is committed.
    pub(in crate::engine) fn delete_group(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: &Arc<str>,
        (request, place): (u64, usize),
    ) {
        let is_empty = match (self.groups.get(id), self.consumer_group(id)) {
            (Some(group), _) => Some(group.state() == GroupState::Empty),
            (None, Some(group)) => Some(group.state() == ConsumerState::Empty),
            (None, None) => None,
        };
        let refused = match is_empty {
            None => Some(ErrorCode::GroupIdNotFound),
            Some(false) => Some(ErrorCode::NonEmptyGroup),
            Some(true) => None,
        };
        if let Some(error) = refused {
            return self.deleted.push((request, place, error));
        }
        let image = self.appended.group(id);
        let outcome = Outcome {
            records: self.ends_of(|group, _| **group == **id).chain(offsets::tombstones(id, image)).collect(),
            after: vec![After::Deleted { request, place }],
            events: vec![GroupEvent::Deleted { group: id.to_string() }],
            ..Outcome::default()
        };
        self.carry_out(cx, turn, outcome);
    }

    /// The ends of offsets in transactions.
    fn ends_of(&self, wanted: impl Fn(&Arc<str>, &Arc<str>) -> bool) -> impl Iterator<Item = GroupRecord> {
        let pending = self.appended.pending().filter(move |(group, topic, _)| wanted(group, topic));
        pending.map(|(group, topic, partition)| offsets::tombstone(group, topic, *partition))
    }

    /// Topics are gone, and what was committed for them.
    pub(super) fn forget_topics(&mut self, cx: &mut Ctx, turn: &mut Turn, topics: &BTreeSet<String>) {
        let mut records: Vec<GroupRecord> = self.ends_of(|_, topic| topics.contains(&**topic)).collect();
        for (group, image) in self.appended.groups() {
            for (topic, partitions) in image.offsets.iter().filter(|(topic, _)| topics.contains(&***topic)) {
                records.extend(partitions.keys().map(|partition| offsets::tombstone(group, topic, *partition)));
            }
        }
        self.carry_out(cx, turn, Outcome { records, ..Outcome::default() });
    }

    fn expire_offsets(&mut self, cx: &mut Ctx, turn: &mut Turn) {
        let minutes = i64::try_from(turn.env.config.offsets_retention_minutes).unwrap_or(i64::MAX);
        let retention_ms = minutes.saturating_mul(60_000);
        let of =
            |group: &ClassicGroup| offsets::expired(group, self.appended.group(group.id()), cx.wall.0, retention_ms);
        // Nobody knows yet what a group will have when its transactions have ended.
        let is_settled = |group: &&ClassicGroup| !self.appended.has_pending(group.id());
        let mut records: Vec<GroupRecord> = self.groups.values().filter(is_settled).flat_map(of).collect();
        for id in self.consumers.keys().filter(|id| !self.appended.has_pending(id)) {
            let image = self.appended.group(id);
            records.extend(image.into_iter().flat_map(|image| offsets::expired_of(id, image, cx.wall.0, retention_ms)));
        }
        self.carry_out(cx, turn, Outcome { records, ..Outcome::default() });
    }
}

fn is_offset(record: &GroupRecord) -> bool {
    matches!(record, GroupRecord::Offset { value: Some(_), .. })
}

fn moment<'a>(cx: &Ctx, turn: &Turn<'a>) -> Moment<'a> {
    Moment { now: cx.now, wall_ms: cx.wall.0, config: turn.env.config }
}

fn concluded(
    response: crate::protocol::codec::Response,
    result: Result<(), ErrorCode>,
) -> crate::protocol::codec::Response {
    match result {
        Ok(()) => response,
        Err(error) => with_error(response, error),
    }
}

/// Records as batches that the log takes: one, or more if one would be too large.
fn batches_of(
    records: &[GroupRecord],
    producer: Option<(i64, i16)>,
    wall_ms: i64,
    limit: usize,
) -> Result<Vec<Batch>, ErrorCode> {
    let mut batches = Vec::new();
    let empty = match producer {
        Some((id, epoch)) => BatchBuilder::new().producer(id, epoch, -1).transactional(),
        None => BatchBuilder::new(),
    };
    let mut builder = empty.clone();
    for record in records {
        let (key, value) = (record.key(), record.value());
        let size = key.len() + value.as_ref().map_or(0, bytes::Bytes::len);
        if !builder.is_empty() && builder.size() + size > limit / 2 {
            batches.push(std::mem::replace(&mut builder, empty.clone()));
        }
        builder.push(wall_ms, Some(&key), value.as_deref(), &[]);
    }
    batches.push(builder);
    batches.into_iter().map(|builder| builder.build().map_err(|_| ErrorCode::UnknownServerError)).collect()
}

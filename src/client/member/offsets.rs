//! A member's offsets: where partitions go on, and what was processed of them.
//!
//! Invariants: one commit is under way at a time, so that an older one never overtakes; a commit names the generation that the
//! member is in, so that the coordinator refuses it from a member that the group went on without.
//!
//! Deliberately not here: metadata of commits.

use super::classic::text;
use super::coordinator::Verdict;
use super::{Event, Member, Pending, Position, RETRY_BACKOFF_MS};
use crate::client::metadata::{TopicPartition, topic_name};
use crate::client::{Target, Turn};
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};

impl Member {
    /// Asks what is committed for partitions that are new.
    pub(super) fn place(&mut self, now_ms: u64, turn: &mut Turn) {
        let Some(coordinator) = self.coordinator else { return };
        if self.unplaced.is_empty() || !self.is_in_generation() {
            return;
        }
        if now_ms < self.not_before_ms {
            return turn.wake(self.not_before_ms);
        }
        if self.is_asking(|pending| matches!(pending, Pending::Fetch { .. })) {
            return;
        }
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for partition in &self.unplaced {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        let topic = |(name, partitions)| {
            OffsetFetchRequestTopics::default().with_name(topic_name(name)).with_partition_indexes(partitions)
        };
        let (member_id, epoch) =
            if self.reconciles() { (Some(text(&self.member_id)), self.generation) } else { (None, -1) };
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(self.group_id())
            .with_member_id(member_id)
            .with_member_epoch(epoch)
            .with_topics(Some(topics.into_iter().map(topic).collect()));
        let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
        let pending = Pending::Fetch { generation: self.generation, partitions: self.unplaced.clone() };
        self.call(turn, Target::Coordinator(coordinator), Request::OffsetFetch(request), pending);
    }

    pub(super) fn on_offsets(
        &mut self,
        now_ms: u64,
        generation: i32,
        asked: &BTreeSet<TopicPartition>,
        response: Option<Response>,
    ) {
        let Some(Response::OffsetFetch(OffsetFetchResponse { groups, .. })) = response else { return };
        let Some(group) = groups.into_iter().next() else { return };
        if generation != self.generation || !self.takes_well(now_ms, Verdict::of(group.error_code)) {
            return;
        }
        let mut placed = BTreeMap::new();
        for topic in &group.topics {
            for part in &topic.partitions {
                let partition = TopicPartition::new(&topic.name.0, part.partition_index);
                if !asked.contains(&partition) || !self.unplaced.contains(&partition) {
                    continue;
                }
                match Verdict::of(part.error_code) {
                    Verdict::Fine => {
                        let position =
                            Position { offset: part.committed_offset, leader_epoch: part.committed_leader_epoch };
                        let known = (position.offset >= 0).then_some(position);
                        self.unplaced.remove(&partition);
                        if let Some(position) = known {
                            self.committed.insert(partition.clone(), position);
                        }
                        placed.insert(partition, known);
                    }
                    Verdict::Hopeless(error) => self.fail(format!("{partition}: {error}")),
                    _ => self.not_before_ms = now_ms + RETRY_BACKOFF_MS,
                }
            }
        }
        if !placed.is_empty() {
            self.events.push(Event::Assigned(placed));
        }
    }

    /// Whether something was processed that is not committed.
    pub(super) fn is_dirty(&self) -> bool {
        let is_new = |(partition, position): (&TopicPartition, &Position)| {
            self.committed.get(partition).is_none_or(|known| known.offset != position.offset)
        };
        self.processed.iter().any(is_new)
    }

    /// When the next commit is due that nobody asked for.
    pub(super) fn next_commit_ms(&self, now_ms: u64) -> u64 {
        self.options.auto_commit_interval_ms.map_or(u64::MAX, |interval_ms| now_ms.saturating_add(interval_ms))
    }

    pub(super) fn commit_when_due(&mut self, now_ms: u64, turn: &mut Turn) {
        if !self.is_in_generation() {
            return;
        }
        if self.commits_by_hand && self.is_committed() {
            self.commits_by_hand = false;
        }
        let is_due = self.commits_by_hand || now_ms >= self.commit_at_ms;
        if is_due {
            self.commit_dirty(now_ms, turn);
        } else if self.commit_at_ms != u64::MAX {
            turn.wake(self.commit_at_ms);
        }
    }

    /// Commits what was processed and is not committed yet.
    pub(super) fn commit_dirty(&mut self, now_ms: u64, turn: &mut Turn) {
        let Some(coordinator) = self.coordinator else { return };
        if !self.is_in_generation() {
            return;
        }
        if now_ms < self.not_before_ms {
            return turn.wake(self.not_before_ms);
        }
        if self.is_asking(|pending| matches!(pending, Pending::Commit { .. })) {
            return;
        }
        self.commit_at_ms = self.next_commit_ms(now_ms);
        let is_new = |(partition, position): &(&TopicPartition, &Position)| {
            self.committed.get(*partition).is_none_or(|known| known.offset != position.offset)
        };
        let positions: BTreeMap<TopicPartition, Position> =
            self.processed.iter().filter(is_new).map(|(partition, position)| (partition.clone(), *position)).collect();
        if positions.is_empty() {
            if self.commit_at_ms != u64::MAX {
                turn.wake(self.commit_at_ms);
            }
            return;
        }
        let request = self.commit_request(&positions);
        let pending = Pending::Commit { generation: self.generation, positions };
        self.call(turn, Target::Coordinator(coordinator), request, pending);
    }

    fn commit_request(&self, positions: &BTreeMap<TopicPartition, Position>) -> Request {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, position) in positions {
            let part = OffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(position.offset)
                .with_committed_leader_epoch(position.leader_epoch)
                .with_committed_metadata(Some(StrBytes::from_static_str("")));
            topics.entry(&partition.topic).or_default().push(part);
        }
        let topic = |(name, partitions)| {
            OffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
        };
        Request::OffsetCommit(
            OffsetCommitRequest::default()
                .with_group_id(self.group_id())
                .with_generation_id_or_member_epoch(self.generation)
                .with_member_id(text(&self.member_id))
                .with_group_instance_id(self.instance())
                .with_topics(topics.into_iter().map(topic).collect()),
        )
    }

    pub(super) fn on_committed(
        &mut self,
        now_ms: u64,
        generation: i32,
        positions: BTreeMap<TopicPartition, Position>,
        response: Option<Response>,
    ) {
        if generation != self.generation {
            return;
        }
        let Some(Response::OffsetCommit(response)) = response else { return };
        let mut worst = Verdict::Fine;
        for topic in &response.topics {
            for part in &topic.partitions {
                let partition = TopicPartition::new(&topic.name.0, part.partition_index);
                let error = ErrorCode::from_code(part.error_code);
                match Verdict::of(part.error_code) {
                    Verdict::Hopeless(ErrorCode::FencedInstanceId) => worst = Verdict::of(part.error_code),
                    // Of the partition, not of the member: the topic was deleted, say.
                    Verdict::Hopeless(_) => {
                        self.events.push(Event::Trouble(format!("{partition} is not committed: {error}")));
                        self.processed.remove(&partition);
                    }
                    Verdict::Fine => {
                        if let Some(position) = positions.get(&partition) {
                            self.committed.insert(partition, *position);
                        }
                    }
                    verdict => worst = verdict,
                }
            }
        }
        let is_refused = worst == Verdict::Rejoin;
        self.takes_well(now_ms, worst);
        if is_refused && self.is_releasing() && !self.reconciles() {
            // The others have joined already: what was processed since the last commit is read again.
            self.let_go();
        }
    }
}

//! The classic protocol of groups (`ConsumerCoordinator`, KIP-429 for the cooperative one): JoinGroup, SyncGroup, Heartbeat,
//! LeaveGroup.
//!
//! Invariants: a JoinGroup goes out only when what has to be given up was given up; an answer about an older generation changes
//! nothing; the leader joins again when its topics come to have other partitions, as Kafka's does; in the cooperative protocol a static
//! leader that came back joins again too, which Kafka's does not.
//!
//! Deliberately not here: changes of the subscription.

use super::assignor::{Assignments, Assignor, Candidate};
use super::coordinator::Verdict;
use super::{Event, Member, Pending, RETRY_BACKOFF_MS};
use crate::client::metadata::{Metadata, TopicPartition};
use crate::client::{Target, Turn};
use crate::protocol::codec::{Request, Response};
use crate::protocol::consumer_protocol::{
    Subscription, decode_assignment, decode_subscription, encode_assignment, encode_subscription,
};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};

/// What sort of group this is.
const PROTOCOL_TYPE: &str = "consumer";
/// A leader looks so often whether a topic has come that was not there, in milliseconds.
pub(super) const MISSING_TOPIC_MS: u64 = 1_000;

/// Where a member is between two generations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Phase {
    /// It wants a JoinGroup, or waits for its answer.
    #[default]
    Joining,
    /// It leads, and has to know the topics' partitions.
    Assigning(Vec<Candidate>),
    /// It wants a SyncGroup, or waits for its answer.
    Syncing(Assignments),
    /// It is a member.
    Stable,
    /// It commits what it processed before it joins again, until a moment in milliseconds at the latest.
    Releasing { until_ms: u64 },
}

/// What the leader bases assignments on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Watched {
    topics: Vec<String>,
    /// Of the topics that were there; `None` if that is not known, because a life before this one made the assignment.
    partitions: Option<BTreeMap<String, i32>>,
    look_at_ms: u64,
}

/// A member's state in the classic protocol.
#[derive(Debug, Clone, Default)]
pub(super) struct Classic {
    phase: Phase,
    assignor: Option<Assignor>,
    heartbeat_at_ms: u64,
    watched: Option<Watched>,
    why: &'static str,
    /// It took over an assignment that may be half of a move.
    must_assign: bool,
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Member {
    /// Takes part in the group: the next request of its protocol, if one is due.
    pub(super) fn take_part(&mut self, now_ms: u64, turn: &mut Turn) {
        if let Phase::Releasing { until_ms } = self.classic.phase
            && self.has_released(now_ms, until_ms, turn)
        {
            self.let_go();
        }
        if now_ms < self.not_before_ms {
            return turn.wake(self.not_before_ms);
        }
        match &self.classic.phase {
            Phase::Joining => self.ask_once(turn, Pending::Join, Member::join_request),
            Phase::Assigning(candidates) => {
                let topics: Vec<String> = wanted_topics(candidates);
                if !self.is_asking(|pending| *pending == Pending::Topics) {
                    self.call(turn, Target::Any, Metadata::request(Some(&topics), false), Pending::Topics);
                }
            }
            Phase::Syncing(_) => self.ask_once(turn, Pending::Sync, Member::sync_request),
            Phase::Stable => {
                self.heartbeat(now_ms, turn);
                self.watch_topics(now_ms, turn);
            }
            Phase::Releasing { .. } => self.heartbeat(now_ms, turn),
        }
    }

    /// Whether the coordinator takes commits and heartbeats of it.
    pub(super) fn is_in_classic_generation(&self) -> bool {
        matches!(self.classic.phase, Phase::Stable | Phase::Releasing { .. })
    }

    pub(super) fn ask_once(&mut self, turn: &mut Turn, pending: Pending, request: impl Fn(&Member) -> Request) {
        if let Some(coordinator) = self.coordinator
            && !self.is_asking(|asked| *asked == pending)
        {
            let request = request(self);
            self.call(turn, Target::Coordinator(coordinator), request, pending);
        }
    }

    pub(super) fn group_id(&self) -> GroupId {
        GroupId(text(&self.options.group))
    }

    pub(super) fn instance(&self) -> Option<StrBytes> {
        self.options.instance.as_deref().map(text)
    }

    fn join_request(&self) -> Request {
        let is_cooperative = self.options.is_cooperative();
        let owned = |partition: &TopicPartition| (partition.topic.clone(), partition.partition);
        let subscription = Subscription {
            topics: self.options.topics.clone(),
            owned: if is_cooperative { self.owned.iter().map(owned).collect() } else { Vec::new() },
            generation: self.generation,
        };
        let metadata = encode_subscription(&subscription);
        let protocol = |assignor: &Assignor| {
            JoinGroupRequestProtocol::default().with_name(text(assignor.name())).with_metadata(metadata.clone())
        };
        let milliseconds = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let reason = (!self.classic.why.is_empty()).then(|| text(self.classic.why));
        Request::JoinGroup(
            JoinGroupRequest::default()
                .with_group_id(self.group_id())
                .with_session_timeout_ms(milliseconds(self.options.session_timeout_ms))
                .with_rebalance_timeout_ms(milliseconds(self.options.rebalance_timeout_ms))
                .with_member_id(text(&self.member_id))
                .with_group_instance_id(self.instance())
                .with_protocol_type(text(PROTOCOL_TYPE))
                .with_protocols(self.options.assignors.iter().map(protocol).collect())
                .with_reason(reason),
        )
    }

    pub(super) fn on_joined(&mut self, now_ms: u64, response: Option<Response>) {
        let Some(Response::JoinGroup(response)) = response else { return };
        if self.classic.phase != Phase::Joining {
            return;
        }
        if ErrorCode::from_code(response.error_code) == ErrorCode::MemberIdRequired {
            // KIP-394: so that a lost answer leaves no member behind that nobody is.
            self.member_id = response.member_id.to_string();
            return;
        }
        if self.takes_well(now_ms, Verdict::of(response.error_code)) {
            self.member_id = response.member_id.to_string();
            self.generation = response.generation_id;
            self.begin_sync(&response);
        }
    }

    fn begin_sync(&mut self, response: &JoinGroupResponse) {
        let name = response.protocol_name.as_deref().unwrap_or_default();
        let Some(assignor) = Assignor::from_name(name) else {
            return self.fail(format!("{}: nobody here knows the assignor {name}", self.options.group));
        };
        self.classic.assignor = Some(assignor);
        self.classic.watched = None;
        self.classic.must_assign = false;
        let leads = response.leader.as_str() == self.member_id;
        if !leads {
            self.classic.phase = Phase::Syncing(Assignments::new());
            return;
        }
        let mut candidates = Vec::new();
        for member in &response.members {
            // Whoever says nothing that can be read wants nothing.
            let subscription = decode_subscription(member.metadata.clone()).unwrap_or_default();
            let instance = member.group_instance_id.as_ref().map(ToString::to_string);
            candidates.push(Candidate { member: member.member_id.to_string(), instance, subscription });
        }
        if response.skip_assignment {
            // A static leader that came back: the group keeps what it has, but somebody has to watch the topics (KIP-814).
            self.classic.phase = Phase::Syncing(Assignments::new());
            self.classic.watched =
                Some(Watched { topics: wanted_topics(&candidates), partitions: None, look_at_ms: 0 });
            // What its life before had to give up in this generation, it may have gone without giving on: nobody has it, and nobody else
            // would notice. Sharing anew stops nobody in the cooperative protocol.
            self.classic.must_assign = self.options.is_cooperative();
        } else {
            self.classic.phase = Phase::Assigning(candidates);
        }
    }

    pub(super) fn on_topics(&mut self, now_ms: u64, response: Option<Response>) {
        let Phase::Assigning(candidates) = &self.classic.phase else { return };
        let (Some(response), Some(assignor)) = (response, self.classic.assignor) else {
            self.not_before_ms = now_ms + RETRY_BACKOFF_MS;
            return;
        };
        let topics = wanted_topics(candidates);
        let partitions = self.count_partitions(&topics, &response);
        let Phase::Assigning(candidates) = std::mem::take(&mut self.classic.phase) else { return };
        self.classic.phase = Phase::Syncing(assignor.assign(&candidates, &partitions));
        let look_at_ms = now_ms + self.watch_interval_ms(&topics, &partitions);
        self.classic.watched = Some(Watched { topics, partitions: Some(partitions), look_at_ms });
    }

    /// How many partitions each topic has, of those that are there.
    fn count_partitions(&mut self, topics: &[String], response: &Response) -> BTreeMap<String, i32> {
        let mut metadata = Metadata::default();
        self.addresses.extend(metadata.update(response));
        let count = |topic: &String| i32::try_from(metadata.partitions(topic).len()).unwrap_or(i32::MAX);
        topics.iter().map(|topic| (topic.clone(), count(topic))).filter(|(_, count)| *count > 0).collect()
    }

    fn watch_interval_ms(&self, topics: &[String], partitions: &BTreeMap<String, i32>) -> u64 {
        let is_complete = topics.iter().all(|topic| partitions.contains_key(topic));
        let age_ms = self.options.metadata_max_age_ms;
        if is_complete { age_ms } else { age_ms.min(MISSING_TOPIC_MS) }
    }

    fn sync_request(&self) -> Request {
        let given = match &self.classic.phase {
            Phase::Syncing(assignments) => assignments.iter().collect(),
            _ => Vec::new(),
        };
        let assignment = |(member, partitions): (&String, &Vec<TopicPartition>)| {
            let partitions = partitions.iter().map(|given| (given.topic.clone(), given.partition)).collect();
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(encode_assignment(&partitions))
        };
        Request::SyncGroup(
            SyncGroupRequest::default()
                .with_group_id(self.group_id())
                .with_generation_id(self.generation)
                .with_member_id(text(&self.member_id))
                .with_group_instance_id(self.instance())
                .with_protocol_type(Some(text(PROTOCOL_TYPE)))
                .with_protocol_name(self.classic.assignor.map(|assignor| text(assignor.name())))
                .with_assignments(given.into_iter().map(assignment).collect()),
        )
    }

    pub(super) fn on_synced(&mut self, now_ms: u64, response: Option<Response>) {
        if !matches!(self.classic.phase, Phase::Syncing(_)) {
            return;
        }
        let Some(Response::SyncGroup(response)) = response else {
            // Whether the others have their assignments is not known: ask for a new generation.
            self.classic.phase = Phase::Joining;
            return;
        };
        let verdict = Verdict::of(response.error_code);
        if verdict != Verdict::Fine {
            self.classic.phase = Phase::Joining;
        }
        if !self.takes_well(now_ms, verdict) {
            return;
        }
        match decode_assignment(response.assignment) {
            Some(given) => {
                let partition = |(topic, partition): (String, i32)| TopicPartition { topic, partition };
                self.take_over(now_ms, given.into_iter().map(partition).collect());
            }
            None => self.fail(format!("{}: the leader's assignment cannot be read", self.options.group)),
        }
    }

    /// Has a new assignment: gives up what is not in it, and then joins again so that others can have it (KIP-429).
    fn take_over(&mut self, now_ms: u64, given: BTreeSet<TopicPartition>) {
        self.classic.phase = Phase::Stable;
        self.classic.why = "";
        self.classic.heartbeat_at_ms = now_ms + u64::from(self.options.heartbeat_interval_ms);
        self.commit_at_ms = self.next_commit_ms(now_ms);
        let gone: BTreeSet<TopicPartition> = self.owned.difference(&given).cloned().collect();
        let added = given.difference(&self.owned).cloned();
        self.unplaced.extend(added);
        self.unplaced.retain(|partition| given.contains(partition));
        self.events.push(Event::Joined { generation: self.generation, partitions: given.len() });
        self.owned = given;
        if !gone.is_empty() {
            self.owned.extend(gone.iter().cloned());
            self.give_up(gone);
            self.classic.why = "others are to have what was given up";
            self.classic.phase = Phase::Releasing { until_ms: self.release_until_ms(now_ms) };
        } else if std::mem::take(&mut self.classic.must_assign) {
            self.classic.why = "the leader came back and does not know what was given up before";
            self.classic.phase = Phase::Releasing { until_ms: self.release_until_ms(now_ms) };
        }
    }

    /// The group rebalances: in the eager protocol everything is given up before it joins again, in the cooperative one nothing.
    pub(super) fn rejoin(&mut self, now_ms: u64) {
        match self.classic.phase {
            Phase::Stable => {
                if !self.options.is_cooperative() {
                    self.give_up(self.owned.clone());
                }
                self.classic.phase = Phase::Releasing { until_ms: self.release_until_ms(now_ms) };
            }
            Phase::Joining => self.not_before_ms = now_ms + RETRY_BACKOFF_MS,
            // It is on its way there.
            Phase::Assigning(_) | Phase::Syncing(_) | Phase::Releasing { .. } => {}
        }
    }

    /// Joins again without more ado.
    pub(super) fn let_go(&mut self) {
        self.forget_given_up();
        self.classic.phase = Phase::Joining;
    }

    /// Whether it is between two generations and commits what it processed.
    pub(super) fn is_leaving_generation(&self) -> bool {
        matches!(self.classic.phase, Phase::Releasing { .. })
    }

    /// What it had is lost: it joins like a new one.
    pub(super) fn join_anew(&mut self, now_ms: u64) {
        self.lose();
        self.not_before_ms = now_ms + RETRY_BACKOFF_MS;
        self.classic.phase = Phase::Joining;
    }

    fn heartbeat(&mut self, now_ms: u64, turn: &mut Turn) {
        if now_ms < self.classic.heartbeat_at_ms {
            return turn.wake(self.classic.heartbeat_at_ms);
        }
        let pending = Pending::Heartbeat { generation: self.generation };
        self.ask_once(turn, pending, |member| {
            Request::Heartbeat(
                HeartbeatRequest::default()
                    .with_group_id(member.group_id())
                    .with_generation_id(member.generation)
                    .with_member_id(text(&member.member_id))
                    .with_group_instance_id(member.instance()),
            )
        });
    }

    pub(super) fn on_heartbeat(&mut self, now_ms: u64, generation: i32, response: Option<Response>) {
        if generation != self.generation || !self.is_in_classic_generation() {
            return;
        }
        let Some(Response::Heartbeat(response)) = response else { return };
        self.classic.heartbeat_at_ms = now_ms + u64::from(self.options.heartbeat_interval_ms);
        let verdict = Verdict::of(response.error_code);
        if verdict == Verdict::Rejoin && self.classic.why.is_empty() {
            self.classic.why = "the group is rebalancing";
        }
        self.takes_well(now_ms, verdict);
    }

    fn watch_topics(&mut self, now_ms: u64, turn: &mut Turn) {
        let Some(watched) = &self.classic.watched else { return };
        if now_ms < watched.look_at_ms {
            return turn.wake(watched.look_at_ms);
        }
        let pending = Pending::Watch { generation: self.generation };
        if !self.is_asking(|asked| *asked == pending) {
            let request = Metadata::request(Some(&watched.topics), false);
            self.call(turn, Target::Any, request, pending);
        }
    }

    pub(super) fn on_watched(&mut self, now_ms: u64, generation: i32, response: Option<Response>) {
        if generation != self.generation || self.classic.phase != Phase::Stable {
            return;
        }
        let Some(mut watched) = self.classic.watched.take() else { return };
        if let Some(response) = response {
            let found = self.count_partitions(&watched.topics, &response);
            let has_changed = watched.partitions.as_ref().is_some_and(|before| *before != found);
            watched.look_at_ms = now_ms + self.watch_interval_ms(&watched.topics, &found);
            watched.partitions = Some(found);
            if has_changed {
                self.classic.why = "topics have other partitions than before";
                self.rejoin(now_ms);
            }
        } else {
            watched.look_at_ms = now_ms + RETRY_BACKOFF_MS;
        }
        self.classic.watched = Some(watched);
    }

    pub(super) fn leave_request(&self) -> Request {
        let own = MemberIdentity::default()
            .with_member_id(text(&self.member_id))
            .with_reason(Some(text("the consumer is being closed")));
        Request::LeaveGroup(LeaveGroupRequest::default().with_group_id(self.group_id()).with_members(vec![own]))
    }
}

/// The topics that any of them wants.
fn wanted_topics(candidates: &[Candidate]) -> Vec<String> {
    let wanted: BTreeSet<&String> = candidates.iter().flat_map(|candidate| &candidate.subscription.topics).collect();
    wanted.into_iter().cloned().collect()
}

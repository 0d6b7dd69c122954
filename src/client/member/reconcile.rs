//! The protocol of KIP-848 (`ConsumerMembershipManager`): one request, ConsumerGroupHeartbeat, in which the coordinator says what the
//! member is to have, and the member what it has.
//!
//! Invariants: what is taken away is committed and given up before the coordinator is told so; what is given is told as owned only
//! once it is; after a heartbeat without an answer the next says everything again, because what arrived is not known.
//!
//! Deliberately not here: regular expressions, assignors of the client, racks.

use super::classic::text;
use super::coordinator::Verdict;
use super::{Event, Member, Pending, RETRY_BACKOFF_MS};
use crate::client::metadata::{Metadata, TopicPartition, topic_name};
use crate::client::{Target, Turn};
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The epoch in which a member joins.
const JOINS: i32 = 0;
/// The epoch in which a member leaves for good.
const LEAVES: i32 = -1;
/// The epoch in which a static member leaves, to come back.
const LEAVES_FOR_A_WHILE: i32 = -2;

/// A member's state in this protocol. Its epoch is the member's generation.
#[derive(Debug, Clone, Default)]
pub(super) struct Reconciling {
    /// What it is to have, as long as it does not have it.
    target: Option<BTreeMap<Uuid, Vec<i32>>>,
    topics: Metadata,
    /// What the coordinator was told that it owns; `None` if it has to be told everything.
    told: Option<BTreeSet<TopicPartition>>,
    heartbeat_at_ms: u64,
    /// Its epoch is another by now; nothing is asked in the old one.
    is_stale: bool,
    /// The epoch that was told of last.
    announced: i32,
    /// What the coordinator asked for.
    interval_ms: Option<u64>,
    /// It commits what it processed before it gives something up, until a moment in milliseconds at the latest.
    release_until_ms: Option<u64>,
}

impl Reconciling {
    pub(super) fn is_releasing(&self) -> bool {
        self.release_until_ms.is_some()
    }

    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Asks for its epoch at once.
    pub(super) fn catch_up(&mut self) {
        self.is_stale = true;
        self.heartbeat_at_ms = 0;
    }
}

impl Member {
    /// Moves towards what it is to have, and says where it is.
    pub(super) fn reconcile(&mut self, now_ms: u64, turn: &mut Turn) {
        if let Some(until_ms) = self.reconciling.release_until_ms
            && self.has_released(now_ms, until_ms, turn)
        {
            self.reconciling.release_until_ms = None;
            self.forget_given_up();
        }
        if now_ms < self.not_before_ms {
            return turn.wake(self.not_before_ms);
        }
        if !self.reconciling.is_releasing() {
            self.move_to_target(now_ms, turn);
            // What it has to give up may have been committed already.
            if let Some(until_ms) = self.reconciling.release_until_ms
                && self.has_released(now_ms, until_ms, turn)
            {
                self.reconciling.release_until_ms = None;
                self.forget_given_up();
                self.move_to_target(now_ms, turn);
            }
        }
        self.say_where_it_is(now_ms, turn);
    }

    fn move_to_target(&mut self, now_ms: u64, turn: &mut Turn) {
        let Some(target) = &self.reconciling.target else { return };
        let mut given = BTreeSet::new();
        for (id, numbers) in target {
            let Some(name) = self.reconciling.topics.name_of(*id) else {
                if !self.is_asking(|pending| *pending == Pending::Names) {
                    let request = Metadata::request(Some(&self.options.topics), false);
                    self.call(turn, Target::Any, request, Pending::Names);
                }
                return;
            };
            given.extend(numbers.iter().map(|number| TopicPartition::new(name, *number)));
        }
        let gone: BTreeSet<TopicPartition> = self.owned.difference(&given).cloned().collect();
        if !gone.is_empty() {
            self.give_up(gone);
            self.reconciling.release_until_ms = Some(self.release_until_ms(now_ms));
            return;
        }
        let added: Vec<TopicPartition> = given.difference(&self.owned).cloned().collect();
        self.unplaced.extend(added);
        self.reconciling.target = None;
        if self.reconciling.announced != self.generation {
            self.reconciling.announced = self.generation;
            self.events.push(Event::Joined { generation: self.generation, partitions: given.len() });
        }
        self.owned = given;
    }

    pub(super) fn on_names(&mut self, now_ms: u64, response: Option<Response>) {
        if let Some(response) = response {
            self.addresses.extend(self.reconciling.topics.update(&response));
        }
        // It may have been made since, or deleted: then another assignment comes.
        self.not_before_ms = self.not_before_ms.max(now_ms + RETRY_BACKOFF_MS);
    }

    fn say_where_it_is(&mut self, now_ms: u64, turn: &mut Turn) {
        if self.is_asking(|pending| matches!(pending, Pending::Reconcile { .. })) {
            return;
        }
        let has_moved = !self.reconciling.is_releasing() && self.reconciling.told.as_ref() != Some(&self.owned);
        if self.generation >= 0 && !has_moved && now_ms < self.reconciling.heartbeat_at_ms {
            return turn.wake(self.reconciling.heartbeat_at_ms);
        }
        let Some(coordinator) = self.coordinator else { return };
        let joins = self.generation < 0;
        let says_all = joins || self.reconciling.told.is_none();
        let owned = (says_all || has_moved).then(|| self.reported());
        let request = self.heartbeat_request(if joins { JOINS } else { self.generation }, says_all, owned.as_ref());
        let pending = Pending::Reconcile { epoch: self.generation, owned };
        self.call(turn, Target::Coordinator(coordinator), request, pending);
    }

    /// What it has to tell as owned: also what it has given up and not committed yet.
    fn reported(&self) -> BTreeSet<TopicPartition> {
        self.owned.union(&self.leaving_hand).cloned().collect()
    }

    fn heartbeat_request(&self, epoch: i32, says_all: bool, owned: Option<&BTreeSet<TopicPartition>>) -> Request {
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_member_id(text(&self.member_id))
            .with_member_epoch(epoch)
            .with_instance_id(self.instance())
            .with_rebalance_timeout_ms(-1)
            .with_topic_partitions(None);
        if says_all {
            let topics = self.options.topics.iter().map(|topic| topic_name(topic)).collect();
            request = request
                .with_rebalance_timeout_ms(i32::try_from(self.options.rebalance_timeout_ms).unwrap_or(i32::MAX))
                .with_subscribed_topic_names(Some(topics));
        }
        if let Some(owned) = owned {
            let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
            for partition in owned {
                // A topic that was deleted since has none: the coordinator knows.
                let Some(id) = self.reconciling.topics.id_of(&partition.topic) else { continue };
                topics.entry(id).or_default().push(partition.partition);
            }
            let topic = |(id, partitions)| TopicPartitions::default().with_topic_id(id).with_partitions(partitions);
            request = request.with_topic_partitions(Some(topics.into_iter().map(topic).collect()));
        }
        Request::ConsumerGroupHeartbeat(request)
    }

    pub(super) fn on_reconciled(
        &mut self,
        now_ms: u64,
        epoch: i32,
        owned: Option<BTreeSet<TopicPartition>>,
        response: Option<Response>,
    ) {
        if epoch != self.generation {
            return;
        }
        let Some(Response::ConsumerGroupHeartbeat(response)) = response else {
            self.reconciling.told = None;
            return;
        };
        self.reconciling.heartbeat_at_ms = now_ms + self.interval_ms();
        let verdict = match Verdict::of(response.error_code) {
            // Whoever joins makes the group: it is there, but takes no member of this protocol.
            Verdict::Forgotten if epoch < 0 => Verdict::Hopeless(ErrorCode::from_code(response.error_code)),
            verdict => verdict,
        };
        if let Verdict::Hopeless(error) = verdict {
            let words = response.error_message.map(|words| format!(": {words}")).unwrap_or_default();
            return self.fail(format!("{}: {}{words}", self.options.group, reason(error)));
        }
        if verdict != Verdict::Fine {
            self.reconciling.told = None;
        }
        if !self.takes_well(now_ms, verdict) {
            return;
        }
        if self.generation < 0 {
            self.commit_at_ms = self.next_commit_ms(now_ms);
        }
        self.generation = response.member_epoch;
        self.reconciling.is_stale = false;
        self.reconciling.interval_ms =
            u64::try_from(response.heartbeat_interval_ms).ok().filter(|interval| *interval > 0);
        self.reconciling.heartbeat_at_ms = now_ms + self.interval_ms();
        if owned.is_some() {
            self.reconciling.told = owned;
        }
        if let Some(assignment) = response.assignment {
            let topics = assignment.topic_partitions.into_iter().map(|topic| (topic.topic_id, topic.partitions));
            self.reconciling.target = Some(topics.collect());
        }
    }

    fn interval_ms(&self) -> u64 {
        self.reconciling.interval_ms.unwrap_or(u64::from(self.options.heartbeat_interval_ms))
    }

    /// The group went on without it: it joins with nothing.
    pub(super) fn begin_anew(&mut self, now_ms: u64) {
        self.lose();
        self.not_before_ms = now_ms + RETRY_BACKOFF_MS;
        self.reconciling.target = None;
        self.reconciling.told = None;
        self.reconciling.release_until_ms = None;
        self.reconciling.is_stale = false;
    }

    pub(super) fn farewell_request(&self) -> Request {
        let epoch = if self.options.instance.is_some() { LEAVES_FOR_A_WHILE } else { LEAVES };
        self.heartbeat_request(epoch, false, None)
    }
}

/// An error of a heartbeat, in words where its name does not say it.
fn reason(error: ErrorCode) -> String {
    match error {
        ErrorCode::UnreleasedInstanceId => "another member of this instance id is in the group".to_owned(),
        error => error.to_string(),
    }
}

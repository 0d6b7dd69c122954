//! A member of a consumer group, by the classic protocol (`classic`) or by the one of KIP-848 (`reconcile`): finds its coordinator, joins,
//! says that it lives, commits, and comes back by itself after its coordinator died, the group rebalanced or it was forgotten. It tells
//! what it was given, where each partition goes on, and what it has to give up.
//!
//! Invariants: what was processed is committed before a partition is given up or the group is left, unless the coordinator cannot
//! be reached for half the time a rebalance may take; nothing is committed for a partition that is not owned; after `FENCED_INSTANCE_ID`
//! or an error that no repetition mends it is over, and says why.
//!
//! Deliberately not here: reading (`client::group` joins this and the consumer), who gets what (`assignor`), the sleep of a member
//! that is static: it keeps its place by not leaving.

pub mod assignor;
mod classic;
mod coordinator;
mod offsets;
mod reconcile;
#[cfg(test)]
mod tests;

use crate::client::metadata::TopicPartition;
use crate::client::{Answer, Call, Machine, Target, Turn};
use crate::protocol::codec::{Request, Response};
use crate::protocol::ids::BrokerId;
use assignor::Assignor;
use classic::Classic;
use reconcile::Reconciling;
use std::collections::{BTreeMap, BTreeSet};

/// How the members of a group agree on who reads what (`group.protocol`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// One of them computes it, and all join anew for another.
    Classic,
    /// The coordinator decides, and each member moves there by itself (KIP-848).
    Consumer {
        /// The member's id: chosen by whoever drives it, another for each member there ever was.
        member_id: String,
    },
}

/// How a member works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberOptions {
    /// The group.
    pub group: String,
    /// The topics that it subscribes to.
    pub topics: Vec<String>,
    /// The protocol.
    pub protocol: Protocol,
    /// `group.instance.id`: a static member, which keeps its partitions when it comes back within the session timeout.
    pub instance: Option<String>,
    /// `partition.assignment.strategy`, the best first, in the classic protocol. Rebalances are cooperative only if all of these are.
    pub assignors: Vec<Assignor>,
    /// After this long without a heartbeat the coordinator gives its partitions to others, in milliseconds (`session.timeout.ms`);
    /// in the protocol of KIP-848 the coordinator says so.
    pub session_timeout_ms: u32,
    /// Between two heartbeats, in milliseconds (`heartbeat.interval.ms`); in the protocol of KIP-848 until the coordinator says otherwise.
    pub heartbeat_interval_ms: u32,
    /// How long the others wait for it in a rebalance, in milliseconds (`max.poll.interval.ms`).
    pub rebalance_timeout_ms: u32,
    /// What was processed is committed so often, in milliseconds; `None`: only by hand, never at a rebalance or when it leaves.
    pub auto_commit_interval_ms: Option<u64>,
    /// The leader looks so often whether topics have changed, in milliseconds (`metadata.max.age.ms`).
    pub metadata_max_age_ms: u64,
}

impl MemberOptions {
    /// Kafka's values, for a group and topics; but topics are looked at more often.
    pub fn new(group: &str, topics: &[String]) -> MemberOptions {
        MemberOptions {
            group: group.to_owned(),
            topics: topics.to_vec(),
            protocol: Protocol::Classic,
            instance: None,
            assignors: vec![Assignor::Range, Assignor::RoundRobin, Assignor::CooperativeSticky],
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 3_000,
            rebalance_timeout_ms: 300_000,
            auto_commit_interval_ms: Some(5_000),
            metadata_max_age_ms: 10_000,
        }
    }

    fn is_cooperative(&self) -> bool {
        self.assignors.iter().all(|assignor| assignor.is_cooperative())
    }
}

/// A place in a partition: the next offset to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The offset.
    pub offset: i64,
    /// The leader epoch of the record before it; −1 if not known.
    pub leader_epoch: i32,
}

/// What a member tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is in a generation of the group; how many partitions it has in it.
    Joined {
        /// The generation; in the protocol of KIP-848 the member's epoch.
        generation: i32,
        /// Its partitions.
        partitions: usize,
    },
    /// These are its own from now on, each with what is committed for it.
    Assigned(BTreeMap<TopicPartition, Option<Position>>),
    /// These are no longer to be read. What was processed of them is committed before another member gets them.
    Revoked(BTreeSet<TopicPartition>),
    /// These belong to others already, maybe: the group went on without it. Nothing can be committed for them.
    Lost(BTreeSet<TopicPartition>),
    /// Something went wrong that it can go on with.
    Trouble(String),
}

/// What a call of its was about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    Coordinator,
    Join,
    /// The leader looks at topics in order to share them.
    Topics,
    Sync,
    Heartbeat {
        generation: i32,
    },
    /// In the protocol of KIP-848, with what it says to own.
    Reconcile {
        epoch: i32,
        owned: Option<BTreeSet<TopicPartition>>,
    },
    /// What the topics of an assignment are called.
    Names,
    Fetch {
        generation: i32,
        partitions: BTreeSet<TopicPartition>,
    },
    Commit {
        generation: i32,
        positions: BTreeMap<TopicPartition, Position>,
    },
    /// The leader looks whether topics have changed.
    Watch {
        generation: i32,
    },
    Leave,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// Since the moment in milliseconds until which it may try.
    Until(u64),
    /// It has left, or cannot be a member.
    Gone,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Member {
    options: MemberOptions,
    calls: BTreeMap<u64, Pending>,
    last_call: u64,
    coordinator: Option<BrokerId>,
    /// Before this nothing that failed is tried again.
    not_before_ms: u64,
    addresses: Vec<(BrokerId, String, u16)>,
    classic: Classic,
    reconciling: Reconciling,
    /// Empty until the coordinator gave one.
    member_id: String,
    /// −1 outside of any.
    generation: i32,
    owned: BTreeSet<TopicPartition>,
    /// Owned, but what is committed for them is not known yet.
    unplaced: BTreeSet<TopicPartition>,
    /// Given up, but what was processed of them is not committed yet.
    leaving_hand: BTreeSet<TopicPartition>,
    processed: BTreeMap<TopicPartition, Position>,
    committed: BTreeMap<TopicPartition, Position>,
    commit_at_ms: u64,
    commits_by_hand: bool,
    leaving: Leaving,
    failure: Option<String>,
    events: Vec<Event>,
}

/// Wait before a repetition, in milliseconds (`retry.backoff.ms`).
const RETRY_BACKOFF_MS: u64 = 100;
/// After this long without an answer a call has failed, in milliseconds; a JoinGroup may take a rebalance longer.
const TIMEOUT_MS: u64 = 5_000;

impl Member {
    /// A member that is in no group yet.
    pub fn new(options: MemberOptions) -> Member {
        let member_id = match &options.protocol {
            Protocol::Classic => String::new(),
            Protocol::Consumer { member_id } => member_id.clone(),
        };
        Member {
            options,
            calls: BTreeMap::new(),
            last_call: 0,
            coordinator: None,
            not_before_ms: 0,
            addresses: Vec::new(),
            classic: Classic::default(),
            reconciling: Reconciling::default(),
            member_id,
            generation: -1,
            owned: BTreeSet::new(),
            unplaced: BTreeSet::new(),
            leaving_hand: BTreeSet::new(),
            processed: BTreeMap::new(),
            committed: BTreeMap::new(),
            commit_at_ms: 0,
            commits_by_hand: false,
            leaving: Leaving::No,
            failure: None,
            events: Vec::new(),
        }
    }

    /// What has happened since the last time, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What it owns.
    pub fn owned(&self) -> &BTreeSet<TopicPartition> {
        &self.owned
    }

    /// Its id, once the coordinator gave it one.
    pub fn id(&self) -> &str {
        &self.member_id
    }

    /// Its `group.instance.id`, if it is a static member.
    pub fn instance_id(&self) -> Option<&str> {
        self.options.instance.as_deref()
    }

    /// The generation it is in, or its epoch in the protocol of KIP-848; −1 outside of any.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// The generation in which it believes to own what [`owned`](Member::owned) says (in the protocol of KIP-848 its epoch); `None` while it
    /// knows that it may be another's by now.
    pub fn believes_in(&self) -> Option<i32> {
        self.is_in_generation().then_some(self.generation)
    }

    /// Who coordinates the group, as far as it knows.
    pub fn coordinator(&self) -> Option<BrokerId> {
        self.coordinator
    }

    /// Everything before a position was dealt with. Ignored for partitions that are not its own.
    pub fn processed(&mut self, partition: &TopicPartition, position: Position) {
        if self.owned.contains(partition) || self.leaving_hand.contains(partition) {
            self.processed.insert(partition.clone(), position);
        }
    }

    /// What is committed of its partitions, as far as it knows.
    pub fn committed(&self) -> impl Iterator<Item = (&TopicPartition, Position)> {
        self.committed.iter().map(|(partition, position)| (partition, *position))
    }

    /// Commits what was processed as soon as it can.
    pub fn commit(&mut self) {
        self.commits_by_hand = true;
    }

    /// Whether everything that was processed is committed.
    pub fn is_committed(&self) -> bool {
        !self.is_dirty() && !self.calls.values().any(|pending| matches!(pending, Pending::Commit { .. }))
    }

    /// Leaves the group: commits, unless that is done by hand, and says goodbye unless it is static. It is gone when
    /// [`is_gone`](Member::is_gone) says so, at the latest after `within_ms`, in milliseconds.
    pub fn leave(&mut self, now_ms: u64, within_ms: u64) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Until(now_ms + within_ms);
        }
    }

    /// Whether it is over: it has left, or [`failure`](Member::failure) says why it cannot be a member.
    pub fn is_gone(&self) -> bool {
        self.leaving == Leaving::Gone
    }

    /// Why it cannot be a member.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn call(&mut self, turn: &mut Turn, to: Target, request: Request, pending: Pending) {
        let timeout_ms = match pending {
            Pending::Join => TIMEOUT_MS + u64::from(self.options.rebalance_timeout_ms),
            Pending::Sync => TIMEOUT_MS.max(u64::from(self.options.rebalance_timeout_ms)),
            _ => TIMEOUT_MS,
        };
        self.last_call += 1;
        self.calls.insert(self.last_call, pending);
        turn.calls.push(Call { id: self.last_call, to, request, timeout_ms, expects_answer: true });
    }

    fn is_asking(&self, about: impl Fn(&Pending) -> bool) -> bool {
        self.calls.values().any(about)
    }

    /// It cannot be a member, and why.
    fn fail(&mut self, reason: String) {
        self.lose();
        self.failure = Some(reason);
        self.leaving = Leaving::Gone;
    }

    /// Whether it speaks the protocol of KIP-848.
    fn reconciles(&self) -> bool {
        matches!(self.options.protocol, Protocol::Consumer { .. })
    }

    /// Whether the coordinator takes commits and heartbeats of it.
    fn is_in_generation(&self) -> bool {
        if self.reconciles() {
            self.generation > 0 && !self.reconciling.is_stale()
        } else {
            self.is_in_classic_generation()
        }
    }

    /// Whether it commits what it processed before it goes on.
    fn is_releasing(&self) -> bool {
        if self.reconciles() { self.reconciling.is_releasing() } else { self.is_leaving_generation() }
    }

    /// What was given up is no longer its concern.
    fn forget_given_up(&mut self) {
        for partition in std::mem::take(&mut self.leaving_hand) {
            self.processed.remove(&partition);
            self.committed.remove(&partition);
        }
    }

    /// Until when it may take to commit what it processed, in milliseconds.
    fn release_until_ms(&self, now_ms: u64) -> u64 {
        now_ms + u64::from(self.options.rebalance_timeout_ms / 2)
    }

    /// These are not to be read any more; what was processed of them still has to be committed.
    fn give_up(&mut self, partitions: BTreeSet<TopicPartition>) {
        if partitions.is_empty() {
            return;
        }
        self.owned.retain(|owned| !partitions.contains(owned));
        self.unplaced.retain(|unplaced| !partitions.contains(unplaced));
        self.leaving_hand.extend(partitions.iter().cloned());
        self.events.push(Event::Revoked(partitions));
    }

    /// Commits what was processed before a moment in milliseconds; true once that is done or cannot be.
    fn has_released(&mut self, now_ms: u64, until_ms: u64, turn: &mut Turn) -> bool {
        let commits = self.options.auto_commit_interval_ms.is_some() || self.commits_by_hand;
        if commits && !self.is_committed() && now_ms < until_ms {
            turn.wake(until_ms);
            self.commit_dirty(now_ms, turn);
            return false;
        }
        true
    }

    /// The group has gone on without it.
    fn lose(&mut self) {
        self.generation = -1;
        let mut lost = std::mem::take(&mut self.owned);
        lost.append(&mut self.leaving_hand);
        self.unplaced.clear();
        self.processed.clear();
        self.committed.clear();
        if !lost.is_empty() {
            self.events.push(Event::Lost(lost));
        }
    }

    fn say_goodbye(&mut self, now_ms: u64, until_ms: u64, turn: &mut Turn) {
        let commits = self.options.auto_commit_interval_ms.is_some() || self.commits_by_hand;
        let is_late = now_ms >= until_ms;
        if self.is_in_generation() && commits && !self.is_committed() && !is_late {
            turn.wake(until_ms);
            return self.commit_dirty(now_ms, turn);
        }
        let is_known = if self.reconciles() {
            self.generation >= 0
        } else {
            !self.member_id.is_empty() && self.options.instance.is_none()
        };
        match self.coordinator {
            Some(coordinator) if is_known && !is_late => {
                turn.wake(until_ms);
                if !self.is_asking(|pending| *pending == Pending::Leave) {
                    let request = if self.reconciles() { self.farewell_request() } else { self.leave_request() };
                    self.call(turn, Target::Coordinator(coordinator), request, Pending::Leave);
                }
            }
            _ => self.over(),
        }
    }

    fn over(&mut self) {
        self.leaving = Leaving::Gone;
        let mut owned = std::mem::take(&mut self.owned);
        owned.append(&mut self.leaving_hand);
        if !owned.is_empty() {
            self.events.push(Event::Revoked(owned));
        }
    }
}

impl Machine for Member {
    fn turn(&mut self, now_ms: u64) -> Turn {
        let mut turn = Turn { addresses: std::mem::take(&mut self.addresses), ..Turn::default() };
        match self.leaving {
            Leaving::Gone => return turn,
            Leaving::Until(until_ms) => {
                self.find_coordinator(now_ms, &mut turn);
                self.say_goodbye(now_ms, until_ms, &mut turn);
                return turn;
            }
            Leaving::No => {}
        }
        if self.find_coordinator(now_ms, &mut turn) {
            if self.reconciles() {
                self.reconcile(now_ms, &mut turn);
            } else {
                self.take_part(now_ms, &mut turn);
            }
            self.place(now_ms, &mut turn);
            self.commit_when_due(now_ms, &mut turn);
        }
        turn
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        let Some(pending) = self.calls.remove(&call) else { return };
        if self.is_gone() {
            return;
        }
        let response: Option<Response> = match answer {
            Answer::Response(response) => Some(*response),
            Answer::Failed(_) => None,
        };
        let is_of_anybody =
            matches!(pending, Pending::Coordinator | Pending::Topics | Pending::Watch { .. } | Pending::Names);
        if response.is_none() && !is_of_anybody {
            self.forget_coordinator(now_ms);
        }
        match pending {
            Pending::Coordinator => self.on_coordinator(now_ms, response),
            Pending::Join => self.on_joined(now_ms, response),
            Pending::Topics => self.on_topics(now_ms, response),
            Pending::Sync => self.on_synced(now_ms, response),
            Pending::Heartbeat { generation } => self.on_heartbeat(now_ms, generation, response),
            Pending::Reconcile { epoch, owned } => self.on_reconciled(now_ms, epoch, owned, response),
            Pending::Names => self.on_names(now_ms, response),
            Pending::Fetch { generation, partitions } => self.on_offsets(now_ms, generation, &partitions, response),
            Pending::Commit { generation, positions } => self.on_committed(now_ms, generation, positions, response),
            Pending::Watch { generation } => self.on_watched(now_ms, generation, response),
            Pending::Leave => self.over(),
        }
    }
}

//! A client that reads as a member of a group, and comes and goes: it joins, leaves, crashes and comes back, stands still for longer than its
//! session lasts, takes its time over records. Some only read and commit; others process: what they make of records is written in one
//! transaction with how far they came (`processing`).
//!
//! Invariants: it commits nothing that it did not deal with; from a moment on it stays, so that its group can come to rest.
//!
//! Deliberately not here: what a group promises (`check`).

use super::processing::Pair;
use super::{Around, ClientId};
use crate::client::Machine;
use crate::client::consumer::{ConsumerOptions, ConsumerRecord, Reset};
use crate::client::group::GroupConsumer;
use crate::client::member::assignor::Assignor;
use crate::client::member::{Event, MemberOptions, Protocol};
use crate::client::metadata::TopicPartition;
use crate::client::transaction::TransactionOptions;
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a broker may hold an answer, in milliseconds.
const WAIT_MS: u32 = 300;
/// After this long without an answer a client asks again, in milliseconds.
const REQUEST_TIMEOUT_MS: u64 = 1_500;
/// Who could not be a member comes back after so long, in milliseconds.
const RETURN_MS: u64 = 400;
/// Longer than any run, in milliseconds.
const NEVER_MS: u64 = 1 << 40;
/// How long a member may take to say goodbye, in milliseconds.
const GOODBYE_MS: u64 = 1_500;
/// After so long without writers, what a leader tells is of a log that holds everything that was written, in milliseconds.
const SETTLING_MS: u64 = 100;
/// Errors that a member may be told that does everything right: another process bears its name, or its group is of the other
/// protocol since it was put out.
const EXPECTED: [&str; 3] = ["FENCED_INSTANCE_ID", "another member of this instance id", "is not a consumer group"];

/// How members of a group share partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// The classic protocol: everybody gives up everything, and gets something anew.
    Eager,
    /// The classic protocol, and only what moves is given up (KIP-429).
    Cooperative,
    /// The coordinator decides (KIP-848).
    Coordinated,
}

/// How a member lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// The group.
    pub group: String,
    /// The topics that it reads.
    pub topics: Vec<String>,
    /// How the group shares them.
    pub sharing: Sharing,
    /// Others of the group share in another protocol: its generations begin anew when it changes.
    pub is_mixed: bool,
    /// The name of a static member.
    pub instance: Option<String>,
    /// After this long without a heartbeat it is out, in milliseconds.
    pub session_timeout_ms: u32,
    /// How long the others wait for it in a rebalance, in milliseconds.
    pub rebalance_timeout_ms: u32,
    /// How long it takes over records that it took, in milliseconds.
    pub work_ms: u64,
    /// It is there for about so long and then away for as long, in milliseconds; `None`: it stays.
    pub stint_ms: Option<u64>,
    /// It stands still once in so many times that it took records; 0 for never.
    pub stalls_one_in: u64,
    /// It writes to this topic (with so many partitions) what it makes of records, in transactions.
    pub output: Option<(String, i32)>,
    /// When it comes first.
    pub from: Instant,
    /// From here on it stays.
    pub until: Instant,
}

/// What a member was told of its group's offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The partition.
    pub partition: TopicPartition,
    /// In which generation, or epoch, of the member.
    pub generation: i32,
    /// The next offset to be read; `None` if nothing is committed.
    pub offset: Option<i64>,
    /// It asked where to begin; else its commit was acknowledged.
    pub is_answer: bool,
}

/// What a member believes to own.
#[derive(Debug, Clone, Copy)]
pub struct Belief<'a> {
    /// The group.
    pub group: &'a str,
    /// The member's id.
    pub member: &'a str,
    /// Its generation, or epoch.
    pub generation: i32,
    /// Whether the group's generations may begin anew.
    pub is_mixed: bool,
    /// The partitions.
    pub owned: &'a BTreeSet<TopicPartition>,
}

#[derive(Debug, Clone)]
enum Worker {
    Reads(Box<GroupConsumer>),
    Processes(Box<Pair>),
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Membership {
    /// How it lives.
    pub life: Life,
    client: ClientId,
    rng: Prng,
    worker: Option<Worker>,
    /// How often it has begun.
    lives: u32,
    /// When it comes or goes next.
    turns_at: Instant,
    is_leaving: bool,
    /// Its work is done, and it does not come back.
    is_retired: bool,
    /// It has taken records and is done with them then.
    works_until: Option<Instant>,
    stall: Option<Duration>,
    /// Since when nobody writes what it reads.
    quiet_since: Option<Instant>,
    pub(super) violation: Option<String>,
    /// What it was told, in order.
    pub told: Vec<Told>,
    known: BTreeMap<TopicPartition, i64>,
    /// How many records it has dealt with.
    pub records: u64,
}

impl Membership {
    /// A member that has not come yet.
    pub fn new(client: ClientId, life: Life, rng: Prng) -> Membership {
        let turns_at = life.from;
        Membership {
            life,
            client,
            rng,
            worker: None,
            lives: 0,
            turns_at,
            is_leaving: false,
            is_retired: false,
            works_until: None,
            stall: None,
            quiet_since: None,
            violation: None,
            told: Vec::new(),
            known: BTreeMap::new(),
            records: 0,
        }
    }

    /// Whether it writes what it makes of records.
    pub fn processes(&self) -> bool {
        self.life.output.is_some()
    }

    /// Whether a call is its producer's, if it processes.
    pub(super) fn is_second(call: u64) -> bool {
        !call.is_multiple_of(2)
    }

    /// What it believes to own, and in which generation; `None` while it knows of none.
    pub fn belief(&self) -> Option<Belief<'_>> {
        let member = self.consumer()?.member();
        let generation = member.believes_in()?;
        let Life { group, is_mixed, .. } = &self.life;
        Some(Belief { group, member: member.id(), generation, is_mixed: *is_mixed, owned: member.owned() })
    }

    fn consumer(&self) -> Option<&GroupConsumer> {
        match self.worker.as_ref()? {
            Worker::Reads(consumer) => Some(consumer),
            Worker::Processes(pair) => Some(&pair.consumer),
        }
    }

    pub(super) fn machine(&mut self) -> Option<&mut dyn Machine> {
        match self.worker.as_mut()? {
            Worker::Reads(consumer) => Some(consumer.as_mut()),
            Worker::Processes(pair) => Some(pair.as_mut()),
        }
    }

    pub(super) fn take_stall(&mut self) -> Option<Duration> {
        self.stall.take()
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        if self.is_retired {
            return None;
        }
        let turn = (self.worker.is_none() || self.turns_at < self.life.until).then_some(self.turns_at);
        [turn, self.works_until].into_iter().flatten().min()
    }

    /// It leaves its group for good.
    pub fn retire(&mut self) {
        self.is_retired = true;
        self.turns_at = Instant::ZERO;
    }

    /// Whether it was told to leave for good.
    pub fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// What it has still to do, once nobody writes what it reads.
    pub(super) fn what_is_missing(&self, now: Instant) -> Option<String> {
        if self.is_retired {
            return self.worker.is_some().then(|| format!("to leave {}", self.life.group));
        }
        let Some(since) = self.quiet_since.filter(|_| now >= self.life.until) else {
            return Some("time left as a member".to_owned());
        };
        let is_unfinished = || {
            let consumer = self.consumer()?;
            let is_in = consumer.member().believes_in().is_some();
            let settled_ms = since.plus_millis(SETTLING_MS).as_millis();
            let is_at_end = consumer.is_at_end() && consumer.is_settled_since(settled_ms);
            let is_at_end = consumer.member().owned().is_empty() || is_at_end;
            let is_idle = match self.worker.as_ref()? {
                Worker::Reads(consumer) => consumer.member().is_committed(),
                Worker::Processes(pair) => pair.is_idle(),
            };
            Some(!(is_in && is_at_end && is_idle && self.works_until.is_none()))
        };
        match is_unfinished() {
            None => Some(format!("to come back to {}", self.life.group)),
            Some(true) => Some(format!("work to do in {}", self.life.group)),
            Some(false) => None,
        }
    }

    pub(super) fn is_done(&self, now: Instant) -> bool {
        self.what_is_missing(now).is_none()
    }

    pub(super) fn prepare(&mut self, around: &Around) {
        let now = around.now;
        self.quiet_since = around.is_source_quiet.then(|| self.quiet_since.unwrap_or(now));
        if self.is_retired {
            return self.say_goodbye(now);
        }
        if self.turns_at <= now {
            self.come_or_go(now);
        }
        if self.works_until.is_some_and(|at| at <= now) {
            self.works_until = None;
            if let Some(Worker::Reads(consumer)) = &mut self.worker {
                consumer.processed();
            }
        }
        if self.works_until.is_none()
            && !self.is_leaving
            && let Some(Worker::Processes(pair)) = &mut self.worker
        {
            pair.begin(around.wall);
        }
    }

    fn say_goodbye(&mut self, now: Instant) {
        match &mut self.worker {
            Some(Worker::Reads(consumer)) => consumer.leave(now.as_millis(), GOODBYE_MS),
            Some(Worker::Processes(pair)) => pair.consumer.leave(now.as_millis(), GOODBYE_MS),
            None => {}
        }
    }

    /// It has left, or was told that it cannot be a member.
    fn bury(&mut self, now: Instant) {
        let failure = self.consumer().and_then(|consumer| consumer.member().failure()).map(str::to_owned);
        if let Some(failure) = failure {
            if !EXPECTED.iter().any(|expected| failure.contains(expected)) {
                self.violation.get_or_insert(format!("a member that does everything right was told {failure}"));
            }
            self.turns_at = now.plus_millis(RETURN_MS);
        }
        self.turns_at = self.turns_at.min(self.life.until.max(now.plus_millis(RETURN_MS)));
        self.end();
    }

    fn end(&mut self) {
        self.worker = None;
        self.works_until = None;
        self.is_leaving = false;
        self.known.clear();
    }

    fn come_or_go(&mut self, now: Instant) {
        let stint_ms = self.life.stint_ms.map_or(NEVER_MS, |stint_ms| self.rng.range(stint_ms / 2, stint_ms * 2));
        if self.worker.is_none() {
            self.worker = Some(self.begin());
            self.turns_at = now.plus_millis(stint_ms);
        } else if now < self.life.until {
            self.turns_at = now.plus_millis(stint_ms).min(self.life.until);
            match &mut self.worker {
                // What has begun to leave and is still not gone has its connection cut.
                Some(Worker::Reads(consumer)) if !self.is_leaving && self.rng.chance(1, 2) => {
                    consumer.leave(now.as_millis(), GOODBYE_MS);
                    self.is_leaving = true;
                }
                _ => self.end(),
            }
        } else {
            self.turns_at = now.plus_millis(NEVER_MS);
        }
    }

    fn begin(&mut self) -> Worker {
        self.lives += 1;
        let life = &self.life;
        let protocol = match life.sharing {
            Sharing::Eager | Sharing::Cooperative => Protocol::Classic,
            Sharing::Coordinated => {
                Protocol::Consumer { member_id: format!("{}-{}-{}", life.group, self.client.0, self.lives) }
            }
        };
        let assignors = match life.sharing {
            Sharing::Cooperative => vec![Assignor::CooperativeSticky],
            Sharing::Eager | Sharing::Coordinated => vec![Assignor::Range, Assignor::RoundRobin],
        };
        let member = MemberOptions {
            protocol,
            assignors,
            instance: life.instance.clone(),
            session_timeout_ms: life.session_timeout_ms,
            heartbeat_interval_ms: life.session_timeout_ms / 4,
            rebalance_timeout_ms: life.rebalance_timeout_ms,
            auto_commit_interval_ms: (!self.processes()).then_some(500),
            ..MemberOptions::new(&life.group, &life.topics)
        };
        let options = ConsumerOptions {
            max_wait_ms: WAIT_MS,
            request_timeout_ms: REQUEST_TIMEOUT_MS,
            reset: Reset::Earliest,
            read_committed: true,
            ..ConsumerOptions::default()
        };
        let consumer = GroupConsumer::new(member, options);
        match &life.output {
            None => Worker::Reads(Box::new(consumer)),
            Some((topic, partitions)) => {
                let options = TransactionOptions {
                    transactional_id: format!("{}-{}", life.group, self.client.0),
                    transaction_timeout_ms: i32::try_from(life.session_timeout_ms).expect("a few seconds"),
                    request_timeout_ms: REQUEST_TIMEOUT_MS,
                    retry_backoff_ms: 50,
                };
                Worker::Processes(Box::new(Pair::new(
                    consumer,
                    options,
                    life.group.clone(),
                    (topic.clone(), *partitions),
                )))
            }
        }
    }

    pub(super) fn harvest(&mut self, around: &mut Around, note: &mut dyn FnMut(std::fmt::Arguments)) {
        let now = around.now;
        if self.consumer().is_some_and(|consumer| consumer.member().is_gone()) {
            return self.bury(now);
        }
        let can_take = self.works_until.is_none() && !self.is_leaving;
        let Some(worker) = &mut self.worker else { return };
        let (events, errors, taken) = match worker {
            Worker::Reads(consumer) => {
                let (events, errors) = (consumer.take_events(), consumer.take_errors());
                let taken: Vec<ConsumerRecord> = if can_take { consumer.take_records(100) } else { Vec::new() };
                if can_take && taken.is_empty() {
                    // A place that was found without a record is committed all the same.
                    consumer.processed();
                }
                (events, errors, taken.len())
            }
            Worker::Processes(pair) => {
                let (events, errors) = (pair.consumer.take_events(), pair.consumer.take_errors());
                let has_lost = pair.follow(&events);
                let must_restart = pair.harvest(note) || has_lost;
                let taken = if can_take && !must_restart { pair.take() } else { 0 };
                if must_restart {
                    self.turns_at = now.plus_millis(RETURN_MS);
                    self.end();
                    return;
                }
                (events, errors, taken)
            }
        };
        self.records += taken as u64;
        if let Some(error) = errors.into_iter().next() {
            self.violation.get_or_insert(format!("a member of a group was told {error}"));
        }
        self.note(&events, note);
        if taken > 0 {
            let work_ms = if now < self.life.until { self.life.work_ms } else { 1 };
            self.works_until = Some(now.plus_millis(work_ms.max(1)));
            self.may_stall(now);
        }
    }

    fn may_stall(&mut self, now: Instant) {
        if self.life.stalls_one_in == 0 || !self.rng.chance(1, self.life.stalls_one_in) {
            return;
        }
        let session_ms = u64::from(self.life.session_timeout_ms);
        let pause_ms = self.rng.range(session_ms / 2, session_ms * 3);
        if now.plus_millis(pause_ms) < self.life.until {
            self.stall = Some(Duration::from_millis(pause_ms));
        }
    }

    /// Keeps what it was told of offsets.
    fn note(&mut self, events: &[Event], note: &mut dyn FnMut(std::fmt::Arguments)) {
        for event in events {
            match event {
                Event::Joined { generation, partitions } => {
                    note(format_args!("is in generation {generation} of {} with {partitions}", self.life.group));
                }
                Event::Assigned(places) => {
                    let generation = self.consumer().map_or(-1, |consumer| consumer.member().generation());
                    for (partition, position) in places {
                        let offset = position.map(|position| position.offset);
                        let partition = partition.clone();
                        note(format_args!("goes on in {partition} at {offset:?} in generation {generation}"));
                        if let Some(offset) = offset {
                            self.known.insert(partition.clone(), offset);
                        }
                        self.told.push(Told { partition, generation, offset, is_answer: true });
                    }
                }
                Event::Revoked(partitions) | Event::Lost(partitions) => {
                    note(format_args!("gives up {} partitions", partitions.len()));
                }
                Event::Trouble(what) => note(format_args!("{what}")),
            }
        }
        let committed: Vec<(TopicPartition, i64)> = match &mut self.worker {
            Some(Worker::Reads(consumer)) => consumer
                .member()
                .committed()
                .map(|(partition, position)| (partition.clone(), position.offset))
                .collect(),
            Some(Worker::Processes(pair)) => {
                let Some((generation, positions)) = pair.take_committed() else { return };
                let told = positions.into_iter().map(|(partition, position)| Told {
                    partition,
                    generation,
                    offset: Some(position.offset),
                    is_answer: false,
                });
                return self.told.extend(told);
            }
            None => return,
        };
        let generation = self.consumer().map_or(-1, |consumer| consumer.member().generation());
        self.known.retain(|partition, _| committed.iter().any(|(known, _)| known == partition));
        for (partition, offset) in committed {
            if self.known.insert(partition.clone(), offset) != Some(offset) {
                self.told.push(Told { partition, generation, offset: Some(offset), is_answer: false });
            }
        }
    }
}

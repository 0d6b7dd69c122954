//! A world of a few quorums: stores in memory, a queue of messages and persists with seeded delays, losses, cut
//! links, crashes with and without loss of what was not synced. Everything in it follows from its seed.
//!
//! After every step it checks ElectionSafety, LeaderCompleteness, agreement on what is committed, that the high
//! watermark only rises and lies within the log, and that what a leader commits is on the disks of a majority;
//! LogMatching every so often.

use crate::engine::config::{BrokerConfig, ClusterConfig, Timing};
use crate::engine::controller::image::{MetadataDelta, MetadataImage};
use crate::engine::controller::record::{ConfigResource, MetadataRecord};
use crate::engine::io::{Ctx, Effect, LogRead};
use crate::engine::observe::{EventKind, QuorumRole};
use crate::engine::prng::Prng;
use crate::engine::quorum::{Committed, Quorum, VoterSet};
use crate::engine::rpc::Rpc;
use crate::engine::testing::{Harness, MemoryStore};
use crate::engine::time::Instant;
use crate::protocol::ids::{BrokerId, DirectoryId, LogId};
use crate::protocol::peer::{PeerBody, PeerMessage, PeerRequest, PeerResponse};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A running broker.
pub(super) struct Process {
    pub(super) quorum: Quorum,
    pub(super) rpc: Rpc,
    pub(super) image: MetadataImage,
    high_watermark: i64,
}

/// A broker and its disk.
pub(super) struct Node {
    pub(super) harness: Harness,
    pub(super) process: Option<Process>,
    pub(super) directory: DirectoryId,
    incarnation: u64,
    /// Operations that a loss of power leaves, and the log's end then.
    synced_ops: usize,
    pub(super) synced_end: i64,
    pub(super) events: Vec<EventKind>,
}

enum Event {
    Deliver { from: BrokerId, to: BrokerId, message: Box<PeerMessage> },
    Persisted { node: BrokerId, incarnation: u64, seq: u64, ops: usize, end: i64, sync: bool },
}

pub(super) struct World {
    pub(super) nodes: BTreeMap<BrokerId, Node>,
    pub(super) now: Instant,
    pub(super) rng: Prng,
    queue: BTreeMap<(Instant, u64), Event>,
    queued: u64,
    initial_voters: VoterSet,
    pub(super) cluster: ClusterConfig,
    /// Links that are cut, each way for itself.
    pub(super) cut: BTreeSet<(BrokerId, BrokerId)>,
    /// Messages lost, in percent.
    pub(super) loss: u64,
    /// The longest delay of a message and of a persist, in microseconds.
    pub(super) delay_us: u64,
    pub(super) persist_us: u64,
    /// The most of the log in one response, in bytes.
    pub(super) fetch_max_bytes: usize,
    leaders: BTreeMap<i32, BrokerId>,
    /// What some broker knows to be committed: the epoch and the record at each offset.
    pub(super) committed: BTreeMap<i64, (i32, MetadataRecord)>,
    /// In which epoch that was known first, by offset.
    committed_in: BTreeMap<i64, i32>,
    pub(super) steps: u64,
    writes: u64,
}

pub(super) fn id(n: i32) -> BrokerId {
    BrokerId(n)
}

fn directory(n: i32, generation: u128) -> DirectoryId {
    DirectoryId(Uuid::from_u128(u128::from(n.unsigned_abs()) * 1000 + generation))
}

impl World {
    /// So many voters and observers, none of them running.
    pub(super) fn new(seed: u64, voters: i32, observers: i32) -> World {
        let mut rng = Prng::new(seed);
        let nodes = (1..=voters + observers).map(|n| {
            let mut harness = Harness::new(n);
            harness.rng = rng.fork(&format!("node {n}"));
            let directory = directory(n, 0);
            let node = Node {
                harness,
                process: None,
                directory,
                incarnation: 0,
                synced_ops: 0,
                synced_end: 0,
                events: Vec::new(),
            };
            (id(n), node)
        });
        World {
            nodes: nodes.collect(),
            now: Instant::ZERO,
            queue: BTreeMap::new(),
            queued: 0,
            initial_voters: (1..=voters).map(|n| (id(n), directory(n, 0))).collect(),
            cluster: ClusterConfig::preset(Timing::Lab, "world", 3),
            cut: BTreeSet::new(),
            loss: 0,
            delay_us: 1_000,
            persist_us: 3_000,
            fetch_max_bytes: 1_000_000,
            leaders: BTreeMap::new(),
            committed: BTreeMap::new(),
            committed_in: BTreeMap::new(),
            steps: 0,
            writes: 0,
            rng,
        }
    }

    /// All of them running.
    pub(super) fn started(seed: u64, voters: i32, observers: i32) -> World {
        let mut world = World::new(seed, voters, observers);
        world.start_all();
        world
    }

    pub(super) fn start_all(&mut self) {
        for id in self.ids() {
            if self.nodes[&id].process.is_none() {
                self.start(id);
            }
        }
    }

    pub(super) fn ids(&self) -> Vec<BrokerId> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn start(&mut self, id: BrokerId) {
        let config = BrokerConfig {
            broker: id,
            directory: self.nodes[&id].directory,
            incarnation: Uuid::nil(),
            host: String::new(),
            port: 0,
            rack: None,
            initial_voters: self.initial_voters.clone(),
            cluster: self.cluster.clone(),
        };
        let (now, fetch_max_bytes) = (self.now, self.fetch_max_bytes);
        let node = self.node(id);
        assert!(node.process.is_none(), "{id} runs already");
        node.incarnation += 1;
        let mut quorum = Quorum::recover(&config, &node.harness.store, now, &mut node.harness.rng).expect("readable");
        quorum.settings.fetch_max_bytes = fetch_max_bytes;
        let high_watermark = quorum.high_watermark();
        let process = Process { quorum, rpc: Rpc::default(), image: MetadataImage::default(), high_watermark };
        node.process = Some(process);
        self.step(id, |process, cx| process.quorum.start(cx, &mut process.rpc));
    }

    /// Ends a process; the disk keeps everything. The others see their connections reset.
    pub(super) fn kill(&mut self, id: BrokerId) {
        self.node(id).process = None;
        for other in self.ids() {
            if self.nodes[&other].process.is_some() {
                self.step(other, |process, cx| {
                    for result in process.rpc.fail_peer(id) {
                        process.quorum.on_result(cx, &mut process.rpc, result);
                    }
                });
            }
        }
    }

    /// Ends a process in silence and takes away a random part of what was not synced.
    pub(super) fn power_loss(&mut self, id: BrokerId) {
        let (synced, written) = (self.nodes[&id].synced_ops, self.nodes[&id].harness.store.ops().len());
        let left = usize::try_from(self.rng.range(synced as u64, written as u64)).expect("a count");
        self.power_loss_leaving(id, left);
    }

    /// Ends a process in silence and takes away everything that was not synced.
    pub(super) fn power_loss_of_all_unsynced(&mut self, id: BrokerId) {
        let synced = self.nodes[&id].synced_ops;
        self.power_loss_leaving(id, synced);
    }

    fn power_loss_leaving(&mut self, id: BrokerId, ops: usize) {
        let node = self.node(id);
        node.process = None;
        node.incarnation += 1;
        node.harness.store = MemoryStore::replayed(&node.harness.store.ops()[..ops]);
    }

    /// Replaces a stopped broker's disk.
    pub(super) fn wipe(&mut self, id: BrokerId) {
        let node = self.node(id);
        assert!(node.process.is_none());
        node.harness.store = MemoryStore::new();
        node.incarnation += 1;
        (node.synced_ops, node.synced_end) = (0, 0);
        let generation = u128::from(node.incarnation);
        node.directory = directory(id.0, generation);
    }

    pub(super) fn node(&mut self, id: BrokerId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a broker of this world")
    }

    pub(super) fn quorum(&self, id: BrokerId) -> &Quorum {
        &self.nodes[&id].process.as_ref().expect("it runs").quorum
    }

    pub(super) fn role(&self, id: BrokerId) -> QuorumRole {
        self.quorum(id).snapshot().role
    }

    /// The leader of the highest epoch, once it may act.
    pub(super) fn leader(&self) -> Option<BrokerId> {
        let running = self.nodes.iter().filter_map(|(id, node)| Some((id, &node.process.as_ref()?.quorum)));
        let leaders = running.filter(|(_, quorum)| quorum.is_leader_caught_up());
        leaders.max_by_key(|(_, quorum)| quorum.epoch()).map(|(id, _)| *id)
    }

    pub(super) fn cut_off(&mut self, id: BrokerId) {
        for other in self.ids() {
            self.cut.insert((id, other));
            self.cut.insert((other, id));
        }
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.loss = 0;
    }

    /// Puts a request to a broker by hand; the answer, if it comes in the same step.
    pub(super) fn ask(&mut self, id: BrokerId, from: BrokerId, request: PeerRequest) -> Option<PeerResponse> {
        let node = self.nodes.get_mut(&id).expect("a broker of this world");
        let process = node.process.as_mut().expect("it runs");
        node.harness.now = self.now;
        node.harness.step(|cx| process.quorum.on_request(cx, &mut process.rpc, from, 0, request));
        let mut answer = None;
        let mut effects = node.harness.take_effects();
        effects.retain(|effect| match effect {
            Effect::Send {
                message: PeerMessage { correlation_id: 0, body: PeerBody::Response(response), .. }, ..
            } => {
                answer = Some(response.clone());
                false
            }
            _ => true,
        });
        self.carry_out(id, effects);
        answer
    }

    /// A broker appends a record that no other is like. False if it does not lead.
    pub(super) fn write(&mut self, id: BrokerId) -> bool {
        self.writes += 1;
        let value = Some(self.writes.to_string());
        let record = MetadataRecord::Config { resource: ConfigResource::Cluster, key: "n".to_owned(), value };
        self.step(id, |process, cx| process.quorum.append(cx, &[record]).is_ok())
    }

    /// Lets time pass until a condition holds.
    pub(super) fn until(&mut self, limit_ms: u64, what: &str, mut holds: impl FnMut(&World) -> bool) {
        let limit = self.now.plus_millis(limit_ms);
        while !holds(self) {
            assert!(self.advance(limit), "after {limit_ms} ms: {what}: {}", self.describe());
        }
    }

    pub(super) fn run(&mut self, milliseconds: u64) {
        let limit = self.now.plus_millis(milliseconds);
        while self.advance(limit) {}
    }

    pub(super) fn describe(&self) -> String {
        let describe = |(id, node): (&BrokerId, &Node)| match &node.process {
            Some(process) => format!("\n{id}: {:?}", process.quorum.snapshot()),
            None => format!("\n{id}: down"),
        };
        self.nodes.iter().map(describe).collect()
    }

    /// Does the next thing that happens before a moment; false, and time is there, if nothing does.
    fn advance(&mut self, limit: Instant) -> bool {
        let wakes = self.nodes.iter().filter_map(|(id, node)| {
            let process = node.process.as_ref()?;
            let at = [process.quorum.next_wake(), process.rpc.next_wake()].into_iter().flatten().map(|wake| wake.at);
            Some((at.min()?.max(self.now), *id))
        });
        let wake = wakes.min();
        let queued = self.queue.keys().next().copied();
        let next = wake.map(|(at, _)| at).into_iter().chain(queued.map(|(at, _)| at)).min();
        let Some(at) = next.filter(|at| *at <= limit) else {
            self.now = limit;
            return false;
        };
        self.now = at;
        self.steps += 1;
        assert!(self.steps < 1_000_000, "the world turns and turns: {}", self.describe());
        if queued.is_some_and(|(queued, _)| queued == at) {
            let (_, event) = self.queue.pop_first().expect("there is one");
            self.happen(event);
        } else if let Some((_, id)) = wake {
            self.step(id, |process, cx| {
                for result in process.rpc.expire(cx.now) {
                    process.quorum.on_result(cx, &mut process.rpc, result);
                }
                process.quorum.on_wake(cx, &mut process.rpc);
            });
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => {
                if self.cut.contains(&(from, to)) || self.nodes[&to].process.is_none() {
                    return;
                }
                let correlation_id = message.correlation_id;
                self.step(to, |process, cx| match message.body {
                    PeerBody::Request(request) => {
                        process.quorum.on_request(cx, &mut process.rpc, from, correlation_id, request);
                    }
                    PeerBody::Response(response) => {
                        let outcome = Ok(response);
                        if let Some(request) = process.rpc.take(from, correlation_id) {
                            let result = crate::engine::rpc::RpcResult { request, outcome };
                            process.quorum.on_result(cx, &mut process.rpc, result);
                        }
                    }
                });
            }
            Event::Persisted { node: id, incarnation, seq, ops, end, sync } => {
                let node = self.node(id);
                if node.incarnation != incarnation {
                    return;
                }
                if sync {
                    (node.synced_ops, node.synced_end) = (ops, end);
                }
                if node.process.is_some() {
                    self.step(id, |process, cx| process.quorum.on_persisted(cx, &mut process.rpc, seq));
                }
            }
        }
    }

    /// One step of a broker, what it committed applied at its end.
    pub(super) fn step<T>(&mut self, id: BrokerId, run: impl FnOnce(&mut Process, &mut Ctx<'_>) -> T) -> T {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("a broker of this world");
        let mut process = node.process.take().expect("it runs");
        node.harness.now = now;
        let was_leader = process.quorum.is_leader();
        let committed = &mut self.committed;
        let result = node.harness.step(|cx| {
            let result = run(&mut process, cx);
            apply(&mut process, cx, committed);
            result
        });
        let effects = node.harness.take_effects();
        for offset in self.committed_in.len()..self.committed.len() {
            self.committed_in.insert(i64::try_from(offset).expect("an offset"), process.quorum.epoch());
        }
        let is_new_leader = process.quorum.is_leader() && !was_leader;
        node.process = Some(process);
        self.carry_out(id, effects);
        self.check(id, is_new_leader);
        result
    }

    fn carry_out(&mut self, id: BrokerId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    let delay = 50 + self.rng.below(self.delay_us.max(1));
                    if self.rng.below(100) >= self.loss && !self.cut.contains(&(id, to)) {
                        self.enqueue(delay, Event::Deliver { from: id, to, message: Box::new(message) });
                    }
                }
                Effect::Persist { seq, sync } => {
                    let delay = 50 + self.rng.below(self.persist_us.max(1));
                    let node = &self.nodes[&id];
                    let ops = node.harness.store.ops().len();
                    let end = node.harness.store.logs().first().map_or(0, |log| log.end_offset);
                    let event = Event::Persisted { node: id, incarnation: node.incarnation, seq, ops, end, sync };
                    self.enqueue(delay, event);
                }
                Effect::Emit(event) => self.node(id).events.push(event.kind),
                other => panic!("a quorum has no business with {other:?}"),
            }
        }
    }

    fn enqueue(&mut self, delay_us: u64, event: Event) {
        self.queued += 1;
        let mut at = Instant(self.now.0 + delay_us * 1_000);
        if let Event::Persisted { node: id, .. } = &event {
            // A disk answers in order.
            let same = |queued: &&Event| matches!(queued, Event::Persisted { node, .. } if node == id);
            let last = self.queue.iter().rev().find(|(_, queued)| same(queued)).map(|((at, _), _)| *at);
            at = at.max(last.unwrap_or(at));
        }
        self.queue.insert((at, self.queued), event);
    }

    fn check(&mut self, id: BrokerId, is_new_leader: bool) {
        let node = self.nodes.get_mut(&id).expect("a broker of this world");
        let process = node.process.as_mut().expect("it runs");
        let quorum = &process.quorum;
        let high_watermark = quorum.high_watermark();
        assert!(high_watermark >= process.high_watermark, "HighWatermarkMonotonic: of {id}");
        assert!(high_watermark <= quorum.log_end(), "the high watermark of {id} lies within its log");
        let has_committed = quorum.is_leader() && high_watermark > process.high_watermark;
        process.high_watermark = high_watermark;
        if quorum.is_leader() {
            let (epoch, leader) = (quorum.epoch(), self.leaders.entry(quorum.epoch()).or_insert(id));
            assert_eq!(*leader, id, "ElectionSafety: two leaders in epoch {epoch}");
        }
        if has_committed {
            let voters = self.quorum(id).voters();
            // A disk that was replaced after it had acknowledged counts: nobody can take that back.
            let holders = voters.iter().filter(|(voter, directory)| {
                let node = &self.nodes[*voter];
                node.synced_end >= high_watermark || node.directory != **directory
            });
            let holders = holders.count();
            assert!(holders > voters.len() / 2, "{high_watermark} is committed on the disks of {holders} only");
        }
        if is_new_leader {
            self.check_leader_completeness(id);
        }
        if self.steps.is_multiple_of(256) {
            self.check_log_matching();
        }
    }

    /// A leader has what was committed in the epochs before its own. (It may be late: leaders of later epochs can be
    /// further.)
    fn check_leader_completeness(&self, id: BrokerId) {
        let quorum = self.quorum(id);
        let is_owed = |(_, epoch): &(&i64, &i32)| **epoch < quorum.epoch();
        let last = self.committed_in.iter().rev().find(is_owed).map_or(0, |(last, _)| last + 1);
        assert!(quorum.log_end() >= last, "LeaderCompleteness: {id} leads without what is committed below {last}");
        let mut epochs = BTreeMap::new();
        for batch in self.nodes[&id].harness.store.batches(LogId::METADATA) {
            epochs
                .extend((batch.header.base_offset..batch.header.next_offset()).map(|o| (o, batch.header.leader_epoch)));
        }
        for (offset, (epoch, _)) in self.committed.range(quorum.snapshot().log_start..last) {
            assert_eq!(epochs.get(offset), Some(epoch), "LeaderCompleteness: of {id} at {offset}");
        }
    }

    /// If two logs hold a batch of the same offset and epoch, they are the same up to there.
    pub(super) fn check_log_matching(&self) {
        let logs: Vec<_> = self.nodes.values().filter(|node| !node.harness.store.logs().is_empty()).collect();
        for (n, a) in logs.iter().enumerate() {
            for b in &logs[n + 1..] {
                let (a, b) = (a.harness.store.batches(LogId::METADATA), b.harness.store.batches(LogId::METADATA));
                let theirs: BTreeMap<i64, _> = b.iter().map(|batch| (batch.header.base_offset, batch)).collect();
                let shared = a.iter().filter_map(|batch| Some((batch, *theirs.get(&batch.header.base_offset)?)));
                let mut must_match = false;
                for (ours, theirs) in shared.rev() {
                    must_match |= ours.header.leader_epoch == theirs.header.leader_epoch;
                    assert!(!must_match || ours == theirs, "LogMatching: at {}", ours.header.base_offset);
                }
            }
        }
    }
}

fn apply(process: &mut Process, cx: &mut Ctx<'_>, known: &mut BTreeMap<i64, (i32, MetadataRecord)>) {
    for committed in process.quorum.take_committed(cx.log()).expect("readable") {
        match committed {
            Committed::Snapshot(image) => process.image = image,
            Committed::Records { base_offset, epoch, records } => {
                for (offset, record) in (base_offset..).zip(records) {
                    let agreed = known.entry(offset).or_insert_with(|| (epoch, record.clone()));
                    assert_eq!(*agreed, (epoch, record.clone()), "two brokers differ in what is committed at {offset}");
                    process.image.apply(offset, epoch, &record, &mut MetadataDelta::default());
                }
            }
        }
    }
    process.quorum.maybe_snapshot(cx, &process.image);
}

//! The world: brokers, links, disks and clients under one virtual clock. No ticks: time jumps to the next happening; ties are broken by the
//! order in which the happenings were planned. `Clone` is a checkpoint.

mod clients;
mod node;
mod wire;

use crate::cluster::ledger::{Ledger, Report};
use crate::cluster::link::{Fate, Link, Links};
use crate::cluster::sim::disk::Wreck;
use crate::cluster::sim::network::Network;
use crate::cluster::sim::trace::Trace;
use crate::cluster::sim::workload::{Client, ClientId};
use crate::engine::broker::Broker;
use crate::engine::config::{ClusterConfig, Timing};
use crate::engine::io::{Ctx, Effect, Input, LogRead, RequestToken, Sequences};
use crate::engine::mutant::Mutant;
use crate::engine::observe::{Event, EventKind};
use crate::engine::prng::Prng;
use crate::engine::time::{Instant, WallTime};
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{self, Request, RequestHeader, Response};
use crate::protocol::ids::{BrokerId, ConnectionId, DirectoryId};
use crate::protocol::peer::{EventId, PeerBody, PeerMessage};
use node::config_of;
use std::collections::BTreeMap;

pub use node::{Node, Power};

/// Wall time at the start of every world, in milliseconds: some day in 2026.
const WALL_START_MS: i64 = 1_790_000_000_000;
/// How often a store syncs what it has, in milliseconds.
const FLUSH_INTERVAL_MS: u64 = 1_000;
/// A guard against brokers that keep each other or themselves busy for ever while time hardly moves: so many happenings in a millisecond.
const STEPS_IN_A_MILLISECOND_MAX: u32 = 20_000;
/// What happens is numbered from here on; smaller numbers are those of faults.
const FIRST_PLANNED: u64 = 1 << 32;

/// Something that will happen.
#[derive(Debug, Clone)]
pub enum Happening {
    /// A broker's timer.
    Wake { broker: BrokerId, life: u32 },
    /// A message arrives.
    Deliver { from: BrokerId, to: BrokerId, life: u32, message: Box<PeerMessage> },
    /// A connection is reset.
    LinkDown { at: BrokerId, life: u32, peer: BrokerId },
    /// A disk has written.
    Persisted { broker: BrokerId, life: u32, seq: u64, sync: bool },
    /// A store syncs what it has.
    Flush { broker: BrokerId, life: u32 },
    /// A store that was behind has room again.
    HasRoom { broker: BrokerId, life: u32 },
    /// A client's request arrives.
    Request(Box<clients::Sent>),
    /// A broker's response arrives, or the end of a connection.
    Response { client: ClientId, connection: ConnectionId, attempt: u64, response: Option<Box<Response>> },
    /// A client has closed its connection.
    Disconnected { broker: BrokerId, life: u32, connection: ConnectionId },
    /// A client's timer.
    ClientWake { client: ClientId },
    /// A client goes on, whatever its timer says.
    ClientTurn { client: ClientId },
    /// A client that stood still goes on.
    ClientResume { client: ClientId },
    /// A client's process stops where it stands.
    ClientPause { client: ClientId },
    /// A planned fault.
    Fault(crate::cluster::sim::plan::Fault),
}

/// A request that a broker has and has not answered.
#[derive(Debug, Clone)]
struct Asked {
    client: ClientId,
    connection: ConnectionId,
    attempt: u64,
    broker: BrokerId,
    header: RequestHeader,
}

/// What a step led to, for the checkers.
#[derive(Debug, Clone, Default)]
pub struct StepOutcome {
    /// The broker that took a step.
    pub stepped: Option<BrokerId>,
    /// What it told.
    pub events: Vec<Event>,
    /// A client did or heard something.
    pub is_of_client: bool,
}

impl StepOutcome {
    fn of_client() -> StepOutcome {
        StepOutcome { is_of_client: true, ..StepOutcome::default() }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct World {
    seed: u64,
    /// The moment.
    pub now: Instant,
    /// The brokers.
    pub nodes: BTreeMap<BrokerId, Node>,
    /// The links between them.
    pub network: Network,
    /// What somebody did to the links: as on a live host.
    pub links: Links,
    /// Whether every client's message also goes through the codec: it changes nothing unless the codec is wrong.
    pub has_codec: bool,
    /// One in so many requests to end a transaction stays under way for seconds, and its connection with it; 0 for none.
    pub late_ends_one_in: u64,
    /// The clients.
    pub clients: BTreeMap<ClientId, Client>,
    /// What the clients were promised, and what they read.
    pub ledger: Ledger,
    /// The same of the clients that commands started: they may be told to lose records, and no rule holds them to it.
    pub guests_ledger: Ledger,
    /// Somebody gave a command that may destroy more than Kafka's contract survives.
    pub may_lose_records: bool,
    /// One line a happening.
    pub trace: Trace,
    queue: BTreeMap<(Instant, u64), Happening>,
    planned: u64,
    /// Faults come before whatever else happens at their moment: so it is all the same when they were planned.
    faults_planned: u64,
    steps_at_once: u32,
    rng: Prng,
    tokens: u64,
    /// How many connections clients have opened.
    connections: u64,
    waiting: BTreeMap<RequestToken, Asked>,
    /// What waits until a link between a broker and its clients is no longer stopped.
    stopped: Vec<(Link, Happening)>,
    /// Answers to what [`World::ask`] asked.
    answers: BTreeMap<u64, Option<Response>>,
    asked: u64,
    /// The facts that nobody has taken in since; `None` where nobody does.
    pub told: Option<Vec<Event>>,
    /// The newest messages; `None` where nobody looks.
    pub wire: Option<crate::cluster::wire::Ring>,
    /// Facts counted by name: proof that rare things happened.
    pub counts: BTreeMap<&'static str, u64>,
}

impl World {
    /// A world of so many brokers, all about to start with empty disks.
    pub fn new(seed: u64, brokers: i32, timing: Timing) -> World {
        let mut rng = Prng::new(seed);
        let count = usize::try_from(brokers).expect("a few brokers");
        let mut ids = rng.fork("ids");
        let directories: BTreeMap<BrokerId, DirectoryId> =
            (1..=brokers).map(|id| (BrokerId(id), DirectoryId(ids.uuid()))).collect();
        let voters: BTreeMap<BrokerId, DirectoryId> = directories
            .iter()
            .take(if brokers == 1 { 1 } else { 3 })
            .map(|(id, directory)| (*id, *directory))
            .collect();
        let cluster = ClusterConfig::preset(timing, "simulated", count);
        let mut nodes = BTreeMap::new();
        for (broker, directory) in directories {
            let config = config_of(broker, directory, ids.uuid(), voters.clone(), cluster.clone());
            let node = Node::new(config, rng.fork("broker"));
            nodes.insert(broker, node);
        }
        World {
            seed,
            now: Instant::from_millis(1),
            nodes,
            network: Network::default(),
            links: Links::default(),
            has_codec: false,
            late_ends_one_in: 0,
            clients: BTreeMap::new(),
            ledger: Ledger::default(),
            guests_ledger: Ledger::default(),
            may_lose_records: false,
            trace: Trace::default(),
            queue: BTreeMap::new(),
            planned: FIRST_PLANNED,
            faults_planned: 0,
            steps_at_once: 0,
            rng: rng.fork("world"),
            tokens: 0,
            connections: 0,
            waiting: BTreeMap::new(),
            stopped: Vec::new(),
            answers: BTreeMap::new(),
            asked: 0,
            told: None,
            wire: None,
            counts: BTreeMap::new(),
        }
    }

    /// Plants a bug in every broker, before any of them has started.
    pub fn plant(&mut self, mutant: Option<Mutant>) {
        for node in self.nodes.values_mut() {
            node.config.cluster = node.config.cluster.clone().with_mutant(mutant);
            node.disk.mutant = mutant;
        }
    }

    /// Changes the configuration of all brokers, before any of them has started.
    pub fn configure(&mut self, change: impl Fn(&mut ClusterConfig)) {
        self.nodes.values_mut().for_each(|node| change(&mut node.config.cluster));
    }

    /// What became of the records of all clients; `None` if nobody ever wrote.
    pub fn account(&self) -> Option<Report> {
        match (self.ledger.is_empty(), self.guests_ledger.is_empty()) {
            (true, true) => None,
            (false, true) => Some(self.ledger.report()),
            (true, false) => Some(self.guests_ledger.report()),
            (false, false) => Some(self.ledger.report().with(self.guests_ledger.report())),
        }
    }

    /// What everything random comes from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Randomness of the world itself, for plans.
    pub fn rng(&mut self) -> &mut Prng {
        &mut self.rng
    }

    /// Plans a happening.
    pub fn plan(&mut self, at: Instant, what: Happening) {
        let counter = if matches!(what, Happening::Fault(_)) { &mut self.faults_planned } else { &mut self.planned };
        *counter += 1;
        self.queue.insert((at.max(self.now), *counter), what);
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Nothing happens before a moment: time is there at once.
    pub fn pass(&mut self, until: Instant) {
        assert!(self.next_at().is_none_or(|at| at >= until), "nothing that happens is left out");
        self.now = self.now.max(until);
    }

    /// Lets the next thing happen; `None` when nothing ever will.
    pub fn step(&mut self) -> Option<StepOutcome> {
        let ((at, _), what) = self.queue.pop_first()?;
        assert!(at >= self.now, "time does not go back");
        let is_same = at.as_millis() == self.now.as_millis();
        self.steps_at_once = if is_same { self.steps_at_once + 1 } else { 0 };
        assert!(self.steps_at_once < STEPS_IN_A_MILLISECOND_MAX, "time hardly moves at {at}: {what:?}");
        self.now = at;
        Some(self.happen(what))
    }

    fn happen(&mut self, what: Happening) -> StepOutcome {
        if let Some(broker) = what.broker()
            && self.nodes.get(&broker).is_some_and(|node| node.power == Power::Suspended)
        {
            let now = self.now;
            self.nodes.get_mut(&broker).expect("a broker").missed.push((now, what));
            return StepOutcome::default();
        }
        if !self.is_client_awake(&what) {
            return StepOutcome::default();
        }
        match what {
            Happening::Wake { broker, life } => self.wake_broker(broker, life),
            Happening::Deliver { from, to, life, message } => {
                let label = message_name(&message);
                self.peer_arrived(wire::peer_key(from, to, &message), to, life);
                self.input(to, life, Input::Peer { from, message: *message }, label)
            }
            Happening::LinkDown { at, life, peer } => self.input(at, life, Input::LinkDown { peer }, "link down"),
            Happening::Persisted { broker, life, seq, sync } => {
                let node = self.nodes.get_mut(&broker).expect("a broker");
                if node.life != life || node.broker.is_none() {
                    // What was under way when it ended is decided: the crash has kept it or not, and steps are counted anew.
                    return StepOutcome::default();
                }
                let had_room = node.disk.has_room();
                match node.disk.finish(seq, sync) {
                    Ok(()) => {}
                    Err(fault) => return self.storage_failed(broker, fault.to_string()),
                }
                if !had_room && node.disk.has_room() {
                    self.plan(self.now, Happening::HasRoom { broker, life });
                }
                self.input(broker, life, Input::Persisted { seq }, "persisted")
            }
            Happening::Flush { broker, life } => {
                let node = self.nodes.get_mut(&broker).expect("a broker");
                if node.life == life {
                    node.disk.flush();
                    let at = self.now.plus_millis(FLUSH_INTERVAL_MS);
                    self.plan(at, Happening::Flush { broker, life });
                }
                StepOutcome::default()
            }
            Happening::HasRoom { broker, life } => {
                *self.counts.entry("slow stores caught up").or_default() += 1;
                self.input(broker, life, Input::StoreHasRoom, "has room again")
            }
            Happening::Request(sent) => self.client_request(*sent),
            Happening::Disconnected { broker, life, connection } => {
                self.input(broker, life, Input::ConnectionClosed(connection), "a client is gone")
            }
            Happening::Response { client, connection, attempt, response } => {
                self.client_answer(client, connection, attempt, response);
                StepOutcome::of_client()
            }
            Happening::ClientWake { client } => {
                self.client_wake(client);
                StepOutcome::of_client()
            }
            Happening::ClientTurn { client } => {
                self.client_turn(client);
                StepOutcome::of_client()
            }
            Happening::ClientPause { client } => {
                *self.counts.entry("pauses of clients").or_default() += 1;
                self.pause_client(client);
                StepOutcome::default()
            }
            Happening::ClientResume { client } => {
                self.resume_client(client);
                StepOutcome::of_client()
            }
            Happening::Fault(fault) => crate::cluster::sim::plan::inflict(self, &fault),
        }
    }

    /// A broker's timer.
    fn wake_broker(&mut self, broker: BrokerId, life: u32) -> StepOutcome {
        let node = self.nodes.get_mut(&broker).expect("a broker");
        if node.life != life || node.planned_wake != Some(self.now) {
            // An earlier wake took its place.
            return StepOutcome::default();
        }
        node.planned_wake = None;
        let why = node.broker.as_ref().and_then(Broker::next_wake).map_or("wake", |wake| wake.why);
        self.input(broker, life, Input::Wake, why)
    }

    /// Gives a broker an input if it is still the one that was meant.
    fn input(&mut self, id: BrokerId, life: u32, input: Input, label: &str) -> StepOutcome {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("a broker");
        if node.life != life || node.power != Power::On {
            return StepOutcome::default();
        }
        let wall = node.wall(now);
        let Some(broker) = node.broker.as_mut() else { return StepOutcome::default() };
        let mut out = Vec::new();
        let cx =
            Ctx::new(id, node.clock.local(now), wall, None, &mut node.rng, &mut node.disk, &mut node.seqs, &mut out);
        broker.step(cx, input);
        self.trace.line(now, format_args!("{id} {label}"));
        self.carry_out(id, life, out)
    }

    fn carry_out(&mut self, id: BrokerId, life: u32, effects: Vec<Effect>) -> StepOutcome {
        let mut outcome = StepOutcome { stepped: Some(id), ..StepOutcome::default() };
        let mut has_failed = false;
        for effect in effects {
            match effect {
                Effect::Persist { seq, sync } => {
                    let delay_us = if sync { self.rng.range(300, 3_000) } else { self.rng.range(10, 200) };
                    let node = self.nodes.get_mut(&id).expect("a broker");
                    node.disk.end_step(seq);
                    let done = Instant(self.now.0 + delay_us * 1_000) + node.write_delay;
                    let at = done.max(Instant(node.disk_busy_until.0 + 1));
                    node.disk_busy_until = at;
                    self.plan(at, Happening::Persisted { broker: id, life, seq, sync });
                }
                Effect::Send { to, message } => self.send(id, to, message),
                Effect::Respond { token, response } => self.respond(token, response),
                Effect::NoResponse { token } => _ = self.waiting.remove(&token),
                Effect::CloseConnection(connection) => self.close_connection(connection),
                Effect::Emit(event) => {
                    *self.counts.entry(event_name(&event.kind)).or_default() += 1;
                    self.trace.line(self.now, format_args!("{id}   {:?}", event.kind));
                    has_failed |= matches!(event.kind, EventKind::StorageFailed { .. });
                    if let Some(told) = self.told.as_mut().filter(|_| event.kind.is_fact()) {
                        told.push(event.clone());
                    }
                    outcome.events.push(event);
                }
                Effect::ShutdownComplete => {
                    self.power_down(id, |node, _| {
                        node.disk.close();
                        Wreck::default()
                    });
                    self.reset_clients(id);
                }
            }
        }
        if has_failed {
            // Its only log directory is offline: the process ends, as Kafka's does.
            self.kill(id);
        }
        self.plan_wake(id);
        outcome
    }

    fn plan_wake(&mut self, id: BrokerId) {
        let node = self.nodes.get_mut(&id).expect("a broker");
        let Some(wake) = node.broker.as_ref().and_then(Broker::next_wake) else { return };
        let at = node.clock.moment(wake.at).max(self.now);
        if node.planned_wake.is_none_or(|planned| at < planned) {
            node.planned_wake = Some(at);
            let life = node.life;
            self.plan(at, Happening::Wake { broker: id, life });
        }
    }

    fn send(&mut self, from: BrokerId, to: BrokerId, message: PeerMessage) {
        let key = self.peer_sent(from, to, &message);
        match self.links.send((from, to), message, self.now, &mut self.rng) {
            Fate::Now(message) => self.transmit(from, to, self.now, message),
            Fate::At(at, message) => self.transmit(from, to, at, message),
            Fate::Held => self.on_wire(|ring, _| ring.held(key)),
            Fate::Lost => self.on_wire(|ring, now| ring.dropped(key, now, "lost on the link")),
        }
    }

    /// A message goes on its way, to arrive at some moment at the earliest.
    pub(super) fn transmit(&mut self, from: BrokerId, to: BrokerId, not_before: Instant, message: PeerMessage) {
        let Some(target) = self.nodes.get(&to) else { return };
        let (power, life) = (target.power, target.life);
        let key = wire::peer_key(from, to, &message);
        let Some(arrival) = self.network.send(from, to, self.now, &mut self.rng) else {
            return self.on_wire(|ring, now| ring.dropped(key, now, "link is cut"));
        };
        let arrival = arrival.max(not_before);
        self.on_wire(|ring, _| ring.arrives(key, arrival));
        if power == Power::Off {
            // Nobody listens there: the connection is refused.
            let life = self.nodes[&from].life;
            self.on_wire(|ring, now| ring.dropped(key, now, "nobody listens"));
            return self.plan(arrival, Happening::LinkDown { at: from, life, peer: to });
        }
        self.plan(arrival, Happening::Deliver { from, to, life, message: Box::new(message) });
    }

    /// Starts a broker's process.
    pub fn start(&mut self, id: BrokerId) -> StepOutcome {
        let now = self.now;
        let incarnation = self.rng.uuid();
        let node = self.nodes.get_mut(&id).expect("a broker");
        if node.power != Power::Off {
            return StepOutcome::default();
        }
        node.life += 1;
        node.power = Power::On;
        node.seqs = Sequences { persist: 0, event: node.seqs.event };
        node.planned_wake = None;
        node.config.incarnation = incarnation;
        if node.disk.recover() {
            *self.counts.entry("torn tails").or_default() += 1;
        }
        let life = node.life;
        let mut out = Vec::new();
        let wall = node.wall(now);
        let cx =
            Ctx::new(id, node.clock.local(now), wall, None, &mut node.rng, &mut node.disk, &mut node.seqs, &mut out);
        match Broker::recover(node.config.clone(), cx) {
            Ok(broker) => node.broker = Some(broker),
            Err(error) => {
                node.power = Power::Off;
                self.trace.line(now, format_args!("{id} cannot start: {error}"));
                return StepOutcome::default();
            }
        }
        node.disk.opened();
        self.trace.line(now, format_args!("{id} starts"));
        self.plan(now.plus_millis(FLUSH_INTERVAL_MS), Happening::Flush { broker: id, life });
        self.carry_out(id, life, out)
    }

    /// One more broker, with an empty disk and no process; it is no voter.
    pub fn add_broker(&mut self) -> BrokerId {
        let last = self.nodes.keys().next_back().copied().expect("a cluster has brokers");
        let id = BrokerId(last.0 + 1);
        let pattern = &self.nodes[&last].config;
        let (voters, cluster) = (pattern.initial_voters.clone(), pattern.cluster.clone());
        let mut rng = self.rng.fork("new broker");
        let config = config_of(id, DirectoryId(rng.uuid()), rng.uuid(), voters, cluster);
        self.nodes.insert(id, Node::new(config, rng));
        id
    }

    /// A broker is no longer part of the cluster: its process ends, and its disk is gone.
    pub fn remove_broker(&mut self, id: BrokerId) {
        self.kill(id);
        self.nodes.remove(&id);
        self.queue.retain(|_, what| !what.is_about(id));
        self.links.reset(id);
    }

    /// The disk refused a write: the broker says so, and its process ends (KIP-112: its only log directory is offline).
    fn storage_failed(&mut self, id: BrokerId, reason: String) -> StepOutcome {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("a broker");
        if node.power != Power::On {
            return StepOutcome::default();
        }
        node.seqs.event += 1;
        let event = EventId { broker: id, seq: node.seqs.event };
        let kind = EventKind::StorageFailed { reason };
        let life = node.life;
        self.carry_out(id, life, vec![Effect::Emit(Event { id: event, cause: None, at: now, kind })])
    }

    /// A broker's clock runs faster from now on, by so many parts in a million.
    pub fn set_drift(&mut self, id: BrokerId, per_million: i64) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("a broker");
        node.clock.set_drift(now, per_million);
        *self.counts.entry("drifting clocks").or_default() += 1;
        // It may be woken too early, which does no harm, but not too late.
        self.plan_wake(id);
    }

    fn note_wreck(&mut self, wreck: Wreck) {
        if wreck.lost > 0 {
            *self.counts.entry("unsynced suffixes lost").or_default() += 1;
        }
    }

    /// The election timers of all voters that run and do not lead end at a moment.
    pub fn align_elections(&mut self, at: Instant) {
        let ids: Vec<BrokerId> = self.nodes.keys().copied().collect();
        for id in ids {
            let node = self.nodes.get_mut(&id).expect("a broker");
            let at = node.clock.local(at);
            if let Some(broker) = node.broker.as_mut() {
                broker.set_election_timer(at);
                self.plan_wake(id);
            }
        }
    }

    /// kill −9: the process ends, its peers' connections are reset, what was persisted stays.
    pub fn kill(&mut self, id: BrokerId) {
        self.power_down(id, |node, rng| node.disk.kill(rng));
        self.reset_connections(id);
        self.reset_clients(id);
    }

    /// The machine loses power: silence, and what was not synced may be gone.
    pub fn power_loss(&mut self, id: BrokerId) {
        self.power_down(id, |node, rng| {
            node.power_losses += 1;
            node.has_lost_records |= node.disk.has_unsynced_data();
            node.disk.power_loss(rng)
        });
    }

    /// Another disk: log and directory id are new.
    pub fn wipe(&mut self, id: BrokerId) {
        self.kill(id);
        let directory = DirectoryId(self.rng.uuid());
        let node = self.nodes.get_mut(&id).expect("a broker");
        node.disk.wipe();
        node.config.directory = directory;
        node.power_losses += 1;
        node.has_lost_records = true;
    }

    /// The process stops where it stands.
    pub fn suspend(&mut self, id: BrokerId) {
        let node = self.nodes.get_mut(&id).expect("a broker");
        if node.power == Power::On {
            node.power = Power::Suspended;
        }
    }

    /// The process goes on, and finds what has arrived meanwhile.
    pub fn resume(&mut self, id: BrokerId) {
        let node = self.nodes.get_mut(&id).expect("a broker");
        if node.power != Power::Suspended {
            return;
        }
        node.power = Power::On;
        node.planned_wake = None;
        for (_, what) in std::mem::take(&mut node.missed) {
            self.plan(self.now, what);
        }
        self.plan_wake(id);
    }

    /// An orderly stop: the broker hands over first.
    pub fn stop(&mut self, id: BrokerId) -> StepOutcome {
        let life = self.nodes[&id].life;
        self.input(id, life, Input::ControlledShutdown, "controlled shutdown")
    }

    fn power_down(&mut self, id: BrokerId, disk: impl FnOnce(&mut Node, &mut Prng) -> Wreck) {
        let node = self.nodes.get_mut(&id).expect("a broker");
        if node.power == Power::Off {
            return;
        }
        node.power = Power::Off;
        node.broker = None;
        node.missed.clear();
        node.planned_wake = None;
        let wreck = disk(node, &mut self.rng);
        self.note_wreck(wreck);
        self.drop_requests(id);
    }

    fn reset_connections(&mut self, id: BrokerId) {
        let peers: Vec<(BrokerId, u32)> =
            self.nodes.iter().filter(|(peer, _)| **peer != id).map(|(peer, node)| (*peer, node.life)).collect();
        for (peer, life) in peers {
            if let Some(at) = self.network.send(id, peer, self.now, &mut self.rng) {
                self.plan(at, Happening::LinkDown { at: peer, life, peer: id });
            }
        }
    }
}

/// A request as it arrives when it has been bytes in between.
fn through_codec(header: &RequestHeader, request: &Request) -> Request {
    let frame = codec::encode_request(header, request).expect("our own clients ask what can be written");
    codec::decode_request(frame.to_bytes().slice(4..)).expect("what was written can be read").1
}

/// A response as it arrives when it has been bytes in between.
fn answer_through_codec(header: &RequestHeader, response: &Response) -> Response {
    let frame = codec::encode_response(header, response).expect("a handler answers what its version can carry");
    let frame = frame.to_bytes().slice(4..);
    codec::decode_response(header.api, header.version, frame).expect("what was written can be read").1
}

impl Happening {
    /// The broker whose process has to run for this.
    fn broker(&self) -> Option<BrokerId> {
        match self {
            Happening::Wake { broker, .. }
            | Happening::Deliver { to: broker, .. }
            | Happening::LinkDown { at: broker, .. }
            | Happening::Disconnected { broker, .. } => Some(*broker),
            Happening::Request(sent) => Some(sent.broker()),
            // A suspended process's disk goes on; its answer waits with the rest.
            Happening::Persisted { broker, .. } | Happening::HasRoom { broker, .. } => Some(*broker),
            _ => None,
        }
    }

    /// Whether it makes no sense without a broker.
    fn is_about(&self, id: BrokerId) -> bool {
        match self {
            Happening::Wake { broker, .. }
            | Happening::Persisted { broker, .. }
            | Happening::Flush { broker, .. }
            | Happening::HasRoom { broker, .. }
            | Happening::Disconnected { broker, .. } => *broker == id,
            Happening::Deliver { from: one, to: other, .. } | Happening::LinkDown { at: one, peer: other, .. } => {
                *one == id || *other == id
            }
            // Whoever asks a broker that is gone is told that nobody listens.
            Happening::Request(_)
            | Happening::Response { .. }
            | Happening::ClientWake { .. }
            | Happening::ClientTurn { .. }
            | Happening::ClientPause { .. }
            | Happening::ClientResume { .. }
            | Happening::Fault(_) => false,
        }
    }

    /// The client whose process has to run for this.
    fn client(&self) -> Option<ClientId> {
        match self {
            Happening::Response { client, .. }
            | Happening::ClientWake { client }
            | Happening::ClientTurn { client } => Some(*client),
            _ => None,
        }
    }
}

/// Wall time at a moment of the virtual clock.
pub fn wall(now: Instant) -> WallTime {
    WallTime(WALL_START_MS + i64::try_from(now.as_millis()).expect("a run shorter than a million years"))
}

/// The version that simulated clients speak: the newest that is served.
fn version_of(api: ApiKey) -> i16 {
    match api {
        // Names instead of topic ids keep the simulated clients small.
        ApiKey::Produce | ApiKey::Fetch => 12,
        api => api.max_version(),
    }
}

fn message_name(message: &PeerMessage) -> &'static str {
    match &message.body {
        PeerBody::Request(request) => request.api_name(),
        PeerBody::Response(response) => response.api_name(),
    }
}

/// A fact's name, for counting.
fn event_name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Started { .. } => "starts",
        EventKind::Registered { .. } => "registrations",
        EventKind::BrokerFenced { .. } => "fencings",
        EventKind::BrokerUnfenced { .. } => "unfencings",
        EventKind::ShutdownBegan => "controlled shutdowns",
        EventKind::QuorumRole { .. } => "quorum role changes",
        EventKind::Voted { .. } => "votes",
        EventKind::MetadataCommitted { .. } => "metadata commits",
        EventKind::SnapshotWritten { .. } => "snapshots written",
        EventKind::SnapshotLoaded { .. } => "snapshots loaded",
        EventKind::VotersChanged { .. } => "voter changes",
        EventKind::LeaderElected { .. } => "leader elections",
        EventKind::IsrChanged { shrunk: true, .. } => "ISR shrinks",
        EventKind::IsrChanged { .. } => "ISR expansions",
        EventKind::TopicCreated { .. } => "topics created",
        EventKind::TopicDeleted { .. } => "topics deleted",
        EventKind::ReassignmentDone { .. } => "reassignments",
        EventKind::BecameLeader { .. } => "new leaders",
        EventKind::BecameFollower { .. } => "new followers",
        EventKind::Truncated { .. } => "truncations",
        EventKind::LogStartMoved { .. } => "log starts moved",
        EventKind::LogCleaned { .. } => "logs compacted",
        EventKind::NotEnoughReplicas { .. } => "writes refused for want of replicas",
        EventKind::Appended { .. } => "appends",
        EventKind::HighWatermark { .. } => "high watermark moves",
        EventKind::Transaction(_) => "transaction events",
        EventKind::Group(_) => "group events",
        EventKind::StorageFailed { .. } => "storage failures",
    }
}

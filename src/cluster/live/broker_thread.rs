//! One broker's thread: takes what is in the mailbox, steps the state machine, carries out what comes of it. No lock
//! around the broker, nothing async inside, no wait but for the mailbox.
//!
//! Invariants: effects are carried out in order before the next input; a snapshot or an end waits for one step at most;
//! a panic ends this broker's life, with its message, and no other's.
//!
//! Deliberately not here: who begins and ends lives (`supervisor.rs`).

use crate::cluster::live::conn::{Connection, Service};
use crate::cluster::live::faults::DiskFaults;
use crate::cluster::live::history::{Ended, HostFact};
use crate::cluster::live::host::Host;
use crate::cluster::live::mailbox::{Control, End, Item, Mailbox};
use crate::cluster::live::status::{Phase, Status};
use crate::cluster::live::wire::{Asked, Told};
use crate::cluster::store::{BrokerStore, Crash, MemoryStore, Notify, StoreError, StoreNote, StoreOptions};
use crate::engine::broker::Broker;
use crate::engine::config::BrokerConfig;
use crate::engine::io::{Ctx, Effect, Input, LogInfo, LogRead, RequestToken, Sequences};
use crate::engine::observe::{Event, EventKind};
use crate::engine::prng::Prng;
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::ids::{BrokerId, ConnectionId};
use crate::protocol::peer::EventId;
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// After so many steps the broker's own time is looked at again.
const STEPS: usize = 64;

/// Where a broker's store is.
pub enum Home {
    /// In a directory.
    Directory(PathBuf),
    /// In memory, kept by the host.
    Memory(Box<MemoryStore>),
}

/// What a life begins with.
pub struct Birth {
    /// The broker's configuration.
    pub config: BrokerConfig,
    /// Its store.
    pub home: Home,
    /// How the store is to be.
    pub options: StoreOptions,
    /// The host.
    pub host: Arc<Host>,
    /// Its mailbox, empty.
    pub mailbox: Arc<Mailbox>,
    /// Its connections.
    pub service: Arc<Service>,
    /// Where others see how it is.
    pub status: Arc<Status>,
    /// The counters of its former life.
    pub seqs: Sequences,
    /// Its randomness.
    pub rng: Prng,
    /// By how much its wall clock is wrong, in milliseconds.
    pub skew_ms: Arc<AtomicI64>,
    /// What is wrong with its disk.
    pub disk: DiskFaults,
    /// What began it.
    pub cause: Option<EventId>,
}

/// What a life leaves behind.
pub struct Afterlife {
    /// How it ended.
    pub how: Ended,
    /// Its store, if that was in memory.
    pub memory: Option<MemoryStore>,
    /// Its counters.
    pub seqs: Sequences,
    /// What is left of its logs.
    pub logs: Vec<LogInfo>,
}

/// Lives a broker's life. Call on a thread of its own; `ready` is called once it takes part.
pub fn live(birth: Birth, ready: impl FnOnce()) -> Afterlife {
    let Birth { config, home, options, host, mailbox, service, status, seqs, rng, skew_ms, disk, cause } = birth;
    let notify: Notify = {
        let mailbox = Arc::clone(&mailbox);
        Arc::new(move |note| mailbox.push(Item::Store(note)))
    };
    let opened = match home {
        Home::Directory(directory) => BrokerStore::open(&directory, options, notify),
        Home::Memory(store) => Ok(BrokerStore::in_memory(*store, &options, notify)),
    };
    let store = match opened {
        Ok(store) => store,
        Err(error) => {
            let how = crashed(&error);
            host.tell_caused(HostFact::BrokerEnded { broker: config.broker, how: how.clone() }, cause);
            return Afterlife { how, memory: None, seqs, logs: Vec::new() };
        }
    };
    let control = store.control();
    control.set_disk_delay(disk.delay);
    control.set_disk_full(disk.is_full);
    control.set_disk_failing(disk.is_failing);
    status.set_store(control);
    let id = config.broker;
    let mut life = Life {
        id,
        broker: None,
        store: Some(store),
        seqs,
        rng,
        host,
        mailbox,
        service,
        status,
        skew_ms,
        awaited: HashMap::new(),
        held: VecDeque::new(),
        effects: Vec::new(),
        persisted: None,
        failure: None,
        is_done: false,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        if let Err(how) = life.begin(config, cause) {
            return how;
        }
        life.host.tell_caused(HostFact::BrokerRunning { broker: life.id }, cause);
        ready();
        life.run()
    }));
    let finish = match outcome {
        Ok(finish) => finish,
        Err(panic) => Finish::Crash(panic_message(panic.as_ref())),
    };
    life.end(finish)
}

/// How the loop was left.
enum Finish {
    Asked(End),
    Done,
    Crash(String),
}

/// A request on its way to the broker.
struct Held {
    token: RequestToken,
    connection: ConnectionId,
    header: RequestHeader,
    request: Request,
}

struct Life {
    id: BrokerId,
    /// `None` only before it has recovered.
    broker: Option<Broker>,
    /// `None` only after its end.
    store: Option<BrokerStore>,
    seqs: Sequences,
    rng: Prng,
    host: Arc<Host>,
    mailbox: Arc<Mailbox>,
    service: Arc<Service>,
    status: Arc<Status>,
    skew_ms: Arc<AtomicI64>,
    awaited: HashMap<RequestToken, Arc<Connection>>,
    /// Produce requests that wait until the store has room, in order.
    held: VecDeque<Held>,
    effects: Vec<Effect>,
    /// What was safe at once and is to be told next.
    persisted: Option<u64>,
    failure: Option<String>,
    is_done: bool,
}

impl Life {
    fn begin(&mut self, config: BrokerConfig, cause: Option<EventId>) -> Result<(), Finish> {
        self.host.join(self.id, Arc::clone(&self.mailbox));
        let recovered = Broker::recover(config, self.parts(cause).1);
        self.broker = Some(recovered.map_err(|error| Finish::Crash(error.to_string()))?);
        self.carry_out();
        self.settle();
        self.publish();
        Ok(())
    }

    fn run(&mut self) -> Finish {
        let mut items = Vec::new();
        loop {
            let wake = self.broker().next_wake();
            self.mailbox.take(&mut items, wake.map(|wake| wake.at), &self.host.clock);
            let mut steps = 0;
            for item in items.drain(..) {
                if let Some(end) = self.listen() {
                    return Finish::Asked(end);
                }
                self.handle(item);
                steps += 1;
                if steps % STEPS == 0 {
                    self.wake_if_due();
                }
                if let Some(reason) = self.failure.take() {
                    return Finish::Crash(reason);
                }
                if self.is_done {
                    return Finish::Done;
                }
            }
            if let Some(end) = self.listen() {
                return Finish::Asked(end);
            }
            if !self.host.clock.is_paused() && !self.status.is_suspended() {
                self.wake_if_due();
            }
            if self.is_done {
                return Finish::Done;
            }
            self.publish();
        }
    }

    fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("recovered before anything else")
    }

    /// Snapshots and ends, which wait for nothing.
    fn listen(&mut self) -> Option<End> {
        for control in self.mailbox.take_controls() {
            match control {
                Control::End(end) => return Some(end),
                Control::Snapshot { scope, reply } => {
                    if let (Some(broker), Some(store)) = (&self.broker, &self.store) {
                        // Who asked may have given up.
                        drop(reply.send(broker.snapshot(&scope, store, self.host.clock.now())));
                    }
                }
            }
        }
        None
    }

    fn handle(&mut self, item: Item) {
        match item {
            Item::Request { connection, token, header, mut request } => {
                let is_lost = self.host.takes_client_drop(self.id, false, request.api().name());
                if self.host.wire.is_on() {
                    let asked = Asked { header: &header, request: &request };
                    self.host.wire.request(self.host.clock.now(), self.id, connection.id, asked, is_lost);
                }
                if is_lost {
                    return connection.close(true);
                }
                scale_waits(&mut request, self.host.clock.speed_permille());
                let id = connection.id;
                self.awaited.insert(token, connection);
                let held = Held { token, connection: id, header, request };
                if matches!(held.request, Request::Produce(_)) && !(self.held.is_empty() && self.has_room()) {
                    self.held.push_back(held);
                } else {
                    self.request(held);
                }
            }
            Item::ConnectionClosed(id) => {
                self.awaited.retain(|_, connection| connection.id != id);
                self.held.retain(|held| held.connection != id);
                self.step(None, Input::ConnectionClosed(id));
            }
            Item::Peer { from, message } => {
                if self.host.wire.is_on() {
                    self.host.wire.peer_arrived(self.host.clock.now(), from, self.id, &message);
                }
                self.step(message.cause, Input::Peer { from, message });
            }
            Item::LinkDown { peer, cause } => self.step(cause, Input::LinkDown { peer }),
            Item::Store(StoreNote::Persisted { seq }) => self.step(None, Input::Persisted { seq }),
            Item::Store(StoreNote::HasRoom) => {
                self.step(None, Input::StoreHasRoom);
                while !self.held.is_empty() && self.has_room() {
                    if let Some(held) = self.held.pop_front() {
                        self.request(held);
                    }
                }
            }
            Item::Store(StoreNote::Failed { reason }) => self.storage_failed(reason),
            Item::ControlledShutdown { cause } => self.step(cause, Input::ControlledShutdown),
        }
    }

    fn has_room(&self) -> bool {
        self.store.as_ref().is_some_and(BrokerStore::has_room_for_clients)
    }

    fn request(&mut self, held: Held) {
        let Held { token, connection, header, request } = held;
        self.step(None, Input::Request { token, connection, header, request });
    }

    fn storage_failed(&mut self, reason: String) {
        self.seqs.event += 1;
        let id = EventId { broker: self.id, seq: self.seqs.event };
        let kind = EventKind::StorageFailed { reason: reason.clone() };
        self.host.history.add_event(Event { id, cause: None, at: self.host.clock.now(), kind });
        self.failure = Some(reason);
    }

    fn wake_if_due(&mut self) {
        let now = self.host.clock.now();
        if self.broker().next_wake().is_some_and(|wake| wake.at <= now) {
            self.step(None, Input::Wake);
        }
    }

    fn step(&mut self, cause: Option<EventId>, input: Input) {
        let (broker, cx) = self.parts(cause);
        broker.as_mut().expect("recovered before anything else").step(cx, input);
        self.carry_out();
        self.settle();
    }

    /// Tells what was safe at once, until nothing more comes of it.
    fn settle(&mut self) {
        while let Some(seq) = self.persisted.take() {
            let (broker, cx) = self.parts(None);
            broker.as_mut().expect("recovered before anything else").step(cx, Input::Persisted { seq });
            self.carry_out();
        }
    }

    /// The broker and what it may look at in a step.
    fn parts(&mut self, cause: Option<EventId>) -> (&mut Option<Broker>, Ctx<'_>) {
        let clock = &self.host.clock;
        let (now, wall) = (clock.now(), clock.wall(self.skew_ms.load(Ordering::Relaxed)));
        let store = self.store.as_mut().expect("open until the end");
        let cx = Ctx::new(self.id, now, wall, cause, &mut self.rng, store, &mut self.seqs, &mut self.effects);
        (&mut self.broker, cx)
    }

    fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Persist { seq, sync } => {
                    if self.store.as_mut().expect("open until the end").persist(seq, sync) {
                        self.persisted = Some(seq);
                    }
                }
                Effect::Respond { token, response } => self.respond(token, &response),
                Effect::NoResponse { token } => {
                    if let Some(connection) = self.awaited.remove(&token) {
                        connection.answer(token, None);
                    }
                }
                Effect::Send { to, message } => self.host.send(self.id, to, message),
                Effect::CloseConnection(id) => self.close_connection(id),
                Effect::Emit(event) => {
                    if let EventKind::StorageFailed { reason } = &event.kind {
                        self.failure = Some(reason.clone());
                    }
                    self.host.history.add_event(event);
                }
                Effect::ShutdownComplete => self.is_done = true,
            }
        }
        self.effects = effects;
    }

    fn respond(&mut self, token: RequestToken, response: &Response) {
        let Some(connection) = self.awaited.remove(&token) else { return };
        let is_lost = self.host.takes_client_drop(self.id, true, response.api().name());
        if self.host.wire.is_on()
            && let Some(header) = connection.header_of(token)
        {
            let told = Told { header: &header, response };
            self.host.wire.response(self.host.clock.now(), self.id, connection.id, told, is_lost);
        }
        if is_lost {
            // A response that is lost takes its connection with it: nothing after it could arrive.
            return connection.close(true);
        }
        connection.answer(token, Some(response));
    }

    fn close_connection(&self, id: ConnectionId) {
        let connection = self.service.connections().get(&id).cloned();
        if let Some(connection) = connection {
            connection.close(false);
        }
    }

    fn publish(&self) {
        let broker = self.broker();
        if self.status.set_running(broker.is_fenced(), broker.is_active_controller()) {
            self.host.history.poke();
        }
    }

    /// Takes leave of clients and peers. Where the end was asked for, whoever asked has told it.
    fn leave(&self, finish: &Finish) {
        let tell = |how: Ended| Some(self.host.tell(HostFact::BrokerEnded { broker: self.id, how }));
        match finish {
            Finish::Asked(End::PowerLoss) => self.service.fall_silent(),
            Finish::Asked(End::Kill) => self.service.shut(true),
            Finish::Asked(End::Close) => self.service.shut(false),
            Finish::Done => self.service.shut(false),
            Finish::Crash(_) => self.service.shut(true),
        }
        let cause = match finish {
            Finish::Asked(_) => None,
            Finish::Done => tell(Ended::Stopped),
            Finish::Crash(message) => tell(Ended::Crashed { message: message.clone() }),
        };
        self.host.leave(self.id, !matches!(finish, Finish::Asked(End::PowerLoss)), cause);
    }

    /// Ends the life as it was asked for or had to be.
    fn end(mut self, finish: Finish) -> Afterlife {
        self.leave(&finish);
        self.mailbox.close();
        let store = self.store.take().expect("open until the end");
        let store_logs = store.logs();
        let (how, ended) = match finish {
            Finish::Done | Finish::Asked(End::Close) => {
                (Ended::Stopped, store.close().map(|memory| (store_logs, memory)))
            }
            Finish::Asked(End::Kill) => (Ended::Killed, store.crash(Crash::Kill)),
            Finish::Asked(End::PowerLoss) => (Ended::PowerLost, store.crash(Crash::PowerLoss)),
            Finish::Crash(message) => (Ended::Crashed { message }, store.crash(Crash::Kill)),
        };
        let (how, logs, memory) = match ended {
            Ok((logs, memory)) => (how, logs, memory),
            Err(error) => (crashed(&error), Vec::new(), None),
        };
        self.awaited.clear();
        self.status.set_phase(Phase::Ended(how.clone()));
        Afterlife { how, memory, seqs: self.seqs, logs }
    }
}

/// Waits that a client asked for run in real time, however slow the brokers' time is.
fn scale_waits(request: &mut Request, speed_permille: u32) {
    if speed_permille == 1_000 {
        return;
    }
    let scale = |milliseconds: &mut i32| {
        let scaled = i64::from(*milliseconds) * i64::from(speed_permille) / 1_000;
        *milliseconds = i32::try_from(scaled).unwrap_or(i32::MAX);
    };
    match request {
        Request::Fetch(fetch) => scale(&mut fetch.max_wait_ms),
        Request::Produce(produce) => scale(&mut produce.timeout_ms),
        _ => {}
    }
}

fn crashed(error: &StoreError) -> Ended {
    Ended::Crashed { message: error.to_string() }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}

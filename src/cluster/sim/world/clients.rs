//! The way between clients and brokers: requests, answers, connections that come about and end.
//!
//! A connection keeps its order and ends when its broker's process does. A machine that loses power says nothing: what waits for it waits
//! until the client gives up.
//!
//! Deliberately not here: what clients want (`workload`), and their side of the connections (`dial`).

use super::{Asked, Happening, Power, StepOutcome, World, answer_through_codec, through_codec, version_of, wall};
use crate::client::{Answer, Call};
use crate::cluster::link::{CLIENTS, Link};
use crate::cluster::sim::dial::{Connection, NEGOTIATION, Place};
use crate::cluster::sim::workload::{Around, Client, ClientId};
use crate::cluster::wire::{Key, Way};
use crate::engine::io::{Input, RequestToken};
use crate::engine::time::Instant;
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{self, Request, RequestHeader, Response};
use crate::protocol::ids::{BrokerId, ConnectionId};
use kafka_protocol::messages::ApiVersionsRequest;
use std::net::Ipv4Addr;

/// Who asks what somebody outside the world wants to know or have done ([`World::ask`]).
const ADMIN: ClientId = ClientId(u32::MAX);
/// The connection of whoever is outside the world.
const ADMIN_CONNECTION: ConnectionId = ConnectionId(0);
/// How long a request from outside is under way, in nanoseconds.
const ADMIN_DELAY_NS: u64 = 100_000;
/// How long it takes to learn that nobody listens, in nanoseconds.
const REFUSAL_NS: u64 = 100_000;
/// How long a request stays under way that comes after its client has asked anew, in milliseconds.
const LATE_MS_MIN: u64 = 1_500;
const LATE_MS_MAX: u64 = 4_000;
/// The version of ApiVersions that everybody knows.
const NEGOTIATION_VERSION: i16 = 0;

/// A request on its way.
#[derive(Debug, Clone)]
pub struct Sent {
    client: ClientId,
    connection: ConnectionId,
    broker: BrokerId,
    /// The broker's start that the connection was opened to.
    life: u32,
    attempt: u64,
    version: i16,
    request: Request,
}

impl Sent {
    /// Whom it is for.
    pub(super) fn broker(&self) -> BrokerId {
        self.broker
    }

    pub(super) fn key(&self) -> Key {
        Key::Client(self.connection, self.attempt, Way::Request)
    }

    /// What the ring of messages is told of it.
    pub(super) fn on_wire(&self) -> (ClientId, BrokerId, Key, RequestHeader, &Request) {
        let (api, version) = (self.request.api(), self.version);
        let correlation_id = super::wire::correlation_id(self.attempt);
        let header = RequestHeader { api, version, correlation_id, client_id: None, client_host: None };
        (self.client, self.broker, self.key(), header, &self.request)
    }
}

impl World {
    /// Adds a client, which begins at once.
    pub fn add_client(&mut self, client: Client) {
        let id = client.id();
        self.clients.insert(id, client);
        self.plan(self.now, Happening::ClientTurn { client: id });
    }

    /// A client's process ends: its connections are closed.
    pub fn remove_client(&mut self, id: ClientId) -> Option<Client> {
        let mut client = self.clients.remove(&id)?;
        self.close_all(&mut client);
        Some(client)
    }

    /// A name for one more client.
    pub fn next_client(&self) -> ClientId {
        self.clients.keys().next_back().map_or(ClientId(0), |last| ClientId(last.0 + 1))
    }

    /// Somebody has told a client something: it goes on at once.
    pub fn wake(&mut self, id: ClientId) {
        self.plan(self.now, Happening::ClientTurn { client: id });
    }

    /// A client's process stops where it stands; what is sent to it waits.
    pub fn pause_client(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.is_paused = true;
        }
    }

    /// A client's process goes on, and finds what has arrived meanwhile.
    pub fn resume_client(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.is_paused = false;
        client.planned_wake = None;
        for what in std::mem::take(&mut client.missed) {
            self.plan(self.now, what);
        }
        self.plan(self.now, Happening::ClientTurn { client: id });
    }

    /// Members leave their groups for good; whether there were any left to tell.
    pub fn retire_members(&mut self) -> bool {
        let staying = |client: &&mut Client| client.membership().is_some_and(|membership| !membership.is_retired());
        let told: Vec<ClientId> = self
            .clients
            .values_mut()
            .filter(staying)
            .map(|client| {
                client.membership_mut().expect("just seen").retire();
                client.id()
            })
            .collect();
        for client in &told {
            self.plan(self.now, Happening::ClientTurn { client: *client });
        }
        !told.is_empty()
    }

    /// Whether a client's process runs; what happens to one that stands still waits.
    pub(super) fn is_client_awake(&mut self, what: &Happening) -> bool {
        let Some(client) = what.client().and_then(|id| self.clients.get_mut(&id)) else { return true };
        if client.is_paused {
            client.missed.push(what.clone());
        }
        !client.is_paused
    }

    /// A request arrives at its broker.
    pub(super) fn client_request(&mut self, sent: Sent) -> StepOutcome {
        let key = sent.key();
        let Sent { client, connection, broker, life, attempt, version, request } = sent;
        if self.nodes.get(&broker).is_none_or(|node| node.life != life || node.power == Power::Off) {
            let at = Instant(self.now.0 + REFUSAL_NS);
            self.on_wire(|ring, now| ring.dropped(key, now, "nobody listens"));
            self.plan(at, Happening::Response { client, connection, attempt, response: None });
            return StepOutcome::default();
        }
        let label = request.api().name();
        if self.links.takes_drop(broker, false, label) {
            self.trace.line(self.now, format_args!("{broker} never gets {label}"));
            self.on_wire(|ring, now| ring.dropped(key, now, "dropped"));
            return StepOutcome::default();
        }
        self.on_wire(|ring, now| ring.delivered(key, now));
        self.tokens += 1;
        let token = RequestToken(self.tokens);
        let correlation_id = i32::try_from(self.tokens % 1_000_000).expect("six digits");
        let client_id = self.clients.get(&client).and_then(Client::client_id).map(str::to_owned);
        let header = RequestHeader {
            api: request.api(),
            version,
            correlation_id,
            client_id,
            client_host: Some(Ipv4Addr::LOCALHOST.into()),
        };
        let request = if self.has_codec { through_codec(&header, &request) } else { request };
        self.waiting.insert(token, Asked { client, connection, attempt, broker, header: header.clone() });
        self.input(broker, life, Input::Request { token, connection, header, request }, label)
    }

    /// A broker answers a request.
    pub(super) fn respond(&mut self, token: RequestToken, response: Response) {
        let Some(asked) = self.waiting.remove(&token) else { return };
        let Asked { client, connection, attempt, broker, header } = asked;
        let key = self.response_sent((client, connection, attempt), broker, &header, &response);
        if self.links.takes_drop(broker, true, header.api.name()) {
            self.on_wire(|ring, now| ring.dropped(key, now, "dropped"));
            return self.trace.line(self.now, format_args!("{broker} answers {} to nobody", header.api.name()));
        }
        let response = if self.has_codec { answer_through_codec(&header, &response) } else { response };
        let mut at = self.delayed();
        if let Some(client) = self.clients.get(&client) {
            if client.is_deaf {
                self.on_wire(|ring, now| ring.dropped(key, now, "client hears nothing"));
                return;
            }
            at = at + client.delay;
        }
        let bytes = || frame_bytes(codec::encode_response(&header, &response).map(|frame| frame.to_bytes().len()));
        let link = (broker, CLIENTS);
        let at = if client == ADMIN { at } else { self.arrival_over(link, at, bytes) };
        let is_stopped = client != ADMIN && self.links.faults(link).is_stopped();
        self.on_wire(|ring, _| if is_stopped { ring.held(key) } else { ring.arrives(key, at) });
        let what = Happening::Response { client, connection, attempt, response: Some(Box::new(response)) };
        if client == ADMIN { self.plan(at, what) } else { self.carry(link, at, what) }
    }

    /// A broker's process has ended: what it was asked is not answered. Whoever asked learns of it, unless the whole machine is gone.
    pub(super) fn drop_requests(&mut self, id: BrokerId) {
        let gone: Vec<RequestToken> =
            self.waiting.iter().filter(|(_, asked)| asked.broker == id).map(|(token, _)| *token).collect();
        for token in gone {
            let asked = self.waiting.remove(&token).expect("just seen");
            if asked.client == ADMIN {
                let (connection, attempt) = (asked.connection, asked.attempt);
                self.plan(self.now, Happening::Response { client: ADMIN, connection, attempt, response: None });
            }
        }
    }

    /// A process that ends has its connections reset.
    pub(super) fn reset_clients(&mut self, id: BrokerId) {
        let mut reset = Vec::new();
        for client in self.clients.values() {
            let here = client.dialer.connections().filter(|(place, _)| place.broker == id);
            reset.extend(here.map(|(_, connection)| (client.id(), connection.id)));
        }
        for (client, connection) in reset {
            self.reset(id, client, connection);
        }
    }

    /// A broker closes a client's connection.
    pub(super) fn close_connection(&mut self, connection: ConnectionId) {
        let place_of = |client: &Client| Some((client.id(), client.dialer.place_of(connection)?.broker));
        if let Some((client, broker)) = self.clients.values().find_map(place_of) {
            self.reset(broker, client, connection);
        }
    }

    fn reset(&mut self, broker: BrokerId, client: ClientId, connection: ConnectionId) {
        let at = self.delayed();
        let what = Happening::Response { client, connection, attempt: NEGOTIATION, response: None };
        self.carry((broker, CLIENTS), at, what);
    }

    /// Something between a broker and its clients goes on its way; where the link is stopped it waits, as a connection of bytes does.
    fn carry(&mut self, link: Link, at: Instant, what: Happening) {
        if self.links.faults(link).is_stopped() {
            self.stopped.push((link, what));
        } else {
            self.plan(at, what);
        }
    }

    /// When something arrives over a link that would arrive at a moment if nothing were wrong with it.
    fn arrival_over(&mut self, link: Link, alone: Instant, bytes: impl FnOnce() -> u64) -> Instant {
        let bytes = if self.links.faults(link).bytes_per_s.is_some() { bytes() } else { 0 };
        let late = self.links.arrival(link, bytes, self.now, &mut self.rng).since(self.now);
        alone + late
    }

    /// What waits for a link that is stopped no more goes on.
    pub fn let_go(&mut self, link: Link) {
        if self.links.faults(link).is_stopped() {
            return;
        }
        for (stopped, what) in std::mem::take(&mut self.stopped) {
            if stopped == link { self.plan(self.now, what) } else { self.stopped.push((stopped, what)) }
        }
    }

    /// When a message between a client and a broker arrives.
    fn delayed(&mut self) -> Instant {
        Instant(self.now.0 + self.rng.range(20, 200) * 1_000)
    }

    /// An answer arrives, or the end of a connection.
    pub(super) fn client_answer(
        &mut self,
        id: ClientId,
        connection: ConnectionId,
        attempt: u64,
        response: Option<Box<Response>>,
    ) {
        let key = Key::Client(connection, attempt, Way::Response);
        self.on_wire(|ring, now| ring.delivered(key, now));
        if id == ADMIN {
            self.answers.insert(attempt, response.map(|response| *response));
            return;
        }
        let Some(mut client) = self.clients.remove(&id) else { return };
        // A connection that the client has given up says nothing to it any more.
        if let Some(place) = client.dialer.place_of(connection) {
            match response {
                None => self.connection_lost(&mut client, place, "connection reset"),
                Some(response) if attempt == NEGOTIATION => {
                    for call in client.dialer.negotiated(place, &response) {
                        self.transmit_call(&mut client, place, call);
                    }
                }
                Some(response) => {
                    let now = self.now;
                    for (call, response) in client.dialer.answered(place, attempt, response) {
                        if let Some(machine) = client.machine(now) {
                            machine.answer(now.as_millis(), call, Answer::Response(response));
                        }
                    }
                }
            }
            self.turn_of(&mut client);
        }
        self.clients.insert(id, client);
    }

    /// A client's timer.
    pub(super) fn client_wake(&mut self, id: ClientId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id).filter(|client| client.planned_wake == Some(now)) else { return };
        client.planned_wake = None;
        self.client_turn(id);
    }

    /// A client goes on.
    pub(super) fn client_turn(&mut self, id: ClientId) {
        let Some(mut client) = self.clients.remove(&id) else { return };
        self.turn_of(&mut client);
        self.clients.insert(id, client);
    }

    fn turn_of(&mut self, client: &mut Client) {
        let (now, id) = (self.now, client.id());
        while let Some(place) = client.dialer.late(now) {
            self.connection_lost(client, place, "no answer in time");
        }
        let is_quiet = self.clients.values().all(|other| other.is_quiet(now));
        let is_source_quiet = self.clients.values().all(|other| other.processes() || other.is_quiet(now));
        let ledger = if client.guest().is_some() { &mut self.guests_ledger } else { &mut self.ledger };
        let mut around = Around { now, wall: wall(now), is_quiet, is_source_quiet, ledger };
        client.prepare(&around);
        let turn = client.machine(now).map(|machine| machine.turn(now.as_millis())).unwrap_or_default();
        let trace = &mut self.trace;
        client.harvest(&mut around, &mut |line| trace.line(now, format_args!("client {} {line}", id.0)));
        if let Some(pause) = client.take_stall() {
            client.is_paused = true;
            self.plan(now + pause, Happening::ClientResume { client: id });
        }
        client.dialer.learn(turn.addresses);
        let mut has_failed = false;
        for call in turn.calls {
            has_failed |= !self.dispatch(client, call);
        }
        // What was sent without a wish for an answer is not forgotten.
        if client.machine(now).is_none() && !client.dialer.has_orders() {
            self.close_all(client);
        }
        let wish = turn.wake_at_ms.map(|at_ms| Instant::from_millis(at_ms.max(now.as_millis() + 1)));
        let again = has_failed.then(|| now.plus_millis(1));
        let wakes = [wish, again, client.dialer.next_deadline(), client.next_at().filter(|at| *at > now)];
        self.wake_client(client, wakes.into_iter().flatten().min());
    }

    fn wake_client(&mut self, client: &mut Client, at: Option<Instant>) {
        let Some(at) = at.filter(|at| client.planned_wake.is_none_or(|planned| *at < planned)) else { return };
        client.planned_wake = Some(at);
        self.plan(at, Happening::ClientWake { client: client.id() });
    }

    /// Sends a call, or has it wait until its connection has come about; false if it has failed at once.
    fn dispatch(&mut self, client: &mut Client, call: Call) -> bool {
        let now = self.now;
        let place = client
            .dialer
            .place(call.to, client.is_second(call.id))
            .filter(|place| self.nodes.contains_key(&place.broker));
        let Some(place) = place else {
            if let Some(machine) = client.machine(now) {
                machine.answer(now.as_millis(), call.id, Answer::Failed("the address is not known".to_owned()));
            }
            return false;
        };
        if client.dialer.connection(place).is_none() {
            self.connections += 1;
            let connection = Connection::new(ConnectionId(self.connections), self.nodes[&place.broker].life);
            client.dialer.open(place, connection);
            let request = Request::ApiVersions(ApiVersionsRequest::default());
            self.put_on_its_way(client, place, NEGOTIATION, NEGOTIATION_VERSION, request);
        }
        if client.dialer.order(now, place, &call) {
            return self.transmit_call(client, place, call);
        }
        true
    }

    /// Sends a call in the version that both sides know; false if there is none.
    fn transmit_call(&mut self, client: &mut Client, place: Place, call: Call) -> bool {
        let api: ApiKey = call.request.api();
        let version = client.dialer.connection(place).and_then(|connection| connection.version_of(api));
        let Some(version) = version else {
            client.dialer.forget(place, call.id);
            let now = self.now;
            if let Some(machine) = client.machine(now) {
                machine.answer(now.as_millis(), call.id, Answer::Failed(format!("{} is not served", api.name())));
            }
            return false;
        };
        self.put_on_its_way(client, place, call.id, version, call.request);
        true
    }

    fn put_on_its_way(&mut self, client: &mut Client, place: Place, attempt: u64, version: i16, request: Request) {
        let link = (CLIENTS, place.broker);
        let header =
            RequestHeader { api: request.api(), version, correlation_id: 0, client_id: None, client_host: None };
        let bytes = || frame_bytes(codec::encode_request(&header, &request).map(|frame| frame.to_bytes().len()));
        let is_end = matches!(request, Request::EndTxn(_)) && self.late_ends_one_in > 0;
        let is_late = is_end && self.rng.chance(1, self.late_ends_one_in);
        let late_ms = if is_late { self.rng.range(LATE_MS_MIN, LATE_MS_MAX) } else { 0 };
        let alone = self.delayed().plus_millis(late_ms) + client.delay;
        let alone = self.arrival_over(link, alone, bytes);
        let id = client.id();
        let connection = client.dialer.connection(place).expect("a connection that was opened");
        let (at, life) = (connection.arrival(alone), connection.life);
        let sent =
            Sent { client: id, connection: connection.id, broker: place.broker, life, attempt, version, request };
        let arrives = Some(at).filter(|_| !self.links.faults(link).is_stopped());
        self.request_sent(client.client_id(), &sent, arrives);
        self.carry(link, at, Happening::Request(Box::new(sent)));
    }

    /// A connection has ended: every call on it has failed.
    fn connection_lost(&mut self, client: &mut Client, place: Place, why: &str) {
        let now = self.now;
        let Some((mut connection, calls)) = client.dialer.close(place) else { return };
        for call in calls {
            if let Some(machine) = client.machine(now) {
                machine.answer(now.as_millis(), call, Answer::Failed(why.to_owned()));
            }
        }
        // The broker hears of it after whatever is still under way.
        let at = connection.arrival(Instant(now.0 + REFUSAL_NS) + client.delay);
        let (life, connection) = (connection.life, connection.id);
        self.carry((CLIENTS, place.broker), at, Happening::Disconnected { broker: place.broker, life, connection });
    }

    fn close_all(&mut self, client: &mut Client) {
        let open: Vec<Place> = client.dialer.connections().map(|(place, _)| place).collect();
        for place in open {
            self.connection_lost(client, place, "the client has ended");
        }
    }

    /// Asks a broker, from outside the world; the answer is [`World::take_answer`]'s once it is there.
    pub fn ask(&mut self, broker: BrokerId, request: Request) -> u64 {
        self.asked += 1;
        let version = version_of(request.api());
        let (at, life) = (Instant(self.now.0 + ADMIN_DELAY_NS), self.nodes.get(&broker).map_or(0, |node| node.life));
        let (connection, attempt) = (ADMIN_CONNECTION, self.asked);
        let sent = Sent { client: ADMIN, connection, broker, life, attempt, version, request };
        self.request_sent(None, &sent, Some(at));
        self.plan(at, Happening::Request(Box::new(sent)));
        attempt
    }

    /// The answer to what was asked; `Some(None)` if the connection was closed instead.
    pub fn take_answer(&mut self, asked: u64) -> Option<Option<Response>> {
        self.answers.remove(&asked)
    }
}

/// How many bytes a frame is on a wire; one that cannot be written is none.
fn frame_bytes<E>(length: Result<usize, E>) -> u64 {
    length.ok().and_then(|length| u64::try_from(length).ok()).unwrap_or_default()
}

//! A simulated client's side of its connections: what `cluster/dial.rs` is over TCP. One connection a broker, another to a
//! coordinator, and those of a second machine; the first thing said on each is
//! ApiVersions; a call that is not answered in time closes its connection; answers come in the order of the questions.
//!
//! Invariant: every call that expects an answer ends exactly once, with an answer or with the end of its connection.
//!
//! Deliberately not here: how long anything is under way (`world/clients`), and what is asked (`workload`).

use crate::client::anybody::Anybody;
use crate::client::{Call, Target, newest_version};
use crate::engine::time::Instant;
use crate::protocol::api::ApiKey;
use crate::protocol::codec::Response;
use crate::protocol::ids::{BrokerId, ConnectionId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The attempt that asks for the versions: machines count their calls from 1.
pub const NEGOTIATION: u64 = 0;

/// Where a call goes: to a broker, or to it as a coordinator, on another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which broker.
    pub broker: BrokerId,
    lane: Lane,
}

/// Which of a client's connections to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Of whatever is not said here.
    Plain,
    /// To it as the coordinator of a group.
    Coordinator,
    /// Of a second machine, which has connections of its own.
    Second,
}

/// A connection to a broker.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Names it at the broker.
    pub id: ConnectionId,
    /// The broker's start that it was opened to: a later one knows nothing of it.
    pub life: u32,
    /// What both sides know, once the broker has said so.
    versions: Option<BTreeMap<i16, (i16, i16)>>,
    /// What waits for the versions.
    orders: Vec<Call>,
    /// Calls in the order in which they were sent, with the answers that have come before their turn.
    waiting: VecDeque<(u64, Option<Box<Response>>)>,
    /// A message does not overtake the one before it.
    last_arrival: Instant,
}

impl Connection {
    /// A connection that has just been asked for.
    pub fn new(id: ConnectionId, life: u32) -> Connection {
        let (orders, waiting) = (Vec::new(), VecDeque::new());
        Connection { id, life, versions: None, orders, waiting, last_arrival: Instant::ZERO }
    }

    /// When a message arrives that would arrive at a moment if it were alone.
    pub fn arrival(&mut self, alone: Instant) -> Instant {
        self.last_arrival = alone.max(Instant(self.last_arrival.0 + 1));
        self.last_arrival
    }

    /// Nothing that is sent from now on arrives before a moment.
    pub fn queue_behind(&mut self, at: Instant) {
        self.last_arrival = self.last_arrival.max(at);
    }

    /// The version that both sides know; `None` if there is none.
    pub fn version_of(&self, api: ApiKey) -> Option<i16> {
        let &(min, max) = self.versions.as_ref()?.get(&api.key())?;
        let version = max.min(newest_version(api));
        (version >= min.max(api.min_version())).then_some(version)
    }
}

/// How a client's connections are.
#[derive(Debug, Clone)]
pub struct Dialer {
    bootstrap: Vec<BrokerId>,
    addresses: BTreeSet<BrokerId>,
    connections: BTreeMap<Place, Connection>,
    deadlines: BTreeMap<u64, (Instant, Place)>,
    anybody: Anybody,
}

impl Dialer {
    /// A client that knows these brokers' addresses.
    pub fn new(bootstrap: Vec<BrokerId>) -> Dialer {
        let (addresses, connections, deadlines) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Dialer { bootstrap, addresses, connections, deadlines, anybody: Anybody::default() }
    }

    /// Brokers' addresses that a machine has heard of.
    pub fn learn(&mut self, addresses: Vec<(BrokerId, String, u16)>) {
        self.addresses.extend(addresses.into_iter().map(|(broker, _, _)| broker));
    }

    /// Where a call goes; `None` if the broker's address is not known.
    pub fn place(&mut self, to: Target, is_second: bool) -> Option<Place> {
        let plain = if is_second { Lane::Second } else { Lane::Plain };
        let (broker, lane) = match to {
            Target::Any => return self.any().map(|broker| Place { broker, lane: plain }),
            Target::Broker(broker) => (broker, plain),
            Target::Coordinator(broker) => (broker, Lane::Coordinator),
        };
        self.addresses.contains(&broker).then_some(Place { broker, lane })
    }

    fn any(&mut self) -> Option<BrokerId> {
        let place = self.anybody.ask(self.bootstrap.len() + self.addresses.len());
        let known = place.checked_sub(self.bootstrap.len()).and_then(|place| self.addresses.iter().nth(place));
        known.or(self.bootstrap.get(place)).copied()
    }

    /// The connection to a broker.
    pub fn connection(&mut self, place: Place) -> Option<&mut Connection> {
        self.connections.get_mut(&place)
    }

    /// All connections, with where they lead.
    pub fn connections(&self) -> impl Iterator<Item = (Place, &Connection)> {
        self.connections.iter().map(|(place, connection)| (*place, connection))
    }

    /// A connection is asked for.
    pub fn open(&mut self, place: Place, connection: Connection) {
        self.connections.insert(place, connection);
    }

    /// Where a connection leads that is still open.
    pub fn place_of(&self, id: ConnectionId) -> Option<Place> {
        self.connections().find(|(_, connection)| connection.id == id).map(|(place, _)| place)
    }

    /// A call is made on a connection; true if it can be sent now, else it waits for the versions.
    pub fn order(&mut self, now: Instant, place: Place, call: &Call) -> bool {
        let connection = self.connections.get_mut(&place).expect("a call goes to an open connection");
        if call.expects_answer {
            connection.waiting.push_back((call.id, None));
            self.deadlines.insert(call.id, (now.plus_millis(call.timeout_ms), place));
        }
        if connection.versions.is_none() {
            connection.orders.push(call.clone());
        }
        connection.versions.is_some()
    }

    /// Whether calls wait for the versions.
    pub fn has_orders(&self) -> bool {
        self.connections.values().any(|connection| !connection.orders.is_empty())
    }

    /// The versions are known: what waited for them can be sent.
    pub fn negotiated(&mut self, place: Place, response: &Response) -> Vec<Call> {
        let Some(connection) = self.connections.get_mut(&place) else { return Vec::new() };
        let Response::ApiVersions(response) = response else { return Vec::new() };
        let range = |api: &kafka_protocol::messages::api_versions_response::ApiVersion| {
            (api.api_key, (api.min_version, api.max_version))
        };
        connection.versions = Some(response.api_keys.iter().map(range).collect());
        std::mem::take(&mut connection.orders)
    }

    /// An answer has come; what can be handed on now, in order.
    pub fn answered(&mut self, place: Place, call: u64, response: Box<Response>) -> Vec<(u64, Box<Response>)> {
        let Some(connection) = self.connections.get_mut(&place) else { return Vec::new() };
        if let Some(slot) = connection.waiting.iter_mut().find(|(waiting, _)| *waiting == call) {
            slot.1 = Some(response);
        }
        let mut ready = Vec::new();
        while connection.waiting.front().is_some_and(|(_, response)| response.is_some()) {
            let (call, response) = connection.waiting.pop_front().expect("just seen");
            self.deadlines.remove(&call);
            ready.extend(response.map(|response| (call, response)));
        }
        ready
    }

    /// A call cannot be sent: it no longer waits.
    pub fn forget(&mut self, place: Place, call: u64) {
        self.deadlines.remove(&call);
        if let Some(connection) = self.connections.get_mut(&place) {
            connection.waiting.retain(|(waiting, _)| *waiting != call);
        }
    }

    /// A connection is over; the calls that have failed with it.
    pub fn close(&mut self, place: Place) -> Option<(Connection, Vec<u64>)> {
        let connection = self.connections.remove(&place)?;
        self.anybody.connection_ended();
        let calls: Vec<u64> = connection.waiting.iter().map(|(call, _)| *call).collect();
        calls.iter().for_each(|call| _ = self.deadlines.remove(call));
        Some((connection, calls))
    }

    /// The broker of a call that was not answered in time.
    pub fn late(&self, now: Instant) -> Option<Place> {
        self.deadlines.values().find(|(deadline, _)| *deadline <= now).map(|(_, place)| *place)
    }

    /// When the next call has waited too long.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.values().map(|(deadline, _)| *deadline).min()
    }
}

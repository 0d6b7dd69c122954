//! What a simulated world writes into the ring of messages, while somebody watches it.
//!
//! Invariants: nothing is drawn, planned or traced here, so that a run is the same whoever looks.
//!
//! What commands do to single messages is done to the plan of what will happen: a message keeps its place on its connection.
//!
//! Deliberately not here: the ring (`cluster::wire`).

use super::clients::Sent;
use super::{Happening, World};
use crate::cluster::command::{MessageCommand, values};
use crate::cluster::sim::workload::ClientId;
use crate::cluster::view::{WireEnd, WireState};
use crate::cluster::wire::{Body, Key, Ring, Way};
use crate::engine::time::Instant;
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::ids::{BrokerId, ConnectionId};
use crate::protocol::peer::{PeerBody, PeerMessage};

/// Names a message between brokers.
pub(super) fn peer_key(from: BrokerId, to: BrokerId, message: &PeerMessage) -> Key {
    let way = if matches!(message.body, PeerBody::Response(_)) { Way::Response } else { Way::Request };
    Key::Peer(from, to, message.correlation_id, way)
}

/// The number of a request on its connection as a correlation id. What the world numbers its requests with depends on all clients.
pub(super) fn correlation_id(attempt: u64) -> i32 {
    i32::try_from(attempt % 1_000_000).expect("six digits")
}

/// Which way a message takes: nothing overtakes another one there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Peers(BrokerId, BrokerId),
    Client(ConnectionId, Way),
}

impl Stream {
    fn of(key: Key) -> Stream {
        match key {
            Key::Peer(from, to, ..) => Stream::Peers(from, to),
            Key::Client(connection, _, way) => Stream::Client(connection, way),
        }
    }
}

/// The message that a happening brings.
fn key_of(what: &Happening) -> Option<Key> {
    match what {
        Happening::Deliver { from, to, message, .. } => Some(peer_key(*from, *to, message)),
        Happening::Request(sent) => Some(sent.key()),
        Happening::Response { connection, attempt, response: Some(_), .. } => {
            Some(Key::Client(*connection, *attempt, Way::Response))
        }
        _ => None,
    }
}

impl World {
    /// Delivers, drops or delays a message that is under way. What became of it, in words.
    ///
    /// # Errors
    /// If it is not under way, with the reason.
    pub fn treat(&mut self, command: &MessageCommand) -> Result<String, String> {
        let (MessageCommand::Deliver { id } | MessageCommand::Drop { id } | MessageCommand::Delay { id, .. }) = command;
        let found = self.wire.as_ref().and_then(|ring| ring.find(*id));
        let (key, state) = found.ok_or_else(|| format!("no message {id} is known: the Wire screen shows them"))?;
        let (api, way) = self.wire.as_ref().and_then(|ring| ring.api_and_way(*id)).expect("it was found");
        match state {
            WireState::Delivered(_) => return Err(format!("{api} {way} has arrived already")),
            WireState::Dropped(_, why) => return Err(format!("{api} {way} never arrives: {why}")),
            WireState::Held => return Err(format!("the link holds {api} {way}: `link release` or `heal` lets it go")),
            WireState::InFlight(_) => {}
        }
        let planned = self.queue.iter().find(|(_, what)| key_of(what) == Some(key)).map(|(planned, _)| *planned);
        let planned = planned.ok_or_else(|| format!("{api} {way} waits for whoever it is for, who stands still"))?;
        let stream = Stream::of(key);
        Ok(match command {
            MessageCommand::Deliver { .. } => {
                self.move_in_stream(stream, |at| at <= planned, self.now);
                format!("{api} {way} arrives now.")
            }
            MessageCommand::Drop { .. } => {
                self.queue.remove(&planned);
                self.on_wire(|ring, now| ring.dropped(key, now, "dropped"));
                format!("{api} {way} is dropped.")
            }
            MessageCommand::Delay { by, .. } => {
                let later = planned.0 + *by;
                self.move_in_stream(stream, |at| at >= planned && at.0 < later, later);
                self.queue_behind(stream, later);
                format!("{api} {way} arrives {} later.", values::duration_text(*by))
            }
        })
    }

    /// Messages of a stream arrive at another moment, in the order that they had.
    fn move_in_stream(&mut self, stream: Stream, is_meant: impl Fn((Instant, u64)) -> bool, to: Instant) {
        let in_stream = |what: &Happening| key_of(what).filter(|key| Stream::of(*key) == stream);
        let meant: Vec<((Instant, u64), Key)> = self
            .queue
            .iter()
            .filter(|(planned, _)| is_meant(**planned))
            .filter_map(|(planned, what)| Some((*planned, in_stream(what)?)))
            .collect();
        for (planned, key) in meant {
            let what = self.queue.remove(&planned).expect("just seen");
            self.plan(to, what);
            self.on_wire(|ring, _| ring.arrives(key, to));
        }
    }

    /// What is sent from now on does not overtake what was delayed.
    fn queue_behind(&mut self, stream: Stream, at: Instant) {
        match stream {
            Stream::Peers(from, to) => self.links.queue_behind((from, to), at),
            Stream::Client(connection, _) => {
                let open = self.clients.values_mut().find_map(|client| {
                    let place = client.dialer.place_of(connection)?;
                    client.dialer.connection(place)
                });
                if let Some(open) = open {
                    open.queue_behind(at);
                }
            }
        }
    }

    /// Lets the ring hear something, if there is one.
    pub(super) fn on_wire<R>(&mut self, hear: impl FnOnce(&mut Ring, Instant) -> R) {
        let now = self.now;
        if let Some(ring) = self.wire.as_mut() {
            hear(ring, now);
        }
    }

    /// A broker sends another a message.
    pub(super) fn peer_sent(&mut self, from: BrokerId, to: BrokerId, message: &PeerMessage) -> Key {
        let key = peer_key(from, to, message);
        let body = || Body::Peer(message.clone());
        self.on_wire(|ring, now| ring.sent(now, key, WireEnd::Broker(from), WireEnd::Broker(to), body()));
        key
    }

    /// A message arrives at a broker, if it is still the one that was meant.
    pub(super) fn peer_arrived(&mut self, key: Key, to: BrokerId, life: u32) {
        let is_there = self.nodes.get(&to).is_some_and(|node| node.life == life && node.broker.is_some());
        self.on_wire(|ring, now| match is_there {
            true => ring.delivered(key, now),
            false => ring.dropped(key, now, "connection reset"),
        });
    }

    fn client_end(&self, client: ClientId, name: Option<&str>) -> WireEnd {
        let name = name.or_else(|| self.clients.get(&client).and_then(|client| client.client_id()));
        WireEnd::Client(match name {
            Some(name) => name.into(),
            None if client.0 == u32::MAX => "admin".into(),
            None => format!("client {}", client.0).into(),
        })
    }

    /// A client sends a request, which arrives at a moment, or waits in a link that is stopped.
    pub(super) fn request_sent(&mut self, name: Option<&str>, sent: &Sent, arrives: Option<Instant>) {
        if self.wire.is_none() {
            return;
        }
        let (client, broker, key, header, request) = sent.on_wire();
        let from = self.client_end(client, name);
        let header = RequestHeader { client_id: name.map(str::to_owned), ..header };
        self.on_wire(|ring, now| {
            ring.sent(now, key, from, WireEnd::Broker(broker), Body::Request(header, request.clone()));
            match arrives {
                Some(at) => ring.arrives(key, at),
                None => ring.held(key),
            }
        });
    }

    /// A broker answers a client.
    pub(super) fn response_sent(
        &mut self,
        (client, connection, attempt): (ClientId, ConnectionId, u64),
        broker: BrokerId,
        header: &RequestHeader,
        response: &Response,
    ) -> Key {
        let key = Key::Client(connection, attempt, Way::Response);
        if self.wire.is_some() {
            let to = self.client_end(client, None);
            let header = RequestHeader { correlation_id: correlation_id(attempt), ..header.clone() };
            let body = Body::Response(header, response.clone());
            self.on_wire(|ring, now| ring.sent(now, key, WireEnd::Broker(broker), to, body));
        }
        key
    }
}

//! What a simulated world writes into the ring of messages, while somebody watches it.
//!
//! Invariants: nothing is drawn, planned or traced here, so that a run is the same whoever looks.
//!
//! Deliberately not here: the ring (`cluster::wire`).

use super::World;
use super::clients::Sent;
use crate::cluster::sim::workload::ClientId;
use crate::cluster::view::WireEnd;
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

impl World {
    /// Lets the ring hear something, if there is one.
    pub(super) fn on_wire(&mut self, hear: impl FnOnce(&mut Ring, Instant)) {
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

//! Clients as pure state machines: producer, consumer, group member and admin calls, without sockets and clocks. Whoever drives a machine gives it answers
//! and the time, and carries out the calls it makes; the same machines run over TCP (`cluster/dial.rs`) and in the simulated world.
//!
//! Deliberately not here: versions. A call is a request's newest form that needs no topic ids; the driver picks the version both sides know.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod admin;
pub mod anybody;
pub mod consumer;
pub mod group;
pub mod member;
pub mod metadata;
pub mod producer;
pub mod transaction;

use crate::protocol::api::ApiKey;
use crate::protocol::codec::{Request, Response};
use crate::protocol::ids::BrokerId;

/// Whom a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Any broker that answers.
    Any,
    /// This one.
    Broker(BrokerId),
    /// This one as the coordinator of a group, on a connection of its own: a JoinGroup is answered only when all members have
    /// joined, and answers on one connection keep their order.
    Coordinator(BrokerId),
}

/// A request that a machine wants sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Names it: chosen by the machine, unique for its life.
    pub id: u64,
    /// Whom to ask.
    pub to: Target,
    /// What to ask.
    pub request: Request,
    /// After this long without an answer it has failed, in milliseconds.
    pub timeout_ms: u64,
    /// Whether there will be an answer at all (Produce with acks=0 has none).
    pub expects_answer: bool,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// With a response.
    Response(Box<Response>),
    /// Without: refused, reset, timed out; in words.
    Failed(String),
}

/// What a machine wants after its turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turn {
    /// Requests to send.
    pub calls: Vec<Call>,
    /// When it wants another turn at the latest, in milliseconds of the driver's clock.
    pub wake_at_ms: Option<u64>,
    /// Brokers whose addresses became known: where [`Target::Broker`] leads.
    pub addresses: Vec<(BrokerId, String, u16)>,
}

impl Turn {
    /// It wants another turn at a moment, or before.
    pub fn wake(&mut self, at_ms: u64) {
        self.wake_at_ms = Some(self.wake_at_ms.map_or(at_ms, |earlier| earlier.min(at_ms)));
    }
}

/// A client that is driven from outside.
pub trait Machine {
    /// Lets it go on: at its start, at the time it asked for, and after anything was handed to it.
    fn turn(&mut self, now_ms: u64) -> Turn;
    /// Hands it the end of a call.
    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer);
}

/// The newest version of an API that our machines' requests can be written in: the last that still knows topics by name.
pub fn newest_version(api: ApiKey) -> i16 {
    match api {
        ApiKey::Produce | ApiKey::Fetch => 12,
        api => api.max_version(),
    }
}

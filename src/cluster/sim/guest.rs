//! Clients of a simulated world that commands start: steady loads and the readers that follow them, steady members of groups, and records
//! written or read once. They are the machines of `client/` with the same options as on a live host (`cluster/workload`).
//!
//! Invariants: what a guest does depends on the world alone; a load waits for its reader, so that every record of it is followed. A guest
//! that is done has closed its connections.
//!
//! Deliberately not here: who is started when and how long anybody waits for it (`execute`), and the clients that a seed draws (`workload`).

mod load;
mod once;
mod reader;

pub use load::Load;
pub use once::{OnceReader, OnceWriter};
pub use reader::{Following, Steady};

use crate::client::Machine;
use crate::cluster::sim::workload::{Around, Client, ClientId, Role};
use crate::cluster::sim::world::World;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::fmt::Arguments;

/// See the module.
#[derive(Debug, Clone)]
pub enum Guest {
    /// Writes at a rate.
    Load(Box<Load>),
    /// Reads everything of some topics, and tells the ledger.
    Following(Box<Following>),
    /// Is a member of a group until it is told to leave.
    Steady(Box<Steady>),
    /// Writes some records.
    Writer(Box<OnceWriter>),
    /// Reads some records.
    Reader(Box<OnceReader>),
}

impl Guest {
    /// What it calls itself.
    pub fn client_id(&self) -> &str {
        match self {
            Guest::Load(load) => &load.client_id,
            Guest::Following(following) => &following.client_id,
            Guest::Steady(steady) => &steady.name,
            Guest::Writer(_) | Guest::Reader(_) => "kafkarium",
        }
    }

    /// The machine that does it; `None` once it is done.
    pub(super) fn machine(&mut self, now: Instant) -> Option<&mut dyn Machine> {
        if self.is_done(now) {
            return None;
        }
        Some(match self {
            Guest::Load(load) => &mut load.machine,
            Guest::Following(following) => &mut following.machine,
            Guest::Steady(steady) => &mut steady.machine,
            Guest::Writer(writer) => &mut writer.machine,
            Guest::Reader(reader) => &mut reader.machine,
        })
    }

    /// Before its machine's turn.
    pub(super) fn prepare(&mut self, around: &Around) {
        match self {
            Guest::Load(load) => load.prepare(around),
            Guest::Writer(writer) => writer.prepare(around),
            Guest::Following(_) | Guest::Steady(_) | Guest::Reader(_) => {}
        }
    }

    /// After its machine's turn; `note` takes lines for the trace.
    pub(super) fn harvest(&mut self, around: &mut Around, note: &mut dyn FnMut(Arguments)) {
        match self {
            Guest::Load(load) => load.harvest(around.ledger, note),
            Guest::Following(following) => following.harvest(around, note),
            Guest::Steady(steady) => steady.harvest(around, note),
            Guest::Writer(writer) => writer.harvest(around.now),
            Guest::Reader(reader) => reader.harvest(around.now),
        }
    }

    /// When it wants a turn by itself.
    pub(super) fn next_at(&self) -> Option<Instant> {
        match self {
            Guest::Load(load) => load.next_at(),
            Guest::Following(_) => None,
            Guest::Steady(steady) => steady.next_at(),
            Guest::Writer(writer) => writer.next_at(),
            Guest::Reader(reader) => reader.next_at(),
        }
    }

    /// Whether it has nothing more to do.
    pub fn is_done(&self, now: Instant) -> bool {
        match self {
            Guest::Load(load) => load.is_done(now),
            Guest::Following(_) => false,
            Guest::Steady(steady) => steady.is_done(),
            Guest::Writer(writer) => writer.outcome.is_some(),
            Guest::Reader(reader) => reader.is_done(),
        }
    }
}

/// A client comes into a world; what it is called there.
pub fn invite(world: &mut World, role: Role) -> ClientId {
    let brokers: Vec<BrokerId> = world.nodes.keys().copied().collect();
    let id = world.next_client();
    world.add_client(Client::new(id, role, brokers));
    id
}

/// The guests of a world.
pub fn guests(world: &World) -> impl Iterator<Item = (ClientId, &Guest)> {
    world.clients.values().filter_map(|client| Some((client.id(), client.guest()?)))
}

//! What simulated clients do: they make topics, write records at a steady pace, read everything. Each is one of the machines of `client/`,
//! the same that a live host drives over TCP, with what is fed into it and taken out of it.
//!
//! Invariants: every record carries its ledger tag and a value of its own; only what is promised is followed (acks=all with an idempotent
//! producer); what is under way is bounded. A client is done once its time is over and everything it began has ended.
//!
//! Deliberately not here: connections (`dial`), the way of a message (`world/clients`), and what a broken promise is (`check`).

mod membership;
mod processing;
mod producing;
mod reading;
mod staging;
mod topics;
mod transferring;

pub use membership::{Belief, Life, Membership, Sharing, Told};
pub use processing::Done;
pub use producing::{Acked, Load, Producing};
pub use reading::{Piece, Reading, Scope};
pub use staging::Staging;
pub use topics::{NewTopic, Topics};
pub use transferring::{Leg, Transferring, Transfers};

use crate::client::Machine;
use crate::cluster::ledger::Ledger;
use crate::cluster::sim::dial::Dialer;
use crate::cluster::sim::guest::Guest;
use crate::cluster::sim::world::Happening;
use crate::engine::time::{Instant, WallTime};
use crate::protocol::ids::BrokerId;
use std::time::Duration;

/// A group whose offsets are committed and deleted without order: nothing is promised of them but that everybody has them alike.
pub const LOOSE_GROUP: &str = "loose";

/// The group of the members that a seed draws: nobody resets it.
pub const READERS_GROUP: &str = "readers";

/// Names a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub u32);

/// What a client does.
#[derive(Debug, Clone)]
pub enum Role {
    /// Makes topics.
    Topics(Box<Topics>),
    /// Writes.
    Producing(Box<Producing>),
    /// Writes in transactions.
    Transferring(Box<Transferring>),
    /// Reads.
    Reading(Box<Reading>),
    /// What a command started it for.
    Guest(Guest),
    /// Reads as a member of a group.
    Membership(Box<Membership>),
    /// Commits offsets at random.
    Staging(Box<Staging>),
}

/// What a client may know of the world around it at its turn.
pub struct Around<'a> {
    /// The virtual time.
    pub now: Instant,
    /// Wall time, for timestamps.
    pub wall: WallTime,
    /// Whether no client writes any more.
    pub is_quiet: bool,
    /// Whether none does but for those that write what they make of what others have written.
    pub is_source_quiet: bool,
    /// Where it tells what was acknowledged and read.
    pub ledger: &'a mut Ledger,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Client {
    id: ClientId,
    /// What it does.
    pub role: Role,
    /// Its connections.
    pub dialer: Dialer,
    /// Its process stands still; what arrives waits.
    pub is_paused: bool,
    /// So much longer than usual is everything under way between it and the brokers.
    pub delay: Duration,
    /// It hears no answers, and asks again and again.
    pub is_deaf: bool,
    /// What arrived while it stood still.
    pub(super) missed: Vec<Happening>,
    pub(super) planned_wake: Option<Instant>,
}

impl Client {
    /// A client that has everything before it and knows some brokers.
    pub fn new(id: ClientId, role: Role, bootstrap: Vec<BrokerId>) -> Client {
        Client {
            id,
            role,
            dialer: Dialer::new(bootstrap),
            is_paused: false,
            delay: Duration::ZERO,
            is_deaf: false,
            missed: Vec::new(),
            planned_wake: None,
        }
    }

    /// Who it is.
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// What it calls itself; those that a seed draws have no names.
    pub fn client_id(&self) -> Option<&str> {
        if let Role::Guest(guest) = &self.role { Some(guest.client_id()) } else { None }
    }

    /// What a command started, if one did.
    pub fn guest(&self) -> Option<&Guest> {
        if let Role::Guest(guest) = &self.role { Some(guest) } else { None }
    }

    /// The same, to be changed.
    pub fn guest_mut(&mut self) -> Option<&mut Guest> {
        if let Role::Guest(guest) = &mut self.role { Some(guest) } else { None }
    }

    /// The producer, if it is one.
    pub fn producing(&self) -> Option<&Producing> {
        match &self.role {
            Role::Producing(producing) => Some(producing),
            _ => None,
        }
    }

    /// The member of a group, if it is one.
    pub fn membership(&self) -> Option<&Membership> {
        match &self.role {
            Role::Membership(membership) => Some(membership),
            _ => None,
        }
    }

    /// The member of a group, if it is one, to change it.
    pub fn membership_mut(&mut self) -> Option<&mut Membership> {
        match &mut self.role {
            Role::Membership(membership) => Some(membership),
            _ => None,
        }
    }

    /// Whether it writes what it makes of what others have written.
    pub fn processes(&self) -> bool {
        self.membership().is_some_and(Membership::processes)
    }

    /// Whether a call is its second machine's, which has connections of its own.
    pub(super) fn is_second(&self, call: u64) -> bool {
        self.processes() && Membership::is_second(call)
    }

    /// For how long it stands still from now on, if it has just decided to.
    pub(super) fn take_stall(&mut self) -> Option<Duration> {
        match &mut self.role {
            Role::Membership(membership) => membership.take_stall(),
            _ => None,
        }
    }

    /// Whether it writes nothing any more, if it ever did.
    pub fn is_quiet(&self, now: Instant) -> bool {
        match &self.role {
            Role::Topics(_) | Role::Reading(_) | Role::Guest(_) => true,
            Role::Producing(_) | Role::Transferring(_) | Role::Staging(_) => self.is_done(now),
            Role::Membership(membership) => {
                !membership.processes() || (membership.is_retired() && membership.is_done(now))
            }
        }
    }

    /// What it was told that no correct cluster tells.
    pub fn violation(&self) -> Option<String> {
        match &self.role {
            Role::Topics(_) | Role::Staging(_) | Role::Guest(_) => None,
            Role::Producing(producing) => producing.violation.clone(),
            Role::Transferring(transferring) => transferring.violation(),
            Role::Reading(reading) => reading.violation.clone(),
            Role::Membership(membership) => membership.violation.clone(),
        }
    }

    /// Its time is over: it only finishes what it has begun.
    pub fn end(&mut self, now: Instant) {
        match &mut self.role {
            Role::Topics(_) | Role::Guest(_) => {}
            Role::Producing(producing) => producing.load.until = producing.load.until.min(now),
            Role::Transferring(transferring) => {
                transferring.transfers.until = transferring.transfers.until.min(now);
            }
            Role::Reading(reading) => reading.until = reading.until.min(now),
            Role::Staging(staging) => staging.until = staging.until.min(now),
            Role::Membership(membership) => membership.life.until = membership.life.until.min(now),
        }
    }

    /// What it has still to do; `None` when it is done.
    pub fn what_is_missing(&self, now: Instant) -> Option<String> {
        match &self.role {
            Role::Topics(topics) => (!topics.is_done).then(|| "topics to make".to_owned()),
            Role::Producing(producing) => {
                (!producing.is_done(now)).then(|| format!("{} unacknowledged records", producing.unfinished()))
            }
            Role::Transferring(transferring) => {
                (!transferring.is_done(now)).then(|| "a transaction under way".to_owned())
            }
            Role::Reading(reading) => (!reading.is_done).then(|| "records to read".to_owned()),
            // Whoever started it ends it.
            Role::Guest(_) => None,
            Role::Membership(membership) => membership.what_is_missing(now),
            Role::Staging(staging) => (!staging.is_done(now)).then(|| "a commit under way".to_owned()),
        }
    }

    /// Whether it has nothing more to do.
    pub fn is_done(&self, now: Instant) -> bool {
        match &self.role {
            Role::Topics(topics) => topics.is_done,
            Role::Producing(producing) => producing.is_done(now),
            Role::Transferring(transferring) => transferring.is_done(now),
            Role::Reading(reading) => reading.is_done,
            Role::Guest(guest) => guest.is_done(now),
            Role::Membership(membership) => membership.is_done(now),
            Role::Staging(staging) => staging.is_done(now),
        }
    }

    /// The machine that does it; `None` while it is not its time.
    pub(super) fn machine(&mut self, now: Instant) -> Option<&mut dyn Machine> {
        match &mut self.role {
            Role::Topics(topics) => Some(&mut topics.machine),
            Role::Producing(producing) => Some(&mut producing.machine),
            Role::Transferring(transferring) => Some(&mut transferring.machine),
            Role::Reading(reading) => {
                (now >= reading.begins_at && !reading.is_done).then_some(&mut reading.machine as &mut dyn Machine)
            }
            Role::Guest(guest) => guest.machine(now),
            Role::Membership(membership) => membership.machine(),
            Role::Staging(staging) => Some(staging.as_mut()),
        }
    }

    /// Before its machine's turn.
    pub(super) fn prepare(&mut self, around: &Around) {
        match &mut self.role {
            Role::Topics(topics) => topics.prepare(around.now),
            Role::Producing(producing) => producing.prepare(around.now, around.wall),
            Role::Transferring(transferring) => transferring.prepare(around.now, around.wall),
            Role::Reading(_) => {}
            Role::Guest(guest) => guest.prepare(around),
            Role::Membership(membership) => membership.prepare(around),
            Role::Staging(staging) => staging.prepare(around.now),
        }
    }

    /// After its machine's turn; `note` takes lines for the trace.
    pub(super) fn harvest(&mut self, around: &mut Around, note: &mut dyn FnMut(std::fmt::Arguments)) {
        match &mut self.role {
            Role::Topics(topics) => topics.harvest(around.now),
            Role::Producing(producing) => producing.harvest(around.ledger, note),
            Role::Transferring(transferring) => transferring.harvest(around.now, note),
            Role::Reading(reading) => reading.harvest(around, note),
            Role::Guest(guest) => guest.harvest(around, note),
            Role::Membership(membership) => membership.harvest(around, note),
            Role::Staging(_) => {}
        }
    }

    /// When it wants a turn by itself.
    pub(super) fn next_at(&self) -> Option<Instant> {
        match &self.role {
            Role::Topics(topics) => topics.next_at(),
            Role::Producing(producing) => producing.next_at(),
            Role::Transferring(transferring) => transferring.next_at(),
            Role::Reading(reading) => reading.next_at(),
            Role::Guest(guest) => guest.next_at(),
            Role::Membership(membership) => membership.next_at(),
            Role::Staging(staging) => staging.next_at(),
        }
    }
}

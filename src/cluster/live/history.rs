//! What has happened: the facts of all brokers and of the host itself, in one order, each with what caused it.
//!
//! Invariants: facts are kept in the order in which they were told, the oldest go when there are more than [`KEPT`],
//! and how many went is known; a fact's number never changes. Progress (appends, high watermarks) is not kept:
//! snapshots tell it.
//!
//! Deliberately not here: what facts look like.

use crate::engine::observe::{Event, EventKind};
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::EventId;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many facts are kept.
pub const KEPT: usize = 20_000;

/// How a broker's life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// In order.
    Stopped,
    /// As `kill -9`.
    Killed,
    /// By the loss of power.
    PowerLost,
    /// On its own.
    Crashed {
        /// The failed assertion, or what the disk said.
        message: String,
    },
}

/// What a fault or intervention acts on, for its glyph and lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FaultSort {
    LinkCut,
    LinkSlow,
    LinkLossy,
    DiskSlow,
    DiskFault,
    Clock,
}

/// What the host itself did or saw.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are named for what they hold")]
pub enum HostFact {
    /// A broker's life begins.
    BrokerStarting { broker: BrokerId },
    /// A broker takes part.
    BrokerRunning { broker: BrokerId },
    /// A broker was told to stop in order.
    BrokerStopping { broker: BrokerId },
    /// A broker's life has ended.
    BrokerEnded { broker: BrokerId, how: Ended },
    /// A broker is frozen.
    Suspended { broker: BrokerId },
    /// A broker goes on.
    Resumed { broker: BrokerId },
    /// A broker's disk was replaced by an empty one.
    Wiped { broker: BrokerId },
    /// A fault begins, in the words of the language.
    FaultBegan { sort: FaultSort, text: String, broker: Option<BrokerId> },
    /// A fault has ended.
    FaultEnded { text: String, broker: Option<BrokerId> },
    /// The machine stood still; the brokers' time did not go on meanwhile.
    MachineStalled { by: Duration },
    /// Time stands still, or goes on.
    Paused { is_paused: bool },
    /// Time has another speed.
    Speed { permille: u32 },
    /// A client was disconnected: what it said makes no sense, or its answer could not be said in the version it asked for.
    ClientRefused { peer: SocketAddr, reason: String },
}

/// What a fact is about.
#[derive(Debug, Clone, PartialEq)]
pub enum FactKind {
    /// A broker told it.
    Broker(EventKind),
    /// The host did or saw it.
    Host(HostFact),
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Its place in the order, from 1.
    pub number: u64,
    /// Its id; the host's own have [`EventId::HOST`] as their broker.
    pub id: EventId,
    /// What caused it, if known.
    pub cause: Option<EventId>,
    /// When, in cluster time.
    pub at: Instant,
    /// What.
    pub kind: FactKind,
}

#[derive(Debug, Default)]
struct Kept {
    facts: VecDeque<Fact>,
    last_number: u64,
    /// Rises with every fact and every change that somebody may wait for.
    changes: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    kept: Mutex<Kept>,
    changed: Condvar,
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A broker tells something. Progress is let go.
    pub fn add_event(&self, event: Event) {
        if event.kind.is_fact() {
            self.add(event.id, event.cause, event.at, FactKind::Broker(event.kind));
        }
    }

    /// The host tells something under an id that the observer gave.
    pub fn add_host(&self, id: EventId, at: Instant, cause: Option<EventId>, fact: HostFact) {
        self.add(id, cause, at, FactKind::Host(fact));
    }

    fn add(&self, id: EventId, cause: Option<EventId>, at: Instant, kind: FactKind) {
        let mut kept = self.lock();
        kept.last_number += 1;
        let number = kept.last_number;
        kept.facts.push_back(Fact { number, id, cause, at, kind });
        if kept.facts.len() > KEPT {
            kept.facts.pop_front();
        }
        kept.changes += 1;
        drop(kept);
        self.changed.notify_all();
    }

    /// Something changed that is no fact of its own but that somebody may wait for.
    pub fn poke(&self) {
        self.lock().changes += 1;
        self.changed.notify_all();
    }

    /// How often anything changed: to be compared.
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Waits until something has changed since `seen`, or for `limit`. Returns the new number.
    pub fn wait(&self, seen: u64, limit: Duration) -> u64 {
        let kept = self.lock();
        let waited = self.changed.wait_timeout_while(kept, limit, |kept| kept.changes == seen);
        waited.unwrap_or_else(PoisonError::into_inner).0.changes
    }

    /// Facts after a number, oldest first, and whether some in between are no longer kept.
    pub fn after(&self, number: u64) -> (Vec<Fact>, bool) {
        let kept = self.lock();
        let first = kept.facts.front().map_or(number + 1, |fact| fact.number);
        let from = usize::try_from((number + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        (kept.facts.iter().skip(from).cloned().collect(), first > number + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_kept_is_said_so() {
        let history = History::default();
        for seq in 1..=3 {
            let id = EventId { broker: EventId::HOST, seq };
            history.add_host(id, Instant::ZERO, None, HostFact::Paused { is_paused: true });
        }
        let (facts, has_gap) = history.after(1);
        assert_eq!((facts.iter().map(|fact| fact.number).collect::<Vec<_>>(), has_gap), (vec![2, 3], false));
        for seq in 4..=3 + KEPT as u64 {
            let id = EventId { broker: EventId::HOST, seq };
            history.add_host(id, Instant::ZERO, None, HostFact::Paused { is_paused: false });
        }
        let (facts, has_gap) = history.after(1);
        assert!(has_gap && facts.len() == KEPT);
        assert_eq!(history.after(facts[KEPT - 1].number), (Vec::new(), false));
    }
}

//! The whole boundary of the engine in one file: what goes into a broker, what comes out, and what it may look at meanwhile.
//!
//! Rules of the boundary:
//! 1. Effects run in the order in which they were pushed. [`Effect::Persist`] is pushed first when a step wrote anything.
//! 2. A write ([`Ctx::write`]) is readable at once through [`LogRead`] (it is in the tail), and safe only when
//!    [`Input::Persisted`] has come back with the sequence number that [`Ctx::persist_seq`] told. Sequence numbers are answered in order:
//!    `Persisted { seq }` covers every smaller one.
//! 3. The high watermark, the position of a replica's Fetch and every reply that promises something use persisted offsets.
//! 4. A crash drops the `Broker` and (power loss) any suffix of writes that was not synced; `Broker::recover` copes.

use crate::engine::mutant::Mutant;
use crate::engine::observe::{Event, EventId, EventKind};
use crate::engine::prng::Prng;
use crate::engine::time::{Instant, WallTime};
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::ids::{BrokerId, ConnectionId, LogId, PartitionId};
use crate::protocol::peer::PeerMessage;
use bytes::Bytes;
use std::ops::ControlFlow;

/// Names a request that waits for its response. Unique for the life of a broker's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestToken(pub u64);

/// Everything that can happen to a broker.
#[derive(Debug, Clone)]
pub enum Input {
    /// The moment that `next_wake` asked for has come (or any other moment: spurious wakes do no harm).
    Wake,
    /// A client's request, decoded. Exactly one `Respond` or `NoResponse` with its token must come out, unless its
    /// connection closes first.
    Request {
        /// Names it.
        token: RequestToken,
        /// Where it came from.
        connection: ConnectionId,
        /// Its header.
        header: RequestHeader,
        /// Its body.
        request: Request,
    },
    /// A client's connection is gone: parked requests of it are forgotten.
    ConnectionClosed(ConnectionId),
    /// A message of another broker.
    Peer {
        /// The sender.
        from: BrokerId,
        /// What it sent.
        message: PeerMessage,
    },
    /// The connection to a peer was reset (its process ended): requests under way to it will not be answered.
    LinkDown {
        /// The peer.
        peer: BrokerId,
    },
    /// Everything written up to the step whose `persist_seq` was `seq` is as safe as the durability mode promises.
    Persisted {
        /// The sequence number of an [`Effect::Persist`].
        seq: u64,
    },
    /// The store's tail was full ([`LogRead::has_room`] said no) and has room again.
    StoreHasRoom,
    /// Stop in an orderly way (controlled shutdown): hand leaderships over, then emit [`Effect::ShutdownComplete`].
    ControlledShutdown,
}

/// Everything a broker can want done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Make everything written in this step safe, then answer with [`Input::Persisted`]. With `sync` it must survive power loss
    /// (votes and the metadata log of a voter), whatever the durability mode.
    Persist {
        /// Its sequence number, rising by one.
        seq: u64,
        /// Whether it has to be on the disk and not only in the operating system's cache.
        sync: bool,
    },
    /// Answer a client.
    Respond {
        /// Which request.
        token: RequestToken,
        /// With what.
        response: Response,
    },
    /// A request that has no response is done (Produce with acks=0).
    NoResponse {
        /// Which request.
        token: RequestToken,
    },
    /// Send a message to another broker; it may be lost.
    Send {
        /// The receiver.
        to: BrokerId,
        /// The message.
        message: PeerMessage,
    },
    /// Close a client's connection.
    CloseConnection(ConnectionId),
    /// Something worth telling has happened.
    Emit(Event),
    /// The controlled shutdown is done: the host may mark the store clean and drop the broker.
    ShutdownComplete,
}

/// One change of a broker's store. Applied in order, all or a prefix.
#[derive(Debug, Clone)]
pub enum StorageOp {
    /// A new, empty log starting at offset 0.
    CreateLog {
        /// Its identity, never used before by this broker.
        log: LogId,
        /// The partition it belongs to.
        partition: PartitionId,
        /// The topic's name, for people who look into the store.
        topic: String,
    },
    /// A log and all of its records are gone.
    DeleteLog {
        /// Which.
        log: LogId,
    },
    /// A batch at the end of a log: its base offset is not below the log end.
    Append {
        /// Which log.
        log: LogId,
        /// The batch, offsets assigned.
        batch: Batch,
    },
    /// Batches that hold an offset at or above `end_offset` are gone; the log then ends at `end_offset`.
    Truncate {
        /// Which log.
        log: LogId,
        /// The new log end offset.
        end_offset: i64,
    },
    /// The log starts at `start_offset`: batches wholly below it may be removed.
    Trim {
        /// Which log.
        log: LogId,
        /// The new log start offset.
        start_offset: i64,
    },
    /// The batches that lie within the bounds give way to these, which lie within them too and in order: what compaction left of them. The
    /// bounds lie between batches, and the log's last batch is not among those that go.
    Rewrite {
        /// Which log.
        log: LogId,
        /// The first offset of the stretch.
        first_offset: i64,
        /// The offset after its last.
        end_offset: i64,
        /// What is there from now on.
        batches: Vec<Batch>,
    },
    /// All records are gone, and the log starts and ends at `offset` (a replica far behind, or a snapshot's end).
    Reset {
        /// Which log.
        log: LogId,
        /// The new start and end offset.
        offset: i64,
    },
    /// A small named value (quorum state, epochs, checkpoints, snapshots).
    PutMeta {
        /// Its name; a `/` separates its parts, `log/<log id>/…` belongs to a log and goes with it.
        key: String,
        /// Its value.
        value: Bytes,
    },
    /// A named value is gone.
    DeleteMeta {
        /// Its name.
        key: String,
    },
}

/// What a store knows of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogInfo {
    /// The log.
    pub log: LogId,
    /// The partition it belongs to.
    pub partition: PartitionId,
    /// The topic's name when the log was made.
    pub topic: String,
    /// The first offset.
    pub start_offset: i64,
    /// The offset after the last record.
    pub end_offset: i64,
}

/// A read that the disk refused. The broker treats it as a failed log directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read log {}: {reason}", log.0)]
pub struct ReadError {
    /// The log.
    pub log: LogId,
    /// What the store said.
    pub reason: String,
}

/// Synchronous reads of a broker's store. They see every write at once, safe or not.
pub trait LogRead {
    /// Every log there is, in order of id.
    fn logs(&self) -> Vec<LogInfo>;
    /// Batches from the one that holds `from` (or the first after it) on, in order. The first is returned whatever its size; further
    /// ones as long as the sum of sizes stays within `max_bytes`. Empty at or beyond the log's end.
    fn read(&self, log: LogId, from: i64, max_bytes: usize) -> Result<Vec<Batch>, ReadError>;
    /// Visits the headers of all batches from the one that holds `from` on, until the visitor breaks.
    fn scan(
        &self,
        log: LogId,
        from: i64,
        visit: &mut dyn FnMut(&BatchHeader) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;
    /// A named value.
    fn meta(&self, key: &str) -> Option<Bytes>;
    /// The names that begin with a prefix, in order.
    fn meta_keys(&self, prefix: &str) -> Vec<String>;
    /// Whether the tail takes more: when not, Produce and replica Fetch wait for [`Input::StoreHasRoom`].
    fn has_room(&self) -> bool;
    /// Whether the store was closed by an orderly stop the last time (KIP-966: otherwise its broker registers as unclean).
    fn was_clean(&self) -> bool;
    /// How many bytes of records are beyond the store's limit (`--memory-limit`): retention removes the oldest at once, whatever the
    /// topics' own settings say. Zero where there is no limit.
    fn excess_bytes(&self) -> u64 {
        0
    }
}

/// A store that can be written to. Only [`Ctx`] writes.
pub trait LogStore: LogRead {
    /// Applies a change to the tail, readable at once; the next [`Effect::Persist`] makes it safe.
    fn write(&mut self, op: StorageOp);
}

/// When a broker wants to be woken, and why: the reason is shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wake {
    /// The moment.
    pub at: Instant,
    /// The reason, such as "election timeout".
    pub why: &'static str,
}

impl Wake {
    /// The earlier of two wishes.
    pub fn earlier(a: Option<Wake>, b: Option<Wake>) -> Option<Wake> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// What a step may look at and push to. Made by the host for each step.
pub struct Ctx<'a> {
    /// Monotonic time.
    pub now: Instant,
    /// Wall time, for record timestamps only.
    pub wall: WallTime,
    /// The event that caused this input, if it is known: events and messages of this step carry it on.
    pub cause: Option<EventId>,
    /// The broker's stream of randomness.
    pub rng: &'a mut Prng,
    /// The broker itself: whose events these are.
    pub broker: BrokerId,
    /// The planted bug, if there is one: set by the broker from its configuration.
    pub(in crate::engine) mutant: Option<Mutant>,
    store: &'a mut dyn LogStore,
    out: &'a mut Vec<Effect>,
    seqs: &'a mut Sequences,
    wrote: bool,
    sync: bool,
}

/// The counters of a broker's life: of its writes and of its events. Kept by the host beside the broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequences {
    /// The sequence number of the last [`Effect::Persist`].
    pub persist: u64,
    /// The sequence number of the last event.
    pub event: u64,
}

impl<'a> Ctx<'a> {
    /// A context for one step.
    pub fn new(
        broker: BrokerId,
        now: Instant,
        wall: WallTime,
        cause: Option<EventId>,
        rng: &'a mut Prng,
        store: &'a mut dyn LogStore,
        seqs: &'a mut Sequences,
        out: &'a mut Vec<Effect>,
    ) -> Ctx<'a> {
        Ctx { now, wall, cause, rng, broker, mutant: None, store, out, seqs, wrote: false, sync: false }
    }

    /// Whether a bug is planted.
    pub(in crate::engine) fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Reads.
    pub fn log(&self) -> &dyn LogRead {
        self.store
    }

    /// Writes; safe when `Persisted` has come with [`Ctx::persist_seq`].
    pub fn write(&mut self, op: StorageOp) {
        self.wrote = true;
        self.store.write(op);
    }

    /// Writes what has to survive power loss before it is answered.
    pub fn write_synced(&mut self, op: StorageOp) {
        self.sync = true;
        self.write(op);
    }

    /// The sequence number under which everything written in this step becomes safe.
    pub fn persist_seq(&self) -> u64 {
        self.seqs.persist + 1
    }

    /// Answers a client.
    pub fn respond(&mut self, token: RequestToken, response: Response) {
        self.out.push(Effect::Respond { token, response });
    }

    /// Pushes any other effect.
    pub fn push(&mut self, effect: Effect) {
        self.out.push(effect);
    }

    /// Sends to another broker.
    pub fn send(&mut self, to: BrokerId, mut message: PeerMessage) {
        message.cause = self.cause;
        self.out.push(Effect::Send { to, message });
    }

    /// Tells that something happened; what follows in this step is caused by it if it is a fact.
    pub fn emit(&mut self, kind: EventKind) {
        self.seqs.event += 1;
        let id = EventId { broker: self.broker, seq: self.seqs.event };
        let fact = kind.is_fact();
        self.out.push(Effect::Emit(Event { id, cause: self.cause, at: self.now, kind }));
        if fact {
            self.cause = Some(id);
        }
    }

    /// Ends the step: the effect that makes its writes safe goes first. Called once, by `Broker::step`.
    pub fn finish(self) {
        if self.wrote {
            self.seqs.persist += 1;
            self.out.insert(0, Effect::Persist { seq: self.seqs.persist, sync: self.sync });
        }
    }
}

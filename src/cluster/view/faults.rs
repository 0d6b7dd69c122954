//! What the Faults screen draws: one link from the inside, and what a command would do, point by point.
//!
//! Invariants: what nobody knows is `None`, or a [`PointKind::Unknown`]; never a made-up zero.
//!
//! Deliberately not here: the list of active faults, which every screen needs ([`super::ActiveFault`]).

use super::{BrokerId, Weight};
use crate::cluster::link::LinkFaults;

/// What is wanted of links and forecasts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultsRequest {
    /// Look into this link: sender and receiver; [`CLIENTS`](crate::cluster::link::CLIENTS) stands for the clients.
    pub link: Option<(BrokerId, BrokerId)>,
    /// Tell what this line of the command language would do now.
    pub line: Option<String>,
}

/// See [`FaultsRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultsView {
    /// The link asked for.
    pub link: Option<LinkView>,
    /// What the line asked for would do.
    pub outlook: Option<Outlook>,
}

/// One direction of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkView {
    /// Sender and receiver.
    pub ends: (BrokerId, BrokerId),
    /// What somebody set.
    pub faults: LinkFaults,
    /// How many messages it holds.
    pub held: usize,
    /// Since when anything is wrong with it.
    pub since_ms: Option<u64>,
    /// Messages that were lost on it since then.
    pub lost: u64,
    /// What passes; `None` where nobody counts.
    pub traffic: Option<Traffic>,
    /// Partitions that the sender leads and the receiver has a copy of: their records pass here.
    pub copies: Copies,
    /// Partitions that the receiver leads and the sender has a copy of: the questions for their records pass here.
    pub asks: Copies,
    /// The sender is the active controller: metadata passes here.
    pub from_controller: bool,
    /// The receiver is the active controller: heartbeats pass here.
    pub to_controller: bool,
    /// When the follower leaves the ISR if nothing changes, of a link over which nothing is copied any more.
    pub leaves_isr_at_ms: Option<u64>,
    /// `replica.lag.time.max.ms`.
    pub lag_time_max_ms: u64,
}

/// What passes over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Messages; `None` where only bytes are counted.
    pub messages: Option<u64>,
    /// Their bytes, as they would be on a wire.
    pub bytes: u64,
    /// In so much time up to now.
    pub over_ms: u64,
}

/// Partitions of which one end of a link copies what the other leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copies {
    /// How many.
    pub partitions: u32,
    /// Of those, how many copies are in sync.
    pub in_sync: u32,
    /// Records the copies miss.
    pub behind: u64,
}

/// What a command would do, the worst last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outlook {
    /// The line asked about.
    pub line: String,
    /// Never empty.
    pub points: Vec<Point>,
}

/// One thing a command would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// What kind of thing.
    pub kind: PointKind,
    /// How many, where it counts something.
    pub count: Option<u64>,
    /// The rest of the sentence: `partitions elect a new leader`.
    pub text: String,
}

/// Kinds of consequence, for their glyph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// Partitions get another leader.
    NewLeader,
    /// Partitions are left without a leader.
    Offline,
    /// Partitions refuse writes.
    BelowMin,
    /// Partitions have one copy fewer.
    FewerCopies,
    /// Records may be lost.
    AtRisk,
    /// Something about the quorum that goes on.
    Quorum,
    /// The quorum decides nothing any more.
    NoQuorum,
    /// Anything else, so heavy.
    Said(Weight),
    /// It is not known.
    Unknown,
}

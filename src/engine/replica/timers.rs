//! The moments that the replicas wait for, in order: one set for all of them, so that the next wake costs the same
//! however many partitions there are. A timer that has lost its reason is let fire and finds nothing to do.

use crate::engine::io::Wake;
use crate::engine::time::Instant;
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::BTreeSet;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Timer {
    /// A parked Produce or DeleteRecords has waited long enough.
    Parked(u64),
    /// A client's parked Fetch has waited long enough.
    ClientFetch(u64),
    /// A follower's parked Fetch has waited long enough.
    PeerFetch(BrokerId),
    /// A partition may be fetched again after an error.
    FetchPartition(BrokerId, PartitionId),
    /// A leader may be asked again after an error.
    Fetcher(BrokerId),
    /// A leader looks whether its followers keep up.
    Lag(PartitionId),
    /// A change of an ISR that the controller refused may be proposed again.
    Isr(PartitionId),
    /// AlterPartition may be sent again after an error.
    AlterPartition,
    /// The high watermarks are written down.
    Checkpoint,
    /// Old records are looked for.
    Retention,
    /// Producers that were not heard of for long are forgotten.
    Producers,
    /// A log is compacted, or looked for.
    Cleaner,
}

impl Timer {
    /// The reason, for people.
    fn why(self) -> &'static str {
        match self {
            Timer::Parked(_) => "a parked request times out",
            Timer::ClientFetch(_) => "a consumer's fetch has waited long enough",
            Timer::PeerFetch(_) => "a follower's fetch has waited long enough",
            Timer::FetchPartition(..) | Timer::Fetcher(_) => "a follower fetches again after an error",
            Timer::Lag(_) => "a leader looks for followers that lag",
            Timer::Isr(_) | Timer::AlterPartition => "a leader asks again for a change of its ISR",
            Timer::Checkpoint => "high watermarks are written down",
            Timer::Retention => "old records are looked for",
            Timer::Cleaner => "a log is compacted",
            Timer::Producers => "forgotten producers are looked for",
        }
    }
}

/// All timers that are set.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Timers {
    set: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Sets one.
    pub fn set(&mut self, at: Instant, timer: Timer) {
        self.set.insert((at, timer));
    }

    /// Takes one back.
    pub fn cancel(&mut self, at: Instant, timer: Timer) {
        self.set.remove(&(at, timer));
    }

    /// The next one that is due.
    pub fn due(&mut self, now: Instant) -> Option<Timer> {
        let &(at, timer) = self.set.first()?;
        if at > now {
            return None;
        }
        self.set.pop_first();
        Some(timer)
    }

    /// When the next one is due.
    pub fn next_wake(&self) -> Option<Wake> {
        self.set.first().map(|(at, timer)| Wake { at: *at, why: timer.why() })
    }
}

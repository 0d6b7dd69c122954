//! Which log is compacted next, and at what pace (Kafka's `LogCleaner` thread, `LogCleanerManager.grabFilthiestCompactedLog`).
//!
//! Invariants: one log at a time, one slice a step, with a rest after each: requests of clients come in between. Leaders
//! and followers clean their own logs, each by itself, so that two replicas may differ in what is gone, but not in what
//! both have. A log that cannot be read is left alone until the next start, as in Kafka.

use super::timers::Timer;
use super::{ReplicaEnv, Replicas};
use crate::engine::io::Ctx;
use crate::engine::log::{Cleaning, Progress};
use crate::protocol::ids::PartitionId;
use std::collections::BTreeSet;

/// The rest after each slice, in milliseconds: what a pass takes of a broker's time stays a small part of it.
const REST_MS: u64 = 3;
/// The rest while the store has no room for more.
const NO_ROOM_REST_MS: u64 = 100;

/// The cleaner of a broker.
#[derive(Debug, Clone, Default)]
pub(super) struct Cleaner {
    under_way: Option<(PartitionId, Cleaning)>,
    /// Logs that could not be read.
    unreadable: BTreeSet<PartitionId>,
}

impl Replicas {
    /// Does a slice of the pass under way, or looks for a log to clean.
    pub(super) fn clean_logs(&mut self, cx: &mut Ctx, env: &ReplicaEnv) {
        let rest_ms = match self.cleaner.under_way.take() {
            Some(_) if !env.config.cleaner_enabled => env.config.cleaner_backoff_ms,
            Some((id, cleaning)) if !cx.log().has_room() => {
                self.cleaner.under_way = Some((id, cleaning));
                NO_ROOM_REST_MS
            }
            Some((id, cleaning)) => match self.clean_slice(cx, id, cleaning) {
                true => REST_MS,
                false => env.config.cleaner_backoff_ms,
            },
            None if env.config.cleaner_enabled && self.begin_cleaning(cx) => REST_MS,
            None => env.config.cleaner_backoff_ms,
        };
        self.timers.set(cx.now.plus_millis(rest_ms), Timer::Cleaner);
    }

    /// Tells whether it is worth going on at once, with this log or the next.
    fn clean_slice(&mut self, cx: &mut Ctx, id: PartitionId, mut cleaning: Cleaning) -> bool {
        let Some(replica) = self.partitions.get_mut(&id).filter(|replica| replica.config.cleanup_compact) else {
            return true;
        };
        let config = std::sync::Arc::clone(&replica.config);
        match replica.log.clean(cx, &mut cleaning, &config) {
            Ok(Progress::Goes) => self.cleaner.under_way = Some((id, cleaning)),
            Ok(Progress::Done(_)) => {}
            Ok(Progress::GivenUp) => return false,
            Err(error) => {
                Replicas::storage_failed(cx, &error);
                self.cleaner.unreadable.insert(id);
            }
        }
        true
    }

    /// Begins with the log that needs it most. False if none does.
    fn begin_cleaning(&mut self, cx: &Ctx) -> bool {
        let candidates = self.partitions.iter().filter(|(id, replica)| {
            replica.config.cleanup_compact && replica.leader_epoch >= 0 && !self.cleaner.unreadable.contains(id)
        });
        let dirty = candidates.filter_map(|(id, replica)| {
            Some((replica.log.dirt(cx.wall, replica.high_watermark, &replica.config)?, *id))
        });
        let Some((_, id)) = dirty.max() else { return false };
        let replica = &self.partitions[&id];
        let cleaning = replica.log.begin_cleaning(cx, replica.high_watermark, &replica.config);
        self.cleaner.under_way = Some((id, cleaning));
        true
    }
}

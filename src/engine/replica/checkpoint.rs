//! The high watermarks are written down lazily, all of them under one name (Kafka's `replication-offset-checkpoint`),
//! so that a broker that comes back need not begin at its log starts.
//!
//! Invariant: a high watermark that was lowered is written in the same step, so that no crash brings the higher one
//! back.

use super::Replicas;
use super::timers::{Timer, Timers};
use crate::engine::io::{Ctx, LogRead, StorageOp};
use crate::engine::time::Instant;
use crate::protocol::ids::LogId;
use bytes::{Buf, BufMut, BytesMut};
use std::collections::BTreeMap;

/// The name of the value in the store.
const KEY: &str = "replica/high-watermarks";
/// At most so often, in milliseconds, unless one was lowered.
const INTERVAL_MS: u64 = 1_000;

/// Whether something is to be written down, and when.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Checkpoint {
    due: Option<Instant>,
    is_urgent: bool,
}

impl Checkpoint {
    /// A high watermark has moved.
    pub fn changed(&mut self, now: Instant, timers: &mut Timers) {
        if self.due.is_none() {
            let at = now.plus_millis(INTERVAL_MS);
            self.due = Some(at);
            timers.set(at, Timer::Checkpoint);
        }
    }

    /// A high watermark was lowered.
    pub fn lowered(&mut self) {
        self.is_urgent = true;
    }
}

/// The high watermarks that were written down, by log.
pub(super) fn recover(read: &dyn LogRead) -> BTreeMap<LogId, i64> {
    let mut high_watermarks = BTreeMap::new();
    let Some(mut value) = read.meta(KEY) else { return high_watermarks };
    while value.remaining() >= 16 {
        let log = LogId(value.get_u64());
        high_watermarks.insert(log, value.get_i64());
    }
    high_watermarks
}

impl Replicas {
    /// Writes all high watermarks down.
    pub(super) fn write_checkpoint(&mut self, cx: &mut Ctx) {
        if let Some(at) = self.checkpoint.due.take() {
            self.timers.cancel(at, Timer::Checkpoint);
        }
        self.checkpoint.is_urgent = false;
        let mut value = BytesMut::with_capacity(self.partitions.len() * 16);
        for replica in self.partitions.values() {
            value.put_u64(replica.log.id().0);
            value.put_i64(replica.high_watermark);
        }
        cx.write(StorageOp::PutMeta { key: KEY.to_owned(), value: value.freeze() });
    }

    /// At a step's end: what must not wait is written.
    pub(super) fn settle_checkpoint(&mut self, cx: &mut Ctx) {
        if self.checkpoint.is_urgent {
            self.write_checkpoint(cx);
        }
    }
}

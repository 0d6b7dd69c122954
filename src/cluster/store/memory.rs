//! The store without files, for mode `memory` and for the simulator: everything is in the tail and stays there.
//!
//! It belongs to the host and not to the broker, so that it survives a broker's `kill`. For `powerloss` it can go back
//! to the moment of its last sync: it keeps the inverse of every write since then, which costs nothing to speak of and
//! needs no second copy.
//!
//! Invariants: [`MemoryStore::lose_power`] restores exactly the state of the last [`MemoryStore::mark_synced`]; a store
//! that is never synced grows by one inverse a write.
//!
//! Deliberately not here: time (who calls `mark_synced` each second), and removal of old records at the limit, which is
//! retention's.

use crate::cluster::store::tail::{HotBatch, OpNumber, Tail, TailLog, meta_prefix, take_within, visit_headers};
use crate::engine::io::{LogInfo, LogRead, LogStore, ReadError, StorageOp};
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::ids::LogId;
use bytes::Bytes;
use std::ops::{ControlFlow, Range};

/// A store in memory. A clone shares the batches and nothing else.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    tail: Tail,
    written: OpNumber,
    synced: OpNumber,
    undo: Vec<Undo>,
    limit_bytes: Option<u64>,
    was_clean: bool,
}

/// The inverse of a write.
#[derive(Debug, Clone)]
enum Undo {
    /// The log ended here before.
    End(LogId, i64),
    /// The log was this, or did not exist.
    Log(LogId, Option<Box<TailLog>>),
    /// These batches were where others are now.
    Rewrite(LogId, Range<i64>, Vec<HotBatch>),
    /// The value was this, or did not exist.
    Meta(String, Option<Bytes>),
}

impl MemoryStore {
    /// An empty store. Beyond `limit_bytes` of batches it has no room, and [`LogRead::excess_bytes`] says how much has
    /// to go.
    pub fn new(limit_bytes: Option<u64>) -> MemoryStore {
        MemoryStore { limit_bytes, ..MemoryStore::default() }
    }

    /// From now on everything written survives a loss of power.
    pub fn mark_synced(&mut self) {
        self.undo.clear();
        self.synced = self.written;
    }

    /// Whether something was written since the last sync.
    pub fn is_synced(&self) -> bool {
        self.undo.is_empty()
    }

    /// Goes back to the last sync.
    pub fn lose_power(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                // Cut by the tail's own rule; the log began no later than it ended then.
                Undo::End(log, end_offset) => self.tail.apply(&StorageOp::Truncate { log, end_offset }, 0),
                Undo::Rewrite(log, stretch, batches) => self.tail.put_back(log, stretch, batches),
                Undo::Log(log, Some(state)) => self.tail.put_log(log, *state),
                Undo::Log(log, None) => drop(self.tail.take_log(log)),
                Undo::Meta(key, value) => self.tail.set_meta(key, value),
            }
        }
        self.written = self.synced;
        self.was_clean = false;
    }

    /// Says how the store was closed the last time: what [`LogRead::was_clean`] answers.
    pub fn set_clean(&mut self, was_clean: bool) {
        self.was_clean = was_clean;
    }

    /// How many bytes of batches it may hold.
    pub fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }

    /// Bytes of all batches.
    pub fn bytes(&self) -> u64 {
        self.tail.hot_bytes()
    }

    /// The end of what survives a loss of power.
    pub fn synced_up_to(&self, log: LogId) -> Option<i64> {
        Some(self.tail.log(log)?.end_at(self.synced))
    }

    /// What is known of every log as it would be after a loss of power.
    pub fn synced_infos(&self) -> Vec<LogInfo> {
        self.tail.infos_at(self.synced)
    }

    fn inverse(&self, op: &StorageOp) -> Undo {
        let whole = |log: &LogId| Undo::Log(*log, self.tail.log(*log).cloned().map(Box::new));
        match op {
            StorageOp::Append { log, .. } => match self.tail.log(*log) {
                Some(found) => Undo::End(*log, found.extent.end),
                None => Undo::Log(*log, None),
            },
            StorageOp::Rewrite { log, first_offset, end_offset, .. } => {
                let stretch = *first_offset..*end_offset;
                let batches = self.tail.log(*log).map(|found| found.hot_in(&stretch).cloned().collect());
                Undo::Rewrite(*log, stretch, batches.unwrap_or_default())
            }
            StorageOp::CreateLog { log, .. }
            | StorageOp::DeleteLog { log }
            | StorageOp::Truncate { log, .. }
            | StorageOp::Trim { log, .. }
            | StorageOp::Reset { log, .. } => whole(log),
            StorageOp::PutMeta { key, .. } | StorageOp::DeleteMeta { key } => {
                Undo::Meta(key.clone(), self.tail.meta(key))
            }
        }
    }
}

impl LogRead for MemoryStore {
    fn logs(&self) -> Vec<LogInfo> {
        self.tail.infos()
    }

    fn read(&self, log: LogId, from: i64, max_bytes: usize) -> Result<Vec<Batch>, ReadError> {
        let found = self.tail.log(log).ok_or_else(|| no_such(log))?;
        let mut batches = Vec::new();
        take_within(found.hot_from(from.max(found.extent.start)), max_bytes, &mut batches);
        Ok(batches)
    }

    fn scan(
        &self,
        log: LogId,
        from: i64,
        visit: &mut dyn FnMut(&BatchHeader) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let found = self.tail.log(log).ok_or_else(|| no_such(log))?;
        let _ = visit_headers(found.hot_from(from.max(found.extent.start)), visit);
        Ok(())
    }

    fn meta(&self, key: &str) -> Option<Bytes> {
        self.tail.meta(key)
    }

    fn meta_keys(&self, prefix: &str) -> Vec<String> {
        self.tail.meta_keys(prefix)
    }

    fn has_room(&self) -> bool {
        // An eighth beyond the limit, so that retention can work without stopping the producers.
        self.limit_bytes.is_none_or(|limit| self.excess_bytes() <= limit / 8)
    }

    fn was_clean(&self) -> bool {
        self.was_clean
    }

    fn excess_bytes(&self) -> u64 {
        self.limit_bytes.map_or(0, |limit| self.bytes().saturating_sub(limit))
    }
}

impl LogStore for MemoryStore {
    fn write(&mut self, op: StorageOp) {
        if let StorageOp::DeleteLog { log } = &op {
            // Its named values go with it.
            for key in self.tail.meta_keys(&meta_prefix(*log)) {
                let value = self.tail.meta(&key);
                self.undo.push(Undo::Meta(key, value));
            }
        }
        self.undo.push(self.inverse(&op));
        self.written += 1;
        self.tail.apply(&op, self.written);
    }
}

/// What a read of a log answers that does not exist.
pub(super) fn no_such(log: LogId) -> ReadError {
    ReadError { log, reason: "there is no such log".to_owned() }
}

//! What tests of the engine stand on: a store in memory that keeps the contract of [`LogStore`] to the letter, and a
//! harness that makes a [`Ctx`] for each step.
//!
//! Invariants: the store refuses (by panic) every write that breaks the contract, so that a wrong caller shows at once.
//! It keeps every operation it was given: [`MemoryStore::replayed`] builds the store that a power loss leaves behind
//! after any prefix of them.
//!
//! Not here: files, faults, limits of memory. The hosts' stores have those.

use crate::engine::io::{Ctx, Effect, LogInfo, LogRead, LogStore, ReadError, Sequences, StorageOp};
use crate::engine::prng::Prng;
use crate::engine::time::{Instant, WallTime};
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::ids::{BrokerId, LogId};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// A store in memory. A clone is an independent store with the same content: the synced twin of a test of power loss.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    logs: BTreeMap<LogId, MemoryLog>,
    meta: BTreeMap<String, Bytes>,
    ops: Vec<StorageOp>,
    /// What [`LogRead::has_room`] says is the opposite of this.
    pub full: bool,
    /// What [`LogRead::was_clean`] says is the opposite of this.
    pub unclean: bool,
    /// A log whose reads fail, with the reason.
    pub broken: Option<(LogId, String)>,
}

#[derive(Debug, Clone)]
struct MemoryLog {
    info: LogInfo,
    batches: Vec<Batch>,
}

impl MemoryLog {
    /// The place of the batch that holds an offset, or of the first after it.
    fn position(&self, offset: i64) -> usize {
        self.batches.partition_point(|batch| batch.header.next_offset() <= offset)
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// The store that is there after some operations.
    pub fn replayed(ops: &[StorageOp]) -> MemoryStore {
        let mut store = MemoryStore::new();
        for op in ops {
            store.write(op.clone());
        }
        store
    }

    /// Every operation so far, in order.
    pub fn ops(&self) -> &[StorageOp] {
        &self.ops
    }

    /// All batches of a log.
    ///
    /// # Panics
    /// If there is no such log.
    pub fn batches(&self, log: LogId) -> &[Batch] {
        &self.logs.get(&log).expect("the log exists").batches
    }

    fn readable(&self, log: LogId) -> Result<&MemoryLog, ReadError> {
        if let Some((broken, reason)) = &self.broken
            && *broken == log
        {
            return Err(ReadError { log, reason: reason.clone() });
        }
        self.logs.get(&log).ok_or_else(|| ReadError { log, reason: "no such log".to_owned() })
    }

    fn log_mut(&mut self, log: LogId) -> &mut MemoryLog {
        self.logs.get_mut(&log).unwrap_or_else(|| panic!("a write to log {log:?}, which does not exist"))
    }

    fn append(&mut self, log: LogId, batch: Batch) {
        let log = self.log_mut(log);
        let base_offset = batch.header.base_offset;
        assert!(base_offset >= log.info.end_offset, "{base_offset} lies before the log end {}", log.info.end_offset);
        log.info.end_offset = batch.header.next_offset();
        log.batches.push(batch);
    }

    fn truncate(&mut self, log: LogId, end_offset: i64) {
        let log = self.log_mut(log);
        assert!(
            (log.info.start_offset..=log.info.end_offset).contains(&end_offset),
            "truncation to {end_offset} outside of {:?}",
            log.info
        );
        let keep = log.position(end_offset - 1);
        let whole = log.batches.get(keep).is_some_and(|batch| batch.header.next_offset() <= end_offset);
        log.batches.truncate(keep + usize::from(whole));
        log.info.end_offset = end_offset;
    }

    fn trim(&mut self, log: LogId, start_offset: i64) {
        let log = self.log_mut(log);
        assert!(
            (log.info.start_offset..=log.info.end_offset).contains(&start_offset),
            "trimming to {start_offset} outside of {:?}",
            log.info
        );
        let gone = log.position(start_offset);
        log.batches.drain(..gone);
        log.info.start_offset = start_offset;
    }
}

impl LogRead for MemoryStore {
    fn logs(&self) -> Vec<LogInfo> {
        self.logs.values().map(|log| log.info.clone()).collect()
    }

    fn read(&self, log: LogId, from: i64, max_bytes: usize) -> Result<Vec<Batch>, ReadError> {
        let log = self.readable(log)?;
        let mut size = 0;
        let mut found = Vec::new();
        for batch in &log.batches[log.position(from)..] {
            size += batch.size();
            if size > max_bytes && !found.is_empty() {
                break;
            }
            found.push(batch.clone());
        }
        Ok(found)
    }

    fn scan(
        &self,
        log: LogId,
        from: i64,
        visit: &mut dyn FnMut(&BatchHeader) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let log = self.readable(log)?;
        for batch in &log.batches[log.position(from)..] {
            if visit(&batch.header).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn meta(&self, key: &str) -> Option<Bytes> {
        self.meta.get(key).cloned()
    }

    fn meta_keys(&self, prefix: &str) -> Vec<String> {
        let from = prefix.to_owned();
        self.meta.range(from..).map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    fn has_room(&self) -> bool {
        !self.full
    }

    fn was_clean(&self) -> bool {
        !self.unclean
    }
}

impl LogStore for MemoryStore {
    fn write(&mut self, op: StorageOp) {
        self.ops.push(op.clone());
        match op {
            StorageOp::CreateLog { log, partition, topic } => {
                let info = LogInfo { log, partition, topic, start_offset: 0, end_offset: 0 };
                let old = self.logs.insert(log, MemoryLog { info, batches: Vec::new() });
                assert!(old.is_none(), "log {log:?} exists already");
            }
            StorageOp::DeleteLog { log } => {
                assert!(self.logs.remove(&log).is_some(), "log {log:?} does not exist");
                let prefix = format!("log/{}/", log.0);
                self.meta.retain(|key, _| !key.starts_with(&prefix));
            }
            StorageOp::Append { log, batch } => self.append(log, batch),
            StorageOp::Truncate { log, end_offset } => self.truncate(log, end_offset),
            StorageOp::Trim { log, start_offset } => self.trim(log, start_offset),
            StorageOp::Rewrite { log, first_offset, end_offset, batches } => {
                let log = self.log_mut(log);
                let place = |offset| log.batches.partition_point(|batch| batch.header.base_offset < offset);
                let stretch = place(first_offset)..place(end_offset);
                assert!(stretch.end < log.batches.len(), "the last batch stays");
                log.batches.splice(stretch, batches);
            }
            StorageOp::Reset { log, offset } => {
                let log = self.log_mut(log);
                log.batches.clear();
                (log.info.start_offset, log.info.end_offset) = (offset, offset);
            }
            StorageOp::PutMeta { key, value } => {
                self.meta.insert(key, value);
            }
            StorageOp::DeleteMeta { key } => {
                self.meta.remove(&key);
            }
        }
    }
}

/// One broker's surroundings: time, randomness, store, and what came out.
#[derive(Debug, Clone)]
pub struct Harness {
    /// Whose steps these are.
    pub broker: BrokerId,
    /// Monotonic time.
    pub now: Instant,
    /// Wall time.
    pub wall: WallTime,
    /// Randomness.
    pub rng: Prng,
    /// The store.
    pub store: MemoryStore,
    /// The counters.
    pub sequences: Sequences,
    /// What came out since [`Harness::take_effects`].
    pub effects: Vec<Effect>,
}

impl Harness {
    /// A broker with an empty store, at the start of time and on the first of January 2024.
    pub fn new(broker: i32) -> Harness {
        Harness {
            broker: BrokerId(broker),
            now: Instant::ZERO,
            wall: WallTime(1_704_067_200_000),
            rng: Prng::new(u64::from(broker.unsigned_abs())),
            store: MemoryStore::new(),
            sequences: Sequences::default(),
            effects: Vec::new(),
        }
    }

    /// Runs one step and ends it.
    pub fn step<T>(&mut self, run: impl FnOnce(&mut Ctx<'_>) -> T) -> T {
        let mut out = Vec::new();
        let mut cx = Ctx::new(
            self.broker,
            self.now,
            self.wall,
            None,
            &mut self.rng,
            &mut self.store,
            &mut self.sequences,
            &mut out,
        );
        let result = run(&mut cx);
        cx.finish();
        self.effects.append(&mut out);
        result
    }

    /// Lets both clocks go on.
    pub fn advance(&mut self, milliseconds: u64) {
        self.now = self.now.plus_millis(milliseconds);
        self.wall = WallTime(self.wall.0 + i64::try_from(milliseconds).expect("a short time"));
    }

    /// What came out since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::PartitionId;
    use crate::protocol::records::BatchBuilder;

    const LOG: LogId = LogId(4);

    fn batch(base_offset: i64, records: usize) -> Batch {
        let builder = (0..records).fold(BatchBuilder::new().base_offset(base_offset), |b, _| b.value(1, b"v"));
        builder.build().expect("a batch")
    }

    fn store() -> MemoryStore {
        let mut store = MemoryStore::new();
        store.write(StorageOp::CreateLog { log: LOG, partition: PartitionId::METADATA, topic: "t".to_owned() });
        for (base_offset, records) in [(0, 3), (3, 1), (4, 2), (9, 2)] {
            store.write(StorageOp::Append { log: LOG, batch: batch(base_offset, records) });
        }
        store
    }

    fn bases(store: &MemoryStore, from: i64, max_bytes: usize) -> Vec<i64> {
        store.read(LOG, from, max_bytes).expect("readable").iter().map(|batch| batch.header.base_offset).collect()
    }

    #[test]
    fn reads_begin_with_the_batch_that_holds_the_offset_and_the_first_is_never_too_large() {
        let store = store();
        assert_eq!(bases(&store, 1, usize::MAX), [0, 3, 4, 9]);
        assert_eq!(bases(&store, 6, usize::MAX), [9]);
        assert_eq!(bases(&store, 0, 1), [0]);
        assert_eq!(bases(&store, 11, 1), [0_i64; 0]);
    }

    #[test]
    fn truncation_removes_a_batch_that_it_cuts_and_trimming_keeps_it() {
        let mut cut = store();
        cut.write(StorageOp::Truncate { log: LOG, end_offset: 5 });
        assert_eq!(bases(&cut, 0, usize::MAX), [0, 3]);
        assert_eq!(cut.logs()[0].end_offset, 5);
        cut.write(StorageOp::Append { log: LOG, batch: batch(5, 1) });
        cut.write(StorageOp::Truncate { log: LOG, end_offset: 0 });
        assert_eq!((bases(&cut, 0, usize::MAX).len(), cut.logs()[0].end_offset), (0, 0));
        let mut trimmed = store();
        trimmed.write(StorageOp::Trim { log: LOG, start_offset: 5 });
        assert_eq!(bases(&trimmed, 5, usize::MAX), [4, 9]);
        let replayed = MemoryStore::replayed(&trimmed.ops()[..5]);
        assert_eq!(replayed.logs(), store().logs());
    }

    #[test]
    fn named_values_go_with_their_log_and_a_step_that_writes_persists_first() {
        let mut harness = Harness::new(1);
        harness.store = store();
        let seq = harness.step(|cx| {
            cx.push(Effect::ShutdownComplete);
            for key in ["log/4/a", "log/4/b", "log/40/a"] {
                cx.write(StorageOp::PutMeta { key: key.to_owned(), value: Bytes::new() });
            }
            cx.persist_seq()
        });
        assert_eq!(harness.store.meta_keys("log/4/"), ["log/4/a", "log/4/b"]);
        assert!(matches!(harness.take_effects()[0], Effect::Persist { seq: told, sync: false } if told == seq));
        harness.step(|cx| cx.write(StorageOp::DeleteLog { log: LOG }));
        assert_eq!(harness.store.meta_keys("log/"), ["log/40/a"]);
    }
}

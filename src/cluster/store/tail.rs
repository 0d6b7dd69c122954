//! The part of a broker's store that lives in memory: what every log is (its name, start and end), all small named
//! values, and the hot suffix of each log's batches as shared bytes.
//!
//! Invariants: a write is readable here at once; the hot batches of a log follow one another without another batch
//! between them and reach to the log's end; everything a log has before [`TailLog::cold_end`] is in the database below
//! (or nowhere, in memory mode), but for stretches that were rewritten there and not flushed yet, which lie over it
//! (`rewritten.rs`); a batch leaves the memory only once its flush is known to be done, and that of every rewriting up to
//! it, so a reader always finds it here or there, and never as it was before.
//!
//! Deliberately not here: files, threads, and any knowledge of what is safe.

use crate::cluster::store::rewritten::Overlay;
use crate::engine::io::{LogInfo, StorageOp};
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::ids::{LogId, PartitionId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Bound, ControlFlow, Range};
use std::sync::Arc;

/// The number of a write in a broker's store, from 1: what journal, flush and memory agree on.
pub type OpNumber = u64;

/// The offsets a log reaches from and to, and the rules by which operations move them. Memory and database use the same
/// rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first offset.
    pub start: i64,
    /// The offset after the last record.
    pub end: i64,
}

/// What a truncation asks for, seen from the extent of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The log already ends there or before.
    Nothing,
    /// Batches at and above the offset go.
    To(i64),
    /// Every batch goes: the log begins anew at the offset.
    All(i64),
}

impl Extent {
    /// Takes a batch in at the end.
    ///
    /// # Panics
    /// If the batch begins below the log's end: the engine has assigned wrong offsets.
    pub fn append(&mut self, header: &BatchHeader) {
        assert!(header.base_offset >= self.end, "batch at {} below the log end {}", header.base_offset, self.end);
        self.end = header.next_offset();
    }

    /// Moves the end back.
    pub fn truncate(&mut self, end_offset: i64) -> Cut {
        if end_offset >= self.end {
            return Cut::Nothing;
        }
        self.end = end_offset;
        if end_offset <= self.start {
            self.start = end_offset;
            return Cut::All(end_offset);
        }
        Cut::To(end_offset)
    }

    /// Moves the start forward; says whether it moved.
    pub fn trim(&mut self, start_offset: i64) -> bool {
        let start = start_offset.min(self.end);
        let moves = start > self.start;
        self.start = self.start.max(start);
        moves
    }

    /// Begins anew.
    pub fn reset(&mut self, offset: i64) {
        *self = Extent { start: offset, end: offset };
    }
}

/// A batch in memory and the number of the write that brought it.
#[derive(Debug, Clone)]
pub struct HotBatch {
    /// The batch.
    pub batch: Batch,
    /// Its write.
    pub op: OpNumber,
    /// The last rewriting that changed it or took away what was before it; 0 if there was none.
    pub rewritten: OpNumber,
}

/// One log in memory.
#[derive(Debug, Clone)]
pub struct TailLog {
    /// The partition it belongs to.
    pub partition: PartitionId,
    /// The topic's name when it was made.
    pub topic: Arc<str>,
    /// Its first and last offsets.
    pub extent: Extent,
    /// The database holds the batches that end at or below this offset; whatever it has beyond is out of date.
    pub cold_end: i64,
    /// The batches in memory, in order.
    pub hot: VecDeque<HotBatch>,
    /// What compaction has made of the database's batches since the last flush.
    pub overlay: Overlay,
}

impl TailLog {
    /// A log of which nothing is in memory.
    pub fn cold(partition: PartitionId, topic: &str, extent: Extent) -> TailLog {
        TailLog {
            partition,
            topic: Arc::from(topic),
            extent,
            cold_end: extent.end,
            hot: VecDeque::new(),
            overlay: Overlay::default(),
        }
    }

    /// The index of the first hot batch that holds `from` or lies after it.
    fn first_hot(&self, from: i64) -> usize {
        self.hot.partition_point(|hot| hot.batch.header.last_offset() < from)
    }

    /// The hot batches from the one that holds `from` (or the first after it) on.
    pub fn hot_from(&self, from: i64) -> impl Iterator<Item = &Batch> {
        self.hot.range(self.first_hot(from)..).map(|hot| &hot.batch)
    }

    /// The hot batches that begin within a stretch of offsets.
    pub fn hot_in(&self, stretch: &Range<i64>) -> impl Iterator<Item = &HotBatch> {
        self.hot.range(self.hot_places(stretch))
    }

    fn hot_places(&self, stretch: &Range<i64>) -> Range<usize> {
        let place = |offset| self.hot.partition_point(|hot| hot.batch.header.base_offset < offset);
        place(stretch.start)..place(stretch.end)
    }

    /// Puts batches in the place of those within a stretch.
    fn replace_hot(&mut self, stretch: &Range<i64>, batches: Vec<HotBatch>) {
        let places = self.hot_places(stretch);
        let after = self.hot.split_off(places.end);
        self.hot.truncate(places.start);
        self.hot.extend(batches);
        self.hot.extend(after);
    }

    /// Whether the database may hold a batch at or after `from`.
    pub fn is_cold_at(&self, from: i64) -> bool {
        from < self.cold_end && self.extent.start < self.cold_end
    }

    /// The end offset of what was written up to and with write number `op`.
    pub fn end_at(&self, op: OpNumber) -> i64 {
        match self.hot.partition_point(|hot| hot.op <= op) {
            0 if self.hot.is_empty() => self.extent.end,
            0 => self.cold_end.clamp(self.extent.start, self.extent.end),
            n if n == self.hot.len() => self.extent.end,
            n => self.hot[n - 1].batch.header.next_offset(),
        }
    }

    fn bytes(&self) -> u64 {
        self.hot.iter().map(|hot| size_of(&hot.batch)).sum::<u64>() + self.overlay.bytes()
    }
}

/// A batch's size as counted everywhere in the store.
pub fn size_of(batch: &Batch) -> u64 {
    u64::try_from(batch.size()).expect("a size fits 64 bits")
}

/// All logs and named values of a broker.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    logs: BTreeMap<LogId, TailLog>,
    meta: BTreeMap<String, Bytes>,
    /// Hot batches in the order of their writes, for eviction; entries of batches that went otherwise are skipped.
    /// `None`: never evicts.
    order: Option<VecDeque<(OpNumber, LogId)>>,
    /// Logs that have something in their overlay.
    overlaid: BTreeSet<LogId>,
    hot_bytes: u64,
}

impl Tail {
    /// A tail over a database.
    pub fn over_database(logs: BTreeMap<LogId, TailLog>, meta: BTreeMap<String, Bytes>) -> Tail {
        Tail { logs, meta, order: Some(VecDeque::new()), overlaid: BTreeSet::new(), hot_bytes: 0 }
    }

    /// Bytes of batches in memory.
    pub fn hot_bytes(&self) -> u64 {
        self.hot_bytes
    }

    /// A log, if it exists.
    pub fn log(&self, log: LogId) -> Option<&TailLog> {
        self.logs.get(&log)
    }

    /// All logs, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = (LogId, &TailLog)> {
        self.logs.iter().map(|(id, log)| (*id, log))
    }

    /// What is known of every log.
    pub fn infos(&self) -> Vec<LogInfo> {
        self.iter().map(|(id, log)| info(id, log, log.extent.end)).collect()
    }

    /// What would be known of every log if nothing after write number `op` had happened (truncations stay).
    pub fn infos_at(&self, op: OpNumber) -> Vec<LogInfo> {
        self.iter().map(|(id, log)| info(id, log, log.end_at(op))).collect()
    }

    /// A named value.
    pub fn meta(&self, key: &str) -> Option<Bytes> {
        self.meta.get(key).cloned()
    }

    /// The names that begin with a prefix.
    pub fn meta_keys(&self, prefix: &str) -> Vec<String> {
        let from: (Bound<&str>, Bound<&str>) = (Bound::Included(prefix), Bound::Unbounded);
        self.meta.range::<str, _>(from).map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Applies a write. Operations on logs that do not exist are without effect: their log was deleted before.
    ///
    /// # Panics
    /// If a log is made twice, or a batch begins below its log's end.
    pub fn apply(&mut self, op: &StorageOp, number: OpNumber) {
        match op {
            StorageOp::CreateLog { log, partition, topic } => {
                let made = TailLog::cold(*partition, topic, Extent { start: 0, end: 0 });
                assert!(self.logs.insert(*log, made).is_none(), "log {} made twice", log.0);
            }
            StorageOp::DeleteLog { log } => self.delete(*log),
            StorageOp::Append { log, batch } => self.append(*log, batch, number),
            StorageOp::Truncate { log, end_offset } => self.truncate(*log, *end_offset),
            StorageOp::Trim { log, start_offset } => self.trim(*log, *start_offset),
            StorageOp::Rewrite { log, first_offset, end_offset, batches } => {
                self.rewrite(*log, &(*first_offset..*end_offset), batches, number);
            }
            StorageOp::Reset { log, offset } => {
                if let Some(found) = self.logs.get_mut(log) {
                    found.extent.reset(*offset);
                    self.hot_bytes -= clear(found);
                }
            }
            StorageOp::PutMeta { key, value } => {
                self.meta.insert(key.clone(), value.clone());
            }
            StorageOp::DeleteMeta { key } => {
                self.meta.remove(key);
            }
        }
    }

    fn delete(&mut self, log: LogId) {
        if let Some(gone) = self.logs.remove(&log) {
            self.hot_bytes -= gone.bytes();
            for key in self.meta_keys(&meta_prefix(log)) {
                self.meta.remove(&key);
            }
        }
    }

    fn append(&mut self, log: LogId, batch: &Batch, number: OpNumber) {
        let Some(found) = self.logs.get_mut(&log) else { return };
        found.extent.append(&batch.header);
        found.hot.push_back(HotBatch { batch: batch.clone(), op: number, rewritten: 0 });
        self.hot_bytes += size_of(batch);
        if let Some(order) = &mut self.order {
            order.push_back((number, log));
        }
    }

    fn truncate(&mut self, log: LogId, end_offset: i64) {
        let Some(found) = self.logs.get_mut(&log) else { return };
        match found.extent.truncate(end_offset) {
            Cut::Nothing => {}
            Cut::All(_) => self.hot_bytes -= clear(found),
            Cut::To(end) => {
                let kept = found.hot.partition_point(|hot| hot.batch.header.last_offset() < end);
                self.hot_bytes -= found.hot.drain(kept..).map(|hot| size_of(&hot.batch)).sum::<u64>();
                found.cold_end = found.cold_end.min(end);
                self.hot_bytes -= found.overlay.cut(end);
            }
        }
    }

    fn trim(&mut self, log: LogId, start_offset: i64) {
        let Some(found) = self.logs.get_mut(&log) else { return };
        if found.extent.trim(start_offset) {
            let start = found.extent.start;
            let gone = found.first_hot(start);
            self.hot_bytes -= found.hot.drain(..gone).map(|hot| size_of(&hot.batch)).sum::<u64>();
        }
    }

    fn rewrite(&mut self, log: LogId, stretch: &Range<i64>, batches: &[Batch], number: OpNumber) {
        let Some(found) = self.logs.get_mut(&log) else { return };
        let before = found.bytes();
        // What replaces hot batches counts as written with the last of them, so that the numbers go on rising.
        let op = found.hot_in(stretch).last().map(|hot| hot.op);
        let is_cold = |batch: &&Batch| op.is_none() || batch.header.base_offset < found.cold_end;
        let cold = batches.iter().take_while(is_cold).cloned().collect::<Vec<_>>();
        if let Some(op) = op {
            let hot = batches[cold.len()..].iter();
            let hot = hot.map(|batch| HotBatch { batch: batch.clone(), op, rewritten: number }).collect();
            found.replace_hot(stretch, hot);
        }
        let next = found.hot_places(stretch).end;
        if let Some(next) = found.hot.get_mut(next) {
            next.rewritten = number;
        }
        if stretch.start < found.cold_end {
            found.overlay.put(stretch.start..stretch.end.min(found.cold_end), cold, number);
            self.overlaid.insert(log);
        }
        self.hot_bytes = self.hot_bytes + found.bytes() - before;
    }

    /// Undoes a rewriting of hot batches.
    pub fn put_back(&mut self, log: LogId, stretch: Range<i64>, batches: Vec<HotBatch>) {
        let Some(found) = self.logs.get_mut(&log) else { return };
        let before = found.bytes();
        found.replace_hot(&stretch, batches);
        self.hot_bytes = self.hot_bytes + found.bytes() - before;
    }

    fn drop_flushed_overlays(&mut self, flushed: OpNumber) {
        let Tail { overlaid, logs, hot_bytes, .. } = self;
        overlaid.retain(|log| {
            let Some(found) = logs.get_mut(log) else { return false };
            *hot_bytes -= found.overlay.drop_flushed(flushed);
            !found.overlay.is_empty()
        });
    }

    /// Lets batches go that were flushed (write number at most `flushed`), the oldest first, until at most `keep_bytes`
    /// are in memory.
    pub fn evict(&mut self, keep_bytes: u64, flushed: OpNumber) {
        self.drop_flushed_overlays(flushed);
        let Some(order) = &mut self.order else { return };
        while self.hot_bytes > keep_bytes
            && let Some(&(op, log)) = order.front().filter(|(op, _)| *op <= flushed)
        {
            if let Some(found) = self.logs.get_mut(&log) {
                while let Some(first) = found.hot.front().filter(|hot| hot.op <= op) {
                    if first.rewritten > flushed {
                        return;
                    }
                    self.hot_bytes -= size_of(&first.batch);
                    found.cold_end = first.batch.header.next_offset();
                    found.hot.pop_front();
                }
            }
            order.pop_front();
        }
    }

    /// Takes a log out, batches and all, to be put back by [`Tail::put_log`].
    pub fn take_log(&mut self, log: LogId) -> Option<TailLog> {
        let taken = self.logs.remove(&log)?;
        self.hot_bytes -= taken.bytes();
        Some(taken)
    }

    /// Puts a log in the place of whatever has its id.
    pub fn put_log(&mut self, log: LogId, state: TailLog) {
        self.take_log(log);
        self.hot_bytes += state.bytes();
        self.logs.insert(log, state);
    }

    /// Sets or removes a named value.
    pub fn set_meta(&mut self, key: String, value: Option<Bytes>) {
        match value {
            Some(value) => self.meta.insert(key, value),
            None => self.meta.remove(&key),
        };
    }
}

/// Adds batches as long as the sum of sizes stays within `max_bytes`; the first of all is taken whatever its size. Tells
/// whether all were taken.
pub fn take_within<'a>(batches: impl Iterator<Item = &'a Batch>, max_bytes: usize, into: &mut Vec<Batch>) -> bool {
    let mut taken: usize = into.iter().map(Batch::size).sum();
    for batch in batches {
        taken = taken.saturating_add(batch.size());
        if taken > max_bytes && !into.is_empty() {
            return false;
        }
        into.push(batch.clone());
    }
    true
}

/// Visits headers until the visitor breaks.
pub fn visit_headers<'a>(
    batches: impl Iterator<Item = &'a Batch>,
    visit: &mut dyn FnMut(&BatchHeader) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for batch in batches {
        visit(&batch.header)?;
    }
    ControlFlow::Continue(())
}

/// Where a log's own named values are.
pub fn meta_prefix(log: LogId) -> String {
    format!("log/{}/", log.0)
}

fn clear(log: &mut TailLog) -> u64 {
    let bytes = log.bytes();
    log.hot.clear();
    log.overlay = Overlay::default();
    log.cold_end = log.extent.end;
    bytes
}

fn info(id: LogId, log: &TailLog, end_offset: i64) -> LogInfo {
    LogInfo {
        log: id,
        partition: log.partition,
        topic: log.topic.to_string(),
        start_offset: log.extent.start,
        end_offset: end_offset.max(log.extent.start),
    }
}

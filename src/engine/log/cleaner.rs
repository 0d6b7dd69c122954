//! Compaction of one log: of each key the last record stays (Kafka's `LogCleaner`, `Cleaner`, `LogCleanerManager`;
//! tombstones and markers by KIP-534).
//!
//! A pass has two phases: it notes the last offset of each key in what is dirty, and then goes over the log from its
//! start and rewrites what has lost records. It goes in slices of bounded size, each of them whole and in order: a pass
//! that is cut short at any of them, by a crash too, leaves a log that is right, only less compact.
//!
//! Invariants: offsets stay; nothing at or beyond the last stable offset or in the active segment is touched; a
//! producer's last batch stays, empty if need be, and so does the last batch below the bound, so that a log never ends in
//! a gap. The keys themselves are noted and not their hashes: no collision can lose a record.
//!
//! Not here: which log is next and when (`replica/cleaner.rs`), the bytes of a batch (`protocol/records/filter.rs`).

use crate::engine::config::TopicConfig;
use crate::engine::io::{Ctx, ReadError, StorageOp};
use crate::engine::log::partition_log::PartitionLog;
use crate::engine::log::producer_state::Marker;
use crate::engine::log::transactions::AbortedTransaction;
use crate::engine::mutant::Mutant;
use crate::engine::observe::EventKind;
use crate::engine::time::WallTime;
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::records::{self, Filtered};
use bytes::{Buf, Bytes};
use std::collections::{BTreeMap, BTreeSet};

/// So much of a log is looked at in one step: a millisecond's work or so.
const SLICE_BYTES: usize = 128 * 1024;
/// What the keys of a pass may take (`log.cleaner.dedupe.buffer.size` is 128 MiB in Kafka). A pass that has more of them
/// ends earlier in the log, and the next one goes on.
const KEYS_BYTES: usize = 32 * 1024 * 1024;
/// What a key takes besides its bytes.
const KEY_OVERHEAD: usize = 48;
const MILLION: u64 = 1_000_000;

/// How much a log is worth cleaning (`LogToClean`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dirt {
    /// `max.compaction.lag.ms` has passed.
    pub is_due: bool,
    /// The part of the log that is dirty, in millionths.
    pub ratio_millionths: u64,
}

/// What a pass has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// Records before, up to the bound.
    pub records_before: u64,
    /// Records left of them.
    pub records_after: u64,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes left of them.
    pub bytes_after: u64,
}

/// How a pass stands after a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    Goes,
    /// It is done.
    Done(Cleaned),
    /// There was nothing to do, or the log was cut meanwhile and what was noted of it is worth nothing.
    GivenUp,
}

/// A pass over a log.
#[derive(Debug, Clone)]
pub struct Cleaning {
    /// The log's number of cuts when the pass began.
    cuts: u64,
    first_dirty: i64,
    /// What lies at or beyond it is not touched.
    end: i64,
    /// The high watermark when the pass began: what lies at or beyond it may be cut off again.
    committed: i64,
    at: i64,
    is_rewriting: bool,
    /// The last offset of each key in what is dirty.
    keys: BTreeMap<Box<[u8]>, i64>,
    keys_bytes: usize,
    aborted: Vec<AbortedTransaction>,
    /// Producers with batches of a transaction whose marker has not come yet.
    in_transaction: BTreeSet<i64>,
    /// The offsets of markers that went.
    gone_markers: BTreeSet<i64>,
    /// Bytes left in each segment, by its base offset.
    segments: BTreeMap<i64, u64>,
    done: Cleaned,
    /// A planted bug: two keys with the same last byte are one.
    takes_last_byte: bool,
    /// A planted bug: the last marker of each producer.
    last_markers: Option<BTreeMap<i64, i64>>,
}

/// What becomes of a batch.
enum Fate {
    Stays,
    Becomes(Batch),
    Goes,
}

impl PartitionLog {
    /// Up to where the log has been compacted: what lies below has each key once, but for what came since.
    pub fn clean_end(&self) -> i64 {
        self.clean_end.max(self.start_offset)
    }

    /// Where a pass has to stop (`LogCleanerManager.cleanableOffsets`): at the last stable offset, at the active segment,
    /// and at the first segment that is younger than `min.compaction.lag.ms`.
    fn cleanable_end(&self, wall: WallTime, stable_end: i64, config: &TopicConfig) -> i64 {
        let segments = self.segments.list();
        let (active, closed) = segments.split_last().expect("a log has a segment");
        let lag_ms = i64::try_from(config.min_compaction_lag_ms).unwrap_or(i64::MAX);
        let is_young = |timestamp: i64| timestamp > wall.0.saturating_sub(lag_ms);
        let young = closed.iter().find(|segment| {
            lag_ms > 0
                && self.segments.end_of(segment) > self.clean_end
                && segment.retention_timestamp().is_some_and(is_young)
        });
        let end = young.map_or(active.base_offset, |segment| segment.base_offset);
        end.min(stable_end)
    }

    /// How much the log is worth cleaning; `None` if there is nothing to do, or too little.
    pub fn dirt(&self, wall: WallTime, high_watermark: i64, config: &TopicConfig) -> Option<Dirt> {
        let end = self.cleanable_end(wall, self.last_stable_offset(high_watermark), config);
        let first_dirty = self.clean_end();
        if !config.cleanup_compact || end <= first_dirty {
            return None;
        }
        let (mut clean, mut dirty, mut oldest) = (0, 0, None);
        for segment in self.segments.list().iter().filter(|segment| segment.base_offset < end) {
            if self.segments.end_of(segment) <= first_dirty {
                clean += segment.size_bytes;
            } else {
                dirty += segment.size_bytes;
                oldest = oldest.or(segment.first_written());
            }
        }
        if dirty == 0 {
            return None;
        }
        let lag_ms = i64::try_from(config.max_compaction_lag_ms).unwrap_or(i64::MAX);
        let is_due = oldest.is_some_and(|oldest| wall.0.saturating_sub(oldest) > lag_ms);
        let ratio = u128::from(dirty) * u128::from(MILLION) / u128::from(clean + dirty);
        let ratio_millionths = u64::try_from(ratio).expect("at most a million");
        let is_enough = is_due || ratio_millionths > config.min_cleanable_dirty_millionths;
        is_enough.then_some(Dirt { is_due, ratio_millionths })
    }

    /// Begins a pass over what may be cleaned now.
    pub fn begin_cleaning(&self, cx: &Ctx<'_>, high_watermark: i64, config: &TopicConfig) -> Cleaning {
        let stable_end = match cx.has(Mutant::CompactionBeyondHighWatermark) {
            false => self.last_stable_offset(high_watermark),
            true => self.end_offset,
        };
        let end = self.cleanable_end(cx.wall, stable_end, config);
        Cleaning {
            takes_last_byte: cx.has(Mutant::CompactionKeysCollide),
            last_markers: cx.has(Mutant::MarkersCompacted).then(BTreeMap::new),
            cuts: self.cuts,
            first_dirty: self.clean_end(),
            end,
            committed: high_watermark,
            at: self.clean_end(),
            is_rewriting: false,
            keys: BTreeMap::new(),
            keys_bytes: 0,
            aborted: self.aborted_transactions(self.start_offset, end),
            in_transaction: BTreeSet::new(),
            gone_markers: BTreeSet::new(),
            segments: BTreeMap::new(),
            done: Cleaned::default(),
        }
    }

    /// Does a slice of a pass.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn clean(
        &mut self,
        cx: &mut Ctx<'_>,
        cleaning: &mut Cleaning,
        config: &TopicConfig,
    ) -> Result<Progress, ReadError> {
        if cleaning.cuts != self.cuts {
            return Ok(Progress::GivenUp);
        }
        cleaning.at = cleaning.at.max(self.start_offset);
        let mut batches = match cleaning.at < cleaning.end {
            true => cx.log().read(self.id, cleaning.at, SLICE_BYTES)?,
            false => Vec::new(),
        };
        batches.truncate(batches.partition_point(|batch| batch.header.next_offset() <= cleaning.end));
        if let Some(last) = batches.last() {
            cleaning.at = last.header.next_offset();
        }
        if !cleaning.is_rewriting {
            let is_over = batches.is_empty() || !batches.iter().all(|batch| cleaning.note_keys(batch));
            if is_over {
                cleaning.begin_rewriting(self.start_offset);
                if cleaning.end <= cleaning.first_dirty {
                    return Ok(Progress::GivenUp);
                }
                // What is known of producers must not hang on batches that change now.
                self.write_checkpoint(cx);
            }
            return Ok(Progress::Goes);
        }
        if batches.is_empty() {
            return Ok(Progress::Done(self.end_cleaning(cx, cleaning)));
        }
        self.rewrite(cx, cleaning, config, &batches);
        Ok(Progress::Goes)
    }

    fn rewrite(&mut self, cx: &mut Ctx<'_>, cleaning: &mut Cleaning, config: &TopicConfig, batches: &[Batch]) {
        let mut left: Vec<Batch> = Vec::with_capacity(batches.len());
        // From where to where something changes: places among the batches, and among those that are left.
        let mut changed: Option<((usize, usize), (usize, usize))> = None;
        for (place, batch) in batches.iter().enumerate() {
            let fate = self.fate(cx, cleaning, config, batch);
            let before = left.len();
            match fate {
                Fate::Stays => left.push(batch.clone()),
                Fate::Becomes(other) => left.push(other),
                Fate::Goes if Marker::is_in(&batch.header) => {
                    cleaning.gone_markers.insert(batch.header.last_offset());
                }
                Fate::Goes => {}
            }
            let is_same = left.get(before).is_some_and(|left| left.header == batch.header);
            if !is_same {
                let from = changed.map_or((place, before), |(from, _)| from);
                changed = Some((from, (place + 1, left.len())));
            }
            let segment = self.segments.base_of(batch.header.base_offset);
            let bytes = left.get(before).map_or(0, |left| count(left.size()));
            *cleaning.segments.entry(segment).or_default() += bytes;
            let done = &mut cleaning.done;
            done.records_before += u64::try_from(batch.header.record_count).unwrap_or(0);
            done.records_after +=
                left.get(before).map_or(0, |left| u64::try_from(left.header.record_count).unwrap_or(0));
            done.bytes_before += count(batch.size());
            done.bytes_after += bytes;
        }
        let Some(((from, left_from), (to, left_to))) = changed else { return };
        let op = StorageOp::Rewrite {
            log: self.id,
            first_offset: batches[from].header.base_offset,
            end_offset: batches[to - 1].header.next_offset(),
            batches: left[left_from..left_to].to_vec(),
        };
        self.write(cx, op);
    }

    /// What becomes of a batch. One that cannot be read stays as it is.
    fn fate(&mut self, cx: &Ctx<'_>, cleaning: &mut Cleaning, config: &TopicConfig, batch: &Batch) -> Fate {
        let header = &batch.header;
        let horizon = header.delete_horizon_ms();
        let is_past = horizon.is_some_and(|horizon| horizon <= cx.wall.0);
        let retention_ms = i64::try_from(config.delete_retention_ms).unwrap_or(i64::MAX);
        let new_horizon = cx.wall.0.saturating_add(retention_ms);
        let is_marker = Marker::is_in(header);
        let is_unneeded = cleaning.is_unneeded(header);
        if is_marker && cleaning.is_replaced_marker(header) {
            return Fate::Goes;
        }
        let filtered = if is_marker && is_unneeded && is_past && horizon.is_some() {
            Ok(Filtered::Nothing)
        } else if is_marker && is_unneeded && horizon.is_none() && header.record_count > 0 {
            records::filter(batch, Some(new_horizon), |_| true)
        } else if header.is_control() {
            return if header.record_count > 0 { Fate::Stays } else { self.emptied(cleaning, batch) };
        } else if is_unneeded {
            Ok(Filtered::Nothing)
        } else {
            let has_tombstones = |batch: &Batch| {
                let mut found = false;
                let kept = records::filter(batch, None, |record| {
                    let stays = cleaning.keeps(record, is_past);
                    found |= stays && record.value.is_none();
                    stays
                });
                kept.map(|kept| (kept, found))
            };
            match has_tombstones(batch) {
                Ok((_, true)) if horizon.is_none() => {
                    records::filter(batch, Some(new_horizon), |record| cleaning.keeps(record, is_past))
                }
                other => other.map(|(kept, _)| kept),
            }
        };
        match filtered {
            Ok(Filtered::Some(other)) => Fate::Becomes(other),
            Ok(Filtered::Nothing) => self.emptied(cleaning, batch),
            Ok(Filtered::Same) | Err(_) => Fate::Stays,
        }
    }

    /// A batch without records: it stays if its producer's last sequence number is in it, or its epoch in a last marker,
    /// and if the log would end in a gap without it.
    fn emptied(&self, cleaning: &Cleaning, batch: &Batch) -> Fate {
        let header = &batch.header;
        let tells_producer = self.producers.is_last_of(header, cleaning.committed);
        match tells_producer || header.next_offset() == cleaning.end {
            true if header.record_count == 0 => Fate::Stays,
            true => Fate::Becomes(batch.emptied()),
            false => Fate::Goes,
        }
    }

    fn end_cleaning(&mut self, cx: &mut Ctx<'_>, cleaning: &Cleaning) -> Cleaned {
        self.segments.cleaned(&cleaning.segments, cleaning.end);
        self.producers.transactions.forget_aborted(&cleaning.gone_markers);
        self.clean_end = cleaning.end.max(self.start_offset);
        self.write_clean_end(cx);
        self.write_checkpoint(cx);
        let done = cleaning.done;
        if done.bytes_after != done.bytes_before {
            cx.emit(EventKind::LogCleaned { partition: self.partition, end: cleaning.end, done });
        }
        done
    }

    fn clean_end_key(&self) -> String {
        format!("log/{}/clean", self.id.0)
    }

    fn write_clean_end(&self, cx: &mut Ctx<'_>) {
        let value = Bytes::copy_from_slice(&self.clean_end.to_be_bytes());
        self.write(cx, StorageOp::PutMeta { key: self.clean_end_key(), value });
    }

    /// Up to where a recovered log was compacted.
    pub(super) fn recover_clean_end(&mut self, value: Option<Bytes>) {
        let noted = value.and_then(|mut value| value.try_get_i64().ok()).unwrap_or(0);
        self.clean_end = noted.clamp(self.start_offset, self.end_offset);
    }

    /// Where [`PartitionLog::recover_clean_end`] finds it.
    pub(super) fn clean_end_name(&self) -> String {
        self.clean_end_key()
    }

    /// The log has lost its end: a pass under way is given up, and what was clean beyond is forgotten.
    pub(super) fn note_cut(&mut self, cx: &mut Ctx<'_>) {
        self.cuts += 1;
        if self.clean_end > self.end_offset {
            self.clean_end = self.end_offset;
            self.write_clean_end(cx);
        }
    }
}

impl Cleaning {
    /// Takes in the keys of a batch. False if that is enough for one pass: the bound is at its end then.
    fn note_keys(&mut self, batch: &Batch) -> bool {
        let header = &batch.header;
        if let Some(last) = self.last_markers.as_mut().filter(|_| Marker::is_in(header)) {
            last.insert(header.producer_id, header.base_offset);
        }
        if !header.is_control() && !self.is_aborted(header) {
            for record in records::iterate(batch).into_iter().flatten().map_while(Result::ok) {
                let Some(key) = record.key.filter(|_| record.offset >= self.first_dirty) else { continue };
                let key = self.noted(&key);
                match self.keys.get_mut(key) {
                    Some(last) => *last = record.offset,
                    None => {
                        self.keys_bytes += key.len() + KEY_OVERHEAD;
                        self.keys.insert(Box::from(key), record.offset);
                    }
                }
            }
        }
        if self.keys_bytes < KEYS_BYTES {
            return true;
        }
        self.at = header.next_offset();
        false
    }

    /// The keys are known; from here on it is the log's start that is looked at.
    fn begin_rewriting(&mut self, start_offset: i64) {
        self.end = self.at;
        self.at = start_offset;
        self.is_rewriting = true;
    }

    /// What is noted of a key: all of it.
    fn noted<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        match self.takes_last_byte {
            false => key,
            true => &key[key.len().saturating_sub(1)..],
        }
    }

    /// Whether a record stays (`Cleaner.shouldRetainRecord`).
    fn keeps(&self, record: &records::Record, tombstones_go: bool) -> bool {
        let Some(key) = &record.key else { return false };
        let is_latest = self.keys.get(self.noted(key)).is_none_or(|last| record.offset >= *last);
        is_latest && (record.value.is_some() || !tombstones_go)
    }

    /// Whether a batch holds records of an aborted transaction, or the marker of a transaction of which nothing is left
    /// (`CleanedTransactionMetadata`).
    fn is_unneeded(&mut self, header: &BatchHeader) -> bool {
        if Marker::is_in(header) {
            return !self.in_transaction.remove(&header.producer_id);
        }
        if header.is_transactional() {
            self.in_transaction.insert(header.producer_id);
        }
        self.is_aborted(header)
    }

    fn is_replaced_marker(&self, header: &BatchHeader) -> bool {
        let last = self.last_markers.as_ref().and_then(|last| last.get(&header.producer_id));
        last.is_some_and(|last| header.base_offset < *last)
    }

    fn is_aborted(&self, header: &BatchHeader) -> bool {
        let first = self.aborted.partition_point(|aborted| aborted.last_offset < header.base_offset);
        let is_of = |aborted: &AbortedTransaction| {
            aborted.producer_id == header.producer_id && aborted.first_offset <= header.base_offset
        };
        header.is_transactional() && !header.is_control() && self.aborted[first..].iter().any(is_of)
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a size fits 64 bits")
}

#[cfg(test)]
mod tests;

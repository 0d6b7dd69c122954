//! One replica's log: its bounds, its life in the store, and what of it is safe.
//!
//! Invariants: `start_offset <= persisted_end <= end_offset`. Every write goes through this type, so that the state
//! here and the bytes in the store never differ. The order of writes makes any prefix of them recoverable: an epoch is
//! entered before its first batch, and checkpoints beyond a cut go before the cut.
//!
//! Not here: appending (`append.rs`), reading (`read.rs`), compaction (`cleaner.rs`), recovery and checkpoints (`recovery.rs`), retention
//! (`retention.rs`).

use crate::engine::config::TopicConfig;
use crate::engine::io::{Ctx, ReadError, StorageOp};
use crate::engine::log::epochs::EpochCache;
use crate::engine::log::producer_state::{ProducerState, ProducerSummary};
use crate::engine::log::segments::Segments;
use crate::engine::log::time_index::TimeIndex;
use crate::engine::log::transactions::AbortedTransaction;
use crate::engine::mutant::Mutant;
use crate::engine::observe::{EventKind, ProducerInside, TruncationReason};
use crate::engine::time::WallTime;
use crate::protocol::batch::BatchHeader;
use crate::protocol::ids::{EpochEnd, LogId, PartitionId};
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// What identifies the last batch before a checkpoint, so that a checkpoint of another history is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) base_offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) crc: u32,
}

impl Anchor {
    pub(super) fn of(header: &BatchHeader) -> Anchor {
        Anchor { base_offset: header.base_offset, leader_epoch: header.leader_epoch, crc: header.crc }
    }
}

/// The log of one replica: offsets, epochs, producers, segments and time index. The bytes are in the store.
#[derive(Debug, Clone)]
pub struct PartitionLog {
    pub(super) id: LogId,
    pub(super) partition: PartitionId,
    pub(super) start_offset: i64,
    pub(super) end_offset: i64,
    pub(super) persisted_end: i64,
    /// Writes that are not safe yet: the step's sequence number, and the log end that becomes safe with it.
    pub(super) pending: VecDeque<(u64, i64)>,
    pub(super) synced: bool,
    pub(super) epochs: EpochCache,
    pub(super) producers: ProducerState,
    pub(super) segments: Segments,
    pub(super) time_index: TimeIndex,
    /// The offsets of the checkpoints in the store, rising.
    pub(super) checkpoints: Vec<i64>,
    pub(super) bytes_since_checkpoint: u64,
    pub(super) last_batch: Option<Anchor>,
    /// What lies below has been compacted.
    pub(super) clean_end: i64,
    /// How often the log has lost its end.
    pub(super) cuts: u64,
}

impl PartitionLog {
    pub(super) fn empty(id: LogId, partition: PartitionId, offset: i64) -> PartitionLog {
        PartitionLog {
            id,
            partition,
            start_offset: offset,
            end_offset: offset,
            persisted_end: offset,
            pending: VecDeque::new(),
            synced: id == LogId::METADATA,
            epochs: EpochCache::default(),
            producers: ProducerState::default(),
            segments: Segments::new(offset),
            time_index: TimeIndex::default(),
            checkpoints: Vec::new(),
            bytes_since_checkpoint: 0,
            last_batch: None,
            clean_end: offset,
            cuts: 0,
        }
    }

    /// Makes a new, empty log in the store, with Kafka's defaults for segments until [`PartitionLog::configure`].
    pub fn create(cx: &mut Ctx<'_>, id: LogId, partition: PartitionId, topic: &str) -> PartitionLog {
        let log = PartitionLog::empty(id, partition, 0);
        log.write(cx, StorageOp::CreateLog { log: id, partition, topic: topic.to_owned() });
        log
    }

    /// Takes over the topic's bounds of segments (`segment.bytes`, `segment.ms`). A leader's append does so by itself.
    pub fn configure(&mut self, config: &TopicConfig) {
        self.segments.configure(config);
    }

    /// Whether writes must survive power loss before they count as persisted. From the start true for the metadata log
    /// alone.
    pub fn set_synced(&mut self, synced: bool) {
        self.synced = synced;
    }

    /// Its identity in the store.
    pub fn id(&self) -> LogId {
        self.id
    }

    /// The partition.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The first offset that may be read.
    pub fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The log end offset: the next record's.
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// The offset up to which everything is as safe as the durability mode promises. Rises with `Persisted`, falls with
    /// truncation.
    pub fn persisted_end(&self) -> i64 {
        self.persisted_end
    }

    /// The size of its segments, in bytes. A segment that holds the log start counts whole.
    pub fn size_bytes(&self) -> u64 {
        self.segments.size_bytes()
    }

    /// The latest leader epoch, with or without records; `None` if there never was one. A follower's
    /// `last_fetched_epoch`.
    pub fn last_epoch(&self) -> Option<i32> {
        self.epochs.latest()
    }

    /// The leader epoch in which an offset was written, or would be if the log ends there.
    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        self.epochs.epoch_at(offset)
    }

    /// The largest epoch not above the one asked for and its end offset (KIP-279, `LeaderEpochFileCache.endOffsetFor`);
    /// epoch and offset −1 for an epoch that is newer than all known.
    pub fn epoch_end(&self, epoch: i32) -> EpochEnd {
        self.epochs.end_of(epoch, self.end_offset)
    }

    /// Whether a fetcher's log departs from this one (KIP-595; `Partition.readRecords`): then it gets the answer and no
    /// records, and has to truncate. An `end_offset` of −1 in the answer means that its epoch is unknown here, which
    /// Kafka answers with `OFFSET_OUT_OF_RANGE`. A fetcher without an epoch (−1) is not checked.
    pub fn diverging(&self, last_fetched_epoch: i32, fetch_offset: i64) -> Option<EpochEnd> {
        if last_fetched_epoch < 0 {
            return None;
        }
        let end = self.epoch_end(last_fetched_epoch);
        (end.epoch < last_fetched_epoch || end.end_offset < fetch_offset).then_some(end)
    }

    /// A leader begins an epoch: it is entered even if no record follows (KAFKA-7415).
    ///
    /// # Panics
    /// If a later epoch is in the log.
    pub fn begin_epoch(&mut self, cx: &mut Ctx<'_>, epoch: i32) {
        assert!(self.last_epoch().is_none_or(|last| last <= epoch), "epoch {epoch} after {:?}", self.last_epoch());
        if self.epochs.assign(epoch, self.end_offset) {
            self.write_epochs(cx);
        }
    }

    /// Cuts the log to end at an offset, or at the base of the batch that holds it: Kafka leaves a gap there, and the
    /// records before the cut would be missing for good. Epochs that begin there or after are forgotten even if the
    /// log's end does not change (KAFKA-10706), and producers are rebuilt. Below the log start everything goes. Tells
    /// whether the log changed.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn truncate(&mut self, cx: &mut Ctx<'_>, end_offset: i64, reason: TruncationReason) -> Result<bool, ReadError> {
        if end_offset >= self.end_offset {
            if !cx.has(Mutant::EpochCacheNotTruncated) && self.epochs.truncate_from_end(end_offset) {
                self.write_epochs(cx);
            }
            return Ok(false);
        }
        if end_offset < self.start_offset {
            self.reset(cx, end_offset.max(0), reason);
            return Ok(true);
        }
        let removed = self.removed_by(cx, end_offset)?;
        let (from, end_offset) = (self.end_offset, removed.end_offset);
        let kept = self.checkpoints.partition_point(|&offset| offset <= end_offset);
        for offset in self.checkpoints.split_off(kept) {
            self.delete_checkpoint(cx, offset);
        }
        self.write(cx, StorageOp::Truncate { log: self.id, end_offset });
        self.end_offset = end_offset;
        self.persisted_end = self.persisted_end.min(end_offset);
        for (_, pending_end) in &mut self.pending {
            *pending_end = end_offset.min(*pending_end);
        }
        if self.epochs.truncate_from_end(end_offset) {
            self.write_epochs(cx);
        }
        self.note_cut(cx);
        self.segments.truncate(end_offset, removed.bytes);
        self.bytes_since_checkpoint = self.bytes_since_checkpoint.saturating_sub(removed.bytes);
        self.rebuild_time_index(cx)?;
        if removed.had_producers && !cx.has(Mutant::ProducersNotRebuilt) {
            self.rebuild_producers(cx.log())?;
        }
        cx.emit(EventKind::Truncated { partition: self.partition, from, to: end_offset, reason });
        Ok(true)
    }

    fn removed_by(&self, cx: &Ctx<'_>, end_offset: i64) -> Result<Removed, ReadError> {
        let mut removed = Removed { end_offset, bytes: 0, had_producers: false };
        cx.log().scan(self.id, end_offset, &mut |header| {
            removed.end_offset = removed.end_offset.min(header.base_offset);
            removed.bytes += u64::try_from(header.size()).expect("a batch's size fits 64 bits");
            removed.had_producers |= header.has_producer();
            ControlFlow::Continue(())
        })?;
        removed.end_offset = removed.end_offset.max(self.start_offset);
        Ok(removed)
    }

    fn rebuild_time_index(&mut self, cx: &Ctx<'_>) -> Result<(), ReadError> {
        let from = self.time_index.truncate(self.end_offset).unwrap_or(self.start_offset);
        let index = &mut self.time_index;
        let mut last_batch = None;
        cx.log().scan(self.id, from, &mut |header| {
            index.append(header);
            last_batch = Some(*header);
            ControlFlow::Continue(())
        })?;
        if last_batch.is_none() {
            last_batch = self.batch_at(cx.log(), self.end_offset - 1)?;
        }
        self.last_batch = last_batch.as_ref().map(Anchor::of);
        Ok(())
    }

    /// Forgets all records and begins anew at an offset: a replica that is too far behind, or the end of a snapshot.
    pub fn reset(&mut self, cx: &mut Ctx<'_>, offset: i64, reason: TruncationReason) {
        let (from, held_records) = (self.end_offset, self.start_offset < self.end_offset);
        self.clear(cx, offset);
        if held_records {
            cx.emit(EventKind::Truncated { partition: self.partition, from, to: offset, reason });
        }
    }

    pub(super) fn clear(&mut self, cx: &mut Ctx<'_>, offset: i64) {
        for old in std::mem::take(&mut self.checkpoints) {
            self.delete_checkpoint(cx, old);
        }
        self.write(cx, StorageOp::Reset { log: self.id, offset });
        if self.epochs.clear() {
            self.write_epochs(cx);
        }
        self.start_offset = offset;
        self.end_offset = offset;
        self.note_cut(cx);
        // Nothing lies below the new start, so that nothing false is promised by calling that safe.
        self.persisted_end = offset;
        self.pending.clear();
        self.producers = ProducerState::default();
        self.segments.reset(offset);
        self.time_index = TimeIndex::default();
        self.bytes_since_checkpoint = 0;
        self.last_batch = None;
    }

    /// The log is gone from the store, with all that belongs to it.
    pub fn delete(self, cx: &mut Ctx<'_>) {
        self.write(cx, StorageOp::DeleteLog { log: self.id });
    }

    /// `Persisted { seq }` has come: what was written up to then is safe. Tells whether [`PartitionLog::persisted_end`]
    /// moved.
    pub fn on_persisted(&mut self, seq: u64) -> bool {
        let before = self.persisted_end;
        while let Some(&(pending_seq, end)) = self.pending.front()
            && pending_seq <= seq
        {
            self.pending.pop_front();
            self.persisted_end = self.persisted_end.max(end);
        }
        self.persisted_end != before
    }

    /// Whether there are writes that are not safe yet.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Where readers of committed transactions stop: at the first record of a transaction that is open or whose marker
    /// is not below the high watermark, else at the high watermark (`UnifiedLog.lastStableOffset`).
    pub fn last_stable_offset(&self, high_watermark: i64) -> i64 {
        match self.producers.transactions.first_unstable(high_watermark) {
            Some(first) => first.max(self.start_offset).min(high_watermark),
            None => high_watermark,
        }
    }

    /// The aborted transactions with records from `from` up to but without `upper`: a Fetch of committed records lists
    /// them.
    pub fn aborted_transactions(&self, from: i64, upper: i64) -> Vec<AbortedTransaction> {
        self.producers.transactions.aborted_between(from, upper)
    }

    /// Whether a producer has a transaction open here, in an epoch.
    pub fn has_open_transaction(&self, producer_id: i64, epoch: i16) -> bool {
        self.producers.has_open_transaction(producer_id, epoch)
    }

    /// Whether a producer is remembered.
    pub fn knows_producer(&self, producer_id: i64) -> bool {
        self.producers.last_offset_of(producer_id).is_some()
    }

    /// Whether a batch of a client is in the log already.
    pub fn is_duplicate(&self, header: &BatchHeader) -> bool {
        self.producers.duplicate_of(header).is_some()
    }

    /// The producers that are known, in order of id (DescribeProducers).
    pub fn producers(&self) -> impl Iterator<Item = ProducerSummary> + '_ {
        self.producers.summaries()
    }

    /// Every producer with where it wrote last, in order of id.
    pub fn producers_inside(&self) -> impl Iterator<Item = ProducerInside> + '_ {
        self.producers.inside()
    }

    /// Forgets all producers, for the mutant that does not rebuild them.
    pub(in crate::engine) fn forget_producers(&mut self) {
        self.producers = ProducerState::default();
    }

    /// The leader epochs with the offsets at which they begin, oldest first.
    pub fn epochs(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.epochs.entries().iter().map(|entry| (entry.epoch, entry.start_offset))
    }

    /// Forgets producers that have been idle for so long (`producer.id.expiration.ms`) and have no transaction open.
    pub fn expire_producers(&mut self, wall: WallTime, expiration_ms: u64) {
        let expiration_ms = i64::try_from(expiration_ms).unwrap_or(i64::MAX);
        self.producers.expire(wall.0.saturating_sub(expiration_ms));
    }

    pub(super) fn write(&self, cx: &mut Ctx<'_>, op: StorageOp) {
        match self.synced {
            true => cx.write_synced(op),
            false => cx.write(op),
        }
    }

    /// The log's end becomes safe with this step.
    pub(super) fn await_persistence(&mut self, cx: &Ctx<'_>) {
        let seq = cx.persist_seq();
        match self.pending.back_mut() {
            Some((last, end)) if *last == seq => *end = self.end_offset,
            _ => self.pending.push_back((seq, self.end_offset)),
        }
        if cx.has(Mutant::SyncedTooEarly) {
            self.persisted_end = self.end_offset;
        }
    }

    pub(super) fn write_epochs(&self, cx: &mut Ctx<'_>) {
        let (key, value) = (self.epochs_key(), self.epochs.encode());
        self.write(cx, StorageOp::PutMeta { key, value });
    }

    pub(super) fn epochs_key(&self) -> String {
        format!("log/{}/epochs", self.id.0)
    }
}

/// What a truncation takes away.
struct Removed {
    /// Where the log ends then: not within a batch.
    end_offset: i64,
    bytes: u64,
    had_producers: bool,
}

#[cfg(test)]
mod tests;

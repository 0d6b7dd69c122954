//! A log's state after a restart: from its last checkpoint and the headers of the batches after it.
//!
//! Invariants: recovery reads a bounded part of a log, because a checkpoint is written each 16 MiB and with each new
//! segment. A checkpoint is believed only if it lies within the log and the batch before it is the one it was written
//! after; else an older one counts, or none. Epochs are cut to the log as it was found.
//!
//! Not here: what a store does to find its own end after a crash.

use crate::engine::config::TopicConfig;
use crate::engine::io::{Ctx, LogInfo, LogRead, ReadError, StorageOp};
use crate::engine::log::epochs::EpochCache;
use crate::engine::log::partition_log::{Anchor, PartitionLog};
use crate::engine::log::producer_state::{Marker, ProducerState, SeenMarker};
use crate::engine::log::segments::Segments;
use crate::engine::log::time_index::TimeIndex;
use crate::protocol::batch::BatchHeader;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::ops::ControlFlow;

const VERSION: u8 = 1;
/// After so many bytes a checkpoint is written.
const CHECKPOINT_BYTES: u64 = 16 * 1024 * 1024;
/// So many checkpoints are kept, for truncations that go back behind the last.
const KEPT_CHECKPOINTS: usize = 3;

/// Everything that is known of a log up to an offset, but for its epochs, which are kept on their own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Checkpoint {
    offset: i64,
    anchor: Option<Anchor>,
    segments: Segments,
    time_index: TimeIndex,
    producers: ProducerState,
}

impl Checkpoint {
    fn decode(offset: i64, mut from: Bytes, config: &TopicConfig) -> Option<Checkpoint> {
        if from.try_get_u8().ok()? != VERSION {
            return None;
        }
        let base_offset = from.try_get_i64().ok()?;
        let leader_epoch = from.try_get_i32().ok()?;
        let crc = from.try_get_u32().ok()?;
        let anchor = (base_offset >= 0).then_some(Anchor { base_offset, leader_epoch, crc });
        let segments = Segments::decode(&mut from, config)?;
        let time_index = TimeIndex::decode(&mut from)?;
        let producers = ProducerState::decode(&mut from)?;
        from.is_empty().then_some(Checkpoint { offset, anchor, segments, time_index, producers })
    }
}

impl PartitionLog {
    /// The log as the store has it. Everything in it counts as persisted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn recover(info: &LogInfo, read: &dyn LogRead, config: &TopicConfig) -> Result<PartitionLog, ReadError> {
        let mut log = PartitionLog::empty(info.log, info.partition, info.start_offset);
        log.configure(config);
        log.end_offset = info.end_offset;
        log.checkpoints = log.checkpoints_in(read);
        let epochs = read.meta(&log.epochs_key()).and_then(EpochCache::decode);
        // Without the epochs a checkpoint is no help: only the headers have them.
        let checkpoint = if epochs.is_some() { log.last_checkpoint(read, config)? } else { None };
        log.epochs = epochs.unwrap_or_default();
        // An epoch that begins at the end has no records; but where all records went with the log's beginning, it is
        // the last one's.
        let all_trimmed = info.start_offset == info.end_offset && info.start_offset > 0;
        log.epochs.truncate_from_end(info.end_offset + i64::from(all_trimmed));
        let mut from = info.start_offset;
        if let Some(checkpoint) = checkpoint {
            from = checkpoint.offset.max(from);
            log.segments = checkpoint.segments;
            log.time_index = checkpoint.time_index;
            log.producers = checkpoint.producers;
            log.last_batch = checkpoint.anchor;
        }
        let seen = log.absorb_from(read, from)?;
        log.resolve_markers(read, seen)?;
        log.end_offset = info.end_offset;
        log.persisted_end = info.end_offset;
        log.recover_clean_end(read.meta(&log.clean_end_name()));
        log.epochs.truncate_from_start(info.start_offset);
        log.segments.trim(info.start_offset);
        log.time_index.trim(info.start_offset);
        log.producers.transactions.trim(info.start_offset);
        Ok(log)
    }

    fn absorb_from(&mut self, read: &dyn LogRead, from: i64) -> Result<Vec<SeenMarker>, ReadError> {
        let mut seen = Vec::new();
        let (id, start_offset) = (self.id, self.start_offset);
        read.scan(id, from, &mut |header| {
            // A batch that begins before the log's start is in the log; one that begins before a checkpoint is in the
            // checkpoint.
            if header.base_offset >= from || from == start_offset {
                self.epochs.assign(header.leader_epoch, header.base_offset);
                if self.segments.needs_roll(header) {
                    self.segments.roll(header.base_offset);
                }
                seen.extend(self.absorb(header, 0));
            }
            ControlFlow::Continue(())
        })?;
        Ok(seen)
    }

    /// Builds the producers anew from the store.
    pub(super) fn rebuild_producers(&mut self, read: &dyn LogRead) -> Result<(), ReadError> {
        let checkpoint = self.last_checkpoint(read, &TopicConfig::default())?;
        let from = checkpoint.as_ref().map_or(self.start_offset, |checkpoint| checkpoint.offset.max(self.start_offset));
        self.producers = checkpoint.map(|checkpoint| checkpoint.producers).unwrap_or_default();
        let producers = &mut self.producers;
        let (start_offset, mut seen) = (self.start_offset, Vec::new());
        read.scan(self.id, from, &mut |header: &BatchHeader| {
            if header.base_offset >= from || from == start_offset {
                seen.extend(producers.apply(header));
            }
            ControlFlow::Continue(())
        })?;
        self.resolve_markers(read, seen)?;
        self.producers.transactions.trim(self.start_offset);
        Ok(())
    }

    fn resolve_markers(&mut self, read: &dyn LogRead, seen: Vec<SeenMarker>) -> Result<(), ReadError> {
        for seen in seen {
            let batch = read.read(self.id, seen.offset, 1)?.into_iter().next();
            if let Some(marker) = batch.as_ref().and_then(Marker::of) {
                self.producers.resolve(seen, marker);
            }
        }
        Ok(())
    }

    /// Writes down what is known of the log up to its end, if there is anything new, so that recovery need not read
    /// what lies before. Appends and retention do so by themselves; an orderly stop should, too.
    pub fn checkpoint(&mut self, cx: &mut Ctx<'_>) {
        let is_covered = self.checkpoints.last() == Some(&self.end_offset) || self.start_offset == self.end_offset;
        if self.bytes_since_checkpoint > 0 || !is_covered {
            self.write_checkpoint(cx);
        }
    }

    pub(super) fn write_checkpoint(&mut self, cx: &mut Ctx<'_>) {
        self.bytes_since_checkpoint = 0;
        let stale = self.checkpoints.split_off(self.checkpoints.partition_point(|&offset| offset < self.end_offset));
        for offset in stale.into_iter().filter(|&offset| offset != self.end_offset) {
            self.delete_checkpoint(cx, offset);
        }
        let key = self.checkpoint_key(self.end_offset);
        self.write(cx, StorageOp::PutMeta { key, value: self.encode_checkpoint() });
        self.checkpoints.push(self.end_offset);
        if self.checkpoints.len() > KEPT_CHECKPOINTS {
            let oldest = self.checkpoints.remove(0);
            self.delete_checkpoint(cx, oldest);
        }
    }

    pub(super) fn checkpoint_if_due(&mut self, cx: &mut Ctx<'_>) {
        if self.bytes_since_checkpoint >= CHECKPOINT_BYTES {
            self.write_checkpoint(cx);
        }
    }

    pub(super) fn delete_checkpoint(&self, cx: &mut Ctx<'_>, offset: i64) {
        self.write(cx, StorageOp::DeleteMeta { key: self.checkpoint_key(offset) });
    }

    fn encode_checkpoint(&self) -> Bytes {
        let anchor = self.last_batch.unwrap_or(Anchor { base_offset: -1, leader_epoch: -1, crc: 0 });
        let mut to = BytesMut::new();
        to.put_u8(VERSION);
        to.put_i64(anchor.base_offset);
        to.put_i32(anchor.leader_epoch);
        to.put_u32(anchor.crc);
        self.segments.encode(&mut to);
        self.time_index.encode(&mut to);
        self.producers.encode(&mut to);
        to.freeze()
    }

    fn checkpoint_prefix(&self) -> String {
        format!("log/{}/checkpoint/", self.id.0)
    }

    fn checkpoint_key(&self, offset: i64) -> String {
        // Twenty digits, so that the order of names is the order of offsets.
        format!("{}{offset:020}", self.checkpoint_prefix())
    }

    fn checkpoints_in(&self, read: &dyn LogRead) -> Vec<i64> {
        let prefix = self.checkpoint_prefix();
        let offset_of = |key: &String| key.strip_prefix(&prefix)?.parse().ok();
        read.meta_keys(&prefix).iter().filter_map(offset_of).collect()
    }

    /// The last checkpoint that belongs to the log as it is.
    fn last_checkpoint(&self, read: &dyn LogRead, config: &TopicConfig) -> Result<Option<Checkpoint>, ReadError> {
        for &offset in self.checkpoints.iter().rev().filter(|&&offset| offset <= self.end_offset) {
            let value = read.meta(&self.checkpoint_key(offset));
            let Some(checkpoint) = value.and_then(|value| Checkpoint::decode(offset, value, config)) else { continue };
            if self.belongs(read, &checkpoint)? {
                return Ok(Some(checkpoint));
            }
        }
        Ok(None)
    }

    fn belongs(&self, read: &dyn LogRead, checkpoint: &Checkpoint) -> Result<bool, ReadError> {
        match checkpoint.anchor {
            // What the checkpoint was written after may be gone with the log's beginning.
            Some(anchor) if anchor.base_offset >= self.start_offset => {
                Ok(self.batch_at(read, anchor.base_offset)?.is_some_and(|header| Anchor::of(&header) == anchor))
            }
            _ => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests;

//! The log's beginning moves: by retention (whole segments, Kafka's `UnifiedLog.deleteOldSegments`), by DeleteRecords,
//! or because the leader's did.
//!
//! Invariants: retention never goes beyond the high watermark. The start never moves back.

use crate::engine::config::TopicConfig;
use crate::engine::io::{Ctx, StorageOp};
use crate::engine::log::partition_log::PartitionLog;
use crate::engine::observe::EventKind;

impl PartitionLog {
    /// Moves the log start up to an offset within the log (DeleteRecords, or the leader's log start). Tells whether it
    /// moved; an offset beyond the log's end moves it to the end.
    pub fn trim(&mut self, cx: &mut Ctx<'_>, start_offset: i64) -> bool {
        let start_offset = start_offset.min(self.end_offset);
        if start_offset <= self.start_offset {
            return false;
        }
        self.move_start(cx, start_offset);
        cx.emit(EventKind::LogStartMoved { partition: self.partition, to: start_offset });
        true
    }

    pub(super) fn move_start(&mut self, cx: &mut Ctx<'_>, start_offset: i64) {
        assert!((self.start_offset..=self.end_offset).contains(&start_offset), "a log start within the log");
        if !self.producers.is_empty() {
            // Producers outlive their batches: what is known of them must not hang on what goes now.
            self.checkpoint(cx);
        }
        self.write(cx, StorageOp::Trim { log: self.id, start_offset });
        self.start_offset = start_offset;
        self.persisted_end = self.persisted_end.max(start_offset);
        if self.epochs.truncate_from_start(start_offset) {
            self.write_epochs(cx);
        }
        self.segments.trim(start_offset);
        self.time_index.trim(start_offset);
        self.producers.transactions.trim(start_offset);
    }

    /// Applies `retention.ms` and `retention.bytes` (if `cleanup.policy` holds `delete`): whole segments from the
    /// beginning, wholly below the high watermark; the active segment only if it is due as well, and then a new one
    /// begins. Tells the new log start if it moved.
    pub fn retention(&mut self, cx: &mut Ctx<'_>, high_watermark: i64, config: &TopicConfig) -> Option<i64> {
        self.producers.transactions.settle(high_watermark);
        self.configure(config);
        if !config.cleanup_delete {
            return None;
        }
        let due = self.segments_due(cx.wall.0, high_watermark, config);
        if due == 0 {
            return None;
        }
        if due == self.segments.list().len() {
            self.segments.roll(self.end_offset);
            self.write_checkpoint(cx);
        }
        let start_offset = self.segments.list()[due].base_offset;
        self.trim(cx, start_offset).then_some(start_offset)
    }

    /// How many segments at the beginning have to go.
    fn segments_due(&self, wall_ms: i64, high_watermark: i64, config: &TopicConfig) -> usize {
        let segments = self.segments.list();
        let retention_ms = config.retention_ms.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        // What is left to delete by size; segments that go by time count too, as they do when Kafka deletes by time
        // first.
        let mut excess = config.retention_bytes.map_or(0, |limit| self.size_bytes().saturating_sub(limit));
        for (place, segment) in segments.iter().enumerate() {
            let end_offset = segments.get(place + 1).map_or(self.end_offset, |next| next.base_offset);
            let too_old = retention_ms
                .zip(segment.retention_timestamp())
                .is_some_and(|(limit, timestamp)| wall_ms.saturating_sub(timestamp) > limit);
            let too_much = excess >= segment.size_bytes && excess > 0;
            if segment.size_bytes == 0 || end_offset > high_watermark || !(too_old || too_much) {
                return place;
            }
            excess = excess.saturating_sub(segment.size_bytes);
        }
        segments.len()
    }
}

#[cfg(test)]
mod tests;

//! Reading from a log: batches for Fetch, offsets for ListOffsets.
//!
//! Invariants: batches are given whole and as they are stored. Only ListOffsets by time looks into a batch, and into
//! one at a time.

use crate::engine::io::{LogRead, ReadError};
use crate::engine::log::partition_log::PartitionLog;
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::records;
use std::ops::ControlFlow;

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetAtTime {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds.
    pub timestamp: i64,
    /// The leader epoch of its batch.
    pub leader_epoch: i32,
}

impl PartitionLog {
    /// The batches from the one that holds `from` on, as far as they lie wholly below `limit_offset` and their sizes
    /// add up to at most `max_bytes`; the first is given whatever its size. The caller has checked that `from` is in
    /// the log.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn read(
        &self,
        read: &dyn LogRead,
        from: i64,
        max_bytes: usize,
        limit_offset: i64,
    ) -> Result<Vec<Batch>, ReadError> {
        if from >= limit_offset || from >= self.end_offset {
            return Ok(Vec::new());
        }
        let mut batches = read.read(self.id, from, max_bytes)?;
        while batches.last().is_some_and(|batch| batch.header.next_offset() > limit_offset) {
            batches.pop();
        }
        Ok(batches)
    }

    /// The header of the batch that holds an offset, or of the first after it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn batch_at(&self, read: &dyn LogRead, offset: i64) -> Result<Option<BatchHeader>, ReadError> {
        self.find(read, offset, |_| true)
    }

    /// The first record below `limit_offset` whose timestamp is at least `timestamp_ms`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn offset_for_time(
        &self,
        read: &dyn LogRead,
        timestamp_ms: i64,
        limit_offset: i64,
    ) -> Result<Option<OffsetAtTime>, ReadError> {
        if timestamp_ms > self.time_index.max_timestamp() {
            return Ok(None);
        }
        let mut from = self.time_index.look_from(timestamp_ms).unwrap_or(self.start_offset).max(self.start_offset);
        loop {
            let found = self.find(read, from, |header| {
                header.base_offset >= limit_offset || header.max_timestamp >= timestamp_ms
            })?;
            let Some(header) = found.filter(|header| header.base_offset < limit_offset) else { return Ok(None) };
            let record = self.record_in(read, &header, |timestamp| timestamp >= timestamp_ms)?;
            if let Some(record) = record {
                return Ok(Some(record).filter(|record| record.offset < limit_offset));
            }
            // All records that are late enough lie before the log's start.
            from = header.next_offset();
        }
    }

    /// The first of the records below `limit_offset` that have the largest timestamp (ListOffsets −3, KIP-734); `None`
    /// if no record has a timestamp.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn max_timestamp(&self, read: &dyn LogRead, limit_offset: i64) -> Result<Option<OffsetAtTime>, ReadError> {
        let (mut largest, from) = self.time_index.known_below(limit_offset).unwrap_or((-1, self.start_offset));
        let from = from.max(self.start_offset);
        read.scan(self.id, from, &mut |header| {
            if header.base_offset >= limit_offset {
                return ControlFlow::Break(());
            }
            largest = largest.max(header.max_timestamp);
            ControlFlow::Continue(())
        })?;
        if largest < 0 {
            return Ok(None);
        }
        if let Some(found) = self.offset_for_time(read, largest, limit_offset)? {
            return Ok(Some(found));
        }
        // The largest that the index knows of has gone with the log's beginning: only looking at all that is left
        // tells.
        let mut best: Option<BatchHeader> = None;
        read.scan(self.id, self.start_offset, &mut |header| {
            if header.base_offset >= limit_offset {
                return ControlFlow::Break(());
            }
            if header.max_timestamp >= 0 && best.is_none_or(|best| header.max_timestamp > best.max_timestamp) {
                best = Some(*header);
            }
            ControlFlow::Continue(())
        })?;
        let Some(best) = best else { return Ok(None) };
        self.offset_for_time(read, best.max_timestamp, limit_offset)
    }

    fn find(
        &self,
        read: &dyn LogRead,
        from: i64,
        wanted: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<BatchHeader>, ReadError> {
        let mut found = None;
        read.scan(self.id, from, &mut |header| {
            if wanted(header) {
                found = Some(*header);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// The first record of a batch that is in the log and has a wanted timestamp. A body that cannot be read counts as
    /// one record.
    fn record_in(
        &self,
        read: &dyn LogRead,
        header: &BatchHeader,
        wanted: impl Fn(i64) -> bool,
    ) -> Result<Option<OffsetAtTime>, ReadError> {
        let leader_epoch = header.leader_epoch;
        let batch = read.read(self.id, header.base_offset, 1)?.into_iter().next();
        let Some(Ok(records)) = batch.map(|batch| records::decode(&batch)) else {
            let offset = header.base_offset.max(self.start_offset);
            return Ok(Some(OffsetAtTime { offset, timestamp: header.max_timestamp, leader_epoch }));
        };
        let record = records.into_iter().find(|record| record.offset >= self.start_offset && wanted(record.timestamp));
        Ok(record.map(|record| OffsetAtTime { offset: record.offset, timestamp: record.timestamp, leader_epoch }))
    }
}

#[cfg(test)]
mod tests;

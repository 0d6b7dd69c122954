//! Where in a log to begin looking for a timestamp: sparse, and bounded however large the log becomes.
//!
//! Invariants: an entry says that every batch up to and with `last_offset` has timestamps of at most `max_timestamp`,
//! so that looking may begin after the last entry below the target, in whatever order timestamps come. Entries are a
//! stride of bytes apart; when there are too many, every second goes and the stride doubles.

use crate::engine::log::transactions::{put_count, take_count};
use crate::protocol::batch::BatchHeader;
use bytes::{Buf, BufMut, Bytes, BytesMut};

const FIRST_STRIDE_BYTES: u64 = 64 * 1024;
const ENTRIES_MAX: usize = 256;
const ENTRY_SIZE: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TimeEntry {
    max_timestamp: i64,
    last_offset: i64,
}

/// The time index of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeIndex {
    entries: Vec<TimeEntry>,
    /// The largest timestamp so far; −1 if none.
    max_timestamp: i64,
    bytes_since_entry: u64,
    stride_bytes: u64,
}

impl Default for TimeIndex {
    fn default() -> TimeIndex {
        TimeIndex { entries: Vec::new(), max_timestamp: -1, bytes_since_entry: 0, stride_bytes: FIRST_STRIDE_BYTES }
    }
}

impl TimeIndex {
    /// The largest timestamp in the log, or of a part of it that is gone; −1 if none.
    pub(super) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// A batch is at the end of the log.
    pub(super) fn append(&mut self, header: &BatchHeader) {
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        self.bytes_since_entry += u64::try_from(header.size()).expect("a batch's size fits 64 bits");
        if self.bytes_since_entry < self.stride_bytes {
            return;
        }
        self.bytes_since_entry = 0;
        self.entries.push(TimeEntry { max_timestamp: self.max_timestamp, last_offset: header.last_offset() });
        if self.entries.len() >= ENTRIES_MAX {
            // The later of each pair stays: what it says holds for both.
            let mut place = 0;
            self.entries.retain(|_| {
                place += 1;
                place % 2 == 0
            });
            self.stride_bytes = self.stride_bytes.saturating_mul(2);
        }
    }

    /// The offset from which on to look for a timestamp of at least `target`; `None` if there is no need to begin after
    /// the log's start.
    pub(super) fn look_from(&self, target: i64) -> Option<i64> {
        let after = self.entries.partition_point(|entry| entry.max_timestamp < target);
        after.checked_sub(1).map(|place| self.entries[place].last_offset + 1)
    }

    /// The largest timestamp known below an offset, and the offset from which on it is not known.
    pub(super) fn known_below(&self, offset: i64) -> Option<(i64, i64)> {
        let after = self.entries.partition_point(|entry| entry.last_offset < offset);
        after.checked_sub(1).map(|place| (self.entries[place].max_timestamp, self.entries[place].last_offset + 1))
    }

    /// The log ends at an offset. The batches from the returned offset on (from the log's start, if `None`) have to be
    /// appended again.
    pub(super) fn truncate(&mut self, end_offset: i64) -> Option<i64> {
        self.entries.truncate(self.entries.partition_point(|entry| entry.last_offset < end_offset));
        self.bytes_since_entry = 0;
        self.max_timestamp = self.entries.last().map_or(-1, |entry| entry.max_timestamp);
        self.entries.last().map(|entry| entry.last_offset + 1)
    }

    /// The log starts at an offset.
    pub(super) fn trim(&mut self, start_offset: i64) {
        let gone = self.entries.partition_point(|entry| entry.last_offset < start_offset);
        self.entries.drain(..gone);
    }

    pub(super) fn encode(&self, to: &mut BytesMut) {
        to.put_i64(self.max_timestamp);
        to.put_u64(self.bytes_since_entry);
        to.put_u64(self.stride_bytes);
        put_count(to, self.entries.len());
        for entry in &self.entries {
            to.put_i64(entry.max_timestamp);
            to.put_i64(entry.last_offset);
        }
    }

    pub(super) fn decode(from: &mut Bytes) -> Option<TimeIndex> {
        let max_timestamp = from.try_get_i64().ok()?;
        let bytes_since_entry = from.try_get_u64().ok()?;
        let stride_bytes = from.try_get_u64().ok()?.max(FIRST_STRIDE_BYTES);
        let count = take_count(from, ENTRY_SIZE)?;
        let entries: Vec<TimeEntry> =
            (0..count).map(|_| TimeEntry { max_timestamp: from.get_i64(), last_offset: from.get_i64() }).collect();
        let rises = entries.is_sorted_by(|a, b| a.max_timestamp <= b.max_timestamp && a.last_offset < b.last_offset);
        rises.then_some(TimeIndex { entries, max_timestamp, bytes_since_entry, stride_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::records::BatchBuilder;

    /// A batch of one stride.
    fn header(offset: i64, timestamp: i64) -> BatchHeader {
        let header = BatchBuilder::new().base_offset(offset).value(timestamp, b"v").build().expect("a batch").header;
        BatchHeader { length: 64 * 1024, ..header }
    }

    fn filled(timestamps: impl IntoIterator<Item = i64>) -> TimeIndex {
        let mut index = TimeIndex::default();
        for (offset, timestamp) in (0..).zip(timestamps) {
            index.append(&header(offset, timestamp));
        }
        index
    }

    #[test]
    fn looking_begins_after_everything_that_is_too_early_whatever_the_order() {
        let index = filled([10, 50, 20, 30, 60]);
        assert_eq!(index.look_from(10), None);
        assert_eq!(index.look_from(11), Some(1));
        assert_eq!(index.look_from(50), Some(1));
        assert_eq!(index.look_from(51), Some(4));
        assert_eq!(index.look_from(61), Some(5));
        assert_eq!((index.known_below(4), index.known_below(0)), (Some((50, 4)), None));
    }

    #[test]
    fn it_stays_bounded_and_right() {
        let index = filled(0..5_000);
        assert!(index.entries.len() < ENTRIES_MAX && index.entries.len() > ENTRIES_MAX / 4);
        for target in [1, 700, 2_500, 4_999] {
            let from = index.look_from(target).unwrap_or(0);
            assert!(from <= target && target - from <= 64, "{from} for {target}");
        }
    }

    #[test]
    fn a_truncated_end_forgets_its_largest_timestamp() {
        let mut index = filled([10, 20, 90]);
        assert_eq!((index.max_timestamp(), index.truncate(2)), (90, Some(2)));
        assert_eq!((index.max_timestamp(), index.look_from(20)), (20, Some(1)));
        index.trim(1);
        assert_eq!(index.look_from(15), None);
        let mut bytes = BytesMut::new();
        index.encode(&mut bytes);
        let bytes = bytes.freeze();
        assert_eq!(TimeIndex::decode(&mut bytes.clone()), Some(index.clone()));
        assert_eq!(TimeIndex::decode(&mut bytes.slice(..30)), None);
        assert_eq!((index.truncate(0), index.max_timestamp()), (None, -1));
    }
}

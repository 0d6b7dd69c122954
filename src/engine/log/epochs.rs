//! Which leader epoch begins at which offset of a log (Kafka's `LeaderEpochFileCache`, KIP-101, KIP-279): what
//! truncation is decided by, instead of by the high watermark.
//!
//! Invariants: epochs and start offsets rise strictly. An epoch may have no records: a leader enters its epoch as it
//! begins (KAFKA-7415), and such an entry goes when the log is truncated to where it starts (KAFKA-10706).

use crate::protocol::ids::EpochEnd;
use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u8 = 1;
const ENTRY_SIZE: usize = 12;

/// The answer about an epoch of which nothing is known.
pub(super) const UNKNOWN_EPOCH_END: EpochEnd = EpochEnd { epoch: -1, end_offset: -1 };

/// An epoch and the offset of its first record, or of the record that will be its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EpochEntry {
    pub(super) epoch: i32,
    pub(super) start_offset: i64,
}

/// The epochs of a log, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// The entries, oldest first.
    pub(super) fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The latest epoch, with or without records.
    pub(super) fn latest(&self) -> Option<i32> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Notes that an epoch begins at an offset; entries that contradict it go. Tells whether anything changed.
    pub(super) fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        if epoch < 0 || start_offset < 0 {
            return false;
        }
        let before = self.entries.len();
        while self.entries.last().is_some_and(|last| last.epoch > epoch || last.start_offset >= start_offset) {
            // The same entry again is no change.
            if self.entries.last() == Some(&EpochEntry { epoch, start_offset }) {
                return self.entries.len() != before;
            }
            self.entries.pop();
        }
        if self.entries.last().is_some_and(|last| last.epoch == epoch) {
            return self.entries.len() != before;
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// The epoch in which an offset was written, or would be if the log ends there.
    pub(super) fn epoch_at(&self, offset: i64) -> Option<i32> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).map(|place| self.entries[place].epoch)
    }

    /// The largest epoch not above the one asked for, and where it ends (`LeaderEpochFileCache.endOffsetFor`). An epoch
    /// older than all that are known ends where the oldest known one begins; a newer one is unknown.
    pub(super) fn end_of(&self, epoch: i32, log_end: i64) -> EpochEnd {
        if epoch < 0 {
            return UNKNOWN_EPOCH_END;
        }
        let higher = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let floor = higher.checked_sub(1).map(|place| self.entries[place].epoch);
        match (floor, self.entries.get(higher)) {
            (Some(latest), None) if latest == epoch => EpochEnd { epoch, end_offset: log_end },
            (_, None) => UNKNOWN_EPOCH_END,
            (floor, Some(next)) => EpochEnd { epoch: floor.unwrap_or(epoch), end_offset: next.start_offset },
        }
    }

    /// Forgets epochs that begin at or after the new end of the log.
    pub(super) fn truncate_from_end(&mut self, end_offset: i64) -> bool {
        let before = self.entries.len();
        self.entries.truncate(self.entries.partition_point(|entry| entry.start_offset < end_offset));
        self.entries.len() != before
    }

    /// Forgets epochs that end before the new start of the log; the one that holds it begins there from now on.
    pub(super) fn truncate_from_start(&mut self, start_offset: i64) -> bool {
        let after = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        if after == 0 || (after == 1 && self.entries[0].start_offset == start_offset) {
            return false;
        }
        self.entries.drain(..after - 1);
        self.entries[0].start_offset = start_offset;
        true
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) -> bool {
        let changed = !self.entries.is_empty();
        self.entries = Vec::new();
        changed
    }

    /// What is kept in the store.
    pub(super) fn encode(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(1 + self.entries.len() * ENTRY_SIZE);
        to.put_u8(VERSION);
        for entry in &self.entries {
            to.put_i32(entry.epoch);
            to.put_i64(entry.start_offset);
        }
        to.freeze()
    }

    /// Reads [`EpochCache::encode`]; `None` if it is something else.
    pub(super) fn decode(mut from: Bytes) -> Option<EpochCache> {
        if from.try_get_u8().ok()? != VERSION || !from.len().is_multiple_of(ENTRY_SIZE) {
            return None;
        }
        let mut entries: Vec<EpochEntry> = Vec::with_capacity(from.len() / ENTRY_SIZE);
        while from.has_remaining() {
            let entry = EpochEntry { epoch: from.get_i32(), start_offset: from.get_i64() };
            let rises =
                entries.last().is_none_or(|last| last.epoch < entry.epoch && last.start_offset < entry.start_offset);
            if !rises {
                return None;
            }
            entries.push(entry);
        }
        Some(EpochCache { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for &(epoch, start_offset) in entries {
            assert!(cache.assign(epoch, start_offset));
        }
        cache
    }

    fn pairs(cache: &EpochCache) -> Vec<(i32, i64)> {
        cache.entries().iter().map(|entry| (entry.epoch, entry.start_offset)).collect()
    }

    #[test]
    fn an_epoch_is_entered_once_and_replaces_what_contradicts_it() {
        let mut epochs = cache(&[(1, 0), (3, 10)]);
        assert!(!epochs.assign(3, 12), "the epoch goes on");
        assert!(epochs.assign(5, 10), "epoch 3 had no records");
        assert_eq!(pairs(&epochs), [(1, 0), (5, 10)]);
        assert!(epochs.assign(4, 20), "a lower epoch further on: the higher one was never written");
        assert_eq!(pairs(&epochs), [(1, 0), (4, 20)]);
        assert!(!epochs.assign(4, 20) && !epochs.assign(-1, 30));
        assert!(epochs.assign(6, 25) && epochs.assign(4, 25), "epoch 6 was never written, and 4 goes on");
        assert_eq!(pairs(&epochs), [(1, 0), (4, 20)]);
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next_known_one() {
        let epochs = cache(&[(2, 5), (4, 10), (7, 30)]);
        let end = |epoch| {
            let end = epochs.end_of(epoch, 40);
            (end.epoch, end.end_offset)
        };
        assert_eq!(end(7), (7, 40), "the latest ends with the log");
        assert_eq!(end(8), (-1, -1), "never heard of");
        assert_eq!(end(4), (4, 30));
        assert_eq!(end(6), (4, 30), "the largest epoch not above (KIP-279)");
        assert_eq!(end(1), (1, 5), "older than all known");
        assert_eq!(end(-1), (-1, -1));
        assert_eq!(EpochCache::default().end_of(0, 0), UNKNOWN_EPOCH_END);
    }

    #[test]
    fn both_ends_are_cut_and_an_empty_epoch_at_the_end_goes() {
        let mut epochs = cache(&[(2, 0), (4, 10), (7, 30)]);
        assert!(!epochs.truncate_from_end(31));
        assert!(epochs.truncate_from_end(30));
        assert_eq!(epochs.latest(), Some(4));
        assert!(!epochs.truncate_from_start(0));
        assert!(epochs.truncate_from_start(5));
        assert_eq!(pairs(&epochs), [(2, 5), (4, 10)]);
        assert!(epochs.truncate_from_start(10));
        assert_eq!(pairs(&epochs), [(4, 10)]);
        assert!(epochs.truncate_from_start(25));
        assert_eq!(pairs(&epochs), [(4, 25)]);
        assert_eq!((epochs.epoch_at(24), epochs.epoch_at(25), epochs.epoch_at(99)), (None, Some(4), Some(4)));
        assert!(epochs.clear() && !epochs.clear());
    }

    #[test]
    fn it_reads_what_it_wrote_and_refuses_anything_else() {
        let epochs = cache(&[(2, 0), (4, 10)]);
        let bytes = epochs.encode();
        assert_eq!(EpochCache::decode(bytes.clone()), Some(epochs));
        assert_eq!(EpochCache::decode(bytes.slice(..bytes.len() - 1)), None);
        assert_eq!(EpochCache::decode(Bytes::from_static(&[9])), None);
        let mut swapped = bytes.to_vec();
        swapped[1..25].rotate_left(12);
        assert_eq!(EpochCache::decode(Bytes::from(swapped)), None);
    }
}

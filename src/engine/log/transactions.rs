//! The transactions in a log: which are open, which have ended but may not be replicated yet, and which were aborted.
//! From these follow the last stable offset and what a reader of committed records has to skip (KIP-98;
//! `ProducerStateManager`, `TransactionIndex`).
//!
//! Invariants: ended and aborted transactions are in order of their marker's offset. A transaction counts as ended only
//! once its marker lies below the high watermark.
//!
//! Not here: who may begin or end a transaction (the coordinators, `txn/`).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{BTreeSet, VecDeque};

/// A transaction that was aborted: readers of committed records skip this producer's records from `first_offset` to
/// `last_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// The offset of its first record.
    pub first_offset: i64,
    /// The offset of its marker.
    pub last_offset: i64,
    /// The last stable offset once it had ended: all later transactions begin there or after.
    pub last_stable_offset: i64,
}

/// A transaction whose marker may not be below the high watermark yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended {
    first_offset: i64,
    marker_offset: i64,
}

/// The transactions of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Transactions {
    /// First offset and producer of each open transaction.
    open: BTreeSet<(i64, i64)>,
    ended: VecDeque<Ended>,
    aborted: Vec<AbortedTransaction>,
}

impl Transactions {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ended.is_empty() && self.aborted.is_empty()
    }

    /// A producer's first record of a transaction.
    pub(super) fn begin(&mut self, producer_id: i64, first_offset: i64) {
        self.open.insert((first_offset, producer_id));
    }

    /// A marker ends a transaction. Tells the last stable offset if everything is replicated.
    pub(super) fn end(&mut self, producer_id: i64, first_offset: i64, marker_offset: i64) -> i64 {
        self.open.remove(&(first_offset, producer_id));
        self.ended.push_back(Ended { first_offset, marker_offset });
        self.open.first().map_or(marker_offset + 1, |&(first, _)| first)
    }

    /// The transaction that just ended was aborted.
    pub(super) fn note_aborted(&mut self, aborted: AbortedTransaction) {
        self.aborted.push(aborted);
    }

    /// The first offset that is not decided below a high watermark, if there is one.
    pub(super) fn first_unstable(&self, high_watermark: i64) -> Option<i64> {
        let replicated = self.ended.partition_point(|ended| ended.marker_offset < high_watermark);
        let ended = self.ended.range(replicated..).map(|ended| ended.first_offset).min();
        let open = self.open.first().map(|&(first, _)| first);
        match (ended, open) {
            (Some(ended), Some(open)) => Some(ended.min(open)),
            (ended, open) => ended.or(open),
        }
    }

    /// Forgets what a high watermark has settled. It never goes back below what was settled.
    pub(super) fn settle(&mut self, high_watermark: i64) {
        let replicated = self.ended.partition_point(|ended| ended.marker_offset < high_watermark);
        self.ended.drain(..replicated);
    }

    /// The log starts at an offset: what ended before is of no interest.
    pub(super) fn trim(&mut self, start_offset: i64) {
        self.settle(start_offset);
        let gone = self.aborted.partition_point(|aborted| aborted.last_offset < start_offset);
        self.aborted.drain(..gone);
    }

    /// Compaction has removed these markers, and all records of their transactions before: nobody has to skip any more.
    pub(super) fn forget_aborted(&mut self, marker_offsets: &BTreeSet<i64>) {
        self.aborted.retain(|aborted| !marker_offsets.contains(&aborted.last_offset));
    }

    /// The aborted transactions that touch the offsets from `from` up to but without `upper`.
    pub(super) fn aborted_between(&self, from: i64, upper: i64) -> Vec<AbortedTransaction> {
        let first = self.aborted.partition_point(|aborted| aborted.last_offset < from);
        let mut found = Vec::new();
        for aborted in &self.aborted[first..] {
            if aborted.first_offset < upper {
                found.push(*aborted);
            }
            if aborted.last_stable_offset >= upper {
                break;
            }
        }
        found
    }

    pub(super) fn encode(&self, to: &mut BytesMut) {
        // Open transactions are told by their producers.
        put_count(to, self.ended.len());
        for ended in &self.ended {
            to.put_i64(ended.first_offset);
            to.put_i64(ended.marker_offset);
        }
        put_count(to, self.aborted.len());
        for aborted in &self.aborted {
            to.put_i64(aborted.producer_id);
            to.put_i64(aborted.first_offset);
            to.put_i64(aborted.last_offset);
            to.put_i64(aborted.last_stable_offset);
        }
    }

    pub(super) fn decode(from: &mut Bytes) -> Option<Transactions> {
        let mut ended = VecDeque::new();
        for _ in 0..take_count(from, 16)? {
            ended.push_back(Ended { first_offset: from.get_i64(), marker_offset: from.get_i64() });
        }
        let mut aborted = Vec::new();
        for _ in 0..take_count(from, 32)? {
            aborted.push(AbortedTransaction {
                producer_id: from.get_i64(),
                first_offset: from.get_i64(),
                last_offset: from.get_i64(),
                last_stable_offset: from.get_i64(),
            });
        }
        Some(Transactions { open: BTreeSet::new(), ended, aborted })
    }
}

/// Writes how many entries follow.
pub(super) fn put_count(to: &mut BytesMut, count: usize) {
    to.put_u32(u32::try_from(count).expect("fewer than 2^32 entries"));
}

/// Reads how many entries of at least `entry_size` bytes follow; `None` if there are not as many bytes.
pub(super) fn take_count(from: &mut Bytes, entry_size: usize) -> Option<usize> {
    let count = usize::try_from(from.try_get_u32().ok()?).ok()?;
    (count.checked_mul(entry_size)? <= from.len()).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_transaction_holds_readers_back_until_its_marker_is_replicated() {
        let mut transactions = Transactions::default();
        transactions.begin(1, 10);
        transactions.begin(2, 12);
        assert_eq!(transactions.end(1, 10, 15), 12, "producer 2 is still open");
        assert_eq!(transactions.first_unstable(15), Some(10));
        assert_eq!(transactions.first_unstable(16), Some(12));
        assert_eq!(transactions.end(2, 12, 17), 18);
        assert_eq!((transactions.first_unstable(17), transactions.first_unstable(18)), (Some(12), None));
        transactions.settle(18);
        assert!(transactions.is_empty());
    }

    #[test]
    fn only_aborted_transactions_that_touch_the_range_are_told() {
        let mut transactions = Transactions::default();
        for (producer_id, first_offset, last_offset) in [(1, 0, 5), (2, 3, 9), (3, 20, 25)] {
            transactions.begin(producer_id, first_offset);
            let last_stable_offset = transactions.end(producer_id, first_offset, last_offset);
            transactions.note_aborted(AbortedTransaction {
                producer_id,
                first_offset,
                last_offset,
                last_stable_offset,
            });
        }
        let told = |from, upper| -> Vec<i64> {
            transactions.aborted_between(from, upper).iter().map(|aborted| aborted.producer_id).collect()
        };
        assert_eq!(told(0, 30), [1, 2, 3]);
        assert_eq!(told(6, 20), [2]);
        assert_eq!(told(0, 3), [1]);
        assert_eq!(told(10, 20), [0_i64; 0]);
        let mut bytes = BytesMut::new();
        transactions.encode(&mut bytes);
        let mut read = Transactions::decode(&mut bytes.clone().freeze()).expect("readable");
        assert_eq!(read, transactions);
        assert_eq!(Transactions::decode(&mut bytes.freeze().slice(..20)), None);
        read.trim(6);
        assert_eq!(read.aborted_between(0, 30).len(), 2);
    }
}

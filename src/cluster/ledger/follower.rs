//! What a reader tells the ledger: what it read, and when a broker set it back.
//!
//! Invariant: a place that jumps is told as what it is: a log that was cut, or records that retention removed.
//!
//! Deliberately not here: verdicts, which are the ledger's, and the reading itself.

use super::{HEADER, Ledger, Tag};
use crate::client::consumer::ConsumerRecord;
use crate::client::metadata::TopicPartition;
use std::collections::BTreeMap;

/// Where a reader is in a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Watch {
    next: i64,
    /// The broker said that the place is out of range, and a new one is looked for.
    is_lost: bool,
    /// It was set back: what lies between its place and where it was may come again, or not.
    is_set_back: bool,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    places: BTreeMap<TopicPartition, Watch>,
}

impl Follower {
    /// Records that were read, in order a partition.
    pub fn read(&mut self, ledger: &mut Ledger, records: &[ConsumerRecord]) {
        for read in records {
            let header = read.record.headers.iter().find(|(name, _)| name == HEADER);
            let tag = header.and_then(|(_, value)| Tag::parse(value.as_ref()?));
            ledger.read(&read.partition, read.record.offset, tag);
        }
    }

    /// Where a reader is after a turn.
    pub fn stands(&mut self, ledger: &mut Ledger, partition: &TopicPartition, next: Option<i64>, high_watermark: i64) {
        let Some(place) = self.places.get_mut(partition) else {
            if let Some(next) = next {
                ledger.reads_from(partition, next);
                self.places.insert(partition.clone(), Watch { next, ..Watch::default() });
            }
            return;
        };
        let Some(next) = next else {
            place.is_lost = true;
            return;
        };
        if place.is_lost {
            place.is_lost = false;
            if next > place.next {
                ledger.removed(partition, next);
            }
            place.is_set_back |= next < place.next;
        }
        place.next = next;
        if place.is_set_back && next >= high_watermark {
            // Everything there is was read again: the rest of what was read before is no more.
            place.is_set_back = false;
            ledger.cut(partition, high_watermark);
        }
    }

    /// Another reads it now.
    pub fn leaves(&mut self, partition: &TopicPartition) {
        self.places.remove(partition);
    }

    /// The partitions that it has a place in.
    pub fn places(&self) -> impl Iterator<Item = &TopicPartition> {
        self.places.keys()
    }

    /// Whether it has a place in so many partitions.
    pub fn is_ready(&self, partitions: usize) -> bool {
        partitions > 0 && self.places.len() >= partitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ledger::LoadId;
    use crate::cluster::view::Acks;
    use crate::protocol::records::Record;
    use bytes::Bytes;

    const LOAD: LoadId = LoadId(1);

    fn partition() -> TopicPartition {
        TopicPartition::new("orders", 0)
    }

    fn record(offset: i64, number: u64) -> ConsumerRecord {
        let tag = Tag { load: LOAD, number }.to_string();
        let headers = vec![("source".to_owned(), None), (HEADER.to_owned(), Some(Bytes::from(tag)))];
        let record = Record { offset, timestamp: 0, key: None, value: None, headers };
        ConsumerRecord { partition: partition(), record, leader_epoch: 0 }
    }

    /// A ledger and a reader at 0, with records 1 to 6 acknowledged at offsets 0 to 5 and the first four read.
    fn under_way() -> (Ledger, Follower) {
        let (mut ledger, mut follower) = (Ledger::default(), Follower::default());
        ledger.begin(LOAD, Acks::Leader);
        follower.stands(&mut ledger, &partition(), None, -1);
        assert!(!follower.is_ready(1));
        follower.stands(&mut ledger, &partition(), Some(0), 0);
        assert!(follower.is_ready(1));
        for number in 1..=6_u64 {
            ledger.acked(Tag { load: LOAD, number }, &partition(), i64::try_from(number).expect("small") - 1);
        }
        let records: Vec<_> =
            (0..4).map(|offset| record(offset, u64::try_from(offset).expect("positive") + 1)).collect();
        follower.read(&mut ledger, &records);
        follower.stands(&mut ledger, &partition(), Some(4), 4);
        assert_eq!(ledger.report().counts.readable, 4);
        (ledger, follower)
    }

    #[test]
    fn a_log_that_was_cut_is_known_when_all_that_is_left_was_read_again() {
        let (mut ledger, mut follower) = under_way();
        follower.stands(&mut ledger, &partition(), None, 4);
        follower.stands(&mut ledger, &partition(), Some(0), 4);
        assert_eq!(ledger.report().counts.lost, 0, "it may all come again");
        follower.read(&mut ledger, &[record(0, 1), record(1, 2)]);
        follower.stands(&mut ledger, &partition(), Some(2), 2);
        let counts = ledger.report().counts;
        assert_eq!((counts.lost, counts.readable, counts.duplicated), (4, 2, 0));
    }

    #[test]
    fn records_that_retention_removed_before_they_were_read_are_not_lost() {
        let (mut ledger, mut follower) = under_way();
        follower.stands(&mut ledger, &partition(), None, 4);
        follower.stands(&mut ledger, &partition(), Some(6), 6);
        follower.read(&mut ledger, &[record(6, 7)]);
        assert_eq!((ledger.report().counts.lost, ledger.report().counts.readable), (0, 4));
    }
}

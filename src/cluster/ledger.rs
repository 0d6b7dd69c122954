//! The ledger: follows every record of our own producers from its acknowledgement to the moment it is read, and says which were
//! lost, came twice or came out of order, by offset.
//!
//! A record carries its [`Tag`] in a header. Producers tell how each one ended, readers tell what they read, in the order they read
//! it; the same code serves the demo load, `produce --rate` and a simulated world.
//!
//! Invariants: memory is bounded by what is under way and by [`WINDOW_MAX`] records a partition, not by what was ever sent; a verdict
//! is taken back when the record turns up after all; what cannot be known (a reader that began later, a record that retention
//! removed before it was read) is left out, never called lost or safe.
//!
//! Deliberately not here: why something was lost (the observer knows who was elected and who lost power), and any I/O.

pub mod follower;
mod ranges;

use crate::client::metadata::TopicPartition;
use crate::cluster::view::{Acks, Ledger as Counts};
use ranges::Ranges;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// The name of the header that holds a record's tag.
pub const HEADER: &str = "ledger";
/// How many of the records read last are remembered of each partition: how far back a log that was cut is noticed.
const WINDOW_MAX: usize = 4_096;

/// Names a load for the life of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadId(pub u64);

/// What a record of ours carries: which load it belongs to and its number in it, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// The load.
    pub load: LoadId,
    /// The record's number.
    pub number: u64,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}/{}", self.load.0, self.number)
    }
}

impl Tag {
    /// Reads what `Display` writes; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Tag> {
        let (load, number) = std::str::from_utf8(text).ok()?.split_once('/')?;
        let load = LoadId(u64::from_str_radix(load, 16).ok()?);
        Some(Tag { load, number: number.parse().ok()? })
    }
}

/// Records that were acknowledged and are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// How many, over all partitions.
    pub count: u64,
    /// The first partition concerned.
    pub partition: TopicPartition,
    /// The first lost offset in it.
    pub first_offset: i64,
    /// The last lost offset in it.
    pub last_offset: i64,
    /// The acknowledgements that the load of the first one waited for.
    pub acks: Acks,
}

/// What the ledger has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The counts.
    pub counts: Counts,
    /// What was lost, if anything was.
    pub lost: Option<Loss>,
}

impl Report {
    /// This and what another ledger has to say.
    #[must_use]
    pub fn with(self, other: Report) -> Report {
        let (one, two) = (self.counts, other.counts);
        let counts = Counts {
            acked: one.acked + two.acked,
            readable: one.readable + two.readable,
            lost: one.lost + two.lost,
            duplicated: one.duplicated + two.duplicated,
            reordered: one.reordered + two.reordered,
            unknown_since_ms: one.unknown_since_ms.into_iter().chain(two.unknown_since_ms).min(),
        };
        Report { counts, lost: self.lost.or(other.lost) }
    }
}

/// What is known of a load.
#[derive(Debug, Clone, Default)]
struct Load {
    acks: Acks,
    acked: Ranges,
    seen: Ranges,
}

/// What is known of a partition.
#[derive(Debug, Clone, Default)]
struct Followed {
    /// Where its readers began: what was acknowledged below is not followed.
    from: Option<i64>,
    /// The records read last: offset and tag, in order of offset.
    window: VecDeque<(i64, Option<Tag>)>,
    /// Acknowledged and not read yet, by offset.
    waiting: BTreeMap<i64, Tag>,
    /// The largest number read of each load.
    newest: BTreeMap<LoadId, u64>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    counts: Counts,
    loads: BTreeMap<LoadId, Load>,
    partitions: BTreeMap<TopicPartition, Followed>,
    /// Acknowledged and gone, with where they were.
    lost: BTreeMap<Tag, (TopicPartition, i64)>,
}

impl Ledger {
    /// A load begins. Records with its tag count from now on.
    pub fn begin(&mut self, load: LoadId, acks: Acks) {
        self.loads.insert(load, Load { acks, ..Load::default() });
    }

    /// A reader of a partition begins at an offset.
    pub fn reads_from(&mut self, partition: &TopicPartition, offset: i64) {
        let followed = self.partitions.entry(partition.clone()).or_default();
        followed.from = Some(followed.from.map_or(offset, |from| from.min(offset)));
    }

    /// In how many partitions of some topics readers have a place.
    pub fn places_in(&self, topics: &[String]) -> usize {
        let places = self.partitions.iter().filter(|(_, followed)| followed.from.is_some());
        places.filter(|(partition, _)| topics.contains(&partition.topic)).count()
    }

    /// A record was acknowledged. Offsets below zero are not known (acks=0, or a repetition the broker had already).
    pub fn acked(&mut self, tag: Tag, partition: &TopicPartition, offset: i64) {
        let Some(load) = self.loads.get_mut(&tag.load) else { return };
        if load.acks == Acks::None || !load.acked.insert(tag.number) {
            return;
        }
        self.counts.acked += 1;
        if load.seen.contains(tag.number) {
            self.counts.readable += 1;
            return;
        }
        let Some(followed) = self.partitions.get_mut(partition) else { return };
        if followed.from.is_none_or(|from| offset < from) {
            return;
        }
        match followed.window.back() {
            // It was passed before its acknowledgement arrived, and it was not there.
            Some((last, _)) if *last >= offset => self.lose(tag, partition.clone(), offset),
            _ => {
                // Two were promised the same place: another leader has given it away, and the former record is gone.
                if let Some(gone) = followed.waiting.insert(offset, tag).filter(|gone| *gone != tag) {
                    self.lose(gone, partition.clone(), offset);
                }
            }
        }
    }

    /// A record was read. Records without a tag of ours are told too: they show what is no longer where it was.
    pub fn read(&mut self, partition: &TopicPartition, offset: i64, tag: Option<Tag>) {
        let tag = tag.filter(|tag| self.loads.contains_key(&tag.load));
        let followed = self.partitions.entry(partition.clone()).or_default();
        followed.from.get_or_insert(offset);
        if let Some((last, _)) = followed.window.back()
            && offset <= *last
        {
            let place = followed.window.partition_point(|(known, _)| *known < offset);
            match followed.window.get(place) {
                // The same as before, or older than what is remembered.
                Some((known, same)) if *known == offset && *same == tag => return,
                Some((known, _)) if place == 0 && *known > offset => return,
                Some(_) => {
                    // The log was cut and went on otherwise: what was read from here on is gone.
                    let gone: Vec<_> = followed.window.drain(place..).collect();
                    self.withdraw(partition, gone);
                }
                None => {}
            }
        }
        self.pass(partition, offset, tag);
        let followed = self.partitions.get_mut(partition).expect("made above");
        if followed.window.len() == WINDOW_MAX {
            followed.window.pop_front();
        }
        followed.window.push_back((offset, tag));
        if let Some(tag) = tag {
            self.see(partition, tag);
        }
    }

    /// A reader was set back by the broker, because the log ends before what it had read: everything from `log_end` on is gone.
    pub fn cut(&mut self, partition: &TopicPartition, log_end: i64) {
        let Some(followed) = self.partitions.get_mut(partition) else { return };
        let place = followed.window.partition_point(|(known, _)| *known < log_end);
        let gone: Vec<_> = followed.window.drain(place..).collect();
        let waiting = followed.waiting.split_off(&log_end);
        self.withdraw(partition, gone);
        for (offset, tag) in waiting {
            self.lose(tag, partition.clone(), offset);
        }
    }

    /// Retention removed everything below an offset before it was read: nothing can be said of it.
    pub fn removed(&mut self, partition: &TopicPartition, log_start: i64) {
        if let Some(followed) = self.partitions.get_mut(partition) {
            followed.waiting = followed.waiting.split_off(&log_start);
        }
    }

    /// A topic was deleted: its records are gone because somebody wanted it, and nothing that waited for a reader is lost.
    pub fn deleted(&mut self, topic: &str) {
        self.partitions.retain(|partition, _| partition.topic != topic);
        self.lost.retain(|_, (partition, _)| partition.topic != topic);
        self.counts.lost = self.lost.len() as u64;
    }

    /// Something was missed (a reader ended, an answer could not be read): from here on nothing can be promised.
    pub fn gap(&mut self, at_ms: u64) {
        self.counts.unknown_since_ms.get_or_insert(at_ms);
    }

    /// Acknowledged records that were passed without being there are lost.
    fn pass(&mut self, partition: &TopicPartition, offset: i64, tag: Option<Tag>) {
        let followed = self.partitions.get_mut(partition).expect("a partition that is read");
        let ahead = followed.waiting.split_off(&(offset + 1));
        let passed = std::mem::replace(&mut followed.waiting, ahead);
        for (place, waiting) in passed {
            if Some(waiting) != tag {
                self.lose(waiting, partition.clone(), place);
            }
        }
    }

    fn see(&mut self, partition: &TopicPartition, tag: Tag) {
        let load = self.loads.get_mut(&tag.load).expect("only tags of known loads come here");
        if self.lost.remove(&tag).is_some() {
            // It turned up after all.
            self.counts.lost -= 1;
            self.counts.readable += 1;
            load.seen.insert(tag.number);
            return;
        }
        if !load.seen.insert(tag.number) {
            self.counts.duplicated += 1;
            return;
        }
        if load.acked.contains(tag.number) {
            self.counts.readable += 1;
        }
        let followed = self.partitions.get_mut(partition).expect("a partition that is read");
        let newest = followed.newest.entry(tag.load).or_default();
        if tag.number < *newest {
            self.counts.reordered += 1;
        }
        *newest = tag.number.max(*newest);
    }

    /// What was read is no longer there.
    fn withdraw(&mut self, partition: &TopicPartition, gone: Vec<(i64, Option<Tag>)>) {
        for (offset, tag) in gone.into_iter().filter_map(|(offset, tag)| Some((offset, tag?))) {
            let Some(load) = self.loads.get_mut(&tag.load) else { continue };
            load.seen.remove(tag.number);
            if load.acked.contains(tag.number) {
                self.counts.readable -= 1;
                self.lose(tag, partition.clone(), offset);
            }
        }
        let followed = self.partitions.get_mut(partition).expect("a partition that is read");
        followed.newest.clear();
        for (_, tag) in followed.window.iter().filter_map(|(offset, tag)| Some((offset, (*tag)?))) {
            let newest = followed.newest.entry(tag.load).or_default();
            *newest = tag.number.max(*newest);
        }
    }

    fn lose(&mut self, tag: Tag, partition: TopicPartition, offset: i64) {
        if self.lost.insert(tag, (partition, offset)).is_none() {
            self.counts.lost += 1;
        }
    }

    /// The counts alone.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What it has to say now.
    pub fn report(&self) -> Report {
        let lost = self.lost.iter().next().map(|(tag, (partition, _))| {
            let offsets = self.lost.values().filter(|(other, _)| other == partition).map(|(_, offset)| *offset);
            let (first_offset, last_offset) =
                offsets.fold((i64::MAX, i64::MIN), |(first, last), offset| (first.min(offset), last.max(offset)));
            let acks = self.loads.get(&tag.load).map_or(Acks::All, |load| load.acks);
            let count = self.counts.lost;
            Loss { count, partition: partition.clone(), first_offset, last_offset, acks }
        });
        Report { counts: self.counts, lost }
    }

    /// Whether any load was ever followed.
    pub fn is_empty(&self) -> bool {
        self.loads.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: LoadId = LoadId(7);

    fn tag(number: u64) -> Tag {
        Tag { load: LOAD, number }
    }

    fn partition() -> TopicPartition {
        TopicPartition::new("orders", 0)
    }

    /// A ledger of a partition read from 0, with so many records acknowledged at offsets 0, 1, 2 …
    fn acked(records: u64, acks: Acks) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.begin(LOAD, acks);
        ledger.reads_from(&partition(), 0);
        for number in 1..=records {
            ledger.acked(tag(number), &partition(), i64::try_from(number).expect("small") - 1);
        }
        ledger
    }

    fn read(ledger: &mut Ledger, offset: i64, number: u64) {
        ledger.read(&partition(), offset, Some(tag(number)));
    }

    #[test]
    fn what_is_acknowledged_and_read_is_readable_in_whatever_order_the_two_are_told() {
        let mut ledger = acked(10, Acks::All);
        (0..12).for_each(|offset| read(&mut ledger, offset, u64::try_from(offset).expect("positive") + 1));
        ledger.acked(tag(11), &partition(), 10);
        let counts = ledger.report().counts;
        assert_eq!((counts.acked, counts.readable), (11, 11));
        assert_eq!((counts.lost, counts.duplicated, counts.reordered), (0, 0, 0));
    }

    #[test]
    fn an_acknowledged_record_that_a_reader_passes_is_lost_with_its_offset() {
        let mut ledger = acked(5, Acks::Leader);
        read(&mut ledger, 0, 1);
        read(&mut ledger, 1, 2);
        read(&mut ledger, 4, 5);
        let report = ledger.report();
        assert_eq!((report.counts.lost, report.counts.readable), (2, 3));
        let loss = report.lost.expect("two are lost");
        assert_eq!((loss.count, loss.first_offset, loss.last_offset, loss.acks), (2, 2, 3, Acks::Leader));
    }

    #[test]
    fn a_late_acknowledgement_of_what_was_passed_is_a_loss_too() {
        let mut ledger = acked(1, Acks::All);
        read(&mut ledger, 0, 1);
        read(&mut ledger, 2, 3);
        ledger.acked(tag(2), &partition(), 1);
        assert_eq!(ledger.report().counts.lost, 1);
    }

    #[test]
    fn a_place_that_another_leader_promises_again_is_a_loss_before_anybody_reads_it() {
        let mut ledger = acked(3, Acks::Leader);
        ledger.acked(tag(4), &partition(), 1);
        ledger.acked(tag(5), &partition(), 2);
        assert_eq!(ledger.report().counts.lost, 2);
        for (offset, number) in [(0, 1), (1, 4), (2, 5)] {
            read(&mut ledger, offset, number);
        }
        let counts = ledger.report().counts;
        assert_eq!((counts.acked, counts.readable, counts.lost), (5, 3, 2));
    }

    #[test]
    fn records_that_were_read_and_then_cut_are_lost_until_they_turn_up() {
        let mut ledger = acked(6, Acks::Leader);
        (0..6).for_each(|offset| read(&mut ledger, offset, u64::try_from(offset).expect("positive") + 1));
        assert_eq!(ledger.report().counts.readable, 6);
        // The log was cut at 4 and goes on with other records.
        read(&mut ledger, 4, 9);
        let counts = ledger.report().counts;
        assert_eq!((counts.lost, counts.readable), (2, 4));
        // The producer's repetition brings one of them back.
        read(&mut ledger, 5, 5);
        let counts = ledger.report().counts;
        assert_eq!((counts.lost, counts.readable, counts.duplicated), (1, 5, 0));
    }

    #[test]
    fn a_cut_that_only_the_broker_tells_of_takes_back_what_was_read_and_what_waits() {
        let mut ledger = acked(6, Acks::Leader);
        (0..4).for_each(|offset| read(&mut ledger, offset, u64::try_from(offset).expect("positive") + 1));
        ledger.cut(&partition(), 3);
        assert_eq!((ledger.report().counts.lost, ledger.report().counts.readable), (3, 3));
        // It was only behind: everything comes again.
        (3..6).for_each(|offset| read(&mut ledger, offset, u64::try_from(offset).expect("positive") + 1));
        assert_eq!((ledger.report().counts.lost, ledger.report().counts.readable), (0, 6));
    }

    #[test]
    fn reading_the_same_again_is_no_duplicate_but_the_same_record_elsewhere_is() {
        let mut ledger = acked(3, Acks::All);
        (0..3).for_each(|offset| read(&mut ledger, offset, u64::try_from(offset).expect("positive") + 1));
        (0..3).for_each(|offset| read(&mut ledger, offset, u64::try_from(offset).expect("positive") + 1));
        assert_eq!(ledger.report().counts.duplicated, 0);
        read(&mut ledger, 3, 2);
        let counts = ledger.report().counts;
        assert_eq!((counts.duplicated, counts.readable, counts.reordered), (1, 3, 0));
    }

    #[test]
    fn a_record_that_comes_after_a_later_one_is_reordered() {
        let mut ledger = acked(0, Acks::All);
        for (offset, number) in [(0, 1), (1, 3), (2, 2), (3, 4)] {
            read(&mut ledger, offset, number);
        }
        assert_eq!(ledger.report().counts.reordered, 1);
    }

    #[test]
    fn what_nobody_can_know_is_neither_lost_nor_readable() {
        let mut ledger = Ledger::default();
        ledger.begin(LOAD, Acks::All);
        ledger.acked(tag(1), &partition(), 0);
        ledger.reads_from(&partition(), 5);
        ledger.acked(tag(2), &partition(), 4);
        ledger.acked(tag(3), &partition(), 5);
        ledger.removed(&partition(), 9);
        read(&mut ledger, 9, 4);
        let counts = ledger.report().counts;
        assert_eq!((counts.acked, counts.readable, counts.lost), (3, 0, 0));
        ledger.gap(1_234);
        ledger.gap(2_000);
        assert_eq!(ledger.report().counts.unknown_since_ms, Some(1_234));
    }

    #[test]
    fn records_of_a_deleted_topic_are_not_lost() {
        let mut ledger = acked(6, Acks::All);
        (0..4).for_each(|offset| read(&mut ledger, offset, u64::try_from(offset).expect("positive") + 1));
        ledger.cut(&partition(), 3);
        assert_eq!(ledger.report().counts.lost, 3);
        ledger.deleted("orders");
        assert_eq!((ledger.report().counts.lost, ledger.report().lost), (0, None));
        // Another topic of that name begins at 0.
        ledger.reads_from(&partition(), 0);
        ledger.acked(tag(7), &partition(), 0);
        read(&mut ledger, 0, 7);
        assert_eq!((ledger.report().counts.lost, ledger.report().counts.readable), (0, 4));
    }

    #[test]
    fn records_of_others_and_of_loads_without_acknowledgements_do_not_count() {
        let mut ledger = acked(3, Acks::None);
        ledger.read(&partition(), 0, None);
        ledger.read(&partition(), 1, Some(Tag { load: LoadId(8), number: 1 }));
        assert_eq!(ledger.report(), Report { counts: Counts::default(), lost: None });
    }

    #[test]
    fn memory_is_bounded_by_what_is_under_way() {
        let mut ledger = acked(0, Acks::All);
        for number in 1..=100_000_u64 {
            let offset = i64::try_from(number).expect("small") - 1;
            ledger.acked(tag(number), &partition(), offset);
            read(&mut ledger, offset, number);
        }
        let followed = &ledger.partitions[&partition()];
        assert_eq!((followed.waiting.len(), followed.window.len()), (0, WINDOW_MAX));
        let load = &ledger.loads[&LOAD];
        assert_eq!((load.seen.pieces(), load.acked.pieces()), (1, 1));
        // What is older than the window is known to have been read, and is not counted again.
        read(&mut ledger, 5, 6);
        assert_eq!(ledger.report().counts.duplicated, 0);
    }

    #[test]
    fn a_tag_is_read_as_it_is_written() {
        assert_eq!(Tag::parse(tag(12).to_string().as_bytes()), Some(tag(12)));
        assert!([&b""[..], b"x/1", b"7", b"\xff/1", b"7/-1"].iter().all(|text| Tag::parse(text).is_none()));
    }
}

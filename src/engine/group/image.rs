//! What a partition of `__consumer_offsets` says: groups and committed offsets. [`Image::apply`] is the only way it
//! changes, on a coordinator at work, on one that loads, and after a failover.
//!
//! A coordinator keeps two: one at the end of the log, which decisions look at, and one at the high watermark, which is
//! all that clients are shown.

use crate::engine::group::consumer::image::ConsumerImage;
use crate::engine::group::record::{CommittedOffset, GroupMetadata, GroupRecord};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Offsets by topic and partition.
pub type Offsets = BTreeMap<Arc<str>, BTreeMap<i32, CommittedOffset>>;

/// What is kept of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupImage {
    /// Its last generation; `None` if it only ever committed offsets (Kafka's simple group).
    pub metadata: Option<GroupMetadata>,
    /// What its records say if it is a consumer group (KIP-848), or was one a moment ago.
    pub consumer: ConsumerImage,
    /// How far it has come.
    pub offsets: Offsets,
}

impl GroupImage {
    /// The committed offset of a partition.
    pub fn offset(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.offsets.get(topic)?.get(&partition)
    }
}

/// Group, topic, partition.
pub type OffsetKey = (Arc<str>, Arc<str>, i32);

/// An offset that was committed in a transaction which has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PendingOffset {
    value: CommittedOffset,
    /// A plain commit came after it, and stays (`OffsetMetadataManager` compares the records' offsets).
    is_superseded: bool,
}

/// What a batch of the partition does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Its records are in force.
    Plain(Vec<GroupRecord>),
    /// They come into force if the producer's transaction commits.
    InTransaction(i64, Vec<GroupRecord>),
    /// The producer's transaction has ended.
    Ended {
        /// The producer.
        producer_id: i64,
        /// It committed.
        commits: bool,
    },
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    groups: BTreeMap<Arc<str>, GroupImage>,
    /// By producer.
    pending: BTreeMap<i64, BTreeMap<OffsetKey, PendingOffset>>,
}

impl Image {
    /// A group.
    pub fn group(&self, group: &str) -> Option<&GroupImage> {
        self.groups.get(group)
    }

    /// All groups, by name.
    pub fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &GroupImage)> {
        self.groups.iter()
    }

    /// The offsets that were committed in transactions which have not ended.
    pub fn pending(&self) -> impl Iterator<Item = &OffsetKey> {
        self.pending.values().flat_map(BTreeMap::keys)
    }

    /// Whether an offset of a partition was committed in a transaction that has not ended (KIP-447).
    pub fn is_unstable(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.pending().any(|key| (&*key.0, &*key.1, key.2) == (group, topic, partition))
    }

    /// Whether a group has any such offset.
    pub fn has_pending(&self, group: &str) -> bool {
        self.pending().any(|key| *key.0 == *group)
    }

    /// Takes over what a batch does.
    pub fn apply_change(&mut self, change: &Change) {
        match change {
            Change::Plain(records) => records.iter().for_each(|record| self.apply(record)),
            Change::InTransaction(producer_id, records) => {
                let pending = self.pending.entry(*producer_id).or_default();
                for record in records {
                    if let GroupRecord::Offset { group, topic, partition, value: Some(value) } = record {
                        let key = (Arc::clone(group), Arc::clone(topic), *partition);
                        pending.insert(key, PendingOffset { value: value.clone(), is_superseded: false });
                    }
                }
            }
            Change::Ended { producer_id, commits } => {
                let ended = self.pending.remove(producer_id).unwrap_or_default();
                for ((group, topic, partition), offset) in ended {
                    if *commits && !offset.is_superseded {
                        self.put(&group, &topic, partition, offset.value);
                    }
                }
            }
        }
    }

    fn put(&mut self, group: &Arc<str>, topic: &Arc<str>, partition: i32, value: CommittedOffset) {
        let group = self.groups.entry(Arc::clone(group)).or_default();
        group.offsets.entry(Arc::clone(topic)).or_default().insert(partition, value);
    }

    /// A plain commit or a tombstone: what was committed before it in a transaction does not come into force any more.
    fn supersede(&mut self, key: &OffsetKey, is_tombstone: bool) {
        for pending in self.pending.values_mut() {
            if is_tombstone {
                pending.remove(key);
            } else if let Some(offset) = pending.get_mut(key) {
                offset.is_superseded = true;
            }
        }
        self.pending.retain(|_, pending| !pending.is_empty());
    }

    /// Takes over what a record says that is in force.
    pub fn apply(&mut self, record: &GroupRecord) {
        if let GroupRecord::Offset { group, topic, partition, value } = record
            && !self.pending.is_empty()
        {
            self.supersede(&(Arc::clone(group), Arc::clone(topic), *partition), value.is_none());
        }
        match record {
            GroupRecord::Offset { group, topic, partition, value: Some(value) } => {
                self.put(group, topic, *partition, value.clone());
            }
            GroupRecord::Group { group, value: Some(value) } => {
                self.groups.entry(Arc::clone(group)).or_default().metadata = Some(value.clone());
            }
            GroupRecord::Offset { group, topic, partition, value: None } => {
                if let Some(found) = self.groups.get_mut(group)
                    && let Some(partitions) = found.offsets.get_mut(topic)
                {
                    partitions.remove(partition);
                    if partitions.is_empty() {
                        found.offsets.remove(topic);
                    }
                }
                self.forget_if_empty(group);
            }
            GroupRecord::Group { group, value: None } => {
                if let Some(found) = self.groups.get_mut(group) {
                    found.metadata = None;
                }
                self.forget_if_empty(group);
            }
            GroupRecord::Consumer { group, record } => {
                self.groups.entry(Arc::clone(group)).or_default().consumer.apply(record);
                self.forget_if_empty(group);
            }
        }
    }

    fn forget_if_empty(&mut self, group: &str) {
        let is_empty =
            |found: &GroupImage| found.metadata.is_none() && found.offsets.is_empty() && found.consumer.is_blank();
        if self.groups.get(group).is_some_and(is_empty) {
            self.groups.remove(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(topic: &str, partition: i32, offset: Option<i64>) -> GroupRecord {
        let value = offset.map(|offset| CommittedOffset {
            offset,
            leader_epoch: -1,
            metadata: Arc::from(""),
            committed_at_ms: 0,
            expires_at_ms: None,
        });
        GroupRecord::Offset { group: Arc::from("g"), topic: Arc::from(topic), partition, value }
    }

    #[test]
    fn the_last_record_of_a_key_holds_and_a_group_goes_with_the_last_that_is_known_of_it() {
        let mut image = Image::default();
        for record in [offset("t", 0, Some(5)), offset("t", 1, Some(1)), offset("t", 0, Some(3))] {
            image.apply(&record);
        }
        let group = image.group("g").expect("the group");
        assert_eq!(group.offset("t", 0).map(|offset| offset.offset), Some(3));
        image.apply(&offset("t", 0, None));
        image.apply(&offset("t", 0, None));
        assert!(image.group("g").is_some_and(|group| group.offset("t", 0).is_none()));
        image.apply(&offset("t", 1, None));
        assert_eq!(image, Image::default());
    }

    #[test]
    fn offsets_in_a_transaction_come_into_force_with_its_marker_unless_something_came_after_them() {
        let mut image = Image::default();
        let committed = |image: &Image, partition| {
            image.group("g").and_then(|group| group.offset("t", partition)).map(|offset| offset.offset)
        };
        image.apply(&offset("t", 0, Some(1)));
        let records = vec![offset("t", 0, Some(10)), offset("t", 1, Some(11)), offset("t", 2, Some(12))];
        image.apply_change(&Change::InTransaction(7, records));
        image.apply_change(&Change::InTransaction(8, vec![offset("t", 3, Some(13))]));
        assert!(image.is_unstable("g", "t", 0) && !image.is_unstable("g", "t", 9) && image.has_pending("g"));
        assert_eq!((committed(&image, 0), committed(&image, 1)), (Some(1), None));
        image.apply(&offset("t", 1, Some(5)));
        image.apply(&offset("t", 2, None));
        assert!(image.is_unstable("g", "t", 1) && !image.is_unstable("g", "t", 2), "a tombstone ends it");
        image.apply_change(&Change::Ended { producer_id: 7, commits: true });
        assert_eq!([0, 1, 2, 3].map(|partition| committed(&image, partition)), [Some(10), Some(5), None, None]);
        image.apply_change(&Change::Ended { producer_id: 8, commits: false });
        assert!(committed(&image, 3).is_none() && !image.has_pending("g"));
    }
}

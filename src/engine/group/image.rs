//! What a partition of `__consumer_offsets` says: groups and committed offsets. [`Image::apply`] is the only way it
//! changes, on a coordinator at work, on one that loads, and after a failover.
//!
//! A coordinator keeps two: one at the end of the log, which decisions look at, and one at the high watermark, which is
//! all that clients are shown.

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
    /// How far it has come.
    pub offsets: Offsets,
}

impl GroupImage {
    /// The committed offset of a partition.
    pub fn offset(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.offsets.get(topic)?.get(&partition)
    }
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    groups: BTreeMap<Arc<str>, GroupImage>,
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

    /// Takes over what a record says.
    pub fn apply(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Offset { group, topic, partition, value: Some(value) } => {
                let group = self.groups.entry(Arc::clone(group)).or_default();
                group.offsets.entry(Arc::clone(topic)).or_default().insert(*partition, value.clone());
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
        }
    }

    fn forget_if_empty(&mut self, group: &str) {
        let is_empty = |found: &GroupImage| found.metadata.is_none() && found.offsets.is_empty();
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
}

//! The cluster's metadata at an offset of the metadata log: what every broker has, each as far as it has applied the
//! log. [`MetadataImage::apply`] is its only mutator. Shared by `Arc` a topic, so that a copy costs what changed.
//!
//! Invariants: `topics` and `topic_ids` name the same topics; every partition's epochs only rise; the image after a
//! prefix of the log depends on that prefix alone.
//!
//! It does not judge: whether a change is allowed was decided by the controller that wrote the record. A record that
//! cannot be applied is a broken invariant and panics.

use crate::engine::controller::record::{ConfigResource, MetadataRecord, PartitionState};
use crate::protocol::ids::{BrokerId, DirectoryId, PartitionId, TopicId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// The metadata at an offset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataImage {
    /// The offset after the last record applied.
    pub end_offset: i64,
    /// The epoch of the last record applied.
    pub epoch: i32,
    /// Registered brokers.
    pub brokers: BTreeMap<BrokerId, BrokerImage>,
    /// Topics by id.
    pub topics: BTreeMap<TopicId, Arc<TopicImage>>,
    /// Topic ids by name.
    pub topic_ids: BTreeMap<String, TopicId>,
    /// Configurations that were set.
    #[serde(with = "crate::engine::controller::image::pairs")]
    pub configs: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    /// Feature levels.
    pub features: BTreeMap<String, i16>,
    /// The voters of the quorum (KIP-853).
    pub voters: BTreeMap<BrokerId, DirectoryId>,
    /// The next producer id to give away.
    pub next_producer_id: i64,
}

/// A registered broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerImage {
    /// The offset of its registration.
    pub broker_epoch: i64,
    /// Drawn at each start of it.
    pub incarnation: Uuid,
    /// Its log directory.
    pub directory: DirectoryId,
    /// The address clients are told.
    pub host: String,
    /// The port clients are told.
    pub port: u16,
    /// Its rack.
    pub rack: Option<String>,
    /// Fenced brokers lead nothing and are not told to clients.
    pub fenced: bool,
    /// It is handing over its leaderships.
    pub in_controlled_shutdown: bool,
    /// It is a voter of the quorum too.
    pub is_controller: bool,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicImage {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: TopicId,
    /// Its partitions.
    pub partitions: BTreeMap<i32, PartitionState>,
}

impl MetadataImage {
    /// A partition's state.
    pub fn partition(&self, id: PartitionId) -> Option<&PartitionState> {
        self.topics.get(&id.topic)?.partitions.get(&id.partition)
    }

    /// A topic by name.
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// Whether a broker is registered, unfenced and not stopping: it may lead and join an ISR.
    pub fn is_active(&self, broker: BrokerId) -> bool {
        self.brokers.get(&broker).is_some_and(|b| !b.fenced && !b.in_controlled_shutdown)
    }

    /// What is set for a key of a resource itself (no defaults, no inheritance).
    pub fn config(&self, resource: &ConfigResource, key: &str) -> Option<&str> {
        self.configs.get(resource)?.get(key).map(String::as_str)
    }

    /// The finalized level of a feature; 0 if it is off.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// Every partition, in order of topic id and number, with its topic.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionId, &TopicImage, &PartitionState)> {
        self.topics.values().flat_map(|topic| {
            topic.partitions.iter().map(|(number, state)| (PartitionId::new(topic.id, *number), &**topic, state))
        })
    }

    /// Applies the record at an offset. What it touches is noted in `delta`.
    ///
    /// # Panics
    /// If records are applied out of order, or a record contradicts the image: the log's order makes both impossible.
    pub fn apply(&mut self, offset: i64, epoch: i32, record: &MetadataRecord, delta: &mut MetadataDelta) {
        assert!(offset >= self.end_offset, "record at {offset} applied again: the image ends at {}", self.end_offset);
        assert!(epoch >= self.epoch, "record of epoch {epoch} after one of epoch {}", self.epoch);
        self.end_offset = offset + 1;
        self.epoch = epoch;
        match record {
            MetadataRecord::LeaderChange { .. } | MetadataRecord::NoOp => {}
            MetadataRecord::Voters { voters } => {
                self.voters.clone_from(voters);
                delta.has_new_voters = true;
            }
            MetadataRecord::Feature { name, level } => {
                if *level == 0 {
                    self.features.remove(name);
                } else {
                    self.features.insert(name.clone(), *level);
                }
                delta.has_new_features = true;
            }
            MetadataRecord::RegisterBroker { .. }
            | MetadataRecord::UnregisterBroker { .. }
            | MetadataRecord::BrokerRegistrationChange { .. } => self.apply_to_broker(record, delta),
            MetadataRecord::Topic { .. }
            | MetadataRecord::RemoveTopic { .. }
            | MetadataRecord::Partition { .. }
            | MetadataRecord::PartitionChange { .. } => self.apply_to_topic(record, delta),
            MetadataRecord::Config { resource, key, value } => {
                let values = self.configs.entry(resource.clone()).or_default();
                match value {
                    Some(value) => values.insert(key.clone(), value.clone()),
                    None => values.remove(key),
                };
                if values.is_empty() {
                    self.configs.remove(resource);
                }
                delta.configs.insert(resource.clone());
            }
            MetadataRecord::ProducerIds { next, .. } => {
                assert!(*next > self.next_producer_id, "producer ids are given away once");
                self.next_producer_id = *next;
            }
        }
    }

    fn apply_to_broker(&mut self, record: &MetadataRecord, delta: &mut MetadataDelta) {
        match record {
            MetadataRecord::RegisterBroker {
                broker,
                incarnation,
                directory,
                broker_epoch,
                host,
                port,
                rack,
                is_controller,
            } => {
                delta.brokers.insert(*broker);
                let registration = BrokerImage {
                    broker_epoch: *broker_epoch,
                    incarnation: *incarnation,
                    directory: *directory,
                    host: host.clone(),
                    port: *port,
                    rack: rack.clone(),
                    fenced: true,
                    in_controlled_shutdown: false,
                    is_controller: *is_controller,
                };
                let before = self.brokers.insert(*broker, registration);
                assert!(before.is_none_or(|before| before.broker_epoch < *broker_epoch), "broker epochs rise");
            }
            MetadataRecord::UnregisterBroker { broker, broker_epoch } => {
                delta.brokers.insert(*broker);
                let gone = self.brokers.remove(broker).expect("an unregistered broker was registered");
                assert_eq!(gone.broker_epoch, *broker_epoch, "the registration that ends is the current one");
            }
            MetadataRecord::BrokerRegistrationChange { broker, broker_epoch, fenced, in_controlled_shutdown } => {
                delta.brokers.insert(*broker);
                let registration = self.brokers.get_mut(broker).expect("a changed broker is registered");
                assert_eq!(registration.broker_epoch, *broker_epoch, "the changed registration is the current one");
                if let Some(fenced) = fenced {
                    registration.fenced = *fenced;
                }
                if let Some(in_controlled_shutdown) = in_controlled_shutdown {
                    registration.in_controlled_shutdown = *in_controlled_shutdown;
                }
            }
            _ => unreachable!("only records of brokers come here"),
        }
    }

    fn apply_to_topic(&mut self, record: &MetadataRecord, delta: &mut MetadataDelta) {
        match record {
            MetadataRecord::Topic { name, id } => {
                let topic = TopicImage { name: name.clone(), id: *id, partitions: BTreeMap::new() };
                assert!(self.topics.insert(*id, Arc::new(topic)).is_none(), "a topic id is used once");
                assert!(self.topic_ids.insert(name.clone(), *id).is_none(), "one topic has a name at a time");
            }
            MetadataRecord::RemoveTopic { id } => {
                let topic = self.topics.remove(id).expect("a removed topic was there");
                self.topic_ids.remove(&topic.name);
                let resource = ConfigResource::Topic(topic.name.clone());
                if self.configs.remove(&resource).is_some() {
                    delta.configs.insert(resource);
                }
                delta.partitions.retain(|partition| partition.topic != *id);
                delta.removed_topics.insert(*id, topic);
            }
            MetadataRecord::Partition { topic, partition, state } => {
                delta.partitions.insert(PartitionId::new(*topic, *partition));
                let before = self.topic_mut(*topic).partitions.insert(*partition, state.clone());
                assert!(before.is_none(), "a partition is made once");
            }
            MetadataRecord::PartitionChange { topic, partition, state } => {
                delta.partitions.insert(PartitionId::new(*topic, *partition));
                let before = self.topic_mut(*topic).partitions.insert(*partition, state.clone());
                let before = before.expect("a changed partition was there");
                assert!(before.partition_epoch < state.partition_epoch, "partition epochs rise");
                assert!(before.leader_epoch <= state.leader_epoch, "leader epochs do not fall");
            }
            _ => unreachable!("only records of topics come here"),
        }
    }

    fn topic_mut(&mut self, id: TopicId) -> &mut TopicImage {
        Arc::make_mut(self.topics.get_mut(&id).expect("a partition's topic is there"))
    }

    /// The image as a snapshot's bytes (JSON, so that a person can read it).
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("an image has nothing that JSON cannot hold"))
    }

    /// Reads what [`MetadataImage::to_bytes`] wrote.
    ///
    /// # Errors
    /// If the bytes are no image that this release knows.
    pub fn from_bytes(bytes: &[u8]) -> Result<MetadataImage, ImageError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// What differs when a whole image takes another's place (a snapshot was loaded).
    pub fn diff(before: &MetadataImage, after: &MetadataImage) -> MetadataDelta {
        let mut delta = MetadataDelta {
            is_whole: true,
            has_new_voters: before.voters != after.voters,
            has_new_features: before.features != after.features,
            brokers: differing_keys(&before.brokers, &after.brokers),
            configs: differing_keys(&before.configs, &after.configs),
            ..MetadataDelta::default()
        };
        for (id, topic) in &before.topics {
            if !after.topics.contains_key(id) {
                delta.removed_topics.insert(*id, topic.clone());
            }
        }
        for (id, topic) in &after.topics {
            match before.topics.get(id) {
                Some(same) if Arc::ptr_eq(same, topic) => {}
                Some(old) => {
                    let changed = differing_keys(&old.partitions, &topic.partitions);
                    delta.partitions.extend(changed.into_iter().map(|number| PartitionId::new(*id, number)));
                }
                None => {
                    delta.partitions.extend(topic.partitions.keys().map(|number| PartitionId::new(*id, *number)));
                }
            }
        }
        delta
    }
}

/// A snapshot that cannot be read: of a newer release, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("unreadable metadata snapshot: {0}")]
pub struct ImageError(#[from] serde_json::Error);

/// The keys whose values are not the same in both maps.
fn differing_keys<K: Ord + Clone, V: PartialEq>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> BTreeSet<K> {
    let gone = a.keys().filter(|key| !b.contains_key(*key));
    let new = b.iter().filter(|(key, value)| a.get(*key) != Some(*value)).map(|(key, _)| key);
    gone.chain(new).cloned().collect()
}

/// What records changed, so that those who follow the image need not look at all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataDelta {
    /// Partitions that are new or changed.
    pub partitions: BTreeSet<PartitionId>,
    /// Topics that are gone, with the partitions they had.
    pub removed_topics: BTreeMap<TopicId, Arc<TopicImage>>,
    /// Brokers that registered, were fenced, unfenced, began to stop or left.
    pub brokers: BTreeSet<BrokerId>,
    /// Resources whose configuration changed.
    pub configs: BTreeSet<ConfigResource>,
    /// The voters of the quorum changed.
    pub has_new_voters: bool,
    /// The level of a feature changed.
    pub has_new_features: bool,
    /// The whole image was replaced by a snapshot: everything may have changed.
    pub is_whole: bool,
}

/// A map whose keys are no strings, as a list of pairs: JSON has no other way.
pub mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    /// Writes the pairs.
    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    /// Reads the pairs.
    pub fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(n: i32) -> BrokerId {
        BrokerId(n)
    }

    fn sample() -> (MetadataImage, Vec<MetadataRecord>) {
        let topic = TopicId(Uuid::from_u128(5));
        let state = PartitionState::new(vec![broker(1), broker(2)], vec![broker(1), broker(2)]);
        let shrunk = PartitionState { isr: vec![broker(1)], partition_epoch: 1, ..state.clone() };
        let records = vec![
            MetadataRecord::LeaderChange { leader: broker(1), epoch: 1 },
            MetadataRecord::Voters { voters: BTreeMap::from([(broker(1), DirectoryId(Uuid::from_u128(11)))]) },
            MetadataRecord::Feature { name: "metadata.version".to_owned(), level: 27 },
            MetadataRecord::RegisterBroker {
                broker: broker(1),
                incarnation: Uuid::from_u128(1),
                directory: DirectoryId(Uuid::from_u128(11)),
                broker_epoch: 3,
                host: "localhost".to_owned(),
                port: 9092,
                rack: Some("a".to_owned()),
                is_controller: true,
            },
            MetadataRecord::BrokerRegistrationChange {
                broker: broker(1),
                broker_epoch: 3,
                fenced: Some(false),
                in_controlled_shutdown: None,
            },
            MetadataRecord::Topic { name: "orders".to_owned(), id: topic },
            MetadataRecord::Config {
                resource: ConfigResource::Topic("orders".to_owned()),
                key: "retention.ms".to_owned(),
                value: Some("1000".to_owned()),
            },
            MetadataRecord::Partition { topic, partition: 0, state },
            MetadataRecord::PartitionChange { topic, partition: 0, state: shrunk },
            MetadataRecord::ProducerIds { broker: broker(1), broker_epoch: 3, next: 1000 },
        ];
        let mut image = MetadataImage::default();
        for (offset, record) in (0..).zip(&records) {
            image.apply(offset, 1, record, &mut MetadataDelta::default());
        }
        (image, records)
    }

    #[test]
    fn a_snapshot_reads_back_as_the_same_image() {
        let (image, _) = sample();
        assert_eq!(MetadataImage::from_bytes(&image.to_bytes()).expect("it was just written"), image);
        assert!(MetadataImage::from_bytes(b"{\"end_offset\":").is_err());
    }

    #[test]
    fn applying_the_same_records_gives_the_same_image_and_tells_what_changed() {
        let (image, records) = sample();
        let mut again = MetadataImage::default();
        let mut delta = MetadataDelta::default();
        for (offset, record) in (0..).zip(&records) {
            again.apply(offset, 1, record, &mut delta);
        }
        assert_eq!(again, image);
        assert_eq!(again.end_offset, 10);
        assert!(again.is_active(broker(1)));
        assert_eq!(delta.partitions.len(), 1);
        assert!(delta.brokers.contains(&broker(1)) && delta.has_new_voters && delta.has_new_features);
    }

    #[test]
    fn removing_a_topic_takes_its_configuration_and_its_partitions_along() {
        let (mut image, _) = sample();
        let id = image.topic_ids["orders"];
        let mut delta = MetadataDelta::default();
        image.apply(10, 1, &MetadataRecord::RemoveTopic { id }, &mut delta);
        assert!(image.topics.is_empty() && image.topic_ids.is_empty() && image.configs.is_empty());
        assert_eq!(delta.removed_topics[&id].name, "orders");
        assert!(delta.configs.contains(&ConfigResource::Topic("orders".to_owned())));
    }

    #[test]
    fn a_topic_that_comes_and_goes_within_one_delta_leaves_no_partition_in_it() {
        let (image, _) = sample();
        let id = image.topic_ids["orders"];
        let mut delta = MetadataDelta { partitions: BTreeSet::from([PartitionId::new(id, 0)]), ..Default::default() };
        image.clone().apply(10, 1, &MetadataRecord::RemoveTopic { id }, &mut delta);
        assert!(delta.partitions.is_empty());
    }

    #[test]
    fn the_difference_of_two_images_names_what_changed_and_nothing_else() {
        let (image, _) = sample();
        assert!(MetadataImage::diff(&image, &image).partitions.is_empty());
        let whole = MetadataImage::diff(&MetadataImage::default(), &image);
        assert!(whole.is_whole && whole.partitions.len() == 1 && whole.configs.len() == 1);
        let gone = MetadataImage::diff(&image, &MetadataImage::default());
        assert_eq!(gone.removed_topics.len(), 1);
        assert_eq!(gone.brokers, BTreeSet::from([broker(1)]));
    }

    #[test]
    #[should_panic(expected = "applied again")]
    fn a_record_is_never_applied_twice() {
        let (mut image, records) = sample();
        image.apply(0, 1, &records[0], &mut MetadataDelta::default());
    }
}

//! The cluster's metadata at an offset of the metadata log: what every broker has, each as far as it has applied the log.
//! [`MetadataImage::apply`] is its only mutator. Shared by `Arc` a topic, so that a copy costs what changed.

use crate::engine::controller::record::{ConfigResource, PartitionState};
use crate::protocol::ids::{BrokerId, DirectoryId, PartitionId, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
}

/// What records changed, so that those who follow the image need not look at all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataDelta {
    /// Partitions that are new or changed.
    pub partitions: std::collections::BTreeSet<PartitionId>,
    /// Topics that are gone, with the partitions they had.
    pub removed_topics: BTreeMap<TopicId, Arc<TopicImage>>,
    /// Brokers that registered, were fenced, unfenced, began to stop or left.
    pub brokers: std::collections::BTreeSet<BrokerId>,
    /// Resources whose configuration changed.
    pub configs: std::collections::BTreeSet<ConfigResource>,
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

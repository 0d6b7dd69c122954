//! Identities that travel on the wire and between the layers. All are `Copy`, ordered and printable, so that they can
//! key a `BTreeMap` and stand in a trace.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// A broker's id (`node.id`), also its id as a voter or observer of the metadata quorum. From 1 up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BrokerId(pub i32);

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<BrokerId> for kafka_protocol::messages::BrokerId {
    fn from(id: BrokerId) -> Self {
        kafka_protocol::messages::BrokerId(id.0)
    }
}

impl From<kafka_protocol::messages::BrokerId> for BrokerId {
    fn from(id: kafka_protocol::messages::BrokerId) -> Self {
        BrokerId(id.0)
    }
}

/// A topic's id (KIP-516): a topic deleted and created again under the same name has another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// "No id": what a request by name carries.
    pub const NONE: TopicId = TopicId(Uuid::nil());
    /// The metadata log's own topic (`Uuid.METADATA_TOPIC_ID` in Kafka).
    pub const METADATA: TopicId = TopicId(Uuid::from_u128(1));

    /// Whether this is [`TopicId::NONE`].
    pub fn is_none(self) -> bool {
        self == TopicId::NONE
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// One partition of one topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    /// The topic.
    pub topic: TopicId,
    /// The partition's number in it, from 0.
    pub partition: i32,
}

impl PartitionId {
    /// The metadata log (`__cluster_metadata-0`).
    pub const METADATA: PartitionId = PartitionId { topic: TopicId::METADATA, partition: 0 };

    /// A partition of a topic.
    pub fn new(topic: TopicId, partition: i32) -> PartitionId {
        PartitionId { topic, partition }
    }
}

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A log directory's id (KIP-858, KIP-853): a broker whose disk was replaced keeps its id and has a new directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DirectoryId(pub Uuid);

/// A client connection of one broker, unique for the life of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A log's identity in a broker's store: given by the engine, never used twice by one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogId(pub u64);

impl LogId {
    /// The metadata log.
    pub const METADATA: LogId = LogId(0);
}

/// The end of a leader epoch in a log: `epoch` is the largest epoch not above the one asked for, `end_offset` the first
/// offset after it (KIP-279; Kafka's `LeaderEpochFileCache.endOffsetFor`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The leader epoch.
    pub epoch: i32,
    /// The offset after its last record.
    pub end_offset: i64,
}

/// Who leads a partition, and since which epoch: sent with an error so that a client need not ask again (KIP-951).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderHint {
    /// The leader; `None` while there is none.
    pub broker: Option<BrokerId>,
    /// Its leader epoch.
    pub epoch: i32,
}

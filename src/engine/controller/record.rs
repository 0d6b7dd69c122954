//! The records of the metadata log: every change of the cluster's state. Decided by the active controller, replicated by the
//! quorum, applied by every broker (Kafka's `metadata/src/main/resources/common/metadata`). Encoded as JSON values in ordinary
//! record batches, so that a log can be read by a person; a field that is added later has a default.

use crate::protocol::ids::{BrokerId, DirectoryId, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[expect(missing_docs, reason = "the fields are named as in Kafka's records of the same name")]
pub enum MetadataRecord {
    /// A new leader of the quorum has begun its epoch (control record LeaderChange).
    LeaderChange { leader: BrokerId, epoch: i32 },
    /// The voters of the quorum from here on (KIP-853).
    Voters { voters: BTreeMap<BrokerId, DirectoryId> },
    /// The level of a feature (`metadata.version`, …).
    Feature { name: String, level: i16 },
    /// A broker has registered; its broker epoch is this record's offset. It begins fenced.
    RegisterBroker {
        broker: BrokerId,
        incarnation: Uuid,
        directory: DirectoryId,
        broker_epoch: i64,
        host: String,
        port: u16,
        rack: Option<String>,
        is_controller: bool,
    },
    /// A broker is no longer part of the cluster.
    UnregisterBroker { broker: BrokerId, broker_epoch: i64 },
    /// A registered broker was fenced, unfenced, or began a controlled shutdown: only what is `Some` changes.
    BrokerRegistrationChange {
        broker: BrokerId,
        broker_epoch: i64,
        fenced: Option<bool>,
        in_controlled_shutdown: Option<bool>,
    },
    /// A topic without partitions yet.
    Topic { name: String, id: TopicId },
    /// A topic and its partitions are gone.
    RemoveTopic { id: TopicId },
    /// A new partition.
    Partition { topic: TopicId, partition: i32, state: PartitionState },
    /// A partition's new state, its epochs raised (Kafka's PartitionChangeRecord, whole instead of by difference).
    PartitionChange { topic: TopicId, partition: i32, state: PartitionState },
    /// A configuration value, or its removal.
    Config { resource: ConfigResource, key: String, value: Option<String> },
    /// Producer ids below `next` have been given to brokers.
    ProducerIds { broker: BrokerId, broker_epoch: i64, next: i64 },
    /// Nothing: keeps the high watermark moving.
    NoOp,
}

/// What a configuration belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name")]
pub enum ConfigResource {
    /// Every broker (the cluster-wide default).
    Cluster,
    /// One broker.
    Broker(BrokerId),
    /// A topic, by name.
    Topic(String),
}

/// The state of a partition as the controller decides it (Kafka's `PartitionRegistration`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// The replicas in order of preference.
    pub replicas: Vec<BrokerId>,
    /// The in-sync replicas.
    pub isr: Vec<BrokerId>,
    /// Eligible leader replicas (KIP-966).
    #[serde(default)]
    pub elr: Vec<BrokerId>,
    /// The leader of last resort when ISR and ELR are empty.
    #[serde(default)]
    pub last_known_elr: Vec<BrokerId>,
    /// Replicas that a reassignment adds.
    #[serde(default)]
    pub adding: Vec<BrokerId>,
    /// Replicas that a reassignment removes at its end.
    #[serde(default)]
    pub removing: Vec<BrokerId>,
    /// Who leads; `None` while nobody can.
    pub leader: Option<BrokerId>,
    /// Rises with every new leader.
    pub leader_epoch: i32,
    /// Rises with every change.
    pub partition_epoch: i32,
    /// The leader was elected uncleanly and has not confirmed its ISR yet (`LeaderRecoveryState.RECOVERING`).
    #[serde(default)]
    pub is_recovering: bool,
}

//! The records of the metadata log: every change of the cluster's state. Decided by the active controller, replicated
//! by the quorum, applied by every broker (Kafka's `metadata/src/main/resources/common/metadata`). Encoded as JSON
//! values in ordinary record batches, so that a log can be read by a person; a field that is added later has a default.

use crate::protocol::ids::{BrokerId, DirectoryId, TopicId};
use bytes::Bytes;
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
    Voters {
        // An internally tagged enum cannot read numbers that JSON made strings of, as the keys of a map.
        #[serde(with = "crate::engine::controller::image::pairs")]
        voters: BTreeMap<BrokerId, DirectoryId>,
    },
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

/// A record that cannot be read: of a newer release, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("unreadable metadata record: {0}")]
pub struct RecordError(#[from] serde_json::Error);

/// A record as the value of a Kafka record.
pub fn encode(record: &MetadataRecord) -> Bytes {
    Bytes::from(serde_json::to_vec(record).expect("a metadata record has nothing that JSON cannot hold"))
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// If the bytes are no record that this release knows.
pub fn decode(bytes: &[u8]) -> Result<MetadataRecord, RecordError> {
    Ok(serde_json::from_slice(bytes)?)
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
    /// A group, by name (KIP-848); it need not exist.
    Group(String),
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

impl PartitionState {
    /// A new partition: the first in-sync replica leads, all epochs are 0.
    ///
    /// # Panics
    /// If `isr` is empty.
    pub fn new(replicas: Vec<BrokerId>, isr: Vec<BrokerId>) -> PartitionState {
        let leader = Some(*isr.first().expect("a new partition has a replica in sync"));
        PartitionState {
            replicas,
            isr,
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            adding: Vec::new(),
            removing: Vec::new(),
            leader,
            leader_epoch: 0,
            partition_epoch: 0,
            is_recovering: false,
        }
    }

    /// Whether a reassignment is under way.
    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The replica that leads when all is well: the first.
    pub fn preferred_leader(&self) -> Option<BrokerId> {
        self.replicas.first().copied()
    }

    /// How many replicas have to be in sync for acks=all: `min.insync.replicas`, but never more than there are replicas
    /// (`getTopicEffectiveMinIsr` in Kafka's controller, `effectiveMinIsr` in its leaders: both must agree).
    pub fn effective_min_isr(&self, min_insync_replicas: i32) -> usize {
        usize::try_from(min_insync_replicas).unwrap_or(0).clamp(1, self.replicas.len().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn every_kind_of_record_round_trips() {
        let state = PartitionState {
            elr: vec![BrokerId(3)],
            is_recovering: true,
            ..PartitionState::new(vec![BrokerId(1), BrokerId(3)], vec![BrokerId(1)])
        };
        let topic = TopicId(Uuid::from_u128(7));
        let directory = DirectoryId(Uuid::from_u128(8));
        let records = [
            MetadataRecord::LeaderChange { leader: BrokerId(1), epoch: 4 },
            MetadataRecord::Voters { voters: BTreeMap::from([(BrokerId(1), directory), (BrokerId(2), directory)]) },
            MetadataRecord::Feature { name: "metadata.version".to_owned(), level: 27 },
            MetadataRecord::RegisterBroker {
                broker: BrokerId(1),
                incarnation: Uuid::from_u128(9),
                directory,
                broker_epoch: 12,
                host: "localhost".to_owned(),
                port: 9092,
                rack: None,
                is_controller: true,
            },
            MetadataRecord::UnregisterBroker { broker: BrokerId(1), broker_epoch: 12 },
            MetadataRecord::BrokerRegistrationChange {
                broker: BrokerId(1),
                broker_epoch: 12,
                fenced: Some(false),
                in_controlled_shutdown: None,
            },
            MetadataRecord::Topic { name: "orders".to_owned(), id: topic },
            MetadataRecord::RemoveTopic { id: topic },
            MetadataRecord::Partition { topic, partition: 0, state: state.clone() },
            MetadataRecord::PartitionChange { topic, partition: 0, state },
            MetadataRecord::Config {
                resource: ConfigResource::Broker(BrokerId(2)),
                key: "retention.ms".to_owned(),
                value: None,
            },
            MetadataRecord::Config {
                resource: ConfigResource::Cluster,
                key: "min.insync.replicas".to_owned(),
                value: Some("2".to_owned()),
            },
            MetadataRecord::Config {
                resource: ConfigResource::Group("billing".to_owned()),
                key: "consumer.session.timeout.ms".to_owned(),
                value: Some("50000".to_owned()),
            },
            MetadataRecord::ProducerIds { broker: BrokerId(1), broker_epoch: 12, next: 3000 },
            MetadataRecord::NoOp,
        ];
        for record in records {
            assert_eq!(decode(&encode(&record)).expect("it was just written"), record);
        }
    }

    #[test]
    fn damaged_or_unknown_records_are_errors() {
        for bytes in [&b""[..], b"{}", b"{\"type\":\"Teleport\"}", b"\xff\xff"] {
            assert!(decode(bytes).is_err());
        }
    }
}

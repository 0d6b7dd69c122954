//! What clients see of brokers and partitions (`KRaftMetadataCache`): unfenced brokers only, leaders only as long as
//! they are among them.
//!
//! No authorizer: whoever asks may do everything that Kafka lets be authorized.

use crate::engine::controller::image::{BrokerImage, MetadataImage};
use crate::engine::controller::record::PartitionState;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::BrokerId as WireBrokerId;

/// "Not asked for", in place of operations.
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

/// Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs.
pub const TOPIC_OPERATIONS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite.
pub const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// Read, Delete, Describe, DescribeConfigs, AlterConfigs.
pub const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// The brokers that clients are told of.
pub fn brokers(image: &MetadataImage) -> impl Iterator<Item = (BrokerId, &BrokerImage)> {
    image.brokers.iter().filter(|(_, broker)| !broker.fenced).map(|(id, broker)| (*id, broker))
}

/// Whether clients are told of a broker.
pub fn is_told(image: &MetadataImage, broker: BrokerId) -> bool {
    image.brokers.get(&broker).is_some_and(|broker| !broker.fenced)
}

/// Who leads, as far as clients can reach it.
pub fn leader(image: &MetadataImage, partition: &PartitionState) -> Result<BrokerId, ErrorCode> {
    partition.leader.filter(|leader| is_told(image, *leader)).ok_or(ErrorCode::LeaderNotAvailable)
}

/// The replicas on brokers that clients are not told of.
pub fn offline(image: &MetadataImage, partition: &PartitionState) -> Vec<WireBrokerId> {
    partition.replicas.iter().filter(|replica| !is_told(image, **replica)).map(|replica| (*replica).into()).collect()
}

/// Ids as they go over the wire.
pub fn wire(brokers: &[BrokerId]) -> Vec<WireBrokerId> {
    brokers.iter().map(|broker| (*broker).into()).collect()
}

//! Metadata (key 3): brokers, topics, leaders, from the image that this broker has applied.
//!
//! Whether a topic that is asked for and does not exist is to be made is not decided here. As the controller is behind
//! every broker (requests are forwarded), the id told is the one the broker knows, or −1.

use crate::engine::api::visible;
use crate::engine::config::ClusterConfig;
use crate::engine::controller::image::{MetadataImage, TopicImage};
use crate::engine::controller::record::PartitionState;
use crate::engine::controller::topics;
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, TopicId};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId as WireBrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

/// Answers.
pub fn answer(
    image: &MetadataImage,
    config: &ClusterConfig,
    _broker: BrokerId,
    controller: Option<BrokerId>,
    header: &RequestHeader,
    request: &MetadataRequest,
) -> Response {
    let brokers = visible::brokers(image).map(|(id, broker)| {
        MetadataResponseBroker::default()
            .with_node_id(id.into())
            .with_host(StrBytes::from_string(broker.host.clone()))
            .with_port(i32::from(broker.port))
            .with_rack(broker.rack.clone().map(StrBytes::from_string))
    });
    let answer = TopicAnswer {
        image,
        version: header.version,
        operations: if request.include_topic_authorized_operations {
            visible::TOPIC_OPERATIONS
        } else {
            visible::OPERATIONS_NOT_ASKED
        },
    };
    let topics = match &request.topics {
        // Version 0 has no null: an empty list is "all".
        Some(asked) if !(header.version == 0 && asked.is_empty()) => {
            asked.iter().map(|asked| answer.asked(asked)).collect()
        }
        _ => image.topic_ids.values().map(|id| answer.known(&image.topics[id])).collect(),
    };
    let cluster_operations = if request.include_cluster_authorized_operations && header.version >= 8 {
        visible::CLUSTER_OPERATIONS
    } else {
        visible::OPERATIONS_NOT_ASKED
    };
    let response = MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_cluster_id(Some(StrBytes::from_string(config.cluster_id.clone())))
        .with_controller_id(WireBrokerId(controller.map_or(-1, |controller| controller.0)))
        .with_topics(topics)
        .with_cluster_authorized_operations(cluster_operations);
    Response::Metadata(response)
}

struct TopicAnswer<'a> {
    image: &'a MetadataImage,
    version: i16,
    operations: i32,
}

impl TopicAnswer<'_> {
    fn asked(&self, asked: &MetadataRequestTopic) -> MetadataResponseTopic {
        let id = TopicId(asked.topic_id);
        let refused = |error: ErrorCode| {
            // A null name is only known from version 12 on.
            let name = asked.name.clone().filter(|_| id.is_none());
            let name = name.or_else(|| (self.version < 12).then(TopicName::default));
            MetadataResponseTopic::default()
                .with_error_code(error.code())
                .with_name(name)
                .with_topic_id(asked.topic_id)
                .with_topic_authorized_operations(visible::OPERATIONS_NOT_ASKED)
        };
        // Who asks by id leaves the name empty, or null.
        match asked.name.as_ref().filter(|_| id.is_none()) {
            Some(name) if !topics::is_valid_name(name.0.as_str()) => refused(ErrorCode::InvalidTopicException),
            Some(name) => match self.image.topic_by_name(name.0.as_str()) {
                Some(topic) => self.known(topic),
                None => refused(ErrorCode::UnknownTopicOrPartition),
            },
            None if id.is_none() => refused(ErrorCode::InvalidTopicException),
            None => match self.image.topics.get(&id) {
                Some(topic) => self.known(topic),
                None => refused(ErrorCode::UnknownTopicId),
            },
        }
    }

    fn known(&self, topic: &TopicImage) -> MetadataResponseTopic {
        let partitions = topic.partitions.iter().map(|(number, state)| self.partition(*number, state));
        MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_string(topic.name.clone()))))
            .with_topic_id(topic.id.0)
            .with_is_internal(topics::is_internal(&topic.name))
            .with_partitions(partitions.collect())
            .with_topic_authorized_operations(self.operations)
    }

    fn partition(&self, number: i32, state: &PartitionState) -> MetadataResponsePartition {
        let leader = visible::leader(self.image, state);
        let mut replicas = visible::wire(&state.replicas);
        let mut isr = visible::wire(&state.isr);
        let mut error = leader.err();
        if self.version == 0 {
            // The oldest clients take a replica they are told of for one they can reach.
            let before = replicas.len();
            replicas.retain(|replica| visible::is_told(self.image, BrokerId::from(*replica)));
            isr.retain(|member| visible::is_told(self.image, BrokerId::from(*member)));
            if replicas.len() < before {
                error = error.or(Some(ErrorCode::ReplicaNotAvailable));
            }
        }
        MetadataResponsePartition::default()
            .with_error_code(error.unwrap_or(ErrorCode::None).code())
            .with_partition_index(number)
            .with_leader_id(WireBrokerId(leader.map_or(-1, |leader| leader.0)))
            .with_leader_epoch(state.leader_epoch)
            .with_replica_nodes(replicas)
            .with_isr_nodes(isr)
            .with_offline_replicas(visible::offline(self.image, state))
    }
}

#[cfg(test)]
mod tests;

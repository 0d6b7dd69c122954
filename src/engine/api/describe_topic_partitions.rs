//! DescribeTopicPartitions (key 75, KIP-966): topics with ISR and ELR, in pages.
//!
//! Invariant: pages follow each other without gap or repetition as long as topics stay the same: topics by name,
//! partitions by number, the cursor names the first partition of the next page.

use crate::engine::api::visible;
use crate::engine::config::ClusterConfig;
use crate::engine::controller::image::{MetadataImage, TopicImage};
use crate::engine::controller::record::PartitionState;
use crate::engine::controller::{configs, topics};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId as WireBrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;

/// Answers.
pub fn answer(
    image: &MetadataImage,
    config: &ClusterConfig,
    broker: BrokerId,
    _header: &RequestHeader,
    request: &DescribeTopicPartitionsRequest,
) -> Response {
    let limit = configs::broker_value(image, config, broker, "max.request.partition.size.limit");
    let limit = limit.and_then(|limit| limit.parse::<i32>().ok()).unwrap_or(2_000);
    let limit = usize::try_from(request.response_partition_limit.min(limit)).unwrap_or(0).max(1);
    let asked: BTreeSet<&str> = if request.topics.is_empty() {
        image.topic_ids.keys().map(String::as_str).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.0.as_str()).collect()
    };
    let start = request.cursor.as_ref().map(|cursor| (cursor.topic_name.0.as_str(), cursor.partition_index));
    let mut page = Page { image, left: limit, topics: Vec::new() };
    let mut next = None;
    for name in asked.into_iter().filter(|name| start.is_none_or(|(first, _)| *name >= first)) {
        let first = start.filter(|(topic, _)| *topic == name).map_or(0, |(_, number)| number.max(0));
        if page.left == 0 {
            next = Some((name, first));
            break;
        }
        if let Some(number) = page.add(name, first) {
            next = Some((name, number));
            break;
        }
    }
    let cursor = next.map(|(name, number)| {
        let name = TopicName(StrBytes::from_string(name.to_owned()));
        Cursor::default().with_topic_name(name).with_partition_index(number)
    });
    let response = DescribeTopicPartitionsResponse::default().with_topics(page.topics).with_next_cursor(cursor);
    Response::DescribeTopicPartitions(response)
}

struct Page<'a> {
    image: &'a MetadataImage,
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
}

impl Page<'_> {
    /// Adds a topic from a partition on; the first partition that did not fit.
    fn add(&mut self, name: &str, first: i32) -> Option<i32> {
        let told = DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))));
        let Some(topic) = self.image.topic_by_name(name) else {
            let error = if topics::is_valid_name(name) {
                ErrorCode::UnknownTopicOrPartition
            } else {
                ErrorCode::InvalidTopicException
            };
            self.topics.push(told.with_error_code(error.code()));
            return None;
        };
        let (partitions, rest) = self.partitions(topic, first);
        self.left -= partitions.len();
        self.topics.push(
            told.with_topic_id(topic.id.0)
                .with_is_internal(topics::is_internal(name))
                .with_partitions(partitions)
                .with_topic_authorized_operations(visible::TOPIC_OPERATIONS),
        );
        rest
    }

    fn partitions(
        &self,
        topic: &TopicImage,
        first: i32,
    ) -> (Vec<DescribeTopicPartitionsResponsePartition>, Option<i32>) {
        let mut wanted = topic.partitions.range(first..);
        let told = wanted.by_ref().take(self.left).map(|(number, state)| self.partition(*number, state)).collect();
        (told, wanted.next().map(|(number, _)| *number))
    }

    fn partition(&self, number: i32, state: &PartitionState) -> DescribeTopicPartitionsResponsePartition {
        let leader = visible::leader(self.image, state);
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(number)
            .with_leader_id(WireBrokerId(leader.map_or(-1, |leader| leader.0)))
            .with_leader_epoch(state.leader_epoch)
            .with_replica_nodes(visible::wire(&state.replicas))
            .with_isr_nodes(visible::wire(&state.isr))
            .with_eligible_leader_replicas(Some(visible::wire(&state.elr)))
            .with_last_known_elr(Some(visible::wire(&state.last_known_elr)))
            .with_offline_replicas(visible::offline(self.image, state))
    }
}

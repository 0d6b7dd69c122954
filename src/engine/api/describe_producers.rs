//! DescribeProducers (key 61, version 0): the idempotent producers that a replica remembers (KIP-664).
//!
//! Any replica answers, not only the leader (`Partition.activeProducerState`): `kafka-transactions find-hanging --broker-id`
//! asks a broker for all partitions it has.

use crate::engine::io::{Ctx, RequestToken};
use crate::engine::replica::{Access, ReplicaEnv, Replicas, resolve_topic};
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::PartitionId;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};

/// Answers with what this broker's replica of each partition knows.
pub(in crate::engine) fn handle(
    replicas: &Replicas,
    cx: &mut Ctx,
    env: &ReplicaEnv,
    token: RequestToken,
    request: &DescribeProducersRequest,
) {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let found = resolve_topic(env.image, &topic.name, uuid::Uuid::nil());
        let answer = |index: &i32| {
            let producers = found.and_then(|topic| active_producers(replicas, env, PartitionId::new(topic, *index)));
            let (error, producers) = match producers {
                Ok(producers) => (ErrorCode::None, producers),
                Err(error) => (error, Vec::new()),
            };
            PartitionResponse::default()
                .with_partition_index(*index)
                .with_error_code(error.code())
                .with_active_producers(producers)
        };
        let partitions = topic.partition_indexes.iter().map(answer).collect();
        topics.push(TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions));
    }
    cx.respond(token, Response::DescribeProducers(DescribeProducersResponse::default().with_topics(topics)));
}

fn active_producers(replicas: &Replicas, env: &ReplicaEnv, id: PartitionId) -> Result<Vec<ProducerState>, ErrorCode> {
    let replica = replicas.find(env, id, -1, Access::AnyReplica)?;
    let describe = |producer: crate::engine::log::ProducerSummary| {
        ProducerState::default()
            .with_producer_id(ProducerId(producer.producer_id))
            .with_producer_epoch(i32::from(producer.producer_epoch))
            .with_last_sequence(producer.last_sequence)
            .with_last_timestamp(producer.last_timestamp)
            .with_coordinator_epoch(producer.coordinator_epoch)
            .with_current_txn_start_offset(producer.transaction_start_offset)
    };
    Ok(replica.log.producers().map(describe).collect())
}

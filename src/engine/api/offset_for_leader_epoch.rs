//! OffsetForLeaderEpoch (key 23, versions 2 to 4): where a leader epoch ends (KIP-101, KIP-279, KIP-320), for consumers
//! that look whether their records were cut off. Followers learn it from their fetches (KIP-595).

use crate::engine::io::{Ctx, RequestToken};
use crate::engine::replica::{Access, ReplicaEnv, Replicas, resolve_topic};
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{EpochEnd, PartitionId};
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

/// Answers with the largest epoch not above the one asked for, and its end.
pub(in crate::engine) fn handle(
    replicas: &Replicas,
    cx: &mut Ctx,
    env: &ReplicaEnv,
    token: RequestToken,
    request: &OffsetForLeaderEpochRequest,
) {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let found = resolve_topic(env.image, &topic.topic, uuid::Uuid::nil());
        let answer = |wanted: &OffsetForLeaderPartition| {
            let outcome =
                found.and_then(|topic| end_of_epoch(replicas, env, PartitionId::new(topic, wanted.partition), wanted));
            let (error, end) = match outcome {
                Ok(end) => (ErrorCode::None, end),
                Err(error) => (error, EpochEnd { epoch: -1, end_offset: -1 }),
            };
            EpochEndOffset::default()
                .with_error_code(error.code())
                .with_partition(wanted.partition)
                .with_leader_epoch(end.epoch)
                .with_end_offset(end.end_offset)
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        topics.push(OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions));
    }
    cx.respond(token, Response::OffsetForLeaderEpoch(OffsetForLeaderEpochResponse::default().with_topics(topics)));
}

fn end_of_epoch(
    replicas: &Replicas,
    env: &ReplicaEnv,
    id: PartitionId,
    wanted: &OffsetForLeaderPartition,
) -> Result<EpochEnd, ErrorCode> {
    let replica = replicas.find(env, id, wanted.current_leader_epoch, Access::Leader)?;
    Ok(replica.log.epoch_end(wanted.leader_epoch))
}

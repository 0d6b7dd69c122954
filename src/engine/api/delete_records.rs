//! DeleteRecords (key 21, versions 0 to 2): a partition's log begins later.
//!
//! Invariant: nothing at or above the high watermark is deleted, and the answer comes when no in-sync replica begins
//! earlier any more (KIP-107).

use crate::engine::io::{Ctx, RequestToken};
use crate::engine::replica::purgatory::{Draft, Place, WaitFor};
use crate::engine::replica::{Access, ReplicaEnv, Replicas, resolve_topic};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{ConnectionId, PartitionId};
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

/// What stands for the high watermark (`DeleteRecordsRequest.HIGH_WATERMARK`).
const HIGH_WATERMARK: i64 = -1;

/// Moves log starts, and answers when the followers' have moved too.
pub(in crate::engine) fn handle(
    replicas: &mut Replicas,
    cx: &mut Ctx,
    env: &ReplicaEnv,
    token: RequestToken,
    connection: ConnectionId,
    request: &DeleteRecordsRequest,
) {
    let mut response = DeleteRecordsResponse::default();
    let mut places = Vec::new();
    for (topic_at, topic) in request.topics.iter().enumerate() {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (partition_at, wanted) in topic.partitions.iter().enumerate() {
            let outcome = resolve_topic(env.image, &topic.name, uuid::Uuid::nil()).and_then(|topic| {
                let id = PartitionId::new(topic, wanted.partition_index);
                delete(replicas, cx, env, id, wanted.offset).map(|offset| (id, offset))
            });
            let mut result = DeleteRecordsPartitionResult::default()
                .with_partition_index(wanted.partition_index)
                .with_low_watermark(-1);
            match outcome {
                Ok((partition, offset)) => places.push(Place {
                    at: (topic_at, partition_at),
                    partition,
                    offset,
                    wait_for: WaitFor::Deleted,
                    is_done: false,
                }),
                Err(error) => result.error_code = error.code(),
            }
            partitions.push(result);
        }
        response
            .topics
            .push(DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions));
    }
    let deadline = cx.now.plus_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let waits: Vec<PartitionId> = places.iter().map(|place| place.partition).collect();
    if replicas.park(cx, token, connection, Some(deadline), Draft::DeleteRecords(response), places).is_some() {
        for id in waits {
            replicas.finish_deleted(cx, env, id);
        }
    }
}

/// Moves the leader's own log start (`Partition.deleteRecordsOnLeader`); the offset that the followers have to reach.
fn delete(
    replicas: &mut Replicas,
    cx: &mut Ctx,
    env: &ReplicaEnv,
    id: PartitionId,
    wanted: i64,
) -> Result<i64, ErrorCode> {
    let replica = replicas.find(env, id, -1, Access::Leader)?;
    if !replica.config.cleanup_delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let high_watermark = replica.high_watermark;
    let offset = if wanted == HIGH_WATERMARK { high_watermark } else { wanted };
    if !(0..=high_watermark).contains(&offset) {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    replicas.move_log_start(cx, id, offset);
    Ok(offset)
}

//! ListOffsets (key 2, versions 1 to 10): offsets by time, and the special ones (−1 latest, −2 earliest, −3 of the
//! largest timestamp, −4 earliest local, −5 latest tiered).
//!
//! Invariant: a new leader whose high watermark has not reached its epoch yet says so rather than let offsets go
//! backwards (KIP-207). There is no tiered storage: everything is local, and nothing is tiered.

use crate::engine::io::{Ctx, RequestToken};
use crate::engine::replica::partition::Replica;
use crate::engine::replica::{Access, ReplicaEnv, Replicas, resolve_topic};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::PartitionId;
use kafka_protocol::messages::ListOffsetsResponse;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use std::collections::BTreeSet;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
/// The `replica_id` of tools that look at a replica whatever it is (`ListOffsetsRequest.DEBUGGING_REPLICA_ID`).
const DEBUGGING_REPLICA: i32 = -2;

/// An offset that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    timestamp: i64,
    offset: i64,
    leader_epoch: i32,
}

/// Answers with the offsets asked for.
pub(in crate::engine) fn handle(
    replicas: &Replicas,
    cx: &mut Ctx,
    env: &ReplicaEnv,
    token: RequestToken,
    header: &RequestHeader,
    request: &ListOffsetsRequest,
) {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            if !seen.insert((&topic.name, partition.partition_index)) {
                twice.insert((&topic.name, partition.partition_index));
            }
        }
    }
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let outcome = if twice.contains(&(&topic.name, wanted.partition_index)) {
                Err(ErrorCode::InvalidRequest)
            } else {
                resolve_topic(env.image, &topic.name, uuid::Uuid::nil()).and_then(|topic| {
                    let id = PartitionId::new(topic, wanted.partition_index);
                    list(replicas, cx, env, id, wanted, request, header.version)
                })
            };
            partitions.push(answer_of(wanted.partition_index, outcome, header.version));
        }
        topics.push(ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions));
    }
    cx.respond(token, Response::ListOffsets(ListOffsetsResponse::default().with_topics(topics)));
}

fn answer_of(index: i32, outcome: Result<Option<Found>, ErrorCode>, version: i16) -> ListOffsetsPartitionResponse {
    let nothing = Found { timestamp: -1, offset: -1, leader_epoch: -1 };
    let (error, found) = match outcome {
        Ok(found) => (ErrorCode::None, found.unwrap_or(nothing)),
        Err(error) => (error, nothing),
    };
    ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_error_code(error.code())
        .with_timestamp(found.timestamp)
        .with_offset(found.offset)
        .with_leader_epoch(if version >= 4 { found.leader_epoch } else { -1 })
}

/// The rules of `Partition.fetchOffsetForTimestamp`.
fn list(
    replicas: &Replicas,
    cx: &mut Ctx,
    env: &ReplicaEnv,
    id: PartitionId,
    wanted: &ListOffsetsPartition,
    request: &ListOffsetsRequest,
    version: i16,
) -> Result<Option<Found>, ErrorCode> {
    let is_debugging = request.replica_id.0 == DEBUGGING_REPLICA;
    let access = if is_debugging { Access::AnyReplica } else { Access::Leader };
    let replica = replicas.find(env, id, wanted.current_leader_epoch, access)?;
    let visible_end =
        if is_debugging { replica.log.end_offset() } else { replica.readable_end(request.isolation_level == 1) };
    let epoch_start = replica.as_leader().map_or(0, |leader| leader.epoch_start);
    let is_behind = !is_debugging && epoch_start > visible_end;
    let not_yet = if version >= 5 { ErrorCode::OffsetNotAvailable } else { ErrorCode::LeaderNotAvailable };
    match wanted.timestamp {
        LATEST if is_behind => Err(not_yet),
        LATEST => {
            Ok(Some(Found { timestamp: -1, offset: visible_end, leader_epoch: replica.log.last_epoch().unwrap_or(-1) }))
        }
        EARLIEST | EARLIEST_LOCAL => {
            let offset = replica.log.start_offset();
            Ok(Some(Found { timestamp: -1, offset, leader_epoch: epoch_at(replica, offset) }))
        }
        LATEST_TIERED => Ok(None),
        MAX_TIMESTAMP | 0.. => match by_time(cx, replica, wanted.timestamp, visible_end)? {
            Some(found) => Ok(Some(found)),
            None if is_behind => Err(not_yet),
            None => Ok(None),
        },
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

fn by_time(cx: &mut Ctx, replica: &Replica, timestamp: i64, limit: i64) -> Result<Option<Found>, ErrorCode> {
    let found = if timestamp == MAX_TIMESTAMP {
        replica.log.max_timestamp(cx.log(), limit)
    } else {
        replica.log.offset_for_time(cx.log(), timestamp, limit)
    };
    let found = found.map_err(|error| Replicas::storage_failed(cx, &error))?;
    Ok(found.map(|found| Found { timestamp: found.timestamp, offset: found.offset, leader_epoch: found.leader_epoch }))
}

/// The epoch of the record at an offset; −1 if the log has no epochs.
fn epoch_at(replica: &Replica, offset: i64) -> i32 {
    replica.log.epoch_at(offset).unwrap_or(-1)
}

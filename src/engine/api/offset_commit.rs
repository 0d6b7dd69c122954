//! OffsetCommit (key 8, versions 2 to 9): how far a group has come. Answered when it is on every in-sync replica.

use crate::engine::group::classic::GroupState;
use crate::engine::group::offsets::{Committer, check_commit, check_consumer_commit};
use crate::engine::group::record::{CommittedOffset, GroupRecord};
use crate::engine::group::shard::Shard;
use crate::engine::group::{After, Groups, Outcome, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::mutant::Mutant;
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use std::sync::Arc;

/// Commits.
pub(in crate::engine) fn handle(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &mut Turn,
    token: RequestToken,
    header: &RequestHeader,
    request: &OffsetCommitRequest,
) {
    let committer = Committer {
        member: Arc::from(request.member_id.as_str()),
        instance: request.group_instance_id.as_deref().map(Arc::from),
        generation: request.generation_id_or_member_epoch,
        version: header.version,
    };
    let committed = groups.with_shard(cx, turn, &request.group_id, |shard, cx, turn, group| {
        commit(shard, cx, turn, group, token, &committer, request)
    });
    if let Err(error) = committed.flatten() {
        cx.respond(token, Response::OffsetCommit(refused(request, error)));
    }
}

fn commit(
    shard: &mut Shard,
    cx: &mut Ctx,
    turn: &mut Turn,
    group: &Arc<str>,
    token: RequestToken,
    committer: &Committer,
    request: &OffsetCommitRequest,
) -> Result<(), ErrorCode> {
    let checked = match shard.consumer_group(group) {
        Some(consumers) => check_consumer_commit(consumers, committer, false),
        None => check_commit(shard.group(group), committer),
    };
    if !cx.has(Mutant::OldGenerationCommits) {
        checked?;
    }
    // A commit shows that the member lives.
    shard.with_group(cx, turn, group, |group, at, _| {
        if matches!(group.state(), GroupState::Stable | GroupState::PreparingRebalance) {
            group.show(&committer.member, at.now);
        }
    });
    let mut records = Vec::new();
    let mut response = OffsetCommitResponse::default();
    for topic in &request.topics {
        let mut answer = OffsetCommitResponseTopic::default().with_name(topic.name.clone());
        let is_known = turn.env.image.topic_ids.contains_key(topic.name.as_str());
        let name: Arc<str> = Arc::from(topic.name.as_str());
        for partition in &topic.partitions {
            let checked = if is_known {
                check_metadata(partition, turn.env.config.offset_metadata_max_bytes)
            } else {
                Err(ErrorCode::UnknownTopicOrPartition)
            };
            if checked.is_ok() {
                records.push(GroupRecord::Offset {
                    group: Arc::clone(group),
                    topic: Arc::clone(&name),
                    partition: partition.partition_index,
                    value: Some(committed(partition, cx.wall.0, request.retention_time_ms)),
                });
            }
            answer.partitions.push(
                OffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(checked.err().unwrap_or(ErrorCode::None).code()),
            );
        }
        response.topics.push(answer);
    }
    let after = vec![After::Answer { token, response: Response::OffsetCommit(response) }];
    shard.carry_out(cx, turn, Outcome { records, after, ..Outcome::default() });
    Ok(())
}

fn check_metadata(partition: &OffsetCommitRequestPartition, most: usize) -> Result<(), ErrorCode> {
    let size = partition.committed_metadata.as_ref().map_or(0, |metadata| metadata.len());
    if size > most { Err(ErrorCode::OffsetMetadataTooLarge) } else { Ok(()) }
}

fn committed(partition: &OffsetCommitRequestPartition, wall_ms: i64, retention_ms: i64) -> CommittedOffset {
    CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: Arc::from(partition.committed_metadata.as_deref().unwrap_or_default()),
        committed_at_ms: wall_ms,
        expires_at_ms: (retention_ms >= 0).then(|| wall_ms.saturating_add(retention_ms)),
    }
}

fn refused(request: &OffsetCommitRequest, error: ErrorCode) -> OffsetCommitResponse {
    let partition = |partition: &OffsetCommitRequestPartition| {
        OffsetCommitResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(error.code())
    };
    let topics = request.topics.iter().map(|topic| {
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partitions.iter().map(partition).collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

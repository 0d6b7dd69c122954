//! TxnOffsetCommit (key 28, versions 0 to 5): how far a group has come, in force once the transaction commits. From
//! version 5 on the group's partition joins the transaction by this (KIP-890).

use crate::engine::broker::Broker;
use crate::engine::group::offsets::{Committer, check_consumer_commit, check_transactional_commit};
use crate::engine::group::record::{CommittedOffset, GroupRecord};
use crate::engine::group::shard::Shard;
use crate::engine::group::{self, After, Outcome, Turn};
use crate::engine::io::Ctx;
use crate::engine::mutant::Mutant;
use crate::engine::replica::verified::{Guard, Verified, is_enabled};
use crate::engine::txn::verification::Held;
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use std::sync::Arc;

/// From this version on it takes the group's partition into the transaction.
const ADDS_FROM: i16 = 5;

/// Commits, once the coordinator of the transaction has vouched for it.
pub(in crate::engine) fn handle(broker: &mut Broker, cx: &mut Ctx, held: Held) {
    let Request::TxnOffsetCommit(request) = &held.request else { unreachable!("routed by its kind") };
    let producer = (request.producer_id.0, request.producer_epoch);
    let adds = held.header.version >= ADDS_FROM;
    let id = group::partition_of(&broker.image, &request.group_id);
    let question = id.and_then(|id| {
        broker.with_replicas(cx, |replicas, _, _, env| {
            replicas.question_of_offsets(env, id, &request.transactional_id, producer, adds)
        })
    });
    match question {
        Some(question) => broker.verify(cx, held, question),
        None => carry_out(broker, cx, &held, &Verified::default()),
    }
}

/// Commits, with what the transaction's coordinator said.
pub(in crate::engine) fn carry_out(broker: &mut Broker, cx: &mut Ctx, held: &Held, verified: &Verified) {
    let Request::TxnOffsetCommit(request) = &held.request else { unreachable!("routed by its kind") };
    let committed = broker.with_groups(cx, |groups, cx, turn| {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        groups
            .with_shard(cx, turn, &request.group_id, |shard, cx, turn, group| {
                let guard = verified.get(&shard.id()).copied().transpose();
                let guard = guard.map_err(|error| told(error, held.header.version))?;
                commit(shard, cx, turn, group, held, request, guard)
            })
            .flatten()
    });
    if let Err(error) = committed {
        cx.respond(held.token, Response::TxnOffsetCommit(refused(request, error)));
    }
}

/// What a client is told when the coordinator of its transaction did not vouch for it. It must not take that
/// coordinator's trouble for the group's (`GroupCoordinatorService.commitTransactionalOffsets`).
fn told(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < 4 => ErrorCode::InvalidTxnState,
        ErrorCode::ConcurrentTransactions if version >= ADDS_FROM => error,
        ErrorCode::ConcurrentTransactions
        | ErrorCode::NetworkException
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => ErrorCode::CoordinatorLoadInProgress,
        error => error,
    }
}

fn commit(
    shard: &mut Shard,
    cx: &mut Ctx,
    turn: &mut Turn,
    group: &Arc<str>,
    held: &Held,
    request: &TxnOffsetCommitRequest,
    guard: Option<Guard>,
) -> Result<(), ErrorCode> {
    let producer = (request.producer_id.0, request.producer_epoch);
    let committer = Committer {
        member: Arc::from(request.member_id.as_str()),
        instance: request.group_instance_id.as_deref().map(Arc::from),
        generation: request.generation_id,
        version: held.header.version,
    };
    let checked = match shard.consumer_group(group) {
        Some(consumers) => check_consumer_commit(consumers, &committer, true),
        None => check_transactional_commit(shard.group(group), &committer),
    };
    if !cx.has(Mutant::OldGenerationCommitsInTransaction) {
        checked?;
    }
    if is_enabled(turn.env) {
        turn.replicas.check_offsets_verified(shard.id(), producer, guard)?;
    }
    let mut records = Vec::new();
    let mut response = TxnOffsetCommitResponse::default();
    for topic in &request.topics {
        let name: Arc<str> = Arc::from(topic.name.as_str());
        let is_known = turn.env.image.topic_ids.contains_key(topic.name.as_str());
        let mut answer = TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone());
        for partition in &topic.partitions {
            let error = check(partition, is_known, turn.env.config.offset_metadata_max_bytes);
            if error.is_none() {
                records.push(GroupRecord::Offset {
                    group: Arc::clone(group),
                    topic: Arc::clone(&name),
                    partition: partition.partition_index,
                    value: Some(committed(partition, cx.wall.0)),
                });
            }
            answer.partitions.push(
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(error.code()),
            );
        }
        response.topics.push(answer);
    }
    let after = vec![After::Answer { token: held.token, response: Response::TxnOffsetCommit(response) }];
    shard.carry_out(cx, turn, Outcome { records, producer: Some(producer), after, ..Outcome::default() });
    Ok(())
}

fn check(partition: &TxnOffsetCommitRequestPartition, is_known: bool, most: usize) -> ErrorCode {
    let size = partition.committed_metadata.as_ref().map_or(0, |metadata| metadata.len());
    match is_known {
        false => ErrorCode::UnknownTopicOrPartition,
        true if size > most => ErrorCode::OffsetMetadataTooLarge,
        true => ErrorCode::None,
    }
}

fn committed(partition: &TxnOffsetCommitRequestPartition, wall_ms: i64) -> CommittedOffset {
    CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: Arc::from(partition.committed_metadata.as_deref().unwrap_or_default()),
        committed_at_ms: wall_ms,
        expires_at_ms: None,
    }
}

fn refused(request: &TxnOffsetCommitRequest, error: ErrorCode) -> TxnOffsetCommitResponse {
    let partition = |partition: &TxnOffsetCommitRequestPartition| {
        TxnOffsetCommitResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(error.code())
    };
    let topics = request.topics.iter().map(|topic| {
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partitions.iter().map(partition).collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

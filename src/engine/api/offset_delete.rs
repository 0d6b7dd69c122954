//! OffsetDelete (key 47, version 0, KIP-496): an administrator forgets offsets of topics that nobody in the group reads.

use crate::engine::group::offsets::{check_delete, tombstone};
use crate::engine::group::shard::Shard;
use crate::engine::group::{After, Groups, Outcome, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use std::sync::Arc;

/// Deletes, and answers when that is committed.
pub(in crate::engine) fn handle(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &mut Turn,
    token: RequestToken,
    request: &OffsetDeleteRequest,
) {
    let decided = if request.group_id.is_empty() {
        Err(ErrorCode::InvalidGroupId)
    } else {
        let decided = groups.with_shard(cx, turn, &request.group_id, |shard, cx, turn, group| {
            let mut outcome = decide(shard, turn, group, request)?;
            let response = Response::OffsetDelete(outcome.1);
            outcome.0.after.push(After::Answer { token, response });
            shard.carry_out(cx, turn, outcome.0);
            Ok(())
        });
        decided.flatten()
    };
    if let Err(error) = decided {
        cx.respond(token, Response::OffsetDelete(OffsetDeleteResponse::default().with_error_code(error.code())));
    }
}

fn decide(
    shard: &Shard,
    turn: &Turn,
    group: &Arc<str>,
    request: &OffsetDeleteRequest,
) -> Result<(Outcome, OffsetDeleteResponse), ErrorCode> {
    if shard.group(group).is_none() && shard.consumer_group(group).is_none() {
        return Err(ErrorCode::GroupIdNotFound);
    }
    let image = shard.appended().group(group);
    let mut outcome = Outcome::default();
    let mut response = OffsetDeleteResponse::default();
    for topic in &request.topics {
        let name: Arc<str> = Arc::from(topic.name.as_str());
        let checked = match (shard.group(group), shard.consumer_group(group)) {
            (Some(classic), _) => check_delete(classic, &name),
            (None, Some(consumers)) if consumers.is_subscribed_to(&name) => Err(ErrorCode::GroupSubscribedToTopic),
            (None, Some(_)) => Ok(()),
            (None, None) => return Err(ErrorCode::GroupIdNotFound),
        };
        let refused = match checked {
            Err(ErrorCode::NonEmptyGroup) => return Err(ErrorCode::NonEmptyGroup),
            _ if !turn.env.image.topic_ids.contains_key(&*name) => Some(ErrorCode::UnknownTopicOrPartition),
            checked => checked.err(),
        };
        let mut answer = OffsetDeleteResponseTopic::default().with_name(topic.name.clone());
        for partition in &topic.partitions {
            let number = partition.partition_index;
            if refused.is_none() && image.is_some_and(|image| image.offset(&name, number).is_some()) {
                outcome.records.push(tombstone(group, &name, number));
            }
            answer.partitions.push(
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(number)
                    .with_error_code(refused.unwrap_or(ErrorCode::None).code()),
            );
        }
        response.topics.push(answer);
    }
    Ok((outcome, response))
}

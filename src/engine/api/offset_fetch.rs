//! OffsetFetch (key 9, versions 1 to 9): how far a group has come, as far as it is committed. One group, or from version
//! 8 on many; named partitions, or all of them.
//!
//! A group or a partition that nothing was committed for has offset −1 and no error. Who asks for stable offsets is told
//! UNSTABLE_OFFSET_COMMIT while a transaction that committed one has not ended (KIP-447). A member of a consumer group may
//! say its epoch (version 9, KIP-848), and is told if it is not the one it is in.

use crate::engine::group::image::GroupImage;
use crate::engine::group::offsets::check_consumer_fetch;
use crate::engine::group::record::CommittedOffset;
use crate::engine::group::{Groups, Turn, answers};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

const MANY_GROUPS_FROM: i16 = 8;
/// Before, only partitions had errors.
const WHOLE_ERROR_FROM: i16 = 2;
/// "Nothing committed" (`OffsetFetchResponse.INVALID_OFFSET`).
const NOTHING: i64 = -1;

/// Topics with the partitions asked for; `None` for everything.
type Asked = Option<Vec<(TopicName, Vec<i32>)>>;

/// Answers.
pub(in crate::engine) fn handle(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &mut Turn,
    token: RequestToken,
    header: &RequestHeader,
    request: &OffsetFetchRequest,
) {
    let response = if header.version >= MANY_GROUPS_FROM {
        let answers = request.groups.iter().map(|group| {
            let asked = group.topics.as_ref().map(|topics| {
                topics.iter().map(|topic| (topic.name.clone(), topic.partition_indexes.clone())).collect()
            });
            let reader = (group.member_id.as_deref(), group.member_epoch);
            let found = find(groups, turn, &group.group_id, asked, request.require_stable, reader);
            let answer = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
            match found {
                Ok(topics) => answer.with_topics(topics),
                Err(error) => answer.with_error_code(error.code()),
            }
        });
        OffsetFetchResponse::default().with_groups(answers.collect())
    } else {
        of_one(groups, turn, header.version, request)
    };
    cx.respond(token, Response::OffsetFetch(response));
}

fn of_one(groups: &mut Groups, turn: &Turn, version: i16, request: &OffsetFetchRequest) -> OffsetFetchResponse {
    let asked: Asked = request
        .topics
        .as_ref()
        .map(|topics| topics.iter().map(|topic| (topic.name.clone(), topic.partition_indexes.clone())).collect());
    let (topics, error) = match find(groups, turn, &request.group_id, asked.clone(), request.require_stable, (None, -1))
    {
        Ok(topics) => (topics, ErrorCode::None),
        Err(error) => (nothing(asked, error), error),
    };
    let response =
        OffsetFetchResponse::default().with_topics(topics.into_iter().map(|topic| old(topic, version)).collect());
    if version >= WHOLE_ERROR_FROM { response.with_error_code(error.code()) } else { response }
}

fn find(
    groups: &mut Groups,
    turn: &Turn,
    group: &str,
    asked: Asked,
    require_stable: bool,
    (member, epoch): (Option<&str>, i32),
) -> Result<Vec<OffsetFetchResponseTopics>, ErrorCode> {
    let shard = groups.shard(turn, group)?;
    if let Some(consumers) = shard.committed().group(group).map(|group| &group.consumer).filter(|group| group.exists())
    {
        check_consumer_fetch(consumers, member, epoch)?;
    }
    let mut topics = offsets(shard.committed().group(group), asked);
    if require_stable {
        for topic in &mut topics {
            // Neither before everybody has the offset nor before everybody has the marker.
            let is_unstable = |number| {
                [shard.appended(), shard.committed()]
                    .iter()
                    .any(|image| image.is_unstable(group, topic.name.as_str(), number))
            };
            for partition in topic.partitions.iter_mut().filter(|partition| is_unstable(partition.partition_index)) {
                *partition = OffsetFetchResponsePartitions::default()
                    .with_partition_index(partition.partition_index)
                    .with_committed_offset(NOTHING)
                    .with_metadata(Some(StrBytes::default()))
                    .with_error_code(ErrorCode::UnstableOffsetCommit.code());
            }
        }
    }
    Ok(topics)
}

fn offsets(image: Option<&GroupImage>, asked: Asked) -> Vec<OffsetFetchResponseTopics> {
    let Some(asked) = asked else {
        let all = image.into_iter().flat_map(|image| &image.offsets).map(|(topic, partitions)| {
            let partitions = partitions.iter().map(|(number, offset)| told(*number, Some(offset)));
            OffsetFetchResponseTopics::default()
                .with_name(TopicName(answers::text(topic)))
                .with_partitions(partitions.collect())
        });
        return all.collect();
    };
    let topic = |(name, numbers): (TopicName, Vec<i32>)| {
        let find = |number: i32| image.and_then(|image| image.offset(name.as_str(), number));
        let partitions = numbers.into_iter().map(|number| told(number, find(number))).collect();
        OffsetFetchResponseTopics::default().with_partitions(partitions).with_name(name)
    };
    asked.into_iter().map(topic).collect()
}

fn nothing(asked: Asked, error: ErrorCode) -> Vec<OffsetFetchResponseTopics> {
    let mut topics = offsets(None, Some(asked.unwrap_or_default()));
    for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.error_code = error.code();
    }
    topics
}

fn told(number: i32, offset: Option<&CommittedOffset>) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(number)
        .with_committed_offset(offset.map_or(NOTHING, |offset| offset.offset))
        .with_committed_leader_epoch(offset.map_or(-1, |offset| offset.leader_epoch))
        .with_metadata(Some(offset.map_or_else(StrBytes::default, |offset| answers::text(&offset.metadata))))
}

/// The same in the shape that versions before 8 have.
fn old(topic: OffsetFetchResponseTopics, version: i16) -> OffsetFetchResponseTopic {
    let partition = |partition: OffsetFetchResponsePartitions| {
        let old = OffsetFetchResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_metadata(partition.metadata)
            .with_error_code(partition.error_code);
        if version >= 5 { old.with_committed_leader_epoch(partition.committed_leader_epoch) } else { old }
    };
    OffsetFetchResponseTopic::default()
        .with_name(topic.name)
        .with_partitions(topic.partitions.into_iter().map(partition).collect())
}

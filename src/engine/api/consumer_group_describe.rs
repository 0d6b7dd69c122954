//! ConsumerGroupDescribe (key 69, versions 0 and 1, KIP-848): a consumer group's state, epochs and members, as far as they
//! are committed. A classic group is not found here.

use crate::engine::api::visible;
use crate::engine::controller::image::MetadataImage;
use crate::engine::group::answers::text;
use crate::engine::group::consumer::draft::assignor;
use crate::engine::group::consumer::image::ConsumerImage;
use crate::engine::group::consumer::record::{ConsumerMember, Partitions};
use crate::engine::group::{Groups, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup, Member, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// From here on a member's protocol is told.
const MEMBER_TYPE_FROM: i16 = 1;

/// Answers.
pub(in crate::engine) fn handle(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &Turn,
    token: RequestToken,
    header: &RequestHeader,
    request: &ConsumerGroupDescribeRequest,
) {
    let described = request.group_ids.iter().map(|id| {
        let mut described = match groups.shard(turn, id) {
            _ if id.is_empty() => refused(ErrorCode::InvalidGroupId, None),
            Err(error) => refused(error, None),
            Ok(shard) => match shard.committed().group(id) {
                Some(group) if group.consumer.exists() => describe(turn, &group.consumer, header.version),
                found => {
                    let is_classic = found.is_some() || shard.group(id).is_some();
                    let why = if is_classic { "is not a consumer group" } else { "not found" };
                    refused(ErrorCode::GroupIdNotFound, Some(format!("Group {} {why}.", id.as_str())))
                }
            },
        };
        described.authorized_operations = if request.include_authorized_operations && described.error_code == 0 {
            visible::GROUP_OPERATIONS
        } else {
            visible::OPERATIONS_NOT_ASKED
        };
        described.with_group_id(id.clone())
    });
    let response = ConsumerGroupDescribeResponse::default().with_groups(described.collect());
    cx.respond(token, Response::ConsumerGroupDescribe(response));
}

fn refused(error: ErrorCode, message: Option<String>) -> DescribedGroup {
    DescribedGroup::default().with_error_code(error.code()).with_error_message(message.map(StrBytes::from_string))
}

fn describe(turn: &Turn, group: &ConsumerImage, version: i16) -> DescribedGroup {
    let members = group.members().map(|(id, member)| describe_member(turn.env.image, group, id, member, version));
    DescribedGroup::default()
        .with_group_state(StrBytes::from_static_str(group.state().name()))
        .with_group_epoch(group.epoch())
        .with_assignment_epoch(group.target_epoch())
        .with_assignor_name(StrBytes::from_static_str(assignor(group, turn.env.config).name()))
        .with_members(members.collect())
}

fn describe_member(
    metadata: &MetadataImage,
    group: &ConsumerImage,
    id: &Arc<str>,
    member: &ConsumerMember,
    version: i16,
) -> Member {
    let nullable = |told: &Option<Arc<str>>| told.as_deref().map(text);
    let described = Member::default()
        .with_member_id(text(id))
        .with_instance_id(nullable(&member.instance))
        .with_rack_id(nullable(&member.rack))
        .with_member_epoch(group.member_epoch(id))
        .with_client_id(text(&member.client_id))
        .with_client_host(text(&member.client_host))
        .with_subscribed_topic_names(member.topics.iter().map(|name| TopicName(text(name))).collect())
        .with_subscribed_topic_regex(nullable(&member.regex))
        .with_assignment(assignment(metadata, &group.current(id).assigned))
        .with_target_assignment(assignment(metadata, &group.target(id)));
    if version < MEMBER_TYPE_FROM {
        return described;
    }
    described.with_member_type(i8::from(member.classic.is_none()))
}

/// Partitions of topics that still exist.
fn assignment(metadata: &MetadataImage, partitions: &Partitions) -> Assignment {
    let topics = partitions.iter().filter_map(|(id, numbers)| {
        let topic = metadata.topics.get(id)?;
        Some(
            TopicPartitions::default()
                .with_topic_id(id.0)
                .with_topic_name(TopicName(text(&topic.name)))
                .with_partitions(numbers.iter().copied().collect()),
        )
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

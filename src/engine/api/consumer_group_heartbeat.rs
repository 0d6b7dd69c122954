//! ConsumerGroupHeartbeat (key 68, versions 0 and 1, KIP-848): a member of a consumer group joins, shows itself, hears what
//! it is to have, and leaves. From version 1 on clients make up their members' ids, and may subscribe by regular
//! expression.

use crate::engine::controller::features::GROUP_VERSION;
use crate::engine::group::answers::host_of;
use crate::engine::group::consumer::assignor::Assignor;
use crate::engine::group::consumer::draft::Refusal;
use crate::engine::group::consumer::heartbeat::{Beat, LEAVES};
use crate::engine::group::consumer::image::WILL_COME_BACK;
use crate::engine::group::consumer::record::Partitions;
use crate::engine::group::consumer::{regex, turn::refused};
use crate::engine::group::{Groups, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::RequestHeader;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::TopicId;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
use std::sync::Arc;

/// From here on a client makes up its member's id.
const OWN_ID_FROM: i16 = 1;

/// Takes a member's sign of life.
pub(in crate::engine) fn handle(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &mut Turn,
    token: RequestToken,
    header: &RequestHeader,
    request: &ConsumerGroupHeartbeatRequest,
) {
    let refusal = if turn.env.image.feature(GROUP_VERSION) < 1 {
        Some(Refusal::new(ErrorCode::UnsupportedVersion, ""))
    } else {
        check(turn, header.version, request).err()
    };
    if let Some(refusal) = refusal {
        return cx.respond(token, refused(&refusal));
    }
    let beat = read(cx, header, request);
    let found = groups.with_shard(cx, turn, &request.group_id, |shard, cx, turn, group| {
        shard.consumer_heartbeat(cx, turn, group, &beat, token);
    });
    if let Err(error) = found {
        cx.respond(token, refused(&Refusal::new(error, "")));
    }
}

/// What makes no sense in whatever group.
fn check(turn: &Turn, version: i16, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    let is_blank =
        |text: &Option<kafka_protocol::protocol::StrBytes>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if is_blank(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if is_blank(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    if (version >= OWN_ID_FROM || request.member_epoch != 0) && request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    match request.member_epoch {
        0 if request.rebalance_timeout_ms < 0 => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        0 if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        0 if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
            return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
        }
        WILL_COME_BACK if request.instance_id.is_none() => return invalid("InstanceId can't be null."),
        epoch if epoch < 0 && ![LEAVES, WILL_COME_BACK].contains(&epoch) => {
            return invalid("MemberEpoch is invalid.");
        }
        _ => {}
    }
    check_words(turn, request)
}

fn check_words(turn: &Turn, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let served = &turn.env.config.group_consumer_assignors;
    if let Some(wanted) = &request.server_assignor
        && Assignor::by_name(wanted).is_none_or(|wanted| !served.contains(&wanted))
    {
        let names: Vec<&str> = served.iter().map(|assignor| assignor.name()).collect();
        let message = format!("ServerAssignor {wanted} is not supported. Supported assignors: {}.", names.join(", "));
        return Err(Refusal::new(ErrorCode::UnsupportedAssignor, message));
    }
    if let Some(expression) = &request.subscribed_topic_regex {
        regex::check(expression).map_err(|why| {
            let message = format!("SubscribedTopicRegex `{expression}` is not a valid regular expression: {why}");
            Refusal::new(ErrorCode::InvalidRegularExpression, message)
        })?;
    }
    Ok(())
}

fn read(cx: &mut Ctx, header: &RequestHeader, request: &ConsumerGroupHeartbeatRequest) -> Beat {
    let arc = |text: &Option<kafka_protocol::protocol::StrBytes>| text.as_deref().map(Arc::from);
    let owned = request.topic_partitions.as_ref().map(|owned| {
        let filled = owned.iter().filter(|topic| !topic.partitions.is_empty());
        let topic = |topic: &kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions| {
            (TopicId(topic.topic_id), topic.partitions.iter().copied().collect())
        };
        filled.map(topic).collect::<Partitions>()
    });
    Beat {
        member: match request.member_id.as_str() {
            "" => Arc::from(cx.rng.uuid().to_string()),
            id => Arc::from(id),
        },
        epoch: request.member_epoch,
        instance: arc(&request.instance_id),
        rack: arc(&request.rack_id),
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|timeout_ms| *timeout_ms >= 0),
        topics: request
            .subscribed_topic_names
            .as_ref()
            .map(|names| names.iter().map(|name| Arc::from(name.as_str())).collect()),
        regex: arc(&request.subscribed_topic_regex),
        assignor: arc(&request.server_assignor),
        owned,
        client_id: Arc::from(header.client_id.as_deref().unwrap_or_default()),
        client_host: host_of(header),
    }
}

//! Heartbeat (key 12, versions 0 to 4): a member shows itself, and hears whether it has to join again.

use crate::engine::group::{Groups, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use std::sync::Arc;

/// Answers.
pub(in crate::engine) fn handle(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &mut Turn,
    token: RequestToken,
    request: &HeartbeatRequest,
) {
    let error = beat(groups, cx, turn, request).err().unwrap_or(ErrorCode::None);
    cx.respond(token, Response::Heartbeat(HeartbeatResponse::default().with_error_code(error.code())));
}

fn beat(groups: &mut Groups, cx: &mut Ctx, turn: &mut Turn, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let member: Arc<str> = Arc::from(request.member_id.as_str());
    let instance = request.group_instance_id.as_deref();
    let found = groups.with_shard(cx, turn, &request.group_id, |shard, cx, turn, group| {
        if shard.consumer_group(group).is_some() {
            return Some(shard.classic_beats(cx, group, &member, instance, request.generation_id));
        }
        shard.with_group(cx, turn, group, |group, at, _| group.heartbeat(at, &member, instance, request.generation_id))
    })?;
    found.unwrap_or(Err(ErrorCode::UnknownMemberId))
}

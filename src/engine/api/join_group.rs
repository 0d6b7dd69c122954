//! JoinGroup (key 11, versions 0 to 9). The answer comes when the generation begins.

use crate::engine::group::answers::{host_of, join_refused};
use crate::engine::group::member::{Asker, Join};
use crate::engine::group::{Groups, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::RequestHeader;
use crate::protocol::error::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages::JoinGroupRequest;
use std::sync::Arc;

/// Takes a client's wish to be a member.
pub(in crate::engine) fn handle(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &mut Turn,
    token: RequestToken,
    header: &RequestHeader,
    request: &JoinGroupRequest,
) {
    let asker = Asker { token, version: header.version };
    let member = request.member_id.as_str();
    let outcome = check(turn, request).and_then(|()| {
        let join = read(cx, asker, header, request);
        groups.with_shard(cx, turn, &request.group_id, |shard, cx, turn, group| shard.join(cx, turn, group, join))
    });
    if let Err(error) = outcome {
        cx.respond(token, join_refused(asker, member, error));
    }
}

fn check(turn: &Turn, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let config = turn.env.config;
    let allowed = config.group_min_session_timeout_ms..=config.group_max_session_timeout_ms;
    match u64::try_from(request.session_timeout_ms) {
        Ok(session_ms) if allowed.contains(&session_ms) => Ok(()),
        _ => Err(ErrorCode::InvalidSessionTimeout),
    }
}

fn read(cx: &mut Ctx, asker: Asker, header: &RequestHeader, request: &JoinGroupRequest) -> Join {
    let session_timeout_ms = u64::try_from(request.session_timeout_ms).unwrap_or(0);
    let client_id = header.client_id.as_deref().unwrap_or_default();
    let instance: Option<Arc<str>> = request.group_instance_id.as_deref().map(Arc::from);
    let named_for = instance.as_deref().unwrap_or(client_id);
    Join {
        asker,
        member: Arc::from(request.member_id.as_str()),
        new_member: Arc::from(format!("{named_for}-{}", cx.rng.uuid())),
        client_id: Arc::from(client_id),
        client_host: host_of(header),
        session_timeout_ms,
        // Before version 1 the session timeout held for it.
        rebalance_timeout_ms: match header.version {
            0 => session_timeout_ms,
            _ => u64::try_from(request.rebalance_timeout_ms).unwrap_or(session_timeout_ms),
        },
        protocol_type: Arc::from(request.protocol_type.as_str()),
        // Copied, so that the request's frame is not kept for as long as the member.
        protocols: request
            .protocols
            .iter()
            .map(|protocol| (Arc::from(protocol.name.as_str()), Bytes::copy_from_slice(&protocol.metadata)))
            .collect(),
        reason: request.reason.as_deref().map(Arc::from),
        instance,
    }
}

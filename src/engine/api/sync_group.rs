//! SyncGroup (key 14, versions 0 to 5): the leader says who gets what, everybody hears what they get, when it is
//! committed.

use crate::engine::group::answers::synced;
use crate::engine::group::consumer::turn::sync_refused;
use crate::engine::group::member::Asker;
use crate::engine::group::session::Sync;
use crate::engine::group::{Groups, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::RequestHeader;
use crate::protocol::error::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages::SyncGroupRequest;
use std::sync::Arc;

/// Takes a member's question for its assignment.
pub(in crate::engine) fn handle(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &mut Turn,
    token: RequestToken,
    header: &RequestHeader,
    request: &SyncGroupRequest,
) {
    let refuse = |cx: &mut Ctx, error| cx.respond(token, synced(header.version, error, None, None, Bytes::new()));
    if request.group_id.is_empty() {
        return refuse(cx, ErrorCode::InvalidGroupId);
    }
    let assignment = |given: &kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment| {
        (Arc::from(given.member_id.as_str()), Bytes::copy_from_slice(&given.assignment))
    };
    let sync = Sync {
        asker: Asker { token, version: header.version },
        member: Arc::from(request.member_id.as_str()),
        instance: request.group_instance_id.as_deref().map(Arc::from),
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_deref().map(Arc::from),
        protocol: request.protocol_name.as_deref().map(Arc::from),
        assignment: request.assignments.iter().map(assignment).collect(),
    };
    let found = groups.with_shard(cx, turn, &request.group_id, |shard, cx, turn, group| {
        if shard.consumer_group(group).is_some() {
            if let Err(error) = shard.classic_syncs(cx, turn, group, &sync) {
                cx.respond(token, sync_refused(&sync, error));
            }
            return Some(());
        }
        shard.with_group(cx, turn, group, |group, at, out| group.sync(at, sync, out))
    });
    match found {
        Ok(Some(())) => {}
        Ok(None) => refuse(cx, ErrorCode::UnknownMemberId),
        Err(error) => refuse(cx, error),
    }
}

//! LeaveGroup (key 13, versions 0 to 5): one member goes, or from version 3 on several, also by `group.instance.id`.

use crate::engine::group::{After, Groups, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use std::sync::Arc;

const MANY_MEMBERS_FROM: i16 = 3;

/// Takes members out, and answers when that is committed, if there is anything to commit.
pub(in crate::engine) fn handle(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &mut Turn,
    token: RequestToken,
    header: &RequestHeader,
    request: &LeaveGroupRequest,
) {
    let has_many = header.version >= MANY_MEMBERS_FROM;
    let members = if has_many {
        request.members.clone()
    } else {
        vec![MemberIdentity::default().with_member_id(request.member_id.clone())]
    };
    let refuse = |cx: &mut Ctx, error: ErrorCode| {
        cx.respond(token, Response::LeaveGroup(LeaveGroupResponse::default().with_error_code(error.code())));
    };
    if request.group_id.is_empty() {
        return refuse(cx, ErrorCode::InvalidGroupId);
    }
    let found = groups.with_shard(cx, turn, &request.group_id, |shard, cx, turn, group| {
        if shard.consumer_group(group).is_some() {
            let named: Vec<(Arc<str>, Option<Arc<str>>)> = members.iter().map(who).collect();
            shard.classic_leaves(cx, turn, group, &named, |errors| {
                (token, Response::LeaveGroup(of_consumer_group(has_many, &members, errors)))
            });
            return Some(());
        }
        shard.with_group(cx, turn, group, |group, at, out| {
            let mut response = LeaveGroupResponse::default();
            let mut gone = Vec::new();
            for member in &members {
                let left = group.leave(&member.member_id, member.group_instance_id.as_deref(), out);
                let error = left.err().unwrap_or(ErrorCode::None);
                if error.is_none() {
                    gone.push(said(member));
                }
                if has_many {
                    response.members.push(
                        MemberResponse::default()
                            .with_member_id(member.member_id.clone())
                            .with_group_instance_id(member.group_instance_id.clone())
                            .with_error_code(error.code()),
                    );
                } else {
                    response.error_code = error.code();
                }
            }
            if !gone.is_empty() {
                group.after_leaving(at, format!("{} left", gone.join(", ")), out);
            }
            out.after.push(After::Answer { token, response: Response::LeaveGroup(response) });
        })
    });
    match found {
        Ok(Some(())) => {}
        Ok(None) => refuse(cx, ErrorCode::UnknownMemberId),
        Err(error) => refuse(cx, error),
    }
}

fn who(member: &MemberIdentity) -> (Arc<str>, Option<Arc<str>>) {
    (Arc::from(member.member_id.as_str()), member.group_instance_id.as_deref().map(Arc::from))
}

fn of_consumer_group(has_many: bool, members: &[MemberIdentity], errors: &[ErrorCode]) -> LeaveGroupResponse {
    if !has_many {
        return LeaveGroupResponse::default().with_error_code(errors.first().map_or(0, |error| error.code()));
    }
    let told = |(member, error): (&MemberIdentity, &ErrorCode)| {
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(error.code())
    };
    LeaveGroupResponse::default().with_members(members.iter().zip(errors).map(told).collect())
}

/// Who leaves, with its reason if it gave one.
fn said(member: &MemberIdentity) -> String {
    let name = match &member.group_instance_id {
        Some(instance) if member.member_id.is_empty() => instance.as_str(),
        _ => member.member_id.as_str(),
    };
    match &member.reason {
        Some(reason) if !reason.is_empty() => format!("{name} ({reason})"),
        _ => name.to_owned(),
    }
}

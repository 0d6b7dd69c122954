//! LeaveGroup (key 13, versions 0 to 5): one member goes, or from version 3 on several, also by `group.instance.id`.

use crate::engine::group::{After, Groups, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

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

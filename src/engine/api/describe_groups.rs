//! DescribeGroups (key 15, versions 0 to 6): a group's state and members. What members subscribe to and were given is
//! told of a stable group only.

use crate::engine::api::visible;
use crate::engine::group::classic::{ClassicGroup, GroupState};
use crate::engine::group::member::Member;
use crate::engine::group::{Groups, Turn, answers};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

/// The state of a group that does not exist.
const DEAD: &str = "Dead";
/// From here on such a group is an error (KIP-1043).
const NOT_FOUND_FROM: i16 = 6;

/// Answers.
pub(in crate::engine) fn handle(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &Turn,
    token: RequestToken,
    header: &RequestHeader,
    request: &DescribeGroupsRequest,
) {
    let described = request.groups.iter().map(|id| {
        let mut described = match groups.shard(turn, id) {
            _ if id.is_empty() => refused(ErrorCode::InvalidGroupId),
            Err(error) => refused(error),
            Ok(shard) => match shard.group(id) {
                Some(group) => describe(group, header.version),
                None if shard.consumer_group(id).is_some() => absent(id, "is not a classic group", header.version),
                None => absent(id, "not found", header.version),
            },
        };
        described.authorized_operations = if request.include_authorized_operations && described.error_code == 0 {
            visible::GROUP_OPERATIONS
        } else {
            visible::OPERATIONS_NOT_ASKED
        };
        described.with_group_id(id.clone())
    });
    let response = DescribeGroupsResponse::default().with_groups(described.collect());
    cx.respond(token, Response::DescribeGroups(response));
}

fn refused(error: ErrorCode) -> DescribedGroup {
    DescribedGroup::default().with_error_code(error.code())
}

fn absent(id: &GroupId, why: &str, version: i16) -> DescribedGroup {
    let dead = DescribedGroup::default().with_group_state(StrBytes::from_static_str(DEAD));
    if version < NOT_FOUND_FROM {
        return dead;
    }
    let message = format!("Group {} {why}.", id.as_str());
    dead.with_error_code(ErrorCode::GroupIdNotFound.code()).with_error_message(Some(StrBytes::from_string(message)))
}

fn describe(group: &ClassicGroup, version: i16) -> DescribedGroup {
    let told = |text: Option<&std::sync::Arc<str>>| text.map(|text| answers::text(text)).unwrap_or_default();
    let protocol = group.protocol().filter(|_| group.state() == GroupState::Stable);
    let member = |member: &Member| {
        let mut described = DescribedGroupMember::default()
            .with_member_id(answers::text(&member.id))
            .with_client_id(answers::text(&member.client_id))
            .with_client_host(answers::text(&member.client_host));
        if version >= 4 {
            described.group_instance_id = member.instance.as_deref().map(answers::text);
        }
        if let Some(protocol) = protocol {
            described.member_metadata = member.subscription(protocol);
            described.member_assignment = member.assignment.clone();
        }
        described
    };
    DescribedGroup::default()
        .with_group_state(StrBytes::from_static_str(group.state().name()))
        .with_protocol_type(told(group.protocol_type()))
        .with_protocol_data(told(protocol))
        .with_members(group.members().map(member).collect())
}

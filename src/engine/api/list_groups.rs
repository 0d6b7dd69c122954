//! ListGroups (key 16, versions 0 to 5): the groups that this broker coordinates. Clients ask every broker.

use crate::engine::group::classic::ClassicGroup;
use crate::engine::group::shard::Shard;
use crate::engine::group::{Groups, answers};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

/// The type of groups of the classic protocol.
const CLASSIC: &str = "classic";
/// The type of groups of the consumer protocol (KIP-848), and what kind of members they have.
const CONSUMER: &str = "consumer";

/// Answers.
pub(in crate::engine) fn handle(
    groups: &Groups,
    cx: &mut Ctx,
    token: RequestToken,
    header: &RequestHeader,
    request: &ListGroupsRequest,
) {
    let mut response = ListGroupsResponse::default();
    if !groups.shards().all(Shard::is_active) {
        response.error_code = ErrorCode::CoordinatorLoadInProgress.code();
        return cx.respond(token, Response::ListGroups(response));
    }
    let allows = |filter: &[StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let is_wanted = |group: &&ClassicGroup| {
        allows(&request.states_filter, group.state().name()) && allows(&request.types_filter, CLASSIC)
    };
    let listed = |group: &ClassicGroup| {
        let kind = group.protocol_type().map(|kind| answers::text(kind)).unwrap_or_default();
        let mut listed =
            ListedGroup::default().with_group_id(GroupId(answers::text(group.id()))).with_protocol_type(kind);
        if header.version >= 4 {
            listed.group_state = StrBytes::from_static_str(group.state().name());
        }
        if header.version >= 5 {
            listed.group_type = StrBytes::from_static_str(CLASSIC);
        }
        listed
    };
    response.groups = groups.shards().flat_map(Shard::groups).filter(is_wanted).map(listed).collect();
    let consumers = groups.shards().flat_map(Shard::consumer_groups).filter(|(_, group)| {
        allows(&request.states_filter, group.state().name()) && allows(&request.types_filter, CONSUMER)
    });
    response.groups.extend(consumers.map(|(id, group)| {
        let mut listed = ListedGroup::default()
            .with_group_id(GroupId(answers::text(id)))
            .with_protocol_type(StrBytes::from_static_str(CONSUMER));
        if header.version >= 4 {
            listed.group_state = StrBytes::from_static_str(group.state().name());
        }
        if header.version >= 5 {
            listed.group_type = StrBytes::from_static_str(CONSUMER);
        }
        listed
    }));
    cx.respond(token, Response::ListGroups(response));
}

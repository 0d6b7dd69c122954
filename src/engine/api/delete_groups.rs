//! DeleteGroups (key 42, versions 0 to 2, KIP-229): groups that nobody is in go, with their offsets. The answer goes out
//! when all of them are gone for good.

use crate::engine::group::{Groups, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

/// Deletes.
pub(in crate::engine) fn handle(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &mut Turn,
    token: RequestToken,
    request: &DeleteGroupsRequest,
) {
    let results = request.groups_names.iter().map(|id| DeletableGroupResult::default().with_group_id(id.clone()));
    let response = DeleteGroupsResponse::default().with_results(results.collect());
    if response.results.is_empty() {
        return cx.respond(token, Response::DeleteGroups(response));
    }
    let number = groups.begin_deletion(token, response);
    for (place, id) in request.groups_names.iter().enumerate() {
        let refused = if id.is_empty() {
            Err(ErrorCode::InvalidGroupId)
        } else {
            groups.with_shard(cx, turn, id, |shard, cx, turn, group| {
                shard.delete_group(cx, turn, group, (number, place));
            })
        };
        if let Err(error) = refused {
            groups.finish_deletions(cx, vec![(number, place, error)]);
        }
    }
}

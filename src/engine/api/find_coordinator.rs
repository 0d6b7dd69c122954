//! FindCoordinator (key 10, versions 0 to 6): which broker coordinates a group. One key, or from version 4 on many.
//!
//! The topic that groups live in is made when it is asked for first; meanwhile there is no coordinator, and clients ask
//! again. Coordinators of transactions and of share groups are refused: there are none.

use crate::engine::api::visible;
use crate::engine::broker::Broker;
use crate::engine::controller::image::MetadataImage;
use crate::engine::group::{self, OFFSETS_TOPIC};
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId as WireBrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

/// The kind of key that is a group's name.
const GROUP: i8 = 0;
const MANY_KEYS_FROM: i16 = 4;

/// Answers, and sees to it that there is a topic for groups.
pub(in crate::engine) fn handle(
    broker: &mut Broker,
    cx: &mut Ctx,
    token: RequestToken,
    header: &RequestHeader,
    request: &FindCoordinatorRequest,
) {
    let is_group = request.key_type == GROUP;
    if is_group && !broker.image.topic_ids.contains_key(OFFSETS_TOPIC) {
        broker.create_offsets_topic(cx, header);
    }
    let image = &broker.image;
    let find = |key: &StrBytes| {
        let found = if is_group { coordinator(image, key) } else { Err(ErrorCode::InvalidRequest) };
        told(image, key, found)
    };
    let response = if header.version >= MANY_KEYS_FROM {
        FindCoordinatorResponse::default().with_coordinators(request.coordinator_keys.iter().map(find).collect())
    } else {
        let found = find(&request.key);
        let response = FindCoordinatorResponse::default()
            .with_error_code(found.error_code)
            .with_node_id(found.node_id)
            .with_host(found.host)
            .with_port(found.port);
        if header.version >= 1 { response.with_error_message(found.error_message) } else { response }
    };
    cx.respond(token, Response::FindCoordinator(response));
}

fn coordinator(image: &MetadataImage, group: &str) -> Result<BrokerId, ErrorCode> {
    if group.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let found = group::coordinator_of(image, group).filter(|broker| visible::is_told(image, *broker));
    found.ok_or(ErrorCode::CoordinatorNotAvailable)
}

fn told(image: &MetadataImage, key: &StrBytes, found: Result<BrokerId, ErrorCode>) -> Coordinator {
    let told = Coordinator::default().with_key(key.clone()).with_node_id(WireBrokerId(-1)).with_port(-1);
    match found
        .and_then(|id| image.brokers.get(&id).map(|broker| (id, broker)).ok_or(ErrorCode::CoordinatorNotAvailable))
    {
        Ok((id, broker)) => told
            .with_node_id(id.into())
            .with_host(StrBytes::from_string(broker.host.clone()))
            .with_port(i32::from(broker.port)),
        Err(error) => {
            told.with_error_code(error.code()).with_error_message(Some(StrBytes::from_static_str(error.name())))
        }
    }
}

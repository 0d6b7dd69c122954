//! FindCoordinator (key 10, versions 0 to 6): which broker coordinates a group or a transactional id. One key, or from
//! version 4 on many.
//!
//! The topic that they live in is made when it is asked for first; meanwhile there is no coordinator, and clients ask
//! again. Coordinators of share groups are refused: there are none.

use crate::engine::api::visible;
use crate::engine::broker::Broker;
use crate::engine::controller::image::MetadataImage;
use crate::engine::group::{self, OFFSETS_TOPIC};
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::txn::{self, TRANSACTIONS_TOPIC};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId as WireBrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

/// The kind of key that is a group's name.
const GROUP: i8 = 0;
/// The kind of key that is a transactional id.
const TRANSACTION: i8 = 1;
const MANY_KEYS_FROM: i16 = 4;

/// Answers, and sees to it that there is a topic for what is asked for.
pub(in crate::engine) fn handle(
    broker: &mut Broker,
    cx: &mut Ctx,
    token: RequestToken,
    header: &RequestHeader,
    request: &FindCoordinatorRequest,
) {
    // Versions before 1 know groups only.
    let kind = if header.version >= 1 { request.key_type } else { GROUP };
    match kind {
        GROUP => broker.create_internal_topic(cx, header, OFFSETS_TOPIC),
        TRANSACTION => broker.create_internal_topic(cx, header, TRANSACTIONS_TOPIC),
        _ => {}
    }
    let image = &broker.image;
    let find = |key: &StrBytes| told(image, key, coordinator(image, kind, key));
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

fn coordinator(image: &MetadataImage, kind: i8, key: &str) -> Result<BrokerId, ErrorCode> {
    let found = match kind {
        GROUP if key.is_empty() => return Err(ErrorCode::InvalidGroupId),
        GROUP => group::coordinator_of(image, key),
        TRANSACTION if key.is_empty() => return Err(ErrorCode::InvalidRequest),
        TRANSACTION => txn::coordinator_of(image, key),
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let found = found.filter(|broker| visible::is_told(image, *broker));
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

//! InitProducerId (key 22): an id for an idempotent producer, out of this broker's block.
//!
//! Deviation: a request with a transactional id is refused with INVALID_REQUEST, because there is no transaction coordinator; the API that would
//! find one (FindCoordinator) is not advertised, so that clients say so themselves before they ask.

use crate::engine::broker::Broker;
use crate::engine::io::{Ctx, RequestToken};
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

/// Answers at once, or parks the request until the controller has given the next block.
pub(in crate::engine) fn handle(
    broker: &mut Broker,
    cx: &mut Ctx,
    token: RequestToken,
    request: &InitProducerIdRequest,
) {
    if request.transactional_id.is_some() {
        let response = InitProducerIdResponse::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        return cx.respond(token, Response::InitProducerId(response));
    }
    match broker.producer_ids.take() {
        Some(producer_id) => respond(cx, token, producer_id),
        None => broker.producer_ids.park(token),
    }
}

/// Gives a producer its id, at epoch 0.
pub(in crate::engine) fn respond(cx: &mut Ctx, token: RequestToken, producer_id: i64) {
    let response = InitProducerIdResponse::default().with_producer_id(ProducerId(producer_id)).with_producer_epoch(0);
    cx.respond(token, Response::InitProducerId(response));
}

//! InitProducerId (key 22, versions 0 to 5): an id for an idempotent producer, out of this broker's block, or producer
//! and epoch of a transactional id, from its coordinator (KIP-98, KIP-360).
//!
//! Deviation: a transaction that is kept for a decision from outside (KIP-939) is refused with UNSUPPORTED_VERSION, as
//! Kafka does until it supports them.

use crate::engine::broker::Broker;
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::txn::answers::initialized;
use crate::engine::txn::metadata::{Init, Initialized, NO_PRODUCER, TransactionMetadata};
use crate::engine::txn::shard::Shard;
use crate::engine::txn::{After, Turn};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use std::sync::Arc;

/// Answers at once, when it is committed, or when the controller has given the next block.
pub(in crate::engine) fn handle(
    broker: &mut Broker,
    cx: &mut Ctx,
    token: RequestToken,
    header: &RequestHeader,
    request: &InitProducerIdRequest,
) {
    let Some(id) = &request.transactional_id else {
        return match broker.producer_ids.take() {
            Some(producer_id) => respond(cx, token, producer_id),
            None => broker.producer_ids.park(token),
        };
    };
    let most_ms = broker.config.cluster.transaction_max_timeout_ms;
    let outcome = match u64::try_from(request.transaction_timeout_ms) {
        _ if id.is_empty() => Err(ErrorCode::InvalidRequest),
        _ if request.keep_prepared_txn => Err(ErrorCode::UnsupportedVersion),
        Ok(timeout_ms) if (1..=most_ms).contains(&timeout_ms) => broker.with_txns(cx, |txns, cx, turn| {
            txns.with_shard(cx, turn, id, |shard, cx, turn, id| begin(shard, cx, turn, id, token, header, request))
        }),
        _ => Err(ErrorCode::InvalidTransactionTimeout),
    };
    if let Err(error) = outcome {
        cx.respond(token, initialized(header.version, Err(error)));
    }
}

fn begin(
    shard: &mut Shard,
    cx: &mut Ctx,
    turn: &mut Turn,
    id: &Arc<str>,
    token: RequestToken,
    header: &RequestHeader,
    request: &InitProducerIdRequest,
) -> Result<(), ErrorCode> {
    let given = (request.producer_id.0, request.producer_epoch);
    let timeout_ms = request.transaction_timeout_ms;
    let init = Init { timeout_ms, expected: Some(given).filter(|(producer, _)| *producer != NO_PRODUCER) };
    // Without an id at hand the client asks again soon, and there is one then.
    turn.producer_ids.want();
    let state = match shard.current(id)? {
        Some(state) => state.clone(),
        None => {
            let producer_id = turn.producer_ids.take().ok_or(ErrorCode::CoordinatorLoadInProgress)?;
            TransactionMetadata::new(producer_id, timeout_ms, cx.wall.0)
        }
    };
    let decided = state.init(init, cx.wall.0, &mut || turn.producer_ids.take())?;
    let (next, result) = match decided {
        Initialized::Ready(next) => {
            let told = next.told();
            (next, Ok(told))
        }
        Initialized::FencedFirst(next) => (next, Err(ErrorCode::ConcurrentTransactions)),
    };
    let response = Box::new(initialized(header.version, result));
    shard.write(cx, turn, id, Some(next), After::Answer { token, response });
    Ok(())
}

/// Gives a producer its id, at epoch 0.
pub(in crate::engine) fn respond(cx: &mut Ctx, token: RequestToken, producer_id: i64) {
    let response = InitProducerIdResponse::default().with_producer_id(ProducerId(producer_id)).with_producer_epoch(0);
    cx.respond(token, Response::InitProducerId(response));
}

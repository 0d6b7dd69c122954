//! EndTxn (key 26, versions 0 to 5): a producer commits or aborts. Answered when the decision is committed; the markers
//! follow. From version 5 on the producer goes on in another epoch (KIP-890).

use crate::engine::broker::Broker;
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::mutant::Mutant;
use crate::engine::txn::After;
use crate::engine::txn::answers::ended;
use crate::engine::txn::metadata::{BUMPS_FROM, End, Ended};
use crate::protocol::codec::RequestHeader;
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::EndTxnRequest;

/// From this version on the client speaks version 2 of the transaction protocol.
const BUMPING_FROM: i16 = 5;

/// Ends a transaction.
pub(in crate::engine) fn handle(
    broker: &mut Broker,
    cx: &mut Ctx,
    token: RequestToken,
    header: &RequestHeader,
    request: &EndTxnRequest,
) {
    let version = header.version;
    let end = End {
        producer_id: request.producer_id.0,
        producer_epoch: request.producer_epoch,
        commits: request.committed,
        client_version: if version >= BUMPING_FROM { BUMPS_FROM } else { 0 },
    };
    let outcome = broker.with_txns(cx, |txns, cx, turn| {
        if request.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        txns.with_shard(cx, turn, &request.transactional_id, |shard, cx, turn, id| {
            let state = shard.known(id)?;
            let late = End { producer_epoch: state.producer_epoch, ..end };
            let end = if cx.has(Mutant::DelayedEndEndsNext) { late } else { end };
            let decided = state.end(end, cx.wall.0, &mut || turn.producer_ids.take());
            if decided == Err(ErrorCode::CoordinatorLoadInProgress) {
                turn.producer_ids.want();
            }
            match decided? {
                Ended::Already => Ok(Some(state.told())),
                Ended::Begin(next) => {
                    let response = Box::new(ended(version, Ok(next.told())));
                    shard.write(cx, turn, id, Some(next), After::Answer { token, response });
                    Ok(None)
                }
            }
        })
    });
    match outcome {
        Ok(None) => {}
        Ok(Some(told)) => cx.respond(token, ended(version, Ok(told))),
        Err(error) => cx.respond(token, ended(version, Err(error))),
    }
}

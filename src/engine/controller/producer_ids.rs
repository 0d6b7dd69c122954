//! Blocks of producer ids (KIP-730): each is given away once, so that no two producers ever share an id.

use crate::engine::controller::brokers::check_broker_epoch;
use crate::engine::controller::draft::Draft;
use crate::engine::controller::record::MetadataRecord;
use crate::engine::mutant::Mutant;
use crate::protocol::error::ErrorCode;
use crate::protocol::peer::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};

/// How many ids a block holds (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
const BLOCK: i32 = 1_000;

/// Gives the next block to a broker.
pub(super) fn allocate(draft: &mut Draft, request: &AllocateProducerIdsRequest) -> AllocateProducerIdsResponse {
    let refused = |error| AllocateProducerIdsResponse { error, first: -1, length: 0 };
    if let Err(error) = check_broker_epoch(draft.image, request.broker, request.broker_epoch) {
        return refused(error);
    }
    let first = draft.image.next_producer_id;
    let Some(next) = first.checked_add(i64::from(BLOCK)) else { return refused(ErrorCode::UnknownServerError) };
    if draft.config.has(Mutant::ProducerIdsGivenTwice) {
        return AllocateProducerIdsResponse { error: ErrorCode::None, first, length: BLOCK };
    }
    draft.push(MetadataRecord::ProducerIds { broker: request.broker, broker_epoch: request.broker_epoch, next });
    AllocateProducerIdsResponse { error: ErrorCode::None, first, length: BLOCK }
}

//! Answers of transaction coordinators that carry an error, as each version of each API can say it.
//!
//! Clients that do not know PRODUCER_FENCED are told INVALID_PRODUCER_EPOCH (KIP-588; `KafkaApis`).

use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::{AddOffsetsToTxnResponse, EndTxnResponse, InitProducerIdResponse, ProducerId};

/// From these versions on clients know PRODUCER_FENCED.
const INIT_FENCED_FROM: i16 = 4;
const FENCED_FROM: i16 = 2;
/// From this version on EndTxn tells producer and epoch.
const END_TELLS_FROM: i16 = 5;

/// The error that a client of a version is told.
pub fn told(error: ErrorCode, version: i16, fenced_from: i16) -> ErrorCode {
    if error == ErrorCode::ProducerFenced && version < fenced_from { ErrorCode::InvalidProducerEpoch } else { error }
}

/// The error as AddPartitionsToTxn, AddOffsetsToTxn and EndTxn tell it.
pub fn told_of_transaction(error: ErrorCode, version: i16) -> ErrorCode {
    told(error, version, FENCED_FROM)
}

/// The answer to InitProducerId.
pub fn initialized(version: i16, result: Result<(i64, i16), ErrorCode>) -> Response {
    let (error, (id, epoch)) = split(result);
    let error = told(error, version, INIT_FENCED_FROM);
    let response = InitProducerIdResponse::default().with_error_code(error.code());
    Response::InitProducerId(response.with_producer_id(ProducerId(id)).with_producer_epoch(epoch))
}

/// The answer to AddOffsetsToTxn.
pub fn offsets_added(version: i16, error: ErrorCode) -> Response {
    let code = told_of_transaction(error, version).code();
    Response::AddOffsetsToTxn(AddOffsetsToTxnResponse::default().with_error_code(code))
}

/// The answer to EndTxn.
pub fn ended(version: i16, result: Result<(i64, i16), ErrorCode>) -> Response {
    let (error, (id, epoch)) = split(result);
    let response = EndTxnResponse::default().with_error_code(told_of_transaction(error, version).code());
    let told = if version >= END_TELLS_FROM { (id, epoch) } else { (-1, -1) };
    Response::EndTxn(response.with_producer_id(ProducerId(told.0)).with_producer_epoch(told.1))
}

fn split(result: Result<(i64, i16), ErrorCode>) -> (ErrorCode, (i64, i16)) {
    match result {
        Ok(told) => (ErrorCode::None, told),
        Err(error) => (error, (-1, -1)),
    }
}

/// An answer whose record could not be written. None of the errors of writing is one that versions tell differently.
pub fn with_error(mut response: Response, error: ErrorCode) -> Response {
    match &mut response {
        Response::InitProducerId(response) => {
            response.error_code = error.code();
            response.producer_id = ProducerId(-1);
            response.producer_epoch = -1;
        }
        Response::AddOffsetsToTxn(response) => response.error_code = error.code(),
        Response::EndTxn(response) => {
            response.error_code = error.code();
            response.producer_id = ProducerId(-1);
            response.producer_epoch = -1;
        }
        _ => unreachable!("no other answer waits for a transaction's state"),
    }
    response
}

//! DescribeTransactions (key 65, version 0): what a coordinator has committed of transactional ids (KIP-664).

use crate::engine::io::{Ctx, RequestToken};
use crate::engine::txn::metadata::TransactionMetadata;
use crate::engine::txn::{Coordinators, Turn};
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

/// Answers with what is known of each id.
pub(in crate::engine) fn handle(
    txns: &mut Coordinators,
    cx: &mut Ctx,
    turn: &Turn,
    token: RequestToken,
    request: &DescribeTransactionsRequest,
) {
    let states = request.transactional_ids.iter().map(|id| match find(txns, turn, id) {
        Ok(state) => described(id, &state),
        Err(error) => TransactionState::default().with_transactional_id(id.clone()).with_error_code(error.code()),
    });
    let response = DescribeTransactionsResponse::default().with_transaction_states(states.collect());
    cx.respond(token, Response::DescribeTransactions(response));
}

fn find(txns: &mut Coordinators, turn: &Turn, id: &str) -> Result<TransactionMetadata, ErrorCode> {
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    txns.shard(turn, id)?.shown(id).cloned().ok_or(ErrorCode::TransactionalIdNotFound)
}

fn described(id: &TransactionalId, state: &TransactionMetadata) -> TransactionState {
    let mut topics: Vec<TopicData> = Vec::new();
    for (topic, number) in &state.partitions {
        match topics.iter_mut().find(|found| found.topic.as_str() == &**topic) {
            Some(found) => found.partitions.push(*number),
            None => topics.push(
                TopicData::default()
                    .with_topic(TopicName(StrBytes::from_string(topic.to_string())))
                    .with_partitions(vec![*number]),
            ),
        }
    }
    TransactionState::default()
        .with_transactional_id(id.clone())
        .with_transaction_state(StrBytes::from_static_str(state.status.name()))
        .with_transaction_timeout_ms(state.timeout_ms)
        .with_transaction_start_time_ms(state.started_at_ms)
        .with_producer_id(ProducerId(state.producer_id))
        .with_producer_epoch(state.producer_epoch)
        .with_topics(topics)
}

//! ListTransactions (key 66, versions 0 to 2): the transactional ids that a broker coordinates, by state, producer,
//! duration (KIP-994) and a pattern of their names.
//!
//! Deviation: patterns are literal names with `.*` and `.`, each for what it stands for in a regular expression;
//! other signs of the language of patterns are answered with INVALID_REGULAR_EXPRESSION.

use crate::engine::io::{Ctx, RequestToken};
use crate::engine::txn::Coordinators;
use crate::engine::txn::metadata::{TransactionMetadata, TransactionStatus};
use crate::engine::txn::shard::Shard;
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId};
use kafka_protocol::protocol::StrBytes;

/// Answers with all that pass the filters.
pub(in crate::engine) fn handle(
    txns: &Coordinators,
    cx: &mut Ctx,
    token: RequestToken,
    request: &ListTransactionsRequest,
) {
    let response = match list(txns, cx.wall.0, request) {
        Ok(response) => response,
        Err(error) => ListTransactionsResponse::default().with_error_code(error.code()),
    };
    cx.respond(token, Response::ListTransactions(response));
}

fn list(
    txns: &Coordinators,
    now_ms: i64,
    request: &ListTransactionsRequest,
) -> Result<ListTransactionsResponse, ErrorCode> {
    if !txns.shards().all(Shard::is_active) {
        return Err(ErrorCode::CoordinatorLoadInProgress);
    }
    let pattern = request.transactional_id_pattern.as_ref().map(|pattern| pattern.as_str()).unwrap_or_default();
    if pattern.contains(['[', ']', '(', ')', '{', '}', '+', '?', '|', '\\', '^', '$']) {
        return Err(ErrorCode::InvalidRegularExpression);
    }
    let known = |name: &StrBytes| TransactionStatus::from_name(name);
    let unknown = request.state_filters.iter().filter(|name| known(name).is_none()).cloned().collect();
    let states: Vec<TransactionStatus> = request.state_filters.iter().filter_map(known).collect();
    let is_wanted = |id: &str, state: &TransactionMetadata| {
        let of_state = request.state_filters.is_empty() || states.contains(&state.status);
        let producer = ProducerId(state.producer_id);
        let of_producer = request.producer_id_filters.is_empty() || request.producer_id_filters.contains(&producer);
        // As long as it is open; who has nothing open is of no duration.
        let is_open = state.status == TransactionStatus::Ongoing || state.status.is_prepared();
        let of_duration = request.duration_filter < 0
            || (is_open && now_ms.saturating_sub(state.started_at_ms) > request.duration_filter);
        of_state && of_producer && of_duration && (pattern.is_empty() || matches(pattern.as_bytes(), id.as_bytes()))
    };
    let found = txns.shards().flat_map(Shard::committed).filter(|(id, state)| is_wanted(id, state));
    let told = found.map(|(id, state)| {
        TransactionState::default()
            .with_transactional_id(TransactionalId(StrBytes::from_string(id.to_string())))
            .with_producer_id(ProducerId(state.producer_id))
            .with_transaction_state(StrBytes::from_static_str(state.status.name()))
    });
    Ok(ListTransactionsResponse::default().with_unknown_state_filters(unknown).with_transaction_states(told.collect()))
}

/// Whether a name is, as a whole, what a pattern says.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where in the name each beginning of the pattern may end.
    let mut ends = vec![false; name.len() + 1];
    ends[0] = true;
    let mut at = 0;
    while at < pattern.len() {
        let is_repeated = pattern.get(at + 1) == Some(&b'*');
        let fits = |byte: u8| pattern[at] == b'.' || pattern[at] == byte;
        let mut next = vec![false; name.len() + 1];
        for end in 0..=name.len() {
            let is_longer = end > 0 && fits(name[end - 1]);
            next[end] =
                if is_repeated { ends[end] || (is_longer && next[end - 1]) } else { is_longer && ends[end - 1] };
        }
        ends = next;
        at += 1 + usize::from(is_repeated);
    }
    ends[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_speaks_of_the_whole_name() {
        let cases: [(&str, &str, bool); 7] = [
            ("pay", "pay", true),
            ("pay", "pays", false),
            ("pay.*", "pays-1", true),
            (".*-1", "pays-1", true),
            ("p.y", "pay", true),
            ("a*b", "aaab", true),
            (".*", "", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} and {name}");
        }
    }
}

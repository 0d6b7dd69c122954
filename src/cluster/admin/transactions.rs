//! `transaction list`, `describe`, `abort`.
//!
//! Invariants: `abort` of a transactional id goes by its coordinator, which fences the producer: what it sends after that
//! is refused. `abort` of a partition is for what no coordinator knows of any more (KIP-664): it names the transaction by
//! where it begins, so that no other one is ended.
//!
//! Deliberately not here: being a transactional producer.

use super::{Ask, PAUSE, Trouble, again, answer_to, broker_id, check, metadata, table, text};
use crate::client::Target;
use crate::client::metadata::topic_name;
use crate::cluster::command::{Partition, Reply, TransactionCommand};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages as m;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, FindCoordinatorRequest, InitProducerIdRequest,
    ListTransactionsRequest, ProducerId, TransactionalId, WriteTxnMarkersRequest,
};
use serde_json::{Value, json};

/// The kind of key that is a transactional id.
const TRANSACTION: i8 = 1;

/// The longest line.
const LINE_CHARS: usize = 80;

/// Carries out a verb about transactions.
pub fn run(command: &TransactionCommand, ask: &mut dyn Ask) -> Reply {
    let outcome = match command {
        TransactionCommand::List => again(ask, list),
        TransactionCommand::Describe { name } => again(ask, |ask| describe(name, ask)),
        TransactionCommand::Abort { name: Some(name), .. } => again(ask, |ask| abort(name, ask)),
        TransactionCommand::Abort { partition, start_offset, .. } => match (partition, start_offset) {
            (Some(partition), Some(start)) => again(ask, |ask| abort_in(partition, *start, ask)),
            _ => Err(Trouble::of("say which: a transactional id, or --partition and --start-offset")),
        },
    };
    outcome.unwrap_or_else(|trouble| Reply::failed(trouble.reason))
}

fn list(ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let mut found = Vec::new();
    for broker in metadata(None, ask)?.brokers {
        let to = Target::Broker(broker_id(broker.node_id));
        let response = answer_to!(ask, to, ListTransactions, ListTransactionsRequest::default())?;
        check(&format!("broker {}", broker.node_id.0), response.error_code, None)?;
        found.extend(response.transaction_states.into_iter().map(|state| (state, broker.node_id.0)));
    }
    found.sort_by(|(a, _), (b, _)| a.transactional_id.cmp(&b.transactional_id));
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|(state, coordinator)| {
            vec![
                state.transactional_id.to_string(),
                state.transaction_state.to_string(),
                state.producer_id.0.to_string(),
                coordinator.to_string(),
            ]
        })
        .collect();
    let data = found.iter().map(|(state, coordinator)| {
        json!({
            "transactional_id": state.transactional_id.as_str(), "state": state.transaction_state.as_str(),
            "producer_id": state.producer_id.0, "coordinator": coordinator,
        })
    });
    let data = Value::Array(data.collect());
    if rows.is_empty() {
        return Ok(Reply::told("no transactional ids", data));
    }
    Ok(Reply::told(table(&["TRANSACTIONAL ID", "STATE", "PRODUCER", "COORDINATOR"], &rows), data))
}

fn transactional_id(name: &str) -> TransactionalId {
    TransactionalId(text(name))
}

fn coordinator(name: &str, ask: &mut dyn Ask) -> Result<BrokerId, Trouble> {
    let request = FindCoordinatorRequest::default().with_key_type(TRANSACTION).with_coordinator_keys(vec![text(name)]);
    let response = answer_to!(ask, Target::Any, FindCoordinator, request)?;
    let found = response.coordinators.into_iter().next().ok_or_else(|| Trouble::of("no coordinator was named"))?;
    check(name, found.error_code, None)?;
    Ok(broker_id(found.node_id))
}

fn described(name: &str, coordinator: BrokerId, ask: &mut dyn Ask) -> Result<TransactionState, Trouble> {
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![transactional_id(name)]);
    let response = answer_to!(ask, Target::Broker(coordinator), DescribeTransactions, request)?;
    let found = response.transaction_states.into_iter().next();
    let found = found.ok_or_else(|| Trouble::of("the transactional id is not described"))?;
    match ErrorCode::from_code(found.error_code) {
        ErrorCode::TransactionalIdNotFound => Err(Trouble::of(format!("there is no transactional id {name}"))),
        _ => check(name, found.error_code, None).map(|()| found),
    }
}

fn partitions_of(state: &TransactionState) -> Vec<String> {
    let of = |topic: &m::describe_transactions_response::TopicData| {
        let name = topic.topic.to_string();
        topic.partitions.iter().map(move |number| format!("{name}-{number}")).collect::<Vec<_>>()
    };
    let mut names: Vec<String> = state.topics.iter().flat_map(of).collect();
    names.sort();
    names
}

fn describe(name: &str, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let coordinator = coordinator(name, ask)?;
    let state = described(name, coordinator, ask)?;
    let partitions = partitions_of(&state);
    let mut lines = vec![format!(
        "{name}: {} · producer {} · epoch {} · coordinator {coordinator} · timeout {} ms",
        state.transaction_state.as_str(),
        state.producer_id.0,
        state.producer_epoch,
        state.transaction_timeout_ms,
    )];
    lines.push(match partitions.is_empty() {
        true => "no partitions".to_owned(),
        false => folded("partitions:", &partitions),
    });
    let data = json!({
        "transactional_id": name, "state": state.transaction_state.as_str(), "producer_id": state.producer_id.0,
        "producer_epoch": state.producer_epoch, "coordinator": coordinator,
        "timeout_ms": state.transaction_timeout_ms, "started_at_ms": state.transaction_start_time_ms,
        "partitions": partitions,
    });
    Ok(Reply::told(lines.join("\n"), data))
}

/// Words after a heading, on as many lines as a terminal of 80 columns needs.
fn folded(heading: &str, words: &[String]) -> String {
    let mut lines = vec![heading.to_owned()];
    for word in words {
        let line = lines.last_mut().expect("it begins with one");
        if line.len() + word.len() < LINE_CHARS {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("  {word}"));
        }
    }
    lines.join("\n")
}

/// Ends an open transaction as its producer's next life would.
fn abort(name: &str, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let coordinator = coordinator(name, ask)?;
    let state = described(name, coordinator, ask)?;
    if state.transaction_state.as_str() != "Ongoing" {
        let is = state.transaction_state.as_str();
        return Err(Trouble::of(format!("{name} has no open transaction: it is {is}")));
    }
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional_id(name)))
        .with_transaction_timeout_ms(state.transaction_timeout_ms)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    loop {
        let response = answer_to!(ask, Target::Broker(coordinator), InitProducerId, request.clone())?;
        match ErrorCode::from_code(response.error_code) {
            // The abort is under way.
            ErrorCode::ConcurrentTransactions if ask.wait(PAUSE) => {}
            _ => {
                check(name, response.error_code, None)?;
                let text = format!("The transaction of {name} is aborted, and its producer fenced.");
                return Ok(Reply::told(text, json!({"transactional_id": name, "partitions": partitions_of(&state)})));
            }
        }
    }
}

/// Ends a transaction in one partition, whoever coordinates it.
fn abort_in(partition: &Partition, start: i64, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let name = partition.to_string();
    let topics = metadata(Some(&partition.topic), ask)?.topics;
    let found = topics.iter().flat_map(|topic| &topic.partitions);
    let found = found.into_iter().find(|found| found.partition_index == partition.partition);
    let leader = found.ok_or_else(|| Trouble::of(format!("there is no partition {name}")))?.leader_id;
    if leader.0 < 0 {
        return Err(Trouble { reason: format!("{name} has no leader"), passes: true });
    }
    let to = Target::Broker(broker_id(leader));
    let topic = TopicRequest::default()
        .with_name(topic_name(&partition.topic))
        .with_partition_indexes(vec![partition.partition]);
    let request = DescribeProducersRequest::default().with_topics(vec![topic]);
    let response = answer_to!(ask, to, DescribeProducers, request)?;
    let told = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
    let told = told.ok_or_else(|| Trouble::of(format!("{name} is not described")))?;
    check(&name, told.error_code, told.error_message.as_ref())?;
    let producer = told.active_producers.iter().find(|producer| producer.current_txn_start_offset == start);
    let producer = producer.ok_or_else(|| Trouble::of(format!("no transaction of {name} begins at {start}")))?;
    let topic = WritableTxnMarkerTopic::default()
        .with_name(topic_name(&partition.topic))
        .with_partition_indexes(vec![partition.partition]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(i16::try_from(producer.producer_epoch).unwrap_or(i16::MAX))
        .with_coordinator_epoch(producer.coordinator_epoch.max(0))
        .with_transaction_result(false)
        .with_topics(vec![topic]);
    let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
    let response = answer_to!(ask, to, WriteTxnMarkers, request)?;
    let results = response.markers.iter().flat_map(|marker| &marker.topics).flat_map(|topic| &topic.partitions);
    for result in results {
        check(&name, result.error_code, None)?;
    }
    let text = format!("The transaction that begins at {start} in {name} is aborted.");
    Ok(Reply::told(text, json!({"partition": name, "start_offset": start, "producer_id": producer.producer_id.0})))
}

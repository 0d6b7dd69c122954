//! AddPartitionsToTxn (key 24, versions 0 to 5): partitions join a transaction, before their first record. Up to
//! version 3 a client names the partitions of one transaction; from version 4 on a broker names those of many, or asks
//! whether they are in (KIP-890).

use crate::engine::broker::Broker;
use crate::engine::controller::image::MetadataImage;
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::mutant::Mutant;
use crate::engine::txn::answers::told_of_transaction;
use crate::engine::txn::metadata::{BUMPS_FROM, Partition};
use crate::engine::txn::{AddAsker, Added, After, Coordinators, Turn};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::PartitionId;
use crate::protocol::peer::AddPartitionsToTxnRequest as Wanted;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response as wire;
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, TopicName, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::sync::Arc;

/// From this version on it is brokers that ask.
const BROKERS_FROM: i16 = 4;

/// Adds what a client, or a broker on the wire, wants added.
pub(in crate::engine) fn handle(
    broker: &mut Broker,
    cx: &mut Ctx,
    token: RequestToken,
    header: &RequestHeader,
    request: &AddPartitionsToTxnRequest,
) {
    let wanted: Vec<Wanted> = if header.version < BROKERS_FROM {
        vec![Wanted {
            transactional_id: Arc::from(request.v3_and_below_transactional_id.as_str()),
            producer_id: request.v3_and_below_producer_id.0,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            partitions: named(&request.v3_and_below_topics),
        }]
    } else {
        let one =
            |transaction: &kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTransaction| {
                Wanted {
                    transactional_id: Arc::from(transaction.transactional_id.as_str()),
                    producer_id: transaction.producer_id.0,
                    producer_epoch: transaction.producer_epoch,
                    verify_only: transaction.verify_only,
                    partitions: named(&transaction.topics),
                }
            };
        request.transactions.iter().map(one).collect()
    };
    let client_version = if header.version < BROKERS_FROM { 0 } else { BUMPS_FROM };
    broker.with_txns(cx, |txns, cx, turn| {
        add(txns, cx, turn, AddAsker::Client(token, header.version), client_version, &wanted);
    });
}

fn named(topics: &[AddPartitionsToTxnTopic]) -> Vec<Partition> {
    let of = |topic: &AddPartitionsToTxnTopic| {
        let name: Arc<str> = Arc::from(topic.name.as_str());
        topic.partitions.iter().map(|number| (Arc::clone(&name), *number)).collect::<Vec<_>>()
    };
    topics.iter().flat_map(of).collect()
}

impl Broker {
    /// Adds what a leader wants added, or says whether it is in.
    pub(in crate::engine) fn add_partitions(&mut self, cx: &mut Ctx, asker: AddAsker, wanted: Wanted) {
        self.with_txns(cx, |txns, cx, turn| add(txns, cx, turn, asker, BUMPS_FROM, &[wanted]));
    }
}

fn add(
    txns: &mut Coordinators,
    cx: &mut Ctx,
    turn: &mut Turn,
    asker: AddAsker,
    client_version: i16,
    wanted: &[Wanted],
) {
    let shell = |wanted: &Wanted| Added {
        id: Arc::clone(&wanted.transactional_id),
        results: wanted.partitions.iter().map(|name| (name.clone(), ErrorCode::None)).collect(),
    };
    let mut results: Vec<Added> = wanted.iter().map(shell).collect();
    let mut is_refused = vec![false; wanted.len()];
    for (at, wanted) in wanted.iter().enumerate().filter(|(_, wanted)| !wanted.verify_only) {
        is_refused[at] = note_unknown(turn.env.image, wanted, &mut results[at]);
    }
    let request = txns.begin_add(asker, results);
    for (place, wanted) in wanted.iter().enumerate() {
        if is_refused[place] {
            txns.added(request, place, |_| ErrorCode::OperationNotAttempted);
        } else if wanted.verify_only {
            verify(txns, turn, request, place, wanted);
        } else if let Err(error) = add_one(txns, cx, turn, (request, place), client_version, wanted) {
            txns.added(request, place, |_| error);
        }
    }
}

/// Partitions that do not exist: then none of the transaction's are added.
fn note_unknown(image: &MetadataImage, wanted: &Wanted, added: &mut Added) -> bool {
    let exists = |(topic, number): &Partition| {
        let id = image.topic_ids.get(&**topic).copied();
        id.is_some_and(|id| image.partition(PartitionId::new(id, *number)).is_some())
    };
    let is_any_missing = !wanted.partitions.iter().all(exists);
    for (partition, result) in added.results.iter_mut().filter(|(partition, _)| !exists(partition)) {
        debug_assert!(!exists(partition));
        *result = ErrorCode::UnknownTopicOrPartition;
    }
    is_any_missing
}

fn verify(txns: &mut Coordinators, turn: &Turn, request: u64, place: usize, wanted: &Wanted) {
    let producer = (wanted.producer_id, wanted.producer_epoch);
    let check = |txns: &mut Coordinators, partition: &Partition| {
        if wanted.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let shard = txns.shard(turn, &wanted.transactional_id)?;
        shard.known(&wanted.transactional_id)?.verify(producer, partition)
    };
    let results: Vec<ErrorCode> =
        wanted.partitions.iter().map(|partition| check(txns, partition).err().unwrap_or(ErrorCode::None)).collect();
    txns.added(request, place, |partition| {
        let at = wanted.partitions.iter().position(|wanted| wanted == partition);
        at.map_or(ErrorCode::UnknownServerError, |at| results[at])
    });
}

fn add_one(
    txns: &mut Coordinators,
    cx: &mut Ctx,
    turn: &mut Turn,
    (request, place): (u64, usize),
    client_version: i16,
    wanted: &Wanted,
) -> Result<(), ErrorCode> {
    if wanted.transactional_id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let producer = (wanted.producer_id, wanted.producer_epoch);
    let partitions: BTreeSet<Partition> = wanted.partitions.iter().cloned().collect();
    let is_in = txns.with_shard(cx, turn, &wanted.transactional_id, |shard, cx, turn, id| {
        let state = shard.known(id)?;
        let is_trusted = cx.has(Mutant::FencedEpochAccepted) && producer.0 == state.producer_id;
        let producer = if is_trusted { (producer.0, state.producer_epoch) } else { producer };
        match state.add(producer, &partitions, client_version, cx.wall.0)? {
            None => Ok(true),
            Some(next) => {
                shard.write(cx, turn, id, Some(next), After::Added { request, place });
                Ok(false)
            }
        }
    })?;
    if is_in {
        txns.added(request, place, |_| ErrorCode::None);
    }
    Ok(())
}

/// The answer on the wire.
pub(in crate::engine) fn on_wire(version: i16, results: Vec<Added>) -> Response {
    let topics = |added: &Added| {
        let mut topics: Vec<wire::AddPartitionsToTxnTopicResult> = Vec::new();
        for ((topic, number), error) in &added.results {
            let result = wire::AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*number)
                .with_partition_error_code(told_of_transaction(*error, version).code());
            match topics.iter_mut().find(|found| found.name.as_str() == &**topic) {
                Some(found) => found.results_by_partition.push(result),
                None => topics.push(
                    wire::AddPartitionsToTxnTopicResult::default()
                        .with_name(TopicName(StrBytes::from_string(topic.to_string())))
                        .with_results_by_partition(vec![result]),
                ),
            }
        }
        topics
    };
    let response = if version < BROKERS_FROM {
        let topics = results.first().map(topics).unwrap_or_default();
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics)
    } else {
        let one = |added: &Added| {
            wire::AddPartitionsToTxnResult::default()
                .with_transactional_id(TransactionalId(StrBytes::from_string(added.id.to_string())))
                .with_topic_results(topics(added))
        };
        AddPartitionsToTxnResponse::default().with_results_by_transaction(results.iter().map(one).collect())
    };
    Response::AddPartitionsToTxn(response)
}

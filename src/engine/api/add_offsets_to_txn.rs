//! AddOffsetsToTxn (key 25, versions 0 to 4): the offsets of a group join a transaction, which is to say the partition of
//! `__consumer_offsets` that the group lives in.
//!
//! Which partition that is only depends on how many there are, so that it can be added before there is the topic (as
//! Kafka's `KafkaApis.handleAddOffsetsToTxnRequest` does): clients may ask for the group's coordinator afterwards.

use crate::engine::broker::Broker;
use crate::engine::group::{self, OFFSETS_TOPIC};
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::txn::After;
use crate::engine::txn::answers::offsets_added;
use crate::protocol::codec::RequestHeader;
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::AddOffsetsToTxnRequest;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Adds a group's partition.
pub(in crate::engine) fn handle(
    broker: &mut Broker,
    cx: &mut Ctx,
    token: RequestToken,
    header: &RequestHeader,
    request: &AddOffsetsToTxnRequest,
) {
    let version = header.version;
    let partition = match group::partition_of(&broker.image, &request.group_id) {
        Some(partition) => partition.partition,
        None => {
            // Nobody has looked for a coordinator of groups yet.
            broker.create_internal_topic(cx, header, OFFSETS_TOPIC);
            let partitions = usize::try_from(broker.config.cluster.offsets_topic_num_partitions).unwrap_or(1);
            group::partition_for(&request.group_id, partitions)
        }
    };
    let partitions = BTreeSet::from([(Arc::from(OFFSETS_TOPIC), partition)]);
    let producer = (request.producer_id.0, request.producer_epoch);
    let outcome = broker.with_txns(cx, |txns, cx, turn| {
        if request.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        txns.with_shard(cx, turn, &request.transactional_id, |shard, cx, turn, id| {
            match shard.known(id)?.add(producer, &partitions, 0, cx.wall.0)? {
                None => Ok(true),
                Some(next) => {
                    let response = Box::new(offsets_added(version, ErrorCode::None));
                    shard.write(cx, turn, id, Some(next), After::Answer { token, response });
                    Ok(false)
                }
            }
        })
    });
    match outcome {
        Ok(false) => {}
        Ok(true) => cx.respond(token, offsets_added(version, ErrorCode::None)),
        Err(error) => cx.respond(token, offsets_added(version, error)),
    }
}

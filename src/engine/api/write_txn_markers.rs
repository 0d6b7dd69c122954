//! WriteTxnMarkers (key 27, version 1): what brokers say to each other in messages of their own, and an administrator who
//! ends a transaction that nobody coordinates any more says on the wire (KIP-664).

use crate::engine::broker::Broker;
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::txn::marking::MarkerAsker;
use crate::protocol::peer::TxnMarker;
use kafka_protocol::messages::WriteTxnMarkersRequest;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use std::sync::Arc;

/// Writes the markers.
pub(in crate::engine) fn handle(
    broker: &mut Broker,
    cx: &mut Ctx,
    token: RequestToken,
    request: &WriteTxnMarkersRequest,
) {
    let topic = |topic: &WritableTxnMarkerTopic| {
        let name: Arc<str> = Arc::from(topic.name.as_str());
        topic.partition_indexes.iter().map(|number| (Arc::clone(&name), *number)).collect::<Vec<_>>()
    };
    let marker = |marker: &WritableTxnMarker| TxnMarker {
        producer_id: marker.producer_id.0,
        producer_epoch: marker.producer_epoch,
        commits: marker.transaction_result,
        coordinator_epoch: marker.coordinator_epoch,
        // Version 1 cannot say it: the older rule holds.
        transaction_version: 0,
        partitions: marker.topics.iter().flat_map(topic).collect(),
    };
    let markers = request.markers.iter().map(marker).collect();
    broker.write_markers(cx, MarkerAsker::Client(token), markers);
}

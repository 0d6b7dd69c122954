//! Markers that this broker writes to the partitions it leads, for a coordinator or an administrator (Kafka's
//! `handleWriteTxnMarkersRequest`).
//!
//! Invariant: each marker of a request has one result, and the request is answered when all have theirs: a marker that
//! is written has passed the high watermark, and where it ends offsets of groups, those are in force (KAFKA-17507).

use crate::engine::broker::Broker;
use crate::engine::group::OFFSETS_TOPIC;
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::replica::resolve_topic;
use crate::engine::rpc::Rpc;
use crate::protocol::batch::Batch;
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, PartitionId};
use crate::protocol::peer::{PeerResponse, TxnMarker, WriteTxnMarkersResponse};
use crate::protocol::records::BatchBuilder;
use kafka_protocol::messages::write_txn_markers_response as wire;
use kafka_protocol::messages::{ProducerId, TopicName, WriteTxnMarkersResponse as WireResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// Who asked for markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum MarkerAsker {
    /// A client.
    Client(RequestToken),
    /// The coordinator on another broker.
    Peer(BrokerId, u64),
    /// The coordinator on this broker: the number of its letter.
    Own(u64),
}

/// One marker in one partition: the request, the marker in it, the partition in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkerPlace {
    /// The request.
    pub write: u64,
    /// The marker's place in it.
    pub marker: usize,
    /// The partition's place in the marker.
    pub partition: usize,
}

#[derive(Debug, Clone)]
struct Write {
    asker: MarkerAsker,
    markers: Vec<TxnMarker>,
    results: Vec<Vec<ErrorCode>>,
    left: usize,
}

/// All requests for markers that are under way.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct MarkerWrites {
    writes: BTreeMap<u64, Write>,
    last: u64,
}

/// The control batch of a marker (`EndTransactionMarker`).
pub(in crate::engine) fn batch_of(marker: &TxnMarker, wall_ms: i64) -> Batch {
    let kind: [u8; 4] = [0, 0, 0, u8::from(marker.commits)];
    let mut value = vec![0, 0];
    value.extend(marker.coordinator_epoch.to_be_bytes());
    let mut builder = BatchBuilder::new().producer(marker.producer_id, marker.producer_epoch, -1);
    builder.push(wall_ms, Some(&kind), Some(&value), &[]);
    builder.transactional().control().build().expect("a batch that is not compressed")
}

impl Broker {
    /// Writes markers; who asked is answered when all have their result.
    pub(in crate::engine) fn write_markers(&mut self, cx: &mut Ctx, asker: MarkerAsker, markers: Vec<TxnMarker>) {
        self.marker_writes.last += 1;
        let write = self.marker_writes.last;
        let results: Vec<Vec<ErrorCode>> =
            markers.iter().map(|marker| vec![ErrorCode::None; marker.partitions.len()]).collect();
        let left = results.iter().map(Vec::len).sum();
        self.marker_writes.writes.insert(write, Write { asker, markers: markers.clone(), results, left });
        for (at, marker) in markers.iter().enumerate() {
            for (index, (topic, number)) in marker.partitions.iter().enumerate() {
                let place = MarkerPlace { write, marker: at, partition: index };
                if let Err(error) = self.write_marker(cx, topic, *number, marker, place) {
                    self.marked(cx, place, error);
                }
            }
        }
        if left == 0 {
            self.finish_marking(cx, write);
        }
    }

    fn write_marker(
        &mut self,
        cx: &mut Ctx,
        topic: &str,
        number: i32,
        marker: &TxnMarker,
        place: MarkerPlace,
    ) -> Result<(), ErrorCode> {
        let name = TopicName(StrBytes::from_string(topic.to_owned()));
        let id = PartitionId::new(resolve_topic(&self.image, &name, uuid::Uuid::nil())?, number);
        if topic == OFFSETS_TOPIC {
            return self.with_groups(cx, |groups, cx, turn| groups.write_marker(cx, turn, id, marker, place));
        }
        self.with_replicas(cx, |replicas, cx, rpc, env| replicas.write_marker(cx, rpc, env, id, marker, place))
    }

    /// A marker has its result.
    pub(in crate::engine) fn marked(&mut self, cx: &mut Ctx, place: MarkerPlace, error: ErrorCode) {
        let Some(write) = self.marker_writes.writes.get_mut(&place.write) else { return };
        write.results[place.marker][place.partition] = error;
        write.left -= 1;
        if write.left == 0 {
            self.finish_marking(cx, place.write);
        }
    }

    fn finish_marking(&mut self, cx: &mut Ctx, write: u64) {
        let Some(done) = self.marker_writes.writes.remove(&write) else { return };
        match done.asker {
            MarkerAsker::Client(token) => {
                let response = on_wire(&done.markers, &done.results);
                cx.respond(token, Response::WriteTxnMarkers(response));
            }
            MarkerAsker::Peer(broker, correlation_id) => {
                let response = PeerResponse::WriteTxnMarkers(WriteTxnMarkersResponse { results: done.results });
                Rpc::respond(cx, broker, correlation_id, response);
            }
            MarkerAsker::Own(number) => {
                self.with_txns(cx, |txns, cx, turn| txns.on_marked(cx, turn, number, Some(&done.results)));
            }
        }
    }
}

fn on_wire(markers: &[TxnMarker], results: &[Vec<ErrorCode>]) -> WireResponse {
    let one = |(marker, results): (&TxnMarker, &Vec<ErrorCode>)| {
        let mut topics: Vec<wire::WritableTxnMarkerTopicResult> = Vec::new();
        for ((topic, number), error) in marker.partitions.iter().zip(results) {
            let result = wire::WritableTxnMarkerPartitionResult::default()
                .with_partition_index(*number)
                .with_error_code(error.code());
            match topics.iter_mut().find(|found| found.name.as_str() == &**topic) {
                Some(found) => found.partitions.push(result),
                None => topics.push(
                    wire::WritableTxnMarkerTopicResult::default()
                        .with_name(TopicName(StrBytes::from_string(topic.to_string())))
                        .with_partitions(vec![result]),
                ),
            }
        }
        wire::WritableTxnMarkerResult::default().with_producer_id(ProducerId(marker.producer_id)).with_topics(topics)
    };
    WireResponse::default().with_markers(markers.iter().zip(results).map(one).collect())
}

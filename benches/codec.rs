//! The codec on the hot path: a Produce request from its frame, and a Fetch response to its pieces. Throughput counts
//! record bytes, though neither copies them: what is measured is the cost around them. `cargo bench --bench codec`.

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, counter::BytesCount};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafkarium::protocol::api::ApiKey;
use kafkarium::protocol::batch::Batch;
use kafkarium::protocol::codec::{self, Request, RequestHeader, Response};
use kafkarium::protocol::error::ErrorCode;
use kafkarium::protocol::fetch::{FetchReply, FetchReplyPartition, FetchReplyTopic};
use kafkarium::protocol::ids::TopicId;
use kafkarium::protocol::records::BatchBuilder;
use kafkarium::protocol::{schema, walk};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const PARTITIONS: [usize; 3] = [1, 6, 64];
const BATCH_BYTES: usize = 16 * 1024;

fn main() {
    divan::main();
}

fn batch() -> Batch {
    BatchBuilder::new().value(1_000, &[7; BATCH_BYTES]).build().expect("a batch")
}

fn header(api: ApiKey, version: i16) -> RequestHeader {
    RequestHeader { api, version, correlation_id: 1, client_id: Some("bench".to_owned()), client_host: None }
}

/// A frame of Produce 11 with one batch a partition, without its length.
fn produce_frame(partitions: usize) -> Bytes {
    let records = batch().to_bytes();
    let partition = |index: usize| {
        PartitionProduceData::default()
            .with_index(i32::try_from(index).expect("few"))
            .with_records(Some(records.clone()))
    };
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("orders")))
        .with_partition_data((0..partitions).map(partition).collect());
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let frame = codec::encode_request(&header(ApiKey::Produce, 11), &Request::Produce(request)).expect("encodes");
    frame.to_bytes().slice(4..)
}

fn fetch_reply(partitions: usize) -> FetchReply {
    let batch = batch();
    let partition = |index: usize| FetchReplyPartition {
        high_watermark: 9,
        records: vec![batch.clone(); 4],
        ..FetchReplyPartition::failed(i32::try_from(index).expect("few"), ErrorCode::None)
    };
    let partitions = (0..partitions).map(partition).collect();
    let topic = FetchReplyTopic { name: String::new(), id: TopicId(uuid::Uuid::from_u128(7)), partitions };
    FetchReply { error: ErrorCode::None, session_id: 3, topics: vec![topic], node_endpoints: Vec::new() }
}

#[divan::bench(args = PARTITIONS)]
fn produce_walk(bencher: Bencher, partitions: usize) {
    let frame = produce_frame(partitions);
    let (_, at) = codec::read_request_header(&frame).expect("a header");
    let body = frame.slice(at..);
    let schema = schema::request(ApiKey::Produce);
    bencher.counter(BytesCount::new(frame.len())).bench(|| walk::check(&body, schema, 11, walk::REQUEST_ELEMENTS));
}

#[divan::bench(args = PARTITIONS)]
fn produce_decode(bencher: Bencher, partitions: usize) {
    let frame = produce_frame(partitions);
    bencher.counter(BytesCount::new(frame.len())).bench(|| codec::decode_request(frame.clone()));
}

#[divan::bench(args = PARTITIONS)]
fn produce_batches(bencher: Bencher, partitions: usize) {
    let records = batch().to_bytes();
    bencher.counter(BytesCount::new(records.len() * partitions)).bench(|| {
        for _ in 0..partitions {
            let batch = Batch::parse(divan::black_box(&records), 0).expect("a batch");
            assert!(batch.crc_is_valid());
            divan::black_box(batch.stamped(77, 3));
        }
    });
}

#[divan::bench(args = PARTITIONS)]
fn fetch_encode(bencher: Bencher, partitions: usize) {
    let header = header(ApiKey::Fetch, 17);
    let response = Response::Fetch(fetch_reply(partitions));
    let size = codec::encode_response(&header, &response).expect("encodes").size();
    bencher.counter(BytesCount::new(size)).bench(|| codec::encode_response(&header, &response));
}

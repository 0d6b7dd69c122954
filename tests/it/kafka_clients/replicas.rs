//! What each replica of a partition holds, read from the broker itself: since KIP-392 a consumer may ask a follower.

use crate::support::{Server, eventually};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{
    ApiKey, BrokerId, FetchRequest, FetchResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The last version that names topics by name.
const VERSION: i16 = 12;

/// Holds the replicas of all partitions against each other, byte by byte below the high watermark.
///
/// # Panics
/// If they differ.
pub fn assert_equal(server: &Server, topic: &str, partitions: usize) {
    for partition in 0..i32::try_from(partitions).expect("few") {
        let (mark, log) = whole_log(server, 1, topic, partition);
        assert!(mark > 0, "{topic}-{partition} holds records");
        for broker in [2, 3] {
            let (other_mark, other) = whole_log(server, broker, topic, partition);
            assert_eq!(mark, other_mark, "high watermark of {topic}-{partition} on brokers 1 and {broker}");
            assert!(log == other, "the logs of {topic}-{partition} on brokers 1 and {broker} differ");
        }
    }
}

/// A replica's high watermark and the batches below it, once nothing moves: all replicas have the same mark.
fn whole_log(server: &Server, broker: u16, topic: &str, partition: i32) -> (i64, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port(broker))).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let mut leader = TcpStream::connect(("127.0.0.1", server.port(1))).expect("connected");
    let mark = eventually("the replica's high watermark is that of broker 1", || {
        let (mark, _) = fetch(&mut stream, topic, partition, 0)?;
        (Some(mark) == fetch(&mut leader, topic, partition, 0).map(|(mark, _)| mark)).then_some(mark)
    });
    let (mut log, mut next) = (Vec::new(), 0);
    while next < mark {
        let (_, batches) = fetch(&mut stream, topic, partition, next).expect("no error");
        assert!(!batches.is_empty(), "nothing at {next} of {topic}-{partition} on broker {broker}, below {mark}");
        next = next_offset(&batches);
        log.extend_from_slice(&batches);
    }
    (mark, log)
}

/// The high watermark and whole batches from an offset; nothing while the broker answers with an error.
fn fetch(stream: &mut TcpStream, topic: &str, partition: i32, offset: i64) -> Option<(i64, Bytes)> {
    let wanted = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(1 << 20);
    let name = TopicName(StrBytes::from_string(topic.to_owned()));
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![FetchTopic::default().with_topic(name).with_partitions(vec![wanted])]);
    let header = RequestHeader::default().with_request_api_key(ApiKey::Fetch as i16).with_request_api_version(VERSION);
    let mut frame = BytesMut::new();
    header.encode(&mut frame, ApiKey::Fetch.request_header_version(VERSION)).expect("encoded");
    request.encode(&mut frame, VERSION).expect("encoded");
    stream.write_all(&u32::try_from(frame.len()).expect("small").to_be_bytes()).expect("sent");
    stream.write_all(&frame).expect("sent");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("small")];
    stream.read_exact(&mut answer).expect("a whole answer");
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, ApiKey::Fetch.response_header_version(VERSION)).expect("a header");
    let response = FetchResponse::decode(&mut answer, VERSION).expect("a response");
    let found = response.responses.first()?.partitions.first()?;
    (response.error_code == 0 && found.error_code == 0)
        .then(|| (found.high_watermark, found.records.clone().unwrap_or_default()))
}

/// The offset after the last of some whole batches: base offset and length stand at the head of each, the last record's distance
/// from the base at 23.
fn next_offset(mut batches: &[u8]) -> i64 {
    let mut next = -1;
    while let Some((head, _)) = batches.split_first_chunk::<27>() {
        let number = |from: usize| i32::from_be_bytes(head[from..from + 4].try_into().expect("four bytes"));
        let base = i64::from_be_bytes(head[..8].try_into().expect("eight bytes"));
        next = base + i64::from(number(23)) + 1;
        batches = &batches[12 + usize::try_from(number(8)).expect("a length")..];
    }
    next
}

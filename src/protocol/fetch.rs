//! The response to Fetch, with records by reference: a kept `Vec<Batch>` a partition instead of one contiguous field,
//! and an encoder of our own that emits the fields around the records and the records' own pieces.
//!
//! It is checked against `kafka-protocol`'s decoder for every version. An empty partition is written with records of
//! length 0, never null: librdkafka refuses null.

use crate::protocol::batch::{Batch, BatchError, HEADER_SIZE};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, EpochEnd, LeaderHint, TopicId};
use bytes::{BufMut, Bytes, BytesMut};

/// An answer to Fetch.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchReply {
    /// An error for the whole request.
    pub error: ErrorCode,
    /// The fetch session (KIP-227); 0 for none.
    pub session_id: i32,
    /// The topics that have something to say.
    pub topics: Vec<FetchReplyTopic>,
    /// Addresses of the leaders named in errors (KIP-951, version 16 on).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// One topic of a [`FetchReply`].
#[derive(Debug, Clone, PartialEq)]
pub struct FetchReplyTopic {
    /// Its name: what versions up to 12 carry.
    pub name: String,
    /// Its id: what versions from 13 on carry.
    pub id: TopicId,
    /// Its partitions.
    pub partitions: Vec<FetchReplyPartition>,
}

/// One partition of a [`FetchReply`].
#[derive(Debug, Clone, PartialEq)]
pub struct FetchReplyPartition {
    /// Its number.
    pub partition: i32,
    /// `None` or why there are no records.
    pub error: ErrorCode,
    /// The high watermark.
    pub high_watermark: i64,
    /// Where readers of committed transactions stop.
    pub last_stable_offset: i64,
    /// The log's first offset.
    pub log_start_offset: i64,
    /// Aborted transactions within the records (read_committed only).
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// A nearer replica to ask the next time (KIP-392).
    pub preferred_read_replica: Option<BrokerId>,
    /// The records.
    pub records: Vec<Batch>,
    /// Who leads, with an error (KIP-951).
    pub current_leader: Option<LeaderHint>,
    /// Where the logs diverge (KIP-595).
    pub diverging_epoch: Option<EpochEnd>,
}

impl FetchReplyPartition {
    /// An error without records.
    pub fn failed(partition: i32, error: ErrorCode) -> FetchReplyPartition {
        FetchReplyPartition {
            partition,
            error,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            aborted: None,
            preferred_read_replica: None,
            records: Vec::new(),
            current_leader: None,
            diverging_epoch: None,
        }
    }

    /// The size of its records, in bytes.
    pub fn records_size(&self) -> usize {
        self.records.iter().map(Batch::size).sum()
    }
}

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// Its first offset.
    pub first_offset: i64,
}

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEndpoint {
    /// The broker.
    pub broker: BrokerId,
    /// Its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its rack.
    pub rack: Option<String>,
}

/// The first version with compact lengths and tagged fields.
const FLEXIBLE_FROM: i16 = 12;

/// Up to which size a batch's records are copied among the fields instead of being a piece of their own, in bytes.
const COPIED_UP_TO_BYTES: usize = 512;
/// About what the fields around a partition's records take, in bytes.
const PARTITION_FIELDS_BYTES: usize = 64;

/// Bytes under way: finished pieces and the one that is written to.
struct Pieces {
    done: Vec<Bytes>,
    open: BytesMut,
    flexible: bool,
}

impl Pieces {
    fn length(&mut self, length: usize) {
        if self.flexible {
            self.varint(length + 1);
        } else {
            self.open.put_i32(i32::try_from(length).expect("a response below 2 GiB"));
        }
    }

    fn varint(&mut self, value: usize) {
        let mut rest = u64::try_from(value).expect("a length fits 64 bits");
        while rest >= 0x80 {
            self.open.put_u8(u8::try_from(rest & 0x7F).expect("seven bits") | 0x80);
            rest >>= 7;
        }
        self.open.put_u8(u8::try_from(rest).expect("seven bits"));
    }

    fn string(&mut self, text: &str) {
        if self.flexible {
            self.varint(text.len() + 1);
        } else {
            self.open.put_i16(i16::try_from(text.len()).expect("a name below 32 KiB"));
        }
        self.open.put_slice(text.as_bytes());
    }

    /// A batch's records: by reference, unless copying them costs less than one more piece to write.
    fn body(&mut self, body: &Bytes) {
        if body.len() <= COPIED_UP_TO_BYTES {
            return self.open.put_slice(body);
        }
        self.done.push(self.open.split().freeze());
        self.done.push(body.clone());
    }

    fn tagged(&mut self, tag: usize, body: &[u8]) {
        self.varint(tag);
        self.varint(body.len());
        self.open.put_slice(body);
    }
}

/// The body of the response in a version, as pieces in order.
///
/// # Panics
/// If the response is larger than 2 GiB, or a name than 32 KiB.
pub fn encode(reply: &FetchReply, version: i16) -> Vec<Bytes> {
    let (mut partitions, mut batches) = (0, 0);
    for partition in reply.topics.iter().flat_map(|topic| &topic.partitions) {
        partitions += 1;
        batches += partition.records.len();
    }
    let fields = 256 + PARTITION_FIELDS_BYTES * partitions + HEADER_SIZE * batches;
    let mut to = Pieces {
        done: Vec::with_capacity(2 * batches + 1),
        open: BytesMut::with_capacity(fields),
        flexible: version >= FLEXIBLE_FROM,
    };
    to.open.put_i32(0);
    if version >= 7 {
        to.open.put_i16(reply.error.code());
        to.open.put_i32(reply.session_id);
    }
    to.length(reply.topics.len());
    for topic in &reply.topics {
        if version >= 13 {
            to.open.put_slice(topic.id.0.as_bytes());
        } else {
            to.string(&topic.name);
        }
        to.length(topic.partitions.len());
        for partition in &topic.partitions {
            encode_partition(&mut to, partition, version);
        }
        if to.flexible {
            to.varint(0);
        }
    }
    if to.flexible {
        encode_endpoints(&mut to, &reply.node_endpoints, version);
    }
    if !to.open.is_empty() {
        to.done.push(to.open.freeze());
    }
    to.done
}

fn encode_partition(to: &mut Pieces, partition: &FetchReplyPartition, version: i16) {
    to.open.put_i32(partition.partition);
    to.open.put_i16(partition.error.code());
    to.open.put_i64(partition.high_watermark);
    to.open.put_i64(partition.last_stable_offset);
    if version >= 5 {
        to.open.put_i64(partition.log_start_offset);
    }
    match &partition.aborted {
        Some(aborted) => {
            to.length(aborted.len());
            for transaction in aborted {
                to.open.put_i64(transaction.producer_id);
                to.open.put_i64(transaction.first_offset);
                if to.flexible {
                    to.varint(0);
                }
            }
        }
        None if to.flexible => to.varint(0),
        None => to.open.put_i32(-1),
    }
    if version >= 11 {
        to.open.put_i32(partition.preferred_read_replica.map_or(-1, |broker| broker.0));
    }
    to.length(partition.records_size());
    for batch in &partition.records {
        to.open.put_slice(batch.head());
        to.body(batch.body());
    }
    if to.flexible {
        encode_partition_tags(to, partition);
    }
}

fn encode_partition_tags(to: &mut Pieces, partition: &FetchReplyPartition) {
    to.varint(usize::from(partition.diverging_epoch.is_some()) + usize::from(partition.current_leader.is_some()));
    if let Some(end) = partition.diverging_epoch {
        let mut body = BytesMut::with_capacity(13);
        body.put_i32(end.epoch);
        body.put_i64(end.end_offset);
        body.put_u8(0);
        to.tagged(0, &body);
    }
    if let Some(leader) = partition.current_leader {
        let mut body = BytesMut::with_capacity(9);
        body.put_i32(leader.broker.map_or(-1, |broker| broker.0));
        body.put_i32(leader.epoch);
        body.put_u8(0);
        to.tagged(1, &body);
    }
}

fn encode_endpoints(to: &mut Pieces, endpoints: &[NodeEndpoint], version: i16) {
    if version < 16 || endpoints.is_empty() {
        return to.varint(0);
    }
    let mut inner = Pieces { done: Vec::new(), open: BytesMut::new(), flexible: true };
    inner.length(endpoints.len());
    for endpoint in endpoints {
        inner.open.put_i32(endpoint.broker.0);
        inner.string(&endpoint.host);
        inner.open.put_i32(i32::from(endpoint.port));
        match &endpoint.rack {
            Some(rack) => inner.string(rack),
            None => inner.varint(0),
        }
        inner.varint(0);
    }
    to.varint(1);
    to.tagged(0, &inner.open);
}

/// Reads the crate's decoded response: what our own clients use.
///
/// # Errors
/// If the records are no batches.
pub fn from_wire(response: kafka_protocol::messages::FetchResponse) -> Result<FetchReply, BatchError> {
    let mut topics = Vec::with_capacity(response.responses.len());
    for topic in response.responses {
        let partitions = topic.partitions.into_iter().map(partition_from_wire).collect::<Result<_, _>>()?;
        topics.push(FetchReplyTopic { name: topic.topic.0.to_string(), id: TopicId(topic.topic_id), partitions });
    }
    let endpoint = |node: kafka_protocol::messages::fetch_response::NodeEndpoint| NodeEndpoint {
        broker: BrokerId(node.node_id.0),
        host: node.host.to_string(),
        port: u16::try_from(node.port).unwrap_or(0),
        rack: node.rack.map(|rack| rack.to_string()),
    };
    Ok(FetchReply {
        error: ErrorCode::from_code(response.error_code),
        session_id: response.session_id,
        topics,
        node_endpoints: response.node_endpoints.into_iter().map(endpoint).collect(),
    })
}

fn partition_from_wire(
    data: kafka_protocol::messages::fetch_response::PartitionData,
) -> Result<FetchReplyPartition, BatchError> {
    let broker = |id: i32| (id >= 0).then_some(BrokerId(id));
    let diverging = data.diverging_epoch;
    let leader = data.current_leader;
    Ok(FetchReplyPartition {
        partition: data.partition_index,
        error: ErrorCode::from_code(data.error_code),
        high_watermark: data.high_watermark,
        last_stable_offset: data.last_stable_offset,
        log_start_offset: data.log_start_offset,
        aborted: data.aborted_transactions.map(|aborted| {
            let one = |transaction: kafka_protocol::messages::fetch_response::AbortedTransaction| AbortedTransaction {
                producer_id: transaction.producer_id.0,
                first_offset: transaction.first_offset,
            };
            aborted.into_iter().map(one).collect()
        }),
        preferred_read_replica: broker(data.preferred_read_replica.0),
        records: whole_batches(&data.records.unwrap_or_default())?,
        current_leader: (leader.leader_epoch >= 0)
            .then(|| LeaderHint { broker: broker(leader.leader_id.0), epoch: leader.leader_epoch }),
        diverging_epoch: (diverging.end_offset >= 0)
            .then_some(EpochEnd { epoch: diverging.epoch, end_offset: diverging.end_offset }),
    })
}

/// A broker may cut the last batch at the size limit (Kafka's does): what is whole counts.
fn whole_batches(bytes: &Bytes) -> Result<Vec<Batch>, BatchError> {
    let mut batches = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match Batch::parse(bytes, at) {
            Ok(batch) => {
                at += batch.size();
                batches.push(batch);
            }
            Err(BatchError::Truncated) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::batch::BatchHeader;
    use kafka_protocol::messages::FetchResponse;
    use kafka_protocol::protocol::Decodable;

    fn batch(base_offset: i64) -> Batch {
        let header = BatchHeader {
            base_offset,
            length: 0,
            leader_epoch: 2,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: 0,
            base_timestamp: 5,
            max_timestamp: 5,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 1,
        };
        let body = if base_offset % 2 == 0 { vec![7; 2 * COPIED_UP_TO_BYTES] } else { b"record".to_vec() };
        Batch::seal(header, Bytes::from(body))
    }

    fn reply(version: i16) -> FetchReply {
        let full = FetchReplyPartition {
            error: ErrorCode::None,
            high_watermark: 9,
            last_stable_offset: 8,
            log_start_offset: if version >= 5 { 1 } else { -1 },
            aborted: Some(vec![AbortedTransaction { producer_id: 3, first_offset: 4 }]),
            preferred_read_replica: (version >= 11).then_some(BrokerId(2)),
            records: vec![batch(6), batch(7)],
            ..FetchReplyPartition::failed(0, ErrorCode::None)
        };
        let moved = FetchReplyPartition {
            current_leader: (version >= 12).then_some(LeaderHint { broker: Some(BrokerId(3)), epoch: 7 }),
            diverging_epoch: (version >= 12).then_some(EpochEnd { epoch: 1, end_offset: 4 }),
            ..FetchReplyPartition::failed(1, ErrorCode::NotLeaderOrFollower)
        };
        let by_id = version >= 13;
        let topic = FetchReplyTopic {
            name: if by_id { String::new() } else { "orders".to_owned() },
            id: if by_id { TopicId(uuid::Uuid::from_u128(77)) } else { TopicId::NONE },
            partitions: vec![full, moved],
        };
        let endpoint = NodeEndpoint { broker: BrokerId(3), host: "127.0.0.1".to_owned(), port: 9094, rack: None };
        FetchReply {
            error: ErrorCode::None,
            session_id: if version >= 7 { 12 } else { 0 },
            topics: vec![topic],
            node_endpoints: if version >= 16 { vec![endpoint] } else { Vec::new() },
        }
    }

    #[test]
    fn every_version_is_what_the_crate_reads() {
        for version in 4..=18 {
            let written = encode(&reply(version), version);
            let mut bytes = Bytes::from(written.concat());
            let read = FetchResponse::decode(&mut bytes, version).expect("a response of this version");
            assert!(bytes.is_empty(), "version {version} leaves {} bytes", bytes.len());
            assert_eq!(from_wire(read).expect("batches"), reply(version), "version {version}");
        }
    }

    #[test]
    fn records_go_by_reference() {
        let reply = reply(16);
        let body = reply.topics[0].partitions[0].records[0].body().clone();
        let pieces = encode(&reply, 16);
        assert!(pieces.iter().any(|piece| piece.as_ptr() == body.as_ptr()));
        assert_eq!(pieces.len(), 3, "a head and a small body are among the fields");
    }
}

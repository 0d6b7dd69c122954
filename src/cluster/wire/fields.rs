//! The fields of the message that is looked at, with their place in its bytes, and what such a message is for.
//!
//! Invariants: bounded by [`DETAIL_FIELDS`], whatever the message; a message between brokers never was bytes, and is told by its type.
//!
//! Deliberately not here: what a list shows of a message (`words`).

use super::{Body, words};
use crate::cluster::view::{WireDetail, WireField};
use crate::protocol::api::ApiKey;
use crate::protocol::batch::{Batch, BatchHeader, HEADER_SIZE};
use crate::protocol::error::ErrorCode;
use crate::protocol::peer::{PeerBody, PeerMessage};
use crate::protocol::records;
use crate::protocol::schema::Kind;
use crate::protocol::tree::FieldTree;
use bytes::Bytes;
use std::ops::Range;

/// So many fields and bytes are told of the message that is looked at.
const DETAIL_FIELDS: usize = 300;
const DETAIL_BYTES: usize = 1_024;
/// The longest value that is told.
const VALUE_CHARACTERS: usize = 80;
/// So many records of a batch are told.
const RECORDS_SHOWN: usize = 3;

/// A message's contents.
pub(super) fn detail(id: u64, body: &Body) -> WireDetail {
    let facts = words::facts(body);
    let meaning = meaning(facts.api, facts.is_response);
    let (mut frame, tree) = words::frame_and_tree(body, DETAIL_FIELDS);
    let (fields, left_out) = match (body, tree) {
        (Body::Peer(message), _) => fields_of_peer(message),
        (_, Some(tree)) => (fields_of_frame(&frame, &tree), tree.left_out),
        (_, None) => (Vec::new(), 0),
    };
    frame.truncate(DETAIL_BYTES);
    WireDetail { id, fields, left_out, bytes: frame, meaning }
}

fn fields_of_frame(frame: &[u8], tree: &FieldTree) -> Vec<WireField> {
    let mut fields = Vec::new();
    let mut api = None;
    for node in &tree.nodes {
        let value = node.text(frame);
        if node.name == "RequestApiKey" {
            api = value.parse().ok().and_then(ApiKey::from_key);
        }
        fields.push(WireField {
            name: node.index.map_or_else(|| node.name.to_owned(), |index| format!("{} {index}", node.name)),
            note: note(node.name, &value, api),
            value: shortened(&value),
            depth: node.depth,
            range: Some(node.range.clone()),
        });
        if node.kind == Kind::Records
            && let Some(content) = &node.content
        {
            batches(frame, content.clone(), node.depth + 1, &mut fields);
        }
    }
    fields
}

/// What a value means.
fn note(name: &str, value: &str, api: Option<ApiKey>) -> String {
    let note = match (name, value) {
        ("RequestApiKey", _) => api.map_or("", ApiKey::name),
        ("Acks", "-1") => "all in-sync replicas",
        ("Acks", "0") => "no answer is wanted",
        ("Acks", "1") => "the leader alone",
        ("ErrorCode", "0") => "no error",
        ("ErrorCode", code) => code.parse().map(ErrorCode::from_code).map_or("", ErrorCode::name),
        ("IsolationLevel", "0") => "uncommitted too",
        ("IsolationLevel", "1") => "committed only",
        ("ReplicaId", "-1") => "a consumer",
        _ => "",
    };
    note.to_owned()
}

/// The headers of the record batches in a range of a frame, and the first records of each.
fn batches(frame: &[u8], range: Range<usize>, depth: usize, fields: &mut Vec<WireField>) {
    let mut at = range.start;
    while fields.len() < DETAIL_FIELDS
        && let Some(Ok(head)) = frame.get(at..at + HEADER_SIZE).map(<&[u8; HEADER_SIZE]>::try_from)
    {
        let header = BatchHeader::parse(head);
        let end = (at + header.size()).min(range.end);
        let mut field = |name: &str, value: String, note: String, deeper: usize, range: Range<usize>| {
            fields.push(WireField { name: name.to_owned(), value, note, depth: depth + deeper, range: Some(range) });
        };
        let count = usize::try_from(header.record_count).unwrap_or(0);
        let text = format!("{count} record{}, {} bytes", if count == 1 { "" } else { "s" }, end - at);
        field("Batch", text, String::new(), 0, at..end);
        let batch = Batch::parse(&Bytes::copy_from_slice(&frame[at..end]), 0).ok();
        let crc = match batch.as_ref().map(Batch::crc_is_valid) {
            Some(true) => "fits",
            Some(false) => "does not fit",
            None => "",
        };
        let assigned = if header.leader_epoch < 0 { "the leader assigns it" } else { "" };
        let attributes = attributes(&header);
        for (name, value, note, from, to) in [
            ("BaseOffset", header.base_offset.to_string(), assigned, 0, 8),
            ("BatchLength", header.length.to_string(), "", 8, 12),
            ("LeaderEpoch", header.leader_epoch.to_string(), assigned, 12, 16),
            ("Magic", header.magic.to_string(), "", 16, 17),
            ("Crc", format!("{:08x}", header.crc), crc, 17, 21),
            ("Attributes", format!("{:#06x}", header.attributes), &attributes, 21, 23),
            ("LastOffsetDelta", header.last_offset_delta.to_string(), "", 23, 27),
            ("BaseTimestamp", header.base_timestamp.to_string(), "", 27, 35),
            ("MaxTimestamp", header.max_timestamp.to_string(), "", 35, 43),
            ("ProducerId", header.producer_id.to_string(), "", 43, 51),
            ("ProducerEpoch", header.producer_epoch.to_string(), "", 51, 53),
            ("BaseSequence", header.base_sequence.to_string(), "", 53, 57),
            ("RecordsCount", header.record_count.to_string(), "", 57, 61),
        ] {
            field(name, value, note.to_owned(), 1, at + from..at + to);
        }
        for record in batch.iter().flat_map(records::decode).flatten().take(RECORDS_SHOWN) {
            let key = record.key.as_deref().map_or_else(|| "null".into(), String::from_utf8_lossy);
            let value = record.value.as_deref().map_or_else(|| "null".into(), String::from_utf8_lossy);
            field("Record", shortened(&format!("{key}: {value}")), String::new(), 1, at + HEADER_SIZE..end);
        }
        if header.length <= 0 {
            return;
        }
        at = end;
    }
}

/// `gzip, transactional`.
fn attributes(header: &BatchHeader) -> String {
    let compression = match header.compression() {
        0 => "uncompressed",
        1 => "gzip",
        2 => "snappy",
        3 => "lz4",
        4 => "zstd",
        _ => "unknown compression",
    };
    let flags = [(header.is_transactional(), "transactional"), (header.is_control(), "control")];
    let flags = flags.into_iter().filter_map(|(is_set, word)| is_set.then_some(word));
    [compression].into_iter().chain(flags).collect::<Vec<_>>().join(", ")
}

/// Typed messages never were bytes: their fields are those of the types, as Rust writes them.
fn fields_of_peer(message: &PeerMessage) -> (Vec<WireField>, usize) {
    let text = match &message.body {
        PeerBody::Request(request) => format!("{request:#?}"),
        PeerBody::Response(response) => format!("{response:#?}"),
    };
    let mut fields = Vec::new();
    let mut left_out = 0;
    for line in text.lines() {
        let trimmed = line.trim().trim_end_matches([',', '{', '(', '[', ' ']);
        if trimmed.is_empty() || trimmed.bytes().all(|byte| b"})]".contains(&byte)) {
            continue;
        }
        if fields.len() == DETAIL_FIELDS {
            left_out += 1;
            continue;
        }
        let depth = (line.len() - line.trim_start().len()) / 4;
        let (name, value) = trimmed.split_once(": ").unwrap_or((trimmed.trim_end_matches(':'), ""));
        let (name, value, note) = (name.to_owned(), shortened(value), String::new());
        fields.push(WireField { name, value, note, depth, range: None });
    }
    (fields, left_out)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARACTERS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// What such a message is for.
fn meaning(api: &str, is_response: bool) -> &'static str {
    match (api, is_response) {
        ("Produce", false) => "A producer asks the partition's leader to append records.",
        ("Produce", true) => "The leader says where the records are, once as many replicas have them as acks asks for.",
        ("Fetch", false) => {
            "Asks a leader for records from an offset on; a follower's offset tells what it has safely."
        }
        ("Fetch", true) => "Records from the offset that was asked for, and the leader's high watermark.",
        ("Metadata", _) => "Who leads which partition, and where the brokers are.",
        ("QuorumFetch", _) => "A replica of the metadata log reads on; its offset tells the controller what it has.",
        ("BrokerHeartbeat", _) => "A broker tells the controller that it lives; without it, it is fenced.",
        ("AlterPartition", _) => "A leader asks the controller to change the ISR of its partitions.",
        ("Vote", false) => "A candidate asks for a vote, or whether it would get one.",
        ("Vote", true) => "A voter's answer: one vote an epoch, and only for a log as complete as its own.",
        ("BeginQuorumEpoch", _) => "The newly elected controller tells the voters that it leads.",
        ("ApiVersions", _) => "A client asks which APIs and versions are served, first of all.",
        ("FindCoordinator", _) => "Which broker coordinates a group or a transaction.",
        ("JoinGroup" | "SyncGroup", _) => "A member takes part in a rebalance.",
        ("OffsetCommit", _) => "A member says up to where it has processed.",
        ("Heartbeat" | "ConsumerGroupHeartbeat", _) => "A member tells its coordinator that it lives.",
        ("InitProducerId", _) => "A producer asks for an id, so that what it sends again is not written twice.",
        (_, false) => "A question; its answer has the same correlation id.",
        (_, true) => "An answer; its question has the same correlation id.",
    }
}

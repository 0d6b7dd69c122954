//! Words for messages: size, summary and error of each.
//!
//! Invariants: looks into the first [`FACTS_FIELDS`] fields for a summary, so that a message of any size costs about the same.
//!
//! Deliberately not here: the fields of the message that is looked at (`fields`).

use super::{Body, Outline};
use crate::cluster::link::size_of;
use crate::protocol::codec;
use crate::protocol::error::ErrorCode;
use crate::protocol::peer::{PeerBody, PeerMessage, PeerRequest, PeerResponse};
use crate::protocol::schema::Kind;
use crate::protocol::tree::{self, FieldTree};
use std::sync::Arc;

/// So many fields are looked at for a summary.
const FACTS_FIELDS: usize = 48;

/// What a list shows of a message.
#[derive(Debug)]
pub(super) struct Facts {
    pub api: &'static str,
    pub version: Option<i16>,
    pub correlation_id: u64,
    pub is_response: bool,
    pub size: u64,
    pub summary: Arc<str>,
    pub error: Option<&'static str>,
    /// It says that somebody lives, or that there is nothing new.
    pub is_routine: bool,
}

pub(super) fn facts(body: &Body) -> Facts {
    match body {
        Body::Peer(message) => facts_of_peer(message),
        Body::Request(..) | Body::Response(..) => facts_of_client(body),
        Body::Outline(outline) => facts_of_outline(outline),
    }
}

fn facts_of_outline(outline: &Outline) -> Facts {
    let Outline { api, version, correlation_id, is_response, size } = *outline;
    let kibibytes = size / 1_024;
    let summary = match (api, is_response) {
        ("Fetch", true) => format!("records {kibibytes} KiB"),
        (_, true) => format!("{api} answer {kibibytes} KiB"),
        (_, false) => format!("{api} {kibibytes} KiB"),
    };
    let summary = summary.into();
    Facts { api, version, correlation_id, is_response, size, summary, error: None, is_routine: false }
}

fn facts_of_client(body: &Body) -> Facts {
    let (header, is_response) = match body {
        Body::Request(header, _) => (header, false),
        Body::Response(header, _) => (header, true),
        Body::Peer(_) | Body::Outline(_) => unreachable!("a client's message"),
    };
    let api = header.api.name();
    let (frame, tree) = frame_and_tree(body, FACTS_FIELDS);
    let found = Found::of(&frame, tree.as_ref());
    let error = found.error.filter(|_| is_response);
    let is_heartbeat = matches!(api, "Heartbeat" | "ConsumerGroupHeartbeat" | "ShareGroupHeartbeat");
    let is_routine = error.is_none() && (is_heartbeat || api == "Fetch" && !(is_response && found.records > 0));
    let mut summary = match (api, is_response) {
        ("Produce", true) => "ack".to_owned(),
        ("Fetch", true) if found.records > 0 => "records".to_owned(),
        (_, true) => format!("{api} answer"),
        (_, false) => api.to_owned(),
    };
    for part in [error.map(str::to_owned), found.about] {
        summary.extend(part.map(|part| format!(" {part}")));
    }
    Facts {
        api,
        version: Some(header.version),
        correlation_id: u64::try_from(header.correlation_id).unwrap_or_default(),
        is_response,
        size: frame.len() as u64 + 4,
        summary: summary.into(),
        error,
        is_routine,
    }
}

/// What the first fields of a frame tell.
#[derive(Default)]
struct Found {
    /// `orders-0 @12`, `billing`.
    about: Option<String>,
    error: Option<&'static str>,
    /// Bytes of record batches.
    records: usize,
}

impl Found {
    fn of(frame: &[u8], tree: Option<&FieldTree>) -> Found {
        let mut found = Found::default();
        let (mut topic, mut partition, mut offset, mut group) = (None, None, None, None);
        for node in tree.iter().flat_map(|tree| &tree.nodes) {
            let text = || node.text(frame);
            match node.name {
                "ErrorCode" if found.error.is_none() => {
                    let code = text().parse().unwrap_or_default();
                    found.error =
                        Some(ErrorCode::from_code(code)).filter(|error| !error.is_none()).map(ErrorCode::name);
                }
                "Name" | "Topic" | "TopicName" if node.kind == Kind::String => _ = topic.get_or_insert_with(text),
                "Index" | "Partition" | "PartitionIndex" => _ = partition.get_or_insert_with(text),
                "FetchOffset" | "BaseOffset" | "CommittedOffset" => _ = offset.get_or_insert_with(text),
                "GroupId" => _ = group.get_or_insert_with(text),
                "Records" => found.records += node.content.as_ref().map_or(0, ExactSizeIterator::len),
                _ => {}
            }
        }
        let place = match (topic.filter(|topic| topic != "null"), partition) {
            (Some(topic), Some(partition)) => Some(format!("{topic}-{partition}")),
            (topic, _) => topic,
        };
        let offset = offset.filter(|offset| !offset.starts_with('-')).map(|offset| format!("@{offset}"));
        let group = group.filter(|group| group != "null" && !group.is_empty());
        let parts: Vec<String> = [place.or(group), offset].into_iter().flatten().collect();
        found.about = Some(parts.join(" ")).filter(|about| !about.is_empty());
        found
    }
}

/// A client's message as it is on a wire, without its length, and its fields.
pub(super) fn frame_and_tree(body: &Body, most: usize) -> (Vec<u8>, Option<FieldTree>) {
    let bytes = match body {
        Body::Peer(_) | Body::Outline(_) => None,
        Body::Request(header, request) => codec::encode_request(header, request).ok(),
        Body::Response(header, response) => codec::encode_response(header, response).ok(),
    };
    let Some(bytes) = bytes.map(|frame| frame.to_bytes()) else { return (Vec::new(), None) };
    let frame = bytes.get(4..).unwrap_or_default().to_vec();
    let tree = match body {
        Body::Response(header, _) => tree::of_response(header.api, header.version, &frame, most),
        _ => tree::of_request(&frame, most),
    };
    (frame, tree.ok())
}

/// Of which API a message between brokers is.
pub(super) fn api_of_peer(message: &PeerMessage) -> &'static str {
    match &message.body {
        PeerBody::Request(request) => request.api_name(),
        PeerBody::Response(response) => response.api_name(),
    }
}

fn facts_of_peer(message: &PeerMessage) -> Facts {
    let (api, is_response) = (api_of_peer(message), matches!(message.body, PeerBody::Response(_)));
    let (summary, error, is_routine) = match &message.body {
        PeerBody::Request(request) => {
            let (summary, is_routine) = words_of_request(request, api);
            (summary, None, is_routine)
        }
        PeerBody::Response(response) => words_of_response(response, api),
    };
    let summary = error.map_or(summary, |error| format!("{api} {error}"));
    Facts {
        api,
        version: None,
        correlation_id: message.correlation_id,
        is_response,
        size: size_of(message),
        summary: summary.into(),
        error,
        is_routine: is_routine && error.is_none(),
    }
}

fn words_of_request(request: &PeerRequest, api: &str) -> (String, bool) {
    match request {
        PeerRequest::ReplicaFetch(fetch) => match fetch.partitions.first() {
            Some(first) if fetch.partitions.len() == 1 => (format!("Fetch @{}", first.fetch_offset), true),
            _ => (format!("Fetch {} partitions", fetch.partitions.len()), true),
        },
        PeerRequest::QuorumFetch(fetch) => (format!("QuorumFetch @{}", fetch.fetch_offset), true),
        PeerRequest::BrokerHeartbeat(beat) => (api.to_owned(), !beat.want_shut_down && !beat.want_fence),
        PeerRequest::Vote(vote) if vote.pre_vote => (format!("pre-vote? epoch {}", vote.epoch), false),
        PeerRequest::Vote(vote) => (format!("Vote? epoch {}", vote.epoch), false),
        PeerRequest::BeginQuorumEpoch(begin) => (format!("{} leads, epoch {}", begin.leader, begin.epoch), false),
        _ => (api.to_owned(), false),
    }
}

fn records_in_words(records: i64) -> String {
    format!("{records} record{}", if records == 1 { "" } else { "s" })
}

fn words_of_response(response: &PeerResponse, api: &str) -> (String, Option<&'static str>, bool) {
    let named = |error: ErrorCode| Some(error).filter(|error| !error.is_none()).map(ErrorCode::name);
    match response {
        PeerResponse::ReplicaFetch(answer) => {
            let batches = answer.partitions.iter().flat_map(|partition| &partition.batches);
            let records: i64 = batches.map(|batch| batch.header.next_offset() - batch.header.base_offset).sum();
            let failed = answer.partitions.iter().find_map(|partition| named(partition.error));
            let diverges = answer.partitions.iter().any(|partition| partition.diverging_epoch.is_some());
            let words = if diverges { "cut your log".to_owned() } else { records_in_words(records) };
            (words, named(answer.error).or(failed), records == 0 && !diverges)
        }
        PeerResponse::QuorumFetch(answer) => {
            let records: i64 =
                answer.batches.iter().map(|batch| batch.header.next_offset() - batch.header.base_offset).sum();
            (format!("{records} metadata records"), named(answer.error), records == 0)
        }
        PeerResponse::BrokerHeartbeat(answer) => {
            let words = if answer.is_fenced { "still fenced" } else { "unfenced" };
            (words.to_owned(), named(answer.error), !answer.should_shut_down && !answer.is_fenced)
        }
        PeerResponse::Vote(vote) => {
            let words = if vote.vote_granted { "granted" } else { "refused" };
            (format!("Vote {words}, epoch {}", vote.epoch), named(vote.error), false)
        }
        PeerResponse::AlterPartition(answer) => (format!("{api} answer"), named(answer.error), false),
        _ => (format!("{api} answer"), None, false),
    }
}

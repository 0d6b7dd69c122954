//! What was on the wire, field by field: Kafka's names, values as text, and where in the frame each lies. For people
//! who look at a frame.
//!
//! A tree is as large as is asked for and no larger; a frame that is malformed half-way yields the fields before that,
//! and the reason. It does not look into record batches: `records.rs` does.

use crate::protocol::api::ApiKey;
use crate::protocol::codec::{self, DecodeError};
use crate::protocol::schema::{self, Kind, Schema};
use crate::protocol::walk::{self, Visit, WalkError};
use std::ops::Range;

/// The fields of one frame, in the order of the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldTree {
    /// Each field, parents before their children.
    pub nodes: Vec<FieldNode>,
    /// How many fields were left out, because there were more than asked for.
    pub left_out: usize,
    /// Why the walk ended before the end of the frame.
    pub error: Option<WalkError>,
}

/// One field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldNode {
    /// Kafka's name.
    pub name: &'static str,
    /// Its place in an array.
    pub index: Option<usize>,
    /// How deep it lies: 0 for the header's fields and the message's own.
    pub depth: usize,
    /// What it holds.
    pub kind: Kind,
    /// All its bytes in the frame (without the frame's length), its own length included.
    pub range: Range<usize>,
    /// The bytes of its value; `None` if it is null.
    pub content: Option<Range<usize>>,
}

impl FieldNode {
    /// The value as text: a number, a string, `null`; a size for bytes and records; nothing for what has children.
    pub fn text(&self, frame: &[u8]) -> String {
        let Some(bytes) = self.content.clone().and_then(|range| frame.get(range)) else { return "null".to_owned() };
        match self.kind {
            Kind::Struct(_) | Kind::Array(_) => String::new(),
            Kind::Bool => bytes.iter().any(|byte| *byte != 0).to_string(),
            Kind::Int8 => number(bytes, true),
            Kind::Int16 | Kind::Int32 | Kind::Int64 => number(bytes, true),
            Kind::Uint16 | Kind::Uint32 => number(bytes, false),
            Kind::Float64 => bytes.try_into().map(|bits| f64::from_be_bytes(bits).to_string()).unwrap_or_default(),
            Kind::Uuid => uuid::Uuid::from_slice(bytes).map(|id| id.to_string()).unwrap_or_default(),
            Kind::String => String::from_utf8_lossy(bytes).into_owned(),
            Kind::Bytes | Kind::Records => format!("{} bytes", bytes.len()),
        }
    }
}

fn number(bytes: &[u8], is_signed: bool) -> String {
    let is_negative = is_signed && bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if is_negative { -1_i64 } else { 0 };
    bytes.iter().fold(start, |value, byte| (value << 8) | i64::from(*byte)).to_string()
}

/// The fields of a request's frame (without its length), header first, `most` at most.
///
/// # Errors
/// If the header cannot be read, or the API or version is not served.
pub fn of_request(frame: &[u8], most: usize) -> Result<FieldTree, DecodeError> {
    let (header, body_at) = codec::read_request_header(frame)?;
    let mut builder = Builder::new(most);
    for (name, kind, range) in [
        ("RequestApiKey", Kind::Int16, 0..2),
        ("RequestApiVersion", Kind::Int16, 2..4),
        ("CorrelationId", Kind::Int32, 4..8),
    ] {
        builder.value(name, None, kind, range.clone(), Some(range));
    }
    let client_id = header.client_id.map(|id| 10..10 + id.len());
    let end = client_id.as_ref().map_or(10, |range| range.end);
    builder.value("ClientId", None, Kind::String, 8..end, client_id);
    Ok(builder.body(frame, body_at, schema::request(header.api), header.version, walk::REQUEST_ELEMENTS))
}

/// The fields of a response's frame (without its length) to a request of an API and version, header first, `most` at
/// most.
///
/// # Errors
/// If the header cannot be read.
pub fn of_response(api: ApiKey, version: i16, frame: &[u8], most: usize) -> Result<FieldTree, DecodeError> {
    let (_, body_at) = codec::read_response_header(api, version, frame)?;
    let mut builder = Builder::new(most);
    builder.value("CorrelationId", None, Kind::Int32, 0..4, Some(0..4));
    Ok(builder.body(frame, body_at, schema::response(api), version, walk::RESPONSE_ELEMENTS))
}

struct Builder {
    nodes: Vec<FieldNode>,
    most: usize,
    left_out: usize,
    /// The open ones: where they stand, if they were not left out.
    open: Vec<Option<usize>>,
}

impl Builder {
    fn new(most: usize) -> Builder {
        Builder { nodes: Vec::new(), most, left_out: 0, open: Vec::new() }
    }

    fn body(mut self, frame: &[u8], at: usize, schema: &Schema, version: i16, elements: usize) -> FieldTree {
        let error = walk::walk(frame, at, schema, version, elements, &mut self).err();
        // What was open where the walk ended goes on to the end of the frame, as far as is known.
        while !self.open.is_empty() {
            self.close(frame.len());
        }
        FieldTree { nodes: self.nodes, left_out: self.left_out, error }
    }

    fn add(
        &mut self,
        name: &'static str,
        index: Option<usize>,
        kind: Kind,
        range: Range<usize>,
        content: Option<Range<usize>>,
    ) -> Option<usize> {
        if self.nodes.len() >= self.most {
            self.left_out += 1;
            return None;
        }
        self.nodes.push(FieldNode { name, index, depth: self.open.len(), kind, range, content });
        Some(self.nodes.len() - 1)
    }
}

impl Visit for Builder {
    fn open(&mut self, field: &'static str, index: Option<usize>, kind: Kind, at: usize) {
        let place = self.add(field, index, kind, at..at, Some(at..at));
        self.open.push(place);
    }

    fn close(&mut self, at: usize) {
        if let Some(place) = self.open.pop().expect("a close after its open") {
            let node = &mut self.nodes[place];
            node.range.end = at;
            node.content = Some(node.range.clone());
        }
    }

    fn value(
        &mut self,
        field: &'static str,
        index: Option<usize>,
        kind: Kind,
        all: Range<usize>,
        content: Option<Range<usize>>,
    ) {
        self.add(field, index, kind, all, content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::codec::{Request, RequestHeader, encode_request};
    use bytes::Bytes;
    use kafka_protocol::messages::MetadataRequest;
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
    use kafka_protocol::protocol::StrBytes;

    fn frame(version: i16) -> Bytes {
        let name = StrBytes::from_static_str("orders");
        let topic = MetadataRequestTopic::default().with_name(Some(kafka_protocol::messages::TopicName(name)));
        let request = Request::Metadata(MetadataRequest::default().with_topics(Some(vec![topic])));
        let header = RequestHeader {
            api: ApiKey::Metadata,
            version,
            correlation_id: -7,
            client_id: Some("probe".to_owned()),
            client_host: None,
        };
        encode_request(&header, &request).expect("encodes").to_bytes().slice(4..)
    }

    #[test]
    fn fields_are_named_with_their_bytes() {
        for version in [0, 5, 12] {
            let frame = frame(version);
            let tree = of_request(&frame, 100).expect("a request");
            assert_eq!((tree.error, tree.left_out), (None, 0));
            let node = |name: &str| tree.nodes.iter().find(|node| node.name == name).expect("the field");
            assert_eq!(node("RequestApiVersion").text(&frame), version.to_string());
            assert_eq!(node("CorrelationId").text(&frame), "-7");
            assert_eq!(node("ClientId").text(&frame), "probe");
            assert_eq!((node("Name").text(&frame), node("Name").depth), ("orders".to_owned(), 2));
            let content = node("Name").content.clone().expect("not null");
            assert_eq!(&frame[content], b"orders");
            let topics = node("Topics");
            assert!(topics.range.start <= node("Name").range.start && topics.range.end >= node("Name").range.end);
        }
    }

    #[test]
    fn a_tree_is_bounded_and_a_broken_frame_shows_what_was_read() {
        let whole = frame(12);
        let tree = of_request(&whole, 5).expect("a request");
        assert_eq!(tree.nodes.len(), 5);
        assert!(tree.left_out > 0);
        let broken = whole.slice(..whole.len() - 3);
        let tree = of_request(&broken, 100).expect("a header");
        assert!(tree.error.is_some());
        assert!(tree.nodes.iter().any(|node| node.name == "Name"));
    }
}

//! Requests and responses as closed enums, and their bytes: decoding by key and version, encoding into pieces.
//!
//! Invariant: `kafka-protocol` never sees bytes that were not walked first, because it allocates what the wire claims.
//! An API or version that is not served is refused here, with what the connection has to say about it.

use crate::protocol::api::{ApiKey, for_each_api};
use crate::protocol::fetch::{self, FetchReply};
use crate::protocol::{schema, walk};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use core::net::IpAddr;
use kafka_protocol::messages as m;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

/// What precedes every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API.
    pub api: ApiKey,
    /// The version of request and response.
    pub version: i16,
    /// Pairs the response with the request.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
    /// Where its connection comes from, as the host saw it: nothing of the wire, and nothing that decoding knows.
    pub client_host: Option<IpAddr>,
}

/// Why a frame is no request that is served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The key is not in the table: Kafka closes the connection.
    #[error("API key {0} is not served")]
    UnknownApi(i16),
    /// The version is not served: Kafka closes the connection, but for ApiVersions, which is answered with version 0
    /// and error 35.
    #[error("{} version {version} is not served", api.name())]
    UnsupportedVersion {
        /// The API.
        api: ApiKey,
        /// The version asked for.
        version: i16,
        /// Pairs the answer.
        correlation_id: i32,
    },
    /// The bytes are not what the key and version say.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// Why it cannot be.
        reason: String,
    },
}

/// Why a response has no bytes: it holds what its version has no field for, or nothing where something has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {} response of version {version} can say this: {reason}", api.name())]
pub struct EncodeError {
    /// The API.
    pub api: ApiKey,
    /// The version that was asked for.
    pub version: i16,
    /// What does not fit.
    pub reason: String,
}

/// An encoded frame, length first, in pieces that go out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// The pieces.
    pub pieces: Vec<Bytes>,
}

impl EncodedFrame {
    fn of(head: BytesMut, body: Vec<Bytes>) -> EncodedFrame {
        let size = head.len() + body.iter().map(Bytes::len).sum::<usize>();
        let mut first = BytesMut::with_capacity(head.len() + 4 + body.first().map_or(0, Bytes::len));
        first.put_i32(i32::try_from(size).expect("a frame below 2 GiB"));
        first.put_slice(&head);
        let mut body = body.into_iter();
        // The first piece is small unless it is a record batch's: one write less.
        let mut pieces = Vec::with_capacity(body.len() + 1);
        match body.next() {
            Some(piece) if piece.len() <= 4096 => first.put_slice(&piece),
            Some(piece) => {
                pieces.push(first.split().freeze());
                pieces.push(piece);
            }
            None => {}
        }
        if !first.is_empty() {
            pieces.push(first.freeze());
        }
        pieces.extend(body);
        EncodedFrame { pieces }
    }

    /// Its size with the length, in bytes.
    pub fn size(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// All bytes in one piece: a copy.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(self.pieces.concat())
    }
}

/// A message as bytes: what `kafka-protocol` does, and for [`FetchReply`] ours.
trait Body: Sized {
    fn header_version(version: i16) -> i16;
    fn decode_body(bytes: &mut Bytes, version: i16) -> Result<Self, String>;
    fn encode_body(&self, version: i16) -> Result<Vec<Bytes>, String>;
}

impl<T: Encodable + Decodable + HeaderVersion> Body for T {
    fn header_version(version: i16) -> i16 {
        <T as HeaderVersion>::header_version(version)
    }

    fn decode_body(bytes: &mut Bytes, version: i16) -> Result<T, String> {
        T::decode(bytes, version).map_err(|error| error.to_string())
    }

    fn encode_body(&self, version: i16) -> Result<Vec<Bytes>, String> {
        let mut to = BytesMut::with_capacity(256);
        self.encode(&mut to, version).map_err(|error| error.to_string())?;
        Ok(vec![to.freeze()])
    }
}

impl Body for FetchReply {
    fn header_version(version: i16) -> i16 {
        <m::FetchResponse as HeaderVersion>::header_version(version)
    }

    fn decode_body(bytes: &mut Bytes, version: i16) -> Result<FetchReply, String> {
        let response = m::FetchResponse::decode(bytes, version).map_err(|error| error.to_string())?;
        fetch::from_wire(response).map_err(|error| error.to_string())
    }

    fn encode_body(&self, version: i16) -> Result<Vec<Bytes>, String> {
        Ok(fetch::encode(self, version))
    }
}

macro_rules! define_messages {
    ($($name:ident = $key:literal, $min:literal, $max:literal, $request:ident, $response:ident;)*) => {
        /// A request of a client.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "the names are Kafka's own")]
        pub enum Request { $($name($request),)* }

        impl Request {
            /// Its API.
            pub fn api(&self) -> ApiKey {
                match self { $(Request::$name(_) => ApiKey::$name,)* }
            }

            /// Reads the body of a request, header already taken off.
            fn decode(api: ApiKey, version: i16, bytes: &mut Bytes) -> Result<Request, String> {
                Ok(match api {
                    $(ApiKey::$name => Request::$name(<$request as Body>::decode_body(bytes, version)?),)*
                })
            }

            fn encode(&self, version: i16) -> Result<Vec<Bytes>, String> {
                match self { $(Request::$name(request) => request.encode_body(version),)* }
            }
        }

        /// An answer to a client.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "the names are Kafka's own")]
        pub enum Response { $($name($response),)* }

        impl Response {
            /// Its API.
            pub fn api(&self) -> ApiKey {
                match self { $(Response::$name(_) => ApiKey::$name,)* }
            }

            fn decode(api: ApiKey, version: i16, bytes: &mut Bytes) -> Result<Response, String> {
                Ok(match api {
                    $(ApiKey::$name => Response::$name(<$response as Body>::decode_body(bytes, version)?),)*
                })
            }

            fn encode(&self, version: i16) -> Result<Vec<Bytes>, String> {
                match self { $(Response::$name(response) => response.encode_body(version),)* }
            }
        }

        fn request_header_version(api: ApiKey, version: i16) -> i16 {
            match api { $(ApiKey::$name => <$request as Body>::header_version(version),)* }
        }

        fn response_header_version(api: ApiKey, version: i16) -> i16 {
            match api { $(ApiKey::$name => <$response as Body>::header_version(version),)* }
        }
    };
}
for_each_api!(define_messages);

/// Reads a request's frame (without its length).
///
/// # Errors
/// If it is none that is served; see [`DecodeError`] for what the connection has to do.
pub fn decode_request(mut frame: Bytes) -> Result<(RequestHeader, Request), DecodeError> {
    let (header, body_at) = read_request_header(&frame)?;
    frame.advance(body_at);
    let (api, version) = (header.api, header.version);
    let malformed = |reason: String| DecodeError::Malformed { what: api.name(), reason };
    match walk::check(&frame, schema::request(api), version, walk::REQUEST_ELEMENTS) {
        // Kafka takes no notice of what follows the last field, and librdkafka lives by that: it leaves three bytes when it asks for
        // the metadata of all topics.
        Ok(()) | Err(walk::WalkError::LeftOver(_)) => {}
        Err(error) => return Err(malformed(error.to_string())),
    }
    let request = Request::decode(api, version, &mut frame).map_err(malformed)?;
    Ok((header, request))
}

/// Reads a request's header, and says where its body begins.
///
/// # Errors
/// As [`decode_request`].
pub fn read_request_header(frame: &[u8]) -> Result<(RequestHeader, usize), DecodeError> {
    let malformed = |reason: &str| DecodeError::Malformed { what: "request header", reason: reason.to_owned() };
    let mut rest = frame;
    let cut = |_| malformed("cut short");
    let key = rest.try_get_i16().map_err(cut)?;
    let version = rest.try_get_i16().map_err(cut)?;
    let correlation_id = rest.try_get_i32().map_err(cut)?;
    let api = ApiKey::from_key(key).ok_or(DecodeError::UnknownApi(key))?;
    if !api.serves(version) {
        return Err(DecodeError::UnsupportedVersion { api, version, correlation_id });
    }
    let length = rest.try_get_i16().map_err(cut)?;
    let client_id = match usize::try_from(length) {
        Err(_) => None,
        Ok(length) => {
            let text = rest.split_off(..length).ok_or_else(|| malformed("the client id is cut short"))?;
            let text = std::str::from_utf8(text).map_err(|_| malformed("the client id is no UTF-8"))?;
            Some(text.to_owned())
        }
    };
    if request_header_version(api, version) >= 2 {
        skip_tagged_fields(&mut rest).ok_or_else(|| malformed("bad tagged fields"))?;
    }
    Ok((RequestHeader { api, version, correlation_id, client_id, client_host: None }, frame.len() - rest.len()))
}

fn skip_tagged_fields(rest: &mut &[u8]) -> Option<()> {
    let count = take_varint(rest)?;
    for _ in 0..count {
        take_varint(rest)?;
        let size = usize::try_from(take_varint(rest)?).ok()?;
        rest.split_off(..size)?;
    }
    Some(())
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = rest.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The frame of a response.
///
/// # Errors
/// If the response is another API's, or has a value its version cannot carry: a bug of the handler, which has to respect
/// the version. Kafka closes the connection then (`UnsupportedVersionException` of its generated writers).
pub fn encode_response(header: &RequestHeader, response: &Response) -> Result<EncodedFrame, EncodeError> {
    let refused = |reason| EncodeError { api: header.api, version: header.version, reason };
    if header.api != response.api() {
        return Err(refused(format!("it is one of {}", response.api().name())));
    }
    let mut head = BytesMut::with_capacity(5);
    head.put_i32(header.correlation_id);
    if response_header_version(header.api, header.version) >= 1 {
        head.put_u8(0);
    }
    let body = response.encode(header.version).map_err(refused)?;
    // `kafka-protocol` writes null where the version knows none. What Fetch says is written by us, and is large.
    if !matches!(response, Response::Fetch(_)) {
        let schema = schema::response(header.api);
        for piece in &body {
            let walked = walk::check(piece, schema, header.version, walk::RESPONSE_ELEMENTS);
            walked.map_err(|error| refused(error.to_string()))?;
        }
    }
    Ok(EncodedFrame::of(head, body))
}

/// The frame of a request, as our own clients send it.
///
/// # Errors
/// If the request has a value its version cannot carry.
pub fn encode_request(header: &RequestHeader, request: &Request) -> Result<EncodedFrame, DecodeError> {
    let malformed = |reason: String| DecodeError::Malformed { what: header.api.name(), reason };
    let mut head = BytesMut::with_capacity(32);
    head.put_i16(header.api.key());
    head.put_i16(header.version);
    head.put_i32(header.correlation_id);
    match &header.client_id {
        Some(id) => {
            head.put_i16(i16::try_from(id.len()).map_err(|_| malformed("the client id is too long".to_owned()))?);
            head.put_slice(id.as_bytes());
        }
        None => head.put_i16(-1),
    }
    if request_header_version(header.api, header.version) >= 2 {
        head.put_u8(0);
    }
    Ok(EncodedFrame::of(head, request.encode(header.version).map_err(malformed)?))
}

/// The correlation id of a response's frame (without its length).
pub fn response_correlation_id(frame: &Bytes) -> Option<i32> {
    frame.get(..4).map(|bytes| i32::from_be_bytes(bytes.try_into().expect("four bytes")))
}

/// Reads a response's frame (without its length), as our own clients do.
///
/// # Errors
/// If the bytes are no such response.
pub fn decode_response(api: ApiKey, version: i16, mut frame: Bytes) -> Result<(i32, Response), DecodeError> {
    let (correlation_id, body_at) = read_response_header(api, version, &frame)?;
    frame.advance(body_at);
    let malformed = |reason: String| DecodeError::Malformed { what: api.name(), reason };
    walk::check(&frame, schema::response(api), version, walk::RESPONSE_ELEMENTS)
        .map_err(|error| malformed(error.to_string()))?;
    Ok((correlation_id, Response::decode(api, version, &mut frame).map_err(malformed)?))
}

/// Reads a response's header: the correlation id, and where its body begins.
///
/// # Errors
/// If the bytes are no such header.
pub fn read_response_header(api: ApiKey, version: i16, frame: &[u8]) -> Result<(i32, usize), DecodeError> {
    let malformed = || DecodeError::Malformed { what: "response header", reason: "cut short".to_owned() };
    let mut rest = frame;
    let correlation_id = rest.try_get_i32().map_err(|_| malformed())?;
    if response_header_version(api, version) >= 1 {
        skip_tagged_fields(&mut rest).ok_or_else(malformed)?;
    }
    Ok((correlation_id, frame.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(api: ApiKey, version: i16) -> RequestHeader {
        RequestHeader { api, version, correlation_id: 7, client_id: Some("test".to_owned()), client_host: None }
    }

    #[test]
    fn a_request_and_its_response_round_trip() {
        for version in 0..=13 {
            let request = Request::Metadata(m::MetadataRequest::default());
            let frame = encode_request(&header(ApiKey::Metadata, version), &request).expect("encodes").to_bytes();
            let (read_header, read) = decode_request(frame.slice(4..)).expect("decodes");
            assert_eq!((read_header, read.api()), (header(ApiKey::Metadata, version), ApiKey::Metadata));
            let response = Response::Metadata(m::MetadataResponse::default());
            let frame = encode_response(&header(ApiKey::Metadata, version), &response).expect("encodes").to_bytes();
            assert_eq!(usize::try_from(i32::from_be_bytes(frame[..4].try_into().expect("4"))), Ok(frame.len() - 4));
            let (id, read) = decode_response(ApiKey::Metadata, version, frame.slice(4..)).expect("decodes");
            assert_eq!((id, read.api()), (7, ApiKey::Metadata));
        }
    }

    #[test]
    fn what_a_version_cannot_say_is_refused() {
        let response = Response::ElectLeaders(m::ElectLeadersResponse::default().with_error_code(7));
        assert!(encode_response(&header(ApiKey::ElectLeaders, 1), &response).is_ok());
        let refused = encode_response(&header(ApiKey::ElectLeaders, 0), &response).expect_err("no such field");
        assert_eq!((refused.api, refused.version), (ApiKey::ElectLeaders, 0));
        // Null where null is not known, and an answer to something else.
        let result = m::delete_topics_response::DeletableTopicResult::default().with_name(None);
        let response = Response::DeleteTopics(m::DeleteTopicsResponse::default().with_responses(vec![result]));
        assert!(encode_response(&header(ApiKey::DeleteTopics, 5), &response).is_err());
        assert!(encode_response(&header(ApiKey::DeleteTopics, 6), &response).is_ok());
        assert!(encode_response(&header(ApiKey::Metadata, 6), &response).is_err());
    }

    #[test]
    fn what_follows_the_last_field_is_ignored() {
        let mut frame = BytesMut::new();
        header_bytes(&mut frame, 3, 12);
        // No tagged fields, then what librdkafka sends for all topics: null, no, no, no tagged fields, three bytes more.
        frame.put_slice(&[0, 0, 0, 0, 0, 1, 0, 0]);
        let (_, request) = decode_request(frame.freeze()).expect("decodes");
        let asked = m::MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
        assert_eq!(request, Request::Metadata(asked));
    }

    fn header_bytes(bytes: &mut BytesMut, key: i16, version: i16) {
        bytes.put_i16(key);
        bytes.put_i16(version);
        bytes.put_i32(3);
        bytes.put_i16(-1);
    }

    #[test]
    fn what_is_not_served_is_said_so() {
        let frame = |key: i16, version: i16| {
            let mut bytes = BytesMut::new();
            header_bytes(&mut bytes, key, version);
            bytes.freeze()
        };
        assert_eq!(decode_request(frame(17, 0)), Err(DecodeError::UnknownApi(17)));
        let unsupported = DecodeError::UnsupportedVersion { api: ApiKey::ApiVersions, version: 9, correlation_id: 3 };
        assert_eq!(decode_request(frame(18, 9)), Err(unsupported));
        assert!(matches!(decode_request(frame(3, 9)), Err(DecodeError::Malformed { .. })));
    }
}

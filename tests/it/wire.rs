//! The wire against hostile and against ordinary bytes, over every API, version and direction.
//!
//! Messages are generated from the same tables that the walk uses, and read by `kafka-protocol`, whose own tables are
//! independent: where the two disagree about a field, a message that one takes is refused by the other, and the test
//! fails. Allocations are counted, so that a claimed length can be seen to have got no room.

use crate::support;
use bytes::{BufMut, Bytes, BytesMut};
use kafkarium::protocol::api::ApiKey;
use kafkarium::protocol::codec::{self, DecodeError, RequestHeader};
use kafkarium::protocol::records::{BatchBuilder, Compression};
use kafkarium::protocol::schema::{self, Field, Kind, Schema};
use kafkarium::protocol::{batch::Batch, records, tree};
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;

/// The system's allocator, counting for each thread what is held and what was held at most.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // A thread that is being torn down has no counters any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

// SAFETY: every call is handed on to the system's allocator unchanged; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size) - signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What this thread holds, in bytes, beyond what it gave back for others.
pub fn held() -> isize {
    HELD.with(Cell::get)
}

/// What `work` held at most, in bytes, beyond what was held before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    let result = work();
    (result, usize::try_from(PEAK.with(Cell::get) - before).unwrap_or(0))
}

/// Choices, as bytes: proptest shrinks them, and none left means zero, the smallest choice.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }
}

/// Writes one message of a schema that is right in every length.
struct Writer<'a, 'b> {
    out: BytesMut,
    choices: &'a mut Choices<'b>,
    version: i16,
    is_flexible: bool,
}

impl Writer<'_, '_> {
    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.out.put_u8(u8::try_from(value & 0x7F).expect("seven bits") | 0x80);
            value >>= 7;
        }
        self.out.put_u8(u8::try_from(value).expect("seven bits"));
    }

    fn length(&mut self, length: Option<usize>, is_short: bool) {
        let number = length.map_or(-1, |length| i32::try_from(length).expect("short"));
        match (self.is_flexible, is_short) {
            (true, _) => self.varint(length.map_or(0, |length| length + 1)),
            (false, true) => self.out.put_i16(i16::try_from(number).expect("short")),
            (false, false) => self.out.put_i32(number),
        }
    }

    fn structure(&mut self, fields: &'static [Field]) {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.is_in(version)) {
            self.value(field.kind, field.is_nullable(version));
        }
        if !self.is_flexible {
            return;
        }
        let mut tagged = Vec::new();
        for field in fields.iter().filter(|field| field.is_in(version)) {
            let Some(tag) = field.tag else { continue };
            if self.choices.below(3) > 0 {
                let whole = std::mem::take(&mut self.out);
                self.value(field.kind, field.is_nullable(version));
                tagged.push((tag, std::mem::replace(&mut self.out, whole)));
            }
        }
        if self.choices.below(5) == 4 {
            tagged.push((1000, BytesMut::from(&b"unknown"[..])));
        }
        tagged.sort();
        self.varint(tagged.len());
        for (tag, body) in tagged {
            self.varint(usize::try_from(tag).expect("small"));
            self.varint(body.len());
            self.out.put_slice(&body);
        }
    }

    fn value(&mut self, kind: Kind, is_nullable: bool) {
        let is_null = is_nullable && self.choices.below(4) == 3;
        if let Some(size) = kind.fixed_size() {
            for _ in 0..size {
                let byte = self.choices.byte();
                self.out.put_u8(if kind == Kind::Bool { byte & 1 } else { byte });
            }
            return;
        }
        match kind {
            Kind::Struct(fields) => {
                if is_nullable {
                    self.out.put_i8(if is_null { -1 } else { 1 });
                }
                if !is_null {
                    self.structure(fields);
                }
            }
            Kind::Array(element) => {
                let count = self.choices.below(4);
                self.length((!is_null).then_some(count), false);
                for _ in 0..if is_null { 0 } else { count } {
                    self.value(*element, false);
                }
            }
            _ if is_null => self.length(None, kind == Kind::String),
            Kind::Records => {
                let count = self.choices.below(3);
                let batch = BatchBuilder::new().value(5, b"a record").build().expect("a batch");
                let bytes: Vec<u8> = (0..count).flat_map(|_| batch.to_bytes()).collect();
                self.length(Some(bytes.len()), false);
                self.out.put_slice(&bytes);
            }
            _ => {
                let length = self.choices.below(9);
                self.length(Some(length), kind == Kind::String);
                for _ in 0..length {
                    let letter = b'a' + self.choices.byte() % 26;
                    self.out.put_u8(letter);
                }
            }
        }
    }
}

/// Every served message: API, version, and whether it is the request.
fn messages() -> impl Iterator<Item = (ApiKey, i16, bool)> {
    let versions = |api: ApiKey| (api.min_version()..=api.max_version()).map(move |version| (api, version));
    ApiKey::ALL
        .iter()
        .copied()
        .flat_map(versions)
        .flat_map(|(api, version)| [(api, version, true), (api, version, false)])
}

fn schema_of(api: ApiKey, is_request: bool) -> &'static Schema {
    if is_request { schema::request(api) } else { schema::response(api) }
}

/// The header of a message's frame, without the frame's length.
fn head(api: ApiKey, version: i16, is_request: bool) -> BytesMut {
    let mut frame = BytesMut::new();
    let is_flexible = version >= schema_of(api, is_request).flexible_from;
    if is_request {
        frame.put_i16(api.key());
        frame.put_i16(version);
        frame.put_i32(7);
        frame.put_i16(2);
        frame.put_slice(b"me");
    } else {
        frame.put_i32(7);
    }
    // The response to ApiVersions has no tagged fields in its header, so that any client can read it (KIP-511).
    if is_flexible && (is_request || api != ApiKey::ApiVersions) {
        frame.put_u8(0);
    }
    frame
}

fn write(api: ApiKey, version: i16, is_request: bool, entropy: &[u8]) -> Bytes {
    let schema = schema_of(api, is_request);
    let mut choices = Choices(entropy);
    let mut writer = Writer {
        out: head(api, version, is_request),
        choices: &mut choices,
        version,
        is_flexible: version >= schema.flexible_from,
    };
    writer.structure(schema.fields);
    writer.out.freeze()
}

/// Decodes a frame, encodes what it was, decodes that: both have to be the same.
fn round_trip(api: ApiKey, version: i16, is_request: bool, frame: Bytes) -> Result<(), DecodeError> {
    let header = RequestHeader { api, version, correlation_id: 7, client_id: Some("me".to_owned()), client_host: None };
    if is_request {
        let (read_header, read) = codec::decode_request(frame)?;
        assert_eq!(read_header, header);
        let again = codec::encode_request(&header, &read)?.to_bytes();
        assert_eq!(codec::decode_request(again.slice(4..))?, (header, read));
    } else {
        let (id, read) = codec::decode_response(api, version, frame)?;
        let again = codec::encode_response(&header, &read).expect("what was decoded can be encoded").to_bytes();
        assert_eq!(codec::decode_response(api, version, again.slice(4..))?, (id, read));
    }
    Ok(())
}

/// Decodes what may be anything: no panic, and no more memory than a bounded multiple of the frame.
fn decode_hostile(api: ApiKey, version: i16, is_request: bool, frame: Bytes) {
    let size = frame.len();
    let (_, peak) = peak_of(|| {
        if is_request {
            codec::decode_request(frame).is_ok()
        } else {
            codec::decode_response(api, version, frame).is_ok()
        }
    });
    // Two bytes on the wire may be a structure of some 200 in memory; an error has a text.
    let most = 16 * 1024 + 256 * size;
    assert!(peak <= most, "{} {version}: {peak} bytes held for a frame of {size}", api.name());
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn the_walk_and_the_crate_agree_on_every_message(entropy in prop::collection::vec(any::<u8>(), 0..400)) {
        for (api, version, is_request) in messages() {
            let frame = write(api, version, is_request, &entropy);
            let result = round_trip(api, version, is_request, frame.clone());
            prop_assert!(result.is_ok(), "{} {version}, request {is_request}: {result:?}", api.name());
            let tree = match is_request {
                true => tree::of_request(&frame, 10_000),
                false => tree::of_response(api, version, &frame, 10_000),
            };
            let tree = tree.expect("a header");
            prop_assert_eq!((tree.error, tree.left_out), (None, 0));
            prop_assert!(tree.nodes.iter().all(|node| node.range.end <= frame.len()));
        }
    }

    #[test]
    fn a_frame_that_is_cut_short_is_refused(entropy in prop::collection::vec(any::<u8>(), 0..200), at in 0.0..1.0_f64) {
        for (api, version, is_request) in messages() {
            let frame = write(api, version, is_request, &entropy);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let cut = (at * frame.len() as f64) as usize;
            decode_hostile(api, version, is_request, frame.slice(..cut));
            let result = round_trip(api, version, is_request, frame.slice(..cut));
            prop_assert!(result.is_err(), "{} {version} cut at {cut} of {}", api.name(), frame.len());
        }
    }

    #[test]
    fn damage_neither_panics_nor_allocates(
        entropy in prop::collection::vec(any::<u8>(), 0..200),
        place in any::<prop::sample::Index>(),
        damage in prop_oneof![
            Just(vec![0x7F, 0xFF, 0xFF, 0xFF]),
            Just(vec![0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
            Just(vec![0xFF, 0xFF, 0xFF, 0x7F]),
            Just(vec![0x80, 0x00]),
            prop::collection::vec(any::<u8>(), 1..4),
        ],
    ) {
        for (api, version, is_request) in messages() {
            let mut frame = BytesMut::from(write(api, version, is_request, &entropy));
            // The header's key and version stay, so that it is this message that is damaged.
            let from = head(api, version, is_request).len();
            if frame.len() == from {
                continue;
            }
            let at = from + place.index(frame.len() - from);
            for (byte, with) in frame[at..].iter_mut().zip(&damage) {
                *byte = *with;
            }
            decode_hostile(api, version, is_request, frame.freeze());
        }
    }

    #[test]
    fn a_response_of_one_version_is_encoded_or_refused_in_every_other(
        entropy in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let responses = messages().filter(|(.., is_request)| !is_request);
        for (api, from, _) in responses {
            let frame = write(api, from, false, &entropy);
            let (_, response) = codec::decode_response(api, from, frame).expect("rightly written");
            for version in api.min_version()..=api.max_version() {
                let header = RequestHeader { api, version, correlation_id: 7, client_id: None, client_host: None };
                // It may hold what the version has no field for: then there are no bytes, and no half-said ones either.
                let Ok(frame) = codec::encode_response(&header, &response) else { continue };
                let read = codec::decode_response(api, version, frame.to_bytes().slice(4..));
                prop_assert!(read.is_ok(), "{} {from} as {version}: {read:?}", api.name());
            }
        }
    }

    #[test]
    fn noise_neither_panics_nor_allocates(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        for (api, version, is_request) in messages() {
            let mut frame = head(api, version, is_request);
            frame.put_slice(&noise);
            decode_hostile(api, version, is_request, frame.freeze());
        }
        let _ = codec::decode_request(Bytes::from(noise));
    }

    #[test]
    fn noise_is_no_batch_and_no_record(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        codec in 0_i16..8,
        flipped in any::<prop::sample::Index>(),
    ) {
        let _ = Batch::parse_all(&Bytes::from(noise.clone()));
        let good = BatchBuilder::new().value(1, b"one").value(2, b"two").build().expect("a batch");
        let mut header = good.header;
        header.attributes = codec;
        let (_, peak) = peak_of(|| records::decode(&Batch::seal(header, Bytes::from(noise))).is_ok());
        // The codecs' own state is what there is to hold: a few hundred kilobytes, but for zstd, whose frame names its
        // window.
        prop_assert!(peak <= if codec == 4 { 160 << 20 } else { 4 << 20 }, "{peak} bytes held for codec {codec}");
        for compression in Compression::ALL {
            let mut builder = BatchBuilder::new().compression(compression);
            builder.push(1, Some(b"key"), Some(&[9; 200]), &[]);
            let good = builder.build().expect("a batch");
            let mut body = good.body().to_vec();
            let at = flipped.index(body.len());
            body[at] ^= 0x10;
            let _ = records::decode(&Batch::seal(good.header, Bytes::from(body)));
        }
    }
}

/// The bytes that make `kafka-protocol` abort the process when it sees them unwalked.
#[test]
fn a_claim_of_two_thousand_million_topics_is_refused() {
    let mut frame = head(ApiKey::Metadata, 0, true);
    frame.put_i32(i32::MAX);
    let (result, peak) = peak_of(|| codec::decode_request(frame.freeze()));
    assert!(matches!(result, Err(DecodeError::Malformed { what: "Metadata", .. })), "{result:?}");
    assert!(peak < 4096, "{peak} bytes held");
}

/// A frame within every limit of size, all of it elements.
#[test]
fn a_request_of_nothing_but_elements_is_refused() {
    let mut frame = head(ApiKey::Metadata, 0, true);
    let count = 1_000_000;
    frame.put_i32(count);
    frame.put_bytes(0, usize::try_from(count).expect("fits") * 2);
    let (result, peak) = peak_of(|| codec::decode_request(frame.freeze()));
    assert!(matches!(result, Err(DecodeError::Malformed { what: "Metadata", .. })), "{result:?}");
    assert!(peak < 4096, "{peak} bytes held");
}

/// What a request is filled with: one element in every array, the same number everywhere.
struct Filling {
    number: i8,
    is_null: bool,
    out: BytesMut,
    version: i16,
    is_flexible: bool,
}

impl Filling {
    fn request(api: ApiKey, version: i16, number: i8, is_null: bool) -> Bytes {
        let schema = schema::request(api);
        let is_flexible = version >= schema.flexible_from;
        let mut filling = Filling { number, is_null, out: head(api, version, true), version, is_flexible };
        filling.structure(schema.fields);
        filling.out.freeze()
    }

    fn length(&mut self, length: i8, is_short: bool) {
        match (self.is_flexible, is_short) {
            (true, _) => self.out.put_i8(length + 1),
            (false, true) => self.out.put_i16(length.into()),
            (false, false) => self.out.put_i32(length.into()),
        }
    }

    fn structure(&mut self, fields: &'static [Field]) {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.is_in(version)) {
            let is_nullable = field.is_nullable(version);
            if is_nullable && !self.is_null && matches!(field.kind, Kind::Struct(_)) {
                self.out.put_i8(1);
            }
            self.value(field.name, field.kind, self.is_null && is_nullable);
        }
        if self.is_flexible {
            self.out.put_u8(0);
        }
    }

    fn value(&mut self, name: &str, kind: Kind, is_null: bool) {
        match kind {
            Kind::Struct(_) if is_null => self.out.put_i8(-1),
            Kind::Struct(fields) => self.structure(fields),
            Kind::Array(_) if is_null => self.length(-1, false),
            Kind::Array(element) => {
                self.length(1, false);
                self.value(name, *element, false);
            }
            _ if is_null => self.length(-1, kind == Kind::String),
            Kind::Records | Kind::Bytes => self.length(0, false),
            Kind::String => {
                self.length(6, true);
                self.out.put_slice(b"orders");
            }
            Kind::Bool => self.out.put_u8(1),
            // Acks 0 would have no answer.
            Kind::Int16 if name == "Acks" => self.out.put_i16(-1),
            kind => {
                let size = kind.fixed_size().expect("a number");
                let sign = if self.number < 0 { 0xFF } else { 0 };
                self.out.put_bytes(sign, size - 1);
                self.out.put_i8(self.number);
            }
        }
    }
}

/// Sends a request on a connection of its own and reads what is said to it.
fn ask(port: u16, api: ApiKey, version: i16, frame: &[u8]) -> Result<(), String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(support::PATIENCE)).expect("a socket");
    stream.write_all(&u32::try_from(frame.len()).expect("short").to_be_bytes()).expect("sent");
    stream.write_all(frame).expect("sent");
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(|error| format!("no answer: {error}"))?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).map_err(|error| format!("half an answer: {error}"))?;
    let read = codec::decode_response(api, version, Bytes::from(answer));
    read.map(drop).map_err(|error| error.to_string())
}

/// Whatever a well-formed request asks for, its answer can be said in its version: every API, every version, by whichever broker.
#[test]
fn a_live_broker_answers_every_api_in_every_version() {
    let server = support::Server::start(&[]);
    server.ctl("topic create orders --partitions 6");
    let mut wrong = Vec::new();
    for (api, version, _) in messages().filter(|(.., is_request)| *is_request) {
        for (number, is_null) in [(0, false), (5, false), (1, true), (-1, true)] {
            // Broker 1 is not to be unregistered: it is the one that is asked.
            let number = if api == ApiKey::UnregisterBroker { 7 } else { number };
            let frame = Filling::request(api, version, number, is_null);
            codec::decode_request(frame.clone()).expect("well-formed");
            if let Err(reason) = ask(server.port(1 + u16::from(is_null)), api, version, &frame) {
                wrong.push(format!("{} {version} filled with {number}, null {is_null}: {reason}", api.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

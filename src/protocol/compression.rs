//! The four codecs of record batches. Packing is `kafka-protocol`'s; unpacking is ours, because it has to be bounded: a
//! kilobyte of gzip or zstd can claim a gigabyte, and what comes from a socket is hostile.
//!
//! Invariant: unpacking holds [`UNPACKED_LIMIT_BYTES`] of output at most, and never makes room for a claimed size
//! before it is checked.

use crate::protocol::records::RecordError;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::compression::{Compressor, Gzip, Lz4, Snappy, Zstd};
use std::io::Read;

/// The most that one batch may unpack to, in bytes. Kafka's own bound is the heap; a batch is 1 MiB by default
/// (`message.max.bytes`).
pub const UNPACKED_LIMIT_BYTES: usize = 128 * 1024 * 1024;
/// The largest window of zstd, as a power of two: 128 MiB, what its own tools take without being told otherwise.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// How xerial's snappy begins, what Kafka's Java client writes; then a version and the lowest version that can read it,
/// four bytes each.
const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\x00";
const XERIAL_HEADER_SIZE: usize = 16;

/// How a batch's records are compressed (bits 0 to 2 of the attributes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are the codecs' own")]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    /// Every codec, in order of number.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The codec of a number; `None` if there is no such codec.
    pub fn from_number(number: i16) -> Option<Compression> {
        Compression::ALL.into_iter().find(|codec| codec.number() == number)
    }

    /// Its number in the attributes.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// Packs bytes.
    ///
    /// # Errors
    /// If the codec refuses.
    pub fn compress(self, plain: Bytes) -> Result<Bytes, RecordError> {
        let mut packed = BytesMut::new();
        let put = |to: &mut BytesMut| {
            to.put_slice(&plain);
            Ok(())
        };
        match self {
            Compression::None => return Ok(plain),
            Compression::Gzip => Gzip::compress(&mut packed, put),
            Compression::Snappy => Snappy::compress(&mut packed, put),
            Compression::Lz4 => Lz4::compress(&mut packed, put),
            Compression::Zstd => Zstd::compress(&mut packed, put),
        }
        .map_err(|error| RecordError::Compression(error.to_string()))?;
        Ok(packed.freeze())
    }

    /// Unpacks bytes, to [`UNPACKED_LIMIT_BYTES`] at most. Without compression they are shared.
    ///
    /// # Errors
    /// If they are no such stream, or unpack to more.
    pub fn decompress(self, packed: &Bytes) -> Result<Bytes, RecordError> {
        self.decompress_up_to(packed, UNPACKED_LIMIT_BYTES)
    }

    fn decompress_up_to(self, packed: &Bytes, limit: usize) -> Result<Bytes, RecordError> {
        let bad = |error: std::io::Error| RecordError::Compression(error.to_string());
        match self {
            Compression::None => Ok(packed.clone()),
            Compression::Gzip => read_up_to(flate2::read::MultiGzDecoder::new(&packed[..]), limit),
            Compression::Snappy => unpack_snappy(packed, limit),
            Compression::Lz4 => {
                let mut decoder = lz4::Decoder::new(&packed[..]).map_err(bad)?;
                let plain = read_up_to(&mut decoder, limit)?;
                // The end of the input is an end for the decoder; only here does it say that the frame's own end was
                // missing.
                decoder.finish().1.map_err(bad)?;
                Ok(plain)
            }
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&packed[..]).map_err(bad)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(bad)?;
                read_up_to(decoder, limit)
            }
        }
    }
}

fn read_up_to(from: impl Read, limit: usize) -> Result<Bytes, RecordError> {
    let mut plain = Vec::new();
    let most = u64::try_from(limit).expect("a limit fits 64 bits") + 1;
    from.take(most).read_to_end(&mut plain).map_err(|error| RecordError::Compression(error.to_string()))?;
    match plain.len() <= limit {
        true => Ok(Bytes::from(plain)),
        false => Err(RecordError::TooLarge(limit)),
    }
}

/// Xerial's framing: a header, then blocks, each after its length. Without the header it is one bare block, which
/// librdkafka and others write.
fn unpack_snappy(packed: &[u8], limit: usize) -> Result<Bytes, RecordError> {
    let mut plain = Vec::new();
    if !packed.starts_with(XERIAL_MAGIC) {
        unpack_snappy_block(packed, &mut plain, limit)?;
        return Ok(Bytes::from(plain));
    }
    let mut rest = packed.get(XERIAL_HEADER_SIZE..).ok_or(RecordError::Malformed)?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or(RecordError::Malformed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| RecordError::Malformed)?;
        let (block, after) = after.split_at_checked(length).ok_or(RecordError::Malformed)?;
        unpack_snappy_block(block, &mut plain, limit)?;
        rest = after;
    }
    Ok(Bytes::from(plain))
}

fn unpack_snappy_block(block: &[u8], plain: &mut Vec<u8>, limit: usize) -> Result<(), RecordError> {
    let bad = |error: snap::Error| RecordError::Compression(error.to_string());
    let claimed = snap::raw::decompress_len(block).map_err(bad)?;
    if claimed > limit - plain.len() {
        return Err(RecordError::TooLarge(limit));
    }
    // No element of the format makes more than 64 bytes out of two: what claims more is a lie, and gets no room.
    if claimed > block.len().saturating_mul(32) {
        return Err(RecordError::Malformed);
    }
    let start = plain.len();
    plain.resize(start + claimed, 0);
    snap::raw::Decoder::new().decompress(block, &mut plain[start..]).map_err(bad)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_round_trips_up_to_the_limit_and_not_beyond() {
        // More than one block of snappy; runs, so that every codec packs it well.
        let plain = Bytes::from((0..100_000_u32).map(|at| (at / 1000).to_be_bytes()[3]).collect::<Vec<_>>());
        for codec in Compression::ALL {
            let packed = codec.compress(plain.clone()).expect("packs");
            assert_eq!(codec.decompress_up_to(&packed, plain.len()), Ok(plain.clone()), "{codec:?}");
            if codec != Compression::None {
                assert!(packed.len() < plain.len() / 10);
                let refused = codec.decompress_up_to(&packed, plain.len() - 1);
                assert_eq!(refused, Err(RecordError::TooLarge(plain.len() - 1)), "{codec:?}");
            }
            assert_eq!(Compression::from_number(codec.number()), Some(codec));
        }
        assert_eq!(Compression::from_number(5), None);
    }

    #[test]
    fn damaged_streams_are_refused() {
        let plain = Bytes::from_static(b"what was said once was said once, and what was said twice was said twice");
        for codec in &Compression::ALL[1..] {
            let packed = codec.compress(plain.clone()).expect("packs");
            for cut in 0..packed.len() {
                let unpacked = codec.decompress(&packed.slice(..cut));
                assert_ne!(unpacked, Ok(plain.clone()), "{codec:?} cut at {cut}");
            }
            assert!(codec.decompress(&Bytes::from_static(b"not what it says it is")).is_err(), "{codec:?}");
        }
    }

    #[test]
    fn a_bare_snappy_block_is_read_and_a_lying_one_gets_no_room() {
        let packed = snap::raw::Encoder::new().compress_vec(b"plain").expect("packs");
        assert_eq!(Compression::Snappy.decompress(&Bytes::from(packed)), Ok(Bytes::from_static(b"plain")));
        // It claims 126 MiB in four bytes and holds one.
        let lie = Bytes::from_static(&[0x80, 0x80, 0x80, 0x3F, 0x00, b'x']);
        assert_eq!(Compression::Snappy.decompress(&lie), Err(RecordError::Malformed));
        let huge = Bytes::from_static(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0x00, b'x']);
        assert_eq!(Compression::Snappy.decompress(&huge), Err(RecordError::TooLarge(UNPACKED_LIMIT_BYTES)));
    }
}

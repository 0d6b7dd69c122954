//! The records inside a batch: built for the metadata log, our own clients and tests, and read for the same. Never used
//! on the produce and fetch path of a broker.
//!
//! The crate's own encoder is not used: it begins a new batch wherever offset and sequence drift apart.

use crate::protocol::batch::{Batch, BatchHeader};
use bytes::{Buf, BufMut, Bytes, BytesMut};

mod filter;

pub use crate::protocol::compression::Compression;
pub use filter::{Filtered, filter};

/// Why a batch's body cannot be read or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A codec that does not exist.
    #[error("compression codec {0} does not exist")]
    UnknownCompression(i16),
    /// The codec refused.
    #[error("compression: {0}")]
    Compression(String),
    /// It unpacks to more than this many bytes.
    #[error("the batch unpacks to more than {0} bytes")]
    TooLarge(usize),
    /// The bytes end within a record, or a length is impossible.
    #[error("a record is cut short or has an impossible length")]
    Malformed,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Makes a batch of records.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    header: BatchHeader,
    compression: Compression,
    records: BytesMut,
}

impl Default for BatchBuilder {
    fn default() -> BatchBuilder {
        BatchBuilder::new()
    }
}

impl BatchBuilder {
    /// An empty batch at offset 0, without a producer.
    pub fn new() -> BatchBuilder {
        let header = BatchHeader {
            base_offset: 0,
            length: 0,
            leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: -1,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        };
        BatchBuilder { header, compression: Compression::None, records: BytesMut::new() }
    }

    /// The offset of the first record.
    pub fn base_offset(mut self, offset: i64) -> BatchBuilder {
        self.header.base_offset = offset;
        self
    }

    /// The leader epoch.
    pub fn leader_epoch(mut self, epoch: i32) -> BatchBuilder {
        self.header.leader_epoch = epoch;
        self
    }

    /// An idempotent producer, and the sequence number of the first record.
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> BatchBuilder {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// The codec.
    pub fn compression(mut self, compression: Compression) -> BatchBuilder {
        self.compression = compression;
        self.header.attributes = (self.header.attributes & !0x07) | compression.number();
        self
    }

    /// Marks it as part of a transaction.
    pub fn transactional(mut self) -> BatchBuilder {
        self.header.attributes |= 0x10;
        self
    }

    /// Marks it as a batch of control records.
    pub fn control(mut self) -> BatchBuilder {
        self.header.attributes |= 0x20;
        self
    }

    /// Adds a record; its offset follows from its place.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(String, Option<Bytes>)],
    ) {
        if self.header.record_count == 0 {
            self.header.base_timestamp = timestamp;
        }
        self.header.max_timestamp = self.header.max_timestamp.max(timestamp);
        self.header.record_count += 1;
        self.header.last_offset_delta += 1;
        let mut record = BytesMut::with_capacity(16 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len));
        record.put_u8(0);
        put_varint(&mut record, timestamp.wrapping_sub(self.header.base_timestamp));
        put_varint(&mut record, i64::from(self.header.last_offset_delta));
        put_nullable(&mut record, key);
        put_nullable(&mut record, value);
        put_length(&mut record, headers.len());
        for (name, value) in headers {
            put_length(&mut record, name.len());
            record.put_slice(name.as_bytes());
            put_nullable(&mut record, value.as_deref());
        }
        put_length(&mut self.records, record.len());
        self.records.put_slice(&record);
    }

    /// Adds a record with a value alone.
    pub fn value(mut self, timestamp: i64, value: &[u8]) -> BatchBuilder {
        self.push(timestamp, None, Some(value), &[]);
        self
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.header.record_count).expect("a count")
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// The size of the records so far, before compression, in bytes.
    pub fn size(&self) -> usize {
        self.records.len()
    }

    /// The batch.
    ///
    /// # Errors
    /// If the codec refuses.
    ///
    /// # Panics
    /// If there is no record.
    pub fn build(self) -> Result<Batch, RecordError> {
        assert!(!self.is_empty(), "a batch holds at least one record");
        Ok(Batch::seal(self.header, self.compression.compress(self.records.freeze())?))
    }
}

/// The records of a batch, with absolute offsets and times.
///
/// # Errors
/// If the body is not what the header says.
pub fn decode(batch: &Batch) -> Result<Vec<Record>, RecordError> {
    iterate(batch)?.collect()
}

/// The records of a batch one after another, for who does not need them all at once.
///
/// # Errors
/// If the body cannot be unpacked.
pub fn iterate(batch: &Batch) -> Result<Records, RecordError> {
    let codec = batch.header.compression();
    let compression = Compression::from_number(codec).ok_or(RecordError::UnknownCompression(codec))?;
    Ok(Records {
        header: batch.header,
        left: batch.header.record_count.max(0),
        bytes: compression.decompress(batch.body())?,
    })
}

/// What [`iterate`] yields: ends after the first error.
#[derive(Debug, Clone)]
pub struct Records {
    header: BatchHeader,
    left: i32,
    bytes: Bytes,
}

impl Iterator for Records {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let record = take_nullable(&mut self.bytes)
            .and_then(|bytes| bytes.ok_or(RecordError::Malformed))
            .and_then(|bytes| decode_record(&self.header, bytes));
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

fn decode_record(header: &BatchHeader, mut bytes: Bytes) -> Result<Record, RecordError> {
    bytes.try_get_u8().map_err(|_| RecordError::Malformed)?;
    let timestamp_delta = take_varint(&mut bytes)?;
    let offset_delta = take_varint(&mut bytes)?;
    let key = take_nullable(&mut bytes)?;
    let value = take_nullable(&mut bytes)?;
    let count = take_length(&mut bytes)?.ok_or(RecordError::Malformed)?;
    // Room grows with what is there: a count is only a claim.
    let mut headers = Vec::with_capacity(count.min(8));
    for _ in 0..count {
        let name = take_nullable(&mut bytes)?.ok_or(RecordError::Malformed)?;
        headers.push((String::from_utf8_lossy(&name).into_owned(), take_nullable(&mut bytes)?));
    }
    let timestamp = match header.is_log_append_time() {
        true => header.max_timestamp,
        false => header.base_timestamp.wrapping_add(timestamp_delta),
    };
    Ok(Record { offset: header.base_offset.wrapping_add(offset_delta), timestamp, key, value, headers })
}

fn put_varint(to: &mut BytesMut, value: i64) {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    while rest >= 0x80 {
        to.put_u8(u8::try_from(rest & 0x7F).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    to.put_u8(u8::try_from(rest).expect("seven bits"));
}

fn put_length(to: &mut BytesMut, length: usize) {
    put_varint(to, i64::try_from(length).expect("a length fits 63 bits"));
}

fn put_nullable(to: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_length(to, bytes.len());
            to.put_slice(bytes);
        }
        None => put_varint(to, -1),
    }
}

fn take_varint(from: &mut Bytes) -> Result<i64, RecordError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = from.try_get_u8().map_err(|_| RecordError::Malformed)?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    Err(RecordError::Malformed)
}

/// A length; `None` for −1.
fn take_length(from: &mut Bytes) -> Result<Option<usize>, RecordError> {
    match take_varint(from)? {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| RecordError::Malformed),
    }
}

fn take_nullable(from: &mut Bytes) -> Result<Option<Bytes>, RecordError> {
    let Some(length) = take_length(from)? else { return Ok(None) };
    if from.len() < length {
        return Err(RecordError::Malformed);
    }
    Ok(Some(from.split_to(length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::records::RecordBatchDecoder;

    fn built(compression: Compression) -> Batch {
        let mut builder =
            BatchBuilder::new().base_offset(10).leader_epoch(3).producer(5, 0, 2).compression(compression);
        builder.push(1_000, Some(b"k"), Some(b"v"), &[("h".to_owned(), Some(Bytes::from_static(b"x")))]);
        builder.push(999, None, None, &[("n".to_owned(), None)]);
        builder.push(1_500, Some(b""), Some(&[7; 300]), &[]);
        builder.build().expect("a batch")
    }

    #[test]
    fn every_codec_round_trips_and_the_crate_reads_the_same() {
        for compression in
            [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
        {
            let batch = built(compression);
            assert!(batch.crc_is_valid());
            let ours = decode(&batch).expect("records");
            assert_eq!(ours.iter().map(|record| record.offset).collect::<Vec<_>>(), [10, 11, 12]);
            assert_eq!(ours.iter().map(|record| record.timestamp).collect::<Vec<_>>(), [1_000, 999, 1_500]);
            let theirs = RecordBatchDecoder::decode(&mut batch.to_bytes()).expect("the crate reads it").records;
            assert_eq!(theirs.len(), 3);
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!((ours.offset, ours.timestamp), (theirs.offset, theirs.timestamp));
                assert_eq!((&ours.key, &ours.value), (&theirs.key, &theirs.value));
                assert_eq!(ours.headers.len(), theirs.headers.len());
            }
            assert_eq!(batch.header.last_sequence(), 4);
        }
    }

    #[test]
    fn hostile_bodies_are_refused() {
        let batch = built(Compression::None);
        for cut in 0..batch.body().len() {
            let body = batch.body().slice(..cut);
            assert!(decode(&Batch::seal(batch.header, body)).is_err(), "cut at {cut}");
        }
        let mut header = batch.header;
        header.record_count = i32::MAX;
        assert_eq!(decode(&Batch::seal(header, batch.body().clone())), Err(RecordError::Malformed));
        header.attributes = 6;
        assert_eq!(decode(&Batch::seal(header, batch.body().clone())), Err(RecordError::UnknownCompression(6)));
    }
}

//! Record batches (magic 2) as they are stored and sent: a 61-byte header that we read and stamp ourselves, and a body
//! that is never looked into on the produce and fetch path.
//!
//! A [`Batch`] is two shared pieces, head and body. Base offset and leader epoch lie outside the CRC, so that a leader
//! stamps a new head and keeps the body by reference. Decoding of records is in `records.rs`.

use crate::protocol::error::ErrorCode;
use bytes::{BufMut, Bytes, BytesMut};

/// The size of the header, in bytes.
pub const HEADER_SIZE: usize = 61;
/// Base offset and length: what comes before the part that `length` counts.
const LENGTH_OVERHEAD: usize = 12;
/// Where the part begins that the CRC covers.
const CRC_COVERS_FROM: usize = 21;
const TIMESTAMP_TYPE_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

/// Why bytes are no record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than a header, or than the header's length says.
    #[error("the batch is cut short")]
    Truncated,
    /// A length that no batch can have.
    #[error("the batch has an impossible length")]
    BadLength,
    /// Magic 0 or 1, which Kafka 4 does not take any more.
    #[error("message format {0} is not supported")]
    UnsupportedMagic(i8),
    /// A count or delta below zero.
    #[error("the batch has an impossible record count")]
    BadCount,
}

impl BatchError {
    /// The code a client gets.
    pub fn code(self) -> ErrorCode {
        match self {
            BatchError::Truncated | BatchError::BadLength | BatchError::BadCount => ErrorCode::CorruptMessage,
            BatchError::UnsupportedMagic(_) => ErrorCode::UnsupportedForMessageFormat,
        }
    }
}

/// The header's fields, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record.
    pub base_offset: i64,
    /// The size of the batch after this field, in bytes.
    pub length: i32,
    /// The epoch of the leader that appended it.
    pub leader_epoch: i32,
    /// The format: always 2.
    pub magic: i8,
    /// CRC-32C of everything after it.
    pub crc: u32,
    /// Compression (bits 0 to 2), timestamp type (3), transactional (4), control (5), delete horizon (6).
    pub attributes: i16,
    /// The last record's offset, relative to the base offset.
    pub last_offset_delta: i32,
    /// The first record's timestamp, in milliseconds; with the delete horizon's bit that horizon, and the records' times
    /// count from it (KIP-534).
    pub base_timestamp: i64,
    /// The largest timestamp, in milliseconds.
    pub max_timestamp: i64,
    /// The idempotent producer, or −1.
    pub producer_id: i64,
    /// Its epoch, or −1.
    pub producer_epoch: i16,
    /// The sequence number of the first record, or −1.
    pub base_sequence: i32,
    /// How many records there are.
    pub record_count: i32,
}

impl BatchHeader {
    /// The fields as they stand in a header's bytes, unchecked.
    pub fn parse(head: &[u8; HEADER_SIZE]) -> BatchHeader {
        fn at<const N: usize>(head: &[u8; HEADER_SIZE], from: usize) -> [u8; N] {
            head[from..from + N].try_into().expect("a field within the header")
        }
        BatchHeader {
            base_offset: i64::from_be_bytes(at(head, 0)),
            length: i32::from_be_bytes(at(head, 8)),
            leader_epoch: i32::from_be_bytes(at(head, 12)),
            magic: i8::from_be_bytes(at(head, 16)),
            crc: u32::from_be_bytes(at(head, 17)),
            attributes: i16::from_be_bytes(at(head, 21)),
            last_offset_delta: i32::from_be_bytes(at(head, 23)),
            base_timestamp: i64::from_be_bytes(at(head, 27)),
            max_timestamp: i64::from_be_bytes(at(head, 35)),
            producer_id: i64::from_be_bytes(at(head, 43)),
            producer_epoch: i16::from_be_bytes(at(head, 51)),
            base_sequence: i32::from_be_bytes(at(head, 53)),
            record_count: i32::from_be_bytes(at(head, 57)),
        }
    }

    fn encode(&self) -> Bytes {
        let mut head = BytesMut::with_capacity(HEADER_SIZE);
        head.put_i64(self.base_offset);
        head.put_i32(self.length);
        head.put_i32(self.leader_epoch);
        head.put_i8(self.magic);
        head.put_u32(self.crc);
        head.put_i16(self.attributes);
        head.put_i32(self.last_offset_delta);
        head.put_i64(self.base_timestamp);
        head.put_i64(self.max_timestamp);
        head.put_i64(self.producer_id);
        head.put_i16(self.producer_epoch);
        head.put_i32(self.base_sequence);
        head.put_i32(self.record_count);
        head.freeze()
    }

    fn check(&self) -> Result<(), BatchError> {
        if self.magic != 2 {
            return Err(BatchError::UnsupportedMagic(self.magic));
        }
        if self.size() < HEADER_SIZE {
            return Err(BatchError::BadLength);
        }
        if self.last_offset_delta < 0 || self.record_count < 0 {
            return Err(BatchError::BadCount);
        }
        // A base offset this large cannot be followed by anything.
        if self.base_offset < 0 || self.base_offset.checked_add(i64::from(self.last_offset_delta) + 1).is_none() {
            return Err(BatchError::BadCount);
        }
        Ok(())
    }

    /// The whole batch's size, in bytes.
    pub fn size(&self) -> usize {
        usize::try_from(self.length).unwrap_or(0).saturating_add(LENGTH_OVERHEAD)
    }

    /// The offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// The offset after the last record.
    pub fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// The compression codec's number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; others do not exist.
    pub fn compression(&self) -> i16 {
        self.attributes & 0x07
    }

    /// Whether the batch is stamped with the leader's time of append.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & TIMESTAMP_TYPE_BIT != 0
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether it holds control records (transaction markers, leader changes).
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// When the tombstones in it may go, in milliseconds, if compaction has decided that (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// The same, with the base timestamp as its delete horizon.
    pub(crate) fn with_delete_horizon(mut self) -> BatchHeader {
        self.attributes |= DELETE_HORIZON_BIT;
        self
    }

    /// Whether its producer is idempotent.
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// The sequence number of the last record, which wraps from the largest number to zero; −1 without a producer.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        i32::try_from(last % (i64::from(i32::MAX) + 1)).expect("a remainder of 2^31")
    }
}

/// One batch: header, and both pieces of its bytes. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The header, decoded.
    pub header: BatchHeader,
    head: Bytes,
    body: Bytes,
}

impl Batch {
    /// The batch that begins at a position.
    ///
    /// # Errors
    /// If there is none: cut short, another format, impossible lengths.
    pub fn parse(bytes: &Bytes, at: usize) -> Result<Batch, BatchError> {
        let rest = bytes.get(at..).ok_or(BatchError::Truncated)?;
        if rest.len() < HEADER_SIZE {
            // The magic is where the older formats have it too: say what it is rather than that it is short.
            if let Some(&magic) = rest.get(16)
                && magic != 2
            {
                return Err(BatchError::UnsupportedMagic(i8::from_be_bytes([magic])));
            }
            return Err(BatchError::Truncated);
        }
        let head: &[u8; HEADER_SIZE] = rest[..HEADER_SIZE].try_into().expect("as long as a header");
        let header = BatchHeader::parse(head);
        header.check()?;
        let size = header.size();
        if rest.len() < size {
            return Err(BatchError::Truncated);
        }
        let head = bytes.slice(at..at + HEADER_SIZE);
        let body = bytes.slice(at + HEADER_SIZE..at + size);
        Ok(Batch { header, head, body })
    }

    /// All batches that stand one after another.
    ///
    /// # Errors
    /// If any is none, or bytes are left over.
    pub fn parse_all(bytes: &Bytes) -> Result<Vec<Batch>, BatchError> {
        let mut batches = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let batch = Batch::parse(bytes, at)?;
            at += batch.size();
            batches.push(batch);
        }
        Ok(batches)
    }

    /// A batch of a head and the body that belongs to it.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn from_pieces(head: Bytes, body: Bytes) -> Result<Batch, BatchError> {
        let fixed: &[u8; HEADER_SIZE] = head.as_ref().try_into().map_err(|_| BatchError::Truncated)?;
        let header = BatchHeader::parse(fixed);
        header.check()?;
        if header.size() != HEADER_SIZE + body.len() {
            return Err(BatchError::BadLength);
        }
        Ok(Batch { header, head, body })
    }

    /// A batch of a header's fields and a body: length and CRC are computed.
    ///
    /// # Panics
    /// If the body is larger than 2 GiB.
    pub fn seal(mut header: BatchHeader, body: Bytes) -> Batch {
        header.magic = 2;
        header.length = i32::try_from(HEADER_SIZE - LENGTH_OVERHEAD + body.len()).expect("a batch below 2 GiB");
        let mut batch = Batch { header, head: header.encode(), body };
        batch.header.crc = batch.compute_crc();
        batch.head = batch.header.encode();
        batch
    }

    /// Whether the bytes are what the producer sent.
    pub fn crc_is_valid(&self) -> bool {
        self.compute_crc() == self.header.crc
    }

    fn compute_crc(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.head[CRC_COVERS_FROM..]), &self.body)
    }

    /// The same batch at another offset, by another leader: a new head, the same body, the same CRC.
    pub fn stamped(mut self, base_offset: i64, leader_epoch: i32) -> Batch {
        self.header.base_offset = base_offset;
        self.header.leader_epoch = leader_epoch;
        self.head = self.header.encode();
        self
    }

    /// The same batch with the leader's time of append (`message.timestamp.type=LogAppendTime`): the CRC changes.
    pub fn with_log_append_time(mut self, milliseconds: i64) -> Batch {
        self.header.attributes |= TIMESTAMP_TYPE_BIT;
        self.header.max_timestamp = milliseconds;
        Batch::seal(self.header, self.body)
    }

    /// The same batch without its records (`DefaultRecordBatch.writeEmptyHeader`): offsets, producer and sequence numbers
    /// stay.
    pub fn emptied(&self) -> Batch {
        let mut header = self.header;
        header.attributes &= TIMESTAMP_TYPE_BIT | TRANSACTIONAL_BIT | CONTROL_BIT;
        header.base_timestamp = header.max_timestamp;
        header.record_count = 0;
        Batch::seal(header, Bytes::new())
    }

    /// Its size, in bytes.
    pub fn size(&self) -> usize {
        HEADER_SIZE + self.body.len()
    }

    /// Header bytes and the rest.
    pub fn pieces(&self) -> [Bytes; 2] {
        [self.head.clone(), self.body.clone()]
    }

    /// The header's bytes.
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// Everything after the header: the records, compressed or not.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// All bytes in one piece: a copy.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.size());
        self.write_to(&mut bytes);
        bytes.freeze()
    }

    /// Appends all bytes.
    pub fn write_to(&self, to: &mut impl BufMut) {
        to.put_slice(&self.head);
        to.put_slice(&self.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            length: 0,
            leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: 0x12,
            last_offset_delta: 2,
            base_timestamp: 1_000,
            max_timestamp: 1_002,
            producer_id: 7,
            producer_epoch: 1,
            base_sequence: i32::MAX - 1,
            record_count: 3,
        }
    }

    #[test]
    fn a_sealed_batch_reads_back_and_stamping_keeps_its_crc_and_body() {
        let batch = Batch::seal(header(), Bytes::from_static(b"records"));
        assert!(batch.crc_is_valid());
        let stamped = batch.clone().stamped(40, 3);
        assert!(stamped.crc_is_valid());
        assert_eq!(stamped.body().as_ptr(), batch.body().as_ptr());
        let read = Batch::parse(&stamped.to_bytes(), 0).expect("a batch");
        assert_eq!((read.header.base_offset, read.header.leader_epoch, read.header.next_offset()), (40, 3, 43));
        assert_eq!(read.header, stamped.header);
        assert_eq!(
            (read.header.compression(), read.header.is_transactional(), read.header.is_control()),
            (2, true, false)
        );
        assert_eq!(read.header.last_sequence(), 0, "sequence numbers wrap to zero");
    }

    #[test]
    fn log_append_time_changes_the_crc_and_stays_valid() {
        let batch = Batch::seal(header(), Bytes::from_static(b"records"));
        let restamped = batch.clone().with_log_append_time(99);
        assert!(restamped.crc_is_valid() && restamped.header.is_log_append_time());
        assert_ne!(restamped.header.crc, batch.header.crc);
    }

    #[test]
    fn hostile_bytes_are_refused_with_kafkas_code() {
        let good = Batch::seal(header(), Bytes::from_static(b"records")).to_bytes();
        let edit = |at: usize, with: &[u8]| {
            let mut bytes = good.to_vec();
            bytes[at..at + with.len()].copy_from_slice(with);
            Batch::parse(&Bytes::from(bytes), 0)
        };
        assert_eq!(Batch::parse(&good.slice(..60), 0), Err(BatchError::Truncated));
        assert_eq!(Batch::parse(&good.slice(..good.len() - 1), 0), Err(BatchError::Truncated));
        assert_eq!(edit(16, &[1]), Err(BatchError::UnsupportedMagic(1)));
        assert_eq!(edit(8, &(-5_i32).to_be_bytes()), Err(BatchError::BadLength));
        assert_eq!(edit(8, &i32::MAX.to_be_bytes()), Err(BatchError::Truncated));
        assert_eq!(edit(23, &(-1_i32).to_be_bytes()), Err(BatchError::BadCount));
        assert_eq!(edit(0, &i64::MAX.to_be_bytes()), Err(BatchError::BadCount));
        assert!(!edit(61, b"R").expect("well formed").crc_is_valid());
        assert_eq!(BatchError::UnsupportedMagic(1).code(), ErrorCode::UnsupportedForMessageFormat);
    }
}

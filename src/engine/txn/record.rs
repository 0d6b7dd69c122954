//! The records of `__transaction_state`, byte for byte as Kafka writes them (`TransactionLogKey`,
//! `TransactionLogValue`).
//!
//! Written is version 1 of the value, the first flexible one (`transaction.version` 1 and 2 do); read are both. A kind
//! of key that is not known here is no error: a later broker may have written it.

use crate::engine::txn::metadata::{NO_EPOCH, NO_PRODUCER, Partition, TransactionMetadata, TransactionStatus};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const KEY: i16 = 0;
const VALUE: i16 = 1;
const PREVIOUS_PRODUCER_ID: u32 = 0;
const NEXT_PRODUCER_ID: u32 = 1;
const CLIENT_VERSION: u32 = 2;

/// A record is not what its kind and version say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of a transaction is malformed")]
pub struct Malformed;

/// What one record says: a transactional id and its state, or (`None`) that it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRecord {
    /// The transactional id.
    pub id: Arc<str>,
    /// Its state.
    pub value: Option<TransactionMetadata>,
}

impl TransactionRecord {
    /// The record's key.
    pub fn key(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(4 + self.id.len());
        to.put_i16(KEY);
        to.put_i16(i16::try_from(self.id.len()).expect("a name from the wire is as short"));
        to.put_slice(self.id.as_bytes());
        to.freeze()
    }

    /// The record's value; `None` for a tombstone.
    pub fn value(&self) -> Option<Bytes> {
        self.value.as_ref().map(write)
    }

    /// What a key and a value say; `None` for a kind of key or a version of value that is not known here.
    ///
    /// # Errors
    /// If the bytes are not what their kind and version say.
    pub fn read(key: &[u8], value: Option<&[u8]>) -> Result<Option<TransactionRecord>, Malformed> {
        let mut key = Reader { bytes: key, is_flexible: false };
        if key.int16()? != KEY {
            return Ok(None);
        }
        let id = key.string()?;
        let Some(bytes) = value else { return Ok(Some(TransactionRecord { id, value: None })) };
        let mut from = Reader { bytes, is_flexible: false };
        match from.int16()? {
            version @ 0..=VALUE => {
                from.is_flexible = version >= 1;
                Ok(Some(TransactionRecord { id, value: Some(read(&mut from)?) }))
            }
            _ => Ok(None),
        }
    }
}

fn write(value: &TransactionMetadata) -> Bytes {
    let mut to = BytesMut::with_capacity(64);
    to.put_i16(VALUE);
    to.put_i64(value.producer_id);
    to.put_i16(value.producer_epoch);
    to.put_i32(value.timeout_ms);
    to.put_i8(value.status.number());
    if value.status == TransactionStatus::Empty {
        put_varint(&mut to, 0);
    } else {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &value.partitions {
            topics.entry(topic).or_default().push(*partition);
        }
        put_count(&mut to, topics.len());
        for (topic, partitions) in topics {
            put_count(&mut to, topic.len());
            to.put_slice(topic.as_bytes());
            put_count(&mut to, partitions.len());
            partitions.iter().for_each(|partition| to.put_i32(*partition));
            put_varint(&mut to, 0);
        }
    }
    to.put_i64(value.updated_at_ms);
    to.put_i64(value.started_at_ms);
    let tagged = [
        (PREVIOUS_PRODUCER_ID, value.previous_producer_id != NO_PRODUCER),
        (NEXT_PRODUCER_ID, value.next_producer_id != NO_PRODUCER),
        (CLIENT_VERSION, value.client_version != 0),
    ];
    put_varint(&mut to, u32::try_from(tagged.iter().filter(|(_, is_there)| *is_there).count()).expect("three at most"));
    for (tag, _) in tagged.into_iter().filter(|(_, is_there)| *is_there) {
        put_varint(&mut to, tag);
        match tag {
            CLIENT_VERSION => {
                put_varint(&mut to, 2);
                to.put_i16(value.client_version);
            }
            _ => {
                put_varint(&mut to, 8);
                let is_previous = tag == PREVIOUS_PRODUCER_ID;
                to.put_i64(if is_previous { value.previous_producer_id } else { value.next_producer_id });
            }
        }
    }
    to.freeze()
}

fn read(from: &mut Reader) -> Result<TransactionMetadata, Malformed> {
    let producer_id = from.int64()?;
    let producer_epoch = from.int16()?;
    let timeout_ms = from.int32()?;
    let status = TransactionStatus::from_number(from.int8()?).ok_or(Malformed)?;
    let mut partitions: BTreeSet<Partition> = BTreeSet::new();
    for _ in 0..from.count()?.unwrap_or(0) {
        let topic = from.string()?;
        for _ in 0..from.count()?.ok_or(Malformed)? {
            partitions.insert((Arc::clone(&topic), from.int32()?));
        }
        from.tags(|_, _| Ok(()))?;
    }
    let updated_at_ms = from.int64()?;
    let started_at_ms = from.int64()?;
    let mut found = TransactionMetadata {
        producer_id,
        previous_producer_id: NO_PRODUCER,
        next_producer_id: NO_PRODUCER,
        producer_epoch,
        last_producer_epoch: NO_EPOCH,
        timeout_ms,
        status,
        partitions,
        started_at_ms,
        updated_at_ms,
        client_version: 0,
    };
    from.tags(|tag, mut value| {
        match tag {
            PREVIOUS_PRODUCER_ID => found.previous_producer_id = value.int64()?,
            NEXT_PRODUCER_ID => found.next_producer_id = value.int64()?,
            CLIENT_VERSION => found.client_version = value.int16()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

fn put_varint(to: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        to.put_u8(u8::try_from(value & 0x7F).expect("seven bits") | 0x80);
        value >>= 7;
    }
    to.put_u8(u8::try_from(value).expect("seven bits"));
}

/// A compact length: one more than what it counts.
fn put_count(to: &mut BytesMut, count: usize) {
    put_varint(to, u32::try_from(count + 1).expect("what comes from the wire is below 2 GiB"));
}

/// Reads fields one after another.
struct Reader<'a> {
    bytes: &'a [u8],
    is_flexible: bool,
}

impl<'a> Reader<'a> {
    fn int8(&mut self) -> Result<i8, Malformed> {
        self.bytes.try_get_i8().map_err(|_| Malformed)
    }

    fn int16(&mut self) -> Result<i16, Malformed> {
        self.bytes.try_get_i16().map_err(|_| Malformed)
    }

    fn int32(&mut self) -> Result<i32, Malformed> {
        self.bytes.try_get_i32().map_err(|_| Malformed)
    }

    fn int64(&mut self) -> Result<i64, Malformed> {
        self.bytes.try_get_i64().map_err(|_| Malformed)
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0_u32;
        for shift in (0..35).step_by(7) {
            let byte = self.bytes.try_get_u8().map_err(|_| Malformed)?;
            value |= u32::from(byte & 0x7F).checked_shl(shift).ok_or(Malformed)?;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// How many elements follow; `None` for null.
    fn count(&mut self) -> Result<Option<usize>, Malformed> {
        let count = if self.is_flexible { i64::from(self.varint()?) - 1 } else { i64::from(self.int32()?) };
        if count == -1 { Ok(None) } else { usize::try_from(count).map(Some).map_err(|_| Malformed) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        self.bytes.split_off(..length).ok_or(Malformed)
    }

    fn string(&mut self) -> Result<Arc<str>, Malformed> {
        let length = if self.is_flexible { i64::from(self.varint()?) - 1 } else { i64::from(self.int16()?) };
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        std::str::from_utf8(self.take(length)?).map(Arc::from).map_err(|_| Malformed)
    }

    fn tags(&mut self, mut visit: impl FnMut(u32, Reader<'a>) -> Result<(), Malformed>) -> Result<(), Malformed> {
        if !self.is_flexible {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
            visit(tag, Reader { bytes: self.take(size)?, is_flexible: true })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> TransactionRecord {
        let value = TransactionMetadata {
            producer_id: 258,
            previous_producer_id: NO_PRODUCER,
            next_producer_id: 7,
            producer_epoch: 3,
            last_producer_epoch: NO_EPOCH,
            timeout_ms: 60_000,
            status: TransactionStatus::PrepareCommit,
            partitions: BTreeSet::from([(Arc::from("a"), 1), (Arc::from("a"), 2)]),
            started_at_ms: 5,
            updated_at_ms: 6,
            client_version: 2,
        };
        TransactionRecord { id: Arc::from("t"), value: Some(value) }
    }

    #[test]
    fn the_bytes_are_kafkas() {
        let record = record();
        assert_eq!(record.key()[..], [0, 0, 0, 1, b't']);
        let mut bytes = vec![0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 3];
        bytes.extend(60_000_i32.to_be_bytes());
        bytes.extend([2, 2, 2, b'a', 3, 0, 0, 0, 1, 0, 0, 0, 2, 0]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 5]);
        bytes.extend([2, 1, 8, 0, 0, 0, 0, 0, 0, 0, 7, 2, 2, 0, 2]);
        assert_eq!(record.value().expect("a value")[..], bytes);
        let read = TransactionRecord::read(&record.key(), record.value().as_deref()).expect("well formed");
        assert_eq!(read, Some(record));
    }

    #[test]
    fn version_zero_is_read_and_what_is_unknown_passed_over() {
        let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 3];
        bytes.extend(60_000_i32.to_be_bytes());
        bytes.extend([1, 0, 0, 0, 1, 0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 9]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 5]);
        let read = TransactionRecord::read(&record().key(), Some(&bytes)).expect("well formed").expect("known");
        let value = read.value.expect("a value");
        assert_eq!((value.status, value.client_version), (TransactionStatus::Ongoing, 0));
        assert_eq!(value.partitions, BTreeSet::from([(Arc::from("a"), 9)]));
        assert_eq!(TransactionRecord::read(&[0, 1, 0, 1, b't'], None), Ok(None));
        assert_eq!(TransactionRecord::read(&record().key(), Some(&[0, 2])), Ok(None));
        let tombstone = TransactionRecord { id: Arc::from("t"), value: None };
        assert_eq!(TransactionRecord::read(&tombstone.key(), None), Ok(Some(tombstone)));
    }

    #[test]
    fn every_cut_is_refused() {
        let (key, value) = (record().key(), record().value().expect("a value"));
        for cut in 0..value.len() {
            assert_eq!(TransactionRecord::read(&key, Some(&value[..cut])), Err(Malformed), "cut at {cut}");
        }
        for cut in 0..key.len() {
            assert_eq!(TransactionRecord::read(&key[..cut], Some(&value)), Err(Malformed), "key cut at {cut}");
        }
    }
}

//! A batch with fewer records, as compaction leaves it (Kafka's `MemoryRecords.filterTo`, KIP-534).
//!
//! Invariants: base offset, last offset delta, leader epoch, producer and sequence numbers stay, so that neither offsets
//! nor what is known of producers change; a record that stays keeps its bytes, but for its time's distance from the
//! batch's base. Kafka's codec levels are not kept: a batch is packed anew with the codec's default.

use super::{Record, RecordError, decode_record, iterate, put_length, put_varint, take_nullable, take_varint};
use crate::protocol::batch::Batch;
use bytes::{Buf, BufMut, BytesMut};

use super::Compression;

/// What is left of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filtered {
    /// All of it, unchanged.
    Same,
    /// These records.
    Some(Batch),
    /// No record.
    Nothing,
}

/// Keeps the records that are wanted. With a `delete_horizon_ms` the batch is told when its tombstones may go: the
/// horizon takes the place of the base timestamp (KIP-534).
///
/// # Errors
/// If the body is not what the header says.
pub fn filter(
    batch: &Batch,
    delete_horizon_ms: Option<i64>,
    mut is_wanted: impl FnMut(&Record) -> bool,
) -> Result<Filtered, RecordError> {
    let mut header = batch.header;
    let base_timestamp = delete_horizon_ms.unwrap_or(header.base_timestamp);
    let mut records = iterate(batch)?;
    let mut body = BytesMut::with_capacity(records.bytes.len());
    let (mut count, mut max_timestamp) = (0, -1);
    for _ in 0..header.record_count.max(0) {
        let mut bytes = take_nullable(&mut records.bytes)?.ok_or(RecordError::Malformed)?;
        let record = decode_record(&batch.header, bytes.clone())?;
        if !is_wanted(&record) {
            continue;
        }
        count += 1;
        max_timestamp = max_timestamp.max(record.timestamp);
        let attributes = bytes.try_get_u8().map_err(|_| RecordError::Malformed)?;
        let delta = take_varint(&mut bytes)?;
        let timestamp = header.base_timestamp.wrapping_add(delta);
        let mut start = BytesMut::with_capacity(12);
        start.put_u8(attributes);
        put_varint(&mut start, timestamp.wrapping_sub(base_timestamp));
        put_length(&mut body, start.len() + bytes.len());
        body.put_slice(&start);
        body.put_slice(&bytes);
    }
    if count == 0 {
        return Ok(Filtered::Nothing);
    }
    if count == header.record_count && delete_horizon_ms.is_none() {
        return Ok(Filtered::Same);
    }
    if delete_horizon_ms.is_some() {
        header = header.with_delete_horizon();
    }
    header.base_timestamp = base_timestamp;
    header.record_count = count;
    if !header.is_log_append_time() {
        header.max_timestamp = max_timestamp;
    }
    let codec = Compression::from_number(header.compression()).expect("the batch was unpacked with it");
    Ok(Filtered::Some(Batch::seal(header, codec.compress(body.freeze())?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::records::{BatchBuilder, decode};
    use kafka_protocol::records::RecordBatchDecoder;

    fn batch(codec: Compression) -> Batch {
        let mut builder = BatchBuilder::new().base_offset(10).leader_epoch(3).producer(5, 1, 7).compression(codec);
        for (timestamp, key) in [(1_000, b"a"), (1_500, b"b"), (900, b"c")] {
            builder.push(timestamp, Some(key), Some(b"v"), &[("h".to_owned(), None)]);
        }
        builder.build().expect("a batch")
    }

    #[test]
    fn what_stays_keeps_its_place_and_its_time_in_every_codec() {
        for codec in Compression::ALL {
            let batch = batch(codec);
            let whole = decode(&batch).expect("records");
            assert_eq!(filter(&batch, None, |_| true), Ok(Filtered::Same));
            assert_eq!(filter(&batch, None, |_| false), Ok(Filtered::Nothing));
            for horizon in [None, Some(90_000_000), Some(0)] {
                let filtered = filter(&batch, horizon, |record| record.offset != 11).expect("readable");
                let Filtered::Some(left) = filtered else { panic!("{filtered:?}") };
                assert!(left.crc_is_valid());
                assert_eq!(decode(&left).expect("records"), [whole[0].clone(), whole[2].clone()]);
                assert_eq!(
                    (left.header.base_offset, left.header.last_offset(), left.header.base_sequence),
                    (10, 12, 7)
                );
                assert_eq!((left.header.max_timestamp, left.header.delete_horizon_ms()), (1_000, horizon));
                let theirs = RecordBatchDecoder::decode(&mut left.to_bytes()).expect("the crate reads it").records;
                let theirs = theirs.iter().map(|record| (record.offset, record.timestamp)).collect::<Vec<_>>();
                assert_eq!(theirs, [(10, 1_000), (12, 900)]);
            }
            let empty = batch.emptied();
            assert!(empty.crc_is_valid() && empty.header.record_count == 0);
            assert_eq!((empty.header.last_offset(), empty.header.last_sequence()), (12, 9));
            assert_eq!(decode(&empty), Ok(Vec::new()));
        }
    }
}

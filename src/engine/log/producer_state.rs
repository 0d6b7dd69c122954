//! What a log knows of its idempotent producers (KIP-98; Kafka's `ProducerStateManager`, `ProducerStateEntry`,
//! `ProducerAppendInfo`): the last five batches of each, so that a batch sent twice is stored once, and its open
//! transaction.
//!
//! Invariants: the state is a function of the batches in the log (and of expiry), so that a follower, a rebuilt log and
//! the leader give the same answers. A producer with an open transaction is never forgotten.
//!
//! Not here: whether a producer may write at all (`txn/`), and the records inside batches, but for the one that a
//! marker holds.

use crate::engine::log::transactions::{AbortedTransaction, Transactions, put_count, take_count};
use crate::engine::observe::ProducerInside;
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::error::ErrorCode;
use crate::protocol::records;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;

/// How many batches of a producer are remembered (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`): as many as it may have
/// in flight.
const KEPT_BATCHES: usize = 5;
const BATCH_SIZE: usize = 24;
const ENTRY_SIZE: usize = 34;

/// A batch of a producer, remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeptBatch {
    pub(super) last_sequence: i32,
    pub(super) last_offset: i64,
    pub(super) offset_delta: i32,
    pub(super) timestamp: i64,
}

impl KeptBatch {
    /// The sequence number of its first record; numbers wrap from the largest to zero.
    fn first_sequence(&self) -> i32 {
        let first = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        let wrapped = if first < 0 { first + i64::from(i32::MAX) + 1 } else { first };
        i32::try_from(wrapped).unwrap_or(-1)
    }

    /// The offset of its first record.
    pub(super) fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }
}

/// One producer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    batches: Vec<KeptBatch>,
    last_timestamp: i64,
    coordinator_epoch: i32,
    transaction_first_offset: Option<i64>,
}

impl Producer {
    fn new(epoch: i16) -> Producer {
        Producer {
            epoch,
            batches: Vec::new(),
            last_timestamp: -1,
            coordinator_epoch: -1,
            transaction_first_offset: None,
        }
    }

    fn enter_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }

    fn last_sequence(&self) -> i32 {
        self.batches.last().map_or(-1, |batch| batch.last_sequence)
    }

    fn is_next(&self, sequence: i32) -> bool {
        let last = self.last_sequence();
        i64::from(sequence) == i64::from(last) + 1 || (sequence == 0 && last == i32::MAX)
    }
}

/// A producer as DescribeProducers tells it (KIP-664).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerSummary {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The sequence number of its last record, or −1.
    pub last_sequence: i32,
    /// The timestamp of its last batch, in milliseconds.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that wrote its last marker, or −1.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins, or −1.
    pub transaction_start_offset: i64,
}

impl ProducerSummary {
    /// Where its open transaction begins, if it has one.
    pub fn open_since(&self) -> Option<i64> {
        (self.transaction_start_offset >= 0).then_some(self.transaction_start_offset)
    }
}

/// Why a producer's batch is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

/// What a marker says (`EndTransactionMarker`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    commits: bool,
    coordinator_epoch: i32,
}

impl Marker {
    /// Whether a batch holds the marker of a transaction.
    pub(super) fn is_in(header: &BatchHeader) -> bool {
        header.is_control() && header.is_transactional() && header.has_producer()
    }

    /// The marker of a batch; `None` if it holds none that we know.
    pub(super) fn of(batch: &Batch) -> Option<Marker> {
        if !Marker::is_in(&batch.header) {
            return None;
        }
        let record = records::decode(batch).ok()?.into_iter().next()?;
        let (mut key, mut value) = (record.key?, record.value?);
        key.try_get_i16().ok()?;
        let commits = match key.try_get_i16().ok()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        value.try_get_i16().ok()?;
        Some(Marker { commits, coordinator_epoch: value.try_get_i32().ok()? })
    }
}

/// Whether the marker of a batch commits; `None` if the batch holds none.
pub fn end_of_transaction(batch: &Batch) -> Option<bool> {
    Marker::of(batch).map(|marker| marker.commits)
}

/// A marker that was applied by its header alone; what it says is filled in by [`ProducerState::resolve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeenMarker {
    pub(super) offset: i64,
    producer_id: i64,
    /// First offset of the transaction, and the last stable offset after it; `None` if none was open.
    transaction: Option<(i64, i64)>,
}

/// The producers of a log and their transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ProducerState {
    // Boxed, because a node of the map has room for eleven from the start, and most logs know one or two.
    producers: BTreeMap<i64, Box<Producer>>,
    pub(super) transactions: Transactions,
}

impl ProducerState {
    pub(super) fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.transactions.is_empty()
    }

    /// The batch that this one repeats, if it is one of the last five: same epoch, same first and last sequence number.
    pub(super) fn duplicate_of(&self, header: &BatchHeader) -> Option<KeptBatch> {
        let producer = self.producers.get(&header.producer_id)?;
        if producer.epoch != header.producer_epoch {
            return None;
        }
        let (first, last) = (header.base_sequence, header.last_sequence());
        producer.batches.iter().find(|kept| kept.last_sequence == last && kept.first_sequence() == first).copied()
    }

    /// The offset of a producer's last record.
    pub(super) fn last_offset_of(&self, producer_id: i64) -> Option<i64> {
        self.producers.get(&producer_id)?.batches.last().map(|batch| batch.last_offset)
    }

    /// Whether compaction has to keep a batch for what it tells of its producer: it is the last one with a sequence
    /// number, or, if there is none, the last marker of the current epoch (`Cleaner.isBatchLastRecordOfProducer`). What is
    /// not committed may be cut off, and what is known of producers is then read from the log again: only committed
    /// batches make one before them needless. (Kafka reads a snapshot of the state instead.)
    pub(super) fn is_last_of(&self, header: &BatchHeader, committed: i64) -> bool {
        let Some(producer) = self.producers.get(&header.producer_id).filter(|_| header.has_producer()) else {
            return false;
        };
        match producer.batches.last() {
            Some(_) => match producer.batches.iter().rev().find(|batch| batch.last_offset < committed) {
                Some(last) => last.last_offset == header.last_offset(),
                // All that is remembered may be cut off.
                None => !header.is_control(),
            },
            None => header.is_control() && header.producer_epoch == producer.epoch,
        }
    }

    /// Whether a producer has a transaction open, in an epoch.
    pub(super) fn has_open_transaction(&self, producer_id: i64, epoch: i16) -> bool {
        let found = self.producers.get(&producer_id).filter(|producer| producer.epoch == epoch);
        found.is_some_and(|producer| producer.transaction_first_offset.is_some())
    }

    /// Whether a batch may follow. Sequence numbers are checked for clients only (`AppendOrigin.CLIENT`).
    pub(super) fn check(&self, header: &BatchHeader, from_client: bool) -> Result<(), Refusal> {
        let refuse = |code, message: String| Err(Refusal { code, message });
        let Some(producer) = self.producers.get(&header.producer_id) else { return Ok(()) };
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        if epoch < producer.epoch {
            let message = format!("producer {id} writes in epoch {epoch}, and is in epoch {} already", producer.epoch);
            return refuse(ErrorCode::InvalidProducerEpoch, message);
        }
        if producer.transaction_first_offset.is_some() && !header.is_transactional() {
            let message = format!("producer {id} has a transaction open and writes outside of it");
            return refuse(ErrorCode::InvalidTxnState, message);
        }
        if !from_client || header.is_control() {
            return Ok(());
        }
        let sequence = header.base_sequence;
        if epoch > producer.epoch {
            if sequence != 0 {
                let message = format!("producer {id} begins epoch {epoch} with sequence number {sequence} and not 0");
                return refuse(ErrorCode::OutOfOrderSequenceNumber, message);
            }
        } else if !producer.is_next(sequence) {
            let last = producer.last_sequence();
            let message = format!("producer {id} sends sequence number {sequence} after {last}");
            return refuse(ErrorCode::OutOfOrderSequenceNumber, message);
        }
        Ok(())
    }

    /// Whether a coordinator's marker may be written: not by a coordinator that was replaced.
    pub(super) fn check_marker(&self, header: &BatchHeader, marker: Marker) -> Result<(), Refusal> {
        match self.producers.get(&header.producer_id) {
            Some(producer) if marker.coordinator_epoch < producer.coordinator_epoch => Err(Refusal {
                code: ErrorCode::TransactionCoordinatorFenced,
                message: format!(
                    "a coordinator of epoch {} writes after one of epoch {}",
                    marker.coordinator_epoch, producer.coordinator_epoch
                ),
            }),
            _ => Ok(()),
        }
    }

    /// A batch is in the log. A marker has to be resolved afterwards.
    pub(super) fn apply(&mut self, header: &BatchHeader) -> Option<SeenMarker> {
        if !header.has_producer() {
            return None;
        }
        let id = header.producer_id;
        let producer = self.producers.entry(id).or_insert_with(|| Box::new(Producer::new(header.producer_epoch)));
        producer.enter_epoch(header.producer_epoch);
        producer.last_timestamp = header.max_timestamp;
        if header.is_control() {
            if !header.is_transactional() {
                return None;
            }
            let offset = header.last_offset();
            let first = producer.transaction_first_offset.take();
            let transaction = first.map(|first| (first, self.transactions.end(id, first, offset)));
            return Some(SeenMarker { offset, producer_id: id, transaction });
        }
        if producer.batches.len() == KEPT_BATCHES {
            producer.batches.remove(0);
        }
        producer.batches.push(KeptBatch {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        // What compaction has emptied belongs to a transaction that has ended long ago.
        let begins = header.is_transactional() && header.record_count > 0;
        if begins && producer.transaction_first_offset.is_none() {
            producer.transaction_first_offset = Some(header.base_offset);
            self.transactions.begin(id, header.base_offset);
        }
        None
    }

    /// Fills in what an applied marker says. In order of offset.
    pub(super) fn resolve(&mut self, seen: SeenMarker, marker: Marker) {
        if let Some(producer) = self.producers.get_mut(&seen.producer_id) {
            producer.coordinator_epoch = producer.coordinator_epoch.max(marker.coordinator_epoch);
        }
        if let Some((first_offset, last_stable_offset)) = seen.transaction
            && !marker.commits
        {
            self.transactions.note_aborted(AbortedTransaction {
                producer_id: seen.producer_id,
                first_offset,
                last_offset: seen.offset,
                last_stable_offset,
            });
        }
    }

    /// All producers, in order of id.
    pub(super) fn summaries(&self) -> impl Iterator<Item = ProducerSummary> + '_ {
        self.producers.iter().map(|(&producer_id, producer)| ProducerSummary {
            producer_id,
            producer_epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            last_timestamp: producer.last_timestamp,
            coordinator_epoch: producer.coordinator_epoch,
            transaction_start_offset: producer.transaction_first_offset.unwrap_or(-1),
        })
    }

    /// All producers with where each wrote last, in order of id.
    pub(super) fn inside(&self) -> impl Iterator<Item = ProducerInside> + '_ {
        self.summaries().zip(self.producers.values()).map(|(summary, producer)| ProducerInside {
            summary,
            last_offset: producer.batches.last().map(|batch| batch.last_offset),
        })
    }

    /// Forgets producers that have written nothing since a time, in milliseconds (`producer.id.expiration.ms`).
    pub(super) fn expire(&mut self, idle_since_ms: i64) {
        self.producers.retain(|_, producer| {
            producer.transaction_first_offset.is_some() || producer.last_timestamp > idle_since_ms
        });
    }

    pub(super) fn encode(&self, to: &mut BytesMut) {
        put_count(to, self.producers.len());
        for (&id, producer) in &self.producers {
            to.put_i64(id);
            to.put_i16(producer.epoch);
            to.put_i64(producer.last_timestamp);
            to.put_i32(producer.coordinator_epoch);
            to.put_i64(producer.transaction_first_offset.unwrap_or(-1));
            put_count(to, producer.batches.len());
            for batch in &producer.batches {
                to.put_i32(batch.last_sequence);
                to.put_i64(batch.last_offset);
                to.put_i32(batch.offset_delta);
                to.put_i64(batch.timestamp);
            }
        }
        self.transactions.encode(to);
    }

    pub(super) fn decode(from: &mut Bytes) -> Option<ProducerState> {
        let mut producers = BTreeMap::new();
        let mut open = Vec::new();
        for _ in 0..take_count(from, ENTRY_SIZE)? {
            if from.len() < ENTRY_SIZE {
                return None;
            }
            let id = from.get_i64();
            let mut producer = Producer::new(from.get_i16());
            producer.last_timestamp = from.get_i64();
            producer.coordinator_epoch = from.get_i32();
            producer.transaction_first_offset = Some(from.get_i64()).filter(|&first| first >= 0);
            for _ in 0..take_count(from, BATCH_SIZE)? {
                producer.batches.push(KeptBatch {
                    last_sequence: from.get_i32(),
                    last_offset: from.get_i64(),
                    offset_delta: from.get_i32(),
                    timestamp: from.get_i64(),
                });
            }
            open.extend(producer.transaction_first_offset.map(|first| (id, first)));
            producers.insert(id, Box::new(producer));
        }
        let mut transactions = Transactions::decode(from)?;
        for (id, first) in open {
            transactions.begin(id, first);
        }
        Some(ProducerState { producers, transactions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::records::BatchBuilder;

    /// A batch of producer 7.
    fn header(epoch: i16, base_sequence: i32, records: i32, base_offset: i64) -> BatchHeader {
        let batch = BatchBuilder::new().producer(7, epoch, base_sequence).value(100, b"v").build().expect("a batch");
        BatchHeader { base_offset, last_offset_delta: records - 1, record_count: records, ..batch.header }
    }

    fn code(state: &ProducerState, header: &BatchHeader) -> ErrorCode {
        state.check(header, true).map_or_else(|refusal| refusal.code, |()| ErrorCode::None)
    }

    #[test]
    fn the_last_five_batches_are_recognised_exactly() {
        let mut state = ProducerState::default();
        for i in 0..6 {
            let next = header(0, i * 2, 2, i64::from(i) * 10);
            assert_eq!(code(&state, &next), ErrorCode::None);
            assert_eq!(state.duplicate_of(&next), None);
            state.apply(&next);
        }
        assert_eq!(state.duplicate_of(&header(0, 2, 2, 0)).map(|kept| kept.first_offset()), Some(10));
        assert_eq!(state.duplicate_of(&header(0, 10, 2, 0)).map(|kept| kept.last_offset), Some(51));
        assert_eq!(state.duplicate_of(&header(0, 0, 2, 0)), None, "the sixth from the end is forgotten");
        assert_eq!(state.duplicate_of(&header(0, 10, 1, 0)), None, "part of a batch is no duplicate");
        assert_eq!(state.duplicate_of(&header(1, 10, 2, 0)), None, "another epoch");
        assert_eq!(code(&state, &header(0, 0, 2, 0)), ErrorCode::OutOfOrderSequenceNumber);
    }

    #[test]
    fn gaps_old_epochs_and_new_epochs_that_do_not_begin_at_zero_are_refused() {
        let mut state = ProducerState::default();
        assert_eq!(code(&state, &header(3, 44, 1, 0)), ErrorCode::None, "unknown producers begin anywhere");
        state.apply(&header(3, 44, 1, 0));
        assert_eq!(code(&state, &header(3, 46, 1, 1)), ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(code(&state, &header(3, 45, 1, 1)), ErrorCode::None);
        assert_eq!(code(&state, &header(2, 45, 1, 1)), ErrorCode::InvalidProducerEpoch);
        assert_eq!(code(&state, &header(4, 45, 1, 1)), ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(code(&state, &header(4, 0, 1, 1)), ErrorCode::None);
        state.check(&header(3, 99, 1, 1), false).expect("coordinators have no sequence numbers");
    }

    #[test]
    fn sequence_numbers_wrap_to_zero() {
        let mut state = ProducerState::default();
        state.apply(&header(0, i32::MAX - 1, 2, 0));
        assert_eq!(code(&state, &header(0, 0, 1, 2)), ErrorCode::None);
        assert_eq!(code(&state, &header(0, 1, 1, 2)), ErrorCode::OutOfOrderSequenceNumber);
        let mut state = ProducerState::default();
        let across = header(0, i32::MAX, 3, 0);
        state.apply(&across);
        assert_eq!(state.summaries().next().map(|producer| producer.last_sequence), Some(1));
        assert_eq!(state.duplicate_of(&across).map(|kept| kept.first_offset()), Some(0));
        assert_eq!(code(&state, &header(0, 2, 1, 3)), ErrorCode::None);
    }

    #[test]
    fn a_marker_ends_the_transaction_and_bumps_the_epoch() {
        let mut state = ProducerState::default();
        let data = BatchHeader { attributes: 0x10, ..header(0, 0, 2, 10) };
        state.apply(&data);
        assert_eq!(state.transactions.first_unstable(100), Some(10));
        assert_eq!(code(&state, &header(0, 2, 1, 12)), ErrorCode::InvalidTxnState);
        state.expire(i64::MAX);
        assert!(!state.is_empty(), "an open transaction keeps its producer");
        let marker = BatchHeader { attributes: 0x30, base_sequence: -1, ..header(1, 0, 1, 12) };
        let seen = state.apply(&marker).expect("a marker");
        let says = |coordinator_epoch| Marker { commits: false, coordinator_epoch };
        state.resolve(seen, says(4));
        assert_eq!(state.transactions.first_unstable(13), None);
        assert_eq!(state.transactions.aborted_between(0, 20).len(), 1);
        assert_eq!(code(&state, &header(1, 0, 1, 13)), ErrorCode::None, "the new epoch begins at zero");
        assert_eq!(code(&state, &header(1, 2, 1, 13)), ErrorCode::OutOfOrderSequenceNumber);
        let fenced = state.check_marker(&marker, says(3)).expect_err("an older coordinator");
        assert_eq!(fenced.code, ErrorCode::TransactionCoordinatorFenced);
        state.expire(100);
        assert_eq!(state.summaries().count(), 0);
    }

    #[test]
    fn markers_are_read_from_their_batch() {
        let marker = |kind: u8| {
            let mut builder = BatchBuilder::new().producer(7, 0, -1).transactional().control();
            builder.push(5, Some(&[0, 0, 0, kind]), Some(&[0, 0, 0, 0, 0, 9]), &[]);
            Marker::of(&builder.build().expect("a batch"))
        };
        assert_eq!(marker(0), Some(Marker { commits: false, coordinator_epoch: 9 }));
        assert_eq!(marker(1), Some(Marker { commits: true, coordinator_epoch: 9 }));
        assert_eq!(marker(2), None);
    }

    #[test]
    fn it_reads_what_it_wrote() {
        let mut state = ProducerState::default();
        state.apply(&BatchHeader { attributes: 0x10, ..header(0, 0, 2, 10) });
        state.apply(&BatchHeader { producer_id: 9, ..header(0, 5, 1, 12) });
        let mut bytes = BytesMut::new();
        state.encode(&mut bytes);
        let bytes = bytes.freeze();
        assert_eq!(ProducerState::decode(&mut bytes.clone()), Some(state));
        for cut in 0..bytes.len() {
            assert_eq!(ProducerState::decode(&mut bytes.slice(..cut)), None, "cut at {cut}");
        }
    }
}

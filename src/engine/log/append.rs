//! What may be appended to a log, and appending it (Kafka's `LogValidator`, `UnifiedLog.append`).
//!
//! Invariants: an append is refused whole or done whole. Records are not decoded and bodies not copied: a batch is
//! judged by its header and its CRC; only a compacted topic's are looked through for keys. A duplicate of an idempotent
//! producer's batch answers with the offsets of the first and writes nothing.
//!
//! Deliberate differences from Kafka: the timestamps of the first record and the largest one are judged, not each;
//! `max_timestamp` is believed; batches stay as their producer compressed them.

use crate::engine::config::{TimestampType, TopicConfig};
use crate::engine::io::{Ctx, StorageOp};
use crate::engine::log::partition_log::{Anchor, PartitionLog};
use crate::engine::log::producer_state::{Marker, Refusal, SeenMarker};
use crate::engine::mutant::Mutant;
use crate::engine::observe::EventKind;
use crate::engine::time::WallTime;
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::PartitionId;
use crate::protocol::records;

/// The largest number of a compression codec (zstd).
const LAST_CODEC: i16 = 4;

/// A leader's append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The offset of the first record.
    pub first_offset: i64,
    /// The offset of the last record.
    pub last_offset: i64,
    /// The time that the records were stamped with, in milliseconds, if the topic's records are stamped by the leader.
    pub log_append_time_ms: Option<i64>,
    /// Whether the records were in the log already (and may not be replicated yet, so that acks=all waits all the
    /// same).
    pub duplicate: bool,
}

/// A record that is to blame (KIP-467).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// Its place in the batch, from 0.
    pub batch_index: i32,
    /// What is wrong with it.
    pub message: String,
}

/// Why an append is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AppendError {
    /// The code for the client.
    pub code: ErrorCode,
    /// What is wrong, for people.
    pub message: String,
    /// The records to blame, if they are known.
    pub record_errors: Vec<RecordError>,
}

impl AppendError {
    fn new(code: ErrorCode, message: impl Into<String>) -> AppendError {
        AppendError { code, message: message.into(), record_errors: Vec::new() }
    }
}

impl From<Refusal> for AppendError {
    fn from(refusal: Refusal) -> AppendError {
        AppendError::new(refusal.code, refusal.message)
    }
}

impl PartitionLog {
    /// Appends as the leader of an epoch: assigns offsets, stamps the epoch (and the time, if the topic wants it), and
    /// tells of it with [`EventKind::Appended`]. With `from_client` the rules for clients hold; else those for
    /// coordinators and the quorum.
    ///
    /// # Errors
    /// If a rule forbids it; nothing is written then.
    ///
    /// # Panics
    /// If a later epoch is in the log.
    pub fn append_as_leader(
        &mut self,
        cx: &mut Ctx<'_>,
        batches: Vec<Batch>,
        leader_epoch: i32,
        config: &TopicConfig,
        from_client: bool,
    ) -> Result<Appended, AppendError> {
        assert!(
            self.last_epoch().is_none_or(|last| last <= leader_epoch),
            "an append in epoch {leader_epoch} after {:?}",
            self.last_epoch()
        );
        self.check_count(&batches, from_client)?;
        for batch in &batches {
            self.check(batch, cx.wall, config, from_client)?;
        }
        let stamps_time = config.message_timestamp_type == TimestampType::LogAppendTime;
        let trusts_client = cx.has(Mutant::SequenceNotCheckedAfterFailover) && self.is_new_here(&batches[0].header);
        if from_client
            && !trusts_client
            && let Some(kept) = self.producers.duplicate_of(&batches[0].header)
        {
            return Ok(Appended {
                first_offset: kept.first_offset(),
                last_offset: kept.last_offset,
                log_append_time_ms: stamps_time.then_some(kept.timestamp),
                duplicate: true,
            });
        }
        let trusts_epoch = cx.has(Mutant::FencedEpochAccepted) && from_client;
        if !trusts_epoch {
            self.check_producers(&batches, from_client && !trusts_client)?;
        }
        self.configure(config);
        let first_offset = self.end_offset;
        for batch in batches {
            let batch = if stamps_time { batch.with_log_append_time(cx.wall.0) } else { batch };
            let batch = batch.stamped(self.end_offset, leader_epoch);
            let header = batch.header;
            self.store(cx, batch);
            cx.emit(EventKind::Appended {
                partition: self.partition,
                leader_epoch,
                first: header.base_offset,
                last: header.last_offset(),
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
                base_sequence: header.base_sequence,
            });
        }
        self.await_persistence(cx);
        Ok(Appended {
            first_offset,
            last_offset: self.end_offset - 1,
            log_append_time_ms: stamps_time.then_some(cx.wall.0),
            duplicate: false,
        })
    }

    /// Appends what the leader sent: offsets and epochs are the batches' own. Offsets must continue; a gap is no fault,
    /// because the leader's log may have one.
    ///
    /// # Errors
    /// `CorruptMessage` for a wrong CRC or epochs that fall, `OffsetOutOfRange` for batches that begin before the log's
    /// end. Nothing is written then.
    pub fn append_as_follower(&mut self, cx: &mut Ctx<'_>, batches: &[Batch]) -> Result<(), AppendError> {
        let Some(first) = batches.first() else { return Ok(()) };
        // The leader's log may start within a batch (DeleteRecords). A replica that begins there gets that batch whole.
        let starts_within = self.start_offset == self.end_offset
            && first.header.base_offset < self.end_offset
            && first.header.next_offset() > self.end_offset;
        let mut end_offset = if starts_within { first.header.base_offset } else { self.end_offset };
        let mut epoch = self.epochs.epoch_at(self.end_offset - 1).filter(|_| self.start_offset < self.end_offset);
        for batch in batches {
            let header = &batch.header;
            if header.base_offset < end_offset {
                let message = format!("a batch at offset {} for a log that ends at {end_offset}", header.base_offset);
                return Err(AppendError::new(ErrorCode::OffsetOutOfRange, message));
            }
            if header.leader_epoch < 0 || epoch.is_some_and(|epoch| header.leader_epoch < epoch) {
                let message = format!("a batch of epoch {} after one of epoch {epoch:?}", header.leader_epoch);
                return Err(AppendError::new(ErrorCode::CorruptMessage, message));
            }
            check_crc(batch)?;
            end_offset = header.next_offset();
            epoch = Some(header.leader_epoch);
        }
        let start_offset = self.start_offset;
        if starts_within {
            self.clear(cx, first.header.base_offset);
        }
        for batch in batches {
            self.store(cx, batch.clone());
        }
        self.await_persistence(cx);
        if starts_within {
            self.move_start(cx, start_offset);
        }
        Ok(())
    }

    /// Whether a producer has written nothing in the current leader epoch yet.
    fn is_new_here(&self, header: &BatchHeader) -> bool {
        let last = self.producers.last_offset_of(header.producer_id);
        last.is_none_or(|offset| self.epochs.epoch_at(offset) != self.last_epoch())
    }

    fn check_count(&self, batches: &[Batch], from_client: bool) -> Result<(), AppendError> {
        match batches.len() {
            0 => Err(AppendError::new(ErrorCode::InvalidRecord, "there is no record batch")),
            1 => Ok(()),
            _ if from_client => {
                Err(AppendError::new(ErrorCode::InvalidRecord, "a partition takes exactly one record batch a request"))
            }
            _ => Ok(()),
        }
    }

    fn check(&self, batch: &Batch, wall: WallTime, config: &TopicConfig, from_client: bool) -> Result<(), AppendError> {
        let header = &batch.header;
        if header.magic != 2 {
            let message = format!("message format {} is not supported", header.magic);
            return Err(AppendError::new(ErrorCode::UnsupportedForMessageFormat, message));
        }
        let limit = usize::try_from(config.max_message_bytes).unwrap_or(usize::MAX);
        if batch.size() > limit && self.partition != PartitionId::METADATA {
            let message = format!("the batch has {} bytes, and max.message.bytes is {limit}", batch.size());
            return Err(AppendError::new(ErrorCode::MessageTooLarge, message));
        }
        check_crc(batch)?;
        if header.record_count < 1 || i64::from(header.record_count) != i64::from(header.last_offset_delta) + 1 {
            let message =
                format!("{} records and a last offset delta of {}", header.record_count, header.last_offset_delta);
            return Err(AppendError::new(ErrorCode::InvalidRecord, message));
        }
        if header.compression() > LAST_CODEC {
            let message = format!("compression codec {} does not exist", header.compression());
            return Err(AppendError::new(ErrorCode::UnsupportedCompressionType, message));
        }
        if from_client {
            check_client_fields(header)?;
            if config.cleanup_compact {
                check_keys(batch)?;
            }
            if config.message_timestamp_type == TimestampType::CreateTime {
                check_timestamps(header, wall, config)?;
            }
        }
        Ok(())
    }

    fn check_producers(&self, batches: &[Batch], from_client: bool) -> Result<(), AppendError> {
        for batch in batches.iter().filter(|batch| batch.header.has_producer()) {
            if Marker::is_in(&batch.header) {
                let marker = Marker::of(batch)
                    .ok_or_else(|| AppendError::new(ErrorCode::InvalidRecord, "the control record is no marker"))?;
                self.producers.check_marker(&batch.header, marker)?;
            }
            self.producers.check(&batch.header, from_client)?;
        }
        Ok(())
    }

    /// Writes one batch at the end of the log.
    fn store(&mut self, cx: &mut Ctx<'_>, batch: Batch) {
        let header = batch.header;
        if self.segments.needs_roll(&header) {
            self.segments.roll(self.end_offset);
            self.write_checkpoint(cx);
        }
        // Not at the batch's own offset: compaction may have taken the epoch's first records from the leader's log, and
        // what another replica wrote there in an earlier epoch must not pass for what was committed.
        if self.epochs.assign(header.leader_epoch, self.end_offset) {
            self.write_epochs(cx);
        }
        let marker = Marker::of(&batch);
        self.write(cx, StorageOp::Append { log: self.id, batch });
        if let (Some(seen), Some(marker)) = (self.absorb(&header, cx.wall.0), marker) {
            self.producers.resolve(seen, marker);
        }
        self.checkpoint_if_due(cx);
    }

    /// Takes a batch at the end of the log into account. A marker's content is still to be resolved.
    pub(super) fn absorb(&mut self, header: &BatchHeader, wall_ms: i64) -> Option<SeenMarker> {
        self.segments.append(header, wall_ms);
        self.time_index.append(header);
        self.bytes_since_checkpoint += u64::try_from(header.size()).expect("a batch's size fits 64 bits");
        self.last_batch = Some(Anchor::of(header));
        self.end_offset = header.next_offset();
        self.producers.apply(header)
    }
}

fn check_crc(batch: &Batch) -> Result<(), AppendError> {
    match batch.crc_is_valid() {
        true => Ok(()),
        false => Err(AppendError::new(ErrorCode::CorruptMessage, "the batch's CRC is wrong")),
    }
}

fn check_client_fields(header: &BatchHeader) -> Result<(), AppendError> {
    let invalid = |message: &str| Err(AppendError::new(ErrorCode::InvalidRecord, message));
    if header.base_offset != 0 {
        return invalid("the base offset of a client's batch has to be 0");
    }
    if header.is_control() {
        return invalid("clients may not write control records");
    }
    if header.has_producer() && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return invalid("an idempotent producer's batch needs an epoch and a sequence number");
    }
    if header.is_transactional() && !header.has_producer() {
        return invalid("a transactional batch needs a producer id");
    }
    Ok(())
}

/// A compacted topic takes no record without a key (`LogValidator.validateKey`).
fn check_keys(batch: &Batch) -> Result<(), AppendError> {
    let records = records::iterate(batch).map_err(|error| {
        let message = format!("the records of a compacted topic have to be readable: {error}");
        AppendError::new(ErrorCode::InvalidRecord, message)
    })?;
    let mut record_errors = Vec::new();
    for (batch_index, record) in (0..).zip(records) {
        let message = match record {
            Ok(record) if record.key.is_some() => continue,
            Ok(_) => "a compacted topic cannot take a record without a key".to_owned(),
            Err(error) => error.to_string(),
        };
        record_errors.push(RecordError { batch_index, message });
    }
    let Some(first) = record_errors.first() else { return Ok(()) };
    Err(AppendError { code: ErrorCode::InvalidRecord, message: first.message.clone(), record_errors })
}

fn check_timestamps(header: &BatchHeader, wall: WallTime, config: &TopicConfig) -> Result<(), AppendError> {
    if header.is_log_append_time() {
        let message = "a producer may not set the timestamp type to LogAppendTime";
        return Err(AppendError::new(ErrorCode::InvalidTimestamp, message));
    }
    let allowed = |limit_ms: u64| i64::try_from(limit_ms).unwrap_or(i64::MAX);
    for (timestamp, is_first) in [(header.base_timestamp, true), (header.max_timestamp, header.record_count == 1)] {
        // −1 stands for no timestamp.
        if timestamp == -1 {
            continue;
        }
        let too_old = wall.0.saturating_sub(timestamp) > allowed(config.timestamp_before_max_ms);
        let too_new = timestamp.saturating_sub(wall.0) > allowed(config.timestamp_after_max_ms);
        if too_old || too_new {
            let message = format!("the timestamp {timestamp} is too far from the broker's time {}", wall.0);
            let record_errors =
                if is_first { vec![RecordError { batch_index: 0, message: message.clone() }] } else { Vec::new() };
            return Err(AppendError { code: ErrorCode::InvalidTimestamp, message, record_errors });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

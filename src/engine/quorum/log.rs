//! The metadata log of one broker: batches in the store's [`LogId::METADATA`], the leader epochs in it, and how far
//! it is safe.
//!
//! Invariants: epochs and their first offsets rise together; `start <= persisted_end <= end`; a log that starts at
//! the end of a snapshot knows the epoch of the last record that the snapshot covers; every write is synced on a
//! broker that is or may become a voter, because a Fetch from the log's end tells the leader that everything before
//! it survives a loss of power.
//!
//! Not here: producers, transactions, retention, timestamps. The metadata log has none of them, which is why it is no
//! log of a partition. Nor does it judge what a leader says: the roles do.

use crate::engine::controller::record::{self, MetadataRecord};
use crate::engine::io::{Ctx, LogRead, ReadError, StorageOp};
use crate::engine::quorum::voters::VoterSet;
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::ids::{EpochEnd, LogId, PartitionId};
use crate::protocol::peer::SnapshotId;
use crate::protocol::records;
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// The topic's name in Kafka.
const TOPIC: &str = "__cluster_metadata";

/// What a fetch position means to a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// The fetcher's log is a prefix of ours.
    Valid,
    /// The logs differ before it: the fetcher truncates.
    Diverging(EpochEnd),
    /// What comes next there is only in a snapshot.
    NeedsSnapshot,
}

/// A change of the voters, as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VoterChange {
    /// The offset of its record.
    pub(super) offset: i64,
    /// The voters from there on.
    pub(super) voters: VoterSet,
}

/// The log's bounds, epochs and safety. The batches are in the store.
#[derive(Debug, Clone)]
pub(super) struct MetadataLog {
    start: i64,
    end: i64,
    persisted_end: i64,
    /// Epochs and where they begin. If `start` is above 0, the first is that of the record before `start`.
    epochs: Vec<(i32, i64)>,
    /// Ends of the log that become safe with a persist, in order of sequence number.
    unpersisted: VecDeque<(u64, i64)>,
    /// Bytes appended since the last snapshot.
    bytes: u64,
    /// What a crash left half done, or a first start has to do.
    repair: Option<StorageOp>,
}

impl MetadataLog {
    /// Reads the log's shape from the store, and the voter changes in it. `snapshots` are those in the store, the
    /// latest last.
    pub(super) fn recover(
        read: &dyn LogRead,
        snapshots: &[SnapshotId],
    ) -> Result<(MetadataLog, Vec<VoterChange>), ReadError> {
        let latest = snapshots.last().copied();
        let info = read.logs().into_iter().find(|info| info.log == LogId::METADATA);
        let Some(info) = info else {
            let log = LogId::METADATA;
            let create = StorageOp::CreateLog { log, partition: PartitionId::METADATA, topic: TOPIC.to_owned() };
            return Ok((MetadataLog::empty(Some(create)), Vec::new()));
        };
        if let Some(snapshot) = latest.filter(|snapshot| snapshot.end_offset > info.end_offset) {
            return Ok((MetadataLog::behind(snapshot), Vec::new()));
        }
        let mut log = MetadataLog::empty(None);
        (log.start, log.end) = (info.start_offset, info.end_offset);
        if let Some(base) = snapshots.iter().find(|snapshot| snapshot.end_offset == log.start) {
            log.epochs.push((base.epoch, base.end_offset));
        }
        let mut controls = Vec::new();
        read.scan(LogId::METADATA, log.start, &mut |header| {
            log.note_epoch(header.leader_epoch, header.base_offset);
            if header.next_offset() > latest.map_or(0, |snapshot| snapshot.end_offset) {
                log.bytes += bytes_of(header);
            }
            if header.is_control() {
                controls.push(header.base_offset);
            }
            ControlFlow::Continue(())
        })?;
        if let Some(snapshot) = latest.filter(|snapshot| log.epoch_before(snapshot.end_offset) != snapshot.epoch) {
            return Ok((MetadataLog::behind(snapshot), Vec::new()));
        }
        let mut changes = Vec::new();
        for offset in controls {
            for batch in read.read(LogId::METADATA, offset, 1)? {
                changes.extend(voter_change(&batch)?);
            }
        }
        // What a process that died had not synced is read, but not safe yet: the first persist makes it so.
        log.persisted_end = log.start;
        Ok((log, changes))
    }

    /// The log after a crash that came between the arrival of a snapshot and the log's new beginning behind it.
    fn behind(snapshot: SnapshotId) -> MetadataLog {
        let offset = snapshot.end_offset;
        let mut log = MetadataLog::empty(Some(StorageOp::Reset { log: LogId::METADATA, offset }));
        log.restart_at(snapshot);
        log
    }

    fn empty(repair: Option<StorageOp>) -> MetadataLog {
        MetadataLog {
            start: 0,
            end: 0,
            persisted_end: 0,
            epochs: Vec::new(),
            unpersisted: VecDeque::new(),
            bytes: 0,
            repair,
        }
    }

    /// The first offset.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// The offset after the last record.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Everything before it is on the disk.
    pub(super) fn persisted_end(&self) -> i64 {
        self.persisted_end
    }

    /// Whether all of it is on the disk.
    pub(super) fn is_persisted(&self) -> bool {
        self.unpersisted.is_empty() && self.persisted_end == self.end
    }

    /// The epoch of the last record; 0 if there never was one.
    pub(super) fn last_epoch(&self) -> i32 {
        self.epochs.last().map_or(0, |&(epoch, _)| epoch)
    }

    /// The newest epochs in it, each with its first offset; if the log starts above 0, the first may begin before it.
    pub(super) fn newest_epochs(&self, count: usize) -> &[(i32, i64)] {
        &self.epochs[self.epochs.len().saturating_sub(count)..]
    }

    /// Bytes appended since the last snapshot.
    pub(super) fn bytes_since_snapshot(&self) -> u64 {
        self.bytes
    }

    /// The epoch of the record before an offset; 0 at the very beginning.
    pub(super) fn epoch_before(&self, offset: i64) -> i32 {
        let below = self.epochs.partition_point(|&(_, first)| first < offset);
        let base =
            self.epochs.first().filter(|_| offset <= self.start && self.start > 0).map_or(0, |&(epoch, _)| epoch);
        below.checked_sub(1).map_or(base, |at| self.epochs[at].0)
    }

    /// The end of the largest epoch not above the one asked for.
    pub(super) fn end_of_epoch(&self, epoch: i32) -> EpochEnd {
        let above = self.epochs.partition_point(|&(known, _)| known <= epoch);
        match above.checked_sub(1) {
            Some(at) => {
                let end_offset = self.epochs.get(above).map_or(self.end, |&(_, first)| first);
                EpochEnd { epoch: self.epochs[at].0, end_offset }
            }
            None => EpochEnd { epoch: 0, end_offset: self.start },
        }
    }

    /// Judges the position of a fetcher whose last record has `last_epoch` (`KafkaRaftClient.validateOffsetAndEpoch`).
    pub(super) fn judge(&self, fetch_offset: i64, last_epoch: i32) -> Position {
        if fetch_offset < self.start {
            return Position::NeedsSnapshot;
        }
        if fetch_offset == self.start {
            let is_same = self.start == 0 || self.epoch_before(self.start) == last_epoch;
            return if is_same { Position::Valid } else { Position::NeedsSnapshot };
        }
        let ours = self.end_of_epoch(last_epoch);
        if ours.epoch == last_epoch && ours.end_offset >= fetch_offset {
            Position::Valid
        } else if ours.end_offset < self.start || (ours.end_offset == self.start && self.start > 0) {
            Position::NeedsSnapshot
        } else {
            Position::Diverging(ours)
        }
    }

    /// Where a follower truncates to that was told where the leader's log diverges from its own (KIP-595).
    pub(super) fn truncation_point(&self, leader: EpochEnd) -> i64 {
        let ours = self.end_of_epoch(leader.epoch);
        if ours.epoch == leader.epoch { ours.end_offset.min(leader.end_offset) } else { ours.end_offset }
    }

    /// Makes the log at the first start, or ends what a crash left half done; tells whether that wrote anything. What
    /// was read at the recovery becomes safe with the next write, if that is synced.
    pub(super) fn begin(&mut self, cx: &mut Ctx, sync: bool) -> bool {
        self.note_unpersisted(cx);
        match self.repair.take() {
            // Nothing stands in a new log: whatever comes first makes it safe too.
            Some(op @ StorageOp::CreateLog { .. }) => put(cx, op, false),
            Some(op) => put(cx, op, sync),
            None => return false,
        }
        true
    }

    /// Adds a batch whose base offset is the log's end.
    pub(super) fn append(&mut self, cx: &mut Ctx, batch: Batch, sync: bool) {
        let header = batch.header;
        assert_eq!(header.base_offset, self.end, "a batch of the metadata log follows the one before");
        assert!(header.leader_epoch >= self.last_epoch(), "epochs of the metadata log do not fall");
        self.note_epoch(header.leader_epoch, header.base_offset);
        self.end = header.next_offset();
        self.bytes += bytes_of(&header);
        put(cx, StorageOp::Append { log: LogId::METADATA, batch }, sync);
        self.note_unpersisted(cx);
    }

    /// Removes everything from an offset on.
    pub(super) fn truncate(&mut self, cx: &mut Ctx, end: i64, sync: bool) {
        assert!((self.start..self.end).contains(&end), "truncation to {end} of {}..{}", self.start, self.end);
        self.end = end;
        self.persisted_end = self.persisted_end.min(end);
        let base = usize::from(self.start > 0).min(self.epochs.len());
        let kept = base + self.epochs[base..].partition_point(|&(_, first)| first < end);
        self.epochs.truncate(kept);
        for (_, unpersisted) in &mut self.unpersisted {
            *unpersisted = end.min(*unpersisted);
        }
        put(cx, StorageOp::Truncate { log: LogId::METADATA, end_offset: end }, sync);
        self.note_unpersisted(cx);
    }

    /// Lets the log start at the end of a snapshot that was just written.
    pub(super) fn trim(&mut self, cx: &mut Ctx, snapshot: SnapshotId, sync: bool) {
        let start = snapshot.end_offset;
        assert!((self.start..=self.end).contains(&start), "a snapshot ends within the log");
        assert_eq!(self.epoch_before(start), snapshot.epoch, "a snapshot's epoch is that of the log");
        self.epochs.retain(|&(epoch, first)| first >= start && epoch > snapshot.epoch);
        self.epochs.insert(0, (snapshot.epoch, start));
        self.start = start;
        self.persisted_end = self.persisted_end.max(start);
        self.bytes = 0;
        put(cx, StorageOp::Trim { log: LogId::METADATA, start_offset: start }, sync);
        self.note_unpersisted(cx);
    }

    /// Empties the log: it goes on behind a snapshot that came from the leader.
    pub(super) fn reset(&mut self, cx: &mut Ctx, snapshot: SnapshotId, sync: bool) {
        self.restart_at(snapshot);
        put(cx, StorageOp::Reset { log: LogId::METADATA, offset: snapshot.end_offset }, sync);
        self.note_unpersisted(cx);
    }

    fn restart_at(&mut self, snapshot: SnapshotId) {
        (self.start, self.end) = (snapshot.end_offset, snapshot.end_offset);
        self.epochs = vec![(snapshot.epoch, snapshot.end_offset)];
        // Earlier writes say nothing about this beginning: it is safe when its own step is.
        for (_, unpersisted) in &mut self.unpersisted {
            *unpersisted = snapshot.end_offset;
        }
        self.persisted_end = snapshot.end_offset;
        self.bytes = 0;
    }

    /// A persist has come back.
    pub(super) fn on_persisted(&mut self, seq: u64) {
        while let Some(&(covered, end)) = self.unpersisted.front()
            && covered <= seq
        {
            self.unpersisted.pop_front();
            self.persisted_end = self.persisted_end.max(end);
        }
    }

    fn note_epoch(&mut self, epoch: i32, first: i64) {
        if self.last_epoch() < epoch {
            self.epochs.push((epoch, first));
        }
    }

    fn note_unpersisted(&mut self, cx: &Ctx) {
        let seq = cx.persist_seq();
        match self.unpersisted.back_mut().filter(|(last, _)| *last == seq) {
            Some((_, end)) => *end = self.end,
            None => self.unpersisted.push_back((seq, self.end)),
        }
    }
}

fn put(cx: &mut Ctx, op: StorageOp, sync: bool) {
    if sync { cx.write_synced(op) } else { cx.write(op) }
}

fn bytes_of(header: &BatchHeader) -> u64 {
    u64::try_from(header.size()).expect("a size fits 64 bits")
}

/// A batch of metadata records: one offset a record. Those that the quorum itself heeds go into control batches, as
/// in Kafka, so that a scan of headers finds them.
///
/// # Panics
/// If there is no record.
pub(super) fn encode(base_offset: i64, epoch: i32, timestamp: i64, records: &[MetadataRecord]) -> Batch {
    let is_control =
        |record: &MetadataRecord| matches!(record, MetadataRecord::Voters { .. } | MetadataRecord::LeaderChange { .. });
    let mut builder = records::BatchBuilder::new().base_offset(base_offset).leader_epoch(epoch);
    if records.iter().any(is_control) {
        builder = builder.control();
    }
    for record in records {
        builder.push(timestamp, None, Some(&record::encode(record)), &[]);
    }
    builder.build().expect("an uncompressed batch of at least one record")
}

/// The records of a batch.
pub(super) fn decode(batch: &Batch) -> Result<Vec<MetadataRecord>, ReadError> {
    let unreadable = |reason: String| ReadError { log: LogId::METADATA, reason };
    records::decode(batch)
        .map_err(|error| unreadable(error.to_string()))?
        .iter()
        .map(|record| {
            record::decode(record.value.as_deref().unwrap_or_default()).map_err(|error| unreadable(error.to_string()))
        })
        .collect()
}

/// The last change of the voters within a batch.
pub(super) fn voter_change(batch: &Batch) -> Result<Option<VoterChange>, ReadError> {
    if !batch.header.is_control() {
        return Ok(None);
    }
    let changes = (batch.header.base_offset..).zip(decode(batch)?).filter_map(|(offset, record)| match record {
        MetadataRecord::Voters { voters } => Some(VoterChange { offset, voters }),
        _ => None,
    });
    Ok(changes.last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{Harness, MemoryStore};

    fn log_of(harness: &mut Harness, epochs: &[i32]) -> MetadataLog {
        let (mut log, _) = MetadataLog::recover(&harness.store, &[]).expect("readable");
        harness.step(|cx| {
            log.begin(cx, true);
            for epoch in epochs {
                log.append(cx, encode(log.end(), *epoch, 1, &[MetadataRecord::NoOp, MetadataRecord::NoOp]), true);
            }
        });
        log
    }

    fn recovered(store: &MemoryStore, snapshots: &[SnapshotId]) -> MetadataLog {
        MetadataLog::recover(store, snapshots).expect("readable").0
    }

    #[test]
    fn positions_are_judged_by_epoch_and_offset() {
        let mut harness = Harness::new(1);
        let log = log_of(&mut harness, &[1, 1, 3, 5]);
        assert_eq!(log.judge(0, 0), Position::Valid);
        assert_eq!(log.judge(8, 5), Position::Valid);
        assert_eq!(log.judge(4, 1), Position::Valid);
        assert_eq!(log.judge(6, 1), Position::Diverging(EpochEnd { epoch: 1, end_offset: 4 }));
        assert_eq!(log.judge(6, 2), Position::Diverging(EpochEnd { epoch: 1, end_offset: 4 }));
        assert_eq!(log.judge(9, 5), Position::Diverging(EpochEnd { epoch: 5, end_offset: 8 }));
        assert_eq!(log.judge(3, 0), Position::Diverging(EpochEnd { epoch: 0, end_offset: 0 }));
        assert_eq!(log.truncation_point(EpochEnd { epoch: 3, end_offset: 5 }), 5);
        assert_eq!(log.truncation_point(EpochEnd { epoch: 4, end_offset: 9 }), 6);
    }

    #[test]
    fn a_trimmed_log_knows_the_epoch_before_its_start_and_reads_back_the_same() {
        let mut harness = Harness::new(1);
        let mut log = log_of(&mut harness, &[1, 3, 3, 5]);
        let snapshot = SnapshotId { end_offset: 4, epoch: 3 };
        harness.step(|cx| log.trim(cx, snapshot, true));
        for log in [&log, &recovered(&harness.store, &[snapshot])] {
            assert_eq!((log.start(), log.end(), log.last_epoch(), log.epoch_before(4)), (4, 8, 5, 3));
            assert_eq!(log.judge(4, 3), Position::Valid);
            assert_eq!(log.judge(4, 1), Position::NeedsSnapshot);
            assert_eq!(log.judge(3, 3), Position::NeedsSnapshot);
            assert_eq!(log.judge(6, 2), Position::NeedsSnapshot);
        }
        harness.step(|cx| log.truncate(cx, 4, true));
        assert_eq!((log.last_epoch(), log.end()), (3, 4), "an empty log still knows what comes before it");
    }

    #[test]
    fn a_crash_between_a_snapshots_arrival_and_the_new_log_is_repaired() {
        let mut harness = Harness::new(1);
        log_of(&mut harness, &[1, 1]);
        for snapshot in [SnapshotId { end_offset: 9, epoch: 4 }, SnapshotId { end_offset: 2, epoch: 4 }] {
            let mut log = recovered(&harness.store, &[snapshot]);
            assert_eq!((log.start(), log.end(), log.last_epoch()), (snapshot.end_offset, snapshot.end_offset, 4));
            let mut copy = harness.clone();
            copy.step(|cx| assert!(log.begin(cx, true)));
            assert_eq!(copy.store.logs()[0].start_offset, snapshot.end_offset);
        }
    }

    #[test]
    fn only_a_persist_makes_the_log_safe_and_a_truncation_takes_back_what_it_promised() {
        let mut harness = Harness::new(1);
        let mut log = log_of(&mut harness, &[1, 1]);
        assert_eq!((log.persisted_end(), log.is_persisted()), (0, false));
        harness.step(|cx| log.append(cx, encode(4, 1, 1, &[MetadataRecord::NoOp]), true));
        harness.step(|cx| log.truncate(cx, 2, true));
        harness.step(|cx| log.append(cx, encode(2, 2, 1, &[MetadataRecord::NoOp]), true));
        log.on_persisted(2);
        assert_eq!((log.persisted_end(), log.is_persisted()), (2, false));
        log.on_persisted(4);
        assert_eq!((log.persisted_end(), log.is_persisted()), (3, true));
        assert_eq!(
            recovered(&harness.store, &[]).persisted_end(),
            0,
            "what a dead process wrote may not be on the disk"
        );
    }
}

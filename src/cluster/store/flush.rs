//! What a flush does to the database: the writes since the last one, folded. A batch that was appended and cut again in
//! between is never written; of a named value only the last is.
//!
//! Invariants: folding and committing equals applying the writes one by one (`tests.rs` holds it against the tail); the
//! extents move by the very rules of the tail ([`Extent`]).
//!
//! Deliberately not here: the database (`redb.rs`) and the thread (`storage_thread.rs`).

use crate::cluster::store::redb::LogRow;
use crate::cluster::store::tail::{Cut, Extent, OpNumber, meta_prefix};
use crate::engine::io::StorageOp;
use crate::protocol::batch::Batch;
use crate::protocol::ids::{LogId, PartitionId};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Range;

/// Everything a flush changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Logs that are gone.
    pub deleted: Vec<LogId>,
    /// Named values that are gone with them, by prefix; they go before `meta` is applied.
    pub deleted_prefixes: Vec<String>,
    /// Logs that are new or changed.
    pub logs: BTreeMap<LogId, LogChange>,
    /// Named values that were set, or removed.
    pub meta: BTreeMap<String, Option<Bytes>>,
    /// The number of the last write in here.
    pub last_op: OpNumber,
}

/// What happens to a log, in the order of the fields.
#[derive(Debug)]
pub struct LogChange {
    /// It is new.
    pub created: Option<(PartitionId, String)>,
    /// Everything the database has of it goes.
    pub cleared: bool,
    /// Batches of the database that hold an offset at or above this go.
    pub cut_to: Option<i64>,
    /// Stretches of the database's batches that give way to others, in this order.
    pub rewrites: Vec<Rewrite>,
    /// These come at the end.
    pub appends: Vec<Batch>,
    /// Its start has moved: batches before it may go.
    pub trimmed: bool,
    /// Its offsets afterwards.
    pub extent: Extent,
}

/// What compaction has made of a stretch of the database.
#[derive(Debug)]
pub struct Rewrite {
    /// The offsets.
    pub stretch: Range<i64>,
    /// What is there from now on.
    pub batches: Vec<Batch>,
}

impl Changes {
    /// Folds writes, the last of which has the number `last_op`, over a database that has `rows`.
    pub fn fold(ops: Vec<StorageOp>, last_op: OpNumber, rows: &BTreeMap<LogId, LogRow>) -> Changes {
        let mut changes = Changes { last_op, ..Changes::default() };
        for op in ops {
            changes.add(op, rows);
        }
        changes
    }

    fn add(&mut self, op: StorageOp, rows: &BTreeMap<LogId, LogRow>) {
        match op {
            StorageOp::CreateLog { log, partition, topic } => {
                self.logs.insert(log, LogChange::of(Some((partition, topic)), Extent { start: 0, end: 0 }));
            }
            StorageOp::DeleteLog { log } => {
                self.logs.remove(&log);
                let prefix = meta_prefix(log);
                self.meta.retain(|key, _| !key.starts_with(&prefix));
                self.deleted.push(log);
                self.deleted_prefixes.push(prefix);
            }
            StorageOp::Append { log, batch } => {
                if let Some(change) = self.change(log, rows) {
                    change.extent.append(&batch.header);
                    change.appends.push(batch);
                }
            }
            StorageOp::Truncate { log, end_offset } => {
                if let Some(change) = self.change(log, rows) {
                    change.truncate(end_offset);
                }
            }
            StorageOp::Trim { log, start_offset } => {
                if let Some(change) = self.change(log, rows) {
                    change.trimmed |= change.extent.trim(start_offset);
                }
            }
            StorageOp::Rewrite { log, first_offset, end_offset, batches } => {
                if let Some(change) = self.change(log, rows) {
                    change.rewrite(first_offset..end_offset, batches);
                }
            }
            StorageOp::Reset { log, offset } => {
                if let Some(change) = self.change(log, rows) {
                    change.extent.reset(offset);
                    change.clear();
                }
            }
            StorageOp::PutMeta { key, value } => {
                self.meta.insert(key, Some(value));
            }
            StorageOp::DeleteMeta { key } => {
                self.meta.insert(key, None);
            }
        }
    }

    fn change(&mut self, log: LogId, rows: &BTreeMap<LogId, LogRow>) -> Option<&mut LogChange> {
        if self.deleted.contains(&log) {
            return None;
        }
        match self.logs.entry(log) {
            std::collections::btree_map::Entry::Occupied(entry) => Some(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                Some(entry.insert(LogChange::of(None, rows.get(&log)?.extent)))
            }
        }
    }
}

impl LogChange {
    fn of(created: Option<(PartitionId, String)>, extent: Extent) -> LogChange {
        let (rewrites, appends) = (Vec::new(), Vec::new());
        LogChange { created, cleared: false, cut_to: None, rewrites, appends, trimmed: false, extent }
    }

    /// What was appended since the last flush is replaced here; what lies before it, in the database.
    fn rewrite(&mut self, stretch: Range<i64>, mut batches: Vec<Batch>) {
        let boundary = self.appends.first().map_or(i64::MAX, |first| first.header.base_offset);
        let place = |list: &[Batch], offset| list.partition_point(|batch| batch.header.base_offset < offset);
        let appended = batches.split_off(place(&batches, boundary));
        let places = place(&self.appends, stretch.start)..place(&self.appends, stretch.end);
        self.appends.splice(places, appended);
        if stretch.start < boundary {
            self.rewrites.push(Rewrite { stretch: stretch.start..stretch.end.min(boundary), batches });
        }
    }

    fn truncate(&mut self, end_offset: i64) {
        match self.extent.truncate(end_offset) {
            Cut::Nothing => {}
            Cut::All(_) => self.clear(),
            Cut::To(end) => {
                let kept = self.appends.partition_point(|batch| batch.header.last_offset() < end);
                self.appends.truncate(kept);
                if self.appends.is_empty() {
                    for rewrite in &mut self.rewrites {
                        rewrite.batches.retain(|batch| batch.header.last_offset() < end);
                    }
                    self.cut_to = Some(self.cut_to.map_or(end, |cut| cut.min(end)));
                }
            }
        }
    }

    fn clear(&mut self) {
        self.cleared = true;
        self.cut_to = None;
        self.rewrites.clear();
        self.appends.clear();
        self.trimmed = false;
    }
}

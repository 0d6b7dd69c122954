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
    /// These come at the end.
    pub appends: Vec<Batch>,
    /// Its start has moved: batches before it may go.
    pub trimmed: bool,
    /// Its offsets afterwards.
    pub extent: Extent,
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
        LogChange { created, cleared: false, cut_to: None, appends: Vec::new(), trimmed: false, extent }
    }

    fn truncate(&mut self, end_offset: i64) {
        match self.extent.truncate(end_offset) {
            Cut::Nothing => {}
            Cut::All(_) => self.clear(),
            Cut::To(end) => {
                let kept = self.appends.partition_point(|batch| batch.header.last_offset() < end);
                self.appends.truncate(kept);
                if self.appends.is_empty() {
                    self.cut_to = Some(self.cut_to.map_or(end, |cut| cut.min(end)));
                }
            }
        }
    }

    fn clear(&mut self) {
        self.cleared = true;
        self.cut_to = None;
        self.appends.clear();
        self.trimmed = false;
    }
}

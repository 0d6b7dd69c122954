//! What can be done to a broker's disk on purpose, and what its threads share: how far writes have come, whether the
//! disk has failed.
//!
//! Invariants: `journaled_op >= synced_op`, `journaled_op >= flushed_op`; a store that has failed stays so until it is
//! opened again.
//!
//! Deliberately not here: what a broker does about a failed store.

use crate::cluster::store::journal::{Replay, Segment};
use crate::cluster::store::recovery::DATABASE;
use crate::cluster::store::redb::{LogRow, Tables};
use crate::cluster::store::tail::OpNumber;
use crate::cluster::store::unpoisoned;
use crate::cluster::store::{Notify, StoreError, StoreNote, StoreOptions};
use crate::protocol::ids::{PartitionId, TopicId};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What a store's threads and its owner share.
#[derive(Debug, Default)]
pub struct Shared {
    /// The last write that is in the journal.
    pub journaled_op: AtomicU64,
    /// The last write that survives a loss of power.
    pub synced_op: AtomicU64,
    /// The last write that is in the database.
    pub flushed_op: AtomicU64,
    /// Bytes of batches that were journaled since the store was opened, with those that recovery found unflushed.
    pub journaled_bytes: AtomicU64,
    /// Bytes of batches flushed since the store was opened.
    pub flushed_bytes: AtomicU64,
    /// Flushes done since the store was opened.
    pub flushes: AtomicU64,
    /// Groups given to the journal's thread and not yet answered.
    pub outstanding: AtomicU64,
    /// Somebody was told that there is no room.
    pub wants_room: AtomicBool,
    /// Segments that a flush has under way.
    pub flushing: Mutex<Vec<Segment>>,
    abandoned: AtomicBool,
    failed: Mutex<Option<String>>,
    has_failed: AtomicBool,
    delay_ms: AtomicU64,
    is_full: AtomicBool,
    is_failing: AtomicBool,
}

impl Shared {
    /// Whether the disk has failed.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Why the disk has failed, if it has.
    pub fn failure(&self) -> Option<String> {
        unpoisoned(&self.failed).clone()
    }

    /// The disk has failed: says so once.
    pub fn fail(&self, reason: &str, notify: &Notify) {
        if self.is_abandoned() || self.has_failed.swap(true, Ordering::AcqRel) {
            return;
        }
        *unpoisoned(&self.failed) = Some(reason.to_owned());
        notify(StoreNote::Failed { reason: reason.to_owned() });
    }

    /// The process "has ended": what has not been written yet never will be.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Whether the process "has ended".
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Sleeps as long as the disk is slow; not on the broker's thread.
    pub fn wait_slow_disk(&self) {
        let delay_ms = self.delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 {
            std::thread::sleep(Duration::from_millis(delay_ms));
        }
    }

    /// Whether writes have to wait (a fault).
    pub fn is_slow(&self) -> bool {
        self.delay_ms.load(Ordering::Relaxed) > 0
    }

    /// # Errors
    /// If the disk is full or fails (faults).
    pub fn check_room(&self) -> io::Result<()> {
        self.check_reads()?;
        if self.is_full.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// # Errors
    /// If the disk fails (a fault).
    pub fn check_reads(&self) -> io::Result<()> {
        if self.is_failing.load(Ordering::Relaxed) { Err(io::Error::other("the disk fails")) } else { Ok(()) }
    }

    /// A flush is done.
    pub fn flushed(&self, last_op: OpNumber, bytes: u64, notify: &Notify) {
        self.flushed_op.store(last_op, Ordering::Release);
        self.synced_op.fetch_max(last_op, Ordering::AcqRel);
        self.flushed_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.flushes.fetch_add(1, Ordering::Relaxed);
        if self.wants_room.swap(false, Ordering::AcqRel) {
            notify(StoreNote::HasRoom);
        }
    }

    /// Every write waits so long from now on; zero ends it.
    pub fn set_delay(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The disk takes nothing more, or does again.
    pub fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    /// The disk fails every read and write, or is well again.
    pub fn set_failing(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Ordering::Relaxed);
    }
}

/// Damages what a broker wrote last and has not flushed, as a bad sector would: a byte of the newest record that the
/// journal still holds. Returns whether there was one. The broker must not run.
///
/// # Errors
/// What the disk says.
pub fn corrupt_tail(directory: &Path) -> io::Result<bool> {
    let mut segments = Vec::new();
    for path in segment_paths(directory)? {
        segments.extend(Replay::read(&path)?.filter(|replay| !replay.ops.is_empty()));
    }
    match segments.iter().max_by_key(|replay| replay.generation) {
        Some(newest) => corrupt_segment(&newest.path),
        None => Ok(false),
    }
}

/// A flushed batch that was damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedBatch {
    /// Its topic's name.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Where it begins.
    pub base_offset: i64,
}

/// Damages a flushed batch of a broker that does not run: of a partition, or of that with the most bytes; the one that
/// holds an offset, or the last one. Its next reader finds it by its CRC. `None` if there is none.
///
/// # Errors
/// What the disk says.
pub fn corrupt_flushed(
    directory: &Path,
    partition: Option<PartitionId>,
    offset: Option<i64>,
) -> Result<Option<DamagedBatch>, StoreError> {
    let path = directory.join(DATABASE);
    let failed = |error| StoreError::Database { path: path.clone(), error };
    let tables = Tables::open(&path, StoreOptions::default().cache_bytes).map_err(failed)?;
    let rows = tables.load().map_err(failed)?.rows;
    let is_meant = |row: &LogRow| match partition {
        Some(partition) => row.partition == partition,
        None => row.partition.topic != TopicId::METADATA,
    };
    let meant = rows.into_iter().filter(|(_, row)| is_meant(row)).max_by_key(|(_, row)| row.end_position);
    let Some((log, row)) = meant else { return Ok(None) };
    let damaged = tables.corrupt(log, offset).map_err(failed)?;
    Ok(damaged.map(|base_offset| DamagedBatch { topic: row.topic, partition: row.partition.partition, base_offset }))
}

/// Changes the last byte of the last record of a segment.
pub(super) fn corrupt_segment(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let Some(replay) = Replay::read(path)?.filter(|replay| !replay.ops.is_empty()) else { return Ok(false) };
    let at = (replay.bounds[replay.bounds.len() - 1] - 1) as u64;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    // Not so that a second damage mends the first.
    file.write_all_at(&[byte[0].wrapping_add(1)], at)?;
    Ok(true)
}

/// The journal's files.
pub(super) fn segment_paths(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("journal-") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// The disk is replaced: everything a broker ever wrote is gone. The broker must not run.
///
/// # Errors
/// What the disk says.
pub fn wipe(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

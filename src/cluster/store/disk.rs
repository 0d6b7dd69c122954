//! The store with files: what a broker's thread holds. It writes to memory and hands everything on to the storage
//! threads; it reads from memory, and from the database what is no longer there.
//!
//! Invariants: nothing here waits for a write, but for the small ones that the idle journal takes at once (page cache,
//! no sync); a read finds a batch in memory or in the database, never twice, never neither.
//!
//! Deliberately not here: the work of the threads (`storage_thread.rs`).

use crate::cluster::store::faults::Shared;
use crate::cluster::store::memory::no_such;
use crate::cluster::store::recovery::{self, Recovered};
use crate::cluster::store::redb::{DatabaseError, Tables};
use crate::cluster::store::rewritten::Piece;
use crate::cluster::store::storage_thread::{FlushThread, Job, Journal, StorageThread, op_bytes};
use crate::cluster::store::tail::{OpNumber, Tail, take_within, visit_headers};
use crate::cluster::store::unpoisoned;
use crate::cluster::store::{Crash, Durability, Notify, StoreControl, StoreError, StoreOptions};
use crate::engine::io::{LogInfo, LogRead, LogStore, ReadError, StorageOp};
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::ids::LogId;
use bytes::Bytes;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Groups up to this size may be journaled on the broker's thread.
const INLINE_BYTES: u64 = 32 * 1024;
/// ... as long as no more than this waits for a flush: beyond, the disk is busy and a write may have to wait for it.
const INLINE_BACKLOG_BYTES: u64 = 2 * 1024 * 1024;

/// A broker's store with files.
pub struct DiskStore {
    directory: PathBuf,
    options: StoreOptions,
    tail: Tail,
    last_op: OpNumber,
    /// Bytes of batches written since the store was opened.
    written_bytes: u64,
    /// Writes since the last persist.
    unpersisted: Vec<StorageOp>,
    was_clean: bool,
    tables: Arc<Tables>,
    shared: Arc<Shared>,
    journal: Arc<Mutex<Journal>>,
    jobs: Sender<Job>,
    threads: Vec<JoinHandle<()>>,
    notify: Notify,
}

impl DiskStore {
    /// Opens or makes the store in a directory and starts its threads.
    ///
    /// # Errors
    /// If it cannot be read, or is in use.
    pub fn open(directory: &Path, options: StoreOptions, notify: Notify) -> Result<DiskStore, StoreError> {
        let recovered = recovery::recover(directory, &options)?;
        let Recovered { tables, rows, flushed_op, tail, unflushed, last_op, current, generation, older, was_clean } =
            recovered;
        let shared = Arc::new(Shared::default());
        shared.flushed_op.store(flushed_op, Ordering::Release);
        // Recovery has synced what it read.
        shared.synced_op.store(last_op, Ordering::Release);
        shared.journaled_op.store(last_op, Ordering::Release);
        let tables = Arc::new(tables);
        let written_bytes = unflushed.iter().map(op_bytes).sum();
        shared.journaled_bytes.store(written_bytes, Ordering::Release);
        let journal = Journal::new(directory.to_owned(), current, generation, older, unflushed, last_op);
        let journal = Arc::new(Mutex::new(journal));
        let (jobs, jobs_receiver) = channel();
        let (flushes, flushes_receiver) = channel();
        let storage = StorageThread {
            jobs: jobs_receiver,
            flushes,
            journal: Arc::clone(&journal),
            shared: Arc::clone(&shared),
            options: options.clone(),
            notify: Arc::clone(&notify),
            is_flushing: false,
        };
        let flusher = FlushThread {
            flushes: flushes_receiver,
            jobs: jobs.clone(),
            tables: Arc::clone(&tables),
            rows,
            shared: Arc::clone(&shared),
            notify: Arc::clone(&notify),
        };
        let start = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
            thread.map_err(|error| StoreError::Io { path: directory.to_owned(), error })
        };
        let threads =
            vec![start("journal", Box::new(move || storage.run()))?, start("flush", Box::new(move || flusher.run()))?];
        Ok(DiskStore {
            directory: directory.to_owned(),
            options,
            tail,
            last_op,
            written_bytes,
            unpersisted: Vec::new(),
            was_clean,
            tables,
            shared,
            journal,
            jobs,
            threads,
            notify,
        })
    }

    /// Gives everything written since the last call to the journal. True if it is safe already; otherwise
    /// `StoreNote::Persisted { seq }` will tell.
    pub fn persist(&mut self, seq: u64, sync: bool) -> bool {
        let ops = std::mem::take(&mut self.unpersisted);
        self.tail.evict(self.options.hot_bytes, self.shared.flushed_op.load(Ordering::Acquire));
        let ops = match self.persist_inline(ops, sync) {
            Ok(is_safe) => return is_safe,
            Err(ops) => ops,
        };
        self.shared.outstanding.fetch_add(1, Ordering::AcqRel);
        // The thread ends only with this store.
        drop(self.jobs.send(Job::Group { ops, seq, sync }));
        false
    }

    /// Writes to the journal on this thread if that cannot take long; hands the writes back if it could.
    fn persist_inline(&self, ops: Vec<StorageOp>, sync: bool) -> Result<bool, Vec<StorageOp>> {
        let must_wait = sync || self.options.durability == Durability::Sync || self.shared.is_slow();
        if must_wait
            || self.shared.has_failed()
            || self.shared.outstanding.load(Ordering::Acquire) > 0
            || ops.iter().map(op_bytes).sum::<u64>() > INLINE_BYTES
        {
            return Err(ops);
        }
        let Ok(mut journal) = self.journal.try_lock() else { return Err(ops) };
        if journal.waiting_bytes() > INLINE_BACKLOG_BYTES {
            return Err(ops);
        }
        let begins = journal.is_empty();
        let written = journal.append(ops, false, &self.shared);
        let is_due = journal.waiting_bytes() >= self.options.flush_bytes;
        drop(journal);
        match written {
            Ok(()) => {
                if begins || is_due {
                    drop(self.jobs.send(Job::Armed));
                }
                Ok(true)
            }
            Err(error) => {
                self.shared.fail(&format!("journal: {error}"), &self.notify);
                Ok(false)
            }
        }
    }

    /// Stops in an orderly way: everything is in the database, or synced in the journal if it is much, and the store marked as cleanly closed.
    ///
    /// # Errors
    /// If the disk has failed; the store is as after a crash then.
    pub fn close(mut self) -> Result<(), StoreError> {
        drop(self.jobs.send(Job::Stop { orderly: true }));
        self.join();
        if let Some(reason) = self.shared.failure() {
            return Err(StoreError::Failed { reason });
        }
        recovery::set_clean_mark(&self.directory, self.last_op)
            .map_err(|error| StoreError::Io { path: self.directory.clone(), error })
    }

    /// Ends at once and leaves the files as the end of the process, or a loss of power, would have left them. Returns
    /// what is known of the logs that are left.
    ///
    /// # Errors
    /// If the files cannot be cut.
    pub fn crash(mut self, how: Crash) -> Result<Vec<LogInfo>, StoreError> {
        self.shared.abandon();
        drop(self.jobs.send(Job::Stop { orderly: false }));
        self.join();
        let left = match how {
            Crash::Kill => self.shared.journaled_op.load(Ordering::Acquire),
            Crash::PowerLoss => {
                let failed = |error| StoreError::Io { path: self.directory.clone(), error };
                let mut flushing = unpoisoned(&self.shared.flushing);
                let mut journal = unpoisoned(&self.journal);
                for segment in flushing.iter_mut().chain(journal.segments_mut()) {
                    segment.lose_power().map_err(failed)?;
                }
                self.shared.synced_op.load(Ordering::Acquire)
            }
        };
        Ok(self.tail.infos_at(left))
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A thread that panicked has told why; its store is as after a crash.
            drop(thread.join());
        }
    }

    /// The end of what survives a loss of power.
    pub fn synced_up_to(&self, log: LogId) -> Option<i64> {
        Some(self.tail.log(log)?.end_at(self.shared.synced_op.load(Ordering::Acquire)))
    }

    /// The same for every log.
    pub fn synced_infos(&self) -> Vec<LogInfo> {
        self.tail.infos_at(self.shared.synced_op.load(Ordering::Acquire))
    }

    /// Faults and figures, for others than the broker's thread.
    pub fn control(&self) -> StoreControl {
        StoreControl::of_disk(Arc::clone(&self.shared), Arc::clone(&self.tables), self.jobs.clone())
    }

    /// Whether clients may write: they wait earlier than replicas, which only bring what some leader has taken in already.
    pub fn has_room_for_clients(&self) -> bool {
        self.has_room_within(self.options.tail_bytes / 8 * 5)
    }

    fn has_room_within(&self, limit: u64) -> bool {
        if self.unflushed_bytes() < limit {
            return true;
        }
        self.shared.wants_room.store(true, Ordering::Release);
        // A flush may have ended in between and found nobody waiting.
        self.unflushed_bytes() < limit
    }

    fn unflushed_bytes(&self) -> u64 {
        self.written_bytes.saturating_sub(self.shared.flushed_bytes.load(Ordering::Acquire))
    }
}

impl Drop for DiskStore {
    /// As the end of the process: what is journaled stays, nothing more is written.
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.shared.abandon();
            drop(self.jobs.send(Job::Stop { orderly: false }));
            self.join();
        }
    }
}

impl LogRead for DiskStore {
    fn logs(&self) -> Vec<LogInfo> {
        self.tail.infos()
    }

    fn read(&self, log: LogId, from: i64, max_bytes: usize) -> Result<Vec<Batch>, ReadError> {
        let found = self.tail.log(log).ok_or_else(|| no_such(log))?;
        let from = from.max(found.extent.start);
        let mut batches = Vec::new();
        if found.is_cold_at(from) {
            self.shared.check_reads().map_err(|error| ReadError { log, reason: error.to_string() })?;
            for piece in found.overlay.pieces(from..found.cold_end) {
                let complete = match piece {
                    Piece::Beneath(stretch) => self.tables.read(log, stretch, max_bytes, &mut batches),
                    Piece::Over(run) => Ok(take_within(run.iter(), max_bytes, &mut batches)),
                };
                if !complete.map_err(|error| refused(log, &error))? {
                    return Ok(batches);
                }
            }
        }
        take_within(found.hot_from(from), max_bytes, &mut batches);
        Ok(batches)
    }

    fn scan(
        &self,
        log: LogId,
        from: i64,
        visit: &mut dyn FnMut(&BatchHeader) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let found = self.tail.log(log).ok_or_else(|| no_such(log))?;
        let from = from.max(found.extent.start);
        if found.is_cold_at(from) {
            self.shared.check_reads().map_err(|error| ReadError { log, reason: error.to_string() })?;
            for piece in found.overlay.pieces(from..found.cold_end) {
                let broke = match piece {
                    Piece::Beneath(stretch) => self.tables.scan(log, stretch, visit),
                    Piece::Over(run) => Ok(visit_headers(run.iter(), visit)),
                };
                if broke.map_err(|error| refused(log, &error))?.is_break() {
                    return Ok(());
                }
            }
        }
        let _ = visit_headers(found.hot_from(from), visit);
        Ok(())
    }

    fn meta(&self, key: &str) -> Option<Bytes> {
        self.tail.meta(key)
    }

    fn meta_keys(&self, prefix: &str) -> Vec<String> {
        self.tail.meta_keys(prefix)
    }

    fn has_room(&self) -> bool {
        self.has_room_within(self.options.tail_bytes)
    }

    fn was_clean(&self) -> bool {
        self.was_clean
    }
}

impl LogStore for DiskStore {
    fn write(&mut self, op: StorageOp) {
        self.last_op += 1;
        self.written_bytes += op_bytes(&op);
        self.tail.apply(&op, self.last_op);
        self.unpersisted.push(op);
    }
}

fn refused(log: LogId, error: &DatabaseError) -> ReadError {
    ReadError { log, reason: error.to_string() }
}

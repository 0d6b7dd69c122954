//! What happens behind a broker's store: a thread that journals and syncs, grouping what has queued up, and a thread
//! that flushes into the database, so that journaling goes on meanwhile. Small writes to an idle journal are made by
//! the broker's own thread at once, which saves two changes of thread on the way of a single record.
//!
//! Invariants: writes reach the journal in the order of their numbers; a sync covers every earlier write, in whatever
//! segment it is; a segment is retired only when everything in it is in the database; after an error nothing is
//! journaled, flushed or answered any more.
//!
//! Deliberately not here: recovery (`recovery.rs`), reads (`disk.rs`).

use crate::cluster::store::faults::Shared;
use crate::cluster::store::flush::Changes;
use crate::cluster::store::journal::{Encoder, Segment};
use crate::cluster::store::redb::{LogRow, Tables};
use crate::cluster::store::tail::{OpNumber, size_of};
use crate::cluster::store::unpoisoned;
use crate::cluster::store::{Durability, Notify, StoreNote, StoreOptions};
use crate::engine::io::StorageOp;
use crate::protocol::ids::LogId;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Groups are gathered into one write up to this size.
const GROUP_BYTES: u64 = 8 * 1024 * 1024;
/// Spare files kept for reuse.
const SPARE_SEGMENTS: usize = 3;
/// What is synced in the journal already waits so many times longer for its flush: nothing depends on it, and an idle
/// broker rests.
const SYNCED_FLUSH_FACTOR: u32 = 30;
/// A stop flushes what waits if it is no more than this part of what a flush usually takes: it is to be done well within a second.
const STOP_FLUSH_PART: u64 = 4;

/// What the journal's thread is told.
#[derive(Debug)]
pub enum Job {
    /// Make these safe and answer.
    Group {
        /// The writes.
        ops: Vec<StorageOp>,
        /// What to answer.
        seq: u64,
        /// Whether they have to be synced.
        sync: bool,
    },
    /// The broker's thread has written to an empty journal: the time until the next flush begins.
    Armed,
    /// A flush has ended; its segments are free.
    Flushed(Vec<Segment>),
    /// Flip a byte of the last record.
    CorruptTail,
    /// Stop: in an orderly way, with everything flushed or synced in the journal, or at once.
    Stop {
        /// Everything safe from a loss of power.
        orderly: bool,
    },
}

/// What the flush's thread is told.
#[derive(Debug)]
pub struct Flush {
    ops: Vec<StorageOp>,
    last_op: OpNumber,
    bytes: u64,
    segments: Vec<Segment>,
}

/// The journal's files and what waits in them for a flush.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    current: Segment,
    /// Segments that are full and not yet given to a flush, or begun before the current life; oldest first.
    older: Vec<Segment>,
    /// Files that hold nothing, for reuse.
    spare: Vec<PathBuf>,
    encoder: Encoder,
    waiting: Vec<StorageOp>,
    waiting_bytes: u64,
    waiting_since: Option<Instant>,
    generation: u64,
    /// The number of the last write in the journal.
    last_op: OpNumber,
}

impl Journal {
    /// A journal that goes on after `recovered` writes, which wait for their flush in `older` segments.
    pub fn new(
        directory: PathBuf,
        current: Segment,
        generation: u64,
        older: Vec<Segment>,
        recovered: Vec<StorageOp>,
        last_op: OpNumber,
    ) -> Journal {
        let waiting_bytes = recovered.iter().map(op_bytes).sum();
        let waiting_since = (!recovered.is_empty()).then(Instant::now);
        Journal {
            directory,
            current,
            older,
            spare: Vec::new(),
            encoder: Encoder::default(),
            waiting: recovered,
            waiting_bytes,
            waiting_since,
            generation,
            last_op,
        }
    }

    /// Appends writes and remembers them for the flush.
    ///
    /// # Errors
    /// What the disk says.
    pub fn append(&mut self, ops: Vec<StorageOp>, sync: bool, shared: &Shared) -> io::Result<()> {
        shared.check_room()?;
        self.current.append(&ops, &mut self.encoder)?;
        self.last_op += ops.len() as u64;
        let bytes = ops.iter().map(op_bytes).sum::<u64>();
        self.waiting_bytes += bytes;
        self.waiting.extend(ops);
        shared.journaled_bytes.fetch_add(bytes, Ordering::Relaxed);
        shared.journaled_op.store(self.last_op, Ordering::Release);
        if sync {
            self.sync(shared)?;
        }
        self.waiting_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Whether nothing waits for a flush.
    pub fn is_empty(&self) -> bool {
        self.waiting_since.is_none()
    }

    /// Bytes of batches that wait for a flush.
    pub fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    fn sync(&mut self, shared: &Shared) -> io::Result<()> {
        for segment in unpoisoned(&shared.flushing).iter_mut() {
            segment.sync()?;
        }
        for segment in &mut self.older {
            segment.sync()?;
        }
        self.current.sync()?;
        shared.synced_op.fetch_max(self.last_op, Ordering::AcqRel);
        Ok(())
    }

    /// Whether a flush is due: by size or by age.
    fn is_due(&self, options: &StoreOptions, shared: &Shared, now: Instant) -> bool {
        self.waiting_bytes >= options.flush_bytes || self.due_at(options, shared).is_some_and(|at| at <= now)
    }

    fn due_at(&self, options: &StoreOptions, shared: &Shared) -> Option<Instant> {
        let is_synced = shared.synced_op.load(Ordering::Acquire) >= self.last_op;
        let interval = options.flush_interval * if is_synced { SYNCED_FLUSH_FACTOR } else { 1 };
        Some(self.waiting_since? + interval)
    }

    /// Takes everything that waits, and begins a new segment for what comes.
    fn rotate(&mut self) -> io::Result<Flush> {
        self.generation += 1;
        let reuse = self.spare.pop();
        let next = Segment::begin(&self.directory, self.generation, self.last_op + 1, reuse.as_deref())?;
        let mut segments = std::mem::take(&mut self.older);
        segments.push(std::mem::replace(&mut self.current, next));
        self.waiting_since = None;
        Ok(Flush {
            ops: std::mem::take(&mut self.waiting),
            last_op: self.last_op,
            bytes: std::mem::take(&mut self.waiting_bytes),
            segments,
        })
    }

    fn retire(&mut self, segments: Vec<Segment>) {
        for segment in segments {
            let path = segment.path().to_owned();
            // A file that cannot be retired or removed does no harm: its writes are flushed, replay skips them.
            match segment.retire() {
                Ok(path) if self.spare.len() < SPARE_SEGMENTS => self.spare.push(path),
                _ => drop(std::fs::remove_file(path)),
            }
        }
    }

    /// The segments, for a loss of power.
    pub fn segments_mut(&mut self) -> impl Iterator<Item = &mut Segment> {
        self.older.iter_mut().chain(std::iter::once(&mut self.current))
    }

    /// Removes all of its files: everything is in the database.
    fn remove_files(&mut self) {
        let paths = self.spare.drain(..).chain([self.current.path().to_owned()]).collect::<Vec<_>>();
        for path in paths {
            drop(std::fs::remove_file(path));
        }
    }

    /// Where the newest record lies.
    fn tail_path(&self) -> PathBuf {
        self.current.path().to_owned()
    }
}

/// Bytes of batches in a write: what the tail's limit counts.
pub fn op_bytes(op: &StorageOp) -> u64 {
    match op {
        StorageOp::Append { batch, .. } => size_of(batch),
        StorageOp::Rewrite { batches, .. } => batches.iter().map(size_of).sum(),
        _ => 0,
    }
}

/// The journal's thread.
pub struct StorageThread {
    /// The jobs.
    pub jobs: Receiver<Job>,
    /// To the flush's thread.
    pub flushes: Sender<Flush>,
    /// The journal, which the broker's thread may use too while this one has nothing to do.
    pub journal: Arc<Mutex<Journal>>,
    /// What both threads and the store share.
    pub shared: Arc<Shared>,
    /// The options.
    pub options: StoreOptions,
    /// Whom to tell.
    pub notify: Notify,
    /// Whether a flush is under way.
    pub is_flushing: bool,
}

impl StorageThread {
    /// Runs until it is told to stop.
    pub fn run(mut self) {
        loop {
            let job = match self.next_deadline() {
                None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.jobs.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let goes_on = match job {
                Ok(Job::Group { ops, seq, sync }) => self.group(ops, seq, sync),
                Ok(job) => self.handle(job),
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            if !goes_on {
                return;
            }
            self.flush_if_due();
        }
    }

    /// When the next flush is due by age, unless one is under way (its end will wake this thread).
    fn next_deadline(&self) -> Option<Instant> {
        if self.is_flushing || self.shared.has_failed() {
            return None;
        }
        self.lock().due_at(&self.options, &self.shared)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Journal> {
        unpoisoned(&self.journal)
    }

    /// Journals a group and everything that has queued up behind it.
    fn group(&mut self, mut ops: Vec<StorageOp>, mut seq: u64, sync: bool) -> bool {
        let mut sync = sync || self.options.durability == Durability::Sync;
        let mut groups = 1;
        let mut bytes: u64 = ops.iter().map(op_bytes).sum();
        let mut other = None;
        while bytes < GROUP_BYTES {
            match self.jobs.try_recv() {
                Ok(Job::Group { ops: more, seq: later, sync: wants_sync }) => {
                    bytes += more.iter().map(op_bytes).sum::<u64>();
                    ops.extend(more);
                    (seq, sync, groups) = (later, sync || wants_sync, groups + 1);
                }
                Ok(job) => {
                    other = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        if !self.shared.has_failed() && !self.shared.is_abandoned() {
            self.shared.wait_slow_disk();
            let written = self.lock().append(ops, sync, &self.shared);
            match written {
                Ok(()) => {
                    self.shared.outstanding.fetch_sub(groups, Ordering::AcqRel);
                    (self.notify)(StoreNote::Persisted { seq });
                }
                Err(error) => self.fail(&format!("journal: {error}")),
            }
        }
        other.is_none_or(|job| self.handle(job))
    }

    fn handle(&mut self, job: Job) -> bool {
        match job {
            Job::Group { ops, seq, sync } => return self.group(ops, seq, sync),
            Job::Armed => {}
            Job::Flushed(segments) => {
                self.is_flushing = false;
                self.lock().retire(segments);
            }
            Job::CorruptTail => {
                let path = self.lock().tail_path();
                drop(crate::cluster::store::faults::corrupt_segment(&path));
            }
            Job::Stop { orderly } => {
                if orderly {
                    self.finish();
                }
                return false;
            }
        }
        true
    }

    fn flush_if_due(&mut self) {
        if self.is_flushing || self.shared.has_failed() || self.shared.is_abandoned() {
            return;
        }
        if self.lock().is_due(&self.options, &self.shared, Instant::now()) {
            self.start_flush();
        }
    }

    fn start_flush(&mut self) {
        let rotated = self.lock().rotate();
        match rotated {
            Ok(mut flush) => {
                // Where a sync finds them while the flush has not ended.
                *unpoisoned(&self.shared.flushing) = std::mem::take(&mut flush.segments);
                self.is_flushing = self.flushes.send(flush).is_ok();
            }
            Err(error) => self.fail(&format!("journal: {error}")),
        }
    }

    /// Flushes everything, waiting for it, and removes the journal's files; if that is more than a stop may take, the journal is synced and left
    /// to be replayed.
    fn finish(&mut self) {
        loop {
            while self.is_flushing {
                match self.jobs.recv() {
                    Ok(job) => drop(self.handle(job)),
                    Err(_) => return,
                }
            }
            if self.shared.has_failed() {
                return;
            }
            let mut journal = self.lock();
            if journal.waiting.is_empty() {
                break;
            }
            if journal.waiting_bytes() > self.options.flush_bytes / STOP_FLUSH_PART {
                if let Err(error) = journal.sync(&self.shared) {
                    self.fail(&format!("journal: {error}"));
                }
                return;
            }
            drop(journal);
            self.start_flush();
        }
        let mut journal = self.lock();
        let older = std::mem::take(&mut journal.older);
        journal.retire(older);
        journal.remove_files();
    }

    fn fail(&self, reason: &str) {
        self.shared.fail(reason, &self.notify);
    }
}

/// The flush's thread.
pub struct FlushThread {
    /// The flushes.
    pub flushes: Receiver<Flush>,
    /// Back to the journal's thread.
    pub jobs: Sender<Job>,
    /// The database.
    pub tables: Arc<Tables>,
    /// What the database holds.
    pub rows: BTreeMap<LogId, LogRow>,
    /// What all share.
    pub shared: Arc<Shared>,
    /// Whom to tell.
    pub notify: Notify,
}

impl FlushThread {
    /// Runs until the journal's thread has gone.
    pub fn run(mut self) {
        while let Ok(flush) = self.flushes.recv() {
            let changes = Changes::fold(flush.ops, flush.last_op, &self.rows);
            self.shared.wait_slow_disk();
            let result = self.shared.check_room().map_err(|error| error.to_string());
            let result =
                result.and_then(|()| self.tables.commit(&changes, &mut self.rows).map_err(|error| error.to_string()));
            drop(changes);
            let segments = std::mem::take(&mut *unpoisoned(&self.shared.flushing));
            match result {
                Ok(()) => {
                    self.shared.flushed(flush.last_op, flush.bytes, &self.notify);
                    drop(self.jobs.send(Job::Flushed(segments)));
                }
                Err(reason) => {
                    // What was being flushed is still in its segments, and a loss of power may come to them yet.
                    *unpoisoned(&self.shared.flushing) = segments;
                    self.shared.fail(&format!("database: {reason}"), &self.notify);
                    drop(self.jobs.send(Job::Flushed(Vec::new())));
                }
            }
        }
    }
}

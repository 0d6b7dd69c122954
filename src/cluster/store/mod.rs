//! A broker's store: logs of record batches and small named values, kept as safe as the durability mode promises.
//!
//! The path of a write: memory (`tail.rs`, readable at once) → journal (`journal.rs`, safe from the end of the process;
//! synced, also from the loss of power) → flush (`flush.rs`, `redb.rs`: the database, each second or 16 MiB). A
//! broker's thread holds a [`BrokerStore`]; the threads behind it are in `storage_thread.rs`; `memory.rs` is the store
//! without files.
//!
//! Invariants: what was persisted is found again after any end of the process; what was synced, after any loss of
//! power; both come back as a prefix of what was written. The broker's thread waits for no write.
//!
//! Deliberately not here: what is written and why (the engine), and which faults are active (`live/faults.rs`).

mod disk;
mod faults;
mod flush;
mod journal;
mod memory;
mod recovery;
mod redb;
mod rewritten;
mod storage_thread;
mod tail;

pub use faults::{DamagedBatch, corrupt_flushed, corrupt_tail, wipe};
pub use memory::MemoryStore;
pub use recovery::compact;
pub use redb::DatabaseError;

use crate::engine::io::{LogInfo, LogRead, LogStore, ReadError, StorageOp};
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::ids::LogId;
use bytes::Bytes;
use disk::DiskStore;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// When a write counts as persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once it is in the operating system's cache: survives the end of the process.
    #[default]
    Process,
    /// Once it is on the disk: survives the loss of power.
    Sync,
    /// At once: there are no files.
    Memory,
}

/// How a store is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// When a write counts as persisted.
    pub durability: Durability,
    /// Bytes of batches that may wait for their flush before the store has no room.
    pub tail_bytes: u64,
    /// Bytes of batches kept in memory for readers though they are flushed.
    pub hot_bytes: u64,
    /// redb's own cache, in bytes.
    pub cache_bytes: usize,
    /// Bytes of batches that make a flush due.
    pub flush_bytes: u64,
    /// Age of a write that makes a flush due.
    pub flush_interval: Duration,
    /// Bytes of batches a store in memory may hold.
    pub memory_limit_bytes: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        const MIB: u64 = 1024 * 1024;
        StoreOptions {
            durability: Durability::Process,
            tail_bytes: 64 * MIB,
            hot_bytes: 16 * MIB,
            cache_bytes: 16 * 1024 * 1024,
            flush_bytes: 16 * MIB,
            flush_interval: Duration::from_secs(1),
            memory_limit_bytes: None,
        }
    }
}

/// What a store tells its broker's host, from its own threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreNote {
    /// Everything up to the persist with this number is as safe as promised.
    Persisted {
        /// The number.
        seq: u64,
    },
    /// There was no room, and now there is.
    HasRoom,
    /// The disk has failed: nothing more will be persisted until the store is opened again.
    Failed {
        /// What the disk said.
        reason: String,
    },
}

/// Whom a store tells. Called from its threads; must not block.
pub type Notify = Arc<dyn Fn(StoreNote) + Send + Sync>;

/// Why a store cannot be opened or closed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named for what they hold")]
pub enum StoreError {
    /// A file cannot be used.
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    /// The database cannot be used.
    #[error("{}: {error}", path.display())]
    Database { path: PathBuf, error: DatabaseError },
    /// The disk had failed.
    #[error("the disk has failed: {reason}")]
    Failed { reason: String },
}

/// How a store may end without being closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process ends; the machine goes on.
    Kill,
    /// The machine stops: what was not synced is gone.
    PowerLoss,
}

/// A broker's store, as its thread holds it. Dropping it is [`Crash::Kill`].
pub struct BrokerStore {
    inner: Inner,
    control: StoreControl,
}

enum Inner {
    Disk(Box<DiskStore>),
    Memory(Box<InMemory>),
}

struct InMemory {
    store: MemoryStore,
    notify: Notify,
    sync_interval: Duration,
    unsynced_since: Option<Instant>,
    /// Somebody was told that there is no room.
    wants_room: AtomicBool,
}

impl BrokerStore {
    /// Opens or makes the store in a directory.
    ///
    /// # Errors
    /// If it cannot be read, or is in use.
    pub fn open(directory: &Path, options: StoreOptions, notify: Notify) -> Result<BrokerStore, StoreError> {
        let disk = DiskStore::open(directory, options, notify)?;
        let control = disk.control();
        Ok(BrokerStore { inner: Inner::Disk(Box::new(disk)), control })
    }

    /// A store without files over what the host has kept of it.
    pub fn in_memory(store: MemoryStore, options: &StoreOptions, notify: Notify) -> BrokerStore {
        let control = StoreControl { memory_bytes: Arc::new(AtomicU64::new(store.bytes())), disk: None };
        let memory = InMemory {
            store,
            notify,
            sync_interval: options.flush_interval,
            unsynced_since: None,
            wants_room: AtomicBool::new(false),
        };
        BrokerStore { inner: Inner::Memory(Box::new(memory)), control }
    }

    /// Makes everything written since the last call safe. True if it is already; otherwise [`StoreNote::Persisted`]
    /// with `seq` will tell.
    pub fn persist(&mut self, seq: u64, sync: bool) -> bool {
        match &mut self.inner {
            Inner::Disk(disk) => disk.persist(seq, sync),
            Inner::Memory(memory) => {
                memory.persist(sync);
                self.control.memory_bytes.store(memory.store.bytes(), Ordering::Relaxed);
                true
            }
        }
    }

    /// Stops in an orderly way. A store in memory is handed back.
    ///
    /// # Errors
    /// If the disk has failed.
    pub fn close(self) -> Result<Option<MemoryStore>, StoreError> {
        match self.inner {
            Inner::Disk(disk) => disk.close().map(|()| None),
            Inner::Memory(mut memory) => {
                memory.store.mark_synced();
                memory.store.set_clean(true);
                Ok(Some(memory.store))
            }
        }
    }

    /// Ends at once. Returns what is known of the logs that are left, and a store in memory.
    ///
    /// # Errors
    /// If the files cannot be brought into the state that the crash would have left.
    pub fn crash(self, how: Crash) -> Result<(Vec<LogInfo>, Option<MemoryStore>), StoreError> {
        match self.inner {
            Inner::Disk(disk) => Ok((disk.crash(how)?, None)),
            Inner::Memory(mut memory) => {
                if how == Crash::PowerLoss {
                    memory.sync_if_due();
                    memory.store.lose_power();
                }
                memory.store.set_clean(false);
                Ok((memory.store.logs(), Some(memory.store)))
            }
        }
    }

    /// The end of what of a log survives a loss of power.
    pub fn synced_up_to(&self, log: LogId) -> Option<i64> {
        match &self.inner {
            Inner::Disk(disk) => disk.synced_up_to(log),
            Inner::Memory(memory) => memory.store.synced_up_to(log),
        }
    }

    /// Whether clients may write; if not, [`StoreNote::HasRoom`] will come. They wait earlier than replicas do
    /// ([`LogRead::has_room`]), so that a slow disk holds producers back before it throws followers out of the ISR.
    pub fn has_room_for_clients(&self) -> bool {
        match &self.inner {
            Inner::Disk(disk) => disk.has_room_for_clients(),
            Inner::Memory(_) => self.has_room(),
        }
    }

    /// Every log as a loss of power would leave it.
    pub fn synced_infos(&self) -> Vec<LogInfo> {
        match &self.inner {
            Inner::Disk(disk) => disk.synced_infos(),
            Inner::Memory(memory) => memory.store.synced_infos(),
        }
    }

    /// Faults and figures, for others than the broker's thread.
    pub fn control(&self) -> StoreControl {
        self.control.clone()
    }

    fn read_from(&self) -> &dyn LogRead {
        match &self.inner {
            Inner::Disk(disk) => disk.as_ref(),
            Inner::Memory(memory) => &memory.store,
        }
    }
}

impl InMemory {
    fn persist(&mut self, sync: bool) {
        self.sync_if_due();
        if sync {
            self.store.mark_synced();
            self.unsynced_since = None;
        } else {
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
        if self.store.has_room() && self.wants_room.swap(false, Ordering::Relaxed) {
            (self.notify)(StoreNote::HasRoom);
        }
    }

    /// What is a second old counts as synced, as the operating system would have done it.
    fn sync_if_due(&mut self) {
        if self.unsynced_since.is_some_and(|since| since.elapsed() >= self.sync_interval) {
            self.store.mark_synced();
            self.unsynced_since = None;
        }
    }
}

impl LogRead for BrokerStore {
    fn logs(&self) -> Vec<LogInfo> {
        self.read_from().logs()
    }

    fn read(&self, log: LogId, from: i64, max_bytes: usize) -> Result<Vec<Batch>, ReadError> {
        self.read_from().read(log, from, max_bytes)
    }

    fn scan(
        &self,
        log: LogId,
        from: i64,
        visit: &mut dyn FnMut(&BatchHeader) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.read_from().scan(log, from, visit)
    }

    fn meta(&self, key: &str) -> Option<Bytes> {
        self.read_from().meta(key)
    }

    fn meta_keys(&self, prefix: &str) -> Vec<String> {
        self.read_from().meta_keys(prefix)
    }

    fn has_room(&self) -> bool {
        let has_room = self.read_from().has_room();
        if let Inner::Memory(memory) = &self.inner
            && !has_room
        {
            memory.wants_room.store(true, Ordering::Relaxed);
        }
        has_room
    }

    fn was_clean(&self) -> bool {
        self.read_from().was_clean()
    }

    fn excess_bytes(&self) -> u64 {
        self.read_from().excess_bytes()
    }
}

impl LogStore for BrokerStore {
    fn write(&mut self, op: StorageOp) {
        match &mut self.inner {
            Inner::Disk(disk) => disk.write(op),
            Inner::Memory(memory) => memory.store.write(op),
        }
    }
}

/// A store seen from outside its broker's thread.
#[derive(Clone)]
pub struct StoreControl {
    memory_bytes: Arc<AtomicU64>,
    disk: Option<DiskControl>,
}

#[derive(Clone)]
struct DiskControl {
    shared: Arc<faults::Shared>,
    tables: Arc<redb::Tables>,
    jobs: Sender<storage_thread::Job>,
}

impl StoreControl {
    fn of_disk(
        shared: Arc<faults::Shared>,
        tables: Arc<redb::Tables>,
        jobs: Sender<storage_thread::Job>,
    ) -> StoreControl {
        StoreControl { memory_bytes: Arc::default(), disk: Some(DiskControl { shared, tables, jobs }) }
    }

    /// Every write to the disk takes so much longer from now on; zero ends it. Without files nothing happens.
    pub fn set_disk_delay(&self, delay: Duration) {
        if let Some(disk) = &self.disk {
            disk.shared.set_delay(delay);
        }
    }

    /// The disk takes nothing more from now on, or does again (for a broker that starts anew).
    pub fn set_disk_full(&self, is_full: bool) {
        if let Some(disk) = &self.disk {
            disk.shared.set_full(is_full);
        }
    }

    /// The disk answers every read and write with an error from now on, or is well again (for a broker that starts anew).
    pub fn set_disk_failing(&self, is_failing: bool) {
        if let Some(disk) = &self.disk {
            disk.shared.set_failing(is_failing);
        }
    }

    /// Damages a batch that is in the database: the one that holds an offset, or the log's last one. Found by its next
    /// reader. Returns the offset it begins at; `None` if it is not there (it may not have been flushed yet).
    ///
    /// # Errors
    /// What the disk says.
    pub fn corrupt(&self, log: LogId, offset: Option<i64>) -> std::io::Result<Option<i64>> {
        let Some(disk) = &self.disk else { return Ok(None) };
        disk.tables.corrupt(log, offset).map_err(std::io::Error::other)
    }

    /// Damages the newest record that is in the journal: found at the next start, if it is not flushed before.
    pub fn corrupt_tail(&self) {
        if let Some(disk) = &self.disk {
            drop(disk.jobs.send(storage_thread::Job::CorruptTail));
        }
    }

    /// Bytes of the store: of its database and what only the journal has, or in memory.
    pub fn bytes(&self) -> u64 {
        match &self.disk {
            Some(disk) => {
                let flushed = disk.shared.flushed_bytes.load(Ordering::Acquire);
                let journaled = disk.shared.journaled_bytes.load(Ordering::Acquire);
                disk.tables.file_bytes() + journaled.saturating_sub(flushed)
            }
            None => self.memory_bytes.load(Ordering::Relaxed),
        }
    }

    /// Flushes done since the store was opened.
    pub fn flushes(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.shared.flushes.load(Ordering::Relaxed))
    }

    /// Why the disk has failed, if it has.
    pub fn failure(&self) -> Option<String> {
        self.disk.as_ref().and_then(|disk| disk.shared.failure())
    }
}

/// A note taker that keeps nothing: for tools that only read.
pub fn ignore_notes() -> Notify {
    Arc::new(|_| ())
}

/// A lock whose holder panicked holds data that is still whole here: every change under it is complete at once.
fn unpoisoned<T>(lock: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

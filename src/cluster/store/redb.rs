//! The database below the tail: one redb file a broker, written by whole flushes only, each one transaction.
//!
//! A log is a stream of bytes: its batches one after another, cut at every 65,512 bytes (a redb page of 64 KiB less its
//! own 24) into the values of one table for all logs. The last value of a flush may be shorter; it is never filled up
//! later. A second table says at which position of the stream some batches begin: at least the first that begins in
//! each value. Extents, names, named values and the number of the last write are in the same transaction, so that the
//! file is one consistent moment whenever it is opened.
//!
//! What compaction has rewritten is in a third table, by its first offset: it may have become longer than what it was made
//! of, and the stream has no room. It leaves a hole in the stream; the first batch after a hole begins a value and is in
//! the index (`redb/rewriting.rs`). A log is both tables, merged by offset.
//!
//! Invariants: the first batch that a log has kept is in the index, so a search never begins in the middle of a batch;
//! positions only grow, also after a truncation to zero, so a key is never reused for other bytes by a later flush
//! without having been removed.
//!
//! Deliberately not here: what happens between flushes, and any cache of batches (`tail.rs`).

mod rewriting;

use crate::cluster::store::flush::{Changes, LogChange};
use crate::cluster::store::tail::{Extent, OpNumber, take_within, visit_headers};
use crate::protocol::batch::{Batch, BatchHeader, HEADER_SIZE};
use crate::protocol::ids::{LogId, PartitionId, TopicId};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The size of a full value: with redb's 24 bytes beside it exactly one page of 64 KiB. One byte more would take 128
/// KiB.
pub const VALUE_SIZE: usize = 65_512;

/// A read allocates at most so much ahead; more only as it is filled.
const LARGEST_READ: usize = 8 * 1024 * 1024;

const DATA: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("data");
const INDEX: TableDefinition<(u64, i64), u64> = TableDefinition::new("index");
/// Runs of batches that were rewritten, each at most [`VALUE_SIZE`] unless it is a single batch.
const REWRITTEN: TableDefinition<(u64, i64), &[u8]> = TableDefinition::new("rewritten");
const LOGS: TableDefinition<u64, &[u8]> = TableDefinition::new("logs");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const STORE: TableDefinition<&str, u64> = TableDefinition::new("store");

/// The layout's version, under [`FORMAT_KEY`].
const FORMAT: u64 = 1;
const FORMAT_KEY: &str = "format";
const FLUSHED_KEY: &str = "flushed";

type Result<T> = std::result::Result<T, DatabaseError>;

/// What a database is called until it is whole, behind its own name.
const MAKING: &str = "redb.making";

/// What went wrong in the database. After it the database takes no more writes until it is opened again.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// redb or the disk.
    #[error("{0}")]
    Redb(#[from] redb::Error),
    /// The file does not hold what we wrote.
    #[error("damaged: {0}")]
    Damaged(String),
}

macro_rules! from_redb {
    ($($error:ty),*) => { $(
        impl From<$error> for DatabaseError {
            fn from(error: $error) -> DatabaseError {
                DatabaseError::Redb(error.into())
            }
        }
    )* };
}
from_redb!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::SetDurabilityError,
    redb::CompactionError
);

/// What the database knows of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// The partition.
    pub partition: PartitionId,
    /// The topic's name.
    pub topic: String,
    /// The log's offsets.
    pub extent: Extent,
    /// Where the stream goes on.
    pub end_position: u64,
}

impl LogRow {
    fn encode(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(64 + self.topic.len());
        to.put_slice(self.partition.topic.0.as_bytes());
        to.put_i32_le(self.partition.partition);
        to.put_i64_le(self.extent.start);
        to.put_i64_le(self.extent.end);
        to.put_u64_le(self.end_position);
        to.put_slice(self.topic.as_bytes());
        to
    }

    fn decode(mut from: &[u8]) -> Option<LogRow> {
        let topic = TopicId(uuid::Uuid::from_slice(from.get(..16)?).ok()?);
        from.advance(16);
        let partition = PartitionId::new(topic, from.try_get_i32_le().ok()?);
        let extent = Extent { start: from.try_get_i64_le().ok()?, end: from.try_get_i64_le().ok()? };
        let end_position = from.try_get_u64_le().ok()?;
        Some(LogRow { partition, topic: String::from_utf8(from.to_vec()).ok()?, extent, end_position })
    }
}

/// Everything but the batches.
#[derive(Debug, Default)]
pub struct Contents {
    /// The logs.
    pub rows: BTreeMap<LogId, LogRow>,
    /// The named values.
    pub meta: BTreeMap<String, Bytes>,
    /// The number of the last write that is in here.
    pub flushed: OpNumber,
}

/// A broker's database. Made at its first flush: a broker that has written nothing has no file.
#[derive(Debug)]
pub struct Tables {
    path: PathBuf,
    cache_bytes: usize,
    database: OnceLock<Database>,
}

impl Tables {
    /// Opens the database if there is one.
    ///
    /// # Errors
    /// If the file cannot be opened, is in use, or is of another format.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Tables> {
        let tables = Tables { path: path.to_owned(), cache_bytes, database: OnceLock::new() };
        if path.exists() {
            tables.create()?;
        }
        Ok(tables)
    }

    fn create(&self) -> Result<&Database> {
        if let Some(database) = self.database.get() {
            return Ok(database);
        }
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache_bytes);
        let database = if self.path.exists() { builder.create(&self.path)? } else { self.make(&builder)? };
        Ok(self.database.get_or_init(|| database))
    }

    /// Makes the database under another name: redb takes a file whose making was cut short, by the end of the process,
    /// for none of its own, and would for ever.
    fn make(&self, builder: &redb::Builder) -> Result<Database> {
        let making = self.path.with_extension(MAKING);
        let in_files = |error: std::io::Error| DatabaseError::Redb(redb::Error::Io(error));
        match std::fs::remove_file(&making) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(in_files(error)),
            _ => {}
        }
        let database = builder.create(&making)?;
        std::fs::rename(&making, &self.path).map_err(in_files)?;
        if let Some(directory) = self.path.parent() {
            std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(in_files)?;
        }
        Ok(database)
    }

    /// Reads everything but the batches.
    ///
    /// # Errors
    /// What the disk says, or another format.
    pub fn load(&self) -> Result<Contents> {
        let mut contents = Contents::default();
        let Some(database) = self.database.get() else { return Ok(contents) };
        let read = database.begin_read()?;
        let store = match read.open_table(STORE) {
            Ok(store) => store,
            // Made and never flushed to.
            Err(TableError::TableDoesNotExist(_)) => return Ok(contents),
            Err(error) => return Err(error.into()),
        };
        match store.get(FORMAT_KEY)?.map(|format| format.value()) {
            Some(FORMAT) => {}
            other => return Err(DatabaseError::Damaged(format!("format {other:?} where {FORMAT} is expected"))),
        }
        contents.flushed = store.get(FLUSHED_KEY)?.map_or(0, |flushed| flushed.value());
        for entry in read.open_table(LOGS)?.iter()? {
            let (id, row) = entry?;
            let id = id.value();
            let row = LogRow::decode(row.value()).ok_or_else(|| DatabaseError::Damaged(format!("row of log {id}")))?;
            contents.rows.insert(LogId(id), row);
        }
        for entry in read.open_table(META)?.iter()? {
            let (key, value) = entry?;
            contents.meta.insert(key.value().to_owned(), Bytes::copy_from_slice(value.value()));
        }
        Ok(contents)
    }

    /// Adds the batches from the one that holds the first of these offsets (or the first after it) on that end within
    /// them: the first of all whatever its size, more as long as all stay within `max_bytes`. Tells whether there are
    /// no more.
    ///
    /// # Errors
    /// What the disk says, or bytes that are no batch.
    pub fn read(&self, log: LogId, within: Range<i64>, max_bytes: usize, into: &mut Vec<Batch>) -> Result<bool> {
        let Some(database) = self.database.get() else { return Ok(true) };
        let read = database.begin_read()?;
        let mut from = within.start;
        if let Some(rewritten) = rewriting::table(&read)? {
            let mut runs = rewriting::Runs::from(&rewritten, log, within.clone())?;
            while let Some(run) = runs.next_run()? {
                let complete = read_stream(&read, log, from..run.first, max_bytes, into)?
                    && take_within(run.batches.iter(), max_bytes, into);
                if !complete {
                    return Ok(false);
                }
                from = run.next;
            }
        }
        read_stream(&read, log, from..within.end, max_bytes, into)
    }

    /// Flips the last byte of the batch that holds an offset, or of the last one, as a bad sector would. Returns the
    /// offset it begins at; `None` if there is no such batch here.
    ///
    /// # Errors
    /// What the disk says.
    pub fn corrupt(&self, log: LogId, offset: Option<i64>) -> Result<Option<i64>> {
        let Some(database) = self.database.get() else { return Ok(None) };
        let mut write = database.begin_write()?;
        write.set_quick_repair(true);
        let mut found = None;
        {
            if let Some(offset) = offset {
                found = rewriting::corrupt(&mut write.open_table(REWRITTEN)?, log, offset)?;
            }
            let mut data = write.open_table(DATA)?;
            let end = write.open_table(LOGS)?.get(log.0)?.and_then(|row| LogRow::decode(row.value()));
            let end = end.map_or(0, |row| row.end_position);
            let from = locate(&write.open_table(INDEX)?, log, offset.unwrap_or(i64::MAX))?;
            let from = if found.is_some() { None } else { from };
            walk(&data, log, from.unwrap_or(end), end, |header, position| {
                if offset.is_none_or(|offset| header.base_offset <= offset && offset <= header.last_offset()) {
                    found = Some((header.base_offset, position + header.size() as u64 - 1));
                }
                ControlFlow::Continue(())
            })?;
            if let Some((_, at)) = found.filter(|(_, at)| *at < u64::MAX) {
                let (key, value) = floor(&data, log, at)?.ok_or_else(|| missing(log, at))?;
                let mut value = value.to_vec();
                let byte = usize::try_from(at - key).ok().and_then(|place| value.get_mut(place));
                let byte = byte.ok_or_else(|| missing(log, at))?;
                // Not so that a second damage mends the first.
                *byte = byte.wrapping_add(1);
                data.insert((log.0, key), value.as_slice())?;
            }
        }
        write.commit()?;
        Ok(found.map(|(base_offset, _)| base_offset))
    }

    /// Visits the headers of the batches that end within these offsets, from the one that holds the first of them on.
    ///
    /// # Errors
    /// What the disk says, or bytes that are no batch.
    pub fn scan(
        &self,
        log: LogId,
        within: Range<i64>,
        visit: &mut dyn FnMut(&BatchHeader) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Some(database) = self.database.get() else { return Ok(ControlFlow::Continue(())) };
        let read = database.begin_read()?;
        let mut from = within.start;
        if let Some(rewritten) = rewriting::table(&read)? {
            let mut runs = rewriting::Runs::from(&rewritten, log, within.clone())?;
            while let Some(run) = runs.next_run()? {
                if scan_stream(&read, log, from..run.first, visit)?.is_break()
                    || visit_headers(run.batches.iter(), visit).is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
                from = run.next;
            }
        }
        scan_stream(&read, log, from..within.end, visit)
    }

    /// Applies a flush in one transaction, synced. `rows` is what the database holds and is brought up to date.
    ///
    /// # Errors
    /// What the disk says; the database refuses further writes then.
    pub fn commit(&self, changes: &Changes, rows: &mut BTreeMap<LogId, LogRow>) -> Result<()> {
        let database = self.create()?;
        let mut write = database.begin_write()?;
        // Opens in milliseconds after a crash instead of walking the whole file.
        write.set_quick_repair(true);
        {
            let mut writer = Writer {
                data: write.open_table(DATA)?,
                index: write.open_table(INDEX)?,
                rewritten: write.open_table(REWRITTEN)?,
                logs: write.open_table(LOGS)?,
            };
            let mut meta = write.open_table(META)?;
            for log in &changes.deleted {
                writer.clear(*log)?;
                writer.logs.remove(log.0)?;
                rows.remove(log);
            }
            for (log, change) in &changes.logs {
                let row = writer.apply(*log, change, rows.remove(log))?;
                writer.logs.insert(log.0, row.encode().as_slice())?;
                rows.insert(*log, row);
            }
            for prefix in &changes.deleted_prefixes {
                let end = format!("{prefix}\u{10FFFF}");
                meta.retain_in(prefix.as_str()..end.as_str(), |_, _| false)?;
            }
            for (key, value) in &changes.meta {
                match value {
                    Some(value) => drop(meta.insert(key.as_str(), value.as_ref())?),
                    None => drop(meta.remove(key.as_str())?),
                }
            }
            let mut store = write.open_table(STORE)?;
            store.insert(FORMAT_KEY, FORMAT)?;
            store.insert(FLUSHED_KEY, changes.last_op)?;
        }
        write.commit()?;
        Ok(())
    }

    /// The file's size, in bytes; zero before the first flush.
    pub fn file_bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// Gives unused space back to the disk. Needs the store for itself.
    ///
    /// # Errors
    /// What the disk says.
    pub fn compact(&mut self) -> Result<bool> {
        match self.database.get_mut() {
            Some(database) => Ok(database.compact()?),
            None => Ok(false),
        }
    }
}

/// [`Tables::scan`] of what the stream alone has.
fn scan_stream(
    read: &ReadTransaction,
    log: LogId,
    within: Range<i64>,
    visit: &mut dyn FnMut(&BatchHeader) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    if within.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    let data = read.open_table(DATA)?;
    let Some(position) = locate(&read.open_table(INDEX)?, log, within.start)? else {
        return Ok(ControlFlow::Continue(()));
    };
    let end = end_position(read, log)?;
    let mut broke = ControlFlow::Continue(());
    walk(&data, log, position, end, |header, _| {
        if header.last_offset() < within.start {
            return ControlFlow::Continue(());
        }
        if header.last_offset() >= within.end {
            return ControlFlow::Break(());
        }
        broke = visit(header);
        broke
    })?;
    Ok(broke)
}

/// [`Tables::read`] of what the stream alone has.
fn read_stream(
    read: &ReadTransaction,
    log: LogId,
    within: Range<i64>,
    max_bytes: usize,
    into: &mut Vec<Batch>,
) -> Result<bool> {
    if within.is_empty() {
        return Ok(true);
    }
    let data = read.open_table(DATA)?;
    let Some(position) = locate(&read.open_table(INDEX)?, log, within.start)? else { return Ok(true) };
    let key = floor_key(&data, log, position)?.ok_or_else(|| missing(log, position))?;

    let there = usize::try_from(end_position(read, log)? - position).unwrap_or(usize::MAX);
    let mut buffer = BytesMut::with_capacity(there.min(max_bytes.min(LARGEST_READ) + 2 * VALUE_SIZE));
    let mut skip = usize::try_from(position - key).expect("an offset within a value");
    let taken = into.iter().map(Batch::size).sum();
    let is_first = into.is_empty();
    let mut gather = Gather {
        from: within.start,
        cold_end: within.end,
        max_bytes,
        is_first,
        is_full: false,
        at: 0,
        taken,
        bounds: Vec::new(),
    };
    for entry in data.range((log.0, key)..=(log.0, u64::MAX))? {
        let (_, value) = entry?;
        let value = value.value();
        buffer.put_slice(value.get(skip..).ok_or_else(|| missing(log, position))?);
        skip = 0;
        if gather.take(&buffer)?.is_break() {
            break;
        }
    }
    let bytes = buffer.freeze();
    for at in gather.bounds {
        into.push(whole_batch(log, &bytes, at)?);
    }
    Ok(!gather.is_full)
}

/// The batch at a place, with its CRC checked.
fn whole_batch(log: LogId, bytes: &Bytes, at: usize) -> Result<Batch> {
    let batch = Batch::parse(bytes, at).map_err(|error| damaged(log, &error))?;
    if batch.crc_is_valid() { Ok(batch) } else { Err(wrong_crc(log, batch.header.base_offset)) }
}

/// Finds the batches wanted in a growing buffer.
struct Gather {
    from: i64,
    cold_end: i64,
    max_bytes: usize,
    /// The next batch is taken whatever its size.
    is_first: bool,
    /// There was one more, and no room.
    is_full: bool,
    /// Where the next batch begins; may lie beyond the buffer.
    at: usize,
    taken: usize,
    bounds: Vec<usize>,
}

impl Gather {
    fn take(&mut self, buffer: &[u8]) -> Result<ControlFlow<()>> {
        while let Some(header) = buffer.get(self.at..).and_then(|rest| rest.first_chunk::<HEADER_SIZE>()) {
            let header = checked(header)?;
            let size = header.size();
            if header.last_offset() >= self.cold_end {
                return Ok(ControlFlow::Break(()));
            }
            if header.last_offset() >= self.from {
                if self.taken + size > self.max_bytes && !self.is_first {
                    self.is_full = true;
                    return Ok(ControlFlow::Break(()));
                }
                if self.at + size > buffer.len() {
                    return Ok(ControlFlow::Continue(()));
                }
                self.bounds.push(self.at);
                self.is_first = false;
                self.taken += size;
            }
            self.at += size;
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The tables of a flush.
struct Writer<'t> {
    data: Table<'t, (u64, u64), &'static [u8]>,
    index: Table<'t, (u64, i64), u64>,
    rewritten: Table<'t, (u64, i64), &'static [u8]>,
    logs: Table<'t, u64, &'static [u8]>,
}

impl Writer<'_> {
    fn apply(&mut self, log: LogId, change: &LogChange, row: Option<LogRow>) -> Result<LogRow> {
        let mut row = match (row, &change.created) {
            (Some(row), _) => row,
            (None, Some((partition, topic))) => LogRow {
                partition: *partition,
                topic: topic.clone(),
                extent: Extent { start: 0, end: 0 },
                end_position: 0,
            },
            (None, None) => return Err(DatabaseError::Damaged(format!("log {} was never made", log.0))),
        };
        if change.cleared {
            self.clear(log)?;
        } else if let Some(end_offset) = change.cut_to {
            self.cut(log, end_offset, &mut row)?;
        }
        for rewrite in &change.rewrites {
            self.rewrite(log, rewrite, row.end_position)?;
        }
        self.append(log, &change.appends, &mut row)?;
        if change.trimmed {
            self.trim(log, change.extent)?;
        }
        row.extent = change.extent;
        Ok(row)
    }

    fn clear(&mut self, log: LogId) -> Result<()> {
        self.data.retain_in((log.0, 0)..=(log.0, u64::MAX), |_, _| false)?;
        self.index.retain_in((log.0, i64::MIN)..=(log.0, i64::MAX), |_, _| false)?;
        self.rewritten.retain_in((log.0, i64::MIN)..=(log.0, i64::MAX), |_, _| false)?;
        Ok(())
    }

    /// Removes the batches that hold an offset at or above `end_offset`.
    fn cut(&mut self, log: LogId, end_offset: i64, row: &mut LogRow) -> Result<()> {
        self.cut_rewritten(log, end_offset)?;
        let Some(from) = locate(&self.index, log, end_offset)? else { return Ok(()) };
        let mut at = None;
        walk(&self.data, log, from, row.end_position, |header, position| {
            if header.last_offset() < end_offset {
                return ControlFlow::Continue(());
            }
            at = Some((header.base_offset, position));
            ControlFlow::Break(())
        })?;
        let Some((base_offset, position)) = at else { return Ok(()) };
        let kept = match floor(&self.data, log, position)? {
            Some((key, value)) if key < position => {
                let kept = usize::try_from(position - key).expect("an offset within a value");
                Some((key, value.get(..kept).ok_or_else(|| missing(log, position))?.to_vec()))
            }
            _ => None,
        };
        self.data.retain_in((log.0, position)..=(log.0, u64::MAX), |_, _| false)?;
        if let Some((key, kept)) = kept {
            self.data.insert((log.0, key), kept.as_slice())?;
        }
        self.index.retain_in((log.0, base_offset)..=(log.0, i64::MAX), |_, _| false)?;
        row.end_position = position;
        Ok(())
    }

    /// Writes batches as values that are full but for the last.
    fn append(&mut self, log: LogId, batches: &[Batch], row: &mut LogRow) -> Result<()> {
        let mut left: usize = batches.iter().map(Batch::size).sum();
        let mut position = row.end_position;
        let mut indexed_before = position;
        for batch in batches {
            // The first batch that begins in each value, and the very first.
            if position >= indexed_before {
                self.index.insert((log.0, batch.header.base_offset), position)?;
                let value = (position - row.end_position) / VALUE_SIZE as u64;
                indexed_before = row.end_position + (value + 1) * VALUE_SIZE as u64;
            }
            position += batch.size() as u64;
        }
        let mut pieces = Pieces { batches, batch: 0, at: 0 };
        while left > 0 {
            let size = left.min(VALUE_SIZE);
            let mut value = self.data.insert_reserve((log.0, row.end_position), size)?;
            pieces.copy_to(value.as_mut());
            row.end_position += size as u64;
            left -= size;
        }
        Ok(())
    }

    /// Removes the values wholly before the first batch that is still needed.
    fn trim(&mut self, log: LogId, extent: Extent) -> Result<()> {
        if extent.start == extent.end {
            return self.clear(log);
        }
        self.trim_rewritten(log, extent.start)?;
        let floor_entry = self.index.range((log.0, i64::MIN)..=(log.0, extent.start))?.next_back().transpose()?;
        let Some((offset, position)) = floor_entry.map(|(key, position)| (key.value().1, position.value())) else {
            return Ok(());
        };
        if let Some(key) = floor_key(&self.data, log, position)? {
            self.data.retain_in((log.0, 0)..(log.0, key), |_, _| false)?;
        }
        self.index.retain_in((log.0, i64::MIN)..(log.0, offset), |_, _| false)?;
        Ok(())
    }
}

/// The bytes of batches, head and body in turn.
struct Pieces<'a> {
    batches: &'a [Batch],
    batch: usize,
    at: usize,
}

impl Pieces<'_> {
    fn copy_to(&mut self, mut to: &mut [u8]) {
        while !to.is_empty() {
            let batch = &self.batches[self.batch];
            let piece =
                if self.at < HEADER_SIZE { &batch.head()[self.at..] } else { &batch.body()[self.at - HEADER_SIZE..] };
            let n = piece.len().min(to.len());
            to[..n].copy_from_slice(&piece[..n]);
            to = &mut to[n..];
            self.at += n;
            if self.at == batch.size() {
                self.batch += 1;
                self.at = 0;
            }
        }
    }
}

/// The position of a batch from which on a search for `offset` has to go.
fn locate(index: &impl ReadableTable<(u64, i64), u64>, log: LogId, offset: i64) -> Result<Option<u64>> {
    if let Some(entry) = index.range((log.0, i64::MIN)..=(log.0, offset))?.next_back() {
        return Ok(Some(entry?.1.value()));
    }
    let first = index.range((log.0, offset)..=(log.0, i64::MAX))?.next();
    Ok(first.transpose()?.map(|(_, position)| position.value()))
}

/// The value that holds a position, with its own position.
fn floor(
    data: &impl ReadableTable<(u64, u64), &'static [u8]>,
    log: LogId,
    position: u64,
) -> Result<Option<(u64, Bytes)>> {
    let found = data.range((log.0, 0)..=(log.0, position))?.next_back().transpose()?;
    Ok(found.map(|(key, value)| (key.value().1, Bytes::copy_from_slice(value.value()))))
}

/// The position of the value that holds a position.
fn floor_key(data: &impl ReadableTable<(u64, u64), &'static [u8]>, log: LogId, position: u64) -> Result<Option<u64>> {
    let found = data.range((log.0, 0)..=(log.0, position))?.next_back().transpose()?;
    Ok(found.map(|(key, _)| key.value().1))
}

fn end_position(read: &ReadTransaction, log: LogId) -> Result<u64> {
    let row = read.open_table(LOGS)?.get(log.0)?.and_then(|row| LogRow::decode(row.value()));
    Ok(row.map_or(0, |row| row.end_position))
}

/// Visits the headers of a log from a position on, jumping over the bodies.
fn walk(
    data: &impl ReadableTable<(u64, u64), &'static [u8]>,
    log: LogId,
    mut position: u64,
    end_position: u64,
    mut visit: impl FnMut(&BatchHeader, u64) -> ControlFlow<()>,
) -> Result<()> {
    let mut value = (0, Bytes::new());
    while position < end_position {
        let mut header = [0; HEADER_SIZE];
        let mut filled = 0;
        while filled < HEADER_SIZE {
            let at = position + filled as u64;
            if !(value.0..value.0 + value.1.len() as u64).contains(&at) {
                value = floor(data, log, at)?.ok_or_else(|| missing(log, at))?;
                if filled == 0 && at >= value.0 + value.1.len() as u64 {
                    // Where a batch should begin there may be a hole: the stream goes on behind it.
                    let next = data.range((log.0, at)..(log.0, end_position))?.next().transpose()?;
                    let Some((key, bytes)) = next else { return Ok(()) };
                    position = key.value().1;
                    value = (position, Bytes::copy_from_slice(bytes.value()));
                }
            }
            let at = position + filled as u64;
            let from = usize::try_from(at - value.0).expect("an offset within a value");
            let piece = value.1.get(from..).filter(|piece| !piece.is_empty()).ok_or_else(|| missing(log, at))?;
            let n = piece.len().min(HEADER_SIZE - filled);
            header[filled..filled + n].copy_from_slice(&piece[..n]);
            filled += n;
        }
        let header = checked(&header)?;
        if visit(&header, position).is_break() {
            return Ok(());
        }
        position += header.size() as u64;
    }
    Ok(())
}

fn checked(header: &[u8; HEADER_SIZE]) -> Result<BatchHeader> {
    let header = BatchHeader::parse(header);
    if header.magic == 2 && header.size() >= HEADER_SIZE && header.last_offset_delta >= 0 && header.base_offset >= 0 {
        Ok(header)
    } else {
        Err(DatabaseError::Damaged("no record batch where one should begin".to_owned()))
    }
}

fn wrong_crc(log: LogId, base_offset: i64) -> DatabaseError {
    DatabaseError::Damaged(format!("the batch at offset {base_offset} of log {} does not fit its CRC", log.0))
}

fn missing(log: LogId, position: u64) -> DatabaseError {
    DatabaseError::Damaged(format!("byte {position} of log {} is missing", log.0))
}

fn damaged(log: LogId, error: &crate::protocol::batch::BatchError) -> DatabaseError {
    DatabaseError::Damaged(format!("log {}: {error}", log.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Whoever is killed while the database is being made has to be able to open it.
    #[test]
    fn a_database_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.redb");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) {
                    let Ok(bytes) = std::fs::read(&path) else { continue };
                    assert!(bytes.starts_with(b"redb"), "unfinished, {} bytes long", bytes.len());
                }
            });
            for _ in 0..10 {
                // What somebody left who was killed.
                std::fs::write(path.with_extension(MAKING), [0; 100]).expect("written");
                let tables = Tables::open(&path, 1024 * 1024).expect("there is none yet");
                tables.create().expect("made");
                drop(tables);
                let again = Tables::open(&path, 1024 * 1024).expect("opened");
                assert_eq!(again.load().expect("empty").flushed, 0);
                drop(again);
                std::fs::remove_file(&path).expect("removed");
            }
            is_over.store(true, Ordering::Release);
        });
    }
}

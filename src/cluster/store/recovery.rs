//! Opening a broker's store, whatever state its last life left it in: the database, then the journal's writes that are
//! not in it.
//!
//! Invariants: what is recovered is a prefix of what was written, with everything in it that was persisted; a segment
//! that begins behind a gap is not looked at; the store counts as cleanly closed only if the mark names the very last
//! write.
//!
//! Deliberately not here: what the broker rebuilds from its logs (`Broker::recover`).

use crate::cluster::store::faults::segment_paths;
use crate::cluster::store::journal::{Replay, Segment};
use crate::cluster::store::redb::{LogRow, Tables};
use crate::cluster::store::tail::{OpNumber, Tail, TailLog};
use crate::cluster::store::{StoreError, StoreOptions};
use crate::engine::io::StorageOp;
use crate::protocol::ids::LogId;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The database's file.
pub(super) const DATABASE: &str = "store.redb";
const CLEAN: &str = "clean";

/// A store as its last life left it.
#[derive(Debug)]
pub struct Recovered {
    /// The database.
    pub tables: Tables,
    /// What the database holds.
    pub rows: BTreeMap<LogId, LogRow>,
    /// The last write in the database.
    pub flushed_op: OpNumber,
    /// Memory, with everything recovered in it.
    pub tail: Tail,
    /// The writes that are not in the database.
    pub unflushed: Vec<StorageOp>,
    /// The last write of all.
    pub last_op: OpNumber,
    /// Where the journal goes on.
    pub current: Segment,
    /// Its generation.
    pub generation: u64,
    /// Segments of the journal that are needed until the next flush.
    pub older: Vec<Segment>,
    /// Whether the last life ended in an orderly way.
    pub was_clean: bool,
}

/// Opens a directory, which is made if there is none.
pub fn recover(directory: &Path, options: &StoreOptions) -> Result<Recovered, StoreError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| StoreError::Io { path, error }
    };
    std::fs::create_dir_all(directory).map_err(at(directory))?;
    let database = directory.join(DATABASE);
    let in_database = |error| StoreError::Database { path: database.clone(), error };
    let tables = Tables::open(&database, options.cache_bytes).map_err(in_database)?;
    let contents = tables.load().map_err(in_database)?;

    let logs = contents.rows.iter().map(|(id, row)| (*id, TailLog::cold(row.partition, &row.topic, row.extent)));
    let mut tail = Tail::over_database(logs.collect(), contents.meta);
    let (replays, mut useless) = read_segments(directory).map_err(at(directory))?;
    let generation = replays.iter().map(|replay| replay.generation).max().unwrap_or(0) + 1;

    let mut last_op = contents.flushed;
    let mut unflushed = Vec::new();
    let mut older = Vec::new();
    for replay in replays {
        let next = replay.first_op + replay.ops.len() as u64;
        if replay.first_op > last_op + 1 || next <= last_op + 1 {
            useless.push(replay.path);
            continue;
        }
        older.push(Segment::adopt(&replay).map_err(at(&replay.path))?);
        let known = usize::try_from(last_op + 1 - replay.first_op).expect("within the segment");
        for op in replay.ops.into_iter().skip(known) {
            last_op += 1;
            tail.apply(&op, last_op);
            unflushed.push(op);
        }
    }
    for path in useless {
        std::fs::remove_file(&path).map_err(at(&path))?;
    }
    let was_clean = take_clean_mark(directory).map_err(at(directory))? == Some(last_op);
    let current = Segment::begin(directory, generation, last_op + 1, None).map_err(at(directory))?;
    sync_directory(directory).map_err(at(directory))?;
    Ok(Recovered {
        tables,
        rows: contents.rows,
        flushed_op: contents.flushed,
        tail,
        unflushed,
        last_op,
        current,
        generation,
        older,
        was_clean,
    })
}

/// The segments that hold something, in order, and the paths of the others.
fn read_segments(directory: &Path) -> io::Result<(Vec<Replay>, Vec<PathBuf>)> {
    let (mut replays, mut useless) = (Vec::new(), Vec::new());
    for path in segment_paths(directory)? {
        match Replay::read(&path)? {
            Some(replay) if !replay.ops.is_empty() => replays.push(replay),
            _ => useless.push(path),
        }
    }
    replays.sort_by_key(|replay| replay.generation);
    Ok((replays, useless))
}

/// Marks the store as closed in an orderly way after a write.
pub fn set_clean_mark(directory: &Path, last_op: OpNumber) -> io::Result<()> {
    let mut file = File::create(directory.join(CLEAN))?;
    file.write_all(last_op.to_string().as_bytes())?;
    file.sync_data()?;
    sync_directory(directory)
}

/// Reads the mark and removes it: from now on only another orderly stop sets it.
fn take_clean_mark(directory: &Path) -> io::Result<Option<OpNumber>> {
    let path = directory.join(CLEAN);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            std::fs::remove_file(&path)?;
            Ok(text.trim().parse().ok())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Gives a stopped broker's unused space back to the disk; says by how many bytes its database has shrunk.
///
/// # Errors
/// If the database is in use or the disk fails.
pub fn compact(directory: &Path, options: &StoreOptions) -> Result<u64, StoreError> {
    let path = directory.join(DATABASE);
    let failed = |error| StoreError::Database { path: path.clone(), error };
    let mut tables = Tables::open(&path, options.cache_bytes).map_err(failed)?;
    let before = tables.file_bytes();
    tables.compact().map_err(failed)?;
    Ok(before.saturating_sub(tables.file_bytes()))
}

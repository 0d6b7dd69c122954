//! The journal: every write of a broker, appended to a file before it counts as persisted, so that it survives the end
//! of the process (and, once synced, the loss of power).
//!
//! A segment file is a 32-byte header (mark, generation, number of its first write, CRC-32C) and records: `length u32 |
//! crc u32 | log u64 | kind u8 | payload`, little endian, `length` counting from `log` on. The CRC begins with the
//! generation, so that what a reused file still holds of its former life never counts. It covers everything but the
//! body of a record batch, which has a CRC-32C of its own inside the batch's header: replay checks both, and every byte
//! is hashed once.
//!
//! Invariants: the valid part of a segment ends at the first record that does not check out; nothing behind that is
//! looked at.
//!
//! Deliberately not here: when to sync, when to begin a new segment (`storage_thread.rs`), what the operations mean
//! (`tail.rs`).

use crate::cluster::store::tail::OpNumber;
use crate::engine::io::StorageOp;
use crate::protocol::batch::{Batch, HEADER_SIZE};
use crate::protocol::ids::{LogId, PartitionId, TopicId};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

const MARK: &[u8; 8] = b"kkjrnl01";
const SEGMENT_HEADER: usize = 32;
/// `length` and `crc`.
const PREFIX: usize = 8;
/// `log` and `kind`.
const FIXED: usize = 9;
/// A batch up to this size is copied next to its record's header: cheaper than two more pieces for the system call.
const COPY_LIMIT: usize = 2048;
/// What Linux takes in one vectored write.
const MAX_PIECES: usize = 1024;
/// A new file is filled with zeros this far, so that the first synced writes need not allocate.
const PREALLOCATED: usize = 128 * 1024;

const CREATE: u8 = 1;
const DELETE: u8 = 2;
const APPEND: u8 = 3;
const TRUNCATE: u8 = 4;
const TRIM: u8 = 5;
const RESET: u8 = 6;
const PUT_META: u8 = 7;
const DELETE_META: u8 = 8;
const REWRITE: u8 = 9;

/// A file being written to.
#[derive(Debug)]
pub struct Segment {
    file: File,
    path: PathBuf,
    generation: u64,
    /// Where the next record goes.
    position: u64,
    /// Up to here it is on the disk.
    synced: u64,
}

/// Buffers for encoding, kept between writes.
#[derive(Debug, Default)]
pub struct Encoder {
    arena: BytesMut,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Arena(Range<usize>),
    Shared(Bytes),
}

impl Encoder {
    /// Encodes writes for a segment of a generation.
    fn encode(&mut self, generation: u64, ops: &[StorageOp]) {
        self.arena.clear();
        self.pieces.clear();
        for op in ops {
            let from = self.arena.len();
            self.arena.put_bytes(0, PREFIX);
            let body = put_op(&mut self.arena, op);
            let length = self.arena.len() - from - PREFIX + body.map_or(0, Bytes::len);
            let length = u32::try_from(length).expect("an operation below 4 GiB");
            let crc = record_crc(generation, length, &self.arena[from + PREFIX..]);
            self.arena[from..from + 4].copy_from_slice(&length.to_le_bytes());
            self.arena[from + 4..from + PREFIX].copy_from_slice(&crc.to_le_bytes());
            match body {
                Some(body) if body.len() > COPY_LIMIT => {
                    self.push_arena(from);
                    self.pieces.push(Piece::Shared(body.clone()));
                }
                Some(body) => {
                    self.arena.put_slice(body);
                    self.push_arena(from);
                }
                None => self.push_arena(from),
            }
        }
    }

    fn push_arena(&mut self, from: usize) {
        let to = self.arena.len();
        match self.pieces.last_mut() {
            Some(Piece::Arena(range)) if range.end == from => range.end = to,
            _ => self.pieces.push(Piece::Arena(from..to)),
        }
    }

    /// Writes what was encoded, with as few system calls as possible; says how many bytes.
    fn write_to(&mut self, mut file: &File) -> io::Result<u64> {
        let mut written = 0_u64;
        for group in self.pieces.chunks(MAX_PIECES) {
            let mut slices: Vec<IoSlice> = group
                .iter()
                .map(|piece| match piece {
                    Piece::Arena(range) => IoSlice::new(&self.arena[range.clone()]),
                    Piece::Shared(bytes) => IoSlice::new(bytes),
                })
                .collect();
            let mut rest = slices.as_mut_slice();
            while !rest.is_empty() {
                match file.write_vectored(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => {
                        written += n as u64;
                        IoSlice::advance_slices(&mut rest, n);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        // Batches must not be held by buffers that wait for the next write.
        self.pieces.clear();
        if self.arena.capacity() > 1024 * 1024 {
            self.arena = BytesMut::new();
        }
        Ok(written)
    }
}

impl Segment {
    /// Begins a segment, in a new file or in that of an old one (`reuse`), which is renamed.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(directory: &Path, generation: u64, first_op: OpNumber, reuse: Option<&Path>) -> io::Result<Segment> {
        let path = directory.join(format!("journal-{generation:010}"));
        let mut file = match reuse {
            Some(old) => {
                std::fs::rename(old, &path)?;
                OpenOptions::new().read(true).write(true).open(&path)?
            }
            None => {
                let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
                file.write_all(&vec![0; PREALLOCATED])?;
                file.seek(SeekFrom::Start(0))?;
                file
            }
        };
        let mut header = Vec::with_capacity(SEGMENT_HEADER);
        header.put_slice(MARK);
        header.put_u64_le(generation);
        header.put_u64_le(first_op);
        header.put_u64_le(u64::from(crc32c::crc32c(&header)));
        file.write_all(&header)?;
        Ok(Segment { file, path, generation, position: SEGMENT_HEADER as u64, synced: 0 })
    }

    /// A segment of a former life that is needed until the next flush; not to be appended to. What was read of it is
    /// synced here: it may have been promised to survive a loss of power.
    ///
    /// # Errors
    /// What the disk says.
    pub fn adopt(replay: &Replay) -> io::Result<Segment> {
        let file = OpenOptions::new().read(true).write(true).open(&replay.path)?;
        file.sync_data()?;
        let end = *replay.bounds.last().expect("the end of the header at least") as u64;
        Ok(Segment { file, path: replay.path.clone(), generation: replay.generation, position: end, synced: end })
    }

    /// Appends writes.
    ///
    /// # Errors
    /// What the disk says; the segment must not be written to after that.
    pub fn append(&mut self, ops: &[StorageOp], encoder: &mut Encoder) -> io::Result<()> {
        encoder.encode(self.generation, ops);
        self.position += encoder.write_to(&self.file)?;
        Ok(())
    }

    /// Brings everything appended onto the disk. Does nothing if it is there.
    ///
    /// # Errors
    /// What the disk says; nothing is known then of what is on it.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.synced < self.position {
            self.file.sync_data()?;
            self.synced = self.position;
        }
        Ok(())
    }

    /// What a loss of power does: everything that was not synced is gone.
    ///
    /// # Errors
    /// What the disk says.
    pub fn lose_power(&mut self) -> io::Result<()> {
        self.file.set_len(self.synced)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file one that holds nothing, to be reused.
    ///
    /// # Errors
    /// What the disk says.
    pub fn retire(mut self) -> io::Result<PathBuf> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&[0; SEGMENT_HEADER])?;
        Ok(self.path)
    }
}

/// What a segment's file holds.
#[derive(Debug)]
pub struct Replay {
    /// The file.
    pub path: PathBuf,
    /// Its generation.
    pub generation: u64,
    /// The number of its first write.
    pub first_op: OpNumber,
    /// Its writes that check out, in order.
    pub ops: Vec<StorageOp>,
    /// Where each record begins, and the end of the last.
    pub bounds: Vec<usize>,
}

impl Replay {
    /// Reads a segment's file; `None` if it is none (a retired one, or the header was never written).
    ///
    /// # Errors
    /// What the disk says.
    pub fn read(path: &Path) -> io::Result<Option<Replay>> {
        let mut file = File::open(path)?;
        let mut header = [0; SEGMENT_HEADER];
        if let Err(error) = file.read_exact(&mut header) {
            return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
        }
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let mut bytes = header.to_vec();
        file.read_to_end(&mut bytes)?;
        Ok(Replay::parse(path, &Bytes::from(bytes)))
    }

    /// Parses a segment.
    pub fn parse(path: &Path, bytes: &Bytes) -> Option<Replay> {
        let mut header = bytes.get(..SEGMENT_HEADER)?;
        let crc = u64::from(crc32c::crc32c(&header[..SEGMENT_HEADER - 8]));
        if header.get(..MARK.len())? != MARK {
            return None;
        }
        header.advance(MARK.len());
        let (generation, first_op) = (header.get_u64_le(), header.get_u64_le());
        if header.get_u64_le() != crc {
            return None;
        }
        let mut replay =
            Replay { path: path.to_owned(), generation, first_op, ops: Vec::new(), bounds: vec![SEGMENT_HEADER] };
        let mut at = SEGMENT_HEADER;
        while let Some((op, next)) = parse_record(bytes, at, generation) {
            replay.ops.push(op);
            replay.bounds.push(next);
            at = next;
        }
        Some(replay)
    }
}

/// Appends an operation but for the body of a batch, which is returned.
fn put_op<'a>(to: &mut BytesMut, op: &'a StorageOp) -> Option<&'a Bytes> {
    let mut fixed = |log: LogId, kind: u8| {
        to.put_u64_le(log.0);
        to.put_u8(kind);
    };
    match op {
        StorageOp::CreateLog { log, partition, topic } => {
            fixed(*log, CREATE);
            to.put_slice(partition.topic.0.as_bytes());
            to.put_i32_le(partition.partition);
            to.put_slice(topic.as_bytes());
        }
        StorageOp::DeleteLog { log } => fixed(*log, DELETE),
        StorageOp::Append { log, batch } => {
            fixed(*log, APPEND);
            to.put_slice(batch.head());
            return Some(batch.body());
        }
        StorageOp::Truncate { log, end_offset } => {
            fixed(*log, TRUNCATE);
            to.put_i64_le(*end_offset);
        }
        StorageOp::Trim { log, start_offset } => {
            fixed(*log, TRIM);
            to.put_i64_le(*start_offset);
        }
        StorageOp::Rewrite { log, first_offset, end_offset, batches } => {
            fixed(*log, REWRITE);
            to.put_i64_le(*first_offset);
            to.put_i64_le(*end_offset);
            for batch in batches {
                batch.write_to(to);
            }
        }
        StorageOp::Reset { log, offset } => {
            fixed(*log, RESET);
            to.put_i64_le(*offset);
        }
        StorageOp::PutMeta { key, value } => {
            fixed(LogId(0), PUT_META);
            to.put_u16_le(u16::try_from(key.len()).expect("a name below 64 KiB"));
            to.put_slice(key.as_bytes());
            to.put_slice(value);
        }
        StorageOp::DeleteMeta { key } => {
            fixed(LogId(0), DELETE_META);
            to.put_slice(key.as_bytes());
        }
    }
    None
}

fn record_crc(generation: u64, length: u32, covered: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&generation.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &length.to_le_bytes());
    crc32c::crc32c_append(crc, covered)
}

/// The record at a position and where the next one begins; `None` if there is none that checks out.
fn parse_record(bytes: &Bytes, at: usize, generation: u64) -> Option<(StorageOp, usize)> {
    let mut prefix = bytes.get(at..at.checked_add(PREFIX)?)?;
    let (length, crc) = (prefix.get_u32_le(), prefix.get_u32_le());
    let from = at + PREFIX;
    let to = from.checked_add(usize::try_from(length).ok()?)?;
    let payload = bytes.get(from..to).filter(|payload| payload.len() >= FIXED)?;
    let covered = match payload[8] {
        APPEND => payload.get(..FIXED + HEADER_SIZE)?,
        _ => payload,
    };
    if record_crc(generation, length, covered) != crc {
        return None;
    }
    Some((parse_op(&bytes.slice(from..to))?, to))
}

fn parse_op(payload: &Bytes) -> Option<StorageOp> {
    let mut fixed = payload.as_ref();
    let (log, kind) = (LogId(fixed.get_u64_le()), fixed.get_u8());
    let mut rest = payload.slice(FIXED..);
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).ok();
    let offset = |rest: &Bytes| Some(i64::from_le_bytes(rest.as_ref().try_into().ok()?));
    Some(match kind {
        CREATE => {
            let id = rest.get(..16)?.try_into().ok()?;
            rest.advance(16);
            let number = i32::from_le_bytes(rest.get(..4)?.try_into().ok()?);
            rest.advance(4);
            let partition = PartitionId::new(TopicId(uuid::Uuid::from_bytes(id)), number);
            StorageOp::CreateLog { log, partition, topic: text(&rest)? }
        }
        DELETE => StorageOp::DeleteLog { log },
        APPEND => {
            let batch = Batch::parse(&rest, 0).ok()?;
            if batch.size() != rest.len() || !batch.crc_is_valid() {
                return None;
            }
            StorageOp::Append { log, batch }
        }
        TRUNCATE => StorageOp::Truncate { log, end_offset: offset(&rest)? },
        TRIM => StorageOp::Trim { log, start_offset: offset(&rest)? },
        REWRITE => {
            let first_offset = rest.try_get_i64_le().ok()?;
            let end_offset = rest.try_get_i64_le().ok()?;
            StorageOp::Rewrite { log, first_offset, end_offset, batches: Batch::parse_all(&rest).ok()? }
        }
        RESET => StorageOp::Reset { log, offset: offset(&rest)? },
        PUT_META => {
            let length = usize::from(u16::from_le_bytes(rest.get(..2)?.try_into().ok()?));
            rest.advance(2);
            let key = text(&rest.get(..length).map(Bytes::copy_from_slice)?)?;
            rest.advance(length);
            // Not a slice: a small value must not keep the whole segment in memory.
            StorageOp::PutMeta { key, value: Bytes::copy_from_slice(&rest) }
        }
        DELETE_META => StorageOp::DeleteMeta { key: text(&rest)? },
        _ => return None,
    })
}

#[cfg(test)]
mod tests;

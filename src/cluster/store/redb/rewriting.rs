//! What compaction has rewritten, in the database: runs of batches in a table of their own, and the holes they leave in
//! the stream.
//!
//! Invariants: no offset is in a run and in the stream; runs do not overlap. Where the stream has a hole, the value
//! before it ends with a batch and the value after it begins with one, which is in the index.

use super::{
    DatabaseError, HEADER_SIZE, REWRITTEN, Result, VALUE_SIZE, Writer, checked, floor, locate, missing, walk,
    whole_batch,
};
use crate::cluster::store::flush::Rewrite;
use crate::protocol::batch::Batch;
use crate::protocol::ids::LogId;
use bytes::{Bytes, BytesMut};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableError};
use std::ops::{ControlFlow, Range};

type RunTable = ReadOnlyTable<(u64, i64), &'static [u8]>;

/// The table of rewritten runs; `None` in a database that nothing was ever compacted in.
pub(super) fn table(read: &ReadTransaction) -> Result<Option<RunTable>> {
    match read.open_table(REWRITTEN) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A run, as far as it is wanted.
pub(super) struct Run {
    /// The offset of its first batch.
    pub(super) first: i64,
    /// The offset after its last batch.
    pub(super) next: i64,
    /// Its batches that end within what is wanted.
    pub(super) batches: Vec<Batch>,
}

/// The runs of a log within some offsets, one after another.
pub(super) struct Runs<'t, T> {
    table: &'t T,
    log: LogId,
    within: Range<i64>,
    next_key: Option<i64>,
}

impl<'t, T: ReadableTable<(u64, i64), &'static [u8]>> Runs<'t, T> {
    /// From the run that may hold the first offset on.
    pub(super) fn from(table: &'t T, log: LogId, within: Range<i64>) -> Result<Runs<'t, T>> {
        let before = table.range((log.0, i64::MIN)..=(log.0, within.start))?.next_back().transpose()?;
        let next_key = match before {
            Some((key, _)) => Some(key.value().1),
            None => Some(within.start),
        };
        Ok(Runs { table, log, within, next_key })
    }

    /// The next run that has something wanted.
    pub(super) fn next_run(&mut self) -> Result<Option<Run>> {
        while let Some(key) = self.next_key.filter(|key| *key < self.within.end) {
            let found = self.table.range((self.log.0, key)..(self.log.0, self.within.end))?.next().transpose()?;
            let Some((key, value)) = found else { break };
            let first = key.value().1;
            let all = parse(self.log, value.value())?;
            let next = all.last().map_or(first + 1, |batch| batch.header.next_offset());
            self.next_key = Some(next);
            let is_wanted = |batch: &Batch| {
                batch.header.last_offset() >= self.within.start && batch.header.last_offset() < self.within.end
            };
            let batches = all.into_iter().filter(is_wanted).collect::<Vec<_>>();
            if next > self.within.start {
                return Ok(Some(Run { first, next, batches }));
            }
        }
        self.next_key = None;
        Ok(None)
    }
}

fn parse(log: LogId, value: &[u8]) -> Result<Vec<Batch>> {
    let bytes = Bytes::copy_from_slice(value);
    let mut batches = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let batch = whole_batch(log, &bytes, at)?;
        at += batch.size();
        batches.push(batch);
    }
    Ok(batches)
}

/// Damages the batch of a run that holds an offset. Tells its offset, and a position that no stream has.
pub(super) fn corrupt(
    table: &mut Table<'_, (u64, i64), &'static [u8]>,
    log: LogId,
    offset: i64,
) -> Result<Option<(i64, u64)>> {
    let run = table.range((log.0, i64::MIN)..=(log.0, offset))?.next_back().transpose()?;
    let Some((key, mut value)) = run.map(|(key, value)| (key.value().1, value.value().to_vec())) else {
        return Ok(None);
    };
    let mut at = 0;
    while let Some(head) = value.get(at..).and_then(|rest| rest.first_chunk::<HEADER_SIZE>()) {
        let header = checked(head)?;
        at += header.size();
        if header.base_offset <= offset && offset <= header.last_offset() {
            let byte = value.get_mut(at - 1).ok_or_else(|| DatabaseError::Damaged("a run is cut short".to_owned()))?;
            *byte = byte.wrapping_add(1);
            table.insert((log.0, key), value.as_slice())?;
            return Ok(Some((header.base_offset, u64::MAX)));
        }
    }
    Ok(None)
}

impl Writer<'_> {
    /// Takes a stretch out of the stream and of the runs, and puts what is left of it into runs.
    pub(super) fn rewrite(&mut self, log: LogId, rewrite: &Rewrite, end_position: u64) -> Result<()> {
        self.make_hole(log, &rewrite.stretch, end_position)?;
        self.take_runs(log, &rewrite.stretch)?;
        self.put_run(log, &rewrite.batches)
    }

    /// Removes the batches of the stream that begin within a stretch.
    fn make_hole(&mut self, log: LogId, stretch: &Range<i64>, end_position: u64) -> Result<()> {
        let Some(from) = locate(&self.index, log, stretch.start)? else { return Ok(()) };
        let (mut begin, mut after) = (None, None);
        walk(&self.data, log, from, end_position, |header, position| {
            if header.base_offset >= stretch.end {
                after = Some((header.base_offset, position));
                return ControlFlow::Break(());
            }
            if header.base_offset >= stretch.start && begin.is_none() {
                begin = Some(position);
            }
            ControlFlow::Continue(())
        })?;
        let Some(begin) = begin else { return Ok(()) };
        let part = |at: u64| usize::try_from(at).expect("an offset within a value");
        let before = floor(&self.data, log, begin)?.filter(|(key, _)| *key < begin);
        let behind = match after {
            Some((_, position)) => {
                let (key, value) = floor(&self.data, log, position)?.ok_or_else(|| missing(log, position))?;
                Some((position, value.slice(part(position - key)..)))
            }
            None => None,
        };
        let end = after.map_or(end_position, |(_, position)| position);
        self.data.retain_in((log.0, begin)..(log.0, end), |_, _| false)?;
        if let Some((key, value)) = before {
            let kept = value.get(..part(begin - key)).ok_or_else(|| missing(log, begin))?;
            self.data.insert((log.0, key), kept)?;
        }
        if let Some((position, value)) = behind {
            self.data.insert((log.0, position), value.as_ref())?;
        }
        self.index.retain_in((log.0, stretch.start)..(log.0, stretch.end), |_, _| false)?;
        if let Some((base_offset, position)) = after {
            self.index.insert((log.0, base_offset), position)?;
        }
        Ok(())
    }

    /// Removes the batches of runs that begin within a stretch; what else was in their runs stays.
    fn take_runs(&mut self, log: LogId, stretch: &Range<i64>) -> Result<()> {
        let before = self.rewritten.range((log.0, i64::MIN)..(log.0, stretch.start))?.next_back().transpose()?;
        let first = before.map_or(stretch.start, |(key, _)| key.value().1);
        let mut touched = Vec::new();
        for entry in self.rewritten.range((log.0, first)..(log.0, stretch.end))? {
            let (key, value) = entry?;
            touched.push((key.value().1, parse(log, value.value())?));
        }
        for (key, batches) in touched {
            if !batches.iter().any(|batch| stretch.contains(&batch.header.base_offset)) {
                continue;
            }
            self.rewritten.remove((log.0, key))?;
            let place = |offset| batches.partition_point(|batch| batch.header.base_offset < offset);
            self.put_run(log, &batches[..place(stretch.start)])?;
            self.put_run(log, &batches[place(stretch.end)..])?;
        }
        Ok(())
    }

    fn put_run(&mut self, log: LogId, batches: &[Batch]) -> Result<()> {
        let mut rest = batches;
        while let Some(first) = rest.first() {
            let mut value = BytesMut::new();
            let mut count = 0;
            for batch in rest {
                if count > 0 && value.len() + batch.size() > VALUE_SIZE {
                    break;
                }
                batch.write_to(&mut value);
                count += 1;
            }
            self.rewritten.insert((log.0, first.header.base_offset), value.as_ref())?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// The last run that begins before an offset.
    fn last_run(&self, log: LogId, before: i64) -> Result<Option<(i64, Vec<Batch>)>> {
        match self.rewritten.range((log.0, i64::MIN)..(log.0, before))?.next_back().transpose()? {
            Some((key, value)) => Ok(Some((key.value().1, parse(log, value.value())?))),
            None => Ok(None),
        }
    }

    /// Removes the batches of runs that hold an offset at or above an end.
    pub(super) fn cut_rewritten(&mut self, log: LogId, end_offset: i64) -> Result<()> {
        let last = self.last_run(log, end_offset)?;
        self.rewritten.retain_in((log.0, end_offset)..=(log.0, i64::MAX), |_, _| false)?;
        let Some((key, batches)) = last else { return Ok(()) };
        let kept = batches.partition_point(|batch| batch.header.last_offset() < end_offset);
        if kept < batches.len() {
            self.rewritten.remove((log.0, key))?;
            self.put_run(log, &batches[..kept])?;
        }
        Ok(())
    }

    /// Removes the runs that lie wholly before the log's start.
    pub(super) fn trim_rewritten(&mut self, log: LogId, start_offset: i64) -> Result<()> {
        let Some((key, batches)) = self.last_run(log, start_offset + 1)? else { return Ok(()) };
        let is_needed = batches.last().is_some_and(|batch| batch.header.last_offset() >= start_offset);
        let end = if is_needed { key } else { key + 1 };
        self.rewritten.retain_in((log.0, i64::MIN)..(log.0, end), |_, _| false)?;
        Ok(())
    }
}

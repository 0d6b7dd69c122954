//! A broker's simulated disk: a memory image that sees every write at once, and a twin that holds what power loss leaves behind.
//!
//! Three stages of a write: visible (in the live image), persisted (a kill keeps it) and synced (power loss keeps it). A crash rebuilds
//! the live image from the twin and a prefix of what came after; the prefix never ends before what was persisted (kill) or synced (power loss).
//! The first write after the prefix may be torn: recovery finds a record that is not whole and ends before it.
//!
//! Deliberately not here: what a broker does about a disk that refuses (`world`), and when one does (`disk_faults`).

use crate::engine::io::{LogInfo, LogRead, LogStore, ReadError, StorageOp};
use crate::engine::mutant::Mutant;
use crate::engine::prng::Prng;
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::ids::{LogId, PartitionId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

/// One log of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLog {
    /// Whose it is.
    pub partition: PartitionId,
    /// The topic's name.
    pub topic: String,
    /// The first offset.
    pub start_offset: i64,
    /// The offset after the last record.
    pub end_offset: i64,
    /// The batches, in order.
    pub batches: Vec<Batch>,
}

impl DiskLog {
    /// The place of the batch that holds an offset, or of the first after it.
    pub fn position(&self, offset: i64) -> usize {
        self.batches.partition_point(|batch| batch.header.last_offset() < offset)
    }
}

/// Logs and named values at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    logs: BTreeMap<LogId, Arc<DiskLog>>,
    meta: BTreeMap<String, Bytes>,
}

impl Image {
    fn log(&mut self, log: LogId) -> &mut DiskLog {
        Arc::make_mut(self.logs.get_mut(&log).expect("an operation names a log that exists"))
    }

    /// A log, or that there is none, as another image has it.
    fn take_over(&mut self, log: LogId, from: &Image) {
        match from.logs.get(&log) {
            Some(found) => self.logs.insert(log, Arc::clone(found)),
            None => self.logs.remove(&log),
        };
    }

    fn apply(&mut self, op: &StorageOp) {
        match op {
            StorageOp::CreateLog { log, partition, topic } => {
                let (partition, topic) = (*partition, topic.clone());
                let empty = DiskLog { partition, topic, start_offset: 0, end_offset: 0, batches: Vec::new() };
                assert!(self.logs.insert(*log, Arc::new(empty)).is_none(), "a log id is used once");
            }
            StorageOp::DeleteLog { log } => {
                self.logs.remove(log);
                let prefix = format!("log/{}/", log.0);
                self.meta.retain(|key, _| !key.starts_with(&prefix));
            }
            StorageOp::Append { log, batch } => {
                let log = self.log(*log);
                assert!(batch.header.base_offset >= log.end_offset, "offsets never go back");
                log.end_offset = batch.header.next_offset();
                log.batches.push(batch.clone());
            }
            StorageOp::Truncate { log, end_offset } => {
                let log = self.log(*log);
                let keep = log.position(*end_offset);
                log.batches.truncate(keep);
                log.end_offset = *end_offset;
                log.start_offset = log.start_offset.min(*end_offset);
            }
            StorageOp::Trim { log, start_offset } => {
                let log = self.log(*log);
                log.start_offset = log.start_offset.max(*start_offset);
                log.end_offset = log.end_offset.max(*start_offset);
                let gone = log.position(*start_offset);
                log.batches.drain(..gone);
            }
            StorageOp::Rewrite { log, first_offset, end_offset, batches } => {
                let log = self.log(*log);
                let stretch = log.position(*first_offset)..log.position(*end_offset);
                log.batches.splice(stretch, batches.iter().cloned());
            }
            StorageOp::Reset { log, offset } => {
                let log = self.log(*log);
                log.batches.clear();
                log.start_offset = *offset;
                log.end_offset = *offset;
            }
            StorageOp::PutMeta { key, value } => {
                self.meta.insert(key.clone(), value.clone());
            }
            StorageOp::DeleteMeta { key } => {
                self.meta.remove(key);
            }
        }
    }
}

/// The log that an operation changes.
fn log_of(op: &StorageOp) -> Option<LogId> {
    match op {
        StorageOp::CreateLog { log, .. }
        | StorageOp::DeleteLog { log }
        | StorageOp::Append { log, .. }
        | StorageOp::Truncate { log, .. }
        | StorageOp::Trim { log, .. }
        | StorageOp::Rewrite { log, .. }
        | StorageOp::Reset { log, .. } => Some(*log),
        StorageOp::PutMeta { .. } | StorageOp::DeleteMeta { .. } => None,
    }
}

/// So many steps at most may wait for the disk before the store asks the broker to hold writes back.
const STEPS_AWAITED_MAX: u64 = 20;

/// Why a disk refuses, until it is healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFailure {
    /// No space left: every write is refused.
    Full,
    /// Every read and write is refused.
    Failing,
}

impl fmt::Display for DiskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DiskFailure::Full => "no space left on the disk",
            DiskFailure::Failing => "the disk fails",
        })
    }
}

/// What a crash left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wreck {
    /// Writes that are gone.
    pub lost: usize,
}

/// A data batch at the end of the synced twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastSynced {
    log: LogId,
    base_offset: i64,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// Whether the write after those that survive a crash is there in part.
    pub tears: bool,
    fault: Option<DiskFailure>,
    /// Batches whose bytes no longer have their checksum, by log and first offset.
    corrupt: BTreeSet<(LogId, i64)>,
    live: Image,
    synced: Image,
    /// Writes that the twin does not have yet, each with the step it belongs to.
    unsynced: VecDeque<(u64, StorageOp)>,
    /// Every step up to here is persisted.
    persisted: u64,
    /// The step that is being written.
    current: u64,
    was_clean: bool,
    /// Partitions of which compaction has taken records.
    rewritten: BTreeSet<PartitionId>,
    /// What a crash left of a write that was under way.
    torn: Option<StorageOp>,
    /// The last write that was synced, if it was a batch of data.
    last_synced: Option<LastSynced>,
    /// A planted bug.
    pub mutant: Option<Mutant>,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Disk {
        Disk { current: 1, tears: true, ..Disk::default() }
    }

    /// The step `seq` has ended: later writes belong to the next one.
    pub fn end_step(&mut self, seq: u64) {
        assert_eq!(seq, self.current, "steps are persisted one after another");
        self.current = seq + 1;
    }

    /// Everything up to a step is in the operating system's cache: a kill keeps it.
    pub fn persist(&mut self, seq: u64) {
        self.persisted = self.persisted.max(seq);
    }

    /// Everything up to a step is on the platter: power loss keeps it.
    pub fn sync(&mut self, seq: u64) {
        self.persist(seq);
        while self.unsynced.front().is_some_and(|(step, _)| *step <= seq) {
            let (_, op) = self.unsynced.pop_front().expect("just seen");
            self.synced.apply(&op);
            self.last_synced = match op {
                StorageOp::Append { log, batch } if log != LogId::METADATA => {
                    Some(LastSynced { log, base_offset: batch.header.base_offset })
                }
                _ => None,
            };
        }
    }

    /// The disk has come to the end of a step.
    ///
    /// # Errors
    /// Why it refuses what was written in it.
    pub fn finish(&mut self, seq: u64, is_synced: bool) -> Result<(), DiskFailure> {
        match self.fault {
            Some(_) if self.has(Mutant::WriteErrorIgnored) => self.forget_batches(seq),
            Some(fault) => return Err(fault),
            None if is_synced && self.has(Mutant::SyncNotAwaited) => {
                self.sync(seq.saturating_sub(1));
                self.persist(seq);
            }
            None if is_synced => self.sync(seq),
            None => self.persist(seq),
        }
        Ok(())
    }

    /// For the mutant that ignores what the disk says: the batches of a step are not on it.
    fn forget_batches(&mut self, seq: u64) {
        let persisted = self.persisted;
        let is_refused = |step: u64, op: &StorageOp| {
            step > persisted && step <= seq && matches!(op, StorageOp::Append { log, .. } if *log != LogId::METADATA)
        };
        self.unsynced.retain(|(step, op)| !is_refused(*step, op));
        self.persist(seq);
    }

    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Syncs what is persisted: what a store does each second.
    pub fn flush(&mut self) {
        if self.fault.is_none() {
            self.sync(self.persisted);
        }
    }

    /// Whether a loss of power may take records that are not metadata, or bring such back.
    pub fn has_unsynced_data(&self) -> bool {
        let is_of_data = |op: &StorageOp| {
            log_of(op).is_some_and(|log| log != LogId::METADATA) && !matches!(op, StorageOp::CreateLog { .. })
        };
        self.unsynced.iter().any(|(_, op)| is_of_data(op))
    }

    /// The process ends: what was persisted stays, of the rest any beginning.
    pub fn kill(&mut self, rng: &mut Prng) -> Wreck {
        let persisted = self.unsynced.iter().take_while(|(step, _)| *step <= self.persisted).count();
        self.crash(persisted, rng)
    }

    /// The machine loses power: what was synced stays, of the rest any beginning.
    pub fn power_loss(&mut self, rng: &mut Prng) -> Wreck {
        self.crash(0, rng)
    }

    fn crash(&mut self, kept_at_least: usize, rng: &mut Prng) -> Wreck {
        let before = self.unsynced.len();
        let loose = u64::try_from(self.unsynced.len() - kept_at_least).expect("a length fits 64 bits");
        let extra = usize::try_from(rng.range(0, loose)).expect("at most a length");
        let mut gone = self.unsynced.split_off(kept_at_least + extra);
        let lost = before - self.unsynced.len();
        let mut changed: BTreeSet<LogId> = gone.iter().filter_map(|(_, op)| log_of(op)).collect();
        self.torn = gone.pop_front().map(|(_, op)| op).filter(|_| self.tears);
        if self.has(Mutant::ReplayPastTornRecord) {
            self.skip_torn(kept_at_least);
        }
        if self.mutant.is_some() {
            // A planted bug may have taken what was written.
            changed.extend(self.live.logs.keys());
        }
        self.rebuild(&changed);
        // The steps begin anew with the broker; what survived the crash is in the cache of a machine that runs.
        for (step, _) in &mut self.unsynced {
            *step = 0;
        }
        (self.current, self.persisted, self.was_clean) = (1, 0, false);
        Wreck { lost }
    }

    /// Makes the live image anew: the named values, and the logs that have lost something. The others are as they were, and long logs are
    /// not copied.
    fn rebuild(&mut self, changed: &BTreeSet<LogId>) {
        self.live.meta.clone_from(&self.synced.meta);
        for log in changed {
            self.live.take_over(*log, &self.synced);
        }
        for (_, op) in &self.unsynced {
            // What goes with a log that is deleted are named values too.
            let is_due = log_of(op).is_none_or(|log| changed.contains(&log));
            if is_due || matches!(op, StorageOp::DeleteLog { .. }) {
                self.live.apply(op);
            }
        }
    }

    /// What a start does first: ends what is there before the write that is not whole. Whether there was one.
    pub fn recover(&mut self) -> bool {
        let Some(torn) = self.torn.take() else { return false };
        if let StorageOp::Append { log, batch } = torn
            && self.has(Mutant::TornTailKept)
            && log != LogId::METADATA
        {
            let op = StorageOp::Append { log, batch: batch.emptied() };
            self.live.apply(&op);
            self.unsynced.push_back((0, op));
        }
        true
    }

    /// The last write that survived a crash is damaged: a start ends before it. Whether it had been synced; `None` if it is no batch of data,
    /// which other replicas have, and stays.
    pub fn damage_tail(&mut self) -> Option<bool> {
        let was_synced = self.unsynced.is_empty();
        let last = match self.unsynced.back() {
            Some((_, StorageOp::Append { log, batch })) if *log != LogId::METADATA => {
                LastSynced { log: *log, base_offset: batch.header.base_offset }
            }
            Some(_) => return None,
            None => self.last_synced.take()?,
        };
        let op = StorageOp::Truncate { log: last.log, end_offset: last.base_offset };
        if self.unsynced.pop_back().is_none() {
            self.synced.apply(&op);
        }
        self.live.apply(&op);
        self.torn = None;
        Some(was_synced)
    }

    /// Partitions of which compaction has taken records.
    pub fn rewritten(&self) -> impl Iterator<Item = PartitionId> {
        self.rewritten.iter().copied()
    }

    /// Why the disk refuses, if it does.
    pub fn fault(&self) -> Option<DiskFailure> {
        self.fault
    }

    /// The disk refuses from now on, or no longer.
    pub fn set_fault(&mut self, fault: Option<DiskFailure>) {
        self.fault = fault;
    }

    /// The first batch that was not safe is torn, and what follows it is read all the same.
    fn skip_torn(&mut self, from: usize) {
        let is_batch =
            |(_, op): &(u64, StorageOp)| matches!(op, StorageOp::Append { log, .. } if *log != LogId::METADATA);
        if let Some(at) = self.unsynced.iter().skip(from).position(is_batch) {
            self.unsynced.remove(from + at);
        }
    }

    /// Up to which step everything survives a kill.
    pub fn persisted(&self) -> u64 {
        self.persisted
    }

    /// The last step that has ended.
    pub fn last_step(&self) -> u64 {
        self.current - 1
    }

    /// An orderly stop: everything is synced, and the mark says so.
    pub fn close(&mut self) {
        self.sync(u64::MAX);
        (self.current, self.persisted, self.was_clean) = (1, 0, true);
    }

    /// Another disk in its place.
    pub fn wipe(&mut self) {
        *self = Disk { mutant: self.mutant, tears: self.tears, ..Disk::new() };
    }

    /// Flips a byte of the batch of a partition that holds an offset, or of its last one. False if there is none.
    pub fn damage(&mut self, partition: PartitionId, offset: Option<i64>) -> bool {
        let Some((id, log)) = self.live.logs.iter().find(|(_, log)| log.partition == partition) else { return false };
        let place = offset.map_or(log.batches.len().saturating_sub(1), |offset| log.position(offset));
        let Some(batch) = log.batches.get(place) else { return false };
        self.corrupt.insert((*id, batch.header.base_offset))
    }

    fn check_fault(&self, log: LogId) -> Result<(), ReadError> {
        match self.fault {
            Some(fault @ DiskFailure::Failing) => Err(ReadError { log, reason: fault.to_string() }),
            Some(DiskFailure::Full) | None => Ok(()),
        }
    }

    fn check(&self, log: LogId, batch: &Batch) -> Result<(), ReadError> {
        let offset = batch.header.base_offset;
        if self.corrupt.contains(&(log, offset)) {
            return Err(ReadError { log, reason: format!("the batch at {offset} does not have its checksum") });
        }
        Ok(())
    }

    /// The broker has read the clean mark: from now on a crash is unclean.
    pub fn opened(&mut self) {
        self.was_clean = false;
    }

    /// The log of a partition, if this disk has one.
    pub fn log_of(&self, partition: PartitionId) -> Option<&DiskLog> {
        self.live.logs.values().find(|log| log.partition == partition).map(Arc::as_ref)
    }

    /// A log by its id.
    pub fn log(&self, log: LogId) -> Option<&DiskLog> {
        self.live.logs.get(&log).map(Arc::as_ref)
    }
}

impl LogRead for Disk {
    fn logs(&self) -> Vec<LogInfo> {
        let info = |(log, data): (&LogId, &Arc<DiskLog>)| LogInfo {
            log: *log,
            partition: data.partition,
            topic: data.topic.clone(),
            start_offset: data.start_offset,
            end_offset: data.end_offset,
        };
        self.live.logs.iter().map(info).collect()
    }

    fn read(&self, log: LogId, from: i64, max_bytes: usize) -> Result<Vec<Batch>, ReadError> {
        self.check_fault(log)?;
        let Some(data) = self.log(log) else { return Err(ReadError { log, reason: "no such log".to_owned() }) };
        let mut found: Vec<Batch> = Vec::new();
        let mut size = 0;
        for batch in &data.batches[data.position(from)..] {
            size += batch.size();
            if !found.is_empty() && size > max_bytes {
                break;
            }
            self.check(log, batch)?;
            found.push(batch.clone());
        }
        Ok(found)
    }

    fn scan(
        &self,
        log: LogId,
        from: i64,
        visit: &mut dyn FnMut(&BatchHeader) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.check_fault(log)?;
        let Some(data) = self.log(log) else { return Err(ReadError { log, reason: "no such log".to_owned() }) };
        for batch in &data.batches[data.position(from)..] {
            if visit(&batch.header).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn meta(&self, key: &str) -> Option<Bytes> {
        self.live.meta.get(key).cloned()
    }

    fn meta_keys(&self, prefix: &str) -> Vec<String> {
        let from = self.live.meta.range(prefix.to_owned()..);
        from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    fn has_room(&self) -> bool {
        self.current - 1 <= self.persisted + STEPS_AWAITED_MAX
    }

    fn was_clean(&self) -> bool {
        self.was_clean
    }
}

impl LogStore for Disk {
    fn write(&mut self, op: StorageOp) {
        if let StorageOp::Append { log, batch } = &op {
            self.corrupt.remove(&(*log, batch.header.base_offset));
        }
        if let StorageOp::Rewrite { log, first_offset, end_offset, .. } = &op {
            self.corrupt.retain(|(of, offset)| of != log || !(*first_offset..*end_offset).contains(offset));
            self.rewritten.extend(self.live.logs.get(log).map(|log| log.partition));
        }
        self.live.apply(&op);
        self.unsynced.push_back((self.current, op));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::TopicId;
    use crate::protocol::records::BatchBuilder;

    const LOG: LogId = LogId(9);

    fn put(disk: &mut Disk, key: &str, seq: u64) {
        disk.write(StorageOp::PutMeta { key: key.to_owned(), value: Bytes::from_static(b"1") });
        disk.end_step(seq);
    }

    #[test]
    fn a_kill_keeps_what_was_persisted_and_power_loss_what_was_synced() {
        let mut survived = [0, 0];
        for seed in 0..50 {
            let mut disk = Disk::new();
            put(&mut disk, "synced", 1);
            disk.sync(1);
            put(&mut disk, "persisted", 2);
            disk.persist(2);
            put(&mut disk, "visible", 3);
            let mut killed = disk.clone();
            killed.kill(&mut Prng::new(seed));
            assert!(killed.meta("synced").is_some() && killed.meta("persisted").is_some());
            survived[0] += usize::from(killed.meta("visible").is_some());
            disk.power_loss(&mut Prng::new(seed));
            assert!(disk.meta("synced").is_some());
            assert!(disk.meta("persisted").is_some() || disk.meta("visible").is_none(), "a prefix survives");
            survived[1] += usize::from(disk.meta("persisted").is_some());
        }
        assert!(survived.iter().all(|count| (1..50).contains(count)), "sometimes more survives: {survived:?}");
    }

    fn batch(offset: i64) -> Batch {
        let mut builder = BatchBuilder::new();
        builder.push(0, Some(b"key"), Some(b"value"), &[]);
        builder.build().expect("a batch").stamped(offset, 0)
    }

    /// A disk with a log of one synced batch and so many that are not.
    fn with_batches(unsynced: i64) -> Disk {
        let mut disk = Disk::new();
        let partition = PartitionId::new(TopicId(uuid::Uuid::from_u128(7)), 0);
        disk.write(StorageOp::CreateLog { log: LOG, partition, topic: "orders".to_owned() });
        disk.write(StorageOp::Append { log: LOG, batch: batch(0) });
        disk.end_step(1);
        disk.sync(1);
        for offset in 1..=unsynced {
            disk.write(StorageOp::Append { log: LOG, batch: batch(offset) });
        }
        disk
    }

    #[test]
    fn after_a_crash_the_image_is_the_synced_one_and_what_was_kept() {
        let mut outcomes = BTreeSet::new();
        for seed in 0..200 {
            let mut rng = Prng::new(seed);
            let mut disk = with_batches(0);
            let other = LogId(10);
            let partition = PartitionId::new(TopicId(uuid::Uuid::from_u128(8)), 0);
            disk.write(StorageOp::CreateLog { log: other, partition, topic: "payments".to_owned() });
            for offset in 0..6 {
                let log = if rng.chance(1, 2) { LOG } else { other };
                let at = disk.log(log).map_or(0, |log| log.end_offset);
                match rng.range(0, 5) {
                    0 => disk.write(StorageOp::Truncate { log, end_offset: (at - 1).max(0) }),
                    1 => disk.write(StorageOp::PutMeta { key: format!("log/{}/epochs", log.0), value: Bytes::new() }),
                    2 if offset == 5 => disk.write(StorageOp::DeleteLog { log }),
                    _ => disk.write(StorageOp::Append { log, batch: batch(at) }),
                }
            }
            disk.end_step(2);
            if rng.chance(1, 2) {
                disk.persist(2);
                disk.kill(&mut rng);
            } else {
                disk.power_loss(&mut rng);
            }
            let mut expected = disk.synced.clone();
            disk.unsynced.iter().for_each(|(_, op)| expected.apply(op));
            assert_eq!(disk.live, expected, "seed {seed}");
            outcomes.insert(disk.unsynced.len());
        }
        assert!(outcomes.len() > 4, "more or less survives: {outcomes:?}");
    }

    fn end(disk: &Disk) -> i64 {
        disk.log(LOG).expect("the log").end_offset
    }

    #[test]
    fn a_start_ends_before_a_torn_batch_and_a_planted_bug_counts_it() {
        let mut torn = 0;
        for seed in 0..20 {
            let mut disk = with_batches(3);
            let lost = disk.power_loss(&mut Prng::new(seed)).lost;
            let mut other = disk.clone();
            other.mutant = Some(Mutant::TornTailKept);
            let before = end(&disk);
            assert_eq!(disk.recover(), lost > 0, "what is cut within a write is torn");
            assert_eq!((end(&disk), disk.recover()), (before, false), "once");
            other.recover();
            torn += usize::from(lost > 0);
            assert_eq!(end(&other), before + i64::from(lost > 0));
        }
        assert!(torn > 0);
    }

    #[test]
    fn a_damaged_tail_costs_the_last_batch_and_nothing_that_only_this_disk_has() {
        let mut disk = with_batches(0);
        disk.power_loss(&mut Prng::new(1));
        assert_eq!((disk.damage_tail(), end(&disk)), (Some(true), 0));
        assert_eq!(disk.damage_tail(), None, "what comes before is no batch");
        disk.kill(&mut Prng::new(1));
        assert_eq!(end(&disk), 0, "the synced twin has lost it too");
        let mut disk = with_batches(0);
        put(&mut disk, "vote", 2);
        disk.sync(2);
        assert_eq!(disk.damage_tail(), None);
    }

    #[test]
    fn a_disk_that_refuses_persists_nothing_until_it_is_healed() {
        let mut disk = with_batches(1);
        disk.end_step(2);
        disk.set_fault(Some(DiskFailure::Full));
        assert_eq!(disk.finish(2, true), Err(DiskFailure::Full));
        disk.flush();
        assert!(disk.read(LOG, 0, 1).is_ok(), "what is there can be read");
        disk.set_fault(Some(DiskFailure::Failing));
        assert!(disk.read(LOG, 0, 1).is_err());
        assert_eq!(disk.persisted(), 1);
        disk.set_fault(None);
        assert_eq!((disk.finish(2, true), disk.persisted()), (Ok(()), 2));
    }
}

//! The coordinator of one partition of `__transaction_state`, on the broker that leads it (Kafka's
//! `TransactionStateManager` and `TransactionMarkerChannelManager`).
//!
//! Invariants:
//! - What was decided is appended, and counts when the high watermark has passed it. Until then nothing else is decided
//!   for the same transactional id: whoever asks is told CONCURRENT_TRANSACTIONS.
//! - Markers go out only once it is committed how a transaction ends, and it is complete only once all are written. A
//!   coordinator that takes over goes on where the log says that the last one was.
//! - A coordinator that has not read its partition to the end decides nothing.

use crate::engine::group::answers::write_error;
use crate::engine::io::Ctx;
use crate::engine::mutant::Mutant;
use crate::engine::observe::{EventKind, TransactionEvent};
use crate::engine::time::Instant;
use crate::engine::txn::answers::with_error;
use crate::engine::txn::metadata::{Partition, TransactionMetadata, TransactionStatus};
use crate::engine::txn::record::TransactionRecord;
use crate::engine::txn::{After, Done, Turn};
use crate::protocol::batch::Batch;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, PartitionId};
use crate::protocol::peer::TxnMarker;
use crate::protocol::records::{self, BatchBuilder};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// So much is read in one step while loading, in bytes: a broker has other things to do as well.
const LOAD_CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// After a store has refused a read it is asked again, in milliseconds.
const LOAD_RETRY_MS: u64 = 1_000;
/// After a marker was refused it is sent again, in milliseconds.
const MARKER_RETRY_MS: u64 = 50;

/// Whether it works yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It reads its partition: from which offset on, and when it goes on.
    Loading { from: i64, at: Instant },
    /// It works.
    Active,
}

/// A write that is not committed yet.
#[derive(Debug, Clone)]
struct Waiting {
    end: i64,
    deadline: Instant,
    after: After,
}

/// The markers of a transaction that ends.
#[derive(Debug, Clone, Default)]
struct Markers {
    /// Still to be sent.
    left: BTreeSet<Partition>,
    /// Sent and not answered.
    asked: BTreeSet<Partition>,
    /// When what is left is sent again. One time for all: were there one for each answer, every leader that refuses would double them.
    retry_at: Option<Instant>,
}

/// One transactional id.
#[derive(Debug, Clone, Default)]
struct Entry {
    /// As the log has it; `None` once it is forgotten.
    state: Option<TransactionMetadata>,
    /// The high watermark that commits it, if it is not committed, and what is committed meanwhile.
    pending: Option<(i64, Option<TransactionMetadata>)>,
    markers: Option<Markers>,
    /// A transaction that began in the future, by a wall clock that was wrong: when it began, and since when it counts as open.
    misdated: Option<(i64, i64)>,
}

impl Entry {
    /// Whether its transaction has been open for too long. One that began in the future counts from when that was seen: else it would stay open
    /// for as long as the clock of the coordinator before was ahead.
    fn is_overdue(&mut self, now_ms: i64) -> bool {
        let Some(state) = &self.state else { return false };
        let began_at_ms = state.started_at_ms;
        self.misdated = self.misdated.filter(|(misdated, _)| *misdated == began_at_ms);
        if began_at_ms > now_ms && self.misdated.is_none_or(|(_, since)| since > now_ms) {
            self.misdated = Some((began_at_ms, now_ms));
        }
        let since_ms = self.misdated.map_or(began_at_ms, |(_, since)| since);
        state.is_too_long(now_ms.saturating_sub(since_ms))
    }
}

/// Markers for one broker, with the transactional ids that they belong to.
pub(super) type Mail = BTreeMap<BrokerId, Vec<(Arc<str>, TxnMarker)>>;

/// See the module.
#[derive(Debug, Clone)]
pub struct Shard {
    id: PartitionId,
    leader_epoch: i32,
    phase: Phase,
    entries: BTreeMap<Arc<str>, Entry>,
    /// What was appended and is not committed yet: the high watermark that commits it, and whose it is.
    uncommitted: VecDeque<(i64, Arc<str>)>,
    waiting: VecDeque<Waiting>,
    /// Whose markers are to be sent now.
    to_send: BTreeSet<Arc<str>>,
    retries: BTreeSet<(Instant, Arc<str>)>,
    sweep_at: Instant,
    done: Vec<Done>,
}

impl Shard {
    /// The coordinator of a partition that this broker has begun to lead.
    pub(super) fn new(cx: &Ctx, turn: &Turn, id: PartitionId, leader_epoch: i32, log_start: i64) -> Shard {
        Shard {
            id,
            leader_epoch,
            phase: Phase::Loading { from: log_start, at: cx.now },
            entries: BTreeMap::new(),
            uncommitted: VecDeque::new(),
            waiting: VecDeque::new(),
            to_send: BTreeSet::new(),
            retries: BTreeSet::new(),
            sweep_at: cx.now.plus_millis(turn.env.config.transaction_sweep_interval_ms),
            done: Vec::new(),
        }
    }

    /// Its partition.
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// Whether it has read its partition.
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// What is committed of each transactional id, by name.
    pub fn committed(&self) -> impl Iterator<Item = (&Arc<str>, &TransactionMetadata)> {
        self.entries.iter().filter_map(|(id, entry)| {
            let shown = match &entry.pending {
                Some((_, before)) => before.as_ref(),
                None => entry.state.as_ref(),
            };
            shown.map(|state| (id, state))
        })
    }

    /// What the log says of each transactional id, committed or not, by name.
    pub fn appended(&self) -> impl Iterator<Item = (&Arc<str>, &TransactionMetadata)> {
        self.entries.iter().filter_map(|(id, entry)| Some((id, entry.state.as_ref()?)))
    }

    /// What is committed of a transactional id.
    pub fn shown(&self, id: &str) -> Option<&TransactionMetadata> {
        let entry = self.entries.get(id)?;
        match &entry.pending {
            Some((_, before)) => before.as_ref(),
            None => entry.state.as_ref(),
        }
    }

    /// What decisions about a transactional id look at.
    ///
    /// # Errors
    /// `CONCURRENT_TRANSACTIONS` while the last decision is not committed.
    pub(in crate::engine) fn current(&self, id: &str) -> Result<Option<&TransactionMetadata>, ErrorCode> {
        match self.entries.get(id) {
            Some(entry) if entry.pending.is_some() => Err(ErrorCode::ConcurrentTransactions),
            Some(entry) => Ok(entry.state.as_ref()),
            None => Ok(None),
        }
    }

    /// The same of an id that has to be known.
    ///
    /// # Errors
    /// `CONCURRENT_TRANSACTIONS`, or `INVALID_PRODUCER_ID_MAPPING` if nobody knows it.
    pub(in crate::engine) fn known(&self, id: &str) -> Result<&TransactionMetadata, ErrorCode> {
        self.current(id)?.ok_or(ErrorCode::InvalidProducerIdMapping)
    }

    /// When it is to be looked at next, and why.
    pub fn next_due(&self) -> Option<(Instant, &'static str)> {
        match self.phase {
            Phase::Loading { at, .. } => Some((at, "a transaction coordinator loads")),
            Phase::Active => {
                let write = self.waiting.front().map(|waiting| (waiting.deadline, "a transaction's write times out"));
                let retry = self.retries.first().map(|(at, _)| (*at, "transaction markers are sent again"));
                // A coordinator of nothing has nothing to sweep.
                let sweep = (!self.entries.is_empty()).then_some((self.sweep_at, "overdue transactions"));
                [write, retry, sweep].into_iter().flatten().min()
            }
        }
    }

    /// What the coordinators' sum has to see to.
    pub(super) fn take_done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done)
    }

    /// This broker leads in another epoch now, and did so all the time.
    pub(super) fn set_leader_epoch(&mut self, leader_epoch: i32) {
        self.leader_epoch = leader_epoch;
    }

    /// Reads on, up to the end of the log.
    pub(super) fn load(&mut self, cx: &mut Ctx, turn: &mut Turn) {
        let Phase::Loading { from, .. } = self.phase else { return };
        let Some(log) = turn.replicas.coordinated(self.id) else { return };
        let mut next = from.max(log.log_start);
        match turn.replicas.read_as_coordinator(cx, self.id, next, LOAD_CHUNK_BYTES) {
            Ok(batches) => {
                for batch in &batches {
                    self.take_over(batch);
                    next = batch.header.next_offset();
                }
                if batches.is_empty() {
                    next = log.log_end;
                }
                self.phase = Phase::Loading { from: next, at: cx.now };
            }
            Err(_) => self.phase = Phase::Loading { from: next, at: cx.now.plus_millis(LOAD_RETRY_MS) },
        }
        if next >= log.log_end {
            self.phase = Phase::Active;
            if cx.has(Mutant::PreparedForgotten) {
                self.uncommitted.clear();
                self.entries.values_mut().for_each(|entry| entry.pending = None);
            }
            let transactions = self.entries.len();
            cx.emit(EventKind::Transaction(TransactionEvent::CoordinatorLoaded { partition: self.id, transactions }));
        }
    }

    fn take_over(&mut self, batch: &Batch) {
        let Ok(found) = records::iterate(batch) else { return };
        if batch.header.is_control() {
            return;
        }
        for record in found.map_while(Result::ok) {
            let Some(key) = record.key else { continue };
            // What cannot be read belongs to no transaction that could be ended.
            if let Ok(Some(read)) = TransactionRecord::read(&key, record.value.as_deref()) {
                self.apply(batch.header.next_offset(), &read.id, read.value);
            }
        }
    }

    /// The only way in which a transactional id changes: at work, while loading, and so after a failover.
    fn apply(&mut self, end: i64, id: &Arc<str>, state: Option<TransactionMetadata>) {
        let entry = self.entries.entry(Arc::clone(id)).or_default();
        let before = match entry.pending.take() {
            Some((_, before)) => before,
            None => entry.state.take(),
        };
        entry.state = state;
        entry.pending = Some((end, before));
        entry.markers = None;
        self.uncommitted.push_back((end, Arc::clone(id)));
    }

    /// The high watermark has moved: what waited for it goes on, and markers of transactions whose end is committed are
    /// to be written.
    pub(super) fn on_high_watermark(&mut self, cx: &mut Ctx, high_watermark: i64) {
        if !self.is_active() {
            return;
        }
        while self.uncommitted.front().is_some_and(|(end, _)| *end <= high_watermark) {
            let (end, id) = self.uncommitted.pop_front().expect("just seen");
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if entry.pending.as_ref().is_none_or(|(pending, _)| *pending != end) {
                continue;
            }
            entry.pending = None;
            match &entry.state {
                None => {
                    self.entries.remove(&id);
                }
                Some(state) if state.status.is_prepared() => {
                    let commits = state.status == TransactionStatus::PrepareCommit;
                    entry.markers = Some(Markers { left: state.partitions.clone(), ..Markers::default() });
                    let event = TransactionEvent::Ending { transactional_id: id.to_string(), commits };
                    cx.emit(EventKind::Transaction(event));
                    self.to_send.insert(id);
                }
                Some(_) => {}
            }
        }
        while self.waiting.front().is_some_and(|waiting| waiting.end <= high_watermark) {
            let waiting = self.waiting.pop_front().expect("just seen");
            self.conclude(cx, waiting.after, Ok(()));
        }
    }

    /// The markers to be sent now, by the broker that leads their partitions. Partitions that are gone need none. What
    /// has no marker to wait for is complete.
    pub(super) fn take_mail(&mut self, cx: &mut Ctx, turn: &mut Turn) -> Mail {
        let mut mail = Mail::new();
        for id in std::mem::take(&mut self.to_send) {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let (Some(state), Some(markers)) = (&entry.state, &mut entry.markers) else { continue };
            let marker = TxnMarker {
                producer_id: state.producer_id,
                producer_epoch: state.producer_epoch,
                commits: state.status == TransactionStatus::PrepareCommit,
                coordinator_epoch: self.leader_epoch,
                transaction_version: state.client_version,
                partitions: Vec::new(),
            };
            let mut by_leader: BTreeMap<BrokerId, Vec<Partition>> = BTreeMap::new();
            for partition in std::mem::take(&mut markers.left) {
                let topic = turn.env.image.topic_ids.get(&*partition.0).copied();
                let found = topic.and_then(|topic| turn.env.image.partition(PartitionId::new(topic, partition.1)));
                match found.map(|found| found.leader) {
                    None => {}
                    Some(None) => {
                        markers.left.insert(partition);
                    }
                    Some(Some(leader)) => {
                        markers.asked.insert(partition.clone());
                        by_leader.entry(leader).or_default().push(partition);
                    }
                }
            }
            for (leader, partitions) in by_leader {
                let marker = TxnMarker { partitions, ..marker.clone() };
                mail.entry(leader).or_default().push((Arc::clone(&id), marker));
            }
            if !markers.left.is_empty() {
                self.retry_later(cx, &id);
            } else if markers.asked.is_empty() {
                self.complete(cx, turn, &id);
            }
        }
        mail
    }

    fn retry_later(&mut self, cx: &Ctx, id: &Arc<str>) {
        let Some(markers) = self.entries.get_mut(id).and_then(|entry| entry.markers.as_mut()) else { return };
        if markers.retry_at.is_none() {
            let at = cx.now.plus_millis(MARKER_RETRY_MS);
            markers.retry_at = Some(at);
            self.retries.insert((at, Arc::clone(id)));
        }
    }

    /// All markers of a transaction are written.
    fn complete(&mut self, cx: &mut Ctx, turn: &mut Turn, id: &Arc<str>) {
        let entry = &self.entries[id];
        let Some(state) = entry.state.as_ref().filter(|_| entry.pending.is_none()) else { return };
        let complete = state.complete(cx.wall.0);
        let commits = complete.status == TransactionStatus::CompleteCommit;
        if self.write(cx, turn, id, Some(complete), After::Nothing) {
            let event = TransactionEvent::Ended { transactional_id: id.to_string(), commits };
            cx.emit(EventKind::Transaction(event));
        } else {
            self.retry_later(cx, id);
        }
    }

    /// What became of a marker that was sent.
    pub(super) fn marked(&mut self, cx: &Ctx, id: &Arc<str>, marker: &TxnMarker, results: &[ErrorCode]) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let (Some(state), Some(markers)) = (&entry.state, &mut entry.markers) else { return };
        if (state.producer_id, state.producer_epoch) != (marker.producer_id, marker.producer_epoch) {
            return;
        }
        let results = results.iter().copied().chain(std::iter::repeat(ErrorCode::NetworkException));
        for (partition, result) in marker.partitions.iter().zip(results) {
            match result {
                // A later coordinator is at work: this one learns soon that it is none, and waits for that.
                ErrorCode::TransactionCoordinatorFenced => {}
                // The partition is in a later epoch of the producer: the transaction has ended there.
                ErrorCode::InvalidProducerEpoch if cx.has(Mutant::MarkerRepetitionRefused) => {
                    markers.asked.remove(partition);
                    markers.left.insert(partition.clone());
                }
                ErrorCode::None | ErrorCode::UnsupportedForMessageFormat | ErrorCode::InvalidProducerEpoch => {
                    markers.asked.remove(partition);
                }
                _ => {
                    markers.asked.remove(partition);
                    markers.left.insert(partition.clone());
                }
            }
        }
        if !markers.left.is_empty() {
            self.retry_later(cx, id);
        } else if markers.asked.is_empty() {
            self.to_send.insert(Arc::clone(id));
        }
    }

    /// Time has passed.
    pub(super) fn on_due(&mut self, cx: &mut Ctx, turn: &mut Turn) {
        if let Phase::Loading { at, .. } = self.phase {
            if at <= cx.now {
                self.load(cx, turn);
            }
            return;
        }
        while self.waiting.front().is_some_and(|waiting| waiting.deadline <= cx.now) {
            let waiting = self.waiting.pop_front().expect("just seen");
            self.conclude(cx, waiting.after, Err(ErrorCode::RequestTimedOut));
        }
        while let Some((at, id)) = self.retries.first().cloned() {
            if at > cx.now {
                break;
            }
            self.retries.pop_first();
            let markers = self.entries.get_mut(&id).and_then(|entry| entry.markers.as_mut());
            // Another time is that of a transaction before.
            if let Some(markers) = markers.filter(|markers| markers.retry_at == Some(at)) {
                markers.retry_at = None;
                self.to_send.insert(id);
            }
        }
        if self.sweep_at <= cx.now {
            self.sweep_at = cx.now.plus_millis(turn.env.config.transaction_sweep_interval_ms);
            self.sweep(cx, turn);
        }
    }

    /// Aborts what is open too long, and forgets what has rested for long.
    fn sweep(&mut self, cx: &mut Ctx, turn: &mut Turn) {
        let now_ms = cx.wall.0;
        let expiration_ms = i64::try_from(turn.env.config.transactional_id_expiration_ms).unwrap_or(i64::MAX);
        let (mut overdue, mut expired) = (Vec::new(), Vec::new());
        for (id, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.pending.is_none()) {
            if entry.is_overdue(now_ms) {
                overdue.push(Arc::clone(id));
            } else if entry.state.as_ref().is_some_and(|state| state.is_expired(now_ms, expiration_ms)) {
                expired.push(Arc::clone(id));
            }
        }
        for id in overdue {
            let state = self.entries[&id].state.as_ref().expect("just seen");
            // Without a producer id at hand the next sweep tries again.
            let Ok(fenced) = state.fence(now_ms, &mut || turn.producer_ids.take()) else {
                turn.producer_ids.want();
                continue;
            };
            if self.write(cx, turn, &id, Some(fenced), After::Nothing) {
                let event = TransactionEvent::TimedOut { transactional_id: id.to_string() };
                cx.emit(EventKind::Transaction(event));
            }
        }
        for id in expired {
            self.write(cx, turn, &id, None, After::Nothing);
        }
    }

    /// Appends a state (or the end) of a transactional id; tells whether it could be. What follows waits for the
    /// replicas.
    pub(in crate::engine) fn write(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: &Arc<str>,
        state: Option<TransactionMetadata>,
        after: After,
    ) -> bool {
        let record = TransactionRecord { id: Arc::clone(id), value: state };
        let mut builder = BatchBuilder::new();
        builder.push(cx.wall.0, Some(&record.key()), record.value().as_deref(), &[]);
        let appended = match builder.build() {
            Ok(batch) => turn.replicas.append_as_coordinator(cx, turn.env, self.id, self.leader_epoch, vec![batch]),
            Err(_) => Err(ErrorCode::UnknownServerError),
        };
        match appended {
            Ok(end) => {
                self.apply(end, id, record.value);
                let deadline = cx.now.plus_millis(turn.env.config.peer_request_timeout_ms);
                self.waiting.push_back(Waiting { end, deadline, after });
                true
            }
            Err(error) => {
                self.conclude(cx, after, Err(error));
                false
            }
        }
    }

    /// What follows a write that is committed or has failed.
    fn conclude(&mut self, cx: &mut Ctx, after: After, result: Result<(), ErrorCode>) {
        let result = result.map_err(write_error);
        match after {
            After::Answer { token, response } => {
                let response = match result {
                    Ok(()) => *response,
                    Err(error) => with_error(*response, error),
                };
                cx.respond(token, response);
            }
            After::Added { request, place } => {
                self.done.push(Done { request, place, error: result.err().unwrap_or(ErrorCode::None) });
            }
            After::Nothing => {}
        }
    }

    /// This broker leads no more: whoever waits is to ask the next coordinator.
    pub(super) fn unload(&mut self, cx: &mut Ctx) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.conclude(cx, waiting.after, Err(ErrorCode::NotCoordinator));
        }
        cx.emit(EventKind::Transaction(TransactionEvent::CoordinatorUnloaded { partition: self.id }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_began_in_the_future_counts_from_when_that_was_seen() {
        let begun = TransactionMetadata {
            status: TransactionStatus::Ongoing,
            started_at_ms: 100_000,
            ..TransactionMetadata::new(7, 1_000, 0)
        };
        let mut entry = Entry { state: Some(begun.clone()), ..Entry::default() };
        assert!(!entry.is_overdue(40_000) && !entry.is_overdue(41_000) && entry.is_overdue(41_001));
        entry.state = Some(TransactionMetadata { started_at_ms: 41_500, ..begun.clone() });
        assert!(!entry.is_overdue(42_500) && entry.is_overdue(42_501));
        let mut entry = Entry { state: Some(begun), ..Entry::default() };
        assert!(!entry.is_overdue(101_000) && entry.is_overdue(101_001));
    }
}

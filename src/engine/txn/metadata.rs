//! What a coordinator knows of one transactional id, and the rules of how that may change (Kafka's
//! `TransactionMetadata` and `TransactionCoordinator`; KIP-98, KIP-360, KIP-588, KIP-890). Decisions only: each takes
//! the state there is and tells the one to be written, or why not. The shard carries them out.
//!
//! Invariants: an epoch of a producer never falls; a transaction ends once, as it was decided first; with transaction
//! version 2 each end of a transaction takes the producer to another epoch.

use crate::protocol::error::ErrorCode;
use std::collections::BTreeSet;
use std::sync::Arc;

/// "No producer id."
pub const NO_PRODUCER: i64 = -1;
/// "No epoch."
pub const NO_EPOCH: i16 = -1;
/// From this version on the epoch is bumped at each end (`TransactionVersion.supportsEpochBump`).
pub const BUMPS_FROM: i16 = 2;

/// A topic's name and a partition of it.
pub type Partition = (Arc<str>, i32);

/// What a transactional id is doing (`TransactionState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionStatus {
    /// There has been no transaction in this epoch yet.
    Empty,
    /// A transaction is open.
    Ongoing,
    /// It is decided that it commits; markers are being written.
    PrepareCommit,
    /// It is decided that it aborts; markers are being written.
    PrepareAbort,
    /// It has committed.
    CompleteCommit,
    /// It was aborted.
    CompleteAbort,
}

impl TransactionStatus {
    const ALL: [TransactionStatus; 6] = [
        TransactionStatus::Empty,
        TransactionStatus::Ongoing,
        TransactionStatus::PrepareCommit,
        TransactionStatus::PrepareAbort,
        TransactionStatus::CompleteCommit,
        TransactionStatus::CompleteAbort,
    ];

    /// Kafka's number, as records have it.
    pub fn number(self) -> i8 {
        self as i8
    }

    /// The status of a number.
    pub fn from_number(number: i8) -> Option<TransactionStatus> {
        TransactionStatus::ALL.into_iter().find(|status| status.number() == number)
    }

    /// Kafka's name, as ListTransactions has it.
    pub fn name(self) -> &'static str {
        match self {
            TransactionStatus::Empty => "Empty",
            TransactionStatus::Ongoing => "Ongoing",
            TransactionStatus::PrepareCommit => "PrepareCommit",
            TransactionStatus::PrepareAbort => "PrepareAbort",
            TransactionStatus::CompleteCommit => "CompleteCommit",
            TransactionStatus::CompleteAbort => "CompleteAbort",
        }
    }

    /// The status of a name.
    pub fn from_name(name: &str) -> Option<TransactionStatus> {
        TransactionStatus::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether markers are being written.
    pub fn is_prepared(self) -> bool {
        matches!(self, TransactionStatus::PrepareCommit | TransactionStatus::PrepareAbort)
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionMetadata {
    /// Its producer.
    pub producer_id: i64,
    /// The producer before it; −1 if there was none.
    pub previous_producer_id: i64,
    /// The producer after it, once its transaction is complete: its epochs are used up.
    pub next_producer_id: i64,
    /// The producer's epoch; −1 before the first.
    pub producer_epoch: i16,
    /// The epoch before a bump that the client asked for, so that it may ask again (KIP-360). Not written.
    pub last_producer_epoch: i16,
    /// How long a transaction may be open, in milliseconds.
    pub timeout_ms: i32,
    /// What it is doing.
    pub status: TransactionStatus,
    /// The partitions of the transaction.
    pub partitions: BTreeSet<Partition>,
    /// When the transaction began, in milliseconds of wall time; −1 if there was none.
    pub started_at_ms: i64,
    /// When anything changed last.
    pub updated_at_ms: i64,
    /// The version of the transaction protocol that the client speaks.
    pub client_version: i16,
}

/// What InitProducerId asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Init {
    /// How long its transactions may be open.
    pub timeout_ms: i32,
    /// Producer and epoch that the client has, if it has (KIP-360).
    pub expected: Option<(i64, i16)>,
}

/// What becomes of an InitProducerId.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Initialized {
    /// The producer is ready once this is written.
    Ready(TransactionMetadata),
    /// Its open transaction is aborted first; the client asks again.
    FencedFirst(TransactionMetadata),
}

/// What EndTxn asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Commit, else abort.
    pub commits: bool,
    /// The version of the transaction protocol that the client speaks.
    pub client_version: i16,
}

/// What becomes of an EndTxn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It has ended that way before.
    Already,
    /// It ends once this is written.
    Begin(TransactionMetadata),
}

/// Draws a producer id, if there is one.
pub type NextId<'a> = &'a mut dyn FnMut() -> Option<i64>;

/// Epochs end one before the largest, which is kept for a last fence (`TransactionMetadata.isEpochExhausted`).
fn is_exhausted(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}

/// No id at hand: the block is being fetched (`RPCProducerIdManager`).
fn drawn(next_id: NextId) -> Result<i64, ErrorCode> {
    next_id().ok_or(ErrorCode::CoordinatorLoadInProgress)
}

impl TransactionMetadata {
    /// A transactional id that nobody knew.
    pub fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> TransactionMetadata {
        TransactionMetadata {
            producer_id,
            previous_producer_id: NO_PRODUCER,
            next_producer_id: NO_PRODUCER,
            producer_epoch: NO_EPOCH,
            last_producer_epoch: NO_EPOCH,
            timeout_ms,
            status: TransactionStatus::Empty,
            partitions: BTreeSet::new(),
            started_at_ms: -1,
            updated_at_ms: now_ms,
            client_version: 0,
        }
    }

    /// Producer and epoch that the client goes on with.
    pub fn told(&self) -> (i64, i16) {
        match self.next_producer_id {
            NO_PRODUCER => (self.producer_id, self.producer_epoch),
            next => (next, 0),
        }
    }

    /// A producer begins, or begins anew after an error.
    ///
    /// # Errors
    /// `PRODUCER_FENCED`, `CONCURRENT_TRANSACTIONS` while a transaction ends, `COORDINATOR_LOAD_IN_PROGRESS` while
    /// there is no producer id.
    pub fn init(&self, init: Init, now_ms: i64, next_id: NextId) -> Result<Initialized, ErrorCode> {
        let is_ours = |(id, epoch): (i64, i16)| {
            self.producer_epoch == NO_EPOCH
                || id == self.producer_id
                || (id == self.previous_producer_id && is_exhausted(epoch))
        };
        if !init.expected.is_none_or(is_ours) {
            return Err(ErrorCode::ProducerFenced);
        }
        match self.status {
            TransactionStatus::PrepareAbort | TransactionStatus::PrepareCommit => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            TransactionStatus::Ongoing => self.fence(now_ms, next_id).map(Initialized::FencedFirst),
            TransactionStatus::Empty | TransactionStatus::CompleteAbort | TransactionStatus::CompleteCommit => {
                let is_last = init.expected.is_none_or(|(_, epoch)| epoch == self.producer_epoch);
                let ready = TransactionMetadata {
                    timeout_ms: init.timeout_ms,
                    status: TransactionStatus::Empty,
                    partitions: BTreeSet::new(),
                    started_at_ms: -1,
                    updated_at_ms: now_ms,
                    next_producer_id: NO_PRODUCER,
                    ..self.clone()
                };
                if is_exhausted(self.producer_epoch) && is_last {
                    return Ok(Initialized::Ready(TransactionMetadata {
                        producer_id: drawn(next_id)?,
                        previous_producer_id: self.producer_id,
                        producer_epoch: 0,
                        last_producer_epoch: if init.expected.is_some() { self.producer_epoch } else { NO_EPOCH },
                        ..ready
                    }));
                }
                let (producer_epoch, last_producer_epoch) = self.next_epoch(init.expected)?;
                Ok(Initialized::Ready(TransactionMetadata { producer_epoch, last_producer_epoch, ..ready }))
            }
        }
    }

    /// `TransactionMetadata.prepareIncrementProducerEpoch`.
    fn next_epoch(&self, expected: Option<(i64, i16)>) -> Result<(i16, i16), ErrorCode> {
        let bumped = self.producer_epoch.saturating_add(1);
        match expected {
            None => Ok((bumped, NO_EPOCH)),
            Some((_, epoch)) if self.producer_epoch == NO_EPOCH || epoch == self.producer_epoch => {
                Ok((bumped, self.producer_epoch))
            }
            // It asks again for what it was given and did not hear of.
            Some((_, epoch)) if epoch == self.last_producer_epoch => Ok((self.producer_epoch, epoch)),
            Some(_) => Err(ErrorCode::ProducerFenced),
        }
    }

    /// Aborts the open transaction in an epoch that its client does not have.
    ///
    /// # Errors
    /// `COORDINATOR_LOAD_IN_PROGRESS` while there is no producer id, if one is needed.
    pub fn fence(&self, now_ms: i64, next_id: NextId) -> Result<TransactionMetadata, ErrorCode> {
        self.prepared(false, BUMPS_FROM, now_ms, next_id)
    }

    /// Whether a producer is the one that this id belongs to.
    fn check_producer(&self, producer_id: i64, producer_epoch: i16) -> Result<(), ErrorCode> {
        if self.producer_id != producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if self.producer_epoch != producer_epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        if self.status.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        Ok(())
    }

    /// Partitions join the transaction, which begins with the first; `None` if they are in it already.
    ///
    /// # Errors
    /// `INVALID_PRODUCER_ID_MAPPING`, `PRODUCER_FENCED` or `CONCURRENT_TRANSACTIONS`.
    pub fn add(
        &self,
        (producer_id, producer_epoch): (i64, i16),
        partitions: &BTreeSet<Partition>,
        client_version: i16,
        now_ms: i64,
    ) -> Result<Option<TransactionMetadata>, ErrorCode> {
        self.check_producer(producer_id, producer_epoch)?;
        let is_open = self.status == TransactionStatus::Ongoing;
        if is_open && partitions.is_subset(&self.partitions) {
            return Ok(None);
        }
        let mut all = if is_open { self.partitions.clone() } else { BTreeSet::new() };
        all.extend(partitions.iter().cloned());
        Ok(Some(TransactionMetadata {
            status: TransactionStatus::Ongoing,
            partitions: all,
            started_at_ms: if is_open { self.started_at_ms } else { now_ms },
            updated_at_ms: now_ms,
            client_version,
            ..self.clone()
        }))
    }

    /// Whether partitions are in the open transaction: for each that is not, `TRANSACTION_ABORTABLE`.
    ///
    /// # Errors
    /// As [`TransactionMetadata::add`].
    pub fn verify(&self, (producer_id, producer_epoch): (i64, i16), partition: &Partition) -> Result<(), ErrorCode> {
        self.check_producer(producer_id, producer_epoch)?;
        if self.partitions.contains(partition) { Ok(()) } else { Err(ErrorCode::TransactionAbortable) }
    }

    /// The client ends its transaction. With version 2 it may repeat itself without harm, and may abort where nothing
    /// was begun.
    ///
    /// # Errors
    /// `INVALID_PRODUCER_ID_MAPPING`, `PRODUCER_FENCED`, `CONCURRENT_TRANSACTIONS`, `INVALID_TXN_STATE`, or
    /// `COORDINATOR_LOAD_IN_PROGRESS` while there is no producer id.
    pub fn end(&self, end: End, now_ms: i64, next_id: NextId) -> Result<Ended, ErrorCode> {
        if end.client_version >= BUMPS_FROM {
            self.end_bumping(end, now_ms, next_id)
        } else {
            self.end_plainly(end, now_ms)
        }
    }

    fn end_plainly(&self, end: End, now_ms: i64) -> Result<Ended, ErrorCode> {
        if self.producer_id != end.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if self.producer_epoch != end.producer_epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        match (self.status, end.commits) {
            (TransactionStatus::Ongoing, commits) => {
                self.prepared(commits, end.client_version, now_ms, &mut || None).map(Ended::Begin)
            }
            (TransactionStatus::CompleteCommit, true) | (TransactionStatus::CompleteAbort, false) => Ok(Ended::Already),
            (TransactionStatus::PrepareCommit, true) | (TransactionStatus::PrepareAbort, false) => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    fn end_bumping(&self, end: End, now_ms: i64, next_id: NextId) -> Result<Ended, ErrorCode> {
        use TransactionStatus::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
        let is_overflow_again = self.previous_producer_id == end.producer_id
            && end.producer_epoch == i16::MAX - 1
            && self.producer_epoch == 0;
        let is_bump_again = i32::from(self.producer_epoch) == i32::from(end.producer_epoch) + 1;
        let is_again = is_overflow_again || is_bump_again;
        let is_current = self.producer_epoch == end.producer_epoch;
        if self.producer_id != end.producer_id && !is_overflow_again {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let is_valid = match self.status {
            Ongoing | Empty => is_current,
            PrepareCommit | PrepareAbort => is_bump_again,
            CompleteCommit | CompleteAbort => is_again || is_current,
        };
        if !is_valid {
            return Err(ErrorCode::ProducerFenced);
        }
        match (self.status, end.commits) {
            (Ongoing, commits) => self.prepared(commits, end.client_version, now_ms, next_id).map(Ended::Begin),
            (CompleteCommit, true) | (CompleteAbort, false) if is_again => Ok(Ended::Already),
            (CompleteCommit, false) if is_again => Err(ErrorCode::InvalidTxnState),
            // Nothing was begun: the abort bumps the epoch, so that nothing late can be mistaken for what follows.
            (CompleteCommit | CompleteAbort | Empty, false) => {
                let prepared = self.prepared(false, end.client_version, now_ms, next_id)?;
                Ok(Ended::Begin(TransactionMetadata { started_at_ms: now_ms, ..prepared }))
            }
            (PrepareCommit, true) | (PrepareAbort, false) => Err(ErrorCode::ConcurrentTransactions),
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// `TransactionMetadata.prepareAbortOrCommit`.
    fn prepared(
        &self,
        commits: bool,
        client_version: i16,
        now_ms: i64,
        next_id: NextId,
    ) -> Result<TransactionMetadata, ErrorCode> {
        let bumps = client_version >= BUMPS_FROM;
        let status = if commits { TransactionStatus::PrepareCommit } else { TransactionStatus::PrepareAbort };
        let is_rotated = bumps && is_exhausted(self.producer_epoch);
        Ok(TransactionMetadata {
            status,
            next_producer_id: if is_rotated { drawn(next_id)? } else { NO_PRODUCER },
            producer_epoch: if bumps { self.producer_epoch.saturating_add(1) } else { self.producer_epoch },
            last_producer_epoch: if bumps { self.producer_epoch } else { self.last_producer_epoch },
            updated_at_ms: now_ms,
            client_version,
            ..self.clone()
        })
    }

    /// All markers are written.
    ///
    /// # Panics
    /// If it is not prepared.
    pub fn complete(&self, now_ms: i64) -> TransactionMetadata {
        let status = match self.status {
            TransactionStatus::PrepareCommit => TransactionStatus::CompleteCommit,
            TransactionStatus::PrepareAbort => TransactionStatus::CompleteAbort,
            other => panic!("a transaction in {} has no markers", other.name()),
        };
        let (producer_id, producer_epoch) = self.told();
        let is_rotated = producer_id != self.producer_id;
        TransactionMetadata {
            producer_id,
            producer_epoch,
            previous_producer_id: if is_rotated { self.producer_id } else { self.previous_producer_id },
            next_producer_id: NO_PRODUCER,
            status,
            partitions: BTreeSet::new(),
            updated_at_ms: now_ms,
            ..self.clone()
        }
    }

    /// Whether its transaction, open for so many milliseconds, has been open for too long.
    pub fn is_too_long(&self, open_ms: i64) -> bool {
        self.status == TransactionStatus::Ongoing && i64::from(self.timeout_ms) < open_ms
    }

    /// Whether nothing has happened for so long that it may be forgotten (`transactional.id.expiration.ms`).
    pub fn is_expired(&self, now_ms: i64, expiration_ms: i64) -> bool {
        use TransactionStatus::{CompleteAbort, CompleteCommit, Empty};
        matches!(self.status, Empty | CompleteCommit | CompleteAbort)
            && now_ms.saturating_sub(self.updated_at_ms) >= expiration_ms
    }
}

#[cfg(test)]
mod tests;

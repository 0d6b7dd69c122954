//! A client that moves amounts between accounts: each transfer takes from one partition and gives to another in one transaction, so that the sum
//! of all that is committed never changes. Some transfers are aborted on purpose.

use super::ClientId;
use crate::client::metadata::TopicPartition;
use crate::client::producer::ProducerRecord;
use crate::client::transaction::{Outcome, Transaction, TransactionOptions, TransactionalProducer};
use crate::engine::prng::Prng;
use crate::engine::time::{Instant, WallTime};
use bytes::Bytes;

/// After this long without an answer a client asks again, in milliseconds.
const REQUEST_TIMEOUT_MS: u64 = 1_500;
/// Wait before a repetition, in milliseconds.
const RETRY_BACKOFF_MS: u64 = 50;
/// The largest amount of a transfer.
const AMOUNT_MAX: u64 = 100;
/// One in so many transfers is aborted on purpose.
const ABORTS_ONE_IN: u64 = 5;

/// What to transfer, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfers {
    /// The topic of the accounts.
    pub topic: String,
    /// How many partitions it has; at least two.
    pub partitions: i32,
    /// The producer's name among all; two that share one fence each other.
    pub transactional_id: String,
    /// After so long an open transaction is aborted, in milliseconds.
    pub transaction_timeout_ms: i32,
    /// From the end of one transfer to the next, in milliseconds.
    pub interval_ms: u64,
    /// When the first begins.
    pub from: Instant,
    /// None begins from here on.
    pub until: Instant,
}

/// One side of a transfer, as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leg {
    /// Whose transfer.
    pub client: ClientId,
    /// Its number among that client's, from 0.
    pub number: usize,
    /// What is taken or given.
    pub amount: i64,
}

impl Leg {
    fn write(self) -> Bytes {
        Bytes::from(format!("transfer {} {} {}", self.client.0, self.number, self.amount))
    }

    /// Reads what was written; `None` for anything else.
    pub fn read(value: &[u8]) -> Option<Leg> {
        let mut words = std::str::from_utf8(value).ok()?.strip_prefix("transfer ")?.split(' ');
        let mut word = || words.next();
        let client = ClientId(word()?.parse().ok()?);
        Some(Leg { client, number: word()?.parse().ok()?, amount: word()?.parse().ok()? })
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Transferring {
    pub(super) machine: TransactionalProducer,
    /// What it transfers.
    pub transfers: Transfers,
    client: ClientId,
    rng: Prng,
    next_at: Instant,
    /// How each transfer ended, in order; the last one may be under way.
    pub outcomes: Vec<Option<Outcome>>,
}

impl Transferring {
    /// A client that has transferred nothing.
    pub fn new(client: ClientId, transfers: Transfers, rng: Prng) -> Transferring {
        let options = TransactionOptions {
            transactional_id: transfers.transactional_id.clone(),
            transaction_timeout_ms: transfers.transaction_timeout_ms,
            request_timeout_ms: REQUEST_TIMEOUT_MS,
            retry_backoff_ms: RETRY_BACKOFF_MS,
        };
        let next_at = transfers.from;
        let machine = TransactionalProducer::new(options);
        Transferring { machine, transfers, client, rng, next_at, outcomes: Vec::new() }
    }

    pub(super) fn writes(&self, now: Instant) -> bool {
        now < self.transfers.until
    }

    pub(super) fn is_done(&self, now: Instant) -> bool {
        !self.writes(now) && !self.machine.is_busy()
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        (!self.machine.is_busy() && self.next_at < self.transfers.until).then_some(self.next_at)
    }

    pub(super) fn violation(&self) -> Option<String> {
        let error = self.machine.violation()?;
        Some(format!("a transactional producer that does everything right was told {error}"))
    }

    pub(super) fn prepare(&mut self, now: Instant, wall: WallTime) {
        if self.machine.is_busy() || !self.writes(now) || now < self.next_at {
            return;
        }
        let partitions = u64::try_from(self.transfers.partitions).expect("a few partitions");
        let from = self.rng.below(partitions);
        let to = (from + self.rng.range(1, partitions - 1)) % partitions;
        let amount = i64::try_from(self.rng.range(1, AMOUNT_MAX)).expect("a small amount");
        let number = self.outcomes.len();
        let record = |partition: u64, amount: i64| ProducerRecord {
            topic: self.transfers.topic.clone(),
            partition: Some(i32::try_from(partition).expect("a few partitions")),
            value: Some(Leg { client: self.client, number, amount }.write()),
            timestamp_ms: wall.0,
            ..ProducerRecord::default()
        };
        let records = vec![record(from, -amount), record(to, amount)];
        let commits = !self.rng.chance(1, ABORTS_ONE_IN);
        self.machine.begin(Transaction { records, offsets: None, commits });
        self.outcomes.push(None);
    }

    pub(super) fn harvest(&mut self, now: Instant, note: &mut dyn FnMut(std::fmt::Arguments)) {
        let Some(outcome) = self.machine.take_outcome() else { return };
        self.next_at = now.plus_millis(self.transfers.interval_ms);
        let number = self.outcomes.len() - 1;
        match &outcome {
            Outcome::Committed(places) => {
                let places: Vec<String> =
                    places.iter().map(|(at, offset): &(TopicPartition, i64)| format!("{at} at {offset}")).collect();
                note(format_args!("transfer {number} committed: {}", places.join(", ")));
            }
            Outcome::Aborted => note(format_args!("transfer {number} aborted")),
            Outcome::Unknown(error) => note(format_args!("transfer {number} may be committed: {error}")),
        }
        self.outcomes[number] = Some(outcome);
    }
}

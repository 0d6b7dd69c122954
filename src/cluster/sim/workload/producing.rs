//! A client that writes: a few records of one key at a time, at its own pace, whether or not the ones before are acknowledged.

use super::ClientId;
use crate::client::metadata::TopicPartition;
use crate::client::producer::{Delivery, Producer, ProducerOptions, ProducerRecord, Refusal};
use crate::cluster::ledger::{HEADER, Ledger, LoadId, Tag};
use crate::cluster::view::Acks;
use crate::engine::prng::Prng;
use crate::engine::time::{Instant, WallTime};
use crate::protocol::error::ErrorCode;
use bytes::Bytes;
use std::collections::BTreeMap;

/// After this long without an answer a client asks again, in milliseconds.
const REQUEST_TIMEOUT_MS: u64 = 1_500;
/// So many records at most are under way: what is due then is left out.
const UNDER_WAY_MAX: usize = 400;
/// How many keys there are.
const KEYS: u64 = 24;
/// How many records come at once, at most.
const AT_ONCE_MAX: u64 = 5;

/// What to write, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The topic.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// Whose acknowledgement is waited for; only all of them promise anything.
    pub acks: Acks,
    /// From one go to the next, in milliseconds.
    pub interval_ms: u64,
    /// After so long a record is given up, in milliseconds.
    pub delivery_timeout_ms: u64,
    /// When the first records come.
    pub from: Instant,
    /// After so long, in milliseconds, it begins anew as another producer with another id, as a process does that was restarted in order.
    pub renewed_every_ms: Option<u64>,
    /// Compaction takes records away again, so that nobody follows them; some are tombstones.
    pub is_compacted: bool,
    /// No more records from here on: the client only finishes what it has begun.
    pub until: Instant,
}

impl Load {
    /// A load that gives nothing up and ends only when it is told to.
    pub fn new(topic: &str, partitions: i32, interval_ms: u64) -> Load {
        Load {
            topic: topic.to_owned(),
            partitions,
            acks: Acks::All,
            interval_ms,
            delivery_timeout_ms: 120_000,
            from: Instant::ZERO,
            renewed_every_ms: None,
            is_compacted: false,
            until: Instant(u64::MAX / 2),
        }
    }
}

/// An acknowledged batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acked {
    /// Which partition of the client's topic.
    pub partition: i32,
    /// Its first offset.
    pub base_offset: i64,
    /// How many records it has.
    pub count: i32,
    /// The checksum that tells it from every other batch.
    pub crc: u32,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Producing {
    pub(super) machine: Producer,
    pub(super) load: Load,
    id: LoadId,
    rng: Prng,
    next_at: Instant,
    renews_at: Option<Instant>,
    number: u64,
    /// The machine's numbers of records, with ours.
    under_way: BTreeMap<u64, u64>,
    /// Everything that was acknowledged, and promised by that.
    pub acked: Vec<Acked>,
    pub(super) violation: Option<String>,
}

impl Producing {
    /// A client that has everything before it; the ledger is told of its load.
    pub fn new(client: ClientId, load: Load, rng: Prng, ledger: &mut Ledger) -> Producing {
        let id = LoadId(u64::from(client.0));
        if load.acks == Acks::All && !load.is_compacted {
            ledger.begin(id, load.acks);
        }
        let mut producing = Producing {
            machine: Producer::new(options_of(&load)),
            id,
            rng,
            next_at: load.from,
            renews_at: None,
            number: 0,
            under_way: BTreeMap::new(),
            acked: Vec::new(),
            violation: None,
            load,
        };
        producing.plan_renewal(producing.load.from);
        producing
    }

    fn plan_renewal(&mut self, now: Instant) {
        self.renews_at = self.load.renewed_every_ms.map(|after_ms| now.plus_millis(after_ms));
    }

    /// What it writes.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Whether it still has records to come.
    pub fn writes(&self, now: Instant) -> bool {
        now < self.load.until
    }

    /// Records that have not ended.
    pub fn unfinished(&self) -> usize {
        self.machine.unfinished()
    }

    pub(super) fn is_done(&self, now: Instant) -> bool {
        !self.writes(now) && self.unfinished() == 0
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        (self.next_at < self.load.until).then_some(self.next_at)
    }

    pub(super) fn prepare(&mut self, now: Instant, wall: WallTime) {
        if !self.writes(now) || now < self.next_at {
            return;
        }
        self.next_at = now.plus_millis(self.load.interval_ms);
        if self.renews_at.is_some_and(|at| at <= now) {
            if self.unfinished() > 0 {
                // It finishes what it has begun.
                return;
            }
            self.machine = Producer::new(options_of(&self.load));
            self.under_way.clear();
            self.plan_renewal(now);
        }
        if self.under_way.len() >= UNDER_WAY_MAX {
            return;
        }
        let key = self.rng.below(KEYS);
        let partitions = u64::try_from(self.load.partitions).expect("a few partitions");
        // Keys do not reach every partition of a small topic alike.
        let chosen = self.rng.chance(1, 3).then(|| self.rng.below(partitions));
        let partition = chosen.map(|partition| i32::try_from(partition).expect("a few partitions"));
        for _ in 0..self.rng.range(1, AT_ONCE_MAX) {
            self.number += 1;
            let is_tombstone = self.load.is_compacted && self.rng.chance(1, 8);
            let tag = Tag { load: self.id, number: self.number }.to_string();
            let record = ProducerRecord {
                topic: self.load.topic.clone(),
                partition,
                key: Some(Bytes::from(format!("key-{key}"))),
                value: (!is_tombstone).then(|| Bytes::from(format!("{}/{}", self.id.0, self.number))),
                headers: vec![(HEADER.to_owned(), Some(Bytes::from(tag)))],
                timestamp_ms: wall.0,
            };
            let sent = self.machine.send(now.as_millis(), record);
            self.under_way.insert(sent, self.number);
        }
    }

    pub(super) fn harvest(&mut self, ledger: &mut Ledger, note: &mut dyn FnMut(std::fmt::Arguments)) {
        for delivery in self.machine.take_deliveries() {
            let Some(number) = self.under_way.remove(&delivery.record) else { continue };
            let Some(partition) = &delivery.partition else { continue };
            match &delivery.outcome {
                Ok(offset) if self.load.acks == Acks::All && *offset >= 0 => {
                    if !self.load.is_compacted {
                        ledger.acked(Tag { load: self.id, number }, partition, *offset);
                    }
                    self.acked(partition, *offset, delivery.crc, note);
                }
                Ok(_) => {}
                Err(refusal) => {
                    note(format_args!("gives up record {number} for {partition}: {refusal}"));
                    self.refused(&delivery, refusal);
                }
            }
        }
    }

    /// A record was acknowledged: a batch's records come one after another.
    fn acked(
        &mut self,
        partition: &TopicPartition,
        offset: i64,
        crc: Option<u32>,
        note: &mut dyn FnMut(std::fmt::Arguments),
    ) {
        let Some(crc) = crc else { return };
        if let Some(last) = self.acked.last_mut()
            && (last.partition, last.crc, last.base_offset + i64::from(last.count))
                == (partition.partition, crc, offset)
        {
            last.count += 1;
            return;
        }
        note(format_args!("acked {partition} at {offset}"));
        self.acked.push(Acked { partition: partition.partition, base_offset: offset, count: 1, crc });
    }

    fn refused(&mut self, delivery: &Delivery, refusal: &Refusal) {
        let is_a_bug = matches!(
            refusal,
            Refusal::Error(
                ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId | ErrorCode::InvalidProducerEpoch
            )
        );
        if is_a_bug {
            let what = format!("an idempotent producer that repeats faithfully was told {refusal} ({delivery:?})");
            self.violation.get_or_insert(what);
        }
    }
}

fn options_of(load: &Load) -> ProducerOptions {
    ProducerOptions {
        acks: match load.acks {
            Acks::All => -1,
            Acks::Leader => 1,
            Acks::None => 0,
        },
        delivery_timeout_ms: load.delivery_timeout_ms,
        request_timeout_ms: REQUEST_TIMEOUT_MS,
        creates_topics: false,
        ..ProducerOptions::default()
    }
}

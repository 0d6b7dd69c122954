//! A steady load: a producer that keeps a rate, and tells the ledger what became of its records.
//!
//! Invariants: at most [`UNDER_WAY_MAX`] records wait for their acknowledgement, what is due beyond is not sent; every record carries its
//! tag; a load that is stopped still waits a moment for what is under way.

use crate::client::producer::{Producer, ProducerOptions};
use crate::cluster::ledger::{HEADER, Ledger, LoadId, Tag};
use crate::cluster::sim::workload::Around;
use crate::cluster::workload::{Beat, LoadStatus, Pace, Source, acks_number};
use crate::engine::time::Instant;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt::Arguments;
use std::time::Duration;

/// Records under way at most.
const UNDER_WAY_MAX: usize = 5_000;
/// A record that nobody takes is given up after this long, in milliseconds.
const DELIVERY_TIMEOUT_MS: u64 = 30_000;
/// Records go in batches of so much time: fewer requests, and still quick to the eye.
const TICK: Duration = Duration::from_millis(20);
/// After this long a load begins although its reader has no place yet, in milliseconds.
const READERS_PATIENCE_MS: u64 = 5_000;
/// How often it looks whether its reader has, in milliseconds.
const LOOK_AGAIN_MS: u64 = 10;
/// A load that was stopped waits so long for what is under way, in milliseconds.
const FAREWELL_MS: u64 = 3_000;

/// See the module.
#[derive(Debug, Clone)]
pub struct Load {
    /// What `produce stop` calls it.
    pub name: String,
    pub(super) client_id: String,
    pub(super) machine: Producer,
    source: Source,
    id: LoadId,
    beat: Beat,
    /// In how many partitions its reader has to have a place.
    places: usize,
    begins_by: Instant,
    last: Instant,
    turn_at: Instant,
    /// No more records from here on.
    until: Option<Instant>,
    number: u64,
    /// The machine's numbers of records, with ours.
    under_way: BTreeMap<u64, u64>,
    /// How it is doing.
    pub status: LoadStatus,
}

impl Load {
    /// A load that has everything before it, and waits until its reader has a place in so many partitions; the ledger is told of it.
    pub(in crate::cluster) fn new(
        name: &str,
        source: Source,
        places: usize,
        id: LoadId,
        now: Instant,
        ledger: &mut Ledger,
    ) -> Load {
        ledger.begin(id, source.acks());
        let options = ProducerOptions {
            acks: acks_number(source.acks()),
            delivery_timeout_ms: DELIVERY_TIMEOUT_MS,
            creates_topics: !matches!(source, Source::Demo),
            ..ProducerOptions::default()
        };
        Load {
            name: name.to_owned(),
            client_id: format!("kafkarium-{name}"),
            machine: Producer::new(options),
            beat: Beat::new(source.interval()),
            source,
            id,
            places,
            begins_by: now.plus_millis(READERS_PATIENCE_MS),
            last: now,
            turn_at: now,
            until: None,
            number: 0,
            under_way: BTreeMap::new(),
            status: LoadStatus { runs: true, ..LoadStatus::default() },
        }
    }

    /// No more records: it finishes what it has begun.
    pub fn stop(&mut self, now: Instant) {
        self.until.get_or_insert(now);
        self.status.runs = false;
    }

    /// Whether it writes to a topic and to no other.
    pub fn writes_to(&self, topic: &str) -> bool {
        self.source.topics().iter().all(|own| own == topic)
    }

    pub(super) fn is_done(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| self.machine.unfinished() == 0 || now >= until.plus_millis(FAREWELL_MS))
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        Some(self.until.map_or(self.turn_at, |until| until.plus_millis(FAREWELL_MS)))
    }

    pub(super) fn prepare(&mut self, around: &Around) {
        let now = around.now;
        if self.until.is_some() || now < self.turn_at {
            return;
        }
        let elapsed = now.since(self.last);
        self.last = now;
        if self.number == 0 && now < self.begins_by && around.ledger.places_in(&self.source.topics()) < self.places {
            self.turn_at = now.plus_millis(LOOK_AGAIN_MS);
            return;
        }
        let due = self.beat.due(elapsed, Pace::default());
        self.turn_at = now + self.beat.next(TICK, Pace::default());
        for _ in 0..due.min(self.source.count().map_or(u64::MAX, |count| count - self.number)) {
            self.number += 1;
            self.send(around);
        }
        if self.source.count() == Some(self.number) {
            self.stop(now);
        }
    }

    fn send(&mut self, around: &Around) {
        if self.machine.unfinished() >= UNDER_WAY_MAX {
            self.status.skipped += 1;
            return;
        }
        let mut record = self.source.record(self.number, around.wall.0);
        let tag = Tag { load: self.id, number: self.number };
        record.headers.push((HEADER.to_owned(), Some(Bytes::from(tag.to_string()))));
        let sent = self.machine.send(around.now.as_millis(), record);
        // The producer counts what it was given; the tag counts what was due. They differ by what was skipped.
        self.under_way.insert(sent, self.number);
        self.status.sent += 1;
    }

    pub(super) fn harvest(&mut self, ledger: &mut Ledger, note: &mut dyn FnMut(Arguments)) {
        for delivery in self.machine.take_deliveries() {
            let Some(number) = self.under_way.remove(&delivery.record) else { continue };
            match (&delivery.partition, &delivery.outcome) {
                (Some(partition), Ok(offset)) => {
                    self.status.acked += 1;
                    ledger.acked(Tag { load: self.id, number }, partition, *offset);
                }
                (_, outcome) => {
                    self.status.failed += 1;
                    if let Err(refusal) = outcome {
                        note(format_args!("gives up record {number}: {refusal}"));
                    }
                }
            }
        }
    }
}

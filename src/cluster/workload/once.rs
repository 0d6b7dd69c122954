//! Records written or read once, for commands and the console's forms.
//!
//! Invariants: every record is accounted for in the answer; reading ends at the end that was there, at the number asked for, or when
//! nothing comes for too long.
//!
//! Deliberately not here: loads that stay (`load`), reading that stays (`tail`).

use super::{acks_number, wall_ms};
use crate::client::consumer::{ConsumerOptions, ConsumerRecord, Start};
use crate::client::metadata::TopicPartition;
use crate::client::producer::{Producer, ProducerOptions, ProducerRecord, Refusal};
use crate::client::{Answer, Machine, Turn};
use crate::cluster::command::values::From as ReadFrom;
use crate::cluster::command::{Consume, Produce, Reply};
use crate::cluster::dial::Driver;
use crate::cluster::reading::{Reader, new_member_id};
use crate::cluster::view::{Acks, ProduceDraft, TailRecord};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;
use tokio::time::Instant;

/// How our clients call themselves.
pub(super) const CLIENT_ID: &str = "kafkarium";
/// Records under way at most.
const UNDER_WAY_MAX: u64 = 5_000;
/// How long one turn may wait.
const STEP: Duration = Duration::from_millis(250);

/// Fills `%n` in.
fn filled(text: &str, number: u64) -> Bytes {
    Bytes::from(text.replace("%n", &number.to_string()))
}

/// Record `number` of a command.
pub(in crate::cluster) fn made_up(produce: &Produce, number: u64, timestamp_ms: i64) -> ProducerRecord {
    let mut value = match &produce.value {
        Some(value) => Some(filled(value, number)),
        None => (!produce.tombstone).then(|| Bytes::from(format!("record {number}"))),
    };
    if let (Some(size), Some(text)) = (produce.load.size, &value) {
        let mut padded = text.to_vec();
        padded.resize(usize::try_from(size.0).unwrap_or(usize::MAX), b'.');
        value = Some(padded.into());
    }
    let header = |header: &crate::cluster::command::values::Setting| {
        (header.key.clone(), Some(Bytes::from(header.value.clone())))
    };
    ProducerRecord {
        topic: produce.topic.clone(),
        partition: produce.partition,
        key: produce.key.as_deref().map(|key| filled(key, number)),
        value,
        headers: produce.header.iter().map(header).collect(),
        timestamp_ms,
    }
}

/// Records to be written.
#[derive(Debug, Clone)]
pub(in crate::cluster) struct Batch {
    acks: Acks,
    count: u64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// Made up by a command.
    Made(Box<Produce>),
    /// Again and again the same.
    Same(Box<ProducerRecord>),
}

impl Batch {
    pub(in crate::cluster) fn from_command(produce: &Produce) -> Batch {
        let (acks, count) = (produce.acks, produce.load.count.unwrap_or(1));
        Batch { acks, count, what: What::Made(Box::new(produce.clone())) }
    }

    pub(super) fn from_draft(draft: &ProduceDraft) -> Batch {
        let (acks, count) = (draft.acks, u64::from(draft.count.max(1)));
        let bytes = |text: &String| Bytes::from(text.clone());
        let record = ProducerRecord {
            topic: draft.topic.clone(),
            partition: draft.partition,
            key: draft.key.as_ref().map(bytes),
            value: draft.value.as_ref().map(bytes),
            headers: draft.headers.iter().map(|(name, value)| (name.clone(), Some(bytes(value)))).collect(),
            timestamp_ms: 0,
        };
        Batch { acks, count, what: What::Same(Box::new(record)) }
    }

    fn record(&self, number: u64, timestamp_ms: i64) -> ProducerRecord {
        match &self.what {
            What::Made(produce) => made_up(produce, number, timestamp_ms),
            What::Same(record) => ProducerRecord { timestamp_ms, ..(**record).clone() },
        }
    }
}

/// A batch on its way: a producer that is given its records, and what became of them.
#[derive(Debug, Clone)]
pub(in crate::cluster) struct Writing {
    batch: Batch,
    producer: Producer,
    sent: u64,
    written: Written,
}

impl Writing {
    /// Nothing is written yet.
    pub(in crate::cluster) fn new(batch: Batch) -> Writing {
        let options = ProducerOptions {
            acks: acks_number(batch.acks),
            delivery_timeout_ms: u64::try_from(super::PATIENCE.as_millis()).expect("seconds"),
            ..ProducerOptions::default()
        };
        Writing { batch, producer: Producer::new(options), sent: 0, written: Written::default() }
    }

    /// Gives the producer as many records as may be under way.
    pub(in crate::cluster) fn fill(&mut self, now_ms: u64, wall_ms: i64) {
        while self.sent < self.batch.count && (self.producer.unfinished() as u64) < UNDER_WAY_MAX {
            self.sent += 1;
            self.producer.send(now_ms, self.batch.record(self.sent, wall_ms));
        }
    }

    /// Takes in how records ended.
    ///
    /// # Errors
    /// Why the first one that failed did.
    pub(in crate::cluster) fn harvest(&mut self) -> Result<(), Refusal> {
        for delivery in self.producer.take_deliveries() {
            let offset = delivery.outcome?;
            self.written.count += 1;
            if let Some(partition) = delivery.partition {
                let place = self.written.places.entry(partition).or_insert((0, -1));
                *place = (place.0 + 1, place.1.max(offset));
            }
        }
        Ok(())
    }

    /// What was written, once all of it is.
    pub(in crate::cluster) fn written(&self) -> Option<&Written> {
        (self.sent == self.batch.count && self.producer.unfinished() == 0).then_some(&self.written)
    }
}

impl Machine for Writing {
    fn turn(&mut self, now_ms: u64) -> Turn {
        self.producer.turn(now_ms)
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        self.producer.answer(now_ms, call, answer);
    }
}

/// Where records went: how many to each partition, and the last offset there (−1 if the broker told none).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cluster) struct Written {
    count: u64,
    places: BTreeMap<TopicPartition, (u64, i64)>,
}

impl Written {
    /// In one sentence.
    pub(super) fn sentence(&self, topic: &str) -> String {
        match (self.count, self.places.iter().next()) {
            (1, Some((partition, (_, offset)))) if *offset >= 0 => {
                format!("Sent 1 record to {partition} at offset {offset}")
            }
            (1, Some((partition, _))) => format!("Sent 1 record to {partition}"),
            (count, _) => format!("Sent {count} records to {} of {topic}", partitions(self.places.len())),
        }
    }

    pub(in crate::cluster) fn reply(&self, topic: &str) -> Reply {
        let place = |(partition, (count, last)): (&TopicPartition, &(u64, i64))| {
            let last = (*last >= 0).then_some(*last);
            json!({"topic": partition.topic, "partition": partition.partition, "records": count, "last_offset": last})
        };
        let places: Vec<Value> = self.places.iter().map(place).collect();
        Reply::told(self.sentence(topic), json!({ "records": self.count, "partitions": places }))
    }
}

fn partitions(count: usize) -> String {
    format!("{count} partition{}", if count == 1 { "" } else { "s" })
}

/// Writes records and waits for each one's end.
///
/// # Errors
/// Why the first one that failed did.
pub(super) async fn write(bootstrap: String, batch: Batch) -> Result<Written, String> {
    let mut driver = Driver::new(Writing::new(batch), &bootstrap, CLIENT_ID);
    loop {
        let now_ms = driver.now_ms();
        driver.machine.fill(now_ms, wall_ms());
        driver.step(STEP).await;
        driver.machine.harvest().map_err(|reason| match driver.last_failure() {
            Some(failure) => format!("{reason} ({failure})"),
            None => reason.to_string(),
        })?;
        if let Some(written) = driver.machine.written() {
            return Ok(written.clone());
        }
    }
}

/// A member to which its group gives nothing waits so long for something.
pub(in crate::cluster) const NOTHING_FOR: Duration = Duration::from_secs(5);

/// Where a reader begins, at a wall time in milliseconds.
pub(in crate::cluster) fn start(from: ReadFrom, wall_ms: i64) -> Start {
    match from {
        ReadFrom::Earliest => Start::Earliest,
        ReadFrom::Latest => Start::Latest,
        ReadFrom::Offset(offset) => Start::Offset(offset),
        ReadFrom::Last(count) => Start::BeforeEnd(i64::from(count)),
        ReadFrom::Ago(ago) => Start::Timestamp(wall_ms - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
        ReadFrom::Moment(moment) => Start::Timestamp(moment),
    }
}

/// Reads until the number asked for, the end, or nothing has come for `patience`.
///
/// # Errors
/// What went wrong and will not mend itself; that nothing could be read in time.
pub(super) async fn read(bootstrap: String, consume: Consume, patience: Duration) -> Result<Vec<TailRecord>, String> {
    let options = ConsumerOptions {
        start: start(consume.from, wall_ms()),
        partitions: consume.partition.clone(),
        ..ConsumerOptions::default()
    };
    let mut driver = Driver::new(Reader::new(&consume, options, new_member_id), &bootstrap, CLIENT_ID);
    let outcome = read_on(&mut driver, &consume, patience).await;
    let now_ms = driver.now_ms();
    driver.machine.leave(now_ms);
    while !driver.machine.is_gone() {
        driver.step(STEP).await;
    }
    outcome
}

async fn read_on(
    driver: &mut Driver<Reader>,
    consume: &Consume,
    patience: Duration,
) -> Result<Vec<TailRecord>, String> {
    let wanted = usize::try_from(consume.max.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut records = Vec::new();
    let mut last = Instant::now();
    while records.len() < wanted && (consume.follow || !driver.machine.is_at_end()) {
        let is_idle = driver.machine.has_nothing() && !consume.follow && last.elapsed() > NOTHING_FOR;
        if last.elapsed() > patience || is_idle {
            let reason = driver.last_failure().map_or_else(|| "no leader answers".to_owned(), str::to_owned);
            let is_mute = records.is_empty() && !consume.follow && !is_idle;
            return if is_mute { Err(reason) } else { Ok(records) };
        }
        driver.step(STEP).await;
        let more = driver.machine.take_records(wanted - records.len());
        if !more.is_empty() {
            last = Instant::now();
        }
        records.extend(more.iter().map(shown));
        driver.machine.processed();
        if let Some(error) = driver.machine.take_errors().into_iter().next() {
            return Err(error);
        }
    }
    Ok(records)
}

/// Bytes as people can read them: UTF-8, and what is none as `\xNN`.
fn text(bytes: &Bytes) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a string takes everything");
        }
    }
    text
}

/// A record as the console shows it.
pub(in crate::cluster) fn shown(read: &ConsumerRecord) -> TailRecord {
    let header = |(name, value): &(String, Option<Bytes>)| (name.clone(), value.as_ref().map(text).unwrap_or_default());
    TailRecord {
        partition: read.partition.partition,
        offset: read.record.offset,
        timestamp_ms: read.record.timestamp,
        key: read.record.key.as_ref().map(text),
        value: read.record.value.as_ref().map(text),
        headers: read.record.headers.iter().map(header).collect(),
        leader_epoch: read.leader_epoch,
        is_binary: [&read.record.key, &read.record.value]
            .into_iter()
            .flatten()
            .any(|bytes| std::str::from_utf8(bytes).is_err()),
    }
}

/// A topic's records as an answer: a line each.
pub(in crate::cluster) fn reply(topic: &str, records: &[TailRecord]) -> Reply {
    let line = |record: &TailRecord| {
        let key = record.key.as_ref().map(|key| format!("{key}  ")).unwrap_or_default();
        let value = record.value.as_deref().unwrap_or("(tombstone)");
        format!("{topic}-{}@{} {key}{value}", record.partition, record.offset)
    };
    let value = |record: &TailRecord| {
        let headers: Vec<Value> =
            record.headers.iter().map(|(name, value)| json!({"key": name, "value": value})).collect();
        json!({
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp_ms,
            "key": record.key,
            "value": record.value,
            "headers": headers,
        })
    };
    let text = if records.is_empty() {
        "no records".to_owned()
    } else {
        records.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    Reply::told(text, Value::Array(records.iter().map(value).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::command::{Command, ProduceCommand, parse_line};
    use crate::protocol::records::Record;

    fn produce(line: &str) -> Produce {
        match parse_line(line).expect("a line of the language") {
            Command::Produce(ProduceCommand::Records(produce)) => produce,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_command_fills_numbers_in_and_pads_to_a_size() {
        let record = made_up(&produce("produce orders --key user-%n --value %n:%n --header a=b"), 7, 5);
        assert_eq!(record.key.as_deref(), Some(&b"user-7"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"7:7"[..]));
        assert_eq!(record.headers, [("a".to_owned(), Some(Bytes::from_static(b"b")))]);
        let sized = made_up(&produce("produce orders --size 1KiB --partition 2"), 1, 5);
        assert_eq!(made_up(&produce("produce orders --key a --tombstone"), 1, 5).value, None);
        assert_eq!((sized.value.map(|value| value.len()), sized.partition), (Some(1_024), Some(2)));
    }

    #[test]
    fn a_draft_keeps_a_tombstone_and_an_empty_key_apart_from_none() {
        let draft = ProduceDraft { topic: "t".into(), key: Some(String::new()), count: 0, ..ProduceDraft::default() };
        let batch = Batch::from_draft(&draft);
        let record = batch.record(1, 5);
        assert_eq!((batch.count, record.key, record.value), (1, Some(Bytes::new()), None));
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_and_nothing_is_swallowed() {
        assert_eq!(text(&Bytes::from_static(b"a\xffb\xc3\xa9\x80")), "a\\xffb\u{e9}\\x80");
        let record = Record { offset: 3, timestamp: 9, key: None, value: None, headers: vec![("h".to_owned(), None)] };
        let read = ConsumerRecord { partition: TopicPartition::new("t", 1), record, leader_epoch: 0 };
        let Reply::Done { text, data } = reply("t", &[shown(&read)]) else { panic!("records were read") };
        assert_eq!(text, "t-1@3 (tombstone)");
        assert_eq!(data[0]["value"], Value::Null);
    }

    #[test]
    fn what_was_written_is_told_in_a_sentence() {
        let mut written = Written { count: 1, ..Written::default() };
        written.places.insert(TopicPartition::new("orders", 3), (1, 12));
        assert_eq!(written.sentence("orders"), "Sent 1 record to orders-3 at offset 12");
        written.places.insert(TopicPartition::new("orders", 4), (9, -1));
        written.count = 10;
        assert_eq!(written.sentence("orders"), "Sent 10 records to 2 partitions of orders");
    }
}

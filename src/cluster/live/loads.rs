//! The cluster's own clients: records written once or as a steady load, records read, and the ledger that follows every
//! record of a load from its acknowledgement to the moment a reader sees it.
//!
//! Invariants: a record of a load carries its tag, by which the ledger knows it again; loads run on the sockets'
//! runtime and never on a broker's thread.
//!
//! Deliberately not here: the protocol (`client/`), connections (`dial.rs`).

use crate::client::consumer::{Consumer, ConsumerOptions, ConsumerRecord, Start};
use crate::client::producer::{Delivery, Producer, ProducerOptions, ProducerRecord};
use crate::cluster::command::values::From as ReadFrom;
use crate::cluster::command::{Consume, Produce};
use crate::cluster::dial::Driver;
use crate::cluster::ledger::{HEADER, Ledger, LoadId, Report, Tag};
use crate::cluster::view::Acks;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::AbortHandle;

/// What our clients call themselves.
const CLIENT_ID: &str = "kafkarium";
/// Records of a load that are under way at most: a cluster that is down must not fill the memory.
const UNDER_WAY: usize = 10_000;
/// A record that nobody takes is given up, in milliseconds.
const DELIVERY_TIMEOUT_MS: u64 = 30_000;
/// A command that reads gives up when nothing has come for this long.
const READ_PATIENCE: Duration = Duration::from_secs(10);

/// Every load there is or was.
#[derive(Debug, Default)]
pub struct Loads {
    running: Mutex<BTreeMap<String, AbortHandle>>,
    ledger: Arc<Mutex<Ledger>>,
    last: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole after every operation, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Loads {
    /// Starts a steady load. False if one of this name runs.
    pub fn start(&self, runtime: &tokio::runtime::Handle, bootstrap: String, produce: Produce) -> bool {
        let name = produce.load.name.clone().unwrap_or_else(|| produce.topic.clone());
        let mut running = lock(&self.running);
        if running.get(&name).is_some_and(|task| !task.is_finished()) {
            return false;
        }
        let load = LoadId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let ledger = Arc::clone(&self.ledger);
        lock(&ledger).begin(load, produce.acks);
        let task = runtime.spawn(async move {
            tokio::join!(write(&bootstrap, &produce, load, &ledger), follow(&bootstrap, &produce.topic, &ledger));
        });
        running.insert(name, task.abort_handle());
        true
    }

    /// Ends a load, or all; returns the names of those that ran.
    pub fn stop(&self, name: Option<&str>) -> Vec<String> {
        let mut running = lock(&self.running);
        let names: Vec<String> =
            running.keys().filter(|running| name.is_none_or(|name| name == *running)).cloned().collect();
        for name in &names {
            if let Some(task) = running.remove(name) {
                task.abort();
            }
        }
        names
    }

    /// What is known of the records of all loads; `None` if there was none.
    pub fn report(&self) -> Option<Report> {
        let ledger = lock(&self.ledger);
        (!ledger.is_empty()).then(|| ledger.report())
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn producer_options(acks: Acks) -> ProducerOptions {
    let acks = match acks {
        Acks::All => -1,
        Acks::Leader => 1,
        Acks::None => 0,
    };
    ProducerOptions { acks, delivery_timeout_ms: DELIVERY_TIMEOUT_MS, ..ProducerOptions::default() }
}

fn record(produce: &Produce, number: u64, tag: Option<Tag>) -> ProducerRecord {
    let fill = |text: &String| Bytes::from(text.replace("%n", &number.to_string()));
    let mut value = produce.value.as_ref().map_or_else(|| Bytes::from(format!("record {number}")), fill);
    if let Some(size) = produce.load.size {
        let mut padded = value.to_vec();
        padded.resize(usize::try_from(size.0).unwrap_or(usize::MAX), b'x');
        value = padded.into();
    }
    let mut headers: Vec<(String, Option<Bytes>)> =
        produce.header.iter().map(|header| (header.key.clone(), Some(Bytes::from(header.value.clone())))).collect();
    headers.extend(tag.map(|tag| (HEADER.to_owned(), Some(Bytes::from(tag.to_string())))));
    ProducerRecord {
        topic: produce.topic.clone(),
        partition: produce.partition,
        key: produce.key.as_ref().map(fill),
        value: Some(value),
        headers,
        timestamp_ms: now_ms(),
    }
}

/// Writes a load at its rate until it is stopped or its count is reached.
async fn write(bootstrap: &str, produce: &Produce, load: LoadId, ledger: &Mutex<Ledger>) {
    let Some(rate) = produce.load.rate else { return };
    let mut driver = Driver::new(Producer::new(producer_options(produce.acks)), bootstrap, CLIENT_ID);
    let mut tags = BTreeMap::new();
    let began = tokio::time::Instant::now();
    let mut sent = 0;
    loop {
        let due = u64::try_from(began.elapsed().as_nanos() / rate.interval().as_nanos().max(1)).unwrap_or(u64::MAX) + 1;
        let due = due.min(produce.load.count.unwrap_or(u64::MAX));
        while sent < due && driver.machine.unfinished() < UNDER_WAY {
            let now = driver.now_ms();
            sent += 1;
            let tag = Tag { load, number: sent };
            tags.insert(driver.machine.send(now, record(produce, sent, Some(tag))), tag);
        }
        if Some(sent) == produce.load.count && driver.machine.unfinished() == 0 {
            return;
        }
        driver.step(rate.interval().min(Duration::from_millis(20))).await;
        for Delivery { record, partition, outcome } in driver.machine.take_deliveries() {
            if let (Some(tag), Some(partition), Ok(offset)) = (tags.remove(&record), partition, outcome) {
                lock(ledger).acked(tag, &partition, offset);
            }
        }
    }
}

/// Reads a load's topic, from its beginning so that nothing is missed, and tells the ledger.
async fn follow(bootstrap: &str, topic: &str, ledger: &Mutex<Ledger>) {
    let options = ConsumerOptions { start: Start::Earliest, ..ConsumerOptions::default() };
    let mut driver = Driver::new(Consumer::new(&[topic.to_owned()], options), bootstrap, CLIENT_ID);
    loop {
        driver.step(Duration::from_millis(250)).await;
        let records = driver.machine.take_records();
        let mut ledger = lock(ledger);
        for ConsumerRecord { partition, record, .. } in records {
            let header = record.headers.iter().find(|(key, _)| key == HEADER);
            let tag = header.and_then(|(_, value)| Tag::parse(value.as_ref()?));
            ledger.read(&partition, record.offset, tag);
        }
    }
}

/// Writes records once and waits for their acknowledgement: where each went.
///
/// # Errors
/// Why the first that failed did.
pub async fn write_once(bootstrap: &str, produce: &Produce) -> Result<Vec<(i32, i64)>, String> {
    let mut driver = Driver::new(Producer::new(producer_options(produce.acks)), bootstrap, CLIENT_ID);
    for number in 1..=produce.load.count.unwrap_or(1) {
        while driver.machine.unfinished() >= UNDER_WAY {
            driver.step(Duration::from_millis(100)).await;
        }
        let now = driver.now_ms();
        driver.machine.send(now, record(produce, number, None));
    }
    let mut places = Vec::new();
    while driver.machine.unfinished() > 0 {
        driver.step(Duration::from_millis(100)).await;
        for Delivery { partition, outcome, .. } in driver.machine.take_deliveries() {
            places.push((partition.map_or(-1, |partition| partition.partition), outcome?));
        }
    }
    Ok(places)
}

/// Reads records until the end, or so many of them.
///
/// # Errors
/// What went wrong and will not mend itself.
pub async fn read_once(bootstrap: &str, consume: &Consume) -> Result<Vec<ConsumerRecord>, String> {
    let options = ConsumerOptions {
        start: start(consume.from),
        partitions: consume.partition.clone(),
        ..ConsumerOptions::default()
    };
    let mut driver = Driver::new(Consumer::new(std::slice::from_ref(&consume.topic), options), bootstrap, CLIENT_ID);
    let wanted = usize::try_from(consume.max.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut records: Vec<ConsumerRecord> = Vec::new();
    let mut last = Instant::now();
    while records.len() < wanted {
        driver.step(Duration::from_millis(250)).await;
        let more = driver.machine.take_records();
        if !more.is_empty() {
            last = Instant::now();
        }
        records.extend(more);
        if let Some(error) = driver.machine.take_errors().into_iter().next() {
            return Err(error);
        }
        let is_over = driver.machine.is_at_end() && !(consume.follow && consume.max.is_some());
        if is_over || last.elapsed() > READ_PATIENCE {
            break;
        }
    }
    records.truncate(wanted);
    Ok(records)
}

fn start(from: ReadFrom) -> Start {
    match from {
        ReadFrom::Earliest => Start::Earliest,
        ReadFrom::Latest => Start::Latest,
        ReadFrom::Offset(offset) => Start::Offset(offset),
        ReadFrom::Last(count) => Start::BeforeEnd(i64::from(count)),
        ReadFrom::Ago(ago) => Start::Timestamp(now_ms() - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
        ReadFrom::Moment(moment) => Start::Timestamp(moment),
    }
}

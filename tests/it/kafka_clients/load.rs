//! A steady load from an idempotent producer with acks=all, and the ledger of what was acknowledged.
//!
//! Invariants: the records of a partition are numbered from 0 without a gap, so the record at an offset has to be of that number:
//! lost, twice and out of order all show.

use super::{config, read};
use crate::support::{PATIENCE, Server};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientContext, error::KafkaError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Partitions of the load's topic.
pub const PARTITIONS: usize = 6;
/// Records a second, over all partitions.
const RATE: u64 = 2_000;
const WAITING_AT_MOST: i32 = 20_000;

/// What became of the records.
#[derive(Debug, Default)]
struct Ledger {
    /// Per partition: how many were given to the producer.
    sent: [u64; PARTITIONS],
    /// Per partition: number and offset, as acknowledged; offset -1 where the broker only knew that it has the record already.
    acknowledged: [Vec<(u64, i64)>; PARTITIONS],
    /// What was given up, and why.
    failed: Vec<String>,
    /// When the last one was acknowledged, and the longest time without one.
    last_ack: Option<Instant>,
    longest_gap: Duration,
}

#[derive(Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    changed: Condvar,
    over: AtomicBool,
}

struct Deliveries(Arc<Shared>);

impl ClientContext for Deliveries {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        // A fatal error stops an idempotent producer for good; others are connections that broke.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.0.ledger.lock().expect("not poisoned").failed.push(format!("fatal: {reason}"));
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        let mut ledger = self.0.ledger.lock().expect("not poisoned");
        match result {
            Ok(record) => {
                let partition = usize::try_from(record.partition()).expect("a partition");
                ledger.acknowledged[partition].push((*number, record.offset()));
                let now = Instant::now();
                if let Some(before) = ledger.last_ack.replace(now) {
                    ledger.longest_gap = ledger.longest_gap.max(now - before);
                }
            }
            Err((error, record)) => ledger.failed.push(format!("{}/{number}: {error}", record.partition())),
        }
        self.0.changed.notify_all();
    }
}

/// A load that runs until it is stopped.
pub struct Load {
    topic: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Begins to write to a topic of [`PARTITIONS`] partitions.
    pub fn start(server: &Server, topic: &str) -> Load {
        let shared = Arc::new(Shared::default());
        let mut config = config(server);
        config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "2");
        config.set("message.timeout.ms", "120000").set("request.timeout.ms", "5000");
        config.set("retry.backoff.ms", "20").set("topic.metadata.refresh.fast.interval.ms", "50");
        let producer = config.create_with_context(Deliveries(Arc::clone(&shared))).expect("a producer");
        let thread = std::thread::spawn({
            let (shared, topic) = (Arc::clone(&shared), topic.to_owned());
            move || write(&producer, &shared, &topic)
        });
        Load { topic: topic.to_owned(), shared, thread: Some(thread) }
    }

    /// Waits until a record that was sent after this call began is acknowledged in every partition.
    ///
    /// # Panics
    /// If there is none, with what the cluster says of itself.
    pub fn await_progress(&self, server: &Server, what: &str) {
        if let Err(reason) = self.progress(PATIENCE) {
            let account = ["quorum describe", "broker list", &format!("topic describe {}", self.topic)]
                .map(|line| format!("--- {line}\n{}", server.try_ctl(line).unwrap_or_else(|error| error)));
            panic!("{what}: {reason}\n{}", account.join("\n"));
        }
    }

    /// Whether a record that was sent after this call began is acknowledged in every partition, in so much time.
    ///
    /// # Errors
    /// What failed, or where nothing was acknowledged.
    pub fn progress(&self, within: Duration) -> Result<(), String> {
        let mut ledger = self.shared.ledger.lock().expect("not poisoned");
        let sent = ledger.sent;
        let begun = Instant::now();
        loop {
            if !ledger.failed.is_empty() {
                return Err(format!("{:?}", ledger.failed));
            }
            let acknowledged =
                |partition: usize| ledger.acknowledged[partition].last().is_some_and(|last| last.0 >= sent[partition]);
            let behind: Vec<usize> = (0..PARTITIONS).filter(|&partition| !acknowledged(partition)).collect();
            if behind.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > within {
                return Err(format!("nothing is acknowledged in partitions {behind:?}"));
            }
            ledger = self.shared.changed.wait_timeout(ledger, Duration::from_millis(100)).expect("not poisoned").0;
        }
    }

    /// How many are acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.shared.ledger.lock().expect("not poisoned").acknowledged.iter().map(Vec::len).sum()
    }

    /// Ends it when every record is acknowledged; gives how many, and the longest time without an acknowledgement.
    pub fn stop(&mut self) -> (usize, Duration) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.thread.take().expect("stopped once").join().expect("the load did not panic");
        let ledger = self.shared.ledger.lock().expect("not poisoned");
        assert!(ledger.failed.is_empty(), "{:?}", ledger.failed);
        let acknowledged = ledger.acknowledged.iter().map(Vec::len).sum();
        assert_eq!(acknowledged as u64, ledger.sent.iter().sum::<u64>(), "every record is acknowledged in the end");
        (acknowledged, ledger.longest_gap)
    }

    /// Reads everything back and holds it against the ledger.
    pub fn verify(&self, server: &Server) {
        let ledger = self.shared.ledger.lock().expect("not poisoned");
        for (partition, acknowledged) in ledger.acknowledged.iter().enumerate() {
            let place = format!("{}-{partition}", self.topic);
            let found = read(server, &self.topic, i32::try_from(partition).expect("small"), 0);
            for (number, record) in (0..).zip(&found) {
                assert_eq!(record.offset, number, "{place}: offsets have no gap");
                assert_eq!(record.value, number.to_string().as_bytes(), "{place}: the record at offset {number}");
            }
            assert_eq!(found.len() as u64, ledger.sent[partition], "{place}: as many as were sent");
            for (number, offset) in acknowledged.iter().filter(|(_, offset)| *offset >= 0) {
                assert_eq!(i64::try_from(*number), Ok(*offset), "{place}: the acknowledged offset");
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Of a test that failed: the thread ends by itself, nobody waits for its records.
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

fn write(producer: &BaseProducer<Deliveries>, shared: &Shared, topic: &str) {
    let begun = Instant::now();
    let mut sent = 0;
    while !shared.over.load(Ordering::Relaxed) {
        let due = u64::try_from(begun.elapsed().as_millis()).expect("short") * RATE / 1_000;
        if sent >= due || producer.in_flight_count() > WAITING_AT_MOST {
            producer.poll(Duration::from_millis(2));
            // What could not be sent while everything stood still is not made up for.
            sent = sent.max(due.saturating_sub(RATE));
            continue;
        }
        let partition = usize::try_from(sent).expect("small") % PARTITIONS;
        let number = {
            let mut ledger = shared.ledger.lock().expect("not poisoned");
            ledger.sent[partition] += 1;
            ledger.sent[partition] - 1
        };
        let (value, place) = (number.to_string(), i32::try_from(partition).expect("small"));
        let record: BaseRecord<'_, [u8], str, Box<u64>> =
            BaseRecord::with_opaque_to(topic, Box::new(number)).partition(place).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
        sent += 1;
    }
    producer.flush(PATIENCE).expect("everything is sent");
}

//! The whole path of a write at replication factor 3: three stores, each with its own thread that writes groups as a
//! broker does, journal, flush into the database, until the last byte is in it. Tells MB of client data a second and
//! CPU seconds (all three stores) per GB of it.
//!
//! `cargo bench --bench storage [-- MEGABYTES]`; set `TMPDIR` to the disk that is to be measured.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use bytes::Bytes;
use kafkarium::cluster::store::{BrokerStore, Durability, MemoryStore, StoreNote, StoreOptions};
use kafkarium::engine::io::{LogRead, LogStore, StorageOp};
use kafkarium::protocol::batch::{Batch, BatchHeader};
use kafkarium::protocol::ids::{LogId, PartitionId, TopicId};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PARTITIONS: u64 = 6;
const GROUP: usize = 256 * 1024;
const MB: usize = 1_000_000;

fn main() {
    let megabytes = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(400);
    for durability in [Durability::Process, Durability::Memory] {
        for size in [1_024, 16_384, 500_000] {
            let (wall, cpu) = measure(durability, size, megabytes);
            let gigabytes = megabytes as f64 / 1_000.0;
            println!(
                "{durability:?} {size:>7} B batches: {:>6.1} MB/s, {:>5.2} CPU s/GB",
                megabytes as f64 / wall.as_secs_f64(),
                cpu / gigabytes
            );
        }
    }
}

fn measure(durability: Durability, size: usize, megabytes: usize) -> (Duration, f64) {
    let directory = tempfile::tempdir().expect("a directory");
    let count = megabytes * MB / size;
    // What clients send is read into fresh buffers: the three brokers share them.
    let body = Bytes::from(vec![7_u8; size - 61]);
    let (cpu, start) = (cpu_seconds(), Instant::now());
    std::thread::scope(|scope| {
        for broker in 0..3 {
            let directory = directory.path().join(broker.to_string());
            let body = body.clone();
            scope.spawn(move || write(durability, &directory, &body, count));
        }
    });
    (start.elapsed(), cpu_seconds() - cpu)
}

fn write(durability: Durability, directory: &std::path::Path, body: &Bytes, count: usize) {
    let (sender, notes) = channel();
    let sender = Mutex::new(sender);
    let notify = Arc::new(move |note| drop(sender.lock().expect("not poisoned").send(note)));
    let options = StoreOptions { durability, ..StoreOptions::default() };
    let mut store = match durability {
        Durability::Memory => BrokerStore::in_memory(MemoryStore::new(None), &options, notify),
        _ => BrokerStore::open(directory, options, notify).expect("opens"),
    };
    for log in 0..PARTITIONS {
        let partition = PartitionId::new(TopicId::METADATA, 0);
        store.write(StorageOp::CreateLog { log: LogId(log), partition, topic: "bench".to_owned() });
    }
    let (mut seq, mut safe, mut bytes) = (0, 0, 0);
    for n in 0..count {
        let offset = i64::try_from(n).expect("an offset");
        let batch = Batch::seal(header(), body.clone()).stamped(offset, 1);
        bytes += batch.size();
        store.write(StorageOp::Append { log: LogId(n as u64 % PARTITIONS), batch });
        if bytes >= GROUP || n + 1 == count {
            bytes = 0;
            seq += 1;
            if store.persist(seq, false) {
                safe = seq;
            }
            while seq - safe > 4 || !store.has_room() {
                wait(&notes, &mut safe);
            }
        }
    }
    drop(store.close().expect("closes"));
}

fn wait(notes: &Receiver<StoreNote>, safe: &mut u64) {
    match notes.recv().expect("the store lives") {
        StoreNote::Persisted { seq } => *safe = (*safe).max(seq),
        StoreNote::HasRoom => {}
        StoreNote::Failed { reason } => panic!("{reason}"),
    }
}

fn header() -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        length: 0,
        leader_epoch: 0,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: 0,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: 1,
    }
}

/// User and system time of this process, from `/proc/self/stat` in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().expect("a name in brackets");
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks"));
    ticks.sum::<f64>() / 100.0
}

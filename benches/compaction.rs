//! Compaction of one log in a store with files, as a broker does it, slice by slice: MB of log a second without the rests
//! in between, and how long a slice takes, which is as long as a request may have to wait for it.
//!
//! `cargo bench --bench compaction [-- MEGABYTES]`; set `TMPDIR` to the disk that is to be measured.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use kafkarium::cluster::store::{BrokerStore, StoreOptions, ignore_notes};
use kafkarium::engine::config::TopicConfig;
use kafkarium::engine::io::{Ctx, LogRead, Sequences};
use kafkarium::engine::log::{PartitionLog, Progress};
use kafkarium::engine::prng::Prng;
use kafkarium::engine::time::{self, WallTime};
use kafkarium::protocol::ids::{BrokerId, LogId, PartitionId, TopicId};
use kafkarium::protocol::records::{BatchBuilder, Compression};
use std::time::{Duration, Instant};

const KEYS: usize = 10_000;
const RECORDS_A_BATCH: usize = 16;
const VALUE_BYTES: usize = 1_000;

struct Bench {
    store: BrokerStore,
    rng: Prng,
    sequences: Sequences,
}

impl Bench {
    fn step<T>(&mut self, run: impl FnOnce(&mut Ctx<'_>) -> T) -> T {
        let mut out = Vec::new();
        let (now, wall) = (time::Instant::ZERO, WallTime(1_704_067_200_000));
        let Bench { store, rng, sequences } = self;
        let mut cx = Ctx::new(BrokerId(1), now, wall, None, rng, store, sequences, &mut out);
        let result = run(&mut cx);
        cx.finish();
        if !out.is_empty() {
            self.store.persist(self.sequences.persist, false);
        }
        while !self.store.has_room() {
            std::thread::yield_now();
        }
        result
    }
}

fn main() {
    let megabytes = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(400);
    for codec in [Compression::None, Compression::Lz4, Compression::Zstd] {
        measure(codec, megabytes);
    }
}

fn measure(codec: Compression, megabytes: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = BrokerStore::open(directory.path(), StoreOptions::default(), ignore_notes()).expect("opens");
    let mut bench = Bench { store, rng: Prng::new(1), sequences: Sequences::default() };
    let config = TopicConfig { segment_bytes: 16 * 1024 * 1024, cleanup_compact: true, ..TopicConfig::default() };
    let partition = PartitionId::new(TopicId(uuid::Uuid::from_u128(9)), 0);
    let mut log = bench.step(|cx| PartitionLog::create(cx, LogId(1), partition, "bench"));
    let mut keys = Prng::new(7);
    for _ in 0..megabytes * 1_000_000 / (RECORDS_A_BATCH * VALUE_BYTES) {
        let mut builder = BatchBuilder::new().compression(codec);
        for _ in 0..RECORDS_A_BATCH {
            let key = keys.range(0, KEYS as u64 - 1).to_be_bytes();
            let value: Vec<u8> = key.iter().copied().cycle().take(VALUE_BYTES).collect();
            builder.push(1_704_067_200_000, Some(&key), Some(&value), &[]);
        }
        let batch = builder.build().expect("a batch");
        bench.step(|cx| log.append_as_leader(cx, vec![batch], 1, &config, true)).expect("appended");
    }
    let end = log.end_offset();
    let mut cleaning = bench.step(|cx| log.begin_cleaning(cx, end, &config));
    let mut slices: Vec<Duration> = Vec::new();
    let start = Instant::now();
    let done = loop {
        let begun = Instant::now();
        let progress = bench.step(|cx| log.clean(cx, &mut cleaning, &config)).expect("readable");
        slices.push(begun.elapsed());
        match progress {
            Progress::Goes => {}
            Progress::Done(done) => break done,
            Progress::GivenUp => panic!("there is something to do"),
        }
    };
    let took = start.elapsed().as_secs_f64();
    slices.sort();
    let slice = |part: usize| slices[(slices.len() - 1) * part / 1_000].as_secs_f64() * 1_000.0;
    let unpacked = done.records_before as f64 * VALUE_BYTES as f64 / 1e6;
    println!(
        "{codec:?}: {} to {} records, {:.0} MB/s of records ({:.0} MB/s stored), a slice {:.2} ms, p99 {:.2} ms, worst {:.2} ms",
        done.records_before,
        done.records_after,
        unpacked / took,
        done.bytes_before as f64 / 1e6 / took,
        slice(500),
        slice(990),
        slice(1_000)
    );
}

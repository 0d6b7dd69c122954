//! The stores against a simple model: whatever is written, however a life ends, what comes back is what the model says.

use bytes::Bytes;
use kafkarium::cluster::store::{BrokerStore, Crash, Durability, MemoryStore, StoreNote, StoreOptions, corrupt_tail};
use kafkarium::engine::io::{LogInfo, LogRead, LogStore, StorageOp};
use kafkarium::protocol::batch::{Batch, BatchHeader};
use kafkarium::protocol::ids::{LogId, PartitionId, TopicId};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn batch(base_offset: i64, records: i32, body: usize) -> Batch {
    let header = BatchHeader {
        base_offset,
        length: 0,
        leader_epoch: 3,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: records - 1,
        base_timestamp: 5,
        max_timestamp: 5,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: records,
    };
    let seed = base_offset as u8;
    Batch::seal(header, (0..body).map(|i| seed.wrapping_add(i as u8)).collect())
}

/// What a store is to hold, said as simply as possible.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    logs: BTreeMap<LogId, (i64, i64, Vec<Batch>)>,
    meta: BTreeMap<String, Bytes>,
}

impl Model {
    fn apply(&mut self, op: &StorageOp) {
        match op {
            StorageOp::CreateLog { log, .. } => {
                self.logs.insert(*log, (0, 0, Vec::new()));
            }
            StorageOp::DeleteLog { log } => {
                self.logs.remove(log);
                self.meta.retain(|key, _| !key.starts_with(&format!("log/{}/", log.0)));
            }
            StorageOp::Append { log, batch } => {
                let (_, end, batches) = self.logs.get_mut(log).expect("a log");
                *end = batch.header.next_offset();
                batches.push(batch.clone());
            }
            StorageOp::Truncate { log, end_offset } => {
                let (start, end, batches) = self.logs.get_mut(log).expect("a log");
                if end_offset < end {
                    batches.retain(|batch| batch.header.last_offset() < *end_offset && end_offset > start);
                    *end = *end_offset;
                    *start = (*start).min(*end);
                }
            }
            StorageOp::Trim { log, start_offset } => {
                let (start, end, batches) = self.logs.get_mut(log).expect("a log");
                *start = (*start).max(*start_offset.min(end));
                batches.retain(|batch| batch.header.last_offset() >= *start);
            }
            StorageOp::Rewrite { log, first_offset, end_offset, batches } => {
                let (_, _, held) = self.logs.get_mut(log).expect("a log");
                let within = |batch: &Batch| (*first_offset..*end_offset).contains(&batch.header.base_offset);
                held.retain(|batch| !within(batch));
                held.extend(batches.iter().cloned());
                held.sort_by_key(|batch| batch.header.base_offset);
            }
            StorageOp::Reset { log, offset } => {
                self.logs.insert(*log, (*offset, *offset, Vec::new()));
            }
            StorageOp::PutMeta { key, value } => {
                self.meta.insert(key.clone(), value.clone());
            }
            StorageOp::DeleteMeta { key } => {
                self.meta.remove(key);
            }
        }
    }

    /// Reads everything a store has into a model.
    fn of(store: &dyn LogRead) -> Model {
        let mut model = Model::default();
        for LogInfo { log, start_offset, end_offset, .. } in store.logs() {
            let mut batches: Vec<Batch> = Vec::new();
            let mut from = start_offset;
            loop {
                let read = store.read(log, from, 3_000).expect("readable");
                let Some(last) = read.last() else { break };
                assert!(read.len() == 1 || read.iter().map(Batch::size).sum::<usize>() <= 3_000);
                from = last.header.next_offset();
                batches.extend(read);
            }
            let mut headers = Vec::new();
            store
                .scan(log, start_offset, &mut |header| {
                    headers.push(*header);
                    ControlFlow::Continue(())
                })
                .expect("readable");
            assert_eq!(headers, batches.iter().map(|batch| batch.header).collect::<Vec<_>>());
            model.logs.insert(log, (start_offset, end_offset, batches));
        }
        for key in store.meta_keys("") {
            let value = store.meta(&key).expect("a value for a name");
            model.meta.insert(key, value);
        }
        model
    }
}

/// What is done to a store, with numbers that are made to fit when it is done.
#[derive(Debug, Clone)]
enum Deed {
    Create,
    Delete(usize),
    Append { log: usize, gap: i64, records: i32, body: usize },
    Truncate { log: usize, back: i64 },
    Trim { log: usize, forward: i64 },
    Reset { log: usize, to: i64 },
    Rewrite { log: usize, first: usize, count: usize, keep: usize, grow: usize },
    Put { key: usize, value: u8 },
    PutOfLog { log: usize },
    DeleteMeta { key: usize },
    Persist { sync: bool },
    AwaitFlush,
    Kill,
    PowerLoss,
    Close,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        2 => Just(Deed::Create),
        1 => (0_usize..4).prop_map(Deed::Delete),
        20 => (0_usize..4, 0_i64..3, 1_i32..20, prop_oneof![0_usize..300, 1_000_usize..5_000, 60_000_usize..150_000])
            .prop_map(|(log, gap, records, body)| Deed::Append { log, gap: (gap - 1).max(0), records, body }),
        4 => (0_usize..4, 0_i64..60).prop_map(|(log, back)| Deed::Truncate { log, back }),
        3 => (0_usize..4, 0_i64..60).prop_map(|(log, forward)| Deed::Trim { log, forward }),
        1 => (0_usize..4, 0_i64..500).prop_map(|(log, to)| Deed::Reset { log, to }),
        8 => (0_usize..4, 0_usize..40, 1_usize..12, 0_usize..256, prop_oneof![Just(0_usize), 1_usize..4_000])
            .prop_map(|(log, first, count, keep, grow)| Deed::Rewrite { log, first, count, keep, grow }),
        3 => (0_usize..4, any::<u8>()).prop_map(|(key, value)| Deed::Put { key, value }),
        1 => (0_usize..4).prop_map(|log| Deed::PutOfLog { log }),
        1 => (0_usize..4).prop_map(|key| Deed::DeleteMeta { key }),
        8 => any::<bool>().prop_map(|sync| Deed::Persist { sync }),
        3 => Just(Deed::AwaitFlush),
        2 => Just(Deed::Kill),
        2 => Just(Deed::PowerLoss),
        2 => Just(Deed::Close),
    ]
}

/// A store, the model beside it, and every state the model has been in.
struct Rig<'a> {
    directory: Option<&'a Path>,
    options: StoreOptions,
    store: Option<BrokerStore>,
    notes: Receiver<StoreNote>,
    history: Vec<Model>,
    next_log: u64,
    seq: u64,
    /// How much of the history has to survive the end of the process, and a loss of power.
    persisted: usize,
    synced: usize,
}

impl<'a> Rig<'a> {
    fn new(directory: Option<&'a Path>, options: StoreOptions) -> Rig<'a> {
        let (_, notes) = channel();
        let mut rig = Rig {
            directory,
            options,
            store: None,
            notes,
            history: vec![Model::default()],
            next_log: 0,
            seq: 0,
            persisted: 0,
            synced: 0,
        };
        rig.open(Some(MemoryStore::new(None)));
        rig
    }

    fn open(&mut self, memory: Option<MemoryStore>) {
        let (sender, notes) = channel();
        let sender = Mutex::new(sender);
        let notify = Arc::new(move |note| drop(sender.lock().expect("not poisoned").send(note)));
        self.store = Some(match self.directory {
            Some(directory) => BrokerStore::open(directory, self.options.clone(), notify).expect("opens"),
            None => BrokerStore::in_memory(memory.expect("kept by the host"), &self.options, notify),
        });
        self.notes = notes;
    }

    fn store(&mut self) -> &mut BrokerStore {
        self.store.as_mut().expect("open")
    }

    fn model(&self) -> &Model {
        self.history.last().expect("the beginning")
    }

    fn log(&self, index: usize) -> Option<LogId> {
        let logs = &self.model().logs;
        logs.keys().nth(index % logs.len().max(1)).copied()
    }

    fn write(&mut self, op: StorageOp) {
        let mut model = self.model().clone();
        model.apply(&op);
        self.history.push(model);
        self.store().write(op);
    }

    fn persist(&mut self, sync: bool) {
        self.seq += 1;
        let seq = self.seq;
        if !self.store().persist(seq, sync) {
            loop {
                match self.notes.recv_timeout(Duration::from_secs(30)).expect("an answer") {
                    StoreNote::Persisted { seq: told } if told >= seq => break,
                    StoreNote::Failed { reason } => panic!("{reason}"),
                    _ => {}
                }
            }
        }
        self.persisted = self.history.len() - 1;
        if sync || self.options.durability == Durability::Sync {
            self.synced = self.persisted;
        }
    }

    fn end(&mut self, how: Crash) {
        let (infos, memory) = self.store.take().expect("open").crash(how).expect("crashes well");
        self.open(memory);
        let recovered = Model::of(self.store.as_ref().expect("open"));
        let least = if how == Crash::Kill { self.persisted } else { self.synced };
        let found = (least..self.history.len()).find(|n| self.history[*n] == recovered);
        let found = found.unwrap_or_else(|| panic!("{how:?}: not one of the states that may come back"));
        if infos.len() == recovered.logs.len() && self.history.len() - 1 == found {
            let ends = |infos: &[LogInfo]| infos.iter().map(|info| info.end_offset).collect::<Vec<_>>();
            assert_eq!(ends(&infos), ends(&self.store().logs()), "what was said to be left is what came back");
        }
        assert!(!self.store().was_clean());
        self.history.truncate(found + 1);
        self.persisted = found;
        self.synced = if self.directory.is_some() || how == Crash::PowerLoss { found } else { self.synced.min(found) };
    }

    fn close(&mut self) {
        self.persist(true);
        let memory = self.store.take().expect("open").close().expect("closes");
        self.open(memory);
        assert!(self.store().was_clean());
    }

    fn step(&mut self, deed: &Deed) {
        match deed {
            Deed::Create => {
                let (log, partition) = (LogId(self.next_log), PartitionId::new(TopicId::METADATA, 7));
                self.next_log += 1;
                self.write(StorageOp::CreateLog { log, partition, topic: "orders".to_owned() });
            }
            Deed::Put { key, value } => {
                self.write(StorageOp::PutMeta { key: format!("k/{key}"), value: Bytes::from(vec![*value; 3]) });
            }
            Deed::DeleteMeta { key } => self.write(StorageOp::DeleteMeta { key: format!("k/{key}") }),
            Deed::Persist { sync } => self.persist(*sync),
            Deed::AwaitFlush => {
                self.persist(false);
                let control = self.store().control();
                let before = control.flushes();
                // Only a write makes a flush due.
                self.write(StorageOp::PutMeta { key: "flush".to_owned(), value: Bytes::new() });
                self.persist(false);
                while self.directory.is_some() && control.flushes() == before {
                    std::thread::yield_now();
                }
            }
            Deed::Kill => self.end(Crash::Kill),
            Deed::PowerLoss => self.end(Crash::PowerLoss),
            Deed::Close => self.close(),
            of_log => self.step_log(of_log),
        }
    }

    fn step_log(&mut self, deed: &Deed) {
        let (Deed::Append { log, .. }
        | Deed::Truncate { log, .. }
        | Deed::Trim { log, .. }
        | Deed::Reset { log, .. }
        | Deed::Rewrite { log, .. }
        | Deed::PutOfLog { log }
        | Deed::Delete(log)) = deed
        else {
            unreachable!("a deed of a log");
        };
        let Some(log) = self.log(*log) else { return };
        let (start, end, ref held) = self.model().logs[&log];
        let op = match deed {
            Deed::Append { gap, records, body, .. } => {
                StorageOp::Append { log, batch: batch(end + gap, *records, *body) }
            }
            Deed::Truncate { back, .. } => StorageOp::Truncate { log, end_offset: (end - back).max(0) },
            Deed::Trim { forward, .. } => StorageOp::Trim { log, start_offset: start + forward },
            Deed::Rewrite { first, count, keep, grow, .. } => {
                let Some(others) = held.len().checked_sub(1).filter(|others| *others > 0) else { return };
                let first = *first % others;
                let stretch = &held[first..(first + count).min(others)];
                let kept = stretch.iter().enumerate().filter(|(at, _)| keep >> (at % 8) & 1 == 1);
                let changed = kept.map(|(_, batch)| {
                    let body = batch.body().iter().copied().chain(std::iter::repeat_n(7, *grow)).collect();
                    Batch::seal(batch.header, body)
                });
                let (from, to) = (&stretch[0].header, &stretch[stretch.len() - 1].header);
                StorageOp::Rewrite {
                    log,
                    first_offset: from.base_offset,
                    end_offset: to.next_offset(),
                    batches: changed.collect(),
                }
            }
            Deed::Reset { to, .. } => StorageOp::Reset { log, offset: *to },
            Deed::PutOfLog { .. } => {
                StorageOp::PutMeta { key: format!("log/{}/epochs", log.0), value: Bytes::from_static(b"e") }
            }
            _ => StorageOp::DeleteLog { log },
        };
        self.write(op);
    }
}

fn run(directory: Option<&Path>, options: &StoreOptions, deeds: &[Deed]) {
    let mut rig = Rig::new(directory, options.clone());
    rig.step(&Deed::Create);
    for deed in deeds {
        rig.step(deed);
        // Reading everything after every step would be all that this test does.
        if matches!(
            deed,
            Deed::Rewrite { .. } | Deed::AwaitFlush | Deed::Truncate { .. } | Deed::Trim { .. } | Deed::Close
        ) {
            let model = rig.model().clone();
            assert!(Model::of(rig.store.as_ref().expect("open")) == model, "after {deed:?}");
        }
    }
    let model = rig.model().clone();
    assert!(Model::of(rig.store.as_ref().expect("open")) == model);
    for (log, (_, end, batches)) in &model.logs {
        for from in [0, end / 2, *end - 1, *end] {
            let expected = batches.iter().find(|batch| batch.header.last_offset() >= from).cloned();
            let read = rig.store().read(*log, from, 1).expect("readable");
            assert!(read == expected.into_iter().collect::<Vec<_>>(), "one batch from {from}");
        }
    }
}

/// Little in memory, flushes all the time.
fn eager() -> StoreOptions {
    StoreOptions {
        hot_bytes: 10_000,
        flush_bytes: 20_000,
        flush_interval: Duration::from_millis(2),
        ..StoreOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_store_with_files_is_the_model(deeds in prop::collection::vec(deed(), 1..60), sync in any::<bool>()) {
        let directory = tempfile::tempdir().expect("a directory");
        let durability = if sync { Durability::Sync } else { Durability::Process };
        run(Some(directory.path()), &StoreOptions { durability, ..eager() }, &deeds);
    }

    #[test]
    fn a_store_with_files_that_seldom_flushes_is_the_model(deeds in prop::collection::vec(deed(), 1..60)) {
        let directory = tempfile::tempdir().expect("a directory");
        let deeds: Vec<Deed> = deeds.into_iter().filter(|deed| !matches!(deed, Deed::AwaitFlush)).collect();
        run(Some(directory.path()), &StoreOptions::default(), &deeds);
    }

    #[test]
    fn a_store_in_memory_is_the_model(deeds in prop::collection::vec(deed(), 1..120)) {
        run(None, &StoreOptions { durability: Durability::Memory, ..StoreOptions::default() }, &deeds);
    }
}

fn one_log(rig: &mut Rig, batches: i64) {
    rig.step(&Deed::Create);
    for n in 0..batches {
        rig.write(StorageOp::Append { log: LogId(0), batch: batch(n * 10, 10, 1_000) });
    }
}

#[test]
fn a_flipped_byte_costs_the_damaged_record_and_nothing_before_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut rig = Rig::new(Some(directory.path()), StoreOptions::default());
    one_log(&mut rig, 5);
    rig.persist(true);
    drop(rig.store.take());
    assert!(corrupt_tail(directory.path()).expect("readable"));
    rig.open(None);
    assert_eq!(rig.store().logs()[0].end_offset, 40);
    rig.write(StorageOp::Append { log: LogId(0), batch: batch(40, 1, 10) });
    rig.persist(false);
    drop(rig.store.take());
    rig.open(None);
    assert_eq!(rig.store().logs()[0].end_offset, 41, "what is written behind a damaged end is found again");
}

#[test]
fn a_damaged_batch_is_refused_by_its_crc_and_the_others_are_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut rig = Rig::new(Some(directory.path()), StoreOptions::default());
    one_log(&mut rig, 5);
    rig.persist(true);
    // Closing flushes everything.
    rig.store.take().expect("open").close().expect("closed");
    rig.open(None);
    let control = rig.store().control();
    assert_eq!(control.corrupt(LogId(0), Some(25)).expect("a database"), Some(20));
    assert_eq!(control.corrupt(LogId(0), Some(99)).expect("a database"), None);
    let error = rig.store().read(LogId(0), 20, 1).expect_err("damaged");
    assert!(error.to_string().contains("offset 20") && error.to_string().contains("CRC"), "{error}");
    assert_eq!(rig.store().read(LogId(0), 30, 1).expect("whole")[0].header.base_offset, 30);
    assert_eq!(control.corrupt(LogId(0), None).expect("a database"), Some(40), "without an offset it is the last one");
    assert!(rig.store().read(LogId(0), 40, 1).is_err());
}

#[test]
fn a_stop_with_much_to_flush_leaves_it_in_the_journal_and_counts_as_clean() {
    let directory = tempfile::tempdir().expect("a directory");
    let options =
        StoreOptions { flush_bytes: 64 * 1024, flush_interval: Duration::from_secs(3_600), ..StoreOptions::default() };
    let mut rig = Rig::new(Some(directory.path()), options);
    one_log(&mut rig, 40);
    rig.persist(false);
    assert!(rig.store().control().bytes() > 40_000, "what only the journal has counts");
    let memory = rig.store.take().expect("open").close().expect("closes");
    let files = std::fs::read_dir(directory.path()).expect("a directory").map(|file| file.expect("a file"));
    let journaled: u64 = files
        .filter(|file| file.file_name().to_string_lossy().starts_with("journal-"))
        .map(|file| file.metadata().expect("a file").len())
        .sum();
    assert!(journaled > 40_000, "the writes are in the journal");
    rig.open(memory);
    assert!(rig.store().was_clean());
    assert_eq!(Model::of(rig.store.as_ref().expect("open")), *rig.model());
    assert_eq!(rig.store().synced_up_to(LogId(0)), Some(400), "and safe from a loss of power");
}

#[test]
fn a_full_disk_fails_the_store_until_it_is_opened_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut rig = Rig::new(Some(directory.path()), StoreOptions::default());
    one_log(&mut rig, 1);
    rig.persist(false);
    let control = rig.store().control();
    control.set_disk_full(true);
    rig.store().write(StorageOp::Append { log: LogId(0), batch: batch(10, 10, 1_000) });
    assert!(!rig.store().persist(2, true));
    let note = rig.notes.recv_timeout(Duration::from_secs(30)).expect("a note");
    assert!(matches!(note, StoreNote::Failed { .. }), "{note:?}");
    assert!(control.failure().is_some());
    control.set_disk_full(false);
    assert!(rig.store.take().expect("open").close().is_err(), "a failed store is not cleanly closed");
    rig.open(None);
    assert!(!rig.store().was_clean());
    assert_eq!(rig.store().logs()[0].end_offset, 10);
}

#[test]
fn a_full_tail_says_so_and_tells_when_there_is_room() {
    let directory = tempfile::tempdir().expect("a directory");
    let options =
        StoreOptions { tail_bytes: 3_000, flush_interval: Duration::from_secs(60), ..StoreOptions::default() };
    let mut rig = Rig::new(Some(directory.path()), options);
    one_log(&mut rig, 1);
    rig.persist(false);
    assert!(rig.store().has_room_for_clients());
    rig.write(StorageOp::Append { log: LogId(0), batch: batch(10, 10, 1_000) });
    rig.persist(false);
    assert!(rig.store().has_room() && !rig.store().has_room_for_clients(), "clients wait before replicas do");
    rig.options.flush_bytes = 4_000;
    drop(rig.store.take());
    rig.open(None);
    rig.write(StorageOp::Append { log: LogId(0), batch: batch(20, 10, 2_500) });
    assert!(!rig.store().has_room());
    rig.persist(false);
    loop {
        // Other notes may come before.
        if rig.notes.recv_timeout(Duration::from_secs(30)).expect("a note") == StoreNote::HasRoom {
            break;
        }
    }
    assert!(rig.store().has_room());
}

#[test]
fn a_store_in_memory_says_what_is_beyond_its_limit() {
    let options = StoreOptions { durability: Durability::Memory, ..StoreOptions::default() };
    let mut rig = Rig::new(None, options);
    rig.open(Some(MemoryStore::new(Some(4_000))));
    rig.history = vec![Model::default()];
    one_log(&mut rig, 6);
    let excess = 6 * (1_000 + 61) - 4_000;
    assert_eq!(rig.store().excess_bytes(), excess);
    assert!(!rig.store().has_room());
    rig.write(StorageOp::Trim { log: LogId(0), start_offset: 30 });
    rig.persist(false);
    assert_eq!(rig.notes.try_recv(), Ok(StoreNote::HasRoom));
    assert!(rig.store().has_room() && rig.store().excess_bytes() == 0);
}

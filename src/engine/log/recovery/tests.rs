//! Restarts: with checkpoints, without, with wrong ones, and after losses.

use super::*;
use crate::engine::io::LogStore;
use crate::engine::log::testing::{LOG, OneLog, idempotent, marker, plain, transactional};
use crate::engine::testing::MemoryStore;
use std::cell::Cell;

/// A store that counts the headers it shows.
struct Counting<'a> {
    store: &'a MemoryStore,
    headers: Cell<usize>,
}

impl LogRead for Counting<'_> {
    fn logs(&self) -> Vec<LogInfo> {
        self.store.logs()
    }
    fn read(
        &self,
        log: crate::protocol::ids::LogId,
        from: i64,
        max: usize,
    ) -> Result<Vec<crate::protocol::batch::Batch>, ReadError> {
        self.store.read(log, from, max)
    }
    fn scan(
        &self,
        log: crate::protocol::ids::LogId,
        from: i64,
        visit: &mut dyn FnMut(&BatchHeader) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.store.scan(log, from, &mut |header| {
            self.headers.set(self.headers.get() + 1);
            visit(header)
        })
    }
    fn meta(&self, key: &str) -> Option<Bytes> {
        self.store.meta(key)
    }
    fn meta_keys(&self, prefix: &str) -> Vec<String> {
        self.store.meta_keys(prefix)
    }
    fn has_room(&self) -> bool {
        true
    }
    fn was_clean(&self) -> bool {
        true
    }
}

fn assert_same(recovered: &PartitionLog, live: &PartitionLog) {
    assert_eq!((recovered.start_offset, recovered.end_offset), (live.start_offset, live.end_offset));
    assert_eq!(recovered.epochs, live.epochs);
    assert_eq!(recovered.producers, live.producers);
    assert_eq!(recovered.time_index, live.time_index);
    assert_eq!(recovered.size_bytes(), live.size_bytes());
    assert_eq!(recovered.last_batch, live.last_batch);
    let bases =
        |log: &PartitionLog| log.segments.list().iter().map(|s| (s.base_offset, s.size_bytes)).collect::<Vec<_>>();
    assert_eq!(bases(recovered), bases(live));
}

/// A log of several segments with everything in it.
fn busy() -> OneLog {
    let mut one = OneLog::with(TopicConfig { segment_bytes: 400, ..TopicConfig::default() });
    for i in 0..20 {
        one.append(1 + i / 6, idempotent(4, 0, i * 2, 2)).expect("appended");
        one.append(1 + i / 6, transactional(5, 0, i, 1)).expect("appended");
        if i % 3 == 2 {
            one.append_internal(1 + i / 6, vec![marker(5, 0, i % 2 == 0)]).expect("appended");
        }
    }
    one
}

#[test]
fn with_and_without_checkpoints_the_same_state_comes_back() {
    let mut one = busy();
    assert!(one.log.segments.list().len() > 4);
    assert_eq!(one.log.checkpoints.len(), KEPT_CHECKPOINTS);
    let recovered = one.recovered();
    assert_same(&recovered, &one.log);
    assert_eq!(recovered.persisted_end(), one.log.end_offset());
    assert_eq!(recovered.checkpoints, one.log.checkpoints);
    for key in one.harness.store.meta_keys("log/7/checkpoint/") {
        one.harness.store.write(StorageOp::DeleteMeta { key });
    }
    assert_same(&one.recovered(), &one.log);
    one.harness.store.write(StorageOp::DeleteMeta { key: "log/7/epochs".to_owned() });
    assert_same(&one.recovered(), &one.log);
}

#[test]
fn recovery_reads_what_came_after_the_last_checkpoint() {
    let one = busy();
    let counting = Counting { store: &one.harness.store, headers: Cell::new(0) };
    let info = counting.logs().remove(0);
    PartitionLog::recover(&info, &counting, &one.config).expect("readable");
    assert!(counting.headers.get() < 8, "{} of {} headers", counting.headers.get(), one.batches().len());
}

#[test]
fn any_prefix_of_the_writes_is_a_log() {
    let mut one = busy();
    one.truncate(30);
    one.fill(9, 3);
    one.trim(12);
    let total = one.harness.store.ops().len();
    for ops in 1..=total {
        let mut lost = one.clone();
        lost.lose_all_but(ops);
        let mut fresh = MemoryStore::replayed(&one.harness.store.ops()[..ops]);
        for key in fresh.meta_keys("log/") {
            fresh.write(StorageOp::DeleteMeta { key });
        }
        let from_headers = crate::engine::log::testing::recover(&fresh, &one.config);
        assert_eq!(lost.log.epochs, from_headers.epochs, "after {ops} writes");
        assert_eq!(lost.log.end_offset, from_headers.end_offset);
        let ends = |log: &PartitionLog| log.producers().map(|p| (p.producer_id, p.last_sequence)).collect::<Vec<_>>();
        if lost.log.start_offset == 0 {
            assert_eq!(ends(&lost.log), ends(&from_headers), "after {ops} writes");
            assert_eq!(lost.log.producers.transactions, from_headers.producers.transactions);
        }
    }
}

#[test]
fn a_checkpoint_beyond_the_end_or_of_another_history_is_not_believed() {
    let mut one = OneLog::new();
    one.append(1, idempotent(4, 0, 0, 5)).expect("appended");
    one.harness.step(|cx| one.log.checkpoint(cx));
    let key = one.harness.store.meta_keys("log/7/checkpoint/").remove(0);
    let value = one.harness.store.meta(&key).expect("written");
    one.truncate(0);
    assert_eq!(one.harness.store.meta_keys("log/7/checkpoint/"), [""; 0], "it goes before the log is cut");
    one.harness.store.write(StorageOp::PutMeta { key: key.clone(), value: value.clone() });
    assert_eq!(one.recovered().producers().count(), 0, "beyond the end");
    one.fill(2, 5);
    assert_same(&one.recovered(), &one.log);
    one.fill(2, 2);
    assert_same(&one.recovered(), &one.log);
    let torn = value.slice(..value.len() - 3);
    one.harness.store.write(StorageOp::PutMeta { key, value: torn });
    assert_same(&one.recovered(), &one.log);
}

#[test]
fn epochs_are_cut_to_the_log_that_is_left() {
    let mut one = OneLog::new();
    one.fill(1, 3);
    let ops = one.harness.store.ops().len();
    one.fill(4, 3);
    assert_eq!(one.harness.store.ops().len(), ops + 2, "the epoch, then the batch");
    one.lose_all_but(ops + 1);
    assert_eq!((one.log.end_offset(), one.log.last_epoch()), (3, Some(1)));
}

#[test]
fn an_orderly_stop_writes_a_checkpoint_only_if_there_is_news() {
    let mut one = OneLog::new();
    let ops = one.harness.store.ops().len();
    one.harness.step(|cx| one.log.checkpoint(cx));
    assert_eq!(one.harness.store.ops().len(), ops);
    one.fill(1, 1);
    one.harness.step(|cx| one.log.checkpoint(cx));
    one.harness.step(|cx| one.log.checkpoint(cx));
    assert_eq!(one.log.checkpoints, [1]);
    let recovered = one.recovered();
    assert_eq!(recovered.bytes_since_checkpoint, 0);
    assert_same(&recovered, &one.log);
}

#[test]
fn a_truncation_behind_the_kept_checkpoints_reads_all_and_is_right() {
    let mut one = busy();
    let end = one.log.checkpoints[0] - 3;
    one.truncate(end);
    assert_eq!(one.log.checkpoints, [0_i64; 0]);
    let mut fresh = one.clone();
    for key in fresh.harness.store.meta_keys("log/") {
        fresh.harness.store.write(StorageOp::DeleteMeta { key });
    }
    assert_eq!(fresh.recovered().producers, one.log.producers);
    assert_eq!(fresh.recovered().epochs, one.log.epochs);
    assert_eq!(one.harness.store.logs()[0].log, LOG);
    one.append(9, plain(1)).expect("appended");
}

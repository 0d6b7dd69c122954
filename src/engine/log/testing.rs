//! One log in a harness, for the tests of this folder: appends in one line, and a restart after any loss.

use crate::engine::config::TopicConfig;
use crate::engine::io::{LogRead, StorageOp};
use crate::engine::log::append::{AppendError, Appended};
use crate::engine::log::partition_log::PartitionLog;
use crate::engine::observe::TruncationReason;
use crate::engine::testing::{Harness, MemoryStore};
use crate::protocol::batch::Batch;
use crate::protocol::ids::{LogId, PartitionId, TopicId};
use crate::protocol::records::BatchBuilder;

pub(super) const LOG: LogId = LogId(7);
pub(super) const PARTITION: PartitionId = PartitionId { topic: TopicId(uuid::Uuid::from_u128(9)), partition: 0 };

/// A log in its surroundings.
#[derive(Debug, Clone)]
pub(super) struct OneLog {
    pub(super) harness: Harness,
    pub(super) log: PartitionLog,
    pub(super) config: TopicConfig,
}

impl OneLog {
    pub(super) fn new() -> OneLog {
        OneLog::with(TopicConfig::default())
    }

    pub(super) fn with(config: TopicConfig) -> OneLog {
        let mut harness = Harness::new(1);
        let mut log = harness.step(|cx| PartitionLog::create(cx, LOG, PARTITION, "t"));
        log.configure(&config);
        OneLog { harness, log, config }
    }

    /// Appends as a leader, as clients do, in a step of its own.
    pub(super) fn append(&mut self, epoch: i32, batch: Batch) -> Result<Appended, AppendError> {
        let (log, config) = (&mut self.log, &self.config);
        self.harness.step(|cx| log.append_as_leader(cx, vec![batch], epoch, config, true))
    }

    /// Appends as coordinators do.
    pub(super) fn append_internal(&mut self, epoch: i32, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        let (log, config) = (&mut self.log, &self.config);
        self.harness.step(|cx| log.append_as_leader(cx, batches, epoch, config, false))
    }

    /// Appends records without a producer.
    pub(super) fn fill(&mut self, epoch: i32, records: usize) {
        self.append(epoch, plain(records)).expect("a batch without fault");
    }

    pub(super) fn truncate(&mut self, end_offset: i64) -> bool {
        let log = &mut self.log;
        let truncated = self.harness.step(|cx| log.truncate(cx, end_offset, TruncationReason::DivergingEpoch));
        truncated.expect("the store is readable")
    }

    pub(super) fn trim(&mut self, start_offset: i64) -> bool {
        let log = &mut self.log;
        self.harness.step(|cx| log.trim(cx, start_offset))
    }

    /// The sequence number of the last step that wrote.
    pub(super) fn last_seq(&self) -> u64 {
        self.harness.sequences.persist
    }

    /// Restarts with everything that was written.
    pub(super) fn restart(&mut self) {
        self.log = self.recovered();
    }

    /// The log as a restart finds it.
    pub(super) fn recovered(&self) -> PartitionLog {
        recover(&self.harness.store, &self.config)
    }

    /// Restarts after a power loss that left the first writes only.
    pub(super) fn lose_all_but(&mut self, ops: usize) {
        let left: Vec<StorageOp> = self.harness.store.ops()[..ops].to_vec();
        self.harness.store = MemoryStore::replayed(&left);
        self.log = self.recovered();
    }

    pub(super) fn batches(&self) -> &[Batch] {
        self.harness.store.batches(LOG)
    }
}

pub(super) fn recover(store: &MemoryStore, config: &TopicConfig) -> PartitionLog {
    let info = store.logs().into_iter().find(|info| info.log == LOG).expect("the log exists");
    PartitionLog::recover(&info, store, config).expect("the store is readable")
}

/// The time of the harness, in milliseconds: what the records of [`plain`] carry.
pub(super) const NOW_MS: i64 = 1_704_067_200_000;

/// A client's batch without a producer.
pub(super) fn plain(records: usize) -> Batch {
    at_times(&vec![NOW_MS; records])
}

/// A client's batch without a producer, with these timestamps.
pub(super) fn at_times(timestamps: &[i64]) -> Batch {
    let builder = timestamps.iter().fold(BatchBuilder::new(), |builder, &time| builder.value(time, b"value"));
    builder.build().expect("a batch")
}

fn of_producer(id: i64, epoch: i16, base_sequence: i32, records: usize) -> BatchBuilder {
    let builder = BatchBuilder::new().producer(id, epoch, base_sequence);
    (0..records).fold(builder, |builder, _| builder.value(NOW_MS, b"value"))
}

/// A client's batch of an idempotent producer.
pub(super) fn idempotent(id: i64, epoch: i16, base_sequence: i32, records: usize) -> Batch {
    of_producer(id, epoch, base_sequence, records).build().expect("a batch")
}

/// A client's batch in a transaction.
pub(super) fn transactional(id: i64, epoch: i16, base_sequence: i32, records: usize) -> Batch {
    of_producer(id, epoch, base_sequence, records).transactional().build().expect("a batch")
}

/// A marker that ends a transaction, by a coordinator of epoch 0.
pub(super) fn marker(id: i64, epoch: i16, commits: bool) -> Batch {
    let mut builder = BatchBuilder::new().producer(id, epoch, -1).transactional().control();
    builder.push(NOW_MS, Some(&[0, 0, 0, u8::from(commits)]), Some(&[0; 6]), &[]);
    builder.build().expect("a batch")
}

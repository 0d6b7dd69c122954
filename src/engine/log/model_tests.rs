//! A log against a model that keeps nothing but the batches and answers every question by reading them all.

use crate::engine::config::TopicConfig;
use crate::engine::log::testing::{OneLog, idempotent, marker, plain, transactional};
use crate::protocol::batch::BatchHeader;
use crate::protocol::ids::EpochEnd;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Step {
    Plain {
        records: usize,
    },
    /// The next batch of a producer.
    Next {
        producer: i64,
        records: usize,
        in_transaction: bool,
    },
    /// A batch of a producer again: so many batches back.
    Again {
        producer: i64,
        back: usize,
    },
    /// A batch of a producer after a gap.
    Gap {
        producer: i64,
    },
    Marker {
        producer: i64,
        commits: bool,
    },
    BeginEpoch,
    /// In parts of a hundred of what is there.
    Truncate {
        part: i64,
    },
    Trim {
        part: i64,
    },
    Checkpoint,
    /// Everything that was written so far becomes safe.
    Persist,
    /// A power loss that keeps what is safe and a part of the rest.
    Lose {
        part: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let producer = 1..4_i64;
    let step = prop_oneof![
        3 => (1..4_usize).prop_map(|records| Step::Plain { records }),
        8 => (producer.clone(), 1..4_usize, any::<bool>())
            .prop_map(|(producer, records, in_transaction)| Step::Next { producer, records, in_transaction }),
        4 => (producer.clone(), 0..8_usize).prop_map(|(producer, back)| Step::Again { producer, back }),
        1 => producer.clone().prop_map(|producer| Step::Gap { producer }),
        3 => (producer, any::<bool>()).prop_map(|(producer, commits)| Step::Marker { producer, commits }),
        1 => Just(Step::BeginEpoch),
        2 => (30..100_i64).prop_map(|part| Step::Truncate { part }),
        1 => (0..40_i64).prop_map(|part| Step::Trim { part }),
        1 => Just(Step::Checkpoint),
        2 => Just(Step::Persist),
        1 => (0..100_usize).prop_map(|part| Step::Lose { part }),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a producer did, by the batches that are in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ModelProducer {
    /// First sequence number, records, first offset.
    batches: Vec<(i32, i32, i64)>,
    transaction: Option<i64>,
}

/// The batches of a log, and nothing else. Batches below the start stay: producers outlive them.
#[derive(Debug, Clone, Default)]
struct Model {
    batches: Vec<(BatchHeader, bool)>,
    end: i64,
    start: i64,
}

impl Model {
    fn producer(&self, id: i64) -> ModelProducer {
        let mut producer = ModelProducer::default();
        for (header, _) in self.batches.iter().filter(|(header, _)| header.producer_id == id) {
            if header.is_control() {
                producer.transaction = None;
                continue;
            }
            producer.batches.push((header.base_sequence, header.record_count, header.base_offset));
            if header.is_transactional() {
                producer.transaction.get_or_insert(header.base_offset);
            }
        }
        producer
    }

    fn next_sequence(&self, id: i64) -> i32 {
        self.producer(id).batches.last().map_or(0, |&(sequence, records, _)| sequence + records)
    }

    fn push(&mut self, header: BatchHeader, aborts: bool) {
        self.end = header.next_offset();
        self.batches.push((header, aborts));
    }

    fn truncate(&mut self, end: i64) {
        let gone = self.batches.iter().position(|(header, _)| header.next_offset() > end).unwrap_or(self.batches.len());
        let base = self.batches.get(gone).map_or(end, |(header, _)| header.base_offset);
        self.batches.truncate(gone);
        self.end = end.min(base).max(self.start);
    }

    /// Epoch and first offset of each run of batches of one epoch.
    fn epoch_end(&self, epoch: i32) -> EpochEnd {
        let inside: Vec<_> =
            self.batches.iter().map(|(header, _)| header).filter(|h| h.next_offset() > self.start).collect();
        let next = inside.iter().find(|header| header.leader_epoch > epoch);
        let floor = inside.iter().rev().find(|header| header.leader_epoch <= epoch);
        match (floor, next) {
            (Some(floor), None) if floor.leader_epoch == epoch => EpochEnd { epoch, end_offset: self.end },
            (_, None) => EpochEnd { epoch: -1, end_offset: -1 },
            (Some(floor), Some(next)) => EpochEnd { epoch: floor.leader_epoch, end_offset: next.base_offset },
            (None, Some(next)) => EpochEnd { epoch, end_offset: next.base_offset.max(self.start) },
        }
    }

    fn last_stable_offset(&self, high_watermark: i64) -> i64 {
        let mut open: BTreeMap<i64, i64> = BTreeMap::new();
        for (header, _) in self.batches.iter().filter(|(header, _)| header.is_transactional()) {
            match header.is_control() {
                true if header.base_offset < high_watermark => _ = open.remove(&header.producer_id),
                true => {}
                false => _ = open.entry(header.producer_id).or_insert(header.base_offset),
            }
        }
        open.into_values().chain([high_watermark]).min().expect("the high watermark")
    }

    /// Producer, first offset and marker of each aborted transaction.
    fn aborted(&self) -> Vec<(i64, i64, i64)> {
        let mut open: BTreeMap<i64, i64> = BTreeMap::new();
        let mut aborted = Vec::new();
        for (header, aborts) in self.batches.iter().filter(|(header, _)| header.is_transactional()) {
            if !header.is_control() {
                open.entry(header.producer_id).or_insert(header.base_offset);
            } else if let Some(first) = open.remove(&header.producer_id)
                && *aborts
                && header.base_offset >= self.start
            {
                aborted.push((header.producer_id, first, header.base_offset));
            }
        }
        aborted
    }
}

struct Run {
    one: OneLog,
    model: Model,
    epoch: i32,
    /// After how many writes the log was how: what a loss goes back to.
    history: Vec<(usize, Model)>,
    persisted_ops: usize,
    /// Whether the start has moved: what lies below is then known from a checkpoint alone.
    trimmed: bool,
}

impl Run {
    fn new() -> Run {
        let one = OneLog::with(TopicConfig { segment_bytes: 600, ..TopicConfig::default() });
        let ops = one.harness.store.ops().len();
        let history = vec![(ops, Model::default())];
        Run { one, model: Model::default(), epoch: 1, history, persisted_ops: ops, trimmed: false }
    }

    fn client(&mut self, batch: crate::protocol::batch::Batch) -> Result<crate::engine::log::Appended, ()> {
        let result = self.one.append(self.epoch, batch).map_err(|_| ())?;
        if !result.duplicate {
            let stored = self.one.batches().last().expect("stored").header;
            assert_eq!(stored.base_offset, self.model.end);
            self.model.push(stored, false);
        }
        Ok(result)
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Plain { records } => _ = self.client(plain(records)).expect("no rule forbids it"),
            Step::Next { producer, records, in_transaction } => {
                let known = self.model.producer(producer);
                let sequence = self.model.next_sequence(producer);
                let batch = match in_transaction || known.transaction.is_some() {
                    true => transactional(producer, 0, sequence, records),
                    false => idempotent(producer, 0, sequence, records),
                };
                assert!(!self.client(batch).expect("the next in order").duplicate);
            }
            Step::Again { producer, back } => self.again(producer, back),
            Step::Gap { producer } => {
                if !self.model.producer(producer).batches.is_empty() {
                    let sequence = self.model.next_sequence(producer) + 1;
                    self.client(transactional(producer, 0, sequence, 1)).expect_err("a gap");
                }
            }
            Step::Marker { producer, commits } => {
                self.one.append_internal(self.epoch, vec![marker(producer, 0, commits)]).expect("a marker");
                self.model.push(self.one.batches().last().expect("stored").header, !commits);
            }
            Step::BeginEpoch => {
                self.epoch += 1;
                let (log, epoch) = (&mut self.one.log, self.epoch);
                self.one.harness.step(|cx| log.begin_epoch(cx, epoch));
                assert_eq!(self.one.log.last_epoch(), Some(epoch));
            }
            Step::Truncate { part } => {
                let end = self.model.start + (self.model.end - self.model.start) * part / 100;
                assert_eq!(self.one.truncate(end), end < self.model.end);
                self.model.truncate(end);
                self.epoch += 1;
            }
            Step::Trim { part } => {
                let start = self.model.start + (self.model.end - self.model.start) * part / 100;
                self.trimmed |= self.one.trim(start);
                self.model.start = start;
            }
            Step::Checkpoint => {
                let log = &mut self.one.log;
                self.one.harness.step(|cx| log.checkpoint(cx));
            }
            Step::Persist => {
                self.persisted_ops = self.one.harness.store.ops().len();
                let seq = self.one.last_seq();
                self.one.log.on_persisted(seq);
                assert_eq!(self.one.log.persisted_end(), self.model.end);
            }
            Step::Lose { part } => self.lose(part),
        }
        self.history.push((self.one.harness.store.ops().len(), self.model.clone()));
    }

    fn again(&mut self, producer: i64, back: usize) {
        let known = self.model.producer(producer);
        let Some(place) = known.batches.len().checked_sub(back + 1) else { return };
        let (sequence, records, offset) = known.batches[place];
        let batch = idempotent(producer, 0, sequence, usize::try_from(records).expect("positive"));
        match self.client(batch) {
            Ok(appended) => {
                assert!(appended.duplicate && back < 5, "{back} back");
                assert_eq!((appended.first_offset, appended.last_offset), (offset, offset + i64::from(records) - 1));
            }
            Err(()) => assert!(back >= 5, "{back} back"),
        }
    }

    /// Goes back to the end of some step after the last that is safe, and of the step after it keeps a part.
    fn lose(&mut self, part: usize) {
        let total = self.one.harness.store.ops().len();
        let ops = self.persisted_ops + (total - self.persisted_ops) * part / 100;
        let log_end_before = self.one.log.persisted_end();
        let place = self.history.partition_point(|(at, _)| *at <= ops) - 1;
        let (at, model) = self.history[place].clone();
        // Cut to where a step ended: within one, `recovery/tests.rs` looks.
        let exact = if self.trimmed { total } else { at };
        if exact < self.persisted_ops {
            return;
        }
        if exact != total {
            self.model = model;
        }
        self.one.lose_all_but(exact);
        self.history.truncate(place + 1);
        self.history.push((exact, self.model.clone()));
        self.persisted_ops = exact;
        assert!(self.one.log.end_offset() >= log_end_before.min(self.model.end));
        self.epoch += 1;
    }

    fn check(&self) {
        let (log, model) = (&self.one.log, &self.model);
        assert_eq!((log.start_offset(), log.end_offset()), (model.start, model.end));
        assert!(model.start <= log.persisted_end() && log.persisted_end() <= model.end);
        for high_watermark in [model.start, (model.start + model.end) / 2, model.end] {
            assert_eq!(
                log.last_stable_offset(high_watermark).max(model.start),
                model.last_stable_offset(high_watermark).max(model.start)
            );
        }
        let aborted: Vec<_> = log
            .aborted_transactions(model.start, model.end)
            .iter()
            .map(|a| (a.producer_id, a.first_offset, a.last_offset))
            .collect();
        assert_eq!(aborted, model.aborted());
        let known: BTreeMap<i64, _> = log.producers().map(|p| (p.producer_id, p)).collect();
        for id in 1..4 {
            let expected = model.producer(id);
            let last = known.get(&id).map_or(-1, |producer| producer.last_sequence);
            let open = known.get(&id).map_or(-1, |producer| producer.transaction_start_offset);
            assert_eq!(
                (last, open),
                (model.next_sequence(id) - 1, expected.transaction.unwrap_or(-1)),
                "producer {id}"
            );
        }
        self.check_recovery();
    }

    fn check_recovery(&self) {
        let (recovered, model) = (self.one.recovered(), &self.model);
        assert_eq!((recovered.start_offset(), recovered.end_offset()), (model.start, model.end));
        assert_eq!(recovered.producers, self.one.log.producers);
        if !self.trimmed {
            for epoch in 0..=self.epoch {
                assert_eq!(recovered.epoch_end(epoch), model.epoch_end(epoch), "epoch {epoch}");
            }
            assert_eq!(recovered.size_bytes(), self.one.log.size_bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_agrees_with_its_model(steps in steps()) {
        let mut run = Run::new();
        for step in &steps {
            if run.trimmed && matches!(step, Step::Truncate { .. }) {
                // Goes back behind the only checkpoint that knows of producers below the start.
                break;
            }
            run.apply(step);
            run.check();
        }
    }
}

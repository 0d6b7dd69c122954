//! Truncation, epochs and what of a log is safe.

use super::*;
use crate::engine::io::{Effect, LogRead};
use crate::engine::log::testing::{LOG, OneLog, idempotent, marker, plain, transactional};

fn facts(one: &mut OneLog) -> Vec<EventKind> {
    one.harness
        .take_effects()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Emit(event) if event.kind.is_fact() => Some(event.kind),
            _ => None,
        })
        .collect()
}

#[test]
fn an_epoch_is_entered_without_records_and_forgotten_when_the_log_is_cut_to_where_it_begins() {
    let mut one = OneLog::new();
    one.fill(1, 4);
    let log = &mut one.log;
    one.harness.step(|cx| log.begin_epoch(cx, 3));
    assert_eq!(one.log.last_epoch(), Some(3), "KAFKA-7415");
    assert_eq!(one.log.epoch_end(1), EpochEnd { epoch: 1, end_offset: 4 });
    assert_eq!(one.log.epoch_end(3), EpochEnd { epoch: 3, end_offset: 4 });
    assert!(!one.truncate(4), "the log itself does not change");
    assert_eq!(one.log.last_epoch(), Some(1), "KAFKA-10706");
    assert_eq!(one.recovered().epochs, one.log.epochs);
    assert_eq!(facts(&mut one), []);
}

#[test]
fn a_fetcher_diverges_if_its_epoch_is_missing_or_ends_earlier() {
    let mut one = OneLog::new();
    for (epoch, records) in [(1, 5), (3, 5), (6, 5)] {
        one.fill(epoch, records);
    }
    let diverging = |epoch, offset| one.log.diverging(epoch, offset).map(|end| (end.epoch, end.end_offset));
    assert_eq!(diverging(-1, 0), None);
    assert_eq!(diverging(6, 15), None);
    assert_eq!(diverging(3, 10), None, "the fetcher has not seen epoch 6 yet");
    assert_eq!(diverging(3, 11), Some((3, 10)));
    assert_eq!(diverging(5, 8), Some((3, 10)), "KIP-279");
    assert_eq!(diverging(6, 16), Some((6, 15)));
    assert_eq!(diverging(7, 15), Some((-1, -1)));
}

#[test]
fn truncation_cuts_everything_that_is_known_beyond() {
    let mut one = OneLog::new();
    one.append(1, idempotent(4, 0, 0, 3)).expect("appended");
    one.append(1, transactional(5, 0, 0, 1)).expect("appended");
    let before = one.log.clone();
    one.append_internal(2, vec![marker(5, 0, false)]).expect("appended");
    one.append(2, idempotent(4, 0, 3, 1)).expect("appended");
    assert_eq!(one.log.last_stable_offset(10), 10);
    one.harness.take_effects();
    assert!(one.truncate(4));
    assert_eq!(one.log.epochs, before.epochs);
    assert_eq!(one.log.producers, before.producers);
    assert_eq!(one.log.last_stable_offset(4), 3, "the transaction is open again");
    assert_eq!(one.log.size_bytes(), before.size_bytes());
    assert_eq!((one.log.last_batch, &one.log.time_index), (before.last_batch, &before.time_index));
    let to = EventKind::Truncated {
        partition: one.log.partition(),
        from: 6,
        to: 4,
        reason: TruncationReason::DivergingEpoch,
    };
    assert_eq!(facts(&mut one), [to]);
    one.append(2, idempotent(4, 0, 3, 1)).expect("its first copy is gone, so that this is no duplicate");
}

#[test]
fn a_cut_within_a_batch_goes_back_to_its_base() {
    let mut one = OneLog::new();
    one.fill(1, 2);
    one.fill(2, 5);
    assert!(one.truncate(4));
    assert_eq!((one.batches().len(), one.log.end_offset(), one.log.last_epoch()), (1, 2, Some(1)));
    assert_eq!(one.log.size_bytes(), u64::try_from(one.batches()[0].size()).expect("small"));
    one.fill(3, 1);
    assert_eq!(one.batches()[1].header.base_offset, 2);
    one.trim(1);
    assert!(one.truncate(1), "the start lies within a batch that goes whole");
    assert_eq!((one.log.start_offset(), one.log.end_offset(), one.batches().len()), (1, 1, 0));
    assert_eq!(one.recovered().end_offset(), 1);
}

#[test]
fn an_old_write_does_not_make_safe_what_came_after_a_truncation() {
    let mut one = OneLog::new();
    one.fill(1, 4);
    let first = one.last_seq();
    one.fill(1, 1);
    one.fill(1, 5);
    let second = one.last_seq();
    assert!(one.log.on_persisted(first));
    assert_eq!(one.log.persisted_end(), 4);
    one.truncate(5);
    one.fill(2, 10);
    let third = one.last_seq();
    one.log.on_persisted(second);
    assert_eq!(one.log.persisted_end(), 5, "not the ten that it promised when it was written");
    assert!(one.log.has_pending());
    assert!(one.log.on_persisted(third) && !one.log.on_persisted(third));
    assert_eq!((one.log.persisted_end(), one.log.has_pending()), (15, false));
    one.truncate(4);
    assert_eq!(one.log.persisted_end(), 4);
}

#[test]
fn writes_of_one_step_are_safe_together() {
    let mut one = OneLog::new();
    let (log, config) = (&mut one.log, &one.config);
    let seq = one.harness.step(|cx| {
        for _ in 0..3 {
            log.append_as_leader(cx, vec![plain(2)], 1, config, true).expect("appended");
        }
        cx.persist_seq()
    });
    assert_eq!(one.log.pending.len(), 1);
    one.log.on_persisted(seq - 1);
    assert_eq!(one.log.persisted_end(), 0);
    one.log.on_persisted(seq + 5);
    assert_eq!(one.log.persisted_end(), 6);
}

#[test]
fn a_reset_begins_anew_and_a_cut_below_the_start_is_one() {
    let mut one = OneLog::new();
    one.append(1, idempotent(4, 0, 0, 3)).expect("appended");
    one.append(1, idempotent(4, 0, 3, 3)).expect("appended");
    one.trim(3);
    assert!(one.truncate(2));
    assert_eq!((one.log.start_offset(), one.log.end_offset(), one.log.persisted_end()), (2, 2, 2));
    assert_eq!((one.log.last_epoch(), one.log.producers().count(), one.log.size_bytes()), (None, 0, 0));
    let log = &mut one.log;
    one.harness.take_effects();
    one.harness.step(|cx| log.reset(cx, 50, TruncationReason::Snapshot));
    assert_eq!(facts(&mut one), [], "nothing was lost");
    one.fill(4, 1);
    assert_eq!((one.recovered().start_offset(), one.recovered().end_offset()), (50, 51));
}

#[test]
fn readers_of_committed_records_wait_for_markers_below_the_high_watermark() {
    let mut one = OneLog::new();
    one.fill(1, 2);
    one.append(1, transactional(5, 0, 0, 2)).expect("appended");
    one.fill(1, 1);
    assert_eq!(one.log.last_stable_offset(5), 2);
    one.append_internal(1, vec![marker(5, 0, true)]).expect("appended");
    assert_eq!((one.log.last_stable_offset(5), one.log.last_stable_offset(6)), (2, 6));
    assert_eq!(one.log.last_stable_offset(1), 1, "never beyond the high watermark");
}

#[test]
fn idle_producers_are_forgotten() {
    let mut one = OneLog::new();
    one.append(1, idempotent(4, 0, 0, 1)).expect("appended");
    one.append(1, transactional(5, 0, 0, 1)).expect("appended");
    one.log.expire_producers(one.harness.wall, 1);
    assert_eq!(one.log.producers().count(), 2);
    one.harness.advance(1_000);
    one.log.expire_producers(one.harness.wall, 1_000);
    assert_eq!(one.log.producers().map(|producer| producer.producer_id).collect::<Vec<_>>(), [5]);
}

#[test]
fn a_deleted_log_leaves_nothing() {
    let mut one = OneLog::new();
    one.append(1, idempotent(4, 0, 0, 1)).expect("appended");
    one.harness.step(|cx| {
        one.log.checkpoint(cx);
        one.log.clone().delete(cx);
    });
    assert_eq!((one.harness.store.logs().len(), one.harness.store.meta_keys("log/").len()), (0, 0));
}

#[test]
fn an_unreadable_store_is_told() {
    let mut one = OneLog::new();
    one.fill(1, 5);
    one.harness.store.broken = Some((LOG, "input/output error".to_owned()));
    let log = &mut one.log;
    let result = one.harness.step(|cx| log.truncate(cx, 1, TruncationReason::DivergingEpoch));
    assert_eq!(result.expect_err("broken").reason, "input/output error");
}

#[test]
fn an_idle_log_is_small() {
    assert!(size_of::<PartitionLog>() <= 512, "{} bytes", size_of::<PartitionLog>());
}

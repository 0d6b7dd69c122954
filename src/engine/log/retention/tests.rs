//! How the log's beginning moves.

use super::*;
use crate::engine::config::TopicConfig;
use crate::engine::io::Effect;
use crate::engine::log::testing::{NOW_MS, OneLog, at_times, idempotent, plain, transactional};

/// A log with a segment for each batch of one record, a second apart.
fn one_a_segment(config: TopicConfig, batches: i64) -> OneLog {
    let size = u64::try_from(plain(1).size()).expect("small");
    let mut one = OneLog::with(TopicConfig { segment_bytes: size, ..config });
    for i in 0..batches {
        one.append(1, at_times(&[NOW_MS + i * 1_000])).expect("appended");
    }
    one
}

fn retention(one: &mut OneLog, high_watermark: i64) -> Option<i64> {
    let (log, config) = (&mut one.log, &one.config);
    one.harness.step(|cx| log.retention(cx, high_watermark, config))
}

#[test]
fn old_segments_go_whole_and_never_above_the_high_watermark() {
    let mut one = one_a_segment(TopicConfig { retention_ms: Some(10_000), ..TopicConfig::default() }, 5);
    one.harness.advance(12_500);
    assert_eq!(retention(&mut one, 2), Some(2), "offsets 0 to 2 are due, and the high watermark is 2");
    assert_eq!(retention(&mut one, 2), None);
    one.harness.take_effects();
    assert_eq!(retention(&mut one, 5), Some(3));
    assert_eq!((one.log.start_offset(), one.batches().len()), (3, 2));
    assert_eq!(one.log.epoch_at(3), Some(1));
    let told = one.harness.take_effects().into_iter().any(
        |effect| matches!(effect, Effect::Emit(event) if matches!(event.kind, EventKind::LogStartMoved { to: 3, .. })),
    );
    assert!(told);
}

#[test]
fn the_active_segment_goes_only_if_it_is_due_and_leaves_a_new_one() {
    let mut one = one_a_segment(TopicConfig { retention_ms: Some(10_000), ..TopicConfig::default() }, 2);
    one.append(1, idempotent(4, 0, 0, 1)).expect("appended");
    one.harness.advance(60_000);
    assert_eq!(retention(&mut one, 3), Some(3));
    assert_eq!((one.log.size_bytes(), one.log.segments.list().len()), (0, 1));
    assert_eq!(retention(&mut one, 3), None);
    assert_eq!(one.recovered().producers, one.log.producers, "producers outlive their batches");
    let again = one.append(1, idempotent(4, 0, 0, 1)).expect("a duplicate");
    assert!(again.duplicate);
    one.fill(2, 1);
    assert_eq!(one.recovered().end_offset(), 4);
}

#[test]
fn too_many_bytes_go_from_the_beginning() {
    let size = u64::try_from(plain(1).size()).expect("small");
    let config = TopicConfig { retention_ms: None, retention_bytes: Some(2 * size + 1), ..TopicConfig::default() };
    let mut one = one_a_segment(config, 5);
    assert_eq!(retention(&mut one, 5), Some(2), "three are left, because two would be less than is to be kept");
    assert_eq!(one.log.size_bytes(), 3 * size);
    one.config.retention_bytes = Some(0);
    one.config.cleanup_delete = false;
    assert_eq!(retention(&mut one, 5), None, "compacted topics keep everything");
    one.config.cleanup_delete = true;
    assert_eq!(retention(&mut one, 5), Some(5));
}

#[test]
fn records_without_a_time_count_from_when_they_were_written() {
    let mut one = OneLog::with(TopicConfig { retention_ms: Some(1_000), ..TopicConfig::default() });
    one.append(1, at_times(&[-1])).expect("appended");
    one.harness.advance(1_000);
    assert_eq!(retention(&mut one, 1), None);
    one.harness.advance(1);
    assert_eq!(retention(&mut one, 1), Some(1));
}

#[test]
fn deleting_records_moves_the_start_within_a_batch_and_never_back() {
    let mut one = OneLog::new();
    one.fill(1, 5);
    one.fill(2, 5);
    assert!(one.trim(3));
    assert!(!one.trim(2) && !one.trim(3));
    assert_eq!((one.log.start_offset(), one.batches().len(), one.log.epoch_at(3)), (3, 2, Some(1)));
    assert!(one.log.persisted_end() >= 3);
    assert!(one.trim(99), "no further than the end");
    assert_eq!((one.log.start_offset(), one.log.end_offset(), one.log.last_epoch()), (10, 10, Some(2)));
    assert_eq!(one.recovered().epochs, one.log.epochs);
}

#[test]
fn settled_transactions_are_forgotten() {
    let mut one = OneLog::new();
    one.append(1, transactional(5, 0, 0, 1)).expect("appended");
    one.append_internal(1, vec![crate::engine::log::testing::marker(5, 0, true)]).expect("appended");
    retention(&mut one, 1);
    assert!(!one.log.producers.transactions.is_empty(), "the marker is not replicated");
    retention(&mut one, 2);
    assert!(one.log.producers.transactions.is_empty());
}

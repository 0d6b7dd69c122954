//! What readers get: whole batches within limits, and records by their time.

use crate::engine::config::TopicConfig;
use crate::engine::log::testing::{NOW_MS, OneLog, at_times};
use crate::protocol::records::{BatchBuilder, Compression};

fn bases(one: &OneLog, from: i64, max_bytes: usize, limit: i64) -> Vec<i64> {
    let batches = one.log.read(&one.harness.store, from, max_bytes, limit).expect("readable");
    batches.iter().map(|batch| batch.header.base_offset).collect()
}

fn at_time(one: &OneLog, timestamp: i64, limit: i64) -> Option<(i64, i64)> {
    let found = one.log.offset_for_time(&one.harness.store, timestamp, limit).expect("readable");
    found.map(|found| (found.offset, found.timestamp))
}

fn latest(one: &OneLog, limit: i64) -> Option<(i64, i64)> {
    let found = one.log.max_timestamp(&one.harness.store, limit).expect("readable");
    found.map(|found| (found.offset, found.timestamp))
}

#[test]
fn batches_are_whole_and_below_the_limit() {
    let mut one = OneLog::new();
    for records in [3, 2, 4] {
        one.fill(1, records);
    }
    assert_eq!(bases(&one, 0, usize::MAX, 9), [0, 3, 5]);
    assert_eq!(bases(&one, 1, usize::MAX, 8), [0, 3], "the third ends beyond the limit");
    assert_eq!(bases(&one, 4, 1, 9), [3], "one at least");
    assert_eq!(bases(&one, 5, usize::MAX, 5), [0_i64; 0]);
    assert_eq!(bases(&one, 9, usize::MAX, 99), [0_i64; 0]);
    let header = one.log.batch_at(&one.harness.store, 6).expect("readable").expect("a batch");
    assert_eq!(header.base_offset, 5);
}

#[test]
fn a_time_is_found_to_the_record_whatever_the_order() {
    let mut one = OneLog::with(TopicConfig::default());
    let mut packed = BatchBuilder::new().compression(Compression::Lz4);
    for timestamp in [40, 30, 60] {
        packed.push(timestamp, None, Some(b"v"), &[]);
    }
    for batch in [at_times(&[10, 20]), packed.build().expect("a batch"), at_times(&[50, 70]), at_times(&[-1])] {
        one.append(2, batch).expect("appended");
    }
    assert_eq!(at_time(&one, 5, 99), Some((0, 10)));
    assert_eq!(at_time(&one, 11, 99), Some((1, 20)));
    assert_eq!(at_time(&one, 45, 99), Some((4, 60)));
    assert_eq!(at_time(&one, 61, 99), Some((6, 70)));
    assert_eq!(at_time(&one, 61, 6), None, "beyond the limit");
    assert_eq!(at_time(&one, 71, 99), None);
    assert_eq!((latest(&one, 99), latest(&one, 5), latest(&one, 0)), (Some((6, 70)), Some((4, 60)), None));
    one.trim(5);
    assert_eq!(at_time(&one, 5, 99), Some((5, 50)), "records below the start are gone");
    one.trim(7);
    assert_eq!((at_time(&one, 5, 99), latest(&one, 99)), (None, None));
}

#[test]
fn the_largest_time_left_is_found_after_the_largest_has_gone() {
    let mut one = OneLog::new();
    for timestamps in [[90, 90], [10, 30], [30, 20]] {
        one.append(2, at_times(&timestamps)).expect("appended");
    }
    one.trim(2);
    assert_eq!(latest(&one, 99), Some((3, 30)));
}

#[test]
fn a_body_that_cannot_be_read_counts_as_its_first_record() {
    let mut one = OneLog::new();
    let good = at_times(&[10, 20]);
    one.append(2, crate::protocol::batch::Batch::seal(good.header, bytes::Bytes::from_static(b"?"))).expect("appended");
    assert_eq!(at_time(&one, 15, 99), Some((0, 20)));
}

#[test]
fn a_long_log_is_not_read_from_its_beginning() {
    let mut one = OneLog::new();
    let value = vec![7; 20_000];
    for i in 0..100 {
        one.append(1, BatchBuilder::new().value(NOW_MS + i, &value).build().expect("a batch")).expect("appended");
    }
    for target in [0, 37, 99] {
        assert_eq!(at_time(&one, NOW_MS + target, 999), Some((target, NOW_MS + target)));
    }
    assert!(one.log.time_index.look_from(NOW_MS + 99).is_some_and(|from| from > 90));
    assert_eq!(latest(&one, 50), Some((49, NOW_MS + 49)));
}

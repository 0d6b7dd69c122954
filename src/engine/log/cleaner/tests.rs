//! The cleaner's rules on one log, and against a model: whatever is written and whenever it is cut short, what a reader
//! finds is what the last records of the keys say.

use super::*;
use crate::engine::log::ProducerSummary;
use crate::engine::log::testing::{LOG, NOW_MS, OneLog, marker};
use crate::protocol::error::ErrorCode;
use crate::protocol::records::{BatchBuilder, Compression, Record};
use proptest::prelude::*;

/// A topic whose every batch is a segment of its own.
fn compacted() -> TopicConfig {
    TopicConfig {
        segment_bytes: 14,
        cleanup_compact: true,
        cleanup_delete: false,
        min_cleanable_dirty_millionths: 0,
        delete_retention_ms: 1_000,
        ..TopicConfig::default()
    }
}

fn keyed(records: &[(&str, Option<&str>)]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for (key, value) in records {
        builder.push(NOW_MS, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    }
    builder
}

fn put(one: &mut OneLog, records: &[(&str, Option<&str>)]) {
    one.append(1, keyed(records).build().expect("a batch")).expect("appended");
}

/// Runs a pass to its end, if there is anything to do; every offset is committed.
fn clean(one: &mut OneLog) -> Option<Cleaned> {
    clean_up_to(one, one.log.end_offset())
}

fn clean_up_to(one: &mut OneLog, high_watermark: i64) -> Option<Cleaned> {
    let (log, config) = (&mut one.log, &one.config);
    log.dirt(one.harness.wall, high_watermark, config)?;
    let mut cleaning = one.harness.step(|cx| log.begin_cleaning(cx, high_watermark, config));
    loop {
        match one.harness.step(|cx| log.clean(cx, &mut cleaning, config)).expect("readable") {
            Progress::Goes => {}
            Progress::Done(done) => return Some(done),
            Progress::GivenUp => return None,
        }
    }
}

fn batches(one: &OneLog) -> Vec<Batch> {
    use crate::engine::io::LogRead;
    one.harness.store.read(LOG, one.log.start_offset(), usize::MAX).expect("readable")
}

fn left(one: &OneLog) -> Vec<Record> {
    batches(one).iter().flat_map(|batch| records::decode(batch).expect("records")).collect()
}

fn told(one: &OneLog) -> Vec<(i64, String)> {
    let text = |bytes: &Option<Bytes>| match bytes {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => "-".to_owned(),
    };
    left(one).iter().map(|record| (record.offset, format!("{}={}", text(&record.key), text(&record.value)))).collect()
}

fn is(one: &OneLog, expected: &[(i64, &str)]) {
    let expected: Vec<(i64, String)> = expected.iter().map(|(offset, text)| (*offset, (*text).to_owned())).collect();
    assert_eq!(told(one), expected);
}

#[test]
fn the_last_record_of_a_key_stays_where_it_was() {
    let mut one = OneLog::with(compacted());
    put(&mut one, &[("a", Some("1")), ("b", Some("1"))]);
    put(&mut one, &[("a", Some("2"))]);
    put(&mut one, &[("c", Some("1")), ("a", Some("3"))]);
    put(&mut one, &[("b", Some("2"))]);
    let cleaned = clean(&mut one).expect("dirty");
    assert_eq!((cleaned.records_before, cleaned.records_after), (5, 3));
    is(&one, &[(1, "b=1"), (3, "c=1"), (4, "a=3"), (5, "b=2")]);
    assert_eq!((one.log.clean_end(), one.log.end_offset()), (5, 6), "the active segment is not looked at");
    assert_eq!(clean(&mut one), None);
    // A batch that lost all of its records is gone; the reader gets what comes after it.
    use crate::engine::io::LogRead;
    let read = one.harness.store.read(LOG, 2, 1).expect("readable");
    assert_eq!(read[0].header.base_offset, 3);
    put(&mut one, &[("d", Some("1"))]);
    clean(&mut one).expect("dirty");
    is(&one, &[(3, "c=1"), (4, "a=3"), (5, "b=2"), (6, "d=1")]);
    one.restart();
    assert_eq!(one.log.clean_end(), 6);
}

#[test]
fn a_tombstone_stays_until_its_horizon_and_takes_its_key_along() {
    let mut one = OneLog::with(compacted());
    put(&mut one, &[("a", Some("1"))]);
    put(&mut one, &[("a", None), ("b", Some("1"))]);
    put(&mut one, &[("c", Some("1"))]);
    clean(&mut one).expect("dirty");
    is(&one, &[(1, "a=-"), (2, "b=1"), (3, "c=1")]);
    assert_eq!(batches(&one)[0].header.delete_horizon_ms(), Some(one.harness.wall.0 + 1_000));
    assert_eq!(left(&one)[0].timestamp, NOW_MS);
    one.harness.advance(999);
    put(&mut one, &[("c", Some("2"))]);
    clean(&mut one).expect("dirty");
    is(&one, &[(1, "a=-"), (2, "b=1"), (3, "c=1"), (4, "c=2")]);
    one.harness.advance(1);
    put(&mut one, &[("c", Some("3"))]);
    clean(&mut one).expect("dirty");
    is(&one, &[(2, "b=1"), (4, "c=2"), (5, "c=3")]);
}

#[test]
fn an_open_transaction_is_not_touched_and_an_aborted_one_goes() {
    let mut one = OneLog::with(compacted());
    let of = |key: &str, sequence| keyed(&[(key, Some("t"))]).producer(7, 0, sequence).transactional().build();
    put(&mut one, &[("a", Some("1"))]);
    put(&mut one, &[("a", Some("2"))]);
    one.append(1, of("a", 0).expect("a batch")).expect("appended");
    put(&mut one, &[("a", Some("3"))]);
    put(&mut one, &[("x", Some("1"))]);
    clean(&mut one).expect("dirty");
    is(&one, &[(1, "a=2"), (2, "a=t"), (3, "a=3"), (4, "x=1")]);
    let config = one.config.clone();
    let log = &mut one.log;
    one.harness.step(|cx| log.append_as_leader(cx, vec![marker(7, 0, false)], 1, &config, false)).expect("appended");
    put(&mut one, &[("x", Some("2"))]);
    clean(&mut one).expect("dirty");
    // The producer's batch is there still, for its sequence number; and so its marker.
    let headers =
        batches(&one).iter().map(|batch| (batch.header.base_offset, batch.header.record_count)).collect::<Vec<_>>();
    assert_eq!(headers, [(2, 0), (3, 1), (4, 1), (5, 1), (6, 1)]);
    assert_eq!(one.log.last_stable_offset(7), 7);
    one.restart();
    assert_eq!(one.log.last_stable_offset(7), 7, "what is empty begins no transaction");
    // It goes once the producer has written something else, and the marker a while after it.
    one.append(1, of("b", 1).expect("a batch")).expect("appended");
    let log = &mut one.log;
    one.harness.step(|cx| log.append_as_leader(cx, vec![marker(7, 0, true)], 1, &config, false)).expect("appended");
    for round in 0..3 {
        put(&mut one, &[("y", Some("1"))]);
        one.harness.advance(1_001);
        clean(&mut one).unwrap_or_else(|| panic!("dirty in round {round}"));
    }
    assert!(batches(&one).iter().all(|batch| batch.header.base_offset != 2 && batch.header.base_offset != 5));
    assert!(one.log.aborted_transactions(0, 20).is_empty());
}

#[test]
fn producers_are_known_after_a_restart_that_finds_nothing_but_the_log() {
    let mut one = OneLog::with(compacted());
    for sequence in 0..4 {
        let batch = keyed(&[("a", Some("1"))]).producer(7, 2, sequence).build().expect("a batch");
        one.append(1, batch).expect("appended");
    }
    put(&mut one, &[("a", Some("2"))]);
    put(&mut one, &[("a", Some("3"))]);
    clean(&mut one).expect("dirty");
    is(&one, &[(4, "a=2"), (5, "a=3")]);
    let before: Vec<ProducerSummary> = one.log.producers().collect();
    let checkpoints = one.log.checkpoints.clone();
    let log = &one.log;
    one.harness.step(|cx| checkpoints.iter().for_each(|&offset| log.delete_checkpoint(cx, offset)));
    one.restart();
    assert_eq!(one.log.producers().collect::<Vec<_>>(), before);
    let next = keyed(&[("a", Some("4"))]).producer(7, 2, 4).build().expect("a batch");
    assert_eq!(one.append(1, next).expect("the next sequence number").first_offset, 6);
}

#[test]
fn a_producer_is_known_when_its_last_batches_were_not_committed_and_are_cut_off() {
    for uncommitted in [1, 6] {
        let mut one = OneLog::with(compacted());
        let of = |sequence| keyed(&[("a", Some("1"))]).producer(7, 2, sequence).build().expect("a batch");
        for sequence in 0..4 {
            one.append(1, of(sequence)).expect("appended");
        }
        put(&mut one, &[("a", Some("2"))]);
        let committed = one.log.end_offset();
        for sequence in 4..4 + uncommitted {
            one.append(1, of(sequence)).expect("appended");
        }
        clean_up_to(&mut one, committed).expect("dirty");
        one.truncate(committed);
        let checkpoints = one.log.checkpoints.clone();
        let log = &one.log;
        one.harness.step(|cx| checkpoints.iter().for_each(|&offset| log.delete_checkpoint(cx, offset)));
        one.restart();
        let repeated = one.append(1, of(3)).expect("it is there already");
        assert_eq!((repeated.first_offset, repeated.duplicate), (3, true), "{uncommitted} were cut off");
        assert_eq!(one.append(1, of(4)).expect("the next sequence number").first_offset, committed);
    }
}

#[test]
fn young_records_wait_and_old_ones_are_due() {
    let lag = TopicConfig { min_compaction_lag_ms: 500, min_cleanable_dirty_millionths: 999_999, ..compacted() };
    let mut one = OneLog::with(TopicConfig { max_compaction_lag_ms: 2_000, ..lag });
    for value in ["1", "2", "3"] {
        put(&mut one, &[("a", Some(value))]);
    }
    let dirt = |one: &OneLog| one.log.dirt(one.harness.wall, one.log.end_offset(), &one.config);
    assert_eq!(dirt(&one), None, "too young");
    one.harness.advance(501);
    assert_eq!(dirt(&one), Some(Dirt { is_due: false, ratio_millionths: 1_000_000 }));
    clean(&mut one).expect("dirty");
    put(&mut one, &[("a", Some("4"))]);
    one.harness.advance(501);
    assert_eq!(dirt(&one), None, "too little is dirty");
    one.harness.advance(2_000);
    assert!(dirt(&one).is_some_and(|dirt| dirt.is_due));
    one.config.cleanup_compact = false;
    assert_eq!(dirt(&one), None);
}

#[test]
fn a_pass_over_a_log_that_is_cut_meanwhile_is_given_up() {
    let mut one = OneLog::with(compacted());
    for value in ["1", "2", "3"] {
        put(&mut one, &[("a", Some(value))]);
    }
    let (log, config) = (&mut one.log, &one.config);
    let mut cleaning = one.harness.step(|cx| log.begin_cleaning(cx, 3, config));
    one.harness.step(|cx| log.truncate(cx, 1, crate::engine::observe::TruncationReason::DivergingEpoch)).expect("cut");
    let progress = one.harness.step(|cx| log.clean(cx, &mut cleaning, config)).expect("readable");
    assert_eq!(progress, Progress::GivenUp);
}

#[test]
fn a_record_without_a_key_is_refused() {
    let mut one = OneLog::with(compacted());
    let mut builder = keyed(&[("a", Some("1"))]);
    builder.push(NOW_MS, None, Some(b"v"), &[]);
    let error = one.append(1, builder.build().expect("a batch")).expect_err("no key");
    assert_eq!((error.code, error.record_errors[0].batch_index), (ErrorCode::InvalidRecord, 1));
    one.config.cleanup_compact = false;
    let batch = BatchBuilder::new().value(NOW_MS, b"v").build().expect("a batch");
    one.append(1, batch).expect("any other topic takes it");
}

#[test]
fn a_replica_that_copies_a_compacted_log_dates_an_epoch_from_where_the_one_before_ends() {
    let mut leader = OneLog::with(compacted());
    put(&mut leader, &[("a", Some("1"))]);
    // The first batch of epoch 2 is compacted away.
    for value in ["2", "3"] {
        leader.append(2, keyed(&[("b", Some(value))]).build().expect("a batch")).expect("appended");
    }
    leader.append(2, keyed(&[("c", Some("1"))]).build().expect("a batch")).expect("appended");
    clean(&mut leader).expect("dirty");
    let mut follower = OneLog::with(compacted());
    let (log, copied) = (&mut follower.log, batches(&leader));
    assert_eq!(copied.iter().map(|batch| batch.header.base_offset).collect::<Vec<_>>(), [0, 2, 3]);
    follower.harness.step(|cx| log.append_as_follower(cx, &copied)).expect("appended");
    assert_eq!(follower.log.end_offset(), 4);
    // What somebody wrote at offset 1 in epoch 1, and was never committed, has to go.
    assert_eq!(follower.log.epoch_end(1).end_offset, 1);
}

#[derive(Debug, Clone)]
enum Deed {
    Put(Vec<(u8, bool)>, usize),
    /// A slice of a pass, or its beginning.
    Slice,
    Wait(u64),
    Trim(i64),
    Restart,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        10 => (prop::collection::vec((0..6_u8, prop::bool::weighted(0.8)), 1..5), 0..Compression::ALL.len())
            .prop_map(|(records, codec)| Deed::Put(records, codec)),
        12 => Just(Deed::Slice),
        2 => (1..1_500_u64).prop_map(Deed::Wait),
        1 => (0..20_i64).prop_map(Deed::Trim),
        1 => Just(Deed::Restart),
    ];
    prop::collection::vec(deed, 1..120)
}

/// The last value of each key that a reader of the whole log ends with.
fn state(records: &[Record]) -> BTreeMap<Bytes, (i64, Option<Bytes>)> {
    let entry = |record: &Record| (record.key.clone().expect("a key"), (record.offset, record.value.clone()));
    records.iter().map(entry).collect()
}

proptest! {
    #[test]
    fn what_a_reader_ends_with_never_changes(deeds in deeds()) {
        let mut one = OneLog::with(compacted());
        let (mut written, mut cleaning): (Vec<Record>, Option<Cleaning>) = (Vec::new(), None);
        for deed in deeds {
            match deed {
                Deed::Put(records, codec) => {
                    let mut builder = BatchBuilder::new().compression(Compression::ALL[codec]);
                    for (key, has_value) in records {
                        let value = written.len().to_be_bytes();
                        builder.push(one.harness.wall.0, Some(&[key]), has_value.then_some(&value[..]), &[]);
                    }
                    let first = one.log.end_offset();
                    let batch = builder.build().expect("a batch");
                    one.append(1, batch.clone()).expect("appended");
                    written.extend(records::decode(&batch.stamped(first, 1)).expect("records"));
                }
                Deed::Slice => {
                    let (log, config) = (&mut one.log, &one.config);
                    let end = log.end_offset();
                    let mut pass = match cleaning.take() {
                        Some(pass) => pass,
                        None => one.harness.step(|cx| log.begin_cleaning(cx, end, config)),
                    };
                    let progress = one.harness.step(|cx| log.clean(cx, &mut pass, config)).expect("readable");
                    cleaning = (progress == Progress::Goes).then_some(pass);
                }
                Deed::Wait(milliseconds) => one.harness.advance(milliseconds),
                Deed::Trim(forward) => {
                    let to = one.log.start_offset() + forward;
                    let log = &mut one.log;
                    one.harness.step(|cx| log.trim(cx, to));
                }
                Deed::Restart => {
                    one.restart();
                    cleaning = None;
                }
            }
            let start = one.log.start_offset();
            let expected: Vec<Record> = written.iter().filter(|record| record.offset >= start).cloned().collect();
            let found: Vec<Record> = left(&one).into_iter().filter(|record| record.offset >= start).collect();
            for record in &found {
                prop_assert!(expected.contains(record), "{record:?} was never written");
            }
            let (expected, found) = (state(&expected), state(&found));
            for (key, (offset, value)) in &expected {
                match found.get(key) {
                    Some(last) => prop_assert_eq!(last, &(*offset, value.clone())),
                    None => prop_assert_eq!(value, &None, "only a deleted key may be gone"),
                }
            }
        }
    }
}

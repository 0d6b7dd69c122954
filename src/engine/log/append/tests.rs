//! Each rule of appending, by what a client or a follower would see.

use super::*;
use crate::engine::io::Effect;
use crate::engine::log::testing::{LOG, NOW_MS, OneLog, at_times, idempotent, marker, plain, transactional};
use crate::protocol::batch::BatchHeader;
use crate::protocol::records::BatchBuilder;

/// A batch with a header that no builder makes, sealed so that its CRC is right.
fn edited(batch: Batch, edit: impl FnOnce(&mut BatchHeader)) -> Batch {
    let mut header = batch.header;
    edit(&mut header);
    Batch::seal(header, batch.body().clone())
}

fn refused(one: &mut OneLog, batch: Batch) -> ErrorCode {
    let ops = one.harness.store.ops().len();
    let error = one.append(0, batch).expect_err("a refusal");
    assert_eq!(one.harness.store.ops().len(), ops, "nothing is written");
    error.code
}

#[test]
fn a_leader_assigns_offsets_stamps_its_epoch_and_copies_nothing() {
    let mut one = OneLog::new();
    one.fill(2, 3);
    let sent = plain(2);
    let appended = one.append(5, sent.clone()).expect("appended");
    let expected = Appended { first_offset: 3, last_offset: 4, log_append_time_ms: None, duplicate: false };
    assert_eq!(appended, expected);
    let stored = &one.batches()[1];
    assert_eq!((stored.header.base_offset, stored.header.leader_epoch, stored.crc_is_valid()), (3, 5, true));
    assert_eq!(stored.body().as_ptr(), sent.body().as_ptr());
    assert_eq!((one.log.last_epoch(), one.log.epoch_at(2), one.log.epoch_at(3)), (Some(5), Some(2), Some(5)));
    let told = one.harness.take_effects().into_iter().rev().find_map(|effect| match effect {
        Effect::Emit(event) => Some(event.kind),
        _ => None,
    });
    assert!(matches!(told, Some(EventKind::Appended { leader_epoch: 5, first: 3, last: 4, .. })), "{told:?}");
}

#[test]
fn what_no_client_may_send_is_refused_with_kafkas_code() {
    let mut one = OneLog::with(TopicConfig { max_message_bytes: 200, ..TopicConfig::default() });
    let cut = plain(1).to_bytes();
    let mut bytes = cut.to_vec();
    *bytes.last_mut().expect("bytes") ^= 1;
    let corrupt = Batch::parse(&bytes.into(), 0).expect("well formed");
    let cases = [
        (corrupt, ErrorCode::CorruptMessage),
        (plain(30), ErrorCode::MessageTooLarge),
        (edited(plain(2), |header| header.record_count = 1), ErrorCode::InvalidRecord),
        (edited(plain(1), |header| header.record_count = 0), ErrorCode::InvalidRecord),
        (edited(plain(1), |header| header.last_offset_delta = i32::MAX), ErrorCode::InvalidRecord),
        (edited(plain(1), |header| header.attributes |= 5), ErrorCode::UnsupportedCompressionType),
        (edited(plain(1), |header| header.attributes |= 0x10), ErrorCode::InvalidRecord),
        (plain(1).stamped(4, -1), ErrorCode::InvalidRecord),
        (marker(1, 0, true), ErrorCode::InvalidRecord),
        (idempotent(1, 0, -1, 1), ErrorCode::InvalidRecord),
        (idempotent(1, -1, 0, 1), ErrorCode::InvalidRecord),
    ];
    for (place, (batch, code)) in cases.into_iter().enumerate() {
        assert_eq!(refused(&mut one, batch), code, "case {place}");
    }
    for batches in [Vec::new(), vec![plain(1), plain(1)]] {
        let (log, config) = (&mut one.log, &one.config);
        let error = one.harness.step(|cx| log.append_as_leader(cx, batches, 0, config, true));
        assert_eq!(error.expect_err("a refusal").code, ErrorCode::InvalidRecord);
    }
    assert_eq!(one.log.end_offset(), 0);
}

#[test]
fn timestamps_too_far_from_the_brokers_time_are_refused() {
    let config = TopicConfig { timestamp_before_max_ms: 1_000, timestamp_after_max_ms: 500, ..TopicConfig::default() };
    let mut one = OneLog::with(config);
    for (timestamp, fine) in [(-1_001, false), (-1_000, true), (500, true), (501, false)] {
        let result = one.append(0, at_times(&[NOW_MS + timestamp]));
        match result {
            Ok(_) => assert!(fine, "{timestamp}"),
            Err(error) => {
                assert!(!fine, "{timestamp}");
                assert_eq!((error.code, error.record_errors.len()), (ErrorCode::InvalidTimestamp, 1));
            }
        }
    }
    one.append(0, at_times(&[-1])).expect("no timestamp is no fault");
    let later = one.append(0, at_times(&[NOW_MS, NOW_MS + 501])).expect_err("the largest counts");
    assert_eq!((later.code, later.record_errors.len()), (ErrorCode::InvalidTimestamp, 0));
    let claimed = edited(plain(1), |header| header.attributes |= 0x08);
    assert_eq!(refused(&mut one, claimed), ErrorCode::InvalidTimestamp);
    one.append_internal(0, vec![at_times(&[5])]).expect("coordinators write what they want");
}

#[test]
fn log_append_time_stamps_and_a_duplicate_tells_the_first_stamp() {
    let config = TopicConfig { message_timestamp_type: TimestampType::LogAppendTime, ..TopicConfig::default() };
    let mut one = OneLog::with(config);
    let batch = edited(idempotent(1, 0, 0, 2), |header| header.max_timestamp = 3);
    assert_eq!(one.append(0, batch.clone()).expect("appended").log_append_time_ms, Some(NOW_MS));
    let stored = &one.batches()[0];
    assert!(stored.crc_is_valid() && stored.header.is_log_append_time());
    assert_eq!(stored.header.max_timestamp, NOW_MS);
    one.harness.advance(50);
    let again = one.append(0, batch).expect("a duplicate");
    assert_eq!((again.duplicate, again.log_append_time_ms), (true, Some(NOW_MS)));
}

#[test]
fn a_duplicate_writes_nothing_and_a_gap_is_refused() {
    let mut one = OneLog::new();
    for sequence in 0..3 {
        one.append(0, idempotent(4, 0, sequence * 2, 2)).expect("in order");
    }
    let ops = one.harness.store.ops().len();
    let again = one.append(1, idempotent(4, 0, 2, 2)).expect("a duplicate");
    assert_eq!((again.first_offset, again.last_offset, again.duplicate), (2, 3, true));
    assert_eq!(one.harness.store.ops().len(), ops);
    assert_eq!(refused(&mut one, idempotent(4, 0, 7, 1)), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(refused(&mut one, idempotent(4, 0, 5, 1)), ErrorCode::OutOfOrderSequenceNumber);
    one.append(0, idempotent(4, 1, 0, 1)).expect("a new epoch");
    assert_eq!(refused(&mut one, idempotent(4, 0, 6, 1)), ErrorCode::InvalidProducerEpoch);
}

#[test]
fn a_follower_takes_what_the_leader_has_and_answers_duplicates_alike() {
    let mut leader = OneLog::new();
    leader.fill(1, 2);
    leader.append(1, idempotent(4, 0, 0, 2)).expect("appended");
    leader.append(3, transactional(5, 0, 0, 1)).expect("appended");
    leader.append_internal(3, vec![marker(5, 0, false)]).expect("appended");
    let mut follower = OneLog::new();
    let (log, batches) = (&mut follower.log, leader.batches());
    follower.harness.step(|cx| log.append_as_follower(cx, batches)).expect("appended");
    assert_eq!(follower.batches(), leader.batches());
    assert_eq!(follower.log.epochs, leader.log.epochs);
    assert_eq!(follower.log.producers, leader.log.producers);
    assert_eq!(follower.log.aborted_transactions(0, 100).len(), 1);
    let again = follower.append(4, idempotent(4, 0, 0, 2)).expect("a duplicate");
    assert_eq!((again.first_offset, again.duplicate), (2, true));
}

#[test]
fn a_follower_refuses_offsets_and_epochs_that_go_back() {
    let mut one = OneLog::new();
    one.fill(3, 4);
    let mut follow = |batches: &[Batch]| {
        let log = &mut one.log;
        one.harness.step(|cx| log.append_as_follower(cx, batches)).map_err(|error| error.code)
    };
    let at = |offset, epoch| plain(1).stamped(offset, epoch);
    assert_eq!(follow(&[at(3, 3)]), Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(follow(&[at(4, 3), at(4, 3)]), Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(follow(&[at(4, 2)]), Err(ErrorCode::CorruptMessage));
    assert_eq!(follow(&[at(4, -1)]), Err(ErrorCode::CorruptMessage));
    assert_eq!(follow(&[at(4, 4), at(5, 3)]), Err(ErrorCode::CorruptMessage));
    assert_eq!(follow(&[at(6, 3), at(9, 5)]), Ok(()), "gaps are the leader's own");
    assert_eq!((one.log.end_offset(), one.log.last_epoch()), (10, Some(5)));
}

#[test]
fn a_replica_that_begins_within_a_batch_takes_it_whole() {
    let mut leader = OneLog::new();
    leader.fill(1, 10);
    leader.fill(1, 2);
    leader.trim(4);
    let mut follower = OneLog::new();
    let (log, batches) = (&mut follower.log, leader.batches());
    follower
        .harness
        .step(|cx| {
            log.reset(cx, 4, crate::engine::observe::TruncationReason::OutOfRange);
            log.append_as_follower(cx, batches)
        })
        .expect("appended");
    assert_eq!((follower.log.start_offset(), follower.log.end_offset()), (4, 12));
    assert_eq!(follower.batches(), leader.batches());
    assert_eq!(follower.log.epoch_at(4), Some(1));
    let recovered = follower.recovered();
    assert_eq!((recovered.start_offset(), recovered.end_offset()), (4, 12));
}

#[test]
fn coordinators_write_markers_and_an_older_coordinator_is_fenced() {
    let mut one = OneLog::new();
    one.append(0, transactional(5, 0, 0, 2)).expect("appended");
    assert_eq!(refused(&mut one, idempotent(5, 0, 2, 1)), ErrorCode::InvalidTxnState);
    let mut newer = BatchBuilder::new().producer(5, 1, -1).transactional().control();
    newer.push(NOW_MS, Some(&[0, 0, 0, 1]), Some(&[0, 0, 0, 0, 0, 8]), &[]);
    one.append_internal(0, vec![newer.build().expect("a batch")]).expect("a marker");
    let fenced = one.append_internal(0, vec![marker(5, 1, true)]).expect_err("coordinator epoch 0 after 8");
    assert_eq!(fenced.code, ErrorCode::TransactionCoordinatorFenced);
    let stale = one.append_internal(0, vec![marker(5, 0, true)]).expect_err("an old producer epoch");
    assert!(stale.code == ErrorCode::TransactionCoordinatorFenced || stale.code == ErrorCode::InvalidProducerEpoch);
    let summary = one.log.producers().next().expect("a producer");
    assert_eq!((summary.producer_epoch, summary.coordinator_epoch, summary.transaction_start_offset), (1, 8, -1));
    assert_eq!(one.log.aborted_transactions(0, 100), []);
}

#[test]
fn the_metadata_log_is_synced_and_has_no_limit_of_size() {
    let mut one = OneLog::with(TopicConfig { max_message_bytes: 10, ..TopicConfig::default() });
    one.log = one
        .harness
        .step(|cx| PartitionLog::create(cx, crate::protocol::ids::LogId::METADATA, PartitionId::METADATA, "m"));
    one.harness.take_effects();
    one.append_internal(1, vec![plain(3)]).expect("appended");
    assert!(matches!(one.harness.take_effects()[0], Effect::Persist { sync: true, .. }));
    let mut other = OneLog::new();
    other.harness.take_effects();
    other.fill(1, 1);
    assert!(matches!(other.harness.take_effects()[0], Effect::Persist { sync: false, .. }));
    assert_eq!(other.log.id(), LOG);
}

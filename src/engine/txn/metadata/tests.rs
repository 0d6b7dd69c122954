//! The tables of who may do what in which state.

use super::*;

const NOW: i64 = 1_000;

fn none() -> Option<i64> {
    None
}

fn part(number: i32) -> Partition {
    (Arc::from("orders"), number)
}

fn ready(epoch: i16) -> TransactionMetadata {
    TransactionMetadata { producer_epoch: epoch, ..TransactionMetadata::new(7, 60_000, 0) }
}

fn open(epoch: i16) -> TransactionMetadata {
    ready(epoch).add((7, epoch), &BTreeSet::from([part(0)]), 0, NOW).expect("it may").expect("a beginning")
}

fn end(epoch: i16, commits: bool, client_version: i16) -> End {
    End { producer_id: 7, producer_epoch: epoch, commits, client_version }
}

fn init(expected: Option<(i64, i16)>) -> Init {
    Init { timeout_ms: 60_000, expected }
}

#[test]
fn each_life_of_a_producer_has_an_epoch_of_its_own() {
    let Ok(Initialized::Ready(first)) = TransactionMetadata::new(7, 1, 0).init(init(None), NOW, &mut none) else {
        panic!("a new producer begins at once")
    };
    assert_eq!((first.producer_epoch, first.status), (0, TransactionStatus::Empty));
    let Ok(Initialized::Ready(second)) = first.init(init(None), NOW, &mut none) else { panic!("ready") };
    assert_eq!(second.producer_epoch, 1);
    let refused = second.add((7, 0), &BTreeSet::from([part(0)]), 0, NOW);
    assert_eq!(refused, Err(ErrorCode::ProducerFenced), "the life before");
    assert_eq!(second.end(end(0, true, 0), NOW, &mut none), Err(ErrorCode::ProducerFenced));
}

#[test]
fn a_producer_that_tells_its_epoch_may_ask_again_and_a_zombie_may_not() {
    let Ok(Initialized::Ready(bumped)) = ready(4).init(init(Some((7, 4))), NOW, &mut none) else { panic!("ready") };
    assert_eq!((bumped.producer_epoch, bumped.last_producer_epoch), (5, 4));
    let Ok(Initialized::Ready(again)) = bumped.init(init(Some((7, 4))), NOW, &mut none) else { panic!("ready") };
    assert_eq!(again.producer_epoch, 5, "the answer was lost; nothing is bumped twice");
    assert_eq!(bumped.init(init(Some((7, 3))), NOW, &mut none), Err(ErrorCode::ProducerFenced));
    assert_eq!(bumped.init(init(Some((8, 5))), NOW, &mut none), Err(ErrorCode::ProducerFenced));
}

#[test]
fn an_open_transaction_is_aborted_before_its_id_begins_anew() {
    let Ok(Initialized::FencedFirst(fenced)) = open(2).init(init(None), NOW, &mut none) else { panic!("fenced") };
    assert_eq!((fenced.status, fenced.producer_epoch), (TransactionStatus::PrepareAbort, 3));
    assert_eq!(fenced.partitions, BTreeSet::from([part(0)]), "where markers go");
    assert_eq!(fenced.init(init(None), NOW, &mut none), Err(ErrorCode::ConcurrentTransactions));
    let Ok(Initialized::Ready(next)) = fenced.complete(NOW).init(init(None), NOW, &mut none) else { panic!("ready") };
    assert_eq!(next.producer_epoch, 4);
}

#[test]
fn used_up_epochs_lead_to_another_producer_id() {
    let last = i16::MAX - 1;
    assert_eq!(ready(last).init(init(None), NOW, &mut none), Err(ErrorCode::CoordinatorLoadInProgress));
    let Ok(Initialized::Ready(next)) = ready(last).init(init(None), NOW, &mut || Some(9)) else { panic!("ready") };
    assert_eq!((next.producer_id, next.previous_producer_id, next.producer_epoch), (9, 7, 0));
    let Ok(Ended::Begin(prepared)) = open(last).end(end(last, true, 2), NOW, &mut || Some(9)) else { panic!("ends") };
    assert_eq!((prepared.producer_id, prepared.producer_epoch), (7, i16::MAX), "markers are the old producer's");
    assert_eq!(prepared.told(), (9, 0));
    let complete = prepared.complete(NOW);
    assert_eq!((complete.producer_id, complete.producer_epoch, complete.previous_producer_id), (9, 0, 7));
    assert_eq!(complete.end(end(last, true, 2), NOW, &mut none), Ok(Ended::Already), "the answer was lost");
}

#[test]
fn version_one_ends_once_and_only_as_it_was_decided() {
    let Ok(Ended::Begin(prepared)) = open(0).end(end(0, true, 0), NOW, &mut none) else { panic!("ends") };
    assert_eq!((prepared.status, prepared.producer_epoch), (TransactionStatus::PrepareCommit, 0));
    assert_eq!(prepared.end(end(0, true, 0), NOW, &mut none), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(prepared.end(end(0, false, 0), NOW, &mut none), Err(ErrorCode::InvalidTxnState));
    let more = prepared.add((7, 0), &BTreeSet::from([part(1)]), 0, NOW);
    assert_eq!(more, Err(ErrorCode::ConcurrentTransactions));
    let complete = prepared.complete(NOW);
    assert_eq!(complete.end(end(0, true, 0), NOW, &mut none), Ok(Ended::Already));
    assert_eq!(complete.end(end(0, false, 0), NOW, &mut none), Err(ErrorCode::InvalidTxnState));
    assert_eq!(ready(0).end(end(0, false, 0), NOW, &mut none), Err(ErrorCode::InvalidTxnState), "nothing was begun");
}

/// The table of KIP-890 for ends that are repeated, and for ends of what was never begun.
#[test]
fn version_two_bumps_at_each_end_and_knows_a_repetition() {
    let Ok(Ended::Begin(prepared)) = open(0).end(end(0, true, 2), NOW, &mut none) else { panic!("ends") };
    assert_eq!((prepared.status, prepared.told()), (TransactionStatus::PrepareCommit, (7, 1)));
    assert_eq!(prepared.end(end(0, true, 2), NOW, &mut none), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(prepared.end(end(1, true, 2), NOW, &mut none), Err(ErrorCode::ProducerFenced));
    let committed = prepared.complete(NOW);
    let aborted = TransactionMetadata { status: TransactionStatus::CompleteAbort, ..committed.clone() };
    let empty = TransactionMetadata { status: TransactionStatus::Empty, ..committed.clone() };
    let bumps = |state: &TransactionMetadata, epoch: i16| {
        let Ok(Ended::Begin(next)) = state.end(end(epoch, false, 2), NOW, &mut none) else { return None };
        Some((next.status, next.producer_epoch))
    };
    assert_eq!(committed.end(end(0, true, 2), NOW, &mut none), Ok(Ended::Already));
    assert_eq!(committed.end(end(0, false, 2), NOW, &mut none), Err(ErrorCode::InvalidTxnState));
    assert_eq!(committed.end(end(1, true, 2), NOW, &mut none), Err(ErrorCode::InvalidTxnState));
    assert_eq!(bumps(&committed, 1), Some((TransactionStatus::PrepareAbort, 2)));
    assert_eq!(aborted.end(end(0, false, 2), NOW, &mut none), Ok(Ended::Already));
    assert_eq!(aborted.end(end(0, true, 2), NOW, &mut none), Err(ErrorCode::InvalidTxnState));
    assert_eq!(aborted.end(end(1, true, 2), NOW, &mut none), Err(ErrorCode::InvalidTxnState));
    assert_eq!(bumps(&aborted, 1), Some((TransactionStatus::PrepareAbort, 2)));
    assert_eq!(empty.end(end(0, false, 2), NOW, &mut none), Err(ErrorCode::ProducerFenced));
    assert_eq!(empty.end(end(1, true, 2), NOW, &mut none), Err(ErrorCode::InvalidTxnState));
    assert_eq!(bumps(&empty, 1), Some((TransactionStatus::PrepareAbort, 2)));
}

#[test]
fn partitions_join_once_and_are_vouched_for_one_by_one() {
    let state = open(0);
    assert_eq!((state.started_at_ms, state.status), (NOW, TransactionStatus::Ongoing));
    assert_eq!(state.add((7, 0), &BTreeSet::from([part(0)]), 0, NOW + 5), Ok(None));
    let more = state.add((7, 0), &BTreeSet::from([part(1)]), 0, NOW + 5).expect("it may").expect("one more");
    assert_eq!((more.started_at_ms, more.partitions.len()), (NOW, 2));
    assert_eq!(state.verify((7, 0), &part(0)), Ok(()));
    assert_eq!(state.verify((7, 0), &part(1)), Err(ErrorCode::TransactionAbortable));
    assert_eq!(state.verify((8, 0), &part(0)), Err(ErrorCode::InvalidProducerIdMapping));
}

#[test]
fn what_is_open_too_long_is_overdue_and_what_rests_for_long_expires() {
    assert!(!open(0).is_too_long(60_000) && open(0).is_too_long(60_001));
    assert!(!ready(0).is_too_long(i64::MAX));
    assert!(ready(0).is_expired(500, 500) && !ready(0).is_expired(499, 500) && !open(0).is_expired(i64::MAX, 500));
}

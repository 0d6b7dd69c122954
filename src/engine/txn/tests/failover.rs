//! What survives when a coordinator or a leader dies.

use super::*;
use crate::protocol::peer::{PeerRequest, PeerResponse, TxnMarker, WriteTxnMarkersRequest};

/// The state of all transactional ids on their coordinators.
fn states(world: &World) -> Vec<crate::engine::txn::snapshot::TransactionSnapshot> {
    world.alive().into_iter().flat_map(|id| world.broker(id).transactions().snapshot()).collect()
}

#[test]
fn an_open_transaction_goes_on_under_the_next_coordinator() {
    let mut world = World::new(3);
    let producer = world.init();
    assert_eq!(world.produce(12, producer, 0, 0, "a"), ErrorCode::None);
    let before = states(&world);
    let dead = world.coordinator();
    world.kill(dead);
    world.pass(1_500);
    let next = world.coordinator();
    assert!(next != dead);
    assert_eq!(states(&world), before, "the next coordinator knows what the last one knew");
    assert_eq!(world.produce(12, producer, 0, 1, "b"), ErrorCode::None);
    assert_eq!(world.end(5, producer, true).0, ErrorCode::None);
    world.settle();
    assert_eq!(world.committed(0).1, ["a", "b"]);
}

#[test]
fn the_next_coordinator_finishes_what_was_decided() {
    for commits in [true, false] {
        let mut world = World::new(3);
        let producer = world.init();
        let coordinator = world.coordinator();
        for partition in [0, 1] {
            assert_eq!(world.produce(12, producer, partition, 0, "a"), ErrorCode::None);
        }
        // The decision reaches the other replicas; then the coordinator dies before any leader has its markers.
        let end = m::EndTxnRequest::default()
            .with_transactional_id(transactional_id())
            .with_producer_id(m::ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(commits);
        world.lose_markers = true;
        let Response::EndTxn(answer) = world.ask(coordinator, 5, Request::EndTxn(end)) else { panic!("an answer") };
        assert_eq!(answer.error_code, 0);
        assert!(world.status().is_prepared());
        world.kill(coordinator);
        world.lose_markers = false;
        world.pass(1_500);
        world.settle();
        let expected: &[&str] = if commits { &["a"] } else { &[] };
        for partition in [0, 1] {
            assert_eq!(world.committed(partition), (2, expected.iter().map(ToString::to_string).collect()));
        }
    }
}

#[test]
fn markers_reach_a_partition_whose_leader_was_dead_when_the_transaction_ended() {
    let mut world = World::new(3);
    let producer = world.init();
    let coordinator = world.coordinator();
    let partition = [0, 1].into_iter().find(|number| world.leader(TOPIC, *number) != coordinator).expect("one of two");
    assert_eq!(world.produce(12, producer, partition, 0, "a"), ErrorCode::None);
    let leader = world.leader(TOPIC, partition);
    world.kill(leader);
    assert_eq!(world.end(5, producer, true).0, ErrorCode::None);
    world.pass(1_500);
    world.settle();
    assert_eq!(world.committed(partition), (2, vec!["a".to_owned()]));
    world.start(leader);
    world.pass(2_000);
    let dead = world.alive().into_iter().find(|id| *id != leader && *id != coordinator).expect("three");
    world.kill(dead);
    world.pass(1_500);
    assert_eq!(world.committed(partition).1, ["a"]);
}

#[test]
fn the_marker_of_a_coordinator_that_was_replaced_is_refused() {
    let mut world = World::new(1);
    let producer = world.init();
    assert_eq!(world.produce(12, producer, 0, 0, "a"), ErrorCode::None);
    let write = |world: &mut World, epoch: i16, coordinator_epoch: i32| {
        let topic = m::write_txn_markers_request::WritableTxnMarkerTopic::default()
            .with_name(m::TopicName(text(TOPIC)))
            .with_partition_indexes(vec![0, 7]);
        let marker = m::write_txn_markers_request::WritableTxnMarker::default()
            .with_producer_id(m::ProducerId(producer.id))
            .with_producer_epoch(epoch)
            .with_coordinator_epoch(coordinator_epoch)
            .with_topics(vec![topic]);
        let request = m::WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let Response::WriteTxnMarkers(answer) = world.ask(1, 1, Request::WriteTxnMarkers(request)) else {
            panic!("an answer")
        };
        let results = &answer.markers[0].topics[0].partitions;
        assert_eq!(error(results[1].error_code), ErrorCode::UnknownTopicOrPartition);
        error(results[0].error_code)
    };
    assert_eq!(write(&mut world, 0, 5), ErrorCode::None, "an administrator may end it");
    assert_eq!(world.committed(0), (2, vec![]));
    assert_eq!(write(&mut world, 0, 4), ErrorCode::TransactionCoordinatorFenced);
    assert_eq!(write(&mut world, -1, 6), ErrorCode::InvalidProducerEpoch);
}

#[test]
fn a_restarted_broker_has_its_transactions_as_they_were() {
    let mut world = World::new(1);
    world.transaction_timeout_ms = 60_000;
    let producer = world.init();
    assert_eq!(world.produce(12, producer, 0, 0, "a"), ErrorCode::None);
    let (_, second) = world.end(5, producer, true);
    world.settle();
    assert_eq!(world.produce(12, second, 1, 0, "b"), ErrorCode::None);
    let mut before = states(&world);
    world.kill(1);
    world.start(1);
    world.pass(3_000);
    assert_eq!(world.coordinator(), 1);
    assert_eq!(world.committed(1), (0, vec![]), "it is still open");
    // What only a repeated InitProducerId needs is not written (`TransactionMetadata.lastProducerEpoch`).
    before[0].state.last_producer_epoch = -1;
    assert_eq!(states(&world), before);
    assert_eq!(world.end(5, second, true).0, ErrorCode::None);
    world.settle();
    assert_eq!(world.committed(1), (2, vec!["b".to_owned()]));
}

#[test]
fn a_marker_that_comes_late_or_twice_ends_nothing_of_the_next_transaction() {
    let mut world = World::new(1);
    world.transaction_timeout_ms = 60_000;
    let first = world.init();
    assert_eq!(world.produce(12, first, 0, 0, "a"), ErrorCode::None);
    let (_, second) = world.end(5, first, true);
    world.settle();
    let marker = TxnMarker {
        producer_id: first.id,
        producer_epoch: second.epoch,
        commits: true,
        coordinator_epoch: 0,
        transaction_version: 2,
        partitions: vec![(std::sync::Arc::from(TOPIC), 0)],
    };
    let write = |world: &mut World| {
        let markers = vec![marker.clone()];
        match world.ask_as_peer(1, PeerRequest::WriteTxnMarkers(WriteTxnMarkersRequest { markers })) {
            PeerResponse::WriteTxnMarkers(response) => response.results[0][0],
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(write(&mut world), ErrorCode::None, "nothing is open: a coordinator that did not hear the answer");
    assert_eq!(world.produce(12, second, 0, 0, "b"), ErrorCode::None);
    assert_eq!(write(&mut world), ErrorCode::InvalidProducerEpoch);
    assert_eq!(world.committed(0), (3, vec!["a".to_owned()]), "the second is open, and stays so");
    assert_eq!(world.end(5, second, false).0, ErrorCode::None);
    world.settle();
    assert_eq!(world.committed(0), (5, vec!["a".to_owned()]));
}

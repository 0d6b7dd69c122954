//! AlterPartition, check by check, in Kafka's order.

use crate::engine::controller::harness::{Harness, ids};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, PartitionId, TopicId};
use crate::protocol::peer::{AlterPartitionItem, AlterPartitionRequest, PeerRequest, PeerResponse};
use uuid::Uuid;

/// Three brokers, a topic, and what its leader (1) would rightly ask for.
fn cluster() -> (Harness, AlterPartitionItem) {
    let mut cluster = Harness::with_brokers(3);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    let new_isr = [1, 2].map(|id| (BrokerId(id), cluster.epoch_of(id))).to_vec();
    let item = AlterPartitionItem { partition, leader_epoch: 0, partition_epoch: 0, new_isr, is_recovering: false };
    (cluster, item)
}

#[test]
fn the_leader_changes_the_isr_and_hears_the_new_epoch() {
    let (mut cluster, item) = cluster();
    let answer = cluster.alter_partition(1, item.clone());
    assert_eq!(answer.error, ErrorCode::None);
    assert_eq!((answer.isr, answer.partition_epoch, answer.leader_epoch), (ids(&[1, 2]), 1, 0));
    let back = cluster.want_isr(item.partition, &[1, 2, 3]);
    assert_eq!((back.error, back.partition_epoch), (ErrorCode::None, 2));
}

#[test]
fn asking_for_the_isr_there_is_changes_nothing_and_succeeds() {
    let (mut cluster, item) = cluster();
    let answer = cluster.want_isr(item.partition, &[1, 2, 3]);
    assert_eq!((answer.error, answer.partition_epoch), (ErrorCode::None, 0));
    assert!(cluster.last.records.is_empty());
}

#[test]
fn unknown_topics_and_partitions_are_told_apart() {
    let (mut cluster, item) = cluster();
    let topic = PartitionId::new(TopicId(Uuid::from_u128(404)), 0);
    let answer = cluster.alter_partition(1, AlterPartitionItem { partition: topic, ..item.clone() });
    assert_eq!(answer.error, ErrorCode::UnknownTopicId);
    let partition = PartitionId::new(item.partition.topic, 9);
    let answer = cluster.alter_partition(1, AlterPartitionItem { partition, ..item });
    assert_eq!(answer.error, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn every_check_has_its_error_and_the_first_that_fails_counts() {
    let (mut cluster, item) = cluster();
    // Raise both epochs, so that there are older and newer ones.
    cluster.want_isr(item.partition, &[1, 2]);
    cluster.want_isr(item.partition, &[1, 2, 3]);
    let good = AlterPartitionItem { partition_epoch: 2, ..item };
    let isr = |members: &[i32], cluster: &Harness| -> Vec<(BrokerId, i64)> {
        members.iter().map(|id| (BrokerId(*id), cluster.epoch_of(*id))).collect()
    };
    let cases = [
        // Somebody who knows a newer epoch has to look for another controller, even if he is not the leader.
        (2, AlterPartitionItem { leader_epoch: 1, ..good.clone() }, ErrorCode::NotController),
        (2, AlterPartitionItem { partition_epoch: 3, ..good.clone() }, ErrorCode::NotController),
        (2, AlterPartitionItem { leader_epoch: -1, ..good.clone() }, ErrorCode::FencedLeaderEpoch),
        (2, AlterPartitionItem { partition_epoch: 1, ..good.clone() }, ErrorCode::InvalidRequest),
        (
            1,
            AlterPartitionItem { partition_epoch: 1, new_isr: vec![], ..good.clone() },
            ErrorCode::InvalidUpdateVersion,
        ),
        (1, AlterPartitionItem { new_isr: vec![], ..good.clone() }, ErrorCode::InvalidRequest),
        (1, AlterPartitionItem { new_isr: isr(&[1, 9], &cluster), ..good.clone() }, ErrorCode::InvalidRequest),
        (1, AlterPartitionItem { new_isr: isr(&[1, 2, 2], &cluster), ..good.clone() }, ErrorCode::InvalidRequest),
        (1, AlterPartitionItem { new_isr: isr(&[2, 3], &cluster), ..good.clone() }, ErrorCode::InvalidRequest),
        (1, AlterPartitionItem { is_recovering: true, ..good.clone() }, ErrorCode::InvalidRequest),
        (
            1,
            AlterPartitionItem { is_recovering: true, new_isr: isr(&[1], &cluster), ..good.clone() },
            ErrorCode::InvalidRequest,
        ),
    ];
    for (from, item, error) in cases {
        assert_eq!(cluster.alter_partition(from, item.clone()).error, error, "{item:?}");
        assert!(cluster.last.records.is_empty());
    }
    assert_eq!(cluster.alter_partition(1, good).error, ErrorCode::None);
}

#[test]
fn replicas_that_are_fenced_stopping_or_of_another_incarnation_are_ineligible() {
    let (mut cluster, item) = cluster();
    cluster.want_isr(item.partition, &[1]);
    let stale = AlterPartitionItem {
        partition_epoch: 1,
        new_isr: vec![(BrokerId(1), cluster.epoch_of(1)), (BrokerId(2), cluster.epoch_of(2) - 1)],
        ..item.clone()
    };
    assert_eq!(cluster.alter_partition(1, stale).error, ErrorCode::IneligibleReplica, "KIP-903");
    let unknown =
        AlterPartitionItem { partition_epoch: 1, new_isr: vec![(BrokerId(1), -1), (BrokerId(2), -1)], ..item.clone() };
    assert_eq!(cluster.alter_partition(1, unknown).error, ErrorCode::None, "epochs the leader does not know");
    let partition_of_3 = cluster.topic("payments", &[&[3, 1]]);
    let applied = cluster.end() - 1;
    cluster.beat(3, applied, false, true);
    assert!(cluster.image().brokers[&BrokerId(3)].in_controlled_shutdown);
    assert_eq!(cluster.want_isr(item.partition, &[1, 2, 3]).error, ErrorCode::IneligibleReplica, "stopping");
    assert_eq!(cluster.state(partition_of_3).leader, Some(BrokerId(1)));
    cluster.lose(2);
    assert_eq!(cluster.want_isr(item.partition, &[1, 2]).error, ErrorCode::IneligibleReplica, "fenced");
}

#[test]
fn a_leader_under_an_old_broker_epoch_is_refused_as_a_whole() {
    let (mut cluster, item) = cluster();
    let request = AlterPartitionRequest { broker: BrokerId(1), broker_epoch: 0, partitions: vec![item] };
    let PeerResponse::AlterPartition(response) = cluster.peer(1, &PeerRequest::AlterPartition(request)) else {
        panic!("AlterPartition is answered");
    };
    assert_eq!((response.error, response.partitions.len()), (ErrorCode::StaleBrokerEpoch, 0));
}

#[test]
fn one_request_may_change_a_partition_twice_only_if_the_second_knows_of_the_first() {
    let (mut cluster, item) = cluster();
    let partitions = vec![item.clone(), item.clone()];
    let request = AlterPartitionRequest { broker: BrokerId(1), broker_epoch: cluster.epoch_of(1), partitions };
    let PeerResponse::AlterPartition(response) = cluster.peer(1, &PeerRequest::AlterPartition(request)) else {
        panic!("AlterPartition is answered");
    };
    let errors: Vec<ErrorCode> = response.partitions.iter().map(|answer| answer.error).collect();
    assert_eq!(errors, [ErrorCode::None, ErrorCode::InvalidUpdateVersion]);
}

#[test]
fn a_recovering_leader_stays_alone_until_it_says_that_it_has_recovered() {
    let mut cluster = Harness::with_brokers(3);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    cluster.pass(cluster.config.broker_session_timeout_ms);
    for id in [1, 2, 3] {
        cluster.start(id, -1);
    }
    assert!(cluster.state(partition).is_recovering);
    assert_eq!(cluster.want_isr(partition, &[3]).error, ErrorCode::None);
    assert!(!cluster.state(partition).is_recovering);
}

//! Reassignments from begin to end, and back.

use crate::engine::controller::harness::{Harness, ids};
use crate::engine::observe::EventKind;
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, PartitionId};
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId as WireBrokerId, ListPartitionReassignmentsRequest,
};
use kafka_protocol::protocol::StrBytes;

fn reassign(cluster: &mut Harness, topic: &str, partition: i32, to: Option<&[i32]>, may_change: bool) -> ErrorCode {
    let replicas = to.map(|to| to.iter().map(|id| WireBrokerId(*id)).collect());
    let asked = ReassignablePartition::default().with_partition_index(partition).with_replicas(replicas);
    let topic = ReassignableTopic::default()
        .with_name(StrBytes::from_string(topic.to_owned()).into())
        .with_partitions(vec![asked]);
    let request = AlterPartitionReassignmentsRequest::default()
        .with_allow_replication_factor_change(may_change)
        .with_topics(vec![topic]);
    match cluster.ask(ApiKey::AlterPartitionReassignments, &Request::AlterPartitionReassignments(request)) {
        Response::AlterPartitionReassignments(response) => {
            ErrorCode::from_code(response.responses[0].partitions[0].error_code)
        }
        other => panic!("AlterPartitionReassignments is answered, not {other:?}"),
    }
}

fn ongoing(cluster: &mut Harness) -> usize {
    let request = Request::ListPartitionReassignments(ListPartitionReassignmentsRequest::default().with_topics(None));
    match cluster.ask(ApiKey::ListPartitionReassignments, &request) {
        Response::ListPartitionReassignments(response) => response.topics.len(),
        other => panic!("ListPartitionReassignments is answered, not {other:?}"),
    }
}

fn cluster() -> (Harness, PartitionId) {
    let mut cluster = Harness::with_brokers(4);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    (cluster, partition)
}

#[test]
fn replicas_are_added_first_and_removed_when_all_targets_are_in_sync() {
    let (mut cluster, partition) = cluster();
    assert_eq!(reassign(&mut cluster, "orders", 0, Some(&[4, 2, 3]), true), ErrorCode::None);
    let state = cluster.state(partition);
    assert_eq!((&state.replicas, &state.isr), (&ids(&[4, 2, 3, 1]), &ids(&[1, 2, 3])));
    assert_eq!((&state.adding, &state.removing), (&ids(&[4]), &ids(&[1])));
    assert_eq!(ongoing(&mut cluster), 1);
    let answer = cluster.want_isr(partition, &[1, 2, 3, 4]);
    assert_eq!(answer.error, ErrorCode::NewLeaderElected, "the leader that asked was taken away");
    let done = EventKind::ReassignmentDone { partition, replicas: ids(&[4, 2, 3]) };
    assert!(cluster.last.events.contains(&done));
    let state = cluster.state(partition);
    assert_eq!((&state.replicas, state.leader), (&ids(&[4, 2, 3]), Some(BrokerId(4))));
    assert_eq!(ongoing(&mut cluster), 0);
}

#[test]
fn another_order_of_the_same_replicas_is_done_at_once() {
    let (mut cluster, partition) = cluster();
    assert_eq!(reassign(&mut cluster, "orders", 0, Some(&[3, 2, 1]), true), ErrorCode::None);
    let state = cluster.state(partition);
    assert_eq!((&state.replicas, state.leader, state.leader_epoch), (&ids(&[3, 2, 1]), Some(BrokerId(1)), 0));
    assert_eq!(ongoing(&mut cluster), 0);
}

#[test]
fn fewer_replicas_are_there_at_once_when_the_rest_is_in_sync() {
    let (mut cluster, partition) = cluster();
    assert_eq!(reassign(&mut cluster, "orders", 0, Some(&[1]), true), ErrorCode::None);
    let state = cluster.state(partition);
    assert_eq!((&state.replicas, &state.isr, &state.elr), (&ids(&[1]), &ids(&[1]), &vec![]));
    assert_eq!(state.leader_epoch, 1, "replicas went: what they fetch is fenced");
}

#[test]
fn a_reassignment_is_taken_back_and_the_added_replicas_go() {
    let (mut cluster, partition) = cluster();
    assert_eq!(reassign(&mut cluster, "orders", 0, None, true), ErrorCode::NoReassignmentInProgress);
    reassign(&mut cluster, "orders", 0, Some(&[4, 2, 3]), true);
    assert_eq!(reassign(&mut cluster, "orders", 0, None, true), ErrorCode::None);
    let state = cluster.state(partition);
    assert_eq!((&state.replicas, &state.isr, state.leader), (&ids(&[2, 3, 1]), &ids(&[1, 2, 3]), Some(BrokerId(1))));
    assert!(!state.is_reassigning());
}

#[test]
fn a_reassignment_that_only_the_added_replicas_survived_is_not_taken_back() {
    let mut cluster = Harness::with_brokers(2);
    cluster.config.min_insync_replicas = 1;
    let partition = cluster.topic("orders", &[&[1]]);
    reassign(&mut cluster, "orders", 0, Some(&[1, 2]), true);
    cluster.want_isr(partition, &[1, 2]);
    assert_eq!(ongoing(&mut cluster), 0, "it was done");
    reassign(&mut cluster, "orders", 0, Some(&[2]), true);
    assert_eq!(cluster.state(partition).replicas, ids(&[2]));
    reassign(&mut cluster, "orders", 0, Some(&[1]), true);
    assert_eq!(cluster.state(partition).adding, ids(&[1]));
    cluster.lose(2);
    let state = cluster.state(partition);
    assert_eq!((state.leader, &state.elr), (None, &ids(&[2])));
    assert_eq!(reassign(&mut cluster, "orders", 0, None, true), ErrorCode::None, "2 is there and eligible");
    assert_eq!(cluster.state(partition).elr, ids(&[2]));
}

#[test]
fn a_second_reassignment_replaces_the_first() {
    let mut cluster = Harness::with_brokers(5);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    reassign(&mut cluster, "orders", 0, Some(&[4, 2, 3]), true);
    assert_eq!(reassign(&mut cluster, "orders", 0, Some(&[5, 2, 3]), true), ErrorCode::None);
    let state = cluster.state(partition);
    assert_eq!((&state.replicas, &state.adding), (&ids(&[5, 2, 3, 1, 4]), &ids(&[5])));
    assert_eq!(state.removing, ids(&[1, 4]));
    assert_eq!(reassign(&mut cluster, "orders", 0, Some(&[1, 2, 3]), true), ErrorCode::None);
    assert_eq!(cluster.state(partition).replicas, ids(&[1, 2, 3]), "back to where it was: done at once");
}

#[test]
fn impossible_targets_have_kafkas_errors() {
    let (mut cluster, _) = cluster();
    let mut error = |topic: &str, number, to: &[i32], may| reassign(&mut cluster, topic, number, Some(to), may);
    assert_eq!(error("nothing", 0, &[1], true), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(error("orders", 7, &[1], true), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(error("orders", 0, &[], true), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(error("orders", 0, &[1, 1], true), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(error("orders", 0, &[1, 9], true), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(error("orders", 0, &[1, 2], false), ErrorCode::InvalidReplicationFactor, "KIP-860");
}

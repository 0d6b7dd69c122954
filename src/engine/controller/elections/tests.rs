//! Elections on demand and by the clock.

use crate::engine::controller::harness::{Harness, ids};
use crate::engine::observe::{ElectionReason, EventKind};
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, PartitionId};
use kafka_protocol::messages::ElectLeadersRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

fn elect(cluster: &mut Harness, kind: i8, topic: &str, number: i32) -> ErrorCode {
    let topic = TopicName(StrBytes::from_string(topic.to_owned()));
    let asked = TopicPartitions::default().with_topic(topic).with_partitions(vec![number]);
    let request = ElectLeadersRequest::default().with_election_type(kind).with_topic_partitions(Some(vec![asked]));
    match cluster.ask(ApiKey::ElectLeaders, &Request::ElectLeaders(request)) {
        Response::ElectLeaders(response) if response.error_code == 0 => {
            ErrorCode::from_code(response.replica_election_results[0].partition_result[0].error_code)
        }
        Response::ElectLeaders(response) => ErrorCode::from_code(response.error_code),
        other => panic!("ElectLeaders is answered, not {other:?}"),
    }
}

/// Three brokers; 1 was away and is in sync again, but 2 leads.
fn moved() -> (Harness, PartitionId) {
    let mut cluster = Harness::with_brokers(3);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    let epoch = cluster.epoch_of(1);
    cluster.lose(1);
    cluster.start(1, epoch);
    assert_eq!(cluster.want_isr(partition, &[1, 2, 3]).error, ErrorCode::None);
    assert_eq!(cluster.state(partition).leader, Some(BrokerId(2)));
    (cluster, partition)
}

#[test]
fn the_preferred_leader_is_put_back_on_demand_and_only_if_needed() {
    let (mut cluster, partition) = moved();
    assert_eq!(elect(&mut cluster, PREFERRED, "orders", 0), ErrorCode::None);
    assert_eq!(cluster.state(partition).leader, Some(BrokerId(1)));
    assert_eq!(elect(&mut cluster, PREFERRED, "orders", 0), ErrorCode::ElectionNotNeeded);
    assert_eq!(elect(&mut cluster, UNCLEAN, "orders", 0), ErrorCode::ElectionNotNeeded);
}

#[test]
fn a_preferred_leader_that_is_not_in_sync_is_not_available() {
    let mut cluster = Harness::with_brokers(3);
    cluster.topic("orders", &[&[1, 2, 3]]);
    cluster.lose(1);
    assert_eq!(elect(&mut cluster, PREFERRED, "orders", 0), ErrorCode::PreferredLeaderNotAvailable);
}

#[test]
fn unknown_partitions_and_kinds_of_election_are_refused() {
    let (mut cluster, _) = moved();
    assert_eq!(elect(&mut cluster, PREFERRED, "nothing", 0), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(elect(&mut cluster, PREFERRED, "orders", 5), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(elect(&mut cluster, 7, "orders", 0), ErrorCode::InvalidRequest);
}

#[test]
fn an_election_everywhere_leaves_out_what_needs_none() {
    let (mut cluster, partition) = moved();
    cluster.topic("payments", &[&[2, 3]]);
    let request = ElectLeadersRequest::default().with_topic_partitions(None);
    let Response::ElectLeaders(response) = cluster.ask(ApiKey::ElectLeaders, &Request::ElectLeaders(request)) else {
        panic!("ElectLeaders is answered");
    };
    let told: usize = response.replica_election_results.iter().map(|topic| topic.partition_result.len()).sum();
    assert_eq!(told, 1);
    assert_eq!(cluster.state(partition).leader, Some(BrokerId(1)));
}

#[test]
fn preferred_leaders_come_back_by_themselves_after_the_interval() {
    let (mut cluster, partition) = moved();
    for _ in 0..=cluster.config.leader_imbalance_check_interval_ms / 500 {
        for id in 1..=3 {
            cluster.alive(id);
        }
        cluster.pass(500);
    }
    assert_eq!(cluster.state(partition).leader, Some(BrokerId(1)));
}

/// Everybody is gone, and only 3 comes back, not eligible.
fn leaderless() -> (Harness, PartitionId) {
    let mut cluster = Harness::with_brokers(3);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    cluster.want_isr(partition, &[1, 2]);
    cluster.pass(cluster.config.broker_session_timeout_ms);
    assert_eq!(cluster.state(partition).elr, ids(&[1, 2]));
    cluster.start(3, -1);
    assert_eq!(cluster.state(partition).leader, None);
    (cluster, partition)
}

#[test]
fn an_unclean_election_on_demand_takes_who_is_there() {
    let (mut cluster, partition) = leaderless();
    assert_eq!(elect(&mut cluster, UNCLEAN, "orders", 0), ErrorCode::None);
    let state = cluster.state(partition);
    assert_eq!((state.leader, &state.isr, state.is_recovering), (Some(BrokerId(3)), &ids(&[3]), true));
    assert!(state.elr.is_empty());
    let is_told = cluster
        .last
        .events
        .iter()
        .any(|event| matches!(event, EventKind::LeaderElected { reason: ElectionReason::Unclean, .. }));
    assert!(is_told);
}

#[test]
fn without_anybody_there_an_unclean_election_fails() {
    let mut cluster = Harness::with_brokers(2);
    cluster.topic("orders", &[&[1]]);
    cluster.lose(1);
    assert_eq!(elect(&mut cluster, UNCLEAN, "orders", 0), ErrorCode::EligibleLeadersNotAvailable);
}

#[test]
fn allowing_unclean_elections_elects_without_being_asked() {
    let (mut cluster, partition) = leaderless();
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_static_str("unclean.leader.election.enable"))
        .with_value(Some(StrBytes::from_static_str("true")));
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_static_str("orders"))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    cluster.ask(ApiKey::IncrementalAlterConfigs, &Request::IncrementalAlterConfigs(request));
    assert!(cluster.controller.next_wake().is_some_and(|wake| wake.at <= cluster.now));
    cluster.tick();
    assert_eq!(cluster.state(partition).leader, Some(BrokerId(3)));
    assert!(cluster.controller.next_wake().is_some_and(|wake| wake.at > cluster.now));
}

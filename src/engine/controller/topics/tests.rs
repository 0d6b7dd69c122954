//! Topics: made, grown, removed; every refusal with Kafka's code.

use crate::engine::controller::harness::{Harness, ids};
use crate::engine::controller::record::{ConfigResource, MetadataRecord};
use crate::engine::controller::topics::{check_name, is_valid_name};
use crate::engine::observe::EventKind;
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{
    BrokerId as WireBrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

fn topic(text: &str, partitions: i32, factor: i16) -> CreatableTopic {
    CreatableTopic::default().with_name(name(text)).with_num_partitions(partitions).with_replication_factor(factor)
}

fn with_config(topic: CreatableTopic, key: &str, value: Option<&str>) -> CreatableTopic {
    let config = CreatableTopicConfig::default()
        .with_name(StrBytes::from_string(key.to_owned()))
        .with_value(value.map(|value| StrBytes::from_string(value.to_owned())));
    topic.with_configs(vec![config])
}

fn assigned(text: &str, partitions: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = partitions.iter().map(|(number, replicas)| {
        let replicas = replicas.iter().map(|id| WireBrokerId(*id)).collect();
        CreatableReplicaAssignment::default().with_partition_index(*number).with_broker_ids(replicas)
    });
    topic(text, -1, -1).with_assignments(assignments.collect())
}

fn create_all(cluster: &mut Harness, topics: Vec<CreatableTopic>, only: bool) -> Vec<CreatableTopicResult> {
    let request = CreateTopicsRequest::default().with_topics(topics).with_validate_only(only);
    match cluster.ask(ApiKey::CreateTopics, &Request::CreateTopics(request)) {
        Response::CreateTopics(response) => response.topics,
        other => panic!("CreateTopics is answered, not {other:?}"),
    }
}

fn create(cluster: &mut Harness, topic: CreatableTopic) -> (ErrorCode, String) {
    let result = create_all(cluster, vec![topic], false).remove(0);
    let message = result.error_message.map(|message| message.to_string()).unwrap_or_default();
    (ErrorCode::from_code(result.error_code), message)
}

#[test]
fn a_topic_is_placed_on_active_brokers_with_the_first_leading() {
    let mut cluster = Harness::with_brokers(4);
    let result = create_all(&mut cluster, vec![topic("orders", 8, 3)], false).remove(0);
    assert_eq!((result.error_code, result.num_partitions, result.replication_factor), (0, 8, 3));
    let topic = cluster.image().topic_by_name("orders").expect("it was made");
    assert_eq!(topic.id.0, result.topic_id);
    for state in topic.partitions.values() {
        assert_eq!((state.replicas.len(), &state.isr), (3, &state.replicas));
        assert_eq!((state.leader, state.leader_epoch), (state.preferred_leader(), 0));
    }
    let told = EventKind::TopicCreated { topic: "orders".to_owned(), partitions: 8 };
    assert!(cluster.last.events.contains(&told));
    let configs = result.configs.expect("from version 5 on");
    let min_isr = configs.iter().find(|config| config.name.as_str() == "min.insync.replicas").expect("all are told");
    assert_eq!((min_isr.value.as_deref(), min_isr.config_source), (Some("2"), 3));
}

#[test]
fn minus_one_stands_for_the_clusters_defaults() {
    let mut cluster = Harness::with_brokers(3);
    cluster.config.num_partitions = 5;
    create(&mut cluster, topic("orders", -1, -1));
    let topic = cluster.image().topic_by_name("orders").expect("it was made");
    assert_eq!(topic.partitions.len(), 5);
    assert_eq!(topic.partitions[&0].replicas.len(), 3);
}

#[test]
fn fenced_brokers_hold_replicas_that_are_not_in_sync() {
    let mut cluster = Harness::with_brokers(3);
    cluster.lose(2);
    assert_eq!(create(&mut cluster, topic("orders", 6, 3)).0, ErrorCode::None);
    for state in cluster.image().topic_by_name("orders").expect("it was made").partitions.values() {
        assert!(state.replicas.contains(&BrokerId(2)) && !state.isr.contains(&BrokerId(2)));
        assert_ne!(state.leader, Some(BrokerId(2)));
    }
}

#[test]
fn names_follow_kafkas_rules() {
    for good in ["orders", "a.b-c_D9", &"x".repeat(249)] {
        assert!(is_valid_name(good));
    }
    for bad in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
        assert!(!is_valid_name(bad));
    }
    assert_eq!(
        check_name("a b"),
        Err("Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' \
             and '-'"
            .to_owned())
    );
}

#[test]
fn refusals_have_kafkas_codes_and_words() {
    let mut cluster = Harness::with_brokers(3);
    assert_eq!(create(&mut cluster, topic("web.orders", 1, 1)).0, ErrorCode::None);
    let cases = [
        (topic("web.orders", 1, 1), ErrorCode::TopicAlreadyExists, "Topic 'web.orders' already exists."),
        (
            topic("web_orders", 1, 1),
            ErrorCode::InvalidTopicException,
            "Topic 'web_orders' collides with existing topic: web.orders",
        ),
        (
            topic("__cluster_metadata", 1, 1),
            ErrorCode::InvalidRequest,
            "Creation of internal topic __cluster_metadata is prohibited.",
        ),
        (
            topic("b", 0, 1),
            ErrorCode::InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            topic("b", 1, 0),
            ErrorCode::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            topic("b", 1, 4),
            ErrorCode::InvalidReplicationFactor,
            "Unable to replicate the partition 4 time(s): The target replication factor of 4 cannot be reached because \
             only 3 broker(s) are registered.",
        ),
        (topic("b", i32::MAX, 1), ErrorCode::PolicyViolation, "Excessively large number of partitions per request."),
        (
            with_config(topic("b", 1, 1), "no.such", Some("1")),
            ErrorCode::InvalidConfig,
            "Unknown topic config name: no.such",
        ),
        (
            with_config(topic("b", 1, 1), "retention.ms", None),
            ErrorCode::InvalidConfig,
            "Null value not supported for topic configs: retention.ms",
        ),
    ];
    for (asked, error, message) in cases {
        assert_eq!(create(&mut cluster, asked), (error, message.to_owned()));
        assert!(cluster.last.records.is_empty());
    }
}

#[test]
fn assignments_that_cannot_be_are_refused() {
    let mut cluster = Harness::with_brokers(3);
    let cases = [
        (
            assigned("b", &[(0, &[1]), (2, &[1])]),
            ErrorCode::InvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        (
            assigned("b", &[(0, &[1]), (0, &[2])]),
            ErrorCode::InvalidReplicaAssignment,
            "Found multiple manual partition assignments for partition 0",
        ),
        (
            assigned("b", &[(0, &[1, 9])]),
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
        (
            assigned("b", &[(0, &[1, 2]), (1, &[1])]),
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with \
             previous partitions, which have 2 replica(s).",
        ),
        (
            assigned("b", &[(0, &[1])]).with_num_partitions(1),
            ErrorCode::InvalidRequest,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        ),
    ];
    for (asked, error, message) in cases {
        assert_eq!(create(&mut cluster, asked), (error, message.to_owned()));
        assert!(cluster.last.records.is_empty());
    }
}

#[test]
fn one_request_makes_several_topics_and_refuses_repeated_and_colliding_ones() {
    let mut cluster = Harness::with_brokers(3);
    let topics = ["a", "b", "a", "c.d", "c_d"].map(|text| topic(text, 1, 1)).to_vec();
    let results = create_all(&mut cluster, topics, false);
    let told: Vec<(String, ErrorCode)> =
        results.iter().map(|one| (one.name.0.to_string(), ErrorCode::from_code(one.error_code))).collect();
    let expected = [
        ("a", ErrorCode::InvalidRequest),
        ("b", ErrorCode::None),
        ("c.d", ErrorCode::None),
        ("c_d", ErrorCode::InvalidTopicException),
    ];
    assert_eq!(told, expected.map(|(text, error)| (text.to_owned(), error)));
    assert_eq!(cluster.image().topics.len(), 2);
}

#[test]
fn what_is_only_validated_is_described_and_not_made() {
    let mut cluster = Harness::with_brokers(3);
    let result = create_all(&mut cluster, vec![topic("orders", 4, 2)], true).remove(0);
    assert_eq!((result.error_code, result.num_partitions), (0, 4));
    assert!(cluster.last.records.is_empty() && cluster.last.events.is_empty());
}

#[test]
fn configurations_of_a_new_topic_are_written_with_it() {
    let mut cluster = Harness::with_brokers(1);
    let asked = with_config(topic("orders", 1, 1), "retention.ms", Some("5"));
    assert_eq!(create(&mut cluster, asked).0, ErrorCode::None);
    let resource = ConfigResource::Topic("orders".to_owned());
    assert_eq!(cluster.image().config(&resource, "retention.ms"), Some("5"));
}

fn grow(cluster: &mut Harness, topic: CreatePartitionsTopic) -> ErrorCode {
    let request = CreatePartitionsRequest::default().with_topics(vec![topic]);
    match cluster.ask(ApiKey::CreatePartitions, &Request::CreatePartitions(request)) {
        Response::CreatePartitions(response) => ErrorCode::from_code(response.results[0].error_code),
        other => panic!("CreatePartitions is answered, not {other:?}"),
    }
}

#[test]
fn partitions_are_added_at_the_end_with_the_topics_factor() {
    let mut cluster = Harness::with_brokers(3);
    create(&mut cluster, topic("orders", 2, 2));
    let to =
        |count| CreatePartitionsTopic::default().with_name(name("orders")).with_count(count).with_assignments(None);
    assert_eq!(grow(&mut cluster, to(2)), ErrorCode::InvalidPartitions);
    assert_eq!(grow(&mut cluster, to(1)), ErrorCode::InvalidPartitions);
    assert_eq!(grow(&mut cluster, to(i32::MAX)), ErrorCode::PolicyViolation);
    assert_eq!(grow(&mut cluster, to(5).with_name(name("nothing"))), ErrorCode::UnknownTopicOrPartition);
    let place = |replicas: &[i32]| {
        let replicas = replicas.iter().map(|id| WireBrokerId(*id)).collect();
        Some(vec![CreatePartitionsAssignment::default().with_broker_ids(replicas)])
    };
    assert_eq!(grow(&mut cluster, to(4).with_assignments(place(&[1, 2]))), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(grow(&mut cluster, to(3).with_assignments(place(&[1]))), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(grow(&mut cluster, to(3).with_assignments(place(&[3, 1]))), ErrorCode::None);
    assert_eq!(grow(&mut cluster, to(4)), ErrorCode::None);
    let topic = cluster.image().topic_by_name("orders").expect("it is there");
    assert_eq!(topic.partitions.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(topic.partitions[&2].replicas, ids(&[3, 1]));
    assert_eq!(topic.partitions[&3].replicas.len(), 2);
}

fn delete(cluster: &mut Harness, version: i16, request: DeleteTopicsRequest) -> Vec<ErrorCode> {
    let header =
        RequestHeader { api: ApiKey::DeleteTopics, version, correlation_id: 1, client_id: None, client_host: None };
    match cluster.ask_at(&header, &Request::DeleteTopics(request)) {
        Response::DeleteTopics(response) => {
            response.responses.iter().map(|one| ErrorCode::from_code(one.error_code)).collect()
        }
        other => panic!("DeleteTopics is answered, not {other:?}"),
    }
}

#[test]
fn topics_go_by_name_and_by_id() {
    let mut cluster = Harness::with_brokers(1);
    for text in ["a", "b", "c"] {
        create(&mut cluster, topic(text, 1, 1));
    }
    let id = cluster.image().topic_ids["b"].0;
    let by_name = DeleteTopicState::default().with_name(Some(name("a")));
    let by_id = DeleteTopicState::default().with_name(None).with_topic_id(id);
    let neither = DeleteTopicState::default().with_name(None);
    let both = by_name.clone().with_topic_id(id);
    let unknown_id = DeleteTopicState::default().with_name(None).with_topic_id(Uuid::from_u128(4));
    let states = vec![by_name.clone(), by_id, neither, both, unknown_id, by_name];
    let errors = delete(&mut cluster, 6, DeleteTopicsRequest::default().with_topics(states));
    assert_eq!(
        errors,
        [
            ErrorCode::None,
            ErrorCode::None,
            ErrorCode::InvalidRequest,
            ErrorCode::InvalidRequest,
            ErrorCode::UnknownTopicId,
            ErrorCode::InvalidRequest,
        ]
    );
    let names = vec![name("c"), name("c2")];
    let errors = delete(&mut cluster, 5, DeleteTopicsRequest::default().with_topic_names(names));
    assert_eq!(errors, [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
    assert!(cluster.image().topics.is_empty());
    assert!(matches!(&cluster.last.records[..], [MetadataRecord::RemoveTopic { .. }]));
}

#[test]
fn deletion_can_be_switched_off() {
    let mut cluster = Harness::with_brokers(1);
    create(&mut cluster, topic("a", 1, 1));
    cluster.config.properties.insert("delete.topic.enable".to_owned(), "false".to_owned());
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name("a")]);
    assert_eq!(delete(&mut cluster, 5, request.clone()), [ErrorCode::TopicDeletionDisabled]);
    assert_eq!(delete(&mut cluster, 2, request), [ErrorCode::InvalidRequest]);
}

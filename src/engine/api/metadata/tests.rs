//! Answers from the image: Metadata and its relatives, in every version that is served.

use crate::engine::api::{
    describe_cluster, describe_configs, describe_topic_partitions, list_config_resources, metadata, visible,
};
use crate::engine::config::{ClusterConfig, Timing};
use crate::engine::controller::image::{BrokerImage, MetadataDelta, MetadataImage};
use crate::engine::controller::record::{ConfigResource, MetadataRecord, PartitionState};
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, DirectoryId, TopicId};
use bytes::BytesMut;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeConfigsRequest, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    ListConfigResourcesRequest, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use uuid::Uuid;

const SELF: BrokerId = BrokerId(1);

fn broker(fenced: bool) -> BrokerImage {
    BrokerImage {
        broker_epoch: 1,
        incarnation: Uuid::from_u128(1),
        directory: DirectoryId(Uuid::from_u128(1)),
        host: "localhost".to_owned(),
        port: 9_092,
        rack: Some("a".to_owned()),
        fenced,
        in_controlled_shutdown: false,
        is_controller: true,
    }
}

/// Brokers 1 and 2, 3 fenced; `orders` with three partitions, the second led by a fenced broker; `payments`.
fn sample() -> (MetadataImage, ClusterConfig) {
    let mut image = MetadataImage::default();
    for (id, fenced) in [(1, false), (2, false), (3, true)] {
        image.brokers.insert(BrokerId(id), broker(fenced));
    }
    let replicas: Vec<BrokerId> = [1, 2, 3].map(BrokerId).to_vec();
    let state = PartitionState::new(replicas, vec![BrokerId(1), BrokerId(2)]);
    let led_by_3 = PartitionState { leader: Some(BrokerId(3)), elr: vec![BrokerId(2)], ..state.clone() };
    let (orders, payments) = (TopicId(Uuid::from_u128(5)), TopicId(Uuid::from_u128(6)));
    let records = [
        MetadataRecord::Topic { name: "orders".to_owned(), id: orders },
        MetadataRecord::Partition { topic: orders, partition: 0, state: state.clone() },
        MetadataRecord::Partition { topic: orders, partition: 1, state: led_by_3 },
        MetadataRecord::Partition { topic: orders, partition: 2, state: state.clone() },
        MetadataRecord::Topic { name: "payments".to_owned(), id: payments },
        MetadataRecord::Partition { topic: payments, partition: 0, state },
        MetadataRecord::Config {
            resource: ConfigResource::Topic("orders".to_owned()),
            key: "retention.ms".to_owned(),
            value: Some("1000".to_owned()),
        },
        MetadataRecord::Config {
            resource: ConfigResource::Cluster,
            key: "log.retention.ms".to_owned(),
            value: Some("2000".to_owned()),
        },
    ];
    for (offset, record) in (0..).zip(&records) {
        image.apply(offset, 1, record, &mut MetadataDelta::default());
    }
    (image, ClusterConfig::preset(Timing::Kafka, "a-cluster", 3))
}

fn header(api: ApiKey, version: i16) -> RequestHeader {
    RequestHeader { api, version, correlation_id: 1, client_id: None, client_host: None }
}

fn ask(version: i16, request: &MetadataRequest) -> MetadataResponse {
    let (image, config) = sample();
    let header = header(ApiKey::Metadata, version);
    match metadata::answer(&image, &config, SELF, Some(BrokerId(2)), &header, request) {
        Response::Metadata(response) => response,
        other => panic!("Metadata is answered, not {other:?}"),
    }
}

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
}

#[test]
fn clients_are_told_of_unfenced_brokers_and_leaders_among_them() {
    let response = ask(12, &MetadataRequest::default().with_topics(Some(vec![named("orders")])));
    assert_eq!(response.brokers.iter().map(|broker| broker.node_id.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((response.controller_id.0, response.cluster_id.as_deref()), (2, Some("a-cluster")));
    let partitions = &response.topics[0].partitions;
    assert_eq!((partitions[0].leader_id.0, partitions[0].error_code), (1, 0));
    assert_eq!(partitions[0].offline_replicas.iter().map(|id| id.0).collect::<Vec<_>>(), [3]);
    let expected = ErrorCode::LeaderNotAvailable.code();
    assert_eq!((partitions[1].leader_id.0, partitions[1].error_code), (-1, expected));
}

#[test]
fn no_list_is_all_topics_and_an_empty_one_none_but_for_version_zero() {
    let all = MetadataRequest::default().with_topics(None);
    let none = MetadataRequest::default().with_topics(Some(vec![]));
    assert_eq!(ask(1, &all).topics.len(), 2);
    assert_eq!(ask(1, &none).topics.len(), 0);
    assert_eq!(ask(0, &none).topics.len(), 2);
}

#[test]
fn topics_are_found_by_id_and_what_is_unknown_is_told() {
    let by_id = |id| MetadataRequestTopic::default().with_name(None).with_topic_id(Uuid::from_u128(id));
    // The Java client leaves the name empty where it asks by id.
    let unnamed = by_id(6).with_name(Some(TopicName::default()));
    let topics = vec![by_id(6), by_id(404), named("nothing"), named("a/b"), unnamed];
    let response = ask(12, &MetadataRequest::default().with_topics(Some(topics)));
    let errors: Vec<ErrorCode> = response.topics.iter().map(|topic| ErrorCode::from_code(topic.error_code)).collect();
    assert_eq!(
        errors,
        [
            ErrorCode::None,
            ErrorCode::UnknownTopicId,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::InvalidTopicException,
            ErrorCode::None,
        ]
    );
    for topic in [&response.topics[0], &response.topics[4]] {
        assert_eq!(topic.name.as_ref().map(|name| name.0.as_str()), Some("payments"));
    }
}

#[test]
fn the_oldest_clients_are_not_told_of_replicas_they_cannot_reach() {
    let response = ask(0, &MetadataRequest::default().with_topics(Some(vec![named("orders")])));
    let partition = &response.topics[0].partitions[0];
    assert_eq!(partition.replica_nodes.iter().map(|id| id.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(partition.error_code, ErrorCode::ReplicaNotAvailable.code());
}

#[test]
fn operations_are_told_when_asked_for() {
    let request = MetadataRequest::default()
        .with_topics(None)
        .with_include_topic_authorized_operations(true)
        .with_include_cluster_authorized_operations(true);
    let response = ask(8, &request);
    assert_eq!(response.topics[0].topic_authorized_operations, visible::TOPIC_OPERATIONS);
    assert_eq!(response.cluster_authorized_operations, visible::CLUSTER_OPERATIONS);
    assert_eq!(ask(8, &MetadataRequest::default().with_topics(None)).cluster_authorized_operations, i32::MIN);
}

#[test]
fn every_answer_can_be_encoded_in_every_version() {
    let (image, config) = sample();
    let by_id = MetadataRequestTopic::default().with_name(None).with_topic_id(Uuid::from_u128(404));
    for version in ApiKey::Metadata.min_version()..=ApiKey::Metadata.max_version() {
        let topics = vec![named("orders"), named("nothing"), by_id.clone()];
        let request = MetadataRequest::default().with_topics(Some(topics));
        ask(version, &request).encode(&mut BytesMut::new(), version).expect("encodable");
    }
    for version in ApiKey::DescribeConfigs.min_version()..=ApiKey::DescribeConfigs.max_version() {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(4)
            .with_resource_name(StrBytes::from_static_str("1"))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![resource])
            .with_include_synonyms(true)
            .with_include_documentation(true);
        let header = header(ApiKey::DescribeConfigs, version);
        let Response::DescribeConfigs(response) = describe_configs::answer(&image, &config, SELF, &header, &request)
        else {
            panic!("DescribeConfigs is answered");
        };
        response.encode(&mut BytesMut::new(), version).expect("encodable");
    }
    for version in ApiKey::DescribeCluster.min_version()..=ApiKey::DescribeCluster.max_version() {
        let request = DescribeClusterRequest::default().with_include_fenced_brokers(true);
        let header = header(ApiKey::DescribeCluster, version);
        let Response::DescribeCluster(response) =
            describe_cluster::answer(&image, &config, SELF, None, &header, &request)
        else {
            panic!("DescribeCluster is answered");
        };
        assert_eq!(response.brokers.len(), if version >= 2 { 3 } else { 2 });
        if version < 2 {
            assert!(response.brokers.iter().all(|broker| !broker.is_fenced));
        }
        response.encode(&mut BytesMut::new(), version).expect("encodable");
    }
    for version in ApiKey::ListConfigResources.min_version()..=ApiKey::ListConfigResources.max_version() {
        let header = header(ApiKey::ListConfigResources, version);
        let request = ListConfigResourcesRequest::default();
        let Response::ListConfigResources(response) = list_config_resources::answer(&image, &header, &request) else {
            panic!("ListConfigResources is answered");
        };
        // Two topics, three brokers, their loggers.
        assert_eq!(response.config_resources.len(), if version == 0 { 0 } else { 8 });
        response.encode(&mut BytesMut::new(), version).expect("encodable");
    }
}

#[test]
fn whoever_wants_the_controllers_endpoints_is_told_that_this_is_a_broker() {
    let (image, config) = sample();
    let header = header(ApiKey::DescribeCluster, 1);
    let request = DescribeClusterRequest::default().with_endpoint_type(2);
    let Response::DescribeCluster(response) = describe_cluster::answer(&image, &config, SELF, None, &header, &request)
    else {
        panic!("DescribeCluster is answered");
    };
    assert_eq!(response.error_code, ErrorCode::MismatchedEndpointType.code());
}

fn describe(kind: i8, name: &str, keys: Option<&[&'static str]>) -> DescribeConfigsResult {
    let (image, config) = sample();
    let keys = keys.map(|keys| keys.iter().map(|key| StrBytes::from_static_str(key)).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_string(name.to_owned()))
        .with_configuration_keys(keys);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    let header = header(ApiKey::DescribeConfigs, 4);
    match describe_configs::answer(&image, &config, SELF, &header, &request) {
        Response::DescribeConfigs(mut response) => response.results.remove(0),
        other => panic!("DescribeConfigs is answered, not {other:?}"),
    }
}

#[test]
fn a_topics_configuration_is_told_with_what_would_hold_without_it() {
    let result = describe(2, "orders", Some(&["retention.ms"]));
    let config = &result.configs[0];
    assert_eq!((config.value.as_deref(), config.config_source), (Some("1000"), 1));
    let synonyms: Vec<(&str, Option<&str>, i8)> =
        config.synonyms.iter().map(|one| (one.name.as_str(), one.value.as_deref(), one.source)).collect();
    assert_eq!(
        synonyms,
        [
            ("retention.ms", Some("1000"), 1),
            ("log.retention.ms", Some("2000"), 3),
            ("log.retention.hours", Some("168"), 5)
        ]
    );
    assert!(describe(2, "payments", None).configs.len() > 30);
    assert_eq!(describe(2, "payments", Some(&[])).configs.len(), describe(2, "payments", None).configs.len());
}

#[test]
fn a_broker_describes_itself_and_the_dynamic_defaults_only() {
    let own = describe(4, "1", Some(&["node.id", "broker.rack", "default.replication.factor"]));
    let values: Vec<(&str, Option<&str>, i8)> =
        own.configs.iter().map(|one| (one.name.as_str(), one.value.as_deref(), one.config_source)).collect();
    assert_eq!(
        values,
        [("broker.rack", Some("a"), 4), ("default.replication.factor", Some("3"), 4), ("node.id", Some("1"), 4)]
    );
    let defaults = describe(4, "", None);
    assert_eq!(defaults.configs.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["log.retention.ms"]);
    assert_eq!(describe(4, "2", None).error_code, ErrorCode::InvalidRequest.code());
    assert_eq!(describe(8, "1", None).error_code, ErrorCode::InvalidRequest.code());
    assert_eq!(describe(2, "nothing", None).error_code, ErrorCode::UnknownTopicOrPartition.code());
}

fn page(names: &[&str], limit: i32, cursor: Option<Cursor>) -> DescribeTopicPartitionsResponse {
    let (image, config) = sample();
    let topics = names
        .iter()
        .map(|name| TopicRequest::default().with_name(TopicName(StrBytes::from_string((*name).to_owned()))));
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(topics.collect())
        .with_response_partition_limit(limit)
        .with_cursor(cursor);
    let header = header(ApiKey::DescribeTopicPartitions, 0);
    match describe_topic_partitions::answer(&image, &config, SELF, &header, &request) {
        Response::DescribeTopicPartitions(response) => response,
        other => panic!("DescribeTopicPartitions is answered, not {other:?}"),
    }
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    for limit in 1..=5 {
        let mut told = Vec::new();
        let mut cursor = None;
        loop {
            let response = page(&[], limit, cursor.take());
            for topic in &response.topics {
                let name = topic.name.as_ref().expect("a name").0.to_string();
                assert!(!topic.partitions.is_empty(), "a page begins with a partition");
                told.extend(topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index)));
            }
            let Some(next) = response.next_cursor else { break };
            let next = Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index);
            cursor = Some(next);
        }
        let expected = [("orders", 0), ("orders", 1), ("orders", 2), ("payments", 0)];
        assert_eq!(told, expected.map(|(name, number)| (name.to_owned(), number)), "limit {limit}");
    }
}

#[test]
fn eligible_replicas_and_unknown_topics_are_told() {
    let response = page(&["orders", "nothing"], 100, None);
    assert_eq!(response.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    let led_by_fenced = &response.topics[1].partitions[1];
    assert_eq!(led_by_fenced.leader_id.0, -1);
    let eligible = led_by_fenced.eligible_leader_replicas.as_ref().expect("always told");
    assert_eq!(eligible.iter().map(|id| id.0).collect::<Vec<_>>(), [2]);
}

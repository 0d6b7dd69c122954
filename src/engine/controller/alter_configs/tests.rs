//! Changes of configurations: what is allowed, what is written, what else changes with it.

use crate::engine::controller::harness::{Harness, ids};
use crate::engine::controller::record::{ConfigResource, MetadataRecord};
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{AlterConfigsRequest, IncrementalAlterConfigsRequest, alter_configs_request};
use kafka_protocol::protocol::StrBytes;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

type Operation<'a> = (&'a str, i8, Option<&'a str>);

fn request(kind: i8, name: &str, operations: &[Operation]) -> AlterConfigsResource {
    let configs = operations.iter().map(|(key, operation, value)| {
        AlterableConfig::default()
            .with_name(StrBytes::from_string((*key).to_owned()))
            .with_config_operation(*operation)
            .with_value(value.map(|value| StrBytes::from_string(value.to_owned())))
    });
    AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_string(name.to_owned()))
        .with_configs(configs.collect())
}

fn alter_all(cluster: &mut Harness, resources: Vec<AlterConfigsResource>, validate_only: bool) -> Vec<ErrorCode> {
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources).with_validate_only(validate_only);
    match cluster.ask(ApiKey::IncrementalAlterConfigs, &Request::IncrementalAlterConfigs(request)) {
        Response::IncrementalAlterConfigs(response) => {
            response.responses.iter().map(|one| ErrorCode::from_code(one.error_code)).collect()
        }
        other => panic!("IncrementalAlterConfigs is answered, not {other:?}"),
    }
}

fn alter(cluster: &mut Harness, kind: i8, name: &str, operations: &[Operation]) -> ErrorCode {
    alter_all(cluster, vec![request(kind, name, operations)], false)[0]
}

fn value(cluster: &Harness, key: &str) -> Option<String> {
    cluster.image().config(&ConfigResource::Topic("orders".to_owned()), key).map(str::to_owned)
}

fn cluster() -> Harness {
    let mut cluster = Harness::with_brokers(3);
    cluster.topic("orders", &[&[1, 2, 3]]);
    cluster
}

#[test]
fn values_are_set_deleted_appended_and_subtracted() {
    let mut cluster = cluster();
    let operations = [("retention.ms", SET, Some("1000")), ("cleanup.policy", APPEND, Some("compact"))];
    assert_eq!(alter(&mut cluster, TOPIC, "orders", &operations), ErrorCode::None);
    assert_eq!(value(&cluster, "cleanup.policy").as_deref(), Some("delete,compact"), "appended to the default");
    let operations = [("retention.ms", DELETE, None), ("cleanup.policy", SUBTRACT, Some("delete"))];
    assert_eq!(alter(&mut cluster, TOPIC, "orders", &operations), ErrorCode::None);
    assert_eq!(value(&cluster, "retention.ms"), None);
    assert_eq!(value(&cluster, "cleanup.policy").as_deref(), Some("compact"));
}

#[test]
fn what_does_not_change_is_not_written() {
    let mut cluster = cluster();
    alter(&mut cluster, TOPIC, "orders", &[("retention.ms", SET, Some("1000"))]);
    alter(&mut cluster, TOPIC, "orders", &[("retention.ms", SET, Some("1000")), ("segment.ms", DELETE, None)]);
    assert!(cluster.last.records.is_empty());
}

#[test]
fn what_is_only_validated_is_not_written() {
    let mut cluster = cluster();
    let good = request(TOPIC, "orders", &[("retention.ms", SET, Some("1000"))]);
    assert_eq!(alter_all(&mut cluster, vec![good], true), [ErrorCode::None]);
    assert!(cluster.last.records.is_empty());
}

#[test]
fn refusals_have_kafkas_codes_and_write_nothing() {
    let mut cluster = cluster();
    let set = |key, value| [(key, SET, Some(value))];
    let cases: Vec<(i8, &str, Vec<Operation>, ErrorCode)> = vec![
        (TOPIC, "nothing", set("retention.ms", "1").to_vec(), ErrorCode::UnknownTopicOrPartition),
        (TOPIC, "no/name", set("retention.ms", "1").to_vec(), ErrorCode::InvalidTopicException),
        (TOPIC, "orders", set("retention.sm", "1").to_vec(), ErrorCode::InvalidConfig),
        (TOPIC, "orders", set("retention.ms", "soon").to_vec(), ErrorCode::InvalidConfig),
        (TOPIC, "orders", vec![("retention.ms", SET, None)], ErrorCode::InvalidRequest),
        (TOPIC, "orders", vec![("retention.ms", APPEND, Some("1"))], ErrorCode::InvalidConfig),
        (TOPIC, "orders", vec![("retention.ms", 9, Some("1"))], ErrorCode::InvalidRequest),
        (TOPIC, "orders", vec![("cleanup.policy", SUBTRACT, Some("delete"))], ErrorCode::InvalidConfig),
        (
            TOPIC,
            "orders",
            vec![("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)],
            ErrorCode::InvalidRequest,
        ),
        (GROUP, "", set("consumer.session.timeout.ms", "9000").to_vec(), ErrorCode::InvalidRequest),
        (GROUP, "billing", set("consumer.session.timeout.ms", "999").to_vec(), ErrorCode::InvalidConfig),
        (GROUP, "billing", set("session.timeout.ms", "9000").to_vec(), ErrorCode::InvalidConfig),
        (BROKER, "nobody", set("log.retention.ms", "1").to_vec(), ErrorCode::InvalidRequest),
        (BROKER, "9", set("log.retention.ms", "1").to_vec(), ErrorCode::BrokerIdNotRegistered),
        (BROKER, "", set("num.partitions", "4").to_vec(), ErrorCode::InvalidRequest),
        (BROKER, "1", set("min.insync.replicas", "1").to_vec(), ErrorCode::InvalidConfig),
        (BROKER, "", vec![("min.insync.replicas", DELETE, None)], ErrorCode::InvalidConfig),
        (8, "1", set("root", "DEBUG").to_vec(), ErrorCode::InvalidRequest),
        (3, "", set("x", "1").to_vec(), ErrorCode::InvalidRequest),
    ];
    for (kind, name, operations, error) in cases {
        assert_eq!(alter(&mut cluster, kind, name, &operations), error, "{kind} {name} {operations:?}");
        assert!(cluster.last.records.is_empty());
    }
}

#[test]
fn a_resource_named_twice_is_not_changed_but_others_are() {
    let mut cluster = cluster();
    let one = request(TOPIC, "orders", &[("retention.ms", SET, Some("1000"))]);
    let other = request(BROKER, "1", &[("log.retention.ms", SET, Some("5"))]);
    let errors = alter_all(&mut cluster, vec![one.clone(), other, one], false);
    assert_eq!(errors, [ErrorCode::InvalidRequest, ErrorCode::None, ErrorCode::InvalidRequest]);
    assert_eq!(value(&cluster, "retention.ms"), None);
    let broker = ConfigResource::Broker(BrokerId(1));
    assert_eq!(cluster.image().config(&broker, "log.retention.ms"), Some("5"));
}

#[test]
fn names_that_are_not_kafkas_are_kept_for_brokers_only() {
    let mut cluster = cluster();
    assert_eq!(alter(&mut cluster, BROKER, "", &[("my.plugin.key", SET, Some("x"))]), ErrorCode::None);
    assert_eq!(cluster.image().config(&ConfigResource::Cluster, "my.plugin.key"), Some("x"));
}

#[test]
fn the_older_request_replaces_everything() {
    let mut cluster = cluster();
    alter(&mut cluster, TOPIC, "orders", &[("retention.ms", SET, Some("1000")), ("segment.ms", SET, Some("7"))]);
    let config = alter_configs_request::AlterableConfig::default()
        .with_name(StrBytes::from_static_str("segment.ms"))
        .with_value(Some(StrBytes::from_static_str("8")));
    let resource = alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(StrBytes::from_static_str("orders"))
        .with_configs(vec![config]);
    let request = AlterConfigsRequest::default().with_resources(vec![resource]);
    cluster.ask(ApiKey::AlterConfigs, &Request::AlterConfigs(request));
    assert_eq!((value(&cluster, "retention.ms"), value(&cluster, "segment.ms")), (None, Some("8".to_owned())));
}

#[test]
fn another_minimum_of_in_sync_replicas_empties_the_elr_before_it_counts() {
    let mut cluster = cluster();
    let partition = cluster.topic("payments", &[&[1, 2, 3]]);
    cluster.want_isr(partition, &[1, 2]);
    cluster.want_isr(partition, &[1]);
    assert_eq!(cluster.state(partition).elr, ids(&[2]));
    assert_eq!(alter(&mut cluster, TOPIC, "payments", &[("min.insync.replicas", SET, Some("1"))]), ErrorCode::None);
    assert!(cluster.state(partition).elr.is_empty());
    assert!(matches!(
        &cluster.last.records[..],
        [MetadataRecord::PartitionChange { .. }, MetadataRecord::Config { .. }]
    ));
}

#[test]
fn another_minimum_leaves_the_eligible_replicas_of_a_partition_that_nobody_writes_to() {
    let mut cluster = cluster();
    let partition = cluster.topic("payments", &[&[1, 2]]);
    cluster.pass(cluster.config.broker_session_timeout_ms);
    let eligible = cluster.state(partition).elr.clone();
    assert_eq!(eligible, ids(&[1, 2]));
    alter(&mut cluster, BROKER, "", &[("min.insync.replicas", SET, Some("1"))]);
    assert_eq!(cluster.state(partition).elr, eligible);
}

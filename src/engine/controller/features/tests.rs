//! Features: what a new cluster begins with, and what can be changed.

use crate::engine::controller::features::{ELIGIBLE_LEADER_REPLICAS, FEATURES, METADATA_VERSION};
use crate::engine::controller::harness::{Harness, ids};
use crate::engine::controller::record::ConfigResource;
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::UpdateFeaturesRequest;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::protocol::StrBytes;

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;

fn update(cluster: &mut Harness, name: &str, level: i16, kind: i8) -> ErrorCode {
    let key = FeatureUpdateKey::default()
        .with_feature(StrBytes::from_string(name.to_owned()))
        .with_max_version_level(level)
        .with_upgrade_type(kind);
    let request = UpdateFeaturesRequest::default().with_feature_updates(vec![key]);
    match cluster.ask(ApiKey::UpdateFeatures, &Request::UpdateFeatures(request)) {
        Response::UpdateFeatures(response) => ErrorCode::from_code(response.error_code),
        other => panic!("UpdateFeatures is answered, not {other:?}"),
    }
}

#[test]
fn a_new_cluster_has_its_features_and_its_minimum_of_in_sync_replicas() {
    let cluster = Harness::new(3);
    for feature in FEATURES {
        assert_eq!(cluster.image().feature(feature.name), feature.initial);
        assert!(feature.min <= feature.initial && feature.initial <= feature.max);
    }
    assert_eq!(cluster.image().config(&ConfigResource::Cluster, "min.insync.replicas"), Some("2"));
}

#[test]
fn levels_move_within_their_bounds_and_down_only_when_said_so() {
    let mut cluster = Harness::new(3);
    assert_eq!(update(&mut cluster, METADATA_VERSION, 99, UPGRADE), ErrorCode::InvalidUpdateVersion);
    assert_eq!(update(&mut cluster, "teleport", 1, UPGRADE), ErrorCode::InvalidUpdateVersion);
    assert_eq!(update(&mut cluster, METADATA_VERSION, 25, UPGRADE), ErrorCode::InvalidUpdateVersion);
    assert!(cluster.last.records.is_empty());
    assert_eq!(update(&mut cluster, METADATA_VERSION, 25, SAFE_DOWNGRADE), ErrorCode::None);
    assert_eq!(cluster.image().feature(METADATA_VERSION), 25);
    assert_eq!(update(&mut cluster, METADATA_VERSION, 27, UPGRADE), ErrorCode::None);
}

#[test]
fn up_to_version_one_every_feature_has_its_own_result() {
    let mut cluster = Harness::new(3);
    let key = FeatureUpdateKey::default()
        .with_feature(StrBytes::from_static_str("teleport"))
        .with_max_version_level(1)
        .with_upgrade_type(UPGRADE);
    let request = Request::UpdateFeatures(UpdateFeaturesRequest::default().with_feature_updates(vec![key]));
    let header = RequestHeader {
        api: ApiKey::UpdateFeatures,
        version: 1,
        correlation_id: 1,
        client_id: None,
        client_host: None,
    };
    let Response::UpdateFeatures(response) = cluster.ask_at(&header, &request) else {
        panic!("UpdateFeatures is answered");
    };
    assert_eq!(response.error_code, 0);
    assert_eq!(response.results[0].error_code, ErrorCode::InvalidUpdateVersion.code());
}

#[test]
fn without_elr_the_last_replica_stays_in_the_isr() {
    let mut cluster = Harness::with_brokers(2);
    let partition = cluster.topic("orders", &[&[1, 2]]);
    let epochs = [1, 2].map(|id| cluster.epoch_of(id));
    cluster.pass(cluster.config.broker_session_timeout_ms);
    let refused = update(&mut cluster, ELIGIBLE_LEADER_REPLICAS, 0, SAFE_DOWNGRADE);
    assert_eq!(refused, ErrorCode::InvalidUpdateVersion, "who is eligible would be forgotten");
    cluster.start(1, epochs[0]);
    cluster.start(2, epochs[1]);
    cluster.want_isr(partition, &[1, 2]);
    assert_eq!(update(&mut cluster, ELIGIBLE_LEADER_REPLICAS, 0, SAFE_DOWNGRADE), ErrorCode::None);
    cluster.pass(cluster.config.broker_session_timeout_ms);
    let state = cluster.state(partition);
    assert_eq!((state.leader, &state.isr, &state.elr), (None, &ids(&[2]), &vec![]));
    assert_eq!(&cluster.replayed(), cluster.image());
}

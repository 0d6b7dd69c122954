//! DescribeCluster (key 60).
//!
//! Controllers have no listener of their own: whoever wants the controllers' endpoints is told that this is a broker
//! (KIP-919).

use crate::engine::api::visible;
use crate::engine::config::ClusterConfig;
use crate::engine::controller::image::MetadataImage;
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId as WireBrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Answers.
pub fn answer(
    image: &MetadataImage,
    config: &ClusterConfig,
    _broker: BrokerId,
    controller: Option<BrokerId>,
    header: &RequestHeader,
    request: &DescribeClusterRequest,
) -> Response {
    let refused = |error: ErrorCode, message: &'static str| {
        let response = DescribeClusterResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_static_str(message)))
            .with_controller_id(WireBrokerId(-1))
            .with_cluster_authorized_operations(visible::OPERATIONS_NOT_ASKED);
        Response::DescribeCluster(response)
    };
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            return refused(
                ErrorCode::MismatchedEndpointType,
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
            );
        }
        _ => return refused(ErrorCode::UnsupportedEndpointType, "Unsupported endpoint type"),
    }
    let with_fenced = header.version >= 2 && request.include_fenced_brokers;
    let told = image.brokers.iter().filter(|(_, broker)| with_fenced || !broker.fenced);
    let brokers = told.map(|(id, broker)| {
        DescribeClusterBroker::default()
            .with_broker_id((*id).into())
            .with_host(StrBytes::from_string(broker.host.clone()))
            .with_port(i32::from(broker.port))
            .with_rack(broker.rack.clone().map(StrBytes::from_string))
            .with_is_fenced(broker.fenced)
    });
    let operations = if request.include_cluster_authorized_operations {
        visible::CLUSTER_OPERATIONS
    } else {
        visible::OPERATIONS_NOT_ASKED
    };
    let response = DescribeClusterResponse::default()
        .with_endpoint_type(BROKERS)
        .with_cluster_id(StrBytes::from_string(config.cluster_id.clone()))
        .with_controller_id(WireBrokerId(controller.map_or(-1, |controller| controller.0)))
        .with_brokers(brokers.collect())
        .with_cluster_authorized_operations(operations);
    Response::DescribeCluster(response)
}

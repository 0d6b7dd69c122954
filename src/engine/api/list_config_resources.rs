//! ListConfigResources (key 74, KIP-1142): what has, or can have, a configuration of its own. Version 0 asks for client
//! metrics, of which there are none.

use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::record::ConfigResource as Owner;
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
const KINDS: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

/// Answers.
pub fn answer(image: &MetadataImage, header: &RequestHeader, request: &ListConfigResourcesRequest) -> Response {
    let kinds = match &request.resource_types[..] {
        _ if header.version == 0 => &[CLIENT_METRICS][..],
        [] => &KINDS,
        asked => asked,
    };
    let response = ListConfigResourcesResponse::default();
    if kinds.iter().any(|kind| !KINDS.contains(kind)) {
        let code = ErrorCode::UnsupportedVersion.code();
        return Response::ListConfigResources(response.with_error_code(code));
    }
    let resource = |kind: i8, name: String| {
        ConfigResource::default().with_resource_type(kind).with_resource_name(StrBytes::from_string(name))
    };
    let mut resources = Vec::new();
    for kind in KINDS.into_iter().filter(|kind| kinds.contains(kind)) {
        match kind {
            TOPIC => resources.extend(image.topic_ids.keys().map(|name| resource(kind, name.clone()))),
            BROKER | BROKER_LOGGER => {
                resources.extend(image.brokers.keys().map(|id| resource(kind, id.to_string())));
            }
            GROUP => resources.extend(image.configs.keys().filter_map(|owner| match owner {
                Owner::Group(name) => Some(resource(kind, name.clone())),
                _ => None,
            })),
            _ => {}
        }
    }
    Response::ListConfigResources(response.with_config_resources(resources))
}

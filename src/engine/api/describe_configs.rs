//! DescribeConfigs (key 32): topics, groups, this broker, the brokers' dynamic defaults.
//!
//! As in Kafka, a broker describes itself and no other: clients send the request to the broker they ask about. Broker
//! loggers and client metrics do not exist here and are refused.

use crate::engine::config::ClusterConfig;
use crate::engine::controller::describe::{self, ConfigEntry};
use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::record::ConfigResource;
use crate::engine::controller::topics;
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

/// Answers.
pub fn answer(
    image: &MetadataImage,
    config: &ClusterConfig,
    broker: BrokerId,
    header: &RequestHeader,
    request: &DescribeConfigsRequest,
) -> Response {
    let with_docs = header.version >= 3 && request.include_documentation;
    let results = request.resources.iter().map(|asked| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name.clone());
        match entries(image, config, broker, asked) {
            Ok(entries) => {
                // An empty list asks for everything, as no list does.
                let keys = asked.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
                let is_wanted =
                    |entry: &ConfigEntry| keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == entry.name));
                let told = entries.into_iter().filter(is_wanted);
                result.with_configs(told.map(|entry| tell(entry, request.include_synonyms, with_docs)).collect())
            }
            Err((error, message)) => {
                result.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)))
            }
        }
    });
    Response::DescribeConfigs(DescribeConfigsResponse::default().with_results(results.collect()))
}

fn entries(
    image: &MetadataImage,
    config: &ClusterConfig,
    broker: BrokerId,
    asked: &DescribeConfigsResource,
) -> Result<Vec<ConfigEntry>, (ErrorCode, String)> {
    let name = asked.resource_name.as_str();
    match asked.resource_type {
        2 => {
            topics::check_name(name).map_err(|why| (ErrorCode::InvalidTopicException, why))?;
            if !image.topic_ids.contains_key(name) {
                let message = "This server does not host this topic-partition.";
                return Err((ErrorCode::UnknownTopicOrPartition, message.to_owned()));
            }
            let own = image.configs.get(&ConfigResource::Topic(name.to_owned())).cloned().unwrap_or_default();
            Ok(describe::topic_entries(image, config, Some(broker), &own))
        }
        4 if name.is_empty() => Ok(describe::cluster_entries(image)),
        4 if name.parse() == Ok(broker.0) => Ok(describe::broker_entries(image, config, broker)),
        4 => {
            let message = format!("Unexpected broker id, expected {broker} or empty string, but received {name}");
            Err((ErrorCode::InvalidRequest, message))
        }
        32 if name.is_empty() => Err((ErrorCode::InvalidRequest, "Group name must not be empty".to_owned())),
        32 => Ok(describe::group_entries(image, config, name)),
        other => Err((ErrorCode::InvalidRequest, format!("Unsupported resource type: {other}"))),
    }
}

fn tell(entry: ConfigEntry, with_synonyms: bool, with_docs: bool) -> DescribeConfigsResourceResult {
    let synonyms = if with_synonyms { entry.synonyms } else { Vec::new() };
    let synonyms = synonyms.into_iter().map(|(name, value, source)| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_string(name))
            .with_value(value.map(StrBytes::from_string))
            .with_source(source as i8)
    });
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(entry.name))
        .with_value(entry.value.map(StrBytes::from_string))
        .with_read_only(entry.is_read_only)
        .with_config_source(entry.source as i8)
        .with_synonyms(synonyms.collect())
        .with_config_type(entry.def.map_or(0, |def| def.kind as i8))
        .with_documentation(entry.def.filter(|_| with_docs).map(|def| StrBytes::from_static_str(def.doc)))
}

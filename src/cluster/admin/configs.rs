//! `config describe` and `config alter`.
//!
//! Invariant: settings of one broker are asked of that broker, as Kafka's own tools do.
//!
//! Deliberately not here: which settings there are and what they may be (the brokers know).

use super::{Ask, Trouble, answer_to, check, count, text};
use crate::client::Target;
use crate::cluster::command::values::Setting;
use crate::cluster::command::{ConfigEntity, Reply};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use serde_json::{Value, json};

/// Kafka's `ConfigResource.Type`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
/// Kafka's `AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;
/// Kafka's `DescribeConfigsResponse.ConfigSource.DEFAULT_CONFIG`.
const DEFAULT: i8 = 5;

fn resource(entity: &ConfigEntity) -> (i8, String, Target) {
    match entity {
        ConfigEntity::Topic(name) => (TOPIC, name.clone(), Target::Any),
        ConfigEntity::Group(name) => (GROUP, name.clone(), Target::Any),
        ConfigEntity::Broker(id) => (BROKER, id.to_string(), Target::Broker(*id)),
        ConfigEntity::Brokers => (BROKER, String::new(), Target::Any),
    }
}

/// Where a value comes from, in words (Kafka's `ConfigSource`).
fn source(code: i8) -> &'static str {
    match code {
        1 => "topic",
        2 => "broker",
        3 => "brokers",
        4 => "start-up",
        DEFAULT => "default",
        6 => "logger",
        8 => "group",
        _ => "unknown",
    }
}

pub(super) fn describe(entity: &ConfigEntity, all: bool, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let (kind, name, to) = resource(entity);
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(&name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let response = answer_to!(ask, to, DescribeConfigs, request)?;
    let (mut lines, mut data) = (Vec::new(), Vec::new());
    for result in &response.results {
        check(&entity.to_string(), result.error_code, result.error_message.as_ref())?;
        let mut configs: Vec<_> =
            result.configs.iter().filter(|config| all || config.config_source != DEFAULT).collect();
        configs.sort_by(|a, b| a.name.cmp(&b.name));
        for config in configs {
            let value = config.value.as_ref().map(|value| value.to_string());
            let shown = match &value {
                _ if config.is_sensitive => "(hidden)",
                Some(value) => value,
                None => "(none)",
            };
            let fixed = if config.read_only { ", fixed" } else { "" };
            lines.push(format!("{} = {shown} ({}{fixed})", config.name, source(config.config_source)));
            data.push(json!({
                "name": config.name.to_string(),
                "value": value,
                "source": source(config.config_source),
                "read_only": config.read_only,
                "sensitive": config.is_sensitive,
            }));
        }
    }
    if lines.is_empty() {
        lines.push(format!("{entity}: nothing but defaults (--all shows them)"));
    }
    Ok(Reply::told(lines.join("\n"), Value::Array(data)))
}

pub(super) fn alter(
    entity: &ConfigEntity,
    changed: &[Setting],
    deleted: &[String],
    ask: &mut dyn Ask,
) -> Result<Reply, Trouble> {
    set(entity, changed, deleted, ask)?;
    let what = count(changed.len() + deleted.len(), "setting");
    let data = json!({"set": changed.len(), "deleted": deleted.len()});
    Ok(Reply::told(format!("{entity}: {what} changed."), data))
}

/// Changes settings.
pub(super) fn set(
    entity: &ConfigEntity,
    changed: &[Setting],
    deleted: &[String],
    ask: &mut dyn Ask,
) -> Result<(), Trouble> {
    let (kind, name, to) = resource(entity);
    let set = changed.iter().map(|setting| {
        AlterableConfig::default()
            .with_name(text(&setting.key))
            .with_config_operation(SET)
            .with_value(Some(text(&setting.value)))
    });
    let delete = deleted
        .iter()
        .map(|key| AlterableConfig::default().with_name(text(key)).with_config_operation(DELETE).with_value(None));
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(&name))
        .with_configs(set.chain(delete).collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let response = answer_to!(ask, to, IncrementalAlterConfigs, request)?;
    for result in &response.responses {
        check(&entity.to_string(), result.error_code, result.error_message.as_ref())?;
    }
    Ok(())
}

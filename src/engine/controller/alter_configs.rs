//! Changing configurations: IncrementalAlterConfigs (KIP-339), AlterConfigs, and the check of a new topic's
//! (`ConfigurationControlManager`, `ConfigAdminManager`).
//!
//! Invariants: what is in the image is valid by the table; a resource is changed as a whole or not at all; when
//! `min.insync.replicas` of a topic changes, its partitions' ELR is emptied *before* the new value counts, because
//! those replicas are only known to have everything that was acknowledged under the old one (KIP-966).
//!
//! Deviation: Kafka empties the ELR of a partition without ISR too, which nobody can lead then. Nothing is acknowledged
//! there, so that its eligible replicas stay complete: they are kept.

use crate::engine::controller::config_table::{self, Kind, Scope, Update};
use crate::engine::controller::configs::{self, Dynamic};
use crate::engine::controller::draft::Draft;
use crate::engine::controller::record::{ConfigResource, MetadataRecord};
use crate::engine::controller::{features, topics};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, PartitionId};
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    alter_configs_response, incremental_alter_configs_response,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};

/// A refusal: the code and what a person reads.
pub(super) type Refusal = (ErrorCode, String);

const MIN_ISR: &str = "min.insync.replicas";

/// IncrementalAlterConfigs (key 44).
pub(super) fn incremental(
    draft: &mut Draft,
    request: &IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let named = request.resources.iter().map(|resource| (resource.resource_type, resource.resource_name.clone()));
    let repeated = repeated(named);
    let mut changes = Changes::default();
    let mut responses = Vec::with_capacity(request.resources.len());
    for asked in &request.resources {
        let key = (asked.resource_type, asked.resource_name.clone());
        let outcome = resource(draft, &key, &repeated).and_then(|resource| {
            let before = draft.image.configs.get(&resource).cloned().unwrap_or_default();
            let mut after = before.clone();
            let mut names = BTreeSet::new();
            for config in &asked.configs {
                let name = config.name.as_str();
                if !names.insert(name) {
                    return Err((ErrorCode::InvalidRequest, format!("Error due to duplicate config keys : {name}")));
                }
                let value = config.value.as_ref().map(StrBytes::as_str);
                operate(&mut after, &resource, name, config.config_operation, value)?;
            }
            changes.add(draft, resource, &before, after)
        });
        let response = incremental_alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name.clone());
        responses.push(match outcome {
            Ok(()) => response,
            Err((error, message)) => {
                response.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)))
            }
        });
    }
    if !request.validate_only {
        changes.write(draft);
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

/// AlterConfigs (key 33): what is not named is unset.
pub(super) fn replace(draft: &mut Draft, request: &AlterConfigsRequest) -> AlterConfigsResponse {
    let named = request.resources.iter().map(|resource| (resource.resource_type, resource.resource_name.clone()));
    let repeated = repeated(named);
    let mut changes = Changes::default();
    let mut responses = Vec::with_capacity(request.resources.len());
    for asked in &request.resources {
        let key = (asked.resource_type, asked.resource_name.clone());
        let outcome = resource(draft, &key, &repeated).and_then(|resource| {
            let before = draft.image.configs.get(&resource).cloned().unwrap_or_default();
            let mut after = BTreeMap::new();
            for config in &asked.configs {
                let name = config.name.as_str();
                let Some(value) = &config.value else {
                    return Err((ErrorCode::InvalidRequest, format!("Null value not supported for : {name}")));
                };
                if after.insert(name.to_owned(), value.as_str().to_owned()).is_some() {
                    return Err((ErrorCode::InvalidRequest, format!("Error due to duplicate config keys : {name}")));
                }
            }
            changes.add(draft, resource, &before, after)
        });
        let response = alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name.clone());
        responses.push(match outcome {
            Ok(()) => response,
            Err((error, message)) => {
                response.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)))
            }
        });
    }
    if !request.validate_only {
        changes.write(draft);
    }
    AlterConfigsResponse::default().with_responses(responses)
}

type Key = (i8, StrBytes);

/// The resources that are named more than once: none of their changes is made.
fn repeated(named: impl Iterator<Item = Key>) -> BTreeSet<Key> {
    let mut seen = BTreeSet::new();
    named.filter(|key| !seen.insert(key.clone())).collect()
}

/// The resource behind a type's number and a name, if it exists and can be changed.
fn resource(draft: &Draft, key: &Key, repeated: &BTreeSet<Key>) -> Result<ConfigResource, Refusal> {
    let (kind, name) = (key.0, key.1.as_str());
    if repeated.contains(key) {
        return Err((ErrorCode::InvalidRequest, "Each resource must appear at most once.".to_owned()));
    }
    match kind {
        2 => {
            topics::check_name(name).map_err(|why| (ErrorCode::InvalidTopicException, why))?;
            if !draft.image.topic_ids.contains_key(name) {
                let message = format!("The topic '{name}' does not exist.");
                return Err((ErrorCode::UnknownTopicOrPartition, message));
            }
            Ok(ConfigResource::Topic(name.to_owned()))
        }
        4 if name.is_empty() => Ok(ConfigResource::Cluster),
        4 => {
            let id = name
                .parse()
                .map_err(|_| (ErrorCode::InvalidRequest, format!("Node id must be an integer, but it is: {name}")))?;
            if !draft.image.brokers.contains_key(&BrokerId(id)) {
                return Err((ErrorCode::BrokerIdNotRegistered, format!("No broker with id {id} found.")));
            }
            Ok(ConfigResource::Broker(BrokerId(id)))
        }
        32 if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "Default group resources are not allowed.".to_owned()))
        }
        32 => Ok(ConfigResource::Group(name.to_owned())),
        8 => Err((ErrorCode::InvalidRequest, "Log levels cannot be changed over the wire.".to_owned())),
        other => Err((ErrorCode::InvalidRequest, format!("Unexpected resource type {other}."))),
    }
}

/// One operation of IncrementalAlterConfigs: SET 0, DELETE 1, APPEND 2, SUBTRACT 3.
fn operate(
    values: &mut BTreeMap<String, String>,
    resource: &ConfigResource,
    name: &str,
    operation: i8,
    value: Option<&str>,
) -> Result<(), Refusal> {
    let given = || value.ok_or_else(|| (ErrorCode::InvalidRequest, format!("Null value not supported for : {name}")));
    match operation {
        0 => {
            values.insert(name.to_owned(), given()?.to_owned());
        }
        1 => {
            values.remove(name);
        }
        2 | 3 => {
            let given = given()?;
            let def = config_table::find(scope(resource), name).filter(|def| def.kind == Kind::List);
            let Some(def) = def else {
                let verb = if operation == 2 { "APPEND" } else { "SUBTRACT" };
                let message = format!("Can't {verb} to key {name} because its type is not LIST.");
                return Err((ErrorCode::InvalidConfig, message));
            };
            let before = values.get(name).map(String::as_str).or(def.default).unwrap_or_default();
            let mut words: Vec<&str> = config_table::list(before).collect();
            for word in config_table::list(given) {
                let place = words.iter().position(|known| *known == word);
                match (operation, place) {
                    (2, None) => words.push(word),
                    (3, Some(index)) => {
                        words.remove(index);
                    }
                    _ => {}
                }
            }
            let joined = words.join(",");
            values.insert(name.to_owned(), joined);
        }
        other => {
            return Err((ErrorCode::InvalidRequest, format!("Unknown operation type id {other} for config {name}.")));
        }
    }
    Ok(())
}

fn scope(resource: &ConfigResource) -> Scope {
    match resource {
        ConfigResource::Topic(_) => Scope::Topic,
        ConfigResource::Broker(_) | ConfigResource::Cluster => Scope::Broker,
        ConfigResource::Group(_) => Scope::Group,
    }
}

/// Whether a topic may have these configurations.
///
/// # Errors
/// INVALID_CONFIG with Kafka's words.
pub(super) fn check_topic(values: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for (name, value) in values {
        let Some(def) = config_table::find(Scope::Topic, name) else {
            return Err((ErrorCode::InvalidConfig, format!("Unknown topic config name: {name}")));
        };
        def.validate(value).map_err(|why| (ErrorCode::InvalidConfig, why))?;
    }
    Ok(())
}

fn check(
    draft: &Draft,
    resource: &ConfigResource,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    match resource {
        ConfigResource::Topic(_) => return check_topic(after),
        ConfigResource::Group(_) => {
            return configs::check_group(draft.config, after).map_err(|why| (ErrorCode::InvalidConfig, why));
        }
        ConfigResource::Broker(_) | ConfigResource::Cluster => {}
    }
    for (name, value) in after {
        // Names that are not Kafka's are kept, as Kafka keeps them: plugins have their own.
        let Some(def) = config_table::find(Scope::Broker, name) else { continue };
        if def.update == Update::ReadOnly {
            let message = format!("Cannot update these configs dynamically: Set({name})");
            return Err((ErrorCode::InvalidRequest, message));
        }
        def.validate(value).map_err(|why| (ErrorCode::InvalidConfig, why))?;
    }
    let has_elr = draft.image.feature(features::ELIGIBLE_LEADER_REPLICAS) >= 1;
    let refused = |what: &str| Err((ErrorCode::InvalidConfig, format!("{what} while ELR is enabled.")));
    if has_elr && *resource != ConfigResource::Cluster && before.get(MIN_ISR) != after.get(MIN_ISR) {
        return refused("Broker-level min.insync.replicas cannot be altered");
    }
    if has_elr && *resource == ConfigResource::Cluster && before.contains_key(MIN_ISR) && !after.contains_key(MIN_ISR) {
        return refused("Cluster-level min.insync.replicas cannot be removed");
    }
    Ok(())
}

/// Changes that were accepted and are not written yet.
#[derive(Default)]
struct Changes {
    records: Vec<MetadataRecord>,
    after: BTreeMap<ConfigResource, BTreeMap<String, String>>,
}

impl Changes {
    fn add(
        &mut self,
        draft: &Draft,
        resource: ConfigResource,
        before: &BTreeMap<String, String>,
        after: BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        check(draft, &resource, before, &after)?;
        let set = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
        let set = set.map(|(name, value)| (name, Some(value.clone())));
        let unset = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name, None));
        for (key, value) in set.chain(unset) {
            let (resource, key) = (resource.clone(), key.clone());
            self.records.push(MetadataRecord::Config { resource, key, value });
        }
        self.after.insert(resource, after);
        Ok(())
    }

    fn write(self, draft: &mut Draft) {
        let touches_min_isr =
            |record: &MetadataRecord| matches!(record, MetadataRecord::Config { key, .. } if key == MIN_ISR);
        if self.records.iter().any(touches_min_isr) {
            let mut dynamic = draft.image.configs.clone();
            dynamic.extend(self.after);
            clear_elr_where_the_minimum_changes(draft, &dynamic);
        }
        for record in self.records {
            draft.push(record);
        }
    }
}

fn clear_elr_where_the_minimum_changes(draft: &mut Draft, dynamic: &Dynamic) {
    let image = draft.image;
    for topic in image.topics.values() {
        let before = configs::min_insync_replicas(image, draft.config, &topic.name);
        let after = configs::min_insync_replicas_in(dynamic, draft.config, &topic.name);
        if before == after {
            continue;
        }
        let rules = draft.rules(&topic.name);
        for (number, partition) in &topic.partitions {
            if !partition.elr.is_empty() && !partition.isr.is_empty() {
                let id = PartitionId::new(topic.id, *number);
                draft.change(id, rules, |change| change.forgets_elr = true);
            }
        }
    }
}

#[cfg(test)]
mod tests;

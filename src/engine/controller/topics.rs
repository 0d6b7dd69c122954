//! Topics come, grow and go: CreateTopics, CreatePartitions, DeleteTopics (`ReplicationControlManager`).
//!
//! Invariants: names are Kafka's legal ones, and no two differ by '.' and '_' only; partitions are numbered from 0
//! without gaps; a new partition's ISR is its active replicas, and the first of them leads.
//!
//! Whether a topic is made because somebody asked for it is the broker's to decide, not the controller's.

use crate::engine::controller::alter_configs::{Refusal, check_topic};
use crate::engine::controller::describe::{self, ConfigEntry};
use crate::engine::controller::draft::Draft;
use crate::engine::controller::image::TopicImage;
use crate::engine::controller::placement::Placer;
use crate::engine::controller::record::{ConfigResource, MetadataRecord, PartitionState};
use crate::engine::observe::{ElectionReason, EventKind};
use crate::engine::prng::Prng;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, PartitionId, TopicId};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};

/// Partitions that one request may make (`ReplicationControlManager.MAX_PARTITIONS_PER_BATCH`).
const MAX_PARTITIONS: usize = 10_000;

/// The longest name (`Topic.MAX_NAME_LENGTH`).
const MAX_NAME_LENGTH: usize = 249;

/// The metadata log's name, which no topic may have.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether a topic may have this name.
///
/// # Errors
/// Why not, in Kafka's words.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let why = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        _ if name.len() > MAX_NAME_LENGTH => {
            format!("the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}")
        }
        _ if !name.bytes().all(is_legal) => {
            format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err(format!("Topic name is invalid: {why}"))
}

/// Whether a topic may have this name.
pub fn is_valid_name(name: &str) -> bool {
    check_name(name).is_ok()
}

/// Whether a topic is Kafka's own.
pub fn is_internal(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}

/// CreateTopics (key 19).
pub(super) fn create(
    draft: &mut Draft,
    rng: &mut Prng,
    version: i16,
    request: &CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut seen = BTreeSet::new();
    let repeated: BTreeSet<&TopicName> =
        request.topics.iter().map(|topic| &topic.name).filter(|name| !seen.insert(*name)).collect();
    let mut taken = Taken::new(draft);
    let mut partitions_left = MAX_PARTITIONS;
    let mut told = BTreeSet::new();
    let mut results = Vec::with_capacity(request.topics.len());
    for asked in &request.topics {
        let result = CreatableTopicResult::default().with_name(asked.name.clone());
        let outcome = if repeated.contains(&asked.name) {
            if !told.insert(&asked.name) {
                continue;
            }
            Err((ErrorCode::InvalidRequest, "Duplicate topic name.".to_owned()))
        } else {
            plan_topic(draft, rng, &mut taken, &mut partitions_left, asked)
        };
        results.push(match outcome {
            Ok(plan) => {
                let result = plan.describe(draft, version, result);
                if !request.validate_only {
                    plan.write(draft);
                }
                result
            }
            Err((error, message)) => result
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message)))
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        });
    }
    CreateTopicsResponse::default().with_topics(results)
}

/// The names that are taken, those of this request included.
struct Taken<'a> {
    names: BTreeSet<&'a str>,
    /// By the name with '.' made '_': metrics cannot tell these apart.
    unified: BTreeMap<String, String>,
}

impl<'a> Taken<'a> {
    fn new(draft: &Draft<'a>) -> Taken<'a> {
        let names: BTreeSet<&str> = draft.image.topic_ids.keys().map(String::as_str).collect();
        let unified = names.iter().map(|name| (unify(name), (*name).to_owned())).collect();
        Taken { names, unified }
    }

    fn check(&self, name: &str) -> Result<(), Refusal> {
        check_name(name).map_err(|why| (ErrorCode::InvalidTopicException, why))?;
        if name == METADATA_TOPIC {
            let message = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
            return Err((ErrorCode::InvalidRequest, message));
        }
        if self.names.contains(name) {
            return Err((ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        if let Some(other) = self.unified.get(&unify(name)) {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            return Err((ErrorCode::InvalidTopicException, message));
        }
        Ok(())
    }
}

fn unify(name: &str) -> String {
    name.replace('.', "_")
}

/// A topic that can be made.
struct Plan {
    id: TopicId,
    name: String,
    configs: BTreeMap<String, String>,
    partitions: Vec<PartitionState>,
}

impl Plan {
    fn describe(&self, draft: &Draft, version: i16, result: CreatableTopicResult) -> CreatableTopicResult {
        let result = result.with_topic_id(self.id.0);
        if version < 5 {
            return result;
        }
        let entries = describe::topic_entries(draft.image, draft.config, None, &self.configs);
        let replicas = self.partitions.first().map_or(0, |partition| partition.replicas.len());
        result
            .with_num_partitions(i32::try_from(self.partitions.len()).expect("bounded"))
            .with_replication_factor(i16::try_from(replicas).expect("as many as there are brokers"))
            .with_configs(Some(entries.into_iter().map(told_config).collect()))
    }

    fn write(self, draft: &mut Draft) {
        let id = self.id;
        draft.push(MetadataRecord::Topic { name: self.name.clone(), id });
        for (key, value) in self.configs {
            let resource = ConfigResource::Topic(self.name.clone());
            draft.push(MetadataRecord::Config { resource, key, value: Some(value) });
        }
        let partitions = i32::try_from(self.partitions.len()).expect("bounded");
        draft.emit(EventKind::TopicCreated { topic: self.name, partitions });
        write_partitions(draft, id, 0, self.partitions);
    }
}

fn told_config(entry: ConfigEntry) -> CreatableTopicConfigs {
    CreatableTopicConfigs::default()
        .with_name(StrBytes::from_string(entry.name))
        .with_value(entry.value.map(StrBytes::from_string))
        .with_read_only(entry.is_read_only)
        .with_config_source(entry.source as i8)
}

fn write_partitions(draft: &mut Draft, topic: TopicId, first: i32, partitions: Vec<PartitionState>) {
    for (partition, state) in (first..).zip(partitions) {
        draft.emit(EventKind::LeaderElected {
            partition: PartitionId::new(topic, partition),
            leader: state.leader,
            leader_epoch: state.leader_epoch,
            reason: ElectionReason::Created,
        });
        draft.push(MetadataRecord::Partition { topic, partition, state });
    }
}

fn plan_topic<'a>(
    draft: &Draft,
    rng: &mut Prng,
    taken: &mut Taken<'a>,
    partitions_left: &mut usize,
    asked: &'a CreatableTopic,
) -> Result<Plan, Refusal> {
    let name = asked.name.0.as_str();
    taken.check(name)?;
    let mut configs = BTreeMap::new();
    for config in &asked.configs {
        let key = config.name.as_str();
        let Some(value) = &config.value else {
            return Err((ErrorCode::InvalidConfig, format!("Null value not supported for topic configs: {key}")));
        };
        configs.insert(key.to_owned(), value.as_str().to_owned());
    }
    check_topic(&configs)?;
    let partitions = if asked.assignments.is_empty() {
        place_topic(draft, rng, *partitions_left, asked)?
    } else {
        assign_topic(draft, *partitions_left, asked)?
    };
    *partitions_left -= partitions.len();
    taken.names.insert(name);
    taken.unified.insert(unify(name), name.to_owned());
    Ok(Plan { id: TopicId(rng.uuid()), name: name.to_owned(), configs, partitions })
}

fn too_many() -> Refusal {
    (ErrorCode::PolicyViolation, "Excessively large number of partitions per request.".to_owned())
}

fn place_topic(
    draft: &Draft,
    rng: &mut Prng,
    partitions_left: usize,
    asked: &CreatableTopic,
) -> Result<Vec<PartitionState>, Refusal> {
    let factor = match asked.replication_factor {
        -1 => draft.config.default_replication_factor,
        factor => factor,
    };
    let factor = usize::try_from(factor).ok().filter(|factor| *factor > 0).ok_or_else(|| {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        (ErrorCode::InvalidReplicationFactor, message.to_owned())
    })?;
    let count = if asked.num_partitions == -1 { draft.config.num_partitions } else { asked.num_partitions };
    let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
        let message = "Number of partitions was set to an invalid non-positive value.";
        (ErrorCode::InvalidPartitions, message.to_owned())
    })?;
    if count > partitions_left {
        return Err(too_many());
    }
    place(draft, rng, count, factor)
}

fn place(draft: &Draft, rng: &mut Prng, count: usize, factor: usize) -> Result<Vec<PartitionState>, Refusal> {
    let refused = |why: String| {
        let message = format!("Unable to replicate the partition {factor} time(s): {why}");
        (ErrorCode::InvalidReplicationFactor, message)
    };
    let mut placer = Placer::new(draft.image, rng);
    placer.check(factor).map_err(refused)?;
    let mut partitions = Vec::with_capacity(count);
    for _ in 0..count {
        let replicas = placer.place(factor);
        let isr: Vec<BrokerId> = replicas.iter().copied().filter(|replica| draft.is_active(*replica)).collect();
        if isr.is_empty() {
            return Err(refused("All brokers are currently fenced or in controlled shutdown.".to_owned()));
        }
        partitions.push(PartitionState::new(replicas, isr));
    }
    Ok(partitions)
}

fn assign_topic(draft: &Draft, partitions_left: usize, asked: &CreatableTopic) -> Result<Vec<PartitionState>, Refusal> {
    let both = |what: &str| {
        let message = format!("A manual partition assignment was specified, but {what} was not set to -1.");
        Err((ErrorCode::InvalidRequest, message))
    };
    if asked.replication_factor != -1 {
        return both("replication factor");
    }
    if asked.num_partitions != -1 {
        return both("numPartitions");
    }
    if asked.assignments.len() > partitions_left {
        return Err(too_many());
    }
    let mut by_number = BTreeMap::new();
    let mut factor = None;
    for assignment in &asked.assignments {
        let number = assignment.partition_index;
        let replicas: Vec<BrokerId> = assignment.broker_ids.iter().map(|id| BrokerId::from(*id)).collect();
        check_assignment(draft, &replicas, factor)?;
        factor = Some(replicas.len());
        if by_number.insert(number, assigned(draft, number, replicas)?).is_some() {
            let message = format!("Found multiple manual partition assignments for partition {number}");
            return Err((ErrorCode::InvalidReplicaAssignment, message));
        }
    }
    if !(0..).zip(by_number.keys()).all(|(expected, number)| expected == *number) {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return Err((ErrorCode::InvalidReplicaAssignment, message.to_owned()));
    }
    Ok(by_number.into_values().collect())
}

fn assigned(draft: &Draft, number: i32, replicas: Vec<BrokerId>) -> Result<PartitionState, Refusal> {
    let isr: Vec<BrokerId> = replicas.iter().copied().filter(|replica| draft.is_active(*replica)).collect();
    if isr.is_empty() {
        let message = format!(
            "All brokers specified in the manual partition assignment for partition {number} are fenced or in \
             controlled shutdown."
        );
        return Err((ErrorCode::InvalidReplicaAssignment, message));
    }
    Ok(PartitionState::new(replicas, isr))
}

/// Whether replicas may be what somebody wants them to be: registered brokers, each once, as many as elsewhere.
pub(super) fn check_assignment(draft: &Draft, replicas: &[BrokerId], factor: Option<usize>) -> Result<(), Refusal> {
    let refused = |what: String| Err((ErrorCode::InvalidReplicaAssignment, what));
    if replicas.is_empty() {
        return refused("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut seen = BTreeSet::new();
    for replica in replicas {
        if !draft.image.brokers.contains_key(replica) {
            return refused(format!(
                "The manual partition assignment includes broker {replica}, but no such broker is registered."
            ));
        }
        if !seen.insert(replica) {
            return refused(format!("The manual partition assignment includes the broker {replica} more than once."));
        }
    }
    match factor {
        Some(factor) if factor != replicas.len() => refused(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
             with previous partitions, which have {factor} replica(s).",
            replicas.len()
        )),
        _ => Ok(()),
    }
}

/// CreatePartitions (key 37).
pub(super) fn create_partitions(
    draft: &mut Draft,
    rng: &mut Prng,
    request: &CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut seen = BTreeSet::new();
    let repeated: BTreeSet<&TopicName> =
        request.topics.iter().map(|topic| &topic.name).filter(|name| !seen.insert(*name)).collect();
    let mut told = BTreeSet::new();
    let mut partitions_left = MAX_PARTITIONS;
    let mut results = Vec::with_capacity(request.topics.len());
    for asked in &request.topics {
        let outcome = if repeated.contains(&asked.name) {
            if !told.insert(&asked.name) {
                continue;
            }
            Err((ErrorCode::InvalidRequest, "Duplicate topic name.".to_owned()))
        } else {
            plan_partitions(draft, rng, &mut partitions_left, asked)
        };
        let result = CreatePartitionsTopicResult::default().with_name(asked.name.clone());
        results.push(match outcome {
            Ok((topic, first, partitions)) => {
                if !request.validate_only {
                    write_partitions(draft, topic, first, partitions);
                }
                result
            }
            Err((error, message)) => {
                result.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)))
            }
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}

fn plan_partitions(
    draft: &Draft,
    rng: &mut Prng,
    partitions_left: &mut usize,
    asked: &CreatePartitionsTopic,
) -> Result<(TopicId, i32, Vec<PartitionState>), Refusal> {
    let name = asked.name.0.as_str();
    let Some(topic) = draft.image.topic_by_name(name) else {
        let message = "This server does not host this topic-partition.";
        return Err((ErrorCode::UnknownTopicOrPartition, message.to_owned()));
    };
    if is_internal(name) {
        // Who coordinates what follows from the number of partitions: groups would lose what they know.
        let message = format!("Topic {name} is internal and keeps its partitions.");
        return Err((ErrorCode::InvalidTopicException, message));
    }
    let before = i32::try_from(topic.partitions.len()).expect("bounded");
    if asked.count == before {
        return Err((ErrorCode::InvalidPartitions, format!("Topic already has {before} partition(s).")));
    }
    let Some(more) = usize::try_from(i64::from(asked.count) - i64::from(before)).ok() else {
        let message =
            format!("The topic {name} currently has {before} partition(s); {} would not be an increase.", asked.count);
        return Err((ErrorCode::InvalidPartitions, message));
    };
    if more > *partitions_left {
        return Err(too_many());
    }
    // Replicas that a reassignment adds do not count: the topic's factor is what it was made with.
    let factor = topic.partitions.values().next().map_or(1, |first| first.replicas.len() - first.adding.len());
    let partitions = match &asked.assignments {
        None => place(draft, rng, more, factor.max(1))?,
        Some(assignments) => {
            if assignments.len() != more {
                let message = format!(
                    "Attempted to add {more} additional partition(s), but only {} assignment(s) were specified.",
                    assignments.len()
                );
                return Err((ErrorCode::InvalidReplicaAssignment, message));
            }
            let mut partitions = Vec::with_capacity(more);
            for (number, assignment) in (before..).zip(assignments) {
                let replicas: Vec<BrokerId> = assignment.broker_ids.iter().map(|id| BrokerId::from(*id)).collect();
                check_assignment(draft, &replicas, Some(factor))?;
                partitions.push(assigned(draft, number, replicas)?);
            }
            partitions
        }
    };
    *partitions_left -= partitions.len();
    Ok((topic.id, before, partitions))
}

/// DeleteTopics (key 20), by name or, from version 6 on, by id.
pub(super) fn delete(draft: &mut Draft, version: i16, request: &DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_name = request.topic_names.iter().map(|name| (Some(name.clone()), TopicId::NONE));
    let by_either = request.topics.iter().map(|topic| (topic.name.clone(), TopicId(topic.topic_id)));
    let asked: Vec<(Option<TopicName>, TopicId)> = by_name.chain(by_either).collect();
    let is_enabled = draft.config.properties.get("delete.topic.enable").is_none_or(|value| value != "false");
    let disabled = if version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
    let mut gone = BTreeSet::new();
    let mut responses = Vec::with_capacity(asked.len());
    for (name, id) in asked {
        let outcome = if is_enabled {
            find(draft, name.as_ref(), id)
        } else {
            Err((disabled, "Topic deletion is disabled.".to_owned()))
        };
        let outcome = outcome.and_then(|topic| {
            if gone.insert(topic.id) {
                return Ok(topic);
            }
            Err((ErrorCode::InvalidRequest, "Duplicate topic.".to_owned()))
        });
        responses.push(match outcome {
            Ok(topic) if is_internal(&topic.name) => {
                let told = TopicName(StrBytes::from_string(topic.name.clone()));
                let message = format!("Topic {} is internal and cannot be deleted.", topic.name);
                DeletableTopicResult::default()
                    .with_name(Some(told))
                    .with_topic_id(topic.id.0)
                    .with_error_code(ErrorCode::InvalidTopicException.code())
                    .with_error_message(Some(StrBytes::from_string(message)))
            }
            Ok(topic) => {
                let told = TopicName(StrBytes::from_string(topic.name.clone()));
                draft.push(MetadataRecord::RemoveTopic { id: topic.id });
                draft.emit(EventKind::TopicDeleted { topic: topic.name.clone() });
                DeletableTopicResult::default().with_name(Some(told)).with_topic_id(topic.id.0)
            }
            Err((error, message)) => DeletableTopicResult::default()
                .with_name(name)
                .with_topic_id(id.0)
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message))),
        });
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

fn find<'a>(draft: &Draft<'a>, name: Option<&TopicName>, id: TopicId) -> Result<&'a TopicImage, Refusal> {
    let refused = |error, message: &str| Err((error, message.to_owned()));
    let image = draft.image;
    match name {
        Some(_) if !id.is_none() => {
            refused(ErrorCode::InvalidRequest, "You may not specify both topic name and topic id.")
        }
        None if id.is_none() => refused(ErrorCode::InvalidRequest, "Neither topic name nor id were specified."),
        None => match image.topics.get(&id) {
            Some(topic) => Ok(&**topic),
            None => refused(ErrorCode::UnknownTopicId, "This server does not host this topic ID."),
        },
        Some(name) => match image.topic_by_name(name.0.as_str()) {
            Some(topic) => Ok(&**topic),
            None => refused(ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition."),
        },
    }
}

#[cfg(test)]
mod tests;

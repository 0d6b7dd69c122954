//! `topic list`, `describe`, `create`, `alter`, `delete`.
//!
//! Invariants: `create` is done when every partition has a leader, `delete` when the topic is gone from the metadata.
//!
//! Deliberately not here: settings of topics (`configs`), records (`partitions`).

use super::{Ask, PAUSE, TIMEOUT_MS, Trouble, answer_to, broker, check, count, ids, metadata, table, text};
use crate::client::Target;
use crate::client::metadata::topic_name;
use crate::cluster::command::values::{Assignment, Setting};
use crate::cluster::command::{ConfigEntity, Partition, Reply};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{
    BrokerId as WireBrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// ListOffsets' marks for the first and the next offset.
pub(super) const EARLIEST: i64 = -2;
pub(super) const LATEST: i64 = -1;

pub(super) fn list(internal: bool, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let mut topics = metadata(None, ask)?.topics;
    topics.retain(|topic| internal || !topic.is_internal);
    topics.sort_by(|a, b| (a.is_internal, &a.name).cmp(&(b.is_internal, &b.name)));
    let rows: Vec<Vec<String>> = topics
        .iter()
        .map(|topic| vec![name_of(topic), topic.partitions.len().to_string(), replication_factor(topic).to_string()])
        .collect();
    let data = topics.iter().map(|topic| {
        json!({
            "name": name_of(topic),
            "id": topic.topic_id.to_string(),
            "partitions": topic.partitions.len(),
            "replicas": replication_factor(topic),
            "internal": topic.is_internal,
        })
    });
    let text =
        if rows.is_empty() { "no topics".to_owned() } else { table(&["TOPIC", "PARTITIONS", "REPLICAS"], &rows) };
    Ok(Reply::told(text, Value::Array(data.collect())))
}

fn name_of(topic: &MetadataResponseTopic) -> String {
    topic.name.as_ref().map(|name| name.0.to_string()).unwrap_or_default()
}

fn replication_factor(topic: &MetadataResponseTopic) -> usize {
    topic.partitions.iter().map(|partition| partition.replica_nodes.len()).max().unwrap_or(0)
}

/// One topic of the metadata; an error if there is none.
pub(super) fn find(name: &str, ask: &mut dyn Ask) -> Result<MetadataResponseTopic, Trouble> {
    let response = metadata(Some(name), ask)?;
    let topic = response.topics.into_iter().next().ok_or_else(|| Trouble::of(format!("{name}: no answer")))?;
    match ErrorCode::from_code(topic.error_code) {
        // The topic is there; that a partition has no leader is told by the partition.
        ErrorCode::None | ErrorCode::LeaderNotAvailable => Ok(topic),
        ErrorCode::UnknownTopicOrPartition => Err(Trouble::of(format!("there is no topic {name}"))),
        error => Err(Trouble::kafka(name, error, None)),
    }
}

pub(super) fn describe(name: &str, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let (mut topic, only) = match (find(name, ask), name.parse::<Partition>()) {
        (Ok(topic), _) => (topic, None),
        (Err(_), Ok(partition)) => (find(&partition.topic, ask)?, Some(partition.partition)),
        (Err(trouble), Err(_)) => return Err(trouble),
    };
    let name = name_of(&topic);
    topic.partitions.sort_by_key(|partition| partition.partition_index);
    if let Some(number) = only {
        topic.partitions.retain(|partition| partition.partition_index == number);
        if topic.partitions.is_empty() {
            return Err(Trouble::of(format!("there is no partition {name}-{number}")));
        }
    }
    let starts = offsets(&topic, EARLIEST, ask);
    let ends = offsets(&topic, LATEST, ask);
    let mut lines = Vec::new();
    if only.is_none() {
        let partitions = count(topic.partitions.len(), "partition");
        lines.push(format!(
            "{name} · {partitions} · {} · id {}",
            count(replication_factor(&topic), "replica"),
            topic.topic_id
        ));
    }
    let mut data = Vec::new();
    for partition in &topic.partitions {
        let number = partition.partition_index;
        let (start, end) = (starts.get(&number).copied(), ends.get(&number).copied());
        let shown = |offset: Option<i64>| offset.map_or_else(|| "–".to_owned(), |offset| offset.to_string());
        lines.push(format!(
            "{name}-{number} · leader {} · epoch {} · isr {} · replicas {} · offsets {} to {}",
            ids(leader(partition).as_slice()),
            partition.leader_epoch,
            ids(&partition.isr_nodes),
            ids(&partition.replica_nodes),
            shown(start),
            shown(end),
        ));
        let list = |brokers: &[WireBrokerId]| brokers.iter().map(|id| id.0).collect::<Vec<_>>();
        data.push(json!({
            "partition": number,
            "leader": leader(partition).first().map(|id| id.0),
            "leader_epoch": partition.leader_epoch,
            "isr": list(&partition.isr_nodes),
            "replicas": list(&partition.replica_nodes),
            "offline_replicas": list(&partition.offline_replicas),
            "log_start_offset": start,
            "high_watermark": end,
        }));
    }
    let data =
        json!({"name": name, "id": topic.topic_id.to_string(), "internal": topic.is_internal, "partitions": data});
    Ok(Reply::told(lines.join("\n"), data))
}

fn leader(partition: &MetadataResponsePartition) -> Vec<WireBrokerId> {
    Some(partition.leader_id).filter(|id| id.0 >= 0).into_iter().collect()
}

/// The first or the next offset of every partition whose leader answers.
pub(super) fn offsets(topic: &MetadataResponseTopic, mark: i64, ask: &mut dyn Ask) -> BTreeMap<i32, i64> {
    let mut by_leader: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for partition in topic.partitions.iter().filter(|partition| partition.leader_id.0 >= 0) {
        let wanted =
            ListOffsetsPartition::default().with_partition_index(partition.partition_index).with_timestamp(mark);
        by_leader.entry(partition.leader_id.0).or_default().push(wanted);
    }
    let mut found = BTreeMap::new();
    for (leader, partitions) in by_leader {
        let topic = ListOffsetsTopic::default().with_name(topic_name(&name_of(topic))).with_partitions(partitions);
        let request = ListOffsetsRequest::default().with_replica_id(WireBrokerId(-1)).with_topics(vec![topic]);
        // A leader that does not answer leaves its offsets unknown: the rest is worth telling.
        let Ok(response) = answer_to!(ask, Target::Broker(BrokerId(leader)), ListOffsets, request) else { continue };
        let partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
        found.extend(partitions.filter(|part| part.error_code == 0).map(|part| (part.partition_index, part.offset)));
    }
    found
}

pub(super) fn create(
    name: &str,
    partitions: Option<i32>,
    replicas: Option<i16>,
    assignment: Option<&Assignment>,
    config: &[Setting],
    ask: &mut dyn Ask,
) -> Result<Reply, Trouble> {
    let by_hand = assignment.iter().flat_map(|assignment| assignment.0.iter().zip(0_i32..)).map(|(brokers, index)| {
        let brokers = brokers.iter().copied().map(broker).collect();
        CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(brokers)
    });
    let config = config.iter().map(|setting| {
        CreatableTopicConfig::default().with_name(text(&setting.key)).with_value(Some(text(&setting.value)))
    });
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions.unwrap_or(-1))
        .with_replication_factor(replicas.unwrap_or(-1))
        .with_assignments(by_hand.collect())
        .with_configs(config.collect());
    let request = CreateTopicsRequest::default().with_timeout_ms(TIMEOUT_MS).with_topics(vec![topic]);
    let response = answer_to!(ask, Target::Any, CreateTopics, request)?;
    for topic in &response.topics {
        check(name, topic.error_code, topic.error_message.as_ref())?;
    }
    let led = |topic: &MetadataResponseTopic| topic.partitions.iter().all(|partition| partition.leader_id.0 >= 0);
    let topic = loop {
        match find(name, ask) {
            Ok(topic) if led(&topic) && !topic.partitions.is_empty() => break topic,
            // It was created: whatever is asked in between, the answer is that it is not known everywhere yet.
            _ if ask.wait(PAUSE) => {}
            _ => return Err(Trouble::of(format!("{name} is created, but not every partition has a leader yet"))),
        }
    };
    let (partitions, replicas) = (topic.partitions.len(), replication_factor(&topic));
    let told = format!("{name} is created: {}, {}.", count(partitions, "partition"), count(replicas, "replica"));
    let data = json!({"name": name, "id": topic.topic_id.to_string(), "partitions": partitions, "replicas": replicas});
    Ok(Reply::told(told, data))
}

pub(super) fn alter(
    name: &str,
    partitions: Option<i32>,
    config: &[Setting],
    ask: &mut dyn Ask,
) -> Result<Reply, Trouble> {
    let mut told = Vec::new();
    // Settings first: they can be repeated without harm if the partitions then fail.
    if !config.is_empty() {
        super::configs::set(&ConfigEntity::Topic(name.to_owned()), config, &[], ask)?;
        told.push(format!("{} changed", count(config.len(), "setting")));
    }
    if let Some(wanted) = partitions {
        let topic =
            CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(wanted).with_assignments(None);
        let request = CreatePartitionsRequest::default().with_timeout_ms(TIMEOUT_MS).with_topics(vec![topic]);
        let response = answer_to!(ask, Target::Any, CreatePartitions, request)?;
        for topic in &response.results {
            check(name, topic.error_code, topic.error_message.as_ref())?;
        }
        told.push(format!("{wanted} partitions now"));
    }
    let data = json!({"name": name, "partitions": partitions, "settings": config.len()});
    Ok(Reply::told(format!("{name}: {}.", told.join(", ")), data))
}

pub(super) fn delete(name: &str, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let topic = DeleteTopicState::default().with_name(Some(topic_name(name)));
    let request = DeleteTopicsRequest::default().with_timeout_ms(TIMEOUT_MS).with_topics(vec![topic]);
    let response = answer_to!(ask, Target::Any, DeleteTopics, request)?;
    for topic in &response.responses {
        if ErrorCode::from_code(topic.error_code) == ErrorCode::UnknownTopicOrPartition {
            return Err(Trouble::of(format!("there is no topic {name}")));
        }
        check(name, topic.error_code, topic.error_message.as_ref())?;
    }
    while find(name, ask).is_ok() {
        if !ask.wait(PAUSE) {
            return Err(Trouble::of(format!("{name} is deleted, but not every broker knows it yet")));
        }
    }
    Ok(Reply::told(format!("{name} is deleted."), json!({"name": name})))
}

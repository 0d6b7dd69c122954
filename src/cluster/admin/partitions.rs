//! `reassign`, `elect` and `topic delete-records`.
//!
//! Invariant: the first error of a partition is told with the partition's name; what went well before it is not undone.
//!
//! Deliberately not here: waiting for a move to end (`wait replicas orders-0 = 2,3,1`).

use super::{Ask, TIMEOUT_MS, Trouble, answer_to, broker, check, count, ids};
use crate::client::Target;
use crate::client::metadata::topic_name;
use crate::cluster::command::{Partition, Reply};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, DeleteRecordsRequest, ElectLeadersRequest, ListPartitionReassignmentsRequest,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Kafka's `ElectionType`.
pub(super) const PREFERRED: i8 = 0;
pub(super) const UNCLEAN: i8 = 1;

fn by_topic(partitions: &[Partition]) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    topics
}

fn names(partitions: &[Partition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn json_names(partitions: &[Partition]) -> Vec<String> {
    partitions.iter().map(ToString::to_string).collect()
}

/// Begins moves to `to`; without it, calls moves off.
pub(super) fn reassign(
    partitions: &[Partition],
    to: Option<&Vec<BrokerId>>,
    ask: &mut dyn Ask,
) -> Result<Reply, Trouble> {
    let replicas: Option<Vec<_>> = to.map(|to| to.iter().copied().map(broker).collect());
    let topics = by_topic(partitions).into_iter().map(|(name, numbers)| {
        let parts = numbers.into_iter().map(|number| {
            ReassignablePartition::default().with_partition_index(number).with_replicas(replicas.clone())
        });
        ReassignableTopic::default().with_name(topic_name(name)).with_partitions(parts.collect())
    });
    let request =
        AlterPartitionReassignmentsRequest::default().with_timeout_ms(TIMEOUT_MS).with_topics(topics.collect());
    let response = answer_to!(ask, Target::Any, AlterPartitionReassignments, request)?;
    check("reassign", response.error_code, response.error_message.as_ref())?;
    for topic in &response.responses {
        for part in &topic.partitions {
            let name = format!("{}-{}", topic.name.0, part.partition_index);
            check(&name, part.error_code, part.error_message.as_ref())?;
        }
    }
    let told = match &replicas {
        Some(replicas) => format!("{}: moving to {}.", names(partitions), ids(replicas)),
        None => format!("{}: called off.", names(partitions)),
    };
    let to = replicas.map(|replicas| replicas.iter().map(|id| id.0).collect::<Vec<_>>());
    Ok(Reply::told(told, json!({"partitions": json_names(partitions), "to": to})))
}

pub(super) fn list(ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let request = ListPartitionReassignmentsRequest::default().with_timeout_ms(TIMEOUT_MS).with_topics(None);
    let response = answer_to!(ask, Target::Any, ListPartitionReassignments, request)?;
    check("reassign list", response.error_code, response.error_message.as_ref())?;
    let (mut lines, mut data) = (Vec::new(), Vec::new());
    for topic in &response.topics {
        for part in &topic.partitions {
            let name = format!("{}-{}", topic.name.0, part.partition_index);
            let (adding, removing) = (ids(&part.adding_replicas), ids(&part.removing_replicas));
            lines.push(format!("{name} · replicas {} · adding {adding} · removing {removing}", ids(&part.replicas)));
            let list = |ids: &[kafka_protocol::messages::BrokerId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
            data.push(json!({
                "partition": name,
                "replicas": list(&part.replicas),
                "adding": list(&part.adding_replicas),
                "removing": list(&part.removing_replicas),
            }));
        }
    }
    if lines.is_empty() {
        lines.push("nothing moves".to_owned());
    }
    Ok(Reply::told(lines.join("\n"), Value::Array(data)))
}

/// Elects leaders; no partitions means all.
pub(super) fn elect(partitions: &[Partition], kind: i8, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let topics = by_topic(partitions)
        .into_iter()
        .map(|(name, numbers)| TopicPartitions::default().with_topic(topic_name(name)).with_partitions(numbers));
    let topics: Vec<_> = topics.collect();
    let request = ElectLeadersRequest::default()
        .with_election_type(kind)
        .with_timeout_ms(TIMEOUT_MS)
        .with_topic_partitions((!topics.is_empty()).then_some(topics));
    let response = answer_to!(ask, Target::Any, ElectLeaders, request)?;
    check("elect", response.error_code, None)?;
    let (mut elected, mut unchanged) = (Vec::new(), 0_usize);
    for topic in &response.replica_election_results {
        for part in &topic.partition_result {
            let name = format!("{}-{}", topic.topic.0, part.partition_id);
            if ErrorCode::from_code(part.error_code) == ErrorCode::ElectionNotNeeded {
                unchanged += 1;
                continue;
            }
            check(&name, part.error_code, part.error_message.as_ref())?;
            elected.push(name);
        }
    }
    let told = match elected.len() {
        0 => "no election was needed".to_owned(),
        number if number <= 5 => format!("{}: new leader.", elected.join(", ")),
        number => format!("{} have new leaders.", count(number, "partition")),
    };
    Ok(Reply::told(told, json!({"elected": elected, "unchanged": unchanged})))
}

pub(super) fn delete_records(partition: &Partition, before: Option<i64>, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let topic = super::topics::find(&partition.topic, ask)?;
    let found = topic.partitions.iter().find(|part| part.partition_index == partition.partition);
    let leader = match found {
        Some(part) if part.leader_id.0 >= 0 => BrokerId(part.leader_id.0),
        Some(_) => return Err(Trouble::kafka(&partition.to_string(), ErrorCode::LeaderNotAvailable, None)),
        None => return Err(Trouble::of(format!("there is no partition {partition}"))),
    };
    // −1 is the high watermark.
    let part =
        DeleteRecordsPartition::default().with_partition_index(partition.partition).with_offset(before.unwrap_or(-1));
    let topic = DeleteRecordsTopic::default().with_name(topic_name(&partition.topic)).with_partitions(vec![part]);
    let request = DeleteRecordsRequest::default().with_timeout_ms(TIMEOUT_MS).with_topics(vec![topic]);
    let response = answer_to!(ask, Target::Broker(leader), DeleteRecords, request)?;
    let mut start = -1;
    for part in response.topics.iter().flat_map(|topic| &topic.partitions) {
        check(&partition.to_string(), part.error_code, None)?;
        start = part.low_watermark;
    }
    let data = json!({"partition": partition.to_string(), "log_start_offset": start});
    Ok(Reply::told(format!("{partition} begins at offset {start} now."), data))
}

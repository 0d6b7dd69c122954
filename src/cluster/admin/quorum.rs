//! `quorum describe`.
//!
//! Deliberately not here: changing the voters (`broker add`, `broker remove`, `wipe`).

use super::{Ask, Trouble, answer_to, check, table};
use crate::client::Target;
use crate::client::metadata::topic_name;
use crate::cluster::command::Reply;
use kafka_protocol::messages::DescribeQuorumRequest;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::ReplicaState;
use serde_json::{Value, json};

/// The metadata log's topic.
const METADATA_TOPIC: &str = "__cluster_metadata";

pub(super) fn describe(ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let topic = TopicData::default()
        .with_topic_name(topic_name(METADATA_TOPIC))
        .with_partitions(vec![PartitionData::default().with_partition_index(0)]);
    let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
    let response = answer_to!(ask, Target::Any, DescribeQuorum, request)?;
    check("quorum", response.error_code, response.error_message.as_ref())?;
    let part = response.topics.iter().flat_map(|topic| &topic.partitions).next();
    let part = part.ok_or_else(|| Trouble::of("the quorum is not described"))?;
    check("quorum", part.error_code, part.error_message.as_ref())?;
    let leader = part.leader_id;
    let leader_end =
        part.current_voters.iter().find(|voter| voter.replica_id == leader).map(|voter| voter.log_end_offset);
    let behind = |replica: &ReplicaState| leader_end.map(|end| (end - replica.log_end_offset).max(0));
    let row = |replica: &ReplicaState, role: &str| {
        let role = if replica.replica_id == leader { "leader" } else { role };
        let behind = behind(replica).map_or_else(|| "–".to_owned(), |behind| behind.to_string());
        vec![replica.replica_id.0.to_string(), role.to_owned(), replica.log_end_offset.to_string(), behind]
    };
    let voters = part.current_voters.iter().map(|replica| row(replica, "voter"));
    let rows: Vec<_> = voters.chain(part.observers.iter().map(|replica| row(replica, "observer"))).collect();
    let text = format!(
        "leader {} · epoch {} · high watermark {}\n{}",
        leader.0,
        part.leader_epoch,
        part.high_watermark,
        table(&["BROKER", "ROLE", "LOG END", "BEHIND"], &rows)
    );
    let list = |replicas: &[ReplicaState]| {
        let replica = |replica: &ReplicaState| {
            json!({
                "broker": replica.replica_id.0,
                "directory": replica.replica_directory_id.to_string(),
                "log_end_offset": replica.log_end_offset,
                "behind": behind(replica),
                "last_fetch_timestamp": replica.last_fetch_timestamp,
                "last_caught_up_timestamp": replica.last_caught_up_timestamp,
            })
        };
        Value::Array(replicas.iter().map(replica).collect())
    };
    let data = json!({
        "leader": leader.0,
        "leader_epoch": part.leader_epoch,
        "high_watermark": part.high_watermark,
        "voters": list(&part.current_voters),
        "observers": list(&part.observers),
    });
    Ok(Reply::told(text, data))
}

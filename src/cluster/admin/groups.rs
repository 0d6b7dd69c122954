//! `group list`, `reset`, `delete`; `describe` is in [`describe`].
//!
//! Invariants: `reset` shows where each partition stands and where it would stand, and changes nothing unless it is told
//! to; it refuses a group that has members, whose own commits would undo it.
//!
//! Deliberately not here: being a member.

mod describe;

use super::{Ask, Trouble, again, answer_to, broker_id, check, count, metadata, table, text, topics};
use crate::client::Target;
use crate::client::metadata::topic_name;
use crate::cluster::command::values::From;
use crate::cluster::command::{GroupCommand, Reply};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, FindCoordinatorRequest, GroupId, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// What stands where nothing is known.
const NOTHING: &str = "–";

/// Offsets by topic and partition.
type Offsets = BTreeMap<(String, i32), i64>;

/// Carries out a verb about groups.
pub fn run(command: &GroupCommand, ask: &mut dyn Ask) -> Reply {
    let outcome = match command {
        GroupCommand::List => again(ask, list),
        GroupCommand::Describe { name } => again(ask, |ask| describe::describe(name, ask)),
        GroupCommand::Reset { name, topic, to, execute } => again(ask, |ask| reset(name, topic, *to, *execute, ask)),
        GroupCommand::Delete { name } => again(ask, |ask| delete(name, ask)),
    };
    outcome.unwrap_or_else(|trouble| Reply::failed(trouble.reason))
}

fn list(ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let brokers = metadata(None, ask)?.brokers;
    let mut found = Vec::new();
    for broker in brokers {
        let to = Target::Broker(broker_id(broker.node_id));
        let response = answer_to!(ask, to, ListGroups, ListGroupsRequest::default())?;
        check(&format!("broker {}", broker.node_id.0), response.error_code, None)?;
        found.extend(response.groups.into_iter().map(|group| (group, broker.node_id.0)));
    }
    found.sort_by(|(a, _), (b, _)| a.group_id.cmp(&b.group_id));
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|(group, coordinator)| {
            let kind = if group.protocol_type.is_empty() { NOTHING } else { group.protocol_type.as_str() };
            let protocol = if group.group_type.is_empty() { NOTHING } else { group.group_type.as_str() };
            [group.group_id.as_str(), group.group_state.as_str(), kind, protocol, &coordinator.to_string()]
                .map(str::to_owned)
                .to_vec()
        })
        .collect();
    let data = found.iter().map(|(group, coordinator)| {
        json!({
            "group": group.group_id.as_str(), "state": group.group_state.as_str(), "type": group.group_type.as_str(),
            "protocol_type": group.protocol_type.as_str(), "coordinator": coordinator,
        })
    });
    let data = Value::Array(data.collect());
    if rows.is_empty() {
        return Ok(Reply::told("no groups", data));
    }
    Ok(Reply::told(table(&["GROUP", "STATE", "KIND", "PROTOCOL", "COORDINATOR"], &rows), data))
}

fn coordinator(group: &str, ask: &mut dyn Ask) -> Result<BrokerId, Trouble> {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    let response = answer_to!(ask, Target::Any, FindCoordinator, request)?;
    let found = response.coordinators.into_iter().next().ok_or_else(|| Trouble::of("no coordinator was named"))?;
    check(group, found.error_code, None)?;
    Ok(broker_id(found.node_id))
}

fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

fn committed(group: &str, coordinator: BrokerId, ask: &mut dyn Ask) -> Result<Offsets, Trouble> {
    let asked =
        OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_member_epoch(-1).with_topics(None);
    let request = OffsetFetchRequest::default().with_groups(vec![asked]);
    let response = answer_to!(ask, Target::Broker(coordinator), OffsetFetch, request)?;
    let mut offsets = Offsets::new();
    for found in response.groups {
        check(group, found.error_code, None)?;
        for topic in found.topics {
            let name = topic.name.0.to_string();
            let partitions = topic.partitions.iter().filter(|partition| partition.committed_offset >= 0);
            offsets.extend(
                partitions.map(|partition| ((name.clone(), partition.partition_index), partition.committed_offset)),
            );
        }
    }
    Ok(offsets)
}

fn topic_of(name: &str, ask: &mut dyn Ask) -> Result<MetadataResponseTopic, Trouble> {
    let topic = metadata(Some(name), ask)?.topics.into_iter().next();
    let topic = topic.ok_or_else(|| Trouble::of(format!("there is no topic {name}")))?;
    check(name, topic.error_code, None).map(|()| topic)
}

fn reset(name: &str, topic: &str, to: From, execute: bool, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let coordinator = coordinator(name, ask)?;
    match describe::described(name, coordinator, ask) {
        Ok(group) if !group.members.is_empty() => {
            let members = count(group.members.len(), "member");
            return Err(Trouble::of(format!("{name} has {members}: stop them first, or they commit over it")));
        }
        Ok(_) => {}
        // A group that does not exist yet can be told where to begin.
        Err(trouble) if !trouble.passes => {}
        Err(trouble) => return Err(trouble),
    }
    let before = committed(name, coordinator, ask)?;
    let found = topic_of(topic, ask)?;
    let after = targets(&found, to, ask);
    if after.len() < found.partitions.len() {
        return Err(Trouble { reason: format!("not every partition of {topic} has a leader"), passes: true });
    }
    let of = |part: i32| before.get(&(topic.to_owned(), part)).copied();
    let told = |offset: Option<i64>| offset.map_or_else(|| NOTHING.to_owned(), |offset| offset.to_string());
    let rows: Vec<Vec<String>> = after
        .iter()
        .map(|(part, offset)| vec![format!("{topic}/{part}"), told(of(*part)), offset.to_string()])
        .collect();
    if execute {
        commit(name, topic, &after, coordinator, ask)?;
    }
    let last = if execute { "Committed." } else { "Nothing has changed: --execute does it." };
    let text = format!("{}\n{last}", table(&["PARTITION", "BEFORE", "AFTER"], &rows));
    let partitions: Vec<Value> = after
        .iter()
        .map(|(part, offset)| json!({"topic": topic, "partition": part, "before": of(*part), "after": offset}))
        .collect();
    Ok(Reply::told(text, json!({"group": name, "executed": execute, "partitions": partitions})))
}

/// Where each partition is to stand: within what there is.
fn targets(topic: &MetadataResponseTopic, to: From, ask: &mut dyn Ask) -> BTreeMap<i32, i64> {
    let starts = topics::offsets(topic, topics::EARLIEST, ask);
    let ends = topics::offsets(topic, topics::LATEST, ask);
    let now_ms = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    };
    let moment_ms = match to {
        From::Moment(at_ms) => Some(at_ms),
        From::Ago(ago) => Some(now_ms().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))),
        _ => None,
    };
    let at_moment = moment_ms.map(|at_ms| topics::offsets(topic, at_ms, ask)).unwrap_or_default();
    let target = |(part, end): (i32, i64)| {
        let start = starts.get(&part).copied()?;
        let wanted = match to {
            From::Earliest => start,
            From::Latest => end,
            From::Offset(offset) => offset,
            From::Last(records) => end - i64::from(records),
            // No record so late: the end.
            From::Ago(_) | From::Moment(_) => {
                at_moment.get(&part).copied().filter(|offset| *offset >= 0).unwrap_or(end)
            }
        };
        Some((part, wanted.clamp(start, end)))
    };
    ends.into_iter().filter_map(target).collect()
}

fn commit(
    name: &str,
    topic: &str,
    offsets: &BTreeMap<i32, i64>,
    coordinator: BrokerId,
    ask: &mut dyn Ask,
) -> Result<(), Trouble> {
    let partition = |(part, offset): (&i32, &i64)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(*part)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text("")))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(offsets.iter().map(partition).collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(name))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let response = answer_to!(ask, Target::Broker(coordinator), OffsetCommit, request)?;
    let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.try_for_each(|partition| check(name, partition.error_code, None))
}

fn delete(name: &str, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let coordinator = coordinator(name, ask)?;
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(name)]);
    let response = answer_to!(ask, Target::Broker(coordinator), DeleteGroups, request)?;
    let error = response.results.first().map_or(0, |result| result.error_code);
    match ErrorCode::from_code(error) {
        ErrorCode::GroupIdNotFound => Err(Trouble::of(format!("there is no group {name}"))),
        ErrorCode::NonEmptyGroup => Err(Trouble::of(format!("{name} has members: stop them first"))),
        _ => check(name, error, None).map(|()| Reply::told(format!("{name} is deleted."), json!({"group": name}))),
    }
}

//! `group describe`: a group's state and members, and where it stands in each partition; of groups of both protocols.
//!
//! Invariant: members are told from each other by names short enough for a terminal; whole ids are in the data.
//!
//! Deliberately not here: what other kinds of groups than consumers' assign.

use super::super::{Ask, Trouble, answer_to, check, count, table, topics};
use super::{NOTHING, Offsets, committed, coordinator, group_id, topic_of};
use crate::client::Target;
use crate::cluster::command::Reply;
use crate::protocol::consumer_protocol::decode_assignment;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DescribeGroupsRequest, consumer_group_describe_response as newer,
    describe_groups_response as classic,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The protocol type whose assignments can be read.
const CONSUMER: &str = "consumer";
/// The state of a group that does not exist, as older brokers say.
const DEAD: &str = "Dead";
/// So much of a member's id tells it from others of its name.
const ID_CHARS: usize = 4;

/// A group, whichever protocol its members speak.
pub(super) struct Described {
    state: String,
    protocol_type: String,
    /// Who assigns: the protocol that was chosen, or the coordinator's assignor.
    protocol: String,
    /// The epochs of a group of the newer protocol: its own and its assignment's.
    epochs: Option<(i32, i32)>,
    pub(super) members: Vec<Member>,
}

/// A member of it.
pub(super) struct Member {
    id: String,
    instance: Option<String>,
    client: String,
    host: String,
    epoch: Option<i32>,
    owns: Vec<(String, i32)>,
}

impl Member {
    fn name(&self) -> &str {
        self.instance.as_deref().unwrap_or(&self.client)
    }
}

/// Asks what a group is like; in the newer protocol if it is none of the classic one.
pub(super) fn described(group: &str, coordinator: BrokerId, ask: &mut dyn Ask) -> Result<Described, Trouble> {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    let response = answer_to!(ask, Target::Broker(coordinator), DescribeGroups, request)?;
    let found = response.groups.into_iter().next().ok_or_else(|| Trouble::of("the group is not described"))?;
    match ErrorCode::from_code(found.error_code) {
        ErrorCode::None if found.group_state.as_str() != DEAD => Ok(of_classic(found)),
        ErrorCode::None | ErrorCode::GroupIdNotFound => {
            newer_group(group, coordinator, ask)?.ok_or_else(|| Trouble::of(format!("there is no group {group}")))
        }
        _ => Err(check(group, found.error_code, found.error_message.as_ref()).expect_err("it is an error")),
    }
}

fn newer_group(group: &str, coordinator: BrokerId, ask: &mut dyn Ask) -> Result<Option<Described>, Trouble> {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
    // A cluster that does not serve this has no such groups.
    let Ok(response) = answer_to!(ask, Target::Broker(coordinator), ConsumerGroupDescribe, request) else {
        return Ok(None);
    };
    let Some(found) = response.groups.into_iter().next() else { return Ok(None) };
    match ErrorCode::from_code(found.error_code) {
        ErrorCode::GroupIdNotFound => Ok(None),
        _ => check(group, found.error_code, found.error_message.as_ref()).map(|()| Some(of_newer(found))),
    }
}

fn of_classic(found: classic::DescribedGroup) -> Described {
    let is_consumers = found.protocol_type.as_str() == CONSUMER;
    let member = |member: classic::DescribedGroupMember| Member {
        id: member.member_id.to_string(),
        instance: member.group_instance_id.map(|id| id.to_string()),
        client: member.client_id.to_string(),
        host: member.client_host.to_string(),
        epoch: None,
        owns: if is_consumers { decode_assignment(member.member_assignment).unwrap_or_default() } else { Vec::new() },
    };
    Described {
        state: found.group_state.to_string(),
        protocol_type: found.protocol_type.to_string(),
        protocol: found.protocol_data.to_string(),
        epochs: None,
        members: found.members.into_iter().map(member).collect(),
    }
}

fn of_newer(found: newer::DescribedGroup) -> Described {
    let owns = |assignment: &newer::Assignment| {
        let of = |topic: &newer::TopicPartitions| {
            let name = topic.topic_name.0.to_string();
            topic.partitions.iter().map(|partition| (name.clone(), *partition)).collect::<Vec<_>>()
        };
        assignment.topic_partitions.iter().flat_map(of).collect()
    };
    let member = |member: newer::Member| Member {
        owns: owns(&member.assignment),
        id: member.member_id.to_string(),
        instance: member.instance_id.map(|id| id.to_string()),
        client: member.client_id.to_string(),
        host: member.client_host.to_string(),
        epoch: Some(member.member_epoch),
    };
    Described {
        state: found.group_state.to_string(),
        protocol_type: CONSUMER.to_owned(),
        protocol: found.assignor_name.to_string(),
        epochs: Some((found.group_epoch, found.assignment_epoch)),
        members: found.members.into_iter().map(member).collect(),
    }
}

/// What to call each member, by its id: its instance or its client, and the end of its id where others are called so too.
fn names(members: &[Member]) -> BTreeMap<&str, String> {
    let alike = |name: &str| members.iter().filter(|member| member.name() == name).count();
    let name = |member: &Member| match alike(member.name()) {
        1 => member.name().to_owned(),
        _ => {
            let from = member.id.char_indices().rev().nth(ID_CHARS - 1).map_or(0, |(at, _)| at);
            format!("{} …{}", member.name(), &member.id[from..])
        }
    };
    members.iter().map(|member| (member.id.as_str(), name(member))).collect()
}

pub(super) fn describe(name: &str, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    let coordinator = coordinator(name, ask)?;
    let group = described(name, coordinator, ask)?;
    let offsets = committed(name, coordinator, ask)?;
    let names = names(&group.members);
    let mut owners: BTreeMap<(String, i32), &Member> = BTreeMap::new();
    for member in &group.members {
        owners.extend(member.owns.iter().map(|place| (place.clone(), member)));
    }
    let mut ends = Offsets::new();
    let topics: BTreeSet<&String> = offsets.keys().chain(owners.keys()).map(|(topic, _)| topic).collect();
    for topic in topics {
        // A topic that is gone leaves its end unknown: the rest is worth telling.
        let Ok(found) = topic_of(topic, ask) else { continue };
        ends.extend(
            topics::offsets(&found, topics::LATEST, ask).into_iter().map(|(part, end)| ((topic.clone(), part), end)),
        );
    }
    let places: BTreeSet<&(String, i32)> = offsets.keys().chain(owners.keys()).collect();
    let (mut rows, mut data) = (Vec::new(), Vec::new());
    for place in places {
        let (offset, end, owner) = (offsets.get(place).copied(), ends.get(place).copied(), owners.get(place));
        let lag = offset.zip(end).map(|(offset, end)| (end - offset).max(0));
        let told = |number: Option<i64>| number.map_or_else(|| NOTHING.to_owned(), |number| number.to_string());
        let member = owner.map_or(NOTHING, |owner| names[owner.id.as_str()].as_str());
        rows.push(vec![format!("{}/{}", place.0, place.1), told(offset), told(end), told(lag), member.to_owned()]);
        data.push(json!({
            "topic": place.0, "partition": place.1, "committed": offset, "end": end, "lag": lag,
            "member": owner.map(|owner| owner.id.as_str()),
        }));
    }
    let heading = heading(name, &group, coordinator);
    let text = match rows.is_empty() {
        true => format!("{heading}\nnothing committed"),
        false => format!("{heading}\n{}", table(&["PARTITION", "COMMITTED", "END", "LAG", "MEMBER"], &rows)),
    };
    Ok(Reply::told(text, group_data(name, &group, coordinator, data)))
}

fn heading(name: &str, group: &Described, coordinator: BrokerId) -> String {
    let epochs = match group.epochs {
        Some((epoch, assigned)) if epoch != assigned => format!("epoch {epoch}, assigned {assigned} · "),
        Some((epoch, _)) => format!("epoch {epoch} · "),
        None => String::new(),
    };
    format!(
        "{name}: {} · {} · {epochs}coordinator {coordinator} · {}",
        group.state,
        if group.protocol.is_empty() { "no protocol" } else { group.protocol.as_str() },
        count(group.members.len(), "member"),
    )
}

fn group_data(name: &str, group: &Described, coordinator: BrokerId, partitions: Vec<Value>) -> Value {
    let members = group.members.iter().map(|member| {
        json!({
            "member": member.id, "instance": member.instance, "client": member.client, "host": member.host,
            "epoch": member.epoch,
        })
    });
    json!({
        "group": name, "state": group.state, "protocol_type": group.protocol_type, "protocol": group.protocol,
        "epoch": group.epochs.map(|(epoch, _)| epoch),
        "assignment_epoch": group.epochs.map(|(_, assigned)| assigned),
        "coordinator": coordinator, "members": members.collect::<Vec<_>>(), "partitions": partitions,
    })
}

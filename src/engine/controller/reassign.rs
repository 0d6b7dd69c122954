//! Moving partitions to other brokers (KIP-455): AlterPartitionReassignments, ListPartitionReassignments.
//!
//! Invariants: replicas are added first and removed last, when all that stay are in sync
//! (`PartitionReassignmentReplicas`); what is being added can be taken back as long as that is not done; a replica that
//! was there before is never taken away meanwhile.

use crate::engine::controller::alter_configs::Refusal;
use crate::engine::controller::draft::Draft;
use crate::engine::controller::image::{MetadataImage, TopicImage};
use crate::engine::controller::record::PartitionState;
use crate::engine::controller::topics::check_assignment;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, PartitionId};
use kafka_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

/// AlterPartitionReassignments (key 45): each partition on its own.
pub(super) fn alter(
    draft: &mut Draft,
    version: i16,
    request: &AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let may_change_factor = version < 1 || request.allow_replication_factor_change;
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let outcome = alter_one(draft, topic.name.0.as_str(), asked, may_change_factor);
            let response = ReassignablePartitionResponse::default().with_partition_index(asked.partition_index);
            partitions.push(match outcome {
                Ok(()) => response,
                Err((error, message)) => {
                    response.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)))
                }
            });
        }
        responses.push(ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions));
    }
    let response = AlterPartitionReassignmentsResponse::default().with_responses(responses);
    if version < 1 { response } else { response.with_allow_replication_factor_change(may_change_factor) }
}

fn alter_one(
    draft: &mut Draft,
    topic: &str,
    asked: &ReassignablePartition,
    may_change_factor: bool,
) -> Result<(), Refusal> {
    let number = asked.partition_index;
    let unknown = |message| Err((ErrorCode::UnknownTopicOrPartition, message));
    let Some(topic_id) = draft.image.topic_ids.get(topic) else {
        return unknown(format!("Unable to find a topic named {topic}."));
    };
    let id = PartitionId::new(*topic_id, number);
    let Some(before) = draft.partition(id).cloned() else {
        return unknown(format!("Unable to find partition {topic}:{number}."));
    };
    let target = match &asked.replicas {
        None => return cancel(draft, topic, id, &before),
        Some(target) => target.iter().map(|replica| BrokerId::from(*replica)).collect::<Vec<_>>(),
    };
    check_assignment(draft, &target, None)?;
    let original: Vec<BrokerId> = original_replicas(&before);
    if !may_change_factor && target.len() != original.len() {
        let message = format!("The replication factor is changed from {} to {}", original.len(), target.len());
        return Err((ErrorCode::InvalidReplicationFactor, message));
    }
    let rules = draft.rules(topic);
    draft.change(id, rules, |change| {
        change.adding = target.iter().copied().filter(|replica| !original.contains(replica)).collect();
        change.removing = before.replicas.iter().copied().filter(|replica| !target.contains(replica)).collect();
        change.removing.sort_unstable();
        change.replicas = target.iter().chain(&change.removing).copied().collect();
    });
    Ok(())
}

/// The replicas without those that a reassignment is adding.
fn original_replicas(partition: &PartitionState) -> Vec<BrokerId> {
    partition.replicas.iter().copied().filter(|replica| !partition.adding.contains(replica)).collect()
}

fn cancel(draft: &mut Draft, topic: &str, id: PartitionId, before: &PartitionState) -> Result<(), Refusal> {
    if !before.is_reassigning() {
        let message = "No partition reassignment is in progress.";
        return Err((ErrorCode::NoReassignmentInProgress, message.to_owned()));
    }
    let rules = draft.rules(topic);
    let replicas = original_replicas(before);
    let isr: Vec<BrokerId> = before.isr.iter().copied().filter(|member| replicas.contains(member)).collect();
    let is_complete = |members: &[BrokerId]| members.iter().any(|member| replicas.contains(member));
    let is_kept = is_complete(&before.isr) || (before.isr.is_empty() && is_complete(&before.elr));
    let has_some = !before.isr.is_empty() || !before.elr.is_empty();
    if !is_kept && has_some && !rules.unclean_election {
        let number = id.partition;
        let message = format!(
            "Unable to revert partition assignment for {topic}:{number} because it would require an unclean leader \
             election."
        );
        return Err((ErrorCode::InvalidReplicaAssignment, message));
    }
    draft.change(id, rules, |change| {
        change.isr = isr;
        change.replicas = replicas;
        change.adding.clear();
        change.removing.clear();
    });
    Ok(())
}

/// ListPartitionReassignments (key 46): of the partitions asked for, or of all.
pub(super) fn list(
    image: &MetadataImage,
    request: &ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let topics: Vec<OngoingTopicReassignment> = match &request.topics {
        None => {
            let all = image.topic_ids.values().map(|id| &image.topics[id]);
            all.filter_map(|topic| list_topic(topic, topic.partitions.keys().copied())).collect()
        }
        Some(asked) => asked
            .iter()
            .filter_map(|asked| {
                let topic = image.topic_by_name(asked.name.0.as_str())?;
                list_topic(topic, asked.partition_indexes.iter().copied())
            })
            .collect(),
    };
    ListPartitionReassignmentsResponse::default().with_topics(topics)
}

fn list_topic(topic: &TopicImage, numbers: impl Iterator<Item = i32>) -> Option<OngoingTopicReassignment> {
    let wire = |replicas: &[BrokerId]| replicas.iter().map(|replica| (*replica).into()).collect::<Vec<_>>();
    let partitions: Vec<OngoingPartitionReassignment> = numbers
        .filter_map(|number| {
            let partition = topic.partitions.get(&number).filter(|partition| partition.is_reassigning())?;
            let ongoing = OngoingPartitionReassignment::default()
                .with_partition_index(number)
                .with_replicas(wire(&partition.replicas))
                .with_adding_replicas(wire(&partition.adding))
                .with_removing_replicas(wire(&partition.removing));
            Some(ongoing)
        })
        .collect();
    let name = TopicName(StrBytes::from_string(topic.name.clone()));
    let told = OngoingTopicReassignment::default().with_name(name);
    (!partitions.is_empty()).then(|| told.with_partitions(partitions))
}

#[cfg(test)]
mod tests;

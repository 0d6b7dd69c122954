//! Elections that somebody asks for or the clock: ElectLeaders (preferred, unclean), the preferred leaders' balance,
//! unclean elections where the configuration allows them.
//!
//! As Kafka's KRaft controller does, the balance looks at every partition and knows no percentage
//! (`leader.imbalance.per.broker.percentage` is read and told, but decides nothing).

use crate::engine::config::ClusterConfig;
use crate::engine::controller::draft::Draft;
use crate::engine::controller::partition_change::Election;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::PartitionId;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

/// At most so many elections in one decision (`QuorumController.MAX_ELECTIONS_PER_IMBALANCE`).
const MAX_ELECTIONS: usize = 1_000;

/// How often leaderless partitions are looked at, in milliseconds (`unclean.leader.election.interval.ms`).
pub(super) fn unclean_interval_ms(config: &ClusterConfig) -> u64 {
    let set = config.properties.get("unclean.leader.election.interval.ms");
    set.and_then(|value| value.parse().ok()).unwrap_or(300_000)
}

/// ElectLeaders (key 43).
pub(super) fn elect(draft: &mut Draft, request: &ElectLeadersRequest) -> ElectLeadersResponse {
    let election = match request.election_type {
        0 => Election::Preferred,
        1 => Election::Unclean,
        _ => return ElectLeadersResponse::default().with_error_code(ErrorCode::InvalidRequest.code()),
    };
    let results = match &request.topic_partitions {
        Some(asked) => {
            let mut results = Vec::with_capacity(asked.len());
            for topic in asked {
                let partitions = topic.partitions.iter().map(|number| {
                    let outcome = elect_one(draft, topic.topic.0.as_str(), *number, election);
                    result(*number, outcome)
                });
                let partitions = partitions.collect();
                results.push(topic_result(topic.topic.clone(), partitions));
            }
            results
        }
        None => elect_everywhere(draft, election),
    };
    ElectLeadersResponse::default().with_replica_election_results(results)
}

/// Partitions that already have the leader they should have are left out.
fn elect_everywhere(draft: &mut Draft, election: Election) -> Vec<ReplicaElectionResult> {
    let image = draft.image;
    let mut results = Vec::new();
    for (name, id) in &image.topic_ids {
        let mut partitions = Vec::new();
        for number in image.topics[id].partitions.keys() {
            let outcome = elect_one(draft, name, *number, election);
            if !matches!(outcome, Err((ErrorCode::ElectionNotNeeded, _))) {
                partitions.push(result(*number, outcome));
            }
        }
        results.push(topic_result(TopicName(StrBytes::from_string(name.clone())), partitions));
    }
    results
}

fn elect_one(draft: &mut Draft, topic: &str, number: i32, election: Election) -> Result<(), (ErrorCode, String)> {
    let unknown = |what: String| (ErrorCode::UnknownTopicOrPartition, what);
    let Some(id) = draft.image.topic_ids.get(topic) else {
        return Err(unknown(format!("No such topic as {topic}")));
    };
    let id = PartitionId::new(*id, number);
    let Some(partition) = draft.partition(id) else {
        return Err(unknown(format!("No such partition as {topic}-{number}")));
    };
    let is_needed = match election {
        Election::Preferred => partition.leader.is_none() || partition.leader != partition.preferred_leader(),
        _ => partition.leader.is_none(),
    };
    if !is_needed {
        return Err((ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition.".to_owned()));
    }
    let rules = draft.rules(topic);
    if draft.change(id, rules, |change| change.election = election).is_some() {
        return Ok(());
    }
    Err(match election {
        Election::Preferred => {
            (ErrorCode::PreferredLeaderNotAvailable, "The preferred leader was not available.".to_owned())
        }
        _ => (ErrorCode::EligibleLeadersNotAvailable, "Eligible topic partition leaders are not available.".to_owned()),
    })
}

fn result(number: i32, outcome: Result<(), (ErrorCode, String)>) -> PartitionResult {
    let result = PartitionResult::default().with_partition_id(number);
    match outcome {
        Ok(()) => result,
        Err((error, message)) => {
            result.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)))
        }
    }
}

fn topic_result(topic: TopicName, partitions: Vec<PartitionResult>) -> ReplicaElectionResult {
    ReplicaElectionResult::default().with_topic(topic).with_partition_result(partitions)
}

/// Puts preferred leaders back where they are in sync. Whether all of it is done; otherwise it is to be called again at
/// once.
pub(super) fn balance(draft: &mut Draft) -> bool {
    let image = draft.image;
    let mut elections = 0;
    for topic in image.topics.values() {
        for number in topic.partitions.keys() {
            let id = PartitionId::new(topic.id, *number);
            let Some(partition) = draft.partition(id) else { continue };
            // A preferred replica that is not in sync or not there cannot lead: not worth a try.
            let preferred = partition.preferred_leader();
            let can_lead =
                preferred.is_some_and(|replica| partition.isr.contains(&replica) && draft.is_active(replica));
            if !can_lead || partition.leader == preferred {
                continue;
            }
            if elections == MAX_ELECTIONS {
                return false;
            }
            let rules = draft.rules(&topic.name);
            if draft.change(id, rules, |change| change.election = Election::Preferred).is_some() {
                elections += 1;
            }
        }
    }
    true
}

/// Gives leaderless partitions a leader that may lack records, where `unclean.leader.election.enable` says so.
pub(super) fn elect_unclean_where_allowed(draft: &mut Draft) {
    // The election that the rules of a topic allow is the one a change begins with.
    draft.change_all(|partition| partition.leader.is_none(), |_, _| {});
}

#[cfg(test)]
mod tests;

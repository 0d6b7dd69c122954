//! AlterPartition: a leader asks for another ISR (KIP-497, KIP-841, KIP-903).
//!
//! The order of the checks is Kafka's (`ReplicationControlManager.validateAlterPartitionData`) and matters: a leader
//! that knows more than this controller has to look for another controller, one that knows less has to learn first.

use crate::engine::controller::brokers::check_broker_epoch;
use crate::engine::controller::draft::Draft;
use crate::engine::controller::record::PartitionState;
use crate::engine::mutant::Mutant;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::{AlterPartitionAnswer, AlterPartitionItem, AlterPartitionRequest, AlterPartitionResponse};

/// Decides each partition on its own.
pub(super) fn alter(draft: &mut Draft, request: &AlterPartitionRequest) -> AlterPartitionResponse {
    if let Err(error) = check_broker_epoch(draft.image, request.broker, request.broker_epoch) {
        return AlterPartitionResponse { error, partitions: Vec::new() };
    }
    let partitions = request.partitions.iter().map(|item| alter_one(draft, request.broker, item)).collect();
    AlterPartitionResponse { error: ErrorCode::None, partitions }
}

fn alter_one(draft: &mut Draft, from: BrokerId, item: &AlterPartitionItem) -> AlterPartitionAnswer {
    let Some(topic) = draft.image.topics.get(&item.partition.topic) else {
        return refused(item, ErrorCode::UnknownTopicId);
    };
    let Some(partition) = draft.partition(item.partition) else {
        return refused(item, ErrorCode::UnknownTopicOrPartition);
    };
    if let Err(error) = check(draft, partition, from, item) {
        return refused(item, error);
    }
    let rules = draft.rules(&topic.name);
    let unchanged = partition.clone();
    let changed = draft.change(item.partition, rules, |change| {
        change.isr = item.new_isr.iter().map(|(member, _)| *member).collect();
        change.is_recovering = item.is_recovering;
    });
    let after = changed.unwrap_or(&unchanged);
    // The ISR completed a reassignment that took the leader away: it has to learn of its successor.
    let error = if after.leader == Some(from) { ErrorCode::None } else { ErrorCode::NewLeaderElected };
    AlterPartitionAnswer {
        partition: item.partition,
        error,
        leader: after.leader,
        leader_epoch: after.leader_epoch,
        isr: after.isr.clone(),
        partition_epoch: after.partition_epoch,
        is_recovering: after.is_recovering,
    }
}

fn refused(item: &AlterPartitionItem, error: ErrorCode) -> AlterPartitionAnswer {
    AlterPartitionAnswer {
        partition: item.partition,
        error,
        leader: None,
        leader_epoch: -1,
        isr: Vec::new(),
        partition_epoch: -1,
        is_recovering: false,
    }
}

fn check(
    draft: &Draft,
    partition: &PartitionState,
    from: BrokerId,
    item: &AlterPartitionItem,
) -> Result<(), ErrorCode> {
    let is_stale_allowed = draft.config.has(Mutant::StaleAlterPartition);
    if item.leader_epoch > partition.leader_epoch || item.partition_epoch > partition.partition_epoch {
        return Err(ErrorCode::NotController);
    }
    if item.leader_epoch < partition.leader_epoch && !is_stale_allowed {
        return Err(ErrorCode::FencedLeaderEpoch);
    }
    if partition.leader != Some(from) && !is_stale_allowed {
        return Err(ErrorCode::InvalidRequest);
    }
    if item.partition_epoch < partition.partition_epoch && !is_stale_allowed {
        return Err(ErrorCode::InvalidUpdateVersion);
    }
    if !is_valid_isr(&partition.replicas, &item.new_isr) || !item.new_isr.iter().any(|(member, _)| *member == from) {
        return Err(ErrorCode::InvalidRequest);
    }
    if item.is_recovering && (item.new_isr.len() > 1 || !partition.is_recovering) {
        return Err(ErrorCode::InvalidRequest);
    }
    let is_eligible = |(member, broker_epoch): &(BrokerId, i64)| {
        let registered = draft.image.brokers.get(member);
        // A leader that does not know a member's epoch says −1: then only the state counts.
        (draft.is_active(*member) || draft.config.has(Mutant::FencedReplicaJoinsIsr))
            && registered.is_some_and(|broker| {
                let is_current = *broker_epoch == -1 || *broker_epoch == broker.broker_epoch;
                is_current || draft.config.has(Mutant::StaleBrokerEpochJoinsIsr)
            })
    };
    if item.new_isr.iter().all(is_eligible) { Ok(()) } else { Err(ErrorCode::IneligibleReplica) }
}

/// Replicas only, each once, at least one.
fn is_valid_isr(replicas: &[BrokerId], isr: &[(BrokerId, i64)]) -> bool {
    let is_distinct = isr.iter().enumerate().all(|(i, (member, _))| isr[..i].iter().all(|(other, _)| other != member));
    !isr.is_empty() && is_distinct && isr.iter().all(|(member, _)| replicas.contains(member))
}

#[cfg(test)]
mod tests;

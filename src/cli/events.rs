//! Events as JSON lines: what `serve` writes to standard output.
//!
//! ```text
//! {"at_ms":412,"broker":1,"event":"leader_elected","id":"1:17","partition":"orders-0","leader":3,"leader_epoch":4}
//! ```
//!
//! Invariants: `event` is the fact's name in snake case, `at_ms` the broker's own time; a name or a field once written
//! keeps its meaning, new ones may be added; only facts are written, never progress.
//!
//! Deliberately not here: where events come from.

use crate::engine::log::Cleaned;
use crate::engine::observe::{
    ElectionReason, Event, EventKind, GroupEvent, QuorumRole, TransactionEvent, TruncationReason,
};
use crate::protocol::ids::{BrokerId, PartitionId, TopicId};
use crate::protocol::peer::EventId;
use serde_json::{Map, Value, json};

/// The line of an event; `None` if it is progress and no fact. `name_of` knows the topics.
pub fn to_json(event: &Event, name_of: &dyn Fn(TopicId) -> Option<String>) -> Option<Value> {
    if !event.kind.is_fact() {
        return None;
    }
    let (name, fields) = describe(&event.kind, name_of);
    let mut line = Map::new();
    line.insert("at_ms".to_owned(), json!(event.at.as_millis()));
    line.insert("broker".to_owned(), broker(event.id.broker));
    line.insert("event".to_owned(), json!(name));
    line.insert("id".to_owned(), id(event.id));
    if let Some(cause) = event.cause {
        line.insert("cause".to_owned(), id(cause));
    }
    if let Value::Object(fields) = fields {
        line.extend(fields);
    }
    Some(Value::Object(line))
}

/// The host's own events have no broker.
fn broker(broker: BrokerId) -> Value {
    if broker == EventId::HOST { Value::Null } else { json!(broker) }
}

/// `2:17`, the seventeenth event of broker 2; the host's begin with 0.
fn id(id: EventId) -> Value {
    json!(format!("{}:{}", id.broker, id.seq))
}

fn describe(kind: &EventKind, name_of: &dyn Fn(TopicId) -> Option<String>) -> (&'static str, Value) {
    // A topic that is gone has its id only.
    let name = |partition: &PartitionId| {
        let topic = match partition.topic {
            TopicId::METADATA => "__cluster_metadata".to_owned(),
            topic => name_of(topic).unwrap_or_else(|| topic.to_string()),
        };
        format!("{topic}-{}", partition.partition)
    };
    match kind {
        EventKind::Started { was_clean } => ("started", json!({"was_clean": was_clean})),
        EventKind::Registered { broker_epoch } => ("registered", json!({"broker_epoch": broker_epoch})),
        EventKind::BrokerFenced { broker } => ("broker_fenced", json!({"subject": broker})),
        EventKind::BrokerUnfenced { broker } => ("broker_unfenced", json!({"subject": broker})),
        EventKind::ShutdownBegan => ("shutdown_began", json!({})),
        EventKind::QuorumRole { from, to, epoch, leader, why } => {
            ("quorum_role", json!({"from": role(*from), "to": role(*to), "epoch": epoch, "leader": leader, "why": why}))
        }
        EventKind::Voted { epoch, candidate } => ("voted", json!({"epoch": epoch, "candidate": candidate})),
        EventKind::MetadataCommitted { offset } => ("metadata_committed", json!({"offset": offset})),
        EventKind::SnapshotWritten { end_offset } => ("snapshot_written", json!({"end_offset": end_offset})),
        EventKind::SnapshotLoaded { end_offset } => ("snapshot_loaded", json!({"end_offset": end_offset})),
        EventKind::VotersChanged { voters } => ("voters_changed", json!({"voters": voters})),
        EventKind::LeaderElected { partition, leader, leader_epoch, reason } => (
            "leader_elected",
            json!({
                "partition": name(partition), "leader": leader, "leader_epoch": leader_epoch,
                "reason": election(*reason),
            }),
        ),
        EventKind::IsrChanged { partition, isr, elr, shrunk } => {
            ("isr_changed", json!({"partition": name(partition), "isr": isr, "elr": elr, "shrunk": shrunk}))
        }
        EventKind::TopicCreated { topic, partitions } => {
            ("topic_created", json!({"topic": topic, "partitions": partitions}))
        }
        EventKind::TopicDeleted { topic } => ("topic_deleted", json!({"topic": topic})),
        EventKind::ReassignmentDone { partition, replicas } => {
            ("reassignment_done", json!({"partition": name(partition), "replicas": replicas}))
        }
        EventKind::BecameLeader { partition, leader_epoch, log_end, high_watermark } => (
            "became_leader",
            json!({
                "partition": name(partition), "leader_epoch": leader_epoch, "log_end": log_end,
                "high_watermark": high_watermark,
            }),
        ),
        EventKind::BecameFollower { partition, leader_epoch, leader } => {
            ("became_follower", json!({"partition": name(partition), "leader_epoch": leader_epoch, "leader": leader}))
        }
        EventKind::Truncated { partition, from, to, reason } => {
            ("truncated", json!({"partition": name(partition), "from": from, "to": to, "reason": truncation(*reason)}))
        }
        EventKind::LogStartMoved { partition, to } => {
            ("log_start_moved", json!({"partition": name(partition), "to": to}))
        }
        EventKind::LogCleaned { partition, end, done } => ("log_cleaned", cleaned(&name(partition), *end, done)),
        EventKind::NotEnoughReplicas { partition } => ("not_enough_replicas", json!({"partition": name(partition)})),
        EventKind::Appended { partition, leader_epoch, first, last, .. } => (
            "appended",
            json!({"partition": name(partition), "leader_epoch": leader_epoch, "first": first, "last": last}),
        ),
        EventKind::HighWatermark { partition, leader_epoch, offset } => {
            ("high_watermark", json!({"partition": name(partition), "leader_epoch": leader_epoch, "offset": offset}))
        }
        EventKind::Group(event) => group(event, name),
        EventKind::Transaction(event) => transaction(event, name),
        EventKind::StorageFailed { reason } => ("storage_failed", json!({"reason": reason})),
    }
}

fn cleaned(partition: &str, end: i64, done: &Cleaned) -> Value {
    json!({
        "partition": partition, "end": end, "records_before": done.records_before, "records_after": done.records_after,
        "bytes_before": done.bytes_before, "bytes_after": done.bytes_after,
    })
}

fn transaction(event: &TransactionEvent, name: impl Fn(&PartitionId) -> String) -> (&'static str, Value) {
    match event {
        TransactionEvent::CoordinatorLoaded { partition, transactions } => {
            ("transaction_coordinator_loaded", json!({"partition": name(partition), "transactions": transactions}))
        }
        TransactionEvent::CoordinatorUnloaded { partition } => {
            ("transaction_coordinator_unloaded", json!({"partition": name(partition)}))
        }
        TransactionEvent::Ending { transactional_id, commits } => {
            ("transaction_ending", json!({"transactional_id": transactional_id, "commits": commits}))
        }
        TransactionEvent::Ended { transactional_id, commits } => {
            ("transaction_ended", json!({"transactional_id": transactional_id, "commits": commits}))
        }
        TransactionEvent::TimedOut { transactional_id } => {
            ("transaction_timed_out", json!({"transactional_id": transactional_id}))
        }
    }
}

fn group(event: &GroupEvent, name: impl Fn(&PartitionId) -> String) -> (&'static str, Value) {
    match event {
        GroupEvent::CoordinatorLoaded { partition, groups } => {
            ("group_coordinator_loaded", json!({"partition": name(partition), "groups": groups}))
        }
        GroupEvent::CoordinatorUnloaded { partition } => {
            ("group_coordinator_unloaded", json!({"partition": name(partition)}))
        }
        GroupEvent::Rebalancing { group, generation, cause } => {
            ("group_rebalancing", json!({"group": group, "generation": generation, "cause": cause}))
        }
        GroupEvent::Stable { group, generation, members } => {
            ("group_stable", json!({"group": group, "generation": generation, "members": members}))
        }
        GroupEvent::Empty { group, generation } => ("group_empty", json!({"group": group, "generation": generation})),
        GroupEvent::Deleted { group } => ("group_deleted", json!({"group": group})),
    }
}

fn role(role: QuorumRole) -> &'static str {
    match role {
        QuorumRole::Unattached => "unattached",
        QuorumRole::Prospective => "prospective",
        QuorumRole::Candidate => "candidate",
        QuorumRole::Follower => "follower",
        QuorumRole::Observer => "observer",
        QuorumRole::Leader => "leader",
        QuorumRole::Resigned => "resigned",
    }
}

fn election(reason: ElectionReason) -> &'static str {
    match reason {
        ElectionReason::Created => "created",
        ElectionReason::InSync => "in_sync",
        ElectionReason::EligibleLeaderReplica => "eligible_leader_replica",
        ElectionReason::LastKnownLeader => "last_known_leader",
        ElectionReason::Preferred => "preferred",
        ElectionReason::Unclean => "unclean",
        ElectionReason::Reassignment => "reassignment",
        ElectionReason::NoneEligible => "none_eligible",
    }
}

fn truncation(reason: TruncationReason) -> &'static str {
    match reason {
        TruncationReason::DivergingEpoch => "diverging_epoch",
        TruncationReason::OutOfRange => "out_of_range",
        TruncationReason::Snapshot => "snapshot",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::Instant;
    use uuid::Uuid;

    fn event(kind: EventKind) -> Event {
        let at = Instant::from_millis(412);
        let id = EventId { broker: BrokerId(1), seq: 17 };
        Event { id, cause: Some(EventId { broker: EventId::HOST, seq: 3 }), at, kind }
    }

    #[test]
    fn a_fact_is_a_line_with_names_for_ids() {
        let orders = TopicId(Uuid::from_u128(7));
        let names = |topic| (topic == orders).then(|| "orders".to_owned());
        let kind = EventKind::LeaderElected {
            partition: PartitionId::new(orders, 0),
            leader: Some(BrokerId(3)),
            leader_epoch: 4,
            reason: ElectionReason::InSync,
        };
        let expected = json!({
            "at_ms": 412, "broker": 1, "event": "leader_elected", "id": "1:17", "cause": "0:3",
            "partition": "orders-0", "leader": 3, "leader_epoch": 4, "reason": "in_sync",
        });
        assert_eq!(to_json(&event(kind), &names), Some(expected));
        let gone = EventKind::NotEnoughReplicas { partition: PartitionId::new(TopicId(Uuid::from_u128(8)), 1) };
        let line = to_json(&event(gone), &names).expect("a fact");
        assert_eq!(line["partition"], json!(format!("{}-1", Uuid::from_u128(8).simple())));
    }

    #[test]
    fn progress_is_not_written() {
        assert_eq!(to_json(&event(EventKind::MetadataCommitted { offset: 3 }), &|_| None), None);
    }
}

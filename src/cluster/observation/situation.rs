//! The facts behind the headline: the loss that still acts, who catches up, the worst partitions, what was lost and by which rule.
//!
//! Deliberately not here: the sentence (`tui`), and the chain of causes (`why`).

use super::Observer;
use crate::cluster::view::{Acks, BrokerState, CatchUp, LostRecords, PartitionName, Situation};
use crate::engine::observe::ElectionReason;

/// So long a loss that is over still counts as news, in milliseconds.
const NEWS_MS: u64 = 30_000;

impl Observer {
    pub(super) fn situation(&self) -> Situation {
        let now_ms = self.moment.at_ms;
        let session_timeout_ms = self.setup.cluster.broker_session_timeout_ms;
        let losses = self.brokers.values().filter(|broker| {
            let loss = broker.loss.as_ref();
            loss.is_some_and(|loss| loss.back_at_ms.is_none_or(|back| now_ms.saturating_sub(back) < NEWS_MS))
        });
        // What still acts comes before what is over.
        let latest = losses.max_by_key(|broker| {
            broker.loss.as_ref().map(|loss| (loss.back_at_ms.is_none(), loss.at_ms)).unwrap_or_default()
        });
        let back = self.brokers.values().filter(|broker| broker.is_back && broker.state == BrokerState::Running);
        let catching_up = back.filter_map(|broker| {
            let share = self.partitions.share(broker.id);
            let (replicas, records) = (share.lagging, share.lagging_records);
            (replicas > 0).then_some(CatchUp { broker: broker.id, replicas, records, cut: broker.cut })
        });
        Situation {
            last_death: latest.and_then(|broker| broker.death(session_timeout_ms, self.controller.is_some())),
            catching_up: catching_up.collect(),
            worst: self.partitions.worst(&self.lives),
            no_controller_since_ms: self.no_controller_since_ms,
            contest: self.contest(),
            lost: self.lost(),
            no_topics: self.image.topics.is_empty(),
        }
    }

    fn lost(&self) -> Option<LostRecords> {
        let report = self.ledger.as_ref().filter(|report| report.counts.lost > 0)?;
        let loss = report.lost.as_ref()?;
        Some(LostRecords {
            count: loss.count,
            name: PartitionName::new(&loss.partition.topic, loss.partition.partition),
            first_offset: loss.first_offset,
            last_offset: loss.last_offset,
            rule: self.rule(loss),
        })
    }

    /// The rule of Kafka's that allows the loss.
    fn rule(&self, loss: &crate::cluster::ledger::Loss) -> String {
        let partition = self.partitions.by_name(&loss.partition.topic, loss.partition.partition);
        let reason = partition.and_then(|partition| partition.election).map(|(_, reason)| reason);
        let power_was_lost = self
            .brokers
            .values()
            .any(|broker| broker.loss.as_ref().is_some_and(|loss| loss.state == BrokerState::PowerLost));
        match (reason, loss.acks) {
            (Some(ElectionReason::Unclean), _) => "a leader was elected out of sync",
            (Some(ElectionReason::LastKnownLeader), _) => "the last known leader came back without them",
            (_, Acks::Leader) => "acks=1 and the leader died",
            (_, Acks::All) if power_was_lost => "power was lost before they were synced",
            _ => "no rule allows it",
        }
        .to_owned()
    }
}

//! What happens to partitions when a broker comes or goes (`ReplicationControlManager.generateLeaderAndIsrUpdates`): it
//! leaves the ISR, another leads; or it may lead what nobody leads.
//!
//! Invariant: after [`on_broker_gone`] and [`on_broker_unclean`] the broker leads nothing and is in no ISR (but,
//! without ELR, in one that would be empty).
//!
//! Elections that somebody asks for are in [`super::elections`].

use crate::engine::controller::draft::Draft;
use crate::engine::mutant::Mutant;
use crate::protocol::ids::BrokerId;

/// The broker is fenced, stops or leaves: it keeps its place among the eligible replicas, because it keeps its records.
pub(super) fn on_broker_gone(draft: &mut Draft, broker: BrokerId) {
    draft.set_active(broker, false);
    draft.change_all(
        |partition| partition.isr.contains(&broker),
        |_, change| change.isr.retain(|member| *member != broker),
    );
}

/// The broker came back and may have lost the end of its logs (KIP-966): it is eligible no more. With a new disk it has
/// lost everything and is not even the leader of last resort.
pub(super) fn on_broker_unclean(draft: &mut Draft, broker: BrokerId, is_wiped: bool) {
    draft.set_active(broker, false);
    let keeps_elr = draft.config.has(Mutant::UncleanReplicaStaysEligible);
    draft.change_all(
        |partition| {
            partition.isr.contains(&broker)
                || (partition.elr.contains(&broker) && !keeps_elr)
                || (is_wiped && partition.last_known_elr.contains(&broker))
        },
        |_, change| {
            change.isr.retain(|member| *member != broker);
            if !keeps_elr {
                change.unclean.push(broker);
            }
            if is_wiped {
                change.wiped.push(broker);
            }
        },
    );
}

/// The broker may lead again: perhaps it is who a leaderless partition waits for.
pub(super) fn on_broker_back(draft: &mut Draft, broker: BrokerId) {
    draft.set_active(broker, true);
    draft.change_all(|partition| partition.leader.is_none() && partition.replicas.contains(&broker), |_, _| {});
}

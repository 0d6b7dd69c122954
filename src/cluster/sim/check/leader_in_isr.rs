//! LeaderInIsr: the leader of a partition is a member of its ISR (`LeaderInIsr` of the Kafka replication model), and neither its leader
//! epoch nor its partition epoch ever goes back.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::check::decisions::Decisions;
use crate::engine::controller::image::MetadataImage;

const RULE: &str = "LeaderInIsr";

pub(super) fn look(decisions: &Decisions, before: &MetadataImage) -> Result<(), Violation> {
    for (id, topic, state) in decisions.image().partitions() {
        let name = || format!("{}-{}", topic.name, id.partition);
        if let Some(leader) = state.leader.filter(|leader| !state.isr.contains(leader)) {
            let what = format!("{}: broker {leader} leads and is not in the ISR {:?}", name(), state.isr);
            return Err(Violation { rule: RULE, what });
        }
        let Some(old) = before.partition(id) else { continue };
        if state.leader_epoch < old.leader_epoch || state.partition_epoch < old.partition_epoch {
            let (from, to) = ((old.leader_epoch, old.partition_epoch), (state.leader_epoch, state.partition_epoch));
            let what = format!("{}: leader epoch and partition epoch from {from:?} back to {to:?}", name());
            return Err(Violation { rule: RULE, what });
        }
    }
    Ok(())
}

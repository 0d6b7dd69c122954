//! LeaderCandidateCompleteness: whoever may be made the leader, a member of the ISR or the ELR, has everything that is committed
//! (`LeaderCandidateCompleteness` of the KIP-966 model). StrongIsr looks at the ISR when a record is committed; this rule at the ELR, at who
//! joins the ISR, and at both when a log loses its end. Who lost what it had not synced is excused until it is back: it registers as unclean then.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::check::decisions::Decisions;
use crate::cluster::sim::check::history::{History, News};
use crate::cluster::sim::check::strong_isr::StrongIsr;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::controller::image::MetadataImage;
use crate::engine::observe::EventKind;

const RULE: &str = "LeaderCandidateCompleteness";

pub(super) fn look(
    decisions: &Decisions,
    history: &History,
    strong_isr: &StrongIsr,
    world: &World,
    outcome: &StepOutcome,
    news: &[News],
    before: Option<&MetadataImage>,
) -> Result<(), Violation> {
    for News { partition, leader, .. } in news {
        let Some(state) = decisions.partition(*partition) else { continue };
        let end = history.of(*partition).last().map_or(0, |batch| batch.header.next_offset());
        for member in state.elr.iter().filter(|member| !strong_isr.is_excused(world, *partition, **member)) {
            let own_end = world.nodes[member].disk.log_of(*partition).map_or(0, |log| log.end_offset);
            if own_end < end {
                let what = format!(
                    "{partition}: broker {leader} has committed up to {end}; broker {member} in the ELR has up to {own_end}"
                );
                return Err(Violation { rule: RULE, what });
            }
        }
    }
    if let Some(before) = before {
        joiners(decisions, before, history, strong_isr, world)?;
    }
    let Some(id) = outcome.stepped else { return Ok(()) };
    for event in &outcome.events {
        let EventKind::Truncated { partition, from, to, reason } = event.kind else { continue };
        let end = history.of(partition).last().map_or(0, |batch| batch.header.next_offset());
        if to < end.min(from) && decisions.may_lead(partition, id) {
            let what = format!(
                "{partition}: broker {id} may be made the leader and cut its log from {from} to {to} ({reason:?}), {end} is committed"
            );
            return Err(Violation { rule: RULE, what });
        }
    }
    Ok(())
}

/// Who has just been taken into an ISR.
fn joiners(
    decisions: &Decisions,
    before: &MetadataImage,
    history: &History,
    strong_isr: &StrongIsr,
    world: &World,
) -> Result<(), Violation> {
    for (id, _, state) in decisions.image().partitions() {
        let old = before.partition(id).map_or(&[][..], |old| &old.isr);
        let end = history.of(id).last().map_or(0, |batch| batch.header.next_offset());
        let joined =
            state.isr.iter().filter(|member| !old.contains(member) && !strong_isr.is_excused(world, id, **member));
        for member in joined {
            let own_end = world.nodes[member].disk.log_of(id).map_or(0, |log| log.end_offset);
            if own_end < end {
                let what =
                    format!("{id}: broker {member} joins the ISR with records up to {own_end}; {end} is committed");
                return Err(Violation { rule: RULE, what });
            }
        }
    }
    Ok(())
}

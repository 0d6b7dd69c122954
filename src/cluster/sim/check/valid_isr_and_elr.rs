//! ValidIsrAndElr: ISR and ELR are disjoint and hold replicas only; the ELR is empty while the ISR is large enough; no fenced broker is in
//! an ISR (`ValidControllerIsrAndElr` and `ValidControllerState` of the KIP-966 model, KIP-841); and a broker that comes back after an
//! unclean stop is in neither (KIP-966).

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::check::decisions::Decisions;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::controller::configs::min_insync_replicas;
use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::record::PartitionState;
use crate::engine::observe::EventKind;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeMap;
use uuid::Uuid;

const RULE: &str = "ValidIsrAndElr";

/// How each broker's process began.
#[derive(Debug, Clone, Default)]
pub struct ValidIsrAndElr {
    unclean: BTreeMap<BrokerId, Uuid>,
}

impl ValidIsrAndElr {
    /// Notes who started after an unclean stop.
    pub(super) fn note_starts(&mut self, world: &World, outcome: &StepOutcome) {
        let Some(id) = outcome.stepped else { return };
        for event in &outcome.events {
            match event.kind {
                EventKind::Started { was_clean: false } => {
                    self.unclean.insert(id, world.nodes[&id].config.incarnation);
                }
                EventKind::Started { was_clean: true } => {
                    self.unclean.remove(&id);
                }
                _ => {}
            }
        }
    }

    pub(super) fn look(
        &self,
        world: &World,
        decisions: &Decisions,
        before: &MetadataImage,
        stepped: Option<BrokerId>,
    ) -> Result<(), Violation> {
        let image = decisions.image();
        let Some(cluster) = stepped.map(|id| &world.nodes[&id].config.cluster) else { return Ok(()) };
        let came_back: Vec<BrokerId> = image
            .brokers
            .iter()
            .filter(|(id, now)| before.brokers.get(id).is_none_or(|old| old.incarnation != now.incarnation))
            .filter(|(id, now)| self.unclean.get(id) == Some(&now.incarnation))
            .map(|(id, _)| *id)
            .collect();
        for (id, topic, state) in image.partitions() {
            let needed = state.effective_min_isr(min_insync_replicas(image, cluster, &topic.name));
            let wrong = malformed(state, needed)
                .or_else(|| fenced_member(image, state))
                .or_else(|| unclean_member(state, &came_back));
            if let Some(wrong) = wrong {
                let (isr, elr) = (&state.isr, &state.elr);
                let what = format!("{}-{}: {wrong}, ISR {isr:?}, ELR {elr:?}", topic.name, id.partition);
                return Err(Violation { rule: RULE, what });
            }
        }
        Ok(())
    }
}

fn malformed(state: &PartitionState, needed: usize) -> Option<String> {
    let members = || state.isr.iter().chain(&state.elr);
    if let Some(member) = state.isr.iter().find(|member| state.elr.contains(member)) {
        return Some(format!("broker {member} is in both"));
    }
    if let Some(member) = members().find(|member| !state.replicas.contains(member)) {
        return Some(format!("broker {member} is no replica"));
    }
    (state.isr.len() >= needed && !state.elr.is_empty())
        .then(|| format!("an ELR beside an ISR that is as large as it must be ({needed})"))
}

/// Without eligible replicas the last member stays in the ISR, fenced or not.
fn fenced_member(image: &MetadataImage, state: &PartitionState) -> Option<String> {
    let is_fenced = |member: &BrokerId| image.brokers.get(member).is_none_or(|broker| broker.fenced);
    let fenced = state.isr.iter().find(|member| is_fenced(member))?;
    (state.isr.len() > 1 || image.feature("eligible.leader.replicas.version") > 0)
        .then(|| format!("broker {fenced} is fenced"))
}

fn unclean_member(state: &PartitionState, came_back: &[BrokerId]) -> Option<String> {
    let member = came_back.iter().find(|broker| state.isr.contains(broker) || state.elr.contains(broker))?;
    Some(format!("broker {member} has just come back after an unclean stop"))
}

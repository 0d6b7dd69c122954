//! What the controller has committed, as the broker has it that has applied most of the metadata: what rules about ISR, ELR and leaders
//! are held against. (A controller that is cut off may believe for a while that it is the only one.)

use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::record::PartitionState;
use crate::protocol::ids::{BrokerId, PartitionId};
use std::sync::Arc;

/// The newest metadata that any broker has applied.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    image: Arc<MetadataImage>,
}

impl Decisions {
    /// Takes in what the broker that took a step has applied. The metadata before, if there is newer now.
    pub(super) fn look(&mut self, world: &World, outcome: &StepOutcome) -> Option<Arc<MetadataImage>> {
        let broker = world.nodes[&outcome.stepped?].broker.as_ref()?;
        if broker.image().end_offset <= self.image.end_offset {
            return None;
        }
        Some(std::mem::replace(&mut self.image, Arc::clone(broker.image())))
    }

    /// The metadata.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// A partition.
    pub fn partition(&self, id: PartitionId) -> Option<&PartitionState> {
        self.image.partition(id)
    }

    /// Whether a broker is in the ISR or the ELR of a partition: it may be made the leader.
    pub fn may_lead(&self, id: PartitionId, broker: BrokerId) -> bool {
        self.partition(id).is_some_and(|state| state.isr.contains(&broker) || state.elr.contains(&broker))
    }
}

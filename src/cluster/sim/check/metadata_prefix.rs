//! MetadataPrefix: what any broker holds committed of the metadata log is what every other one holds there (state machine safety of
//! Raft; `MetadataLogMatching` of the KRaft models).

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::protocol::ids::{BrokerId, LogId};
use std::collections::BTreeMap;

/// The committed metadata log, and up to where each broker's copy was compared with it.
#[derive(Debug, Clone, Default)]
pub struct MetadataPrefix {
    committed: BTreeMap<i64, (i32, u32, BrokerId)>,
    /// In which epoch of the quorum that was known first.
    committed_in: BTreeMap<i64, i32>,
    compared: BTreeMap<BrokerId, (u32, i64)>,
}

impl MetadataPrefix {
    /// What was committed from an offset on in the epochs before one: base offset, epoch and checksum of each batch.
    pub(super) fn from(&self, offset: i64, before_epoch: i32) -> impl Iterator<Item = (i64, i32, u32)> + '_ {
        let is_owed = move |offset: &i64| self.committed_in.get(offset).is_some_and(|epoch| *epoch < before_epoch);
        let committed = self.committed.range(offset..).filter(move |(offset, _)| is_owed(offset));
        committed.map(|(offset, (epoch, crc, _))| (*offset, *epoch, *crc))
    }

    pub(super) fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        let Some(id) = outcome.stepped else { return Ok(()) };
        let node = &world.nodes[&id];
        let Some(broker) = &node.broker else { return Ok(()) };
        let high_watermark = broker.quorum().high_watermark();
        let (life, from) = self.compared.get(&id).copied().unwrap_or((0, 0));
        let from = if life == node.life { from } else { 0 };
        if high_watermark <= from {
            return Ok(());
        }
        let Some(log) = node.disk.log(LogId::METADATA) else { return Ok(()) };
        for batch in &log.batches[log.position(from)..] {
            let header = &batch.header;
            if header.next_offset() > high_watermark {
                break;
            }
            let ours = (header.leader_epoch, header.crc, id);
            let theirs = *self.committed.entry(header.base_offset).or_insert(ours);
            self.committed_in.entry(header.base_offset).or_insert(broker.quorum().epoch());
            if (theirs.0, theirs.1) != (ours.0, ours.1) {
                let what = format!(
                    "at offset {} broker {id} has committed a record of epoch {}, broker {} one of epoch {}",
                    header.base_offset, ours.0, theirs.2, theirs.0
                );
                return Err(Violation { rule: "MetadataPrefix", what });
            }
        }
        self.compared.insert(id, (node.life, high_watermark));
        Ok(())
    }
}

//! The ledger of the simulated producers: what was acknowledged, and whether it can still be read.
//!
//! Invariants: an acknowledged batch is readable while the leader of its partition has it at its offset; one whose partition has no leader
//! is neither readable nor lost. What was once seen is looked at again only when something happened that can lose records.
//!
//! Duplicates and order are what the world's readers tell their ledger.
//!
//! Deliberately not here: who is to blame for a loss (the rules in `check`).

use crate::client::metadata::TopicPartition;
use crate::cluster::ledger::{Loss, Report};
use crate::cluster::sim::execute::newest_image;
use crate::cluster::sim::workload::{Acked, ClientId};
use crate::cluster::sim::world::World;
use crate::cluster::view::Ledger;
use crate::engine::controller::image::MetadataImage;
use crate::engine::observe::EventKind;
use crate::protocol::ids::PartitionId;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    counts: Ledger,
    lost: Option<Loss>,
    /// How many batches of each client were looked at.
    looked_at: BTreeMap<ClientId, usize>,
    is_suspicious: bool,
}

impl Verdict {
    /// Something happened.
    pub fn hear(&mut self, kind: &EventKind) {
        let may_lose = matches!(kind, EventKind::Truncated { .. } | EventKind::BecameLeader { .. });
        self.is_suspicious |= may_lose;
    }

    /// Something happened that can lose records.
    pub fn suspect(&mut self) {
        self.is_suspicious = true;
    }

    /// The verdict now; `None` while there were no producers.
    pub fn look(&mut self, world: &World) -> Option<Report> {
        if world.clients.is_empty() {
            return None;
        }
        if std::mem::take(&mut self.is_suspicious) {
            *self = Verdict::default();
        }
        let Some(image) = newest_image(world) else {
            self.is_suspicious = true;
            return Some(Report { counts: self.counts, lost: self.lost.clone() });
        };
        for (id, client) in world.clients.iter().filter_map(|(id, client)| Some((id, client.producing()?))) {
            let looked_at = self.looked_at.entry(*id).or_default();
            let name = &client.load().topic;
            let Some(topic) = image.topic_ids.get(name) else { continue };
            for acked in &client.acked[*looked_at..] {
                let count = u64::try_from(acked.count).unwrap_or(0);
                self.counts.acked += count;
                match is_there(world, image, PartitionId::new(*topic, acked.partition), acked) {
                    Some(true) => self.counts.readable += count,
                    Some(false) => {
                        self.counts.lost += count;
                        let last_offset = acked.base_offset + i64::from(acked.count) - 1;
                        let lost = self.lost.get_or_insert_with(|| Loss {
                            count: 0,
                            partition: TopicPartition { topic: name.clone(), partition: acked.partition },
                            first_offset: acked.base_offset,
                            last_offset,
                            acks: client.load().acks,
                        });
                        lost.count += count;
                        lost.last_offset = lost.last_offset.max(last_offset);
                    }
                    // Nobody can be asked now: the next look is at everything again.
                    None => self.is_suspicious = true,
                }
            }
            *looked_at = client.acked.len();
        }
        let read = world.ledger.counts();
        (self.counts.duplicated, self.counts.reordered) = (read.duplicated, read.reordered);
        Some(Report { counts: self.counts, lost: self.lost.clone() })
    }
}

fn is_there(world: &World, image: &MetadataImage, partition: PartitionId, acked: &Acked) -> Option<bool> {
    let leader = image.partition(partition)?.leader?;
    let log = world.nodes.get(&leader).filter(|node| node.broker.is_some())?.disk.log_of(partition)?;
    if acked.base_offset < log.start_offset {
        // Retention or somebody took it: that is no loss.
        return Some(true);
    }
    let found = log.batches.get(log.position(acked.base_offset));
    Some(found.is_some_and(|batch| batch.header.base_offset == acked.base_offset && batch.header.crc == acked.crc))
}

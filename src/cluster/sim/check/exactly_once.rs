//! ExactlyOnce: of each record that a group processes in transactions a reader of committed records sees what was made of it once; in the end, of
//! every record (KIP-98, KIP-447).

use crate::cluster::sim::check::{History, Violation};
use crate::cluster::sim::workload::{ClientId, Piece, Role};
use crate::cluster::sim::world::World;
use std::collections::{BTreeMap, BTreeSet};

const RULE: &str = "ExactlyOnce";

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct ExactlyOnce {
    seen: BTreeMap<ClientId, usize>,
    done: BTreeMap<ClientId, BTreeSet<(i32, i64)>>,
}

impl ExactlyOnce {
    pub(super) fn look(&mut self, world: &World) -> Result<(), Violation> {
        for (id, client) in &world.clients {
            let Role::Reading(reading) = &client.role else { continue };
            if reading.committed_topic().is_none() {
                continue;
            }
            let seen = self.seen.entry(*id).or_default();
            for (partition, offset, piece) in &reading.pieces[*seen..] {
                let Piece::Done(done) = piece else { continue };
                if !self.done.entry(*id).or_default().insert((done.partition, done.offset)) {
                    let what = format!(
                        "the record at {} of partition {} is processed again at {offset} of partition {partition}",
                        done.offset, done.partition
                    );
                    return Err(Violation { rule: RULE, what });
                }
            }
            *seen = reading.pieces.len();
        }
        Ok(())
    }

    /// After healing, when every reader has come to the end.
    pub(super) fn at_end(&self, history: &History, world: &World) -> Result<(), Violation> {
        let processed = world.clients.values().filter_map(|client| client.membership().filter(|one| one.processes()));
        let input: Option<&String> = processed.flat_map(|membership| membership.life.topics.first()).next();
        let Some(input) = input else { return Ok(()) };
        let images = world.nodes.values().filter_map(|node| Some(node.broker.as_ref()?.image()));
        let Some(topic) = images.flat_map(|image| image.topic_ids.get(input.as_str()).copied()).next() else {
            return Ok(());
        };
        for done in self.done.values() {
            for (partition, batches) in history.partitions().filter(|(partition, _)| partition.topic == topic) {
                let offsets = batches.iter().flat_map(|batch| batch.header.base_offset..batch.header.next_offset());
                let missing = offsets.into_iter().find(|offset| !done.contains(&(partition.partition, *offset)));
                if let Some(offset) = missing {
                    let what = format!("nothing was made of the record at {offset} of {input}-{}", partition.partition);
                    return Err(Violation { rule: RULE, what });
                }
            }
        }
        Ok(())
    }
}

//! NoCommittedRecordLost: what a producer was told is committed, was committed at that offset, and in the end every leader still has
//! everything that was committed (`NoCommittedRecordLostGlobally`). A client that was told what no correct cluster says is reported
//! here too.

use crate::cluster::sim::check::{History, Violation};
use crate::cluster::sim::workload::ClientId;
use crate::cluster::sim::world::World;
use crate::protocol::ids::{PartitionId, TopicId};
use std::collections::BTreeMap;

const RULE: &str = "NoCommittedRecordLost";

/// How many of each client's acknowledgements were looked at.
#[derive(Debug, Clone, Default)]
pub struct NoCommittedRecordLost {
    seen: BTreeMap<ClientId, usize>,
}

impl NoCommittedRecordLost {
    pub(super) fn look(&mut self, history: &History, world: &World) -> Result<(), Violation> {
        for (id, client) in &world.clients {
            if let Some(what) = client.violation() {
                return Err(Violation { rule: "IdempotentAppend", what: format!("client {}: {what}", id.0) });
            }
            let Some(producing) = client.producing() else { continue };
            let seen = self.seen.entry(*id).or_default();
            for acked in &producing.acked[*seen..] {
                let Some(topic) = topic_id(world, &producing.load().topic) else { continue };
                let partition = PartitionId::new(topic, acked.partition);
                let committed = history.at(partition, acked.base_offset);
                if committed.is_none_or(|batch| batch.header.crc != acked.crc) {
                    let offset = acked.base_offset;
                    let what =
                        format!("client {}: acknowledged at {offset} of {partition}, never committed there", id.0);
                    return Err(Violation { rule: RULE, what });
                }
            }
            *seen = producing.acked.len();
        }
        Ok(())
    }
}

/// After healing: every leader has everything.
pub(super) fn at_end(history: &History, world: &World) -> Result<(), Violation> {
    let Some(image) = world.nodes.values().filter_map(|node| node.broker.as_ref()).map(|broker| broker.image()).next()
    else {
        return Ok(());
    };
    for (partition, committed) in history.partitions() {
        let Some(leader) = image.partition(*partition).and_then(|state| state.leader) else { continue };
        let log = world.nodes[&leader].disk.log_of(*partition);
        let lost = committed.iter().find(|batch| !history.is_in(*partition, log, batch));
        if let Some(batch) = lost {
            let what = format!("{partition}: committed at {}, gone from broker {leader}", batch.header.base_offset);
            return Err(Violation { rule: RULE, what });
        }
    }
    Ok(())
}

fn topic_id(world: &World, name: &str) -> Option<TopicId> {
    world.nodes.values().filter_map(|node| node.broker.as_ref()?.image().topic_ids.get(name).copied()).next()
}

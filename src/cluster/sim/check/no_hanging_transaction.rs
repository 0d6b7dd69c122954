//! NoHangingTransaction: when a healed cluster has had its time, no transaction is open that was so for longer than any may be: its producer has
//! ended it, or its coordinator has, and the last stable offset is the high watermark (KIP-98, KIP-664).

use crate::cluster::sim::world::{World, wall};
use crate::engine::observe::Scope;

/// The rule's name.
pub const RULE: &str = "NoHangingTransaction";

/// What is open for so long is nobody's any more, in milliseconds: more than any transaction's timeout, and than a clock may be wrong.
const OLD_MS: i64 = 15_000;

/// A transaction that hangs.
pub fn found(world: &World) -> Option<String> {
    let now_ms = wall(world.now).0;
    for (id, node) in &world.nodes {
        let Some(broker) = &node.broker else { continue };
        let open = broker.transactions().snapshot().into_iter().find(|transaction| {
            transaction.is_open()
                && now_ms - transaction.state.updated_at_ms.max(transaction.state.started_at_ms) > OLD_MS
        });
        if let Some(open) = open {
            return Some(format!("{} is {} on its coordinator {id}", open.id, open.state.status.name()));
        }
        for replica in broker.replicas().snapshot(&Scope::default()) {
            let stable = replica.last_stable_offset;
            if stable >= replica.high_watermark {
                continue;
            }
            let log = node.disk.log_of(replica.partition)?;
            let batch = &log.batches[log.position(stable)];
            if now_ms - batch.header.max_timestamp > OLD_MS {
                let producer = batch.header.producer_id;
                let what = format!("{} on {id} is stable up to {stable} of {}", log.topic, replica.high_watermark);
                return Some(format!("{what}: producer {producer} has a transaction open there"));
            }
        }
    }
    None
}

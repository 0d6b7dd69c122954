//! IdempotentAppend: of what an idempotent producer sends under one id, epoch and sequence number at most one copy is ever committed
//! (KIP-98), whichever leader or coordinator took over meanwhile.

use crate::cluster::sim::check::history::News;
use crate::cluster::sim::check::{History, Violation};
use crate::protocol::batch::BatchHeader;
use crate::protocol::ids::PartitionId;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct IdempotentAppend {
    /// The last batch of each producer and epoch in each partition.
    last: BTreeMap<(PartitionId, i64, i16), BatchHeader>,
}

impl IdempotentAppend {
    pub(super) fn look(&mut self, history: &History, news: &[News]) -> Result<(), Violation> {
        for News { partition, from, .. } in news {
            for batch in &history.of(*partition)[*from..] {
                let header = &batch.header;
                // Offsets within a transaction are written by a coordinator, without sequence numbers.
                if !header.has_producer() || header.is_control() || header.base_sequence < 0 {
                    continue;
                }
                // A producer's sequence numbers rise: the batch before it is the only one that has to be compared with.
                let key = (*partition, header.producer_id, header.producer_epoch);
                let before = self.last.insert(key, *header);
                // Where commands lost what was committed, offsets are given anew, and the history begins anew there.
                let Some(before) = before.filter(|before| before.base_offset < header.base_offset) else { continue };
                let expected = before.last_sequence().wrapping_add(1).max(0);
                if header.base_sequence != expected {
                    let what = format!(
                        "{partition}: producer {} committed sequence {} at {} after {} at {}",
                        header.producer_id,
                        header.base_sequence,
                        header.base_offset,
                        before.last_sequence(),
                        before.base_offset
                    );
                    return Err(Violation { rule: "IdempotentAppend", what });
                }
            }
        }
        Ok(())
    }
}

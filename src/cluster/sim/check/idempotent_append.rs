//! IdempotentAppend: of what an idempotent producer sends under one id, epoch and sequence number at most one copy is ever committed
//! (KIP-98).

use crate::cluster::sim::check::history::News;
use crate::cluster::sim::check::{History, Violation};

pub(super) fn look(history: &History, news: &[News]) -> Result<(), Violation> {
    for News { partition, from, .. } in news {
        let batches = history.of(*partition);
        for (place, batch) in batches.iter().enumerate().skip(*from) {
            let header = &batch.header;
            if !header.has_producer() || header.is_control() {
                continue;
            }
            // A producer's sequence numbers rise: the batch before it is the only one that has to be compared with.
            let before = batches[..place].iter().rev().find(|earlier| {
                earlier.header.producer_id == header.producer_id
                    && earlier.header.producer_epoch == header.producer_epoch
                    && !earlier.header.is_control()
            });
            let Some(before) = before else { continue };
            let expected = before.header.last_sequence().wrapping_add(1).max(0);
            if header.base_sequence != expected {
                let what = format!(
                    "{partition}: producer {} committed sequence {} at {} after {} at {}",
                    header.producer_id,
                    header.base_sequence,
                    header.base_offset,
                    before.header.last_sequence(),
                    before.header.base_offset
                );
                return Err(Violation { rule: "IdempotentAppend", what });
            }
        }
    }
    Ok(())
}

//! LedgerBalances: what an idempotent producer was told is written, readers find, once and in the order in which it was sent; in the end all of
//! it. The same ledger follows the records of a live cluster.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::world::World;

const RULE: &str = "LedgerBalances";

pub(super) fn look(world: &World) -> Result<(), Violation> {
    let counts = world.ledger.counts();
    if counts.lost == 0 && counts.duplicated == 0 && counts.reordered == 0 {
        return Ok(());
    }
    let what = match world.ledger.report().lost {
        Some(lost) => {
            format!("{} acknowledged and gone, from {} at {} on", lost.count, lost.partition, lost.first_offset)
        }
        None => format!("read twice: {}, out of order: {}", counts.duplicated, counts.reordered),
    };
    Err(Violation { rule: RULE, what })
}

/// After healing, when every reader has come to the end.
pub(super) fn at_end(world: &World) -> Result<(), Violation> {
    let counts = world.ledger.counts();
    if counts.acked == counts.readable {
        return Ok(());
    }
    let what = format!("{} records were acknowledged, {} were read", counts.acked, counts.readable);
    Err(Violation { rule: RULE, what })
}

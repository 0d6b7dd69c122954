//! What compaction has made of batches that are in the database, until a flush has brought it there: stretches that lie
//! over the database's own.
//!
//! Invariants: stretches do not overlap; a later one takes the place of what it covers. A stretch goes only once its
//! flush is done, so that nobody reads a log as it was before.
//!
//! Deliberately not here: batches that are still in memory (`tail.rs` replaces them in place).

use crate::cluster::store::tail::{OpNumber, size_of};
use crate::protocol::batch::Batch;
use std::collections::BTreeMap;
use std::ops::Range;

/// The stretches of one log, by first offset.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    runs: BTreeMap<i64, Run>,
}

#[derive(Debug, Clone)]
struct Run {
    end: i64,
    op: OpNumber,
    batches: Vec<Batch>,
}

/// Where a part of a log is to be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// In the database: what lies within these offsets.
    Beneath(Range<i64>),
    /// Here.
    Over(&'a [Batch]),
}

impl Overlay {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Bytes of batches.
    pub fn bytes(&self) -> u64 {
        self.runs.values().flat_map(|run| &run.batches).map(size_of).sum()
    }

    /// A stretch is this from now on.
    pub fn put(&mut self, stretch: Range<i64>, batches: Vec<Batch>, op: OpNumber) {
        let touched =
            self.runs.range(..stretch.end).filter(|(_, run)| run.end > stretch.start).map(|(first, _)| *first);
        for first in touched.collect::<Vec<_>>() {
            let mut run = self.runs.remove(&first).expect("just found");
            let before = run.batches.partition_point(|batch| batch.header.base_offset < stretch.start);
            let after = run.batches.partition_point(|batch| batch.header.base_offset < stretch.end);
            if run.end > stretch.end {
                let batches = run.batches.split_off(after);
                self.runs.insert(stretch.end, Run { end: run.end, op: run.op, batches });
            }
            if first < stretch.start {
                run.batches.truncate(before);
                run.end = stretch.start;
                self.runs.insert(first, run);
            }
        }
        self.runs.insert(stretch.start, Run { end: stretch.end, op, batches });
    }

    /// The log ends at an offset. Tells how many bytes went.
    pub fn cut(&mut self, end_offset: i64) -> u64 {
        let before = self.bytes();
        self.runs.split_off(&end_offset);
        if let Some(mut last) = self.runs.last_entry() {
            let run = last.get_mut();
            run.end = run.end.min(end_offset);
            run.batches.retain(|batch| batch.header.last_offset() < end_offset);
        }
        before - self.bytes()
    }

    /// What was written up to a number is in the database now. Tells how many bytes went.
    pub fn drop_flushed(&mut self, flushed: OpNumber) -> u64 {
        let mut gone = 0;
        self.runs.retain(|_, run| {
            if run.op <= flushed {
                gone += run.batches.iter().map(size_of).sum::<u64>();
            }
            run.op > flushed
        });
        gone
    }

    /// The parts that make up the log within some offsets, in order.
    pub fn pieces(&self, within: Range<i64>) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        let mut at = within.start;
        for (&first, run) in self.runs.range(..within.end).filter(|(_, run)| run.end > within.start) {
            if at < first {
                pieces.push(Piece::Beneath(at..first));
            }
            let from = run.batches.partition_point(|batch| batch.header.last_offset() < within.start);
            let to = run.batches.partition_point(|batch| batch.header.last_offset() < within.end);
            pieces.push(Piece::Over(&run.batches[from.min(to)..to]));
            at = run.end;
        }
        if at < within.end {
            pieces.push(Piece::Beneath(at..within.end));
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::records::BatchBuilder;

    fn batch(offset: i64) -> Batch {
        BatchBuilder::new().base_offset(offset).value(1, b"v").build().expect("a batch")
    }

    fn told(overlay: &Overlay, within: Range<i64>) -> Vec<String> {
        let tell = |piece: &Piece<'_>| match piece {
            Piece::Beneath(stretch) => format!("{}..{}", stretch.start, stretch.end),
            Piece::Over(run) => {
                format!("{:?}", run.iter().map(|batch| batch.header.base_offset).collect::<Vec<_>>())
            }
        };
        overlay.pieces(within).iter().map(tell).collect()
    }

    #[test]
    fn a_later_stretch_takes_the_place_of_what_it_covers() {
        let mut overlay = Overlay::default();
        overlay.put(10..20, vec![batch(10), batch(14), batch(18)], 1);
        assert_eq!(told(&overlay, 0..30), ["0..10", "[10, 14, 18]", "20..30"]);
        overlay.put(12..16, vec![], 2);
        assert_eq!(told(&overlay, 0..30), ["0..10", "[10]", "[]", "[18]", "20..30"]);
        assert_eq!(told(&overlay, 11..19), ["[]", "[]", "[18]"]);
        overlay.put(5..40, vec![batch(30)], 3);
        assert_eq!(told(&overlay, 5..40), ["[30]"]);
        let bytes = overlay.bytes();
        assert_eq!((overlay.drop_flushed(2), overlay.drop_flushed(3)), (0, bytes));
        assert!(overlay.is_empty());
    }

    #[test]
    fn a_cut_takes_what_lies_beyond() {
        let mut overlay = Overlay::default();
        overlay.put(0..10, vec![batch(0), batch(8)], 1);
        overlay.put(20..30, vec![batch(20)], 2);
        assert_eq!(overlay.cut(5), 2 * size_of(&batch(0)));
        assert_eq!(told(&overlay, 0..5), ["[0]"]);
    }
}

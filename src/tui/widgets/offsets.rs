//! The axis of offsets that all replicas of a partition share: which offset stands in which column.
//!
//! Invariants: a cell is `per_cell` offsets, the same everywhere; where the axis follows the end it moves by a quarter of its length at a
//! time, so that what stands on it stands still in between; it never begins below zero.
//!
//! Deliberately not here: what is drawn on it.

use crate::cluster::view::{ReplicaRole, XrayView};

/// How many offsets a cell can be: 1, 2, 5, 10 … 5 × 10¹¹.
const STEPS: [u64; 36] = steps();
/// What moves by in this many milliseconds is in view at once.
const SIGHT_MS: u64 = 2_000;

const fn steps() -> [u64; 36] {
    let mut steps = [1; 36];
    let mut at = 0;
    while at < 36 {
        let power = 10_u64.pow(at as u32 / 3);
        steps[at] = match at % 3 {
            0 => power,
            1 => 2 * power,
            _ => 5 * power,
        };
        at += 1;
    }
    steps
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offsets {
    /// The first column.
    pub x: u16,
    /// How many cells.
    pub cells: u16,
    /// The offset of the first cell.
    pub from: i64,
    /// Offsets a cell.
    pub per_cell: u64,
}

impl Offsets {
    fn step(&self) -> i64 {
        i64::try_from(self.per_cell.max(1)).unwrap_or(i64::MAX)
    }

    /// The offset after the last cell.
    pub fn to(&self) -> i64 {
        self.from.saturating_add(self.step().saturating_mul(i64::from(self.cells)))
    }

    /// The column after the last cell.
    pub fn end(&self) -> u16 {
        self.x + self.cells
    }

    /// The column of an offset, if it is in view.
    pub fn column(&self, offset: i64) -> Option<u16> {
        let cell = u16::try_from((offset - self.from).div_euclid(self.step())).ok()?;
        (offset >= self.from && cell < self.cells).then(|| self.x + cell)
    }

    /// The columns from the one of an offset up to the one before another's, as far as they are in view; empty if none is.
    pub fn columns(&self, from: i64, to: i64) -> std::ops::Range<u16> {
        let within = |offset: i64, up: i64| {
            let cell = (offset.saturating_sub(self.from).saturating_add(up)).div_euclid(self.step());
            self.x + u16::try_from(cell.clamp(0, i64::from(self.cells))).unwrap_or(self.cells)
        };
        // A cell that is begun belongs to what begins it.
        within(from, 0)..within(to.max(from), self.step() - 1)
    }

    /// The first offset of a column.
    pub fn offset(&self, column: u16) -> i64 {
        self.from.saturating_add(self.step().saturating_mul(i64::from(column.saturating_sub(self.x))))
    }

    /// The distance between two marks of the ruler, in offsets: a round number that leaves room for a number.
    pub fn mark_every(&self) -> i64 {
        let room = self.per_cell.saturating_mul(16);
        let step = STEPS.into_iter().find(|step| *step >= room).unwrap_or(room);
        i64::try_from(step).unwrap_or(i64::MAX)
    }
}

/// The next larger step, from the largest that is sensible back to none (by itself).
pub fn wider(now: u64, most: u64) -> Option<u64> {
    STEPS.into_iter().find(|step| *step > now).filter(|step| *step <= most)
}

/// The next smaller step.
pub fn closer(now: u64) -> u64 {
    STEPS.into_iter().rev().find(|step| *step < now).unwrap_or(1)
}

/// How many offsets a cell should be so that everything worth seeing fits: where logs end, part, stall, and what two seconds bring.
/// `before` is kept while it serves, so that the scale does not jump.
pub fn fitting(view: &XrayView, cells: u16, before: u64) -> u64 {
    let end = furthest(view);
    let of_replica = |replica: &crate::cluster::view::XrayReplica| {
        let counts = !matches!(replica.role, ReplicaRole::Dead | ReplicaRole::Suspended);
        replica.diverges_at.or(replica.log_end.filter(|_| counts))
    };
    let marks = [view.high_watermark, view.last_stable_offset];
    let cut = view.truncation.as_ref().filter(|cut| !cut.is_over).map(|cut| cut.to);
    let lowest = view.replicas.iter().filter_map(of_replica).chain(marks.into_iter().flatten()).chain(cut).min();
    let spread = u64::try_from(end - lowest.unwrap_or(end)).unwrap_or(0);
    let needed = spread.max(view.records_per_s.unwrap_or(0) * SIGHT_MS / 1_000);
    let room = u64::from(cells.max(4)) * 2 / 3;
    let serves = |step: u64| room.saturating_mul(step) >= needed;
    let is_far_too_wide = |step: u64| needed.saturating_mul(8) < room.saturating_mul(step);
    if before > 0 && serves(before) && (before == 1 || !is_far_too_wide(before)) {
        return before;
    }
    STEPS.into_iter().find(|step| serves(*step)).unwrap_or(STEPS[35])
}

/// Where the axis begins while it follows the end.
pub fn following(view: &XrayView, cells: u16, per_cell: u64) -> i64 {
    let end = furthest(view);
    let length = i64::try_from(per_cell.saturating_mul(u64::from(cells))).unwrap_or(i64::MAX / 4);
    let jump = (length / 4).max(1);
    let right = (end / jump + 1).saturating_mul(jump);
    (right - length).max(0)
}

/// The furthest end of any log.
pub fn furthest(view: &XrayView) -> i64 {
    view.replicas.iter().filter_map(|replica| replica.log_end).chain(view.high_watermark).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(per_cell: u64) -> Offsets {
        Offsets { x: 10, cells: 100, from: 1_000, per_cell }
    }

    #[test]
    fn offsets_have_columns_and_columns_offsets() {
        let axis = axis(1);
        assert_eq!(
            (axis.column(1_000), axis.column(1_099), axis.column(1_100), axis.column(999)),
            (Some(10), Some(109), None, None)
        );
        assert_eq!((axis.offset(10), axis.offset(109), axis.to()), (1_000, 1_099, 1_100));
        let coarse = super::tests::axis(20);
        assert_eq!((coarse.column(1_019), coarse.column(1_020), coarse.offset(11)), (Some(10), Some(11), 1_020));
    }

    #[test]
    fn a_cell_that_is_begun_belongs_to_what_begins_it() {
        let axis = axis(10);
        assert_eq!(axis.columns(1_000, 1_031), 10..14);
        assert_eq!(axis.columns(500, 1_030), 10..13);
        assert_eq!(axis.columns(1_990, 9_999), 109..110);
        assert!(axis.columns(5_000, 6_000).is_empty());
        assert!(axis.columns(0, 900).is_empty());
        assert!(axis.columns(1_050, 1_050).is_empty(), "nothing takes no cell");
    }

    #[test]
    fn steps_are_round_and_marks_leave_room_for_numbers() {
        assert_eq!(&STEPS[..7], &[1, 2, 5, 10, 20, 50, 100]);
        assert_eq!(
            (wider(1, 100), wider(50, 100), wider(100, 100), closer(5), closer(1)),
            (Some(2), Some(100), None, 2, 1)
        );
        assert_eq!((axis(1).mark_every(), axis(5).mark_every()), (20, 100));
    }
}

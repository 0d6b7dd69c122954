//! The log bar: one replica's end of the log. `◆ ▆▆▆▆▆▆▆▆▂▂··   412`
//!
//! Invariants: every bar of a row has the same scale, the newest [`scale`] records of the partition's longest log;
//! committed, above the high watermark, missing and to be cut differ in the height of their block and not in colour
//! only; a replica that is out of sync and behind shows at least one missing cell.
//!
//! Deliberately not here: offsets in full; they are the partition screen's.

use super::mark;
use crate::cluster::view::{PartitionRow, PartitionSeverity, ReplicaBar, ReplicaRole};
use crate::tui::pen::Pen;
use crate::tui::theme::Role;
use crate::tui::{glyphs, numbers};
use ratatui::style::{Modifier, Style};

/// How many records a bar of this row shows: 64, 256, 1,024 … so that the worst lag fits.
pub fn scale(row: &PartitionRow) -> u64 {
    let behind = row.replicas.iter().map(|replica| replica.behind).max().unwrap_or(0);
    let waiting = match (row.log_end(), row.high_watermark) {
        (Some(end), Some(high_watermark)) => end.saturating_sub(high_watermark).max(0) as u64,
        _ => 0,
    };
    let worst = behind.max(waiting);
    let mut records = 64_u64;
    while records < worst && records < 1 << 40 {
        records *= 4;
    }
    records
}

/// How a bar is divided, in cells from the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cells {
    /// Below the high watermark.
    pub committed: u16,
    /// Written, promised to nobody yet.
    pub above: u16,
    /// Diverging: will be cut.
    pub cut: u16,
    /// The leader has it, this replica does not.
    pub missing: u16,
}

/// Divides `cells` cells for one replica of a row whose bars show `scale` records.
pub fn divide(row: &PartitionRow, replica: &ReplicaBar, scale: u64, cells: u16) -> Cells {
    let (Some(row_end), Some(end)) = (row.log_end(), replica.log_end) else { return Cells::default() };
    let in_cells = |records: u64, at_least_one: bool| -> u16 {
        let share = (u128::from(records) * u128::from(cells) + u128::from(scale) / 2) / u128::from(scale);
        let least = u16::from(at_least_one && records > 0);
        u16::try_from(share).unwrap_or(cells).clamp(least, cells.max(least))
    };
    let length = row_end.saturating_sub(row.log_start).max(0) as u64;
    let filled = in_cells(length.min(scale), true).min(cells);
    let out_of_sync = replica.role != ReplicaRole::InSync && replica.role != ReplicaRole::Leader;
    let missing = in_cells(replica.behind, out_of_sync).min(filled);
    let cut = in_cells(replica.to_cut, true).min(cells - filled.min(cells) + missing);
    let own = filled - missing;
    let above_records = row.high_watermark.map_or(0, |hw| end.saturating_sub(hw).max(0) as u64);
    let above_records = above_records.saturating_sub(replica.to_cut);
    let above = in_cells(above_records, replica.role == ReplicaRole::Leader).min(own);
    Cells { committed: own - above, above, cut, missing: missing.saturating_sub(cut) }
}

/// How a cell of the matrix is laid out, by the width of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellShape {
    /// Cells of the bar.
    pub bar: u16,
    /// A column between glyph and bar.
    pub gap: u16,
    /// Cells of the whole, the number included.
    pub width: u16,
    /// `leader` in full, or `lead`.
    pub long_words: bool,
}

/// Draws one replica at (`x`, `y`): glyph, bar, records behind. `flash` turns the glyph around (the leader has just
/// moved).
pub fn draw(
    pen: &mut Pen<'_>,
    x: u16,
    y: u16,
    shape: CellShape,
    row: &PartitionRow,
    replica: &ReplicaBar,
    flash: bool,
) {
    let healthy = row.severity == PartitionSeverity::Healthy;
    let mark = mark::replica(replica.role);
    let holds_up = row.severity == PartitionSeverity::Stalled
        && replica.role == ReplicaRole::InSync
        && replica.log_end.is_some()
        && replica.log_end <= row.high_watermark;
    let strong = if holds_up { Role::Lag } else { mark.role };
    let role = if healthy { strong.low() } else { strong };
    let mut glyph_style = pen.theme.fg(role);
    if flash {
        glyph_style = glyph_style.add_modifier(Modifier::REVERSED | Modifier::BOLD);
    }
    let at = pen.text(x, y, 1, mark.glyph, glyph_style) + shape.gap;
    draw_bar(pen, at, y, divide(row, replica, scale(row), shape.bar), role);
    let (text, style) = number(pen, shape, replica, role, healthy, holds_up);
    pen.right(at + shape.bar, x + shape.width, y, &text, style);
}

fn draw_bar(pen: &mut Pen<'_>, x: u16, y: u16, cells: Cells, role: Role) {
    let theme = pen.theme;
    let at = pen.repeat(x, y, cells.committed, glyphs::COMMITTED, theme.fg(role));
    let at = pen.repeat(at, y, cells.above, glyphs::ABOVE_HW, theme.fg(role.low()));
    let at = pen.repeat(at, y, cells.cut, glyphs::CUT, theme.fg(Role::Dead));
    pen.repeat(at, y, cells.missing, glyphs::MISSING, theme.fg(Role::Faint));
}

fn number(
    pen: &Pen<'_>,
    shape: CellShape,
    replica: &ReplicaBar,
    role: Role,
    healthy: bool,
    holds_up: bool,
) -> (String, Style) {
    let theme = pen.theme;
    match replica.role {
        ReplicaRole::Leader if shape.long_words => ("leader".into(), theme.fg(role)),
        ReplicaRole::Leader => ("lead".into(), theme.fg(role)),
        ReplicaRole::LastComplete => ("last".into(), theme.fg(Role::Dead)),
        ReplicaRole::InSync if !holds_up => {
            let style = if healthy || replica.behind == 0 { theme.fg(Role::Faint) } else { theme.fg(Role::Dim) };
            (numbers::lag(replica.behind), style)
        }
        _ if replica.log_end.is_none() => (numbers::UNKNOWN.into(), theme.fg(Role::Dim)),
        _ => (numbers::lag(replica.behind), theme.bold(Role::Lag)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::{BrokerId, PartitionName};

    fn row(replicas: Vec<ReplicaBar>, high_watermark: i64) -> PartitionRow {
        PartitionRow {
            name: PartitionName::new("orders", 0),
            severity: PartitionSeverity::MissingCopy,
            leader: Some(BrokerId(1)),
            leader_epoch: 3,
            leader_since_ms: 0,
            isr: vec![BrokerId(1)],
            elr: vec![],
            min_isr: 1,
            replicas,
            log_start: 0,
            high_watermark: Some(high_watermark),
            records_per_s: None,
            stalled_since_ms: None,
            reason: String::new(),
        }
    }

    fn replica(broker: i32, role: ReplicaRole, log_end: i64, behind: u64) -> ReplicaBar {
        let in_isr = matches!(role, ReplicaRole::Leader | ReplicaRole::InSync);
        ReplicaBar { broker: BrokerId(broker), role, log_start: 0, log_end: Some(log_end), behind, to_cut: 0, in_isr }
    }

    #[test]
    fn the_worst_lag_fits() {
        let mut row = row(vec![replica(1, ReplicaRole::Leader, 5_000, 0)], 4_990);
        assert_eq!(scale(&row), 64);
        row.replicas.push(replica(2, ReplicaRole::Dead, 4_700, 300));
        assert_eq!(scale(&row), 1_024);
    }

    #[test]
    fn a_replica_out_of_sync_and_behind_shows_it() {
        let row =
            row(vec![replica(1, ReplicaRole::Leader, 5_000, 0), replica(2, ReplicaRole::OutOfSync, 4_999, 1)], 4_999);
        let leader = divide(&row, &row.replicas[0], 1_024, 10);
        assert_eq!(leader, Cells { committed: 9, above: 1, cut: 0, missing: 0 });
        assert_eq!(divide(&row, &row.replicas[1], 1_024, 10), Cells { committed: 9, above: 0, cut: 0, missing: 1 });
    }

    #[test]
    fn an_empty_log_is_an_empty_bar_and_a_short_one_grows_from_the_left() {
        let empty = row(vec![replica(1, ReplicaRole::Leader, 0, 0)], 0);
        assert_eq!(divide(&empty, &empty.replicas[0], 64, 8), Cells::default());
        let short = row(vec![replica(1, ReplicaRole::Leader, 16, 0)], 16);
        assert_eq!(divide(&short, &short.replicas[0], 64, 8), Cells { committed: 2, ..Cells::default() });
    }

    /// Whatever the numbers say, a bar never leaves its cells.
    #[test]
    fn a_bar_never_overflows() {
        for (end, behind, to_cut, hw) in [(i64::MAX, u64::MAX, 9, 0), (10, 0, u64::MAX, 0), (0, 70, 5, i64::MIN)] {
            let mut bar = replica(2, ReplicaRole::Truncating, end, behind);
            bar.to_cut = to_cut;
            let row = row(vec![replica(1, ReplicaRole::Leader, 100, 0), bar.clone()], hw);
            for cells in 0..20 {
                let parts = divide(&row, &bar, scale(&row), cells);
                assert!(parts.committed + parts.above + parts.cut + parts.missing <= cells, "{parts:?} in {cells}");
            }
        }
    }
}

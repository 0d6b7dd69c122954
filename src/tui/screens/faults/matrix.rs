//! The matrix of links: a row sends to a column.
//!
//! Invariants: the selected link is in view; a cell says what is wrong, never only by its colour.

use super::{end_name, ends, is_down, is_frozen, mark, selected};
use crate::cluster::view::{ActiveFault, BrokerId, ClusterView};
use crate::tui::glyphs;
use crate::tui::model::Model;
use crate::tui::numbers::span_ms;
use crate::tui::pen::{Pen, cut_middle, width};
use crate::tui::theme::{Ground, Role};
use ratatui::layout::Rect;

/// Columns of the matrix are this wide at least, and at most.
const CELLS: (u16, u16) = (8, 14);
/// How wide the names of the senders are.
const NAME_CELLS: u16 = 11;

/// Where each link stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grid {
    area: Rect,
    from: Vec<BrokerId>,
    to: Vec<BrokerId>,
    step: u16,
    rows: u16,
    /// More columns are to the left, to the right; more rows above, below.
    more: [bool; 4],
}

impl Grid {
    pub(super) fn of(model: &Model, view: &ClusterView, area: Rect) -> Grid {
        let ends = ends(view);
        let chosen = selected(model);
        let count = ends.len();
        let place = |end: BrokerId| ends.iter().position(|other| *other == end).unwrap_or(0);
        let room = area.width.saturating_sub(NAME_CELLS);
        let fit = usize::from((room / CELLS.0).max(1)).min(count.max(1));
        let step = (room / u16::try_from(fit).unwrap_or(1).max(1)).clamp(2, CELLS.1);
        // More ends than fit: the selected ones stay in view.
        let left = chosen.map_or(0, |(_, to)| (place(to) + 1).saturating_sub(fit));
        let height = area.height.saturating_sub(1);
        let rows = (height / u16::try_from(count).unwrap_or(u16::MAX).max(1)).clamp(1, 3);
        let shown = usize::from(height / rows);
        let above = chosen.map_or(0, |(from, _)| (place(from) + 1).saturating_sub(shown));
        Grid {
            area,
            from: ends.iter().skip(above).take(shown).copied().collect(),
            to: ends.iter().skip(left).take(fit).copied().collect(),
            step,
            rows,
            more: [left > 0, left + fit < count, above > 0, above + shown < count],
        }
    }

    /// The cell of a link by its places.
    fn cell(&self, row: usize, column: usize) -> Rect {
        let step = |place: usize, cells: u16| u16::try_from(place).unwrap_or(u16::MAX).saturating_mul(cells);
        Rect {
            x: self.area.x + NAME_CELLS + step(column, self.step),
            y: self.area.y + 1 + step(row, self.rows),
            width: self.step - 1,
            height: self.rows.min(2),
        }
    }

    /// The link at a cell of the terminal.
    pub(super) fn at(&self, x: u16, y: u16) -> Option<(BrokerId, BrokerId)> {
        let column = x.checked_sub(self.area.x + NAME_CELLS)? / self.step;
        let row = y.checked_sub(self.area.y + 1)? / self.rows;
        Some((*self.from.get(usize::from(row))?, *self.to.get(usize::from(column))?))
    }
}

pub(super) fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, area: Rect) {
    if area.height < 2 {
        return;
    }
    let theme = pen.theme;
    let grid = Grid::of(model, view, area);
    let chosen = selected(model);
    let [left, right, above, below] = grid.more;
    let corner = if left { "FROM  ‹ TO" } else { "FROM  TO ▸" };
    pen.text(area.x, area.y, NAME_CELLS, corner, theme.fg(Role::Faint));
    let style = |end: BrokerId| match () {
        () if is_down(view, end) => theme.fg(Role::Dead),
        () if is_frozen(view, end) => theme.fg(Role::Lag),
        () => theme.bold(Role::Text),
    };
    for (column, to) in grid.to.iter().enumerate() {
        let cell = grid.cell(0, column);
        pen.text(cell.x, area.y, cell.width, &end_name(*to, grid.step > 10), style(*to));
    }
    if right {
        pen.text(area.right().saturating_sub(1), area.y, 1, "›", theme.fg(Role::Faint));
    }
    for (row, from) in grid.from.iter().enumerate() {
        let y = grid.cell(row, 0).y;
        pen.text(area.x, y, NAME_CELLS, &end_name(*from, true), style(*from));
        let is_edge = (row == 0 && above) || (row + 1 == grid.from.len() && below);
        if is_edge {
            pen.text(area.x + NAME_CELLS - 2, y, 1, "…", theme.fg(Role::Faint));
        }
        for (column, to) in grid.to.iter().enumerate() {
            let cell = grid.cell(row, column);
            if chosen == Some((*from, *to)) {
                pen.ground(Rect { x: cell.x - 1, width: cell.width + 1, ..cell }, Ground::Raise);
                for y in cell.y..cell.bottom() {
                    pen.text(cell.x - 1, y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
                }
            }
            link(pen, view, (*from, *to), cell);
        }
    }
}

/// One cell: what is wrong with what `link.0` sends to `link.1`, and where there is a second row, since when or what else.
fn link(pen: &mut Pen<'_>, view: &ClusterView, link: (BrokerId, BrokerId), cell: Rect) {
    let theme = pen.theme;
    if link.0 == link.1 {
        pen.text(cell.x, cell.y, cell.width, "╲", theme.fg(Role::Faint));
        return;
    }
    let mut faults = view.faults.iter().filter(|fault| fault.links.contains(&link));
    let Some(first) = faults.next() else {
        let is_dead = is_down(view, link.0) || is_down(view, link.1);
        let (text, role) = if is_dead { (glyphs::DEAD, Role::DeadLow) } else { (glyphs::MISSING, Role::Dim) };
        pen.text(cell.x, cell.y, cell.width, text, theme.fg(role));
        return;
    };
    let (text, role) = told(first);
    // A narrow cell has no room for the space.
    let text = if width(&text) > cell.width { text.replacen(' ', "", 1) } else { text };
    pen.text(cell.x, cell.y, cell.width, &cut_middle(&text, cell.width), theme.bold(role));
    if cell.height > 1 {
        let ago = span_ms(view.at_ms.saturating_sub(first.since_ms));
        let second = faults.next().map(|fault| told(fault).0).unwrap_or(ago);
        pen.text(cell.x, cell.y + 1, cell.width, &cut_middle(&second, cell.width), theme.fg(Role::Dim));
    } else if faults.next().is_some() && width(&text) + 1 < cell.width {
        pen.text(cell.x + cell.width - 1, cell.y, 1, "+", theme.bold(role));
    }
}

/// `✕ cut`, `≈ +120ms`: a link's fault without the link's name.
fn told(fault: &ActiveFault) -> (String, Role) {
    let (glyph, role) = mark(fault.kind);
    // `link 1 ⇄ 3 cut`: four words name the link.
    let effect = fault.text.splitn(5, ' ').nth(4).unwrap_or(&fault.text);
    (format!("{glyph} {}", effect.trim_start_matches("loses ")), role)
}

//! How a form looks: fields with their verdicts, the equal command line, and where the copies of new partitions would go.
//!
//! Invariants: what does not fit is left out from the end; the keys are always shown.
//!
//! Deliberately not here: judging (`verdict`), and how a placement comes about (the cluster tells it).

use super::{Content, Form, Kind, Verdict};
use crate::cluster::view::{ClusterView, PlacementView};
use crate::tui::glyphs;
use crate::tui::overlays::{dialog, field};
use crate::tui::pen::{Pen, piece, wrap};
use crate::tui::theme::{Ground, Role};
use ratatui::layout::Rect;

/// Cells for a field's label.
const LABEL_CELLS: u16 = 14;

impl Form {
    /// Draws the form.
    pub fn draw(&self, pen: &mut Pen<'_>, view: &ClusterView, area: Rect) {
        let (title, verb) = match (self.kind, &self.subject) {
            (Kind::Produce, _) => ("Produce".to_owned(), "send"),
            (Kind::Consume, _) => ("Consume".to_owned(), "read"),
            (Kind::AlterTopic, Some(subject)) => (format!("Alter {}", subject.name), "change"),
            (Kind::NewTopic | Kind::AlterTopic, _) => ("New topic".to_owned(), "create"),
        };
        let button = match self.blocked() {
            Some(place) => format!("{verb} (fix {})", self.fields[place].label),
            None if self.subject.is_some() && self.line().is_none() => format!("{verb} (nothing changed yet)"),
            None => verb.to_string(),
        };
        let keys = [("↵", button.as_str()), ("Tab", "next field"), ("Esc", "close")];
        let width = 92.min(area.width.saturating_sub(2));
        let mut same_as = Vec::new();
        for line in self.same_as() {
            same_as.extend(wrap(&line, width.saturating_sub(LABEL_CELLS)));
        }
        let placement = view.placement.as_ref().filter(|told| Some(&told.of) == self.placement().as_ref());
        let preview = placement.map_or(0, |told| if told.rows.is_empty() { 4 } else { told.rows.len() as u16 + 4 });
        // A short terminal has room for the fields only if nothing is left blank.
        let gap = u16::from(area.height >= 30);
        let wanted = self.fields.len() + same_as.len();
        let height = u16::try_from(wanted).unwrap_or(u16::MAX).saturating_add(preview + 5 + 4 * gap);
        let inside = dialog(pen, area, width, height, Role::Focus, &title, &keys);
        let y = self.draw_fields(pen, Rect { y: inside.y + gap, height: inside.height.saturating_sub(gap), ..inside });
        let mut y = y + gap;
        let theme = pen.theme;
        for (row, line) in wrap(self.fields[self.focus].help, inside.width).into_iter().enumerate() {
            // What the help takes more than a line is taken from the blank below it.
            y += u16::from(row > 0);
            if y < inside.bottom() {
                pen.text(inside.x, y, inside.width, &line, theme.fg(Role::Dim));
            }
        }
        y += 1 + gap;
        for (row, line) in same_as.iter().enumerate() {
            if y < inside.bottom() {
                let label = if row == 0 { "Same as       " } else { "              " };
                let pieces = [piece(label, theme.fg(Role::Faint)), piece(line.as_str(), theme.fg(Role::Dim))];
                pen.pieces(inside.x, y, inside.width, &pieces);
            }
            y += 1;
        }
        if let Some(told) = placement {
            y += gap;
            let rest = Rect { y, height: inside.bottom().saturating_sub(y), ..inside };
            self.draw_placement(pen, view, told, rest);
        }
    }

    /// The fields, one a row. Returns the row after them.
    fn draw_fields(&self, pen: &mut Pen<'_>, area: Rect) -> u16 {
        let theme = pen.theme;
        let cells = (area.width * 2 / 5).max(20).min(area.width.saturating_sub(LABEL_CELLS));
        let mut y = area.y;
        for (place, entry) in self.fields.iter().enumerate() {
            if y >= area.bottom() {
                return y;
            }
            let focused = place == self.focus;
            let label = if focused { theme.bold(Role::Focus) } else { theme.fg(Role::Dim) };
            pen.text(area.x, y, LABEL_CELLS - 1, entry.label, label);
            let x = area.x + LABEL_CELLS;
            match &entry.content {
                Content::Text(input) => {
                    field(pen, x, y, cells, input, focused);
                }
                Content::Choice(options, chosen) => {
                    if focused {
                        pen.ground(Rect { x, y, width: cells, height: 1 }, Ground::Sel);
                    }
                    let text =
                        if focused { format!("‹ {} ›", options[*chosen]) } else { options[*chosen].to_string() };
                    pen.text(x, y, cells, &text, theme.bold(Role::Text));
                }
            }
            let (glyph, words, role) = match self.verdict(place) {
                Verdict::Fine => (glyphs::DONE, String::new(), Role::Sync),
                Verdict::Means(words) => (glyphs::DONE, words, Role::Sync),
                Verdict::Warns(words) => (glyphs::ATTENTION, words, Role::Lag),
                Verdict::Blocks(words) => (glyphs::DEAD, words, Role::Dead),
            };
            let at = x + cells + 1;
            pen.text(at, y, area.right().saturating_sub(at), &format!("{glyph} {words}"), theme.fg(role));
            y += 1;
        }
        y
    }

    /// A row a partition, a column a broker.
    fn draw_placement(&self, pen: &mut Pen<'_>, view: &ClusterView, told: &PlacementView, area: Rect) {
        let theme = pen.theme;
        if area.height < 2 {
            return;
        }
        let title = [piece("Where the copies go", theme.bold(Role::Text))];
        let facts = [piece("an example: the controller draws where it begins", theme.fg(Role::Dim))];
        pen.rule(area.x, area.right(), area.y, &title, &facts);
        if !told.problem.is_empty() {
            let text = format!("{} {}", glyphs::DEAD, told.problem);
            for (y, line) in (area.y + 1..area.bottom()).zip(wrap(&text, area.width)) {
                pen.text(area.x, y, area.width, &line, theme.fg(Role::Dead));
            }
            return;
        }
        let room = area.width.saturating_sub(LABEL_CELLS);
        let step = (room / (view.brokers.len().max(1) as u16)).clamp(4, 10);
        let (at, shown) = (area.x + LABEL_CELLS, usize::from(room / step));
        for (x, card) in (0u16..).map(|place| at + place * step).zip(view.brokers.iter().take(shown)) {
            let role = if card.state.answers() { Role::Dim } else { Role::Dead };
            let name = if step >= 10 { format!("broker {}", card.id) } else { card.id.to_string() };
            pen.text(x, area.y + 1, step - 1, &name, theme.fg(role));
        }
        let first = self.subject.as_ref().map_or(0, |subject| subject.partitions);
        let rows = usize::from(area.height - 2);
        let all = match &self.subject {
            Some(_) => self.more_partitions().unwrap_or(0).saturating_sub(first),
            None => self.get("partitions").parse().unwrap_or(0),
        };
        let fits = if all as usize > rows.min(told.rows.len()) { rows.saturating_sub(1) } else { rows };
        let mut y = area.y + 2;
        for (number, replicas) in (first..).zip(told.rows.iter().take(fits)) {
            pen.text(area.x, y, LABEL_CELLS - 1, &format!("partition {number}"), theme.fg(Role::Dim));
            for (x, card) in (0u16..).map(|place| at + place * step).zip(view.brokers.iter().take(shown)) {
                let (glyph, role) = match replicas.iter().position(|replica| *replica == card.id) {
                    Some(0) => (glyphs::LEADER, Role::Lead),
                    Some(_) => (glyphs::ALIVE, Role::Sync),
                    None => continue,
                };
                pen.text(x + (step - 1) / 2 * u16::from(step >= 10), y, 1, glyph, theme.bold(role));
            }
            y += 1;
        }
        let hidden = all as usize - told.rows.len().min(fits).min(all as usize);
        if hidden > 0 && y < area.bottom() {
            pen.text(area.x, y, area.width, &format!("… {hidden} more"), theme.fg(Role::Dim));
        }
    }
}

//! `?`: the keys of this screen from the one table, the glyphs, and how to read what is shown.

use super::{dialog, edit, field};
use crate::cluster::view::ClusterView;
use crate::tui::glyphs;
use crate::tui::keymap::{Binding, Group, KEYMAP};
use crate::tui::msg::Outcome;
use crate::tui::pen::{Pen, Piece, piece, wrap};
use crate::tui::theme::Role;
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use tui_input::Input;

/// The state of the help.
#[derive(Debug, Clone, Default)]
pub struct Help {
    search: Input,
    scroll: u16,
}

/// What is seen, with its role.
const SIGNS: &[(&str, Role, &str)] = &[
    (glyphs::LEADER, Role::Lead, "leader"),
    (glyphs::ALIVE, Role::Sync, "in sync, alive"),
    (glyphs::OUT_OF_SYNC, Role::Lag, "out of sync"),
    (glyphs::DEAD, Role::Dead, "dead, cut or refused"),
    (glyphs::HALTED, Role::Lag, "suspended, stalled"),
    (glyphs::ATTENTION, Role::Lag, "needs a look"),
    (glyphs::FENCED, Role::Dead, "fenced by the controller"),
    (glyphs::STARTING, Role::Lag, "starting, catching up"),
    (glyphs::LAST_COPY, Role::Dead, "last complete copy (ELR)"),
    (glyphs::SLOW, Role::Lag, "slow disk or link"),
    (glyphs::LOSSY, Role::Lag, "loses messages"),
    (glyphs::CONTROLLER, Role::Lead, "active controller"),
    (glyphs::VOTER, Role::Faint, "voter, candidate"),
    (glyphs::COMMITTED, Role::Text, "log: committed"),
    (glyphs::ABOVE_HW, Role::Text, "log: above high watermark"),
    (glyphs::MISSING, Role::Text, "log: missing"),
    (glyphs::CUT, Role::Dead, "log: will be cut"),
];

/// The lists of keys.
const TITLES: [(Group, &str); 4] = [
    (Group::Everywhere, "Everywhere"),
    (Group::Time, "Time"),
    (Group::Cluster, "Cluster"),
    (Group::Topics, "Topics, faults"),
];

/// How the screen reads, in sentences.
const READING: &[&str] = &[
    "Each column is a broker, each row a partition. The bar in a cell is the end of that replica's log: the newest \
     64, 256, 1,024 … records, so that the worst lag of the row fits.",
    "A high block is committed: every in-sync replica (ISR) has it. A low block is above the high watermark: written, \
     promised to nobody yet. A dot is missing: the leader has it, this replica does not.",
    "Follow a failover: the diamond leaves the dead column and appears in another, the epoch grows by one, the ISR \
     shrinks, the high watermark moves on. When the broker is back, its bar fills and the row sinks to Healthy.",
    "2 and ↵ look inside a partition: its copies on one axis of offsets, filled by leader epoch. ┃ is the high watermark, \
     ┊ the last stable offset, hatched what a copy will cut. h l: other partitions, j k: other copies.",
    "3 shows messages as a ladder, time downwards. There . goes on to the next message that arrives, > delivers the chosen \
     one, d drops it, t delays it, b stops time at the next of its API; ↵ decodes, / filters, z shows heartbeats too.",
    "4 shows consumer groups: who reads which partition, and how far each is behind. There ↵ tells all of a member, p makes \
     a reader of ours stand still or go on, / filters, s sorts by lag, R resets offsets, D deletes.",
    "5 shows topics, the worst first, and the settings of one, those of its own on top. There e edits it, ↵ shows its \
     partitions, b its records: / says which, o and t where to begin, r sends one again.",
    "6 shows the metadata quorum: who votes and leads, what each log holds, who stands and who refuses. There v shows votes.",
    "7 shows every link, row to column, and what is wrong with it. There ↵ sets one, c cuts it one way, X both, t delays, o \
     loses. Tab goes to the broker, told what K, O, S, F would do now, and to the faults: ↵ undoes one.",
    "K acts on the broker of the selected column (h l). Every fault can be undone with u, all of them with H.",
];

impl Help {
    /// A key.
    pub fn key(&mut self, key: &KeyEvent) -> Outcome {
        match key.code {
            KeyCode::Esc if !self.search.value().is_empty() => {
                self.search.reset();
                Outcome::stay()
            }
            KeyCode::Esc | KeyCode::Enter | KeyCode::F(1) => Outcome::close(),
            KeyCode::Char('?' | 'q') if self.search.value().is_empty() => Outcome::close(),
            KeyCode::Down => {
                self.scroll = (self.scroll + 1).min(60);
                Outcome::stay()
            }
            KeyCode::Up => {
                self.scroll = self.scroll.saturating_sub(1);
                Outcome::stay()
            }
            _ => {
                edit(&mut self.search, key);
                self.scroll = 0;
                Outcome::stay()
            }
        }
    }

    /// Draws the help.
    pub fn draw(&self, pen: &mut Pen<'_>, view: &ClusterView, area: Rect) {
        let keys = [("type", "to search keys"), ("↑ ↓", "scroll"), ("Esc", "close")];
        let (width, height) = (136.min(area.width.saturating_sub(2)), 38.min(area.height));
        let inside = dialog(pen, area, width, height, Role::Focus, "Keys", &keys);
        let mut body = Rect { height: inside.height.saturating_sub(1), ..inside };
        if !self.search.value().is_empty() {
            let x = pen.text(body.x, body.y, 10, "search ", pen.theme.fg(Role::Dim));
            field(pen, x, body.y, 24.min(body.width), &self.search, true);
            body = Rect { y: body.y + 1, height: body.height.saturating_sub(1), ..body };
        }
        let columns = self.columns(pen, view);
        let across = usize::from((body.width / 33).clamp(1, 4));
        let lines = arrange(pen, columns, across, body.width);
        for (y, line) in (body.y..body.bottom()).zip(lines.iter().skip(usize::from(self.scroll))) {
            pen.pieces(body.x, y, body.width, line);
        }
    }

    fn columns(&self, pen: &Pen<'_>, view: &ClusterView) -> Vec<(&'static str, Vec<Vec<Piece<'static>>>)> {
        let theme = pen.theme;
        let typed = self.search.value().to_lowercase();
        let wanted = |row: &&Binding| {
            row.need.met(view.host.can)
                && (typed.is_empty() || row.help.contains(&typed) || row.shown.to_lowercase().contains(&typed))
        };
        let mut columns = Vec::new();
        for (group, title) in TITLES {
            let rows: Vec<Vec<Piece<'static>>> = KEYMAP
                .iter()
                .filter(|row| row.group == group)
                .filter(wanted)
                .map(|row| {
                    let key = format!("{:<8}", row.shown);
                    vec![piece(key, theme.bold(Role::Focus)), piece(row.help, theme.fg(Role::Text))]
                })
                .collect();
            if !rows.is_empty() {
                columns.push((title, rows));
            }
        }
        if typed.is_empty() {
            let sign = |&(glyph, role, word): &(&'static str, Role, &'static str)| {
                vec![piece(format!("{glyph}       "), theme.fg(role)), piece(word, theme.fg(Role::Text))]
            };
            columns.push(("What you see", SIGNS.iter().map(sign).collect()));
        }
        columns
    }
}

/// Lays columns `across` side by side, the sentences below them.
fn arrange(
    pen: &Pen<'_>,
    columns: Vec<(&'static str, Vec<Vec<Piece<'static>>>)>,
    across: usize,
    cells: u16,
) -> Vec<Vec<Piece<'static>>> {
    let theme = pen.theme;
    let each = cells / across as u16;
    let mut lines: Vec<Vec<Piece<'static>>> = Vec::new();
    for mut group in columns.chunks(across).map(<[_]>::to_vec) {
        if let ([(title, rows)], true) = (&group[..], across > 1) {
            // A list that stands alone is spread over the width.
            let (title, each) = (*title, rows.len().div_ceil(across).max(1));
            let parts = rows.chunks(each).map(<[_]>::to_vec);
            group = std::iter::once(title).chain(std::iter::repeat("")).zip(parts).collect();
        }
        let rows = group.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0);
        let mut titles = Vec::new();
        for (title, _) in &group {
            let rule = usize::from(each.saturating_sub(crate::tui::pen::width(title) + 3));
            titles.push(piece(format!("{title} "), theme.bold(Role::Text)));
            titles.push(piece(format!("{}  ", "─".repeat(rule)), theme.fg(Role::Line)));
        }
        lines.push(titles);
        for row in 0..rows {
            let mut line = Vec::new();
            for (_, rows) in &group {
                let mut used = 0;
                for (text, style) in rows.get(row).into_iter().flatten() {
                    let text: String = text.chars().take(usize::from(each.saturating_sub(used + 1))).collect();
                    used += crate::tui::pen::width(&text);
                    line.push(piece(text, *style));
                }
                line.push(piece(" ".repeat(usize::from(each.saturating_sub(used))), theme.fg(Role::Text)));
            }
            lines.push(line);
        }
        lines.push(Vec::new());
    }
    lines.push(vec![
        piece("How to read this screen ", theme.bold(Role::Text)),
        piece("─".repeat(usize::from(cells.saturating_sub(24))), theme.fg(Role::Line)),
    ]);
    for paragraph in READING {
        for text in wrap(paragraph, cells.min(110)) {
            lines.push(vec![piece(text, theme.fg(Role::Text))]);
        }
    }
    lines
}

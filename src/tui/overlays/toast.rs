//! Toasts: short messages at the bottom right, two at most, six seconds; errors stay until `Esc`.

use crate::cluster::view::{BrokerId, PartitionName};
use crate::tui::glyphs;
use crate::tui::headline::Mood;
use crate::tui::pen::{Pen, piece, wrap};
use crate::tui::theme::{Ground, Role};
use ratatui::layout::Rect;

/// How long a message stays, in real time.
pub const STAYS_MS: u64 = 6_000;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    /// Good, notice or bad.
    pub mood: Mood,
    /// One line.
    pub title: String,
    /// One more.
    pub body: String,
    /// Where `'` goes.
    pub partition: Option<PartitionName>,
    /// Where `'` goes.
    pub broker: Option<BrokerId>,
    /// When it came.
    pub born_ms: u64,
}

impl Toast {
    /// Whether it has had its time at `now_ms`. Errors have none.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.mood != Mood::Bad && now_ms.saturating_sub(self.born_ms) >= STAYS_MS
    }

    /// Whether there is somewhere to go.
    pub fn leads_somewhere(&self) -> bool {
        self.partition.is_some() || self.broker.is_some()
    }
}

/// Draws the newest two above the bottom of `area`.
pub fn draw(pen: &mut Pen<'_>, toasts: &[Toast], area: Rect) {
    let theme = pen.theme;
    let cells = 46.min(area.width);
    let mut bottom = area.bottom();
    for toast in toasts.iter().rev().take(2) {
        let inner = cells.saturating_sub(4);
        let (role, glyph) = match toast.mood {
            Mood::Good => (Role::Sync, glyphs::DONE),
            Mood::Notice | Mood::Election => (Role::Lag, glyphs::ATTENTION),
            Mood::Bad => (Role::Dead, glyphs::DEAD),
        };
        let mut lines: Vec<(String, bool)> =
            wrap(&format!("{glyph} {}", toast.title), inner).into_iter().map(|line| (line, true)).collect();
        if !toast.body.is_empty() {
            lines.extend(wrap(&toast.body, inner).into_iter().map(|line| (line, false)));
        }
        lines.truncate(6);
        let keys = toast.leads_somewhere() || toast.mood == Mood::Bad;
        let height = lines.len() as u16 + 2 + u16::from(keys);
        let Some(y) = bottom.checked_sub(height).filter(|y| *y >= area.y) else { return };
        let place = Rect { x: area.right() - cells, y, width: cells, height };
        pen.clear(place, Ground::Canvas);
        let inside = pen.frame(place, theme.fg(role), false, &[], &[]);
        let mut y = inside.y;
        for (line, strong) in &lines {
            let style = if *strong { theme.bold(role) } else { theme.fg(Role::Text) };
            pen.text(inside.x + 1, y, inner, line, style);
            y += 1;
        }
        if keys {
            let mut pieces = Vec::new();
            if toast.leads_somewhere() {
                pieces.extend([piece("'", theme.bold(Role::Focus)), piece(" go there   ", theme.fg(Role::Dim))]);
            }
            pieces.extend([piece("Esc", theme.bold(Role::Focus)), piece(" dismiss", theme.fg(Role::Dim))]);
            pen.pieces(inside.x + 1, y, inner, &pieces);
        }
        bottom = place.y;
    }
}

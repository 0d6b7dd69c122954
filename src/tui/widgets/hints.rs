//! The hint row of a screen: its keys, each with a word, as many as fit beside `:` and `?`.
//!
//! ```text
//!  j k topic  e edit  Space pause                                     : command  ? help
//! ```
//! Deliberately not here: what a key does, and what stands in the row instead while something is typed or armed.

use crate::cluster::view::{ClockMode, ClusterView};
use crate::tui::layout::Frame;
use crate::tui::pen::{Pen, piece, width};
use crate::tui::theme::Role;

/// What is left of a hint row once `:` and `?` stand in it.
#[derive(Debug, Clone, Copy)]
pub struct HintRow {
    /// The first cell.
    pub x: u16,
    /// The row.
    pub y: u16,
    /// The cell after the last.
    pub until: u16,
}

impl HintRow {
    /// Begins a screen's hint row.
    pub fn begin(pen: &mut Pen<'_>, frame: Frame) -> HintRow {
        let theme = pen.theme;
        let (x, y, end) = (frame.area.x + 1, frame.hints, frame.area.right().saturating_sub(1));
        let tail = [
            piece(":", theme.bold(Role::Focus)),
            piece(" command  ", theme.fg(Role::Dim)),
            piece("?", theme.bold(Role::Focus)),
            piece(" help", theme.fg(Role::Dim)),
        ];
        HintRow { x, y, until: pen.pieces_right(x, end, y, &tail) }
    }

    /// Draws keys with their words, the most useful first; those that mean nothing now are left out.
    pub fn keys(self, pen: &mut Pen<'_>, keys: &[(&str, &str, bool)]) {
        let theme = pen.theme;
        let mut at = self.x;
        for (key, word, _) in keys.iter().filter(|(.., means_something)| *means_something) {
            let cells = width(key) + width(word) + 3;
            if at + cells > self.until {
                break;
            }
            at = pen.text(at, self.y, cells, key, theme.bold(Role::Focus));
            at = pen.text(at, self.y, cells, &format!(" {word}"), theme.fg(Role::Dim)) + 2;
        }
    }
}

/// What Space does to the clock, in a word.
pub fn space(view: &ClusterView) -> &'static str {
    if matches!(view.clock, ClockMode::Live { .. }) { "pause" } else { "run" }
}

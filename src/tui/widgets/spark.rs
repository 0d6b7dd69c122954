//! Sparks and strips: a history as a row of small bars.
//!
//! Invariants: the newest sample is at the right; zero is the lowest step, so that an empty history still shows its
//! place; the full block is never used, so that rows stay apart.

use crate::tui::glyphs::SPARK;
use crate::tui::pen::Pen;
use ratatui::style::Style;

/// Draws the newest samples of `history` in `cells` cells; the largest one shown is the tallest bar.
pub fn spark(pen: &mut Pen<'_>, x: u16, y: u16, cells: u16, history: &[u64], style: Style) {
    let shown = &history[history.len().saturating_sub(cells as usize)..];
    let top = shown.iter().copied().max().unwrap_or(0).max(1);
    let missing = cells - shown.len() as u16;
    pen.repeat(x, y, missing, SPARK[0], style);
    for (column, &sample) in (x + missing..).zip(shown) {
        pen.text(column, y, 1, step(sample, top), style);
    }
}

/// Draws `samples` stretched or squeezed over `cells` cells (a squeezed cell shows its largest sample). `style` is
/// asked for each cell with its value; `None` leaves it empty.
pub fn strip(pen: &mut Pen<'_>, x: u16, y: u16, cells: u16, samples: &[u64], style: impl Fn(u64) -> Option<Style>) {
    let top = samples.iter().copied().max().unwrap_or(0).max(1);
    for column in 0..cells as usize {
        let from = column * samples.len() / cells as usize;
        let to = ((column + 1) * samples.len()).div_ceil(cells as usize).min(samples.len());
        let value = samples[from.min(to)..to].iter().copied().max().unwrap_or(0);
        if let Some(style) = style(value) {
            pen.text(x + column as u16, y, 1, step(value, top), style);
        }
    }
}

fn step(value: u64, top: u64) -> &'static str {
    let index = (u128::from(value) * 6).div_ceil(u128::from(top));
    SPARK[(index as usize).min(6)]
}

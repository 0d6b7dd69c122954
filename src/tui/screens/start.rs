//! Pages without a cluster on them: the terminal is too small, or a port is taken.

use super::empty::centred;
use crate::tui::layout::LEAST;
use crate::tui::pen::{Pen, piece, wrap};
use crate::tui::theme::Role;
use ratatui::layout::Rect;

/// A port that is not free, and what can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortTaken {
    /// The port.
    pub port: u16,
    /// Who listens there, if known: `java (pid 4121), probably another Kafka`.
    pub holder: Option<String>,
    /// The next free range: first and last port.
    pub free: Option<(u16, u16)>,
}

/// What the user chose on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortChoice {
    /// Start on the free range, from this port.
    UseFrom(u16),
    /// Try the same ports again.
    TryAgain,
    /// Leave.
    Quit,
}

/// Draws the page of a terminal that is too small. It must draw something useful at any size.
pub fn too_small(pen: &mut Pen<'_>, area: Rect, can_pause: bool) {
    let theme = pen.theme;
    let now = format!("{} × {}", area.width, area.height);
    let least = format!("{} × {}", LEAST.0, LEAST.1);
    let mut lines = vec![
        vec![piece("Too small to draw the cluster", theme.bold(Role::Text))],
        vec![
            piece("now ", theme.fg(Role::Dim)),
            piece(now, theme.bold(Role::Lag)),
            piece("   needs ", theme.fg(Role::Dim)),
            piece(least, theme.bold(Role::Text)),
        ],
        vec![piece("The cluster keeps running.", theme.fg(Role::Dim))],
        vec![piece("q", theme.bold(Role::Focus)), piece(" quit", theme.fg(Role::Dim))],
    ];
    if can_pause {
        lines[3].push(piece("    Space", theme.bold(Role::Focus)));
        lines[3].push(piece(" pause", theme.fg(Role::Dim)));
    }
    let spread = if area.height >= 9 { 2 } else { 1 };
    let height = lines.len() as u16 * spread - (spread - 1);
    let mut y = area.y + area.height.saturating_sub(height) / 2;
    for line in &lines {
        centred(pen, area, y, line);
        y += spread;
    }
}

/// Draws the page of a port that is taken.
pub fn port_taken(pen: &mut Pen<'_>, area: Rect, page: &PortTaken) {
    let theme = pen.theme;
    let x = area.x + 3.min(area.width / 10);
    let cells = area.right().saturating_sub(x + 1);
    let mut y = area.y + area.height / 8;
    pen.pieces(
        x,
        y,
        cells,
        &[
            piece(" CANNOT START ", theme.chip(Role::Dead)),
            piece(format!(" Port {} is taken by another program.", page.port), theme.bold(Role::Text)),
        ],
    );
    y += 2;
    let holder = page.holder.as_deref().unwrap_or("a program this user cannot see");
    for (row, line) in wrap(holder, cells.saturating_sub(9)).into_iter().enumerate() {
        let label = if row == 0 { "held by  " } else { "         " };
        pen.pieces(x, y, cells, &[piece(label, theme.fg(Role::Dim)), piece(line, theme.fg(Role::Text))]);
        y += 1;
    }
    y += 1;
    let mut choices = Vec::new();
    if let Some((first, last)) = page.free {
        choices.push(("↵", format!("use {first} to {last} instead"), format!("kafkarium --port {first}")));
    }
    choices.push(("r", "try again".into(), String::new()));
    choices.push(("q", "quit".into(), String::new()));
    for (key, what, command) in choices {
        let at = pen.text(x, y, 3, &format!(" {key} "), theme.chip(Role::Focus));
        let at = pen.text(at + 1, y, cells.saturating_sub(4), &what, theme.fg(Role::Text));
        pen.text(at + 4, y, area.right().saturating_sub(at + 4), &command, theme.fg(Role::Dim));
        y += 1;
    }
}

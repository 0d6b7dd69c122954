//! The Cluster screen while there is nothing in the cluster: three or four keys that lead on.

use crate::cluster::view::ClusterView;
use crate::tui::keymap::{self, Action};
use crate::tui::pen::{Pen, Piece, piece, pieces_width, width};
use crate::tui::theme::Role;
use crate::tui::widgets::mark;
use ratatui::layout::Rect;

/// Draws the page into the frame's body.
pub fn draw(pen: &mut Pen<'_>, view: &ClusterView, body: Rect) {
    let theme = pen.theme;
    let choices = choices(view);
    let spread = if body.height >= 20 { 2 } else { 1 };
    let height = 2 + 1 + spread * choices.len() as u16 + 2;
    let mut y = body.y + body.height.saturating_sub(height) / 2;
    let bottom = body.bottom();
    brokers(pen, view, body, y);
    y += 3;
    let name_cells = 14;
    let text_cells = choices.iter().map(|(_, _, text)| width(text)).max().unwrap_or(0);
    let cells = (5 + name_cells + 2 + text_cells).min(body.width);
    let x = body.x + (body.width - cells) / 2;
    for (key, name, text) in &choices {
        if y >= bottom {
            return;
        }
        let at = pen.text(x, y, 3, &format!(" {key} "), theme.chip(Role::Focus));
        pen.text(at + 2, y, name_cells, name, theme.bold(Role::Text));
        let from = x + 5 + name_cells;
        pen.text(from, y, body.right().saturating_sub(from), text, theme.fg(Role::Dim));
        y += spread;
    }
    y += 1;
    if y < bottom {
        let help = [
            piece("Lost? ", theme.fg(Role::Dim)),
            piece("?", theme.bold(Role::Focus)),
            piece(" lists every key, ", theme.fg(Role::Dim)),
            piece(":", theme.bold(Role::Focus)),
            piece(" finds every command.", theme.fg(Role::Dim)),
        ];
        centred(pen, body, y, &help);
    }
}

/// Key, name and what it leads to.
fn choices(view: &ClusterView) -> Vec<(&'static str, &'static str, String)> {
    let mut choices = Vec::new();
    if view.host.can.demo {
        let text = "An order stream with keys, and readers that show it.".to_string();
        choices.push((keymap::binding(Action::Demo).shown, "Demo data", text));
    }
    choices.push((
        keymap::binding(Action::NewTopic).shown,
        "New topic",
        "Then p sends a record and c reads it back.".into(),
    ));
    let servers = &view.host.bootstrap_servers;
    let first = servers.split(',').next().unwrap_or_default();
    let text = format!("bootstrap.servers={first}  (y copies all of them)");
    choices.push((keymap::binding(Action::Copy).shown, "Your own app", text));
    choices
}

/// The brokers in a line, each over its address.
fn brokers(pen: &mut Pen<'_>, view: &ClusterView, body: Rect, y: u16) {
    let theme = pen.theme;
    let each = 22;
    let fit = usize::from((body.width / each).max(1));
    let shown = &view.brokers[..view.brokers.len().min(fit)];
    let mut x = body.x + body.width.saturating_sub(each * shown.len() as u16) / 2;
    for (place, card) in shown.iter().enumerate() {
        let mark = mark::broker(card);
        let mut name = vec![piece(format!("{} broker {}", mark.glyph, card.id), theme.bold(mark.role))];
        if let Some(quorum) = mark::quorum(card.quorum) {
            name.push(piece(format!(" {}", quorum.glyph), theme.fg(quorum.role)));
        }
        let at = pen.pieces(x + 2, y, each, &name);
        if place + 1 < shown.len() {
            let until = x + each + 1;
            pen.repeat(at + 1, y, until.saturating_sub(at + 1), "─", theme.fg(Role::Line));
        }
        if view.host.world.is_none() {
            pen.text(x + 2, y + 1, each, &format!("localhost:{}", card.port), theme.fg(Role::Dim));
        }
        x += each;
    }
}

/// Writes pieces in the middle of an area's width.
pub fn centred(pen: &mut Pen<'_>, area: Rect, y: u16, pieces: &[Piece<'_>]) {
    let cells = pieces_width(pieces).min(area.width);
    pen.pieces(area.x + (area.width - cells) / 2, y, cells, pieces);
}

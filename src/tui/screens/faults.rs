//! The Faults screen: every link with what is wrong with it, what acts now, and what an action would do.
//!
//! ```text
//! ╭─ Links ─────────────── row sends to column ─╮ ╭─ Broker 3 ──────────────────╮
//! │ FROM  TO ▸  broker 1   broker 2   clients   │ │ K kill −9   the cache stays │
//! │ broker 1       ╲        ✕ cut        ·      │ │ If you do it now: kill 3    │
//! ╰─────────────────────────────────────────────╯ ╰─────────────────────────────╯
//! ```
//! Invariants: a link is directed, so that a cut in one direction looks like one; only what deviates is bright; what an action would
//! do is the host's forecast, never a guess of the screen's.
//!
//! Deliberately not here: times of healthy links (nobody measures them).

use crate::cluster::link::CLIENTS;
use crate::cluster::view::{ActiveFault, BrokerId, BrokerState, ClusterView, FaultKind, Weight};
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Width};
use crate::tui::model::Model;
use crate::tui::numbers::{plural, span_ms};
use crate::tui::overlays::palette;
use crate::tui::pen::{Pen, cut_middle, piece, wrap};
use crate::tui::theme::{Ground, Role};
use crate::tui::widgets::hints::HintRow;
use ratatui::layout::Rect;

/// Columns of the matrix are this wide at least.
const LEAST_CELLS: u16 = 8;
/// How wide the names of the senders are.
const NAME_CELLS: u16 = 11;

/// The ends of links: the brokers in order, then the clients.
pub fn ends(view: &ClusterView) -> Vec<BrokerId> {
    view.brokers.iter().map(|card| card.id).chain([CLIENTS]).collect()
}

/// The selected link, its sender first.
pub fn selected(model: &Model) -> Option<(BrokerId, BrokerId)> {
    let ends = ends(&model.view);
    let has = |end: Option<BrokerId>| end.filter(|end| ends.contains(end));
    let first = *ends.first().filter(|_| ends.len() > 1)?;
    Some((has(model.faults.from).unwrap_or(first), has(model.faults.to).unwrap_or(ends[1])))
}

/// Draws the screen into the frame's body.
pub fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let body = frame.body;
    let rows = u16::try_from(view.brokers.len()).unwrap_or(u16::MAX).saturating_add(2);
    if frame.width < Width::Medium {
        let matrix_rows = rows.min(body.height.saturating_sub(6).max(3));
        let inside = Rect { x: body.x + 1, width: body.width.saturating_sub(2), ..body };
        matrix(pen, model, view, Rect { height: matrix_rows, ..inside });
        let mut y = body.y + matrix_rows;
        pen.rule(inside.x, inside.right(), y, &title(pen, "If you do it now"), &[]);
        y = forecast(pen, model, Rect { y: y + 1, height: 2.min(body.bottom().saturating_sub(y + 1)), ..inside });
        if y + 1 < body.bottom() {
            pen.rule(inside.x, inside.right(), y, &title(pen, "Active faults"), &[]);
            active(pen, view, Rect { y: y + 1, height: body.bottom() - y - 1, ..inside });
        }
        return;
    }
    let right = (body.width / 3).clamp(40, 56);
    let links = Rect { width: body.width - right - 1, ..body };
    let side = Rect { x: links.right() + 1, width: right, ..body };
    let border = pen.theme.fg(Role::Focus);
    let facts = [piece("row sends to column", pen.theme.fg(Role::Dim))];
    let name = [piece("Links", pen.theme.bold(Role::Focus))];
    let inside = pen.frame(links, border, false, &name, &facts);
    matrix(pen, model, view, Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside });
    let upper = Rect { height: 12.min(side.height / 2 + 2), ..side };
    actions(pen, model, view, upper);
    let lower = Rect { y: upper.bottom(), height: side.height - upper.height, ..side };
    let keys = [
        piece("u", pen.theme.bold(Role::Focus)),
        piece(" undo last   ", pen.theme.fg(Role::Dim)),
        piece("H", pen.theme.bold(Role::Focus)),
        piece(" heal all", pen.theme.fg(Role::Dim)),
    ];
    let name = title(pen, "Active faults");
    let inside = pen.frame(lower, pen.theme.fg(Role::Line), false, &name, &keys);
    active(pen, view, Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside });
}

fn title(pen: &Pen<'_>, text: &'static str) -> [crate::tui::pen::Piece<'static>; 1] {
    [piece(text, pen.theme.bold(Role::Text))]
}

/// `3`, `clients`: an end of a link as the matrix names it.
fn end_name(end: BrokerId, is_long: bool) -> String {
    match (end == CLIENTS, is_long) {
        (true, _) => "clients".to_owned(),
        (false, true) => format!("broker {end}"),
        (false, false) => end.to_string(),
    }
}

/// How a kind of fault is shown.
fn mark(kind: FaultKind) -> (&'static str, Role) {
    match kind {
        FaultKind::Down | FaultKind::Cut | FaultKind::Disk => (glyphs::DEAD, Role::Dead),
        FaultKind::Suspended => (glyphs::HALTED, Role::Lag),
        FaultKind::Slow | FaultKind::Clock => (glyphs::SLOW, Role::Lag),
        FaultKind::Loss => (glyphs::LOSSY, Role::Lag),
    }
}

fn matrix(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, area: Rect) {
    let theme = pen.theme;
    let ends = ends(view);
    let chosen = selected(model);
    let place = |end: BrokerId| ends.iter().position(|other| *other == end).unwrap_or(0);
    let fit = usize::from((area.width.saturating_sub(NAME_CELLS) / LEAST_CELLS).max(1));
    let step = (area.width.saturating_sub(NAME_CELLS) / ends.len().min(fit).max(1) as u16).min(14);
    // More ends than fit: the selected ones stay in view.
    let skip_columns = chosen.map_or(0, |(_, to)| (place(to) + 1).saturating_sub(fit));
    let rows = usize::from(area.height.saturating_sub(1));
    let skip_rows = chosen.map_or(0, |(from, _)| (place(from) + 1).saturating_sub(rows));
    let is_tall = usize::from(area.height) > ends.len() * 2;
    let is_down = |end: BrokerId| view.brokers.iter().any(|card| card.id == end && card.state.is_dead());
    pen.text(area.x, area.y, NAME_CELLS, "FROM  TO ▸", theme.fg(Role::Faint));
    for (at, to) in (0u16..).zip(ends.iter().skip(skip_columns).take(fit)) {
        let style = theme.bold(if is_down(*to) { Role::Dead } else { Role::Text });
        pen.text(area.x + NAME_CELLS + at * step, area.y, step - 1, &end_name(*to, step > 10), style);
    }
    for (row, from) in ends.iter().skip(skip_rows).take(rows).enumerate() {
        let y = area.y + 1 + u16::try_from(row).unwrap_or(0) * if is_tall { 2 } else { 1 };
        let style = theme.bold(if is_down(*from) { Role::Dead } else { Role::Text });
        pen.text(area.x, y, NAME_CELLS, &end_name(*from, true), style);
        for (at, to) in (0u16..).zip(ends.iter().skip(skip_columns).take(fit)) {
            let cell = Rect { x: area.x + NAME_CELLS + at * step, y, width: step - 1, height: 1 };
            if chosen == Some((*from, *to)) {
                pen.ground(Rect { x: cell.x - 1, width: cell.width + 1, ..cell }, Ground::Raise);
                pen.text(cell.x - 1, y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
            }
            link(pen, view, (*from, *to), is_down(*from) || is_down(*to), cell);
        }
    }
}

/// One cell: what is wrong with what `link.0` sends to `link.1`.
fn link(pen: &mut Pen<'_>, view: &ClusterView, link: (BrokerId, BrokerId), is_down: bool, cell: Rect) {
    let theme = pen.theme;
    let fault = view.faults.iter().find(|fault| fault.links.contains(&link));
    let (text, style) = match fault {
        _ if link.0 == link.1 => ("╲".to_owned(), theme.fg(Role::Faint)),
        Some(fault) => {
            let (glyph, role) = mark(fault.kind);
            (format!("{glyph} {}", effect(fault)), theme.bold(role))
        }
        None if is_down => (glyphs::DEAD.to_owned(), theme.fg(Role::Dead)),
        None => (glyphs::MISSING.to_owned(), theme.fg(Role::Dim)),
    };
    pen.text(cell.x, cell.y, cell.width, &cut_middle(&text, cell.width), style);
}

/// `cut`, `+120ms`: a link's fault without the link's name.
fn effect(fault: &ActiveFault) -> &str {
    // `link 1 ⇄ 3 cut`: four words name the link.
    fault.text.splitn(5, ' ').nth(4).unwrap_or(&fault.text)
}

fn actions(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, area: Rect) {
    let theme = pen.theme;
    let card = view.brokers.iter().find(|card| Some(card.id) == model.cluster.broker);
    let name = card.map_or("No broker selected".to_owned(), |card| format!("Broker {}", card.id));
    let inside = pen.frame(area, theme.fg(Role::Line), false, &[piece(name, theme.bold(Role::Text))], &[]);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    let mut y = inside.y;
    if let Some(card) = card {
        let suspend = if card.state == BrokerState::Suspended { "resume" } else { "suspend" };
        let restart = if card.state.is_dead() { "start" } else { "restart" };
        let keys = [
            ("K", "kill −9", "process ends, cache stays"),
            ("O", "power loss", "unsynced records go too"),
            ("S", suspend, "frozen, sockets stay open"),
            ("R", restart, "same id, port and log"),
        ];
        for (key, word, note) in keys {
            pen.text(inside.x, y, 2, key, theme.bold(Role::Focus));
            pen.text(inside.x + 2, y, 12, word, theme.bold(Role::Text));
            pen.text(inside.x + 14, y, inside.width.saturating_sub(14), note, theme.fg(Role::Dim));
            y += 1;
        }
    }
    if y + 1 < inside.bottom() {
        pen.rule(inside.x, inside.right(), y, &title(pen, "If you do it now"), &[]);
        forecast(pen, model, Rect { y: y + 1, height: inside.bottom() - y - 1, ..inside });
    }
}

/// The forecast that stands, line by line; returns the row below.
fn forecast(pen: &mut Pen<'_>, model: &Model, area: Rect) -> u16 {
    let theme = pen.theme;
    let Some(armed) = &model.armed else {
        let text = "Choose a link with h j k l: this tells what killing its sender would do.";
        return lines(pen, text, theme.fg(Role::Dim), area);
    };
    let (weight, text) = match &armed.forecast.consequence {
        Some(consequence) => (consequence.weight, consequence.text.as_str()),
        None => (Weight::Harmless, "nothing is known of what it costs"),
    };
    let (role, glyph) = palette::weight(weight);
    lines(pen, &format!("{}: {glyph} {text}", armed.forecast.line), theme.fg(role), area)
}

fn lines(pen: &mut Pen<'_>, text: &str, style: ratatui::style::Style, area: Rect) -> u16 {
    let mut y = area.y;
    for line in wrap(text, area.width).iter().take(usize::from(area.height)) {
        pen.text(area.x, y, area.width, line, style);
        y += 1;
    }
    y
}

fn active(pen: &mut Pen<'_>, view: &ClusterView, area: Rect) {
    let theme = pen.theme;
    if view.faults.is_empty() {
        pen.text(area.x, area.y, area.width, "none: every link and every broker works", theme.fg(Role::Dim));
        return;
    }
    let room = usize::from(area.height);
    for (at, fault) in view.faults.iter().take(room).enumerate() {
        let y = area.y + u16::try_from(at).unwrap_or(0);
        if view.faults.len() > room && at + 1 == room {
            let more = format!("and {} older", plural((view.faults.len() - at) as u64, "fault"));
            pen.text(area.x, y, area.width, &more, theme.fg(Role::Dim));
            return;
        }
        let (glyph, role) = mark(fault.kind);
        pen.text(area.x, y, 2, glyph, theme.bold(role));
        let ago = format!("{} ago", span_ms(view.at_ms.saturating_sub(fault.since_ms)));
        let until = pen.right(area.x + 2, area.right(), y, &ago, theme.fg(Role::Dim));
        let cells = until.saturating_sub(area.x + 3);
        pen.text(area.x + 2, y, cells, &cut_middle(&fault.text, cells), theme.fg(Role::Text));
    }
}

/// The row of keys.
pub fn hints(pen: &mut Pen<'_>, frame: Frame) {
    let row = HintRow::begin(pen, frame);
    let keys = [
        ("hjkl", "link", true),
        ("↵", "edit link", true),
        ("c", "cut one way", true),
        ("X", "cut both", true),
        ("u", "undo last", true),
        ("H", "heal all", true),
        ("K", "kill −9", true),
        ("Esc", "cluster", true),
    ];
    row.keys(pen, &keys);
}

//! The selected link from the inside: what is set on it, what passes over it, and what comes of that.
//!
//! Invariants: a knob stands where its value is on a scale of its own, the number beside it; what nobody counts is `–`.

use super::{Panels, end_name, inner, is_down, selected};
use crate::cluster::command::values::{ByteRate, Size, duration_text};
use crate::cluster::link::{CLIENTS, LinkFaults};
use crate::cluster::view::{BrokerId, ClusterView, Copies, LinkView};
use crate::tui::glyphs;
use crate::tui::model::Model;
use crate::tui::numbers::{bytes, count, plural, round_span, span_ms};
use crate::tui::pen::{Pen, Piece, piece, width, wrap};
use crate::tui::theme::Role;
use ratatui::layout::Rect;

/// Cells for a setting's label and for its value.
const LABEL_CELLS: u16 = 12;
const VALUE_CELLS: u16 = 13;
/// The scales end here: milliseconds, and bytes a second.
const SLOWEST_MS: u64 = 60_000;
const FASTEST_BYTES: u64 = 100_000_000;
/// The drawing of both ways needs so many cells.
const WAYS_CELLS: u16 = 34;

pub(super) fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, panels: Panels) {
    let theme = pen.theme;
    let Some((from, to)) = selected(model) else { return };
    let shown = view.link_faults.as_ref().and_then(|faults| faults.link.as_ref());
    let shown = shown.filter(|link| link.ends == (from, to));
    let name = if from == to {
        format!("{} with itself", end_name(from, true))
    } else {
        format!("Link {} → {}", end_name(from, false), end_name(to, false))
    };
    let title = [piece(name, theme.bold(Role::Text))];
    let keys = [piece("↵", theme.bold(Role::Focus)), piece(" edit", theme.fg(Role::Dim))];
    if !panels.framed {
        pen.rule(panels.link.x, panels.link.right(), panels.link.y, &title, &keys);
        let area = Rect { y: panels.link.y + 1, height: 1, ..panels.link };
        match shown {
            Some(link) => one_line(pen, link, area),
            None => nothing(pen, from == to, area),
        }
        return;
    }
    pen.frame(panels.link, theme.fg(Role::Line), false, &title, if from == to { &[] } else { &keys });
    let area = inner(panels, panels.link);
    match shown {
        Some(link) => settings(pen, view, link, area),
        None => nothing(pen, from == to, area),
    }
}

fn nothing(pen: &mut Pen<'_>, is_itself: bool, area: Rect) {
    let text = if is_itself { "No link: choose another column with h and l." } else { "Not known." };
    pen.text(area.x, area.y, area.width, text, pen.theme.fg(if is_itself { Role::Dim } else { Role::Lag }));
}

/// What is set, each with its number and where it is on its scale, in thousandths.
fn scales(faults: LinkFaults) -> [(&'static str, String, u64, bool); 4] {
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let share = f64::from(faults.loss_per_million) / 10_000.0;
    let rate = faults.bytes_per_s.map_or("no limit".to_owned(), |rate| ByteRate(Size(rate)).to_string());
    let narrow = faults.bytes_per_s.map_or(1_000, |rate| logarithm(rate, FASTEST_BYTES));
    [
        ("Latency", format!("+{}", duration_text(faults.delay)), logarithm(ms(faults.delay), SLOWEST_MS), {
            !faults.delay.is_zero()
        }),
        ("Jitter", format!("±{}", duration_text(faults.jitter)), logarithm(ms(faults.jitter), SLOWEST_MS), {
            !faults.jitter.is_zero()
        }),
        ("Loss", format!("{share} %"), logarithm(faults.loss_per_million.into(), 1_000_000), {
            faults.loss_per_million > 0
        }),
        ("Rate", rate, narrow, faults.bytes_per_s.is_some()),
    ]
}

/// Where a value is between 0 and the most, in thousandths; each doubling takes the same way.
fn logarithm(value: u64, most: u64) -> u64 {
    let bits = |value: u64| u64::from(value.saturating_add(1).min(most).ilog2());
    if value == 0 { 0 } else { (bits(value) * 1_000 / bits(most).max(1)).clamp(30, 1_000) }
}

/// The chips of what becomes of messages: the one that holds is lit.
fn fate(pen: &Pen<'_>, faults: LinkFaults, held: usize) -> Vec<Piece<'static>> {
    let theme = pen.theme;
    let chip = |text: String, lit: bool, role: Role| {
        if lit { piece(format!(" {text} "), theme.chip(role)) } else { piece(format!(" {text} "), theme.fg(Role::Dim)) }
    };
    let holds = if faults.is_held { format!("{} holds {held}", glyphs::HALTED) } else { "hold".to_owned() };
    let cut = if faults.is_cut { format!("{} cut", glyphs::DEAD) } else { "cut".to_owned() };
    vec![
        chip(cut, faults.is_cut, Role::Dead),
        chip(holds, faults.is_held && !faults.is_cut, Role::Lag),
        chip("deliver".to_owned(), !faults.is_stopped(), Role::Sync),
    ]
}

/// What of the settings deviates, and what passes, in one line.
fn one_line(pen: &mut Pen<'_>, link: &LinkView, area: Rect) {
    let theme = pen.theme;
    let mut pieces = fate(pen, link.faults, link.held);
    for (label, value, _, is_set) in scales(link.faults) {
        if is_set {
            pieces.push(piece(format!("  {} {value}", label.to_lowercase()), theme.bold(Role::Lag)));
        }
    }
    pieces.push(piece(format!("  {}", passing(link)), theme.fg(Role::Dim)));
    pen.pieces(area.x, area.y, area.width, &pieces);
}

fn settings(pen: &mut Pen<'_>, view: &ClusterView, link: &LinkView, area: Rect) {
    let theme = *pen.theme;
    let is_easy = area.height >= 9;
    let mut y = area.y;
    let x = area.x + LABEL_CELLS;
    pen.text(area.x, y, LABEL_CELLS, "Traffic", theme.fg(Role::Dim));
    let mut pieces = fate(pen, link.faults, link.held);
    if link.faults.is_stopped() {
        let back = view.faults.iter().any(|fault| {
            let kinds = [crate::cluster::view::FaultKind::Cut, crate::cluster::view::FaultKind::Loss];
            fault.links.contains(&(link.ends.1, link.ends.0)) && kinds.contains(&fault.kind)
        });
        let note = if back { "   both directions" } else { "   this direction only; the way back works" };
        pieces.push(piece(note, theme.fg(Role::Dim)));
    }
    pen.pieces(x, y, area.right().saturating_sub(x), &pieces);
    y += 1 + u16::from(is_easy);
    let has_ways = area.width >= LABEL_CELLS + VALUE_CELLS + WAYS_CELLS + 14;
    let room = area.width.saturating_sub(LABEL_CELLS + VALUE_CELLS + 2 + if has_ways { WAYS_CELLS } else { 0 });
    let bar = room.clamp(6, 30);
    if has_ways {
        let at = x + bar + 2 + VALUE_CELLS + 1;
        ways(pen, view, link, Rect { x: at, y, width: area.right().saturating_sub(at).min(44), height: 4 });
    }
    for (label, value, place, is_set) in scales(link.faults) {
        if y >= area.bottom() {
            return;
        }
        pen.text(area.x, y, LABEL_CELLS, label, theme.fg(Role::Dim));
        let style = theme.fg(if is_set { Role::Lag } else { Role::Line });
        pen.repeat(x, y, bar, "─", style);
        let knob = u16::try_from(u64::from(bar - 1) * place / 1_000).unwrap_or(0);
        pen.text(x + knob, y, 1, glyphs::ALIVE, theme.fg(if is_set { Role::Lag } else { Role::Text }));
        let style = theme.bold(if is_set { Role::Lag } else { Role::Text });
        pen.text(x + bar + 2, y, VALUE_CELLS, &value, style);
        y += 1;
    }
    y += u16::from(is_easy);
    for text in effects(view, link) {
        let role = text.1;
        for line in wrap(&text.0, area.width) {
            if y >= area.bottom() {
                return;
            }
            pen.text(area.x, y, area.width, &line, theme.fg(role));
            y += 1;
        }
    }
}

/// Both directions with what they carry.
fn ways(pen: &mut Pen<'_>, view: &ClusterView, link: &LinkView, area: Rect) {
    let (from, to) = link.ends;
    let back = view.faults.iter().find(|fault| fault.links.contains(&(to, from)));
    let is_back_cut = back.is_some_and(|fault| fault.kind == crate::cluster::view::FaultKind::Cut);
    let there = match () {
        () if from == CLIENTS => "requests",
        () if to == CLIENTS => "answers",
        () if link.copies.partitions > 0 => "records",
        () if link.from_controller => "metadata",
        () if link.asks.partitions > 0 => "fetches",
        () if link.to_controller => "heartbeats",
        () => "nothing yet",
    };
    let and_back = match () {
        () if from == CLIENTS => "answers",
        () if to == CLIENTS => "requests",
        () if link.copies.partitions > 0 => "fetches",
        () if link.from_controller => "heartbeats",
        () if link.asks.partitions > 0 => "records",
        () if link.to_controller => "metadata",
        () => "nothing yet",
    };
    let is_dead = |end: BrokerId| is_down(view, end);
    let (name, other) = (end_name(from, false), end_name(to, false));
    let cells = width(&name).max(width(&other)) + 2;
    for (end, text, x) in [(from, &name, area.x), (to, &other, area.right().saturating_sub(cells))] {
        let (glyph, role) = if is_dead(end) { (glyphs::DEAD, Role::Dead) } else { (glyphs::ALIVE, Role::Sync) };
        let text = format!("{glyph} {text}");
        pen.text(x, area.y, cells, &text, pen.theme.bold(role));
    }
    let line = Rect { x: area.x + cells + 1, width: area.width.saturating_sub(2 * cells + 2), ..area };
    let nobody = is_dead(from) || is_dead(to);
    arrow(pen, line, there, nobody || link.faults.is_stopped(), true);
    arrow(pen, Rect { y: line.y + 2, ..line }, and_back, nobody || is_back_cut, false);
}

/// `─── records ──►`, `◄── fetches ───`, with a cross where nothing gets through.
fn arrow(pen: &mut Pen<'_>, line: Rect, label: &str, is_stopped: bool, is_there: bool) {
    if line.width < width(label) + 6 {
        return;
    }
    let role = if is_stopped { Role::Dead } else { Role::Sync };
    let style = pen.theme.fg(role);
    pen.repeat(line.x, line.y, line.width, "─", style);
    let x = line.x + (line.width - width(label) - 2) / 2;
    pen.text(x, line.y, width(label) + 2, &format!(" {label} "), pen.theme.bold(role));
    let (head, at) = if is_there { ("►", line.right() - 1) } else { ("◄", line.x) };
    pen.text(at, line.y, 1, if is_stopped { glyphs::DEAD } else { head }, style);
}

/// `12 messages and 3.4 kB a second`.
fn passing(link: &LinkView) -> String {
    match link.traffic {
        None => "–".to_owned(),
        Some(traffic) => {
            let sum = |number: u64| number * 1_000 / traffic.over_ms.max(1);
            let size = format!("{} a second", bytes(sum(traffic.bytes)));
            match traffic.messages {
                Some(messages) => format!("{} and {size}", plural(sum(messages), "message")),
                None => size,
            }
        }
    }
}

/// What comes of it, in sentences; the worst is not the dimmest.
fn effects(view: &ClusterView, link: &LinkView) -> Vec<(String, Role)> {
    let (from, to) = link.ends;
    let mut told = Vec::new();
    let now = format!("Passes now: {}.", passing(link));
    let lost = match (link.lost, link.since_ms) {
        (0, _) => String::new(),
        (lost, Some(since)) => {
            let ago = span_ms(view.at_ms.saturating_sub(since));
            format!(" {} lost in {ago}.", plural(lost, "message"))
        }
        (lost, None) => format!(" {} lost.", plural(lost, "message")),
    };
    told.push((format!("{now}{lost}"), Role::Text));
    if from == CLIENTS || to == CLIENTS {
        return told;
    }
    if let Some(at_ms) = link.leaves_isr_at_ms {
        let (follower, leader, copies) =
            if link.copies.in_sync > 0 { (to, from, link.copies) } else { (from, to, link.asks) };
        let name = format!("replica.lag.time.max.ms = {}", round_span(link.lag_time_max_ms));
        let left = at_ms.saturating_sub(view.at_ms);
        let when = if left == 0 { "now".to_owned() } else { format!("in {}", span_ms(left)) };
        let of = plural(copies.in_sync.into(), "partition");
        let text = format!(
            "{follower} cannot fetch from {leader}, so it leaves the ISR of the {of} {leader} leads {when} ({name})."
        );
        told.push((text, Role::Lag));
    }
    for (copies, leader, follower) in [(link.copies, from, to), (link.asks, to, from)] {
        told.extend(copying(copies, leader, follower));
    }
    match (link.from_controller, link.to_controller) {
        (true, _) => told.push((format!("{from} is the controller: metadata passes here."), Role::Dim)),
        (_, true) => told.push((format!("{to} is the controller: {from}'s heartbeats pass here."), Role::Dim)),
        _ => {}
    }
    if told.len() == 1 {
        told.push((
            format!("Neither copies anything from the other, and neither of {from} and {to} is the controller."),
            Role::Dim,
        ));
    }
    told
}

fn copying(copies: Copies, leader: BrokerId, follower: BrokerId) -> Option<(String, Role)> {
    if copies.partitions == 0 {
        return None;
    }
    let all = plural(copies.partitions.into(), "partition");
    let (text, role) = if copies.in_sync == copies.partitions {
        (format!("{follower} follows {leader} in {all}, in sync in all."), Role::Dim)
    } else {
        let behind =
            if copies.behind > 0 { format!(", {} records behind", count(copies.behind)) } else { String::new() };
        (format!("{follower} follows {leader} in {all}, in sync in {}{behind}.", copies.in_sync), Role::Lag)
    };
    Some((text, role))
}

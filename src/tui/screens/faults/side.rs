//! The right side: what can be done to a broker, what it would do now, and the faults that act.
//!
//! Invariants: what is not known stands there in the colour of what waits, in words; a list that does not fit says how many are left out.

use super::{foretold, mark};
use crate::cluster::view::{ActiveFault, BrokerState, ClusterView, Point, PointKind, Weight};
use crate::tui::glyphs;
use crate::tui::keymap::key_for_command;
use crate::tui::model::{FaultsPane, Model};
use crate::tui::numbers::{count, plural, span_ms};
use crate::tui::overlays::palette;
use crate::tui::pen::{Pen, Piece, cut_middle, piece, width, wrap};
use crate::tui::theme::{Ground, Role, Theme};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Cells for a key and for its word.
const KEY_CELLS: u16 = 3;
const WORD_CELLS: u16 = 13;

/// The title of the broker's panel, and its facts.
pub(super) fn broker_title<'a>(
    model: &Model,
    view: &ClusterView,
    style: Style,
    theme: &Theme,
) -> ([Piece<'a>; 1], Vec<Piece<'a>>) {
    let card = view.brokers.iter().find(|card| Some(card.id) == model.cluster.broker);
    let name = card.map_or("No broker selected".to_owned(), |card| format!("Broker {}", card.id));
    let keys = if model.faults.pane == FaultsPane::Broker { "h l" } else { "Tab" };
    let facts = vec![piece(keys, theme.bold(Role::Focus)), piece(" other broker", theme.fg(Role::Dim))];
    ([piece(name, style)], facts)
}

/// The keys of a broker, each with what makes it different.
pub(super) fn actions(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, area: Rect) {
    let theme = pen.theme;
    let Some(card) = view.brokers.iter().find(|card| Some(card.id) == model.cluster.broker) else {
        pen.text(area.x, area.y, area.width, "Tab, then h and l choose one.", theme.fg(Role::Dim));
        return;
    };
    let chip = |text: &str| card.faults.iter().find(|chip| chip.text.starts_with(text));
    let is_frozen = card.state == BrokerState::Suspended;
    let short = |long: &str, short: &str| if area.width >= 44 { long.to_owned() } else { short.to_owned() };
    let (suspend, note) = if is_frozen {
        ("resume", short("goes on where it stood", "goes on"))
    } else {
        ("suspend", short("frozen, sockets stay open", "sockets stay open"))
    };
    let (restart, again) = if card.state.is_dead() {
        ("start", short("same id, port and log", "with its log"))
    } else {
        ("restart", short("clean stop, then start", "stop, then start"))
    };
    let slow = chip("+").filter(|_| view.faults.iter().any(|fault| fault.undo == format!("disk heal {}", card.id)));
    let full = chip("full").map_or("appends fail", |_| "full now: F heals it");
    let rows: [(&str, &str, String, bool); 8] = [
        ("K", "kill −9", short("process ends, cache stays", "the cache stays"), true),
        ("O", "power loss", short("unsynced records go too", "unsynced is lost"), true),
        ("S", suspend, note, true),
        ("R", restart, again, true),
        (
            "W",
            "slow disk",
            slow.map_or("each write +200 ms".into(), |chip| format!("each write {} now", chip.text)),
            false,
        ),
        ("F", "disk full", full.into(), false),
        ("C", "corrupt tail", short("flip a byte at the end", "flip a byte"), false),
        ("T", "clock skew", "+5 s, or behind".into(), false),
    ];
    let mut y = area.y;
    let is_easy = area.height >= 16;
    for (at, (key, word, note, ends)) in rows.into_iter().enumerate() {
        if y >= area.bottom() {
            return;
        }
        let dies = card.state.is_dead() && matches!(key, "K" | "O" | "S" | "F" | "W");
        let role = if ends && key != "R" { Role::Dead } else { Role::Focus };
        pen.text(area.x, y, KEY_CELLS, key, if dies { theme.fg(Role::Dim) } else { theme.bold(role) });
        let style = if dies { theme.fg(Role::Dim) } else { theme.bold(Role::Text) };
        pen.text(area.x + KEY_CELLS, y, WORD_CELLS, word, style);
        let x = area.x + KEY_CELLS + WORD_CELLS;
        pen.text(x, y, area.right().saturating_sub(x), &note, theme.fg(Role::Dim));
        y += 1 + u16::from(is_easy && at == 3);
    }
    y += u16::from(is_easy);
    if y + 1 < area.bottom() {
        forecast(pen, model, view, Rect { y, height: area.bottom() - y, ..area });
    }
}

/// `If you kill 3 now`.
fn question(line: &str) -> String {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "kill" | "suspend" | "restart" | "start" | "resume" | "stop" | "wipe" => format!("If you {verb} {rest} now"),
        "powerloss" => format!("If {rest} loses power now"),
        "disk" if rest.starts_with("full ") => format!("If the disk of {} fills now", &rest[5..]),
        _ => format!("If you do it now: {line}"),
    }
}

/// What the forecast's line would do, point by point, under its heading.
pub(super) fn forecast(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, area: Rect) {
    let theme = pen.theme;
    let Some(line) = foretold(model) else {
        pen.rule(area.x, area.right(), area.y, &[piece("If you do it now", theme.bold(Role::Text))], &[]);
        let text = "Choose a broker: this tells what killing it would do.";
        told(
            pen,
            &[piece(text, theme.fg(Role::Dim))],
            Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area },
        );
        return;
    };
    let does_it = model.armed.as_ref().and_then(|_| {
        let words = |count: usize| line.split(' ').take(count).collect::<Vec<_>>().join(" ");
        key_for_command(&words(2)).or_else(|| key_for_command(&words(1)))
    });
    let keys = match does_it {
        Some(key) => vec![piece(key, theme.bold(Role::Focus)), piece(" does it", theme.fg(Role::Dim))],
        None => Vec::new(),
    };
    pen.rule(area.x, area.right(), area.y, &[piece(question(&line), theme.bold(Role::Text))], &keys);
    let outlook = view.link_faults.as_ref().and_then(|faults| faults.outlook.as_ref());
    let mut y = area.y + 1;
    let Some(outlook) = outlook.filter(|outlook| outlook.line == line) else {
        let unknown = [piece(format!("{} not known", glyphs::ATTENTION), theme.fg(Role::Lag))];
        told(pen, &unknown, Rect { y, height: area.bottom().saturating_sub(y), ..area });
        return;
    };
    let room = usize::from(area.bottom().saturating_sub(y));
    // What is worst stays where there is no room for all.
    let mut points: Vec<&Point> = outlook.points.iter().collect();
    while points.len() > room.max(1) {
        let least = points.iter().enumerate().min_by_key(|(_, point)| weight(point.kind)).map_or(0, |(at, _)| at);
        points.remove(least);
    }
    for (at, point) in points.iter().enumerate() {
        let after = points.len() - at - 1;
        let rows = usize::from(area.bottom().saturating_sub(y)).saturating_sub(after).max(1);
        y = draw_point(pen, point, Rect { y, height: u16::try_from(rows).unwrap_or(1), ..area });
        if y >= area.bottom() {
            return;
        }
    }
}

/// How much a point matters, of 100.
fn weight(kind: PointKind) -> u8 {
    match kind {
        PointKind::Offline | PointKind::NoQuorum => 100,
        PointKind::Said(Weight::Refused | Weight::Severe) => 95,
        PointKind::BelowMin => 90,
        PointKind::AtRisk => 80,
        PointKind::Unknown => 70,
        PointKind::NewLeader => 60,
        PointKind::Said(Weight::Notice) => 50,
        PointKind::Quorum => 40,
        PointKind::FewerCopies => 30,
        PointKind::Said(Weight::Harmless) => 10,
    }
}

fn draw_point(pen: &mut Pen<'_>, point: &Point, area: Rect) -> u16 {
    let theme = *pen.theme;
    let (glyph, role, text) = match point.kind {
        PointKind::NewLeader => (glyphs::LEADER, Role::Lead, Role::Text),
        PointKind::Offline | PointKind::NoQuorum => (glyphs::DEAD, Role::Dead, Role::Dead),
        PointKind::BelowMin | PointKind::AtRisk => (glyphs::ATTENTION, Role::Lag, Role::Text),
        PointKind::FewerCopies => (glyphs::OUT_OF_SYNC, Role::Lag, Role::Text),
        PointKind::Quorum => (glyphs::CONTROLLER, Role::Lead, Role::Text),
        PointKind::Unknown => (glyphs::ATTENTION, Role::Lag, Role::Lag),
        PointKind::Said(weight) => {
            let (role, glyph) = palette::weight(weight);
            (glyph, role, role)
        }
    };
    let number = point.count.map(|number| format!("{} ", count(number))).unwrap_or_default();
    let head = 2 + width(&number);
    pen.text(area.x, area.y, 2, glyph, theme.bold(role));
    pen.text(area.x + 2, area.y, head, &number, theme.bold(role));
    let lines = wrap(&point.text, area.width.saturating_sub(head));
    let rows = usize::from(area.height);
    let mut y = area.y;
    for line in lines.iter().take(rows) {
        pen.text(area.x + head, y, area.width.saturating_sub(head), line, theme.fg(text));
        y += 1;
    }
    y.max(area.y + 1)
}

fn told(pen: &mut Pen<'_>, text: &[Piece<'_>; 1], area: Rect) {
    for (y, line) in (area.y..area.bottom()).zip(wrap(&text[0].0, area.width)) {
        pen.text(area.x, y, area.width, &line, text[0].1);
    }
}

/// The fault that is chosen in the list.
pub fn listed<'a>(model: &Model, view: &'a ClusterView) -> Option<&'a ActiveFault> {
    let chosen = model.faults.fault.as_ref();
    let known = chosen.and_then(|text| view.faults.iter().find(|fault| fault.text == *text));
    known.or(view.faults.first())
}

/// The first fault in view, and how many are: the chosen one is among them.
pub(super) fn window(model: &Model, view: &ClusterView, rows: u16) -> (usize, usize) {
    let (all, rows) = (view.faults.len(), usize::from(rows));
    if all <= rows {
        return (0, all);
    }
    let shown = rows.saturating_sub(1).max(1);
    let chosen = listed(model, view).map_or("", |fault| fault.text.as_str());
    let place = view.faults.iter().position(|fault| fault.text == chosen).unwrap_or(0);
    ((place + 1).saturating_sub(shown), shown)
}

/// The faults that act, the newest first.
pub(super) fn active(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, area: Rect) {
    let theme = *pen.theme;
    if view.faults.is_empty() {
        pen.text(area.x, area.y, area.width, "none: every link and every broker works", theme.fg(Role::Dim));
        return;
    }
    let (skip, shown) = window(model, view, area.height);
    let chosen = listed(model, view).filter(|_| model.faults.pane == FaultsPane::Active).map(|fault| &fault.text);
    let mut y = area.y;
    for fault in view.faults.iter().skip(skip).take(shown) {
        if chosen == Some(&fault.text) {
            let left = area.x.saturating_sub(1);
            pen.ground(Rect { x: left, y, width: area.right() - left, height: 1 }, Ground::Sel);
            pen.text(left, y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
        }
        let (glyph, role) = mark(fault.kind);
        pen.text(area.x, y, 2, glyph, theme.bold(role));
        let ago = format!("{} ago", span_ms(view.at_ms.saturating_sub(fault.since_ms)));
        let until = pen.right(area.x + 2, area.right(), y, &ago, theme.fg(Role::Dim));
        let cells = until.saturating_sub(area.x + 3);
        pen.text(area.x + 2, y, cells, &cut_middle(&fault.text, cells), theme.fg(Role::Text));
        y += 1;
    }
    let hidden = view.faults.len() - shown;
    if hidden > 0 && y < area.bottom() {
        pen.text(area.x, y, area.width, &format!("and {} more", plural(hidden as u64, "fault")), theme.fg(Role::Dim));
        return;
    }
    if y + 2 < area.bottom() {
        let keys =
            [piece("Save what was done as a demo: ", theme.fg(Role::Dim)), piece(":save", theme.bold(Role::Focus))];
        pen.pieces(area.x, y + 1, area.width, &keys);
        if let Some(world) = view.host.world {
            let text = [
                piece("Seed ", theme.fg(Role::Dim)),
                piece(world.seed.to_string(), theme.bold(Role::Text)),
                piece(" replays it exactly.", theme.fg(Role::Dim)),
            ];
            pen.pieces(area.x, y + 2, area.width, &text);
        }
    }
}

//! The ladder of the Wire screen: a lifeline for each client and broker, an arrow for each message, time downwards.
//!
//! Invariants: an arrow starts where the message was sent; what is still under way stands as a chip at the place that it has reached;
//! silence and what is hidden is one line. The newest message is shown unless another one is chosen.
//!
//! Deliberately not here: which messages there are (the host), and what one of them says (`decode`).

use super::chosen;
use crate::cluster::view::{
    BrokerId, ClusterView, QuorumRole, TimelineEvent, WireEnd, WireMessage, WireState, WireView,
};
use crate::tui::glyphs;
use crate::tui::model::Model;
use crate::tui::numbers::span_ms;
use crate::tui::pen::{Pen, cut_middle, width};
use crate::tui::theme::{Ground, Role};
use crate::tui::widgets::mark;
use ratatui::layout::Rect;

/// Cells for the time of a row.
const TIME_CELLS: u16 = 8;
/// A lifeline has at least so many cells for itself.
const LANE_CELLS: u16 = 13;
/// Most lifelines that are drawn.
const LANES_MAX: usize = 6;
/// Silence that is told, in microseconds.
const SILENCE_US: u64 = 250_000;
/// What stands for the clients that have no lifeline of their own.
const OTHERS: &str = "others";

/// A row of the ladder.
enum Row<'a> {
    Message(&'a WireMessage),
    /// So many microseconds without a message that is shown, and so many that are hidden.
    Gap(u64, u32),
    Event(&'a TimelineEvent),
}

/// The lifelines, left to right.
struct Lanes {
    ends: Vec<WireEnd>,
    first_x: u16,
    step: u16,
    /// What makes the host's time wall time, in microseconds; nothing in a simulated world.
    shift_us: i64,
}

impl Lanes {
    fn of(view: &ClusterView, messages: &[WireMessage], area: Rect) -> Lanes {
        let room = area.width.saturating_sub(TIME_CELLS + 2);
        let most = usize::from(room / LANE_CELLS).clamp(2, LANES_MAX);
        let uses = |end: &WireEnd| messages.iter().filter(|message| message.from == *end || message.to == *end).count();
        let mut clients: Vec<WireEnd> = Vec::new();
        for end in messages.iter().flat_map(|message| [&message.from, &message.to]) {
            if matches!(end, WireEnd::Client(_)) && !clients.contains(end) {
                clients.push(end.clone());
            }
        }
        clients.sort_by_key(|end| (usize::MAX - uses(end), end.clone()));
        let mut brokers: Vec<WireEnd> = view.brokers.iter().map(|card| WireEnd::Broker(card.id)).collect();
        brokers.sort_by_key(|end| (usize::MAX - uses(end), end.clone()));
        brokers.truncate(most - usize::from(!clients.is_empty()));
        let room_for_clients = most - brokers.len();
        if clients.len() > room_for_clients {
            clients.truncate(room_for_clients.saturating_sub(1));
            clients.push(WireEnd::Client(OTHERS.into()));
        }
        clients.sort();
        brokers.sort();
        let ends: Vec<WireEnd> = clients.into_iter().chain(brokers).collect();
        let step = room / u16::try_from(ends.len().max(1)).unwrap_or(1);
        let shift_us = match view.host.world {
            Some(_) => 0,
            None => (view.wall_ms - i64::try_from(view.at_ms).unwrap_or(0)) * 1_000,
        };
        Lanes { ends, first_x: area.x + TIME_CELLS + step / 2, step, shift_us }
    }

    /// `29.084`: seconds of the minute, since rows are close together.
    fn time(&self, us: u64) -> String {
        let us = us.saturating_add_signed(self.shift_us);
        format!("{:02}.{:03}", us / 1_000_000 % 60, us / 1_000 % 1_000)
    }

    /// The column of an end's lifeline, if it has one.
    fn x(&self, end: &WireEnd) -> Option<u16> {
        let others = WireEnd::Client(OTHERS.into());
        let is_client = matches!(end, WireEnd::Client(_));
        let place = self.ends.iter().position(|lane| lane == end);
        let place = place.or_else(|| self.ends.iter().position(|lane| is_client && *lane == others))?;
        Some(self.first_x + self.step * u16::try_from(place).unwrap_or(0))
    }
}

/// What of the ladder stands where.
struct Placed<'a> {
    lanes: Lanes,
    rows: Vec<Row<'a>>,
    /// The first row that is shown.
    first: usize,
    list: Rect,
    /// Rows below it for what follows.
    after: u16,
}

impl<'a> Placed<'a> {
    fn of(model: &Model, view: &'a ClusterView, wire: &'a WireView, area: Rect) -> Placed<'a> {
        let lanes = Lanes::of(view, &wire.messages, area);
        let rows = rows(view, wire, &lanes);
        let follows = model.wire.selected.is_none_or(|id| wire.messages.last().is_some_and(|last| last.id == id));
        let foretold = u16::try_from(wire.following.len()).unwrap_or(u16::MAX);
        let after = if follows && foretold > 0 { (area.height / 3).min(1 + foretold) } else { 0 };
        let list = Rect { y: area.y + 1, height: area.height.saturating_sub(1 + after), ..area };
        let chosen = chosen(model, wire).map(|message| message.id);
        let place = rows.iter().position(|row| matches!(row, Row::Message(message) if Some(message.id) == chosen));
        let room = usize::from(list.height);
        let last = rows.len().saturating_sub(room);
        let first = if follows { last } else { place.unwrap_or(0).saturating_sub(room / 2).min(last) };
        Placed { lanes, rows, first, list, after }
    }
}

/// The message in a row of the screen.
pub(super) fn message_at(model: &Model, view: &ClusterView, wire: &WireView, area: Rect, y: u16) -> Option<u64> {
    let placed = Placed::of(model, view, wire, area);
    let row = y.checked_sub(placed.list.y).filter(|row| *row < placed.list.height)?;
    match placed.rows.get(placed.first + usize::from(row))? {
        Row::Message(message) => Some(message.id),
        Row::Gap(..) | Row::Event(_) => None,
    }
}

/// Draws it: who takes part, what was sent, and below the `now` rule what follows.
pub(super) fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, wire: &WireView, area: Rect) {
    let placed = Placed::of(model, view, wire, area);
    let Placed { lanes, rows, first, list, after } = &placed;
    heads(pen, view, lanes, area);
    let chosen = chosen(model, wire).map(|message| message.id);
    for y in list.y..list.bottom() {
        lifelines(pen, view, lanes, y);
    }
    for (y, row) in (list.y..list.bottom()).zip(rows.iter().skip(*first)) {
        let cells = Rect { y, height: 1, ..*list };
        match row {
            Row::Message(message) => {
                if Some(message.id) == chosen {
                    pen.ground(cells, Ground::Sel);
                    pen.text(area.x.saturating_sub(1), y, 1, glyphs::SELECTED, pen.theme.fg(Role::Focus));
                }
                arrow(pen, wire, lanes, message, cells, None);
            }
            Row::Gap(silence_us, hidden) => gap(pen, *silence_us, *hidden, cells),
            Row::Event(event) => chip(pen, lanes, event, cells),
        }
    }
    if *after > 0 {
        let used = u16::try_from(rows.len().saturating_sub(*first)).unwrap_or(list.height).min(list.height);
        following(pen, view, wire, lanes, Rect { y: list.y + used, height: *after, ..area });
    }
    if wire.messages.is_empty() {
        let text = "No message fits. z shows all, / changes the filter.";
        pen.text(area.x + 2, area.y + area.height / 2, area.width, text, pen.theme.fg(Role::Dim));
    }
}

fn rows<'a>(view: &'a ClusterView, wire: &'a WireView, lanes: &Lanes) -> Vec<Row<'a>> {
    let Some(first) = wire.messages.first() else { return Vec::new() };
    let from_ms = first.sent_us / 1_000;
    let of_brokers = |event: &&TimelineEvent| event.at_ms >= from_ms && event.broker.is_some();
    let mut events = view.timeline.events.iter().filter(of_brokers).peekable();
    let mut rows = Vec::new();
    let (mut before_us, mut hidden) = (first.sent_us, 0);
    for message in &wire.messages {
        while let Some(event) = events.next_if(|event| event.at_ms * 1_000 <= message.sent_us) {
            rows.push(Row::Event(event));
        }
        hidden += message.hidden_before;
        if lanes.x(&message.from).is_none() || lanes.x(&message.to).is_none() {
            hidden += 1;
            continue;
        }
        let silence_us = message.sent_us.saturating_sub(before_us);
        if silence_us >= SILENCE_US {
            rows.push(Row::Gap(silence_us, hidden));
        }
        hidden = 0;
        rows.push(Row::Message(message));
        before_us = message.sent_us;
    }
    rows.extend(events.map(Row::Event));
    rows
}

fn heads(pen: &mut Pen<'_>, view: &ClusterView, lanes: &Lanes, area: Rect) {
    for end in &lanes.ends {
        let Some(x) = lanes.x(end) else { continue };
        let (text, role) = match end {
            WireEnd::Client(name) => (format!("▸ {name}"), Role::Client),
            WireEnd::Broker(id) => {
                let is_dead = is_dead(view, *id);
                let card = view.brokers.iter().find(|card| card.id == *id);
                let is_controller = card.is_some_and(|card| card.quorum == QuorumRole::Controller);
                let star = if is_controller { format!(" {}", glyphs::CONTROLLER) } else { String::new() };
                let glyph = if is_dead { glyphs::DEAD } else { glyphs::ALIVE };
                let role = match (is_dead, is_controller) {
                    (true, _) => Role::Dead,
                    (false, true) => Role::Lead,
                    (false, false) => Role::Sync,
                };
                (format!("{glyph} broker {id}{star}"), role)
            }
        };
        let text = cut_middle(&text, lanes.step.saturating_sub(1)).into_owned();
        let start = (x + 1).saturating_sub(width(&text).div_ceil(2)).max(area.x);
        pen.text(start, area.y, lanes.step, &text, pen.theme.bold(role));
    }
}

fn is_dead(view: &ClusterView, id: BrokerId) -> bool {
    view.brokers.iter().any(|card| card.id == id && card.state.is_dead())
}

fn lifelines(pen: &mut Pen<'_>, view: &ClusterView, lanes: &Lanes, y: u16) {
    for end in &lanes.ends {
        let Some(x) = lanes.x(end) else { continue };
        let is_dead = matches!(end, WireEnd::Broker(id) if is_dead(view, *id));
        let (glyph, role) = if is_dead { ("┊", Role::DeadLow) } else { ("│", Role::Line) };
        pen.text(x, y, 1, glyph, pen.theme.fg(role));
    }
}

pub(super) fn role_of(message: &WireMessage) -> Role {
    match (&message.from, &message.to) {
        _ if message.error.is_some() || matches!(message.state, WireState::Dropped(..)) => Role::Dead,
        (WireEnd::Client(_), _) | (_, WireEnd::Client(_)) => Role::Client,
        _ if matches!(message.api, "Vote" | "BeginQuorumEpoch" | "EndQuorumEpoch" | "AlterPartition") => Role::Lead,
        _ => Role::Sync,
    }
}

/// A message from its sender's lifeline to its receiver's; with a `faint` time it has not happened yet.
fn arrow(pen: &mut Pen<'_>, wire: &WireView, lanes: &Lanes, message: &WireMessage, row: Rect, faint: Option<&str>) {
    let (Some(from), Some(to)) = (lanes.x(&message.from), lanes.x(&message.to)) else { return };
    let theme = pen.theme;
    let role = if faint.is_some() { Role::Faint } else { role_of(message) };
    let when = faint.map_or_else(|| lanes.time(message.sent_us), str::to_owned);
    pen.text(row.x, row.y, TIME_CELLS - 1, &when, theme.fg(Role::Faint));
    let (left, right) = (from.min(to) + 1, from.max(to));
    let cells = right.saturating_sub(left);
    if cells < 4 {
        return;
    }
    let is_right = to > from;
    let (head_x, head) = if is_right { (right - 1, "►") } else { (left, "◄") };
    let label = label(message, cells.saturating_sub(5));
    let label_x = if is_right { left + 1 } else { right.saturating_sub(1 + width(&label)) };
    let text_role = if matches!(role, Role::Dead | Role::Faint) { role } else { Role::Text };
    if faint.is_none() && message.state.is_under_way() {
        return under_way(pen, wire, message, (left, right, is_right), row);
    }
    pen.repeat(left, row.y, cells, "─", theme.fg(role));
    match message.state {
        WireState::Dropped(_, why) if faint.is_none() => {
            let x = if is_right { right.saturating_sub(2) } else { left + 1 };
            pen.repeat(if is_right { x } else { left }, row.y, 2, " ", theme.fg(Role::Line));
            pen.text(x, row.y, 1, glyphs::DEAD, theme.bold(Role::Dead));
            let room = row.right().saturating_sub(right + 1);
            if width(why) < room {
                pen.right(right + 1, row.right(), row.y, why, theme.fg(Role::Dead));
            }
        }
        _ => _ = pen.text(head_x, row.y, 1, head, theme.fg(role)),
    }
    pen.text(label_x, row.y, width(&label), &label, theme.fg(text_role));
}

/// ` Produce orders-0 `, as short as it has to be: without the offset, without the topic.
fn label(message: &WireMessage, cells: u16) -> String {
    let full: &str = &message.summary;
    let no_offset = full.split(" @").next().unwrap_or(full);
    // A number alone says nothing.
    let brief = no_offset.replace("records", "rec").replace("record", "rec");
    let starts_with_number = no_offset.starts_with(|first: char| first.is_ascii_digit());
    let no_topic = if starts_with_number { &brief } else { no_offset.split(' ').next().unwrap_or(no_offset) };
    let short = [full, no_offset, no_topic].into_iter().find(|text| width(text) <= cells);
    format!(" {} ", short.map_or_else(|| cut_middle(no_topic, cells.max(1)).into_owned(), str::to_owned))
}

/// The chip itself travels; dots are the way that is left.
fn under_way(
    pen: &mut Pen<'_>,
    wire: &WireView,
    message: &WireMessage,
    (left, right, is_right): (u16, u16, bool),
    row: Rect,
) {
    let theme = pen.theme;
    let role = role_of(message);
    let cells = right.saturating_sub(left);
    let label = label(message, cells.saturating_sub(4));
    let chip = if is_right { format!("{label}►") } else { format!("◄{label}") };
    let room = cells.saturating_sub(width(&chip));
    let gone = match message.state {
        WireState::InFlight(Some(at_us)) => {
            let way = at_us.saturating_sub(message.sent_us).max(1);
            let gone = wire.at_us.saturating_sub(message.sent_us).min(way);
            u16::try_from(u64::from(room) * gone / way).unwrap_or(room)
        }
        _ => room / 2,
    };
    let x = if is_right { left + gone } else { left + room - gone };
    let (behind, ahead) = if is_right { ("─", "·") } else { ("·", "─") };
    pen.repeat(left, row.y, x - left, behind, theme.fg(role));
    let after = pen.text(x, row.y, width(&chip), &chip, theme.chip(role));
    pen.repeat(after, row.y, right.saturating_sub(after), ahead, theme.fg(role));
    if message.state == WireState::Held {
        pen.right(row.x, row.right(), row.y, "held", theme.bold(Role::Lag));
    }
}

fn gap(pen: &mut Pen<'_>, silence_us: u64, hidden: u32, row: Rect) {
    let style = pen.theme.fg(Role::Faint);
    let hidden = if hidden > 0 { format!(" · {hidden} not shown") } else { String::new() };
    let text = format!(" {}{hidden} ", span_ms(silence_us / 1_000));
    pen.repeat(row.x, row.y, row.width, "╌", style);
    let start = row.x + row.width.saturating_sub(width(&text)) / 2;
    pen.text(start, row.y, row.width, &text, style);
}

/// Something that happened to a broker, on its lifeline.
fn chip(pen: &mut Pen<'_>, lanes: &Lanes, event: &TimelineEvent, row: Rect) {
    let Some(x) = event.broker.and_then(|broker| lanes.x(&WireEnd::Broker(broker))) else { return };
    let mark = mark::event(event.kind);
    let room = (row.right().saturating_sub(x)).saturating_mul(2).min(row.width.saturating_sub(TIME_CELLS)).max(8);
    let text = format!(" {} {} ", mark.glyph, cut_middle(&event.text, room.saturating_sub(4)));
    pen.text(row.x, row.y, TIME_CELLS - 1, &lanes.time(event.at_ms * 1_000), pen.theme.fg(Role::Faint));
    let start = x.saturating_sub(width(&text) / 2).max(row.x + TIME_CELLS);
    let start = start.min(row.right().saturating_sub(width(&text)));
    pen.text(start, row.y, width(&text), &text, pen.theme.chip(mark.role));
}

fn following(pen: &mut Pen<'_>, view: &ClusterView, wire: &WireView, lanes: &Lanes, area: Rect) {
    let theme = pen.theme;
    pen.repeat(area.x, area.y, area.width, "─", theme.fg(Role::Lag));
    let chip = " now ";
    let text = " below: what will follow if nothing else fails ";
    let start = area.x + area.width.saturating_sub(width(chip) + width(text)) / 2;
    let at = pen.text(start, area.y, width(chip), chip, theme.chip(Role::Lag));
    pen.text(at, area.y, area.right().saturating_sub(at), text, theme.fg(Role::Dim));
    for (y, message) in (area.y + 1..area.bottom()).zip(&wire.following) {
        lifelines(pen, view, lanes, y);
        let in_us = message.sent_us.saturating_sub(wire.at_us);
        let when = format!("+{}.{} ms", in_us / 1_000, in_us / 100 % 10);
        let when = if width(&when) < TIME_CELLS { when } else { "soon".to_owned() };
        arrow(pen, wire, lanes, message, Rect { y, height: 1, ..area }, Some(&when));
    }
}

//! The Wire screen: a ladder of the messages among clients, brokers and controllers, and what the chosen one says.
//!
//! ```text
//!          ▸ orders-app  ● broker 1 ★  ✕ broker 2   │ Produce v12 ──────── 118 bytes
//!  29.084       │─ Produce orders-0 ─────────►│     │ ► orders-app → broker 2
//!  29.086       │            │◄─ 6 records ───│     │ RequestApiKey   0
//!  ──────────────── now: below, what will follow ── │ 0000 00 00 00 72  ...r
//! ```
//! Invariants: an arrow starts where the message was sent; what is still under way stands as a chip at the place that it has reached;
//! silence and what is hidden is one line. The list follows the newest message until one is chosen.
//!
//! Deliberately not here: the contents of a message (`decode`), and which messages there are (the host).

mod decode;

use crate::cluster::view::{
    BrokerId, ClusterView, QuorumRole, TimelineEvent, WireEnd, WireMessage, WireState, WireView,
};
use crate::tui::draw::filter_hint;
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Height, Width};
use crate::tui::model::Model;
use crate::tui::numbers::span_ms;
use crate::tui::pen::{Pen, cut_middle, piece, width};
use crate::tui::theme::{Ground, Role};
use crate::tui::widgets::hints::{HintRow, space};
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
        Lanes { ends, first_x: area.x + TIME_CELLS + step / 2, step }
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

/// How many rows the ladder has for messages.
pub fn rows_in_view(frame: Frame) -> usize {
    usize::from(frame.body.height.saturating_sub(if frame.height > Height::Short { 4 } else { 2 }))
}

/// Draws the screen into the frame's body.
pub fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let body = frame.body;
    let Some(wire) = &view.wire else {
        let text = "Messages are recorded in simulated worlds only: kafkarium up --sim.";
        pen.text(body.x + 2, body.y + body.height / 2, body.width, text, pen.theme.fg(Role::Dim));
        return;
    };
    if frame.width < Width::Medium {
        let inside = Rect { x: body.x + 1, width: body.width.saturating_sub(2), ..body };
        if model.wire.on_detail {
            decode::draw(pen, model, wire, inside);
        } else {
            ladder(pen, model, view, wire, inside);
        }
        return;
    }
    let right = (body.width / 3).clamp(36, 56);
    let left = Rect { width: body.width - right - 1, ..body };
    let side = Rect { x: left.right() + 1, width: right, ..body };
    let border = |is_focused| pen.theme.fg(if is_focused { Role::Focus } else { Role::Line });
    let (ladder_border, side_border) = (border(!model.wire.on_detail), border(model.wire.on_detail));
    let title = [piece("Messages", pen.theme.bold(if model.wire.on_detail { Role::Text } else { Role::Focus }))];
    let facts = [piece(filter_text(model, wire), pen.theme.fg(Role::Dim))];
    let inside = pen.frame(left, ladder_border, false, &title, &facts);
    ladder(pen, model, view, wire, Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside });
    let (title, facts) = decode::titles(wire);
    let title = [piece(title, pen.theme.bold(if model.wire.on_detail { Role::Focus } else { Role::Text }))];
    let facts = [piece(facts, pen.theme.fg(Role::Dim))];
    let inside = pen.frame(side, side_border, false, &title, &facts);
    decode::draw(pen, model, wire, Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside });
}

fn filter_text(model: &Model, wire: &WireView) -> String {
    let shown = wire.messages.len();
    let routine = if model.wire.routine { "" } else { "   heartbeats and empty fetches hidden" };
    match &model.wire.filter[..] {
        "" => format!("{shown} of {}{routine}", wire.recorded),
        filter => format!("/{filter}   {shown} of {}", wire.recorded),
    }
}

fn ladder(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, wire: &WireView, area: Rect) {
    let lanes = Lanes::of(view, &wire.messages, area);
    heads(pen, view, &lanes, area);
    let rows = rows(view, wire, &lanes);
    let follows = model.wire.selected.is_none_or(|id| wire.messages.last().is_some_and(|last| last.id == id));
    let after =
        if follows && !wire.following.is_empty() { (area.height / 3).min(1 + wire.following.len() as u16) } else { 0 };
    let list = Rect { y: area.y + 1, height: area.height.saturating_sub(1 + after), ..area };
    let chosen = chosen(model, wire).map(|message| message.id);
    let place = rows.iter().position(|row| matches!(row, Row::Message(message) if Some(message.id) == chosen));
    let room = usize::from(list.height);
    let last = rows.len().saturating_sub(room);
    let first = if follows { last } else { place.unwrap_or(0).saturating_sub(room / 2).min(last) };
    for y in list.y..list.bottom() {
        lifelines(pen, view, &lanes, y);
    }
    for (y, row) in (list.y..list.bottom()).zip(rows.iter().skip(first)) {
        match row {
            Row::Message(message) => {
                if Some(message.id) == chosen {
                    pen.ground(Rect { y, height: 1, ..list }, Ground::Sel);
                    pen.text(area.x.saturating_sub(1), y, 1, glyphs::SELECTED, pen.theme.fg(Role::Focus));
                }
                arrow(pen, view, &lanes, message, Rect { y, height: 1, ..list }, None);
            }
            Row::Gap(silence_us, hidden) => gap(pen, *silence_us, *hidden, Rect { y, height: 1, ..list }),
            Row::Event(event) => chip(pen, &lanes, event, Rect { y, height: 1, ..list }),
        }
    }
    if after > 0 {
        let used = u16::try_from(rows.len().saturating_sub(first)).unwrap_or(list.height).min(list.height);
        following(pen, view, wire, &lanes, Rect { y: list.y + used, height: after, ..area });
    }
    if wire.messages.is_empty() {
        let text = "No message fits. z shows all, / changes the filter.";
        pen.text(area.x + 2, area.y + area.height / 2, area.width, text, pen.theme.fg(Role::Dim));
    }
}

/// The message that is looked at: the chosen one, else the newest.
pub fn chosen<'a>(model: &Model, wire: &'a WireView) -> Option<&'a WireMessage> {
    let id = model.wire.selected;
    id.and_then(|id| wire.messages.iter().find(|message| message.id == id)).or(wire.messages.last())
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

/// `29.084`: seconds of the minute, since rows are close together.
fn time(us: u64) -> String {
    format!("{:02}.{:03}", us / 1_000_000 % 60, us / 1_000 % 1_000)
}

fn role_of(message: &WireMessage) -> Role {
    match (&message.from, &message.to) {
        _ if message.error.is_some() || matches!(message.state, WireState::Dropped(..)) => Role::Dead,
        (WireEnd::Client(_), _) | (_, WireEnd::Client(_)) => Role::Client,
        _ if matches!(message.api, "Vote" | "BeginQuorumEpoch" | "EndQuorumEpoch" | "AlterPartition") => Role::Lead,
        _ => Role::Sync,
    }
}

/// A message from its sender's lifeline to its receiver's; with a `faint` time it has not happened yet.
fn arrow(pen: &mut Pen<'_>, view: &ClusterView, lanes: &Lanes, message: &WireMessage, row: Rect, faint: Option<&str>) {
    let (Some(from), Some(to)) = (lanes.x(&message.from), lanes.x(&message.to)) else { return };
    let theme = pen.theme;
    let role = if faint.is_some() { Role::Faint } else { role_of(message) };
    let when = faint.map_or_else(|| time(message.sent_us), str::to_owned);
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
        return under_way(pen, view, message, (left, right, is_right), row);
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
    view: &ClusterView,
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
    let now_us = view.at_ms * 1_000;
    let gone = match message.state {
        WireState::InFlight(Some(at_us)) => {
            let way = at_us.saturating_sub(message.sent_us).max(1);
            let gone = now_us.saturating_sub(message.sent_us).min(way);
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
    pen.text(row.x, row.y, TIME_CELLS - 1, &time(event.at_ms * 1_000), pen.theme.fg(Role::Faint));
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
        let in_us = message.sent_us.saturating_sub(view.at_ms * 1_000);
        let when = format!("+{}.{} ms", in_us / 1_000, in_us / 100 % 10);
        let when = if width(&when) < TIME_CELLS { when } else { "soon".to_owned() };
        arrow(pen, view, lanes, message, Rect { y, height: 1, ..area }, Some(&when));
    }
}

/// The row of keys, or the filter while it is typed.
pub fn hints(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    if let Some(input) = &model.wire.filter_input {
        let found = view.wire.as_ref().map_or(0, |wire| wire.messages.len());
        return filter_hint(pen, input, found, " show all   API, broker, client, error; ! inverts", frame);
    }
    let row = HintRow::begin(pen, frame);
    let (on_detail, can) = (model.wire.on_detail, view.host.can);
    row.keys(
        pen,
        &[
            ("j k", if on_detail { "field" } else { "message" }, true),
            (glyphs::ENTER, if on_detail { "messages" } else { "decode" }, true),
            (".", "step", can.step),
            ("x", "drop, delay, hold", can.faults),
            ("/", "filter", true),
            ("z", if model.wire.routine { "hide routine" } else { "show all" }, true),
            ("Space", space(view), can.pause),
            ("G", "newest", model.wire.selected.is_some()),
            ("Esc", "back", true),
        ],
    );
}

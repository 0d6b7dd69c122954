//! The Wire screen: a ladder of the messages among clients, brokers and controllers, and what the chosen one says.
//!
//! ```text
//!          ▸ orders-app  ● broker 1 ★  ✕ broker 2   │ Produce v12 ──────── 118 bytes
//!  29.084       │─ Produce orders-0 ─────────►│     │ ► orders-app → broker 2
//!  29.086       │            │◄─ 6 records ───│     │ RequestApiKey   0
//!  ──────────────── now: below, what will follow ── │ 0000 00 00 00 72  ...r
//! ```
//! Invariants: what is drawn and what is clicked are laid out by the same function; with no message chosen the host's choice is looked at
//! (the next to arrive while time stands still, else the newest).
//!
//! Deliberately not here: the ladder (`ladder`), the contents of a message (`decode`), and which messages there are (the host).

mod decode;
mod ladder;

use crate::cluster::view::{ClockMode, ClusterView, WireMessage, WireState, WireView};
use crate::tui::draw::filter_hint;
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Height, Width};
use crate::tui::model::Model;
use crate::tui::numbers::{count, span_ms};
use crate::tui::pen::{Pen, cut_middle, piece};
use crate::tui::theme::Role;
use crate::tui::widgets::hints::{HintRow, space};
use ratatui::layout::{Margin, Rect};

/// Rows of the panel of what is in flight, its border included.
const FLIGHT_ROWS: u16 = 4;

/// What stands where: insides of panels, one cell in from their borders.
struct Panes {
    /// The ladder's panel and its inside, unless the fields are shown alone.
    ladder: Option<(Rect, Rect)>,
    /// What is in flight.
    flight: Option<(Rect, Rect)>,
    /// The fields, unless the ladder is shown alone.
    detail: Option<(Rect, Rect)>,
}

impl Panes {
    fn of(model: &Model, view: &ClusterView, wire: &WireView, frame: Frame) -> Panes {
        let body = frame.body;
        let narrow = |area: Rect| (area, Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area });
        let framed = |area: Rect| (area, area.inner(Margin::new(2, 1)));
        let has_flight = !matches!(view.clock, ClockMode::Live { .. }) || !wire.breaks.is_empty();
        if frame.width < Width::Medium || frame.height < Height::Middle {
            let rows = u16::from(has_flight && !model.wire.on_detail);
            let (list, flight) = split_below(body, rows);
            return match model.wire.on_detail {
                true => Panes { ladder: None, flight: None, detail: Some(narrow(body)) },
                false => Panes { ladder: Some(narrow(list)), flight: flight.map(narrow), detail: None },
            };
        }
        let right = (body.width / 3).clamp(36, 56);
        let left = Rect { width: body.width - right - 1, ..body };
        let side = Rect { x: left.right() + 1, width: right, ..body };
        let (list, flight) = split_below(left, if has_flight { FLIGHT_ROWS } else { 0 });
        Panes { ladder: Some(framed(list)), flight: flight.map(framed), detail: Some(framed(side)) }
    }
}

/// An area without its last rows, and these, if there are any.
fn split_below(area: Rect, rows: u16) -> (Rect, Option<Rect>) {
    let above = Rect { height: area.height.saturating_sub(rows), ..area };
    let below = Rect { y: above.bottom(), height: rows, ..area };
    (above, (rows > 0).then_some(below))
}

/// How many rows the ladder has for messages.
pub fn rows_in_view(frame: Frame) -> usize {
    usize::from(frame.body.height.saturating_sub(if frame.height > Height::Short { 4 } else { 2 }))
}

/// What stands at a cell of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// A message, by its number.
    Message(u64),
    /// A field of the message, by its place.
    Field(usize),
    /// The panel of fields.
    Detail,
    /// Nothing of the screen's own.
    Nothing,
}

/// What stands at a cell.
pub fn hit(model: &Model, view: &ClusterView, frame: Frame, x: u16, y: u16) -> Hit {
    let Some(wire) = &view.wire else { return Hit::Nothing };
    let panes = Panes::of(model, view, wire, frame);
    let is_in = |pane: Option<(Rect, Rect)>| pane.filter(|(outside, _)| outside.contains((x, y).into()));
    if let Some((_, inside)) = is_in(panes.ladder) {
        return ladder::message_at(model, view, wire, inside, y).map_or(Hit::Nothing, Hit::Message);
    }
    if let Some((_, inside)) = is_in(panes.flight) {
        let first = inside.y;
        let place = y.checked_sub(first).map(usize::from);
        let message = place.and_then(|place| in_flight(wire).into_iter().nth(place));
        return message.map_or(Hit::Nothing, |message| Hit::Message(message.id));
    }
    match is_in(panes.detail) {
        Some((_, inside)) => decode::field_at(model, wire, inside, x, y).map_or(Hit::Detail, Hit::Field),
        None => Hit::Nothing,
    }
}

/// Draws the screen into the frame's body.
pub fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let body = frame.body;
    let Some(wire) = &view.wire else {
        let text = "Recording begins with the next picture.";
        pen.text(body.x + 2, body.y + body.height / 2, body.width, text, pen.theme.fg(Role::Dim));
        return;
    };
    let panes = Panes::of(model, view, wire, frame);
    let theme = pen.theme;
    let border = |has_keys| theme.fg(if has_keys { Role::Focus } else { Role::Line });
    let named = |name: String, has_keys| [piece(name, theme.bold(if has_keys { Role::Focus } else { Role::Text }))];
    let (on_detail, dim) = (model.wire.on_detail, theme.fg(Role::Dim));
    if let Some((outside, inside)) = panes.ladder {
        if outside != inside && outside.height > inside.height {
            let facts = [piece(filter_text(model, wire), dim)];
            pen.frame(outside, border(!on_detail), false, &named("Messages".to_owned(), !on_detail), &facts);
        }
        ladder::draw(pen, model, view, wire, inside);
    }
    if let Some((outside, inside)) = panes.flight {
        if outside.height > inside.height {
            let facts = [piece("in the order of arrival", dim)];
            pen.frame(outside, border(false), false, &named("In flight".to_owned(), false), &facts);
        }
        flight(pen, view, wire, inside);
    }
    if let Some((outside, inside)) = panes.detail {
        if outside.height > inside.height {
            let (title, facts) = decode::titles(wire);
            pen.frame(outside, border(on_detail), false, &named(title, on_detail), &[piece(facts, dim)]);
        }
        decode::draw(pen, model, wire, inside);
    }
}

/// What is under way, in the order of arrival; what a link holds comes last.
pub fn in_flight(wire: &WireView) -> Vec<&WireMessage> {
    let mut messages: Vec<&WireMessage> = wire.messages.iter().filter(|message| message.state.is_under_way()).collect();
    let arrives = |message: &WireMessage| match message.state {
        WireState::InFlight(Some(at_us)) => at_us,
        _ => u64::MAX,
    };
    messages.sort_by_key(|message| (arrives(message), message.id));
    messages
}

/// `next  Produce orders-0  orders-app → broker 1  62 % of 5 ms`, a row a message; at the right keys, and what time stops at.
fn flight(pen: &mut Pen<'_>, view: &ClusterView, wire: &WireView, area: Rect) {
    let theme = pen.theme;
    let messages = in_flight(wire);
    let keys = [(".", " next  "), (">", " deliver  "), ("d", " drop  "), ("t", " delay")];
    for y in area.y..area.bottom() {
        let place = usize::from(y - area.y);
        let mut end = area.right();
        if place + 1 == usize::from(area.height) && !wire.breaks.is_empty() {
            let stops = [
                piece("stops at ", theme.fg(Role::Dim)),
                piece(cut_middle(&wire.breaks.join(", "), area.width / 3).into_owned(), theme.bold(Role::Text)),
            ];
            end = pen.pieces_right(area.x, end, y, &stops);
        }
        let Some(message) = messages.get(place) else {
            if place == 0 {
                let text = "Nothing that is shown is under way.";
                pen.text(area.x, y, end.saturating_sub(area.x), text, theme.fg(Role::Faint));
            }
            continue;
        };
        let (chip, style) = match place {
            0 => (" next ".to_owned(), theme.chip(Role::Focus)),
            _ => (format!("{:>4}  ", place + 1), theme.fg(Role::Dim)),
        };
        let more = messages.len().saturating_sub(usize::from(area.height));
        let is_last = y + 1 == area.bottom() && more > 0;
        let pieces = [
            piece(chip, style),
            piece(format!(" {}", message.summary), theme.bold(ladder::role_of(message))),
            piece(format!("  {} → {}", message.from, message.to), theme.fg(Role::Text)),
            piece(format!("   {}", progress(wire, message)), theme.fg(Role::Dim)),
            piece(if is_last { format!("   and {more} more") } else { String::new() }, theme.fg(Role::Faint)),
        ];
        let at = pen.pieces(area.x, y, end.saturating_sub(area.x + 1), &pieces);
        if place == 0 && view.host.can.step && area.height > 1 {
            let of = |(key, word)| [piece(key, theme.bold(Role::Focus)), piece(word, theme.fg(Role::Dim))];
            let pieces: Vec<_> = keys.into_iter().flat_map(of).collect();
            pen.pieces_right(at + 2, end, y, &pieces);
        }
    }
}

/// `62 % of 5 ms`.
fn progress(wire: &WireView, message: &WireMessage) -> String {
    let WireState::InFlight(Some(at_us)) = message.state else { return "held by its link".to_owned() };
    let way = at_us.saturating_sub(message.sent_us).max(1);
    let gone = wire.at_us.saturating_sub(message.sent_us).min(way);
    let long = if way < 10_000 { format!("{}.{} ms", way / 1_000, way / 100 % 10) } else { span_ms(way / 1_000) };
    format!("{} % of {long}", gone * 100 / way)
}

fn filter_text(model: &Model, wire: &WireView) -> String {
    let shown = wire.messages.len();
    let lost = if wire.lost > 0 { format!("   {} not recorded", count(wire.lost)) } else { String::new() };
    let routine = if model.wire.routine { "" } else { "   heartbeats and empty fetches hidden" };
    match &model.wire.filter[..] {
        "" => format!("{shown} of {}{lost}{routine}", wire.recorded),
        filter => format!("/{filter}   {shown} of {}{lost}", wire.recorded),
    }
}

/// The message that is looked at: the chosen one, else the host's choice, else the newest.
pub fn chosen<'a>(model: &Model, wire: &'a WireView) -> Option<&'a WireMessage> {
    let find = |id: u64| wire.messages.iter().find(|message| message.id == id);
    let detailed = || wire.detail.as_ref().and_then(|detail| find(detail.id));
    model.wire.selected.and_then(find).or_else(detailed).or(wire.messages.last())
}

/// The row of keys, or the filter while it is typed.
pub fn hints(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    if let Some(input) = &model.wire.filter_input {
        let found = view.wire.as_ref().map_or(0, |wire| wire.messages.len());
        return filter_hint(pen, input, found, " show all   API, broker, client, error; ! inverts", frame);
    }
    let row = HintRow::begin(pen, frame);
    let (on_detail, can) = (model.wire.on_detail, view.host.can);
    let chosen = view.wire.as_ref().and_then(|wire| chosen(model, wire));
    let acts = can.step && chosen.is_some_and(|message| message.state.is_under_way());
    row.keys(
        pen,
        &[
            ("j k", if on_detail { "field" } else { "message" }, true),
            (".", "next", can.step),
            (">", "deliver", acts),
            ("d", "drop", acts),
            ("t", "delay", acts),
            ("b", "break on API", can.step && chosen.is_some()),
            ("/", "filter", true),
            (glyphs::ENTER, if on_detail { "messages" } else { "decode" }, true),
            ("z", if model.wire.routine { "hide routine" } else { "show all" }, true),
            ("Space", space(view), can.pause),
            ("x", "more", can.faults),
            ("Esc", "back", true),
        ],
    );
}

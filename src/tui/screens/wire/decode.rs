//! What the chosen message says: its fields with their place in the bytes, the bytes, and what such a message is for.
//!
//! Invariants: the field that is chosen is marked in the bytes.
//!
//! Deliberately not here: decoding (the host does it, for one message).

use super::chosen;
use crate::cluster::view::{WireDetail, WireField, WireMessage, WireState, WireView};
use crate::tui::model::Model;
use crate::tui::numbers::count;
use crate::tui::pen::{Pen, cut_middle, width, wrap};
use crate::tui::theme::{Ground, Role};
use ratatui::layout::Rect;
use std::ops::Range;

/// Bytes in a row of the dump.
const BYTES_A_ROW: usize = 8;

/// The panel's name and its facts.
pub fn titles(wire: &WireView) -> (String, String) {
    let Some(message) = detailed(wire) else { return ("Message".to_owned(), String::new()) };
    let version = message.version.map_or_else(String::new, |version| format!(" v{version}"));
    (format!("{}{version}", message.api), format!("{} bytes", count(message.size)))
}

fn detailed(wire: &WireView) -> Option<&WireMessage> {
    let detail = wire.detail.as_ref()?;
    wire.messages.iter().find(|message| message.id == detail.id)
}

/// What stands where.
struct Placed {
    list: Rect,
    dump: Rect,
    meaning: Vec<String>,
}

impl Placed {
    fn of(detail: &WireDetail, area: Rect) -> Placed {
        let mut meaning = wrap(detail.meaning, area.width);
        meaning.truncate(3);
        let rows = area.height.saturating_sub(3 + u16::try_from(meaning.len()).unwrap_or(3));
        let dump_rows = match detail.bytes.len().div_ceil(BYTES_A_ROW) {
            0 => 0,
            wanted => (rows / 3).min(u16::try_from(wanted + 1).unwrap_or(u16::MAX)),
        };
        let list = Rect { y: area.y + 2, height: rows.saturating_sub(dump_rows), ..area };
        Placed { list, dump: Rect { y: list.bottom(), height: dump_rows, ..area }, meaning }
    }
}

/// The first field that a list of so many rows shows.
fn first_field(model: &Model, detail: &WireDetail, rows: u16) -> usize {
    let at = model.wire.field.min(detail.fields.len().saturating_sub(1));
    let room = usize::from(rows);
    at.saturating_sub(room / 2).min(detail.fields.len().saturating_sub(room))
}

/// The first row of bytes that a dump shows, without the row of its heading.
fn first_row(model: &Model, detail: &WireDetail, height: u16) -> usize {
    let rows = usize::from(height.saturating_sub(1));
    let wanted = marked(model, detail).map_or(0, |range| range.start / BYTES_A_ROW);
    wanted.saturating_sub(rows / 2).min(detail.bytes.len().div_ceil(BYTES_A_ROW).saturating_sub(rows))
}

/// The bytes of the chosen field.
fn marked(model: &Model, detail: &WireDetail) -> Option<Range<usize>> {
    let at = model.wire.field.min(detail.fields.len().saturating_sub(1));
    detail.fields.get(at).filter(|_| model.wire.on_detail)?.range.clone()
}

/// The field at a cell: its own row, or the innermost one that has the byte there.
pub fn field_at(model: &Model, wire: &WireView, area: Rect, x: u16, y: u16) -> Option<usize> {
    let detail = wire.detail.as_ref()?;
    let placed = Placed::of(detail, area);
    if placed.list.contains((x, y).into()) {
        let place = first_field(model, detail, placed.list.height) + usize::from(y - placed.list.y);
        return (place < detail.fields.len()).then_some(place);
    }
    let row = y.checked_sub(placed.dump.y + 1).filter(|_| placed.dump.contains((x, y).into()))?;
    let column = usize::from(x.checked_sub(placed.dump.x + 5)?) / 3;
    let row = first_row(model, detail, placed.dump.height) + usize::from(row);
    let byte = row * BYTES_A_ROW + column.min(BYTES_A_ROW - 1);
    let has = |field: &WireField| field.range.as_ref().is_some_and(|range| range.contains(&byte));
    detail.fields.iter().rposition(has)
}

/// Draws it.
pub fn draw(pen: &mut Pen<'_>, model: &Model, wire: &WireView, area: Rect) {
    let theme = pen.theme;
    let (Some(detail), Some(message)) = (&wire.detail, chosen(model, wire)) else { return };
    let kind = if message.is_response { "answer" } else { "request" };
    let text = format!("{} → {}   {kind} {}", message.from, message.to, message.correlation_id);
    pen.text(area.x, area.y, area.width, &cut_middle(&text, area.width), theme.bold(Role::Client));
    let (text, role) = standing(message);
    pen.text(area.x, area.y + 1, area.width, &text, theme.fg(role));
    let Placed { list, dump: bytes, meaning } = Placed::of(detail, area);
    fields(pen, model, detail, list);
    dump(pen, model, detail, bytes);
    let y = area.bottom().saturating_sub(u16::try_from(meaning.len()).unwrap_or(0));
    for (y, line) in (y..area.bottom()).zip(&meaning) {
        pen.text(area.x, y, area.width, line, theme.fg(Role::Dim));
    }
}

fn standing(message: &WireMessage) -> (String, Role) {
    let took = |at_us: u64| {
        let us = at_us.saturating_sub(message.sent_us);
        format!("{}.{} ms", us / 1_000, us / 100 % 10)
    };
    match (message.state, message.error) {
        (WireState::Dropped(_, why), _) => (format!("never arrives: {why}"), Role::Dead),
        (_, Some(error)) => (error.to_owned(), Role::Dead),
        (WireState::Delivered(at_us), None) => (format!("arrived after {}", took(at_us)), Role::Sync),
        (WireState::InFlight(Some(at_us)), None) => (format!("in flight, arrives after {}", took(at_us)), Role::Lag),
        (WireState::InFlight(None), None) => ("in flight".to_owned(), Role::Lag),
        (WireState::Held, None) => ("held by the link until it is released".to_owned(), Role::Lag),
    }
}

fn fields(pen: &mut Pen<'_>, model: &Model, detail: &WireDetail, area: Rect) {
    let theme = pen.theme;
    let at = model.wire.field.min(detail.fields.len().saturating_sub(1));
    let first = first_field(model, detail, area.height);
    let names = (area.width / 2).min(26);
    for (y, (index, field)) in (area.y..area.bottom()).zip(detail.fields.iter().enumerate().skip(first)) {
        if index == at && model.wire.on_detail {
            pen.ground(Rect { y, height: 1, ..area }, Ground::Sel);
        }
        let indent = u16::try_from(field.depth * 2).unwrap_or(0).min(area.width / 3);
        let name_cells =
            if field.value.is_empty() { area.width - indent } else { names.saturating_sub(indent + 1).max(6) };
        let name = cut_middle(&field.name, name_cells).into_owned();
        let x = pen.text(area.x + indent, y, name_cells, &name, theme.fg(Role::Dim)).max(area.x + names);
        let place = field.range.as_ref().map_or_else(String::new, |range| format!("{}–{}", range.start, range.end));
        let has_place = model.wire.on_detail && index == at && !place.is_empty();
        let cells = area.right().saturating_sub(x + if has_place { width(&place) + 1 } else { 0 });
        let after = pen.text(x, y, cells, &cut_middle(&field.value, cells), theme.bold(Role::Text));
        let left = (x + cells).saturating_sub(after + 1);
        if !field.note.is_empty() && width(&field.note) <= left {
            pen.text(after + 1, y, left, &field.note, theme.fg(Role::Dim));
        }
        if has_place {
            pen.right(x, area.right(), y, &place, theme.fg(Role::Focus));
        }
    }
    if detail.fields.is_empty() {
        pen.text(area.x, area.y, area.width, "It cannot be written as bytes.", theme.fg(Role::Dim));
    }
}

fn dump(pen: &mut Pen<'_>, model: &Model, detail: &WireDetail, area: Rect) {
    if area.height < 2 {
        return;
    }
    let theme = pen.theme;
    let marked = marked(model, detail);
    pen.text(area.x, area.y, area.width, "BYTES", theme.fg(Role::Faint));
    let all = detail.bytes.len().div_ceil(BYTES_A_ROW);
    let first = first_row(model, detail, area.height);
    for (row, y) in (first..all).zip(area.y + 1..area.bottom()) {
        let from = row * BYTES_A_ROW;
        let bytes = &detail.bytes[from..(from + BYTES_A_ROW).min(detail.bytes.len())];
        let mut x = pen.text(area.x, y, 5, &format!("{from:04x} "), theme.fg(Role::Faint));
        for (index, byte) in bytes.iter().enumerate() {
            let is_marked = marked.as_ref().is_some_and(|range| range.contains(&(from + index)));
            let style = if is_marked { theme.bold(Role::Focus) } else { theme.fg(Role::Text) };
            x = pen.text(x, y, 2, &format!("{byte:02x}"), style) + 1;
        }
        let text: String =
            bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        let x = area.x + 6 + 3 * u16::try_from(BYTES_A_ROW).unwrap_or(8);
        pen.text(x, y, area.right().saturating_sub(x), &text, theme.fg(Role::Dim));
    }
}

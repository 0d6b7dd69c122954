//! The messages of a topic: what is read and by which condition, the records, and the selected one in full.
//!
//! ```text
//!  from last 50 of each   partitions all   where key ~ "eu-"   as json             ✓ 412 match of 71,204 read
//! ╭─ orders ────────────────────── newest first   ● following ─╮ ╭─ orders-0 @ 12,844 ──────── json   v as it came ─╮
//! │     P   OFFSET  TIME          KEY       VALUE               │ │ key      eu-4412                                │
//! │ ●   0   12,844  12:04:31.332  eu-4412   {"id":88214,"total" │ │ time     12:04:31.332   3.2 s ago               │
//! ╰─────────────────────────────────────────────────────────────╯ ╰─────────────────────────────────────────────────╯
//! ```
//! Invariants: draws the rows in view and one record; control characters of data never reach the terminal.
//!
//! Deliberately not here: reading and conditions (`cluster`), what keys do (`update`).

use crate::cluster::view::{ClusterView, PlaceView, ReplicaRole, TailRecord};
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Width};
use crate::tui::messages::{Field, Messages};
use crate::tui::model::Model;
use crate::tui::numbers::{clock, count, moment, offset, span_ms};
use crate::tui::overlays;
use crate::tui::pen::{Pen, Piece, cut_middle, piece, width, wrap};
use crate::tui::theme::{Ground, Role};
use crate::tui::widgets::hints::{self, HintRow};
use crate::tui::widgets::json;
use ratatui::layout::Rect;

/// A record whose value is null.
const TOMBSTONE: &str = "∅";

/// Where the list and the record stand, below the query bar.
fn areas(frame: Frame) -> (Rect, Rect) {
    let body = Rect { y: frame.body.y + 1, height: frame.body.height.saturating_sub(1), ..frame.body };
    if frame.width >= Width::Full {
        let cells = body.width * 57 / 100;
        let detail = Rect { x: body.x + cells, width: body.width - cells, ..body };
        (Rect { width: cells, ..body }, detail)
    } else {
        let rows = body.height * 3 / 5;
        (Rect { height: rows, ..body }, Rect { y: body.y + rows, height: body.height - rows, ..body })
    }
}

fn has_borders(frame: Frame) -> bool {
    frame.width >= Width::Medium && frame.body.height >= 18
}

/// How many records the list shows.
pub fn rows_in_view(frame: Frame) -> usize {
    usize::from(areas(frame).0.height.saturating_sub(if has_borders(frame) { 3 } else { 2 }))
}

/// The index of the record in a row of the terminal; `None` beside the list.
pub fn row_at(messages: &Messages, frame: Frame, x: u16, y: u16) -> Option<usize> {
    let list = areas(frame).0;
    let place = usize::from(y.checked_sub(list.y + 2)?);
    let index = first_row(messages, rows_in_view(frame)) + place;
    (x < list.right() && place < rows_in_view(frame) && index < messages.records.len()).then_some(index)
}

fn first_row(messages: &Messages, room: usize) -> usize {
    (messages.selected_index() + 1).saturating_sub(room)
}

/// Where a form stands beside the list on a wide terminal, so that both are seen.
pub fn beside_list(frame: Frame) -> Option<Rect> {
    (frame.width >= Width::Full).then(|| areas(frame).1)
}

/// Draws the screen into the frame's body.
pub fn draw(pen: &mut Pen<'_>, messages: &Messages, view: &ClusterView, frame: Frame) {
    let theme = pen.theme;
    query_bar(pen, messages, view, Rect { height: 1, ..frame.body });
    let (list, detail) = areas(frame);
    let (glyph, role, word) = match (messages.follows(), messages.selected, messages.room()) {
        (true, None, _) => (glyphs::ALIVE, Role::Sync, "following"),
        (true, Some(_), _) => (glyphs::HALTED, Role::Lag, "held"),
        (false, _, 0) => (glyphs::HALTED, Role::Lag, "full: o goes on"),
        (false, ..) => (glyphs::ALIVE, Role::Sync, "reading"),
    };
    let order = if messages.follows() { "newest first   " } else { "oldest first   " };
    let facts = [piece(order, theme.fg(Role::Dim)), piece(format!("{glyph} {word}"), theme.fg(role))];
    let inside = panel(pen, list, &messages.topic, &facts, !messages.on_detail, frame);
    list_of(pen, messages, view, inside);
    let Some(record) = messages.record() else { return };
    let title = format!("{}-{} @ {}", messages.topic, record.partition, offset(record.offset));
    let (now, other) = if messages.is_raw { ("as it came   ", " json") } else { ("json   ", " as it came") };
    let facts =
        [piece(now, theme.fg(Role::Dim)), piece("v", theme.bold(Role::Focus)), piece(other, theme.fg(Role::Dim))];
    let inside = panel(pen, detail, &title, &facts, messages.on_detail, frame);
    detail_of(pen, messages, record, view, inside);
}

/// A bordered panel, or where there is no room for borders a rule. Returns the inside.
fn panel(pen: &mut Pen<'_>, area: Rect, title: &str, facts: &[Piece<'_>], focused: bool, frame: Frame) -> Rect {
    let theme = pen.theme;
    let title = [piece(title, theme.bold(if focused { Role::Focus } else { Role::Text }))];
    if has_borders(frame) {
        let border = theme.fg(if focused { Role::Focus } else { Role::Line });
        let inside = pen.frame(area, border, false, &title, facts);
        return Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    }
    let inside = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    if area.height > 0 {
        pen.rule(inside.x, inside.right(), area.y, &title, facts);
    }
    Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..inside }
}

/// What is read, or what is being typed and whether it can be read.
fn query_bar(pen: &mut Pen<'_>, messages: &Messages, view: &ClusterView, area: Rect) {
    let theme = pen.theme;
    pen.ground(area, Ground::Raise);
    let (mut x, y, end) = (area.x + 1, area.y, area.right().saturating_sub(1));
    if let Some(prompt) = &messages.prompt {
        let (label, help) = match prompt.field {
            Field::Where => (
                "where ",
                "key ~ \"eu-\" and value.total > 100, partition = 2, time > -5m, header.source = web, or just text",
            ),
            Field::Offset => ("offset ", "12840 in every partition, 2:12840 in one, start, end"),
            Field::Time if view.host.world.is_some() => ("time ", "10s ago, or T 4.2s"),
            Field::Time => ("time ", "10m ago, or 12:04:31"),
        };
        x = pen.text(x, y, end.saturating_sub(x), label, theme.bold(Role::Focus));
        let cells = (area.width / 2).min(end.saturating_sub(x));
        x = overlays::field(pen, x, y, cells, &prompt.input, true) + 1;
        let (text, role) = match messages.read_prompt(prompt, view) {
            _ if prompt.input.value().trim().is_empty() => (help.to_owned(), Role::Dim),
            Ok(_) => (format!("{} {} reads", glyphs::DONE, glyphs::ENTER), Role::Sync),
            Err(reason) => (format!("{} {reason}", glyphs::DEAD), Role::Dead),
        };
        pen.text(x, y, end.saturating_sub(x), &text, theme.fg(role));
        return;
    }
    let (role, told) = progress(messages);
    let told = [piece(told, theme.fg(role))];
    let until = pen.pieces_right(x, end, y, &told).saturating_sub(2);
    let partitions = match &messages.request.partitions[..] {
        [] => "all".to_owned(),
        some => some.iter().map(i32::to_string).collect::<Vec<_>>().join(","),
    };
    let condition = if messages.condition.is_empty() { "everything" } else { &messages.condition };
    let view_as = if messages.is_raw { "text" } else { "json" };
    for (label, value) in
        [("from ", &*messages.from), ("partitions ", &*partitions), ("where ", condition), ("as ", view_as)]
    {
        if x + width(label) + 3 > until {
            break;
        }
        x = pen.text(x, y, until - x, label, theme.fg(Role::Focus));
        x = pen.text(
            x,
            y,
            until.saturating_sub(x),
            &cut_middle(value, until.saturating_sub(x)),
            theme.bold(Role::Text),
        ) + 3;
    }
}

/// `412 match of 71,204 read`, or why nothing comes.
fn progress(messages: &Messages) -> (Role, String) {
    if !messages.problem.is_empty() {
        return (Role::Dead, format!("{} {}", glyphs::ATTENTION, messages.problem));
    }
    let read = count(messages.read);
    let mut text = if messages.is_filtered() {
        format!("{} {} match of {read} read", glyphs::DONE, count(messages.matched))
    } else {
        format!("{} {read} read", glyphs::DONE)
    };
    if messages.skipped > 0 {
        text.push_str(&format!(", {} came too fast", count(messages.skipped)));
    }
    (if messages.skipped > 0 { Role::Lag } else { Role::Sync }, text)
}

fn list_of(pen: &mut Pen<'_>, messages: &Messages, view: &ClusterView, area: Rect) {
    let theme = pen.theme;
    if area.height == 0 {
        return;
    }
    let key_cells = (area.width / 6).clamp(8, 20);
    let heads = [(2, 4, "PART"), (6, 12, "OFFSET")];
    for (at, cells, head) in heads {
        pen.right(area.x + at, area.x + at + cells, area.y, head, theme.fg(Role::Faint));
    }
    let (time_at, key_at) = (area.x + 20, area.x + 34);
    let value_at = key_at + key_cells + 2;
    for (x, head) in [(time_at, "TIME"), (key_at, "KEY"), (value_at, "VALUE")] {
        pen.text(x, area.y, area.right().saturating_sub(x), head, theme.fg(Role::Faint));
    }
    if messages.is_empty() {
        let text = if messages.until_ms.is_some() {
            "No record of this moment was read while it was the present: not recorded."
        } else if messages.is_filtered() {
            "No record meets the condition so far. / changes it, o and t begin elsewhere."
        } else {
            "Nothing has come yet. Records show up as soon as they are committed. p sends one."
        };
        pen.text(area.x, area.y + 1, area.width, text, theme.fg(Role::Dim));
        return;
    }
    let rows = usize::from(area.height - 1);
    let chosen = messages.selected_index();
    let listed = messages.listed().enumerate().skip(first_row(messages, rows)).take(rows);
    for (y, (index, (_, record))) in (area.y + 1..).zip(listed) {
        if index == chosen {
            pen.ground(Rect { y, height: 1, ..area }, Ground::Sel);
            pen.text(area.x.saturating_sub(1), y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
        }
        let (glyph, role) = match record.value {
            Some(_) => (glyphs::ALIVE, Role::SyncLow),
            None => (TOMBSTONE, Role::Dim),
        };
        pen.text(area.x, y, 1, glyph, theme.fg(role));
        pen.right(area.x + 2, area.x + 6, y, &record.partition.to_string(), theme.fg(Role::Dim));
        pen.right(area.x + 6, area.x + 18, y, &offset(record.offset), theme.bold(Role::Text));
        pen.text(time_at, y, 12, &when(view, record.timestamp_ms), theme.fg(Role::Dim));
        let key = record.key.as_deref().map_or("–".to_owned(), one_line);
        pen.text(key_at, y, key_cells, &cut_middle(&key, key_cells), theme.fg(Role::Client));
        let value = record.value.as_deref().map_or("– tombstone".to_owned(), one_line);
        let style = theme.fg(if record.value.is_some() { Role::Text } else { Role::Dim });
        pen.text(value_at, y, area.right().saturating_sub(value_at), &value, style);
    }
}

/// A record's time as the header tells time: in a simulated world since its beginning.
fn when(view: &ClusterView, timestamp_ms: i64) -> String {
    let since = timestamp_ms
        .saturating_sub(view.wall_ms)
        .checked_add_unsigned(view.at_ms)
        .and_then(|ms| u64::try_from(ms).ok());
    match since {
        Some(at_ms) if view.host.world.is_some() => moment(view, at_ms, 3),
        _ => clock(timestamp_ms, view.utc_offset_s, 3),
    }
}

/// Text on one line: control characters would move the terminal's cursor.
fn one_line(text: &str) -> String {
    text.chars().take(400).map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn detail_of(pen: &mut Pen<'_>, messages: &Messages, record: &TailRecord, view: &ClusterView, area: Rect) {
    let theme = pen.theme;
    let mut lines: Vec<Vec<Piece<'static>>> = Vec::new();
    let labelled =
        |label: &str, text: String, style| vec![piece(format!("{label:<9}"), theme.fg(Role::Dim)), piece(text, style)];
    let key = record.key.as_deref().map_or("– (none)".to_owned(), one_line);
    lines.push(labelled("key", key, theme.bold(Role::Client)));
    let age = u64::try_from(view.wall_ms.saturating_sub(record.timestamp_ms)).unwrap_or(0);
    let mut time = labelled("time", when(view, record.timestamp_ms), theme.fg(Role::Text));
    time.push(piece(format!("   {} ago", span_ms(age)), theme.fg(Role::Dim)));
    if record.leader_epoch >= 0 {
        time.push(piece("   epoch ", theme.fg(Role::Dim)));
        time.push(piece(record.leader_epoch.to_string(), theme.fg(Role::Text)));
    }
    lines.push(time);
    if !record.headers.is_empty() {
        let mut headers = vec![piece("headers  ", theme.fg(Role::Dim))];
        for (name, value) in &record.headers {
            headers.push(piece(format!("{} ", one_line(name)), theme.fg(Role::Focus)));
            headers.push(piece(format!("{}   ", one_line(value)), theme.fg(Role::Text)));
        }
        lines.push(headers);
    }
    // Where little fits, nothing is left blank.
    let gap = area.height >= 12;
    lines.extend(gap.then(Vec::new));
    lines.extend(value_of(pen, messages, record, area.width));
    if let Some(place) = view.place.as_ref().filter(|place| messages.place().as_ref() == Some(&place.row.name)) {
        lines.extend(gap.then(Vec::new));
        lines.push(copies(pen, place, record.offset));
        lines.push(readers(pen, place, record.offset));
    }
    let most = lines.len().saturating_sub(usize::from(area.height).min(lines.len()));
    let skip = messages.detail_line.min(most);
    for (y, line) in (area.y..area.bottom()).zip(lines.iter().skip(skip)) {
        pen.pieces(area.x, y, area.width, line);
    }
    let left = lines.len() - skip;
    if left > usize::from(area.height) && area.height > 3 {
        let text = format!(" … {} more lines ", left - usize::from(area.height) + 1);
        let y = area.bottom() - 1;
        pen.repeat(area.x, y, area.width, " ", theme.fg(Role::Dim));
        pen.text(area.x, y, area.width, &text, theme.fg(Role::Dim));
    }
}

fn value_of(pen: &Pen<'_>, messages: &Messages, record: &TailRecord, cells: u16) -> Vec<Vec<Piece<'static>>> {
    let theme = pen.theme;
    let Some(value) = &record.value else {
        let text = "∅ tombstone: deletes this key when the topic is compacted";
        return vec![vec![piece(text, theme.fg(Role::Dim))]];
    };
    let unfolded = if messages.is_raw { None } else { json::lines(value) };
    match unfolded {
        Some(lines) => lines
            .into_iter()
            .map(|line| line.into_iter().map(|(role, text)| piece(one_line(&text), theme.fg(role))).collect())
            .collect(),
        None => {
            let line = |line: String| vec![piece(one_line(&line), theme.fg(Role::Text))];
            wrap(value, cells).into_iter().map(line).collect()
        }
    }
}

/// Which brokers have the record.
fn copies(pen: &Pen<'_>, place: &PlaceView, record: i64) -> Vec<Piece<'static>> {
    let theme = pen.theme;
    let mut pieces = vec![piece("copies   ", theme.fg(Role::Dim))];
    for replica in &place.row.replicas {
        // It was read, so it was committed: whoever is in sync has it, whatever the last look at its log said.
        let is_down = matches!(replica.role, ReplicaRole::Dead | ReplicaRole::LastComplete);
        let is_kept = replica.log_end.is_some_and(|end| end > record) && replica.log_start <= record;
        let has = is_kept || (replica.in_isr && !is_down && replica.log_start <= record);
        let (glyph, role) = match replica.role {
            _ if !has => (glyphs::DEAD, Role::Dead),
            ReplicaRole::Leader => (glyphs::LEADER, Role::Lead),
            _ if is_down => (glyphs::LAST_COPY, Role::Dead),
            ReplicaRole::Suspended => (glyphs::HALTED, Role::Lag),
            _ if replica.in_isr => (glyphs::ALIVE, Role::Sync),
            _ => (glyphs::OUT_OF_SYNC, Role::Lag),
        };
        let text = match (has, is_down) {
            (false, _) => format!("{glyph} {} does not have it   ", replica.broker),
            (true, true) => format!("{glyph} {} is down   ", replica.broker),
            (true, false) => format!("{glyph} {}   ", replica.broker),
        };
        pieces.push(piece(text, theme.fg(role)));
    }
    pieces
}

/// Which groups have read the record.
fn readers(pen: &Pen<'_>, place: &PlaceView, record: i64) -> Vec<Piece<'static>> {
    let theme = pen.theme;
    let mut pieces = vec![piece("read by  ", theme.fg(Role::Dim))];
    if place.groups.is_empty() {
        pieces.push(piece("no group that commits", theme.fg(Role::Dim)));
    }
    for (group, committed) in &place.groups {
        let (text, role) = if *committed > record {
            (format!("{group} {}   ", glyphs::DONE), Role::Sync)
        } else {
            (format!("{group} not yet   "), Role::Lag)
        };
        pieces.push(piece(text, theme.fg(role)));
    }
    pieces
}

/// The hint row of this screen.
pub fn hints(pen: &mut Pen<'_>, _model: &Model, messages: &Messages, view: &ClusterView, frame: Frame) {
    let row = HintRow::begin(pen, frame);
    let time = hints::space(view);
    let keys: &[(&str, &str, bool)] = if messages.prompt.is_some() {
        &[(glyphs::ENTER, "read", true), ("Esc", "leave it", true)]
    } else {
        &[
            ("j k", "record", true),
            ("/", "where", true),
            ("o", "offset", true),
            ("t", "time", true),
            ("f", "follow", true),
            ("p", "produce", true),
            ("r", "send again", true),
            ("v", "view as", true),
            ("y", "copy", true),
            ("Tab", "pane", true),
            ("Esc", "topics", true),
            ("Space", time, view.host.can.pause),
        ]
    };
    row.keys(pen, keys);
}

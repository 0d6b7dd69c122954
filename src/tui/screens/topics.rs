//! The Topics screen: all topics, the worst first, and the settings of one.
//!
//! ```text
//! ╭─ Topics ───────────────────────────── 7 topics, 24 partitions, 10.5 GB   i shows 2 internal ─╮
//! │   TOPIC      PART  COPIES  MIN ISR  SHORT  IN/S              SIZE  CLEAN-UP  SET  HEALTH      │
//! │ ✕ clicks        4       2        1      1  1.6k  ▅▅▅▃▂▃  8.1 GB  delete      0  1 offline   │
//! ╰──────────────────────────────────────────────────────────────────────────────────────────────╯
//! ╭─ orders, settings ──────────────────────────────────────────────────── changed first   e edit ─╮
//! │ min.insync.replicas   2     topic     1      acks=all needs so many copies in sync.            │
//! ```
//! Invariants: draws the window of topics and the settings of one; nothing is done in proportion to what is not in view.
//!
//! Deliberately not here: what keys do (`update`), and the form that edits (`overlays::form`).

use crate::cluster::view::{ClusterView, PartitionSeverity, SetBy, TopicDetail, TopicRow, TopicSetting, TopicsView};
use crate::tui::draw::filter_hint;
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Width};
use crate::tui::model::Model;
use crate::tui::numbers::{UNKNOWN, bytes, count, lag, offset, plural, span_ms};
use crate::tui::pen::{Pen, Piece, cut_middle, piece};
use crate::tui::theme::{Ground, Role};
use crate::tui::widgets::hints::{self, HintRow};
use crate::tui::widgets::spark;
use ratatui::layout::Rect;

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Partitions,
    Copies,
    MinIsr,
    Short,
    Rate,
    Spark,
    Size,
    Cleanup,
    Changed,
}

/// Every column but the first and the last: what is in it, its heading, its cells, and how soon it goes where there is no room.
const COLUMNS: [(Content, &str, u16, u8); 9] = [
    (Content::Partitions, "PART", 6, 0),
    (Content::Copies, "COPIES", 8, 0),
    (Content::MinIsr, "MIN ISR", 9, 2),
    (Content::Short, "SHORT", 7, 1),
    (Content::Rate, "IN/S", 8, 0),
    (Content::Spark, "", 16, 5),
    (Content::Size, "SIZE", 10, 0),
    (Content::Cleanup, "CLEAN-UP", 16, 3),
    (Content::Changed, "SET", 5, 4),
];
/// The name's cells at least, with the glyph before it.
const NAME_CELLS: u16 = 20;
/// Cells for the health at least.
const HEALTH_CELLS: u16 = 16;

/// The columns that a width has room for, and the cells left for the name.
fn columns(cells: u16) -> (Vec<(Content, &'static str, u16)>, u16) {
    let mut kept: Vec<_> = COLUMNS.to_vec();
    let sum = |kept: &[(Content, &str, u16, u8)]| kept.iter().map(|column| column.2).sum::<u16>();
    while sum(&kept) + NAME_CELLS + HEALTH_CELLS + 2 > cells {
        let Some(worst) = kept.iter().map(|column| column.3).max().filter(|rank| *rank > 0) else { break };
        kept.retain(|column| column.3 != worst);
    }
    let name = cells.saturating_sub(sum(&kept) + HEALTH_CELLS + 2).clamp(8, 44);
    (kept.into_iter().map(|(content, head, cells, _)| (content, head, cells)).collect(), name)
}

/// The list's outside with its border (none on a narrow terminal), and what is left for the settings.
fn areas(topics: &TopicsView, frame: Frame) -> (Rect, Rect) {
    let edge = if has_borders(frame) { 3 } else { 2 };
    let wanted = u16::try_from(topics.total.max(1)).unwrap_or(u16::MAX).saturating_add(edge);
    let most = if has_borders(frame) { frame.body.height / 2 } else { frame.body.height * 3 / 5 };
    let list = Rect { height: wanted.min(most.max(edge + 1)).min(frame.body.height), ..frame.body };
    let below = Rect { y: list.bottom(), height: frame.body.bottom().saturating_sub(list.bottom()), ..frame.body };
    (list, below)
}

fn has_borders(frame: Frame) -> bool {
    frame.width >= Width::Medium && frame.body.height >= 18
}

/// How many topics the list shows.
pub fn rows_in_view(topics: &TopicsView, frame: Frame) -> usize {
    usize::from(areas(topics, frame).0.height.saturating_sub(if has_borders(frame) { 3 } else { 2 }))
}

/// The index of the topic in a row of the terminal.
pub fn row_at(model: &Model, topics: &TopicsView, frame: Frame, y: u16) -> Option<usize> {
    let list = areas(topics, frame).0;
    let place = usize::from(y.checked_sub(list.y + 2)?);
    let index = first_row(model, topics, rows_in_view(topics, frame)) + place;
    (place < rows_in_view(topics, frame) && index < topics.total).then_some(index)
}

/// The first row shown, so that the selected one is in view.
fn first_row(model: &Model, topics: &TopicsView, room: usize) -> usize {
    let least = (topics.selected_index + 1).saturating_sub(room);
    model.topics.first_row.max(topics.first_row).max(least).min(topics.total.saturating_sub(1))
}

/// Draws the screen into the frame's body.
pub fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let Some(topics) = &view.topics else { return };
    let (list, below) = areas(topics, frame);
    let on_settings = model.topics.on_settings;
    let facts = sums(pen, model, topics, list.width >= 100);
    let inside = panel(pen, list, "Topics", &facts, !on_settings, frame);
    if topics.total == 0 {
        nothing(pen, model, topics, inside);
        return;
    }
    list_of(pen, model, topics, inside);
    let Some(detail) = &topics.detail else { return };
    let title = format!("{}, settings", detail.row.name);
    let facts = [
        piece("changed first   ", pen.theme.fg(Role::Dim)),
        piece("e", pen.theme.bold(Role::Focus)),
        piece(" edit", pen.theme.fg(Role::Dim)),
    ];
    let inside = panel(pen, below, &title, &facts, on_settings, frame);
    settings(pen, model, detail, inside);
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

/// `7 topics, 24 partitions, 10.5 GB   i shows 2 internal`
fn sums(pen: &Pen<'_>, model: &Model, topics: &TopicsView, is_long: bool) -> Vec<Piece<'static>> {
    let theme = pen.theme;
    let (own, internal) = (topics.own, topics.internal);
    let is_shown = model.topics.internal;
    let of = |number: fn(&crate::cluster::view::TopicSums) -> u64| {
        number(&own) + if is_shown { number(&internal) } else { 0 }
    };
    let mut text = plural(of(|sums| u64::from(sums.topics)), "topic");
    if is_long {
        text.push_str(&format!(
            ", {}, {}",
            plural(of(|sums| u64::from(sums.partitions)), "partition"),
            bytes(of(|sums| sums.bytes))
        ));
    }
    let mut pieces = vec![piece(text, theme.fg(Role::Dim))];
    if !model.topics.filter.is_empty() {
        pieces
            .push(piece(format!("   /{} {}", model.topics.filter, count(topics.total as u64)), theme.fg(Role::Focus)));
    }
    if internal.topics > 0 {
        let verb = if is_shown { "hides" } else { "shows" };
        pieces.push(piece("   i", theme.bold(Role::Focus)));
        pieces.push(piece(format!(" {verb} {} internal", internal.topics), theme.fg(Role::Dim)));
    }
    pieces
}

fn nothing(pen: &mut Pen<'_>, model: &Model, topics: &TopicsView, area: Rect) {
    let theme = pen.theme;
    let text = if model.topics.filter.is_empty() && model.topics.filter_input.is_none() {
        if topics.internal.topics > 0 {
            "Only Kafka's own topics so far: i shows them, n creates one."
        } else {
            "No topic yet: n creates one."
        }
    } else {
        "No topic matches: Esc shows all."
    };
    pen.text(area.x, area.y, area.width, text, theme.fg(Role::Dim));
}

/// How a topic's state is shown: glyph, role and words.
fn health(row: &TopicRow) -> (&'static str, Role, String) {
    match row.severity {
        PartitionSeverity::NoLeader => (glyphs::DEAD, Role::Dead, format!("{} without leader", row.no_leader)),
        PartitionSeverity::Stalled => (glyphs::ATTENTION, Role::Lag, format!("HW stalled on {}", row.stalled)),
        PartitionSeverity::MissingCopy => {
            (glyphs::OUT_OF_SYNC, Role::Lag, format!("{} short a copy", row.under_replicated))
        }
        PartitionSeverity::Healthy => (glyphs::ALIVE, Role::Sync, "all in sync".to_owned()),
    }
}

fn list_of(pen: &mut Pen<'_>, model: &Model, topics: &TopicsView, area: Rect) {
    let theme = pen.theme;
    let (columns, name_cells) = columns(area.width);
    let mut at = area.x + name_cells;
    pen.text(area.x + 2, area.y, name_cells, "TOPIC", theme.fg(Role::Faint));
    for (content, head, cells) in &columns {
        match content {
            Content::Cleanup => {
                pen.text(at + 2, area.y, cells - 2, head, theme.fg(Role::Faint));
            }
            _ => {
                pen.right(at, at + cells, area.y, head, theme.fg(Role::Faint));
            }
        }
        at += cells;
    }
    pen.text(at + 2, area.y, HEALTH_CELLS, "HEALTH", theme.fg(Role::Faint));
    let room = usize::from(area.height.saturating_sub(1));
    let first = first_row(model, topics, room);
    let rows = topics.rows.iter().zip(topics.first_row..).skip_while(|(_, index)| *index < first).take(room);
    for (y, (row, index)) in (area.y + 1..).zip(rows) {
        let line = Rect { y, height: 1, ..area };
        topic_row(pen, row, index == topics.selected_index, &columns, name_cells, line);
    }
}

fn topic_row(
    pen: &mut Pen<'_>,
    row: &TopicRow,
    is_selected: bool,
    columns: &[(Content, &'static str, u16)],
    name_cells: u16,
    area: Rect,
) {
    let theme = pen.theme;
    let y = area.y;
    if is_selected {
        pen.ground(area, Ground::Sel);
        pen.text(area.x.saturating_sub(1), y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
    }
    let (glyph, role, words) = health(row);
    pen.text(area.x, y, 1, glyph, theme.bold(role));
    let style = match (is_selected, row.internal) {
        (true, _) => theme.bold(Role::Text),
        (false, true) => theme.fg(Role::Dim),
        (false, false) => theme.fg(Role::Text),
    };
    let cells = name_cells.saturating_sub(3);
    pen.text(area.x + 2, y, cells, &cut_middle(&row.name, cells), style);
    let mut at = area.x + name_cells;
    for (content, _, cells) in columns {
        let (text, style) = match content {
            Content::Partitions => (row.partitions.to_string(), theme.fg(Role::Text)),
            Content::Copies => (row.replicas.to_string(), theme.fg(Role::Text)),
            Content::MinIsr => (row.min_isr.to_string(), theme.fg(Role::Text)),
            Content::Short if row.under_replicated > 0 => (row.under_replicated.to_string(), theme.bold(Role::Lag)),
            Content::Short => ("0".to_owned(), theme.fg(Role::Dim)),
            Content::Rate => (lag(row.records_per_s), theme.fg(Role::Text)),
            Content::Size => (bytes(row.bytes), theme.fg(Role::Text)),
            Content::Changed => (row.changed.to_string(), theme.fg(Role::Dim)),
            Content::Spark => {
                let style =
                    theme.fg(if row.severity == PartitionSeverity::Healthy { Role::SyncLow } else { role.low() });
                spark::spark(pen, at + 2, y, cells - 2, &row.rate_history, style);
                at += cells;
                continue;
            }
            Content::Cleanup => {
                pen.text(at + 2, y, cells - 2, &row.cleanup, theme.fg(Role::Text));
                at += cells;
                continue;
            }
        };
        pen.right(at, at + cells, y, &text, style);
        at += cells;
    }
    pen.text(at + 2, y, area.right().saturating_sub(at + 2), &words, theme.fg(role));
}

/// Where a value was set, in a word.
fn set_by(setting: &TopicSetting) -> &'static str {
    match setting.set_by {
        SetBy::Topic => "topic",
        SetBy::Brokers => "brokers",
        SetBy::Start => "start",
        SetBy::Default => "default",
    }
}

/// A value as people read it: times and sizes with their unit.
fn shown(name: &str, value: Option<&str>) -> String {
    let Some(value) = value else { return UNKNOWN.to_owned() };
    match value.parse::<i64>() {
        Ok(-1) if name.ends_with(".ms") || name.ends_with(".bytes") => "no limit".to_owned(),
        Ok(i64::MAX) => "no limit".to_owned(),
        Ok(ms) if name.ends_with(".ms") => u64::try_from(ms).map_or_else(|_| offset(ms), long_span),
        Ok(number) => offset(number),
        Err(_) if value.is_empty() => "none".to_owned(),
        Err(_) => value.to_owned(),
    }
}

/// A span with days: `7 d`, `1 h 30 m`, `250 ms`.
fn long_span(ms: u64) -> String {
    const DAY_MS: u64 = 86_400_000;
    if ms >= DAY_MS && ms.is_multiple_of(DAY_MS) {
        format!("{} d", ms / DAY_MS)
    } else if ms >= 3_600_000 && ms.is_multiple_of(3_600_000) {
        format!("{} h", ms / 3_600_000)
    } else {
        span_ms(ms)
    }
}

fn settings(pen: &mut Pen<'_>, model: &Model, detail: &TopicDetail, area: Rect) {
    let theme = pen.theme;
    if area.height < 2 {
        return;
    }
    // Beside each line where there is room, else once below.
    let has_meaning = area.width >= 130;
    let (name_cells, value_cells, by_cells, default_cells) =
        if area.width >= 90 { (38, 22, 9, 22) } else { (36, 16, 9, 14) };
    let starts =
        [area.x, area.x + name_cells, area.x + name_cells + value_cells, area.x + name_cells + value_cells + by_cells];
    let meaning_at = starts[3] + if has_meaning { default_cells } else { 0 };
    for (x, word) in starts.into_iter().zip(["SETTING", "VALUE", "SET BY", "DEFAULT"]) {
        pen.text(x, area.y, area.right().saturating_sub(x), word, theme.fg(Role::Faint));
    }
    if has_meaning {
        pen.text(meaning_at, area.y, 12, "MEANING", theme.fg(Role::Faint));
    }
    let chosen = model.topics.setting_index(detail);
    let below = if has_meaning || area.height < 6 { 0 } else { 2 };
    let room = usize::from(area.height.saturating_sub(1 + below));
    let skip = (chosen + 1).saturating_sub(room);
    for (y, (index, setting)) in (area.y + 1..).zip(detail.settings.iter().enumerate().skip(skip).take(room)) {
        let is_changed = setting.set_by != SetBy::Default;
        if model.topics.on_settings && index == chosen {
            pen.ground(Rect { y, height: 1, ..area }, Ground::Sel);
            pen.text(area.x.saturating_sub(1), y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
        }
        let (name_style, value_style) = match setting.set_by {
            SetBy::Topic => (theme.bold(Role::Text), theme.bold(Role::Focus)),
            SetBy::Brokers | SetBy::Start => (theme.fg(Role::Text), theme.fg(Role::Text)),
            SetBy::Default => (theme.fg(Role::Dim), theme.fg(Role::Dim)),
        };
        pen.text(starts[0], y, name_cells - 1, &cut_middle(setting.name, name_cells - 1), name_style);
        let value = shown(setting.name, setting.value.as_deref());
        pen.text(starts[1], y, value_cells - 1, &cut_middle(&value, value_cells - 1), value_style);
        pen.text(starts[2], y, by_cells - 1, set_by(setting), theme.fg(Role::Dim));
        let default = if is_changed { shown(setting.name, setting.default) } else { String::new() };
        pen.text(starts[3], y, default_cells - 1, &cut_middle(&default, default_cells - 1), theme.fg(Role::Dim));
        if has_meaning {
            pen.text(meaning_at, y, area.right().saturating_sub(meaning_at), setting.doc, theme.fg(Role::Dim));
        }
    }
    if below > 0
        && let Some(setting) = detail.settings.get(chosen)
    {
        let y = area.bottom() - 2;
        pen.rule(area.x, area.right(), y, &[piece(setting.name, theme.bold(Role::Text))], &[]);
        pen.text(area.x, y + 1, area.width, setting.doc, theme.fg(Role::Dim));
    }
}

/// The hint row of this screen.
pub fn hints(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    if let Some(input) = &model.topics.filter_input {
        let found = view.topics.as_ref().map_or(0, |topics| topics.total);
        return filter_hint(pen, input, found, " show all", frame);
    }
    let row = HintRow::begin(pen, frame);
    let time = hints::space(view);
    let keys: &[(&str, &str, bool)] = if model.topics.on_settings {
        &[
            ("j k", "setting", true),
            ("e", "edit it", true),
            ("x", "actions", true),
            ("Tab", "topics", true),
            ("Space", time, view.host.can.pause),
            ("Esc", "topics", true),
        ]
    } else {
        &[
            ("j k", "topic", true),
            ("e", "edit", true),
            ("b", "browse", true),
            ("n", "new", true),
            ("p", "produce", true),
            (glyphs::ENTER, "partitions", true),
            ("Tab", "settings", true),
            ("/", "filter", true),
            ("D", "delete", true),
            ("Space", time, view.host.can.pause),
        ]
    };
    row.keys(pen, keys);
}

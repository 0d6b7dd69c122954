//! The Cluster screen: brokers as columns, partitions as rows, a log bar where they meet.
//!
//! ```text
//! 28 partitions       ╭ ● broker 1 ★ ╮ ╭ ✕ broker 2 ☆ ╮ ╭ ● broker 3 ☆ ╮
//! ✕ 1 no leader       │ ◆ 8  ● 9     │ ╎  DEAD  2.4 s ╎ │ ◆ 8  ● 10    │
//! PARTITION      ISR           behind           behind           behind        HW
//! Needs attention ────────────────────────────────────────────────────────────── 7
//! ▍○ orders-0    2/3  ● ▆▆▆▆▆▆▆·    2  ✕ ▆▆▆▆▆▆▆·   20  ◆ ▆▆▆▆▆▆▆▂ lead   12,866
//! Healthy ───────────────────────────────────────────────────────────────────── 21
//! ```
//! Invariants: draws from the window of rows in the view and never from more, so that 10,000 partitions cost what is in
//! view; healthy rows are drawn at half strength below those that need attention.

use crate::cluster::view::{ClusterView, PartitionName, PartitionRow, PartitionSeverity, RowSort};
use crate::tui::glyphs;
use crate::tui::layout::{ClusterLayout, Frame, Height, TableLine, Width, Wishes, table_lines};
use crate::tui::model::{Model, Pane};
use crate::tui::numbers::{UNKNOWN, bytes, bytes_narrow, count, offset, span_ms};
use crate::tui::pen::{Pen, Piece, cut_middle, piece, width};
use crate::tui::theme::{Ground, Role};
use crate::tui::widgets::{card, logbar, mark};
use ratatui::layout::Rect;
use ratatui::style::Modifier;

/// How long a new leader's glyph flashes, in turns of 150 ms.
const FLASH_MS: u64 = 450;

/// The layout for what the model shows now.
pub fn layout(model: &Model, view: &ClusterView, frame: Frame) -> ClusterLayout {
    ClusterLayout::of(frame, wishes(model, view))
}

fn wishes<'a>(model: &Model, view: &'a ClusterView) -> Wishes<'a> {
    let selected = model.cluster.selected.as_ref();
    Wishes {
        brokers: &view.brokers,
        selected_broker: model.cluster.broker,
        selected_row: selected.and_then(|name| view.rows.rows.iter().find(|row| row.name == *name)),
        dense: model.cluster.dense,
        legend: model.legend,
    }
}

/// The lines of the table as they stand on the screen.
pub fn lines(layout: &ClusterLayout, model: &Model, view: &ClusterView) -> Vec<TableLine> {
    let rows = &view.rows;
    table_lines(model.cluster.first_row, rows.total, rows.attention_total, layout.table.height, headed(layout))
}

/// Whether the first group has a heading: not where rows are scarce.
pub fn headed(layout: &ClusterLayout) -> bool {
    layout.frame.height != Height::Short
}

/// Draws the screen into the frame's body.
pub fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let layout = layout(model, view, frame);
    heads(pen, &layout, model, view);
    if let Some(y) = layout.headings {
        headings(pen, &layout, model, y);
    }
    table(pen, &layout, model, view);
    if let Some(y) = layout.legend {
        legend(pen, &layout, view, y);
    }
}

fn heads(pen: &mut Pen<'_>, layout: &ClusterLayout, model: &Model, view: &ClusterView) {
    if layout.has_cards() {
        totals(pen, layout, view);
    } else {
        short_totals(pen, layout, view);
    }
    for column in &layout.columns {
        let card = &view.brokers[column.index];
        let selected = model.cluster.broker == Some(card.id) && model.cluster.pane == Pane::Matrix;
        if layout.has_cards() {
            card::draw(pen, layout.card(column), view, card, selected);
        } else {
            let area = Rect { width: layout.stride(), ..layout.card(column) };
            card::draw_short(pen, area, view, card, selected);
        }
    }
    if layout.hidden > 0 {
        let text = format!("+{} ›", layout.hidden);
        let end = layout.frame.area.right();
        pen.right(end.saturating_sub(6), end, layout.heads.y, &text, pen.theme.bold(Role::Focus));
    }
}

fn totals(pen: &mut Pen<'_>, layout: &ClusterLayout, view: &ClusterView) {
    let theme = pen.theme;
    let (x, mut y) = (layout.heads.x + 1, layout.heads.y);
    let cells = layout.columns.first().map_or(18, |column| column.x.saturating_sub(x + 1));
    let totals = &view.totals;
    let all = u64::from(totals.partitions);
    let word = if all == 1 { " partition" } else { " partitions" };
    pen.pieces(x, y, cells, &[piece(count(all), theme.bold(Role::Text)), piece(word, theme.fg(Role::Text))]);
    let kinds = [
        (PartitionSeverity::NoLeader, totals.no_leader),
        (PartitionSeverity::Stalled, totals.stalled),
        (PartitionSeverity::MissingCopy, totals.missing_copy),
        (PartitionSeverity::Healthy, totals.all_in_sync),
    ];
    let bottom = layout.heads.bottom();
    for (severity, number) in kinds {
        let mark = mark::severity(severity);
        if number == 0 || y + 1 >= bottom {
            continue;
        }
        y += 1;
        pen.pieces(
            x,
            y,
            cells,
            &[
                piece(format!("{} {}", mark.glyph, count(u64::from(number))), theme.bold(mark.role)),
                piece(format!(" {}", mark.word), theme.fg(Role::Dim)),
            ],
        );
    }
    if y + 1 < bottom {
        let narrow = layout.frame.width < Width::Full;
        let short = |rate| if narrow { bytes_narrow(rate) } else { bytes(rate) };
        let (bytes_in, bytes_out) = (short(totals.bytes_in_per_s), short(totals.bytes_out_per_s));
        let unit = if width(&bytes_in) + width(&bytes_out) + 10 <= cells { "/s" } else { "" };
        pen.pieces(
            x,
            bottom - 1,
            cells,
            &[
                piece("in ", theme.fg(Role::Dim)),
                piece(bytes_in, theme.bold(Role::Text)),
                piece(" out ", theme.fg(Role::Dim)),
                piece(bytes_out, theme.bold(Role::Text)),
                piece(unit, theme.fg(Role::Dim)),
            ],
        );
    }
}

fn short_totals(pen: &mut Pen<'_>, layout: &ClusterLayout, view: &ClusterView) {
    let theme = pen.theme;
    let (x, y) = (layout.heads.x + 1, layout.heads.y);
    let cells = layout.columns.first().map_or(18, |column| column.x.saturating_sub(x + 1));
    let totals = &view.totals;
    pen.pieces(
        x,
        y,
        cells,
        &[
            piece(count(u64::from(totals.partitions)), theme.bold(Role::Text)),
            piece(" partitions", theme.fg(Role::Dim)),
        ],
    );
    let mut pieces = Vec::new();
    for (severity, number) in [
        (PartitionSeverity::NoLeader, totals.no_leader),
        (PartitionSeverity::Stalled, totals.stalled),
        (PartitionSeverity::MissingCopy, totals.missing_copy),
        (PartitionSeverity::Healthy, totals.all_in_sync),
    ] {
        if number > 0 {
            let mark = mark::severity(severity);
            pieces.push(piece(format!("{}{} ", mark.glyph, count(u64::from(number))), theme.fg(mark.role)));
        }
    }
    pen.pieces(x, y + 1, cells, &pieces);
}

fn headings(pen: &mut Pen<'_>, layout: &ClusterLayout, model: &Model, y: u16) {
    let theme = pen.theme;
    let style = theme.fg(Role::Faint);
    let left = layout.frame.area.x;
    let by = match model.cluster.sort {
        RowSort::WorstFirst => "PARTITION",
        RowSort::Name => "PARTITION ↓",
        RowSort::RecordsBehind => "BY BEHIND ↓",
        RowSort::Rate => "BY RATE ↓",
    };
    pen.text(left + 1, y, 14, by, style);
    if let Some(end) = layout.epoch_end {
        pen.right(left, left + end, y, "EPOCH", style);
    }
    pen.text(left + layout.isr, y, 3, "ISR", style);
    let behind = if layout.shape.long_words { "records behind" } else { "behind" };
    for column in &layout.columns {
        pen.right(column.x, column.x + layout.shape.width, y, behind, style);
    }
    if let Some((end, rate)) = layout.high_watermark {
        let (word, end) = if layout.frame.width >= Width::Full { ("HIGH WATERMARK", rate + 5) } else { ("HW", end) };
        pen.right(left, end, y, word, style);
    }
}

fn table(pen: &mut Pen<'_>, layout: &ClusterLayout, model: &Model, view: &ClusterView) {
    let theme = pen.theme;
    let area = layout.table;
    let end = area.right().saturating_sub(u16::from(layout.frame.width >= Width::Medium));
    let rows = &view.rows;
    if rows.total == 0 && area.height > 0 {
        let filter = &model.cluster.filter;
        let text = match (filter.is_empty(), view.brokers.iter().any(|card| card.state.answers())) {
            (false, _) => format!("No partition matches {filter}."),
            (true, true) => "No partitions.".into(),
            (true, false) => "Nobody answers: partitions show when a broker is up.".into(),
        };
        let x = pen.text(area.x + 3, area.y + area.height / 3, area.width, &text, theme.fg(Role::Text));
        if !filter.is_empty() {
            let y = area.y + area.height / 3;
            let keys = [piece("  Esc", theme.bold(Role::Focus)), piece(" clears the filter", theme.fg(Role::Dim))];
            pen.pieces(x, y, area.right().saturating_sub(x), &keys);
        }
        return;
    }
    for (y, line) in (area.y..area.bottom()).zip(lines(layout, model, view)) {
        match line {
            TableLine::AttentionHeading => {
                let title = [piece(" Needs attention", theme.fg(Role::Dead))];
                let facts = [piece(count(rows.attention_total as u64), theme.fg(Role::Dim))];
                pen.rule(area.x, end, y, &title, &facts);
            }
            TableLine::HealthyHeading => {
                let title = [piece(" Healthy", theme.fg(Role::Sync))];
                let facts = [piece(count((rows.total - rows.attention_total) as u64), theme.fg(Role::Dim))];
                pen.rule(area.x, end, y, &title, &facts);
            }
            TableLine::Row(index) => {
                if let Some(row) = index.checked_sub(rows.first).and_then(|place| rows.rows.get(place)) {
                    partition(pen, layout, model, view, row, y);
                }
            }
            TableLine::More(hidden) => {
                let kind =
                    if rows.total.saturating_sub(hidden) >= rows.attention_total { "more healthy" } else { "more" };
                let text = format!("… {} {kind}", count(hidden as u64));
                let x = pen.text(area.x + 3, y, area.width, &text, theme.fg(Role::Faint));
                if !model.cluster.dense {
                    let keys = [piece("   z", theme.bold(Role::Focus)), piece(" show all", theme.fg(Role::Dim))];
                    pen.pieces(x, y, area.right().saturating_sub(x), &keys);
                }
            }
        }
    }
}

fn partition(pen: &mut Pen<'_>, layout: &ClusterLayout, model: &Model, view: &ClusterView, row: &PartitionRow, y: u16) {
    let theme = pen.theme;
    let area = layout.table;
    let selected = model.cluster.selected.as_ref() == Some(&row.name);
    if selected {
        pen.ground(Rect { y, height: 1, ..area }, Ground::Sel);
        pen.text(area.x, y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
    }
    let healthy = row.severity == PartitionSeverity::Healthy;
    let mark = mark::severity(row.severity);
    let role = if healthy { mark.role.low() } else { mark.role };
    pen.text(area.x + 1, y, 1, mark.glyph, theme.fg(role));
    let name = row.name.to_string();
    let name_style = if healthy && !selected { theme.fg(Role::Dim) } else { theme.bold(Role::Text) };
    pen.text(area.x + 3, y, layout.name_cells, &cut_middle(&name, layout.name_cells), name_style);
    if let Some(end) = layout.epoch_end {
        pen.right(area.x, area.x + end, y, &format!("e{}", row.leader_epoch), theme.fg(Role::Dim));
    }
    let short = row.isr.len() < row.replicas.len();
    if short || layout.frame.width >= Width::Medium {
        let style = if short { theme.bold(Role::Lag) } else { theme.fg(Role::Dim) };
        pen.text(area.x + layout.isr, y, 5, &format!("{}/{}", row.isr.len(), row.replicas.len()), style);
    }
    for column in &layout.columns {
        let Some(replica) = row.replicas.iter().find(|replica| replica.broker == column.broker) else { continue };
        let flash = row.leader == Some(column.broker) && flashes(model, view, row);
        logbar::draw(pen, column.x, y, layout.shape, row, replica, flash);
    }
    high_watermark(pen, layout, view, row, y, healthy && !selected);
}

/// Whether the leader's glyph is turned around at this moment: it moved, and this is an even turn of 150 ms.
fn flashes(model: &Model, view: &ClusterView, row: &PartitionRow) -> bool {
    let since = view.at_ms.saturating_sub(row.leader_since_ms);
    row.leader_since_ms > 0 && !model.theme.reduced_motion && since < FLASH_MS && (since / 150).is_multiple_of(2)
}

fn high_watermark(
    pen: &mut Pen<'_>,
    layout: &ClusterLayout,
    view: &ClusterView,
    row: &PartitionRow,
    y: u16,
    calm: bool,
) {
    let theme = pen.theme;
    let Some((end, rate)) = layout.high_watermark else { return };
    let text = row.high_watermark.map_or(UNKNOWN.to_string(), offset);
    let style = if calm { theme.fg(Role::Dim) } else { theme.bold(Role::Text) };
    pen.right(end.saturating_sub(13), end, y, &text, style);
    let room = layout.frame.area.right().saturating_sub(rate);
    let short = layout.frame.width < Width::Full;
    let (text, style) = match (row.severity, row.stalled_since_ms) {
        (PartitionSeverity::NoLeader, _) if short => (glyphs::HALTED.to_string(), theme.bold(Role::Dead)),
        (PartitionSeverity::NoLeader, _) => (format!("{} offline", glyphs::HALTED), theme.bold(Role::Dead)),
        (_, Some(_)) if short => (glyphs::HALTED.to_string(), theme.bold(Role::Lag)),
        (_, Some(since)) => {
            let stood = span_ms(view.at_ms.saturating_sub(since));
            (format!("{} {stood}", glyphs::HALTED), theme.bold(Role::Lag))
        }
        _ if short => return,
        _ => match row.records_per_s {
            Some(0) => (String::new(), theme.fg(Role::Dim)),
            Some(rate) if layout.frame.width == Width::Wide => (format!("+{} rec/s", count(rate)), theme.fg(Role::Dim)),
            Some(rate) => (format!("+{}/s", count(rate)), theme.fg(Role::Dim)),
            None => (UNKNOWN.to_string(), theme.fg(Role::Faint)),
        },
    };
    pen.text(rate, y, room, &text, style);
}

fn legend(pen: &mut Pen<'_>, layout: &ClusterLayout, view: &ClusterView, y: u16) {
    let theme = pen.theme;
    let narrow = layout.frame.width == Width::Narrow;
    let gap = if narrow { " " } else { "   " };
    // A letter that stands for a glyph would run into the word.
    let glue = if narrow && !theme.ascii { "" } else { " " };
    let dim = theme.fg(Role::Dim);
    let signs = [
        (glyphs::LEADER, Role::Lead, "leader"),
        (glyphs::ALIVE, Role::Sync, "in sync"),
        (glyphs::OUT_OF_SYNC, Role::Lag, if narrow { "behind" } else { "out of sync" }),
        (glyphs::DEAD, Role::Dead, "dead"),
        (glyphs::LAST_COPY, Role::Dead, "last complete copy"),
        (glyphs::CONTROLLER, Role::Lead, "controller"),
    ];
    let shown = match layout.frame.width {
        Width::Narrow => 4,
        Width::Medium => 5,
        _ => 6,
    };
    let mut bars = Vec::new();
    if layout.frame.width >= Width::Full {
        bars.push(piece(format!("   {}:  ", scales(view)), theme.fg(Role::Faint)));
    }
    let above = if narrow { "not yet" } else { "above HW" };
    for (glyph, word) in [(glyphs::COMMITTED, "committed"), (glyphs::ABOVE_HW, above), (glyphs::MISSING, "missing")] {
        bars.push(piece(glyph, theme.fg(Role::Text).remove_modifier(Modifier::BOLD)));
        if !narrow {
            bars.push(piece(glyph, theme.fg(Role::Text)));
        }
        bars.push(piece(format!("{glue}{word}{}", if narrow { " " } else { "  " }), dim));
    }
    let cells = |pieces: &[Piece<'_>]| pieces.iter().map(|piece| width(&piece.0)).sum::<u16>();
    let mut left = layout.frame.area.width.saturating_sub(1 + cells(&bars));
    let mut pieces = vec![piece(" ", dim)];
    for (glyph, role, word) in signs.into_iter().take(shown) {
        let word = format!("{glue}{word}{gap}");
        let sign = [piece(glyph, theme.fg(role)), piece(word, dim)];
        // A sign that does not fit is left out whole: `?` has them all.
        let Some(rest) = left.checked_sub(cells(&sign)) else { break };
        left = rest;
        pieces.extend(sign);
    }
    pieces.extend(bars);
    pen.pieces(layout.frame.area.x, y, layout.frame.area.width, &pieces);
}

/// `newest 64 to 4,096 records`: the scales of the bars in view.
fn scales(view: &ClusterView) -> String {
    let scales = view.rows.rows.iter().map(logbar::scale);
    let least = scales.clone().min().unwrap_or(64);
    let most = scales.max().unwrap_or(64);
    if least == most {
        format!("newest {} records", offset(least as i64))
    } else {
        format!("newest {} to {} records", offset(least as i64), offset(most as i64))
    }
}

/// What stands at a cell of the screen, for the mouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hit {
    /// A partition, and the broker of the column if one is there.
    Row(PartitionName, Option<crate::cluster::view::BrokerId>),
    /// A broker's card.
    Card(crate::cluster::view::BrokerId),
    /// The `… more` line.
    More,
    /// The timeline.
    Timeline,
    /// The headline.
    Headline,
    /// Nothing that reacts.
    Nothing,
}

/// What stands at (`x`, `y`).
pub fn hit(model: &Model, view: &ClusterView, frame: Frame, x: u16, y: u16) -> Hit {
    let layout = layout(model, view, frame);
    if y == frame.headline {
        return Hit::Headline;
    }
    if (frame.timeline.top()..frame.timeline.bottom()).contains(&y) {
        return Hit::Timeline;
    }
    if (layout.heads.top()..layout.heads.bottom()).contains(&y) {
        return layout.column_at(x).map_or(Hit::Nothing, |column| Hit::Card(column.broker));
    }
    if (layout.table.top()..layout.table.bottom()).contains(&y) {
        let line = lines(&layout, model, view).get(usize::from(y - layout.table.y)).copied();
        return match line {
            Some(TableLine::Row(index)) => {
                let row = index.checked_sub(view.rows.first).and_then(|place| view.rows.rows.get(place));
                let broker = layout.column_at(x).map(|column| column.broker);
                row.map_or(Hit::Nothing, |row| Hit::Row(row.name.clone(), broker))
            }
            Some(TableLine::More(_)) => Hit::More,
            _ => Hit::Nothing,
        };
    }
    Hit::Nothing
}

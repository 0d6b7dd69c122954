//! The replicas' logs on one axis: ruler, batches filled by leader epoch, the high watermark and the last stable offset through all of
//! them, and what will be cut.
//!
//! Invariants: a column is the same offset in every row; a fill is the epoch of the first offset of its cell; what no broker told is
//! drawn without an epoch.

use super::{Layout, Track, selected_replica};
use crate::cluster::view::{BrokerState, ClusterView, ReplicaRole, TruncationStage, XrayReplica, XrayView};
use crate::tui::glyphs;
use crate::tui::layout::Frame;
use crate::tui::model::Model;
use crate::tui::numbers::{UNKNOWN, lag, offset};
use crate::tui::pen::{Pen, Piece, piece, pieces_width, width};
use crate::tui::theme::Role;
use crate::tui::widgets::mark;
use crate::tui::widgets::offsets::Offsets;
use ratatui::style::Modifier;
use std::collections::BTreeSet;

/// Last stable offset.
const LSO: &str = "┊";
/// Where a log is cut.
const CUT_POINT: &str = "⇤";
/// Between batches.
const BORDER: &str = "▏";

/// The leader epochs that are in view, in order.
pub(super) fn epochs_in_view(xray: &XrayView, axis: &Offsets) -> Vec<i32> {
    let mut epochs = BTreeSet::new();
    for replica in &xray.replicas {
        epochs.extend(spans(replica, axis).into_iter().map(|(epoch, ..)| epoch));
    }
    epochs.into_iter().collect()
}

/// The stretches of one epoch each that a replica has in view: epoch, first offset and the one after the last.
fn spans(replica: &XrayReplica, axis: &Offsets) -> Vec<(i32, i64, i64)> {
    let end = replica.log_end.unwrap_or(0).min(axis.to());
    let first = replica.log_start.max(axis.from);
    let ends = replica.epochs.iter().skip(1).map(|(_, start)| *start).chain([i64::MAX]);
    let spans =
        replica.epochs.iter().zip(ends).map(|((epoch, start), until)| (*epoch, (*start).max(first), until.min(end)));
    spans.filter(|(_, from, to)| from < to).collect()
}

pub(super) fn draw(
    pen: &mut Pen<'_>,
    model: &Model,
    view: &ClusterView,
    xray: &XrayView,
    axis: &Offsets,
    layout: &Layout,
    frame: Frame,
) {
    ruler(pen, axis, layout);
    let selected = selected_replica(model, xray);
    let frame_shown = model.partition.frame(model.now_ms);
    for track in &layout.tracks {
        let replica = &xray.replicas[track.index];
        name(pen, view, xray, replica, track, selected == Some(track.index), frame);
        fill(pen, replica, track, axis);
        numbers(pen, xray, replica, track, layout);
    }
    lines(pen, xray, axis, layout);
    for track in &layout.tracks {
        tail(pen, xray, &xray.replicas[track.index], track, axis, frame_shown);
    }
    if layout.hidden > 0 {
        let text = format!("+{} more replicas  j k", layout.hidden);
        pen.text(1, layout.lines, layout.x, &text, pen.theme.fg(Role::Dim));
    }
}

fn ruler(pen: &mut Pen<'_>, axis: &Offsets, layout: &Layout) {
    let theme = pen.theme;
    pen.text(1, layout.ruler, 8, "OFFSET", theme.fg(Role::Faint));
    let every = axis.mark_every();
    if let Some(y) = layout.marks {
        pen.repeat(axis.x, y, axis.cells, "─", theme.fg(Role::Line));
    }
    let mut at = axis.from.div_euclid(every) * every;
    while at < axis.to() {
        if let Some(column) = axis.column(at) {
            if let Some(y) = layout.marks {
                pen.text(column, y, 1, "┬", theme.fg(Role::Line));
            }
            let text = offset(at);
            if column + width(&text) <= axis.end() {
                pen.text(column, layout.ruler, 20, &text, theme.fg(Role::Dim));
            }
        }
        at = at.saturating_add(every);
    }
}

/// Who it is and what it does.
fn name(
    pen: &mut Pen<'_>,
    view: &ClusterView,
    xray: &XrayView,
    replica: &XrayReplica,
    track: &Track,
    is_selected: bool,
    frame: Frame,
) {
    let theme = pen.theme;
    let mark = mark::replica(replica.role);
    let card = view.brokers.iter().find(|card| card.id == replica.broker);
    let is_cutting = replica.diverges_at.is_some() || cut_of(xray, replica).is_some();
    let believes = replica.role != ReplicaRole::Leader
        && replica.diverges_at.is_some()
        && card.is_some_and(|card| card.state.answers());
    let word = match (replica.role, card.map(|card| &card.state)) {
        _ if believes && is_before(xray, TruncationStage::Asks) => "cut off",
        (ReplicaRole::Dead | ReplicaRole::LastComplete, _) => mark.word,
        (_, Some(BrokerState::Starting)) => "starting",
        _ if is_cutting => "truncating",
        _ => mark.word,
    };
    let (x, cells) = (frame.body.x, 12.max(frame.body.width / 8));
    if is_selected {
        for y in track.y..track.y + track.height {
            pen.text(x, y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
        }
    }
    pen.text(x + 1, track.y, 1, mark.glyph, theme.bold(mark.role));
    pen.text(x + 3, track.y, cells, &format!("broker {}", replica.broker), theme.bold(mark.role));
    if track.height > 1 {
        pen.text(x + 3, track.y + 1, cells, word, theme.fg(Role::Dim));
    }
    if track.height > 2 && xray.replicas.first().is_some_and(|first| first.broker == replica.broker) {
        pen.text(x + 3, track.y + 2, cells, "preferred", theme.fg(Role::Faint));
    }
}

fn is_before(xray: &XrayView, stage: TruncationStage) -> bool {
    xray.truncation.as_ref().is_some_and(|truncation| truncation.stage < stage)
}

/// Where a replica was cut a moment ago: from and to.
fn cut_of(xray: &XrayView, replica: &XrayReplica) -> Option<(i64, i64)> {
    let truncation = xray.truncation.as_ref()?;
    let is_it = truncation.broker == replica.broker && truncation.stage == TruncationStage::Cuts;
    is_it.then_some((truncation.to, truncation.from))
}

/// The log as far as it is in view: a fill a leader epoch, a line and three digits a batch.
fn fill(pen: &mut Pen<'_>, replica: &XrayReplica, track: &Track, axis: &Offsets) {
    let theme = pen.theme;
    let rows = track.y..track.y + track.height;
    let known = spans(replica, axis);
    let end = replica.log_end.unwrap_or(0);
    let unknown_end = if replica.epochs.is_empty() { end } else { replica.epochs[0].1.min(end) };
    for column in axis.columns(replica.log_start, unknown_end) {
        for y in rows.clone() {
            pen.text(column, y, 1, glyphs::COMMITTED, theme.fg(Role::Dim));
        }
    }
    for (epoch, from, to) in &known {
        let columns = axis.columns(*from, *to);
        for y in rows.clone() {
            pen.repeat(columns.start, y, columns.end.saturating_sub(columns.start), " ", theme.epoch(*epoch));
        }
    }
    let heads = replica.batches.as_deref().unwrap_or_default();
    // A border stands beside a batch of two cells at least: between narrower ones it would say nothing true.
    let mut was_wide = true;
    for (at, head) in heads.iter().enumerate().filter(|(_, head)| head.base_offset < end) {
        let Some(column) = axis.column(head.base_offset) else { continue };
        let next = heads.get(at + 1).map_or(head.last_offset + 1, |next| next.base_offset);
        let cells = axis.columns(head.base_offset, next.min(end)).len();
        let is_wide = cells >= 2 && axis.column(head.last_offset) != Some(column);
        if !std::mem::replace(&mut was_wide, is_wide) && !is_wide {
            continue;
        }
        let style = theme.epoch(head.leader_epoch);
        for y in rows.clone() {
            pen.text(column, y, 1, BORDER, style);
        }
        let room = u16::try_from(cells).unwrap_or(0).saturating_sub(1);
        if room >= 3 {
            let digits = format!("{:03}", head.base_offset % 1_000);
            pen.text(column + 1, track.y, room, &digits, style);
        }
        if head.is_control && track.height > 2 && room >= 1 {
            pen.text(column + 1, track.y + 2, room, "end", style);
        }
    }
    if track.height > 1 {
        for (epoch, from, to) in &known {
            let columns = axis.columns(*from, *to);
            let room = columns.end.saturating_sub(columns.start + 1);
            let long = format!("epoch {epoch}");
            let text = if room > width(&long) { long } else { format!("e{epoch}") };
            if room >= width(&text) {
                let style = theme.epoch(*epoch).add_modifier(Modifier::BOLD);
                pen.text(columns.start + 1, track.y + 1, room, &text, style);
            }
        }
    }
}

/// What will go or has just gone: hatched, with its count.
fn tail(pen: &mut Pen<'_>, xray: &XrayView, replica: &XrayReplica, track: &Track, axis: &Offsets, shown: Option<u8>) {
    let theme = pen.theme;
    let now = replica.diverges_at.and_then(|at| Some((at, replica.log_end?, "to cut")));
    let done = cut_of(xray, replica).map(|(to, from)| (to, from, "cut"));
    let replayed = xray.truncation.as_ref().filter(|cut| shown.is_some() && cut.broker == replica.broker);
    let replayed = replayed.and_then(|cut| match shown? {
        1 => Some((cut.to, cut.from, "extra")),
        2 => Some((cut.to, cut.from, "asked for")),
        3 => Some((cut.to, cut.from, "cut")),
        _ => None,
    });
    let Some((from, to, word)) = (if shown.is_some() { replayed } else { now.or(done) }) else { return };
    let columns = axis.columns(from, to);
    let cells = columns.end.saturating_sub(columns.start);
    if cells == 0 {
        return;
    }
    // What has been copied since is drawn as it is: only the last row still tells what stood there.
    let has_regrown = replica.diverges_at.is_none() && replica.log_end.is_some_and(|end| end > from);
    if has_regrown && track.height == 1 {
        return;
    }
    let top = if has_regrown { track.y + track.height - 1 } else { track.y };
    for y in top..track.y + track.height {
        pen.clear(
            ratatui::layout::Rect { x: columns.start, y, width: cells, height: 1 },
            crate::tui::theme::Ground::Canvas,
        );
        pen.repeat(columns.start, y, cells, glyphs::CUT, theme.fg(Role::Dead));
        pen.text(columns.start, y, 1, CUT_POINT, theme.bold(Role::Dead));
    }
    let chip = format!(" {} {word} ", offset(to - from));
    let middle = track.y + track.height.saturating_sub(2).max(u16::from(track.height > 1));
    let y = middle.max(top);
    let x = if cells >= width(&chip) + 2 { columns.start + 2 } else { columns.end + 1 };
    if x + width(&chip) <= axis.end() {
        pen.text(x, y, width(&chip), &chip, theme.chip(Role::Dead));
    } else {
        pen.right(axis.x, columns.start, y, &chip, theme.chip(Role::Dead));
    }
}

/// The high watermark and, where a transaction is open, the last stable offset, through all rows, and their names below.
fn lines(pen: &mut Pen<'_>, xray: &XrayView, axis: &Offsets, layout: &Layout) {
    let theme = pen.theme;
    let top = layout.marks.unwrap_or(layout.ruler + 1);
    let high_watermark = xray.high_watermark;
    let stable = xray.last_stable_offset.filter(|stable| high_watermark.is_some_and(|high| *stable < high));
    let drawn = |pen: &mut Pen<'_>, at: Option<i64>, glyph: &str| {
        let column = at.and_then(|at| axis.column(at))?;
        for y in top..layout.lines {
            let style = theme.bold(Role::Text);
            pen.text(column, y, 1, glyph, style);
        }
        Some(column)
    };
    let stable_at = drawn(pen, stable, LSO);
    let high_at = drawn(pen, high_watermark, glyphs::BAR);
    let y = layout.lines;
    let mut end = axis.end();
    if let (Some(high), Some(column)) = (high_watermark, high_at) {
        let label = format!(" HW {}", offset(high));
        pen.text(column, y, 1, glyphs::BAR, theme.bold(Role::Text));
        let room = pen.buffer.area.right().saturating_sub(column + 1);
        if width(&label) <= room {
            pen.text(column + 1, y, room, &label, theme.bold(Role::Text));
            end = column;
        } else {
            end = pen
                .right(axis.x, column, y, &format!("HW {} ", offset(high)), theme.bold(Role::Text))
                .saturating_sub(1);
        }
    }
    let (Some(stable), Some(column)) = (stable, stable_at) else { return };
    let who = xray.producers.iter().find(|producer| producer.known.summary.open_since().is_some());
    let who = who.map(|producer| match &producer.transactional_id {
        Some(id) => id.to_string(),
        None => producer.known.summary.producer_id.to_string(),
    });
    let who = who.map_or(String::new(), |who| format!(": transaction {who} is open"));
    let label = format!("LSO {} ", offset(stable));
    let (dim, line) = (theme.fg(Role::Dim), theme.fg(Role::Line));
    for before in
        [format!("readers with read_committed stop at the LSO{who} "), "open transaction ".to_owned(), String::new()]
    {
        let pieces: [Piece<'_>; 4] = [
            piece(before, dim),
            piece("─", line),
            piece(label.as_str(), theme.fg(Role::Text)),
            piece("┘", theme.fg(Role::Text)),
        ];
        let cells = pieces_width(&pieces);
        if column + 1 >= axis.x + cells && column < end {
            pen.pieces(column + 1 - cells, y, cells, &pieces);
            pen.repeat(column + 1, y, end.saturating_sub(column + 1), "─", line);
            return;
        }
    }
}

/// Where the log ends, and what that means.
fn numbers(pen: &mut Pen<'_>, xray: &XrayView, replica: &XrayReplica, track: &Track, layout: &Layout) {
    let theme = pen.theme;
    let x = layout.right + 1;
    let cells = pen.buffer.area.right().saturating_sub(x + 1);
    if cells < 8 {
        return;
    }
    let end = replica.log_end.map_or(UNKNOWN.to_owned(), offset);
    let mut first = vec![piece("LEO ", theme.fg(Role::Dim)), piece(end, theme.bold(Role::Text))];
    if let Some(at) = replica.diverges_at {
        first.push(piece(format!(" → {}", offset(at)), theme.fg(Role::Dead)));
    }
    if pieces_width(&first) > cells {
        first.remove(0);
    }
    pen.pieces(x, track.y, cells, &first);
    if track.height < 2 {
        return;
    }
    let (role, text) = match replica.role {
        ReplicaRole::Leader if xray.isr.len() < xray.min_isr as usize => (Role::Dead, "refuses acks=all".to_owned()),
        ReplicaRole::Leader => (Role::Lead, "takes writes".to_owned()),
        _ if replica.log_end.is_none() => (Role::Dim, "nothing known".to_owned()),
        ReplicaRole::Dead | ReplicaRole::LastComplete => (Role::Dim, format!("{} behind, down", lag(replica.behind))),
        _ if replica.diverges_at.is_some() => (Role::Lag, format!("{} behind after cut", lag(replica.behind))),
        ReplicaRole::InSync if replica.behind == 0 => (Role::Sync, "has everything".to_owned()),
        ReplicaRole::InSync => (Role::Sync, format!("{} behind", lag(replica.behind))),
        _ => (Role::Lag, format!("{} behind", lag(replica.behind))),
    };
    pen.text(x, track.y + 1, cells, &text, theme.fg(role));
    if track.height > 2 && replica.log_start > 0 {
        pen.text(x, track.y + 2, cells, &format!("from {}", offset(replica.log_start)), theme.fg(Role::Faint));
    }
}

//! The Partition screen: one partition from the inside.
//!
//! ```text
//! ‹ orders-0 ›  ◆ leader 3  epoch 8  ISR 3, 1  min ISR 2  HW 12,866 +212/s    ■ epoch 7  ■ epoch 8   1 cell = 1 record
//! OFFSET        12,800              12,820              12,840              12,860
//! ◆ broker 3    ▏788    ▏796     ▏805   ▏812    ▏820  ▏826    ▏834  ▏840    ▏847 ┊    ┃▏869         LEO 12,873
//! ◌ broker 2    ▏788    ▏796     ▏805   ▏812    ▏820  ▏826    ▏834  ⇤╱╱╱ 14 to cut ╱╱╱              LEO 12,854 → 12,840
//! ╭─ 1 14 extra ─╮ ╭─ 2 Asks where ─╮ ╭─ 3 Cuts its log ─╮ ╭─ 4 Copies, rejoins ─╮
//! Leader epochs ──────────    Replica sets ──────────    Producers ──────────
//! ```
//! Invariants: drawing and the mouse share [`layout`]; what is drawn is one stretch of offsets of one partition, whatever else there is.

mod strip;
mod tables;
mod tracks;

use crate::cluster::view::{BrokerId, ClockMode, ClusterView, Truncation, XrayView};
use crate::tui::draw::armed_hint;
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Height, Width};
use crate::tui::model::Model;
use crate::tui::numbers::{UNKNOWN, count, offset, plural};
use crate::tui::pen::{Pen, Piece, cut_middle, piece, pieces_width, width};
use crate::tui::theme::Role;
use crate::tui::widgets::hints::{self, HintRow};
use crate::tui::widgets::offsets::Offsets;
use ratatui::layout::Rect;

/// A replica's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Track {
    /// Its place in [`XrayView::replicas`].
    pub index: usize,
    /// Its first row.
    pub y: u16,
    /// How many rows it has.
    pub height: u16,
}

/// Where everything stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Row of the facts.
    pub title: u16,
    /// Row of the ruler's numbers.
    pub ruler: u16,
    /// Row of the ruler's marks.
    pub marks: Option<u16>,
    /// The replicas in view.
    pub tracks: Vec<Track>,
    /// Replicas that do not fit.
    pub hidden: usize,
    /// The axis, but for what stands on it.
    pub x: u16,
    /// Its cells.
    pub cells: u16,
    /// Where the numbers at the right begin.
    pub right: u16,
    /// Row of the lines' names.
    pub lines: u16,
    /// The frames of a truncation.
    pub strip: Rect,
    /// The tables.
    pub tables: Rect,
}

/// Lays the screen out for this many replicas. `selected` is kept in view.
pub fn layout(frame: Frame, replicas: usize, selected: usize, has_strip: bool) -> Layout {
    let body = frame.body;
    let is_short = frame.height == Height::Short;
    let (left, at_right) = match frame.width {
        Width::Narrow => (13, 0),
        Width::Medium => (16, 20),
        Width::Full => (20, 23),
        Width::Wide => (22, 26),
    };
    let title = body.y;
    let ruler = if frame.height == Height::Tall { body.y + 2 } else { body.y + 1 };
    let marks = (!is_short).then_some(ruler + 1);
    let top = marks.unwrap_or(ruler) + 1;
    let strip_height = match (has_strip, frame.height) {
        (false, _) => 0,
        (true, Height::Short) => 5,
        (true, Height::Middle) => 6,
        (true, Height::Tall) => 8,
    };
    let gap = u16::from(!is_short);
    let least_tables = if is_short { 4 } else { 6 };
    // Below the replicas: the names of the lines, the frames and the tables, each with a gap before it.
    let below = 1 + strip_height + gap * u16::from(has_strip) + least_tables + gap;
    let room = body.bottom().saturating_sub(top + below).max(2);
    let count = u16::try_from(replicas.max(1)).unwrap_or(u16::MAX);
    let tallest = match frame.height {
        Height::Short => 2,
        Height::Middle => 3,
        Height::Tall => 4,
    };
    // Rows beside each other before rows apart: a copy of one row has no room for its state.
    let shapes = (2..=tallest).rev().map(|height| (height, gap)).chain((1..=tallest).rev().map(|height| (height, 0)));
    let fits = |(height, gap): &(u16, u16)| count.saturating_mul(height + gap) <= room + gap;
    let (height, between) = shapes.into_iter().find(fits).unwrap_or((1, 0));
    let in_view = usize::from(((room + between) / (height + between)).max(1)).min(replicas.max(1));
    let first = (selected + 1).saturating_sub(in_view).min(replicas.saturating_sub(in_view));
    let tracks: Vec<Track> = (first..replicas.min(first + in_view))
        .zip(0_u16..)
        .map(|(index, row)| Track { index, y: top + row * (height + between), height })
        .collect();
    let lines = tracks.last().map_or(top, |track| track.y + track.height);
    let strip_y = lines + 1 + gap;
    let strip = Rect { x: body.x, y: strip_y, width: body.width, height: strip_height };
    let tables_y = if has_strip { strip.bottom() + gap } else { lines + 1 + gap };
    let x = body.x + left;
    let right = body.right().saturating_sub(at_right);
    Layout {
        title,
        ruler,
        marks,
        hidden: replicas.saturating_sub(tracks.len()),
        tracks,
        x,
        cells: right.saturating_sub(x + 1),
        right,
        lines,
        strip,
        tables: Rect {
            x: body.x + 1,
            y: tables_y,
            width: body.width.saturating_sub(2),
            height: body.bottom().saturating_sub(tables_y),
        },
    }
}

/// The layout of what is shown now.
pub fn layout_of(model: &Model, xray: &XrayView, frame: Frame) -> Layout {
    let selected = selected_replica(model, xray).unwrap_or(0);
    layout(frame, xray.replicas.len(), selected, xray.truncation.is_some())
}

/// The replica on the broker that is selected everywhere.
pub fn selected_replica(model: &Model, xray: &XrayView) -> Option<usize> {
    let broker = model.cluster.broker?;
    xray.replicas.iter().position(|replica| replica.broker == broker)
}

/// What a place on the screen is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// A replica.
    Replica(BrokerId),
    /// The partition before.
    Previous,
    /// The partition after.
    Next,
    /// The frames of a truncation.
    Strip,
    /// The tables.
    Tables,
    /// The headline.
    Headline,
    /// Anything else.
    Nothing,
}

/// What stands at a place.
pub fn hit(model: &Model, xray: &XrayView, frame: Frame, x: u16, y: u16) -> Hit {
    let layout = layout_of(model, xray, frame);
    let name_end = frame.body.x + 3 + width(&xray.name.to_string());
    if y == frame.headline {
        return Hit::Headline;
    }
    if y == layout.title {
        return match x {
            x if x < frame.body.x + 3 => Hit::Previous,
            x if x >= name_end && x < name_end + 3 => Hit::Next,
            _ => Hit::Nothing,
        };
    }
    if let Some(track) = layout.tracks.iter().find(|track| (track.y..track.y + track.height).contains(&y)) {
        return Hit::Replica(xray.replicas[track.index].broker);
    }
    let within = |area: Rect| (area.y..area.bottom()).contains(&y);
    match () {
        () if within(layout.strip) => Hit::Strip,
        () if within(layout.tables) => Hit::Tables,
        () => Hit::Nothing,
    }
}

/// Draws the screen into the frame's body.
pub fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let Some(xray) = view.xray.as_deref() else {
        nothing(pen, model, frame.body);
        return;
    };
    let layout = layout_of(model, xray, frame);
    let axis =
        Offsets { x: layout.x, cells: layout.cells, from: model.partition.from, per_cell: model.partition.per_cell };
    facts(pen, xray, &axis, &layout, frame, is_not_recorded(view, xray));
    tracks::draw(pen, model, view, xray, &axis, &layout, frame);
    if let Some(truncation) = &xray.truncation {
        strip::draw(pen, xray, truncation, model.partition.frame(model.now_ms), layout.strip, frame);
    }
    tables::draw(pen, xray, model.partition.pane, layout.tables, frame);
}

/// Whether the inside of the logs is not known, as nobody looked into them at the moment that is viewed.
fn is_not_recorded(view: &ClusterView, xray: &XrayView) -> bool {
    let is_told = xray.replicas.iter().any(|replica| replica.batches.is_some());
    !is_told && view.host.can.recall && matches!(view.clock, ClockMode::Rewound { .. })
}

fn nothing(pen: &mut Pen<'_>, model: &Model, body: Rect) {
    let theme = pen.theme;
    let text = match &model.cluster.selected {
        Some(name) => format!("There is no partition {name}."),
        None => "There is no partition yet.".to_owned(),
    };
    let lines = [
        (text.as_str(), theme.bold(Role::Text)),
        ("This screen shows the copies of one partition beside each other.", theme.fg(Role::Dim)),
        ("1 and ↵ choose one, :xray orders-0 goes to it", theme.fg(Role::Client)),
    ];
    let mut y = body.y + body.height.saturating_sub(5) / 2;
    for (text, style) in lines {
        let x = body.x + body.width.saturating_sub(width(text)) / 2;
        pen.text(x, y, body.width, text, style);
        y += 2;
    }
}

fn joined(brokers: &[BrokerId]) -> String {
    let ids: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
}

/// `‹ orders-0 ›  ◆ leader 3  epoch 8 …`, and the legend of the fills at the right as far as there is room.
fn facts(pen: &mut Pen<'_>, xray: &XrayView, axis: &Offsets, layout: &Layout, frame: Frame, is_unknown: bool) {
    let theme = pen.theme;
    let (dim, strong) = (theme.fg(Role::Dim), theme.bold(Role::Text));
    let is_narrow = frame.width == Width::Narrow;
    let gap = if is_narrow { "  " } else { "   " };
    let arrow = |there: bool| theme.bold(if there { Role::Focus } else { Role::Line });
    let name = xray.name.to_string();
    let mut pieces: Vec<Piece<'_>> = vec![
        piece("‹ ", arrow(xray.previous.is_some())),
        piece(cut_middle(&name, frame.body.width / 3).into_owned(), strong),
        piece(" ›", arrow(xray.next.is_some())),
        piece(gap, dim),
    ];
    match xray.leader {
        Some(leader) => {
            pieces.push(piece(if is_narrow { "◆ " } else { "◆ leader " }, theme.fg(Role::Lead)));
            pieces.push(piece(leader.to_string(), strong));
        }
        None => pieces.push(piece(format!("{} no leader", glyphs::DEAD), theme.bold(Role::Dead))),
    }
    let is_below = xray.isr.len() < xray.min_isr as usize;
    let isr = if is_below { theme.bold(Role::Dead) } else { strong };
    let told = |value: Option<i64>| value.map_or(UNKNOWN.to_owned(), offset);
    pieces.extend([
        piece(format!("{gap}epoch "), dim),
        piece(xray.leader_epoch.to_string(), strong),
        piece(format!("{gap}ISR "), dim),
        piece(joined(&xray.isr), isr),
    ]);
    if !is_narrow {
        pieces.extend([piece(format!("{gap}min ISR "), dim), piece(xray.min_isr.to_string(), strong)]);
    }
    pieces.extend([piece(format!("{gap}HW "), dim), piece(told(xray.high_watermark), strong)]);
    match (xray.stalled_since_ms, xray.records_per_s) {
        (Some(_), _) => pieces.push(piece(format!(" {} stands", glyphs::HALTED), theme.fg(Role::Lag))),
        (None, Some(rate)) => pieces.push(piece(format!(" +{}/s", count(rate)), dim)),
        (None, None) => {}
    }
    let x = frame.body.x + 1;
    let end = frame.body.right().saturating_sub(1);
    let after = pen.pieces(x, layout.title, end.saturating_sub(x), &pieces);
    if is_unknown {
        let role = theme.fg(Role::Lag);
        for text in
            ["batches were not in view at this moment: not recorded", "not in view then: not recorded", "not recorded"]
        {
            if after + 2 + width(text) <= end {
                pen.right(after + 2, end, layout.title, text, role);
                return;
            }
        }
    }
    let scale = format!("1 cell = {}", plural(axis.per_cell.max(1), "record"));
    let mut legend: Vec<Piece<'_>> = Vec::new();
    let mut epochs: Vec<i32> = tracks::epochs_in_view(xray, axis);
    epochs.reverse();
    epochs.truncate(3);
    for epoch in epochs {
        legend.push(piece("  ", theme.epoch(epoch)));
        legend.push(piece(format!(" epoch {epoch}   "), dim));
    }
    if xray.replicas.iter().any(|replica| replica.diverges_at.is_some()) {
        legend.push(piece("╱╱", theme.fg(Role::Dead)));
        legend.push(piece(" will be removed   ", dim));
    }
    legend.push(piece(scale, theme.fg(Role::Text)));
    while !legend.is_empty() && after + 2 + pieces_width(&legend) > end {
        legend.drain(..legend.len().min(2));
    }
    pen.pieces_right(after + 2, end, layout.title, &legend);
}

/// The hint row of this screen.
pub fn hints(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let row = HintRow::begin(pen, frame);
    if let Some(armed) = &model.armed {
        armed_hint(pen, armed, row.x, row.until, row.y);
        return;
    }
    let has_frames = view.xray.as_ref().is_some_and(|xray| xray.truncation.is_some());
    let time = hints::space(view);
    let keys = [
        ("h l", "partition", true),
        ("j k", "replica", true),
        ("t", "truncation frames", has_frames),
        ("o", "go to offset", true),
        ("PgUp PgDn", "scroll", true),
        ("z", "zoom", true),
        ("K", "kill −9", view.host.can.faults),
        ("Tab", "tables", frame.width < Width::Full),
        ("Space", time, view.host.can.pause),
        ("Esc", "back", true),
    ];
    row.keys(pen, &keys);
}

/// `14 records`.
fn records(truncation: &Truncation) -> String {
    plural(truncation.records(), "record")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(columns: u16, rows: u16) -> Frame {
        Frame::of(Rect::new(0, 0, columns, rows), true).expect("large enough")
    }

    #[test]
    fn nothing_overlaps_at_any_size() {
        for (columns, rows) in [(60, 16), (80, 24), (100, 30), (120, 36), (160, 45), (200, 60)] {
            for (replicas, has_strip) in [(1, false), (3, true), (3, false), (5, true), (9, true)] {
                let frame = frame(columns, rows);
                let layout = layout(frame, replicas, replicas - 1, has_strip);
                let told = format!("{columns}x{rows} {replicas} {layout:?}");
                assert!(layout.tracks.windows(2).all(|pair| pair[0].y + pair[0].height <= pair[1].y), "{told}");
                assert_eq!(layout.tracks.last().expect("one at least").index, replicas - 1, "{told}");
                assert!(layout.lines >= layout.tracks.last().expect("one").y, "{told}");
                assert!(layout.strip.y > layout.lines && layout.tables.y > layout.lines, "{told}");
                assert!(layout.tables.bottom() <= frame.body.bottom().max(layout.tables.y), "{told}");
                assert!(layout.cells >= 40, "{told}");
            }
        }
    }

    #[test]
    fn the_picture_s_size_shows_all_of_it() {
        let layout = layout(frame(160, 45), 3, 0, true);
        assert_eq!((layout.tracks.len(), layout.tracks[0].height, layout.hidden), (3, 4, 0));
        assert!(layout.tables.height >= 7, "{layout:?}");
        let small = super::layout(frame(80, 24), 3, 0, true);
        assert_eq!((small.tracks.len(), small.tracks[0].height, small.strip.height), (3, 2, 5));
        assert!(small.tables.height >= 4, "{small:?}");
    }
}

//! The timeline: facts on one axis that ends now, lanes where there is room. While the past of a live cluster is viewed the axis stands still
//! and the playhead moves on it.
//!
//! ```text
//! Timeline ───────────────────────────────────────────── 60 s window  { } event  Space pause
//! Faults            ≈ broker 5 disk +200 ms ───────────────────────── kill −9 broker 2 ✕──┃
//! Control                                 ▼ clicks-1 ISR 2,5 → 2    fenced 2, 3 leaders ⊘◆┃
//! HW stalls   ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▇▇▇▇┃
//! MB/s in     ▃▃▃▂▂▂▃▃▃▃▃▃▂▂▂▂▂▃▃▃▃▃▃▃▃▃▃▃▂▂▂▂▂▂▃▃▃▃▃▃▃▃▃▃▃▃▂▂▂▂▂▂▂▃▃▃▃▃▃▃▃▃▃▃▂▂┃
//!             ⊥ −60 s ────────── ⊥ −40 s ────────── ⊥ −20 s ──────────────────────── now
//! ```
//! Invariants: a fact's glyph stands at its moment even where its text does not fit; the newest facts get their text
//! first; the cost depends on the facts in the window and on the width alone.

use super::hints;
use super::mark::{self, Lane};
use super::spark;
use crate::cluster::view::{ClockMode, ClusterView, TimelineEvent};
use crate::tui::keymap::{self, Action};
use crate::tui::layout::{Frame, Width};
use crate::tui::numbers::{moment, round_span, span_ms};
use crate::tui::pen::{Pen, Piece, piece, pieces_width, width};
use crate::tui::{glyphs, theme::Role};
use ratatui::layout::Rect;
use ratatui::style::Modifier;

/// The axis: which columns it has and which time they stand for.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// First column.
    pub x: u16,
    /// Column of the playhead: the first one after the axis.
    pub end: u16,
    now_ms: u64,
    window_ms: u64,
}

impl Axis {
    /// The axis of a timeline in `area`.
    pub fn of(area: Rect, view: &ClusterView) -> Axis {
        let labelled = area.height > 1;
        let x = area.x + if labelled { 12 } else { 7 };
        let end = area.right().saturating_sub(if area.width >= 140 { 10 } else { 6 }).max(x + 1);
        Axis { x, end, now_ms: view.timeline.end_ms.max(view.at_ms), window_ms: view.timeline.window_ms.max(1) }
    }

    fn cells(&self) -> u16 {
        self.end - self.x
    }

    /// The last moment of a column; `None` right of the axis.
    pub fn moment(&self, x: u16) -> Option<u64> {
        let from_right = (self.end - 1).checked_sub(x.max(self.x))?;
        let ago = (u64::from(from_right) * self.window_ms).div_ceil(u64::from(self.cells()));
        Some(self.now_ms.saturating_sub(ago))
    }

    /// Where the playhead stands: at the end, or where the past that is viewed is.
    fn playhead(&self, view: &ClusterView) -> u16 {
        if view.at_ms >= self.now_ms { self.end } else { self.column(view.at_ms).unwrap_or(self.x) }
    }

    /// The column of a moment, if it is in the window.
    pub fn column(&self, at_ms: u64) -> Option<u16> {
        let ago = self.now_ms.saturating_sub(at_ms);
        let from_right = u128::from(ago) * u128::from(self.cells()) / u128::from(self.window_ms);
        (from_right < u128::from(self.cells())).then(|| self.end - 1 - from_right as u16)
    }
}

/// Draws the timeline. `cursor` is the fact the user looks at.
pub fn draw(pen: &mut Pen<'_>, frame: &Frame, view: &ClusterView, cursor: Option<u64>, focused: bool) {
    let area = frame.timeline;
    let axis = Axis::of(area, view);
    let chosen = cursor.and_then(|id| view.timeline.events.iter().find(|event| event.id == id));
    match area.height {
        0 => {}
        1..4 => single(pen, area, view, axis, chosen, focused),
        height => {
            title(pen, frame, view, chosen, focused);
            let lanes: &[Lane] = &[Lane::Faults, Lane::Control];
            for (offset, lane) in (1..).zip(lanes) {
                lane_row(pen, area, area.y + offset, view, axis, *lane, cursor);
            }
            if height >= 6 {
                strips(pen, area, view, axis);
            }
            axis_row(pen, area.bottom() - 1, view, axis, area);
            let playhead = pen.theme.bold(clock_role(view));
            for y in area.y + 1..area.bottom() {
                pen.text(axis.playhead(view), y, 1, glyphs::BAR, playhead);
            }
        }
    }
}

fn live(view: &ClusterView) -> bool {
    matches!(view.clock, ClockMode::Live { .. })
}

fn clock_role(view: &ClusterView) -> Role {
    match view.clock {
        ClockMode::Live { .. } => Role::Sync,
        ClockMode::Rewound { .. } if view.host.can.recall => Role::Lead,
        ClockMode::Paused { .. } | ClockMode::Rewound { .. } => Role::Lag,
    }
}

fn now_word(view: &ClusterView) -> &'static str {
    match view.clock {
        ClockMode::Live { .. } => "now",
        ClockMode::Paused { .. } => "held",
        ClockMode::Rewound { .. } => "past",
    }
}

fn title(pen: &mut Pen<'_>, frame: &Frame, view: &ClusterView, chosen: Option<&TimelineEvent>, focused: bool) {
    let theme = pen.theme;
    let area = frame.timeline;
    let name = theme.bold(if focused { Role::Focus } else { Role::Text });
    let mut left = vec![piece(" ", name), piece("Timeline", name)];
    if let Some(event) = chosen {
        left.extend(sentence(pen, view, event));
    }
    if view.timeline.dropped > 0 {
        left.push(piece(format!("  {} facts not shown", view.timeline.dropped), theme.fg(Role::Lag)));
    }
    let mut facts = vec![piece(format!("{} window", round_span(view.timeline.window_ms)), theme.fg(Role::Dim))];
    let recalled = view.host.can.recall && matches!(view.clock, ClockMode::Rewound { .. });
    let space = if recalled { "play" } else { hints::space(view) };
    let keys: [(&str, &str, Action); 4] = [
        ("{ }", "event", Action::NextEvent),
        ("Space", space, Action::PauseOrRun),
        ("- =", "speed", Action::Slower),
        ("End", "live", Action::Live),
    ];
    for (key, word, action) in keys {
        let needed = keymap::binding(action).need.met(view.host.can) && !(recalled && action == Action::Slower);
        if needed && (action != Action::Live || chosen.is_some() || !live(view)) {
            facts.push(piece(format!("  {key}"), theme.bold(Role::Focus)));
            facts.push(piece(format!(" {word}"), theme.fg(Role::Dim)));
        }
    }
    if pieces_width(&left) + pieces_width(&facts) + 4 > area.width {
        facts.truncate(1);
    }
    let end = area.right().saturating_sub(u16::from(frame.width >= Width::Medium));
    pen.rule(area.x, end, area.y, &left, &facts);
}

/// The fact the user looks at, as a sentence with its moment.
pub fn sentence(pen: &Pen<'_>, view: &ClusterView, event: &TimelineEvent) -> Vec<Piece<'static>> {
    let theme = pen.theme;
    let mark = mark::event(event.kind);
    let moment = moment(view, event.at_ms, 1);
    let distance = match view.at_ms.checked_sub(event.at_ms) {
        Some(ago) => format!("  {} ago", span_ms(ago)),
        None => format!("  {} later", span_ms(event.at_ms - view.at_ms)),
    };
    vec![
        piece(format!("  {moment} "), theme.fg(Role::Dim)),
        piece(format!("{} ", mark.glyph), theme.bold(mark.role)),
        piece(event.text.clone(), theme.fg(Role::Text)),
        piece(distance, theme.fg(Role::Dim)),
    ]
}

/// One lane: glyphs at their moments, texts where there is room, lines for what still lasts.
fn lane_row(pen: &mut Pen<'_>, area: Rect, y: u16, view: &ClusterView, axis: Axis, lane: Lane, cursor: Option<u64>) {
    let theme = pen.theme;
    let label = match lane {
        Lane::Faults => "Faults",
        Lane::Control => "Control",
    };
    pen.text(area.x + 1, y, 10, label, theme.fg(Role::Dim));
    let mut taken = vec![false; usize::from(axis.cells())];
    let playhead = axis.playhead(view);
    if let Some(cell) = taken.get_mut(usize::from(playhead - axis.x)) {
        *cell = true;
    }
    let events: Vec<(&TimelineEvent, u16)> = view
        .timeline
        .events
        .iter()
        .filter(|event| mark::lane(event.kind) == lane)
        .filter_map(|event| match axis.column(event.at_ms) {
            Some(column) => Some((event, column)),
            None => event.ongoing.then_some((event, axis.x)),
        })
        .collect();
    for (event, column) in events.iter().rev() {
        let place = usize::from(column - axis.x);
        if taken[place] {
            continue;
        }
        taken[place] = true;
        let mark = mark::event(event.kind);
        let is_later = event.at_ms > view.at_ms;
        let mut style = if is_later { theme.fg(Role::Faint) } else { theme.bold(mark.role) };
        if cursor == Some(event.id) {
            style = style.add_modifier(Modifier::REVERSED);
        }
        pen.text(*column, y, 1, mark.glyph, style);
    }
    for (event, column) in events.iter().rev() {
        place_text(pen, y, axis, &mut taken, event, *column, event.at_ms > view.at_ms);
    }
    for (event, column) in events.iter().rev() {
        let until = match event.until_ms {
            Some(until) => axis.column(until).unwrap_or(axis.x),
            None if event.ongoing => axis.end,
            None => continue,
        };
        let style = theme.fg(mark::event(event.kind).role.low());
        for x in column + 1..until {
            let place = usize::from(x - axis.x);
            if !taken[place] {
                taken[place] = true;
                pen.text(x, y, 1, "─", style);
            }
        }
    }
}

/// Writes a fact's text left or right of its glyph, where it fits between what stands there already.
fn place_text(
    pen: &mut Pen<'_>,
    y: u16,
    axis: Axis,
    taken: &mut [bool],
    event: &TimelineEvent,
    column: u16,
    is_later: bool,
) {
    let theme = pen.theme;
    let cells = usize::from(width(&event.text));
    let place = usize::from(column - axis.x);
    let role = mark::event(event.kind).role;
    let style = match role {
        _ if is_later => theme.fg(Role::Faint),
        Role::Dead if event.ongoing => theme.bold(Role::Dead),
        _ => theme.fg(Role::Dim),
    };
    let free = |from: usize, to: usize| to <= taken.len() && from < to && taken[from..to].iter().all(|taken| !taken);
    // Something that lasts reads from its glyph on; a moment reads towards it.
    let right = (place + 2, place + 2 + cells);
    let left = (place.saturating_sub(cells + 1), place.saturating_sub(1));
    let left_fits = place > cells && free(left.0, left.1 + 1);
    let right_fits = free(place + 1, right.1 + 1);
    let (from, to) = match (left_fits, right_fits) {
        (_, true) if event.ongoing && place < taken.len() / 2 => right,
        (true, _) => left,
        (false, true) => right,
        (false, false) => return,
    };
    pen.text(axis.x + from as u16, y, cells as u16, &event.text, style);
    let (from, to) = (from.saturating_sub(1), (to + 1).min(taken.len()));
    taken[from..to].fill(true);
}

fn strips(pen: &mut Pen<'_>, area: Rect, view: &ClusterView, axis: Axis) {
    let theme = pen.theme;
    let (stalls_y, bytes_y) = (area.y + 3, area.y + 4);
    pen.text(area.x + 1, stalls_y, 10, "HW stalls", theme.fg(Role::Dim));
    let stalls: Vec<u64> = view.timeline.stalls.iter().map(|&count| u64::from(count)).collect();
    let most = stalls.iter().copied().max().unwrap_or(0);
    let style = |value: u64| match value {
        0 => theme.fg(Role::Line),
        _ if most > 2 && value * 2 > most => theme.fg(Role::Dead),
        _ => theme.fg(Role::LagLow),
    };
    spark::strip(pen, axis.x, stalls_y, axis.cells(), &stalls, |value| Some(style(value)));
    pen.text(area.x + 1, bytes_y, 10, "MB/s in", theme.fg(Role::Dim));
    let style = theme.fg(Role::SyncLow);
    spark::strip(pen, axis.x, bytes_y, axis.cells(), &view.timeline.bytes_in, |_| Some(style));
}

fn axis_row(pen: &mut Pen<'_>, y: u16, view: &ClusterView, axis: Axis, area: Rect) {
    let theme = pen.theme;
    let line = theme.fg(Role::Line);
    pen.repeat(axis.x, y, axis.cells(), "─", line);
    let ticks = if axis.cells() >= 90 { 6 } else { 3 };
    for tick in (1..=ticks).rev() {
        let ago = axis.window_ms * tick / ticks;
        let x = axis.end - (u64::from(axis.cells()) * tick / ticks) as u16;
        let text = format!("⊥ −{} ", round_span(ago));
        pen.text(x, y, axis.end.saturating_sub(x), &text, theme.fg(Role::Faint));
    }
    let chip = theme.chip(clock_role(view));
    let word = format!(" {} ", now_word(view));
    pen.text(axis.end + 1, y, area.right().saturating_sub(axis.end + 1), &word, chip);
}

/// All lanes in one row.
fn single(
    pen: &mut Pen<'_>,
    area: Rect,
    view: &ClusterView,
    axis: Axis,
    chosen: Option<&TimelineEvent>,
    focused: bool,
) {
    let theme = pen.theme;
    let y = area.y;
    let chip = theme.chip(clock_role(view));
    if let Some(event) = chosen {
        let pieces = sentence(pen, view, event);
        pen.pieces(area.x, y, axis.end.saturating_sub(area.x), &pieces);
    } else {
        let label = theme.fg(if focused { Role::Focus } else { Role::Faint });
        pen.text(area.x + 1, y, 6, &format!("−{}", round_span(axis.window_ms)), label);
        pen.repeat(axis.x, y, axis.cells(), "─", theme.fg(Role::Line));
        for event in &view.timeline.events {
            if let Some(column) = axis.column(event.at_ms) {
                let mark = mark::event(event.kind);
                pen.text(column, y, 1, mark.glyph, theme.bold(mark.role));
            }
        }
    }
    let head = theme.bold(clock_role(view));
    if chosen.is_none() && axis.playhead(view) < axis.end {
        pen.text(axis.playhead(view), y, 1, glyphs::BAR, head);
    }
    let x = pen.text(axis.end, y, 1, glyphs::BAR, head);
    let word = now_word(view);
    let word = if area.right().saturating_sub(x) >= 5 { format!(" {word} ") } else { word.to_string() };
    pen.text(x, y, area.right().saturating_sub(x), &word, chip);
}

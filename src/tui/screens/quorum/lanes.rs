//! The metadata logs side by side, by one axis of offsets: committed, not committed, missing and to be cut, by leader epoch.
//!
//! Invariants: one column of offsets in all lanes; the white line is the high watermark that anybody knows; what a log does not hold is
//! never filled.

use super::mark;
use crate::cluster::view::{QuorumReplica, QuorumStanding, QuorumView, Reach};
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Height, Width};
use crate::tui::numbers::{offset, plural};
use crate::tui::pen::{Pen, piece, width};
use crate::tui::theme::{Role, Theme};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// So many of the newest records are shown: the fewest in which the worst lag can be seen.
const SPANS: [i64; 6] = [24, 64, 256, 1_024, 4_096, 16_384];
/// Records of so many cells are told apart.
const SEPARATED_CELLS: u16 = 3;
/// How wide the brokers' names are.
const NAME_CELLS: u16 = 12;

/// How tall and how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Rows of a voter's lane; an observer's has one.
    pub(super) rows: u16,
    /// Empty rows below each of a voter's.
    pub(super) gap: u16,
    /// Lanes.
    pub(super) lanes: usize,
}

/// Which offsets are shown, and where.
#[derive(Debug, Clone, Copy)]
struct Axis {
    x: u16,
    /// Columns for records; one more is for the high watermark.
    cells: u16,
    first: i64,
    count: i64,
    committed: i64,
}

impl Axis {
    fn of(quorum: &QuorumView, x: u16, cells: u16) -> Axis {
        let known = || quorum.replicas.iter().filter(|replica| replica.standing != QuorumStanding::Unknown);
        let end = known().map(|replica| replica.log_end).max().unwrap_or(0);
        let alive = known().filter(|replica| matches!(replica.reach, Reach::Majority | Reach::Few));
        let shared = |replica: &QuorumReplica| replica.cut_at.unwrap_or(replica.log_end).min(replica.log_end);
        let worst = alive.map(|replica| end - shared(replica)).max().unwrap_or(0);
        let span = SPANS.into_iter().find(|span| worst * 4 <= span * 3).unwrap_or(SPANS[SPANS.len() - 1]);
        let count = span.min(end).max(1);
        // Records that are told apart are all of one width.
        let wide = i64::from(cells.max(1));
        let cells = if wide / count >= i64::from(SEPARATED_CELLS) {
            u16::try_from(wide / count * count).unwrap_or(cells)
        } else {
            cells.max(1)
        };
        Axis { x, cells, first: end - count, count, committed: quorum.committed }
    }

    /// The offset in the column at a place.
    fn at(&self, place: u16) -> i64 {
        self.first + i64::from(place) * self.count / i64::from(self.cells)
    }

    /// The column where the record of an offset begins.
    fn column(&self, offset: i64) -> u16 {
        let place = (offset - self.first).clamp(0, self.count) * i64::from(self.cells) / self.count;
        self.x + u16::try_from(place).unwrap_or(self.cells) + u16::from(offset >= self.committed)
    }

    /// The column of the high watermark.
    fn watermark(&self) -> u16 {
        let place = (self.committed - self.first).clamp(0, self.count) * i64::from(self.cells) / self.count;
        self.x + u16::try_from(place).unwrap_or(self.cells)
    }

    fn cells_a_record(&self) -> u16 {
        self.cells / u16::try_from(self.count).unwrap_or(u16::MAX)
    }
}

/// What stands in a column of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// A record that a majority has.
    Committed(i32),
    /// A record that is not committed.
    Open(i32),
    /// A record that the leader's log does not hold.
    Cut,
    /// No record yet.
    Missing,
    /// No record any more: it is in a snapshot.
    Before,
    /// A record of an epoch that is not told.
    Old,
}

fn cell(replica: &QuorumReplica, offset: i64, committed: i64) -> Cell {
    if offset < replica.log_start {
        Cell::Before
    } else if offset >= replica.log_end {
        Cell::Missing
    } else if replica.cut_at.is_some_and(|at| offset >= at) {
        Cell::Cut
    } else {
        match replica.epoch_at(offset) {
            None => Cell::Old,
            Some(epoch) if offset < committed => Cell::Committed(epoch),
            Some(epoch) => Cell::Open(epoch),
        }
    }
}

/// Draws the logs below a rule.
pub(super) fn draw(pen: &mut Pen<'_>, quorum: &QuorumView, area: Rect, shape: Shape, frame: Frame) {
    let theme = pen.theme;
    let note_cells = match frame.width {
        Width::Narrow => 15,
        Width::Medium => 18,
        Width::Full | Width::Wide => 22,
    };
    let bordered = frame.height > Height::Short;
    let x = area.x + NAME_CELLS;
    let cells = area.width.saturating_sub(NAME_CELLS + note_cells + 2).max(8);
    let axis = Axis::of(quorum, x, cells);
    let newest = format!("newest {}, coloured by epoch", plural(axis.count.unsigned_abs(), "record"));
    let rule = "a vote goes only to a log at least as complete";
    let long = format!("{newest}   {rule}");
    let facts = if width(&long) + 20 <= area.width { long } else { newest };
    let facts = [piece(facts, theme.fg(Role::Dim))];
    pen.rule(area.x, area.right(), area.y, &[piece("Metadata log", theme.bold(Role::Text))], &facts);
    let mut y = area.y + 1;
    if bordered || area.height as usize > shape.lanes + 1 {
        ruler(pen, axis, y);
        y += 1;
    }
    let top = y;
    for replica in quorum.replicas.iter().take(shape.lanes) {
        let (rows, gap) = if replica.is_voter { (shape.rows, shape.gap) } else { (1, 0) };
        lane_of(pen, quorum, replica, axis, Rect { y, height: rows, ..area }, note_cells);
        y += rows + gap;
    }
    for row in top..y {
        pen.text(axis.watermark(), row, 1, glyphs::BAR, theme.bold(Role::Text));
    }
    if bordered {
        committed(pen, quorum, axis, Rect { y, height: 1, ..area }, shape);
    }
}

/// `committed up to 4,415`, and who has no lane.
fn committed(pen: &mut Pen<'_>, quorum: &QuorumView, axis: Axis, area: Rect, shape: Shape) {
    let theme = pen.theme;
    let text = format!("committed up to {}", offset(quorum.committed));
    let x = (axis.watermark() + 2).min(area.right().saturating_sub(width(&text)));
    pen.text(axis.watermark(), area.y, 1, glyphs::BAR, theme.bold(Role::Text));
    // At the end of the axis there is more room to the left of the line.
    let x = if x <= axis.watermark() { axis.watermark().saturating_sub(width(&text) + 1) } else { x };
    pen.text(x, area.y, area.right().saturating_sub(x), &text, theme.bold(Role::Text));
    let hidden: Vec<&QuorumReplica> = quorum.replicas.iter().skip(shape.lanes).collect();
    if !hidden.is_empty() {
        let behind = hidden.iter().filter_map(|replica| replica.behind).max().unwrap_or(0);
        let who = plural(hidden.len() as u64, "observer");
        let text = format!("and {who}, at most {} behind", plural(behind, "record"));
        pen.text(area.x, area.y, x.saturating_sub(area.x + 2), &text, theme.fg(Role::Dim));
    }
}

/// Offsets at round distances.
fn ruler(pen: &mut Pen<'_>, axis: Axis, y: u16) {
    const STEPS: [i64; 12] = [1, 2, 4, 5, 10, 20, 25, 50, 100, 250, 1_000, 5_000];
    let room = |step: &i64| step * i64::from(axis.cells) / axis.count >= 10;
    let step = STEPS.into_iter().find(room).unwrap_or(5_000);
    let style = pen.theme.fg(Role::Dim);
    let mut at = (axis.first + step - 1) / step * step;
    while at < axis.first + axis.count {
        let x = axis.column(at);
        let cells = (axis.x + axis.cells + 1).saturating_sub(x);
        let text = offset(at);
        if width(&text) <= cells {
            pen.text(x, y, cells, &text, style);
        }
        at += step;
    }
}

/// The colour of an epoch as that of a shape.
fn tint(theme: &Theme, epoch: i32) -> Style {
    match theme.epoch(epoch).bg {
        Some(colour) => Style::new().fg(colour),
        None => theme.fg(Role::Text),
    }
}

fn lane_of(pen: &mut Pen<'_>, quorum: &QuorumView, replica: &QuorumReplica, axis: Axis, lane: Rect, note_cells: u16) {
    let theme = pen.theme;
    let (glyph, role, _) = mark(replica);
    let name_role = if replica.is_voter { role } else { Role::Dim };
    let name = format!("{glyph} broker {}", replica.broker);
    pen.text(lane.x, lane.y, NAME_CELLS - 1, &name, theme.bold(name_role));
    if replica.standing != QuorumStanding::Unknown {
        records(pen, replica, axis, lane);
    }
    let notes = notes(replica, quorum, role);
    let x = lane.right().saturating_sub(note_cells);
    let rows = usize::from(lane.height);
    for (y, (text, role)) in (lane.y..).zip(notes.into_iter().take(rows)) {
        pen.text(x, y, note_cells, &text, theme.fg(role));
    }
}

fn records(pen: &mut Pen<'_>, replica: &QuorumReplica, axis: Axis, lane: Rect) {
    let theme = pen.theme;
    let separates = axis.cells_a_record() >= SEPARATED_CELLS;
    let mut before: Option<(i64, Cell)> = None;
    for place in 0..axis.cells {
        let at = axis.at(place);
        let seen = cell(replica, at, axis.committed);
        let x = axis.x + place + u16::from(at >= axis.committed);
        let begins = before.is_some_and(|(other, _)| other != at);
        let (symbol, style) = match seen {
            Cell::Committed(epoch) => match theme.epoch(epoch).bg {
                Some(_) if begins && separates => ("▏", theme.epoch(epoch)),
                Some(_) => (" ", theme.epoch(epoch)),
                None if begins && separates => ("▏", theme.fg(Role::Text)),
                None if epoch % 2 == 0 => (glyphs::COMMITTED, theme.fg(Role::Faint)),
                None => (glyphs::COMMITTED, theme.fg(Role::Text)),
            },
            Cell::Open(epoch) => (glyphs::ABOVE_HW, tint(theme, epoch)),
            Cell::Cut => (glyphs::CUT, theme.fg(Role::Dead)),
            Cell::Missing => (glyphs::MISSING, theme.fg(Role::Faint)),
            Cell::Before => (" ", theme.fg(Role::Faint)),
            Cell::Old => (glyphs::COMMITTED, theme.fg(Role::Faint)),
        };
        // What is low or missing stands at the bottom of a tall lane.
        let is_low = matches!(seen, Cell::Open(_) | Cell::Missing);
        for row in lane.rows().skip(if is_low { usize::from(lane.height) - 1 } else { 0 }) {
            pen.text(x, row.y, 1, symbol, style);
        }
        before = Some((at, seen));
    }
    labels(pen, replica, axis, lane);
}

/// The epoch's name in its first records, and what is only in a snapshot.
fn labels(pen: &mut Pen<'_>, replica: &QuorumReplica, axis: Axis, lane: Rect) {
    let theme = pen.theme;
    let end = axis.first + axis.count;
    for (place, (epoch, first)) in replica.epochs.iter().enumerate() {
        let from = (*first).max(axis.first).max(replica.log_start);
        let next = replica.epochs.get(place + 1).map_or(replica.log_end, |(_, next)| *next);
        let until = next.min(end).min(axis.committed).min(replica.cut_at.unwrap_or(i64::MAX));
        if from >= until {
            continue;
        }
        let cells = (axis.column(until - 1) + axis.cells_a_record().max(1)).saturating_sub(axis.column(from) + 1);
        let long = format!("epoch {epoch}");
        let short = format!("e{epoch}");
        let text = if width(&long) < cells { long } else { short };
        if width(&text) < cells {
            let style = match theme.epoch(*epoch).bg {
                Some(_) => theme.epoch(*epoch),
                None => theme.bold(Role::Text),
            };
            pen.text(axis.column(from) + 1, lane.y, cells, &text, style);
        }
    }
    if replica.log_end <= axis.first {
        let text = format!(" its log ends at {} ", offset(replica.log_end));
        pen.text(axis.x, lane.y, axis.cells, &text, theme.fg(Role::Dim));
    } else if replica.log_start > axis.first {
        let cells = axis.column(replica.log_start.min(end)).saturating_sub(axis.x);
        let text = "in a snapshot";
        if width(text) < cells {
            pen.text(axis.x, lane.y, cells, text, theme.fg(Role::Dim));
        }
    }
}

/// Whether its log lets it win: a vote goes only to a log at least as complete (Raft §5.4.1).
fn chances(replica: &QuorumReplica, quorum: &QuorumView) -> (String, Role) {
    let length = |replica: &QuorumReplica| (replica.epochs.last().map_or(0, |(epoch, _)| *epoch), replica.log_end);
    let voters = quorum.replicas.iter().filter(|other| other.is_voter);
    let may_vote = voters.filter(|other| length(other) <= length(replica)).count();
    if may_vote >= quorum.needed {
        (format!("{} may win", glyphs::DONE), Role::Sync)
    } else {
        ("too short to win".to_owned(), Role::Lag)
    }
}

/// What is to be said of a log, the most important first.
fn notes(replica: &QuorumReplica, quorum: &QuorumView, role: Role) -> Vec<(String, Role)> {
    let mut notes = Vec::new();
    match replica.reach {
        Reach::Down => notes.push(("down".to_owned(), Role::Dead)),
        Reach::Frozen => notes.push(("suspended".to_owned(), Role::Lag)),
        Reach::Majority | Reach::Few => {}
    }
    if let Some(at) = replica.cut_at.filter(|at| *at < replica.log_end) {
        let records = u64::try_from(replica.log_end - at).unwrap_or(0);
        notes.push((format!("{records} to cut"), Role::Dead));
    }
    let open = replica.uncommitted(quorum.committed);
    if open > 0 && replica.cut_at.is_none() {
        notes.push((format!("{open} not committed"), if role == Role::Sync { Role::Dim } else { role }));
    }
    if replica.reach == Reach::Few {
        let text = if replica.cut_from.is_empty() { "too few run" } else { "reaches too few" };
        notes.push((text.to_owned(), Role::Dead));
    }
    match replica.behind {
        Some(0) if replica.standing == QuorumStanding::Leader => notes.push(("leads".to_owned(), Role::Dim)),
        Some(0) => notes.push(("has all of it".to_owned(), Role::Dim)),
        Some(behind) => notes.push((format!("{behind} behind"), Role::Lag)),
        None if replica.is_voter && replica.reach != Reach::Down => notes.push(chances(replica, quorum)),
        None => {}
    }
    if let Some(end) = replica.snapshot_end {
        notes.push((format!("snapshot {}", offset(end)), Role::Dim));
    }
    notes
}

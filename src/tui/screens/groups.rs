//! The Groups screen: who reads what, and how far each group is behind.
//!
//! ```text
//! ╭─ Groups ──────────── 2 ─╮ ╭─ orders-app ── classic · range · generation 3 · coordinator ◆ 2 ─╮
//! │ GROUP       STATE   LAG │ │  Empty → Preparing → Completing → ●Stable                        │
//! │▍● orders-app stable  12 │ ╰──────────────────────────────────────────────────────────────────╯
//! │ ○ reports    empty 1.2M │ ╭─ Who reads what ─────────────────────────────────────────────────╮
//! │                         │ │             orders-0 orders-1 orders-2                           │
//! │                         │ │ app-1       ■■■■■■■■ ■■■■■■■■    ·                               │
//! ╰─────────────────────────╯ ╰──────────────────────────────────────────────────────────────────╯
//! ```
//! Invariants: draws the window of groups and the one in detail; members and partitions beyond the room are counted, never dropped in
//! silence.

mod areas;
mod member;

pub use areas::{Hit, hit, partition_beyond};

use crate::cluster::view::{
    BEHIND_MAX_MS, ClusterView, GroupDetail, GroupEffect, GroupMember, GroupPartition, GroupRebalance, GroupRow,
    GroupState, GroupsView, PartitionName,
};
use crate::tui::draw::filter_hint;
use crate::tui::glyphs;
use crate::tui::layout::{Frame, Width};
use crate::tui::model::{GroupsPane, Model};
use crate::tui::numbers::{UNKNOWN, count, lag, offset, plural, span_ms};
use crate::tui::pen::{Pen, Piece, cut_middle, piece, width};
use crate::tui::theme::{Ground, Role};
use crate::tui::widgets::hints::{self, HintRow};
use crate::tui::widgets::spark;
use areas::{Areas, Grid};
use ratatui::layout::Rect;

/// A member reads a partition.
const READS: &str = "■";
/// It reads it and is to give it back, or pauses while the group rebalances.
const GIVES_BACK: &str = "□";
/// It is to read it.
const AWAITS: &str = "▢";
/// A group this far behind is worth a look.
const LAG_NOTICED: u64 = 1_000;
/// How wide the list of groups is beside the detail.
const LIST_CELLS: u16 = 40;

/// How a state is shown: glyph, role and word.
fn mark(state: GroupState) -> (&'static str, Role, &'static str) {
    match state {
        GroupState::Empty => (glyphs::OUT_OF_SYNC, Role::Dim, "empty"),
        GroupState::Preparing => (glyphs::STARTING, Role::Lag, "joining"),
        GroupState::Completing => (glyphs::STARTING, Role::Lag, "syncing"),
        GroupState::Assigning => (glyphs::STARTING, Role::Lag, "assigning"),
        GroupState::Reconciling => (glyphs::STARTING, Role::Lag, "moving"),
        GroupState::Stable => (glyphs::ALIVE, Role::Sync, "stable"),
        GroupState::NoCoordinator => (glyphs::DEAD, Role::Dead, "waits"),
    }
}

/// The states of a group in the order in which it goes through them.
fn states(group: &GroupDetail) -> &'static [(GroupState, &'static str, &'static str)] {
    if group.is_consumer_protocol {
        &[
            (GroupState::Empty, "Empty", "no members"),
            (GroupState::Assigning, "Assigning", "broker assigns"),
            (GroupState::Reconciling, "Reconciling", "members move"),
            (GroupState::Stable, "Stable", "everybody reads"),
        ]
    } else {
        &[
            (GroupState::Empty, "Empty", "no members"),
            (GroupState::Preparing, "Preparing", "members join"),
            (GroupState::Completing, "Completing", "leader assigns"),
            (GroupState::Stable, "Stable", "everybody reads"),
        ]
    }
}

/// How many groups the list shows.
pub fn rows_in_view(frame: Frame) -> u16 {
    if has_list(frame) { frame.body.height.saturating_sub(3) } else { list_rows(frame) }
}

fn has_list(frame: Frame) -> bool {
    frame.width >= Width::Medium
}

/// Where there is no room beside the detail, the list stands above it.
fn list_rows(frame: Frame) -> u16 {
    if frame.body.height >= 18 { 4 } else { 2 }
}

/// Draws the screen into the frame's body.
pub fn draw(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    let Some(groups) = &view.groups else { return };
    let Some(detail) = &groups.detail else {
        nobody(pen, groups, frame.body);
        return;
    };
    let areas = Areas::of(&model.groups, groups, detail, frame);
    if has_list(frame) {
        let title = [piece("Groups", pen.theme.bold(title_role(model, GroupsPane::List)))];
        let facts = [piece(sums(model, groups), pen.theme.fg(Role::Dim))];
        let border = border_role(model, GroupsPane::List);
        let inside = pen.frame(areas.list, pen.theme.fg(border), false, &title, &facts);
        list_of(pen, model, groups, Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside });
        panels(pen, model, view, detail, areas);
    } else {
        list_of(pen, model, groups, areas.list);
        rows_only(pen, model, view, detail, areas);
    }
}

/// The border of a pane says whether it has the keys.
fn border_role(model: &Model, pane: GroupsPane) -> Role {
    if model.groups.pane == pane { Role::Focus } else { Role::Line }
}

fn title_role(model: &Model, pane: GroupsPane) -> Role {
    if model.groups.pane == pane { Role::Focus } else { Role::Text }
}

/// How many there are, and how many of them are shown by which filter.
fn sums(model: &Model, groups: &GroupsView) -> String {
    if groups.total == groups.known {
        return count(groups.known as u64);
    }
    let filter = model.groups.filter_input.as_ref().map_or(&model.groups.filter[..], |input| input.value());
    format!("/{} {} of {}", cut_middle(filter, 12), count(groups.total as u64), count(groups.known as u64))
}

fn nobody(pen: &mut Pen<'_>, groups: &GroupsView, body: Rect) {
    let theme = pen.theme;
    if groups.known > 0 {
        let text = format!("None of {} matches: Esc shows all.", plural(groups.known as u64, "group"));
        let x = body.x + body.width.saturating_sub(width(&text)) / 2;
        pen.text(x, body.y + body.height / 2, body.width, &text, theme.bold(Role::Text));
        return;
    }
    let lines = [
        ("No consumer group has come yet.", theme.bold(Role::Text)),
        ("A group appears as soon as a client joins it or commits an offset:", theme.fg(Role::Dim)),
        ("kafkarium consume orders --group my-group", theme.fg(Role::Client)),
    ];
    let mut y = body.y + body.height.saturating_sub(5) / 2;
    for (text, style) in lines {
        let x = body.x + body.width.saturating_sub(width(text)) / 2;
        pen.text(x, y, body.width, text, style);
        y += 2;
    }
}

fn list_of(pen: &mut Pen<'_>, model: &Model, groups: &GroupsView, area: Rect) {
    let theme = pen.theme;
    let state_at = area.x + area.width.saturating_sub(17).max(10);
    pen.text(area.x + 2, area.y, 12, "GROUP", theme.fg(Role::Faint));
    pen.text(state_at, area.y, 10, "STATE", theme.fg(Role::Faint));
    let order = if model.groups.by_lag { "▼ LAG" } else { "LAG" };
    pen.right(area.x, area.right(), area.y, order, theme.fg(Role::Faint));
    let room = usize::from(area.height.saturating_sub(1));
    let skip = (groups.selected_index + 1).saturating_sub(groups.first_row + room);
    for (at, row) in groups.rows.iter().enumerate().skip(skip).take(room) {
        let y = area.y + 1 + u16::try_from(at - skip).unwrap_or(0);
        list_row(pen, row, groups.first_row + at == groups.selected_index, Rect { y, height: 1, ..area }, state_at);
    }
    histories(pen, groups, skip, area);
}

/// The lag of the last minute below the list, where there is room.
fn histories(pen: &mut Pen<'_>, groups: &GroupsView, skip: usize, area: Rect) {
    let theme = pen.theme;
    let mut y = area.y + 1 + u16::try_from(groups.rows.len() - skip).unwrap_or(u16::MAX).min(area.height) + 1;
    if y + 2 > area.bottom() {
        return;
    }
    pen.rule(area.x, area.right(), y, &[piece("Lag, 60 s", theme.bold(Role::Text))], &[]);
    for row in groups.rows.iter().skip(skip) {
        y += 1;
        if y >= area.bottom() {
            return;
        }
        let cells = area.width / 2;
        pen.text(
            area.x,
            y,
            cells.saturating_sub(1),
            &cut_middle(&row.name, cells.saturating_sub(1)),
            theme.fg(Role::Dim),
        );
        let role = if row.lag.is_some_and(|lag| lag >= LAG_NOTICED) { Role::LagLow } else { Role::SyncLow };
        spark::spark(pen, area.x + cells, y, area.width - cells, &row.lag_history, theme.fg(role));
    }
}

fn list_row(pen: &mut Pen<'_>, row: &GroupRow, is_selected: bool, area: Rect, state_at: u16) {
    let theme = pen.theme;
    let y = area.y;
    if is_selected {
        pen.ground(area, Ground::Raise);
        pen.text(area.x, y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
    }
    let (glyph, role, word) = mark(row.state);
    pen.text(area.x + 1, y, 1, glyph, theme.bold(role));
    let cells = state_at.saturating_sub(area.x + 4);
    let style = if is_selected { theme.bold(Role::Text) } else { theme.fg(Role::Text) };
    pen.text(area.x + 3, y, cells, &cut_middle(&row.name, cells), style);
    let end = area.right();
    let told = row.lag.map_or(UNKNOWN.to_owned(), lag);
    let style = theme.bold(if row.lag.is_some_and(|lag| lag >= LAG_NOTICED) { Role::Lag } else { Role::Text });
    let from = pen.right(state_at, end, y, &told, style);
    pen.text(state_at, y, from.saturating_sub(state_at + 1), word, theme.fg(role));
}

/// The detail with borders: state, members, lag, rebalances, or the selected member.
fn panels(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, group: &GroupDetail, areas: Areas) {
    let theme = pen.theme;
    let panel = |pen: &mut Pen<'_>, outside: Rect, pane: Option<GroupsPane>, title: &str, facts: &[Piece<'_>]| {
        let (line, name) =
            pane.map_or((Role::Line, Role::Text), |pane| (border_role(model, pane), title_role(model, pane)));
        let title = [piece(title.to_owned(), theme.bold(name))];
        let inside = pen.frame(outside, theme.fg(line), false, &title, facts);
        Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside }
    };
    let facts = facts_of(pen, group, areas.state.width >= 90);
    let inside = panel(pen, areas.state, None, &group.name, &facts);
    machine(pen, view, group, inside);
    let legend = format!("{READS} reads  {GIVES_BACK} pauses or gives back  {AWAITS} will read");
    let legend = [piece(legend, theme.fg(Role::Dim))];
    let inside = panel(pen, areas.who, Some(GroupsPane::Members), "Who reads what", &legend);
    matrix(pen, model, view, group, inside);
    if areas.lags.height > 0 {
        let facts = [piece("committed → end", theme.fg(Role::Dim))];
        let inside = panel(pen, areas.lags, Some(GroupsPane::Partitions), "Lag per partition", &facts);
        lag_table(pen, model, group, inside);
    }
    if areas.rebalances.height > 0 {
        let inside = panel(pen, areas.rebalances, None, "Rebalances", &[piece("newest first", theme.fg(Role::Dim))]);
        rebalances_of(pen, view, group, inside);
    }
    if let Some(member) = group.members.get(model.groups.member_index(group)).filter(|_| areas.member.height > 2) {
        let inside = panel(pen, areas.member, None, &member.label(), &[piece("Esc closes", theme.fg(Role::Dim))]);
        member::draw(pen, view, group, member, inside);
    }
}

/// The detail without borders, for a narrow terminal.
fn rows_only(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, group: &GroupDetail, areas: Areas) {
    let facts = facts_of(pen, group, false);
    let opened = group.members.get(model.groups.member_index(group)).filter(|_| areas.member.height > 0);
    let name = opened.map_or_else(|| group.name.to_string(), |member| format!("{}: {}", group.name, member.label()));
    let title = [piece(name, pen.theme.bold(Role::Text))];
    pen.rule(areas.list.x, areas.list.right(), areas.list.bottom(), &title, &facts);
    machine(pen, view, group, areas.state);
    matrix(pen, model, view, group, areas.who);
    lag_table(pen, model, group, areas.lags);
    if let Some(member) = opened {
        member::draw(pen, view, group, member, areas.member);
    }
}

fn facts_of(pen: &Pen<'_>, group: &GroupDetail, is_long: bool) -> Vec<Piece<'static>> {
    let theme = pen.theme;
    let protocol = if group.is_consumer_protocol { "consumer protocol" } else { "classic protocol" };
    let count_word = if group.is_consumer_protocol { "epoch" } else { "generation" };
    let mut pieces = Vec::new();
    if is_long {
        pieces.push(piece(format!("{protocol}   "), theme.fg(Role::Dim)));
    }
    if let Some(assignor) = &group.assignor {
        pieces.push(piece(format!("{assignor}   "), theme.fg(Role::Dim)));
    }
    pieces.push(piece(format!("{count_word} {}   ", group.generation), theme.fg(Role::Dim)));
    let is_gone = group.state == GroupState::NoCoordinator;
    pieces.push(piece(if is_long { "coordinator " } else { "" }, theme.fg(Role::Dim)));
    let (glyph, role) = if is_gone { (glyphs::DEAD, Role::Dead) } else { (glyphs::LEADER, Role::Lead) };
    pieces.push(piece(format!("{glyph} broker {}", group.coordinator), theme.bold(role)));
    if let Some(before) = group.coordinator_before.filter(|_| is_long) {
        pieces.push(piece(format!(" (was {before})"), theme.fg(Role::Dim)));
    }
    pieces
}

/// The states in a row, the present one lit, the last stable one told.
fn machine(pen: &mut Pen<'_>, view: &ClusterView, group: &GroupDetail, area: Rect) {
    let theme = pen.theme;
    let states = states(group);
    let step = (area.width / states.len() as u16).max(8);
    let has_notes = area.height >= 2;
    for (at, (state, word, note)) in (0..).zip(states) {
        let x = area.x + at * step;
        let is_now = *state == group.state;
        let cells = step.saturating_sub(3);
        let role = mark(*state).1;
        let name = if width(word) + 2 > cells { cut_middle(word, cells) } else { (*word).into() };
        let after = if is_now {
            pen.text(x, area.y, cells, &format!(" {name} "), theme.chip(role))
        } else {
            pen.text(x, area.y, cells, &format!(" {name} "), theme.fg(Role::Dim))
        };
        if at + 1 < states.len() as u16 && after + 2 <= x + step {
            pen.text(after + 1, area.y, 1, "→", theme.fg(Role::Faint));
        }
        if !has_notes {
            continue;
        }
        let ago = |since: u64| span_ms(view.at_ms.saturating_sub(since));
        let (text, style) = match (is_now, *state, group.stable_until_ms) {
            (true, GroupState::Preparing, _) => {
                let joined = group.members.iter().filter(|member| member.seen_ms.is_none()).count();
                let left = group.state_ends_ms.map(|ends| span_ms(ends.saturating_sub(view.at_ms)));
                let left = left.map_or_else(String::new, |left| format!(", {left} left"));
                let long = format!(" {joined} of {} joined{left}", group.members.len());
                let short = format!(" {joined} of {} joined", group.members.len());
                (if width(&long) < step { long } else { short }, theme.fg(role))
            }
            (true, ..) => {
                let long = format!(" {note}, {}", ago(group.since_ms));
                let text = if width(&long) < step { long } else { format!(" for {}", ago(group.since_ms)) };
                (text, theme.fg(role))
            }
            (false, GroupState::Stable, Some(until)) => (format!(" until {} ago", ago(until)), theme.fg(Role::Lag)),
            _ => (format!(" {note}"), theme.fg(Role::Faint)),
        };
        pen.text(x, area.y + 1, step.saturating_sub(1), &text, style);
    }
    if group.state == GroupState::NoCoordinator && area.height >= 3 {
        let text = format!(
            "broker {} coordinated it and is gone: members wait until another leads its partition of __consumer_offsets",
            group.coordinator
        );
        pen.text(area.x, area.y + 2, area.width, &text, theme.fg(Role::Dead));
    } else if group.state == GroupState::Empty && area.height >= 3 {
        let text = "nobody reads: what is committed stays, and lag grows with what is written";
        pen.text(area.x + 1, area.y + 2, area.width, text, theme.fg(Role::Dim));
    }
}

/// Members and partitions, and a mark where they meet.
fn matrix(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, group: &GroupDetail, area: Rect) {
    let theme = pen.theme;
    if area.height == 0 {
        return;
    }
    if group.members.is_empty() {
        pen.text(area.x, area.y, area.width, "no members", theme.fg(Role::Dim));
        return;
    }
    let grid = Grid::of(group, area);
    let area = if grid.has_topics {
        topics_of(pen, group, grid.x, area.y, grid.cells + grid.gap, grid.shown);
        Rect { y: area.y + 1, height: area.height - 1, ..area }
    } else {
        area
    };
    for (at, partition) in (0..).zip(group.partitions.iter().take(grid.shown)).filter(|_| grid.cells > 1) {
        let at = grid.x + at * (grid.cells + grid.gap);
        let name = &partition.name;
        let text = if grid.is_named { name.to_string() } else { name.partition.to_string() };
        pen.text(at, area.y, grid.cells, &text, theme.fg(Role::Faint));
    }
    let count = group.partitions.len();
    if grid.cells == 1 || grid.shown < count {
        let text = format!("{} of {}", grid.shown, plural(count as u64, "partition"));
        pen.text(area.x, area.y, grid.name_cells + 2, &text, theme.fg(Role::Faint));
    }
    let rows = usize::from(area.height.saturating_sub(1));
    let selected = model.groups.member_index(group);
    let first = Grid::first(rows, selected);
    for (at, member) in group.members.iter().enumerate().skip(first).take(rows) {
        let row = Rect { y: area.y + 1 + (at - first) as u16, height: 1, ..area };
        if at + 1 - first == rows && at + 1 < group.members.len() {
            let more = format!("and {} more", plural((group.members.len() - at) as u64, "member"));
            pen.text(row.x, row.y, row.width, &more, theme.fg(Role::Dim));
            break;
        }
        if at == selected && model.groups.pane == GroupsPane::Members {
            pen.ground(row, Ground::Raise);
            pen.text(row.x.saturating_sub(1), row.y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
        }
        member_row(pen, view, group, member, grid, row);
    }
}

fn member_row(pen: &mut Pen<'_>, view: &ClusterView, group: &GroupDetail, member: &GroupMember, grid: Grid, row: Rect) {
    let theme = pen.theme;
    let is_paused = !group.reads_on && matches!(group.state, GroupState::Preparing | GroupState::Completing);
    let label = cut_middle(&member.label(), grid.name_cells).into_owned();
    pen.text(row.x, row.y, grid.name_cells, &label, theme.bold(Role::Client));
    if let Some(doing_at) = grid.doing_at {
        let (glyph, role, word) = doing(view, group, member);
        let at = pen.text(doing_at, row.y, 2, &format!("{glyph} "), theme.fg(role));
        pen.text(at, row.y, DOING_CELLS - 3, &word, theme.fg(if role == Role::Sync { Role::Dim } else { role }));
    }
    for (at, partition) in (0..).zip(group.partitions.iter().take(grid.shown)) {
        let at = grid.x + at * (grid.cells + grid.gap);
        let (glyph, role) = relation(member, &partition.name, is_paused);
        let marks = if glyph == glyphs::MISSING { 1 } else { grid.cells.min(8) };
        pen.repeat(at, row.y, marks, glyph, theme.fg(role));
    }
}

/// How wide the account of what a member is doing is.
const DOING_CELLS: u16 = 22;

/// What a member is doing: glyph, role and words with the time since it showed itself.
fn doing(view: &ClusterView, group: &GroupDetail, member: &GroupMember) -> (&'static str, Role, String) {
    let Some(seen_ms) = member.seen_ms else { return (glyphs::ALIVE, Role::Sync, "joined, waits".to_owned()) };
    let ago_ms = view.at_ms.saturating_sub(seen_ms);
    let ago = span_ms(ago_ms);
    if group.state == GroupState::NoCoordinator {
        return (glyphs::STARTING, Role::Lag, format!("unheard for {ago}"));
    }
    // Clients show themselves three times in a session (`heartbeat.interval.ms`), or oftener.
    if ago_ms > member.session_timeout_ms / 2 {
        return (glyphs::STARTING, Role::Lag, format!("silent for {ago}"));
    }
    match group.state {
        GroupState::Preparing => (glyphs::STARTING, Role::Lag, "has not joined".to_owned()),
        GroupState::Completing => (glyphs::ALIVE, Role::Sync, "joined".to_owned()),
        _ => (glyphs::ALIVE, Role::Sync, format!("seen {ago} ago")),
    }
}

/// The topics' names, each above its first partition, as far as there is room before the next one.
fn topics_of(pen: &mut Pen<'_>, group: &GroupDetail, x: u16, y: u16, step: u16, shown: usize) {
    let mut at = 0;
    for same in group.partitions[..shown].chunk_by(|left, right| left.name.topic == right.name.topic) {
        let cells = (same.len() as u16 * step).saturating_sub(1);
        pen.text(x + at * step, y, cells, &cut_middle(&same[0].name.topic, cells), pen.theme.fg(Role::Faint));
        at += same.len() as u16;
    }
}

fn relation(member: &GroupMember, name: &PartitionName, is_paused: bool) -> (&'static str, Role) {
    if member.gives_back.contains(name) {
        (GIVES_BACK, Role::Lag)
    } else if is_paused && member.owns.contains(name) {
        (GIVES_BACK, Role::Sync)
    } else if member.owns.contains(name) {
        (READS, Role::Sync)
    } else if member.awaits.contains(name) {
        (AWAITS, Role::Lag)
    } else {
        (glyphs::MISSING, Role::Faint)
    }
}

/// A row a partition, the one that is most behind first.
fn lag_table(pen: &mut Pen<'_>, model: &Model, group: &GroupDetail, area: Rect) {
    let theme = pen.theme;
    if area.height < 2 {
        return;
    }
    let head = theme.fg(Role::Faint);
    let name_cells = group.partitions.iter().map(|one| width(&one.name.to_string())).max().unwrap_or(9).clamp(9, 28);
    let columns = [("COMMITTED", 12), ("END", 12), ("LAG", 10)];
    let mut end = area.x + name_cells;
    pen.text(area.x, area.y, name_cells, "PARTITION", head);
    for (word, cells) in columns {
        end += cells;
        pen.right(end - cells, end, area.y, word, head);
    }
    let reader_at = end + 2;
    // The last minute, how far behind in time, and a bar stand where there is room for them.
    let has_history = area.right().saturating_sub(reader_at) >= 56;
    let spark_at = reader_at;
    let reader_at = if has_history { spark_at + SPARK_CELLS + 2 + 12 } else { reader_at };
    if has_history {
        pen.text(spark_at, area.y, SPARK_CELLS, "LAST 60 S", head);
        pen.right(spark_at + SPARK_CELLS, spark_at + SPARK_CELLS + 12, area.y, "BEHIND BY", head);
    }
    pen.text(reader_at, area.y, 12, "READ BY", head);
    let bar_at = reader_at + 20;
    let rows = areas::by_lag(group);
    let most = rows.iter().filter_map(|one| one.lag()).max().unwrap_or(0).max(1);
    let room = usize::from(area.height - 1);
    let selected = areas::partition_index(&model.groups, &rows);
    let first = Grid::first(room, selected);
    for (at, one) in rows.iter().enumerate().skip(first).take(room) {
        let y = area.y + 1 + (at - first) as u16;
        if at == selected && model.groups.pane == GroupsPane::Partitions {
            pen.ground(Rect { y, height: 1, ..area }, Ground::Raise);
            pen.text(area.x.saturating_sub(1), y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
        }
        if at + 1 - first == room && at + 1 < rows.len() {
            let more = format!("and {} less behind", plural((rows.len() - at) as u64, "partition"));
            pen.text(area.x, y, area.width, &more, theme.fg(Role::Dim));
            break;
        }
        let name = one.name.to_string();
        pen.text(area.x, y, name_cells, &cut_middle(&name, name_cells), theme.fg(Role::Text));
        let behind = one.lag();
        let role = if behind.is_some_and(|lag| lag >= LAG_NOTICED) { Role::Lag } else { Role::Text };
        let mut end = area.x + name_cells;
        let unknown = || UNKNOWN.to_owned();
        let values = [
            (one.committed.map_or_else(unknown, offset), 12, theme.fg(Role::Dim)),
            (one.end.map_or_else(unknown, offset), 12, theme.fg(Role::Dim)),
            (behind.map_or_else(unknown, count), 10, theme.bold(role)),
        ];
        for (text, cells, style) in values {
            end += cells;
            pen.right(end - cells, end, y, &text, style);
        }
        if has_history {
            spark::spark(pen, spark_at, y, SPARK_CELLS, &one.lag_history, theme.fg(role.low()));
            pen.right(spark_at + SPARK_CELLS, spark_at + SPARK_CELLS + 12, y, &behind_by(one), theme.fg(Role::Text));
        }
        let reader = reader_of(group, one);
        let style = theme.fg(if one.owner.is_some() { Role::Client } else { Role::Dim });
        pen.text(reader_at, y, 18.min(area.right().saturating_sub(reader_at)), &cut_middle(&reader, 18), style);
        if let (Some(behind), room @ 8..) = (behind, area.right().saturating_sub(bar_at)) {
            let cells = u16::try_from(u128::from(behind) * u128::from(room) / u128::from(most)).unwrap_or(room);
            pen.repeat(bar_at, y, room, "─", theme.fg(Role::Line));
            pen.repeat(bar_at, y, cells, glyphs::COMMITTED, theme.fg(role.low()));
        }
    }
}

/// Who reads a partition, in a word.
fn reader_of(group: &GroupDetail, one: &GroupPartition) -> String {
    one.owner.and_then(|owner| group.members.get(owner)).map_or("nobody".to_owned(), GroupMember::label)
}

/// How wide the last minute of a partition's lag is.
const SPARK_CELLS: u16 = 20;

/// How far behind a partition's reader is in time.
fn behind_by(one: &GroupPartition) -> String {
    match one.behind_ms {
        None => UNKNOWN.to_owned(),
        Some(0) => "0 s".to_owned(),
        // It is looked at every other second.
        Some(..=2_000) => "< 2 s".to_owned(),
        Some(BEHIND_MAX_MS..) => format!("> {}", span_ms(BEHIND_MAX_MS)),
        Some(behind_ms) => span_ms(behind_ms),
    }
}

fn rebalances_of(pen: &mut Pen<'_>, view: &ClusterView, group: &GroupDetail, area: Rect) {
    let theme = pen.theme;
    if group.rebalances.is_empty() {
        pen.text(area.x, area.y, area.width, "none since this coordinator began", theme.fg(Role::Dim));
        return;
    }
    let head = theme.fg(Role::Faint);
    pen.text(area.x + 2, area.y, 12, "WHEN", head);
    pen.text(area.x + 16, area.y, 6, "ENDED", head);
    pen.text(area.x + 24, area.y, 6, "WHY", head);
    let has_effect = area.width >= 100;
    let effect_at = area.right().saturating_sub(EFFECT_CELLS);
    if has_effect {
        pen.text(effect_at, area.y, 10, "MEMBERS", head);
        pen.text(effect_at + 16, area.y, 10, "EFFECT", head);
    }
    for (at, rebalance) in group.rebalances.iter().take(usize::from(area.height.saturating_sub(1))).enumerate() {
        let y = area.y + 1 + at as u16;
        let is_now = at == 0 && !matches!(group.state, GroupState::Stable | GroupState::Empty);
        let (glyph, role) = if is_now { (glyphs::STARTING, Role::Lag) } else { (glyphs::ALIVE, Role::Sync) };
        pen.text(area.x, y, 1, glyph, theme.fg(role));
        let when = if is_now {
            "now".to_owned()
        } else {
            format!("{} ago", span_ms(view.at_ms.saturating_sub(rebalance.at_ms)))
        };
        pen.text(area.x + 2, y, 13, &when, theme.fg(Role::Text));
        pen.text(area.x + 16, y, 7, &rebalance.generation.to_string(), theme.fg(Role::Dim));
        let style = if is_now { theme.fg(Role::Lag) } else { theme.fg(Role::Text) };
        // Ids are long; who is still here has a shorter name.
        let cause = group.members.iter().fold(rebalance.cause.clone(), |cause, member| {
            if member.id.is_empty() { cause } else { cause.replace(&*member.id, &member.label()) }
        });
        let room = if has_effect { effect_at.saturating_sub(area.x + 26) } else { area.width.saturating_sub(24) };
        pen.text(area.x + 24, y, room, &cut_middle(&cause, room), style);
        if has_effect {
            let (members, effect) = effect_of(view, group, rebalance, is_now);
            pen.text(effect_at, y, 15, &members, theme.fg(if is_now { Role::Lag } else { Role::Text }));
            pen.text(effect_at + 16, y, EFFECT_CELLS - 16, &effect, theme.fg(Role::Dim));
        }
    }
}

/// How wide what came of a rebalance is.
const EFFECT_CELLS: u16 = 50;

/// Who took part in a rebalance, and what came of it.
fn effect_of(view: &ClusterView, group: &GroupDetail, rebalance: &GroupRebalance, is_now: bool) -> (String, String) {
    let count = |members: usize| plural(members as u64, "member");
    match rebalance.effect {
        Some(GroupEffect { took_ms, moved, members }) => {
            let moved = match moved {
                0 => "moved nothing".to_owned(),
                moved => format!("moved {}", plural(moved as u64, "partition")),
            };
            (count(members), format!("took {}, {moved}", span_ms(took_ms)))
        }
        None if is_now => {
            let joined = group.members.iter().filter(|member| member.seen_ms.is_none()).count();
            let members = match group.state {
                GroupState::Preparing => format!("{joined} of {} joined", group.members.len()),
                _ => count(group.members.len()),
            };
            let how = if group.reads_on { "goes on for" } else { "reading paused for" };
            (members, format!("{how} {}", span_ms(view.at_ms.saturating_sub(rebalance.at_ms))))
        }
        None => (String::new(), "another one came before its end".to_owned()),
    }
}

/// The hint row of this screen.
pub fn hints(pen: &mut Pen<'_>, model: &Model, view: &ClusterView, frame: Frame) {
    if let Some(input) = &model.groups.filter_input {
        let found = view.groups.as_ref().map_or(0, |groups| groups.total);
        return filter_hint(pen, input, found, " show all   ! inverts", frame);
    }
    let row = HintRow::begin(pen, frame);
    let (time, can) = (hints::space(view), view.host.can);
    let has_members = view.groups.iter().flat_map(|groups| &groups.detail).any(|group| !group.members.is_empty());
    let has_paused = !model.groups.paused.is_empty();
    let sort = if model.groups.by_lag { "by name" } else { "by lag" };
    let keys: &[(&str, &str, bool)] = match model.groups.pane {
        GroupsPane::List => &[
            ("j k", "group", true),
            ("Tab", "pane", true),
            (glyphs::ENTER, "member", has_members),
            ("R", "reset offsets", true),
            ("D", "delete", true),
            ("p", "go on", has_paused),
            ("/", "filter", true),
            ("s", sort, true),
            ("Space", time, can.pause),
        ],
        GroupsPane::Members => &[
            ("j k", "member", true),
            ("Tab", "pane", true),
            (glyphs::ENTER, if model.groups.is_open { "close" } else { "detail" }, true),
            ("p", if has_paused { "pause, go on" } else { "pause" }, true),
            ("x", "actions", true),
            ("Space", time, can.pause),
            ("Esc", "back", true),
        ],
        GroupsPane::Partitions => &[
            ("j k", "partition", true),
            ("Tab", "pane", true),
            (glyphs::ENTER, "x-ray", true),
            ("R", "reset offsets", true),
            ("Space", time, can.pause),
            ("Esc", "groups", true),
        ],
    };
    row.keys(pen, keys);
}

//! Where the panes of the Groups screen stand, and what is under a cell.
//!
//! Invariants: what is drawn and what is clicked ask the same function, so that they cannot part.

use super::{LIST_CELLS, has_list, list_rows};
use crate::cluster::view::{GroupDetail, GroupsView, PartitionName};
use crate::tui::layout::{Frame, Height};
use crate::tui::model::GroupsScreen;
use crate::tui::pen::width;
use ratatui::layout::{Position, Rect};
use std::sync::Arc;

/// The panes, borders included where they have some; those without room have no height.
#[derive(Debug, Clone, Copy)]
pub(super) struct Areas {
    /// The list of groups.
    pub(super) list: Rect,
    /// The state of the group.
    pub(super) state: Rect,
    /// Its members.
    pub(super) who: Rect,
    /// What it reads.
    pub(super) lags: Rect,
    /// Its last rebalances.
    pub(super) rebalances: Rect,
    /// A member in detail, in the place of others.
    pub(super) member: Rect,
}

impl Areas {
    /// Where they stand.
    pub(super) fn of(screen: &GroupsScreen, groups: &GroupsView, group: &GroupDetail, frame: Frame) -> Areas {
        if has_list(frame) { Areas::framed(screen, group, frame) } else { Areas::ruled(screen, groups, group, frame) }
    }

    /// With borders, the list at the left.
    fn framed(screen: &GroupsScreen, group: &GroupDetail, frame: Frame) -> Areas {
        let list = Rect { width: LIST_CELLS.min(frame.body.width / 3), ..frame.body };
        let x = list.right() + 1;
        let area = Rect { x, width: frame.body.right().saturating_sub(x), ..frame.body };
        let members = u16::try_from(group.members.len()).unwrap_or(u16::MAX);
        let partitions = u16::try_from(group.partitions.len()).unwrap_or(u16::MAX);
        let state_rows = 5.min(area.height);
        let left = area.height.saturating_sub(state_rows);
        let who_rows = members.saturating_add(4).min(left * 2 / 5).max(4.min(left));
        let rebalance_rows = if left >= 18 { 7 } else { 0 };
        let lag_rows = partitions.saturating_add(3).min(left.saturating_sub(who_rows + rebalance_rows));
        let state = Rect { height: state_rows, ..area };
        let who = Rect { y: state.bottom(), height: who_rows, ..area };
        let rest = |y: u16| Rect { y, height: area.bottom().saturating_sub(y), ..area };
        let nothing = Rect { height: 0, ..area };
        if screen.is_open {
            return Areas { list, state, who, lags: nothing, rebalances: nothing, member: rest(who.bottom()) };
        }
        let lags = if lag_rows >= 4 { Rect { y: who.bottom(), height: lag_rows, ..area } } else { nothing };
        let below = rest(who.bottom() + lags.height);
        let rebalances = if below.height >= 3 { below } else { nothing };
        Areas { list, state, who, lags, rebalances, member: nothing }
    }

    /// Without borders, the list above.
    fn ruled(screen: &GroupsScreen, groups: &GroupsView, group: &GroupDetail, frame: Frame) -> Areas {
        let rows = (list_rows(frame) + 1).min(u16::try_from(groups.total).unwrap_or(u16::MAX).saturating_add(1));
        let list = Rect { x: frame.body.x + 1, width: frame.body.width.saturating_sub(2), height: rows, ..frame.body };
        let state_rows = if frame.height == Height::Short { 1 } else { 2 };
        // The rule with the group's name is between them.
        let state = Rect { y: list.bottom() + 1, height: state_rows, ..list };
        let rest = |y: u16| Rect { y, height: frame.body.bottom().saturating_sub(y), ..list };
        let nothing = Rect { height: 0, ..list };
        let below = rest(state.bottom());
        if screen.is_open {
            return Areas { list, state, who: nothing, lags: nothing, rebalances: nothing, member: below };
        }
        let members = u16::try_from(group.members.len()).unwrap_or(u16::MAX).saturating_add(1).min(below.height / 2);
        let who = Rect { height: members, ..below };
        Areas { list, state, who, lags: rest(who.bottom()), rebalances: nothing, member: nothing }
    }

    /// What is inside of a pane's border, if it has one.
    fn inside(frame: Frame, area: Rect) -> Rect {
        if !has_list(frame) || area.height < 2 {
            return area;
        }
        let (x, y) = (area.x + 2, area.y + 1);
        Rect { x, y, width: area.width.saturating_sub(4), height: area.height - 2 }
    }
}

/// The columns of the members' matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    /// How wide members' names are.
    pub(super) name_cells: u16,
    /// Where it stands what a member is doing, where there is room for it.
    pub(super) doing_at: Option<u16>,
    /// Where the first partition's column begins.
    pub(super) x: u16,
    /// How wide a column is.
    pub(super) cells: u16,
    /// What is between two columns.
    pub(super) gap: u16,
    /// How many partitions have a column.
    pub(super) shown: usize,
    /// Columns are headed by whole names.
    pub(super) is_named: bool,
    /// The topics stand in a row of their own above the numbers.
    pub(super) has_topics: bool,
}

impl Grid {
    /// The columns in an area.
    pub(super) fn of(group: &GroupDetail, area: Rect) -> Grid {
        let longest_name = group.members.iter().map(|member| width(&member.label())).max().unwrap_or(8);
        let name_cells = longest_name.clamp(8, (area.width / 3).max(8));
        let after = area.x + name_cells + 2;
        let doing_at = (area.width >= 90).then_some(after);
        let x = if doing_at.is_some() { after + super::DOING_CELLS } else { after };
        let room = area.right().saturating_sub(x);
        let count = group.partitions.len();
        let longest = group.partitions.iter().map(|one| width(&one.name.to_string())).max().unwrap_or(6);
        // Full names where they fit, else the numbers alone, else single marks.
        let fits = |cells: u16| usize::from(room / (cells + 1)) >= count;
        let cells = [longest, 4, 1].into_iter().find(|cells| fits(*cells)).unwrap_or(1);
        let gap = u16::from(cells > 1);
        let is_named = cells == longest;
        let shown = count.min((room / (cells + gap)).into());
        Grid { name_cells, doing_at, x, cells, gap, shown, is_named, has_topics: !is_named && area.height >= 3 }
    }

    /// The rows above the first member.
    fn head_rows(self) -> u16 {
        1 + u16::from(self.has_topics)
    }

    /// The first member in view, of so many rows, so that the selected one is among them.
    pub(super) fn first(rows: usize, selected: usize) -> usize {
        (selected + 1).saturating_sub(rows.saturating_sub(1).max(1))
    }
}

/// Those of the lag table, the one that is most behind first.
pub(super) fn by_lag(group: &GroupDetail) -> Vec<&crate::cluster::view::GroupPartition> {
    let mut rows: Vec<_> = group.partitions.iter().collect();
    rows.sort_by_key(|one| std::cmp::Reverse(one.lag()));
    rows
}

/// The place of the selected partition in the lag table.
pub(super) fn partition_index(screen: &GroupsScreen, rows: &[&crate::cluster::view::GroupPartition]) -> usize {
    rows.iter().position(|one| Some(&one.name) == screen.partition.as_ref()).unwrap_or(0)
}

/// The partition so many rows below the selected one.
pub fn partition_beyond(screen: &GroupsScreen, group: &GroupDetail, rows: isize) -> Option<PartitionName> {
    let all = by_lag(group);
    let place = partition_index(screen, &all).saturating_add_signed(rows).min(all.len().checked_sub(1)?);
    Some(all[place].name.clone())
}

/// What is under a cell of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hit {
    /// A group, by its place.
    Group(usize),
    /// A member, by its id.
    Member(Arc<str>),
    /// A row of the lag table.
    Partition(PartitionName),
    /// The list, or the members, or the table, beside their rows.
    List,
    /// See [`Hit::List`].
    Members,
    /// See [`Hit::List`].
    Partitions,
    /// Anything else.
    Nothing,
}

/// What is under a cell.
pub fn hit(screen: &GroupsScreen, groups: &GroupsView, frame: Frame, (x, y): (u16, u16)) -> Hit {
    let Some(group) = &groups.detail else { return Hit::Nothing };
    let areas = Areas::of(screen, groups, group, frame);
    let at = Position { x, y };
    if areas.list.contains(at) {
        let inside = Areas::inside(frame, areas.list);
        let room = usize::from(inside.height.saturating_sub(1));
        let skip = (groups.selected_index + 1).saturating_sub(groups.first_row + room);
        let row = y.checked_sub(inside.y + 1).map(usize::from).filter(|row| *row < room);
        let place = row.map(|row| groups.first_row + skip + row);
        return place.filter(|place| *place < groups.total).map_or(Hit::List, Hit::Group);
    }
    if areas.who.contains(at) {
        let inside = Areas::inside(frame, areas.who);
        let head = Grid::of(group, inside).head_rows();
        let rows = usize::from(inside.height.saturating_sub(head));
        let first = Grid::first(rows, screen.member_index(group));
        let row = y.checked_sub(inside.y + head).map(usize::from);
        let member = row.and_then(|row| group.members.get(first + row));
        return member.map_or(Hit::Members, |member| Hit::Member(Arc::clone(&member.id)));
    }
    if areas.lags.contains(at) {
        let inside = Areas::inside(frame, areas.lags);
        let all = by_lag(group);
        let rows = usize::from(inside.height.saturating_sub(1));
        let first = Grid::first(rows, partition_index(screen, &all));
        let row = y.checked_sub(inside.y + 1).map(usize::from);
        let partition = row.and_then(|row| all.get(first + row));
        return partition.map_or(Hit::Partitions, |one| Hit::Partition(one.name.clone()));
    }
    if areas.member.contains(at) { Hit::Members } else { Hit::Nothing }
}

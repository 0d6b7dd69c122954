//! What keys mean on the Groups screen.
//!
//! Invariants: what is selected has a name, never a place; what changes a group is a line of the command language, shown before it is
//! run.

use super::{changes, open_palette};
use crate::cluster::view::{GroupDetail, GroupMember};
use crate::tui::keymap::Action;
use crate::tui::layout::Frame;
use crate::tui::model::{GroupsPane, Model, Screen};
use crate::tui::msg::Cmd;
use crate::tui::overlays;
use crate::tui::screens::groups::{Hit, hit, partition_beyond, rows_in_view};
use crossterm::event::{KeyCode, KeyEvent};
use std::sync::Arc;
use tui_input::Input;

/// What a key means here; `None` where it means what it means on every screen.
pub(super) fn on_action(model: &mut Model, action: Action) -> Option<Vec<Cmd>> {
    match action {
        Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
            match model.groups.pane {
                GroupsPane::List => select(model, action),
                GroupsPane::Members => select_member(model, action),
                GroupsPane::Partitions => select_partition(model, action),
            }
        }
        Action::NextPane => turn(model, true),
        Action::PreviousPane => turn(model, false),
        Action::Back if model.toasts.is_empty() && model.armed.is_none() => back(model),
        Action::Filter => model.groups.filter_input = Some(Input::new(model.groups.filter.clone())),
        Action::Sort => {
            model.groups.by_lag = !model.groups.by_lag;
            model.groups.first_row = 0;
        }
        Action::Restart => {
            return Some(line(model, "group reset").map_or_else(Vec::new, |line| open_palette(model, &line)));
        }
        Action::Delete => {
            let line = line(model, "group delete");
            return Some(line.map_or_else(Vec::new, |line| open_palette(model, line.trim_end())));
        }
        Action::Open => return Some(open(model)),
        Action::Actions if model.groups.pane == GroupsPane::Members => return Some(member_menu(model)),
        Action::Actions => return Some(describe(model)),
        Action::Produce => return Some(pause_or_go_on(model)),
        // What acts on a broker's column or a partition's row has neither here.
        Action::Kill | Action::PowerLoss | Action::Suspend | Action::Cut => {}
        Action::Left | Action::Right | Action::ShowAll => {}
        _ => return None,
    }
    Some(Vec::new())
}

/// A verb with the name of the group in view, ready for more words.
fn line(model: &Model, verb: &str) -> Option<String> {
    Some(format!("{verb} {} ", detail(model)?.name))
}

fn describe(model: &Model) -> Vec<Cmd> {
    line(model, "group describe").map_or_else(Vec::new, |line| vec![Cmd::Submit(line.trim_end().to_owned())])
}

fn detail(model: &Model) -> Option<&GroupDetail> {
    model.view.groups.as_ref()?.detail.as_deref()
}

fn member(model: &Model) -> Option<&GroupMember> {
    let detail = detail(model)?;
    detail.members.get(model.groups.member_index(detail))
}

/// The next pane with something in it; where a member is open it stands in the place of the partitions.
fn turn(model: &mut Model, forward: bool) {
    let has_members = detail(model).is_some_and(|group| !group.members.is_empty());
    let has_partitions = !model.groups.is_open && detail(model).is_some_and(|group| !group.partitions.is_empty());
    let mut panes = vec![GroupsPane::List];
    panes.extend(has_members.then_some(GroupsPane::Members));
    panes.extend(has_partitions.then_some(GroupsPane::Partitions));
    let now = panes.iter().position(|pane| *pane == model.groups.pane).unwrap_or(0);
    let step = if forward { 1 } else { panes.len() - 1 };
    model.groups.pane = panes[(now + step) % panes.len()];
}

fn back(model: &mut Model) {
    let groups = &mut model.groups;
    if groups.is_open {
        groups.is_open = false;
    } else if groups.pane != GroupsPane::List {
        groups.pane = GroupsPane::List;
    } else if groups.filter.is_empty() {
        model.screen = Screen::Cluster;
    } else {
        groups.filter.clear();
    }
}

/// From the list to its members, from a member to all that is known of it, from a partition into it.
fn open(model: &mut Model) -> Vec<Cmd> {
    match model.groups.pane {
        GroupsPane::List if member(model).is_none() => return describe(model),
        GroupsPane::List => {
            model.groups.pane = GroupsPane::Members;
            model.groups.is_open = true;
        }
        GroupsPane::Members => model.groups.is_open = !model.groups.is_open,
        GroupsPane::Partitions => {
            let Some(name) = detail(model).and_then(|group| partition_beyond(&model.groups, group, 0)) else {
                return Vec::new();
            };
            let committed = |group: &GroupDetail| group.partitions.iter().find(|one| one.name == name)?.committed;
            let offset = detail(model).and_then(committed);
            super::partition::show(model, Some(name), offset);
        }
    }
    Vec::new()
}

/// Tells a reader of the program's own to stand still, or one that stands still to go on; in the list the one that was told last.
fn pause_or_go_on(model: &mut Model) -> Vec<Cmd> {
    if model.past.is_some() {
        return Vec::new();
    }
    let name = match model.groups.pane {
        GroupsPane::Members => member(model).map(|member| Arc::clone(&member.client)),
        // A reader that stands still is out of its group before long: no row has it then.
        _ => model.groups.paused.last().cloned(),
    };
    let Some(name) = name else { return Vec::new() };
    let paused = &mut model.groups.paused;
    let verb = if let Some(place) = paused.iter().position(|known| *known == name) {
        paused.remove(place);
        "resume"
    } else {
        paused.push(Arc::clone(&name));
        "pause"
    };
    vec![Cmd::Submit(format!("consume {verb} {name}"))]
}

/// Everything that can be done to a reader of the program's own.
fn member_menu(model: &mut Model) -> Vec<Cmd> {
    let Some(name) = member(model).map(|member| Arc::clone(&member.client)) else { return Vec::new() };
    let items = vec![
        changes::item('p', "pause", "it stands still, and says nothing", format!("consume pause {name}")),
        changes::item('r', "resume", "it reads on", format!("consume resume {name}")),
        changes::item('s', "slow", "5 records a second", format!("consume slow {name} 5/s")),
        changes::item('l', "leave", "it commits, and tells its group", format!("consume stop {name}")),
        changes::item('K', "kill", "nobody is told", format!("consume kill {name}")),
    ];
    changes::open_menu(model, format!("Reader {name}"), items)
}

/// A key while the filter is typed.
pub(super) fn on_filter_key(model: &mut Model, key: &KeyEvent) -> Vec<Cmd> {
    let groups = &mut model.groups;
    let Some(input) = &mut groups.filter_input else { return Vec::new() };
    match key.code {
        KeyCode::Enter => {
            groups.filter = input.value().to_string();
            groups.filter_input = None;
        }
        KeyCode::Esc => {
            groups.filter.clear();
            groups.filter_input = None;
        }
        _ => {
            if overlays::edit(input, key) {
                groups.first_row = 0;
            }
        }
    }
    Vec::new()
}

/// Pasted text goes into the filter, if it is open.
pub(super) fn on_paste(model: &mut Model, text: &str) {
    if let Some(input) = &mut model.groups.filter_input {
        overlays::insert(input, text.lines().next().unwrap_or_default());
    }
}

/// A click focuses and selects; a double click opens.
pub(super) fn on_click(model: &mut Model, frame: Frame, at: (u16, u16), double: bool) -> Option<Vec<Cmd>> {
    let view = Arc::clone(&model.view);
    let pane = match hit(&model.groups, view.groups.as_ref()?, frame, at) {
        Hit::Group(place) => {
            select_place(model, place);
            GroupsPane::List
        }
        Hit::Member(id) => {
            model.groups.member = Some(id);
            GroupsPane::Members
        }
        Hit::Partition(name) => {
            model.groups.partition = Some(name);
            GroupsPane::Partitions
        }
        Hit::List => GroupsPane::List,
        Hit::Members => GroupsPane::Members,
        Hit::Partitions => GroupsPane::Partitions,
        Hit::Nothing => return None,
    };
    model.groups.pane = pane;
    Some(if double { super::on_action(model, Action::Open) } else { Vec::new() })
}

/// The wheel scrolls what is under it.
pub(super) fn on_wheel(model: &mut Model, frame: Frame, at: (u16, u16), up: bool) {
    let view = Arc::clone(&model.view);
    let Some(groups) = &view.groups else { return };
    let action = if up { Action::Up } else { Action::Down };
    match hit(&model.groups, groups, frame, at) {
        Hit::Group(_) | Hit::List => select(model, action),
        Hit::Member(_) | Hit::Members => select_member(model, action),
        Hit::Partition(_) | Hit::Partitions => select_partition(model, action),
        Hit::Nothing => {}
    }
}

fn select_member(model: &mut Model, action: Action) {
    let Some(detail) = detail(model) else { return };
    let now = model.groups.member_index(detail);
    let next = moved(action, now, 10).min(detail.members.len().saturating_sub(1));
    model.groups.member = detail.members.get(next).map(|member| Arc::clone(&member.id));
}

fn select_partition(model: &mut Model, action: Action) {
    let Some(detail) = detail(model) else { return };
    let rows = match action {
        Action::Up => -1,
        Action::Down => 1,
        Action::PageUp => -10,
        Action::PageDown => 10,
        Action::First => isize::MIN,
        _ => isize::MAX,
    };
    model.groups.partition = partition_beyond(&model.groups, detail, rows);
}

fn moved(action: Action, now: usize, page: usize) -> usize {
    match action {
        Action::Up => now.saturating_sub(1),
        Action::Down => now + 1,
        Action::PageUp => now.saturating_sub(page),
        Action::PageDown => now + page,
        Action::First => 0,
        _ => usize::MAX,
    }
}

fn select(model: &mut Model, action: Action) {
    let Some(view) = &model.view.groups else { return };
    let now = view.selected_index;
    let in_view = model.frame().map_or(10, |frame| usize::from(rows_in_view(frame))).max(1);
    select_place(model, moved(action, now, in_view));
}

fn select_place(model: &mut Model, place: usize) {
    let Some(view) = &model.view.groups else { return };
    let in_view = model.frame().map_or(10, |frame| usize::from(rows_in_view(frame))).max(1);
    let next = place.min(view.total.saturating_sub(1));
    let first = model.groups.first_row.min(next).max((next + 1).saturating_sub(in_view));
    let name = next.checked_sub(view.first_row).and_then(|at| view.rows.get(at)).map(|row| row.name.clone());
    let groups = &mut model.groups;
    groups.first_row = first;
    // Beyond the window the next picture tells the name.
    groups.find_name = name.is_none();
    groups.selected_index = next;
    groups.selected = name.or_else(|| groups.selected.clone());
    groups.is_open = false;
}

/// A new picture: the name of what was selected beyond the last one's window. Other groups may have come or moved: the selected one
/// stays in view. A pane that has become empty has no keys.
pub(super) fn on_view(model: &mut Model) {
    let view = Arc::clone(&model.view);
    let Some(view) = &view.groups else { return };
    let in_view = model.frame().map_or(10, |frame| usize::from(rows_in_view(frame))).max(1);
    let groups = &mut model.groups;
    if groups.find_name {
        let place = groups.selected_index.checked_sub(view.first_row);
        if let Some(row) = place.and_then(|at| view.rows.get(at)) {
            groups.selected = Some(row.name.clone());
            groups.find_name = false;
        }
    } else {
        let least = (view.selected_index + 1).saturating_sub(in_view);
        groups.first_row = groups.first_row.min(view.selected_index).max(least);
    }
    let has_members = view.detail.as_ref().is_some_and(|group| !group.members.is_empty());
    groups.is_open &= has_members;
    if groups.pane == GroupsPane::Members && !has_members {
        groups.pane = GroupsPane::List;
    }
}

//! Keys and the mouse on the Partition screen: another partition, another replica, another stretch of offsets.
//!
//! Invariants: the partition and the broker that are selected are those of the Cluster screen, so that they stay when the screen changes;
//! where the axis begins and how wide it is are computed from the newest picture, once for each.

use super::{changes, open_palette};
use crate::cluster::view::PartitionName;
use crate::tui::keymap::Action;
use crate::tui::layout::Frame;
use crate::tui::model::{Model, Screen};
use crate::tui::msg::Cmd;
use crate::tui::screens::partition::{self, Hit};
use crate::tui::widgets::offsets;
use std::sync::Arc;

/// What a key means here; `None` where it means what it means on every screen.
pub(super) fn on_action(model: &mut Model, action: Action) -> Option<Vec<Cmd>> {
    match action {
        Action::Left | Action::Right => go_beside(model, action == Action::Right),
        Action::Up | Action::Down => return Some(select_replica(model, action == Action::Down)),
        Action::PageUp | Action::PageDown => scroll(model, action == Action::PageDown, 2),
        Action::First => {
            let starts =
                model.view.xray.as_ref().map(|xray| xray.replicas.iter().map(|replica| replica.log_start).min());
            go_to(model, starts.flatten().unwrap_or(0));
        }
        Action::Last => follow(model),
        Action::ShowAll => zoom(model),
        Action::Frames => replay(model),
        Action::GoToOffset => {
            let name = model.cluster.selected.as_ref()?.to_string();
            return Some(open_palette(model, &format!("xray {name} --offset ")));
        }
        Action::Open => return Some(changes::on_action(model, Action::Actions)),
        Action::NextPane => model.partition.pane = (model.partition.pane + 1) % 3,
        Action::PreviousPane => model.partition.pane = (model.partition.pane + 2) % 3,
        Action::Back if model.toasts.is_empty() && model.armed.is_none() => {
            if model.partition.replay_since_ms.take().is_none() {
                leave(model);
            }
        }
        // What is about the list of partitions has nothing to act on here.
        Action::Sort | Action::Filter => {}
        _ => return None,
    }
    Some(Vec::new())
}

/// Opens the screen for the selected partition.
pub(super) fn open(model: &mut Model) {
    model.screen = Screen::Partition;
    model.cluster.filter_input = None;
    model.armed = None;
    follow(model);
}

fn leave(model: &mut Model) {
    model.screen = Screen::Cluster;
    model.cluster.find_place = true;
    model.keep_selection_in_view();
}

/// Goes to a partition, and to an offset of it.
pub(super) fn show(model: &mut Model, name: Option<PartitionName>, offset: Option<i64>) {
    if let Some(name) = name {
        model.cluster.filter.clear();
        select(model, name);
    }
    open(model);
    if let Some(offset) = offset {
        go_to(model, offset);
    }
}

fn select(model: &mut Model, name: PartitionName) {
    model.cluster.selected = Some(name);
    model.cluster.find_name = false;
    model.cluster.find_place = true;
    model.partition.replay_since_ms = None;
    follow(model);
}

fn go_beside(model: &mut Model, is_next: bool) {
    let beside =
        model.view.xray.as_ref().and_then(|xray| if is_next { xray.next.clone() } else { xray.previous.clone() });
    if let Some(name) = beside {
        select(model, name);
    }
}

fn select_replica(model: &mut Model, is_down: bool) -> Vec<Cmd> {
    let view = Arc::clone(&model.view);
    let Some(xray) = view.xray.as_deref().filter(|xray| !xray.replicas.is_empty()) else { return Vec::new() };
    let last = xray.replicas.len() - 1;
    let next = match (partition::selected_replica(model, xray), is_down) {
        (None, _) => 0,
        (Some(now), true) => (now + 1).min(last),
        (Some(now), false) => now.saturating_sub(1),
    };
    model.cluster.broker = Some(xray.replicas[next].broker);
    changes::select_consequence(model)
}

fn follow(model: &mut Model) {
    model.partition.pinned = None;
    place_axis(model);
}

fn go_to(model: &mut Model, offset: i64) {
    model.partition.pinned = Some(offset.max(0));
    place_axis(model);
}

/// Moves the axis by a part of its length.
fn scroll(model: &mut Model, is_on: bool, part: u64) {
    let length = model.partition.per_cell.max(1).saturating_mul(u64::from(model.partition.cells.max(4)));
    let by = i64::try_from(length / part).unwrap_or(i64::MAX / 4).max(1);
    let from = model.partition.from;
    let to = if is_on { from.saturating_add(by) } else { from.saturating_sub(by).max(0) };
    let end = model.view.xray.as_deref().map_or(0, offsets::furthest);
    let axis_end = to.saturating_add(i64::try_from(length).unwrap_or(i64::MAX / 4));
    if is_on && axis_end > end { follow(model) } else { go_to(model, to) }
}

/// Wider and wider, then as wide as fits by itself.
fn zoom(model: &mut Model) {
    let cells = u64::from(model.partition.cells.max(4));
    let all = model.view.xray.as_deref().map_or(0, offsets::furthest);
    let most = (u64::try_from(all).unwrap_or(0) / cells).max(1) * 4;
    let now = model.partition.zoom;
    model.partition.zoom = match now {
        None if model.partition.per_cell > 1 => Some(1),
        None => offsets::wider(1, most),
        Some(step) => offsets::wider(step, most),
    };
    place_axis(model);
}

fn zoom_by(model: &mut Model, is_closer: bool) {
    let now = model.partition.per_cell.max(1);
    model.partition.zoom =
        if is_closer { Some(offsets::closer(now)) } else { offsets::wider(now, u64::MAX).or(Some(now)) };
    place_axis(model);
}

/// Shows the last truncation frame by frame, from the first.
fn replay(model: &mut Model) {
    let has_one = model.view.xray.as_ref().is_some_and(|xray| xray.truncation.is_some());
    model.partition.replay_since_ms = has_one.then_some(model.now_ms);
}

/// A new picture: the axis follows.
pub(super) fn on_view(model: &mut Model) {
    if model.screen == Screen::Partition {
        place_axis(model);
    }
}

/// Computes where the axis begins and how many offsets a cell is.
pub(super) fn place_axis(model: &mut Model) {
    let view = Arc::clone(&model.view);
    let (Some(xray), Some(frame)) = (view.xray.as_deref(), model.frame()) else { return };
    if model.cluster.selected.as_ref() != Some(&xray.name) {
        return;
    }
    let cells = partition::layout_of(model, xray, frame).cells;
    model.partition.cells = cells;
    model.partition.per_cell = match model.partition.zoom {
        Some(zoom) => zoom,
        None => offsets::fitting(xray, cells, model.partition.per_cell),
    };
    model.partition.from = match model.partition.pinned {
        Some(from) => from,
        None => offsets::following(xray, cells, model.partition.per_cell),
    };
}

/// The wheel scrolls the offsets; with Ctrl it changes the scale.
pub(super) fn on_wheel(model: &mut Model, is_up: bool, with_control: bool) {
    if with_control { zoom_by(model, is_up) } else { scroll(model, !is_up, 8) }
}

/// A click. `None` where it means what it means on every screen.
pub(super) fn on_click(model: &mut Model, frame: Frame, x: u16, y: u16, is_double: bool) -> Option<Vec<Cmd>> {
    let view = Arc::clone(&model.view);
    let xray = view.xray.as_deref()?;
    match partition::hit(model, xray, frame, x, y) {
        Hit::Replica(broker) => {
            model.cluster.broker = Some(broker);
            if is_double {
                return Some(changes::on_action(model, Action::Actions));
            }
            return Some(changes::select_consequence(model));
        }
        Hit::Previous => go_beside(model, false),
        Hit::Next => go_beside(model, true),
        Hit::Strip => replay(model),
        Hit::Tables => model.partition.pane = (model.partition.pane + 1) % 3,
        Hit::Headline => return Some(super::on_action(model, Action::Why)),
        Hit::Nothing => {}
    }
    Some(Vec::new())
}

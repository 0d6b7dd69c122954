//! The mouse: a click focuses and selects, a double click opens, the wheel moves, the right button lists actions.

use super::changes;
use crate::tui::keymap::Action;
use crate::tui::layout::Frame;
use crate::tui::model::{Model, Pane, Screen};
use crate::tui::msg::Cmd;
use crate::tui::screens::cluster::{self, Hit};
use crate::tui::screens::quorum;
use crate::tui::widgets::timeline::Axis;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;
use std::sync::Arc;

/// Two presses within this time on one cell are a double click.
const DOUBLE_CLICK_MS: u64 = 400;

/// A mouse event.
pub(super) fn on_mouse(model: &mut Model, mouse: MouseEvent) -> Vec<Cmd> {
    let view = Arc::clone(&model.view);
    let wheel = match mouse.kind {
        MouseEventKind::ScrollUp => Some(KeyCode::Up),
        MouseEventKind::ScrollDown => Some(KeyCode::Down),
        _ => None,
    };
    if let Some(top) = model.overlays.last_mut() {
        let Some(code) = wheel else { return Vec::new() };
        let outcome = top.key(&KeyEvent::new(code, KeyModifiers::NONE), &view);
        return super::after(model, outcome);
    }
    match (wheel, mouse.kind) {
        (Some(code), _) if model.screen == Screen::Partition => {
            super::partition::on_wheel(model, code == KeyCode::Up, mouse.modifiers.contains(KeyModifiers::CONTROL));
            Vec::new()
        }
        (Some(code), _) if model.screen == Screen::Groups => {
            if let Some(frame) = model.frame() {
                super::groups::on_wheel(model, frame, (mouse.column, mouse.row), code == KeyCode::Up);
            }
            Vec::new()
        }
        (Some(code), _) if model.screen == Screen::Faults => match model.frame() {
            Some(frame) => super::faults::on_wheel(model, frame, (mouse.column, mouse.row), code == KeyCode::Up),
            None => Vec::new(),
        },
        (Some(code), _) => {
            let action = if code == KeyCode::Up { Action::Up } else { Action::Down };
            super::on_action(model, action)
        }
        (None, MouseEventKind::Down(MouseButton::Left)) => click(model, mouse.column, mouse.row),
        (None, MouseEventKind::Drag(MouseButton::Left)) => {
            if model.cluster.pane == Pane::Timeline {
                seek(model, mouse.column);
            }
            Vec::new()
        }
        (None, MouseEventKind::Down(MouseButton::Right)) => {
            let mut cmds = click(model, mouse.column, mouse.row);
            cmds.extend(super::on_action(model, Action::Actions));
            cmds
        }
        _ => Vec::new(),
    }
}

fn click(model: &mut Model, x: u16, y: u16) -> Vec<Cmd> {
    let now = model.now_ms;
    let again =
        |&(at, column, row): &(u64, u16, u16)| column == x && row == y && now.saturating_sub(at) < DOUBLE_CLICK_MS;
    let double = model.last_click.as_ref().is_some_and(again);
    model.last_click = if double { None } else { Some((now, x, y)) };
    let view = Arc::clone(&model.view);
    let Some(frame) = model.frame() else { return Vec::new() };
    if model.is_empty() {
        return Vec::new();
    }
    if frame.timeline.contains(Position { x, y }) {
        model.cluster.pane = Pane::Timeline;
        seek(model, x);
        return Vec::new();
    }
    if let Some(cmds) = on_screen(model, frame, (x, y), double) {
        return cmds;
    }
    let hit = match cluster::hit(model, &view, frame, x, y) {
        // What stands there is another screen's.
        Hit::Row(..) | Hit::Card(_) | Hit::More if model.screen != Screen::Cluster => Hit::Nothing,
        hit => hit,
    };
    match hit {
        Hit::Row(name, broker) => {
            model.cluster.pane = Pane::Matrix;
            if let Some(index) = view.rows.rows.iter().position(|row| row.name == name) {
                model.cluster.selected_index = view.rows.first + index;
            }
            model.cluster.selected = Some(name);
            model.cluster.find_name = false;
            if double {
                return super::on_action(model, Action::Open);
            }
            match broker {
                Some(broker) if model.cluster.broker != Some(broker) => {
                    model.cluster.broker = Some(broker);
                    changes::select_consequence(model)
                }
                _ => Vec::new(),
            }
        }
        Hit::Card(broker) => {
            model.cluster.pane = Pane::Matrix;
            model.cluster.broker = Some(broker);
            if double { super::on_action(model, Action::Actions) } else { changes::select_consequence(model) }
        }
        Hit::More => super::on_action(model, Action::ShowAll),
        Hit::Headline => super::on_action(model, Action::Why),
        Hit::Timeline | Hit::Nothing => Vec::new(),
    }
}

/// What a press means on the screen that is shown; `None` where it means what it means on the Cluster screen.
fn on_screen(model: &mut Model, frame: Frame, (x, y): (u16, u16), double: bool) -> Option<Vec<Cmd>> {
    match model.screen {
        Screen::Topics => Some(super::topics::on_click(model, frame, (x, y), double)),
        Screen::Partition => super::partition::on_click(model, frame, x, y, double),
        Screen::Groups => super::groups::on_click(model, frame, (x, y), double),
        Screen::Faults => super::faults::on_click(model, frame, (x, y), double),
        Screen::Wire => super::wire::on_click(model, frame, (x, y), double).then(Vec::new),
        Screen::Quorum => {
            model.cluster.broker = Some(quorum::card_at(&model.view, frame, x, y)?);
            Some(if double { super::on_action(model, Action::Open) } else { changes::select_consequence(model) })
        }
        _ => None,
    }
}

/// Looks at the fact nearest to a column of the timeline, and at the moment where that is recorded.
fn seek(model: &mut Model, x: u16) {
    let Some(frame) = model.frame() else { return };
    let axis = Axis::of(frame.timeline, &model.view);
    let nearest = model
        .view
        .timeline
        .events
        .iter()
        .filter_map(|event| Some((axis.column(event.at_ms)?.abs_diff(x), event.id)))
        .min();
    super::time::seek(model, &axis, x);
    if let Some((_, id)) = nearest {
        model.cluster.event = Some(id);
    }
}

//! What keys mean on the Wire screen.
//!
//! Invariants: the chosen message is kept by its id, and with none chosen the newest is looked at; what changes the cluster is a line of
//! the command language, shown before it is run.

use super::changes;
use crate::cluster::command::Command;
use crate::cluster::view::{WireEnd, WireMessage};
use crate::tui::keymap::Action;
use crate::tui::layout::Frame;
use crate::tui::model::{Model, Screen};
use crate::tui::msg::Cmd;
use crate::tui::overlays;
use crate::tui::screens::wire::{Hit, chosen, hit, rows_in_view};
use crossterm::event::{KeyCode, KeyEvent};
use std::sync::Arc;
use tui_input::Input;

/// How much later `t` lets a message arrive.
const DELAY: &str = "120ms";

/// What a key means here; `None` where it means what it means on every screen.
pub(super) fn on_action(model: &mut Model, action: Action) -> Option<Vec<Cmd>> {
    match action {
        Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
            if model.wire.on_detail {
                select_field(model, action);
            } else {
                select(model, action);
            }
        }
        Action::NextPane | Action::PreviousPane | Action::Open => model.wire.on_detail = !model.wire.on_detail,
        Action::Filter => model.wire.filter_input = Some(Input::new(model.wire.filter.clone())),
        Action::ShowAll => model.wire.routine = !model.wire.routine,
        Action::Actions => return Some(actions(model)),
        Action::Step | Action::Deliver | Action::Demo | Action::Frames | Action::Browse if model.view.host.can.step => {
            return Some(act(model, action));
        }
        // These act on a message here, or on nothing.
        Action::Deliver | Action::Demo | Action::Frames | Action::Browse => {}
        Action::Back if model.toasts.is_empty() && model.armed.is_none() => back(model),
        // What acts on a broker's column or a partition's row has neither here.
        Action::Kill
        | Action::PowerLoss
        | Action::Suspend
        | Action::Restart
        | Action::Cut
        | Action::Left
        | Action::Right
        | Action::Sort
        | Action::Delete => {}
        _ => return None,
    }
    Some(Vec::new())
}

/// Steps to the next message, or does something to the one that is looked at.
fn act(model: &mut Model, action: Action) -> Vec<Cmd> {
    if action == Action::Step {
        model.wire.selected = None;
        model.wire.field = 0;
        return vec![Cmd::Submit(step_line(model))];
    }
    let view = Arc::clone(&model.view);
    let Some(wire) = &view.wire else { return Vec::new() };
    let Some(message) = chosen(model, wire) else { return Vec::new() };
    let id = message.id;
    let line = match action {
        Action::Deliver => format!("message deliver {id}"),
        Action::Demo => format!("message drop {id}"),
        Action::Frames => format!("message delay {id} {DELAY}"),
        _ if wire.breaks.contains(&message.api) => format!("break {} --off", message.api),
        _ => format!("break {}", message.api),
    };
    vec![Cmd::Submit(line)]
}

/// Time goes on until the next message has arrived that is shown.
fn step_line(model: &Model) -> String {
    let routine = if model.wire.routine { " routine" } else { "" };
    let words = format!("{}{routine}", model.wire.filter);
    let message = Some(words.trim().to_owned());
    Command::Step { count: 1, back: false, message }.to_string()
}

/// What a click here does; a second one opens.
pub(super) fn on_click(model: &mut Model, frame: Frame, (x, y): (u16, u16), double: bool) -> bool {
    let view = Arc::clone(&model.view);
    match hit(model, &view, frame, x, y) {
        Hit::Message(id) => {
            if model.wire.selected != Some(id) {
                model.wire.field = 0;
            }
            model.wire.selected = Some(id);
            model.wire.on_detail = double;
        }
        Hit::Field(place) => {
            model.wire.on_detail = true;
            model.wire.field = place;
        }
        Hit::Detail => model.wire.on_detail = true,
        Hit::Nothing => return false,
    }
    true
}

/// One step up: from the fields to the list, to the newest, to everything, to the cluster.
fn back(model: &mut Model) {
    let wire = &mut model.wire;
    if wire.on_detail {
        wire.on_detail = false;
    } else if wire.selected.is_some() {
        wire.selected = None;
    } else if wire.filter.is_empty() {
        model.screen = Screen::Cluster;
    } else {
        wire.filter.clear();
    }
}

fn moved(action: Action, now: usize, page: usize, last: usize) -> usize {
    let next = match action {
        Action::Up => now.saturating_sub(1),
        Action::Down => now + 1,
        Action::PageUp => now.saturating_sub(page),
        Action::PageDown => now + page,
        Action::First => 0,
        _ => last,
    };
    next.min(last)
}

fn select(model: &mut Model, action: Action) {
    let view = Arc::clone(&model.view);
    let Some(messages) = view.wire.as_ref().map(|wire| &wire.messages) else { return };
    let Some(last) = messages.len().checked_sub(1) else { return };
    let looked_at = view.wire.as_ref().and_then(|wire| chosen(model, wire)).map(|message| message.id);
    let now = looked_at.and_then(|id| messages.iter().position(|message| message.id == id)).unwrap_or(last);
    let next = moved(action, now, model.frame().map_or(10, rows_in_view), last);
    // Beyond the newest one, and with G, the newest is followed.
    let follows = action == Action::Last || (next == last && now == last);
    model.wire.selected = (!follows).then(|| messages[next].id);
    model.wire.field = 0;
}

fn select_field(model: &mut Model, action: Action) {
    let fields = model.view.wire.as_ref().and_then(|wire| wire.detail.as_ref()).map_or(0, |detail| detail.fields.len());
    model.wire.field = moved(action, model.wire.field, 10, fields.saturating_sub(1));
}

/// What can be done to messages like the chosen one, and to the link that it takes.
fn actions(model: &mut Model) -> Vec<Cmd> {
    let view = Arc::clone(&model.view);
    let Some(message) = view.wire.as_ref().and_then(|wire| chosen(model, wire)) else { return Vec::new() };
    if !view.host.can.faults {
        return Vec::new();
    }
    let link = format!("{} to {}", word(&message.from), word(&message.to));
    let mut items = vec![
        changes::item(
            'd',
            format!("drop the next {}", what(message)),
            "one message, never seen again",
            drop_line(message),
        ),
        changes::item('o', "hold the link", "kept until released", format!("link hold {link}")),
        changes::item('r', "release the link", "delivers what is held", format!("link release {link}")),
        changes::item(
            't',
            "delay the link",
            "120 ms later, up to 40 more",
            format!("link delay {link} 120ms --jitter 40ms"),
        ),
    ];
    items.push(changes::item('c', "cut the link", "the way back works", format!("link cut {link}")));
    items.push(changes::item('e', "heal the link", "as if nothing had been", format!("link heal {link}")));
    changes::open_menu(model, format!("{} to {}", message.api, word(&message.to)), items)
}

fn what(message: &WireMessage) -> String {
    format!("{} {}", message.api, if message.is_response { "answer" } else { "request" })
}

/// The line that loses the next message like this one.
fn drop_line(message: &WireMessage) -> String {
    let kind = if message.is_response { "response" } else { "request" };
    // A broker drops what it sends, and what its clients send it.
    let broker = match (&message.from, &message.to) {
        (WireEnd::Broker(id), _) | (WireEnd::Client(_), WireEnd::Broker(id)) => format!(" --broker {id}"),
        (WireEnd::Client(_), WireEnd::Client(_)) => String::new(),
    };
    format!("drop next {kind} of {}{broker}", message.api)
}

/// The end of a link, as the command language names it.
fn word(end: &WireEnd) -> String {
    match end {
        WireEnd::Client(_) => "clients".to_owned(),
        WireEnd::Broker(id) => id.to_string(),
    }
}

/// A key while the filter is typed.
pub(super) fn on_filter_key(model: &mut Model, key: &KeyEvent) -> Vec<Cmd> {
    let wire = &mut model.wire;
    let Some(input) = &mut wire.filter_input else { return Vec::new() };
    match key.code {
        KeyCode::Enter => {
            wire.filter = input.value().trim().to_owned();
            wire.filter_input = None;
        }
        KeyCode::Esc => {
            wire.filter.clear();
            wire.filter_input = None;
        }
        _ => {
            overlays::edit(input, key);
        }
    }
    Vec::new()
}

/// Pasted text goes into the filter, if it is open.
pub(super) fn on_paste(model: &mut Model, text: &str) {
    if let Some(input) = &mut model.wire.filter_input {
        overlays::insert(input, text.lines().next().unwrap_or_default());
    }
}

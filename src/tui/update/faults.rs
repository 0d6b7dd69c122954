//! What keys mean on the Faults screen.
//!
//! Invariants: the selected link is two names; what changes a link is a line of the command language.

use super::changes;
use crate::cluster::command::values::link_end;
use crate::cluster::link::CLIENTS;
use crate::cluster::view::BrokerId;
use crate::tui::keymap::Action;
use crate::tui::model::{Model, Screen};
use crate::tui::msg::Cmd;
use crate::tui::screens::faults::{ends, selected};

/// What a key means here; `None` where it means what it means on every screen.
pub(super) fn on_action(model: &mut Model, action: Action) -> Option<Vec<Cmd>> {
    match action {
        Action::Up | Action::Down | Action::Left | Action::Right | Action::First | Action::Last => {
            Some(select(model, action))
        }
        Action::Back if model.toasts.is_empty() && model.armed.is_none() => {
            model.screen = Screen::Cluster;
            Some(Vec::new())
        }
        Action::Consume => Some(cut(model, " to ")),
        Action::Cut => Some(cut(model, " ")),
        Action::Open | Action::Actions => Some(edit(model)),
        // What acts on a partition's row, or on lists that are not here.
        Action::Delete
        | Action::PageUp
        | Action::PageDown
        | Action::Sort
        | Action::ShowAll
        | Action::Filter
        | Action::NextPane
        | Action::PreviousPane => Some(Vec::new()),
        _ => None,
    }
}

/// The link of two ends, if they are two.
fn link_of(model: &Model) -> Option<(BrokerId, BrokerId)> {
    selected(model).filter(|(from, to)| from != to && model.view.host.can.faults)
}

fn cut(model: &Model, between: &str) -> Vec<Cmd> {
    let Some((from, to)) = link_of(model) else { return Vec::new() };
    vec![Cmd::Run(format!("link cut {}{between}{}", link_end(from), link_end(to)))]
}

/// Everything that can be done to the selected link.
fn edit(model: &mut Model) -> Vec<Cmd> {
    let Some((from, to)) = link_of(model) else { return Vec::new() };
    let (from, to) = (link_end(from), link_end(to));
    let (way, both) = (format!("{from} to {to}"), format!("{from} {to}"));
    let items = vec![
        changes::item('c', "cut one way", "the way back works", format!("link cut {way}")),
        changes::item('X', "cut both ways", "silence until healed", format!("link cut {both}")),
        changes::item('t', "delay", "120 ms later, up to 40 more", format!("link delay {way} 120ms --jitter 40ms")),
        changes::item('o', "lose", "5 of 100 messages", format!("link lose {way} 5%")),
        changes::item('d', "hold", "kept until released", format!("link hold {way}")),
        changes::item('r', "release", "delivers what is held", format!("link release {way}")),
        changes::item('e', "heal", "both ways", format!("link heal {both}")),
    ];
    changes::open_menu(model, format!("Link {from} → {to}"), items)
}

/// Moves the selection; the sender is the broker that the keys of brokers act on.
fn select(model: &mut Model, action: Action) -> Vec<Cmd> {
    let Some((from, to)) = selected(model) else { return Vec::new() };
    let ends = ends(&model.view);
    let last = ends.len() - 1;
    let place = |end: BrokerId| ends.iter().position(|other| *other == end).unwrap_or(0);
    let (mut row, mut column) = (place(from), place(to));
    match action {
        Action::Up => row = row.saturating_sub(1),
        Action::Down => row = (row + 1).min(last),
        Action::Left => column = column.saturating_sub(1),
        Action::Right => column = (column + 1).min(last),
        Action::First => row = 0,
        _ => row = last,
    }
    (model.faults.from, model.faults.to) = (Some(ends[row]), Some(ends[column]));
    entered(model)
}

/// The broker that the screen's keys act on is the selected link's sender, or its receiver where clients send.
pub(super) fn entered(model: &mut Model) -> Vec<Cmd> {
    let Some((from, to)) = selected(model) else { return Vec::new() };
    let broker = if from == CLIENTS { to } else { from };
    model.cluster.broker = Some(broker).filter(|broker| *broker != CLIENTS);
    changes::select_consequence(model)
}

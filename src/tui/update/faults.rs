//! What keys and the mouse mean on the Faults screen.
//!
//! Invariants: the selected link is two names and the chosen fault its words; what changes anything is a line of the command language.

use super::changes;
use crate::cluster::command::values::link_end;
use crate::cluster::link::CLIENTS;
use crate::cluster::view::{BrokerCard, BrokerId};
use crate::tui::keymap::Action;
use crate::tui::layout::Frame;
use crate::tui::model::{FaultsPane, Model, Screen};
use crate::tui::msg::Cmd;
use crate::tui::overlays::Overlay;
use crate::tui::overlays::fault_form::{FaultForm, Subject};
use crate::tui::overlays::menu;
use crate::tui::screens::faults::{Hit, active_faults, ends, hit, selected};
use std::sync::Arc;

/// What a key means here; `None` where it means what it means on every screen.
pub(super) fn on_action(model: &mut Model, action: Action) -> Option<Vec<Cmd>> {
    match action {
        Action::Up | Action::Down | Action::Left | Action::Right | Action::First | Action::Last => {
            Some(moved(model, action))
        }
        Action::NextPane | Action::PreviousPane => {
            model.faults.pane = other_pane(model.faults.pane, action == Action::NextPane);
            Some(Vec::new())
        }
        Action::Back if model.toasts.is_empty() => {
            if model.faults.pane == FaultsPane::Links {
                model.screen = Screen::Cluster;
            }
            model.faults.pane = FaultsPane::Links;
            Some(Vec::new())
        }
        Action::Consume => Some(cut(model, " to ")),
        Action::Cut => Some(cut(model, " ")),
        Action::Open if model.faults.pane == FaultsPane::Active => Some(undo_chosen(model)),
        Action::Open if model.faults.pane == FaultsPane::Broker => Some(broker_menu(model)),
        Action::Open | Action::Edit => Some(edit(model, "traffic")),
        Action::Frames => Some(edit(model, "delay")),
        Action::GoToOffset => Some(edit(model, "loss")),
        Action::Actions => Some(match model.faults.pane {
            FaultsPane::Links => link_menu(model),
            FaultsPane::Broker => broker_menu(model),
            FaultsPane::Active => fault_menu(model),
        }),
        Action::SlowDisk | Action::CorruptDisk | Action::SkewClock => Some(on_broker(model, action)),
        Action::FillDisk => Some(fill_disk(model)),
        // What acts on a partition's row, or on lists that are not here.
        Action::Delete
        | Action::PageUp
        | Action::PageDown
        | Action::Sort
        | Action::ShowAll
        | Action::Filter
        | Action::Votes => Some(Vec::new()),
        _ => None,
    }
}

fn other_pane(pane: FaultsPane, forward: bool) -> FaultsPane {
    match (pane, forward) {
        (FaultsPane::Links, true) | (FaultsPane::Active, false) => FaultsPane::Broker,
        (FaultsPane::Broker, true) | (FaultsPane::Links, false) => FaultsPane::Active,
        (FaultsPane::Active, true) | (FaultsPane::Broker, false) => FaultsPane::Links,
    }
}

/// The broker that the keys of brokers act on.
fn broker(model: &Model) -> Option<BrokerCard> {
    let id = model.cluster.broker.filter(|_| model.view.host.can.faults)?;
    model.view.brokers.iter().find(|card| card.id == id).cloned()
}

/// The link of two ends, if they are two.
fn link_of(model: &Model) -> Option<(BrokerId, BrokerId)> {
    selected(model).filter(|(from, to)| from != to && model.view.host.can.faults)
}

fn cut(model: &Model, between: &str) -> Vec<Cmd> {
    let Some((from, to)) = link_of(model) else { return Vec::new() };
    vec![Cmd::Run(format!("link cut {}{between}{}", link_end(from), link_end(to)))]
}

fn open(model: &mut Model, form: FaultForm) -> Vec<Cmd> {
    let asks = form.asks();
    model.overlays.push(Overlay::Fault(Box::new(form)));
    asks
}

/// What is set on the selected link, to be changed.
fn edit(model: &mut Model, label: &str) -> Vec<Cmd> {
    let Some((from, to)) = link_of(model) else { return Vec::new() };
    let form = FaultForm::new(Subject::Link(from, to), &model.view).on(label);
    open(model, form)
}

fn on_broker(model: &mut Model, action: Action) -> Vec<Cmd> {
    let Some(card) = broker(model) else { return Vec::new() };
    let subject = match action {
        Action::SlowDisk => Subject::SlowDisk(card.id),
        Action::CorruptDisk => Subject::Corrupt(card.id),
        _ => Subject::Skew(card.id),
    };
    let form = FaultForm::new(subject, &model.view);
    open(model, form)
}

/// Fills a disk once it has been told what that does; a full one is healed.
fn fill_disk(model: &mut Model) -> Vec<Cmd> {
    let Some(card) = broker(model) else { return Vec::new() };
    if card.faults.iter().any(|chip| chip.text == "full") {
        return vec![Cmd::Run(format!("disk heal {}", card.id))];
    }
    let line = format!("disk full {}", card.id);
    if model.armed.as_ref().is_some_and(|armed| armed.forecast.line == line) {
        model.armed = None;
        return vec![Cmd::Run(line)];
    }
    model.asked_change = Some(line.clone());
    vec![Cmd::AskConsequence(line)]
}

/// Everything that can be done to the selected link.
fn link_menu(model: &mut Model) -> Vec<Cmd> {
    let Some((from, to)) = link_of(model) else { return Vec::new() };
    let (from, to) = (link_end(from), link_end(to));
    let (way, both) = (format!("{from} to {to}"), format!("{from} {to}"));
    let items = vec![
        changes::item('c', "cut one way", "the way back works", format!("link cut {way}")),
        changes::item('X', "cut both ways", "silence until healed", format!("link cut {both}")),
        changes::item('t', "delay", "120 ms later, up to 40 more", format!("link delay {way} 120ms --jitter 40ms")),
        changes::item('o', "lose", "5 of 100 messages", format!("link lose {way} 5%")),
        changes::item('n', "narrow", "64 KiB a second", format!("link throttle {way} 64KiB/s")),
        changes::item('d', "hold", "kept until released", format!("link hold {way}")),
        changes::item('r', "release", "delivers what is held", format!("link release {way}")),
        changes::item('e', "heal", "both ways", format!("link heal {both}")),
    ];
    changes::open_menu(model, format!("Link {from} → {to}"), items)
}

/// Everything that can be done to the broker.
fn broker_menu(model: &mut Model) -> Vec<Cmd> {
    let Some(card) = broker(model) else { return Vec::new() };
    let id = card.id;
    let mut items = changes::broker_items(&card);
    if !card.state.is_dead() {
        items.extend([
            changes::item('L', "slow disk", "each write +200 ms", format!("disk slow {id} 200ms")),
            changes::item('F', "disk full", "appends fail", format!("disk full {id}")),
            changes::item('E', "disk fails", "reads and writes fail", format!("disk fail {id}")),
        ]);
    }
    items.extend([
        changes::item('C', "corrupt tail", "flips a byte at the end", format!("disk corrupt {id}")),
        changes::item('A', "clock ahead", "+5 s", format!("clock skew {id} +5s")),
        changes::item('B', "clock behind", "-5 s", format!("clock skew {id} -5s")),
    ]);
    changes::open_menu(model, format!("Broker {id}"), items)
}

/// Ends the chosen fault alone.
fn undo_chosen(model: &Model) -> Vec<Cmd> {
    let chosen = active_faults(model, &model.view).filter(|_| model.view.host.can.faults);
    chosen.map(|fault| Cmd::Run(fault.undo.clone())).into_iter().collect()
}

fn fault_menu(model: &mut Model) -> Vec<Cmd> {
    let view = Arc::clone(&model.view);
    let Some(fault) = active_faults(model, &view).filter(|_| view.host.can.faults) else { return Vec::new() };
    let run = |line: &str| Cmd::Run(line.to_owned());
    let item = |key, text: &str, note: &str, line: &str| menu::Item {
        key,
        text: text.to_owned(),
        note: note.to_owned(),
        cmd: run(line),
    };
    let items = vec![
        item('e', "undo this one", &fault.undo, &fault.undo),
        item('u', "undo the last", "whatever was done last", "undo"),
        item('H', "heal all", "brokers that are down stay down", "heal"),
        item('s', "save as a demo", "what was done since all was well", "save"),
    ];
    changes::open_menu(model, fault.text.clone(), items)
}

/// Asks what the demo of what was done is to be called.
pub(super) fn open_save(model: &mut Model) {
    let form = FaultForm::new(Subject::Save, &model.view);
    model.overlays.push(Overlay::Fault(Box::new(form)));
}

/// Moves what the pane has selected.
fn moved(model: &mut Model, action: Action) -> Vec<Cmd> {
    match model.faults.pane {
        FaultsPane::Links => select(model, action),
        FaultsPane::Broker => {
            changes::move_column(model, matches!(action, Action::Right | Action::Down | Action::Last))
        }
        FaultsPane::Active => {
            choose(model, action);
            Vec::new()
        }
    }
}

fn choose(model: &mut Model, action: Action) {
    let view = Arc::clone(&model.view);
    let chosen = active_faults(model, &view).map(|fault| fault.text.as_str());
    let place = view.faults.iter().position(|fault| Some(fault.text.as_str()) == chosen).unwrap_or(0);
    let last = view.faults.len().saturating_sub(1);
    let place = match action {
        Action::Up | Action::Left => place.saturating_sub(1),
        Action::Down | Action::Right => (place + 1).min(last),
        Action::First => 0,
        _ => last,
    };
    model.faults.fault = view.faults.get(place).map(|fault| fault.text.clone());
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

/// A press of the mouse; `None` where nothing of this screen is.
pub(super) fn on_click(model: &mut Model, frame: Frame, (x, y): (u16, u16), double: bool) -> Option<Vec<Cmd>> {
    let view = Arc::clone(&model.view);
    let (pane, cmds) = match hit(model, &view, frame, x, y) {
        Hit::Nothing => return None,
        Hit::Link(from, to) => {
            let is_other = selected(model) != Some((from, to));
            (model.faults.from, model.faults.to) = (Some(from), Some(to));
            (FaultsPane::Links, if is_other { entered(model) } else { Vec::new() })
        }
        Hit::Links => (FaultsPane::Links, Vec::new()),
        Hit::Broker => (FaultsPane::Broker, Vec::new()),
        Hit::Active(fault) => {
            model.faults.fault = fault.or(model.faults.fault.take());
            (FaultsPane::Active, Vec::new())
        }
    };
    model.faults.pane = pane;
    if double { on_action(model, Action::Open) } else { Some(cmds) }
}

/// The wheel moves what is under it.
pub(super) fn on_wheel(model: &mut Model, frame: Frame, (x, y): (u16, u16), up: bool) -> Vec<Cmd> {
    let view = Arc::clone(&model.view);
    model.faults.pane = match hit(model, &view, frame, x, y) {
        Hit::Link(..) | Hit::Links => FaultsPane::Links,
        Hit::Broker => FaultsPane::Broker,
        Hit::Active(_) => FaultsPane::Active,
        Hit::Nothing => return Vec::new(),
    };
    moved(model, if up { Action::Up } else { Action::Down })
}

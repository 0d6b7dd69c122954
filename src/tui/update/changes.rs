//! Keys that change the cluster: each becomes a line of the command language, after its consequence has been shown.

use super::{open_form, toast};
use crate::cluster::command::Command;
use crate::cluster::command::ConsumeCommand;
use crate::cluster::command::values::From;
use crate::cluster::command::values::Speed;
use crate::cluster::view::{BrokerCard, BrokerState, ClockMode, TailFrom, Weight};
use crate::tui::commands;
use crate::tui::headline::Mood;
use crate::tui::keymap::Action;
use crate::tui::model::{Armed, Model};
use crate::tui::msg::{Cmd, Forecast};
use crate::tui::overlays::{Overlay, ask, form, menu};

/// How long a consequence stands in the hint row.
const ARMED_MS: u64 = 10_000;

/// Live speeds, in thousandths; slower ones are the simulator's.
const SPEEDS: [u32; 4] = [100, 200, 500, 1_000];
/// ... of a simulated world.
const WORLD_SPEEDS: [u32; 12] = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000, 1_000_000];

/// Takes a consequence that has stood long enough out of the hint row: it may not be true any more.
pub(super) fn expire(model: &mut Model) {
    if model.armed.as_ref().is_some_and(|armed| model.now_ms.saturating_sub(armed.since_ms) >= ARMED_MS) {
        model.armed = None;
    }
}

/// The broker of the selected column.
fn selected(model: &Model) -> Option<BrokerCard> {
    let id = model.cluster.broker?;
    model.view.brokers.iter().find(|card| card.id == id).cloned()
}

/// Selects the next broker, and asks what killing it would do: the answer stands in the hint row.
pub(super) fn move_column(model: &mut Model, right: bool) -> Vec<Cmd> {
    let brokers = &model.view.brokers;
    let now = model.cluster.broker.and_then(|id| brokers.iter().position(|card| card.id == id));
    let last = brokers.len().saturating_sub(1);
    let next = match (now, right) {
        (None, _) => 0,
        (Some(place), true) => (place + 1).min(last),
        (Some(place), false) => place.saturating_sub(1),
    };
    let Some(card) = brokers.get(next) else { return Vec::new() };
    model.cluster.broker = Some(card.id);
    select_consequence(model)
}

/// Asks for the consequence that belongs to the selected column.
pub(super) fn select_consequence(model: &mut Model) -> Vec<Cmd> {
    model.armed = None;
    model.asked_change = None;
    match selected(model) {
        Some(card) if model.view.host.can.faults => vec![Cmd::AskConsequence(kill_or_start(&card))],
        _ => Vec::new(),
    }
}

fn kill_or_start(card: &BrokerCard) -> String {
    if card.state.is_dead() { format!("start {}", card.id) } else { format!("kill {}", card.id) }
}

/// The line a key means for a broker.
fn line_of(action: Action, card: &BrokerCard) -> String {
    let id = card.id;
    match action {
        Action::Kill => format!("kill {id}"),
        Action::PowerLoss => format!("powerloss {id}"),
        Action::Suspend if card.state == BrokerState::Suspended => format!("resume {id}"),
        Action::Suspend => format!("suspend {id}"),
        _ if card.state.is_dead() => format!("start {id}"),
        _ => format!("restart {id}"),
    }
}

/// A key of change.
pub(super) fn on_action(model: &mut Model, action: Action) -> Vec<Cmd> {
    match action {
        Action::Heal => vec![Cmd::Run("heal".into())],
        Action::Undo => vec![Cmd::Run("undo".into())],
        Action::Cut => open_cut(model),
        Action::Actions => open_actions(model),
        Action::Delete => match model.cluster.selected.as_ref().map(|name| name.topic.to_string()) {
            Some(topic) => ask_first(model, &format!("topic delete {topic}")),
            None => Vec::new(),
        },
        _ => {
            let Some(card) = selected(model) else {
                toast(model, Mood::Notice, "No broker is selected; h and l choose one.".into(), String::new());
                return Vec::new();
            };
            let line = line_of(action, &card);
            if model.armed.as_ref().is_some_and(|armed| armed.forecast.line == line) {
                return run_armed(model, line);
            }
            // A kill is always told first; what can be undone without a trace only if it is severe.
            let told_first = matches!(action, Action::Kill | Action::PowerLoss);
            model.asked_change = (!told_first).then(|| line.clone());
            vec![Cmd::AskConsequence(line)]
        }
    }
}

fn run_armed(model: &mut Model, line: String) -> Vec<Cmd> {
    let refused = |armed: &Armed| armed.forecast.consequence.as_ref().is_some_and(|c| c.weight == Weight::Refused);
    if model.armed.as_ref().is_some_and(refused) {
        return Vec::new();
    }
    // It has been told what it does and asked for again: no further question, whatever it destroys.
    model.armed = None;
    vec![Cmd::Submit(line)]
}

/// The answer to a question about a line: it goes to the dialog that asked, or into the hint row.
pub(super) fn on_forecast(model: &mut Model, forecast: Forecast) -> Vec<Cmd> {
    match model.overlays.last_mut() {
        Some(Overlay::Palette(palette)) => palette.forecast(forecast),
        Some(Overlay::Menu(menu)) => menu.forecast(forecast),
        Some(Overlay::Fault(form)) => form.forecast(forecast),
        Some(Overlay::Ask(ask)) => {
            if let (Cmd::Submit(line), Some(consequence)) = (&ask.cmd, &forecast.consequence)
                && *line == forecast.line
            {
                ask.consequence(&consequence.text);
            }
        }
        Some(_) => {}
        None => {
            let asked = model.asked_change.take_if(|line| *line == forecast.line).is_some();
            let severe = forecast.consequence.as_ref().is_some_and(|c| c.weight >= Weight::Severe);
            if asked && !severe {
                model.armed = None;
                return vec![Cmd::Run(forecast.line)];
            }
            model.armed = Some(Armed { forecast, since_ms: model.now_ms });
        }
    }
    Vec::new()
}

/// Sends a line, after a question if it destroys.
pub(super) fn submit(model: &mut Model, line: &str) -> Vec<Cmd> {
    if let Some(tail) = as_tail(line) {
        return vec![tail];
    }
    if commands::doc_of(&model.commands, line).is_some_and(|doc| doc.destructive) {
        ask_first(model, line)
    } else {
        vec![Cmd::Submit(line.to_string())]
    }
}

/// `consume TOPIC` without conditions is the live tail: it reads on until it is closed.
fn as_tail(line: &str) -> Option<Cmd> {
    let Ok(Command::Consume(ConsumeCommand::Records(consume))) = line.parse() else { return None };
    let from = match consume.from {
        From::Earliest => TailFrom::Start,
        From::Latest => TailFrom::End,
        From::Last(records) => TailFrom::Last(records),
        From::Offset(_) | From::Ago(_) | From::Moment(_) => return None,
    };
    let is_whole = consume.max.is_none() && consume.partition.is_empty() && consume.membership.group.is_none();
    is_whole.then_some(Cmd::OpenTail(consume.topic, from))
}

fn ask_first(model: &mut Model, line: &str) -> Vec<Cmd> {
    let server = model.view.host.bootstrap_servers.split(',').next().unwrap_or_default().to_string();
    let topic = line.strip_prefix("topic delete ").map(str::trim);
    let (title, same_as, verb) = match topic {
        Some(topic) if server.is_empty() => (format!("Delete topic {topic}?"), String::new(), "delete"),
        Some(topic) => (
            format!("Delete topic {topic}?"),
            format!("kafka-topics.sh --bootstrap-server {server} --delete --topic {topic}"),
            "delete",
        ),
        None => (format!("{line}?"), String::new(), "do it"),
    };
    model.overlays.push(Overlay::Ask(ask::Ask {
        title,
        text: "It cannot be undone.".into(),
        same_as,
        key: 'D',
        verb,
        cmd: Cmd::Submit(line.to_string()),
    }));
    vec![Cmd::AskConsequence(line.to_string())]
}

pub(super) fn item(key: char, text: impl Into<String>, note: &str, line: String) -> menu::Item {
    menu::Item { key, text: text.into(), note: note.to_string(), cmd: Cmd::Run(line) }
}

pub(super) fn open_menu(model: &mut Model, title: String, items: Vec<menu::Item>) -> Vec<Cmd> {
    if items.is_empty() {
        return Vec::new();
    }
    let menu = menu::Menu::new(title, items);
    let asks = menu.asks();
    model.overlays.push(Overlay::Menu(menu));
    asks
}

/// Which link of the selected broker to cut.
fn open_cut(model: &mut Model) -> Vec<Cmd> {
    let Some(card) = selected(model) else { return Vec::new() };
    let id = card.id;
    let items = model
        .view
        .brokers
        .iter()
        .filter(|other| other.id != id)
        .zip('1'..)
        .map(|(other, place)| {
            let key = char::from_digit(other.id.0.rem_euclid(10) as u32, 10).unwrap_or(place);
            item(
                key,
                format!("broker {}", other.id),
                "silence both ways, until healed",
                format!("link cut {id} {}", other.id),
            )
        })
        .chain([item('c', "its clients", "no answer, until healed", format!("link cut {id} clients"))])
        .collect();
    open_menu(model, format!("Cut the link of broker {id} to"), items)
}

/// What can be done with a broker, whatever screen it is on.
pub(super) fn broker_items(card: &BrokerCard) -> Vec<menu::Item> {
    let id = card.id;
    let mut items = Vec::new();
    if card.state.is_dead() {
        items.push(item('R', "start", "same id, port and log", format!("start {id}")));
    } else {
        items.push(item('K', "kill −9", "process ends, the cache stays", format!("kill {id}")));
        items.push(item('O', "power loss", "unsynced records go too", format!("powerloss {id}")));
        if card.state == BrokerState::Suspended {
            items.push(item('S', "resume", "goes on where it stood", format!("resume {id}")));
        } else {
            items.push(item('S', "suspend", "frozen, sockets stay open", format!("suspend {id}")));
        }
        items.push(item('R', "restart", "clean stop, then start", format!("restart {id}")));
        items.push(item('T', "stop", "leaders move first, log flushed", format!("stop {id}")));
    }
    items.push(item('W', "wipe", "its disk is replaced by an empty one", format!("wipe {id}")));
    items
}

/// Everything that can be done with the selected broker and partition.
fn open_actions(model: &mut Model) -> Vec<Cmd> {
    let mut items = Vec::new();
    let can = model.view.host.can;
    let card = selected(model).filter(|_| can.faults);
    if let Some(card) = &card {
        items.extend(broker_items(card));
    }
    let partition = model.cluster.selected.clone();
    if let Some(name) = &partition {
        items.push(item(
            'i',
            format!("describe {}", name.topic),
            "settings and partitions",
            format!("topic describe {}", name.topic),
        ));
        items.push(item(
            'e',
            format!("elect {name}"),
            "back to the preferred leader",
            format!("elect preferred {name}"),
        ));
        items.push(item(
            'D',
            format!("delete {}", name.topic),
            "with all its records",
            format!("topic delete {}", name.topic),
        ));
    }
    let title = match (&card, &partition) {
        (Some(card), Some(name)) => format!("Broker {} and {name}", card.id),
        (Some(card), None) => format!("Broker {}", card.id),
        (None, Some(name)) => name.to_string(),
        (None, None) => return open_form(model, form::Kind::NewTopic),
    };
    open_menu(model, title, items)
}

/// Pause, run, step and speed.
pub(super) fn on_clock(model: &mut Model, action: Action) -> Vec<Cmd> {
    let clock = model.view.clock;
    let speed = match clock {
        ClockMode::Live { speed_permille } => speed_permille,
        _ => 1_000,
    };
    let speeds: &[u32] = if model.view.host.world.is_some() { &WORLD_SPEEDS } else { &SPEEDS };
    let line = match action {
        Action::PauseOrRun if matches!(clock, ClockMode::Live { .. }) => "pause".to_string(),
        Action::PauseOrRun => "run".to_string(),
        Action::Step => "step".to_string(),
        Action::StepBack => "step --back".to_string(),
        Action::SecondBack => "rewind 1s".to_string(),
        Action::SecondOn => "run 1s".to_string(),
        Action::Branch => "branch".to_string(),
        Action::Slower => match speeds.iter().rev().find(|&&slower| slower < speed) {
            Some(&slower) => speed_line(slower),
            None => return Vec::new(),
        },
        _ => match speeds.iter().find(|&&faster| faster > speed) {
            Some(&faster) => speed_line(faster),
            None => return Vec::new(),
        },
    };
    vec![Cmd::Submit(line)]
}

fn speed_line(permille: u32) -> String {
    format!("speed {}", Speed { permille })
}

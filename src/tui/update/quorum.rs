//! What keys mean on the Quorum screen.
//!
//! Invariants: the selected voter is the broker that the keys of brokers act on, on every screen; what changes anything is a line of
//! the command language.

use super::changes;
use crate::cluster::view::{BrokerId, BrokerState};
use crate::tui::keymap::Action;
use crate::tui::model::{Model, Screen};
use crate::tui::msg::Cmd;

/// What a key means here; `None` where it means what it means on every screen.
pub(super) fn on_action(model: &mut Model, action: Action) -> Option<Vec<Cmd>> {
    match action {
        Action::Up | Action::Down | Action::Left | Action::Right | Action::First | Action::Last => {
            Some(select(model, action))
        }
        Action::Votes => {
            model.quorum.shows_votes = !model.quorum.shows_votes;
            Some(Vec::new())
        }
        Action::Back if model.toasts.is_empty() && model.armed.is_none() => {
            model.screen = Screen::Cluster;
            Some(Vec::new())
        }
        Action::Open | Action::Actions => Some(actions(model)),
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

fn voters(model: &Model) -> Vec<BrokerId> {
    let replicas = model.view.quorum.iter().flat_map(|quorum| &quorum.replicas);
    replicas.filter(|replica| replica.is_voter).map(|replica| replica.broker).collect()
}

fn select(model: &mut Model, action: Action) -> Vec<Cmd> {
    let voters = voters(model);
    let Some(last) = voters.len().checked_sub(1) else { return Vec::new() };
    let now = model.cluster.broker.and_then(|id| voters.iter().position(|voter| *voter == id));
    let next = match (action, now) {
        (Action::First, _) => 0,
        (Action::Last, _) => last,
        (Action::Up | Action::Left, Some(place)) => place.saturating_sub(1),
        (_, Some(place)) => (place + 1).min(last),
        (_, None) => 0,
    };
    model.cluster.broker = Some(voters[next]);
    changes::select_consequence(model)
}

/// Everything that can be done to the selected voter.
fn actions(model: &mut Model) -> Vec<Cmd> {
    let can = model.view.host.can;
    let card = model.cluster.broker.and_then(|id| model.view.brokers.iter().find(|card| card.id == id));
    let Some(card) = card.filter(|_| can.faults) else { return vec![Cmd::Submit("quorum describe".to_owned())] };
    let id = card.id;
    let mut items = match card.state.is_dead() {
        true => vec![changes::item('R', "start", "same id, port and log", format!("start {id}"))],
        false => vec![
            changes::item('K', "kill −9", "process ends, the cache stays", format!("kill {id}")),
            changes::item('O', "power loss", "unsynced records go too", format!("powerloss {id}")),
            changes::item('R', "restart", "clean stop: it hands over first", format!("restart {id}")),
        ],
    };
    if card.state == BrokerState::Suspended {
        items.push(changes::item('S', "resume", "goes on where it stood", format!("resume {id}")));
    } else if !card.state.is_dead() {
        items.push(changes::item('S', "suspend", "frozen, sockets stay open", format!("suspend {id}")));
    }
    let others: Vec<String> =
        voters(model).into_iter().filter(|other| *other != id).map(|other| other.to_string()).collect();
    if !others.is_empty() {
        let line = format!("link cut {id} {}", others.join(","));
        items.push(changes::item('i', "cut off", "from all other voters, both ways", line));
    }
    if model.view.host.world.is_some() {
        let line = "elect align".to_owned();
        items.push(changes::item('v', "split the vote", "all election timers end at once", line));
    }
    items.push(changes::item('W', "wipe", "its disk is replaced by an empty one", format!("wipe {id}")));
    items.push(changes::item('d', "describe", "the quorum as a client sees it", "quorum describe".to_owned()));
    changes::open_menu(model, format!("Voter {id}"), items)
}

//! What the cluster tells: a new picture, an answer to a command.

use super::{push_toast, select_index, toast};
use crate::cluster::command::{Command, Far};
use crate::cluster::view::{BrokerState, ClusterView, CommandReply, EventKind, Outcome, TimelineEvent};
use crate::tui::headline::Mood;
use crate::tui::model::Model;
use crate::tui::overlays::{Overlay, ask::Output, toast::Toast};
use std::sync::Arc;

/// A new picture. The selection stays with its name; the window moves only when it was asked to.
pub(super) fn on_view(model: &mut Model, view: Arc<ClusterView>) {
    model.view = view;
    let view = Arc::clone(&model.view);
    announce(model, &view);
    let known = |id| view.brokers.iter().any(|card| card.id == id);
    if !model.cluster.broker.is_some_and(known) {
        model.cluster.broker = view.brokers.first().map(|card| card.id);
    }
    let rows = &view.rows;
    if model.cluster.find_name || model.cluster.selected.is_none() {
        if rows.total > 0 {
            select_index(model, model.cluster.selected_index.min(rows.total - 1));
        }
    } else if let Some(index) = rows.selected_index {
        model.cluster.selected_index = index;
        if std::mem::take(&mut model.cluster.find_place) {
            model.keep_selection_in_view();
        }
    } else if rows.total > 0 {
        // The partition is gone, or the filter hides it: the row that took its place is next.
        model.cluster.find_place = false;
        select_index(model, model.cluster.selected_index.min(rows.total - 1));
    } else {
        model.cluster.selected = None;
    }
    if model.cluster.first_row >= rows.total {
        model.keep_selection_in_view();
    }
    super::groups::on_view(model);
    super::topics::on_view(model);
    super::partition::on_view(model);
}

/// Turns new serious facts into messages, many of a kind into one.
fn announce(model: &mut Model, view: &ClusterView) {
    if model.past.is_some() {
        // What happens meanwhile is told when the present is back.
        return;
    }
    let newest = view.timeline.events.iter().map(|event| event.id).max();
    let Some(seen) = model.seen_event else {
        model.seen_event = newest.or((view.at_ms > 0).then_some(0));
        return;
    };
    let new: Vec<&TimelineEvent> = view.timeline.events.iter().filter(|event| event.id > seen).collect();
    // A high watermark that stands is told by the headline while it does: most go on before a message could be read.
    for kind in [EventKind::LeaderLost, EventKind::ControllerLost, EventKind::RecordsLost] {
        let of_kind: Vec<&&TimelineEvent> = new.iter().filter(|event| event.kind == kind).collect();
        let Some(first) = of_kind.first() else { continue };
        let mood = if kind == EventKind::RecordsLost { Mood::Bad } else { Mood::Notice };
        let body = if of_kind.len() > 1 { format!("and {} more", of_kind.len() - 1) } else { String::new() };
        push_toast(
            model,
            Toast {
                mood,
                title: first.text.clone(),
                body,
                partition: first.partition.clone(),
                broker: first.broker,
                born_ms: model.now_ms,
            },
        );
    }
    for event in new.iter().filter(|event| event.kind == EventKind::BrokerDied) {
        let card = view.brokers.iter().find(|card| Some(card.id) == event.broker);
        if let Some(BrokerState::Crashed { message }) = card.map(|card| &card.state) {
            push_toast(
                model,
                Toast {
                    mood: Mood::Bad,
                    title: event.text.clone(),
                    body: message.clone(),
                    partition: None,
                    broker: event.broker,
                    born_ms: model.now_ms,
                },
            );
        }
    }
    model.seen_event = Some(newest.unwrap_or(0).max(seen));
}

/// Whether the clock in the header says what a command did to a simulated world: a message would only be in the way of the next step.
fn the_clock_tells(line: &str) -> bool {
    matches!(
        line.parse(),
        Ok(Command::Pause
            | Command::Step { .. }
            | Command::Speed { .. }
            | Command::Run { far: Far::On | Far::For(_) }
            | Command::Rewind { violation: false, .. })
    )
}

/// An answer to a command.
pub(super) fn on_reply(model: &mut Model, reply: CommandReply) {
    match reply.outcome {
        Outcome::Progress(text) => {
            let title = reply.line;
            model.toasts.retain(|old| old.title != title);
            toast(model, Mood::Notice, title, text);
        }
        Outcome::Done { summary, output } => {
            model.toasts.retain(|old| old.title != reply.line);
            if model.view.host.world.is_some() && the_clock_tells(&reply.line) {
                return;
            }
            if output.is_empty() {
                let title = if summary.is_empty() { reply.line } else { summary };
                toast(model, Mood::Good, title, String::new());
            } else {
                model.overlays.push(Overlay::Output(Output { line: reply.line, lines: output, scroll: 0 }));
            }
        }
        Outcome::Failed { reason, next } => {
            model.toasts.retain(|old| old.title != reply.line);
            toast(model, Mood::Bad, reason, next);
        }
    }
}

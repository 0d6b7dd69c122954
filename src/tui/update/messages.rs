//! What keys mean on the messages screen.
//!
//! Invariants: another condition or another beginning is read anew, by a [`Cmd::Read`]; what is typed takes effect with `↵` and not
//! before, `Esc` leaves everything as it was.

use super::{open_form, toast};
use crate::tui::headline::Mood;
use crate::tui::keymap::Action;
use crate::tui::messages::{Field, Messages, Prompt};
use crate::tui::model::{Model, Screen};
use crate::tui::msg::Cmd;
use crate::tui::overlays::{self, Overlay, form};
use crate::tui::screens::messages::rows_in_view;
use crossterm::event::{KeyCode, KeyEvent};
use std::sync::Arc;
use tui_input::Input;

/// Opens a topic's records.
pub(super) fn open(model: &mut Model, topic: &str) -> Vec<Cmd> {
    let messages = Messages { seen_at_ms: model.view.at_ms, ..Messages::new(topic) };
    let read = Cmd::Read(messages.request.clone());
    model.messages = Some(messages);
    vec![read]
}

/// What a key means here; `None` where it means what it means on every screen.
pub(super) fn on_action(model: &mut Model, action: Action) -> Option<Vec<Cmd>> {
    let rows = model.frame().map_or(10, rows_in_view);
    let is_quiet = model.toasts.is_empty() && model.armed.is_none();
    let messages = model.messages.as_mut()?;
    let prompt = |field, text: &str| Some(Prompt { field, input: Input::new(text.to_owned()) });
    match action {
        Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
            moved(messages, action, rows);
        }
        Action::NextPane | Action::PreviousPane | Action::Open => messages.on_detail = !messages.on_detail,
        Action::Filter => messages.prompt = prompt(Field::Where, &messages.condition),
        Action::GoToOffset => messages.prompt = prompt(Field::Offset, ""),
        Action::Frames => messages.prompt = prompt(Field::Time, ""),
        Action::Votes => messages.is_raw = !messages.is_raw,
        Action::Follow | Action::Live => {
            messages.follow();
            return Some(vec![Cmd::Read(messages.request.clone())]);
        }
        Action::Copy => {
            return Some(
                messages.record().and_then(|record| record.value.clone()).map(Cmd::Copy).into_iter().collect(),
            );
        }
        Action::Produce => return Some(open_form(model, form::Kind::Produce)),
        Action::Replay => return Some(replay(model)),
        Action::Back if is_quiet => return Some(back(model)),
        // What acts on brokers, partitions, topics or lists that are not here.
        Action::Kill
        | Action::PowerLoss
        | Action::Suspend
        | Action::Restart
        | Action::Cut
        | Action::Left
        | Action::Right
        | Action::Sort
        | Action::ShowAll
        | Action::Delete
        | Action::Actions
        | Action::Browse
        | Action::Internal
        | Action::Edit => {}
        _ => return None,
    }
    Some(Vec::new())
}

fn moved(messages: &mut Messages, action: Action, rows: usize) {
    let page = rows.max(1);
    if messages.on_detail {
        messages.detail_line = match action {
            Action::Up => messages.detail_line.saturating_sub(1),
            Action::Down => messages.detail_line + 1,
            Action::PageUp => messages.detail_line.saturating_sub(10),
            Action::PageDown => messages.detail_line + 10,
            _ => 0,
        };
        return;
    }
    let now = messages.selected_index();
    messages.select(match action {
        Action::Up => now.saturating_sub(1),
        Action::Down => now + 1,
        Action::PageUp => now.saturating_sub(page),
        Action::PageDown => now + page,
        Action::First => 0,
        _ => usize::MAX,
    });
}

/// One step up: from the record to the list, to the newest, to the topics.
fn back(model: &mut Model) -> Vec<Cmd> {
    let Some(messages) = &mut model.messages else { return Vec::new() };
    if messages.on_detail {
        messages.on_detail = false;
    } else if messages.selected.is_some() {
        messages.select(0);
    } else {
        model.messages = None;
        return vec![Cmd::CloseTail];
    }
    Vec::new()
}

/// The form of a record like the selected one.
fn replay(model: &mut Model) -> Vec<Cmd> {
    let view = Arc::clone(&model.view);
    let Some(messages) = &model.messages else { return Vec::new() };
    let Some(record) = messages.record() else { return Vec::new() };
    if record.is_binary {
        let text = "This record holds bytes that are no text: it cannot be sent from here.".to_owned();
        toast(model, Mood::Notice, text, String::new());
        return Vec::new();
    }
    let form = form::Form::again(&messages.topic, record, &view);
    model.overlays.push(Overlay::Form(Box::new(form)));
    vec![Cmd::AskTopics(String::new())]
}

/// A key while something is typed in the query bar.
pub(super) fn on_prompt_key(model: &mut Model, key: &KeyEvent) -> Vec<Cmd> {
    let view = Arc::clone(&model.view);
    let Some(messages) = &mut model.messages else { return Vec::new() };
    let Some(prompt) = &mut messages.prompt else { return Vec::new() };
    match key.code {
        KeyCode::Esc => messages.prompt = None,
        KeyCode::Enter => {
            let prompt = prompt.clone();
            // What cannot be read stays to be mended; the bar says why.
            let Ok((request, from)) = messages.read_prompt(&prompt, &view) else { return Vec::new() };
            if prompt.field == Field::Where {
                messages.condition = prompt.input.value().trim().to_owned();
            }
            (messages.request, messages.from, messages.prompt) = (request, from, None);
            messages.begin();
            return vec![Cmd::Read(messages.request.clone())];
        }
        _ => {
            overlays::edit(&mut prompt.input, key);
        }
    }
    Vec::new()
}

/// Pasted text goes into what is typed. Whether something is.
pub(super) fn on_paste(model: &mut Model, text: &str) -> bool {
    let prompt = model.messages.as_mut().and_then(|messages| messages.prompt.as_mut());
    let Some(prompt) = prompt.filter(|_| model.screen == Screen::Topics) else { return false };
    overlays::insert(&mut prompt.input, text.lines().next().unwrap_or_default());
    true
}

/// A new picture. If time went back, what was read is not true any more: it is read anew.
pub(super) fn on_view(model: &mut Model) -> Vec<Cmd> {
    let at_ms = model.view.at_ms;
    let Some(messages) = &mut model.messages else { return Vec::new() };
    messages.until_ms = model.past.map(|_| model.view.wall_ms);
    if model.past.is_some() {
        // The picture went back, not the cluster.
        return Vec::new();
    }
    let went_back = at_ms < messages.seen_at_ms;
    messages.seen_at_ms = at_ms;
    if !went_back {
        return Vec::new();
    }
    messages.begin();
    vec![Cmd::Read(messages.request.clone())]
}

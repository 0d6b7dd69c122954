//! What keys mean on the Topics screen.
//!
//! Invariants: the selection is a name, of a topic and of a setting; what changes a topic is a line of the command language, written by
//! a form or a menu that shows it first.

use super::{changes, open_form};
use crate::cluster::view::{PartitionName, SetBy, TopicDetail};
use crate::tui::keymap::Action;
use crate::tui::layout::Frame;
use crate::tui::model::{Model, Screen};
use crate::tui::msg::Cmd;
use crate::tui::overlays::{self, Overlay, form};
use crate::tui::screens::messages::row_at as messages_row_at;
use crate::tui::screens::topics::{row_at, rows_in_view};
use crossterm::event::{KeyCode, KeyEvent};
use std::sync::Arc;
use tui_input::Input;

/// What a key means here; `None` where it means what it means on every screen.
pub(super) fn on_action(model: &mut Model, action: Action) -> Option<Vec<Cmd>> {
    match action {
        Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
            if model.topics.on_settings {
                select_setting(model, action);
            } else {
                select(model, action);
            }
        }
        Action::NextPane | Action::PreviousPane => model.topics.on_settings = !model.topics.on_settings,
        Action::Back if model.toasts.is_empty() && model.armed.is_none() => back(model),
        Action::Filter => model.topics.filter_input = Some(Input::new(model.topics.filter.clone())),
        Action::Internal => {
            model.topics.internal = !model.topics.internal;
            model.topics.first_row = 0;
        }
        Action::Browse | Action::Consume => {
            let topic = selected(model);
            return Some(topic.map_or_else(Vec::new, |topic| super::messages::open(model, &topic)));
        }
        Action::Edit => return Some(edit(model)),
        Action::Open if model.topics.on_settings => return Some(edit(model)),
        Action::Open => show_partitions(model),
        Action::Actions => return Some(actions(model)),
        Action::Delete => {
            let name = selected(model);
            return Some(name.map_or_else(Vec::new, |name| vec![Cmd::Run(format!("topic delete {name}"))]));
        }
        // What acts on a broker's column or a partition's row has neither here.
        Action::Kill
        | Action::PowerLoss
        | Action::Suspend
        | Action::Restart
        | Action::Cut
        | Action::Left
        | Action::Right
        | Action::Sort
        | Action::ShowAll => {}
        _ => return None,
    }
    Some(Vec::new())
}

/// The selected topic. The picture may tell another one in detail still.
fn selected(model: &Model) -> Option<Arc<str>> {
    model.view.topics.as_ref().filter(|topics| topics.total > 0)?;
    model.topics.selected.clone().filter(|_| !model.topics.find_name)
}

/// Its settings, if the picture tells them.
fn detail_of_selected(model: &Model) -> Option<&TopicDetail> {
    let detail = model.view.topics.as_ref()?.detail.as_deref()?;
    (Some(&detail.row.name) == selected(model).as_ref()).then_some(detail)
}

fn back(model: &mut Model) {
    if model.topics.on_settings {
        model.topics.on_settings = false;
    } else if model.topics.filter.is_empty() {
        model.screen = Screen::Cluster;
    } else {
        model.topics.filter.clear();
    }
}

/// The partitions of the topic, on the Cluster screen.
fn show_partitions(model: &mut Model) {
    let Some(name) = selected(model) else { return };
    model.screen = Screen::Cluster;
    model.cluster.filter = format!("{name}-");
    model.cluster.selected = Some(PartitionName::new(&name, 0));
    model.cluster.first_row = 0;
    model.cluster.find_name = false;
    model.cluster.find_place = true;
}

fn edit(model: &mut Model) -> Vec<Cmd> {
    let view = Arc::clone(&model.view);
    if view.topics.as_ref().is_none_or(|topics| topics.total == 0) {
        return open_form(model, form::Kind::NewTopic);
    }
    let Some(detail) = detail_of_selected(model) else {
        model.topics.edit_waits = true;
        return Vec::new();
    };
    let setting = detail.settings.get(model.topics.setting_index(detail)).filter(|_| model.topics.on_settings);
    let line = setting.map(|setting| format!("{}={}", setting.name, setting.value.as_deref().unwrap_or_default()));
    let form = form::Form::alter(detail, line.as_deref(), &view);
    model.overlays.push(Overlay::Form(Box::new(form)));
    Vec::new()
}

fn actions(model: &mut Model) -> Vec<Cmd> {
    let Some(detail) = detail_of_selected(model) else { return Vec::new() };
    let name = &detail.row.name;
    let mut items = vec![
        changes::item('i', "describe", "partitions with leaders and offsets", format!("topic describe {name}")),
        changes::item(
            's',
            "settings",
            "all of them, with where they are set",
            format!("config describe topic {name} --all"),
        ),
    ];
    let setting = &detail.settings.get(model.topics.setting_index(detail));
    if let Some(setting) = setting.filter(|setting| setting.set_by == SetBy::Topic) {
        let line = format!("config alter topic {name} --delete {}", setting.name);
        items.push(changes::item('b', format!("{} back", setting.name), "as the cluster has it", line));
    }
    items.push(changes::item('D', "delete", "with all its records", format!("topic delete {name}")));
    let title = format!("Topic {name}");
    changes::open_menu(model, title, items)
}

/// A key while the filter is typed.
pub(super) fn on_filter_key(model: &mut Model, key: &KeyEvent) -> Vec<Cmd> {
    let screen = &mut model.topics;
    let Some(input) = &mut screen.filter_input else { return Vec::new() };
    match key.code {
        KeyCode::Enter => {
            screen.filter = input.value().to_string();
            screen.filter_input = None;
        }
        KeyCode::Esc => {
            screen.filter.clear();
            screen.filter_input = None;
        }
        _ => {
            if overlays::edit(input, key) {
                screen.first_row = 0;
            }
        }
    }
    Vec::new()
}

/// Pasted text goes into the filter, if it is open.
pub(super) fn on_paste(model: &mut Model, text: &str) {
    if let Some(input) = &mut model.topics.filter_input {
        overlays::insert(input, text.lines().next().unwrap_or_default());
    }
}

/// A click selects the row; a double click opens it.
pub(super) fn on_click(model: &mut Model, frame: Frame, (x, y): (u16, u16), double: bool) -> Vec<Cmd> {
    let view = Arc::clone(&model.view);
    if let Some(messages) = &mut model.messages {
        let index = messages_row_at(messages, frame, x, y);
        messages.on_detail = index.is_none();
        index.into_iter().for_each(|index| messages.select(index));
        return Vec::new();
    }
    let Some(topics) = &view.topics else { return Vec::new() };
    let Some(index) = row_at(model, topics, frame, y) else { return Vec::new() };
    model.topics.on_settings = false;
    select_index(model, index);
    if double { super::on_action(model, Action::Open) } else { Vec::new() }
}

fn select_setting(model: &mut Model, action: Action) {
    let view = Arc::clone(&model.view);
    let Some(detail) = view.topics.as_ref().and_then(|topics| topics.detail.as_ref()) else { return };
    let (now, last) = (model.topics.setting_index(detail), detail.settings.len().saturating_sub(1));
    let next = moved(action, now, 10).min(last);
    model.topics.setting = detail.settings.get(next).map(|setting| setting.name);
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
    let Some(view) = &model.view.topics else { return };
    let in_view = model.frame().map_or(10, |frame| rows_in_view(view, frame)).max(1);
    let next = moved(action, model.topics.selected_index, in_view).min(view.total.saturating_sub(1));
    select_index(model, next);
}

fn select_index(model: &mut Model, next: usize) {
    let Some(view) = &model.view.topics else { return };
    let in_view = model.frame().map_or(10, |frame| rows_in_view(view, frame)).max(1);
    let first = model.topics.first_row.min(next).max((next + 1).saturating_sub(in_view));
    let name = next.checked_sub(view.first_row).and_then(|at| view.rows.get(at)).map(|row| Arc::clone(&row.name));
    model.topics.first_row = first;
    // Beyond the window the next picture tells the name.
    model.topics.find_name = name.is_none();
    model.topics.selected_index = next;
    model.topics.selected = name.or_else(|| model.topics.selected.clone());
}

/// A new picture: the name of what was selected beyond the last one's window, or of what is selected while nothing was.
pub(super) fn on_view(model: &mut Model) {
    let Some(view) = &model.view.topics else { return };
    if model.topics.find_name {
        let row = model.topics.selected_index.checked_sub(view.first_row).and_then(|at| view.rows.get(at));
        if let Some(row) = row {
            model.topics.selected = Some(Arc::clone(&row.name));
            model.topics.find_name = false;
        }
    } else if let Some(detail) = &view.detail {
        model.topics.selected = Some(Arc::clone(&detail.row.name));
        model.topics.selected_index = view.selected_index;
    }
    if std::mem::take(&mut model.topics.edit_waits) && model.overlays.is_empty() && detail_of_selected(model).is_some()
    {
        edit(model);
    }
}

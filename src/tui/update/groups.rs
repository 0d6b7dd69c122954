//! What keys mean on the Groups screen.
//!
//! Invariants: the selection is a name; what changes a group is a line of the command language, shown before it is run.

use super::open_palette;
use crate::tui::keymap::Action;
use crate::tui::model::{Model, Screen};
use crate::tui::msg::Cmd;
use crate::tui::screens::groups::rows_in_view;

/// What a key means here; `None` where it means what it means on every screen.
pub(super) fn on_action(model: &mut Model, action: Action) -> Option<Vec<Cmd>> {
    let line = |model: &Model, verb: &str| {
        let name = model.view.groups.as_ref()?.detail.as_ref()?.name.clone();
        Some(format!("{verb} {name} "))
    };
    match action {
        Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
            select(model, action);
            Some(Vec::new())
        }
        Action::Back if model.toasts.is_empty() && model.armed.is_none() => {
            model.screen = Screen::Cluster;
            Some(Vec::new())
        }
        Action::Restart => Some(line(model, "group reset").map_or_else(Vec::new, |line| open_palette(model, &line))),
        Action::Delete => {
            let line = line(model, "group delete").unwrap_or_default();
            Some(if line.is_empty() { Vec::new() } else { open_palette(model, line.trim_end()) })
        }
        Action::Open | Action::Actions => {
            let line = line(model, "group describe").unwrap_or_default();
            Some(if line.is_empty() { Vec::new() } else { vec![Cmd::Submit(line.trim_end().to_owned())] })
        }
        // What acts on a broker's column or a partition's row has neither here.
        Action::Kill
        | Action::PowerLoss
        | Action::Suspend
        | Action::Cut
        | Action::Left
        | Action::Right
        | Action::Sort
        | Action::ShowAll
        | Action::Filter
        | Action::NextPane
        | Action::PreviousPane => Some(Vec::new()),
        _ => None,
    }
}

fn select(model: &mut Model, action: Action) {
    let Some(view) = &model.view.groups else { return };
    let (total, now) = (view.total, view.selected_index);
    let in_view = model.frame().map_or(10, |frame| usize::from(rows_in_view(frame))).max(1);
    let next = match action {
        Action::Up => now.saturating_sub(1),
        Action::Down => now + 1,
        Action::PageUp => now.saturating_sub(in_view),
        Action::PageDown => now + in_view,
        Action::First => 0,
        _ => usize::MAX,
    };
    let next = next.min(total.saturating_sub(1));
    let first = model.groups.first_row.min(next).max((next + 1).saturating_sub(in_view));
    let name = next.checked_sub(view.first_row).and_then(|at| view.rows.get(at)).map(|row| row.name.clone());
    model.groups.first_row = first;
    // Beyond the window the next picture tells the name.
    model.groups.find_name = name.is_none();
    model.groups.selected_index = next;
    model.groups.selected = name.or_else(|| model.groups.selected.clone());
}

/// A new picture: the name of what was selected beyond the last one's window.
pub(super) fn on_view(model: &mut Model) {
    let Some(view) = &model.view.groups else { return };
    if model.groups.find_name
        && let Some(row) = model.groups.selected_index.checked_sub(view.first_row).and_then(|at| view.rows.get(at))
    {
        model.groups.selected = Some(row.name.clone());
        model.groups.find_name = false;
    }
}

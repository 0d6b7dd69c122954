//! `update(&mut Model, Msg) -> Vec<Cmd>`: everything a key, the mouse, an answer or a new picture changes.
//!
//! Invariants: pure but for the model: no clock, no terminal, no cluster; a change to the cluster is always a
//! `Cmd::Submit` of a line of the command language (or a produced record), so that a test reads what a key would do;
//! a broker is killed only while the consequence of exactly that stands in the hint row.

mod changes;
mod faults;
mod groups;
mod messages;
mod mouse;
mod news;
mod partition;
mod quorum;
mod time;
mod topics;
mod wire;

use super::commands::{self, Own};
use super::headline::Mood;
use super::keymap::{self, Action};
use super::model::{Model, Pane, Screen};
use super::msg::{Cmd, Msg, Outcome};
use super::overlays::{self, Overlay, ask, form, help, palette, tail, toast::Toast};
use crate::cluster::view::{ClockMode, RowSort, WhyAbout};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::path::PathBuf;
use std::sync::Arc;
use tui_input::Input;

/// A key is shown to whoever looks on for so long, in real time.
const ECHO_MS: u64 = 3_000;

/// Applies a message.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Cmd> {
    let cmds = match msg {
        Msg::Tick(now_ms) => {
            model.now_ms = now_ms;
            model.toasts.retain(|toast| !toast.is_over(now_ms));
            changes::expire(model);
            time::on_tick(model);
            model.echo = model.echo.filter(|(_, since_ms)| now_ms.saturating_sub(*since_ms) < ECHO_MS);
            Vec::new()
        }
        Msg::Key(key) if key.kind == KeyEventKind::Release => Vec::new(),
        Msg::Key(key) => on_key(model, &key),
        Msg::Mouse(mouse) => mouse::on_mouse(model, mouse),
        Msg::Paste(text) => match (model.overlays.last_mut(), &mut model.cluster.filter_input) {
            (Some(top), _) => top.paste(&text).cmds,
            (None, Some(filter)) => {
                overlays::insert(filter, text.lines().next().unwrap_or_default());
                Vec::new()
            }
            (None, None) => {
                if model.screen == Screen::Wire {
                    wire::on_paste(model, &text);
                } else if model.screen == Screen::Groups {
                    groups::on_paste(model, &text);
                } else if !messages::on_paste(model, &text) {
                    topics::on_paste(model, &text);
                }
                Vec::new()
            }
        },
        Msg::Resize(width, height) => {
            model.area.width = width;
            model.area.height = height;
            model.keep_selection_in_view();
            partition::on_view(model);
            Vec::new()
        }
        Msg::View(view) => {
            news::on_view(model, view);
            messages::on_view(model)
        }
        Msg::Reply(reply) => {
            news::on_reply(model, reply);
            Vec::new()
        }
        Msg::Consequence(forecast) => changes::on_forecast(model, forecast),
        Msg::Completion { line, completion } => {
            if let Some(Overlay::Palette(palette)) = model.overlays.last_mut() {
                palette.completion(&line, completion);
            }
            Vec::new()
        }
        Msg::Topics(topics) => {
            if let Some(Overlay::Form(form)) = model.overlays.last_mut() {
                form.topics(topics);
            }
            Vec::new()
        }
        Msg::Tail(batch) => {
            let dialog = model.overlays.iter_mut().find_map(|overlay| match overlay {
                Overlay::Tail(tail) => Some(tail),
                _ => None,
            });
            match (dialog, &mut model.messages) {
                (Some(tail), _) => tail.add(batch),
                (None, Some(messages)) => messages.add(batch),
                (None, None) => {}
            }
            Vec::new()
        }
        Msg::Notice { good, text } => {
            toast(model, if good { Mood::Good } else { Mood::Bad }, text, String::new());
            Vec::new()
        }
    };
    resolve(model, cmds)
}

/// Adds a message; at most four are kept.
fn toast(model: &mut Model, mood: Mood, title: String, body: String) {
    let toast = Toast { mood, title, body, partition: None, broker: None, born_ms: model.now_ms };
    push_toast(model, toast);
}

fn push_toast(model: &mut Model, toast: Toast) {
    model.toasts.retain(|old| old.title != toast.title);
    model.toasts.push(toast);
    if model.toasts.len() > 4 {
        model.toasts.remove(0);
    }
}

fn on_key(model: &mut Model, key: &KeyEvent) -> Vec<Cmd> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        match key.code {
            KeyCode::Char('z') => return vec![Cmd::ToShell],
            KeyCode::Char('l') => return vec![Cmd::Redraw],
            _ => {}
        }
    }
    let view = Arc::clone(&model.view);
    if model.frame().is_none() {
        // Nothing can be seen, so nothing but this can be meant.
        return match keymap::action(key) {
            Some(action @ (Action::Quit | Action::QuitNow | Action::PauseOrRun)) => on_action(model, action),
            _ => Vec::new(),
        };
    }
    if let Some(top) = model.overlays.last_mut() {
        let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if control_c && !matches!(top, Overlay::Palette(_) | Overlay::Ask(_)) {
            return on_action(model, Action::QuitNow);
        }
        let outcome = top.key(key, &view);
        return after(model, outcome);
    }
    if model.cluster.filter_input.is_some() {
        return on_filter_key(model, key);
    }
    if model.shown_messages().is_some_and(|messages| messages.prompt.is_some()) {
        return messages::on_prompt_key(model, key);
    }
    if model.screen == Screen::Topics && model.topics.filter_input.is_some() {
        return topics::on_filter_key(model, key);
    }
    if model.screen == Screen::Groups && model.groups.filter_input.is_some() {
        return groups::on_filter_key(model, key);
    }
    if model.screen == Screen::Wire && model.wire.filter_input.is_some() {
        return wire::on_filter_key(model, key);
    }
    match keymap::action(key) {
        Some(action) => {
            model.echo = model.presents.then_some((action, model.now_ms));
            on_action(model, action)
        }
        None => Vec::new(),
    }
}

fn after(model: &mut Model, outcome: Outcome) -> Vec<Cmd> {
    if outcome.close {
        model.overlays.pop();
    }
    outcome.cmds
}

fn on_filter_key(model: &mut Model, key: &KeyEvent) -> Vec<Cmd> {
    let Some(input) = &mut model.cluster.filter_input else { return Vec::new() };
    match key.code {
        KeyCode::Enter => {
            model.cluster.filter = input.value().to_string();
            model.cluster.filter_input = None;
        }
        KeyCode::Esc => {
            model.cluster.filter.clear();
            model.cluster.filter_input = None;
            model.cluster.find_place = true;
        }
        _ => {
            if overlays::edit(input, key) {
                model.cluster.first_row = 0;
                model.cluster.selected_index = 0;
            }
        }
    }
    Vec::new()
}

/// What a key means on the screen that is shown; `None` where it means what it means on the Cluster screen.
fn on_screen(model: &mut Model, action: Action) -> Option<Vec<Cmd>> {
    match model.screen {
        Screen::Cluster => None,
        Screen::Partition => partition::on_action(model, action),
        Screen::Groups => groups::on_action(model, action),
        Screen::Topics if model.messages.is_some() => messages::on_action(model, action),
        Screen::Topics => topics::on_action(model, action),
        Screen::Quorum => quorum::on_action(model, action),
        Screen::Wire => wire::on_action(model, action),
        Screen::Faults => faults::on_action(model, action),
    }
}

/// Does what a key of the table means.
pub(super) fn on_action(model: &mut Model, action: Action) -> Vec<Cmd> {
    if !keymap::binding(action).need.met(model.view.host.can) {
        return Vec::new();
    }
    if let Some(cmds) = time::on_action(model, action) {
        return cmds;
    }
    if let Some(cmds) = on_screen(model, action) {
        return cmds;
    }
    match action {
        Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => {
            move_rows(model, action);
            Vec::new()
        }
        Action::Left | Action::Right if model.cluster.pane == Pane::Timeline => {
            move_event(model, action == Action::Right);
            Vec::new()
        }
        Action::Left | Action::Right => changes::move_column(model, action == Action::Right),
        Action::PreviousEvent | Action::NextEvent => {
            move_event(model, action == Action::NextEvent);
            Vec::new()
        }
        Action::Open if model.cluster.pane == Pane::Timeline || model.cluster.selected.is_none() => {
            changes::on_action(model, Action::Actions)
        }
        Action::NextPane | Action::PreviousPane => {
            model.cluster.pane = match model.cluster.pane {
                Pane::Matrix => Pane::Timeline,
                Pane::Timeline => Pane::Matrix,
            };
            if model.cluster.pane == Pane::Timeline && model.cluster.event.is_none() {
                move_event(model, false);
            }
            Vec::new()
        }
        Action::Kill
        | Action::PowerLoss
        | Action::Suspend
        | Action::Restart
        | Action::Cut
        | Action::Heal
        | Action::Undo
        | Action::Delete
        | Action::Actions => changes::on_action(model, action),
        Action::PauseOrRun
        | Action::Step
        | Action::StepBack
        | Action::SecondBack
        | Action::SecondOn
        | Action::Branch
        | Action::Slower
        | Action::Faster => changes::on_clock(model, action),
        _ => looks(model, action),
    }
}

/// Actions that change the picture only, or open a dialog.
fn looks(model: &mut Model, action: Action) -> Vec<Cmd> {
    match action {
        Action::ScreenCluster => {
            model.screen = Screen::Cluster;
            back(model);
        }
        Action::ScreenPartition => partition::open(model),
        Action::Open => partition::open(model),
        Action::ScreenGroups => model.screen = Screen::Groups,
        Action::ScreenTopics => model.screen = Screen::Topics,
        Action::ScreenQuorum => model.screen = Screen::Quorum,
        Action::ScreenWire => model.screen = Screen::Wire,
        Action::ScreenFaults => {
            model.screen = Screen::Faults;
            return faults::entered(model);
        }
        Action::Back => back(model),
        Action::Command => return open_palette(model, ""),
        Action::Filter => model.cluster.filter_input = Some(Input::new(model.cluster.filter.clone())),
        Action::Help => model.overlays.push(Overlay::Help(help::Help::default())),
        Action::Why => {
            let about = about(model);
            model.overlays.push(Overlay::Why(about));
        }
        Action::Present => {
            model.presents = !model.presents;
            let (title, body) = match model.presents {
                true => ("Presenting: the last row shows each key.", "P ends it."),
                false => ("Presented.", ""),
            };
            toast(model, Mood::Good, title.into(), body.into());
        }
        Action::Screenshot => return vec![Cmd::Screenshot(screenshot_name(model))],
        Action::Copy => return vec![Cmd::Copy(model.view.host.bootstrap_servers.clone())],
        Action::Quit | Action::QuitNow => return quit(model),
        Action::Redraw => return vec![Cmd::Redraw],
        Action::ToShell => return vec![Cmd::ToShell],
        Action::Live => {
            model.cluster.event = None;
            model.cluster.pane = Pane::Matrix;
            if matches!(model.view.clock, ClockMode::Rewound { .. }) {
                return vec![Cmd::Submit("rewind --end".to_owned())];
            }
        }
        Action::GoThere => return go_there(model),
        Action::Mark => time::mark(model),
        Action::Window => {
            const WINDOWS_MS: [u64; 6] = [10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];
            let now = WINDOWS_MS.iter().position(|window| *window == model.cluster.window_ms).unwrap_or(1);
            model.cluster.window_ms = WINDOWS_MS[(now + 1) % WINDOWS_MS.len()];
        }
        Action::Produce => return open_form(model, form::Kind::Produce),
        Action::Consume => return open_form(model, form::Kind::Consume),
        Action::NewTopic => return open_form(model, form::Kind::NewTopic),
        Action::Sort => {
            model.cluster.sort = match model.cluster.sort {
                RowSort::WorstFirst => RowSort::Name,
                RowSort::Name => RowSort::RecordsBehind,
                RowSort::RecordsBehind => RowSort::Rate,
                RowSort::Rate => RowSort::WorstFirst,
            };
            model.cluster.find_place = true;
        }
        Action::ShowAll => {
            model.cluster.dense = !model.cluster.dense;
            model.keep_selection_in_view();
        }
        Action::Demo if model.is_empty() => return vec![Cmd::Run("demo".into())],
        _ => {}
    }
    Vec::new()
}

/// What `w` is about.
fn about(model: &Model) -> WhyAbout {
    let event = model.cluster.event.and_then(|id| model.view.timeline.events.iter().find(|event| event.id == id));
    match event.map(|event| (event.partition.clone(), event.broker)) {
        Some((Some(partition), _)) => WhyAbout::Partition(partition),
        Some((None, Some(broker))) => WhyAbout::Broker(broker),
        _ => model.why_about(),
    }
}

/// One step up; never quits.
fn back(model: &mut Model) {
    if model.armed.take().is_some() {
    } else if !model.toasts.is_empty() {
        model.toasts.clear();
    } else if model.cluster.pane == Pane::Timeline || model.cluster.event.is_some() {
        model.cluster.pane = Pane::Matrix;
        model.cluster.event = None;
    } else if !model.cluster.filter.is_empty() {
        model.cluster.filter.clear();
        model.cluster.find_place = true;
    } else if model.cluster.dense {
        model.cluster.dense = false;
        model.keep_selection_in_view();
    }
}

fn quit(model: &mut Model) -> Vec<Cmd> {
    let Some(loses) = model.view.host.quit_loses.clone() else { return vec![Cmd::Quit] };
    if model.overlays.iter().any(|overlay| matches!(overlay, Overlay::Ask(ask) if ask.cmd == Cmd::Quit)) {
        return vec![Cmd::Quit];
    }
    model.overlays.push(Overlay::Ask(ask::Ask {
        title: "Quit?".into(),
        text: loses,
        same_as: String::new(),
        key: 'q',
        verb: "quit",
        cmd: Cmd::Quit,
    }));
    Vec::new()
}

fn open_palette(model: &mut Model, line: &str) -> Vec<Cmd> {
    let palette = palette::Palette::new(Arc::clone(&model.commands), &model.history, line);
    let asks = palette.asks();
    model.overlays.push(Overlay::Palette(Box::new(palette)));
    asks
}

fn open_form(model: &mut Model, kind: form::Kind) -> Vec<Cmd> {
    let here = match model.screen {
        Screen::Topics if model.messages.is_some() => model.messages.as_ref().map(|messages| &*messages.topic),
        Screen::Topics => model.topics.selected.as_deref(),
        _ => model.cluster.selected.as_ref().map(|name| &*name.topic),
    };
    let topic = here.filter(|_| kind != form::Kind::NewTopic).unwrap_or_default().to_owned();
    model.overlays.push(Overlay::Form(Box::new(form::Form::new(kind, &topic, &model.view))));
    vec![Cmd::AskTopics(String::new())]
}

fn move_rows(model: &mut Model, action: Action) {
    let total = model.view.rows.total;
    if total == 0 {
        return;
    }
    let page = model.frame().map_or(10, |frame| usize::from(frame.body.height / 2).max(1));
    let now = model.cluster.selected_index;
    let next = match action {
        Action::Up => now.saturating_sub(1),
        Action::Down => now + 1,
        Action::PageUp => now.saturating_sub(page),
        Action::PageDown => now + page,
        Action::First => 0,
        _ => total - 1,
    };
    model.cluster.pane = Pane::Matrix;
    select_index(model, next.min(total - 1));
}

/// Selects the row at `index`. Its name may have to wait for the next picture.
fn select_index(model: &mut Model, index: usize) {
    model.cluster.selected_index = index;
    let rows = &model.view.rows;
    match index.checked_sub(rows.first).and_then(|place| rows.rows.get(place)) {
        Some(row) => {
            model.cluster.selected = Some(row.name.clone());
            model.cluster.find_name = false;
        }
        None => model.cluster.find_name = true,
    }
    model.keep_selection_in_view();
}

fn move_event(model: &mut Model, forward: bool) {
    let events = &model.view.timeline.events;
    let now = model.cluster.event.and_then(|id| events.iter().position(|event| event.id == id));
    let next = match (now, forward) {
        (None, true) => return,
        (None, false) => events.len().checked_sub(1),
        (Some(place), true) => Some((place + 1).min(events.len() - 1)),
        (Some(place), false) => Some(place.saturating_sub(1)),
    };
    model.cluster.event = next.map(|place| events[place].id);
}

/// Goes where the newest message that leads somewhere points; without one, to a mark.
fn go_there(model: &mut Model) -> Vec<Cmd> {
    let Some(place) = model.toasts.iter().rposition(Toast::leads_somewhere) else { return time::go_to_mark(model) };
    let toast = model.toasts.remove(place);
    if let Some(broker) = toast.broker {
        model.cluster.broker = Some(broker);
    }
    if let Some(partition) = toast.partition {
        model.cluster.filter.clear();
        model.cluster.selected = Some(partition);
        model.cluster.find_name = false;
        model.cluster.find_place = true;
    }
    Vec::new()
}

/// Resolves lines: the console's own verbs are done here, all others go to the cluster (after a question, if they
/// destroy).
fn resolve(model: &mut Model, cmds: Vec<Cmd>) -> Vec<Cmd> {
    let mut out = Vec::new();
    for cmd in cmds {
        match cmd {
            Cmd::Run(line) => out.extend(run_line(model, line.trim().trim_start_matches(':').trim())),
            other => out.push(other),
        }
    }
    time::keep_what_past_allows(model, &mut out);
    for cmd in &mut out {
        match (cmd, &mut model.messages) {
            (Cmd::OpenTail(topic, _), _) => {
                model.overlays.push(Overlay::Tail(Box::new(tail::Tail::new(topic.clone()))));
            }
            // The dialog took the reading over from the messages below it.
            (cmd @ Cmd::CloseTail, Some(messages)) => {
                messages.begin();
                *cmd = Cmd::Read(messages.request.clone());
            }
            _ => {}
        }
    }
    out
}

fn run_line(model: &mut Model, line: &str) -> Vec<Cmd> {
    let own = match commands::parse(line) {
        Some(Err(reason)) => {
            match model.overlays.last_mut() {
                Some(Overlay::Palette(palette)) => palette.complain(reason),
                _ => toast(model, Mood::Bad, reason, String::new()),
            }
            return Vec::new();
        }
        Some(Ok(own)) => Some(own),
        None => None,
    };
    if matches!(model.overlays.last(), Some(Overlay::Palette(_))) {
        model.overlays.pop();
    }
    model.history.retain(|old| old != line);
    model.history.push(line.to_string());
    if model.history.len() > 200 {
        model.history.remove(0);
    }
    match own {
        Some(own) => run_own(model, own),
        None => changes::submit(model, line),
    }
}

/// A name for a picture that nobody gave one: the screen and the moment, so that no picture replaces another one.
fn screenshot_name(model: &Model) -> PathBuf {
    let moment = super::numbers::moment(&model.view, model.view.at_ms, 3);
    let digits: String = moment.chars().filter(|character| character.is_ascii_digit() || *character == '.').collect();
    PathBuf::from(format!("kafkarium-{}-{digits}.svg", model.screen.name().to_lowercase()))
}

fn run_own(model: &mut Model, own: Own) -> Vec<Cmd> {
    match own {
        Own::Theme(name) => {
            let theme = super::theme::Theme { name, ..model.theme };
            model.theme = theme.with_depth(model.depth);
        }
        Own::Sixteen => model.theme = model.theme.with_depth(super::theme::Depth::Sixteen),
        Own::Mouse(on) => {
            model.mouse = on;
            return vec![Cmd::Mouse(on)];
        }
        Own::Screenshot(path) => return vec![Cmd::Screenshot(path)],
        Own::Record(path) => return vec![Cmd::Record(path)],
        Own::Save { name: Some(name), overwrite } => return vec![Cmd::SaveDemo { name, overwrite }],
        Own::Save { name: None, .. } => faults::open_save(model),
        Own::Filter(text) => {
            model.cluster.filter = text;
            model.cluster.first_row = 0;
            model.cluster.selected_index = 0;
        }
        Own::Sort(sort) => {
            model.cluster.sort = sort;
            model.cluster.find_place = true;
        }
        Own::Legend(on) => {
            model.legend = on;
            model.keep_selection_in_view();
        }
        Own::Motion(on) => model.theme.reduced_motion = !on,
        Own::Copy => return vec![Cmd::Copy(model.view.host.bootstrap_servers.clone())],
        Own::Xray { partition: name, offset } => partition::show(model, name, offset),
        Own::Help => model.overlays.push(Overlay::Help(help::Help::default())),
        Own::Quit => return quit(model),
    }
    Vec::new()
}

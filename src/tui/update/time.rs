//! Going back in what was recorded of a live cluster: keys, the mouse on the timeline, marks, and what cannot be done in the past.
//!
//! Invariants: the cluster goes on meanwhile and nothing here reaches it; one moment is viewed by every screen; while it is the past, no
//! line goes to the cluster and no record is read, and whoever tries is told how to come back.
//!
//! Deliberately not here: worlds that go back themselves (`changes::on_clock`).

use super::toast;
use crate::tui::headline::Mood;
use crate::tui::keymap::Action;
use crate::tui::model::{Model, Past};
use crate::tui::msg::Cmd;
use crate::tui::numbers::moment;
use crate::tui::widgets::timeline::Axis;

/// What `[` and `]` move by.
const SECOND_MS: u64 = 1_000;
/// A recording that plays moves by so much at once.
const PLAY_STEP_MS: u64 = 100;
/// A fact is shown by a picture taken within this time after it.
const SETTLE_MS: u64 = 250;
/// So many marks are kept.
const MARKS_MAX: usize = 32;

/// What a key means for the clock of a live cluster; `None` where it means what it means anywhere.
pub(super) fn on_action(model: &mut Model, action: Action) -> Option<Vec<Cmd>> {
    if !model.view.host.can.recall {
        return None;
    }
    let is_past = model.past.is_some();
    let recorded = model.view.recorded.unwrap_or_default();
    match action {
        Action::Live if is_past => present(model),
        Action::PauseOrRun if is_past => play(model),
        Action::SecondBack => go_to(model, shown_ms(model).saturating_sub(SECOND_MS)),
        Action::SecondOn if is_past => go_on_to(model, Some(shown_ms(model) + SECOND_MS)),
        Action::StepBack => match recorded.previous_ms {
            Some(previous_ms) => go_to(model, previous_ms),
            None => no_further(model),
        },
        Action::Step if is_past => go_on_to(model, recorded.next_ms),
        Action::PreviousEvent => match recorded.event_before {
            Some((event, at_ms)) => go_to_event(model, event, at_ms),
            None => no_further(model),
        },
        Action::NextEvent if is_past => match recorded.event_after {
            Some((event, at_ms)) => go_to_event(model, event, at_ms),
            None => present(model),
        },
        Action::Step | Action::SecondOn | Action::NextEvent => {}
        _ if is_past && is_for_the_present(action) => refuse(model),
        _ => return None,
    }
    Some(Vec::new())
}

/// What changes the cluster, or is answered by it as it is now.
fn is_for_the_present(action: Action) -> bool {
    use Action::{
        Actions, Browse, Consume, CorruptDisk, Cut, Delete, Demo, Edit, Faster, FillDisk, Heal, Kill, NewTopic,
        PowerLoss, Produce, Replay, Restart, SkewClock, SlowDisk, Slower, Suspend, Undo,
    };
    matches!(
        action,
        Kill | PowerLoss
            | Suspend
            | Restart
            | Cut
            | Heal
            | Undo
            | Produce
            | NewTopic
            | Delete
            | Edit
            | Replay
            | Demo
            | Slower
            | Faster
            | Consume
            | Browse
            | Actions
            | SlowDisk
            | FillDisk
            | CorruptDisk
            | SkewClock
    )
}

/// Takes out of what is asked for what the past cannot be asked; the user is told.
pub(super) fn keep_what_past_allows(model: &mut Model, cmds: &mut Vec<Cmd>) {
    if model.past.is_none() {
        return;
    }
    let before = cmds.len();
    cmds.retain(|cmd| !matches!(cmd, Cmd::Submit(_) | Cmd::Produce(_) | Cmd::OpenTail(..) | Cmd::Read(_)));
    if cmds.len() < before {
        refuse(model);
    }
    cmds.retain(|cmd| !matches!(cmd, Cmd::AskConsequence(_)));
    (model.armed, model.asked_change) = (None, None);
}

fn refuse(model: &mut Model) {
    let body = "End returns to the present.".to_owned();
    toast(model, Mood::Notice, "Nothing can be changed in the past.".into(), body);
}

fn no_further(model: &mut Model) {
    toast(model, Mood::Notice, "Nothing older is recorded.".into(), String::new());
}

/// The moment that is wanted: what is shown was recorded then, or shortly before.
fn shown_ms(model: &Model) -> u64 {
    model.past.map_or(model.view.at_ms, |past| past.at_ms)
}

/// Views a moment of the recording.
fn go_to(model: &mut Model, at_ms: u64) {
    let Some(recorded) = model.view.recorded else { return };
    let at_ms = at_ms.clamp(recorded.first_ms, recorded.last_ms.max(recorded.first_ms));
    let end_ms = model.past.map_or(model.view.at_ms, |past| past.end_ms).max(at_ms);
    // The axis stays where it is as long as the moment is on it.
    let window_ms = model.cluster.window_ms;
    let end_ms = if at_ms + window_ms <= end_ms { at_ms + window_ms / 2 } else { end_ms };
    model.past = Some(Past { at_ms, end_ms, played_at_ms: None });
    (model.armed, model.asked_change) = (None, None);
}

fn go_on_to(model: &mut Model, at_ms: Option<u64>) {
    let last_ms = model.view.recorded.map_or(0, |recorded| recorded.last_ms);
    match at_ms.filter(|at_ms| *at_ms < last_ms) {
        Some(at_ms) => go_to(model, at_ms),
        None => present(model),
    }
}

fn go_to_event(model: &mut Model, event: u64, at_ms: u64) {
    go_to(model, at_ms);
    model.cluster.event = Some(event);
}

fn present(model: &mut Model) {
    model.past = None;
    model.cluster.event = None;
    model.cluster.pane = crate::tui::model::Pane::Matrix;
}

fn play(model: &mut Model) {
    let now_ms = model.now_ms;
    if let Some(past) = &mut model.past {
        past.played_at_ms = if past.played_at_ms.is_some() { None } else { Some(now_ms) };
    }
}

/// Real time has passed: a recording that plays goes on.
pub(super) fn on_tick(model: &mut Model) {
    let now_ms = model.now_ms;
    let Some((past, since_ms)) = model.past.and_then(|past| Some((past, past.played_at_ms?))) else { return };
    let passed_ms = now_ms.saturating_sub(since_ms) / PLAY_STEP_MS * PLAY_STEP_MS;
    if passed_ms == 0 {
        return;
    }
    go_on_to(model, Some(past.at_ms + passed_ms));
    if let Some(past) = &mut model.past {
        past.played_at_ms = Some(since_ms + passed_ms);
    }
}

/// The mouse points at the timeline: that moment is viewed, the present at its right end.
pub(super) fn seek(model: &mut Model, axis: &Axis, x: u16) {
    if !model.view.host.can.recall {
        return;
    }
    match axis.moment(x) {
        Some(at_ms) => {
            let in_cell = model.view.timeline.events.iter().filter(|event| axis.column(event.at_ms) == Some(x));
            let settled_ms = in_cell.map(|event| event.at_ms + SETTLE_MS).max().unwrap_or(0);
            go_on_to(model, Some(at_ms.max(settled_ms)));
        }
        None => present(model),
    }
}

/// Remembers the moment that is viewed.
pub(super) fn mark(model: &mut Model) {
    let at_ms = model.view.at_ms;
    model.marks.retain(|known| *known != at_ms);
    model.marks.push(at_ms);
    if model.marks.len() > MARKS_MAX {
        model.marks.remove(0);
    }
    let text = format!("Marked {}; ' goes there.", moment(&model.view, at_ms, 1));
    toast(model, Mood::Good, text, String::new());
}

/// Goes to the mark before the moment that is viewed, after the oldest to the newest.
pub(super) fn go_to_mark(model: &mut Model) -> Vec<Cmd> {
    let now_ms = model.view.at_ms;
    let before = model.marks.iter().copied().filter(|at_ms| *at_ms < now_ms).max();
    let Some(at_ms) = before.or(model.marks.iter().copied().max()) else { return Vec::new() };
    let can = model.view.host.can;
    if can.recall {
        go_to(model, at_ms);
    } else if can.rewind {
        return vec![Cmd::Submit(format!("rewind --to {at_ms}ms"))];
    }
    Vec::new()
}

//! `w`: the chain of causes in sentences, each with the moment it happened.

use super::dialog;
use crate::cluster::view::{ClusterView, WhyAbout};
use crate::tui::headline;
use crate::tui::msg::{Cmd, Outcome};
use crate::tui::numbers::span_ms;
use crate::tui::pen::{Pen, piece, wrap};
use crate::tui::theme::Role;
use crate::tui::widgets::mark;
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;

/// A key.
pub fn key(key: &KeyEvent) -> Outcome {
    match key.code {
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('w' | 'q') => Outcome::close(),
        KeyCode::Char('u') => Outcome::done(Cmd::Run("undo".into())),
        KeyCode::Char('H') => Outcome::done(Cmd::Run("heal".into())),
        _ => Outcome::stay(),
    }
}

/// Draws the chain.
pub fn draw(pen: &mut Pen<'_>, about: &WhyAbout, view: &ClusterView, area: Rect) {
    let theme = pen.theme;
    let mut keys = Vec::new();
    if !view.faults.is_empty() && view.host.can.faults {
        keys.extend([("u", "undo the last fault"), ("H", "heal everything")]);
    }
    keys.push(("Esc", "close"));
    let width = 90.min(area.width.saturating_sub(2));
    let text_cells = width.saturating_sub(18);
    let why = view.why.as_ref().filter(|why| why.about == *about);
    let question = match (why, about) {
        (Some(why), _) => why.question.clone(),
        (None, WhyAbout::Headline) => "Why is it like this?".into(),
        (None, WhyAbout::Partition(name)) => format!("Why is {name} like this?"),
        (None, WhyAbout::Broker(broker)) => format!("Why is broker {broker} like this?"),
        (None, WhyAbout::Quorum) => "Why is the quorum like this?".into(),
        (None, WhyAbout::Group(name)) => format!("Why is {name} like this?"),
    };
    let mut lines = Vec::new();
    if why.is_some_and(|why| why.truncated) {
        lines.push(vec![piece("The cause before these is no longer kept.", theme.fg(Role::Dim))]);
    }
    for step in why.into_iter().flat_map(|why| &why.steps) {
        let mark = mark::event(step.kind);
        let moment = if step.expected {
            format!("in {}", span_ms(step.at_ms.saturating_sub(view.at_ms)))
        } else {
            format!("T−{}", span_ms(view.at_ms.saturating_sub(step.at_ms)))
        };
        let role = if step.expected { Role::Dim } else { Role::Text };
        for (row, text) in wrap(&step.text, text_cells).into_iter().enumerate() {
            let (moment, glyph) = if row == 0 { (moment.as_str(), mark.glyph) } else { ("", " ") };
            lines.push(vec![
                piece(format!("{moment:>11} "), theme.fg(Role::Dim)),
                piece(format!("{glyph} "), theme.bold(mark.role)),
                piece(text, theme.fg(role)),
            ]);
        }
    }
    if why.is_none_or(|why| why.steps.is_empty()) {
        let headline = headline::of(view);
        let text: String = headline.lengths[2].iter().map(|(_, text)| text.as_str()).collect();
        let calm = headline.mood == headline::Mood::Good;
        let reason = if calm { "Nothing is wrong, so there is nothing to explain." } else { &text };
        lines.extend(
            wrap(reason, width.saturating_sub(6)).into_iter().map(|text| vec![piece(text, theme.fg(Role::Text))]),
        );
    }
    let height = lines.len() as u16 + 6;
    let inside = dialog(pen, area, width, height, Role::Focus, "Why?", &keys);
    pen.text(inside.x, inside.y, inside.width, &question, theme.bold(Role::Text));
    for (y, line) in (inside.y + 2..inside.bottom().saturating_sub(1)).zip(&lines) {
        pen.pieces(inside.x, y, inside.width, line);
    }
}

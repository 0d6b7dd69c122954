//! Dialogs over a screen, one file each: state, keys, drawing.
//!
//! Invariants: the top dialog takes all keys; `Esc` closes it and changes nothing; a dialog greys the body and keeps
//! header and hints; each names its own keys in its last row.

pub mod ask;
pub mod fault_form;
pub mod form;
pub mod help;
pub mod menu;
pub mod palette;
pub mod tail;
pub mod toast;
pub mod why;

use super::model::Model;
use super::msg::Outcome;
use super::pen::{Pen, Piece, piece};
use super::theme::{Ground, Role};
use crate::cluster::view::{ClusterView, WhyAbout};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use tui_input::Input;

/// A dialog.
#[derive(Debug, Clone)]
pub enum Overlay {
    /// `:`
    Palette(Box<palette::Palette>),
    /// `?`
    Help(help::Help),
    /// `w`
    Why(WhyAbout),
    /// Produce, consume, new topic.
    Form(Box<form::Form>),
    /// What is set on a link, a disk, a clock.
    Fault(Box<fault_form::FaultForm>),
    /// `x`, and the choice of a link to cut.
    Menu(menu::Menu),
    /// A question before something that cannot be undone.
    Ask(ask::Ask),
    /// Records of a topic as they come.
    Tail(Box<tail::Tail>),
    /// What a command printed.
    Output(ask::Output),
}

impl Overlay {
    /// A key for this dialog.
    pub fn key(&mut self, key: &KeyEvent, view: &ClusterView) -> Outcome {
        match self {
            Overlay::Palette(palette) => palette.key(key),
            Overlay::Help(help) => help.key(key),
            Overlay::Why(_) => why::key(key),
            Overlay::Form(form) => form.key(key),
            Overlay::Fault(form) => form.key(key),
            Overlay::Menu(menu) => menu.key(key),
            Overlay::Ask(ask) => ask.key(key),
            Overlay::Tail(tail) => tail.key(key),
            Overlay::Output(output) => output.key(key, view),
        }
    }

    /// Text that was pasted.
    pub fn paste(&mut self, text: &str) -> Outcome {
        let line: String = text.chars().filter(|character| !character.is_control()).collect();
        match self {
            Overlay::Palette(palette) => palette.paste(&line),
            Overlay::Form(form) => form.paste(&line),
            Overlay::Fault(form) => form.paste(&line),
            _ => Outcome::stay(),
        }
    }

    /// Draws the dialog over `area`, the body between header and hints.
    pub fn draw(&self, pen: &mut Pen<'_>, model: &Model, view: &ClusterView, area: Rect) {
        match self {
            Overlay::Palette(palette) => palette.draw(pen, model, view, area),
            Overlay::Help(help) => help.draw(pen, view, area),
            Overlay::Why(about) => why::draw(pen, about, view, area),
            Overlay::Form(form) => form.draw(pen, view, area),
            Overlay::Fault(form) => form.draw(pen, area),
            Overlay::Menu(menu) => menu.draw(pen, view, area),
            Overlay::Ask(ask) => ask.draw(pen, area),
            Overlay::Tail(tail) => tail.draw(pen, view, area),
            Overlay::Output(output) => output.draw(pen, area),
        }
    }
}

/// A dialog of about `width` × `height` in the middle of `area`, emptied, framed, with its keys in the last row.
/// Returns the inside above the keys, one column away from the border.
pub fn dialog(
    pen: &mut Pen<'_>,
    area: Rect,
    width: u16,
    height: u16,
    role: Role,
    title: &str,
    keys: &[(&str, &str)],
) -> Rect {
    let theme = pen.theme;
    let (width, height) = (width.min(area.width), height.min(area.height));
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    pen.clear(place, Ground::Raise);
    let inside = pen.frame(place, theme.fg(role), false, &[piece(title, theme.bold(role))], &[]);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    if inside.height < 2 {
        return inside;
    }
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    for (key, word) in keys {
        pieces.push(piece(*key, theme.bold(Role::Focus)));
        pieces.push(piece(format!(" {word}   "), theme.fg(Role::Dim)));
    }
    pen.pieces(inside.x, inside.bottom() - 1, inside.width, &pieces);
    Rect { height: inside.height - 1, ..inside }
}

/// Draws a one-line text field with its cursor. Returns the column after the field.
pub fn field(pen: &mut Pen<'_>, x: u16, y: u16, cells: u16, input: &Input, focused: bool) -> u16 {
    let theme = pen.theme;
    if focused {
        pen.ground(Rect { x, y, width: cells, height: 1 }, Ground::Sel);
    }
    let inner = cells.saturating_sub(1);
    let scroll = input.visual_scroll(usize::from(inner));
    let mut skipped = 0;
    let shown: String = input
        .value()
        .chars()
        .skip_while(|character| {
            let skip = skipped < scroll;
            skipped += unicode_width::UnicodeWidthChar::width(*character).unwrap_or(0);
            skip
        })
        .collect();
    pen.text(x, y, inner, &shown, theme.bold(Role::Text));
    if focused {
        let at = x + u16::try_from(input.visual_cursor().max(scroll) - scroll).unwrap_or(inner).min(inner);
        let style = theme.fg(Role::Text).add_modifier(ratatui::style::Modifier::REVERSED);
        pen.buffer.set_style(Rect { x: at, y, width: 1, height: 1 }.intersection(pen.buffer.area), style);
    }
    x + cells
}

/// Gives a key to a text field. Whether the text changed.
pub fn edit(input: &mut Input, key: &KeyEvent) -> bool {
    use tui_input::backend::crossterm::EventHandler;
    input.handle_event(&crossterm::event::Event::Key(*key)).is_some_and(|change| change.value)
}

/// Adds pasted text at the cursor.
pub fn insert(input: &mut Input, text: &str) {
    for character in text.chars() {
        input.handle(tui_input::InputRequest::InsertChar(character));
    }
}

/// Moves a place in a list of `count` by a key of movement. Whether it was one.
pub fn moved(place: &mut usize, count: usize, key: &KeyEvent) -> bool {
    let last = count.saturating_sub(1);
    *place = match key.code {
        KeyCode::Up => place.saturating_sub(1),
        KeyCode::Down => (*place + 1).min(last),
        KeyCode::PageUp => place.saturating_sub(10),
        KeyCode::PageDown => (*place + 10).min(last),
        _ => return false,
    };
    true
}

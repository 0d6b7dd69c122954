//! A short list of things to do here: `x`, and the brokers to cut a link to.

use super::{dialog, moved};
use crate::cluster::view::ClusterView;
use crate::tui::glyphs;
use crate::tui::msg::{Cmd, Forecast, Outcome};
use crate::tui::overlays::palette::weight;
use crate::tui::pen::{Pen, piece, wrap};
use crate::tui::theme::{Ground, Role};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its key in this list (and on the screen).
    pub key: char,
    /// A few words.
    pub text: String,
    /// What it means, in a few words.
    pub note: String,
    /// What it does.
    pub cmd: Cmd,
}

/// The state of the list.
#[derive(Debug, Clone)]
pub struct Menu {
    title: String,
    items: Vec<Item>,
    place: usize,
    forecast: Option<Forecast>,
}

impl Menu {
    /// A list with at least one item.
    pub fn new(title: String, items: Vec<Item>) -> Menu {
        Menu { title, items, place: 0, forecast: None }
    }

    /// Asks what the highlighted item would do.
    pub fn asks(&self) -> Vec<Cmd> {
        match self.items.get(self.place).map(|item| &item.cmd) {
            Some(Cmd::Run(line)) => vec![Cmd::AskConsequence(line.clone())],
            _ => Vec::new(),
        }
    }

    /// What a line would do.
    pub fn forecast(&mut self, forecast: Forecast) {
        self.forecast = Some(forecast);
    }

    /// A key.
    pub fn key(&mut self, key: &KeyEvent) -> Outcome {
        let key = match key.code {
            KeyCode::Char('j') => KeyEvent::new(KeyCode::Down, key.modifiers),
            KeyCode::Char('k') => KeyEvent::new(KeyCode::Up, key.modifiers),
            _ => *key,
        };
        match key.code {
            KeyCode::Esc => Outcome::close(),
            KeyCode::Enter => match self.items.get(self.place) {
                Some(item) => Outcome::done(item.cmd.clone()),
                None => Outcome::close(),
            },
            KeyCode::Char(typed) => match self.items.iter().find(|item| item.key == typed) {
                Some(item) => Outcome::done(item.cmd.clone()),
                None => Outcome::stay(),
            },
            _ if moved(&mut self.place, self.items.len(), &key) => Outcome { close: false, cmds: self.asks() },
            _ => Outcome::stay(),
        }
    }

    /// Draws the list.
    pub fn draw(&self, pen: &mut Pen<'_>, _view: &ClusterView, area: Rect) {
        let keys = [("↵", "do it"), ("↑ ↓", "choose"), ("Esc", "close")];
        let height = self.items.len() as u16 + 8;
        let inside = dialog(pen, area, 76.min(area.width), height, Role::Focus, &self.title, &keys);
        let theme = pen.theme;
        let rows = usize::from(inside.height.saturating_sub(4)).max(1);
        let first = self.place.saturating_sub(rows - 1);
        let mut y = inside.y;
        for (place, item) in self.items.iter().enumerate().skip(first).take(rows) {
            if place == self.place {
                pen.ground(Rect { y, height: 1, ..inside }, Ground::Sel);
                pen.text(inside.x, y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
            }
            pen.text(inside.x + 2, y, 1, item.key.encode_utf8(&mut [0; 4]), theme.bold(Role::Focus));
            pen.text(inside.x + 5, y, 26, &item.text, theme.fg(Role::Text));
            pen.text(inside.x + 32, y, inside.width.saturating_sub(32), &item.note, theme.fg(Role::Dim));
            y += 1;
        }
        let line = match self.items.get(self.place).map(|item| &item.cmd) {
            Some(Cmd::Run(line)) => line.as_str(),
            _ => return,
        };
        let Some(forecast) = self.forecast.as_ref().filter(|forecast| forecast.line == line) else { return };
        let Some(consequence) = &forecast.consequence else { return };
        let (role, glyph) = weight(consequence.weight);
        for (row, text) in wrap(&consequence.text, inside.width.saturating_sub(2)).into_iter().take(3).enumerate() {
            let at = y + 1 + row as u16;
            if at < inside.bottom() {
                let mark = if row == 0 { glyph } else { " " };
                pen.pieces(inside.x, at, inside.width, &[piece(format!("{mark} {text}"), theme.fg(role))]);
            }
        }
    }
}

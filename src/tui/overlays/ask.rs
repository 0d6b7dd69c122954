//! A question before something that cannot be undone, and the page with what a command printed.

use super::dialog;
use crate::cluster::view::ClusterView;
use crate::tui::glyphs;
use crate::tui::msg::{Cmd, Outcome};
use crate::tui::pen::{Pen, piece, wrap};
use crate::tui::theme::Role;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;

/// A question. `Esc` keeps everything as it is and is the default: `↵` does not answer.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The question.
    pub title: String,
    /// What happens, in sentences.
    pub text: String,
    /// What the same costs on Kafka's own command line. Empty: nothing equal.
    pub same_as: String,
    /// The key that does it.
    pub key: char,
    /// The verb on the button.
    pub verb: &'static str,
    /// What it does.
    pub cmd: Cmd,
}

impl Ask {
    /// A key.
    pub fn key(&mut self, key: &KeyEvent) -> Outcome {
        let leaving = self.cmd == Cmd::Quit && key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => Outcome::close(),
            KeyCode::Char('c') if leaving => Outcome::done(self.cmd.clone()),
            KeyCode::Char(typed) if typed == self.key => Outcome::done(self.cmd.clone()),
            _ => Outcome::stay(),
        }
    }

    /// Adds what the cluster says about it.
    pub fn consequence(&mut self, text: &str) {
        if !self.text.contains(text) {
            self.text = format!("{}\n{text}", self.text);
        }
    }

    /// Draws the question.
    pub fn draw(&self, pen: &mut Pen<'_>, area: Rect) {
        let theme = pen.theme;
        let width = 72.min(area.width.saturating_sub(2));
        let lines = wrap(&self.text, width.saturating_sub(6));
        let same_as = match self.same_as.as_str() {
            "" => Vec::new(),
            line => wrap(line, width.saturating_sub(15)),
        };
        let height = (lines.len() + same_as.len()) as u16 + 7;
        let inside = dialog(pen, area, width, height, Role::Dead, &self.title, &[]);
        let mut y = inside.y + 1;
        for line in &lines {
            pen.text(inside.x + 1, y, inside.width, line, theme.fg(Role::Text));
            y += 1;
        }
        y += 1;
        for (row, line) in same_as.iter().enumerate() {
            if y < inside.bottom() {
                let label = if row == 0 { "Same as  " } else { "         " };
                let same = [piece(label, theme.fg(Role::Dim)), piece(line.as_str(), theme.fg(Role::Text))];
                pen.pieces(inside.x + 1, y, inside.width.saturating_sub(1), &same);
            }
            y += 1;
        }
        let keys = [
            piece("Esc", theme.bold(Role::Focus)),
            piece(" keep it", theme.bold(Role::Text)),
            piece(format!("      {}", self.key), theme.bold(Role::Dead)),
            piece(format!(" {}", self.verb), theme.fg(Role::Text)),
        ];
        pen.pieces(inside.x + 1, inside.bottom(), inside.width, &keys);
    }
}

/// What a command printed.
#[derive(Debug, Clone)]
pub struct Output {
    /// The line that was run.
    pub line: String,
    /// Its output.
    pub lines: Vec<String>,
    /// First line in view.
    pub scroll: usize,
}

impl Output {
    /// A key.
    pub fn key(&mut self, key: &KeyEvent, _view: &ClusterView) -> Outcome {
        let last = self.lines.len().saturating_sub(1);
        let step = |scroll: usize, by: isize| scroll.saturating_add_signed(by).min(last);
        match key.code {
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => return Outcome::close(),
            KeyCode::Char('y') => return Outcome::ask(Cmd::Copy(self.lines.join("\n"))),
            KeyCode::Down | KeyCode::Char('j') => self.scroll = step(self.scroll, 1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = step(self.scroll, -1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scroll = step(self.scroll, 15),
            KeyCode::PageUp => self.scroll = step(self.scroll, -15),
            KeyCode::Home | KeyCode::Char('g') => self.scroll = 0,
            KeyCode::End | KeyCode::Char('G') => self.scroll = last,
            _ => {}
        }
        Outcome::stay()
    }

    /// Draws the page.
    pub fn draw(&self, pen: &mut Pen<'_>, area: Rect) {
        let theme = pen.theme;
        let keys = [("↑ ↓", "scroll"), ("y", "copy"), ("Esc", "close")];
        let longest = self.lines.iter().map(|line| crate::tui::pen::width(line)).max().unwrap_or(0);
        let width = (longest + 4).clamp(50, 140).min(area.width);
        let height = u16::try_from(self.lines.len()).unwrap_or(u16::MAX).saturating_add(4);
        let inside = dialog(pen, area, width, height, Role::Focus, &self.line, &keys);
        let rows = inside.height.saturating_sub(1);
        for (y, line) in (inside.y..inside.y + rows).zip(self.lines.iter().skip(self.scroll)) {
            pen.text(inside.x, y, inside.width, line, theme.fg(Role::Text));
        }
        let below = self.lines.len().saturating_sub(self.scroll + usize::from(rows));
        if below > 0 {
            let text = format!("{} {below} more", glyphs::SHRUNK);
            pen.right(inside.x, inside.right(), inside.bottom(), &text, theme.fg(Role::Dim));
        }
    }
}

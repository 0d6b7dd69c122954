//! The palette: the whole command language under `:`, fuzzy, with live values and what the line would do.
//!
//! ```text
//! :kill 3▏
//! WHO                            │ kill WHO [--after DURATION]
//! ▍3        leads 8              │ Ends the process like kill −9. …
//!  controller                    │ ▲ Killing 3 now leaves 1 of 3 voters: no controller …
//!                                │ UNDO  start 3
//! ```
//! Invariants: what is run is what stands in the line; `↵` on a line that is not a whole command takes the highlighted
//! completion first; nothing is parsed here, values and consequences are asked of the cluster.

use super::{dialog, edit, field, insert, moved};
use crate::cluster::view::{ClusterView, CommandDoc, Completion, Weight};
use crate::tui::commands;
use crate::tui::keymap;
use crate::tui::model::Model;
use crate::tui::msg::{Cmd, Forecast, Outcome};
use crate::tui::pen::{Pen, Piece, piece, wrap};
use crate::tui::theme::{Ground, Role};
use crate::tui::{glyphs, numbers};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use ratatui::layout::Rect;
use std::sync::Arc;
use tui_input::Input;

/// The state of the palette.
#[derive(Debug, Clone)]
pub struct Palette {
    input: Input,
    commands: Arc<[CommandDoc]>,
    recent: Vec<String>,
    matches: Vec<Found>,
    place: usize,
    completion: Completion,
    forecast: Option<Forecast>,
    history_place: Option<usize>,
    complaint: Option<String>,
}

/// A line that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// What stands in the list.
    text: String,
    /// Letters of `text` that match.
    letters: Vec<u32>,
    /// A note beside it.
    note: String,
    /// Its shortcut.
    key: &'static str,
    /// What the line becomes when it is taken.
    line: String,
    /// It would be refused now.
    refused: bool,
}

impl Palette {
    /// The palette with `line` typed already.
    pub fn new(commands: Arc<[CommandDoc]>, history: &[String], line: &str) -> Palette {
        let mut palette = Palette {
            input: Input::new(line.to_string()),
            commands,
            recent: history.iter().rev().take(20).cloned().collect(),
            matches: Vec::new(),
            place: 0,
            completion: Completion::default(),
            forecast: None,
            history_place: None,
            complaint: None,
        };
        palette.find();
        palette
    }

    /// The line as typed.
    pub fn line(&self) -> &str {
        self.input.value()
    }

    /// The command the line begins with: the longest whose words it has, with something or nothing behind it.
    fn command(&self) -> Option<&CommandDoc> {
        let line = self.line().trim_start();
        let starts = |name: &str| line.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        self.commands.iter().filter(|doc| starts(&doc.name)).max_by_key(|doc| doc.name.len())
    }

    /// Whether the words of a command are typed and its arguments come now.
    fn in_arguments(&self) -> bool {
        self.command().is_some_and(|doc| self.line().trim_start().len() > doc.name.len())
    }

    /// The document shown at the right: the command typed, or the one highlighted.
    fn shown(&self) -> Option<&CommandDoc> {
        if self.in_arguments() {
            return self.command();
        }
        let name = &self.matches.get(self.place)?.text;
        self.commands.iter().find(|doc| doc.name == *name)
    }

    /// Asks what the new line could become and would do.
    pub fn asks(&self) -> Vec<Cmd> {
        let line = self.line().trim_start().to_string();
        vec![Cmd::Complete(line.clone()), Cmd::AskConsequence(line)]
    }

    /// The values for the end of the line.
    pub fn completion(&mut self, line: &str, completion: Completion) {
        if line == self.line().trim_start() {
            self.completion = commands::complete(line).unwrap_or(completion);
            self.find();
        }
    }

    /// What the line would do.
    pub fn forecast(&mut self, forecast: Forecast) {
        if forecast.line == self.line().trim_start() {
            self.forecast = Some(forecast);
        }
    }

    /// Shows why a line was not run.
    pub fn complain(&mut self, reason: String) {
        self.complaint = Some(reason);
    }

    fn find(&mut self) {
        self.matches = if self.in_arguments() { self.values() } else { self.names() };
        self.place = self.place.min(self.matches.len().saturating_sub(1));
    }

    fn values(&self) -> Vec<Found> {
        let line = self.line().trim_start();
        let from = self.completion.from.min(line.len());
        let Some(head) = line.get(..from) else { return Vec::new() };
        let value = |value: &crate::cluster::view::CompletionValue| Found {
            text: value.text.clone(),
            letters: Vec::new(),
            note: value.note.clone(),
            key: "",
            line: format!("{head}{}", value.text),
            refused: value.refused,
        };
        self.completion.values.iter().map(value).collect()
    }

    fn names(&self) -> Vec<Found> {
        let typed = self.line().trim();
        let found = |doc: &CommandDoc, letters: Vec<u32>| Found {
            text: doc.name.clone(),
            letters,
            note: doc.summary.clone(),
            key: keymap::key_for_command(&doc.name).unwrap_or(""),
            line: if doc.arguments.is_empty() { doc.name.clone() } else { format!("{} ", doc.name) },
            refused: false,
        };
        if typed.is_empty() {
            return self.commands.iter().map(|doc| found(doc, Vec::new())).collect();
        }
        let mut matcher = Matcher::new(Config::DEFAULT);
        let pattern = Pattern::parse(typed, CaseMatching::Ignore, Normalization::Smart);
        let mut scored = Vec::new();
        let mut characters = Vec::new();
        for doc in self.commands.iter() {
            let mut letters = Vec::new();
            let name = Utf32Str::new(&doc.name, &mut characters);
            if let Some(score) = pattern.indices(name, &mut matcher, &mut letters) {
                letters.sort_unstable();
                let prefix = u32::from(doc.name.starts_with(typed)) * 10_000;
                scored.push((score + prefix + 1_000, found(doc, letters)));
            } else if doc.summary.to_lowercase().contains(&typed.to_lowercase()) {
                scored.push((0, found(doc, Vec::new())));
            }
        }
        scored.sort_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.text.len().cmp(&right.text.len())));
        scored.into_iter().map(|(_, found)| found).collect()
    }

    fn set_line(&mut self, line: String) -> Outcome {
        self.input = Input::new(line);
        self.changed()
    }

    fn changed(&mut self) -> Outcome {
        self.complaint = None;
        self.forecast = None;
        self.completion = commands::complete(self.line().trim_start()).unwrap_or_default();
        self.place = 0;
        self.find();
        Outcome { close: false, cmds: self.asks() }
    }

    /// Takes the highlighted entry into the line.
    fn take(&mut self) -> Outcome {
        match self.matches.get(self.place) {
            Some(found) => {
                let line = found.line.clone();
                self.set_line(line)
            }
            None => Outcome::stay(),
        }
    }

    /// A key.
    pub fn key(&mut self, key: &KeyEvent) -> Outcome {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => Outcome::close(),
            KeyCode::Char('c') if control => Outcome::close(),
            KeyCode::Char('p') if control => self.older(),
            KeyCode::Char('n') if control => self.newer(),
            KeyCode::Tab => self.take(),
            KeyCode::Enter => self.enter(),
            KeyCode::Up if self.line().is_empty() && self.place == 0 => self.older(),
            KeyCode::Up if self.history_place.is_some() => self.older(),
            KeyCode::Down if self.history_place.is_some() => self.newer(),
            KeyCode::Backspace if self.line().is_empty() => Outcome::close(),
            _ if moved(&mut self.place, self.matches.len(), key) => Outcome::stay(),
            _ => {
                self.history_place = None;
                if edit(&mut self.input, key) { self.changed() } else { Outcome::stay() }
            }
        }
    }

    /// Pasted text.
    pub fn paste(&mut self, text: &str) -> Outcome {
        insert(&mut self.input, text);
        self.changed()
    }

    /// Runs the line; while it is not a whole command, the highlighted entry comes first.
    fn enter(&mut self) -> Outcome {
        let line = self.line().trim().to_string();
        let whole = self.command().is_some();
        if self.in_arguments() || (whole && self.place == 0) {
            let needs = self.command().is_some_and(|doc| doc.name == line && needs_argument(doc));
            if needs {
                return self.take_or_space();
            }
            if self.typed_part_of_value() {
                return self.take();
            }
            return if line.is_empty() { Outcome::stay() } else { Outcome::ask(Cmd::Run(line)) };
        }
        let Some(found) = self.matches.get(self.place) else {
            return if line.is_empty() { Outcome::stay() } else { Outcome::ask(Cmd::Run(line)) };
        };
        let taken = found.text.clone();
        let needs = self.commands.iter().any(|doc| doc.name == taken && needs_argument(doc));
        if needs { self.take() } else { Outcome::ask(Cmd::Run(taken)) }
    }

    /// Whether the last word is only the beginning of the highlighted value.
    fn typed_part_of_value(&self) -> bool {
        let line = self.line().trim_start();
        let Some(found) = self.matches.get(self.place) else { return false };
        let typed = line.get(self.completion.from..).unwrap_or_default().trim_end();
        !self.completion.argument.is_empty()
            && (!typed.is_empty() || self.place > 0 || required(&self.completion.argument))
            && !self.completion.values.iter().any(|value| value.text.trim_end() == typed)
            && found.text.starts_with(typed)
    }

    fn take_or_space(&mut self) -> Outcome {
        let line = format!("{} ", self.line().trim());
        self.set_line(line)
    }

    fn older(&mut self) -> Outcome {
        let next = self.history_place.map_or(0, |place| place + 1);
        match self.recent.get(next).cloned() {
            Some(line) => {
                self.history_place = Some(next);
                self.set_line(line)
            }
            None => Outcome::stay(),
        }
    }

    fn newer(&mut self) -> Outcome {
        match self.history_place {
            Some(0) | None => {
                self.history_place = None;
                self.set_line(String::new())
            }
            Some(place) => {
                self.history_place = Some(place - 1);
                let line = self.recent[place - 1].clone();
                self.set_line(line)
            }
        }
    }

    /// Draws the palette.
    pub fn draw(&self, pen: &mut Pen<'_>, _model: &Model, _view: &ClusterView, area: Rect) {
        let keys = [("↵", "run"), ("Tab", "complete"), ("↑ ↓", "choose"), ("Esc", "close")];
        let (width, height) = (115.min(area.width.saturating_sub(2)), 26.min(area.height.saturating_sub(1)));
        let inside = dialog(pen, area, width, height, Role::Focus, "Command", &keys);
        if inside.height < 3 {
            return;
        }
        let theme = pen.theme;
        pen.ground(Rect { height: 1, ..inside }, Ground::Sel);
        let x = pen.text(inside.x, inside.y, 1, ":", theme.bold(Role::Focus));
        let at = field(pen, x, inside.y, inside.width.saturating_sub(1), &self.input, true);
        self.ghost(pen, x, at, inside.y);
        let body = Rect { y: inside.y + 2, height: inside.height.saturating_sub(3), ..inside };
        let two = inside.width >= 80;
        let list_cells = if two { inside.width * 48 / 100 } else { inside.width };
        let list_rows = if two { body.height } else { body.height / 2 };
        self.draw_list(pen, Rect { width: list_cells, height: list_rows, ..body });
        let doc = if two {
            for y in body.y..body.bottom() {
                pen.text(body.x + list_cells + 1, y, 1, "│", theme.fg(Role::Line));
            }
            Rect { x: body.x + list_cells + 3, width: body.width.saturating_sub(list_cells + 3), ..body }
        } else {
            Rect { y: body.y + list_rows, height: body.height - list_rows, ..body }
        };
        self.draw_doc(pen, doc);
    }

    /// The rest of the highlighted entry or of the usage, faint behind what is typed.
    fn ghost(&self, pen: &mut Pen<'_>, x: u16, end: u16, y: u16) {
        let line = self.line();
        let Some(doc) = self.shown() else { return };
        let rest = match doc.example.strip_prefix(line) {
            Some(rest) if !line.is_empty() && !rest.is_empty() => rest,
            _ => return,
        };
        // From the cursor's cell on: the cursor stands on the first letter.
        let at = x + crate::tui::pen::width(line);
        pen.text(at, y, end.saturating_sub(at), rest, pen.theme.fg(Role::Faint));
    }

    fn draw_list(&self, pen: &mut Pen<'_>, area: Rect) {
        let theme = pen.theme;
        let faint = theme.fg(Role::Faint);
        let title = match self.in_arguments() {
            true if !self.completion.argument.is_empty() => self.completion.argument.clone(),
            true => "VALUES".into(),
            false => "MATCHES".into(),
        };
        pen.text(area.x, area.y, area.width, &title, faint);
        if !self.in_arguments() {
            let total = numbers::count(self.commands.len() as u64);
            pen.right(area.x, area.right(), area.y, &format!("{} of {total}", self.matches.len()), faint);
        }
        let rows = usize::from(area.height.saturating_sub(1));
        let first = self.place.saturating_sub(rows.saturating_sub(1));
        let text_cells = (area.width / 2).max(14).min(area.width);
        for (y, (place, found)) in (area.y + 1..).zip(self.matches.iter().enumerate().skip(first).take(rows)) {
            if place == self.place {
                pen.ground(Rect { y, height: 1, ..area }, Ground::Sel);
                pen.text(area.x, y, 1, glyphs::SELECTED, theme.fg(Role::Focus));
            }
            let mut x = area.x + 1;
            for (letter, character) in (0_u32..).zip(found.text.chars()) {
                let style =
                    if found.letters.contains(&letter) { theme.bold(Role::Focus) } else { theme.fg(Role::Text) };
                let mut bytes = [0; 4];
                x = pen.text(x, y, (area.x + text_cells).saturating_sub(x), character.encode_utf8(&mut bytes), style);
            }
            let key_cells = crate::tui::pen::width(found.key) + 1;
            let note = area.x + text_cells + 1;
            let style = theme.fg(if found.refused { Role::Dead } else { Role::Dim });
            pen.text(note, y, area.right().saturating_sub(note + key_cells), &found.note, style);
            pen.right(note, area.right(), y, found.key, theme.bold(Role::Focus));
        }
        if self.matches.is_empty() && area.height > 1 {
            let text = if self.in_arguments() { "type a value" } else { "no such command" };
            pen.text(area.x + 1, area.y + 1, area.width, text, theme.fg(Role::Dim));
        }
    }

    fn draw_doc(&self, pen: &mut Pen<'_>, area: Rect) {
        let theme = pen.theme;
        let mut y = area.y;
        let mut line = |pen: &mut Pen<'_>, pieces: &[Piece<'_>]| {
            if y < area.bottom() {
                pen.pieces(area.x, y, area.width, pieces);
            }
            y += 1;
        };
        if let Some(complaint) = &self.complaint {
            for text in wrap(complaint, area.width.saturating_sub(2)) {
                line(pen, &[piece(format!("{} {text}", glyphs::DEAD), theme.bold(Role::Dead))]);
            }
            line(pen, &[]);
        }
        let Some(doc) = self.shown() else { return };
        line(pen, &[piece(doc.usage.as_str(), theme.bold(Role::Text))]);
        line(pen, &[]);
        let long = if doc.long.is_empty() { &doc.summary } else { &doc.long };
        for text in wrap(long, area.width).into_iter().take(usize::from(area.height / 2)) {
            line(pen, &[piece(text, theme.fg(Role::Text))]);
        }
        if !doc.arguments.is_empty() {
            line(pen, &[]);
        }
        for argument in doc.arguments.iter().take(6) {
            for (row, text) in wrap(&argument.help, area.width.saturating_sub(12)).into_iter().enumerate() {
                let name = if row == 0 { argument.name.as_str() } else { "" };
                line(pen, &[piece(format!("{name:<11} "), theme.fg(Role::Faint)), piece(text, theme.fg(Role::Text))]);
            }
        }
        if let Some(forecast) = &self.forecast {
            if let Some(consequence) = &forecast.consequence {
                line(pen, &[]);
                let (role, glyph) = weight(consequence.weight);
                for (row, text) in wrap(&consequence.text, area.width.saturating_sub(2)).into_iter().enumerate() {
                    let mark = if row == 0 { glyph } else { " " };
                    line(pen, &[piece(format!("{mark} {text}"), theme.fg(role))]);
                }
            }
            if let Some(undo) = &forecast.undo {
                line(pen, &[]);
                line(
                    pen,
                    &[
                        piece("UNDO        ", theme.fg(Role::Faint)),
                        piece(undo.as_str(), theme.fg(Role::Text)),
                        piece("  u", theme.bold(Role::Focus)),
                    ],
                );
            }
        }
        if !doc.see_also.is_empty() {
            line(
                pen,
                &[piece("SEE         ", theme.fg(Role::Faint)), piece(doc.see_also.join(", "), theme.fg(Role::Text))],
            );
        }
        if !doc.example.is_empty() {
            line(
                pen,
                &[piece("EXAMPLE     ", theme.fg(Role::Faint)), piece(doc.example.as_str(), theme.fg(Role::Text))],
            );
        }
    }
}

/// How a consequence looks.
pub fn weight(weight: Weight) -> (Role, &'static str) {
    match weight {
        Weight::Harmless => (Role::Sync, glyphs::ALIVE),
        Weight::Notice => (Role::Lag, glyphs::ATTENTION),
        Weight::Severe => (Role::Dead, glyphs::ATTENTION),
        Weight::Refused => (Role::Dead, glyphs::DEAD),
    }
}

fn required(argument: &str) -> bool {
    !argument.starts_with('[') && !argument.starts_with('-')
}

/// Whether a command says nothing without an argument: its usage has one outside brackets.
fn needs_argument(doc: &CommandDoc) -> bool {
    let rest = doc.usage.strip_prefix(doc.name.as_str()).unwrap_or("").trim_start();
    !rest.is_empty() && !rest.starts_with('[')
}

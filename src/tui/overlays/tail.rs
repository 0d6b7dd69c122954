//! The live tail: records of a topic as a consumer reads them, newest first.
//!
//! Invariants: at most [`KEPT`] records are kept; while a record is selected it stays where it is looked at, new ones
//! come above it; a record is never shown twice.

use super::{Outcome, dialog, moved};
use crate::cluster::view::{ClusterView, TailBatch, TailRecord};
use crate::tui::glyphs;
use crate::tui::msg::Cmd;
use crate::tui::numbers::{clock, count, offset, plural};
use crate::tui::pen::{Pen, piece, wrap};
use crate::tui::theme::{Ground, Role};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use std::collections::VecDeque;

/// How many records are kept.
pub const KEPT: usize = 500;

/// The state of the tail.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The topic.
    pub topic: String,
    records: VecDeque<TailRecord>,
    /// The selected one, counted from the newest; `None` while following.
    place: Option<usize>,
    read: u64,
    skipped: u64,
    problem: String,
}

impl Tail {
    /// A tail without records yet.
    pub fn new(topic: String) -> Tail {
        Tail { topic, records: VecDeque::new(), place: None, read: 0, skipped: 0, problem: String::new() }
    }

    /// New records.
    pub fn add(&mut self, batch: TailBatch) {
        self.problem = batch.problem;
        self.skipped += batch.skipped;
        self.read += batch.records.len() as u64;
        if let Some(place) = &mut self.place {
            *place += batch.records.len();
        }
        for record in batch.records {
            self.records.push_front(record);
        }
        self.records.truncate(KEPT);
        if let Some(place) = &mut self.place {
            *place = (*place).min(self.records.len().saturating_sub(1));
        }
    }

    /// A key.
    pub fn key(&mut self, key: &KeyEvent) -> Outcome {
        let key = match key.code {
            KeyCode::Char('j') => KeyEvent::new(KeyCode::Down, key.modifiers),
            KeyCode::Char('k') => KeyEvent::new(KeyCode::Up, key.modifiers),
            _ => *key,
        };
        match key.code {
            KeyCode::Esc if self.place.is_some() => self.place = None,
            KeyCode::Esc | KeyCode::Char('q') => return Outcome::done(Cmd::CloseTail),
            KeyCode::End | KeyCode::Char('f' | 'g') => self.place = None,
            KeyCode::Char('y') => {
                let record = self.records.get(self.place.unwrap_or(0));
                return match record.and_then(|record| record.value.clone()) {
                    Some(value) => Outcome::ask(Cmd::Copy(value)),
                    None => Outcome::stay(),
                };
            }
            _ => {
                let mut place = self.place.unwrap_or(0);
                let was_following = self.place.is_none();
                if !self.records.is_empty() && moved(&mut place, self.records.len(), &key) {
                    self.place = if was_following && place == 0 { None } else { Some(place) };
                }
            }
        }
        Outcome::stay()
    }

    /// Draws the list and the selected record.
    pub fn draw(&self, pen: &mut Pen<'_>, view: &ClusterView, area: Rect) {
        let theme = pen.theme;
        let keys = [("↑ ↓", "choose"), ("f", "follow"), ("y", "copy the value"), ("Esc", "close")];
        let title = format!("consume {}", self.topic);
        let inside = dialog(pen, area, area.width.saturating_sub(2), area.height, Role::Focus, &title, &keys);
        if inside.height < 4 {
            return;
        }
        let state = if self.place.is_some() { "held" } else { "following" };
        let mut head = vec![
            piece(
                format!("{} {state}", if self.place.is_some() { glyphs::HALTED } else { glyphs::ALIVE }),
                theme.bold(Role::Sync),
            ),
            piece(format!("   {} read", plural(self.read, "record")), theme.fg(Role::Dim)),
        ];
        if self.skipped > 0 {
            head.push(piece(format!("   {} skipped, they came too fast", count(self.skipped)), theme.fg(Role::Lag)));
        }
        if !self.problem.is_empty() {
            head.push(piece(format!("   {} {}", glyphs::ATTENTION, self.problem), theme.fg(Role::Dead)));
        }
        pen.pieces(inside.x, inside.y, inside.width, &head);
        let body = Rect { y: inside.y + 1, height: inside.height - 2, ..inside };
        let two = body.width >= 130;
        let (list, detail) = if two {
            let cells = body.width * 60 / 100;
            (Rect { width: cells, ..body }, Rect { x: body.x + cells + 3, width: body.width - cells - 3, ..body })
        } else {
            let rows = body.height * 3 / 5;
            (Rect { height: rows, ..body }, Rect { y: body.y + rows, height: body.height - rows, ..body })
        };
        self.draw_list(pen, view, list);
        if two {
            for y in body.y..body.bottom() {
                pen.text(detail.x - 2, y, 1, "│", theme.fg(Role::Line));
            }
        }
        self.draw_detail(pen, view, detail);
    }

    fn draw_list(&self, pen: &mut Pen<'_>, view: &ClusterView, area: Rect) {
        let theme = pen.theme;
        let heading = format!("{:>4}  {:>12}  {:<12}  {:<16}  VALUE", "P", "OFFSET", "TIME", "KEY");
        pen.text(area.x, area.y, area.width, &heading, theme.fg(Role::Faint));
        let rows = usize::from(area.height.saturating_sub(1));
        let place = self.place.unwrap_or(0);
        let first = (place + 1).saturating_sub(rows);
        for (y, (index, record)) in (area.y + 1..).zip(self.records.iter().enumerate().skip(first).take(rows)) {
            if self.place == Some(index) {
                pen.ground(Rect { y, height: 1, ..area }, Ground::Sel);
            }
            let time = clock(record.timestamp_ms, view.utc_offset_s, 3);
            let key = record.key.as_deref().unwrap_or("–");
            let key: String = key.chars().take(16).collect();
            let value = record.value.as_deref().unwrap_or("∅");
            pen.pieces(
                area.x,
                y,
                area.width,
                &[
                    piece(format!("{:>4}  ", record.partition), theme.fg(Role::Dim)),
                    piece(format!("{:>12}  ", offset(record.offset)), theme.fg(Role::Text)),
                    piece(format!("{time}  "), theme.fg(Role::Dim)),
                    piece(format!("{key:<16}  "), theme.fg(Role::Client)),
                    piece(one_line(value), theme.fg(Role::Text)),
                ],
            );
        }
        if self.records.is_empty() && area.height > 2 {
            let text = "Nothing has come yet. Records show up as soon as they are committed.";
            pen.text(area.x, area.y + 2, area.width, text, theme.fg(Role::Dim));
        }
    }

    fn draw_detail(&self, pen: &mut Pen<'_>, view: &ClusterView, area: Rect) {
        let theme = pen.theme;
        let Some(record) = self.records.get(self.place.unwrap_or(0)) else { return };
        let title = format!("{}-{} @ {}", self.topic, record.partition, offset(record.offset));
        let rule = [piece(title, theme.bold(Role::Text))];
        pen.rule(area.x, area.right(), area.y, &rule, &[]);
        let mut lines = vec![
            ("key", record.key.clone().unwrap_or_else(|| "– (none)".into()), Role::Client),
            ("time", clock(record.timestamp_ms, view.utc_offset_s, 3), Role::Text),
        ];
        for (name, value) in &record.headers {
            lines.push(("header", format!("{name} = {value}"), Role::Text));
        }
        let mut y = area.y + 1;
        for (label, text, role) in lines {
            if y < area.bottom() {
                let pieces =
                    [piece(format!("{label:<8}"), theme.fg(Role::Dim)), piece(one_line(&text), theme.fg(role))];
                pen.pieces(area.x, y, area.width, &pieces);
            }
            y += 1;
        }
        let value = record.value.as_deref().unwrap_or("∅ tombstone: deletes this key when the topic is compacted");
        for (y, line) in (y + 1..area.bottom()).zip(wrap(value, area.width)) {
            pen.text(area.x, y, area.width, &line, theme.fg(Role::Text));
        }
    }
}

/// A value on one line: control characters would move the cursor of the terminal.
fn one_line(text: &str) -> String {
    text.chars().take(400).map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::KeyModifiers;

    fn batch(offsets: std::ops::Range<i64>) -> TailBatch {
        let record = |offset| TailRecord { offset, value: Some(format!("v{offset}")), ..TailRecord::default() };
        TailBatch { records: offsets.map(record).collect(), ..TailBatch::default() }
    }

    #[test]
    fn a_selected_record_stays_selected_while_others_come() {
        let mut tail = Tail::new("orders".into());
        tail.add(batch(0..5));
        tail.key(&KeyEvent::new(KeyCode::Down, KeyModifiers::NONE));
        let looked_at = tail.records[tail.place.unwrap()].offset;
        tail.add(batch(5..9));
        assert_eq!(tail.records[tail.place.unwrap()].offset, looked_at);
        tail.add(batch(9..2_000));
        assert_eq!(tail.records.len(), KEPT);
        assert!(tail.place.unwrap() < KEPT);
    }
}

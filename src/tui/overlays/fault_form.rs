//! The form of a fault: what is set on a link, a slow disk, a wrong clock, a damaged batch. Every field is judged while it is typed, and
//! the commands that it becomes are shown with what they would do.
//!
//! ```text
//! ╭ Link 1 → 5 ─────────────────────────────────────╮
//! │ delay         120ms▏             ✓              │
//! │ loss          5                  ✓ 5 of 100     │
//! │ Does  link delay 1 to 5 120ms --jitter 40ms     │
//! ╰─────────────────────────────────────────────────╯
//! ```
//! Invariants: what is sent are lines of the command language, and only for what was changed; a form with a blocked field is never sent.
//!
//! Deliberately not here: what a fault does (the host tells), and the forms of topics and records (`form`).

use super::form::Verdict;
use super::{dialog, edit, field, insert, palette};
use crate::cluster::command::parse_line;
use crate::cluster::command::values::{ByteRate, Share, Skew, duration, duration_text, link_end};
use crate::cluster::link::LinkFaults;
use crate::cluster::view::{BrokerId, ClusterView};
use crate::tui::glyphs;
use crate::tui::msg::{Cmd, Forecast, Outcome};
use crate::tui::pen::{Pen, piece, wrap};
use crate::tui::saving;
use crate::tui::theme::{Ground, Role};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use std::time::Duration;
use tui_input::Input;

/// What a form is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One direction of a link, or both.
    Link(BrokerId, BrokerId),
    /// How slow a broker's disk is.
    SlowDisk(BrokerId),
    /// What is damaged on a broker's disk.
    Corrupt(BrokerId),
    /// How wrong a broker's clock is.
    Skew(BrokerId),
    /// What the demo of what was done is called.
    Save,
}

/// What a field takes.
#[derive(Debug, Clone)]
enum Content {
    Text(Input),
    Choice(&'static [&'static str], usize),
}

#[derive(Debug, Clone)]
struct Field {
    label: &'static str,
    content: Content,
    help: &'static str,
}

/// The state of a form.
#[derive(Debug, Clone)]
pub struct FaultForm {
    subject: Subject,
    fields: Vec<Field>,
    focus: usize,
    /// What was set on the link.
    before: LinkFaults,
    lag_time_max_ms: Option<u64>,
    forecast: Option<Forecast>,
}

const TRAFFIC: &[&str] = &["deliver", "cut", "hold"];
const FILE: &[&str] = &["leave one that is there", "write over it"];
const WAYS: &[&str] = &["this direction", "both directions"];
/// Cells for a field's label and for its value.
const LABEL_CELLS: u16 = 14;
const VALUE_CELLS: u16 = 26;

fn text(label: &'static str, value: String, help: &'static str) -> Field {
    Field { label, content: Content::Text(Input::new(value)), help }
}

fn choice(label: &'static str, options: &'static [&'static str], at: usize, help: &'static str) -> Field {
    Field { label, content: Content::Choice(options, at), help }
}

/// A time that may be left empty; zero is written as nothing.
fn written(time: Duration) -> String {
    if time.is_zero() { String::new() } else { duration_text(time) }
}

fn fields(subject: Subject, set: LinkFaults) -> Vec<Field> {
    match subject {
        Subject::Link(..) => {
            let traffic = if set.is_cut { 1 } else { usize::from(set.is_held) * 2 };
            let loss = Share { per_million: set.loss_per_million };
            let loss = if set.loss_per_million == 0 { String::new() } else { loss.to_string() };
            let rate = set.bytes_per_s.map(|rate| ByteRate(crate::cluster::command::values::Size(rate)).to_string());
            vec![
                choice("applies to", WAYS, 0, "What the sender sends, or what both send. ← → change a choice."),
                choice(
                    "traffic",
                    TRAFFIC,
                    traffic,
                    "cut: lost, nobody is told. hold: kept until it is delivered again.",
                ),
                text("delay", written(set.delay), "Everything is so much later: 120ms, 2s. Empty: at once."),
                text("jitter", written(set.jitter), "... and up to so much more, drawn anew for each message: 40ms."),
                text("loss", loss, "So many of 100 messages are lost: 5%, 0.5%. Empty: none."),
                text("rate", rate.unwrap_or_default(), "So much passes at most: 64KiB/s. Empty: no limit."),
            ]
        }
        Subject::SlowDisk(_) => {
            vec![text(
                "each write",
                "200ms".to_owned(),
                "Every write takes so much longer: 200ms, 2s. 0s: as fast as before.",
            )]
        }
        Subject::Corrupt(_) => vec![
            text("partition", String::new(), "In which partition: orders-0. Empty: in the largest one."),
            text("offset", String::new(), "In the batch that holds this offset. Empty: in the last one."),
        ],
        Subject::Save => vec![
            text(
                "name",
                "faults".to_owned(),
                "It is written to NAME.md, here; kafkarium play NAME.md --check plays it.",
            ),
            choice("file", FILE, 0, "A file that is there already is left alone, or written over."),
        ],
        Subject::Skew(_) => {
            vec![text(
                "ahead by",
                "+5s".to_owned(),
                "Its wall clock is ahead (+5s) or behind (-500ms). +0s: right again.",
            )]
        }
    }
}

impl FaultForm {
    /// A form; of a link with what is set on it now.
    pub fn new(subject: Subject, view: &ClusterView) -> FaultForm {
        let shown = view.link_faults.as_ref().and_then(|faults| faults.link.as_ref());
        let shown = shown.filter(|link| matches!(subject, Subject::Link(from, to) if link.ends == (from, to)));
        let before = shown.map_or(LinkFaults::default(), |link| link.faults);
        FaultForm {
            subject,
            fields: fields(subject, before),
            focus: 0,
            before,
            lag_time_max_ms: shown.map(|link| link.lag_time_max_ms),
            forecast: None,
        }
    }

    /// The same with the focus on a field.
    #[must_use]
    pub fn on(mut self, label: &str) -> FaultForm {
        self.focus = self.fields.iter().position(|field| field.label == label).unwrap_or(0);
        self
    }

    fn get(&self, label: &str) -> &str {
        match self.fields.iter().find(|field| field.label == label).map(|field| &field.content) {
            Some(Content::Text(input)) => input.value().trim(),
            Some(Content::Choice(options, at)) => options[*at],
            None => "",
        }
    }

    /// What is thought of a field.
    pub fn verdict(&self, label: &str) -> Verdict {
        let value = self.get(label);
        let blocked = |said: String| Verdict::Blocks(said.split(": ").last().unwrap_or_default().to_owned());
        match label {
            "delay" | "jitter" | "each write" if !value.is_empty() => match duration(value) {
                Err(said) => blocked(said),
                Ok(time) if label == "delay" && self.is_too_late(time) => {
                    Verdict::Warns("followers leave the ISR".to_owned())
                }
                Ok(_) => Verdict::Fine,
            },
            "each write" => Verdict::Blocks("how long?".to_owned()),
            "loss" if !value.is_empty() => match share(value) {
                Err(said) => blocked(said),
                Ok(Share { per_million: 1_000_000 }) => Verdict::Warns("all of them: like a cut".to_owned()),
                Ok(Share { per_million: 0 }) => Verdict::Fine,
                Ok(share) => {
                    Verdict::Means(format!("one of {}", (1_000_000 + share.per_million / 2) / share.per_million))
                }
            },
            "rate" if !value.is_empty() => match value.parse::<ByteRate>() {
                Err(said) => blocked(said),
                Ok(_) => Verdict::Fine,
            },
            "ahead by" => match value.parse::<Skew>() {
                Err(said) => blocked(said),
                Ok(skew) if skew.millis == 0 => Verdict::Means("right again".to_owned()),
                Ok(skew) if skew.millis < 0 => Verdict::Means("behind".to_owned()),
                Ok(_) => Verdict::Means("ahead".to_owned()),
            },
            "name" if !saving::is_name(value) => {
                Verdict::Blocks("letters, digits, dot, dash and underscore".to_owned())
            }
            "name" => Verdict::Means(format!("{value}.md")),
            "offset" if !value.is_empty() && self.get("partition").is_empty() => {
                Verdict::Blocks("of which partition?".to_owned())
            }
            "partition" | "offset" if !value.is_empty() => match self.lines().first().map(|line| parse_line(line)) {
                Some(Err(error)) => blocked(error.to_string().lines().next().unwrap_or_default().to_owned()),
                _ => Verdict::Fine,
            },
            _ => Verdict::Fine,
        }
    }

    fn is_too_late(&self, delay: Duration) -> bool {
        self.lag_time_max_ms.is_some_and(|most| delay.as_millis() >= u128::from(most))
    }

    fn blocked(&self) -> Option<usize> {
        self.fields.iter().position(|field| matches!(self.verdict(field.label), Verdict::Blocks(_)))
    }

    /// The commands that it becomes, in their order.
    pub fn lines(&self) -> Vec<String> {
        match self.subject {
            Subject::Link(from, to) => self.link_lines(from, to),
            Subject::SlowDisk(id) if duration(self.get("each write")).is_ok_and(|time| time.is_zero()) => {
                vec![format!("disk heal {id}")]
            }
            Subject::SlowDisk(id) => vec![format!("disk slow {id} {}", self.get("each write"))],
            Subject::Corrupt(id) => {
                let named = |flag: &str, label| match self.get(label) {
                    "" => String::new(),
                    value => format!(" --{flag} {value}"),
                };
                vec![format!("disk corrupt {id}{}{}", named("partition", "partition"), named("offset", "offset"))]
            }
            Subject::Save => {
                let force = if self.get("file") == FILE[1] { " --force" } else { "" };
                vec![format!("save {}{force}", self.get("name"))]
            }
            Subject::Skew(id) => vec![format!("clock skew {id} {}", self.get("ahead by"))],
        }
    }

    fn link_lines(&self, from: BrokerId, to: BrokerId) -> Vec<String> {
        let both = self.get("applies to") == WAYS[1];
        let between = if both { " " } else { " to " };
        let spec = format!("{}{between}{}", link_end(from), link_end(to));
        let time = |label| duration(self.get(label)).unwrap_or_default();
        let rate = self.get("rate").parse::<ByteRate>().ok().map(|rate| rate.0.0);
        let mut after = self.before;
        (after.is_cut, after.is_held) = (self.get("traffic") == "cut", self.get("traffic") == "hold");
        (after.delay, after.jitter) = (time("delay"), time("jitter"));
        after.loss_per_million = share(self.get("loss")).map_or(0, |share| share.per_million);
        after.bytes_per_s = rate;
        let mut before = self.before;
        let mut lines = Vec::new();
        // A cut and a limit end with the link's healing only: what else is set comes again after it.
        if (before.is_cut && !after.is_cut) || (before.bytes_per_s.is_some() && rate.is_none()) {
            lines.push(format!("link heal {spec}"));
            before = LinkFaults::default();
        } else if before.is_held && !after.is_held {
            lines.push(format!("link release {spec}"));
        }
        // Both directions: the other one may be set otherwise.
        let is_new = |changed: bool, set: bool| changed || (both && set);
        let (delay, jitter) = (duration_text(after.delay), duration_text(after.jitter));
        let late = !after.delay.is_zero() || !after.jitter.is_zero();
        if is_new((before.delay, before.jitter) != (after.delay, after.jitter), late) {
            let more = if after.jitter.is_zero() { String::new() } else { format!(" --jitter {jitter}") };
            lines.push(format!("link delay {spec} {delay}{more}"));
        }
        if is_new(before.loss_per_million != after.loss_per_million, after.loss_per_million > 0) {
            lines.push(format!("link lose {spec} {}", Share { per_million: after.loss_per_million }));
        }
        if let Some(rate) = rate.filter(|rate| is_new(before.bytes_per_s != Some(*rate), true)) {
            lines.push(format!("link throttle {spec} {}", ByteRate(crate::cluster::command::values::Size(rate))));
        }
        if after.is_cut && is_new(!before.is_cut, true) {
            lines.push(format!("link cut {spec}"));
        }
        if after.is_held && is_new(!before.is_held, true) {
            lines.push(format!("link hold {spec}"));
        }
        lines
    }

    /// What its last command would do is wanted: the last one is the gravest.
    pub fn asks(&self) -> Vec<Cmd> {
        match self.lines().pop() {
            Some(line) if self.blocked().is_none() && self.subject != Subject::Save => vec![Cmd::AskConsequence(line)],
            _ => Vec::new(),
        }
    }

    /// What a line would do.
    pub fn forecast(&mut self, forecast: Forecast) {
        self.forecast = Some(forecast);
    }

    /// A key.
    pub fn key(&mut self, key: &KeyEvent) -> Outcome {
        let count = self.fields.len();
        let back = key.code == KeyCode::BackTab || key.modifiers.contains(KeyModifiers::SHIFT);
        match key.code {
            KeyCode::Esc => return Outcome::close(),
            KeyCode::Enter => return self.send(),
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = (self.focus + if back { count - 1 } else { 1 }) % count;
                return Outcome::stay();
            }
            KeyCode::Up => self.focus = self.focus.saturating_sub(1),
            KeyCode::Down => self.focus = (self.focus + 1).min(count - 1),
            _ => {}
        }
        let changed = match (&mut self.fields[self.focus].content, key.code) {
            (_, KeyCode::Up | KeyCode::Down) => false,
            (Content::Choice(options, at), KeyCode::Left) => {
                *at = (*at + options.len() - 1) % options.len();
                true
            }
            (Content::Choice(options, at), KeyCode::Right | KeyCode::Char(' ')) => {
                *at = (*at + 1) % options.len();
                true
            }
            (Content::Choice(options, at), KeyCode::Char(typed)) => {
                // A choice is also made by its first letter.
                let wanted = options.iter().position(|option| option.starts_with(typed));
                let changed = wanted.is_some_and(|wanted| wanted != *at);
                *at = wanted.unwrap_or(*at);
                changed
            }
            (Content::Choice(..), _) => false,
            (Content::Text(input), _) => edit(input, key),
        };
        Outcome { close: false, cmds: if changed { self.asks() } else { Vec::new() } }
    }

    /// Pasted text goes into the field with the focus.
    pub fn paste(&mut self, pasted: &str) -> Outcome {
        if let Content::Text(input) = &mut self.fields[self.focus].content {
            insert(input, pasted);
        }
        Outcome { close: false, cmds: self.asks() }
    }

    fn send(&mut self) -> Outcome {
        if let Some(place) = self.blocked() {
            self.focus = place;
            return Outcome::stay();
        }
        // The form has told what it does: what cannot be undone is not asked about a second time.
        let does = if matches!(self.subject, Subject::Corrupt(_)) { Cmd::Submit } else { Cmd::Run };
        Outcome { close: true, cmds: self.lines().into_iter().map(does).collect() }
    }

    fn title(&self) -> String {
        match self.subject {
            Subject::Link(from, to) => format!("Link {} → {}", link_end(from), link_end(to)),
            Subject::SlowDisk(id) => format!("Slow disk of broker {id}"),
            Subject::Corrupt(id) => format!("Flip a byte on the disk of broker {id}"),
            Subject::Save => "Save what was done as a demo".to_owned(),
            Subject::Skew(id) => format!("Clock of broker {id}"),
        }
    }

    /// Draws the form.
    pub fn draw(&self, pen: &mut Pen<'_>, area: Rect) {
        let theme = *pen.theme;
        let lines = self.lines();
        let button = match self.blocked() {
            Some(place) => format!("do it (fix {})", self.fields[place].label),
            None if lines.is_empty() => "close (nothing changed)".to_owned(),
            None => "do it".to_owned(),
        };
        let keys = [("↵", button.as_str()), ("Tab", "next field"), ("Esc", "close")];
        let wide = 86.min(area.width.saturating_sub(2));
        let gap = u16::from(area.height >= 22);
        let height = u16::try_from(self.fields.len()).unwrap_or(u16::MAX) + 3 + 5 + 3 * gap + 3;
        let inside = dialog(pen, area, wide, height, Role::Focus, &self.title(), &keys);
        let mut y = inside.y + gap;
        for (place, entry) in self.fields.iter().enumerate() {
            if y < inside.bottom() {
                self.draw_field(pen, entry, place == self.focus, Rect { y, height: 1, ..inside });
            }
            y += 1;
        }
        y += gap;
        let mut say = |text: &str, style| {
            if y < inside.bottom() {
                pen.text(inside.x, y, inside.width, text, style);
                y += 1;
            }
        };
        say(self.fields[self.focus].help, theme.fg(Role::Dim));
        if gap > 0 {
            say("", theme.fg(Role::Dim));
        }
        for (at, line) in lines.iter().enumerate() {
            let label = if at == 0 { "Does          " } else { "              " };
            say(&format!("{label}{line}"), theme.fg(Role::Text));
        }
        let told = self.forecast.as_ref().filter(|told| lines.last() == Some(&told.line));
        if let Some(consequence) = told.and_then(|told| told.consequence.as_ref()) {
            let (role, glyph) = palette::weight(consequence.weight);
            for (row, text) in wrap(&consequence.text, inside.width.saturating_sub(2)).into_iter().take(2).enumerate() {
                let mark = if row == 0 { glyph } else { " " };
                say(&format!("{mark} {text}"), theme.fg(role));
            }
        }
    }

    fn draw_field(&self, pen: &mut Pen<'_>, entry: &Field, focused: bool, area: Rect) {
        let theme = *pen.theme;
        let label = if focused { theme.bold(Role::Focus) } else { theme.fg(Role::Dim) };
        pen.text(area.x, area.y, LABEL_CELLS - 1, entry.label, label);
        let x = area.x + LABEL_CELLS;
        let cells = VALUE_CELLS.min(area.right().saturating_sub(x));
        match &entry.content {
            Content::Text(input) => {
                field(pen, x, area.y, cells, input, focused);
            }
            Content::Choice(options, chosen) => {
                if focused {
                    pen.ground(Rect { x, y: area.y, width: cells, height: 1 }, Ground::Sel);
                }
                let shown = options[*chosen];
                let shown = if focused { format!("‹ {shown} ›") } else { shown.to_owned() };
                pen.text(x, area.y, cells, &shown, theme.bold(Role::Text));
            }
        }
        let (glyph, words, role) = match self.verdict(entry.label) {
            Verdict::Fine => (glyphs::DONE, String::new(), Role::Sync),
            Verdict::Means(words) => (glyphs::DONE, words, Role::Sync),
            Verdict::Warns(words) => (glyphs::ATTENTION, words, Role::Lag),
            Verdict::Blocks(words) => (glyphs::DEAD, words, Role::Dead),
        };
        let at = x + cells + 1;
        pen.pieces(at, area.y, area.right().saturating_sub(at), &[piece(format!("{glyph} {words}"), theme.fg(role))]);
    }
}

/// A share, with or without its `%`.
fn share(text: &str) -> Result<Share, String> {
    if text.is_empty() {
        return Ok(Share { per_million: 0 });
    }
    if text.ends_with('%') { text.parse() } else { format!("{text}%").parse() }
}

//! Forms: produce, consume, new topic. Every field is judged while it is typed, and the equal Kafka command line is
//! shown.
//!
//! ```text
//! ╭ New topic ─────────────────────────────────────────╮
//! │ name          orders▏              ✓               │
//! │ partitions    6                    ✓               │
//! │ replicas      3                    ▲ of 5 brokers  │
//! │ Same as  kafka-topics.sh --create --topic orders … │
//! ╰────────────────────────────────────────────────────╯
//! ```
//! Invariants: a form with a blocked field is never sent, the button names the field; judging is pure.

use super::{Outcome, dialog, edit, field, insert};
use crate::cluster::view::{Acks, ClusterView, ProduceDraft, TailFrom, TopicSummary};
use crate::tui::glyphs;
use crate::tui::msg::Cmd;
use crate::tui::pen::{Pen, piece, wrap};
use crate::tui::theme::{Ground, Role};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use tui_input::Input;

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Send records.
    Produce,
    /// Read records.
    Consume,
    /// Create a topic.
    NewTopic,
}

/// What a field takes.
#[derive(Debug, Clone)]
enum Content {
    /// Any text.
    Text(Input),
    /// One of these.
    Choice(&'static [&'static str], usize),
}

#[derive(Debug, Clone)]
struct Field {
    label: &'static str,
    content: Content,
    /// What it means, shown while it has the focus.
    help: &'static str,
}

/// What is thought of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Right.
    Fine,
    /// Allowed, with a remark.
    Warns(String),
    /// Cannot be sent like this.
    Blocks(String),
}

/// The state of a form.
#[derive(Debug, Clone)]
pub struct Form {
    /// Which form.
    pub kind: Kind,
    fields: Vec<Field>,
    focus: usize,
    topics: Vec<TopicSummary>,
    brokers: usize,
    bootstrap: String,
    sent: u32,
}

fn text(label: &'static str, value: &str, help: &'static str) -> Field {
    Field { label, content: Content::Text(Input::new(value.to_string())), help }
}

fn choice(label: &'static str, options: &'static [&'static str], place: usize, help: &'static str) -> Field {
    Field { label, content: Content::Choice(options, place), help }
}

const FROM: &[&str] = &["last 20 of each partition", "the oldest record", "now on"];
const ACKS: &[&str] = &["all", "1", "0"];

impl Form {
    /// A form for a topic (empty: none chosen yet).
    pub fn new(kind: Kind, topic: &str, view: &ClusterView) -> Form {
        let fields = match kind {
            Kind::Produce => vec![
                text("topic", topic, "Where to. Tab goes on, ↑ ↓ change a choice."),
                text("key", "", "Records with the same key go to the same partition, in order. Empty: no key."),
                text("value", "", "The record. Empty: a tombstone, which deletes its key in a compacted topic."),
                text("partition", "", "Empty: by the key's hash, or in turn without a key."),
                text("times", "1", "How many copies to send."),
                choice("acks", ACKS, 0, "all: every in-sync replica has it. 1: the leader has it. 0: nobody is asked."),
            ],
            Kind::Consume => vec![
                text("topic", topic, "What to read."),
                choice("from", FROM, 0, "Where to begin. The tail follows from there."),
            ],
            Kind::NewTopic => {
                let replicas = view.brokers.len().clamp(1, 3).to_string();
                vec![
                    text("name", topic, "Letters, digits, dot, dash, underscore."),
                    text("partitions", "6", "How many logs it is split into. It can grow later, never shrink."),
                    text("replicas", &replicas, "How many brokers have a copy of each log."),
                    text(
                        "min in sync",
                        "",
                        "min.insync.replicas: acks=all needs so many copies. Empty: the cluster's.",
                    ),
                    choice(
                        "clean-up",
                        &["delete", "compact"],
                        0,
                        "delete old records, or keep the newest of each key.",
                    ),
                ]
            }
        };
        let focus = usize::from(kind == Kind::Produce && !topic.is_empty());
        let bootstrap = view.host.bootstrap_servers.split(',').next().unwrap_or_default().to_string();
        Form { kind, fields, focus, topics: Vec::new(), brokers: view.brokers.len(), bootstrap, sent: 0 }
    }

    /// The topics there are, for judging and completing.
    pub fn topics(&mut self, topics: Vec<TopicSummary>) {
        if self.value(0).is_empty()
            && self.kind != Kind::NewTopic
            && let Some(first) = topics.iter().find(|topic| !topic.internal)
        {
            self.fields[0].content = Content::Text(Input::new(first.name.to_string()));
        }
        self.topics = topics;
    }

    fn value(&self, place: usize) -> &str {
        match &self.fields[place].content {
            Content::Text(input) => input.value().trim(),
            Content::Choice(options, place) => options[*place],
        }
    }

    fn topic(&self) -> Option<&TopicSummary> {
        self.topics.iter().find(|topic| *topic.name == *self.value(0))
    }

    /// What is thought of the field at `place`.
    pub fn verdict(&self, place: usize) -> Verdict {
        let value = self.value(place);
        match (self.kind, self.fields[place].label) {
            (Kind::NewTopic, "name") => self.judge_name(value),
            (_, "topic") => self.judge_topic(value),
            (_, "partitions") => judge_number(value, 1, 10_000),
            (_, "replicas") => match judge_number(value, 1, self.brokers.max(1) as u64) {
                Verdict::Blocks(_) => Verdict::Blocks(format!("1 to {}: one broker holds one copy", self.brokers)),
                _ if value == "1" && self.brokers > 1 => Verdict::Warns("no copy: a dead broker stops it".into()),
                verdict => verdict,
            },
            (_, "min in sync") if value.is_empty() => Verdict::Fine,
            (_, "min in sync") => self.judge_min_isr(value),
            (_, "partition") if value.is_empty() => Verdict::Fine,
            (_, "partition") => {
                let count = self.topic().map_or(10_000, |topic| u64::from(topic.partitions));
                match judge_number(value, 0, count.saturating_sub(1)) {
                    Verdict::Blocks(_) => Verdict::Blocks(format!("0 to {}", count.saturating_sub(1))),
                    verdict => verdict,
                }
            }
            (_, "times") => judge_number(value, 1, 100_000),
            (_, "value") if value.is_empty() && self.value(1).is_empty() => {
                Verdict::Blocks("a value, or a key for a tombstone".into())
            }
            (_, "value") if value.is_empty() => Verdict::Warns("a tombstone: deletes the key".into()),
            (_, "acks") if value != "all" => Verdict::Warns("may be lost when a broker dies".into()),
            _ => Verdict::Fine,
        }
    }

    fn judge_name(&self, name: &str) -> Verdict {
        let legal = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
        if name.is_empty() {
            Verdict::Blocks("needs a name".into())
        } else if self.topics.iter().any(|topic| *topic.name == *name) {
            Verdict::Blocks("exists already".into())
        } else if name == "." || name == ".." || name.len() > 249 || !name.chars().all(legal) {
            Verdict::Blocks("letters, digits, . _ - only, at most 249".into())
        } else if name.contains('.') && name.contains('_') {
            Verdict::Warns("mixes . and _: metrics cannot tell them apart".into())
        } else {
            Verdict::Fine
        }
    }

    fn judge_topic(&self, name: &str) -> Verdict {
        if name.is_empty() {
            Verdict::Blocks("needs a topic".into())
        } else if self.topic().is_some() || self.topics.is_empty() {
            Verdict::Fine
        } else {
            Verdict::Blocks("there is no such topic".into())
        }
    }

    fn judge_min_isr(&self, value: &str) -> Verdict {
        let replicas: u64 = self.value(2).parse().unwrap_or(1);
        match judge_number(value, 1, replicas) {
            Verdict::Blocks(_) => Verdict::Blocks(format!("1 to {replicas}, its replicas")),
            _ if value.parse() == Ok(replicas) && replicas > 1 => {
                Verdict::Warns("one dead broker stops acks=all".into())
            }
            verdict => verdict,
        }
    }

    /// The first field that blocks.
    fn blocked(&self) -> Option<usize> {
        (0..self.fields.len()).find(|&place| matches!(self.verdict(place), Verdict::Blocks(_)))
    }

    /// A key.
    pub fn key(&mut self, key: &KeyEvent) -> Outcome {
        let count = self.fields.len();
        let shift = key.modifiers.contains(KeyModifiers::SHIFT);
        match key.code {
            KeyCode::Esc => return Outcome::close(),
            KeyCode::Enter => return self.send(),
            KeyCode::BackTab => self.focus = (self.focus + count - 1) % count,
            KeyCode::Tab if shift => self.focus = (self.focus + count - 1) % count,
            KeyCode::Tab => self.focus = (self.focus + 1) % count,
            _ => {}
        }
        let on_topic = self.focus == 0 && self.kind != Kind::NewTopic;
        match (&mut self.fields[self.focus].content, key.code) {
            (Content::Choice(options, place), KeyCode::Up | KeyCode::Left) => {
                *place = (*place + options.len() - 1) % options.len();
            }
            (Content::Choice(options, place), KeyCode::Down | KeyCode::Right | KeyCode::Char(' ')) => {
                *place = (*place + 1) % options.len();
            }
            (Content::Text(_), KeyCode::Up | KeyCode::Down) if on_topic => self.next_topic(key.code == KeyCode::Down),
            (Content::Text(_), KeyCode::Up) => self.focus = self.focus.saturating_sub(1),
            (Content::Text(_), KeyCode::Down) => self.focus = (self.focus + 1).min(count - 1),
            (Content::Text(_), KeyCode::Tab | KeyCode::BackTab) => {}
            (Content::Text(input), _) => {
                if edit(input, key) && on_topic {
                    return Outcome::ask(Cmd::AskTopics(String::new()));
                }
            }
            (Content::Choice(..), _) => {}
        }
        Outcome::stay()
    }

    /// Pasted text goes into the field with the focus.
    pub fn paste(&mut self, pasted: &str) -> Outcome {
        if let Content::Text(input) = &mut self.fields[self.focus].content {
            insert(input, pasted);
        }
        Outcome::stay()
    }

    fn next_topic(&mut self, forward: bool) {
        let now = self.topics.iter().position(|topic| *topic.name == *self.value(0));
        let count = self.topics.len();
        if count == 0 {
            return;
        }
        let next = match (now, forward) {
            (None, _) => 0,
            (Some(place), true) => (place + 1) % count,
            (Some(place), false) => (place + count - 1) % count,
        };
        self.fields[0].content = Content::Text(Input::new(self.topics[next].name.to_string()));
    }

    fn send(&mut self) -> Outcome {
        if let Some(place) = self.blocked() {
            self.focus = place;
            return Outcome::stay();
        }
        match self.kind {
            Kind::Produce => {
                self.sent += 1;
                Outcome::ask(Cmd::Produce(self.draft()))
            }
            Kind::Consume => {
                let from = match self.value(1) {
                    choice if choice == FROM[1] => TailFrom::Start,
                    choice if choice == FROM[2] => TailFrom::End,
                    _ => TailFrom::Last(20),
                };
                Outcome::done(Cmd::OpenTail(self.value(0).to_string(), from))
            }
            Kind::NewTopic => Outcome::done(Cmd::Run(self.create_line())),
        }
    }

    fn draft(&self) -> ProduceDraft {
        let some = |value: &str| (!value.is_empty()).then(|| value.to_string());
        ProduceDraft {
            topic: self.value(0).to_string(),
            key: some(self.value(1)),
            value: some(self.value(2)),
            partition: self.value(3).parse().ok(),
            headers: Vec::new(),
            count: self.value(4).parse().unwrap_or(1),
            acks: match self.value(5) {
                "0" => Acks::None,
                "1" => Acks::Leader,
                _ => Acks::All,
            },
        }
    }

    /// The line of the command language a new topic is.
    fn create_line(&self) -> String {
        let mut line =
            format!("topic create {} --partitions {} --replicas {}", self.value(0), self.value(1), self.value(2));
        if !self.value(3).is_empty() {
            line.push_str(&format!(" --config min.insync.replicas={}", self.value(3)));
        }
        if self.value(4) == "compact" {
            line.push_str(" --config cleanup.policy=compact");
        }
        line
    }

    /// The equal command line of Kafka's own tools.
    fn same_as(&self) -> String {
        if self.bootstrap.is_empty() {
            // Kafka's tools cannot get at a simulated world.
            return String::new();
        }
        let server = &self.bootstrap;
        let topic = if self.value(0).is_empty() { "NAME" } else { self.value(0) };
        match self.kind {
            Kind::Produce => format!(
                "kafka-console-producer.sh --bootstrap-server {server} --topic {topic} --producer-property acks={}",
                self.value(5)
            ),
            Kind::Consume => format!(
                "kafka-console-consumer.sh --bootstrap-server {server} --topic {topic}{}",
                if self.value(1) == FROM[1] { " --from-beginning" } else { "" }
            ),
            Kind::NewTopic => {
                let mut line = format!(
                    "kafka-topics.sh --bootstrap-server {server} --create --topic {topic} \
                     --partitions {} --replication-factor {}",
                    self.value(1),
                    self.value(2)
                );
                if !self.value(3).is_empty() {
                    line.push_str(&format!(" --config min.insync.replicas={}", self.value(3)));
                }
                if self.value(4) == "compact" {
                    line.push_str(" --config cleanup.policy=compact");
                }
                line
            }
        }
    }

    /// Draws the form.
    pub fn draw(&self, pen: &mut Pen<'_>, _view: &ClusterView, area: Rect) {
        let theme = pen.theme;
        let (title, verb) = match self.kind {
            Kind::Produce => ("Produce", "send"),
            Kind::Consume => ("Consume", "read"),
            Kind::NewTopic => ("New topic", "create"),
        };
        let button = match self.blocked() {
            Some(place) => format!("{verb} (fix {})", self.fields[place].label),
            None => verb.to_string(),
        };
        let keys = [("↵", button.as_str()), ("Tab", "next field"), ("Esc", "close")];
        let width = 92.min(area.width.saturating_sub(2));
        let same_as = match self.same_as().as_str() {
            "" => Vec::new(),
            line => wrap(line, width.saturating_sub(14)),
        };
        let height = self.fields.len() as u16 + same_as.len() as u16 + 9;
        let inside = dialog(pen, area, width, height, Role::Focus, title, &keys);
        let mut y = inside.y + 1;
        let cells = (inside.width * 2 / 5).max(20).min(inside.width.saturating_sub(14));
        for (place, entry) in self.fields.iter().enumerate() {
            if y >= inside.bottom() {
                return;
            }
            let focused = place == self.focus;
            let label = if focused { theme.bold(Role::Focus) } else { theme.fg(Role::Dim) };
            pen.text(inside.x, y, 13, entry.label, label);
            let x = inside.x + 14;
            match &entry.content {
                Content::Text(input) => {
                    field(pen, x, y, cells, input, focused);
                }
                Content::Choice(options, chosen) => {
                    if focused {
                        pen.ground(Rect { x, y, width: cells, height: 1 }, Ground::Sel);
                    }
                    let text =
                        if focused { format!("‹ {} ›", options[*chosen]) } else { options[*chosen].to_string() };
                    pen.text(x, y, cells, &text, theme.bold(Role::Text));
                }
            }
            let (glyph, words, role) = match self.verdict(place) {
                Verdict::Fine => (glyphs::DONE, String::new(), Role::Sync),
                Verdict::Warns(words) => (glyphs::ATTENTION, words, Role::Lag),
                Verdict::Blocks(words) => (glyphs::DEAD, words, Role::Dead),
            };
            let at = x + cells + 1;
            pen.text(at, y, inside.right().saturating_sub(at), &format!("{glyph} {words}"), theme.fg(role));
            y += 1;
        }
        y += 1;
        if y < inside.bottom() {
            pen.text(inside.x, y, inside.width, self.fields[self.focus].help, theme.fg(Role::Dim));
        }
        y += 2;
        for (row, line) in same_as.iter().enumerate() {
            if y < inside.bottom() {
                let label = if row == 0 { "Same as       " } else { "              " };
                pen.pieces(
                    inside.x,
                    y,
                    inside.width,
                    &[piece(label, theme.fg(Role::Faint)), piece(line.as_str(), theme.fg(Role::Dim))],
                );
            }
            y += 1;
        }
    }
}

fn judge_number(value: &str, least: u64, most: u64) -> Verdict {
    match value.parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Verdict::Fine,
        _ => Verdict::Blocks(format!("a number from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(form: &mut Form, code: KeyCode) -> Outcome {
        form.key(&KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn a_blocked_form_is_not_sent_and_the_focus_goes_to_the_field() {
        let mut form = Form::new(Kind::NewTopic, "", &ClusterView::default());
        form.focus = 2;
        assert_eq!(press(&mut form, KeyCode::Enter), Outcome::stay());
        assert_eq!(form.focus, 0);
        for character in "or ders".chars() {
            press(&mut form, KeyCode::Char(character));
        }
        assert!(matches!(form.verdict(0), Verdict::Blocks(_)));
        press(&mut form, KeyCode::Backspace);
    }

    #[test]
    fn a_new_topic_is_a_line_of_the_command_language() {
        let mut form = Form::new(Kind::NewTopic, "orders", &ClusterView::default());
        form.brokers = 3;
        form.fields[2] = text("replicas", "3", "");
        form.fields[3] = text("min in sync", "2", "");
        let line = "topic create orders --partitions 6 --replicas 3 --config min.insync.replicas=2";
        assert_eq!(press(&mut form, KeyCode::Enter), Outcome::done(Cmd::Run(line.into())));
    }

    #[test]
    fn an_empty_value_with_a_key_is_a_tombstone() {
        let mut form = Form::new(Kind::Produce, "orders", &ClusterView::default());
        assert!(matches!(form.verdict(2), Verdict::Blocks(_)));
        form.fields[1] = text("key", "k", "");
        assert!(matches!(form.verdict(2), Verdict::Warns(_)));
        assert_eq!(form.draft().value, None);
    }
}

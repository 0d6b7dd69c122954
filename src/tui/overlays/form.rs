//! Forms: produce, consume, new topic, alter a topic. Every field is judged while it is typed, and the equal Kafka command line is
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
//! Invariants: a form with a blocked field is never sent, the button names the field; judging is pure (`verdict`). A form that alters
//! names only what it changes.

mod picture;
mod verdict;

pub use verdict::Verdict;

use super::{Outcome, edit, insert};
use crate::cluster::command::values::duration_text;
use crate::cluster::view::{
    Acks, ClusterView, PlacementRequest, ProduceDraft, TailFrom, TailRecord, TopicDetail, TopicSummary,
};
use crate::tui::msg::Cmd;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::time::Duration;
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
    /// Change a topic.
    AlterTopic,
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

/// The topic that is altered, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Subject {
    name: String,
    partitions: u32,
    replicas: u32,
    short: u32,
    min_isr: String,
    cleanup: String,
    retention: String,
}

/// The state of a form.
#[derive(Debug, Clone)]
pub struct Form {
    /// Which form.
    pub kind: Kind,
    fields: Vec<Field>,
    focus: usize,
    topics: Vec<TopicSummary>,
    subject: Option<Subject>,
    /// The record that is sent again: what is not typed anew stays what it was, also where text does not tell (empty, or none).
    again: Option<ProduceDraft>,
    brokers: usize,
    alive: usize,
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
const CLEANUP: &[&str] = &["delete", "compact", "compact,delete"];
/// What stands for a retention without end.
const FOREVER: &str = "forever";
/// At most so many partitions are shown in the preview of a placement.
const PREVIEW_MAX: u32 = 12;

const CLEANUP_HELP: &str = "cleanup.policy: delete old records, keep the newest of each key, or both.";
const KEEP_HELP: &str = "retention.ms: how long records are kept: 90m, 7d, forever. Empty: the cluster's.";
const MIN_ISR_HELP: &str = "min.insync.replicas: acks=all needs so many copies. Empty: the cluster's.";
const SETTINGS_HELP: &str = "Any other setting: segment.bytes=1048576 max.message.bytes=2000000 …";

fn fields(kind: Kind, topic: &str, brokers: usize, subject: Option<&Subject>) -> Vec<Field> {
    match (kind, subject) {
        (Kind::Produce, _) => vec![
            text("topic", topic, "Where to. Tab goes on, ↑ ↓ change a choice."),
            text("key", "", "Records with the same key go to the same partition, in order. Empty: no key."),
            text("value", "", "The record. Empty: a tombstone, which deletes its key in a compacted topic."),
            text("partition", "", "Empty: by the key's hash, or in turn without a key."),
            text("times", "1", "How many copies to send."),
            choice("acks", ACKS, 0, "all: every in-sync replica has it. 1: the leader has it. 0: nobody is asked."),
            text("headers", "", "Names and values: trace=7f3a source=web"),
        ],
        (Kind::Consume, _) => vec![
            text("topic", topic, "What to read."),
            choice("from", FROM, 0, "Where to begin. The tail follows from there."),
        ],
        (Kind::AlterTopic, Some(subject)) => {
            let cleanup = CLEANUP.iter().position(|policy| *policy == subject.cleanup).unwrap_or(0);
            vec![
                text("partitions", &subject.partitions.to_string(), "It can grow, never shrink."),
                text("min in sync", &subject.min_isr, MIN_ISR_HELP),
                choice("clean-up", CLEANUP, cleanup, CLEANUP_HELP),
                text("keep for", &subject.retention, KEEP_HELP),
                text("settings", "", SETTINGS_HELP),
            ]
        }
        (Kind::NewTopic | Kind::AlterTopic, _) => vec![
            text("name", topic, "Letters, digits, dot, dash, underscore."),
            text("partitions", "6", "How many logs it is split into. It can grow later, never shrink."),
            text("replicas", &brokers.clamp(1, 3).to_string(), "How many brokers have a copy of each log."),
            text("min in sync", "", MIN_ISR_HELP),
            choice("clean-up", CLEANUP, 0, CLEANUP_HELP),
            text("keep for", "", KEEP_HELP),
            text("settings", "", SETTINGS_HELP),
        ],
    }
}

impl Subject {
    fn of(detail: &TopicDetail) -> Subject {
        let retention = detail.value("retention.ms").unwrap_or_default();
        Subject {
            name: detail.row.name.to_string(),
            partitions: detail.row.partitions,
            replicas: detail.row.replicas,
            short: detail.row.under_replicated,
            min_isr: detail.row.min_isr.to_string(),
            cleanup: detail.row.cleanup.clone(),
            retention: retention.parse().map_or(FOREVER.to_owned(), |ms| duration_text(Duration::from_millis(ms))),
        }
    }
}

impl Form {
    /// A form for a topic (empty: none chosen yet).
    pub fn new(kind: Kind, topic: &str, view: &ClusterView) -> Form {
        Form::about(kind, topic, None, view)
    }

    /// The form that changes a topic; with a setting (`segment.bytes=…`), that is what is to be typed on.
    pub fn alter(detail: &TopicDetail, setting: Option<&str>, view: &ClusterView) -> Form {
        let mut form = Form::about(Kind::AlterTopic, "", Some(Subject::of(detail)), view);
        if let Some(setting) = setting {
            form.focus = form.fields.len() - 1;
            form.fields[form.focus].content = Content::Text(Input::new(setting.to_owned()));
        }
        form
    }

    /// The form that sends a record again, which may be changed before.
    pub fn again(topic: &str, record: &TailRecord, view: &ClusterView) -> Form {
        let mut form = Form::about(Kind::Produce, topic, None, view);
        let shown = |part: &Option<String>| part.clone().unwrap_or_default();
        let headers: Vec<String> = record.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let partition = record.partition.to_string();
        for (label, value) in [
            ("key", shown(&record.key)),
            ("value", shown(&record.value)),
            ("partition", partition),
            ("headers", headers.join(" ")),
        ] {
            if let Some(field) = form.fields.iter_mut().find(|field| field.label == label) {
                field.content = Content::Text(Input::new(value));
            }
        }
        form.focus = 2;
        form.again = Some(ProduceDraft {
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
            ..ProduceDraft::default()
        });
        form
    }

    fn about(kind: Kind, topic: &str, subject: Option<Subject>, view: &ClusterView) -> Form {
        Form {
            kind,
            fields: fields(kind, topic, view.brokers.len(), subject.as_ref()),
            focus: usize::from(kind == Kind::Produce && !topic.is_empty()),
            topics: Vec::new(),
            subject,
            again: None,
            brokers: view.brokers.len(),
            alive: view.brokers.iter().filter(|card| card.state.answers()).count(),
            bootstrap: view.host.bootstrap_servers.split(',').next().unwrap_or_default().to_string(),
            sent: 0,
        }
    }

    /// Whether its first field is a topic that exists.
    fn asks_for_topic(&self) -> bool {
        matches!(self.kind, Kind::Produce | Kind::Consume)
    }

    /// The topics there are, for judging and completing.
    pub fn topics(&mut self, topics: Vec<TopicSummary>) {
        if self.value(0).is_empty()
            && self.asks_for_topic()
            && let Some(first) = topics.iter().find(|topic| !topic.internal)
        {
            self.fields[0].content = Content::Text(Input::new(first.name.to_string()));
        }
        self.topics = topics;
    }

    /// The placement that is to be previewed: of the partitions that do not exist yet.
    pub fn placement(&self) -> Option<PlacementRequest> {
        let partitions: u32 = self.get("partitions").parse().ok()?;
        let (more, replicas) = match (self.kind, &self.subject) {
            (Kind::NewTopic, _) => (partitions, self.get("replicas").parse().ok().filter(|count| *count > 0)?),
            (Kind::AlterTopic, Some(subject)) => (partitions.checked_sub(subject.partitions)?, subject.replicas),
            _ => return None,
        };
        (more > 0 && partitions <= verdict::PARTITIONS_MAX)
            .then_some(PlacementRequest { partitions: more.min(PREVIEW_MAX), replicas })
    }

    /// What a field holds; empty where the form has no such field.
    fn get(&self, label: &str) -> &str {
        self.fields.iter().position(|field| field.label == label).map_or("", |place| self.value(place))
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
        let on_topic = self.focus == 0 && self.asks_for_topic();
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
                let from = match self.get("from") {
                    choice if choice == FROM[1] => TailFrom::Start,
                    choice if choice == FROM[2] => TailFrom::End,
                    _ => TailFrom::Last(20),
                };
                Outcome::done(Cmd::OpenTail(self.value(0).to_string(), from))
            }
            Kind::NewTopic | Kind::AlterTopic => match self.line() {
                Some(line) => Outcome::done(Cmd::Run(line)),
                None => Outcome::stay(),
            },
        }
    }

    fn draft(&self) -> ProduceDraft {
        // What was not touched is sent as it was, to the blank.
        let part = |label: &str, before: fn(&ProduceDraft) -> &Option<String>| {
            let typed = self.get(label);
            match self.again.as_ref().map(before) {
                Some(before) if before.as_deref().unwrap_or_default().trim() == typed => before.clone(),
                _ => (!typed.is_empty()).then(|| typed.to_string()),
            }
        };
        ProduceDraft {
            topic: self.get("topic").to_string(),
            key: part("key", |draft| &draft.key),
            value: part("value", |draft| &draft.value),
            partition: self.get("partition").parse().ok(),
            headers: self.headers(),
            count: self.get("times").parse().unwrap_or(1),
            acks: match self.get("acks") {
                "0" => Acks::None,
                "1" => Acks::Leader,
                _ => Acks::All,
            },
        }
    }

    fn headers(&self) -> Vec<(String, String)> {
        let typed = self.get("headers");
        let joined = |headers: &[(String, String)]| {
            headers.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        match &self.again {
            Some(before) if joined(&before.headers).trim() == typed => before.headers.clone(),
            _ => {
                let pairs = typed.split_whitespace().filter_map(|word| word.split_once('='));
                pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            }
        }
    }

    /// The settings that are set or changed, as `KEY=VALUE`.
    fn settings(&self) -> Vec<String> {
        let before = |of: fn(&Subject) -> &str| self.subject.as_ref().map_or("", of).to_owned();
        let default_cleanup =
            if self.subject.is_some() { before(|subject| &subject.cleanup) } else { "delete".to_owned() };
        let mut settings = Vec::new();
        let mut add = |key: &str, value: &str, before: &str| {
            if !value.is_empty() && value != before {
                settings.push(format!("{key}={value}"));
            }
        };
        add("min.insync.replicas", self.get("min in sync"), &before(|subject| &subject.min_isr));
        add("cleanup.policy", self.get("clean-up"), &default_cleanup);
        let kept = self.get("keep for");
        if kept != before(|subject| &subject.retention) {
            add("retention.ms", &verdict::retention_ms(kept).unwrap_or_default(), "");
        }
        settings.extend(self.get("settings").split_whitespace().map(str::to_owned));
        settings
    }

    /// How many partitions there shall be, if that changes.
    fn more_partitions(&self) -> Option<u32> {
        let before = self.subject.as_ref()?.partitions;
        self.get("partitions").parse().ok().filter(|count| *count > before)
    }

    /// The line of the command language a topic's form is; `None` while nothing is changed.
    fn line(&self) -> Option<String> {
        let mut line = match &self.subject {
            None => {
                let (name, partitions, replicas) = (self.get("name"), self.get("partitions"), self.get("replicas"));
                format!("topic create {name} --partitions {partitions} --replicas {replicas}")
            }
            Some(subject) => format!("topic alter {}", subject.name),
        };
        let more = self.more_partitions();
        if let Some(count) = more {
            line.push_str(&format!(" --partitions {count}"));
        }
        let settings = self.settings();
        for setting in &settings {
            line.push_str(&format!(" --config {setting}"));
        }
        (self.subject.is_none() || more.is_some() || !settings.is_empty()).then_some(line)
    }

    /// The equal command lines of Kafka's own tools.
    fn same_as(&self) -> Vec<String> {
        if self.bootstrap.is_empty() {
            // Kafka's tools cannot get at a simulated world.
            return Vec::new();
        }
        let server = &self.bootstrap;
        let topic = if self.value(0).is_empty() { "NAME" } else { self.value(0) };
        match (self.kind, &self.subject) {
            (Kind::Produce, _) => vec![format!(
                "kafka-console-producer.sh --bootstrap-server {server} --topic {topic} --producer-property acks={}",
                self.get("acks")
            )],
            (Kind::Consume, _) => vec![format!(
                "kafka-console-consumer.sh --bootstrap-server {server} --topic {topic}{}",
                if self.get("from") == FROM[1] { " --from-beginning" } else { "" }
            )],
            (Kind::AlterTopic, Some(subject)) => {
                let topics = self.more_partitions().map(|count| {
                    format!(
                        "kafka-topics.sh --bootstrap-server {server} --alter --topic {} --partitions {count}",
                        subject.name
                    )
                });
                let settings = self.settings().join(",");
                let configs = (!settings.is_empty()).then(|| {
                    format!(
                        "kafka-configs.sh --bootstrap-server {server} --alter --topic {} --add-config {settings}",
                        subject.name
                    )
                });
                topics.into_iter().chain(configs).collect()
            }
            (Kind::NewTopic | Kind::AlterTopic, _) => {
                let mut line = format!(
                    "kafka-topics.sh --bootstrap-server {server} --create --topic {topic} \
                     --partitions {} --replication-factor {}",
                    self.get("partitions"),
                    self.get("replicas")
                );
                for setting in self.settings() {
                    line.push_str(&format!(" --config {setting}"));
                }
                vec![line]
            }
        }
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
        form.fields[5] = text("keep for", "1h 30m", "");
        form.fields[6] = text("settings", "segment.bytes=1048576", "");
        let line = format!("{line} --config retention.ms=5400000 --config segment.bytes=1048576");
        assert_eq!(press(&mut form, KeyCode::Enter), Outcome::done(Cmd::Run(line.clone())));
        assert!(line.parse::<crate::cluster::command::Command>().is_ok());
    }

    fn altered(form: &mut Form, values: [&str; 4]) -> Option<String> {
        for (place, value) in [0, 1, 3, 4].into_iter().zip(values) {
            form.fields[place].content = Content::Text(Input::new(value.to_owned()));
        }
        match press(form, KeyCode::Enter).cmds.pop() {
            Some(Cmd::Run(line)) => Some(line),
            _ => None,
        }
    }

    #[test]
    fn a_form_that_alters_names_what_it_changes_and_nothing_else() {
        let mut form = Form::about(
            Kind::AlterTopic,
            "",
            Some(Subject {
                name: "orders".into(),
                partitions: 6,
                replicas: 3,
                short: 0,
                min_isr: "2".into(),
                cleanup: "delete".into(),
                retention: "7days".into(),
            }),
            &ClusterView::default(),
        );
        let mut line = |values| altered(&mut form, values);
        assert_eq!(line(["6", "2", "7days", ""]), None, "nothing is changed");
        assert_eq!(line(["5", "2", "7days", ""]), None, "partitions cannot go");
        assert_eq!(line(["8", "2", "7days", ""]).as_deref(), Some("topic alter orders --partitions 8"));
        assert_eq!(line(["6", "2", "forever", ""]).as_deref(), Some("topic alter orders --config retention.ms=-1"));
        assert_eq!(line(["6", "2", "7days", "no.such.setting=1"]), None);
        assert_eq!(line(["6", "2", "7days", "segment.bytes=x"]), None);
        let all = line(["8", "1", "2d", "segment.bytes=1048576"]).expect("all of it is right");
        assert!(all.parse::<crate::cluster::command::Command>().is_ok(), "{all}");
    }

    /// Text cannot tell an empty key from none, nor a blank at an end: what is sent again and was not touched is exactly what it was.
    #[test]
    fn a_record_is_sent_again_as_it_was() {
        let record = TailRecord {
            partition: 2,
            key: Some(String::new()),
            value: Some(" {\"a\":1}\n".into()),
            headers: vec![("trace id".into(), "7 f".into()), ("none".into(), String::new())],
            ..TailRecord::default()
        };
        let mut form = Form::again("orders", &record, &ClusterView::default());
        let draft = form.draft();
        assert_eq!((draft.key, draft.value, draft.headers), (record.key.clone(), record.value.clone(), record.headers));
        assert_eq!((draft.partition, draft.count), (Some(2), 1));
        press(&mut form, KeyCode::Char('x'));
        assert_ne!(form.draft().value, record.value, "what is typed counts");
        let tombstone = TailRecord { key: Some("k".into()), ..TailRecord::default() };
        assert_eq!(Form::again("orders", &tombstone, &ClusterView::default()).draft().value, None);
        let empty = TailRecord { value: Some(String::new()), ..tombstone };
        assert_eq!(Form::again("orders", &empty, &ClusterView::default()).draft().value, Some(String::new()));
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

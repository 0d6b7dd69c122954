//! What a demo consists of.
//!
//! Invariants: every part knows its line in the file; a question has one right choice at least, and every wrong one a sentence that says
//! why.
//!
//! Deliberately not here: Markdown (`parse`).

use crate::cluster::command::{Command, Predicate};
use std::ops::Range;
use std::time::Duration;

/// A demo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demo {
    /// What it is called by: its file's name without `.md`.
    pub name: String,
    /// Its file, as it was named.
    pub file: String,
    /// Its title.
    pub title: String,
    /// What one learns from it, in a few words.
    pub teaches: String,
    /// How many brokers its cluster has.
    pub brokers: u8,
    /// The seed of its simulated world.
    pub seed: u64,
    /// Whether it also holds on real sockets.
    pub is_live: bool,
    /// Its parts under their headings. What comes before the first heading has the demo's title.
    pub scenes: Vec<Scene>,
    /// The whole text.
    pub source: String,
}

/// What stands under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// The heading.
    pub title: String,
    /// In order.
    pub parts: Vec<Part>,
}

/// A piece of a scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Something is told.
    Told(Paragraph),
    /// Something is done.
    Done(Block),
    /// Something is asked.
    Asked(Question),
}

/// A paragraph, or an item of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paragraph {
    /// Its line in the file, from 1.
    pub line: usize,
    /// Whether it is an item of a list.
    pub is_item: bool,
    /// Its text.
    pub spans: Vec<Span>,
}

impl Paragraph {
    /// Its words without marks.
    pub fn text(&self) -> String {
        self.spans.iter().map(Span::text).collect()
    }
}

/// A piece of text of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// Plain words.
    Plain(String),
    /// What is stressed.
    Strong(String),
    /// A name, a setting, a command.
    Code(String),
    /// A statement about the cluster that has to be true when it is told.
    Claim(Predicate, String),
}

impl Span {
    /// Its words.
    pub fn text(&self) -> &str {
        match self {
            Span::Plain(text) | Span::Strong(text) | Span::Code(text) | Span::Claim(_, text) => text,
        }
    }
}

/// Commands that are given one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Block {
    /// One command a line.
    pub lines: Vec<Line>,
    /// What the last one has to answer, if the demo says it.
    pub expected: Option<Expected>,
}

/// One command of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its line in the file, from 1.
    pub number: usize,
    /// As it stands there.
    pub text: String,
    /// Whether it has to be refused (`! produce …`): its answer is then the reason.
    pub is_refused: bool,
    /// What it does.
    pub action: Action,
}

/// What a line of a block does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A command of the command language.
    Command(Box<Command>),
    /// `run 2s`: time passes.
    Pass(Duration),
    /// `pace 0.1`: how fast time passes for whoever watches, in thousandths.
    Pace(u32),
    /// `focus cluster orders-0`: where whoever watches should look.
    Focus(String),
    /// `mark NAME`: a moment to come back to.
    Mark(String),
}

/// What a command has to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The first line of the answer in the file, from 1.
    pub line: usize,
    /// Where the answer stands in the source, in bytes.
    pub range: Range<usize>,
    /// The answer.
    pub text: String,
}

/// A prediction before the reveal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its line in the file, from 1.
    pub line: usize,
    /// What is asked.
    pub text: String,
    /// What can be answered.
    pub choices: Vec<Choice>,
}

/// An answer to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The answer.
    pub text: String,
    /// Whether it is right.
    pub is_right: bool,
    /// What is said when it was chosen, and with the reveal.
    pub sentence: String,
}

impl Demo {
    /// Every command of it, in order.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.blocks().flat_map(|block| &block.lines)
    }

    /// Every block of commands, in order.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.scenes.iter().flat_map(|scene| &scene.parts).filter_map(|part| match part {
            Part::Done(block) => Some(block),
            Part::Told(_) | Part::Asked(_) => None,
        })
    }
}

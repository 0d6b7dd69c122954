//! A lesson as the console shows it: what was told so far, and whether it waits for its reader.
//!
//! Deliberately not here: what a demo consists of (`cluster::demo`), and how it is played.

use super::PartitionName;
use crate::cluster::demo::{Demo, Told};
use std::sync::Arc;

/// A lesson at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct LessonView {
    /// Which one.
    pub demo: Arc<Demo>,
    /// The scene that is told, by its place in the demo.
    pub scene: usize,
    /// What was told of it, in order. A question that was asked last is not answered yet.
    pub told: Arc<[Page]>,
    /// Whether it goes on by itself.
    pub state: LessonState,
    /// How many beats were told, and how many there are.
    pub beats: (usize, usize),
    /// How many questions were answered at the first try, and how many were asked and answered.
    pub score: (u32, u32),
    /// Whether one can go back.
    pub can_go_back: bool,
    /// The partition that it is about.
    pub focus: Option<PartitionName>,
}

/// A piece of what was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The beat.
    pub told: Told,
    /// Of a question: which choice the reader made; `None` before, and where it was skipped.
    pub chosen: Option<usize>,
    /// Of a question: whether the right answer was shown.
    pub is_revealed: bool,
}

/// What a lesson does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LessonState {
    /// It waits for the reader to go on.
    Waits,
    /// It waits for an answer.
    Asks,
    /// The cluster's time passes until what this line says has come.
    Runs(String),
    /// It is over.
    Over,
    /// The cluster is no longer what the lesson says: expected and seen, in a few lines.
    Broken(String),
}

/// What a reader does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// On: the next step, or the answer to the question.
    Next,
    /// Back to where it waited before.
    Back,
    /// From the beginning.
    Again,
    /// Choose an answer, by its place.
    Choose(usize),
}

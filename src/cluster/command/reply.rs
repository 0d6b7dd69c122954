//! What came of a command, and who executes one.
//!
//! Invariants: a reply is told in words for people and as JSON for programs, both from the same facts; `exit_code` is
//! what the process of `kafkarium ctl` ends with (0 done, else one of [`Reply`]'s constants).
//!
//! Deliberately not here: how a command is carried out.

use super::Command;
use crate::cluster::view::Outcome;
use serde_json::Value;

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It is done.
    Done {
        /// For people: a sentence, or lines of output. No newline at the end. May be empty.
        text: String,
        /// The same for programs; `null` if there is nothing to tell.
        data: Value,
    },
    /// It failed and nothing changed, or the reason says what did.
    Failed {
        /// What failed, and why: `broker 2 is not running`.
        reason: String,
        /// With what a process ends: one of the constants below.
        exit_code: u8,
    },
}

impl Reply {
    /// It failed, or an expectation does not hold.
    pub const FAILED: u8 = 1;
    /// The command is no sentence of the language.
    pub const USAGE: u8 = 2;
    /// This cluster cannot do it (a simulated one only, a remote one).
    pub const UNAVAILABLE: u8 = 3;
    /// It was not done in the time given.
    pub const TIMED_OUT: u8 = 4;

    /// Done, with a sentence and nothing else to tell.
    pub fn done(text: impl Into<String>) -> Reply {
        Reply::Done { text: text.into(), data: Value::Null }
    }

    /// Done, told twice.
    pub fn told(text: impl Into<String>, data: Value) -> Reply {
        Reply::Done { text: text.into(), data }
    }

    /// Failed.
    pub fn failed(reason: impl Into<String>) -> Reply {
        Reply::Failed { reason: reason.into(), exit_code: Reply::FAILED }
    }

    /// Not something this cluster can do.
    pub fn unavailable(reason: impl Into<String>) -> Reply {
        Reply::Failed { reason: reason.into(), exit_code: Reply::UNAVAILABLE }
    }

    /// Not done in time.
    pub fn timed_out(reason: impl Into<String>) -> Reply {
        Reply::Failed { reason: reason.into(), exit_code: Reply::TIMED_OUT }
    }

    /// As a console shows it: one line is a sentence, several are output.
    pub fn outcome(self) -> Outcome {
        match self {
            Reply::Done { text, .. } => {
                let mut lines = text.lines().map(str::to_owned);
                let summary = lines.next().unwrap_or_default();
                let rest: Vec<String> = lines.collect();
                if rest.is_empty() {
                    Outcome::Done { summary, output: Vec::new() }
                } else {
                    Outcome::Done { summary: String::new(), output: std::iter::once(summary).chain(rest).collect() }
                }
            }
            Reply::Failed { reason, .. } => Outcome::Failed { reason, next: String::new() },
        }
    }

    /// Whether it is done.
    pub fn is_done(&self) -> bool {
        matches!(self, Reply::Done { .. })
    }
}

/// Executes commands. Calls come from several threads at once and block until the command is done: `kill 2` until the
/// broker is dead, `start 2` until it answers on its port and is unfenced, `wait` until its time is over.
pub trait Execute: Send + Sync {
    /// Carries out one command.
    fn execute(&self, command: Command) -> Reply;
}

impl<T: Execute + ?Sized> Execute for std::sync::Arc<T> {
    fn execute(&self, command: Command) -> Reply {
        (**self).execute(command)
    }
}

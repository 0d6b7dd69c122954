//! Data on standard output, narration on standard error.
//!
//! Invariants: the same bytes on a terminal and in a pipe; a closed pipe ends the program quietly; JSON is one object a
//! line.
//!
//! Deliberately not here: what is said.

use super::exit::Failure;
use serde::Serialize;
use std::io::{self, Write};

/// In which form data are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object a line
    Json,
}

/// Writes text and a newline, unless there is nothing to write.
pub fn text(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush().map_err(Failure::from)
}

/// Writes one line of JSON.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    text(&serde_json::to_string(value).expect("plain data is always JSON"))
}

/// Tells a person something, on standard error.
pub fn narrate(sentence: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr().lock(), "{sentence}");
}

//! From a line or from words to a [`Command`], and errors a person can use.
//!
//! Invariants: a line is split as a POSIX shell splits it (quotes, backslashes, `#` begins a comment); an unknown verb
//! is answered with the nearest one; an error is one sentence and, where it helps, the usage.
//!
//! Deliberately not here: the verbs.

use super::Command;
use super::catalogue::{documented, grammar};
use clap::FromArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::str::FromStr;

/// Why a line is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing was said.
    #[error("no command")]
    Empty,
    /// A quote is not closed.
    #[error("a quote is not closed")]
    Unclosed,
    /// Help was asked for: this is it.
    #[error("{0}")]
    Help(String),
    /// No such verb.
    #[error("no verb `{verb}`: did you mean `{nearest}`?")]
    UnknownVerb {
        /// What was said.
        verb: String,
        /// The nearest there is.
        nearest: String,
    },
    /// The verb is known, its arguments are wrong.
    #[error("{reason}")]
    Usage {
        /// What is wrong, in a sentence.
        reason: String,
        /// How it is meant: `kill <WHO>...`. Empty where that says nothing.
        usage: String,
    },
}

/// Splits a line into words.
pub fn split_words(line: &str) -> Result<Vec<String>, ParseError> {
    shlex::split(line).ok_or(ParseError::Unclosed)
}

/// Parses one line.
pub fn parse_line(line: &str) -> Result<Command, ParseError> {
    parse_words(&split_words(line)?)
}

/// Parses the words of one command.
pub fn parse_words(words: &[String]) -> Result<Command, ParseError> {
    if words.is_empty() {
        return Err(ParseError::Empty);
    }
    let mut grammar = grammar();
    let matches = grammar.try_get_matches_from_mut(words).map_err(|error| explain(error, words, &grammar))?;
    Command::from_arg_matches(&matches).map_err(|error| explain(error.format(&mut grammar), words, &grammar))
}

impl FromStr for Command {
    type Err = ParseError;
    fn from_str(line: &str) -> Result<Command, ParseError> {
        parse_line(line)
    }
}

/// Turns clap's error into ours.
fn explain(error: clap::Error, words: &[String], grammar: &clap::Command) -> ParseError {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ParseError::Help(error.render().to_string().trim_end().to_owned())
        }
        ErrorKind::InvalidSubcommand => {
            let said = match error.get(ContextKind::InvalidSubcommand) {
                Some(ContextValue::String(verb)) => verb.clone(),
                _ => words[0].clone(),
            };
            let noun: Vec<&str> = words.iter().map(String::as_str).take_while(|word| *word != said).collect();
            let verb = noun.iter().copied().chain([said.as_str()]).collect::<Vec<_>>().join(" ");
            let next = words.get(noun.len() + 1).map(String::as_str);
            ParseError::UnknownVerb { nearest: nearest_verb(&verb, next, grammar), verb }
        }
        _ => {
            let text = error.render().to_string();
            let reason = text.split("\n\n").next().unwrap_or(&text).trim().trim_start_matches("error: ");
            let usage = text.lines().find_map(|line| line.trim().strip_prefix("Usage: ")).unwrap_or_default();
            ParseError::Usage { reason: one_line(reason), usage: usage.trim().to_owned() }
        }
    }
}

/// A reason of several lines in one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The verb that is written most like what was said and, where a noun is misspelt, the word after it. The last word
/// alone counts too, so that `cut` finds `link cut`.
fn nearest_verb(said: &str, next: Option<&str>, grammar: &clap::Command) -> String {
    let said_last = said.rsplit(' ').next().unwrap_or(said);
    let with_next = next.map(|next| format!("{said} {next}"));
    let names = documented(grammar);
    names
        .iter()
        .map(|name| {
            let last = name.rsplit(' ').next().unwrap_or(name);
            let longer = with_next.as_ref().map_or(usize::MAX, |longer| 2 * edit_distance(longer, name));
            // A near miss of the whole name wins over an equally near one of its last word.
            (2 * edit_distance(said, name)).min(2 * edit_distance(said_last, last) + 1).min(longer)
        })
        .zip(&names)
        .min_by_key(|(distance, _)| *distance)
        .map_or_else(String::new, |(_, name)| name.clone())
}

/// How many letters have to be changed, added, taken away or swapped with their neighbour (optimal string alignment).
fn edit_distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

//! The command line: parse, run, and end with a number that means something.
//!
//! Invariants: data go to standard output, narration to standard error; what `--help` shows exists; the verbs of `ctl`
//! are the command language's own.
//!
//! Deliberately not here: anything a verb does (one file each).

pub mod consume;
mod ctl;
mod data;
pub mod events;
pub mod exit;
mod group;
pub mod host;
mod hunt;
mod manual;
pub mod output;
mod play;
pub mod ports;
mod produce;
pub mod ready;
mod records;
mod remote;
mod replay;
mod serve;
pub mod sim;
mod topics;
mod transaction;
mod up;
pub mod version;

use crate::cluster::command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use exit::{Exit, Outcome};
use std::ffi::OsString;
use std::process::ExitCode;

const ABOUT: &str = "A real multi-broker, Kafka-compatible cluster in one binary, shown living in the terminal: \
                     break it and watch it heal";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "kafkarium", about = ABOUT, version, long_version = version::long(), max_term_width = 100)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs", after_long_help = exit_codes())]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Host a cluster and show it in the console (the default)
    Up(Box<up::Up>),
    /// Host a cluster without the console
    Serve(Box<serve::Serve>),
    /// Send one command to a running kafkarium
    Ctl(ctl::Ctl),
    /// List, describe, create, alter and delete topics of any Kafka-compatible cluster
    #[command(visible_alias = "topic")]
    Topics(topics::Topics),
    /// List, describe, reset and delete consumer groups of any Kafka-compatible cluster
    #[command(visible_alias = "groups")]
    Group(group::Group),
    /// List, describe and abort transactions of any Kafka-compatible cluster
    #[command(visible_alias = "transactions")]
    Transaction(transaction::Transaction),
    /// Write records to any Kafka-compatible cluster
    Produce(Box<produce::Produce>),
    /// Read records of any Kafka-compatible cluster
    Consume(consume::Consume),
    /// Run the cluster in a seeded world with faults, every rule checked after every step
    Sim(sim::Sim),
    /// Play a demo: a lesson that is run
    Play(play::Play),
    /// List the demos that ship with the program
    Demos(play::Demos),
    /// Open a simulated run in the console, paused
    Replay(replay::Replay),
    /// Show, shrink or delete the data
    Data(data::Data),
    /// Write a completion script for a shell
    Completions(manual::Completions),
    /// Write the manual page
    Man(manual::Manual),
}

impl Verb {
    fn run(&self) -> Outcome {
        match self {
            Verb::Up(up) => up.run(),
            Verb::Serve(serve) => serve.run(),
            Verb::Ctl(ctl) => ctl.run(),
            Verb::Topics(topics) => topics.run(),
            Verb::Group(group) => group.run(),
            Verb::Transaction(transaction) => transaction.run(),
            Verb::Produce(produce) => produce.run(),
            Verb::Consume(consume) => consume.run(),
            Verb::Sim(sim) => sim.run(),
            Verb::Play(play) => play.run(),
            Verb::Demos(demos) => demos.run(),
            Verb::Replay(replay) => replay.run(),
            Verb::Data(data) => data.run(),
            Verb::Completions(completions) => completions.run(),
            Verb::Man(manual) => manual.run(),
        }
    }
}

fn exit_codes() -> String {
    let codes = Exit::ALL.iter().map(|(_, code, meaning)| format!("\n  {code:>2}  {meaning}")).collect::<String>();
    format!("Exit codes:{codes}")
}

/// The grammar of the whole command line, texts of the command language included.
pub fn grammar() -> clap::Command {
    Cli::command().mut_subcommand("ctl", command::document)
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    run_words(std::env::args_os().collect()).into()
}

fn run_words(words: Vec<OsString>) -> Exit {
    let words = with_default_verb(words);
    let parsed = grammar().try_get_matches_from(&words).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return refuse(&error.format(&mut grammar()), &words),
    };
    match cli.verb.run() {
        Ok(()) => Exit::Done,
        Err(failure) => {
            if !failure.reason.is_empty() {
                output::narrate(&format!("kafkarium: {}", failure.reason));
            }
            failure.exit
        }
    }
}

/// Without a verb it is `up`: its options may stand alone.
fn with_default_verb(mut words: Vec<OsString>) -> Vec<OsString> {
    let is_own = |word: &OsString| word == "-h" || word == "--help" || word == "-V" || word == "--version";
    let is_up = words.get(1).is_none_or(|first| first.to_string_lossy().starts_with('-') && !is_own(first));
    if is_up && !words.is_empty() {
        words.insert(1, "up".into());
    }
    words
}

/// Tells what is wrong with the command line, or the help that was asked for.
fn refuse(error: &clap::Error, words: &[OsString]) -> Exit {
    let said = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(verb)) if error.kind() == ErrorKind::InvalidSubcommand => Some(verb.clone()),
        _ => None,
    };
    let after_ctl = words.iter().position(|word| word == "ctl").map(|at| &words[at + 1..]);
    if let (Some(said), Some(rest)) = (said, after_ctl) {
        // The language's own answer, which knows the nearest verb whatever noun it is under. Options of `ctl` may stand
        // before.
        let rest: Vec<String> = rest.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let language = command::grammar();
        let spoken = rest.iter().position(|word| *word == said || language.find_subcommand(word).is_some());
        let words = spoken.and_then(|at| rest.get(at..)).unwrap_or_default();
        if let Err(error @ command::ParseError::UnknownVerb { .. }) = command::parse_words(words) {
            output::narrate(&format!("kafkarium: {error}"));
            return Exit::Usage;
        }
    }
    // Help goes to standard output, errors to standard error; a closed pipe changes nothing about either.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
        _ => Exit::Usage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
    }
}

//! `consume`: reading once, members of groups that stay, and what can be done to those.
//!
//! Invariant: a member that stays has a name of its own, by which it is stopped, killed, paused and slowed.
//!
//! Deliberately not here: the arguments of reading, which the command line has as well (`verbs`).

use super::display::Line;
use super::reply::Reply;
use super::values::Rate;
use super::verbs::Consume;
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches, Subcommand};
use serde_json::json;

/// `consume TOPIC …`, or what is done to a member that stays. A topic called `stop` (or as another of the verbs) is read by other means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumeCommand {
    /// Read records.
    Records(Consume),
    /// Join a group and stay in it.
    Join(Box<Join>),
    /// Let members leave their group in order; all that were started here, if none is named.
    Stop {
        /// What `--name` said.
        name: Option<String>,
    },
    /// End a member's process without a word to anybody.
    Kill {
        /// What `--name` said.
        name: String,
    },
    /// Freeze a member: it sends nothing, heartbeats neither.
    Pause {
        /// What `--name` said.
        name: String,
    },
    /// Let a member go on, at full speed.
    Resume {
        /// What `--name` said.
        name: String,
    },
    /// Have a member process so many records at most.
    Slow {
        /// What `--name` said.
        name: String,
        /// How many.
        rate: Rate,
    },
}

/// A member that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// What it reads, and as what.
    pub consume: Consume,
    /// What it is called, and calls itself.
    pub name: String,
    /// How many records it processes at most.
    pub rate: Option<Rate>,
}

/// What can follow `consume` instead of a topic.
#[derive(Subcommand)]
enum ConsumeVerb {
    /// Let a member that stays leave its group
    Stop {
        /// Its name; none means all
        #[arg(value_name = "READER")]
        name: Option<String>,
    },
    /// End a member's process without a word
    Kill {
        /// Its name
        #[arg(value_name = "READER")]
        name: String,
    },
    /// Freeze a member: it sends no heartbeats either
    Pause {
        /// Its name
        #[arg(value_name = "READER")]
        name: String,
    },
    /// Let a frozen or slow member go on at full speed
    Resume {
        /// Its name
        #[arg(value_name = "READER")]
        name: String,
    },
    /// Have a member process records slowly
    Slow {
        /// Its name
        #[arg(value_name = "READER")]
        name: String,
        /// How many records at most
        #[arg(value_name = "N/s")]
        rate: Rate,
    },
}

impl Args for ConsumeCommand {
    fn augment_args(command: Command) -> Command {
        let name = Arg::new("reader")
            .long("name")
            .value_name("NAME")
            .requires("group")
            .conflicts_with_all(["max", "follow"])
            .help_heading("As a member of a group")
            .help("Stay in the group under this name, for `consume stop`");
        let rate = Arg::new("rate")
            .long("rate")
            .value_name("N/s")
            .requires("reader")
            .value_parser(clap::value_parser!(Rate))
            .help_heading("As a member of a group")
            .help("Process so many records at most");
        ConsumeVerb::augment_subcommands(Consume::augment_args(command).arg(name).arg(rate))
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
    }
    fn augment_args_for_update(command: Command) -> Command {
        ConsumeCommand::augment_args(command)
    }
}

impl FromArgMatches for ConsumeCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<ConsumeCommand, Error> {
        if matches.subcommand_name().is_none() {
            let consume = Consume::from_arg_matches(matches)?;
            let rate = matches.get_one::<Rate>("rate").copied();
            return Ok(match matches.get_one::<String>("reader") {
                Some(name) => ConsumeCommand::Join(Box::new(Join { consume, name: name.clone(), rate })),
                None => ConsumeCommand::Records(consume),
            });
        }
        Ok(match ConsumeVerb::from_arg_matches(matches)? {
            ConsumeVerb::Stop { name } => ConsumeCommand::Stop { name },
            ConsumeVerb::Kill { name } => ConsumeCommand::Kill { name },
            ConsumeVerb::Pause { name } => ConsumeCommand::Pause { name },
            ConsumeVerb::Resume { name } => ConsumeCommand::Resume { name },
            ConsumeVerb::Slow { name, rate } => ConsumeCommand::Slow { name, rate },
        })
    }
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = ConsumeCommand::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Join {
    /// What is said when it begins.
    pub fn sentence(&self) -> String {
        let group = self.consume.membership.group.as_deref().unwrap_or_default();
        format!("{0} reads {1} in the group {group}; `consume stop {0}` ends it", self.name, self.consume.topic)
    }
}

impl ConsumeCommand {
    /// The member that it is about, if it names one.
    pub fn reader(&self) -> Option<&str> {
        match self {
            ConsumeCommand::Records(_) => None,
            ConsumeCommand::Join(join) => Some(&join.name),
            ConsumeCommand::Stop { name } => name.as_deref(),
            ConsumeCommand::Kill { name }
            | ConsumeCommand::Pause { name }
            | ConsumeCommand::Resume { name }
            | ConsumeCommand::Slow { name, .. } => Some(name),
        }
    }

    /// What is said when members were told to leave: the one that was meant, or all.
    pub fn stopped(meant: Option<&str>, names: &[String]) -> Reply {
        match (meant, names) {
            (Some(name), []) => Reply::failed(format!("no reader {name} runs")),
            (None, []) => Reply::done("no reader runs"),
            (_, names) => Reply::told(format!("stopped {}", names.join(", ")), json!({ "stopped": names })),
        }
    }

    /// What takes it back.
    pub(super) fn undo(&self) -> Option<ConsumeCommand> {
        match self {
            ConsumeCommand::Join(join) => Some(ConsumeCommand::Stop { name: Some(join.name.clone()) }),
            ConsumeCommand::Pause { name } | ConsumeCommand::Slow { name, .. } => {
                Some(ConsumeCommand::Resume { name: name.clone() })
            }
            ConsumeCommand::Records(_)
            | ConsumeCommand::Stop { .. }
            | ConsumeCommand::Kill { .. }
            | ConsumeCommand::Resume { .. } => None,
        }
    }

    pub(super) fn line(&self) -> Line {
        match self {
            ConsumeCommand::Records(consume) => super::display::consume(consume),
            ConsumeCommand::Join(join) => {
                super::display::consume(&join.consume).flag("--name", &join.name).optional("--rate", join.rate)
            }
            ConsumeCommand::Stop { name } => name.iter().fold(Line::new("consume stop"), |line, name| line.word(name)),
            ConsumeCommand::Kill { name } => Line::new("consume kill").word(name),
            ConsumeCommand::Pause { name } => Line::new("consume pause").word(name),
            ConsumeCommand::Resume { name } => Line::new("consume resume").word(name),
            ConsumeCommand::Slow { name, rate } => Line::new("consume slow").word(name).word(&rate.to_string()),
        }
    }
}

//! Values of the language that take several words without quotes, taught to clap: WHO, LINK, PREDICATE, a kind of
//! message, an entity with settings. And the two forms of `produce`.
//!
//! Invariant: each is read by its type's one `FromStr`, from the words joined by single spaces.
//!
//! Deliberately not here: what the values mean.

use super::predicate::Predicate;
use super::values::{Api, LinkSpec, Skew, broker_id, duration, duration_text};
use super::verbs::{ClockSkew, ConfigEntity, Direction, Far, Produce, ProduceCommand, Traffic};
use super::who::Who;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches, Subcommand};
use std::fmt;
use std::str::FromStr;

/// Teaches clap a type that is read from all words of one positional argument.
macro_rules! read_from_words {
    ($type:ty, $id:literal, $name:literal, $help:literal) => {
        read_from_words!($type, $id, $name, $help, true);
    };
    ($type:ty, $id:literal, $name:literal, $help:literal, $required:literal) => {
        impl Args for $type {
            fn augment_args(command: Command) -> Command {
                command.arg(Arg::new($id).value_name($name).help($help).required($required).num_args(1..))
            }
            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }
        impl FromArgMatches for $type {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
                let words: Vec<&str> =
                    matches.get_many::<String>($id).into_iter().flatten().map(String::as_str).collect();
                words.join(" ").parse().map_err(|reason: String| Error::raw(ErrorKind::ValueValidation, reason + "\n"))
            }
            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

read_from_words!(Who, "who", "WHO", "2, 1 3, leader of orders-0, controller, coordinator of GROUP or killed");
read_from_words!(LinkSpec, "link", "LINK", "1 2 (both ways), 1 to 2 or 1>2 (one way), 1 2,3 (several), 1 clients");
read_from_words!(
    Predicate,
    "predicate",
    "PREDICATE",
    "leader orders-0 = 2, isr orders-0 = 1,2,3, lost = 0, alive >= 2, controller != none"
);
read_from_words!(Traffic, "traffic", "MESSAGE", "response of Produce, request of AlterPartition");
read_from_words!(
    ConfigEntity,
    "entity",
    "ENTITY",
    "topic orders, group billing, broker 2 or brokers (the default of all)"
);

read_from_words!(Far, "far", "HOW FAR", "5s, until leader orders-0 != 1; else until `pause`", false);

impl FromStr for Far {
    type Err = String;
    fn from_str(text: &str) -> Result<Far, String> {
        match text.split_once(' ') {
            _ if text.is_empty() => Ok(Far::On),
            Some(("until", predicate)) => predicate.parse().map(Far::Until),
            _ => duration(text).map(Far::For),
        }
    }
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Far::On => Ok(()),
            Far::For(time) => f.write_str(&duration_text(*time)),
            Far::Until(predicate) => write!(f, "until {predicate}"),
        }
    }
}

impl FromStr for Traffic {
    type Err = String;
    fn from_str(text: &str) -> Result<Traffic, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [direction, "of", api] = words.as_slice() else {
            return Err(format!("`{text}` is no kind of message: write response of Produce"));
        };
        let direction = match *direction {
            "request" => Direction::Request,
            "response" => Direction::Response,
            other => return Err(format!("`{other}` of {api}: write request or response")),
        };
        Ok(Traffic { direction, api: api.parse::<Api>()? })
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Request => "request",
            Direction::Response => "response",
        };
        write!(f, "{direction} of {}", self.api)
    }
}

impl FromStr for ConfigEntity {
    type Err = String;
    fn from_str(text: &str) -> Result<ConfigEntity, String> {
        match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["topic", name] => Ok(ConfigEntity::Topic((*name).to_owned())),
            ["group", name] => Ok(ConfigEntity::Group((*name).to_owned())),
            ["broker", id] => broker_id(id).map(ConfigEntity::Broker),
            ["brokers"] => Ok(ConfigEntity::Brokers),
            _ => Err(format!("`{text}` has no settings: write topic orders, group billing, broker 2 or brokers")),
        }
    }
}

impl fmt::Display for ConfigEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigEntity::Topic(name) => write!(f, "topic {name}"),
            ConfigEntity::Group(name) => write!(f, "group {name}"),
            ConfigEntity::Broker(id) => write!(f, "broker {id}"),
            ConfigEntity::Brokers => f.write_str("brokers"),
        }
    }
}

// Both arguments let a dash pass, or `clock skew 2 -500ms` would be taken for a flag.
impl Args for ClockSkew {
    fn augment_args(command: Command) -> Command {
        Who::augment_args(command).mut_arg("who", |who| who.allow_hyphen_values(true)).arg(
            Arg::new("skew")
                .value_name("SKEW")
                .help("By how much: +5s, -500ms")
                .required(true)
                .allow_hyphen_values(true)
                .value_parser(Skew::from_str),
        )
    }
    fn augment_args_for_update(command: Command) -> Command {
        ClockSkew::augment_args(command)
    }
}

impl FromArgMatches for ClockSkew {
    fn from_arg_matches(matches: &ArgMatches) -> Result<ClockSkew, Error> {
        let skew = matches.get_one::<Skew>("skew").copied();
        let skew = skew.ok_or_else(|| Error::raw(ErrorKind::MissingRequiredArgument, "by how much?\n"))?;
        Ok(ClockSkew { who: Who::from_arg_matches(matches)?, skew })
    }
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = ClockSkew::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What can follow `produce` instead of a topic.
#[derive(Subcommand)]
enum ProduceVerb {
    /// End a steady load
    Stop {
        /// Its name; none means all
        name: Option<String>,
    },
}

impl Args for ProduceCommand {
    fn augment_args(command: Command) -> Command {
        ProduceVerb::augment_subcommands(Produce::augment_args(command))
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
    }
    fn augment_args_for_update(command: Command) -> Command {
        ProduceCommand::augment_args(command)
    }
}

impl FromArgMatches for ProduceCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<ProduceCommand, Error> {
        if matches.subcommand_name().is_none() {
            return Produce::from_arg_matches(matches).map(ProduceCommand::Records);
        }
        let ProduceVerb::Stop { name } = ProduceVerb::from_arg_matches(matches)?;
        Ok(ProduceCommand::Stop { name })
    }
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = ProduceCommand::from_arg_matches(matches)?;
        Ok(())
    }
}

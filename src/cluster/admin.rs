//! The commands that any Kafka-compatible cluster understands (`topic`, `config`, `reassign`, `elect`, `quorum`,
//! `group`, `transaction`), carried out with Kafka's own requests: the same code for a live host, a simulated one and a cluster far
//! away.
//!
//! Invariants: what is told comes from answers of the cluster; an error is told with Kafka's name for it and the
//! broker's own words; errors that pass (a controller is being elected) are tried again until the time is over.
//!
//! Deliberately not here: connections, versions and clocks: whoever implements [`Ask`] has them.

mod configs;
pub mod groups;
mod partitions;
mod quorum;
pub mod remote;
#[cfg(test)]
mod tests;
mod topics;
pub mod transactions;

use super::command::{Command, ConfigCommand, ElectCommand, QuorumCommand, ReassignCommand, Reply, TopicCommand};
use crate::client::Target;
use crate::client::metadata::Metadata;
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages as m;
use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

/// Who carries a request to a cluster and its answer back.
pub trait Ask {
    /// Asks, and waits for the answer. An error is of the connection, in words.
    fn ask(&mut self, to: Target, request: Request) -> Result<Response, String>;

    /// Lets some time pass before something is asked again. False once there is none left for this command.
    fn wait(&mut self, pause: Duration) -> bool;
}

/// How long a broker may take over a request, in milliseconds.
const TIMEOUT_MS: i32 = 10_000;
/// Pause before something is asked again.
const PAUSE: Duration = Duration::from_millis(25);

/// Carries out a command of those named above. `None`: it is another one.
pub fn run(command: &Command, ask: &mut dyn Ask) -> Option<Reply> {
    let outcome = match command {
        Command::Topic(command) => again(ask, |ask| topic(command, ask)),
        Command::Config(ConfigCommand::Describe { entity, all }) => {
            again(ask, |ask| configs::describe(entity, *all, ask))
        }
        Command::Config(ConfigCommand::Alter { entity, set, delete }) => {
            again(ask, |ask| configs::alter(entity, set, delete, ask))
        }
        Command::Reassign(ReassignCommand::Start { partitions, to }) => {
            again(ask, |ask| partitions::reassign(partitions, Some(to), ask))
        }
        Command::Reassign(ReassignCommand::Cancel { partitions }) => {
            again(ask, |ask| partitions::reassign(partitions, None, ask))
        }
        Command::Reassign(ReassignCommand::List) => again(ask, partitions::list),
        Command::Elect(ElectCommand::Align) => {
            return Some(Reply::unavailable(
                "only a simulated world's timers can be set: `kafkarium up --sim` has one",
            ));
        }
        Command::Elect(ElectCommand::Preferred { partitions }) => {
            again(ask, |ask| partitions::elect(partitions, partitions::PREFERRED, ask))
        }
        Command::Elect(ElectCommand::Unclean { partitions }) => {
            again(ask, |ask| partitions::elect(partitions, partitions::UNCLEAN, ask))
        }
        Command::Quorum(QuorumCommand::Describe) => again(ask, quorum::describe),
        Command::Group(command) => return Some(groups::run(command, ask)),
        Command::Transaction(command) => return Some(transactions::run(command, ask)),
        _ => return None,
    };
    Some(outcome.unwrap_or_else(|trouble| Reply::failed(trouble.reason)))
}

fn topic(command: &TopicCommand, ask: &mut dyn Ask) -> Result<Reply, Trouble> {
    match command {
        TopicCommand::List { internal } => topics::list(*internal, ask),
        TopicCommand::Describe { name } => topics::describe(name, ask),
        TopicCommand::Create { name, partitions, replicas, assignment, config } => {
            topics::create(name, *partitions, *replicas, assignment.as_ref(), config, ask)
        }
        TopicCommand::Alter { name, partitions, config } => topics::alter(name, *partitions, config, ask),
        TopicCommand::Delete { name } => topics::delete(name, ask),
        TopicCommand::DeleteRecords { partition, before } => partitions::delete_records(partition, *before, ask),
    }
}

/// Why something was not done.
struct Trouble {
    reason: String,
    /// It may go better if it is tried again.
    passes: bool,
}

impl Trouble {
    fn of(reason: impl Into<String>) -> Trouble {
        Trouble { reason: reason.into(), passes: false }
    }

    /// An error of Kafka's about something, with the broker's words if it sent any.
    fn kafka(what: &str, error: ErrorCode, message: Option<&StrBytes>) -> Trouble {
        let words = message.map(|words| words.to_string()).filter(|words| !words.is_empty());
        let words = words.map(|words| format!(": {words}")).unwrap_or_default();
        let passes = matches!(
            error,
            ErrorCode::NotController
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::BrokerNotAvailable
                | ErrorCode::NetworkException
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::NotCoordinator
        );
        Trouble { reason: format!("{what}: {error}{words}"), passes }
    }
}

fn check(what: &str, code: i16, message: Option<&StrBytes>) -> Result<(), Trouble> {
    match ErrorCode::from_code(code) {
        ErrorCode::None => Ok(()),
        error => Err(Trouble::kafka(what, error, message)),
    }
}

/// Tries until it works, fails for good or the time is over.
fn again<T>(ask: &mut dyn Ask, attempt: impl Fn(&mut dyn Ask) -> Result<T, Trouble>) -> Result<T, Trouble> {
    loop {
        match attempt(ask) {
            Err(trouble) if trouble.passes && ask.wait(PAUSE) => {}
            outcome => return outcome,
        }
    }
}

/// Asks and takes the answer apart.
macro_rules! answer_to {
    ($ask:expr, $to:expr, $kind:ident, $request:expr) => {
        match $ask.ask($to, $crate::protocol::codec::Request::$kind($request)) {
            Ok($crate::protocol::codec::Response::$kind(response)) => Ok(response),
            Ok(_) => Err(super::Trouble::of(concat!("the answer to ", stringify!($kind), " is of another kind"))),
            Err(reason) => Err(super::Trouble::of(reason)),
        }
    };
}
use answer_to;

/// Metadata of one topic, or of all.
fn metadata(topic: Option<&str>, ask: &mut dyn Ask) -> Result<MetadataResponse, Trouble> {
    let names = topic.map(|name| vec![name.to_owned()]);
    match ask.ask(Target::Any, Metadata::request(names.as_deref(), false)) {
        Ok(Response::Metadata(response)) => Ok(response),
        Ok(_) => Err(Trouble::of("the answer to Metadata is of another kind")),
        Err(reason) => Err(Trouble::of(reason)),
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn broker_id(id: m::BrokerId) -> BrokerId {
    BrokerId(id.0)
}

fn broker(id: BrokerId) -> m::BrokerId {
    m::BrokerId(id.0)
}

/// `1,2,3`, or `none`.
fn ids(brokers: &[m::BrokerId]) -> String {
    if brokers.is_empty() {
        return "none".to_owned();
    }
    brokers.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(",")
}

/// `1 partition`, `3 partitions`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Rows under a heading, in columns.
fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([heading[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let heading = line(heading.to_vec());
    let rows = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(heading).chain(rows).collect::<Vec<_>>().join("\n")
}

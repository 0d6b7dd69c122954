//! `kafkarium topics VERB …`: the `topic` verbs of the command language, against any Kafka-compatible cluster.
//!
//! Deliberately not here: what they do (`cluster::admin`).

use super::exit::{Exit, Failure, Outcome};
use super::output::{self, Format};
use super::remote::Bootstrap;
use crate::client::Target;
use crate::client::metadata::Metadata;
use crate::cluster::admin::{self, Ask};
use crate::cluster::command::{Command, Reply, TopicCommand};
use clap::Args;

/// Arguments of `topics`.
#[derive(Debug, Args)]
pub struct Topics {
    #[command(flatten)]
    cluster: Bootstrap,
    /// How to tell what came of it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, global = true)]
    #[arg(help_heading = "Output")]
    output: Format,
    /// What to do.
    #[command(subcommand)]
    verb: TopicCommand,
}

impl Topics {
    /// Does it.
    pub fn run(&self) -> Outcome {
        let mut remote = self.cluster.remote()?;
        // Whether anybody is there is another question than whether the command fails.
        remote.ask(Target::Any, Metadata::request(Some(&[]), false)).map_err(|reason| self.cluster.nobody(&reason))?;
        let reply = admin::run(&Command::Topic(self.verb.clone()), &mut remote).expect("a command for any cluster");
        match (reply, self.output) {
            (Reply::Done { text, .. }, Format::Text) => output::text(&text),
            (Reply::Done { data, .. }, Format::Json) => output::json(&data),
            (Reply::Failed { reason, exit_code }, _) => Err(Failure::new(Exit::from_code(exit_code), reason)),
        }
    }
}

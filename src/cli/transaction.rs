//! `kafkarium transaction VERB …`: transactions of any Kafka-compatible cluster.
//!
//! Deliberately not here: what the verbs do (`cluster::admin::transactions`).

use super::exit::{Exit, Failure, Outcome};
use super::output::{self, Format};
use super::remote::Bootstrap;
use crate::client::Target;
use crate::client::metadata::Metadata;
use crate::cluster::admin::{Ask, transactions};
use crate::cluster::command::{Reply, TransactionCommand};
use clap::Args;

/// Arguments of `transaction`.
#[derive(Debug, Args)]
pub struct Transaction {
    #[command(flatten)]
    cluster: Bootstrap,
    /// How to tell what came of it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, global = true)]
    #[arg(help_heading = "Output")]
    output: Format,
    /// What to do.
    #[command(subcommand)]
    verb: TransactionCommand,
}

impl Transaction {
    /// Does it.
    pub fn run(&self) -> Outcome {
        let mut remote = self.cluster.remote()?;
        // Whether anybody is there is another question than whether the command fails.
        remote.ask(Target::Any, Metadata::request(Some(&[]), false)).map_err(|reason| self.cluster.nobody(&reason))?;
        match (transactions::run(&self.verb, &mut remote), self.output) {
            (Reply::Done { text, .. }, Format::Text) => output::text(&text),
            (Reply::Done { data, .. }, Format::Json) => output::json(&data),
            (Reply::Failed { reason, exit_code }, _) => Err(Failure::new(Exit::from_code(exit_code), reason)),
        }
    }
}

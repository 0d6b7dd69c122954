//! What the verbs that work against any Kafka-compatible cluster have in common: where it is, and whether it and its
//! topic are there.
//!
//! Deliberately not here: the verbs (`topics`, `produce`, `consume`).

use super::exit::{Exit, Failure};
use crate::client::Target;
use crate::client::metadata::Metadata;
use crate::cluster::admin::Ask;
use crate::cluster::admin::remote::Remote;
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use clap::Args;
use std::time::Duration;

/// What we call ourselves towards brokers.
pub const CLIENT_ID: &str = "kafkarium";

/// Where the cluster is.
#[derive(Debug, Clone, Args)]
pub struct Bootstrap {
    /// Some of the cluster's brokers, with commas between
    #[arg(long = "bootstrap-server", short = 'b', value_name = "HOST:PORT", env = "KAFKARIUM_BOOTSTRAP")]
    #[arg(default_value = "localhost:9092", global = true, help_heading = "Which cluster")]
    pub servers: String,
}

impl Bootstrap {
    /// A connection for questions. Nothing is sent yet.
    pub fn remote(&self) -> Result<Remote, Failure> {
        let malformed = |address: &&str| {
            let port = address.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
            port.is_none_or(|port| port.parse::<u16>().is_err())
        };
        if let Some(address) = self.servers.split(',').map(str::trim).find(malformed) {
            return Err(Failure::new(Exit::Usage, format!("`{address}` is no address: write HOST:PORT")));
        }
        Remote::new(&self.servers, CLIENT_ID).map_err(|error| Failure::new(Exit::Internal, error.to_string()))
    }

    /// Fails unless the cluster answers and has the topic. With `create`, a cluster that makes topics by itself does
    /// so.
    pub fn find_topic(&self, topic: &str, create: bool) -> Result<(), Failure> {
        let mut remote = self.remote()?;
        loop {
            let request = Metadata::request(Some(&[topic.to_owned()]), create);
            let response = remote.ask(Target::Any, request).map_err(|reason| self.nobody(&reason))?;
            let Response::Metadata(response) = response else {
                return Err(Failure::new(Exit::Failed, "the answer to Metadata is of another kind"));
            };
            let error = response.topics.first().map_or(0, |topic| topic.error_code);
            match ErrorCode::from_code(error) {
                ErrorCode::None | ErrorCode::LeaderNotAvailable => return Ok(()),
                // It is being made: the answer that says so says that it is not known yet.
                ErrorCode::UnknownTopicOrPartition if create && remote.wait(Duration::from_millis(50)) => {}
                ErrorCode::UnknownTopicOrPartition => {
                    return Err(Failure::new(Exit::Failed, format!("there is no topic {topic}")));
                }
                error => return Err(Failure::new(Exit::Failed, format!("{topic}: {error}"))),
            }
        }
    }

    /// Fails unless the cluster knows a request that changes nothing.
    pub fn serves(&self, request: Request) -> Result<(), Failure> {
        let answer = self.remote()?.ask(Target::Any, request);
        answer.map(drop).map_err(|reason| Failure::new(Exit::Failed, reason))
    }

    /// The failure to reach it.
    pub fn nobody(&self, reason: &str) -> Failure {
        Failure::new(Exit::NobodyThere, format!("no broker answers at {}: {reason}", self.servers))
    }
}

//! The options of the verbs that host a cluster, and the [`ClusterOptions`] they amount to.
//!
//! Invariants: every option has a heading, a default that `--help` tells and, where a shell should remember it, a
//! variable of the environment; a flag wins over a variable.
//!
//! Deliberately not here: starting anything.

use super::exit::{Exit, Failure};
use crate::cluster::command::values::{Setting, Size, Speed};
use crate::cluster::options::{ClusterOptions, Durability, Place};
use crate::engine::config::Timing;
use clap::{Args, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;

/// `--timing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TimingName {
    /// Short timeouts: a failover is seen within a second
    Lab,
    /// Kafka's own defaults
    Kafka,
}

/// `--durability`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DurabilityName {
    /// Acknowledged once the operating system has it: survives kill -9 of kafkarium
    Process,
    /// Acknowledged once it is synced to the disk: survives a loss of power too
    Sync,
    /// No files: gone with the process
    Memory,
}

/// What a cluster is hosted with.
#[derive(Debug, Clone, Args)]
pub struct HostArgs {
    /// How many brokers, 1 to 9
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Cluster")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=9))]
    pub brokers: u8,
    /// How many of them vote in the metadata quorum [default: 3, or 1 of fewer than 3 brokers]
    #[arg(long, value_name = "N", help_heading = "Cluster")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=9))]
    pub controllers: Option<u8>,
    /// Timeouts and intervals
    #[arg(long, value_enum, default_value_t = TimingName::Lab, help_heading = "Cluster")]
    pub timing: TimingName,
    /// How fast the brokers' time runs: 1 down to 0.1
    #[arg(long, value_name = "SPEED", default_value = "1", help_heading = "Cluster")]
    pub speed: Speed,
    /// A broker setting by Kafka's name; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Cluster")]
    pub settings: Vec<Setting>,
    /// The first broker's port, the others follow; 0: free ones
    #[arg(long, value_name = "PORT", default_value_t = 9092, help_heading = "Network")]
    pub port: u16,
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", help_heading = "Network")]
    pub listen: IpAddr,
    /// The host name that clients are told, for clients in containers
    #[arg(long, value_name = "HOST", help_heading = "Network")]
    pub advertise: Option<String>,
    /// Where the data lie [default: kafkarium in the user's data folder]
    #[arg(long, value_name = "DIR", env = "KAFKARIUM_DATA", help_heading = "Storage")]
    pub data: Option<PathBuf>,
    /// Keep nothing: a folder that is removed at the end, and --durability memory
    #[arg(long, help_heading = "Storage")]
    pub ephemeral: bool,
    /// When a record counts as written [default: process]
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Storage")]
    pub durability: Option<DurabilityName>,
    /// How much to keep with --durability memory, over all brokers
    #[arg(long, value_name = "SIZE", help_heading = "Storage")]
    pub memory_limit: Option<Size>,
    /// Where `kafkarium ctl` connects [default: control.sock in the data folder]
    #[arg(long, value_name = "PATH", env = "KAFKARIUM_SOCKET", help_heading = "Control")]
    pub socket: Option<PathBuf>,
    /// Write the bootstrap servers to this file once a produce with acks=all would succeed
    #[arg(long, value_name = "FILE", help_heading = "Control")]
    pub ready_file: Option<PathBuf>,
}

impl HostArgs {
    /// What the hosts take; refused if no cluster can be started with it.
    pub fn options(&self, demo_load: bool) -> Result<ClusterOptions, Failure> {
        // `--ephemeral` wins over a folder, which may come from the environment: it keeps nothing wherever it is.
        let place = match &self.data {
            _ if self.ephemeral => Place::Ephemeral,
            Some(folder) => Place::Folder(folder.clone()),
            None => Place::Default,
        };
        let durability = match self.durability {
            Some(DurabilityName::Process) => Durability::Process,
            Some(DurabilityName::Sync) => Durability::Sync,
            Some(DurabilityName::Memory) => Durability::Memory,
            None if self.ephemeral => Durability::Memory,
            None => Durability::Process,
        };
        let timing = match self.timing {
            TimingName::Lab => Timing::Lab,
            TimingName::Kafka => Timing::Kafka,
        };
        let options = ClusterOptions {
            brokers: self.brokers,
            controllers: self.controllers,
            first_port: self.port,
            listen: self.listen,
            advertise: self.advertise.clone(),
            durability,
            timing,
            settings: self.settings.clone(),
            place,
            memory_limit: self.memory_limit,
            speed: self.speed,
            demo_load,
        };
        options.check().map_err(|reason| Failure::new(Exit::Usage, reason))?;
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        host: HostArgs,
    }

    fn options(line: &[&str]) -> Result<ClusterOptions, Failure> {
        let words = std::iter::once("test").chain(line.iter().copied());
        Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).host.options(false)
    }

    #[test]
    fn defaults_are_those_of_the_options() {
        assert_eq!(options(&[]), Ok(ClusterOptions::default()));
    }

    #[test]
    fn ephemeral_means_memory_unless_said_otherwise() {
        let ephemeral = options(&["--ephemeral"]).expect("fine");
        assert_eq!((ephemeral.place, ephemeral.durability), (Place::Ephemeral, Durability::Memory));
        let files = options(&["--ephemeral", "--durability", "sync"]).expect("fine");
        assert_eq!((files.place, files.durability), (Place::Ephemeral, Durability::Sync));
    }

    #[test]
    fn everything_arrives() {
        let options = options(&[
            "--brokers=5",
            "--controllers=1",
            "--port=20000",
            "--timing=kafka",
            "--set",
            "num.partitions=6",
            "--set",
            "log.retention.ms=1000",
            "--durability=memory",
            "--memory-limit=64MiB",
            "--speed=0.5",
            "--listen=::1",
            "--advertise=lab.example",
            "--data=/x",
        ])
        .expect("fine");
        assert_eq!((options.brokers, options.voters(), options.first_port), (5, 1, 20_000));
        assert_eq!(
            options.settings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["num.partitions=6", "log.retention.ms=1000"]
        );
        assert_eq!((options.timing, options.memory_limit), (Timing::Kafka, Some(Size(64 << 20))));
        assert_eq!((options.speed.permille, options.advertised_host().as_str()), (500, "lab.example"));
        assert_eq!(options.place, Place::Folder(PathBuf::from("/x")));
    }

    #[test]
    fn what_contradicts_itself_is_a_wrong_command_line() {
        for wrong in [&["--controllers=4"][..], &["--speed=2"], &["--memory-limit=1GiB"], &["--port=65535"]] {
            assert_eq!(options(wrong).map_err(|failure| failure.exit), Err(Exit::Usage), "{wrong:?}");
        }
    }
}

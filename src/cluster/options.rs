//! What a cluster is started with: one plain struct, filled by the command line, by tests and by the simulator.
//!
//! Invariants: pure data; [`ClusterOptions::check`] accepts nothing the hosts could not start.
//!
//! Deliberately not here: the console's own options, and how options are written (`cli`).

use super::command::values::{Setting, Size, Speed};
use crate::engine::config::Timing;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// When a record counts as written, on every in-sync replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Handed to the operating system: survives kill -9 of the process.
    #[default]
    Process,
    /// Synced to the disk, in groups: survives a loss of power too.
    Sync,
    /// In memory only: no files, gone with the process.
    Memory,
}

impl Durability {
    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Durability::Process => "process",
            Durability::Sync => "sync",
            Durability::Memory => "memory",
        }
    }
}

/// Where a cluster's data lie.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// In the user's data folder.
    #[default]
    Default,
    /// In this folder, made if it is missing.
    Folder(PathBuf),
    /// In a folder of the runtime folder that is removed at the end.
    Ephemeral,
}

/// What a cluster is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterOptions {
    /// How many brokers, 1 to 9.
    pub brokers: u8,
    /// How many of them vote in the metadata quorum; `None` is three, or one where there are fewer than three brokers.
    pub controllers: Option<u8>,
    /// The first broker's port; the others follow. 0: each takes a free one and keeps it.
    pub first_port: u16,
    /// The address to listen on.
    pub listen: IpAddr,
    /// The host name clients are told; `None` is the address listened on.
    pub advertise: Option<String>,
    /// When a record counts as written.
    pub durability: Durability,
    /// The preset of timing.
    pub timing: Timing,
    /// Broker settings by Kafka's name, the last of a name counts.
    pub settings: Vec<Setting>,
    /// Where the data lie.
    pub place: Place,
    /// Bytes of records kept in memory in mode `memory`, over all brokers; retention sees to it.
    pub memory_limit: Option<Size>,
    /// How fast time runs at the start.
    pub speed: Speed,
    /// Whether the demo workload runs: a stream of orders and a group of two readers.
    pub demo_load: bool,
}

impl Default for ClusterOptions {
    fn default() -> ClusterOptions {
        ClusterOptions {
            brokers: 3,
            controllers: None,
            first_port: 9092,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            advertise: None,
            durability: Durability::Process,
            timing: Timing::Lab,
            settings: Vec::new(),
            place: Place::Default,
            memory_limit: None,
            speed: Speed::NORMAL,
            demo_load: false,
        }
    }
}

impl ClusterOptions {
    /// The most brokers one process hosts.
    pub const MAX_BROKERS: u8 = 9;

    /// How many brokers vote in the metadata quorum.
    pub fn voters(&self) -> u8 {
        self.controllers.unwrap_or(if self.brokers < 3 { 1 } else { 3 })
    }

    /// The host name clients are told.
    pub fn advertised_host(&self) -> String {
        match &self.advertise {
            Some(host) => host.clone(),
            // An address that means "all of them" is none a client could connect to.
            None if self.listen.is_unspecified() => "localhost".to_owned(),
            None => self.listen.to_string(),
        }
    }

    /// Whether a cluster can be started with these; the reason if not.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=Self::MAX_BROKERS).contains(&self.brokers) {
            return Err(format!("{} brokers: there can be 1 to {}", self.brokers, Self::MAX_BROKERS));
        }
        if !(1..=self.brokers).contains(&self.voters()) {
            return Err(format!("{} controllers: there can be 1 to {}, the brokers", self.voters(), self.brokers));
        }
        if self.first_port != 0 && self.first_port.checked_add(u16::from(self.brokers) - 1).is_none() {
            return Err(format!("{} brokers from port {} on: ports end at 65535", self.brokers, self.first_port));
        }
        if !(100..=1_000).contains(&self.speed.permille) {
            return Err(format!("speed {}: a live cluster runs at 1 to 0.1", self.speed));
        }
        if self.memory_limit.is_some() && self.durability != Durability::Memory {
            return Err("a memory limit is for `--durability memory` (or `--ephemeral`)".to_owned());
        }
        if self.memory_limit.is_some_and(|limit| limit.0 < 1 << 20) {
            return Err("a memory limit has to be 1MiB or more".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_started_is_refused() {
        let options = ClusterOptions::default();
        assert_eq!(options.check(), Ok(()));
        for wrong in [
            ClusterOptions { brokers: 0, ..options.clone() },
            ClusterOptions { brokers: 10, ..options.clone() },
            ClusterOptions { controllers: Some(0), ..options.clone() },
            ClusterOptions { controllers: Some(4), ..options.clone() },
            ClusterOptions { first_port: 65_534, ..options.clone() },
            ClusterOptions { speed: Speed { permille: 99 }, ..options.clone() },
            ClusterOptions { memory_limit: Some(Size(1 << 30)), ..options.clone() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        assert_eq!(ClusterOptions { first_port: 65_533, ..options.clone() }.check(), Ok(()));
        assert_eq!((options.voters(), ClusterOptions { brokers: 2, ..options }.voters()), (3, 1));
    }

    #[test]
    fn clients_are_told_a_host_they_can_reach() {
        let options = ClusterOptions::default();
        assert_eq!(options.advertised_host(), "127.0.0.1");
        let everywhere = ClusterOptions { listen: IpAddr::V4(Ipv4Addr::UNSPECIFIED), ..options };
        assert_eq!(everywhere.advertised_host(), "localhost");
        assert_eq!(ClusterOptions { advertise: Some("lab".to_owned()), ..everywhere }.advertised_host(), "lab");
    }
}

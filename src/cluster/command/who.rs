//! WHO: the brokers a command is about.
//!
//! Invariants: one `FromStr`, one `Display`, each the other's inverse; the words of a line are joined before they are
//! read, so that `kill leader of orders-0` needs no quotes.
//!
//! Deliberately not here: who that is at this moment. The host resolves it when the command runs.

use super::values::{Partition, broker_id, join_ids};
use super::{BrokerCommand, ClockCommand, Command, DiskCommand};
use crate::protocol::ids::BrokerId;
use std::fmt;
use std::str::FromStr;

/// Which brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// By id: `2`, `1 3`, `1,3`. At least one, each once.
    Ids(Vec<BrokerId>),
    /// `leader of orders-0`: who leads it when the command runs.
    LeaderOf(Partition),
    /// `controller`: the active controller when the command runs.
    Controller,
    /// `coordinator of GROUP`: who coordinates it when the command runs.
    CoordinatorOf(String),
    /// `killed`: every broker that does not run, however it went down.
    Killed,
}

impl FromStr for Who {
    type Err = String;
    fn from_str(text: &str) -> Result<Who, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            [] => Err("who is missing: 2, leader of orders-0, controller or killed".to_owned()),
            ["controller"] => Ok(Who::Controller),
            ["killed"] => Ok(Who::Killed),
            ["leader", "of", partition] => partition.parse().map(Who::LeaderOf),
            ["coordinator", "of", group] => Ok(Who::CoordinatorOf((*group).to_owned())),
            ["coordinator", ..] => Err("whose coordinator: write coordinator of GROUP".to_owned()),
            ["leader", ..] => Err("whose leader: write leader of orders-0".to_owned()),
            ids => {
                let mut brokers = Vec::new();
                for id in ids.iter().flat_map(|word| word.split(',')).filter(|id| !id.is_empty()) {
                    let id = broker_id(id).map_err(|_| {
                        format!("`{id}` is nobody: write 2, 1 3, leader of orders-0, controller or killed")
                    })?;
                    if !brokers.contains(&id) {
                        brokers.push(id);
                    }
                }
                if brokers.is_empty() {
                    return Err("who is missing: 2, leader of orders-0, controller or killed".to_owned());
                }
                Ok(Who::Ids(brokers))
            }
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Ids(ids) => f.write_str(&join_ids(ids)),
            Who::LeaderOf(partition) => write!(f, "leader of {partition}"),
            Who::Controller => f.write_str("controller"),
            Who::CoordinatorOf(group) => write!(f, "coordinator of {group}"),
            Who::Killed => f.write_str("killed"),
        }
    }
}

/// Whom a command is about, if it says so by a WHO.
fn who_of(command: &mut Command) -> Option<&mut Who> {
    match command {
        Command::Stop { who }
        | Command::Kill { who }
        | Command::Powerloss { who }
        | Command::Wipe { who }
        | Command::Suspend { who }
        | Command::Resume { who }
        | Command::Start { who }
        | Command::Restart { who }
        | Command::Broker(BrokerCommand::Remove { who })
        | Command::Disk(
            DiskCommand::Slow { who, .. }
            | DiskCommand::Full { who }
            | DiskCommand::Fail { who }
            | DiskCommand::Corrupt { who, .. }
            | DiskCommand::Heal { who },
        ) => Some(who),
        Command::Clock(ClockCommand::Skew(skew)) => Some(&mut skew.who),
        _ => None,
    }
}

/// The command with the brokers it means now: what is undone later is about them, whoever leads then.
///
/// # Errors
/// What `resolve` says.
pub fn pin(
    mut command: Command,
    resolve: impl FnOnce(&Who) -> Result<Vec<BrokerId>, String>,
) -> Result<Command, String> {
    if let Some(who) = who_of(&mut command) {
        *who = Who::Ids(resolve(who)?);
    }
    Ok(command)
}

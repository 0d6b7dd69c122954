//! A simulated world in the console.
//!
//! Invariants: a run that panics says so when the console has ended, with the command that runs it again.
//!
//! Deliberately not here: the world and its time (`cluster::sim`).

use super::exit::{Exit, Failure, Outcome};
use crate::cluster::sim::port::SimPort;
use crate::cluster::sim::stage::Stage;
use crate::tui::run::{self, ConsoleOptions};
use std::hash::{BuildHasher, Hasher, RandomState};

/// Seeds that nobody asked for have so many digits at most: they are read out and typed again.
const ANY_SEED_MAX: u64 = 1_000_000;

/// A seed for who does not care which.
pub(super) fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish() % ANY_SEED_MAX
}

/// Shows a world until the user quits.
pub(super) fn show(stage: Stage, console: ConsoleOptions, again: &str) -> Outcome {
    let port = SimPort::open(stage)?;
    let fall = port.fall();
    run::run(port, console)?;
    match fall.message() {
        None => Ok(()),
        Some(panic) => {
            Err(Failure::new(Exit::Failed, format!("the simulated run panicked: {panic}\nit runs again with: {again}")))
        }
    }
}

//! `kafkarium replay`: a simulated world in the console.
//!
//! Invariants: a run that panics says so when the console has ended, with the command that runs it again.
//!
//! Deliberately not here: the world and its time (`cluster::sim`).

use super::exit::{Exit, Failure, Outcome};
use crate::cluster::sim::plan_file::PlanFile;
use crate::cluster::sim::port::SimPort;
use crate::cluster::sim::run::{Options, Run};
use crate::cluster::sim::stage::Stage;
use crate::engine::mutant::Mutant;
use crate::tui::run::{self, ConsoleOptions};
use clap::{Args, ValueEnum};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::IsTerminal;
use std::path::PathBuf;

/// Seeds that nobody asked for have so many digits at most: they are read out and typed again.
const ANY_SEED_MAX: u64 = 1_000_000;

/// Where a replay opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum At {
    /// Its beginning
    Start,
    /// The first broken rule
    Violation,
}

/// Open a simulated run in the console, paused.
#[derive(Debug, Clone, Args)]
pub struct Replay {
    /// The seed of the run, as `sim` tells it
    #[arg(value_name = "SEED", required_unless_present = "plan", conflicts_with = "plan")]
    seed: Option<u64>,
    /// The plan of faults in this file instead of the one that a seed draws
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// With a historical bug planted in every broker, as `sim --mutant` does
    #[arg(long, value_name = "NAME", value_parser = super::hunt::by_name)]
    mutant: Option<Mutant>,
    /// Where to open it
    #[arg(long, value_enum, default_value_t = At::Start)]
    at: At,
}

impl Replay {
    /// Shows the run until the user quits.
    pub fn run(&self) -> Outcome {
        if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
            return Err(Failure::new(Exit::Usage, "the console needs a terminal; `kafkarium sim` does without"));
        }
        let (options, plan, again) = match (&self.plan, self.seed) {
            (Some(path), _) => {
                let failed = |reason: String| Failure::new(Exit::NoInput, format!("{}: {reason}", path.display()));
                let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
                let file = PlanFile::read(&text).map_err(failed)?;
                let options = Options { brokers: Some(file.brokers), ..Options::of(file.seed) };
                (options, Some(file.plan), format!("kafkarium replay --plan {}", path.display()))
            }
            (None, seed) => {
                let seed = seed.expect("clap asks for a seed or a plan");
                (Options::of(seed), None, format!("kafkarium replay {seed}"))
            }
        };
        let options = Options { mutant: self.mutant, ..options };
        let planted = self.mutant.map(|mutant| format!(" --mutant {}", mutant.name())).unwrap_or_default();
        let again = again + &planted;
        let mut stage = Stage::paused(Run::new(options, plan), options.seed);
        if self.at == At::Violation && !stage.show_violation() {
            return Err(Failure::new(Exit::Failed, format!("every rule holds in the run of seed {}", options.seed)));
        }
        show(stage, ConsoleOptions::default(), &again)
    }
}

/// A seed for who does not care which.
pub(super) fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish() % ANY_SEED_MAX
}

/// Shows a world until the user quits.
pub(super) fn show(stage: Stage, console: ConsoleOptions, again: &str) -> Outcome {
    guard(stage, again, |port| run::run(port, console).map(|_| ()).map_err(Failure::from))
}

/// Lets somebody look at a world until they have enough of it, and tells if the run panicked meanwhile.
pub(super) fn guard(stage: Stage, again: &str, look: impl FnOnce(SimPort) -> Outcome) -> Outcome {
    let port = SimPort::open(stage)?;
    let fall = port.fall();
    let seen = look(port);
    match fall.message() {
        None => seen,
        Some(panic) => {
            Err(Failure::new(Exit::Failed, format!("the simulated run panicked: {panic}\nit runs again with: {again}")))
        }
    }
}

//! `kafkarium sim --mutants`: plants each historical bug in turn and runs seeds until its checker finds it; lists them, or writes the table
//! of `docs/mutants.md`.

use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cluster::sim::mutants::{self, Hunt};
use crate::engine::mutant::{Mutant, STORIES};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A mutant by its name on the command line.
///
/// # Errors
/// If there is none of that name.
pub fn by_name(name: &str) -> Result<Mutant, String> {
    Mutant::by_name(name).ok_or_else(|| format!("there is no such mutant; kafkarium sim --mutants lists them: {name}"))
}

/// Every mutant with what it breaks.
pub fn list() {
    let width = STORIES.iter().map(|story| story.name.len()).max().unwrap_or(0);
    for story in STORIES {
        println!("{:width$}  {} ({})", story.name, story.breaks, story.source);
    }
}

/// Hunts one mutant, or all, on so many seeds each; writes the table if a file is named.
pub fn run(only: Option<Mutant>, first: u64, seeds: u64, jobs: usize, write: Option<&Path>) -> Outcome {
    // What the engine says when it stops at an assertion is one more way of finding a mutant, not news for the terminal.
    std::panic::set_hook(Box::new(|_| {}));
    let wanted: Vec<Mutant> = only.map_or_else(|| Mutant::all().collect(), |mutant| vec![mutant]);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1).min(wanted.len()) {
            scope.spawn(|| {
                while let Some(mutant) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let hunt = mutants::hunt(*mutant, first..first.saturating_add(seeds));
                    tell(&hunt, began);
                    done.lock().expect("no hunter panics").push(hunt);
                }
            });
        }
    });
    let hunts = done.into_inner().expect("no hunter panics");
    if let Some(path) = write {
        std::fs::write(path, mutants::table(&hunts))
            .map_err(|error| failed(format!("{} cannot be written: {error}", path.display())))?;
    }
    let missed: Vec<&str> = hunts.iter().filter(|hunt| hunt.found.is_none()).map(|hunt| hunt.mutant.name()).collect();
    match missed.as_slice() {
        [] => Ok(()),
        missed => Err(failed(format!("{} mutants were not found: {}", missed.len(), missed.join(", ")))),
    }
}

fn failed(reason: String) -> Failure {
    Failure { exit: Exit::Failed, reason }
}

fn tell(hunt: &Hunt, began: Instant) {
    let (name, seeds, seconds) = (hunt.mutant.name(), hunt.seeds, began.elapsed().as_secs_f64());
    let others = if hunt.others.is_empty() { String::new() } else { format!("; before: {:?}", hunt.others) };
    match hunt.found {
        Some((seed, rule)) => {
            println!("{name}: found by {rule} on seed {seed} after {seeds} seeds, {seconds:.1} s{others}");
        }
        None => println!("{name}: not found in {seeds} seeds, {seconds:.1} s{others}"),
    }
}

//! `kafkarium sim`: runs seeds of the simulated world, headless, and says for each that fails how to run it again.

use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::hunt;
use crate::cluster::sim::mutants::SEEDS_MAX;
use crate::cluster::sim::run::{self, Options, Report};
use crate::engine::mutant::Mutant;
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

/// How many seeds are run unless told otherwise.
const SEEDS_DEFAULT: u64 = 100;

/// Run the cluster in a seeded world with faults, and check every rule after every step.
#[derive(Debug, Clone, Args)]
pub struct Sim {
    /// How many seeds to run
    #[arg(long, default_value_t = SEEDS_DEFAULT, value_name = "N")]
    pub seeds: u64,
    /// The first seed, or with --seeds 1 the one to run again
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// How many brokers each world has; drawn from the seed unless given
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=9))]
    pub brokers: Option<i32>,
    /// Run each seed twice and compare the hashes of both runs
    #[arg(long)]
    pub twice: bool,
    /// How many seeds to run at the same time; all cores unless given
    #[arg(long, value_name = "J")]
    pub jobs: Option<usize>,
    /// Print every happening, one line each
    #[arg(long)]
    pub log: bool,
    /// Send every client's message through the codec too: the hashes stay the same
    #[arg(long)]
    pub codec: bool,
    /// Print each seed's trace hash
    #[arg(long)]
    pub hashes: bool,
    /// Plant a historical bug in every broker, and run seeds until its checker finds it
    #[arg(long, value_name = "NAME", value_parser = hunt::by_name)]
    pub mutant: Option<Mutant>,
    /// List the historical bugs that can be planted; with --write, hunt all of them
    #[arg(long, conflicts_with = "mutant")]
    pub mutants: bool,
    /// Write the table of mutants, with the seeds that found them, to this file
    #[arg(long, value_name = "FILE", requires = "mutants")]
    pub write: Option<PathBuf>,
}

impl Sim {
    /// Runs the seeds; fails if a rule was broken.
    pub fn run(&self) -> Outcome {
        let seeds = if self.seeds == SEEDS_DEFAULT { SEEDS_MAX } else { self.seeds };
        let first = self.seed.unwrap_or(1);
        if self.mutants && self.write.is_none() {
            hunt::list();
            return Ok(());
        }
        if self.mutants {
            return hunt::run(None, first, seeds, self.jobs(), self.write.as_deref());
        }
        if self.mutant.is_some() && self.seed.is_none() {
            return hunt::run(self.mutant, first, seeds, 1, None);
        }
        if run(self) { Ok(()) } else { Err(Failure { exit: Exit::Failed, reason: String::new() }) }
    }
}

impl Sim {
    fn jobs(&self) -> usize {
        self.jobs.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1)
    }
}

/// Runs the seeds; true if every rule held.
fn run(args: &Sim) -> bool {
    let first = args.seed.unwrap_or(1);
    let count = if args.seed.is_some() && args.seeds == SEEDS_DEFAULT { 1 } else { args.seeds };
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let jobs = args.jobs();
    let mut totals: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut done, mut failed, mut virtual_ms, mut acked, mut all_hashes) = (0_u64, Vec::new(), 0, 0, 0_u64);
    std::thread::scope(|scope| {
        let (sender, reports) = mpsc::channel();
        for _ in 0..jobs.max(1) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first.saturating_add(count) || sender.send(run_one(args, seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (report, agrees) in reports {
            done += 1;
            virtual_ms += report.virtual_ms;
            acked += report.acked;
            all_hashes = all_hashes.wrapping_add(report.hash);
            for (what, count) in &report.counts {
                *totals.entry(what).or_default() += count;
            }
            if args.hashes {
                println!("seed {} hash {:016x} happenings {}", report.seed, report.hash, report.happenings);
            }
            if !agrees {
                println!("seed {}: two runs differ", report.seed);
                failed.push(report.seed);
            }
            if let Some(failure) = &report.failure {
                println!("seed {} failed after {} happenings:\n{failure}", report.seed, report.happenings);
                println!("run it again: {}\n", command(args, report.seed));
                failed.push(report.seed);
            }
        }
    });
    for (what, count) in &totals {
        println!("{count:>10} {what}");
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{done} seeds in {seconds:.1} s, {:.0} virtual seconds a second, {acked} batches acknowledged, hash {all_hashes:016x}",
        f64::from(u32::try_from(virtual_ms / 1_000).unwrap_or(u32::MAX)) / seconds
    );
    failed.sort_unstable();
    failed.dedup();
    if failed.is_empty() {
        println!("every rule held");
    } else {
        println!("{} seeds failed: {failed:?}", failed.len());
    }
    failed.is_empty()
}

/// Runs a seed; a panic of the engine is a failure like any other, and prints the command that repeats it.
fn run_one(args: &Sim, seed: u64) -> (Report, bool) {
    let options = Options { seed, brokers: args.brokers, log: args.log, mutant: args.mutant, has_codec: args.codec };
    let ran = std::panic::catch_unwind(|| {
        let report = run::run(options);
        let agrees = !args.twice || run::run(options).hash == report.hash;
        (report, agrees)
    });
    ran.unwrap_or_else(|panic| {
        eprintln!("run it again: {}", command(args, seed));
        std::panic::resume_unwind(panic)
    })
}

fn command(args: &Sim, seed: u64) -> String {
    let brokers = args.brokers.map(|brokers| format!(" --brokers {brokers}")).unwrap_or_default();
    let mutant = args.mutant.map(|mutant| format!(" --mutant {}", mutant.name())).unwrap_or_default();
    format!("kafkarium sim --seed {seed} --seeds 1{brokers}{mutant}")
}

//! `kafkarium sim`: runs seeds of the simulated world, headless, and says for each that fails how to run it again.

use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::hunt;
use crate::cluster::sim::mutants::SEEDS_MAX;
use crate::cluster::sim::plan_file::PlanFile;
use crate::cluster::sim::run::{self, Options, Report, Run};
use crate::cluster::sim::shrink;
use crate::engine::mutant::Mutant;
use clap::Args;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

/// So many runs at most does it take to make a plan small.
const SHRINK_TRIES_MAX: usize = 200;

/// How many seeds are run unless told otherwise.
const SEEDS_DEFAULT: u64 = 100;

/// Run the cluster in a seeded world with faults, and check every rule after every step.
#[derive(Debug, Clone, Args)]
pub struct Sim {
    /// How many seeds to run [default: 100, or the one that --seed names]
    #[arg(long, value_name = "N")]
    pub seeds: Option<u64>,
    /// The first seed; without --seeds the one to run again
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// How many brokers each world has; drawn from the seed unless given
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=9))]
    pub brokers: Option<i32>,
    /// How long faults last in each world, in virtual seconds [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: Option<u64>,
    /// Have clients transfer amounts in transactions in every world, and not only where a seed draws it
    #[arg(long)]
    pub transfers: bool,
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
    /// Run the plan of faults in this file instead of the one that a seed draws
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seeds", "brokers"])]
    pub plan: Option<PathBuf>,
    /// Leave out of a failing run's plan what is not needed to fail, and print what is left
    #[arg(long)]
    pub shrink: bool,
    /// Write the plan of the first run that fails, or of the one seed that is run, to this file
    #[arg(long, value_name = "FILE")]
    pub emit_plan: Option<PathBuf>,
    /// Write the first run that fails, or the one seed that is run, to this file as a demo
    #[arg(long, value_name = "FILE")]
    pub emit_demo: Option<PathBuf>,
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
        let seeds = self.seeds.unwrap_or(SEEDS_MAX);
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
        if let Some(file) = &self.plan {
            return self.run_plan(file);
        }
        let (failed, last) = run(self);
        match failed.first() {
            None if self.seeds == Some(1) || self.seed.is_some() => self.keep_seed(last, None),
            None => Ok(()),
            Some((seed, rule)) => {
                self.keep_seed(*seed, Some(rule))?;
                Err(Failure { exit: Exit::Failed, reason: String::new() })
            }
        }
    }
}

impl Sim {
    fn options(&self, seed: u64) -> Options {
        Options {
            brokers: self.brokers,
            log: self.log,
            mutant: self.mutant,
            has_codec: self.codec,
            seconds: self.seconds,
            has_transfers: self.transfers,
            ..Options::of(seed)
        }
    }

    /// Runs the plan of a file.
    fn run_plan(&self, path: &Path) -> Outcome {
        let failed = |reason: String| Failure { exit: Exit::Failed, reason: format!("{}: {reason}", path.display()) };
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let file = PlanFile::read(&text).map_err(failed)?;
        let options = Options { brokers: Some(file.brokers), ..self.options(file.seed) };
        let report = Run::new(options, Some(file.plan.clone())).finish();
        println!("seed {} hash {:016x} happenings {}", report.seed, report.hash, report.happenings);
        let Some(failure) = report.failure else {
            println!("every rule held");
            return self.keep(options, file, None);
        };
        println!("{failure}");
        self.keep(options, file, Some(failure.violation.rule))?;
        Err(failed(format!("{} is broken", failure.violation.rule)))
    }

    /// Shrinks the plan of a run if that was asked for, and writes it where it was asked for.
    fn keep(&self, options: Options, mut file: PlanFile, broken: Option<&'static str>) -> Outcome {
        if let Some(rule) = broken.filter(|_| self.shrink) {
            let quiet = Options { log: false, ..options };
            let fails = |plan: &_| shrink::broken_rule(quiet, plan) == Some(rule);
            let began = Instant::now();
            let (small, tries) = shrink::shrink(&file.plan, SHRINK_TRIES_MAX, fails);
            let (before, after) = (file.plan.faults.len(), small.faults.len());
            println!("{after} of {before} faults are needed ({tries} runs, {:.1} s):", began.elapsed().as_secs_f64());
            file.plan = small;
            print!("{}", file.write());
        }
        let files = [(&self.emit_plan, file.write()), (&self.emit_demo, file.demo(broken.unwrap_or("no rule")))];
        for (path, text) in files {
            if let Some(path) = path {
                let failed = |error| Failure { exit: Exit::Failed, reason: format!("{}: {error}", path.display()) };
                fs::write(path, text).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// What was asked for about the first seed that failed, or the only one that ran.
    fn keep_seed(&self, seed: u64, broken: Option<&'static str>) -> Outcome {
        if !self.shrink && self.emit_plan.is_none() && self.emit_demo.is_none() {
            return Ok(());
        }
        let run = Run::new(Options { log: false, ..self.options(seed) }, None);
        let brokers = i32::try_from(run.world.nodes.len()).expect("a few brokers");
        self.keep(self.options(seed), PlanFile { seed, brokers, plan: run.finish().plan }, broken)
    }

    fn jobs(&self) -> usize {
        self.jobs.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1)
    }
}

/// Runs the seeds. Those that failed, each with the rule that was broken, and the last that was run.
fn run(args: &Sim) -> (Vec<(u64, &'static str)>, u64) {
    let first = args.seed.unwrap_or(1);
    let count = args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { SEEDS_DEFAULT });
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
        for (report, agrees) in in_order(first, reports) {
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
                failed.push((report.seed, "determinism"));
            }
            if let Some(failure) = &report.failure {
                println!("seed {} failed after {} happenings:\n{failure}", report.seed, report.happenings);
                println!("run it again: {}\n", command(args, report.seed));
                failed.push((report.seed, failure.violation.rule));
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
    failed.dedup_by_key(|(seed, _)| *seed);
    if failed.is_empty() {
        println!("every rule held");
    } else {
        println!("{} seeds failed: {failed:?}", failed.len());
    }
    (failed, first.saturating_add(count).saturating_sub(1))
}

/// Reports in the order of their seeds, whichever is done first.
fn in_order(first: u64, reports: impl IntoIterator<Item = (Report, bool)>) -> impl Iterator<Item = (Report, bool)> {
    let mut early: BTreeMap<u64, (Report, bool)> = BTreeMap::new();
    let mut next = first;
    reports.into_iter().flat_map(move |(report, agrees)| {
        early.insert(report.seed, (report, agrees));
        let mut due = Vec::new();
        while let Some(report) = early.remove(&next) {
            next += 1;
            due.push(report);
        }
        due
    })
}

/// Runs a seed, or twice; whether both runs were the same.
fn run_one(args: &Sim, seed: u64) -> (Report, bool) {
    let report = run::run(args.options(seed));
    let agrees = !args.twice || run::run(args.options(seed)).hash == report.hash;
    (report, agrees)
}

fn command(args: &Sim, seed: u64) -> String {
    let brokers = args.brokers.map(|brokers| format!(" --brokers {brokers}")).unwrap_or_default();
    let mutant = args.mutant.map(|mutant| format!(" --mutant {}", mutant.name())).unwrap_or_default();
    format!("kafkarium sim --seed {seed} --seeds 1{brokers}{mutant}")
}

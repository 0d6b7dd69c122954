//! The simulator: a seed repeats its run to the byte, and the rules hold under faults that really happened.

use kafkarium::cluster::sim::plan_file::PlanFile;
use kafkarium::cluster::sim::run::{Options, Run, run};
use std::collections::BTreeMap;

fn options(seed: u64) -> Options {
    Options::of(seed)
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (first, second) = (run(options(7)), run(options(7)));
    assert_eq!((first.hash, first.happenings), (second.hash, second.happenings));
    assert_ne!(first.hash, run(options(8)).hash);
}

#[test]
fn the_codec_changes_nothing() {
    for seed in [7, 8] {
        let with = run(Options { has_codec: true, ..options(seed) });
        assert!(with.failure.is_none(), "kafkarium sim --seed {seed} --codec");
        assert_eq!(with.hash, run(options(seed)).hash, "seed {seed}");
    }
}

#[test]
fn a_plan_that_was_written_gives_the_run_of_its_seed() {
    for seed in 11..15 {
        let drawn = Run::new(options(seed), None);
        let brokers = i32::try_from(drawn.world.nodes.len()).expect("a few brokers");
        // The faults that aimed are in the plan too once they have struck.
        let report = drawn.finish();
        let file = PlanFile { seed, brokers, plan: report.plan };
        let read = PlanFile::read(&file.write()).expect("what was written can be read");
        let again = Options { brokers: Some(read.brokers), ..options(read.seed) };
        assert_eq!(Run::new(again, Some(read.plan)).finish().hash, report.hash, "seed {seed}");
    }
}

#[test]
fn no_seed_that_ever_failed_fails_again() {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/seeds.txt");
    let text = std::fs::read_to_string(path).expect("tests/seeds.txt can be read");
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let (seed, story) = line.split_once(' ').expect("a seed and its story");
        let report = run(options(seed.parse().expect("a seed")));
        assert!(report.failure.is_none(), "seed {seed} ({story}) fails again: {:?}", report.failure);
    }
}

#[test]
fn the_rules_hold_and_the_faults_really_happened() {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 1..=12 {
        let report = run(options(seed));
        if let Some(failure) = report.failure {
            panic!("kafkarium sim --seed {seed} --seeds 1\n{failure}");
        }
        assert!(report.acked > 0, "seed {seed} acknowledged nothing");
        for (what, count) in report.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    let brokers = ["kills", "power losses", "suspends", "restarts", "leader elections", "ISR shrinks", "truncations"];
    let others = ["cuts", "slow disks", "full disks", "failing disks", "torn tails", "logs compacted"];
    for what in brokers.into_iter().chain(others) {
        assert!(counts.get(what).is_some_and(|count| *count > 0), "no {what} in {counts:?}");
    }
}

//! The simulator: a seed repeats its run to the byte, and the rules hold under faults that really happened.

use kafkarium::cluster::sim::run::{Options, run};
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
    for what in
        ["kills", "power losses", "suspends", "cuts", "restarts", "leader elections", "ISR shrinks", "truncations"]
    {
        assert!(counts.get(what).is_some_and(|count| *count > 0), "no {what} in {counts:?}");
    }
}

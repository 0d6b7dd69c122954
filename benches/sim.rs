//! What going back and stepping in a simulated run cost: the aims are under 100 ms to any point of a 60 s run and under 1 ms a happening,
//! with 3 brokers and 100 records a second. `cargo bench --bench sim`.

use divan::Bencher;
use kafkarium::cluster::command::parse_line;
use kafkarium::cluster::sim::run::Run;
use kafkarium::cluster::sim::timeline::Timeline;
use kafkarium::engine::time::Instant;

const SEED: u64 = 4;
const LENGTH_MS: u64 = 60_000;

fn main() {
    divan::main();
}

/// A run of 60 virtual seconds at its end, the load still on.
fn full_run() -> Timeline {
    let mut timeline = Timeline::new(Run::open(SEED, 3));
    let lines = ["topic create orders --partitions 6 --replicas 3", "produce orders --rate 100/s"];
    lines.iter().for_each(|line| assert!(timeline.command(parse_line(line).expect("a command")).is_done()));
    timeline.run_to(Instant::from_millis(LENGTH_MS));
    assert!(timeline.broken().is_none(), "a run without faults breaks no rule");
    timeline
}

/// From the end of the run to a moment just before a checkpoint, which is the furthest from the one before.
#[divan::bench(args = [1_990, 30_990, 58_990], sample_count = 20, sample_size = 1)]
fn rewind_of_60_s(bencher: Bencher<'_, '_>, to_ms: u64) {
    let full = full_run();
    bencher.with_inputs(|| full.clone()).bench_local_values(|mut timeline| {
        timeline.go_to(Instant::from_millis(to_ms));
        timeline
    });
}

/// One happening with every rule checked after it; the slowest also keep a checkpoint.
#[divan::bench(sample_count = 20_000, sample_size = 1)]
fn step(bencher: Bencher<'_, '_>) {
    let mut timeline = full_run();
    bencher.bench_local(|| timeline.step());
}

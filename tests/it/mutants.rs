//! The simulator finds every planted bug, each by the checker that ought to: on the seed that `docs/mutants.md` records, or else on one of a
//! few new ones. `MUTANT_SEEDS=50` runs so many new seeds of each.

use kafkarium::cluster::sim::mutants::{hunt, recorded};
use kafkarium::engine::mutant::Mutant;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

/// So many new seeds a mutant has if its recorded one does not show it.
const NEW_SEEDS: u64 = 5;
/// New seeds begin here: no search for the recorded ones comes so far.
const FIRST_NEW_SEED: u64 = 1_000_000;

fn seeds_recorded() -> BTreeMap<Mutant, Option<u64>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/mutants.md");
    recorded(&fs::read_to_string(path).expect("docs/mutants.md can be read"))
}

#[test]
fn the_simulator_finds_every_recorded_mutant_by_its_checker() {
    let new_seeds = std::env::var("MUTANT_SEEDS").ok().map(|count| count.parse().expect("MUTANT_SEEDS is a number"));
    let new = FIRST_NEW_SEED..FIRST_NEW_SEED + new_seeds.unwrap_or(NEW_SEEDS);
    let seeds = seeds_recorded();
    let known: Vec<Mutant> = seeds.keys().copied().collect();
    let (next, missed) = (Mutex::new(known.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                loop {
                    let Some(mutant) = next.lock().expect("no hunter panics").next() else { return };
                    let first = seeds.get(&mutant).copied().flatten();
                    let hunt = hunt(mutant, first.into_iter().chain(new.clone()));
                    if hunt.found.is_none() {
                        missed.lock().expect("no hunter panics").push((mutant.name(), hunt.others));
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().expect("no hunter panics");
    assert!(
        missed.is_empty(),
        "kafkarium sim --mutants --write docs/mutants.md records new seeds; not found: {missed:?}"
    );
}

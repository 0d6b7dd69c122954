//! The hunt for planted bugs: seeds are run one after another until one of the checkers that ought to find a mutant does. What was found is
//! written as a table, and a table that was written is read again, so that a test runs each mutant on its recorded seed.
//!
//! Invariant: a mutant counts as found only by a checker of its own list. That another rule breaks first, or that the engine stops at an
//! assertion of its own, is counted and is not enough.

use crate::cluster::sim::run::{self, Options};
use crate::engine::mutant::{Mutant, STORIES};
use std::collections::BTreeMap;
use std::fmt::Write;

/// So many seeds at most may a mutant take.
pub const SEEDS_MAX: u64 = 2_000;

/// What the table says where nothing was found.
const NOT_FOUND: &str = "not found";

/// How a hunt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunt {
    /// What was planted.
    pub mutant: Mutant,
    /// The seed that showed it and the checker that saw it.
    pub found: Option<(u64, &'static str)>,
    /// How many seeds were run.
    pub seeds: u64,
    /// What else broke on the way, by rule; an assertion of the engine under its own name.
    pub others: BTreeMap<&'static str, u64>,
}

/// Runs seeds until a mutant is found.
pub fn hunt(mutant: Mutant, seeds: impl IntoIterator<Item = u64>) -> Hunt {
    let mut hunt = Hunt { mutant, found: None, seeds: 0, others: BTreeMap::new() };
    for seed in seeds {
        hunt.seeds += 1;
        let options = Options { mutant: Some(mutant), ..Options::of(seed) };
        match run::run(options).failure.map(|failure| failure.violation.rule) {
            Some(rule) if mutant.story().checkers.contains(&rule) => {
                hunt.found = Some((seed, rule));
                return hunt;
            }
            Some(rule) => *hunt.others.entry(rule).or_default() += 1,
            None => {}
        }
    }
    hunt
}

/// The table for people, in the order of the stories.
pub fn table(hunts: &[Hunt]) -> String {
    let mut text = String::from(HEAD);
    for story in STORIES {
        let Some(hunt) = hunts.iter().find(|hunt| hunt.mutant == story.mutant) else { continue };
        let (seed, checker) = match hunt.found {
            Some((seed, checker)) => (seed.to_string(), checker),
            None => (NOT_FOUND.to_owned(), ""),
        };
        let (name, breaks, source, seeds) = (story.name, story.breaks, story.source, hunt.seeds);
        writeln!(text, "| `{name}` | {breaks} | {source} | {checker} | {seed} | {seeds} |")
            .expect("a string takes what is written");
    }
    text
}

const HEAD: &str = "# Mutants\n\n\
    Historical bugs, planted one at a time in the simulated cluster. Each is a value of `engine/mutant.rs`, at the line where the rule lives \
    that forbids it; a live host cannot have one. The simulator has to find each, by the checker that ought to: a mutant that nobody finds \
    is a hole in the simulator.\n\n\
    `kafkarium sim --mutant NAME --seed SEED` shows one. `kafkarium sim --mutants --write docs/mutants.md` hunts all of them anew, from seed 1 on, \
    and writes this file.\n\n\
    | mutant | what it breaks | source | found by | seed | seeds it took |\n\
    |---|---|---|---|---:|---:|\n";

/// What a table tells of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The seed that showed it; `None` if none did.
    pub seed: Option<u64>,
    /// How many seeds were run.
    pub seeds: u64,
}

/// What a table records, by mutant.
pub fn recorded(table: &str) -> BTreeMap<Mutant, Recorded> {
    let mut found = BTreeMap::new();
    for line in table.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1).map(|name| name.trim_matches('`')).and_then(Mutant::by_name);
        let seeds = cells.get(6).and_then(|seeds| seeds.parse().ok());
        if let (Some(mutant), Some(seed), Some(seeds)) = (name, cells.get(5), seeds) {
            found.insert(mutant, Recorded { seed: seed.parse().ok(), seeds });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_was_written_is_read_again() {
        let (found, missed) = (Mutant::AckBeforeIsr, Mutant::NoPreVote);
        let hunts = [
            Hunt { mutant: found, found: Some((17, "NoCommittedRecordLost")), seeds: 17, others: BTreeMap::new() },
            Hunt { mutant: missed, found: None, seeds: 2_000, others: BTreeMap::new() },
        ];
        let expected =
            [(found, Recorded { seed: Some(17), seeds: 17 }), (missed, Recorded { seed: None, seeds: 2_000 })];
        assert_eq!(recorded(&table(&hunts)), BTreeMap::from(expected));
    }
}

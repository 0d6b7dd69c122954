//! A set of numbers that come almost in order, kept as ranges.
//!
//! Invariants: ranges do not touch; memory is that of the gaps.

use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    /// First number of each range, and the one after its last.
    ranges: BTreeMap<u64, u64>,
}

impl Ranges {
    fn around(&self, number: u64) -> Option<(u64, u64)> {
        let (first, end) = self.ranges.range(..=number).next_back()?;
        (number < *end).then_some((*first, *end))
    }

    /// Whether a number is in.
    pub(super) fn contains(&self, number: u64) -> bool {
        self.around(number).is_some()
    }

    /// Puts a number in; false if it was in.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        let before = self.ranges.range(..number).next_back().map(|(first, end)| (*first, *end));
        let first = before.filter(|(_, end)| *end == number).map_or(number, |(first, _)| first);
        let end = self.ranges.remove(&(number + 1)).unwrap_or(number + 1);
        self.ranges.insert(first, end);
        true
    }

    /// Takes a number out; false if it was not in.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let Some((first, end)) = self.around(number) else { return false };
        self.ranges.remove(&first);
        if first < number {
            self.ranges.insert(first, number);
        }
        if number + 1 < end {
            self.ranges.insert(number + 1, end);
        }
        true
    }

    /// How many ranges there are.
    #[cfg(test)]
    pub(super) fn pieces(&self) -> usize {
        self.ranges.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::prng::Prng;
    use std::collections::BTreeSet;

    #[test]
    fn it_agrees_with_a_plain_set() {
        let (mut rng, mut ranges, mut model) = (Prng::new(3), Ranges::default(), BTreeSet::new());
        for _ in 0..20_000 {
            let number = rng.below(200);
            if rng.chance(1, 2) {
                assert_eq!(ranges.insert(number), model.insert(number));
            } else {
                assert_eq!(ranges.remove(number), model.remove(&number));
            }
            assert_eq!(ranges.contains(number), model.contains(&number));
            let starts = model.iter().filter(|number| **number == 0 || !model.contains(&(**number - 1))).count();
            assert_eq!(ranges.pieces(), starts);
        }
    }
}

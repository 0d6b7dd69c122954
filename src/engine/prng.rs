//! The engine's own pseudo-random numbers: xoshiro256** seeded by splitmix64. Its stream must never change, because a seed in a
//! report has to repeat the run years later; so it is ours and not a dependency's. Not for secrets.

use serde::{Deserialize, Serialize};

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prng {
    state: [u64; 4],
}

impl Prng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Prng {
        let mut mix = seed;
        let mut next = || {
            mix = mix.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = mix;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        Prng { state: [next(), next(), next(), next()] }
    }

    /// A stream of its own for a purpose: one more draw there does not shift the numbers here. Draws once from this stream.
    pub fn fork(&mut self, label: &str) -> Prng {
        let mut hash = 0xCBF2_9CE4_8422_2325_u64;
        for byte in label.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        Prng::new(self.next_u64() ^ hash)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let result = self.state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = self.state[1] << 17;
        self.state[2] ^= self.state[0];
        self.state[3] ^= self.state[1];
        self.state[1] ^= self.state[2];
        self.state[0] ^= self.state[3];
        self.state[2] ^= t;
        self.state[3] = self.state[3].rotate_left(45);
        result
    }

    /// A number below `bound`, without bias that matters (multiply and shift).
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a range must not be empty");
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of 128 bits")
    }

    /// A number in the closed range `low..=high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "a range must not be empty");
        match (high - low).checked_add(1) {
            Some(width) => low + self.below(width),
            None => self.next_u64(),
        }
    }

    /// True `numerator` times in `denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// One of a slice; `None` if it is empty.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let length = u64::try_from(from.len()).expect("a length fits 64 bits");
        (length > 0).then(|| &from[usize::try_from(self.below(length)).expect("an index")])
    }

    /// Brings a slice into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let bound = u64::try_from(i + 1).expect("a length fits 64 bits");
            items.swap(i, usize::try_from(self.below(bound)).expect("an index"));
        }
    }

    /// A random version 4 UUID that is not one of the small ones Kafka reserves.
    pub fn uuid(&mut self) -> uuid::Uuid {
        let high = u128::from(self.next_u64());
        let low = u128::from(self.next_u64());
        uuid::Builder::from_random_bytes(((high << 64) | low).to_be_bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_a_seed_never_changes() {
        let mut prng = Prng::new(42);
        let drawn: Vec<u64> = (0..4).map(|_| prng.next_u64()).collect();
        assert_eq!(drawn, STREAM_OF_42);
    }

    const STREAM_OF_42: [u64; 4] =
        [1_546_998_764_402_558_742, 6_990_951_692_964_543_102, 12_544_586_762_248_559_009, 17_057_574_109_182_124_193];

    #[test]
    fn forks_of_different_labels_differ_and_ranges_are_closed() {
        let mut a = Prng::new(1);
        let mut b = Prng::new(1);
        assert_ne!(a.fork("links").next_u64(), b.fork("disks").next_u64());
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| a.range(3, 5)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(a.range(u64::MAX, u64::MAX), u64::MAX);
    }
}

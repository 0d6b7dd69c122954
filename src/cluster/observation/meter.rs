//! Rates as means over about a second, and the rings of samples behind the sparks and strips.
//!
//! Invariants: a counter that falls (a broker started again, a log was cut) begins a new measurement instead of a huge rate; a ring
//! never grows beyond its length; time that did not pass (a pause) adds no sample.
//!
//! Deliberately not here: what is measured. Times are milliseconds of cluster time.

use std::collections::VecDeque;
use std::sync::Arc;

/// After this long an anchor moves on: a rate is the mean over half a second to a second and a half.
const ANCHOR_MS: u64 = 500;

/// The rate of a counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rate {
    /// Where the mean begins.
    from: Option<(u64, u64)>,
    /// Where the next mean begins.
    next: (u64, u64),
    per_second: u64,
}

impl Rate {
    /// Takes a reading of the counter.
    pub(super) fn read(&mut self, at_ms: u64, value: u64) {
        let Some((from_ms, from)) = self.from.filter(|(from_ms, from)| *from <= value && *from_ms <= at_ms) else {
            *self = Rate { from: Some((at_ms, value)), next: (at_ms, value), per_second: 0 };
            return;
        };
        let passed_ms = at_ms - from_ms;
        if passed_ms > 0 {
            let scaled = u128::from(value - from) * 1_000 / u128::from(passed_ms);
            // A burst in the first milliseconds of a measurement is no rate yet.
            let has_run = passed_ms >= ANCHOR_MS / 2;
            self.per_second = if has_run { u64::try_from(scaled).unwrap_or(u64::MAX) } else { self.per_second };
        }
        if at_ms - self.next.0 >= ANCHOR_MS {
            self.from = Some(self.next);
            self.next = (at_ms, value);
        }
    }

    /// The mean, a second.
    pub(super) fn per_second(&self) -> u64 {
        self.per_second
    }

    /// Whether another reading of the same value would change nothing.
    pub(super) fn is_still(&self, value: u64) -> bool {
        self.per_second == 0 && self.from.is_some_and(|(_, from)| from == value) && self.next.1 == value
    }
}

/// Samples at even distances, the newest last.
#[derive(Debug, Clone)]
pub(super) struct Samples<T> {
    every_ms: u64,
    length: usize,
    /// The slot of the last sample: its time divided by `every_ms`.
    last: Option<u64>,
    /// All but the newest, which changes as long as its slot lasts; copies share the rest.
    ring: Arc<VecDeque<T>>,
    newest: Option<T>,
}

impl<T: Copy + Default> Samples<T> {
    /// A ring of `length` samples, one each `every_ms`.
    pub(super) fn new(every_ms: u64, length: usize) -> Samples<T> {
        Samples { every_ms, length, last: None, ring: Arc::default(), newest: None }
    }

    /// Takes a sample. Within one slot the last one counts; slots that were missed repeat it.
    pub(super) fn push(&mut self, at_ms: u64, sample: T) {
        let slot = at_ms / self.every_ms;
        let missed = self.last.map_or(1, |last| slot.saturating_sub(last));
        if missed > 0 {
            self.last = Some(slot);
            let ring = Arc::make_mut(&mut self.ring);
            let repeated = (missed - 1).min(self.length as u64);
            for done in self.newest.into_iter().chain((0..repeated).map(|_| sample)) {
                ring.push_back(done);
            }
            while ring.len() >= self.length {
                ring.pop_front();
            }
        }
        self.newest = Some(sample);
    }

    fn len(&self) -> usize {
        self.ring.len() + usize::from(self.newest.is_some())
    }

    fn range(&self, from: usize, to: usize) -> impl Iterator<Item = T> {
        let older = self.ring.range(from.min(self.ring.len())..to.min(self.ring.len()));
        older.copied().chain(self.newest.filter(|_| from <= self.ring.len() && self.ring.len() < to))
    }

    /// The newest `count` samples, oldest first; fewer at the start.
    pub(super) fn newest(&self, count: usize) -> Vec<T> {
        self.range(self.len().saturating_sub(count), self.len()).collect()
    }

    /// What it takes in memory, itself aside, where nothing of it is shared.
    pub(super) fn bytes(&self) -> usize {
        self.ring.capacity() * size_of::<T>()
    }

    /// ... beyond what it shares with another.
    pub(super) fn bytes_beyond(&self, other: &Samples<T>) -> usize {
        if Arc::ptr_eq(&self.ring, &other.ring) { 0 } else { self.bytes() }
    }

    /// Whether another sample in this slot, of the same value, would change nothing.
    pub(super) fn is_still(&self, at_ms: u64, sample: T) -> bool
    where
        T: PartialEq,
    {
        self.newest == Some(sample) && self.last.is_some_and(|last| at_ms / self.every_ms <= last)
    }

    /// The `window_ms` before a moment as `columns` values, oldest first, each folded from the samples that fall into it. Columns before
    /// the first sample are the default.
    pub(super) fn columns_until(&self, at_ms: u64, window_ms: u64, columns: usize, fold: impl Fn(&[T]) -> T) -> Vec<T> {
        let wanted = window_ms.div_ceil(self.every_ms).max(1);
        let later = self.last.map_or(0, |last| last.saturating_sub(at_ms / self.every_ms));
        let have = (self.len() as u64).saturating_sub(later);
        let column = |index: u64| {
            // Counted from the moment's sample backwards, so that the right edge is the moment.
            let back = |index: u64| wanted - wanted * index / columns as u64;
            let (from, to) = (back(index), back(index + 1).min(back(index).saturating_sub(1)));
            let place = |back: u64| usize::try_from(have.saturating_sub(back)).unwrap_or(0);
            let samples: Vec<T> = self.range(place(from), place(to)).collect();
            if from > have && samples.is_empty() { T::default() } else { fold(&samples) }
        };
        (0..columns as u64).map(column).collect()
    }

    /// The same up to the newest sample.
    pub(super) fn columns(&self, window_ms: u64, columns: usize, fold: impl Fn(&[T]) -> T) -> Vec<T> {
        self.columns_until(u64::MAX, window_ms, columns, fold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_mean_of_the_last_second_and_falls_to_zero() {
        let mut rate = Rate::default();
        for tick in 0..40_u64 {
            rate.read(tick * 100, 5_000 + tick * 20);
        }
        assert_eq!(rate.per_second(), 200);
        let still = 5_000 + 39 * 20;
        for tick in 40..60_u64 {
            rate.read(tick * 100, still);
        }
        assert_eq!(rate.per_second(), 0);
        assert!(rate.is_still(still) && !rate.is_still(still + 1));
    }

    #[test]
    fn a_counter_that_falls_begins_anew() {
        let mut rate = Rate::default();
        (0..20_u64).for_each(|tick| rate.read(tick * 100, 1_000_000 + tick));
        rate.read(2_000, 3);
        assert_eq!(rate.per_second(), 0);
        (21..40_u64).for_each(|tick| rate.read(tick * 100, 3 + (tick - 20) * 10));
        assert_eq!(rate.per_second(), 100);
    }

    #[test]
    fn the_newest_samples_come_last_and_missed_slots_repeat() {
        let mut samples = Samples::new(100, 5);
        samples.push(0, 1_u32);
        samples.push(50, 2);
        samples.push(300, 3);
        assert_eq!(samples.newest(10), [2, 3, 3, 3]);
        samples.push(10_000, 4);
        assert_eq!(samples.newest(10), [4; 5]);
        assert_eq!(samples.newest(2), [4, 4]);
    }

    #[test]
    fn columns_end_now_whether_they_are_wider_or_narrower_than_a_sample() {
        let mut samples = Samples::new(250, 100);
        (0..40_u32).for_each(|slot| samples.push(u64::from(slot) * 250, slot));
        let most = |samples: &[u32]| samples.iter().copied().max().unwrap_or(0);
        assert_eq!(samples.columns(2_000, 4, most), [33, 35, 37, 39]);
        assert_eq!(samples.columns(1_000, 8, most), [36, 36, 37, 37, 38, 38, 39, 39]);
        let long = samples.columns(20_000, 8, most);
        assert_eq!(long, [0, 0, 0, 0, 9, 19, 29, 39]);
        assert_eq!(samples.columns_until(7_400, 2_000, 4, most), [23, 25, 27, 29], "as it was then");
    }
}

//! A broker's clock in the simulated world: it may run faster or slower than the world's, and never goes back.
//!
//! Invariants: without drift it is the world's; a moment on it is never earlier in the world than it is asked for.

use crate::engine::time::Instant;

const MILLION: i128 = 1_000_000;

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    /// It runs faster by so many parts in a million.
    per_million: i64,
    /// Since when, by the world's clock and by its own.
    since: (Instant, Instant),
}

impl Clock {
    /// From now on it runs faster by so many parts in a million; slower if there are fewer than none.
    pub fn set_drift(&mut self, now: Instant, per_million: i64) {
        self.since = (now, self.local(now));
        self.per_million = per_million;
    }

    /// What it shows at a moment of the world.
    pub fn local(&self, now: Instant) -> Instant {
        let passed = i128::from(now.0) - i128::from(self.since.0.0);
        let here = passed + passed * i128::from(self.per_million) / MILLION;
        instant(i128::from(self.since.1.0) + here)
    }

    /// The first moment of the world at which it shows at least this.
    pub fn moment(&self, local: Instant) -> Instant {
        let here = i128::from(local.0) - i128::from(self.since.1.0);
        let pace = MILLION + i128::from(self.per_million);
        let passed = (here * MILLION).div_euclid(pace);
        // Rounding is off by two at most.
        let mut at = instant(i128::from(self.since.0.0) + passed - 2);
        while self.local(at) < local {
            at = Instant(at.0 + 1);
        }
        at
    }
}

fn instant(nanos: i128) -> Instant {
    Instant(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_without_drift_is_the_worlds() {
        let clock = Clock::default();
        for nanos in [0, 1, 999_999_937] {
            assert_eq!((clock.local(Instant(nanos)), clock.moment(Instant(nanos))), (Instant(nanos), Instant(nanos)));
        }
    }

    #[test]
    fn it_never_goes_back_and_wakes_are_never_too_early() {
        let mut clock = Clock::default();
        let mut before = Instant::ZERO;
        for (second, drift) in (1..).zip([30_000, -30_000, 0, 17, -999]) {
            let now = Instant(second * 1_000_000_007);
            clock.set_drift(now, drift);
            assert!(clock.local(now) >= before);
            for local in (0..5_000).map(|step| Instant(clock.local(now).0 + step * 7_919)) {
                let at = clock.moment(local);
                assert!(clock.local(at) >= local && (at == now || clock.local(Instant(at.0 - 1)) < local));
            }
            before = clock.local(Instant(now.0 + 1_000_000_006));
        }
    }
}

//! How many records are due: a steady rate that follows cluster time.
//!
//! Invariants: over time exactly the rate, whatever the steps; no burst after a pause or a machine that slept.
//!
//! Deliberately not here: clocks.

use std::time::Duration;

/// The most time that is made up for at once: what was missed beyond is not sent later.
const CATCH_UP: Duration = Duration::from_millis(500);

/// How cluster time runs against real time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) struct Pace {
    /// Thousandths; 0 while it stands still.
    pub(in crate::cluster) permille: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { permille: 1_000 }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(in crate::cluster) struct Beat {
    /// Cluster time from one record to the next.
    interval: Duration,
    /// Cluster time that has passed since the last record.
    passed: Duration,
}

impl Beat {
    /// A record each `interval`, the first at once.
    pub(in crate::cluster) fn new(interval: Duration) -> Beat {
        let interval = interval.max(Duration::from_nanos(1));
        Beat { interval, passed: interval }
    }

    /// How many records are due after so much more real time.
    pub(in crate::cluster) fn due(&mut self, elapsed: Duration, pace: Pace) -> u64 {
        self.passed += elapsed.min(CATCH_UP) * pace.permille / 1_000;
        let due = self.passed.as_nanos() / self.interval.as_nanos();
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        let left = self.passed.as_nanos() % self.interval.as_nanos();
        self.passed = Duration::from_nanos(u64::try_from(left).expect("less than an interval"));
        due
    }

    /// How long to wait for a turn worth taking: until the next record of a slow load, or `tick` for a fast one, so that its records go
    /// in batches.
    pub(in crate::cluster) fn next(&self, tick: Duration, pace: Pace) -> Duration {
        let left = self.interval.saturating_sub(self.passed);
        // In real time; a clock that stands still is looked at again after a tick.
        let real = left.checked_mul(1_000).map_or(left, |left| left / pace.permille.max(1));
        if pace.permille == 0 { tick } else { real.clamp(tick.min(self.interval), tick.max(Duration::from_secs(1))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_it_is_exactly_the_rate_whatever_the_steps() {
        let mut beat = Beat::new(Duration::from_millis(7));
        let steps = [1, 13, 40, 2, 99, 7];
        let sent: u64 =
            steps.iter().cycle().take(600).map(|step| beat.due(Duration::from_millis(*step), Pace::default())).sum();
        let passed: u64 = steps.iter().sum::<u64>() * 100;
        assert_eq!(sent, passed / 7 + 1, "the first one is due at once");
    }

    #[test]
    fn slowed_time_sends_less_and_paused_time_nothing() {
        let mut beat = Beat::new(Duration::from_millis(10));
        assert_eq!(beat.due(Duration::from_millis(400), Pace { permille: 100 }), 5);
        assert_eq!(beat.due(Duration::from_millis(400), Pace { permille: 0 }), 0);
        assert_eq!(beat.next(Duration::from_millis(100), Pace { permille: 0 }), Duration::from_millis(100));
    }

    #[test]
    fn a_machine_that_slept_causes_no_burst() {
        let mut beat = Beat::new(Duration::from_millis(1));
        assert!(beat.due(Duration::from_secs(3_600), Pace::default()) <= 501);
    }

    #[test]
    fn slow_loads_wait_for_their_next_record_and_fast_ones_for_a_tick() {
        let tick = Duration::from_millis(100);
        let mut slow = Beat::new(Duration::from_millis(400));
        slow.due(Duration::ZERO, Pace::default());
        assert_eq!(slow.next(tick, Pace::default()), Duration::from_millis(400));
        let mut fast = Beat::new(Duration::from_millis(5));
        fast.due(Duration::ZERO, Pace::default());
        assert!(fast.next(tick, Pace::default()) <= tick);
    }
}

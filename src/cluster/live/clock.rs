//! Live time: the brokers' common monotonic time, which can be paused and slowed, and from which the machine's own
//! stalls are taken out.
//!
//! Invariants: never goes backwards; between two ticks it advances by no more than [`STALL`], so no broker ever sees
//! the jump of a laptop that slept: the tick that comes late takes the excess out for good. Wall time is never slowed.
//!
//! Deliberately not here: who ticks (the supervisor), and what waits for a moment (the brokers' threads ask
//! [`LiveClock::real_deadline`]).

use crate::engine::time::{Instant, WallTime};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant as RealInstant, SystemTime, UNIX_EPOCH};

/// How often the supervisor ticks.
pub const TICK: Duration = Duration::from_millis(50);
/// A tick that comes so much too late means that the machine stood still.
pub const STALL: Duration = Duration::from_millis(100);
/// Thousandths: as fast as real time.
const NORMAL: u32 = 1_000;

/// The clock of a live cluster.
#[derive(Debug)]
pub struct LiveClock {
    state: RwLock<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Cluster time at `since`.
    base: Instant,
    /// The real moment from which on cluster time has run at `speed_permille`.
    since: RealInstant,
    speed_permille: u32,
    is_paused: bool,
    last_tick: RealInstant,
}

impl State {
    fn at(&self, real: RealInstant) -> Instant {
        if self.is_paused {
            return self.base;
        }
        // Not beyond what the next tick will let stand.
        let real = real.min(self.last_tick + TICK + STALL);
        let elapsed = real.saturating_duration_since(self.since);
        self.base + elapsed * self.speed_permille / NORMAL
    }

    fn rebase(&mut self, real: RealInstant) {
        self.base = self.at(real);
        self.since = real;
    }
}

impl Default for LiveClock {
    fn default() -> LiveClock {
        let now = RealInstant::now();
        LiveClock {
            state: RwLock::new(State {
                base: Instant::ZERO,
                since: now,
                speed_permille: NORMAL,
                is_paused: false,
                last_tick: now,
            }),
        }
    }
}

impl LiveClock {
    fn read(&self) -> State {
        *self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, change: impl FnOnce(&mut State, RealInstant) -> R) -> R {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let now = RealInstant::now();
        change(&mut state, now)
    }

    /// Cluster time now.
    pub fn now(&self) -> Instant {
        self.read().at(RealInstant::now())
    }

    /// Wall time now, `skew_ms` milliseconds off.
    pub fn wall(&self, skew_ms: i64) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_add(skew_ms))
    }

    /// The real moment at which cluster time will be `at`, if nothing is changed meanwhile; `None` while time stands
    /// still.
    pub fn real_deadline(&self, at: Instant) -> Option<RealInstant> {
        let state = self.read();
        if state.is_paused {
            return None;
        }
        let real = RealInstant::now();
        let left = at.since(state.at(real));
        Some(real + left * NORMAL / state.speed_permille)
    }

    /// Stops time, or lets it go on. False if it was so already.
    pub fn set_paused(&self, is_paused: bool) -> bool {
        self.change(|state, now| {
            let changes = state.is_paused != is_paused;
            if changes {
                state.rebase(now);
                state.is_paused = is_paused;
            }
            changes
        })
    }

    /// Whether time stands still.
    pub fn is_paused(&self) -> bool {
        self.read().is_paused
    }

    /// Sets the speed in thousandths of real time.
    ///
    /// # Panics
    /// If it is zero: that is what pausing is for.
    pub fn set_speed(&self, permille: u32) {
        assert!(permille > 0, "time that does not run is paused");
        self.change(|state, now| {
            state.rebase(now);
            state.speed_permille = permille;
        });
    }

    /// The speed in thousandths of real time.
    pub fn speed_permille(&self) -> u32 {
        self.read().speed_permille
    }

    /// To be called each [`TICK`]. Returns by how much the machine stood still, if it did.
    pub fn tick(&self) -> Option<Duration> {
        self.change(|state, now| {
            let late = now.saturating_duration_since(state.last_tick).saturating_sub(TICK);
            let stalled = (late > STALL).then_some(late);
            // `rebase` sees the old tick and so keeps the excess out.
            state.rebase(now);
            state.last_tick = now;
            stalled
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock and the moment that its state calls now.
    fn state() -> (State, RealInstant) {
        let clock = LiveClock::default();
        let state = clock.read();
        (state, state.since)
    }

    #[test]
    fn a_slowed_clock_runs_slower_and_a_paused_one_stands() {
        let (mut state, start) = state();
        let at = |n: u64| start + Duration::from_millis(n);
        state.last_tick = at(1_000);
        assert_eq!(state.at(at(100)).as_millis(), 100);
        state.rebase(at(100));
        state.speed_permille = 100;
        assert_eq!(state.at(at(1_100)).as_millis(), 200);
        state.rebase(at(1_100));
        state.is_paused = true;
        assert_eq!(state.at(at(9_000)).as_millis(), 200);
    }

    #[test]
    fn a_late_tick_is_taken_out() {
        let clock = LiveClock::default();
        clock.change(|state, now| {
            let ago = now - Duration::from_secs(5);
            (state.since, state.last_tick) = (ago, ago);
        });
        let before = clock.now();
        assert!(before.as_millis() <= 150, "nobody sees the jump: {before}");
        let stalled = clock.tick().expect("a stall");
        assert!(stalled >= Duration::from_millis(4_900));
        assert!(clock.now() >= before && clock.now().as_millis() < 1_000);
        assert_eq!(clock.tick(), None);
    }
}

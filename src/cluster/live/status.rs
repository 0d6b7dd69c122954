//! How a broker is, as others see it without asking it.
//!
//! Invariants: written by the broker's thread and by who suspends it, read by anyone; never waited for.
//!
//! Deliberately not here: what a broker knows (that is its snapshot).

use crate::cluster::live::history::Ended;
use crate::cluster::store::StoreControl;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The part of its life a broker is in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Phase {
    /// It recovers its store.
    #[default]
    Starting,
    /// It takes part.
    Running,
    /// It has ended.
    Ended(Ended),
}

#[derive(Default)]
struct Inner {
    phase: Phase,
    is_fenced: bool,
    is_controller: bool,
    is_suspended: bool,
    store: Option<StoreControl>,
}

/// See the module.
#[derive(Default)]
pub struct Status {
    inner: Mutex<Inner>,
}

impl Status {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It runs. Says whether anything is new.
    pub fn set_running(&self, is_fenced: bool, is_controller: bool) -> bool {
        let mut inner = self.lock();
        let is_new =
            inner.phase != Phase::Running || (inner.is_fenced, inner.is_controller) != (is_fenced, is_controller);
        inner.phase = Phase::Running;
        (inner.is_fenced, inner.is_controller) = (is_fenced, is_controller);
        is_new
    }

    /// It is in another part of its life.
    pub fn set_phase(&self, phase: Phase) {
        let mut inner = self.lock();
        if phase != Phase::Running {
            inner.is_controller = false;
        }
        if matches!(phase, Phase::Ended(_)) {
            // Whoever holds it holds the database's lock.
            inner.store = None;
        }
        inner.phase = phase;
    }

    /// The part of its life it is in.
    pub fn phase(&self) -> Phase {
        self.lock().phase.clone()
    }

    /// It takes part and the controller lets it.
    pub fn is_serving(&self) -> bool {
        let inner = self.lock();
        inner.phase == Phase::Running && !inner.is_fenced && !inner.is_suspended
    }

    /// It is frozen, or no longer.
    pub fn set_suspended(&self, is_suspended: bool) {
        self.lock().is_suspended = is_suspended;
    }

    /// It is frozen.
    pub fn is_suspended(&self) -> bool {
        self.lock().is_suspended
    }

    /// Its store is open.
    pub fn set_store(&self, store: StoreControl) {
        self.lock().store = Some(store);
    }

    /// Its store, while it is open.
    pub fn store(&self) -> Option<StoreControl> {
        self.lock().store.clone()
    }
}

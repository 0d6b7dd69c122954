//! The faults that are active: on links, disks and clocks, and brokers that are down or frozen. What was done last can
//! be undone.
//!
//! Invariants: a fault stands here exactly as long as it acts; undoing goes back one intervention at a time, the newest
//! first.
//!
//! Deliberately not here: what a fault does (`link.rs`, `store`, `supervisor.rs`).

use crate::cluster::command::Command;
use crate::cluster::demo::Deed;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeMap;
use std::time::Duration;

/// So many interventions can be undone.
const UNDO_DEPTH: usize = 100;
/// So many deeds are remembered: a demo of more is none that anybody would watch.
const DEEDS_MAX: usize = 10_000;

/// What is wrong with a broker's disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// Every write takes so much longer.
    pub delay: Duration,
    /// Nothing can be written.
    pub is_full: bool,
    /// Nothing can be read or written.
    pub is_failing: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Faults {
    disks: BTreeMap<BrokerId, DiskFaults>,
    /// Since when, by what the fault is called.
    since: BTreeMap<String, Instant>,
    undo: Vec<Command>,
    /// What was done, the oldest first.
    deeds: Vec<Deed>,
}

impl Faults {
    /// What is wrong with a broker's disk.
    pub fn disk_of(&self, id: BrokerId) -> DiskFaults {
        self.disks.get(&id).copied().unwrap_or_default()
    }

    /// Changes what is wrong with a broker's disk; returns it.
    pub fn change_disk(&mut self, id: BrokerId, change: impl FnOnce(&mut DiskFaults)) -> DiskFaults {
        let faults = self.disks.entry(id).or_default();
        change(faults);
        let now = *faults;
        if now == DiskFaults::default() {
            self.disks.remove(&id);
        }
        now
    }

    /// Every disk with a fault.
    pub fn disks(&self) -> impl Iterator<Item = (BrokerId, DiskFaults)> {
        self.disks.iter().map(|(id, faults)| (*id, *faults))
    }

    /// Since when a fault acts; `now` if it is new.
    pub fn since(&mut self, name: &str, now: Instant) -> Instant {
        *self.since.entry(name.to_owned()).or_insert(now)
    }

    /// Forgets the beginnings of faults that are no more.
    pub fn keep_only(&mut self, names: &[String]) {
        self.since.retain(|name, _| names.contains(name));
    }

    /// An intervention can be undone by this.
    pub fn push_undo(&mut self, undo: Command) {
        self.undo.push(undo);
        if self.undo.len() > UNDO_DEPTH {
            self.undo.remove(0);
        }
    }

    /// What takes the last intervention back.
    pub fn pop_undo(&mut self) -> Option<Command> {
        self.undo.pop()
    }

    /// Something was done.
    pub fn remember(&mut self, deed: Deed) {
        if self.deeds.len() < DEEDS_MAX {
            self.deeds.push(deed);
        }
    }

    /// What was done, the oldest first.
    pub fn deeds(&self) -> &[Deed] {
        &self.deeds
    }

    /// How many interventions can be undone.
    pub fn undo_depth(&self) -> usize {
        self.undo.len()
    }

    /// Forgets what was added beyond so many.
    pub fn keep_undo(&mut self, depth: usize) {
        self.undo.truncate(depth);
    }

    /// Nothing is left to be undone.
    pub fn forget_undo(&mut self) {
        self.undo.clear();
    }
}

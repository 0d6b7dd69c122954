//! The rules, each in its own file, checked after every happening. A rule is proven by a planted bug that it finds.

mod election_safety;
mod high_watermark_monotonic;
mod history;
mod idempotent_append;
mod leader_completeness;
mod log_matching;
mod metadata_prefix;
mod no_committed_record_lost;
mod strong_isr;

use crate::cluster::sim::world::{StepOutcome, World};
use std::fmt;

pub use history::{Committed, History};

/// A rule was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: &'static str,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

impl std::error::Error for Violation {}

/// All rules, with what they remember.
#[derive(Debug, Clone, Default)]
pub struct Checkers {
    history: History,
    election_safety: election_safety::ElectionSafety,
    metadata_prefix: metadata_prefix::MetadataPrefix,
    high_watermark: high_watermark_monotonic::HighWatermarkMonotonic,
    strong_isr: strong_isr::StrongIsr,
    log_matching: log_matching::LogMatching,
    no_committed_record_lost: no_committed_record_lost::NoCommittedRecordLost,
}

impl Checkers {
    /// After a happening.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        self.election_safety.look(outcome)?;
        self.metadata_prefix.look(world, outcome)?;
        self.high_watermark.look(world, outcome)?;
        let news = self.history.look(world, outcome)?;
        idempotent_append::look(&self.history, &news)?;
        leader_completeness::look(&self.history, world, outcome)?;
        self.strong_isr.look(&self.history, world, outcome, &news)?;
        self.log_matching.look(world, outcome)?;
        self.no_committed_record_lost.look(&self.history, world)
    }

    /// When everything is healed and calm.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn at_end(&mut self, world: &World) -> Result<(), Violation> {
        log_matching::everywhere(world)?;
        no_committed_record_lost::at_end(&self.history, world)
    }

    /// What was committed.
    pub fn history(&self) -> &History {
        &self.history
    }
}

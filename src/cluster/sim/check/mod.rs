//! The rules, each in its own file, checked after every happening. A rule is proven by a planted bug that it finds.

mod commit_in_own_epoch;
mod committed_offset_never_regresses;
mod compaction;
pub mod consistent_read;
mod coordinators_replay;
mod decisions;
mod election_safety;
mod epoch_cache_matches_log;
mod exactly_once;
mod high_watermark_monotonic;
mod history;
mod idempotent_append;
mod leader_candidate_completeness;
mod leader_completeness;
mod leader_in_isr;
mod ledger_balances;
pub mod liveness;
mod log_matching;
mod metadata_leader_completeness;
mod metadata_prefix;
mod no_committed_record_lost;
mod no_disruptive_candidate;
pub mod no_hanging_transaction;
mod one_owner_per_partition;
mod read_committed;
mod replay_equals_live;
mod replication_quorum_superset;
mod strong_isr;
mod valid_isr_and_elr;

use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::controller::image::MetadataImage;
use history::News;
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
    decisions: decisions::Decisions,
    election_safety: election_safety::ElectionSafety,
    metadata_prefix: metadata_prefix::MetadataPrefix,
    high_watermark: high_watermark_monotonic::HighWatermarkMonotonic,
    strong_isr: strong_isr::StrongIsr,
    idempotent_append: idempotent_append::IdempotentAppend,
    log_matching: log_matching::LogMatching,
    compaction: compaction::CompactionKeepsLast,
    no_committed_record_lost: no_committed_record_lost::NoCommittedRecordLost,
    read_committed: read_committed::ReadCommitted,
    coordinators: coordinators_replay::CoordinatorsReplay,
    exactly_once: exactly_once::ExactlyOnce,
    committed_offset: committed_offset_never_regresses::CommittedOffsetNeverRegresses,
    no_disruptive_candidate: no_disruptive_candidate::NoDisruptiveCandidate,
    valid_isr_and_elr: valid_isr_and_elr::ValidIsrAndElr,
}

impl Checkers {
    /// After a happening.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        self.look_at_the_quorum(world, outcome)?;
        let news = self.history.look(world, outcome)?;
        let before = self.decisions.look(world, outcome);
        self.valid_isr_and_elr.note_starts(world, outcome);
        if let Some(before) = &before {
            leader_in_isr::look(&self.decisions, before)?;
            self.valid_isr_and_elr.look(world, &self.decisions, before, outcome.stepped)?;
        }
        replication_quorum_superset::look(&self.decisions, world, outcome, before.is_some())?;
        self.look_at_records(world, outcome, &news, before.as_deref())?;
        epoch_cache_matches_log::look(&self.history, world, outcome)?;
        replay_equals_live::look(world, outcome)?;
        self.log_matching.look(&self.history, world, outcome)?;
        if self.history.has_begun_anew() {
            // Clients were told what was true then.
            return Ok(());
        }
        self.compaction.look(world, outcome)?;
        self.coordinators.look(world, outcome)?;
        let is_quiet = outcome.stepped.is_some() && outcome.events.is_empty() && news.is_empty();
        if is_quiet { Ok(()) } else { self.look_at_clients(world, &news) }
    }

    /// What clients were told and believe: it changes by what they do, and is measured by what brokers tell.
    fn look_at_clients(&mut self, world: &World, news: &[News]) -> Result<(), Violation> {
        self.no_committed_record_lost.look(&self.history, world)?;
        one_owner_per_partition::look(world)?;
        self.committed_offset.look(&self.history, world, news)?;
        self.exactly_once.look(world)?;
        self.read_committed.look(&self.history, world)?;
        ledger_balances::look(world)
    }

    fn look_at_the_quorum(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        self.election_safety.look(world, outcome)?;
        self.no_disruptive_candidate.look(world, outcome)?;
        commit_in_own_epoch::look(world, outcome)?;
        metadata_leader_completeness::look(&self.metadata_prefix, world, outcome)?;
        self.metadata_prefix.look(world, outcome)
    }

    fn look_at_records(
        &mut self,
        world: &World,
        outcome: &StepOutcome,
        news: &[News],
        before: Option<&MetadataImage>,
    ) -> Result<(), Violation> {
        let (history, decisions) = (&self.history, &self.decisions);
        self.high_watermark.look(world, outcome)?;
        self.idempotent_append.look(history, news)?;
        leader_completeness::look(history, world, outcome)?;
        self.strong_isr.look(decisions, history, world, outcome, news)?;
        leader_candidate_completeness::look(decisions, history, &self.strong_isr, world, outcome, news, before)
    }

    /// When everything is healed and calm.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn at_end(&mut self, world: &World) -> Result<(), Violation> {
        log_matching::everywhere(&self.history, world)?;
        epoch_cache_matches_log::everywhere(&self.history, world)?;
        replay_equals_live::everywhere(world)?;
        coordinators_replay::everywhere(world)?;
        if self.history.has_begun_anew() {
            return Ok(());
        }
        self.compaction.at_end(world)?;
        no_committed_record_lost::at_end(&self.history, world)?;
        self.committed_offset.at_end()?;
        self.exactly_once.at_end(&self.history, world)?;
        read_committed::at_end(world)?;
        ledger_balances::at_end(world)
    }

    /// What was committed.
    pub fn history(&self) -> &History {
        &self.history
    }
}

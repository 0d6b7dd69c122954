//! State as role, glyph and word at once: the one table from facts to their looks.
//!
//! Invariant: every state has a glyph *and* a word, so that none is told by colour alone.

use crate::cluster::view::{BrokerCard, BrokerState, EventKind, FaultKind, PartitionSeverity, QuorumRole, ReplicaRole};
use crate::tui::glyphs;
use crate::tui::theme::Role;

/// How a state looks and what it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its role.
    pub role: Role,
    /// Its glyph.
    pub glyph: &'static str,
    /// Its word.
    pub word: &'static str,
}

const fn mark(role: Role, glyph: &'static str, word: &'static str) -> Mark {
    Mark { role, glyph, word }
}

/// A broker's state. A running broker with a fault looks like its fault.
pub fn broker(card: &BrokerCard) -> Mark {
    match &card.state {
        BrokerState::Running => match card.faults.first() {
            Some(chip) => fault(chip.kind),
            None => mark(Role::Sync, glyphs::ALIVE, "up"),
        },
        BrokerState::Starting => mark(Role::Lag, glyphs::STARTING, "starting"),
        BrokerState::Stopping => mark(Role::Lag, glyphs::STARTING, "stopping"),
        BrokerState::Stopped => mark(Role::Dead, glyphs::DEAD, "stopped"),
        BrokerState::Killed => mark(Role::Dead, glyphs::DEAD, "dead"),
        BrokerState::PowerLost => mark(Role::Dead, glyphs::DEAD, "no power"),
        BrokerState::Suspended => mark(Role::Lag, glyphs::HALTED, "suspended"),
        BrokerState::Fenced => mark(Role::Dead, glyphs::FENCED, "fenced"),
        BrokerState::Crashed { .. } => mark(Role::Dead, glyphs::DEAD, "crashed"),
    }
}

/// A broker's place in the quorum; nothing for an observer.
pub fn quorum(role: QuorumRole) -> Option<Mark> {
    match role {
        QuorumRole::Observer => None,
        QuorumRole::Voter => Some(mark(Role::Faint, glyphs::VOTER, "voter")),
        QuorumRole::Candidate => Some(mark(Role::Lead, glyphs::VOTER, "candidate")),
        QuorumRole::Controller => Some(mark(Role::Lead, glyphs::CONTROLLER, "controller")),
    }
}

/// A fault.
pub fn fault(kind: FaultKind) -> Mark {
    match kind {
        FaultKind::Down => mark(Role::Dead, glyphs::DEAD, "down"),
        FaultKind::Suspended => mark(Role::Lag, glyphs::HALTED, "suspended"),
        FaultKind::Cut => mark(Role::Dead, glyphs::DEAD, "cut"),
        FaultKind::Slow => mark(Role::Lag, glyphs::SLOW, "slow"),
        FaultKind::Loss => mark(Role::Lag, glyphs::LOSSY, "loses"),
        FaultKind::Disk => mark(Role::Dead, glyphs::ATTENTION, "disk"),
        FaultKind::Clock => mark(Role::Lag, glyphs::ATTENTION, "clock"),
    }
}

/// How bad a partition is off.
pub fn severity(severity: PartitionSeverity) -> Mark {
    match severity {
        PartitionSeverity::NoLeader => mark(Role::Dead, glyphs::DEAD, "no leader"),
        PartitionSeverity::Stalled => mark(Role::Lag, glyphs::ATTENTION, "HW stalled"),
        PartitionSeverity::MissingCopy => mark(Role::Lag, glyphs::OUT_OF_SYNC, "missing a copy"),
        PartitionSeverity::Healthy => mark(Role::Sync, glyphs::ALIVE, "all in sync"),
    }
}

/// What a replica is.
pub fn replica(role: ReplicaRole) -> Mark {
    match role {
        ReplicaRole::Leader => mark(Role::Lead, glyphs::LEADER, "leader"),
        ReplicaRole::InSync => mark(Role::Sync, glyphs::ALIVE, "in sync"),
        ReplicaRole::OutOfSync => mark(Role::Lag, glyphs::OUT_OF_SYNC, "out of sync"),
        ReplicaRole::CatchingUp => mark(Role::Lag, glyphs::STARTING, "catching up"),
        ReplicaRole::Truncating => mark(Role::Lag, glyphs::STARTING, "truncating"),
        ReplicaRole::Dead => mark(Role::Dead, glyphs::DEAD, "dead"),
        ReplicaRole::LastComplete => mark(Role::Dead, glyphs::LAST_COPY, "last complete copy"),
        ReplicaRole::Suspended => mark(Role::Lag, glyphs::HALTED, "suspended"),
    }
}

/// Which lane of the timeline a fact stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What was done to the cluster.
    Faults,
    /// What the cluster did.
    Control,
}

/// A fact's lane.
pub fn lane(kind: EventKind) -> Lane {
    use EventKind as K;
    match kind {
        K::BrokerDied
        | K::BrokerStopped
        | K::Suspended
        | K::Resumed
        | K::LinkCut
        | K::LinkSlow
        | K::LinkLossy
        | K::DiskSlow
        | K::DiskFault
        | K::Healed
        | K::Clock
        | K::Mark => Lane::Faults,
        K::BrokerStarting
        | K::BrokerUp
        | K::Fenced
        | K::LeaderElected
        | K::LeaderLost
        | K::CandidateStands
        | K::ControllerElected
        | K::ControllerLost
        | K::IsrShrunk
        | K::IsrExpanded
        | K::HighWatermarkStalled
        | K::Truncated
        | K::RecordsLost
        | K::TopicChanged
        | K::ConfigChanged
        | K::GroupRebalances
        | K::GroupStable => Lane::Control,
    }
}

/// A fact.
pub fn event(kind: EventKind) -> Mark {
    use EventKind as K;
    match kind {
        K::BrokerDied => mark(Role::Dead, glyphs::DEAD, "died"),
        K::GroupRebalances => mark(Role::Lag, glyphs::STARTING, "rebalances"),
        K::GroupStable => mark(Role::Sync, glyphs::ALIVE, "stable"),
        K::BrokerStopped => mark(Role::Dead, glyphs::DEAD, "stopped"),
        K::BrokerStarting => mark(Role::Lag, glyphs::STARTING, "starting"),
        K::BrokerUp => mark(Role::Sync, glyphs::ALIVE, "up"),
        K::Suspended => mark(Role::Lag, glyphs::HALTED, "suspended"),
        K::Resumed => mark(Role::Sync, glyphs::ALIVE, "resumed"),
        K::Fenced => mark(Role::Dead, glyphs::FENCED, "fenced"),
        K::LinkCut => mark(Role::Dead, glyphs::DEAD, "cut"),
        K::LinkSlow => mark(Role::Lag, glyphs::SLOW, "slow link"),
        K::LinkLossy => mark(Role::Lag, glyphs::LOSSY, "lossy link"),
        K::DiskSlow => mark(Role::Lag, glyphs::SLOW, "slow disk"),
        K::DiskFault => mark(Role::Dead, glyphs::ATTENTION, "disk"),
        K::Healed => mark(Role::Sync, glyphs::DONE, "healed"),
        K::LeaderElected => mark(Role::Lead, glyphs::LEADER, "leader"),
        K::LeaderLost => mark(Role::Dead, glyphs::DEAD, "no leader"),
        K::CandidateStands => mark(Role::Lead, glyphs::VOTER, "candidate"),
        K::ControllerElected => mark(Role::Lead, glyphs::CONTROLLER, "controller"),
        K::ControllerLost => mark(Role::Dead, glyphs::VOTER, "no controller"),
        K::IsrShrunk => mark(Role::Lag, glyphs::SHRUNK, "ISR shrank"),
        K::IsrExpanded => mark(Role::Sync, glyphs::ATTENTION, "ISR grew"),
        K::HighWatermarkStalled => mark(Role::Lag, glyphs::HALTED, "HW stalled"),
        K::Truncated => mark(Role::Lag, glyphs::CUT, "truncated"),
        K::RecordsLost => mark(Role::Dead, glyphs::ATTENTION, "records lost"),
        K::TopicChanged => mark(Role::Dim, glyphs::TOPIC, "topic"),
        K::ConfigChanged => mark(Role::Dim, glyphs::TOPIC, "setting"),
        K::Clock => mark(Role::Lag, glyphs::HALTED, "clock"),
        K::Mark => mark(Role::Focus, glyphs::SELECTED, "mark"),
    }
}

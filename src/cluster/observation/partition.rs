//! What is known of one partition: the controller's decision, what each broker last said of its replica, and what follows from both.
//!
//! Invariants: a partition's state never goes back to an earlier leader epoch; a number that nobody knows is `None`; what a dead broker
//! said last stays and is shown as a dead broker's.
//!
//! Deliberately not here: the other partitions (`partitions`), words for people but for a row's short reason.

use super::meter::Rate;
use crate::cluster::view::{PartitionName, PartitionRow, PartitionSeverity, ReplicaBar, ReplicaRole};
use crate::engine::controller::record::PartitionState;
use crate::engine::observe::{self, ElectionReason, EventId, ReplicaSnapshot};
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A high watermark that stands still for less than this, in milliseconds, waits for nothing but the next fetch.
pub(super) const STALL_MS: u64 = 300;

/// What is to be expected of a broker's replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It answers.
    Up {
        /// It has come back and has not caught up yet.
        is_back: bool,
    },
    /// It comes up.
    Starting,
    /// It is frozen.
    Suspended,
    /// It is gone.
    Dead,
}

/// The lives of all brokers.
pub(super) type Lives = BTreeMap<BrokerId, Life>;

pub(super) fn life(lives: &Lives, broker: BrokerId) -> Life {
    lives.get(&broker).copied().unwrap_or(Life::Dead)
}

fn answers(lives: &Lives, broker: BrokerId) -> bool {
    matches!(life(lives, broker), Life::Up { .. })
}

/// What a broker said last of its replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) broker: BrokerId,
    pub(super) role: observe::ReplicaRole,
    pub(super) leader_epoch: i32,
    pub(super) log_start: i64,
    pub(super) log_end: i64,
    pub(super) persisted_end: i64,
    pub(super) high_watermark: i64,
    pub(super) size_bytes: u64,
    /// It came closer to the leader since the time before.
    pub(super) gains: bool,
}

/// What the rates of a partition are measured with: not part of it, so that measuring alone changes nothing that is recorded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rates {
    watermark: Rate,
    end: Rate,
}

/// What a broker said of its replica, where something follows from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    seen: Seen,
    of_leader: Option<OfLeader>,
}

/// What only the leader can say.
#[derive(Debug, Clone, Copy)]
struct OfLeader {
    stalled_since_ms: Option<u64>,
    watermark_per_s: u64,
    end_per_s: u64,
}

/// A fact about a partition, kept with it whatever happens to the ring of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) at_ms: u64,
    pub(super) event: EventId,
}

/// What a partition adds to the counts over all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) severity: PartitionSeverity,
    pub(super) is_under_replicated: bool,
    pub(super) leader: Option<BrokerId>,
    /// Records a second that its leader appends.
    pub(super) records_per_s: u64,
    /// Every replica: whether it is out of sync, and how many records it misses.
    pub(super) replicas: Vec<(BrokerId, bool, u64)>,
    /// The most records a replica misses.
    pub(super) behind_max: u64,
    /// Records a second by which the high watermark grows.
    pub(super) watermark_per_s: u64,
    /// Bytes in the leader's log, or in the largest copy while there is no leader.
    pub(super) bytes: u64,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    pub(super) id: PartitionId,
    pub(super) name: PartitionName,
    /// Shared by copies: it changes with decisions only.
    pub(super) state: Arc<PartitionState>,
    pub(super) min_isr: u32,
    pub(super) seen: Vec<Seen>,
    pub(super) leader_since_ms: u64,
    /// Who led last, whatever was in between.
    pub(super) last_leader: Option<BrokerId>,
    pub(super) election: Option<(Told, ElectionReason)>,
    pub(super) isr_change: Option<Told>,
    /// The ISR as the last event told it: what "before" is in the next one's text.
    pub(super) isr_told: Vec<BrokerId>,
    /// Where the newest leader epoch began: what an older leader wrote beyond will be cut.
    pub(super) epoch_start: Option<(i32, i64)>,
    pub(super) high_watermark: Option<i64>,
    pub(super) stalled_since_ms: Option<u64>,
    pub(super) severity_since_ms: u64,
    watermark_per_s: u64,
    end_per_s: u64,
    pub(super) counted: Counted,
}

impl Partition {
    pub(super) fn new(id: PartitionId, name: PartitionName, state: PartitionState, min_isr: u32, at_ms: u64) -> Self {
        Partition {
            id,
            name,
            min_isr,
            seen: Vec::with_capacity(state.replicas.len()),
            leader_since_ms: at_ms,
            last_leader: state.leader,
            election: None,
            isr_change: None,
            isr_told: state.isr.clone(),
            epoch_start: None,
            high_watermark: None,
            stalled_since_ms: None,
            severity_since_ms: at_ms,
            watermark_per_s: 0,
            end_per_s: 0,
            counted: Counted::default(),
            state: Arc::new(state),
        }
    }

    /// What it takes in memory, decisions aside.
    pub(super) fn bytes_held(&self) -> usize {
        let listed = self.isr_told.capacity() * size_of::<BrokerId>();
        let seen = self.seen.capacity() * size_of::<Seen>();
        size_of::<Partition>() + listed + seen + self.counted.replicas.capacity() * size_of::<(BrokerId, bool, u64)>()
    }

    /// Takes the controller's decision over. Returns who led before, if a new leader took over from another broker.
    pub(super) fn decide(&mut self, at_ms: u64, state: PartitionState) -> Option<BrokerId> {
        let state = if state.leader_epoch < self.state.leader_epoch {
            // An event was ahead of the image.
            PartitionState { leader: self.state.leader, leader_epoch: self.state.leader_epoch, ..state }
        } else {
            state
        };
        let deposed = self.led_by(at_ms, state.leader, state.leader_epoch);
        self.state = Arc::new(state);
        deposed
    }

    /// Takes over who leads since an epoch. Returns who led before, if a new leader took over from another broker.
    pub(super) fn led_by(&mut self, at_ms: u64, leader: Option<BrokerId>, epoch: i32) -> Option<BrokerId> {
        if epoch <= self.state.leader_epoch {
            return None;
        }
        let state = Arc::make_mut(&mut self.state);
        (state.leader, state.leader_epoch) = (leader, epoch);
        self.leader_since_ms = at_ms;
        let before = self.last_leader;
        if leader.is_some() {
            self.last_leader = leader;
        }
        before.filter(|before| leader.is_some_and(|leader| leader != *before))
    }

    /// Takes the metadata over although an event said more: what it told was decided and never committed.
    pub(super) fn fall_back(&mut self, state: PartitionState) {
        self.last_leader = state.leader.or(self.last_leader);
        self.isr_told.clone_from(&state.isr);
        self.state = Arc::new(state);
    }

    /// What follows from what a broker says of its replica; `None`: nothing.
    pub(super) fn listen(
        &self,
        rates: &mut Rates,
        at_ms: u64,
        broker: BrokerId,
        replica: &ReplicaSnapshot,
    ) -> Option<Heard> {
        let leader_end = self.reference_end();
        let before = self.seen_on(broker);
        let gap = |end: i64| leader_end.map(|leader_end| leader_end - end);
        let seen = Seen {
            broker,
            role: replica.role,
            leader_epoch: replica.leader_epoch,
            log_start: replica.log_start,
            log_end: replica.log_end,
            persisted_end: replica.persisted_end,
            high_watermark: replica.high_watermark,
            size_bytes: replica.size_bytes,
            gains: before.is_some_and(|before| {
                gap(replica.log_end) < gap(before.log_end) || (before.gains && replica.log_end > before.log_end)
            }),
        };
        let is_same = before == Some(&seen);
        let leads = self.state.leader == Some(broker)
            && replica.role == observe::ReplicaRole::Leader
            && replica.leader_epoch >= self.state.leader_epoch;
        if !leads {
            return (!is_same).then_some(Heard { seen, of_leader: None });
        }
        let unsigned = |offset: i64| u64::try_from(offset).unwrap_or(0);
        let (watermark, end) = (unsigned(replica.high_watermark), unsigned(replica.log_end));
        let stalled_since_ms = replica.stalled_since.map(|since| since.as_millis());
        let is_still = is_same
            && rates.watermark.is_still(watermark)
            && rates.end.is_still(end)
            && self.stalled_since_ms.is_none()
            && stalled_since_ms.is_none();
        rates.watermark.read(at_ms, watermark);
        rates.end.read(at_ms, end);
        let (watermark_per_s, end_per_s) = (rates.watermark.per_second(), rates.end.per_second());
        let of_leader = Some(OfLeader { stalled_since_ms, watermark_per_s, end_per_s });
        (!is_still).then_some(Heard { seen, of_leader })
    }

    /// Takes it over.
    pub(super) fn take(&mut self, heard: Heard) {
        let seen = heard.seen;
        match self.seen.iter_mut().find(|known| known.broker == seen.broker) {
            Some(known) => *known = seen,
            None => self.seen.push(seen),
        }
        if let Some(told) = heard.of_leader {
            self.high_watermark = Some(seen.high_watermark);
            self.stalled_since_ms = told.stalled_since_ms;
            (self.watermark_per_s, self.end_per_s) = (told.watermark_per_s, told.end_per_s);
        }
    }

    /// What a dead broker's store holds, read after its end.
    pub(super) fn hear_of_store(&mut self, broker: BrokerId, log_start: i64, log_end: i64) {
        if let Some(seen) = self.seen.iter_mut().find(|seen| seen.broker == broker) {
            (seen.log_start, seen.log_end) = (log_start, log_end);
            seen.persisted_end = seen.persisted_end.min(log_end);
        }
    }

    pub(super) fn seen_on(&self, broker: BrokerId) -> Option<&Seen> {
        self.seen.iter().find(|seen| seen.broker == broker)
    }

    /// The leader that can be reached.
    pub(super) fn leader(&self, lives: &Lives) -> Option<BrokerId> {
        self.state.leader.filter(|leader| answers(lives, *leader))
    }

    /// The log end everything is compared with: the leader's, or the furthest.
    fn reference_end(&self) -> Option<i64> {
        let of_leader = self.state.leader.and_then(|leader| self.seen_on(leader)).map(|seen| seen.log_end);
        of_leader.or_else(|| self.seen.iter().map(|seen| seen.log_end).max())
    }

    /// The broker that alone has every acknowledged record.
    pub(super) fn last_complete(&self) -> Option<BrokerId> {
        match (self.state.isr.as_slice(), self.state.elr.as_slice()) {
            ([only], []) | ([], [only]) => Some(*only),
            _ => None,
        }
    }

    /// The member of the ISR that holds the high watermark back: the one with the least persisted.
    pub(super) fn slowest_in_sync(&self) -> Option<BrokerId> {
        let others = self.state.isr.iter().filter(|broker| Some(**broker) != self.state.leader);
        let end = |broker: &BrokerId| self.seen_on(*broker).map_or(-1, |seen| seen.persisted_end);
        others.copied().min_by_key(end)
    }

    /// The broker everything waits for.
    pub(super) fn waits_for(&self, severity: PartitionSeverity, lives: &Lives) -> Option<BrokerId> {
        match severity {
            PartitionSeverity::NoLeader => self.last_complete().filter(|broker| !answers(lives, *broker)),
            PartitionSeverity::Stalled if self.state.isr.len() < self.min_isr as usize => {
                self.state.replicas.iter().copied().find(|broker| !self.state.isr.contains(broker))
            }
            PartitionSeverity::Stalled => self.slowest_in_sync(),
            PartitionSeverity::MissingCopy => {
                self.state.replicas.iter().copied().find(|broker| !self.state.isr.contains(broker))
            }
            PartitionSeverity::Healthy => None,
        }
    }

    /// What the partition is now.
    pub(super) fn count(&self, now_ms: u64, lives: &Lives) -> Counted {
        let leader = self.leader(lives);
        let is_stalled = self.stalled_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= STALL_MS);
        let is_under_replicated = self.state.isr.len() < self.state.replicas.len();
        let severity = match leader {
            None => PartitionSeverity::NoLeader,
            Some(_) if is_stalled => PartitionSeverity::Stalled,
            Some(_) if is_under_replicated => PartitionSeverity::MissingCopy,
            Some(_) => PartitionSeverity::Healthy,
        };
        let replica = |broker: &BrokerId| (*broker, !self.state.isr.contains(broker), self.behind(*broker).0);
        let replicas: Vec<_> = self.state.replicas.iter().map(replica).collect();
        Counted {
            severity,
            is_under_replicated,
            leader,
            records_per_s: leader.map_or(0, |_| self.end_per_s),
            watermark_per_s: leader.map_or(0, |_| self.watermark_per_s),
            behind_max: replicas.iter().map(|(_, _, behind)| *behind).max().unwrap_or(0),
            bytes: self.bytes(),
            replicas,
        }
    }

    fn bytes(&self) -> u64 {
        let of_leader = self.state.leader.and_then(|leader| self.seen_on(leader)).map(|seen| seen.size_bytes);
        of_leader.or_else(|| self.seen.iter().map(|seen| seen.size_bytes).max()).unwrap_or(0)
    }

    /// How many records of the leader a replica misses, and how many of its own it will have to cut.
    pub(super) fn behind(&self, broker: BrokerId) -> (u64, u64) {
        let (Some(end), Some(seen)) = (self.reference_end(), self.seen_on(broker)) else { return (0, 0) };
        if self.state.leader == Some(broker) {
            return (0, 0);
        }
        // Records of an older epoch beyond the point where the newest began are nobody else's.
        let to_cut = match self.epoch_start {
            Some((epoch, start)) if seen.leader_epoch < epoch && seen.log_end > start => seen.log_end - start,
            _ => (seen.log_end - end).max(0),
        };
        let shared = seen.log_end - to_cut;
        let unsigned = |records: i64| u64::try_from(records).unwrap_or(0);
        (unsigned(end - shared), unsigned(to_cut))
    }

    fn role(&self, broker: BrokerId, leader: Option<BrokerId>, lives: &Lives) -> ReplicaRole {
        let in_isr = self.state.isr.contains(&broker);
        let seen = self.seen_on(broker);
        let is_back = match life(lives, broker) {
            Life::Dead if self.last_complete() == Some(broker) => return ReplicaRole::LastComplete,
            Life::Dead => return ReplicaRole::Dead,
            Life::Suspended => return ReplicaRole::Suspended,
            Life::Starting => return ReplicaRole::CatchingUp,
            Life::Up { is_back } => is_back,
        };
        if leader == Some(broker) {
            ReplicaRole::Leader
        } else if seen.is_some_and(|seen| seen.role == observe::ReplicaRole::Truncating) {
            ReplicaRole::Truncating
        } else if in_isr {
            ReplicaRole::InSync
        } else if is_back || self.state.adding.contains(&broker) || seen.is_some_and(|seen| seen.gains) {
            ReplicaRole::CatchingUp
        } else {
            ReplicaRole::OutOfSync
        }
    }

    /// The row of the matrix.
    pub(super) fn row(&self, lives: &Lives) -> PartitionRow {
        let leader = self.leader(lives);
        let severity = self.counted.severity;
        let replica = |broker: &BrokerId| {
            let (behind, to_cut) = self.behind(*broker);
            let seen = self.seen_on(*broker);
            ReplicaBar {
                broker: *broker,
                role: self.role(*broker, leader, lives),
                log_start: seen.map_or(0, |seen| seen.log_start),
                log_end: seen.map(|seen| seen.log_end),
                behind,
                to_cut,
                in_isr: self.state.isr.contains(broker),
            }
        };
        let log_start = leader.and_then(|leader| self.seen_on(leader)).map(|seen| seen.log_start);
        PartitionRow {
            name: self.name.clone(),
            severity,
            leader,
            leader_epoch: self.state.leader_epoch,
            leader_since_ms: self.leader_since_ms,
            isr: self.state.isr.clone(),
            elr: self.state.elr.clone(),
            min_isr: self.min_isr,
            replicas: self.state.replicas.iter().map(replica).collect(),
            log_start: log_start.or_else(|| self.seen.iter().map(|seen| seen.log_start).min()).unwrap_or(0),
            high_watermark: self.high_watermark,
            records_per_s: leader.and(self.high_watermark).map(|_| self.watermark_per_s),
            stalled_since_ms: self.stalled_since_ms.filter(|_| severity == PartitionSeverity::Stalled),
            reason: self.reason(lives),
        }
    }

    fn reason(&self, lives: &Lives) -> String {
        let severity = self.counted.severity;
        match (severity, self.waits_for(severity, lives)) {
            (PartitionSeverity::NoLeader, waits_for) => match (self.state.leader, waits_for) {
                (_, Some(broker)) if self.state.leader.is_none() => format!("waits for {broker}"),
                (Some(leader), _) if life(lives, leader) == Life::Suspended => format!("{leader} is suspended"),
                (Some(leader), _) => format!("{leader} is down"),
                (None, _) => "nobody is eligible".to_owned(),
            },
            (PartitionSeverity::Stalled, _) if self.state.isr.len() < self.min_isr as usize => {
                format!("{} of {} in sync", self.state.isr.len(), self.min_isr)
            }
            (PartitionSeverity::Stalled, Some(broker)) => format!("waits for {broker}"),
            _ => String::new(),
        }
    }
}

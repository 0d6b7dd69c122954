//! What a leader knows of its followers, and the rule of the high watermark that follows from it (Kafka's `Partition`
//! and `Replica`).
//!
//! Invariants: the maximal ISR holds every replica that the controller may count as in sync, now or after a request
//! under way; the high watermark is never beyond what any of them has persisted; it stands still while the committed
//! ISR is below `min.insync.replicas` (strict min ISR, KIP-966). It deliberately sends nothing: `isr.rs` does.

use crate::engine::config::TopicConfig;
use crate::engine::controller::image::MetadataImage;
use crate::engine::mutant::Mutant;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::collections::{BTreeMap, BTreeSet};

/// How far a follower is, as its fetches in this leader epoch told.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Progress {
    /// Everything before is persisted on it; `None` before its first fetch.
    pub offset: Option<i64>,
    /// The start of its log.
    pub log_start: i64,
    /// The broker epoch it fetched under (KIP-903).
    pub broker_epoch: Option<i64>,
    /// When it last had all that the leader had (Kafka's `lastCaughtUpTimeMs`).
    pub caught_up_at: Option<Instant>,
    /// The leader's log end when it last told its position.
    pub leader_end_then: i64,
    /// When it last told its position.
    pub told_at: Option<Instant>,
    /// It will be told of new records without telling its position again: the time of its session's last fetch counts
    /// as its own.
    pub is_listening: bool,
}

impl Progress {
    /// A follower told its position (`Replica.updateFetchStateOrThrow`).
    pub fn told(&mut self, now: Instant, offset: i64, log_start: i64, broker_epoch: i64, leader_end: i64) {
        if offset >= leader_end {
            self.caught_up_at = Some(now);
        } else if self.told_at.is_some() && offset >= self.leader_end_then {
            self.caught_up_at = self.caught_up_at.max(self.told_at);
        }
        self.offset = Some(offset);
        self.log_start = log_start;
        self.broker_epoch = Some(broker_epoch);
        self.leader_end_then = leader_end;
        self.told_at = Some(now);
    }

    /// The leader's log is about to grow beyond `end`: who had all of it had so when it last fetched.
    pub fn before_append(&mut self, end: i64, last_fetch_at: Option<Instant>) {
        if self.is_listening && self.offset == Some(end) {
            self.caught_up_at = self.caught_up_at.max(last_fetch_at);
        }
    }

    /// Whether it has all, or had all not too long ago (`Replica.isCaughtUp`).
    pub fn is_caught_up(&self, leader_end: i64, now: Instant, lag_time_max_ms: u64) -> bool {
        self.offset.is_some_and(|offset| offset >= leader_end)
            || self.caught_up_at.is_some_and(|at| at.plus_millis(lag_time_max_ms) >= now)
    }
}

/// A change of the ISR that the controller has not decided yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct PendingIsr {
    /// The ISR that is asked for.
    pub isr: Vec<BrokerId>,
    /// Whether replicas join; else some leave.
    pub joins: bool,
}

/// One partition of a parked request, waiting for an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct Wait {
    /// The offset.
    pub offset: i64,
    /// The request.
    pub parked: u64,
    /// The partition's place in the request.
    pub place: usize,
}

/// A leader's state.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Leader {
    /// Where its epoch begins.
    pub epoch_start: i64,
    /// The ISR as the controller has decided it.
    pub isr: Vec<BrokerId>,
    /// What the controller was asked.
    pub pending: Option<PendingIsr>,
    /// All other replicas.
    pub followers: BTreeMap<BrokerId, Progress>,
    /// Since when there have been records beyond a high watermark that stands still.
    pub stalled_since: Option<Instant>,
    /// When the followers' lag is looked at next.
    pub lag_check_at: Option<Instant>,
    /// Writes were refused for want of in-sync replicas, and that was told.
    pub told_not_enough_replicas: bool,
    /// Produce requests that wait for the high watermark to reach an offset.
    pub waits_replicated: BTreeSet<Wait>,
    /// Produce requests that wait for the log to be persisted up to an offset.
    pub waits_persisted: BTreeSet<Wait>,
    /// DeleteRecords requests that wait for every in-sync log to begin at an offset.
    pub waits_deleted: BTreeSet<Wait>,
}

impl Leader {
    /// A leader at the beginning of its epoch: of its followers nothing is known, the in-sync ones get the lag time to
    /// show up.
    pub fn new(epoch_start: i64, me: BrokerId, replicas: &[BrokerId], isr: &[BrokerId], now: Instant) -> Leader {
        let mut leader = Leader {
            epoch_start,
            isr: isr.to_vec(),
            pending: None,
            followers: BTreeMap::new(),
            stalled_since: None,
            lag_check_at: None,
            told_not_enough_replicas: false,
            waits_replicated: BTreeSet::new(),
            waits_persisted: BTreeSet::new(),
            waits_deleted: BTreeSet::new(),
        };
        leader.set_replicas(me, replicas, now);
        leader
    }

    /// Takes another set of replicas; what is known of those that stay is kept.
    pub fn set_replicas(&mut self, me: BrokerId, replicas: &[BrokerId], now: Instant) {
        self.followers.retain(|broker, _| replicas.contains(broker));
        for broker in replicas.iter().filter(|broker| **broker != me) {
            let is_in_sync = self.isr.contains(broker);
            self.followers
                .entry(*broker)
                .or_insert_with(|| Progress { caught_up_at: is_in_sync.then_some(now), ..Progress::default() });
        }
    }

    /// Whether the controller counts a replica as in sync, or may after what is under way.
    pub fn is_in_maximal_isr(&self, broker: BrokerId) -> bool {
        self.isr.contains(&broker) || self.pending.as_ref().is_some_and(|p| p.joins && p.isr.contains(&broker))
    }

    /// The committed ISR and those that are about to join (`PartitionState.maximalIsr`).
    pub fn maximal_isr(&self) -> Vec<BrokerId> {
        match &self.pending {
            Some(pending) if pending.joins => pending.isr.clone(),
            _ => self.isr.clone(),
        }
    }

    /// How many in-sync replicas a write needs: `min.insync.replicas`, but never more than there are replicas
    /// (`Partition.effectiveMinIsr`).
    pub fn min_isr(&self, config: &TopicConfig) -> usize {
        usize::try_from(config.min_insync_replicas).unwrap_or(1).clamp(1, self.followers.len() + 1)
    }

    /// Whether too few replicas are in sync for a write with acks=all.
    pub fn is_under_min_isr(&self, config: &TopicConfig) -> bool {
        self.isr.len() < self.min_isr(config)
    }

    /// Where the high watermark may stand (`Partition.maybeIncrementLeaderHW`); `None` while nothing is known or the
    /// ISR is too small. Replicas outside the ISR that keep up and may join are waited for too, or they would never
    /// catch up with a busy leader.
    pub fn high_watermark(&self, own_end: i64, log_end: i64, rule: &IsrRule) -> Option<i64> {
        if self.is_under_min_isr(rule.config) && rule.mutant != Some(Mutant::HighWatermarkBelowMinIsr) {
            return None;
        }
        let mut lowest = own_end;
        for (broker, progress) in &self.followers {
            let is_waited_for = self.is_in_maximal_isr(*broker)
                || (rule.mutant != Some(Mutant::JoinNotWaitedFor)
                    && progress.offset.is_some()
                    && progress.is_caught_up(log_end, rule.now, rule.lag_time_max_ms)
                    && rule.is_eligible(*broker, progress));
            if is_waited_for {
                lowest = lowest.min(progress.offset?);
            }
        }
        Some(lowest)
    }

    /// Followers that have caught up and may join the ISR (KIP-841, KIP-903): at the high watermark at least, in this
    /// epoch, and not so far behind that they would have to leave again at once (as they could while the high watermark
    /// stands still).
    pub fn joiners(&self, high_watermark: i64, log_end: i64, rule: &IsrRule) -> Vec<BrokerId> {
        let ignores_start = rule.mutant == Some(Mutant::JoinBelowEpochStart);
        let has_caught_up = |offset: i64| offset >= high_watermark && (offset >= self.epoch_start || ignores_start);
        // Both bugs come from a rule without the clause on the lag.
        let ignores_lag = matches!(rule.mutant, Some(Mutant::JoinBelowEpochStart | Mutant::StaleBrokerEpochJoinsIsr));
        self.followers
            .iter()
            .filter(|(broker, progress)| {
                !self.isr.contains(broker)
                    && progress.offset.is_some_and(has_caught_up)
                    && (ignores_lag || progress.is_caught_up(log_end, rule.now, rule.lag_time_max_ms))
                    && rule.is_eligible(**broker, progress)
            })
            .map(|(broker, _)| *broker)
            .collect()
    }

    /// Members of the ISR that have not kept up for longer than `replica.lag.time.max.ms`.
    pub fn laggards(&self, log_end: i64, rule: &IsrRule) -> Vec<BrokerId> {
        self.followers
            .iter()
            .filter(|(broker, progress)| {
                self.isr.contains(broker) && !progress.is_caught_up(log_end, rule.now, rule.lag_time_max_ms)
            })
            .map(|(broker, _)| *broker)
            .collect()
    }

    /// When the next follower's lag time runs out; `None` while every follower has all records or has lagged for longer
    /// already.
    pub fn next_lag_check(&self, log_end: i64, rule: &IsrRule) -> Option<Instant> {
        let behind = |progress: &&Progress| progress.offset.is_none_or(|offset| offset < log_end);
        let runs_out = |at: Instant| at.plus_millis(rule.lag_time_max_ms + 1);
        let moments = self.followers.values().filter(behind).filter_map(|progress| progress.caught_up_at.map(runs_out));
        moments.filter(|at| *at > rule.now).min()
    }

    /// The smallest log start among the in-sync replicas, this one included (`Partition.lowWatermarkIfLeader`).
    pub fn low_watermark(&self, own_start: i64) -> i64 {
        let in_sync = self.followers.iter().filter(|(broker, _)| self.isr.contains(broker));
        in_sync
            .map(|(_, progress)| if progress.offset.is_some() { progress.log_start } else { -1 })
            .fold(own_start, i64::min)
    }
}

/// What decides who counts as in sync, besides the leader's own knowledge.
pub(in crate::engine) struct IsrRule<'a> {
    /// The metadata applied.
    pub image: &'a MetadataImage,
    /// The topic's configuration.
    pub config: &'a TopicConfig,
    /// Now.
    pub now: Instant,
    /// `replica.lag.time.max.ms`.
    pub lag_time_max_ms: u64,
    /// The planted bug, if there is one.
    pub mutant: Option<Mutant>,
}

impl IsrRule<'_> {
    /// Whether a follower may be in the ISR: unfenced, not stopping, and fetching in the life that the controller knows
    /// (KIP-903).
    fn is_eligible(&self, broker: BrokerId, progress: &Progress) -> bool {
        let is_active = self.image.is_active(broker) || self.mutant == Some(Mutant::FencedReplicaJoinsIsr);
        let is_stale_allowed = self.mutant == Some(Mutant::StaleBrokerEpochJoinsIsr);
        is_active
            && (is_stale_allowed
                || self.image.brokers.get(&broker).map(|registered| registered.broker_epoch) == progress.broker_epoch)
    }
}

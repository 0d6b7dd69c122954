//! One change of one partition: from what is wanted (another ISR, other replicas, an election) to the partition's next
//! state, by Kafka's rules (`PartitionChangeBuilder`): who leads, who stays eligible (KIP-966), which epochs rise.
//!
//! Invariants of every state that comes out: the leader is in the ISR; ISR and ELR are disjoint and hold replicas only;
//! the ELR is empty unless the ISR is smaller than the effective `min.insync.replicas`; the partition epoch is one
//! higher; the leader epoch is one higher exactly if the leader changed or a replica was taken away.
//!
//! It does not decide what is wanted, and it knows neither brokers nor topics: whether a broker may lead comes in as a
//! predicate.

use crate::engine::controller::record::PartitionState;
use crate::engine::mutant::Mutant;
use crate::engine::observe::ElectionReason;
use crate::protocol::ids::BrokerId;

/// How a leader may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Election {
    /// The leader there is, else the first replica that is in sync.
    InSync,
    /// The preferred leader before the one there is.
    Preferred,
    /// As [`Election::InSync`], but a replica that is not in sync before nobody.
    Unclean,
}

/// What a topic's configuration and the cluster's features say about its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TopicRules {
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `unclean.leader.election.enable`.
    pub unclean_election: bool,
    /// The feature `eligible.leader.replicas.version` is on (KIP-966).
    pub has_elr: bool,
    /// The planted bug, if there is one.
    pub mutant: Option<Mutant>,
}

/// A partition's next state and what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    /// The state, epochs raised.
    pub state: PartitionState,
    /// Why there is another leader; `None` if there is not.
    pub election: Option<ElectionReason>,
    /// A reassignment came to its end.
    pub is_reassigned: bool,
}

/// A change in the making. What is not set stays as it is.
pub(super) struct PartitionChange<'a> {
    before: &'a PartitionState,
    rules: TopicRules,
    may_lead: &'a dyn Fn(BrokerId) -> bool,
    /// How a leader may be chosen.
    pub election: Election,
    /// The in-sync replicas wanted.
    pub isr: Vec<BrokerId>,
    /// The replicas wanted.
    pub replicas: Vec<BrokerId>,
    /// Replicas a reassignment adds.
    pub adding: Vec<BrokerId>,
    /// Replicas a reassignment removes.
    pub removing: Vec<BrokerId>,
    /// Replicas that may have lost what they had acknowledged: they are eligible no more.
    pub unclean: Vec<BrokerId>,
    /// Replicas whose disk is a new one: not even the leader of last resort.
    pub wiped: Vec<BrokerId>,
    /// The rule by which the eligible replicas were chosen is about to change.
    pub forgets_elr: bool,
    /// The leader has not confirmed an ISR of its own since an unclean election.
    pub is_recovering: bool,
    elr: Vec<BrokerId>,
}

impl<'a> PartitionChange<'a> {
    /// No change yet.
    pub fn new(
        before: &'a PartitionState,
        rules: TopicRules,
        may_lead: &'a dyn Fn(BrokerId) -> bool,
    ) -> PartitionChange<'a> {
        PartitionChange {
            before,
            rules,
            may_lead,
            election: if rules.unclean_election { Election::Unclean } else { Election::InSync },
            isr: before.isr.clone(),
            replicas: before.replicas.clone(),
            adding: before.adding.clone(),
            removing: before.removing.clone(),
            unclean: Vec::new(),
            wiped: Vec::new(),
            forgets_elr: false,
            is_recovering: before.is_recovering,
            elr: before.elr.clone(),
        }
    }

    /// The next state; `None` if nothing changes.
    pub fn build(mut self) -> Option<Changed> {
        let is_reassigned = self.complete_reassignment();
        let min_isr = usize::try_from(self.rules.min_insync_replicas).unwrap_or(0).clamp(1, self.replicas.len().max(1));
        self.fill_elr(min_isr);
        let (leader, reason) = self.elect();
        let is_from_isr = matches!(reason, ElectionReason::InSync | ElectionReason::Preferred);
        let has_new_leader = leader != self.before.leader || (leader.is_some() && !is_from_isr);
        let mut is_recovering = self.is_recovering;
        if let Some(leader) = leader {
            match reason {
                ElectionReason::EligibleLeaderReplica => {
                    self.isr = vec![leader];
                    self.elr.retain(|replica| *replica != leader);
                }
                ElectionReason::LastKnownLeader | ElectionReason::Unclean => {
                    self.isr = vec![leader];
                    self.elr.clear();
                    is_recovering = true;
                }
                _ => {}
            }
        }
        if self.isr.is_empty() && !self.rules.has_elr {
            // Without ELR the last member of the ISR stays in it, dead or not: it alone is known to have everything.
            self.isr.clone_from(&self.before.isr);
        }
        let keeps_elr = self.rules.mutant == Some(Mutant::EligibleReplicasNotCleared);
        if (self.isr.len() >= min_isr && !keeps_elr) || !self.rules.has_elr {
            self.elr.clear();
        }
        let last_known_elr = self.last_known_elr(leader);
        let lost_replica = self.before.replicas.iter().any(|replica| !self.replicas.contains(replica));
        let raise = i32::from(has_new_leader || lost_replica);
        let state = PartitionState {
            replicas: self.replicas,
            isr: self.isr,
            elr: self.elr,
            last_known_elr,
            adding: self.adding,
            removing: self.removing,
            leader,
            leader_epoch: self.before.leader_epoch + raise,
            partition_epoch: self.before.partition_epoch,
            is_recovering,
        };
        if state == *self.before {
            return None;
        }
        let reason =
            if is_reassigned && reason == ElectionReason::InSync { ElectionReason::Reassignment } else { reason };
        let state = PartitionState { partition_epoch: state.partition_epoch + 1, ..state };
        Some(Changed { state, election: has_new_leader.then_some(reason), is_reassigned })
    }

    /// A reassignment is done when every replica that stays is in sync; then the others go.
    fn complete_reassignment(&mut self) -> bool {
        if self.adding.is_empty() && self.removing.is_empty() {
            return false;
        }
        let stays = |replica: &BrokerId| !self.removing.contains(replica);
        let replicas: Vec<BrokerId> = self.replicas.iter().copied().filter(stays).collect();
        let isr: Vec<BrokerId> = self.isr.iter().copied().filter(stays).collect();
        if replicas.is_empty() || isr.is_empty() || !replicas.iter().all(|replica| isr.contains(replica)) {
            return false;
        }
        self.replicas = replicas;
        self.isr = isr;
        self.adding.clear();
        self.removing.clear();
        true
    }

    /// Who leaves an ISR that is smaller than it must be stays eligible: the high watermark stands still until it is
    /// large enough again, so that nothing is acknowledged that these replicas do not have.
    fn fill_elr(&mut self, min_isr: usize) {
        let keeps_elr = self.rules.mutant == Some(Mutant::EligibleReplicasNotCleared);
        if !self.rules.has_elr || self.forgets_elr || (self.isr.len() >= min_isr && !keeps_elr) {
            self.elr.clear();
            return;
        }
        for replica in &self.before.isr {
            if !self.elr.contains(replica) {
                self.elr.push(*replica);
            }
        }
        let (isr, unclean, replicas) = (&self.isr, &self.unclean, &self.replicas);
        self.elr.retain(|replica| !isr.contains(replica) && !unclean.contains(replica) && replicas.contains(replica));
        self.elr.sort_unstable();
    }

    fn is_valid_leader(&self, replica: BrokerId) -> bool {
        let is_complete = self.isr.contains(&replica) || (self.isr.is_empty() && self.elr.contains(&replica));
        is_complete && (self.may_lead)(replica)
    }

    fn elect(&self) -> (Option<BrokerId>, ElectionReason) {
        let from_elr = self.isr.is_empty();
        let clean = if from_elr { ElectionReason::EligibleLeaderReplica } else { ElectionReason::InSync };
        if self.election == Election::Preferred
            && let Some(preferred) = self.replicas.first().copied().filter(|replica| self.is_valid_leader(*replica))
        {
            return (Some(preferred), if from_elr { clean } else { ElectionReason::Preferred });
        }
        if let Some(leader) = self.before.leader.filter(|leader| self.is_valid_leader(*leader)) {
            return (Some(leader), clean);
        }
        if let Some(first) = self.replicas.iter().copied().find(|replica| self.is_valid_leader(*replica)) {
            return (Some(first), clean);
        }
        if let Some(last_known) = self.last_known_leader() {
            return (Some(last_known), ElectionReason::LastKnownLeader);
        }
        let is_unclean_allowed =
            self.election == Election::Unclean || self.rules.mutant == Some(Mutant::LeaderOutsideIsr);
        if is_unclean_allowed && let Some(any) = self.replicas.iter().copied().find(|replica| (self.may_lead)(*replica))
        {
            return (Some(any), ElectionReason::Unclean);
        }
        (None, ElectionReason::NoneEligible)
    }

    /// The leader of last resort: whoever led last has at least as much as any other replica that lost its place.
    fn last_known_leader(&self) -> Option<BrokerId> {
        let is_last_resort = self.rules.has_elr && self.isr.is_empty() && self.elr.is_empty();
        match self.before.last_known_elr[..] {
            [last] if is_last_resort => Some(last)
                .filter(|last| self.replicas.contains(last) && !self.wiped.contains(last) && (self.may_lead)(*last)),
            _ => None,
        }
    }

    fn last_known_elr(&self, leader: Option<BrokerId>) -> Vec<BrokerId> {
        if leader.is_some() || !self.rules.has_elr {
            return Vec::new();
        }
        let led_last = self.before.leader.filter(|_| self.isr.is_empty());
        let mut last_known = led_last.map_or_else(|| self.before.last_known_elr.clone(), |leader| vec![leader]);
        last_known.retain(|replica| self.replicas.contains(replica) && !self.wiped.contains(replica));
        last_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: TopicRules =
        TopicRules { min_insync_replicas: 2, unclean_election: false, has_elr: true, mutant: None };

    fn ids(numbers: &[i32]) -> Vec<BrokerId> {
        numbers.iter().copied().map(BrokerId).collect()
    }

    fn three() -> PartitionState {
        PartitionState::new(ids(&[1, 2, 3]), ids(&[1, 2, 3]))
    }

    fn change(before: &PartitionState, rules: TopicRules, alive: &[i32], isr: &[i32]) -> Option<Changed> {
        let alive = ids(alive);
        let may_lead = |replica: BrokerId| alive.contains(&replica);
        let mut change = PartitionChange::new(before, rules, &may_lead);
        change.isr = ids(isr);
        change.build()
    }

    #[test]
    fn a_change_that_changes_nothing_is_none() {
        assert_eq!(change(&three(), RULES, &[1, 2, 3], &[1, 2, 3]), None);
    }

    #[test]
    fn an_isr_that_shrinks_raises_the_partition_epoch_only() {
        let changed = change(&three(), RULES, &[1, 2, 3], &[1, 3]).expect("it shrank");
        assert_eq!((changed.state.leader_epoch, changed.state.partition_epoch), (0, 1));
        assert_eq!((changed.state.isr, changed.state.elr), (ids(&[1, 3]), vec![]));
        assert_eq!(changed.election, None);
    }

    #[test]
    fn the_first_in_sync_replica_in_replica_order_takes_over() {
        let mut before = three();
        before.isr = ids(&[3, 2, 1]);
        let changed = change(&before, RULES, &[2, 3], &[3, 2]).expect("the leader is gone");
        assert_eq!(changed.state.leader, Some(BrokerId(2)));
        assert_eq!((changed.state.leader_epoch, changed.state.partition_epoch), (1, 1));
        assert_eq!(changed.election, Some(ElectionReason::InSync));
    }

    #[test]
    fn who_leaves_an_isr_below_the_minimum_stays_eligible() {
        let one_gone = change(&three(), RULES, &[1, 2], &[1, 2]).expect("3 left").state;
        assert!(one_gone.elr.is_empty(), "two are enough");
        let two_gone = change(&one_gone, RULES, &[1], &[1]).expect("2 left").state;
        assert_eq!((&two_gone.isr, &two_gone.elr), (&ids(&[1]), &ids(&[2])));
        let all_gone = change(&two_gone, RULES, &[], &[]).expect("1 left").state;
        assert_eq!((&all_gone.isr, &all_gone.elr), (&vec![], &ids(&[1, 2])));
        assert_eq!((all_gone.leader, &all_gone.last_known_elr), (None, &ids(&[1])));
    }

    #[test]
    fn an_eligible_replica_leads_only_when_the_isr_is_empty() {
        let before = PartitionState { isr: ids(&[1]), elr: ids(&[2]), ..three() };
        let changed = change(&before, RULES, &[2, 3], &[]).expect("the leader is gone");
        assert_eq!(changed.state.leader, Some(BrokerId(2)));
        assert_eq!((changed.state.isr, changed.state.elr), (ids(&[2]), ids(&[1])));
        assert_eq!(changed.election, Some(ElectionReason::EligibleLeaderReplica));
        assert!(!changed.state.is_recovering, "it has every acknowledged record");
        // With an in-sync replica left that nobody can reach, the eligible one does not lead.
        let unreachable = change(&before, RULES, &[2, 3], &[1]).expect("the leader is gone");
        assert_eq!(unreachable.state.leader, None);
    }

    #[test]
    fn the_elr_is_cleared_as_soon_as_the_isr_is_large_enough() {
        let before = PartitionState { isr: ids(&[1]), elr: ids(&[2]), ..three() };
        let changed = change(&before, RULES, &[1, 2, 3], &[1, 3]).expect("3 joined");
        assert!(changed.state.elr.is_empty());
    }

    #[test]
    fn a_replica_that_stopped_uncleanly_leaves_isr_and_elr() {
        let before = PartitionState { isr: vec![], elr: ids(&[1, 2]), leader: None, ..three() };
        let may_lead = |_| false;
        let mut change = PartitionChange::new(&before, RULES, &may_lead);
        change.unclean = ids(&[1]);
        let changed = change.build().expect("1 lost its place");
        assert_eq!(changed.state.elr, ids(&[2]));
    }

    #[test]
    fn with_nobody_eligible_the_last_known_leader_returns_and_recovers() {
        let before = PartitionState { isr: vec![], leader: None, last_known_elr: ids(&[1]), ..three() };
        assert_eq!(change(&before, RULES, &[2, 3], &[]), None, "others do not");
        let changed = change(&before, RULES, &[1, 2], &[]).expect("it is back");
        assert_eq!(changed.state.leader, Some(BrokerId(1)));
        assert_eq!(changed.election, Some(ElectionReason::LastKnownLeader));
        assert!(changed.state.is_recovering && changed.state.last_known_elr.is_empty());
        assert_eq!(changed.state.isr, ids(&[1]));
    }

    #[test]
    fn an_unclean_election_needs_to_be_allowed_and_empties_the_elr() {
        let before = PartitionState { isr: vec![], elr: ids(&[1]), leader: None, ..three() };
        assert_eq!(change(&before, RULES, &[3], &[]), None);
        let changed = change(&before, TopicRules { unclean_election: true, ..RULES }, &[3], &[]).expect("3 may");
        assert_eq!(changed.state.leader, Some(BrokerId(3)));
        assert_eq!((changed.state.isr, changed.state.elr), (ids(&[3]), vec![]));
        assert_eq!(changed.election, Some(ElectionReason::Unclean));
        assert!(changed.state.is_recovering);
    }

    #[test]
    fn without_elr_the_last_member_of_the_isr_stays_in_it() {
        let before = PartitionState { isr: ids(&[1]), ..three() };
        let changed = change(&before, TopicRules { has_elr: false, ..RULES }, &[2, 3], &[]).expect("nobody leads");
        assert_eq!((changed.state.isr, changed.state.leader), (ids(&[1]), None));
        assert!(changed.state.elr.is_empty());
    }

    #[test]
    fn a_minimum_above_the_number_of_replicas_counts_as_all_of_them() {
        let before = PartitionState::new(ids(&[1]), ids(&[1]));
        let rules = TopicRules { min_insync_replicas: 3, ..RULES };
        assert_eq!(before.effective_min_isr(3), 1);
        assert_eq!(change(&before, rules, &[1], &[1]), None);
    }

    #[test]
    fn the_preferred_leader_returns_when_asked_for_and_in_sync() {
        let before = PartitionState { leader: Some(BrokerId(2)), ..three() };
        let may_lead = |_| true;
        let mut change = PartitionChange::new(&before, RULES, &may_lead);
        change.election = Election::Preferred;
        let changed = change.build().expect("1 is in sync");
        assert_eq!(changed.state.leader, Some(BrokerId(1)));
        assert_eq!(changed.election, Some(ElectionReason::Preferred));
    }

    #[test]
    fn a_reassignment_ends_when_every_target_is_in_sync_and_moves_the_leader_if_it_goes() {
        let before = PartitionState { replicas: ids(&[2, 3, 4, 1]), adding: ids(&[4]), removing: ids(&[1]), ..three() };
        let waiting = change(&before, RULES, &[1, 2, 3, 4], &[1, 2]).expect("the ISR shrank");
        assert!(!waiting.is_reassigned);
        let done = change(&before, RULES, &[1, 2, 3, 4], &[1, 2, 3, 4]).expect("4 is in sync");
        assert!(done.is_reassigned);
        assert_eq!((done.state.replicas, done.state.isr), (ids(&[2, 3, 4]), ids(&[2, 3, 4])));
        assert_eq!((done.state.leader, done.state.leader_epoch), (Some(BrokerId(2)), 1));
        assert_eq!(done.election, Some(ElectionReason::Reassignment));
        assert!(done.state.elr.is_empty() && done.state.adding.is_empty() && done.state.removing.is_empty());
    }

    #[test]
    fn a_replica_that_is_taken_away_raises_the_leader_epoch_though_the_leader_stays() {
        let before = PartitionState { removing: ids(&[3]), ..three() };
        let done = change(&before, RULES, &[1, 2, 3], &[1, 2]).expect("3 goes");
        assert_eq!((done.state.leader, done.state.leader_epoch), (Some(BrokerId(1)), 1));
        assert_eq!(done.election, None);
    }
}

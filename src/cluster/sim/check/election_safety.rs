//! ElectionSafety: at most one leader an epoch, in the metadata quorum and in every partition (Raft, figure 3; `NeverTwoLeadersInSameEpoch`
//! of the KRaft models); and no voter of the quorum votes twice in an epoch, whatever it lives through (Raft §5.2).
//!
//! A vote counts from when it is safe on the voter's disk, for only then is it answered: one that a crash takes before was never given.

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::engine::observe::{EventKind, QuorumRole};
use crate::protocol::ids::{BrokerId, DirectoryId, PartitionId};
use std::collections::BTreeMap;

const RULE: &str = "ElectionSafety";

/// Who led when.
#[derive(Debug, Clone, Default)]
pub struct ElectionSafety {
    leaders: BTreeMap<(PartitionId, i32), BrokerId>,
    /// Whom each log directory voted for.
    votes: BTreeMap<(DirectoryId, i32), BrokerId>,
    /// Votes that are not safe yet, by voter.
    unsafe_votes: BTreeMap<BrokerId, Vec<Vote>>,
}

#[derive(Debug, Clone, Copy)]
struct Vote {
    epoch: i32,
    candidate: BrokerId,
    /// The write that it is safe with.
    step: u64,
}

impl ElectionSafety {
    pub(super) fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        let Some(broker) = outcome.stepped else { return Ok(()) };
        for event in &outcome.events {
            let (partition, epoch) = match event.kind {
                EventKind::Started { .. } => {
                    self.unsafe_votes.remove(&broker);
                    continue;
                }
                EventKind::Voted { epoch, candidate } => {
                    let vote = Vote { epoch, candidate, step: world.nodes[&broker].disk.last_step() };
                    self.unsafe_votes.entry(broker).or_default().push(vote);
                    continue;
                }
                EventKind::QuorumRole { to: QuorumRole::Leader, epoch, .. } => (PartitionId::METADATA, epoch),
                EventKind::BecameLeader { partition, leader_epoch, .. } => (partition, leader_epoch),
                _ => continue,
            };
            let leader = *self.leaders.entry((partition, epoch)).or_insert(broker);
            if leader != broker {
                let what = format!("{leader} and {broker} both lead {partition} in epoch {epoch}");
                return Err(Violation { rule: RULE, what });
            }
        }
        self.count_votes(world, broker)
    }

    fn count_votes(&mut self, world: &World, broker: BrokerId) -> Result<(), Violation> {
        let Some(waiting) = self.unsafe_votes.get_mut(&broker) else { return Ok(()) };
        let node = &world.nodes[&broker];
        let persisted = node.disk.persisted();
        let safe: Vec<Vote> = waiting.extract_if(.., |vote| vote.step <= persisted).collect();
        for Vote { epoch, candidate, .. } in safe {
            let first = *self.votes.entry((node.config.directory, epoch)).or_insert(candidate);
            if first != candidate {
                let what = format!("broker {broker} votes for {first} and for {candidate} in epoch {epoch}");
                return Err(Violation { rule: RULE, what });
            }
        }
        Ok(())
    }
}

//! Strikes in several acts: each waits for what the one before leads to. They bring about the histories that logs have to survive in which
//! leadership comes and goes faster than records are replicated.
//!
//! Invariant: an act is a strike of the nemesis like any other, planned and healed. A plot that does not get on is forgotten by whoever began it.

use crate::cluster::sim::nemesis::Striker;
use crate::cluster::sim::plan::Fault;
use crate::engine::controller::record::PartitionState;
use crate::engine::observe::EventKind;
use crate::protocol::ids::{BrokerId, PartitionId};

/// The longest that what one act did stays without the next, in milliseconds.
const ACT_MS: u64 = 5_000;

/// A plot against one partition, and what it waits for.
#[derive(Debug, Clone)]
pub(super) enum Plot {
    /// Three leaders follow one another, each with records that the next does not have (KIP-279): the second has led, and the third is to
    /// lead while it is away.
    Tails { partition: PartitionId, first: BrokerId },
    /// A follower is asleep with records that its leader then loses; the leader is to lead again when it wakes (KIP-320).
    Stranger { partition: PartitionId, leader: BrokerId, follower: BrokerId, act: Act },
}

/// Where the second plot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// The leader is to be followed by another.
    Deposed,
    /// It is to be in sync again.
    Follows,
    /// It is to lead again.
    LeadsAgain,
}

impl Plot {
    /// Begins one, if the partition suits.
    pub fn begin(
        striker: &mut Striker,
        leader: BrokerId,
        partition: PartitionId,
        state: &PartitionState,
    ) -> Option<Plot> {
        if state.isr.len() < 3 {
            return None;
        }
        let mut others = state.replicas.iter().copied().filter(|id| *id != leader);
        let (next, last) = (others.next()?, others.next()?);
        if striker.rng.chance(1, 2) {
            return Some(tails(striker, partition, leader, next));
        }
        // Who sleeps must not be needed for the quorum, as far as that can be had.
        let is_voter = |id: &BrokerId| striker.world.nodes[id].config.initial_voters.contains_key(id);
        let (follower, other) = if is_voter(&last) && !is_voter(&next) { (next, last) } else { (last, next) };
        Some(stranger(striker, partition, leader, follower, other))
    }

    /// What a broker told may be what the plot waits for. Whether it is over.
    pub fn next_act(&mut self, striker: &mut Striker, broker: BrokerId, event: &EventKind) -> bool {
        match self {
            Plot::Tails { partition, first } => match *event {
                EventKind::BecameLeader { partition: now, .. } if now == *partition && broker != *first => {
                    let end_ms = striker.ms(60, 700);
                    for id in others(striker, broker) {
                        striker.strike(0, Fault::CutOneWay(broker, id), end_ms + 300, Fault::HealOneWay(broker, id));
                    }
                    let back_ms = end_ms + striker.ms(700, 1_800);
                    striker.strike(end_ms * 1_000, Fault::Kill(broker), back_ms, Fault::Start(broker));
                    true
                }
                _ => false,
            },
            Plot::Stranger { partition, leader, follower, act } => {
                let (partition, leader, follower) = (*partition, *leader, *follower);
                match (*act, event) {
                    (Act::Deposed, EventKind::BecameLeader { partition: now, .. })
                        if *now == partition && broker != leader =>
                    {
                        *act = Act::Follows;
                        false
                    }
                    (Act::Follows, EventKind::IsrChanged { partition: now, isr, .. })
                        if *now == partition && isr.contains(&leader) && isr.len() > 1 =>
                    {
                        *act = Act::LeadsAgain;
                        depose(striker, partition, leader, broker);
                        false
                    }
                    (Act::LeadsAgain, EventKind::BecameLeader { partition: now, .. })
                        if *now == partition && broker == leader =>
                    {
                        wake(striker, leader, follower);
                        true
                    }
                    _ => false,
                }
            }
        }
    }
}

/// The next leader does not get the last records of this one; the third does. (They are not committed.)
fn tails(striker: &mut Striker, partition: PartitionId, leader: BrokerId, next: BrokerId) -> Plot {
    let at_ms = striker.ms(60, 500);
    striker.strike(0, Fault::CutOneWay(leader, next), at_ms + 1, Fault::HealOneWay(leader, next));
    let back_ms = at_ms + striker.ms(1_500, ACT_MS);
    striker.strike(at_ms * 1_000, Fault::Kill(leader), back_ms, Fault::Start(leader));
    Plot::Tails { partition, first: leader }
}

/// A follower gets the last records of its leader, another does not; it hears of nobody any more, and the leader ends and comes back.
fn stranger(
    striker: &mut Striker,
    partition: PartitionId,
    leader: BrokerId,
    follower: BrokerId,
    other: BrokerId,
) -> Plot {
    let at_ms = striker.ms(60, 500);
    striker.strike(0, Fault::CutOneWay(leader, other), at_ms + 1, Fault::HealOneWay(leader, other));
    for id in others(striker, follower) {
        striker.strike(at_ms * 1_000, Fault::CutOneWay(id, follower), ACT_MS, Fault::HealOneWay(id, follower));
        striker.strike(at_ms * 1_000, Fault::CutOneWay(follower, id), ACT_MS, Fault::HealOneWay(follower, id));
    }
    let back_ms = at_ms + striker.ms(50, 400);
    striker.strike(at_ms * 1_000 + 500, Fault::Kill(leader), back_ms, Fault::Start(leader));
    Plot::Stranger { partition, leader, follower, act: Act::Deposed }
}

/// Whoever leads now hands over, or ends.
fn depose(striker: &mut Striker, partition: PartitionId, heir: BrokerId, teller: BrokerId) {
    let Some(state) = striker.state_of(teller, partition) else { return };
    let Some(leader) = state.leader.filter(|leader| *leader != heir) else { return };
    let (at_ms, is_orderly) = (striker.ms(20, 300), striker.rng.chance(2, 3));
    let fault = if is_orderly { Fault::Stop(leader) } else { Fault::Kill(leader) };
    let back_ms = at_ms + striker.ms(1_500, 3_000);
    striker.strike(at_ms * 1_000, fault, back_ms, Fault::Start(leader));
}

/// The sleeper hears its old leader at once, and of everything else a little later.
fn wake(striker: &mut Striker, leader: BrokerId, follower: BrokerId) {
    let at_ms = striker.ms(2, 60);
    let all_ms = at_ms + striker.ms(80, 400);
    striker.strike(at_ms * 1_000, Fault::HealOneWay(leader, follower), all_ms, Fault::HealLinks);
    striker.strike(at_ms * 1_000, Fault::HealOneWay(follower, leader), all_ms, Fault::HealLinks);
}

fn others(striker: &Striker, broker: BrokerId) -> Vec<BrokerId> {
    striker.world.nodes.keys().copied().filter(|id| *id != broker).collect()
}

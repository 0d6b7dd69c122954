//! Faults that aim: they follow what the brokers tell and strike where it hurts, in the moment after a vote, an election, a registration, a
//! write. What random faults need a hundred thousand seeds for comes about in a few dozen.
//!
//! Invariants: each seed turns whole kinds of strikes off; everything is drawn from the seed; a strike begins after the step that provoked it
//! and at a whole microsecond, so that the plan it is written into repeats it exactly; nothing is struck after the end of the faults, and
//! everything struck is healed by then. A strike is a planned fault like any other and only happens if Kafka's contract survives it.
//!
//! Deliberately not here: what happens to whom is struck (`plan.rs`), and the longer plots of several strikes (`plot.rs`).

use crate::cluster::sim::plan::{Fault, Plan};
use crate::cluster::sim::plot::Plot;
use crate::cluster::sim::world::{Happening, Power, StepOutcome, World};
use crate::engine::controller::record::PartitionState;
use crate::engine::observe::{EventKind, Scope};
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::ids::{BrokerId, PartitionId};

/// Which kinds of strikes a seed has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Kinds {
    /// Whoever voted ends before it knows who was elected, while another stands in the same epoch.
    voters: bool,
    /// Who has just come back is heard by the controller, not by the others.
    newcomers: bool,
    /// A follower's machine loses power just when its records were committed.
    losers: bool,
    /// A new leader is cut off from its followers, and soon ends.
    new_leaders: bool,
    /// A follower ends while its records are on their way to the disk.
    writers: bool,
    /// A leader ends while a replica outside the ISR has almost caught up, and nobody knows its last high watermark.
    catching_up: bool,
    /// A leader that was replaced is heard by the controller, and does not hear it.
    deaf_leaders: bool,
    /// The controller ends in the middle of what it decides.
    controllers: bool,
    /// Plots of several acts.
    plots: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Nemesis {
    rng: Prng,
    until: Instant,
    kinds: Kinds,
    /// The votes of the newest epoch in which anybody voted: voter and candidate.
    votes: Vec<(BrokerId, BrokerId)>,
    voting_epoch: i32,
    plot: Option<Plot>,
    /// When the next plot may begin, or the next blow to a follower that catches up.
    rests_until: Instant,
}

/// Writes strikes into a plan and into the world.
pub(super) struct Striker<'a> {
    pub rng: &'a mut Prng,
    pub world: &'a mut World,
    plan: &'a mut Plan,
    until: Instant,
}

impl Nemesis {
    /// A seed's choice: a third of them have none.
    pub fn draw(mut rng: Prng, until: Instant) -> Nemesis {
        let is_there = rng.chance(2, 3);
        let mut on = || is_there && rng.chance(1, 3);
        let kinds = Kinds {
            voters: on(),
            newcomers: on(),
            losers: on(),
            new_leaders: on(),
            writers: on(),
            catching_up: on(),
            deaf_leaders: on(),
            controllers: on(),
            plots: on(),
        };
        let rests_until = Instant::ZERO;
        Nemesis { rng, until, kinds, votes: Vec::new(), voting_epoch: 0, plot: None, rests_until }
    }

    /// After a step. What is struck is written into the plan too.
    pub fn look(&mut self, world: &mut World, plan: &mut Plan, outcome: &StepOutcome) {
        let Some(broker) = outcome.stepped.filter(|_| world.now < self.until) else { return };
        for event in &outcome.events {
            let mut striker = Striker { rng: &mut self.rng, world, plan, until: self.until };
            if let Some(plot) = &mut self.plot
                && plot.next_act(&mut striker, broker, &event.kind)
            {
                (self.plot, self.rests_until) = (None, world.now.plus_millis(1_000));
                continue;
            }
            match event.kind {
                EventKind::Voted { epoch, candidate } if self.kinds.voters => {
                    if epoch > self.voting_epoch {
                        self.votes.clear();
                        self.voting_epoch = epoch;
                    }
                    if epoch == self.voting_epoch {
                        self.votes.push((broker, candidate));
                        strike_voter(&mut striker, &mut self.votes);
                    }
                }
                EventKind::Registered { .. } if self.kinds.newcomers => strike_newcomer(&mut striker, broker),
                EventKind::BecameLeader { partition, leader_epoch, .. }
                    if self.kinds.new_leaders && leader_epoch > 0 && self.plot.is_none() =>
                {
                    strike_new_leader(&mut striker, broker, partition);
                }
                EventKind::LeaderElected { .. } | EventKind::IsrChanged { .. } | EventKind::TopicCreated { .. }
                    if self.kinds.controllers && striker.rng.chance(1, 12) =>
                {
                    let back_ms = striker.rng.range(50, 3_000);
                    let at_us = striker.rng.range(0, 1_500);
                    striker.strike(at_us, Fault::Kill(broker), back_ms, Fault::Start(broker));
                }
                EventKind::Appended { partition, .. } => self.on_append(world, plan, broker, partition),
                _ => {}
            }
        }
    }

    /// A leader has appended records.
    fn on_append(&mut self, world: &mut World, plan: &mut Plan, leader: BrokerId, partition: PartitionId) {
        let Kinds { writers, losers, catching_up, deaf_leaders, plots, .. } = self.kinds;
        let is_rested = world.now >= self.rests_until;
        let mut striker = Striker { rng: &mut self.rng, world, plan, until: self.until };
        let Some(state) = striker.state_of(leader, partition) else { return };
        if catching_up && is_rested && state.isr.len() < state.replicas.len() {
            if strike_last_of_isr(&mut striker, leader, partition, &state) {
                self.rests_until = world.now.plus_millis(1_500);
            }
            return;
        }
        let followers: Vec<BrokerId> = state.replicas.iter().copied().filter(|id| *id != leader).collect();
        let Some(follower) = striker.rng.pick(&followers).copied() else { return };
        if losers && striker.rng.chance(1, 100) {
            let (at_us, back_ms) = (striker.rng.range(500, 30_000), striker.rng.range(30, 400));
            striker.strike(at_us, Fault::PowerLoss(follower), back_ms, Fault::Start(follower));
        } else if writers && striker.rng.chance(1, 400) {
            let (at_us, back_ms) = (striker.rng.range(60, 900), striker.rng.range(20, 1_500));
            striker.strike(at_us, Fault::Kill(follower), back_ms, Fault::Start(follower));
        } else if deaf_leaders && is_rested && striker.rng.chance(1, 60) {
            strike_deaf(&mut striker, leader);
            self.rests_until = world.now.plus_millis(4_000);
        } else if plots && is_rested && self.plot.is_none() && striker.rng.chance(1, 20) {
            self.plot = Plot::begin(&mut striker, leader, partition, &state);
            self.rests_until = world.now.plus_millis(6_000);
        } else if self.plot.as_ref().is_some_and(|_| is_rested) {
            // What should have come next did not come.
            self.plot = None;
        }
    }
}

/// Two stand in the same epoch and somebody has voted for one: the vote is on the disk, the one elected cannot tell, and the voter ends and
/// comes back before the other asks again.
fn strike_voter(striker: &mut Striker, votes: &mut Vec<(BrokerId, BrokerId)>) {
    let candidates: Vec<BrokerId> = votes.iter().filter(|(voter, of)| voter == of).map(|(voter, _)| *voter).collect();
    let Some((voter, elected)) = votes.iter().copied().find(|(voter, of)| voter != of && !candidates.contains(voter))
    else {
        return;
    };
    let Some(rival) = candidates.into_iter().find(|rival| *rival != elected) else { return };
    votes.clear();
    let end_ms = striker.rng.range(200, 500);
    striker.strike(0, Fault::Cut(elected, rival), end_ms, Fault::HealLinks);
    striker.strike(0, Fault::CutOneWay(elected, voter), end_ms, Fault::HealLinks);
    let asleep_ms = striker.rng.range(5, 9);
    striker.strike(0, Fault::CutOneWay(rival, voter), asleep_ms + 1, Fault::HealOneWay(rival, voter));
    let end = if striker.rng.chance(1, 2) { Fault::Kill(voter) } else { Fault::PowerLoss(voter) };
    striker.strike(4_000, end, asleep_ms, Fault::Start(voter));
}

fn strike_newcomer(striker: &mut Striker, broker: BrokerId) {
    let Some(controller) = striker.controller() else { return };
    let others: Vec<BrokerId> =
        striker.world.nodes.keys().copied().filter(|id| *id != broker && *id != controller).collect();
    if !striker.rng.chance(1, 2) {
        return;
    }
    let back_ms = striker.rng.range(100, 1_500);
    for other in others {
        striker.strike(0, Fault::CutOneWay(broker, other), back_ms, Fault::HealLinks);
    }
}

fn strike_new_leader(striker: &mut Striker, broker: BrokerId, partition: PartitionId) {
    if !striker.rng.chance(1, 3) {
        return;
    }
    let end_ms = striker.rng.range(20, 700);
    let Some(state) = striker.state_of(broker, partition) else { return };
    for follower in state.replicas.into_iter().filter(|id| *id != broker) {
        if striker.rng.chance(2, 3) {
            striker.strike(0, Fault::CutOneWay(broker, follower), end_ms, Fault::HealLinks);
        }
    }
    let back_ms = end_ms + striker.rng.range(500, 3_000);
    striker.strike(end_ms * 1_000, Fault::Kill(broker), back_ms, Fault::Start(broker));
}

/// A replica outside the ISR is about to catch up: the leader's last words do not reach its successor, and it ends. Whether it was so.
fn strike_last_of_isr(striker: &mut Striker, leader: BrokerId, partition: PartitionId, state: &PartitionState) -> bool {
    let world = &*striker.world;
    let is_up = |id: &BrokerId| world.nodes[id].power == Power::On;
    let end = |id: &BrokerId| world.nodes[id].disk.log_of(partition).map_or(0, |log| log.end_offset);
    let successor = state.isr.iter().copied().find(|id| *id != leader && is_up(id));
    let lagging = state.replicas.iter().copied().find(|id| !state.isr.contains(id) && is_up(id));
    let (Some(successor), Some(lagging)) = (successor, lagging) else { return false };
    let (behind, own_end) = (end(&lagging), end(&leader));
    if behind >= own_end || behind < high_watermark(world, successor, partition) {
        return false;
    }
    let (at_us, back_ms) = (striker.rng.range(300, 4_000), striker.rng.range(1_500, 4_000));
    striker.strike(0, Fault::CutOneWay(leader, successor), back_ms, Fault::HealLinks);
    striker.strike(at_us, Fault::Kill(leader), back_ms, Fault::Start(leader));
    true
}

/// A leader and the controller do not hear each other until the leader is replaced; then the controller hears it, and it still does not hear.
fn strike_deaf(striker: &mut Striker, leader: BrokerId) {
    let Some(controller) = striker.controller().filter(|controller| *controller != leader) else { return };
    let heard_ms = striker.rng.range(650, 1_000);
    let end_ms = heard_ms + striker.rng.range(500, 1_800);
    striker.strike(0, Fault::CutOneWay(leader, controller), heard_ms, Fault::HealOneWay(leader, controller));
    striker.strike(0, Fault::CutOneWay(controller, leader), end_ms, Fault::HealOneWay(controller, leader));
}

fn high_watermark(world: &World, broker: BrokerId, partition: PartitionId) -> i64 {
    let node = &world.nodes[&broker];
    let scope = Scope { partitions: Some(vec![partition]), inside: None };
    let snapshot = node.broker.as_ref().and_then(|broker| broker.replicas().snapshot(&scope).pop());
    snapshot.map_or(i64::MAX, |replica| replica.high_watermark)
}

impl Striker<'_> {
    /// A fault so many microseconds from now, and so many milliseconds from now what ends it.
    pub fn strike(&mut self, at_us: u64, fault: Fault, back_ms: u64, remedy: Fault) {
        let at = whole_microsecond(self.world.now, at_us);
        if at >= self.until {
            return;
        }
        let back = whole_microsecond(self.world.now, back_ms * 1_000).max(at).min(self.until);
        for (at, fault) in [(at, fault), (back, remedy)] {
            self.world.plan(at, Happening::Fault(fault));
            self.plan.faults.push((at, fault));
        }
    }

    /// The active controller, if there is one now.
    pub fn controller(&self) -> Option<BrokerId> {
        let is_active = |node: &crate::cluster::sim::world::Node| {
            node.broker.as_ref().is_some_and(crate::engine::broker::Broker::is_active_controller)
        };
        self.world.nodes.iter().find(|(_, node)| is_active(node)).map(|(id, _)| *id)
    }

    /// A partition as a broker knows it.
    pub fn state_of(&self, broker: BrokerId, partition: PartitionId) -> Option<PartitionState> {
        self.world.nodes[&broker].broker.as_ref()?.image().partition(partition).cloned()
    }

    /// So many milliseconds from now: within a range.
    pub fn ms(&mut self, low: u64, high: u64) -> u64 {
        self.rng.range(low, high)
    }
}

/// A moment of a plan: after now, in whole microseconds.
fn whole_microsecond(now: Instant, after_us: u64) -> Instant {
    Instant((now.0 / 1_000 + 1 + after_us) * 1_000)
}

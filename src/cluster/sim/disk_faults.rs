//! What goes wrong with disks, planned from a seed: slow, full, failing, and a tail that is damaged after a loss of power.
//!
//! Invariants: each seed turns whole classes off, and a third of them all; everything is drawn from a generator of its own, so that what a seed
//! draws besides stays as it is; what only one replica may have is never damaged. A disk that is full or fails ends its broker with the next
//! write, so that it is only done where a kill may be.
//!
//! Deliberately not here: what a disk does then (`disk`), and what a broker does about it (`world`).

use crate::cluster::sim::disk::DiskFailure;
use crate::cluster::sim::link_faults;
use crate::cluster::sim::plan::{Fault, Plan, is_whole_but_for, somebody_has_all_without};
use crate::cluster::sim::world::{Power, World};
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::time::Duration;

/// From one fault of a disk to the next, in milliseconds.
const INTERVAL_MS_MIN: u64 = 300;
const INTERVAL_MS_MAX: u64 = 6_000;
/// How long one lasts, in milliseconds.
const LASTS_MS_MIN: u64 = 20;
const LASTS_MS_MAX: u64 = 4_000;
/// How much longer a write takes on a slow disk, in microseconds.
const SLOW_US_MIN: u64 = 1_000;
const SLOW_US_MAX: u64 = 500_000;

/// What can go wrong with a disk, and right again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// Every write takes so many microseconds longer.
    Slow(u64),
    /// No space left.
    Full,
    /// Every read and write is refused.
    Fail,
    /// The last record on the disk of a broker that is down is damaged.
    DamageTail,
    /// It is fast, answers and has space again.
    Heal,
}

/// The classes of disk faults that a seed may turn off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskSwarm {
    /// Slow disks.
    pub slow: bool,
    /// Full disks.
    pub full: bool,
    /// Disks that refuse everything.
    pub failing: bool,
    /// Writes that are there in part after a crash.
    pub torn_writes: bool,
    /// Damaged tails.
    pub damaged_tails: bool,
}

impl DiskSwarm {
    /// A seed's choice.
    pub fn draw(rng: &mut Prng) -> DiskSwarm {
        let is_there = rng.chance(2, 3);
        let mut on = || is_there && rng.chance(1, 2);
        DiskSwarm { slow: on(), full: on(), failing: on(), torn_writes: on(), damaged_tails: on() }
    }
}

/// Adds faults of disks to a plan.
pub(super) fn draw(
    plan: &mut Plan,
    mut rng: Prng,
    brokers: &[BrokerId],
    swarm: DiskSwarm,
    from: Instant,
    until: Instant,
) {
    let kinds = [
        (swarm.slow, DiskFault::Slow(rng.range(SLOW_US_MIN, SLOW_US_MAX))),
        (swarm.full, DiskFault::Full),
        (swarm.failing, DiskFault::Fail),
        (swarm.damaged_tails, DiskFault::DamageTail),
    ];
    let possible: Vec<DiskFault> = kinds.into_iter().filter(|(on, _)| *on).map(|(_, fault)| fault).collect();
    let mut at = from;
    loop {
        at = at.plus_millis(rng.range(INTERVAL_MS_MIN, INTERVAL_MS_MAX));
        let Some(fault) = rng.pick(&possible).copied().filter(|_| at < until) else { return };
        let broker = *rng.pick(brokers).expect("a cluster has brokers");
        let back = at.plus_millis(rng.range(LASTS_MS_MIN, LASTS_MS_MAX)).min(until);
        let (heal, start) = (Fault::Disk(broker, DiskFault::Heal), Fault::Start(broker));
        match fault {
            DiskFault::DamageTail => {
                // While the power is off; what was under way then is gone, and the damage is behind it.
                let damage = Fault::Disk(broker, fault);
                plan.faults.extend([(at, Fault::PowerLoss(broker)), (at, damage), (back, start)]);
            }
            DiskFault::Slow(_) => plan.faults.extend([(at, Fault::Disk(broker, fault)), (back, heal)]),
            DiskFault::Full | DiskFault::Fail | DiskFault::Heal => {
                plan.faults.extend([(at, Fault::Disk(broker, fault)), (back, heal), (back, start)]);
            }
        }
    }
}

/// Whether Kafka's contract survives a fault now.
pub(super) fn is_allowed(world: &mut World, broker: BrokerId, fault: DiskFault) -> bool {
    match fault {
        DiskFault::Full | DiskFault::Fail => somebody_has_all_without(world, broker),
        DiskFault::DamageTail => {
            let is_down = world.nodes.get(&broker).is_some_and(|node| node.power == Power::Off);
            is_down && !link_faults::is_any_broken(world) && is_whole_but_for(world, &[broker])
        }
        DiskFault::Slow(_) | DiskFault::Heal => true,
    }
}

/// Does it.
pub(super) fn inflict(world: &mut World, broker: BrokerId, fault: DiskFault) {
    let Some(node) = world.nodes.get_mut(&broker) else { return };
    match fault {
        DiskFault::Slow(us) => node.write_delay = Duration::from_micros(us),
        DiskFault::Full => node.disk.set_fault(Some(DiskFailure::Full)),
        DiskFault::Fail => node.disk.set_fault(Some(DiskFailure::Failing)),
        DiskFault::DamageTail => {
            if node.damage_tail() == Some(true) {
                *world.counts.entry("synced tails lost").or_default() += 1;
            }
        }
        DiskFault::Heal => node.heal_disk(),
    }
}

/// Its name in a run's summary.
pub(super) fn name(fault: DiskFault) -> &'static str {
    match fault {
        DiskFault::Slow(_) => "slow disks",
        DiskFault::Full => "full disks",
        DiskFault::Fail => "failing disks",
        DiskFault::DamageTail => "damaged tails",
        DiskFault::Heal => "disks healed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::config::Timing;

    const BROKERS: [BrokerId; 3] = [BrokerId(1), BrokerId(2), BrokerId(3)];

    fn drawn(swarm: DiskSwarm) -> Vec<Fault> {
        let mut plan = Plan::default();
        draw(&mut plan, Prng::new(1), &BROKERS, swarm, Instant::ZERO, Instant::from_millis(60_000));
        plan.faults.into_iter().map(|(_, fault)| fault).collect()
    }

    #[test]
    fn a_class_that_is_off_is_not_drawn() {
        assert!(drawn(DiskSwarm { torn_writes: true, ..DiskSwarm::default() }).is_empty());
        let slow = drawn(DiskSwarm { slow: true, ..DiskSwarm::default() });
        let is_slow = |fault: &Fault| matches!(fault, Fault::Disk(_, DiskFault::Slow(_) | DiskFault::Heal));
        assert!(!slow.is_empty() && slow.iter().all(is_slow));
        let full = drawn(DiskSwarm { full: true, ..DiskSwarm::default() });
        assert_eq!(
            full.iter().filter(|fault| matches!(fault, Fault::Disk(_, DiskFault::Full))).count() * 3,
            full.len()
        );
    }

    #[test]
    fn a_tail_is_damaged_only_where_all_others_have_everything() {
        let mut world = World::new(1, 3, Timing::Lab);
        for broker in BROKERS {
            world.start(broker);
        }
        while world.next_at().is_some_and(|at| at < Instant::from_millis(3_000)) {
            world.step();
        }
        let broker = BrokerId(2);
        assert!(!is_allowed(&mut world, broker, DiskFault::DamageTail), "it runs");
        world.kill(broker);
        assert!(is_allowed(&mut world, broker, DiskFault::DamageTail));
        inflict(&mut world, BrokerId(3), DiskFault::Full);
        assert!(!is_allowed(&mut world, broker, DiskFault::DamageTail), "another is about to end");
        inflict(&mut world, BrokerId(3), DiskFault::Heal);
        world.network.set_cut(BrokerId(1), BrokerId(3), true);
        assert!(!is_allowed(&mut world, broker, DiskFault::DamageTail), "the others do not hear each other");
    }
}

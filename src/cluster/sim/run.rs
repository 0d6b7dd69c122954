//! A seed's run: the cluster forms, a load begins, faults come (safety), everything is healed, and the cluster has to become whole within
//! bounded virtual time (liveness).

use crate::cluster::sim::check::{Checkers, Violation, liveness};
use crate::cluster::sim::plan::{self, Swarm};
use crate::cluster::sim::workload::{Client, ClientId, Load};
use crate::cluster::sim::world::World;
use crate::engine::config::Timing;
use crate::engine::mutant::Mutant;
use crate::engine::prng::Prng;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeMap;
use std::fmt;

/// How long the faults last, in virtual milliseconds.
const SAFETY_MS: u64 = 20_000;
/// In how much virtual time a healed cluster has to be whole, in milliseconds.
const LIVENESS_MS: u64 = 30_000;
/// How often it is looked at whether it is whole, in virtual milliseconds.
const LOOK_EVERY_MS: u64 = 100;

/// What a run is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What everything random comes from.
    pub seed: u64,
    /// How many brokers; drawn from the seed if not given.
    pub brokers: Option<i32>,
    /// Whether every happening is printed, one line each.
    pub log: bool,
    /// A planted bug.
    pub mutant: Option<Mutant>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The hash of its trace.
    pub hash: u64,
    /// How many lines the trace had.
    pub happenings: u64,
    /// How much virtual time passed, in milliseconds.
    pub virtual_ms: u64,
    /// How many batches were acknowledged.
    pub acked: usize,
    /// Facts and faults, counted.
    pub counts: BTreeMap<&'static str, u64>,
    /// What went wrong, if anything.
    pub failure: Option<Failure>,
}

/// A rule was broken.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which, and how.
    pub violation: Violation,
    /// The last happenings before.
    pub last: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.last {
            writeln!(f, "  {line}")?;
        }
        write!(f, "{}", self.violation)
    }
}

/// Runs a seed to its end.
pub fn run(options: Options) -> Report {
    let mut choices = Prng::new(options.seed).fork("choices");
    let brokers = options.brokers.unwrap_or_else(|| *choices.pick(&[3, 3, 3, 4, 5]).expect("a choice"));
    let mut world = World::new(options.seed, brokers, Timing::Lab);
    world.trace.is_printed = options.log;
    world.plant(options.mutant);
    let mut checkers = Checkers::default();
    let outcome = live(&mut world, &mut checkers, &mut choices);
    let failure =
        outcome.err().map(|violation| Failure { violation, last: world.trace.last().map(str::to_owned).collect() });
    Report {
        seed: options.seed,
        hash: world.trace.hash(),
        happenings: world.trace.count(),
        virtual_ms: world.now.as_millis(),
        acked: world.clients.values().map(|client| client.acked.len()).sum(),
        counts: world.counts,
        failure,
    }
}

fn live(world: &mut World, checkers: &mut Checkers, choices: &mut Prng) -> Result<(), Violation> {
    let ids: Vec<BrokerId> = world.nodes.keys().copied().collect();
    for id in &ids {
        let outcome = world.start(*id);
        checkers.look(world, &outcome)?;
    }
    let end_of_faults = world.now.plus_millis(SAFETY_MS);
    let clients = u32::try_from(choices.range(1, 3)).expect("a few clients");
    for id in 0..clients {
        let load = Load {
            topic: format!("topic-{}", id % 2),
            partitions: 2,
            replication_factor: 3,
            interval_ms: choices.range(5, 60),
            until: end_of_faults,
        };
        world.add_client(Client::new(ClientId(id), load, choices.fork("client")));
    }
    let swarm = Swarm::draw(choices);
    let first_fault = world.now.plus_millis(choices.range(0, 2_000));
    plan::draw(world, swarm, first_fault, end_of_faults);
    world.run_until(end_of_faults, |world, outcome| checkers.look(world, outcome))?;
    heal(world, checkers)?;
    let deadline = world.now.plus_millis(LIVENESS_MS);
    while let Some(missing) = liveness::what_is_missing(world) {
        if world.now >= deadline {
            return Err(Violation { rule: liveness::RULE, what: missing });
        }
        // A broker that was asked to stop may have done so only now.
        start_all(world, checkers)?;
        let next = world.now.plus_millis(LOOK_EVERY_MS);
        world.run_until(next, |world, outcome| checkers.look(world, outcome))?;
    }
    checkers.at_end(world)
}

fn heal(world: &mut World, checkers: &mut Checkers) -> Result<(), Violation> {
    world.network.heal();
    start_all(world, checkers)
}

fn start_all(world: &mut World, checkers: &mut Checkers) -> Result<(), Violation> {
    let ids: Vec<BrokerId> = world.nodes.keys().copied().collect();
    for id in ids {
        world.resume(id);
        let outcome = world.start(id);
        checkers.look(world, &outcome)?;
    }
    Ok(())
}

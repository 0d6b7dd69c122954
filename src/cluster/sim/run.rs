//! A seed's run: the cluster forms, a load begins, faults come (safety), everything is healed, and the cluster has to become whole within
//! bounded virtual time (liveness). A run is a value: stepped one happening at a time, cloned at any moment.

use crate::cluster::sim::check::{Checkers, Violation, liveness, no_hanging_transaction};
use crate::cluster::sim::clientele;
use crate::cluster::sim::disk_faults::{self, DiskSwarm};
use crate::cluster::sim::link_faults::{self, LinkSwarm};
use crate::cluster::sim::nemesis::Nemesis;
use crate::cluster::sim::plan::{self, Plan, Swarm};
use crate::cluster::sim::reader::Reader;
use crate::cluster::sim::shapes;
use crate::cluster::sim::world::{Node, StepOutcome, World};
use crate::engine::config::Timing;
use crate::engine::mutant::Mutant;
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How long the faults last, in virtual milliseconds.
const SAFETY_MS: u64 = 20_000;
/// In how much virtual time a healed cluster has to be whole, in milliseconds.
const LIVENESS_MS: u64 = 30_000;
/// The most that a clock runs too fast or too slow, in parts of a million.
const DRIFT_MAX: u64 = 30_000;
/// How often it is looked at whether it is whole, in virtual milliseconds.
const LOOK_EVERY_MS: u64 = 100;
/// What a small answer to a follower holds, in bytes: one batch.
const SMALL_FETCH_BYTES: u32 = 200;
/// After so many bytes of the metadata log a broker writes a snapshot, in a seed in which snapshots are frequent.
const SNAPSHOT_BYTES_MIN: u64 = 500;
const SNAPSHOT_BYTES_MAX: u64 = 20_000;
/// The rule that an assertion of the engine counts as.
pub const ASSERTION: &str = "an assertion of the engine";

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
    /// Whether every client's message goes through the codec.
    pub has_codec: bool,
    /// How long the faults last, in virtual seconds; as long as is usual if not given.
    pub seconds: Option<u64>,
    /// Whether clients transfer amounts in transactions; drawn from the seed if not.
    pub has_transfers: bool,
}

impl Options {
    /// A seed, and nothing out of the ordinary.
    pub fn of(seed: u64) -> Options {
        Options { seed, brokers: None, log: false, mutant: None, has_codec: false, seconds: None, has_transfers: false }
    }
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
    /// The faults, those that aimed among them: with this plan the run comes out the same.
    pub plan: Plan,
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

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Faults come and go.
    Safety,
    /// Everything is healed but one broker, which stays down: the core has to go on before the deadline.
    Core {
        /// Who is down.
        down: BrokerId,
        /// Until when.
        deadline: Instant,
        /// When it is looked at next.
        next_look: Instant,
    },
    /// Everything is healed; the cluster has to be whole before the deadline.
    Liveness {
        /// Until when.
        deadline: Instant,
        /// When it is looked at next.
        next_look: Instant,
    },
    /// It was whole, and every rule held.
    Done,
    /// A world without a plan and without an end: somebody watches it and gives commands.
    Open,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Run {
    /// The world.
    pub world: World,
    /// The rules, with what they remember.
    pub checkers: Checkers,
    /// The faults that were planned, and those that aimed so far.
    pub plan: Plan,
    nemesis: Option<Nemesis>,
    reader: Option<Reader>,
    phase: Phase,
    end_of_faults: Instant,
    /// What the checkers have not seen yet: told outside a step.
    broken: Option<Violation>,
}

/// Runs a seed to its end.
pub fn run(options: Options) -> Report {
    Run::new(options, None).finish()
}

impl Run {
    /// A seed's run at its beginning, with the plan that its seed draws and a nemesis, or with another plan and no other faults.
    pub fn new(options: Options, plan: Option<Plan>) -> Run {
        let mut choices = Prng::new(options.seed).fork("choices");
        // Drawn also where it is given: everything else that the seed draws stays the same, and a written plan repeats its seed's run.
        let drawn = *choices.pick(&[3, 3, 3, 4, 5]).expect("a choice");
        let brokers = options.brokers.unwrap_or(drawn);
        let mut world = world_of(options, brokers);
        if choices.chance(1, 3) {
            // A follower that is behind gets its records in many small pieces.
            world.configure(|cluster| cluster.replica_fetch_max_bytes = SMALL_FETCH_BYTES);
        }
        // Forked from the seed, not from the choices: what a seed draws besides stays as it is.
        let mut snapshots = Prng::new(options.seed).fork("snapshots");
        if snapshots.chance(1, 3) {
            let bytes = snapshots.range(SNAPSHOT_BYTES_MIN, SNAPSHOT_BYTES_MAX);
            world.configure(|cluster| cluster.metadata_snapshot_bytes = bytes);
        }
        clientele::configure(&mut world, Prng::new(options.seed).fork("coordinators"));
        drift(&mut world, Prng::new(options.seed).fork("drift"));
        let mut run = Run::begin(world);
        run.end_of_faults = run.world.now.plus_millis(options.seconds.map_or(SAFETY_MS, |seconds| seconds * 1_000));
        run.phase = Phase::Safety;
        clientele::begin(&mut run.world, &mut choices, run.end_of_faults);
        // Forked from the seed as well.
        let transfers = Prng::new(options.seed).fork("transfers");
        clientele::begin_transfers(&mut run.world, transfers, run.end_of_faults, options.has_transfers);
        let groups = Prng::new(options.seed).fork("groups");
        clientele::begin_groups(&mut run.world, groups, run.end_of_faults);
        let compaction = Prng::new(options.seed).fork("compaction");
        clientele::begin_compaction(&mut run.world, compaction, run.end_of_faults);
        clientele::pause_some(&mut run.world, Prng::new(options.seed).fork("pauses"), run.end_of_faults);
        let mut disks = Prng::new(options.seed).fork("disks");
        let mut links = Prng::new(options.seed).fork("links");
        let swarm = Swarm {
            disks: DiskSwarm::draw(&mut disks),
            links: LinkSwarm::draw(&mut links),
            ..Swarm::draw(&mut choices)
        };
        run.world.nodes.values_mut().for_each(|node| node.disk.tears = swarm.disks.torn_writes);
        let first_fault = run.world.now.plus_millis(choices.range(0, 2_000));
        let ids: Vec<BrokerId> = run.world.nodes.keys().copied().collect();
        let rng = run.world.rng().fork("plan");
        run.reader = Some(Reader::new(choices.fork("reader"), choices.range(10, 100)));
        if plan.is_none() {
            run.nemesis = Some(Nemesis::draw(choices.fork("nemesis"), run.end_of_faults));
        }
        run.plan = plan.unwrap_or_else(|| {
            let mut plan = Plan::draw(rng, &ids, swarm, first_fault, run.end_of_faults);
            disk_faults::draw(&mut plan, disks, &ids, swarm.disks, first_fault, run.end_of_faults);
            link_faults::draw(&mut plan, links, &ids, swarm.links, first_fault, run.end_of_faults);
            let shapes = Prng::new(options.seed).fork("shapes");
            shapes::draw(&mut plan, shapes, &ids, first_fault, run.end_of_faults);
            plan.draw_wipes(Prng::new(options.seed).fork("wipes"), &ids, first_fault, run.end_of_faults);
            plan
        });
        run.plan.schedule(&mut run.world);
        run
    }

    /// A world of so many brokers without load, faults and end, for whoever gives it commands.
    pub fn open(seed: u64, brokers: i32) -> Run {
        Run::begin(world_of(Options::of(seed), brokers))
    }

    fn begin(world: World) -> Run {
        let (checkers, plan) = (Checkers::default(), Plan::default());
        let end_of_faults = Instant::ZERO;
        let (nemesis, reader, phase, broken) = (None, None, Phase::Open, None);
        let mut run = Run { world, checkers, plan, nemesis, reader, phase, end_of_faults, broken };
        run.start_all_but(None);
        run
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Lets the next thing happen, and checks every rule; `None` at the run's end.
    ///
    /// # Errors
    /// The rule that is broken. The run may go on all the same.
    pub fn step(&mut self) -> Result<Option<StepOutcome>, Violation> {
        if let Some(violation) = self.broken.take() {
            return Err(violation);
        }
        let is_over = |end: Instant| self.world.next_at().is_none_or(|at| at > end);
        match self.phase {
            Phase::Done => Ok(None),
            Phase::Safety if is_over(self.end_of_faults) => {
                self.world.pass(self.end_of_faults);
                link_faults::heal_all(&mut self.world);
                self.world.late_ends_one_in = 0;
                self.world.nodes.values_mut().for_each(Node::heal_disk);
                let down = self.somebody_to_do_without();
                let deadline = self.world.now.plus_millis(LIVENESS_MS);
                if let Some(down) = down {
                    self.start_all_but(Some(down));
                    return self.look_whether_the_core_goes_on(down, deadline);
                }
                self.start_all_but(None);
                self.look_whether_whole(deadline)
            }
            Phase::Core { down, deadline, next_look } if is_over(next_look) => {
                self.world.pass(next_look);
                self.look_whether_the_core_goes_on(down, deadline)
            }
            Phase::Liveness { deadline, next_look } if is_over(next_look) => {
                self.world.pass(next_look);
                self.look_whether_whole(deadline)
            }
            Phase::Safety | Phase::Core { .. } | Phase::Liveness { .. } | Phase::Open => {
                let Some(outcome) = self.world.step() else { return Ok(None) };
                if let Some(nemesis) = &mut self.nemesis {
                    nemesis.look(&mut self.world, &mut self.plan, &outcome);
                }
                self.checkers.look(&self.world, &outcome)?;
                if let Some(reader) = &mut self.reader {
                    reader.look(&mut self.world, self.checkers.history())?;
                }
                Ok(Some(outcome))
            }
        }
    }

    /// Runs to the end, or to the first rule that is broken. An assertion of the engine that fails is a broken rule like any other.
    pub fn finish(mut self) -> Report {
        let ended = catch_unwind(AssertUnwindSafe(|| self.run_to_end()));
        let broken = ended.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it says no more");
            Some(Violation { rule: ASSERTION, what: text.to_owned() })
        });
        let world = self.world;
        let failure =
            broken.map(|violation| Failure { violation, last: world.trace.last().map(str::to_owned).collect() });
        Report {
            seed: world.seed(),
            hash: world.trace.hash(),
            happenings: world.trace.count(),
            virtual_ms: world.now.as_millis(),
            acked: world.clients.values().filter_map(|client| Some(client.producing()?.acked.len())).sum(),
            counts: world.counts,
            plan: self.plan,
            failure,
        }
    }

    fn run_to_end(&mut self) -> Option<Violation> {
        loop {
            match self.step() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(violation) => return Some(violation),
            }
        }
    }

    /// What happened outside a step is checked like a step.
    pub fn check(&mut self, outcome: &StepOutcome) {
        if let Err(violation) = self.checkers.look(&self.world, outcome) {
            self.broken.get_or_insert(violation);
        }
    }

    /// In half of all seeds one broker stays down when all else is healed: one whose records are elsewhere too, by what each has told.
    fn somebody_to_do_without(&mut self) -> Option<BrokerId> {
        let mut rng = Prng::new(self.world.seed()).fork("core");
        let ids: Vec<BrokerId> = self.world.nodes.keys().copied().collect();
        let down = *rng.pick(&ids)?;
        if !rng.chance(1, 2) || !plan::can_be_done_without(&mut self.world, down) {
            return None;
        }
        self.world.kill(down);
        *self.world.counts.entry("cores without one").or_default() += 1;
        Some(down)
    }

    fn look_whether_the_core_goes_on(
        &mut self,
        down: BrokerId,
        deadline: Instant,
    ) -> Result<Option<StepOutcome>, Violation> {
        match liveness::what_a_core_misses(&self.world, down) {
            None => {
                self.start_all_but(None);
                return self.look_whether_whole(self.world.now.plus_millis(LIVENESS_MS));
            }
            Some(what) if self.world.now >= deadline => {
                self.phase = Phase::Done;
                let what = format!("without broker {down}, {what}");
                return Err(Violation { rule: liveness::RULE, what });
            }
            Some(_) => {
                self.start_all_but(Some(down));
                let next_look = self.world.now.plus_millis(LOOK_EVERY_MS);
                self.phase = Phase::Core { down, deadline, next_look };
            }
        }
        Ok(Some(StepOutcome::default()))
    }

    fn look_whether_whole(&mut self, deadline: Instant) -> Result<Option<StepOutcome>, Violation> {
        match liveness::what_is_missing(&mut self.world) {
            None => {
                self.phase = Phase::Done;
                self.checkers.at_end(&self.world)?;
            }
            Some(what) if self.world.now >= deadline => {
                self.phase = Phase::Done;
                return Err(match no_hanging_transaction::found(&self.world) {
                    Some(what) => Violation { rule: no_hanging_transaction::RULE, what },
                    None => Violation { rule: liveness::RULE, what },
                });
            }
            Some(_) => {
                // A broker that was asked to stop may have done so only now.
                self.start_all_but(None);
                let next_look = self.world.now.plus_millis(LOOK_EVERY_MS);
                self.phase = Phase::Liveness { deadline, next_look };
            }
        }
        Ok(Some(StepOutcome::default()))
    }

    fn start_all_but(&mut self, down: Option<BrokerId>) {
        let ids: Vec<BrokerId> = self.world.nodes.keys().copied().collect();
        for id in ids.into_iter().filter(|id| Some(*id) != down) {
            self.world.resume(id);
            let outcome = self.world.start(id);
            self.check(&outcome);
        }
    }
}

/// In a third of all seeds no two clocks run alike.
fn drift(world: &mut World, mut rng: Prng) {
    if !rng.chance(1, 3) {
        return;
    }
    let ids: Vec<BrokerId> = world.nodes.keys().copied().collect();
    for id in ids {
        let faster = rng.range(0, 2 * DRIFT_MAX).cast_signed() - DRIFT_MAX.cast_signed();
        world.set_drift(id, faster);
    }
}

/// The world of a run, before any broker has started.
fn world_of(options: Options, brokers: i32) -> World {
    let mut world = World::new(options.seed, brokers, Timing::Lab);
    world.trace.is_printed = options.log;
    world.has_codec = options.has_codec;
    world.plant(options.mutant);
    world
}

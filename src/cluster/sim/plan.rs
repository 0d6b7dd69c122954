//! The faults of a run, planned ahead from its seed. Each seed turns whole classes of faults off (swarm testing), so that rare
//! combinations come up undiluted.
//!
//! The plan never destroys more than Kafka's contract survives: power is lost on one broker at a time, and only while every partition has
//! its whole ISR and every other broker runs and is connected; or when the disk has all of the broker's records, so that it is no more than a
//! kill to them.

use crate::cluster::sim::disk_faults::{self, DiskFault, DiskSwarm};
use crate::cluster::sim::link_faults::{self, LinkFault, LinkSwarm};
use crate::cluster::sim::shapes;
use crate::cluster::sim::world::{Happening, Node, Power, StepOutcome, World};
use crate::engine::broker::Broker;
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::ids::{BrokerId, DirectoryId};
use kafka_protocol::messages::ApiKey;

/// What can go wrong, and right again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// kill −9.
    Kill(BrokerId),
    /// The machine loses power.
    PowerLoss(BrokerId),
    /// The disk is replaced.
    Wipe(BrokerId),
    /// An orderly stop.
    Stop(BrokerId),
    /// SIGSTOP.
    Suspend(BrokerId),
    /// SIGCONT.
    Resume(BrokerId),
    /// Start again.
    Start(BrokerId),
    /// Nothing gets through from the first to the second.
    CutOneWay(BrokerId, BrokerId),
    /// Nothing gets through between the two.
    Cut(BrokerId, BrokerId),
    /// A broker is cut off from all others.
    Isolate(BrokerId),
    /// A direction becomes slow: so many microseconds at most.
    Slow(BrokerId, BrokerId, u64),
    /// What goes from the first to the second gets through again.
    HealOneWay(BrokerId, BrokerId),
    /// All links are well again.
    HealLinks,
    /// Something is wrong with a broker's disk, or right again.
    Disk(BrokerId, DiskFault),
    /// Something is wrong with what goes from the first to the second, or right again; `CLIENTS` stands for all clients.
    Link(BrokerId, BrokerId, LinkFault),
    /// The next request of an API to a broker is lost, or the next answer.
    DropNext {
        /// The broker that is to get the request, or answers.
        broker: BrokerId,
        /// The API.
        api: ApiKey,
        /// Answers, or requests.
        of_responses: bool,
    },
    /// A wall clock is ahead by so many milliseconds from now on.
    Skew(BrokerId, i64),
    /// kill −9 of the process that all brokers live in.
    KillAll,
}

/// The classes of faults that a seed may turn off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swarm {
    /// kill −9 and restart.
    pub kills: bool,
    /// Power loss and restart.
    pub power_losses: bool,
    /// Orderly stop and restart.
    pub stops: bool,
    /// Suspend and resume.
    pub suspends: bool,
    /// Cuts and heals.
    pub cuts: bool,
    /// Slow links.
    pub slow_links: bool,
    /// Disks.
    pub disks: DiskSwarm,
    /// Links, single messages, clocks, and the whole process.
    pub links: LinkSwarm,
}

impl Swarm {
    /// A seed's choice.
    pub fn draw(rng: &mut Prng) -> Swarm {
        let mut on = || rng.chance(1, 2);
        Swarm {
            kills: on(),
            power_losses: on(),
            stops: on(),
            suspends: on(),
            cuts: on(),
            slow_links: on(),
            disks: DiskSwarm::default(),
            links: LinkSwarm::default(),
        }
    }
}

/// The faults of a run, each with its moment, in the order in which they were drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// When and what.
    pub faults: Vec<(Instant, Fault)>,
}

impl Plan {
    /// Draws faults from one moment to another.
    pub fn draw(mut rng: Prng, brokers: &[BrokerId], swarm: Swarm, from: Instant, until: Instant) -> Plan {
        let mut plan = Plan::default();
        let mut at = from;
        loop {
            at = at.plus_millis(rng.range(50, 2_500));
            if at >= until {
                return plan;
            }
            let broker = *rng.pick(brokers).expect("a cluster has brokers");
            let other = *rng.pick(brokers).expect("a cluster has brokers");
            let back = at.plus_millis(rng.range(20, 4_000)).min(until);
            let slow_us = rng.range(1_000, 60_000);
            let possible = possible(swarm, broker, other, slow_us);
            let Some((fault, remedy)) = rng.pick(&possible).copied() else { return plan };
            plan.faults.extend([(at, fault), (back, remedy)]);
        }
    }

    /// Adds replaced disks, in a quarter of all seeds.
    pub(super) fn draw_wipes(&mut self, mut rng: Prng, brokers: &[BrokerId], from: Instant, until: Instant) {
        if !rng.chance(1, 4) {
            return;
        }
        let mut at = from;
        loop {
            at = at.plus_millis(rng.range(1_000, 8_000));
            if at >= until {
                return;
            }
            let broker = *rng.pick(brokers).expect("a cluster has brokers");
            let back = at.plus_millis(rng.range(20, 4_000)).min(until);
            self.faults.extend([(at, Fault::Wipe(broker)), (back, Fault::Start(broker))]);
        }
    }

    /// Has a world carry it out.
    pub fn schedule(&self, world: &mut World) {
        for (at, fault) in &self.faults {
            world.plan(*at, Happening::Fault(*fault));
        }
    }
}

/// What a seed's classes allow, each fault with what ends it.
fn possible(swarm: Swarm, broker: BrokerId, other: BrokerId, slow_us: u64) -> Vec<(Fault, Fault)> {
    let is_pair = broker != other;
    let kinds = [
        (swarm.kills, Fault::Kill(broker), Fault::Start(broker)),
        (swarm.power_losses, Fault::PowerLoss(broker), Fault::Start(broker)),
        (swarm.stops, Fault::Stop(broker), Fault::Start(broker)),
        (swarm.suspends, Fault::Suspend(broker), Fault::Resume(broker)),
        (swarm.cuts && is_pair, Fault::Cut(broker, other), Fault::HealLinks),
        (swarm.cuts && is_pair, Fault::CutOneWay(broker, other), Fault::HealLinks),
        (swarm.cuts, Fault::Isolate(broker), Fault::HealLinks),
        (swarm.slow_links && is_pair, Fault::Slow(broker, other, slow_us), Fault::HealLinks),
    ];
    kinds.into_iter().filter(|(on, _, _)| *on).map(|(_, fault, remedy)| (fault, remedy)).collect()
}

/// Does what was planned, if it may be done now; what the broker concerned told of it.
pub fn inflict(world: &mut World, fault: &Fault) -> StepOutcome {
    let is_allowed = match fault {
        Fault::PowerLoss(broker) => {
            is_whole(world) || !has_unsynced_data(world, *broker) && somebody_has_all_without(world, *broker)
        }
        Fault::Wipe(broker) => is_whole(world) && can_elect_without(world, *broker),
        Fault::Kill(broker) | Fault::Stop(broker) | Fault::Suspend(broker) | Fault::Isolate(broker) => {
            somebody_has_all_without(world, *broker)
        }
        Fault::Cut(a, b) | Fault::CutOneWay(a, b) => {
            somebody_has_all_without(world, *a) && somebody_has_all_without(world, *b)
        }
        Fault::Disk(broker, fault) => disk_faults::is_allowed(world, *broker, *fault),
        Fault::Link(from, to, fault) => link_faults::is_allowed(world, (*from, *to), *fault),
        Fault::KillAll => !has_anybody_lost_records(world),
        Fault::DropNext { .. } | Fault::Skew(..) => true,
        Fault::Start(_) | Fault::Resume(_) | Fault::Slow(..) | Fault::HealOneWay(..) | Fault::HealLinks => true,
    };
    if !is_allowed {
        return StepOutcome::default();
    }
    world.trace.line(world.now, format_args!("fault {fault:?}"));
    *world.counts.entry(name(fault)).or_default() += 1;
    match *fault {
        Fault::Kill(broker) => world.kill(broker),
        Fault::PowerLoss(broker) => world.power_loss(broker),
        Fault::Wipe(broker) => world.wipe(broker),
        Fault::Stop(broker) => return world.stop(broker),
        Fault::Suspend(broker) => world.suspend(broker),
        Fault::Resume(broker) => world.resume(broker),
        Fault::Start(broker) => return world.start(broker),
        Fault::CutOneWay(from, to) => world.network.link(from, to).is_cut = true,
        Fault::Cut(a, b) => world.network.set_cut(a, b, true),
        Fault::Isolate(broker) => {
            let others: Vec<BrokerId> = world.nodes.keys().copied().filter(|other| *other != broker).collect();
            for other in others {
                world.network.set_cut(broker, other, true);
            }
        }
        Fault::Slow(from, to, delay_us_max) => {
            let link = world.network.link(from, to);
            link.delay_us_max = delay_us_max.max(link.delay_us_min);
        }
        Fault::HealOneWay(from, to) => {
            world.network.link(from, to).is_cut = false;
            link_faults::inflict(world, (from, to), LinkFault::Heal);
        }
        Fault::HealLinks => {
            world.network.heal();
            link_faults::heal(world, false);
        }
        Fault::Disk(broker, fault) => disk_faults::inflict(world, broker, fault),
        Fault::Link(from, to, fault) => link_faults::inflict(world, (from, to), fault),
        Fault::DropNext { broker, api, of_responses } => link_faults::drop_next(world, broker, api, of_responses),
        Fault::Skew(broker, skew_ms) => world.nodes.get_mut(&broker).expect("a broker").skew_ms = skew_ms,
        Fault::KillAll => {
            let ids: Vec<BrokerId> = world.nodes.keys().copied().collect();
            ids.into_iter().for_each(|id| world.kill(id));
        }
    }
    if matches!(fault, Fault::Cut(..) | Fault::Isolate(_))
        && let Some(shape) = shapes::name(world)
    {
        *world.counts.entry(shape).or_default() += 1;
    }
    StepOutcome::default()
}

/// Whether somebody with all records stays when a broker is gone for a while, although others count as in sync that have lost theirs. Whoever
/// serves clients was taken in again: what it had lost no longer counts as its.
pub(super) fn somebody_has_all_without(world: &mut World, broker: BrokerId) -> bool {
    let mut without = who_has_lost_records(world);
    without.retain(|id| *id != broker);
    // Whoever is cut off already may soon be out of the ISR: whoever has all records has to be heard.
    without.is_empty() || !link_faults::is_any_broken(world) && is_whole_but_for(world, &without)
}

/// Whether the others can go on without a broker when everything else is healed: none of them has lost anything, or is about to stop.
pub(super) fn can_be_done_without(world: &mut World, broker: BrokerId) -> bool {
    let lost = who_has_lost_records(world);
    let is_whole = |node: &Node| node.broker.as_ref().is_none_or(|broker| !broker.is_shutting_down());
    lost.iter().all(|id| *id == broker)
        && can_elect_without(world, broker)
        && world.nodes.iter().all(|(id, node)| *id == broker || is_whole(node))
}

/// Whether a majority of the voters has its disk without a broker: one whose disk was replaced votes again only when the others have taken it in
/// (KIP-853).
fn can_elect_without(world: &World, broker: BrokerId) -> bool {
    let images = world.nodes.values().filter_map(|node| Some(node.broker.as_ref()?.image()));
    let Some(image) = images.max_by_key(|image| image.end_offset) else { return false };
    let has_its_disk = |(id, directory): &(&BrokerId, &DirectoryId)| {
        **id != broker && world.nodes.get(*id).is_some_and(|node| node.config.directory == **directory)
    };
    image.voters.iter().filter(has_its_disk).count() > image.voters.len() / 2
}

fn has_unsynced_data(world: &World, broker: BrokerId) -> bool {
    world.nodes.get(&broker).is_some_and(|node| node.disk.has_unsynced_data())
}

fn who_has_lost_records(world: &mut World) -> Vec<BrokerId> {
    for node in world.nodes.values_mut() {
        if node.power == Power::On && node.broker.as_ref().is_some_and(Broker::serves_clients) {
            node.has_lost_records = false;
        }
    }
    world.nodes.iter().filter(|(_, node)| node.has_lost_records).map(|(id, _)| *id).collect()
}

fn has_anybody_lost_records(world: &mut World) -> bool {
    !who_has_lost_records(world).is_empty()
}

/// Every broker runs, is connected, has been taken in again since it started, and every partition has its whole ISR by every broker's
/// account. (A broker that has just lost its power is in ISRs still, without all of its records, until it registers.)
fn is_whole(world: &World) -> bool {
    !link_faults::is_any_broken(world) && is_whole_but_for(world, &[])
}

/// As much of [`is_whole`] as a broker that goes down for a while must leave behind, while others have lost records: somebody has them all.
pub(super) fn is_whole_but_for(world: &World, without: &[BrokerId]) -> bool {
    world.nodes.iter().filter(|(id, _)| !without.contains(id)).all(|(_, node)| {
        node.power == Power::On
            && node.disk.fault().is_none()
            && node.broker.as_ref().is_some_and(|broker| {
                // Who is about to stop is as good as gone.
                let stays = !broker.is_shutting_down();
                let mut partitions = broker.image().topics.values().flat_map(|topic| topic.partitions.values());
                let is_in = |id: &BrokerId, isr: &[BrokerId]| isr.contains(id) || without.contains(id);
                stays
                    && broker.serves_clients()
                    && partitions.all(|state| state.replicas.iter().all(|id| is_in(id, &state.isr)))
            })
    })
}

fn name(fault: &Fault) -> &'static str {
    match fault {
        Fault::Kill(_) => "kills",
        Fault::PowerLoss(_) => "power losses",
        Fault::Wipe(_) => "wipes",
        Fault::Stop(_) => "stops",
        Fault::Suspend(_) => "suspends",
        Fault::Resume(_) => "resumes",
        Fault::Start(_) => "restarts",
        Fault::CutOneWay(..) => "one-way cuts",
        Fault::Cut(..) => "cuts",
        Fault::Isolate(_) => "isolations",
        Fault::Slow(..) => "slow links",
        Fault::HealOneWay(..) => "one-way heals",
        Fault::HealLinks => "heals",
        Fault::Disk(_, fault) => disk_faults::name(*fault),
        Fault::Link(from, to, fault) => link_faults::name((*from, *to), *fault),
        Fault::DropNext { of_responses: false, .. } => "requests dropped",
        Fault::DropNext { of_responses: true, .. } => "answers dropped",
        Fault::Skew(_, 0) => "clocks set right",
        Fault::Skew(..) => "clock steps",
        Fault::KillAll => "process kills",
    }
}

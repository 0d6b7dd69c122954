//! What goes wrong with links, single messages, clocks and the whole process, planned from a seed: delays with a long tail, loss, messages that
//! are held and released in a burst, narrow links, the links between brokers and their clients, lost requests and answers of one API, wall
//! clocks that jump, and all brokers killed at once.
//!
//! Invariants: each seed turns whole classes off, and half of them all; everything is drawn from a generator of its own, so that what a seed
//! draws besides stays as it is. A link between brokers only fails where a cut may be. A broker's messages are lost, never altered, never twice:
//! its links are connections. A client's bytes are never lost (its connection sends them again): what it repeats, it repeats on a connection
//! that it opened anew because an answer did not come.
//!
//! Deliberately not here: what a link does to a message (`cluster/link.rs`), and cuts and delays without tails (`plan`).

use crate::cluster::link::{CLIENTS, Drops, Link, LinkFaults};
use crate::cluster::sim::plan::{Fault, Plan, somebody_has_all_without};
use crate::cluster::sim::world::World;
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::ApiKey;
use std::time::Duration;

/// From one fault to the next, in milliseconds.
const INTERVAL_MS_MIN: u64 = 200;
const INTERVAL_MS_MAX: u64 = 5_000;
/// How long one lasts, in milliseconds.
const LASTS_MS_MIN: u64 = 20;
const LASTS_MS_MAX: u64 = 4_000;
/// How much later messages are at least on a late link.
pub const LATE_AT_LEAST: Duration = Duration::from_millis(1);
/// Up to how much more, in microseconds.
const LATE_US_MIN: u64 = 10_000;
const LATE_US_MAX: u64 = 1_500_000;
/// How much passes on a narrow link, in bytes a second.
const NARROW_MIN: u64 = 2_000;
const NARROW_MAX: u64 = 200_000;
/// How many of a million messages are lost.
const LOSS_MIN: u64 = 10_000;
const LOSS_MAX: u64 = 500_000;
/// How far a wall clock is off at most, in milliseconds.
const SKEW_MS_MAX: i64 = 120_000;
/// Whose requests and answers are lost.
const DROPPED: [ApiKey; 8] = [
    ApiKey::Produce,
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::Metadata,
    ApiKey::InitProducerId,
    ApiKey::AddPartitionsToTxn,
    ApiKey::EndTxn,
    ApiKey::FindCoordinator,
];

/// What can go wrong with one direction of a link, and right again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFault {
    /// Nothing gets through to or from a client; it waits in the connection.
    Stop,
    /// Everything is late, by so many microseconds at most.
    Late(u64),
    /// So many of a million messages are lost.
    Lose(u32),
    /// Everything is kept back until the link is well again, and comes in a burst then.
    Hold,
    /// So many bytes a second get through.
    Narrow(u64),
    /// It is well again: between brokers a [`Fault::HealOneWay`] is planned.
    Heal,
}

/// The classes of these faults that a seed may turn off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkSwarm {
    /// Late messages.
    pub late: bool,
    /// Lost messages.
    pub lossy: bool,
    /// Messages that are held back.
    pub held: bool,
    /// Narrow links.
    pub narrow: bool,
    /// The links to clients, with whichever of the classes before are on.
    pub clients: bool,
    /// Lost requests and answers of one API.
    pub drops: bool,
    /// Wall clocks that jump.
    pub clocks: bool,
    /// All brokers killed at once.
    pub process_kills: bool,
}

impl LinkSwarm {
    /// A seed's choice.
    pub fn draw(rng: &mut Prng) -> LinkSwarm {
        let is_there = rng.chance(1, 2);
        let mut on = || is_there && rng.chance(1, 2);
        LinkSwarm {
            late: on(),
            lossy: on(),
            held: on(),
            narrow: on(),
            clients: on(),
            drops: on(),
            clocks: on(),
            process_kills: on(),
        }
    }
}

/// What a draw decides on.
#[derive(Clone, Copy)]
enum Kind {
    Link(LinkFault),
    Clients(LinkFault),
    Drop,
    Clock,
    ProcessKill,
}

/// Adds these faults to a plan.
pub(super) fn draw(
    plan: &mut Plan,
    mut rng: Prng,
    brokers: &[BrokerId],
    swarm: LinkSwarm,
    from: Instant,
    until: Instant,
) {
    let mut at = from;
    loop {
        at = at.plus_millis(rng.range(INTERVAL_MS_MIN, INTERVAL_MS_MAX));
        let possible = possible(swarm, &mut rng);
        let Some(kind) = rng.pick(&possible).copied().filter(|_| at < until) else { return };
        let broker = *rng.pick(brokers).expect("a cluster has brokers");
        let other = *rng.pick(brokers).expect("a cluster has brokers");
        let back = at.plus_millis(rng.range(LASTS_MS_MIN, LASTS_MS_MAX)).min(until);
        match kind {
            Kind::Link(fault) if broker != other => {
                plan.faults.push((at, Fault::Link(broker, other, fault)));
                plan.faults.push((back, Fault::HealOneWay(broker, other)));
            }
            Kind::Link(_) => {}
            Kind::Clients(fault) => {
                let (from, to) = if rng.chance(1, 2) { (CLIENTS, broker) } else { (broker, CLIENTS) };
                plan.faults.push((at, Fault::Link(from, to, fault)));
                plan.faults.push((back, Fault::Link(from, to, LinkFault::Heal)));
            }
            Kind::Drop => {
                let (api, of_responses) = (*rng.pick(&DROPPED).expect("an API"), rng.chance(3, 4));
                plan.faults.push((at, Fault::DropNext { broker, api, of_responses }));
            }
            Kind::Clock => {
                let range = SKEW_MS_MAX.unsigned_abs() * 2;
                let skew_ms = i64::try_from(rng.range(0, range)).expect("a few minutes") - SKEW_MS_MAX;
                plan.faults.extend([(at, Fault::Skew(broker, skew_ms)), (back, Fault::Skew(broker, 0))]);
            }
            Kind::ProcessKill => {
                plan.faults.push((at, Fault::KillAll));
                for id in brokers {
                    // Most come back soon, each in its own time, some after every session has expired.
                    let pause_ms = if rng.chance(2, 3) { rng.range(20, 600) } else { rng.range(600, 5_000) };
                    plan.faults.push((at.plus_millis(pause_ms).min(until), Fault::Start(*id)));
                }
            }
        }
    }
}

/// What a seed's classes allow.
fn possible(swarm: LinkSwarm, rng: &mut Prng) -> Vec<Kind> {
    let late = LinkFault::Late(rng.range(LATE_US_MIN, LATE_US_MAX));
    let lossy = LinkFault::Lose(u32::try_from(rng.range(LOSS_MIN, LOSS_MAX)).expect("less than a million"));
    let narrow = LinkFault::Narrow(rng.range(NARROW_MIN, NARROW_MAX));
    let links = [(swarm.late, late), (swarm.lossy, lossy), (swarm.held, LinkFault::Hold), (swarm.narrow, narrow)];
    let links = links.into_iter().filter(|(on, _)| *on).map(|(_, fault)| fault);
    let mut kinds: Vec<Kind> = links.clone().map(Kind::Link).collect();
    if swarm.clients {
        kinds.push(Kind::Clients(LinkFault::Stop));
        kinds.extend(links.map(Kind::Clients));
    }
    let others = [(swarm.drops, Kind::Drop), (swarm.clocks, Kind::Clock), (swarm.process_kills, Kind::ProcessKill)];
    kinds.extend(others.into_iter().filter(|(on, _)| *on).map(|(_, kind)| kind));
    kinds
}

/// Whether Kafka's contract survives a fault of a link now: a broker that is not heard may soon be out of ISRs.
pub(super) fn is_allowed(world: &mut World, (from, to): Link, fault: LinkFault) -> bool {
    let is_harmless = fault == LinkFault::Heal || from == CLIENTS || to == CLIENTS;
    is_harmless || somebody_has_all_without(world, from) && somebody_has_all_without(world, to)
}

/// Whether anything is wrong with a link between brokers that may keep one from being heard.
pub(super) fn is_any_broken(world: &World) -> bool {
    world.network.has_cuts() || world.links.faulty().any(|((from, to), _)| from != CLIENTS && to != CLIENTS)
}

/// Does it.
pub(super) fn inflict(world: &mut World, link: Link, fault: LinkFault) {
    let released = world.links.change(link, |faults| match fault {
        LinkFault::Stop => faults.is_cut = true,
        LinkFault::Late(us) => (faults.delay, faults.jitter) = (LATE_AT_LEAST, Duration::from_micros(us)),
        LinkFault::Lose(per_million) => faults.loss_per_million = per_million,
        LinkFault::Hold => faults.is_held = true,
        LinkFault::Narrow(bytes_per_s) => faults.bytes_per_s = Some(bytes_per_s),
        LinkFault::Heal => *faults = LinkFaults::default(),
    });
    if !released.is_empty() {
        *world.counts.entry("bursts of held messages").or_default() += 1;
    }
    for message in released {
        world.transmit(link.0, link.1, world.now, message);
    }
    world.let_go(link);
}

/// The next message of an API is lost: to a broker, or its answer.
pub(super) fn drop_next(world: &mut World, broker: BrokerId, api: ApiKey, of_responses: bool) {
    world.links.drop_next(Drops { of_responses, api: format!("{api:?}"), by: Some(broker), left: 1 });
}

/// The links between brokers are well again, or all of them.
pub(super) fn heal(world: &mut World, clients_too: bool) {
    let of_brokers = |(from, to): Link| from != CLIENTS && to != CLIENTS;
    let faulty = world.links.faulty().map(|(link, _)| link).filter(|link| clients_too || of_brokers(*link));
    for link in faulty.collect::<Vec<_>>() {
        inflict(world, link, LinkFault::Heal);
    }
}

/// Every link and every clock is right again, and nothing more is lost.
pub(super) fn heal_all(world: &mut World) {
    world.network.heal();
    heal(world, true);
    world.links.forget_drops();
    world.nodes.values_mut().for_each(|node| node.skew_ms = 0);
}

/// Its name in a run's summary.
pub(super) fn name((from, to): Link, fault: LinkFault) -> &'static str {
    let is_clients = from == CLIENTS || to == CLIENTS;
    match (fault, is_clients) {
        (LinkFault::Stop, _) => "clients' links stopped",
        (LinkFault::Late(_), false) => "late links",
        (LinkFault::Late(_), true) => "clients' links late",
        (LinkFault::Lose(_), false) => "lossy links",
        (LinkFault::Lose(_), true) => "clients' links lossy",
        (LinkFault::Hold, false) => "held links",
        (LinkFault::Hold, true) => "clients' links held",
        (LinkFault::Narrow(_), false) => "narrow links",
        (LinkFault::Narrow(_), true) => "clients' links narrow",
        (LinkFault::Heal, _) => "links healed",
    }
}

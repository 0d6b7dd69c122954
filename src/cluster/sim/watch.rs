//! What somebody who looks at a simulated world sees: the observer, fed by what happens.
//!
//! Invariants: everything that is fed depends on the world alone, never on who looks or how fast time passes, so that the same history
//! gives the same picture; a clone is the picture at a checkpoint. The observer hears of each fact once, and of the brokers as a whole each
//! [`ROUND_MS`] of virtual time.
//!
//! Deliberately not here: the passing of time (`stage`), and what is made of it all (`observation`).

use crate::cluster::observation::found::{self, Found};
use crate::cluster::observation::{Fault, Moment, Note, Observer, Setup};
use crate::cluster::sim::check::Violation;
use crate::cluster::sim::disk::DiskFailure;
use crate::cluster::sim::world::{Node, Power, World, wall};
use crate::cluster::view::{BrokerState, Capabilities, ClockMode, EventKind, FaultKind};
use crate::cluster::wire::Ring;
use crate::engine::io::LogRead;
use crate::engine::observe::{self, Event};
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::EventId;
use std::collections::BTreeMap;

/// How often the brokers are asked how they are, in virtual milliseconds.
const ROUND_MS: u64 = 100;

/// What a broker's process was seen to do last.
#[derive(Debug, Clone)]
struct Seen {
    life: u32,
    power: Power,
    power_losses: u32,
    /// It was told to stop in order.
    is_stopping: bool,
}

/// A fault that acts, since when, and the fact that it began.
#[derive(Debug, Clone)]
struct Acting {
    since: Instant,
    fact: Option<EventId>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Watch {
    /// What is made of it all.
    pub observer: Observer,
    seen: BTreeMap<BrokerId, Seen>,
    acting: BTreeMap<String, Acting>,
    next_round: Instant,
}

impl Watch {
    /// Begins to look at a world: from here on it keeps what it is told.
    pub fn new(world: &mut World) -> Watch {
        world.told = Some(Vec::new());
        world.wire = Some(Ring::default());
        let cluster = world.nodes.values().next().expect("a cluster has brokers").config.cluster.clone();
        let setup = Setup {
            name: "simulated".to_owned(),
            bootstrap_servers: String::new(),
            can: Capabilities {
                pause: true,
                slow: true,
                step: true,
                rewind: true,
                recall: false,
                faults: true,
                demo: true,
            },
            quit_loses: None,
            utc_offset_s: 0,
            cluster,
            brokers: world.nodes.iter().map(|(id, node)| (*id, node.config.port)).collect(),
        };
        let mut watch = Watch {
            observer: Observer::new(setup),
            seen: BTreeMap::new(),
            acting: BTreeMap::new(),
            next_round: Instant::ZERO,
        };
        watch.look(world);
        watch
    }

    /// Takes in what has happened.
    pub fn look(&mut self, world: &mut World) {
        let told = world.told.as_mut().map(std::mem::take).unwrap_or_default();
        let is_due = world.now >= self.next_round;
        if told.is_empty() && !is_due && !self.lives_changed(world) {
            return;
        }
        self.tell_moment(world);
        self.see_lives(world, &told);
        for event in &told {
            self.observer.event(event);
        }
        if is_due {
            self.next_round = world.now.plus_millis(ROUND_MS);
            self.ask_all(world);
        }
    }

    /// Brings everything up to this moment, for a picture of it.
    pub fn refresh(&mut self, world: &World, clock: ClockMode) {
        let moment = self.moment(world);
        self.observer.set_moment(Moment { clock, ..moment });
        self.ask_all(world);
    }

    /// A rule is broken.
    pub fn broken(&mut self, violation: &Violation) {
        self.observer.set_notice(Some(format!("{} is broken", violation.rule)));
        let text = violation.to_string();
        self.observer.note(Note { kind: EventKind::Mark, text, broker: None, cause: None, lasts: false });
    }

    fn moment(&self, world: &World) -> Moment {
        Moment { at_ms: world.now.as_millis(), wall_ms: wall(world.now).0, clock: self.observer.moment().clock }
    }

    fn tell_moment(&mut self, world: &World) {
        self.observer.set_moment(self.moment(world));
    }

    fn lives_changed(&self, world: &World) -> bool {
        self.seen.len() != world.nodes.len()
            || world.nodes.iter().any(|(id, node)| {
                self.seen.get(id).is_none_or(|seen| (seen.life, seen.power) != (node.life, node.power))
            })
    }

    fn see_lives(&mut self, world: &World, told: &[Event]) {
        let gone: Vec<BrokerId> = self.seen.keys().filter(|id| !world.nodes.contains_key(id)).copied().collect();
        for id in gone {
            self.seen.remove(&id);
            self.observer.remove_broker(id);
        }
        for (id, node) in &world.nodes {
            if !self.seen.contains_key(id) {
                self.observer.add_broker(*id, node.config.port);
                let seen = Seen { life: 0, power: Power::Off, power_losses: 0, is_stopping: false };
                self.seen.insert(*id, seen);
            }
            let stops = |event: &Event| event.id.broker == *id && event.kind == observe::EventKind::ShutdownBegan;
            if told.iter().any(stops) {
                self.seen.get_mut(id).expect("was added").is_stopping = true;
                self.observer.broker_is(*id, BrokerState::Stopping, None);
            }
            self.see_life(*id, node);
        }
    }

    /// Tells how a broker's process came from what it was seen to be to what it is.
    fn see_life(&mut self, id: BrokerId, node: &Node) {
        let seen = self.seen.get_mut(&id).expect("every broker was seen");
        if (seen.life, seen.power) == (node.life, node.power) {
            return;
        }
        let before = std::mem::replace(
            seen,
            Seen {
                life: node.life,
                power: node.power,
                power_losses: node.power_losses,
                is_stopping: seen.is_stopping && node.power != Power::Off && node.life == seen.life,
            },
        );
        let has_ended = before.power != Power::Off && (node.power == Power::Off || node.life != before.life);
        if has_ended {
            let how = match () {
                () if before.is_stopping => BrokerState::Stopped,
                () if node.power_losses > before.power_losses => BrokerState::PowerLost,
                () => BrokerState::Killed,
            };
            self.observer.broker_is(id, how, None);
            self.observer.store_of_dead(id, &node.disk.logs());
        }
        if node.life != before.life && node.power != Power::Off {
            self.observer.broker_is(id, BrokerState::Starting, None);
            self.observer.broker_is(id, BrokerState::Running, None);
        }
        match (before.power, node.power) {
            (_, Power::Suspended) => _ = self.observer.broker_is(id, BrokerState::Suspended, None),
            (Power::Suspended, Power::On) => _ = self.observer.broker_is(id, BrokerState::Running, None),
            _ => {}
        }
    }

    /// Every broker's account of itself, the faults and the ledger.
    fn ask_all(&mut self, world: &World) {
        for (id, node) in world.nodes.iter().filter(|(_, node)| node.power == Power::On) {
            if let Some(broker) = &node.broker {
                let scope = self.observer.next_scope(*id);
                self.observer.snapshot(&broker.snapshot(&scope, &node.disk, world.now));
            }
        }
        let faults = self.faults(world);
        self.observer.set_faults(faults);
        self.observer.set_links(found::reports(&world.links, &BTreeMap::new()));
        self.observer.set_ledger(world.account());
        self.observer.take_deleted_topics();
    }

    /// What acts now, newest first; what is new of it, and what is over, is told.
    fn faults(&mut self, world: &World) -> Vec<Fault> {
        let mut found = found_on_brokers(world);
        found.extend(found_on_links(world));
        let over: Vec<String> =
            self.acting.keys().filter(|text| !found.iter().any(|found| found.text == **text)).cloned().collect();
        for text in over {
            if let Some(fact) = self.acting.remove(&text).and_then(|acting| acting.fact) {
                self.observer.end(fact);
            }
        }
        for found in &found {
            if self.acting.contains_key(&found.text) {
                continue;
            }
            let fact = kind_of_fact(found).map(|kind| {
                let text = found.text.clone();
                self.observer.note(Note { kind, text, broker: None, cause: None, lasts: true })
            });
            self.acting.insert(found.text.clone(), Acting { since: world.now, fact });
        }
        found::shown(found, |text| self.acting.get(text).map_or(0, |acting| acting.since.as_millis()))
    }
}

/// What the timeline shows of a fault's beginning; a broker's life is told by itself.
fn kind_of_fact(found: &Found) -> Option<EventKind> {
    match found.kind {
        FaultKind::Down | FaultKind::Suspended => None,
        FaultKind::Cut => Some(EventKind::LinkCut),
        FaultKind::Slow if found.text.starts_with("disk") => Some(EventKind::DiskSlow),
        FaultKind::Slow => Some(EventKind::LinkSlow),
        FaultKind::Loss => Some(EventKind::LinkLossy),
        FaultKind::Disk => Some(EventKind::DiskFault),
        FaultKind::Clock => Some(EventKind::Clock),
    }
}

fn found_on_brokers(world: &World) -> Vec<Found> {
    let mut found = Vec::new();
    for (id, node) in &world.nodes {
        match node.power {
            Power::Off => {
                found.push(Found::new(FaultKind::Down, format!("broker {id} is down"), &format!("start {id}")));
            }
            Power::Suspended => {
                let undo = format!("resume {id}");
                found.push(Found::new(FaultKind::Suspended, format!("broker {id} suspended"), &undo));
            }
            Power::On => {}
        }
        if node.skew_ms != 0 {
            let by = format!("{:+} ms", node.skew_ms);
            let undo = format!("clock skew {id} +0s");
            found.push(Found::new(FaultKind::Clock, format!("clock of {id} {by}"), &undo).on(*id, &by));
        }
        let undo = format!("disk heal {id}");
        if let Some(fault) = node.disk.fault() {
            let how = match fault {
                DiskFailure::Full => "full",
                DiskFailure::Failing => "failing",
            };
            found.push(Found::new(FaultKind::Disk, format!("disk of {id} {how}"), &undo).on(*id, how));
        }
        if !node.write_delay.is_zero() {
            let by = format!("+{} ms", node.write_delay.as_millis());
            found.push(Found::new(FaultKind::Slow, format!("disk of {id} {by}"), &undo).on(*id, &by));
        }
    }
    found
}

/// What somebody did to links, and what the plan did.
fn found_on_links(world: &World) -> Vec<Found> {
    let mut found = found::on_links(&world.links);
    for ((from, to), link) in world.network.faulty() {
        let undo = format!("link heal {from} to {to}");
        found.push(if link.is_cut {
            let text = format!("link {from} → {to} cut");
            Found::new(FaultKind::Cut, text, &undo)
                .over(vec![(from, to)])
                .on(from, &format!("cut {to}"))
                .on(to, &format!("cut {from}"))
        } else {
            let by = format!("+{} ms", link.delay_us_max / 1_000);
            Found::new(FaultKind::Slow, format!("link {from} → {to} {by}"), &undo).over(vec![(from, to)]).on(from, &by)
        });
    }
    found
}

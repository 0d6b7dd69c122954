//! The command language carried out on a simulated world.
//!
//! Invariants: a command returns when what it says is so, and lets as much virtual time pass as that takes; the same command at the same
//! moment does the same. What a live host's command does, this one does.
//!
//! Deliberately not here: the speed of time, which is the host's that shows the world (`stage`).

use crate::client::Target;
use crate::cluster::admin::{self, Ask};
use crate::cluster::command::predicate::{Count, Facts, Measure, Members};
use crate::cluster::command::{
    BrokerCommand, ClockCommand, Command, Direction, DiskCommand, DropCommand, LinkCommand, Partition, Predicate,
    ProduceCommand, Reply, Who,
};
use crate::cluster::link::{CLIENTS, Drops, LinkFaults};
use crate::cluster::sim::clientele;
use crate::cluster::sim::timeline::Timeline;
use crate::cluster::sim::world::{Power, World};
use crate::engine::controller::image::MetadataImage;
use crate::engine::io::LogRead;
use crate::engine::time::Instant;
use crate::protocol::codec::{Request, Response};
use crate::protocol::ids::{BrokerId, PartitionId};
use std::sync::Arc;
use std::time::Duration;

/// In how much virtual time a command is done or has failed, in milliseconds.
const PATIENCE_MS: u64 = 20_000;
/// After so much virtual time without an answer a request has failed, in milliseconds.
const ANSWER_MS: u64 = 10_000;
/// The demo workload's name.
const DEMO: &str = "demo";
/// Its topics, how many partitions each has, and the time between two batches, in milliseconds.
const DEMO_LOADS: [(&str, i32, u64); 3] = [("clicks", 4, 20), ("orders", 6, 30), ("payments", 4, 50)];

type Outcome = Result<Reply, String>;

/// Carries out a command.
pub(super) fn carry_out(timeline: &mut Timeline, command: &Command) -> Reply {
    let line = command.to_string();
    let outcome = match command {
        Command::Stop { who }
        | Command::Kill { who }
        | Command::Powerloss { who }
        | Command::Wipe { who }
        | Command::Suspend { who }
        | Command::Resume { who }
        | Command::Start { who }
        | Command::Restart { who } => lives(timeline, command, who),
        Command::Broker(command) => brokers(timeline, command),
        Command::Link(command) => links(timeline, command),
        Command::Drop(DropCommand::Next { traffic, broker, count }) => {
            let of_responses = traffic.direction == Direction::Response;
            let drops = Drops { of_responses, api: traffic.api.to_string(), by: *broker, left: *count };
            timeline.run_mut().world.links.drop_next(drops);
            Ok(Reply::done(format!("`{line}` is set.")))
        }
        Command::Disk(command) => disks(timeline, command),
        Command::Clock(ClockCommand::Skew(skew)) => each(timeline, &skew.who, |timeline, id| {
            node_mut(timeline, id).skew_ms = skew.skew.millis;
            Ok(())
        }),
        Command::Heal => heal(timeline),
        Command::Undo => match timeline.undo_stack().pop() {
            Some(undo) => return told_undo(&undo, carry_out(timeline, &undo)),
            None => Err("there is nothing to take back".to_owned()),
        },
        Command::Demo => demo(timeline),
        Command::Produce(ProduceCommand::Stop { name }) if name.as_deref().is_none_or(|name| name == DEMO) => {
            stop_demo(timeline)
        }
        Command::Wait { predicate, within } => wait(timeline, predicate, *within),
        Command::Expect { predicate } => expect(timeline, predicate),
        other => Ok(ask(timeline, other)),
    };
    outcome.unwrap_or_else(Reply::failed)
}

fn node_mut(timeline: &mut Timeline, id: BrokerId) -> &mut crate::cluster::sim::world::Node {
    timeline.run_mut().world.nodes.get_mut(&id).expect("a broker that was resolved")
}

/// Whom somebody means now.
pub fn resolve(world: &World, who: &Who) -> Result<Vec<BrokerId>, String> {
    let ids = match who {
        Who::Ids(ids) => match ids.iter().find(|id| !world.nodes.contains_key(id)) {
            Some(unknown) => return Err(format!("there is no broker {unknown}")),
            None => ids.clone(),
        },
        Who::LeaderOf(partition) => match world.leader(partition) {
            Some(Some(leader)) => vec![leader],
            Some(None) => return Err(format!("{partition} has no leader")),
            None => return Err(format!("there is no partition {partition}")),
        },
        Who::Controller => match world.controller().flatten() {
            Some(broker) => vec![broker],
            None => return Err("there is no controller now".to_owned()),
        },
        Who::Killed => {
            let dead = world.nodes.iter().filter(|(_, node)| node.power == Power::Off);
            dead.map(|(id, _)| *id).collect()
        }
    };
    if ids.is_empty() { Err("there is no such broker now".to_owned()) } else { Ok(ids) }
}

fn listed(ids: &[BrokerId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn each(
    timeline: &mut Timeline,
    who: &Who,
    mut act: impl FnMut(&mut Timeline, BrokerId) -> Result<(), String>,
) -> Outcome {
    let ids = resolve(timeline.world(), who)?;
    for id in &ids {
        act(timeline, *id)?;
    }
    Ok(Reply::done(format!("Done on {}.", listed(&ids))))
}

fn check_life(world: &World, command: &Command, id: BrokerId) -> Result<(), String> {
    let power = world.nodes[&id].power;
    let (is_allowed, reason) = match command {
        Command::Start { .. } => (power == Power::Off, "runs already"),
        Command::Resume { .. } => (power == Power::Suspended, "is not suspended"),
        Command::Suspend { .. } => (power == Power::On, "does not run"),
        Command::Restart { .. } | Command::Wipe { .. } => (true, ""),
        Command::Stop { .. } if power == Power::Suspended => (false, "is suspended: resume it first"),
        _ => (power != Power::Off, "does not run"),
    };
    if is_allowed { Ok(()) } else { Err(format!("broker {id} {reason}")) }
}

fn lives(timeline: &mut Timeline, command: &Command, who: &Who) -> Outcome {
    let ids = resolve(timeline.world(), who)?;
    for id in &ids {
        check_life(timeline.world(), command, *id)?;
    }
    let word = match command {
        Command::Stop { .. } => "stopped",
        Command::Kill { .. } => "dead",
        Command::Powerloss { .. } => "without power",
        Command::Suspend { .. } => "suspended",
        Command::Resume { .. } => "running again",
        Command::Start { .. } | Command::Restart { .. } => "up",
        _ => "down, with an empty disk",
    };
    for id in &ids {
        let world = &mut timeline.run_mut().world;
        match command {
            Command::Kill { .. } => world.kill(*id),
            Command::Powerloss { .. } => world.power_loss(*id),
            Command::Suspend { .. } => world.suspend(*id),
            Command::Resume { .. } => world.resume(*id),
            Command::Wipe { .. } => world.wipe(*id),
            Command::Start { .. } => start(timeline, *id)?,
            Command::Restart { .. } => {
                stop(timeline, *id);
                start(timeline, *id)?;
            }
            _ => stop(timeline, *id),
        }
    }
    let are = if ids.len() == 1 { format!("Broker {} is", ids[0]) } else { format!("Brokers {} are", listed(&ids)) };
    Ok(Reply::done(format!("{are} {word}.")))
}

/// Hands over and ends; a broker that cannot hand over in time is killed, as a service manager does.
fn stop(timeline: &mut Timeline, id: BrokerId) {
    let run = timeline.run_mut();
    run.world.resume(id);
    let outcome = run.world.stop(id);
    run.check(&outcome);
    if !pass_until(timeline, PATIENCE_MS, |world| world.nodes[&id].power == Power::Off) {
        timeline.run_mut().world.kill(id);
    }
}

/// Starts a broker and waits until it serves.
fn start(timeline: &mut Timeline, id: BrokerId) -> Result<(), String> {
    let run = timeline.run_mut();
    let outcome = run.world.start(id);
    run.check(&outcome);
    if run.world.nodes[&id].power == Power::Off {
        return Err(format!("broker {id} cannot read its disk"));
    }
    let serves = |world: &World| world.nodes[&id].broker.as_ref().is_some_and(|broker| !broker.is_fenced());
    if pass_until(timeline, PATIENCE_MS, serves) {
        return Ok(());
    }
    Err(format!("broker {id} runs and is still fenced after {} s: is there a controller?", PATIENCE_MS / 1_000))
}

/// Lets virtual time pass until something is so. Whether it came so far.
fn pass_until(timeline: &mut Timeline, milliseconds: u64, is_so: impl Fn(&World) -> bool) -> bool {
    let end = timeline.now().plus_millis(milliseconds);
    loop {
        if is_so(timeline.world()) {
            return true;
        }
        if timeline.next_at().is_none_or(|at| at > end) || timeline.advance().is_none() {
            return false;
        }
    }
}

fn brokers(timeline: &mut Timeline, command: &BrokerCommand) -> Outcome {
    match command {
        BrokerCommand::Add => {
            let id = timeline.run_mut().world.add_broker();
            start(timeline, id)?;
            Ok(Reply::done(format!("Broker {id} is up.")))
        }
        BrokerCommand::Remove { .. } => {
            Ok(Reply::unavailable("a simulated broker cannot be removed: `stop` it, or go back to before it was added"))
        }
        BrokerCommand::List => {
            let line = |(id, node): (&BrokerId, &crate::cluster::sim::world::Node)| {
                format!("{id:>2}  port {:<5}  {:?}", node.config.port, node.power)
            };
            Ok(Reply::done(timeline.world().nodes.iter().map(line).collect::<Vec<_>>().join("\n")))
        }
    }
}

fn links(timeline: &mut Timeline, command: &LinkCommand) -> Outcome {
    let named = command.link().from.iter().chain(&command.link().to);
    if named.clone().any(|end| *end == CLIENTS) {
        return Ok(Reply::unavailable("the simulated clients have no links of their own: a live cluster's have"));
    }
    let world = &mut timeline.run_mut().world;
    if let Some(unknown) = named.into_iter().find(|id| !world.nodes.contains_key(id)) {
        return Err(format!("there is no broker {unknown}"));
    }
    for (from, to) in command.link().directed() {
        let released = world.links.change((from, to), |faults| match command {
            LinkCommand::Cut { .. } => faults.is_cut = true,
            LinkCommand::Delay { by, jitter, .. } => (faults.delay, faults.jitter) = (*by, jitter.unwrap_or_default()),
            LinkCommand::Lose { share, .. } => faults.loss_per_million = share.per_million,
            LinkCommand::Hold { .. } => faults.is_held = true,
            LinkCommand::Release { .. } => faults.is_held = false,
            LinkCommand::Throttle { rate, .. } => faults.bytes_per_s = Some(rate.0.0),
            LinkCommand::Heal { .. } => *faults = LinkFaults::default(),
        });
        if matches!(command, LinkCommand::Heal { .. }) {
            world.network.link(from, to).is_cut = false;
        }
        for message in released {
            world.transmit(from, to, world.now, message);
        }
    }
    Ok(Reply::done(format!("`{}` is done.", Command::Link(command.clone()))))
}

fn disks(timeline: &mut Timeline, command: &DiskCommand) -> Outcome {
    match command {
        DiskCommand::Slow { who, by } => each(timeline, who, |timeline, id| {
            node_mut(timeline, id).write_delay = *by;
            Ok(())
        }),
        DiskCommand::Full { who } => each(timeline, who, |timeline, id| {
            node_mut(timeline, id).disk.is_full = true;
            Ok(())
        }),
        DiskCommand::Heal { who } => each(timeline, who, |timeline, id| {
            heal_disk(timeline, id);
            Ok(())
        }),
        DiskCommand::Corrupt { who, partition, offset } => {
            let named = match partition {
                Some(named) => {
                    let found = partition_id(timeline.world(), named);
                    Some(found.ok_or_else(|| format!("there is no partition {named}"))?)
                }
                None => None,
            };
            each(timeline, who, |timeline, id| {
                let disk = &mut node_mut(timeline, id).disk;
                let data = disk.logs().into_iter().filter(|log| log.partition != PartitionId::METADATA);
                let largest = data.max_by_key(|log| log.end_offset - log.start_offset).map(|log| log.partition);
                let damaged = named.or(largest).is_some_and(|partition| disk.damage(partition, *offset));
                if damaged { Ok(()) } else { Err(format!("broker {id} has no such batch")) }
            })
        }
    }
}

/// `undo` says what it did and what came of it.
fn told_undo(undo: &Command, reply: Reply) -> Reply {
    match reply {
        Reply::Done { text, data } => Reply::Done { text: format!("`{undo}`: {text}"), data },
        Reply::Failed { reason, exit_code } => Reply::Failed { reason: format!("`{undo}`: {reason}"), exit_code },
    }
}

/// Producers as one sees them at work: a topic each.
fn demo(timeline: &mut Timeline) -> Outcome {
    let now = timeline.now();
    let world = &mut timeline.run_mut().world;
    if writes(world, now) {
        return Err("the demo workload runs already".to_owned());
    }
    clientele::begin_demo(world, &DEMO_LOADS);
    Ok(Reply::done("The demo workload writes orders, payments and clicks; `produce stop demo` ends it."))
}

/// Whether any client still has records to write.
fn writes(world: &World, now: Instant) -> bool {
    world.clients.values().filter_map(|client| client.producing()).any(|producing| producing.writes(now))
}

fn stop_demo(timeline: &mut Timeline) -> Outcome {
    let now = timeline.now();
    let world = &mut timeline.run_mut().world;
    if !writes(world, now) {
        return Err("no load runs".to_owned());
    }
    world.clients.values_mut().for_each(|client| client.end(now));
    Ok(Reply::done("The load has ended."))
}

fn heal_disk(timeline: &mut Timeline, id: BrokerId) {
    node_mut(timeline, id).write_delay = Duration::ZERO;
    let run = timeline.run_mut();
    let outcome = run.world.make_room(id);
    run.check(&outcome);
}

fn heal(timeline: &mut Timeline) -> Outcome {
    let world = &mut timeline.run_mut().world;
    world.network.heal();
    world.links.forget_drops();
    let faulty: Vec<_> = world.links.faulty().map(|(link, _)| link).collect();
    for (from, to) in faulty {
        let released = world.links.change((from, to), |faults| *faults = LinkFaults::default());
        for message in released {
            world.transmit(from, to, world.now, message);
        }
    }
    let ids: Vec<BrokerId> = world.nodes.keys().copied().collect();
    for id in &ids {
        timeline.run_mut().world.resume(*id);
        heal_disk(timeline, *id);
        node_mut(timeline, *id).skew_ms = 0;
        let run = timeline.run_mut();
        let outcome = run.world.start(*id);
        run.check(&outcome);
    }
    for id in ids {
        start(timeline, id)?;
    }
    Ok(Reply::done("Every fault has ended."))
}

fn wait(timeline: &mut Timeline, predicate: &Predicate, within: Duration) -> Outcome {
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX / 2_000_000);
    let came = pass_until(timeline, within_ms, |world| predicate.check(world).holds);
    let seen = predicate.check(timeline.world()).seen;
    if came {
        return Ok(Reply::done(format!("{seen}.")));
    }
    Ok(Reply::timed_out(format!("{predicate} did not come true: {seen}")))
}

fn expect(timeline: &mut Timeline, predicate: &Predicate) -> Outcome {
    let verdict = predicate.check(timeline.world());
    if verdict.holds {
        return Ok(Reply::done(format!("{}.", verdict.seen)));
    }
    Err(format!("expected {predicate}, but {}", verdict.seen))
}

fn ask(timeline: &mut Timeline, command: &Command) -> Reply {
    let give_up_at = timeline.now().plus_millis(PATIENCE_MS);
    let mut asker = Asker { timeline, give_up_at, next: 0 };
    admin::run(command, &mut asker).unwrap_or_else(|| {
        Reply::unavailable(format!("`{command}` is the host's that shows the world, not the world's"))
    })
}

/// Asks the simulated brokers, and lets the world go on until they have answered.
struct Asker<'a> {
    timeline: &'a mut Timeline,
    give_up_at: Instant,
    next: usize,
}

impl Ask for Asker<'_> {
    fn ask(&mut self, to: Target, request: Request) -> Result<Response, String> {
        let world = self.timeline.world();
        let running: Vec<BrokerId> =
            world.nodes.iter().filter(|(_, node)| node.power == Power::On).map(|(id, _)| *id).collect();
        let broker = match to {
            Target::Broker(broker) | Target::Coordinator(broker) if world.nodes.contains_key(&broker) => broker,
            Target::Broker(broker) | Target::Coordinator(broker) => return Err(format!("there is no broker {broker}")),
            Target::Any if running.is_empty() => return Err("no broker runs".to_owned()),
            Target::Any => running[self.next % running.len()],
        };
        let asked = self.timeline.run_mut().world.ask(broker, request);
        let end = self.timeline.now().plus_millis(ANSWER_MS);
        loop {
            match self.timeline.run_mut().world.take_answer(asked) {
                Some(Some(response)) => return Ok(response),
                Some(None) => {
                    self.next += 1;
                    return Err(format!("broker {broker} closed the connection"));
                }
                None => {}
            }
            if self.timeline.next_at().is_none_or(|at| at > end) || self.timeline.advance().is_none() {
                self.next += 1;
                return Err(format!("broker {broker} does not answer"));
            }
        }
    }

    fn wait(&mut self, pause: Duration) -> bool {
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(ANSWER_MS);
        pass_until(self.timeline, pause_ms, |_| false);
        self.timeline.now() < self.give_up_at
    }
}

/// The metadata of the broker that has applied most of it.
pub fn newest_image(world: &World) -> Option<&Arc<MetadataImage>> {
    let images = world.nodes.values().filter_map(|node| node.broker.as_ref()).map(|broker| broker.image());
    images.max_by_key(|image| image.end_offset)
}

fn partition_id(world: &World, partition: &Partition) -> Option<PartitionId> {
    let image = newest_image(world)?;
    let id = PartitionId::new(*image.topic_ids.get(&partition.topic)?, partition.partition);
    image.partition(id).map(|_| id)
}

impl Facts for World {
    fn leader(&self, partition: &Partition) -> Option<Option<BrokerId>> {
        let state = newest_image(self)?.partition(partition_id(self, partition)?)?;
        // Whoever is dead leads nothing, even if the controller has not seen it yet.
        Some(state.leader.filter(|leader| self.nodes.get(leader).is_some_and(|node| node.power != Power::Off)))
    }

    fn controller(&self) -> Option<Option<BrokerId>> {
        let active = self.nodes.iter().filter(|(_, node)| node.power == Power::On).filter_map(|(id, node)| {
            let broker = node.broker.as_ref().filter(|broker| broker.is_active_controller())?;
            Some((broker.image().end_offset, *id))
        });
        Some(active.max().map(|(_, id)| id))
    }

    fn members(&self, list: Members, partition: &Partition) -> Option<Vec<BrokerId>> {
        let state = newest_image(self)?.partition(partition_id(self, partition)?)?;
        Some(match list {
            Members::Isr => state.isr.clone(),
            Members::Replicas => state.replicas.clone(),
        })
    }

    fn measure(&self, measure: Measure, partition: &Partition) -> Option<i64> {
        let id = partition_id(self, partition)?;
        let state = newest_image(self)?.partition(id)?;
        let node = self.nodes.get(&state.leader?)?;
        match measure {
            Measure::LeaderEpoch => Some(i64::from(state.leader_epoch)),
            Measure::HighWatermark => {
                let scope = crate::engine::observe::Scope { partitions: Some(vec![id]) };
                let replicas = node.broker.as_ref()?.replicas().snapshot(&scope, &node.disk);
                replicas.first().map(|replica| replica.high_watermark)
            }
            Measure::LogEndOffset => node.disk.log_of(id).map(|log| log.end_offset),
        }
    }

    fn count(&self, count: Count) -> Option<u64> {
        let states = || newest_image(self).into_iter().flat_map(|image| image.partitions());
        let number = match count {
            Count::Alive => self.nodes.values().filter(|node| node.power == Power::On).count(),
            Count::UnderReplicated => states().filter(|(_, _, state)| state.isr.len() < state.replicas.len()).count(),
            Count::Leaderless => states().filter(|(_, _, state)| state.leader.is_none()).count(),
            Count::Faults => {
                let broken = |node: &&crate::cluster::sim::world::Node| {
                    node.power != Power::On || node.skew_ms != 0 || !node.write_delay.is_zero() || node.disk.is_full
                };
                self.links.faulty().count() + self.links.drops().len() + self.nodes.values().filter(broken).count()
            }
            // Who writes and reads keeps the ledger.
            Count::Acked | Count::Readable | Count::Lost | Count::Duplicated | Count::Reordered => return None,
        };
        u64::try_from(number).ok()
    }
}

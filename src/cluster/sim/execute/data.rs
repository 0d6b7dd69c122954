//! Records: steady loads with the readers that follow them, and records written or read once.
//!
//! Invariant: what is said to whoever gave the command is what a live host says.

use super::facts::newest_image;
use super::{Outcome, pass_until};
use crate::client::consumer::{ConsumerOptions, Reset, Start};
use crate::client::group::GroupConsumer;
use crate::client::member::MemberOptions;
use crate::client::member::assignor::Assignor;
use crate::cluster::command::values::Rate;
use crate::cluster::command::{Consume, ConsumeCommand, Join, Produce, ProduceCommand, Reply};
use crate::cluster::ledger::LoadId;
use crate::cluster::reading::Reader;
use crate::cluster::sim::guest::{Following, Guest, Load, OnceReader, OnceWriter, Steady, guests, invite};
use crate::cluster::sim::timeline::Timeline;
use crate::cluster::sim::workload::{ClientId, Role, Topics};
use crate::cluster::sim::world::{World, wall};
use crate::cluster::workload::{
    Batch, DEMO, DEMO_GROUP, DEMO_READERS, DEMO_TOPICS, PATIENCE, Source, Writing, create_demo_topics, reply, start,
};
use crate::engine::time::Instant;
use serde_json::json;

/// A member of the demo's group that is silent for so long loses its partitions, in milliseconds.
const SESSION_TIMEOUT_MS: u32 = 3_000;
/// Between two of its heartbeats, in milliseconds: how soon it hears of a rebalance.
const HEARTBEAT_INTERVAL_MS: u32 = 300;
/// The others wait so long for one that does not join again, in milliseconds.
const REBALANCE_TIMEOUT_MS: u32 = 5_000;
/// Between two of its commits, in milliseconds.
const COMMIT_INTERVAL_MS: u64 = 1_000;
/// What a command that writes or reads takes at most before it has ended by itself, in milliseconds.
const ONCE_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// `produce`.
pub(super) fn produce(timeline: &mut Timeline, command: &ProduceCommand) -> Outcome {
    match command {
        ProduceCommand::Stop { name } => stop(timeline, name.as_deref()),
        ProduceCommand::Records(produce) => match produce.load.rate {
            None => write(timeline, produce),
            Some(rate) => {
                let (name, topic) = (produce.load_name(), &produce.topic);
                if runs(timeline.world(), name) {
                    return Err(format!("a load {name} runs already: stop it, or choose another --name"));
                }
                begin(timeline, name, Source::Command(Box::new(produce.clone())));
                let text = format!("{name} writes {rate} to {topic}; `produce stop {name}` ends it");
                Ok(Reply::told(text, json!({ "load": name, "topic": topic })))
            }
        },
    }
}

/// Producers as one sees them at work, and a group that reads.
pub(super) fn demo(timeline: &mut Timeline) -> Outcome {
    if runs(timeline.world(), DEMO) {
        return Err("the demo workload runs already".to_owned());
    }
    let now = timeline.now();
    let topics: Vec<String> = DEMO_TOPICS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let are_there = places_of(timeline.world(), &topics, 0) > 0;
    let world = &mut timeline.run_mut().world;
    invite(world, Role::Topics(Box::new(Topics::asking(create_demo_topics()))));
    for number in 1..=DEMO_READERS {
        let member = MemberOptions {
            assignors: vec![Assignor::CooperativeSticky],
            session_timeout_ms: SESSION_TIMEOUT_MS,
            heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            auto_commit_interval_ms: Some(COMMIT_INTERVAL_MS),
            ..MemberOptions::new(DEMO_GROUP, &topics)
        };
        let reset = if are_there { Reset::Latest } else { Reset::Earliest };
        let options = ConsumerOptions { reset, ..ConsumerOptions::default() };
        let machine = GroupConsumer::new(member, options);
        let steady = Steady::new(&format!("{DEMO_GROUP}-{number}"), DEMO_GROUP, machine, now);
        invite(world, Role::Guest(Guest::Steady(Box::new(steady))));
    }
    begin(timeline, DEMO, Source::Demo);
    Ok(Reply::done("The demo workload writes orders, payments and clicks; `produce stop demo` ends it."))
}

/// A load and the reader that follows it.
fn begin(timeline: &mut Timeline, name: &str, source: Source) {
    let now = timeline.now();
    let (topics, partitions) = (source.topics(), source.partitions());
    let places = places_of(timeline.world(), &topics, partitions.len());
    // What was in the topics before is not ours; what comes into new ones is, from the first record on.
    let start = if places > 0 { Start::Latest } else { Start::Earliest };
    let world = &mut timeline.run_mut().world;
    let client_id = format!("kafkarium-{name}-reader");
    let following = Following::new(topics, partitions, start, client_id);
    invite(world, Role::Guest(Guest::Following(Box::new(following))));
    let places = match &source {
        // It makes its topics first.
        Source::Demo => DEMO_TOPICS.iter().map(|(_, partitions)| usize::try_from(*partitions).expect("a few")).sum(),
        Source::Command(_) => places,
    };
    let id = LoadId(u64::from(world.next_client().0));
    let load = Load::new(name, source, places, id, now, &mut world.guests_ledger);
    invite(world, Role::Guest(Guest::Load(Box::new(load))));
}

/// In how many partitions of topics a reader will have a place; of each topic `named` at most, if that is more than none.
fn places_of(world: &World, topics: &[String], named: usize) -> usize {
    let Some(image) = newest_image(world) else { return 0 };
    let count = topics.iter().filter_map(|topic| image.topic_by_name(topic)).map(|topic| topic.partitions.len()).sum();
    if named > 0 { named.min(count) } else { count }
}

fn loads(world: &World) -> impl Iterator<Item = (ClientId, &Load)> {
    guests(world).filter_map(|(id, guest)| if let Guest::Load(load) = guest { Some((id, &**load)) } else { None })
}

fn runs(world: &World, name: &str) -> bool {
    loads(world).any(|(_, load)| load.status.runs && load.name == name)
}

/// Ends the load of a name, or all; of a seed's run its producers too.
fn stop(timeline: &mut Timeline, name: Option<&str>) -> Outcome {
    let now = timeline.now();
    let is_meant = |load: &Load| load.status.runs && name.is_none_or(|name| name == load.name);
    let meant: Vec<(ClientId, String)> =
        loads(timeline.world()).filter(|(_, load)| is_meant(load)).map(|(id, load)| (id, load.name.clone())).collect();
    let world = &mut timeline.run_mut().world;
    for (id, _) in &meant {
        end_load(world, *id, now);
    }
    let mut names: Vec<String> = meant.into_iter().map(|(_, name)| name).collect();
    if names.iter().any(|name| name == DEMO) {
        leave(world, |steady| steady.group == DEMO_GROUP, now);
    }
    if name.is_none() {
        let own = world.clients.values_mut().filter(|client| client.guest().is_none() && !client.is_quiet(now));
        let own: Vec<_> = own.map(|client| client.end(now)).collect();
        if !own.is_empty() {
            names.push(format!("{} producers of the seed", own.len()));
        }
    }
    match (name, names.as_slice()) {
        (Some(name), []) => Err(format!("no load {name} runs")),
        (None, []) => Ok(Reply::done("no load runs")),
        (_, names) => {
            let text = format!("stopped {}; the ledger stays", names.join(", "));
            Ok(Reply::told(text, json!({ "stopped": names })))
        }
    }
}

fn end_load(world: &mut World, id: ClientId, now: Instant) {
    if let Some(Guest::Load(load)) = world.clients.get_mut(&id).and_then(|client| client.guest_mut()) {
        load.stop(now);
    }
    world.wake(id);
}

/// Members leave their group.
fn leave(world: &mut World, is_meant: impl Fn(&Steady) -> bool, now: Instant) {
    let meant = guests(world).filter(|(_, guest)| matches!(guest, Guest::Steady(steady) if is_meant(steady)));
    let meant: Vec<ClientId> = meant.map(|(id, _)| id).collect();
    for id in meant {
        // One that stands still could not.
        world.resume_client(id);
        if let Some(Guest::Steady(steady)) = world.clients.get_mut(&id).and_then(|client| client.guest_mut()) {
            steady.leave(now);
        }
        world.wake(id);
    }
}

/// A topic is about to be deleted: loads that write to it alone end, and its records are no longer followed.
pub(super) fn topic_deleted(timeline: &mut Timeline, topic: &str) {
    let world = timeline.world();
    if newest_image(world).is_none_or(|image| image.topic_by_name(topic).is_none()) {
        return;
    }
    let now = world.now;
    let loads: Vec<ClientId> = loads(world).filter(|(_, load)| load.writes_to(topic)).map(|(id, _)| id).collect();
    let reads_it = |guest: &Guest| matches!(guest, Guest::Following(following) if following.topics == [topic]);
    let readers: Vec<ClientId> = guests(world).filter(|(_, guest)| reads_it(guest)).map(|(id, _)| id).collect();
    let world = &mut timeline.run_mut().world;
    loads.into_iter().for_each(|id| end_load(world, id, now));
    readers.into_iter().for_each(|id| _ = world.remove_client(id));
    world.guests_ledger.deleted(topic);
}

/// Writes records and waits for each one's end.
fn write(timeline: &mut Timeline, produce: &Produce) -> Outcome {
    let writer = OnceWriter::new(Writing::new(Batch::from_command(produce)));
    let id = invite(&mut timeline.run_mut().world, Role::Guest(Guest::Writer(Box::new(writer))));
    let topic = &produce.topic;
    let Some(Guest::Writer(writer)) = done(timeline, id) else {
        return Ok(Reply::timed_out(format!("{topic}: not acknowledged in time")));
    };
    match (writer.outcome.clone(), writer.machine().written()) {
        (Some(Ok(())), Some(written)) => Ok(written.reply(topic)),
        (Some(Err(reason)), _) => Err(format!("{topic}: {reason}")),
        _ => Ok(Reply::timed_out(format!("{topic}: not acknowledged in {} s", PATIENCE.as_secs()))),
    }
}

/// `consume`, and what is done to members that stay.
pub(super) fn consume(timeline: &mut Timeline, command: &ConsumeCommand) -> Outcome {
    let name = match command {
        ConsumeCommand::Records(consume) => return read(timeline, consume),
        ConsumeCommand::Join(wanted) => return join(timeline, wanted),
        ConsumeCommand::Stop { name } => return Ok(stop_readers(timeline, name.as_deref())),
        ConsumeCommand::Kill { name }
        | ConsumeCommand::Pause { name }
        | ConsumeCommand::Resume { name }
        | ConsumeCommand::Slow { name, .. } => name,
    };
    let found = steady(timeline.world()).find(|(_, steady)| steady.name == *name).map(|(id, _)| id);
    let id = found.ok_or_else(|| format!("no reader {name} runs"))?;
    let now = timeline.now();
    let world = &mut timeline.run_mut().world;
    let done = match command {
        ConsumeCommand::Kill { .. } => {
            world.remove_client(id);
            "is dead"
        }
        ConsumeCommand::Pause { .. } => {
            world.pause_client(id);
            "stands still"
        }
        ConsumeCommand::Slow { rate, .. } => {
            set_pace(world, id, Some(*rate), now);
            "is slow"
        }
        _ => {
            set_pace(world, id, None, now);
            world.resume_client(id);
            "goes on"
        }
    };
    Ok(Reply::told(format!("{name} {done}"), json!({ "reader": name })))
}

fn set_pace(world: &mut World, id: ClientId, rate: Option<Rate>, now: Instant) {
    if let Some(Guest::Steady(steady)) = world.clients.get_mut(&id).and_then(|client| client.guest_mut()) {
        steady.set_pace(rate, now);
    }
    world.wake(id);
}

/// Members that stay and have not left.
fn steady(world: &World) -> impl Iterator<Item = (ClientId, &Steady)> {
    let steady = guests(world).filter_map(|(id, guest)| match guest {
        Guest::Steady(steady) => Some((id, &**steady)),
        _ => None,
    });
    steady.filter(|(_, steady)| steady.runs())
}

/// A member that stays.
fn join(timeline: &mut Timeline, wanted: &Join) -> Outcome {
    let name = &wanted.name;
    if steady(timeline.world()).any(|(_, steady)| steady.name == *name) {
        return Err(format!("a reader {name} runs already: stop it, or choose another --name"));
    }
    let now = timeline.now();
    let world = &mut timeline.run_mut().world;
    let Reader::Member(machine) =
        Reader::new(&wanted.consume, ConsumerOptions::default(), || world.rng().uuid().to_string())
    else {
        return Err("only a member of a group stays: say --group".to_owned());
    };
    let group = wanted.consume.membership.group.clone().unwrap_or_default();
    let mut reader = Steady::new(name, &group, *machine, now);
    reader.set_pace(wanted.rate, now);
    invite(world, Role::Guest(Guest::Steady(Box::new(reader))));
    Ok(Reply::told(wanted.sentence(), json!({ "reader": name, "topic": wanted.consume.topic })))
}

fn stop_readers(timeline: &mut Timeline, name: Option<&str>) -> Reply {
    let now = timeline.now();
    let is_meant = |steady: &Steady| name.is_none_or(|name| name == steady.name);
    let names: Vec<String> = steady(timeline.world())
        .filter(|(_, steady)| is_meant(steady))
        .map(|(_, steady)| steady.name.clone())
        .collect();
    leave(&mut timeline.run_mut().world, |steady| names.contains(&steady.name), now);
    ConsumeCommand::stopped(name, &names)
}

/// `consume TOPIC`: reads until the number asked for, the end, or nothing comes any more.
fn read(timeline: &mut Timeline, consume: &Consume) -> Outcome {
    if consume.follow && consume.max.is_none() {
        let reason = "--follow needs --max here: only `kafkarium consume` and the console's tail go on without end";
        return Err(reason.to_owned());
    }
    let now = timeline.now();
    let world = &mut timeline.run_mut().world;
    let start = start(consume.from, wall(now).0);
    let options = ConsumerOptions { start, partitions: consume.partition.clone(), ..ConsumerOptions::default() };
    let machine = Reader::new(consume, options, || world.rng().uuid().to_string());
    let reader = OnceReader::new(machine, consume.clone(), now);
    let id = invite(world, Role::Guest(Guest::Reader(Box::new(reader))));
    let Some(Guest::Reader(reader)) = done(timeline, id) else {
        return Err("the reader ended without a word".to_owned());
    };
    match reader.outcome() {
        Some(Ok(records)) => Ok(reply(&consume.topic, records)),
        Some(Err(reason)) => Err(format!("{}: {reason}", consume.topic)),
        None => Ok(Reply::timed_out(format!("{}: nothing more comes", consume.topic))),
    }
}

/// Lets virtual time pass until a guest is done, and takes it out of the world.
fn done(timeline: &mut Timeline, id: ClientId) -> Option<Guest> {
    let is_done = |world: &World| {
        world.clients.get(&id).is_none_or(|client| client.is_done(world.now) && !client.dialer.has_orders())
    };
    pass_until(timeline, ONCE_MAX_MS, is_done);
    match timeline.run_mut().world.remove_client(id)?.role {
        Role::Guest(guest) => Some(guest),
        _ => None,
    }
}

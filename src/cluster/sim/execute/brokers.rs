//! Brokers' lives: start, stop, kill and the like; brokers that come and go.

use super::facts::newest_image;
use super::{Asker, Outcome, PATIENCE_MS, listed, pass_until, resolve};
use crate::client::Target;
use crate::cluster::admin::Ask;
use crate::cluster::command::{BrokerCommand, Command, Reply, Who};
use crate::cluster::sim::run::Phase;
use crate::cluster::sim::timeline::Timeline;
use crate::cluster::sim::world::{Node, Power, World};
use crate::protocol::codec::{Request, Response};
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::UnregisterBrokerRequest;
use std::sync::Arc;

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

pub(super) fn lives(timeline: &mut Timeline, command: &Command, who: &Who) -> Outcome {
    let ids = resolve(timeline.world(), who)?;
    for id in &ids {
        check_life(timeline.world(), command, *id)?;
    }
    if matches!(command, Command::Wipe { .. }) {
        check_voters_without(timeline.world(), &ids)?;
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
            Command::Start { .. } => revive(timeline, *id)?,
            Command::Restart { .. } => {
                stop(timeline, *id);
                start(timeline, *id)?;
            }
            _ => stop(timeline, *id),
        }
    }
    if matches!(command, Command::Start { .. }) {
        ids.iter().try_for_each(|id| wait_serving(timeline, *id))?;
    }
    let are = if ids.len() == 1 { format!("Broker {} is", ids[0]) } else { format!("Brokers {} are", listed(&ids)) };
    Ok(Reply::done(format!("{are} {word}.")))
}

/// Whether the quorum can take brokers' new disks in: a majority of the voters has to keep theirs.
fn check_voters_without(world: &World, wiped: &[BrokerId]) -> Result<(), String> {
    let Some(image) = newest_image(world) else { return Err("no broker runs that knows who votes".to_owned()) };
    let voters = &image.voters;
    let has_its_log =
        |id: &BrokerId| world.nodes.get(id).is_some_and(|node| voters.get(id) == Some(&node.config.directory));
    let (all, needed) = (voters.len(), voters.len() / 2 + 1);
    let left = voters.keys().filter(|id| has_its_log(id) && !wiped.contains(id)).count();
    if left >= needed || !wiped.iter().any(has_its_log) {
        return Ok(());
    }
    Err(format!(
        "the metadata log would be left on {left} of {all} voters, and {needed} must have it: nobody could lead"
    ))
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
pub(super) fn start(timeline: &mut Timeline, id: BrokerId) -> Result<(), String> {
    revive(timeline, id)?;
    wait_serving(timeline, id)
}

/// Starts a broker's process, if it has none.
fn revive(timeline: &mut Timeline, id: BrokerId) -> Result<(), String> {
    let run = timeline.run_mut();
    let outcome = run.world.start(id);
    run.check(&outcome);
    if run.world.nodes[&id].power == Power::Off { Err(format!("broker {id} cannot read its disk")) } else { Ok(()) }
}

fn wait_serving(timeline: &mut Timeline, id: BrokerId) -> Result<(), String> {
    let serves = |world: &World| world.nodes[&id].broker.as_ref().is_some_and(|broker| !broker.is_fenced());
    if pass_until(timeline, PATIENCE_MS, serves) {
        return Ok(());
    }
    Err(format!("broker {id} runs and is still fenced after {} s: is there a controller?", PATIENCE_MS / 1_000))
}

pub(super) fn brokers(timeline: &mut Timeline, command: &BrokerCommand) -> Outcome {
    match command {
        BrokerCommand::Add => {
            let id = timeline.run_mut().world.add_broker();
            start(timeline, id)?;
            Ok(Reply::done(format!("Broker {id} is up.")))
        }
        BrokerCommand::Remove { who } => {
            let ids = resolve(timeline.world(), who)?;
            for id in &ids {
                remove(timeline, *id)?;
            }
            let are = if ids.len() == 1 { "Broker {} is" } else { "Brokers {} are" };
            Ok(Reply::done(format!("{} no longer part of the cluster.", are.replace("{}", &listed(&ids)))))
        }
        BrokerCommand::List => {
            let line =
                |(id, node): (&BrokerId, &Node)| format!("{id:>2}  {}", format!("{:?}", node.power).to_lowercase());
            Ok(Reply::done(timeline.world().nodes.iter().map(line).collect::<Vec<_>>().join("\n")))
        }
    }
}

/// Takes a broker out of the cluster that holds nothing and does not vote.
fn remove(timeline: &mut Timeline, id: BrokerId) -> Result<(), String> {
    if timeline.phase() != Phase::Open {
        return Err("the brokers of a seed's run stay: its faults are meant for them".to_owned());
    }
    let world = timeline.world();
    let image = Arc::clone(newest_image(world).ok_or("no broker runs that knows what it holds")?);
    if image.voters.contains_key(&id) || world.nodes[&id].config.initial_voters.contains_key(&id) {
        return Err(format!("broker {id} votes in the metadata quorum: it cannot be removed"));
    }
    for topic in image.topics.values() {
        if let Some((number, _)) = topic.partitions.iter().find(|(_, state)| state.replicas.contains(&id)) {
            let name = &topic.name;
            return Err(format!("broker {id} holds a replica of {name}-{number}: `reassign start` moves it away"));
        }
    }
    stop(timeline, id);
    let request = UnregisterBrokerRequest::default().with_broker_id(kafka_protocol::messages::BrokerId(id.0));
    match Asker::new(timeline).ask(Target::Any, Request::UnregisterBroker(request))? {
        Response::UnregisterBroker(response) if response.error_code == 0 => {
            timeline.run_mut().world.remove_broker(id);
            Ok(())
        }
        Response::UnregisterBroker(response) => {
            let told = response.error_message.map(|text| text.to_string()).unwrap_or_default();
            Err(format!("the controller refuses (error {}): {told}", response.error_code))
        }
        _ => Err("the controller's answer makes no sense".to_owned()),
    }
}

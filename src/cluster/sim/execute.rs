//! The command language carried out on a simulated world.
//!
//! Invariants: a command returns when what it says is so, and lets as much virtual time pass as that takes; the same command at the same
//! moment does the same. What a live host's command does, this one does.
//!
//! Deliberately not here: the speed of time, which is the host's that shows the world (`stage`).

mod brokers;
mod data;
mod facts;
mod faults;
#[cfg(test)]
mod tests;

pub use facts::newest_image;
use facts::{coordinator_of, has_groups};

use crate::client::Target;
use crate::cluster::admin::{self, Ask};
use crate::cluster::command::predicate::Facts;
use crate::cluster::command::{
    ClockCommand, Command, Direction, DiskCommand, DropCommand, ElectCommand, Predicate, ProduceCommand, Reply,
    TopicCommand, Who, pin,
};
use crate::cluster::link::Drops;
use crate::cluster::sim::timeline::Timeline;
use crate::cluster::sim::world::{Node, Power, World};
use crate::engine::time::Instant;
use crate::protocol::codec::{Request, Response};
use crate::protocol::ids::BrokerId;
use std::time::Duration;

/// In how much virtual time a command is done or has failed, in milliseconds.
const PATIENCE_MS: u64 = 20_000;
/// After so much virtual time without an answer a request has failed, in milliseconds.
const ANSWER_MS: u64 = 10_000;
/// Who is to be elected is waited for so long, in virtual milliseconds.
const ELECTION_MS: u64 = 10_000;

type Outcome = Result<Reply, String>;

/// After so much virtual time a message has arrived, in milliseconds, unless its link is slow.
const UNDER_WAY_MS: u64 = 5;
/// After so much virtual time do aligned election timers end, in milliseconds.
const ALIGNED_AFTER_MS: u64 = 100;

/// A cluster forms in less virtual time than this, in milliseconds.
const FORMS_WITHIN_MS: u64 = 10_000;

/// Carries out a command.
pub(super) fn carry_out(timeline: &mut Timeline, command: &Command) -> Reply {
    let makes_topics = matches!(
        command,
        Command::Demo | Command::Topic(TopicCommand::Create { .. }) | Command::Produce(ProduceCommand::Records(_))
    );
    if makes_topics {
        let left_ms = FORMS_WITHIN_MS.saturating_sub(timeline.now().as_millis());
        pass_until(timeline, left_ms, has_formed);
    }
    let line = command.to_string();
    timeline.run_mut().world.may_lose_records |= may_lose_records(command);
    let outcome = match command {
        Command::Stop { who }
        | Command::Kill { who }
        | Command::Powerloss { who }
        | Command::Wipe { who }
        | Command::Suspend { who }
        | Command::Resume { who }
        | Command::Start { who }
        | Command::Restart { who } => brokers::lives(timeline, command, who),
        Command::Broker(command) => brokers::brokers(timeline, command),
        Command::Link(command) => faults::links(timeline, command),
        Command::Drop(DropCommand::Next { traffic, broker, count }) => {
            let of_responses = traffic.direction == Direction::Response;
            let drops = Drops { of_responses, api: traffic.api.to_string(), by: *broker, left: *count };
            timeline.run_mut().world.links.drop_next(drops);
            Ok(Reply::done(format!("`{line}` is set.")))
        }
        Command::Message(command) => timeline.run_mut().world.treat(command).map(Reply::done),
        Command::Disk(command) => faults::disks(timeline, command),
        Command::Clock(ClockCommand::Skew(skew)) => each(timeline, &skew.who, |timeline, id| {
            node_mut(timeline, id).skew_ms = skew.skew.millis;
            Ok(())
        }),
        Command::Heal => faults::heal(timeline),
        Command::Undo => match timeline.undo_stack().pop() {
            Some(undo) => return told_undo(&undo, carry_out(timeline, &undo)),
            None => Err("there is nothing to take back".to_owned()),
        },
        Command::Demo => data::demo(timeline),
        Command::Produce(command) => data::produce(timeline, command),
        Command::Consume(consume) => data::consume(timeline, consume),
        Command::Wait { predicate, within } => wait(timeline, predicate, *within),
        Command::Expect { predicate } => expect(timeline, predicate),
        Command::Elect(ElectCommand::Align) => Ok(align(timeline)),
        Command::Topic(TopicCommand::Delete { name }) => {
            // Before it is gone, so that no load of ours makes it anew.
            data::topic_deleted(timeline, name);
            Ok(ask(timeline, command))
        }
        other => Ok(ask(timeline, other)),
    };
    outcome.unwrap_or_else(Reply::failed)
}

/// Whether a command may destroy more than Kafka's contract survives, or allow an election that does.
fn may_lose_records(command: &Command) -> bool {
    match command {
        Command::Powerloss { .. } | Command::Wipe { .. } => true,
        Command::Disk(disk) => matches!(disk, DiskCommand::Corrupt { .. }),
        Command::Elect(elect) => matches!(elect, ElectCommand::Unclean { .. }),
        Command::Topic(_) | Command::Config(_) => command.to_string().contains("unclean.leader.election.enable=true"),
        _ => false,
    }
}

/// The election timers of all voters that do not lead end at the same moment.
fn align(timeline: &mut Timeline) -> Reply {
    // What a dead leader has sent would set them anew.
    pass_until(timeline, UNDER_WAY_MS, |_| false);
    let world = &mut timeline.run_mut().world;
    let at = world.now.plus_millis(ALIGNED_AFTER_MS);
    world.align_elections(at);
    Reply::done(format!("The voters' timers end together in {ALIGNED_AFTER_MS} ms."))
}

/// Whether every broker that runs for the first time has been taken in: a live host's cluster is up before anybody speaks to it.
fn has_formed(world: &World) -> bool {
    let first_lives = world.nodes.values().filter(|node| node.life == 1 && node.power == Power::On);
    first_lives.filter_map(|node| node.broker.as_ref()).all(|broker| !broker.is_fenced())
}

fn node_mut(timeline: &mut Timeline, id: BrokerId) -> &mut Node {
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
        Who::CoordinatorOf(group) => match coordinator_of(world, group) {
            Some(broker) => vec![broker],
            None => return Err(format!("{group} has no coordinator now")),
        },
        Who::Killed => {
            let dead = world.nodes.iter().filter(|(_, node)| node.power == Power::Off);
            dead.map(|(id, _)| *id).collect()
        }
    };
    if ids.is_empty() { Err("there is no such broker now".to_owned()) } else { Ok(ids) }
}

/// The same command with the brokers that it means. Between two elections that is who is elected next: time passes until somebody is.
///
/// # Errors
/// If nobody is meant, or nobody is elected in time.
pub(super) fn pinned(timeline: &mut Timeline, command: &Command) -> Result<Command, String> {
    let now = |timeline: &Timeline| pin(command.clone(), |who| resolve(timeline.world(), who));
    let found = now(timeline);
    if found.is_ok() || !awaits_election(timeline.world(), command) {
        return found;
    }
    pass_until(timeline, ELECTION_MS, |world| pin(command.clone(), |who| resolve(world, who)).is_ok());
    now(timeline)
}

/// Whether a command means somebody who is not there now and may be elected.
pub(super) fn awaits_election(world: &World, command: &Command) -> bool {
    let mut awaits = false;
    let _ = pin(command.clone(), |who| {
        awaits |= match who {
            Who::Controller => world.controller().flatten().is_none(),
            Who::LeaderOf(partition) => world.leader(partition) == Some(None),
            Who::CoordinatorOf(group) => coordinator_of(world, group).is_none() && has_groups(world),
            Who::Ids(_) | Who::Killed => false,
        };
        resolve(world, who)
    });
    awaits
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

/// `undo` says what it did and what came of it.
fn told_undo(undo: &Command, reply: Reply) -> Reply {
    match reply {
        Reply::Done { text, data } => Reply::Done { text: format!("`{undo}`: {text}"), data },
        Reply::Failed { reason, exit_code } => Reply::Failed { reason: format!("`{undo}`: {reason}"), exit_code },
    }
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
    admin::run(command, &mut Asker::new(timeline)).unwrap_or_else(|| {
        Reply::unavailable(format!("`{command}` is the host's that shows the world, not the world's"))
    })
}

/// Asks the simulated brokers, and lets the world go on until they have answered.
struct Asker<'a> {
    timeline: &'a mut Timeline,
    give_up_at: Instant,
    next: usize,
}

impl Asker<'_> {
    fn new(timeline: &mut Timeline) -> Asker<'_> {
        let give_up_at = timeline.now().plus_millis(PATIENCE_MS);
        Asker { timeline, give_up_at, next: 0 }
    }
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

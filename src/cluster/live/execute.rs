//! The command language carried out on a live cluster.
//!
//! Invariants: a command returns when what it says is so (`kill`: the broker is dead; `start`: it answers and is
//! unfenced), or says why it is not; what can be undone is remembered only once it was done.
//!
//! Deliberately not here: the grammar (`command`), requests to the cluster (`admin`), lives (`supervisor.rs`).

use crate::client::Target;
use crate::cluster::admin::remote::Remote;
use crate::cluster::admin::{self, Ask};
use crate::cluster::command::predicate::Facts;
use crate::cluster::command::{
    BrokerCommand, ClockCommand, Command, DiskCommand, Execute, Far, LinkCommand, Predicate, Reply, TopicCommand, Who,
    pin,
};
use crate::cluster::demo::Deed;
use crate::cluster::link::CLIENTS;
use crate::cluster::live::handle::LiveCluster;
use crate::cluster::live::history::Ended;
use crate::cluster::live::status::Phase;
use crate::cluster::live::supervisor::is_alive;
use crate::cluster::view::{BrokerCard, BrokerState};
use crate::protocol::codec::{Request, Response};
use crate::protocol::ids::BrokerId;
use serde_json::json;
use std::time::{Duration, Instant};

/// A broker that is not unfenced after this long is told to be so.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Who is to be elected is waited for so long, in real time.
const ELECTION_PATIENCE: Duration = Duration::from_secs(10);
/// How often a predicate is looked at while nothing is told.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

impl Execute for LiveCluster {
    fn execute(&self, command: Command) -> Reply {
        let supervisor = &self.inner;
        if command.needs_time() && supervisor.host.clock.is_paused() {
            return Reply::failed("paused: time stands still until `run`");
        }
        let command = match pin(command, |who| self.resolve(who)) {
            Ok(command) => command,
            Err(reason) => return Reply::failed(reason),
        };
        let began = supervisor.host.clock.now();
        let outcome = match &command {
            Command::Stop { who }
            | Command::Kill { who }
            | Command::Powerloss { who }
            | Command::Wipe { who }
            | Command::Suspend { who }
            | Command::Resume { who }
            | Command::Start { who }
            | Command::Restart { who } => self.lives(&command, who),
            Command::Broker(command) => self.brokers(command),
            Command::Pause => self.pause(true),
            Command::Run { far: Far::On } => self.pause(false),
            Command::Run { .. } | Command::Step { .. } | Command::Rewind { .. } | Command::Branch => Ok(
                Reply::unavailable("only a simulated world can be stepped and rewound: `kafkarium up --sim` has one"),
            ),
            Command::Message(_) | Command::Break { .. } => Ok(Reply::unavailable(
                "only a simulated world's messages can be stopped one by one: `kafkarium up --sim` has one",
            )),
            Command::Speed { speed } => self.speed(speed.permille),
            Command::Link(link) => self.links(link),
            Command::Drop(drop) => {
                supervisor.drop_next(drop);
                Ok(Reply::done(format!("`{command}` is set.")))
            }
            Command::Disk(disk) => self.disks(disk),
            Command::Clock(ClockCommand::Skew(skew)) => self.each(&skew.who, |id| {
                supervisor.skew_clock(id, skew.skew.millis);
                Ok(())
            }),
            Command::Heal => self.heal(),
            Command::Undo => self.undo(),
            Command::Demo => Ok(if supervisor.workload.start_demo() {
                Reply::done("The demo workload writes orders, payments and clicks; `produce stop demo` ends it.")
            } else {
                Reply::failed("the demo workload runs already")
            }),
            Command::Produce(produce) => Ok(supervisor.workload.produce(produce)),
            Command::Consume(consume) => Ok(supervisor.workload.consume(consume)),
            Command::Wait { predicate, within } => self.wait(predicate, *within),
            Command::Expect { predicate } => self.expect(predicate),
            other => self.ask(other),
        };
        let reply = outcome.unwrap_or_else(Reply::failed);
        let takes_part = !matches!(command, Command::Undo | Command::Run { .. } | Command::Resume { .. });
        if let Some(undo) = command.undo().filter(|_| takes_part && reply.is_done()) {
            supervisor.faults().push_undo(undo);
        }
        if reply.is_done() && !command.is_question() {
            let so_far = |moment: crate::engine::time::Instant| Duration::from_millis(moment.as_millis());
            let until = so_far(supervisor.host.clock.now());
            supervisor.faults().remember(Deed { at: so_far(began), until, command });
        }
        reply
    }
}

type Outcome = Result<Reply, String>;

/// `1`, `1 and 3`, `1, 2 and 3`.
fn listed(ids: &[BrokerId]) -> String {
    match ids {
        [] => "none".to_owned(),
        [one] => one.to_string(),
        [first @ .., last] => {
            format!("{} and {last}", first.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
    }
}

/// `Broker 1 is`, `Brokers 1 and 3 are`.
fn are(ids: &[BrokerId]) -> String {
    if ids.len() == 1 { format!("Broker {} is", listed(ids)) } else { format!("Brokers {} are", listed(ids)) }
}

impl LiveCluster {
    /// Whom somebody means now. Between two elections that is who is elected next.
    fn resolve(&self, who: &Who) -> Result<Vec<BrokerId>, String> {
        let elected = match who {
            Who::Controller => true,
            Who::LeaderOf(partition) => self.inner.host.watch().observer.partition_id(partition).is_some(),
            Who::CoordinatorOf(_) => true,
            Who::Ids(_) | Who::Killed => false,
        };
        let until = Instant::now() + ELECTION_PATIENCE;
        let mut seen = self.inner.host.history.changes();
        let ids = loop {
            if !matches!(who, Who::Ids(_)) {
                self.inner.refresh();
            }
            let found = self.inner.host.watch().observer.resolve(who);
            let left = until.saturating_duration_since(Instant::now());
            if found.is_ok() || !elected || left.is_zero() || self.inner.host.clock.is_paused() {
                break found?;
            }
            seen = self.inner.host.history.wait(seen, left.min(LOOK_AGAIN));
        };
        if ids.is_empty() { Err("there is no such broker now".to_owned()) } else { Ok(ids) }
    }

    fn each(&self, who: &Who, act: impl Fn(BrokerId) -> Result<(), String>) -> Outcome {
        let ids = self.resolve(who)?;
        for id in &ids {
            act(*id)?;
        }
        Ok(Reply::told(format!("Done on {}.", listed(&ids)), json!({ "brokers": numbers(&ids) })))
    }

    fn lives(&self, command: &Command, who: &Who) -> Outcome {
        let ids = self.resolve(who)?;
        for id in &ids {
            self.check_life(command, *id)?;
        }
        if matches!(command, Command::Wipe { .. }) {
            self.check_voters_without(&ids)?;
        }
        let supervisor = &self.inner;
        let word = match command {
            Command::Start { .. } => return self.start_all(&ids),
            Command::Restart { .. } => {
                for id in &ids {
                    supervisor.stop(*id);
                    self.start_all(&[*id])?;
                }
                "up again"
            }
            Command::Stop { .. } => {
                ids.iter().for_each(|id| _ = supervisor.stop(*id));
                "stopped"
            }
            Command::Kill { .. } => {
                ids.iter().for_each(|id| _ = supervisor.kill(*id));
                "dead"
            }
            Command::Powerloss { .. } => {
                ids.iter().for_each(|id| _ = supervisor.power_loss(*id));
                "without power"
            }
            Command::Suspend { .. } => {
                ids.iter().for_each(|id| _ = supervisor.suspend(*id));
                "suspended"
            }
            Command::Resume { .. } => {
                ids.iter().for_each(|id| _ = supervisor.resume(*id));
                "running again"
            }
            _ => {
                for id in &ids {
                    supervisor.kill(*id);
                    supervisor.wipe(*id).map_err(|error| format!("broker {id}: {error}"))?;
                }
                "down, with an empty disk"
            }
        };
        Ok(Reply::told(format!("{} {word}.", are(&ids)), json!({ "brokers": numbers(&ids) })))
    }

    /// Whether the quorum can take brokers' new disks in: a majority of the voters has to keep theirs.
    fn check_voters_without(&self, wiped: &[BrokerId]) -> Result<(), String> {
        self.inner.refresh();
        let image = std::sync::Arc::clone(self.inner.host.watch().observer.image());
        let voters = &image.voters;
        let slots = self.inner.slots();
        let has_its_log =
            |id: &BrokerId| slots.get(id).is_some_and(|slot| voters.get(id) == Some(&slot.member.directory));
        let (all, needed) = (voters.len(), voters.len() / 2 + 1);
        let left = voters.keys().filter(|id| has_its_log(id) && !wiped.contains(id)).count();
        if left >= needed || !wiped.iter().any(has_its_log) {
            return Ok(());
        }
        Err(format!(
            "the metadata log would be left on {left} of {all} voters, and {needed} must have it: nobody could lead"
        ))
    }

    /// Whether a broker is in a state in which the command makes sense.
    fn check_life(&self, command: &Command, id: BrokerId) -> Result<(), String> {
        let slots = self.inner.slots();
        let slot = slots.get(&id).ok_or_else(|| format!("there is no broker {id}"))?;
        let lives = is_alive(slot);
        let (allowed, reason) = match command {
            Command::Start { .. } => (!lives, "runs already"),
            Command::Resume { .. } => (lives && slot.status.is_suspended(), "is not suspended"),
            Command::Suspend { .. } => (lives && !slot.status.is_suspended(), "does not run"),
            Command::Restart { .. } | Command::Wipe { .. } => (true, ""),
            Command::Stop { .. } if lives && slot.status.is_suspended() => (false, "is suspended: resume it first"),
            _ => (lives, "does not run"),
        };
        if allowed { Ok(()) } else { Err(format!("broker {id} {reason}")) }
    }

    fn start_all(&self, ids: &[BrokerId]) -> Outcome {
        for id in ids {
            self.inner.revive(*id).map_err(|error| error.to_string())?;
        }
        for id in ids {
            if self.wait_serving(*id, START_PATIENCE) {
                continue;
            }
            let slots = self.inner.slots();
            let phase = slots.get(id).map(|slot| slot.status.phase());
            return match phase {
                Some(Phase::Ended(Ended::Crashed { message })) => Err(format!("broker {id} crashed: {message}")),
                Some(Phase::Ended(_)) | None => Err(format!("broker {id} was ended before it was up")),
                _ => Ok(Reply::timed_out(format!(
                    "broker {id} runs and is still fenced after {} s: is there a controller?",
                    START_PATIENCE.as_secs()
                ))),
            };
        }
        Ok(Reply::told(format!("{} up.", are(ids)), json!({ "brokers": numbers(ids) })))
    }

    fn brokers(&self, command: &BrokerCommand) -> Outcome {
        match command {
            BrokerCommand::Add => {
                let id = self.inner.add().map_err(|error| error.to_string())?;
                self.start_all(&[id])
            }
            BrokerCommand::Remove { who } => {
                let ids = self.resolve(who)?;
                for id in &ids {
                    self.remove(*id)?;
                }
                let text = format!("{} no longer part of the cluster.", are(&ids));
                Ok(Reply::told(text, json!({ "brokers": numbers(&ids) })))
            }
            BrokerCommand::List => {
                self.inner.refresh();
                let watch = &mut self.inner.host.watch();
                let view = watch.observer.view(&crate::cluster::view::ViewRequest::default());
                let state = |state: &BrokerState| match state {
                    BrokerState::Crashed { message } => format!("crashed: {message}"),
                    BrokerState::PowerLost => "without power".to_owned(),
                    other => format!("{other:?}").to_lowercase(),
                };
                let line = |card: &BrokerCard| {
                    format!("{:>2}  port {:<5}  leads {:<4}  {}", card.id, card.port, card.leaders, state(&card.state))
                };
                let text = view.brokers.iter().map(line).collect::<Vec<_>>().join("\n");
                let data = |card: &BrokerCard| {
                    let (state, reason) = match &card.state {
                        BrokerState::Crashed { message } => ("Crashed".to_owned(), Some(message)),
                        other => (format!("{other:?}"), None),
                    };
                    json!({
                        "broker": card.id.0, "port": card.port, "state": state, "reason": reason,
                        "leaders": card.leaders, "replicas": card.replicas,
                    })
                };
                Ok(Reply::told(text, json!(view.brokers.iter().map(data).collect::<Vec<_>>())))
            }
        }
    }

    fn remove(&self, id: BrokerId) -> Result<(), String> {
        self.inner.refresh();
        let image = std::sync::Arc::clone(self.inner.host.watch().observer.image());
        // One whose disk was replaced may not vote now, and will again.
        if image.voters.contains_key(&id) || self.inner.roster().voters().contains_key(&id) {
            return Err(format!("broker {id} votes in the metadata quorum: it cannot be removed"));
        }
        for topic in image.topics.values() {
            let holds = topic.partitions.iter().find(|(_, state)| state.replicas.contains(&id));
            if let Some((number, _)) = holds {
                let name = &topic.name;
                return Err(format!("broker {id} holds a replica of {name}-{number}: `reassign start` moves it away"));
            }
        }
        self.inner.stop(id);
        let request = kafka_protocol::messages::UnregisterBrokerRequest::default()
            .with_broker_id(kafka_protocol::messages::BrokerId(id.0));
        match self.remote()?.ask(Target::Any, Request::UnregisterBroker(request))? {
            Response::UnregisterBroker(response) if response.error_code == 0 => {}
            Response::UnregisterBroker(response) => {
                let told = response.error_message.map(|text| text.to_string()).unwrap_or_default();
                return Err(format!("the controller refuses (error {}): {told}", response.error_code));
            }
            _ => return Err("the controller's answer makes no sense".to_owned()),
        }
        self.inner.forget(id).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn pause(&self, is_paused: bool) -> Outcome {
        let word = if is_paused { "stands still" } else { "goes on" };
        if self.inner.set_paused(is_paused) {
            Ok(Reply::done(format!("Time {word}.")))
        } else {
            Ok(Reply::done(format!("Time {word} already.")))
        }
    }

    fn speed(&self, permille: u32) -> Outcome {
        if !(100..=1_000).contains(&permille) {
            return Ok(Reply::unavailable("a live cluster runs at 1 to 0.1: slower worlds are simulated ones"));
        }
        self.inner.set_speed(permille);
        Ok(Reply::done(format!("Time runs at {}.", f64::from(permille) / 1_000.0)))
    }

    fn links(&self, command: &LinkCommand) -> Outcome {
        let known = self.inner.slots();
        let mut ends = command.link().from.iter().chain(&command.link().to).filter(|end| **end != CLIENTS);
        let unknown = ends.find(|id| !known.contains_key(id));
        if let Some(id) = unknown {
            return Err(format!("there is no broker {id}"));
        }
        drop(known);
        self.inner.change_links(command);
        Ok(Reply::done(format!("`{}` is done.", Command::Link(command.clone()))))
    }

    fn disks(&self, command: &DiskCommand) -> Outcome {
        let supervisor = &self.inner;
        match command {
            DiskCommand::Slow { who, by } => self.each(who, |id| {
                supervisor.slow_disk(id, *by);
                Ok(())
            }),
            DiskCommand::Full { who } => self.each(who, |id| {
                supervisor.fill_disk(id);
                Ok(())
            }),
            DiskCommand::Fail { who } => self.each(who, |id| {
                supervisor.fail_disk(id);
                Ok(())
            }),
            DiskCommand::Heal { who } => self.each(who, |id| {
                supervisor.heal_disk(id);
                Ok(())
            }),
            DiskCommand::Corrupt { who, partition, offset } => {
                let partition = match partition {
                    Some(named) => {
                        let found = supervisor.host.watch().observer.partition_id(named);
                        Some(found.ok_or_else(|| format!("there is no partition {named}"))?)
                    }
                    None => None,
                };
                let ids = self.resolve(who)?;
                let damaged: Result<Vec<String>, String> =
                    ids.iter().map(|id| supervisor.corrupt_disk(*id, partition, *offset)).collect();
                Ok(Reply::told(damaged?.join("\n"), json!({ "brokers": numbers(&ids) })))
            }
        }
    }

    fn heal(&self) -> Outcome {
        let down = self.inner.heal();
        self.inner.faults().forget_undo();
        if !down.is_empty() {
            let reply = self.start_all(&down)?;
            if !reply.is_done() {
                return Ok(reply);
            }
        }
        Ok(Reply::done("Every fault has ended."))
    }

    fn undo(&self) -> Outcome {
        let Some(command) = self.inner.faults().pop_undo() else {
            return Err("there is nothing to undo".to_owned());
        };
        let line = command.to_string();
        let before = self.inner.faults().undo_depth();
        let reply = self.execute(command);
        // What takes an intervention back is not one to be taken back itself.
        self.inner.faults().keep_undo(before);
        match reply {
            Reply::Done { text, data } => Ok(Reply::told(format!("{line}: {text}"), data)),
            failed @ Reply::Failed { .. } => Ok(failed),
        }
    }

    fn wait(&self, predicate: &Predicate, within: Duration) -> Outcome {
        let until = Instant::now() + within;
        let mut seen = self.inner.host.history.changes();
        loop {
            let verdict = self.check(predicate);
            if verdict.holds {
                return Ok(Reply::told(format!("{}.", verdict.seen), json!({ "seen": verdict.seen })));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Reply::timed_out(format!("{predicate} did not come true: {}", verdict.seen)));
            }
            seen = self.inner.host.history.wait(seen, left.min(LOOK_AGAIN));
        }
    }

    fn expect(&self, predicate: &Predicate) -> Outcome {
        let verdict = self.check(predicate);
        if verdict.holds {
            Ok(Reply::told(format!("{}.", verdict.seen), json!({ "seen": verdict.seen })))
        } else {
            Err(format!("expected {predicate}, but {}", verdict.seen))
        }
    }

    fn check(&self, predicate: &Predicate) -> crate::cluster::command::predicate::Verdict {
        self.inner.refresh();
        let watch = self.inner.host.watch();
        let facts: &dyn Facts = &watch.observer;
        predicate.check(facts)
    }

    fn remote(&self) -> Result<Remote, String> {
        self.inner.refresh();
        let controller = self.inner.host.watch().observer.controller();
        let servers = self.inner.own_servers_from(controller);
        Remote::new(&servers, "kafkarium").map_err(|error| error.to_string())
    }

    fn ask(&self, command: &Command) -> Outcome {
        let mut remote = self.remote()?;
        if let Command::Topic(TopicCommand::Delete { name }) = command {
            let is_there = self.inner.host.watch().observer.image().topic_ids.contains_key(name);
            if is_there {
                // Before it is gone, so that no load of ours makes it anew.
                self.inner.workload.topic_deleted(name);
            }
        }
        admin::run(command, &mut remote)
            .ok_or_else(|| format!("`{command}` is about a console: type it at its `:` prompt"))
    }
}

fn numbers(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}

//! A plan of faults as text: one line a fault, its moment before it, in the command language. What `sim --emit-plan` writes and
//! `sim --plan` reads.
//!
//! Invariant: a plan that is written and read is the same plan.

use crate::cluster::command::values::{Api, ByteRate, LinkSpec, Share, Size, Skew};
use crate::cluster::command::{
    ClockCommand, ClockSkew, Command, Direction, DiskCommand, DropCommand, LinkCommand, Traffic, Who, parse_line,
};
use crate::cluster::link::CLIENTS;
use crate::cluster::sim::disk_faults::DiskFault;
use crate::cluster::sim::link_faults::{LATE_AT_LEAST, LinkFault};
use crate::cluster::sim::plan::{Fault, Plan};
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::fmt::Write;
use std::time::Duration;

/// A plan with the world it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFile {
    /// What everything else random comes from.
    pub seed: u64,
    /// How many brokers there are.
    pub brokers: i32,
    /// The faults.
    pub plan: Plan,
}

impl PlanFile {
    /// As text.
    pub fn write(&self) -> String {
        let mut text = format!(
            "# What goes wrong in a simulated world: `kafkarium sim --plan FILE` runs it.\nseed {}\nbrokers {}\n",
            self.seed, self.brokers
        );
        for (at, fault) in &self.plan.faults {
            writeln!(text, "{at} {}", command_of(*fault, self.brokers)).expect("a string takes everything");
        }
        text
    }

    /// From text.
    ///
    /// # Errors
    /// The line that cannot be read, and why.
    pub fn read(text: &str) -> Result<PlanFile, String> {
        let (mut seed, mut brokers, mut plan) = (None, None, Plan::default());
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            let wrong = |reason: String| format!("line {number}: {reason}");
            let Some((first, rest)) = line.split_once(' ') else {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                return Err(wrong(format!("`{line}` is not `MOMENT COMMAND`")));
            };
            match first {
                "#" => {}
                "seed" => seed = Some(rest.parse().map_err(|_| wrong(format!("`{rest}` is no seed")))?),
                "brokers" => match rest.parse() {
                    Ok(count @ 1..=9) => brokers = Some(count),
                    _ => return Err(wrong(format!("`{rest}` is no number of brokers from 1 to 9"))),
                },
                moment => {
                    let at = moment_of(moment).ok_or_else(|| wrong(format!("`{moment}` is no moment: 1.250000")))?;
                    let command = parse_line(rest).map_err(|error| wrong(error.to_string()))?;
                    let fault = fault_of(&command).ok_or_else(|| wrong(format!("`{command}` cannot be planned")))?;
                    plan.faults.push((at, fault));
                }
            }
        }
        let brokers = brokers.ok_or("how many brokers is missing: `brokers 3`")?;
        let known = |id: &BrokerId| *id == CLIENTS || (1..=brokers).contains(&id.0);
        if let Some(id) = plan.faults.iter().flat_map(|(_, fault)| named(*fault)).find(|id| !known(id)) {
            return Err(format!("there is no broker {id}"));
        }
        Ok(PlanFile { seed: seed.ok_or("the seed is missing: `seed 7`")?, brokers, plan })
    }

    /// As a demo, to be played: the load of the run, the faults in its time, and what must hold afterwards.
    pub fn demo(&self, rule: &str) -> String {
        let mut text = format!(
            "---\ntitle: Seed {seed} breaks {rule}\nteaches: {rule}\nneeds: {brokers} brokers\nseed: {seed}\n---\n\
             What the simulator found with seed {seed}: after these faults {rule} does not hold.\n\n```kafkarium\n",
            seed = self.seed,
            brokers = self.brokers
        );
        let replicas = self.brokers.min(3);
        for topic in 0..2 {
            writeln!(text, "topic create topic-{topic} --partitions 2 --replicas {replicas}").expect("a string");
            writeln!(text, "produce topic-{topic} --rate 50/s --acks all --name load-{topic}").expect("a string");
        }
        text.push_str("```\nThe faults, in the time in which they came:\n\n```kafkarium\n");
        let mut faults = self.plan.faults.clone();
        faults.sort_by_key(|(at, _)| *at);
        let mut now = Instant::from_millis(1);
        for (at, fault) in faults {
            let pause = Duration::from_millis(u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX));
            if !pause.is_zero() {
                writeln!(text, "run {}", crate::cluster::command::values::duration_text(pause)).expect("a string");
            }
            now = at;
            writeln!(text, "{}", command_of(fault, self.brokers)).expect("a string takes everything");
        }
        text.push_str("```\nEverything is healed, and nothing that was acknowledged may be missing.\n\n```kafkarium\n");
        text.push_str("heal\nwait under-replicated = 0 --within 30s\nexpect lost = 0\nexpect duplicated = 0\n```\n");
        text
    }
}

/// `1.250000`, to the microsecond.
fn moment_of(text: &str) -> Option<Instant> {
    let (seconds, micros) = text.split_once('.')?;
    let is_digits = micros.len() == 6 && micros.bytes().all(|byte| byte.is_ascii_digit());
    let (seconds, micros): (u64, u64) = (seconds.parse().ok()?, micros.parse().ok()?);
    let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(micros * 1_000)?;
    is_digits.then_some(Instant(nanos))
}

fn named(fault: Fault) -> Vec<BrokerId> {
    match fault {
        Fault::Kill(id)
        | Fault::PowerLoss(id)
        | Fault::Wipe(id)
        | Fault::Stop(id)
        | Fault::Suspend(id)
        | Fault::Resume(id)
        | Fault::Start(id)
        | Fault::Isolate(id)
        | Fault::Disk(id, _)
        | Fault::Skew(id, _)
        | Fault::DropNext { broker: id, .. } => vec![id],
        Fault::CutOneWay(a, b) | Fault::HealOneWay(a, b) | Fault::Cut(a, b) | Fault::Slow(a, b, _) => vec![a, b],
        Fault::Link(a, b, _) => vec![a, b],
        Fault::HealLinks | Fault::KillAll => Vec::new(),
    }
}

/// What a person would type.
fn command_of(fault: Fault, brokers: i32) -> Command {
    let who = |id| Who::Ids(vec![id]);
    let all = || (1..=brokers).map(BrokerId).collect::<Vec<_>>();
    let link = |from, to, one_way| LinkSpec { from, to, one_way };
    match fault {
        Fault::Kill(id) => Command::Kill { who: who(id) },
        Fault::PowerLoss(id) => Command::Powerloss { who: who(id) },
        Fault::Wipe(id) => Command::Wipe { who: who(id) },
        Fault::Stop(id) => Command::Stop { who: who(id) },
        Fault::Suspend(id) => Command::Suspend { who: who(id) },
        Fault::Resume(id) => Command::Resume { who: who(id) },
        Fault::Start(id) => Command::Start { who: who(id) },
        Fault::CutOneWay(from, to) => Command::Link(LinkCommand::Cut { link: link(vec![from], vec![to], true) }),
        Fault::Cut(a, b) => Command::Link(LinkCommand::Cut { link: link(vec![a], vec![b], false) }),
        Fault::Isolate(id) => Command::Link(LinkCommand::Cut { link: link(vec![id], all(), false) }),
        Fault::Slow(from, to, us) => Command::Link(LinkCommand::Delay {
            link: link(vec![from], vec![to], true),
            by: Duration::ZERO,
            jitter: Some(Duration::from_micros(us)),
        }),
        Fault::HealOneWay(from, to) => Command::Link(LinkCommand::Heal { link: link(vec![from], vec![to], true) }),
        Fault::HealLinks => Command::Link(LinkCommand::Heal { link: link(all(), all(), false) }),
        Fault::Disk(id, fault) => Command::Disk(match fault {
            DiskFault::Slow(us) => DiskCommand::Slow { who: who(id), by: Duration::from_micros(us) },
            DiskFault::Full => DiskCommand::Full { who: who(id) },
            DiskFault::Fail => DiskCommand::Fail { who: who(id) },
            DiskFault::DamageTail => DiskCommand::Corrupt { who: who(id), partition: None, offset: None },
            DiskFault::Heal => DiskCommand::Heal { who: who(id) },
        }),
        Fault::Link(from, to, fault) => Command::Link(link_command_of(link(vec![from], vec![to], true), fault)),
        Fault::DropNext { broker, api, of_responses } => {
            let direction = if of_responses { Direction::Response } else { Direction::Request };
            let traffic = Traffic { direction, api: Api(api) };
            Command::Drop(DropCommand::Next { traffic, broker: Some(broker), count: 1 })
        }
        Fault::Skew(id, millis) => {
            Command::Clock(ClockCommand::Skew(ClockSkew { who: who(id), skew: Skew { millis } }))
        }
        Fault::KillAll => Command::Kill { who: Who::Ids(all()) },
    }
}

fn link_command_of(link: LinkSpec, fault: LinkFault) -> LinkCommand {
    match fault {
        LinkFault::Stop => LinkCommand::Cut { link },
        // `Fault::Slow` is written without a delay.
        LinkFault::Late(us) => LinkCommand::Delay { link, by: LATE_AT_LEAST, jitter: Some(Duration::from_micros(us)) },
        LinkFault::Lose(per_million) => LinkCommand::Lose { link, share: Share { per_million } },
        LinkFault::Hold => LinkCommand::Hold { link },
        LinkFault::Narrow(bytes_per_s) => LinkCommand::Throttle { link, rate: ByteRate(Size(bytes_per_s)) },
        LinkFault::Heal => LinkCommand::Heal { link },
    }
}

/// The fault that a link command is.
fn link_fault_of(command: &LinkCommand) -> Option<Fault> {
    let link = command.link();
    let ends = match (link.from.as_slice(), link.to.as_slice(), link.one_way) {
        ([from], [to], true) => Some((*from, *to)),
        _ => None,
    };
    let is_clients = ends.is_some_and(|(from, to)| from == CLIENTS || to == CLIENTS);
    let plain = |fault: LinkFault| ends.map(|(from, to)| Fault::Link(from, to, fault));
    match command {
        LinkCommand::Heal { .. } => Some(match ends {
            Some((from, to)) if is_clients => Fault::Link(from, to, LinkFault::Heal),
            Some((from, to)) => Fault::HealOneWay(from, to),
            None => Fault::HealLinks,
        }),
        LinkCommand::Cut { .. } if is_clients => plain(LinkFault::Stop),
        LinkCommand::Cut { link } => match (link.from.as_slice(), link.to.as_slice(), link.one_way) {
            ([from], [to], true) => Some(Fault::CutOneWay(*from, *to)),
            ([a], [b], false) => Some(Fault::Cut(*a, *b)),
            ([id], [_, ..], false) => Some(Fault::Isolate(*id)),
            _ => None,
        },
        LinkCommand::Delay { by, jitter: Some(jitter), .. } => {
            let us = u64::try_from(jitter.as_micros()).ok()?;
            let slow = |(from, to)| Fault::Slow(from, to, us);
            if by.is_zero() { ends.map(slow) } else { plain(LinkFault::Late(us)) }
        }
        LinkCommand::Lose { share, .. } => plain(LinkFault::Lose(share.per_million)),
        LinkCommand::Hold { .. } => plain(LinkFault::Hold),
        LinkCommand::Release { .. } => None,
        LinkCommand::Throttle { rate, .. } => plain(LinkFault::Narrow(rate.0.0)),
        LinkCommand::Delay { jitter: None, .. } => None,
    }
}

/// The fault that a command is, if it is one that can be planned.
fn fault_of(command: &Command) -> Option<Fault> {
    match command {
        Command::Kill { who: Who::Ids(ids) } if ids.len() > 1 => Some(Fault::KillAll),
        Command::Kill { who } => one(who).map(Fault::Kill),
        Command::Powerloss { who } => one(who).map(Fault::PowerLoss),
        Command::Wipe { who } => one(who).map(Fault::Wipe),
        Command::Stop { who } => one(who).map(Fault::Stop),
        Command::Suspend { who } => one(who).map(Fault::Suspend),
        Command::Resume { who } => one(who).map(Fault::Resume),
        Command::Start { who } => one(who).map(Fault::Start),
        Command::Disk(disk) => disk_fault_of(disk),
        Command::Link(link) => link_fault_of(link),
        Command::Clock(ClockCommand::Skew(skew)) => Some(Fault::Skew(one(&skew.who)?, skew.skew.millis)),
        Command::Drop(DropCommand::Next { traffic, broker: Some(broker), count: 1 }) => Some(Fault::DropNext {
            broker: *broker,
            api: traffic.api.0,
            of_responses: traffic.direction == Direction::Response,
        }),
        _ => None,
    }
}

fn one(who: &Who) -> Option<BrokerId> {
    match who {
        Who::Ids(ids) if ids.len() == 1 => Some(ids[0]),
        _ => None,
    }
}

fn disk_fault_of(command: &DiskCommand) -> Option<Fault> {
    let (who, fault) = match command {
        DiskCommand::Slow { who, by } => (who, DiskFault::Slow(u64::try_from(by.as_micros()).ok()?)),
        DiskCommand::Full { who } => (who, DiskFault::Full),
        DiskCommand::Fail { who } => (who, DiskFault::Fail),
        DiskCommand::Corrupt { who, partition: None, offset: None } => (who, DiskFault::DamageTail),
        DiskCommand::Corrupt { .. } => return None,
        DiskCommand::Heal { who } => (who, DiskFault::Heal),
    };
    Some(Fault::Disk(one(who)?, fault))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::ApiKey;

    #[test]
    fn what_is_written_is_read_again() {
        let (a, b) = (BrokerId(1), BrokerId(3));
        let faults = [
            Fault::Kill(a),
            Fault::PowerLoss(a),
            Fault::Wipe(b),
            Fault::Stop(a),
            Fault::Suspend(b),
            Fault::Resume(b),
            Fault::Start(a),
            Fault::CutOneWay(a, b),
            Fault::Cut(a, b),
            Fault::Isolate(b),
            Fault::Slow(b, a, 59_999),
            Fault::HealOneWay(a, b),
            Fault::HealLinks,
            Fault::Link(a, b, LinkFault::Late(1_234_567)),
            Fault::Link(CLIENTS, b, LinkFault::Late(77)),
            Fault::Link(a, b, LinkFault::Lose(123_457)),
            Fault::Link(b, a, LinkFault::Hold),
            Fault::Link(b, CLIENTS, LinkFault::Narrow(12_345)),
            Fault::Link(b, CLIENTS, LinkFault::Stop),
            Fault::Link(b, CLIENTS, LinkFault::Heal),
            Fault::DropNext { broker: b, api: ApiKey::Produce, of_responses: true },
            Fault::DropNext { broker: a, api: ApiKey::EndTxn, of_responses: false },
            Fault::Skew(a, -119_999),
            Fault::Skew(b, 0),
            Fault::KillAll,
            Fault::Disk(a, DiskFault::Slow(20_500)),
            Fault::Disk(b, DiskFault::Full),
            Fault::Disk(a, DiskFault::Fail),
            Fault::Disk(b, DiskFault::DamageTail),
            Fault::Disk(a, DiskFault::Heal),
        ];
        let faults = (1..).zip(faults).map(|(n, fault)| (Instant::from_millis(n * 1_337), fault)).collect();
        let file = PlanFile { seed: 77, brokers: 3, plan: Plan { faults } };
        assert_eq!(PlanFile::read(&file.write()), Ok(file));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        let wrong = |line: &str| PlanFile::read(&format!("seed 1\nbrokers 3\n{line}\n")).expect_err(line);
        assert!(wrong("1.000000 explode 2").starts_with("line 3:"));
        assert!(wrong("1.0 kill 2").starts_with("line 3:"));
        assert!(wrong("1.000000 topic list").starts_with("line 3:"));
        assert_eq!(wrong("1.000000 kill 4"), "there is no broker 4");
    }
}

//! What a command would do if it ran now, told from the live state.
//!
//! Invariants: nothing is told that the state does not show; the worst comes first, in at most two sentences.
//!
//! Deliberately not here: what a command does in general (the catalogue of the language).

use super::Observer;
use super::coordinated::members;
use super::partition::{Life, Partition, life};
use crate::cluster::command::values::{LinkSpec, Partition as Named, duration_text, join_ids};
use crate::cluster::command::{
    BrokerCommand, Command, DiskCommand, ElectCommand, GroupCommand, LinkCommand, ReassignCommand, TopicCommand,
    TransactionCommand, Who,
};
use crate::cluster::link::CLIENTS;
use crate::cluster::view::{BrokerState, Consequence, Weight};
use crate::protocol::ids::BrokerId;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a set of brokers would leave behind.
#[derive(Debug, Clone, Default)]
pub(super) struct Impact {
    /// Partitions that get another leader.
    pub(super) moved: usize,
    /// Partitions that nobody can lead then.
    pub(super) leaderless: Vec<String>,
    /// Partitions with too few in-sync replicas for acks=all then.
    pub(super) refusing: Vec<String>,
    /// Partitions with one in-sync copy fewer.
    pub(super) thinner: usize,
    /// Records that leaders who go have and not every in-sync replica.
    pub(super) at_risk: u64,
    /// Partitions they lead and have told nothing of.
    pub(super) untold: usize,
}

fn told(weight: Weight, text: impl Into<String>) -> Option<Consequence> {
    Some(Consequence { weight, text: text.into() })
}

fn refused(reason: &str) -> Option<Consequence> {
    let mut text = reason.to_owned();
    text[..1].make_ascii_uppercase();
    told(Weight::Refused, format!("{text}."))
}

fn partitions(count: usize) -> String {
    format!("{count} partition{}", if count == 1 { "" } else { "s" })
}

/// `orders-0`, or `orders-0 and 3 more`.
fn names(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}

fn bytes(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().si().to_string()
}

fn milliseconds(duration: u64) -> String {
    duration_text(Duration::from_millis(duration))
}

impl Observer {
    /// What a command would do now. `None`: nothing worth saying.
    pub fn consequence(&self, command: &Command) -> Option<Consequence> {
        match command {
            Command::Kill { who } => self.of_loss(who, "Killing", "dead"),
            Command::Powerloss { who } => self.of_loss(who, "Cutting the power of", "dead"),
            Command::Suspend { who } => self.of_loss(who, "Suspending", "suspended"),
            Command::Stop { who } => self.of_loss(who, "Stopping", "down"),
            Command::Restart { who } => self.of_restart(who),
            Command::Wipe { who } => self.of_wipe(who),
            Command::Start { who } => self.of_start(who),
            Command::Resume { who } => self.of_resume(who),
            Command::Broker(BrokerCommand::Remove { who }) => self.of_removal(who),
            Command::Link(LinkCommand::Cut { link } | LinkCommand::Hold { link }) => self.of_cut(link),
            Command::Disk(DiskCommand::Slow { who, by }) => self.of_slow_disk(who, *by),
            Command::Disk(DiskCommand::Full { who }) => self.of_loss(who, "Filling the disk of", "dead"),
            Command::Disk(DiskCommand::Fail { who }) => self.of_loss(who, "Failing the disk of", "dead"),
            Command::Heal => match self.faults.len() {
                0 => told(Weight::Harmless, "There is nothing to heal."),
                1 => told(Weight::Harmless, format!("Ends one fault: {}.", self.faults[0].active.text)),
                faults => told(Weight::Harmless, format!("Ends {faults} faults; brokers that are down stay down.")),
            },
            Command::Topic(topic) => self.of_topic(topic),
            Command::Elect(ElectCommand::Unclean { partitions }) => self.of_unclean(partitions),
            Command::Elect(ElectCommand::Preferred { partitions }) => self.of_preferred(partitions),
            Command::Reassign(ReassignCommand::Start { partitions, to }) => self.of_reassignment(partitions, to),
            Command::Group(group) => self.of_group(group),
            Command::Transaction(TransactionCommand::Abort { name: Some(id), .. }) => self.of_abort(id),
            _ => None,
        }
    }

    fn of_group(&self, command: &GroupCommand) -> Option<Consequence> {
        let (name, topic) = match command {
            GroupCommand::Reset { name, topic, .. } => (name, Some(topic)),
            GroupCommand::Delete { name } => (name, None),
            GroupCommand::List | GroupCommand::Describe { .. } => return None,
        };
        if !command.changes() {
            return told(Weight::Harmless, "Shows what would change; --execute does it.");
        }
        let known = self.coordinated.group(&self.lives, name);
        if let Some(group) = known.filter(|group| group.members > 0) {
            return told(Weight::Refused, format!("{name} has {}: stop them first.", members(group.members)));
        }
        let committed = |topic: &str| known.and_then(|group| group.committed.get(topic)).copied().unwrap_or(0);
        match (topic, known) {
            (None, None) => told(Weight::Refused, format!("There is no group {name}.")),
            (None, Some(group)) => {
                let all = partitions(group.committed.values().sum());
                told(Weight::Severe, format!("This removes what {name} has committed for {all}."))
            }
            (Some(topic), _) if self.image.topic_by_name(topic).is_none() => {
                told(Weight::Refused, format!("There is no topic {topic}."))
            }
            (Some(topic), _) if committed(topic) == 0 => {
                told(Weight::Harmless, format!("{name} has committed nothing for {topic} yet."))
            }
            (Some(topic), _) => {
                let all = partitions(committed(topic));
                told(Weight::Severe, format!("What {name} has committed for {all} of {topic} is overwritten."))
            }
        }
    }

    fn of_abort(&self, id: &str) -> Option<Consequence> {
        match self.coordinated.transaction(&self.lives, id) {
            None => told(Weight::Refused, format!("There is no transactional id {id}.")),
            Some(known) if !known.is_open => told(Weight::Refused, format!("No transaction of {id} is open.")),
            Some(known) => {
                let all = partitions(known.partitions);
                told(Weight::Severe, format!("Readers skip what {id} wrote to {all}, and its producer is fenced."))
            }
        }
    }

    fn is_up(&self, broker: BrokerId) -> bool {
        matches!(life(&self.lives, broker), Life::Up { .. })
    }

    /// What would be left if brokers were gone.
    pub(super) fn impact(&self, gone: &[BrokerId]) -> Impact {
        let mut impact = Impact::default();
        let stays = |broker: &&BrokerId| !gone.contains(broker) && self.is_up(**broker);
        for partition in self.partitions.iter() {
            let state = &partition.state;
            if !state.replicas.iter().any(|broker| gone.contains(broker)) {
                continue;
            }
            let Some(leader) = partition.leader(&self.lives) else { continue };
            let in_sync = state.isr.iter().filter(stays).count();
            if gone.contains(&leader) {
                match (partition.seen_on(leader), partition.high_watermark) {
                    (Some(seen), Some(watermark)) => {
                        impact.at_risk += u64::try_from(seen.log_end - watermark).unwrap_or(0);
                    }
                    _ => impact.untold += 1,
                }
                if in_sync > 0 || state.elr.iter().any(|broker| stays(&broker)) {
                    impact.moved += 1;
                } else {
                    impact.leaderless.push(partition.name.to_string());
                    continue;
                }
            }
            let before = state.isr.iter().filter(|broker| self.is_up(**broker)).count();
            if in_sync < partition.min_isr as usize && before >= partition.min_isr as usize {
                impact.refusing.push(partition.name.to_string());
            }
            impact.thinner += usize::from(in_sync < before);
        }
        impact.leaderless.sort_unstable();
        impact.refusing.sort_unstable();
        impact
    }

    /// Voters that would be up, all voters, and how many are needed.
    pub(super) fn voters_without(&self, gone: &[BrokerId]) -> (usize, usize, usize) {
        let voters = self.voters();
        let up = voters.iter().filter(|voter| !gone.contains(voter) && self.is_up(**voter)).count();
        (up, voters.len(), voters.len() / 2 + 1)
    }

    fn of_loss(&self, who: &Who, doing: &str, already: &str) -> Option<Consequence> {
        let gone = match self.resolve(who) {
            Ok(gone) => gone,
            Err(reason) => return refused(&reason),
        };
        if let Some(broker) = gone
            .iter()
            .filter_map(|id| self.brokers.get(id))
            .find(|broker| broker.state.is_dead() || (already == "suspended" && broker.state == BrokerState::Suspended))
        {
            let already = if broker.state.is_dead() { "dead" } else { already };
            return told(Weight::Refused, format!("Broker {} is {already} already.", broker.id));
        }
        let who = join_ids(&gone);
        let impact = self.impact(&gone);
        let (up, voters, needed) = self.voters_without(&gone);
        let had_quorum = self.voters_without(&[]).0 >= needed;
        let mut sentences = Vec::new();
        let mut weight = Weight::Notice;
        if had_quorum && up < needed && voters > 0 {
            weight = Weight::Severe;
            sentences
                .push(format!("{doing} {who} now leaves {up} of {voters} voters: no controller until one returns."));
        }
        if !impact.leaderless.is_empty() {
            weight = Weight::Severe;
            let have = if impact.leaderless.len() == 1 { "has" } else { "have" };
            sentences.push(format!("{} then {have} no leader.", names(&impact.leaderless)));
        }
        if !impact.refusing.is_empty() {
            weight = Weight::Severe;
            let refuse = if impact.refusing.len() == 1 { "refuses" } else { "refuse" };
            sentences.push(format!("{} then {refuse} acks=all: below min ISR.", names(&impact.refusing)));
        }
        if impact.moved > 0 {
            let get = if impact.moved == 1 { "gets a new leader" } else { "get new leaders" };
            let controller = self.controller.is_some_and(|controller| gone.contains(&controller));
            let and = if controller && up >= needed { "; the controller moves too" } else { "" };
            sentences.push(format!("{} {get}{and}.", partitions(impact.moved)));
        } else if sentences.is_empty() && self.controller.is_some_and(|controller| gone.contains(&controller)) {
            sentences.push("The controller moves to another voter.".to_owned());
        }
        if sentences.is_empty() && impact.thinner > 0 {
            let have = if impact.thinner == 1 { "has" } else { "have" };
            sentences.push(format!("It leads nothing; {} {have} one copy fewer.", partitions(impact.thinner)));
        }
        if sentences.is_empty() {
            return told(Weight::Harmless, "No partition needs it.");
        }
        sentences.truncate(2);
        told(weight, sentences.join(" "))
    }

    fn of_restart(&self, who: &Who) -> Option<Consequence> {
        let brokers = match self.resolve(who) {
            Ok(brokers) => brokers,
            Err(reason) => return refused(&reason),
        };
        let up: Vec<BrokerId> = brokers.iter().copied().filter(|broker| self.is_up(*broker)).collect();
        let worst = up.iter().map(|broker| self.impact(&[*broker]));
        let stuck = worst.flat_map(|impact| [impact.leaderless, impact.refusing].concat()).collect::<BTreeSet<_>>();
        if !stuck.is_empty() {
            let stuck: Vec<String> = stuck.into_iter().collect();
            return told(Weight::Severe, format!("{} cannot be written until it is back.", names(&stuck)));
        }
        match up.len() {
            0 => told(Weight::Harmless, format!("Starts {}.", join_ids(&brokers))),
            1 => told(Weight::Notice, "Its leaders move first, and it catches up when it is back."),
            count => told(Weight::Notice, format!("{count} brokers go down one after the other and come back.")),
        }
    }

    fn of_wipe(&self, who: &Who) -> Option<Consequence> {
        let gone = match self.resolve(who) {
            Ok(gone) => gone,
            Err(reason) => return refused(&reason),
        };
        let (intact, voters, needed) = self.voters_without(&gone);
        if intact < needed && self.voters().iter().any(|voter| gone.contains(voter)) {
            let reason = format!("{intact} of {voters} voters would be intact and {needed} are needed");
            return refused(&reason);
        }
        let only = self.only_copies(&gone);
        match only.as_slice() {
            [] => told(Weight::Notice, "Every record it has is on another broker; it copies all of them again."),
            only => {
                told(Weight::Severe, format!("It has the last complete copy of {}: records are lost.", names(only)))
            }
        }
    }

    /// Partitions whose every complete copy is on these brokers.
    fn only_copies(&self, brokers: &[BrokerId]) -> Vec<String> {
        let is_only = |partition: &&Partition| {
            let state = &partition.state;
            let complete = if state.isr.is_empty() { &state.elr } else { &state.isr };
            !complete.is_empty() && complete.iter().all(|broker| brokers.contains(broker))
        };
        let mut only: Vec<String> =
            self.partitions.iter().filter(is_only).map(|partition| partition.name.to_string()).collect();
        only.sort_unstable();
        only
    }

    fn of_start(&self, who: &Who) -> Option<Consequence> {
        let brokers = match self.resolve(who) {
            Ok(brokers) => brokers,
            Err(reason) => return refused(&reason),
        };
        if brokers.is_empty() {
            return refused("no broker is down");
        }
        if let Some(up) = brokers.iter().find(|id| self.brokers.get(id).is_some_and(|b| !b.host_state.is_dead())) {
            return told(Weight::Refused, format!("Broker {up} is up already."));
        }
        let shares = brokers.iter().map(|broker| self.partitions.share(*broker));
        let (copies, records) = shares.fold((0, 0), |(copies, records), share| {
            (copies + share.lagging as usize, records + share.lagging_records)
        });
        match copies {
            0 => told(Weight::Harmless, "Its copies are complete: it is in sync as soon as it is up."),
            copies => told(Weight::Harmless, format!("It copies {records} records in {}.", partitions(copies))),
        }
    }

    fn of_resume(&self, who: &Who) -> Option<Consequence> {
        let brokers = match self.resolve(who) {
            Ok(brokers) => brokers,
            Err(reason) => return refused(&reason),
        };
        let is_running = |id: &&BrokerId| self.brokers.get(id).is_some_and(|b| b.host_state != BrokerState::Suspended);
        match brokers.iter().find(is_running) {
            Some(running) => told(Weight::Refused, format!("Broker {running} is not suspended.")),
            None => None,
        }
    }

    fn of_removal(&self, who: &Who) -> Option<Consequence> {
        let gone = match self.resolve(who) {
            Ok(gone) => gone,
            Err(reason) => return refused(&reason),
        };
        let holds_all = |partition: &&Partition| partition.state.replicas.iter().all(|broker| gone.contains(broker));
        if let Some(partition) = self.partitions.iter().find(holds_all) {
            return told(Weight::Refused, format!("It holds the only copy of {}.", partition.name));
        }
        let copies: usize = gone.iter().map(|broker| self.partitions.share(*broker).replicas as usize).sum();
        match copies {
            0 => told(Weight::Notice, "It holds nothing; its id is free again."),
            copies => told(Weight::Severe, format!("{} lose a copy for good.", partitions(copies))),
        }
    }

    fn of_cut(&self, link: &LinkSpec) -> Option<Consequence> {
        let links: BTreeSet<(BrokerId, BrokerId)> = link.directed().into_iter().collect();
        let mut ends = link.from.iter().chain(&link.to).filter(|end| **end != CLIENTS);
        if let Some(unknown) = ends.find(|id| !self.brokers.contains_key(id)) {
            return told(Weight::Refused, format!("There is no broker {unknown}."));
        }
        // A fetch needs both ways: the question and its answer.
        let is_cut = |a: BrokerId, b: BrokerId| links.contains(&(a, b)) || links.contains(&(b, a));
        let mut impact = Impact::default();
        for partition in self.partitions.iter() {
            let Some(leader) = partition.leader(&self.lives) else { continue };
            let lost = partition.state.isr.iter().filter(|broker| is_cut(leader, **broker)).count();
            impact.thinner += usize::from(lost > 0);
            let left = partition.state.isr.len() - lost;
            if lost > 0 && left < partition.min_isr as usize {
                impact.refusing.push(partition.name.to_string());
            }
        }
        let cluster = &self.setup.cluster;
        let fenced = self.controller.and_then(|controller| {
            self.brokers.keys().copied().find(|broker| is_cut(controller, *broker) && self.is_up(*broker))
        });
        let mut sentences = Vec::new();
        if let Some(fenced) = fenced {
            let after = milliseconds(cluster.broker_session_timeout_ms);
            sentences.push(format!("Broker {fenced} loses the controller: fenced after {after}."));
        }
        impact.refusing.sort_unstable();
        if !impact.refusing.is_empty() {
            let refuse = if impact.refusing.len() == 1 { "refuses" } else { "refuse" };
            sentences.push(format!("{} then {refuse} acks=all: below min ISR.", names(&impact.refusing)));
        } else if impact.thinner > 0 {
            let after = milliseconds(cluster.replica_lag_time_max_ms);
            let over = partitions(impact.thinner);
            sentences.push(format!("{over} replicate over it: followers leave the ISR after {after}."));
        }
        let unheard: BTreeSet<BrokerId> = links
            .iter()
            .filter_map(|(from, to)| match (*from == CLIENTS, *to == CLIENTS) {
                (true, _) => Some(*to),
                (_, true) => Some(*from),
                _ => None,
            })
            .collect();
        let led: usize = unheard.iter().map(|broker| self.partitions.share(*broker).leaders as usize).sum();
        if !unheard.is_empty() && sentences.len() < 2 {
            let over = if led == 0 {
                "no partition is led there".to_owned()
            } else {
                format!("{} led there", partitions(led))
            };
            sentences.push(format!("Clients wait in silence until their own timeouts: {over}, no leader moves."));
        }
        let weight = if impact.refusing.is_empty() { Weight::Notice } else { Weight::Severe };
        if sentences.is_empty() {
            return told(Weight::Harmless, "Nothing replicates over it now.");
        }
        told(weight, sentences.join(" "))
    }

    fn of_slow_disk(&self, who: &Who, by: Duration) -> Option<Consequence> {
        let slow = match self.resolve(who) {
            Ok(slow) => slow,
            Err(reason) => return refused(&reason),
        };
        let waits = |partition: &&Partition| partition.state.isr.iter().any(|broker| slow.contains(broker));
        match self.partitions.iter().filter(waits).count() {
            0 => told(Weight::Harmless, "No partition waits for it."),
            count => {
                let wait = if count == 1 { "waits" } else { "wait" };
                let by = duration_text(by);
                told(
                    Weight::Notice,
                    format!("Acknowledgements with acks=all of {} {wait} {by} longer.", partitions(count)),
                )
            }
        }
    }

    fn of_topic(&self, command: &TopicCommand) -> Option<Consequence> {
        let find = |name: &str| self.image.topic_by_name(name);
        let missing = |name: &str| told(Weight::Refused, format!("There is no topic {name}."));
        match command {
            TopicCommand::Create { name, .. } if find(name).is_some() => {
                told(Weight::Refused, format!("There is a topic {name} already."))
            }
            TopicCommand::Create { replicas: Some(replicas), .. } => {
                let up = self.brokers.values().filter(|broker| broker.state == BrokerState::Running).count();
                let wanted = usize::try_from(*replicas).unwrap_or(0);
                (wanted > up).then(|| {
                    told(Weight::Refused, format!("{wanted} replicas need {wanted} brokers and {up} are up."))
                })?
            }
            TopicCommand::Delete { name } => {
                let Some(topic) = find(name) else { return missing(name) };
                let known = self.partitions.iter().filter(|partition| partition.id.topic == topic.id);
                let size: u64 = known.flat_map(|partition| &partition.seen).map(|seen| seen.size_bytes).sum();
                let text =
                    format!("This removes {} and {} of records.", partitions(topic.partitions.len()), bytes(size));
                told(Weight::Severe, text)
            }
            TopicCommand::Alter { name, partitions: Some(wanted), .. } => {
                let Some(topic) = find(name) else { return missing(name) };
                let have = topic.partitions.len();
                if usize::try_from(*wanted).unwrap_or(0) <= have {
                    return told(Weight::Refused, format!("{name} has {have} partitions, and they can only grow."));
                }
                told(Weight::Notice, "Keys go to other partitions from then on; their order holds only within one.")
            }
            TopicCommand::DeleteRecords { partition, before } => {
                let Some(known) = self.find(partition) else {
                    return told(Weight::Refused, format!("There is no partition {partition}."));
                };
                let seen = known.seen_on(known.leader(&self.lives)?)?;
                let until = before.or(known.high_watermark)?;
                let gone = until.min(seen.log_end) - seen.log_start;
                (gone > 0).then(|| told(Weight::Severe, format!("This removes {gone} records of {partition}.")))?
            }
            _ => None,
        }
    }

    fn of_unclean(&self, named: &[Named]) -> Option<Consequence> {
        let mut lost = Vec::new();
        for name in named {
            let Some(partition) = self.find(name) else {
                return told(Weight::Refused, format!("There is no partition {name}."));
            };
            if partition.leader(&self.lives).is_some() {
                continue;
            }
            let candidates = partition.state.replicas.iter().filter(|broker| self.is_up(**broker));
            let best = candidates.filter_map(|broker| partition.seen_on(*broker)).max_by_key(|seen| seen.log_end);
            let Some(best) = best else { return told(Weight::Refused, format!("No replica of {name} is up.")) };
            let records = partition.high_watermark.map_or(0, |watermark| (watermark - best.log_end).max(0));
            lost.push((name, best.broker, records));
        }
        match lost.as_slice() {
            [] => told(Weight::Harmless, "They have leaders: nothing happens."),
            [(name, broker, 0)] => {
                told(Weight::Notice, format!("{broker} leads {name} and has every committed record."))
            }
            [(name, broker, records)] => {
                told(Weight::Severe, format!("{broker} leads {name}, and {records} committed records are lost."))
            }
            several => {
                let records: i64 = several.iter().map(|(_, _, records)| *records).sum();
                let count = partitions(several.len());
                told(Weight::Severe, format!("{count} get leaders, and {records} committed records are lost."))
            }
        }
    }

    fn of_preferred(&self, named: &[Named]) -> Option<Consequence> {
        let is_named = |partition: &Partition| {
            named.is_empty() || named.iter().any(|name| partition.name.to_string() == name.to_string())
        };
        let moves = |partition: &&Partition| {
            let preferred = partition.state.preferred_leader();
            is_named(partition)
                && partition.state.leader != preferred
                && preferred.is_some_and(|broker| self.is_up(broker) && partition.state.isr.contains(&broker))
        };
        match self.partitions.iter().filter(moves).count() {
            0 => told(Weight::Harmless, "Every preferred replica that is in sync leads already."),
            1 => told(Weight::Harmless, "1 partition moves its leader."),
            count => told(Weight::Harmless, format!("{count} partitions move their leaders.")),
        }
    }

    fn of_reassignment(&self, named: &[Named], to: &[BrokerId]) -> Option<Consequence> {
        if let Some(unknown) = to.iter().find(|id| !self.brokers.contains_key(id)) {
            return told(Weight::Refused, format!("There is no broker {unknown}."));
        }
        let mut copied = 0;
        for name in named {
            let Some(partition) = self.find(name) else {
                return told(Weight::Refused, format!("There is no partition {name}."));
            };
            let size = partition.seen.iter().map(|seen| seen.size_bytes).max().unwrap_or(0);
            let new = to.iter().filter(|broker| !partition.state.replicas.contains(broker)).count();
            copied += size * new as u64;
        }
        match copied {
            0 => told(Weight::Harmless, "Nothing has to be copied."),
            copied => told(Weight::Notice, format!("{} are copied to {}.", bytes(copied), join_ids(to))),
        }
    }
}

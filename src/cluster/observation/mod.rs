//! Observation: what turns the brokers' snapshots and events, and what the host does, into what the console draws.
//!
//! A host owns one [`Observer`] and feeds it: the moment ([`Observer::set_moment`]) a few dozen times a second, every broker's
//! snapshot ([`Observer::snapshot`]) a few times a second, every event ([`Observer::event`]), and its own deeds
//! ([`Observer::broker_is`], [`Observer::note`], [`Observer::set_faults`]). It asks for a [`ClusterView`] ([`Observer::view`]), for
//! consequences, completions, predicates and whom a WHO means.
//!
//! Invariants: what is shown is what snapshots hold; events tell when and why. A view costs what is in its window, whatever exists. A
//! broker that is gone keeps what it said last, marked as gone. Memory is bounded: rings of facts, links and samples.
//!
//! Deliberately not here: threads and clocks (a host feeds it, times are given), and how anything looks (`tui`).

mod answers;
mod broker;
mod coordinated;
mod facts;
mod forecast;
pub mod found;
pub mod groups;
mod meter;
mod narrate;
mod outlook;
mod partition;
mod partitions;
mod past;
mod quorum;
mod ranking;
mod record_words;
pub mod recorder;
mod shared;
mod situation;
#[cfg(test)]
mod tests;
mod topics;
mod why;
mod why_quorum;
mod xray;

pub use broker::DiskUse;
pub use outlook::LinkReport;

use super::ledger::Report;
use super::link::Link;
use super::view::{
    ActiveFault, BrokerState, Capabilities, Change, ClockMode, ClusterView, EventKind, FaultChip, HostFacts, Ledger,
    PartitionName, PartitionSeverity, QuorumRole, Totals, ViewRequest,
};
use crate::engine::config::ClusterConfig;
use crate::engine::controller::configs;
use crate::engine::controller::image::MetadataImage;
use crate::engine::io::LogInfo;
use crate::engine::observe::{self, BrokerSnapshot, EventId, Scope};
use crate::protocol::ids::{BrokerId, PartitionId};
use broker::Broker;
use coordinated::Coordinated;
use facts::{Facts, NewFact};
use meter::Samples;
use outlook::LinkSeen;
use partition::{Life, Lives, Partition};
use partitions::{Partitions, Turned};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where groups live.
const GROUPS_TOPIC: &str = "__consumer_offsets";
/// A sample of the strips stands for so long, in milliseconds.
const STRIP_EVERY_MS: u64 = 250;
/// An hour of them is kept.
const STRIP_LENGTH: usize = 14_400;
/// Up to so many partitions every snapshot holds all of them.
const SMALL: usize = 600;
/// Of more partitions, so many of those that need attention are in every snapshot.
const ATTENTION_MAX: usize = 200;
/// An event may be so far ahead of the metadata, in milliseconds. What is not committed by then was decided by a controller that had
/// lost its office already.
const AHEAD_MAX_MS: u64 = 1_000;
/// Of more partitions, so many others are in every snapshot, in turn.
const IN_TURN: usize = 1_000;

/// What an observer is told once.
#[derive(Debug, Clone)]
pub struct Setup {
    /// `local`, or the name of the attached cluster.
    pub name: String,
    /// `HOST:PORT,…` as a client wants it.
    pub bootstrap_servers: String,
    /// What the host can do.
    pub can: Capabilities,
    /// What leaving destroys, as a sentence.
    pub quit_loses: Option<String>,
    /// What to add to UTC for the user's clock, in seconds.
    pub utc_offset_s: i32,
    /// What all brokers have in common.
    pub cluster: ClusterConfig,
    /// The brokers and the ports clients reach them at.
    pub brokers: Vec<(BrokerId, u16)>,
}

/// Which moment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Cluster time, milliseconds since the cluster's start.
    pub at_ms: u64,
    /// The same on the wall, milliseconds since 1970 UTC.
    pub wall_ms: i64,
    /// Which time this is.
    pub clock: ClockMode,
}

/// A fact of the host's: something it did, or that happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What kind of fact.
    pub kind: EventKind,
    /// One line: `link 1 ⇄ 3 cut`.
    pub text: String,
    /// The broker it is about.
    pub broker: Option<BrokerId>,
    /// What caused it.
    pub cause: Option<EventId>,
    /// It lasts until [`Observer::end`] (a cut, a slow disk).
    pub lasts: bool,
}

/// An active fault, and what it puts on the brokers' cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// As it stands in the list.
    pub active: ActiveFault,
    /// The chip on each broker it acts on.
    pub chips: Vec<(BrokerId, FaultChip)>,
}

/// What groups have to know of partitions.
struct Ends<'a> {
    partitions: &'a Partitions,
    lives: &'a Lives,
}

impl groups::Ends for Ends<'_> {
    fn high_watermark(&self, topic: &str, partition: i32) -> Option<i64> {
        self.partitions.by_name(topic, partition)?.high_watermark
    }

    fn coordinator(&self, partition: i32) -> Option<BrokerId> {
        self.partitions.by_name(GROUPS_TOPIC, partition)?.leader(self.lives)
    }
}

/// See the module. A clone goes on from where it is, independent of the other.
#[derive(Debug, Clone)]
pub struct Observer {
    setup: Arc<Setup>,
    moment: Moment,
    brokers: BTreeMap<BrokerId, Broker>,
    lives: Lives,
    image: Arc<MetadataImage>,
    image_from: Option<BrokerId>,
    partitions: Partitions,
    coordinated: Coordinated,
    facts: Facts,
    stalls: Samples<u32>,
    bytes_in: Samples<u64>,
    faults: Vec<Fault>,
    links: BTreeMap<Link, LinkSeen>,
    ledger: Option<Report>,
    notice: Option<String>,
    unknown_since_ms: Option<u64>,
    controller: Option<BrokerId>,
    no_controller_since_ms: Option<u64>,
    /// The fact that there is no controller, while it lasts.
    controller_lost: Option<EventId>,
    /// Partitions of which an event told more than the metadata holds, and since when.
    ahead: BTreeMap<PartitionId, u64>,
    deleted_topics: Vec<String>,
    groups: groups::Groups,
    quorum: quorum::Memory,
    xray: xray::Xray,
    /// Rises with everything that is a fact on the screen.
    revision: u64,
    /// Rises with every number.
    progress: u64,
    shown: (u64, u64),
    wanted: ViewRequest,
    /// Where the partitions that are not in view go on in the next snapshot of each broker.
    turns: BTreeMap<BrokerId, usize>,
}

impl Observer {
    /// An observer that knows the brokers and nothing of them yet.
    pub fn new(setup: Setup) -> Observer {
        let brokers: BTreeMap<BrokerId, Broker> =
            setup.brokers.iter().map(|(id, port)| (*id, Broker::new(*id, *port, 0))).collect();
        let lives = brokers.iter().map(|(id, broker)| (*id, broker.life())).collect();
        Observer {
            setup: Arc::new(setup),
            moment: Moment::default(),
            brokers,
            lives,
            image: Arc::default(),
            image_from: None,
            partitions: Partitions::default(),
            coordinated: Coordinated::default(),
            facts: Facts::default(),
            stalls: Samples::new(STRIP_EVERY_MS, STRIP_LENGTH),
            bytes_in: Samples::new(STRIP_EVERY_MS, STRIP_LENGTH),
            faults: Vec::new(),
            links: BTreeMap::new(),
            ledger: None,
            notice: None,
            unknown_since_ms: None,
            controller: None,
            no_controller_since_ms: Some(0),
            controller_lost: None,
            ahead: BTreeMap::new(),
            deleted_topics: Vec::new(),
            groups: groups::Groups::default(),
            quorum: quorum::Memory::default(),
            xray: xray::Xray::default(),
            revision: 0,
            progress: 0,
            shown: (u64::MAX, u64::MAX),
            wanted: ViewRequest::default(),
            turns: BTreeMap::new(),
        }
    }

    /// Tells the moment. Everything else that is fed is of the moment told last. Called before each round of snapshots.
    pub fn set_moment(&mut self, moment: Moment) {
        if std::mem::discriminant(&moment.clock) != std::mem::discriminant(&self.moment.clock) {
            self.revision += 1;
        }
        self.moment = moment;
        let totals = self.partitions.totals();
        let at_ms = moment.at_ms;
        self.stalls.push(at_ms, totals.no_leader + totals.stalled);
        let bytes_in = self.brokers.values().map(|broker| broker.rates().0).sum();
        self.bytes_in.push(at_ms, bytes_in);
        self.brokers.values_mut().for_each(|broker| broker.sample(at_ms));
        self.partitions.topics().sample(at_ms);
    }

    /// The moment that was told last.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// A broker that joins, down until its host says otherwise.
    pub fn add_broker(&mut self, broker: BrokerId, port: u16) {
        self.brokers.entry(broker).or_insert_with(|| Broker::new(broker, port, self.moment.at_ms));
        self.relive();
    }

    /// A broker that is gone for good.
    pub fn remove_broker(&mut self, broker: BrokerId) {
        self.brokers.remove(&broker);
        self.relive();
    }

    /// What clients are told changed.
    pub fn set_bootstrap_servers(&mut self, servers: String) {
        Arc::make_mut(&mut self.setup).bootstrap_servers = servers;
        self.revision += 1;
    }

    /// Something the user must know about this machine: `machine stalled 1.2 s`.
    pub fn set_notice(&mut self, notice: Option<String>) {
        if self.notice != notice {
            self.notice = notice;
            self.revision += 1;
        }
    }

    /// What a broker's store takes.
    pub fn set_disk(&mut self, broker: BrokerId, disk: DiskUse) {
        if let Some(broker) = self.brokers.get_mut(&broker) {
            broker.disk = Some(disk);
        }
    }

    /// All faults that are active, newest first.
    pub fn set_faults(&mut self, faults: Vec<Fault>) {
        if faults == self.faults {
            return;
        }
        for broker in self.brokers.values_mut() {
            let chips = faults.iter().flat_map(|fault| &fault.chips).filter(|(id, _)| *id == broker.id);
            broker.chips = chips.map(|(_, chip)| chip.clone()).collect();
        }
        self.faults = faults;
        self.revision += 1;
    }

    /// The newest report of the ledger.
    pub fn set_ledger(&mut self, report: Option<Report>) {
        let lost = |report: &Option<Report>| report.as_ref().map_or(0, |report| report.counts.lost);
        if lost(&report) > lost(&self.ledger) {
            self.records_lost(report.as_ref());
        }
        if report != self.ledger {
            self.progress += 1;
        }
        self.ledger = report;
    }

    /// Events were missed: from here on nothing can be promised about what was not seen.
    pub fn gap(&mut self) {
        if self.unknown_since_ms.is_some() {
            return;
        }
        self.unknown_since_ms = Some(self.moment.at_ms);
        self.note(Note {
            kind: EventKind::Clock,
            text: "events were missed: what is said of records is unknown from here".to_owned(),
            broker: None,
            cause: None,
            lasts: false,
        });
    }

    /// The host did something to a broker's process, or it ended by itself. The fact's name is what the broker's steps and messages
    /// that follow from it carry as their cause.
    pub fn broker_is(&mut self, id: BrokerId, state: BrokerState, cause: Option<EventId>) -> EventId {
        let at_ms = self.moment.at_ms;
        let event = self.facts.next_host_event();
        let Some(broker) =
            self.brokers.get_mut(&id).filter(|broker| broker.host_state != state || broker.fact.is_none())
        else {
            // Told twice, or of nobody: it is no news, and still a name that others may carry as their cause.
            self.facts.pass(event, cause);
            return event;
        };
        let before = broker.fact;
        let line = match (&broker.host_state, &state) {
            (BrokerState::Suspended, BrokerState::Running) => {
                Some((EventKind::Resumed, format!("broker {id} resumed")))
            }
            _ => narrate::process(id, &state),
        };
        // A stop is caused by whoever asked for it; what follows is its own next step.
        let follows = matches!(state, BrokerState::Running | BrokerState::Stopped);
        let cause = cause.or(before.filter(|_| follows));
        broker.turn(at_ms, state.clone(), line.is_some().then_some(event));
        if state.is_dead() {
            self.quorum.ended(id, at_ms);
        }
        match line {
            Some((kind, text)) => {
                if let Some(before) = before {
                    self.facts.end(before, at_ms);
                }
                let lasts = state.is_dead() || matches!(state, BrokerState::Suspended | BrokerState::Starting);
                self.facts.add(NewFact { event, cause, at_ms, kind, text, broker: Some(id), partition: None, lasts });
            }
            // It came up as far as a process can: the start goes on until the controller lets it in.
            None => self.facts.pass(event, cause),
        }
        self.settle();
        event
    }

    /// Takes a fact of the host's down. Its name is what follows from it carries as its cause.
    pub fn note(&mut self, note: Note) -> EventId {
        let event = self.facts.next_host_event();
        let Note { kind, text, broker, cause, lasts } = note;
        let at_ms = self.moment.at_ms;
        self.facts.add(NewFact { event, cause, at_ms, kind, text, broker, partition: None, lasts });
        event
    }

    /// What a note began is over.
    pub fn end(&mut self, event: EventId) {
        self.facts.end(event, self.moment.at_ms);
    }

    /// Whatever lasts and is told in these words is over.
    pub fn end_of(&mut self, text: &str) {
        self.facts.end_of(text, self.moment.at_ms);
    }

    /// What the next snapshot of a broker should hold: everything while that is little; else what is in view, what needs attention and
    /// some of the rest in turn.
    pub fn next_scope(&mut self, broker: BrokerId) -> Scope {
        let inside = self.stretch();
        if self.partitions.len() <= SMALL {
            return Scope { partitions: None, inside };
        }
        let ids = self.partitions.ids();
        let turn = self.turns.entry(broker).or_default();
        let from = *turn % ids.len();
        *turn = from + IN_TURN;
        let in_turn = ids.iter().copied().cycle().skip(from).take(IN_TURN.min(ids.len()));
        let window = self.partitions.window(self.wanted.first_row, self.wanted.row_count);
        let mut wanted: Vec<PartitionId> = window
            .chain(self.partitions.attention().take(ATTENTION_MAX))
            .chain(in_turn)
            .chain(inside.map(|stretch| stretch.partition))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        Scope { partitions: Some(wanted), inside }
    }

    /// Takes a broker's account of itself in.
    pub fn snapshot(&mut self, snapshot: &BrokerSnapshot) {
        self.progress += 1;
        let id = snapshot.broker;
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        if broker.host_state.is_dead() {
            // It was on its way when the broker ended.
            return;
        }
        broker.hear(snapshot);
        self.coordinated.hear(snapshot);
        self.hear_of_quorum(snapshot);
        self.xray.hear(snapshot);
        self.adopt(snapshot);
        let at_ms = snapshot.at.as_millis();
        let mut bytes = 0;
        for replica in &snapshot.replicas {
            bytes += replica.size_bytes;
            let partition = replica.partition;
            if let Some(heard) = self.partitions.listen(at_ms, id, replica) {
                self.change(partition, |partition| {
                    partition.take(heard);
                    Some(())
                });
            }
        }
        if self.partitions.len() <= SMALL
            && let Some(broker) = self.brokers.get_mut(&id)
        {
            broker.hear_of_logs(bytes);
        }
        self.settle();
        let ends = Ends { partitions: &self.partitions, lives: &self.lives };
        self.groups.hear(id, at_ms, &snapshot.groups, &ends);
    }

    fn ends(&self) -> Ends<'_> {
        Ends { partitions: &self.partitions, lives: &self.lives }
    }

    /// What a broker's store holds, read after the broker ended.
    pub fn store_of_dead(&mut self, broker: BrokerId, logs: &[LogInfo]) {
        for log in logs {
            self.change(log.partition, |partition| {
                partition.hear_of_store(broker, log.start_offset, log.end_offset);
                Some(())
            });
        }
    }

    /// Changes a partition, and tells what follows.
    fn change<T>(&mut self, id: PartitionId, change: impl FnOnce(&mut Partition) -> Option<T>) -> Option<T> {
        let (changed, turned) = self.partitions.change(id, self.moment.at_ms, &self.lives, change)?;
        if turned.from != turned.to {
            self.turned(id, turned);
        }
        Some(changed)
    }

    fn turned(&mut self, id: PartitionId, turned: Turned) {
        self.revision += 1;
        let at_ms = self.moment.at_ms;
        if turned.from == PartitionSeverity::Stalled {
            self.facts.close(EventKind::HighWatermarkStalled, id, at_ms);
        }
        let Some(partition) = self.partitions.get(id) else { return };
        if turned.to == PartitionSeverity::Stalled {
            let waits_for = partition.waits_for(turned.to, &self.lives);
            let trouble = waits_for.and_then(|broker| self.facts.trouble_of(broker)).map(|fact| fact.event);
            let text = match waits_for {
                Some(broker) => format!("{}'s high watermark stands: it waits for {broker}", partition.name),
                None => format!("{}'s high watermark stands", partition.name),
            };
            let new = NewFact {
                event: self.facts.next_host_event(),
                cause: trouble.or(partition.isr_change.map(|told| told.event)),
                at_ms: partition.severity_since_ms,
                kind: EventKind::HighWatermarkStalled,
                text,
                broker: waits_for,
                partition: Some((id, partition.name.clone())),
                lasts: true,
            };
            self.facts.add(new);
        }
    }

    /// Takes the newest metadata over: what the active controller applied, or whoever is furthest while there is none.
    fn adopt(&mut self, snapshot: &BrokerSnapshot) {
        let newer = (snapshot.image.epoch, snapshot.image.end_offset) > (self.image.epoch, self.image.end_offset);
        // Images of one broker share what did not change, so that telling them apart is cheap; another's is taken only where that one
        // cannot be had.
        let from = self.image_from.filter(|from| matches!(self.lives.get(from), Some(Life::Up { .. })));
        let is_due = from.is_none_or(|from| {
            from == snapshot.broker
                || self.controller == Some(snapshot.broker)
                || self
                    .brokers
                    .get(&from)
                    .is_none_or(|source| source.seen_at_ms + 1_000 < self.moment.at_ms && self.controller != Some(from))
        });
        if !newer || !is_due {
            return;
        }
        let delta = MetadataImage::diff(&self.image, &snapshot.image);
        self.image = Arc::clone(&snapshot.image);
        self.image_from = Some(snapshot.broker);
        for (id, topic) in &delta.removed_topics {
            self.partitions.remove_topic(*id);
            self.deleted_topics.push(topic.name.clone());
        }
        let image = Arc::clone(&self.image);
        let mut min_isr: Option<(&str, i32)> = None;
        for id in &delta.partitions {
            let Some(topic) = image.topics.get(&id.topic) else { continue };
            let Some(state) = topic.partitions.get(&id.partition) else {
                self.partitions.remove_one(*id);
                continue;
            };
            let configured = match min_isr {
                Some((name, configured)) if name == topic.name => configured,
                _ => configs::min_insync_replicas(&image, &self.setup.cluster, &topic.name),
            };
            min_isr = Some((&topic.name, configured));
            let min_isr = u32::try_from(state.effective_min_isr(configured)).unwrap_or(1);
            self.decided(*id, &topic.name, state.clone(), min_isr);
        }
        if !delta.configs.is_empty() {
            self.reconfigured(&image);
        }
        self.revision += 1;
    }

    fn decided(
        &mut self,
        id: PartitionId,
        topic: &str,
        state: crate::engine::controller::record::PartitionState,
        min_isr: u32,
    ) {
        let at_ms = self.moment.at_ms;
        if self.partitions.get(id).is_none() {
            let name = PartitionName::new(topic, id.partition);
            self.partitions.add(Partition::new(id, name, state, min_isr, at_ms));
            self.change(id, |_| Some(()));
            return;
        }
        let deposed = self.change(id, |partition| {
            partition.min_isr = min_isr;
            Some(partition.decide(at_ms, state))
        });
        self.note_deposed(deposed.flatten(), at_ms);
    }

    fn note_deposed(&mut self, deposed: Option<BrokerId>, at_ms: u64) {
        if let Some(broker) = deposed.and_then(|broker| self.brokers.get_mut(&broker)) {
            broker.deposed(at_ms);
        }
    }

    fn reconfigured(&mut self, image: &MetadataImage) {
        for topic in image.topics.values() {
            let configured = configs::min_insync_replicas(image, &self.setup.cluster, &topic.name);
            for (number, state) in &topic.partitions {
                let min_isr = u32::try_from(state.effective_min_isr(configured)).unwrap_or(1);
                self.change(PartitionId::new(topic.id, *number), |partition| {
                    let is_new = partition.min_isr != min_isr;
                    partition.min_isr = min_isr;
                    is_new.then_some(())
                });
            }
        }
    }

    /// Brings the brokers' states, the controller and everything that follows from them up to date.
    fn settle(&mut self) {
        let at_ms = self.moment.at_ms;
        let image = Arc::clone(&self.image);
        let mut is_changed = false;
        for broker in self.brokers.values_mut() {
            if broker.settle(at_ms, &image) {
                is_changed = true;
                if broker.state == BrokerState::Running
                    && let Some(start) = broker.fact
                {
                    self.facts.end(start, at_ms);
                }
            }
            if broker.is_back
                && broker.state == BrokerState::Running
                && self.partitions.share(broker.id).lagging == 0
                && broker.seen_at_ms > broker.since_ms
            {
                broker.is_back = false;
                is_changed = true;
            }
        }
        if is_changed {
            self.revision += 1;
            self.relive();
        }
        self.find_controller();
        self.forget_uncommitted();
    }

    /// Elections that were told and never committed did not happen.
    fn forget_uncommitted(&mut self) {
        let at_ms = self.moment.at_ms;
        for (id, since_ms) in self.ahead.clone() {
            let committed = self.image.topics.get(&id.topic).and_then(|topic| topic.partitions.get(&id.partition));
            let told = self.partitions.get(id).map(|partition| partition.state.leader_epoch);
            match (committed.cloned(), told) {
                (Some(committed), Some(told)) if told > committed.leader_epoch => {
                    if since_ms + AHEAD_MAX_MS > at_ms {
                        continue;
                    }
                    if committed.leader.is_some() {
                        self.facts.close(EventKind::LeaderLost, id, at_ms);
                    }
                    self.change(id, |partition| {
                        partition.fall_back(committed);
                        Some(())
                    });
                    self.revision += 1;
                }
                _ => {}
            }
            self.ahead.remove(&id);
        }
    }

    /// Takes changed lives over to the partitions.
    fn relive(&mut self) {
        let lives: Lives = self.brokers.iter().map(|(id, broker)| (*id, broker.life())).collect();
        if lives == self.lives {
            return;
        }
        let before = std::mem::replace(&mut self.lives, lives);
        let ids: Vec<BrokerId> = before.keys().chain(self.lives.keys()).copied().collect();
        let changed: Vec<BrokerId> = ids.into_iter().filter(|id| before.get(id) != self.lives.get(id)).collect();
        let hosted = |partition: &&Partition| partition.state.replicas.iter().any(|broker| changed.contains(broker));
        let ids: Vec<PartitionId> = self.partitions.iter().filter(hosted).map(|partition| partition.id).collect();
        for id in ids {
            self.change(id, |_| Some(()));
        }
    }

    fn find_controller(&mut self) {
        let leads = |broker: &&Broker| {
            broker.state.answers()
                || (broker.state == BrokerState::Starting && broker.host_state == BrokerState::Running)
        };
        let quorum = |broker: &Broker| {
            let quorum = broker.quorum.as_ref()?;
            (quorum.role == observe::QuorumRole::Leader).then_some((quorum.epoch, broker.id))
        };
        let found = self.brokers.values().filter(leads).filter_map(quorum).max().map(|(_, broker)| broker);
        if found == self.controller {
            return;
        }
        let at_ms = self.moment.at_ms;
        self.revision += 1;
        match (self.controller, found) {
            (Some(before), None) => {
                self.no_controller_since_ms = Some(at_ms);
                let cause = self.facts.trouble_of(before).map(|fact| fact.event);
                self.controller_lost = Some(self.note(Note {
                    kind: EventKind::ControllerLost,
                    text: format!("no controller: {before} was it"),
                    broker: Some(before),
                    cause,
                    lasts: true,
                }));
            }
            (_, Some(_)) => {
                self.no_controller_since_ms = None;
                if let Some(lost) = self.controller_lost.take() {
                    self.facts.end(lost, at_ms);
                }
            }
            (None, None) => {}
        }
        self.controller = found;
    }

    /// The active controller that can be reached.
    pub fn controller(&self) -> Option<BrokerId> {
        self.controller
    }

    /// The topics that were deleted since this was asked last.
    pub fn take_deleted_topics(&mut self) -> Vec<String> {
        std::mem::take(&mut self.deleted_topics)
    }

    /// The metadata that everything is shown by.
    pub fn image(&self) -> &Arc<MetadataImage> {
        &self.image
    }

    /// What has changed since the last view.
    pub fn changed(&self) -> Change {
        if self.shown.0 != self.revision + self.facts.revision {
            Change::Facts
        } else if self.shown.1 != self.progress {
            Change::Progress
        } else {
            Change::Nothing
        }
    }

    /// The cluster at the moment told last, as far as it is wanted.
    pub fn view(&mut self, want: &ViewRequest) -> ClusterView {
        self.shown = (self.revision + self.facts.revision, self.progress);
        self.wanted = want.clone();
        let now_ms = self.moment.at_ms;
        let session_timeout_ms = self.setup.cluster.broker_session_timeout_ms;
        let has_controller = self.controller.is_some();
        let cards = self.brokers.values().map(|broker| {
            let fence_at_ms = broker.fence_at_ms(session_timeout_ms, has_controller);
            broker.card(self.partitions.share(broker.id), self.quorum_role(broker), fence_at_ms, want.spark_samples)
        });
        let brokers: Vec<_> = cards.collect();
        let timeline = self.timeline(want.end_ms.unwrap_or(now_ms), want);
        ClusterView {
            at_ms: now_ms,
            wall_ms: self.moment.wall_ms,
            utc_offset_s: self.setup.utc_offset_s,
            clock: self.moment.clock,
            host: HostFacts {
                name: self.setup.name.clone(),
                bootstrap_servers: self.setup.bootstrap_servers.clone(),
                can: self.setup.can,
                notice: self.notice.clone(),
                quit_loses: self.setup.quit_loses.clone(),
                world: None,
            },
            totals: Totals {
                bytes_in_per_s: brokers.iter().map(|card| card.bytes_in_per_s).sum(),
                bytes_out_per_s: brokers.iter().map(|card| card.bytes_out_per_s).sum(),
                ..self.partitions.totals()
            },
            rows: self.partitions.rows(want, &self.lives),
            timeline,
            situation: self.situation(),
            why: want.why.as_ref().and_then(|about| self.why(about)),
            ledger: self.ledger.as_ref().map(|report| Ledger {
                unknown_since_ms: self.unknown_since_ms.or(report.counts.unknown_since_ms),
                ..report.counts
            }),
            faults: self.faults.iter().map(|fault| fault.active.clone()).collect(),
            // Whoever plays one puts it in, and whoever records says how far.
            lesson: None,
            recorded: None,
            groups: want.groups.as_ref().map(|want| self.groups.view(want, &self.ends())),
            topics: (want.topics.as_ref())
                .map(|want| self.partitions.topics().view(want, &self.image, &self.setup.cluster)),
            placement: want.placement.as_ref().map(|want| topics::placement(want, &self.image)),
            wire: None,
            quorum: want.quorum.then(|| Box::new(self.quorum_view())),
            place: want.place.as_ref().and_then(|name| self.place(name)),
            xray: want.xray.as_ref().and_then(|want| self.xray_view(want)),
            link_faults: want.faults.as_ref().map(|want| Box::new(self.faults_view(want))),
            brokers,
        }
    }

    fn quorum_role(&self, broker: &Broker) -> QuorumRole {
        if self.controller == Some(broker.id) {
            return QuorumRole::Controller;
        }
        let is_candidate = broker.state.answers()
            && broker.quorum.as_ref().is_some_and(|quorum| {
                matches!(quorum.role, observe::QuorumRole::Candidate | observe::QuorumRole::Prospective)
            });
        match (is_candidate, self.voters().contains(&broker.id)) {
            (true, _) => QuorumRole::Candidate,
            (false, true) => QuorumRole::Voter,
            (false, false) => QuorumRole::Observer,
        }
    }

    /// The voters of the quorum, by the metadata or, before there is any, by whoever knows the most.
    fn voters(&self) -> Vec<BrokerId> {
        if !self.image.voters.is_empty() {
            return self.image.voters.keys().copied().collect();
        }
        let known = self.brokers.values().filter_map(|broker| broker.quorum.as_ref());
        known
            .max_by_key(|quorum| (quorum.epoch, quorum.log_end))
            .map(|quorum| quorum.voters.clone())
            .unwrap_or_default()
    }
}

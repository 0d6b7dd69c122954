//! What the engine's events and the host's deeds mean: which fact each is, in one line of plain words.
//!
//! Invariants: every event is linked to its cause, whether it gets a line or not; an event about a partition is kept with the
//! partition, so that its reason outlives the ring.
//!
//! Deliberately not here: the ring (`facts`).

use super::facts::NewFact;
use super::partition::{Life, Told, life};
use super::why::grouped;
use super::{Observer, Report};
use crate::cluster::command::values::join_ids;
use crate::cluster::view::{BrokerState, EventKind as Shown, PartitionName};
use crate::engine::log::Cleaned;
use crate::engine::observe::{ElectionReason, Event, EventId, EventKind, GroupEvent, QuorumRole};
use crate::protocol::ids::{BrokerId, PartitionId};

/// The fact that a broker's process is in a state; `None` where another fact tells it better.
pub(super) fn process(broker: BrokerId, state: &BrokerState) -> Option<(Shown, String)> {
    Some(match state {
        BrokerState::Killed => (Shown::BrokerDied, format!("kill −9 broker {broker}")),
        BrokerState::PowerLost => (Shown::BrokerDied, format!("broker {broker} lost power")),
        BrokerState::Crashed { message } => (Shown::BrokerDied, format!("broker {broker} crashed: {message}")),
        BrokerState::Stopped => (Shown::BrokerStopped, format!("broker {broker} stopped")),
        BrokerState::Suspended => (Shown::Suspended, format!("broker {broker} suspended")),
        BrokerState::Starting => (Shown::BrokerStarting, format!("broker {broker} starts")),
        BrokerState::Stopping => (Shown::BrokerStopped, format!("broker {broker} hands over to stop")),
        // A resumed broker goes on; one that started is told of when the controller lets it in.
        BrokerState::Running | BrokerState::Fenced => return None,
    })
}

/// A list of brokers: `2,5`, or `none`.
fn ids(brokers: &[BrokerId]) -> String {
    if brokers.is_empty() { "none".to_owned() } else { join_ids(brokers) }
}

fn plural(count: i64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A fact in the making: its kind, its line, and what it is about.
struct Line {
    kind: Shown,
    text: String,
    broker: Option<BrokerId>,
    partition: Option<(PartitionId, PartitionName)>,
    lasts: bool,
}

impl Line {
    fn new(kind: Shown, text: String) -> Line {
        Line { kind, text, broker: None, partition: None, lasts: false }
    }

    fn broker(self, broker: BrokerId) -> Line {
        Line { broker: Some(broker), ..self }
    }
}

impl Observer {
    /// Takes an event of a broker's in. Events that are no facts may be left out; facts never, or [`Observer::gap`] is told.
    pub fn event(&mut self, event: &Event) {
        let at_ms = event.at.as_millis();
        let cause = event.cause.or_else(|| self.cause_of(&event.kind));
        let line = match &event.kind {
            EventKind::Appended { .. } | EventKind::HighWatermark { .. } | EventKind::MetadataCommitted { .. } => {
                self.progress += 1;
                return;
            }
            EventKind::LeaderElected { partition, leader, leader_epoch, reason } => {
                let told = Told { at_ms, event: event.id };
                self.elected(told, *partition, *leader, *leader_epoch, *reason)
            }
            EventKind::IsrChanged { partition, isr, elr: _, shrunk } => {
                self.isr_changed(Told { at_ms, event: event.id }, *partition, isr, *shrunk)
            }
            EventKind::BecameLeader { partition, leader_epoch, log_end, .. } => {
                self.change(*partition, |partition| {
                    partition.epoch_start = Some((*leader_epoch, *log_end));
                    Some(())
                });
                None
            }
            EventKind::Truncated { partition, from, to, .. } => {
                self.xray.cut(event.id.broker, *partition, *from, *to, at_ms);
                self.truncated(event.id.broker, *partition, from - to)
            }
            EventKind::LogCleaned { partition, done, .. } => self.cleaned(event.id.broker, *partition, done),
            EventKind::ReassignmentDone { partition, replicas } => self.partitions.get(*partition).map(|partition| {
                let text = format!("{} moved to {}", partition.name, ids(replicas));
                Line { partition: Some((partition.id, partition.name.clone())), ..Line::new(Shown::TopicChanged, text) }
            }),
            EventKind::Group(told) => self.about_group(event.id, told),
            EventKind::QuorumRole { from, to, epoch, .. } => {
                self.quorum.turned(event.id, at_ms, *from, *to, *epoch);
                self.about_brokers(event.id, at_ms, &event.kind)
            }
            kind => self.about_brokers(event.id, at_ms, kind),
        };
        let Some(Line { kind, text, broker, partition, lasts }) = line else {
            self.facts.pass(event.id, cause);
            return;
        };
        self.facts.add(NewFact { event: event.id, cause, at_ms, kind, text, broker, partition, lasts });
    }

    fn cleaned(&self, broker: BrokerId, partition: PartitionId, done: &Cleaned) -> Option<Line> {
        let partition = self.partitions.get(partition)?;
        let number = |count: u64| i64::try_from(count).map_or_else(|_| count.to_string(), grouped);
        let (before, after) = (number(done.records_before), number(done.records_after));
        let text = format!("{} compacted on broker {broker}: {before} records to {after}", partition.name);
        let about = Some((partition.id, partition.name.clone()));
        Some(Line { partition: about, ..Line::new(Shown::TopicChanged, text) }.broker(broker))
    }

    fn about_group(&mut self, event: EventId, told: &GroupEvent) -> Option<Line> {
        Some(match told {
            GroupEvent::Rebalancing { group, cause, .. } => {
                self.groups.told_of_rebalance(group, event);
                Line::new(Shown::GroupRebalances, format!("{group} rebalances: {cause}"))
            }
            GroupEvent::Stable { group, generation, members } => {
                let members = plural(i64::try_from(*members).unwrap_or(i64::MAX), "member");
                Line::new(Shown::GroupStable, format!("{group} is stable, generation {generation}, {members}"))
            }
            GroupEvent::CoordinatorLoaded { .. }
            | GroupEvent::CoordinatorUnloaded { .. }
            | GroupEvent::Empty { .. }
            | GroupEvent::Deleted { .. } => return None,
        })
    }

    fn about_brokers(&mut self, event: EventId, at_ms: u64, kind: &EventKind) -> Option<Line> {
        let teller = event.broker;
        Some(match kind {
            EventKind::BrokerFenced { broker: id } => {
                if let Some(broker) = self.brokers.get_mut(id) {
                    (broker.fenced_at_ms, broker.fencing) = (Some(at_ms), Some(event));
                }
                Line::new(Shown::Fenced, format!("fenced {id}")).broker(*id)
            }
            EventKind::BrokerUnfenced { broker } => {
                if let Some(known) = self.brokers.get_mut(broker) {
                    (known.fenced_at_ms, known.fencing) = (None, None);
                }
                Line::new(Shown::BrokerUp, format!("broker {broker} is up")).broker(*broker)
            }
            EventKind::QuorumRole { to: QuorumRole::Leader, epoch, .. } => {
                let text = format!("{teller} is the controller, epoch {epoch}");
                Line::new(Shown::ControllerElected, text).broker(teller)
            }
            EventKind::QuorumRole { to: QuorumRole::Candidate, epoch, .. } => {
                Line::new(Shown::CandidateStands, format!("{teller} stands for epoch {epoch}")).broker(teller)
            }
            EventKind::VotersChanged { voters } => {
                Line::new(Shown::ConfigChanged, format!("the quorum's voters are {}", ids(voters)))
            }
            EventKind::TopicCreated { topic, partitions } => {
                let text = format!("topic {topic} created, {}", plural(i64::from(*partitions), "partition"));
                Line::new(Shown::TopicChanged, text)
            }
            EventKind::TopicDeleted { topic } => Line::new(Shown::TopicChanged, format!("topic {topic} deleted")),
            EventKind::StorageFailed { reason } => {
                Line::new(Shown::DiskFault, format!("broker {teller}'s disk failed: {reason}")).broker(teller)
            }
            _ => return None,
        })
    }

    /// The cause of an event that names none: what the host did to the broker in question. A session that expires is a silence, and
    /// only the host knows what silenced the broker.
    fn cause_of(&self, kind: &EventKind) -> Option<EventId> {
        match kind {
            EventKind::BrokerFenced { broker } => {
                let known = self.brokers.get(broker)?;
                match life(&self.lives, *broker) {
                    Life::Up { .. } => self.facts.trouble_of(*broker).map(|fact| fact.event),
                    _ => known.fact,
                }
            }
            EventKind::BrokerUnfenced { broker } => self.brokers.get(broker)?.fact,
            EventKind::QuorumRole { to: QuorumRole::Leader | QuorumRole::Candidate, .. } => self.controller_lost,
            _ => None,
        }
    }

    fn elected(
        &mut self,
        told: Told,
        id: PartitionId,
        leader: Option<BrokerId>,
        epoch: i32,
        reason: ElectionReason,
    ) -> Option<Line> {
        if reason == ElectionReason::Created {
            return None;
        }
        let deposed = self.change(id, |partition| {
            partition.election = Some((told, reason));
            Some(partition.led_by(told.at_ms, leader, epoch))
        })?;
        self.note_deposed(deposed, told.at_ms);
        self.ahead.insert(id, self.moment.at_ms);
        let name = self.partitions.get(id)?.name.clone();
        let line = match leader {
            Some(leader) => {
                self.facts.close(Shown::LeaderLost, id, told.at_ms);
                let how = match reason {
                    ElectionReason::Unclean => ", elected out of sync: records may be lost",
                    ElectionReason::EligibleLeaderReplica => ", from the ELR",
                    ElectionReason::Preferred => ", its preferred replica",
                    _ => "",
                };
                Line::new(Shown::LeaderElected, format!("{name} led by {leader}, epoch {epoch}{how}")).broker(leader)
            }
            None => {
                let text = format!("{name} has no leader: nobody is eligible");
                Line { lasts: true, ..Line::new(Shown::LeaderLost, text) }
            }
        };
        Some(Line { partition: Some((id, name)), ..line })
    }

    fn isr_changed(&mut self, told: Told, id: PartitionId, isr: &[BrokerId], shrunk: bool) -> Option<Line> {
        let before = self.change(id, |partition| {
            partition.isr_change = Some(told);
            Some(std::mem::replace(&mut partition.isr_told, isr.to_vec()))
        })?;
        let name = self.partitions.get(id)?.name.clone();
        let kind = if shrunk { Shown::IsrShrunk } else { Shown::IsrExpanded };
        let text = format!("{name} ISR {} → {}", ids(&before), ids(isr));
        let changed = if shrunk {
            before.iter().find(|broker| !isr.contains(broker))
        } else {
            isr.iter().find(|broker| !before.contains(broker))
        };
        Some(Line { broker: changed.copied(), partition: Some((id, name)), ..Line::new(kind, text) })
    }

    fn truncated(&mut self, broker: BrokerId, id: PartitionId, records: i64) -> Option<Line> {
        let name = self.partitions.get(id)?.name.clone();
        if records <= 0 {
            return None;
        }
        if let Some(broker) = self.brokers.get_mut(&broker) {
            broker.cut += u64::try_from(records).unwrap_or(0);
        }
        let text = format!("{name} on {broker} cut {} nobody else had", plural(records, "record"));
        Some(Line { partition: Some((id, name)), ..Line::new(Shown::Truncated, text).broker(broker) })
    }

    /// The ledger found acknowledged records gone.
    pub(super) fn records_lost(&mut self, report: Option<&Report>) {
        let Some(loss) = report.and_then(|report| report.lost.as_ref()) else { return };
        let partition = self.partitions.by_name(&loss.partition.topic, loss.partition.partition);
        let named = partition.map(|partition| (partition.id, partition.name.clone()));
        let cause = partition.and_then(|partition| partition.election).map(|(told, _)| told.event);
        let count = i64::try_from(loss.count).unwrap_or(i64::MAX);
        let text = format!(
            "{} lost in {}, offsets {} to {}",
            plural(count, "acknowledged record"),
            loss.partition,
            loss.first_offset,
            loss.last_offset
        );
        let (event, at_ms) = (self.facts.next_host_event(), self.moment.at_ms);
        let kind = Shown::RecordsLost;
        self.facts.add(NewFact { event, cause, at_ms, kind, text, broker: None, partition: named, lasts: false });
    }
}

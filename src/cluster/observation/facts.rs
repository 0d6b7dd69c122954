//! The ring of facts: what happened, what caused it, how long it lasted.
//!
//! Invariants: at most [`FACTS_MAX`] facts and [`LINKS_MAX`] links of cause are kept, the oldest go first; like facts of one cause and
//! one moment are one fact with a count, so that the death of a broker with a thousand partitions is a handful of facts; a fact keeps
//! its number for as long as it is kept.
//!
//! Deliberately not here: what the engine's events mean (`narrate`), chains of causes in words (`why`).

use crate::cluster::view::{EventKind, PartitionName, Timeline, TimelineEvent};
use crate::engine::observe::EventId;
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// The most facts that are kept.
pub(super) const FACTS_MAX: usize = 4_096;
/// The most events whose cause is remembered, facts or not.
const LINKS_MAX: usize = 65_536;
/// The most facts in a timeline.
const TIMELINE_MAX: usize = 200;
/// What an entry of what lasts takes in memory, about.
const OPEN_BYTES: usize = 48;
/// Facts within this time may be one, in milliseconds.
const ONE_MOMENT_MS: u64 = 300;

/// Something that happened.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    /// Its number, from 1.
    pub(super) id: u64,
    pub(super) event: EventId,
    pub(super) cause: Option<EventId>,
    pub(super) at_ms: u64,
    pub(super) until_ms: Option<u64>,
    /// How many of what it is about still are so; 0 for what happened at a moment.
    open: u32,
    pub(super) kind: EventKind,
    /// In words, if it is one.
    text: String,
    pub(super) broker: Option<BrokerId>,
    pub(super) partition: Option<PartitionName>,
    /// How many like facts it stands for.
    pub(super) count: u32,
}

/// What is put into the ring.
#[derive(Debug, Clone)]
pub(super) struct NewFact {
    pub(super) event: EventId,
    pub(super) cause: Option<EventId>,
    pub(super) at_ms: u64,
    pub(super) kind: EventKind,
    pub(super) text: String,
    pub(super) broker: Option<BrokerId>,
    pub(super) partition: Option<(PartitionId, PartitionName)>,
    /// It lasts until it is closed.
    pub(super) lasts: bool,
}

impl Fact {
    /// In one line.
    pub(super) fn text(&self) -> String {
        let n = self.count;
        match self.kind {
            _ if n == 1 => self.text.clone(),
            EventKind::LeaderElected => format!("{n} partitions have new leaders"),
            EventKind::LeaderLost => format!("{n} partitions have no leader"),
            EventKind::IsrShrunk => format!("ISR of {n} partitions shrank"),
            EventKind::IsrExpanded => format!("ISR of {n} partitions grew"),
            EventKind::HighWatermarkStalled => format!("{n} high watermarks stand still"),
            EventKind::Truncated => match self.broker {
                Some(broker) => format!("broker {broker} cut {n} logs to their leaders'"),
                None => format!("{n} logs were cut to their leaders'"),
            },
            EventKind::TopicChanged => format!("{} and {} more changes of topics", self.text, n - 1),
            _ => format!("{} ×{n}", self.text),
        }
    }

    /// Whether it still lasted at a moment.
    fn is_ongoing_at(&self, now_ms: u64) -> bool {
        self.open > 0 || self.until_ms.is_some_and(|until| until > now_ms)
    }
}

/// Kinds that happen to many partitions at once.
fn is_grouped(kind: EventKind) -> bool {
    use EventKind::{HighWatermarkStalled, IsrExpanded, IsrShrunk, LeaderElected, LeaderLost, TopicChanged, Truncated};
    matches!(
        kind,
        LeaderElected | LeaderLost | IsrShrunk | IsrExpanded | HighWatermarkStalled | Truncated | TopicChanged
    )
}

/// Where an event leads.
#[derive(Debug, Clone, Copy)]
enum Link {
    /// To a fact.
    Fact(u64),
    /// To its cause only: it is worth no line of its own.
    Cause(Option<EventId>),
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    ring: VecDeque<Fact>,
    last_id: u64,
    links: HashMap<EventId, Link>,
    order: VecDeque<EventId>,
    /// What lasts, by what it is about.
    open: Arc<BTreeMap<(EventKind, PartitionId), u64>>,
    ongoing: Arc<BTreeSet<u64>>,
    last_host_event: u64,
    /// Rises with every change.
    pub(super) revision: u64,
}

impl Facts {
    /// A new name for a fact of the host's.
    pub(super) fn next_host_event(&mut self) -> EventId {
        self.last_host_event += 1;
        EventId { broker: EventId::HOST, seq: self.last_host_event }
    }

    fn link(&mut self, event: EventId, link: Link) {
        if self.links.insert(event, link).is_none() {
            self.order.push_back(event);
        }
        if self.order.len() > LINKS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.links.remove(&oldest);
        }
    }

    /// Remembers the cause of an event that is no fact of its own.
    pub(super) fn pass(&mut self, event: EventId, cause: Option<EventId>) {
        self.link(event, Link::Cause(cause));
    }

    fn index_of(&self, id: u64) -> Option<usize> {
        let first = self.ring.front()?.id;
        usize::try_from(id.checked_sub(first)?).ok().filter(|index| *index < self.ring.len())
    }

    pub(super) fn get(&self, id: u64) -> Option<&Fact> {
        self.ring.get(self.index_of(id)?)
    }

    /// Takes a fact in; the number of the fact it is or belongs to.
    pub(super) fn add(&mut self, new: NewFact) -> u64 {
        self.revision += 1;
        let partition = new.partition.as_ref().map(|(id, _)| *id);
        let id = self.joins(&new).unwrap_or(0);
        let id = match self.index_of(id) {
            Some(index) => {
                let fact = &mut self.ring[index];
                fact.count += 1;
                fact.partition = None;
                fact.open += u32::from(new.lasts);
                fact.id
            }
            None => self.push(&new),
        };
        if new.lasts {
            Arc::make_mut(&mut self.ongoing).insert(id);
            if let Some(partition) = partition {
                Arc::make_mut(&mut self.open).insert((new.kind, partition), id);
            }
        }
        self.link(new.event, Link::Fact(id));
        id
    }

    fn push(&mut self, new: &NewFact) -> u64 {
        self.last_id += 1;
        if self.ring.len() == FACTS_MAX
            && let Some(gone) = self.ring.pop_front()
            && self.ongoing.contains(&gone.id)
        {
            Arc::make_mut(&mut self.ongoing).remove(&gone.id);
            Arc::make_mut(&mut self.open).retain(|_, id| *id != gone.id);
        }
        self.ring.push_back(Fact {
            id: self.last_id,
            event: new.event,
            cause: new.cause,
            at_ms: new.at_ms,
            until_ms: None,
            open: u32::from(new.lasts),
            kind: new.kind,
            text: new.text.clone(),
            broker: new.broker,
            partition: new.partition.as_ref().map(|(_, name)| name.clone()),
            count: 1,
        });
        self.last_id
    }

    /// The fact that a new one is one with.
    fn joins(&self, new: &NewFact) -> Option<u64> {
        if !is_grouped(new.kind) {
            return None;
        }
        let is_one = |fact: &&Fact| {
            fact.kind == new.kind
                && fact.at_ms.abs_diff(new.at_ms) <= ONE_MOMENT_MS
                && fact.cause == new.cause
                && (new.kind != EventKind::Truncated || fact.broker == new.broker)
                && (!new.lasts || fact.open > 0)
        };
        self.ring.iter().rev().take(16).find(is_one).map(|fact| fact.id)
    }

    /// What lasted for a partition is over.
    pub(super) fn close(&mut self, kind: EventKind, partition: PartitionId, at_ms: u64) {
        if self.open.contains_key(&(kind, partition))
            && let Some(id) = Arc::make_mut(&mut self.open).remove(&(kind, partition))
        {
            self.shut(id, at_ms);
        }
    }

    /// What an event began is over.
    pub(super) fn end(&mut self, event: EventId, at_ms: u64) {
        if let Some(Link::Fact(id)) = self.links.get(&event).copied() {
            self.shut(id, at_ms);
        }
    }

    /// Whatever lasts and is told in these words is over.
    pub(super) fn end_of(&mut self, text: &str, at_ms: u64) {
        let of = |id: &u64| self.get(*id).is_some_and(|fact| fact.text == text);
        let ended: Vec<u64> = self.ongoing.iter().copied().filter(of).collect();
        ended.into_iter().for_each(|id| self.shut(id, at_ms));
    }

    fn shut(&mut self, id: u64, at_ms: u64) {
        let Some(index) = self.index_of(id) else { return };
        let fact = &mut self.ring[index];
        if fact.open > 0 {
            self.revision += 1;
            fact.open -= 1;
            if fact.open == 0 {
                fact.until_ms = Some(at_ms.max(fact.at_ms));
                Arc::make_mut(&mut self.ongoing).remove(&id);
            }
        }
    }

    /// The fact behind an event: itself, or the nearest of its causes that is one. `Err`: it is no longer kept.
    pub(super) fn behind(&self, event: EventId) -> Result<Option<&Fact>, ()> {
        let mut event = event;
        // A chain is never longer than the links that are kept; a loop would be a bug elsewhere and must not hang the screen.
        for _ in 0..LINKS_MAX {
            match self.links.get(&event).ok_or(())? {
                Link::Fact(id) => return self.get(*id).map(Some).ok_or(()),
                Link::Cause(None) => return Ok(None),
                Link::Cause(Some(cause)) => event = *cause,
            }
        }
        Err(())
    }

    /// Facts that follow from one, however far, up to a moment: oldest first, each with what it follows from among them.
    pub(super) fn following(&self, from: EventId, until_ms: u64) -> Vec<&Fact> {
        let Ok(Some(first)) = self.behind(from) else { return Vec::new() };
        let (mut known, mut found) = (BTreeSet::from([first.id]), Vec::new());
        let later = self.index_of(first.id).map_or(self.ring.len(), |index| index + 1);
        for fact in self.ring.range(later..).filter(|fact| fact.at_ms <= until_ms) {
            let cause = fact.cause.and_then(|cause| self.behind(cause).ok().flatten());
            if cause.is_some_and(|cause| known.contains(&cause.id)) {
                known.insert(fact.id);
                found.push(fact);
            }
        }
        found
    }

    /// What lasts for a partition.
    pub(super) fn open(&self, kind: EventKind, partition: PartitionId) -> Option<&Fact> {
        self.get(*self.open.get(&(kind, partition))?)
    }

    /// The newest fact about a broker that still lasts.
    pub(super) fn trouble_of(&self, broker: BrokerId) -> Option<&Fact> {
        let facts = self.ongoing.iter().rev().filter_map(|id| self.get(*id));
        facts.into_iter().find(|fact| {
            fact.broker == Some(broker) && !matches!(fact.kind, EventKind::HighWatermarkStalled | EventKind::LeaderLost)
        })
    }

    /// The newest cut of a link that still lasts.
    pub(super) fn newest_cut(&self) -> Option<&Fact> {
        let facts = self.ongoing.iter().rev().filter_map(|id| self.get(*id));
        facts.into_iter().find(|fact| fact.kind == EventKind::LinkCut)
    }

    /// The number of the newest fact; 0 before the first.
    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// What lasts now, without what happened: for a recording, whose pictures share one ring of facts.
    pub(super) fn standing(&self) -> Facts {
        Facts {
            ring: VecDeque::new(),
            links: HashMap::new(),
            order: VecDeque::new(),
            last_id: self.last_id,
            open: Arc::clone(&self.open),
            ongoing: Arc::clone(&self.ongoing),
            last_host_event: self.last_host_event,
            revision: self.revision,
        }
    }

    /// Lends what happened to what lasted at another time, or takes it back.
    pub(super) fn swap_ring(&mut self, other: &mut Facts) {
        std::mem::swap(&mut self.ring, &mut other.ring);
        std::mem::swap(&mut self.links, &mut other.links);
        std::mem::swap(&mut self.order, &mut other.order);
    }

    /// What it takes in memory to know what lasts, beyond what is shared with another.
    pub(super) fn standing_bytes_beyond(&self, other: &Facts) -> usize {
        let open = if Arc::ptr_eq(&self.open, &other.open) { 0 } else { self.open.len() * OPEN_BYTES };
        let ongoing = if Arc::ptr_eq(&self.ongoing, &other.ongoing) { 0 } else { self.ongoing.len() * OPEN_BYTES };
        open + ongoing
    }

    /// What happened in the `window_ms` before a moment, as it was told at that moment.
    pub(super) fn timeline(&self, now_ms: u64, window_ms: u64) -> Timeline {
        let from_ms = now_ms.saturating_sub(window_ms);
        let is_shown = |fact: &&Fact| {
            fact.at_ms <= now_ms
                && (fact.at_ms >= from_ms
                    || fact.is_ongoing_at(now_ms)
                    || fact.until_ms.is_some_and(|until| until >= from_ms))
        };
        let shown: Vec<&Fact> = self.ring.iter().filter(is_shown).collect();
        let dropped = shown.len().saturating_sub(TIMELINE_MAX);
        let event = |fact: &&Fact| TimelineEvent {
            id: fact.id,
            at_ms: fact.at_ms,
            until_ms: fact.until_ms.filter(|until| *until <= now_ms),
            ongoing: fact.is_ongoing_at(now_ms),
            kind: fact.kind,
            text: fact.text(),
            broker: fact.broker,
            partition: fact.partition.clone(),
        };
        let mut events: Vec<TimelineEvent> = shown[dropped..].iter().map(event).collect();
        events.sort_by_key(|event| event.at_ms);
        Timeline {
            end_ms: now_ms,
            window_ms,
            events,
            dropped: u32::try_from(dropped).unwrap_or(u32::MAX),
            stalls: Vec::new(),
            bytes_in: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::TopicId;
    use uuid::Uuid;

    fn partition(number: i32) -> (PartitionId, PartitionName) {
        (PartitionId::new(TopicId(Uuid::from_u128(9)), number), PartitionName::new("orders", number))
    }

    fn new(facts: &mut Facts, at_ms: u64, kind: EventKind, cause: Option<EventId>, number: Option<i32>) -> NewFact {
        NewFact {
            event: facts.next_host_event(),
            cause,
            at_ms,
            kind,
            text: format!("{kind:?} {number:?}"),
            broker: None,
            partition: number.map(partition),
            lasts: kind == EventKind::LeaderLost || kind == EventKind::BrokerDied,
        }
    }

    #[test]
    fn like_facts_of_one_cause_and_moment_are_one_that_ends_with_its_last_part() {
        let mut facts = Facts::default();
        let death = new(&mut facts, 1_000, EventKind::BrokerDied, None, None);
        let cause = Some(death.event);
        facts.add(death);
        for number in 0..50 {
            let lost = new(&mut facts, 1_600, EventKind::LeaderLost, cause, Some(number));
            facts.add(lost);
        }
        let timeline = facts.timeline(2_000, 60_000);
        assert_eq!(timeline.events.len(), 2);
        assert_eq!(timeline.events[1].text, "50 partitions have no leader");
        (0..49).for_each(|number| facts.close(EventKind::LeaderLost, partition(number).0, 3_000));
        assert!(facts.timeline(3_000, 60_000).events[1].ongoing);
        facts.close(EventKind::LeaderLost, partition(49).0, 3_500);
        let lost = facts.timeline(4_000, 60_000).events[1].clone();
        assert_eq!((lost.ongoing, lost.until_ms), (false, Some(3_500)));
    }

    #[test]
    fn facts_of_other_causes_or_moments_stay_apart() {
        let mut facts = Facts::default();
        for (at_ms, number) in [(1_000, 0), (1_400, 1)] {
            let lost = new(&mut facts, at_ms, EventKind::LeaderLost, None, Some(number));
            facts.add(lost);
        }
        let other = facts.next_host_event();
        let lost = new(&mut facts, 1_400, EventKind::LeaderLost, Some(other), Some(2));
        facts.add(lost);
        assert_eq!(facts.timeline(2_000, 60_000).events.len(), 3);
    }

    #[test]
    fn the_ring_is_bounded_and_forgets_the_oldest_with_its_causes() {
        let mut facts = Facts::default();
        let first = new(&mut facts, 0, EventKind::BrokerDied, None, None);
        let first_event = first.event;
        facts.add(first);
        for at_ms in 0..(FACTS_MAX as u64) {
            let mark = new(&mut facts, at_ms, EventKind::Mark, Some(first_event), None);
            facts.add(mark);
        }
        assert_eq!(facts.ring.len(), FACTS_MAX);
        assert!(facts.behind(first_event).is_err(), "the first fact is gone, and says so");
        let timeline = facts.timeline(10_000, 60_000);
        assert_eq!(timeline.events.len() + timeline.dropped as usize, FACTS_MAX);
        assert!(facts.ongoing.is_empty());
    }

    #[test]
    fn a_chain_passes_through_what_is_no_fact() {
        let mut facts = Facts::default();
        let death = new(&mut facts, 1_000, EventKind::BrokerDied, None, None);
        let cause = death.event;
        facts.add(death);
        let (middle, last) = (facts.next_host_event(), facts.next_host_event());
        facts.pass(middle, Some(cause));
        facts.pass(last, Some(middle));
        assert_eq!(facts.behind(last).expect("it is kept").expect("it is a fact").kind, EventKind::BrokerDied);
        let alone = facts.next_host_event();
        facts.pass(alone, None);
        assert!(facts.behind(alone).expect("it is kept").is_none());
    }
}

//! Why something is so: the chain of causes behind a partition's, a broker's or the headline's state.
//!
//! Invariants: every step that has happened is a fact on the chain of cause ids, never a guess; what is expected says so and names the
//! setting it follows from; a chain whose beginning is no longer kept says so.
//!
//! Deliberately not here: facts themselves.

use super::Observer;
use super::facts::Fact;
use super::partition::{Life, Partition, life};
use crate::cluster::command::values::duration_text;
use crate::cluster::view::{BrokerState, EventKind, GroupState, PartitionSeverity, Why, WhyAbout, WhyStep};
use crate::engine::observe::EventId;
use crate::protocol::ids::BrokerId;
use std::time::Duration;

/// The longest chain that is told.
const STEPS_MAX: usize = 12;

/// `12,866`.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("−{text}") } else { text }
}

fn milliseconds(duration: u64) -> String {
    duration_text(Duration::from_millis(duration))
}

impl Observer {
    /// The causes of something; `None` if there is nothing to ask.
    pub(super) fn why(&self, about: &WhyAbout) -> Option<Why> {
        let mut why = match about {
            WhyAbout::Headline => self.why_headline()?,
            WhyAbout::Partition(name) => self.why_partition(self.partitions.by_name(&name.topic, name.partition)?),
            WhyAbout::Broker(broker) => self.why_broker(*broker)?,
            WhyAbout::Group(name) => self.why_group(name)?,
            WhyAbout::Quorum => self.why_quorum(),
        };
        why.about = about.clone();
        Some(why)
    }

    /// The steps that lead to an event, the first cause first; whether the beginning is no longer kept.
    fn chain(&self, from: Option<EventId>) -> (Vec<WhyStep>, bool) {
        let (mut steps, mut next) = (Vec::new(), from);
        let mut last_id = u64::MAX;
        while let Some(event) = next {
            match self.facts.behind(event) {
                Err(()) => return (reversed(steps), true),
                Ok(None) => break,
                Ok(Some(fact)) => {
                    // A cause is older than its effect; anything else would go round in circles.
                    if fact.id >= last_id || steps.len() == STEPS_MAX {
                        return (reversed(steps), steps_are_cut(fact.id >= last_id));
                    }
                    last_id = fact.id;
                    steps.push(self.step(fact));
                    next = fact.cause;
                }
            }
        }
        (reversed(steps), false)
    }

    fn step(&self, fact: &Fact) -> WhyStep {
        let text = match (fact.kind, fact.broker) {
            (EventKind::Fenced, Some(broker)) => {
                let after = milliseconds(self.setup.cluster.broker_session_timeout_ms);
                format!("No heartbeat of {broker} reached the controller for {after}: it was fenced.")
            }
            (EventKind::BrokerDied, Some(broker)) if fact.text().starts_with("kill") => {
                format!("Broker {broker} was killed (kill −9).")
            }
            _ => {
                let text = fact.text();
                let mut letters = text.chars();
                // Names of topics and groups keep their case.
                let is_named = matches!(fact.kind, EventKind::GroupRebalances | EventKind::GroupStable);
                let first = letters.next().filter(|_| fact.partition.is_none() && !is_named);
                match first {
                    Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
                    None => format!("{text}."),
                }
            }
        };
        WhyStep { at_ms: fact.at_ms, kind: fact.kind, text, expected: false }
    }

    pub(super) fn answer(&self, question: String, from: Option<EventId>, expected: Option<WhyStep>) -> Why {
        let (mut steps, truncated) = self.chain(from);
        steps.extend(expected);
        Why { about: WhyAbout::Headline, question, steps, truncated }
    }

    fn why_partition(&self, partition: &Partition) -> Why {
        let name = &partition.name;
        let severity = partition.counted.severity;
        match severity {
            PartitionSeverity::NoLeader => {
                let question = format!("Why does {name} have no leader?");
                match partition.state.leader {
                    // The controller does not know yet that its leader is gone.
                    Some(leader) => {
                        let fact = self.brokers.get(&leader).and_then(|broker| broker.fact);
                        self.answer(question, fact, self.expected_fence(leader))
                    }
                    None => {
                        let election = partition.election.map(|(told, _)| told.event);
                        self.answer(question, election, self.expected_return(partition))
                    }
                }
            }
            PartitionSeverity::Stalled => {
                let at = partition.high_watermark.map_or_else(|| "–".to_owned(), grouped);
                let question = format!("Why does {name}'s high watermark stand at {at}?");
                let stall = self.facts.open(EventKind::HighWatermarkStalled, partition.id).map(|fact| fact.event);
                self.answer(question, stall, self.expected_shrink(partition))
            }
            PartitionSeverity::MissingCopy => {
                let missing = partition.waits_for(severity, &self.lives);
                let question = match missing {
                    Some(broker) => format!("Why is {broker} not in sync in {name}?"),
                    None => format!("Why does {name} miss a copy?"),
                };
                let fact = missing.and_then(|broker| self.brokers.get(&broker)).and_then(|broker| broker.fact);
                let expected = missing.and_then(|broker| self.expected_rejoin(partition, broker));
                self.answer(question, partition.isr_change.map(|told| told.event).or(fact), expected)
            }
            PartitionSeverity::Healthy => {
                let leader = partition.counted.leader.map_or_else(|| "–".to_owned(), |leader| leader.to_string());
                let question = format!("Why does {leader} lead {name}?");
                let election = partition.election.map(|(told, _)| told.event);
                let mut why = self.answer(question, election, None);
                if why.steps.is_empty() && !why.truncated {
                    why.steps.push(WhyStep {
                        at_ms: partition.leader_since_ms,
                        kind: EventKind::LeaderElected,
                        text: "It has led since the partition was first seen.".to_owned(),
                        expected: false,
                    });
                }
                why
            }
        }
    }

    fn why_group(&self, name: &str) -> Option<Why> {
        let story = self.groups.story(name, &self.ends())?;
        let (question, from) = match story.state {
            GroupState::NoCoordinator => {
                let broker = self.brokers.get(&story.coordinator);
                let from = broker.and_then(|broker| broker.fencing.or(broker.fact));
                (format!("Why has {name} no coordinator?"), from)
            }
            GroupState::Stable | GroupState::Empty => (format!("Why did {name} rebalance last?"), story.rebalancing),
            _ => (format!("Why does {name} rebalance?"), story.rebalancing),
        };
        let mut why = self.answer(question, from, None);
        if why.steps.is_empty() && !why.truncated {
            why.steps.push(WhyStep {
                at_ms: story.since_ms,
                kind: EventKind::GroupStable,
                text: "It has been so since it was first seen.".to_owned(),
                expected: false,
            });
        }
        Some(why)
    }

    fn why_broker(&self, id: BrokerId) -> Option<Why> {
        let broker = self.brokers.get(&id)?;
        let (question, from) = match &broker.state {
            BrokerState::Fenced => (format!("Why is broker {id} fenced?"), broker.fencing),
            BrokerState::Starting => (format!("Why is broker {id} not up yet?"), broker.fact),
            BrokerState::Suspended => (format!("Why is broker {id} silent?"), broker.fact),
            BrokerState::Running | BrokerState::Stopping => (format!("What is wrong with broker {id}?"), None),
            _ => (format!("Why is broker {id} down?"), broker.fencing.or(broker.fact)),
        };
        let from = from.or_else(|| self.facts.trouble_of(id).map(|fact| fact.event));
        let mut why = self.answer(question, from, None);
        if let Some(fact) = broker.fact.filter(|_| broker.state.is_dead() || broker.state == BrokerState::Suspended) {
            self.tell_effects(&mut why, fact);
        }
        why.steps.extend(self.expected_fence(id));
        if why.steps.is_empty() && !why.truncated {
            why.steps.push(WhyStep {
                at_ms: broker.since_ms,
                kind: EventKind::BrokerUp,
                text: "Nothing: it has been up since then, and no fault acts on it.".to_owned(),
                expected: false,
            });
        }
        Some(why)
    }

    /// The same order as the headline's: the worst thing wins.
    fn why_headline(&self) -> Option<Why> {
        let situation = self.situation();
        if let Some(lost) = &situation.lost {
            let partition = self.partitions.by_name(&lost.name.topic, lost.name.partition)?;
            let question = format!("Why are {} acknowledged records lost?", lost.count);
            let rule = WhyStep {
                at_ms: self.moment.at_ms,
                kind: EventKind::RecordsLost,
                text: format!("The rule that allows it: {}.", lost.rule),
                expected: false,
            };
            return Some(self.answer(question, partition.election.map(|(told, _)| told.event), Some(rule)));
        }
        if situation.contest.is_some() {
            return Some(self.why_quorum());
        }
        if let Some(death) = situation.last_death.filter(|death| death.back_at_ms.is_none()) {
            return self.why_broker(death.broker);
        }
        let worst = situation.worst.first()?;
        Some(self.why_partition(self.partitions.by_name(&worst.name.topic, worst.name.partition)?))
    }

    /// What came of it, after what led to it: who noticed, who leads now, who is out of sync.
    fn tell_effects(&self, why: &mut Why, event: EventId) {
        use EventKind::{
            ControllerElected, ControllerLost, Fenced, HighWatermarkStalled, IsrShrunk, LeaderElected, LeaderLost,
        };
        let is_told = |kind| {
            matches!(
                kind,
                ControllerElected
                    | ControllerLost
                    | Fenced
                    | HighWatermarkStalled
                    | IsrShrunk
                    | LeaderElected
                    | LeaderLost
            )
        };
        let following = self.facts.following(event, self.moment.at_ms);
        for fact in following.into_iter().filter(|fact| is_told(fact.kind)) {
            let step = self.step(fact);
            if why.steps.len() < STEPS_MAX && !why.steps.contains(&step) {
                why.steps.push(step);
            }
        }
        why.steps.sort_by_key(|step| step.at_ms);
    }

    /// What a copy that is missing waits for.
    fn expected_rejoin(&self, partition: &Partition, missing: BrokerId) -> Option<WhyStep> {
        let text = match life(&self.lives, missing) {
            Life::Up { .. } => {
                let (behind, _) = partition.behind(missing);
                let records = if behind == 1 { "1 record".to_owned() } else { format!("{behind} records") };
                format!("{missing} copies what it misses, {records} now, and joins the ISR when it has caught up.")
            }
            Life::Starting => format!("{missing} starts: it copies what it misses, then it joins the ISR."),
            Life::Suspended => format!("{missing} joins the ISR when it is resumed and has copied what it missed."),
            Life::Dead => format!("{missing} joins the ISR when it is started and has copied what it missed."),
        };
        Some(WhyStep { at_ms: self.moment.at_ms, kind: EventKind::IsrExpanded, text, expected: true })
    }

    fn expected_fence(&self, broker: BrokerId) -> Option<WhyStep> {
        let timeout_ms = self.setup.cluster.broker_session_timeout_ms;
        let at_ms = self.brokers.get(&broker)?.fence_at_ms(timeout_ms, self.controller.is_some())?;
        let after = milliseconds(timeout_ms);
        let text = format!(
            "If nothing changes, the controller fences {broker} (broker.session.timeout.ms = {after}) and elects new leaders."
        );
        Some(WhyStep { at_ms, kind: EventKind::Fenced, text, expected: true })
    }

    fn expected_shrink(&self, partition: &Partition) -> Option<WhyStep> {
        let slowest = partition.waits_for(PartitionSeverity::Stalled, &self.lives)?;
        if !partition.state.isr.contains(&slowest) {
            let text = format!(
                "It moves when {slowest} is back in sync: {} of min.insync.replicas = {} are.",
                partition.state.isr.len(),
                partition.min_isr
            );
            return Some(WhyStep { at_ms: self.moment.at_ms, kind: EventKind::IsrExpanded, text, expected: true });
        }
        let lag_ms = self.setup.cluster.replica_lag_time_max_ms;
        let text = format!(
            "If nothing changes, {slowest} leaves the ISR (replica.lag.time.max.ms = {}) and the high watermark moves on.",
            milliseconds(lag_ms)
        );
        let at_ms = partition.stalled_since_ms? + lag_ms;
        Some(WhyStep { at_ms, kind: EventKind::IsrShrunk, text, expected: true })
    }

    fn expected_return(&self, partition: &Partition) -> Option<WhyStep> {
        let last = partition.last_complete()?;
        let is_down = !matches!(life(&self.lives, last), Life::Up { .. });
        let text = format!("Only {last} has every acknowledged record: when it is back it leads.");
        is_down.then_some(WhyStep { at_ms: self.moment.at_ms, kind: EventKind::LeaderElected, text, expected: true })
    }
}

fn reversed(mut steps: Vec<WhyStep>) -> Vec<WhyStep> {
    steps.reverse();
    steps
}

/// A chain that is too long is cut; one that would go round in circles simply ends.
fn steps_are_cut(is_circle: bool) -> bool {
    !is_circle
}

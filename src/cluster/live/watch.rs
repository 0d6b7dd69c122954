//! The cluster's observer and how a live host feeds it.
//!
//! Invariants: facts reach the observer in the order of the history, each once; host facts get their ids from it, so
//! that what brokers carry on as a cause is what it knows.
//!
//! Deliberately not here: what is made of it all (`observation`).

use crate::cluster::live::clock::LiveClock;
use crate::cluster::live::history::{Ended, FactKind, FaultSort, History, HostFact};
use crate::cluster::live::status::Phase;
use crate::cluster::live::supervisor::Supervisor;
use crate::cluster::observation::recorder::Recorder;
use crate::cluster::observation::{DiskUse, Moment, Note, Observer, found};
use crate::cluster::options::Durability;
use crate::cluster::view::{BrokerState, ClockMode, ClusterView, EventKind, ViewRequest};
use crate::engine::observe::Event;
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::EventId;
use std::collections::BTreeMap;

/// The observer, and how far it has been fed.
pub struct Watch {
    /// What is made of it all.
    pub observer: Observer,
    /// What it was, while somebody looks.
    recorder: Option<Recorder>,
    fed: u64,
    /// Faults that last, by the broker they act on and their words.
    lasting: BTreeMap<String, EventId>,
}

impl Watch {
    /// Nothing was told yet.
    pub fn new(observer: Observer) -> Watch {
        Watch { observer, recorder: None, fed: 0, lasting: BTreeMap::new() }
    }

    /// Records from now on what the observer is at each moment.
    pub fn begin_recording(&mut self) {
        self.recorder.get_or_insert_default();
    }

    /// The present, or the moment of the recording that is wanted.
    pub fn view(&mut self, want: &ViewRequest) -> ClusterView {
        let Watch { observer, recorder, .. } = self;
        let past = match (recorder.as_mut(), want.at_ms) {
            (Some(recorder), Some(at_ms)) => recorder.recall(observer, want, at_ms),
            _ => None,
        };
        past.unwrap_or_else(|| {
            let recorded = recorder.as_mut().and_then(Recorder::until_now);
            ClusterView { recorded, ..observer.view(want) }
        })
    }

    /// Tells the moment and every fact of a broker that was not told yet.
    pub fn catch_up(&mut self, clock: &LiveClock, history: &History) {
        let mode = if clock.is_paused() {
            ClockMode::Paused { stale_ms: None }
        } else {
            ClockMode::Live { speed_permille: clock.speed_permille() }
        };
        let moment = Moment { at_ms: clock.now().as_millis(), wall_ms: clock.wall(0).0, clock: mode };
        self.observer.set_moment(moment);
        let (facts, has_gap) = history.after(self.fed);
        if has_gap {
            self.observer.gap();
        }
        for fact in facts {
            self.fed = fact.number;
            if let FactKind::Broker(kind) = fact.kind {
                self.observer.event(&Event { id: fact.id, cause: fact.cause, at: fact.at, kind });
            }
        }
    }

    /// Takes a fact of the host in; returns its id.
    pub fn hear(&mut self, fact: &HostFact, cause: Option<EventId>) -> EventId {
        let mut state = |broker: BrokerId, state: BrokerState| self.observer.broker_is(broker, state, cause);
        match fact {
            HostFact::BrokerStarting { broker } => state(*broker, BrokerState::Starting),
            HostFact::BrokerRunning { broker } | HostFact::Resumed { broker } => state(*broker, BrokerState::Running),
            HostFact::BrokerStopping { broker } => state(*broker, BrokerState::Stopping),
            HostFact::Suspended { broker } => state(*broker, BrokerState::Suspended),
            HostFact::BrokerEnded { broker, how } => state(*broker, ended(how)),
            HostFact::Wiped { broker } => {
                self.note(EventKind::DiskFault, format!("broker {broker}'s disk replaced"), Some(*broker), cause, false)
            }
            HostFact::FaultBegan { sort, text, broker } => {
                let id = self.note(shown(*sort), text.clone(), *broker, cause, true);
                self.lasting.insert(text.clone(), id);
                id
            }
            HostFact::FaultEnded { text, broker } => {
                // Which faults are over is seen from those that still act.
                self.note(EventKind::Healed, text.clone(), *broker, cause, false)
            }
            HostFact::MachineStalled { by } => {
                let text = format!("machine stalled {:.1} s", by.as_secs_f64());
                self.observer.set_notice(Some(text.clone()));
                self.note(EventKind::Clock, text, None, cause, false)
            }
            HostFact::Paused { is_paused } => {
                let text = if *is_paused { "time stands still" } else { "time goes on" };
                self.note(EventKind::Clock, text.to_owned(), None, cause, false)
            }
            HostFact::Speed { permille } => {
                let text = format!("speed {}", f64::from(*permille) / 1_000.0);
                self.note(EventKind::Clock, text, None, cause, false)
            }
            HostFact::ClientRefused { peer, reason } => {
                self.note(EventKind::Mark, format!("client {peer} refused: {reason}"), None, cause, false)
            }
        }
    }

    fn note(
        &mut self,
        kind: EventKind,
        text: String,
        broker: Option<BrokerId>,
        cause: Option<EventId>,
        lasts: bool,
    ) -> EventId {
        self.observer.note(Note { kind, text, broker, cause, lasts })
    }

    /// No fault acts any more but those that are told from now on.
    pub fn all_healed(&mut self) {
        for id in std::mem::take(&mut self.lasting).into_values() {
            self.observer.end(id);
        }
    }

    /// Faults whose words begin so are over.
    pub fn healed(&mut self, is_over: impl Fn(&str) -> bool) {
        let over: Vec<String> = self.lasting.keys().filter(|text| is_over(text)).cloned().collect();
        for text in over {
            if let Some(id) = self.lasting.remove(&text) {
                self.observer.end(id);
            }
        }
    }
}

fn ended(how: &Ended) -> BrokerState {
    match how {
        Ended::Stopped => BrokerState::Stopped,
        Ended::Killed => BrokerState::Killed,
        Ended::PowerLost => BrokerState::PowerLost,
        Ended::Crashed { message } => BrokerState::Crashed { message: message.clone() },
    }
}

fn shown(sort: FaultSort) -> EventKind {
    match sort {
        FaultSort::LinkCut => EventKind::LinkCut,
        FaultSort::LinkSlow => EventKind::LinkSlow,
        FaultSort::LinkLossy => EventKind::LinkLossy,
        FaultSort::DiskSlow => EventKind::DiskSlow,
        FaultSort::DiskFault => EventKind::DiskFault,
        FaultSort::Clock => EventKind::Clock,
    }
}

impl Supervisor {
    /// Asks every broker how it is and tells the observer. Takes as long as the slowest broker's step, 200 ms at most.
    pub(super) fn refresh(&self) {
        // One at a time; who comes second finds everything fresh soon enough.
        let _round = self.round.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ids: Vec<BrokerId> = self.slots().keys().copied().collect();
        let scopes = {
            let mut watch = self.host.watch();
            ids.into_iter().map(|id| (id, watch.observer.next_scope(id))).collect()
        };
        let snapshots = self.snapshots(&scopes);
        let mut dead = Vec::new();
        let mut disks = Vec::new();
        for (id, slot) in self.slots().iter() {
            if matches!(slot.status.phase(), Phase::Ended(_)) && !slot.logs.is_empty() {
                dead.push((*id, slot.logs.clone()));
            }
            disks.extend(slot.status.store().map(|store| (*id, store.bytes())));
        }
        let faults = self.shown_faults();
        let passed = self.host.passed();
        let links = self.host.with_links(|links| found::reports(links, &passed));
        let report = self.workload.ledger();
        let count = u64::from(self.options.brokers.max(1));
        let limit = self.options.memory_limit.filter(|_| self.options.durability == Durability::Memory);
        let mut watch = self.host.watch();
        watch.catch_up(&self.host.clock, &self.host.history);
        let observer = &mut watch.observer;
        for snapshot in &snapshots {
            observer.snapshot(snapshot);
        }
        for (id, logs) in &dead {
            observer.store_of_dead(*id, logs);
        }
        for (id, bytes) in disks {
            observer.set_disk(id, DiskUse { bytes, limit: limit.map(|limit| limit.0 / count) });
        }
        observer.set_faults(faults);
        observer.set_links(links);
        let deleted = observer.take_deleted_topics();
        if deleted.is_empty() {
            observer.set_ledger(report);
        }
        if let Watch { observer, recorder: Some(recorder), .. } = &mut *watch {
            recorder.record(observer);
        }
        drop(watch);
        deleted.iter().for_each(|topic| self.workload.topic_deleted(topic));
    }
}

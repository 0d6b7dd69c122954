//! What is known of one broker: what its host did to it, what it said of itself last, and what it looks like from both.
//!
//! Invariants: the host alone knows whether a process lives; the cluster's metadata alone knows whether it is fenced; a broker that
//! does not answer has no rate.
//!
//! Deliberately not here: its replicas (`partitions`).

use super::meter::{Rate, Samples};
use super::partition::Life;
use super::partitions::Share;
use crate::cluster::view::{BrokerCard, BrokerState, Death, FaultChip, NextWake, QuorumRole};
use crate::engine::controller::image::MetadataImage;
use crate::engine::observe::{BrokerSnapshot, EventId, QuorumSnapshot};
use crate::protocol::ids::BrokerId;
use std::sync::Arc;

/// A sample of a broker's rates stands for so long, in milliseconds.
const HISTORY_EVERY_MS: u64 = 1_000;
/// So many samples are kept.
const HISTORY_LENGTH: usize = 128;

/// What a record of the metadata takes in memory, about.
const RECORD_BYTES: usize = 256;

/// What a store takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Bytes on disk, or in memory.
    pub bytes: u64,
    /// Bytes it may take; `None` without a limit.
    pub limit: Option<u64>,
}

/// A broker's loss and what it led to so far.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub(super) at_ms: u64,
    pub(super) state: BrokerState,
    pub(super) elected: u32,
    pub(super) last_election_ms: u64,
    pub(super) back_at_ms: Option<u64>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Broker {
    pub(super) id: BrokerId,
    pub(super) port: u16,
    /// What the host says.
    pub(super) host_state: BrokerState,
    /// What it looks like, and since when.
    pub(super) state: BrokerState,
    pub(super) since_ms: u64,
    /// What brought it there.
    pub(super) fact: Option<EventId>,
    was_unfenced: bool,
    pub(super) fenced_at_ms: Option<u64>,
    pub(super) fencing: Option<EventId>,
    pub(super) loss: Option<Loss>,
    /// It came back and has not caught up yet.
    pub(super) is_back: bool,
    /// Records it cut since it came back.
    pub(super) cut: u64,
    pub(super) quorum: Option<Arc<QuorumSnapshot>>,
    broker_epoch: Option<i64>,
    next_wake: Option<NextWake>,
    bytes_in: Rate,
    bytes_out: Rate,
    in_history: Samples<u64>,
    out_history: Samples<u64>,
    pub(super) disk: Option<DiskUse>,
    log_bytes: u64,
    pub(super) chips: Vec<FaultChip>,
    /// The time of its last snapshot, in milliseconds.
    pub(super) seen_at_ms: u64,
}

impl Broker {
    pub(super) fn new(id: BrokerId, port: u16, at_ms: u64) -> Broker {
        Broker {
            id,
            port,
            host_state: BrokerState::Starting,
            state: BrokerState::Starting,
            since_ms: at_ms,
            fact: None,
            was_unfenced: false,
            fenced_at_ms: None,
            fencing: None,
            loss: None,
            is_back: false,
            cut: 0,
            quorum: None,
            broker_epoch: None,
            next_wake: None,
            bytes_in: Rate::default(),
            bytes_out: Rate::default(),
            in_history: Samples::new(HISTORY_EVERY_MS, HISTORY_LENGTH),
            out_history: Samples::new(HISTORY_EVERY_MS, HISTORY_LENGTH),
            disk: None,
            log_bytes: 0,
            chips: Vec::new(),
            seen_at_ms: at_ms,
        }
    }

    /// The host did something to its process, or it ended by itself.
    pub(super) fn turn(&mut self, at_ms: u64, state: BrokerState, fact: Option<EventId>) {
        let is_loss = state.is_dead() || matches!(state, BrokerState::Suspended | BrokerState::Stopping);
        let was_down = self.host_state.is_dead() || self.host_state == BrokerState::Suspended;
        match &mut self.loss {
            // A stop that ends, or a broker that is killed while it is frozen: one loss.
            Some(loss) if is_loss && loss.back_at_ms.is_none() => loss.state = state.clone(),
            _ if is_loss && !was_down => {
                let last_election_ms = at_ms;
                self.loss = Some(Loss { at_ms, state: state.clone(), elected: 0, last_election_ms, back_at_ms: None });
                self.cut = 0;
                self.is_back = false;
            }
            _ => {}
        }
        if state == BrokerState::Starting {
            (self.broker_epoch, self.was_unfenced, self.quorum) = (None, false, None);
        }
        if !matches!(state, BrokerState::Running | BrokerState::Stopping) {
            self.next_wake = None;
        }
        self.host_state = state;
        self.fact = fact.or(self.fact);
    }

    /// Takes over what it says of itself.
    pub(super) fn hear(&mut self, snapshot: &BrokerSnapshot) {
        let at_ms = snapshot.at.as_millis();
        self.seen_at_ms = at_ms;
        self.broker_epoch = snapshot.broker_epoch;
        if self.quorum.as_deref() != Some(&snapshot.quorum) {
            self.quorum = Some(Arc::new(snapshot.quorum.clone()));
        }
        self.next_wake =
            snapshot.next_wake.map(|wake| NextWake { at_ms: wake.at.as_millis(), why: wake.why.to_owned() });
        self.bytes_in.read(at_ms, snapshot.bytes_in);
        self.bytes_out.read(at_ms, snapshot.bytes_out);
    }

    /// What all its logs take, where the host says nothing of the store.
    pub(super) fn hear_of_logs(&mut self, bytes: u64) {
        self.log_bytes = bytes;
    }

    /// Brings its state up to date with the metadata. True if it changed.
    pub(super) fn settle(&mut self, at_ms: u64, image: &MetadataImage) -> bool {
        let registered = image.brokers.get(&self.id).filter(|known| self.broker_epoch == Some(known.broker_epoch));
        let state = match (&self.host_state, registered) {
            (BrokerState::Running, Some(known)) if !known.fenced => {
                self.was_unfenced = true;
                BrokerState::Running
            }
            (BrokerState::Running, _) if self.was_unfenced => BrokerState::Fenced,
            (BrokerState::Running, _) => BrokerState::Starting,
            (state, _) => state.clone(),
        };
        if image.brokers.get(&self.id).is_some_and(|known| !known.fenced) {
            (self.fenced_at_ms, self.fencing) = (None, None);
        } else if state == BrokerState::Fenced && self.fenced_at_ms.is_none() {
            self.fenced_at_ms = Some(at_ms);
        }
        if state == self.state {
            return false;
        }
        if state == BrokerState::Running
            && let Some(loss) = self.loss.as_mut().filter(|loss| loss.back_at_ms.is_none())
        {
            loss.back_at_ms = Some(at_ms);
            self.is_back = true;
        }
        (self.state, self.since_ms) = (state, at_ms);
        true
    }

    /// Notes that a partition it led has a new leader elsewhere.
    pub(super) fn deposed(&mut self, at_ms: u64) {
        if let Some(loss) = self.loss.as_mut().filter(|loss| loss.back_at_ms.is_none()) {
            loss.elected += 1;
            loss.last_election_ms = loss.last_election_ms.max(at_ms);
        }
    }

    pub(super) fn life(&self) -> Life {
        match &self.state {
            BrokerState::Running | BrokerState::Fenced | BrokerState::Stopping => Life::Up { is_back: self.is_back },
            BrokerState::Starting => Life::Starting,
            BrokerState::Suspended => Life::Suspended,
            _ => Life::Dead,
        }
    }

    /// What it takes in memory beyond what it shares with what it was before, the words of its quorum's records about.
    pub(super) fn bytes_beyond(&self, before: Option<&Broker>) -> usize {
        let is_shared = |quorum: &&Arc<QuorumSnapshot>| {
            before.and_then(|before| before.quorum.as_ref()).is_some_and(|before| Arc::ptr_eq(before, quorum))
        };
        let quorum = self.quorum.as_ref().filter(|quorum| !is_shared(quorum)).map_or(0, |quorum| {
            let lists =
                quorum.epochs.capacity() * 16 + (quorum.voters.capacity() + quorum.votes_granted.capacity()) * 4;
            size_of::<QuorumSnapshot>() + lists + quorum.recent.capacity() * RECORD_BYTES
        });
        let histories = match before {
            Some(before) => {
                self.in_history.bytes_beyond(&before.in_history) + self.out_history.bytes_beyond(&before.out_history)
            }
            None => self.in_history.bytes() + self.out_history.bytes(),
        };
        size_of::<Broker>() + histories + quorum + self.chips.len() * 64
    }

    /// Bytes a second in and out.
    pub(super) fn rates(&self) -> (u64, u64) {
        if self.state.answers() { (self.bytes_in.per_second(), self.bytes_out.per_second()) } else { (0, 0) }
    }

    /// Takes a sample for its sparks.
    pub(super) fn sample(&mut self, at_ms: u64) {
        let (bytes_in, bytes_out) = self.rates();
        self.in_history.push(at_ms, bytes_in);
        self.out_history.push(at_ms, bytes_out);
    }

    /// When the controller will fence it if nothing changes.
    pub(super) fn fence_at_ms(&self, session_timeout_ms: u64, has_controller: bool) -> Option<u64> {
        let loss = self.loss.as_ref().filter(|loss| loss.back_at_ms.is_none())?;
        let is_silent = !matches!(loss.state, BrokerState::Stopped | BrokerState::Stopping);
        (is_silent && has_controller && self.fenced_at_ms.is_none()).then(|| loss.at_ms + session_timeout_ms)
    }

    pub(super) fn death(&self, session_timeout_ms: u64, has_controller: bool) -> Option<Death> {
        let loss = self.loss.as_ref()?;
        Some(Death {
            broker: self.id,
            at_ms: loss.at_ms,
            state: loss.state.clone(),
            elected: loss.elected,
            took_ms: loss.last_election_ms - loss.at_ms,
            fence_at_ms: self.fence_at_ms(session_timeout_ms, has_controller),
            back_at_ms: loss.back_at_ms,
        })
    }

    /// What brought it where it is, in a few words.
    fn cause(&self) -> String {
        match &self.state {
            BrokerState::Killed => "kill −9".to_owned(),
            BrokerState::PowerLost => "power loss".to_owned(),
            BrokerState::Stopped => "you stopped it".to_owned(),
            BrokerState::Stopping => "hands its leaders over".to_owned(),
            BrokerState::Suspended => "you suspended it".to_owned(),
            BrokerState::Crashed { message } => message.clone(),
            BrokerState::Fenced => "no heartbeat reached the controller".to_owned(),
            BrokerState::Starting if self.host_state == BrokerState::Running => "registers".to_owned(),
            BrokerState::Starting => "reads its log".to_owned(),
            BrokerState::Running => String::new(),
        }
    }

    pub(super) fn card(
        &self,
        share: Share,
        quorum: QuorumRole,
        fence_at_ms: Option<u64>,
        samples: usize,
    ) -> BrokerCard {
        let (bytes_in_per_s, bytes_out_per_s) = self.rates();
        let disk = self.disk.unwrap_or(DiskUse { bytes: self.log_bytes, limit: None });
        let permille = |limit: u64| u16::try_from(disk.bytes.saturating_mul(1_000) / limit.max(1)).unwrap_or(u16::MAX);
        BrokerCard {
            id: self.id,
            port: self.port,
            state: self.state.clone(),
            since_ms: self.since_ms,
            cause: self.cause(),
            fenced_at_ms: self.fenced_at_ms.or(fence_at_ms),
            quorum,
            leaders: share.leaders,
            replicas: share.replicas,
            bytes_in_per_s,
            bytes_out_per_s,
            in_history: self.in_history.newest(samples),
            out_history: self.out_history.newest(samples),
            disk_bytes: disk.bytes,
            disk_used_permille: disk.limit.map(permille).map(|permille| permille.min(1_000)),
            faults: self.chips.clone(),
            next_wake: self.next_wake.clone(),
        }
    }
}

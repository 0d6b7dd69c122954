//! The life of brokers as the controller sees it: registration, heartbeats, fencing, controlled shutdown, removal
//! (`ClusterControlManager`, `BrokerHeartbeatManager`).
//!
//! Invariants: a broker's epoch is the offset of its registration's record, so that a later registration has a higher
//! one; a fenced broker is unfenced only after it has applied its own registration; a broker whose last stop was not
//! clean is in no ISR and no ELR when it is registered again (KIP-966).
//!
//! Sessions are not in the log: a new controller gives every unfenced broker a whole session to show itself.

use crate::engine::controller::draft::Draft;
use crate::engine::controller::image::{BrokerImage, MetadataImage};
use crate::engine::controller::leaders;
use crate::engine::controller::record::MetadataRecord;
use crate::engine::mutant::Mutant;
use crate::engine::observe::EventKind;
use crate::engine::time::Instant;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, RegisterBrokerRequest, RegisterBrokerResponse,
};
use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// What the controller has heard of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Session {
    expires_at: Instant,
    is_fenced: bool,
    metadata_offset: i64,
    /// While it stops: others must have applied the log up to here before it may go.
    shutdown_offset: Option<i64>,
}

/// What the controller has heard of the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sessions {
    timeout_ms: u64,
    by_broker: BTreeMap<BrokerId, Session>,
}

impl Sessions {
    /// A session for every registered broker, from now on.
    pub fn of_all(image: &MetadataImage, now: Instant, timeout_ms: u64) -> Sessions {
        let mut sessions = Sessions { timeout_ms, by_broker: BTreeMap::new() };
        for (broker, registration) in &image.brokers {
            sessions.touch(*broker, now, -1).is_fenced = registration.fenced;
        }
        sessions
    }

    /// When the first unfenced broker's session runs out.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.by_broker.values().filter(|session| !session.is_fenced).map(|session| session.expires_at).min()
    }

    /// What the log says of the broker now.
    pub fn note_fencing(&mut self, broker: BrokerId, is_fenced: bool) {
        if let Some(session) = self.by_broker.get_mut(&broker) {
            session.is_fenced = is_fenced;
        }
    }

    fn touch(&mut self, broker: BrokerId, now: Instant, metadata_offset: i64) -> &mut Session {
        let expires_at = now.plus_millis(self.timeout_ms);
        let fresh = Session { expires_at, is_fenced: true, metadata_offset, shutdown_offset: None };
        let session = self.by_broker.entry(broker).or_insert(fresh);
        session.expires_at = expires_at;
        session.metadata_offset = metadata_offset;
        session
    }

    /// A fenced broker has no session to lose: whoever comes in its place is welcome.
    fn is_alive(&self, broker: BrokerId, now: Instant) -> bool {
        self.by_broker.get(&broker).is_some_and(|session| !session.is_fenced && session.expires_at > now)
    }

    /// How far every active broker but one has applied the log.
    fn lowest_active_offset(&self, draft: &Draft, but: BrokerId) -> i64 {
        let active = self.by_broker.iter().filter(|(broker, _)| **broker != but && draft.is_active(**broker));
        active.map(|(_, session)| session.metadata_offset).min().unwrap_or(i64::MAX)
    }
}

/// The registration behind a broker's request.
///
/// # Errors
/// STALE_BROKER_EPOCH if it is not the current one: the broker has to register again (KIP-631).
pub(super) fn check_broker_epoch(
    image: &MetadataImage,
    broker: BrokerId,
    broker_epoch: i64,
) -> Result<&BrokerImage, ErrorCode> {
    let registration = image.brokers.get(&broker).ok_or(ErrorCode::StaleBrokerEpoch)?;
    if registration.broker_epoch == broker_epoch { Ok(registration) } else { Err(ErrorCode::StaleBrokerEpoch) }
}

/// A broker tells that it exists.
pub(super) fn register(
    sessions: &mut Sessions,
    draft: &mut Draft,
    now: Instant,
    request: &RegisterBrokerRequest,
) -> RegisterBrokerResponse {
    let refused = |error| RegisterBrokerResponse { error, broker_epoch: -1 };
    let broker = request.broker;
    let existing = draft.image.brokers.get(&broker);
    if let Some(existing) = existing {
        if existing.incarnation == request.incarnation {
            // It did not hear the answer and asks again: nothing has changed.
            sessions.touch(broker, now, -1).is_fenced = existing.fenced;
            return RegisterBrokerResponse { error: ErrorCode::None, broker_epoch: existing.broker_epoch };
        }
        if sessions.is_alive(broker, now) {
            return refused(ErrorCode::DuplicateBrokerRegistration);
        }
    }
    let mut others = draft.image.brokers.iter().filter(|(other, _)| **other != broker);
    if others.any(|(_, other)| other.directory == request.directory) {
        return refused(ErrorCode::InvalidRegistration);
    }
    let is_wiped = existing.is_some_and(|existing| existing.directory != request.directory);
    let is_clean = !is_wiped
        && (existing.is_some_and(|old| old.broker_epoch == request.previous_broker_epoch)
            || draft.config.has(Mutant::UncleanReplicaKeepsPlace));
    if is_clean {
        leaders::on_broker_gone(draft, broker);
    } else {
        leaders::on_broker_unclean(draft, broker, is_wiped);
    }
    if existing.is_some_and(|existing| !existing.fenced) {
        draft.emit(EventKind::BrokerFenced { broker });
    }
    let broker_epoch = draft.next_offset();
    draft.push(MetadataRecord::RegisterBroker {
        broker,
        incarnation: request.incarnation,
        directory: request.directory,
        broker_epoch,
        host: request.host.clone(),
        port: request.port,
        rack: request.rack.clone(),
        is_controller: request.is_controller,
    });
    sessions.by_broker.remove(&broker);
    sessions.touch(broker, now, -1);
    RegisterBrokerResponse { error: ErrorCode::None, broker_epoch }
}

/// The states a heartbeat moves a broker through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ControlState {
    Fenced,
    Unfenced,
    ControlledShutdown,
    ShutdownNow,
}

/// A broker shows itself and says what it wants.
pub(super) fn heartbeat(
    sessions: &mut Sessions,
    draft: &mut Draft,
    now: Instant,
    request: &BrokerHeartbeatRequest,
) -> BrokerHeartbeatResponse {
    let broker = request.broker;
    let registration = match check_broker_epoch(draft.image, broker, request.broker_epoch) {
        Ok(registration) => registration,
        Err(error) => {
            return BrokerHeartbeatResponse { error, is_caught_up: false, is_fenced: true, should_shut_down: false };
        }
    };
    let current = match (registration.fenced, registration.in_controlled_shutdown) {
        (true, _) => ControlState::Fenced,
        (false, true) => ControlState::ControlledShutdown,
        (false, false) => ControlState::Unfenced,
    };
    sessions.touch(broker, now, request.current_metadata_offset);
    let next = next_state(sessions, draft, current, request);
    if next != current {
        enter(draft, broker, registration, next);
    }
    let last_offset = draft.next_offset() - 1;
    let session = sessions.touch(broker, now, request.current_metadata_offset);
    session.is_fenced = matches!(next, ControlState::Fenced | ControlState::ShutdownNow);
    session.shutdown_offset = match next {
        ControlState::ControlledShutdown => Some(session.shutdown_offset.unwrap_or(last_offset)),
        _ => None,
    };
    BrokerHeartbeatResponse {
        error: ErrorCode::None,
        is_caught_up: request.current_metadata_offset >= registration.broker_epoch,
        is_fenced: session.is_fenced,
        should_shut_down: next == ControlState::ShutdownNow,
    }
}

fn next_state(
    sessions: &Sessions,
    draft: &Draft,
    current: ControlState,
    request: &BrokerHeartbeatRequest,
) -> ControlState {
    let has_leaderships = || draft.image.partitions().any(|(_, _, state)| state.leader == Some(request.broker));
    let is_caught_up = request.current_metadata_offset >= request.broker_epoch;
    match current {
        ControlState::Fenced if request.want_shut_down => ControlState::ShutdownNow,
        ControlState::Fenced if !request.want_fence && is_caught_up => ControlState::Unfenced,
        ControlState::Unfenced if request.want_shut_down && (request.want_fence || !has_leaderships()) => {
            ControlState::ShutdownNow
        }
        ControlState::Unfenced if request.want_shut_down => ControlState::ControlledShutdown,
        ControlState::Unfenced if request.want_fence => ControlState::Fenced,
        ControlState::ControlledShutdown => {
            let must_pass = sessions.by_broker.get(&request.broker).and_then(|session| session.shutdown_offset);
            // A controller that took over meanwhile does not know the offset: the others have to reach the log's end.
            let must_pass = must_pass.unwrap_or(draft.next_offset() - 1);
            let have_passed = must_pass <= sessions.lowest_active_offset(draft, request.broker);
            if !has_leaderships() && have_passed { ControlState::ShutdownNow } else { current }
        }
        state => state,
    }
}

fn enter(draft: &mut Draft, broker: BrokerId, registration: &BrokerImage, next: ControlState) {
    let change = |fenced, in_controlled_shutdown| MetadataRecord::BrokerRegistrationChange {
        broker,
        broker_epoch: registration.broker_epoch,
        fenced,
        in_controlled_shutdown,
    };
    match next {
        ControlState::Fenced | ControlState::ShutdownNow => {
            if !registration.fenced {
                fence(draft, broker, registration.broker_epoch);
            }
        }
        ControlState::Unfenced => {
            draft.push(change(Some(false), None));
            draft.emit(EventKind::BrokerUnfenced { broker });
            leaders::on_broker_back(draft, broker);
        }
        ControlState::ControlledShutdown => {
            draft.push(change(None, Some(true)));
            leaders::on_broker_gone(draft, broker);
        }
    }
}

/// Takes a broker out: first out of the ISRs, then out of sight.
fn fence(draft: &mut Draft, broker: BrokerId, broker_epoch: i64) {
    draft.emit(EventKind::BrokerFenced { broker });
    leaders::on_broker_gone(draft, broker);
    draft.push(MetadataRecord::BrokerRegistrationChange {
        broker,
        broker_epoch,
        fenced: Some(true),
        in_controlled_shutdown: None,
    });
}

/// Fences every broker that has been silent for a whole session.
pub(super) fn fence_expired(sessions: &mut Sessions, draft: &mut Draft, now: Instant) {
    for (broker, session) in &mut sessions.by_broker {
        let registration = draft.image.brokers.get(broker).filter(|registration| !registration.fenced);
        if let Some(registration) = registration.filter(|_| session.expires_at <= now) {
            fence(draft, *broker, registration.broker_epoch);
            session.is_fenced = true;
            session.shutdown_offset = None;
        }
    }
}

/// Forgets a broker for good: its replicas stay assigned, but they count no more.
pub(super) fn unregister(
    sessions: &mut Sessions,
    draft: &mut Draft,
    request: &UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let broker = BrokerId::from(request.broker_id);
    let Some(registration) = draft.image.brokers.get(&broker) else {
        let message = format!("Broker ID {broker} is not currently registered");
        return UnregisterBrokerResponse::default()
            .with_error_code(ErrorCode::BrokerIdNotRegistered.code())
            .with_error_message(Some(StrBytes::from_string(message)));
    };
    if !registration.fenced {
        draft.emit(EventKind::BrokerFenced { broker });
    }
    leaders::on_broker_unclean(draft, broker, false);
    draft.push(MetadataRecord::UnregisterBroker { broker, broker_epoch: registration.broker_epoch });
    sessions.by_broker.remove(&broker);
    UnregisterBrokerResponse::default()
}

#[cfg(test)]
mod tests;

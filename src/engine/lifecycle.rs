//! A broker's standing with the controller: registration, heartbeats, fencing, controlled shutdown (Kafka's
//! `BrokerLifecycleManager`). It only says what to ask and reads the answers; who carries them is the broker's business.
//!
//! A broker whose store was not closed cleanly registers without its former epoch, and the controller takes it out of ISR and ELR
//! (KIP-966).

use crate::engine::config::BrokerConfig;
use crate::engine::controller::image::MetadataImage;
use crate::engine::io::{Ctx, StorageOp, Wake};
use crate::engine::observe::EventKind;
use crate::engine::time::Instant;
use crate::protocol::error::ErrorCode;
use crate::protocol::peer::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, PeerRequest, PeerResponse, RegisterBrokerRequest,
    RegisterBrokerResponse,
};
use bytes::Bytes;

/// The broker epoch of the last registration: what proves, after a clean stop, that nothing was lost.
const EPOCH_KEY: &str = "broker/epoch";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unregistered,
    Registered { broker_epoch: i64 },
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    stage: Stage,
    previous_broker_epoch: i64,
    is_fenced: bool,
    wants_shutdown: bool,
    may_stop: bool,
    in_flight: bool,
    next_attempt: Instant,
}

impl Lifecycle {
    /// At the broker's start.
    pub fn recover(cx: &Ctx) -> Lifecycle {
        let stored =
            cx.log().meta(EPOCH_KEY).and_then(|bytes| Some(i64::from_be_bytes(bytes.as_ref().try_into().ok()?)));
        let previous_broker_epoch = if cx.log().was_clean() { stored.unwrap_or(-1) } else { -1 };
        Lifecycle {
            stage: Stage::Unregistered,
            previous_broker_epoch,
            is_fenced: true,
            wants_shutdown: false,
            may_stop: false,
            in_flight: false,
            next_attempt: cx.now,
        }
    }

    /// The broker epoch, once registered.
    pub fn broker_epoch(&self) -> Option<i64> {
        match self.stage {
            Stage::Unregistered => None,
            Stage::Registered { broker_epoch } => Some(broker_epoch),
        }
    }

    /// Whether the controller has it fenced, as far as the broker knows.
    pub fn is_fenced(&self) -> bool {
        self.is_fenced
    }

    /// Whether it is handing over.
    pub fn is_shutting_down(&self) -> bool {
        self.wants_shutdown
    }

    /// Whether the controller has said that it may stop.
    pub fn may_stop(&self) -> bool {
        self.may_stop
    }

    /// Begins a controlled shutdown: the next heartbeat says so, at once.
    pub fn begin_shutdown(&mut self, cx: &mut Ctx) {
        if !self.wants_shutdown {
            self.wants_shutdown = true;
            self.next_attempt = cx.now;
            cx.emit(EventKind::ShutdownBegan);
        }
    }

    /// There is another controller, or the metadata moved on: asks at once instead of at the next interval when it waits for something.
    pub fn hurry(&mut self, now: Instant) {
        if !self.in_flight && (self.stage == Stage::Unregistered || self.is_fenced || self.wants_shutdown) {
            self.next_attempt = self.next_attempt.min(now);
        }
    }

    /// What to ask the controller now, if anything.
    pub fn poll(&mut self, now: Instant, config: &BrokerConfig, image: &MetadataImage) -> Option<PeerRequest> {
        if self.in_flight || now < self.next_attempt || self.may_stop {
            return None;
        }
        self.in_flight = true;
        self.next_attempt = now.plus_millis(config.cluster.broker_heartbeat_interval_ms);
        Some(match self.stage {
            Stage::Unregistered => PeerRequest::RegisterBroker(RegisterBrokerRequest {
                broker: config.broker,
                incarnation: config.incarnation,
                directory: config.directory,
                host: config.host.clone(),
                port: config.port,
                rack: config.rack.clone(),
                previous_broker_epoch: self.previous_broker_epoch,
                is_controller: config.initial_voters.contains_key(&config.broker),
            }),
            Stage::Registered { broker_epoch } => PeerRequest::BrokerHeartbeat(BrokerHeartbeatRequest {
                broker: config.broker,
                broker_epoch,
                current_metadata_offset: image.end_offset - 1,
                want_fence: false,
                want_shut_down: self.wants_shutdown,
            }),
        })
    }

    /// The controller's answer, or `None` when there was none.
    pub fn on_answer(&mut self, cx: &mut Ctx, config: &BrokerConfig, answer: Option<PeerResponse>) {
        self.in_flight = false;
        match answer {
            Some(PeerResponse::RegisterBroker(response)) => self.on_registered(cx, config, &response),
            Some(PeerResponse::BrokerHeartbeat(response)) => self.on_heartbeat(cx, config, &response),
            // No controller or no answer: again soon, so that a failover of the controller costs no whole interval.
            _ => self.next_attempt = cx.now.plus_millis(config.cluster.broker_heartbeat_interval_ms / 4 + 1),
        }
    }

    fn on_registered(&mut self, cx: &mut Ctx, config: &BrokerConfig, response: &RegisterBrokerResponse) {
        if response.error != ErrorCode::None {
            self.next_attempt = cx.now.plus_millis(config.cluster.broker_heartbeat_interval_ms / 4 + 1);
            return;
        }
        self.stage = Stage::Registered { broker_epoch: response.broker_epoch };
        self.is_fenced = true;
        self.next_attempt = cx.now;
        let value = Bytes::copy_from_slice(&response.broker_epoch.to_be_bytes());
        cx.write(StorageOp::PutMeta { key: EPOCH_KEY.to_owned(), value });
        cx.emit(EventKind::Registered { broker_epoch: response.broker_epoch });
    }

    fn on_heartbeat(&mut self, cx: &mut Ctx, config: &BrokerConfig, response: &BrokerHeartbeatResponse) {
        match response.error {
            ErrorCode::None => {
                self.is_fenced = response.is_fenced;
                self.may_stop = self.wants_shutdown && response.should_shut_down;
            }
            // The controller does not know this registration (any more): a new one is needed.
            ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered => {
                if let Stage::Registered { broker_epoch } = self.stage {
                    self.previous_broker_epoch = broker_epoch;
                }
                self.stage = Stage::Unregistered;
                self.is_fenced = true;
                self.next_attempt = cx.now.plus_millis(config.cluster.broker_heartbeat_interval_ms / 4 + 1);
            }
            _ => self.next_attempt = cx.now.plus_millis(config.cluster.broker_heartbeat_interval_ms / 4 + 1),
        }
    }

    /// When it wants to ask again.
    pub fn next_wake(&self) -> Option<Wake> {
        let why = match self.stage {
            Stage::Unregistered => "registration",
            Stage::Registered { .. } => "heartbeat",
        };
        (!self.in_flight && !self.may_stop).then_some(Wake { at: self.next_attempt, why })
    }
}

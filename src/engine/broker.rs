//! The broker: one pure state machine out of the metadata quorum, the active controller (on one broker at a time), the replicas and
//! the APIs. It routes, no more: each part is handed what concerns it and gets its turn.
//!
//! Invariants: a request gets exactly one answer; the metadata image only moves forward along the committed log; nothing that is answered
//! depends on a write that is not safe yet. It deliberately knows nothing of sockets, threads or files.

use crate::engine::active::{ActiveController, Answer, Asker};
use crate::engine::config::BrokerConfig;
use crate::engine::controller::ControllerReply;
use crate::engine::controller::image::{MetadataDelta, MetadataImage};
use crate::engine::group::Groups;
use crate::engine::io::{Ctx, Effect, Input, LogRead, ReadError, RequestToken, Wake};
use crate::engine::lifecycle::Lifecycle;
use crate::engine::mutant::Mutant;
use crate::engine::observe::{BrokerSnapshot, EventKind, Scope};
use crate::engine::producer_ids::ProducerIds;
use crate::engine::quorum::{Committed, Quorum};
use crate::engine::replica::{ReplicaEnv, Replicas};
use crate::engine::rpc::{Purpose, Rpc, RpcResult};
use crate::engine::time::Instant;
use crate::engine::txn::marking::{MarkerAsker, MarkerWrites};
use crate::engine::txn::verification::Verifications;
use crate::engine::txn::{AddAsker, Coordinators};
use crate::protocol::codec::{Request, RequestHeader};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, ConnectionId};
use crate::protocol::peer::{
    AllocateProducerIdsRequest, ForwardRequest, ForwardResponse, PeerBody, PeerMessage, PeerRequest, PeerResponse,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Clone)]
pub struct Broker {
    pub(in crate::engine) config: BrokerConfig,
    pub(in crate::engine) image: Arc<MetadataImage>,
    pub(in crate::engine) rpc: Rpc,
    pub(in crate::engine) quorum: Quorum,
    pub(in crate::engine) controller: Option<ActiveController>,
    pub(in crate::engine) lifecycle: Lifecycle,
    pub(in crate::engine) replicas: Replicas,
    pub(in crate::engine) producer_ids: ProducerIds,
    pub(in crate::engine) groups: Groups,
    pub(in crate::engine) txns: Coordinators,
    /// Markers that are being written for coordinators.
    pub(in crate::engine) marker_writes: MarkerWrites,
    /// Requests that wait for the word of a transaction's coordinator.
    pub(in crate::engine) verifications: Verifications,
    /// Clients' requests that only the controller can answer, while they are under way or there is no controller.
    pub(in crate::engine) forwards: crate::engine::api::forward::Forwards,
    /// Topics that are being made because a client asked for their metadata, until when not to ask again.
    pub(in crate::engine) auto_creating: BTreeMap<String, Instant>,
    is_stopped: bool,
    /// Whether clients are served: from when the metadata says that this life of the broker is unfenced. Before that they would be told
    /// of a cluster without brokers or topics, and forget theirs (`BrokerServer.startup` opens its ports when it has caught up).
    is_open: bool,
    /// Clients' requests from before.
    early: Vec<EarlyRequest>,
}

#[derive(Debug, Clone)]
struct EarlyRequest {
    token: RequestToken,
    connection: ConnectionId,
    header: RequestHeader,
    request: Request,
}

impl Broker {
    /// A broker at its start: from what its store has, be it nothing.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn recover(config: BrokerConfig, mut cx: Ctx) -> Result<Broker, ReadError> {
        cx.mutant = config.cluster.mutant;
        let mut rng = cx.rng.fork("quorum");
        let quorum = Quorum::recover(&config, cx.log(), cx.now, &mut rng)?;
        let mut broker = Broker {
            image: Arc::new(MetadataImage::default()),
            rpc: Rpc::of_life(config.incarnation),
            quorum,
            controller: None,
            lifecycle: Lifecycle::recover(&cx),
            replicas: Replicas::recover(cx.log())?,
            producer_ids: ProducerIds::default(),
            groups: Groups::default(),
            txns: Coordinators::default(),
            marker_writes: MarkerWrites::default(),
            verifications: Verifications::default(),
            forwards: crate::engine::api::forward::Forwards::default(),
            auto_creating: BTreeMap::new(),
            is_stopped: false,
            is_open: false,
            early: Vec::new(),
            config,
        };
        if cx.has(Mutant::ProducersLostAtRecovery) {
            broker.replicas.forget_producers();
        }
        cx.emit(EventKind::Started { was_clean: cx.log().was_clean() });
        broker.quorum.start(&mut cx, &mut broker.rpc);
        broker.settle(&mut cx);
        cx.finish();
        Ok(broker)
    }

    /// Takes one input; what is to happen is pushed to the context.
    pub fn step(&mut self, mut cx: Ctx, input: Input) {
        cx.mutant = self.config.cluster.mutant;
        match input {
            Input::Wake => self.on_wake(&mut cx),
            Input::Request { token, connection, header, request } => {
                if self.is_open {
                    self.on_request(&mut cx, token, connection, header, request);
                } else {
                    self.early.push(EarlyRequest { token, connection, header, request });
                }
            }
            Input::ConnectionClosed(connection) => {
                self.early.retain(|early| early.connection != connection);
                self.verifications.forget(connection);
                self.replicas.on_connection_closed(connection);
            }
            Input::Peer { from, message } => self.on_peer(&mut cx, from, message),
            Input::LinkDown { peer } => {
                for result in self.rpc.fail_peer(peer) {
                    self.on_result(&mut cx, result);
                }
            }
            Input::Persisted { seq } => {
                self.quorum.on_persisted(&mut cx, &mut self.rpc, seq);
                self.with_replicas(&mut cx, |replicas, cx, rpc, env| replicas.on_persisted(cx, rpc, env, seq));
            }
            Input::StoreHasRoom => {
                self.with_replicas(&mut cx, |replicas, cx, rpc, env| replicas.on_room(cx, rpc, env));
            }
            Input::ControlledShutdown => self.lifecycle.begin_shutdown(&mut cx),
        }
        self.settle(&mut cx);
        self.open_when_current(&mut cx);
        cx.finish();
    }

    fn open_when_current(&mut self, cx: &mut Ctx) {
        if self.is_open {
            return;
        }
        let Some(registered) = self.image.brokers.get(&self.config.broker) else { return };
        if registered.fenced || self.lifecycle.broker_epoch() != Some(registered.broker_epoch) {
            return;
        }
        self.is_open = true;
        for EarlyRequest { token, connection, header, request } in std::mem::take(&mut self.early) {
            self.on_request(cx, token, connection, header, request);
        }
        self.settle(cx);
    }

    /// When it wants to be woken at the latest.
    pub fn next_wake(&self) -> Option<Wake> {
        let has_controller = self.controller_id().is_some();
        let lifecycle = if has_controller { self.lifecycle.next_wake() } else { None };
        let may_ask = has_controller && self.lifecycle.broker_epoch().is_some();
        let producer_ids = self.producer_ids.next_attempt().filter(|_| may_ask);
        [
            self.rpc.next_wake(),
            self.quorum.next_wake(),
            self.controller.as_ref().and_then(ActiveController::next_wake),
            lifecycle,
            self.replicas.next_wake(),
            self.groups.next_wake(),
            self.txns.next_wake(),
            self.verifications.next_wake(),
            self.forwards.next_wake(),
            producer_ids.map(|at| Wake { at, why: "producer ids" }),
        ]
        .into_iter()
        .fold(None, Wake::earlier)
    }

    /// The broker's own account of itself.
    pub fn snapshot(&self, scope: &Scope, log: &dyn LogRead, now: Instant) -> BrokerSnapshot {
        BrokerSnapshot {
            broker: self.config.broker,
            at: now,
            broker_epoch: self.lifecycle.broker_epoch(),
            is_fenced: self.lifecycle.is_fenced(),
            is_shutting_down: self.lifecycle.is_shutting_down(),
            quorum: self.quorum.snapshot(),
            image: Arc::clone(&self.image),
            bytes_in: self.replicas.bytes_in(),
            bytes_out: self.replicas.bytes_out(),
            replicas: self.replicas.snapshot(scope),
            inside: scope.inside.and_then(|stretch| self.replicas.inside(stretch, log)),
            groups: self.groups.snapshot(&self.image, &self.config.cluster),
            transactions: self.txns.snapshot(),
            parked_requests: self.early.len() + self.replicas.parked() + self.forwards.len() + self.verifications.len(),
            next_wake: self.next_wake(),
        }
    }

    /// Its election timer ends at a moment, if it has one: only a simulated world sets it.
    pub fn set_election_timer(&mut self, at: Instant) {
        self.quorum.set_election_timer(at);
    }

    /// Whether this broker is the active controller.
    pub fn is_active_controller(&self) -> bool {
        self.controller.is_some()
    }

    /// Whether clients are served: the metadata has said that this life of the broker is registered and unfenced.
    pub fn serves_clients(&self) -> bool {
        self.is_open
    }

    /// Whether the controller has this broker fenced, as far as the broker knows.
    pub fn is_fenced(&self) -> bool {
        self.lifecycle.is_fenced()
    }

    /// Whether it was asked to stop in order and is about to.
    pub fn is_shutting_down(&self) -> bool {
        self.lifecycle.is_shutting_down()
    }

    /// The metadata as far as this broker has applied it.
    pub fn image(&self) -> &Arc<MetadataImage> {
        &self.image
    }

    /// The metadata quorum on this broker.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// The replicas on this broker.
    pub fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// The group coordinators on this broker.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The transaction coordinators on this broker.
    pub fn transactions(&self) -> &Coordinators {
        &self.txns
    }

    /// What this broker started with.
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// Who decides, as far as this broker knows: itself only while it is active.
    pub(in crate::engine) fn controller_id(&self) -> Option<BrokerId> {
        if self.controller.is_some() {
            return Some(self.config.broker);
        }
        self.quorum.leader().filter(|leader| *leader != self.config.broker)
    }

    /// Gives the replicas their turn, with what they may know.
    pub(in crate::engine) fn with_replicas<R>(
        &mut self,
        cx: &mut Ctx,
        turn: impl FnOnce(&mut Replicas, &mut Ctx, &mut Rpc, &ReplicaEnv) -> R,
    ) -> R {
        let env = ReplicaEnv {
            config: &self.config.cluster,
            broker: self.config.broker,
            broker_epoch: self.lifecycle.broker_epoch(),
            image: &self.image,
            controller: if self.controller.is_some() { Some(self.config.broker) } else { self.quorum.leader() },
            is_fenced: self.lifecycle.is_fenced(),
        };
        turn(&mut self.replicas, cx, &mut self.rpc, &env)
    }

    fn on_wake(&mut self, cx: &mut Ctx) {
        for result in self.rpc.expire(cx.now) {
            self.on_result(cx, result);
        }
        if self.quorum.next_wake().is_some_and(|wake| wake.at <= cx.now) {
            self.quorum.on_wake(cx, &mut self.rpc);
        }
        if let Some(controller) = &mut self.controller {
            controller.on_wake(cx, &mut self.quorum, &self.config.cluster);
        }
        if self.replicas.next_wake().is_some_and(|wake| wake.at <= cx.now) {
            self.with_replicas(cx, |replicas, cx, rpc, env| replicas.on_wake(cx, rpc, env));
        }
        if self.groups.next_wake().is_some_and(|wake| wake.at <= cx.now) {
            self.with_groups(cx, |groups, cx, turn| groups.on_wake(cx, turn));
        }
        if self.txns.next_wake().is_some_and(|wake| wake.at <= cx.now) {
            self.with_txns(cx, |txns, cx, turn| txns.on_wake(cx, turn));
        }
        self.ask_coordinators_again(cx);
        self.expire_forwards(cx);
    }

    fn on_peer(&mut self, cx: &mut Ctx, from: BrokerId, message: PeerMessage) {
        match message.body {
            PeerBody::Request(request) => self.on_peer_request(cx, from, message.correlation_id, request),
            PeerBody::Response(response) => {
                if let Some(request) = self.rpc.take(from, message.correlation_id) {
                    self.on_result(cx, RpcResult { request, outcome: Ok(response) });
                }
            }
        }
    }

    fn on_peer_request(&mut self, cx: &mut Ctx, from: BrokerId, correlation_id: u64, request: PeerRequest) {
        match request {
            PeerRequest::Vote(_)
            | PeerRequest::BeginQuorumEpoch(_)
            | PeerRequest::EndQuorumEpoch(_)
            | PeerRequest::QuorumFetch(_)
            | PeerRequest::FetchSnapshot(_) => {
                self.quorum.on_request(cx, &mut self.rpc, from, correlation_id, request);
            }
            PeerRequest::RegisterBroker(_)
            | PeerRequest::BrokerHeartbeat(_)
            | PeerRequest::AlterPartition(_)
            | PeerRequest::AllocateProducerIds(_) => {
                self.ask_local_controller(cx, from, Asker::Peer { broker: from, correlation_id }, &request);
            }
            PeerRequest::Forward(forward) => {
                let ForwardRequest { header, request } = *forward;
                let asker = Asker::PeerForward { broker: from, correlation_id };
                self.admin_here(cx, asker, &header, &request);
            }
            PeerRequest::AddPartitionsToTxn(request) => {
                self.add_partitions(cx, AddAsker::Peer(from, correlation_id), request);
            }
            PeerRequest::WriteTxnMarkers(request) => {
                self.write_markers(cx, MarkerAsker::Peer(from, correlation_id), request.markers);
            }
            PeerRequest::ReplicaFetch(fetch) => {
                self.with_replicas(cx, |replicas, cx, rpc, env| {
                    replicas.on_peer_fetch(cx, rpc, env, from, correlation_id, fetch);
                });
            }
        }
    }

    /// A request for the controller on this broker; answered with NOT_CONTROLLER when it is not here.
    fn ask_local_controller(&mut self, cx: &mut Ctx, from: BrokerId, asker: Asker, request: &PeerRequest) {
        match &mut self.controller {
            Some(controller) => {
                controller.on_request(cx, &mut self.quorum, &self.config.cluster, from, asker, request);
            }
            None => self.refuse_as_not_controller(cx, asker, request),
        }
    }

    fn refuse_as_not_controller(&mut self, cx: &mut Ctx, asker: Asker, request: &PeerRequest) {
        let Asker::Peer { broker, correlation_id } = asker else { return };
        if let Some(refusal) = crate::engine::api::errors::peer_refusal(request, ErrorCode::NotController) {
            Rpc::respond(cx, broker, correlation_id, refusal);
        }
    }

    /// An answer (or none) to a request of this broker.
    fn on_result(&mut self, cx: &mut Ctx, result: RpcResult) {
        match result.request.purpose {
            Purpose::Quorum => self.quorum.on_result(cx, &mut self.rpc, result),
            Purpose::Lifecycle => self.lifecycle.on_answer(cx, &self.config, result.outcome.ok()),
            Purpose::ProducerIds => self.on_producer_ids(cx, result.outcome.ok()),
            Purpose::Forward(token) => self.on_forward_result(cx, token, result.outcome),
            Purpose::TxnMarkers(_) | Purpose::Verification(_) => self.on_transaction_result(cx, result),
            Purpose::AlterPartition | Purpose::ReplicaFetch => {
                self.with_replicas(cx, |replicas, cx, rpc, env| replicas.on_result(cx, rpc, env, result));
            }
        }
    }

    /// After each input: committed metadata is applied, the controller comes or goes, replies that became true go out, and what the
    /// parts want to ask is asked.
    fn settle(&mut self, cx: &mut Ctx) {
        self.apply_committed(cx);
        self.settle_controller(cx);
        self.ask_for_itself(cx);
        self.settle_coordinators(cx);
        if self.lifecycle.may_stop() && !self.is_stopped {
            self.is_stopped = true;
            self.replicas.on_shutdown(cx);
            self.quorum.resign(cx, &mut self.rpc);
            cx.push(Effect::ShutdownComplete);
        }
    }

    fn apply_committed(&mut self, cx: &mut Ctx) {
        let committed = match self.quorum.take_committed(cx.log()) {
            Ok(committed) => committed,
            Err(error) => {
                cx.emit(EventKind::StorageFailed { reason: error.to_string() });
                return;
            }
        };
        if committed.is_empty() {
            return;
        }
        let mut delta = MetadataDelta::default();
        for item in committed {
            match item {
                Committed::Records { base_offset, epoch, records } => {
                    let image = Arc::make_mut(&mut self.image);
                    for (offset, record) in (base_offset..).zip(&records) {
                        image.apply(offset, epoch, record, &mut delta);
                    }
                }
                Committed::Snapshot(image) => {
                    delta = MetadataImage::diff(&self.image, &image);
                    self.image = Arc::new(image);
                }
            }
        }
        self.quorum.maybe_snapshot(cx, &self.image);
        self.with_replicas(cx, |replicas, cx, rpc, env| replicas.apply_metadata(cx, rpc, env, &delta));
        self.forget_topics_in_groups(cx, &delta);
        self.auto_creating.retain(|name, until| *until > cx.now && !self.image.topic_ids.contains_key(name));
        self.lifecycle.hurry(cx.now);
    }

    fn settle_controller(&mut self, cx: &mut Ctx) {
        let should_be_active = self.quorum.is_leader() && self.quorum.is_leader_caught_up();
        if !self.quorum.is_leader()
            && let Some(controller) = self.controller.take()
        {
            for answer in controller.abandon() {
                self.deliver(cx, answer);
            }
        }
        if should_be_active && self.controller.is_none() && self.image.end_offset >= self.quorum.high_watermark() {
            let image = MetadataImage::clone(&self.image);
            let active = ActiveController::activate(cx, &mut self.quorum, image, &self.config.cluster);
            self.controller = Some(active);
            self.lifecycle.hurry(cx.now);
        }
        self.resend_forwards(cx);
        let high_watermark = self.quorum.high_watermark();
        while let Some(controller) = &mut self.controller {
            let answers = controller.take_committed(high_watermark);
            if answers.is_empty() {
                break;
            }
            for answer in answers {
                self.deliver(cx, answer);
            }
        }
    }

    /// A controller's answer finds who asked.
    fn deliver(&mut self, cx: &mut Ctx, answer: Answer) {
        match (answer.asker, answer.reply) {
            (Asker::Peer { broker, correlation_id }, Some(ControllerReply::Peer(response))) => {
                Rpc::respond(cx, broker, correlation_id, response);
            }
            (Asker::PeerForward { broker, correlation_id }, reply) => {
                let response = match reply {
                    Some(ControllerReply::Client(response)) => {
                        ForwardResponse { error: ErrorCode::None, response: Some(response) }
                    }
                    _ => ForwardResponse { error: ErrorCode::NotController, response: None },
                };
                Rpc::respond(cx, broker, correlation_id, PeerResponse::Forward(response));
            }
            (Asker::Client(token), Some(ControllerReply::Client(response))) => {
                self.forwards.done(token);
                cx.respond(token, response);
            }
            (Asker::Client(token), _) => self.forwards.retry(cx.now, token),
            (Asker::Lifecycle, reply) => {
                self.lifecycle.on_answer(cx, &self.config, reply.and_then(ControllerReply::into_peer));
            }
            (Asker::ProducerIds, reply) => self.on_producer_ids(cx, reply.and_then(ControllerReply::into_peer)),
            (Asker::AlterPartition, reply) => {
                let answer = reply.and_then(ControllerReply::into_peer);
                self.with_replicas(cx, |replicas, cx, rpc, env| {
                    replicas.on_alter_partition_answer(cx, rpc, env, answer);
                });
            }
            // A peer that got no answer notices by its own timeout or asks the next controller; a topic made on demand has nobody waiting.
            (Asker::Peer { .. } | Asker::AutoCreate, _) => {}
        }
    }

    /// What this broker itself wants of the controller: registration and heartbeats, ISR changes, producer ids.
    fn ask_for_itself(&mut self, cx: &mut Ctx) {
        let Some(controller) = self.controller_id() else { return };
        if let Some(request) = self.lifecycle.poll(cx.now, &self.config, &self.image) {
            self.ask_controller(cx, controller, Purpose::Lifecycle, Asker::Lifecycle, request);
        }
        if let Some(broker_epoch) = self.lifecycle.broker_epoch()
            && self.producer_ids.wants_block(cx.now)
        {
            let ask = AllocateProducerIdsRequest { broker: self.config.broker, broker_epoch };
            let request = PeerRequest::AllocateProducerIds(ask);
            self.ask_controller(cx, controller, Purpose::ProducerIds, Asker::ProducerIds, request);
        }
        if self.controller.is_some()
            && let Some(alter) = self.replicas.take_local_alter_partition()
        {
            let request = PeerRequest::AlterPartition(alter);
            self.ask_local_controller(cx, self.config.broker, Asker::AlterPartition, &request);
        }
    }

    fn ask_controller(
        &mut self,
        cx: &mut Ctx,
        controller: BrokerId,
        purpose: Purpose,
        asker: Asker,
        request: PeerRequest,
    ) {
        if controller == self.config.broker {
            self.ask_local_controller(cx, controller, asker, &request);
            // Heartbeats of the controller's own broker are answered at once.
            let answers = match &mut self.controller {
                Some(active) => active.take_committed(self.quorum.high_watermark()),
                None => Vec::new(),
            };
            for answer in answers {
                self.deliver(cx, answer);
            }
        } else {
            let timeout_ms = match purpose {
                Purpose::Lifecycle => self.config.cluster.broker_session_timeout_ms / 2,
                _ => self.config.cluster.peer_request_timeout_ms,
            };
            self.rpc.send(cx, controller, purpose, request, timeout_ms);
        }
    }

    fn on_producer_ids(&mut self, cx: &mut Ctx, answer: Option<PeerResponse>) {
        let answer = match answer {
            Some(PeerResponse::AllocateProducerIds(answer)) => Some(answer),
            _ => None,
        };
        let backoff_ms = self.config.cluster.broker_heartbeat_interval_ms;
        for (token, producer_id) in self.producer_ids.on_answer(cx.now, backoff_ms, answer.as_ref()) {
            crate::engine::api::init_producer_id::respond(cx, token, producer_id);
        }
    }
}

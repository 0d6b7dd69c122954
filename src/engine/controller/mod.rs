//! The active controller: decides changes of the cluster's metadata. Decide, then apply: a decision is records and a
//! reply, the records go through the quorum's log, and [`image::MetadataImage::apply`] is the only mutator, on the
//! controller and elsewhere.
//!
//! Invariants: a decision is made against the image at the end of the log, so that what was decided before counts
//! though it is not committed yet; its records can be applied in order; what is volatile (sessions, timers) can be lost
//! at any moment, and the next controller does without it.
//!
//! The controller does not append, does not send and does not wait: the broker does, and drops it when it stops leading
//! the quorum.

pub mod brokers;
pub mod config_table;
pub mod configs;
pub mod describe;
pub mod elections;
pub mod features;
pub mod image;
pub mod placement;
pub mod record;
pub mod statics;
pub mod topics;

mod alter_configs;
mod draft;
mod isr;
mod leaders;
mod partition_change;
mod producer_ids;
mod reassign;

#[cfg(test)]
mod harness;
#[cfg(test)]
mod model_tests;

use crate::engine::config::ClusterConfig;
use crate::engine::controller::brokers::Sessions;
use crate::engine::controller::draft::Draft;
use crate::engine::controller::image::{MetadataDelta, MetadataImage};
use crate::engine::controller::record::{ConfigResource, MetadataRecord};
use crate::engine::io::Wake;
use crate::engine::observe::EventKind;
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::{PeerRequest, PeerResponse};

/// What the controller may look at when it decides.
pub struct ControllerEnv<'a> {
    /// Monotonic time.
    pub now: Instant,
    /// The offset that the decision's first record will get.
    pub next_offset: i64,
    /// The controller's epoch.
    pub epoch: i32,
    /// Randomness: topic ids, placement.
    pub rng: &'a mut Prng,
    /// The static configuration.
    pub config: &'a ClusterConfig,
    /// The metadata log's high watermark.
    pub committed: i64,
}

/// What a decision answers.
#[derive(Debug, Clone, PartialEq)]
pub enum ControllerReply {
    /// To a broker.
    Peer(PeerResponse),
    /// To a client, through whichever broker it asked.
    Client(Response),
}

impl ControllerReply {
    /// The answer to a broker, if it is one.
    pub fn into_peer(self) -> Option<PeerResponse> {
        match self {
            ControllerReply::Peer(response) => Some(response),
            ControllerReply::Client(_) => None,
        }
    }
}

/// What the controller has decided.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// Records to append, all or none, in this order.
    pub records: Vec<MetadataRecord>,
    /// The answer, to be sent once everything appended up to here is committed.
    pub reply: Option<ControllerReply>,
    /// What to tell.
    pub events: Vec<EventKind>,
    /// The answer promises nothing that is not committed: it need not wait (heartbeats that change nothing).
    pub answers_at_once: bool,
}

/// The active controller's state.
#[derive(Debug, Clone)]
pub struct Controller {
    image: MetadataImage,
    sessions: Sessions,
    next_balance: Option<Instant>,
    next_unclean_election: Instant,
}

impl Controller {
    /// Begins to decide on top of an image that holds everything in the log. The first controller of a new cluster
    /// writes its features and initial configuration.
    pub fn activate(image: MetadataImage, env: &mut ControllerEnv) -> (Controller, Decision) {
        let mut draft = Draft::new(&image, env.config, env.next_offset);
        if image.features.is_empty() {
            features::bootstrap(&mut draft);
        }
        let decision = draft.finish(None);
        let sessions = Sessions::of_all(&image, env.now, env.config.broker_session_timeout_ms);
        let next_balance = balance_at(env);
        let next_unclean_election = env.now.plus_millis(elections::unclean_interval_ms(env.config));
        (Controller { image, sessions, next_balance, next_unclean_election }, decision)
    }

    /// The image at the end of the log.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Decides a broker's request.
    ///
    /// # Panics
    /// If the request is none for the controller: the broker routes.
    pub fn handle(&mut self, env: &mut ControllerEnv, from: BrokerId, request: &PeerRequest) -> Decision {
        let mut draft = Draft::new(&self.image, env.config, env.next_offset);
        let is_heartbeat = matches!(request, PeerRequest::BrokerHeartbeat(_));
        let response = match request {
            PeerRequest::RegisterBroker(request) => {
                PeerResponse::RegisterBroker(brokers::register(&mut self.sessions, &mut draft, env.now, request))
            }
            PeerRequest::BrokerHeartbeat(request) => {
                PeerResponse::BrokerHeartbeat(brokers::heartbeat(&mut self.sessions, &mut draft, env.now, request))
            }
            PeerRequest::AlterPartition(request) => PeerResponse::AlterPartition(isr::alter(&mut draft, request)),
            PeerRequest::AllocateProducerIds(request) => {
                PeerResponse::AllocateProducerIds(producer_ids::allocate(&mut draft, request))
            }
            other => unreachable!("{} of broker {from} is not the controller's to decide", other.api_name()),
        };
        let mut decision = draft.finish(Some(ControllerReply::Peer(response)));
        decision.answers_at_once = is_heartbeat && decision.records.is_empty();
        decision
    }

    /// Decides a client's admin request.
    ///
    /// # Panics
    /// If the request is none for the controller: the broker routes.
    pub fn admin(&mut self, env: &mut ControllerEnv, header: &RequestHeader, request: &Request) -> Decision {
        let mut draft = Draft::new(&self.image, env.config, env.next_offset);
        let response = match request {
            Request::CreateTopics(request) => {
                Response::CreateTopics(topics::create(&mut draft, env.rng, header.version, request))
            }
            Request::DeleteTopics(request) => {
                Response::DeleteTopics(topics::delete(&mut draft, header.version, request))
            }
            Request::CreatePartitions(request) => {
                Response::CreatePartitions(topics::create_partitions(&mut draft, env.rng, request))
            }
            Request::IncrementalAlterConfigs(request) => {
                Response::IncrementalAlterConfigs(alter_configs::incremental(&mut draft, request))
            }
            Request::AlterConfigs(request) => Response::AlterConfigs(alter_configs::replace(&mut draft, request)),
            Request::ElectLeaders(request) => Response::ElectLeaders(elections::elect(&mut draft, request)),
            Request::AlterPartitionReassignments(request) => {
                Response::AlterPartitionReassignments(reassign::alter(&mut draft, header.version, request))
            }
            Request::ListPartitionReassignments(request) => {
                Response::ListPartitionReassignments(reassign::list(&self.image, request))
            }
            Request::UnregisterBroker(request) => {
                Response::UnregisterBroker(brokers::unregister(&mut self.sessions, &mut draft, request))
            }
            Request::UpdateFeatures(request) => {
                Response::UpdateFeatures(features::update(&mut draft, header.version, request))
            }
            _ => unreachable!("{} is not the controller's to decide", header.api.name()),
        };
        let decision = draft.finish(Some(ControllerReply::Client(response)));
        if decision.records.iter().any(may_allow_unclean_elections) {
            // Kafka lets up to five minutes pass; whoever sets it is waiting for it.
            self.next_unclean_election = env.now;
        }
        decision
    }

    /// Decides what is due: brokers whose session ran out are fenced, preferred leaders put back, leaderless partitions
    /// given an unclean leader where that is allowed.
    pub fn tick(&mut self, env: &mut ControllerEnv) -> Decision {
        let mut draft = Draft::new(&self.image, env.config, env.next_offset);
        brokers::fence_expired(&mut self.sessions, &mut draft, env.now);
        if self.next_balance.is_some_and(|at| at <= env.now) {
            let is_done = elections::balance(&mut draft);
            self.next_balance = if is_done { balance_at(env) } else { Some(env.now) };
        }
        if self.next_unclean_election <= env.now {
            elections::elect_unclean_where_allowed(&mut draft);
            self.next_unclean_election = env.now.plus_millis(elections::unclean_interval_ms(env.config));
        }
        draft.finish(None)
    }

    /// When [`Controller::tick`] has something to do.
    pub fn next_wake(&self) -> Option<Wake> {
        let session = self.sessions.next_expiry().map(|at| Wake { at, why: "a broker's session runs out" });
        let balance = self.next_balance.map(|at| Wake { at, why: "preferred leaders are put back" });
        let unclean = Wake { at: self.next_unclean_election, why: "leaderless partitions are looked at" };
        Wake::earlier(Wake::earlier(session, balance), Some(unclean))
    }

    /// Records that were appended, the first at `base_offset`: they are what the next decision builds on.
    pub fn applied(&mut self, base_offset: i64, epoch: i32, records: &[MetadataRecord]) {
        let mut delta = MetadataDelta::default();
        for (offset, record) in (base_offset..).zip(records) {
            self.image.apply(offset, epoch, record, &mut delta);
        }
        for broker in delta.brokers {
            let is_fenced = self.image.brokers.get(&broker).is_none_or(|registration| registration.fenced);
            self.sessions.note_fencing(broker, is_fenced);
        }
    }
}

fn balance_at(env: &ControllerEnv) -> Option<Instant> {
    let is_on = env.config.auto_leader_rebalance_enable;
    is_on.then(|| env.now.plus_millis(env.config.leader_imbalance_check_interval_ms))
}

fn may_allow_unclean_elections(record: &MetadataRecord) -> bool {
    matches!(
        record,
        MetadataRecord::Config { resource: ConfigResource::Topic(_) | ConfigResource::Cluster, key, value: Some(value) }
            if key == "unclean.leader.election.enable" && value == "true"
    )
}

//! A controller under test: it decides, and what it decides is appended at once, as if a quorum of one committed it.

use crate::engine::config::{ClusterConfig, Timing};
use crate::engine::controller::image::{BrokerImage, MetadataDelta, MetadataImage};
use crate::engine::controller::record::{MetadataRecord, PartitionState, decode, encode};
use crate::engine::controller::{Controller, ControllerEnv, ControllerReply, Decision};
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, DirectoryId, PartitionId};
use crate::protocol::peer::*;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// A registration as the image holds it.
pub fn registered(id: i32) -> BrokerImage {
    BrokerImage {
        broker_epoch: i64::from(id),
        incarnation: Uuid::from_u128(1),
        directory: directory(id),
        host: "localhost".to_owned(),
        port: u16::try_from(9_090 + id).expect("a small id"),
        rack: None,
        fenced: false,
        in_controlled_shutdown: false,
        is_controller: true,
    }
}

pub fn directory(id: i32) -> DirectoryId {
    DirectoryId(Uuid::from_u128(1_000 + u128::try_from(id).expect("a positive id")))
}

pub fn ids(numbers: &[i32]) -> Vec<BrokerId> {
    numbers.iter().copied().map(BrokerId).collect()
}

/// See the module.
pub struct Harness {
    pub controller: Controller,
    pub config: ClusterConfig,
    pub now: Instant,
    pub rng: Prng,
    /// Every record, in order.
    pub log: Vec<MetadataRecord>,
    /// The last decision.
    pub last: Decision,
    incarnations: u128,
}

impl Harness {
    /// A new cluster without brokers.
    pub fn new(brokers: usize) -> Harness {
        let config = ClusterConfig::preset(Timing::Lab, "test", brokers);
        let (mut rng, now) = (Prng::new(7), Instant::from_millis(1));
        let mut env = ControllerEnv { now, next_offset: 0, epoch: 1, rng: &mut rng, config: &config, committed: 0 };
        let (controller, decision) = Controller::activate(MetadataImage::default(), &mut env);
        let last = Decision::default();
        let mut harness = Harness { controller, config, now, rng, log: Vec::new(), last, incarnations: 0 };
        harness.append(decision);
        harness
    }

    /// A cluster of so many unfenced brokers, 1 and up.
    pub fn with_brokers(brokers: i32) -> Harness {
        let mut harness = Harness::new(usize::try_from(brokers).expect("a positive number"));
        for id in 1..=brokers {
            harness.start(id, -1);
        }
        harness
    }

    fn decide(&mut self, decide: impl FnOnce(&mut Controller, &mut ControllerEnv) -> Decision) {
        let next_offset = self.end();
        let mut env = ControllerEnv {
            now: self.now,
            next_offset,
            epoch: 1,
            rng: &mut self.rng,
            config: &self.config,
            committed: next_offset,
        };
        let decision = decide(&mut self.controller, &mut env);
        self.append(decision);
    }

    fn append(&mut self, decision: Decision) {
        let base = self.end();
        self.controller.applied(base, 1, &decision.records);
        self.log.extend(decision.records.iter().cloned());
        self.last = decision;
    }

    pub fn end(&self) -> i64 {
        i64::try_from(self.log.len()).expect("a short log")
    }

    pub fn image(&self) -> &MetadataImage {
        self.controller.image()
    }

    /// What a broker that reads the log gets.
    pub fn replayed(&self) -> MetadataImage {
        let mut image = MetadataImage::default();
        for (offset, record) in (0..).zip(&self.log) {
            let record = decode(&encode(record)).expect("it was just written");
            image.apply(offset, 1, &record, &mut MetadataDelta::default());
        }
        image
    }

    pub fn peer(&mut self, from: i32, request: &PeerRequest) -> PeerResponse {
        self.decide(|controller, env| controller.handle(env, BrokerId(from), request));
        let reply = self.last.reply.clone().expect("a request is answered");
        reply.into_peer().expect("a broker is answered")
    }

    pub fn ask(&mut self, api: ApiKey, request: &Request) -> Response {
        let header =
            RequestHeader { api, version: api.max_version(), correlation_id: 1, client_id: None, client_host: None };
        self.ask_at(&header, request)
    }

    pub fn ask_at(&mut self, header: &RequestHeader, request: &Request) -> Response {
        self.decide(|controller, env| controller.admin(env, header, request));
        match self.last.reply.clone() {
            Some(ControllerReply::Client(response)) => response,
            other => panic!("a client is answered, not {other:?}"),
        }
    }

    pub fn tick(&mut self) {
        self.decide(Controller::tick);
    }

    /// Lets time pass and whatever is due happen.
    pub fn pass(&mut self, milliseconds: u64) {
        self.now = self.now.plus_millis(milliseconds);
        self.tick();
    }

    pub fn register_as(&mut self, id: i32, disk: DirectoryId, previous_broker_epoch: i64) -> RegisterBrokerResponse {
        self.incarnations += 1;
        let request = RegisterBrokerRequest {
            broker: BrokerId(id),
            incarnation: Uuid::from_u128(self.incarnations),
            directory: disk,
            host: "localhost".to_owned(),
            port: 9_092,
            rack: None,
            previous_broker_epoch,
            is_controller: true,
        };
        match self.peer(id, &PeerRequest::RegisterBroker(request)) {
            PeerResponse::RegisterBroker(response) => response,
            other => panic!("a registration is answered, not {other:?}"),
        }
    }

    pub fn register(&mut self, id: i32, previous_broker_epoch: i64) -> RegisterBrokerResponse {
        self.register_as(id, directory(id), previous_broker_epoch)
    }

    pub fn epoch_of(&self, id: i32) -> i64 {
        self.image().brokers.get(&BrokerId(id)).map_or(-1, |broker| broker.broker_epoch)
    }

    pub fn beat(&mut self, id: i32, applied: i64, want_fence: bool, want_shut_down: bool) -> BrokerHeartbeatResponse {
        let request = BrokerHeartbeatRequest {
            broker: BrokerId(id),
            broker_epoch: self.epoch_of(id),
            current_metadata_offset: applied,
            want_fence,
            want_shut_down,
        };
        match self.peer(id, &PeerRequest::BrokerHeartbeat(request)) {
            PeerResponse::BrokerHeartbeat(response) => response,
            other => panic!("a heartbeat is answered, not {other:?}"),
        }
    }

    /// A heartbeat of a healthy broker that has applied everything.
    pub fn alive(&mut self, id: i32) -> BrokerHeartbeatResponse {
        let applied = self.end() - 1;
        self.beat(id, applied, false, false)
    }

    /// A broker registers and is unfenced.
    pub fn start(&mut self, id: i32, previous_broker_epoch: i64) {
        assert_eq!(self.register(id, previous_broker_epoch).error, ErrorCode::None);
        assert!(!self.alive(id).is_fenced);
    }

    /// A broker says nothing for a session, the others do.
    pub fn lose(&mut self, id: i32) {
        let half = self.config.broker_session_timeout_ms / 2 + 1;
        for _ in 0..2 {
            self.now = self.now.plus_millis(half);
            let others: Vec<i32> = self.image().brokers.keys().map(|broker| broker.0).filter(|b| *b != id).collect();
            for other in others {
                let is_fenced = self.image().brokers[&BrokerId(other)].fenced;
                if !is_fenced {
                    self.alive(other);
                }
            }
            self.tick();
        }
    }

    /// A topic with these replicas, one list a partition.
    pub fn topic(&mut self, name: &str, replicas: &[&[i32]]) -> PartitionId {
        let assignments = (0..).zip(replicas).map(|(number, replicas)| {
            let replicas = replicas.iter().map(|id| kafka_protocol::messages::BrokerId(*id)).collect();
            CreatableReplicaAssignment::default().with_partition_index(number).with_broker_ids(replicas)
        });
        let topic = CreatableTopic::default()
            .with_name(StrBytes::from_string(name.to_owned()).into())
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments(assignments.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        match self.ask(ApiKey::CreateTopics, &Request::CreateTopics(request)) {
            Response::CreateTopics(response) => assert_eq!(response.topics[0].error_code, 0, "{response:?}"),
            other => panic!("CreateTopics is answered, not {other:?}"),
        }
        PartitionId::new(self.image().topic_ids[name], 0)
    }

    pub fn state(&self, partition: PartitionId) -> &PartitionState {
        self.image().partition(partition).expect("the partition is there")
    }

    /// The leader asks for this ISR, everything it says being right.
    pub fn want_isr(&mut self, partition: PartitionId, isr: &[i32]) -> AlterPartitionAnswer {
        let state = self.state(partition).clone();
        let leader = state.leader.expect("somebody leads");
        let item = AlterPartitionItem {
            partition,
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            new_isr: isr.iter().map(|id| (BrokerId(*id), self.epoch_of(*id))).collect(),
            is_recovering: false,
        };
        self.alter_partition(leader.0, item)
    }

    pub fn alter_partition(&mut self, from: i32, item: AlterPartitionItem) -> AlterPartitionAnswer {
        let broker_epoch = self.epoch_of(from);
        let request = AlterPartitionRequest { broker: BrokerId(from), broker_epoch, partitions: vec![item] };
        match self.peer(from, &PeerRequest::AlterPartition(request)) {
            PeerResponse::AlterPartition(mut response) if response.error.is_none() => response.partitions.remove(0),
            other => panic!("AlterPartition is answered, not {other:?}"),
        }
    }
}

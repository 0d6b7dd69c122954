//! The replica manager in a small world of brokers: a network of messages, disks that are safe when told so, and a
//! controller that is played by hand. `scenarios.rs` has one story a rule, `random.rs` many stories drawn from seeds.

mod consumers;
mod random;
mod scenarios;

use super::{ReplicaEnv, Replicas};
use crate::engine::config::{ClusterConfig, Timing};
use crate::engine::controller::image::{BrokerImage, MetadataDelta, MetadataImage, TopicImage};
use crate::engine::controller::record::{ConfigResource, PartitionState};
use crate::engine::io::{Ctx, Effect, RequestToken, Wake};
use crate::engine::observe::{Event, EventKind, ReplicaSnapshot, Scope};
use crate::engine::rpc::{Rpc, RpcResult};
use crate::engine::testing::{Harness, MemoryStore};
use crate::engine::time::Instant;
use crate::protocol::api::ApiKey;
use crate::protocol::batch::Batch;
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, ConnectionId, DirectoryId, PartitionId, TopicId};
use crate::protocol::peer::{
    AlterPartitionAnswer, AlterPartitionItem, AlterPartitionResponse, PeerBody, PeerMessage, PeerRequest, PeerResponse,
};
use crate::protocol::records::BatchBuilder;
use kafka_protocol::messages as m;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Who decides; not one of the brokers.
const CONTROLLER: BrokerId = BrokerId(99);
const TOPIC: TopicId = TopicId(uuid::Uuid::from_u128(7));
/// The brokers' wall time.
const NOW_MS: i64 = 1_704_067_200_000;
const NAME: &str = "orders";
const P0: PartitionId = PartitionId { topic: TOPIC, partition: 0 };

/// One broker.
#[derive(Debug, Clone)]
struct Node {
    harness: Harness,
    replicas: Replicas,
    rpc: Rpc,
    image: Arc<MetadataImage>,
    broker_epoch: i64,
    is_up: bool,
    /// Writes whose safety was not told yet: sequence number and how many operations that makes.
    unsafe_writes: VecDeque<(u64, usize)>,
    safe_ops: usize,
    responses: BTreeMap<u64, Response>,
    answered_without_response: BTreeSet<u64>,
    events: Vec<Event>,
}

/// All of it.
#[derive(Debug, Clone)]
struct World {
    config: ClusterConfig,
    nodes: BTreeMap<BrokerId, Node>,
    /// The controller's metadata.
    image: MetadataImage,
    messages: VecDeque<(BrokerId, BrokerId, PeerMessage)>,
    /// Links that swallow what is sent, by sender and receiver.
    cut: BTreeSet<(BrokerId, BrokerId)>,
    /// Brokers that get no metadata meanwhile.
    deaf: BTreeSet<BrokerId>,
    /// Brokers whose disks do not answer meanwhile.
    slow_disks: BTreeSet<BrokerId>,
    /// What the controller answers to AlterPartition instead of deciding.
    refuse_isr: Option<ErrorCode>,
    last_token: u64,
    now: Instant,
}

fn ids(numbers: &[i32]) -> Vec<BrokerId> {
    numbers.iter().copied().map(BrokerId).collect()
}

/// A batch of records with a value each.
fn batch(values: &[&str]) -> Batch {
    let builder = values.iter().fold(BatchBuilder::new(), |builder, value| builder.value(NOW_MS, value.as_bytes()));
    builder.build().expect("a batch")
}

fn name() -> m::TopicName {
    m::TopicName(StrBytes::from_static_str(NAME))
}

impl World {
    /// So many brokers, registered and unfenced, without topics.
    fn new(brokers: i32) -> World {
        let mut world = World {
            config: ClusterConfig::preset(Timing::Lab, "test", usize::try_from(brokers).expect("a few")),
            nodes: BTreeMap::new(),
            image: MetadataImage::default(),
            messages: VecDeque::new(),
            cut: BTreeSet::new(),
            deaf: BTreeSet::new(),
            slow_disks: BTreeSet::new(),
            refuse_isr: None,
            last_token: 0,
            now: Instant::from_millis(10_000),
        };
        for number in 1..=brokers {
            let id = BrokerId(number);
            let mut harness = Harness::new(number);
            harness.now = world.now;
            world.nodes.insert(
                id,
                Node {
                    harness,
                    replicas: Replicas::default(),
                    rpc: Rpc::default(),
                    image: Arc::default(),
                    broker_epoch: -1,
                    is_up: false,
                    unsafe_writes: VecDeque::new(),
                    safe_ops: 0,
                    responses: BTreeMap::new(),
                    answered_without_response: BTreeSet::new(),
                    events: Vec::new(),
                },
            );
            world.start(number);
        }
        world
    }

    /// A topic with one partition: replicas in order, the first leads, all are in sync.
    fn with_topic(brokers: i32, replicas: &[i32]) -> World {
        let mut world = World::new(brokers);
        world.create(P0, replicas);
        world.run();
        world
    }

    fn create(&mut self, id: PartitionId, replicas: &[i32]) {
        let topic = self.image.topics.entry(id.topic).or_insert_with(|| {
            Arc::new(TopicImage { name: NAME.to_owned(), id: id.topic, partitions: BTreeMap::new() })
        });
        self.image.topic_ids.insert(NAME.to_owned(), id.topic);
        let replicas = ids(replicas);
        let state = PartitionState {
            isr: replicas.clone(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            adding: Vec::new(),
            removing: Vec::new(),
            leader: replicas.first().copied(),
            leader_epoch: 0,
            partition_epoch: 0,
            is_recovering: false,
            replicas,
        };
        Arc::make_mut(topic).partitions.insert(id.partition, state);
        self.publish(MetadataDelta { partitions: [id].into(), ..MetadataDelta::default() });
    }

    fn state(&self, id: PartitionId) -> &PartitionState {
        self.image.partition(id).expect("the partition exists")
    }

    /// The controller changes a partition.
    fn change(&mut self, id: PartitionId, change: impl FnOnce(&mut PartitionState)) {
        let topic = Arc::make_mut(self.image.topics.get_mut(&id.topic).expect("the topic exists"));
        let state = topic.partitions.get_mut(&id.partition).expect("the partition exists");
        let old_leader = state.leader;
        change(state);
        state.partition_epoch += 1;
        if state.leader != old_leader {
            state.leader_epoch += 1;
        }
        self.publish(MetadataDelta { partitions: [id].into(), ..MetadataDelta::default() });
    }

    /// Another leader, with an ISR.
    fn elect(&mut self, leader: i32, isr: &[i32]) {
        self.change(P0, |state| {
            state.leader = Some(BrokerId(leader));
            state.isr = ids(isr);
        });
        self.run();
    }

    fn set_config(&mut self, key: &str, value: &str) {
        let resource = ConfigResource::Topic(NAME.to_owned());
        self.image.configs.entry(resource.clone()).or_default().insert(key.to_owned(), value.to_owned());
        self.publish(MetadataDelta { configs: [resource].into(), ..MetadataDelta::default() });
        self.run();
    }

    fn set_fenced(&mut self, broker: i32, fenced: bool) {
        self.image.brokers.get_mut(&BrokerId(broker)).expect("registered").fenced = fenced;
        self.publish(MetadataDelta { brokers: [BrokerId(broker)].into(), ..MetadataDelta::default() });
    }

    /// All brokers that hear it apply what changed.
    fn publish(&mut self, delta: MetadataDelta) {
        self.image.end_offset += 1;
        let image = Arc::new(self.image.clone());
        let hearing: Vec<BrokerId> =
            self.nodes.iter().filter(|(id, node)| node.is_up && !self.deaf.contains(id)).map(|(id, _)| *id).collect();
        for id in hearing {
            self.nodes.get_mut(&id).expect("a broker").image = Arc::clone(&image);
            self.step(id, |replicas, cx, rpc, env| replicas.apply_metadata(cx, rpc, env, &delta));
        }
    }

    /// A broker that heard nothing for a while hears it all.
    fn hear(&mut self, broker: i32) {
        let id = BrokerId(broker);
        self.deaf.remove(&id);
        let image = Arc::new(self.image.clone());
        let node = self.nodes.get_mut(&id).expect("a broker");
        if node.is_up {
            node.image = image;
            let delta = MetadataDelta { is_whole: true, ..MetadataDelta::default() };
            self.step(id, |replicas, cx, rpc, env| replicas.apply_metadata(cx, rpc, env, &delta));
        }
    }

    /// A broker starts (again), registers and is unfenced.
    fn start(&mut self, broker: i32) {
        let id = BrokerId(broker);
        let broker_epoch = self.image.end_offset + 100;
        self.image.end_offset += 1;
        self.image.brokers.insert(
            id,
            BrokerImage {
                broker_epoch,
                incarnation: uuid::Uuid::from_u128(u128::from(broker_epoch.unsigned_abs())),
                directory: DirectoryId(uuid::Uuid::from_u128(u128::from(broker.unsigned_abs()))),
                host: format!("host-{broker}"),
                port: 9092,
                rack: Some(format!("rack-{broker}")),
                fenced: false,
                in_controlled_shutdown: false,
                is_controller: false,
            },
        );
        let node = self.nodes.get_mut(&id).expect("a broker");
        node.replicas = Replicas::recover(&node.harness.store).expect("a readable store");
        node.rpc = Rpc::default();
        node.is_up = true;
        node.broker_epoch = broker_epoch;
        node.harness.now = self.now;
        self.publish(MetadataDelta { brokers: [id].into(), ..MetadataDelta::default() });
        self.hear(broker);
    }

    /// A broker dies. With `power_lost` what was not safe is gone, else all that it wrote stays.
    fn kill(&mut self, broker: i32, power_lost: bool) {
        let id = BrokerId(broker);
        let node = self.nodes.get_mut(&id).expect("a broker");
        node.is_up = false;
        if power_lost {
            node.harness.store = MemoryStore::replayed(&node.harness.store.ops()[..node.safe_ops]);
        }
        node.unsafe_writes.clear();
        node.safe_ops = node.harness.store.ops().len();
        node.responses.clear();
        self.messages.retain(|(from, to, _)| *from != id && *to != id);
        self.slow_disks.remove(&id);
        for other in self.nodes.keys().copied().collect::<Vec<_>>() {
            if self.nodes[&other].is_up {
                for result in self.nodes.get_mut(&other).expect("a broker").rpc.fail_peer(id) {
                    self.on_result(other, result);
                }
            }
        }
    }

    fn on_result(&mut self, id: BrokerId, result: RpcResult) {
        self.step(id, |replicas, cx, rpc, env| replicas.on_result(cx, rpc, env, result));
    }

    fn step<T>(&mut self, id: BrokerId, run: impl FnOnce(&mut Replicas, &mut Ctx, &mut Rpc, &ReplicaEnv) -> T) -> T {
        let config = &self.config;
        let node = self.nodes.get_mut(&id).expect("a broker");
        let Node { harness, replicas, rpc, image, broker_epoch, .. } = node;
        harness.now = self.now;
        let env = ReplicaEnv {
            config,
            broker: id,
            broker_epoch: Some(*broker_epoch),
            image,
            controller: Some(CONTROLLER),
            is_fenced: false,
        };
        let result = harness.step(|cx| run(replicas, cx, rpc, &env));
        for effect in node.harness.take_effects() {
            match effect {
                Effect::Persist { seq, .. } => node.unsafe_writes.push_back((seq, node.harness.store.ops().len())),
                Effect::Send { to, message } => self.messages.push_back((id, to, message)),
                Effect::Respond { token, response } => {
                    assert!(node.responses.insert(token.0, response).is_none(), "a request is answered once");
                }
                Effect::NoResponse { token } => {
                    node.answered_without_response.insert(token.0);
                }
                Effect::Emit(event) => node.events.push(event),
                Effect::CloseConnection(_) | Effect::ShutdownComplete => {}
            }
        }
        result
    }

    /// Writes that a broker is told to be safe.
    fn persist(&mut self, broker: i32) {
        let id = BrokerId(broker);
        while let Some((seq, ops)) = self.nodes.get_mut(&id).and_then(|node| node.unsafe_writes.pop_front()) {
            self.nodes.get_mut(&id).expect("a broker").safe_ops = ops;
            self.step(id, |replicas, cx, rpc, env| replicas.on_persisted(cx, rpc, env, seq));
        }
    }

    fn deliver(&mut self, from: BrokerId, to: BrokerId, message: PeerMessage) {
        if self.cut.contains(&(from, to)) {
            return;
        }
        if to == CONTROLLER {
            self.decide(from, message);
            return;
        }
        if !self.nodes.get(&to).is_some_and(|node| node.is_up) {
            return;
        }
        match message.body {
            PeerBody::Request(PeerRequest::ReplicaFetch(fetch)) => self.step(to, |replicas, cx, rpc, env| {
                replicas.on_peer_fetch(cx, rpc, env, from, message.correlation_id, fetch);
            }),
            PeerBody::Response(response) => {
                let request = self.nodes.get_mut(&to).expect("a broker").rpc.take(from, message.correlation_id);
                if let Some(request) = request {
                    self.on_result(to, RpcResult { request, outcome: Ok(response) });
                }
            }
            PeerBody::Request(other) => panic!("nobody here answers {other:?}"),
        }
    }

    /// The controller decides an AlterPartition (`ReplicationControlManager.alterPartition`).
    fn decide(&mut self, from: BrokerId, message: PeerMessage) {
        let PeerBody::Request(PeerRequest::AlterPartition(request)) = message.body else { return };
        let registered = self.image.brokers.get(&request.broker).map(|broker| broker.broker_epoch);
        let mut answers = Vec::new();
        for item in &request.partitions {
            let error = self.refuse_isr.unwrap_or_else(|| self.judge(request.broker, item));
            if error.is_none() {
                self.change(item.partition, |state| {
                    state.isr = item.new_isr.iter().map(|(id, _)| *id).collect();
                    if !state.adding.is_empty() && state.adding.iter().all(|id| state.isr.contains(id)) {
                        let removing = std::mem::take(&mut state.removing);
                        state.adding.clear();
                        state.replicas.retain(|id| !removing.contains(id));
                        state.isr.retain(|id| !removing.contains(id));
                    }
                });
            }
            let state = self.state(item.partition);
            answers.push(AlterPartitionAnswer {
                partition: item.partition,
                error,
                leader: state.leader,
                leader_epoch: state.leader_epoch,
                isr: state.isr.clone(),
                partition_epoch: state.partition_epoch,
                is_recovering: false,
            });
        }
        let error =
            if registered == Some(request.broker_epoch) { ErrorCode::None } else { ErrorCode::StaleBrokerEpoch };
        let response = AlterPartitionResponse { error, partitions: answers };
        let body = PeerBody::Response(PeerResponse::AlterPartition(response));
        let answer = PeerMessage { correlation_id: message.correlation_id, cause: None, body };
        self.messages.push_back((CONTROLLER, from, answer));
    }

    fn judge(&self, asker: BrokerId, item: &AlterPartitionItem) -> ErrorCode {
        let state = self.state(item.partition);
        let is_stale = |(id, epoch): &(BrokerId, i64)| {
            !self.image.is_active(*id) || (*epoch != -1 && self.image.brokers[id].broker_epoch != *epoch)
        };
        if item.leader_epoch < state.leader_epoch {
            ErrorCode::FencedLeaderEpoch
        } else if state.leader != Some(asker) {
            ErrorCode::InvalidRequest
        } else if item.partition_epoch != state.partition_epoch {
            ErrorCode::InvalidUpdateVersion
        } else if item.new_isr.iter().any(is_stale) {
            ErrorCode::IneligibleReplica
        } else {
            ErrorCode::None
        }
    }

    /// Delivers and persists until nothing moves. Time stands still.
    fn run(&mut self) {
        loop {
            let mut has_moved = false;
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                let node = &self.nodes[&id];
                if node.is_up && !self.slow_disks.contains(&id) && !node.unsafe_writes.is_empty() {
                    self.persist(id.0);
                    has_moved = true;
                }
            }
            while let Some((from, to, message)) = self.messages.pop_front() {
                self.deliver(from, to, message);
                has_moved = true;
            }
            if !has_moved {
                return;
            }
        }
    }

    /// Lets time pass, with everything that falls due.
    fn pass(&mut self, milliseconds: u64) {
        let until = self.now.plus_millis(milliseconds);
        self.run();
        loop {
            let due = |node: &Node| Wake::earlier(node.replicas.next_wake(), node.rpc.next_wake()).map(|wake| wake.at);
            let next = self.nodes.values().filter(|node| node.is_up).filter_map(due).min();
            let Some(at) = next.filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                if self.nodes[&id].is_up {
                    for result in self.nodes.get_mut(&id).expect("a broker").rpc.expire(self.now) {
                        self.on_result(id, result);
                    }
                    self.step(id, |replicas, cx, rpc, env| replicas.on_wake(cx, rpc, env));
                }
            }
            self.run();
        }
        self.now = until;
    }

    /// A client's request; its response is found by the number that comes back.
    fn request(&mut self, broker: i32, version: i16, request: Request) -> u64 {
        self.last_token += 1;
        let token = RequestToken(self.last_token);
        let header =
            RequestHeader { api: request.api(), version, correlation_id: 0, client_id: None, client_host: None };
        self.step(BrokerId(broker), |replicas, cx, rpc, env| {
            replicas.on_request(cx, rpc, env, token, ConnectionId(1), &header, request);
        });
        token.0
    }

    fn response(&mut self, broker: i32, token: u64) -> Option<Response> {
        self.nodes.get_mut(&BrokerId(broker)).expect("a broker").responses.remove(&token)
    }

    fn produce_batch(&mut self, broker: i32, acks: i16, timeout_ms: i32, batch: &Batch) -> u64 {
        let data = PartitionProduceData::default().with_index(0).with_records(Some(batch.to_bytes()));
        let topic = TopicProduceData::default().with_name(name()).with_partition_data(vec![data]);
        let request =
            m::ProduceRequest::default().with_acks(acks).with_timeout_ms(timeout_ms).with_topic_data(vec![topic]);
        self.request(broker, 9, Request::Produce(request))
    }

    fn produce(&mut self, broker: i32, acks: i16, values: &[&str]) -> u64 {
        self.produce_batch(broker, acks, 30_000, &batch(values))
    }

    /// What a produce request was answered with, if it was.
    fn produced(&mut self, broker: i32, token: u64) -> Option<PartitionProduceResponse> {
        match self.response(broker, token)? {
            Response::Produce(mut response) => response.responses.pop()?.partition_responses.pop(),
            other => panic!("{:?} is no answer to Produce", ApiKey::name(other.api())),
        }
    }

    fn replica(&self, broker: i32) -> ReplicaSnapshot {
        let node = &self.nodes[&BrokerId(broker)];
        let scope = Scope { partitions: Some(vec![P0]), inside: None };
        node.replicas.snapshot(&scope).pop().expect("a replica")
    }

    fn has_replica(&self, broker: i32) -> bool {
        let node = &self.nodes[&BrokerId(broker)];
        !node.replicas.snapshot(&Scope { partitions: Some(vec![P0]), inside: None }).is_empty()
    }

    /// The batches of a broker's replica.
    fn log(&self, broker: i32) -> Vec<Batch> {
        let id = self.replica(broker).log;
        self.nodes[&BrokerId(broker)].harness.store.batches(id).to_vec()
    }

    fn events(&self, broker: i32) -> impl Iterator<Item = &EventKind> {
        self.nodes[&BrokerId(broker)].events.iter().map(|event| &event.kind)
    }

    fn cut(&mut self, a: i32, b: i32) {
        self.cut.extend([(BrokerId(a), BrokerId(b)), (BrokerId(b), BrokerId(a))]);
    }

    fn isr(&self) -> BTreeSet<i32> {
        self.state(P0).isr.iter().map(|id| id.0).collect()
    }
}

fn code(answer: Option<PartitionProduceResponse>) -> Option<ErrorCode> {
    answer.map(|answer| ErrorCode::from_code(answer.error_code))
}

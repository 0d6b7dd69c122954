//! Brokers that talk to each other: messages arrive at once, disks answer at once unless they are told not to, time goes
//! from one wish to be woken to the next. Requests go in as clients send them, and every answer has to go over the wire
//! in its version.

use crate::engine::broker::Broker;
use crate::engine::config::{BrokerConfig, ClusterConfig, Timing};
use crate::engine::io::{Ctx, Effect, Input, RequestToken};
use crate::engine::testing::Harness;
use crate::protocol::codec::{Request, RequestHeader, Response, decode_response, encode_response};
use crate::protocol::ids::{BrokerId, ConnectionId, DirectoryId, PartitionId};
use crate::protocol::peer::{PeerBody, PeerMessage, PeerRequest, PeerResponse};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, VecDeque};

pub(super) const TOPIC: &str = "orders";

/// A broker that is not in the cluster.
const STRANGER: BrokerId = BrokerId(9);

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

struct Node {
    /// `None` while it is dead; the store stays.
    broker: Option<Broker>,
    harness: Harness,
    config: BrokerConfig,
    unsafe_writes: VecDeque<u64>,
}

/// See the module.
pub(super) struct World {
    nodes: BTreeMap<i32, Node>,
    mail: VecDeque<(i32, BrokerId, PeerMessage)>,
    pub(super) answers: BTreeMap<u64, Response>,
    headers: BTreeMap<u64, RequestHeader>,
    last_token: u64,
    /// Markers of transactions are lost on their way.
    pub(super) lose_markers: bool,
    /// Requests for markers that are on their way for as long as they are kept here.
    pub(super) late_markers: Option<Vec<(i32, BrokerId, PeerMessage)>>,
    /// So many writes become safe, if not all.
    pub(super) disks_answer: Option<usize>,
    /// What producers ask for.
    pub(super) transaction_timeout_ms: i32,
    lives: u128,
    /// What the stranger was answered.
    letters: Vec<PeerBody>,
}

impl World {
    /// A cluster with a topic of two partitions.
    pub(super) fn new(brokers: i32) -> World {
        World::with(brokers, |_| {})
    }

    pub(super) fn with(brokers: i32, change: impl FnOnce(&mut ClusterConfig)) -> World {
        let count = usize::try_from(brokers).expect("few");
        let mut cluster = ClusterConfig::preset(Timing::Lab, "test", count);
        cluster.offsets_topic_num_partitions = 2;
        cluster.transaction_topic_num_partitions = 2;
        change(&mut cluster);
        let directory = |id: i32| DirectoryId(uuid::Uuid::from_u128(u128::try_from(id).expect("an id")));
        let initial_voters: BTreeMap<_, _> = (1..=brokers).map(|id| (BrokerId(id), directory(id))).collect();
        let mut world = World {
            nodes: BTreeMap::new(),
            mail: VecDeque::new(),
            answers: BTreeMap::new(),
            headers: BTreeMap::new(),
            last_token: 0,
            lose_markers: false,
            late_markers: None,
            disks_answer: None,
            transaction_timeout_ms: 2_000,
            lives: 100,
            letters: Vec::new(),
        };
        for id in 1..=brokers {
            let config = BrokerConfig {
                broker: BrokerId(id),
                directory: directory(id),
                incarnation: uuid::Uuid::nil(),
                host: "127.0.0.1".to_owned(),
                port: 9_000 + u16::try_from(id).expect("an id"),
                rack: None,
                initial_voters: initial_voters.clone(),
                cluster: cluster.clone(),
            };
            let harness = Harness::new(id);
            world.nodes.insert(id, Node { broker: None, harness, config, unsafe_writes: VecDeque::new() });
        }
        for id in 1..=brokers {
            world.start(id);
        }
        world.pass(3_000);
        let created = m::create_topics_request::CreatableTopic::default()
            .with_name(m::TopicName(text(TOPIC)))
            .with_num_partitions(2)
            .with_replication_factor(i16::try_from(brokers.min(3)).expect("few"));
        let create = m::CreateTopicsRequest::default().with_topics(vec![created]).with_timeout_ms(1_000);
        world.ask(1, 7, Request::CreateTopics(create));
        world.pass(500);
        world
    }

    /// A process begins on what its store has.
    pub(super) fn start(&mut self, id: i32) {
        self.lives += 1;
        let lives = self.lives;
        let node = self.nodes.get_mut(&id).expect("a broker");
        node.config.incarnation = uuid::Uuid::from_u128(lives);
        let config = node.config.clone();
        let out = node.run(|cx, broker| *broker = Some(Broker::recover(config, cx).expect("a readable store")));
        self.carry_out(id, out);
        self.run();
    }

    /// A process dies; what it wrote stays.
    pub(super) fn kill(&mut self, id: i32) {
        let node = self.nodes.get_mut(&id).expect("a broker");
        node.broker = None;
        node.unsafe_writes.clear();
        self.mail.retain(|(to, from, _)| *to != id && from.0 != id);
        for other in self.alive() {
            self.step(other, Input::LinkDown { peer: BrokerId(id) });
        }
        self.run();
    }

    pub(super) fn alive(&self) -> Vec<i32> {
        self.nodes.iter().filter(|(_, node)| node.broker.is_some()).map(|(id, _)| *id).collect()
    }

    pub(super) fn broker(&self, id: i32) -> &Broker {
        self.nodes[&id].broker.as_ref().expect("a broker that lives")
    }

    pub(super) fn image(&self) -> &crate::engine::controller::image::MetadataImage {
        let alive = self.alive();
        let newest = alive.iter().max_by_key(|id| self.broker(**id).image().end_offset).expect("one that lives");
        self.broker(*newest).image()
    }

    pub(super) fn partition(&self, topic: &str, number: i32) -> PartitionId {
        PartitionId::new(self.image().topic_by_name(topic).expect("the topic").id, number)
    }

    /// Who leads a partition.
    pub(super) fn leader(&self, topic: &str, number: i32) -> i32 {
        let found = self.image().partition(self.partition(topic, number)).expect("the partition");
        found.leader.expect("a leader").0
    }

    fn step(&mut self, id: i32, input: Input) {
        let node = self.nodes.get_mut(&id).expect("a broker");
        if node.broker.is_none() {
            return;
        }
        let out = node.run(|cx, broker| broker.as_mut().expect("just seen").step(cx, input));
        self.carry_out(id, out);
    }

    fn carry_out(&mut self, id: i32, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist { seq, .. } => {
                    self.nodes.get_mut(&id).expect("a broker").unsafe_writes.push_back(seq);
                }
                Effect::Respond { token, response } => {
                    let header = &self.headers[&token.0];
                    let frame = encode_response(header, &response).expect("encodes").to_bytes();
                    let (_, read) = decode_response(header.api, header.version, frame.slice(4..)).expect("readable");
                    assert!(self.answers.insert(token.0, read).is_none(), "one answer a request");
                }
                Effect::Send { to, message } if to == STRANGER => self.letters.push(message.body),
                Effect::Send { to, message } => self.mail.push_back((to.0, BrokerId(id), message)),
                _ => {}
            }
        }
    }

    /// Everything that needs no time.
    pub(super) fn run(&mut self) {
        loop {
            if let Some((to, from, message)) = self.mail.pop_front() {
                let is_marker = matches!(&message.body, PeerBody::Request(PeerRequest::WriteTxnMarkers(_)));
                match &mut self.late_markers {
                    Some(late) if is_marker => late.push((to, from, message)),
                    _ if is_marker && self.lose_markers => {}
                    _ => self.step(to, Input::Peer { from, message }),
                }
                continue;
            }
            if self.disks_answer == Some(0) {
                return;
            }
            let written = |node: &Node| node.unsafe_writes.front().copied();
            let Some((id, seq)) = self.nodes.iter().find_map(|(id, node)| Some((*id, written(node)?))) else { return };
            self.disks_answer = self.disks_answer.map(|left| left - 1);
            self.nodes.get_mut(&id).expect("just seen").unsafe_writes.pop_front();
            self.step(id, Input::Persisted { seq });
        }
    }

    /// The markers that were on their way arrive.
    pub(super) fn deliver_markers(&mut self) {
        self.mail.extend(self.late_markers.take().into_iter().flatten());
        self.run();
    }

    /// Lets time go on.
    pub(super) fn pass(&mut self, milliseconds: u64) {
        self.run();
        let now = self.nodes[&1].harness.now;
        let until = now.plus_millis(milliseconds);
        loop {
            let wake = |node: &Node| node.broker.as_ref().and_then(Broker::next_wake).map(|wake| wake.at);
            let next = self.nodes.iter().filter_map(|(id, node)| Some((wake(node)?, *id))).min();
            let Some((at, id)) = next.filter(|(at, _)| *at <= until) else { break };
            let later = at.since(self.nodes[&1].harness.now).as_nanos().div_ceil(1_000_000);
            self.advance(u64::try_from(later).expect("short"));
            self.step(id, Input::Wake);
            self.run();
        }
        let left = until.since(self.nodes[&1].harness.now).as_millis();
        self.advance(u64::try_from(left).expect("short"));
    }

    fn advance(&mut self, milliseconds: u64) {
        self.nodes.values_mut().for_each(|node| node.harness.advance(milliseconds));
    }

    /// Sends a request; its answer is found by the number that comes back.
    pub(super) fn send(&mut self, to: i32, version: i16, request: Request) -> u64 {
        self.last_token += 1;
        let token = self.last_token;
        let header = RequestHeader {
            api: request.api(),
            version,
            correlation_id: 1,
            client_id: Some("client".to_owned()),
            client_host: None,
        };
        self.headers.insert(token, header.clone());
        self.step(to, Input::Request { token: RequestToken(token), connection: ConnectionId(1), header, request });
        self.run();
        token
    }

    /// Asks a broker as another one would.
    pub(super) fn ask_as_peer(&mut self, to: i32, request: PeerRequest) -> PeerResponse {
        let message = PeerMessage { correlation_id: 1, cause: None, body: PeerBody::Request(request) };
        self.step(to, Input::Peer { from: STRANGER, message });
        self.run();
        match self.letters.pop() {
            Some(PeerBody::Response(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) fn ask(&mut self, to: i32, version: i16, request: Request) -> Response {
        let token = self.send(to, version, request);
        self.answer(token)
    }

    /// Waits for the answer to a request.
    pub(super) fn answer(&mut self, token: u64) -> Response {
        for _ in 0..500 {
            if let Some(answer) = self.answers.remove(&token) {
                return answer;
            }
            self.pass(10);
        }
        panic!("no answer within five seconds");
    }
}

impl Node {
    fn run(&mut self, act: impl FnOnce(Ctx, &mut Option<Broker>)) -> Vec<Effect> {
        let mut out = Vec::new();
        let harness = &mut self.harness;
        let cx = Ctx::new(
            self.config.broker,
            harness.now,
            harness.wall,
            None,
            &mut harness.rng,
            &mut harness.store,
            &mut harness.sequences,
            &mut out,
        );
        act(cx, &mut self.broker);
        out
    }
}

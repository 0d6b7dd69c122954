//! A broker of its own, with groups: requests go in as clients send them, answers come out as each version has them.
//! `joining.rs` is about rebalances, `offsets.rs` about what is committed and what survives, `consumers.rs` about consumer
//! groups (KIP-848), `migration.rs` about groups that change their protocol, `consumers_random.rs` about drawn histories.

mod consumers;
mod consumers_random;
mod joining;
mod migration;
mod offsets;

use crate::engine::broker::Broker;
use crate::engine::config::{BrokerConfig, ClusterConfig, Timing};
use crate::engine::group::OFFSETS_TOPIC;
use crate::engine::group::shard::Shard;
use crate::engine::io::{Ctx, Effect, Input, RequestToken};
use crate::engine::testing::Harness;
use crate::protocol::codec::{Request, RequestHeader, Response, decode_response, encode_response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, ConnectionId, DirectoryId};
use bytes::Bytes;
use kafka_protocol::messages as m;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, VecDeque};

const ME: BrokerId = BrokerId(1);
const GROUP: &str = "billing";
const TOPIC: &str = "orders";

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group() -> m::GroupId {
    m::GroupId(text(GROUP))
}

/// One broker, which is the whole cluster.
struct Cluster {
    broker: Broker,
    harness: Harness,
    config: BrokerConfig,
    unsafe_writes: VecDeque<u64>,
    /// The disk does not answer meanwhile: nothing is committed.
    is_disk_slow: bool,
    answers: BTreeMap<u64, Response>,
    headers: BTreeMap<u64, RequestHeader>,
    last_token: u64,
}

impl Cluster {
    /// A cluster with the topic and a coordinator.
    fn new() -> Cluster {
        Cluster::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ClusterConfig)) -> Cluster {
        let mut cluster = ClusterConfig::preset(Timing::Lab, "test", 1);
        cluster.offsets_topic_num_partitions = 2;
        change(&mut cluster);
        let directory = DirectoryId(uuid::Uuid::from_u128(1));
        let config = BrokerConfig {
            broker: ME,
            directory,
            incarnation: uuid::Uuid::from_u128(2),
            host: "127.0.0.1".to_owned(),
            port: 9092,
            rack: None,
            initial_voters: BTreeMap::from([(ME, directory)]),
            cluster,
        };
        let harness = Harness::new(ME.0);
        let mut cluster = Cluster::recover(config, harness);
        let created = m::create_topics_request::CreatableTopic::default()
            .with_name(m::TopicName(text(TOPIC)))
            .with_num_partitions(2)
            .with_replication_factor(1);
        let create = m::CreateTopicsRequest::default().with_topics(vec![created]).with_timeout_ms(1_000);
        cluster.ask(7, Request::CreateTopics(create));
        cluster.find_coordinator();
        cluster
    }

    fn recover(config: BrokerConfig, mut harness: Harness) -> Cluster {
        let mut out = Vec::new();
        let cx = Ctx::new(
            ME,
            harness.now,
            harness.wall,
            None,
            &mut harness.rng,
            &mut harness.store,
            &mut harness.sequences,
            &mut out,
        );
        let broker = Broker::recover(config.clone(), cx).expect("a readable store");
        let mut cluster = Cluster {
            broker,
            harness,
            config,
            unsafe_writes: VecDeque::new(),
            is_disk_slow: false,
            answers: BTreeMap::new(),
            headers: BTreeMap::new(),
            last_token: 0,
        };
        cluster.carry_out(out);
        cluster.pass(2_000);
        assert!(cluster.broker.is_active_controller() && !cluster.broker.is_fenced(), "a cluster that works");
        cluster
    }

    /// The process dies, and another begins on the same store.
    fn restart(self) -> Cluster {
        let Cluster { config, mut harness, .. } = self;
        harness.effects.clear();
        let config = BrokerConfig { incarnation: uuid::Uuid::from_u128(u128::from(harness.now.0)), ..config };
        let mut cluster = Cluster::recover(config, harness);
        cluster.find_coordinator();
        cluster
    }

    fn find_coordinator(&mut self) {
        for _ in 0..10 {
            let find = m::FindCoordinatorRequest::default().with_key(text(GROUP));
            match self.ask(0, Request::FindCoordinator(find)) {
                Response::FindCoordinator(found) if found.error_code == 0 => {
                    assert_eq!((found.node_id.0, found.port), (1, 9092));
                    return;
                }
                Response::FindCoordinator(found) => {
                    assert_eq!(found.error_code, ErrorCode::CoordinatorNotAvailable.code());
                }
                other => panic!("{other:?}"),
            }
            self.pass(200);
        }
        panic!("no coordinator");
    }

    fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        let cx = Ctx::new(
            ME,
            self.harness.now,
            self.harness.wall,
            None,
            &mut self.harness.rng,
            &mut self.harness.store,
            &mut self.harness.sequences,
            &mut out,
        );
        self.broker.step(cx, input);
        self.carry_out(out);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist { seq, .. } => self.unsafe_writes.push_back(seq),
                Effect::Respond { token, response } => {
                    // Every answer has to go over the wire in its version.
                    let header = &self.headers[&token.0];
                    let frame = encode_response(header, &response).expect("encodes").to_bytes();
                    let (_, read) = decode_response(header.api, header.version, frame.slice(4..)).expect("readable");
                    assert!(self.answers.insert(token.0, read).is_none(), "one answer a request");
                }
                _ => {}
            }
        }
    }

    /// Everything that waits for the disk alone goes on.
    fn run(&mut self) {
        while !self.is_disk_slow
            && let Some(seq) = self.unsafe_writes.pop_front()
        {
            self.step(Input::Persisted { seq });
        }
    }

    fn pass(&mut self, milliseconds: u64) {
        let until = self.harness.now.plus_millis(milliseconds);
        self.run();
        while let Some(wake) = self.broker.next_wake().filter(|wake| wake.at <= until) {
            let later = wake.at.since(self.harness.now).as_nanos();
            self.harness.advance(u64::try_from(later.div_ceil(1_000_000)).expect("short"));
            self.step(Input::Wake);
            self.run();
        }
        let left = until.since(self.harness.now).as_millis();
        self.harness.advance(u64::try_from(left).expect("short"));
    }

    /// Sends a request; its answer is found by the number that comes back.
    fn send(&mut self, version: i16, request: Request) -> u64 {
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
        self.step(Input::Request { token: RequestToken(token), connection: ConnectionId(1), header, request });
        self.run();
        token
    }

    fn ask(&mut self, version: i16, request: Request) -> Response {
        let token = self.send(version, request);
        self.answers.remove(&token).expect("an answer at once")
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.broker.groups().shards()
    }

    /// Replaying the log gives what the coordinator has, to the last byte.
    fn assert_replay_equals_live(self) -> Cluster {
        let before: Vec<_> = self.shards().map(|shard| (shard.id(), shard.committed().clone())).collect();
        assert!(self.shards().all(|shard| shard.committed() == shard.appended()), "nothing is under way");
        let after = self.restart();
        let found: Vec<_> = after.shards().map(|shard| (shard.id(), shard.committed().clone())).collect();
        assert_eq!(before, found);
        after
    }

    fn join(&mut self, version: i16, member: &str, more: impl FnOnce(&mut m::JoinGroupRequest)) -> u64 {
        let protocol = |name: &str| {
            JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(subscription(&[TOPIC]))
        };
        let mut join = m::JoinGroupRequest::default()
            .with_group_id(group())
            .with_member_id(text(member))
            .with_session_timeout_ms(3_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol("range"), protocol("roundrobin")]);
        if version >= 1 {
            join.rebalance_timeout_ms = 10_000;
        }
        more(&mut join);
        self.send(version, Request::JoinGroup(join))
    }

    /// The answer to a JoinGroup that is there now.
    fn joined(&mut self, token: u64) -> m::JoinGroupResponse {
        match self.answers.remove(&token) {
            Some(Response::JoinGroup(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    fn sync(&mut self, version: i16, member: &str, generation: i32, given: &[(&str, &'static [u8])]) -> u64 {
        let given = given.iter().map(|(member, assignment)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(Bytes::from_static(assignment))
        });
        let sync = m::SyncGroupRequest::default()
            .with_group_id(group())
            .with_member_id(text(member))
            .with_generation_id(generation)
            .with_assignments(given.collect());
        self.send(version, Request::SyncGroup(sync))
    }

    fn synced(&mut self, token: u64) -> (ErrorCode, Bytes) {
        match self.answers.remove(&token) {
            Some(Response::SyncGroup(response)) => (ErrorCode::from_code(response.error_code), response.assignment),
            other => panic!("{other:?}"),
        }
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        let beat = m::HeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(text(member))
            .with_generation_id(generation);
        match self.ask(4, Request::Heartbeat(beat)) {
            Response::Heartbeat(response) => ErrorCode::from_code(response.error_code),
            other => panic!("{other:?}"),
        }
    }

    fn describe(&mut self) -> m::describe_groups_response::DescribedGroup {
        let describe = m::DescribeGroupsRequest::default().with_groups(vec![group()]);
        match self.ask(5, Request::DescribeGroups(describe)) {
            Response::DescribeGroups(mut response) => response.groups.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// Two members in a stable group: their ids, the leader first.
    fn two_members(&mut self) -> (String, String) {
        let (first, second) = (self.join(3, "", |_| {}), self.join(3, "", |_| {}));
        self.pass(10);
        let (first, second) = (self.joined(first), self.joined(second));
        assert_eq!((first.generation_id, second.generation_id), (1, 1));
        let (a, b) = (first.member_id.to_string(), second.member_id.to_string());
        assert_eq!((&*first.leader, &*second.leader, first.members.len()), (&*a, &*a, 2));
        let b_syncs = self.sync(0, &b, 1, &[]);
        let a_syncs = self.sync(0, &a, 1, &[(&a, b"first"), (&b, b"second")]);
        assert_eq!(self.synced(a_syncs), (ErrorCode::None, Bytes::from_static(b"first")));
        assert_eq!(self.synced(b_syncs), (ErrorCode::None, Bytes::from_static(b"second")));
        (a, b)
    }
}

/// A consumer's subscription, version 0.
fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 0];
    bytes.extend(i32::try_from(topics.len()).expect("few").to_be_bytes());
    for topic in topics {
        bytes.extend(i16::try_from(topic.len()).expect("short").to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1_i32).to_be_bytes());
    Bytes::from(bytes)
}

#[test]
fn a_groups_partition_is_javas() {
    assert_eq!(super::partition_for("", 50), 0);
    assert_eq!(super::partition_for("a", 50), 97 % 50);
    assert_eq!(super::partition_for("ab", 50), (97 * 31 + 98) % 50);
    // The smallest number there is has no positive twin.
    assert_eq!(super::partition_for("polygenelubricants", 50), 0);
    // Characters beyond the first 65,536 count as two.
    assert_eq!(super::partition_for("\u{1F600}", 1_000_000), (0xD83D * 31 + 0xDE00) % 1_000_000);
}

#[test]
fn the_internal_topic_is_compacted_and_closed_to_clients() {
    let mut cluster = Cluster::new();
    let image = cluster.broker.image();
    let topic = image.topic_by_name(OFFSETS_TOPIC).expect("the topic");
    assert_eq!(topic.partitions.len(), 2);
    let policy = crate::engine::controller::record::ConfigResource::Topic(OFFSETS_TOPIC.to_owned());
    assert_eq!(image.config(&policy, "cleanup.policy"), Some("compact"));
    let delete = m::DeleteTopicsRequest::default().with_topic_names(vec![m::TopicName(text(OFFSETS_TOPIC))]);
    let Response::DeleteTopics(deleted) = cluster.ask(5, Request::DeleteTopics(delete)) else { panic!("an answer") };
    assert_eq!(deleted.responses[0].error_code, ErrorCode::InvalidTopicException.code());
    let grow = m::create_partitions_request::CreatePartitionsTopic::default()
        .with_name(m::TopicName(text(OFFSETS_TOPIC)))
        .with_count(9);
    let grow = m::CreatePartitionsRequest::default().with_topics(vec![grow]);
    let Response::CreatePartitions(grown) = cluster.ask(3, Request::CreatePartitions(grow)) else {
        panic!("an answer")
    };
    assert_eq!(grown.results[0].error_code, ErrorCode::InvalidTopicException.code());
    let batch = crate::protocol::records::BatchBuilder::new().value(1, b"mine").build().expect("a batch");
    let data = m::produce_request::PartitionProduceData::default().with_records(Some(batch.to_bytes()));
    let data = m::produce_request::TopicProduceData::default()
        .with_name(m::TopicName(text(OFFSETS_TOPIC)))
        .with_partition_data(vec![data]);
    let produce = m::ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![data]);
    let Response::Produce(produced) = cluster.ask(9, Request::Produce(produce)) else { panic!("an answer") };
    let error = produced.responses[0].partition_responses[0].error_code;
    assert_eq!(error, ErrorCode::InvalidTopicException.code());
}

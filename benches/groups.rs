//! How long a group of 100 members over 600 partitions takes to settle, in both protocols, against three live brokers: from the first
//! join until every member has its six partitions and nobody has another's. The aim is under 2 s. `cargo bench --bench groups`.
//!
//! `KAFKARIUM` may name another program than the one that is built. Its members are no more than the protocol: a connection and a thread each, no records.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "only the core has neither clock nor threads")]

use bytes::Bytes;
use kafka_protocol::messages as m;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::protocol::StrBytes;
use kafkarium::engine::group::OFFSETS_TOPIC;
use kafkarium::protocol::codec::{self, Request, RequestHeader, Response};
use kafkarium::protocol::consumer_protocol::{Subscription, decode_assignment, encode_assignment, encode_subscription};
use kafkarium::protocol::error::ErrorCode;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const MEMBERS: usize = 100;
const PARTITIONS: usize = 600;
const EACH: usize = PARTITIONS / MEMBERS;
const RUNS: usize = 5;
const FIRST_PORT: u16 = 31_840;
const TOPIC: &str = "orders";
const PATIENCE: Duration = Duration::from_secs(60);
const HEARTBEAT: Duration = Duration::from_millis(200);

type Places = BTreeSet<i32>;

fn main() {
    let home = tempfile::tempdir().expect("a folder");
    let _server = Server(serve(home.path()));
    ctl(home.path(), &format!("topic create {TOPIC} --partitions {PARTITIONS}"));
    for (name, run) in [("classic", classic as fn(Place)), ("consumer", consumer as fn(Place))] {
        let mut took: Vec<Duration> = (0..RUNS).map(|number| settle(&format!("{name}-{number}"), run)).collect();
        took.sort_unstable();
        println!(
            "{name}: {MEMBERS} members over {PARTITIONS} partitions settle in {:?} (median of {RUNS}; {:?} to {:?})",
            took[RUNS / 2],
            took[0],
            took[RUNS - 1]
        );
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(home: &Path) -> Command {
    let built = || env!("CARGO_BIN_EXE_kafkarium").into();
    let mut command = Command::new(std::env::var_os("KAFKARIUM").unwrap_or_else(built));
    command.env_clear().env("HOME", home).env("XDG_RUNTIME_DIR", home).current_dir(home).stdin(Stdio::null());
    command
}

fn serve(home: &Path) -> Child {
    let mut command = program(home);
    command.args(["serve", "--brokers=3", "--data=data", "--socket=control", "--ready-file=ready"]);
    command.args(["--durability=memory", &format!("--port={FIRST_PORT}")]).stdout(Stdio::null());
    let child = command.spawn().expect("it starts");
    until("it is ready", || home.join("ready").exists());
    child
}

fn ctl(home: &Path, line: &str) {
    let mut command = program(home);
    let output = command.args(["ctl", "--socket=control"]).args(line.split(' ')).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A member's place in a run.
struct Place {
    group: String,
    number: usize,
    connection: Connection,
    /// What it has, for all to see.
    owned: Arc<Mutex<Vec<Places>>>,
    is_over: Arc<AtomicBool>,
}

impl Place {
    fn tell(&self, owned: Places) {
        self.owned.lock().expect("no member fails")[self.number] = owned;
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// One group from its first join until it has settled.
fn settle(group: &str, run: fn(Place)) -> Duration {
    let port = coordinator(group);
    let owned = Arc::new(Mutex::new(vec![Places::new(); MEMBERS]));
    let is_over = Arc::new(AtomicBool::new(false));
    let places: Vec<Place> = (0..MEMBERS)
        .map(|number| Place {
            group: group.to_owned(),
            number,
            connection: Connection::new(port),
            owned: Arc::clone(&owned),
            is_over: Arc::clone(&is_over),
        })
        .collect();
    let begun = Instant::now();
    let members: Vec<_> = places.into_iter().map(|place| thread::spawn(move || run(place))).collect();
    until("the group has settled", || {
        let owned = owned.lock().expect("no member fails");
        owned.iter().all(|places| places.len() == EACH)
            && owned.iter().flatten().collect::<BTreeSet<_>>().len() == PARTITIONS
    });
    let took = begun.elapsed();
    is_over.store(true, Ordering::Relaxed);
    members.into_iter().for_each(|member| member.join().expect("no member fails"));
    took
}

/// The port of the group's coordinator, once it is one.
fn coordinator(group: &str) -> u16 {
    let mut any = Connection::new(FIRST_PORT);
    let begun = Instant::now();
    loop {
        let find = m::FindCoordinatorRequest::default().with_key(text(group));
        let Response::FindCoordinator(found) = any.ask(1, Request::FindCoordinator(find)) else { panic!("an answer") };
        if found.error_code == 0 {
            return u16::try_from(found.port).expect("a port");
        }
        assert!(begun.elapsed() < PATIENCE, "no coordinator for {group} in {OFFSETS_TOPIC}");
        thread::sleep(Duration::from_millis(20));
    }
}

struct Connection(TcpStream);

impl Connection {
    fn new(port: u16) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Connection(stream)
    }

    fn ask(&mut self, version: i16, request: Request) -> Response {
        let header =
            RequestHeader { api: request.api(), version, correlation_id: 1, client_id: None, client_host: None };
        let frame = codec::encode_request(&header, &request).expect("encodes").to_bytes();
        self.0.write_all(&frame).expect("sent");
        let mut length = [0; 4];
        self.0.read_exact(&mut length).expect("an answer");
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("short")];
        self.0.read_exact(&mut answer).expect("a whole answer");
        codec::decode_response(header.api, version, Bytes::from(answer)).expect("readable").1
    }
}

/// A member of the consumer protocol: it gives back at once what it is not to have, and says so.
fn consumer(mut place: Place) {
    let id = format!("member-{:03}", place.number);
    let (mut epoch, mut owned): (i32, Option<m::consumer_group_heartbeat_response::Assignment>) = (0, None);
    while !place.is_over() {
        let mut request = m::ConsumerGroupHeartbeatRequest::default()
            .with_group_id(m::GroupId(text(&place.group)))
            .with_member_id(text(&id))
            .with_member_epoch(epoch)
            .with_topic_partitions(Some(owned.as_ref().map(said).unwrap_or_default()));
        if epoch == 0 {
            request = request
                .with_rebalance_timeout_ms(30_000)
                .with_subscribed_topic_names(Some(vec![m::TopicName(text(TOPIC))]));
        }
        let answer = place.connection.ask(1, Request::ConsumerGroupHeartbeat(request));
        let Response::ConsumerGroupHeartbeat(told) = answer else { panic!("an answer") };
        assert_eq!(told.error_code, 0, "{:?}", told.error_message);
        epoch = told.member_epoch;
        let is_news = told.assignment.is_some();
        if let Some(assignment) = told.assignment {
            place.tell(assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect());
            owned = Some(assignment);
        }
        if !is_news {
            thread::sleep(Duration::from_millis(u64::try_from(told.heartbeat_interval_ms).expect("positive")));
        }
    }
}

fn said(assignment: &m::consumer_group_heartbeat_response::Assignment) -> Vec<TopicPartitions> {
    let topics = assignment.topic_partitions.iter();
    let topic = |topic: &m::consumer_group_heartbeat_response::TopicPartitions| {
        TopicPartitions::default().with_topic_id(topic.topic_id).with_partitions(topic.partitions.clone())
    };
    topics.map(topic).collect()
}

/// A member of the classic protocol: it joins again whenever it is asked to; the leader deals out in turn.
fn classic(mut place: Place) {
    let mut id = String::new();
    while !place.is_over() {
        let joined = join(&mut place, &id);
        id = joined.member_id.to_string();
        if joined.error_code != 0 {
            assert_eq!(ErrorCode::from_code(joined.error_code), ErrorCode::MemberIdRequired);
            continue;
        }
        let given = joined.members.iter().enumerate().map(|(rank, member)| {
            let places = (rank..PARTITIONS).step_by(joined.members.len());
            let places = places.map(|number| (TOPIC.to_owned(), i32::try_from(number).expect("few"))).collect();
            SyncGroupRequestAssignment::default()
                .with_member_id(member.member_id.clone())
                .with_assignment(encode_assignment(&places))
        });
        let sync = m::SyncGroupRequest::default()
            .with_group_id(m::GroupId(text(&place.group)))
            .with_member_id(text(&id))
            .with_generation_id(joined.generation_id)
            .with_assignments(given.collect());
        let Response::SyncGroup(synced) = place.connection.ask(3, Request::SyncGroup(sync)) else {
            panic!("an answer")
        };
        if synced.error_code != 0 {
            continue;
        }
        let owned = decode_assignment(synced.assignment).expect("an assignment");
        place.tell(owned.into_iter().map(|(_, number)| number).collect());
        beat_until_asked_to_join(&mut place, &id, joined.generation_id);
    }
}

fn join(place: &mut Place, id: &str) -> m::JoinGroupResponse {
    let subscription = Subscription { topics: vec![TOPIC.to_owned()], owned: Vec::new(), generation: -1 };
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(encode_subscription(&subscription));
    let join = m::JoinGroupRequest::default()
        .with_group_id(m::GroupId(text(&place.group)))
        .with_member_id(text(id))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let Response::JoinGroup(joined) = place.connection.ask(5, Request::JoinGroup(join)) else { panic!("an answer") };
    joined
}

fn beat_until_asked_to_join(place: &mut Place, id: &str, generation: i32) {
    while !place.is_over() {
        let beat = m::HeartbeatRequest::default()
            .with_group_id(m::GroupId(text(&place.group)))
            .with_member_id(text(id))
            .with_generation_id(generation);
        let Response::Heartbeat(told) = place.connection.ask(3, Request::Heartbeat(beat)) else { panic!("an answer") };
        if told.error_code != 0 {
            // What it had it has no more.
            return place.tell(Places::new());
        }
        thread::sleep(HEARTBEAT);
    }
}

//! The live host with a real client: what is acknowledged is there, whatever happens to one broker.

use kafkarium::cluster::command::values::Size;
use kafkarium::cluster::command::{Execute, Reply, parse_line};
use kafkarium::cluster::data_dir::DataDir;
use kafkarium::cluster::live::{Ended, FactKind, HostFact, LiveCluster, LivePort};
use kafkarium::cluster::options::{ClusterOptions, Durability, Place};
use kafkarium::cluster::view::{
    BrokerState, ClusterPort, Outcome, ViewRequest, WireEnd, WireMessage, WireRequest, WireState,
};
use kafkarium::engine::observe::EventKind;
use kafkarium::protocol::ids::BrokerId;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn start(folder: &Path, durability: Durability) -> LiveCluster {
    start_with(folder, durability, &[])
}

fn start_with(folder: &Path, durability: Durability, settings: &[&str]) -> LiveCluster {
    let place = Place::Folder(folder.to_owned());
    let data = DataDir::open(&place).expect("a data folder");
    let settings = settings.iter().map(|setting| setting.parse().expect("KEY=VALUE")).collect();
    let options = ClusterOptions { first_port: 0, durability, place, settings, ..ClusterOptions::default() };
    let cluster = LiveCluster::start(options, data).expect("starts");
    assert_eq!(cluster.wait_ready(PATIENCE), Ok(()), "{:?}", cluster.facts_after(0).0);
    cluster
}

fn run(cluster: &LiveCluster, line: &str) -> Reply {
    cluster.execute(parse_line(line).expect("a command"))
}

fn done(cluster: &LiveCluster, line: &str) -> String {
    match run(cluster, line) {
        Reply::Done { text, .. } => text,
        Reply::Failed { reason, .. } => panic!("`{line}`: {reason}\n{:#?}", cluster.facts_after(0).0),
    }
}

fn failed(cluster: &LiveCluster, line: &str) -> String {
    match run(cluster, line) {
        Reply::Failed { reason, .. } => reason,
        Reply::Done { text, .. } => panic!("`{line}` was done: {text}"),
    }
}

/// Where every acknowledged record went: number by partition and offset.
#[derive(Default, Clone)]
struct Acked(Arc<Mutex<Vec<(i32, i64, u64)>>>, Arc<AtomicU64>);

impl rdkafka::ClientContext for Acked {}

impl ProducerContext for Acked {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        match result {
            Ok(message) => self.0.lock().expect("whole").push((message.partition(), message.offset(), *number)),
            Err(_) => _ = self.1.fetch_add(1, Ordering::Relaxed),
        }
    }
}

fn producer(cluster: &LiveCluster, acked: &Acked) -> ThreadedProducer<Acked> {
    ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "2")
        .set("message.timeout.ms", "60000")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200")
        .create_with_context(acked.clone())
        .expect("a producer")
}

fn produce(cluster: &LiveCluster, topic: &str, count: u64) {
    let acked = Acked::default();
    let producer = producer(cluster, &acked);
    for n in 0..count {
        let (key, value) = (n.to_string(), n.to_string());
        let record = BaseRecord::with_opaque_to(topic, Box::new(n)).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(PATIENCE).expect("all acknowledged");
    assert_eq!(acked.0.lock().expect("whole").len() as u64, count);
}

/// Everything in so many partitions: partition, offset, number.
fn consume(cluster: &LiveCluster, topic: &str, partitions: i32, at_least: usize) -> Vec<(i32, i64, u64)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut assignment = rdkafka::TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, rdkafka::Offset::Beginning).expect("an offset");
    }
    consumer.assign(&assignment).expect("assigned");
    let until = Instant::now() + PATIENCE;
    let (mut read, mut ends) = (Vec::new(), std::collections::BTreeSet::new());
    while (read.len() < at_least || ends.len() < usize::try_from(partitions).expect("few")) && Instant::now() < until {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let value = std::str::from_utf8(message.payload().expect("a value")).expect("text");
                read.push((message.partition(), message.offset(), value.parse().expect("a number")));
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => _ = ends.insert(partition),
            _ => {}
        }
    }
    read
}

#[test]
fn a_real_client_produces_and_consumes_and_the_data_outlive_a_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Process);
    produce(&cluster, "orders", 1_000);
    let before = consume(&cluster, "orders", 1, 1_000);
    assert_eq!(before.iter().map(|read| read.2).collect::<Vec<_>>(), (0..1_000).collect::<Vec<_>>());
    let began = Instant::now();
    cluster.shut_down();
    assert!(began.elapsed() < Duration::from_secs(5), "stopped in {:?}", began.elapsed());
    drop(cluster);
    let cluster = start(folder.path(), Durability::Process);
    assert_eq!(consume(&cluster, "orders", 1, 1_000), before);
    let facts = cluster.facts_after(0).0;
    let clean =
        facts.iter().filter(|fact| matches!(fact.kind, FactKind::Broker(EventKind::Started { was_clean: true })));
    assert_eq!(clean.count(), 3, "every store was closed cleanly");
}

/// One thing after another happens to one broker at a time, under load.
fn ordeal(durability: Durability, deeds: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), durability);
    done(&cluster, "topic create ordeal --partitions 3 --replicas 3");
    let acked = Acked::default();
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let producer = producer(&cluster, &acked);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let n = sent.fetch_add(1, Ordering::Relaxed);
                let value = n.to_string();
                let record: BaseRecord<'_, str, str, Box<u64>> =
                    BaseRecord::with_opaque_to("ordeal", Box::new(n)).payload(value.as_str()).partition((n % 3) as i32);
                producer.send(record).map_err(|(error, _)| error).expect("queued");
                std::thread::park_timeout(Duration::from_micros(500));
            }
        });
        for deed in deeds {
            let before = acked.0.lock().expect("whole").len();
            let until = Instant::now() + PATIENCE;
            // Something has to be at stake.
            while acked.0.lock().expect("whole").len() < before + 100 {
                assert!(Instant::now() < until, "nothing is acknowledged before {deed}");
                std::thread::park_timeout(Duration::from_millis(1));
            }
            for line in deed.split("; ") {
                done(&cluster, line);
            }
            done(&cluster, "wait under-replicated = 0 --within 60s");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    producer.flush(PATIENCE).expect("all ended");
    assert_eq!(acked.1.load(Ordering::Relaxed), 0, "nothing was given up");
    let mut expected = acked.0.lock().expect("whole").clone();
    assert_eq!(expected.len() as u64, sent.load(Ordering::Relaxed));
    let mut read = consume(&cluster, "ordeal", 3, expected.len());
    for partition in 0..3 {
        let numbers: Vec<u64> = read.iter().filter(|read| read.0 == partition).map(|read| read.2).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "order and no duplicates in partition {partition}");
    }
    read.sort_unstable();
    expected.sort_unstable();
    let lost: Vec<_> =
        expected.iter().filter(|record| read.binary_search_by_key(&record.2, |r| r.2).is_err()).collect();
    let found: std::collections::BTreeSet<u64> = read.iter().map(|read| read.2).collect();
    assert!(expected.iter().all(|record| found.contains(&record.2)), "lost: {:?}", lost.len());
    assert_eq!(read.len(), expected.len(), "nothing came twice");
}

#[test]
fn nothing_acknowledged_is_lost_when_brokers_die_and_come_back() {
    ordeal(
        Durability::Process,
        &[
            "kill leader of ordeal-0; start killed",
            "kill controller; start killed",
            "stop 1; start 1",
            "suspend 2; wait under-replicated > 0 --within 30s; resume 2",
            "powerloss 3; wait under-replicated > 0 --within 30s; start 3",
            "link cut 1 2,3; wait under-replicated > 0 --within 30s; heal",
            "kill 2; start 2",
            "restart controller",
        ],
    );
}

#[test]
fn nothing_acknowledged_is_lost_in_memory_and_with_every_write_synced() {
    ordeal(Durability::Memory, &["kill leader of ordeal-1; start killed", "powerloss 2; start 2"]);
    ordeal(Durability::Sync, &["kill leader of ordeal-1; start killed", "powerloss 2; start 2"]);
}

/// A batch on a broker's disk goes bad: its reader is refused by the CRC, the broker takes its log directory offline, and
/// a wiped one comes back with a copy of the others'.
#[test]
fn a_bad_batch_is_found_when_it_is_read_and_cured_from_a_replica() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Process);
    done(&cluster, "topic create bad --partitions 1 --replicas 3");
    for number in 0..5 {
        done(&cluster, &format!("produce bad --value {number}"));
    }
    // An orderly stop flushes: what a broker reads then comes from its database.
    for id in 1..=3 {
        done(&cluster, &format!("restart {id}"));
        done(&cluster, "wait under-replicated = 0 --within 60s");
    }
    let leads = |id: &i32| run(&cluster, &format!("expect leader bad-0 = {id}")).is_done();
    let leader = (1..=3).find(leads).expect("a leader");
    done(&cluster, &format!("disk corrupt {leader} --partition bad-0 --offset 3"));
    let read = consume(&cluster, "bad", 1, 5);
    assert_eq!(read.iter().map(|read| read.2).collect::<Vec<_>>(), [0, 1, 2, 3, 4], "another replica has it whole");
    done(&cluster, "wait alive = 2 --within 60s");
    let found = || {
        let is_it = |kind: &FactKind| match kind {
            FactKind::Host(HostFact::BrokerEnded { broker, how: Ended::Crashed { message } }) => {
                *broker == BrokerId(leader) && message.contains("CRC")
            }
            _ => false,
        };
        cluster.facts_after(0).0.iter().filter(|fact| is_it(&fact.kind)).count()
    };
    assert_eq!(found(), 1);
    done(&cluster, &format!("wipe {leader}"));
    done(&cluster, &format!("start {leader}"));
    done(&cluster, "wait under-replicated = 0 --within 60s");
    // What is damaged while its broker is down is found as well.
    done(&cluster, &format!("stop {leader}"));
    let said = done(&cluster, &format!("disk corrupt {leader} --partition bad-0 --offset 2"));
    assert!(said.contains("the batch of bad-0 at offset 2 is damaged"), "{said}");
    done(&cluster, &format!("start {leader}"));
    done(&cluster, "wait under-replicated = 0 --within 60s");
    let replicas: Vec<String> = (0..3).map(|n| ((leader - 1 + n) % 3 + 1).to_string()).collect();
    done(&cluster, &format!("reassign start bad-0 --to {}", replicas.join(",")));
    done(&cluster, "elect preferred bad-0");
    done(&cluster, &format!("wait leader bad-0 = {leader} --within 60s"));
    assert_eq!(consume(&cluster, "bad", 1, 5).len(), 5);
    done(&cluster, "wait alive = 2 --within 60s");
    assert_eq!(found(), 2);
    let reason = failed(&cluster, &format!("disk corrupt {leader} --partition bad-0 --offset 99"));
    assert!(reason.contains("no such batch"), "{reason}");
    let reason = failed(&cluster, "disk corrupt 1 --partition bad-9");
    assert_eq!(reason, "there is no partition bad-9");
}

/// Whoever deletes a topic wants its records gone: they are no loss, and the load that wrote them does not bring it back.
#[test]
fn a_deleted_topic_takes_its_load_with_it_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Memory);
    done(&cluster, "topic create short --partitions 2 --replicas 3");
    done(&cluster, "produce short --rate 200/s");
    let port = &mut LivePort::open(&cluster).expect("a port");
    let acked = |port: &mut LivePort| port.view(&ViewRequest::default()).ledger.map_or(0, |ledger| ledger.acked);
    let until = Instant::now() + PATIENCE;
    while acked(port) < 100 {
        assert!(Instant::now() < until, "nothing is acknowledged");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    done(&cluster, "topic delete short");
    // Whatever was under way has ended when another load has been read.
    done(&cluster, "topic create other --partitions 1 --replicas 3");
    let before = acked(port);
    done(&cluster, "produce other --rate 200/s");
    while acked(port) < before + 200 {
        assert!(Instant::now() < until, "the other load is not acknowledged");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!(done(&cluster, "expect lost = 0"), "lost is 0.");
    assert!(!done(&cluster, "topic list").contains("short"));
}

#[test]
fn commands_say_what_they_did_and_why_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Memory);
    assert_eq!(done(&cluster, "kill 2"), "Broker 2 is dead.");
    assert_eq!(failed(&cluster, "kill 2"), "broker 2 does not run");
    assert_eq!(failed(&cluster, "kill 7"), "there is no broker 7");
    assert!(done(&cluster, "undo").contains("Broker 2 is up."));
    assert_eq!(done(&cluster, "wait alive = 3 --within 20s"), "alive is 3.");
    assert_eq!(failed(&cluster, "undo"), "there is nothing to undo");
    done(&cluster, "link cut 1 2");
    done(&cluster, "disk slow 3 5ms");
    done(&cluster, "clock skew 1 +5s");
    assert_eq!(done(&cluster, "expect faults = 3"), "faults is 3.");
    done(&cluster, "undo");
    assert_eq!(done(&cluster, "expect faults = 2"), "faults is 2.");
    done(&cluster, "heal");
    assert_eq!(done(&cluster, "expect faults = 0"), "faults is 0.");
    done(&cluster, "pause");
    assert!(failed(&cluster, "topic create late").contains("paused"));
    done(&cluster, "run");
    done(&cluster, "topic create mine --partitions 2");
    let said = done(&cluster, "produce mine --value hello --partition 1");
    assert_eq!(said, "Sent 1 record to mine-1 at offset 0");
    assert!(done(&cluster, "consume mine").contains("mine-1@0 hello"));
    assert_eq!(done(&cluster, "broker add"), "Broker 4 is up.");
    assert!(failed(&cluster, "broker remove 1").contains("votes"));
    assert_eq!(done(&cluster, "broker remove 4"), "Broker 4 is no longer part of the cluster.");
    assert_eq!(cluster.bootstrap_servers().split(',').count(), 3);
}

/// A broker that is cut off answers clients with what it knew; whoever asks the host is told what holds.
#[test]
fn what_is_told_of_a_topic_is_not_what_a_broker_that_is_cut_off_believes() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Memory);
    done(&cluster, "topic create orders --partitions 1 --replicas 3");
    done(&cluster, "link cut 1 2,3");
    done(&cluster, "wait isr orders-0 = 2,3 --within 60s");
    let told = done(&cluster, "topic describe orders");
    assert!(told.contains("isr 2,3") || told.contains("isr 3,2"), "{told}");
    assert!(done(&cluster, "quorum describe").contains("leader"));
}

/// Whoever says `controller` means the next one while there is none.
#[test]
fn the_next_controller_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Memory);
    done(&cluster, "topic create orders --partitions 1 --replicas 3");
    for _ in 0..2 {
        let first = done(&cluster, "kill controller");
        let second = done(&cluster, "suspend controller");
        assert_ne!(first[..8], second[..8], "another one: {first} {second}");
        done(&cluster, "heal");
        done(&cluster, "kill leader of orders-0");
        done(&cluster, "restart leader of orders-0");
        done(&cluster, "heal");
        done(&cluster, "wait under-replicated = 0 --within 60s");
    }
    assert_eq!(failed(&cluster, "kill leader of orders-7"), "there is no partition orders-7");
}

#[test]
fn a_full_disk_takes_its_broker_down_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Process);
    done(&cluster, "topic create orders --partitions 3 --replicas 3");
    done(&cluster, "disk full 2");
    produce(&cluster, "orders", 50);
    done(&cluster, "wait alive = 2 --within 30s");
    let crashed = cluster.facts_after(0).0.into_iter().any(|fact| {
        matches!(fact.kind, FactKind::Host(HostFact::BrokerEnded { broker: BrokerId(2), how: Ended::Crashed { .. } }))
    });
    assert!(crashed, "and it says so");
    done(&cluster, "heal");
    done(&cluster, "wait alive = 3 --within 30s");
    assert_eq!(consume(&cluster, "orders", 3, 50).len(), 50);
}

#[test]
fn a_failing_disk_takes_its_broker_down_until_it_is_healed() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Process);
    done(&cluster, "topic create orders --partitions 3 --replicas 3");
    produce(&cluster, "orders", 20);
    done(&cluster, "disk fail 3");
    done(&cluster, "wait alive = 2 --within 30s");
    produce(&cluster, "orders", 30);
    done(&cluster, "undo");
    done(&cluster, "start 3");
    done(&cluster, "wait under-replicated = 0 --within 60s");
    assert_eq!(consume(&cluster, "orders", 3, 50).len(), 50);
}

#[test]
fn a_memory_limit_lets_the_oldest_records_go_and_the_newest_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::Folder(folder.path().to_owned());
    let data = DataDir::open(&place).expect("a data folder");
    let memory_limit = Some(Size(6 << 20));
    let durability = Durability::Memory;
    let options = ClusterOptions { first_port: 0, durability, place, memory_limit, ..ClusterOptions::default() };
    let cluster = LiveCluster::start(options, data).expect("starts");
    assert_eq!(cluster.wait_ready(PATIENCE), Ok(()));
    done(&cluster, "topic create orders --partitions 1 --replicas 3");
    // Four times what each broker may hold.
    done(&cluster, "produce orders --count 800 --size 10KiB");
    let first = done(&cluster, "consume orders --max 1");
    assert!(!first.starts_with("orders-0@0 "), "the oldest are gone: {}", &first[..20]);
    assert!(done(&cluster, "consume orders --from -1 --partition 0").starts_with("orders-0@799 "));
}

#[test]
fn members_that_stay_are_stopped_killed_paused_and_slowed() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start_with(folder.path(), Durability::Process, &[]);
    done(&cluster, "topic create orders --partitions 4 --replicas 3");
    done(&cluster, "produce orders --rate 100/s");
    done(&cluster, "consume orders --group app --name one --session-timeout 2s");
    done(&cluster, "consume orders --group app --name two --session-timeout 2s");
    done(&cluster, "wait members app = 2 --within 20s");
    done(&cluster, "wait state app = stable --within 20s");
    done(&cluster, "wait committed app orders-0 > 0 --within 20s");
    done(&cluster, "consume slow one 1/s");
    done(&cluster, "wait lag app > 200 --within 30s");
    done(&cluster, "consume resume one");
    done(&cluster, "wait lag app < 200 --within 20s");
    done(&cluster, "consume pause two");
    done(&cluster, "wait members app = 1 --within 20s");
    done(&cluster, "consume resume two");
    done(&cluster, "wait members app = 2 --within 20s");
    done(&cluster, "consume kill two");
    done(&cluster, "wait members app = 1 --within 20s");
    assert_eq!(done(&cluster, "consume stop"), "stopped one");
    done(&cluster, "wait state app = empty --within 20s");
}

#[test]
fn a_slow_disk_slows_everybody_and_loses_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    // Whether a slow disk counts as a slow follower is the question, and not how busy this machine is.
    let patient = ["replica.lag.time.max.ms=10000", "broker.session.timeout.ms=9000"];
    let cluster = start_with(folder.path(), Durability::Process, &patient);
    done(&cluster, "topic create orders --partitions 3 --replicas 3");
    done(&cluster, "disk slow 1,2,3 100ms");
    done(&cluster, "produce orders --count 120 --size 900KiB");
    done(&cluster, "heal");
    assert_eq!(done(&cluster, "wait under-replicated = 0 --within 30s"), "under-replicated is 0.");
    let shrunk = |kind: &FactKind| matches!(kind, FactKind::Broker(EventKind::IsrChanged { shrunk: true, .. }));
    assert!(!cluster.facts_after(0).0.iter().any(|fact| shrunk(&fact.kind)), "no follower fell behind");
}

#[test]
fn a_replaced_disk_fills_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Process);
    done(&cluster, "topic create orders --partitions 1 --replicas 3");
    produce(&cluster, "orders", 500);
    done(&cluster, "wipe 3");
    done(&cluster, "start 3");
    done(&cluster, "wait isr orders-0 = 1,2,3 --within 60s");
    assert_eq!(consume(&cluster, "orders", 1, 500).len(), 500);
    let reason = failed(&cluster, "wipe 1,2");
    assert!(reason.contains("left on 1 of 3 voters, and 2 must have it"), "{reason}");
    done(&cluster, "expect alive = 3");
    // Each in its turn, once the quorum has taken the last one in.
    for id in [1, 2, 3] {
        let until = Instant::now() + PATIENCE;
        while !run(&cluster, &format!("wipe {id}")).is_done() {
            assert!(Instant::now() < until, "the one before it votes no more");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        done(&cluster, &format!("start {id}"));
        done(&cluster, "wait under-replicated = 0 --within 60s");
    }
    assert_eq!(consume(&cluster, "orders", 1, 500).len(), 500);
}

/// Asks for the versions of the APIs, under a number.
fn ask(stream: &mut TcpStream, number: u8) {
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, number, 0xFF, 0xFF]).expect("written");
}

/// The number of the next answer, if there is one within `limit`.
fn answer(stream: &mut TcpStream, limit: Duration) -> Option<u8> {
    stream.set_read_timeout(Some(limit)).expect("set");
    let mut head = [0; 4];
    match stream.read_exact(&mut head) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => None,
        outcome => {
            outcome.expect("neither closed nor reset");
            let mut rest = vec![0; u32::from_be_bytes(head) as usize];
            stream.read_exact(&mut rest).expect("the whole of it");
            Some(rest[3])
        }
    }
}

/// What is cut is silent, keeps its connections, and goes on when it is healed; what is slow is late, in order.
#[test]
fn a_link_to_clients_has_its_faults() {
    const SILENCE: Duration = Duration::from_millis(300);
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Memory);
    let servers = cluster.bootstrap_servers();
    let mut connections: Vec<TcpStream> =
        servers.split(',').map(|address| TcpStream::connect(address).expect("connects")).collect();
    let [first, second, ..] = &mut connections[..] else { panic!("three brokers") };
    ask(first, 1);
    assert_eq!(answer(first, PATIENCE), Some(1));
    for (number, line) in [(2, "link cut 1 clients"), (3, "link cut 1>clients"), (4, "link hold clients to 1")] {
        done(&cluster, line);
        ask(first, number);
        assert_eq!(answer(first, SILENCE), None, "{line}");
        ask(second, number);
        assert_eq!(answer(second, PATIENCE), Some(number), "the others are served");
        assert!(run(&cluster, "expect faults = 1").is_done(), "{line}");
        done(&cluster, if number == 4 { "link release clients to 1" } else { "undo" });
        assert_eq!(answer(first, PATIENCE), Some(number), "{line}");
    }
    done(&cluster, "link delay 1 clients 120ms --jitter 30ms");
    let begun = Instant::now();
    (5..9).for_each(|number| ask(first, number));
    assert_eq!((5..9).map(|_| answer(first, PATIENCE)).collect::<Vec<_>>(), [5, 6, 7, 8].map(Some));
    let late = begun.elapsed();
    assert!(late >= Duration::from_millis(240), "there and back: {late:?}");
    done(&cluster, "link heal 1 clients");
    done(&cluster, "link throttle clients to 1 100B/s");
    let begun = Instant::now();
    (9..12).for_each(|number| ask(first, number));
    // What was under way stays so, and what comes after it stays behind it.
    assert_eq!(answer(first, PATIENCE), Some(9));
    done(&cluster, "heal");
    ask(first, 12);
    assert_eq!((10..13).map(|_| answer(first, PATIENCE)).collect::<Vec<_>>(), [10, 11, 12].map(Some));
    assert!(begun.elapsed() >= Duration::from_millis(250), "thrice ten bytes at 100 a second");
    assert_eq!(done(&cluster, "expect faults = 0"), "faults is 0.");
}

/// Answers that nobody takes hold a connection's questions up, instead of filling the memory.
#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Memory);
    let address = cluster.bootstrap_servers().split(',').next().expect("one").to_owned();
    let mut stream = TcpStream::connect(&address).expect("connects");
    stream.set_write_timeout(Some(Duration::from_secs(1))).expect("set");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let questions = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF].repeat(1_000);
    let mut written = 0;
    while let Ok(count) = stream.write(&questions[written % questions.len()..]) {
        written += count;
        assert!(written < 40_000_000, "more and more is read");
    }
    let mut answers = vec![0; 1024 * 1024];
    for _ in 0..16 {
        stream.read_exact(&mut answers).expect("what was asked is answered");
    }
    let rest = questions.len() - written % questions.len();
    stream.write_all(&questions[questions.len() - rest..]).expect("and goes on");
}

/// Nobody has to wait out the patience of a start to hear that a broker cannot come up.
#[test]
fn a_broker_that_cannot_open_its_store_is_told_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    start(folder.path(), Durability::Process).shut_down();
    std::fs::write(folder.path().join("broker-2/store.redb"), "no database").expect("written");
    let place = Place::Folder(folder.path().to_owned());
    let data = DataDir::open(&place).expect("a data folder");
    let options = ClusterOptions { first_port: 0, place, ..ClusterOptions::default() };
    let cluster = LiveCluster::start(options, data).expect("starts");
    let error = cluster.wait_ready(PATIENCE).expect_err("broker 2 has no store");
    assert!(error.is_final && error.reason.contains("broker 2 crashed: "), "{error}");
    let ended = |kind: &FactKind| matches!(kind, FactKind::Host(HostFact::BrokerEnded { broker: BrokerId(2), .. }));
    assert!(cluster.facts_after(0).0.iter().any(|fact| ended(&fact.kind)));
    // And so is who starts it by hand, until it has a new disk.
    let begun = Instant::now();
    let reason = failed(&cluster, "start 2");
    assert!(reason.starts_with("broker 2 crashed: ") && begun.elapsed() < Duration::from_secs(15), "{reason}");
    done(&cluster, "wipe 2");
    done(&cluster, "start 2");
}

#[test]
fn hostile_frames_cost_their_own_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Memory);
    let address = cluster.bootstrap_servers().split(',').next().expect("one").to_owned();
    let hostile: [&[u8]; 4] = [
        &[0xFF, 0xFF, 0xFF, 0xFF],
        &[0x7F, 0xFF, 0xFF, 0xFF],
        // Metadata version 0 with more topics than there are bytes.
        &[0, 0, 0, 14, 0, 3, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF],
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for bytes in hostile {
        let mut stream = TcpStream::connect(&address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.write_all(bytes).expect("written");
        // Closed, with or without a reset.
        assert!(!matches!(stream.read(&mut [0; 16]), Ok(1..)), "{bytes:?}");
    }
    // ApiVersions of a version that nobody knows gets an answer.
    let mut stream = TcpStream::connect(&address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 99, 0, 0, 0, 9, 0xFF, 0xFF]).expect("written");
    let mut head = [0; 10];
    stream.read_exact(&mut head).expect("an answer");
    assert_eq!(head[4..], [0, 0, 0, 9, 0, 35], "UNSUPPORTED_VERSION");
    let told = cluster.facts_after(0).0;
    let refused = told.iter().filter(|fact| matches!(fact.kind, FactKind::Host(HostFact::ClientRefused { .. })));
    assert_eq!(refused.count(), hostile.len());
    produce(&cluster, "orders", 10);
}

#[test]
fn the_console_sees_what_happens() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Memory);
    let mut port = LivePort::open(&cluster).expect("opens");
    let id = port.submit("kill 2");
    let until = Instant::now() + PATIENCE;
    let reply = loop {
        assert!(Instant::now() < until, "no reply");
        if let Some(reply) = port.replies().into_iter().find(|reply| reply.id == id) {
            break reply;
        }
        std::thread::yield_now();
    };
    assert!(matches!(reply.outcome, Outcome::Done { .. }), "{reply:?}");
    let view = loop {
        assert!(Instant::now() < until, "not seen");
        let view = port.view(&ViewRequest::default());
        let has_controller = view.situation.no_controller_since_ms.is_none();
        if view.brokers[1].state == BrokerState::Killed && has_controller && !view.faults.is_empty() {
            break view;
        }
        std::thread::yield_now();
    };
    assert_eq!((view.brokers.len(), view.faults.len()), (3, 1));
    assert_eq!(view.faults[0].undo, "start 2");
    assert_eq!(port.undo_of("kill 3").as_deref(), Some("start 3"));
    assert!(port.consequence("kill 3").is_some());
}

#[test]
fn messages_are_recorded_while_somebody_looks() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Memory);
    done(&cluster, "topic create wired --partitions 1 --replicas 3");
    let mut port = LivePort::open(&cluster).expect("opens");
    let want = |filter: &str| {
        let wire = WireRequest { filter: filter.to_owned(), ..WireRequest::default() };
        ViewRequest { wire: Some(wire), ..ViewRequest::default() }
    };
    assert!(port.view(&want("")).wire.as_ref().is_some_and(|wire| wire.messages.is_empty()));
    produce(&cluster, "wired", 10);
    let until = Instant::now() + PATIENCE;
    let seen = |port: &mut LivePort, filter: &str, what: &dyn Fn(&WireMessage) -> bool| loop {
        assert!(Instant::now() < until, "{filter} was not recorded");
        let wire = port.view(&want(filter)).wire.clone().expect("messages");
        if let Some(message) = wire.messages.iter().find(|message| what(message)) {
            break message.clone();
        }
        std::thread::yield_now();
    };
    let arrived = |message: &WireMessage| matches!(message.state, WireState::Delivered(_));
    let produces = |message: &WireMessage| message.api == "Produce" && arrived(message);
    let request = seen(&mut port, "produce", &|message| !message.is_response && produces(message));
    assert!(matches!(&request.from, WireEnd::Client(_)) && request.size > 0, "{request:?}");
    let answer = seen(&mut port, "produce", &|message| message.is_response && produces(message));
    assert_eq!(answer.correlation_id, request.correlation_id);
    let records = seen(&mut port, "fetch", &|message| message.summary.contains("record") && arrived(message));
    assert!(matches!((&records.from, &records.to), (WireEnd::Broker(_), WireEnd::Broker(_))), "{records:?}");
    // What is sent to a broker that has died never arrives.
    done(&cluster, "kill 2");
    seen(&mut port, "2 error routine", &|message| matches!(message.state, WireState::Dropped(..)));
    // Who looks away and looks again sees nothing of what was sent meanwhile.
    port.view(&ViewRequest::default());
    produce(&cluster, "wired", 10);
    assert!(port.view(&want("produce")).wire.as_ref().is_some_and(|wire| wire.messages.is_empty()));
}

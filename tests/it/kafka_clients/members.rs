//! `kafkarium consume --group` and the demo's readers as members of groups: they share the work with each other and with librdkafka's
//! consumers, take over from who died, and outlive their coordinator.

use super::groups::group;
use super::{config, create_topic};
use crate::support::{PATIENCE, Server, eventually};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const PARTITIONS: usize = 6;

/// Records by partition and offset.
type Records = BTreeSet<(i32, i64)>;

/// Writes so many records to each partition.
fn produce(server: &Server, records: usize) {
    let producer: BaseProducer = config(server).set("enable.idempotence", "true").create().expect("a producer");
    for _ in 0..records {
        for partition in 0..i32::try_from(PARTITIONS).expect("few") {
            let record = BaseRecord::<[u8], str>::to(TOPIC).partition(partition).payload("an order");
            producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
        }
    }
    producer.flush(PATIENCE).expect("everything is sent");
}

/// `kafkarium consume` as a member, and what it has written so far.
struct Reader {
    child: Child,
    lines: Arc<Mutex<Vec<(i32, i64)>>>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Reader {
    fn start(server: &Server, more: &[&str]) -> Reader {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kafkarium"));
        command.args(["consume", TOPIC, "--group", GROUP, "--with", "partition,offset", "--session-timeout", "2s"]);
        command.args(more).args(["--bootstrap-server", &server.bootstrap()]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let mut parts = line.split('\t');
                let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok()).expect("a number");
                let (partition, offset) = (number(), number());
                read.lock().expect("no panic").push((i32::try_from(partition).expect("small"), offset));
            }
        });
        Reader { child, lines }
    }

    fn read(&self) -> Vec<(i32, i64)> {
        self.lines.lock().expect("no panic").clone()
    }

    fn interrupt(mut self) -> ExitStatus {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
        self.child.wait().expect("its end is told")
    }

    fn wait(mut self) -> (ExitStatus, Vec<(i32, i64)>) {
        let status = self.child.wait().expect("its end is told");
        let count = Arc::strong_count(&self.lines);
        assert!(count <= 2, "only the thread that reads has it as well");
        eventually("its output is read", || (Arc::strong_count(&self.lines) == 1).then_some(()));
        (status, self.read())
    }
}

/// Everything that they read together; nothing may be there twice.
fn read_once(readers: &[&Reader]) -> Records {
    let all: Vec<(i32, i64)> = readers.iter().flat_map(|reader| reader.read()).collect();
    let once: Records = all.iter().copied().collect();
    let mut counts: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    all.iter().for_each(|record| *counts.entry(*record).or_default() += 1);
    counts.retain(|_, count| *count > 1);
    assert!(counts.is_empty(), "read more than once: {counts:?}");
    once
}

fn await_records(readers: &[&Reader], each: usize, what: &str) {
    eventually(what, || (read_once(readers).len() == each * PARTITIONS).then_some(()));
}

/// Waits until the group is described with these words.
fn await_group(server: &Server, words: &[&str]) -> String {
    eventually(&format!("{GROUP} is {words:?}"), || {
        let described = group(server, &format!("describe {GROUP}")).ok()?;
        words.iter().all(|word| described.contains(word)).then_some(described)
    })
}

/// Waits until every partition is committed up to an offset.
fn await_committed(server: &Server, offset: usize) {
    eventually(&format!("everything up to {offset} is committed"), || {
        let described = group(server, &format!("describe {GROUP}")).ok()?;
        let is_done = |partition: usize| {
            let line = described.lines().find(|line| line.starts_with(&format!("{TOPIC}/{partition} ")))?;
            line.split_whitespace().nth(1)?.parse::<usize>().ok().filter(|committed| *committed == offset)
        };
        (0..PARTITIONS).all(|partition| is_done(partition).is_some()).then_some(())
    });
}

#[test]
fn members_share_a_topic_outlive_their_coordinator_and_take_over_from_who_died() {
    share_outlive_and_take_over("classic");
}

#[test]
fn members_of_the_newer_protocol_do_so_as_well() {
    share_outlive_and_take_over("consumer");
}

fn share_outlive_and_take_over(protocol: &str) {
    let server = Server::start(&["--durability=memory"]);
    let how = ["--protocol", protocol];
    create_topic(&server, TOPIC, PARTITIONS);
    produce(&server, 20);
    let first = Reader::start(&server, &[&["--follow"], &how[..]].concat());
    await_records(&[&first], 20, "one member reads everything");
    let second = Reader::start(&server, &[&["--follow"], &how[..]].concat());
    let described = await_group(&server, &["Stable", "2 members"]);
    produce(&server, 20);
    await_records(&[&first, &second], 40, "both read, and nothing twice");
    assert_eq!(second.read().iter().map(|(partition, _)| *partition).collect::<BTreeSet<_>>().len(), 3);
    await_committed(&server, 40);

    let coordinator = described.split("coordinator ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let coordinator = coordinator.expect("a coordinator").trim_end_matches(|sign: char| !sign.is_ascii_digit());
    server.ctl(&format!("kill {coordinator}"));
    produce(&server, 20);
    await_records(&[&first, &second], 60, "reading goes on without the coordinator");
    server.ctl(&format!("start {coordinator}"));
    await_committed(&server, 60);

    let mut first = first;
    first.child.kill().expect("it runs");
    produce(&server, 20);
    await_records(&[&first, &second], 80, "the other takes over");
    await_committed(&server, 80);

    assert!(second.interrupt().success(), "it leaves in order");
    await_group(&server, &["Empty"]);
    produce(&server, 20);
    let (status, some) = Reader::start(&server, &[&["--max", "25"], &how[..]].concat()).wait();
    assert!(status.success());
    let (status, rest) = Reader::start(&server, &how).wait();
    assert!(status.success(), "it ends at the end");
    assert_eq!((some.len(), rest.len()), (25, 20 * PARTITIONS - 25));
    let all: Records = some.into_iter().chain(rest).collect();
    assert_eq!(all.len(), 20 * PARTITIONS, "nothing twice after a clean leave");
    assert!(all.iter().all(|(_, offset)| *offset >= 80));
}

#[test]
fn a_member_shares_a_group_with_librdkafka_whichever_leads_it() {
    for (strategy, leads) in [
        ("range", true),
        ("range", false),
        ("roundrobin", false),
        ("cooperative-sticky", true),
        // The coordinator's assignor, in the newer protocol.
        ("uniform", false),
    ] {
        let protocol = if strategy == "uniform" { "consumer" } else { "classic" };
        let server = Server::start(&["--durability=memory"]);
        create_topic(&server, TOPIC, PARTITIONS);
        produce(&server, 10);
        let foreign = || {
            let mut config = config(&server);
            config.set("group.id", GROUP).set("auto.offset.reset", "earliest").set("group.protocol", protocol);
            config.set("auto.commit.interval.ms", "200").set("fetch.wait.max.ms", "50");
            if protocol == "classic" {
                config.set("session.timeout.ms", "3000").set("heartbeat.interval.ms", "200");
                config.set("partition.assignment.strategy", strategy);
            }
            let consumer: BaseConsumer = config.create().expect("a consumer");
            consumer.subscribe(&[TOPIC]).expect("subscribed");
            consumer
        };
        let own = || Reader::start(&server, &["--follow", "--protocol", protocol]);
        // Whoever is there first leads.
        let (reader, consumer) = if leads {
            let reader = own();
            await_group(&server, &["Stable", "1 member"]);
            (reader, foreign())
        } else {
            let consumer = foreign();
            eventually("it has everything", || {
                let _ = consumer.poll(Duration::from_millis(20));
                (consumer.assignment().expect("an assignment").count() == PARTITIONS).then_some(())
            });
            (own(), consumer)
        };
        let mut found = Records::new();
        let mut step = |until: &dyn Fn(&Records) -> bool| {
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(20)) {
                found.insert((record.partition(), record.offset()));
            }
            until(&found).then_some(())
        };
        eventually(&format!("{strategy}: three partitions each"), || {
            step(&|_| consumer.assignment().expect("an assignment").count() == 3)
        });
        eventually(&format!("{strategy}: the group is stable"), || {
            // librdkafka says where it is only while it is polled.
            step(&|_| {
                let described = group(&server, &format!("describe {GROUP}")).unwrap_or_default();
                ["Stable", "2 members", strategy].iter().all(|word| described.contains(word))
            })
        });
        produce(&server, 10);
        eventually(&format!("{strategy}: both together read everything"), || {
            step(&|found| {
                let own: Records = reader.read().into_iter().collect();
                own.union(found).count() == 20 * PARTITIONS
            })
        });
        let late = |records: Vec<(i32, i64)>| records.into_iter().filter(|(_, offset)| *offset >= 10).count();
        assert_eq!(late(reader.read()), 10 * PARTITIONS / 2, "{strategy}: each reads its half");
    }
}

#[test]
fn the_demos_readers_are_let_in_with_kafkas_own_timing() {
    let server = Server::start(&["--durability=memory", "--timing=kafka", "--set=group.initial.rebalance.delay.ms=0"]);
    server.ctl("demo");
    eventually("two readers share the demo's partitions", || {
        let described = group(&server, "describe orders-app").ok()?;
        (described.contains("Stable") && described.contains("2 members")).then_some(())
    });
}

#[test]
fn the_demos_readers_are_a_group_that_outlives_its_coordinator() {
    let server = Server::start(&["--durability=memory"]);
    server.ctl("demo");
    let described = eventually("two readers share the demo's partitions", || {
        let described = group(&server, "describe orders-app").ok()?;
        (described.contains("Stable") && described.contains("2 members")).then_some(described)
    });
    assert!(described.contains("cooperative-sticky"), "{described}");
    server.ctl("wait readable > 500 --within 30s");
    let coordinator = described.split("coordinator ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let coordinator = coordinator.expect("a coordinator").trim_end_matches(|sign: char| !sign.is_ascii_digit());
    server.ctl(&format!("kill {coordinator}"));
    eventually("another coordinates, with both readers", || {
        let described = group(&server, "describe orders-app").ok()?;
        (described.contains("2 members") && !described.contains(&format!("coordinator {coordinator}"))).then_some(())
    });
    let ledger = |count: &str| {
        let said = server.try_ctl(&format!("expect {count} = 0"));
        assert!(said.is_ok(), "{said:?}");
    };
    server.ctl("wait readable > 2000 --within 30s");
    server.ctl(&format!("start {coordinator}"));
    ["lost", "duplicated", "reordered"].into_iter().for_each(ledger);
    server.ctl("produce stop demo");
    eventually("the readers leave", || {
        group(&server, "describe orders-app").ok().filter(|described| described.contains("Empty")).map(drop)
    });
}

//! Groups of librdkafka's consumers: they share the work, go on from where they were, and outlive their coordinator.
//!

use super::{admin, admin_options, config, create_topic, wait};
use crate::support::{PATIENCE, Server, eventually};
use kafkarium::engine::group::{OFFSETS_TOPIC, partition_for};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) const TOPIC: &str = "orders";
pub(super) const GROUP: &str = "billing";
pub(super) const PARTITIONS: usize = 6;

/// Writes so many records to each partition.
pub(super) fn produce(server: &Server, records: usize) {
    let producer: BaseProducer = config(server).set("enable.idempotence", "true").create().expect("a producer");
    for index in 0..records {
        for partition in 0..PARTITIONS {
            let partition = i32::try_from(partition).expect("few");
            let payload = format!("record {index}");
            let record = BaseRecord::<[u8], str>::to(TOPIC).partition(partition).payload(&payload);
            producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
        }
    }
    producer.flush(PATIENCE).expect("everything is sent");
}

pub(super) fn member(server: &Server, strategy: &str, more: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(server);
    config.set("group.id", GROUP).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config.set("partition.assignment.strategy", strategy).set("session.timeout.ms", "3000");
    config
        .set("heartbeat.interval.ms", "200")
        .set("fetch.wait.max.ms", "50")
        .set("topic.metadata.refresh.interval.ms", "500");
    for (name, value) in more {
        config.set(*name, *value);
    }
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&[TOPIC]).expect("subscribed");
    consumer
}

/// What a group reads: each partition's next offset, which no member may be given from an earlier one twice.
#[derive(Default)]
pub(super) struct Progress {
    next: BTreeMap<i32, i64>,
}

impl Progress {
    /// Lets each member poll once and commit what it was given.
    pub(super) fn step(&mut self, members: &[BaseConsumer]) {
        for member in members {
            let Some(Ok(record)) = member.poll(Duration::from_millis(20)) else { continue };
            let next = self.next.entry(record.partition()).or_default();
            *next = (*next).max(record.offset() + 1);
            // A rebalance may have come in between: the next owner reads it again.
            let _ = member.commit_message(&record, CommitMode::Async);
        }
    }

    pub(super) fn has_read(&self, records: i64) -> bool {
        self.next.len() == PARTITIONS && self.next.values().all(|next| *next >= records)
    }
}

fn partitions_of(member: &BaseConsumer) -> BTreeSet<i32> {
    let assigned = member.assignment().expect("an assignment");
    assigned.elements().iter().map(|element| element.partition()).collect()
}

/// Whether the members have these numbers of partitions, and each partition one owner.
pub(super) fn is_shared(members: &[BaseConsumer], counts: &[usize]) -> bool {
    let owned: Vec<BTreeSet<i32>> = members.iter().map(partitions_of).collect();
    let mut found: Vec<usize> = owned.iter().map(BTreeSet::len).collect();
    found.sort_unstable();
    found == counts && owned.iter().flatten().collect::<BTreeSet<_>>().len() == PARTITIONS
}

/// What the group has committed, by partition.
pub(super) fn committed(member: &BaseConsumer) -> BTreeMap<i32, i64> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(TOPIC, 0, i32::try_from(PARTITIONS - 1).expect("few"));
    let found =
        eventually("committed offsets", || member.committed_offsets(asked.clone(), Duration::from_secs(5)).ok());
    let offset = |offset: Offset| match offset {
        Offset::Offset(offset) => offset,
        _ => 0,
    };
    found.elements().iter().map(|element| (element.partition(), offset(element.offset()))).collect()
}

/// The broker that leads the group's partition.
pub(super) fn coordinator(member: &BaseConsumer) -> i32 {
    eventually("a coordinator", || {
        let metadata = member.fetch_metadata(Some(OFFSETS_TOPIC), Duration::from_secs(5)).ok()?;
        let partitions = metadata.topics().first()?.partitions();
        assert_eq!(partitions.len(), 50, "offsets.topic.num.partitions");
        let wanted = partition_for(GROUP, partitions.len());
        let found = partitions.iter().find(|partition| partition.id() == wanted)?;
        assert_eq!(found.replicas().len(), 3);
        (found.leader() > 0).then(|| found.leader())
    })
}

#[test]
fn a_group_shares_a_topic_and_goes_on_where_it_was() {
    for strategy in ["range", "cooperative-sticky"] {
        let server = Server::start(&["--durability=memory"]);
        create_topic(&server, TOPIC, PARTITIONS);
        produce(&server, 50);
        let mut members: Vec<BaseConsumer> = (0..3).map(|_| member(&server, strategy, &[])).collect();
        let mut progress = Progress::default();
        eventually(&format!("{strategy}: two partitions each"), || {
            progress.step(&members);
            is_shared(&members, &[2, 2, 2]).then_some(())
        });
        eventually(&format!("{strategy}: everything is read"), || {
            progress.step(&members);
            progress.has_read(50).then_some(())
        });
        drop(members.pop());
        eventually(&format!("{strategy}: three partitions each after one has left"), || {
            progress.step(&members);
            is_shared(&members, &[3, 3]).then_some(())
        });
        eventually(&format!("{strategy}: every offset is committed"), || {
            progress.step(&members);
            committed(&members[0]).values().all(|offset| *offset == 50).then_some(())
        });
        drop(members);
        produce(&server, 10);
        // Whoever comes next begins where the group was, and not with the first record.
        let next = [member(&server, strategy, &[])];
        let mut seen = BTreeMap::<i32, i64>::new();
        eventually(&format!("{strategy}: the rest is read"), || {
            if let Some(Ok(record)) = next[0].poll(Duration::from_millis(20)) {
                assert!(record.offset() >= 50, "{strategy}: offset {} again", record.offset());
                seen.insert(record.partition(), record.offset());
            }
            (seen.len() == PARTITIONS && seen.values().all(|offset| *offset == 59)).then_some(())
        });
    }
}

/// `kafkarium group …`, what it says, or why it fails.
pub(super) fn group(server: &Server, words: &str) -> Result<String, String> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kafkarium"));
    command.arg("group").args(words.split_whitespace()).args(["--bootstrap-server", &server.bootstrap()]);
    let output = command.output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn an_administrator_sees_resets_and_deletes_a_group() {
    let server = Server::start(&["--durability=memory"]);
    create_topic(&server, TOPIC, PARTITIONS);
    produce(&server, 10);
    eventually("no groups", || (group(&server, "list") == Ok("no groups".to_owned())).then_some(()));
    let members = [member(&server, "range", &[])];
    let mut progress = Progress::default();
    eventually("everything is read and committed", || {
        progress.step(&members);
        (progress.has_read(10) && committed(&members[0]).values().all(|offset| *offset == 10)).then_some(())
    });
    assert!(group(&server, "list").expect("a list").contains("billing  Stable  consumer"));
    let described = group(&server, "describe billing").expect("described");
    assert!(described.starts_with("billing: Stable · range · coordinator "), "{described}");
    assert!(described.contains("orders/5   10         10   0    "), "{described}");
    let refused = group(&server, "reset billing orders --to earliest --execute").expect_err("it has a member");
    assert!(refused.contains("billing has 1 member: stop them first"), "{refused}");
    assert!(group(&server, "delete billing").expect_err("it has a member").contains("stop them first"));
    drop(members);
    eventually("the group is empty", || group(&server, "describe billing").ok()?.contains("Empty").then_some(()));
    let shown = group(&server, "reset billing orders --to -3").expect("shown");
    assert!(shown.contains("orders/0   10      7") && shown.ends_with("--execute does it."), "{shown}");
    assert!(group(&server, "describe billing").expect("described").contains("orders/0   10 "));
    let done = group(&server, "reset billing orders --to -3 --execute").expect("done");
    assert!(done.ends_with("Committed."), "{done}");
    assert!(group(&server, "describe billing").expect("described").contains("orders/0   7          10   3"));
    assert_eq!(group(&server, "delete billing"), Ok("billing is deleted.".to_owned()));
    assert!(group(&server, "describe billing").expect_err("gone").contains("there is no group billing"));
}

#[test]
fn a_group_outlives_its_coordinator_and_no_committed_offset_goes_back() {
    let server = Server::start(&["--durability=memory"]);
    create_topic(&server, TOPIC, PARTITIONS);
    produce(&server, 20);
    let members: Vec<BaseConsumer> = (0..3).map(|_| member(&server, "range", &[])).collect();
    let mut progress = Progress::default();
    let mut low = BTreeMap::new();
    for round in 1..=3_i64 {
        let records = round * 20;
        eventually(&format!("round {round}: everything is read and committed"), || {
            progress.step(&members);
            let done = progress.has_read(records) && committed(&members[0]).values().all(|offset| *offset == records);
            done.then_some(())
        });
        let before = committed(&members[0]);
        for (partition, offset) in &before {
            assert!(low.insert(*partition, *offset).is_none_or(|earlier| earlier <= *offset), "round {round}");
        }
        let victim = coordinator(&members[0]);
        server.ctl(&format!("kill {victim}"));
        let next = eventually("another coordinator", || {
            progress.step(&members);
            Some(coordinator(&members[0])).filter(|next| *next != victim)
        });
        assert_ne!(next, victim);
        assert_eq!(committed(&members[0]), before, "round {round}: what the next coordinator knows");
        produce(&server, 20);
        eventually(&format!("round {round}: the group reads on under broker {next}"), || {
            progress.step(&members);
            progress.has_read(records + 20).then_some(())
        });
        server.ctl(&format!("start {victim}"));
        server.ctl("wait under-replicated = 0 --within 60s");
    }
    eventually("two partitions each in the end", || {
        progress.step(&members);
        is_shared(&members, &[2, 2, 2]).then_some(())
    });
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_nobody_touches_the_internal_topic() {
    let server = Server::start(&["--durability=memory"]);
    create_topic(&server, TOPIC, PARTITIONS);
    produce(&server, 5);
    let long = [("group.instance.id", "a"), ("session.timeout.ms", "60000")];
    let other = [("group.instance.id", "b"), ("session.timeout.ms", "60000")];
    let mut members = vec![member(&server, "range", &long), member(&server, "range", &other)];
    let mut progress = Progress::default();
    eventually("three partitions each", || {
        progress.step(&members);
        is_shared(&members, &[3, 3]).then_some(())
    });
    let had = partitions_of(&members[0]);
    // A static member that is closed does not leave.
    drop(members.remove(0));
    members.insert(0, member(&server, "range", &long));
    eventually("the same partitions for who came back", || {
        progress.step(&members);
        (partitions_of(&members[0]) == had).then_some(())
    });
    let producer: BaseProducer = config(&server).set("message.timeout.ms", "5000").create().expect("a producer");
    let record = BaseRecord::<[u8], str>::to(OFFSETS_TOPIC).partition(0).payload("mine");
    producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
    let _ = producer.flush(PATIENCE);
    let written = members[0].fetch_watermarks(OFFSETS_TOPIC, 0, PATIENCE).expect("an answer");
    assert!(partition_for(GROUP, 50) != 0 && written == (0, 0), "a client wrote to {OFFSETS_TOPIC}: {written:?}");
    let deleted = wait(admin(&server).delete_topics(&[OFFSETS_TOPIC], &admin_options())).expect("an answer");
    assert!(deleted[0].is_err(), "a client deleted {OFFSETS_TOPIC}");
}

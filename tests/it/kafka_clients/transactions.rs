//! librdkafka's transactional producer: it copies a topic, offsets and all, in transactions, while their coordinator dies
//! under it. Whoever reads committed records alone sees each record once.

use super::{config, create_topic};
use crate::support::{PATIENCE, Server, eventually};
use kafkarium::engine::group::{OFFSETS_TOPIC, partition_for};
use kafkarium::engine::txn::TRANSACTIONS_TOPIC;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

const FROM: &str = "orders";
const TO: &str = "copies";
const ID: &str = "copier";
const RECORDS: i64 = 240;
/// As many records go into one transaction.
const AT_ONCE: usize = 10;

/// What is to be done after an error.
enum Remedy {
    /// Abort, and do it all again.
    Abort,
    /// The producer is lost: another one of the same name goes on.
    Replace,
}

fn transactional(server: &Server) -> BaseProducer {
    let mut config = config(server);
    config.set("transactional.id", ID).set("transaction.timeout.ms", "20000").set("linger.ms", "1");
    config.set("topic.metadata.refresh.interval.ms", "500");
    let producer: BaseProducer = config.create().expect("a producer");
    eventually("a producer that is ready", || producer.init_transactions(Duration::from_secs(10)).ok());
    producer
}

fn write_input(server: &Server) {
    let writer: BaseProducer = config(server).set("enable.idempotence", "true").create().expect("a producer");
    for index in 0..RECORDS {
        let payload = format!("record {index}");
        writer.send(BaseRecord::<str, str>::to(FROM).payload(&payload)).map_err(|(error, _)| error).expect("room");
    }
    writer.flush(PATIENCE).expect("everything is sent");
}

/// Does something until it is done, or cannot be.
fn persist(act: impl Fn() -> Result<(), KafkaError>) -> Result<(), Remedy> {
    eventually("an answer that counts", || match act() {
        Ok(()) => Some(Ok(())),
        Err(KafkaError::Transaction(error)) if error.is_retriable() => None,
        Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => Some(Err(Remedy::Abort)),
        Err(_) => Some(Err(Remedy::Replace)),
    })
}

fn input() -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(FROM, 0);
    list
}

/// A reader of the input.
fn source(server: &Server, group: &str) -> BaseConsumer {
    let mut config = config(server);
    config.set("group.id", group).set("enable.auto.commit", "false").set("fetch.wait.max.ms", "50");
    config.create().expect("a consumer")
}

/// Goes to what is committed; where that is.
fn rewind(source: &BaseConsumer) -> i64 {
    let found = eventually("a committed offset that is stable", || {
        let found = source.committed_offsets(input(), Duration::from_secs(5)).ok()?;
        let is_told = found.elements()[0].error().is_ok();
        is_told.then_some(found)
    });
    let next = match found.elements()[0].offset() {
        Offset::Offset(offset) => offset,
        _ => 0,
    };
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(FROM, 0, Offset::Offset(next)).expect("an offset");
    source.assign(&place).expect("assigned");
    next
}

fn coordinator(source: &BaseConsumer, topic: &str, key: &str) -> i32 {
    eventually(&format!("a coordinator for {key}"), || {
        let metadata = source.fetch_metadata(Some(topic), Duration::from_secs(5)).ok()?;
        let partitions = metadata.topics().first()?.partitions();
        let found = partitions.iter().find(|found| found.id() == partition_for(key, partitions.len()))?;
        (found.leader() > 0).then(|| found.leader())
    })
}

/// A group whose coordinator is not that of the transactions. librdkafka 2.12 keeps a coordinator of groups in mind that
/// the metadata did not list for a while, and waits for it for ever, so that this one must not die.
fn group_apart(server: &Server) -> String {
    let any = source(server, "copiers");
    eventually("coordinators of groups", || any.committed_offsets(input(), Duration::from_secs(5)).ok());
    let taken = coordinator(&any, TRANSACTIONS_TOPIC, ID);
    let mut names = (0..50).map(|number| format!("copiers-{number}"));
    names.find(|name| coordinator(&any, OFFSETS_TOPIC, name) != taken).expect("fifty groups have two coordinators")
}

/// Copies some records and the place they end at, in one transaction.
fn copy(
    producer: &BaseProducer,
    source: &BaseConsumer,
    records: &[(i64, String)],
    kill: impl FnOnce(),
) -> Result<(), Remedy> {
    producer.begin_transaction().map_err(|_| Remedy::Replace)?;
    for (offset, payload) in records {
        let key = offset.to_string();
        let record = BaseRecord::to(TO).partition(i32::from(offset % 2 == 1)).key(&key).payload(payload);
        producer.send(record).map_err(|_| Remedy::Abort)?;
    }
    let mut place = TopicPartitionList::new();
    let next = records.last().expect("some").0 + 1;
    place.add_partition_offset(FROM, 0, Offset::Offset(next)).expect("an offset");
    let group = source.group_metadata().expect("it has a group's name");
    producer.flush(PATIENCE).map_err(|_| Remedy::Abort)?;
    persist(|| producer.send_offsets_to_transaction(&place, &group, Duration::from_secs(5)))?;
    kill();
    persist(|| producer.commit_transaction(Duration::from_secs(5)))
}

/// The copies as a reader sees them: how often each key is there, in the order of each partition.
fn copies(server: &Server, isolation: &str, enough: usize) -> Vec<Vec<i64>> {
    let mut config = config(server);
    config.set("group.id", "none").set("enable.auto.commit", "false").set("isolation.level", isolation);
    config.set("fetch.wait.max.ms", "50").set("enable.partition.eof", "true");
    let reader: BaseConsumer = config.create().expect("a consumer");
    let mut place = TopicPartitionList::new();
    for partition in [0, 1] {
        place.add_partition_offset(TO, partition, Offset::Beginning).expect("an offset");
    }
    reader.assign(&place).expect("assigned");
    let mut found = vec![Vec::new(), Vec::new()];
    eventually(&format!("{enough} copies, {isolation}"), || {
        while let Some(Ok(record)) = reader.poll(Duration::from_millis(100)) {
            let key = std::str::from_utf8(record.key().expect("a key")).expect("a number").parse().expect("a number");
            found[usize::try_from(record.partition()).expect("a number")].push(key);
        }
        (found.iter().map(Vec::len).sum::<usize>() >= enough).then_some(())
    });
    found
}

#[test]
fn a_topic_is_copied_once_while_the_coordinator_dies_between_records_and_commits() {
    let server = Server::start(&["--durability=memory"]);
    create_topic(&server, FROM, 1);
    create_topic(&server, TO, 2);
    write_input(&server);
    let mut producer = transactional(&server);
    let group = group_apart(&server);
    let source = source(&server, &group);
    let mut next = rewind(&source);
    let (mut round, mut kills, mut dead) = (0, 0, None);
    while next < RECORDS {
        let mut records = Vec::new();
        eventually("records to copy", || {
            if let Some(Ok(record)) = source.poll(Duration::from_millis(20)) {
                let payload = String::from_utf8(record.payload().expect("a value").to_vec()).expect("text");
                records.push((record.offset(), payload));
            }
            (records.len() == AT_ONCE).then_some(())
        });
        assert_eq!(records[0].0, next, "it goes on where it was");
        round += 1;
        if let Some(victim) = dead.take() {
            server.ctl(&format!("start {victim}"));
            server.ctl("wait under-replicated = 0 --within 60s");
            server.ctl("elect preferred");
        }
        let result = if round % 5 == 4 {
            // Somebody changes their mind.
            producer.begin_transaction().expect("a transaction");
            for (offset, payload) in &records {
                let key = offset.to_string();
                producer
                    .send(BaseRecord::to(TO).partition(0).key(&key).payload(payload))
                    .map_err(|(e, _)| e)
                    .expect("room");
            }
            producer.flush(PATIENCE).expect("everything is sent");
            Err(Remedy::Abort)
        } else {
            copy(&producer, &source, &records, || {
                if round % 5 == 2 {
                    let victim = coordinator(&source, TRANSACTIONS_TOPIC, ID);
                    server.ctl(&format!("kill {victim}"));
                    (dead, kills) = (Some(victim), kills + 1);
                }
            })
        };
        let aborted = match result {
            Ok(()) => Ok(()),
            Err(Remedy::Abort) => persist(|| producer.abort_transaction(Duration::from_secs(5))),
            Err(Remedy::Replace) => Err(Remedy::Replace),
        };
        if aborted.is_err() {
            producer = transactional(&server);
        }
        next = rewind(&source);
    }
    assert!(kills >= 3, "{kills} coordinators died");
    let committed = copies(&server, "read_committed", usize::try_from(RECORDS).expect("few"));
    let mut expected: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
    for key in 0..RECORDS {
        expected.entry(usize::from(key % 2 == 1)).or_default().push(key);
    }
    assert_eq!(committed, expected.into_values().collect::<Vec<_>>(), "each once, in order");
    let all = copies(&server, "read_uncommitted", usize::try_from(RECORDS).expect("few") + AT_ONCE);
    assert!(all[0].len() > committed[0].len(), "what was aborted is there for who wants to see it");
}

#[test]
fn an_administrator_sees_a_transaction_and_aborts_it() {
    let server = Server::start(&["--durability=memory"]);
    create_topic(&server, TO, 2);
    assert_eq!(server.ctl("transaction list").trim(), "no transactional ids");
    let producer = transactional(&server);
    producer.begin_transaction().expect("a transaction");
    producer.send(BaseRecord::<str, str>::to(TO).partition(1).payload("lost")).map_err(|(e, _)| e).expect("room");
    producer.flush(PATIENCE).expect("it is sent");
    assert!(server.ctl("transaction list").contains("copier            Ongoing"), "{}", server.ctl("transaction list"));
    let described = server.ctl("transaction describe copier");
    assert!(described.contains("copier: Ongoing") && described.contains("partitions: copies-1"), "{described}");
    let aborted = server.ctl("transaction abort copier");
    assert!(aborted.contains("is aborted, and its producer fenced"), "{aborted}");
    assert!(server.try_ctl("transaction abort copier").expect_err("nothing is open").contains("no open transaction"));
    let Err(KafkaError::Transaction(error)) = producer.commit_transaction(PATIENCE) else {
        panic!("a producer that was fenced commits nothing")
    };
    assert!(error.is_fatal(), "{error}");
    let unknown = server.try_ctl("transaction describe nobody").expect_err("nobody");
    assert!(unknown.contains("there is no transactional id nobody"), "{unknown}");
}

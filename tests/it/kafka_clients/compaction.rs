//! A compacted topic in librdkafka's eyes: of each key the last committed value stays at its offset, deleted keys are gone, and a
//! kill of the whole program changes nothing of it.

use super::{admin, admin_options, config, read, wait};
use crate::support::{PATIENCE, Server, eventually};
use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeMap;
use std::time::Duration;

const TOPIC: &str = "accounts";
const ROUNDS: usize = 100;
const KEYS: usize = 10;
/// The keys from here on are deleted.
const DELETED: usize = 8;
/// What closes segments.
const FILLER: &str = "filler";

fn make_topic(server: &Server) {
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(3))
        .set("cleanup.policy", "compact")
        .set("segment.bytes", "4000")
        .set("min.cleanable.dirty.ratio", "0.01")
        .set("delete.retention.ms", "0");
    let created = wait(admin(server).create_topics([&topic], &admin_options())).expect("an answer");
    assert_eq!(created, [Ok(TOPIC.to_owned())]);
}

fn send(producer: &BaseProducer, key: &str, value: Option<&str>) {
    let record = BaseRecord::to(TOPIC).partition(0).key(key);
    let record = value.into_iter().fold(record, BaseRecord::payload);
    producer.send(record).map_err(|(error, _)| error).expect("room");
}

fn write_everything(server: &Server) {
    let mut settings = config(server);
    settings.set("enable.idempotence", "true").set("compression.type", "lz4").set("linger.ms", "1");
    let producer: BaseProducer = settings.create().expect("a producer");
    for round in 0..ROUNDS {
        for key in 0..KEYS {
            let value = round.to_string();
            let is_deleted = key >= DELETED && round + 1 == ROUNDS;
            send(&producer, &format!("k{key}"), (!is_deleted).then_some(&value));
        }
        producer.flush(PATIENCE).expect("everything is sent");
    }
    let mut settings = config(server);
    settings.set("transactional.id", "teller");
    let teller: BaseProducer = settings.create().expect("a producer");
    eventually("a producer that is ready", || teller.init_transactions(Duration::from_secs(10)).ok());
    teller.begin_transaction().expect("begun");
    send(&teller, "k0", Some("committed"));
    eventually("a commit", || teller.commit_transaction(Duration::from_secs(10)).ok());
    teller.begin_transaction().expect("begun");
    send(&teller, "k1", Some("aborted"));
    teller.flush(PATIENCE).expect("everything is sent");
    eventually("an abort", || teller.abort_transaction(Duration::from_secs(10)).ok());
}

/// The last value of each key but the filler's, and how many records that took.
fn state(server: &Server) -> (BTreeMap<String, String>, usize) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let records = read(server, TOPIC, 0, 0);
    let told: Vec<(String, String)> =
        records.into_iter().map(|record| (text(record.key.expect("a key")), text(record.value))).collect();
    let told = told.into_iter().filter(|(key, _)| key != FILLER);
    let count = told.clone().count();
    (told.collect(), count)
}

#[test]
fn a_compacted_topic_keeps_the_last_value_of_each_key() {
    let mut server = Server::start(&[]);
    make_topic(&server);
    write_everything(&server);
    let filler: BaseProducer = config(&server).create().expect("a producer");
    let mut expected: BTreeMap<String, String> =
        (1..DELETED).map(|key| (format!("k{key}"), (ROUNDS - 1).to_string())).collect();
    expected.insert("k0".to_owned(), "committed".to_owned());
    eventually("a compacted log", || {
        send(&filler, FILLER, Some(&"x".repeat(1_500)));
        filler.flush(PATIENCE).expect("everything is sent");
        (state(&server) == (expected.clone(), expected.len())).then_some(())
    });
    assert!(server.events().contains("\"log_cleaned\""), "it is told");

    server.kill_process();
    server.start_process();
    // Another replica may lead, which cleans by itself and may not be as far: a deleted key may still be there as deleted.
    let after = eventually("a leader", || Some(state(&server).0));
    let after: BTreeMap<String, String> = after.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    assert_eq!(after, expected);
}

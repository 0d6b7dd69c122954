//! What a client does every day: topics, configurations, records of every kind, reading from anywhere.

use super::{Read, admin, admin_options, config, create_topic, read, reader, wait};
use crate::support::{PATIENCE, Server, eventually};
use rdkafka::admin::{AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const RECORDS: i64 = 300;

/// Some time ago, so that nothing of it is in the future and nothing too old to keep.
fn an_hour_ago_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("far ahead") - 3_600_000
}

fn record(index: i64, epoch_ms: i64) -> Read {
    Read {
        offset: index,
        key: (index % 3 != 0).then(|| format!("key-{}", index % 10).into_bytes()),
        value: format!("record {index} ").repeat(usize::try_from(index % 40).expect("small")).into_bytes(),
        timestamp_ms: epoch_ms + 10 * index,
    }
}

/// Writes the records to partition 0 with these settings.
fn produce(server: &Server, topic: &str, epoch_ms: i64, settings: &[(&str, &str)]) {
    let mut config = config(server);
    config.set("linger.ms", "5").set("batch.num.messages", "50");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let producer: BaseProducer = config.create().expect("a producer");
    for index in 0..RECORDS {
        let record = record(index, epoch_ms);
        let mut sent = BaseRecord::to(topic).partition(0).payload(&record.value).timestamp(record.timestamp_ms);
        sent.key = record.key.as_ref();
        producer.send(sent).map_err(|(error, _)| error).expect("room in the queue");
    }
    producer.flush(PATIENCE).expect("everything is sent");
}

#[test]
fn records_of_every_kind_come_back_as_they_were_from_anywhere() {
    let server = Server::start(&["--durability=memory"]);
    let epoch_ms = an_hour_ago_ms();
    let expected: Vec<Read> = (0..RECORDS).map(|index| record(index, epoch_ms)).collect();
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"].map(|codec| ("compression.type", codec));
    let acks = ["0", "1", "all"].map(|acks| ("acks", acks));
    let idempotence = [("enable.idempotence", "true")];
    for (name, value) in codecs.into_iter().chain(acks).chain(idempotence) {
        let topic = format!("{name}-{value}");
        create_topic(&server, &topic, 1);
        produce(&server, &topic, epoch_ms, &[(name, value)]);
        let found = eventually("what needs no acknowledgement arrives as well", || {
            let found = read(&server, &topic, 0, 0);
            (found.len() >= expected.len()).then_some(found)
        });
        assert_eq!(found, expected, "{topic}");
        // From offsets on the bounds of batches and within them.
        for from in [1, 49, 50, 51, 299] {
            assert_eq!(
                read(&server, &topic, 0, from),
                expected[usize::try_from(from).expect("small")..],
                "{topic} from {from}"
            );
        }
        assert_eq!(
            offset_at(&server, &topic, epoch_ms + 10 * 123),
            Offset::Offset(123),
            "{topic} at record 123's time"
        );
        assert_eq!(offset_at(&server, &topic, epoch_ms + 10 * 123 + 1), Offset::Offset(124), "{topic} just after it");
        assert_eq!(offset_at(&server, &topic, epoch_ms + 10 * RECORDS), Offset::End, "{topic} after every record");
    }
}

fn offset_at(server: &Server, topic: &str, timestamp_ms: i64) -> Offset {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic, 0, Offset::Offset(timestamp_ms)).expect("a time");
    let found = reader(server).offsets_for_times(asked, Duration::from_secs(30)).expect("an answer");
    found.find_partition(topic, 0).expect("the partition").offset()
}

#[test]
fn topics_are_created_described_altered_and_deleted() {
    let server = Server::start(&["--durability=memory"]);
    create_topic(&server, "orders", 3);
    let (admin, options) = (admin(&server), admin_options());
    let described = |name: &str| {
        let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).expect("an answer");
        let topic = &metadata.topics()[0];
        assert!(topic.partitions().iter().all(|partition| partition.replicas().len() == partition.isr().len()));
        (topic.error().map(RDKafkaErrorCode::from), topic.partitions().len())
    };
    assert_eq!(described("orders"), (None, 3));

    let again = NewTopic::new("orders", 1, TopicReplication::Fixed(1));
    let refused = wait(admin.create_topics([&again], &options)).expect("an answer");
    assert_eq!(refused, [Err(("orders".to_owned(), RDKafkaErrorCode::TopicAlreadyExists))]);
    let too_many = NewTopic::new("copies", 1, TopicReplication::Fixed(4));
    let refused = wait(admin.create_topics([&too_many], &options)).expect("an answer");
    assert_eq!(refused, [Err(("copies".to_owned(), RDKafkaErrorCode::InvalidReplicationFactor))]);

    let grown = wait(admin.create_partitions([&NewPartitions::new("orders", 5)], &options)).expect("an answer");
    assert_eq!(grown, [Ok("orders".to_owned())]);
    eventually("five partitions", || (described("orders") == (None, 5)).then_some(()));

    let orders = ResourceSpecifier::Topic("orders");
    let altered = AlterConfig::new(orders).set("retention.ms", "7200000");
    assert!(wait(admin.alter_configs([&altered], &options)).expect("an answer")[0].is_ok());
    let retention = || {
        let answers = wait(admin.describe_configs([&orders], &options)).expect("an answer");
        let config = answers.into_iter().next().expect("the topic").expect("described");
        config.get("retention.ms").and_then(|entry| entry.value.clone()).expect("a value")
    };
    eventually("the topic's own retention", || (retention() == "7200000").then_some(()));

    produce(&server, "orders", an_hour_ago_ms(), &[]);
    let mut before = TopicPartitionList::new();
    before.add_partition_offset("orders", 0, Offset::Offset(200)).expect("an offset");
    wait(admin.delete_records(&before, &options)).expect("deleted");
    let marks = reader(&server).fetch_watermarks("orders", 0, PATIENCE).expect("an answer");
    assert_eq!(marks, (200, RECORDS));
    assert_eq!(read(&server, "orders", 0, 200).len(), 100);

    let deleted = wait(admin.delete_topics(&["orders"], &options)).expect("an answer");
    assert_eq!(deleted, [Ok("orders".to_owned())]);
    let reader = reader(&server);
    eventually("it is listed no more", || {
        let metadata = reader.fetch_metadata(None, PATIENCE).expect("an answer");
        metadata.topics().iter().all(|topic| topic.name() != "orders").then_some(())
    });
}

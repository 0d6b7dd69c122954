//! The live host with a real client: what is acknowledged is there, whatever happens to one broker.

use kafkarium::cluster::data_dir::DataDir;
use kafkarium::cluster::live::LiveCluster;
use kafkarium::cluster::options::{ClusterOptions, Durability, Place};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn start(folder: &Path, durability: Durability) -> LiveCluster {
    let place = Place::Folder(folder.to_owned());
    let data = DataDir::open(&place).expect("a data folder");
    let options = ClusterOptions { first_port: 0, durability, place, ..ClusterOptions::default() };
    let cluster = LiveCluster::start(options, data).expect("starts");
    assert!(cluster.wait_ready(PATIENCE), "{:?}", cluster.facts_after(0).0);
    cluster
}

fn produce(cluster: &LiveCluster, topic: &str, count: usize) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .create()
        .expect("a producer");
    for n in 0..count {
        let (key, value) = (n.to_string(), format!("value {n}"));
        producer.send(BaseRecord::to(topic).key(&key).payload(&value)).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(PATIENCE).expect("all acknowledged");
    assert_eq!(producer.in_flight_count(), 0);
}

fn consume(cluster: &LiveCluster, topic: &str, count: usize) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut assignment = rdkafka::TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).expect("an offset");
    consumer.assign(&assignment).expect("assigned");
    let until = std::time::Instant::now() + PATIENCE;
    let mut values = Vec::new();
    while values.len() < count && std::time::Instant::now() < until {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) {
            values.push(String::from_utf8_lossy(message.payload().expect("a value")).into_owned());
        }
    }
    values
}

#[test]
fn a_real_client_produces_and_consumes_and_the_data_outlive_a_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = start(folder.path(), Durability::Process);
    produce(&cluster, "orders", 1_000);
    assert_eq!(consume(&cluster, "orders", 1_000).len(), 1_000);
    cluster.shut_down();
    drop(cluster);
    let cluster = start(folder.path(), Durability::Process);
    let values = consume(&cluster, "orders", 1_000);
    assert_eq!(values, (0..1_000).map(|n| format!("value {n}")).collect::<Vec<_>>());
}

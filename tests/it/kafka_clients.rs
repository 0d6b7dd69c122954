//! librdkafka against the built program: what a client does every day, and what is left of its records when brokers, links or the
//! whole program die under it.
//!
//! From the environment: `KILL_EVENTS` (20) faults in the kill loop, `KILL_SEED` which they are, `PROCESS_KILLS` (3) and `SYNC_KILLS`
//! (3) kill -9 of the program in each mode.

mod compaction;
mod consumer_groups;
mod every_day;
mod groups;
mod kill_loop;
mod load;
mod members;
mod process_kills;
mod replicas;
mod transactions;

use crate::support::{PATIENCE, Server, eventually};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::future::Future;
use std::time::Duration;

fn config(server: &Server) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server.bootstrap());
    // A broker that stands still is given up sooner than by default, so that a test is about the cluster and not about waiting.
    config.set("socket.timeout.ms", "3000").set("reconnect.backoff.max.ms", "200");
    config
}

fn admin(server: &Server) -> AdminClient<DefaultClientContext> {
    config(server).create().expect("an admin client")
}

fn admin_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

/// Runs what the admin client answers in its own thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

/// Makes a topic and waits until every partition has a leader, whichever broker is asked.
fn create_topic(server: &Server, name: &str, partitions: usize) {
    let topic = NewTopic::new(name, i32::try_from(partitions).expect("few"), TopicReplication::Fixed(3));
    let created = wait(admin(server).create_topics([&topic], &admin_options())).expect("an answer");
    assert_eq!(created, [Ok(name.to_owned())]);
    let reader = reader(server);
    eventually("a leader for each partition", || {
        let metadata = reader.fetch_metadata(Some(name), Duration::from_secs(5)).ok()?;
        let found = metadata.topics().first()?.partitions();
        (found.len() == partitions && found.iter().all(|partition| partition.leader() > 0)).then_some(())
    });
}

/// A consumer that is told where to read and commits nothing.
fn reader(server: &Server) -> BaseConsumer {
    let mut config = config(server);
    // The library wants a group's name to read at all; without a subscription or a commit nobody hears of it.
    config.set("group.id", "none").set("enable.auto.commit", "false").set("auto.offset.reset", "error");
    config.set("fetch.wait.max.ms", "50").set("allow.auto.create.topics", "false");
    config.create().expect("a consumer")
}

/// One record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    offset: i64,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    timestamp_ms: i64,
}

/// Reads a partition from an offset to where it ends now.
fn read(server: &Server, topic: &str, partition: i32, from: i64) -> Vec<Read> {
    use rdkafka::Message;
    let reader = reader(server);
    let (_, end) =
        eventually("the partition's end", || reader.fetch_watermarks(topic, partition, Duration::from_secs(5)).ok());
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(topic, partition, Offset::Offset(from)).expect("an offset");
    reader.assign(&places).expect("assigned");
    let mut records: Vec<Read> = Vec::new();
    let mut next = from;
    eventually("every record is read", || {
        while next < end {
            match reader.poll(Duration::from_millis(200))? {
                Ok(record) => {
                    assert!(record.offset() >= next, "offset {} after {next} was expected", record.offset());
                    next = record.offset() + 1;
                    records.push(Read {
                        offset: record.offset(),
                        key: record.key().map(<[u8]>::to_vec),
                        value: record.payload().unwrap_or_default().to_vec(),
                        timestamp_ms: record.timestamp().to_millis().unwrap_or(-1),
                    });
                }
                // What passes by itself: connections that broke, the group nobody is in.
                Err(KafkaError::MessageConsumption(code)) if code.to_string().contains("Offset out of range") => {
                    panic!("{topic}-{partition} from {next}: {code}")
                }
                Err(_) => {}
            }
        }
        Some(())
    });
    records
}

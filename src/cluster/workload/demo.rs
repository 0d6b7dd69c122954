//! What the demo workload writes: customers click, order and pay, each with a key, so that the order of a key means something; and the
//! group that reads it.
//!
//! Invariants: record n is the same in every run; a customer's records all go to one partition of a topic; topics are created with at
//! most 64 MiB a partition.
//!
//! Deliberately not here: when records are written (`load`).

use super::follow::Crew;
use crate::client::consumer::Reset;
use crate::client::metadata::topic_name;
use crate::client::producer::ProducerRecord;
use crate::engine::prng::Prng;
use crate::protocol::codec::Request;
use bytes::Bytes;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use std::time::Duration;

/// The topics and how many partitions each has.
pub(in crate::cluster) const TOPICS: [(&str, i32); 3] = [("clicks", 4), ("orders", 6), ("payments", 4)];
/// From one record to the next: 200 a second over all topics.
pub(super) const INTERVAL: Duration = Duration::from_millis(5);
/// The share of each topic in twenty records.
const SHARES: [(&str, u64); 3] = [("clicks", 11), ("orders", 6), ("payments", 3)];
/// How many customers there are.
const CUSTOMERS: u64 = 240;
const REGIONS: [&str; 4] = ["eu", "us", "ap", "sa"];
const PAGES: [&str; 6] = ["home", "search", "lamp", "chair", "basket", "checkout"];
/// A segment, and with [`RETENTION_BYTES`] before the one that is written to, 64 MiB at most.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
const RETENTION_BYTES: u64 = 48 * 1024 * 1024;

/// The group of its readers.
pub(in crate::cluster) const GROUP: &str = "orders-app";
/// How many members it has.
pub(in crate::cluster) const READERS: usize = 2;

/// What its readers have in common.
pub(super) fn crew(reset: Reset) -> Crew {
    let partitions = TOPICS.iter().map(|(_, partitions)| usize::try_from(*partitions).expect("few")).sum();
    Crew { group: GROUP, topics: topics(), partitions, reset, places: Arc::default() }
}

/// The names of the topics.
pub(super) fn topics() -> Vec<String> {
    TOPICS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// Asks for the topics. Those that are there already stay as they are.
pub(in crate::cluster) fn create_topics() -> Request {
    let config = |name: &str, value: u64| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(name.to_owned()))
            .with_value(Some(StrBytes::from_string(value.to_string())))
    };
    let topic = |(name, partitions): &(&str, i32)| {
        CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(*partitions)
            .with_replication_factor(-1)
            .with_configs(vec![config("retention.bytes", RETENTION_BYTES), config("segment.bytes", SEGMENT_BYTES)])
    };
    let topics = TOPICS.iter().map(topic).collect();
    Request::CreateTopics(CreateTopicsRequest::default().with_timeout_ms(10_000).with_topics(topics))
}

/// Record `number`, from 1.
pub(super) fn record(number: u64, timestamp_ms: i64) -> ProducerRecord {
    let mut rng = Prng::new(number);
    let customer = rng.below(CUSTOMERS);
    let key = format!("{}-{}", REGIONS[usize::try_from(customer % 4).expect("below 4")], 4_400 + customer);
    let order = 88_000 + number;
    let total = 500 + rng.below(40_000);
    let topic = topic_of(number);
    let value = match topic {
        "clicks" => {
            let page = rng.pick(&PAGES).expect("there are pages");
            format!(r#"{{"customer":"{key}","page":"{page}","ms":{}}}"#, 20 + rng.below(400))
        }
        "orders" => {
            let (sku, count) = (rng.below(900), 1 + rng.below(4));
            format!(
                r#"{{"id":{order},"customer":"{key}","total":{}.{:02},"items":[{{"sku":"a-{sku}","count":{count}}}]}}"#,
                total / 100,
                total % 100
            )
        }
        _ => {
            let card = if rng.chance(1, 3) { "sepa" } else { "card" };
            format!(
                r#"{{"order":{order},"customer":"{key}","amount":{}.{:02},"by":"{card}"}}"#,
                total / 100,
                total % 100
            )
        }
    };
    ProducerRecord {
        topic: topic.to_owned(),
        partition: None,
        key: Some(Bytes::from(key)),
        value: Some(Bytes::from(value)),
        headers: Vec::new(),
        timestamp_ms,
    }
}

fn topic_of(number: u64) -> &'static str {
    // Scattered, so that a tick holds some of each.
    let mut place = number * 7 % SHARES.iter().map(|(_, share)| share).sum::<u64>();
    for (topic, share) in SHARES {
        match place.checked_sub(share) {
            Some(left) => place = left,
            None => return topic,
        }
    }
    unreachable!("the place is below the sum of the shares")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::metadata::partition_of_key;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn every_topic_gets_its_share_and_every_partition_some() {
        let mut seen: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for number in 1..=2_000 {
            let record = record(number, 0);
            let partitions = TOPICS.iter().find(|(name, _)| *name == record.topic).expect("a known topic").1;
            let key = record.key.expect("every record has a key");
            seen.entry(record.topic.clone()).or_default().insert(partition_of_key(&key, partitions));
            *counts.entry(record.topic).or_default() += 1;
        }
        for (topic, partitions) in TOPICS {
            assert_eq!(seen[topic].len(), usize::try_from(partitions).expect("positive"), "{topic}");
        }
        assert_eq!((counts["clicks"], counts["orders"], counts["payments"]), (1_100, 600, 300));
    }

    #[test]
    fn values_are_json_and_the_same_in_every_run() {
        for number in 1..200 {
            let record = record(number, 5);
            let value = record.value.clone().expect("every record has a value");
            serde_json::from_slice::<serde_json::Value>(&value).expect("the value is JSON");
            assert_eq!(super::record(number, 5), record);
        }
    }
}

//! What consumers of a classic group tell each other through their coordinator: what a member subscribes to and owns, and what
//! the leader gives to each (`ConsumerProtocolSubscription`, `ConsumerProtocolAssignment`). The coordinator passes both on unread.
//!
//! Invariants: written in the newest version, 3, whose fields older readers pass over; read in any version, with what an older
//! one lacks as nothing; nothing is allocated for a length that the bytes do not have.
//!
//! Deliberately not here: who gets what (`client::member::assignor`).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;

/// The version that is written.
const VERSION: i16 = 3;

/// Topics and their partitions.
pub type Partitions = Vec<(String, i32)>;

/// What a member says of itself when it joins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics that it wants.
    pub topics: Vec<String>,
    /// What it owns at this moment (from version 1 on, KIP-429).
    pub owned: Partitions,
    /// The generation in which it came to own that; −1 if it does not know (from version 2 on, KIP-792).
    pub generation: i32,
}

/// A subscription as bytes.
pub fn encode_subscription(subscription: &Subscription) -> Bytes {
    let mut to = BytesMut::new();
    to.put_i16(VERSION);
    put_length(&mut to, subscription.topics.len());
    subscription.topics.iter().for_each(|topic| put_text(&mut to, topic));
    // No user data.
    to.put_i32(-1);
    put_partitions(&mut to, &subscription.owned);
    to.put_i32(subscription.generation);
    // No rack.
    to.put_i16(-1);
    to.freeze()
}

/// Reads a subscription; `None` if the bytes are none.
pub fn decode_subscription(mut from: Bytes) -> Option<Subscription> {
    let version = from.try_get_i16().ok()?;
    let mut topics = Vec::new();
    for _ in 0..from.try_get_i32().ok()? {
        topics.push(text(&mut from)?);
    }
    skip_user_data(&mut from)?;
    let owned = if version >= 1 { partitions(&mut from)? } else { Vec::new() };
    let generation = if version >= 2 { from.try_get_i32().ok()? } else { -1 };
    Some(Subscription { topics, owned, generation })
}

/// An assignment as bytes.
pub fn encode_assignment(assigned: &Partitions) -> Bytes {
    let mut to = BytesMut::new();
    to.put_i16(VERSION);
    put_partitions(&mut to, assigned);
    to.put_i32(-1);
    to.freeze()
}

/// Reads an assignment; `None` if the bytes are none. No bytes at all are an assignment of nothing: so a coordinator answers a
/// member that the leader forgot.
pub fn decode_assignment(mut from: Bytes) -> Option<Partitions> {
    if from.is_empty() {
        return Some(Vec::new());
    }
    let _version = from.try_get_i16().ok()?;
    partitions(&mut from)
}

fn put_length(to: &mut BytesMut, length: usize) {
    to.put_i32(i32::try_from(length).expect("fewer than 2^31"));
}

fn put_text(to: &mut BytesMut, text: &str) {
    to.put_i16(i16::try_from(text.len()).expect("the name of a topic"));
    to.put_slice(text.as_bytes());
}

fn put_partitions(to: &mut BytesMut, partitions: &Partitions) {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    put_length(to, topics.len());
    for (topic, partitions) in topics {
        put_text(to, topic);
        put_length(to, partitions.len());
        partitions.into_iter().for_each(|partition| to.put_i32(partition));
    }
}

fn text(from: &mut Bytes) -> Option<String> {
    let length = usize::try_from(from.try_get_i16().ok()?).ok().filter(|length| *length <= from.len())?;
    String::from_utf8(from.split_to(length).to_vec()).ok()
}

fn skip_user_data(from: &mut Bytes) -> Option<()> {
    let length = usize::try_from(from.try_get_i32().ok()?).unwrap_or(0);
    (length <= from.len()).then(|| from.advance(length))
}

fn partitions(from: &mut Bytes) -> Option<Partitions> {
    let mut found = Vec::new();
    for _ in 0..from.try_get_i32().ok()? {
        let topic = text(from)?;
        for _ in 0..from.try_get_i32().ok()? {
            found.push((topic.clone(), from.try_get_i32().ok()?));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition;
    use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName};
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

    fn owned() -> Partitions {
        vec![("clicks".to_owned(), 4), ("orders".to_owned(), 0), ("orders".to_owned(), 2)]
    }

    fn subscription() -> Subscription {
        Subscription { topics: vec!["clicks".to_owned(), "orders".to_owned()], owned: owned(), generation: 7 }
    }

    #[test]
    fn what_is_written_is_kafkas_own_form() {
        let mut bytes = encode_subscription(&subscription());
        assert_eq!(bytes.get_i16(), 3);
        let read = ConsumerProtocolSubscription::decode(&mut bytes, 3).expect("a subscription");
        assert_eq!(read.topics.iter().map(StrBytes::as_str).collect::<Vec<_>>(), ["clicks", "orders"]);
        assert_eq!((read.generation_id, read.user_data, read.rack_id), (7, None, None));
        let owned_topics: Vec<_> =
            read.owned_partitions.iter().map(|of| (of.topic.0.as_str(), of.partitions.clone())).collect();
        assert_eq!(owned_topics, [("clicks", vec![4]), ("orders", vec![0, 2])]);
        assert!(bytes.is_empty());
        let mut bytes = encode_assignment(&owned());
        assert_eq!(bytes.get_i16(), 3);
        let read = ConsumerProtocolAssignment::decode(&mut bytes, 3).expect("an assignment");
        assert_eq!((read.assigned_partitions.len(), read.user_data, bytes.is_empty()), (2, None, true));
    }

    #[test]
    fn subscriptions_of_every_version_are_read_and_cut_ones_are_not() {
        let part = TopicPartition::default()
            .with_topic(TopicName(StrBytes::from_static_str("orders")))
            .with_partitions(vec![1, 3]);
        let written = |version: i16| {
            let mut message = ConsumerProtocolSubscription::default()
                .with_topics(vec![StrBytes::from_static_str("orders")])
                .with_user_data(Some(Bytes::from_static(b"sticky")));
            if version >= 1 {
                message = message.with_owned_partitions(vec![part.clone()]);
            }
            if version >= 2 {
                message = message.with_generation_id(5);
            }
            let mut to = BytesMut::new();
            to.put_i16(version);
            message.encode(&mut to, version).expect("encodes");
            to.freeze()
        };
        for version in 0..=3 {
            let read = decode_subscription(written(version)).expect("a subscription");
            assert_eq!(read.topics, ["orders"], "version {version}");
            assert_eq!(read.owned.len(), if version >= 1 { 2 } else { 0 }, "version {version}");
            assert_eq!(read.generation, if version >= 2 { 5 } else { -1 }, "version {version}");
        }
        let whole = written(2);
        for cut in 0..whole.len() {
            assert_eq!(decode_subscription(whole.slice(..cut)), None, "cut at {cut}");
        }
    }

    #[test]
    fn an_assignment_names_its_partitions_and_a_cut_one_none() {
        let whole = encode_assignment(&owned());
        assert_eq!(decode_assignment(whole.clone()), Some(owned()));
        assert_eq!(decode_assignment(Bytes::new()), Some(Vec::new()));
        for cut in 1..whole.len() - 4 {
            assert_eq!(decode_assignment(whole.slice(..cut)), None, "cut at {cut}");
        }
    }
}

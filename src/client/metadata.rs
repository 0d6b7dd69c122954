//! What a client knows of the cluster: brokers and who leads what. Asked for anew when something proves it wrong.

use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// A partition, by its topic's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    pub fn new(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.to_owned(), partition }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A topic's name on the wire.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    leaders: BTreeMap<TopicPartition, (Option<BrokerId>, i32)>,
    errors: BTreeMap<String, ErrorCode>,
    ids: BTreeMap<String, uuid::Uuid>,
}

impl Metadata {
    /// Asks for topics; `None` for all.
    pub fn request(topics: Option<&[String]>, create: bool) -> Request {
        let topic = |name: &String| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let topics = topics.map(|names| names.iter().map(topic).collect());
        Request::Metadata(MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(create))
    }

    /// Takes an answer in; returns the brokers' addresses.
    pub fn update(&mut self, response: &Response) -> Vec<(BrokerId, String, u16)> {
        let Response::Metadata(response) = response else { return Vec::new() };
        for topic in &response.topics {
            let Some(name) = topic.name.as_ref().map(|name| name.0.to_string()) else { continue };
            self.errors.insert(name.clone(), ErrorCode::from_code(topic.error_code));
            if self.ids.insert(name.clone(), topic.topic_id).is_some_and(|known| known != topic.topic_id) {
                // Another topic under the same name: its epochs begin anew.
                self.leaders.retain(|partition, _| partition.topic != name);
            }
            for partition in &topic.partitions {
                let leader = (partition.leader_id.0 >= 0).then_some(BrokerId(partition.leader_id.0));
                let key = TopicPartition::new(&name, partition.partition_index);
                let known = self.leaders.get(&key).map_or(-1, |(_, epoch)| *epoch);
                // A broker that is cut off tells old news: a leader epoch never goes back (KIP-320).
                if partition.leader_epoch < 0 || partition.leader_epoch >= known {
                    self.leaders.insert(key, (leader, partition.leader_epoch));
                }
            }
        }
        let address = |broker: &kafka_protocol::messages::metadata_response::MetadataResponseBroker| {
            (BrokerId(broker.node_id.0), broker.host.to_string(), u16::try_from(broker.port).unwrap_or(0))
        };
        response.brokers.iter().map(address).collect()
    }

    /// Who leads a partition, as far as is known.
    pub fn leader(&self, partition: &TopicPartition) -> Option<BrokerId> {
        self.leaders.get(partition)?.0
    }

    /// The leader epoch that goes with it; −1 if unknown.
    pub fn leader_epoch(&self, partition: &TopicPartition) -> i32 {
        self.leaders.get(partition).map_or(-1, |(_, epoch)| *epoch)
    }

    /// Takes a hint that came with an error (KIP-951); true if it is newer than what is known.
    pub fn hint(&mut self, partition: &TopicPartition, leader: BrokerId, epoch: i32) -> bool {
        match self.leaders.get_mut(partition) {
            Some(known) if epoch > known.1 => {
                *known = (Some(leader), epoch);
                true
            }
            _ => false,
        }
    }

    /// The partitions of a topic.
    pub fn partitions(&self, topic: &str) -> Vec<TopicPartition> {
        self.leaders.keys().filter(|partition| partition.topic == topic).cloned().collect()
    }

    /// The name of a topic that has an id.
    pub fn name_of(&self, id: uuid::Uuid) -> Option<&str> {
        self.ids.iter().find(|(_, known)| **known == id && !id.is_nil()).map(|(name, _)| name.as_str())
    }

    /// The id of a topic, as far as it has one.
    pub fn id_of(&self, topic: &str) -> Option<uuid::Uuid> {
        self.ids.get(topic).copied().filter(|id| !id.is_nil())
    }

    /// What the cluster said of a topic the last time.
    pub fn error(&self, topic: &str) -> Option<ErrorCode> {
        self.errors.get(topic).copied()
    }
}

/// The partition of a key: Kafka's default (murmur2 of the key, without its sign, by the number of partitions).
pub fn partition_of_key(key: &[u8], partitions: i32) -> i32 {
    let hash = murmur2(key) & 0x7FFF_FFFF;
    i32::try_from(hash % u32::try_from(partitions.max(1)).expect("a positive count")).expect("below the count")
}

/// MurmurHash2 with the seed that Kafka's `Utils.murmur2` uses.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5BD1_E995;
    let length = u32::try_from(data.len()).expect("a key below 4 GiB");
    let mut hash = 0x9747_B28C ^ length;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().expect("four bytes")).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_kafkas_default_partitioner_sends_them() {
        // The vectors of Kafka's own UtilsTest.testMurmur2.
        let known: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key).cast_signed(), hash, "{key:?}");
            assert!((0..6).contains(&partition_of_key(key, 6)));
        }
    }
}

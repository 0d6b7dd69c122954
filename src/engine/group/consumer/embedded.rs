//! What members of the classic protocol own and are given, between names of topics, which they know, and ids, which
//! consumer groups know.

use crate::engine::controller::image::MetadataImage;
use crate::engine::group::consumer::record::Partitions;
use crate::protocol::consumer_protocol::{decode_assignment, encode_assignment};
use bytes::Bytes;

/// Partitions by their topics' names, as they are known by ids; what is not known is not there.
pub fn by_id(named: &[(String, i32)], metadata: &MetadataImage) -> Partitions {
    let mut partitions = Partitions::new();
    for (topic, number) in named {
        if let Some(id) = metadata.topic_ids.get(topic) {
            partitions.entry(*id).or_default().insert(*number);
        }
    }
    partitions
}

/// What an assignment gives; nothing if it cannot be read.
pub fn read_assignment(bytes: &Bytes, metadata: &MetadataImage) -> Partitions {
    by_id(&decode_assignment(bytes.clone()).unwrap_or_default(), metadata)
}

/// The same as an assignment.
pub fn write_assignment(partitions: &Partitions, metadata: &MetadataImage) -> Bytes {
    let mut named = Vec::new();
    for (topic, numbers) in partitions {
        let Some(topic) = metadata.topics.get(topic) else { continue };
        named.extend(numbers.iter().map(|number| (topic.name.clone(), *number)));
    }
    encode_assignment(&named)
}

//! What consumers of the classic protocol say within JoinGroup and SyncGroup: subscriptions
//! (`ConsumerProtocolSubscription`, versions 0 to 3) and assignments (`ConsumerProtocolAssignment`). Consumer groups read
//! and write them for members that use the classic protocol, and when a group changes from one to the other.

use crate::engine::controller::image::MetadataImage;
use crate::engine::group::consumer::record::Partitions;
use crate::engine::group::snapshot::read_owned;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The highest version of an assignment.
const LAST_VERSION: i16 = 3;

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The version that the member speaks.
    pub version: i16,
    /// Names of topics.
    pub topics: BTreeSet<Arc<str>>,
    /// What it owned when it said so: nothing before version 1, where members give everything up first.
    pub owned: Vec<(String, i32)>,
    /// Its rack, from version 3 on.
    pub rack: Option<Arc<str>>,
}

/// Reads a subscription; `None` if it is not one.
pub fn read_subscription(bytes: &[u8]) -> Option<Subscription> {
    let mut from = bytes;
    let version = from.try_get_i16().ok().filter(|version| *version >= 0)?;
    let mut topics = BTreeSet::new();
    for _ in 0..from.try_get_i32().ok()? {
        topics.insert(Arc::from(text(&mut from)?));
    }
    let user_data = from.try_get_i32().ok()?;
    from.split_off(..usize::try_from(user_data.max(0)).ok()?)?;
    let mut owned = Vec::new();
    if version >= 1 {
        for _ in 0..from.try_get_i32().ok()? {
            let topic = text(&mut from)?;
            for _ in 0..from.try_get_i32().ok()? {
                owned.push((topic.to_owned(), from.try_get_i32().ok()?));
            }
        }
    }
    let _generation = if version >= 2 { from.try_get_i32().ok()? } else { -1 };
    let mut rack = None;
    if version >= 3 && from.try_get_i16().ok()? >= 0 {
        // The length was just read: back to where it stands.
        from = &bytes[bytes.len() - from.len() - 2..];
        rack = Some(Arc::from(text(&mut from)?));
    }
    Some(Subscription { version, topics, owned, rack })
}

fn text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(from.try_get_i16().ok()?).ok()?;
    std::str::from_utf8(from.split_off(..length)?).ok()
}

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

/// What an assignment gives, by topic ids; nothing if it cannot be read.
pub fn read_assignment(bytes: &Bytes, metadata: &MetadataImage) -> Partitions {
    by_id(&read_owned(bytes.clone()).unwrap_or_default(), metadata)
}

/// An assignment for a member that speaks a version.
pub fn write_assignment(version: i16, partitions: &Partitions, metadata: &MetadataImage) -> Bytes {
    let named: BTreeMap<&str, &BTreeSet<i32>> = partitions
        .iter()
        .filter_map(|(topic, numbers)| Some((metadata.topics.get(topic)?.name.as_str(), numbers)))
        .collect();
    let mut to = BytesMut::new();
    let count = |length: usize| i32::try_from(length).expect("there are fewer partitions");
    to.put_i16(version.clamp(0, LAST_VERSION));
    to.put_i32(count(named.len()));
    for (topic, numbers) in named {
        to.put_i16(i16::try_from(topic.len()).expect("names of topics are short"));
        to.put_slice(topic.as_bytes());
        to.put_i32(count(numbers.len()));
        for number in numbers {
            to.put_i32(*number);
        }
    }
    to.put_i32(-1);
    to.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(version: i16) -> Vec<u8> {
        let mut bytes = vec![0, version as u8, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 9];
        if version >= 1 {
            bytes.extend([0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 5]);
        }
        if version >= 2 {
            bytes.extend([0, 0, 0, 7]);
        }
        if version >= 3 {
            bytes.extend([0, 1, b'r']);
        }
        bytes
    }

    #[test]
    fn every_version_is_read_and_every_cut_refused() {
        for version in 0..=3 {
            let bytes = subscription(version);
            let read = read_subscription(&bytes).expect("whole");
            assert_eq!((read.version, read.topics), (version, BTreeSet::from([Arc::from("t")])));
            let owned = if version == 0 { vec![] } else { vec![("t".to_owned(), 4), ("t".to_owned(), 5)] };
            assert_eq!(read.owned, owned);
            assert_eq!(read.rack.as_deref(), (version == 3).then_some("r"));
            for cut in 0..bytes.len() {
                assert_eq!(read_subscription(&bytes[..cut]), None, "version {version} cut at {cut}");
            }
        }
        let mut no_rack = subscription(2);
        no_rack[1] = 3;
        no_rack.extend([255, 255]);
        assert_eq!(read_subscription(&no_rack).expect("whole").rack, None);
    }
}

//! The records of consumer groups (KIP-848), byte for byte as Kafka 4 writes them: kinds 3 to 8 and 16 of
//! `__consumer_offsets`. Their keys are in the old encoding, their values flexible from version 0 on.
//!
//! Kind 4 (the partitions of subscribed topics) was replaced by a hash in kind 3; it is read, and nothing is kept of it.
//! Kafka's hash is another than ours: a log that Kafka wrote costs one rebalance more.

use crate::engine::group::record::{Malformed, Reader, put_string};
use crate::protocol::ids::TopicId;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

const EPOCH_KEY: i16 = 3;
const PARTITIONS_KEY: i16 = 4;
const MEMBER_KEY: i16 = 5;
const TARGET_EPOCH_KEY: i16 = 6;
const TARGET_KEY: i16 = 7;
const CURRENT_KEY: i16 = 8;
const REGEX_KEY: i16 = 16;
/// The version of every value.
const VALUE: i16 = 0;

/// Partitions by topic. No topic is without any.
pub type Partitions = BTreeMap<TopicId, BTreeSet<i32>>;

/// The group's epoch, and what it subscribed to then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupEpoch {
    /// The number of changes of members, subscriptions and topics.
    pub epoch: i32,
    /// A hash of the topics that the members subscribe to; 0 if it is not known.
    pub metadata_hash: i64,
}

/// What a member said of itself when it used the classic protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicMember {
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// The protocols it speaks, and what it tells of itself under each.
    pub protocols: Vec<(Arc<str>, Bytes)>,
}

/// A member, and what it subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerMember {
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<Arc<str>>,
    /// Its rack.
    pub rack: Option<Arc<str>>,
    /// What its client calls itself.
    pub client_id: Arc<str>,
    /// Where its client is.
    pub client_host: Arc<str>,
    /// Names of topics, sorted.
    pub topics: BTreeSet<Arc<str>>,
    /// A regular expression for names of topics.
    pub regex: Option<Arc<str>>,
    /// How long it may take to give partitions back, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The assignor that it wants.
    pub assignor: Option<Arc<str>>,
    /// If it uses the classic protocol: what it said.
    pub classic: Option<ClassicMember>,
}

/// How far a member has come towards its target (`MemberState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberState {
    /// It has what it is to have.
    #[default]
    Stable,
    /// It has to give partitions back first.
    UnrevokedPartitions,
    /// It waits for partitions that others have not given back.
    UnreleasedPartitions,
    /// A later release wrote it.
    Unknown,
}

impl MemberState {
    fn number(self) -> u8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
            MemberState::Unknown => 127,
        }
    }

    fn from_number(number: u8) -> MemberState {
        match number {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        }
    }
}

/// What a member has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Current {
    /// Its epoch: −2 for a static member that will come back, 0 for one that has not joined yet.
    pub epoch: i32,
    /// The epoch before: the answer that told the last may have been lost.
    pub previous_epoch: i32,
    /// How far it has come.
    pub state: MemberState,
    /// Partitions that it may use.
    pub assigned: Partitions,
    /// Partitions that it has to give back and may still use.
    pub pending_revocation: Partitions,
}

/// The topics of a regular expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedRegex {
    /// Their names.
    pub topics: BTreeSet<Arc<str>>,
    /// The offset of the metadata that was looked at.
    pub version: i64,
    /// When, in milliseconds of wall time.
    pub at_ms: i64,
}

/// What one record says of a group. `None` for a value is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerRecord {
    /// The group.
    Epoch(Option<GroupEpoch>),
    /// Of an older release: the partitions of its topics.
    TopicPartitions,
    /// A member.
    Member(Arc<str>, Option<ConsumerMember>),
    /// The epoch that the targets are for.
    TargetEpoch(Option<i32>),
    /// What a member is to have.
    Target(Arc<str>, Option<Partitions>),
    /// What a member has.
    Current(Arc<str>, Option<Current>),
    /// A regular expression that members subscribe to.
    Regex(Arc<str>, Option<ResolvedRegex>),
}

impl ConsumerRecord {
    /// The numbers of their kinds, as keys begin with them.
    pub const KINDS: [i16; 7] =
        [EPOCH_KEY, PARTITIONS_KEY, MEMBER_KEY, TARGET_EPOCH_KEY, TARGET_KEY, CURRENT_KEY, REGEX_KEY];

    /// The record's key.
    pub fn key(&self, group: &str) -> Bytes {
        let (kind, name) = match self {
            ConsumerRecord::Epoch(_) => (EPOCH_KEY, None),
            ConsumerRecord::TopicPartitions => (PARTITIONS_KEY, None),
            ConsumerRecord::Member(member, _) => (MEMBER_KEY, Some(member)),
            ConsumerRecord::TargetEpoch(_) => (TARGET_EPOCH_KEY, None),
            ConsumerRecord::Target(member, _) => (TARGET_KEY, Some(member)),
            ConsumerRecord::Current(member, _) => (CURRENT_KEY, Some(member)),
            ConsumerRecord::Regex(regex, _) => (REGEX_KEY, Some(regex)),
        };
        let mut to = BytesMut::with_capacity(64);
        to.put_i16(kind);
        put_string(&mut to, group);
        if let Some(name) = name {
            put_string(&mut to, name);
        }
        to.freeze()
    }

    /// The record's value; `None` for a tombstone.
    pub fn value(&self) -> Option<Bytes> {
        let mut to = BytesMut::with_capacity(128);
        to.put_i16(VALUE);
        match self {
            ConsumerRecord::Epoch(value) => write_epoch(&mut to, value.as_ref()?),
            ConsumerRecord::TopicPartitions => return None,
            ConsumerRecord::Member(_, value) => write_member(&mut to, value.as_ref()?),
            ConsumerRecord::TargetEpoch(value) => {
                to.put_i32((*value)?);
                put_varint(&mut to, 0);
            }
            ConsumerRecord::Target(_, value) => {
                write_partitions(&mut to, value.as_ref()?);
                put_varint(&mut to, 0);
            }
            ConsumerRecord::Current(_, value) => write_current(&mut to, value.as_ref()?),
            ConsumerRecord::Regex(_, value) => {
                let value = value.as_ref()?;
                write_names(&mut to, &value.topics);
                to.put_i64(value.version);
                to.put_i64(value.at_ms);
                put_varint(&mut to, 0);
            }
        }
        Some(to.freeze())
    }

    /// What a key of one of [`ConsumerRecord::KINDS`] (its number and group have been read) and a value say.
    ///
    /// # Errors
    /// If the bytes are not what their kind and version say.
    pub(in crate::engine::group) fn read(
        kind: i16,
        key: &mut Reader,
        value: Option<&[u8]>,
    ) -> Result<ConsumerRecord, Malformed> {
        let mut value = match value {
            Some(bytes) => Some(Reader::of_flexible_value(bytes)?),
            None => None,
        };
        let from = value.as_mut();
        Ok(match kind {
            EPOCH_KEY => ConsumerRecord::Epoch(from.map(read_epoch).transpose()?),
            PARTITIONS_KEY => ConsumerRecord::TopicPartitions,
            MEMBER_KEY => ConsumerRecord::Member(key.string()?, from.map(read_member).transpose()?),
            TARGET_EPOCH_KEY => ConsumerRecord::TargetEpoch(from.map(read_target_epoch).transpose()?),
            TARGET_KEY => ConsumerRecord::Target(key.string()?, from.map(read_target).transpose()?),
            CURRENT_KEY => ConsumerRecord::Current(key.string()?, from.map(read_current).transpose()?),
            REGEX_KEY => ConsumerRecord::Regex(key.string()?, from.map(read_regex).transpose()?),
            _ => return Err(Malformed),
        })
    }
}

fn put_varint(to: &mut BytesMut, mut value: u32) {
    while value > 0x7F {
        to.put_u8((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    to.put_u8(value as u8);
}

fn put_length(to: &mut BytesMut, length: usize) {
    put_varint(to, u32::try_from(length + 1).expect("what comes from the wire is below 2 GiB"));
}

fn put_text(to: &mut BytesMut, text: &str) {
    put_length(to, text.len());
    to.put_slice(text.as_bytes());
}

fn put_nullable(to: &mut BytesMut, text: Option<&Arc<str>>) {
    match text {
        Some(text) => put_text(to, text),
        None => put_varint(to, 0),
    }
}

fn write_names(to: &mut BytesMut, names: &BTreeSet<Arc<str>>) {
    put_length(to, names.len());
    for name in names {
        put_text(to, name);
    }
}

fn write_epoch(to: &mut BytesMut, value: &GroupEpoch) {
    to.put_i32(value.epoch);
    if value.metadata_hash == 0 {
        return put_varint(to, 0);
    }
    to.put_slice(&[1, 0, 8]);
    to.put_i64(value.metadata_hash);
}

fn write_member(to: &mut BytesMut, member: &ConsumerMember) {
    put_nullable(to, member.instance.as_ref());
    put_nullable(to, member.rack.as_ref());
    put_text(to, &member.client_id);
    put_text(to, &member.client_host);
    write_names(to, &member.topics);
    put_nullable(to, member.regex.as_ref());
    to.put_i32(member.rebalance_timeout_ms);
    put_nullable(to, member.assignor.as_ref());
    let Some(classic) = &member.classic else { return put_varint(to, 0) };
    let mut tagged = BytesMut::new();
    // A struct that may be null begins with whether it is there.
    tagged.put_u8(1);
    tagged.put_i32(classic.session_timeout_ms);
    put_length(&mut tagged, classic.protocols.len());
    for (name, metadata) in &classic.protocols {
        put_text(&mut tagged, name);
        put_length(&mut tagged, metadata.len());
        tagged.put_slice(metadata);
        put_varint(&mut tagged, 0);
    }
    put_varint(&mut tagged, 0);
    to.put_slice(&[1, 0]);
    put_varint(to, u32::try_from(tagged.len()).expect("what comes from the wire is below 2 GiB"));
    to.put_slice(&tagged);
}

fn write_partitions(to: &mut BytesMut, partitions: &Partitions) {
    put_length(to, partitions.len());
    for (topic, numbers) in partitions {
        to.put_slice(topic.0.as_bytes());
        put_length(to, numbers.len());
        for number in numbers {
            to.put_i32(*number);
        }
        put_varint(to, 0);
    }
}

fn write_current(to: &mut BytesMut, value: &Current) {
    to.put_i32(value.epoch);
    to.put_i32(value.previous_epoch);
    to.put_u8(value.state.number());
    write_partitions(to, &value.assigned);
    write_partitions(to, &value.pending_revocation);
    put_varint(to, 0);
}

fn read_epoch(from: &mut Reader) -> Result<GroupEpoch, Malformed> {
    let epoch = from.int32()?;
    let mut metadata_hash = 0;
    for (tag, bytes) in from.tagged()? {
        if tag == 0 {
            metadata_hash = Reader::of_flexible(bytes).int64()?;
        }
    }
    Ok(GroupEpoch { epoch, metadata_hash })
}

fn read_names(from: &mut Reader) -> Result<BTreeSet<Arc<str>>, Malformed> {
    (0..from.count()?.ok_or(Malformed)?).map(|_| from.string()).collect()
}

fn read_member(from: &mut Reader) -> Result<ConsumerMember, Malformed> {
    let mut member = ConsumerMember {
        instance: from.nullable()?,
        rack: from.nullable()?,
        client_id: from.string()?,
        client_host: from.string()?,
        topics: read_names(from)?,
        regex: from.nullable()?,
        rebalance_timeout_ms: from.int32()?,
        assignor: from.nullable()?,
        classic: None,
    };
    for (tag, bytes) in from.tagged()? {
        if tag == 0 {
            member.classic = read_classic(&mut Reader::of_flexible(bytes))?;
        }
    }
    Ok(member)
}

fn read_classic(from: &mut Reader) -> Result<Option<ClassicMember>, Malformed> {
    if from.int8()? != 1 {
        return Ok(None);
    }
    let session_timeout_ms = from.int32()?;
    let mut protocols = Vec::new();
    for _ in 0..from.count()?.ok_or(Malformed)? {
        protocols.push((from.string()?, from.bytes()?));
        from.tags()?;
    }
    from.tags()?;
    Ok(Some(ClassicMember { session_timeout_ms, protocols }))
}

fn read_partitions(from: &mut Reader) -> Result<Partitions, Malformed> {
    let mut partitions = Partitions::new();
    for _ in 0..from.count()?.ok_or(Malformed)? {
        let id = Uuid::from_slice(from.take(16)?).map_err(|_| Malformed)?;
        let count = from.count()?.ok_or(Malformed)?;
        let numbers: BTreeSet<i32> = (0..count).map(|_| from.int32()).collect::<Result<_, _>>()?;
        from.tags()?;
        if !numbers.is_empty() {
            partitions.insert(TopicId(id), numbers);
        }
    }
    Ok(partitions)
}

fn read_target_epoch(from: &mut Reader) -> Result<i32, Malformed> {
    let epoch = from.int32()?;
    from.tags()?;
    Ok(epoch)
}

fn read_target(from: &mut Reader) -> Result<Partitions, Malformed> {
    let partitions = read_partitions(from)?;
    from.tags()?;
    Ok(partitions)
}

fn read_current(from: &mut Reader) -> Result<Current, Malformed> {
    let current = Current {
        epoch: from.int32()?,
        previous_epoch: from.int32()?,
        state: MemberState::from_number(from.int8()?),
        assigned: read_partitions(from)?,
        pending_revocation: read_partitions(from)?,
    };
    from.tags()?;
    Ok(current)
}

fn read_regex(from: &mut Reader) -> Result<ResolvedRegex, Malformed> {
    let regex = ResolvedRegex { topics: read_names(from)?, version: from.int64()?, at_ms: from.int64()? };
    from.tags()?;
    Ok(regex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::group::record::GroupRecord;

    fn partitions() -> Partitions {
        Partitions::from([(TopicId(Uuid::from_u128(7)), BTreeSet::from([1, 300]))])
    }

    fn member(classic: Option<ClassicMember>) -> ConsumerMember {
        ConsumerMember {
            instance: Some(Arc::from("i")),
            rack: None,
            client_id: Arc::from("c"),
            client_host: Arc::from("/h"),
            topics: BTreeSet::from([Arc::from("a"), Arc::from("b")]),
            regex: Some(Arc::from("x.*")),
            rebalance_timeout_ms: 300_000,
            assignor: None,
            classic,
        }
    }

    fn all() -> Vec<ConsumerRecord> {
        let classic = ClassicMember {
            session_timeout_ms: 10_000,
            protocols: vec![(Arc::from("range"), Bytes::from(vec![7; 200])), (Arc::from("other"), Bytes::new())],
        };
        let current = Current {
            epoch: 5,
            previous_epoch: 4,
            state: MemberState::UnrevokedPartitions,
            assigned: partitions(),
            pending_revocation: Partitions::new(),
        };
        let regex = ResolvedRegex { topics: BTreeSet::from([Arc::from("t")]), version: 12, at_ms: 99 };
        let name = || Arc::from("m-1");
        vec![
            ConsumerRecord::Epoch(Some(GroupEpoch { epoch: 10, metadata_hash: 0 })),
            ConsumerRecord::Epoch(Some(GroupEpoch { epoch: 10, metadata_hash: -3 })),
            ConsumerRecord::Member(name(), Some(member(None))),
            ConsumerRecord::Member(name(), Some(member(Some(classic)))),
            ConsumerRecord::TargetEpoch(Some(10)),
            ConsumerRecord::Target(name(), Some(partitions())),
            ConsumerRecord::Current(name(), Some(current)),
            ConsumerRecord::Regex(Arc::from("x.*"), Some(regex)),
            ConsumerRecord::Epoch(None),
            ConsumerRecord::Member(name(), None),
            ConsumerRecord::TargetEpoch(None),
            ConsumerRecord::Target(name(), None),
            ConsumerRecord::Current(name(), None),
            ConsumerRecord::Regex(Arc::from("x.*"), None),
            ConsumerRecord::TopicPartitions,
        ]
    }

    #[test]
    fn every_record_comes_back_and_every_cut_is_refused() {
        for record in all() {
            let record = GroupRecord::Consumer { group: Arc::from("g"), record };
            let (key, value) = (record.key(), record.value());
            assert_eq!(GroupRecord::read(&key, value.as_deref()), Ok(Some(record.clone())));
            for cut in 0..key.len() {
                assert_eq!(GroupRecord::read(&key[..cut], value.as_deref()), Err(Malformed), "{record:?} at {cut}");
            }
            for cut in 0..value.as_ref().map_or(0, Bytes::len) {
                let cut_value = value.as_ref().map(|value| &value[..cut]);
                assert_eq!(GroupRecord::read(&key, cut_value), Err(Malformed), "{record:?} at {cut}");
            }
        }
    }

    #[test]
    fn the_bytes_are_kafkas() {
        let epoch = ConsumerRecord::Epoch(Some(GroupEpoch { epoch: 10, metadata_hash: 2 }));
        assert_eq!(epoch.key("g")[..], [0, 3, 0, 1, b'g']);
        assert_eq!(epoch.value().expect("a value")[..], [0, 0, 0, 0, 0, 10, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2]);
        let target = ConsumerRecord::Target(Arc::from("m"), Some(partitions()));
        assert_eq!(target.key("g")[..], [0, 7, 0, 1, b'g', 0, 1, b'm']);
        let mut value = vec![0, 0, 2];
        value.extend([0; 15]);
        value.extend([7, 3, 0, 0, 0, 1, 0, 0, 1, 44, 0, 0]);
        assert_eq!(target.value().expect("a value")[..], value);
        let current = ConsumerRecord::Current(Arc::from("m"), Some(Current { epoch: -2, ..Current::default() }));
        assert_eq!(current.key("g")[..2], [0, 8]);
        assert_eq!(current.value().expect("a value")[..], [0, 0, 255, 255, 255, 254, 0, 0, 0, 0, 0, 1, 1, 0]);
        let value = ConsumerRecord::Member(Arc::from("m"), Some(member(None))).value().expect("a value");
        let mut wanted = vec![0, 0, 2, b'i', 0, 2, b'c', 3, b'/', b'h', 3, 2, b'a', 2, b'b', 4, b'x', b'.', b'*'];
        wanted.extend(300_000_i32.to_be_bytes());
        wanted.extend([0, 0]);
        assert_eq!(value[..], wanted);
    }
}

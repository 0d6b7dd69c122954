//! The records of `__consumer_offsets`, byte for byte as Kafka writes them: keys and values of committed offsets and of
//! classic groups (`OffsetCommitKey`, `OffsetCommitValue`, `GroupMetadataKey`, `GroupMetadataValue`). Those of consumer
//! groups are in `consumer/record.rs`.
//!
//! A key begins with the number of its kind, a value with the version of its format. Written are the versions that
//! Kafka 4 writes: offsets in version 3 (1 if they carry an expiry of their own), groups in version 3. Read is every
//! version. A kind that is not known here is no error: a later broker may have written it.

use crate::engine::group::consumer::record::ConsumerRecord;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::sync::Arc;

const OFFSET_KEYS: [i16; 2] = [0, 1];
const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const OFFSET_VALUE: i16 = 3;
/// The only version with an expiry.
const OFFSET_VALUE_THAT_EXPIRES: i16 = 1;
const GROUP_VALUE: i16 = 3;
/// From here on lengths are compact and fields may be tagged (KIP-482).
const FLEXIBLE_FROM: i16 = 4;

/// A record is not what its kind and version say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of a group is malformed")]
pub struct Malformed;

/// What one record says. `None` for a value is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupRecord {
    /// How far a group has come in a partition.
    Offset {
        /// The group.
        group: Arc<str>,
        /// The topic's name.
        topic: Arc<str>,
        /// The partition's number.
        partition: i32,
        /// How far.
        value: Option<CommittedOffset>,
    },
    /// A classic group's last generation.
    Group {
        /// The group.
        group: Arc<str>,
        /// Its generation.
        value: Option<GroupMetadata>,
    },
    /// Something of a consumer group (KIP-848).
    Consumer {
        /// The group.
        group: Arc<str>,
        /// What.
        record: ConsumerRecord,
    },
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the last record that was read; −1 if it is not known.
    pub leader_epoch: i32,
    /// What the client wanted kept with it.
    pub metadata: Arc<str>,
    /// When it was committed, in milliseconds of wall time.
    pub committed_at_ms: i64,
    /// When it expires, if the client said so (requests up to version 4 can), in milliseconds of wall time.
    pub expires_at_ms: Option<i64>,
}

/// A generation of a classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    /// What kind of members it has, such as `consumer`; empty before the first.
    pub protocol_type: Arc<str>,
    /// Its number.
    pub generation: i32,
    /// The protocol (assignor) that was chosen.
    pub protocol: Option<Arc<str>>,
    /// The member that computes the assignment.
    pub leader: Option<Arc<str>>,
    /// Since when the group has been in its state, in milliseconds of wall time.
    pub state_since_ms: Option<i64>,
    /// Its members.
    pub members: Vec<MemberMetadata>,
}

/// A member of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberMetadata {
    /// Its id.
    pub member: Arc<str>,
    /// Its `group.instance.id`, if it is a static member (KIP-345).
    pub instance: Option<Arc<str>>,
    /// What its client calls itself.
    pub client_id: Arc<str>,
    /// Where its client is.
    pub client_host: Arc<str>,
    /// How long it may take to join again.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// What it told of itself under the chosen protocol.
    pub subscription: Bytes,
    /// What it was given.
    pub assignment: Bytes,
}

impl GroupRecord {
    /// The group it is about.
    pub fn group(&self) -> &Arc<str> {
        match self {
            GroupRecord::Offset { group, .. }
            | GroupRecord::Group { group, .. }
            | GroupRecord::Consumer { group, .. } => group,
        }
    }

    /// The record's key.
    pub fn key(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(64);
        match self {
            GroupRecord::Offset { group, topic, partition, .. } => {
                to.put_i16(OFFSET_KEY);
                put_string(&mut to, group);
                put_string(&mut to, topic);
                to.put_i32(*partition);
            }
            GroupRecord::Group { group, .. } => {
                to.put_i16(GROUP_KEY);
                put_string(&mut to, group);
            }
            GroupRecord::Consumer { group, record } => return record.key(group),
        }
        to.freeze()
    }

    /// The record's value; `None` for a tombstone.
    pub fn value(&self) -> Option<Bytes> {
        match self {
            GroupRecord::Offset { value, .. } => value.as_ref().map(write_offset),
            GroupRecord::Group { value, .. } => value.as_ref().map(write_group),
            GroupRecord::Consumer { record, .. } => record.value(),
        }
    }

    /// What a key and a value say; `None` for a kind that is not known here.
    ///
    /// # Errors
    /// If the bytes are not what their kind and version say.
    pub fn read(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, Malformed> {
        let mut key = Reader { bytes: key, is_flexible: false };
        let kind = key.int16()?;
        if OFFSET_KEYS.contains(&kind) {
            let (group, topic, partition) = (key.string()?, key.string()?, key.int32()?);
            let value = value.map(read_offset).transpose()?;
            return Ok(Some(GroupRecord::Offset { group, topic, partition, value }));
        }
        if kind == GROUP_KEY {
            let value = value.map(read_group).transpose()?;
            return Ok(Some(GroupRecord::Group { group: key.string()?, value }));
        }
        if !ConsumerRecord::KINDS.contains(&kind) {
            return Ok(None);
        }
        let group = key.string()?;
        let record = ConsumerRecord::read(kind, &mut key, value)?;
        Ok(Some(GroupRecord::Consumer { group, record }))
    }
}

fn write_offset(value: &CommittedOffset) -> Bytes {
    let mut to = BytesMut::with_capacity(32 + value.metadata.len());
    let version = if value.expires_at_ms.is_some() { OFFSET_VALUE_THAT_EXPIRES } else { OFFSET_VALUE };
    to.put_i16(version);
    to.put_i64(value.offset);
    if version == OFFSET_VALUE {
        to.put_i32(value.leader_epoch);
    }
    put_string(&mut to, &value.metadata);
    to.put_i64(value.committed_at_ms);
    if let Some(expires_at_ms) = value.expires_at_ms {
        to.put_i64(expires_at_ms);
    }
    to.freeze()
}

fn read_offset(bytes: &[u8]) -> Result<CommittedOffset, Malformed> {
    let (version, mut from) = Reader::of_value(bytes)?;
    let offset = from.int64()?;
    let leader_epoch = if version >= 3 { from.int32()? } else { -1 };
    let metadata = from.string()?;
    let committed_at_ms = from.int64()?;
    let expires_at_ms = if version == OFFSET_VALUE_THAT_EXPIRES { Some(from.int64()?) } else { None };
    let expires_at_ms = expires_at_ms.filter(|at| *at >= 0);
    Ok(CommittedOffset { offset, leader_epoch, metadata, committed_at_ms, expires_at_ms })
}

fn write_group(value: &GroupMetadata) -> Bytes {
    let mut to = BytesMut::with_capacity(64 + value.members.len() * 128);
    to.put_i16(GROUP_VALUE);
    put_string(&mut to, &value.protocol_type);
    to.put_i32(value.generation);
    put_nullable(&mut to, value.protocol.as_deref());
    put_nullable(&mut to, value.leader.as_deref());
    to.put_i64(value.state_since_ms.unwrap_or(-1));
    put_count(&mut to, value.members.len());
    for member in &value.members {
        put_string(&mut to, &member.member);
        put_nullable(&mut to, member.instance.as_deref());
        put_string(&mut to, &member.client_id);
        put_string(&mut to, &member.client_host);
        to.put_i32(member.rebalance_timeout_ms);
        to.put_i32(member.session_timeout_ms);
        put_count(&mut to, member.subscription.len());
        to.put_slice(&member.subscription);
        put_count(&mut to, member.assignment.len());
        to.put_slice(&member.assignment);
    }
    to.freeze()
}

fn read_group(bytes: &[u8]) -> Result<GroupMetadata, Malformed> {
    let (version, mut from) = Reader::of_value(bytes)?;
    let protocol_type = from.string()?;
    let generation = from.int32()?;
    let protocol = from.nullable()?;
    let leader = from.nullable()?;
    let state_since_ms = if version >= 2 { Some(from.int64()?).filter(|at| *at >= 0) } else { None };
    let count = from.count()?.ok_or(Malformed)?;
    // Room grows with what is there: a count is only a claim.
    let mut members = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        members.push(read_member(version, &mut from)?);
    }
    Ok(GroupMetadata { protocol_type, generation, protocol, leader, state_since_ms, members })
}

fn read_member(version: i16, from: &mut Reader) -> Result<MemberMetadata, Malformed> {
    let member = from.string()?;
    let instance = if version >= 3 { from.nullable()? } else { None };
    let (client_id, client_host) = (from.string()?, from.string()?);
    let rebalance_timeout_ms = if version >= 1 { from.int32()? } else { -1 };
    let session_timeout_ms = from.int32()?;
    let (subscription, assignment) = (from.bytes()?, from.bytes()?);
    from.tags()?;
    Ok(MemberMetadata {
        member,
        instance,
        client_id,
        client_host,
        // Before there was one, the session timeout held for it.
        rebalance_timeout_ms: if rebalance_timeout_ms < 0 { session_timeout_ms } else { rebalance_timeout_ms },
        session_timeout_ms,
        subscription,
        assignment,
    })
}

pub(super) fn put_string(to: &mut BytesMut, text: &str) {
    to.put_i16(i16::try_from(text.len()).expect("names come from the wire, where they are as short"));
    to.put_slice(text.as_bytes());
}

fn put_nullable(to: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_string(to, text),
        None => to.put_i16(-1),
    }
}

fn put_count(to: &mut BytesMut, count: usize) {
    to.put_i32(i32::try_from(count).expect("what comes from the wire is below 2 GiB"));
}

/// Reads fields one after another.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    is_flexible: bool,
}

impl<'a> Reader<'a> {
    /// The version of a value, and what follows it.
    fn of_value(bytes: &'a [u8]) -> Result<(i16, Reader<'a>), Malformed> {
        let mut from = Reader { bytes, is_flexible: false };
        let version = from.int16()?;
        // A later version may only add tagged fields (KIP-915).
        if version < 0 {
            return Err(Malformed);
        }
        from.is_flexible = version >= FLEXIBLE_FROM;
        Ok((version, from))
    }

    /// A value that is flexible from its first version on.
    pub(super) fn of_flexible_value(bytes: &'a [u8]) -> Result<Reader<'a>, Malformed> {
        let (_version, from) = Reader::of_value(bytes)?;
        Ok(Reader { is_flexible: true, ..from })
    }

    /// The bytes of a tagged field.
    pub(super) fn of_flexible(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, is_flexible: true }
    }

    pub(super) fn int8(&mut self) -> Result<u8, Malformed> {
        self.bytes.try_get_u8().map_err(|_| Malformed)
    }

    fn int16(&mut self) -> Result<i16, Malformed> {
        self.bytes.try_get_i16().map_err(|_| Malformed)
    }

    pub(super) fn int32(&mut self) -> Result<i32, Malformed> {
        self.bytes.try_get_i32().map_err(|_| Malformed)
    }

    pub(super) fn int64(&mut self) -> Result<i64, Malformed> {
        self.bytes.try_get_i64().map_err(|_| Malformed)
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0_u32;
        for shift in (0..35).step_by(7) {
            let byte = self.bytes.try_get_u8().map_err(|_| Malformed)?;
            value |= u32::from(byte & 0x7F).checked_shl(shift).ok_or(Malformed)?;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// A length; `None` for null.
    fn length(&mut self, narrow: bool) -> Result<Option<usize>, Malformed> {
        let length = match (self.is_flexible, narrow) {
            (true, _) => i64::from(self.varint()?) - 1,
            (false, true) => i64::from(self.int16()?),
            (false, false) => i64::from(self.int32()?),
        };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Malformed),
        }
    }

    pub(super) fn count(&mut self) -> Result<Option<usize>, Malformed> {
        self.length(false)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        self.bytes.split_off(..length).ok_or(Malformed)
    }

    pub(super) fn nullable(&mut self) -> Result<Option<Arc<str>>, Malformed> {
        let Some(length) = self.length(true)? else { return Ok(None) };
        std::str::from_utf8(self.take(length)?).map(|text| Some(Arc::from(text))).map_err(|_| Malformed)
    }

    pub(super) fn string(&mut self) -> Result<Arc<str>, Malformed> {
        self.nullable()?.ok_or(Malformed)
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = self.count()?.ok_or(Malformed)?;
        Ok(Bytes::copy_from_slice(self.take(length)?))
    }

    /// Passes tagged fields over.
    pub(super) fn tags(&mut self) -> Result<(), Malformed> {
        self.tagged().map(|_| ())
    }

    /// The tagged fields: number and bytes.
    pub(super) fn tagged(&mut self) -> Result<Vec<(u32, &'a [u8])>, Malformed> {
        let mut fields = Vec::new();
        if self.is_flexible {
            for _ in 0..self.varint()? {
                let tag = self.varint()?;
                let size = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                fields.push((tag, self.take(size)?));
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(expires_at_ms: Option<i64>) -> GroupRecord {
        let value = CommittedOffset {
            offset: 258,
            leader_epoch: 3,
            metadata: Arc::from("m"),
            committed_at_ms: 1_704_067_200_000,
            expires_at_ms,
        };
        let (group, topic) = (Arc::from("g"), Arc::from("orders"));
        GroupRecord::Offset { group, topic, partition: 5, value: Some(value) }
    }

    fn group() -> GroupRecord {
        let member = MemberMetadata {
            member: Arc::from("m-1"),
            instance: Some(Arc::from("i")),
            client_id: Arc::from("c"),
            client_host: Arc::from("/h"),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 10_000,
            subscription: Bytes::from_static(&[0, 1]),
            assignment: Bytes::from_static(&[2]),
        };
        let value = GroupMetadata {
            protocol_type: Arc::from("consumer"),
            generation: 7,
            protocol: Some(Arc::from("range")),
            leader: Some(Arc::from("m-1")),
            state_since_ms: Some(99),
            members: vec![member],
        };
        GroupRecord::Group { group: Arc::from("g"), value: Some(value) }
    }

    fn round_trip(record: &GroupRecord) -> GroupRecord {
        GroupRecord::read(&record.key(), record.value().as_deref()).expect("well formed").expect("a known kind")
    }

    #[test]
    fn an_offsets_bytes_are_kafkas() {
        let record = offset(None);
        let key = [0, 1, 0, 1, b'g', 0, 6, b'o', b'r', b'd', b'e', b'r', b's', 0, 0, 0, 5];
        assert_eq!(record.key()[..], key);
        let mut value = vec![0, 3, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 1, b'm'];
        value.extend(1_704_067_200_000_i64.to_be_bytes());
        assert_eq!(record.value().expect("a value")[..], value);
        assert_eq!(round_trip(&record), record);
    }

    #[test]
    fn an_expiry_of_its_own_takes_version_one_which_has_no_epoch() {
        let record = offset(Some(77));
        let value = record.value().expect("a value");
        assert_eq!(value[..2], [0, 1]);
        assert_eq!(value.len(), 2 + 8 + 3 + 8 + 8);
        let GroupRecord::Offset { value: Some(read), .. } = round_trip(&record) else { panic!("an offset") };
        assert_eq!((read.leader_epoch, read.expires_at_ms), (-1, Some(77)));
    }

    #[test]
    fn a_groups_bytes_are_kafkas() {
        let record = group();
        assert_eq!(record.key()[..], [0, 2, 0, 1, b'g']);
        let mut value = vec![0, 3, 0, 8];
        value.extend(b"consumer");
        value.extend([0, 0, 0, 7, 0, 5]);
        value.extend(b"range");
        value.extend([0, 3, b'm', b'-', b'1', 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 1]);
        value.extend([0, 3, b'm', b'-', b'1', 0, 1, b'i', 0, 1, b'c', 0, 2, b'/', b'h']);
        value.extend(300_000_i32.to_be_bytes());
        value.extend(10_000_i32.to_be_bytes());
        value.extend([0, 0, 0, 2, 0, 1, 0, 0, 0, 1, 2]);
        assert_eq!(record.value().expect("a value")[..], value);
        assert_eq!(round_trip(&record), record);
        let tombstone = GroupRecord::Group { group: Arc::from("g"), value: None };
        assert_eq!(round_trip(&tombstone), tombstone);
    }

    #[test]
    fn flexible_versions_are_read_and_unknown_kinds_passed_over() {
        let mut value = vec![0, 4, 0, 0, 0, 0, 0, 0, 0, 9, 255, 255, 255, 255, 1];
        value.extend(5_i64.to_be_bytes());
        value.push(0);
        let key = offset(None).key();
        let read = GroupRecord::read(&key, Some(&value)).expect("well formed").expect("an offset");
        let GroupRecord::Offset { value: Some(read), .. } = read else { panic!("an offset") };
        assert_eq!((read.offset, read.leader_epoch, &*read.metadata, read.committed_at_ms), (9, -1, "", 5));
        assert_eq!(GroupRecord::read(&[0, 9, 0, 1, b'g'], None), Ok(None));
    }

    #[test]
    fn every_cut_is_refused() {
        for record in [offset(None), group()] {
            let (key, value) = (record.key(), record.value().expect("a value"));
            for cut in 0..key.len() {
                assert_eq!(GroupRecord::read(&key[..cut], Some(&value)), Err(Malformed), "key cut at {cut}");
            }
            for cut in 0..value.len() {
                assert_eq!(GroupRecord::read(&key, Some(&value[..cut])), Err(Malformed), "value cut at {cut}");
            }
        }
    }
}

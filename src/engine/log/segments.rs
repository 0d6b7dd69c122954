//! A log in segments, as Kafka's files would cut it: the unit of retention. The store keeps no files; only the bounds,
//! sizes and times are modelled (`LogSegment`).
//!
//! Invariants: there is always at least one segment; the last is the active one; base offsets rise strictly; the sizes
//! add up.

use crate::engine::config::TopicConfig;
use crate::engine::log::transactions::{put_count, take_count};
use crate::protocol::batch::BatchHeader;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;

const SEGMENT_SIZE: usize = 40;

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// The first offset it may hold.
    pub(super) base_offset: i64,
    /// The size of its batches.
    pub(super) size_bytes: u64,
    /// The largest timestamp in it, in milliseconds; −1 if none.
    pub(super) max_timestamp: i64,
    /// The timestamp of its first batch, in milliseconds; −1 if none.
    first_timestamp: i64,
    /// The wall time of its last append by this broker, in milliseconds; 0 if unknown. Kafka has the file's time of
    /// modification.
    written_ms: i64,
}

impl Segment {
    fn new(base_offset: i64) -> Segment {
        Segment { base_offset, size_bytes: 0, max_timestamp: -1, first_timestamp: -1, written_ms: 0 }
    }

    /// The time of its first record, in milliseconds, if it is known; `max.compaction.lag.ms` counts from it.
    pub(super) fn first_written(&self) -> Option<i64> {
        [self.first_timestamp, self.written_ms].into_iter().find(|timestamp| *timestamp > 0)
    }

    /// The time that `retention.ms` counts from; `None` if it is not known.
    pub(super) fn retention_timestamp(&self) -> Option<i64> {
        if self.max_timestamp >= 0 {
            return Some(self.max_timestamp);
        }
        (self.written_ms > 0).then_some(self.written_ms)
    }
}

/// The segments of a log, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segments {
    list: Vec<Segment>,
    size_bytes: u64,
    segment_bytes: u64,
    segment_ms: u64,
}

impl Segments {
    /// One empty segment.
    pub(super) fn new(base_offset: i64) -> Segments {
        let defaults = TopicConfig::default();
        Segments {
            list: vec![Segment::new(base_offset)],
            size_bytes: 0,
            segment_bytes: defaults.segment_bytes,
            segment_ms: defaults.segment_ms,
        }
    }

    pub(super) fn configure(&mut self, config: &TopicConfig) {
        self.segment_bytes = config.segment_bytes;
        self.segment_ms = match config.cleanup_compact {
            // Only closed segments are compacted (`LogConfig.maxSegmentMs`).
            true => config.segment_ms.min(config.max_compaction_lag_ms),
            false => config.segment_ms,
        };
    }

    /// Where a segment ends: at the next one's base; the active one has no end.
    pub(super) fn end_of(&self, segment: &Segment) -> i64 {
        let after = self.list.partition_point(|other| other.base_offset <= segment.base_offset);
        self.list.get(after).map_or(i64::MAX, |next| next.base_offset)
    }

    /// The base offset of the segment that holds an offset.
    pub(super) fn base_of(&self, offset: i64) -> i64 {
        let after = self.list.partition_point(|segment| segment.base_offset <= offset);
        self.list[after.saturating_sub(1)].base_offset
    }

    /// Compaction has gone over the log up to an offset, and has left so many bytes in each segment. Small ones grow
    /// together, within `segment.bytes` (`Cleaner.groupSegmentsBySize`).
    pub(super) fn cleaned(&mut self, left: &BTreeMap<i64, u64>, end: i64) {
        let active = self.list.last().expect("a log has a segment").base_offset;
        let mut list: Vec<Segment> = Vec::with_capacity(self.list.len());
        let ends: Vec<i64> = self.list.iter().map(|segment| self.end_of(segment)).collect();
        for (mut segment, segment_end) in self.list.drain(..).zip(ends) {
            let is_done = segment_end <= end && segment.base_offset < active;
            if is_done {
                segment.size_bytes = left.get(&segment.base_offset).copied().unwrap_or(0);
            }
            let into = list.last_mut().filter(|into| {
                is_done
                    && into.size_bytes + segment.size_bytes <= self.segment_bytes
                    && segment_end - into.base_offset <= i64::from(i32::MAX)
            });
            match into {
                Some(into) => {
                    into.size_bytes += segment.size_bytes;
                    into.max_timestamp = into.max_timestamp.max(segment.max_timestamp);
                    into.written_ms = into.written_ms.max(segment.written_ms);
                }
                None => list.push(segment),
            }
        }
        self.list = list;
        self.size_bytes = self.list.iter().map(|segment| segment.size_bytes).sum();
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn list(&self) -> &[Segment] {
        &self.list
    }

    fn active(&mut self) -> &mut Segment {
        self.list.last_mut().expect("a log has a segment")
    }

    /// Whether a batch has to begin a new segment (`LogSegment.shouldRoll`): by size, by the time that its timestamps
    /// span, or because offsets in a segment are relative and 32 bits wide.
    pub(super) fn needs_roll(&self, header: &BatchHeader) -> bool {
        let active = self.list.last().expect("a log has a segment");
        if active.size_bytes == 0 {
            return false;
        }
        let full = active.size_bytes + bytes_of(header) > self.segment_bytes;
        let waited = match active.first_timestamp {
            first if first >= 0 => header.max_timestamp.saturating_sub(first),
            _ => 0,
        };
        let old = u64::try_from(waited).is_ok_and(|waited| waited > self.segment_ms);
        full || old || header.last_offset() - active.base_offset > i64::from(i32::MAX)
    }

    /// Begins a new segment.
    pub(super) fn roll(&mut self, base_offset: i64) {
        let active = self.active();
        if active.base_offset < base_offset {
            self.list.push(Segment::new(base_offset));
        }
    }

    /// A batch is at the end of the active segment. `wall_ms` is 0 when it was found there.
    pub(super) fn append(&mut self, header: &BatchHeader, wall_ms: i64) {
        let size = bytes_of(header);
        self.size_bytes += size;
        let active = self.active();
        if active.size_bytes == 0 {
            active.first_timestamp = header.max_timestamp;
        }
        active.size_bytes += size;
        active.max_timestamp = active.max_timestamp.max(header.max_timestamp);
        active.written_ms = active.written_ms.max(wall_ms);
    }

    /// The log ends at an offset, and so many bytes of batches went. The largest timestamp stays as an upper bound:
    /// retention then waits longer rather than shorter.
    pub(super) fn truncate(&mut self, end_offset: i64, removed_bytes: u64) {
        let mut rest = removed_bytes;
        while self.list.len() > 1 && self.active().base_offset >= end_offset {
            let gone = self.list.pop().expect("more than one");
            rest = rest.saturating_sub(gone.size_bytes);
        }
        let active = self.active();
        active.size_bytes = active.size_bytes.saturating_sub(rest);
        if active.size_bytes == 0 {
            *active = Segment::new(active.base_offset.min(end_offset));
        }
        self.size_bytes = self.list.iter().map(|segment| segment.size_bytes).sum();
    }

    /// The log starts at an offset: segments wholly below it go. A segment that holds the start stays whole, as Kafka's
    /// file would.
    pub(super) fn trim(&mut self, start_offset: i64) {
        let after = self.list.partition_point(|segment| segment.base_offset <= start_offset);
        let gone = self.list.drain(..after.saturating_sub(1));
        self.size_bytes -= gone.map(|segment| segment.size_bytes).sum::<u64>();
    }

    /// One empty segment, elsewhere.
    pub(super) fn reset(&mut self, base_offset: i64) {
        self.list = vec![Segment::new(base_offset)];
        self.size_bytes = 0;
    }

    pub(super) fn encode(&self, to: &mut BytesMut) {
        put_count(to, self.list.len());
        for segment in &self.list {
            to.put_i64(segment.base_offset);
            to.put_u64(segment.size_bytes);
            to.put_i64(segment.max_timestamp);
            to.put_i64(segment.first_timestamp);
            to.put_i64(segment.written_ms);
        }
    }

    /// Reads [`Segments::encode`]; the bounds come from the topic's configuration.
    pub(super) fn decode(from: &mut Bytes, config: &TopicConfig) -> Option<Segments> {
        let count = take_count(from, SEGMENT_SIZE)?;
        let mut list: Vec<Segment> = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(Segment {
                base_offset: from.get_i64(),
                size_bytes: from.get_u64(),
                max_timestamp: from.get_i64(),
                first_timestamp: from.get_i64(),
                written_ms: from.get_i64(),
            });
        }
        let rises = list.is_sorted_by(|a, b| a.base_offset < b.base_offset);
        let size_bytes = list.iter().try_fold(0_u64, |sum, segment| sum.checked_add(segment.size_bytes))?;
        let (segment_bytes, segment_ms) = (config.segment_bytes, config.segment_ms);
        (rises && !list.is_empty()).then_some(Segments { list, size_bytes, segment_bytes, segment_ms })
    }
}

fn bytes_of(header: &BatchHeader) -> u64 {
    u64::try_from(header.size()).expect("a batch's size fits 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::records::BatchBuilder;

    fn header(base_offset: i64, timestamp: i64) -> BatchHeader {
        BatchBuilder::new().base_offset(base_offset).value(timestamp, b"v").build().expect("a batch").header
    }

    fn filled(config: &TopicConfig, timestamps: &[i64]) -> Segments {
        let mut segments = Segments::new(0);
        segments.configure(config);
        for (offset, &timestamp) in (0..).zip(timestamps) {
            let header = header(offset, timestamp);
            if segments.needs_roll(&header) {
                segments.roll(offset);
            }
            segments.append(&header, 50);
        }
        segments
    }

    fn bases(segments: &Segments) -> Vec<i64> {
        segments.list().iter().map(|segment| segment.base_offset).collect()
    }

    #[test]
    fn a_segment_rolls_by_size_and_by_the_time_it_spans() {
        let size = bytes_of(&header(0, 1));
        let by_size = TopicConfig { segment_bytes: 2 * size, ..TopicConfig::default() };
        assert_eq!(bases(&filled(&by_size, &[1; 5])), [0, 2, 4]);
        let by_time = TopicConfig { segment_ms: 10, ..TopicConfig::default() };
        assert_eq!(bases(&filled(&by_time, &[100, 110, 111, 90, 122])), [0, 2, 4]);
        let mut segments = filled(&TopicConfig::default(), &[1]);
        assert!(segments.needs_roll(&header(i64::from(i32::MAX) + 1, 1)));
        segments.reset(9);
        assert!(!segments.needs_roll(&header(9, 1)), "an empty segment never rolls");
    }

    #[test]
    fn cutting_keeps_the_sizes_right() {
        let size = bytes_of(&header(0, 1));
        let config = TopicConfig { segment_bytes: 2 * size, ..TopicConfig::default() };
        let mut segments = filled(&config, &[1; 6]);
        segments.truncate(3, 3 * size);
        assert_eq!((bases(&segments), segments.size_bytes()), (vec![0, 2], 3 * size));
        segments.trim(1);
        assert_eq!((bases(&segments), segments.size_bytes()), (vec![0, 2], 3 * size));
        segments.trim(2);
        assert_eq!((bases(&segments), segments.size_bytes()), (vec![2], size));
        segments.truncate(2, size);
        assert_eq!((bases(&segments), segments.size_bytes()), (vec![2], 0));
    }

    #[test]
    fn retention_counts_from_timestamps_else_from_the_time_of_writing() {
        let config = TopicConfig::default();
        assert_eq!(filled(&config, &[7, 3]).list()[0].retention_timestamp(), Some(7));
        assert_eq!(filled(&config, &[-1]).list()[0].retention_timestamp(), Some(50));
        assert_eq!(Segment::new(0).retention_timestamp(), None);
        let segments = filled(&config, &[7, 3]);
        let mut bytes = BytesMut::new();
        segments.encode(&mut bytes);
        let bytes = bytes.freeze();
        assert_eq!(Segments::decode(&mut bytes.clone(), &config), Some(segments));
        assert_eq!(Segments::decode(&mut bytes.slice(..30), &config), None);
    }
}

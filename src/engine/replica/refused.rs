//! Batches of idempotent producers that a leader refused for a while, so that those which follow in the pipeline share their fate.
//!
//! Invariants: a batch is held to an earlier one of its producer and epoch only, and only for [`REMEMBERED_MS`] after that one was last
//! refused; the retry of the earlier one is never held back.
//!
//! Why: a producer has five requests under way. If the first is refused because there is no leader or too few replicas are in sync, and
//! that is over when the second arrives, the second would be out of order, which a client takes for lost records: it begins a new epoch
//! and sends again what an earlier leader may have had already. Refused for the same passing reason, it is simply sent again in order.
//! Kafka answers the second OUT_OF_ORDER_SEQUENCE_NUMBER; or, from a producer it does not know, takes it before the first.

use crate::engine::time::Instant;
use crate::protocol::batch::BatchHeader;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::PartitionId;
use std::collections::BTreeMap;

/// How long after its refusal a batch is waited for, in milliseconds: longer than a pipeline's requests are apart, shorter than a client's
/// patience with one that was given up.
const REMEMBERED_MS: u64 = 1_000;
/// More than these are not remembered.
const REMEMBERED_AT_MOST: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Note {
    epoch: i16,
    sequence: i32,
    code: ErrorCode,
    until: Instant,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Refused {
    notes: BTreeMap<(PartitionId, i64), Note>,
}

/// Whether a sequence number comes after another; they wrap around at 2^31.
fn is_after(sequence: i32, other: i32) -> bool {
    let distance = sequence.wrapping_sub(other) & i32::MAX;
    distance != 0 && distance < 1 << 30
}

impl Refused {
    /// Why a batch cannot be taken yet: one that comes before it was refused.
    pub(in crate::engine) fn reason(&self, now: Instant, id: PartitionId, header: &BatchHeader) -> Option<ErrorCode> {
        let note = self.notes.get(&(id, header.producer_id))?;
        let follows = note.epoch == header.producer_epoch && is_after(header.base_sequence, note.sequence);
        (follows && now < note.until).then_some(note.code)
    }

    /// A batch was refused, for a reason that passes.
    pub(in crate::engine) fn note(&mut self, now: Instant, id: PartitionId, header: &BatchHeader, code: ErrorCode) {
        if !header.has_producer() || self.reason(now, id, header).is_some() {
            return;
        }
        if self.notes.len() >= REMEMBERED_AT_MOST {
            self.notes.retain(|_, note| now < note.until);
        }
        if self.notes.len() < REMEMBERED_AT_MOST {
            let until = now.plus_millis(REMEMBERED_MS);
            let note = Note { epoch: header.producer_epoch, sequence: header.base_sequence, code, until };
            self.notes.insert((id, header.producer_id), note);
        }
    }

    /// A producer's batch was taken.
    pub(in crate::engine) fn taken(&mut self, id: PartitionId, header: &BatchHeader) {
        if !self.notes.is_empty() {
            self.notes.remove(&(id, header.producer_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::TopicId;
    use crate::protocol::records::BatchBuilder;

    fn header(epoch: i16, sequence: i32) -> BatchHeader {
        BatchBuilder::new().producer(7, epoch, sequence).value(100, b"v").build().expect("a batch").header
    }

    #[test]
    fn what_follows_a_refused_batch_is_refused_until_that_one_is_taken_or_forgotten() {
        let (mut refused, start) = (Refused::default(), Instant::ZERO);
        let id = PartitionId::new(TopicId::NONE, 0);
        let reason =
            |refused: &Refused, at: u64, header: &BatchHeader| refused.reason(start.plus_millis(at), id, header);
        refused.note(start, id, &header(0, 10), ErrorCode::NotEnoughReplicas);
        assert_eq!(reason(&refused, 1, &header(0, 12)), Some(ErrorCode::NotEnoughReplicas));
        assert_eq!(reason(&refused, 1, &header(0, 10)), None, "its own retry");
        assert_eq!(reason(&refused, 1, &header(0, 8)), None, "what comes before it");
        assert_eq!(reason(&refused, 1, &header(1, 12)), None, "another epoch");
        // The later one's own refusals do not make the note last.
        refused.note(start.plus_millis(900), id, &header(0, 12), ErrorCode::NotLeaderOrFollower);
        assert_eq!(reason(&refused, 999, &header(0, 12)), Some(ErrorCode::NotEnoughReplicas));
        assert_eq!(reason(&refused, 1_000, &header(0, 12)), None);
        refused.note(start, id, &header(0, i32::MAX), ErrorCode::NotEnoughReplicas);
        assert_eq!(reason(&refused, 1, &header(0, 0)), Some(ErrorCode::NotEnoughReplicas), "numbers wrap around");
        refused.taken(id, &header(0, i32::MAX));
        assert_eq!(reason(&refused, 1, &header(0, 0)), None);
    }

    #[test]
    fn producers_without_sequence_numbers_leave_no_note() {
        let mut refused = Refused::default();
        let id = PartitionId::new(TopicId::NONE, 0);
        let plain = BatchBuilder::new().value(100, b"v").build().expect("a batch").header;
        refused.note(Instant::ZERO, id, &plain, ErrorCode::NotEnoughReplicas);
        assert!(refused.notes.is_empty());
    }
}

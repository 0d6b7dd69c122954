//! One step of a member towards its target (KIP-848; Kafka's `CurrentAssignmentBuilder`): first it gives back, then it
//! goes to the target's epoch, then it gets what is free.
//!
//! Invariant: a partition is given to a member only when nobody has it, to use or to give back. With that no partition
//! has two members that may both use it.

use crate::engine::group::consumer::record::{Current, MemberState, Partitions};
use crate::protocol::ids::TopicId;
use std::collections::BTreeSet;

/// What a step looks at.
pub struct Step<'a> {
    /// The epoch of the targets.
    pub target_epoch: i32,
    /// What the member is to have.
    pub target: &'a Partitions,
    /// What the member said it has; `None` if it did not say.
    pub owned: Option<&'a Partitions>,
    /// Whether a partition is in somebody's hands, be it the member's own.
    pub is_held: &'a dyn Fn(TopicId, i32) -> bool,
}

impl Step<'_> {
    /// What the member has after the step. The same if nothing is to happen yet.
    pub fn from(&self, current: &Current) -> Current {
        match current.state {
            MemberState::Stable if current.epoch == self.target_epoch => current.clone(),
            MemberState::Stable | MemberState::UnreleasedPartitions => self.next(current, current.epoch),
            MemberState::UnrevokedPartitions if self.still_has(&current.pending_revocation) => current.clone(),
            MemberState::UnrevokedPartitions => self.next(current, current.epoch + 1),
            MemberState::Unknown => self.next(current, self.target_epoch),
        }
    }

    /// Whether the member has any of these, as far as it said. What it did not say it may have.
    fn still_has(&self, partitions: &Partitions) -> bool {
        let Some(owned) = self.owned else { return true };
        partitions.iter().any(|(topic, numbers)| owned.get(topic).is_some_and(|has| !has.is_disjoint(numbers)))
    }

    fn next(&self, current: &Current, epoch: i32) -> Current {
        let kept = common(&current.assigned, self.target);
        let to_revoke = without(&current.assigned, self.target);
        if !to_revoke.is_empty() && self.still_has(&to_revoke) {
            return Current {
                epoch,
                previous_epoch: current.epoch,
                state: MemberState::UnrevokedPartitions,
                assigned: kept,
                pending_revocation: to_revoke,
            };
        }
        let (free, is_waiting) = self.split_free(&without(self.target, &kept));
        let mut assigned = kept;
        for (topic, numbers) in free {
            assigned.entry(topic).or_default().extend(numbers);
        }
        Current {
            epoch: self.target_epoch,
            previous_epoch: current.epoch,
            state: if is_waiting { MemberState::UnreleasedPartitions } else { MemberState::Stable },
            assigned,
            pending_revocation: Partitions::new(),
        }
    }

    /// Those that nobody has, and whether there are others.
    fn split_free(&self, wanted: &Partitions) -> (Partitions, bool) {
        let mut free = Partitions::new();
        let mut is_waiting = false;
        for (topic, numbers) in wanted {
            let (held, found): (BTreeSet<i32>, BTreeSet<i32>) =
                numbers.iter().partition(|number| (self.is_held)(*topic, **number));
            is_waiting |= !held.is_empty();
            if !found.is_empty() {
                free.insert(*topic, found);
            }
        }
        (free, is_waiting)
    }
}

fn common(a: &Partitions, b: &Partitions) -> Partitions {
    let keep = |(topic, numbers): (&TopicId, &BTreeSet<i32>)| {
        let both: BTreeSet<i32> = numbers.intersection(b.get(topic)?).copied().collect();
        (!both.is_empty()).then_some((*topic, both))
    };
    a.iter().filter_map(keep).collect()
}

/// What is in the first and not in the second.
pub fn without(a: &Partitions, b: &Partitions) -> Partitions {
    let keep = |(topic, numbers): (&TopicId, &BTreeSet<i32>)| {
        let left: BTreeSet<i32> = match b.get(topic) {
            Some(others) => numbers.difference(others).copied().collect(),
            None => numbers.clone(),
        };
        (!left.is_empty()).then_some((*topic, left))
    };
    a.iter().filter_map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const TOPIC: TopicId = TopicId(Uuid::from_u128(1));

    fn some(numbers: &[i32]) -> Partitions {
        let numbers: BTreeSet<i32> = numbers.iter().copied().collect();
        if numbers.is_empty() { Partitions::new() } else { Partitions::from([(TOPIC, numbers)]) }
    }

    fn stable(epoch: i32, numbers: &[i32]) -> Current {
        Current { epoch, previous_epoch: epoch - 1, assigned: some(numbers), ..Current::default() }
    }

    fn step(current: &Current, target_epoch: i32, target: &[i32], owned: Option<&[i32]>, held: &[i32]) -> Current {
        let owned = owned.map(some);
        let is_held = |_: TopicId, number: i32| held.contains(&number);
        let target = some(target);
        Step { target_epoch, target: &target, owned: owned.as_ref(), is_held: &is_held }.from(current)
    }

    #[test]
    fn a_newcomer_gets_what_is_free_and_waits_for_the_rest() {
        let joined = step(&Current::default(), 3, &[0, 1], Some(&[]), &[1]);
        assert_eq!((joined.epoch, joined.state), (3, MemberState::UnreleasedPartitions));
        assert_eq!(joined.assigned, some(&[0]));
        assert_eq!(step(&joined, 3, &[0, 1], None, &[0, 1]).assigned, some(&[0]), "still not free");
        let done = step(&joined, 3, &[0, 1], None, &[0]);
        assert_eq!((done.epoch, done.state, done.assigned), (3, MemberState::Stable, some(&[0, 1])));
    }

    #[test]
    fn what_is_to_be_given_back_comes_first_and_keeps_the_epoch() {
        let revoking = step(&stable(3, &[0, 1]), 4, &[0, 2], None, &[0, 1]);
        assert_eq!((revoking.epoch, revoking.state), (3, MemberState::UnrevokedPartitions));
        assert_eq!((&revoking.assigned, &revoking.pending_revocation), (&some(&[0]), &some(&[1])));
        // It did not say, or still has it.
        assert_eq!(step(&revoking, 4, &[0, 2], None, &[0, 1]), revoking);
        assert_eq!(step(&revoking, 4, &[0, 2], Some(&[0, 1]), &[0, 1]), revoking);
        let done = step(&revoking, 4, &[0, 2], Some(&[0]), &[0, 1]);
        assert_eq!((done.epoch, done.previous_epoch, done.state), (4, 3, MemberState::Stable));
        assert_eq!((done.assigned, done.pending_revocation), (some(&[0, 2]), some(&[])));
    }

    #[test]
    fn a_target_that_moved_on_meanwhile_is_reached_one_epoch_at_a_time() {
        let revoking = step(&stable(3, &[0, 1]), 4, &[0], None, &[0, 1]);
        let again = step(&revoking, 6, &[5], Some(&[0]), &[0, 1]);
        assert_eq!((again.epoch, again.state), (4, MemberState::UnrevokedPartitions));
        assert_eq!((again.assigned.clone(), again.pending_revocation.clone()), (some(&[]), some(&[0])));
        let done = step(&again, 6, &[5], Some(&[]), &[0]);
        assert_eq!((done.epoch, done.state, done.assigned), (6, MemberState::Stable, some(&[5])));
    }

    #[test]
    fn who_has_all_rests_and_who_comes_back_has_given_everything_up() {
        let current = stable(4, &[0]);
        assert_eq!(step(&current, 4, &[0], None, &[0]), current);
        let back = step(&stable(4, &[0, 1]), 5, &[0], Some(&[]), &[0, 1]);
        assert_eq!((back.epoch, back.state, back.assigned), (5, MemberState::Stable, some(&[0])));
    }
}

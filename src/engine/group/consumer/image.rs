//! What the records of a consumer group say (KIP-848): its epoch, its members, what each is to have and what each has.
//! [`ConsumerImage::apply`] is the only way it changes.
//!
//! Invariant: `owners` is what the current assignments say, a partition's last assignment winning while a compacted log
//! is read. Of an image that decisions made no partition has two owners.

use crate::engine::group::consumer::record::{
    ConsumerMember, ConsumerRecord, Current, GroupEpoch, MemberState, Partitions, ResolvedRegex,
};
use crate::protocol::ids::TopicId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The epoch of a static member that has left and will come back.
pub const WILL_COME_BACK: i32 = -2;

/// What a consumer group is doing (`ConsumerGroupState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsumerState {
    /// Nobody is in it; offsets may be.
    Empty,
    /// It has changed, and nobody has computed the next assignment yet.
    Assigning,
    /// Members are on their way to the assignment.
    Reconciling,
    /// Everybody has what it is to have.
    Stable,
}

impl ConsumerState {
    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            ConsumerState::Empty => "Empty",
            ConsumerState::Assigning => "Assigning",
            ConsumerState::Reconciling => "Reconciling",
            ConsumerState::Stable => "Stable",
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerImage {
    epoch: Option<GroupEpoch>,
    target_epoch: Option<i32>,
    members: BTreeMap<Arc<str>, Arc<ConsumerMember>>,
    targets: BTreeMap<Arc<str>, Arc<Partitions>>,
    currents: BTreeMap<Arc<str>, Arc<Current>>,
    regexes: BTreeMap<Arc<str>, Arc<ResolvedRegex>>,
    owners: BTreeMap<(TopicId, i32), Arc<str>>,
}

impl ConsumerImage {
    /// Whether there is such a group. Other records may be there before or after its own is.
    pub fn exists(&self) -> bool {
        self.epoch.is_some()
    }

    /// Whether nothing is known of it.
    pub fn is_blank(&self) -> bool {
        *self == ConsumerImage::default()
    }

    /// The number of changes of members, subscriptions and topics.
    pub fn epoch(&self) -> i32 {
        self.epoch.map_or(0, |epoch| epoch.epoch)
    }

    /// A hash of the topics that the members subscribe to.
    pub fn metadata_hash(&self) -> i64 {
        self.epoch.map_or(0, |epoch| epoch.metadata_hash)
    }

    /// The epoch that the targets are for.
    pub fn target_epoch(&self) -> i32 {
        self.target_epoch.unwrap_or(0)
    }

    /// Its members, by id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Arc<ConsumerMember>)> {
        self.members.iter()
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// A member.
    pub fn member(&self, member: &str) -> Option<&Arc<ConsumerMember>> {
        self.members.get(member)
    }

    /// The static member of a `group.instance.id`.
    pub fn static_member(&self, instance: &str) -> Option<&Arc<str>> {
        let found = self.members.iter().find(|(_, member)| member.instance.as_deref() == Some(instance));
        found.map(|(id, _)| id)
    }

    /// What a member is to have.
    pub fn target(&self, member: &str) -> Partitions {
        self.targets.get(member).map(|target| (**target).clone()).unwrap_or_default()
    }

    /// What all members are to have.
    pub fn targets(&self) -> impl Iterator<Item = (&Arc<str>, &Partitions)> {
        self.targets.iter().map(|(member, target)| (member, &**target))
    }

    /// What a member has; nothing, in epoch 0, if it has just come.
    pub fn current(&self, member: &str) -> Current {
        self.currents.get(member).map(|current| (**current).clone()).unwrap_or_default()
    }

    /// The epoch of a member.
    pub fn member_epoch(&self, member: &str) -> i32 {
        self.currents.get(member).map_or(0, |current| current.epoch)
    }

    /// Who has a partition, to use or to give back.
    pub fn owner(&self, topic: TopicId, partition: i32) -> Option<&Arc<str>> {
        self.owners.get(&(topic, partition))
    }

    /// The regular expressions that members subscribe to, and their topics.
    pub fn regexes(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<ResolvedRegex>)> {
        self.regexes.iter()
    }

    /// The topics of a regular expression.
    pub fn regex(&self, regex: &str) -> Option<&Arc<ResolvedRegex>> {
        self.regexes.get(regex)
    }

    /// Whether a member has all that it is to have.
    pub fn is_reconciled(&self, member: &str) -> bool {
        self.currents
            .get(member)
            .is_some_and(|current| current.state == MemberState::Stable && current.epoch == self.target_epoch())
    }

    /// What the group is doing.
    pub fn state(&self) -> ConsumerState {
        if self.members.is_empty() {
            ConsumerState::Empty
        } else if self.epoch() > self.target_epoch() {
            ConsumerState::Assigning
        } else if self.members.keys().all(|member| self.is_reconciled(member)) {
            ConsumerState::Stable
        } else {
            ConsumerState::Reconciling
        }
    }

    /// Whether any member subscribes to a topic.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| self.subscribes(member, topic))
    }

    fn subscribes(&self, member: &ConsumerMember, topic: &str) -> bool {
        let by_regex = || member.regex.as_ref().and_then(|regex| self.regexes.get(regex));
        member.topics.contains(topic) || by_regex().is_some_and(|resolved| resolved.topics.contains(topic))
    }

    /// The names of all topics that a member subscribes to.
    pub fn topics_of<'a>(&'a self, member: &'a ConsumerMember) -> impl Iterator<Item = &'a Arc<str>> {
        let by_regex = member.regex.as_ref().and_then(|regex| self.regexes.get(regex));
        member.topics.iter().chain(by_regex.into_iter().flat_map(|resolved| &resolved.topics))
    }

    /// The ends of all its records.
    pub fn tombstones(&self) -> Vec<ConsumerRecord> {
        let mut records = Vec::new();
        records.extend(self.currents.keys().map(|member| ConsumerRecord::Current(Arc::clone(member), None)));
        records.extend(self.targets.keys().map(|member| ConsumerRecord::Target(Arc::clone(member), None)));
        records.extend(self.members.keys().map(|member| ConsumerRecord::Member(Arc::clone(member), None)));
        records.extend(self.regexes.keys().map(|regex| ConsumerRecord::Regex(Arc::clone(regex), None)));
        records.push(ConsumerRecord::TargetEpoch(None));
        records.push(ConsumerRecord::Epoch(None));
        records
    }

    /// Takes over what a record says.
    pub fn apply(&mut self, record: &ConsumerRecord) {
        match record {
            ConsumerRecord::Epoch(epoch) => self.epoch = *epoch,
            ConsumerRecord::TopicPartitions => {}
            ConsumerRecord::TargetEpoch(epoch) => self.target_epoch = *epoch,
            ConsumerRecord::Member(member, value) => put(&mut self.members, member, value.as_ref()),
            ConsumerRecord::Target(member, value) => put(&mut self.targets, member, value.as_ref()),
            ConsumerRecord::Regex(regex, value) => put(&mut self.regexes, regex, value.as_ref()),
            ConsumerRecord::Current(member, value) => {
                let before = self.currents.get(member).cloned();
                for key in before.iter().flat_map(|current| held(current)) {
                    // Another may have it already, in a log that has been compacted.
                    if self.owners.get(&key).is_some_and(|owner| owner == member) {
                        self.owners.remove(&key);
                    }
                }
                for key in value.iter().flat_map(held) {
                    self.owners.insert(key, Arc::clone(member));
                }
                put(&mut self.currents, member, value.as_ref());
            }
        }
    }
}

/// All that a member has, to use or to give back.
fn held(current: &Current) -> impl Iterator<Item = (TopicId, i32)> {
    let all = current.assigned.iter().chain(&current.pending_revocation);
    all.flat_map(|(topic, numbers)| numbers.iter().map(|number| (*topic, *number)))
}

fn put<V: Clone>(to: &mut BTreeMap<Arc<str>, Arc<V>>, key: &Arc<str>, value: Option<&V>) {
    match value {
        Some(value) => to.insert(Arc::clone(key), Arc::new(value.clone())),
        None => to.remove(key),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use uuid::Uuid;

    const TOPIC: TopicId = TopicId(Uuid::from_u128(1));

    fn has(member: &str, numbers: &[i32]) -> ConsumerRecord {
        let assigned = Partitions::from([(TOPIC, numbers.iter().copied().collect::<BTreeSet<i32>>())]);
        ConsumerRecord::Current(Arc::from(member), Some(Current { epoch: 1, assigned, ..Current::default() }))
    }

    #[test]
    fn a_partitions_last_assignment_wins_and_an_older_ones_end_does_not_touch_it() {
        let mut image = ConsumerImage::default();
        image.apply(&has("a", &[0, 1]));
        // What was between is compacted away.
        image.apply(&has("b", &[1]));
        image.apply(&has("a", &[0]));
        assert_eq!(image.owner(TOPIC, 0).map(|owner| &**owner), Some("a"));
        assert_eq!(image.owner(TOPIC, 1).map(|owner| &**owner), Some("b"));
        image.apply(&ConsumerRecord::Current(Arc::from("b"), None));
        assert_eq!(image.owner(TOPIC, 1), None);
    }

    #[test]
    fn after_its_tombstones_nothing_is_left() {
        let mut image = ConsumerImage::default();
        let member = || Arc::from("a");
        image.apply(&ConsumerRecord::Epoch(Some(GroupEpoch { epoch: 3, metadata_hash: 9 })));
        image.apply(&ConsumerRecord::Member(member(), Some(ConsumerMember::default())));
        image.apply(&ConsumerRecord::TargetEpoch(Some(3)));
        image.apply(&ConsumerRecord::Target(member(), Some(Partitions::new())));
        image.apply(&has("a", &[4]));
        assert_eq!(image.state(), ConsumerState::Reconciling);
        for record in image.tombstones() {
            image.apply(&record);
        }
        assert!(image.is_blank());
    }
}

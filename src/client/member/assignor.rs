//! Who gets which partitions of a classic group: what its leader computes (`RangeAssignor`, `RoundRobinAssignor`,
//! `CooperativeStickyAssignor`).
//!
//! Invariants: a partition goes to one member at most, and only to one that subscribes to its topic; every partition of a
//! subscribed topic has an owner, unless cooperative-sticky has to have it revoked first: it never gives a partition to a member
//! while another says that it owns it (KIP-429). Range and round robin give what Kafka's own would; sticky is as balanced as
//! Kafka's and moves no more partitions than that takes, but may choose others.
//!
//! Deliberately not here: racks.

use crate::client::metadata::TopicPartition;
use crate::protocol::consumer_protocol::Subscription;
use std::collections::{BTreeMap, BTreeSet};

/// A way to share partitions, under the name that goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// Of each topic, a member gets partitions that follow one another.
    Range,
    /// The partitions of all topics in turn.
    RoundRobin,
    /// Members keep what they have, as far as all end up with as much; only what moves stands still meanwhile.
    CooperativeSticky,
}

impl Assignor {
    /// All of them.
    pub const ALL: [Assignor; 3] = [Assignor::Range, Assignor::RoundRobin, Assignor::CooperativeSticky];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The one of a name.
    pub fn from_name(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Whether members keep what they own while the group rebalances.
    pub fn is_cooperative(self) -> bool {
        self == Assignor::CooperativeSticky
    }

    /// Shares the partitions of topics (their counts) among members. Every member is in the answer.
    pub fn assign(self, members: &[Candidate], partitions: &BTreeMap<String, i32>) -> Assignments {
        let mut members: Vec<&Candidate> = members.iter().collect();
        members.sort_by(|a, b| a.order().cmp(&b.order()));
        match self {
            Assignor::Range => range(&members, partitions),
            Assignor::RoundRobin => round_robin(&members, partitions),
            Assignor::CooperativeSticky => cooperative_sticky(&members, partitions),
        }
    }
}

/// A member that is to get something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub member: String,
    /// Its `group.instance.id`, if it is static.
    pub instance: Option<String>,
    /// What it says of itself.
    pub subscription: Subscription,
}

impl Candidate {
    /// Kafka's order of members: static ones first, by instance; others by id.
    fn order(&self) -> (bool, &str) {
        (self.instance.is_none(), self.instance.as_deref().unwrap_or(&self.member))
    }

    fn wants(&self, topic: &str) -> bool {
        self.subscription.topics.iter().any(|wanted| wanted == topic)
    }
}

/// What each member gets, by its id.
pub type Assignments = BTreeMap<String, Vec<TopicPartition>>;

fn nothing(members: &[&Candidate]) -> Assignments {
    members.iter().map(|candidate| (candidate.member.clone(), Vec::new())).collect()
}

fn give(assignments: &mut Assignments, member: &str, partition: TopicPartition) {
    assignments.get_mut(member).expect("every member is there").push(partition);
}

fn range(members: &[&Candidate], partitions: &BTreeMap<String, i32>) -> Assignments {
    let mut assignments = nothing(members);
    for (topic, count) in partitions {
        let takers: Vec<_> = members.iter().filter(|candidate| candidate.wants(topic)).collect();
        let Ok(takers_count) = i32::try_from(takers.len()) else { continue };
        if takers_count == 0 {
            continue;
        }
        let (each, more) = (count / takers_count, count % takers_count);
        let mut next = 0;
        for (place, taker) in (0..).zip(takers) {
            let end = next + each + i32::from(place < more);
            (next..end).for_each(|number| give(&mut assignments, &taker.member, TopicPartition::new(topic, number)));
            next = end;
        }
    }
    assignments
}

fn round_robin(members: &[&Candidate], partitions: &BTreeMap<String, i32>) -> Assignments {
    let mut assignments = nothing(members);
    let mut turn = members.iter().cycle();
    for (topic, count) in partitions {
        if !members.iter().any(|candidate| candidate.wants(topic)) {
            continue;
        }
        for number in 0..*count {
            let taker = turn.find(|candidate| candidate.wants(topic)).expect("somebody wants the topic");
            give(&mut assignments, &taker.member, TopicPartition::new(topic, number));
        }
    }
    assignments
}

/// Members by their place in Kafka's order, and what each has.
type Loads = Vec<BTreeSet<TopicPartition>>;

fn cooperative_sticky(members: &[&Candidate], partitions: &BTreeMap<String, i32>) -> Assignments {
    let owned = owned_now(members, partitions);
    let mut loads: Loads = vec![BTreeSet::new(); members.len()];
    for (partition, owner) in &owned {
        if let Owner::One { place, .. } = owner {
            loads[*place].insert(partition.clone());
        }
    }
    give_the_rest(members, partitions, &owned, &mut loads);
    balance(members, &mut loads);
    let mut assignments = nothing(members);
    for (candidate, load) in members.iter().zip(loads) {
        for partition in load {
            // Whoever has it has to give it up first; then there is another rebalance.
            let is_held = matches!(owned.get(&partition), Some(Owner::One { place, .. })
                if members[*place].member != candidate.member);
            if !is_held {
                give(&mut assignments, &candidate.member, partition);
            }
        }
    }
    assignments
}

/// Who owns a partition at this moment, as members say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    One {
        place: usize,
        generation: i32,
    },
    /// Two say so with the same right: none is believed.
    Disputed {
        generation: i32,
    },
}

/// Claims to partitions that there are and that their owner still wants; the newest generation is right.
fn owned_now(members: &[&Candidate], partitions: &BTreeMap<String, i32>) -> BTreeMap<TopicPartition, Owner> {
    let mut owned: BTreeMap<TopicPartition, Owner> = BTreeMap::new();
    for (place, candidate) in members.iter().enumerate() {
        let generation = candidate.subscription.generation;
        for (topic, number) in &candidate.subscription.owned {
            let is_there = partitions.get(topic).is_some_and(|count| (0..*count).contains(number));
            if !is_there || !candidate.wants(topic) {
                continue;
            }
            let mine = Owner::One { place, generation };
            let known = owned.entry(TopicPartition::new(topic, *number)).or_insert(mine);
            let (Owner::One { generation: theirs, .. } | Owner::Disputed { generation: theirs }) = *known;
            if generation > theirs {
                *known = mine;
            } else if generation == theirs && *known != mine {
                *known = Owner::Disputed { generation };
            }
        }
    }
    owned
}

/// Partitions without an owner go to whoever has least, those first that fewest want.
fn give_the_rest(
    members: &[&Candidate],
    partitions: &BTreeMap<String, i32>,
    owned: &BTreeMap<TopicPartition, Owner>,
    loads: &mut Loads,
) {
    let mut free: Vec<(usize, TopicPartition)> = Vec::new();
    for (topic, count) in partitions {
        let takers = members.iter().filter(|candidate| candidate.wants(topic)).count();
        for partition in (0..*count).map(|number| TopicPartition::new(topic, number)) {
            if takers > 0 && !matches!(owned.get(&partition), Some(Owner::One { .. })) {
                free.push((takers, partition));
            }
        }
    }
    free.sort();
    for (_, partition) in free {
        let takers = (0..members.len()).filter(|place| members[*place].wants(&partition.topic));
        let taker = takers.min_by_key(|place| loads[*place].len()).expect("somebody wants the topic");
        loads[taker].insert(partition);
    }
}

/// Moves partitions from who has more to who has at least two less, until nobody has. Ends, because each move makes the sum of
/// the squares of the loads smaller.
fn balance(members: &[&Candidate], loads: &mut Loads) {
    while let Some((from, to, partition)) = next_move(members, loads) {
        loads[from].remove(&partition);
        loads[to].insert(partition);
    }
}

fn next_move(members: &[&Candidate], loads: &Loads) -> Option<(usize, usize, TopicPartition)> {
    let mut givers: Vec<usize> = (0..members.len()).collect();
    givers.sort_by_key(|place| std::cmp::Reverse(loads[*place].len()));
    for from in givers {
        let mut takers: Vec<usize> =
            (0..members.len()).filter(|to| loads[*to].len() + 2 <= loads[from].len()).collect();
        takers.sort_by_key(|place| loads[*place].len());
        for to in takers {
            // The last, so that what is kept begins with the first.
            if let Some(partition) = loads[from].iter().rev().find(|partition| members[to].wants(&partition.topic)) {
                return Some((from, to, partition.clone()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(member: &str, topics: &[&str], owned: &[(&str, i32)], generation: i32) -> Candidate {
        let subscription = Subscription {
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            owned: owned.iter().map(|(topic, number)| ((*topic).to_owned(), *number)).collect(),
            generation,
        };
        Candidate { member: member.to_owned(), instance: None, subscription }
    }

    fn counts(topics: &[(&str, i32)]) -> BTreeMap<String, i32> {
        topics.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    fn names(assignments: &Assignments, member: &str) -> Vec<String> {
        assignments[member].iter().map(ToString::to_string).collect()
    }

    #[test]
    fn range_gives_the_first_members_one_more_of_every_topic() {
        let members = [candidate("b", &["t", "u"], &[], -1), candidate("a", &["t", "u"], &[], -1)];
        let shared = Assignor::Range.assign(&members, &counts(&[("t", 3), ("u", 3)]));
        assert_eq!(names(&shared, "a"), ["t-0", "t-1", "u-0", "u-1"]);
        assert_eq!(names(&shared, "b"), ["t-2", "u-2"]);
    }

    #[test]
    fn static_members_come_first_by_their_instance() {
        let mut members = [candidate("a", &["t"], &[], -1), candidate("z", &["t"], &[], -1)];
        members[1].instance = Some("one".to_owned());
        let shared = Assignor::Range.assign(&members, &counts(&[("t", 1)]));
        assert_eq!((names(&shared, "a").len(), names(&shared, "z").len()), (0, 1));
    }

    #[test]
    fn round_robin_goes_on_where_it_was_and_passes_over_who_does_not_subscribe() {
        // The third example of Kafka's RoundRobinAssignor.
        let members = [
            candidate("c0", &["t0"], &[], -1),
            candidate("c1", &["t0", "t1"], &[], -1),
            candidate("c2", &["t0", "t1", "t2"], &[], -1),
        ];
        let shared = Assignor::RoundRobin.assign(&members, &counts(&[("t0", 1), ("t1", 2), ("t2", 3)]));
        assert_eq!(names(&shared, "c0"), ["t0-0"]);
        assert_eq!(names(&shared, "c1"), ["t1-0"]);
        assert_eq!(names(&shared, "c2"), ["t1-1", "t2-0", "t2-1", "t2-2"]);
    }

    #[test]
    fn sticky_gives_a_newcomer_nothing_that_is_still_owned() {
        let owned = [("t", 0), ("t", 1), ("t", 2), ("t", 3)];
        let first = [candidate("a", &["t"], &owned, 4), candidate("b", &["t"], &[], -1)];
        let shared = Assignor::CooperativeSticky.assign(&first, &counts(&[("t", 4)]));
        assert_eq!((names(&shared, "a"), names(&shared, "b").len()), (vec!["t-0".to_owned(), "t-1".to_owned()], 0));
        let then = [candidate("a", &["t"], &owned[..2], 5), candidate("b", &["t"], &[], 5)];
        let shared = Assignor::CooperativeSticky.assign(&then, &counts(&[("t", 4)]));
        assert_eq!(names(&shared, "b"), ["t-2", "t-3"]);
    }

    #[test]
    fn the_newest_generation_is_right_about_what_it_owns() {
        let members = [candidate("old", &["t"], &[("t", 0), ("t", 1)], 3), candidate("new", &["t"], &[("t", 0)], 4)];
        let shared = Assignor::CooperativeSticky.assign(&members, &counts(&[("t", 2)]));
        assert_eq!((names(&shared, "old"), names(&shared, "new")), (vec!["t-1".to_owned()], vec!["t-0".to_owned()]));
    }

    proptest! {
        #[test]
        fn sticky_settles_in_two_rounds_balanced_and_with_one_owner_each(
            wants in proptest::collection::vec(proptest::collection::btree_set(0..3_usize, 1..=3), 1..7),
            had in proptest::collection::vec((0..7_usize, 0..3_usize, 0..8_i32), 0..24),
        ) {
            let topics = ["t0", "t1", "t2"];
            let partitions = counts(&[("t0", 5), ("t1", 8), ("t2", 3)]);
            let mut members: Vec<Candidate> = wants
                .iter()
                .enumerate()
                .map(|(place, wants)| {
                    let wants: Vec<&str> = wants.iter().map(|topic| topics[*topic]).collect();
                    candidate(&format!("m{place}"), &wants, &[], 1)
                })
                .collect();
            let mut taken = BTreeSet::new();
            for (member, topic, number) in had {
                let member = member % members.len();
                if taken.insert((topic, number)) {
                    members[member].subscription.owned.push((topics[topic].to_owned(), number));
                }
            }
            let mut last = BTreeMap::new();
            for round in 0..2 {
                let shared = Assignor::CooperativeSticky.assign(&members, &partitions);
                let mut owners: BTreeMap<&TopicPartition, &str> = BTreeMap::new();
                for (member, given) in &shared {
                    for partition in given {
                        prop_assert!(owners.insert(partition, member).is_none(), "{partition} has two owners");
                        let owned_by_other = members.iter().any(|other| other.member != *member
                            && other.wants(&partition.topic)
                            && other.subscription.owned.contains(&(partition.topic.clone(), partition.partition)));
                        prop_assert!(!owned_by_other, "{partition} was not given up in round {round}");
                    }
                }
                for candidate in &mut members {
                    let given = &shared[&candidate.member];
                    candidate.subscription.owned =
                        given.iter().map(|partition| (partition.topic.clone(), partition.partition)).collect();
                    candidate.subscription.generation += 1;
                }
                last = shared;
            }
            let given: usize = last.values().map(Vec::len).sum();
            let wanted: i32 = partitions
                .iter()
                .filter(|(topic, _)| members.iter().any(|candidate| candidate.wants(topic)))
                .map(|(_, count)| count)
                .sum();
            prop_assert_eq!(given, usize::try_from(wanted).expect("positive"));
            for (member, more) in &last {
                for other in &members {
                    let could_move = more.iter().any(|partition| other.wants(&partition.topic));
                    prop_assert!(!could_move || last[&other.member].len() + 2 > more.len(), "{} has too many", member);
                }
            }
        }
    }
}

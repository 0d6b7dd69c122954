//! The assignors of consumer groups (KIP-848): `uniform`, which is balanced and leaves with a member what it has, and
//! `range`, which gives each member neighbouring partitions, of all topics the same ones.
//!
//! Invariants: every partition of a topic that somebody subscribes to is given to exactly one member, one that
//! subscribes to the topic; the outcome depends on the arguments alone. Under `uniform` two members that subscribe to
//! the same differ by one partition at most.
//!
//! They do not look at racks.

use crate::engine::group::consumer::record::Partitions;
use crate::protocol::ids::TopicId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An assignor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// Balanced and sticky.
    Uniform,
    /// Neighbouring partitions, of all topics the same ones.
    Range,
}

impl Assignor {
    /// The one of a name.
    pub fn by_name(name: &str) -> Option<Assignor> {
        [Assignor::Uniform, Assignor::Range].into_iter().find(|assignor| assignor.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// What each member is to have. `counts` has the number of partitions of every topic that is subscribed to.
    pub fn assign(self, members: &[Candidate], counts: &BTreeMap<TopicId, i32>) -> BTreeMap<Arc<str>, Partitions> {
        match self {
            Assignor::Range => range(members, counts),
            Assignor::Uniform if members.windows(2).all(|pair| pair[0].topics == pair[1].topics) => {
                uniform_among_equals(members, counts)
            }
            Assignor::Uniform => uniform(members, counts),
        }
    }
}

/// A member to assign to.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its id.
    pub member: Arc<str>,
    /// Its `group.instance.id`, if it is a static member.
    pub instance: Option<Arc<str>>,
    /// The topics that it subscribes to, of those that exist.
    pub topics: BTreeSet<TopicId>,
    /// What it was to have until now.
    pub target: Partitions,
}

type Place = (TopicId, i32);

/// All partitions, in order.
fn all_places(counts: &BTreeMap<TopicId, i32>) -> impl Iterator<Item = Place> {
    counts.iter().flat_map(|(topic, count)| (0..*count).map(|number| (*topic, number)))
}

/// What a member may keep of what it was to have, in order; nothing that another keeps.
fn kept(candidate: &Candidate, counts: &BTreeMap<TopicId, i32>, free: &BTreeSet<Place>) -> Vec<Place> {
    let is_valid = |(topic, number): &Place| {
        candidate.topics.contains(topic) && counts.get(topic).is_some_and(|count| number < count)
    };
    let had = candidate.target.iter().flat_map(|(topic, numbers)| numbers.iter().map(|number| (*topic, *number)));
    had.filter(|place| is_valid(place) && free.contains(place)).collect()
}

fn gathered(given: BTreeMap<Arc<str>, BTreeSet<Place>>) -> BTreeMap<Arc<str>, Partitions> {
    let gather = |places: BTreeSet<Place>| {
        let mut partitions = Partitions::new();
        for (topic, number) in places {
            partitions.entry(topic).or_default().insert(number);
        }
        partitions
    };
    given.into_iter().map(|(member, places)| (member, gather(places))).collect()
}

/// All subscribe to the same: everybody gets as many, or one more. The odd ones stay with those who have most.
fn uniform_among_equals(members: &[Candidate], counts: &BTreeMap<TopicId, i32>) -> BTreeMap<Arc<str>, Partitions> {
    let Some(first) = members.first() else { return BTreeMap::new() };
    let mut free: BTreeSet<Place> = all_places(counts).filter(|(topic, _)| first.topics.contains(topic)).collect();
    let (least, odd) = (free.len() / members.len(), free.len() % members.len());
    let mut having: Vec<(&Candidate, Vec<Place>)> = Vec::new();
    for candidate in members {
        let has = kept(candidate, counts, &free);
        for place in &has {
            free.remove(place);
        }
        having.push((candidate, has));
    }
    having.sort_by(|(a, has_a), (b, has_b)| has_b.len().cmp(&has_a.len()).then_with(|| a.member.cmp(&b.member)));
    let mut given: BTreeMap<Arc<str>, BTreeSet<Place>> = BTreeMap::new();
    for (rank, (candidate, has)) in having.iter_mut().enumerate() {
        let quota = least + usize::from(rank < odd);
        free.extend(has.split_off(quota.min(has.len())));
        given.insert(Arc::clone(&candidate.member), has.iter().copied().collect());
    }
    let mut free = free.into_iter();
    for (rank, (candidate, has)) in having.iter().enumerate() {
        let missing = least + usize::from(rank < odd) - has.len();
        given.entry(Arc::clone(&candidate.member)).or_default().extend(free.by_ref().take(missing));
    }
    gathered(given)
}

/// Members subscribe to different topics: each partition goes to the subscriber that has least, and moves on while
/// that makes things more even.
fn uniform(members: &[Candidate], counts: &BTreeMap<TopicId, i32>) -> BTreeMap<Arc<str>, Partitions> {
    let mut subscribers: BTreeMap<TopicId, Vec<&Arc<str>>> = BTreeMap::new();
    for candidate in members {
        for topic in &candidate.topics {
            subscribers.entry(*topic).or_default().push(&candidate.member);
        }
    }
    let mut free: BTreeSet<Place> = all_places(counts).filter(|(topic, _)| subscribers.contains_key(topic)).collect();
    let mut given: BTreeMap<Arc<str>, BTreeSet<Place>> = BTreeMap::new();
    let mut owners: BTreeMap<Place, Arc<str>> = BTreeMap::new();
    for candidate in members {
        let has = kept(candidate, counts, &free);
        for place in &has {
            free.remove(place);
            owners.insert(*place, Arc::clone(&candidate.member));
        }
        given.insert(Arc::clone(&candidate.member), has.into_iter().collect());
    }
    let least = |given: &BTreeMap<Arc<str>, BTreeSet<Place>>, topic: &TopicId| {
        let load = |member: &&&Arc<str>| (given[&***member].len(), Arc::clone(member));
        subscribers[topic].iter().min_by_key(load).map(|member| Arc::clone(member)).expect("somebody subscribes")
    };
    // Topics with few subscribers first: their partitions have the least choice.
    let mut waiting: Vec<Place> = free.into_iter().collect();
    waiting.sort_by_key(|(topic, number)| (subscribers[topic].len(), *topic, *number));
    for place in waiting {
        let to = least(&given, &place.0);
        owners.insert(place, Arc::clone(&to));
        given.entry(to).or_default().insert(place);
    }
    // Each move makes the sum of the squares of the loads smaller: this ends.
    let mut has_moved = true;
    while has_moved {
        has_moved = false;
        for (place, owner) in &mut owners {
            let to = least(&given, &place.0);
            if given[&to].len() + 1 < given[owner].len() {
                given.entry(Arc::clone(owner)).or_default().remove(place);
                given.entry(Arc::clone(&to)).or_default().insert(*place);
                *owner = to;
                has_moved = true;
            }
        }
    }
    gathered(given)
}

/// Of each topic a run of neighbours for each subscriber, in the order of instance or member ids, the first ones taking
/// one more: subscribers of the same topics get the same numbers of each.
fn range(members: &[Candidate], counts: &BTreeMap<TopicId, i32>) -> BTreeMap<Arc<str>, Partitions> {
    let mut sorted: Vec<&Candidate> = members.iter().collect();
    // Static members first, so that a new id does not move anything.
    sorted.sort_by_key(|candidate| (candidate.instance.is_none(), &candidate.instance, &candidate.member));
    let mut given: BTreeMap<Arc<str>, BTreeSet<Place>> =
        members.iter().map(|candidate| (Arc::clone(&candidate.member), BTreeSet::new())).collect();
    for (topic, count) in counts {
        let subscribers: Vec<&&Candidate> =
            sorted.iter().filter(|candidate| candidate.topics.contains(topic)).collect();
        let Ok(size) = i32::try_from(subscribers.len()) else { continue };
        if size == 0 {
            continue;
        }
        let mut numbers = 0..*count;
        for (candidate, rank) in subscribers.iter().zip(0_i32..) {
            let quota = count / size + i32::from(rank < count % size);
            let places = numbers.by_ref().take(usize::try_from(quota).unwrap_or(0)).map(|number| (*topic, number));
            given.entry(Arc::clone(&candidate.member)).or_default().extend(places);
        }
    }
    gathered(given)
}

#[cfg(test)]
mod tests;

//! Assignments of small groups by hand, and the invariants on drawn ones.

use super::*;
use crate::engine::prng::Prng;
use uuid::Uuid;

fn topic(number: u8) -> TopicId {
    TopicId(Uuid::from_u128(u128::from(number)))
}

fn candidate(member: &str, topics: &[u8], target: &[(u8, &[i32])]) -> Candidate {
    Candidate {
        member: Arc::from(member),
        instance: None,
        topics: topics.iter().map(|number| topic(*number)).collect(),
        target: target.iter().map(|(number, has)| (topic(*number), has.iter().copied().collect())).collect(),
    }
}

fn counts(all: &[(u8, i32)]) -> BTreeMap<TopicId, i32> {
    all.iter().map(|(number, count)| (topic(*number), *count)).collect()
}

fn numbers(assignment: &BTreeMap<Arc<str>, Partitions>, member: &str, of: u8) -> Vec<i32> {
    assignment[member].get(&topic(of)).into_iter().flatten().copied().collect()
}

#[test]
fn uniform_moves_no_more_than_it_has_to() {
    let members = [candidate("a", &[1], &[(1, &[0, 1, 2])]), candidate("b", &[1], &[(1, &[3, 4, 5])])];
    let same = Assignor::Uniform.assign(&members, &counts(&[(1, 6)]));
    assert_eq!((numbers(&same, "a", 1), numbers(&same, "b", 1)), (vec![0, 1, 2], vec![3, 4, 5]));
    let mut more = members.to_vec();
    more.push(candidate("0", &[1], &[]));
    let three = Assignor::Uniform.assign(&more, &counts(&[(1, 6)]));
    assert_eq!((numbers(&three, "a", 1), numbers(&three, "b", 1)), (vec![0, 1], vec![3, 4]));
    assert_eq!(numbers(&three, "0", 1), [2, 5]);
    // The odd one stays with who has it.
    let uneven = [candidate("a", &[1], &[(1, &[0])]), candidate("b", &[1], &[(1, &[1, 2])])];
    let kept = Assignor::Uniform.assign(&uneven, &counts(&[(1, 3)]));
    assert_eq!((numbers(&kept, "a", 1), numbers(&kept, "b", 1)), (vec![0], vec![1, 2]));
}

#[test]
fn uniform_forgets_topics_and_partitions_that_are_gone() {
    let members = [candidate("a", &[1], &[(1, &[0, 7]), (2, &[0])]), candidate("b", &[1], &[(1, &[0])])];
    let found = Assignor::Uniform.assign(&members, &counts(&[(1, 2)]));
    assert_eq!((numbers(&found, "a", 1), numbers(&found, "b", 1)), (vec![0], vec![1]));
    assert!(!found["a"].contains_key(&topic(2)));
}

#[test]
fn range_gives_neighbours_and_the_same_of_each_topic() {
    let members = [candidate("b", &[1, 2], &[]), candidate("a", &[1, 2], &[]), candidate("c", &[2], &[])];
    let found = Assignor::Range.assign(&members, &counts(&[(1, 3), (2, 3)]));
    assert_eq!((numbers(&found, "a", 1), numbers(&found, "b", 1)), (vec![0, 1], vec![2]));
    assert_eq!((numbers(&found, "a", 2), numbers(&found, "b", 2)), (vec![0], vec![1]));
    assert_eq!(numbers(&found, "c", 2), [2]);
    let mut statics = members.to_vec();
    statics[0].instance = Some(Arc::from("0"));
    let found = Assignor::Range.assign(&statics, &counts(&[(1, 3)]));
    assert_eq!((numbers(&found, "b", 1), numbers(&found, "a", 1)), (vec![0, 1], vec![2]));
}

#[test]
fn nobody_and_nothing_are_no_trouble() {
    for assignor in [Assignor::Uniform, Assignor::Range] {
        assert!(assignor.assign(&[], &counts(&[(1, 3)])).is_empty());
        let found = assignor.assign(&[candidate("a", &[], &[])], &counts(&[]));
        assert!(found["a"].is_empty());
        assert_eq!(Assignor::by_name(assignor.name()), Some(assignor));
    }
}

/// Every partition once, to a subscriber; equals differ by one at most.
fn check(members: &[Candidate], counts: &BTreeMap<TopicId, i32>, found: &BTreeMap<Arc<str>, Partitions>, even: bool) {
    let mut owners: BTreeMap<Place, &str> = BTreeMap::new();
    for candidate in members {
        for (topic, numbers) in &found[&candidate.member] {
            assert!(candidate.topics.contains(topic) && !numbers.is_empty());
            for number in numbers {
                assert!(*number < counts[topic]);
                assert_eq!(owners.insert((*topic, *number), &candidate.member), None, "twice");
            }
        }
    }
    let is_wanted = |topic: &TopicId| members.iter().any(|candidate| candidate.topics.contains(topic));
    let wanted = all_places(counts).filter(|(topic, _)| is_wanted(topic)).count();
    assert_eq!(owners.len(), wanted, "all of them");
    let load = |candidate: &Candidate| found[&candidate.member].values().map(BTreeSet::len).sum::<usize>();
    for a in members.iter().filter(|_| even) {
        for b in members.iter().filter(|b| b.topics == a.topics) {
            assert!(load(a) <= load(b) + 1);
        }
    }
}

#[test]
fn drawn_groups_are_whole_and_even_and_settle_at_once() {
    let mut rng = Prng::new(848);
    for _ in 0..300 {
        let counts: BTreeMap<TopicId, i32> =
            (1..=3).map(|number| (topic(number), i32::try_from(rng.below(9)).expect("small"))).collect();
        let is_mixed = rng.below(2) == 0;
        let mut members: Vec<Candidate> = (0..=rng.below(6))
            .map(|number| {
                let topics: Vec<u8> = (1..=3).filter(|_| !is_mixed || rng.below(2) == 0).collect();
                candidate(&format!("m{number}"), &topics, &[(1, &[0, 1, 2]), (2, &[8])])
            })
            .collect();
        for assignor in [Assignor::Uniform, Assignor::Range] {
            let found = assignor.assign(&members, &counts);
            check(&members, &counts, &found, assignor == Assignor::Uniform);
            for candidate in &mut members {
                candidate.target = found[&candidate.member].clone();
            }
            assert_eq!(assignor.assign(&members, &counts), found, "nothing has changed, nothing moves");
        }
    }
}

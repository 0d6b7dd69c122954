//! Shapes in which a cluster falls apart, drawn from a seed: in two sides that do not hear each other, with a bridge that hears both, and in a
//! ring in which each broker hears its two neighbours alone.
//!
//! Invariants: a shape is made of cuts between two brokers, so that the shrinker may find that fewer do, and each cut only happens where it may;
//! everything is drawn from a generator of its own.
//!
//! Deliberately not here: links that work badly (`link_faults`), and single cuts and brokers cut off from all others (`plan`).

use crate::cluster::sim::plan::{Fault, Plan};
use crate::cluster::sim::world::World;
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeSet;

/// From one shape to the next, in milliseconds.
const INTERVAL_MS_MIN: u64 = 500;
const INTERVAL_MS_MAX: u64 = 6_000;
/// How long one lasts, in milliseconds.
const LASTS_MS_MIN: u64 = 100;
const LASTS_MS_MAX: u64 = 6_000;

/// Adds such partitions of the cluster to a plan, in a third of all seeds.
pub(super) fn draw(plan: &mut Plan, mut rng: Prng, brokers: &[BrokerId], from: Instant, until: Instant) {
    if !rng.chance(1, 3) {
        return;
    }
    let mut at = from;
    loop {
        at = at.plus_millis(rng.range(INTERVAL_MS_MIN, INTERVAL_MS_MAX));
        let back = at.plus_millis(rng.range(LASTS_MS_MIN, LASTS_MS_MAX)).min(until);
        if at >= until {
            return;
        }
        let cuts = cuts(&mut rng, brokers);
        plan.faults.extend(cuts.into_iter().map(|(one, other)| (at, Fault::Cut(one, other))));
        plan.faults.push((back, Fault::HealLinks));
    }
}

/// Which pairs no longer hear each other.
fn cuts(rng: &mut Prng, brokers: &[BrokerId]) -> Vec<(BrokerId, BrokerId)> {
    let mut order = brokers.to_vec();
    rng.shuffle(&mut order);
    let pairs = |sides: &[(usize, usize)]| sides.iter().map(|(one, other)| (order[*one], order[*other])).collect();
    let all = || (0..order.len()).flat_map(|one| (one + 1..order.len()).map(move |other| (one, other)));
    let half = order.len() / 2;
    match rng.range(0, 2) {
        0 => pairs(&all().filter(|(one, other)| (*one < half) != (*other < half)).collect::<Vec<_>>()),
        1 => {
            // The last one is the bridge.
            let bridge = order.len() - 1;
            let side = bridge / 2;
            let is_across = |(one, other): &(usize, usize)| *other != bridge && (*one < side) != (*other < side);
            pairs(&all().filter(is_across).collect::<Vec<_>>())
        }
        _ => {
            let is_apart = |(one, other): &(usize, usize)| other - one > 1 && other - one < order.len() - 1;
            pairs(&all().filter(is_apart).collect::<Vec<_>>())
        }
    }
}

/// The shape in which a cluster is now, by the cuts between its brokers; `None` where all hear each other.
pub(super) fn name(world: &World) -> Option<&'static str> {
    let ids: Vec<BrokerId> = world.nodes.keys().copied().collect();
    let hear = |one: BrokerId, other: BrokerId| !world.network.is_cut(one, other) && !world.network.is_cut(other, one);
    let neighbours = |one: BrokerId| ids.iter().copied().filter(move |other| *other != one && hear(one, *other));
    if ids.iter().all(|id| neighbours(*id).count() == ids.len() - 1) {
        return None;
    }
    let mut side = BTreeSet::from([ids[0]]);
    let mut next = vec![ids[0]];
    while let Some(id) = next.pop() {
        next.extend(neighbours(id).filter(|other| side.insert(*other)).collect::<Vec<_>>());
    }
    if side.len() < ids.len() {
        let is_one_alone = ids.iter().any(|id| neighbours(*id).count() == 0);
        return Some(if is_one_alone { "one broker apart" } else { "two sides apart" });
    }
    let is_bridge = |id: &BrokerId| neighbours(*id).count() == ids.len() - 1;
    match ids.iter().filter(|id| is_bridge(id)).count() {
        1 => Some("sides with a bridge"),
        0 if ids.iter().all(|id| neighbours(*id).count() == 2) => Some("rings"),
        _ => Some("other gaps"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::config::Timing;

    #[test]
    fn each_shape_is_drawn_and_known_by_its_cuts() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let mut rng = Prng::new(seed);
            let mut world = World::new(seed, 3 + i32::try_from(seed % 3).expect("small"), Timing::Lab);
            let ids: Vec<BrokerId> = world.nodes.keys().copied().collect();
            assert_eq!(name(&world), None);
            for (one, other) in cuts(&mut rng, &ids) {
                world.network.set_cut(one, other, true);
            }
            seen.insert(name(&world));
        }
        let named = ["one broker apart", "two sides apart", "sides with a bridge", "rings"];
        assert!(named.iter().all(|shape| seen.contains(&Some(*shape))), "{seen:?}");
        assert!(!seen.contains(&Some("other gaps")), "{seen:?}");
    }

    #[test]
    fn two_sides_of_five_do_not_hear_each_other() {
        let mut world = World::new(1, 5, Timing::Lab);
        for (one, other) in [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)] {
            world.network.set_cut(BrokerId(one), BrokerId(other), true);
        }
        assert_eq!(name(&world), Some("two sides apart"));
        world.network.set_cut(BrokerId(1), BrokerId(2), true);
        assert_eq!(name(&world), Some("one broker apart"));
        world.network.heal();
        world.network.set_cut(BrokerId(1), BrokerId(2), true);
        assert_eq!(name(&world), Some("other gaps"));
    }
}

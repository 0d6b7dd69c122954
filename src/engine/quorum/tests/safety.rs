//! Random worlds: crashes, losses of power, cut links, lost messages, slow disks; first for safety, then, healed, for
//! liveness.

use super::world::World;
use crate::engine::prng::Prng;

/// Each seed leaves whole classes of faults out, so that rare combinations come about at all.
struct Swarm {
    crashes: bool,
    cuts: bool,
    one_way: bool,
    loss: bool,
    slow_disks: bool,
    snapshots: bool,
    wipes: bool,
}

fn live_through(seed: u64) -> World {
    let mut rng = Prng::new(seed);
    let mut flip = || rng.chance(1, 2);
    let swarm = Swarm {
        crashes: flip(),
        cuts: flip(),
        one_way: flip(),
        loss: flip(),
        slow_disks: flip(),
        snapshots: flip(),
        wipes: flip(),
    };
    let voters = [1, 2, 3, 3, 3, 5][usize::try_from(rng.below(6)).expect("an index")];
    let mut world = World::new(seed, voters, i32::from(rng.chance(1, 3)));
    if swarm.snapshots {
        world.cluster.metadata_snapshot_bytes = 600;
    }
    world.start_all();
    for _ in 0..40 {
        disturb(&mut world, &swarm, &mut rng);
        for _ in 0..rng.range(1, 3) {
            let leaders: Vec<_> = world.ids().into_iter().filter(|id| is_leader(&world, *id)).collect();
            for leader in leaders {
                world.write(leader);
            }
            world.run(rng.range(1, 40));
        }
    }
    heal(&mut world);
    world
}

fn is_leader(world: &World, id: crate::protocol::ids::BrokerId) -> bool {
    world.nodes[&id].process.as_ref().is_some_and(|process| process.quorum.is_leader())
}

fn disturb(world: &mut World, swarm: &Swarm, rng: &mut Prng) {
    let ids = world.ids();
    let a = *rng.pick(&ids).expect("there are brokers");
    let b = *rng.pick(&ids).expect("there are brokers");
    let is_up = world.nodes[&a].process.is_some();
    match rng.below(9) {
        0 if swarm.crashes && is_up => world.power_loss(a),
        1 if swarm.crashes && is_up => world.kill(a),
        2 | 3 if !is_up => world.start(a),
        4 if swarm.cuts => {
            world.cut.insert((a, b));
            if !swarm.one_way {
                world.cut.insert((b, a));
            }
        }
        5 if swarm.cuts => world.cut_off(a),
        6 => world.heal(),
        7 if swarm.loss => world.loss = rng.below(30),
        8 if swarm.slow_disks => world.persist_us = rng.range(100, 40_000),
        _ if swarm.wipes && rng.chance(1, 12) => wipe_if_harmless(world, a),
        _ => {}
    }
}

/// A wiped broker has forgotten what it promised: the cluster may only take it if all others are intact and have
/// everything, which is what the command `wipe` demands too.
fn wipe_if_harmless(world: &mut World, id: crate::protocol::ids::BrokerId) {
    let end = world.committed.keys().next_back().map_or(0, |last| last + 1);
    let voters = world.nodes.values().find_map(|node| Some(node.process.as_ref()?.quorum.voters().clone()));
    let Some(voters) = voters else { return };
    let is_intact = |other: &crate::protocol::ids::BrokerId| {
        let node = &world.nodes[other];
        node.synced_end >= end && voters.get(other) == Some(&node.directory)
    };
    let others = voters.keys().filter(|other| **other != id);
    let all_intact = others.clone().all(is_intact);
    if voters.len() >= 3 && all_intact && voters.get(&id) == Some(&world.nodes[&id].directory) {
        if world.nodes[&id].process.is_some() {
            world.power_loss(id);
        }
        world.wipe(id);
        world.start(id);
    }
}

fn heal(world: &mut World) {
    world.heal();
    world.persist_us = 3_000;
    world.start_all();
    world.until(10_000, "a leader is elected", |world| world.leader().is_some());
    // The leader that there is may be an old one that has not heard of the end of its time yet.
    world.run(1_000);
    world.until(10_000, "a leader stays", |world| world.leader().is_some());
    let leader = world.leader().expect("it was just there");
    assert!(world.write(leader));
    let end = world.quorum(leader).log_end();
    world.until(5_000, "everybody commits and votes", |world| {
        world.ids().iter().all(|id| world.quorum(*id).high_watermark() >= end)
            && world.quorum(leader).voters().iter().all(|(id, directory)| world.nodes[id].directory == *directory)
    });
    world.check_log_matching();
    let image = &world.nodes[&leader].process.as_ref().expect("it runs").image;
    for node in world.nodes.values() {
        let theirs = &node.process.as_ref().expect("it runs").image;
        assert!(theirs.end_offset != image.end_offset || theirs == image, "the same log gives the same image");
    }
}

#[test]
fn random_worlds_keep_every_promise_and_recover() {
    for seed in 0..300 {
        let outcome = std::panic::catch_unwind(|| live_through(seed));
        if let Err(panic) = outcome {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_seed_repeats_its_world_step_by_step() {
    let (a, b) = (live_through(7), live_through(7));
    assert_eq!((a.steps, a.now, &a.committed), (b.steps, b.now, &b.committed));
}

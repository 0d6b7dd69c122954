//! Random worlds: crashes, losses of power, cut links, lost messages, slow disks; first for safety, then, healed, for
//! liveness.

use super::world::{Process, World};
use crate::engine::prng::Prng;
use crate::protocol::ids::{BrokerId, DirectoryId};

/// Each seed leaves whole classes of faults out, so that rare combinations come about at all.
struct Swarm {
    crashes: bool,
    cuts: bool,
    one_way: bool,
    loss: bool,
    slow_disks: bool,
    snapshots: bool,
    wipes: bool,
    /// Voters stand without having asked: safety may not rest on pre-votes.
    rash: bool,
    /// A response holds one batch.
    small_fetches: bool,
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
        rash: flip(),
        small_fetches: flip(),
    };
    let voters = [1, 2, 3, 3, 3, 5][usize::try_from(rng.below(6)).expect("an index")];
    let mut world = World::new(seed, voters, i32::from(rng.chance(1, 3)));
    if swarm.snapshots {
        world.cluster.metadata_snapshot_bytes = 600;
    }
    if swarm.small_fetches {
        world.fetch_max_bytes = 1;
    }
    world.start_all();
    for _ in 0..40 {
        disturb(&mut world, &swarm, &mut rng);
        if swarm.rash && rng.chance(1, 4) {
            stand_together(&mut world, &swarm, &mut rng);
        }
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

fn is_leader(world: &World, id: BrokerId) -> bool {
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
        _ if swarm.wipes => wipe_if_harmless(world, a),
        _ => {}
    }
}

/// Two stand at once who do not hear each other, and somebody whose vote is on its way to the disk, or just there,
/// loses power and comes back.
fn stand_together(world: &mut World, swarm: &Swarm, rng: &mut Prng) {
    let mut ids = world.ids();
    rng.shuffle(&mut ids);
    let may_stand = |process: &Process| process.quorum.is_voter() && !process.quorum.is_leader();
    let can = |id: &&BrokerId| world.nodes[*id].process.as_ref().is_some_and(may_stand);
    let standing: Vec<BrokerId> = ids.iter().filter(can).take(2).copied().collect();
    let [a, b] = standing[..] else { return };
    if rng.chance(3, 4) {
        world.heal();
        world.cut.extend([(a, b), (b, a)]);
    }
    let stand = |world: &mut World, id: BrokerId| {
        if world.nodes[&id].process.as_ref().is_some_and(may_stand) {
            world.step(id, |process, cx| process.quorum.become_candidate(cx, "rash"));
        }
    };
    stand(world, a);
    let is_later = rng.chance(1, 2);
    if !is_later {
        stand(world, b);
    }
    ids.retain(|id| *id != b && *id != a);
    for victim in ids.into_iter().take(usize::try_from(rng.below(3)).expect("a count")) {
        world.run(rng.range(0, 5));
        if rng.chance(1, 2) {
            // It does not hear who was elected.
            world.cut.insert((a, victim));
        }
        if swarm.crashes && world.nodes[&victim].process.is_some() {
            world.power_loss(victim);
            world.start(victim);
        } else if swarm.wipes {
            wipe_if_harmless(world, victim);
        }
    }
    if is_later {
        stand(world, b);
    }
    world.run(rng.range(0, 40));
}

/// A wiped broker has forgotten what it promised. The quorum stands one of those at a time: all other voters are intact
/// and know it, which is what the command `wipe` demands too.
fn wipe_if_harmless(world: &mut World, id: BrokerId) {
    let is_intact = |other: BrokerId| {
        let Some(process) = &world.nodes[&other].process else { return false };
        let end = process.quorum.voters.last_change().unwrap_or(0);
        let has_it = |(voter, directory): (&BrokerId, &DirectoryId)| {
            world.nodes[voter].directory == *directory && world.nodes[voter].synced_end > end
        };
        process.quorum.voters().len() >= 3 && process.quorum.voters().iter().all(has_it)
    };
    if world.ids().into_iter().all(is_intact) && world.quorum(id).is_voter() {
        world.power_loss(id);
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

/// How many worlds: a few seconds' worth.
const SEEDS: u64 = 400;

#[test]
fn random_worlds_keep_every_promise_and_recover() {
    for seed in (0..SEEDS).chain([12_855]) {
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

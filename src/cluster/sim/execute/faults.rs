//! Faults of links and disks, and their end.

use super::facts::partition_id;
use super::{Outcome, each, node_mut};
use crate::cluster::command::{Command, DiskCommand, LinkCommand, Reply};
use crate::cluster::link::{CLIENTS, Link, LinkFaults};
use crate::cluster::sim::disk::DiskFailure;
use crate::cluster::sim::timeline::Timeline;
use crate::cluster::sim::world::{Power, World};
use crate::engine::io::LogRead;
use crate::protocol::ids::{BrokerId, PartitionId};
use crate::protocol::peer::PeerMessage;

pub(super) fn links(timeline: &mut Timeline, command: &LinkCommand) -> Outcome {
    let named = command.link().from.iter().chain(&command.link().to);
    let world = &mut timeline.run_mut().world;
    if let Some(unknown) = named.into_iter().find(|id| **id != CLIENTS && !world.nodes.contains_key(id)) {
        return Err(format!("there is no broker {unknown}"));
    }
    for (from, to) in command.link().directed() {
        let released = world.links.change((from, to), |faults| match command {
            LinkCommand::Cut { .. } => faults.is_cut = true,
            LinkCommand::Delay { by, jitter, .. } => (faults.delay, faults.jitter) = (*by, jitter.unwrap_or_default()),
            LinkCommand::Lose { share, .. } => faults.loss_per_million = share.per_million,
            LinkCommand::Hold { .. } => faults.is_held = true,
            LinkCommand::Release { .. } => faults.is_held = false,
            LinkCommand::Throttle { rate, .. } => faults.bytes_per_s = Some(rate.0.0),
            LinkCommand::Heal { .. } => *faults = LinkFaults::default(),
        });
        if matches!(command, LinkCommand::Heal { .. }) && from != CLIENTS && to != CLIENTS {
            world.network.link(from, to).is_cut = false;
        }
        let_go(world, (from, to), released);
    }
    Ok(Reply::done(format!("`{}` is done.", Command::Link(command.clone()))))
}

pub(super) fn disks(timeline: &mut Timeline, command: &DiskCommand) -> Outcome {
    match command {
        DiskCommand::Slow { who, by } => each(timeline, who, |timeline, id| {
            node_mut(timeline, id).write_delay = *by;
            Ok(())
        }),
        DiskCommand::Full { who } => each(timeline, who, |timeline, id| {
            node_mut(timeline, id).disk.set_fault(Some(DiskFailure::Full));
            Ok(())
        }),
        DiskCommand::Fail { who } => each(timeline, who, |timeline, id| {
            node_mut(timeline, id).disk.set_fault(Some(DiskFailure::Failing));
            Ok(())
        }),
        DiskCommand::Heal { who } => each(timeline, who, |timeline, id| {
            node_mut(timeline, id).heal_disk();
            Ok(())
        }),
        DiskCommand::Corrupt { who, partition, offset } => {
            let named = match partition {
                Some(named) => {
                    let found = partition_id(timeline.world(), named);
                    Some(found.ok_or_else(|| format!("there is no partition {named}"))?)
                }
                None => None,
            };
            each(timeline, who, |timeline, id| {
                let node = node_mut(timeline, id);
                // What ends the journal of a broker that is down; its next start ends before it.
                if partition.is_none() && node.power == Power::Off && node.damage_tail().is_some() {
                    return Ok(());
                }
                let disk = &mut node.disk;
                let data = disk.logs().into_iter().filter(|log| log.partition != PartitionId::METADATA);
                let largest = data.max_by_key(|log| log.end_offset - log.start_offset).map(|log| log.partition);
                let damaged = named.or(largest).is_some_and(|partition| disk.damage(partition, *offset));
                if damaged { Ok(()) } else { Err(format!("broker {id} has no such batch")) }
            })
        }
    }
}

/// What a link has kept goes on, if it may.
fn let_go(world: &mut World, link: Link, released: Vec<PeerMessage>) {
    for message in released {
        world.transmit(link.0, link.1, world.now, message);
    }
    world.let_go(link);
}

pub(super) fn heal(timeline: &mut Timeline) -> Outcome {
    let world = &mut timeline.run_mut().world;
    world.network.heal();
    world.links.forget_drops();
    let faulty: Vec<_> = world.links.faulty().map(|(link, _)| link).collect();
    for (from, to) in faulty {
        let released = world.links.change((from, to), |faults| *faults = LinkFaults::default());
        let_go(world, (from, to), released);
    }
    let ids: Vec<BrokerId> = world.nodes.keys().copied().collect();
    for id in ids {
        timeline.run_mut().world.resume(id);
        let node = node_mut(timeline, id);
        node.heal_disk();
        node.skew_ms = 0;
    }
    Ok(Reply::done("Every fault has ended."))
}

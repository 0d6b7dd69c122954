//! ReadCommitted: a reader of committed records sees every record of a committed transaction and none of an aborted or open one, in order and
//! once (KIP-98). What is committed is told by the markers below the high watermark.
//!
//! TransfersBalance: of a transfer that was committed both sides are read, of an aborted one none, and of one whose end nobody knows both or none:
//! the sum of all accounts never changes.

use crate::client::transaction::Outcome;
use crate::cluster::sim::check::{History, Violation};
use crate::cluster::sim::workload::{ClientId, Piece, Reading, Role};
use crate::cluster::sim::world::World;
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::ids::{PartitionId, TopicId};
use crate::protocol::records;
use std::collections::BTreeMap;

const RULE: &str = "ReadCommitted";
const SUM_RULE: &str = "TransfersBalance";

/// What is decided of a partition.
#[derive(Debug, Clone, Default)]
struct Decided {
    /// How much of its history was looked at.
    seen: usize,
    /// The batches of each open transaction.
    open: BTreeMap<i64, Vec<(i64, i64)>>,
    /// First and last offset of what everybody may see.
    visible: BTreeMap<i64, i64>,
}

/// How far a reader was checked.
#[derive(Debug, Clone, Default)]
struct Checked {
    records: usize,
    next: BTreeMap<i32, i64>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct ReadCommitted {
    partitions: BTreeMap<PartitionId, Decided>,
    readers: BTreeMap<ClientId, Checked>,
}

impl ReadCommitted {
    pub(super) fn look(&mut self, history: &History, world: &World) -> Result<(), Violation> {
        for (id, client) in &world.clients {
            let Role::Reading(reading) = &client.role else { continue };
            let Some(topic) = reading.committed_topic() else { continue };
            let checked = self.readers.entry(*id).or_default();
            let is_same = |(partition, next): (i32, i64)| checked.next.get(&partition).copied().unwrap_or(0) == next;
            if reading.pieces.len() == checked.records && reading.places().all(is_same) {
                continue;
            }
            let Some(topic) = topic_id(world, topic) else { continue };
            for (partition, next) in reading.places() {
                let id = PartitionId::new(topic, partition);
                let decided = self.partitions.entry(id).or_default();
                decided.look(history, world, id);
                let from = checked.next.insert(partition, next).unwrap_or(0);
                let read: Vec<i64> = reading.pieces[checked.records..]
                    .iter()
                    .filter(|(at, _, _)| *at == partition)
                    .map(|(_, offset, _)| *offset)
                    .collect();
                let owed: Vec<i64> = decided.visible_between(from, next).collect();
                if read != owed {
                    let what = format!("{id} from {from} to {next}: read {read:?}, committed is {owed:?}");
                    return Err(Violation { rule: RULE, what });
                }
            }
            checked.records = reading.pieces.len();
        }
        Ok(())
    }
}

impl Decided {
    fn look(&mut self, history: &History, world: &World, partition: PartitionId) {
        let batches = history.of(partition);
        for committed in &batches[self.seen..] {
            let header = &committed.header;
            let range = (header.base_offset, header.last_offset());
            if !header.is_transactional() {
                self.visible.insert(range.0, range.1);
            } else if !header.is_control() {
                self.open.entry(header.producer_id).or_default().push(range);
            } else if let Some(ended) = self.open.remove(&header.producer_id)
                && commits(world, partition, header)
            {
                self.visible.extend(ended);
            }
        }
        self.seen = batches.len();
    }

    fn visible_between(&self, from: i64, to: i64) -> impl Iterator<Item = i64> {
        self.visible.range(from..to).flat_map(|(first, last)| *first..=*last)
    }
}

/// Whether a marker commits: the kind in its key (`ControlRecordType`).
fn commits(world: &World, partition: PartitionId, marker: &BatchHeader) -> bool {
    let stored = world.nodes.values().find_map(|node| {
        let log = node.disk.log_of(partition)?;
        let batch: &Batch = log.batches.get(log.position(marker.base_offset))?;
        (batch.header.crc == marker.crc).then_some(batch)
    });
    let key = stored.and_then(|batch| records::decode(batch).ok()?.first()?.key.clone());
    key.is_some_and(|key| key.get(3) == Some(&1))
}

/// After healing, when every reader has come to the end.
pub(super) fn at_end(world: &World) -> Result<(), Violation> {
    let readers = world.clients.values().filter_map(|client| match &client.role {
        Role::Reading(reading) if reading.committed_topic().is_some() => Some(reading),
        _ => None,
    });
    for reading in readers {
        sums(world, reading)?;
    }
    Ok(())
}

fn sums(world: &World, reading: &Reading) -> Result<(), Violation> {
    let mut read: BTreeMap<(ClientId, usize), Vec<i64>> = BTreeMap::new();
    for (_, _, piece) in &reading.pieces {
        let Piece::Leg(leg) = piece else { continue };
        read.entry((leg.client, leg.number)).or_default().push(leg.amount);
    }
    for (id, client) in &world.clients {
        let Role::Transferring(transferring) = &client.role else { continue };
        if reading.committed_topic() != Some(&transferring.transfers.topic) {
            continue;
        }
        for (number, outcome) in transferring.outcomes.iter().enumerate() {
            let legs = read.remove(&(*id, number)).unwrap_or_default();
            let is_whole = legs.len() == 2 && legs.iter().sum::<i64>() == 0;
            let is_right = match outcome {
                Some(Outcome::Committed(_)) => is_whole,
                Some(Outcome::Aborted) => legs.is_empty(),
                Some(Outcome::Unknown(_)) | None => is_whole || legs.is_empty(),
            };
            if !is_right {
                let what = format!("transfer {number} of client {} ended as {outcome:?}, read were {legs:?}", id.0);
                return Err(Violation { rule: SUM_RULE, what });
            }
        }
    }
    Ok(())
}

fn topic_id(world: &World, name: &str) -> Option<TopicId> {
    world.nodes.values().filter_map(|node| node.broker.as_ref()?.image().topic_ids.get(name).copied()).next()
}

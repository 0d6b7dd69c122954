//! CommittedOffsetNeverRegresses: what a group has committed goes forward only, as nobody resets it (commands may, in groups of their own): in
//! the log of `__consumer_offsets`, where an offset within a transaction counts from its commit marker on, and in what members are told: whoever
//! is given a partition is shown at least what was acknowledged to its owners before.

use crate::client::metadata::TopicPartition;
use crate::cluster::sim::check::history::News;
use crate::cluster::sim::check::{History, Violation};
use crate::cluster::sim::workload::{ClientId, READERS_GROUP, Told};
use crate::cluster::sim::world::World;
use crate::engine::group::OFFSETS_TOPIC;
use crate::engine::group::record::GroupRecord;
use crate::engine::log::end_of_transaction;
use crate::protocol::batch::Batch;
use crate::protocol::records;
use std::collections::BTreeMap;

const RULE: &str = "CommittedOffsetNeverRegresses";

/// Group and partition.
type Key = (String, TopicPartition);

/// An offset, and the place of its record in the log.
type Placed = (i64, i64);

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct CommittedOffsetNeverRegresses {
    /// What the log says.
    committed: BTreeMap<Key, Placed>,
    /// By producer: what counts once its transaction commits.
    pending: BTreeMap<i64, BTreeMap<Key, Placed>>,
    /// How much of what each member was told has been looked at.
    seen: BTreeMap<ClientId, usize>,
    /// The largest offset that was acknowledged, and the generation in which it was.
    acknowledged: BTreeMap<Key, (i32, i64)>,
}

impl CommittedOffsetNeverRegresses {
    pub(super) fn look(&mut self, history: &History, world: &World, news: &[News]) -> Result<(), Violation> {
        for News { partition, leader, from } in news {
            let Some(log) = world.nodes[leader].disk.log_of(*partition).filter(|log| log.topic == OFFSETS_TOPIC) else {
                continue;
            };
            for committed in &history.of(*partition)[*from..] {
                let batch = &log.batches[log.position(committed.header.base_offset)];
                self.take_in(batch)?;
            }
        }
        self.look_at_members(world)
    }

    fn take_in(&mut self, batch: &Batch) -> Result<(), Violation> {
        let producer = batch.header.producer_id;
        if batch.header.is_control() {
            let ended = self.pending.remove(&producer).unwrap_or_default();
            for (key, (offset, at)) in ended.into_iter().filter(|_| end_of_transaction(batch) == Some(true)) {
                // A plain commit that came after it stays.
                if self.committed.get(&key).is_none_or(|(_, before)| *before < at) {
                    self.put(key, (offset, at))?;
                }
            }
            return Ok(());
        }
        for (at, record) in (batch.header.base_offset..).zip(records::decode(batch).unwrap_or_default()) {
            let Some(key) = record.key else { continue };
            let Ok(Some(GroupRecord::Offset { group, topic, partition, value })) =
                GroupRecord::read(&key, record.value.as_deref())
            else {
                continue;
            };
            let key = (group.to_string(), TopicPartition::new(&topic, partition));
            match value {
                Some(value) if batch.header.is_transactional() => {
                    self.pending.entry(producer).or_default().insert(key, (value.offset, at));
                }
                Some(value) => self.put(key, (value.offset, at))?,
                None if key.0 != READERS_GROUP => _ = self.committed.remove(&key),
                None => {
                    let what = format!("{} is forgotten for {} at {at}, and nobody asked for it", key.1, key.0);
                    return Err(Violation { rule: RULE, what });
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, key: Key, placed: Placed) -> Result<(), Violation> {
        match self.committed.insert(key.clone(), placed) {
            Some((before, _)) if before > placed.0 && key.0 == READERS_GROUP => {
                let what = format!("{} of {} goes from {before} back to {} at {}", key.1, key.0, placed.0, placed.1);
                Err(Violation { rule: RULE, what })
            }
            _ => Ok(()),
        }
    }

    fn look_at_members(&mut self, world: &World) -> Result<(), Violation> {
        for (id, client) in &world.clients {
            let Some(membership) = client.membership() else { continue };
            let seen = self.seen.entry(*id).or_default();
            for Told { partition, generation, offset, is_answer } in &membership.told[*seen..] {
                let key = (membership.life.group.clone(), partition.clone());
                let acknowledged = self.acknowledged.entry(key).or_insert((-1, -1));
                let told = offset.unwrap_or(-1);
                if *is_answer && !membership.life.is_mixed && *generation >= acknowledged.0 && told < acknowledged.1 {
                    let what = format!(
                        "client {} is to go on in {partition} at {offset:?} in generation {generation}: {} was acknowledged in {}",
                        id.0, acknowledged.1, acknowledged.0
                    );
                    return Err(Violation { rule: RULE, what });
                }
                if told > acknowledged.1 {
                    *acknowledged = (*generation, told);
                }
            }
            *seen = membership.told.len();
        }
        Ok(())
    }

    /// After healing: what was acknowledged is what the log says, or less.
    pub(super) fn at_end(&self) -> Result<(), Violation> {
        for (key, (_, acknowledged)) in &self.acknowledged {
            let committed = self.committed.get(key).map_or(-1, |(offset, _)| *offset);
            if committed < *acknowledged {
                let what = format!("{} of {}: {acknowledged} was acknowledged, the log says {committed}", key.1, key.0);
                return Err(Violation { rule: RULE, what });
            }
        }
        Ok(())
    }
}

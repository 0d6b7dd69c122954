//! The inside of the one partition that somebody looks into, and the last truncation of each.
//!
//! Invariants: brokers are asked to look into a log only while somebody looks, and into one; what is told of a truncation comes from
//! events, so that it is known to who looks later. Whether two logs part is decided by their leader epochs, as the brokers decide it
//! (KIP-101, KIP-279), and only against a replica that leads in the newest epoch: pictures of two brokers are never of one moment.
//!
//! Deliberately not here: rows of the matrix (`partition`), words.

use super::Observer;
use super::partition::{Life, Partition, life};
use crate::cluster::view::{
    ReplicaBar, Truncation, TruncationStage, XrayProducer, XrayReplica, XrayRequest, XrayView, epoch_at,
};
use crate::engine::observe::{BatchHead, BrokerSnapshot, Inside, ReplicaRole, Stretch};
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many partitions' last truncations are kept.
const CUTS_MAX: usize = 1_000;
/// A cut is shown as one for so long at least, in milliseconds of cluster time.
const CUT_SHOWN_MS: u64 = 1_500;

/// What a broker told of the inside of its log.
#[derive(Debug, Clone)]
struct Told {
    batches: Arc<[BatchHead]>,
    epochs: Arc<[(i32, i64)]>,
    /// The rest of it.
    inside: Inside,
}

/// A truncation that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    broker: BrokerId,
    from: i64,
    to: i64,
    epoch: Option<i32>,
    at_ms: u64,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Xray {
    looked_into: Option<PartitionId>,
    told: BTreeMap<BrokerId, Arc<Told>>,
    cuts: BTreeMap<PartitionId, Cut>,
}

impl Xray {
    /// Somebody looks into this partition from now on.
    fn look_into(&mut self, partition: Option<PartitionId>) {
        if self.looked_into != partition {
            self.looked_into = partition;
            self.told.clear();
        }
    }

    /// Takes in what a broker told.
    pub(super) fn hear(&mut self, snapshot: &BrokerSnapshot) {
        let Some(inside) = snapshot.inside.as_ref().filter(|inside| Some(inside.partition) == self.looked_into) else {
            return;
        };
        let is_same = |told: &Arc<Told>| {
            let known = &told.inside;
            (known.partition, known.last_stable_offset, known.producer_count)
                == (inside.partition, inside.last_stable_offset, inside.producer_count)
                && known.producers == inside.producers
                && *told.batches == *inside.batches
                && *told.epochs == *inside.epochs
        };
        if !self.told.get(&snapshot.broker).is_some_and(is_same) {
            let (batches, epochs) = (inside.batches.as_slice().into(), inside.epochs.as_slice().into());
            let inside = Inside { batches: Vec::new(), epochs: Vec::new(), ..inside.clone() };
            self.told.insert(snapshot.broker, Arc::new(Told { batches, epochs, inside }));
        }
    }

    /// What this takes in memory beyond what it shares with another.
    pub(super) fn bytes_beyond(&self, other: &Xray) -> usize {
        let is_own =
            |(id, told): &(&BrokerId, &Arc<Told>)| !other.told.get(id).is_some_and(|other| Arc::ptr_eq(other, told));
        let bytes_of = |told: &Arc<Told>| {
            let producers = told.inside.producers.capacity() * 128;
            size_of::<Told>() + size_of_val(&*told.batches) + size_of_val(&*told.epochs) + producers
        };
        let own: usize = self.told.iter().filter(is_own).map(|(_, told)| bytes_of(told)).sum();
        own + self.cuts.len() * (size_of::<Cut>() + 32)
    }

    /// A log lost its end.
    pub(super) fn cut(&mut self, broker: BrokerId, partition: PartitionId, from: i64, to: i64, at_ms: u64) {
        let told = self.told.get(&broker).filter(|told| told.inside.partition == partition);
        let epoch = told.and_then(|told| epoch_at(&told.epochs, from - 1));
        if self.cuts.len() >= CUTS_MAX
            && !self.cuts.contains_key(&partition)
            && let Some(oldest) = self.cuts.iter().min_by_key(|(_, cut)| cut.at_ms).map(|(id, _)| *id)
        {
            self.cuts.remove(&oldest);
        }
        self.cuts.insert(partition, Cut { broker, from, to, epoch, at_ms });
    }
}

/// Up to where two logs are the same, by their epochs.
fn shared_end(own: &[(i32, i64)], own_end: i64, leader: &[(i32, i64)], leader_end: i64) -> i64 {
    let end = own_end.min(leader_end);
    let mut borders: Vec<i64> =
        own.iter().chain(leader).map(|(_, start)| *start).filter(|start| *start < end).collect();
    borders.sort_unstable();
    let differ = |offset: &i64| match (epoch_at(own, *offset), epoch_at(leader, *offset)) {
        (Some(own), Some(leader)) => own != leader,
        // Before what is kept of either nothing can be said.
        _ => false,
    };
    borders.into_iter().find(differ).unwrap_or(end)
}

impl Observer {
    /// What will be asked for next, told before a round of snapshots, so that they hold it already.
    pub fn look_at(&mut self, want: Option<&XrayRequest>) {
        self.wanted.xray = want.cloned();
    }

    /// The stretch of a log that brokers are to look into.
    pub(super) fn stretch(&mut self) -> Option<Stretch> {
        let found = self.wanted.xray.as_ref().and_then(|want| {
            let partition = self.partitions.by_name(&want.partition.topic, want.partition.partition)?;
            Some(Stretch { partition: partition.id, from: want.from, to: want.to })
        });
        self.xray.look_into(found.map(|stretch| stretch.partition));
        found
    }

    /// The inside of a partition; `None` if there is no such partition.
    pub(super) fn xray_view(&self, want: &XrayRequest) -> Option<Box<XrayView>> {
        let partition = self.partitions.by_name(&want.partition.topic, want.partition.partition)?;
        let row = partition.row(&self.lives);
        let told = |broker: BrokerId| {
            let told = self.xray.told.get(&broker);
            told.filter(|told| told.inside.partition == partition.id)
        };
        let replicas: Vec<XrayReplica> = row
            .replicas
            .iter()
            .map(|bar| XrayReplica {
                broker: bar.broker,
                role: bar.role,
                leader_epoch: partition.seen_on(bar.broker).map(|seen| seen.leader_epoch),
                log_start: bar.log_start,
                log_end: bar.log_end,
                in_isr: bar.in_isr,
                behind: bar.behind,
                diverges_at: self.diverges_at(partition, bar),
                batches: told(bar.broker).map(|told| Arc::clone(&told.batches)),
                epochs: told(bar.broker).map(|told| Arc::clone(&told.epochs)).unwrap_or_default(),
            })
            .collect();
        let of_leader = partition.state.leader.and_then(told).map(|told| &told.inside);
        let producers = of_leader.map(|inside| inside.producers.as_slice()).unwrap_or_default();
        let (previous, next) = self.partitions.neighbours(&row.name);
        Some(Box::new(XrayView {
            previous,
            next,
            leader: partition.state.leader,
            leader_epoch: row.leader_epoch,
            isr: row.isr,
            elr: row.elr,
            min_isr: row.min_isr,
            high_watermark: row.high_watermark,
            records_per_s: row.records_per_s,
            stalled_since_ms: row.stalled_since_ms,
            last_stable_offset: of_leader.map(|inside| inside.last_stable_offset),
            reason: row.reason,
            producers: producers
                .iter()
                .map(|known| XrayProducer {
                    known: *known,
                    transactional_id: self.coordinated.transactional_id(&self.lives, known.summary.producer_id),
                })
                .collect(),
            producer_count: of_leader.map_or(0, |inside| inside.producer_count),
            truncation: self.truncation(partition, &replicas),
            name: row.name,
            replicas,
        }))
    }

    /// Where a replica's log parts from the leader's, if it has something beyond.
    fn diverges_at(&self, partition: &Partition, bar: &ReplicaBar) -> Option<i64> {
        let leader = partition.state.leader.filter(|leader| *leader != bar.broker)?;
        let (ahead, own) = (partition.seen_on(leader)?, partition.seen_on(bar.broker)?);
        if ahead.role != ReplicaRole::Leader || ahead.leader_epoch < partition.state.leader_epoch {
            return None;
        }
        let at = match (self.xray.told.get(&bar.broker), self.xray.told.get(&leader)) {
            (Some(one), Some(other)) if one.inside.partition == partition.id => {
                shared_end(&one.epochs, own.log_end, &other.epochs, ahead.log_end)
            }
            _ => own.log_end - i64::try_from(bar.to_cut).unwrap_or(0),
        };
        let is_ahead_only = at == ahead.log_end && own.leader_epoch >= ahead.leader_epoch;
        (at < own.log_end && !is_ahead_only).then_some(at)
    }

    fn truncation(&self, partition: &Partition, replicas: &[XrayReplica]) -> Option<Truncation> {
        let leader = partition.state.leader;
        let leader_epoch = partition.state.leader_epoch;
        let coming = replicas.iter().find_map(|replica| Some((replica, replica.diverges_at?, replica.log_end?)));
        if let Some((replica, to, from)) = coming {
            let is_up = matches!(life(&self.lives, replica.broker), Life::Up { .. });
            let knows = replica.leader_epoch.is_some_and(|epoch| epoch >= leader_epoch);
            let stage = if is_up && knows { TruncationStage::Asks } else { TruncationStage::Extra };
            let epoch = replica.epoch_at(from - 1);
            let broker = replica.broker;
            return Some(Truncation {
                broker,
                leader,
                from,
                to,
                epoch,
                leader_epoch,
                stage,
                at_ms: None,
                is_over: false,
            });
        }
        let Cut { broker, from, to, epoch, at_ms } = *self.xray.cuts.get(&partition.id)?;
        let replica = replicas.iter().find(|replica| replica.broker == broker)?;
        let is_fresh = self.moment.at_ms.saturating_sub(at_ms) < CUT_SHOWN_MS;
        let stage = if is_fresh || replica.log_end? <= to && !replica.in_isr {
            TruncationStage::Cuts
        } else {
            TruncationStage::Rejoins
        };
        let is_over = stage == TruncationStage::Rejoins && replica.in_isr;
        Some(Truncation { broker, leader, from, to, epoch, leader_epoch, stage, at_ms: Some(at_ms), is_over })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_part_where_their_epochs_do() {
        let old = [(6, 604), (7, 772)];
        let new = [(6, 604), (7, 772), (8, 840)];
        assert_eq!(shared_end(&old, 854, &new, 873), 840, "fourteen that nobody else has");
        assert_eq!(shared_end(&old, 830, &new, 873), 830, "behind, and the same");
        assert_eq!(shared_end(&new, 866, &new, 873), 866);
        assert_eq!(shared_end(&old, 854, &new, 840), 840, "the new leader has written nothing yet");
        assert_eq!(shared_end(&[(7, 772), (9, 850)], 854, &new, 873), 840);
    }

    #[test]
    fn what_is_no_longer_kept_parts_nothing() {
        assert_eq!(shared_end(&[(5, 10), (7, 772)], 800, &[(7, 790)], 873), 800);
        assert_eq!(shared_end(&[], 800, &[(7, 790)], 873), 800);
    }
}

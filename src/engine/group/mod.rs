//! Group coordination (KIP-62 and what followed): a broker coordinates the groups whose partition of
//! `__consumer_offsets` it leads. One [`Shard`] a partition; this is their sum, and the way to them.
//!
//! Decide, then apply: a decision looks at the image and comes to records and an answer; the records go through the
//! replicated log; [`image::Image::apply`] is the only mutator of what is durable, on a coordinator at work, on one that
//! loads, and after a failover. The answer waits until the records are committed.
//!
//! Offsets within a transaction wait in the image for its marker, which the coordinator itself writes.
//!
//! A group is a classic one (`classic.rs` and its kin) or a consumer group (KIP-848, `consumer/`); it can change from one
//! to the other while its members work.

pub(in crate::engine) mod answers;
pub mod classic;
pub mod consumer;
pub mod image;
pub mod member;
pub mod offsets;
mod outcome;
mod rebalance;
pub mod record;
pub mod session;
pub mod shard;
pub mod snapshot;
mod turn;

#[cfg(test)]
mod tests;

use crate::engine::controller::configs::{GroupTimeouts, consumer_group_timeouts_ms};
use crate::engine::controller::image::MetadataImage;
use crate::engine::io::{Ctx, RequestToken, Wake};
use crate::engine::replica::{ReplicaEnv, Replicas};
use crate::engine::time::Instant;
use crate::engine::txn::marking::MarkerPlace;
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, PartitionId};
use crate::protocol::peer::TxnMarker;
use kafka_protocol::messages::DeleteGroupsResponse;
pub(in crate::engine) use outcome::{After, Outcome};
use shard::Shard;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The topic that groups live in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// What a coordinator works with, for one input.
pub(in crate::engine) struct Turn<'a> {
    /// The logs.
    pub replicas: &'a mut Replicas,
    /// What the broker knows.
    pub env: &'a ReplicaEnv<'a>,
}

impl Turn<'_> {
    /// The times that hold for a consumer group.
    pub fn timeouts_ms(&self, group: &str) -> GroupTimeouts {
        consumer_group_timeouts_ms(self.env.image, self.env.config, group)
    }
}

/// A DeleteGroups request that waits for its groups.
#[derive(Debug, Clone)]
struct Deletion {
    token: RequestToken,
    response: DeleteGroupsResponse,
    left: usize,
}

/// All coordinators on a broker. See the module.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    shards: BTreeMap<i32, Shard>,
    wakes: BTreeSet<(Instant, i32)>,
    wake_of: BTreeMap<i32, Instant>,
    deletions: BTreeMap<u64, Deletion>,
    last_deletion: u64,
    marked: Vec<(MarkerPlace, ErrorCode)>,
}

/// The partition of `__consumer_offsets` that a group lives in, out of so many: Java's `String.hashCode`, without its
/// sign (`GroupCoordinator.partitionFor`, `Utils.abs`).
pub fn partition_for(group: &str, partitions: usize) -> i32 {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let positive = if hash == i32::MIN { 0 } else { hash.abs() };
    let count = i32::try_from(partitions).unwrap_or(i32::MAX).max(1);
    positive % count
}

/// The partition of a group, once there is the topic.
pub fn partition_of(image: &MetadataImage, group: &str) -> Option<PartitionId> {
    let topic = image.topic_by_name(OFFSETS_TOPIC)?;
    Some(PartitionId::new(topic.id, partition_for(group, topic.partitions.len())))
}

/// Who coordinates a group, if somebody does.
pub fn coordinator_of(image: &MetadataImage, group: &str) -> Option<BrokerId> {
    image.partition(partition_of(image, group)?)?.leader
}

impl Groups {
    /// The coordinator of a group, if it is here and has loaded.
    ///
    /// # Errors
    /// `NOT_COORDINATOR`, or `COORDINATOR_LOAD_IN_PROGRESS`.
    pub(in crate::engine) fn shard(&mut self, turn: &Turn, group: &str) -> Result<&mut Shard, ErrorCode> {
        let id = partition_of(turn.env.image, group).ok_or(ErrorCode::NotCoordinator)?;
        let shard = self.shards.get_mut(&id.partition).filter(|shard| shard.id() == id);
        let shard = shard.ok_or(ErrorCode::NotCoordinator)?;
        if shard.is_active() { Ok(shard) } else { Err(ErrorCode::CoordinatorLoadInProgress) }
    }

    /// All coordinators, by partition.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.values()
    }

    /// When one of them wants to be woken.
    pub fn next_wake(&self) -> Option<Wake> {
        let (at, partition) = self.wakes.first()?;
        let why = self.shards.get(partition).and_then(Shard::next_due).map_or("groups", |(_, why)| why);
        Some(Wake { at: *at, why })
    }

    /// Leaderships came or went, or high watermarks moved.
    pub(in crate::engine) fn on_news(&mut self, cx: &mut Ctx, turn: &mut Turn, news: BTreeSet<PartitionId>) {
        for id in news {
            let is_ours = turn.env.image.topics.get(&id.topic).is_some_and(|topic| topic.name == OFFSETS_TOPIC);
            let number = id.partition;
            let led = turn.replicas.coordinated(id).filter(|_| is_ours);
            let known = self.shards.get(&number).map(Shard::id);
            if known.is_some_and(|known| (known == id) != led.is_some()) {
                self.unload(cx, number);
            }
            let Some(led) = led else { continue };
            let begin = || Shard::new(cx, turn, id, led.leader_epoch, led.log_start);
            let shard = self.shards.entry(number).or_insert_with(begin);
            shard.set_leader_epoch(led.leader_epoch);
            shard.load(cx, turn);
            shard.on_high_watermark(cx, turn, led.high_watermark);
            self.settle(cx, number);
        }
    }

    fn unload(&mut self, cx: &mut Ctx, number: i32) {
        if let Some(mut shard) = self.shards.remove(&number) {
            shard.unload(cx);
            self.finish_deletions(cx, shard.take_deleted());
            self.marked.extend(shard.take_marked());
        }
        self.arm(number);
    }

    /// Time has passed.
    pub(in crate::engine) fn on_wake(&mut self, cx: &mut Ctx, turn: &mut Turn) {
        while let Some(&(at, number)) = self.wakes.first() {
            if at > cx.now {
                break;
            }
            self.wakes.pop_first();
            self.wake_of.remove(&number);
            if let Some(shard) = self.shards.get_mut(&number) {
                shard.on_due(cx, turn);
            }
            let is_loading = self.shards.get(&number).is_some_and(|shard| !shard.is_active());
            self.settle(cx, number);
            if is_loading {
                // One chunk a step: the broker has other things to do as well.
                break;
            }
        }
    }

    /// Topics are gone.
    pub(in crate::engine) fn on_topics_removed(&mut self, cx: &mut Ctx, turn: &mut Turn, topics: &BTreeSet<String>) {
        let active: Vec<i32> =
            self.shards.iter().filter(|(_, shard)| shard.is_active()).map(|(number, _)| *number).collect();
        for number in active {
            self.shards.get_mut(&number).expect("just seen").forget_topics(cx, turn, topics);
            self.settle(cx, number);
        }
    }

    /// After a shard was given a turn: its timer is set, and DeleteGroups requests learn what it has done.
    pub(in crate::engine) fn settle(&mut self, cx: &mut Ctx, number: i32) {
        if let Some(shard) = self.shards.get_mut(&number) {
            self.marked.extend(shard.take_marked());
        }
        let deleted = self.shards.get_mut(&number).map(Shard::take_deleted).unwrap_or_default();
        self.finish_deletions(cx, deleted);
        self.arm(number);
    }

    fn arm(&mut self, number: i32) {
        let wanted = self.shards.get(&number).and_then(Shard::next_due).map(|(at, _)| at);
        let set = self.wake_of.get(&number).copied();
        if wanted == set {
            return;
        }
        if let Some(at) = set {
            self.wakes.remove(&(at, number));
            self.wake_of.remove(&number);
        }
        if let Some(at) = wanted {
            self.wakes.insert((at, number));
            self.wake_of.insert(number, at);
        }
    }

    /// Ends a producer's transaction in a partition; what becomes of it is told by [`Groups::take_marked`].
    ///
    /// # Errors
    /// If the marker cannot be written.
    pub(in crate::engine) fn write_marker(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: PartitionId,
        marker: &TxnMarker,
        place: MarkerPlace,
    ) -> Result<(), ErrorCode> {
        let shard = self.shards.get_mut(&id.partition).filter(|shard| shard.id() == id);
        let written = shard.ok_or(ErrorCode::NotLeaderOrFollower)?.write_marker(cx, turn, marker, place);
        self.settle(cx, id.partition);
        written
    }

    /// What became of transactions' markers since the last call.
    pub(in crate::engine) fn take_marked(&mut self) -> Vec<(MarkerPlace, ErrorCode)> {
        std::mem::take(&mut self.marked)
    }

    /// A DeleteGroups request begins: its number. The answer goes out with its last group.
    pub(in crate::engine) fn begin_deletion(&mut self, token: RequestToken, response: DeleteGroupsResponse) -> u64 {
        self.last_deletion += 1;
        let left = response.results.len();
        self.deletions.insert(self.last_deletion, Deletion { token, response, left });
        self.last_deletion
    }

    /// Groups of DeleteGroups requests are done: request, place in it, error.
    pub(in crate::engine) fn finish_deletions(&mut self, cx: &mut Ctx, done: Vec<(u64, usize, ErrorCode)>) {
        for (request, place, error) in done {
            let Some(deletion) = self.deletions.get_mut(&request) else { continue };
            deletion.response.results[place].error_code = error.code();
            deletion.left -= 1;
            if deletion.left == 0 {
                let done = self.deletions.remove(&request).expect("just seen");
                cx.respond(done.token, Response::DeleteGroups(done.response));
            }
        }
    }

    /// Gives the coordinator of a group a turn, and sees to what follows.
    ///
    /// # Errors
    /// As [`Groups::shard`].
    pub(in crate::engine) fn with_shard<R>(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        group: &str,
        act: impl FnOnce(&mut Shard, &mut Ctx, &mut Turn, &Arc<str>) -> R,
    ) -> Result<R, ErrorCode> {
        let shard = self.shard(turn, group)?;
        let number = shard.id().partition;
        let result = act(shard, cx, turn, &Arc::from(group));
        self.settle(cx, number);
        Ok(result)
    }
}

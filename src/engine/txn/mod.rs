//! Transaction coordination (KIP-98, KIP-360, KIP-890): a broker coordinates the transactional ids whose partition of
//! `__transaction_state` it leads. One [`Shard`] a partition; this is their sum, and the way to them. Beside them:
//! markers that are written for coordinators (`marking.rs`), and leaders' questions whether a partition is in a
//! transaction (`verification.rs`).
//!
//! Decide, then apply, as for groups: `metadata.rs` has the rules, the records go through the replicated log, and what
//! is committed is carried out.
//!
//! Not here: the transactions in a partition's log (`log/transactions.rs`), offsets in transactions (`group/`), and
//! two-phase commit driven from outside (KIP-939).

pub(in crate::engine) mod answers;
pub(in crate::engine) mod marking;
pub mod metadata;
pub mod record;
pub mod shard;
pub mod snapshot;
mod turn;
pub(in crate::engine) mod verification;

#[cfg(test)]
mod tests;

use crate::engine::controller::image::MetadataImage;
use crate::engine::group::partition_for;
use crate::engine::io::{Ctx, RequestToken, Wake};
use crate::engine::producer_ids::ProducerIds;
use crate::engine::replica::{ReplicaEnv, Replicas};
use crate::engine::time::Instant;
use crate::engine::txn::metadata::Partition;
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, PartitionId};
use crate::protocol::peer::TxnMarker;
use shard::Shard;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The topic that transactional ids live in.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// What a coordinator works with, for one input.
pub(in crate::engine) struct Turn<'a> {
    /// The logs.
    pub replicas: &'a mut Replicas,
    /// What the broker knows.
    pub env: &'a ReplicaEnv<'a>,
    /// Where ids for producers come from.
    pub producer_ids: &'a mut ProducerIds,
}

/// What happens when a state is committed, or cannot be.
#[derive(Debug, Clone)]
pub(in crate::engine) enum After {
    /// A client is answered: as here, or with an error put in.
    Answer {
        /// The request.
        token: RequestToken,
        /// Its answer, if all went well.
        response: Box<Response>,
    },
    /// A part of an AddPartitionsToTxn is done.
    Added {
        /// The request.
        request: u64,
        /// Which of its transactions.
        place: usize,
    },
    /// Nobody waits.
    Nothing,
}

/// A part of an AddPartitionsToTxn that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Done {
    request: u64,
    place: usize,
    error: ErrorCode,
}

/// Who asked for partitions to be added to transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum AddAsker {
    /// A client, in a version of the API.
    Client(RequestToken, i16),
    /// Another broker.
    Peer(BrokerId, u64),
    /// A leader on this broker: the number of its question.
    Own(u64),
}

/// The partitions of one transaction in an AddPartitionsToTxn, and what became of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Added {
    /// The transactional id.
    pub id: Arc<str>,
    /// The partitions with their results.
    pub results: Vec<(Partition, ErrorCode)>,
}

/// What is to leave the coordinators.
#[derive(Debug, Clone)]
pub(in crate::engine) enum Outgoing {
    /// Markers for a broker; the answer comes back under the number.
    Markers {
        /// The broker that leads the partitions.
        to: BrokerId,
        /// The number.
        number: u64,
        /// The markers.
        markers: Vec<TxnMarker>,
    },
    /// An AddPartitionsToTxn is done.
    Added {
        /// Who asked.
        asker: AddAsker,
        /// What became of it.
        results: Vec<Added>,
    },
}

#[derive(Debug, Clone)]
struct Add {
    asker: AddAsker,
    results: Vec<Added>,
    left: usize,
}

#[derive(Debug, Clone)]
struct Sent {
    shard: i32,
    markers: Vec<(Arc<str>, TxnMarker)>,
}

/// All transaction coordinators on a broker. See the module.
#[derive(Debug, Clone, Default)]
pub struct Coordinators {
    shards: BTreeMap<i32, Shard>,
    wakes: BTreeSet<(Instant, i32)>,
    wake_of: BTreeMap<i32, Instant>,
    adds: BTreeMap<u64, Add>,
    sent: BTreeMap<u64, Sent>,
    last: u64,
    outgoing: Vec<Outgoing>,
}

/// The partition of a transactional id, once there is the topic: as groups find theirs
/// (`TransactionStateManager.partitionFor`).
pub fn partition_of(image: &MetadataImage, id: &str) -> Option<PartitionId> {
    let topic = image.topic_by_name(TRANSACTIONS_TOPIC)?;
    Some(PartitionId::new(topic.id, partition_for(id, topic.partitions.len())))
}

/// Who coordinates a transactional id, if somebody does.
pub fn coordinator_of(image: &MetadataImage, id: &str) -> Option<BrokerId> {
    image.partition(partition_of(image, id)?)?.leader
}

impl Coordinators {
    /// The coordinator of a transactional id, if it is here and has loaded.
    ///
    /// # Errors
    /// `NOT_COORDINATOR`, or `COORDINATOR_LOAD_IN_PROGRESS`.
    pub(in crate::engine) fn shard(&mut self, turn: &Turn, id: &str) -> Result<&mut Shard, ErrorCode> {
        let partition = partition_of(turn.env.image, id).ok_or(ErrorCode::NotCoordinator)?;
        let shard = self.shards.get_mut(&partition.partition).filter(|shard| shard.id() == partition);
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
        let why = self.shards.get(partition).and_then(Shard::next_due).map_or("transactions", |(_, why)| why);
        Some(Wake { at: *at, why })
    }

    /// Leaderships came or went, or high watermarks moved.
    pub(in crate::engine) fn on_news(&mut self, cx: &mut Ctx, turn: &mut Turn, news: &BTreeSet<PartitionId>) {
        for &id in news {
            let is_ours = turn.env.image.topics.get(&id.topic).is_some_and(|topic| topic.name == TRANSACTIONS_TOPIC);
            let number = id.partition;
            let led = turn.replicas.coordinated(id).filter(|_| is_ours);
            let known = self.shards.get(&number).map(Shard::id);
            if known.is_some_and(|known| known == id && led.is_none()) {
                self.unload(cx, number);
            }
            let Some(led) = led else { continue };
            if known.is_some_and(|known| known != id) {
                self.unload(cx, number);
            }
            let begin = || Shard::new(cx, turn, id, led.leader_epoch, led.log_start);
            let shard = self.shards.entry(number).or_insert_with(begin);
            shard.set_leader_epoch(led.leader_epoch);
            shard.load(cx, turn);
            shard.on_high_watermark(cx, led.high_watermark);
            self.settle(cx, turn, number);
        }
    }

    fn unload(&mut self, cx: &mut Ctx, number: i32) {
        if let Some(mut shard) = self.shards.remove(&number) {
            shard.unload(cx);
            self.finish(shard.take_done());
        }
        self.sent.retain(|_, sent| sent.shard != number);
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
                if shard.is_active()
                    && let Some(led) = turn.replicas.coordinated(shard.id())
                {
                    shard.on_high_watermark(cx, led.high_watermark);
                }
            }
            let is_loading = self.shards.get(&number).is_some_and(|shard| !shard.is_active());
            self.settle(cx, turn, number);
            if is_loading {
                // One chunk a step: the broker has other things to do as well.
                break;
            }
        }
    }

    /// Gives the coordinator of a transactional id a turn, and sees to what follows.
    ///
    /// # Errors
    /// As [`Coordinators::shard`], or what the turn comes to.
    pub(in crate::engine) fn with_shard<R>(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        id: &str,
        act: impl FnOnce(&mut Shard, &mut Ctx, &mut Turn, &Arc<str>) -> Result<R, ErrorCode>,
    ) -> Result<R, ErrorCode> {
        let shard = self.shard(turn, id)?;
        let number = shard.id().partition;
        let result = act(shard, cx, turn, &Arc::from(id));
        self.settle(cx, turn, number);
        result
    }

    /// After a shard was given a turn: what it wants sent is sent, and its timer set.
    fn settle(&mut self, cx: &mut Ctx, turn: &mut Turn, number: i32) {
        let Some(shard) = self.shards.get_mut(&number) else { return self.arm(number) };
        for (to, markers) in shard.take_mail(cx, turn) {
            self.last += 1;
            let wanted = markers.iter().map(|(_, marker)| marker.clone()).collect();
            self.sent.insert(self.last, Sent { shard: number, markers });
            self.outgoing.push(Outgoing::Markers { to, number: self.last, markers: wanted });
        }
        let done = shard.take_done();
        self.finish(done);
        self.arm(number);
    }

    /// The answer to markers that were sent; `None` if there was none.
    pub(in crate::engine) fn on_marked(
        &mut self,
        cx: &mut Ctx,
        turn: &mut Turn,
        number: u64,
        results: Option<&[Vec<ErrorCode>]>,
    ) {
        let Some(sent) = self.sent.remove(&number) else { return };
        if let Some(shard) = self.shards.get_mut(&sent.shard) {
            for (at, (id, marker)) in sent.markers.iter().enumerate() {
                let results = results.and_then(|results| results.get(at)).map_or(&[][..], Vec::as_slice);
                shard.marked(cx, id, marker, results);
            }
        }
        self.settle(cx, turn, sent.shard);
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

    /// An AddPartitionsToTxn begins: its number. It is done with its last transaction.
    pub(in crate::engine) fn begin_add(&mut self, asker: AddAsker, results: Vec<Added>) -> u64 {
        self.last += 1;
        let left = results.len();
        self.adds.insert(self.last, Add { asker, results, left });
        if left == 0 {
            self.finish_add(self.last);
        }
        self.last
    }

    /// The partitions of one transaction each have a result of their own.
    pub(in crate::engine) fn added(&mut self, request: u64, place: usize, results: impl Fn(&Partition) -> ErrorCode) {
        let Some(add) = self.adds.get_mut(&request) else { return };
        for (partition, result) in &mut add.results[place].results {
            if result.is_none() {
                *result = results(partition);
            }
        }
        add.left -= 1;
        if add.left == 0 {
            self.finish_add(request);
        }
    }

    fn finish(&mut self, done: Vec<Done>) {
        for Done { request, place, error } in done {
            self.added(request, place, |_| error);
        }
    }

    fn finish_add(&mut self, request: u64) {
        let add = self.adds.remove(&request).expect("a request that is under way");
        self.outgoing.push(Outgoing::Added { asker: add.asker, results: add.results });
    }

    /// What is to leave the coordinators.
    pub(in crate::engine) fn take_outgoing(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.outgoing)
    }
}

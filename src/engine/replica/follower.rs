//! Followers fetch: one session with each leader, one request waiting in it (Kafka's `AbstractFetcherThread`,
//! `ReplicaFetcherThread`).
//!
//! Invariants:
//! - A position that is told is persisted; while records of an answer are not, the session rests. So no record is asked
//!   for twice.
//! - The epoch of the last record is told with every position, from the log itself (KAFKA-15510), and a log that
//!   differs from the leader's is cut before anything is appended (KIP-595).
//! - An answer counts only for the position and leader epoch it was asked with, and answers come in the order of their
//!   requests.
//! - The high watermark follows the leader's, never beyond the own log end; only a cut lowers it.
//!
//! Deliberately unlike Kafka's sessions, in two ways. An answer with records, an error or a divergence puts its
//! partition to sleep until the follower tells its position again, because it cannot do so before the records are safe.
//! And a position that came up while a request waits at the leader is told with a second one, which has the first
//! answered: a new partition, or a new leader's, is not kept waiting for `replica.fetch.wait.max.ms`.

use super::partition::Role;
use super::timers::Timer;
use super::{ReplicaEnv, Replicas};
use crate::engine::io::Ctx;
use crate::engine::mutant::Mutant;
use crate::engine::observe::TruncationReason;
use crate::engine::rpc::{Purpose, Rpc, RpcResult};
use crate::engine::time::Instant;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, EpochEnd, PartitionId};
use crate::protocol::peer::{
    PeerRequest, PeerResponse, ReplicaFetchAnswer, ReplicaFetchPartition, ReplicaFetchRequest, ReplicaFetchResponse,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A position as the leader's session has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    leader_epoch: i32,
    offset: i64,
    /// The first request of the session that the position holds for.
    since: i32,
}

/// The fetches from one leader.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Fetcher {
    session_id: i32,
    session_epoch: i32,
    /// Correlation ids and session epochs of the requests that are not answered yet, in order: one, or a second that
    /// hurries it.
    under_way: VecDeque<(u64, i32)>,
    not_before: Option<Instant>,
    /// Partitions that are fetched from this leader.
    partitions: BTreeSet<PartitionId>,
    /// Those whose position has to be told.
    to_tell: BTreeSet<PartitionId>,
    /// Those that the leader's session has, awake; the position they were told with.
    told: BTreeMap<PartitionId, Told>,
    /// Those that have left and that the leader's session may still have.
    to_forget: BTreeSet<PartitionId>,
    /// Those whose records are not persisted yet.
    unsafe_records: BTreeSet<PartitionId>,
    /// Those that wait after an error.
    paused: BTreeSet<PartitionId>,
    /// Errors in a row of a partition, until an answer without one.
    errors: BTreeMap<PartitionId, u32>,
}

impl Fetcher {
    fn start_over(&mut self) {
        self.session_id = 0;
        self.session_epoch = 0;
        self.under_way.clear();
        self.told.clear();
        self.to_forget.clear();
        self.to_tell = self.partitions.difference(&self.paused).copied().collect();
    }

    /// Whether another request may go out now.
    fn may_ask(&self) -> bool {
        match self.under_way.len() {
            0 => true,
            1 => self.session_id != 0 && !self.to_tell.is_empty(),
            _ => false,
        }
    }
}

impl Replicas {
    /// Begins to fetch a partition from its leader.
    pub(super) fn start_fetching(&mut self, leader: BrokerId, id: PartitionId) {
        let fetcher = self.fetchers.entry(leader).or_default();
        fetcher.partitions.insert(id);
        fetcher.to_tell.insert(id);
        fetcher.to_forget.remove(&id);
        self.touched_fetchers.insert(leader);
    }

    /// Stops fetching a partition from whomever it was fetched from.
    pub(super) fn stop_fetching(&mut self, id: PartitionId) {
        let Some(replica) = self.partitions.get(&id) else { return };
        let Some(leader) = replica.leader else { return };
        let Some(fetcher) = self.fetchers.get_mut(&leader) else { return };
        if fetcher.partitions.remove(&id) {
            fetcher.to_tell.remove(&id);
            fetcher.unsafe_records.remove(&id);
            fetcher.paused.remove(&id);
            fetcher.errors.remove(&id);
            fetcher.told.remove(&id);
            fetcher.to_forget.insert(id);
            self.touched_fetchers.insert(leader);
        }
    }

    /// A pause after an error is over.
    pub(super) fn fetch_again(&mut self, leader: BrokerId, id: PartitionId) {
        if let Some(fetcher) = self.fetchers.get_mut(&leader)
            && fetcher.paused.remove(&id)
        {
            fetcher.to_tell.insert(id);
            self.touched_fetchers.insert(leader);
        }
    }

    /// A follower's records are safe: its new position can be told.
    pub(super) fn on_follower_persisted(&mut self, id: PartitionId) {
        let Some(replica) = self.partitions.get(&id) else { return };
        let Some(leader) = replica.leader else { return };
        let Some(fetcher) = self.fetchers.get_mut(&leader) else { return };
        if replica.log.persisted_end() >= replica.log.end_offset() && fetcher.unsafe_records.remove(&id) {
            fetcher.to_tell.insert(id);
            self.touched_fetchers.insert(leader);
        }
    }

    /// Sends what the fetchers that were touched may send.
    pub(super) fn send_fetches(&mut self, cx: &mut Ctx, rpc: &mut Rpc, env: &ReplicaEnv) {
        if env.broker_epoch.is_none() {
            // Who has to register again fetches on after that.
            return;
        }
        for leader in std::mem::take(&mut self.touched_fetchers) {
            let Some(mut fetcher) = self.fetchers.remove(&leader) else { continue };
            if fetcher.partitions.is_empty() && fetcher.under_way.is_empty() {
                continue;
            }
            self.send_fetch(cx, rpc, env, leader, &mut fetcher);
            self.fetchers.insert(leader, fetcher);
        }
    }

    fn send_fetch(&self, cx: &mut Ctx, rpc: &mut Rpc, env: &ReplicaEnv, leader: BrokerId, fetcher: &mut Fetcher) {
        let Some(broker_epoch) = env.broker_epoch else { return };
        let is_resting = fetcher.not_before.is_some_and(|at| at > cx.now);
        if !fetcher.may_ask() || is_resting || !cx.log().has_room() {
            return;
        }
        let forgets_epoch = cx.has(Mutant::LastFetchedEpochLost) && fetcher.session_epoch > 0;
        let mut partitions = Vec::with_capacity(fetcher.to_tell.len());
        for id in std::mem::take(&mut fetcher.to_tell) {
            let Some(replica) = self.partitions.get(&id) else { continue };
            let end = replica.log.end_offset();
            if replica.log.persisted_end() < end {
                fetcher.unsafe_records.insert(id);
                continue;
            }
            partitions.push(ReplicaFetchPartition {
                partition: id,
                current_leader_epoch: replica.leader_epoch,
                fetch_offset: end,
                last_fetched_epoch: if forgets_epoch { -1 } else { replica.log.last_epoch().unwrap_or(-1) },
                log_start_offset: replica.log.start_offset(),
                max_bytes: env.config.replica_fetch_max_bytes,
            });
        }
        let has_something = !partitions.is_empty() || (!fetcher.told.is_empty() && fetcher.under_way.is_empty());
        if !fetcher.unsafe_records.is_empty() || !has_something {
            fetcher.to_tell.extend(partitions.iter().map(|partition| partition.partition));
            return;
        }
        for partition in &partitions {
            let (leader_epoch, offset) = (partition.current_leader_epoch, partition.fetch_offset);
            let told = Told { leader_epoch, offset, since: fetcher.session_epoch };
            fetcher.told.insert(partition.partition, told);
        }
        let request = ReplicaFetchRequest {
            replica: env.broker,
            broker_epoch,
            session_id: fetcher.session_id,
            session_epoch: fetcher.session_epoch,
            max_wait_ms: u32::try_from(env.config.replica_fetch_wait_max_ms).unwrap_or(u32::MAX),
            min_bytes: 1,
            max_bytes: env.config.replica_fetch_response_max_bytes,
            partitions,
            forgotten: std::mem::take(&mut fetcher.to_forget).into_iter().collect(),
        };
        let request = PeerRequest::ReplicaFetch(request);
        let id = rpc.send(cx, leader, Purpose::ReplicaFetch, request, fetch_timeout_ms(env));
        fetcher.under_way.push_back((id, fetcher.session_epoch));
        fetcher.session_epoch = fetcher.session_epoch.checked_add(1).unwrap_or(1);
    }

    /// An answer to a fetch, or none.
    pub(super) fn on_fetch_result(&mut self, cx: &mut Ctx, env: &ReplicaEnv, result: RpcResult) {
        let leader = result.request.to;
        let Some(fetcher) = self.fetchers.get_mut(&leader) else { return };
        let Some(at) = fetcher.under_way.iter().position(|(id, _)| *id == result.request.id) else { return };
        self.touched_fetchers.insert(leader);
        if at > 0 && result.outcome.is_ok() {
            // The answer before this one is lost, and with it what it told.
            fetcher.start_over();
            return;
        }
        let (_, asked_in) = fetcher.under_way.remove(at).expect("just found");
        match result.outcome {
            Ok(PeerResponse::ReplicaFetch(ReplicaFetchResponse { error: ErrorCode::None, session_id, partitions })) => {
                fetcher.session_id = session_id;
                for answer in partitions {
                    self.on_fetched(cx, env, leader, asked_in, answer);
                }
            }
            Ok(PeerResponse::ReplicaFetch(ReplicaFetchResponse {
                error: ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch,
                ..
            })) if fetcher.session_id != 0 => fetcher.start_over(),
            Ok(_) | Err(_) => {
                fetcher.start_over();
                let at = cx.now.plus_millis(env.config.replica_fetch_backoff_ms);
                fetcher.not_before = Some(at);
                self.timers.set(at, Timer::Fetcher(leader));
            }
        }
    }

    /// The leader's word on one partition.
    fn on_fetched(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        leader: BrokerId,
        asked_in: i32,
        answer: ReplicaFetchAnswer,
    ) {
        let id = answer.partition;
        let fetcher = self.fetchers.get_mut(&leader).expect("the one that asked");
        let Some(told) = fetcher.told.get(&id).copied() else { return };
        let Some(replica) = self.partitions.get_mut(&id) else { return };
        let is_what_was_asked = matches!(replica.role, Role::Follower)
            && replica.leader == Some(leader)
            && told.since <= asked_in
            && replica.leader_epoch == told.leader_epoch
            && replica.log.end_offset() == told.offset;
        if !is_what_was_asked {
            return;
        }
        let sleeps = !answer.error.is_none() || answer.diverging_epoch.is_some() || !answer.batches.is_empty();
        if sleeps {
            fetcher.told.remove(&id);
        }
        match answer.error {
            ErrorCode::None => match answer.diverging_epoch {
                Some(diverging) => self.truncate_to_divergence(cx, env, leader, id, diverging),
                None => self.append_fetched(cx, env, leader, answer),
            },
            ErrorCode::OffsetOutOfRange => self.on_out_of_range(cx, env, leader, &answer),
            // Fenced: newer metadata is on its way here. Unknown epoch, not the leader: on its way there.
            _ => self.pause(cx, env, leader, id),
        }
        if sleeps {
            self.tell_position(leader, id);
        }
    }

    /// Has a partition's position told with the next fetch, unless it pauses.
    fn tell_position(&mut self, leader: BrokerId, id: PartitionId) {
        let Some(replica) = self.partitions.get(&id) else { return };
        let fetcher = self.fetchers.get_mut(&leader).expect("the one that asked");
        if fetcher.paused.contains(&id) {
            return;
        }
        if replica.log.persisted_end() < replica.log.end_offset() {
            fetcher.unsafe_records.insert(id);
        } else {
            fetcher.to_tell.insert(id);
        }
    }

    fn append_fetched(&mut self, cx: &mut Ctx, env: &ReplicaEnv, leader: BrokerId, answer: ReplicaFetchAnswer) {
        let id = answer.partition;
        let replica = self.partitions.get_mut(&id).expect("checked");
        if !answer.batches.is_empty() {
            let appended = replica.log.append_as_follower(cx, &answer.batches);
            self.note_write(cx, id);
            if appended.is_err() {
                self.pause(cx, env, leader, id);
                return;
            }
        }
        if let Some(fetcher) = self.fetchers.get_mut(&leader) {
            fetcher.errors.remove(&id);
        }
        self.follow_leader(cx, id, answer.high_watermark, answer.log_start_offset);
    }

    /// The high watermark and the log start follow the leader's.
    fn follow_leader(&mut self, cx: &mut Ctx, id: PartitionId, leader_high_watermark: i64, leader_start: i64) {
        let replica = self.partitions.get_mut(&id).expect("checked");
        let high_watermark = match cx.has(Mutant::FollowerHighWatermarkBeyondEnd) {
            true => leader_high_watermark,
            false => leader_high_watermark.min(replica.log.end_offset()),
        };
        let mut is_changed = false;
        if high_watermark > replica.high_watermark {
            replica.high_watermark = high_watermark;
            is_changed = true;
            self.checkpoint.changed(cx.now, &mut self.timers);
        }
        let replica = self.partitions.get_mut(&id).expect("checked");
        let start = leader_start.min(replica.high_watermark);
        if start > replica.log.start_offset() {
            replica.log.trim(cx, start);
            is_changed = true;
            self.note_write(cx, id);
            // The leader may wait to hear of it.
            let leader = self.partitions.get(&id).and_then(|replica| replica.leader);
            if let Some(fetcher) = leader.and_then(|leader| self.fetchers.get_mut(&leader))
                && !fetcher.unsafe_records.contains(&id)
            {
                fetcher.to_tell.insert(id);
            }
        }
        if is_changed {
            self.touch_readers(id);
        }
    }

    /// The logs differ: what the leader does not have goes (KIP-279, `AbstractFetcherThread.getOffsetTruncationState`).
    /// The epochs are cut even if no record is (KAFKA-10706). If the own log has no records of the leader's epoch, its
    /// own next lower epoch decides, and the next fetch tells from there.
    fn truncate_to_divergence(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        leader: BrokerId,
        id: PartitionId,
        leader_end: EpochEnd,
    ) {
        let replica = self.partitions.get(&id).expect("checked");
        let own_end = match cx.mutant {
            Some(Mutant::NoEpochComparison) => leader_end.end_offset,
            Some(Mutant::TruncateToStart) => replica.log.start_offset(),
            _ => replica.log.epoch_end(leader_end.epoch).end_offset,
        };
        let target = if own_end < 0 { leader_end.end_offset } else { own_end.min(leader_end.end_offset) };
        self.cut(cx, env, leader, id, target);
    }

    fn cut(&mut self, cx: &mut Ctx, env: &ReplicaEnv, leader: BrokerId, id: PartitionId, target: i64) {
        let replica = self.partitions.get_mut(&id).expect("checked");
        if let Err(error) = replica.log.truncate(cx, target, TruncationReason::DivergingEpoch) {
            Self::storage_failed(cx, &error);
            self.pause(cx, env, leader, id);
        }
        self.after_cut(cx, id);
    }

    /// The position is not within the leader's log (`AbstractFetcherThread.fetchOffsetAndTruncate`): beyond its end,
    /// the own end goes; before its start, the own log begins anew there.
    fn on_out_of_range(&mut self, cx: &mut Ctx, env: &ReplicaEnv, leader: BrokerId, answer: &ReplicaFetchAnswer) {
        let id = answer.partition;
        let replica = self.partitions.get_mut(&id).expect("checked");
        let end = replica.log.end_offset();
        match answer.diverging_epoch {
            Some(leader_end) if leader_end.end_offset < end => {
                self.cut(cx, env, leader, id, leader_end.end_offset);
            }
            _ if end < answer.log_start_offset => {
                replica.log.reset(cx, answer.log_start_offset, TruncationReason::OutOfRange);
                self.after_cut(cx, id);
            }
            _ => self.pause(cx, env, leader, id),
        }
    }

    /// The rule before KIP-101, for the mutant that brings it back.
    pub(super) fn cut_to_high_watermark(&mut self, cx: &mut Ctx, id: PartitionId) {
        let replica = self.partitions.get_mut(&id).expect("the replica exists");
        let target = replica.high_watermark;
        if let Err(error) = replica.log.truncate(cx, target, TruncationReason::DivergingEpoch) {
            Self::storage_failed(cx, &error);
        }
        self.after_cut(cx, id);
    }

    /// A log was cut: the high watermark does not stay beyond it, and the lower one is written down at once.
    fn after_cut(&mut self, cx: &Ctx, id: PartitionId) {
        self.note_write(cx, id);
        let replica = self.partitions.get_mut(&id).expect("checked");
        let end = replica.log.end_offset();
        if replica.high_watermark > end {
            replica.high_watermark = end;
            self.checkpoint.lowered();
        }
        if replica.high_watermark < replica.log.start_offset() {
            replica.high_watermark = replica.log.start_offset();
        }
        self.touch_readers(id);
    }

    fn pause(&mut self, cx: &Ctx, env: &ReplicaEnv, leader: BrokerId, id: PartitionId) {
        let fetcher = self.fetchers.get_mut(&leader).expect("the one that asked");
        if fetcher.paused.insert(id) {
            let errors = fetcher.errors.entry(id).or_default();
            let at = cx.now.plus_millis(backoff_ms(*errors, env.config.replica_fetch_backoff_ms));
            *errors = errors.saturating_add(1);
            self.timers.set(at, Timer::FetchPartition(leader, id));
        }
    }
}

/// How long a partition waits after so many errors in a row, in milliseconds: most errors only say that the leader or the follower has not yet
/// heard what the other has, which is over at once (a topic that was just created). Kafka always waits for `replica.fetch.backoff.ms`.
fn backoff_ms(errors: u32, longest_ms: u64) -> u64 {
    2u64.saturating_pow(errors.saturating_add(1)).min(longest_ms)
}

/// A fetch that is lost must not cost a follower its place in the ISR: so it counts as lost well within the lag time.
fn fetch_timeout_ms(env: &ReplicaEnv) -> u64 {
    let (wait, lag) = (env.config.replica_fetch_wait_max_ms, env.config.replica_lag_time_max_ms);
    env.config.peer_request_timeout_ms.min((lag / 2).max(wait * 2))
}

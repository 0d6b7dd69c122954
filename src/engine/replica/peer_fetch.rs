//! A leader serves its followers: one session a follower with all partitions it fetches from here (KIP-227), one parked
//! request in it.
//!
//! Invariants: a follower's position counts only in the current leader epoch, within the log, and where the logs agree
//! (KIP-595, KIP-320); of an older life of the follower nothing counts (KIP-903). A session looks at the partitions
//! that were touched, not at those it has: an idle fetch costs the same however many there are. Records are given by
//! reference, persisted here or not.

use super::timers::Timer;
use super::{Access, ReplicaEnv, Replicas, leader_hint};
use crate::engine::io::{Ctx, LogRead};
use crate::engine::mutant::Mutant;
use crate::engine::rpc::Rpc;
use crate::engine::time::Instant;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, EpochEnd, PartitionId};
use crate::protocol::peer::{
    PeerResponse, ReplicaFetchAnswer, ReplicaFetchPartition, ReplicaFetchRequest, ReplicaFetchResponse,
};
use std::collections::{BTreeMap, BTreeSet};

/// A partition in a session, awake: it is told of records and of the high watermark.
#[derive(Debug, Clone)]
struct Slot {
    offset: i64,
    max_bytes: u32,
    told_high_watermark: i64,
    told_log_start: i64,
}

/// A follower's request that waits for something to tell.
#[derive(Debug, Clone)]
struct Parked {
    correlation_id: u64,
    deadline: Instant,
    max_bytes: usize,
}

/// The session of one follower.
#[derive(Debug, Clone)]
pub(in crate::engine) struct PeerSession {
    id: i32,
    next_epoch: i32,
    broker_epoch: i64,
    awake: BTreeMap<PartitionId, Slot>,
    /// Partitions with records beyond the follower's position.
    ready: BTreeSet<PartitionId>,
    /// Partitions whose high watermark or log start may be news.
    news: BTreeSet<PartitionId>,
    /// Positions told in a leader epoch that this broker has not heard of yet: taken when it has.
    early: BTreeMap<PartitionId, ReplicaFetchPartition>,
    /// Answers that do not need looking up.
    answers: Vec<ReplicaFetchAnswer>,
    /// There is something that does not wait for records: the session's id, or a log start that has moved.
    is_urgent: bool,
    /// Where the next answer begins: partitions take turns.
    next_turn: Option<PartitionId>,
    parked: Option<Parked>,
    /// When the follower last asked for anything.
    pub last_fetch_at: Instant,
}

impl PeerSession {
    fn new(id: i32, broker_epoch: i64, now: Instant) -> PeerSession {
        PeerSession {
            id,
            next_epoch: 0,
            broker_epoch,
            awake: BTreeMap::new(),
            ready: BTreeSet::new(),
            news: BTreeSet::new(),
            early: BTreeMap::new(),
            answers: Vec::new(),
            // The first answer of a session goes out at once: it names the session, so that more can be told.
            is_urgent: true,
            next_turn: None,
            parked: None,
            last_fetch_at: now,
        }
    }

    /// A partition has records beyond the follower's position; whether that is worth an answer now.
    pub fn has_records(&mut self, id: PartitionId) -> bool {
        self.awake.contains_key(&id) && self.ready.insert(id) && self.parked.is_some()
    }

    /// The same without a memory, for the mutant that loses what comes while no request waits.
    pub fn has_records_now(&mut self, id: PartitionId) -> bool {
        self.parked.is_some() && self.has_records(id)
    }

    /// A partition's high watermark has moved: told with the next answer, not worth one of its own.
    pub fn has_news(&mut self, id: PartitionId) {
        if self.awake.contains_key(&id) {
            self.news.insert(id);
        }
    }

    /// A partition's log start has moved: worth an answer.
    fn has_urgent_news(&mut self, id: PartitionId) -> bool {
        self.has_news(id);
        self.is_urgent |= self.awake.contains_key(&id);
        self.is_urgent
    }

    fn sleep(&mut self, id: PartitionId) {
        self.awake.remove(&id);
        self.ready.remove(&id);
        self.news.remove(&id);
    }

    fn has_something(&self) -> bool {
        !self.ready.is_empty() || !self.answers.is_empty() || self.is_urgent
    }
}

impl Replicas {
    /// A follower fetches. It is answered at once or when there is something to tell.
    pub fn on_peer_fetch(
        &mut self,
        cx: &mut Ctx,
        rpc: &mut Rpc,
        env: &ReplicaEnv,
        from: BrokerId,
        correlation_id: u64,
        request: ReplicaFetchRequest,
    ) {
        self.begin(cx, env);
        match self.open_session(cx, env, from, &request) {
            Ok(()) => self.take_positions(cx, env, from, correlation_id, request),
            Err(error) => {
                let refusal = ReplicaFetchResponse { error, session_id: 0, partitions: Vec::new() };
                Rpc::respond(cx, from, correlation_id, PeerResponse::ReplicaFetch(refusal));
            }
        }
        self.settle(cx, rpc, env);
    }

    fn open_session(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        from: BrokerId,
        request: &ReplicaFetchRequest,
    ) -> Result<(), ErrorCode> {
        if !self.is_current {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let registered = env.image.brokers.get(&from).map_or(-1, |broker| broker.broker_epoch);
        let known = self.peers.get(&from).map_or(-1, |peer| peer.broker_epoch);
        if request.broker_epoch < registered.max(known) {
            return Err(ErrorCode::StaleBrokerEpoch);
        }
        if request.session_epoch == 0 {
            self.close_session(from);
            let id = i32::try_from(cx.rng.range(1, 0x7FFF_FFFF)).expect("31 bits");
            self.peers.insert(from, PeerSession::new(id, request.broker_epoch, cx.now));
        }
        let peer = self.peers.get_mut(&from).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if request.session_epoch != 0 && (peer.id != request.session_id || peer.broker_epoch != request.broker_epoch) {
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        if request.session_epoch != peer.next_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        peer.next_epoch = peer.next_epoch.checked_add(1).unwrap_or(1);
        peer.last_fetch_at = cx.now;
        Ok(())
    }

    fn take_positions(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        from: BrokerId,
        correlation_id: u64,
        request: ReplicaFetchRequest,
    ) {
        // A request that was waiting is answered first: it does not know of the positions in this one.
        self.answer_peer(cx, from);
        let told = request.partitions.iter().map(|partition| &partition.partition);
        for id in request.forgotten.iter().chain(told) {
            self.sleep_follower(*id, from);
            self.peers.get_mut(&from).expect("just opened").early.remove(id);
        }
        for partition in request.partitions {
            self.take_position_or_refuse(cx, env, from, request.broker_epoch, partition);
        }
        let deadline = cx.now.plus_millis(u64::from(request.max_wait_ms));
        let max_bytes = usize::try_from(request.max_bytes).unwrap_or(usize::MAX);
        let peer = self.peers.get_mut(&from).expect("just opened");
        peer.parked = Some(Parked { correlation_id, deadline, max_bytes });
        self.timers.set(deadline, Timer::PeerFetch(from));
        self.touched_peers.insert(from);
    }

    fn take_position_or_refuse(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        from: BrokerId,
        broker_epoch: i64,
        told: ReplicaFetchPartition,
    ) {
        let known_epoch = env.image.partition(told.partition).map(|state| state.leader_epoch);
        if known_epoch.is_none_or(|epoch| epoch < told.current_leader_epoch) && !cx.has(Mutant::NoLeaderEpochFencing) {
            let peer = self.peers.get_mut(&from).expect("just opened");
            peer.early.insert(told.partition, told);
            return;
        }
        if let Err(answer) = self.take_position(cx, env, from, broker_epoch, &told) {
            let peer = self.peers.get_mut(&from).expect("just opened");
            peer.answers.push(*answer);
        }
    }

    /// Metadata of a partition was applied: followers that were faster have told their positions already.
    pub(super) fn take_early_positions(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId) {
        let told: Vec<(BrokerId, i64, ReplicaFetchPartition)> = self
            .peers
            .iter_mut()
            .filter_map(|(follower, peer)| Some((*follower, peer.broker_epoch, peer.early.remove(&id)?)))
            .collect();
        for (follower, broker_epoch, told) in told {
            self.take_position_or_refuse(cx, env, follower, broker_epoch, told);
            self.touched_peers.insert(follower);
        }
    }

    /// A follower tells its position in a partition (`Partition.fetchRecords` with `updateFetchState`).
    fn take_position(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        from: BrokerId,
        broker_epoch: i64,
        told: &ReplicaFetchPartition,
    ) -> Result<(), Box<ReplicaFetchAnswer>> {
        let id = told.partition;
        let failed = |error| Box::new(failed(env, id, error));
        let fence = if cx.has(Mutant::NoLeaderEpochFencing) { -1 } else { told.current_leader_epoch };
        let replica = self.find(env, id, fence, Access::Leader).map_err(failed)?;
        let leader = replica.as_leader().expect("a leader was asked for");
        if !leader.followers.contains_key(&from) {
            // The follower knows of a reassignment that this broker has not applied yet.
            return Err(failed(ErrorCode::UnknownLeaderEpoch));
        }
        let (start, end, high_watermark) =
            (replica.log.start_offset(), replica.log.end_offset(), replica.high_watermark);
        let diverging = replica.log.diverging(told.last_fetched_epoch, told.fetch_offset);
        let is_same_term = told.current_leader_epoch == replica.leader_epoch;
        let diverging = match cx.mutant {
            Some(Mutant::NoEpochComparison) => diverging.filter(|end| end.end_offset < told.fetch_offset),
            Some(Mutant::NoLeaderEpochFencing) => diverging.filter(|_| is_same_term),
            _ => diverging,
        };
        if let Some(diverging) = diverging {
            if cx.has(Mutant::DivergingPositionCounts) {
                self.count_position(cx, env, from, broker_epoch, told);
            }
            if diverging.end_offset < 0 {
                return Err(failed(ErrorCode::OffsetOutOfRange));
            }
            let answer = failed(ErrorCode::None);
            return Err(Box::new(ReplicaFetchAnswer { high_watermark, diverging_epoch: Some(diverging), ..*answer }));
        }
        if told.fetch_offset < start || told.fetch_offset > end {
            let leader_end = EpochEnd { epoch: replica.log.last_epoch().unwrap_or(-1), end_offset: end };
            let answer = failed(ErrorCode::OffsetOutOfRange);
            let diverging_epoch = (told.fetch_offset > end).then_some(leader_end);
            return Err(Box::new(ReplicaFetchAnswer { log_start_offset: start, diverging_epoch, ..*answer }));
        }
        self.note_position(cx, env, from, broker_epoch, told);
        Ok(())
    }

    /// A position that is not good counts, for the mutant that has it so.
    fn count_position(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        from: BrokerId,
        broker_epoch: i64,
        told: &ReplicaFetchPartition,
    ) {
        let replica = self.partitions.get_mut(&told.partition).expect("found");
        let end = replica.log.end_offset();
        let leader = replica.as_leader_mut().expect("found");
        let progress = leader.followers.get_mut(&from).expect("found");
        progress.told(cx.now, told.fetch_offset.min(end), told.log_start_offset, broker_epoch, end);
        self.raise_high_watermark(cx, env, told.partition);
    }

    /// A position that is good: it counts for the high watermark and the ISR, and the partition is awake in the
    /// session.
    fn note_position(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        from: BrokerId,
        broker_epoch: i64,
        told: &ReplicaFetchPartition,
    ) {
        let id = told.partition;
        let replica = self.partitions.get_mut(&id).expect("found");
        let (start, end, high_watermark) =
            (replica.log.start_offset(), replica.log.end_offset(), replica.high_watermark);
        let leader = replica.as_leader_mut().expect("found");
        let progress = leader.followers.get_mut(&from).expect("found");
        progress.told(cx.now, told.fetch_offset, told.log_start_offset, broker_epoch, end);
        progress.is_listening = true;
        let peer = self.peers.get_mut(&from).expect("just opened");
        let slot = Slot {
            offset: told.fetch_offset,
            max_bytes: told.max_bytes,
            // Nothing was told at this position yet: the first answer tells.
            told_high_watermark: -1,
            told_log_start: told.log_start_offset,
        };
        peer.awake.insert(id, slot);
        if told.fetch_offset < end {
            peer.ready.insert(id);
        }
        if high_watermark > 0 || start > told.log_start_offset {
            peer.news.insert(id);
        }
        self.raise_high_watermark(cx, env, id);
        self.finish_deleted(cx, env, id);
        self.maybe_expand_isr(cx, env, id);
    }

    /// Partitions that a follower is told nothing about until it tells its position again.
    pub(super) fn sleep_followers<'a>(&mut self, id: PartitionId, followers: impl Iterator<Item = &'a BrokerId>) {
        for follower in followers {
            self.sleep_follower(id, *follower);
        }
    }

    fn sleep_follower(&mut self, id: PartitionId, follower: BrokerId) {
        if let Some(peer) = self.peers.get_mut(&follower) {
            peer.sleep(id);
        }
        let leader = self.partitions.get_mut(&id).and_then(|replica| replica.as_leader_mut());
        if let Some(progress) = leader.and_then(|leader| leader.followers.get_mut(&follower)) {
            progress.is_listening = false;
        }
    }

    fn close_session(&mut self, follower: BrokerId) {
        let Some(peer) = self.peers.remove(&follower) else { return };
        for id in peer.awake.into_keys() {
            self.sleep_follower(id, follower);
        }
        if let Some(parked) = peer.parked {
            self.timers.cancel(parked.deadline, Timer::PeerFetch(follower));
        }
    }

    /// A leader's log start has moved: followers are told, and by telling their position say that theirs has.
    pub(in crate::engine) fn tell_log_start(&mut self, id: PartitionId) {
        let Some(leader) = self.partitions.get(&id).and_then(|replica| replica.as_leader()) else { return };
        for follower in leader.followers.keys() {
            if let Some(peer) = self.peers.get_mut(follower)
                && peer.has_urgent_news(id)
            {
                self.touched_peers.insert(*follower);
            }
        }
    }

    /// A follower's parked fetch has waited long enough: it is told what there is.
    pub(super) fn expire_peer_fetch(&mut self, cx: &mut Ctx, follower: BrokerId) {
        let is_due = |peer: &&mut PeerSession| peer.parked.as_ref().is_some_and(|parked| parked.deadline <= cx.now);
        if self.peers.get_mut(&follower).filter(is_due).is_some() {
            self.answer_peer(cx, follower);
        }
    }

    /// Followers with something to tell are answered.
    pub(super) fn serve_touched_peers(&mut self, cx: &mut Ctx) {
        for follower in std::mem::take(&mut self.touched_peers) {
            if self.peers.get(&follower).is_some_and(|peer| peer.parked.is_some() && peer.has_something()) {
                self.answer_peer(cx, follower);
            }
        }
    }

    fn answer_peer(&mut self, cx: &mut Ctx, follower: BrokerId) {
        let Some(mut peer) = self.peers.remove(&follower) else { return };
        let Some(parked) = peer.parked.take() else {
            self.peers.insert(follower, peer);
            return;
        };
        self.timers.cancel(parked.deadline, Timer::PeerFetch(follower));
        peer.is_urgent = false;
        let mut answers = std::mem::take(&mut peer.answers);
        self.give_records(cx, follower, &mut peer, parked.max_bytes, &mut answers);
        for id in std::mem::take(&mut peer.news) {
            let (Some(replica), Some(slot)) = (self.partitions.get(&id), peer.awake.get_mut(&id)) else { continue };
            let (high_watermark, log_start_offset) = (replica.high_watermark, replica.log.start_offset());
            if slot.told_high_watermark != high_watermark || slot.told_log_start != log_start_offset {
                slot.told_high_watermark = high_watermark;
                slot.told_log_start = log_start_offset;
                answers.push(ReplicaFetchAnswer {
                    partition: id,
                    error: ErrorCode::None,
                    high_watermark,
                    log_start_offset,
                    batches: Vec::new(),
                    diverging_epoch: None,
                    current_leader: None,
                });
            }
        }
        let response = ReplicaFetchResponse { error: ErrorCode::None, session_id: peer.id, partitions: answers };
        self.peers.insert(follower, peer);
        Rpc::respond(cx, follower, parked.correlation_id, PeerResponse::ReplicaFetch(response));
    }

    /// Records for the partitions that have some, in turns, up to the limit; the first always gets a whole batch.
    fn give_records(
        &mut self,
        cx: &mut Ctx,
        follower: BrokerId,
        peer: &mut PeerSession,
        max_bytes: usize,
        answers: &mut Vec<ReplicaFetchAnswer>,
    ) {
        let mut left = max_bytes;
        let mut has_given = false;
        for id in in_turns(&peer.ready, peer.next_turn) {
            if has_given && left == 0 {
                peer.next_turn = Some(id);
                return;
            }
            let Some(slot) = peer.awake.get(&id) else { continue };
            let Some(replica) = self.partitions.get(&id) else { continue };
            let limit = left.min(usize::try_from(slot.max_bytes).unwrap_or(usize::MAX));
            let log: &dyn LogRead = cx.log();
            let read = replica.log.read(log, slot.offset, limit, replica.log.end_offset());
            let (error, batches) = match read {
                Ok(batches) => (ErrorCode::None, batches),
                Err(error) => (Self::storage_failed(cx, &error), Vec::new()),
            };
            let size: usize = batches.iter().map(|batch| batch.size()).sum();
            if has_given && size > left {
                peer.next_turn = Some(id);
                return;
            }
            has_given |= size > 0;
            left = left.saturating_sub(size);
            answers.push(ReplicaFetchAnswer {
                partition: id,
                error,
                high_watermark: replica.high_watermark,
                log_start_offset: replica.log.start_offset(),
                batches,
                diverging_epoch: None,
                current_leader: None,
            });
            peer.sleep(id);
            let leader = self.partitions.get_mut(&id).and_then(|replica| replica.as_leader_mut());
            if let Some(progress) = leader.and_then(|leader| leader.followers.get_mut(&follower)) {
                progress.is_listening = false;
            }
        }
        peer.next_turn = None;
    }
}

/// A set's members, beginning with the one whose turn it is.
fn in_turns(set: &BTreeSet<PartitionId>, next: Option<PartitionId>) -> Vec<PartitionId> {
    match next {
        None => set.iter().copied().collect(),
        Some(next) => set.range(next..).chain(set.range(..next)).copied().collect(),
    }
}

fn failed(env: &ReplicaEnv, id: PartitionId, error: ErrorCode) -> ReplicaFetchAnswer {
    let is_moved = matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
    ReplicaFetchAnswer {
        partition: id,
        error,
        high_watermark: -1,
        log_start_offset: -1,
        batches: Vec::new(),
        diverging_epoch: None,
        current_leader: leader_hint(env.image, id).filter(|_| is_moved),
    }
}

//! Fetch (key 1, versions 4 to 18): records for consumers. Followers use a message of their own
//! (`replica/peer_fetch.rs`).
//!
//! Invariants: a consumer sees nothing at or above the high watermark (of the last stable offset, if it reads committed
//! transactions only); the first partition with records gets a whole batch at least; batches are given by reference.
//!
//! Deviations from Kafka: a batch is never cut; replicas near the client are offered whenever client and brokers have
//! racks, because there is one selector (`RackAwareReplicaSelector`) and no setting for it; a `replica_id` is not
//! believed: whoever speaks this protocol is a consumer.

use crate::engine::controller::image::MetadataImage;
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::mutant::Mutant;
use crate::engine::replica::partition::Replica;
use crate::engine::replica::session::{FetchParams, FetchSet, FetchSlot, ParkedFetch, Reader, Source};
use crate::engine::replica::{Access, ReplicaEnv, Replicas, leader_hint, resolve_topic};
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::fetch::{AbortedTransaction, FetchReply, FetchReplyPartition, FetchReplyTopic, NodeEndpoint};
use crate::protocol::ids::{BrokerId, ConnectionId, PartitionId, TopicId};
use kafka_protocol::messages::FetchRequest;
use std::collections::BTreeMap;

/// Answers a fetch, at once or when there is enough.
pub(in crate::engine) fn handle(
    replicas: &mut Replicas,
    cx: &mut Ctx,
    env: &ReplicaEnv,
    token: RequestToken,
    connection: ConnectionId,
    header: &RequestHeader,
    request: &FetchRequest,
) {
    let source = match replicas.fetch_source(cx, env, header.version, request) {
        Ok(source) => source,
        Err(error) => {
            let reply = FetchReply { error, session_id: 0, topics: Vec::new(), node_endpoints: Vec::new() };
            cx.respond(token, Response::Fetch(reply));
            return;
        }
    };
    let limit = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
    let most = usize::try_from(env.config.fetch_max_bytes).unwrap_or(usize::MAX);
    let params = FetchParams {
        version: header.version,
        min_bytes: limit(request.min_bytes),
        max_bytes: limit(request.max_bytes).min(most),
        read_committed: request.isolation_level == 1,
        rack: (!request.rack_id.is_empty()).then(|| request.rack_id.to_string()),
    };
    let wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
    let deadline = cx.now.plus_millis(wait_ms);
    let fetch = ParkedFetch { token, connection, params, source, deadline };
    replicas.attempt_fetch(cx, env, fetch, wait_ms == 0);
}

/// One partition of a draft.
struct Read {
    slot: u32,
    answer: FetchReplyPartition,
    /// There may be records that the limit did not let in.
    is_held_back: bool,
}

/// What was read for an answer, before it is known whether it is enough.
#[derive(Default)]
struct Draft {
    answers: Vec<Read>,
    bytes: usize,
    /// Something that does not wait: an error, a divergence, a nearer replica.
    is_urgent: bool,
    /// Whose turn it is next, if not all had theirs.
    next_turn: u32,
}

impl Replicas {
    /// Answers a fetch if there is enough, or if it has to be answered now; else it waits.
    pub(in crate::engine) fn attempt_fetch(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        mut fetch: ParkedFetch,
        is_last: bool,
    ) {
        let (session_id, is_full, mut set) = match &mut fetch.source {
            Source::Request(set) => (0, true, std::mem::take(set)),
            Source::Session { id, is_full } => match self.client_session(*id) {
                Some(session) => (*id, *is_full, std::mem::take(&mut session.set)),
                None => {
                    let error = ErrorCode::FetchSessionIdNotFound;
                    let reply = FetchReply { error, session_id: 0, topics: Vec::new(), node_endpoints: Vec::new() };
                    cx.respond(fetch.token, Response::Fetch(reply));
                    return;
                }
            },
        };
        let draft = self.read_set(cx, env, &fetch.params, &mut set, session_id, is_full);
        let is_enough = is_last || draft.is_urgent || draft.bytes >= fetch.params.min_bytes || set.is_empty();
        let reply = is_enough.then(|| reply_of(env.image, &mut set, draft, session_id, is_full));
        match &mut fetch.source {
            Source::Request(place) => *place = set,
            Source::Session { id, .. } => {
                if let Some(session) = self.client_session(*id) {
                    session.set = set;
                }
            }
        }
        match reply {
            Some((reply, bytes)) => {
                self.count_bytes_out(bytes);
                cx.respond(fetch.token, Response::Fetch(reply));
            }
            None => self.park_fetch(fetch),
        }
    }

    fn read_set(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        params: &FetchParams,
        set: &mut FetchSet,
        session_id: i32,
        is_full: bool,
    ) -> Draft {
        let mut draft = Draft::default();
        let mut has_turned = false;
        for index in if is_full { set.all() } else { set.all_dirty() } {
            let left = params.max_bytes.saturating_sub(draft.bytes);
            let is_over = draft.bytes > 0 && left == 0;
            if is_over && !has_turned {
                draft.next_turn = index;
                has_turned = true;
            }
            if is_over && !is_full {
                break;
            }
            let slot = set.slot_mut(index).expect("a dirty slot exists");
            let budget = Budget { left, is_first: draft.bytes == 0 };
            let (mut answer, watched) = self.read_slot(cx, env, params, slot, budget);
            slot.watched = watched;
            if session_id != 0
                && let Some(replica) = watched.and_then(|id| self.replica_mut(id))
            {
                replica.readers.insert(Reader::Session(session_id, index));
            }
            let is_too_much = answer.records_size() > left && draft.bytes > 0;
            if is_too_much {
                answer.records.clear();
                if !has_turned {
                    draft.next_turn = index;
                    has_turned = true;
                }
            }
            draft.bytes += answer.records_size();
            draft.is_urgent |= is_urgent(&answer);
            let is_held_back = is_over || is_too_much;
            if !is_held_back && !has_news(slot, &answer) {
                set.dirty.remove(&index);
            }
            draft.answers.push(Read { slot: index, answer, is_held_back });
        }
        draft
    }

    /// What one partition has to say, and the replica that says it.
    fn read_slot(
        &self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        params: &FetchParams,
        slot: &FetchSlot,
        budget: Budget,
    ) -> (FetchReplyPartition, Option<PartitionId>) {
        let number = slot.partition;
        let failed = |error| FetchReplyPartition::failed(number, error);
        let id = match resolve_topic(env.image, &slot.topic_name, slot.topic_id) {
            Ok(topic) => PartitionId::new(topic, number),
            Err(error) => return (failed(error), None),
        };
        // From version 11 on a client may be told of a replica near it, so it may ask one
        // (`FetchParams.fetchOnlyLeader`).
        let access = if params.version >= 11 { Access::AnyReplica } else { Access::Leader };
        let answer = match self.find(env, id, slot.current_leader_epoch, access) {
            Ok(replica) => read_replica(cx, env, replica, params, slot, budget),
            Err(error) => {
                let is_moved = matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
                let current_leader = leader_hint(env.image, id).filter(|_| is_moved && params.version >= 12);
                FetchReplyPartition { current_leader, ..failed(error) }
            }
        };
        (answer, Some(id))
    }
}

/// How much may be read.
#[derive(Debug, Clone, Copy)]
struct Budget {
    left: usize,
    is_first: bool,
}

fn read_replica(
    cx: &mut Ctx,
    env: &ReplicaEnv,
    replica: &Replica,
    params: &FetchParams,
    slot: &FetchSlot,
    budget: Budget,
) -> FetchReplyPartition {
    let (start, end, high_watermark) = (replica.log.start_offset(), replica.log.end_offset(), replica.high_watermark);
    let mut answer = FetchReplyPartition {
        high_watermark,
        last_stable_offset: replica.log.last_stable_offset(high_watermark),
        log_start_offset: start,
        ..FetchReplyPartition::failed(slot.partition, ErrorCode::None)
    };
    if let Some(diverging) = replica.log.diverging(slot.last_fetched_epoch, slot.offset) {
        if diverging.end_offset < 0 {
            return FetchReplyPartition::failed(slot.partition, ErrorCode::OffsetOutOfRange);
        }
        answer.diverging_epoch = Some(diverging);
        return answer;
    }
    if slot.offset < start || slot.offset > end {
        // A follower that is behind does not know whether the offset exists (KIP-392).
        let may_come = !replica.is_leader() && slot.offset > end;
        let error = if may_come { ErrorCode::OffsetNotAvailable } else { ErrorCode::OffsetOutOfRange };
        return FetchReplyPartition::failed(slot.partition, error);
    }
    if !replica.is_leader() && slot.offset > high_watermark {
        return FetchReplyPartition::failed(slot.partition, ErrorCode::OffsetNotAvailable);
    }
    if let Some(nearer) = nearer_replica(env, replica, params, slot.offset) {
        answer.preferred_read_replica = Some(nearer);
        return answer;
    }
    let limit = match cx.has(Mutant::FollowerServesBeyondHighWatermark) && !replica.is_leader() {
        true => end,
        false => replica.readable_end(params.read_committed && !cx.has(Mutant::StableBeyondOpenTransaction)),
    };
    let max_bytes = budget.left.min(usize::try_from(slot.max_bytes).unwrap_or(0));
    if slot.offset >= limit || (budget.left == 0 && !budget.is_first) {
        return answer;
    }
    match replica.log.read(cx.log(), slot.offset, max_bytes, limit) {
        Ok(records) => answer.records = records,
        Err(error) => return FetchReplyPartition::failed(slot.partition, Replicas::storage_failed(cx, &error)),
    }
    if params.read_committed {
        let upper = answer.records.last().map_or(slot.offset, |batch| batch.header.next_offset());
        let aborted = replica.log.aborted_transactions(slot.offset, upper).into_iter();
        answer.aborted = Some(
            aborted
                .map(|aborted| AbortedTransaction {
                    producer_id: aborted.producer_id,
                    first_offset: aborted.first_offset,
                })
                .collect(),
        );
    }
    answer
}

/// A replica in the client's rack, if the leader is in another: in sync, with the offset, and the furthest of several
/// (KIP-392).
fn nearer_replica(env: &ReplicaEnv, replica: &Replica, params: &FetchParams, offset: i64) -> Option<BrokerId> {
    let rack = params.rack.as_ref()?;
    let leader = replica.as_leader()?;
    let is_near =
        |broker: BrokerId| env.image.brokers.get(&broker).is_some_and(|image| image.rack.as_ref() == Some(rack));
    if is_near(env.broker) {
        return None;
    }
    let near = leader.followers.iter().filter(|(broker, progress)| {
        is_near(**broker)
            && leader.isr.contains(broker)
            && env.image.is_active(**broker)
            && progress.log_start <= offset
            && progress.offset.is_some_and(|end| end >= offset)
    });
    near.max_by_key(|(_, progress)| progress.offset).map(|(broker, _)| *broker)
}

fn is_urgent(answer: &FetchReplyPartition) -> bool {
    !answer.error.is_none() || answer.diverging_epoch.is_some() || answer.preferred_read_replica.is_some()
}

/// Whether a session's client has to be told (`CachedPartition.maybeUpdateResponseData`).
fn has_news(slot: &FetchSlot, answer: &FetchReplyPartition) -> bool {
    !answer.records.is_empty()
        || is_urgent(answer)
        || slot.told_high_watermark != answer.high_watermark
        || slot.told_log_start != answer.log_start_offset
}

/// The answer of a draft, with the bytes of its records.
fn reply_of(
    image: &MetadataImage,
    set: &mut FetchSet,
    draft: Draft,
    session_id: i32,
    is_full: bool,
) -> (FetchReply, usize) {
    let mut reply = FetchReply { error: ErrorCode::None, session_id, topics: Vec::new(), node_endpoints: Vec::new() };
    let mut places: BTreeMap<(String, TopicId), usize> = BTreeMap::new();
    set.next_turn = draft.next_turn;
    for Read { slot: index, answer, is_held_back } in draft.answers {
        let slot = set.slot_mut(index).expect("a slot that was read");
        if !is_full && !has_news(slot, &answer) {
            continue;
        }
        // After an error the next answer tells everything again.
        slot.told_high_watermark = if answer.error.is_none() { answer.high_watermark } else { -1 };
        slot.told_log_start = answer.log_start_offset;
        let key = (slot.topic_name.to_string(), TopicId(slot.topic_id));
        // With records in the answer the client will tell a new position; without, there is nothing more until somebody
        // touches it.
        if !is_held_back && !is_urgent(&answer) && answer.records.is_empty() {
            set.dirty.remove(&index);
        }
        if let Some(hint) = answer.current_leader {
            name_endpoint(&mut reply, image, hint.broker);
        }
        let place = *places.entry(key.clone()).or_insert_with(|| {
            reply.topics.push(FetchReplyTopic { name: key.0, id: key.1, partitions: Vec::new() });
            reply.topics.len() - 1
        });
        reply.topics[place].partitions.push(answer);
    }
    (reply, draft.bytes)
}

/// Adds a leader's address, once (KIP-951).
fn name_endpoint(reply: &mut FetchReply, image: &MetadataImage, leader: Option<BrokerId>) {
    let Some(broker) = leader else { return };
    let Some(found) = image.brokers.get(&broker) else { return };
    if reply.node_endpoints.iter().all(|endpoint| endpoint.broker != broker) {
        let (host, port, rack) = (found.host.clone(), found.port, found.rack.clone());
        reply.node_endpoints.push(NodeEndpoint { broker, host, port, rack });
    }
}

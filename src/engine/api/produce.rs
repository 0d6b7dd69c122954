//! Produce (key 0, versions 3 to 13).
//!
//! Invariants: with acks=all an answer without error means that every in-sync replica has persisted the records, and
//! that there were enough of them before and after (KIP-966: never counted below `min.insync.replicas`); with acks=1,
//! that this broker has. A batch that was written before by the same idempotent producer is answered with its first
//! offset, and waits like a new one. Records are not looked into here.
//!
//! Deviations from Kafka: with acks=1 a request waits for the own disk however long its timeout is; a batch that follows one of the same
//! producer which was just refused for a passing reason is refused for that reason, and not as out of order (`replica/refused.rs`).

use crate::engine::io::{Ctx, Effect, RequestToken};
use crate::engine::log::{AppendError, RecordError};
use crate::engine::mutant::Mutant;
use crate::engine::observe::EventKind;
use crate::engine::replica::purgatory::{Draft, Place, WaitFor, set_error};
use crate::engine::replica::verified::{self, Guard, Verified, told_of_produce};
use crate::engine::replica::{Access, ReplicaEnv, Replicas, resolve_topic};
use crate::protocol::batch::Batch;
use crate::protocol::codec::RequestHeader;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{ConnectionId, PartitionId, TopicId};
use bytes::Bytes;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;

/// The number of the zstd codec, which versions below 7 do not know.
const ZSTD: i16 = 4;
const ZSTD_FROM: i16 = 7;

/// Writes records, and answers when they are as safe as was asked for.
pub(in crate::engine) fn handle(
    replicas: &mut Replicas,
    cx: &mut Ctx,
    env: &ReplicaEnv,
    (token, connection): (RequestToken, ConnectionId),
    header: &RequestHeader,
    request: ProduceRequest,
    verified: &Verified,
) {
    let acks = request.acks;
    let mut draft = Draft::Produce(ProduceResponse::default());
    let mut places = Vec::new();
    let mut has_failed = false;
    for (topic_at, topic) in request.topic_data.into_iter().enumerate() {
        let found = resolve_topic(env.image, &topic.name, topic.topic_id);
        let shell = TopicProduceResponse::default().with_name(topic.name).with_topic_id(topic.topic_id);
        add_topic(&mut draft, shell);
        for (partition_at, data) in topic.partition_data.into_iter().enumerate() {
            let at = (topic_at, partition_at);
            let id = PartitionId::new(found.unwrap_or(TopicId::NONE), data.index);
            let outcome = found.map_err(Refusal::of).and_then(|_| {
                let guard = verified.get(&id).copied().transpose();
                let guard = guard.map_err(|error| Refusal::of(told_of_produce(error, header.version)))?;
                write(replicas, cx, env, id, &data, (acks, header.version), guard)
            });
            let place = fill(&mut draft, at, env, id, &data, acks, outcome);
            has_failed |= place.is_err();
            places.extend(place.ok().flatten());
        }
    }
    if acks == 0 {
        cx.push(Effect::NoResponse { token });
        if has_failed {
            // The only way to tell a client that does not listen (KafkaApis.handleProduceRequest).
            cx.push(Effect::CloseConnection(connection));
        }
        return;
    }
    let deadline = (acks != 1).then(|| cx.now.plus_millis(u64::try_from(request.timeout_ms).unwrap_or(0)));
    let waits: Vec<PartitionId> = places.iter().map(|place: &Place| place.partition).collect();
    if replicas.park(cx, token, connection, deadline, draft, places).is_some() {
        for id in waits {
            // What was written before may be safe already.
            replicas.finish_persisted(cx, env, id);
            replicas.finish_replicated(cx, env, id);
        }
    }
}

/// Why records were not written.
struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    records: Vec<BatchIndexAndErrorMessage>,
}

impl Refusal {
    fn of(code: ErrorCode) -> Refusal {
        Refusal { code, message: None, records: Vec::new() }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Refusal {
        let one = |record: RecordError| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(record.batch_index)
                .with_batch_index_error_message(Some(StrBytes::from_string(record.message)))
        };
        let records = error.record_errors.into_iter().map(one).collect();
        Refusal { code: error.code, message: Some(error.message), records }
    }
}

/// What was written, or had been before.
struct Written {
    first_offset: i64,
    next_offset: i64,
    log_append_time_ms: i64,
    log_start: i64,
    is_duplicate: bool,
}

fn write(
    replicas: &mut Replicas,
    cx: &mut Ctx,
    env: &ReplicaEnv,
    id: PartitionId,
    data: &PartitionProduceData,
    (acks, version): (i16, i16),
    guard: Option<Guard>,
) -> Result<Written, Refusal> {
    if !(-1..=1).contains(&acks) {
        return Err(Refusal::of(ErrorCode::InvalidRequiredAcks));
    }
    if let Err(code) = may_write(replicas, cx, env, id, acks) {
        note_refused(replicas, cx, id, data, code);
        return Err(Refusal::of(code));
    }
    let replica = replicas.replica_mut(id).expect("just found");
    if replica.is_internal {
        let message = Some(format!("Cannot append to internal topic {}", replica.topic));
        return Err(Refusal { message, ..Refusal::of(ErrorCode::InvalidTopicException) });
    }
    let batches = batches_of(data.records.as_ref(), version)?;
    if let Some(code) = batches.first().and_then(|batch| replicas.refused.reason(cx.now, id, &batch.header)) {
        return Err(Refusal::of(code));
    }
    let size: usize = batches.iter().map(Batch::size).sum();
    let first = batches.first().map(|batch| batch.header);
    let replica = replicas.replica_mut(id).expect("just found");
    let transaction = first.filter(|header| header.is_transactional());
    if let Some(header) = transaction.filter(|_| verified::is_enabled(env)) {
        replica.check_verified(&header, guard).map_err(Refusal::of)?;
    }
    let old_end = replica.log.end_offset();
    let epoch = replica.leader_epoch;
    let appended = replica.log.append_as_leader(cx, batches, epoch, &replica.config, true).map_err(Refusal::from)?;
    let written = Written {
        first_offset: appended.first_offset,
        next_offset: appended.last_offset + 1,
        log_append_time_ms: appended.log_append_time_ms.unwrap_or(-1),
        log_start: replica.log.start_offset(),
        is_duplicate: appended.duplicate,
    };
    if let Some(header) = transaction {
        replica.end_verifying(header.producer_id);
    }
    if let Some(header) = first {
        replicas.refused.taken(id, &header);
    }
    if !appended.duplicate {
        replicas.count_bytes_in(size);
        replicas.leader_appended(cx, env, id, old_end);
    }
    Ok(written)
}

/// Whether there is a leader here and, for acks=all, enough replicas in sync.
fn may_write(
    replicas: &mut Replicas,
    cx: &mut Ctx,
    env: &ReplicaEnv,
    id: PartitionId,
    acks: i16,
) -> Result<(), ErrorCode> {
    let replica = replicas.find(env, id, -1, Access::Leader)?;
    let leader = replica.as_leader().expect("a leader was asked for");
    if acks == -1 && leader.is_under_min_isr(&replica.config) {
        tell_not_enough_replicas(replicas, cx, id);
        return Err(ErrorCode::NotEnoughReplicas);
    }
    Ok(())
}

fn note_refused(replicas: &mut Replicas, cx: &Ctx, id: PartitionId, data: &PartitionProduceData, code: ErrorCode) {
    let batches = data.records.as_ref().and_then(|records| Batch::parse_all(records).ok());
    if let Some(batch) = batches.as_ref().and_then(|batches| batches.first()) {
        replicas.refused.note(cx.now, id, &batch.header, code);
    }
}

/// The batches of a partition, as far as the version of the request allows them (`ProduceRequest.validateRecords`).
fn batches_of(records: Option<&Bytes>, version: i16) -> Result<Vec<Batch>, Refusal> {
    let records = records.ok_or_else(|| Refusal::of(ErrorCode::InvalidRecord))?;
    let batches = Batch::parse_all(records)
        .map_err(|error| Refusal { message: Some(error.to_string()), ..Refusal::of(error.code()) })?;
    match batches.as_slice() {
        [batch] if batch.header.compression() == ZSTD && version < ZSTD_FROM => {
            Err(Refusal::of(ErrorCode::UnsupportedCompressionType))
        }
        // How many there are is the log's to judge.
        _ => Ok(batches),
    }
}

/// Told once until enough replicas are in sync again: a producer may try a thousand times a second.
fn tell_not_enough_replicas(replicas: &mut Replicas, cx: &mut Ctx, id: PartitionId) {
    let leader = replicas.replica_mut(id).and_then(|replica| replica.as_leader_mut()).expect("just found");
    if !std::mem::replace(&mut leader.told_not_enough_replicas, true) {
        cx.emit(EventKind::NotEnoughReplicas { partition: id });
    }
}

fn add_topic(draft: &mut Draft, topic: TopicProduceResponse) {
    if let Draft::Produce(response) = draft {
        response.responses.push(topic);
    }
}

/// Notes a partition's outcome; what it waits for, if it waits.
fn fill(
    draft: &mut Draft,
    at: (usize, usize),
    env: &ReplicaEnv,
    id: PartitionId,
    data: &PartitionProduceData,
    acks: i16,
    outcome: Result<Written, Refusal>,
) -> Result<Option<Place>, ()> {
    let mut answer = PartitionProduceResponse::default()
        .with_index(data.index)
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1);
    let mut refused = None;
    let mut place = None;
    match outcome {
        Ok(written) => {
            answer.base_offset = written.first_offset;
            answer.log_append_time_ms = written.log_append_time_ms;
            answer.log_start_offset = written.log_start;
            let is_leader_enough = acks == 1 || env.config.has(Mutant::AckBeforeIsr);
            let wait_for = if is_leader_enough { WaitFor::Persisted } else { WaitFor::Replicated };
            let waits = !(written.is_duplicate && env.config.has(Mutant::DuplicateAckedAtOnce));
            place = (acks != 0 && waits).then_some(Place {
                at,
                partition: id,
                offset: written.next_offset,
                wait_for,
                is_done: false,
            });
        }
        Err(refusal) => {
            answer.error_message = refusal.message.map(StrBytes::from_string);
            answer.record_errors = refusal.records;
            refused = Some(refusal.code);
        }
    }
    if let Draft::Produce(response) = draft {
        response.responses[at.0].partition_responses.push(answer);
    }
    match refused {
        Some(code) => {
            set_error(draft, at, code, env.image, id);
            Err(())
        }
        None => Ok(place),
    }
}

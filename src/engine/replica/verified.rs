//! What a leader knows of transactions that are about to begin in its partition: between the question to their
//! coordinator and the first record (KIP-890; Kafka's `VerificationGuard` and `VerificationStateEntry`).
//!
//! Invariant: the first record of a transaction is taken only under the guard that was begun before its coordinator was
//! asked, and a marker in between ends that guard: so that no record comes after the marker of its own transaction.
//!
//! Guards are not written down: a leader that dies has answered nobody.

use super::partition::Replica;
use super::{Access, ReplicaEnv, Replicas, resolve_topic};
use crate::engine::controller::record::ConfigResource;
use crate::engine::txn::verification::Question;
use crate::protocol::batch::{Batch, BatchHeader};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::PartitionId;
use kafka_protocol::messages::ProduceRequest;
use std::collections::BTreeMap;
use std::sync::Arc;

const ENABLE: &str = "transaction.partition.verification.enable";
/// From this version on Produce takes partitions into the transaction.
pub(in crate::engine) const PRODUCE_ADDS_FROM: i16 = 12;

/// A place in the time of a partition: see the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Guard {
    number: u64,
    leader_epoch: i32,
    /// The client speaks version 2.
    adds: bool,
}

/// What coordinators said of partitions, with the guards that were begun before they were asked.
pub(in crate::engine) type Verified = BTreeMap<PartitionId, Result<Guard, ErrorCode>>;

/// The guards of a replica, by producer: the epoch it writes in, and the guard's number.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Guards {
    open: BTreeMap<i64, (i16, u64)>,
    last: u64,
}

/// Whether leaders ask (`transaction.partition.verification.enable`).
pub(in crate::engine) fn is_enabled(env: &ReplicaEnv) -> bool {
    let set = env.image.config(&ConfigResource::Cluster, ENABLE).map(ToString::to_string);
    let set = set.or_else(|| env.config.properties.get(ENABLE).cloned());
    set.is_none_or(|value| !value.eq_ignore_ascii_case("false"))
}

impl Replica {
    /// Begins to ask for a producer: the guard under which it may write after the answer.
    pub fn begin_verifying(&mut self, (producer_id, epoch): (i64, i16), adds: bool) -> Guard {
        let known = self.guards.open.get(&producer_id).copied().filter(|(known, _)| *known == epoch);
        let number = known.map_or(self.guards.last + 1, |(_, number)| number);
        self.guards.last = self.guards.last.max(number);
        self.guards.open.insert(producer_id, (epoch, number));
        Guard { number, leader_epoch: self.leader_epoch, adds }
    }

    /// Whether a producer's batch of a transaction may be written.
    ///
    /// # Errors
    /// `INVALID_TXN_STATE` if nobody vouched for it, `NOT_LEADER_OR_FOLLOWER` if another epoch has begun since somebody
    /// did, `OUT_OF_ORDER_SEQUENCE_NUMBER` for a client of version 2 that is new here and does not begin with 0.
    pub fn check_verified(&self, header: &BatchHeader, guard: Option<Guard>) -> Result<(), ErrorCode> {
        let (producer_id, epoch) = (header.producer_id, header.producer_epoch);
        if self.log.has_open_transaction(producer_id, epoch) || self.log.is_duplicate(header) {
            return Ok(());
        }
        let guard = guard.ok_or(ErrorCode::InvalidTxnState)?;
        if guard.leader_epoch != self.leader_epoch {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if self.guards.open.get(&producer_id) != Some(&(epoch, guard.number)) {
            return Err(ErrorCode::InvalidTxnState);
        }
        if guard.adds && header.base_sequence > 0 && !self.log.knows_producer(producer_id) {
            return Err(ErrorCode::OutOfOrderSequenceNumber);
        }
        Ok(())
    }

    /// The producer has begun its transaction, or a marker has come: no guard holds any longer.
    pub fn end_verifying(&mut self, producer_id: i64) {
        self.guards.open.remove(&producer_id);
    }
}

impl Replicas {
    /// Whether a producer's offsets may be written to a partition of the offsets' topic; they begin its transaction there
    /// if none is open.
    ///
    /// # Errors
    /// As [`Replica::check_verified`].
    pub(in crate::engine) fn check_offsets_verified(
        &mut self,
        id: PartitionId,
        (producer_id, epoch): (i64, i16),
        guard: Option<Guard>,
    ) -> Result<(), ErrorCode> {
        let replica = self.replica_mut(id).ok_or(ErrorCode::NotCoordinator)?;
        if replica.log.has_open_transaction(producer_id, epoch) {
            return Ok(());
        }
        let guard = guard.ok_or(ErrorCode::InvalidTxnState)?;
        if guard.leader_epoch != replica.leader_epoch {
            return Err(ErrorCode::NotCoordinator);
        }
        if replica.guards.open.get(&producer_id) == Some(&(epoch, guard.number)) {
            Ok(())
        } else {
            Err(ErrorCode::InvalidTxnState)
        }
    }

    /// What a coordinator has to be asked before a Produce is carried out, if anything.
    pub(in crate::engine) fn question_of(
        &mut self,
        env: &ReplicaEnv,
        version: i16,
        request: &ProduceRequest,
    ) -> Option<Question> {
        let id = request.transactional_id.as_ref()?;
        if !is_enabled(env) {
            return None;
        }
        let adds = version >= PRODUCE_ADDS_FROM;
        let mut producer = None;
        let mut partitions = Vec::new();
        for topic in &request.topic_data {
            let Ok(topic_id) = resolve_topic(env.image, &topic.name, topic.topic_id) else { continue };
            for data in &topic.partition_data {
                let partition = PartitionId::new(topic_id, data.index);
                let Some(header) = first_header(data.records.as_ref()) else { continue };
                let of = (header.producer_id, header.producer_epoch);
                if !header.is_transactional() || self.find(env, partition, -1, Access::Leader).is_err() {
                    continue;
                }
                let replica = self.replica_mut(partition).expect("just found");
                if replica.log.has_open_transaction(of.0, of.1) || *producer.get_or_insert(of) != of {
                    // A second producer in one request is refused when it comes to its append.
                    continue;
                }
                let guard = replica.begin_verifying(of, adds);
                partitions.push(((Arc::clone(&replica.topic), data.index), partition, guard));
            }
        }
        let producer = producer.filter(|_| !partitions.is_empty())?;
        Some(Question { id: Arc::from(id.as_str()), producer, adds, partitions })
    }

    /// Takes guards anew before a question is put again, as Kafka does (`ReplicaManager.handleProduceAppend`): while the
    /// coordinator was busy, the marker of the transaction before may have ended the ones there were. The answer that is
    /// still to come is the one that counts, so that these hold as those did.
    pub(in crate::engine) fn renew_guards(&mut self, question: &mut Question) {
        for (_, id, guard) in &mut question.partitions {
            if let Some(replica) = self.replica_mut(*id).filter(|replica| replica.is_leader()) {
                *guard = replica.begin_verifying(question.producer, question.adds);
            }
        }
    }

    /// What a coordinator has to be asked for one partition of the offsets' topic, which the coordinator of groups writes to.
    pub(in crate::engine) fn question_of_offsets(
        &mut self,
        env: &ReplicaEnv,
        id: PartitionId,
        transactional_id: &str,
        producer: (i64, i16),
        adds: bool,
    ) -> Option<Question> {
        if !is_enabled(env) || self.find(env, id, -1, Access::Leader).is_err() {
            return None;
        }
        let replica = self.replica_mut(id).expect("just found");
        if replica.log.has_open_transaction(producer.0, producer.1) {
            return None;
        }
        let guard = replica.begin_verifying(producer, adds);
        let partitions = vec![((Arc::clone(&replica.topic), id.partition), id, guard)];
        Some(Question { id: Arc::from(transactional_id), producer, adds, partitions })
    }
}

fn first_header(records: Option<&bytes::Bytes>) -> Option<BatchHeader> {
    Batch::parse_all(records?).ok()?.first().map(|batch| batch.header)
}

/// What a producer is told when its coordinator did not vouch for it (`ReplicaManager.handleProduceAppend`).
pub(in crate::engine) fn told_of_produce(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        // Versions before 11 do not know it.
        ErrorCode::TransactionAbortable if version < 11 => ErrorCode::InvalidTxnState,
        ErrorCode::ConcurrentTransactions if version >= PRODUCE_ADDS_FROM => error,
        ErrorCode::ConcurrentTransactions
        | ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas,
        error => error,
    }
}

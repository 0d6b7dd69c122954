//! A client that is in no group and commits offsets in a group's name at random: plainly, within transactions that commit or abort, and it deletes
//! them. Nothing is promised of what stays; but the coordinator has to have it as its log says, whatever overtook what.

use super::LOOSE_GROUP;
use crate::client::member::Position;
use crate::client::metadata::{TopicPartition, topic_name};
use crate::client::transaction::{GroupOffsets, Transaction, TransactionOptions, TransactionalProducer};
use crate::client::{Answer, Call, Machine, Target, Turn};
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::codec::{Request, Response};
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::{FindCoordinatorRequest, GroupId, OffsetCommitRequest, OffsetDeleteRequest};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// After this long without an answer a client asks again, in milliseconds.
const REQUEST_TIMEOUT_MS: u64 = 1_500;
/// After this long an open transaction is aborted, in milliseconds.
const TRANSACTION_TIMEOUT_MS: i32 = 3_000;
/// Wait before a repetition, in milliseconds.
const RETRY_BACKOFF_MS: u64 = 50;
/// From one commit to the next, in milliseconds.
const PAUSE_MS_MAX: u64 = 40;
/// The largest offset.
const OFFSET_MAX: u64 = 1_000;

/// Commits and deletes plainly, one at a time.
#[derive(Debug, Clone, Default)]
struct Committer {
    coordinator: Option<BrokerId>,
    wanted: Option<Request>,
    /// The call that is under way, and whether it asks for the coordinator.
    call: Option<(u64, bool)>,
    last_call: u64,
    not_before_ms: u64,
    addresses: Vec<(BrokerId, String, u16)>,
}

impl Committer {
    fn turn(&mut self, now_ms: u64) -> Turn {
        let mut turn = Turn { addresses: std::mem::take(&mut self.addresses), ..Turn::default() };
        let Some(wanted) = self.wanted.as_ref().filter(|_| self.call.is_none()) else { return turn };
        if now_ms < self.not_before_ms {
            turn.wake(self.not_before_ms);
            return turn;
        }
        self.last_call += 1;
        let (to, request) = match self.coordinator {
            Some(coordinator) => (Target::Broker(coordinator), wanted.clone()),
            None => {
                let keys = vec![StrBytes::from_static_str(LOOSE_GROUP)];
                (Target::Any, Request::FindCoordinator(FindCoordinatorRequest::default().with_coordinator_keys(keys)))
            }
        };
        self.call = Some((self.last_call, self.coordinator.is_none()));
        let (id, timeout_ms) = (self.last_call, REQUEST_TIMEOUT_MS);
        turn.calls.push(Call { id, to, request, timeout_ms, expects_answer: true });
        turn
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        let Some((_, asks_for_coordinator)) = self.call.take_if(|(asked, _)| *asked == call) else { return };
        self.not_before_ms = now_ms + RETRY_BACKOFF_MS;
        match answer {
            Answer::Response(response) => match *response {
                Response::FindCoordinator(found) if asks_for_coordinator => {
                    let found = found.coordinators.into_iter().find(|found| found.error_code == 0);
                    if let Some(found) = found {
                        let broker = BrokerId(found.node_id.0);
                        self.addresses.push((broker, found.host.to_string(), u16::try_from(found.port).unwrap_or(0)));
                        self.coordinator = Some(broker);
                        self.not_before_ms = now_ms;
                    }
                }
                // Done or refused: the next one may go elsewhere.
                Response::OffsetCommit(done) => {
                    let mut parts = done.topics.iter().flat_map(|topic| &topic.partitions);
                    self.end(parts.all(|part| part.error_code == 0));
                }
                Response::OffsetDelete(done) => self.end(done.error_code == 0),
                _ => self.end(false),
            },
            Answer::Failed(_) => self.coordinator = None,
        }
    }

    fn end(&mut self, was_fine: bool) {
        self.wanted = None;
        if !was_fine {
            self.coordinator = None;
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Staging {
    topic: String,
    partitions: i32,
    rng: Prng,
    committer: Committer,
    producer: TransactionalProducer,
    next_at: Instant,
    pub(super) until: Instant,
}

impl Staging {
    /// A client that has committed nothing; the topic has so many partitions.
    pub fn new(topic: &str, partitions: i32, (from, until): (Instant, Instant), rng: Prng) -> Staging {
        let options = TransactionOptions {
            transactional_id: LOOSE_GROUP.to_owned(),
            transaction_timeout_ms: TRANSACTION_TIMEOUT_MS,
            request_timeout_ms: REQUEST_TIMEOUT_MS,
            retry_backoff_ms: RETRY_BACKOFF_MS,
        };
        Staging {
            topic: topic.to_owned(),
            partitions,
            rng,
            committer: Committer::default(),
            producer: TransactionalProducer::new(options),
            next_at: from,
            until,
        }
    }

    pub(super) fn is_done(&self, now: Instant) -> bool {
        now >= self.until && self.committer.wanted.is_none() && !self.producer.is_busy()
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        (self.next_at < self.until).then_some(self.next_at)
    }

    pub(super) fn prepare(&mut self, now: Instant) {
        _ = self.producer.take_outcome();
        if now < self.next_at || now >= self.until {
            return;
        }
        self.next_at = now.plus_millis(self.rng.range(1, PAUSE_MS_MAX));
        let partitions = u64::try_from(self.partitions).expect("a few partitions");
        let partition = i32::try_from(self.rng.below(partitions)).expect("a few partitions");
        let offset = i64::try_from(self.rng.below(OFFSET_MAX)).expect("a small offset");
        if !self.producer.is_busy() && self.rng.chance(1, 2) {
            let position = Position { offset, leader_epoch: -1 };
            let offsets = GroupOffsets {
                group: LOOSE_GROUP.to_owned(),
                member: String::new(),
                instance: None,
                generation: -1,
                positions: BTreeMap::from([(TopicPartition::new(&self.topic, partition), position)]),
            };
            let commits = self.rng.chance(2, 3);
            self.producer.begin(Transaction { records: Vec::new(), offsets: Some(offsets), commits });
        }
        if self.committer.wanted.is_none() && self.rng.chance(1, 2) {
            let deletes = self.rng.chance(1, 6);
            let request = if deletes { self.deletion(partition) } else { self.commit(partition, offset) };
            self.committer.wanted = Some(request);
        }
    }

    fn commit(&self, partition: i32, offset: i64) -> Request {
        let part = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(StrBytes::from_static_str("")));
        let topic = OffsetCommitRequestTopic::default().with_name(topic_name(&self.topic)).with_partitions(vec![part]);
        Request::OffsetCommit(
            OffsetCommitRequest::default()
                .with_group_id(GroupId(StrBytes::from_static_str(LOOSE_GROUP)))
                .with_generation_id_or_member_epoch(-1)
                .with_topics(vec![topic]),
        )
    }

    fn deletion(&self, partition: i32) -> Request {
        let part = OffsetDeleteRequestPartition::default().with_partition_index(partition);
        let topic = OffsetDeleteRequestTopic::default().with_name(topic_name(&self.topic)).with_partitions(vec![part]);
        Request::OffsetDelete(
            OffsetDeleteRequest::default()
                .with_group_id(GroupId(StrBytes::from_static_str(LOOSE_GROUP)))
                .with_topics(vec![topic]),
        )
    }
}

impl Machine for Staging {
    fn turn(&mut self, now_ms: u64) -> Turn {
        let mut turn = self.producer.turn(now_ms);
        let mut plain = self.committer.turn(now_ms);
        // Each has numbers of its own for its calls: even ones are the producer's.
        turn.calls.iter_mut().for_each(|call| call.id *= 2);
        plain.calls.iter_mut().for_each(|call| call.id = call.id * 2 + 1);
        turn.calls.append(&mut plain.calls);
        turn.addresses.append(&mut plain.addresses);
        if let Some(at_ms) = plain.wake_at_ms {
            turn.wake(at_ms);
        }
        turn
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        if call.is_multiple_of(2) {
            self.producer.answer(now_ms, call / 2, answer);
        } else {
            self.committer.answer(now_ms, call / 2, answer);
        }
    }
}

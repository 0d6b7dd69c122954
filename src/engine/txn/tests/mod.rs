//! Transactions through the APIs, on one broker and on three: `world.rs` is the cluster, `failover.rs` what survives,
//! `offsets.rs` what groups commit in transactions, `random.rs` all of it at random.

mod failover;
mod offsets;
mod random;
mod world;

use crate::engine::txn::coordinator_of;
use crate::engine::txn::metadata::TransactionStatus;
use crate::protocol::batch::Batch;
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::records::{self, BatchBuilder};
use kafka_protocol::messages as m;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use world::{TOPIC, World, text};

const ID: &str = "payments";

/// A producer as the coordinator knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Producer {
    id: i64,
    epoch: i16,
}

fn transactional_id() -> m::TransactionalId {
    m::TransactionalId(text(ID))
}

fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code)
}

impl World {
    /// Waits for a coordinator, and tells who it is.
    fn coordinator(&mut self) -> i32 {
        for _ in 0..100 {
            let any = self.alive()[0];
            let find = m::FindCoordinatorRequest::default().with_key(text(ID)).with_key_type(1);
            let Response::FindCoordinator(found) = self.ask(any, 3, Request::FindCoordinator(find)) else {
                panic!("an answer")
            };
            let known = coordinator_of(self.image(), ID).map(|broker| broker.0);
            if found.error_code == 0 && known.is_some_and(|known| self.alive().contains(&known)) {
                return known.expect("just seen");
            }
            self.pass(50);
        }
        panic!("no coordinator");
    }

    fn try_init(&mut self, expected: Option<Producer>) -> Result<Producer, ErrorCode> {
        let coordinator = self.coordinator();
        let given = expected.unwrap_or(Producer { id: -1, epoch: -1 });
        let init = m::InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id()))
            .with_transaction_timeout_ms(self.transaction_timeout_ms)
            .with_producer_id(m::ProducerId(given.id))
            .with_producer_epoch(given.epoch);
        let Response::InitProducerId(answer) = self.ask(coordinator, 4, Request::InitProducerId(init)) else {
            panic!("an answer")
        };
        match answer.error_code {
            0 => Ok(Producer { id: answer.producer_id.0, epoch: answer.producer_epoch }),
            code => Err(error(code)),
        }
    }

    /// A producer that begins, as often as it takes.
    fn init(&mut self) -> Producer {
        for _ in 0..100 {
            match self.try_init(None) {
                Ok(producer) => return producer,
                Err(
                    ErrorCode::CoordinatorLoadInProgress
                    | ErrorCode::ConcurrentTransactions
                    | ErrorCode::NotCoordinator
                    | ErrorCode::CoordinatorNotAvailable,
                ) => self.pass(20),
                Err(other) => panic!("{other}"),
            }
        }
        panic!("no producer");
    }

    fn add(&mut self, producer: Producer, partitions: &[i32]) -> ErrorCode {
        let coordinator = self.coordinator();
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(m::TopicName(text(TOPIC)))
            .with_partitions(partitions.to_vec());
        let add = m::AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional_id())
            .with_v3_and_below_producer_id(m::ProducerId(producer.id))
            .with_v3_and_below_producer_epoch(producer.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let Response::AddPartitionsToTxn(answer) = self.ask(coordinator, 3, Request::AddPartitionsToTxn(add)) else {
            panic!("an answer")
        };
        error(answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)
    }

    fn end(&mut self, version: i16, producer: Producer, commits: bool) -> (ErrorCode, Producer) {
        let coordinator = self.coordinator();
        let end = m::EndTxnRequest::default()
            .with_transactional_id(transactional_id())
            .with_producer_id(m::ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(commits);
        let Response::EndTxn(answer) = self.ask(coordinator, version, Request::EndTxn(end)) else {
            panic!("an answer")
        };
        (error(answer.error_code), Producer { id: answer.producer_id.0, epoch: answer.producer_epoch })
    }

    fn produce(&mut self, version: i16, producer: Producer, partition: i32, sequence: i32, value: &str) -> ErrorCode {
        let token = self.send_batch(version, producer, partition, sequence, value);
        self.produced(token)
    }

    fn send_batch(&mut self, version: i16, producer: Producer, partition: i32, sequence: i32, value: &str) -> u64 {
        let leader = self.leader(TOPIC, partition);
        let batch = BatchBuilder::new()
            .producer(producer.id, producer.epoch, sequence)
            .transactional()
            .value(1_704_067_200_000, value.as_bytes())
            .build()
            .expect("a batch");
        let data = m::produce_request::PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch.to_bytes()));
        let data = m::produce_request::TopicProduceData::default()
            .with_name(m::TopicName(text(TOPIC)))
            .with_partition_data(vec![data]);
        let produce = m::ProduceRequest::default()
            .with_transactional_id(Some(transactional_id()))
            .with_acks(-1)
            .with_timeout_ms(1_000)
            .with_topic_data(vec![data]);
        self.send(leader, version, Request::Produce(produce))
    }

    fn produced(&mut self, token: u64) -> ErrorCode {
        let Response::Produce(answer) = self.answer(token) else { panic!("an answer") };
        error(answer.responses[0].partition_responses[0].error_code)
    }

    /// What a reader of committed transactions sees of a partition: the last stable offset, and the values that it does
    /// not skip.
    fn committed(&mut self, partition: i32) -> (i64, Vec<String>) {
        let leader = self.leader(TOPIC, partition);
        let wanted = m::fetch_request::FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(0)
            .with_partition_max_bytes(1 << 20);
        let wanted =
            m::fetch_request::FetchTopic::default().with_topic(m::TopicName(text(TOPIC))).with_partitions(vec![wanted]);
        let fetch = m::FetchRequest::default()
            .with_max_bytes(1 << 20)
            .with_isolation_level(1)
            .with_session_epoch(-1)
            .with_topics(vec![wanted]);
        let Response::Fetch(answer) = self.ask(leader, 11, Request::Fetch(fetch)) else { panic!("an answer") };
        let part = &answer.topics[0].partitions[0];
        assert!(part.error.is_none(), "{:?}", part.error);
        let mut aborted = part.aborted.clone().unwrap_or_default();
        aborted.sort_by_key(|transaction| transaction.first_offset);
        let mut skipped = std::collections::BTreeSet::new();
        let mut values = Vec::new();
        let batches: Vec<Batch> = part.records.clone();
        for batch in batches {
            let (producer, header) = (batch.header.producer_id, batch.header);
            for found in aborted.iter().filter(|found| found.first_offset <= header.last_offset()) {
                if header.base_offset <= found.first_offset || !header.is_control() {
                    skipped.insert(found.producer_id);
                }
            }
            aborted.retain(|found| found.first_offset > header.last_offset());
            if header.is_control() {
                skipped.remove(&producer);
            } else if !(header.is_transactional() && skipped.contains(&producer)) {
                let read = records::decode(&batch).expect("records");
                let value = |record: records::Record| record.value.expect("a value");
                values.extend(read.into_iter().map(|r| String::from_utf8(value(r).to_vec()).expect("text")));
            }
        }
        (part.last_stable_offset, values)
    }

    fn status(&mut self) -> TransactionStatus {
        let coordinator = self.coordinator();
        let shards = self.broker(coordinator).transactions().shards();
        shards.into_iter().find_map(|shard| shard.shown(ID).map(|state| state.status)).expect("a known id")
    }

    /// Waits until a transaction's markers are all written.
    fn settle(&mut self) {
        for _ in 0..500 {
            let coordinator = self.coordinator();
            let found = self.broker(coordinator).transactions().snapshot();
            if found.iter().any(|known| &*known.id == ID && !known.is_open()) {
                return;
            }
            self.pass(10);
        }
        panic!("the transaction hangs");
    }
}

#[test]
fn version_one_commits_and_aborts_and_readers_of_committed_records_see_the_difference() {
    let mut world = World::new(1);
    let producer = world.init();
    assert_eq!(producer.epoch, 0);
    assert_eq!(world.add(producer, &[0, 1]), ErrorCode::None);
    assert_eq!(world.produce(9, producer, 0, 0, "a"), ErrorCode::None);
    assert_eq!(world.produce(9, producer, 1, 0, "b"), ErrorCode::None);
    assert_eq!(world.committed(0), (0, vec![]), "nothing is decided");
    assert_eq!(world.end(3, producer, true).0, ErrorCode::None);
    world.settle();
    assert_eq!(world.committed(0), (2, vec!["a".to_owned()]), "a record and a marker");
    assert_eq!(world.committed(1), (2, vec!["b".to_owned()]));
    assert_eq!(world.add(producer, &[0]), ErrorCode::None);
    assert_eq!(world.produce(9, producer, 0, 1, "c"), ErrorCode::None);
    assert_eq!(world.end(3, producer, false).0, ErrorCode::None);
    world.settle();
    assert_eq!(world.committed(0), (4, vec!["a".to_owned()]), "what was aborted is skipped");
    assert_eq!(world.status(), TransactionStatus::CompleteAbort);
    assert_eq!(world.end(3, producer, true).0, ErrorCode::InvalidTxnState);
}

#[test]
fn a_leader_takes_no_record_of_a_transaction_that_nobody_vouches_for() {
    let mut world = World::new(1);
    let producer = world.init();
    assert_eq!(world.produce(9, producer, 0, 0, "a"), ErrorCode::InvalidTxnState, "the partition was not added");
    assert_eq!(world.produce(11, producer, 0, 0, "a"), ErrorCode::TransactionAbortable);
    let stranger = Producer { id: producer.id + 1, epoch: 0 };
    assert_eq!(world.produce(11, stranger, 0, 0, "a"), ErrorCode::InvalidProducerIdMapping);
    assert_eq!(world.add(producer, &[0]), ErrorCode::None);
    assert_eq!(world.produce(11, producer, 0, 0, "a"), ErrorCode::None);
    assert_eq!(world.add(producer, &[0, 9]), ErrorCode::OperationNotAttempted, "all partitions or none");
}

#[test]
fn version_two_adds_partitions_by_itself_and_bumps_the_epoch_at_each_end() {
    let mut world = World::new(1);
    let first = world.init();
    assert_eq!(world.produce(12, first, 0, 0, "a"), ErrorCode::None);
    assert_eq!(world.status(), TransactionStatus::Ongoing);
    let (result, second) = world.end(5, first, true);
    assert_eq!((result, second), (ErrorCode::None, Producer { epoch: 1, ..first }));
    world.settle();
    assert_eq!(world.end(5, first, true), (ErrorCode::None, second), "the answer was lost, and is given again");
    assert_eq!(world.produce(12, first, 0, 1, "late"), ErrorCode::InvalidProducerEpoch);
    assert_eq!(world.produce(12, second, 0, 0, "b"), ErrorCode::None);
    assert_eq!(world.end(5, first, true).0, ErrorCode::ProducerFenced, "a late end ends nothing of what follows");
    assert_eq!(world.committed(0), (2, vec!["a".to_owned()]));
    let (result, third) = world.end(5, second, false);
    assert_eq!((result, third.epoch), (ErrorCode::None, 2));
    world.settle();
    assert_eq!(world.committed(0), (4, vec!["a".to_owned()]));
    assert_eq!(world.end(5, third, false).1.epoch, 3, "nothing was begun, and the epoch is another all the same");
}

#[test]
fn a_transaction_can_begin_while_the_markers_of_the_one_before_are_on_their_way() {
    let mut world = World::new(3);
    let first = world.init();
    let coordinator = world.coordinator();
    let partition = (0..2).find(|number| world.leader(TOPIC, *number) != coordinator).expect("two leaders");
    assert_eq!(world.produce(12, first, partition, 0, "a"), ErrorCode::None);
    world.late_markers = Some(Vec::new());
    let (result, second) = world.end(5, first, true);
    assert_eq!(result, ErrorCode::None);
    // The leader has asked the coordinator, which is busy, and will ask it again; the marker ends the guard of the first question.
    let token = world.send_batch(12, second, partition, 0, "b");
    assert_eq!(world.late_markers.as_ref().map(Vec::len), Some(1));
    world.deliver_markers();
    assert_eq!(world.produced(token), ErrorCode::None);
    assert_eq!(world.end(5, second, true).0, ErrorCode::None);
    world.settle();
    assert_eq!(world.committed(partition).1, ["a", "b"]);
}

#[test]
fn the_next_life_of_a_producer_ends_what_the_last_one_left_open() {
    let mut world = World::new(1);
    let zombie = world.init();
    assert_eq!(world.add(zombie, &[0]), ErrorCode::None);
    assert_eq!(world.produce(9, zombie, 0, 0, "left"), ErrorCode::None);
    assert_eq!(world.try_init(None), Err(ErrorCode::ConcurrentTransactions), "it is aborted first");
    let next = world.init();
    assert_eq!((next.id, next.epoch), (zombie.id, 2));
    assert_eq!(world.committed(0), (2, vec![]));
    assert_eq!(world.produce(9, zombie, 0, 1, "late"), ErrorCode::InvalidProducerEpoch);
    assert_eq!(world.end(3, zombie, true).0, ErrorCode::ProducerFenced);
    assert_eq!(world.add(next, &[0]), ErrorCode::None);
    assert_eq!(world.produce(9, next, 0, 0, "new"), ErrorCode::None);
    assert_eq!(world.end(3, next, true).0, ErrorCode::None);
    world.settle();
    assert_eq!(world.committed(0).1, ["new"]);
}

#[test]
fn a_transaction_that_is_open_too_long_is_aborted_and_an_id_that_rests_is_forgotten() {
    let mut world = World::with(1, |cluster| cluster.transactional_id_expiration_ms = 10_000);
    let producer = world.init();
    assert_eq!(world.produce(12, producer, 0, 0, "a"), ErrorCode::None);
    world.pass(1_500);
    assert_eq!(world.status(), TransactionStatus::Ongoing);
    world.pass(1_500);
    assert_eq!(world.status(), TransactionStatus::CompleteAbort);
    assert_eq!(world.committed(0), (2, vec![]));
    assert_eq!(world.end(5, producer, true).0, ErrorCode::InvalidTxnState);
    world.pass(12_000);
    assert!(world.broker(1).transactions().snapshot().is_empty());
    assert_eq!(world.end(5, producer, true).0, ErrorCode::InvalidProducerIdMapping);
}

#[test]
fn transactions_are_listed_and_described() {
    let mut world = World::new(1);
    let producer = world.init();
    assert_eq!(world.add(producer, &[1]), ErrorCode::None);
    let describe = m::DescribeTransactionsRequest::default()
        .with_transactional_ids(vec![transactional_id(), m::TransactionalId(text("nobody"))]);
    let Response::DescribeTransactions(told) = world.ask(1, 0, Request::DescribeTransactions(describe)) else {
        panic!("an answer")
    };
    let one = &told.transaction_states[0];
    assert_eq!(
        (&*one.transaction_state, one.producer_id.0, one.transaction_timeout_ms),
        ("Ongoing", producer.id, 2_000)
    );
    assert_eq!((one.topics[0].topic.as_str(), &one.topics[0].partitions[..]), (TOPIC, &[1][..]));
    assert_eq!(error(told.transaction_states[1].error_code), ErrorCode::TransactionalIdNotFound);
    let list = |world: &mut World, request: m::ListTransactionsRequest| {
        let Response::ListTransactions(told) = world.ask(1, 2, Request::ListTransactions(request)) else {
            panic!("an answer")
        };
        let ids = told.transaction_states.iter().map(|state| state.transactional_id.to_string());
        (ids.collect::<Vec<_>>(), told.unknown_state_filters.len())
    };
    let ours = vec![ID.to_owned()];
    let all = || m::ListTransactionsRequest::default();
    assert_eq!(list(&mut world, all()), (ours.clone(), 0));
    assert_eq!(list(&mut world, all().with_state_filters(vec![text("Ongoing"), text("What")])), (ours.clone(), 1));
    assert_eq!(list(&mut world, all().with_state_filters(vec![text("Empty")])), (vec![], 0));
    assert_eq!(list(&mut world, all().with_producer_id_filters(vec![m::ProducerId(77)])), (vec![], 0));
    assert_eq!(list(&mut world, all().with_duration_filter(60_000)), (vec![], 0));
    assert_eq!(list(&mut world, all().with_transactional_id_pattern(Some(text("pay.*")))), (ours, 0));
}

//! Offsets that groups commit in transactions.

use super::*;
use crate::engine::group;

const GROUP: &str = "billing";

impl World {
    fn group_coordinator(&mut self) -> i32 {
        for _ in 0..100 {
            let any = self.alive()[0];
            let find = m::FindCoordinatorRequest::default().with_key(text(GROUP));
            self.ask(any, 3, Request::FindCoordinator(find));
            let known = group::coordinator_of(self.image(), GROUP).map(|broker| broker.0);
            if let Some(known) = known.filter(|known| self.alive().contains(known)) {
                return known;
            }
            self.pass(50);
        }
        panic!("no coordinator");
    }

    fn commit_offset(&mut self, version: i16, producer: Producer, offset: i64) -> ErrorCode {
        let coordinator = self.group_coordinator();
        let partition = m::txn_offset_commit_request::TxnOffsetCommitRequestPartition::default()
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")));
        let topic = m::txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
            .with_name(m::TopicName(text(TOPIC)))
            .with_partitions(vec![partition]);
        let commit = m::TxnOffsetCommitRequest::default()
            .with_transactional_id(transactional_id())
            .with_group_id(m::GroupId(text(GROUP)))
            .with_producer_id(m::ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        let Response::TxnOffsetCommit(answer) = self.ask(coordinator, version, Request::TxnOffsetCommit(commit)) else {
            panic!("an answer")
        };
        error(answer.topics[0].partitions[0].error_code)
    }

    fn add_offsets(&mut self, producer: Producer) -> ErrorCode {
        let coordinator = self.coordinator();
        let add = m::AddOffsetsToTxnRequest::default()
            .with_transactional_id(transactional_id())
            .with_producer_id(m::ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_group_id(m::GroupId(text(GROUP)));
        let Response::AddOffsetsToTxn(answer) = self.ask(coordinator, 3, Request::AddOffsetsToTxn(add)) else {
            panic!("an answer")
        };
        error(answer.error_code)
    }

    fn fetch_offset(&mut self, require_stable: bool) -> Result<i64, ErrorCode> {
        let coordinator = self.group_coordinator();
        let topic = m::offset_fetch_request::OffsetFetchRequestTopics::default()
            .with_name(m::TopicName(text(TOPIC)))
            .with_partition_indexes(vec![0]);
        let group = m::offset_fetch_request::OffsetFetchRequestGroup::default()
            .with_group_id(m::GroupId(text(GROUP)))
            .with_topics(Some(vec![topic]));
        let fetch = m::OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(require_stable);
        let Response::OffsetFetch(answer) = self.ask(coordinator, 8, Request::OffsetFetch(fetch)) else {
            panic!("an answer")
        };
        let partition = &answer.groups[0].topics[0].partitions[0];
        match partition.error_code {
            0 => Ok(partition.committed_offset),
            code => Err(error(code)),
        }
    }
}

#[test]
fn offsets_are_in_force_once_their_transaction_has_committed() {
    let mut world = World::new(1);
    world.group_coordinator();
    let producer = world.init();
    assert_eq!(world.commit_offset(3, producer, 5), ErrorCode::InvalidTxnState, "they were not added");
    assert_eq!(world.add_offsets(producer), ErrorCode::None);
    assert_eq!(world.commit_offset(3, producer, 5), ErrorCode::None);
    assert_eq!(world.fetch_offset(false), Ok(-1));
    assert_eq!(world.fetch_offset(true), Err(ErrorCode::UnstableOffsetCommit));
    assert_eq!(world.end(3, producer, true).0, ErrorCode::None);
    world.settle();
    assert_eq!(world.fetch_offset(true), Ok(5));
    assert_eq!(world.add_offsets(producer), ErrorCode::None);
    assert_eq!(world.commit_offset(3, producer, 9), ErrorCode::None);
    assert_eq!(world.end(3, producer, false).0, ErrorCode::None);
    world.settle();
    assert_eq!(world.fetch_offset(true), Ok(5), "what was aborted never was");
}

#[test]
fn offsets_can_be_added_before_anybody_has_asked_for_a_group() {
    let mut world = World::new(1);
    let producer = world.init();
    assert_eq!(world.image().topic_by_name(group::OFFSETS_TOPIC).map(|topic| topic.partitions.len()), None);
    assert_eq!(world.add_offsets(producer), ErrorCode::None);
    assert_eq!(world.commit_offset(3, producer, 5), ErrorCode::None, "it is the partition that the topic has for it");
    assert_eq!(world.end(3, producer, true).0, ErrorCode::None);
    world.settle();
    assert_eq!(world.fetch_offset(true), Ok(5));
}

#[test]
fn offsets_join_a_transaction_of_version_two_by_themselves_and_survive_their_coordinators() {
    let mut world = World::new(3);
    world.group_coordinator();
    let producer = world.init();
    assert_eq!(world.produce(12, producer, 0, 0, "out"), ErrorCode::None);
    assert_eq!(world.commit_offset(5, producer, 5), ErrorCode::None);
    let dead = world.group_coordinator();
    world.kill(dead);
    world.pass(1_500);
    assert_eq!(world.fetch_offset(true), Err(ErrorCode::UnstableOffsetCommit), "the next coordinator knows of it");
    for _ in 0..50 {
        match world.end(5, producer, true).0 {
            ErrorCode::None => break,
            ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator | ErrorCode::ConcurrentTransactions => {
                world.pass(50);
            }
            other => panic!("{other}"),
        }
    }
    world.settle();
    assert_eq!(world.fetch_offset(true), Ok(5));
    assert_eq!(world.committed(0).1, ["out"]);
    world.start(dead);
    world.pass(2_000);
    let second = world.group_coordinator();
    world.kill(second);
    world.pass(1_500);
    assert_eq!(world.fetch_offset(true), Ok(5), "read anew from the log");
}

#[test]
fn who_wants_stable_offsets_never_sees_an_old_one_while_a_transaction_ends() {
    let mut seen = std::collections::BTreeSet::new();
    for writes in 0..8 {
        let mut world = World::new(1);
        world.group_coordinator();
        let producer = world.init();
        assert_eq!(world.commit_offset(5, producer, 5), ErrorCode::None);
        let end = m::EndTxnRequest::default()
            .with_transactional_id(transactional_id())
            .with_producer_id(m::ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(true);
        world.disks_answer = Some(writes);
        world.send(1, 5, Request::EndTxn(end));
        let found = world.fetch_offset(true);
        assert!(matches!(found, Ok(5) | Err(ErrorCode::UnstableOffsetCommit)), "{writes} writes: {found:?}");
        seen.insert(found.is_ok());
    }
    assert_eq!(seen.len(), 2, "before the end, and after it");
}

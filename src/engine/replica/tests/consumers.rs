//! One story a rule: Fetch and its sessions, ListOffsets, DeleteRecords, and the APIs that describe.

use super::*;
use crate::protocol::fetch::{FetchReply, FetchReplyPartition};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};

/// A fetch of some partitions from an offset each, by name; waits for a byte, up to half a second.
fn fetch(session: (i32, i32), partitions: &[(i32, i64)]) -> m::FetchRequest {
    let partition = |(number, offset): &(i32, i64)| {
        FetchPartition::default()
            .with_partition(*number)
            .with_fetch_offset(*offset)
            .with_current_leader_epoch(-1)
            .with_last_fetched_epoch(-1)
            .with_partition_max_bytes(1 << 20)
    };
    let topic = FetchTopic::default().with_topic(name()).with_partitions(partitions.iter().map(partition).collect());
    m::FetchRequest::default()
        .with_session_id(session.0)
        .with_session_epoch(session.1)
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(1 << 25)
        .with_topics(if partitions.is_empty() { Vec::new() } else { vec![topic] })
}

const NO_SESSION: (i32, i32) = (0, -1);

impl World {
    fn fetched(&mut self, broker: i32, token: u64) -> Option<FetchReply> {
        match self.response(broker, token)? {
            Response::Fetch(reply) => Some(reply),
            other => panic!("{:?} is no answer to Fetch", other.api()),
        }
    }

    /// A fetch that is answered at once.
    fn fetch_now(&mut self, broker: i32, request: m::FetchRequest) -> FetchReply {
        let token = self.request(broker, 12, Request::Fetch(request.with_max_wait_ms(0)));
        self.fetched(broker, token).expect("an answer at once")
    }

    fn fetch_one(&mut self, broker: i32, offset: i64) -> FetchReplyPartition {
        self.fetch_now(broker, fetch(NO_SESSION, &[(0, offset)])).topics.remove(0).partitions.remove(0)
    }

    fn list(&mut self, broker: i32, version: i16, timestamp: i64) -> (ErrorCode, i64) {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(0)
            .with_timestamp(timestamp)
            .with_current_leader_epoch(-1);
        let topic = ListOffsetsTopic::default().with_name(name()).with_partitions(vec![partition]);
        let request = m::ListOffsetsRequest::default().with_replica_id(m::BrokerId(-1)).with_topics(vec![topic]);
        let token = self.request(broker, version, Request::ListOffsets(request));
        let Some(Response::ListOffsets(response)) = self.response(broker, token) else { panic!("an answer at once") };
        let answer = &response.topics[0].partitions[0];
        (ErrorCode::from_code(answer.error_code), answer.offset)
    }

    fn delete_records(&mut self, broker: i32, offset: i64) -> u64 {
        let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(name()).with_partitions(vec![partition]);
        let request = m::DeleteRecordsRequest::default().with_timeout_ms(5_000).with_topics(vec![topic]);
        self.request(broker, 2, Request::DeleteRecords(request))
    }

    fn deleted(&mut self, broker: i32, token: u64) -> Option<(ErrorCode, i64)> {
        let Some(Response::DeleteRecords(response)) = self.response(broker, token) else { return None };
        let answer = &response.topics[0].partitions[0];
        Some((ErrorCode::from_code(answer.error_code), answer.low_watermark))
    }
}

fn numbers(reply: &FetchReply) -> Vec<i32> {
    reply.topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| partition.partition)).collect()
}

#[test]
fn a_consumer_sees_nothing_at_or_above_the_high_watermark() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.produce(1, -1, &["a", "b"]);
    world.run();
    world.slow_disks.insert(BrokerId(2));
    world.produce(1, -1, &["c"]);
    world.run();
    let answer = world.fetch_one(1, 0);
    assert_eq!((answer.records.len(), answer.high_watermark, world.replica(1).log_end), (1, 2, 3));
    let answer = world.fetch_one(1, 2);
    assert_eq!((answer.error, answer.records.len()), (ErrorCode::None, 0));
    assert_eq!(world.fetch_one(1, 4).error, ErrorCode::OffsetOutOfRange);
    assert_eq!(world.fetch_one(1, -1).error, ErrorCode::OffsetOutOfRange);
}

#[test]
fn a_fetch_waits_for_its_bytes_or_its_time_and_a_new_record_ends_the_wait() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    let token = world.request(1, 12, Request::Fetch(fetch(NO_SESSION, &[(0, 0)])));
    world.pass(100);
    assert_eq!(world.fetched(1, token), None);
    world.produce(1, -1, &["a"]);
    world.run();
    let reply = world.fetched(1, token).expect("an answer without waiting any longer");
    assert_eq!(reply.topics[0].partitions[0].records.len(), 1);
    let token = world.request(1, 12, Request::Fetch(fetch(NO_SESSION, &[(0, 1)]).with_min_bytes(100_000)));
    world.produce(1, -1, &["b"]);
    world.pass(499);
    assert_eq!(world.fetched(1, token), None, "one record is not enough");
    world.pass(2);
    assert_eq!(world.fetched(1, token).expect("its time is over").topics[0].partitions[0].records.len(), 1);
    assert_eq!(world.nodes[&BrokerId(1)].replicas.parked(), 0);
}

#[test]
fn a_session_tells_only_what_has_changed() {
    let mut world = World::with_topic(1, &[1]);
    for partition in 1..5 {
        world.create(PartitionId::new(TOPIC, partition), &[1]);
    }
    world.run();
    let first = world.fetch_now(1, fetch((0, 0), &[(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]));
    assert_eq!(numbers(&first), [0, 1, 2, 3, 4]);
    let id = first.session_id;
    assert_ne!(id, 0);
    let idle = world.fetch_now(1, fetch((id, 1), &[]));
    assert_eq!((idle.session_id, numbers(&idle)), (id, vec![]));
    let node = world.nodes.get_mut(&BrokerId(1)).expect("a broker");
    assert!(node.replicas.clients.session_mut(id).expect("the session").set.dirty.is_empty(), "nothing to look at");
    let token = world.request(1, 12, Request::Fetch(fetch((id, 2), &[])));
    world.produce(1, -1, &["a"]);
    world.run();
    let reply = world.fetched(1, token).expect("an answer");
    assert_eq!(numbers(&reply), [0]);
    let again = world.fetch_now(1, fetch((id, 3), &[]));
    assert_eq!(numbers(&again), [0], "whoever does not tell a new position gets the records again");
    let after = world.fetch_now(1, fetch((id, 4), &[(0, 1)]));
    assert_eq!(numbers(&after), [0_i32; 0]);
}

#[test]
fn a_session_can_be_changed_and_closed_and_refuses_what_does_not_fit() {
    let mut world = World::with_topic(1, &[1]);
    world.create(PartitionId::new(TOPIC, 1), &[1]);
    world.run();
    let id = world.fetch_now(1, fetch((0, 0), &[(0, 0)])).session_id;
    let forget = ForgottenTopic::default().with_topic(name()).with_partitions(vec![0]);
    let changed = fetch((id, 1), &[(1, 0)]).with_forgotten_topics_data(vec![forget]);
    world.fetch_now(1, changed);
    world.produce(1, -1, &["a"]);
    world.run();
    assert_eq!(numbers(&world.fetch_now(1, fetch((id, 2), &[]))), [0_i32; 0], "partition 0 was forgotten");
    assert_eq!(world.fetch_now(1, fetch((id, 7), &[])).error, ErrorCode::InvalidFetchSessionEpoch);
    assert_eq!(world.fetch_now(1, fetch((id ^ 1, 1), &[])).error, ErrorCode::FetchSessionIdNotFound);
    let token = world.request(1, 13, Request::Fetch(fetch((id, 3), &[]).with_max_wait_ms(0)));
    assert_eq!(world.fetched(1, token).expect("an answer").error, ErrorCode::FetchSessionTopicIdError);
    world.fetch_now(1, fetch((id, -1), &[(0, 0)]));
    assert_eq!(world.fetch_now(1, fetch((id, 3), &[])).error, ErrorCode::FetchSessionIdNotFound);
    let replica = &world.nodes[&BrokerId(1)].replicas.partitions[&P0];
    assert!(replica.readers.is_empty(), "nobody is left to be told");
}

#[test]
fn sessions_have_slots_and_only_an_old_one_makes_room() {
    let mut world = World::with_topic(1, &[1]);
    world.config.fetch_session_slots = 2;
    let first = world.fetch_now(1, fetch((0, 0), &[(0, 0)])).session_id;
    world.pass(1);
    world.fetch_now(1, fetch((0, 0), &[(0, 0)]));
    assert_eq!(world.fetch_now(1, fetch((0, 0), &[(0, 0)])).session_id, 0, "both are in use");
    world.pass(121_000);
    assert_ne!(world.fetch_now(1, fetch((0, 0), &[(0, 0)])).session_id, 0);
    assert_eq!(world.fetch_now(1, fetch((first, 1), &[])).error, ErrorCode::FetchSessionIdNotFound);
    assert_eq!(world.nodes[&BrokerId(1)].replicas.clients.session_count(), 2);
}

#[test]
fn partitions_take_turns_when_an_answer_is_full() {
    let mut world = World::with_topic(1, &[1]);
    world.create(PartitionId::new(TOPIC, 1), &[1]);
    world.run();
    for number in 0..2 {
        let data = PartitionProduceData::default().with_index(number).with_records(Some(batch(&["value"]).to_bytes()));
        let topic = TopicProduceData::default().with_name(name()).with_partition_data(vec![data]);
        world.request(1, 9, Request::Produce(m::ProduceRequest::default().with_acks(1).with_topic_data(vec![topic])));
    }
    world.run();
    let small = |session, partitions: &[(i32, i64)]| fetch(session, partitions).with_max_bytes(1);
    let first = world.fetch_now(1, small((0, 0), &[(0, 0), (1, 0)]));
    let with_records = |reply: &FetchReply| -> Vec<i32> {
        let partitions = reply.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.filter(|partition| !partition.records.is_empty()).map(|partition| partition.partition).collect()
    };
    assert_eq!(with_records(&first), [0], "one whole batch, however small the limit");
    let second = world.fetch_now(1, small((first.session_id, 1), &[]));
    assert_eq!(with_records(&second), [1]);
}

#[test]
fn a_parked_fetch_learns_at_once_that_its_leader_has_gone() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.pass(200);
    let request = fetch(NO_SESSION, &[(0, 0)]);
    let old_client = world.request(1, 10, Request::Fetch(request.clone()));
    let mut fenced = request;
    fenced.topics[0].partitions[0].current_leader_epoch = 0;
    let new_client = world.request(1, 12, Request::Fetch(fenced));
    world.elect(2, &[1, 2, 3]);
    let reply = world.fetched(1, old_client).expect("an answer");
    assert_eq!(reply.topics[0].partitions[0].error, ErrorCode::NotLeaderOrFollower);
    let reply = world.fetched(1, new_client).expect("an answer");
    let answer = &reply.topics[0].partitions[0];
    assert_eq!(answer.error, ErrorCode::FencedLeaderEpoch);
    assert_eq!(answer.current_leader.map(|hint| (hint.broker, hint.epoch)), Some((Some(BrokerId(2)), 1)));
    assert_eq!(reply.node_endpoints[0].broker, BrokerId(2));
}

#[test]
fn a_session_outlives_a_partition_that_goes_and_comes_back() {
    let mut world = World::with_topic(2, &[1, 2]);
    world.set_config("min.insync.replicas", "1");
    let id = world.fetch_now(1, fetch((0, 0), &[(0, 0)])).session_id;
    world.change(P0, |state| {
        state.replicas = ids(&[2]);
        state.isr = ids(&[2]);
        state.leader = Some(BrokerId(2));
    });
    world.run();
    let reply = world.fetch_now(1, fetch((id, 1), &[]));
    assert_eq!(reply.topics[0].partitions[0].error, ErrorCode::NotLeaderOrFollower);
    world.change(P0, |state| {
        state.replicas = ids(&[1]);
        state.isr = ids(&[1]);
        state.leader = Some(BrokerId(1));
    });
    world.run();
    world.fetch_now(1, fetch((id, 2), &[]));
    let token = world.request(1, 12, Request::Fetch(fetch((id, 3), &[])));
    world.produce(1, -1, &["a"]);
    world.run();
    assert_eq!(numbers(&world.fetched(1, token).expect("an answer")), [0]);
}

#[test]
fn a_follower_serves_up_to_its_own_high_watermark_and_says_when_it_does_not_know() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.produce(1, -1, &["a"]);
    world.run();
    assert_eq!((world.replica(2).log_end, world.replica(2).high_watermark), (1, 0));
    assert_eq!(world.fetch_one(2, 1).error, ErrorCode::OffsetNotAvailable);
    let token = world.request(2, 12, Request::Fetch(fetch(NO_SESSION, &[(0, 0)])));
    world.pass(world.config.replica_fetch_wait_max_ms + 1);
    let reply = world.fetched(2, token).expect("its high watermark has moved");
    assert_eq!(reply.topics[0].partitions[0].records.len(), 1);
    assert_eq!(world.fetch_one(2, 1).error, ErrorCode::None);
    let token = world.request(2, 10, Request::Fetch(fetch(NO_SESSION, &[(0, 0)])));
    let reply = world.fetched(2, token).expect("an answer");
    assert_eq!(reply.topics[0].partitions[0].error, ErrorCode::NotLeaderOrFollower, "old clients go to the leader");
}

#[test]
fn a_client_with_a_rack_is_sent_to_the_replica_in_it() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.produce(1, -1, &["a"]);
    world.run();
    let in_rack = |rack: &'static str| fetch(NO_SESSION, &[(0, 0)]).with_rack_id(StrBytes::from_static_str(rack));
    let reply = world.fetch_now(1, in_rack("rack-3"));
    let answer = &reply.topics[0].partitions[0];
    assert_eq!((answer.preferred_read_replica, answer.records.len()), (Some(BrokerId(3)), 0));
    for rack in ["rack-1", "elsewhere"] {
        let reply = world.fetch_now(1, in_rack(rack));
        assert_eq!(reply.topics[0].partitions[0].records.len(), 1);
    }
    world.set_fenced(3, true);
    assert_eq!(world.fetch_now(1, in_rack("rack-3")).topics[0].partitions[0].preferred_read_replica, None);
}

#[test]
fn offsets_do_not_go_backwards_while_a_new_leader_learns_its_high_watermark() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    let produced = world.produce(1, -1, &["a", "b"]);
    world.run();
    assert_eq!(code(world.produced(1, produced)), Some(ErrorCode::None));
    assert_eq!(world.list(1, 7, -1), (ErrorCode::None, 2));
    world.cut(2, 3);
    world.kill(1, false);
    world.elect(2, &[2, 3]);
    assert_eq!(world.replica(2).high_watermark, 0);
    assert_eq!(world.list(2, 7, -1), (ErrorCode::OffsetNotAvailable, -1));
    assert_eq!(world.list(2, 4, -1), (ErrorCode::LeaderNotAvailable, -1));
    assert_eq!(world.list(2, 7, NOW_MS), (ErrorCode::OffsetNotAvailable, -1));
    world.cut.clear();
    world.pass(1_000);
    assert_eq!(world.list(2, 7, -1), (ErrorCode::None, 2));
}

#[test]
fn offsets_are_found_by_time_and_by_name() {
    let mut world = World::with_topic(2, &[1, 2]);
    for offset in [10, 30, 20] {
        let batch = BatchBuilder::new().value(NOW_MS + offset, b"v").build().expect("a batch");
        world.produce_batch(1, -1, 1_000, &batch);
        world.run();
    }
    assert_eq!(world.list(1, 7, -2), (ErrorCode::None, 0));
    assert_eq!(world.list(1, 7, -1), (ErrorCode::None, 3));
    assert_eq!(world.list(1, 7, -3), (ErrorCode::None, 1));
    assert_eq!(world.list(1, 8, -4), (ErrorCode::None, 0));
    assert_eq!(world.list(1, 9, -5), (ErrorCode::None, -1));
    assert_eq!(world.list(1, 7, NOW_MS + 15), (ErrorCode::None, 1));
    assert_eq!(world.list(1, 7, NOW_MS + 31), (ErrorCode::None, -1));
    assert_eq!(world.list(1, 7, -9).0, ErrorCode::UnsupportedVersion);
    assert_eq!(world.list(2, 7, -1).0, ErrorCode::NotLeaderOrFollower);
}

#[test]
fn deleting_records_waits_for_the_in_sync_replicas_to_follow() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    for value in ["a", "b", "c"] {
        world.produce(1, -1, &[value]);
        world.run();
    }
    world.pass(300);
    world.cut(1, 3);
    let token = world.delete_records(1, 2);
    world.run();
    assert_eq!((world.deleted(1, token), world.replica(1).log_start, world.replica(2).log_start), (None, 2, 2));
    world.cut.clear();
    world.pass(900);
    assert_eq!(world.deleted(1, token), Some((ErrorCode::None, 2)));
    assert_eq!(world.replica(3).log_start, 2);
    let token = world.delete_records(1, -1);
    world.run();
    assert_eq!(world.deleted(1, token), Some((ErrorCode::None, 3)), "without waiting for a fetch to time out");
    let token = world.delete_records(1, 9);
    assert_eq!(world.deleted(1, token), Some((ErrorCode::OffsetOutOfRange, -1)));
    assert_eq!(world.fetch_one(1, 0).error, ErrorCode::OffsetOutOfRange);
    let token = world.delete_records(2, 1);
    assert_eq!(world.deleted(2, token), Some((ErrorCode::NotLeaderOrFollower, -1)));
}

#[test]
fn a_consumer_can_ask_where_an_epoch_ends() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.produce(1, -1, &["a", "b"]);
    world.run();
    world.elect(2, &[1, 2, 3]);
    let mut ask = |current: i32, epoch: i32| {
        let partition = OffsetForLeaderPartition::default().with_current_leader_epoch(current).with_leader_epoch(epoch);
        let topic = OffsetForLeaderTopic::default().with_topic(name()).with_partitions(vec![partition]);
        let request = m::OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        let token = world.request(2, 4, Request::OffsetForLeaderEpoch(request));
        let Some(Response::OffsetForLeaderEpoch(response)) = world.response(2, token) else { panic!("an answer") };
        let end = &response.topics[0].partitions[0];
        (ErrorCode::from_code(end.error_code), end.leader_epoch, end.end_offset)
    };
    assert_eq!(ask(1, 0), (ErrorCode::None, 0, 2));
    assert_eq!(ask(-1, 1), (ErrorCode::None, 1, 2));
    assert_eq!(ask(0, 0), (ErrorCode::FencedLeaderEpoch, -1, -1));
    assert_eq!(ask(5, 0), (ErrorCode::UnknownLeaderEpoch, -1, -1));
}

#[test]
fn producers_and_log_directories_are_described() {
    let mut world = World::with_topic(1, &[1]);
    let batch = BatchBuilder::new().producer(7, 3, 0).value(NOW_MS, b"v").value(NOW_MS, b"w").build().expect("a batch");
    world.produce_batch(1, 1, 1_000, &batch);
    world.run();
    let topic =
        m::describe_producers_request::TopicRequest::default().with_name(name()).with_partition_indexes(vec![0, 1]);
    let request = m::DescribeProducersRequest::default().with_topics(vec![topic]);
    let token = world.request(1, 0, Request::DescribeProducers(request));
    let Some(Response::DescribeProducers(response)) = world.response(1, token) else { panic!("an answer") };
    let [known, unknown] = response.topics[0].partitions.as_slice() else { panic!("two partitions") };
    let producer = &known.active_producers[0];
    assert_eq!((producer.producer_id.0, producer.producer_epoch, producer.last_sequence), (7, 3, 1));
    assert_eq!(ErrorCode::from_code(unknown.error_code), ErrorCode::UnknownTopicOrPartition);
    let token = world.request(1, 4, Request::DescribeLogDirs(m::DescribeLogDirsRequest::default().with_topics(None)));
    let Some(Response::DescribeLogDirs(response)) = world.response(1, token) else { panic!("an answer") };
    let described = &response.results[0].topics[0];
    let size = i64::try_from(batch.size()).expect("small");
    assert_eq!((described.name.as_str(), described.partitions[0].partition_size), (NAME, size));
    assert_eq!(
        (world.nodes[&BrokerId(1)].replicas.bytes_in(), world.nodes[&BrokerId(1)].replicas.bytes_out()),
        (size.unsigned_abs(), 0)
    );
    world.fetch_one(1, 0);
    assert_eq!(world.nodes[&BrokerId(1)].replicas.bytes_out(), size.unsigned_abs());
}

#[test]
fn a_follower_describes_its_producers_too() {
    let mut world = World::with_topic(2, &[1, 2]);
    let batch = BatchBuilder::new().producer(7, 3, 0).value(NOW_MS, b"v").build().expect("a batch");
    world.produce_batch(1, -1, 1_000, &batch);
    world.run();
    let topic =
        m::describe_producers_request::TopicRequest::default().with_name(name()).with_partition_indexes(vec![0]);
    let request = m::DescribeProducersRequest::default().with_topics(vec![topic]);
    let token = world.request(2, 0, Request::DescribeProducers(request));
    let Some(Response::DescribeProducers(response)) = world.response(2, token) else { panic!("an answer") };
    let described = &response.topics[0].partitions[0];
    assert_eq!((ErrorCode::from_code(described.error_code), described.active_producers.len()), (ErrorCode::None, 1));
}

//! One story a rule: leaders, followers, ISR, high watermark, Produce.

use super::*;
use crate::engine::observe::{ReplicaRole, TruncationReason};
use crate::engine::replica::{checkpoint, leader};

#[test]
fn a_produce_with_acks_all_waits_until_every_in_sync_replica_has_persisted_it() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.slow_disks.insert(BrokerId(3));
    let token = world.produce(1, -1, &["a", "b"]);
    world.run();
    assert_eq!(world.produced(1, token), None, "broker 3 has the records, but not safely");
    assert_eq!((world.replica(3).log_end, world.replica(3).persisted_end, world.replica(1).high_watermark), (2, 0, 0));
    world.slow_disks.clear();
    world.run();
    let answer = world.produced(1, token).expect("an answer");
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    assert_eq!(world.replica(1).high_watermark, 2);
    assert_eq!(world.log(1), world.log(3));
}

#[test]
fn the_leaders_own_disk_counts_for_the_high_watermark_too() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.slow_disks.insert(BrokerId(1));
    let token = world.produce(1, -1, &["a"]);
    world.run();
    assert_eq!((world.replica(2).persisted_end, world.replica(3).persisted_end), (1, 1));
    assert_eq!((world.produced(1, token), world.replica(1).high_watermark), (None, 0));
    world.slow_disks.clear();
    world.run();
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::None));
}

#[test]
fn acks_1_waits_for_the_own_disk_only_and_acks_0_for_nothing() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.cut(1, 2);
    world.cut(1, 3);
    let one = world.produce(1, 1, &["a"]);
    let none = world.produce(1, 0, &["b"]);
    assert_eq!(world.produced(1, one), None);
    assert!(world.nodes[&BrokerId(1)].answered_without_response.contains(&none));
    world.run();
    assert_eq!(code(world.produced(1, one)), Some(ErrorCode::None));
    assert_eq!((world.replica(1).log_end, world.replica(1).high_watermark), (2, 0));
}

#[test]
fn followers_learn_the_high_watermark_a_round_later_and_never_beyond_their_own_end() {
    let mut world = World::with_topic(2, &[1, 2]);
    world.set_config("min.insync.replicas", "1");
    world.produce(1, -1, &["a"]);
    world.run();
    assert_eq!((world.replica(1).high_watermark, world.replica(2).high_watermark), (1, 0));
    world.pass(world.config.replica_fetch_wait_max_ms + 1);
    assert_eq!(world.replica(2).high_watermark, 1);
}

#[test]
fn too_few_in_sync_replicas_refuse_a_write_and_freeze_the_high_watermark() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.set_fenced(2, true);
    world.set_fenced(3, true);
    world.change(P0, |state| state.isr = ids(&[1]));
    world.cut(1, 2);
    world.cut(1, 3);
    world.run();
    let all = world.produce(1, -1, &["a"]);
    world.produce(1, -1, &["a"]);
    let one = world.produce(1, 1, &["b"]);
    world.run();
    assert_eq!(code(world.produced(1, all)), Some(ErrorCode::NotEnoughReplicas));
    assert_eq!(code(world.produced(1, one)), Some(ErrorCode::None));
    assert_eq!((world.replica(1).persisted_end, world.replica(1).high_watermark), (1, 0));
    let told = world.events(1).filter(|kind| matches!(kind, EventKind::NotEnoughReplicas { .. })).count();
    assert_eq!(told, 1, "a producer that tries again and again is told of once");
    world.set_config("min.insync.replicas", "1");
    assert_eq!(world.replica(1).high_watermark, 1, "the new minimum lets it go on");
}

#[test]
fn what_a_producer_sent_behind_a_refused_batch_is_not_out_of_order() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    let numbered = |sequence| {
        let batch = BatchBuilder::new().producer(7, 0, sequence).value(100, b"v").build();
        batch.expect("a batch")
    };
    world.produce_batch(1, -1, 30_000, &numbered(0));
    world.run();
    world.change(P0, |state| state.isr = ids(&[1]));
    let first = world.produce_batch(1, -1, 30_000, &numbered(1));
    assert_eq!(code(world.produced(1, first)), Some(ErrorCode::NotEnoughReplicas));
    world.change(P0, |state| state.isr = ids(&[1, 2, 3]));
    let second = world.produce_batch(1, -1, 30_000, &numbered(2));
    assert_eq!(code(world.produced(1, second)), Some(ErrorCode::NotEnoughReplicas), "it would be out of order");
    let again = [world.produce_batch(1, -1, 30_000, &numbered(1)), world.produce_batch(1, -1, 30_000, &numbered(2))];
    world.run();
    assert_eq!(again.map(|token| code(world.produced(1, token))), [Some(ErrorCode::None); 2]);
}

#[test]
fn a_replica_outside_the_isr_that_keeps_up_is_waited_for_until_its_lag_time_is_over() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.set_config("min.insync.replicas", "1");
    world.refuse_isr = Some(ErrorCode::IneligibleReplica);
    world.change(P0, |state| state.isr = ids(&[1]));
    world.slow_disks.extend(ids(&[2, 3]));
    let token = world.produce(1, -1, &["a"]);
    world.run();
    assert_eq!(world.produced(1, token), None);
    world.pass(world.config.replica_lag_time_max_ms + 200);
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::None));
}

#[test]
fn an_isr_that_shrinks_below_the_minimum_lets_a_write_wait_until_it_times_out() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.slow_disks.extend(ids(&[2, 3]));
    let token = world.produce_batch(1, -1, 10_000, &batch(&["b"]));
    world.run();
    world.change(P0, |state| state.isr = ids(&[1]));
    world.pass(9_000);
    assert_eq!((world.produced(1, token), world.replica(1).high_watermark), (None, 0));
    world.pass(2_000);
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::RequestTimedOut));
}

#[test]
fn a_follower_that_lags_leaves_the_isr_after_the_lag_time_and_comes_back_when_it_has_caught_up() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.cut(1, 3);
    let token = world.produce(1, -1, &["a"]);
    world.pass(world.config.replica_lag_time_max_ms - 200);
    assert_eq!((world.isr().len(), world.produced(1, token)), (3, None));
    world.pass(400);
    assert_eq!(world.isr(), [1, 2].into());
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::None));
    world.cut.clear();
    world.pass(2 * world.config.replica_lag_time_max_ms);
    assert_eq!(world.isr(), [1, 2, 3].into());
    assert_eq!(world.log(3), world.log(1));
}

#[test]
fn an_idle_follower_does_not_lag_however_long_nothing_is_written() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.produce(1, -1, &["a"]);
    world.pass(20 * world.config.replica_lag_time_max_ms);
    world.produce(1, -1, &["b"]);
    world.pass(world.config.replica_lag_time_max_ms / 2);
    assert_eq!(world.isr().len(), 3);
    assert!(world.events(1).all(|kind| !matches!(kind, EventKind::IsrChanged { .. })));
}

#[test]
fn a_slow_disk_on_a_follower_costs_it_its_place_in_the_isr() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.slow_disks.insert(BrokerId(2));
    world.produce(1, -1, &["a"]);
    world.pass(2 * world.config.replica_lag_time_max_ms);
    assert_eq!(world.isr(), [1, 3].into());
    world.slow_disks.clear();
    world.pass(200);
    assert_eq!(world.isr(), [1, 2, 3].into());
}

#[test]
fn a_replica_that_is_proposed_counts_before_the_controller_has_answered() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.change(P0, |state| state.isr = ids(&[1, 2]));
    world.cut.insert((BrokerId(1), CONTROLLER));
    world.pass(200);
    assert_eq!((world.replica(1).isr, world.replica(1).maximal_isr), (ids(&[1, 2]), ids(&[1, 2, 3])));
    world.slow_disks.insert(BrokerId(3));
    world.produce(1, -1, &["a"]);
    world.pass(2 * world.config.replica_lag_time_max_ms);
    assert_eq!(world.replica(1).high_watermark, 0, "the proposal may have been a yes");
    world.slow_disks.clear();
    world.run();
    assert_eq!(world.replica(1).high_watermark, 1);
    world.cut.clear();
    world.pass(3 * world.config.peer_request_timeout_ms);
    assert_eq!((world.isr().len(), world.replica(1).isr.len()), (3, 3));
}

#[test]
fn a_decision_whose_answer_is_lost_is_learnt_from_the_metadata() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.change(P0, |state| state.isr = ids(&[1, 2]));
    world.deaf.insert(BrokerId(1));
    world.cut.insert((CONTROLLER, BrokerId(1)));
    world.pass(300);
    assert_eq!((world.isr().len(), world.replica(1).isr), (3, ids(&[1, 2])));
    world.cut.clear();
    world.pass(3 * world.config.peer_request_timeout_ms);
    assert_eq!(world.replica(1).isr, ids(&[1, 2]), "asking again is refused: the partition epoch is an old one");
    assert_eq!(world.replica(1).maximal_isr.len(), 3);
    world.hear(1);
    world.pass(300);
    assert_eq!(world.replica(1).isr.len(), 3);
}

#[test]
fn a_proposal_that_the_controller_calls_ineligible_is_taken_back_and_made_again_later() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.refuse_isr = Some(ErrorCode::IneligibleReplica);
    world.change(P0, |state| state.isr = ids(&[1, 2]));
    world.run();
    assert_eq!(world.replica(1).maximal_isr, ids(&[1, 2]));
    world.refuse_isr = None;
    world.pass(2 * world.config.replica_fetch_backoff_ms);
    assert_eq!(world.isr().len(), 3);
}

#[test]
fn a_fenced_replica_does_not_join_until_it_is_unfenced() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.set_fenced(3, true);
    world.change(P0, |state| state.isr = ids(&[1, 2]));
    world.pass(500);
    assert_eq!((world.isr().len(), world.replica(1).maximal_isr.len()), (2, 2));
    world.set_fenced(3, false);
    world.pass(500);
    assert_eq!(world.isr().len(), 3, "its position was told long ago and still counts");
}

#[test]
fn a_replica_of_an_older_life_is_refused_and_does_not_join() {
    let mut world = World::with_topic(2, &[1, 2]);
    world.change(P0, |state| state.isr = ids(&[1]));
    world.deaf.insert(BrokerId(2));
    world.cut.insert((BrokerId(2), BrokerId(1)));
    world.image.brokers.get_mut(&BrokerId(2)).expect("registered").broker_epoch += 1_000;
    world.publish(MetadataDelta { brokers: [BrokerId(2)].into(), ..MetadataDelta::default() });
    world.cut.clear();
    world.pass(1_000);
    assert_eq!(world.isr(), [1].into());
    assert_eq!(world.replica(1).maximal_isr, ids(&[1]));
    world.produce(1, 1, &["a"]);
    world.pass(1_000);
    assert_eq!(world.replica(2).log_end, 0, "it is told nothing until it has found out what it is");
}

#[test]
fn a_new_leader_keeps_what_it_has_beyond_its_high_watermark() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    let token = world.produce(1, -1, &["a"]);
    world.run();
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::None));
    assert_eq!(world.replica(2).high_watermark, 0, "it has not heard of it yet");
    world.kill(1, false);
    world.elect(2, &[2, 3]);
    assert_eq!((world.replica(2).log_end, world.replica(2).role), (1, ReplicaRole::Leader));
    assert_eq!(world.replica(2).high_watermark, 1, "the followers' positions bring it back at once");
    assert!(world.events(3).all(|kind| !matches!(kind, EventKind::Truncated { .. })));
}

#[test]
fn a_follower_cuts_what_the_new_leader_does_not_have() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.produce(1, -1, &["a"]);
    world.pass(300);
    world.cut(1, 2);
    world.cut(1, 3);
    let lost = world.produce(1, -1, &["only on 1", "and not acknowledged"]);
    world.run();
    world.deaf.insert(BrokerId(1));
    world.elect(2, &[2, 3]);
    let token = world.produce(2, -1, &["b"]);
    world.run();
    assert_eq!(code(world.produced(2, token)), Some(ErrorCode::None));
    world.cut.clear();
    world.hear(1);
    world.run();
    assert_eq!(code(world.produced(1, lost)), Some(ErrorCode::NotLeaderOrFollower));
    let cut = EventKind::Truncated { partition: P0, from: 3, to: 1, reason: TruncationReason::DivergingEpoch };
    assert!(world.events(1).any(|kind| *kind == cut));
    world.pass(2_000);
    assert_eq!((world.log(1), world.isr().len()), (world.log(2), 3));
}

#[test]
fn a_fast_double_failover_leaves_no_replica_with_another_history() {
    // Two leaders in a row that wrote a record each at the same offset, and a third replica that saw neither (KIP-279).
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.set_config("min.insync.replicas", "1");
    for (a, b) in [(1, 2), (1, 3), (2, 3)] {
        world.cut(a, b);
    }
    world.produce(1, 1, &["first leader's"]);
    world.run();
    world.elect(2, &[2]);
    world.produce(2, 1, &["second leader's"]);
    world.run();
    world.elect(1, &[1]);
    world.cut.clear();
    world.pass(3_000);
    assert_eq!((world.log(2), world.log(3)), (world.log(1), world.log(1)));
    assert_eq!(world.isr().len(), 3);
    assert_eq!(world.log(1)[0].header.leader_epoch, 0);
}

#[test]
fn leadership_without_a_single_write_still_leaves_its_epoch_in_the_log() {
    let mut world = World::with_topic(2, &[1, 2]);
    world.set_config("min.insync.replicas", "1");
    world.produce(1, -1, &["a"]);
    world.run();
    world.elect(2, &[1, 2]);
    let end = world.nodes[&BrokerId(2)].replicas.partitions[&P0].log.epoch_end(1);
    assert_eq!((end.epoch, end.end_offset), (1, 1));
    world.elect(1, &[1, 2]);
    world.produce(1, -1, &["b"]);
    world.pass(500);
    assert_eq!(world.log(1), world.log(2));
}

#[test]
fn a_produce_that_loses_its_leader_is_told_who_leads_and_where() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.slow_disks.insert(BrokerId(3));
    let token = world.produce(1, -1, &["a"]);
    world.run();
    world.elect(2, &[1, 2, 3]);
    let Some(Response::Produce(response)) = world.response(1, token) else { panic!("an answer") };
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::NotLeaderOrFollower);
    assert_eq!((answer.current_leader.leader_id.0, answer.current_leader.leader_epoch), (2, 1));
    assert_eq!(response.node_endpoints[0].host.as_str(), "host-2");
    let token = world.produce(1, -1, &["b"]);
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::NotLeaderOrFollower));
}

#[test]
fn a_leader_elected_again_lets_what_waits_go_on_waiting() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.slow_disks.insert(BrokerId(3));
    let token = world.produce(1, -1, &["a"]);
    world.run();
    world.change(P0, |state| state.leader_epoch += 1);
    world.run();
    assert_eq!(world.produced(1, token), None);
    world.slow_disks.clear();
    world.pass(500);
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::None));
}

#[test]
fn a_batch_that_was_written_before_is_answered_with_its_offset_and_waits_like_a_new_one() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    let producer =
        |sequence| BatchBuilder::new().producer(7, 0, sequence).value(NOW_MS, b"v").build().expect("a batch");
    let first = world.produce_batch(1, -1, 30_000, &producer(0));
    world.run();
    assert_eq!(world.produced(1, first).map(|answer| answer.base_offset), Some(0));
    world.slow_disks.insert(BrokerId(2));
    world.produce_batch(1, -1, 30_000, &producer(1));
    let again = world.produce_batch(1, -1, 30_000, &producer(1));
    let old = world.produce_batch(1, -1, 30_000, &producer(0));
    world.run();
    assert_eq!(world.produced(1, again), None);
    assert_eq!(world.produced(1, old).map(|answer| answer.base_offset), Some(0), "replicated long ago");
    world.slow_disks.clear();
    world.run();
    assert_eq!(world.produced(1, again).map(|answer| answer.base_offset), Some(1));
    assert_eq!(world.replica(1).log_end, 2);
}

#[test]
fn a_produce_that_waits_too_long_times_out_and_a_closed_connection_forgets_it() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.cut(1, 2);
    let token = world.produce_batch(1, -1, 100, &batch(&["a"]));
    world.pass(150);
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::RequestTimedOut));
    let token = world.produce(1, -1, &["b"]);
    let node = world.nodes.get_mut(&BrokerId(1)).expect("a broker");
    assert_eq!(node.replicas.parked(), 1);
    node.replicas.on_connection_closed(ConnectionId(1));
    assert_eq!(node.replicas.parked(), 0);
    world.cut.clear();
    world.pass(3_000);
    assert_eq!(world.produced(1, token), None);
    assert_eq!(world.replica(1).high_watermark, 2);
}

#[test]
fn hopeless_produce_requests_are_refused_with_kafkas_codes() {
    let mut world = World::with_topic(1, &[1]);
    let token = world.produce(1, 7, &["a"]);
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::InvalidRequiredAcks));
    let mut ask = |version, topic: TopicProduceData| {
        let request = m::ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![topic]);
        let token = world.request(1, version, Request::Produce(request));
        code(world.produced(1, token)).expect("an answer at once")
    };
    let data =
        |records: Option<bytes::Bytes>| vec![PartitionProduceData::default().with_index(0).with_records(records)];
    let good = batch(&["a"]).to_bytes();
    let by_name = |records| TopicProduceData::default().with_name(name()).with_partition_data(data(records));
    assert_eq!(ask(9, by_name(None)), ErrorCode::InvalidRecord);
    assert_eq!(ask(9, by_name(Some(good.slice(..30)))), ErrorCode::CorruptMessage);
    assert_eq!(ask(9, by_name(Some([good.clone(), good.clone()].concat().into()))), ErrorCode::InvalidRecord);
    let unknown = TopicProduceData::default().with_topic_id(uuid::Uuid::from_u128(9)).with_partition_data(data(None));
    assert_eq!(ask(13, unknown), ErrorCode::UnknownTopicId);
    let missing = m::TopicName(StrBytes::from_static_str("missing"));
    let topic = TopicProduceData::default().with_name(missing).with_partition_data(data(None));
    assert_eq!(ask(9, topic), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn metadata_older_than_the_brokers_life_makes_no_leader_and_deletes_no_log() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.produce(1, -1, &["a"]);
    world.pass(300);
    world.kill(1, false);
    world.elect(2, &[2, 3]);
    let node = world.nodes.get_mut(&BrokerId(1)).expect("a broker");
    node.replicas = Replicas::recover(&node.harness.store).expect("a readable store");
    node.is_up = true;
    node.broker_epoch += 5_000;
    // The image that the broker had when it died still says that it leads; and one without the topic says that it has
    // no replica.
    let token = world.produce(1, -1, &["b"]);
    world.nodes.get_mut(&BrokerId(1)).expect("a broker").image = Arc::default();
    let delta = MetadataDelta { is_whole: true, ..MetadataDelta::default() };
    world.step(BrokerId(1), |replicas, cx, rpc, env| {
        replicas.apply_metadata(cx, rpc, env, &delta);
    });
    assert!(world.has_replica(1));
    assert_eq!(world.replica(1).role, ReplicaRole::Idle);
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::NotLeaderOrFollower));
}

#[test]
fn a_deleted_topic_takes_its_logs_and_answers_who_waits() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.slow_disks.insert(BrokerId(2));
    let token = world.produce(1, -1, &["a"]);
    let topic = world.image.topics.remove(&TOPIC).expect("the topic");
    world.image.topic_ids.clear();
    world.publish(MetadataDelta { removed_topics: [(TOPIC, topic)].into(), ..MetadataDelta::default() });
    world.slow_disks.clear();
    world.run();
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::NotLeaderOrFollower));
    for broker in 1..=3 {
        assert!(!world.has_replica(broker));
        assert!(
            world.nodes[&BrokerId(broker)]
                .harness
                .store
                .ops()
                .iter()
                .any(|op| { matches!(op, crate::engine::io::StorageOp::DeleteLog { .. }) })
        );
    }
    world.pass(3_000);
}

#[test]
fn a_reassignment_moves_the_records_and_the_old_replica_goes() {
    let mut world = World::with_topic(3, &[1, 2]);
    world.set_config("min.insync.replicas", "1");
    world.produce(1, -1, &["a"]);
    world.run();
    world.change(P0, |state| state.replicas = ids(&[1, 2, 3]));
    world.pass(500);
    assert_eq!(world.isr(), [1, 2, 3].into());
    world.change(P0, |state| {
        state.replicas = ids(&[3, 2]);
        state.isr = ids(&[3, 2]);
        state.leader = Some(BrokerId(3));
    });
    world.pass(500);
    assert!(!world.has_replica(1));
    let token = world.produce(3, -1, &["b"]);
    world.run();
    assert_eq!(code(world.produced(3, token)), Some(ErrorCode::None));
    assert_eq!(world.log(3), world.log(2));
}

#[test]
fn a_reassignment_that_an_isr_change_completes_leaves_the_leader_with_the_new_replicas() {
    let mut world = World::with_topic(3, &[1, 2]);
    world.set_config("min.insync.replicas", "1");
    world.change(P0, |state| {
        state.replicas = ids(&[1, 3, 2]);
        state.adding = ids(&[3]);
        state.removing = ids(&[2]);
    });
    world.pass(500);
    assert_eq!((world.isr(), world.has_replica(2)), ([1, 3].into(), false));
    let node = &world.nodes[&BrokerId(1)];
    let leader = node.replicas.partitions[&P0].as_leader().expect("the leader");
    assert_eq!(leader.followers.keys().copied().collect::<Vec<_>>(), ids(&[3]));
}

#[test]
fn an_answer_to_an_earlier_life_of_a_position_is_not_taken() {
    let mut world = World::with_topic(2, &[1, 2]);
    world.set_config("min.insync.replicas", "1");
    world.pass(50);
    world.produce(1, 1, &["a"]);
    world.deaf.insert(BrokerId(1));
    world.change(P0, |state| state.leader_epoch += 1);
    let (from, to, answer) = world.messages.pop_front().expect("the answer with the record");
    world.deliver(from, to, answer);
    assert_eq!(world.replica(2).log_end, 0);
    world.hear(1);
    world.run();
    assert_eq!(world.replica(2).log_end, 1);
}

#[test]
fn a_restarted_broker_remembers_its_high_watermark_as_far_as_it_was_written_down() {
    let mut world = World::with_topic(1, &[1]);
    world.produce(1, -1, &["a", "b", "c"]);
    world.pass(1_500);
    world.kill(1, true);
    let store = &world.nodes[&BrokerId(1)].harness.store;
    assert_eq!(checkpoint::recover(store).into_values().collect::<Vec<_>>(), [3]);
    world.start(1);
    assert_eq!(world.replica(1).high_watermark, 3);
}

#[test]
fn a_lost_fetch_or_answer_costs_less_than_the_lag_time() {
    for lost in [(BrokerId(2), BrokerId(1)), (BrokerId(1), BrokerId(2))] {
        let mut world = World::with_topic(2, &[1, 2]);
        world.set_config("min.insync.replicas", "1");
        world.pass(50);
        world.cut.insert(lost);
        world.pass(100);
        world.cut.clear();
        let token = world.produce(1, -1, &["a"]);
        world.pass(700);
        assert_eq!(code(world.produced(1, token)), Some(ErrorCode::None));
        assert_eq!(world.isr().len(), 2);
    }
}

#[test]
fn a_leader_that_restarts_has_no_sessions_and_its_followers_begin_new_ones() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.pass(300);
    world.kill(1, false);
    world.elect(2, &[2, 3]);
    world.start(1);
    world.pass(1_000);
    world.elect(1, &[1, 2, 3]);
    let token = world.produce(1, -1, &["a"]);
    world.run();
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::None));
}

#[test]
fn a_replica_far_behind_begins_where_the_leader_begins() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.cut(1, 3);
    world.produce(1, -1, &["a", "b"]);
    world.produce(1, -1, &["c", "d"]);
    world.pass(3_000);
    assert_eq!(world.isr(), [1, 2].into());
    // Within a batch: the whole batch comes, and its first record is not shown.
    world.step(BrokerId(1), |replicas, cx, _, _| replicas.move_log_start(cx, P0, 3));
    world.cut.clear();
    world.pass(3_000);
    assert_eq!((world.replica(3).log_start, world.replica(3).log_end), (3, 4));
    assert_eq!((world.log(3), world.isr().len()), (world.log(1), 3));
}

#[test]
fn a_replica_beyond_its_unclean_leader_cuts_down_to_it() {
    let mut world = World::with_topic(2, &[1, 2]);
    world.set_config("min.insync.replicas", "1");
    world.cut(1, 2);
    world.change(P0, |state| state.isr = ids(&[1]));
    world.produce(1, -1, &["a", "b", "c"]);
    world.pass(1_500);
    assert_eq!(world.replica(1).high_watermark, 3);
    world.elect(2, &[2]);
    world.cut.clear();
    world.pass(2_000);
    assert_eq!((world.replica(1).log_end, world.replica(1).high_watermark), (0, 0));
    let store = &world.nodes[&BrokerId(1)].harness.store;
    assert_eq!(checkpoint::recover(store).into_values().collect::<Vec<_>>(), [0], "a crash must not bring 3 back");
    world.produce(2, -1, &["x"]);
    world.pass(500);
    assert_eq!((world.log(1), world.isr().len()), (world.log(2), 2));
}

#[test]
fn a_full_store_stops_the_fetchers_until_it_has_room() {
    let mut world = World::with_topic(2, &[1, 2]);
    world.nodes.get_mut(&BrokerId(2)).expect("a broker").harness.store.full = true;
    world.set_config("min.insync.replicas", "1");
    world.produce(1, 1, &["a"]);
    world.run();
    world.produce(1, 1, &["b"]);
    world.pass(300);
    assert_eq!(world.replica(2).log_end, 1, "what was under way came in");
    world.nodes.get_mut(&BrokerId(2)).expect("a broker").harness.store.full = false;
    world.step(BrokerId(2), |replicas, cx, rpc, env| replicas.on_room(cx, rpc, env));
    world.run();
    assert_eq!(world.replica(2).log_end, 2);
}

#[test]
fn an_idle_fetch_names_no_partitions() {
    let mut world = World::with_topic(2, &[1, 2]);
    for partition in 1..50 {
        world.create(PartitionId::new(TOPIC, partition), &[1, 2]);
    }
    world.pass(500);
    let mut named = 0;
    for _ in 0..5 {
        world.now = world.now.plus_millis(world.config.replica_fetch_wait_max_ms);
        for id in ids(&[1, 2]) {
            world.step(id, |replicas, cx, rpc, env| replicas.on_wake(cx, rpc, env));
        }
        for (_, _, message) in &world.messages {
            named += match &message.body {
                PeerBody::Request(PeerRequest::ReplicaFetch(fetch)) => fetch.partitions.len(),
                PeerBody::Response(PeerResponse::ReplicaFetch(answer)) => answer.partitions.len(),
                _ => 0,
            };
        }
        world.run();
    }
    assert_eq!(named, 0);
}

#[test]
fn a_new_partition_does_not_wait_for_the_fetch_that_waits() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.pass(50);
    world.create(PartitionId::new(TOPIC, 1), &[1, 2, 3]);
    world.run();
    let data = PartitionProduceData::default().with_index(1).with_records(Some(batch(&["a"]).to_bytes()));
    let topic = TopicProduceData::default().with_name(name()).with_partition_data(vec![data]);
    let request = m::ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![topic]);
    let token = world.request(1, 9, Request::Produce(request));
    world.run();
    assert_eq!(code(world.produced(1, token)), Some(ErrorCode::None), "no time has passed");
}

#[test]
fn a_leader_that_hears_of_its_election_last_takes_the_positions_told_before() {
    let mut world = World::with_topic(3, &[1, 2, 3]);
    world.produce(1, -1, &["a"]);
    world.pass(300);
    world.deaf.insert(BrokerId(2));
    world.elect(2, &[1, 2, 3]);
    assert_eq!(world.replica(2).role, ReplicaRole::Follower);
    world.hear(2);
    let token = world.produce(2, -1, &["b"]);
    world.run();
    assert_eq!(code(world.produced(2, token)), Some(ErrorCode::None), "no time has passed");
}

#[test]
fn many_partitions_are_led_with_one_request_for_their_isr() {
    let mut world = World::with_topic(2, &[1, 2]);
    for partition in 1..20 {
        world.create(PartitionId::new(TOPIC, partition), &[1, 2]);
    }
    world.run();
    let all: Vec<PartitionId> = (0..20).map(|partition| PartitionId::new(TOPIC, partition)).collect();
    let topic = Arc::make_mut(world.image.topics.get_mut(&TOPIC).expect("the topic"));
    for state in topic.partitions.values_mut() {
        state.isr = ids(&[1]);
        state.partition_epoch += 1;
    }
    world.publish(MetadataDelta { partitions: all.into_iter().collect(), ..MetadataDelta::default() });
    let asked: Vec<usize> = world
        .messages
        .iter()
        .filter_map(|(_, _, message)| match &message.body {
            PeerBody::Request(PeerRequest::AlterPartition(request)) => Some(request.partitions.len()),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [20]);
    world.run();
    assert_eq!(world.nodes[&BrokerId(1)].replicas.leaders_count(), 20);
}

#[test]
fn a_follower_that_kept_up_is_caught_up_at_the_time_of_its_last_fetch() {
    let at = Instant::from_millis;
    let mut progress = leader::Progress::default();
    progress.told(at(100), 5, 0, 1, 5);
    assert!(progress.is_caught_up(5, at(90_000), 1_000), "whoever has everything does not lag");
    progress.is_listening = true;
    progress.before_append(5, Some(at(2_000)));
    assert!(progress.is_caught_up(6, at(2_900), 1_000));
    assert!(!progress.is_caught_up(6, at(3_100), 1_000));
    progress.told(at(3_000), 6, 0, 1, 9);
    progress.told(at(3_500), 9, 0, 1, 12);
    assert!(
        progress.is_caught_up(12, at(4_000), 1_000),
        "at 3000 it had not all, at 3500 all that there had been at 3000"
    );
    assert!(!progress.is_caught_up(12, at(4_001), 1_000));
}

//! The life of brokers, rule by rule.

use crate::engine::controller::brokers::check_broker_epoch;
use crate::engine::controller::harness::{Harness, directory, ids};
use crate::engine::controller::record::MetadataRecord;
use crate::engine::observe::{ElectionReason, EventKind};
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, DirectoryId};
use crate::protocol::peer::{BrokerHeartbeatRequest, PeerRequest, PeerResponse, RegisterBrokerRequest};
use kafka_protocol::messages::UnregisterBrokerRequest;
use uuid::Uuid;

#[test]
fn a_registration_is_fenced_and_its_epoch_is_its_records_offset() {
    let mut cluster = Harness::new(3);
    let response = cluster.register(1, -1);
    assert_eq!(response.broker_epoch, cluster.end() - 1);
    assert!(matches!(cluster.log.last(), Some(MetadataRecord::RegisterBroker { .. })));
    assert!(cluster.image().brokers[&BrokerId(1)].fenced);
}

#[test]
fn a_broker_is_unfenced_once_it_has_applied_its_own_registration() {
    let mut cluster = Harness::new(3);
    let epoch = cluster.register(1, -1).broker_epoch;
    let early = cluster.beat(1, epoch - 1, false, false);
    assert!(early.is_fenced && !early.is_caught_up);
    assert!(cluster.last.records.is_empty() && cluster.last.answers_at_once);
    let caught_up = cluster.beat(1, epoch, false, false);
    assert!(!caught_up.is_fenced && caught_up.is_caught_up);
    assert!(!cluster.last.answers_at_once, "being unfenced is promised only when it is committed");
    assert!(cluster.last.events.contains(&EventKind::BrokerUnfenced { broker: BrokerId(1) }));
}

#[test]
fn a_broker_that_wants_to_stay_fenced_stays_so() {
    let mut cluster = Harness::new(3);
    cluster.register(1, -1);
    let applied = cluster.end();
    assert!(cluster.beat(1, applied, true, false).is_fenced);
}

#[test]
fn a_repeated_registration_of_the_same_incarnation_changes_nothing() {
    let mut cluster = Harness::new(3);
    let request = RegisterBrokerRequest {
        broker: BrokerId(1),
        incarnation: Uuid::from_u128(77),
        directory: directory(1),
        host: "localhost".to_owned(),
        port: 9_092,
        rack: None,
        previous_broker_epoch: -1,
        is_controller: true,
    };
    let first = cluster.peer(1, &PeerRequest::RegisterBroker(request.clone()));
    let end = cluster.end();
    assert_eq!(cluster.peer(1, &PeerRequest::RegisterBroker(request)), first);
    assert_eq!(cluster.end(), end);
}

#[test]
fn another_incarnation_is_a_duplicate_while_the_first_one_lives() {
    let mut cluster = Harness::with_brokers(1);
    assert_eq!(cluster.register(1, -1).error, ErrorCode::DuplicateBrokerRegistration);
    cluster.pass(cluster.config.broker_session_timeout_ms);
    assert_eq!(cluster.register(1, -1).error, ErrorCode::None);
}

#[test]
fn a_log_directory_belongs_to_one_broker() {
    let mut cluster = Harness::with_brokers(1);
    assert_eq!(cluster.register_as(2, directory(1), -1).error, ErrorCode::InvalidRegistration);
}

#[test]
fn a_silent_broker_is_fenced_after_its_session_and_its_partitions_move() {
    let mut cluster = Harness::with_brokers(3);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    cluster.lose(1);
    let state = cluster.state(partition);
    assert_eq!((state.leader, &state.isr), (Some(BrokerId(2)), &ids(&[2, 3])));
    assert_eq!((state.leader_epoch, state.partition_epoch), (1, 1));
    assert!(cluster.image().brokers[&BrokerId(1)].fenced);
    let wake = cluster.controller.next_wake().expect("others can time out");
    assert!(wake.at > cluster.now);
}

#[test]
fn brokers_that_time_out_together_leave_one_after_the_other() {
    let mut cluster = Harness::with_brokers(3);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    cluster.pass(cluster.config.broker_session_timeout_ms);
    let state = cluster.state(partition);
    assert_eq!((state.leader, state.isr.len()), (None, 0));
    assert_eq!(state.elr, ids(&[2, 3]), "1 left an ISR that was still large enough");
    assert_eq!(state.last_known_elr, ids(&[3]));
    assert_eq!(&cluster.replayed(), cluster.image());
}

#[test]
fn a_broker_that_comes_back_cleanly_keeps_its_place_in_the_elr() {
    let mut cluster = Harness::with_brokers(3);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    let epoch = cluster.epoch_of(3);
    cluster.pass(cluster.config.broker_session_timeout_ms);
    cluster.start(3, epoch);
    let state = cluster.state(partition);
    assert_eq!((state.leader, &state.isr, &state.elr), (Some(BrokerId(3)), &ids(&[3]), &ids(&[2])));
    let elected =
        cluster.last.events.iter().any(|event| {
            matches!(event, EventKind::LeaderElected { reason: ElectionReason::EligibleLeaderReplica, .. })
        });
    assert!(elected);
}

#[test]
fn a_broker_that_comes_back_unclean_leaves_isr_and_elr() {
    let mut cluster = Harness::with_brokers(3);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    cluster.pass(cluster.config.broker_session_timeout_ms);
    cluster.start(2, -1);
    assert_eq!(cluster.state(partition).elr, ids(&[3]));
    assert_eq!(cluster.state(partition).leader, None, "it may lack what was acknowledged");
}

#[test]
fn with_every_replica_unclean_the_last_known_leader_is_elected() {
    let mut cluster = Harness::with_brokers(3);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    cluster.pass(cluster.config.broker_session_timeout_ms);
    cluster.start(1, -1);
    cluster.start(2, -1);
    assert_eq!(cluster.state(partition).leader, None);
    cluster.start(3, -1);
    let state = cluster.state(partition);
    assert_eq!((state.leader, &state.isr, state.is_recovering), (Some(BrokerId(3)), &ids(&[3]), true));
}

#[test]
fn a_last_known_leader_with_a_new_disk_is_not_elected() {
    let mut cluster = Harness::with_brokers(1);
    let partition = cluster.topic("orders", &[&[1]]);
    let epoch = cluster.epoch_of(1);
    cluster.pass(cluster.config.broker_session_timeout_ms);
    assert_eq!(cluster.state(partition).elr, ids(&[1]));
    let other_disk = DirectoryId(Uuid::from_u128(99));
    assert_eq!(cluster.register_as(1, other_disk, epoch).error, ErrorCode::None);
    assert!(!cluster.alive(1).is_fenced);
    let state = cluster.state(partition);
    assert_eq!((state.leader, &state.elr, &state.last_known_elr), (None, &vec![], &vec![]));
}

#[test]
fn requests_under_an_old_broker_epoch_are_stale() {
    let mut cluster = Harness::with_brokers(2);
    let old = cluster.epoch_of(1);
    cluster.lose(1);
    cluster.start(1, old);
    let request = BrokerHeartbeatRequest {
        broker: BrokerId(1),
        broker_epoch: old,
        current_metadata_offset: cluster.end(),
        want_fence: false,
        want_shut_down: false,
    };
    let PeerResponse::BrokerHeartbeat(response) = cluster.peer(1, &PeerRequest::BrokerHeartbeat(request)) else {
        panic!("a heartbeat is answered");
    };
    assert_eq!(response.error, ErrorCode::StaleBrokerEpoch);
    let unknown = check_broker_epoch(cluster.image(), BrokerId(9), 1);
    assert_eq!(unknown.err(), Some(ErrorCode::StaleBrokerEpoch));
}

#[test]
fn a_broker_that_stops_hands_over_and_goes_when_the_others_know() {
    let mut cluster = Harness::with_brokers(3);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    let before = cluster.end() - 1;
    let asked = cluster.beat(1, before, false, true);
    assert!(!asked.should_shut_down && !asked.is_fenced);
    let state = cluster.state(partition);
    assert_eq!((state.leader, &state.isr), (Some(BrokerId(2)), &ids(&[2, 3])));
    assert!(cluster.image().brokers[&BrokerId(1)].in_controlled_shutdown);
    let must_pass = cluster.end() - 1;
    assert!(!cluster.beat(1, before, false, true).should_shut_down, "nobody has applied it yet");
    cluster.beat(2, must_pass, false, false);
    assert!(!cluster.beat(1, before, false, true).should_shut_down, "3 has not");
    cluster.beat(3, must_pass, false, false);
    let done = cluster.beat(1, before, false, true);
    assert!(done.should_shut_down && done.is_fenced);
    assert!(cluster.image().brokers[&BrokerId(1)].fenced);
    // Asking again is answered again, without another record.
    let end = cluster.end();
    assert!(cluster.beat(1, before, false, true).should_shut_down);
    assert_eq!(cluster.end(), end);
}

#[test]
fn a_broker_that_leads_nothing_may_stop_at_once() {
    let mut cluster = Harness::with_brokers(2);
    let applied = cluster.end() - 1;
    assert!(cluster.beat(2, applied, false, true).should_shut_down);
}

#[test]
fn the_last_broker_of_all_can_stop_too() {
    let mut cluster = Harness::with_brokers(1);
    let partition = cluster.topic("orders", &[&[1]]);
    let applied = cluster.end() - 1;
    cluster.beat(1, applied, false, true);
    assert!(cluster.beat(1, applied, false, true).should_shut_down);
    let epoch = cluster.epoch_of(1);
    cluster.start(1, epoch);
    assert_eq!(cluster.state(partition).leader, Some(BrokerId(1)), "it stopped cleanly and is eligible");
}

#[test]
fn an_unregistered_broker_leaves_every_isr_and_elr() {
    let mut cluster = Harness::with_brokers(3);
    let partition = cluster.topic("orders", &[&[1, 2, 3]]);
    let unregister = |id| {
        let id = kafka_protocol::messages::BrokerId(id);
        Request::UnregisterBroker(UnregisterBrokerRequest::default().with_broker_id(id))
    };
    let Response::UnregisterBroker(response) = cluster.ask(ApiKey::UnregisterBroker, &unregister(1)) else {
        panic!("UnregisterBroker is answered");
    };
    assert_eq!(response.error_code, 0);
    assert_eq!(cluster.state(partition).isr, ids(&[2, 3]));
    assert!(!cluster.image().brokers.contains_key(&BrokerId(1)));
    let Response::UnregisterBroker(response) = cluster.ask(ApiKey::UnregisterBroker, &unregister(1)) else {
        panic!("UnregisterBroker is answered");
    };
    assert_eq!(response.error_code, ErrorCode::BrokerIdNotRegistered.code());
    assert_eq!(&cluster.replayed(), cluster.image());
}

#[test]
fn blocks_of_producer_ids_do_not_overlap_and_need_a_current_broker() {
    use crate::protocol::peer::AllocateProducerIdsRequest;
    let mut cluster = Harness::with_brokers(1);
    let epoch = cluster.epoch_of(1);
    let mut ask = |broker_epoch| {
        let request = AllocateProducerIdsRequest { broker: BrokerId(1), broker_epoch };
        match cluster.peer(1, &PeerRequest::AllocateProducerIds(request)) {
            PeerResponse::AllocateProducerIds(response) => response,
            other => panic!("AllocateProducerIds is answered, not {other:?}"),
        }
    };
    assert_eq!(ask(-5).error, ErrorCode::StaleBrokerEpoch);
    let (first, second) = (ask(epoch), ask(epoch));
    assert_eq!((first.first, first.length), (0, 1_000));
    assert_eq!(second.first, 1_000);
}

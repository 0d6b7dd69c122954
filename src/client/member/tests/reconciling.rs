//! A member of the protocol of KIP-848 against scripted coordinators.

use super::*;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use uuid::Uuid;

const ORDERS: Uuid = Uuid::from_u128(77);

impl Script {
    fn reconciling(change: impl Fn(&mut MemberOptions)) -> Script {
        Script::new(|options| {
            options.protocol = Protocol::Consumer { member_id: ID.to_owned() };
            change(options);
        })
    }

    /// Takes its heartbeat and answers it; `given` is what the member is to have, unless that is nothing new.
    fn reconciles(&mut self, epoch: i32, given: Option<&[i32]>) -> m::ConsumerGroupHeartbeatRequest {
        self.told(m::ConsumerGroupHeartbeatResponse::default().with_member_epoch(epoch).with_assignment(given.map(
            |given| {
                let topic = TopicPartitions::default().with_topic_id(ORDERS).with_partitions(given.to_vec());
                Assignment::default().with_topic_partitions(if given.is_empty() { Vec::new() } else { vec![topic] })
            },
        )))
    }

    fn told(&mut self, response: m::ConsumerGroupHeartbeatResponse) -> m::ConsumerGroupHeartbeatRequest {
        let call = self.asked("a heartbeat", |request| matches!(request, Request::ConsumerGroupHeartbeat(_)));
        assert!(matches!(call.to, Target::Coordinator(_)));
        self.answer(&call, Response::ConsumerGroupHeartbeat(response.with_heartbeat_interval_ms(500)));
        let Request::ConsumerGroupHeartbeat(heartbeat) = call.request else { unreachable!() };
        heartbeat
    }

    fn refused(&mut self, error: ErrorCode) -> m::ConsumerGroupHeartbeatRequest {
        self.told(m::ConsumerGroupHeartbeatResponse::default().with_error_code(error.code()))
    }

    fn names_topics(&mut self) {
        let call = self.asked("metadata", |request| matches!(request, Request::Metadata(_)));
        let told = MetadataResponseTopic::default().with_name(Some(topic("orders"))).with_topic_id(ORDERS);
        self.answer(&call, Response::Metadata(m::MetadataResponse::default().with_topics(vec![told])));
        self.wait(RETRY_BACKOFF_MS);
    }

    fn asks_heartbeat(&mut self) -> bool {
        self.asks(|request| matches!(request, Request::ConsumerGroupHeartbeat(_)))
    }
}

/// What a heartbeat says to own; `None` if it says nothing of it.
fn owned(heartbeat: &m::ConsumerGroupHeartbeatRequest) -> Option<Vec<i32>> {
    let topics = heartbeat.topic_partitions.as_ref()?;
    Some(topics.iter().flat_map(|topic| topic.partitions.iter().copied()).collect())
}

/// A member in epoch 1 that owns these partitions, each committed at 10.
fn settled(given: &[i32], change: impl Fn(&mut MemberOptions)) -> Script {
    let mut script = Script::reconciling(change);
    script.find(2);
    script.reconciles(1, Some(given));
    script.names_topics();
    script.places(10);
    script.reconciles(1, None);
    script.events();
    script
}

#[test]
fn a_member_joins_in_epoch_zero_takes_what_it_is_given_and_says_that_it_has_it() {
    let mut script = Script::reconciling(|_| {});
    script.find(2);
    let joins = script.reconciles(3, Some(&[0, 1]));
    assert_eq!((joins.member_epoch, joins.member_id.as_str()), (0, ID));
    assert_eq!(joins.subscribed_topic_names, Some(vec![topic("orders")]));
    assert_eq!((owned(&joins), joins.rebalance_timeout_ms), (Some(Vec::new()), 300_000));
    script.names_topics();
    let says = script.reconciles(3, None);
    assert_eq!((says.member_epoch, owned(&says), says.subscribed_topic_names), (3, Some(vec![0, 1]), None));
    let call = script.asked("offsets", |request| matches!(request, Request::OffsetFetch(_)));
    let Request::OffsetFetch(fetch) = &call.request else { unreachable!() };
    assert_eq!((fetch.groups[0].member_id.as_deref(), fetch.groups[0].member_epoch), (Some(ID), 3));
    script.fail(&call);
    script.wait(RETRY_BACKOFF_MS);
    script.find(2);
    script.places(7);
    let placed = [0, 1].map(|number| (part(number), Some(at(7)))).into_iter().collect();
    assert_eq!(script.events(), [Event::Joined { generation: 3, partitions: 2 }, Event::Assigned(placed)]);
    script.wait(500 - 2 * RETRY_BACKOFF_MS);
    assert!(!script.asks_heartbeat(), "the coordinator said how often: 500 ms after it said it");
    script.wait(RETRY_BACKOFF_MS);
    let quiet = script.reconciles(3, None);
    assert_eq!((owned(&quiet), quiet.rebalance_timeout_ms), (None, -1));
}

#[test]
fn what_is_taken_away_is_committed_and_given_up_before_the_coordinator_hears_of_it() {
    let mut script = settled(&[0, 1], |_| {});
    script.member.processed(&part(1), at(25));
    script.wait(500);
    script.reconciles(1, Some(&[0]));
    assert_eq!(script.events(), [Event::Revoked(parts(&[1]))]);
    assert!(!script.asks_heartbeat(), "the commit comes first");
    assert_eq!(script.commits(ErrorCode::None), (BTreeMap::from([(1, 25)]), 1));
    let says = script.reconciles(2, None);
    assert_eq!((says.member_epoch, owned(&says)), (1, Some(vec![0])));
    assert_eq!((script.member.owned(), script.member.generation()), (&parts(&[0]), 2));
    script.wait(500);
    script.reconciles(2, Some(&[0, 2]));
    script.places(30);
    assert_eq!(script.events().last(), Some(&Event::Assigned(BTreeMap::from([(part(2), Some(at(30)))]))));
}

#[test]
fn a_fenced_member_loses_everything_and_joins_under_its_id() {
    for error in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
        let mut script = settled(&[0], |_| {});
        script.member.processed(&part(0), at(25));
        script.wait(500);
        script.refused(error);
        assert_eq!(script.events(), [Event::Lost(parts(&[0]))]);
        script.wait(RETRY_BACKOFF_MS);
        let joins = script.reconciles(5, Some(&[]));
        assert_eq!((joins.member_epoch, joins.member_id.as_str(), owned(&joins)), (0, ID, Some(Vec::new())));
        assert!(!script.asks(|request| matches!(request, Request::OffsetCommit(_))));
    }
}

#[test]
fn a_member_whose_group_is_not_known_joins_anew_unless_it_was_joining() {
    let mut script = settled(&[0], |_| {});
    script.wait(5_000);
    script.refused(ErrorCode::GroupIdNotFound);
    assert_eq!(script.events(), [Event::Lost(parts(&[0]))], "a broker that no longer coordinates may say so");
    script.wait(RETRY_BACKOFF_MS);
    script.reconciles(1, Some(&[0]));
    assert_eq!(script.member.failure(), None);
    let mut script = Script::reconciling(|_| {});
    script.find(2);
    script.refused(ErrorCode::GroupIdNotFound);
    assert!(script.member.failure().is_some(), "it is a group of the other protocol");
}

#[test]
fn after_an_answer_that_was_lost_everything_is_said_again() {
    let mut script = settled(&[0], |_| {});
    script.wait(500);
    let call = script.asked("a heartbeat", |request| matches!(request, Request::ConsumerGroupHeartbeat(_)));
    script.fail(&call);
    script.wait(RETRY_BACKOFF_MS);
    script.find(3);
    let says = script.reconciles(1, None);
    assert_eq!((says.member_epoch, owned(&says)), (1, Some(vec![0])));
    assert!(says.subscribed_topic_names.is_some());
}

#[test]
fn a_commit_in_an_epoch_that_has_passed_is_repeated_in_the_next() {
    let mut script = settled(&[0], |_| {});
    script.member.processed(&part(0), at(25));
    script.member.commit();
    assert_eq!(script.commits(ErrorCode::StaleMemberEpoch).1, 1);
    assert!(!script.asks(|request| matches!(request, Request::OffsetCommit(_))), "not in the same one again");
    script.reconciles(2, None);
    assert_eq!(script.commits(ErrorCode::None), (BTreeMap::from([(0, 25)]), 2));
    assert!(script.member.is_committed());
}

#[test]
fn whoever_leaves_says_whether_for_good() {
    for (instance, epoch) in [(None, -1), (Some("till-1".to_owned()), -2)] {
        let mut script = settled(&[0], |options| options.instance.clone_from(&instance));
        script.member.processed(&part(0), at(12));
        script.member.leave(script.now_ms, 3_000);
        assert_eq!(script.commits(ErrorCode::None).0, BTreeMap::from([(0, 12)]));
        let says = script.reconciles(epoch, None);
        assert_eq!((says.member_epoch, says.instance_id.is_some()), (epoch, instance.is_some()));
        assert!(script.member.is_gone());
    }
}

#[test]
fn an_instance_that_another_member_has_is_refused_in_words() {
    let mut script = Script::reconciling(|options| options.instance = Some("till-1".to_owned()));
    script.find(2);
    script.refused(ErrorCode::UnreleasedInstanceId);
    assert_eq!(script.member.failure(), Some("billing: another member of this instance id is in the group"));
}

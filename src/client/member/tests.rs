//! A member against scripted coordinators: what both protocols have in common, and the classic one.

mod reconciling;

use super::*;
use crate::protocol::consumer_protocol::{Subscription, decode_assignment, encode_assignment, encode_subscription};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages as m;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::protocol::StrBytes;

const GROUP: &str = "billing";
const ID: &str = "m-1";

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic(name: &str) -> m::TopicName {
    m::TopicName(text(name))
}

fn part(number: i32) -> TopicPartition {
    TopicPartition::new("orders", number)
}

fn parts(numbers: &[i32]) -> BTreeSet<TopicPartition> {
    numbers.iter().map(|number| part(*number)).collect()
}

fn at(offset: i64) -> Position {
    Position { offset, leader_epoch: -1 }
}

/// A member, its clock, and the calls that wait for an answer.
struct Script {
    member: Member,
    now_ms: u64,
    calls: Vec<Call>,
}

impl Script {
    fn new(change: impl Fn(&mut MemberOptions)) -> Script {
        let mut options = MemberOptions::new(GROUP, &["orders".to_owned()]);
        change(&mut options);
        Script { member: Member::new(options), now_ms: 0, calls: Vec::new() }
    }

    /// Lets it go on and collects what it asks.
    fn turn(&mut self) {
        let turn = self.member.turn(self.now_ms);
        self.calls.extend(turn.calls);
    }

    fn wait(&mut self, pause_ms: u64) {
        self.now_ms += pause_ms;
        self.turn();
    }

    /// Takes the one call of a kind that it has to have made by now.
    fn asked(&mut self, what: &str, is_it: impl Fn(&Request) -> bool) -> Call {
        self.turn();
        let place = self.calls.iter().position(|call| is_it(&call.request));
        let place = place.unwrap_or_else(|| panic!("{what} was not asked but {:?}", self.calls));
        self.calls.remove(place)
    }

    fn answer(&mut self, call: &Call, response: Response) {
        self.member.answer(self.now_ms, call.id, Answer::Response(Box::new(response)));
        self.turn();
    }

    fn fail(&mut self, call: &Call) {
        self.member.answer(self.now_ms, call.id, Answer::Failed("reset".to_owned()));
        self.turn();
    }

    fn asks(&mut self, is_it: impl Fn(&Request) -> bool) -> bool {
        self.turn();
        self.calls.iter().any(|call| is_it(&call.request))
    }

    fn find(&mut self, broker: i32) {
        let call = self.asked("the coordinator", |request| matches!(request, Request::FindCoordinator(_)));
        let found = Coordinator::default()
            .with_key(text(GROUP))
            .with_node_id(m::BrokerId(broker))
            .with_host(text("localhost"))
            .with_port(9092);
        self.answer(
            &call,
            Response::FindCoordinator(m::FindCoordinatorResponse::default().with_coordinators(vec![found])),
        );
    }

    fn join_call(&mut self) -> (Call, m::JoinGroupRequest) {
        let call = self.asked("to join", |request| matches!(request, Request::JoinGroup(_)));
        let Request::JoinGroup(join) = call.request.clone() else { unreachable!() };
        (call, join)
    }

    /// Is let into a generation, led by another or by itself with others.
    fn joins(
        &mut self,
        generation: i32,
        protocol: &str,
        others: &[(&str, &[i32])],
        leads: bool,
    ) -> m::JoinGroupRequest {
        let (call, join) = self.join_call();
        let own = JoinGroupResponseMember::default()
            .with_member_id(text(ID))
            .with_metadata(join.protocols[0].metadata.clone());
        let other = |(id, owned): &(&str, &[i32])| {
            let owned = owned.iter().map(|number| ("orders".to_owned(), *number)).collect();
            let subscription = Subscription { topics: vec!["orders".to_owned()], owned, generation: generation - 1 };
            JoinGroupResponseMember::default()
                .with_member_id(text(id))
                .with_metadata(encode_subscription(&subscription))
        };
        let members = if leads { std::iter::once(own).chain(others.iter().map(other)).collect() } else { Vec::new() };
        let response = m::JoinGroupResponse::default()
            .with_generation_id(generation)
            .with_protocol_name(Some(text(protocol)))
            .with_leader(text(if leads { ID } else { "another" }))
            .with_member_id(text(ID))
            .with_members(members);
        self.answer(&call, Response::JoinGroup(response));
        join
    }

    fn join_error(&mut self, error: ErrorCode, member_id: &str) -> m::JoinGroupRequest {
        let (call, join) = self.join_call();
        let response = m::JoinGroupResponse::default().with_error_code(error.code()).with_member_id(text(member_id));
        self.answer(&call, Response::JoinGroup(response));
        join
    }

    fn syncs(&mut self, given: &[i32]) -> m::SyncGroupRequest {
        let call = self.asked("to sync", |request| matches!(request, Request::SyncGroup(_)));
        let given = given.iter().map(|number| ("orders".to_owned(), *number)).collect();
        let response = m::SyncGroupResponse::default().with_assignment(encode_assignment(&given));
        self.answer(&call, Response::SyncGroup(response));
        let Request::SyncGroup(sync) = call.request else { unreachable!() };
        sync
    }

    /// Answers what is committed: the same for each partition that it asks for; −1 is nothing.
    fn places(&mut self, offset: i64) {
        let call = self.asked("offsets", |request| matches!(request, Request::OffsetFetch(_)));
        let Request::OffsetFetch(fetch) = &call.request else { unreachable!() };
        let asked = fetch.groups[0].topics.as_ref().expect("topics").iter();
        let topics = asked.map(|topic| {
            let parts = topic.partition_indexes.iter().map(|number| {
                OffsetFetchResponsePartitions::default().with_partition_index(*number).with_committed_offset(offset)
            });
            OffsetFetchResponseTopics::default().with_name(topic.name.clone()).with_partitions(parts.collect())
        });
        let group = OffsetFetchResponseGroup::default().with_topics(topics.collect());
        self.answer(&call, Response::OffsetFetch(m::OffsetFetchResponse::default().with_groups(vec![group])));
    }

    fn beats(&mut self, error: ErrorCode) {
        let interval_ms = u64::from(self.member.options.heartbeat_interval_ms);
        self.wait(interval_ms);
        let call = self.asked("a heartbeat", |request| matches!(request, Request::Heartbeat(_)));
        self.answer(&call, Response::Heartbeat(m::HeartbeatResponse::default().with_error_code(error.code())));
    }

    /// The offsets that it wants committed, and the generation it says so in.
    fn commits(&mut self, error: ErrorCode) -> (BTreeMap<i32, i64>, i32) {
        let call = self.asked("a commit", |request| matches!(request, Request::OffsetCommit(_)));
        let Request::OffsetCommit(commit) = &call.request else { unreachable!() };
        let committed: BTreeMap<i32, i64> =
            commit.topics[0].partitions.iter().map(|part| (part.partition_index, part.committed_offset)).collect();
        let generation = commit.generation_id_or_member_epoch;
        let parts = committed.keys().map(|number| {
            OffsetCommitResponsePartition::default().with_partition_index(*number).with_error_code(error.code())
        });
        let answered = OffsetCommitResponseTopic::default().with_name(topic("orders")).with_partitions(parts.collect());
        self.answer(&call, Response::OffsetCommit(m::OffsetCommitResponse::default().with_topics(vec![answered])));
        (committed, generation)
    }

    fn tells_topics(&mut self, partitions: i32) {
        let call = self.asked("metadata", |request| matches!(request, Request::Metadata(_)));
        let parts = (0..partitions).map(|number| MetadataResponsePartition::default().with_partition_index(number));
        let mut told =
            MetadataResponseTopic::default().with_name(Some(topic("orders"))).with_partitions(parts.collect());
        if partitions == 0 {
            told = told.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
        }
        self.answer(&call, Response::Metadata(m::MetadataResponse::default().with_topics(vec![told])));
    }

    fn events(&mut self) -> Vec<Event> {
        self.member.take_events()
    }
}

/// A member of generation 1 that follows and owns these partitions, each committed at 10.
fn follower(given: &[i32], change: impl Fn(&mut MemberOptions)) -> Script {
    let mut script = Script::new(change);
    script.find(2);
    let protocol = script.member.options.assignors[0].name();
    script.joins(1, protocol, &[], false);
    script.syncs(given);
    script.places(10);
    script.events();
    script
}

fn cooperative(options: &mut MemberOptions) {
    options.assignors = vec![Assignor::CooperativeSticky];
}

#[test]
fn a_member_asks_for_an_id_joins_syncs_and_learns_where_to_go_on() {
    let mut script = Script::new(|_| {});
    script.find(2);
    let first = script.join_error(ErrorCode::MemberIdRequired, ID);
    assert_eq!((first.member_id.as_str(), first.protocol_type.as_str()), ("", "consumer"));
    let names: Vec<&str> = first.protocols.iter().map(|protocol| protocol.name.as_str()).collect();
    assert_eq!(names, ["range", "roundrobin", "cooperative-sticky"]);
    let again = script.joins(1, "range", &[], false);
    assert_eq!(again.member_id.as_str(), ID);
    let sync = script.syncs(&[0, 1]);
    assert_eq!((sync.generation_id, sync.assignments.len()), (1, 0));
    script.places(7);
    let placed = [0, 1].map(|number| (part(number), Some(at(7)))).into_iter().collect();
    assert_eq!(script.events(), [Event::Joined { generation: 1, partitions: 2 }, Event::Assigned(placed)]);
    assert_eq!(script.member.owned(), &parts(&[0, 1]));
}

#[test]
fn requests_to_the_coordinator_go_to_it_on_a_connection_of_their_own() {
    let mut script = Script::new(|_| {});
    script.find(3);
    let (call, _) = script.join_call();
    assert_eq!(call.to, Target::Coordinator(BrokerId(3)));
    assert!(call.timeout_ms > u64::from(script.member.options.rebalance_timeout_ms));
}

#[test]
fn the_leader_shares_the_partitions_that_there_are() {
    let mut script = Script::new(|_| {});
    script.find(2);
    script.joins(1, "range", &[("m-2", &[])], true);
    script.tells_topics(5);
    let sync = script.syncs(&[0, 1, 2]);
    let given: BTreeMap<&str, Vec<i32>> = sync
        .assignments
        .iter()
        .map(|given| {
            let read = decode_assignment(given.assignment.clone()).expect("an assignment");
            (given.member_id.as_str(), read.into_iter().map(|(_, number)| number).collect())
        })
        .collect();
    assert_eq!(given, BTreeMap::from([(ID, vec![0, 1, 2]), ("m-2", vec![3, 4])]));
    assert_eq!(sync.protocol_name.as_deref(), Some("range"));
}

#[test]
fn the_leader_joins_again_when_a_topic_grows_or_appears() {
    let mut script = Script::new(|_| {});
    script.find(2);
    script.joins(1, "range", &[], true);
    script.tells_topics(2);
    script.syncs(&[0, 1]);
    script.places(-1);
    script.wait(script.member.options.metadata_max_age_ms);
    script.tells_topics(2);
    assert!(!script.asks(|request| matches!(request, Request::JoinGroup(_))), "nothing has changed");
    script.wait(script.member.options.metadata_max_age_ms);
    script.tells_topics(3);
    let join = script.joins(2, "range", &[], true);
    assert_eq!(join.reason.as_deref(), Some("topics have other partitions than before"));
}

#[test]
fn a_group_whose_topic_is_not_there_yet_shares_it_when_it_comes() {
    let mut script = Script::new(|_| {});
    script.find(2);
    script.joins(1, "range", &[], true);
    script.tells_topics(0);
    script.syncs(&[]);
    script.wait(super::classic::MISSING_TOPIC_MS);
    script.tells_topics(0);
    assert!(!script.asks(|request| matches!(request, Request::JoinGroup(_))), "it is not there yet");
    script.wait(super::classic::MISSING_TOPIC_MS);
    script.tells_topics(2);
    let join = script.joins(2, "range", &[], true);
    assert_eq!(join.reason.as_deref(), Some("topics have other partitions than before"));
}

#[test]
fn in_an_eager_rebalance_everything_is_committed_and_given_up_before_joining_again() {
    let mut script = follower(&[0, 1], |_| {});
    script.member.processed(&part(0), at(25));
    script.beats(ErrorCode::RebalanceInProgress);
    assert_eq!(script.events(), [Event::Revoked(parts(&[0, 1]))]);
    assert!(!script.asks(|request| matches!(request, Request::JoinGroup(_))), "the commit comes first");
    assert_eq!(script.commits(ErrorCode::None), (BTreeMap::from([(0, 25)]), 1));
    script.joins(2, "range", &[], false);
    script.syncs(&[1]);
    assert_eq!(script.member.owned(), &parts(&[1]));
}

#[test]
fn in_a_cooperative_rebalance_a_member_keeps_what_it_has_and_joins_once_more_when_it_gave_something_up() {
    let mut script = follower(&[0, 1, 2], cooperative);
    script.beats(ErrorCode::RebalanceInProgress);
    let join = script.joins(2, "cooperative-sticky", &[], false);
    let owned = crate::protocol::consumer_protocol::decode_subscription(join.protocols[0].metadata.clone());
    assert_eq!(owned.map(|said| (said.owned.len(), said.generation)), Some((3, 1)));
    assert_eq!(script.events(), [], "it goes on reading meanwhile");
    script.member.processed(&part(2), at(31));
    script.syncs(&[0, 1]);
    let told = script.events();
    assert_eq!(told[1..], [Event::Revoked(parts(&[2]))]);
    assert_eq!(script.commits(ErrorCode::None), (BTreeMap::from([(2, 31)]), 2), "in the new generation");
    script.joins(3, "cooperative-sticky", &[], false);
    script.syncs(&[0, 1]);
    assert_eq!(script.events(), [Event::Joined { generation: 3, partitions: 2 }]);
    assert!(!script.asks(|request| matches!(request, Request::OffsetFetch(_))), "it knows where it is");
}

#[test]
fn a_static_leader_that_comes_back_to_a_cooperative_group_shares_anew_once() {
    let mut script = Script::new(|options| {
        cooperative(options);
        options.instance = Some("till-1".to_owned());
    });
    script.find(2);
    let (call, _) = script.join_call();
    let kept = m::JoinGroupResponse::default()
        .with_generation_id(3)
        .with_protocol_name(Some(text("cooperative-sticky")))
        .with_leader(text(ID))
        .with_member_id(text(ID))
        .with_skip_assignment(true);
    script.answer(&call, Response::JoinGroup(kept));
    // What its life before gave up in this generation nobody has.
    script.syncs(&[0]);
    script.joins(4, "cooperative-sticky", &[("m-2", &[])], true);
    script.tells_topics(2);
    script.syncs(&[0, 1]);
    assert_eq!(script.member.owned(), &parts(&[0, 1]));
    assert!(!script.asks(|request| matches!(request, Request::JoinGroup(_))), "once is enough");
}

#[test]
fn a_dead_coordinator_is_looked_for_and_the_member_goes_on_in_its_generation() {
    let mut script = follower(&[0], |_| {});
    script.wait(3_000);
    let call = script.asked("a heartbeat", |request| matches!(request, Request::Heartbeat(_)));
    script.fail(&call);
    assert!(!script.asks(|request| matches!(request, Request::FindCoordinator(_))), "not at once");
    script.wait(RETRY_BACKOFF_MS);
    script.find(3);
    let call = script.asked("a heartbeat", |request| matches!(request, Request::Heartbeat(_)));
    assert_eq!(call.to, Target::Coordinator(BrokerId(3)));
    script.answer(&call, Response::Heartbeat(m::HeartbeatResponse::default()));
    assert_eq!((script.events(), script.member.owned()), (Vec::new(), &parts(&[0])));
}

#[test]
fn a_coordinator_that_loads_or_is_none_any_more_is_asked_again_or_looked_for() {
    let mut script = Script::new(|_| {});
    script.find(2);
    script.join_error(ErrorCode::CoordinatorLoadInProgress, "");
    script.wait(RETRY_BACKOFF_MS);
    script.join_error(ErrorCode::NotCoordinator, "");
    script.wait(RETRY_BACKOFF_MS);
    script.find(1);
    let (call, _) = script.join_call();
    assert_eq!(call.to, Target::Coordinator(BrokerId(1)));
}

#[test]
fn a_commit_that_meets_a_failover_is_repeated_until_it_is_taken() {
    let mut script = follower(&[0], |_| {});
    script.member.processed(&part(0), at(40));
    script.wait(5_000);
    script.commits(ErrorCode::NotCoordinator);
    script.wait(RETRY_BACKOFF_MS);
    script.find(3);
    script.member.commit();
    assert_eq!(script.commits(ErrorCode::CoordinatorLoadInProgress).0, BTreeMap::from([(0, 40)]));
    script.wait(RETRY_BACKOFF_MS);
    assert_eq!(script.commits(ErrorCode::None).0, BTreeMap::from([(0, 40)]));
    assert!(script.member.is_committed());
    script.wait(5_000);
    assert!(!script.asks(|request| matches!(request, Request::OffsetCommit(_))), "nothing new was processed");
}

#[test]
fn a_member_that_was_forgotten_loses_everything_and_joins_under_a_new_id() {
    let mut script = follower(&[0, 1], |_| {});
    script.member.processed(&part(0), at(40));
    script.beats(ErrorCode::UnknownMemberId);
    assert_eq!(script.events(), [Event::Lost(parts(&[0, 1]))]);
    script.wait(RETRY_BACKOFF_MS);
    assert!(!script.asks(|request| matches!(request, Request::OffsetCommit(_))), "others may have committed more");
    let (_, join) = script.join_call();
    assert_eq!(join.member_id.as_str(), "");
}

#[test]
fn a_member_of_an_old_generation_joins_under_its_old_id() {
    let mut script = follower(&[0], cooperative);
    script.member.processed(&part(0), at(40));
    script.member.commit();
    script.commits(ErrorCode::IllegalGeneration);
    assert_eq!(script.events(), [Event::Lost(parts(&[0]))]);
    script.wait(RETRY_BACKOFF_MS);
    let (_, join) = script.join_call();
    assert_eq!(join.member_id.as_str(), ID);
    let said = crate::protocol::consumer_protocol::decode_subscription(join.protocols[0].metadata.clone());
    assert_eq!(said.map(|said| (said.owned.len(), said.generation)), Some((0, -1)));
}

#[test]
fn a_static_member_that_was_replaced_is_over() {
    let mut script = follower(&[0], |options| options.instance = Some("till-1".to_owned()));
    script.beats(ErrorCode::FencedInstanceId);
    assert_eq!(script.events(), [Event::Lost(parts(&[0]))]);
    assert!(script.member.is_gone());
    assert_eq!(script.member.failure(), Some("billing: FENCED_INSTANCE_ID"));
    script.wait(10_000);
    assert!(script.calls.is_empty(), "it says nothing any more: {:?}", script.calls);
}

#[test]
fn whoever_leaves_commits_first_and_says_goodbye() {
    let mut script = follower(&[0], |_| {});
    script.member.processed(&part(0), at(12));
    script.member.leave(script.now_ms, 3_000);
    assert_eq!(script.commits(ErrorCode::None).0, BTreeMap::from([(0, 12)]));
    let call = script.asked("to leave", |request| matches!(request, Request::LeaveGroup(_)));
    let Request::LeaveGroup(leave) = &call.request else { unreachable!() };
    assert_eq!(leave.members[0].member_id.as_str(), ID);
    assert!(!script.member.is_gone());
    script.answer(&call, Response::LeaveGroup(m::LeaveGroupResponse::default()));
    assert!(script.member.is_gone());
    assert_eq!((script.events(), script.member.failure()), (vec![Event::Revoked(parts(&[0]))], None));
}

#[test]
fn a_static_member_leaves_without_goodbye_and_nobody_waits_for_a_dead_coordinator_longer_than_told() {
    let mut script = follower(&[0], |options| options.instance = Some("till-1".to_owned()));
    script.member.leave(script.now_ms, 3_000);
    script.turn();
    assert!(script.member.is_gone());
    let mut script = follower(&[0], |_| {});
    script.member.processed(&part(0), at(12));
    script.member.leave(script.now_ms, 3_000);
    script.asked("a commit", |request| matches!(request, Request::OffsetCommit(_)));
    script.wait(2_999);
    assert!(!script.member.is_gone());
    script.wait(1);
    assert!(script.member.is_gone());
}

#[test]
fn nothing_is_committed_by_itself_when_that_is_done_by_hand() {
    let mut script = follower(&[0], |options| options.auto_commit_interval_ms = None);
    script.member.processed(&part(0), at(12));
    script.wait(60_000);
    assert!(!script.asks(|request| matches!(request, Request::OffsetCommit(_))));
    script.member.commit();
    assert_eq!(script.commits(ErrorCode::None).0, BTreeMap::from([(0, 12)]));
    script.member.processed(&part(0), at(13));
    script.wait(5_000);
    assert!(!script.asks(|request| matches!(request, Request::OffsetCommit(_))), "one word is one commit");
}

#[test]
fn an_answer_about_an_older_generation_changes_nothing() {
    let mut script = follower(&[0], cooperative);
    script.wait(3_000);
    let late = script.asked("a heartbeat", |request| matches!(request, Request::Heartbeat(_)));
    script.member.processed(&part(0), at(12));
    script.member.commit();
    script.commits(ErrorCode::RebalanceInProgress);
    script.joins(2, "cooperative-sticky", &[], false);
    script.syncs(&[0]);
    script.events();
    let forgotten = m::HeartbeatResponse::default().with_error_code(ErrorCode::IllegalGeneration.code());
    script.answer(&late, Response::Heartbeat(forgotten));
    assert_eq!((script.events(), script.member.owned()), (Vec::new(), &parts(&[0])));
}

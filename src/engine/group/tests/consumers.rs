//! Consumer groups (KIP-848): joining, reconciliation, fencing, static members, expressions, time, and what is told.

use super::{Cluster, GROUP, TOPIC, text};
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::TopicId;
use kafka_protocol::messages as m;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use std::collections::{BTreeMap, BTreeSet};

/// Partitions by topic, as a client has them.
pub(super) type Owned = BTreeMap<TopicId, BTreeSet<i32>>;

/// A client of the consumer protocol: it gives back at once what it is not to have, and says so with its next heartbeat.
#[derive(Debug, Clone)]
pub(super) struct Consumer {
    pub(super) id: String,
    pub(super) epoch: i32,
    pub(super) owned: Owned,
    pub(super) instance: Option<String>,
    pub(super) topics: Vec<String>,
    pub(super) regex: Option<String>,
}

impl Consumer {
    pub(super) fn new(id: &str) -> Consumer {
        let topics = vec![TOPIC.to_owned()];
        Consumer { id: id.to_owned(), epoch: 0, owned: Owned::new(), instance: None, topics, regex: None }
    }

    pub(super) fn request(&self) -> m::ConsumerGroupHeartbeatRequest {
        let owned = self.owned.iter().map(|(topic, numbers)| {
            TopicPartitions::default().with_topic_id(topic.0).with_partitions(numbers.iter().copied().collect())
        });
        let topics = self.topics.iter().map(|topic| m::TopicName(text(topic))).collect();
        m::ConsumerGroupHeartbeatRequest::default()
            .with_group_id(super::group())
            .with_member_id(text(&self.id))
            .with_member_epoch(self.epoch)
            .with_instance_id(self.instance.as_deref().map(text))
            .with_rebalance_timeout_ms(10_000)
            .with_subscribed_topic_names(Some(topics))
            .with_subscribed_topic_regex(self.regex.as_deref().map(text))
            .with_topic_partitions(Some(owned.collect()))
    }

    pub(super) fn hear(&mut self, response: &m::ConsumerGroupHeartbeatResponse) -> ErrorCode {
        let error = ErrorCode::from_code(response.error_code);
        if !error.is_none() {
            return error;
        }
        assert!(response.member_epoch >= self.epoch, "epochs of a member only rise");
        self.epoch = response.member_epoch;
        if let Some(assignment) = &response.assignment {
            let topics = assignment.topic_partitions.iter();
            self.owned =
                topics.map(|topic| (TopicId(topic.topic_id), topic.partitions.iter().copied().collect())).collect();
        }
        ErrorCode::None
    }

    pub(super) fn beat(&mut self, cluster: &mut Cluster) -> ErrorCode {
        let response = cluster.consumer_beat(self.request());
        self.hear(&response)
    }

    pub(super) fn leave(&mut self, cluster: &mut Cluster, epoch: i32) -> ErrorCode {
        let response = cluster.consumer_beat(self.request().with_member_epoch(epoch));
        assert!(response.error_code != 0 || response.member_epoch == epoch);
        ErrorCode::from_code(response.error_code)
    }

    pub(super) fn numbers(&self) -> Vec<i32> {
        self.owned.values().flatten().copied().collect()
    }
}

impl Cluster {
    pub(super) fn consumer_beat(
        &mut self,
        request: m::ConsumerGroupHeartbeatRequest,
    ) -> m::ConsumerGroupHeartbeatResponse {
        match self.ask(1, Request::ConsumerGroupHeartbeat(request)) {
            Response::ConsumerGroupHeartbeat(response) => response,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn consumer_describe(&mut self) -> m::consumer_group_describe_response::DescribedGroup {
        let describe = m::ConsumerGroupDescribeRequest::default().with_group_ids(vec![super::group()]);
        match self.ask(1, Request::ConsumerGroupDescribe(describe)) {
            Response::ConsumerGroupDescribe(mut response) => response.groups.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn consumer_state(&mut self) -> String {
        self.consumer_describe().group_state.to_string()
    }

    pub(super) fn create_topic(&mut self, name: &str, partitions: i32) {
        let created = m::create_topics_request::CreatableTopic::default()
            .with_name(m::TopicName(text(name)))
            .with_num_partitions(partitions)
            .with_replication_factor(1);
        let create = m::CreateTopicsRequest::default().with_topics(vec![created]).with_timeout_ms(1_000);
        self.ask(7, Request::CreateTopics(create));
    }
}

/// All beat until nothing moves any more.
pub(super) fn settle(cluster: &mut Cluster, consumers: &mut [&mut Consumer]) {
    for _ in 0..20 {
        let before: Vec<(i32, Owned)> =
            consumers.iter().map(|consumer| (consumer.epoch, consumer.owned.clone())).collect();
        for consumer in consumers.iter_mut() {
            assert_eq!(consumer.beat(cluster), ErrorCode::None, "{}", consumer.id);
        }
        let after: Vec<(i32, Owned)> =
            consumers.iter().map(|consumer| (consumer.epoch, consumer.owned.clone())).collect();
        if before == after {
            return;
        }
    }
    panic!("the group does not settle");
}

#[test]
fn the_second_member_waits_for_what_the_first_gives_back() {
    let mut cluster = Cluster::new();
    let (mut a, mut b) = (Consumer::new("a"), Consumer::new("b"));
    assert_eq!(a.beat(&mut cluster), ErrorCode::None);
    assert_eq!((a.epoch, a.numbers()), (1, vec![0, 1]));
    assert_eq!(cluster.consumer_state(), "Stable");
    assert_eq!(b.beat(&mut cluster), ErrorCode::None);
    assert_eq!((b.epoch, b.numbers()), (2, vec![]));
    assert_eq!(cluster.consumer_state(), "Reconciling");
    // The first is told, and keeps its epoch until it has given back.
    assert_eq!(a.beat(&mut cluster), ErrorCode::None);
    assert_eq!((a.epoch, a.numbers()), (1, vec![0]));
    assert_eq!(b.beat(&mut cluster), ErrorCode::None);
    assert_eq!(b.numbers(), Vec::<i32>::new(), "it is not given back yet");
    assert_eq!(a.beat(&mut cluster), ErrorCode::None);
    assert_eq!((a.epoch, a.numbers()), (2, vec![0]));
    assert_eq!(b.beat(&mut cluster), ErrorCode::None);
    assert_eq!((b.epoch, b.numbers()), (2, vec![1]));
    assert_eq!(cluster.consumer_state(), "Stable");
    let told = cluster.consumer_describe();
    assert_eq!((told.group_epoch, told.assignment_epoch, told.assignor_name.as_str()), (2, 2, "uniform"));
    assert_eq!(told.members.len(), 2);
    assert_eq!(told.members[0].assignment, told.members[0].target_assignment);
    assert_eq!(told.members[0].assignment.topic_partitions[0].topic_name.as_str(), TOPIC);
    assert_eq!(told.members[0].member_type, 1);
    let shown = cluster.broker.groups().snapshot(cluster.broker.image(), &cluster.config.cluster).remove(0);
    assert_eq!((shown.state_name(), shown.generation, shown.members.len()), ("Stable", 2, 2));
    assert_eq!((&shown.members[0].owns, shown.rebalances.len()), (&vec![(TOPIC.to_owned(), 0)], 2));
    // Nothing has changed: nothing is told anew to who does not ask for everything.
    let quiet = a.request().with_rebalance_timeout_ms(-1).with_subscribed_topic_names(None).with_topic_partitions(None);
    let response = cluster.consumer_beat(quiet);
    assert_eq!((response.error_code, response.member_epoch, response.assignment), (0, 2, None));
    assert!(response.heartbeat_interval_ms > 0);
    cluster.assert_replay_equals_live();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut cluster = Cluster::new();
    let mut refused = |change: &dyn Fn(&mut m::ConsumerGroupHeartbeatRequest)| {
        let mut request = Consumer::new("a").request();
        change(&mut request);
        ErrorCode::from_code(cluster.consumer_beat(request).error_code)
    };
    let invalid = ErrorCode::InvalidRequest;
    assert_eq!(refused(&|request| request.group_id = m::GroupId(text(" "))), invalid);
    assert_eq!(refused(&|request| request.member_id = text("")), invalid);
    assert_eq!(refused(&|request| request.instance_id = Some(text(""))), invalid);
    assert_eq!(refused(&|request| request.rack_id = Some(text(""))), invalid);
    assert_eq!(refused(&|request| request.rebalance_timeout_ms = -1), invalid);
    assert_eq!(refused(&|request| request.topic_partitions = None), invalid);
    assert_eq!(refused(&|request| request.subscribed_topic_names = None), invalid);
    assert_eq!(refused(&|request| request.member_epoch = -3), invalid);
    assert_eq!(refused(&|request| request.member_epoch = -2), invalid);
    assert_eq!(refused(&|request| request.server_assignor = Some(text("x"))), ErrorCode::UnsupportedAssignor);
    let expression = refused(&|request| request.subscribed_topic_regex = Some(text("(")));
    assert_eq!(expression, ErrorCode::InvalidRegularExpression);
    assert_eq!(refused(&|request| request.member_epoch = 1), ErrorCode::GroupIdNotFound);
    assert_eq!(refused(&|request| request.member_epoch = -1), ErrorCode::GroupIdNotFound);
    assert!(cluster.shards().all(|shard| shard.appended().group(GROUP).is_none()), "nothing came of it");
    let mut first = Consumer::new("").request();
    first.subscribed_topic_regex = None;
    let Response::ConsumerGroupHeartbeat(old) = cluster.ask(0, Request::ConsumerGroupHeartbeat(first)) else {
        panic!("an answer")
    };
    assert_eq!(old.error_code, 0);
    assert!(old.member_id.is_some_and(|id| !id.is_empty()), "version 0 is given an id");
}

#[test]
fn who_speaks_with_another_epoch_is_fenced_unless_its_answer_was_lost() {
    let mut cluster = Cluster::new();
    let (mut a, mut b) = (Consumer::new("a"), Consumer::new("b"));
    settle(&mut cluster, &mut [&mut a, &mut b]);
    let before = a.clone();
    assert_eq!(b.leave(&mut cluster, -1), ErrorCode::None);
    assert_eq!(a.beat(&mut cluster), ErrorCode::None);
    assert_eq!((before.epoch, a.epoch), (2, 3));
    // The answer that told the new epoch was lost: it may say the old one again.
    let mut lost = before.clone();
    assert_eq!(lost.beat(&mut cluster), ErrorCode::None);
    assert_eq!((lost.epoch, lost.numbers()), (3, vec![0, 1]));
    let mut greedy = before.clone();
    greedy.owned.values_mut().for_each(|numbers| numbers.extend([9]));
    assert_eq!(greedy.beat(&mut cluster), ErrorCode::FencedMemberEpoch);
    let mut older = Consumer { epoch: 1, ..before.clone() };
    assert_eq!(older.beat(&mut cluster), ErrorCode::FencedMemberEpoch);
    let mut newer = Consumer { epoch: 4, ..before };
    assert_eq!(newer.beat(&mut cluster), ErrorCode::FencedMemberEpoch);
    assert_eq!(b.beat(&mut cluster), ErrorCode::UnknownMemberId, "it has left");
    // Who is fenced begins anew under the same id.
    a.epoch = 0;
    a.owned.clear();
    assert_eq!(a.beat(&mut cluster), ErrorCode::None);
    assert_eq!((a.epoch, a.numbers()), (3, vec![0, 1]));
}

#[test]
fn the_silent_and_the_stubborn_are_out() {
    let mut cluster = Cluster::new();
    let (mut a, mut b) = (Consumer::new("a"), Consumer::new("b"));
    settle(&mut cluster, &mut [&mut a, &mut b]);
    cluster.pass(9_000);
    assert_eq!(a.beat(&mut cluster), ErrorCode::None);
    cluster.pass(2_000);
    assert_eq!(b.beat(&mut cluster), ErrorCode::UnknownMemberId, "it was silent for ten seconds");
    assert_eq!(a.beat(&mut cluster), ErrorCode::None);
    assert_eq!(a.numbers(), [0, 1]);
    // The other comes back; the first shows itself and does not give back.
    let mut b = Consumer::new("b");
    assert_eq!(b.beat(&mut cluster), ErrorCode::None);
    for _ in 0..3 {
        cluster.pass(3_000);
        let stubborn = cluster.consumer_beat(a.request());
        assert_eq!(stubborn.error_code, 0);
        assert_eq!(b.beat(&mut cluster), ErrorCode::None);
        assert!(b.numbers().is_empty());
    }
    cluster.pass(4_000);
    assert_eq!(a.beat(&mut cluster), ErrorCode::UnknownMemberId, "ten seconds to give back have passed");
    settle(&mut cluster, &mut [&mut b]);
    assert_eq!(b.numbers(), [0, 1]);
}

#[test]
fn topics_and_partitions_that_come_and_go_are_seen() {
    let mut cluster = Cluster::new();
    let mut a = Consumer::new("a");
    a.topics.push("later".to_owned());
    settle(&mut cluster, &mut [&mut a]);
    assert_eq!((a.epoch, a.owned.len()), (1, 1));
    cluster.create_topic("later", 3);
    settle(&mut cluster, &mut [&mut a]);
    assert_eq!((a.epoch, a.owned.len(), a.numbers().len()), (2, 2, 5));
    let grow = m::create_partitions_request::CreatePartitionsTopic::default()
        .with_name(m::TopicName(text(TOPIC)))
        .with_count(4)
        .with_assignments(None);
    cluster.ask(3, Request::CreatePartitions(m::CreatePartitionsRequest::default().with_topics(vec![grow])));
    settle(&mut cluster, &mut [&mut a]);
    assert_eq!((a.epoch, a.numbers().len()), (3, 7));
    let delete = m::DeleteTopicsRequest::default().with_topic_names(vec![m::TopicName(text("later"))]);
    cluster.ask(5, Request::DeleteTopics(delete));
    settle(&mut cluster, &mut [&mut a]);
    assert_eq!((a.epoch, a.owned.len(), a.numbers().len()), (4, 1, 4));
    cluster.assert_replay_equals_live();
}

#[test]
fn an_expression_is_resolved_and_follows_the_topics() {
    let mut cluster = Cluster::new();
    let mut a = Consumer::new("a");
    a.topics.clear();
    a.regex = Some("order.*".to_owned());
    settle(&mut cluster, &mut [&mut a]);
    assert_eq!(a.numbers(), [0, 1]);
    cluster.create_topic("orders-eu", 1);
    cluster.create_topic("bills", 1);
    settle(&mut cluster, &mut [&mut a]);
    assert_eq!((a.owned.len(), a.numbers().len()), (2, 3));
    assert_eq!(cluster.consumer_describe().members[0].subscribed_topic_regex.as_deref(), Some("order.*"));
    a.regex = Some(String::new());
    a.topics.push("bills".to_owned());
    settle(&mut cluster, &mut [&mut a]);
    assert_eq!(a.numbers(), [0]);
    let cluster = cluster.assert_replay_equals_live();
    let image = cluster.shards().find_map(|shard| shard.appended().group(GROUP)).expect("the group");
    assert_eq!(image.consumer.regexes().count(), 0, "nobody uses it any more");
}

#[test]
fn a_static_member_keeps_its_place_while_it_is_away() {
    let mut cluster = Cluster::new();
    let with_instance = |id: &str| Consumer { instance: Some("desk".to_owned()), ..Consumer::new(id) };
    let (mut a, mut b) = (with_instance("a"), Consumer::new("b"));
    settle(&mut cluster, &mut [&mut a, &mut b]);
    let had = a.numbers();
    let mut thief = with_instance("thief");
    assert_eq!(thief.beat(&mut cluster), ErrorCode::UnreleasedInstanceId);
    assert_eq!(a.leave(&mut cluster, -2), ErrorCode::None);
    settle(&mut cluster, &mut [&mut b]);
    assert_eq!(b.numbers().len(), 1, "nobody gets what it has");
    let mut back = with_instance("a2");
    assert_eq!(back.beat(&mut cluster), ErrorCode::None);
    assert_eq!((back.epoch, back.numbers()), (b.epoch, had));
    assert_eq!(a.beat(&mut cluster), ErrorCode::FencedInstanceId);
    assert_eq!(b.leave(&mut cluster, -2), ErrorCode::InvalidRequest, "it is not a static member");
    // Away for too long.
    assert_eq!(back.leave(&mut cluster, -2), ErrorCode::None);
    for _ in 0..2 {
        cluster.pass(6_000);
        assert_eq!(b.beat(&mut cluster), ErrorCode::None);
    }
    settle(&mut cluster, &mut [&mut b]);
    assert_eq!(b.numbers(), [0, 1]);
    cluster.assert_replay_equals_live();
}

#[test]
fn nothing_is_told_before_it_is_committed() {
    let mut cluster = Cluster::new();
    let mut a = Consumer::new("a");
    cluster.is_disk_slow = true;
    let first = cluster.send(1, Request::ConsumerGroupHeartbeat(a.request()));
    // The client asks again: this changes nothing, and tells of what is not committed yet.
    let again = cluster.send(1, Request::ConsumerGroupHeartbeat(a.request()));
    assert!(!cluster.answers.contains_key(&first) && !cluster.answers.contains_key(&again));
    assert_eq!(cluster.consumer_describe().error_code, ErrorCode::GroupIdNotFound.code());
    cluster.is_disk_slow = false;
    cluster.run();
    for token in [first, again] {
        let Some(Response::ConsumerGroupHeartbeat(response)) = cluster.answers.remove(&token) else {
            panic!("an answer")
        };
        assert_eq!(a.hear(&response), ErrorCode::None);
        assert_eq!((a.epoch, a.numbers()), (1, vec![0, 1]));
        a.epoch = 0;
    }
}

#[test]
fn a_new_coordinator_knows_everybody_and_gives_them_a_session() {
    let mut cluster = Cluster::new();
    let (mut a, mut b) = (Consumer::new("a"), Consumer::new("b"));
    assert_eq!(a.beat(&mut cluster), ErrorCode::None);
    assert_eq!(b.beat(&mut cluster), ErrorCode::None);
    let mut cluster = cluster.restart();
    settle(&mut cluster, &mut [&mut a, &mut b]);
    assert_eq!((a.numbers(), b.numbers()), (vec![0], vec![1]));
    cluster.pass(11_000);
    assert_eq!(a.beat(&mut cluster), ErrorCode::UnknownMemberId);
    assert_eq!(cluster.consumer_state(), "Empty");
}

#[test]
fn offsets_are_for_members_with_their_epochs() {
    let mut cluster = Cluster::new();
    let mut a = Consumer::new("a");
    settle(&mut cluster, &mut [&mut a]);
    let mut commit = |version: i16, member: &str, epoch: i32| {
        let partition = m::offset_commit_request::OffsetCommitRequestPartition::default().with_committed_offset(7);
        let topic = m::offset_commit_request::OffsetCommitRequestTopic::default()
            .with_name(m::TopicName(text(TOPIC)))
            .with_partitions(vec![partition]);
        let commit = m::OffsetCommitRequest::default()
            .with_group_id(super::group())
            .with_member_id(text(member))
            .with_generation_id_or_member_epoch(epoch)
            .with_topics(vec![topic]);
        let Response::OffsetCommit(response) = cluster.ask(version, Request::OffsetCommit(commit)) else {
            panic!("an answer")
        };
        ErrorCode::from_code(response.topics[0].partitions[0].error_code)
    };
    assert_eq!(commit(9, "a", 1), ErrorCode::None);
    assert_eq!(commit(9, "a", 0), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit(8, "a", 1), ErrorCode::UnsupportedVersion);
    assert_eq!(commit(9, "x", 1), ErrorCode::UnknownMemberId);
    assert_eq!(commit(9, "", -1), ErrorCode::UnknownMemberId, "an administrator has to wait until it is empty");
    let mut fetch = |member: Option<&str>, epoch: i32| {
        let group = m::offset_fetch_request::OffsetFetchRequestGroup::default()
            .with_group_id(super::group())
            .with_member_id(member.map(text))
            .with_member_epoch(epoch)
            .with_topics(None);
        let fetch = m::OffsetFetchRequest::default().with_groups(vec![group]);
        let Response::OffsetFetch(mut response) = cluster.ask(9, Request::OffsetFetch(fetch)) else {
            panic!("an answer")
        };
        let group = response.groups.remove(0);
        (ErrorCode::from_code(group.error_code), group.topics.len())
    };
    assert_eq!(fetch(None, -1), (ErrorCode::None, 1));
    assert_eq!(fetch(Some("a"), 1), (ErrorCode::None, 1));
    assert_eq!(fetch(Some("a"), 0), (ErrorCode::StaleMemberEpoch, 0));
    assert_eq!(fetch(Some("x"), 1), (ErrorCode::UnknownMemberId, 0));
}

#[test]
fn it_is_listed_described_and_deleted_as_what_it_is() {
    let mut cluster = Cluster::new();
    let mut a = Consumer::new("a");
    settle(&mut cluster, &mut [&mut a]);
    let mut list = |types: &[&str], states: &[&str]| {
        let list = m::ListGroupsRequest::default()
            .with_types_filter(types.iter().map(|kind| text(kind)).collect())
            .with_states_filter(states.iter().map(|state| text(state)).collect());
        let Response::ListGroups(response) = cluster.ask(5, Request::ListGroups(list)) else { panic!("an answer") };
        response.groups.iter().map(|group| (group.group_type.to_string(), group.group_state.to_string())).collect()
    };
    let all: Vec<(String, String)> = list(&[], &[]);
    assert_eq!(all, [("consumer".to_owned(), "Stable".to_owned())]);
    assert_eq!(list(&["Consumer"], &["stable"]), all);
    assert_eq!(list(&["classic"], &[]), []);
    assert_eq!(list(&[], &["Empty"]), []);
    let describe = m::DescribeGroupsRequest::default().with_groups(vec![super::group()]);
    let Response::DescribeGroups(told) = cluster.ask(6, Request::DescribeGroups(describe)) else { panic!("an answer") };
    assert_eq!(told.groups[0].error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(told.groups[0].error_message.as_deref(), Some("Group billing is not a classic group."));
    let mut delete = || {
        let delete = m::DeleteGroupsRequest::default().with_groups_names(vec![super::group()]);
        let Response::DeleteGroups(response) = cluster.ask(2, Request::DeleteGroups(delete)) else {
            panic!("an answer")
        };
        ErrorCode::from_code(response.results[0].error_code)
    };
    assert_eq!(delete(), ErrorCode::NonEmptyGroup);
    assert_eq!(a.leave(&mut cluster, -1), ErrorCode::None);
    let mut delete = || {
        let delete = m::DeleteGroupsRequest::default().with_groups_names(vec![super::group()]);
        let Response::DeleteGroups(response) = cluster.ask(2, Request::DeleteGroups(delete)) else {
            panic!("an answer")
        };
        ErrorCode::from_code(response.results[0].error_code)
    };
    assert_eq!(delete(), ErrorCode::None);
    assert_eq!(delete(), ErrorCode::GroupIdNotFound);
    let cluster = cluster.assert_replay_equals_live();
    assert!(cluster.shards().all(|shard| shard.appended().group(GROUP).is_none()));
}

#[test]
fn a_groups_own_times_hold_from_the_next_heartbeat_on() {
    let mut cluster = Cluster::new();
    let mut a = Consumer::new("a");
    assert_eq!(a.beat(&mut cluster), ErrorCode::None);
    let interval_ms = |cluster: &mut Cluster, a: &Consumer| cluster.consumer_beat(a.request()).heartbeat_interval_ms;
    assert_eq!(interval_ms(&mut cluster, &a), 500, "the brokers'");
    let configs = [("consumer.heartbeat.interval.ms", "300"), ("consumer.session.timeout.ms", "2000")];
    let configs = configs.map(|(name, value)| {
        m::incremental_alter_configs_request::AlterableConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    });
    let resource = m::incremental_alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(32)
        .with_resource_name(text(GROUP))
        .with_configs(configs.to_vec());
    let request = m::IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let Response::IncrementalAlterConfigs(response) = cluster.ask(1, Request::IncrementalAlterConfigs(request)) else {
        panic!("an answer")
    };
    assert_eq!(response.responses[0].error_code, 0, "{:?}", response.responses[0].error_message);

    assert_eq!(a.beat(&mut cluster), ErrorCode::None);
    assert_eq!(interval_ms(&mut cluster, &a), 300);
    cluster.pass(1_900);
    assert_eq!(a.beat(&mut cluster), ErrorCode::None, "within its session");
    cluster.pass(2_100);
    assert_eq!(a.beat(&mut cluster), ErrorCode::UnknownMemberId, "after it");

    let request = m::ListConfigResourcesRequest::default().with_resource_types(vec![32]);
    let Response::ListConfigResources(response) = cluster.ask(1, Request::ListConfigResources(request)) else {
        panic!("an answer")
    };
    let names: Vec<&str> = response.config_resources.iter().map(|one| one.resource_name.as_str()).collect();
    assert_eq!(names, [GROUP]);
}

#[test]
fn a_full_group_takes_nobody_more() {
    let mut cluster = Cluster::with(|config| config.group_consumer_max_size = 1);
    let (mut a, mut b) = (Consumer::new("a"), Consumer::new("b"));
    assert_eq!(a.beat(&mut cluster), ErrorCode::None);
    assert_eq!(b.beat(&mut cluster), ErrorCode::GroupMaxSizeReached);
    a.epoch = 0;
    a.owned.clear();
    assert_eq!(a.beat(&mut cluster), ErrorCode::None, "who is in may join again");
}

//! Committed offsets: who may commit, what is shown, what is deleted, what survives.

use super::{Cluster, GROUP, TOPIC, group, text};
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages as m;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};

fn commit(topic: &str, offset: i64, member: &str, generation: i32) -> m::OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("note")));
    let topic =
        OffsetCommitRequestTopic::default().with_name(m::TopicName(text(topic))).with_partitions(vec![partition]);
    m::OffsetCommitRequest::default()
        .with_group_id(group())
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic])
}

fn committed(response: Option<Response>) -> ErrorCode {
    match response {
        Some(Response::OffsetCommit(response)) => ErrorCode::from_code(response.topics[0].partitions[0].error_code),
        other => panic!("{other:?}"),
    }
}

impl Cluster {
    fn commit(&mut self, version: i16, offset: i64, member: &str, generation: i32) -> ErrorCode {
        let token = self.send(version, Request::OffsetCommit(commit(TOPIC, offset, member, generation)));
        committed(self.answers.remove(&token))
    }

    /// What is committed for partition 0, asked for by name.
    fn fetched(&mut self) -> i64 {
        let topic =
            OffsetFetchRequestTopic::default().with_name(m::TopicName(text(TOPIC))).with_partition_indexes(vec![0]);
        let fetch = m::OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![topic]));
        match self.ask(1, Request::OffsetFetch(fetch)) {
            Response::OffsetFetch(response) => response.topics[0].partitions[0].committed_offset,
            other => panic!("{other:?}"),
        }
    }

    fn delete_group(&mut self) -> ErrorCode {
        let delete = m::DeleteGroupsRequest::default().with_groups_names(vec![group()]);
        match self.ask(2, Request::DeleteGroups(delete)) {
            Response::DeleteGroups(response) => ErrorCode::from_code(response.results[0].error_code),
            other => panic!("{other:?}"),
        }
    }

    fn delete_offset(&mut self) -> (ErrorCode, Option<ErrorCode>) {
        let partition = m::offset_delete_request::OffsetDeleteRequestPartition::default();
        let topic = m::offset_delete_request::OffsetDeleteRequestTopic::default()
            .with_name(m::TopicName(text(TOPIC)))
            .with_partitions(vec![partition]);
        let delete = m::OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![topic]);
        match self.ask(0, Request::OffsetDelete(delete)) {
            Response::OffsetDelete(response) => {
                let of_partition = response.topics.first().map(|topic| topic.partitions[0].error_code);
                (ErrorCode::from_code(response.error_code), of_partition.map(ErrorCode::from_code))
            }
            other => panic!("{other:?}"),
        }
    }

    fn listed(&mut self) -> Vec<(String, String)> {
        match self.ask(5, Request::ListGroups(m::ListGroupsRequest::default())) {
            Response::ListGroups(response) => {
                let one = |group: &m::list_groups_response::ListedGroup| {
                    (group.group_id.to_string(), group.group_state.to_string())
                };
                response.groups.iter().map(one).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_version_commits_and_fetches() {
    let mut cluster = Cluster::new();
    for version in 2..=9 {
        assert_eq!(cluster.commit(version, i64::from(version), "", -1), ErrorCode::None, "version {version}");
        assert_eq!(cluster.fetched(), i64::from(version));
    }
    for version in 1..=7 {
        let mut fetch = m::OffsetFetchRequest::default().with_group_id(group());
        if version == 1 {
            let name = m::TopicName(text(TOPIC));
            fetch.topics =
                Some(vec![OffsetFetchRequestTopic::default().with_name(name).with_partition_indexes(vec![0])]);
        } else {
            fetch.topics = None;
        }
        let Response::OffsetFetch(response) = cluster.ask(version, Request::OffsetFetch(fetch)) else { panic!() };
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.committed_offset, partition.metadata.as_deref()), (9, Some("note")));
    }
    for version in 8..=9 {
        let topic =
            OffsetFetchRequestTopics::default().with_name(m::TopicName(text(TOPIC))).with_partition_indexes(vec![0, 1]);
        let some = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![topic]));
        let all = OffsetFetchRequestGroup::default().with_group_id(m::GroupId(text("nobody"))).with_topics(None);
        let fetch = m::OffsetFetchRequest::default().with_groups(vec![some, all]);
        let Response::OffsetFetch(response) = cluster.ask(version, Request::OffsetFetch(fetch)) else { panic!() };
        let offsets: Vec<i64> =
            response.groups[0].topics[0].partitions.iter().map(|partition| partition.committed_offset).collect();
        assert_eq!((offsets, response.groups[1].topics.len()), (vec![9, -1], 0));
    }
    assert_eq!(cluster.listed(), [(GROUP.to_owned(), "Empty".to_owned())]);
    cluster.assert_replay_equals_live();
}

#[test]
fn only_who_is_in_a_generation_commits_to_it() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.commit(8, 1, "m", 0), ErrorCode::IllegalGeneration);
    assert_eq!(cluster.commit(9, 1, "m", 0), ErrorCode::GroupIdNotFound);
    let (a, b) = cluster.two_members();
    assert_eq!(cluster.commit(8, 1, "", -1), ErrorCode::UnknownMemberId);
    assert_eq!(cluster.commit(8, 1, &a, 0), ErrorCode::IllegalGeneration);
    assert_eq!(cluster.commit(8, 1, "m", 1), ErrorCode::UnknownMemberId);
    assert_eq!(cluster.commit(8, 5, &a, 1), ErrorCode::None);
    // While all are to join again, who gives its partitions up may still say how far it came.
    let third = cluster.join(3, "", |_| {});
    assert_eq!(cluster.commit(8, 6, &a, 1), ErrorCode::None);
    let (a_joins, b_joins) = (cluster.join(3, &a, |_| {}), cluster.join(3, &b, |_| {}));
    for token in [third, a_joins, b_joins] {
        assert_eq!(cluster.joined(token).generation_id, 2);
    }
    assert_eq!(cluster.commit(8, 7, &a, 1), ErrorCode::IllegalGeneration);
    assert_eq!(cluster.commit(8, 7, &a, 2), ErrorCode::RebalanceInProgress);
    assert_eq!(cluster.fetched(), 6);
    let unknown = cluster.send(8, Request::OffsetCommit(commit("nowhere", 1, &b, 2)));
    assert_eq!(committed(cluster.answers.remove(&unknown)), ErrorCode::RebalanceInProgress);
}

#[test]
fn what_is_not_committed_is_neither_answered_nor_shown() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.commit(8, 1, "", -1), ErrorCode::None);
    cluster.is_disk_slow = true;
    let token = cluster.send(8, Request::OffsetCommit(commit(TOPIC, 2, "", -1)));
    cluster.pass(1_000);
    assert!(cluster.answers.is_empty());
    assert_eq!(cluster.fetched(), 1);
    cluster.pass(5_000);
    assert_eq!(committed(cluster.answers.remove(&token)), ErrorCode::CoordinatorNotAvailable);
    cluster.is_disk_slow = false;
    cluster.run();
    assert_eq!(cluster.fetched(), 2, "late is not never");
    cluster.assert_replay_equals_live();
}

#[test]
fn metadata_has_a_limit_and_topics_must_exist() {
    let mut cluster = Cluster::with(|config| config.offset_metadata_max_bytes = 3);
    assert_eq!(cluster.commit(8, 1, "", -1), ErrorCode::OffsetMetadataTooLarge);
    let mut cluster = Cluster::new();
    let token = cluster.send(8, Request::OffsetCommit(commit("nowhere", 1, "", -1)));
    assert_eq!(committed(cluster.answers.remove(&token)), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn groups_and_offsets_are_deleted_when_nobody_needs_them() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.delete_group(), ErrorCode::GroupIdNotFound);
    assert_eq!(cluster.delete_offset(), (ErrorCode::GroupIdNotFound, None));
    let (a, b) = cluster.two_members();
    assert_eq!(cluster.commit(8, 5, &a, 1), ErrorCode::None);
    assert_eq!(cluster.delete_group(), ErrorCode::NonEmptyGroup);
    assert_eq!(cluster.delete_offset(), (ErrorCode::None, Some(ErrorCode::GroupSubscribedToTopic)));
    for member in [a, b] {
        let leave = m::LeaveGroupRequest::default().with_group_id(group()).with_member_id(text(&member));
        cluster.ask(0, Request::LeaveGroup(leave));
        let rejoin = cluster.listed();
        assert_eq!(rejoin.len(), 1);
        cluster.pass(15_000);
    }
    assert_eq!(cluster.delete_offset(), (ErrorCode::None, Some(ErrorCode::None)));
    assert_eq!(cluster.fetched(), -1);
    assert_eq!(cluster.commit(8, 7, "", -1), ErrorCode::None);
    assert_eq!(cluster.delete_group(), ErrorCode::None);
    assert_eq!((cluster.fetched(), cluster.listed().len()), (-1, 0));
    let cluster = cluster.assert_replay_equals_live();
    assert!(cluster.shards().all(|shard| shard.committed().groups().next().is_none()));
}

#[test]
fn offsets_of_who_went_away_expire_and_the_group_with_them() {
    let mut cluster = Cluster::with(|config| {
        config.offsets_retention_minutes = 10;
        config.offsets_retention_check_interval_ms = 60_000;
    });
    assert_eq!(cluster.commit(8, 5, "", -1), ErrorCode::None);
    cluster.pass(9 * 60_000);
    assert_eq!(cluster.fetched(), 5);
    cluster.pass(3 * 60_000);
    assert_eq!((cluster.fetched(), cluster.listed().len()), (-1, 0));
    // An expiry of its own goes before the brokers'.
    let request = commit(TOPIC, 6, "", -1).with_retention_time_ms(120_000);
    let token = cluster.send(2, Request::OffsetCommit(request));
    assert_eq!(committed(cluster.answers.remove(&token)), ErrorCode::None);
    cluster.pass(60_000);
    assert_eq!(cluster.fetched(), 6);
    cluster.pass(3 * 60_000);
    assert_eq!(cluster.fetched(), -1);
    cluster.assert_replay_equals_live();
}

#[test]
fn offsets_of_a_deleted_topic_go_with_it() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.commit(8, 5, "", -1), ErrorCode::None);
    let delete = m::DeleteTopicsRequest::default().with_topic_names(vec![m::TopicName(text(TOPIC))]);
    cluster.ask(5, Request::DeleteTopics(delete));
    cluster.pass(100);
    assert_eq!(cluster.fetched(), -1);
    cluster.assert_replay_equals_live();
}

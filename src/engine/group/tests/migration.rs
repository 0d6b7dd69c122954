//! Groups that change their protocol while members work, and members of the classic protocol in a consumer group.

use super::consumers::{Consumer, settle};
use super::{Cluster, TOPIC, text};
use crate::engine::config::MigrationPolicy;
use crate::protocol::codec::{Request, Response};
use crate::protocol::consumer_protocol::{decode_assignment, encode_assignment};
use crate::protocol::error::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages as m;
use kafka_protocol::messages::leave_group_request::MemberIdentity;

/// An assignment of the topic's partitions.
fn assignment(numbers: &[i32]) -> Bytes {
    encode_assignment(&numbers.iter().map(|number| (TOPIC.to_owned(), *number)).collect())
}

fn numbers(assignment: &Bytes) -> Vec<i32> {
    let owned = decode_assignment(assignment.clone()).expect("an assignment");
    owned.into_iter().map(|(_, number)| number).collect()
}

/// A classic group of one member that has everything; its id and generation.
fn classic(cluster: &mut Cluster) -> (String, i32) {
    let token = cluster.join(3, "", |_| {});
    cluster.pass(10);
    let joined = cluster.joined(token);
    let all: &'static [u8] = Vec::leak(assignment(&[0, 1]).to_vec());
    let token = cluster.sync(3, &joined.member_id, joined.generation_id, &[(&joined.member_id, all)]);
    assert_eq!(cluster.synced(token).0, ErrorCode::None);
    (joined.member_id.to_string(), joined.generation_id)
}

/// A classic member joins again and asks for its assignment: its generation and what it has.
fn rejoin(cluster: &mut Cluster, member: &str) -> (i32, Vec<i32>) {
    let token = cluster.join(5, member, |_| {});
    let joined = cluster.joined(token);
    assert_eq!((joined.error_code, joined.members.len()), (0, 0), "nobody assigns but the coordinator");
    assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    let token = cluster.sync(3, member, joined.generation_id, &[]);
    let (error, assignment) = cluster.synced(token);
    assert_eq!(error, ErrorCode::None);
    (joined.generation_id, numbers(&assignment))
}

fn leave(cluster: &mut Cluster, member: &str) -> ErrorCode {
    let members = vec![MemberIdentity::default().with_member_id(text(member))];
    let leave = m::LeaveGroupRequest::default().with_group_id(super::group()).with_members(members);
    match cluster.ask(5, Request::LeaveGroup(leave)) {
        Response::LeaveGroup(response) => ErrorCode::from_code(response.members[0].error_code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_classic_group_is_upgraded_and_downgraded_while_it_works() {
    let mut cluster = Cluster::new();
    let (old, generation) = classic(&mut cluster);
    let mut new = Consumer::new("new");
    assert_eq!(new.beat(&mut cluster), ErrorCode::None);
    assert_eq!((new.epoch, new.numbers()), (generation + 1, vec![]));
    let told = cluster.consumer_describe();
    assert_eq!((told.error_code, told.members.len()), (0, 2));
    assert_eq!(told.members.iter().map(|member| member.member_type).collect::<Vec<_>>(), [0, 1]);
    // The classic member is asked to join again, and gives up what it had before it does.
    assert_eq!(cluster.heartbeat(&old, generation), ErrorCode::RebalanceInProgress);
    let (generation, has) = rejoin(&mut cluster, &old);
    assert_eq!((generation, has.len()), (new.epoch, 1));
    assert_eq!(cluster.heartbeat(&old, generation), ErrorCode::None);
    settle(&mut cluster, &mut [&mut new]);
    assert_eq!(new.numbers().len(), 1);
    assert_ne!(new.numbers(), has);
    let mut cluster = cluster.assert_replay_equals_live();
    // The last member of the consumer protocol leaves.
    assert_eq!(new.leave(&mut cluster, -1), ErrorCode::None);
    assert_eq!(cluster.consumer_describe().error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(cluster.describe().group_state.as_str(), "PreparingRebalance");
    assert_eq!(cluster.heartbeat(&old, generation), ErrorCode::RebalanceInProgress);
    let token = cluster.join(5, &old, |_| {});
    let joined = cluster.joined(token);
    assert_eq!((joined.error_code, joined.generation_id), (0, generation + 1));
    assert_eq!(joined.leader.as_str(), old, "it assigns again");
    let token = cluster.sync(3, &old, joined.generation_id, &[(&old, b"all")]);
    assert_eq!(cluster.synced(token), (ErrorCode::None, Bytes::from_static(b"all")));
    cluster.assert_replay_equals_live();
}

#[test]
fn the_policy_decides() {
    for policy in [MigrationPolicy::Disabled, MigrationPolicy::Downgrade] {
        let mut cluster = Cluster::with(|config| config.group_consumer_migration_policy = policy);
        let (old, generation) = classic(&mut cluster);
        assert_eq!(Consumer::new("new").beat(&mut cluster), ErrorCode::GroupIdNotFound);
        assert_eq!(cluster.heartbeat(&old, generation), ErrorCode::None);
    }
    let mut cluster = Cluster::with(|config| config.group_consumer_migration_policy = MigrationPolicy::Upgrade);
    let (old, generation) = classic(&mut cluster);
    let mut new = Consumer::new("new");
    assert_eq!(new.beat(&mut cluster), ErrorCode::None);
    assert_eq!(new.leave(&mut cluster, -1), ErrorCode::None);
    assert_eq!(cluster.consumer_describe().error_code, 0, "it stays a consumer group");
    assert_eq!(cluster.heartbeat(&old, generation), ErrorCode::RebalanceInProgress);
    assert_eq!(rejoin(&mut cluster, &old).1, [0, 1]);
}

#[test]
fn an_empty_group_of_either_kind_makes_way_and_keeps_its_offsets() {
    let mut cluster = Cluster::new();
    let (old, _) = classic(&mut cluster);
    assert_eq!(leave(&mut cluster, &old), ErrorCode::None);
    let mut new = Consumer::new("new");
    assert_eq!(new.beat(&mut cluster), ErrorCode::None);
    assert_eq!((new.epoch, new.numbers()), (1, vec![0, 1]));
    let mut cluster = cluster.assert_replay_equals_live();
    assert_eq!(new.leave(&mut cluster, -1), ErrorCode::None);
    let (old, generation) = classic(&mut cluster);
    assert_eq!((generation, cluster.heartbeat(&old, 1)), (1, ErrorCode::None));
    assert_eq!(cluster.consumer_describe().error_code, ErrorCode::GroupIdNotFound.code());
    cluster.assert_replay_equals_live();
}

#[test]
fn classic_members_of_a_consumer_group_are_checked_as_members() {
    let mut cluster = Cluster::new();
    let mut new = Consumer::new("new");
    assert_eq!(new.beat(&mut cluster), ErrorCode::None);
    // An id first.
    let token = cluster.join(5, "", |_| {});
    let told = cluster.joined(token);
    assert_eq!(told.error_code, ErrorCode::MemberIdRequired.code());
    let id = told.member_id.to_string();
    let (generation, has) = rejoin(&mut cluster, &id);
    assert_eq!((generation, has), (2, vec![]));
    assert_eq!(cluster.heartbeat(&id, generation), ErrorCode::None, "it waits for what the other has");
    settle(&mut cluster, &mut [&mut new]);
    assert_eq!(cluster.heartbeat(&id, generation), ErrorCode::RebalanceInProgress, "now it is free");
    assert_eq!(rejoin(&mut cluster, &id).1.len(), 1);
    assert_eq!(cluster.heartbeat(&id, generation - 1), ErrorCode::IllegalGeneration);
    assert_eq!(cluster.heartbeat("new", new.epoch), ErrorCode::UnknownMemberId, "it speaks the other protocol");
    assert_eq!(leave(&mut cluster, "new"), ErrorCode::UnknownMemberId);
    let token = cluster.join(5, "x", |join| join.protocol_type = text("connect"));
    assert_eq!(cluster.joined(token).error_code, ErrorCode::InconsistentGroupProtocol.code());
    // It was told to join again and does not.
    let mut third = Consumer::new("third");
    assert_eq!(third.beat(&mut cluster), ErrorCode::None);
    assert_eq!(cluster.heartbeat(&id, generation), ErrorCode::RebalanceInProgress);
    for _ in 0..6 {
        cluster.pass(2_000);
        new.beat(&mut cluster);
        third.beat(&mut cluster);
        cluster.heartbeat(&id, generation);
    }
    assert_eq!(cluster.heartbeat(&id, generation), ErrorCode::UnknownMemberId);
    settle(&mut cluster, &mut [&mut new, &mut third]);
    assert_eq!(new.numbers().len() + third.numbers().len(), 2);
}

#[test]
fn a_static_member_that_comes_back_with_the_classic_protocol_takes_the_group_along() {
    let mut cluster = Cluster::new();
    let mut new = Consumer { instance: Some("desk".to_owned()), ..Consumer::new("new") };
    assert_eq!(new.beat(&mut cluster), ErrorCode::None);
    let token = cluster.join(5, "", |join| join.group_instance_id = Some(text("desk")));
    let joined = cluster.joined(token);
    assert_eq!(joined.error_code, 0);
    assert_eq!(cluster.consumer_describe().error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(new.beat(&mut cluster), ErrorCode::GroupIdNotFound, "it is a classic group");
    // It assigns by itself from now on: it joins again.
    let token = cluster.sync(3, &joined.member_id, joined.generation_id, &[]);
    assert_eq!(cluster.synced(token).0, ErrorCode::RebalanceInProgress);
    let again = cluster.join(5, &joined.member_id, |join| join.group_instance_id = Some(text("desk")));
    cluster.pass(10);
    let again = cluster.joined(again);
    assert_eq!((again.error_code, again.leader == joined.member_id), (0, true));
}

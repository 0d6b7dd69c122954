//! Joining, rebalances, silence, static members, fencing.

use super::{Cluster, text};
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages as m;
use kafka_protocol::messages::leave_group_request::MemberIdentity;

fn code(response: &m::JoinGroupResponse) -> ErrorCode {
    ErrorCode::from_code(response.error_code)
}

fn instance(name: &'static str) -> impl Fn(&mut m::JoinGroupRequest) {
    move |join| join.group_instance_id = Some(text(name))
}

fn leave(cluster: &mut Cluster, version: i16, member: &str) -> m::LeaveGroupResponse {
    let mut leave = m::LeaveGroupRequest::default().with_group_id(super::group());
    if version >= 3 {
        leave.members = vec![MemberIdentity::default().with_member_id(text(member))];
    } else {
        leave.member_id = text(member);
    }
    match cluster.ask(version, Request::LeaveGroup(leave)) {
        Response::LeaveGroup(response) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_version_joins_and_new_ones_are_given_an_id_first() {
    for version in 0..=9 {
        let mut cluster = Cluster::new();
        let token = cluster.join(version, "", |_| {});
        cluster.pass(10);
        let mut joined = cluster.joined(token);
        if version >= 4 {
            assert_eq!(code(&joined), ErrorCode::MemberIdRequired, "version {version}");
            let token = cluster.join(version, &joined.member_id, |_| {});
            cluster.pass(10);
            joined = cluster.joined(token);
        }
        assert_eq!((code(&joined), joined.generation_id), (ErrorCode::None, 1), "version {version}");
        assert!(joined.member_id.starts_with("client-"));
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        let sync_version = version.min(5);
        let token = cluster.sync(sync_version, &joined.member_id, 1, &[(&joined.member_id, b"all")]);
        assert_eq!(cluster.synced(token), (ErrorCode::None, Bytes::from_static(b"all")), "version {version}");
        assert_eq!(cluster.heartbeat(&joined.member_id, 1), ErrorCode::None);
        let left = leave(&mut cluster, version.min(5), &joined.member_id);
        assert_eq!(left.error_code, 0);
        assert_eq!(cluster.describe().group_state.as_str(), "Empty");
        assert_eq!(leave(&mut cluster, 2, &joined.member_id).error_code, ErrorCode::UnknownMemberId.code());
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut cluster = Cluster::new();
    let mut refused = |member: &str, more: &dyn Fn(&mut m::JoinGroupRequest)| {
        let token = cluster.join(3, member, more);
        code(&cluster.joined(token))
    };
    assert_eq!(refused("", &|join| join.group_id = m::GroupId(text(""))), ErrorCode::InvalidGroupId);
    assert_eq!(refused("", &|join| join.session_timeout_ms = 999), ErrorCode::InvalidSessionTimeout);
    assert_eq!(refused("", &|join| join.session_timeout_ms = -1), ErrorCode::InvalidSessionTimeout);
    assert_eq!(refused("nobody", &|_| {}), ErrorCode::UnknownMemberId);
    assert_eq!(refused("", &|join| join.protocols.clear()), ErrorCode::InconsistentGroupProtocol);
    let (a, _) = cluster.two_members();
    let mut refused = |member: &str, more: &dyn Fn(&mut m::JoinGroupRequest)| {
        let token = cluster.join(3, member, more);
        code(&cluster.joined(token))
    };
    assert_eq!(refused("", &|join| join.protocol_type = text("connect")), ErrorCode::InconsistentGroupProtocol);
    let other = |join: &mut m::JoinGroupRequest| {
        join.protocols.truncate(1);
        join.protocols[0].name = text("sticky");
    };
    assert_eq!(refused("", &other), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(cluster.heartbeat(&a, 2), ErrorCode::IllegalGeneration);
    assert_eq!(cluster.heartbeat("nobody", 1), ErrorCode::UnknownMemberId);
    let token = cluster.sync(0, &a, 0, &[]);
    assert_eq!(cluster.synced(token).0, ErrorCode::IllegalGeneration);
}

#[test]
fn a_group_is_no_larger_than_allowed() {
    let mut cluster = Cluster::with(|config| config.group_max_size = 2);
    let (a, _) = cluster.two_members();
    let token = cluster.join(3, "", |_| {});
    assert_eq!(code(&cluster.joined(token)), ErrorCode::GroupMaxSizeReached);
    assert_eq!(cluster.heartbeat(&a, 1), ErrorCode::None);
}

#[test]
fn a_new_group_waits_for_more_members_and_longer_while_they_come() {
    let mut cluster = Cluster::with(|config| config.group_initial_rebalance_delay_ms = 500);
    let first = cluster.join(3, "", |_| {});
    cluster.pass(400);
    let second = cluster.join(3, "", |_| {});
    cluster.pass(400);
    assert!(cluster.answers.is_empty(), "the delay began anew");
    cluster.pass(300);
    let (first, second) = (cluster.joined(first), cluster.joined(second));
    assert_eq!((first.generation_id, second.generation_id, first.members.len()), (1, 1, 2));
}

#[test]
fn whoever_comes_or_leaves_makes_all_join_again() {
    let mut cluster = Cluster::new();
    let (a, b) = cluster.two_members();
    let third = cluster.join(3, "", |_| {});
    assert_eq!(cluster.describe().group_state.as_str(), "PreparingRebalance");
    assert_eq!(cluster.heartbeat(&a, 1), ErrorCode::RebalanceInProgress);
    let a_joins = cluster.join(3, &a, |_| {});
    assert!(cluster.answers.is_empty(), "b has not joined yet");
    let b_joins = cluster.join(3, &b, |_| {});
    let (third, a_joined) = (cluster.joined(third), cluster.joined(a_joins));
    assert_eq!((a_joined.generation_id, a_joined.members.len(), third.members.len()), (2, 3, 0));
    assert_eq!(cluster.joined(b_joins).leader, a_joined.leader);
    assert_eq!(cluster.describe().group_state.as_str(), "CompletingRebalance");
    // Somebody leaves before the leader has assigned: who waits for an assignment is to join again.
    let b_syncs = cluster.sync(0, &b, 2, &[]);
    assert_eq!(leave(&mut cluster, 5, &third.member_id).members[0].error_code, 0);
    assert_eq!(cluster.synced(b_syncs).0, ErrorCode::RebalanceInProgress);
    let (a_joins, b_joins) = (cluster.join(3, &a, |_| {}), cluster.join(3, &b, |_| {}));
    assert_eq!((cluster.joined(a_joins).generation_id, cluster.joined(b_joins).generation_id), (3, 3));
}

#[test]
fn who_is_silent_is_out_and_who_does_not_rejoin_in_time_too() {
    let mut cluster = Cluster::new();
    let (a, b) = cluster.two_members();
    for _ in 0..3 {
        cluster.pass(1_400);
        let state = cluster.heartbeat(&a, 1);
        assert!(matches!(state, ErrorCode::None | ErrorCode::RebalanceInProgress));
    }
    assert_eq!(cluster.heartbeat(&a, 1), ErrorCode::RebalanceInProgress);
    assert_eq!(cluster.heartbeat(&b, 1), ErrorCode::UnknownMemberId);
    let alone = cluster.join(3, &a, |_| {});
    assert_eq!(cluster.joined(alone).generation_id, 2);
    // Another comes, and this time the first shows itself, but does not join.
    let next = cluster.join(3, "", |_| {});
    for _ in 0..11 {
        cluster.pass(1_000);
        cluster.heartbeat(&a, 2);
    }
    let next = cluster.joined(next);
    assert_eq!((next.generation_id, next.members.len()), (3, 1));
    assert_eq!(cluster.heartbeat(&a, 3), ErrorCode::UnknownMemberId);
}

#[test]
fn who_joins_and_never_asks_for_its_assignment_is_out() {
    let mut cluster = Cluster::new();
    let (first, second) = (cluster.join(3, "", |_| {}), cluster.join(3, "", |_| {}));
    cluster.pass(10);
    let (a, b) = (cluster.joined(first).member_id, cluster.joined(second).member_id);
    let b_syncs = cluster.sync(0, &b, 1, &[]);
    for _ in 0..10 {
        cluster.pass(1_001);
        cluster.heartbeat(&a, 1);
    }
    assert_eq!(cluster.synced(b_syncs).0, ErrorCode::RebalanceInProgress);
    assert_eq!(cluster.heartbeat(&a, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn an_assignment_is_told_when_it_is_committed_and_not_before() {
    let mut cluster = Cluster::new();
    let token = cluster.join(3, "", |_| {});
    cluster.pass(10);
    let member = cluster.joined(token).member_id;
    cluster.is_disk_slow = true;
    let syncs = cluster.sync(0, &member, 1, &[(&member, b"all")]);
    cluster.pass(1_000);
    assert!(cluster.answers.is_empty());
    assert_eq!(cluster.describe().group_state.as_str(), "CompletingRebalance");
    cluster.is_disk_slow = false;
    cluster.run();
    assert_eq!(cluster.synced(syncs), (ErrorCode::None, Bytes::from_static(b"all")));
    // One that takes too long makes all join again.
    let again = cluster.join(3, &member, |_| {});
    let generation = cluster.joined(again).generation_id;
    cluster.is_disk_slow = true;
    let syncs = cluster.sync(0, &member, generation, &[(&member, b"more")]);
    cluster.pass(5_100);
    assert_eq!(cluster.synced(syncs).0, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(cluster.heartbeat(&member, generation), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_its_old_self_is_fenced() {
    for version in [5, 9] {
        let mut cluster = Cluster::new();
        let token = cluster.join(version, "", instance("i"));
        cluster.pass(10);
        let old = cluster.joined(token);
        assert!(old.member_id.starts_with("i-"), "a static member needs no id first");
        let syncs = cluster.sync(3, &old.member_id, 1, &[(&old.member_id, b"all")]);
        cluster.synced(syncs);
        let token = cluster.join(version, "", instance("i"));
        let new = cluster.joined(token);
        assert_eq!((code(&new), new.generation_id), (ErrorCode::None, 1));
        assert_ne!(new.member_id, old.member_id);
        if version >= 9 {
            assert!(new.skip_assignment && new.leader == new.member_id && new.members.len() == 1);
        } else {
            assert!(new.leader == old.member_id && new.members.is_empty(), "or it would assign anew");
        }
        let syncs = cluster.sync(3, &new.member_id, 1, &[]);
        assert_eq!(cluster.synced(syncs), (ErrorCode::None, Bytes::from_static(b"all")));
        let beat = m::HeartbeatRequest::default()
            .with_group_id(super::group())
            .with_member_id(old.member_id)
            .with_generation_id(1)
            .with_group_instance_id(Some(text("i")));
        let Response::Heartbeat(fenced) = cluster.ask(4, Request::Heartbeat(beat)) else { panic!("an answer") };
        assert_eq!(fenced.error_code, ErrorCode::FencedInstanceId.code());
        let cluster = cluster.assert_replay_equals_live();
        assert_eq!(cluster.shards().flat_map(|shard| shard.groups()).count(), 1);
    }
}

#[test]
fn the_next_coordinator_takes_the_last_generation_for_alive() {
    let mut cluster = Cluster::new();
    let (a, b) = cluster.two_members();
    let told = &cluster.broker.groups().snapshot(cluster.broker.image(), &cluster.config.cluster)[0];
    assert_eq!((told.members.len(), told.generation, told.leader.as_deref()), (2, 1, Some(&*a)));
    assert!(told.rebalances[0].cause.ends_with("joined"), "{:?}", told.rebalances);
    let mut cluster = cluster.assert_replay_equals_live();
    assert_eq!(cluster.heartbeat(&a, 1), ErrorCode::None);
    let described = cluster.describe();
    assert_eq!((described.group_state.as_str(), described.members.len()), ("Stable", 2));
    assert_eq!(described.protocol_data.as_str(), "range");
    for _ in 0..4 {
        cluster.pass(1_000);
        cluster.heartbeat(&a, 1);
    }
    assert_eq!(cluster.heartbeat(&b, 1), ErrorCode::UnknownMemberId, "it has to show itself there too");
    assert_eq!(cluster.heartbeat(&a, 1), ErrorCode::RebalanceInProgress);
}

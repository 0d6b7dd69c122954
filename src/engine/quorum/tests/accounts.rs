//! What brokers tell of the quorum: refused votes with their reason, timers, requests and the newest records.

use super::world::{World, id};
use crate::engine::controller::record::MetadataRecord;
use crate::engine::observe::{QuorumRole, QuorumSnapshot};
use crate::engine::quorum::{QuorumRequest, VoteRefusal};
use crate::protocol::ids::{BrokerId, DirectoryId};
use crate::protocol::peer::{PeerRequest, VoteRequest};
use uuid::Uuid;

fn account(world: &World, broker: BrokerId) -> QuorumSnapshot {
    world.quorum(broker).snapshot()
}

fn with_leader() -> (World, BrokerId, Vec<BrokerId>) {
    let mut world = World::started(3, 3, 0);
    world.until(1_000, "a leader is elected", |world| world.leader().is_some());
    world.run(300);
    let leader = world.leader().expect("it was just there");
    let others = world.ids().into_iter().filter(|id| *id != leader).collect();
    (world, leader, others)
}

#[test]
fn a_voter_tells_why_it_refuses() {
    let (mut world, leader, others) = with_leader();
    let (voter, asker) = (others[0], others[1]);
    let (epoch, log_end) = (world.quorum(leader).epoch(), world.quorum(voter).log_end());
    let base = VoteRequest {
        epoch,
        candidate: asker,
        candidate_directory: world.nodes[&asker].directory,
        voter_directory: None,
        last_epoch: epoch,
        last_epoch_end_offset: log_end,
        pre_vote: true,
    };
    let mut reason = |from: BrokerId, request: VoteRequest| {
        world.ask(voter, from, PeerRequest::Vote(request));
        account(&world, voter).answers.last().expect("it was asked").refusal
    };
    assert_eq!(reason(asker, base.clone()), Some(VoteRefusal::HasLeader(leader)));
    let other_disk = Some(DirectoryId(Uuid::from_u128(99)));
    assert_eq!(
        reason(asker, VoteRequest { voter_directory: other_disk, ..base.clone() }),
        Some(VoteRefusal::OtherDirectory)
    );
    let stranger = VoteRequest { candidate: id(77), ..base.clone() };
    assert_eq!(reason(id(77), stranger), Some(VoteRefusal::NotAVoter));
    let earnest = VoteRequest { pre_vote: false, epoch: epoch + 1, ..base };
    let short = VoteRequest { last_epoch_end_offset: log_end - 1, ..earnest.clone() };
    let behind = VoteRefusal::LogBehind { theirs: (epoch, log_end - 1), ours: (epoch, log_end) };
    assert_eq!(reason(asker, short), Some(behind));
    assert_eq!(reason(asker, earnest.clone()), None, "the first whose log is long enough has the vote");
    let second = VoteRequest { candidate: leader, ..earnest.clone() };
    assert_eq!(reason(leader, second), Some(VoteRefusal::VotedFor(asker)));
    let late = VoteRequest { epoch: epoch - 1, ..earnest };
    assert_eq!(reason(asker, late), Some(VoteRefusal::StaleEpoch { epoch: epoch + 1 }));
}

#[test]
fn timers_and_requests_are_told_by_every_role() {
    let (mut world, leader, others) = with_leader();
    assert_eq!(account(&world, leader).timer.expect("others may fall silent").why, "a majority is silent");
    let told = account(&world, others[0]);
    assert_eq!(told.timer.expect("it may miss its leader").why, "fetch timeout");
    assert_eq!(told.requests, [(leader, QuorumRequest::Fetch { offset: told.log_end })]);
    world.kill(leader);
    world.kill(others[1]);
    let stands = |world: &World| world.role(others[0]) == QuorumRole::Prospective;
    world.until(1_000, "it stands", stands);
    let told = account(&world, others[0]);
    assert_eq!(told.votes_granted, [others[0]]);
    let asks =
        |(_, request): &(BrokerId, QuorumRequest)| matches!(request, QuorumRequest::Vote { is_pre_vote: true, .. });
    assert_eq!(told.requests.iter().filter(|request| asks(request)).count(), 2);
    assert_eq!(told.timer.expect("it gives up at some time").why, "election timeout");
}

#[test]
fn a_leader_knows_what_it_writes_and_others_what_is_committed() {
    let (mut world, leader, others) = with_leader();
    let first = account(&world, leader).recent.first().cloned().expect("it wrote that it leads");
    assert!(matches!(*first.record, MetadataRecord::LeaderChange { .. }));
    world.cut_off(leader);
    assert!(world.write(leader));
    let last = |world: &World, id| account(world, id).recent.last().map(|record| (record.offset, record.epoch));
    let end = world.quorum(leader).log_end();
    let epoch = world.quorum(leader).epoch();
    assert_eq!(last(&world, leader), Some((end - 1, epoch)), "committed or not");
    world.until(2_000, "another leads", |world| world.leader().is_some_and(|other| other != leader));
    let new = world.leader().expect("it was just there");
    world.heal();
    let is_committed = |world: &World| world.quorum(leader).high_watermark() == world.quorum(new).log_end();
    world.until(1_000, "the old one follows", is_committed);
    assert_eq!(account(&world, leader).recent, account(&world, new).recent, "what it had to cut is forgotten");
    assert!(others.contains(&new));
    let told = account(&world, new);
    assert_eq!(
        told.epochs.last(),
        Some(&(told.epoch, end - 1)),
        "the new epoch begins where the old leader's tail did"
    );
}

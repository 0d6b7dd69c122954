//! What a quorum promises, told one story at a time.

use super::world::{World, id};
use crate::engine::observe::{EventKind, QuorumRole};
use crate::engine::quorum::VoterChangeError;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, DirectoryId};
use crate::protocol::peer::{
    BeginQuorumEpochRequest, FetchSnapshotRequest, PeerRequest, PeerResponse, QuorumFetchRequest, SnapshotId,
    VoteRequest,
};
use uuid::Uuid;

const SECOND: u64 = 1_000;

fn with_leader(voters: i32, observers: i32) -> (World, BrokerId) {
    let mut world = World::started(3, voters, observers);
    world.until(SECOND, "a leader is elected", |world| world.leader().is_some());
    let leader = world.leader().expect("it was just there");
    (world, leader)
}

fn others(world: &World, leader: BrokerId) -> Vec<BrokerId> {
    world.ids().into_iter().filter(|id| *id != leader).collect()
}

fn commits(world: &mut World, leader: BrokerId) {
    assert!(world.write(leader), "{leader} leads");
    let end = world.quorum(leader).log_end();
    world.until(SECOND, "it is committed", |world| world.quorum(leader).high_watermark() >= end);
}

fn has_event(world: &World, id: BrokerId, is_it: impl Fn(&EventKind) -> bool) -> bool {
    world.nodes[&id].events.iter().any(is_it)
}

#[test]
fn a_single_voter_leads_without_waiting_for_a_timeout() {
    let mut world = World::started(1, 1, 0);
    world.until(20, "it leads", |world| world.leader() == Some(id(1)));
    world.run(5 * SECOND);
    assert_eq!(world.quorum(id(1)).epoch(), 1);
    world.kill(id(1));
    world.start(id(1));
    world.until(20, "it leads again, in an epoch of its own", |world| world.leader() == Some(id(1)));
    assert_eq!(world.quorum(id(1)).epoch(), 2);
}

#[test]
fn three_fresh_brokers_have_a_leader_before_an_election_timeout_has_passed() {
    let mut world = World::started(1, 3, 0);
    world.until(100, "a leader is elected", |world| world.leader() == Some(id(1)));
    assert_eq!(world.quorum(id(1)).epoch(), 1);
    let end = world.quorum(id(1)).log_end();
    assert_eq!(world.quorum(id(1)).voters().len(), 3);
    world.until(100, "all have it", |world| world.ids().iter().all(|id| world.quorum(*id).high_watermark() == end));
}

#[test]
fn an_idle_quorum_elects_nobody_and_says_little() {
    let (mut world, leader) = with_leader(3, 1);
    world.run(SECOND);
    let (epoch, steps) = (world.quorum(leader).epoch(), world.steps);
    world.run(10 * SECOND);
    assert_eq!((world.leader(), world.quorum(leader).epoch()), (Some(leader), epoch));
    assert!(world.steps - steps < 1_200, "{} steps in ten idle seconds of three who fetch", world.steps - steps);
}

#[test]
fn a_flapping_link_deposes_nobody() {
    let (mut world, leader) = with_leader(3, 0);
    let epoch = world.quorum(leader).epoch();
    let flapping = others(&world, leader)[0];
    for _ in 0..10 {
        world.cut_off(flapping);
        world.run(900);
        world.heal();
        world.run(200);
        commits(&mut world, leader);
    }
    assert!(has_event(&world, flapping, |e| matches!(e, EventKind::QuorumRole { to: QuorumRole::Prospective, .. })));
    assert_eq!((world.leader(), world.quorum(flapping).epoch()), (Some(leader), epoch));
}

#[test]
fn a_link_cut_one_way_deposes_nobody_either() {
    for is_deaf in [true, false] {
        let (mut world, leader) = with_leader(3, 0);
        let epoch = world.quorum(leader).epoch();
        let victim = others(&world, leader)[0];
        world.cut.insert(if is_deaf { (leader, victim) } else { (victim, leader) });
        world.run(5 * SECOND);
        assert_eq!((world.leader(), world.quorum(leader).epoch()), (Some(leader), epoch));
        world.heal();
        world.until(SECOND, "it follows again", |world| world.quorum(victim).leader() == Some(leader));
    }
}

#[test]
fn a_leader_cut_off_resigns_and_the_others_elect_another() {
    let (mut world, old) = with_leader(3, 0);
    world.cut_off(old);
    world.until(500, "it resigns", |world| world.role(old) == QuorumRole::Resigned);
    world.until(SECOND, "another leads", |world| world.leader().is_some_and(|leader| leader != old));
    let new = world.leader().expect("it was just there");
    commits(&mut world, new);
    world.heal();
    world.until(SECOND, "the old one follows", |world| world.quorum(old).leader() == Some(new));
    assert_eq!(world.leader(), Some(new));
}

#[test]
fn a_leader_whose_process_ends_is_replaced_soon_after_the_fetch_timeout() {
    let (mut world, old) = with_leader(3, 0);
    world.run(SECOND);
    world.kill(old);
    world.until(600, "another leads", |world| world.leader().is_some_and(|leader| leader != old));
}

#[test]
fn a_leader_that_stops_hands_over_at_once() {
    let (mut world, old) = with_leader(3, 0);
    commits(&mut world, old);
    world.run(200);
    world.step(old, |process, cx| process.quorum.resign(cx, &mut process.rpc));
    world.until(100, "another leads", |world| world.leader().is_some_and(|leader| leader != old));
    world.run(5 * SECOND);
    assert!(world.leader() != Some(old), "whoever stops does not stand again");
    assert!(world.quorum(old).leader().is_some(), "it goes on following");
}

#[test]
fn a_split_vote_resolves() {
    for seed in 0..20 {
        let mut world = World::new(seed, 3, 0);
        (world.delay_us, world.persist_us) = (1, 1);
        for broker in [id(2), id(3)] {
            world.start(broker);
        }
        for broker in [id(2), id(3)] {
            world.step(broker, |process, cx| process.quorum.become_candidate(cx, "told to"));
        }
        world.until(20, "both lose", |world| {
            [id(2), id(3)].iter().all(|broker| {
                let snapshot = world.quorum(*broker).snapshot();
                snapshot.role == QuorumRole::Candidate && snapshot.voted_for == Some(*broker) && snapshot.epoch == 1
            })
        });
        world.until(3 * SECOND, "one of them leads", |world| world.leader().is_some());
        let leader = world.leader().expect("it was just there");
        assert!(world.quorum(leader).epoch() > 1);
    }
}

fn vote(candidate: i32, voter_directory: Option<DirectoryId>, epoch: i32) -> PeerRequest {
    PeerRequest::Vote(VoteRequest {
        epoch,
        candidate: id(candidate),
        candidate_directory: DirectoryId(Uuid::from_u128(7)),
        voter_directory,
        last_epoch: 9,
        last_epoch_end_offset: 99,
        pre_vote: false,
    })
}

#[test]
fn a_vote_is_on_the_disk_before_it_is_told_and_survives_a_crash() {
    let mut world = World::new(1, 3, 0);
    world.start(id(2));
    world.run(20);
    assert_eq!(world.ask(id(2), id(1), vote(1, None, 5)), None, "nothing is said before it is safe");
    world.power_loss_of_all_unsynced(id(2));
    world.start(id(2));
    assert_eq!(world.quorum(id(2)).epoch(), 0, "what was not synced was not promised");
    world.run(20);
    assert_eq!(world.ask(id(2), id(1), vote(1, None, 5)), None);
    world.run(20);
    world.power_loss_of_all_unsynced(id(2));
    world.start(id(2));
    world.run(20);
    let Some(PeerResponse::Vote(refused)) = world.ask(id(2), id(3), vote(3, None, 5)) else { panic!("an answer") };
    assert!(!refused.vote_granted && refused.epoch == 5);
    let Some(PeerResponse::Vote(again)) = world.ask(id(2), id(1), vote(1, None, 5)) else { panic!("an answer") };
    assert!(again.vote_granted, "the same candidate may ask again");
}

#[test]
fn a_minority_cannot_commit_and_what_it_wrote_is_cut() {
    let (mut world, old) = with_leader(3, 0);
    commits(&mut world, old);
    world.cut_off(old);
    assert!(world.write(old));
    let (end, committed) = (world.quorum(old).log_end(), world.quorum(old).high_watermark());
    world.until(2 * SECOND, "another leads", |world| world.leader().is_some_and(|leader| leader != old));
    let new = world.leader().expect("it was just there");
    commits(&mut world, new);
    assert_eq!(world.quorum(old).high_watermark(), committed);
    world.heal();
    commits(&mut world, new);
    world.until(SECOND, "the old one has what the new one has", |world| {
        world.quorum(old).high_watermark() == world.quorum(new).log_end()
    });
    assert!(has_event(
        &world,
        old,
        |e| matches!(e, EventKind::Truncated { from, to, .. } if *from == end && *to == end - 1)
    ));
    world.check_log_matching();
}

#[test]
fn records_of_earlier_epochs_are_committed_only_with_one_of_the_leaders_own() {
    let mut world = World::new(3, 3, 0);
    world.fetch_max_bytes = 1;
    world.start_all();
    world.until(SECOND, "a leader is elected", |world| world.leader().is_some());
    let leader = world.leader().expect("it was just there");
    for other in others(&world, leader) {
        world.kill(other);
    }
    assert!(world.write(leader));
    let end = world.quorum(leader).log_end();
    world.until(SECOND, "it resigns", |world| world.role(leader) == QuorumRole::Resigned);
    world.node(leader).events.clear();
    world.start_all();
    world.step(leader, |process, cx| process.quorum.become_candidate(cx, "told to"));
    world.until(SECOND, "it leads again", |world| world.leader() == Some(leader));
    // A response holds one batch, so that a majority had the old record before it had the one that begins the epoch.
    assert!(world.quorum(leader).high_watermark() > end);
    assert!(!has_event(&world, leader, |e| matches!(e, EventKind::MetadataCommitted { offset } if *offset <= end)));
}

#[test]
fn an_observer_far_behind_fetches_the_snapshot() {
    let (mut world, leader) = with_leader(3, 1);
    let observer = id(4);
    world.until(SECOND, "it follows", |world| world.role(observer) == QuorumRole::Observer);
    world.kill(observer);
    for broker in [id(1), id(2), id(3)] {
        world.node(broker).process.as_mut().expect("it runs").quorum.settings.snapshot_bytes = 1_000;
    }
    for _ in 0..40 {
        commits(&mut world, leader);
    }
    let account = world.quorum(leader).snapshot();
    assert!(account.log_start > 20, "the log starts at a snapshot");
    assert_eq!(
        world.nodes[&leader].harness.store.batches(crate::protocol::ids::LogId::METADATA)[0].header.base_offset,
        account.log_start
    );
    assert!(world.quorum(leader).snapshots.len() == 2, "one older snapshot stays");
    world.start(observer);
    world.until(SECOND, "it has caught up", |world| world.quorum(observer).high_watermark() >= account.log_end);
    assert!(has_event(&world, observer, |e| matches!(e, EventKind::SnapshotLoaded { .. })));
    assert_eq!(
        world.nodes[&observer].process.as_ref().expect("it runs").image,
        world.nodes[&leader].process.as_ref().expect("it runs").image
    );
    world.power_loss_of_all_unsynced(leader);
    world.start(leader);
    world.until(2 * SECOND, "a leader is elected", |world| world.leader().is_some());
    world.run(SECOND);
    let image = |id| &world.nodes[&id].process.as_ref().expect("it runs").image;
    assert_eq!(image(leader), image(observer), "a snapshot and the log behind it give the same image after a crash");
}

#[test]
fn a_wiped_voter_is_readmitted_when_it_has_caught_up() {
    let (mut world, leader) = with_leader(3, 0);
    let wiped = others(&world, leader)[0];
    let bystander = others(&world, leader)[1];
    commits(&mut world, leader);
    world.kill(wiped);
    world.wipe(wiped);
    let directory = world.nodes[&wiped].directory;
    world.start(wiped);
    assert!(!world.quorum(wiped).is_voter());
    let described = world.quorum(leader).describe(world.now).expect("it leads");
    assert_eq!((described.voters.len(), described.observers.len()), (3, 0));
    world.until(SECOND, "it votes again", |world| world.quorum(wiped).is_voter());
    assert_eq!(world.quorum(leader).voters()[&wiped], directory);
    assert_eq!(world.role(wiped), QuorumRole::Follower);
    let change = |event: &EventKind| match event {
        EventKind::VotersChanged { voters } => Some(voters.len()),
        _ => None,
    };
    let changes: Vec<usize> = world.nodes[&leader].events.iter().filter_map(change).collect();
    assert!(changes.ends_with(&[2, 3]), "the old disk goes first, then the new one comes: {changes:?}");
    commits(&mut world, leader);
    // From here on it counts: a majority of the leader and it commits, and elects.
    world.kill(bystander);
    commits(&mut world, leader);
    world.start(bystander);
    world.run(500);
    world.kill(leader);
    world.until(SECOND, "the others elect", |world| world.leader().is_some());
}

#[test]
fn a_wiped_voter_is_not_readmitted_without_a_majority_of_intact_ones() {
    let (mut world, leader) = with_leader(3, 0);
    let (wiped, gone) = (others(&world, leader)[0], others(&world, leader)[1]);
    commits(&mut world, leader);
    let old = world.quorum(leader).voters()[&wiped];
    world.kill(gone);
    world.run(SECOND);
    world.kill(wiped);
    world.wipe(wiped);
    world.start(wiped);
    world.run(3 * SECOND);
    assert_eq!(world.leader(), None, "one intact voter of three leads nobody");
    assert_eq!(world.quorum(leader).voters()[&wiped], old);
    world.start(gone);
    world.until(3 * SECOND, "two intact voters readmit the third", |world| world.quorum(wiped).is_voter());
}

#[test]
fn the_voters_change_only_by_a_leader_that_knows_what_is_committed() {
    let (mut world, leader) = with_leader(3, 1);
    world.until(SECOND, "the observer follows", |world| world.role(id(4)) == QuorumRole::Observer);
    world.run(300);
    let new = DirectoryId(Uuid::from_u128(77));
    let mut change = |broker, voter, directory| {
        world.step(broker, |process, cx| process.quorum.request_voter_change(cx, voter, directory))
    };
    let follower = if leader == id(1) { id(2) } else { id(1) };
    assert_eq!(change(follower, id(3), new), Err(VoterChangeError::NotLeader));
    assert_eq!(change(leader, id(9), new), Err(VoterChangeError::NoSuchVoter));
    assert_eq!(change(leader, id(3), new), Err(VoterChangeError::NotCaughtUp));
    let current = world.quorum(leader).voters()[&id(3)];
    let same = world.step(leader, |process, cx| process.quorum.request_voter_change(cx, id(3), current));
    assert_eq!(same, Err(VoterChangeError::NoChange));
    let described = world.quorum(leader).describe(world.now).expect("it leads");
    assert_eq!(described.observers.iter().map(|o| o.broker).collect::<Vec<_>>(), [id(4)]);
    let end = world.quorum(leader).log_end();
    assert!(
        described
            .voters
            .iter()
            .chain(&described.observers)
            .all(|r| r.log_end_offset == end && r.last_caught_up.is_some())
    );
}

#[test]
fn messages_of_other_epochs_and_to_the_wrong_broker_are_answered_with_kafkas_errors() {
    let (mut world, leader) = with_leader(3, 0);
    let follower = others(&world, leader)[0];
    world.run(300);
    let epoch = world.quorum(leader).epoch();
    let mut fetch_error = |to, epoch| {
        let request = QuorumFetchRequest {
            epoch,
            replica: id(3),
            directory: DirectoryId(Uuid::from_u128(1)),
            fetch_offset: 0,
            last_fetched_epoch: 0,
            high_watermark: 0,
            max_wait_ms: 0,
        };
        match world.ask(to, id(3), PeerRequest::QuorumFetch(request)) {
            Some(PeerResponse::QuorumFetch(response)) => (response.error, response.leader),
            other => panic!("an answer to a Fetch: {other:?}"),
        }
    };
    assert_eq!(fetch_error(leader, epoch - 1), (ErrorCode::FencedLeaderEpoch, Some(leader)));
    assert_eq!(fetch_error(leader, epoch + 1), (ErrorCode::UnknownLeaderEpoch, Some(leader)));
    assert_eq!(fetch_error(follower, epoch), (ErrorCode::NotLeaderOrFollower, Some(leader)));
    assert_eq!(fetch_error(leader, epoch), (ErrorCode::None, Some(leader)));
    let mut vote_error = |candidate: i32, directory, epoch| match world.ask(
        follower,
        id(candidate),
        vote(candidate, directory, epoch),
    ) {
        Some(PeerResponse::Vote(response)) => response.error,
        other => panic!("an answer to a Vote: {other:?}"),
    };
    assert_eq!(vote_error(3, None, epoch - 1), ErrorCode::FencedLeaderEpoch);
    assert_eq!(vote_error(9, None, epoch + 1), ErrorCode::InconsistentVoterSet);
    assert_eq!(vote_error(3, Some(DirectoryId(Uuid::nil())), epoch + 1), ErrorCode::InvalidVoterKey);
    assert_eq!(vote_error(3, None, epoch), ErrorCode::None);
    let begin = PeerRequest::BeginQuorumEpoch(BeginQuorumEpochRequest { epoch: epoch - 1, leader });
    let answer = world.ask(follower, leader, begin);
    assert!(matches!(answer, Some(PeerResponse::BeginQuorumEpoch(r)) if r.error == ErrorCode::FencedLeaderEpoch));
    let snapshot = SnapshotId { end_offset: 1, epoch };
    let request = FetchSnapshotRequest { epoch, replica: follower, snapshot, position: 0, max_bytes: 9 };
    let answer = world.ask(leader, follower, PeerRequest::FetchSnapshot(request));
    assert!(matches!(answer, Some(PeerResponse::FetchSnapshot(r)) if r.error == ErrorCode::SnapshotNotFound));
    assert_eq!(world.quorum(follower).epoch(), epoch, "none of this moved anybody");
}

#[test]
fn a_follower_that_only_hears_rumours_of_votes_keeps_its_leader() {
    let (mut world, leader) = with_leader(3, 0);
    world.run(300);
    let (follower, asker) = (others(&world, leader)[0], others(&world, leader)[1]);
    let epoch = world.quorum(leader).epoch();
    let request = VoteRequest {
        epoch,
        candidate: asker,
        candidate_directory: world.nodes[&asker].directory,
        voter_directory: None,
        last_epoch: epoch,
        last_epoch_end_offset: i64::MAX,
        pre_vote: true,
    };
    for voter in [follower, leader] {
        let answer = world.ask(voter, asker, PeerRequest::Vote(request.clone()));
        assert!(matches!(answer, Some(PeerResponse::Vote(r)) if !r.vote_granted && r.leader == Some(leader)));
    }
    world.kill(leader);
    world.until(SECOND, "it misses its leader", |world| world.role(follower) == QuorumRole::Prospective);
    let answer = world.ask(follower, asker, PeerRequest::Vote(request));
    assert!(matches!(answer, Some(PeerResponse::Vote(r)) if r.vote_granted));
}

//! What `w` tells of each kind of headline: the chain from who began it to what came of it and what is expected, and the same of the past.

use super::*;
use crate::cluster::observation::recorder::{LIMITS, Recorder};

#[test]
fn a_death_is_told_from_who_died_to_who_leads_and_who_is_out_of_sync() {
    let mut world = World::new(6);
    world.kill_2();
    world.round();
    let told = world.why(WhyAbout::Headline);
    assert_eq!(told[..2], ["Why is broker 2 down?", "Broker 2 was killed (kill −9)."]);
    assert!(told[2].contains("the controller fences 2") && told.len() == 3, "{told:?}");
    world.fail_over();
    let told = world.why(WhyAbout::Headline);
    assert!(told[2].starts_with("No heartbeat of 2 reached the controller"), "who noticed: {told:?}");
    assert_eq!(told[3..], ["2 partitions have new leaders.", "ISR of 6 partitions shrank."]);
}

#[test]
fn a_lost_controller_is_told_with_who_took_over() {
    let mut world = World::new(6);
    world.pass(100);
    world.observer.broker_is(b(1), BrokerState::Killed, None);
    world.down.push(b(1));
    world.controller = b(9);
    world.pass(400);
    world.round();
    world.controller = b(3);
    let became = observe::EventKind::QuorumRole {
        from: Role::Candidate,
        to: Role::Leader,
        epoch: 2,
        leader: Some(b(3)),
        why: "",
    };
    world.event(b(3), None, became);
    world.round();
    let told = world.why(WhyAbout::Broker(b(1)));
    assert_eq!(told[1], "Broker 1 was killed (kill −9).");
    assert!(told.iter().any(|step| step == "No controller: 1 was it."), "{told:?}");
    assert!(told.iter().any(|step| step == "3 is the controller, epoch 2."), "{told:?}");
}

#[test]
fn a_broker_that_is_back_is_told_with_what_it_still_copies() {
    let mut world = World::new(6);
    world.kill_2();
    world.fail_over();
    for number in 0..6 {
        world.ends.extend((1..=3).map(|id| ((b(id), orders(number)), if id == 2 { 60 } else { 100 })));
    }
    world.observer.broker_is(b(2), BrokerState::Starting, None);
    world.observer.broker_is(b(2), BrokerState::Running, None);
    world.down.clear();
    world.fence(b(2), false);
    world.pass(500);
    world.round();
    world.round();
    let told = world.why(WhyAbout::Headline);
    assert_eq!(told[..2], ["Why is 2 not in sync in orders-0?", "Broker 2 was killed (kill −9)."]);
    let last = told.last().expect("something is expected");
    assert_eq!(last, "2 copies what it misses, 40 records now, and joins the ISR when it has caught up.");
}

#[test]
fn of_the_past_the_chain_ends_where_it_did_then() {
    let (mut world, mut recorder) = (World::new(6), Recorder::new(LIMITS));
    world.kill_2();
    world.round();
    recorder.record(&world.observer);
    let (died_ms, then) = (world.now_ms, world.why(WhyAbout::Headline));
    world.fail_over();
    recorder.record(&world.observer);
    let (led_ms, later) = (world.now_ms, world.why(WhyAbout::Headline));
    world.observer.broker_is(b(2), BrokerState::Starting, None);
    world.observer.broker_is(b(2), BrokerState::Running, None);
    world.down.clear();
    world.fence(b(2), false);
    for _ in 0..3 {
        world.pass(500);
        world.round();
        recorder.record(&world.observer);
    }
    assert_ne!(world.why(WhyAbout::Headline)[0], then[0]);
    for (at_ms, told) in [(died_ms, then), (led_ms, later)] {
        let want = ViewRequest { why: Some(WhyAbout::Headline), at_ms: Some(at_ms), ..ViewRequest::default() };
        let why = recorder.recall(&mut world.observer, &want, at_ms).and_then(|view| view.why).expect("it was asked");
        let question = std::iter::once(why.question);
        assert_eq!(question.chain(why.steps.into_iter().map(|step| step.text)).collect::<Vec<_>>(), told);
    }
}

//! The recording of the observer: which moments are kept, what they look like later, and what they cost.

use super::*;
use crate::cluster::observation::recorder::{EVERY_MS, LIMITS, Limits, Recorder};

/// A world whose observer is recorded after every round.
struct Recorded {
    world: World,
    recorder: Recorder,
}

impl Recorded {
    fn new(partitions: i32, limits: Limits) -> Recorded {
        Recorded { world: World::new(partitions), recorder: Recorder::new(limits) }
    }

    /// Time passes, records are written to the first so many partitions, everybody tells, and it is recorded.
    fn go_on(&mut self, ms: u64, busy: i32) {
        self.world.pass(ms);
        for id in (1..=3).map(b).filter(|id| !self.world.down.contains(id)).collect::<Vec<_>>() {
            for number in 0..busy {
                *self.world.ends.entry((id, orders(number))).or_default() += 10;
            }
        }
        self.world.round();
        self.recorder.record(&self.world.observer);
    }

    fn at(&mut self, at_ms: u64, want: ViewRequest) -> ClusterView {
        let want = ViewRequest { at_ms: Some(at_ms), ..want };
        self.recorder.recall(&mut self.world.observer, &want, at_ms).expect("something is recorded")
    }
}

/// The same picture, whatever the time is now. The last column of a strip stands for what came up to its end.
fn undated(mut view: ClusterView) -> ClusterView {
    view.timeline.stalls.pop();
    view.timeline.bytes_in.pop();
    ClusterView { clock: ClockMode::default(), recorded: None, ..view }
}

#[test]
fn a_moment_looks_later_as_it_did_then_whatever_has_come_since() {
    let mut recorded = Recorded::new(6, LIMITS);
    (0..20).for_each(|_| recorded.go_on(250, 3));
    let before = (recorded.world.now_ms, recorded.world.view());
    let killed = recorded.world.kill_2();
    recorded.go_on(50, 3);
    let dying = (recorded.world.now_ms, recorded.world.view());
    let why = ViewRequest { why: Some(WhyAbout::Headline), ..ViewRequest::default() };
    let asked = recorded.world.observer.view(&why);
    recorded.world.fail_over();
    (0..40).for_each(|_| recorded.go_on(250, 6));
    let after = recorded.world.view();
    assert!(killed.seq > 0 && before.1 != dying.1 && dying.1 != after);

    assert_eq!(undated(recorded.at(before.0, ViewRequest::default())), undated(before.1), "2 lives");
    assert_eq!(
        undated(recorded.at(dying.0, ViewRequest::default())),
        undated(dying.1),
        "2 is dead and nobody has noticed"
    );
    assert_eq!(
        undated(recorded.at(dying.0, why)),
        undated(asked),
        "the chain of causes as it was, what was to come included"
    );
    let behind_ms = after.at_ms - before.0;
    assert_eq!(recorded.at(before.0 + 49, ViewRequest::default()).clock, ClockMode::Rewound { behind_ms });
    assert_eq!(recorded.world.view(), after, "the present is as it was");
}

#[test]
fn the_past_can_be_filtered_scrolled_and_asked_for_what_was_not_in_view() {
    let mut recorded = Recorded::new(40, LIMITS);
    (0..10).for_each(|_| recorded.go_on(250, 40));
    let then_ms = recorded.world.now_ms;
    (0..10).for_each(|_| recorded.go_on(250, 40));
    let filtered =
        ViewRequest { filter: "orders-3".into(), sort: RowSort::Name, first_row: 2, ..ViewRequest::default() };
    let view = recorded.at(then_ms, filtered);
    assert_eq!((view.rows.total, view.rows.rows[0].high_watermark), (11, Some(100)));
    let topics = TopicsRequest {
        first_row: 0,
        row_count: 5,
        selected: None,
        internal: true,
        filter: String::new(),
        spark_samples: 4,
    };
    let topics = ViewRequest { topics: Some(topics), quorum: true, ..ViewRequest::default() };
    let view = recorded.at(then_ms, topics);
    assert_eq!(view.topics.expect("it was asked for").rows[0].partitions, 40);
    assert!(view.quorum.is_some());
}

#[test]
fn what_lasts_later_had_not_ended_then_and_what_came_later_had_not_begun() {
    let mut recorded = Recorded::new(6, LIMITS);
    recorded.go_on(250, 6);
    let note = |text: &str| Note {
        kind: crate::cluster::view::EventKind::LinkCut,
        text: text.to_owned(),
        broker: None,
        cause: None,
        lasts: true,
    };
    let first = recorded.world.observer.note(note("link 1 ⇄ 3 cut"));
    recorded.go_on(1_000, 6);
    let during_ms = recorded.world.now_ms;
    recorded.go_on(1_000, 6);
    recorded.world.observer.end(first);
    recorded.world.observer.note(note("link 2 ⇄ 3 cut"));
    recorded.go_on(1_000, 6);

    let events = |view: ClusterView| -> Vec<(String, bool)> {
        let cuts = view.timeline.events.into_iter().filter(|event| event.text.contains('⇄'));
        cuts.map(|event| (event.text, event.ongoing)).collect()
    };
    let then = recorded.at(during_ms, ViewRequest::default());
    assert_eq!(events(then), [("link 1 ⇄ 3 cut".to_owned(), true)]);
    let now_ms = recorded.world.now_ms;
    let whole_axis = ViewRequest { end_ms: Some(now_ms), ..ViewRequest::default() };
    let then = recorded.at(during_ms, whole_axis);
    assert_eq!((then.at_ms, then.timeline.end_ms), (during_ms, now_ms), "the axis may end later than what is viewed");
    let all = [("link 1 ⇄ 3 cut".to_owned(), false), ("link 2 ⇄ 3 cut".to_owned(), true)];
    assert_eq!(events(then), all);
}

#[test]
fn four_pictures_a_second_are_taken_and_one_more_at_every_fact() {
    let mut recorded = Recorded::new(6, LIMITS);
    (0..100).for_each(|_| recorded.go_on(50, 6));
    let steady = recorded.recorder.len();
    assert!((20..=21).contains(&steady), "five seconds: {steady}");
    recorded.world.kill_2();
    recorded.go_on(10, 6);
    assert_eq!(recorded.recorder.len(), steady + 1, "at once");
    recorded.go_on(10, 6);
    assert_eq!(recorded.recorder.len(), steady + 1);
    // A world that stands still, with a fact in it, is one picture.
    recorded.world.observer.broker_is(b(3), BrokerState::Suspended, None);
    recorded.go_on(0, 0);
    recorded.world.observer.broker_is(b(3), BrokerState::Running, None);
    recorded.go_on(0, 0);
    assert_eq!(recorded.recorder.len(), steady + 2);
}

#[test]
fn one_goes_from_picture_to_picture_and_from_fact_to_fact() {
    let mut recorded = Recorded::new(6, LIMITS);
    (0..8).for_each(|_| recorded.go_on(EVERY_MS, 6));
    let calm_ms = recorded.world.now_ms;
    recorded.world.kill_2();
    recorded.go_on(20, 6);
    let killed_ms = recorded.world.now_ms;
    (0..8).for_each(|_| recorded.go_on(EVERY_MS, 6));

    let now = recorded.recorder.until_now().expect("it records");
    assert_eq!((now.next_ms, now.event_after), (None, None), "the present has nothing after it");
    let (fact, at_ms) = now.event_before.expect("a death");
    assert_eq!(at_ms, killed_ms, "the first picture that shows it");
    let view = recorded.at(at_ms, ViewRequest::default());
    assert!(view.timeline.events.iter().any(|event| event.id == fact && event.text == "kill −9 broker 2"));
    let there = view.recorded.expect("it records");
    assert_eq!((there.previous_ms, there.event_before), (Some(calm_ms), None), "what was before it began is not in it");
    let calm = recorded.at(calm_ms, ViewRequest::default()).recorded.expect("it records");
    assert_eq!((calm.next_ms, calm.event_after), (Some(killed_ms), Some((fact, killed_ms))));
    let oldest = recorded.at(0, ViewRequest::default());
    let recorded = oldest.recorded.expect("it records");
    assert_eq!((oldest.at_ms, recorded.previous_ms), (recorded.first_ms, None), "nothing is older than the oldest");
}

#[test]
fn what_is_kept_is_bounded_and_old_detail_goes_before_facts_and_time() {
    let few = Limits { span_ms: 60_000, pictures: 100, bytes: 16 << 20 };
    let mut recorded = Recorded::new(6, few);
    recorded.go_on(250, 6);
    recorded.world.kill_2();
    recorded.go_on(100, 6);
    let killed_ms = recorded.world.now_ms;
    (0..200).for_each(|_| recorded.go_on(250, 6));
    assert!(recorded.recorder.len() <= 100);
    let oldest = recorded.at(0, ViewRequest::default());
    assert!(oldest.at_ms < killed_ms, "fifty seconds are still there, with less detail");
    assert_eq!(recorded.at(killed_ms, ViewRequest::default()).at_ms, killed_ms, "the picture of a fact stays");
    let newest = recorded.recorder.until_now().expect("it records");
    let last = recorded.at(newest.last_ms, ViewRequest::default()).recorded.expect("it records");
    assert_eq!(last.previous_ms, Some(newest.last_ms - 250), "what is young has all its detail");
    (0..60).for_each(|_| recorded.go_on(1_000, 6));
    let oldest = recorded.at(0, ViewRequest::default()).at_ms;
    assert!(oldest + 60_000 >= recorded.world.now_ms, "older than a minute is gone");

    let mut small = Recorded::new(200, Limits { bytes: 2 << 20, ..few });
    (0..60).for_each(|_| small.go_on(250, 200));
    assert!(small.recorder.bytes() <= 2 << 20 && small.recorder.len() > 1);
    let mut tiny = Recorded::new(200, Limits { bytes: 1_000, ..few });
    tiny.go_on(250, 200);
    assert!(tiny.recorder.is_empty() && tiny.recorder.bytes() == 0, "what is too large to keep is not");
}

#[test]
fn what_stands_still_costs_a_picture_little() {
    let mut recorded = Recorded::new(300, LIMITS);
    // Until no rate is left to fall.
    (0..20).for_each(|_| recorded.go_on(250, 0));
    let before = (recorded.recorder.bytes(), recorded.recorder.len());
    (0..20).for_each(|_| recorded.go_on(250, 0));
    let still = (recorded.recorder.bytes() - before.0) / (recorded.recorder.len() - before.1);
    let before = (recorded.recorder.bytes(), recorded.recorder.len());
    (0..20).for_each(|_| recorded.go_on(250, 300));
    let busy = (recorded.recorder.bytes() - before.0) / (recorded.recorder.len() - before.1);
    assert!(still < 24_000 && busy > 8 * still, "{still} bytes a picture of a still cluster, {busy} of a busy one");
}

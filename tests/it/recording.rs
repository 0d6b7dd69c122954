//! What the recording of a live cluster takes in memory, counted by the allocator and not by the recording itself.

mod feed;

use crate::wire::held;
use feed::Feed;
use kafkarium::cluster::observation::recorder::{EVERY_MS, LIMITS, Recorder};
use kafkarium::cluster::view::ViewRequest;

/// Half a minute of a cluster: what is held beyond what its observer alone holds, and what the recording says it is.
fn recorded(partitions: usize, busy: usize) -> (usize, usize, Recorder, Feed) {
    let seconds = 30;
    let go_on = |feed: &mut Feed| feed.go_on(EVERY_MS);
    let before = held();
    let mut alone = Feed::new(3, partitions, busy);
    (0..seconds * 4).for_each(|_| go_on(&mut alone));
    let of_observer = held() - before;
    drop(alone);
    let before = held();
    let (mut feed, mut recorder) = (Feed::new(3, partitions, busy), Recorder::new(LIMITS));
    for _ in 0..seconds * 4 {
        go_on(&mut feed);
        recorder.record(&feed.observer);
    }
    let held = usize::try_from(held() - before - of_observer).expect("a recording takes something");
    (held, recorder.bytes(), recorder, feed)
}

// Beyond what the limit allows detail goes; what is really held stays below 200 MiB.
const _: () = assert!(LIMITS.bytes * 5 / 4 <= 200 << 20);

#[test]
fn a_recording_takes_what_it_says_and_ten_minutes_of_a_busy_cluster_are_less_than_200_mib() {
    for (partitions, busy) in [(60, 60), (300, 20), (300, 0)] {
        let (held, told, recorder, mut feed) = recorded(partitions, busy);
        assert!(recorder.len() >= 119, "every picture is there");
        // What copies share is told once, with the first picture, or not at all: decisions about partitions.
        assert!(
            held < told * 5 / 4 + (1 << 20),
            "{partitions}, {busy} of them busy: {held} bytes are held, {told} told"
        );
        let ten_minutes = held * 20;
        assert!(ten_minutes < 200 << 20, "{partitions}, {busy} of them busy: {} MiB", ten_minutes >> 20);
        // Looking at it does not change what it is.
        let mut recorder = recorder;
        let then_ms = feed.now_ms - 10_000;
        let want = ViewRequest { at_ms: Some(then_ms), ..ViewRequest::default() };
        let view = recorder.recall(&mut feed.observer, &want, then_ms).expect("it is recorded");
        assert_eq!((view.at_ms, recorder.bytes()), (then_ms, told));
    }
}

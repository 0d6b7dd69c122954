//! What ten minutes of recording take in memory, what a picture costs to take, and what it costs to look at one.

#![allow(clippy::disallowed_types, reason = "a benchmark measures real time")]

#[path = "../tests/it/recording/feed.rs"]
mod feed;

use feed::Feed;
use kafkarium::cluster::observation::recorder::{EVERY_MS, Recorder};
use kafkarium::cluster::view::ViewRequest;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::{Duration, Instant};

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

fn count(size: usize, sign: isize) {
    HELD.fetch_add(sign * isize::try_from(size).unwrap_or(isize::MAX), Ordering::Relaxed);
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Ten minutes.
const PICTURES: u64 = 600_000 / EVERY_MS;

fn mean_and_most(times: &[Duration]) -> String {
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    format!("{:>8.1} µs mean, {:>9.1} µs most", micros(mean), micros(times.iter().max().copied().unwrap_or_default()))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000_000.0
}

fn main() {
    for (brokers, partitions, busy) in [(5, 28, 28), (3, 64, 14), (5, 100, 100), (5, 600, 600), (9, 10_000, 500)] {
        let before = HELD.load(Ordering::Relaxed);
        let (mut feed, mut recorder) = (Feed::new(brokers, partitions, busy), Recorder::default());
        let mut taken = Vec::new();
        for _ in 0..PICTURES {
            feed.go_on(EVERY_MS);
            let begun = Instant::now();
            recorder.record(&feed.observer);
            taken.push(begun.elapsed());
        }
        let held = HELD.load(Ordering::Relaxed) - before;
        let (from_ms, now_ms) = (feed.now_ms.saturating_sub(600_000), feed.now_ms);
        let mut sought = Vec::new();
        for step in 0..500 {
            let at_ms = from_ms + (now_ms - from_ms) * (step * 7 % 500) / 500;
            let want = ViewRequest { at_ms: Some(at_ms), end_ms: Some(now_ms), ..ViewRequest::default() };
            let begun = Instant::now();
            let view = recorder.recall(&mut feed.observer, &want, at_ms).expect("it is recorded");
            sought.push(begun.elapsed());
            assert!(view.rows.total == partitions);
        }
        println!(
            "{brokers} brokers, {partitions:>6} partitions, {busy:>6} written to: {:>5} pictures, {:>4} MiB held ({:>4} told)",
            recorder.len(),
            held >> 20,
            recorder.bytes() >> 20,
        );
        println!("    taking one {}", mean_and_most(&taken));
        println!("    seeking    {}", mean_and_most(&sought));
    }
}

//! The recording of a live cluster: its observer as it was, four times a second and once more at every fact.
//!
//! Invariants: moments rise strictly; at most [`LIMITS`] of time, pictures and bytes are kept, where time goes before detail: of what is
//! old every other picture goes before anything that is young does, those that show a fact first last. Taking a picture costs what
//! changed since the one before, and looking at one costs what a view of the present does; nobody but whoever looks waits for either.
//!
//! Deliberately not here: what a picture holds (`past`), and the facts, which the present keeps (`facts`).

use super::Observer;
use crate::cluster::view::{ClusterView, Recorded, ViewRequest};
use std::collections::VecDeque;

/// A picture is taken this often, in milliseconds of cluster time.
pub const EVERY_MS: u64 = 250;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So much time, in milliseconds.
    pub span_ms: u64,
    /// So many pictures.
    pub pictures: usize,
    /// So many bytes, about.
    pub bytes: usize,
}

/// Ten minutes in less than 200 MiB.
pub const LIMITS: Limits = Limits { span_ms: 600_000, pictures: 4_800, bytes: 144 << 20 };

/// One moment.
#[derive(Debug)]
struct Picture {
    at_ms: u64,
    /// The newest fact that it shows.
    last_fact: u64,
    /// It shows a fact that the one before does not.
    is_first_of_fact: bool,
    /// What it takes beyond what it shares with the one before.
    bytes: usize,
    observer: Observer,
}

/// See the module.
#[derive(Debug)]
pub struct Recorder {
    limits: Limits,
    pictures: VecDeque<Picture>,
    bytes: usize,
    /// Up to where the older half has been thinned.
    thinned: usize,
    /// The moment that was looked at last, as it was left: whoever scrolls in it sorts once.
    looked_at: Option<(u64, Observer)>,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder::new(LIMITS)
    }
}

impl Recorder {
    /// A recorder that has nothing yet.
    pub fn new(limits: Limits) -> Recorder {
        Recorder { limits, pictures: VecDeque::new(), bytes: 0, thinned: 0, looked_at: None }
    }

    /// How many pictures are kept.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there is no picture yet.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// What they take in memory together, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a picture, if one is due. Called after every round of snapshots.
    pub fn record(&mut self, live: &Observer) {
        let (at_ms, last_fact) = (live.moment().at_ms, live.facts.last_id());
        if let Some(newest) = self.pictures.back() {
            let is_news = last_fact > newest.last_fact;
            // Time may stand still while facts come.
            if at_ms < newest.at_ms || !is_news && at_ms < newest.at_ms + EVERY_MS {
                return;
            }
            if at_ms == newest.at_ms {
                self.pop_back();
            }
        }
        let before = self.pictures.back();
        let is_first_of_fact = before.is_none_or(|before| last_fact > before.last_fact);
        let observer = live.frozen();
        let bytes = match before {
            Some(before) => observer.bytes_beyond(&before.observer),
            None => observer.bytes_beyond(&observer.blank()),
        };
        self.bytes += bytes;
        self.pictures.push_back(Picture { at_ms, last_fact, is_first_of_fact, bytes, observer });
        while self.pictures.front().is_some_and(|oldest| oldest.at_ms + self.limits.span_ms < at_ms) {
            self.remove(0);
            self.thinned = self.thinned.saturating_sub(1);
        }
        while self.pictures.len() > self.limits.pictures || self.bytes > self.limits.bytes {
            self.thin();
        }
    }

    fn pop_back(&mut self) {
        self.bytes -= self.pictures.pop_back().map_or(0, |picture| picture.bytes);
    }

    /// Takes one out; what it shared with the next is the next one's from now on.
    fn remove(&mut self, index: usize) {
        let Some(gone) = self.pictures.remove(index) else { return };
        self.bytes -= gone.bytes;
        let before = index.checked_sub(1).and_then(|index| self.pictures.get(index));
        let Some(next) = self.pictures.get(index) else { return };
        let bytes = match before {
            Some(before) => next.observer.bytes_beyond(&before.observer),
            None => next.observer.bytes_beyond(&next.observer.blank()),
        };
        let next = &mut self.pictures[index];
        self.bytes = self.bytes - next.bytes + bytes;
        next.bytes = bytes;
        next.is_first_of_fact |= gone.is_first_of_fact;
    }

    /// Makes room for one: of the older half, in turn, every other picture goes. Where there is none to spare, the oldest does.
    fn thin(&mut self) {
        if self.pictures.len() <= 1 {
            // One picture alone is too large: nothing is recorded then.
            self.pictures.clear();
            self.bytes = 0;
            return;
        }
        let old = self.pictures.len() / 2;
        let spare = |from: usize| (from..old).find(|index| !self.pictures[*index].is_first_of_fact);
        // What is before this place has been thinned already; behind the end of the older half it begins anew.
        let index = spare(self.thinned.max(1)).or_else(|| spare(1));
        self.remove(index.unwrap_or(0));
        // The one after it stays.
        self.thinned = index.map_or(0, |index| index + 1);
    }

    /// What the moment wanted looks like: the last picture taken by then, the first one if it is older than all. `None` without pictures.
    pub fn recall(&mut self, live: &mut Observer, want: &ViewRequest, at_ms: u64) -> Option<ClusterView> {
        let index = self.pictures.partition_point(|picture| picture.at_ms <= at_ms).saturating_sub(1);
        let picture = self.pictures.get(index)?;
        let recorded = self.around(Some(index));
        let mut past = match self.looked_at.take() {
            Some((at_ms, past)) if at_ms == picture.at_ms => past,
            _ => picture.observer.clone(),
        };
        let mut view = live.recall(&mut past, want);
        view.recorded = recorded;
        self.looked_at = Some((picture.at_ms, past));
        Some(view)
    }

    /// How far the recording reaches, seen from the present.
    pub fn until_now(&mut self) -> Option<Recorded> {
        self.looked_at = None;
        self.around(None)
    }

    /// The recording around a picture, or around the present.
    fn around(&self, index: Option<usize>) -> Option<Recorded> {
        let (first, last) = (self.pictures.front()?, self.pictures.back()?);
        let at = |index: usize| self.pictures.get(index).map(|picture| picture.at_ms);
        let place = index.unwrap_or(self.pictures.len());
        let before = place.checked_sub(1).and_then(|index| self.pictures.get(index));
        let shows = |fact: u64| {
            let shown = self.pictures.partition_point(|picture| picture.last_fact < fact);
            Some((fact, at(shown)?))
        };
        let newest_known = index.map_or(u64::MAX, |index| self.pictures[index].last_fact);
        let later = self.pictures.partition_point(|picture| picture.last_fact <= newest_known);
        Some(Recorded {
            first_ms: first.at_ms,
            last_ms: last.at_ms,
            previous_ms: before.map(|before| before.at_ms),
            next_ms: index.and_then(|index| at(index + 1)),
            // What happened before the recording began is not in it.
            event_before: before.map(|before| before.last_fact).filter(|fact| *fact > first.last_fact).and_then(shows),
            event_after: self.pictures.get(later).map(|picture| (picture.last_fact, picture.at_ms)),
        })
    }
}

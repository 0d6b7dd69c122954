//! An observer as it was: what a recording keeps of it, what that costs, and a view of it.
//!
//! Invariants: what is kept shares everything that does not change until the next one is kept; facts and strips are not kept with it but
//! lent by the present, told as of the moment that is viewed. A view of the past is answered as one of the present, for whatever is
//! wanted of it: only what brokers tell on demand (the inside of a log) is known for what was in view then.
//!
//! Deliberately not here: which moments are kept, and how long (`recorder`).

use super::{Moment, Observer, STRIP_EVERY_MS, groups::Groups, meter::Samples};
use crate::cluster::view::{ClockMode, ClusterView, Timeline, ViewRequest};
use crate::engine::controller::image::{MetadataImage, TopicImage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an entry of a map of the metadata takes, and what a partition of a topic does, about.
const ENTRY_BYTES: usize = 64;
const STATE_BYTES: usize = 240;

impl Observer {
    /// This without what the present lends ([`Observer::recall`]) and what only further hearing needs.
    pub(super) fn frozen(&self) -> Observer {
        Observer {
            setup: Arc::clone(&self.setup),
            moment: self.moment,
            brokers: self.brokers.clone(),
            lives: self.lives.clone(),
            image: Arc::clone(&self.image),
            image_from: self.image_from,
            partitions: self.partitions.frozen(),
            coordinated: self.coordinated.clone(),
            facts: self.facts.standing(),
            stalls: Samples::new(STRIP_EVERY_MS, 1),
            bytes_in: Samples::new(STRIP_EVERY_MS, 1),
            faults: self.faults.clone(),
            links: self.links.clone(),
            ledger: self.ledger.clone(),
            notice: self.notice.clone(),
            unknown_since_ms: self.unknown_since_ms,
            controller: self.controller,
            no_controller_since_ms: self.no_controller_since_ms,
            controller_lost: self.controller_lost,
            ahead: BTreeMap::new(),
            deleted_topics: Vec::new(),
            groups: self.groups.frozen(),
            quorum: self.quorum.clone(),
            xray: self.xray.clone(),
            revision: self.revision,
            progress: self.progress,
            shown: self.shown,
            wanted: ViewRequest::default(),
            turns: BTreeMap::new(),
        }
    }

    /// Nothing, of the same cluster: what a first picture is compared with.
    pub(super) fn blank(&self) -> Observer {
        let setup = Arc::unwrap_or_clone(Arc::clone(&self.setup));
        let blank = Observer::new(setup);
        Observer { groups: Groups::default(), ..blank }
    }

    /// What happened in the time wanted before a moment.
    pub(super) fn timeline(&self, end_ms: u64, want: &ViewRequest) -> Timeline {
        let most = |samples: &[u32]| samples.iter().copied().max().unwrap_or(0);
        let mean = |samples: &[u64]| samples.iter().sum::<u64>() / (samples.len() as u64).max(1);
        let (window_ms, columns) = (want.window_ms, want.strip_samples);
        Timeline {
            end_ms,
            stalls: self.stalls.columns_until(end_ms, window_ms, columns, most),
            bytes_in: self.bytes_in.columns_until(end_ms, window_ms, columns, mean),
            ..self.facts.timeline(end_ms, window_ms)
        }
    }

    /// A view of what this was in the past.
    pub(super) fn recall(&mut self, past: &mut Observer, want: &ViewRequest) -> ClusterView {
        // What is shown is not the present, and still nothing of it is news: it is drawn when it comes back.
        self.shown = (self.revision + self.facts.revision, self.progress);
        let behind_ms = self.moment.at_ms.saturating_sub(past.moment.at_ms);
        past.moment = Moment { clock: ClockMode::Rewound { behind_ms }, ..past.moment };
        self.swap_journal(past);
        let view = past.view(want);
        self.swap_journal(past);
        view
    }

    fn swap_journal(&mut self, past: &mut Observer) {
        self.facts.swap_ring(&mut past.facts);
        std::mem::swap(&mut self.stalls, &mut past.stalls);
        std::mem::swap(&mut self.bytes_in, &mut past.bytes_in);
    }

    /// What this takes in memory beyond what it shares with another, about: the sizes of strings and small maps are guessed.
    pub(super) fn bytes_beyond(&self, other: &Observer) -> usize {
        let brokers: usize =
            self.brokers.values().map(|broker| broker.bytes_beyond(other.brokers.get(&broker.id))).sum();
        let links = self.links.len() * (size_of::<super::outlook::LinkSeen>() + ENTRY_BYTES);
        let small = (self.lives.len() + self.faults.len() * 4) * ENTRY_BYTES + links;
        size_of::<Observer>()
            + brokers
            + small
            + self.partitions.bytes_beyond(&other.partitions)
            + self.coordinated.bytes_beyond(&other.coordinated)
            + self.facts.standing_bytes_beyond(&other.facts)
            + self.groups.bytes_beyond(&other.groups)
            + self.quorum.bytes_beyond(&other.quorum)
            + self.xray.bytes_beyond(&other.xray)
            + image_bytes_beyond(&self.image, &other.image)
    }
}

fn image_bytes_beyond(image: &Arc<MetadataImage>, other: &Arc<MetadataImage>) -> usize {
    if Arc::ptr_eq(image, other) {
        return 0;
    }
    let entries = image.topics.len() + image.topic_ids.len() + image.configs.len() * 4 + image.brokers.len() * 8;
    let is_own =
        |(id, topic): &(&_, &Arc<TopicImage>)| !other.topics.get(*id).is_some_and(|known| Arc::ptr_eq(known, topic));
    let topics: usize = image.topics.iter().filter(is_own).map(|(_, topic)| topic.partitions.len() * STATE_BYTES).sum();
    size_of::<MetadataImage>() + entries * ENTRY_BYTES + topics
}

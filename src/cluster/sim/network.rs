//! The simulated links between brokers: each direction has its delay, its faults, and keeps its order, as a TCP connection does.

use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeMap;

/// One direction between two brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Nothing gets through; nobody is told.
    pub is_cut: bool,
    /// The least delay, in microseconds.
    pub delay_us_min: u64,
    /// The largest delay but for the tail, in microseconds.
    pub delay_us_max: u64,
    /// One in so many messages is ten times as late; 0 for none.
    pub tail_one_in: u64,
    /// When the last message arrives: a later one does not overtake it.
    last_arrival: Instant,
}

impl Default for Link {
    fn default() -> Link {
        Link { is_cut: false, delay_us_min: 50, delay_us_max: 500, tail_one_in: 50, last_arrival: Instant::ZERO }
    }
}

/// All links. Those that were never touched are like new.
#[derive(Debug, Clone, Default)]
pub struct Network {
    links: BTreeMap<(BrokerId, BrokerId), Link>,
}

impl Network {
    /// A direction, to change it.
    pub fn link(&mut self, from: BrokerId, to: BrokerId) -> &mut Link {
        self.links.entry((from, to)).or_default()
    }

    /// When a message that is sent now arrives; `None` if it is lost.
    pub fn send(&mut self, from: BrokerId, to: BrokerId, now: Instant, rng: &mut Prng) -> Option<Instant> {
        let link = self.link(from, to);
        let mut delay_us = rng.range(link.delay_us_min, link.delay_us_max);
        if link.tail_one_in > 0 && rng.chance(1, link.tail_one_in) {
            delay_us *= 10;
        }
        if link.is_cut {
            return None;
        }
        let arrival = Instant(now.0 + delay_us * 1_000).max(Instant(link.last_arrival.0 + 1));
        link.last_arrival = arrival;
        Some(arrival)
    }

    /// Cuts or restores both directions.
    pub fn set_cut(&mut self, a: BrokerId, b: BrokerId, is_cut: bool) {
        self.link(a, b).is_cut = is_cut;
        self.link(b, a).is_cut = is_cut;
    }

    /// Whether nothing gets through from one to another.
    pub fn is_cut(&self, from: BrokerId, to: BrokerId) -> bool {
        self.links.get(&(from, to)).is_some_and(|link| link.is_cut)
    }

    /// Every direction that is not like new.
    pub fn faulty(&self) -> impl Iterator<Item = ((BrokerId, BrokerId), &Link)> {
        let like_new = Link::default();
        let is_faulty = move |link: &Link| link.is_cut || link.delay_us_max != like_new.delay_us_max;
        self.links.iter().filter(move |(_, link)| is_faulty(link)).map(|(ends, link)| (*ends, link))
    }

    /// Whether anything is cut.
    pub fn has_cuts(&self) -> bool {
        self.links.values().any(|link| link.is_cut)
    }

    /// Everything gets through again, at the usual pace.
    pub fn heal(&mut self) {
        for link in self.links.values_mut() {
            let last_arrival = link.last_arrival;
            *link = Link { last_arrival, ..Link::default() };
        }
    }
}

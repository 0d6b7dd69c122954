//! The links between the brokers of one process, and to their clients: what happens to a message on its way, by the
//! faults that are active.
//!
//! A link is directed and behaves like a connection: messages keep their order, whatever delays them. Everything here
//! is a decision; the host carries it out (puts the message into a mailbox now or later, or nowhere).
//!
//! Invariants: the same calls with the same random numbers give the same decisions; without faults a message is
//! delivered at once.
//!
//! Deliberately not here: threads, clocks, and what a peer makes of silence.

use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::{PeerBody, PeerMessage, PeerRequest, PeerResponse};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A directed link: sender and receiver.
pub type Link = (BrokerId, BrokerId);

/// The end of a broker's link to its clients, all of them. In Kafka's protocol a replica id of -1 is a client's too.
pub const CLIENTS: BrokerId = BrokerId(-1);

/// What is lost on a client's connection is sent again after so long, then after twice that, and so on: a client's
/// connection is TCP (the least that Linux waits, `TCP_RTO_MIN`).
const RETRANSMIT: Duration = Duration::from_millis(200);
/// Losses in a row that are counted: after 25 seconds everything gets through.
const MAX_LOSSES: u32 = 7;
/// What a throttled link has taken has arrived after so long at the latest: a connection's buffers hold no more, and whoever sends more waits
/// for room.
const BACKLOG_MAX: Duration = Duration::from_secs(5);

/// What a message's header and fields count for a throttled link, in bytes.
const MESSAGE_OVERHEAD_BYTES: u64 = 100;

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkFaults {
    /// Everything is lost.
    pub is_cut: bool,
    /// Everything is late by so much.
    pub delay: Duration,
    /// ... and up to so much more.
    pub jitter: Duration,
    /// So many of a million messages are lost.
    pub loss_per_million: u32,
    /// Everything waits until it is released.
    pub is_held: bool,
    /// So many bytes a second pass.
    pub bytes_per_s: Option<u64>,
}

/// What happens to a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It arrives now.
    Now(PeerMessage),
    /// It arrives at that moment.
    At(Instant, PeerMessage),
    /// It is kept until the link is released.
    Held,
    /// It is gone.
    Lost,
}

impl LinkFaults {
    /// Whether nothing passes on a connection of bytes: it is kept, and goes on when the fault has ended.
    pub fn is_stopped(&self) -> bool {
        self.is_cut || self.is_held
    }
}

/// Messages that are to be lost, counted down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drops {
    /// Answers, or questions.
    pub of_responses: bool,
    /// The API's name (`Fetch`).
    pub api: String,
    /// Only those that this broker sends.
    pub by: Option<BrokerId>,
    /// So many more.
    pub left: u32,
}

#[derive(Debug, Clone, Default)]
struct State {
    faults: LinkFaults,
    held: VecDeque<PeerMessage>,
    /// Nothing arrives before this moment: what was sent before arrives before.
    in_order: Instant,
    /// Until when a throttled link is busy.
    busy_until: Instant,
    /// Messages that were lost since it was healthy last.
    lost: u64,
}

/// All links of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Links {
    states: BTreeMap<Link, State>,
    drops: Vec<Drops>,
}

impl Links {
    /// Whether every message is delivered at once: the host may then leave this alone.
    pub fn are_healthy(&self, now: Instant) -> bool {
        self.drops.is_empty()
            && self.states.values().all(|state| state.faults == LinkFaults::default() && state.in_order <= now)
    }

    /// The faults of a link.
    pub fn faults(&self, link: Link) -> LinkFaults {
        self.states.get(&link).map(|state| state.faults).unwrap_or_default()
    }

    /// Every link that has a fault.
    pub fn faulty(&self) -> impl Iterator<Item = (Link, LinkFaults)> {
        let faulty = self.states.iter().filter(|(_, state)| state.faults != LinkFaults::default());
        faulty.map(|(link, state)| (*link, state.faults))
    }

    /// How many messages a link holds.
    pub fn held(&self, link: Link) -> usize {
        self.states.get(&link).map_or(0, |state| state.held.len())
    }

    /// How many messages were lost on a link since it was healthy last.
    pub fn lost(&self, link: Link) -> u64 {
        self.states.get(&link).map_or(0, |state| state.lost)
    }

    /// Changes the faults of a link. Returns what it held if it holds no longer; a cut link loses it.
    pub fn change(&mut self, link: Link, change: impl FnOnce(&mut LinkFaults)) -> Vec<PeerMessage> {
        let state = self.states.entry(link).or_default();
        change(&mut state.faults);
        if state.faults == LinkFaults::default() {
            state.lost = 0;
        }
        let released = if state.faults.is_held { Vec::new() } else { state.held.drain(..).collect() };
        if state.faults.is_cut { Vec::new() } else { released }
    }

    /// From now on so many messages of a kind are lost.
    pub fn drop_next(&mut self, drops: Drops) {
        self.drops.push(drops);
    }

    /// What is still to be lost.
    pub fn drops(&self) -> &[Drops] {
        &self.drops
    }

    /// No more messages are lost because of [`Links::drop_next`].
    pub fn forget_drops(&mut self) {
        self.drops.clear();
    }

    /// Whether this message is one of those that are to be lost; counts it. `by` sends it.
    pub fn takes_drop(&mut self, by: BrokerId, is_response: bool, api: &str) -> bool {
        let fits = |drops: &Drops| {
            drops.of_responses == is_response && drops.api == api && drops.by.is_none_or(|broker| broker == by)
        };
        let Some(at) = self.drops.iter().position(fits) else { return false };
        self.drops[at].left -= 1;
        if self.drops[at].left == 0 {
            self.drops.remove(at);
        }
        true
    }

    /// What is sent over a link from now on arrives after a moment: behind a message that was delayed by itself.
    pub fn queue_behind(&mut self, link: Link, at: Instant) {
        let state = self.states.entry(link).or_default();
        state.in_order = state.in_order.max(at);
    }

    /// A connection was reset: what was under way on it is gone.
    pub fn reset(&mut self, broker: BrokerId) {
        for ((from, to), state) in &mut self.states {
            if *from == broker || *to == broker {
                state.held.clear();
                (state.in_order, state.busy_until) = (Instant::ZERO, Instant::ZERO);
            }
        }
    }

    /// A message sets out.
    pub fn send(&mut self, link: Link, message: PeerMessage, now: Instant, rng: &mut Prng) -> Fate {
        let (is_response, api) = match &message.body {
            PeerBody::Request(request) => (false, request.api_name()),
            PeerBody::Response(response) => (true, response.api_name()),
        };
        if self.takes_drop(link.0, is_response, api) {
            return Fate::Lost;
        }
        let Some(state) = self.states.get_mut(&link) else { return Fate::Now(message) };
        let faults = state.faults;
        let is_lost = faults.loss_per_million > 0 && rng.below(1_000_000) < u64::from(faults.loss_per_million);
        if faults.is_cut || is_lost {
            state.lost += 1;
            return Fate::Lost;
        }
        if faults.is_held {
            state.held.push_back(message);
            return Fate::Held;
        }
        let at = state.arrival(size_of(&message), now, rng).max(state.in_order);
        state.in_order = at;
        if at <= now { Fate::Now(message) } else { Fate::At(at, message) }
    }

    /// So many bytes set out on a client's connection, a frame's: when they have arrived. What stops a link is not
    /// looked at here: its connections keep what they have.
    pub fn arrival(&mut self, link: Link, bytes: u64, now: Instant, rng: &mut Prng) -> Instant {
        let Some(state) = self.states.get_mut(&link) else { return now };
        let mut at = state.arrival(bytes, now, rng);
        let share = u64::from(state.faults.loss_per_million);
        for losses in 0..MAX_LOSSES {
            if share == 0 || rng.below(1_000_000) >= share {
                break;
            }
            at = at + RETRANSMIT * (1 << losses);
        }
        at
    }
}

impl State {
    /// When a message that is not lost arrives, its place in the order aside.
    fn arrival(&mut self, bytes: u64, now: Instant, rng: &mut Prng) -> Instant {
        let mut at = now + self.faults.delay;
        let jitter_ns = u64::try_from(self.faults.jitter.as_nanos()).unwrap_or(u64::MAX);
        if jitter_ns > 0 {
            at = at + Duration::from_nanos(rng.range(0, jitter_ns));
        }
        if let Some(rate) = self.faults.bytes_per_s {
            let nanoseconds = bytes.saturating_mul(1_000_000_000) / rate.max(1);
            let busy_until = self.busy_until.max(now) + Duration::from_nanos(nanoseconds);
            self.busy_until = busy_until.min(now + BACKLOG_MAX);
            at = at.max(self.busy_until);
        }
        at
    }
}

/// About how many bytes a message would be on a wire.
pub(crate) fn size_of(message: &PeerMessage) -> u64 {
    let bytes: usize = match &message.body {
        PeerBody::Response(PeerResponse::ReplicaFetch(response)) => {
            response.partitions.iter().flat_map(|answer| &answer.batches).map(crate::protocol::batch::Batch::size).sum()
        }
        PeerBody::Response(PeerResponse::QuorumFetch(response)) => {
            response.batches.iter().map(crate::protocol::batch::Batch::size).sum()
        }
        PeerBody::Response(PeerResponse::FetchSnapshot(response)) => response.bytes.len(),
        PeerBody::Request(PeerRequest::ReplicaFetch(request)) => request.partitions.len() * 40,
        _ => 0,
    };
    MESSAGE_OVERHEAD_BYTES + u64::try_from(bytes).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::peer::{BeginQuorumEpochRequest, PeerRequest};

    const LINK: Link = (BrokerId(1), BrokerId(2));

    fn message(n: u64) -> PeerMessage {
        let body = BeginQuorumEpochRequest { epoch: 1, leader: BrokerId(1) };
        PeerMessage { correlation_id: n, cause: None, body: PeerBody::Request(PeerRequest::BeginQuorumEpoch(body)) }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn order_is_kept_when_a_delay_ends() {
        let (mut links, mut rng) = (Links::default(), Prng::new(1));
        assert!(links.are_healthy(at(0)));
        links.change(LINK, |faults| faults.delay = Duration::from_millis(50));
        assert_eq!(links.send(LINK, message(1), at(0), &mut rng), Fate::At(at(50), message(1)));
        links.change(LINK, |faults| *faults = LinkFaults::default());
        assert!(!links.are_healthy(at(10)));
        assert_eq!(links.send(LINK, message(2), at(10), &mut rng), Fate::At(at(50), message(2)));
        assert_eq!(links.send(LINK, message(3), at(60), &mut rng), Fate::Now(message(3)));
        assert!(links.are_healthy(at(60)));
    }

    #[test]
    fn what_is_held_comes_out_in_order_and_a_cut_loses_it() {
        let (mut links, mut rng) = (Links::default(), Prng::new(1));
        links.change(LINK, |faults| faults.is_held = true);
        for n in 0..2 {
            assert_eq!(links.send(LINK, message(n), at(0), &mut rng), Fate::Held);
        }
        assert_eq!(links.held(LINK), 2);
        assert_eq!(links.change(LINK, |faults| faults.is_held = false), [message(0), message(1)]);
        links.change(LINK, |faults| faults.is_cut = true);
        assert_eq!(links.send(LINK, message(3), at(0), &mut rng), Fate::Lost);
        assert_eq!((links.lost(LINK), links.lost((LINK.1, LINK.0))), (1, 0));
        assert_eq!(links.send((LINK.1, LINK.0), message(4), at(0), &mut rng), Fate::Now(message(4)));
    }

    #[test]
    fn clients_frames_come_late_and_none_is_lost() {
        let (mut links, mut rng) = (Links::default(), Prng::new(1));
        let link = (CLIENTS, BrokerId(1));
        assert_eq!(links.arrival(link, 1_000, at(5), &mut rng), at(5));
        links.change(link, |faults| faults.loss_per_million = 1_000_000);
        let late = Duration::from_millis(200 * 127);
        assert_eq!(links.arrival(link, 1_000, at(5), &mut rng), at(5) + late, "seven times lost, sent again");
        links.change(link, |faults| *faults = LinkFaults { bytes_per_s: Some(1_000), ..LinkFaults::default() });
        assert_eq!(links.arrival(link, 500, at(5), &mut rng), at(505));
        assert_eq!(links.arrival(link, 500, at(5), &mut rng), at(1_005), "behind what is under way");
    }

    #[test]
    fn a_throttle_spaces_messages_and_drops_are_counted() {
        let (mut links, mut rng) = (Links::default(), Prng::new(1));
        links.change(LINK, |faults| faults.bytes_per_s = Some(1_000));
        assert_eq!(links.send(LINK, message(1), at(0), &mut rng), Fate::At(at(100), message(1)));
        assert_eq!(links.send(LINK, message(2), at(0), &mut rng), Fate::At(at(200), message(2)));
        let api = "BeginQuorumEpoch".to_owned();
        links.drop_next(Drops { of_responses: false, api, by: Some(BrokerId(1)), left: 1 });
        assert!(!links.takes_drop(BrokerId(2), false, "BeginQuorumEpoch"));
        assert_eq!(links.send(LINK, message(3), at(0), &mut rng), Fate::Lost);
        assert!(links.drops().is_empty());
    }
}

//! A bounded ring of messages: what was sent, by whom, and what became of it. Both hosts record into one.
//!
//! Invariants: never more than [`CAPACITY`] messages; recording a message looks at nothing in it, so that it costs a few hundred
//! nanoseconds; sizes, words and errors are found out when somebody looks, once a message. What is recorded never changes what happens.
//!
//! Deliberately not here: when a host records (`sim/world/wire.rs`, `live/wire.rs`), and words for messages (`words`).

mod fields;
mod words;

use crate::cluster::link::{CLIENTS, Link};
use crate::cluster::view::{Traffic, WireEnd, WireMessage, WireRequest, WireState, WireView};
use crate::engine::time::Instant;
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::ids::{BrokerId, ConnectionId};
use crate::protocol::peer::{PeerBody, PeerMessage};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};
use words::Facts;

/// How many messages are kept.
pub const CAPACITY: usize = 512;

/// Names a message among those under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Between brokers: sender, receiver, correlation id.
    Peer(BrokerId, BrokerId, u64, Way),
    /// Between a client and a broker: the connection, and the request's number on it.
    Client(ConnectionId, u64, Way),
}

/// A question or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A question.
    Request,
    /// The answer to one.
    Response,
}

impl Key {
    /// The key of the answer to a question; of the question itself for an answer.
    fn other(self) -> Key {
        let turned = |way| if way == Way::Request { Way::Response } else { Way::Request };
        match self {
            Key::Peer(from, to, number, way) => Key::Peer(to, from, number, turned(way)),
            Key::Client(connection, number, way) => Key::Client(connection, number, turned(way)),
        }
    }
}

/// What a message says.
#[derive(Debug, Clone)]
pub enum Body {
    /// Between brokers.
    Peer(PeerMessage),
    /// From a client.
    Request(RequestHeader, Request),
    /// To a client, with the header of what it answers.
    Response(RequestHeader, Response),
    /// A message whose contents are too large to be kept.
    Outline(Outline),
}

/// What is known of a message without its contents.
#[derive(Debug, Clone)]
pub struct Outline {
    api: &'static str,
    version: Option<i16>,
    correlation_id: u64,
    is_response: bool,
    size: u64,
}

impl Outline {
    /// Of a message between brokers, of so many bytes.
    pub fn of_peer(message: &PeerMessage, size: u64) -> Outline {
        let (api, is_response) = (words::api_of_peer(message), matches!(message.body, PeerBody::Response(_)));
        Outline { api, version: None, correlation_id: message.correlation_id, is_response, size }
    }

    /// Of a client's message with so many bytes of records.
    pub fn of_client(header: &RequestHeader, is_response: bool, bytes: usize) -> Outline {
        let correlation_id = u64::from(header.correlation_id.cast_unsigned());
        let (api, version) = (header.api.name(), Some(header.version));
        Outline { api, version, correlation_id, is_response, size: bytes as u64 }
    }
}

#[derive(Debug)]
struct Recorded {
    body: Body,
    facts: OnceLock<Facts>,
}

#[derive(Debug, Clone)]
struct Entry {
    id: u64,
    key: Key,
    sent: Instant,
    from: WireEnd,
    to: WireEnd,
    state: WireState,
    what: Arc<Recorded>,
}

impl Entry {
    fn api(&self) -> &'static str {
        match &self.what.body {
            Body::Peer(message) => words::api_of_peer(message),
            Body::Request(header, _) | Body::Response(header, _) => header.api.name(),
            Body::Outline(outline) => outline.api,
        }
    }

    fn facts(&self) -> &Facts {
        self.what.facts.get_or_init(|| words::facts(&self.what.body))
    }

    fn shown(&self, hidden_before: u32) -> WireMessage {
        let facts = self.facts();
        WireMessage {
            id: self.id,
            sent_us: self.sent.0 / 1_000,
            from: self.from.clone(),
            to: self.to.clone(),
            api: facts.api,
            version: facts.version,
            correlation_id: facts.correlation_id,
            is_response: facts.is_response,
            size: facts.size,
            summary: Arc::clone(&facts.summary),
            error: facts.error,
            state: self.state,
            hidden_before,
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    entries: VecDeque<Entry>,
    next_id: u64,
    /// How many messages have arrived, and the last one of them.
    arrived: (u64, u64),
}

impl Ring {
    /// A message sets out. The oldest one makes room.
    pub fn sent(&mut self, at: Instant, key: Key, from: WireEnd, to: WireEnd, body: Body) {
        if self.entries.len() == CAPACITY {
            self.entries.pop_front();
        }
        let what = Arc::new(Recorded { body, facts: OnceLock::new() });
        let state = WireState::InFlight(None);
        self.entries.push_back(Entry { id: self.next_id, key, sent: at, from, to, state, what });
        self.next_id += 1;
    }

    /// A message is on its way, and arrives at that moment if nothing comes in between. False if the ring does not know it.
    pub fn arrives(&mut self, key: Key, at: Instant) -> bool {
        self.turn(key, WireState::InFlight(Some(at.0 / 1_000))).is_some()
    }

    /// A link holds a message. False if the ring does not know it.
    pub fn held(&mut self, key: Key) -> bool {
        self.turn(key, WireState::Held).is_some()
    }

    /// A message has arrived. False if the ring does not know it.
    pub fn delivered(&mut self, key: Key, at: Instant) -> bool {
        let id = self.turn(key, WireState::Delivered(at.0 / 1_000));
        if let Some(id) = id {
            self.arrived = (self.arrived.0 + 1, id);
        }
        id.is_some()
    }

    /// A message will never arrive. False if the ring does not know it.
    pub fn dropped(&mut self, key: Key, at: Instant, why: &'static str) -> bool {
        self.turn(key, WireState::Dropped(at.0 / 1_000, why)).is_some()
    }

    /// What is under way to somebody who is gone never arrives.
    pub fn lose(&mut self, at: Instant, is_gone: impl Fn(&WireEnd) -> bool) {
        for entry in self.entries.iter_mut().filter(|entry| entry.state.is_under_way() && is_gone(&entry.to)) {
            entry.state = WireState::Dropped(at.0 / 1_000, "connection reset");
        }
    }

    /// What is known of a message under way changes; of one that the ring has lost, or that is over, nothing does. The message's number.
    fn turn(&mut self, key: Key, state: WireState) -> Option<u64> {
        let newest = self.entries.iter_mut().rev().find(|entry| entry.key == key);
        let entry = newest.filter(|entry| entry.state.is_under_way())?;
        entry.state = state;
        Some(entry.id)
    }

    fn entry(&self, id: u64) -> Option<&Entry> {
        let first = self.entries.front()?.id;
        self.entries.get(usize::try_from(id.checked_sub(first)?).ok()?)
    }

    /// What names a message among those under way, and what has become of it; `None` if the ring has lost it.
    pub fn find(&self, id: u64) -> Option<(Key, WireState)> {
        self.entry(id).map(|entry| (entry.key, entry.state))
    }

    /// Of which API a message is, and `orders-app → broker 1`.
    pub fn api_and_way(&self, id: u64) -> Option<(&'static str, String)> {
        self.entry(id).map(|entry| (entry.api(), format!("{} → {}", entry.from, entry.to)))
    }

    /// How many messages have arrived so far, and the number of the last one that did.
    pub fn arrived(&self) -> (u64, u64) {
        self.arrived
    }

    /// Whether a message is one that words let through: see [`WireRequest::filter`].
    pub fn fits(&self, id: u64, words: &str) -> bool {
        let filter = Filter::of(words);
        let fits =
            |entry: &Entry| (filter.has_routine || !entry.facts().is_routine) && filter.lets_through(&entry.shown(0));
        self.entry(id).is_some_and(fits)
    }

    /// What has set out from one end to another (a broker, or the clients) in the last second and was not lost, as far as the ring goes
    /// back.
    pub fn traffic(&self, (from, to): Link, now: Instant) -> Traffic {
        let since = now.0.saturating_sub(1_000_000_000);
        let first = self.entries.front().filter(|_| self.entries.len() == CAPACITY).map_or(0, |entry| entry.sent.0);
        let is = |end: &WireEnd, broker: BrokerId| match end {
            WireEnd::Broker(id) => *id == broker,
            WireEnd::Client(_) => broker == CLIENTS,
        };
        let mut traffic = Traffic { over_ms: now.0.saturating_sub(since.max(first)) / 1_000_000, ..Traffic::default() };
        let mut messages = 0;
        for entry in self.entries.iter().rev().take_while(|entry| entry.sent.0 >= since) {
            let passes = !matches!(entry.state, WireState::Dropped(..) | WireState::Held);
            if passes && is(&entry.from, from) && is(&entry.to, to) {
                messages += 1;
                traffic.bytes += entry.facts().size;
            }
        }
        traffic.messages = Some(messages);
        traffic
    }

    /// The id that the next message gets.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// What the console wants to see. While time stands still and nothing is chosen, that is the next message to arrive; else the newest.
    pub fn view(&self, want: &WireRequest, stands_still: bool) -> WireView {
        let filter = Filter::of(&want.filter);
        // A fetch is as interesting as its answer is.
        let telling: BTreeSet<Key> = self
            .entries
            .iter()
            .filter(|entry| !entry.facts().is_routine && entry.facts().is_response)
            .map(|entry| entry.key.other())
            .collect();
        let mut messages: Vec<WireMessage> = Vec::new();
        let mut hidden = 0;
        for entry in &self.entries {
            let is_over_in_vain = matches!(entry.state, WireState::Dropped(..) | WireState::Held);
            let is_routine = entry.facts().is_routine && !is_over_in_vain && !telling.contains(&entry.key);
            let message = entry.shown(hidden);
            if (is_routine && !want.routine && !filter.has_routine) || !filter.lets_through(&message) {
                hidden += 1;
                continue;
            }
            hidden = 0;
            messages.push(message);
        }
        let find = |id: u64| messages.iter().find(|message| message.id == id);
        let next = || match stands_still {
            true => messages.iter().filter(|message| message.state.is_under_way()).min_by_key(arrival),
            false => None,
        };
        let chosen = want.selected.and_then(find).or_else(next).or(messages.last());
        let detail = chosen.and_then(|message| {
            let entry = self.entries.iter().find(|entry| entry.id == message.id)?;
            Some(fields::detail(entry.id, &entry.what.body))
        });
        WireView { messages, recorded: self.entries.len(), detail, ..WireView::default() }
    }
}

/// When a message arrives, what a link holds last.
fn arrival(message: &&WireMessage) -> (u64, u64) {
    match message.state {
        WireState::InFlight(Some(at_us)) => (at_us, message.id),
        _ => (u64::MAX, message.id),
    }
}

/// Words that a message has to fit, or must not.
struct Filter {
    words: Vec<(bool, String)>,
    /// Routine messages too.
    has_routine: bool,
}

impl Filter {
    fn of(text: &str) -> Filter {
        let word = |word: &str| match word.strip_prefix('!') {
            Some(rest) => (false, rest.to_lowercase()),
            None => (true, word.to_lowercase()),
        };
        let (routine, words): (Vec<_>, Vec<_>) = text
            .split_whitespace()
            .map(word)
            .filter(|(_, word)| !word.is_empty())
            .partition(|(wanted, word)| *wanted && word == "routine");
        Filter { words, has_routine: !routine.is_empty() }
    }

    fn lets_through(&self, message: &WireMessage) -> bool {
        self.words.iter().all(|(wanted, word)| fits(message, word) == *wanted)
    }
}

fn fits(message: &WireMessage, word: &str) -> bool {
    if word == "error" {
        return message.error.is_some() || matches!(message.state, WireState::Dropped(..));
    }
    let end = |end: &WireEnd| match end {
        WireEnd::Broker(id) => id.to_string() == word,
        WireEnd::Client(name) => name.to_lowercase().contains(word),
    };
    if end(&message.from) || end(&message.to) {
        return true;
    }
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    !is_number && (message.api.to_lowercase().contains(word) || message.summary.to_lowercase().contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::peer::{BeginQuorumEpochRequest, PeerRequest};

    fn key(number: u64) -> Key {
        Key::Peer(BrokerId(1), BrokerId(2), number, Way::Request)
    }

    fn filled(count: u64) -> Ring {
        let mut ring = Ring::default();
        for number in 0..count {
            let request = BeginQuorumEpochRequest { epoch: 7, leader: BrokerId(1) };
            let body = PeerBody::Request(PeerRequest::BeginQuorumEpoch(request));
            let message = PeerMessage { correlation_id: number, cause: None, body };
            let (from, to) = (WireEnd::Broker(BrokerId(1)), WireEnd::Broker(BrokerId(2)));
            ring.sent(Instant::from_millis(number), key(number), from, to, Body::Peer(message));
        }
        ring
    }

    #[test]
    fn the_oldest_makes_room_and_what_is_gone_is_not_missed() {
        let mut ring = filled(CAPACITY as u64 + 3);
        ring.delivered(key(0), Instant::from_millis(9));
        let view = ring.view(&WireRequest::default(), false);
        assert_eq!((view.messages.len(), view.messages[0].id), (CAPACITY, 3));
        assert!(view.messages.iter().all(|message| message.state.is_under_way()));
    }

    #[test]
    fn what_is_over_stays_over() {
        let mut ring = filled(1);
        ring.held(key(0));
        ring.dropped(key(0), Instant::from_millis(5), "link is cut");
        ring.delivered(key(0), Instant::from_millis(6));
        assert_eq!(
            ring.view(&WireRequest::default(), false).messages[0].state,
            WireState::Dropped(5_000, "link is cut")
        );
    }

    #[test]
    fn words_of_a_filter_all_have_to_fit() {
        let mut ring = filled(2);
        ring.dropped(key(1), Instant::from_millis(5), "link is cut");
        let shown = |filter: &str| {
            let request = WireRequest { filter: filter.to_owned(), ..WireRequest::default() };
            ring.view(&request, false).messages.iter().map(|message| message.id).collect::<Vec<_>>()
        };
        assert_eq!(shown("beginq 2"), [0, 1]);
        assert_eq!(shown("beginq error"), [1]);
        assert_eq!(shown("!error"), [0]);
        assert!(shown("3").is_empty() && shown("produce").is_empty());
    }
}

//! Recording of messages on a live cluster, while somebody looks: what each broker sends and takes in goes into a bounded queue of its
//! own, and whoever looks empties the queues into one ring.
//!
//! Invariants: while nobody looks it costs one relaxed load of an atomic a message, no lock and no allocation. While somebody looks no
//! broker waits for it: a full queue lets its oldest go, a queue that is just being emptied takes nothing, and both are counted. A message
//! whose records are large is noted without its contents, so that nothing large is kept alive.
//!
//! Deliberately not here: what is made of messages (`cluster::wire`), and when a client sent its request, which nobody here knows: its
//! way ends where it begins.

use crate::cluster::link::size_of;
use crate::cluster::view::{WireEnd, WireRequest, WireView};
use crate::cluster::wire::{Body, Key, Outline, Ring, Way};
use crate::engine::time::Instant;
use crate::protocol::batch::Batch;
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::ids::{BrokerId, ConnectionId};
use crate::protocol::peer::{PeerBody, PeerMessage};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

/// So many notes a broker keeps between two looks.
const QUEUE_MAX: usize = 1_024;
/// A message with more bytes of records than this is noted without its contents.
const KEPT_BYTES: usize = 16 * 1024;

/// What happened to a message.
enum What {
    Sent(WireEnd, WireEnd, Box<Body>),
    Held,
    Arrived,
    Lost(&'static str),
}

struct Note {
    at: Instant,
    key: Key,
    what: What,
}

#[derive(Default)]
struct Queue {
    notes: Mutex<VecDeque<Note>>,
    lost: AtomicU64,
}

impl Queue {
    fn put(&self, note: Note) {
        let mut notes = match self.notes.try_lock() {
            Ok(notes) => notes,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        if notes.len() == QUEUE_MAX {
            notes.pop_front();
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        notes.push_back(note);
    }
}

/// The ring of whoever looks, and what its brokers' queues did not say yet.
#[derive(Default)]
struct Seen {
    ring: Ring,
    /// Ends of messages whose beginnings were not in the queues yet, once kept.
    early: Vec<Note>,
    lost: u64,
}

/// See the module.
#[derive(Default)]
pub struct Recorder {
    watchers: AtomicU32,
    queues: RwLock<BTreeMap<BrokerId, Arc<Queue>>>,
    seen: Mutex<Seen>,
}

impl Recorder {
    /// Whether somebody looks.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody begins to look.
    pub fn begin(&self) {
        self.watchers.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody looks no longer; the last one takes what was recorded along.
    pub fn end(&self) {
        if self.watchers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.queues.write().unwrap_or_else(PoisonError::into_inner).clear();
            *self.seen() = Seen::default();
        }
    }

    fn put(&self, broker: BrokerId, note: Note) {
        let queue = self.queues.read().unwrap_or_else(PoisonError::into_inner).get(&broker).cloned();
        let queue = queue.unwrap_or_else(|| {
            let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(broker).or_default())
        });
        queue.put(note);
    }

    /// A broker sends another a message. Call only while somebody looks.
    pub fn peer_sent(&self, at: Instant, from: BrokerId, to: BrokerId, message: &PeerMessage) {
        let body = match size_of(message) {
            0..=KEPT_BYTES_U64 => Body::Peer(message.clone()),
            size => Body::Outline(Outline::of_peer(message, size)),
        };
        let what = What::Sent(WireEnd::Broker(from), WireEnd::Broker(to), Box::new(body));
        self.put(from, Note { at, key: peer_key(from, to, message), what });
    }

    /// What a broker sent never arrives.
    pub fn peer_lost(&self, at: Instant, from: BrokerId, key: Key, why: &'static str) {
        self.put(from, Note { at, key, what: What::Lost(why) });
    }

    /// A link holds what a broker sent.
    pub fn peer_held(&self, at: Instant, from: BrokerId, key: Key) {
        self.put(from, Note { at, key, what: What::Held });
    }

    /// A broker takes a message of another one in.
    pub fn peer_arrived(&self, at: Instant, from: BrokerId, to: BrokerId, message: &PeerMessage) {
        self.put(to, Note { at, key: peer_key(from, to, message), what: What::Arrived });
    }

    /// A broker takes a client's request in, or never gets it.
    pub fn request(&self, at: Instant, broker: BrokerId, connection: ConnectionId, asked: Asked<'_>, is_lost: bool) {
        let Asked { header, request } = asked;
        let key = client_key(connection, header, Way::Request);
        let bytes = records_asked(request);
        let body = match bytes {
            0..=KEPT_BYTES => Body::Request(header.clone(), request.clone()),
            _ => Body::Outline(Outline::of_client(header, false, bytes)),
        };
        let what = What::Sent(client(connection, header), WireEnd::Broker(broker), Box::new(body));
        self.put(broker, Note { at, key, what });
        self.put(broker, Note { at, key, what: fate(is_lost) });
    }

    /// A broker answers a client, or its answer is lost.
    pub fn response(&self, at: Instant, broker: BrokerId, connection: ConnectionId, told: Told<'_>, is_lost: bool) {
        let Told { header, response } = told;
        let key = client_key(connection, header, Way::Response);
        let bytes = records_told(response);
        let body = match bytes {
            0..=KEPT_BYTES => Body::Response(header.clone(), response.clone()),
            _ => Body::Outline(Outline::of_client(header, true, bytes)),
        };
        let what = What::Sent(WireEnd::Broker(broker), client(connection, header), Box::new(body));
        self.put(broker, Note { at, key, what });
        self.put(broker, Note { at, key, what: fate(is_lost) });
    }

    /// What was recorded, as whoever looks wants to see it. `living` are the brokers that still can get something.
    pub fn view(&self, want: &WireRequest, now: Instant, stands_still: bool, living: &BTreeSet<BrokerId>) -> WireView {
        let queues: Vec<Arc<Queue>> =
            self.queues.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let mut seen = self.seen();
        let mut notes = std::mem::take(&mut seen.early);
        let known = notes.len();
        for queue in &queues {
            seen.lost += queue.lost.swap(0, Ordering::Relaxed);
            notes.append(&mut take(queue).into());
        }
        let mut numbered: Vec<(bool, Note)> =
            notes.into_iter().enumerate().map(|(number, note)| (number < known, note)).collect();
        // The beginning of a message comes before its end.
        numbered.sort_by_key(|(_, note)| (note.at, !matches!(note.what, What::Sent(..))));
        for (is_old, note) in numbered {
            if let Some(early) = seen.take_in(note).filter(|_| !is_old) {
                seen.early.push(early);
            }
        }
        seen.ring.lose(now, |to| matches!(to, WireEnd::Broker(id) if !living.contains(id)));
        let mut view = seen.ring.view(want, stands_still);
        (view.at_us, view.lost) = (now.0 / 1_000, seen.lost);
        view
    }
}

const KEPT_BYTES_U64: u64 = KEPT_BYTES as u64;

/// What a queue has; it goes on empty.
fn take(queue: &Queue) -> VecDeque<Note> {
    let empty = VecDeque::with_capacity(QUEUE_MAX);
    std::mem::replace(&mut *queue.notes.lock().unwrap_or_else(PoisonError::into_inner), empty)
}

impl Seen {
    /// Takes a note in; gives it back if it is of a message that is not known.
    fn take_in(&mut self, note: Note) -> Option<Note> {
        let Note { at, key, what } = note;
        let is_known = match what {
            What::Sent(from, to, body) => {
                self.ring.sent(at, key, from, to, *body);
                return None;
            }
            What::Held => self.ring.held(key),
            What::Arrived => self.ring.delivered(key, at),
            What::Lost(why) => self.ring.dropped(key, at, why),
        };
        (!is_known).then_some(Note { at, key, what })
    }
}

/// A client's question.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its header.
    pub header: &'a RequestHeader,
    /// Its body.
    pub request: &'a Request,
}

/// An answer to a client.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// The header of its question.
    pub header: &'a RequestHeader,
    /// Its body.
    pub response: &'a Response,
}

/// Names a message between brokers.
pub fn peer_key(from: BrokerId, to: BrokerId, message: &PeerMessage) -> Key {
    let way = if matches!(message.body, PeerBody::Response(_)) { Way::Response } else { Way::Request };
    Key::Peer(from, to, message.correlation_id, way)
}

fn client_key(connection: ConnectionId, header: &RequestHeader, way: Way) -> Key {
    Key::Client(connection, u64::from(header.correlation_id.cast_unsigned()), way)
}

fn client(connection: ConnectionId, header: &RequestHeader) -> WireEnd {
    WireEnd::Client(match header.client_id.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => name.into(),
        None => format!("client {}", connection.0).into(),
    })
}

fn fate(is_lost: bool) -> What {
    if is_lost { What::Lost("dropped") } else { What::Arrived }
}

fn records_asked(request: &Request) -> usize {
    let Request::Produce(produce) = request else { return 0 };
    let partitions = produce.topic_data.iter().flat_map(|topic| &topic.partition_data);
    partitions.filter_map(|partition| partition.records.as_ref()).map(bytes::Bytes::len).sum()
}

fn records_told(response: &Response) -> usize {
    let Response::Fetch(fetch) = response else { return 0 };
    let partitions = fetch.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.flat_map(|partition| &partition.records).map(Batch::size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::peer::{BeginQuorumEpochRequest, PeerRequest};

    fn message(number: u64) -> PeerMessage {
        let request = PeerRequest::BeginQuorumEpoch(BeginQuorumEpochRequest { epoch: 1, leader: BrokerId(1) });
        PeerMessage { correlation_id: number, cause: None, body: PeerBody::Request(request) }
    }

    fn look(recorder: &Recorder, living: &[i32]) -> WireView {
        let living = living.iter().map(|id| BrokerId(*id)).collect();
        recorder.view(&WireRequest::default(), Instant::from_millis(5_000), false, &living)
    }

    #[test]
    fn ends_find_their_beginnings_whichever_queue_is_emptied_first() {
        let recorder = Recorder::default();
        recorder.begin();
        let (one, two) = (BrokerId(1), BrokerId(2));
        recorder.peer_arrived(Instant::from_millis(2), one, two, &message(7));
        assert!(look(&recorder, &[1, 2]).messages.is_empty());
        recorder.peer_sent(Instant::from_millis(1), one, two, &message(7));
        recorder.peer_sent(Instant::from_millis(3), one, two, &message(8));
        let view = look(&recorder, &[1, 2]);
        let states: Vec<_> = view.messages.iter().map(|message| message.state.is_under_way()).collect();
        assert_eq!((states, view.lost), (vec![false, true], 0));
        // Whom it was for has died.
        let view = look(&recorder, &[1]);
        assert!(view.messages.iter().all(|message| !message.state.is_under_way()));
        recorder.end();
        assert!(!recorder.is_on() && look(&recorder, &[1, 2]).messages.is_empty());
    }

    #[test]
    fn a_queue_that_nobody_empties_lets_its_oldest_go_and_counts_them() {
        let recorder = Recorder::default();
        recorder.begin();
        let count = QUEUE_MAX as u64 + 20;
        for number in 0..count {
            recorder.peer_sent(Instant::from_millis(number), BrokerId(1), BrokerId(2), &message(number));
        }
        let view = look(&recorder, &[1, 2]);
        assert_eq!(view.lost, 20);
        assert_eq!(view.messages.last().map(|message| message.correlation_id), Some(count - 1));
    }
}

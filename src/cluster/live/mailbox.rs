//! A broker's mailbox: everything that happens to it, in one queue that its thread empties in batches.
//!
//! Invariants: nothing is put in the way of a snapshot or of an end (they are a channel of their own, looked at between
//! steps, also while time stands still); what comes late by a link's fault comes in the order of its moments;
//! the thread is woken only if it sleeps. Clients' requests are bounded by those who put them in (`conn.rs`), messages
//! of peers by the protocol.
//!
//! Deliberately not here: what the thread does with it.

use crate::cluster::link::size_of;
use crate::cluster::live::clock::LiveClock;
use crate::cluster::live::conn::Connection;
use crate::cluster::store::StoreNote;
use crate::engine::io::RequestToken;
use crate::engine::observe::{BrokerSnapshot, Scope};
use crate::engine::time::Instant;
use crate::protocol::codec::{Request, RequestHeader};
use crate::protocol::ids::{BrokerId, ConnectionId};
use crate::protocol::peer::{EventId, PeerMessage};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What happens to a broker.
pub enum Item {
    /// A client's request.
    Request {
        /// Where the answer goes.
        connection: Arc<Connection>,
        /// Names it.
        token: RequestToken,
        /// Its header.
        header: RequestHeader,
        /// Its body.
        request: Request,
    },
    /// A client is gone.
    ConnectionClosed(ConnectionId),
    /// A message of another broker.
    Peer {
        /// The sender.
        from: BrokerId,
        /// What it sent.
        message: PeerMessage,
    },
    /// A peer's process has ended.
    LinkDown {
        /// The peer.
        peer: BrokerId,
        /// The event that told.
        cause: Option<EventId>,
    },
    /// The store has something to say.
    Store(StoreNote),
    /// Stop in an orderly way.
    ControlledShutdown {
        /// The event that asked for it.
        cause: Option<EventId>,
    },
}

/// What goes past the queue.
pub enum Control {
    /// Tell how things are.
    Snapshot {
        /// What of it.
        scope: Scope,
        /// To whom. Nobody may be there any more.
        reply: Sender<BrokerSnapshot>,
    },
    /// End now.
    End(End),
}

/// How a broker's life ends from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As `kill -9`.
    Kill,
    /// As the loss of its machine's power.
    PowerLoss,
    /// With everything flushed and marked as clean, but without asking the controller.
    Close,
}

struct Late {
    at: Instant,
    /// Keeps the order of messages of one moment.
    number: u64,
    item: Item,
}

impl PartialEq for Late {
    fn eq(&self, other: &Late) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Late {}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Late) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Late) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Default)]
struct Inner {
    items: Vec<Item>,
    late: BinaryHeap<Reverse<Late>>,
    numbers: u64,
    /// Messages and bytes that came from each peer.
    heard: BTreeMap<BrokerId, (u64, u64)>,
    controls: Vec<Control>,
    is_asleep: bool,
    is_frozen: bool,
    /// Its owner is gone: nothing is kept any more.
    is_closed: bool,
}

impl Inner {
    fn hears(&mut self, from: BrokerId, message: &PeerMessage) {
        let heard = self.heard.entry(from).or_default();
        *heard = (heard.0 + 1, heard.1 + size_of(message));
    }

    fn let_in_the_late(&mut self, now: Instant) {
        while self.late.peek().is_some_and(|Reverse(late)| late.at <= now) {
            if let Some(Reverse(late)) = self.late.pop() {
                self.items.push(late.item);
            }
        }
    }
}

/// A broker's mailbox.
#[derive(Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
    wake: Condvar,
    has_control: AtomicBool,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self, mut inner: MutexGuard<'_, Inner>) {
        if std::mem::take(&mut inner.is_asleep) {
            drop(inner);
            self.wake.notify_one();
        }
    }

    /// Puts something in.
    pub fn push(&self, item: Item) {
        let mut inner = self.lock();
        if !inner.is_closed {
            inner.items.push(item);
            self.notify(inner);
        }
    }

    /// Puts several things in, behind those that were under way longer.
    pub fn push_all(&self, items: &mut Vec<Item>, clock: &LiveClock) {
        let mut inner = self.lock();
        if inner.is_closed {
            items.clear();
        } else if !items.is_empty() {
            if !inner.late.is_empty() {
                inner.let_in_the_late(clock.now());
            }
            inner.items.append(items);
            self.notify(inner);
        }
    }

    /// Puts a peer's message in, behind those that were under way longer.
    pub fn push_peer(&self, from: BrokerId, message: PeerMessage, clock: &LiveClock) {
        let mut inner = self.lock();
        if inner.is_closed {
            return;
        }
        if !inner.late.is_empty() {
            inner.let_in_the_late(clock.now());
        }
        inner.hears(from, &message);
        inner.items.push(Item::Peer { from, message });
        self.notify(inner);
    }

    /// Messages and bytes that came from each peer so far.
    pub fn heard(&self) -> BTreeMap<BrokerId, (u64, u64)> {
        self.lock().heard.clone()
    }

    /// A message arrives at that moment.
    pub fn push_at(&self, at: Instant, item: Item) {
        let mut inner = self.lock();
        if !inner.is_closed {
            inner.numbers += 1;
            let number = inner.numbers;
            if let Item::Peer { from, message } = &item {
                inner.hears(*from, message);
            }
            inner.late.push(Reverse(Late { at, number, item }));
            self.notify(inner);
        }
    }

    /// Tells the thread something at once. False if there is no thread any more.
    pub fn control(&self, control: Control) -> bool {
        let mut inner = self.lock();
        if inner.is_closed {
            return false;
        }
        inner.controls.push(control);
        self.has_control.store(true, Ordering::Release);
        self.notify(inner);
        true
    }

    /// Suspends the broker, or lets it go on: while it is frozen it takes in nothing but controls.
    pub fn set_frozen(&self, is_frozen: bool) {
        let mut inner = self.lock();
        inner.is_frozen = is_frozen;
        self.notify(inner);
    }

    /// Lets the thread look at the clock anew: it was paused, or goes on, or has another speed.
    pub fn poke(&self) {
        let inner = self.lock();
        self.notify(inner);
    }

    /// What is under way from a peer is lost.
    pub fn lose_late(&self, peer: BrokerId) {
        self.lock().late.retain(|Reverse(late)| !matches!(&late.item, Item::Peer { from, .. } if *from == peer));
    }

    /// Controls that have come, without waiting: for between two steps.
    pub fn take_controls(&self) -> Vec<Control> {
        if !self.has_control.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut inner = self.lock();
        self.has_control.store(false, Ordering::Release);
        std::mem::take(&mut inner.controls)
    }

    /// Waits until there is something, or until `wake_at`. What there is goes into `items`.
    pub fn take(&self, items: &mut Vec<Item>, wake_at: Option<Instant>, clock: &LiveClock) {
        let mut inner = self.lock();
        loop {
            if !inner.controls.is_empty() {
                return;
            }
            let mut deadline = None;
            if !inner.is_frozen && !clock.is_paused() {
                let now = clock.now();
                inner.let_in_the_late(now);
                if !inner.items.is_empty() {
                    std::mem::swap(items, &mut inner.items);
                    return;
                }
                if wake_at.is_some_and(|at| at <= now) {
                    return;
                }
                let late = inner.late.peek().map(|Reverse(late)| late.at);
                let next = wake_at.into_iter().chain(late).min();
                deadline = next.and_then(|at| clock.real_deadline(at));
            }
            inner.is_asleep = true;
            inner = match deadline {
                None => self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(std::time::Instant::now());
                    self.wake.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            inner.is_asleep = false;
        }
    }

    /// The owner is gone.
    pub fn close(&self) {
        let mut inner = self.lock();
        *inner = Inner { is_closed: true, ..Inner::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::peer::{BeginQuorumEpochRequest, PeerBody, PeerRequest};
    use std::time::Duration;

    fn message(n: u64) -> PeerMessage {
        let body = BeginQuorumEpochRequest { epoch: 1, leader: BrokerId(1) };
        PeerMessage { correlation_id: n, cause: None, body: PeerBody::Request(PeerRequest::BeginQuorumEpoch(body)) }
    }

    fn peer(n: u64) -> Item {
        Item::Peer { from: BrokerId(2), message: message(n) }
    }

    fn taken(mailbox: &Mailbox, clock: &LiveClock) -> Vec<u64> {
        let mut items = Vec::new();
        mailbox.take(&mut items, None, clock);
        let number = |item: &Item| match item {
            Item::Peer { message, .. } => message.correlation_id,
            _ => panic!("a message"),
        };
        items.iter().map(number).collect()
    }

    #[test]
    fn what_was_under_way_longer_comes_first() {
        let (mailbox, clock) = (Mailbox::default(), LiveClock::default());
        let soon = clock.now();
        mailbox.push_at(soon, peer(1));
        mailbox.push_at(soon, peer(2));
        mailbox.push_peer(BrokerId(2), message(3), &clock);
        assert_eq!(taken(&mailbox, &clock), [1, 2, 3]);
        mailbox.push_at(clock.now() + Duration::from_millis(5), peer(4));
        assert_eq!(taken(&mailbox, &clock), [4], "waits for it");
    }

    #[test]
    fn a_frozen_one_takes_controls_only() {
        let (mailbox, clock) = (Mailbox::default(), LiveClock::default());
        mailbox.set_frozen(true);
        mailbox.push_peer(BrokerId(2), message(1), &clock);
        assert!(mailbox.control(Control::End(End::Kill)));
        let mut items = Vec::new();
        mailbox.take(&mut items, Some(Instant::ZERO), &clock);
        assert!(items.is_empty());
        assert_eq!(mailbox.take_controls().len(), 1);
        mailbox.set_frozen(false);
        assert_eq!(taken(&mailbox, &clock), [1]);
        mailbox.close();
        assert!(!mailbox.control(Control::End(End::Kill)));
    }
}

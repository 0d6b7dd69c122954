//! What all brokers of a live cluster share: time, the links between them, the history, and numbers.
//!
//! Invariants: a message reaches the mailbox of a broker that lives, or is lost; without faults a link costs one lock
//! of the receiver's mailbox and nothing else.
//!
//! Deliberately not here: lives and deaths (`supervisor.rs`).

use crate::cluster::link::{Drops, Fate, Link, LinkFaults, Links};
use crate::cluster::live::clock::LiveClock;
use crate::cluster::live::history::{History, HostFact};
use crate::cluster::live::mailbox::{Item, Mailbox};
use crate::cluster::live::watch::Watch;
use crate::cluster::live::wire::{Recorder, peer_key};
use crate::cluster::observation::Observer;
use crate::cluster::wire::Key;
use crate::engine::io::RequestToken;
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::{EventId, PeerMessage};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// See the module.
pub struct Host {
    /// Time.
    pub clock: LiveClock,
    /// What has happened.
    pub history: History,
    watch: Mutex<Watch>,
    links: Mutex<(Links, Prng)>,
    /// Whether a link may not be healthy: only then are they looked at.
    has_faults: AtomicBool,
    peers: RwLock<BTreeMap<BrokerId, Arc<Mailbox>>>,
    numbers: AtomicU64,
    /// What is told of messages while somebody looks.
    pub wire: Recorder,
}

impl Host {
    /// A host without brokers.
    pub fn new(rng: Prng, observer: Observer) -> Host {
        Host {
            clock: LiveClock::default(),
            history: History::default(),
            watch: Mutex::new(Watch::new(observer)),
            links: Mutex::new((Links::default(), rng)),
            has_faults: AtomicBool::new(false),
            peers: RwLock::default(),
            numbers: AtomicU64::new(1),
            wire: Recorder::default(),
        }
    }

    /// A number that is given once.
    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A token that is given once; those of one connection rise.
    pub fn next_token(&self) -> RequestToken {
        RequestToken(self.next_number())
    }

    /// The host tells something; returns its id, to be the cause of others.
    pub fn tell(&self, fact: HostFact) -> EventId {
        self.tell_caused(fact, None)
    }

    /// The host tells something that something else caused.
    pub fn tell_caused(&self, fact: HostFact, cause: Option<EventId>) -> EventId {
        let mut watch = self.watch();
        watch.catch_up(&self.clock, &self.history);
        let id = watch.hear(&fact, cause);
        self.history.add_host(id, self.clock.now(), cause, fact);
        id
    }

    /// What is watched, to look at or to feed.
    pub fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A broker lives.
    pub fn join(&self, broker: BrokerId, mailbox: Arc<Mailbox>) {
        self.peers.write().unwrap_or_else(PoisonError::into_inner).insert(broker, mailbox);
    }

    /// A broker lives no longer. With a reset the others notice at once, and what it had sent and has not arrived is
    /// lost.
    pub fn leave(&self, broker: BrokerId, with_reset: bool, cause: Option<EventId>) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if peers.remove(&broker).is_none() {
            return;
        }
        let others: Vec<Arc<Mailbox>> = peers.values().cloned().collect();
        drop(peers);
        self.links().0.reset(broker);
        for other in others {
            other.lose_late(broker);
            if with_reset {
                other.push(Item::LinkDown { peer: broker, cause });
            }
        }
    }

    fn mailbox(&self, broker: BrokerId) -> Option<Arc<Mailbox>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).get(&broker).cloned()
    }

    fn links(&self) -> MutexGuard<'_, (Links, Prng)> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A broker sends a message to another.
    pub fn send(&self, from: BrokerId, to: BrokerId, message: PeerMessage) {
        let key = self.wire.is_on().then(|| {
            self.wire.peer_sent(self.clock.now(), from, to, &message);
            peer_key(from, to, &message)
        });
        let Some(mailbox) = self.mailbox(to) else {
            return self.note_loss(key, from, "nobody listens");
        };
        if !self.has_faults.load(Ordering::Acquire) {
            return mailbox.push_peer(from, message, &self.clock);
        }
        let now = self.clock.now();
        let mut guard = self.links();
        let (links, rng) = &mut *guard;
        if links.are_healthy(now) {
            self.has_faults.store(false, Ordering::Release);
        }
        // Under the lock, so that two messages of a link keep their order.
        match links.send((from, to), message, now, rng) {
            Fate::Now(message) => mailbox.push_peer(from, message, &self.clock),
            Fate::At(at, message) => mailbox.push_at(at, Item::Peer { from, message }),
            Fate::Held => key.into_iter().for_each(|key| self.wire.peer_held(now, from, key)),
            Fate::Lost => self.note_loss(key, from, "lost on the link"),
        }
    }

    fn note_loss(&self, key: Option<Key>, from: BrokerId, why: &'static str) {
        if let Some(key) = key {
            self.wire.peer_lost(self.clock.now(), from, key, why);
        }
    }

    /// The brokers that live.
    pub fn living(&self) -> BTreeSet<BrokerId> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Changes a link's faults; what it held arrives if it holds no longer.
    pub fn change_link(&self, link: Link, change: impl FnOnce(&mut LinkFaults)) {
        let mut guard = self.links();
        let released = guard.0.change(link, change);
        self.has_faults.store(true, Ordering::Release);
        if guard.0.faults(link).is_cut
            && let Some(mailbox) = self.mailbox(link.1)
        {
            mailbox.lose_late(link.0);
        }
        if let Some(mailbox) = self.mailbox(link.1) {
            for message in released {
                mailbox.push_peer(link.0, message, &self.clock);
            }
        }
    }

    /// From now on so many messages of a kind are lost.
    pub fn drop_next(&self, drops: Drops) {
        self.links().0.drop_next(drops);
        self.has_faults.store(true, Ordering::Release);
    }

    /// No more messages are lost because of [`Host::drop_next`].
    pub fn forget_drops(&self) {
        self.links().0.forget_drops();
    }

    /// Whether a client's message is one of those that are to be lost. `by` is the broker it is said to, or that
    /// answers.
    pub fn takes_client_drop(&self, by: BrokerId, is_response: bool, api: &str) -> bool {
        self.has_faults.load(Ordering::Acquire) && self.links().0.takes_drop(by, is_response, api)
    }

    /// When a frame of so many bytes arrives that sets out now between a broker and one of its clients.
    pub fn client_arrival(&self, link: Link, bytes: usize) -> Instant {
        let now = self.clock.now();
        let mut guard = self.links();
        let (links, rng) = &mut *guard;
        links.arrival(link, u64::try_from(bytes).unwrap_or(u64::MAX), now, rng)
    }

    /// Messages and bytes that set out between brokers so far and were not lost, by sender and receiver.
    pub fn passed(&self) -> BTreeMap<Link, (u64, u64)> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let heard = |(to, mailbox): (&BrokerId, &Arc<Mailbox>)| (*to, mailbox.heard());
        let heard: Vec<_> = peers.iter().map(heard).collect();
        drop(peers);
        heard
            .into_iter()
            .flat_map(|(to, heard)| heard.into_iter().map(move |(from, passed)| ((from, to), passed)))
            .collect()
    }

    /// Looks at the links.
    pub fn with_links<R>(&self, look: impl FnOnce(&Links) -> R) -> R {
        look(&self.links().0)
    }

    /// Time was paused, goes on, or has another speed: every broker looks at the clock anew.
    pub fn poke_all(&self) {
        for mailbox in self.peers.read().unwrap_or_else(PoisonError::into_inner).values() {
            mailbox.poke();
        }
        self.history.poke();
    }
}

//! Consumers' fetches: the sessions that spare them to name every partition every time (KIP-227; Kafka's
//! `FetchSession`), and those that wait for records (`DelayedFetch`).
//!
//! Invariants: a slot of a session is dirty when its partition may have something to say; what is not dirty is not
//! looked at. Whoever changes a partition touches its readers, so nothing that becomes readable is missed. What an
//! answer holds is decided in `api/fetch.rs`.

use super::timers::Timer;
use super::{ReplicaEnv, Replicas};
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{ConnectionId, PartitionId};
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A session that was used within this time is not given up for another (`MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
const MIN_EVICTION_AGE_MS: u64 = 120_000;

/// Who wants to know when a partition changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Reader {
    /// A slot of a session.
    Session(i32, u32),
    /// A fetch without a session, while it waits.
    Parked(u64),
}

/// One partition that a client fetches.
#[derive(Debug, Clone)]
pub(in crate::engine) struct FetchSlot {
    /// The topic's name, if the client fetches by name.
    pub topic_name: TopicName,
    /// The topic's id, if it fetches by id.
    pub topic_id: Uuid,
    /// The partition's number.
    pub partition: i32,
    /// The leader epoch it knows; −1 for none.
    pub current_leader_epoch: i32,
    /// The epoch of the last record it has; −1 for none.
    pub last_fetched_epoch: i32,
    /// Where to read.
    pub offset: i64,
    /// At most so many bytes.
    pub max_bytes: i32,
    /// The high watermark in the last answer.
    pub told_high_watermark: i64,
    /// The log start in the last answer.
    pub told_log_start: i64,
    /// The replica that has this slot among its readers.
    pub watched: Option<PartitionId>,
}

impl FetchSlot {
    fn new(topic_name: TopicName, topic_id: Uuid, partition: i32) -> FetchSlot {
        FetchSlot {
            topic_name,
            topic_id,
            partition,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            offset: 0,
            max_bytes: 0,
            told_high_watermark: -1,
            told_log_start: -1,
            watched: None,
        }
    }

    fn update(&mut self, wanted: &FetchPartition) {
        self.current_leader_epoch = wanted.current_leader_epoch;
        self.last_fetched_epoch = wanted.last_fetched_epoch;
        self.offset = wanted.fetch_offset;
        self.max_bytes = wanted.partition_max_bytes;
    }
}

/// The partitions that a client fetches together.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct FetchSet {
    slots: Vec<Option<FetchSlot>>,
    free: Vec<u32>,
    /// Slots whose partition may have something to say.
    pub dirty: BTreeSet<u32>,
    /// Where the next answer begins: partitions take turns.
    pub next_turn: u32,
}

impl FetchSet {
    /// A slot.
    pub fn slot(&self, index: u32) -> Option<&FetchSlot> {
        self.slots.get(usize::try_from(index).ok()?)?.as_ref()
    }

    /// A slot, to change it.
    pub fn slot_mut(&mut self, index: u32) -> Option<&mut FetchSlot> {
        self.slots.get_mut(usize::try_from(index).ok()?)?.as_mut()
    }

    /// Whether nothing is fetched.
    pub fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    /// All slots, in order, beginning with the one whose turn it is.
    pub fn all(&self) -> Vec<u32> {
        let count = u32::try_from(self.slots.len()).expect("fewer slots than a request has bytes");
        let first = self.next_turn.min(count);
        (first..count).chain(0..first).filter(|index| self.slot(*index).is_some()).collect()
    }

    /// The dirty slots, in order, beginning with the one whose turn it is.
    pub fn all_dirty(&self) -> Vec<u32> {
        self.dirty.range(self.next_turn..).chain(self.dirty.range(..self.next_turn)).copied().collect()
    }

    fn add(&mut self, slot: FetchSlot) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer slots than a request has bytes")
        });
        *self.slots.get_mut(usize::try_from(index).expect("an index")).expect("just made") = Some(slot);
        self.dirty.insert(index);
        index
    }

    fn remove(&mut self, index: u32) -> Option<FetchSlot> {
        let slot = self.slots.get_mut(usize::try_from(index).ok()?)?.take()?;
        self.free.push(index);
        self.dirty.remove(&index);
        Some(slot)
    }

    /// All partitions of a request.
    fn of_request(request: &FetchRequest) -> FetchSet {
        let mut set = FetchSet::default();
        for topic in &request.topics {
            for wanted in &topic.partitions {
                let mut slot = FetchSlot::new(topic.topic.clone(), topic.topic_id, wanted.partition);
                slot.update(wanted);
                set.add(slot);
            }
        }
        set
    }
}

/// What keys a slot in a session.
type SlotKey = (TopicName, Uuid, i32);

/// A client's session.
#[derive(Debug, Clone)]
pub(in crate::engine) struct ClientSession {
    next_epoch: i32,
    uses_ids: bool,
    last_used: Instant,
    by_key: BTreeMap<SlotKey, u32>,
    parked: Option<u64>,
    /// The partitions.
    pub set: FetchSet,
}

impl ClientSession {
    /// Takes over what a request adds, changes and forgets; the slots it does not have any more.
    fn update(&mut self, request: &FetchRequest) -> Vec<(u32, FetchSlot)> {
        for topic in &request.topics {
            // The name is copied: a slice of the request would keep all of it in memory as long as the session lives.
            let name = TopicName(kafka_protocol::protocol::StrBytes::from_string(topic.topic.to_string()));
            for wanted in &topic.partitions {
                let key = (name.clone(), topic.topic_id, wanted.partition);
                let index = *self
                    .by_key
                    .entry(key)
                    .or_insert_with(|| self.set.add(FetchSlot::new(name.clone(), topic.topic_id, wanted.partition)));
                self.set.slot_mut(index).expect("a key's slot exists").update(wanted);
                self.set.dirty.insert(index);
            }
        }
        let mut gone = Vec::new();
        for topic in &request.forgotten_topics_data {
            for partition in &topic.partitions {
                let key = (topic.topic.clone(), topic.topic_id, *partition);
                if let Some(index) = self.by_key.remove(&key) {
                    gone.extend(self.set.remove(index).map(|slot| (index, slot)));
                }
            }
        }
        gone
    }
}

/// Which partitions a fetch is about.
#[derive(Debug, Clone)]
pub(in crate::engine) enum Source {
    /// Those of a session; all of them, or only those with something to say.
    Session {
        /// The session.
        id: i32,
        /// Whether all of them are told of: the first answer of a session.
        is_full: bool,
    },
    /// Those of the request.
    Request(FetchSet),
}

/// What a client asked for.
#[derive(Debug, Clone)]
pub(in crate::engine) struct FetchParams {
    /// The version of its request.
    pub version: i16,
    /// Answer once there are so many bytes.
    pub min_bytes: usize,
    /// At most so many bytes.
    pub max_bytes: usize,
    /// Only records of committed transactions.
    pub read_committed: bool,
    /// Where the client is.
    pub rack: Option<String>,
}

/// A fetch that waits.
#[derive(Debug, Clone)]
pub(in crate::engine) struct ParkedFetch {
    /// Names it.
    pub token: RequestToken,
    /// Whose.
    pub connection: ConnectionId,
    /// What is wanted.
    pub params: FetchParams,
    /// Of which partitions.
    pub source: Source,
    /// Until when it waits.
    pub deadline: Instant,
}

/// All sessions, and all fetches that wait.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct ClientFetches {
    sessions: BTreeMap<i32, ClientSession>,
    by_use: BTreeSet<(Instant, i32)>,
    parked: BTreeMap<u64, ParkedFetch>,
    by_connection: BTreeSet<(ConnectionId, u64)>,
    touched: BTreeSet<u64>,
    last_parked: u64,
}

impl ClientFetches {
    /// How many fetches wait.
    pub fn parked_count(&self) -> usize {
        self.parked.len()
    }

    /// How many sessions there are.
    #[cfg(test)]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// A session.
    pub fn session_mut(&mut self, id: i32) -> Option<&mut ClientSession> {
        self.sessions.get_mut(&id)
    }

    /// Adds a session, if there is a slot for it or one can be had (`FetchSessionCacheShard.tryEvict`).
    fn add(
        &mut self,
        rng: &mut Prng,
        now: Instant,
        slots: usize,
        session: ClientSession,
    ) -> Option<(i32, Vec<Reader>)> {
        let mut gone = Vec::new();
        if self.sessions.len() >= slots {
            let &(last_used, oldest) = self.by_use.first()?;
            if last_used.plus_millis(MIN_EVICTION_AGE_MS) > now {
                return None;
            }
            gone = self.watching(oldest);
            self.remove(oldest);
        }
        let id = loop {
            let id = i32::try_from(rng.range(1, 0x7FFF_FFFF)).expect("31 bits");
            if !self.sessions.contains_key(&id) {
                break id;
            }
        };
        self.by_use.insert((session.last_used, id));
        self.sessions.insert(id, session);
        Some((id, gone))
    }

    fn watching(&self, id: i32) -> Vec<Reader> {
        let slots = self.sessions.get(&id).map(|session| session.set.all()).unwrap_or_default();
        slots.into_iter().map(|slot| Reader::Session(id, slot)).collect()
    }

    fn remove(&mut self, id: i32) -> Option<ClientSession> {
        let session = self.sessions.remove(&id)?;
        self.by_use.remove(&(session.last_used, id));
        Some(session)
    }

    fn used(&mut self, id: i32, now: Instant) {
        if let Some(session) = self.sessions.get_mut(&id) {
            self.by_use.remove(&(session.last_used, id));
            session.last_used = now;
            self.by_use.insert((now, id));
        }
    }
}

impl Replicas {
    /// Finds out which partitions a fetch is about: a new session, an old one, or none (`FetchManager.newContext`).
    ///
    /// # Errors
    /// `FETCH_SESSION_ID_NOT_FOUND`, `INVALID_FETCH_SESSION_EPOCH` or `FETCH_SESSION_TOPIC_ID_ERROR`.
    pub(in crate::engine) fn fetch_source(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        version: i16,
        request: &FetchRequest,
    ) -> Result<Source, ErrorCode> {
        let is_full = request.session_epoch <= 0;
        if !is_full {
            return self.continue_session(cx, env, version, request);
        }
        if request.session_id != 0 {
            self.drop_session(request.session_id);
        }
        if request.session_epoch < 0 || request.topics.iter().all(|topic| topic.partitions.is_empty()) {
            return Ok(Source::Request(FetchSet::of_request(request)));
        }
        let mut session = ClientSession {
            next_epoch: 1,
            uses_ids: version >= 13,
            last_used: cx.now,
            by_key: BTreeMap::new(),
            parked: None,
            set: FetchSet::default(),
        };
        session.update(request);
        match self.clients.add(cx.rng, cx.now, env.config.fetch_session_slots, session) {
            Some((id, gone)) => {
                self.unwatch_all(&gone);
                Ok(Source::Session { id, is_full: true })
            }
            None => Ok(Source::Request(FetchSet::of_request(request))),
        }
    }

    fn continue_session(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        version: i16,
        request: &FetchRequest,
    ) -> Result<Source, ErrorCode> {
        let id = request.session_id;
        let session = self.clients.session_mut(id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.next_epoch != request.session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_ids != (version >= 13) {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        if let Some(earlier) = session.parked.take() {
            self.finish_client_fetch(cx, env, earlier);
        }
        let session = self.clients.session_mut(id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        session.next_epoch = session.next_epoch.checked_add(1).unwrap_or(1);
        for (slot, gone) in session.update(request) {
            if let Some(replica) = gone.watched.and_then(|watched| self.partitions.get_mut(&watched)) {
                replica.readers.remove(&Reader::Session(id, slot));
            }
        }
        self.clients.used(id, cx.now);
        if self.clients.session_mut(id).is_some_and(|session| session.set.is_empty()) {
            self.drop_session(id);
            return Ok(Source::Request(FetchSet::default()));
        }
        Ok(Source::Session { id, is_full: false })
    }

    fn drop_session(&mut self, id: i32) {
        let watching = self.clients.watching(id);
        self.unwatch_all_of(&watching, id);
        self.clients.remove(id);
    }

    fn unwatch_all_of(&mut self, readers: &[Reader], id: i32) {
        let Some(session) = self.clients.sessions.get(&id) else { return };
        for reader in readers {
            let Reader::Session(_, slot) = reader else { continue };
            let watched = session.set.slot(*slot).and_then(|slot| slot.watched);
            if let Some(replica) = watched.and_then(|watched| self.partitions.get_mut(&watched)) {
                replica.readers.remove(reader);
            }
        }
    }

    /// Readers of a session that is gone already: found by looking through the replicas, because it happens once in two
    /// minutes at most.
    fn unwatch_all(&mut self, readers: &[Reader]) {
        if readers.is_empty() {
            return;
        }
        for replica in self.partitions.values_mut() {
            replica.readers.retain(|reader| !readers.contains(reader));
        }
    }

    /// A partition has changed: whoever reads it has something to look at.
    pub(in crate::engine) fn touch_readers(&mut self, id: PartitionId) {
        let Some(replica) = self.partitions.get(&id) else { return };
        for reader in &replica.readers {
            match *reader {
                Reader::Parked(parked) => {
                    self.clients.touched.insert(parked);
                }
                Reader::Session(session, slot) => {
                    let Some(session) = self.clients.sessions.get_mut(&session) else { continue };
                    session.set.dirty.insert(slot);
                    self.clients.touched.extend(session.parked);
                }
            }
        }
    }

    /// Makes a fetch wait until it is touched or its time is over.
    pub(in crate::engine) fn park_fetch(&mut self, fetch: ParkedFetch) {
        self.clients.last_parked += 1;
        let parked = self.clients.last_parked;
        self.timers.set(fetch.deadline, Timer::ClientFetch(parked));
        self.clients.by_connection.insert((fetch.connection, parked));
        match &fetch.source {
            Source::Session { id, .. } => {
                let session = self.clients.session_mut(*id).expect("the session was just looked at");
                session.parked = Some(parked);
            }
            Source::Request(set) => {
                for slot in set.all() {
                    let watched = set.slot(slot).and_then(|slot| slot.watched);
                    if let Some(replica) = watched.and_then(|watched| self.partitions.get_mut(&watched)) {
                        replica.readers.insert(Reader::Parked(parked));
                    }
                }
            }
        }
        self.clients.parked.insert(parked, fetch);
    }

    fn take_parked_fetch(&mut self, parked: u64) -> Option<ParkedFetch> {
        let fetch = self.clients.parked.remove(&parked)?;
        self.timers.cancel(fetch.deadline, Timer::ClientFetch(parked));
        self.clients.by_connection.remove(&(fetch.connection, parked));
        match &fetch.source {
            Source::Session { id, .. } => {
                if let Some(session) = self.clients.session_mut(*id) {
                    session.parked = None;
                }
            }
            Source::Request(set) => {
                for slot in set.all() {
                    let watched = set.slot(slot).and_then(|slot| slot.watched);
                    if let Some(replica) = watched.and_then(|watched| self.partitions.get_mut(&watched)) {
                        replica.readers.remove(&Reader::Parked(parked));
                    }
                }
            }
        }
        Some(fetch)
    }

    /// Fetches that were touched are answered if that satisfies them.
    pub(super) fn serve_touched_clients(&mut self, cx: &mut Ctx, env: &ReplicaEnv) {
        while let Some(parked) = self.clients.touched.pop_first() {
            if let Some(fetch) = self.take_parked_fetch(parked) {
                self.attempt_fetch(cx, env, fetch, false);
            }
        }
    }

    /// A fetch has waited long enough: it is answered with what there is.
    pub(super) fn expire_client_fetch(&mut self, cx: &mut Ctx, env: &ReplicaEnv, parked: u64) {
        self.finish_client_fetch(cx, env, parked);
    }

    fn finish_client_fetch(&mut self, cx: &mut Ctx, env: &ReplicaEnv, parked: u64) {
        if let Some(fetch) = self.take_parked_fetch(parked) {
            self.attempt_fetch(cx, env, fetch, true);
        }
    }

    /// A client is gone.
    pub(super) fn forget_fetches_of(&mut self, connection: ConnectionId) {
        let range = (connection, 0)..=(connection, u64::MAX);
        let parked: Vec<u64> = self.clients.by_connection.range(range).map(|(_, parked)| *parked).collect();
        for parked in parked {
            self.take_parked_fetch(parked);
        }
    }
}

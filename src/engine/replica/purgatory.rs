//! Requests that wait: Produce for replication or for the disk, DeleteRecords for its followers (Kafka's
//! `DelayedProduce` and `DelayedDeleteRecords`), markers of transactions for replication. The partitions they wait for hold the waits in order of offset; here
//! is the other end of each.
//!
//! Invariant: a request is answered once: when its last partition is done, when its time is over, or never if its
//! client is gone. It deliberately does not look whether anything has become true: whoever makes it true calls.

use super::leader::{Leader, Wait};
use super::timers::Timer;
use super::{ReplicaEnv, Replicas, leader_hint};
use crate::engine::controller::image::MetadataImage;
use crate::engine::io::{Ctx, Effect, RequestToken};
use crate::engine::time::Instant;
use crate::engine::txn::marking::MarkerPlace;
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{ConnectionId, LeaderHint, PartitionId};
use kafka_protocol::messages::produce_response::{LeaderIdAndEpoch, NodeEndpoint};
use kafka_protocol::messages::{BrokerId as WireBroker, DeleteRecordsResponse, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};

/// What a parked request will be answered with, filled in as its partitions are done.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) enum Draft {
    /// Produce.
    Produce(ProduceResponse),
    /// DeleteRecords.
    DeleteRecords(DeleteRecordsResponse),
    /// A marker of a transaction, which no client waits for.
    Marker {
        /// Which.
        place: MarkerPlace,
        /// What became of it.
        error: ErrorCode,
    },
}

/// What a partition of a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum WaitFor {
    /// The high watermark.
    Replicated,
    /// The leader's own disk.
    Persisted,
    /// The log starts of the in-sync replicas.
    Deleted,
}

/// One partition of a parked request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Place {
    /// Where it stands in the draft: topic and partition.
    pub at: (usize, usize),
    /// Which partition it is.
    pub partition: PartitionId,
    /// The offset it waits for.
    pub offset: i64,
    /// Of what.
    pub wait_for: WaitFor,
    /// It is done.
    pub is_done: bool,
}

/// A request that waits.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Parked {
    /// The client's request; `None` for a marker.
    asker: Option<(RequestToken, ConnectionId)>,
    deadline: Option<Instant>,
    draft: Draft,
    places: Vec<Place>,
    waiting: usize,
}

/// All requests that wait.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Purgatory {
    parked: BTreeMap<u64, Parked>,
    by_connection: BTreeSet<(ConnectionId, u64)>,
    last: u64,
}

impl Purgatory {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.parked.len()
    }

    /// Those of a connection.
    pub fn of_connection(&self, connection: ConnectionId) -> Vec<u64> {
        self.by_connection.range((connection, 0)..=(connection, u64::MAX)).map(|(_, parked)| *parked).collect()
    }

    /// Notes how far records are gone.
    pub fn set_low_watermark(&mut self, wait: Wait, low_watermark: i64) {
        if let Some(parked) = self.parked.get_mut(&wait.parked)
            && let Draft::DeleteRecords(response) = &mut parked.draft
        {
            let (topic, partition) = parked.places[wait.place].at;
            response.topics[topic].partitions[partition].low_watermark = low_watermark;
        }
    }

    fn take(&mut self, parked: u64) -> Option<Parked> {
        let taken = self.parked.remove(&parked)?;
        if let Some((_, connection)) = taken.asker {
            self.by_connection.remove(&(connection, parked));
        }
        Some(taken)
    }
}

impl Leader {
    fn waits(&mut self, wait_for: WaitFor) -> &mut BTreeSet<Wait> {
        match wait_for {
            WaitFor::Replicated => &mut self.waits_replicated,
            WaitFor::Persisted => &mut self.waits_persisted,
            WaitFor::Deleted => &mut self.waits_deleted,
        }
    }
}

impl Replicas {
    /// Parks a request until each of its places is done. The caller has nothing to wait for if there are none: it is
    /// answered at once.
    pub(in crate::engine) fn park(
        &mut self,
        cx: &mut Ctx,
        token: RequestToken,
        connection: ConnectionId,
        deadline: Option<Instant>,
        draft: Draft,
        places: Vec<Place>,
    ) -> Option<u64> {
        self.park_for(cx, Some((token, connection)), deadline, draft, places)
    }

    /// The same, for a client or for nobody.
    pub(in crate::engine) fn park_for(
        &mut self,
        cx: &mut Ctx,
        asker: Option<(RequestToken, ConnectionId)>,
        deadline: Option<Instant>,
        draft: Draft,
        places: Vec<Place>,
    ) -> Option<u64> {
        if places.is_empty() {
            self.answer_draft(cx, asker, draft);
            return None;
        }
        self.purgatory.last += 1;
        let parked = self.purgatory.last;
        for (index, place) in places.iter().enumerate() {
            let replica = self.partitions.get_mut(&place.partition).expect("a request waits for replicas that exist");
            let leader = replica.as_leader_mut().expect("a request waits for leaders");
            leader.waits(place.wait_for).insert(Wait { offset: place.offset, parked, place: index });
        }
        if let Some(at) = deadline {
            self.timers.set(at, Timer::Parked(parked));
        }
        let waiting = places.len();
        if let Some((_, connection)) = asker {
            self.purgatory.by_connection.insert((connection, parked));
        }
        self.purgatory.parked.insert(parked, Parked { asker, deadline, draft, places, waiting });
        Some(parked)
    }

    /// One place of a parked request is done; its wait has been taken out of the leader's.
    pub(in crate::engine) fn finish_wait(
        &mut self,
        cx: &mut Ctx,
        env: &ReplicaEnv,
        id: PartitionId,
        wait: Wait,
        error: ErrorCode,
    ) {
        let Some(parked) = self.purgatory.parked.get_mut(&wait.parked) else { return };
        let place = &mut parked.places[wait.place];
        assert!(place.partition == id && !place.is_done, "a place is finished once, by its own partition");
        place.is_done = true;
        let at = place.at;
        set_error(&mut parked.draft, at, error, env.image, id);
        parked.waiting -= 1;
        if parked.waiting == 0 {
            let done = self.purgatory.take(wait.parked).expect("just seen");
            self.answer_parked(cx, wait.parked, done);
        }
    }

    /// A parked request's time is over: what is not done has timed out.
    pub(super) fn expire_parked(&mut self, cx: &mut Ctx, env: &ReplicaEnv, parked: u64) {
        let Some(mut expired) = self.purgatory.take(parked) else { return };
        self.drop_waits(parked, &expired);
        for place in expired.places.iter().filter(|place| !place.is_done) {
            set_error(&mut expired.draft, place.at, ErrorCode::RequestTimedOut, env.image, place.partition);
        }
        self.answer_parked(cx, parked, expired);
    }

    /// A parked request's client is gone.
    pub(super) fn forget_parked(&mut self, parked: u64) {
        let Some(forgotten) = self.purgatory.take(parked) else { return };
        self.drop_waits(parked, &forgotten);
        if let Some(at) = forgotten.deadline {
            self.timers.cancel(at, Timer::Parked(parked));
        }
    }

    /// This broker leads a partition no more: nothing that waits for it can become true here.
    pub(super) fn fail_waits(&mut self, cx: &mut Ctx, env: &ReplicaEnv, id: PartitionId, mut old: Leader) {
        for wait_for in [WaitFor::Replicated, WaitFor::Persisted, WaitFor::Deleted] {
            for wait in std::mem::take(old.waits(wait_for)) {
                self.finish_wait(cx, env, id, wait, ErrorCode::NotLeaderOrFollower);
            }
        }
    }

    fn drop_waits(&mut self, parked: u64, request: &Parked) {
        for (index, place) in request.places.iter().enumerate().filter(|(_, place)| !place.is_done) {
            let leader = self.partitions.get_mut(&place.partition).and_then(|replica| replica.as_leader_mut());
            if let Some(leader) = leader {
                leader.waits(place.wait_for).remove(&Wait { offset: place.offset, parked, place: index });
            }
        }
    }

    fn answer_parked(&mut self, cx: &mut Ctx, parked: u64, done: Parked) {
        if let Some(at) = done.deadline {
            self.timers.cancel(at, Timer::Parked(parked));
        }
        self.answer_draft(cx, done.asker, done.draft);
    }

    fn answer_draft(&mut self, cx: &mut Ctx, asker: Option<(RequestToken, ConnectionId)>, draft: Draft) {
        let response = match draft {
            Draft::Produce(response) => Response::Produce(response),
            Draft::DeleteRecords(response) => Response::DeleteRecords(response),
            Draft::Marker { place, error } => return self.marked.push((place, error)),
        };
        let (token, _) = asker.expect("a client waits for a response");
        cx.push(Effect::Respond { token, response });
    }
}

/// Writes an error (or none) into a draft, with who leads if the client will have to ask.
pub(in crate::engine) fn set_error(
    draft: &mut Draft,
    at: (usize, usize),
    error: ErrorCode,
    image: &MetadataImage,
    id: PartitionId,
) {
    match draft {
        Draft::Produce(response) => {
            let partition = &mut response.responses[at.0].partition_responses[at.1];
            partition.error_code = error.code();
            if matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch) {
                partition.base_offset = -1;
                partition.log_append_time_ms = -1;
                partition.log_start_offset = -1;
                if let Some(hint) = leader_hint(image, id) {
                    partition.current_leader = hint_on_wire(hint);
                    name_endpoint(response, image, hint);
                }
            }
        }
        Draft::Marker { error: result, .. } => *result = error,
        Draft::DeleteRecords(response) => {
            response.topics[at.0].partitions[at.1].error_code = error.code();
            if !error.is_none() {
                response.topics[at.0].partitions[at.1].low_watermark = -1;
            }
        }
    }
}

fn hint_on_wire(hint: LeaderHint) -> LeaderIdAndEpoch {
    LeaderIdAndEpoch::default()
        .with_leader_id(WireBroker(hint.broker.map_or(-1, |broker| broker.0)))
        .with_leader_epoch(hint.epoch)
}

/// Adds a leader's address to a response, once (KIP-951).
fn name_endpoint(response: &mut ProduceResponse, image: &MetadataImage, hint: LeaderHint) {
    let Some(leader) = hint.broker else { return };
    let Some(broker) = image.brokers.get(&leader) else { return };
    if response.node_endpoints.iter().any(|endpoint| endpoint.node_id.0 == leader.0) {
        return;
    }
    response.node_endpoints.push(
        NodeEndpoint::default()
            .with_node_id(WireBroker(leader.0))
            .with_host(StrBytes::from_string(broker.host.clone()))
            .with_port(i32::from(broker.port))
            .with_rack(broker.rack.clone().map(StrBytes::from_string)),
    );
}

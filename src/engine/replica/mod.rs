//! The replicas on a broker: leaders and followers, the high watermark, ISR changes, and the requests that wait for
//! them (Kafka's `ReplicaManager`).
//!
//! Invariants:
//! - Nothing is done with a log before the metadata that was applied holds this life's own registration: older metadata
//!   may name leaders, ISRs and replicas that are long gone.
//! - The high watermark, a follower's fetch position and every answer that promises something use persisted offsets.
//! - A step costs what it changes: work is found through sets of what was touched, never by looking at all partitions.
//!   The exceptions (a broker's life changed, the metadata was replaced, the retention round) are rare or paced.
//!
//! It deliberately does not decide who leads or who is in sync (the controller does), and it keeps no records (logs
//! do).

pub(in crate::engine) mod checkpoint;
mod cleaner;
pub(in crate::engine) mod coordinated;
pub(in crate::engine) mod follower;
pub(in crate::engine) mod isr;
pub(in crate::engine) mod leader;
pub(in crate::engine) mod markers;
mod metadata;
pub(in crate::engine) mod partition;
pub(in crate::engine) mod peer_fetch;
pub(in crate::engine) mod purgatory;
pub(in crate::engine) mod refused;
pub(in crate::engine) mod session;
mod snapshot;
mod timers;
pub(in crate::engine) mod verified;
mod watermark;

#[cfg(test)]
mod tests;

use crate::engine::config::{ClusterConfig, TopicConfig};
use crate::engine::controller::image::MetadataImage;
use crate::engine::io::{Ctx, LogRead, ReadError, RequestToken, Wake};
use crate::engine::log::PartitionLog;
use crate::engine::observe::EventKind;
use crate::engine::rpc::{Purpose, Rpc, RpcResult};
use crate::engine::time::Instant;
use crate::engine::txn::marking::MarkerPlace;
use crate::protocol::codec::{Request, RequestHeader};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, ConnectionId, LeaderHint, LogId, PartitionId, TopicId};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use leader::IsrRule;
use partition::Replica;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use timers::{Timer, Timers};

/// How often producers are looked through for those to forget (`producer.id.expiration.check.interval.ms`).
const PRODUCER_CHECK_INTERVAL_MS: u64 = 600_000;

/// What the replicas may know of the broker they are on.
pub struct ReplicaEnv<'a> {
    /// What all brokers have in common.
    pub config: &'a ClusterConfig,
    /// This broker.
    pub broker: BrokerId,
    /// Its broker epoch, once it is registered.
    pub broker_epoch: Option<i64>,
    /// The metadata applied.
    pub image: &'a MetadataImage,
    /// The active controller, which may be this broker itself.
    pub controller: Option<BrokerId>,
    /// Whether it is fenced.
    pub is_fenced: bool,
}

/// All replicas on a broker. See the module.
#[derive(Debug, Clone, Default)]
pub struct Replicas {
    partitions: BTreeMap<PartitionId, Replica>,
    last_log: u64,
    /// The metadata applied holds this life's registration.
    is_current: bool,
    controller: Option<BrokerId>,
    /// Steps that wrote to logs and are not known to be safe yet, in order.
    unsafe_writes: VecDeque<(u64, PartitionId)>,
    timers: Timers,
    cleaner: cleaner::Cleaner,
    fetchers: BTreeMap<BrokerId, follower::Fetcher>,
    touched_fetchers: BTreeSet<BrokerId>,
    peers: BTreeMap<BrokerId, peer_fetch::PeerSession>,
    touched_peers: BTreeSet<BrokerId>,
    clients: session::ClientFetches,
    purgatory: purgatory::Purgatory,
    pub(in crate::engine) refused: refused::Refused,
    isr_changes: isr::IsrChanges,
    checkpoint: checkpoint::Checkpoint,
    /// Partitions of internal topics of which their coordinator does not know yet what has changed.
    coordinator_news: BTreeSet<PartitionId>,
    /// What became of transactions' markers.
    marked: Vec<(MarkerPlace, ErrorCode)>,
    leaders: usize,
    bytes_in: u64,
    bytes_out: u64,
}

/// Who may answer a request about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Access {
    /// Only its leader.
    Leader,
    /// Any replica.
    AnyReplica,
}

impl Replicas {
    /// The replicas whose logs a store has. They stay idle until the metadata says what they are.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn recover(read: &dyn LogRead) -> Result<Replicas, ReadError> {
        let mut replicas = Replicas::default();
        let high_watermarks = checkpoint::recover(read);
        let config = Arc::new(TopicConfig::default());
        for info in read.logs() {
            replicas.last_log = replicas.last_log.max(info.log.0);
            if info.log == LogId::METADATA {
                continue;
            }
            let high_watermark = high_watermarks.get(&info.log).copied().unwrap_or(info.start_offset);
            let (id, topic) = (info.partition, Arc::from(info.topic.as_str()));
            let log = PartitionLog::recover(&info, read, &config)?;
            replicas.partitions.insert(id, Replica::new(log, topic, Arc::clone(&config), high_watermark));
        }
        Ok(replicas)
    }

    /// A client's request for what replicas hold.
    ///
    /// # Panics
    /// For an API that is not about replicas.
    pub fn on_request(
        &mut self,
        cx: &mut Ctx,
        rpc: &mut Rpc,
        env: &ReplicaEnv,
        token: RequestToken,
        connection: ConnectionId,
        header: &RequestHeader,
        request: Request,
    ) {
        use crate::engine::api;
        self.begin(cx, env);
        match request {
            Request::Produce(request) => {
                let nobody_asked = verified::Verified::default();
                api::produce::handle(self, cx, env, (token, connection), header, request, &nobody_asked);
            }
            Request::Fetch(request) => api::fetch::handle(self, cx, env, token, connection, header, &request),
            Request::ListOffsets(request) => api::list_offsets::handle(self, cx, env, token, header, &request),
            Request::DeleteRecords(request) => {
                api::delete_records::handle(self, cx, env, token, connection, &request);
            }
            Request::OffsetForLeaderEpoch(request) => {
                api::offset_for_leader_epoch::handle(self, cx, env, token, &request);
            }
            Request::DescribeProducers(request) => api::describe_producers::handle(self, cx, env, token, &request),
            Request::DescribeLogDirs(request) => api::describe_log_dirs::handle(self, cx, env, token, &request),
            _ => unreachable!("only requests about replicas come here"),
        }
        self.settle(cx, rpc, env);
    }

    /// A client's Produce, with what coordinators said of the transactions in it.
    pub(in crate::engine) fn on_produce(
        &mut self,
        cx: &mut Ctx,
        rpc: &mut Rpc,
        env: &ReplicaEnv,
        (token, connection): (RequestToken, ConnectionId),
        header: &RequestHeader,
        request: ProduceRequest,
        verified: &verified::Verified,
    ) {
        self.begin(cx, env);
        crate::engine::api::produce::handle(self, cx, env, (token, connection), header, request, verified);
        self.settle(cx, rpc, env);
    }

    /// The answer to a request of the replicas, or that there is none.
    pub fn on_result(&mut self, cx: &mut Ctx, rpc: &mut Rpc, env: &ReplicaEnv, result: RpcResult) {
        self.begin(cx, env);
        match result.request.purpose {
            Purpose::ReplicaFetch => self.on_fetch_result(cx, env, result),
            Purpose::AlterPartition => self.on_alter_partition_result(cx, env, result),
            _ => unreachable!("only what the replicas asked comes back to them"),
        }
        self.settle(cx, rpc, env);
    }

    /// Everything written up to a step is safe now.
    pub fn on_persisted(&mut self, cx: &mut Ctx, rpc: &mut Rpc, env: &ReplicaEnv, seq: u64) {
        self.begin(cx, env);
        while let Some(&(noted, id)) = self.unsafe_writes.front() {
            if noted > seq {
                break;
            }
            self.unsafe_writes.pop_front();
            let Some(replica) = self.partitions.get_mut(&id) else { continue };
            replica.log.on_persisted(noted);
            if replica.is_leader() {
                self.finish_persisted(cx, env, id);
                self.raise_high_watermark(cx, env, id);
            } else {
                self.on_follower_persisted(id);
            }
        }
        self.relieve_store(cx, env);
        self.settle(cx, rpc, env);
    }

    /// The store takes writes again.
    pub fn on_room(&mut self, cx: &mut Ctx, rpc: &mut Rpc, env: &ReplicaEnv) {
        self.begin(cx, env);
        self.touched_fetchers.extend(self.fetchers.keys().copied());
        self.settle(cx, rpc, env);
    }

    /// Time has passed.
    pub fn on_wake(&mut self, cx: &mut Ctx, rpc: &mut Rpc, env: &ReplicaEnv) {
        self.begin(cx, env);
        while let Some(timer) = self.timers.due(cx.now) {
            self.on_timer(cx, env, timer);
        }
        self.settle(cx, rpc, env);
    }

    /// When the replicas want to be woken.
    pub fn next_wake(&self) -> Option<Wake> {
        self.timers.next_wake()
    }

    /// Another broker is the controller now, or none: what was asked of the old one is asked again. Noticed by itself
    /// at every input; calling it saves waiting for the next one.
    pub fn on_controller_changed(&mut self, cx: &mut Ctx, rpc: &mut Rpc, env: &ReplicaEnv) {
        self.begin(cx, env);
        self.settle(cx, rpc, env);
    }

    /// The broker is about to stop in an orderly way: what is written down lazily is written down now.
    pub fn on_shutdown(&mut self, cx: &mut Ctx) {
        self.write_checkpoint(cx);
    }

    /// A client is gone: nothing of it waits any longer. Its fetch sessions stay, as in Kafka.
    pub fn on_connection_closed(&mut self, connection: ConnectionId) {
        for parked in self.purgatory.of_connection(connection) {
            self.forget_parked(parked);
        }
        self.forget_fetches_of(connection);
    }

    /// How many partitions this broker leads.
    pub fn leaders_count(&self) -> usize {
        self.leaders
    }

    /// Bytes of records taken in from clients since the start.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Bytes of records given to clients since the start.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// How many requests of clients wait for something.
    pub fn parked(&self) -> usize {
        self.purgatory.len() + self.clients.parked_count()
    }

    fn on_timer(&mut self, cx: &mut Ctx, env: &ReplicaEnv, timer: Timer) {
        match timer {
            Timer::Parked(parked) => self.expire_parked(cx, env, parked),
            Timer::ClientFetch(parked) => self.expire_client_fetch(cx, env, parked),
            Timer::PeerFetch(peer) => self.expire_peer_fetch(cx, peer),
            Timer::FetchPartition(leader, id) => self.fetch_again(leader, id),
            Timer::Fetcher(leader) => {
                self.touched_fetchers.insert(leader);
            }
            Timer::Lag(id) => self.on_lag_timer(cx, env, id),
            Timer::Isr(id) => self.look_at_isr(cx, env, id),
            Timer::AlterPartition => self.isr_changes.may_send(),
            Timer::Checkpoint => self.write_checkpoint(cx),
            Timer::Retention => self.retention_round(cx, env),
            Timer::Producers => self.expire_producers(cx, env),
            Timer::Cleaner => self.clean_logs(cx, env),
        }
    }

    /// Before every input: whether the metadata has become current, and whether the controller is another one.
    fn begin(&mut self, cx: &mut Ctx, env: &ReplicaEnv) {
        if self.controller != env.controller {
            self.controller = env.controller;
            self.isr_changes.controller_changed();
        }
        if !self.is_current && env.broker_epoch.is_some() {
            let registered = env.image.brokers.get(&env.broker).map(|registered| registered.broker_epoch);
            if registered == env.broker_epoch {
                self.is_current = true;
                self.timers.set(cx.now.plus_millis(env.config.retention_check_interval_ms), Timer::Retention);
                self.timers.set(cx.now.plus_millis(env.config.cleaner_backoff_ms), Timer::Cleaner);
                self.timers.set(cx.now.plus_millis(PRODUCER_CHECK_INTERVAL_MS), Timer::Producers);
                self.apply_whole_image(cx, env);
            }
        }
    }

    /// After every input: whoever was touched is served, in an order that lets each see what came before.
    fn settle(&mut self, cx: &mut Ctx, rpc: &mut Rpc, env: &ReplicaEnv) {
        self.serve_touched_clients(cx, env);
        self.serve_touched_peers(cx);
        self.send_fetches(cx, rpc, env);
        self.send_isr_changes(cx, rpc, env);
        self.settle_checkpoint(cx);
    }

    /// A step wrote to a replica's log: it is told when that is safe.
    pub(in crate::engine) fn note_write(&mut self, cx: &Ctx, id: PartitionId) {
        let seq = cx.persist_seq();
        if let Some(replica) = self.partitions.get_mut(&id)
            && replica.noted_seq != seq
        {
            replica.noted_seq = seq;
            self.unsafe_writes.push_back((seq, id));
        }
    }

    /// The store refused a read.
    pub(in crate::engine) fn storage_failed(cx: &mut Ctx, error: &ReadError) -> ErrorCode {
        cx.emit(EventKind::StorageFailed { reason: error.to_string() });
        ErrorCode::KafkaStorageError
    }

    /// The replica that may answer a request, by Kafka's order of checks (`Partition.checkCurrentLeaderEpoch`, then
    /// leadership).
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`, `NOT_LEADER_OR_FOLLOWER`, `FENCED_LEADER_EPOCH` or `UNKNOWN_LEADER_EPOCH`.
    pub(in crate::engine) fn find(
        &self,
        env: &ReplicaEnv,
        id: PartitionId,
        current_leader_epoch: i32,
        access: Access,
    ) -> Result<&Replica, ErrorCode> {
        if env.image.partition(id).is_none() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let replica = self.partitions.get(&id).filter(|_| self.is_current).ok_or(ErrorCode::NotLeaderOrFollower)?;
        replica.check_epoch(current_leader_epoch)?;
        if replica.leader_epoch < 0 || (access == Access::Leader && !replica.is_leader()) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        Ok(replica)
    }

    /// Forgets all producers, for the mutant that does not rebuild them.
    pub(in crate::engine) fn forget_producers(&mut self) {
        self.partitions.values_mut().for_each(|replica| replica.log.forget_producers());
    }

    /// A partition's log, to look at.
    pub fn log(&self, id: PartitionId) -> Option<&PartitionLog> {
        self.partitions.get(&id).map(|replica| &replica.log)
    }

    /// A replica, to change it.
    pub(in crate::engine) fn replica_mut(&mut self, id: PartitionId) -> Option<&mut Replica> {
        self.partitions.get_mut(&id)
    }

    /// All replicas.
    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = (PartitionId, &Replica)> {
        self.partitions.iter().map(|(id, replica)| (*id, replica))
    }

    /// A client's fetch session.
    pub(in crate::engine) fn client_session(&mut self, id: i32) -> Option<&mut session::ClientSession> {
        self.clients.session_mut(id)
    }

    /// Bytes of records were taken in.
    pub(in crate::engine) fn count_bytes_in(&mut self, bytes: usize) {
        self.bytes_in += u64::try_from(bytes).expect("a size fits 64 bits");
    }

    /// Bytes of records were given out.
    pub(in crate::engine) fn count_bytes_out(&mut self, bytes: usize) {
        self.bytes_out += u64::try_from(bytes).expect("a size fits 64 bits");
    }

    /// The rule of who is in sync, for one replica.
    fn isr_rule<'a>(env: &ReplicaEnv<'a>, config: &'a TopicConfig, now: Instant) -> IsrRule<'a> {
        IsrRule {
            image: env.image,
            config,
            now,
            lag_time_max_ms: env.config.replica_lag_time_max_ms,
            mutant: env.config.mutant,
        }
    }
}

/// The topic that a request means, by id or else by name.
///
/// # Errors
/// `UNKNOWN_TOPIC_ID` or `UNKNOWN_TOPIC_OR_PARTITION`.
pub(in crate::engine) fn resolve_topic(
    image: &MetadataImage,
    name: &TopicName,
    id: uuid::Uuid,
) -> Result<TopicId, ErrorCode> {
    let id = TopicId(id);
    if id.is_none() {
        return image.topic_ids.get(name.as_str()).copied().ok_or(ErrorCode::UnknownTopicOrPartition);
    }
    if image.topics.contains_key(&id) { Ok(id) } else { Err(ErrorCode::UnknownTopicId) }
}

/// Who leads a partition, for an error that would make a client ask (KIP-951); `None` if the metadata does not know the
/// partition.
pub(in crate::engine) fn leader_hint(image: &MetadataImage, id: PartitionId) -> Option<LeaderHint> {
    image.partition(id).map(|state| LeaderHint { broker: state.leader, epoch: state.leader_epoch })
}

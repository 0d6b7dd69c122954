//! A cluster that writes to all its partitions, as its host tells an observer of it: snapshots made by hand, at any speed.

use kafkarium::cluster::observation::{Moment, Observer, Setup};
use kafkarium::cluster::view::{BrokerState, Capabilities, ClockMode};
use kafkarium::engine::config::{ClusterConfig, Timing};
use kafkarium::engine::controller::image::{BrokerImage, MetadataImage, TopicImage};
use kafkarium::engine::controller::record::PartitionState;
use kafkarium::engine::observe::{BrokerSnapshot, QuorumRole, QuorumSnapshot, ReplicaRole, ReplicaSnapshot};
use kafkarium::engine::time::Instant;
use kafkarium::protocol::ids::{BrokerId, DirectoryId, LogId, PartitionId, TopicId};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// Partitions of one topic.
const OF_A_TOPIC: usize = 20;

/// See the module.
pub struct Feed {
    pub observer: Observer,
    pub now_ms: u64,
    brokers: Vec<BrokerId>,
    image: Arc<MetadataImage>,
    /// So many partitions are written to.
    busy: usize,
}

impl Feed {
    /// A cluster of so many brokers and partitions with three replicas each.
    pub fn new(brokers: i32, partitions: usize, busy: usize) -> Feed {
        let brokers: Vec<BrokerId> = (1..=brokers).map(BrokerId).collect();
        let setup = Setup {
            name: "local".into(),
            bootstrap_servers: "localhost:9092".into(),
            can: Capabilities { recall: true, ..Capabilities::default() },
            quit_loses: None,
            utc_offset_s: 0,
            cluster: ClusterConfig::preset(Timing::Lab, "test", brokers.len()),
            brokers: brokers.iter().map(|id| (*id, 9_092)).collect(),
        };
        let mut image = MetadataImage { end_offset: 10, epoch: 1, ..MetadataImage::default() };
        for id in &brokers {
            image.brokers.insert(*id, registration(*id));
            image.voters.insert(*id, DirectoryId(Uuid::nil()));
        }
        for first in (0..partitions).step_by(OF_A_TOPIC) {
            let (name, id) = (format!("topic-{first}"), TopicId(Uuid::from_u128(1 + first as u128)));
            let count = OF_A_TOPIC.min(partitions - first);
            let replicas = |number: usize| (0..3).map(|place| brokers[(number + place) % brokers.len()]).collect();
            let state = |number: usize| PartitionState::new(replicas(number), replicas(number));
            let partitions = (0..count).map(|number| (i32::try_from(number).expect("few"), state(number))).collect();
            image.topic_ids.insert(name.clone(), id);
            image.topics.insert(id, Arc::new(TopicImage { name, id, partitions }));
        }
        let mut feed = Feed { observer: Observer::new(setup), now_ms: 1_000, brokers, image: Arc::new(image), busy };
        feed.tell_time();
        for id in feed.brokers.clone() {
            feed.observer.broker_is(id, BrokerState::Running, None);
        }
        feed.go_on(0);
        feed
    }

    fn tell_time(&mut self) {
        let (at_ms, wall_ms) = (self.now_ms, i64::try_from(self.now_ms).expect("a few hours"));
        self.observer.set_moment(Moment { at_ms, wall_ms, clock: ClockMode::default() });
    }

    /// Time passes, and everybody tells how it is.
    pub fn go_on(&mut self, ms: u64) {
        self.now_ms += ms;
        self.tell_time();
        for id in self.brokers.clone() {
            let scope = self.observer.next_scope(id).partitions;
            let snapshot = self.snapshot(id, scope.map(|wanted| wanted.into_iter().collect()));
            self.observer.snapshot(&snapshot);
        }
    }

    fn snapshot(&self, id: BrokerId, scope: Option<BTreeSet<PartitionId>>) -> BrokerSnapshot {
        let now = i64::try_from(self.now_ms).expect("a few hours");
        let mut replicas = Vec::new();
        for (number, (partition, _, state)) in self.image.partitions().enumerate() {
            let is_wanted = scope.as_ref().is_none_or(|wanted| wanted.contains(&partition));
            if !is_wanted || !state.replicas.contains(&id) {
                continue;
            }
            let leads = state.leader == Some(id);
            let end = if number < self.busy { now * (1 + number as i64 % 7) } else { 0 };
            replicas.push(ReplicaSnapshot {
                partition,
                log: LogId(1),
                role: if leads { ReplicaRole::Leader } else { ReplicaRole::Follower },
                leader_epoch: state.leader_epoch,
                log_start: 0,
                log_end: end,
                persisted_end: end,
                high_watermark: (end - 3).max(0),
                last_stable_offset: end,
                size_bytes: end.unsigned_abs() * 100,
                isr: state.isr.clone(),
                maximal_isr: state.isr.clone(),
                stalled_since: None,
            });
        }
        BrokerSnapshot {
            broker: id,
            at: Instant::from_millis(self.now_ms),
            broker_epoch: Some(i64::from(id.0)),
            is_fenced: false,
            is_shutting_down: false,
            quorum: self.quorum(id, now),
            image: Arc::clone(&self.image),
            bytes_in: self.now_ms * 10,
            bytes_out: self.now_ms * 20,
            replicas,
            inside: None,
            transactions: Vec::new(),
            groups: Vec::new(),
            parked_requests: 0,
            next_wake: None,
        }
    }

    fn quorum(&self, id: BrokerId, now: i64) -> QuorumSnapshot {
        QuorumSnapshot {
            role: if id.0 == 1 { QuorumRole::Leader } else { QuorumRole::Follower },
            epoch: 1,
            leader: Some(BrokerId(1)),
            voted_for: None,
            log_start: 0,
            log_end: now / 500,
            persisted_end: now / 500,
            epochs: vec![(1, 0)],
            snapshot_end: None,
            high_watermark: now / 500,
            voters: self.brokers.clone(),
            votes_granted: Vec::new(),
            votes_refused: Vec::new(),
            failed_elections: 0,
            answers: Vec::new(),
            requests: Vec::new(),
            timer: None,
            recent: Vec::new(),
            followers: Vec::new(),
        }
    }
}

fn registration(id: BrokerId) -> BrokerImage {
    BrokerImage {
        broker_epoch: i64::from(id.0),
        incarnation: Uuid::nil(),
        directory: DirectoryId(Uuid::nil()),
        host: "localhost".into(),
        port: 9_092,
        rack: None,
        fenced: false,
        in_controlled_shutdown: false,
        is_controller: true,
    }
}

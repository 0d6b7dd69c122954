//! Drawn histories of a consumer group: members of both protocols come, go, fall silent, forget answers, topics grow, the
//! coordinator dies. After every step no partition is in the hands of two members whose epochs are valid, and the log
//! says what the coordinator believes.

use super::consumers::{Consumer, Owned};
use super::{Cluster, GROUP, TOPIC, text};
use crate::engine::config::MigrationPolicy;
use crate::engine::group::consumer::image::ConsumerImage;
use crate::engine::prng::Prng;
use crate::protocol::codec::Request;
use crate::protocol::consumer_protocol::decode_assignment;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::TopicId;
use kafka_protocol::messages as m;
use std::collections::{BTreeMap, BTreeSet};

fn image(cluster: &Cluster) -> Option<ConsumerImage> {
    cluster.shards().find_map(|shard| shard.appended().group(GROUP)).map(|group| group.consumer.clone())
}

/// What the coordinator believes and what clients with valid epochs use fit together.
fn check(cluster: &Cluster, consumers: &[Consumer], eager: &Eager) {
    let Some(image) = image(cluster) else { return };
    let mut held: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
    for (id, _) in image.members() {
        let current = image.current(id);
        for (topic, numbers) in current.assigned.iter().chain(&current.pending_revocation) {
            for number in numbers {
                assert_eq!(held.insert((*topic, *number), id), None, "two members have {number}");
            }
        }
        assert!(current.epoch <= image.target_epoch() && image.target_epoch() <= image.epoch());
    }
    let mut used: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
    if !eager.id.is_empty() && image.member_epoch(&eager.id) == eager.generation {
        let topic = cluster.broker.image().topic_ids[TOPIC];
        used.extend(eager.owned.iter().map(|number| ((topic, *number), &*eager.id)));
    }
    // A member with a valid epoch is one whose next heartbeat would be taken.
    let is_valid = |consumer: &&Consumer| consumer.epoch > 0 && image.member_epoch(&consumer.id) == consumer.epoch;
    for consumer in consumers.iter().filter(is_valid) {
        for (topic, numbers) in &consumer.owned {
            for number in numbers {
                assert_eq!(used.insert((*topic, *number), &consumer.id), None, "two clients use {number}");
            }
        }
    }
}

/// A client of the classic protocol that gives everything up before it joins (an eager one).
#[derive(Debug, Clone, Default)]
struct Eager {
    id: String,
    generation: i32,
    owned: Vec<i32>,
}

impl Eager {
    fn rejoin(&mut self, cluster: &mut Cluster) {
        self.owned.clear();
        let token = cluster.join(3, &self.id, |_| {});
        let joined = cluster.joined(token);
        if joined.error_code != 0 {
            self.id.clear();
            return;
        }
        (self.id, self.generation) = (joined.member_id.to_string(), joined.generation_id);
        let token = cluster.sync(3, &self.id, self.generation, &[]);
        let (error, assignment) = cluster.synced(token);
        if error.is_none() {
            let assigned = decode_assignment(assignment).expect("an assignment");
            self.owned = assigned.into_iter().map(|(_, number)| number).collect();
        }
    }

    fn turn(&mut self, cluster: &mut Cluster) {
        if self.id.is_empty() {
            return self.rejoin(cluster);
        }
        match cluster.heartbeat(&self.id, self.generation) {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => self.rejoin(cluster),
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                self.id.clear();
                self.owned.clear();
            }
            other => panic!("{other}"),
        }
    }
}

struct History {
    rng: Prng,
    cluster: Cluster,
    consumers: Vec<Consumer>,
    eager: Eager,
    partitions: i32,
    last: u32,
}

impl History {
    fn one(&mut self) -> usize {
        usize::try_from(self.rng.below(u64::try_from(self.consumers.len()).expect("few"))).expect("few")
    }

    fn newcomer(&mut self) {
        self.last += 1;
        let mut consumer = Consumer::new(&format!("m{}", self.last));
        if self.rng.below(3) == 0 {
            consumer.instance = Some(format!("i{}", self.rng.below(2)));
        }
        if self.rng.below(3) == 0 {
            consumer.topics.clear();
            consumer.regex = Some("o.*".to_owned());
        }
        self.consumers.push(consumer);
    }

    /// A heartbeat; who is fenced or forgotten begins anew, as clients do.
    fn beat(&mut self, index: usize, hears: bool) {
        let request = self.consumers[index].request();
        let response = self.cluster.consumer_beat(request);
        if !hears {
            return;
        }
        // Some are still at work with what they are to give back, and go on saying so.
        let is_slow = self.rng.below(3) == 0;
        let consumer = &mut self.consumers[index];
        let before = consumer.owned.clone();
        match consumer.hear(&response) {
            ErrorCode::None if is_slow => {
                for (topic, numbers) in before {
                    consumer.owned.entry(topic).or_default().extend(numbers);
                }
            }
            ErrorCode::None => {}
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound => {
                consumer.epoch = 0;
                consumer.owned = Owned::new();
            }
            ErrorCode::UnreleasedInstanceId | ErrorCode::FencedInstanceId => {
                self.consumers.remove(index);
            }
            other => panic!("{other}"),
        }
    }

    fn step(mut self) -> History {
        if self.consumers.is_empty() {
            self.newcomer();
        }
        let index = self.one();
        // Without members of the other protocol it would be another group.
        let is_mixed = image(&self.cluster).is_some_and(|image| image.size() > 0);
        match self.rng.below(24) {
            0..=10 => self.beat(index, true),
            11 => self.beat(index, false),
            12 | 13 if self.consumers.len() < 5 => self.newcomer(),
            14 => {
                let mut consumer = self.consumers.remove(index);
                let is_static = consumer.instance.is_some() && self.rng.below(2) == 0;
                consumer.leave(&mut self.cluster, if is_static { -2 } else { -1 });
            }
            15 => {
                self.consumers.remove(index);
            }
            16 => self.cluster.pass(1_000 + 1_000 * self.rng.below(4)),
            17 if self.partitions < 8 => {
                self.partitions += 1;
                let grow = m::create_partitions_request::CreatePartitionsTopic::default()
                    .with_name(m::TopicName(text(TOPIC)))
                    .with_count(self.partitions)
                    .with_assignments(None);
                let grow = m::CreatePartitionsRequest::default().with_topics(vec![grow]);
                self.cluster.ask(3, Request::CreatePartitions(grow));
            }
            18 => self.cluster = self.cluster.assert_replay_equals_live(),
            20..=22 if is_mixed => self.eager.turn(&mut self.cluster),
            23 => self.eager = Eager::default(),
            _ => self.beat(index, true),
        }
        check(&self.cluster, &self.consumers, &self.eager);
        self
    }
}

#[test]
fn no_partition_has_two_members_and_replay_equals_live() {
    for seed in 0..24 {
        let rng = Prng::new(seed);
        let cluster = Cluster::with(|config| config.group_consumer_migration_policy = MigrationPolicy::Upgrade);
        let (consumers, eager) = (Vec::new(), Eager::default());
        let mut history = History { rng, cluster, consumers, eager, partitions: 2, last: 0 };
        for _ in 0..120 {
            history = history.step();
        }
        // In the end all are quiet, and everything is in somebody's hands.
        history.cluster.pass(11_000);
        history.eager = Eager::default();
        history.consumers = vec![Consumer::new("last-1"), Consumer::new("last-2")];
        for _ in 0..30 {
            for index in 0..2 {
                history.beat(index, true);
                check(&history.cluster, &history.consumers, &history.eager);
            }
        }
        let all: BTreeSet<i32> = history.consumers.iter().flat_map(Consumer::numbers).collect();
        assert_eq!(all, (0..history.partitions).collect(), "seed {seed}");
    }
}

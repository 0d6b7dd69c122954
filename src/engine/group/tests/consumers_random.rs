//! Drawn histories of a consumer group: members of both protocols come, go, fall silent, forget answers, topics grow, the
//! coordinator dies. After every step no partition is in the hands of two members whose epochs are valid, and the log
//! says what the coordinator believes.

use super::consumers::{Consumer, Owned};
use super::{Cluster, GROUP, TOPIC, text};
use crate::engine::group::consumer::image::ConsumerImage;
use crate::engine::prng::Prng;
use crate::protocol::codec::Request;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::TopicId;
use kafka_protocol::messages as m;
use std::collections::{BTreeMap, BTreeSet};

fn image(cluster: &Cluster) -> Option<ConsumerImage> {
    cluster.shards().find_map(|shard| shard.appended().group(GROUP)).map(|group| group.consumer.clone())
}

/// What the coordinator believes and what clients with valid epochs use fit together.
fn check(cluster: &Cluster, consumers: &[Consumer]) {
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

struct History {
    rng: Prng,
    cluster: Cluster,
    consumers: Vec<Consumer>,
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
        let consumer = &mut self.consumers[index];
        match consumer.hear(&response) {
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
        match self.rng.below(20) {
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
            _ => self.beat(index, true),
        }
        check(&self.cluster, &self.consumers);
        self
    }
}

#[test]
fn no_partition_has_two_members_and_replay_equals_live() {
    for seed in 0..24 {
        let rng = Prng::new(seed);
        let mut history = History { rng, cluster: Cluster::new(), consumers: Vec::new(), partitions: 2, last: 0 };
        for _ in 0..120 {
            history = history.step();
        }
        // In the end all are quiet, and everything is in somebody's hands.
        history.cluster.pass(11_000);
        history.consumers = vec![Consumer::new("last-1"), Consumer::new("last-2")];
        for _ in 0..8 {
            for index in 0..2 {
                history.beat(index, true);
                check(&history.cluster, &history.consumers);
            }
        }
        let all: BTreeSet<i32> = history.consumers.iter().flat_map(Consumer::numbers).collect();
        assert_eq!(all, (0..history.partitions).collect(), "seed {seed}");
    }
}

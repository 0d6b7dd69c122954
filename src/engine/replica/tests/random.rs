//! Many stories drawn from seeds: brokers die and come back, lose power, links are cut, metadata comes late, leaders
//! change. What was acknowledged with acks=all stays where it was told to be, and replicas agree below their high
//! watermarks.

use super::*;
use crate::engine::prng::Prng;
use crate::protocol::records;

/// A story under way.
struct Story {
    world: World,
    prng: Prng,
    /// Requests that wait, with their value.
    waiting: Vec<(i32, u64, String)>,
    /// What was acknowledged: at which offset, which value.
    acknowledged: BTreeMap<i64, String>,
    /// The last high watermark seen, by broker and its life.
    high_watermarks: BTreeMap<(i32, i64), i64>,
    written: u32,
}

const BROKERS: i32 = 3;

impl Story {
    fn new(seed: u64) -> Story {
        let mut world = World::with_topic(BROKERS, &[1, 2, 3]);
        world.config.replica_lag_time_max_ms = 500;
        Story {
            world,
            prng: Prng::new(seed),
            waiting: Vec::new(),
            acknowledged: BTreeMap::new(),
            high_watermarks: BTreeMap::new(),
            written: 0,
        }
    }

    fn any_broker(&mut self) -> i32 {
        1 + i32::try_from(self.prng.below(3)).expect("a small number")
    }

    fn is_up(&self, broker: i32) -> bool {
        self.world.nodes[&BrokerId(broker)].is_up
    }

    fn step(&mut self) {
        match self.prng.below(21) {
            0..8 => self.write(),
            8 | 9 => {
                let milliseconds = self.prng.range(1, 400);
                self.world.pass(milliseconds);
            }
            10 => self.kill(),
            11 | 12 => self.restart(),
            13 => {
                let (a, b) = (self.any_broker(), self.any_broker());
                let link = match self.prng.below(4) {
                    0 => (BrokerId(a), CONTROLLER),
                    1 => (CONTROLLER, BrokerId(b)),
                    _ => (BrokerId(a), BrokerId(b)),
                };
                self.world.cut.insert(link);
            }
            14 => self.world.cut.clear(),
            15 => {
                let broker = self.any_broker();
                self.world.deaf.insert(BrokerId(broker));
            }
            16 => {
                let broker = self.any_broker();
                self.world.hear(broker);
            }
            17 => {
                let broker = self.any_broker();
                if !self.world.slow_disks.remove(&BrokerId(broker)) {
                    self.world.slow_disks.insert(BrokerId(broker));
                }
            }
            18 => self.move_leadership(),
            19 => self.bounce(),
            _ => self.deliver_some(),
        }
        self.collect();
        self.check();
    }

    fn write(&mut self) {
        let broker = self.any_broker();
        if !self.is_up(broker) {
            return;
        }
        self.written += 1;
        let value = format!("value {}", self.written);
        let token = self.world.produce_batch(broker, -1, 2_000, &batch(&[&value]));
        self.waiting.push((broker, token, value));
        if self.prng.chance(1, 2) {
            self.world.run();
        }
    }

    /// A few messages only, so that what comes next happens in the middle of things.
    fn deliver_some(&mut self) {
        for _ in 0..self.prng.below(4) {
            if let Some((from, to, message)) = self.world.messages.pop_front() {
                self.world.deliver(from, to, message);
            }
        }
    }

    fn kill(&mut self) {
        let broker = self.any_broker();
        let up = (1..=BROKERS).filter(|broker| self.is_up(*broker)).count();
        if !self.is_up(broker) || up == 1 {
            return;
        }
        let power_lost = self.prng.chance(1, 2);
        self.collect();
        self.world.kill(broker, power_lost);
        self.waiting.retain(|(at, _, _)| *at != broker);
        self.fence(broker);
    }

    /// A broker dies and is back before anybody has noticed: the controller learns of both from its registration.
    fn bounce(&mut self) {
        let broker = self.any_broker();
        let others = (1..=BROKERS).filter(|other| *other != broker && self.is_up(*other)).count();
        if !self.is_up(broker) || others == 0 {
            return;
        }
        let power_lost = self.prng.chance(1, 2);
        self.world.kill(broker, power_lost);
        self.waiting.retain(|(at, _, _)| *at != broker);
        self.fence(broker);
        self.come_back(broker);
    }

    fn come_back(&mut self, broker: i32) {
        self.world.deaf.remove(&BrokerId(broker));
        self.world.start(broker);
        let id = BrokerId(broker);
        if self.world.state(P0).leader.is_none() && self.world.state(P0).isr.contains(&id) {
            self.world.change(P0, |state| state.leader = Some(id));
        }
    }

    /// The controller notices: the broker leaves the ISR unless it is the last member, and somebody in sync leads.
    fn fence(&mut self, broker: i32) {
        self.world.set_fenced(broker, true);
        let dead = BrokerId(broker);
        let is_up: BTreeSet<BrokerId> =
            self.world.nodes.iter().filter(|(_, node)| node.is_up).map(|(id, _)| *id).collect();
        self.world.change(P0, |state| {
            if state.isr.len() > 1 {
                state.isr.retain(|id| *id != dead);
            }
            if state.leader == Some(dead) {
                state.leader = state.isr.iter().copied().find(|id| is_up.contains(id));
            }
        });
    }

    fn restart(&mut self) {
        let broker = self.any_broker();
        if !self.is_up(broker) {
            self.come_back(broker);
        }
    }

    fn move_leadership(&mut self) {
        let candidates: Vec<BrokerId> =
            self.world.state(P0).isr.iter().copied().filter(|id| self.world.nodes[id].is_up).collect();
        if let Some(leader) = self.prng.pick(&candidates).copied() {
            self.world.change(P0, |state| state.leader = Some(leader));
        }
    }

    fn collect(&mut self) {
        for (broker, token, value) in std::mem::take(&mut self.waiting) {
            match self.world.produced(broker, token) {
                None => self.waiting.push((broker, token, value)),
                Some(answer) if answer.error_code == 0 => {
                    let old = self.acknowledged.insert(answer.base_offset, value.clone());
                    assert_eq!(old, None, "offset {} was given to {value} and to another", answer.base_offset);
                }
                Some(_) => {}
            }
        }
    }

    fn values(&self, broker: i32) -> BTreeMap<i64, (i32, String)> {
        let mut values = BTreeMap::new();
        for batch in self.world.log(broker) {
            for record in records::decode(&batch).expect("records") {
                let value = String::from_utf8(record.value.expect("a value").to_vec()).expect("text");
                values.insert(record.offset, (batch.header.leader_epoch, value));
            }
        }
        values
    }

    fn check(&mut self) {
        let up: Vec<i32> = (1..=BROKERS).filter(|broker| self.is_up(*broker)).collect();
        for broker in &up {
            let replica = self.world.replica(*broker);
            assert!(replica.high_watermark <= replica.log_end, "broker {broker}: {replica:?}");
            let life = (*broker, self.world.nodes[&BrokerId(*broker)].broker_epoch);
            let seen = self.high_watermarks.insert(life, replica.high_watermark).unwrap_or(0);
            assert!(seen <= replica.high_watermark, "broker {broker}: from {seen} back to {}", replica.high_watermark);
        }
        for (a, b) in up.iter().flat_map(|a| up.iter().map(move |b| (*a, *b))).filter(|(a, b)| a < b) {
            let common = self.world.replica(a).high_watermark.min(self.world.replica(b).high_watermark);
            let (ours, theirs) = (self.values(a), self.values(b));
            assert!(ours.range(..common).eq(theirs.range(..common)), "brokers {a} and {b} differ below {common}");
        }
        // Whoever the controller may elect has every acknowledged record.
        for id in self.world.state(P0).isr.clone() {
            if !self.is_up(id.0) {
                continue;
            }
            let values = self.values(id.0);
            for (offset, value) in &self.acknowledged {
                let found = values.get(offset).map(|(_, value)| value);
                assert_eq!(found, Some(value), "broker {id}, in sync, lacks what was acknowledged at {offset}");
            }
        }
    }

    fn heal(&mut self) {
        self.world.cut.clear();
        self.world.slow_disks.clear();
        for broker in 1..=BROKERS {
            if !self.is_up(broker) {
                self.come_back(broker);
            }
            self.world.hear(broker);
        }
        self.world.pass(10_000);
        self.collect();
        self.check();
    }
}

fn tell(seed: u64, steps: u32) -> Story {
    let mut story = Story::new(seed);
    for _ in 0..steps {
        story.step();
    }
    story.heal();
    assert_eq!(story.world.isr().len(), 3, "seed {seed}: all replicas are in sync again");
    let leader = story.world.state(P0).leader.expect("a leader").0;
    let end = story.world.replica(leader).log_end;
    for broker in 1..=BROKERS {
        assert_eq!(story.world.log(broker), story.world.log(leader), "seed {seed}: broker {broker} has another log");
        assert_eq!(story.world.replica(broker).high_watermark, end, "seed {seed}: broker {broker} lags");
        assert_eq!(story.world.nodes[&BrokerId(broker)].replicas.parked(), 0, "seed {seed}: a request was forgotten");
    }
    let token = story.world.produce(leader, -1, &["the end"]);
    story.world.run();
    assert_eq!(code(story.world.produced(leader, token)), Some(ErrorCode::None));
    story
}

#[test]
fn nothing_acknowledged_is_lost_and_replicas_agree_whatever_happens() {
    let mut acknowledged = 0;
    for seed in 0..150 {
        acknowledged += tell(seed, 300).acknowledged.len();
    }
    assert!(acknowledged > 500, "the stories write too little to show anything: {acknowledged}");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let (one, other) = (tell(5, 200), tell(5, 200));
    for broker in 1..=BROKERS {
        assert_eq!(one.world.log(broker), other.world.log(broker));
        let id = BrokerId(broker);
        assert_eq!(one.world.nodes[&id].events, other.world.nodes[&id].events);
    }
}

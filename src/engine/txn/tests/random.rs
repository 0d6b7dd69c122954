//! Transfers between two accounts, a partition each, while brokers die and markers are lost: whoever reads committed records
//! sees both halves of a transfer or none, every one that was acknowledged and none that was given up; and in the end no
//! transaction is open (ReadCommitted, NoHangingTransaction).

use super::*;
use crate::engine::prng::Prng;
use std::collections::BTreeSet;

/// What a transfer came to, as its producer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Committed,
    Aborted,
    Unknown,
}

struct Bank {
    world: World,
    rng: Prng,
    dead: Option<i32>,
    producer: Option<Producer>,
    sequences: [i32; 2],
    /// Version 2 of the protocol, else 1.
    bumps: bool,
}

impl Bank {
    fn new(seed: u64) -> Bank {
        let mut world = World::new(3);
        world.transaction_timeout_ms = 60_000;
        let rng = Prng::new(seed);
        Bank { world, rng, dead: None, producer: None, sequences: [0, 0], bumps: !seed.is_multiple_of(3) }
    }

    /// Somebody dies, or comes back, or markers are lost for a while.
    fn disturb(&mut self) {
        match (self.rng.below(6), self.dead.take()) {
            (0 | 1, None) => {
                let victim = i32::try_from(self.rng.range(1, 3)).expect("one of three");
                self.world.kill(victim);
                self.dead = Some(victim);
                self.world.pass(1_500);
            }
            (2 | 3, Some(dead)) => {
                self.world.start(dead);
                self.world.pass(2_500);
            }
            (4, dead) => {
                self.world.lose_markers = !self.world.lose_markers;
                self.dead = dead;
            }
            (_, dead) => self.dead = dead,
        }
        let pause = self.rng.range(0, 60);
        self.world.pass(pause);
    }

    fn producer(&mut self) -> Producer {
        if let Some(producer) = self.producer {
            return producer;
        }
        self.world.lose_markers = false;
        self.world.pass(1_500);
        let producer = self.world.init();
        self.sequences = [0, 0];
        self.producer = Some(producer);
        producer
    }

    fn begin(&mut self, producer: Producer) -> Result<(), ErrorCode> {
        if self.bumps {
            return Ok(());
        }
        for _ in 0..20 {
            match self.world.add(producer, &[0, 1]) {
                ErrorCode::None => return Ok(()),
                ErrorCode::ConcurrentTransactions => self.world.pass(50),
                error => return Err(error),
            }
        }
        Err(ErrorCode::ConcurrentTransactions)
    }

    fn write(&mut self, producer: Producer, partition: usize, value: &str) -> Result<(), ErrorCode> {
        let version = if self.bumps { 12 } else { 11 };
        let number = i32::try_from(partition).expect("few");
        for _ in 0..30 {
            let error = self.world.produce(version, producer, number, self.sequences[partition], value);
            match error {
                ErrorCode::None => {
                    self.sequences[partition] += 1;
                    return Ok(());
                }
                ErrorCode::NotLeaderOrFollower
                | ErrorCode::NotEnoughReplicas
                | ErrorCode::NotEnoughReplicasAfterAppend
                | ErrorCode::RequestTimedOut
                | ErrorCode::ConcurrentTransactions => self.world.pass(100),
                other => return Err(other),
            }
        }
        Err(ErrorCode::RequestTimedOut)
    }

    fn finish(&mut self, producer: Producer, commits: bool) -> Fate {
        let fate = if commits { Fate::Committed } else { Fate::Aborted };
        for _ in 0..30 {
            match self.world.end(if self.bumps { 5 } else { 3 }, producer, commits) {
                (ErrorCode::None, next) => {
                    if self.bumps {
                        self.producer = Some(next);
                        self.sequences = [0, 0];
                    }
                    return fate;
                }
                (
                    ErrorCode::ConcurrentTransactions
                    | ErrorCode::NotCoordinator
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::CoordinatorLoadInProgress,
                    _,
                ) => self.world.pass(50),
                _ => break,
            }
        }
        self.producer = None;
        Fate::Unknown
    }

    fn transfer(&mut self, number: usize) -> Fate {
        let producer = self.producer();
        let value = format!("transfer {number}");
        let halves = self.begin(producer).and_then(|()| self.write(producer, 0, &value));
        if self.rng.below(3) == 0 {
            self.disturb();
        }
        if halves.and_then(|()| self.write(producer, 1, &value)).is_err() {
            // The next life of the producer aborts what this one has begun.
            self.producer = None;
            return Fate::Aborted;
        }
        let commits = self.rng.below(4) > 0;
        self.finish(producer, commits)
    }

    /// Everything is healed; then nothing is open.
    fn heal(&mut self) {
        self.world.lose_markers = false;
        if let Some(dead) = self.dead.take() {
            self.world.start(dead);
        }
        self.world.pass(4_000);
        self.producer = None;
        self.producer();
        self.world.settle();
        self.world.pass(500);
    }

    fn assert_nothing_hangs(&self, seed: u64) {
        for id in self.world.alive() {
            let open: Vec<_> = self.world.broker(id).transactions().snapshot();
            assert!(open.iter().all(|found| !found.is_open()), "seed {seed}: {open:?}");
            for partition in [0, 1] {
                let partition = self.world.partition(TOPIC, partition);
                let log = self.world.broker(id).replicas().log(partition).expect("a replica");
                let end = log.end_offset();
                assert_eq!(log.last_stable_offset(end), end, "seed {seed}: {partition} on broker {id}");
            }
        }
    }
}

#[test]
fn both_halves_of_a_transfer_are_there_or_none_whoever_dies() {
    for seed in 0..12 {
        let mut bank = Bank::new(seed);
        let mut fates = Vec::new();
        for number in 0..15 {
            fates.push(bank.transfer(number));
            bank.disturb();
        }
        bank.heal();
        let mut accounts = Vec::new();
        for partition in [0, 1] {
            let (_, values) = bank.world.committed(partition);
            let found: BTreeSet<String> = values.iter().cloned().collect();
            assert_eq!(found.len(), values.len(), "seed {seed}: a half is there twice: {values:?}");
            accounts.push(found);
        }
        assert_eq!(accounts[0], accounts[1], "seed {seed}: money was made or lost");
        for (number, fate) in fates.iter().enumerate() {
            let is_there = accounts[0].contains(&format!("transfer {number}"));
            let expected = match fate {
                Fate::Committed => true,
                Fate::Aborted => false,
                Fate::Unknown => is_there,
            };
            assert_eq!(is_there, expected, "seed {seed}: transfer {number} was {fate:?}");
        }
        assert!(fates.contains(&Fate::Committed), "seed {seed}: nothing was ever committed");
        bank.assert_nothing_hangs(seed);
    }
}

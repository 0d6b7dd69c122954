//! A broker of the simulated world with what belongs to it: its state machine, its disk, its clocks.
//!
//! Deliberately not here: what it does and what is done to it (`world`).

use super::{Happening, wall};
use crate::cluster::sim::clock::Clock;
use crate::cluster::sim::disk::Disk;
use crate::engine::broker::Broker;
use crate::engine::config::{BrokerConfig, ClusterConfig};
use crate::engine::io::Sequences;
use crate::engine::prng::Prng;
use crate::engine::time::{Instant, WallTime};
use crate::protocol::ids::{BrokerId, DirectoryId};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a broker's process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    On,
    /// It is stopped where it stands and does not know it.
    Suspended,
    /// It has ended.
    Off,
}

/// A broker with what belongs to it.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it starts with.
    pub config: BrokerConfig,
    /// Whether it runs.
    pub power: Power,
    /// The state machine, while it has a process.
    pub broker: Option<Broker>,
    /// Its disk.
    pub disk: Disk,
    /// Counts its starts: what was meant for an earlier one does not reach it.
    pub life: u32,
    /// How often its unsynced writes were taken from it: its ISR memberships from before prove nothing.
    pub power_losses: u32,
    /// Whether it lost records since it was last seen to serve clients: until it registers again it is in ISRs without them.
    pub has_lost_records: bool,
    /// How much longer than usual each write takes: a slow disk.
    pub write_delay: Duration,
    /// How far its wall clock is ahead, in milliseconds.
    pub skew_ms: i64,
    /// Its clock: it may run faster or slower than the world's.
    pub(super) clock: Clock,
    pub(super) rng: Prng,
    pub(super) seqs: Sequences,
    pub(super) planned_wake: Option<Instant>,
    /// When the disk is done with what it has been given: a later write is never safe before an earlier one.
    pub(super) disk_busy_until: Instant,
    pub(super) missed: Vec<(Instant, Happening)>,
}

/// What a broker of a simulated cluster starts with.
pub(super) fn config_of(
    broker: BrokerId,
    directory: DirectoryId,
    incarnation: uuid::Uuid,
    initial_voters: BTreeMap<BrokerId, DirectoryId>,
    cluster: ClusterConfig,
) -> BrokerConfig {
    let port = 9091 + u16::try_from(broker.0).expect("a few brokers");
    let host = "127.0.0.1".to_owned();
    BrokerConfig { broker, directory, incarnation, host, port, rack: None, initial_voters, cluster }
}

impl Node {
    pub(super) fn new(config: BrokerConfig, rng: Prng) -> Node {
        Node {
            config,
            power: Power::Off,
            broker: None,
            disk: Disk::new(),
            life: 0,
            power_losses: 0,
            has_lost_records: false,
            write_delay: Duration::ZERO,
            skew_ms: 0,
            clock: Clock::default(),
            rng,
            seqs: Sequences::default(),
            planned_wake: None,
            disk_busy_until: Instant::ZERO,
            missed: Vec::new(),
        }
    }

    /// The end of what a broker that is down has on its disk is damaged, if it is a batch of data, which other replicas may have. Whether it had
    /// been synced; `None` if it is none.
    pub fn damage_tail(&mut self) -> Option<bool> {
        let was_synced = self.disk.damage_tail()?;
        self.power_losses += 1;
        self.has_lost_records = true;
        Some(was_synced)
    }

    /// The disk is fast, answers and has space again.
    pub fn heal_disk(&mut self) {
        self.write_delay = Duration::ZERO;
        self.disk.set_fault(None);
    }

    /// What its wall clock shows.
    pub(super) fn wall(&self, now: Instant) -> WallTime {
        WallTime(wall(now).0 + self.skew_ms)
    }
}

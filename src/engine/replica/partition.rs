//! One replica: a log, the part it plays, and what has been applied of the partition's metadata.
//!
//! Invariants: `log start <= high watermark <= log end`; the high watermark goes backwards only when the log is cut
//! below it; the leader epoch never goes backwards. It deliberately decides nothing: leaders do in `leader.rs` and
//! `isr.rs`, followers in `follower.rs`.

use super::leader::Leader;
use super::session::Reader;
use super::verified::Guards;
use crate::engine::config::TopicConfig;
use crate::engine::controller::topics::is_internal;
use crate::engine::log::PartitionLog;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The part a replica plays.
#[derive(Debug, Clone)]
pub(in crate::engine) enum Role {
    /// Nothing is known of its partition yet.
    Idle,
    /// It follows; whom, says [`Replica::leader`].
    Follower,
    /// It leads.
    Leader(Box<Leader>),
}

/// One replica on this broker.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Replica {
    /// Its records.
    pub log: PartitionLog,
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic is one of Kafka's own: a coordinator wants to know what happens here.
    pub is_internal: bool,
    /// The topic's configuration.
    pub config: Arc<TopicConfig>,
    /// The part it plays.
    pub role: Role,
    /// Who leads, by the metadata applied.
    pub leader: Option<BrokerId>,
    /// The leader epoch applied; −1 before any.
    pub leader_epoch: i32,
    /// The partition epoch applied; −1 before any.
    pub partition_epoch: i32,
    /// Records below are on every in-sync replica.
    pub high_watermark: i64,
    /// Consumers' fetches that want to know when something changes here.
    pub readers: BTreeSet<Reader>,
    /// Transactions that are about to begin here.
    pub guards: Guards,
    /// The last step that wrote to the log, by its persist sequence number: a step notes each replica once.
    pub noted_seq: u64,
}

impl Replica {
    /// A replica that does nothing yet.
    pub fn new(log: PartitionLog, topic: Arc<str>, config: Arc<TopicConfig>, high_watermark: i64) -> Replica {
        let high_watermark = high_watermark.max(log.start_offset()).min(log.end_offset());
        Replica {
            log,
            is_internal: is_internal(&topic),
            topic,
            config,
            role: Role::Idle,
            leader: None,
            leader_epoch: -1,
            partition_epoch: -1,
            high_watermark,
            readers: BTreeSet::new(),
            guards: Guards::default(),
            noted_seq: 0,
        }
    }

    /// What it knows as the leader, if it is.
    pub fn as_leader(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower | Role::Idle => None,
        }
    }

    /// The same, to change it.
    pub fn as_leader_mut(&mut self) -> Option<&mut Leader> {
        match &mut self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower | Role::Idle => None,
        }
    }

    /// Whether it leads.
    pub fn is_leader(&self) -> bool {
        self.as_leader().is_some()
    }

    /// Fences by leader epoch (KIP-320): −1 means that the asker does not know it.
    ///
    /// # Errors
    /// `FENCED_LEADER_EPOCH` for an older one, `UNKNOWN_LEADER_EPOCH` for a newer one.
    pub fn check_epoch(&self, current_leader_epoch: i32) -> Result<(), ErrorCode> {
        match current_leader_epoch {
            epoch if epoch < 0 || epoch == self.leader_epoch => Ok(()),
            epoch if epoch < self.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            _ => Err(ErrorCode::UnknownLeaderEpoch),
        }
    }

    /// What consumers see up to: the high watermark, or the last stable offset for readers of committed transactions.
    pub fn readable_end(&self, read_committed: bool) -> i64 {
        if read_committed { self.log.last_stable_offset(self.high_watermark) } else { self.high_watermark }
    }
}

//! Consumer groups as the console shows them.
//!
//! Invariants: rows are a window; the detail is of one group. Lag is measured against the high watermark.
//!
//! Deliberately not here: how anything looks.

use super::{BrokerId, PartitionName};
use std::sync::Arc;

/// What the console wants to see of groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupsRequest {
    /// What a name has to contain, or with `!` before it must not; empty: all.
    pub filter: String,
    /// Those furthest behind come first, not those first by name.
    pub by_lag: bool,
    /// Index of the first wanted row.
    pub first_row: usize,
    /// How many rows are in view.
    pub row_count: usize,
    /// The group wanted in detail; the first one if there is no such group.
    pub selected: Option<Arc<str>>,
    /// How many samples a history of lag has.
    pub spark_samples: usize,
}

/// The groups at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupsView {
    /// The window of rows, in the order that was asked for.
    pub rows: Vec<GroupRow>,
    /// Index of the first of them.
    pub first_row: usize,
    /// How many groups pass the filter.
    pub total: usize,
    /// How many there are.
    pub known: usize,
    /// Index of the group in detail.
    pub selected_index: usize,
    /// That group.
    pub detail: Option<Box<GroupDetail>>,
}

/// A group in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Its name.
    pub name: Arc<str>,
    /// What it is doing.
    pub state: GroupState,
    /// How many members it has.
    pub members: usize,
    /// How many records it has still to read; `None` while it has committed nothing that is known.
    pub lag: Option<u64>,
    /// The lag of the last minute, the newest last.
    pub lag_history: Vec<u64>,
}

/// What a group is doing. Classic groups prepare and complete a rebalance, those of KIP-848 assign and reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum GroupState {
    /// Nobody is in it.
    #[default]
    Empty,
    /// It waits for its members to join.
    Preparing,
    /// It waits for its leader's assignment.
    Completing,
    /// The coordinator computes who is to read what.
    Assigning,
    /// Members are on their way to what they are to read.
    Reconciling,
    /// Everybody reads.
    Stable,
    /// Its coordinator is gone, and nobody has taken over yet.
    NoCoordinator,
}

/// A group in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDetail {
    /// Its name.
    pub name: Arc<str>,
    /// What it is doing.
    pub state: GroupState,
    /// Since when.
    pub since_ms: u64,
    /// Until when it was stable, if it is no more.
    pub stable_until_ms: Option<u64>,
    /// When what it is doing ends at the latest: who is late then is out.
    pub state_ends_ms: Option<u64>,
    /// Whether its members read while it rebalances: those of KIP-848 do, and those of cooperative assignors.
    pub reads_on: bool,
    /// Whether it is a group of KIP-848.
    pub is_consumer_protocol: bool,
    /// The assignor, as far as it is known.
    pub assignor: Option<Arc<str>>,
    /// Generation or group epoch.
    pub generation: i32,
    /// The epoch that the targets of a group of KIP-848 are for.
    pub target_epoch: Option<i32>,
    /// The broker that coordinates it, or did last.
    pub coordinator: BrokerId,
    /// Who coordinated it before.
    pub coordinator_before: Option<BrokerId>,
    /// Its members, by client and id.
    pub members: Vec<GroupMember>,
    /// What it has committed or reads, by name.
    pub partitions: Vec<GroupPartition>,
    /// The last rebalances, the newest first.
    pub rebalances: Vec<GroupRebalance>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub id: Arc<str>,
    /// What its client calls itself.
    pub client: Arc<str>,
    /// Its `group.instance.id`.
    pub instance: Option<Arc<str>>,
    /// When it showed itself last; `None` while it waits for an answer of its coordinator's.
    pub seen_ms: Option<u64>,
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: u64,
    /// Where its client is.
    pub host: Arc<str>,
    /// Topics that it wants, or the expression for their names.
    pub subscribes: Vec<Arc<str>>,
    /// How long it may take to join again, or to give partitions back, in milliseconds.
    pub rebalance_timeout_ms: u64,
    /// Its epoch, in a group of KIP-848.
    pub epoch: Option<i32>,
    /// What it reads.
    pub owns: Vec<PartitionName>,
    /// What it is to give back.
    pub gives_back: Vec<PartitionName>,
    /// What it is to read and does not read yet.
    pub awaits: Vec<PartitionName>,
}

impl GroupMember {
    /// Its name for people: its instance, or its client with the beginning of what makes its id its own.
    pub fn label(&self) -> String {
        if let Some(instance) = &self.instance {
            return instance.to_string();
        }
        let own = self.id.rsplit('-').next().unwrap_or(&self.id);
        let short: String = own.chars().take(4).collect();
        format!("{} {short}", self.client)
    }
}

/// A partition that a group reads or has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPartition {
    /// Which.
    pub name: PartitionName,
    /// The next offset to read, as committed.
    pub committed: Option<i64>,
    /// The high watermark.
    pub end: Option<i64>,
    /// The member that reads it, by its place in [`GroupDetail::members`].
    pub owner: Option<usize>,
    /// How long ago what is to be read next was the partition's end, in milliseconds; at most [`BEHIND_MAX_MS`].
    pub behind_ms: Option<u64>,
    /// The lag of the last minute, the newest last.
    pub lag_history: Vec<u64>,
}

/// Who is further behind is not told how far.
pub const BEHIND_MAX_MS: u64 = 60_000;

impl GroupPartition {
    /// How many records are still to be read.
    pub fn lag(&self) -> Option<u64> {
        u64::try_from((self.end? - self.committed?).max(0)).ok()
    }
}

/// A rebalance that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRebalance {
    /// When.
    pub at_ms: u64,
    /// The generation that it ended.
    pub generation: i32,
    /// Why.
    pub cause: String,
    /// What came of it; `None` while it goes on, and where another one came before its end.
    pub effect: Option<GroupEffect>,
}

/// What came of a rebalance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupEffect {
    /// Until everybody read again, in milliseconds.
    pub took_ms: u64,
    /// How many partitions another member reads since.
    pub moved: usize,
    /// How many members there were then.
    pub members: usize,
}

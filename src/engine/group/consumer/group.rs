//! What a coordinator knows of a consumer group beyond its records: timers, what the topics were when it looked last,
//! the last rebalances. Its death forgets them; the next coordinator gives every member a session from its start on.

use crate::engine::group::classic::Rebalance;
use crate::engine::group::consumer::image::ConsumerImage;
use crate::engine::group::consumer::record::MemberState;
use crate::engine::time::Instant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// So many rebalances are remembered, with their causes.
const REMEMBERED_REBALANCES: usize = 8;

/// What a member may be late with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lateness {
    /// It was silent for too long.
    Session,
    /// It has not given back what it was asked to.
    Revocation,
    /// Of the classic protocol: it was told to join again and did not.
    Join,
    /// Of the classic protocol: it has joined and did not ask for its assignment.
    Sync,
}

impl Lateness {
    /// Why a member is out.
    pub fn cause(self) -> &'static str {
        match self {
            Lateness::Session => "was silent for too long",
            Lateness::Revocation => "did not give its partitions back in time",
            Lateness::Join => "did not join again in time",
            Lateness::Sync => "did not ask for its assignment in time",
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct ConsumerGroup {
    timers: BTreeMap<(Arc<str>, Lateness), Instant>,
    due: BTreeSet<(Instant, Arc<str>, Lateness)>,
    /// The end of the metadata when it looked at the topics last.
    looked_at: Option<i64>,
    rebalances: VecDeque<Rebalance>,
}

impl ConsumerGroup {
    /// The group of an image: its members are taken for alive from now on.
    pub fn load(image: &ConsumerImage, now: Instant, session_timeout_ms: u64) -> ConsumerGroup {
        let mut group = ConsumerGroup::default();
        for (id, member) in image.members() {
            let classic = member.classic.as_ref().and_then(|classic| u64::try_from(classic.session_timeout_ms).ok());
            group.set(id, Lateness::Session, now.plus_millis(classic.unwrap_or(session_timeout_ms)));
            if image.current(id).state == MemberState::UnrevokedPartitions && member.classic.is_none() {
                let timeout_ms = u64::try_from(member.rebalance_timeout_ms).unwrap_or(0);
                group.set(id, Lateness::Revocation, now.plus_millis(timeout_ms));
            }
        }
        group
    }

    /// When it is to be looked at next.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _, _)| *at)
    }

    /// Who is late, and with what; each is told once.
    pub fn take_due(&mut self, now: Instant) -> Option<(Arc<str>, Lateness)> {
        let (at, _, _) = self.due.first()?;
        if *at > now {
            return None;
        }
        let (_, id, lateness) = self.due.pop_first()?;
        self.timers.remove(&(Arc::clone(&id), lateness));
        Some((id, lateness))
    }

    /// A member has time until then.
    pub fn set(&mut self, id: &Arc<str>, lateness: Lateness, at: Instant) {
        self.clear(id, lateness);
        self.timers.insert((Arc::clone(id), lateness), at);
        self.due.insert((at, Arc::clone(id), lateness));
    }

    /// The same, if it has not been given a time yet.
    pub fn set_if_absent(&mut self, id: &Arc<str>, lateness: Lateness, at: Instant) {
        if !self.timers.contains_key(&(Arc::clone(id), lateness)) {
            self.set(id, lateness, at);
        }
    }

    /// A member is not waited for any more.
    pub fn clear(&mut self, id: &Arc<str>, lateness: Lateness) {
        if let Some(at) = self.timers.remove(&(Arc::clone(id), lateness)) {
            self.due.remove(&(at, Arc::clone(id), lateness));
        }
    }

    /// Until when a member has time.
    pub fn time_of(&self, id: &Arc<str>, lateness: Lateness) -> Option<Instant> {
        self.timers.get(&(Arc::clone(id), lateness)).copied()
    }

    /// A member is gone.
    pub fn forget(&mut self, id: &Arc<str>) {
        for lateness in [Lateness::Session, Lateness::Revocation, Lateness::Join, Lateness::Sync] {
            self.clear(id, lateness);
        }
    }

    /// Whether the metadata has moved since it looked at the topics.
    pub fn has_new_topics(&self, metadata_end: i64) -> bool {
        self.looked_at != Some(metadata_end)
    }

    /// It has looked at the topics.
    pub fn has_looked(&mut self, metadata_end: i64) {
        self.looked_at = Some(metadata_end);
    }

    /// The group's epoch has risen.
    pub fn remember(&mut self, rebalance: Rebalance) {
        if self.rebalances.len() == REMEMBERED_REBALANCES {
            self.rebalances.pop_front();
        }
        self.rebalances.push_back(rebalance);
    }

    /// The last rebalances, the latest last.
    pub fn rebalances(&self) -> impl Iterator<Item = &Rebalance> {
        self.rebalances.iter()
    }
}

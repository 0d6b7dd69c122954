//! Unattached: knows of no leader in its epoch. A voter waits for one to make itself known and stands when its
//! election timeout passes; an observer asks the voters in turn (Kafka's random bootstrap).
//!
//! It may have voted in this epoch: that is the election's state, not the role's.

use crate::engine::io::{Ctx, Wake};
use crate::engine::quorum::follower::Fetch;
use crate::engine::quorum::{Quorum, Role};
use crate::engine::rpc::Rpc;
use crate::engine::time::Instant;

/// The role's state.
#[derive(Debug, Clone)]
pub(super) struct Unattached {
    /// When a voter stands.
    pub(super) deadline: Instant,
    /// An observer's question for the leader.
    pub(super) fetch: Fetch,
}

impl Unattached {
    pub(super) fn next_wake(&self, is_voter: bool, may_stand: bool) -> Option<Wake> {
        if is_voter {
            return may_stand.then_some(Wake { at: self.deadline, why: "election timeout" });
        }
        self.fetch.due().map(|at| Wake { at, why: "looks for the leader" })
    }
}

impl Quorum {
    pub(super) fn wake_unattached(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let Role::Unattached(unattached) = &self.role else { return };
        if self.is_voter {
            if cx.now >= unattached.deadline && !self.is_stopping {
                self.become_prospective(cx, rpc, "election timeout");
            }
        } else if unattached.fetch.due().is_some_and(|at| cx.now >= at) {
            self.send_fetch(cx, rpc);
        }
    }
}

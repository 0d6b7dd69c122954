//! Resigned: has led this epoch and does no more, because a majority was silent, the broker stops, or it started
//! again. Tells the voters, so that they need not wait for their fetch timeouts, and stands again after an election
//! timeout unless it stops.
//!
//! It votes for nobody in the epoch that it led: that vote is spent.

use crate::engine::io::{Ctx, Wake};
use crate::engine::quorum::{Quorum, Role, Sent};
use crate::engine::rpc::Rpc;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::{EndQuorumEpochRequest, PeerRequest};
use std::collections::BTreeSet;

/// The role's state.
#[derive(Debug, Clone)]
pub(super) struct Resigned {
    /// Whom it would like to follow, best first.
    preferred: Vec<BrokerId>,
    /// Those who have not said that they know.
    unacknowledged: BTreeSet<BrokerId>,
    /// When they are told (again); no more after the deadline.
    tell_at: Instant,
    /// When it stands again.
    pub(super) deadline: Instant,
}

impl Resigned {
    pub(super) fn new(now: Instant, deadline: Instant, preferred: Vec<BrokerId>) -> Resigned {
        let unacknowledged = preferred.iter().copied().collect();
        Resigned { preferred, unacknowledged, tell_at: now, deadline }
    }

    pub(super) fn next_wake(&self, may_stand: bool) -> Option<Wake> {
        let tells = !self.unacknowledged.is_empty() && self.tell_at < self.deadline;
        let tell = tells.then_some(Wake { at: self.tell_at, why: "tells that its epoch ends" });
        let stand = may_stand.then_some(Wake { at: self.deadline, why: "election timeout" });
        Wake::earlier(tell, stand)
    }
}

impl Quorum {
    /// Leads no more.
    pub(super) fn become_resigned(&mut self, cx: &mut Ctx, rpc: &mut Rpc, why: &'static str) {
        let preferred = match &self.role {
            Role::Leader(leader) => leader.preferred_successors(self.me, &self.voters),
            _ => self.other_voters(),
        };
        let deadline = self.settings.election_deadline(cx.now, cx.rng);
        self.enter(cx, Role::Resigned(Resigned::new(cx.now, deadline, preferred)), why);
        self.wake_resigned(cx, rpc);
    }

    pub(super) fn wake_resigned(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let again_ms = (self.settings.election_timeout_ms / 3).max(1);
        let (me, epoch) = (self.me, self.epoch());
        let Role::Resigned(resigned) = &mut self.role else { return };
        if cx.now >= resigned.deadline {
            if self.is_voter && !self.is_stopping {
                self.become_prospective(cx, rpc, "election timeout");
            }
            return;
        }
        if cx.now < resigned.tell_at {
            return;
        }
        resigned.tell_at = cx.now.plus_millis(again_ms);
        let preferred_candidates = resigned.preferred.clone();
        let request = EndQuorumEpochRequest { epoch, leader: me, preferred_candidates };
        for voter in resigned.unacknowledged.clone() {
            let timeout_ms = self.settings.request_timeout_ms;
            self.send(cx, rpc, voter, PeerRequest::EndQuorumEpoch(request.clone()), timeout_ms, Sent::End);
        }
    }

    pub(super) fn on_end_acknowledged(&mut self, from: BrokerId) {
        if let Role::Resigned(resigned) = &mut self.role {
            resigned.unacknowledged.remove(&from);
        }
    }
}

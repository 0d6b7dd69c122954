//! Finding the coordinator, and what its errors mean for a member.
//!
//! Invariant: an error code has one meaning whichever request it answers; what it leads to is decided where the answer is taken in.

use super::{Member, Pending, RETRY_BACKOFF_MS};
use crate::client::{Target, Turn};
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

/// What a coordinator's answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done.
    Fine,
    /// The coordinator is not ready: the same again.
    Again,
    /// The member's epoch has moved on, and a heartbeat will say where to (KIP-848).
    Stale,
    /// Somebody else coordinates.
    Elsewhere,
    /// The group rebalances: join again.
    Rejoin,
    /// The group has gone on without this member; it may join under the same id.
    Outdated,
    /// The coordinator does not know this member: it needs a new id.
    Forgotten,
    /// No repetition mends this.
    Hopeless(ErrorCode),
}

impl Verdict {
    pub(super) fn of(code: i16) -> Verdict {
        match ErrorCode::from_code(code) {
            ErrorCode::None => Verdict::Fine,
            ErrorCode::CoordinatorLoadInProgress | ErrorCode::UnstableOffsetCommit => Verdict::Again,
            ErrorCode::StaleMemberEpoch => Verdict::Stale,
            ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::RequestTimedOut
            | ErrorCode::NetworkException => Verdict::Elsewhere,
            ErrorCode::RebalanceInProgress => Verdict::Rejoin,
            ErrorCode::IllegalGeneration | ErrorCode::FencedMemberEpoch => Verdict::Outdated,
            // A broker that does not know yet that another coordinates says so of a group that began there.
            ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound => Verdict::Forgotten,
            error => Verdict::Hopeless(error),
        }
    }
}

impl Member {
    /// Asks who coordinates if that is not known; whether it is.
    pub(super) fn find_coordinator(&mut self, now_ms: u64, turn: &mut Turn) -> bool {
        if self.coordinator.is_some() {
            return true;
        }
        if !self.is_asking(|pending| *pending == Pending::Coordinator) {
            if now_ms < self.not_before_ms {
                turn.wake(self.not_before_ms);
            } else {
                let key = StrBytes::from_string(self.options.group.clone());
                let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![key]);
                self.call(turn, Target::Any, Request::FindCoordinator(request), Pending::Coordinator);
            }
        }
        false
    }

    pub(super) fn on_coordinator(&mut self, now_ms: u64, response: Option<Response>) {
        self.not_before_ms = now_ms + RETRY_BACKOFF_MS;
        let Some(Response::FindCoordinator(FindCoordinatorResponse { coordinators, .. })) = response else { return };
        let Some(found) = coordinators.into_iter().next() else { return };
        match Verdict::of(found.error_code) {
            Verdict::Fine => {
                let broker = BrokerId(found.node_id.0);
                let port = u16::try_from(found.port).unwrap_or(0);
                self.addresses.push((broker, found.host.to_string(), port));
                self.coordinator = Some(broker);
                self.not_before_ms = now_ms;
            }
            Verdict::Hopeless(error) => self.fail(format!("{}: {error}", self.options.group)),
            _ => {}
        }
    }

    /// Whoever it was does not coordinate any more, or does not answer.
    pub(super) fn forget_coordinator(&mut self, now_ms: u64) {
        self.coordinator = None;
        self.not_before_ms = now_ms + RETRY_BACKOFF_MS;
    }

    /// What an answer of the coordinator leads to, whichever it was. True if it is fine.
    pub(super) fn takes_well(&mut self, now_ms: u64, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Fine => return true,
            Verdict::Again => self.not_before_ms = now_ms + RETRY_BACKOFF_MS,
            Verdict::Stale => self.reconciling.catch_up(),
            Verdict::Elsewhere => self.forget_coordinator(now_ms),
            Verdict::Outdated | Verdict::Forgotten if self.reconciles() => self.begin_anew(now_ms),
            Verdict::Rejoin if self.reconciles() => self.not_before_ms = now_ms + RETRY_BACKOFF_MS,
            Verdict::Rejoin => self.rejoin(now_ms),
            Verdict::Outdated => self.join_anew(now_ms),
            Verdict::Forgotten => {
                self.member_id.clear();
                self.join_anew(now_ms);
            }
            Verdict::Hopeless(error) => self.fail(format!("{}: {error}", self.options.group)),
        }
        false
    }
}

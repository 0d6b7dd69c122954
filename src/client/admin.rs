//! One admin request and its answer, repeated while the cluster says that it may succeed later.

use crate::client::{Answer, Call, Machine, Target, Turn};
use crate::protocol::codec::{Request, Response};

/// Wait before a repetition, in milliseconds.
const RETRY_BACKOFF_MS: u64 = 100;
/// After this long without an answer a call has failed, in milliseconds.
const TIMEOUT_MS: u64 = 10_000;

/// See the module.
#[derive(Debug, Clone)]
pub struct Admin {
    request: Request,
    to: Target,
    give_up_at_ms: u64,
    not_before_ms: u64,
    call: u64,
    is_asked: bool,
    /// How it ended, once it has.
    pub outcome: Option<Result<Response, String>>,
}

impl Admin {
    /// A request that is repeated until a moment.
    pub fn new(to: Target, request: Request, give_up_at_ms: u64) -> Admin {
        Admin { request, to, give_up_at_ms, not_before_ms: 0, call: 0, is_asked: false, outcome: None }
    }
}

impl Machine for Admin {
    fn turn(&mut self, now_ms: u64) -> Turn {
        let mut turn = Turn::default();
        if self.outcome.is_some() || self.is_asked {
            return turn;
        }
        if now_ms < self.not_before_ms {
            turn.wake(self.not_before_ms);
            return turn;
        }
        self.call += 1;
        self.is_asked = true;
        turn.calls.push(Call {
            id: self.call,
            to: self.to,
            request: self.request.clone(),
            timeout_ms: TIMEOUT_MS,
            expects_answer: true,
        });
        turn
    }

    fn answer(&mut self, now_ms: u64, call: u64, answer: Answer) {
        if call != self.call {
            return;
        }
        self.is_asked = false;
        match answer {
            Answer::Response(response) => self.outcome = Some(Ok(*response)),
            Answer::Failed(reason) if now_ms >= self.give_up_at_ms => self.outcome = Some(Err(reason)),
            Answer::Failed(_) => self.not_before_ms = now_ms + RETRY_BACKOFF_MS,
        }
    }
}

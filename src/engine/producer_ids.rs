//! Producer ids for idempotent producers: a broker holds a block of them that the controller gave it and asks for the next block when it
//! runs out (Kafka's `RPCProducerIdManager`). Requests that find the block empty wait for it.

use crate::engine::io::RequestToken;
use crate::engine::time::Instant;
use crate::protocol::error::ErrorCode;
use crate::protocol::peer::AllocateProducerIdsResponse;
use std::collections::VecDeque;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct ProducerIds {
    next: i64,
    end: i64,
    in_flight: bool,
    not_before: Instant,
    waiting: VecDeque<RequestToken>,
    /// Somebody who does not wait here found the block empty, and will ask again.
    is_wanted: bool,
}

impl ProducerIds {
    /// The next id, if the block has one.
    pub fn take(&mut self) -> Option<i64> {
        (self.next < self.end).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// Sees to it that there is a block soon.
    pub fn want(&mut self) {
        self.is_wanted |= self.next >= self.end;
    }

    /// Lets a request wait for the next block.
    pub fn park(&mut self, token: RequestToken) {
        self.waiting.push_back(token);
    }

    /// Whether the controller is to be asked now; it then counts as asked.
    pub fn wants_block(&mut self, now: Instant) -> bool {
        let wants = self.is_needed() && !self.in_flight && now >= self.not_before;
        self.in_flight |= wants;
        wants
    }

    /// When it wants to ask again after a failure.
    pub fn next_attempt(&self) -> Option<Instant> {
        (self.is_needed() && !self.in_flight).then_some(self.not_before)
    }

    fn is_needed(&self) -> bool {
        self.is_wanted || !self.waiting.is_empty()
    }

    /// The controller's answer: the requests that can now be served, each with its id.
    pub fn on_answer(
        &mut self,
        now: Instant,
        backoff_ms: u64,
        answer: Option<&AllocateProducerIdsResponse>,
    ) -> Vec<(RequestToken, i64)> {
        self.in_flight = false;
        match answer {
            Some(block) if block.error == ErrorCode::None => {
                self.is_wanted = false;
                self.next = block.first;
                self.end = block.first + i64::from(block.length);
            }
            _ => self.not_before = now.plus_millis(backoff_ms),
        }
        let mut served = Vec::new();
        while self.next < self.end {
            let Some(token) = self.waiting.pop_front() else { break };
            served.push((token, self.next));
            self.next += 1;
        }
        served
    }
}

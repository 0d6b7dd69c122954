//! Requests that only the active controller can answer: handed to it if it is here, passed on to it over the link if it is elsewhere,
//! kept for a while if there is none (Kafka's `ForwardingManager`). A request that finds no controller in time is answered with
//! REQUEST_TIMED_OUT, which clients repeat.

use crate::engine::active::Asker;
use crate::engine::api::{describe_quorum, errors};
use crate::engine::broker::Broker;
use crate::engine::io::{Ctx, RequestToken, Wake};
use crate::engine::rpc::{Purpose, Rpc, RpcFailure};
use crate::engine::time::Instant;
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::peer::{ForwardRequest, ForwardResponse, PeerRequest, PeerResponse};
use std::collections::{BTreeMap, BTreeSet};

/// How long a client's admin request may look for a controller (`request.timeout.ms` of Kafka's brokers), in milliseconds.
const FORWARD_TIMEOUT_MS: u64 = 30_000;

/// After an attempt that came to nothing a request rests for so long, in milliseconds: a controller that is gone refuses at once, and would
/// be asked again as fast as it refuses.
const RETRY_BACKOFF_MS: u64 = 20;

/// One request on its way.
#[derive(Debug, Clone)]
struct Forward {
    header: RequestHeader,
    request: Request,
    deadline: Instant,
}

/// The requests on their way, and those among them that wait for a controller.
#[derive(Debug, Clone, Default)]
pub struct Forwards {
    all: BTreeMap<RequestToken, Forward>,
    unsent: BTreeSet<RequestToken>,
    /// Those that rest, by when they are sent again.
    resting: BTreeSet<(Instant, RequestToken)>,
    deadlines: BTreeSet<(Instant, RequestToken)>,
}

impl Forwards {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// It is answered.
    pub fn done(&mut self, token: RequestToken) {
        if let Some(forward) = self.all.remove(&token) {
            self.unsent.remove(&token);
            self.resting.retain(|(_, resting)| *resting != token);
            self.deadlines.remove(&(forward.deadline, token));
        }
    }

    /// It has to be sent again after a rest, to whoever is the controller then.
    pub fn retry(&mut self, now: Instant, token: RequestToken) {
        if self.all.contains_key(&token) {
            self.resting.insert((now.plus_millis(RETRY_BACKOFF_MS), token));
        }
    }

    /// Those whose rest is over.
    fn rested(&mut self, now: Instant) {
        while let Some(&(at, token)) = self.resting.first()
            && at <= now
        {
            self.resting.pop_first();
            self.unsent.insert(token);
        }
    }

    /// When the first of them has rested, or has waited long enough.
    pub fn next_wake(&self) -> Option<Wake> {
        let over = self.deadlines.first().map(|&(at, _)| Wake { at, why: "admin request times out" });
        let rested = self.resting.first().map(|&(at, _)| Wake { at, why: "passes an admin request on again" });
        Wake::earlier(over, rested)
    }

    fn add(&mut self, token: RequestToken, forward: Forward) {
        self.deadlines.insert((forward.deadline, token));
        self.unsent.insert(token);
        self.all.insert(token, forward);
    }

    fn expired(&mut self, now: Instant) -> Vec<(RequestToken, Forward)> {
        let mut expired = Vec::new();
        while let Some(&(deadline, token)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            self.unsent.remove(&token);
            self.resting.retain(|(_, resting)| *resting != token);
            expired.extend(self.all.remove(&token).map(|forward| (token, forward)));
        }
        expired
    }
}

impl Broker {
    /// Takes a client's request for the controller.
    pub(in crate::engine) fn forward(
        &mut self,
        cx: &mut Ctx,
        token: RequestToken,
        header: RequestHeader,
        request: Request,
    ) {
        let deadline = cx.now.plus_millis(FORWARD_TIMEOUT_MS);
        self.forwards.add(token, Forward { header, request, deadline });
        self.resend_forwards(cx);
    }

    /// Sends what has found no controller yet, if there is one now.
    pub(in crate::engine) fn resend_forwards(&mut self, cx: &mut Ctx) {
        self.forwards.rested(cx.now);
        if self.forwards.unsent.is_empty() {
            return;
        }
        let Some(controller) = self.controller_id() else { return };
        for token in std::mem::take(&mut self.forwards.unsent) {
            let Some(Forward { header, request, .. }) = self.forwards.all.get(&token).cloned() else { continue };
            if controller == self.config.broker {
                self.admin_here(cx, Asker::Client(token), &header, &request);
            } else {
                let ask = PeerRequest::Forward(Box::new(ForwardRequest { header, request }));
                let timeout_ms = self.config.cluster.peer_request_timeout_ms;
                self.rpc.send(cx, controller, Purpose::Forward(token), ask, timeout_ms);
            }
        }
    }

    /// A request for the controller that is (or is thought to be) this broker.
    pub(in crate::engine) fn admin_here(
        &mut self,
        cx: &mut Ctx,
        asker: Asker,
        header: &RequestHeader,
        request: &Request,
    ) {
        if let Request::DescribeQuorum(describe) = request
            && self.controller.is_some()
        {
            let response =
                describe_quorum::answer(&self.quorum, &self.image, cx.now, cx.wall, header.version, describe);
            return self.answer_admin(cx, asker, response);
        }
        match &mut self.controller {
            Some(controller) => {
                let config = &self.config.cluster;
                controller.on_admin(cx, &mut self.quorum, config, asker, header, request);
            }
            None => {
                if let Asker::PeerForward { broker, correlation_id } = asker {
                    let refusal = ForwardResponse { error: ErrorCode::NotController, response: None };
                    Rpc::respond(cx, broker, correlation_id, PeerResponse::Forward(refusal));
                }
            }
        }
    }

    fn answer_admin(&mut self, cx: &mut Ctx, asker: Asker, response: Response) {
        match asker {
            Asker::Client(token) => {
                self.forwards.done(token);
                cx.respond(token, response);
            }
            Asker::PeerForward { broker, correlation_id } => {
                let answer = ForwardResponse { error: ErrorCode::None, response: Some(response) };
                Rpc::respond(cx, broker, correlation_id, PeerResponse::Forward(answer));
            }
            _ => {}
        }
    }

    /// The controller's answer to a request that was passed on.
    pub(in crate::engine) fn on_forward_result(
        &mut self,
        cx: &mut Ctx,
        token: RequestToken,
        outcome: Result<PeerResponse, RpcFailure>,
    ) {
        match outcome {
            Ok(PeerResponse::Forward(ForwardResponse { response: Some(response), .. })) => {
                if self.forwards.all.contains_key(&token) {
                    self.forwards.done(token);
                    cx.respond(token, response);
                }
            }
            // It may have been carried out although no answer came: the repetition then meets TOPIC_ALREADY_EXISTS and the like, as with Kafka.
            _ => self.forwards.retry(cx.now, token),
        }
    }

    /// Answers those that found no controller in time.
    pub(in crate::engine) fn expire_forwards(&mut self, cx: &mut Ctx) {
        for (token, forward) in self.forwards.expired(cx.now) {
            cx.respond(token, errors::refusal(&forward.request, forward.header.version, ErrorCode::RequestTimedOut));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::api::ApiKey;
    use kafka_protocol::messages::MetadataRequest;

    #[test]
    fn what_was_refused_rests_before_it_is_sent_again() {
        let (token, at) = (RequestToken(7), Instant::from_millis);
        let header =
            RequestHeader { api: ApiKey::Metadata, version: 12, correlation_id: 1, client_id: None, client_host: None };
        let request = Request::Metadata(MetadataRequest::default());
        let mut forwards = Forwards::default();
        forwards.add(token, Forward { header, request, deadline: at(30_000) });
        forwards.unsent.clear();
        forwards.retry(at(100), token);
        forwards.rested(at(100 + RETRY_BACKOFF_MS - 1));
        assert!(forwards.unsent.is_empty());
        assert_eq!(forwards.next_wake().map(|wake| wake.at), Some(at(100 + RETRY_BACKOFF_MS)));
        forwards.rested(at(100 + RETRY_BACKOFF_MS));
        assert!(forwards.unsent.contains(&token));
        forwards.retry(at(200), token);
        forwards.done(token);
        assert_eq!(forwards.next_wake(), None);
    }
}

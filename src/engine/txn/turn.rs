//! The coordinators' place in a broker: when they are given their turn, with what, and what leaves them.

use crate::engine::broker::Broker;
use crate::engine::io::Ctx;
use crate::engine::rpc::{Purpose, Rpc, RpcResult};
use crate::engine::txn::marking::MarkerAsker;
use crate::engine::txn::{AddAsker, Added, Coordinators, Outgoing, Turn};
use crate::protocol::error::ErrorCode;
use crate::protocol::peer::{AddPartitionsToTxnResponse, PeerRequest, PeerResponse, WriteTxnMarkersRequest};

impl Broker {
    /// Gives the coordinators of transactions their turn; what they wrote goes to the followers.
    pub(in crate::engine) fn with_txns<R>(
        &mut self,
        cx: &mut Ctx,
        act: impl FnOnce(&mut Coordinators, &mut Ctx, &mut Turn) -> R,
    ) -> R {
        // Out of the broker for as long as the replicas are lent: they are what the coordinators write to.
        let mut txns = std::mem::take(&mut self.txns);
        let mut producer_ids = std::mem::take(&mut self.producer_ids);
        let result = self.with_replicas(cx, |replicas, cx, rpc, env| {
            let result = act(&mut txns, cx, &mut Turn { replicas, env, producer_ids: &mut producer_ids });
            replicas.after_coordinators(cx, rpc, env);
            result
        });
        self.txns = txns;
        self.producer_ids = producer_ids;
        result
    }

    /// After each input: the coordinators learn what the replicas have for them, and what they want sent is sent, until
    /// nobody has anything more to say.
    pub(in crate::engine) fn settle_coordinators(&mut self, cx: &mut Ctx) {
        loop {
            let news = self.replicas.take_coordinator_news();
            if !news.is_empty() {
                self.with_txns(cx, |txns, cx, turn| txns.on_news(cx, turn, &news));
                self.with_groups(cx, |groups, cx, turn| groups.on_news(cx, turn, news));
            }
            let mut marked = self.replicas.take_marked();
            marked.extend(self.groups.take_marked());
            for (place, error) in &marked {
                self.marked(cx, *place, *error);
            }
            let outgoing = self.txns.take_outgoing();
            if outgoing.is_empty() && marked.is_empty() && !self.replicas.has_coordinator_news() {
                return;
            }
            for letter in outgoing {
                self.send_out(cx, letter);
            }
        }
    }

    fn send_out(&mut self, cx: &mut Ctx, letter: Outgoing) {
        match letter {
            Outgoing::Markers { to, number, markers } if to == self.config.broker => {
                self.write_markers(cx, MarkerAsker::Own(number), markers);
            }
            Outgoing::Markers { to, number, markers } => {
                let request = PeerRequest::WriteTxnMarkers(WriteTxnMarkersRequest { markers });
                let timeout_ms = self.config.cluster.peer_request_timeout_ms;
                self.rpc.send(cx, to, Purpose::TxnMarkers(number), request, timeout_ms);
            }
            Outgoing::Added { asker, results } => self.tell_added(cx, asker, results),
        }
    }

    fn tell_added(&mut self, cx: &mut Ctx, asker: AddAsker, results: Vec<Added>) {
        let flat = |results: Vec<Added>| -> Vec<ErrorCode> {
            results.into_iter().flat_map(|added| added.results).map(|(_, error)| error).collect()
        };
        match asker {
            AddAsker::Client(token, version) => {
                let response = crate::engine::api::add_partitions_to_txn::on_wire(version, results);
                cx.respond(token, response);
            }
            AddAsker::Peer(broker, correlation_id) => {
                let response = AddPartitionsToTxnResponse { results: flat(results) };
                Rpc::respond(cx, broker, correlation_id, PeerResponse::AddPartitionsToTxn(response));
            }
            AddAsker::Own(number) => self.on_verified(cx, number, Some(flat(results))),
        }
    }

    /// The answer to what coordinators or leaders asked of another broker, or that there is none.
    pub(in crate::engine) fn on_transaction_result(&mut self, cx: &mut Ctx, result: RpcResult) {
        match (result.request.purpose, result.outcome) {
            (Purpose::TxnMarkers(number), outcome) => {
                let results = match outcome {
                    Ok(PeerResponse::WriteTxnMarkers(response)) => Some(response.results),
                    _ => None,
                };
                self.with_txns(cx, |txns, cx, turn| txns.on_marked(cx, turn, number, results.as_deref()));
            }
            (Purpose::Verification(number), Ok(PeerResponse::AddPartitionsToTxn(response))) => {
                self.on_verified(cx, number, Some(response.results));
            }
            (Purpose::Verification(number), _) => self.on_verified(cx, number, None),
            _ => unreachable!("only what concerns transactions comes here"),
        }
    }
}

//! Clients' requests: one file an API (or a small family of them). [`Broker::on_request`] sends each to whoever answers it: this
//! broker's image, its replicas, or the active controller.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod api_versions;
pub mod auto_create;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod delete_groups;
pub mod delete_records;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod end_txn;
pub mod errors;
pub mod fetch;
pub mod find_coordinator;
pub mod forward;
pub mod heartbeat;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod visible;
pub mod write_txn_markers;

use crate::engine::broker::Broker;
use crate::engine::group::{Groups, Turn};
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::replica::verified::Verified;
use crate::engine::txn::verification::Held;
use crate::protocol::codec::{Request, RequestHeader, Response};
use crate::protocol::ids::ConnectionId;

impl Broker {
    /// Routes a client's request.
    pub(in crate::engine) fn on_request(
        &mut self,
        cx: &mut Ctx,
        token: RequestToken,
        connection: ConnectionId,
        header: RequestHeader,
        request: Request,
    ) {
        match request {
            Request::Produce(_) | Request::TxnOffsetCommit(_) => {
                let held = Held { token, connection, header, request };
                if let Some(held) = self.waits_behind(held) {
                    self.vouch_and_carry_out(cx, held);
                }
            }
            Request::Fetch(_)
            | Request::ListOffsets(_)
            | Request::DeleteRecords(_)
            | Request::OffsetForLeaderEpoch(_)
            | Request::DescribeProducers(_)
            | Request::DescribeLogDirs(_) => self.with_replicas(cx, |replicas, cx, rpc, env| {
                replicas.on_request(cx, rpc, env, token, connection, &header, request);
            }),
            Request::FindCoordinator(request) => find_coordinator::handle(self, cx, token, &header, &request),
            Request::JoinGroup(_)
            | Request::SyncGroup(_)
            | Request::Heartbeat(_)
            | Request::LeaveGroup(_)
            | Request::OffsetCommit(_)
            | Request::OffsetFetch(_)
            | Request::OffsetDelete(_)
            | Request::ListGroups(_)
            | Request::DescribeGroups(_)
            | Request::DeleteGroups(_)
            | Request::ConsumerGroupHeartbeat(_)
            | Request::ConsumerGroupDescribe(_) => {
                self.with_groups(cx, |groups, cx, turn| on_group_request(groups, cx, turn, token, &header, request));
            }
            Request::InitProducerId(request) => init_producer_id::handle(self, cx, token, &header, &request),
            Request::AddPartitionsToTxn(request) => {
                add_partitions_to_txn::handle(self, cx, token, &header, &request);
            }
            Request::AddOffsetsToTxn(request) => add_offsets_to_txn::handle(self, cx, token, &header, &request),
            Request::EndTxn(request) => end_txn::handle(self, cx, token, &header, &request),
            Request::WriteTxnMarkers(request) => write_txn_markers::handle(self, cx, token, &request),
            Request::DescribeTransactions(request) => self.with_txns(cx, |txns, cx, turn| {
                describe_transactions::handle(txns, cx, turn, token, &request);
            }),
            Request::ListTransactions(request) => list_transactions::handle(&self.txns, cx, token, &request),
            Request::CreateTopics(_)
            | Request::DeleteTopics(_)
            | Request::CreatePartitions(_)
            | Request::AlterConfigs(_)
            | Request::IncrementalAlterConfigs(_)
            | Request::ElectLeaders(_)
            | Request::AlterPartitionReassignments(_)
            | Request::ListPartitionReassignments(_)
            | Request::DescribeQuorum(_)
            | Request::UnregisterBroker(_)
            | Request::UpdateFeatures(_) => self.forward(cx, token, header, request),
            request => {
                let response = self.answer_from_image(cx, &header, request);
                cx.respond(token, response);
            }
        }
    }

    /// Records and offsets of transactions: carried out once a coordinator has vouched for them.
    fn vouch_and_carry_out(&mut self, cx: &mut Ctx, held: Held) {
        let Request::Produce(produce) = &held.request else { return txn_offset_commit::handle(self, cx, held) };
        let version = held.header.version;
        let question = self.with_replicas(cx, |replicas, _, _, env| replicas.question_of(env, version, produce));
        match question {
            Some(question) => self.verify(cx, held, question),
            None => self.carry_out_verified(cx, held, &Verified::default()),
        }
    }

    /// The same with what the coordinator said.
    pub(in crate::engine) fn carry_out_verified(&mut self, cx: &mut Ctx, held: Held, verified: &Verified) {
        match held.request {
            Request::Produce(request) => self.with_replicas(cx, |replicas, cx, rpc, env| {
                let client = (held.token, held.connection);
                replicas.on_produce(cx, rpc, env, client, &held.header, request, verified);
            }),
            _ => txn_offset_commit::carry_out(self, cx, &held, verified),
        }
    }

    /// What any broker answers from the metadata it has applied.
    fn answer_from_image(&mut self, cx: &mut Ctx, header: &RequestHeader, request: Request) -> Response {
        let controller = self.controller_id();
        let (image, cluster, broker) = (&self.image, &self.config.cluster, self.config.broker);
        match request {
            Request::ApiVersions(request) => api_versions::answer(header, &request, image),
            Request::Metadata(request) => {
                let response = metadata::answer(image, cluster, broker, controller, header, &request);
                self.create_what_is_missing(cx, header, &request);
                response
            }
            Request::DescribeConfigs(request) => describe_configs::answer(image, cluster, broker, header, &request),
            Request::ListConfigResources(request) => list_config_resources::answer(image, header, &request),
            Request::DescribeCluster(request) => {
                describe_cluster::answer(image, cluster, broker, controller, header, &request)
            }
            Request::DescribeTopicPartitions(request) => {
                describe_topic_partitions::answer(image, cluster, broker, header, &request)
            }
            _ => unreachable!("every other API is routed before"),
        }
    }
}

/// Requests for a coordinator of groups.
fn on_group_request(
    groups: &mut Groups,
    cx: &mut Ctx,
    turn: &mut Turn,
    token: RequestToken,
    header: &RequestHeader,
    request: Request,
) {
    match request {
        Request::JoinGroup(request) => join_group::handle(groups, cx, turn, token, header, &request),
        Request::SyncGroup(request) => sync_group::handle(groups, cx, turn, token, header, &request),
        Request::Heartbeat(request) => heartbeat::handle(groups, cx, turn, token, &request),
        Request::LeaveGroup(request) => leave_group::handle(groups, cx, turn, token, header, &request),
        Request::OffsetCommit(request) => offset_commit::handle(groups, cx, turn, token, header, &request),
        Request::OffsetFetch(request) => offset_fetch::handle(groups, cx, turn, token, header, &request),
        Request::OffsetDelete(request) => offset_delete::handle(groups, cx, turn, token, &request),
        Request::ListGroups(request) => list_groups::handle(groups, cx, token, header, &request),
        Request::DescribeGroups(request) => describe_groups::handle(groups, cx, turn, token, header, &request),
        Request::DeleteGroups(request) => delete_groups::handle(groups, cx, turn, token, &request),
        Request::ConsumerGroupHeartbeat(request) => {
            consumer_group_heartbeat::handle(groups, cx, turn, token, header, &request);
        }
        Request::ConsumerGroupDescribe(request) => {
            consumer_group_describe::handle(groups, cx, turn, token, header, &request);
        }
        _ => unreachable!("only requests for a coordinator of groups come here"),
    }
}

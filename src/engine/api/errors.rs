//! Whole-request refusals: the response in which every part carries the same error (what `getErrorResponse` is in Kafka), for the
//! APIs that are answered by the controller and for the brokers' own requests to it.

use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use crate::protocol::peer::{
    AllocateProducerIdsResponse, AlterPartitionResponse, BrokerHeartbeatResponse, PeerRequest, PeerResponse,
    RegisterBrokerResponse,
};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::StrBytes;

/// The refusal of a client's admin request.
///
/// # Panics
/// For an API that is never forwarded.
pub fn refusal(request: &Request, error: ErrorCode) -> Response {
    let code = error.code();
    let message = Some(StrBytes::from_static_str(error.name()));
    match request {
        Request::CreateTopics(request) => {
            let topic = |topic: &m::create_topics_request::CreatableTopic| {
                m::create_topics_response::CreatableTopicResult::default()
                    .with_name(topic.name.clone())
                    .with_error_code(code)
                    .with_error_message(message.clone())
            };
            let topics = request.topics.iter().map(topic).collect();
            Response::CreateTopics(m::CreateTopicsResponse::default().with_topics(topics))
        }
        Request::DeleteTopics(request) => {
            let result = m::delete_topics_response::DeletableTopicResult::default().with_error_code(code);
            let by_name = request.topic_names.iter().map(|name| result.clone().with_name(Some(name.clone())));
            let by_id = request
                .topics
                .iter()
                .map(|topic| result.clone().with_name(topic.name.clone()).with_topic_id(topic.topic_id));
            let responses = by_name.chain(by_id).collect();
            Response::DeleteTopics(m::DeleteTopicsResponse::default().with_responses(responses))
        }
        Request::CreatePartitions(request) => {
            let result = |topic: &m::create_partitions_request::CreatePartitionsTopic| {
                m::create_partitions_response::CreatePartitionsTopicResult::default()
                    .with_name(topic.name.clone())
                    .with_error_code(code)
                    .with_error_message(message.clone())
            };
            let results = request.topics.iter().map(result).collect();
            Response::CreatePartitions(m::CreatePartitionsResponse::default().with_results(results))
        }
        Request::AlterConfigs(request) => {
            let result = |resource: &m::alter_configs_request::AlterConfigsResource| {
                m::alter_configs_response::AlterConfigsResourceResponse::default()
                    .with_resource_type(resource.resource_type)
                    .with_resource_name(resource.resource_name.clone())
                    .with_error_code(code)
                    .with_error_message(message.clone())
            };
            let responses = request.resources.iter().map(result).collect();
            Response::AlterConfigs(m::AlterConfigsResponse::default().with_responses(responses))
        }
        Request::IncrementalAlterConfigs(request) => {
            let result = |resource: &m::incremental_alter_configs_request::AlterConfigsResource| {
                m::incremental_alter_configs_response::AlterConfigsResourceResponse::default()
                    .with_resource_type(resource.resource_type)
                    .with_resource_name(resource.resource_name.clone())
                    .with_error_code(code)
                    .with_error_message(message.clone())
            };
            let responses = request.resources.iter().map(result).collect();
            Response::IncrementalAlterConfigs(m::IncrementalAlterConfigsResponse::default().with_responses(responses))
        }
        request => whole_refusal(request, code, message),
    }
}

/// Those with one error field for all.
fn whole_refusal(request: &Request, code: i16, message: Option<StrBytes>) -> Response {
    match request {
        Request::ElectLeaders(_) => Response::ElectLeaders(m::ElectLeadersResponse::default().with_error_code(code)),
        Request::AlterPartitionReassignments(_) => Response::AlterPartitionReassignments(
            m::AlterPartitionReassignmentsResponse::default().with_error_code(code).with_error_message(message),
        ),
        Request::ListPartitionReassignments(_) => Response::ListPartitionReassignments(
            m::ListPartitionReassignmentsResponse::default().with_error_code(code).with_error_message(message),
        ),
        Request::DescribeQuorum(_) => Response::DescribeQuorum(
            m::DescribeQuorumResponse::default().with_error_code(code).with_error_message(message),
        ),
        Request::UnregisterBroker(_) => Response::UnregisterBroker(
            m::UnregisterBrokerResponse::default().with_error_code(code).with_error_message(message),
        ),
        Request::UpdateFeatures(_) => Response::UpdateFeatures(
            m::UpdateFeaturesResponse::default().with_error_code(code).with_error_message(message),
        ),
        _ => unreachable!("only requests for the controller are forwarded"),
    }
}

/// The refusal of another broker's request to the controller; `None` for requests that are not for it.
pub fn peer_refusal(request: &PeerRequest, error: ErrorCode) -> Option<PeerResponse> {
    Some(match request {
        PeerRequest::RegisterBroker(_) => {
            PeerResponse::RegisterBroker(RegisterBrokerResponse { error, broker_epoch: -1 })
        }
        PeerRequest::BrokerHeartbeat(_) => PeerResponse::BrokerHeartbeat(BrokerHeartbeatResponse {
            error,
            is_caught_up: false,
            is_fenced: true,
            should_shut_down: false,
        }),
        PeerRequest::AlterPartition(_) => {
            PeerResponse::AlterPartition(AlterPartitionResponse { error, partitions: Vec::new() })
        }
        PeerRequest::AllocateProducerIds(_) => {
            PeerResponse::AllocateProducerIds(AllocateProducerIdsResponse { error, first: -1, length: 0 })
        }
        _ => return None,
    })
}

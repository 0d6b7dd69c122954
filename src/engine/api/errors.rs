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

/// The refusal of a client's admin request of a version.
///
/// # Panics
/// For an API that is never forwarded.
pub fn refusal(request: &Request, version: i16, error: ErrorCode) -> Response {
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
        Request::ElectLeaders(request) => Response::ElectLeaders(elect_leaders(request, version, code, &message)),
        request => whole_refusal(request, code, message),
    }
}

/// Version 0 has no error for all, only each partition's (`ElectLeadersRequest.getErrorResponse`).
fn elect_leaders(
    request: &m::ElectLeadersRequest,
    version: i16,
    code: i16,
    message: &Option<StrBytes>,
) -> m::ElectLeadersResponse {
    let topic = |topic: &m::elect_leaders_request::TopicPartitions| {
        let partition = |number: &i32| {
            m::elect_leaders_response::PartitionResult::default()
                .with_partition_id(*number)
                .with_error_code(code)
                .with_error_message(message.clone())
        };
        m::elect_leaders_response::ReplicaElectionResult::default()
            .with_topic(topic.topic.clone())
            .with_partition_result(topic.partitions.iter().map(partition).collect())
    };
    m::ElectLeadersResponse::default()
        .with_error_code(if version >= 1 { code } else { 0 })
        .with_replica_election_results(request.topic_partitions.iter().flatten().map(topic).collect())
}

/// Those with one error field for all.
fn whole_refusal(request: &Request, code: i16, message: Option<StrBytes>) -> Response {
    match request {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::api::ApiKey;
    use crate::protocol::codec::{RequestHeader, decode_response, encode_response};

    /// One request of each API that is forwarded, with something in it to refuse.
    fn requests() -> Vec<Request> {
        use kafka_protocol::messages as m;
        let name = || m::TopicName(StrBytes::from_static_str("orders"));
        let text = || StrBytes::from_static_str("orders");
        let create = m::create_topics_request::CreatableTopic::default().with_name(name());
        let delete = m::delete_topics_request::DeleteTopicState::default().with_topic_id(uuid::Uuid::from_u128(9));
        let grow = m::create_partitions_request::CreatePartitionsTopic::default().with_name(name());
        let alter = m::alter_configs_request::AlterConfigsResource::default().with_resource_name(text());
        let change = m::incremental_alter_configs_request::AlterConfigsResource::default().with_resource_name(text());
        let elect = m::elect_leaders_request::TopicPartitions::default().with_topic(name()).with_partitions(vec![1]);
        vec![
            Request::CreateTopics(m::CreateTopicsRequest::default().with_topics(vec![create])),
            Request::DeleteTopics(m::DeleteTopicsRequest::default().with_topic_names(vec![name()])),
            Request::DeleteTopics(m::DeleteTopicsRequest::default().with_topics(vec![delete])),
            Request::CreatePartitions(m::CreatePartitionsRequest::default().with_topics(vec![grow])),
            Request::AlterConfigs(m::AlterConfigsRequest::default().with_resources(vec![alter])),
            Request::IncrementalAlterConfigs(m::IncrementalAlterConfigsRequest::default().with_resources(vec![change])),
            Request::ElectLeaders(m::ElectLeadersRequest::default().with_topic_partitions(Some(vec![elect]))),
            Request::ElectLeaders(m::ElectLeadersRequest::default().with_topic_partitions(None)),
            Request::AlterPartitionReassignments(m::AlterPartitionReassignmentsRequest::default()),
            Request::ListPartitionReassignments(m::ListPartitionReassignmentsRequest::default()),
            Request::DescribeQuorum(m::DescribeQuorumRequest::default()),
            Request::UnregisterBroker(m::UnregisterBrokerRequest::default()),
            Request::UpdateFeatures(m::UpdateFeaturesRequest::default()),
        ]
    }

    #[test]
    fn every_version_can_say_a_refusal() {
        for request in requests() {
            let api = request.api();
            let has_ids = matches!(&request, Request::DeleteTopics(delete) if !delete.topics.is_empty());
            for version in (if has_ids { 6 } else { api.min_version() })..=api.max_version() {
                let header = RequestHeader { api, version, correlation_id: 7, client_id: None, client_host: None };
                let response = refusal(&request, version, ErrorCode::RequestTimedOut);
                let frame = encode_response(&header, &response).unwrap_or_else(|error| panic!("{error}"));
                decode_response(api, version, frame.to_bytes().slice(4..)).expect("decodes");
            }
        }
    }

    #[test]
    fn the_oldest_elections_are_refused_one_by_one() {
        let elect = requests().into_iter().find(|request| request.api() == ApiKey::ElectLeaders).expect("one of each");
        for version in 0..=2 {
            let Response::ElectLeaders(response) = refusal(&elect, version, ErrorCode::RequestTimedOut) else {
                panic!("another API's")
            };
            let code = ErrorCode::RequestTimedOut.code();
            assert_eq!(response.error_code, if version == 0 { 0 } else { code });
            assert_eq!(response.replica_election_results[0].partition_result[0].error_code, code);
        }
    }
}

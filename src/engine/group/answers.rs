//! The answers to requests that may have to wait, as each version of them can say it, and how an error is put into an
//! answer that was to be a good one.

use crate::engine::group::member::Asker;
use crate::protocol::codec::{RequestHeader, Response};
use crate::protocol::error::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{ConsumerGroupHeartbeatResponse, JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// The first version of JoinGroup whose protocol may be null.
const NULL_PROTOCOL_FROM: i16 = 7;

/// Text for the wire.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Where a client's connection comes from, as groups are told it: Java's form of an address. Empty where the host of the
/// broker does not know.
pub fn host_of(header: &RequestHeader) -> Arc<str> {
    header.client_host.map_or_else(|| Arc::from(""), |host| Arc::from(format!("/{host}")))
}

/// What a generation looks like to a member that has joined it.
#[derive(Debug, Clone, Default)]
pub struct Joined<'a> {
    /// Its number.
    pub generation: i32,
    /// What kind of members it has.
    pub protocol_type: Option<&'a str>,
    /// The protocol that was chosen.
    pub protocol: Option<&'a str>,
    /// The member that computes the assignment.
    pub leader: &'a str,
    /// The member that is told.
    pub member: &'a str,
    /// Its members, for the leader alone.
    pub members: Vec<JoinGroupResponseMember>,
    /// The leader is to leave the assignment as it is (KIP-814).
    pub skip_assignment: bool,
}

/// The answer to a JoinGroup that succeeded.
pub fn joined(asker: Asker, joined: Joined) -> Response {
    let mut response = JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_name(joined.protocol.map(text))
        .with_leader(text(joined.leader))
        .with_member_id(text(joined.member))
        .with_members(joined.members);
    if asker.version < NULL_PROTOCOL_FROM {
        response.protocol_name.get_or_insert_default();
    } else {
        response.protocol_type = joined.protocol_type.map(text);
    }
    if asker.version >= 9 {
        response.skip_assignment = joined.skip_assignment;
    }
    Response::JoinGroup(response)
}

/// The answer to a JoinGroup that did not.
pub fn join_refused(asker: Asker, member: &str, error: ErrorCode) -> Response {
    let mut response = JoinGroupResponse::default().with_error_code(error.code()).with_member_id(text(member));
    response.protocol_name = (asker.version < NULL_PROTOCOL_FROM).then(StrBytes::default);
    Response::JoinGroup(response)
}

/// The answer to a SyncGroup.
pub fn synced(
    version: i16,
    error: ErrorCode,
    protocol_type: Option<&str>,
    protocol: Option<&str>,
    assignment: Bytes,
) -> Response {
    let mut response = SyncGroupResponse::default().with_error_code(error.code()).with_assignment(assignment);
    if version >= 5 && error.is_none() {
        response.protocol_type = protocol_type.map(text);
        response.protocol_name = protocol.map(text);
    }
    Response::SyncGroup(response)
}

/// An answer whose records could not be written.
pub fn with_error(mut response: Response, error: ErrorCode) -> Response {
    let code = error.code();
    match &mut response {
        Response::OffsetCommit(response) => {
            let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            for partition in partitions.filter(|partition| partition.error_code == 0) {
                partition.error_code = code;
            }
        }
        Response::TxnOffsetCommit(response) => {
            let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            for partition in partitions.filter(|partition| partition.error_code == 0) {
                partition.error_code = code;
            }
        }
        Response::JoinGroup(response) => {
            response.error_code = code;
            response.member_id = StrBytes::default();
            response.members.clear();
        }
        Response::LeaveGroup(response) => response.error_code = code,
        Response::SyncGroup(response) => {
            response.error_code = code;
            response.assignment = Bytes::new();
        }
        Response::ConsumerGroupHeartbeat(response) => {
            *response = ConsumerGroupHeartbeatResponse::default().with_error_code(code);
        }
        Response::OffsetDelete(response) => {
            response.error_code = code;
            response.topics.clear();
        }
        _ => unreachable!("no other answer waits for records"),
    }
    response
}

/// What clients are told when a write failed (`CoordinatorOperationExceptionHelper`, `OffsetMetadataManager`): ask
/// again, ask elsewhere, or give up.
pub fn write_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        error => error,
    }
}

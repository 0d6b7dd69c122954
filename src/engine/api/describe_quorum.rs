//! DescribeQuorum (key 55), answered by the active controller: epoch, high watermark, and how far each voter and observer is (KIP-595,
//! KIP-836, KIP-853).

use crate::engine::controller::image::MetadataImage;
use crate::engine::quorum::Quorum;
use crate::engine::time::{Instant, WallTime};
use crate::protocol::codec::Response;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use kafka_protocol::messages::{BrokerId as WireBrokerId, DescribeQuorumRequest, DescribeQuorumResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

/// The metadata log's name.
const TOPIC: &str = "__cluster_metadata";

/// Answers from the leader's own account.
pub(in crate::engine) fn answer(
    quorum: &Quorum,
    image: &MetadataImage,
    now: Instant,
    wall: WallTime,
    version: i16,
    request: &DescribeQuorumRequest,
) -> Response {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            if topic.topic_name.0.as_str() == TOPIC && partition.partition_index == 0 {
                describe(quorum, image, now, wall)
            } else {
                PartitionData::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
            }
        });
        TopicData::default()
            .with_topic_name(TopicName(topic.topic_name.0.clone()))
            .with_partitions(partitions.collect())
    });
    // Nodes with their listeners came with version 2 (KIP-853).
    let told = image.voters.keys().filter(|_| version >= 2);
    let nodes = told.filter_map(|voter| {
        let broker = image.brokers.get(voter)?;
        let listener = Listener::default()
            .with_name(StrBytes::from_static_str("CONTROLLER"))
            .with_host(StrBytes::from_string(broker.host.clone()))
            .with_port(broker.port);
        Some(Node::default().with_node_id(WireBrokerId(voter.0)).with_listeners(vec![listener]))
    });
    let response = DescribeQuorumResponse::default().with_topics(topics.collect()).with_nodes(nodes.collect());
    Response::DescribeQuorum(response)
}

fn describe(quorum: &Quorum, image: &MetadataImage, now: Instant, wall: WallTime) -> PartitionData {
    let snapshot = quorum.snapshot();
    let state = |id: BrokerId| {
        let follower = snapshot.followers.iter().find(|(follower, _, _)| *follower == id);
        let is_self = snapshot.leader == Some(id);
        let log_end = if is_self { snapshot.log_end } else { follower.map_or(-1, |(_, end, _)| *end) };
        let fetched_ms = match follower {
            _ if is_self => wall.0,
            Some((_, _, at)) => {
                wall.0 - i64::try_from(now.since(*at).as_millis()).expect("a duration of less than 292 million years")
            }
            None => -1,
        };
        let caught_up = if log_end >= snapshot.high_watermark { fetched_ms } else { -1 };
        let directory = image.brokers.get(&id).map_or(uuid::Uuid::nil(), |broker| broker.directory.0);
        ReplicaState::default()
            .with_replica_id(WireBrokerId(id.0))
            .with_replica_directory_id(directory)
            .with_log_end_offset(log_end)
            .with_last_fetch_timestamp(fetched_ms)
            .with_last_caught_up_timestamp(caught_up)
    };
    let observers = snapshot.followers.iter().map(|(id, _, _)| *id).filter(|id| !snapshot.voters.contains(id));
    PartitionData::default()
        .with_partition_index(0)
        .with_leader_id(WireBrokerId(snapshot.leader.map_or(-1, |leader| leader.0)))
        .with_leader_epoch(snapshot.epoch)
        .with_high_watermark(snapshot.high_watermark)
        .with_current_voters(snapshot.voters.iter().map(|id| state(*id)).collect())
        .with_observers(observers.map(state).collect())
}

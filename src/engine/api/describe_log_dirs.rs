//! DescribeLogDirs (key 35, versions 1 to 4): how large this broker's logs are (KIP-113, KIP-827). A broker has one log
//! directory; its name is made up, because the engine knows of no files, and so are no sizes of disks.

use crate::engine::io::{Ctx, RequestToken};
use crate::engine::replica::{ReplicaEnv, Replicas};
use crate::protocol::codec::Response;
use crate::protocol::ids::PartitionId;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// "Not known" of a size.
const UNKNOWN: i64 = -1;

/// Answers with the logs asked for, or all.
pub(in crate::engine) fn handle(
    replicas: &Replicas,
    cx: &mut Ctx,
    env: &ReplicaEnv,
    token: RequestToken,
    request: &DescribeLogDirsRequest,
) {
    let is_wanted = |topic: &str, id: PartitionId| match &request.topics {
        None => true,
        Some(wanted) => wanted.iter().any(|w| w.topic.as_str() == topic && w.partitions.contains(&id.partition)),
    };
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for (id, replica) in replicas.iter().filter(|(id, replica)| is_wanted(&replica.topic, *id)) {
        let size = i64::try_from(replica.log.size_bytes()).unwrap_or(i64::MAX);
        let lag = (replica.high_watermark - replica.log.end_offset()).max(0);
        topics.entry(replica.topic.to_string()).or_default().push(
            DescribeLogDirsPartition::default()
                .with_partition_index(id.partition)
                .with_partition_size(size)
                .with_offset_lag(lag)
                .with_is_future_key(false),
        );
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        DescribeLogDirsTopic::default().with_name(TopicName(StrBytes::from_string(name))).with_partitions(partitions)
    });
    let directory = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(format!("/kafkarium/broker-{}", env.broker)))
        .with_topics(topics.collect())
        .with_total_bytes(UNKNOWN)
        .with_usable_bytes(UNKNOWN);
    cx.respond(token, Response::DescribeLogDirs(DescribeLogDirsResponse::default().with_results(vec![directory])));
}

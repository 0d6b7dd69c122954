//! THE table of APIs: key, name, served versions. What ApiVersions answers, what the codec takes and what the tests
//! walk through all come from here. An API that is not served is not in it.
//!
//! Versions: Kafka's own minimum up to what `kafka-protocol` has. Produce is advertised from 0 on (KAFKA-18659:
//! librdkafka's compression detection needs it) and served from 3 on, as Kafka does.

/// The table, handed to a macro: variant, key, first and last served version, type of request and response.
macro_rules! for_each_api {
    ($then:ident) => {
        $then! {
            Produce = 0, 3, 13, ProduceRequest, ProduceResponse;
            Fetch = 1, 4, 18, FetchRequest, FetchReply;
            ListOffsets = 2, 1, 10, ListOffsetsRequest, ListOffsetsResponse;
            Metadata = 3, 0, 13, MetadataRequest, MetadataResponse;
            OffsetCommit = 8, 2, 9, OffsetCommitRequest, OffsetCommitResponse;
            OffsetFetch = 9, 1, 9, OffsetFetchRequest, OffsetFetchResponse;
            FindCoordinator = 10, 0, 6, FindCoordinatorRequest, FindCoordinatorResponse;
            JoinGroup = 11, 0, 9, JoinGroupRequest, JoinGroupResponse;
            Heartbeat = 12, 0, 4, HeartbeatRequest, HeartbeatResponse;
            LeaveGroup = 13, 0, 5, LeaveGroupRequest, LeaveGroupResponse;
            SyncGroup = 14, 0, 5, SyncGroupRequest, SyncGroupResponse;
            DescribeGroups = 15, 0, 6, DescribeGroupsRequest, DescribeGroupsResponse;
            ListGroups = 16, 0, 5, ListGroupsRequest, ListGroupsResponse;
            ApiVersions = 18, 0, 4, ApiVersionsRequest, ApiVersionsResponse;
            CreateTopics = 19, 2, 7, CreateTopicsRequest, CreateTopicsResponse;
            DeleteTopics = 20, 1, 6, DeleteTopicsRequest, DeleteTopicsResponse;
            DeleteRecords = 21, 0, 2, DeleteRecordsRequest, DeleteRecordsResponse;
            InitProducerId = 22, 0, 5, InitProducerIdRequest, InitProducerIdResponse;
            OffsetForLeaderEpoch = 23, 2, 4, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
            AddPartitionsToTxn = 24, 0, 5, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
            AddOffsetsToTxn = 25, 0, 4, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
            EndTxn = 26, 0, 5, EndTxnRequest, EndTxnResponse;
            WriteTxnMarkers = 27, 1, 1, WriteTxnMarkersRequest, WriteTxnMarkersResponse;
            TxnOffsetCommit = 28, 0, 5, TxnOffsetCommitRequest, TxnOffsetCommitResponse;
            DescribeConfigs = 32, 1, 4, DescribeConfigsRequest, DescribeConfigsResponse;
            AlterConfigs = 33, 0, 2, AlterConfigsRequest, AlterConfigsResponse;
            DescribeLogDirs = 35, 1, 4, DescribeLogDirsRequest, DescribeLogDirsResponse;
            CreatePartitions = 37, 0, 3, CreatePartitionsRequest, CreatePartitionsResponse;
            DeleteGroups = 42, 0, 2, DeleteGroupsRequest, DeleteGroupsResponse;
            ElectLeaders = 43, 0, 2, ElectLeadersRequest, ElectLeadersResponse;
            IncrementalAlterConfigs = 44, 0, 1, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
            AlterPartitionReassignments = 45, 0, 1,
                AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
            ListPartitionReassignments = 46, 0, 0,
                ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
            OffsetDelete = 47, 0, 0, OffsetDeleteRequest, OffsetDeleteResponse;
            DescribeQuorum = 55, 0, 2, DescribeQuorumRequest, DescribeQuorumResponse;
            UpdateFeatures = 57, 0, 2, UpdateFeaturesRequest, UpdateFeaturesResponse;
            DescribeCluster = 60, 0, 2, DescribeClusterRequest, DescribeClusterResponse;
            DescribeProducers = 61, 0, 0, DescribeProducersRequest, DescribeProducersResponse;
            UnregisterBroker = 64, 0, 0, UnregisterBrokerRequest, UnregisterBrokerResponse;
            DescribeTransactions = 65, 0, 0, DescribeTransactionsRequest, DescribeTransactionsResponse;
            ListTransactions = 66, 0, 2, ListTransactionsRequest, ListTransactionsResponse;
            ConsumerGroupHeartbeat = 68, 0, 1, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
            ConsumerGroupDescribe = 69, 0, 1, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
            ListConfigResources = 74, 0, 1, ListConfigResourcesRequest, ListConfigResourcesResponse;
            DescribeTopicPartitions = 75, 0, 0, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
        }
    };
}
pub(crate) use for_each_api;

macro_rules! define_keys {
    ($($name:ident = $key:literal, $min:literal, $max:literal, $request:ident, $response:ident;)*) => {
        /// An API that is served to clients.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[expect(missing_docs, reason = "the names are Kafka's own")]
        pub enum ApiKey { $($name = $key,)* }

        impl ApiKey {
            /// Every API, in order of key.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name,)*];

            /// The API of a key; `None` if it is not served.
            pub fn from_key(key: i16) -> Option<ApiKey> {
                match key { $($key => Some(ApiKey::$name),)* _ => None }
            }

            /// Kafka's name.
            pub fn name(self) -> &'static str {
                match self { $(ApiKey::$name => stringify!($name),)* }
            }

            /// The first version that is served.
            pub fn min_version(self) -> i16 {
                match self { $(ApiKey::$name => $min,)* }
            }

            /// The last version that is served.
            pub fn max_version(self) -> i16 {
                match self { $(ApiKey::$name => $max,)* }
            }
        }
    };
}
for_each_api!(define_keys);

impl ApiKey {
    /// The number on the wire.
    pub fn key(self) -> i16 {
        self as i16
    }

    /// The first version that ApiVersions tells.
    pub fn advertised_min_version(self) -> i16 {
        if self == ApiKey::Produce { 0 } else { self.min_version() }
    }

    /// Whether a version is served.
    pub fn serves(self, version: i16) -> bool {
        (self.min_version()..=self.max_version()).contains(&version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_rise_and_produce_is_advertised_from_zero() {
        assert!(ApiKey::ALL.windows(2).all(|pair| pair[0].key() < pair[1].key()));
        for api in ApiKey::ALL {
            assert_eq!(ApiKey::from_key(api.key()), Some(*api));
            assert!(api.min_version() <= api.max_version());
        }
        assert_eq!(ApiKey::Produce.advertised_min_version(), 0);
        assert!(!ApiKey::Produce.serves(2));
        assert_eq!(ApiKey::from_key(17), None);
    }
}

//! Topics made on demand: a Metadata request that allows it (from version 4 on, or any older one) names a topic that does not exist, and
//! `auto.create.topics.enable` is on (Kafka's `AutoTopicCreationManager`). The request itself is answered with what is known now; the client
//! asks again. `__consumer_offsets` and `__transaction_state` are made the same way when somebody looks for a coordinator, whatever that
//! setting says.

use crate::engine::active::Asker;
use crate::engine::broker::Broker;
use crate::engine::config::ClusterConfig;
use crate::engine::group::OFFSETS_TOPIC;
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::rpc::Purpose;
use crate::engine::txn::TRANSACTIONS_TOPIC;
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{Request, RequestHeader};
use crate::protocol::peer::{ForwardRequest, PeerRequest};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{CreateTopicsRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

/// How long a topic that is being made is not asked for again, in milliseconds.
const RETRY_AFTER_MS: u64 = 1_000;

/// The request token of requests that nobody waits for.
const NOBODY: RequestToken = RequestToken(u64::MAX);

impl Broker {
    /// Asks the controller for the topics of a Metadata request that do not exist.
    pub(in crate::engine) fn create_what_is_missing(
        &mut self,
        cx: &mut Ctx,
        header: &RequestHeader,
        request: &MetadataRequest,
    ) {
        let allowed = header.version < 4 || request.allow_auto_topic_creation;
        if !allowed || !self.config.cluster.auto_create_topics_enable {
            return;
        }
        let missing: Vec<String> = request
            .topics
            .iter()
            .flatten()
            .filter_map(|topic| topic.name.as_ref())
            .map(|name| name.0.to_string())
            .filter(|name| self.lacks_topic(cx, name))
            .filter(|name| crate::engine::controller::topics::is_valid_name(name))
            .collect();
        self.create_topics(cx, header, missing);
    }

    /// Makes a topic that coordinators live in, unless it is there or on its way.
    pub(in crate::engine) fn create_internal_topic(&mut self, cx: &mut Ctx, header: &RequestHeader, name: &str) {
        if self.lacks_topic(cx, name) {
            self.create_topics(cx, header, vec![name.to_owned()]);
        }
    }

    /// Whether a topic is neither there nor on its way: an attempt that has not led to it in time has failed, whether or not anybody said so.
    fn lacks_topic(&self, cx: &Ctx, name: &str) -> bool {
        let is_on_its_way = self.auto_creating.get(name).is_some_and(|until| *until > cx.now);
        !is_on_its_way && !self.image.topic_ids.contains_key(name)
    }

    fn create_topics(&mut self, cx: &mut Ctx, header: &RequestHeader, names: Vec<String>) {
        let Some(controller) = self.controller_id().filter(|_| !names.is_empty()) else { return };
        let topics = names.iter().map(|name| creatable(&self.config.cluster, name)).collect();
        let until = cx.now.plus_millis(RETRY_AFTER_MS);
        self.auto_creating.extend(names.into_iter().map(|name| (name, until)));
        let create = Request::CreateTopics(CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000));
        let header = RequestHeader { api: ApiKey::CreateTopics, version: 7, ..header.clone() };
        if controller == self.config.broker {
            self.admin_here(cx, Asker::AutoCreate, &header, &create);
        } else {
            let ask = PeerRequest::Forward(Box::new(ForwardRequest { header, request: create }));
            let timeout_ms = self.config.cluster.peer_request_timeout_ms;
            self.rpc.send(cx, controller, Purpose::Forward(NOBODY), ask, timeout_ms);
        }
    }
}

/// A topic as it is made on demand: the brokers' defaults, or what `offsets.topic.*` or `transaction.state.log.*` says.
fn creatable(config: &ClusterConfig, name: &str) -> CreatableTopic {
    let topic = CreatableTopic::default().with_name(TopicName(StrBytes::from_string(name.to_owned())));
    let config_of = |name: &'static str, value: String| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_string(value)))
    };
    let compacted = config_of("cleanup.policy", "compact".to_owned());
    match name {
        OFFSETS_TOPIC => topic
            .with_num_partitions(config.offsets_topic_num_partitions)
            .with_replication_factor(config.offsets_topic_replication_factor)
            .with_configs(vec![
                compacted,
                config_of("compression.type", "producer".to_owned()),
                config_of("segment.bytes", config.offsets_topic_segment_bytes.to_string()),
            ]),
        TRANSACTIONS_TOPIC => topic
            .with_num_partitions(config.transaction_topic_num_partitions)
            .with_replication_factor(config.transaction_topic_replication_factor)
            .with_configs(vec![
                compacted,
                config_of("compression.type", "uncompressed".to_owned()),
                config_of("min.insync.replicas", config.transaction_topic_min_isr.to_string()),
                config_of("segment.bytes", config.transaction_topic_segment_bytes.to_string()),
                config_of("unclean.leader.election.enable", "false".to_owned()),
            ]),
        _ => topic.with_num_partitions(-1).with_replication_factor(-1),
    }
}

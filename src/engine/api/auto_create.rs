//! Topics made on demand: a Metadata request that allows it (from version 4 on, or any older one) names a topic that does not exist, and
//! `auto.create.topics.enable` is on (Kafka's `AutoTopicCreationManager`). The request itself is answered with what is known now; the client
//! asks again.

use crate::engine::active::Asker;
use crate::engine::broker::Broker;
use crate::engine::io::{Ctx, RequestToken};
use crate::engine::rpc::Purpose;
use crate::protocol::api::ApiKey;
use crate::protocol::codec::{Request, RequestHeader};
use crate::protocol::peer::{ForwardRequest, PeerRequest};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
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
            .filter(|name| !self.image.topic_ids.contains_key(name) && !self.auto_creating.contains_key(name))
            .filter(|name| crate::engine::controller::topics::is_valid_name(name))
            .collect();
        let Some(controller) = self.controller_id().filter(|_| !missing.is_empty()) else { return };
        let topics = missing
            .iter()
            .map(|name| {
                CreatableTopic::default()
                    .with_name(TopicName(StrBytes::from_string(name.clone())))
                    .with_num_partitions(-1)
                    .with_replication_factor(-1)
            })
            .collect();
        let until = cx.now.plus_millis(RETRY_AFTER_MS);
        self.auto_creating.extend(missing.into_iter().map(|name| (name, until)));
        let create = Request::CreateTopics(CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000));
        let header = RequestHeader { api: ApiKey::CreateTopics, version: 7, ..header.clone() };
        if controller == self.config.broker {
            self.admin_here(cx, Asker::AutoCreate, &header, &create);
        } else {
            let ask = PeerRequest::Forward(ForwardRequest { header, request: create });
            let timeout_ms = self.config.cluster.peer_request_timeout_ms;
            self.rpc.send(cx, controller, Purpose::Forward(NOBODY), ask, timeout_ms);
        }
    }
}

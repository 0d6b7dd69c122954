//! A client that makes topics, again and again until they are there: a cluster that has just been started does not have the brokers yet.

use crate::client::Target;
use crate::client::admin::Admin;
use crate::client::metadata::topic_name;
use crate::engine::time::Instant;
use crate::protocol::codec::{Request, Response};
use crate::protocol::error::ErrorCode;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::protocol::StrBytes;

/// Wait before a repetition, in milliseconds.
const RETRY_BACKOFF_MS: u64 = 50;
/// How long the brokers may take, in milliseconds.
const TIMEOUT_MS: i32 = 5_000;

/// A topic that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each has.
    pub replication_factor: i16,
    /// What is set for it.
    pub configs: Vec<(&'static str, String)>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Topics {
    pub(super) machine: Admin,
    request: Request,
    again_at: Option<Instant>,
    /// Whether all are there.
    pub(super) is_done: bool,
}

impl Topics {
    /// A client that makes topics.
    pub fn new(topics: &[NewTopic]) -> Topics {
        let config = |(name, value): &(&'static str, String)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_string(value.clone())))
        };
        let topic = |topic: &NewTopic| {
            CreatableTopic::default()
                .with_name(topic_name(&topic.name))
                .with_num_partitions(topic.partitions)
                .with_replication_factor(topic.replication_factor)
                .with_configs(topic.configs.iter().map(config).collect())
        };
        let topics = topics.iter().map(topic).collect();
        let request = CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(TIMEOUT_MS);
        Topics::asking(Request::CreateTopics(request))
    }

    /// A client that asks for topics in its own words.
    pub fn asking(request: Request) -> Topics {
        Topics { machine: Topics::machine(&request), request, again_at: None, is_done: false }
    }

    fn machine(request: &Request) -> Admin {
        Admin::new(Target::Any, request.clone(), u64::MAX)
    }

    pub(super) fn prepare(&mut self, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.machine = Topics::machine(&self.request);
        }
    }

    pub(super) fn harvest(&mut self, now: Instant) {
        if self.is_done || self.again_at.is_some() {
            return;
        }
        let Some(outcome) = &self.machine.outcome else { return };
        let is_there =
            |code: i16| matches!(ErrorCode::from_code(code), ErrorCode::None | ErrorCode::TopicAlreadyExists);
        self.is_done = matches!(
            outcome,
            Ok(Response::CreateTopics(response)) if response.topics.iter().all(|topic| is_there(topic.error_code))
        );
        if !self.is_done {
            self.again_at = Some(now.plus_millis(RETRY_BACKOFF_MS));
        }
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.again_at
    }
}

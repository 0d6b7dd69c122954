//! Records of the metadata log in words, one line each.
//!
//! Invariant: a topic that is no longer known by name is told by the beginning of its id.
//!
//! Deliberately not here: colours and widths.

use super::why::grouped;
use crate::cluster::command::values::join_ids;
use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::record::{ConfigResource, MetadataRecord, PartitionState};
use crate::engine::quorum::RecentRecord;
use crate::protocol::ids::{BrokerId, TopicId};

/// Where names of topics are looked up: in metadata that may be older or newer than the record, and in records beside it.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) images: [&'a MetadataImage; 2],
    pub(super) beside: &'a [RecentRecord],
}

impl Names<'_> {
    fn topic(&self, id: TopicId) -> String {
        let known = self.images.iter().find_map(|image| image.topics.get(&id).map(|topic| topic.name.clone()));
        let beside = || {
            self.beside.iter().find_map(|one| match &*one.record {
                MetadataRecord::Topic { name, id: other } if *other == id => Some(name.clone()),
                _ => None,
            })
        };
        known.or_else(beside).unwrap_or_else(|| {
            let id = id.0.simple().to_string();
            format!("topic {}…", &id[..6])
        })
    }
}

fn ids(brokers: &[BrokerId]) -> String {
    if brokers.is_empty() { "none".to_owned() } else { join_ids(brokers) }
}

/// What a record says.
pub(super) fn words(record: &MetadataRecord, names: Names<'_>) -> String {
    match record {
        MetadataRecord::LeaderChange { leader, epoch } => format!("{leader} leads the quorum in epoch {epoch}"),
        MetadataRecord::Voters { voters } => {
            format!("voters are {}", ids(&voters.keys().copied().collect::<Vec<_>>()))
        }
        MetadataRecord::Feature { name, level } => format!("feature {name} = {level}"),
        MetadataRecord::RegisterBroker { broker, broker_epoch, .. } => {
            format!("broker {broker} registers, broker epoch {}", grouped(*broker_epoch))
        }
        MetadataRecord::UnregisterBroker { broker, .. } => format!("broker {broker} unregistered"),
        MetadataRecord::BrokerRegistrationChange { broker, fenced, in_controlled_shutdown, .. } => {
            let what = match (fenced, in_controlled_shutdown) {
                (Some(true), _) => "is fenced",
                (Some(false), _) => "is unfenced",
                (None, Some(true)) => "hands over to stop",
                (None, _) => "stops no more",
            };
            format!("broker {broker} {what}")
        }
        MetadataRecord::Topic { name, .. } => format!("topic {name} created"),
        MetadataRecord::RemoveTopic { id } => format!("{} deleted", names.topic(*id)),
        MetadataRecord::Partition { topic, partition, state } => {
            let (name, replicas) = (names.topic(*topic), ids(&state.replicas));
            format!("{name}-{partition} created on {replicas}")
        }
        MetadataRecord::PartitionChange { topic, partition, state } => {
            format!("{}-{partition} {}", names.topic(*topic), state_words(state))
        }
        MetadataRecord::Config { resource, key, value } => {
            let of = match resource {
                ConfigResource::Cluster => "cluster".to_owned(),
                ConfigResource::Broker(broker) => format!("broker {broker}"),
                ConfigResource::Topic(name) => format!("topic {name}"),
                ConfigResource::Group(name) => format!("group {name}"),
            };
            match value {
                Some(value) => format!("{of}: {key} = {value}"),
                None => format!("{of}: {key} back to its default"),
            }
        }
        MetadataRecord::ProducerIds { broker, next, .. } => {
            format!("producer ids below {} given to broker {broker}", grouped(*next))
        }
        MetadataRecord::NoOp => "nothing: keeps the high watermark moving".to_owned(),
    }
}

fn state_words(state: &PartitionState) -> String {
    let leader = state.leader.map_or_else(|| "has no leader".to_owned(), |leader| format!("led by {leader}"));
    let mut text = format!("{leader}, epoch {}, ISR {}", state.leader_epoch, ids(&state.isr));
    for (word, brokers) in [("ELR", &state.elr), ("adding", &state.adding), ("removing", &state.removing)] {
        if !brokers.is_empty() {
            text.push_str(&format!(", {word} {}", ids(brokers)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use uuid::Uuid;

    #[test]
    fn a_record_is_told_with_the_name_of_its_topic() {
        let (image, id) = (MetadataImage::default(), TopicId(Uuid::from_u128(0xABCDEF << 104)));
        let state = PartitionState::new(vec![BrokerId(1), BrokerId(2)], vec![BrokerId(1), BrokerId(2)]);
        let mut change = state.clone();
        (change.leader, change.isr, change.elr) = (None, Vec::new(), vec![BrokerId(2)]);
        let created = MetadataRecord::Partition { topic: id, partition: 3, state };
        let changed = MetadataRecord::PartitionChange { topic: id, partition: 3, state: change };
        let alone = Names { images: [&image, &image], beside: &[] };
        assert_eq!(words(&created, alone), "topic abcdef…-3 created on 1,2");
        let topic = MetadataRecord::Topic { name: "orders".to_owned(), id };
        let beside = [RecentRecord { offset: 7, epoch: 1, record: Arc::new(topic) }];
        let names = Names { beside: &beside, ..alone };
        assert_eq!(words(&created, names), "orders-3 created on 1,2");
        assert_eq!(words(&changed, names), "orders-3 has no leader, epoch 0, ISR none, ELR 2");
    }
}

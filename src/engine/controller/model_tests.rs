//! Random lives of a cluster against what must hold after every single record: LeaderInIsr, ValidIsrAndElr, no fenced
//! broker in an ISR, epochs that only rise, and a replay that gives the same image.

use crate::engine::controller::configs;
use crate::engine::controller::harness::{Harness, directory};
use crate::engine::controller::image::{MetadataDelta, MetadataImage};
use crate::engine::controller::record::{MetadataRecord, PartitionState};
use crate::protocol::api::ApiKey;
use crate::protocol::codec::Request;
use crate::protocol::ids::{BrokerId, DirectoryId, PartitionId};
use crate::protocol::peer::AlterPartitionItem;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId as WireBrokerId, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteTopicsRequest, ElectLeadersRequest, IncrementalAlterConfigsRequest, TopicName, UnregisterBrokerRequest,
};
use kafka_protocol::protocol::StrBytes;
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

const BROKERS: i32 = 4;

/// How a broker's last life ended.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Clean,
    Unclean,
    Wiped(u8),
}

#[derive(Debug, Clone)]
enum Step {
    Register(i32, Ending),
    Heartbeat { broker: i32, is_caught_up: bool, want_fence: bool, want_shut_down: bool },
    Pass(u64),
    AlterPartition { pick: usize, members: u8, leader_epoch: i32, partition_epoch: i32 },
    CreateTopic { name: u8, partitions: i32, factor: i16 },
    DeleteTopic(u8),
    Grow(u8, i32),
    Elect(i8),
    Reassign { pick: usize, to: Vec<i32> },
    CancelReassignment(usize),
    SetTopic { name: u8, key: &'static str, value: &'static str },
    SetMinimum(&'static str),
    Unregister(i32),
}

fn step() -> impl Strategy<Value = Step> {
    let broker = 1..=BROKERS;
    let ending = prop_oneof![
        4 => Just(Ending::Clean),
        2 => Just(Ending::Unclean),
        1 => any::<u8>().prop_map(Ending::Wiped),
    ];
    let heartbeat = (broker.clone(), prop::bool::weighted(0.9), prop::bool::weighted(0.1), prop::bool::weighted(0.15));
    let alter =
        (any::<usize>(), any::<u8>(), prop_oneof![8 => Just(0), 1 => -1..=1], prop_oneof![8 => Just(0), 1 => -1..=1]);
    let min_isr = prop_oneof![Just("1"), Just("2"), Just("3")];
    prop_oneof![
        4 => (broker.clone(), ending).prop_map(|(broker, ending)| Step::Register(broker, ending)),
        12 => heartbeat.prop_map(|(broker, is_caught_up, want_fence, want_shut_down)| {
            Step::Heartbeat { broker, is_caught_up, want_fence, want_shut_down }
        }),
        6 => prop_oneof![4 => 1_u64..400, 1 => Just(700), 1 => Just(301_000)].prop_map(Step::Pass),
        10 => alter.prop_map(|(pick, members, leader_epoch, partition_epoch)| {
            Step::AlterPartition { pick, members, leader_epoch, partition_epoch }
        }),
        4 => (0..3_u8, 1..4_i32, 1..5_i16)
            .prop_map(|(name, partitions, factor)| Step::CreateTopic { name, partitions, factor }),
        1 => (0..3_u8).prop_map(Step::DeleteTopic),
        1 => (0..3_u8, 1..6_i32).prop_map(|(name, count)| Step::Grow(name, count)),
        2 => (0..2_i8).prop_map(Step::Elect),
        4 => (any::<usize>(), Just((1..=BROKERS).collect::<Vec<_>>()).prop_shuffle(), 1..=4_usize).prop_map(
            |(pick, mut to, length)| { to.truncate(length); Step::Reassign { pick, to } }
        ),
        1 => any::<usize>().prop_map(Step::CancelReassignment),
        2 => (0..3_u8, min_isr.clone())
            .prop_map(|(name, value)| Step::SetTopic { name, key: "min.insync.replicas", value }),
        1 => (0..3_u8, prop_oneof![Just("true"), Just("false")])
            .prop_map(|(name, value)| Step::SetTopic { name, key: "unclean.leader.election.enable", value }),
        1 => min_isr.prop_map(Step::SetMinimum),
        1 => broker.prop_map(Step::Unregister),
    ]
}

fn topic_name(number: u8) -> TopicName {
    TopicName(StrBytes::from_string(format!("topic{number}")))
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn set(kind: i8, name: StrBytes, key: &str, value: &str) -> Request {
    let config = AlterableConfig::default().with_name(text(key)).with_value(Some(text(value)));
    let resource =
        AlterConfigsResource::default().with_resource_type(kind).with_resource_name(name).with_configs(vec![config]);
    Request::IncrementalAlterConfigs(IncrementalAlterConfigsRequest::default().with_resources(vec![resource]))
}

struct Model {
    cluster: Harness,
    disks: Vec<DirectoryId>,
    /// The image after each record, and what was true before it.
    checked: MetadataImage,
    seen: usize,
}

impl Model {
    fn new() -> Model {
        let cluster = Harness::new(3);
        let disks = (0..=BROKERS).map(directory).collect();
        Model { cluster, disks, checked: MetadataImage::default(), seen: 0 }
    }

    fn partition(&self, pick: usize) -> Option<(PartitionId, String, PartitionState)> {
        let image = self.cluster.image();
        let all: Vec<_> =
            image.partitions().map(|(id, topic, state)| (id, topic.name.clone(), state.clone())).collect();
        (!all.is_empty()).then(|| all[pick % all.len()].clone())
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Register(broker, ending) => self.register(*broker, *ending),
            Step::Heartbeat { broker, is_caught_up, want_fence, want_shut_down } => {
                let applied = if *is_caught_up { self.cluster.end() - 1 } else { 0 };
                self.cluster.beat(*broker, applied, *want_fence, *want_shut_down);
            }
            Step::Pass(milliseconds) => self.cluster.pass(*milliseconds),
            Step::AlterPartition { pick, members, leader_epoch, partition_epoch } => {
                self.alter_partition(*pick, *members, *leader_epoch, *partition_epoch);
            }
            Step::Reassign { pick, to } => {
                let to = to.iter().map(|id| WireBrokerId(*id)).collect();
                self.reassign(*pick, Some(to));
            }
            Step::CancelReassignment(pick) => self.reassign(*pick, None),
            other => self.admin(other),
        }
    }

    fn register(&mut self, broker: i32, ending: Ending) {
        let index = usize::try_from(broker).expect("a positive id");
        let previous = match ending {
            Ending::Clean => self.cluster.epoch_of(broker),
            Ending::Unclean => -1,
            Ending::Wiped(salt) => {
                self.disks[index] = DirectoryId(Uuid::from_u128(u128::from(salt) << 32 | u128::from(index as u32)));
                -1
            }
        };
        self.cluster.register_as(broker, self.disks[index], previous);
    }

    fn alter_partition(&mut self, pick: usize, members: u8, leader_epoch: i32, partition_epoch: i32) {
        let Some((partition, _, state)) = self.partition(pick) else { return };
        let Some(leader) = state.leader else { return };
        let wanted = |replica: &BrokerId| *replica == leader || members & (1 << replica.0) != 0;
        let new_isr: Vec<(BrokerId, i64)> = state
            .replicas
            .iter()
            .filter(|replica| wanted(replica))
            .map(|id| (*id, self.cluster.epoch_of(id.0)))
            .collect();
        let item = AlterPartitionItem {
            partition,
            leader_epoch: state.leader_epoch + leader_epoch,
            partition_epoch: state.partition_epoch + partition_epoch,
            is_recovering: state.is_recovering && new_isr.len() == 1,
            new_isr,
        };
        self.cluster.alter_partition(leader.0, item);
    }

    fn reassign(&mut self, pick: usize, to: Option<Vec<WireBrokerId>>) {
        let Some((partition, name, _)) = self.partition(pick) else { return };
        let asked = ReassignablePartition::default().with_partition_index(partition.partition).with_replicas(to);
        let topic = ReassignableTopic::default().with_name(TopicName(text(&name))).with_partitions(vec![asked]);
        let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]);
        self.cluster.ask(ApiKey::AlterPartitionReassignments, &Request::AlterPartitionReassignments(request));
    }

    fn admin(&mut self, step: &Step) {
        let (api, request) = match step {
            Step::CreateTopic { name, partitions, factor } => {
                let topic = CreatableTopic::default()
                    .with_name(topic_name(*name))
                    .with_num_partitions(*partitions)
                    .with_replication_factor(*factor);
                let request = CreateTopicsRequest::default().with_topics(vec![topic]);
                (ApiKey::CreateTopics, Request::CreateTopics(request))
            }
            Step::DeleteTopic(name) => {
                let topic = kafka_protocol::messages::delete_topics_request::DeleteTopicState::default()
                    .with_name(Some(topic_name(*name)));
                let request = DeleteTopicsRequest::default().with_topics(vec![topic]);
                (ApiKey::DeleteTopics, Request::DeleteTopics(request))
            }
            Step::Grow(name, count) => {
                let topic = CreatePartitionsTopic::default()
                    .with_name(topic_name(*name))
                    .with_count(*count)
                    .with_assignments(None);
                let request = CreatePartitionsRequest::default().with_topics(vec![topic]);
                (ApiKey::CreatePartitions, Request::CreatePartitions(request))
            }
            Step::Elect(kind) => {
                let request = ElectLeadersRequest::default().with_election_type(*kind).with_topic_partitions(None);
                (ApiKey::ElectLeaders, Request::ElectLeaders(request))
            }
            Step::SetTopic { name, key, value } => {
                (ApiKey::IncrementalAlterConfigs, set(2, topic_name(*name).0, key, value))
            }
            Step::SetMinimum(value) => {
                (ApiKey::IncrementalAlterConfigs, set(4, text(""), "min.insync.replicas", value))
            }
            Step::Unregister(broker) => {
                let request = UnregisterBrokerRequest::default().with_broker_id(WireBrokerId(*broker));
                (ApiKey::UnregisterBroker, Request::UnregisterBroker(request))
            }
            other => unreachable!("{other:?} is no admin's"),
        };
        self.cluster.ask(api, &request);
    }

    /// Applies the new records one by one and looks after each.
    fn check(&mut self) {
        for (offset, record) in (0_i64..).zip(self.cluster.log.clone()).skip(self.seen) {
            if let MetadataRecord::PartitionChange { topic, partition, state } = &record {
                let before = self.checked.partition(PartitionId::new(*topic, *partition)).expect("it was there");
                assert_epochs(before, state);
            }
            self.checked.apply(offset, 1, &record, &mut MetadataDelta::default());
            let touched = matches!(
                record,
                MetadataRecord::Partition { .. }
                    | MetadataRecord::PartitionChange { .. }
                    | MetadataRecord::BrokerRegistrationChange { .. }
                    | MetadataRecord::RegisterBroker { .. }
                    | MetadataRecord::UnregisterBroker { .. }
                    | MetadataRecord::Config { .. }
            );
            if touched {
                assert_partitions(&self.checked, &self.cluster);
            }
        }
        self.seen = self.cluster.log.len();
        assert_eq!(&self.checked, self.cluster.image(), "ReplayEqualsLive");
        assert_nobody_waits_in_vain(&self.checked);
    }
}

fn assert_epochs(before: &PartitionState, after: &PartitionState) {
    assert_eq!(after.partition_epoch, before.partition_epoch + 1);
    let lost_replica = before.replicas.iter().any(|replica| !after.replicas.contains(replica));
    let raise = i32::from(before.leader != after.leader || lost_replica);
    assert_eq!(after.leader_epoch, before.leader_epoch + raise, "{before:?} -> {after:?}");
}

fn assert_partitions(image: &MetadataImage, cluster: &Harness) {
    for (id, topic, state) in image.partitions() {
        let context = format!("{id}: {state:?}");
        let distinct = |list: &[BrokerId]| list.iter().enumerate().all(|(i, id)| !list[..i].contains(id));
        assert!(distinct(&state.replicas) && distinct(&state.isr) && distinct(&state.elr), "{context}");
        assert!(state.isr.iter().chain(&state.elr).all(|member| state.replicas.contains(member)), "{context}");
        assert!(state.leader.is_none_or(|leader| state.isr.contains(&leader)), "LeaderInIsr {context}");
        assert!(state.isr.iter().all(|member| !state.elr.contains(member)), "ValidIsrAndElr {context}");
        let min_isr = configs::min_insync_replicas(image, &cluster.config, &topic.name);
        let is_enough = state.isr.len() >= state.effective_min_isr(min_isr);
        assert!(!is_enough || state.elr.is_empty(), "ValidIsrAndElr, minimum {min_isr}: {context}");
        let is_fenced = |broker: &BrokerId| image.brokers.get(broker).is_none_or(|broker| broker.fenced);
        assert!(!state.isr.iter().any(is_fenced), "ValidControllerState {context}");
        assert!(state.adding.iter().all(|replica| state.replicas.contains(replica)), "{context}");
        assert!(state.removing.iter().all(|replica| state.replicas.contains(replica)), "{context}");
        assert!(!state.is_recovering || state.isr.len() <= 1, "{context}");
    }
}

/// A partition is leaderless only as long as nobody is there who may lead it cleanly.
fn assert_nobody_waits_in_vain(image: &MetadataImage) {
    for (id, _, state) in image.partitions().filter(|(_, _, state)| state.leader.is_none()) {
        let candidates = if state.isr.is_empty() { &state.elr } else { &state.isr };
        let candidate = candidates.iter().find(|candidate| image.is_active(**candidate));
        assert_eq!(candidate, None, "{id} has no leader: {state:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold_after_every_record(steps in vec(step(), 1..90)) {
        let mut model = Model::new();
        for broker in 1..=3 {
            model.cluster.start(broker, -1);
        }
        model.check();
        for step in &steps {
            model.take(step);
            model.check();
        }
    }
}

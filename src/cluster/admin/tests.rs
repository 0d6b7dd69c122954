//! Commands against a cluster that answers from a script: what is asked, of whom, and what is told.

use super::*;
use crate::cluster::command::parse_line;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::describe_quorum_response::{PartitionData, ReplicaState, TopicData};
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::*;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Answers in order, and keeps what it was asked.
struct Script {
    answers: VecDeque<Response>,
    asked: Vec<(Target, Request)>,
    waits: u32,
}

impl Ask for Script {
    fn ask(&mut self, to: Target, request: Request) -> Result<Response, String> {
        self.asked.push((to, request));
        self.answers.pop_front().ok_or_else(|| "nobody answers".to_owned())
    }

    fn wait(&mut self, _: Duration) -> bool {
        self.waits += 1;
        self.waits < 4
    }
}

fn run_script(line: &str, answers: Vec<Response>) -> (Reply, Script) {
    let mut script = Script { answers: answers.into(), asked: Vec::new(), waits: 0 };
    let command = parse_line(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let reply = run(&command, &mut script).expect("a command for any cluster");
    (reply, script)
}

fn told(reply: Reply) -> (String, Value) {
    match reply {
        Reply::Done { text, data } => (text, data),
        Reply::Failed { reason, .. } => panic!("failed: {reason}"),
    }
}

fn reason(reply: Reply) -> String {
    match reply {
        Reply::Failed { reason, .. } => reason,
        Reply::Done { text, .. } => panic!("done: {text}"),
    }
}

/// `orders` with two partitions; the second has the given leader.
fn orders(second_leader: i32) -> Response {
    let wire = |ids: &[i32]| ids.iter().map(|id| BrokerId(*id)).collect::<Vec<_>>();
    let partition = |index, leader| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(leader))
            .with_leader_epoch(3)
            .with_replica_nodes(wire(&[1, 2, 3]))
            .with_isr_nodes(wire(&[1, 3]))
    };
    let topic = MetadataResponseTopic::default()
        .with_name(Some(TopicName(text("orders"))))
        .with_partitions(vec![partition(0, 1), partition(1, second_leader)]);
    Response::Metadata(MetadataResponse::default().with_topics(vec![topic]))
}

fn unknown_topic() -> Response {
    let topic = MetadataResponseTopic::default().with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    Response::Metadata(MetadataResponse::default().with_topics(vec![topic]))
}

fn offsets(found: &[(i32, i64)]) -> Response {
    let parts = found.iter().map(|(index, offset)| {
        ListOffsetsPartitionResponse::default().with_partition_index(*index).with_offset(*offset)
    });
    let topic = ListOffsetsTopicResponse::default().with_partitions(parts.collect());
    Response::ListOffsets(ListOffsetsResponse::default().with_topics(vec![topic]))
}

fn created(error: ErrorCode, message: Option<&str>) -> Response {
    let result = CreatableTopicResult::default().with_error_code(error.code()).with_error_message(message.map(text));
    Response::CreateTopics(CreateTopicsResponse::default().with_topics(vec![result]))
}

#[test]
fn a_topic_is_described_with_the_offsets_its_leaders_tell() {
    let answers = vec![orders(-1), offsets(&[(0, 5)]), offsets(&[(0, 120)])];
    let (reply, script) = run_script("topic describe orders", answers);
    let (text, data) = told(reply);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("orders · 2 partitions · 3 replicas"), "{text}");
    assert_eq!(lines[1], "orders-0 · leader 1 · epoch 3 · isr 1,3 · replicas 1,2,3 · offsets 5 to 120");
    assert_eq!(lines[2], "orders-1 · leader none · epoch 3 · isr 1,3 · replicas 1,2,3 · offsets – to –");
    assert_eq!(data["partitions"][1]["leader"], Value::Null);
    assert_eq!(data["partitions"][0]["high_watermark"], 120);
    assert_eq!(script.asked[1].0, Target::Broker(crate::protocol::ids::BrokerId(1)));
}

#[test]
fn a_partition_is_described_where_no_topic_has_that_name() {
    let answers = vec![unknown_topic(), orders(2), offsets(&[(1, 0)]), offsets(&[(1, 7)])];
    let (text, _) = told(run_script("topic describe orders-1", answers).0);
    assert_eq!(text, "orders-1 · leader 2 · epoch 3 · isr 1,3 · replicas 1,2,3 · offsets 0 to 7");
    let answers = vec![unknown_topic(), orders(2)];
    assert_eq!(reason(run_script("topic describe orders-9", answers).0), "there is no partition orders-9");
    assert_eq!(reason(run_script("topic describe nothing", vec![unknown_topic()]).0), "there is no topic nothing");
}

#[test]
fn a_topic_is_created_once_every_partition_has_a_leader() {
    let answers = vec![created(ErrorCode::None, None), unknown_topic(), orders(-1), orders(2)];
    let line = "topic create orders --partitions 2 --replicas 3 --config retention.ms=1000";
    let (reply, script) = run_script(line, answers);
    assert_eq!(told(reply).0, "orders is created: 2 partitions, 3 replicas.");
    assert_eq!((script.waits, script.asked.len()), (2, 4));
    let Request::CreateTopics(request) = &script.asked[0].1 else { panic!("something else was asked") };
    let topic = &request.topics[0];
    assert_eq!((topic.num_partitions, topic.replication_factor, topic.configs.len()), (2, 3, 1));
}

#[test]
fn errors_carry_kafkas_name_and_the_brokers_words() {
    let answers = vec![created(ErrorCode::TopicAlreadyExists, Some("Topic 'orders' already exists."))];
    let failed = reason(run_script("topic create orders", answers).0);
    assert_eq!(failed, "orders: TOPIC_ALREADY_EXISTS: Topic 'orders' already exists.");
    assert_eq!(reason(run_script("topic list", vec![]).0), "nobody answers");
}

#[test]
fn errors_that_pass_are_tried_again_until_the_time_is_over() {
    let not_controller = || created(ErrorCode::NotController, None);
    let answers = vec![not_controller(), not_controller(), created(ErrorCode::None, None), orders(2)];
    let (reply, script) = run_script("topic create orders", answers);
    assert!(reply.is_done() && script.waits == 2);
    let (reply, _) = run_script("topic create orders", (0..9).map(|_| not_controller()).collect());
    assert_eq!(reason(reply), "orders: NOT_CONTROLLER");
}

#[test]
fn replicas_by_hand_go_out_in_their_order() {
    let answers = vec![created(ErrorCode::None, None), orders(2)];
    let (_, script) = run_script("topic create orders --assignment 3:1,2:3", answers);
    let Request::CreateTopics(request) = &script.asked[0].1 else { panic!("something else was asked") };
    let by_hand: Vec<Vec<i32>> = request.topics[0]
        .assignments
        .iter()
        .map(|assignment| assignment.broker_ids.iter().map(|id| id.0).collect())
        .collect();
    assert_eq!(by_hand, [[3, 1], [2, 3]]);
    assert_eq!(request.topics[0].num_partitions, -1);
}

#[test]
fn settings_of_a_broker_are_asked_of_that_broker() {
    let config = |name: &str, source| {
        DescribeConfigsResourceResult::default()
            .with_name(text(name))
            .with_value(Some(text("1")))
            .with_config_source(source)
    };
    let result = DescribeConfigsResult::default().with_configs(vec![config("b", 4), config("a", 2), config("c", 5)]);
    let answer = || Response::DescribeConfigs(DescribeConfigsResponse::default().with_results(vec![result.clone()]));
    let (reply, script) = run_script("config describe broker 2", vec![answer()]);
    assert_eq!(told(reply).0, "a = 1 (broker)\nb = 1 (start-up)");
    assert_eq!(script.asked[0].0, Target::Broker(crate::protocol::ids::BrokerId(2)));
    assert_eq!(told(run_script("config describe broker 2 --all", vec![answer()]).0).0.lines().count(), 3);
}

#[test]
fn an_election_that_was_not_needed_is_no_error() {
    let part = |id, error: ErrorCode| PartitionResult::default().with_partition_id(id).with_error_code(error.code());
    let results = ReplicaElectionResult::default()
        .with_topic(TopicName(text("orders")))
        .with_partition_result(vec![part(0, ErrorCode::ElectionNotNeeded), part(1, ErrorCode::None)]);
    let answer = ElectLeadersResponse::default().with_replica_election_results(vec![results]);
    let (reply, script) = run_script("elect preferred", vec![Response::ElectLeaders(answer)]);
    assert_eq!(told(reply), ("orders-1: new leader.".to_owned(), json!({"elected": ["orders-1"], "unchanged": 1})));
    let Request::ElectLeaders(request) = &script.asked[0].1 else { panic!("something else was asked") };
    assert_eq!(request.topic_partitions, None, "all partitions");
}

#[test]
fn records_are_deleted_at_the_leader() {
    let part = DeleteRecordsPartitionResult::default().with_partition_index(1).with_low_watermark(40);
    let topic = DeleteRecordsTopicResult::default().with_partitions(vec![part]);
    let answer = Response::DeleteRecords(DeleteRecordsResponse::default().with_topics(vec![topic]));
    let (reply, script) = run_script("topic delete-records orders-1 --before 40", vec![orders(2), answer]);
    assert_eq!(told(reply).0, "orders-1 begins at offset 40 now.");
    assert_eq!(script.asked[1].0, Target::Broker(crate::protocol::ids::BrokerId(2)));
}

#[test]
fn the_quorum_is_told_in_a_table() {
    let state = |id, end| ReplicaState::default().with_replica_id(BrokerId(id)).with_log_end_offset(end);
    let part = PartitionData::default()
        .with_leader_id(BrokerId(2))
        .with_leader_epoch(4)
        .with_high_watermark(90)
        .with_current_voters(vec![state(1, 88), state(2, 91)])
        .with_observers(vec![state(4, 91)]);
    let answer = DescribeQuorumResponse::default().with_topics(vec![TopicData::default().with_partitions(vec![part])]);
    let (text, data) = told(run_script("quorum describe", vec![Response::DescribeQuorum(answer)]).0);
    let expected = "leader 2 · epoch 4 · high watermark 90\n\
                    BROKER  ROLE      LOG END  BEHIND\n\
                    1       voter     88       3\n\
                    2       leader    91       0\n\
                    4       observer  91       0";
    assert_eq!(text, expected);
    assert_eq!((data["leader"].clone(), data["voters"][0]["behind"].clone()), (json!(2), json!(3)));
}

#[test]
fn other_commands_are_not_for_any_cluster() {
    let mut script = Script { answers: VecDeque::new(), asked: Vec::new(), waits: 0 };
    for line in ["kill 2", "pause", "produce orders", "heal"] {
        assert_eq!(run(&parse_line(line).expect("a command"), &mut script), None, "{line}");
    }
}

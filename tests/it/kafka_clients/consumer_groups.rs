//! Consumer groups of KIP-848 with librdkafka's consumers (`group.protocol=consumer`): they share, one dies without a word, the
//! coordinator dies, and a classic group becomes one and is one no more while it reads.

use super::groups::{GROUP, PARTITIONS, Progress, TOPIC, committed, coordinator, group, is_shared, member, produce};
use super::{config, create_topic};
use crate::support::{PATIENCE, Server, eventually};
use bytes::Bytes;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafkarium::protocol::api::ApiKey;
use kafkarium::protocol::codec::{self, Request, RequestHeader, Response};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Sessions short enough to be waited for.
const FLAGS: &[&str] = &[
    "--durability=memory",
    "--set=group.consumer.session.timeout.ms=3000",
    "--set=group.consumer.heartbeat.interval.ms=200",
];

fn modern_member(server: &Server, more: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(server);
    config.set("group.id", GROUP).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config.set("group.protocol", "consumer").set("fetch.wait.max.ms", "50");
    for (name, value) in more {
        config.set(*name, *value);
    }
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&[TOPIC]).expect("subscribed");
    consumer
}

/// One heartbeat of a member that has no client: it joins with epoch 0.
fn heartbeat(server: &Server, broker: i32, id: &str, epoch: i32) -> ConsumerGroupHeartbeatResponse {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_member_id(text(id))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(1_000)
        .with_subscribed_topic_names(Some(vec![TopicName(text(TOPIC))]))
        .with_topic_partitions(Some(Vec::new()));
    let header = RequestHeader {
        api: ApiKey::ConsumerGroupHeartbeat,
        version: 1,
        correlation_id: 1,
        client_id: None,
        client_host: None,
    };
    let frame = codec::encode_request(&header, &Request::ConsumerGroupHeartbeat(request)).expect("encodes");
    let port = server.port(u16::try_from(broker).expect("a broker"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(&frame.to_bytes()).expect("sent");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("short")];
    stream.read_exact(&mut answer).expect("a whole answer");
    match codec::decode_response(header.api, header.version, Bytes::from(answer)).expect("an answer") {
        (_, Response::ConsumerGroupHeartbeat(response)) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn members_share_and_go_on_when_one_dies_and_when_the_coordinator_does() {
    let server = Server::start(FLAGS);
    create_topic(&server, TOPIC, PARTITIONS);
    produce(&server, 20);
    let mut members: Vec<BaseConsumer> = (0..2).map(|_| modern_member(&server, &[])).collect();
    let mut progress = Progress::default();
    eventually("three partitions each", || {
        progress.step(&members);
        is_shared(&members, &[3, 3]).then_some(())
    });
    // A third one joins, and is never heard of again: what it is to have comes back when its session has ended.
    let at = coordinator(&members[0]);
    let joined = heartbeat(&server, at, "silent", 0);
    assert_eq!((joined.error_code, joined.member_id.as_deref()), (0, Some("silent")));
    eventually("what is left for the others is two partitions each", || {
        progress.step(&members);
        is_shared_by(&members, 4).then_some(())
    });
    eventually("the silent one's partitions come back", || {
        progress.step(&members);
        is_shared(&members, &[3, 3]).then_some(())
    });
    assert_ne!(heartbeat(&server, at, "silent", joined.member_epoch).error_code, 0, "it is out");
    let mut records = 20;
    for round in 1..=2 {
        eventually(&format!("round {round}: everything is read and committed"), || {
            progress.step(&members);
            let is_committed = committed(&members[0]).values().all(|offset| *offset == records);
            (progress.has_read(records) && is_committed).then_some(())
        });
        let before = committed(&members[0]);
        let victim = coordinator(&members[0]);
        server.ctl(&format!("kill {victim}"));
        eventually("another coordinator", || {
            progress.step(&members);
            Some(coordinator(&members[0])).filter(|next| *next != victim)
        });
        assert_eq!(committed(&members[0]), before, "round {round}: what the next coordinator knows");
        produce(&server, 20);
        records += 20;
        eventually(&format!("round {round}: the group reads on"), || {
            progress.step(&members);
            progress.has_read(records).then_some(())
        });
        server.ctl(&format!("start {victim}"));
        server.ctl("wait under-replicated = 0 --within 60s");
    }
    assert!(group(&server, "list").expect("a list").contains("billing  Stable  consumer"));
    members.truncate(1);
    eventually("all partitions are the last one's", || {
        progress.step(&members);
        is_shared(&members, &[PARTITIONS]).then_some(())
    });
}

/// Whether the members have so many partitions together, none twice.
fn is_shared_by(members: &[BaseConsumer], count: usize) -> bool {
    let mut all: Vec<i32> = Vec::new();
    for member in members {
        let assigned = member.assignment().expect("an assignment");
        all.extend(assigned.elements().iter().map(|element| element.partition()));
    }
    let owned = all.len();
    all.sort_unstable();
    all.dedup();
    (all.len(), owned) == (count, count)
}

#[test]
fn a_classic_group_becomes_a_consumer_group_and_is_one_no_more_while_it_reads() {
    let server = Server::start(FLAGS);
    create_topic(&server, TOPIC, PARTITIONS);
    let mut progress = Progress::default();
    for (strategy, records) in [("range", 20), ("cooperative-sticky", 40)] {
        produce(&server, 20);
        let mut members = vec![member(&server, strategy, &[]), member(&server, strategy, &[])];
        let mut shared = |what: &str, members: &[BaseConsumer], counts: &[usize]| {
            eventually(&format!("{strategy}: {what}"), || {
                progress.step(members);
                is_shared(members, counts).then_some(())
            });
        };
        shared("two classic members", &members, &[3, 3]);
        members.push(modern_member(&server, &[]));
        shared("two classic members and one of the other protocol", &members, &[2, 2, 2]);
        members.remove(0);
        members.push(modern_member(&server, &[]));
        shared("one classic member and two of the other protocol", &members, &[2, 2, 2]);
        members.remove(0);
        shared("none is classic any more", &members, &[3, 3]);
        members.push(member(&server, strategy, &[]));
        shared("a classic member comes back", &members, &[2, 2, 2]);
        members.remove(0);
        members.remove(0);
        shared("only the classic member is left", &members, &[PARTITIONS]);
        let before = committed(&members[0]);
        eventually(&format!("{strategy}: nothing that was committed is lost"), || {
            progress.step(&members);
            (progress.has_read(records) && committed(&members[0]).iter().all(|(at, offset)| *offset >= before[at]))
                .then_some(())
        });
    }
}

//! The language as a table: lines and what they mean, lines that are wrong and what is said, and the round trip.

use super::predicate::{Comparison, Count, Facts, GroupFacts, GroupMeasure, GroupPhase, Measure, Members, Verdict};
use super::values::{
    Api, Assignment, ByteRate, From, LinkSpec, MessageApi, Per, Rate, Setting, Share, Size, Skew, Speed,
};
use super::*;
use crate::cluster::view::Acks;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::ApiKey;
use proptest::prelude::*;

fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().map(|id| BrokerId(*id)).collect()
}

fn orders(partition: i32) -> Partition {
    Partition { topic: "orders".to_owned(), partition }
}

fn parsed(line: &str) -> Command {
    parse_line(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn who_takes_several_words() {
    for (line, who) in [
        ("kill 2", Who::Ids(ids(&[2]))),
        ("kill 1 3", Who::Ids(ids(&[1, 3]))),
        ("kill 1,3", Who::Ids(ids(&[1, 3]))),
        ("kill 1, 3 3", Who::Ids(ids(&[1, 3]))),
        ("kill leader of orders-0", Who::LeaderOf(orders(0))),
        ("kill leader of eu-orders-12", Who::LeaderOf(Partition { topic: "eu-orders".to_owned(), partition: 12 })),
        ("kill controller", Who::Controller),
        ("kill killed", Who::Killed),
        ("kill coordinator of billing", Who::CoordinatorOf("billing".to_owned())),
    ] {
        assert_eq!(parsed(line), Command::Kill { who }, "{line}");
    }
}

#[test]
fn links_are_one_way_or_both() {
    let link = |from: &[i32], to: &[i32], one_way| LinkSpec { from: ids(from), to: ids(to), one_way };
    for (line, expected) in [
        ("link cut 1 2", link(&[1], &[2], false)),
        ("link cut 1>2", link(&[1], &[2], true)),
        ("link cut '1 > 2'", link(&[1], &[2], true)),
        ("link cut 1->2", link(&[1], &[2], true)),
        ("link cut 1 to 2", link(&[1], &[2], true)),
        ("links cut 1 2,3", link(&[1], &[2, 3], false)),
        ("link cut 1 clients", link(&[1], &[-1], false)),
        ("link cut clients to 1,2", link(&[-1], &[1, 2], true)),
        ("link cut 1 2,3,clients", link(&[1], &[2, 3, -1], false)),
    ] {
        assert_eq!(parsed(line), Command::Link(LinkCommand::Cut { link: expected }), "{line}");
    }
    let pairs = |pairs: &[(i32, i32)]| pairs.iter().map(|(a, b)| (BrokerId(*a), BrokerId(*b))).collect::<Vec<_>>();
    assert_eq!(link(&[1], &[2, 3], false).directed(), pairs(&[(1, 2), (1, 3), (2, 1), (3, 1)]));
    assert_eq!(link(&[1, 2], &[2], true).directed(), pairs(&[(1, 2)]));
    assert_eq!(parsed("link heal 1 clients").to_string(), "link heal 1 clients");
    assert!(parse_line("link cut clients clients").is_err());
}

#[test]
fn faults_take_their_amount_last() {
    let link = LinkSpec { from: ids(&[1]), to: ids(&[2]), one_way: false };
    let by = Duration::from_millis(200);
    let delay = |jitter| Command::Link(LinkCommand::Delay { link: link.clone(), by, jitter });
    assert_eq!(parsed("link delay 1 2 200ms"), delay(None));
    assert_eq!(parsed("link delay 1 2 200ms --jitter 50ms"), delay(Some(Duration::from_millis(50))));
    let lose = Command::Link(LinkCommand::Lose { link: link.clone(), share: Share { per_million: 205_000 } });
    assert_eq!(parsed("link lose 1 2 20.5%"), lose);
    let rate = ByteRate(Size(64 * 1024));
    assert_eq!(parsed("link throttle 1 2 64KiB/s"), Command::Link(LinkCommand::Throttle { link, rate }));
    let skew =
        |millis| Command::Clock(ClockCommand::Skew(ClockSkew { who: Who::Ids(ids(&[2])), skew: Skew { millis } }));
    assert_eq!(parsed("clock skew 2 +5s"), skew(5_000));
    assert_eq!(parsed("clock skew 2 -500ms"), skew(-500));
    let slow = DiskCommand::Slow { who: Who::LeaderOf(orders(0)), by: Duration::from_millis(50) };
    assert_eq!(parsed("disk slow leader of orders-0 50ms"), Command::Disk(slow));
    let traffic = Traffic { direction: Direction::Response, api: Api(ApiKey::Produce) };
    assert_eq!(
        parsed("drop next response of produce"),
        Command::Drop(DropCommand::Next { traffic, broker: None, count: 1 })
    );
}

#[test]
fn predicates_of_every_kind() {
    let wait = |predicate, seconds| Command::Wait { predicate, within: Duration::from_secs(seconds) };
    let leader = |negated, broker| Predicate::Leader { partition: orders(0), negated, broker };
    let isr = |brokers: &[i32]| Predicate::Members {
        list: Members::Isr,
        partition: orders(0),
        negated: false,
        brokers: ids(brokers),
    };
    let count = |count, comparison, value| Predicate::Count { count, comparison, value };
    for (line, command) in [
        ("wait leader orders-0 = 2 --within 5s", wait(leader(false, Some(BrokerId(2))), 5)),
        ("wait leader orders-0 != none", wait(leader(true, None), 10)),
        ("wait --within 1m isr orders-0 = 1,2", wait(isr(&[1, 2]), 60)),
        ("wait isr orders-0=1,2", wait(isr(&[1, 2]), 10)),
        ("wait lost = 0", wait(count(Count::Lost, Comparison::Equal, 0), 10)),
        ("wait alive >= 2", wait(count(Count::Alive, Comparison::AtLeast, 2), 10)),
        ("wait acked > 10,000", wait(count(Count::Acked, Comparison::More, 10_000), 10)),
        ("wait controller = 1", wait(Predicate::Controller { negated: false, broker: Some(BrokerId(1)) }, 10)),
    ] {
        assert_eq!(parsed(line), command, "{line}");
    }
}

#[test]
fn verdicts_say_what_is_seen() {
    struct Seen;
    impl Facts for Seen {
        fn leader(&self, partition: &Partition) -> Option<Option<BrokerId>> {
            (partition == &orders(0)).then_some(None)
        }
        fn controller(&self) -> Option<Option<BrokerId>> {
            Some(Some(BrokerId(1)))
        }
        fn members(&self, _: Members, _: &Partition) -> Option<Vec<BrokerId>> {
            Some(ids(&[3, 1]))
        }
        fn measure(&self, _: Measure, _: &Partition, on: Option<BrokerId>) -> Option<i64> {
            Some(if on.is_some() { 9 } else { 4 })
        }
        fn count(&self, count: Count) -> Option<u64> {
            (count == Count::Alive).then_some(2)
        }
        fn group(&self, group: &str) -> Option<GroupFacts> {
            let phase = Some(GroupPhase::Rebalancing);
            let committed = vec![(orders(0), 5)];
            (group == "app").then_some(GroupFacts { phase, members: 2, generation: 7, lag: None, committed })
        }
    }
    for (predicate, holds, seen) in [
        ("leader orders-0 = none", true, "leader orders-0 is none"),
        ("leader orders-0 != none", false, "leader orders-0 is none"),
        ("leader orders-1 != none", false, "leader orders-1 is not known"),
        ("controller != none", true, "controller is 1"),
        ("isr orders-0 = 1,3", true, "isr orders-0 is 3,1"),
        ("replicas orders-0 = 1,3", false, "replicas orders-0 is 3,1"),
        ("epoch orders-0 > 4", false, "epoch orders-0 is 4"),
        ("epoch orders-0 >= 4", true, "epoch orders-0 is 4"),
        ("log-end orders-0 on 2 = 9", true, "log-end orders-0 on 2 is 9"),
        ("log-start orders-0 on 2 = 4", false, "log-start orders-0 on 2 is 9"),
        ("alive < 3", true, "alive is 2"),
        ("lost = 0", false, "lost is not known"),
        ("members app = 2", true, "members app is 2"),
        ("generation app > 7", false, "generation app is 7"),
        ("lag app < 10", false, "lag app is not known"),
        ("members nobody = 0", false, "members nobody is not known"),
        ("state app != stable", true, "state app is rebalancing"),
        ("committed app orders-0 >= 5", true, "committed app orders-0 is 5"),
        ("committed app orders-1 >= 0", false, "committed app orders-1 is not known"),
    ] {
        let verdict = predicate.parse::<Predicate>().unwrap_or_else(|error| panic!("{error}")).check(&Seen);
        assert_eq!(verdict, Verdict { holds, seen: seen.to_owned() }, "{predicate}");
    }
}

#[test]
fn produce_writes_or_stops() {
    let Command::Produce(ProduceCommand::Records(produce)) = parsed("produce orders --rate 50/s --acks 1 --name shop")
    else {
        panic!("no records")
    };
    assert_eq!((produce.topic.as_str(), produce.acks), ("orders", Acks::Leader));
    assert_eq!(produce.load.rate, Some(Rate { count: 50, per: Per::Second }));
    assert_eq!(produce.load.rate.map(Rate::interval), Some(Duration::from_millis(20)));
    let stop = |name: Option<&str>| Command::Produce(ProduceCommand::Stop { name: name.map(str::to_owned) });
    assert_eq!(parsed("produce stop"), stop(None));
    assert_eq!(parsed("produce stop shop"), stop(Some("shop")));
}

#[test]
fn a_line_is_split_like_a_shell_does() {
    let Command::Produce(ProduceCommand::Records(produce)) =
        parsed(r#"produce orders --value "two words" --key='a b' # a comment"#)
    else {
        panic!("no records")
    };
    assert_eq!((produce.value.as_deref(), produce.key.as_deref()), (Some("two words"), Some("a b")));
    assert_eq!(parse_line("kill '2"), Err(ParseError::Unclosed));
    assert_eq!(parse_line("  # nothing"), Err(ParseError::Empty));
}

#[test]
fn aliases_are_plurals_and_ls() {
    for (alias, line) in [
        ("topics ls", "topic list"),
        ("brokers ls", "broker list"),
        ("configs describe topic a", "config describe topic a"),
        ("topic rm orders", "topic delete orders"),
        ("q", "quit"),
    ] {
        assert_eq!(parsed(alias).to_string(), line);
    }
}

#[test]
fn unknown_verbs_are_answered_with_the_nearest() {
    for (said, nearest) in [
        ("kil 2", "kill"),
        ("ikll 2", "kill"),
        ("cut 1 2", "link cut"),
        ("topic creat orders", "topic create"),
        ("create orders", "topic create"),
        ("topci list", "topic list"),
        ("describe", "topic describe"),
        ("expct lost = 0", "expect"),
    ] {
        match parse_line(said) {
            Err(ParseError::UnknownVerb { nearest: named, .. }) => assert_eq!(named, nearest, "{said}"),
            other => panic!("{said}: {other:?}"),
        }
    }
}

#[test]
fn errors_are_one_sentence_with_the_usage() {
    for (line, reason, usage) in [
        ("kill", "the following required arguments were not provided: <WHO>...", "kill <WHO>..."),
        ("kill bob", "`bob` is nobody: write 2, 1 3, leader of orders-0, controller or killed", ""),
        ("kill leader", "whose leader: write leader of orders-0", ""),
        ("kill -- -1", "`-1` is nobody: write 2, 1 3, leader of orders-0, controller or killed", ""),
        ("link cut 1 1", "a broker has no link to itself", ""),
        ("link cut 1", "`1` is no link: write 1 2 (both ways), 1>2 (one way) or 1 clients", ""),
        ("wait", "the following required arguments were not provided: <PREDICATE>...", "wait <PREDICATE>..."),
        ("wait isr orders-0 < 2", "`isr orders-0 < 2`: brokers are compared with = or !=", ""),
        ("speed 0", "invalid value '0' for '<SPEED>': speed 0 stands still: say `pause`", ""),
        (
            "topic alter orders",
            "the following required arguments were not provided: <--partitions <N>|--config <KEY=VALUE>>",
            "",
        ),
    ] {
        match parse_line(line) {
            Err(ParseError::Usage { reason: said, usage: shown }) => {
                assert_eq!(said, reason, "{line}");
                assert!(usage.is_empty() || shown.starts_with(usage), "{line}: {shown}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn help_is_text_and_no_error_to_frown_at() {
    for line in ["kill --help", "help kill", "topic --help", "help"] {
        assert!(matches!(parse_line(line), Err(ParseError::Help(text)) if text.contains("Usage")), "{line}");
    }
}

#[test]
fn undo_is_the_opposite_where_the_line_alone_says_it() {
    for (line, opposite) in [
        ("kill 2", Some("start 2")),
        ("kill leader of orders-0", None),
        ("suspend 1,2", Some("resume 1,2")),
        ("link cut 1 to 2", Some("link heal 1 to 2")),
        ("link hold 1 2", Some("link release 1 2")),
        ("disk full 3", Some("disk heal 3")),
        ("disk fail 3", Some("disk heal 3")),
        ("disk corrupt 3", None),
        ("clock skew 2 +5s", Some("clock skew 2 +0s")),
        ("produce orders --rate 5/s", Some("produce stop orders")),
        ("produce orders", None),
        ("pause", Some("run")),
        ("topic delete orders", None),
    ] {
        assert_eq!(parsed(line).undo().map(|command| command.to_string()).as_deref(), opposite, "{line}");
    }
}

#[test]
fn values_keep_their_meaning() {
    for (text, size) in [("500", 500), ("1KiB", 1_024), ("64MiB", 64 << 20), ("2MB", 2_000_000), ("1.5KiB", 1_536)] {
        assert_eq!(text.parse(), Ok(Size(size)), "{text}");
    }
    for (text, from) in [
        ("earliest", From::Earliest),
        ("120", From::Offset(120)),
        ("-10", From::Last(10)),
        ("5m", From::Ago(Duration::from_secs(300))),
        ("1970-01-01T00:00:01Z", From::Moment(1_000)),
    ] {
        assert_eq!(text.parse(), Ok(from), "{text}");
    }
    for wrong in ["1.2345", "-1", "", ".", "1e3", "0.0"] {
        assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
    }
    assert_eq!("0.25x".parse(), Ok(Speed { permille: 250 }));
    for wrong in ["101%", "20", "%", "0.00001%"] {
        assert!(wrong.parse::<Share>().is_err(), "{wrong}");
    }
    for wrong in ["orders", "-0", "orders-", "orders--1x", "or ders-0", "orders-99999999999"] {
        assert!(wrong.parse::<Partition>().is_err(), "{wrong}");
    }
}

fn any_id() -> impl Strategy<Value = BrokerId> {
    (1..=9_i32).prop_map(BrokerId)
}

fn any_ids() -> impl Strategy<Value = Vec<BrokerId>> {
    proptest::collection::btree_set(any_id(), 1..4).prop_map(|ids| ids.into_iter().collect())
}

fn any_name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9._-]{1,12}"
}

fn any_partition() -> impl Strategy<Value = Partition> {
    (any_name(), 0..1_000_i32).prop_map(|(topic, partition)| Partition { topic, partition })
}

fn any_duration() -> impl Strategy<Value = Duration> {
    (0..10_000_000_u64).prop_map(Duration::from_millis)
}

fn any_who() -> impl Strategy<Value = Who> {
    prop_oneof![
        any_ids().prop_map(Who::Ids),
        any_partition().prop_map(Who::LeaderOf),
        Just(Who::Controller),
        any_name().prop_map(Who::CoordinatorOf),
        Just(Who::Killed)
    ]
}

fn any_link() -> impl Strategy<Value = LinkSpec> {
    let ends = || prop_oneof![4 => any_ids(), 1 => Just(ids(&[-1])), 1 => Just(ids(&[1, -1]))];
    (ends(), ends(), any::<bool>())
        .prop_map(|(from, to, one_way)| LinkSpec { from, to, one_way })
        .prop_filter("a link of its own", |link| !link.directed().is_empty())
}

fn any_setting() -> impl Strategy<Value = Setting> {
    ("[a-z.]{1,12}", ".{0,12}").prop_map(|(key, value)| Setting { key, value })
}

fn any_comparison() -> impl Strategy<Value = Comparison> {
    prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::NotEqual),
        Just(Comparison::Less),
        Just(Comparison::AtMost),
        Just(Comparison::More),
        Just(Comparison::AtLeast)
    ]
}

fn any_rate() -> impl Strategy<Value = Rate> {
    let per = prop_oneof![Just(Per::Second), Just(Per::Minute), Just(Per::Hour)];
    (1..u32::MAX, per).prop_map(|(count, per)| Rate { count, per })
}

fn any_predicate() -> impl Strategy<Value = Predicate> {
    let one = || proptest::option::of(any_id());
    let list = prop_oneof![Just(Members::Isr), Just(Members::Replicas)];
    let measure = prop_oneof![Just(Measure::LeaderEpoch), Just(Measure::LogStartOffset), Just(Measure::LogEndOffset)];
    let of_group = prop_oneof![Just(GroupMeasure::Lag), Just(GroupMeasure::Members), Just(GroupMeasure::Generation)];
    let phase = prop_oneof![Just(GroupPhase::Empty), Just(GroupPhase::Rebalancing), Just(GroupPhase::Stable)];
    let count = proptest::sample::select(Count::WORDS.to_vec()).prop_map(|(_, count)| count);
    prop_oneof![
        (any_partition(), any::<bool>(), one()).prop_map(|(partition, negated, broker)| Predicate::Leader {
            partition,
            negated,
            broker
        }),
        (any::<bool>(), one()).prop_map(|(negated, broker)| Predicate::Controller { negated, broker }),
        (list, any_partition(), any::<bool>(), prop_oneof![any_ids(), Just(Vec::new())])
            .prop_map(|(list, partition, negated, brokers)| Predicate::Members { list, partition, negated, brokers }),
        (measure, any_partition(), one(), any_comparison(), 0..i64::MAX).prop_map(
            |(measure, partition, on, comparison, value)| Predicate::Measure {
                measure,
                partition,
                on,
                comparison,
                value
            }
        ),
        (of_group, any_name(), any_comparison(), 0..i64::MAX)
            .prop_map(|(measure, group, comparison, value)| Predicate::Group { measure, group, comparison, value }),
        (any_name(), any::<bool>(), phase).prop_map(|(group, negated, phase)| Predicate::GroupState {
            group,
            negated,
            phase
        }),
        (any_name(), any_partition(), any_comparison(), 0..i64::MAX).prop_map(
            |(group, partition, comparison, value)| Predicate::Committed { group, partition, comparison, value }
        ),
        (count, any_comparison(), any::<u64>()).prop_map(|(count, comparison, value)| Predicate::Count {
            count,
            comparison,
            value
        }),
    ]
}

fn any_from() -> impl Strategy<Value = From> {
    prop_oneof![
        Just(From::Earliest),
        Just(From::Latest),
        (0..i64::MAX).prop_map(From::Offset),
        any::<u32>().prop_map(From::Last),
        any_duration().prop_map(From::Ago),
        (0..4_000_000_000_000_i64).prop_map(From::Moment),
    ]
}

fn any_produce() -> impl Strategy<Value = Command> {
    let rate = any_rate();
    let text = || proptest::option::of(".{0,12}");
    let load = (
        proptest::option::of(1..u64::MAX),
        proptest::option::of(rate),
        any::<u64>().prop_map(Size),
        proptest::option::of(".{1,8}"),
    );
    let acks = prop_oneof![Just(Acks::All), Just(Acks::Leader), Just(Acks::None)];
    let header = proptest::collection::vec(any_setting(), 0..3);
    (any_name(), text(), text(), header, proptest::option::of(0..99_i32), acks, load).prop_map(
        |(topic, value, key, header, partition, acks, (count, rate, size, name))| {
            let size = value.is_none().then_some(size);
            let load = Load { count, rate, size, name };
            let topic = if topic == "stop" || topic == "help" { "halt".to_owned() } else { topic };
            Command::Produce(ProduceCommand::Records(Produce {
                topic,
                tombstone: value.is_none() && load.size.is_none() && key.is_some(),
                value,
                key,
                header,
                partition,
                acks,
                load,
            }))
        },
    )
}

fn any_membership() -> impl Strategy<Value = Membership> {
    let reset = prop_oneof![Just(ResetTo::Earliest), Just(ResetTo::Latest), Just(ResetTo::None)];
    let protocol = prop_oneof![Just(GroupProtocol::Classic), Just(GroupProtocol::Consumer)];
    (".{1,12}", reset, proptest::option::of(".{1,8}"), any_duration(), protocol).prop_map(
        |(group, reset, instance_id, session_timeout, protocol)| Membership {
            group: Some(group),
            reset,
            instance_id,
            session_timeout,
            protocol,
        },
    )
}

fn any_topic_command() -> impl Strategy<Value = TopicCommand> {
    let settings = || proptest::collection::vec(any_setting(), 0..3);
    prop_oneof![
        any::<bool>().prop_map(|internal| TopicCommand::List { internal }),
        any_name().prop_map(|name| TopicCommand::Describe { name }),
        (any_name(), proptest::option::of(1..i32::MAX), proptest::option::of(1..9_i16), settings()).prop_map(
            |(name, partitions, replicas, config)| {
                TopicCommand::Create { name, partitions, replicas, assignment: None, config }
            }
        ),
        (any_name(), proptest::collection::vec(any_ids(), 1..4), settings()).prop_map(|(name, replicas, config)| {
            let assignment = Some(Assignment(replicas));
            TopicCommand::Create { name, partitions: None, replicas: None, assignment, config }
        }),
        (any_name(), 1..i32::MAX, settings()).prop_map(|(name, count, config)| TopicCommand::Alter {
            name,
            partitions: Some(count),
            config
        }),
        any_name().prop_map(|name| TopicCommand::Delete { name }),
        (any_partition(), proptest::option::of(0..i64::MAX))
            .prop_map(|(partition, before)| TopicCommand::DeleteRecords { partition, before }),
    ]
}

fn any_fault() -> impl Strategy<Value = Command> {
    let api = proptest::sample::select(ApiKey::iter().collect::<Vec<_>>()).prop_map(Api);
    let direction = prop_oneof![Just(Direction::Request), Just(Direction::Response)];
    let link = prop_oneof![
        any_link().prop_map(|link| LinkCommand::Cut { link }),
        (any_link(), any_duration(), proptest::option::of(any_duration()))
            .prop_map(|(link, by, jitter)| LinkCommand::Delay { link, by, jitter }),
        (any_link(), 0..=1_000_000_u32)
            .prop_map(|(link, per_million)| LinkCommand::Lose { link, share: Share { per_million } }),
        (any_link(), 1..u64::MAX).prop_map(|(link, bytes)| LinkCommand::Throttle { link, rate: ByteRate(Size(bytes)) }),
        any_link().prop_map(|link| LinkCommand::Hold { link }),
        any_link().prop_map(|link| LinkCommand::Release { link }),
        any_link().prop_map(|link| LinkCommand::Heal { link }),
    ];
    let disk = prop_oneof![
        (any_who(), any_duration()).prop_map(|(who, by)| DiskCommand::Slow { who, by }),
        any_who().prop_map(|who| DiskCommand::Full { who }),
        any_who().prop_map(|who| DiskCommand::Fail { who }),
        (any_who(), any_partition(), proptest::option::of(0..i64::MAX))
            .prop_map(|(who, partition, offset)| { DiskCommand::Corrupt { who, partition: Some(partition), offset } }),
    ];
    let message = prop_oneof![
        any::<u64>().prop_map(|id| MessageCommand::Deliver { id }),
        any::<u64>().prop_map(|id| MessageCommand::Drop { id }),
        (any::<u64>(), any_duration()).prop_map(|(id, by)| MessageCommand::Delay { id, by }),
    ];
    let watched = proptest::sample::select(vec!["Produce", "Vote", "QuorumFetch"]).prop_map(MessageApi);
    prop_oneof![
        message.prop_map(Command::Message),
        (watched, any::<bool>()).prop_map(|(api, off)| Command::Break { api: Some(api), off }),
        (1..9_u64, proptest::option::of(".{0,9}")).prop_map(|(count, message)| Command::Step {
            count,
            back: false,
            message
        }),
        link.prop_map(Command::Link),
        disk.prop_map(Command::Disk),
        (any_who(), -10_000_000..10_000_000_i64)
            .prop_map(|(who, millis)| Command::Clock(ClockCommand::Skew(ClockSkew { who, skew: Skew { millis } }))),
        (direction, api, proptest::option::of(any_id()), 1..9_u32).prop_map(|(direction, api, broker, count)| {
            Command::Drop(DropCommand::Next { traffic: Traffic { direction, api }, broker, count })
        }),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    let entity = prop_oneof![
        any_name().prop_map(ConfigEntity::Topic),
        any_name().prop_map(ConfigEntity::Group),
        any_id().prop_map(ConfigEntity::Broker),
        Just(ConfigEntity::Brokers)
    ];
    let partitions = || proptest::collection::vec(any_partition(), 1..4);
    let partition_numbers = proptest::collection::vec(0..99_i32, 0..3);
    prop_oneof![
        any_who().prop_map(|who| Command::Kill { who }),
        any_who().prop_map(|who| Command::Broker(BrokerCommand::Remove { who })),
        (1..100_000_u32).prop_map(|permille| Command::Speed { speed: Speed { permille } }),
        any_fault(),
        any_topic_command().prop_map(Command::Topic),
        (entity, proptest::collection::vec(any_setting(), 1..3), proptest::collection::vec("[a-z.]{1,9}", 0..3))
            .prop_map(|(entity, set, delete)| Command::Config(ConfigCommand::Alter { entity, set, delete })),
        (partitions(), any_ids())
            .prop_map(|(partitions, to)| Command::Reassign(ReassignCommand::Start { partitions, to })),
        partitions().prop_map(|partitions| Command::Elect(ElectCommand::Unclean { partitions })),
        any_produce(),
        (any_name(), any_from(), partition_numbers, proptest::option::of(1..u64::MAX), any::<bool>()).prop_map(
            |(topic, from, partition, max, follow)| {
                let membership = Membership::default();
                Command::Consume(ConsumeCommand::Records(Consume { topic, from, partition, max, follow, membership }))
            }
        ),
        (any_name(), any_membership(), proptest::option::of((any_name(), proptest::option::of(any_rate())))).prop_map(
            |(topic, membership, stays)| {
                let (from, partition) = (From::Earliest, Vec::new());
                let consume = Consume { topic, from, partition, max: None, follow: false, membership };
                Command::Consume(match stays.filter(|_| consume.membership.group.is_some()) {
                    Some((name, rate)) => ConsumeCommand::Join(Box::new(Join { consume, name, rate })),
                    None => ConsumeCommand::Records(consume),
                })
            }
        ),
        proptest::option::of(any_name()).prop_map(|name| Command::Consume(ConsumeCommand::Stop { name })),
        (any_name(), any_rate()).prop_map(|(name, rate)| Command::Consume(ConsumeCommand::Slow { name, rate })),
        (".{1,12}", any_name(), any_from(), any::<bool>())
            .prop_map(|(name, topic, to, execute)| Command::Group(GroupCommand::Reset { name, topic, to, execute })),
        ".{1,12}".prop_map(|name| Command::Group(GroupCommand::Delete { name })),
        (any_predicate(), any_duration()).prop_map(|(predicate, within)| Command::Wait { predicate, within }),
        any_predicate().prop_map(|predicate| Command::Expect { predicate }),
        ".{1,20}".prop_map(|file| Command::Screenshot { file: file.into() })
    ]
}

proptest! {
    #[test]
    fn a_command_written_is_the_command_read(command in any_command()) {
        let line = command.to_string();
        prop_assert_eq!(parse_line(&line), Ok(command), "{}", line);
    }

    #[test]
    fn any_line_is_a_command_or_an_error(line in ".{0,60}") {
        if let Ok(command) = parse_line(&line) {
            prop_assert_eq!(parse_line(&command.to_string()), Ok(command));
        }
    }
}

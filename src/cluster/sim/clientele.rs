//! Who uses a simulated cluster: the clients that a seed draws. About a hundred records a second are written, most of them by
//! idempotent producers, and everything is read from the beginning; now and then somebody reads from somewhere else on.
//!
//! Deliberately not here: what each of them does (`workload`), and clients that commands start (`guest`).

use crate::client::consumer::Start;
use crate::cluster::sim::workload::{
    Client, ClientId, Life, Load, Membership, NewTopic, Producing, READERS_GROUP, Reading, Role, Scope, Sharing,
    Staging, Topics, Transferring, Transfers,
};
use crate::cluster::sim::world::{Happening, World};
use crate::cluster::view::Acks;
use crate::engine::prng::Prng;
use crate::engine::time::Instant;
use crate::protocol::ids::BrokerId;

/// How many partitions each of a seed's topics has, and how many replicas each of them.
const PARTITIONS: i32 = 2;
const REPLICAS: i16 = 3;
/// A producer with little patience gives a record up after so long, in milliseconds.
const IMPATIENCE_MS_MIN: u64 = 1_600;
const IMPATIENCE_MS_MAX: u64 = 5_000;
/// A producer that is restarted now and then is after so long, in milliseconds.
const LIFETIME_MS_MIN: u64 = 1_000;
const LIFETIME_MS_MAX: u64 = 8_000;

/// The topic of the accounts, in a seed that has transfers, and how many partitions it has.
const ACCOUNTS: &str = "accounts";
const ACCOUNT_PARTITIONS: i32 = 3;
/// How many partitions the topic of the transactions has: enough for two coordinators, and few enough to be quick.
const TRANSACTION_PARTITIONS: i32 = 2;
/// One in so many ends of transactions is late, in a seed that has late ones.
const LATE_ENDS_MIN: u64 = 5;
const LATE_ENDS_MAX: u64 = 40;
/// And the topic of the groups.
const GROUP_PARTITIONS: i32 = 2;
/// A member that is not heard of for so long is out of its group, in milliseconds.
const SESSION_MS_MIN: u64 = 1_200;
const SESSION_MS_MAX: u64 = 4_000;
/// What is made of the records of the first topic, in a seed that has somebody who does.
const OUTPUT: &str = "processed";
const OUTPUT_PARTITIONS: i32 = 2;
/// A transaction that its producer left open is aborted after so long, in milliseconds.
const TRANSACTION_TIMEOUT_MS_MIN: u64 = 1_000;
const TRANSACTION_TIMEOUT_MS_MAX: u64 = 6_000;

/// The compacted topic, in a seed that has one, and how much time each of its segments spans, in milliseconds.
const COMPACTED: &str = "compacted";
const SEGMENT_MS_MIN: u64 = 100;
const SEGMENT_MS_MAX: u64 = 2_000;

/// How large segments of the coordinators' topics are in a seed that compacts them, in bytes.
const COORDINATORS_SEGMENT_MIN: u64 = 300;
const COORDINATORS_SEGMENT_MAX: u64 = 6_000;

/// Changes the configuration of a cluster for its clients, before any broker has started.
pub(super) fn configure(world: &mut World, mut rng: Prng) {
    if rng.chance(1, 3) {
        let mut bytes = || rng.range(COORDINATORS_SEGMENT_MIN, COORDINATORS_SEGMENT_MAX);
        let (of_groups, of_transactions) = (bytes(), bytes());
        world.configure(|cluster| {
            cluster.offsets_topic_segment_bytes = of_groups;
            cluster.transaction_topic_segment_bytes = of_transactions;
        });
    }
    world.configure(|cluster| {
        cluster.transaction_topic_num_partitions = TRANSACTION_PARTITIONS;
        cluster.offsets_topic_num_partitions = GROUP_PARTITIONS;
        cluster.group_consumer_session_timeout_ms = SESSION_MS_MAX;
    });
}

/// Adds clients that transfer amounts in transactions and one that reads what is committed, in a third of all seeds, or where that is wanted.
pub(super) fn begin_transfers(world: &mut World, mut rng: Prng, until: Instant, is_wanted: bool) {
    if !rng.chance(1, 3) && !is_wanted {
        return;
    }
    add(world, Role::Topics(Box::new(Topics::new(&[topic(ACCOUNTS, ACCOUNT_PARTITIONS, REPLICAS)]))));
    let shares_name = rng.chance(1, 4);
    for number in 0..rng.range(1, 2) {
        let timeout_ms = rng.range(TRANSACTION_TIMEOUT_MS_MIN, TRANSACTION_TIMEOUT_MS_MAX);
        let transfers = Transfers {
            topic: ACCOUNTS.to_owned(),
            partitions: ACCOUNT_PARTITIONS,
            transactional_id: format!("bank-{}", if shares_name { 0 } else { number }),
            transaction_timeout_ms: i32::try_from(timeout_ms).expect("a few seconds"),
            interval_ms: rng.range(1, 200),
            from: world.now.plus_millis(rng.range(0, 5_000)),
            until,
        };
        let transferring = Transferring::new(world.next_client(), transfers, rng.fork("transfers"));
        add(world, Role::Transferring(Box::new(transferring)));
    }
    if rng.chance(1, 2) {
        world.late_ends_one_in = rng.range(LATE_ENDS_MIN, LATE_ENDS_MAX);
    }
    let topics = vec![ACCOUNTS.to_owned()];
    let begins_at = world.now;
    read(world, Scope { topics, start: Start::Earliest, begins_at, until, is_followed: false, is_committed: true });
}

/// Adds clients that write values and tombstones of a few keys to a compacted topic with short segments, in a third of all seeds.
pub(super) fn begin_compaction(world: &mut World, mut rng: Prng, until: Instant) {
    if !rng.chance(1, 3) {
        return;
    }
    let configs = vec![
        ("cleanup.policy", "compact".to_owned()),
        ("segment.ms", rng.range(SEGMENT_MS_MIN, SEGMENT_MS_MAX).to_string()),
        ("min.cleanable.dirty.ratio", "0.01".to_owned()),
    ];
    let topic = NewTopic { configs, ..topic(COMPACTED, 1, REPLICAS) };
    add(world, Role::Topics(Box::new(Topics::new(&[topic]))));
    for _ in 0..rng.range(1, 2) {
        let load = Load { until, is_compacted: true, ..Load::new(COMPACTED, 1, rng.range(20, 200)) };
        let acks = *rng.pick(&[Acks::All, Acks::All, Acks::Leader]).expect("a choice");
        produce(world, Load { acks, ..load }, rng.fork("producer"));
    }
}

/// Adds members of a group, in two of five seeds: in some they process what they read, in transactions, and one reads what is committed of that.
pub(super) fn begin_groups(world: &mut World, mut rng: Prng, until: Instant) {
    if rng.chance(1, 6) {
        let span = (world.now.plus_millis(500), until);
        add(world, Role::Staging(Box::new(Staging::new("topic-0", PARTITIONS, span, rng.fork("staging")))));
    }
    if !rng.chance(2, 5) {
        return;
    }
    let processes = rng.chance(1, 2);
    let sharings = [Sharing::Eager, Sharing::Cooperative, Sharing::Coordinated];
    let sharing = *rng.pick(&sharings).expect("a choice");
    let is_mixed = sharing != Sharing::Cooperative && rng.chance(1, 5);
    let is_restless = rng.chance(2, 3);
    let stalls_one_in = if rng.chance(1, 2) { rng.range(10, 60) } else { 0 };
    if processes {
        add(world, Role::Topics(Box::new(Topics::new(&[topic(OUTPUT, OUTPUT_PARTITIONS, REPLICAS)]))));
    }
    for number in 0..rng.range(2, 4) {
        let is_other = is_mixed && rng.chance(1, 2);
        let other = if sharing == Sharing::Eager { Sharing::Coordinated } else { Sharing::Eager };
        let timeout_ms = u32::try_from(rng.range(SESSION_MS_MIN, SESSION_MS_MAX)).expect("a few seconds");
        let life = Life {
            group: READERS_GROUP.to_owned(),
            topics: vec!["topic-0".to_owned()],
            sharing: if is_other { other } else { sharing },
            is_mixed,
            instance: rng.chance(1, 4).then(|| format!("instance-{number}")),
            session_timeout_ms: timeout_ms,
            rebalance_timeout_ms: timeout_ms,
            work_ms: if rng.chance(1, 5) { rng.range(200, 2_000) } else { rng.range(1, 50) },
            stint_ms: is_restless.then(|| rng.range(800, 8_000)),
            stalls_one_in,
            output: processes.then(|| (OUTPUT.to_owned(), OUTPUT_PARTITIONS)),
            from: world.now.plus_millis(rng.range(0, 6_000)),
            until,
        };
        let membership = Membership::new(world.next_client(), life, rng.fork("member"));
        add(world, Role::Membership(Box::new(membership)));
    }
    if processes {
        let topics = vec![OUTPUT.to_owned()];
        let begins_at = world.now;
        read(world, Scope { topics, start: Start::Earliest, begins_at, until, is_followed: false, is_committed: true });
    }
}

/// Has clients stand still for a while, in a third of all seeds: zombies, that go on where they were with what they knew, and readers that
/// are slow.
pub(super) fn pause_some(world: &mut World, mut rng: Prng, until: Instant) {
    if !rng.chance(1, 3) {
        return;
    }
    let clients: Vec<ClientId> = world.clients.keys().copied().collect();
    let mut at = world.now;
    loop {
        at = at.plus_millis(rng.range(500, 8_000));
        if at >= until {
            return;
        }
        let client = *rng.pick(&clients).expect("a seed has clients");
        let pause_ms = if rng.chance(1, 3) { rng.range(2_000, 15_000) } else { rng.range(10, 2_000) };
        world.plan(at, Happening::ClientPause { client });
        world.plan(at.plus_millis(pause_ms).min(until), Happening::ClientResume { client });
    }
}

/// Adds the clients that a seed draws; they write until a moment.
pub(super) fn begin(world: &mut World, choices: &mut Prng, until: Instant) {
    let producers = choices.range(1, 3);
    let names: Vec<String> = (0..producers.min(2)).map(|number| format!("topic-{number}")).collect();
    let topics: Vec<NewTopic> = names.iter().map(|name| topic(name, PARTITIONS, REPLICAS)).collect();
    add(world, Role::Topics(Box::new(Topics::new(&topics))));
    for number in 0..producers {
        let interval_ms = if choices.chance(1, 4) { choices.range(300, 2_000) } else { choices.range(10, 60) };
        let topic = if number == 0 { &names[0] } else { choices.pick(&names).expect("a topic") };
        let mut load = Load { until, ..Load::new(topic, PARTITIONS, interval_ms) };
        if number > 0 {
            // The first is one that everything is promised to, from the beginning.
            if choices.chance(1, 2) {
                load.from = world.now.plus_millis(choices.range(1_000, 15_000));
            }
            load.acks = *choices.pick(&[Acks::All, Acks::All, Acks::All, Acks::Leader, Acks::None]).expect("a choice");
        }
        if choices.chance(1, 4) {
            load.delivery_timeout_ms = choices.range(IMPATIENCE_MS_MIN, IMPATIENCE_MS_MAX);
        }
        if choices.chance(1, 3) {
            load.renewed_every_ms = Some(choices.range(LIFETIME_MS_MIN, LIFETIME_MS_MAX));
        }
        let rng = choices.fork("producer");
        produce(world, load, rng);
    }
    read(
        world,
        Scope {
            topics: names.clone(),
            start: Start::Earliest,
            begins_at: world.now,
            until,
            is_followed: true,
            is_committed: false,
        },
    );
    if choices.chance(1, 3) {
        let begins_at = world.now.plus_millis(choices.range(1_000, 15_000));
        let start = *choices.pick(&[Start::Earliest, Start::Latest, Start::BeforeEnd(50)]).expect("a choice");
        read(world, Scope { topics: names, start, begins_at, until, is_followed: false, is_committed: false });
    }
}

fn topic(name: &str, partitions: i32, replication_factor: i16) -> NewTopic {
    NewTopic { name: name.to_owned(), partitions, replication_factor, configs: Vec::new() }
}

fn produce(world: &mut World, load: Load, rng: Prng) {
    let producing = Producing::new(world.next_client(), load, rng, &mut world.ledger);
    add(world, Role::Producing(Box::new(producing)));
}

fn read(world: &mut World, scope: Scope) {
    add(world, Role::Reading(Box::new(Reading::new(scope))));
}

fn add(world: &mut World, role: Role) {
    let brokers: Vec<BrokerId> = world.nodes.keys().copied().collect();
    world.add_client(Client::new(world.next_client(), role, brokers));
}

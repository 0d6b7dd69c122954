//! The observer on hand-made snapshots and events.

use super::*;
use crate::client::metadata::TopicPartition;
use crate::cluster::command::predicate::{Count, Facts as _, Measure, Members};
use crate::cluster::command::{Names as _, Partition as Named, Who, complete, parse_line};
use crate::cluster::ledger::Loss;
use crate::cluster::view::{Acks, PartitionSeverity, RowSort, TopicsRequest, Weight, WhyAbout};
use crate::engine::config::Timing;
use crate::engine::controller::image::{BrokerImage, TopicImage};
use crate::engine::controller::record::PartitionState;
use crate::engine::group::classic::GroupState;
use crate::engine::group::record::CommittedOffset;
use crate::engine::group::snapshot::{GroupSnapshot, MemberSnapshot};
use crate::engine::observe::{
    ElectionReason, Event, QuorumRole as Role, QuorumSnapshot, ReplicaRole, ReplicaSnapshot, TruncationReason,
};
use crate::engine::time::Instant;
use crate::protocol::ids::{DirectoryId, LogId, TopicId};
use uuid::Uuid;

mod causes;
mod recording;

/// A cluster as its host sees it: what the observer is fed comes from here.
struct World {
    observer: Observer,
    now_ms: u64,
    image: MetadataImage,
    seqs: u64,
    /// Log ends by broker and partition; a leader's high watermark is the least of its ISR.
    ends: BTreeMap<(BrokerId, PartitionId), i64>,
    stalled: BTreeMap<PartitionId, u64>,
    controller: BrokerId,
    down: Vec<BrokerId>,
}

fn b(id: i32) -> BrokerId {
    BrokerId(id)
}

fn orders(number: i32) -> PartitionId {
    PartitionId::new(TopicId(Uuid::from_u128(100)), number)
}

fn named(name: &str) -> Named {
    name.parse().expect("a partition")
}

impl World {
    /// Three brokers that run, `orders` with so many partitions of three replicas, led in turn.
    fn new(partitions: i32) -> World {
        let ids = [b(1), b(2), b(3)];
        let cluster = ClusterConfig::preset(Timing::Lab, "test", 3);
        let setup = Setup {
            name: "local".into(),
            bootstrap_servers: "localhost:9092".into(),
            can: Capabilities::default(),
            quit_loses: None,
            utc_offset_s: 0,
            cluster,
            brokers: ids.iter().map(|id| (*id, 9_091 + u16::try_from(id.0).expect("small"))).collect(),
        };
        let mut image = MetadataImage { end_offset: 10, epoch: 1, ..MetadataImage::default() };
        for id in ids {
            image.brokers.insert(id, registration(id, false));
            image.voters.insert(id, DirectoryId(Uuid::nil()));
        }
        let mut world = World {
            observer: Observer::new(setup),
            now_ms: 1_000,
            image,
            seqs: 0,
            ends: BTreeMap::new(),
            stalled: BTreeMap::new(),
            controller: b(1),
            down: Vec::new(),
        };
        world.add_topic("orders", 100, partitions);
        world.pass(0);
        for id in ids {
            world.observer.broker_is(id, BrokerState::Starting, None);
            world.observer.broker_is(id, BrokerState::Running, None);
        }
        world.round();
        world
    }

    fn add_topic(&mut self, name: &str, id: u128, partitions: i32) {
        let topic = TopicId(Uuid::from_u128(id));
        let replicas = |number: i32| (0..3).map(|place| b((number + place) % 3 + 1)).collect::<Vec<_>>();
        let states = (0..partitions).map(|number| (number, PartitionState::new(replicas(number), replicas(number))));
        let image = TopicImage { name: name.into(), id: topic, partitions: states.collect() };
        self.image.topics.insert(topic, Arc::new(image));
        self.image.topic_ids.insert(name.into(), topic);
        self.image.end_offset += 1;
    }

    fn change(&mut self, id: PartitionId, change: impl FnOnce(&mut PartitionState)) {
        let topic = Arc::make_mut(self.image.topics.get_mut(&id.topic).expect("the topic"));
        let state = topic.partitions.get_mut(&id.partition).expect("the partition");
        change(state);
        state.partition_epoch += 1;
        self.image.end_offset += 1;
    }

    fn fence(&mut self, id: BrokerId, fenced: bool) {
        self.image.brokers.get_mut(&id).expect("registered").fenced = fenced;
        self.image.end_offset += 1;
    }

    /// Lets time pass.
    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.observer.set_moment(Moment { at_ms: self.now_ms, wall_ms: 0, clock: ClockMode::default() });
    }

    /// Everybody who lives tells how it is.
    fn round(&mut self) {
        for id in [b(1), b(2), b(3)].into_iter().filter(|id| !self.down.contains(id)) {
            let snapshot = self.snapshot_of(id);
            self.observer.snapshot(&snapshot);
        }
    }

    fn end(&self, broker: BrokerId, partition: PartitionId) -> i64 {
        self.ends.get(&(broker, partition)).copied().unwrap_or(0)
    }

    fn snapshot_of(&self, id: BrokerId) -> BrokerSnapshot {
        let mut replicas = Vec::new();
        for (partition, _, state) in self.image.partitions().filter(|(_, _, state)| state.replicas.contains(&id)) {
            let leads = state.leader == Some(id);
            let committed = state.isr.iter().map(|broker| self.end(*broker, partition)).min().unwrap_or(0);
            replicas.push(ReplicaSnapshot {
                partition,
                log: LogId(1),
                role: if leads { ReplicaRole::Leader } else { ReplicaRole::Follower },
                leader_epoch: state.leader_epoch,
                log_start: 0,
                log_end: self.end(id, partition),
                persisted_end: self.end(id, partition),
                high_watermark: committed,
                last_stable_offset: committed,
                size_bytes: 100,
                isr: state.isr.clone(),
                maximal_isr: state.isr.clone(),
                stalled_since: self.stalled.get(&partition).filter(|_| leads).map(|at| Instant::from_millis(*at)),
            });
        }
        let quorum = QuorumSnapshot {
            role: if self.controller == id { Role::Leader } else { Role::Follower },
            epoch: 1,
            leader: Some(self.controller),
            voted_for: None,
            log_start: 0,
            log_end: 10,
            persisted_end: 10,
            epochs: vec![(1, 0)],
            snapshot_end: None,
            high_watermark: 10,
            voters: vec![b(1), b(2), b(3)],
            votes_granted: Vec::new(),
            votes_refused: Vec::new(),
            failed_elections: 0,
            answers: Vec::new(),
            requests: Vec::new(),
            timer: None,
            recent: Vec::new(),
            followers: Vec::new(),
        };
        BrokerSnapshot {
            broker: id,
            at: Instant::from_millis(self.now_ms),
            broker_epoch: Some(i64::from(id.0)),
            is_fenced: false,
            is_shutting_down: false,
            quorum,
            image: Arc::new(self.image.clone()),
            bytes_in: self.now_ms * 10,
            bytes_out: self.now_ms * 20,
            replicas,
            inside: None,
            transactions: Vec::new(),
            groups: Vec::new(),
            parked_requests: 0,
            next_wake: None,
        }
    }

    fn event(&mut self, broker: BrokerId, cause: Option<EventId>, kind: observe::EventKind) -> EventId {
        self.seqs += 1;
        let id = EventId { broker, seq: self.seqs };
        self.observer.event(&Event { id, cause, at: Instant::from_millis(self.now_ms), kind });
        id
    }

    /// Broker 2 is killed and nobody has noticed.
    fn kill_2(&mut self) -> EventId {
        self.pass(100);
        let event = self.observer.broker_is(b(2), BrokerState::Killed, None);
        self.down.push(b(2));
        event
    }

    /// The controller fences broker 2 and elects new leaders.
    fn fail_over(&mut self) {
        self.pass(600);
        self.fence(b(2), true);
        let fenced = self.event(b(1), None, observe::EventKind::BrokerFenced { broker: b(2) });
        let led: Vec<PartitionId> =
            self.image.partitions().filter(|(_, _, state)| state.leader == Some(b(2))).map(|(id, ..)| id).collect();
        let all: Vec<PartitionId> = self.image.partitions().map(|(id, ..)| id).collect();
        for id in led {
            let isr = [b(1), b(3)];
            let leader = *isr.iter().max_by_key(|broker| self.end(**broker, id)).expect("two are left");
            self.change(id, |state| {
                (state.leader, state.leader_epoch) = (Some(leader), state.leader_epoch + 1);
            });
            let epoch = self.image.partition(id).expect("it is there").leader_epoch;
            let reason = ElectionReason::InSync;
            let elected =
                observe::EventKind::LeaderElected { partition: id, leader: Some(leader), leader_epoch: epoch, reason };
            self.event(b(1), Some(fenced), elected);
        }
        for id in all {
            self.change(id, |state| state.isr.retain(|broker| *broker != b(2)));
            let isr = self.image.partition(id).expect("it is there").isr.clone();
            let changed = observe::EventKind::IsrChanged { partition: id, isr, elr: Vec::new(), shrunk: true };
            self.event(b(1), Some(fenced), changed);
        }
        self.round();
    }

    fn view(&mut self) -> ClusterView {
        self.observer.view(&ViewRequest::default())
    }

    fn consequence(&self, line: &str) -> (Weight, String) {
        let told = self.observer.consequence(&parse_line(line).expect("a line of the language"));
        told.map(|told| (told.weight, told.text)).expect("something to say")
    }

    fn why(&mut self, about: WhyAbout) -> Vec<String> {
        let want = ViewRequest { why: Some(about), ..ViewRequest::default() };
        let why = self.observer.view(&want).why.expect("there is something to ask");
        let question = std::iter::once(why.question);
        question.chain(why.steps.into_iter().map(|step| step.text)).collect()
    }
}

fn registration(id: BrokerId, fenced: bool) -> BrokerImage {
    BrokerImage {
        broker_epoch: i64::from(id.0),
        incarnation: Uuid::nil(),
        directory: DirectoryId(Uuid::nil()),
        host: "localhost".into(),
        port: 9_092,
        rack: None,
        fenced,
        in_controlled_shutdown: false,
        is_controller: true,
    }
}

#[test]
fn a_healthy_cluster_is_told_as_such() {
    let mut world = World::new(6);
    for _ in 0..20 {
        world.pass(100);
        for id in 1..=3 {
            for number in 0..6 {
                *world.ends.entry((b(id), orders(number))).or_default() += 10;
            }
        }
        world.round();
    }
    let view = world.view();
    assert_eq!((view.totals.partitions, view.totals.all_in_sync, view.rows.attention_total), (6, 6, 0));
    assert_eq!(view.totals.records_in_per_s, 600);
    assert_eq!((view.totals.bytes_in_per_s, view.totals.bytes_out_per_s), (30_000, 60_000));
    assert!(view.brokers.iter().all(|card| card.state == BrokerState::Running && card.leaders == 2));
    assert_eq!(view.brokers[0].quorum, QuorumRole::Controller);
    assert_eq!(view.situation.no_controller_since_ms, None);
    let row = &view.rows.rows[0];
    assert_eq!(
        (row.name.to_string(), row.high_watermark, row.records_per_s),
        ("orders-0".into(), Some(200), Some(100))
    );
    assert_eq!((row.leader, row.isr.len(), row.min_isr), (Some(b(1)), 3, 2));
}

#[test]
fn between_a_death_and_the_fence_its_partitions_have_no_leader_and_then_they_do() {
    let mut world = World::new(6);
    world.kill_2();
    let view = world.view();
    assert_eq!((view.totals.no_leader, view.totals.missing_copy), (2, 0));
    let death = view.situation.last_death.expect("2 died");
    assert_eq!((death.broker, death.elected, death.fence_at_ms), (b(2), 0, Some(world.now_ms + 600)));
    assert!(
        view.rows.rows[..2].iter().all(|row| row.severity == PartitionSeverity::NoLeader && row.reason == "2 is down")
    );
    assert_eq!(view.brokers[1].leaders, 0);

    world.fail_over();
    let view = world.view();
    assert_eq!((view.totals.no_leader, view.totals.missing_copy), (0, 6));
    let death = view.situation.last_death.expect("2 is still dead");
    assert_eq!((death.elected, death.took_ms, death.fence_at_ms), (2, 600, None));
    let texts: Vec<String> = view.timeline.events.iter().map(|event| event.text.clone()).collect();
    for expected in ["kill −9 broker 2", "fenced 2", "2 partitions have new leaders", "ISR of 6 partitions shrank"] {
        assert!(texts.iter().any(|text| text == expected), "{expected} is not among {texts:?}");
    }
    let row = &view.rows.rows[0];
    let dead = row.replicas.iter().find(|replica| replica.broker == b(2)).expect("it is still assigned");
    assert_eq!((dead.role, dead.in_isr), (crate::cluster::view::ReplicaRole::Dead, false));
}

#[test]
fn a_death_is_the_cause_of_the_new_leaders() {
    let mut world = World::new(6);
    world.kill_2();
    world.fail_over();
    let why = world.why(WhyAbout::Partition(PartitionName::new("orders", 1)));
    assert_eq!(why[0], "Why is 2 not in sync in orders-1?");
    assert_eq!(why[1], "Broker 2 was killed (kill −9).");
    assert!(why[2].starts_with("No heartbeat of 2 reached the controller for 600ms"), "{why:?}");
    assert_eq!(why.len(), 5);
    assert_eq!(why[4], "2 joins the ISR when it is started and has copied what it missed.");
    assert_eq!(world.why(WhyAbout::Headline)[0], "Why is broker 2 down?");
}

#[test]
fn before_the_fence_what_will_happen_is_told_as_expected() {
    let mut world = World::new(6);
    world.kill_2();
    let why = world.why(WhyAbout::Partition(PartitionName::new("orders", 1)));
    assert_eq!(why[0], "Why does orders-1 have no leader?");
    assert!(why[2].contains("fences 2 (broker.session.timeout.ms = 600ms)"), "{why:?}");
}

#[test]
fn a_broker_that_comes_back_catches_up_until_it_is_in_sync() {
    let mut world = World::new(6);
    world.kill_2();
    world.fail_over();
    for number in 0..6 {
        world.ends.insert((b(1), orders(number)), 50);
        world.ends.insert((b(3), orders(number)), 50);
    }
    world.pass(1_000);
    world.observer.broker_is(b(2), BrokerState::Starting, None);
    assert_eq!(world.view().brokers[1].state, BrokerState::Starting);
    world.pass(100);
    world.down.clear();
    world.observer.broker_is(b(2), BrokerState::Running, None);
    world.fence(b(2), false);
    world.event(b(1), None, observe::EventKind::BrokerUnfenced { broker: b(2) });
    let cut = observe::EventKind::Truncated {
        partition: orders(1),
        from: 14,
        to: 0,
        reason: TruncationReason::DivergingEpoch,
    };
    world.event(b(2), None, cut);
    world.round();
    world.pass(100);
    world.round();
    let view = world.view();
    let catching_up = view.situation.catching_up.first().expect("2 is behind");
    assert_eq!((catching_up.broker, catching_up.replicas, catching_up.records, catching_up.cut), (b(2), 6, 300, 14));
    assert!(view.situation.last_death.as_ref().is_some_and(|death| death.back_at_ms.is_some()));
    let bar = |view: &ClusterView| {
        let row = view.rows.rows.iter().find(|row| row.name.partition == 1).expect("it is in view").clone();
        row.replicas.into_iter().find(|replica| replica.broker == b(2)).expect("it is assigned")
    };
    assert_eq!((bar(&view).role, bar(&view).behind), (crate::cluster::view::ReplicaRole::CatchingUp, 50));
    for number in 0..6 {
        world.ends.insert((b(2), orders(number)), 50);
        world.change(orders(number), |state| state.isr.push(b(2)));
    }
    world.pass(100);
    world.round();
    world.round();
    let view = world.view();
    assert!(view.situation.catching_up.is_empty());
    assert_eq!((view.totals.all_in_sync, bar(&view).role), (6, crate::cluster::view::ReplicaRole::InSync));
    let died = view.timeline.events.iter().find(|event| event.text == "kill −9 broker 2").expect("it is kept");
    assert!(!died.ongoing && died.until_ms.is_some());
}

#[test]
fn a_high_watermark_that_stands_says_for_whom_it_waits_and_ends_when_it_moves() {
    let mut world = World::new(3);
    let slow = world.observer.note(Note {
        kind: EventKind::DiskSlow,
        text: "broker 3 disk +200 ms".into(),
        broker: Some(b(3)),
        cause: None,
        lasts: true,
    });
    world.ends.extend([((b(1), orders(0)), 40), ((b(2), orders(0)), 40)]);
    world.stalled.insert(orders(0), world.now_ms);
    world.pass(100);
    world.round();
    assert_eq!(world.view().totals.stalled, 0, "a tenth of a second is a fetch");
    world.pass(300);
    world.round();
    let view = world.view();
    assert_eq!((view.totals.stalled, view.rows.rows[0].reason.as_str()), (1, "waits for 3"));
    assert_eq!(view.situation.worst[0].waits_for, Some(b(3)));
    let why = world.why(WhyAbout::Partition(PartitionName::new("orders", 0)));
    assert_eq!(why[1], "Broker 3 disk +200 ms.");
    assert!(why[3].contains("leaves the ISR (replica.lag.time.max.ms = 1s)"), "{why:?}");
    world.stalled.clear();
    world.observer.end(slow);
    world.pass(100);
    world.round();
    let view = world.view();
    assert_eq!(view.totals.stalled, 0);
    assert!(view.timeline.events.iter().all(|event| !event.ongoing), "{:?}", view.timeline.events);
    assert!(view.timeline.stalls.contains(&1));
}

#[test]
fn the_last_complete_copy_is_marked_and_waited_for() {
    let mut world = World::new(3);
    world.change(orders(1), |state| state.isr = vec![b(2)]);
    world.round();
    world.kill_2();
    world.pass(600);
    world.fence(b(2), true);
    world.change(orders(1), |state| {
        (state.leader, state.isr, state.elr) = (None, Vec::new(), vec![b(2)]);
        state.leader_epoch += 1;
    });
    let lost = observe::EventKind::LeaderElected {
        partition: orders(1),
        leader: None,
        leader_epoch: 1,
        reason: ElectionReason::NoneEligible,
    };
    world.event(b(1), None, lost);
    world.round();
    let view = world.view();
    let row = &view.rows.rows[0];
    assert_eq!(
        (row.name.partition, row.severity, row.reason.as_str()),
        (1, PartitionSeverity::NoLeader, "waits for 2")
    );
    let last = row.replicas.iter().find(|replica| replica.broker == b(2)).expect("it is assigned");
    assert_eq!(last.role, crate::cluster::view::ReplicaRole::LastComplete);
    let worst = &view.situation.worst[0];
    assert_eq!((worst.severity, worst.waits_for), (PartitionSeverity::NoLeader, Some(b(2))));
    assert!(world.why(WhyAbout::Headline).last().is_some_and(|text| !text.is_empty()));
}

#[test]
fn records_that_an_old_leader_alone_has_are_to_be_cut() {
    let mut world = World::new(3);
    for id in 1..=3 {
        world.ends.insert((b(id), orders(1)), 100);
    }
    world.ends.insert((b(2), orders(1)), 114);
    world.pass(100);
    world.round();
    world.kill_2();
    world.fail_over();
    let leader = world.image.partition(orders(1)).and_then(|state| state.leader).expect("it has one");
    let began =
        observe::EventKind::BecameLeader { partition: orders(1), leader_epoch: 1, log_end: 100, high_watermark: 100 };
    world.event(leader, None, began);
    world.ends.extend([((b(1), orders(1)), 130), ((b(3), orders(1)), 130)]);
    world.pass(100);
    world.round();
    let view = world.view();
    let row = view.rows.rows.iter().find(|row| row.name.partition == 1).expect("it is in view");
    let dead = row.replicas.iter().find(|replica| replica.broker == b(2)).expect("it is assigned");
    assert_eq!((dead.to_cut, dead.behind, dead.log_end), (14, 30, Some(114)));
}

#[test]
fn a_power_loss_shows_what_is_left_in_the_store() {
    let mut world = World::new(3);
    world.ends.insert((b(2), orders(0)), 80);
    world.pass(100);
    world.round();
    world.observer.broker_is(b(2), BrokerState::PowerLost, None);
    let left = LogInfo { log: LogId(1), partition: orders(0), topic: "orders".into(), start_offset: 3, end_offset: 60 };
    world.observer.store_of_dead(b(2), &[left]);
    let view = world.view();
    let row = view.rows.rows.iter().find(|row| row.name.partition == 0).expect("it is in view");
    let dead = row.replicas.iter().find(|replica| replica.broker == b(2)).expect("it is assigned");
    assert_eq!((dead.log_start, dead.log_end), (3, Some(60)));
    assert_eq!(view.brokers[1].cause, "power loss");
    // What it had said before is on its way still, and is no news.
    let late = world.snapshot_of(b(2));
    world.observer.snapshot(&late);
    assert_eq!(world.view().brokers[1].state, BrokerState::PowerLost);
}

#[test]
fn without_a_controller_it_is_said_since_when() {
    let mut world = World::new(3);
    world.pass(500);
    world.observer.broker_is(b(1), BrokerState::Killed, None);
    world.down.push(b(1));
    let since = world.now_ms;
    world.controller = b(9);
    world.pass(400);
    world.round();
    let view = world.view();
    assert_eq!(view.situation.no_controller_since_ms, Some(since));
    assert_eq!(view.situation.last_death.and_then(|death| death.fence_at_ms), None, "nobody is there to fence it");
    assert_eq!(world.why(WhyAbout::Headline)[1], "Broker 1 was killed (kill −9).");
    world.controller = b(3);
    world.pass(100);
    world.round();
    let view = world.view();
    assert_eq!((view.situation.no_controller_since_ms, view.brokers[2].quorum), (None, QuorumRole::Controller));
}

#[test]
fn predicates_are_answered_from_what_is_known_and_nothing_else() {
    let mut world = World::new(3);
    world.kill_2();
    let observer = &world.observer;
    assert_eq!(observer.leader(&named("orders-1")), Some(None), "its leader is dead");
    assert_eq!(observer.leader(&named("orders-0")), Some(Some(b(1))));
    assert_eq!(observer.leader(&named("nothing-0")), None);
    assert_eq!(observer.members(Members::Isr, &named("orders-0")), Some(vec![b(1), b(2), b(3)]));
    assert_eq!(observer.measure(Measure::LeaderEpoch, &named("orders-0"), None), Some(0));
    assert_eq!(observer.measure(Measure::LogEndOffset, &named("orders-1"), None), None);
    assert_eq!((observer.count(Count::Alive), observer.count(Count::Leaderless)), (Some(2), Some(1)));
    assert_eq!(observer.count(Count::Lost), None, "there is no ledger");
    assert_eq!(observer.resolve(&Who::Killed), Ok(vec![b(2)]));
    assert_eq!(observer.resolve(&Who::Controller), Ok(vec![b(1)]));
    assert_eq!(observer.resolve(&Who::LeaderOf(named("orders-0"))), Ok(vec![b(1)]));
    assert!(observer.resolve(&Who::LeaderOf(named("orders-1"))).is_err_and(|reason| reason.contains("no leader")));
    assert!(observer.resolve(&Who::Ids(vec![b(7)])).is_err());
}

#[test]
fn groups_are_completed_and_their_verbs_told_first() {
    let mut world = World::new(6);
    let group = |name: &str, members: usize, committed: i32| {
        let member = |number| MemberSnapshot {
            member: format!("m-{number}").into(),
            instance: None,
            client_id: "app".into(),
            expires_at: None,
            host: Arc::from("/127.0.0.1"),
            subscribes: Vec::new(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 10_000,
            owns: Vec::new(),
            progress: None,
        };
        let committed_offset = CommittedOffset {
            offset: 5,
            leader_epoch: -1,
            metadata: "".into(),
            committed_at_ms: 0,
            expires_at_ms: None,
        };
        let offset = |partition| (partition, committed_offset.clone());
        GroupSnapshot {
            group: name.into(),
            partition: 0,
            state: if members > 0 { GroupState::Stable } else { GroupState::Empty },
            state_ends_at: None,
            consumer: None,
            protocol_type: None,
            protocol: None,
            generation: 1,
            leader: None,
            members: (0..members).map(member).collect(),
            offsets: BTreeMap::from([("orders".into(), (0..committed).map(offset).collect())]),
            rebalances: Vec::new(),
        }
    };
    let mut snapshot = world.snapshot_of(b(2));
    snapshot.groups = vec![group("billing", 2, 6), group("audit", 0, 3)];
    world.observer.snapshot(&snapshot);
    let values = |world: &World| -> Vec<(String, String)> {
        let completion = complete("group delete ", &world.observer);
        completion.values.into_iter().map(|value| (value.text, value.note)).collect()
    };
    let expected = [("audit", "empty"), ("billing", "stable")];
    assert_eq!(values(&world), expected.map(|(name, note)| (name.to_owned(), note.to_owned())));
    for (line, weight, text) in [
        ("group delete billing", Weight::Refused, "billing has 2 members: stop them first."),
        ("group delete audit", Weight::Severe, "This removes what audit has committed for 3 partitions."),
        ("group delete nobody", Weight::Refused, "There is no group nobody."),
        ("group reset audit orders --to 0", Weight::Harmless, "Shows what would change; --execute does it."),
        (
            "group reset audit orders --to 0 --execute",
            Weight::Severe,
            "What audit has committed for 3 partitions of orders is overwritten.",
        ),
        ("group reset audit clicks --to 0 --execute", Weight::Refused, "There is no topic clicks."),
        ("transaction abort transfers", Weight::Refused, "There is no transactional id transfers."),
    ] {
        assert_eq!(world.consequence(line), (weight, text.to_owned()), "{line}");
    }
}

#[test]
fn consequences_are_told_before_the_key_is_pressed() {
    let mut world = World::new(6);
    assert_eq!(world.consequence("kill 3"), (Weight::Notice, "2 partitions get new leaders.".into()));
    assert!(world.consequence("kill 1").1.contains("the controller moves too"));
    let (weight, text) = world.consequence("kill 1 2");
    assert_eq!(weight, Weight::Severe);
    assert!(text.starts_with("Killing 1,2 now leaves 1 of 3 voters: no controller until one returns."), "{text}");
    assert_eq!(world.consequence("start 1").0, Weight::Refused);
    assert_eq!(world.consequence("kill 7"), (Weight::Refused, "There is no broker 7.".into()));
    assert_eq!(world.consequence("topic create orders"), (Weight::Refused, "There is a topic orders already.".into()));
    assert!(world.consequence("topic delete orders").1.starts_with("This removes 6 partitions and "));
    assert_eq!(world.consequence("topic create x --replicas 4").0, Weight::Refused);
    assert!(world.consequence("link cut 1 2").1.starts_with("Broker 2 loses the controller: fenced after 600ms."));
    assert!(world.observer.consequence(&parse_line("pause").expect("a line")).is_none());
    world.kill_2();
    world.fail_over();
    assert_eq!(world.consequence("kill 2"), (Weight::Refused, "Broker 2 is dead already.".into()));
    let (weight, text) = world.consequence("kill 3");
    assert_eq!(weight, Weight::Severe);
    assert!(text.contains("1 of 3 voters") && text.contains("orders-0 and 5 more then refuse acks=all"), "{text}");
    assert!(world.consequence("start 2").1.contains("6 partitions"));
    assert_eq!(world.consequence("heal"), (Weight::Harmless, "There is nothing to heal.".into()));
}

#[test]
fn names_are_offered_with_how_they_are() {
    let mut world = World::new(3);
    world.add_topic("payments", 200, 2);
    world.round();
    world.kill_2();
    let notes: Vec<String> = world.observer.brokers().into_iter().map(|value| value.note).collect();
    assert_eq!(notes, ["controller, leads 2", "killed", "leads 1"]);
    let texts = |values: Vec<crate::cluster::view::CompletionValue>| {
        values.into_iter().map(|value| value.text).collect::<Vec<_>>()
    };
    assert_eq!(texts(crate::cluster::command::Names::topics(&world.observer, "pa")), ["payments"]);
    assert_eq!(texts(world.observer.partitions("payments-")), ["payments-0", "payments-1"]);
    assert!(texts(world.observer.settings("min.insync")).contains(&"min.insync.replicas".to_owned()));
    let found = world.observer.topics("ent", 10);
    assert_eq!((found.len(), found[0].partitions, found[0].replicas), (1, 2, 3));
}

#[test]
fn a_lost_record_is_told_with_its_rule_and_a_gap_makes_everything_unknown() {
    let mut world = World::new(3);
    world.ends.insert((b(1), orders(0)), 5);
    let counts = Ledger { acked: 9, readable: 7, lost: 2, ..Ledger::default() };
    let partition = TopicPartition::new("orders", 0);
    let loss = Loss { count: 2, partition, first_offset: 3, last_offset: 4, acks: Acks::Leader };
    world.observer.set_ledger(Some(Report { counts, lost: Some(loss) }));
    let view = world.view();
    let lost = view.situation.lost.expect("two are lost");
    assert_eq!((lost.count, lost.rule.as_str(), lost.last_offset), (2, "acks=1 and the leader died", 4));
    assert!(view.timeline.events.iter().any(|event| event.kind == EventKind::RecordsLost));
    assert_eq!(world.observer.count(Count::Lost), Some(2));
    world.observer.gap();
    world.pass(1_000);
    world.observer.gap();
    assert_eq!(world.view().ledger.and_then(|ledger| ledger.unknown_since_ms), Some(world.now_ms - 1_000));
    assert_eq!(world.observer.count(Count::Lost), None);
}

#[test]
fn rows_can_be_filtered_sorted_and_selected() {
    let mut world = World::new(6);
    world.add_topic("Payments", 200, 4);
    world.ends.insert((b(1), orders(3)), 30);
    world.change(orders(5), |state| state.isr.retain(|broker| *broker != b(1)));
    world.pass(100);
    world.round();
    let names = |view: &ClusterView| view.rows.rows.iter().map(|row| row.name.to_string()).collect::<Vec<_>>();
    let want = ViewRequest { filter: "PAY".into(), ..ViewRequest::default() };
    let view = world.observer.view(&want);
    assert_eq!((view.rows.total, view.totals.partitions, names(&view)[0].as_str()), (4, 10, "Payments-0"));
    let want = ViewRequest { filter: "!pay".into(), first_row: 4, row_count: 1, ..ViewRequest::default() };
    let view = world.observer.view(&want);
    assert_eq!((view.rows.total, names(&view)), (6, vec!["orders-3".to_owned()]), "orders-5 comes first");
    let selected = Some(PartitionName::new("orders", 3));
    let want = ViewRequest { sort: RowSort::RecordsBehind, row_count: 2, selected, ..ViewRequest::default() };
    let view = world.observer.view(&want);
    assert_eq!((names(&view), view.rows.selected_index), (vec!["orders-5".to_owned(), "orders-3".to_owned()], Some(1)));
    let topic = world.image.topic_ids.remove("orders").expect("it is there");
    world.image.topics.remove(&topic);
    world.image.end_offset += 1;
    world.round();
    assert_eq!(world.view().rows.total, 4);
}

#[test]
fn a_change_is_a_fact_or_progress_or_nothing() {
    let mut world = World::new(3);
    world.view();
    assert_eq!(world.observer.changed(), Change::Nothing);
    world.pass(100);
    world.round();
    assert_eq!(world.observer.changed(), Change::Progress);
    world.kill_2();
    assert_eq!(world.observer.changed(), Change::Facts);
}

/// With 10,000 partitions a view touches the rows in its window and no more, also while everything falls over.
#[test]
fn a_view_costs_what_is_in_it_whatever_exists() {
    let mut world = World::new(10_000);
    let want = ViewRequest { first_row: 4_000, row_count: 40, ..ViewRequest::default() };
    world.observer.view(&want);
    world.kill_2();
    world.fail_over();
    let before = world.observer.partitions.rows_touched;
    for first_row in [0, 17, 9_980, 20_000] {
        let view = world.observer.view(&ViewRequest { first_row, ..want.clone() });
        assert_eq!((view.rows.total, view.rows.attention_total), (10_000, 10_000));
        assert!(view.rows.rows.len() <= 40 && view.timeline.events.len() < 20);
    }
    assert!(world.observer.partitions.rows_touched - before <= 4 * 40);
    assert_eq!(world.view().situation.last_death.map(|death| death.elected), Some(3_333));
    let scope = world.observer.next_scope(b(1)).partitions.expect("not everything at once");
    assert!(scope.len() <= IN_TURN + ATTENTION_MAX + 64 && scope.len() >= IN_TURN);
    let after = world.observer.next_scope(b(1)).partitions.expect("not everything at once");
    assert_ne!(scope, after, "the others get their turn");
}

/// A topic's line is made of counts that each change keeps up: 10,000 partitions cost nothing when it is looked at.
#[test]
fn a_topic_adds_up_its_partitions_as_they_change() {
    let mut world = World::new(10_000);
    let want =
        ViewRequest { topics: Some(TopicsRequest { row_count: 40, ..Default::default() }), ..Default::default() };
    let topics = |world: &mut World| {
        let before = world.observer.partitions.topics().rows_touched;
        let view = world.observer.view(&want).topics.expect("it was asked for");
        assert!(world.observer.partitions.topics().rows_touched - before <= 2, "one topic, and its detail");
        let row = view.rows[0].clone();
        assert_eq!((view.total, row.partitions, view.own.partitions, row.replicas), (1, 10_000, 10_000, 3));
        row
    };
    let row = topics(&mut world);
    assert_eq!((row.severity, row.under_replicated), (PartitionSeverity::Healthy, 0));
    world.kill_2();
    assert_eq!(topics(&mut world).severity, PartitionSeverity::NoLeader);
    world.fail_over();
    let row = topics(&mut world);
    assert_eq!((row.severity, row.no_leader, row.under_replicated), (PartitionSeverity::MissingCopy, 0, 10_000));
}

/// A controller that lost its office unawares goes on electing; nothing of that is ever committed, and its epochs may be used again.
#[test]
fn elections_that_are_never_committed_are_forgotten() {
    let mut world = World::new(3);
    let committed = world.view().rows.rows;
    let reason = ElectionReason::InSync;
    for number in 0..3 {
        let told =
            observe::EventKind::LeaderElected { partition: orders(number), leader: None, leader_epoch: 7, reason };
        world.event(b(2), None, told);
    }
    world.round();
    assert_eq!(world.view().totals.no_leader, 3, "what is told is shown at once");
    world.pass(AHEAD_MAX_MS);
    world.round();
    let view = world.view();
    assert_eq!((view.totals.no_leader, view.totals.all_in_sync), (0, 3));
    let leaders = |rows: &[crate::cluster::view::PartitionRow]| {
        rows.iter().map(|row| (row.name.clone(), row.leader, row.leader_epoch)).collect::<Vec<_>>()
    };
    assert_eq!(leaders(&view.rows.rows), leaders(&committed));
    // The next one that is committed has a lower epoch than what was told, and counts.
    world.change(orders(0), |state| (state.leader, state.leader_epoch) = (Some(b(2)), 1));
    world.round();
    let row = world.view().rows.rows.into_iter().find(|row| row.name == PartitionName::new("orders", 0));
    assert_eq!(row.map(|row| (row.leader, row.leader_epoch)), Some((Some(b(2)), 1)));
}

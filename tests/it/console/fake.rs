//! A scripted cluster behind the console's door: five brokers, 28 partitions, and broker 2 that died 2.4 s ago.
//!
//! It answers like a host would, from a table; it runs nothing. Commands are written down for the test to read.

// The benchmark of the console takes this file by its path, too.
#[path = "fake_faults.rs"]
mod fake_faults;
#[path = "fake_groups.rs"]
mod fake_groups;
#[path = "fake_topics.rs"]
mod fake_topics;
#[path = "fake_xray.rs"]
mod fake_xray;

use kafkarium::cluster::command::{Names, catalogue, complete};
use kafkarium::cluster::view::*;
use std::sync::Arc;

/// What the cluster looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// All in sync.
    Healthy,
    /// Broker 2 died 1.2 s ago and is not fenced yet.
    BeforeTheFence,
    /// Broker 2 died 2.4 s ago; the leaders have moved.
    Failover,
    /// Broker 2 is back and copies.
    CatchingUp,
    /// Nobody answers.
    NoBroker,
    /// All brokers start.
    Starting,
    /// Too few voters.
    NoController,
    /// Nothing has been created.
    Empty,
    /// Nine brokers, 10,000 partitions.
    Large,
}

impl Scene {
    /// All scenes.
    pub const ALL: [Scene; 9] = [
        Scene::Healthy,
        Scene::BeforeTheFence,
        Scene::Failover,
        Scene::CatchingUp,
        Scene::NoBroker,
        Scene::Starting,
        Scene::NoController,
        Scene::Empty,
        Scene::Large,
    ];
}

/// Name, epoch, high watermark, rate, replicas as `broker role behind`: `L` leader, `s` in sync, `d` dead, `l` last
/// complete copy, `o` out of sync, `c` catching up.
type Line = (&'static str, i32, i64, u64, &'static str);

const ATTENTION: [Line; 7] = [
    ("clicks-1", 4, 88_102, 0, "2l0 5o3100"),
    ("payments-2", 3, 40_418, 0, "4L0 1s3 5s415"),
    ("orders-0", 8, 12_866, 212, "3L0 1s2 2d20"),
    ("orders-3", 6, 12_602, 198, "1L0 2d487 4s1"),
    ("payments-0", 5, 39_977, 88, "4L0 2d8 3s1"),
    ("inventory-1", 3, 5_120, 31, "1L0 2d3 5s0"),
    ("orders-5", 4, 12_711, 205, "5L0 2d504 3s1"),
];

const HEALTHY: [Line; 21] = [
    ("orders-1", 5, 12_690, 208, "3L0 4s1 5s1"),
    ("orders-2", 5, 12_733, 211, "4L0 1s1 5s1"),
    ("orders-4", 3, 12_655, 201, "5L0 1s1 3s1"),
    ("payments-1", 2, 40_120, 93, "3L0 1s0 4s0"),
    ("payments-3", 2, 40_233, 90, "1L0 3s1 4s2"),
    ("clicks-0", 2, 87_990, 402, "1L0 3s1"),
    ("clicks-2", 2, 88_240, 398, "3L0 4s1"),
    ("clicks-3", 2, 88_051, 405, "4L0 1s1"),
    ("inventory-0", 1, 5_098, 30, "5L0 1s2 3s1"),
    ("__offsets-17", 2, 2_211, 6, "4L0 1s1 3s1"),
    ("__offsets-31", 2, 2_308, 7, "1L0 3s2 4s2"),
    ("__txn-4", 2, 2_405, 8, "3L0 1s1 4s1"),
    ("audit-0", 2, 2_502, 9, "1L0 3s2 4s2"),
    ("audit-1", 2, 2_599, 10, "4L0 1s1 3s1"),
    ("audit-2", 2, 2_696, 11, "3L0 1s1 4s2"),
    ("metrics-0", 2, 2_793, 12, "5L0 1s1 4s1"),
    ("metrics-1", 2, 2_890, 13, "1L0 3s1 4s1"),
    ("metrics-2", 2, 2_987, 14, "3L0 4s1 5s1"),
    ("metrics-3", 2, 3_084, 15, "4L0 1s1 5s0"),
    ("sessions-0", 2, 3_181, 16, "5L0 3s1 4s1"),
    ("sessions-1", 2, 3_278, 17, "1L0 4s1 5s1"),
];

/// The cluster behind the door.
#[derive(Debug)]
pub struct FakeCluster {
    /// What it looks like.
    pub scene: Scene,
    /// Paused by a command.
    pub paused: bool,
    /// It was recorded for ten seconds, four times a second, and at its facts.
    pub recalls: bool,
    /// Every line that was submitted.
    pub submitted: Vec<String>,
    /// Everything produced by hand.
    pub produced: Vec<ProduceDraft>,
    /// Faults of links beside the dead broker, and what is told of links and lines.
    pub link_faults: bool,
    /// How many rows were built in all: drawing must not need more than what is in view.
    pub rows_built: usize,
    commands: Vec<CommandDoc>,
    replies: Vec<CommandReply>,
    next_id: u64,
}

pub const NOW_MS: u64 = 3_600_000;
/// 12:04:31.520 of the day.
const WALL_MS: i64 = 43_471_520;

impl FakeCluster {
    /// A cluster that looks like `scene`.
    pub fn new(scene: Scene) -> FakeCluster {
        FakeCluster {
            scene,
            paused: false,
            recalls: false,
            submitted: Vec::new(),
            produced: Vec::new(),
            link_faults: false,
            rows_built: 0,
            commands: catalogue(),
            replies: Vec::new(),
            next_id: 1,
        }
    }

    fn reply(&mut self, line: &str, outcome: Outcome) -> CommandId {
        let id = CommandId(self.next_id);
        self.next_id += 1;
        self.replies.push(CommandReply { id, line: line.to_string(), outcome });
        id
    }

    fn dead_broker(&self) -> bool {
        matches!(self.scene, Scene::Failover | Scene::BeforeTheFence)
    }

    fn brokers(&self) -> Vec<BrokerCard> {
        let count = match self.scene {
            Scene::Empty | Scene::NoBroker | Scene::Starting | Scene::NoController => 3,
            Scene::Large => 9,
            _ => 5,
        };
        (1..=count).map(|id| self.broker(id)).collect()
    }

    fn broker(&self, id: i32) -> BrokerCard {
        let rates = [900_000, 820_000, 800_000, 900_000, 300_000];
        let rate = rates[(id as usize - 1) % 5];
        let history: Vec<u64> = (0..32).map(|n| rate / 2 + (n * 7 + id as u64 * 3) % 5 * rate / 8).collect();
        let mut card = BrokerCard {
            id: BrokerId(id),
            port: 9_091 + id as u16,
            state: BrokerState::Running,
            since_ms: 0,
            cause: String::new(),
            fenced_at_ms: None,
            quorum: match id {
                1 => QuorumRole::Controller,
                2 | 3 => QuorumRole::Voter,
                _ => QuorumRole::Observer,
            },
            leaders: [8, 4, 8, 8, 3][(id as usize - 1) % 5],
            replicas: [17, 11, 18, 17, 9][(id as usize - 1) % 5],
            bytes_in_per_s: rate,
            bytes_out_per_s: rate * 2,
            in_history: history.clone(),
            out_history: history.iter().rev().copied().collect(),
            disk_bytes: 41_000_000 * id as u64,
            disk_used_permille: (id != 3).then_some(380 + 20 * id as u16),
            faults: Vec::new(),
            next_wake: (id == 1).then(|| NextWake { at_ms: NOW_MS + 80, why: "heartbeat".into() }),
        };
        if id == 5 && !matches!(self.scene, Scene::Large | Scene::Healthy) {
            card.faults = vec![FaultChip { kind: FaultKind::Slow, text: "+200 ms".into() }];
        }
        let kill = |card: &mut BrokerCard, ago: u64, fence: u64| {
            card.state = BrokerState::Killed;
            card.since_ms = NOW_MS - ago;
            card.cause = "kill −9".into();
            card.leaders = 0;
            card.fenced_at_ms = Some(NOW_MS - ago + fence);
        };
        match (self.scene, id) {
            (Scene::BeforeTheFence, 2) => kill(&mut card, 1_200, 2_000),
            (Scene::Failover, 2) => kill(&mut card, 2_400, 2_000),
            (Scene::NoBroker, 1) => {
                card.state = BrokerState::Crashed { message: "high watermark 12 beyond log end 11".into() };
            }
            (Scene::NoBroker, 3) => card.state = BrokerState::Suspended,
            (Scene::NoBroker, _) | (Scene::NoController, 2 | 3) => kill(&mut card, 9_000, 600),
            (Scene::Starting, _) => {
                card.state = BrokerState::Starting;
                card.since_ms = NOW_MS - 400;
            }
            _ => {}
        }
        card
    }

    fn lines(&self) -> Vec<(PartitionSeverity, Line)> {
        let severity = |name: &str| match (self.scene, name) {
            (Scene::Healthy, _) => PartitionSeverity::Healthy,
            (_, "clicks-1") => PartitionSeverity::NoLeader,
            (_, "payments-2") => PartitionSeverity::Stalled,
            _ => PartitionSeverity::MissingCopy,
        };
        let mut lines: Vec<_> = ATTENTION.iter().map(|line| (severity(line.0), *line)).collect();
        lines.extend(HEALTHY.iter().map(|line| (PartitionSeverity::Healthy, *line)));
        lines
    }

    fn row(&self, severity: PartitionSeverity, line: Line) -> PartitionRow {
        let (name, epoch, high_watermark, rate, replicas) = line;
        let (topic, partition) = name.rsplit_once('-').expect("a partition's name");
        let stalled = severity == PartitionSeverity::Stalled;
        let waiting = if stalled { 415 } else { 2 };
        let end = high_watermark + waiting;
        let replicas: Vec<ReplicaBar> = replicas.split(' ').map(|text| self.replica(text, end)).collect();
        let isr = replicas.iter().filter(|replica| replica.in_isr).map(|replica| replica.broker).collect();
        let leader = replicas.iter().find(|replica| replica.role == ReplicaRole::Leader).map(|replica| replica.broker);
        PartitionRow {
            name: PartitionName::new(topic, partition.parse().expect("a number")),
            severity,
            leader,
            leader_epoch: epoch,
            leader_since_ms: if self.scene == Scene::Failover && name == "orders-0" { NOW_MS - 350 } else { 1 },
            isr,
            elr: Vec::new(),
            min_isr: 2,
            log_start: 0,
            high_watermark: Some(high_watermark),
            records_per_s: leader.map(|_| rate),
            stalled_since_ms: stalled.then_some(NOW_MS - 3_100),
            reason: String::new(),
            replicas,
        }
    }

    fn replica(&self, text: &str, end: i64) -> ReplicaBar {
        let (broker, rest) = text.split_at(1);
        let (role, behind) = rest.split_at(1);
        let behind: u64 = behind.parse().expect("a number");
        let healthy = self.scene == Scene::Healthy;
        let role = match role {
            "L" => ReplicaRole::Leader,
            "l" if healthy => ReplicaRole::Leader,
            "s" => ReplicaRole::InSync,
            "d" | "o" if healthy => ReplicaRole::InSync,
            "d" if self.scene == Scene::CatchingUp => ReplicaRole::CatchingUp,
            "d" => ReplicaRole::Dead,
            "l" => ReplicaRole::LastComplete,
            _ => ReplicaRole::OutOfSync,
        };
        let behind = if healthy { behind.min(1) } else { behind };
        ReplicaBar {
            broker: BrokerId(broker.parse().expect("a number")),
            role,
            log_start: 0,
            log_end: Some(end - behind as i64),
            behind,
            to_cut: 0,
            in_isr: matches!(role, ReplicaRole::Leader | ReplicaRole::InSync | ReplicaRole::LastComplete),
        }
    }

    fn rows(&mut self, want: &ViewRequest) -> PartitionRows {
        if matches!(self.scene, Scene::Empty | Scene::NoBroker | Scene::Starting) {
            return PartitionRows::default();
        }
        if self.scene == Scene::Large {
            return self.large_rows(want);
        }
        let (invert, text) = match want.filter.strip_prefix('!') {
            Some(text) => (true, text),
            None => (false, &want.filter[..]),
        };
        let kept: Vec<_> = self
            .lines()
            .into_iter()
            .filter(|(_, line)| text.is_empty() || line.0.contains(&text.to_lowercase()) != invert)
            .collect();
        let selected = want.selected.as_ref().map(PartitionName::to_string);
        let rows: Vec<PartitionRow> = kept
            .iter()
            .skip(want.first_row)
            .take(want.row_count)
            .map(|(severity, line)| self.row(*severity, *line))
            .collect();
        self.rows_built += rows.len();
        PartitionRows {
            total: kept.len(),
            attention_total: kept.iter().filter(|(severity, _)| *severity != PartitionSeverity::Healthy).count(),
            first: want.first_row,
            selected_index: selected.and_then(|name| kept.iter().position(|(_, line)| line.0 == name)),
            rows,
        }
    }

    fn large_rows(&mut self, want: &ViewRequest) -> PartitionRows {
        const TOTAL: usize = 10_000;
        let rows: Vec<PartitionRow> = (want.first_row..TOTAL.min(want.first_row + want.row_count))
            .map(|index| {
                let mut row = self.row(PartitionSeverity::Healthy, HEALTHY[index % HEALTHY.len()]);
                row.name = PartitionName::new("big", index as i32);
                row
            })
            .collect();
        self.rows_built += rows.len();
        let selected_index = want.selected.as_ref().map(|name| name.partition as usize);
        PartitionRows { total: TOTAL, attention_total: 0, first: want.first_row, rows, selected_index }
    }

    fn totals(&self) -> Totals {
        let counts = match self.scene {
            Scene::Healthy => (0, 0, 0, 28),
            Scene::Large => (0, 0, 0, 10_000),
            Scene::Empty | Scene::NoBroker | Scene::Starting => (0, 0, 0, 0),
            Scene::BeforeTheFence => (4, 3, 0, 21),
            Scene::CatchingUp => (0, 1, 5, 22),
            _ => (1, 1, 5, 21),
        };
        Totals {
            partitions: counts.0 + counts.1 + counts.2 + counts.3,
            no_leader: counts.0,
            stalled: counts.1,
            missing_copy: counts.2,
            all_in_sync: counts.3,
            bytes_in_per_s: 3_100_000,
            bytes_out_per_s: 6_400_000,
            records_in_per_s: 3_412,
        }
    }

    fn situation(&self) -> Situation {
        let worst = |name: (&str, i32), severity, ago: u64, broker| WorstPartition {
            name: PartitionName::new(name.0, name.1),
            severity,
            since_ms: NOW_MS - ago,
            waits_for: Some(BrokerId(broker)),
        };
        let clicks = worst(("clicks", 1), PartitionSeverity::NoLeader, 2_400, 2);
        let payments = worst(("payments", 2), PartitionSeverity::Stalled, 3_100, 5);
        let death = |ago: u64, elected, fence_at_ms| Death {
            broker: BrokerId(2),
            at_ms: NOW_MS - ago,
            state: BrokerState::Killed,
            elected,
            took_ms: 310,
            fence_at_ms,
            back_at_ms: None,
        };
        match self.scene {
            Scene::BeforeTheFence => Situation {
                last_death: Some(death(1_200, 0, Some(NOW_MS + 800))),
                worst: vec![clicks, payments],
                ..Situation::default()
            },
            Scene::Failover => Situation {
                last_death: Some(death(2_400, 3, None)),
                worst: vec![clicks, payments],
                ..Situation::default()
            },
            Scene::CatchingUp => Situation {
                catching_up: vec![CatchUp { broker: BrokerId(2), replicas: 5, records: 1_022, cut: 14 }],
                worst: vec![payments],
                ..Situation::default()
            },
            Scene::NoController => Situation {
                no_controller_since_ms: Some(NOW_MS - 4_200),
                contest: Some(Contest { voters: 3, needed: 2, up: 1, reachable: 1, ..Contest::default() }),
                ..Situation::default()
            },
            Scene::Empty => Situation { no_topics: true, ..Situation::default() },
            _ => Situation::default(),
        }
    }

    fn timeline(&self, want: &ViewRequest) -> Timeline {
        let event = |id, ago: u64, ongoing, kind, text: &str, broker: Option<i32>| TimelineEvent {
            id,
            at_ms: NOW_MS - ago,
            until_ms: None,
            ongoing,
            kind,
            text: text.into(),
            broker: broker.map(BrokerId),
            partition: (kind == EventKind::IsrShrunk).then(|| PartitionName::new("clicks", 1)),
        };
        let mut events = Vec::new();
        if !matches!(self.scene, Scene::Healthy | Scene::Empty | Scene::Large) {
            events.push(event(1, 46_000, true, EventKind::DiskSlow, "broker 5 disk +200 ms", Some(5)));
            events.push(event(2, 31_000, false, EventKind::IsrShrunk, "clicks-1 ISR 2,5 → 2", None));
        }
        if self.dead_broker() {
            events.push(event(3, 2_400, true, EventKind::BrokerDied, "kill −9 broker 2", Some(2)));
        }
        if self.scene == Scene::Failover {
            events.push(event(4, 1_200, false, EventKind::Fenced, "fenced 2, 3 leaders", Some(2)));
            events.push(event(5, 600, false, EventKind::LeaderElected, "orders-0 led by 3, epoch 8", Some(3)));
        }
        let samples = want.strip_samples as u64;
        Timeline {
            end_ms: want.end_ms.unwrap_or(NOW_MS),
            window_ms: want.window_ms,
            events,
            dropped: 0,
            stalls: (0..samples).map(|n| u32::from(n * 10 > samples * 9) * 4 + u32::from(n * 4 > samples)).collect(),
            bytes_in: (0..samples).map(|n| 2_000_000 + n * 7 % 5 * 400_000).collect(),
        }
    }

    fn why(&self, about: &WhyAbout) -> Option<Why> {
        let step =
            |ago: u64, kind, text: &str| WhyStep { at_ms: NOW_MS - ago, kind, text: text.into(), expected: false };
        (self.scene == Scene::Failover).then(|| Why {
            about: about.clone(),
            question: "Why does payments-2's high watermark stand at 40,418?".into(),
            steps: vec![
                step(46_000, EventKind::DiskSlow, "You slowed broker 5's disk by 200 ms a write."),
                step(44_200, EventKind::HighWatermarkStalled, "Its fetches now take 410 ms; it is 412 records behind."),
                WhyStep {
                    at_ms: NOW_MS + 26_900,
                    kind: EventKind::IsrShrunk,
                    text:
                        "If nothing changes, 5 leaves the ISR (replica.lag.time.max.ms = 30 s) and the high watermark \
                           jumps to 40,830."
                            .into(),
                    expected: true,
                },
            ],
            truncated: true,
        })
    }
}

/// Moments that were recorded before now: every quarter of a second, and when something happened.
fn moments() -> Vec<u64> {
    let mut moments: Vec<u64> = (1..=40).map(|quarter| NOW_MS - quarter * 250).chain(FACTS.map(|(_, at)| at)).collect();
    moments.sort_unstable();
    moments.dedup();
    moments
}

/// The facts of a failover that are in the recording, and when they happened.
const FACTS: [(u64, u64); 3] = [(3, NOW_MS - 2_400), (4, NOW_MS - 1_200), (5, NOW_MS - 600)];

fn recorded(at_ms: Option<u64>) -> Recorded {
    let moments = moments();
    let shown = at_ms.unwrap_or(NOW_MS);
    let event_before = FACTS.into_iter().rfind(|(_, at)| *at < shown);
    Recorded {
        first_ms: moments[0],
        last_ms: moments[moments.len() - 1],
        previous_ms: moments.iter().copied().rfind(|at| *at < shown),
        next_ms: at_ms.and_then(|at_ms| moments.iter().copied().find(|at| *at > at_ms)),
        event_before,
        event_after: at_ms.and_then(|at_ms| FACTS.into_iter().find(|(_, at)| *at > at_ms)),
    }
}

impl FakeCluster {
    /// The moment of the recording: before the death everything was well.
    fn past(&self, at_ms: u64, want: &ViewRequest) -> ClusterView {
        let at_ms = moments().into_iter().rfind(|at| *at <= at_ms).unwrap_or(moments()[0]);
        let behind_ms = NOW_MS - at_ms;
        let scene = if behind_ms > 2_400 { Scene::Healthy } else { self.scene };
        let mut then = FakeCluster { recalls: true, ..FakeCluster::new(scene) };
        let view = then.view(&ViewRequest { at_ms: None, ..want.clone() });
        ClusterView {
            at_ms,
            wall_ms: WALL_MS - i64::try_from(behind_ms).expect("a few seconds"),
            clock: ClockMode::Rewound { behind_ms },
            recorded: Some(recorded(Some(at_ms))),
            timeline: self.timeline(want),
            xray: view.xray.clone().map(|mut xray| {
                // Only the newest second was looked into.
                let is_known = behind_ms <= 1_000;
                xray.replicas.iter_mut().filter(|_| !is_known).for_each(|replica| replica.batches = None);
                xray
            }),
            ..ClusterView::clone(&view)
        }
    }
}

impl ClusterPort for FakeCluster {
    fn view(&mut self, want: &ViewRequest) -> Arc<ClusterView> {
        let brokers = self.brokers();
        let servers: Vec<String> = brokers.iter().map(|card| format!("localhost:{}", card.port)).collect();
        let faults = self.dead_broker() as u64;
        if let Some(at_ms) = want.at_ms.filter(|_| self.recalls) {
            return Arc::new(self.past(at_ms, want));
        }
        Arc::new(ClusterView {
            at_ms: NOW_MS,
            wall_ms: WALL_MS,
            lesson: None,
            recorded: self.recalls.then(|| recorded(None)),
            quorum: None,
            xray: want.xray.as_ref().and_then(|want| fake_xray::view(want, self.scene)),
            wire: None,
            link_faults: want.faults.clone().filter(|_| self.link_faults).map(fake_faults::told),
            groups: want.groups.as_ref().map(|want| fake_groups::view(want, NOW_MS, self.scene)),
            topics: want.topics.as_ref().map(|want| fake_topics::view(want, self.scene)),
            placement: None,
            place: None,
            utc_offset_s: 0,
            clock: if self.paused { ClockMode::Paused { stale_ms: None } } else { ClockMode::default() },
            host: HostFacts {
                world: None,
                name: "local".into(),
                bootstrap_servers: servers.join(","),
                can: Capabilities {
                    pause: true,
                    slow: true,
                    step: false,
                    rewind: false,
                    recall: self.recalls,
                    faults: true,
                    demo: false,
                },
                notice: None,
                quit_loses: (self.scene == Scene::Large).then(|| "The data of this run is removed.".into()),
            },
            totals: self.totals(),
            rows: self.rows(want),
            timeline: self.timeline(want),
            situation: self.situation(),
            why: want.why.as_ref().and_then(|about| self.why(about)),
            ledger: (self.scene == Scene::Failover).then_some(Ledger {
                acked: 31_240,
                readable: 31_238,
                ..Ledger::default()
            }),
            faults: (0..faults)
                .map(|_| ActiveFault {
                    kind: FaultKind::Down,
                    text: "broker 2 killed".into(),
                    since_ms: NOW_MS - 2_400,
                    undo: "start 2".into(),
                    links: Vec::new(),
                })
                .chain(self.link_faults.then(fake_faults::on_links).into_iter().flatten())
                .collect(),
            brokers,
        })
    }

    fn changed(&mut self) -> Change {
        Change::Nothing
    }

    fn submit(&mut self, line: &str) -> CommandId {
        self.submitted.push(line.to_string());
        match line {
            "pause" => self.paused = true,
            "run" => self.paused = false,
            "kill 2" => self.scene = Scene::Failover,
            _ => {}
        }
        let outcome = match line {
            "topic list" => Outcome::Done { summary: String::new(), output: vec!["orders".into(), "clicks".into()] },
            "start 4" => Outcome::Failed { reason: "Broker 4 is up already".into(), next: String::new() },
            _ => Outcome::Done { summary: format!("{line}: done"), output: Vec::new() },
        };
        self.reply(line, outcome)
    }

    fn replies(&mut self) -> Vec<CommandReply> {
        std::mem::take(&mut self.replies)
    }

    fn consequence(&self, line: &str) -> Option<Consequence> {
        let (weight, text) = match line {
            "kill 2" if self.dead_broker() => (Weight::Refused, "Broker 2 is dead already."),
            "kill 3" => (Weight::Severe, "Killing 3 now leaves 1 of 3 voters: no controller until one returns."),
            "kill 2" => (Weight::Notice, "4 partitions get new leaders."),
            "powerloss 3" => (Weight::Severe, "31 records that are not synced are lost."),
            "topic delete orders" => (Weight::Severe, "This removes 6 partitions and 610 MB of records."),
            _ => return None,
        };
        Some(Consequence { weight, text: text.into() })
    }

    fn undo_of(&self, line: &str) -> Option<String> {
        line.strip_prefix("kill ").map(|who| format!("start {who}"))
    }

    fn complete(&self, line: &str) -> Completion {
        struct Lent;
        impl Names for Lent {
            fn brokers(&self) -> Vec<CompletionValue> {
                let value = |id: i32| CompletionValue {
                    text: id.to_string(),
                    note: if id == 2 { "already dead".into() } else { "up".into() },
                    refused: id == 2,
                };
                (1..=5).map(value).collect()
            }
            fn topics(&self, start: &str) -> Vec<CompletionValue> {
                let names = ["clicks", "orders", "payments"];
                let value = |name: &&str| CompletionValue { text: (*name).into(), ..CompletionValue::default() };
                names.iter().filter(|name| name.starts_with(start)).map(value).collect()
            }
            fn partitions(&self, _: &str) -> Vec<CompletionValue> {
                Vec::new()
            }
            fn groups(&self, _: &str) -> Vec<CompletionValue> {
                Vec::new()
            }
            fn transactional_ids(&self, _: &str) -> Vec<CompletionValue> {
                Vec::new()
            }
            fn settings(&self, _: &str) -> Vec<CompletionValue> {
                Vec::new()
            }
        }
        complete(line, &Lent)
    }

    fn commands(&self) -> &[CommandDoc] {
        &self.commands
    }

    fn topics(&self, _containing: &str, limit: usize) -> Vec<TopicSummary> {
        let topic =
            |(name, partitions)| TopicSummary { name: Arc::from(name), partitions, replicas: 3, internal: false };
        [("clicks", 4), ("orders", 6), ("payments", 4)].into_iter().map(topic).take(limit).collect()
    }

    fn produce(&mut self, draft: &ProduceDraft) -> CommandId {
        self.produced.push(draft.clone());
        self.reply("produce", Outcome::Done { summary: "Sent 1 record to orders-3".into(), output: Vec::new() })
    }

    fn open_reader(&mut self, _want: &ReadRequest) -> TailId {
        TailId(1)
    }

    fn poll_tail(&mut self, _tail: TailId, _limit: usize) -> TailBatch {
        let record = |n: i64| TailRecord {
            partition: (n % 6) as i32,
            offset: 12_800 + n,
            timestamp_ms: WALL_MS - 1_000 * (12 - n),
            key: (n % 5 != 0).then(|| format!("eu-{}", 4_400 + n)),
            value: (n != 7).then(|| {
                format!("{{\"id\":{},\"total\":{}.40,\"items\":[{{\"sku\":\"a-{n}\"}}]}}", 88_000 + n, 200 + n)
            }),
            headers: vec![("source".into(), "web".into())],
            ..TailRecord::default()
        };
        TailBatch { records: (0..12).map(record).collect(), ..TailBatch::default() }
    }

    fn close_tail(&mut self, _tail: TailId) {}
}

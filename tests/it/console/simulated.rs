//! The console on a simulated world: states that a seed and a few commands bring about, the same on every machine; and `kafkarium replay`
//! in a pseudo-terminal.

use super::terminal::Terminal;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use kafkarium::cluster::command::parse_line;
use kafkarium::cluster::sim::run::Run;
use kafkarium::cluster::sim::stage::Stage;
use kafkarium::cluster::view::{ClusterPort, PartitionName, TruncationStage};
use kafkarium::tui::commands;
use kafkarium::tui::draw::draw;
use kafkarium::tui::model::Model;
use kafkarium::tui::msg::Msg;
use kafkarium::tui::screenshot;
use kafkarium::tui::theme::{Theme, ThemeName};
use kafkarium::tui::update::update;
use portable_pty::CommandBuilder;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::sync::Arc;
use std::time::Duration;

/// A world with a steady load, looked at by consoles of two sizes.
pub struct Watched {
    stage: Stage,
    consoles: Vec<Model>,
    now_ms: u64,
}

impl Watched {
    pub fn new(seed: u64) -> Watched {
        let stage = Stage::new(Run::open(seed, 3), seed);
        let console = |(columns, rows)| {
            let palette = Arc::from(commands::palette(stage.commands()));
            Model::new(Theme::new(ThemeName::Dark), palette, Rect::new(0, 0, columns, rows))
        };
        let consoles = [(80, 24), (160, 45)].into_iter().map(console).collect();
        let mut watched = Watched { stage, consoles, now_ms: 0 };
        watched.say("topic create orders --partitions 3 --replicas 3");
        watched.say("produce orders --rate 50/s");
        watched.pass(4_000);
        watched
    }

    pub fn say(&mut self, line: &str) {
        let reply = self.stage.execute(parse_line(line).expect("a command"));
        assert!(reply.is_done(), "{line}: {reply:?}");
    }

    /// Real time passes in small pieces, and pictures are drawn as they are for a user.
    pub fn pass(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 50 {
            self.stage.pass(Duration::from_millis(50));
            while self.stage.pass(Duration::ZERO) {}
            self.now_ms += 50;
            self.look();
        }
    }

    fn look(&mut self) {
        for model in &mut self.consoles {
            update(model, Msg::Tick(self.now_ms));
            for _ in 0..3 {
                let view = self.stage.view(&model.view_request());
                update(model, Msg::View(view));
            }
        }
    }

    /// Who leads a partition, as it is seen.
    pub fn leader_of(&mut self, topic: &str, partition: i32) -> i32 {
        self.look();
        let name = PartitionName::new(topic, partition);
        let rows = &self.consoles[0].view.rows.rows;
        rows.iter().find(|row| row.name == name).and_then(|row| row.leader).expect("a leader").0
    }

    /// Looks inside a partition on every console.
    pub fn open_partition(&mut self, topic: &str, partition: i32) {
        for model in &mut self.consoles {
            model.cluster.selected = Some(PartitionName::new(topic, partition));
            update(model, Msg::Key(KeyEvent::new(KeyCode::Char('2'), KeyModifiers::NONE)));
        }
        self.look();
    }

    /// Lets time pass until a truncation of the partition that is looked into is so far.
    pub fn until_stage(&mut self, stage: TruncationStage) {
        for _ in 0..600 {
            let xray = self.consoles[0].view.xray.as_ref();
            let truncation = xray.and_then(|xray| xray.truncation.as_ref());
            if truncation.is_some_and(|truncation| truncation.stage == stage) {
                return;
            }
            self.pass(50);
        }
        panic!("no {stage:?}:\n{}", self.pictures());
    }

    /// The moment that is shown.
    pub fn at_ms(&mut self) -> u64 {
        self.look();
        self.consoles[0].view.at_ms
    }

    /// The pictures, the small one first.
    pub fn pictures(&mut self) -> String {
        self.look();
        let picture = |model: &Model| {
            let mut buffer = Buffer::empty(model.area);
            draw(model, &model.view, &model.theme, model.area, &mut buffer);
            // How many happenings it took is none of the picture's business.
            let steps = kafkarium::tui::numbers::count(model.view.host.world.map_or(0, |world| world.steps));
            let text = screenshot::text(&buffer);
            text.replace(&format!("step {steps} "), &format!("step {} ", "n".repeat(steps.chars().count())))
        };
        self.consoles.iter().map(picture).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn a_failover_in_four_frames() {
    let mut watched = Watched::new(7);
    insta::assert_snapshot!("simulated_failover_1_before", watched.pictures());
    watched.say("kill leader of orders-0");
    watched.pass(100);
    insta::assert_snapshot!("simulated_failover_2_dead", watched.pictures());
    watched.pass(1_500);
    insta::assert_snapshot!("simulated_failover_3_another_leads", watched.pictures());
    watched.say("restart killed");
    watched.pass(4_000);
    insta::assert_snapshot!("simulated_failover_4_healed", watched.pictures());
}

#[test]
fn a_lost_quorum_and_no_broker_at_all() {
    let mut watched = Watched::new(7);
    watched.say("kill 2 3");
    watched.pass(3_000);
    insta::assert_snapshot!("simulated_lost_quorum", watched.pictures());
    watched.say("kill 1");
    watched.pass(1_000);
    insta::assert_snapshot!("simulated_nobody", watched.pictures());
}

/// What a console showed is shown again by its recording, with a marker at each command.
#[test]
fn a_console_is_recorded() {
    let home = tempfile::tempdir().expect("a folder");
    let (first, second) = (home.path().join("first.cast"), home.path().join("second.cast"));
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_kafkarium"));
    command.args(["up", "--sim", "--seed", "7", "--record", &first.to_string_lossy()]);
    command.env("HOME", home.path());
    command.env_remove("NO_COLOR");
    let mut terminal = Terminal::start(command, 100, 30);
    terminal.shows("HEALTHY");
    terminal.keys(" ");
    terminal.shows("PAUSED");
    // Another recording begins in the middle, with a whole frame, and the first one ends.
    terminal.keys(&format!(":record {}\r", second.display()));
    terminal.shows("Records to");
    terminal.keys("q");
    assert_eq!(terminal.ends(), 0);
    terminal.is_clean();
    for file in [&first, &second] {
        let events = super::read_cast(&std::fs::read_to_string(file).expect("a recording"));
        assert_eq!(events.last(), Some(&("x".into(), "0".into())));
        let mut screen = vt100::Parser::new(30.try_into().expect("rows"), 100.try_into().expect("columns"), 0);
        for (_, data) in events.iter().filter(|(code, _)| code == "o") {
            screen.process(data.as_bytes());
        }
        let shown = screen.screen().contents();
        assert!(shown.contains("PAUSED") && shown.contains("orders-0"), "{}:\n{shown}", file.display());
        let is_marked = events.contains(&("m".into(), "pause".into()));
        assert_eq!(is_marked, *file == first, "{}: {events:?}", file.display());
    }
}

#[test]
fn a_replay_is_stepped_rewound_branched_and_left() {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_kafkarium"));
    command.args(["replay", "3"]);
    command.env("HOME", home.path());
    command.env("XDG_CONFIG_HOME", home.path());
    command.env_remove("NO_COLOR");
    let mut terminal = Terminal::start(command, 160, 45);
    terminal.shows("PAUSED");
    terminal.shows("seed 3");
    terminal.shows("step 0");
    terminal.keys(".");
    terminal.shows("step 1 ");
    terminal.keys(",");
    terminal.shows("step 0");
    terminal.keys("]");
    terminal.shows("T 1.001 s");
    terminal.keys("]");
    terminal.shows("T 2.001 s");
    terminal.keys("[");
    terminal.shows("REWOUND T−1.0 s");
    terminal.shows("T 1.001 s");
    terminal.keys("B");
    terminal.shows("branch 2");
    terminal.keys(":speed 1000\r");
    terminal.until("the speed to be taken", |terminal| !terminal.text().contains("speed 1000"));
    terminal.keys(" ");
    terminal.shows("The run is over: every rule held.");
    terminal.shows("PAUSED");
    terminal.keys("q");
    assert_eq!(terminal.ends(), 0);
    terminal.is_clean();
}

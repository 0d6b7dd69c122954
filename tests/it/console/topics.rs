//! The Topics screen on a simulated world: topics of several settings, a broker that died, forms that change them; and on a scripted
//! cluster of many topics.

use super::fake::Scene;
use super::{Console, looks, theme};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use kafkarium::cluster::command::parse_line;
use kafkarium::cluster::sim::run::Run;
use kafkarium::cluster::sim::stage::Stage;
use kafkarium::cluster::view::{ClusterPort, Outcome, PartitionSeverity, ProduceDraft, TailId};
use kafkarium::tui::commands;
use kafkarium::tui::draw::draw;
use kafkarium::tui::model::Model;
use kafkarium::tui::msg::{Cmd, Msg};
use kafkarium::tui::numbers::count;
use kafkarium::tui::run::{Answer, ask};
use kafkarium::tui::screenshot;
use kafkarium::tui::theme::{Depth, Theme, ThemeName};
use kafkarium::tui::update::update;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::sync::Arc;
use std::time::Duration;

/// A console on a simulated world.
pub struct Simulated {
    pub stage: Stage,
    pub model: Model,
    pub asked: Vec<Cmd>,
    tail: Option<TailId>,
}

impl Simulated {
    /// A world of three brokers with four topics and some load, the Topics screen open.
    pub fn new(theme: Theme, columns: u16, rows: u16) -> Simulated {
        let stage = Stage::new(Run::open(11, 3), 11);
        let palette = Arc::from(commands::palette(stage.commands()));
        let model = Model::new(theme, palette, Rect::new(0, 0, columns, rows));
        let mut world = Simulated { stage, model, asked: Vec::new(), tail: None };
        world.say("topic create orders --partitions 6 --replicas 3 --config min.insync.replicas=2 --config retention.ms=3600000");
        world.say("topic create customers --partitions 3 --replicas 3 --config cleanup.policy=compact");
        world.say("topic create clicks --partitions 4 --replicas 2 --config min.insync.replicas=1");
        world.say("topic create audit.log --partitions 1 --replicas 1");
        world.say("produce orders --rate 60/s");
        world.say("produce clicks --rate 25/s");
        world.pass(6_000);
        world.keys("5");
        world
    }

    pub fn say(&mut self, line: &str) {
        let reply = self.stage.execute(parse_line(line).expect("a command"));
        assert!(reply.is_done(), "{line}: {reply:?}");
    }

    /// Sends a record by hand, as a form does.
    pub fn send(&mut self, draft: &ProduceDraft) {
        self.stage.produce(draft);
        let replies = self.stage.replies();
        assert!(replies.iter().all(|reply| matches!(reply.outcome, Outcome::Done { .. })), "{replies:?}");
    }

    pub fn pass(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 50 {
            self.stage.pass(Duration::from_millis(50));
            while self.stage.pass(Duration::ZERO) {}
        }
        self.look();
    }

    /// Asks for pictures until the window stands still.
    pub fn look(&mut self) {
        for _ in 0..3 {
            let view = self.stage.view(&self.model.view_request());
            self.give(Msg::View(view));
            if let Some(tail) = self.tail {
                let batch = self.stage.poll_tail(tail, self.model.tail_room());
                self.give(Msg::Tail(batch));
            }
        }
    }

    pub fn give(&mut self, msg: Msg) {
        let mut queue = vec![msg];
        while let Some(msg) = queue.pop() {
            for cmd in update(&mut self.model, msg) {
                match ask(&mut self.stage, cmd) {
                    Answer::Said(said) => queue.extend(said),
                    Answer::NotMine(Cmd::Read(want)) => self.tail = Some(self.stage.open_reader(&want)),
                    Answer::NotMine(Cmd::CloseTail) => self.tail = None,
                    Answer::NotMine(cmd) => self.asked.push(cmd),
                }
            }
        }
        for reply in self.stage.replies() {
            self.give(Msg::Reply(reply));
        }
    }

    pub fn press(&mut self, code: KeyCode) {
        self.give(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        self.look();
    }

    pub fn keys(&mut self, text: &str) {
        text.chars().for_each(|character| self.press(KeyCode::Char(character)));
    }

    pub fn buffer(&self) -> Buffer {
        let mut buffer = Buffer::empty(self.model.area);
        draw(&self.model, &self.model.view, &self.model.theme, self.model.area, &mut buffer);
        buffer
    }

    pub fn type_line(&mut self, text: &str) {
        self.keys(text);
        self.press(KeyCode::Enter);
    }

    /// Text and looks. How many happenings it took is none of the picture's business.
    pub fn picture(&self) -> String {
        let buffer = self.buffer();
        let steps = count(self.model.view.host.world.map_or(0, |world| world.steps));
        let text = screenshot::text(&buffer);
        let text = text.replace(&format!("step {steps} "), &format!("step {} ", "n".repeat(steps.chars().count())));
        format!("{text}\n{}", looks(&buffer))
    }

    pub fn text(&self) -> String {
        screenshot::text(&self.buffer())
    }
}

fn dark() -> Theme {
    theme(ThemeName::Dark)
}

/// The broker that leads `orders-0` is dead for three seconds.
fn short(theme: Theme, columns: u16, rows: u16) -> Simulated {
    let mut world = Simulated::new(theme, columns, rows);
    world.say("kill leader of orders-0");
    world.pass(3_000);
    world.model.toasts.clear();
    world
}

macro_rules! picture {
    ($name:literal, $world:expr) => {
        insta::assert_snapshot!($name, $world.picture());
    };
}

#[test]
fn topics_at_every_breakpoint_and_theme() {
    picture!("topics_80x24", short(dark(), 80, 24));
    picture!("topics_120x36", short(dark(), 120, 36));
    picture!("topics_160x45", short(dark(), 160, 45));
    picture!("topics_200x60", Simulated::new(dark(), 200, 60));
    picture!("topics_light", short(theme(ThemeName::Light), 120, 36));
    picture!("topics_high_contrast", short(theme(ThemeName::HighContrast), 120, 36));
    picture!("topics_16_colours", short(dark().with_depth(Depth::Sixteen), 120, 36));
    let ascii = Theme { ascii: true, ..theme(ThemeName::Mono) };
    picture!("topics_no_colour_ascii", short(ascii, 80, 24));
}

#[test]
fn forms_of_topics_judge_and_preview() {
    let mut world = short(dark(), 160, 45);
    world.keys("n");
    world.keys("orders.eu");
    for keys in ["", "", "", "", "90m", "segment.bytes=ten"] {
        world.press(KeyCode::Tab);
        world.keys(keys);
    }
    let text = world.text();
    assert!(text.contains("create (fix settings)") && text.contains("5400000 ms"), "{text}");
    picture!("topics_new_160x45", world);
    let mut world = Simulated::new(dark(), 80, 24);
    world.keys("jj");
    world.keys("e");
    world.press(KeyCode::Backspace);
    world.keys("9");
    picture!("topics_alter_80x24", world);
}

#[test]
fn a_topic_is_altered_by_the_form_and_the_screen_shows_it() {
    let mut world = Simulated::new(dark(), 120, 36);
    world.keys("gjj");
    let name = world.model.topics.selected.clone().expect("a topic is selected");
    assert_eq!(&*name, "customers");
    world.press(KeyCode::Char('e'));
    world.press(KeyCode::Backspace);
    world.keys("5");
    world.press(KeyCode::Enter);
    world.pass(1_000);
    let detail = world.model.view.topics.as_ref().and_then(|topics| topics.detail.as_ref()).expect("a topic");
    assert_eq!((&detail.row.name, detail.row.partitions), (&name, 5));
    // A setting, from its row.
    world.press(KeyCode::Tab);
    world.keys("G");
    world.press(KeyCode::Char('e'));
    assert!(world.text().contains("clean.leader.election.enable=false"), "{}", world.text());
}

#[test]
fn no_size_is_too_odd_for_topics() {
    for (columns, rows) in [(60, 16), (61, 17), (70, 20), (99, 29), (100, 16), (140, 30), (300, 90)] {
        let mut world = Simulated::new(dark(), columns, rows);
        for keys in ["", "i", "j", "G"] {
            world.keys(keys);
            assert!(world.text().contains("TOPIC"), "{columns}x{rows}\n{}", world.text());
        }
        world.press(KeyCode::Tab);
        world.keys("G");
        world.keys("e");
        assert!(world.text().contains("Alter"), "{columns}x{rows}\n{}", world.text());
    }
}

#[test]
fn the_worst_topic_is_on_top_and_counts_are_the_metadatas() {
    let world = short(dark(), 120, 36);
    let topics = world.model.view.topics.as_ref().expect("topics");
    let orders = topics.rows.iter().find(|row| &*row.name == "orders").expect("orders");
    assert_eq!((orders.partitions, orders.replicas, orders.min_isr, orders.changed), (6, 3, 2, 2));
    assert_eq!(orders.under_replicated, 6, "every partition has a copy on each of three brokers");
    assert!(orders.bytes > 0 && orders.records_per_s > 30 && !orders.rate_history.is_empty(), "{orders:?}");
    assert!(topics.rows.is_sorted_by_key(|row| row.severity));
    assert_ne!(topics.rows[0].severity, PartitionSeverity::Healthy);
    assert_eq!(topics.own.partitions, topics.rows.iter().map(|row| row.partitions).sum::<u32>());
    assert_eq!(topics.rows.iter().find(|row| &*row.name == "customers").expect("it").cleanup, "compact");
}

#[test]
fn keys_of_the_screen_lead_on() {
    let mut world = Simulated::new(dark(), 120, 36);
    world.keys("/cust");
    assert_eq!(world.model.view.topics.as_ref().map(|topics| topics.total), Some(1));
    world.press(KeyCode::Enter);
    world.press(KeyCode::Enter);
    let text = world.text();
    assert!(text.contains("customers-2") && !text.contains("orders-0"), "its partitions on the Cluster screen\n{text}");
    world.keys("5D");
    assert!(world.text().contains("Delete topic customers?"), "{}", world.text());
    world.press(KeyCode::Esc);
    world.press(KeyCode::Esc);
    assert!(world.text().contains("orders"), "Esc first ends the filter\n{}", world.text());
    world.keys("p");
    assert!(world.text().contains("Produce"), "{}", world.text());
}

/// Keys come faster than pictures: what is done is done to the topic that was selected, not to the one that is still shown.
#[test]
fn keys_act_on_what_they_selected() {
    let typed = |keys: &str| {
        let mut world = Simulated::new(dark(), 120, 36);
        for key in keys.chars() {
            world.give(Msg::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)));
        }
        world.look();
        world
    };
    let world = typed("jb");
    assert_eq!(world.model.messages.as_ref().map(|messages| &*messages.topic), Some("clicks"));
    assert!(typed("jjD").text().contains("Delete topic customers?"));
    let text = typed("jje").text();
    assert!(text.contains("Alter customers"), "{text}");
}

#[test]
fn the_selection_goes_through_more_topics_than_fit_and_keeps_its_name() {
    let mut console = Console::new(Scene::Large, dark(), 120, 36);
    console.keys("5G");
    console.refresh();
    assert_eq!(console.model.topics.selected.as_deref(), Some("team-499"));
    assert!(console.text().contains("team-499"));
    console.keys("gj");
    assert_eq!(console.model.topics.selected.as_deref(), Some("team-001"));
}

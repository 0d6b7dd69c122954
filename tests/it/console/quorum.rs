//! The Quorum screen on a simulated world: a healthy quorum, a controller that is cut off, a split vote, a lost quorum, and no broker.

use super::{looks, theme};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use kafkarium::cluster::command::parse_line;
use kafkarium::cluster::sim::run::Run;
use kafkarium::cluster::sim::stage::Stage;
use kafkarium::cluster::view::{ClusterPort, ClusterView, QuorumStanding, Reach, Vote, WhyAbout};
use kafkarium::tui::commands;
use kafkarium::tui::draw::draw;
use kafkarium::tui::model::Model;
use kafkarium::tui::msg::{Cmd, Msg};
use kafkarium::tui::screenshot;
use kafkarium::tui::theme::{Depth, Theme, ThemeName};
use kafkarium::tui::update::update;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::sync::Arc;
use std::time::Duration;

/// A world of a seed whose Quorum screen is looked at.
struct Watched {
    stage: Stage,
}

impl Watched {
    fn new(seed: u64, brokers: i32) -> Watched {
        let mut watched = Watched { stage: Stage::new(Run::open(seed, brokers), seed) };
        watched.pass(1_500);
        watched.say("topic create orders --partitions 2 --replicas 3");
        watched.pass(2_500);
        watched
    }

    fn say(&mut self, line: &str) {
        let reply = self.stage.execute(parse_line(line).expect("a command"));
        assert!(reply.is_done(), "{line}: {reply:?}");
    }

    fn pass(&mut self, milliseconds: u64) {
        self.stage.pass(Duration::from_millis(milliseconds));
        while self.stage.pass(Duration::ZERO) {}
    }

    /// Passes time until something is so, for twenty seconds at most.
    fn until(&mut self, what: &str, is_so: impl Fn(&ClusterView) -> bool) {
        for _ in 0..2_000 {
            if is_so(&self.view()) {
                return;
            }
            self.pass(10);
        }
        panic!("{what} did not come about");
    }

    fn view(&mut self) -> Arc<ClusterView> {
        let request = kafkarium::cluster::view::ViewRequest { quorum: true, ..Default::default() };
        self.stage.view(&request)
    }

    fn model(&mut self, theme: Theme, columns: u16, rows: u16, keys: &str) -> Model {
        let palette = Arc::from(commands::palette(self.stage.commands()));
        let mut model = Model::new(theme, palette, Rect::new(0, 0, columns, rows));
        for key in format!("6{keys}").chars() {
            press(&mut model, KeyCode::Char(key));
            let view = self.stage.view(&model.view_request());
            update(&mut model, Msg::View(view));
        }
        model.toasts.clear();
        model
    }

    fn picture(&mut self, theme: Theme, columns: u16, rows: u16, keys: &str) -> String {
        let model = self.model(theme, columns, rows, keys);
        let buffer = buffer(&model);
        // How many happenings it took is none of the picture's business.
        let steps = kafkarium::tui::numbers::count(model.view.host.world.map_or(0, |world| world.steps));
        let step = format!("step {} ", "n".repeat(steps.chars().count()));
        format!("{}\n{}", screenshot::text(&buffer).replace(&format!("step {steps} "), &step), looks(&buffer))
    }

    fn text(&mut self, columns: u16, rows: u16, keys: &str) -> String {
        screenshot::text(&buffer(&self.model(dark(), columns, rows, keys)))
    }

    fn leader(&mut self) -> String {
        let view = self.view();
        let quorum = view.quorum.as_ref().expect("it was asked for");
        let leads = |standing| standing == QuorumStanding::Leader;
        quorum.replicas.iter().find(|one| leads(one.standing)).expect("somebody leads").broker.to_string()
    }
}

fn press(model: &mut Model, code: KeyCode) -> Vec<Cmd> {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn buffer(model: &Model) -> Buffer {
    let mut buffer = Buffer::empty(model.area);
    draw(model, &model.view, &model.theme, model.area, &mut buffer);
    buffer
}

fn dark() -> Theme {
    theme(ThemeName::Dark)
}

fn ascii() -> Theme {
    Theme { ascii: true, ..theme(ThemeName::Mono) }
}

/// Two voters stand in one epoch, and each has its own vote alone.
fn split_vote() -> Watched {
    let mut watched = Watched::new(3, 3);
    let leader = watched.leader();
    watched.say(&format!("kill {leader}"));
    watched.say("elect align");
    watched
        .until("a split vote", |view| view.situation.contest.as_ref().is_some_and(|contest| contest.split.is_some()));
    watched
}

fn cut_off() -> Watched {
    let mut watched = Watched::new(3, 3);
    let leader = watched.leader();
    let others: Vec<String> = ["1", "2", "3"].into_iter().filter(|id| *id != leader).map(str::to_owned).collect();
    watched.say(&format!("link cut {leader} {}", others.join(",")));
    watched.until("a candidate", |view| {
        let quorum = view.quorum.as_ref().expect("it was asked for");
        quorum.replicas.iter().any(|one| one.standing == QuorumStanding::Candidate)
    });
    watched
}

#[test]
fn look() {
    for mut one in [cut_off(), split_vote()] {
        println!("{}", one.text(160, 45, ""));
        println!("{}", one.text(160, 45, "v"));
        println!("{}", one.text(80, 24, ""));
        println!("{}", one.text(160, 45, "w"));
    }
}

//! The Quorum screen on a simulated world: a healthy quorum, a controller that is cut off, a split vote, a lost quorum, and no broker.

use super::{looks, theme};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use kafkarium::cluster::command::parse_line;
use kafkarium::cluster::sim::run::Run;
use kafkarium::cluster::sim::stage::Stage;
use kafkarium::cluster::view::{
    BrokerId, ClusterPort, ClusterView, QuorumStanding, Reach, ViewRequest, Vote, WhyAbout,
};
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

    /// Steps until something is so.
    fn step_until(&mut self, what: &str, is_so: impl Fn(&ClusterView) -> bool) {
        for _ in 0..2_000 {
            if is_so(&self.view()) {
                return;
            }
            self.say("step");
        }
        panic!("{what} did not come about");
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
        let request = ViewRequest { quorum: true, ..ViewRequest::default() };
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

fn click(model: &mut Model, column: u16, row: u16) {
    let kind = MouseEventKind::Down(MouseButton::Left);
    update(model, Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
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

/// Two voters stand in one epoch, and each has refused the other.
fn split_vote() -> Watched {
    let mut watched = Watched::new(3, 3);
    let leader = watched.leader();
    watched.say(&format!("kill {leader}"));
    watched.say("elect align");
    watched.step_until("a split vote", |view| {
        let quorum = view.quorum.as_ref().expect("it was asked for");
        let is_refused = |vote: &(BrokerId, Vote)| matches!(vote.1, Vote::Refused(_));
        let is_split = view.situation.contest.as_ref().is_some_and(|contest| contest.split.is_some());
        is_split && quorum.ballots.iter().all(|ballot| ballot.votes.iter().any(is_refused))
    });
    watched
}

/// The other voters of the first three.
fn others(leader: &str) -> String {
    ["1", "2", "3"].into_iter().filter(|id| *id != leader).collect::<Vec<_>>().join(",")
}

/// The controller cannot reach the others, and one of them asks for votes.
fn cut_off() -> Watched {
    let mut watched = Watched::new(3, 3);
    let leader = watched.leader();
    watched.say(&format!("link cut {leader} {}", others(&leader)));
    watched.step_until("a vote asked for", |view| {
        let quorum = view.quorum.as_ref().expect("it was asked for");
        let asks = |vote: &(BrokerId, Vote)| vote.1 == Vote::Asked;
        quorum.ballots.iter().any(|ballot| !ballot.is_pre_vote && ballot.votes.iter().any(asks))
    });
    watched
}

/// One of three voters runs.
fn lost() -> Watched {
    let mut watched = Watched::new(3, 3);
    watched.say("kill 1 2");
    watched.pass(3_000);
    watched
}

macro_rules! picture {
    ($name:literal, $picture:expr) => {
        insta::assert_snapshot!($name, $picture);
    };
}

#[test]
fn a_healthy_quorum_at_every_breakpoint_and_theme() {
    let mut watched = Watched::new(3, 5);
    picture!("quorum_80x24", watched.picture(dark(), 80, 24, ""));
    picture!("quorum_120x36", watched.picture(dark(), 120, 36, ""));
    picture!("quorum_160x45", watched.picture(dark(), 160, 45, ""));
    picture!("quorum_200x60", watched.picture(dark(), 200, 60, "l"));
    picture!("quorum_light", watched.picture(theme(ThemeName::Light), 120, 36, "v"));
    picture!("quorum_high_contrast", watched.picture(theme(ThemeName::HighContrast), 120, 36, ""));
    picture!("quorum_why_80x24", watched.picture(dark(), 80, 24, "w"));
}

#[test]
fn a_split_vote_at_every_breakpoint_and_theme() {
    let mut watched = split_vote();
    picture!("quorum_split_80x24", watched.picture(dark(), 80, 24, ""));
    picture!("quorum_split_120x36", watched.picture(dark(), 120, 36, "v"));
    picture!("quorum_split_160x45", watched.picture(dark(), 160, 45, ""));
    picture!("quorum_split_200x60", watched.picture(dark(), 200, 60, ""));
    picture!("quorum_split_light", watched.picture(theme(ThemeName::Light), 120, 36, ""));
    picture!("quorum_split_high_contrast", watched.picture(theme(ThemeName::HighContrast), 120, 36, ""));
    picture!("quorum_split_16_colours", watched.picture(dark().with_depth(Depth::Sixteen), 120, 36, ""));
    picture!("quorum_split_256_colours", watched.picture(dark().with_depth(Depth::Cube), 120, 36, ""));
    picture!("quorum_split_no_colour_ascii", watched.picture(ascii(), 80, 24, ""));
    picture!("quorum_split_why", watched.picture(dark(), 120, 36, "w"));
}

#[test]
fn a_controller_that_is_cut_off_a_lost_quorum_and_no_broker() {
    let mut watched = cut_off();
    picture!("quorum_cut_off_160x45", watched.picture(dark(), 160, 45, ""));
    picture!("quorum_cut_off_why", watched.picture(dark(), 120, 36, "w"));
    let mut watched = lost();
    picture!("quorum_lost_80x24", watched.picture(dark(), 80, 24, ""));
    picture!("quorum_lost_160x45", watched.picture(dark(), 160, 45, "v"));
    picture!("quorum_lost_why", watched.picture(dark(), 120, 36, "w"));
    watched.say("kill 3");
    watched.pass(500);
    picture!("quorum_nobody_80x24", watched.picture(dark(), 80, 24, ""));
}

#[test]
fn no_size_is_too_odd_for_the_quorum() {
    for mut watched in [Watched::new(3, 5), split_vote(), lost()] {
        for (columns, rows) in [(60, 16), (61, 17), (70, 20), (99, 29), (100, 16), (140, 30), (300, 90)] {
            let text = watched.text(columns, rows, "");
            assert!(text.contains("Metadata log") && text.contains("majority"), "{columns}x{rows}\n{text}");
        }
    }
}

#[test]
fn the_tail_of_a_deposed_controller_is_to_be_cut_and_is_no_record() {
    let mut watched = Watched::new(3, 5);
    let leader = watched.leader();
    // About to be fenced: the record of it comes when nobody can be told any more.
    watched.say("kill 5");
    watched.pass(450);
    watched.say(&format!("link cut {leader} {}", others(&leader)));
    watched.until("a second leader beside a longer tail", |view| {
        let quorum = view.quorum.as_ref().expect("it was asked for");
        quorum.replicas.iter().any(|one| one.cut_at.is_some_and(|at| at < one.log_end))
    });
    let view = watched.view();
    let quorum = view.quorum.as_ref().expect("it was asked for");
    let old = quorum.replicas.iter().find(|one| one.broker.to_string() == leader).expect("it is a voter");
    let cut_at = old.cut_at.expect("its log parts from the new leader's");
    assert!(old.high_watermark <= cut_at, "nothing that is committed is cut: {old:?}");
    assert_eq!(old.reach, Reach::Few);
    let offsets: Vec<i64> = quorum.records.iter().map(|line| line.offset).collect();
    assert!(offsets.is_sorted_by(|newer, older| newer > older), "each offset once: {offsets:?}");
    let text = watched.text(160, 45, "");
    assert!(text.contains("to cut") && text.contains("╱"), "{text}");
    watched.say("heal");
    watched.until("the tail to be cut", |view| {
        let quorum = view.quorum.as_ref().expect("it was asked for");
        quorum.replicas.iter().filter(|one| one.is_voter).all(|one| one.cut_at.is_none() && one.behind == Some(0))
    });
    assert_eq!(watched.view().quorum.as_ref().expect("it was asked for").terms.len(), 2);
}

#[test]
fn a_log_that_ends_before_what_is_shown_says_where() {
    let mut watched = Watched::new(3, 3);
    watched.say("kill 3");
    watched.pass(1_000);
    let quorum = watched.view().quorum.clone().expect("it was asked for");
    let end = quorum.replicas.iter().find(|one| one.broker == BrokerId(3)).expect("it is a voter").log_end;
    watched.say("topic create clicks --partitions 40 --replicas 2");
    watched.pass(500);
    for (columns, rows) in [(80, 24), (160, 45)] {
        let text = watched.text(columns, rows, "");
        assert!(text.contains(&format!("its log ends at {end}")), "{text}");
    }
}

#[test]
fn refusals_are_told_with_their_reason() {
    let mut watched = split_vote();
    let view = watched.view();
    let quorum = view.quorum.as_ref().expect("it was asked for");
    let refused: Vec<&str> = quorum.answers.iter().filter_map(|note| note.refusal.as_deref()).collect();
    assert!(refused.contains(&"it chose itself"), "{refused:?}");
    assert!(quorum.ballots.iter().all(|ballot| ballot.granted() == 1 && !ballot.is_won));
    let why = watched.stage.view(&ViewRequest { why: Some(WhyAbout::Quorum), ..ViewRequest::default() });
    let why = why.why.as_ref().expect("there is something to ask");
    assert!(why.question.starts_with("Why did nobody win epoch"), "{why:?}");
    assert!(why.steps.iter().any(|step| step.text.contains("was killed")), "{why:?}");
    assert!(why.steps.last().is_some_and(|step| step.expected), "{why:?}");
}

#[test]
fn the_past_has_the_quorum_of_the_past() {
    let mut watched = Watched::new(3, 3);
    let leader = watched.leader();
    watched.say(&format!("kill {leader}"));
    watched.pass(4_000);
    let after = watched.view().quorum.clone().expect("it was asked for");
    assert_eq!(after.terms.len(), 2, "{:?}", after.terms);
    watched.say("rewind 5s");
    let before = watched.view().quorum.clone().expect("it was asked for");
    assert_eq!((before.terms.len(), before.terms[0].until_ms), (1, None), "{:?}", before.terms);
    assert!(before.replicas.iter().all(|one| one.reach == Reach::Majority), "{:?}", before.replicas);
    assert!(watched.text(120, 36, "").contains("REWOUND"));
}

#[test]
fn a_click_chooses_the_voter_whose_card_it_hits_and_nothing_of_other_screens() {
    let mut watched = Watched::new(3, 3);
    for (columns, rows) in [(80, 24), (160, 45)] {
        let mut model = watched.model(dark(), columns, rows, "");
        let selected = model.cluster.selected.clone();
        let row = if rows == 24 { 3 } else { 6 };
        click(&mut model, columns - 5, row);
        assert_eq!(model.cluster.broker, Some(BrokerId(3)));
        click(&mut model, 3, row);
        assert_eq!(model.cluster.broker, Some(BrokerId(1)));
        for row in row + 8..rows - 8 {
            click(&mut model, columns - 5, row);
        }
        assert_eq!((model.cluster.selected.clone(), model.cluster.broker), (selected, Some(BrokerId(1))));
    }
}

#[test]
fn keys_choose_a_voter_and_run_lines_of_the_language() {
    let mut watched = Watched::new(3, 3);
    let mut model = watched.model(dark(), 120, 36, "");
    assert_eq!(model.cluster.broker, Some(BrokerId(1)));
    assert_eq!(press(&mut model, KeyCode::Char('l')), [Cmd::AskConsequence("kill 2".to_owned())]);
    press(&mut model, KeyCode::Char('j'));
    press(&mut model, KeyCode::Char('j'));
    assert_eq!(model.cluster.broker, Some(BrokerId(3)), "the last one stays");
    press(&mut model, KeyCode::Enter);
    let picture = screenshot::text(&buffer(&model));
    assert!(picture.contains("split the vote") && picture.contains("from all other voters"), "{picture}");
    assert_eq!(press(&mut model, KeyCode::Char('i')), [Cmd::Submit("link cut 3 1,2".to_owned())]);
    press(&mut model, KeyCode::Char('v'));
    assert!(screenshot::text(&buffer(&model)).contains("Votes asked for"));
    press(&mut model, KeyCode::Esc);
    assert!(screenshot::text(&buffer(&model)).contains("PARTITION      "), "Esc leads back to the Cluster screen");
}

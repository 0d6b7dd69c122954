//! The Wire screen on a simulated world: messages of a load, a message dropped, a link held, a broker killed, and time that goes back.

use super::{looks, theme};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use kafkarium::cluster::command::parse_line;
use kafkarium::cluster::sim::run::Run;
use kafkarium::cluster::sim::stage::Stage;
use kafkarium::cluster::view::{ClockMode, ClusterPort, ViewRequest, WireMessage, WireRequest, WireState, WireView};
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

/// A world of a seed with a load, whose Wire screen is looked at.
struct Watched {
    stage: Stage,
}

impl Watched {
    fn new(seed: u64) -> Watched {
        let mut watched = Watched { stage: Stage::new(Run::open(seed, 3), seed) };
        watched.pass(1_500);
        watched.say("topic create orders --partitions 1 --replicas 3");
        watched.say("produce orders --rate 20/s");
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

    fn wire(&mut self, filter: &str) -> WireView {
        let want = WireRequest { filter: filter.to_owned(), ..WireRequest::default() };
        let request = ViewRequest { wire: Some(want), ..ViewRequest::default() };
        self.stage.view(&request).wire.clone().expect("a watched world records")
    }

    fn picture(&mut self, theme: Theme, columns: u16, rows: u16, keys: &[KeyCode]) -> String {
        let palette = Arc::from(commands::palette(self.stage.commands()));
        let mut model = Model::new(theme, palette, Rect::new(0, 0, columns, rows));
        for code in [KeyCode::Char('3')].iter().chain(keys) {
            update(&mut model, Msg::Key(KeyEvent::new(*code, KeyModifiers::NONE)));
            let view = self.stage.view(&model.view_request());
            update(&mut model, Msg::View(view));
        }
        model.toasts.clear();
        let mut buffer = Buffer::empty(model.area);
        draw(&model, &model.view, &model.theme, model.area, &mut buffer);
        // How many happenings it took is none of the picture's business.
        let steps = kafkarium::tui::numbers::count(model.view.host.world.map_or(0, |world| world.steps));
        let step = format!("step {} ", "n".repeat(steps.chars().count()));
        format!("{}\n{}", screenshot::text(&buffer).replace(&format!("step {steps} "), &step), looks(&buffer))
    }

    /// The world stands still while the first request of a producer after now is under way.
    fn stop_with_a_produce_under_way(&mut self) {
        if !matches!(self.stage.view(&ViewRequest::default()).clock, ClockMode::Paused { .. }) {
            self.say("pause");
        }
        for _ in 0..5_000 {
            self.say("step");
            let wire = self.wire("produce");
            if wire.messages.last().is_some_and(|message| message.state.is_under_way() && !message.is_response) {
                return;
            }
        }
        panic!("nobody produced");
    }
}

#[test]
fn messages_under_way_at_every_size_and_theme() {
    let mut watched = Watched::new(7);
    watched.stop_with_a_produce_under_way();
    let dark = theme(ThemeName::Dark);
    for (columns, rows) in [(80, 24), (120, 36), (160, 45), (200, 60)] {
        let picture = watched.picture(dark, columns, rows, &[]);
        insta::assert_snapshot!(format!("wire_{columns}x{rows}"), picture);
    }
    let themes = [
        ("light", theme(ThemeName::Light)),
        ("high_contrast", theme(ThemeName::HighContrast)),
        ("16_colours", dark.with_depth(Depth::Sixteen)),
        ("no_colour_ascii", Theme { ascii: true, ..theme(ThemeName::Mono) }),
    ];
    for (name, theme) in themes {
        let picture = watched.picture(theme, 120, 36, &[]);
        insta::assert_snapshot!(format!("wire_{name}"), picture);
    }
}

#[test]
fn the_fields_of_a_message_lie_in_its_bytes() {
    let mut watched = Watched::new(7);
    watched.stop_with_a_produce_under_way();
    let wire = watched.wire("produce !answer");
    let detail = wire.detail.expect("the newest message");
    let api = detail.fields.iter().find(|field| field.name == "RequestApiVersion").expect("a header");
    let range = api.range.clone().expect("it is bytes");
    let version = wire.messages.last().and_then(|message| message.version).expect("a client's");
    assert_eq!(detail.bytes[range], version.to_be_bytes());
    let picture = watched.picture(theme(ThemeName::Dark), 80, 24, &[KeyCode::Enter, KeyCode::Down]);
    insta::assert_snapshot!("wire_decoded_80x24", picture);
}

#[test]
fn what_is_dropped_and_held_is_told() {
    let mut watched = Watched::new(7);
    watched.say("drop next response of Produce");
    watched.pass(400);
    let dropped = |wire: &WireView| {
        wire.messages.iter().filter(|message| matches!(message.state, WireState::Dropped(..))).count()
    };
    assert_eq!(dropped(&watched.wire("produce")), 1);
    watched.say("link hold 1 to 2");
    watched.pass(400);
    assert!(watched.wire("").messages.iter().any(|message| message.state == WireState::Held));
    watched.say("link release 1 to 2");
    watched.pass(400);
    assert!(watched.wire("").messages.iter().all(|message| message.state != WireState::Held));
}

#[test]
fn what_follows_comes_true() {
    let mut watched = Watched::new(7);
    watched.say("pause");
    let foretold = watched.wire("").following;
    assert!(!foretold.is_empty());
    watched.say("run");
    watched.pass(200);
    let came = watched.wire("").messages;
    let first = &foretold[0];
    let same = came.iter().find(|message| message.id == first.id).expect("it was sent");
    assert_eq!((same.sent_us, &same.summary), (first.sent_us, &first.summary));
}

/// The number of the message that arrives next among those that words let through.
fn next(wire: &WireView) -> u64 {
    wire.detail.as_ref().expect("a message is under way").id
}

fn state_of(wire: &WireView, id: u64) -> WireState {
    wire.messages.iter().find(|message| message.id == id).expect("it is in the ring").state
}

#[test]
fn a_message_is_delivered_dropped_and_delayed_by_itself() {
    let mut watched = Watched::new(7);
    watched.stop_with_a_produce_under_way();
    let id = next(&watched.wire("produce"));
    watched.say(&format!("message delay {id} 120ms"));
    watched.say("run 100ms");
    assert!(state_of(&watched.wire(""), id).is_under_way());
    // Nothing that the producer sent after it has overtaken it.
    let later = |wire: &WireView| {
        let own = |message: &&WireMessage| message.id > id && !message.is_response && message.api == "Produce";
        wire.messages.iter().filter(own).map(|message| message.state).collect::<Vec<_>>()
    };
    assert!(later(&watched.wire("")).iter().all(|state| state.is_under_way()));
    watched.say(&format!("message deliver {id}"));
    watched.say("run 1ms");
    assert!(matches!(state_of(&watched.wire(""), id), WireState::Delivered(_)));
    let refused = watched.stage.execute(parse_line(&format!("message drop {id}")).expect("a command"));
    assert!(!refused.is_done(), "it has arrived");
    watched.stop_with_a_produce_under_way();
    let id = next(&watched.wire("produce"));
    watched.say(&format!("message drop {id}"));
    assert!(matches!(state_of(&watched.wire(""), id), WireState::Dropped(_, "dropped")));
    // History is repeated with what was done to messages.
    let before: Vec<_> = watched.wire("").messages.iter().map(|message| (message.id, message.state)).collect();
    watched.say("rewind 50ms");
    watched.say("rewind --end");
    let after: Vec<_> = watched.wire("").messages.iter().map(|message| (message.id, message.state)).collect();
    assert_eq!(before, after);
}

#[test]
fn steps_go_from_message_to_message_and_time_stops_at_an_api() {
    let mut watched = Watched::new(7);
    watched.say("break produce");
    watched.pass(500);
    let wire = watched.wire("produce");
    let sent = wire.messages.last().expect("somebody produces");
    assert!(sent.state.is_under_way() && wire.breaks == ["Produce"]);
    let stopped = watched.stage.view(&ViewRequest::default()).at_ms;
    watched.pass(500);
    assert_eq!(watched.stage.view(&ViewRequest::default()).at_ms, stopped, "time stands still");
    let id = sent.id;
    let picture = watched.picture(theme(ThemeName::Dark), 160, 45, &[KeyCode::Tab, KeyCode::Down]);
    insta::assert_snapshot!("wire_break_160x45", picture);
    watched.say("step --message produce");
    assert!(matches!(state_of(&watched.wire(""), id), WireState::Delivered(_)));
    watched.say("break --off");
    watched.say("run 200ms");
    assert!(watched.wire("produce").messages.iter().filter(|message| message.id > id).count() > 2);
}

#[test]
fn keys_and_the_mouse_act_on_the_message_that_is_looked_at() {
    let mut watched = Watched::new(7);
    watched.stop_with_a_produce_under_way();
    let palette = Arc::from(commands::palette(watched.stage.commands()));
    let mut model = Model::new(theme(ThemeName::Dark), palette, Rect::new(0, 0, 160, 45));
    let press = |model: &mut Model, stage: &mut Stage, key: char| {
        let cmds = update(model, Msg::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)));
        let view = stage.view(&model.view_request());
        update(model, Msg::View(view));
        cmds
    };
    press(&mut model, &mut watched.stage, '3');
    let wire = model.view.wire.clone().expect("messages");
    let id = next(&wire);
    for (key, line) in [('>', "message deliver"), ('d', "message drop"), ('t', "message delay")] {
        let cmds = press(&mut model, &mut watched.stage, key);
        let is_meant = |cmd: &Cmd| matches!(cmd, Cmd::Submit(given) if given.starts_with(&format!("{line} {id}")));
        assert!(cmds.iter().any(is_meant), "{key}: {cmds:?}");
    }
    assert_eq!(press(&mut model, &mut watched.stage, '.'), [Cmd::Submit("step --message".to_owned())]);
    assert_eq!(press(&mut model, &mut watched.stage, 'b'), [Cmd::Submit("break Produce".to_owned())]);
    // The first row of the ladder, and the field that has the first byte.
    let click = |column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    update(&mut model, click(20, 8));
    let selected = model.wire.selected.expect("a message was clicked");
    assert!(selected < id && !model.wire.on_detail);
    let view = watched.stage.view(&model.view_request());
    update(&mut model, Msg::View(view));
    update(&mut model, click(115, 9));
    assert!(model.wire.on_detail);
}

#[test]
fn a_world_that_goes_back_has_the_messages_of_that_time() {
    let mut watched = Watched::new(7);
    watched.say("pause");
    let before: Vec<u64> = watched.wire("").messages.iter().map(|message| message.id).collect();
    watched.say("run");
    watched.pass(2_000);
    watched.say("rewind 2s");
    let after: Vec<u64> = watched.wire("").messages.iter().map(|message| message.id).collect();
    assert_eq!(before.last(), after.last());
    watched.say("run");
    watched.say("kill 2");
    watched.pass(600);
    let picture = watched.picture(theme(ThemeName::Dark), 160, 45, &[]);
    insta::assert_snapshot!("wire_killed_160x45", picture);
}

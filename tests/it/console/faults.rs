//! The Faults screen on a scripted cluster: a dead broker, a link cut one way, one that is slow both ways, and none.

use super::fake::Scene;
use super::{Console, looks, theme};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use kafkarium::cluster::command::parse_line;
use kafkarium::cluster::sim::run::Run;
use kafkarium::cluster::sim::stage::Stage;
use kafkarium::cluster::view::ClusterPort;
use kafkarium::tui::commands;
use kafkarium::tui::draw::draw;
use kafkarium::tui::model::Model;
use kafkarium::tui::msg::{Cmd, Msg};
use kafkarium::tui::screenshot;
use kafkarium::tui::theme::{Depth, Role, Theme, ThemeName};
use kafkarium::tui::update::update;
use std::sync::Arc;
use std::time::Duration;

pub fn faults(theme: Theme, columns: u16, rows: u16, keys: &str) -> Console {
    let mut console = Console::new(Scene::Failover, theme, columns, rows);
    console.cluster.link_faults = true;
    console.keys("7");
    console.keys(keys);
    console
}

macro_rules! picture {
    ($name:literal, $console:expr) => {
        let buffer = $console.buffer();
        insta::assert_snapshot!($name, format!("{}\n{}", screenshot::text(&buffer), looks(&buffer)));
    };
}

fn dark() -> Theme {
    theme(ThemeName::Dark)
}

#[test]
fn faults_at_every_breakpoint_and_theme() {
    picture!("faults_80x24", faults(dark(), 80, 24, "lll"));
    picture!("faults_100x30", faults(dark(), 100, 30, "lll"));
    picture!("faults_160x45", faults(dark(), 160, 45, "lll"));
    picture!("faults_200x60", faults(dark(), 200, 60, "jjl"));
    picture!("faults_light", faults(theme(ThemeName::Light), 120, 36, "G"));
    picture!("faults_16_colours", faults(dark().with_depth(Depth::Sixteen), 120, 36, "lll"));
    let ascii = Theme { ascii: true, ..theme(ThemeName::Mono) };
    picture!("faults_no_colour_ascii", faults(ascii, 80, 24, "lll"));
}

#[test]
fn no_size_is_too_odd_for_faults() {
    for (columns, rows) in [(60, 16), (61, 17), (70, 20), (99, 29), (100, 16), (140, 30), (300, 90)] {
        for keys in ["", "jjj", "GG", "llllll"] {
            let text = faults(dark(), columns, rows, keys).text();
            assert!(text.contains("FROM"), "{columns}x{rows}\n{text}");
        }
    }
}

#[test]
fn a_cut_in_one_direction_is_told_in_that_direction_only() {
    let text = faults(dark(), 160, 45, "").text();
    let row = |name: &str| {
        let row = text.lines().find(|line| line.contains(&format!("│ {name} "))).expect("every sender has a row");
        row.split("││").next().unwrap_or_default().to_owned()
    };
    assert!(row("broker 1").contains("cut"), "{text}");
    assert!(!row("broker 5").contains("cut"), "the way back works\n{text}");
}

#[test]
fn keys_of_links_run_lines_of_the_language() {
    let asks = |keys: &str| {
        let mut console = faults(dark(), 120, 36, keys);
        console.keys("c");
        console.cluster.submitted
    };
    assert!(asks("").contains(&"link cut 1 to 2".to_owned()));
    assert!(asks("Gk").contains(&"link cut 5 to 2".to_owned()));
    assert!(asks("G").contains(&"link cut clients to 2".to_owned()));
    assert!(!asks("h").iter().any(|line| line.starts_with("link cut")), "nobody has a link to itself");
    let mut console = faults(dark(), 120, 36, "");
    console.keys("X");
    assert!(console.cluster.submitted.contains(&"link cut 1 2".to_owned()), "{:?}", console.cluster.submitted);
    console.keys("x");
    assert!(console.text().contains("kept until released"), "{}", console.text());
    console.press(KeyCode::Esc);
    assert!(!console.asked.contains(&Cmd::Quit));
}

/// A simulated world of so many brokers with a load and faults, and the screen on it.
fn simulated(brokers: i32, columns: u16, rows: u16, keys: &str) -> String {
    let mut stage = Stage::new(Run::open(11, brokers), 11);
    let copies = brokers.min(3);
    let mut say = |line: &str| {
        let reply = stage.execute(parse_line(line).expect("a command"));
        assert!(reply.is_done(), "{line}: {reply:?}");
        for _ in 0..20 {
            stage.pass(Duration::from_millis(50));
            while stage.pass(Duration::ZERO) {}
        }
    };
    say(&format!("topic create orders --partitions 6 --replicas {copies}"));
    say("produce orders --rate 50/s");
    say("disk slow 1 200ms");
    say("link lose clients to 1 5%");
    if brokers > 1 {
        say("link cut 1 to 2");
        say("link delay 2 3 120ms --jitter 40ms");
    }
    let palette = Arc::from(commands::palette(stage.commands()));
    let mut model = Model::new(dark(), palette, ratatui::layout::Rect::new(0, 0, columns, rows));
    let mut look = |model: &mut Model| {
        for _ in 0..3 {
            let view = stage.view(&model.view_request());
            update(model, Msg::View(view));
        }
    };
    look(&mut model);
    for key in std::iter::once('7').chain(keys.chars()) {
        update(&mut model, Msg::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)));
        look(&mut model);
    }
    let mut buffer = ratatui::buffer::Buffer::empty(model.area);
    draw(&model, &model.view, &model.theme, model.area, &mut buffer);
    let steps = kafkarium::tui::numbers::count(model.view.host.world.map_or(0, |world| world.steps));
    screenshot::text(&buffer)
        .replace(&format!("step {steps} "), &format!("step {} ", "n".repeat(steps.chars().count())))
}

#[test]
fn one_three_and_nine_brokers_with_faults() {
    for (columns, rows) in [(160, 45), (120, 36), (80, 24)] {
        let pictures = [1, 3, 9].map(|brokers| simulated(brokers, columns, rows, ""));
        insta::assert_snapshot!(format!("faults_simulated_{columns}x{rows}"), pictures.join("\n"));
    }
}

#[test]
fn what_is_not_known_does_not_look_harmless() {
    let mut console = faults(dark(), 120, 36, "jjjj");
    for is_told in [true, false] {
        if !is_told {
            Arc::make_mut(&mut console.model.view).link_faults = None;
        }
        let buffer = console.buffer();
        let text = screenshot::text(&buffer);
        let y = text.lines().position(|line| line.contains("not known")).expect("it says so");
        let line: Vec<char> = text.lines().nth(y).expect("a line").chars().collect();
        let x = line.windows(9).position(|window| window.iter().collect::<String>() == "not known").expect("there");
        let style = buffer[(u16::try_from(x).expect("a column"), u16::try_from(y).expect("a row"))].style();
        assert_eq!(style.fg, dark().fg(Role::Lag).fg, "told: {is_told}\n{text}");
    }
}

#[test]
fn a_link_is_set_by_a_form_that_sends_what_was_changed_only() {
    let typed = |keys: &str, typed: &[(usize, &str)]| {
        let mut console = faults(dark(), 120, 36, keys);
        console.press(KeyCode::Enter);
        let mut at = 1;
        for (place, text) in typed {
            for _ in at..*place {
                console.press(KeyCode::Tab);
            }
            at = *place;
            console.keys(text);
        }
        let shown = console.text();
        console.cluster.submitted.clear();
        console.press(KeyCode::Enter);
        (std::mem::take(&mut console.cluster.submitted), shown)
    };
    let (lines, shown) = typed("l", &[(2, "120ms"), (3, "40ms"), (4, "5"), (5, "64KiB")]);
    assert_eq!(lines, ["link delay 1 to 3 120ms --jitter 40ms", "link lose 1 to 3 5%", "link throttle 1 to 3 64KiB/s"]);
    assert!(shown.contains("one of 20") && shown.contains("Does          link delay 1 to 3 120ms"), "{shown}");
    assert_eq!(typed("l", &[]).0, Vec::<String>::new(), "nothing was changed");
    assert_eq!(typed("l", &[(1, "h")]).0, ["link hold 1 to 3"]);
    assert_eq!(typed("lll", &[(1, "d")]).0, ["link heal 1 to 5"], "a cut ends with the link's healing");
    let (lines, shown) = typed("l", &[(2, "12 parsecs")]);
    assert!(lines.is_empty() && shown.contains("fix delay"), "{shown}");
    let (_, shown) = typed("l", &[(2, "31s")]);
    assert!(shown.contains("followers leave the ISR"), "{shown}");
}

#[test]
fn disks_and_clocks_are_set_by_forms_and_a_full_disk_is_told_first() {
    let mut console = faults(dark(), 120, 36, "");
    let mut does = |keys: &str, enter: bool| {
        console.cluster.submitted.clear();
        console.keys(keys);
        if enter {
            console.press(KeyCode::Enter);
        }
        std::mem::take(&mut console.cluster.submitted)
    };
    assert_eq!(does("W", true), ["disk slow 1 200ms"]);
    assert_eq!(does("T", true), ["clock skew 1 +5s"]);
    assert_eq!(does("C", true), ["disk corrupt 1"]);
    assert_eq!(does("F", false), ["disk full 1"], "nothing severe is known of it");
}

#[test]
fn one_fault_of_the_list_is_undone_alone() {
    let mut console = faults(dark(), 160, 45, "");
    console.press(KeyCode::BackTab);
    console.cluster.submitted.clear();
    console.keys("jj");
    insta::assert_snapshot!("faults_chosen_160x45", console.text());
    console.press(KeyCode::Enter);
    assert_eq!(console.cluster.submitted, ["link heal 3 4"]);
}

#[test]
fn the_mouse_selects_a_link_edits_it_and_scrolls_the_list() {
    let mut console = faults(dark(), 160, 45, "");
    let find = |console: &Console, wanted: &str| {
        let text = console.text();
        let y = text.lines().position(|line| line.contains(wanted)).expect("it is there");
        let line = text.lines().nth(y).expect("a line");
        let x = line[..line.find(wanted).expect("there")].chars().count();
        (u16::try_from(x).expect("a column"), u16::try_from(y).expect("a row"))
    };
    let mouse = |console: &mut Console, kind, (column, row)| {
        console.give(Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
    };
    let cut = find(&console, "✕ cut");
    mouse(&mut console, MouseEventKind::Down(MouseButton::Left), cut);
    assert!(console.text().contains("Link 1 → 5"), "{}", console.text());
    mouse(&mut console, MouseEventKind::Down(MouseButton::Left), cut);
    assert!(console.text().contains("applies to"), "a double click edits\n{}", console.text());
    console.press(KeyCode::Esc);
    let fault = find(&console, "link 1 → 5 cut");
    mouse(&mut console, MouseEventKind::ScrollDown, fault);
    console.cluster.submitted.clear();
    console.press(KeyCode::Enter);
    assert_eq!(console.cluster.submitted, ["link heal 1 to 5"], "the wheel chose the second one");
    mouse(&mut console, MouseEventKind::Down(MouseButton::Right), fault);
    assert!(console.text().contains("undo this one"), "{}", console.text());
}

#[test]
fn a_name_is_asked_for_and_judged_before_it_is_saved() {
    let mut console = faults(dark(), 120, 36, "");
    console.press(KeyCode::BackTab);
    console.keys("xs");
    for _ in 0..6 {
        console.press(KeyCode::Backspace);
    }
    console.keys("a/b");
    console.press(KeyCode::Enter);
    insta::assert_snapshot!("faults_save_120x36", console.text());
    assert!(console.asked.iter().all(|cmd| !matches!(cmd, Cmd::SaveDemo { .. })), "{:?}", console.asked);
    console.press(KeyCode::Backspace);
    console.press(KeyCode::Backspace);
    console.press(KeyCode::Tab);
    console.keys("w");
    console.press(KeyCode::Enter);
    assert!(console.asked.contains(&Cmd::SaveDemo { name: "a".into(), overwrite: true }), "{:?}", console.asked);
}

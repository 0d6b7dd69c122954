//! The Faults screen on a scripted cluster: a dead broker, a link cut one way, one that is slow both ways, and none.

use super::fake::{NOW_MS, Scene};
use super::{Console, looks, theme};
use crossterm::event::KeyCode;
use kafkarium::cluster::link::CLIENTS;
use kafkarium::cluster::view::{ActiveFault, BrokerId, FaultKind};
use kafkarium::tui::msg::Cmd;
use kafkarium::tui::screenshot;
use kafkarium::tui::theme::{Depth, Theme, ThemeName};
use std::sync::Arc;

pub fn faults(theme: Theme, columns: u16, rows: u16, keys: &str) -> Console {
    let mut console = Console::new(Scene::Failover, theme, columns, rows);
    console.keys("7");
    console.refresh();
    console.keys(keys);
    let fault = |kind, text: &str, ago_ms, undo: &str, links| ActiveFault {
        kind,
        text: text.into(),
        since_ms: NOW_MS - ago_ms,
        undo: undo.into(),
        links,
    };
    let (one, three, four, five) = (BrokerId(1), BrokerId(3), BrokerId(4), BrokerId(5));
    let view = Arc::make_mut(&mut console.model.view);
    view.faults.extend([
        fault(FaultKind::Cut, "link 1 → 5 cut", 8_400, "link heal 1 to 5", vec![(one, five)]),
        fault(FaultKind::Slow, "link 3 ⇄ 4 +120ms", 64_000, "link heal 3 4", vec![(three, four), (four, three)]),
        fault(FaultKind::Loss, "link clients → 3 loses 5 %", 69_000, "link heal clients to 3", vec![(CLIENTS, three)]),
    ]);
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
    console.press(KeyCode::Enter);
    assert!(console.text().contains("kept until released"), "{}", console.text());
    console.press(KeyCode::Esc);
    assert!(!console.asked.contains(&Cmd::Quit));
}

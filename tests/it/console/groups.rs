//! The Groups screen on a scripted cluster: a group whose coordinator died, a stable one of KIP-848, one that nobody reads in, and many.

use super::fake::Scene;
use super::{Console, looks, theme};
use crossterm::event::KeyCode;
use kafkarium::cluster::view::WhyAbout;
use kafkarium::tui::msg::Cmd;
use kafkarium::tui::screenshot;
use kafkarium::tui::theme::{Depth, Theme, ThemeName};

fn groups(scene: Scene, theme: Theme, columns: u16, rows: u16, keys: &str) -> Console {
    let mut console = Console::new(scene, theme, columns, rows);
    console.keys("4");
    console.refresh();
    console.keys(keys);
    console.refresh();
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
fn groups_at_every_breakpoint_and_theme() {
    picture!("groups_80x24", groups(Scene::Failover, dark(), 80, 24, ""));
    picture!("groups_120x36", groups(Scene::Failover, dark(), 120, 36, ""));
    picture!("groups_160x45", groups(Scene::Failover, dark(), 160, 45, ""));
    picture!("groups_200x60", groups(Scene::Failover, dark(), 200, 60, "j"));
    picture!("groups_light", groups(Scene::Failover, theme(ThemeName::Light), 120, 36, "jjj"));
    picture!("groups_16_colours", groups(Scene::Failover, dark().with_depth(Depth::Sixteen), 120, 36, "jj"));
    let ascii = Theme { ascii: true, ..theme(ThemeName::Mono) };
    picture!("groups_no_colour_ascii", groups(Scene::Failover, ascii, 80, 24, ""));
    picture!("groups_nobody", groups(Scene::Starting, dark(), 80, 24, ""));
}

#[test]
fn no_size_is_too_odd_for_groups() {
    for (columns, rows) in [(60, 16), (61, 17), (70, 20), (99, 29), (100, 16), (140, 30), (300, 90)] {
        for keys in ["", "j", "jj", "jjj"] {
            let text = groups(Scene::Failover, dark(), columns, rows, keys).text();
            assert!(text.contains("GROUP"), "{columns}x{rows}\n{text}");
        }
    }
}

#[test]
fn the_selection_goes_through_more_groups_than_fit_and_keeps_its_name() {
    let mut console = groups(Scene::Large, dark(), 120, 36, "G");
    console.refresh();
    assert_eq!(console.model.groups.selected.as_deref(), Some("team-499"));
    assert!(console.text().contains("team-499"));
    console.keys("g");
    console.refresh();
    assert_eq!(console.model.groups.selected.as_deref(), Some("billing"));
}

#[test]
fn keys_of_the_screen_ask_for_what_the_language_does() {
    let mut console = groups(Scene::Failover, dark(), 120, 36, "j");
    console.press(KeyCode::Enter);
    assert!(console.cluster.submitted.contains(&"group describe email".to_owned()), "{:?}", console.cluster.submitted);
    let mut console = groups(Scene::Failover, dark(), 120, 36, "j");
    console.keys("R");
    assert!(console.text().contains("group reset email"), "{}", console.text());
    console.press(KeyCode::Esc);
    console.press(KeyCode::Esc);
    assert!(console.text().contains("PARTITION      "), "Esc leads back to the Cluster screen\n{}", console.text());
    assert!(!console.asked.contains(&Cmd::Quit));
}

#[test]
fn w_asks_about_a_group_that_rebalances_and_else_about_the_headline() {
    let asked = |keys| {
        let mut console = groups(Scene::Failover, dark(), 120, 36, keys);
        console.keys("w");
        console.model.view_request().why
    };
    assert_eq!(asked(""), Some(WhyAbout::Group("billing".into())));
    assert_eq!(asked("j"), Some(WhyAbout::Headline), "it reads undisturbed");
    assert_eq!(asked("jj"), Some(WhyAbout::Group("fraud-check".into())));
}

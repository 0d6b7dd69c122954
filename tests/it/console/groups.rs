//! The Groups screen on a scripted cluster: a group whose coordinator died, a stable one of KIP-848, one that nobody reads in, and many.

use super::fake::Scene;
use super::{Console, looks, theme};
use crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use kafkarium::cluster::view::WhyAbout;
use kafkarium::tui::model::{GroupsPane, Screen};
use kafkarium::tui::msg::{Cmd, Msg};
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
    ($name:expr, $console:expr) => {
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
    console.keys("x");
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

#[test]
fn a_member_in_detail_at_every_breakpoint() {
    for (name, columns, rows) in [("80x24", 80, 24), ("120x36", 120, 36), ("160x45", 160, 45)] {
        let mut console = groups(Scene::Failover, dark(), columns, rows, "");
        console.press(KeyCode::Enter);
        console.keys("G");
        console.refresh();
        picture!(format!("groups_member_{name}"), console);
    }
}

#[test]
fn tab_goes_round_and_esc_goes_back_step_by_step() {
    let mut console = groups(Scene::Failover, dark(), 120, 36, "");
    let mut panes = Vec::new();
    for _ in 0..3 {
        console.press(KeyCode::Tab);
        panes.push(console.model.groups.pane);
    }
    assert_eq!(panes, [GroupsPane::Members, GroupsPane::Partitions, GroupsPane::List]);
    console.press(KeyCode::Enter);
    assert!(console.model.groups.is_open && console.text().contains("/10.0.0.17"), "{}", console.text());
    console.press(KeyCode::Esc);
    assert_eq!((console.model.groups.is_open, console.model.groups.pane), (false, GroupsPane::Members));
    console.press(KeyCode::Esc);
    assert_eq!((console.model.groups.pane, console.model.screen), (GroupsPane::List, Screen::Groups));
    console.press(KeyCode::Esc);
    assert_eq!(console.model.screen, Screen::Cluster);
}

#[test]
fn a_partition_that_a_group_reads_opens_where_the_group_is() {
    let mut console = groups(Scene::Failover, dark(), 120, 36, "");
    console.press(KeyCode::BackTab);
    console.keys("j");
    let chosen = console.model.groups.partition.clone();
    assert_eq!(chosen.as_ref().map(ToString::to_string).as_deref(), Some("orders-4"), "the second furthest behind");
    console.press(KeyCode::Enter);
    assert_eq!((console.model.screen, console.model.cluster.selected.clone()), (Screen::Partition, chosen));
}

#[test]
fn filter_and_order_are_asked_of_the_cluster_and_only_what_is_in_view_is_told() {
    let mut console = groups(Scene::Large, dark(), 120, 36, "/team-49");
    console.refresh();
    let view = console.model.view.groups.clone().expect("groups are shown");
    assert_eq!((view.total, view.known), (10, 504));
    picture!("groups_filter_is_typed", console);
    console.press(KeyCode::Enter);
    console.keys("s");
    console.refresh();
    let view = console.model.view.groups.clone().expect("groups are shown");
    assert_eq!(&*view.rows[0].name, "team-499", "furthest behind");
    assert!(console.text().contains("/team-49 10 of 504"), "{}", console.text());
    console.press(KeyCode::Esc);
    console.keys("/nobody-has-this-name");
    console.refresh();
    assert!(console.text().contains("None of 504 groups matches: Esc shows all."), "{}", console.text());
    console.press(KeyCode::Esc);
    console.refresh();
    assert_eq!(console.model.view.groups.as_ref().map(|groups| groups.total), Some(504));
}

#[test]
fn a_reader_is_paused_and_goes_on_by_one_key_even_when_it_is_out_of_its_group() {
    let mut console = groups(Scene::Failover, dark(), 120, 36, "");
    console.press(KeyCode::Tab);
    console.keys("jp");
    assert!(
        console.cluster.submitted.contains(&"consume pause billing-8".to_owned()),
        "{:?}",
        console.cluster.submitted
    );
    console.press(KeyCode::BackTab);
    console.keys("p");
    assert!(
        console.cluster.submitted.contains(&"consume resume billing-8".to_owned()),
        "{:?}",
        console.cluster.submitted
    );
    assert_eq!(console.model.groups.paused, Vec::new());
}

#[test]
fn a_click_selects_what_it_hits() {
    let mut console = groups(Scene::Failover, dark(), 160, 45, "");
    let at = |console: &Console, word: &str, after: usize| {
        let text = console.text();
        let mut lines = text.lines().enumerate().filter_map(|(y, line)| {
            let x = line.find(word)?;
            Some((u16::try_from(line[..x].chars().count()).expect("a column"), u16::try_from(y).expect("a row")))
        });
        lines.nth(after).expect("it is on the screen")
    };
    let press = MouseEventKind::Down(MouseButton::Left);
    let mouse = |kind, (column, row)| Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    let cell = at(&console, "email", 0);
    console.give(mouse(press, cell));
    console.refresh();
    assert_eq!(console.model.groups.selected.as_deref(), Some("email"));
    let cell = at(&console, "billing-8", 0);
    console.give(mouse(press, cell));
    assert_eq!(console.model.groups.member.as_deref(), Some("billing-8-0f3a8b7c"));
    console.give(mouse(MouseEventKind::ScrollDown, cell));
    assert_eq!(console.model.groups.member.as_deref(), Some("billing-9-0f3a9b7c"));
    let cell = at(&console, "11,402", 0);
    console.give(mouse(press, cell));
    assert_eq!(console.model.groups.partition.as_ref().map(ToString::to_string).as_deref(), Some("orders-4"));
    assert_eq!(console.model.groups.pane, GroupsPane::Partitions);
}

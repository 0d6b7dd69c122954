//! The Partition screen: on a scripted cluster at every size and theme, by key and by mouse; and on a simulated world, where a leader that
//! was cut off wrote what nobody copied, and cuts it.

use super::fake::Scene;
use super::simulated::Watched;
use super::{Console, looks, theme};
use crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use kafkarium::cluster::view::{PartitionName, TruncationStage};
use kafkarium::tui::model::Screen;
use kafkarium::tui::msg::Msg;
use kafkarium::tui::screenshot;
use kafkarium::tui::theme::{Depth, Theme, ThemeName};

fn inside(scene: Scene, theme: Theme, columns: u16, rows: u16) -> Console {
    let mut console = Console::new(scene, theme, columns, rows);
    console.model.cluster.selected = Some(PartitionName::new("orders", 0));
    console.press(KeyCode::Enter);
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
fn a_partition_at_every_breakpoint_and_theme() {
    picture!("partition_80x24", inside(Scene::CatchingUp, dark(), 80, 24));
    picture!("partition_100x30", inside(Scene::Failover, dark(), 100, 30));
    picture!("partition_160x45", inside(Scene::CatchingUp, dark(), 160, 45));
    picture!("partition_200x60", inside(Scene::Failover, dark(), 200, 60));
    picture!("partition_light", inside(Scene::Failover, theme(ThemeName::Light), 120, 36));
    picture!("partition_high_contrast", inside(Scene::Large, theme(ThemeName::HighContrast), 120, 36));
    picture!("partition_16_colours", inside(Scene::Failover, dark().with_depth(Depth::Sixteen), 120, 36));
    let ascii = Theme { ascii: true, ..theme(ThemeName::Mono) };
    picture!("partition_no_colour_ascii", inside(Scene::Failover, ascii, 80, 24));
    picture!("partition_healthy", inside(Scene::Healthy, dark(), 160, 45));
}

#[test]
fn no_size_is_too_odd_for_a_partition() {
    for (columns, rows) in [(60, 16), (61, 17), (70, 20), (99, 29), (100, 16), (140, 30), (300, 90)] {
        for scene in Scene::ALL {
            let mut console = inside(scene, dark(), columns, rows);
            if console.model.view.xray.is_none() {
                continue;
            }
            for key in ["", "\t", "t", "z", "z", "g", "G"] {
                console.keys(key);
                let text = console.text();
                assert!(text.contains("orders-0") && text.contains("broker 3"), "{columns}x{rows} {scene:?}\n{text}");
            }
        }
    }
}

#[test]
fn keys_go_to_other_partitions_copies_and_offsets_and_back() {
    let mut console = inside(Scene::Failover, dark(), 160, 45);
    console.keys("l");
    assert!(console.text().contains("‹ orders-1 ›"), "{}", console.text());
    console.keys("h");
    assert!(console.text().contains("‹ orders-0 ›"));
    console.keys("jj");
    assert_eq!(console.model.cluster.broker.map(|broker| broker.0), Some(1));
    assert!(console.text().contains("kill 1"), "what a kill would do stands in the hint row");
    console.press(KeyCode::Esc);
    let follows = console.model.partition.from;
    console.press(KeyCode::PageUp);
    assert!(console.model.partition.from < follows);
    console.keys("G");
    assert_eq!(console.model.partition.from, follows);
    console.keys("z");
    assert_eq!(console.model.partition.per_cell, 2);
    assert!(console.text().contains("1 cell = 2 records"));
    console.keys("o");
    assert!(console.text().contains("xray orders-0 --offset"), "{}", console.text());
    console.give(Msg::Paste("12,604".into()));
    console.press(KeyCode::Enter);
    assert_eq!(console.model.partition.from, 12_604);
    console.press(KeyCode::Esc);
    assert_eq!(console.model.screen, Screen::Cluster);
    assert!(console.cluster.submitted.is_empty(), "{:?}", console.cluster.submitted);
}

#[test]
fn a_truncation_is_shown_again_frame_by_frame() {
    let mut console = inside(Scene::CatchingUp, dark(), 160, 45);
    console.give(Msg::Tick(10_000));
    console.keys("t");
    let mut seen = Vec::new();
    for step in 0..5 {
        console.give(Msg::Tick(10_000 + step * 1_500));
        seen.push(console.model.partition.frame(console.model.now_ms));
    }
    assert_eq!(seen, [Some(1), Some(2), Some(3), Some(4), None]);
    console.give(Msg::Tick(10_100));
    assert!(console.text().contains("14 extra "), "{}", console.text());
}

#[test]
fn the_mouse_chooses_copies_scrolls_and_zooms() {
    let mut console = inside(Scene::Failover, dark(), 160, 45);
    let from = console.model.partition.from;
    let mouse = |kind, x, y, modifiers| Msg::Mouse(MouseEvent { kind, column: x, row: y, modifiers });
    console.give(mouse(MouseEventKind::ScrollUp, 60, 12, KeyModifiers::NONE));
    assert!(console.model.partition.from < from);
    console.give(mouse(MouseEventKind::ScrollDown, 60, 12, KeyModifiers::CONTROL));
    assert_eq!(console.model.partition.per_cell, 2);
    let row = console.text().lines().position(|line| line.contains("● broker 1")).expect("a row") as u16;
    console.give(mouse(MouseEventKind::Down(MouseButton::Left), 60, row, KeyModifiers::NONE));
    assert_eq!(console.model.cluster.broker.map(|broker| broker.0), Some(1));
}

/// A leader that was cut off takes what nobody copies; when it hears of its successor it cuts it off.
#[test]
fn a_zombie_truncates_in_a_simulated_world() {
    let mut watched = Watched::new(7);
    let leader = watched.leader_of("orders", 0);
    watched.open_partition("orders", 0);
    let others = (1..=3).filter(|id| *id != leader).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    watched.pass(300);
    insta::assert_snapshot!("simulated_truncation_0_before", watched.pictures());
    watched.say(&format!("link cut {leader} {others}"));
    watched.say("produce orders --partition 0 --value lie --acks 1 --count 14");
    watched.until_stage(TruncationStage::Extra);
    insta::assert_snapshot!("simulated_truncation_1_extra", watched.pictures());
    watched.say(&format!("link heal {leader} {others}"));
    watched.until_stage(TruncationStage::Cuts);
    insta::assert_snapshot!("simulated_truncation_3_cut", watched.pictures());
    watched.until_stage(TruncationStage::Rejoins);
    watched.pass(3_000);
    insta::assert_snapshot!("simulated_truncation_4_rejoined", watched.pictures());
    let before = watched.at_ms();
    watched.say("rewind 6s");
    assert!(watched.at_ms() < before);
    insta::assert_snapshot!("simulated_truncation_5_rewound", watched.pictures());
}

//! The past of a live cluster in the console: which moment each key views, what every screen looks like then, and what cannot be done.

use super::fake::NOW_MS;
use super::*;
use kafkarium::cluster::view::{ClockMode, TailBatch, TailRecord};

/// A failover that is recorded.
fn console(columns: u16, rows: u16) -> Console {
    let mut console = Console::dark(Scene::Failover, columns, rows);
    console.cluster.recalls = true;
    console.refresh();
    console
}

fn picture(console: &Console) -> String {
    let buffer = console.buffer();
    format!("{}\n{}", screenshot::text(&buffer), looks(&buffer))
}

/// How far back the moment is that is shown; `None`: the present.
fn behind_ms(console: &Console) -> Option<u64> {
    match console.model.view.clock {
        ClockMode::Rewound { behind_ms } => Some(behind_ms),
        _ => None,
    }
}

#[test]
fn a_rewound_picture_at_every_breakpoint() {
    for (name, columns, rows) in
        [("past_80x24", 80, 24), ("past_120x36", 120, 36), ("past_160x45", 160, 45), ("past_200x60", 200, 60)]
    {
        let mut console = console(columns, rows);
        console.keys("{{{");
        insta::assert_snapshot!(name, picture(&console));
    }
    let mut before = console(160, 45);
    before.keys("{{{,");
    insta::assert_snapshot!("past_before_160x45", picture(&before));
    let mut partition = console(120, 36);
    partition.keys("2[[[");
    insta::assert_snapshot!("past_partition_not_recorded_120x36", picture(&partition));
}

#[test]
fn each_key_goes_to_its_moment() {
    let mut console = console(160, 45);
    for (key, behind) in [
        ('[', Some(1_000)),
        ('[', Some(2_000)),
        (']', Some(1_000)),
        ('{', Some(1_200)),
        ('{', Some(2_400)),
        ('{', Some(2_400)),
        (',', Some(2_500)),
        ('.', Some(2_400)),
        ('}', Some(1_200)),
        ('}', Some(600)),
        ('}', None),
        (',', Some(250)),
        ('.', None),
        ('.', None),
        (']', None),
    ] {
        console.keys(&key.to_string());
        assert_eq!(behind_ms(&console), behind, "after {key}");
    }
    console.keys("[");
    console.press(KeyCode::End);
    assert_eq!((behind_ms(&console), console.model.cluster.event), (None, None));
    (0..12).for_each(|_| console.keys("["));
    assert_eq!(behind_ms(&console), Some(10_000), "no further than is recorded");
    assert!(console.cluster.submitted.is_empty(), "the cluster is told nothing");
}

#[test]
fn every_screen_shows_the_same_moment_and_the_end_of_the_axis_stays() {
    let mut console = console(160, 45);
    console.keys("[[[");
    for screen in ['1', '2', '3', '4', '5', '6', '7'] {
        console.keys(&screen.to_string());
        let text = console.text();
        assert!(text.contains("◂ REWOUND T−3.0 s") && text.contains("the past: changes are off"), "{text}");
    }
    assert_eq!(console.model.view.timeline.end_ms, NOW_MS);
    console.model.cluster.window_ms = 5_000;
    (0..4).for_each(|_| console.keys("["));
    let (at_ms, end_ms) = (console.model.view.at_ms, console.model.view.timeline.end_ms);
    assert!((end_ms - 5_000..end_ms).contains(&at_ms), "the moment is on the axis: {at_ms} {end_ms}");
}

#[test]
fn the_past_cannot_be_changed_and_says_so() {
    for keys in [
        "K",
        "R",
        "S",
        "O",
        "X",
        "H",
        "u",
        "p",
        "n",
        "D",
        "x",
        "c",
        "-",
        "=",
        "5e",
        "7X",
        "7W",
        "7F",
        "7C",
        "7T",
        ":kill 2\n",
        ":heal\n",
    ] {
        let mut console = console(160, 45);
        console.keys("[");
        for key in keys.chars() {
            if key == '\n' { console.press(KeyCode::Enter) } else { console.keys(&key.to_string()) }
        }
        assert!(console.text().contains("Nothing can be changed in the past."), "{keys}: {}", console.text());
        assert!(console.cluster.submitted.is_empty() && console.model.armed.is_none(), "{keys}");
    }
    let mut console = console(160, 45);
    console.keys("[");
    console.press(KeyCode::End);
    console.keys("H");
    assert_eq!(console.cluster.submitted, ["heal"], "the present can");
}

#[test]
fn space_plays_what_was_recorded_up_to_the_present() {
    let mut console = console(120, 36);
    console.give(Msg::Tick(1_000));
    console.keys("[[ ");
    assert!(console.text().contains("Space stop"));
    for (now_ms, behind) in [(1_050, Some(2_000)), (1_300, Some(1_750)), (1_800, Some(1_200)), (2_700, Some(500))] {
        console.give(Msg::Tick(now_ms));
        console.refresh();
        assert_eq!(behind_ms(&console), behind, "{now_ms}");
    }
    console.keys(" ");
    console.give(Msg::Tick(9_000));
    console.refresh();
    assert_eq!(behind_ms(&console), Some(500), "it stopped");
    console.keys(" ");
    console.give(Msg::Tick(9_500));
    console.refresh();
    assert_eq!(behind_ms(&console), None, "nothing older than the present is left");
    assert!(console.cluster.submitted.is_empty() && !console.cluster.paused);
    console.keys(" ");
    assert_eq!(console.cluster.submitted, ["pause"], "the present stands still as it always did");
}

#[test]
fn marks_are_gone_to_from_the_newest_to_the_oldest() {
    let mut console = console(160, 45);
    console.keys("'");
    assert_eq!(behind_ms(&console), None, "there is none");
    console.keys("[[[m");
    assert!(console.text().contains("Marked 12:04:28.5; ' goes there."), "{}", console.text());
    console.keys("[[[m");
    console.press(KeyCode::End);
    for behind in [3_000, 6_000, 3_000] {
        console.keys("'");
        assert_eq!(behind_ms(&console), Some(behind));
    }
}

#[test]
fn the_mouse_seeks_on_every_screen() {
    let mouse = |kind, column, row| Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    for screen in ['1', '2', '4', '5', '6', '7'] {
        let mut console = console(160, 45);
        console.keys(&screen.to_string());
        let row = console.model.frame().expect("there is room").timeline.bottom() - 1;
        console.give(mouse(MouseEventKind::Down(MouseButton::Left), 140, row));
        console.refresh();
        let clicked = behind_ms(&console).expect("the past");
        assert!((3_000..5_000).contains(&clicked), "{screen}: {clicked}");
        console.give(mouse(MouseEventKind::Drag(MouseButton::Left), 146, row));
        console.refresh();
        assert!(behind_ms(&console).is_some_and(|behind| behind < clicked), "{screen}");
        console.give(mouse(MouseEventKind::Drag(MouseButton::Left), 158, row));
        console.refresh();
        assert_eq!(behind_ms(&console), None, "{screen}: the right end is the present");
    }
}

#[test]
fn records_are_those_that_there_were_and_were_read() {
    let mut console = console(120, 36);
    console.cluster.scene = Scene::Large;
    console.refresh();
    console.keys("5b");
    let wall_ms = console.model.view.wall_ms;
    let record = |offset: i64, ago: i64| TailRecord {
        offset,
        timestamp_ms: wall_ms - ago,
        value: Some(format!("value-{offset}")),
        ..TailRecord::default()
    };
    let records = vec![record(1, 3_500), record(2, 1_500), record(3, 100)];
    console.give(Msg::Tail(TailBatch { records, read: 3, ..TailBatch::default() }));
    let shown = |console: &Console| [1, 2, 3].map(|offset| console.text().contains(&format!("value-{offset}")));
    assert_eq!(shown(&console), [true; 3], "{}", console.text());
    console.keys("[");
    assert_eq!(shown(&console), [true, true, false]);
    console.keys("[");
    assert_eq!(shown(&console), [true, false, false]);
    console.keys("[[[");
    assert!(console.text().contains("not recorded"), "{}", console.text());
    console.press(KeyCode::End);
    assert_eq!(shown(&console), [true; 3], "nothing was read anew");
}

#[test]
fn whoever_presents_shows_each_key_for_three_seconds() {
    let mut console = console(120, 36);
    console.keys("l");
    assert!(console.model.echo.is_none());
    console.give(Msg::Tick(1_000));
    console.keys("P[");
    let last_row = |console: &Console| console.text().lines().last().unwrap_or_default().to_owned();
    assert!(last_row(&console).contains("   [     a second back"), "{}", last_row(&console));
    console.give(Msg::Tick(4_000));
    assert!(last_row(&console).contains("the past: changes are off"), "{}", last_row(&console));
    console.keys("P");
    console.press(KeyCode::End);
    assert!(last_row(&console).contains("kill −9") && console.model.echo.is_none(), "{}", last_row(&console));
}

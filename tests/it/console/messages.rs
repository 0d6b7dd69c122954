//! The messages screen on a simulated world: conditions, offsets, times, following; records that are sent, and sent again.

use super::theme;
use super::topics::Simulated;
use crossterm::event::KeyCode;
use kafkarium::cluster::view::{ProduceDraft, TailFrom};
use kafkarium::tui::msg::Cmd;
use kafkarium::tui::theme::{Depth, Theme, ThemeName};

fn dark() -> Theme {
    theme(ThemeName::Dark)
}

/// The records of `customers`, twelve of them written by hand, one a tombstone.
fn messages(theme: Theme, columns: u16, rows: u16) -> Simulated {
    let mut world = Simulated::new(theme, columns, rows);
    for id in 0..12 {
        let value = format!(
            "{{\"id\":{},\"total\":{}.40,\"items\":[{{\"sku\":\"KB-{id}\",\"qty\":{}}}],\"status\":\"{}\"}}",
            88_200 + id,
            40 * id,
            id % 3 + 1,
            if id % 2 == 0 { "paid" } else { "open" }
        );
        world.send(&ProduceDraft {
            topic: "customers".into(),
            key: Some(format!("{}-{}", if id % 4 == 0 { "us" } else { "eu" }, 4_400 + id)),
            value: (id != 5).then_some(value),
            headers: vec![("source".into(), "web".into())],
            count: 1,
            ..ProduceDraft::default()
        });
    }
    world.pass(1_000);
    world.model.toasts.clear();
    world.keys("/cust");
    world.press(KeyCode::Enter);
    world.keys("b");
    world
}

fn offsets(world: &Simulated) -> Vec<(i32, i64)> {
    let messages = world.model.messages.as_ref().expect("the screen is open");
    messages.listed().map(|(_, record)| (record.partition, record.offset)).collect()
}

macro_rules! picture {
    ($name:literal, $world:expr) => {
        insta::assert_snapshot!($name, $world.picture());
    };
}

#[test]
fn messages_at_every_breakpoint_and_theme() {
    picture!("messages_80x24", messages(dark(), 80, 24));
    let mut world = messages(dark(), 120, 36);
    world.keys("jj/");
    world.keys("key ~ eu and value.total");
    picture!("messages_condition_120x36", world);
    let mut world = messages(dark(), 160, 45);
    world.keys("/");
    world.type_line("key ~ eu and value.total > 100");
    world.keys("j");
    picture!("messages_160x45", world);
    picture!("messages_200x60", messages(dark(), 200, 60));
    picture!("messages_light", messages(theme(ThemeName::Light), 120, 36));
    picture!("messages_high_contrast", messages(theme(ThemeName::HighContrast), 120, 36));
    picture!("messages_16_colours", messages(dark().with_depth(Depth::Sixteen), 120, 36));
    let ascii = Theme { ascii: true, ..theme(ThemeName::Mono) };
    picture!("messages_no_colour_ascii", messages(ascii, 80, 24));
    let mut world = messages(dark(), 160, 45);
    world.keys("jr");
    picture!("messages_again_160x45", world);
}

#[test]
fn no_size_is_too_odd_for_messages() {
    for (columns, rows) in [(60, 16), (61, 17), (70, 20), (99, 29), (100, 16), (140, 30), (300, 90)] {
        let mut world = messages(dark(), columns, rows);
        for keys in ["", "G", "v"] {
            world.keys(keys);
            assert!(world.text().contains("OFFSET"), "{columns}x{rows}\n{}", world.text());
        }
        world.press(KeyCode::Tab);
        world.keys("jjjG");
        world.keys("/key = (");
        world.press(KeyCode::Esc);
        world.keys("o");
        assert!(world.text().contains("offset"), "{columns}x{rows}\n{}", world.text());
    }
}

#[test]
fn records_are_read_by_condition_offset_time_and_partition() {
    let mut world = messages(dark(), 120, 36);
    assert_eq!(offsets(&world).len(), 12);
    let newest_first = |all: &[(i32, i64)], partition| {
        let of: Vec<i64> = all.iter().filter(|(number, _)| *number == partition).map(|(_, offset)| *offset).collect();
        of.is_sorted_by(|left, right| left > right)
    };
    assert!((0..3).all(|partition| newest_first(&offsets(&world), partition)));
    for (condition, count) in [
        ("key ~ us-", 3),
        ("value.total > 100 and value.status = paid", 4),
        ("value = null", 1),
        ("value.items[0].sku = KB-7", 1),
        ("header.source = web", 12),
        ("partition < 0", 0),
        ("time > -1h", 12),
        ("KB-1", 3),
    ] {
        world.keys("/");
        for _ in 0..80 {
            world.press(KeyCode::Backspace);
        }
        world.type_line(condition);
        assert_eq!(offsets(&world).len(), count, "{condition}\n{}", world.text());
        let messages = world.model.messages.as_ref().expect("it is open");
        assert_eq!((messages.read, messages.matched), (12, count as u64), "{condition}");
    }
    // What cannot be read is not sent, and stays to be mended.
    world.keys("/");
    world.type_line(" nonsense = 1");
    assert!(world.model.messages.as_ref().is_some_and(|messages| messages.prompt.is_some()), "{}", world.text());
    world.press(KeyCode::Esc);
    world.keys("/");
    for _ in 0..80 {
        world.press(KeyCode::Backspace);
    }
    world.press(KeyCode::Enter);
    let all = offsets(&world);
    let (partition, last) = all[0];
    world.keys("o");
    world.type_line(&format!("{partition}:{}", last - 1));
    assert_eq!(offsets(&world), [(partition, last - 1), (partition, last)], "the oldest first");
    world.keys("o");
    world.type_line("start");
    assert_eq!(offsets(&world), all.iter().rev().copied().collect::<Vec<_>>());
    for time in ["1h", "T 0s", "T 6.000s"] {
        world.keys("t");
        world.type_line(time);
        assert_eq!(offsets(&world).len(), 12, "{time}\n{}", world.text());
    }
    world.keys("t");
    world.type_line("1ms");
    assert_eq!(offsets(&world).len(), 0, "all were a second ago");
    world.keys("f");
    assert_eq!(offsets(&world), all);
    assert!(world.model.messages.as_ref().is_some_and(|messages| matches!(messages.request.from, TailFrom::Last(_))));
}

#[test]
fn a_record_is_sent_and_sent_again_on_the_same_screen() {
    let mut world = messages(dark(), 160, 45);
    let before = offsets(&world).len();
    world.keys("p");
    assert!(world.text().contains("PART") && world.text().contains("Produce"), "both are seen\n{}", world.text());
    world.keys("eu-9");
    world.press(KeyCode::Tab);
    world.keys("{\"total\":1");
    assert!(world.text().contains("not valid JSON yet"), "{}", world.text());
    world.keys("}");
    world.press(KeyCode::Enter);
    world.press(KeyCode::Esc);
    world.pass(500);
    assert_eq!(offsets(&world).len(), before + 1);
    let newest = |world: &Simulated| world.model.messages.as_ref().and_then(|messages| messages.record().cloned());
    let sent = newest(&world).expect("it came");
    assert_eq!((sent.key.as_deref(), sent.value.as_deref()), (Some("eu-9"), Some("{\"total\":1}")));
    world.keys("r");
    world.press(KeyCode::Enter);
    world.press(KeyCode::Esc);
    world.pass(500);
    let again = newest(&world).expect("it came");
    assert_eq!((again.partition, again.offset), (sent.partition, sent.offset + 1));
    assert_eq!((again.key, again.value, again.headers), (sent.key, sent.value, sent.headers));
    world.keys("y");
    assert_eq!(world.asked.pop(), Some(Cmd::Copy("{\"total\":1}".into())));
}

#[test]
fn going_back_in_time_forgets_what_was_not_written_then() {
    let mut world = messages(dark(), 120, 36);
    assert_eq!(offsets(&world).len(), 12);
    world.say("rewind 5s");
    world.look();
    assert_eq!(offsets(&world).len(), 0, "{}", world.text());
    world.say("rewind --end");
    world.look();
    assert_eq!(offsets(&world).len(), 12);
    world.press(KeyCode::Esc);
    assert!(world.model.messages.is_none() && world.text().contains("COPIES"), "{}", world.text());
}

#[test]
fn a_dialog_that_reads_gives_the_reading_back() {
    let mut world = messages(dark(), 120, 36);
    world.keys("1");
    assert!(!world.text().contains("OFFSET") || world.text().contains("PARTITION"), "{}", world.text());
    world.keys("5");
    assert!(world.text().contains("customers-"), "it is open still\n{}", world.text());
    world.keys("jj");
    let selected = world.model.messages.as_ref().and_then(|messages| messages.selected);
    world.pass(500);
    assert!(selected.is_some());
    assert_eq!(world.model.messages.as_ref().and_then(|messages| messages.selected), selected);
}

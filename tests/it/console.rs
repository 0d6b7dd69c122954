//! The console on a scripted cluster: what stands on the screen at every size and theme, and what keys ask of the
//! cluster; its loop in a pseudo-terminal ([`terminal`]); and the program with brokers of its own ([`end_to_end`]).

mod end_to_end;
mod fake;
mod faults;
mod groups;
mod messages;
mod partition;
mod past;
mod pictures;
mod plain;
mod quorum;
mod simulated;
mod terminal;
mod topics;
mod wire;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use fake::{FakeCluster, Scene};
use kafkarium::cluster::view::ClusterPort;
use kafkarium::tui::commands;
use kafkarium::tui::draw::draw;
use kafkarium::tui::model::{Model, Screen};
use kafkarium::tui::msg::{Cmd, Msg};
use kafkarium::tui::run::{Answer, ask};
use kafkarium::tui::theme::{Depth, Theme, ThemeName};
use kafkarium::tui::update::update;
use kafkarium::tui::{overlays::Overlay, screenshot};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// A console without a terminal.
struct Console {
    model: Model,
    cluster: FakeCluster,
    /// What it asked of the terminal.
    asked: Vec<Cmd>,
}

impl Console {
    fn new(scene: Scene, theme: Theme, columns: u16, rows: u16) -> Console {
        let cluster = FakeCluster::new(scene);
        let commands = Arc::from(commands::palette(cluster.commands()));
        let model = Model::new(theme, commands, Rect::new(0, 0, columns, rows));
        let mut console = Console { model, cluster, asked: Vec::new() };
        console.refresh();
        console
    }

    fn dark(scene: Scene, columns: u16, rows: u16) -> Console {
        Console::new(scene, Theme::new(ThemeName::Dark), columns, rows)
    }

    /// Asks for pictures until the window stands still.
    fn refresh(&mut self) {
        for _ in 0..3 {
            let view = self.cluster.view(&self.model.view_request());
            self.give(Msg::View(view));
        }
    }

    fn give(&mut self, msg: Msg) {
        let mut queue = vec![msg];
        while let Some(msg) = queue.pop() {
            for cmd in update(&mut self.model, msg) {
                match ask(&mut self.cluster, cmd) {
                    Answer::Said(said) => queue.extend(said),
                    Answer::NotMine(cmd) => self.asked.push(cmd),
                }
            }
        }
        for reply in self.cluster.replies() {
            self.give(Msg::Reply(reply));
        }
    }

    fn press(&mut self, code: KeyCode) {
        self.give(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        self.refresh();
    }

    /// Presses one key a character.
    fn keys(&mut self, text: &str) {
        for character in text.chars() {
            self.press(KeyCode::Char(character));
        }
    }

    fn buffer(&self) -> Buffer {
        let mut buffer = Buffer::empty(self.model.area);
        draw(&self.model, &self.model.view, &self.model.theme, self.model.area, &mut buffer);
        buffer
    }

    fn text(&self) -> String {
        screenshot::text(&self.buffer())
    }
}

/// The events of a recording: code and data. Every line is checked by the format's definition (asciicast v3).
fn read_cast(text: &str) -> Vec<(String, String)> {
    let mut lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON"));
    let header = lines.next().expect("a header");
    assert_eq!(header["version"], 3);
    assert!(header["term"]["cols"].as_u64() > Some(0) && header["term"]["rows"].as_u64() > Some(0), "{header}");
    let event = |line: serde_json::Value| {
        let (interval, code, data) = (line[0].as_f64(), line[1].as_str(), line[2].as_str());
        assert!(line.as_array().map(Vec::len) == Some(3) && interval >= Some(0.0), "{line}");
        let code = code.filter(|code| ["o", "i", "m", "r", "x"].contains(code)).expect("a kind of event");
        (code.to_owned(), data.expect("data").to_owned())
    };
    lines.map(event).collect()
}

/// Every cell's look as a grid of letters, with what each letter stands for. `.` is plain text on the canvas.
fn looks(buffer: &Buffer) -> String {
    let mut letters: BTreeMap<String, char> = BTreeMap::new();
    let mut order = Vec::new();
    let names = ('a'..='z').chain('A'..='Z').chain('0'..='9').chain('α'..='ω');
    let mut free = names.collect::<Vec<_>>().into_iter();
    let mut grid = String::new();
    for row in buffer.area.rows() {
        let mut line = String::new();
        for position in row.positions() {
            let cell = &buffer[position];
            let seen = if cell.symbol() == " " && !cell.modifier.contains(Modifier::REVERSED) {
                format!("on {}", hex(cell.bg))
            } else {
                format!("{} on {} {:?}", hex(cell.fg), hex(cell.bg), cell.modifier)
            };
            let letter = *letters.entry(seen.clone()).or_insert_with(|| {
                let letter = if order.is_empty() { '.' } else { free.next().unwrap_or('?') };
                order.push((letter, seen));
                letter
            });
            line.push(letter);
        }
        grid.push_str(line.trim_end_matches('.'));
        grid.push('\n');
    }
    for (letter, seen) in order {
        let _ = writeln!(grid, "{letter} {seen}");
    }
    grid
}

fn hex(color: Color) -> String {
    match color {
        Color::Rgb(red, green, blue) => format!("{red:02x}{green:02x}{blue:02x}"),
        other => other.to_string(),
    }
}

macro_rules! picture {
    ($name:literal, $console:expr) => {
        let buffer = $console.buffer();
        // How many commands there are is none of the picture's business.
        let text = screenshot::text(&buffer).replace(&format!(" of {} │", $console.model.commands.len()), " of 99 │");
        insta::assert_snapshot!($name, format!("{text}\n{}", looks(&buffer)));
    };
}

fn theme(name: ThemeName) -> Theme {
    Theme::new(name)
}

#[test]
fn a_failover_at_every_breakpoint() {
    picture!("failover_80x24", Console::dark(Scene::Failover, 80, 24));
    picture!("failover_120x36", Console::dark(Scene::Failover, 120, 36));
    picture!("failover_160x45", Console::dark(Scene::Failover, 160, 45));
    picture!("failover_200x60", Console::dark(Scene::Failover, 200, 60));
}

#[test]
fn a_failover_in_every_theme() {
    picture!("failover_light", Console::new(Scene::Failover, theme(ThemeName::Light), 160, 45));
    picture!("failover_high_contrast", Console::new(Scene::Failover, theme(ThemeName::HighContrast), 160, 45));
    let sixteen = theme(ThemeName::Dark).with_depth(Depth::Sixteen);
    picture!("failover_16_colours", Console::new(Scene::Failover, sixteen, 160, 45));
    let ascii = Theme { ascii: true, ..theme(ThemeName::Mono) };
    picture!("failover_no_colour_ascii", Console::new(Scene::Failover, ascii, 120, 36));
    let cube = theme(ThemeName::Dark).with_depth(Depth::Cube);
    picture!("failover_256_colours", Console::new(Scene::Failover, cube, 80, 24));
}

#[test]
fn other_states() {
    picture!("healthy_160x45", Console::dark(Scene::Healthy, 160, 45));
    picture!("before_the_fence_120x36", Console::dark(Scene::BeforeTheFence, 120, 36));
    picture!("catching_up_120x36", Console::dark(Scene::CatchingUp, 120, 36));
    picture!("no_broker_120x36", Console::dark(Scene::NoBroker, 120, 36));
    picture!("no_controller_80x24", Console::dark(Scene::NoController, 80, 24));
    picture!("starting_80x24", Console::dark(Scene::Starting, 80, 24));
    picture!("empty_120x36", Console::dark(Scene::Empty, 120, 36));
    picture!("too_small_52x14", Console::dark(Scene::Healthy, 52, 14));
    picture!("large_160x45", Console::dark(Scene::Large, 160, 45));
}

#[test]
fn dialogs() {
    let with = |columns, rows, keys: &str| {
        let mut console = Console::dark(Scene::Failover, columns, rows);
        console.keys(keys);
        console
    };
    picture!("palette_160x45", with(160, 45, ":kill 3"));
    picture!("palette_80x24", with(80, 24, ":ki"));
    picture!("help_160x45", with(160, 45, "?"));
    picture!("why_80x24", with(80, 24, "w"));
    picture!("actions_80x24", with(80, 24, "x"));
    picture!("cut_80x24", with(80, 24, "X"));
    picture!("delete_120x36", with(120, 36, "D"));
    picture!("new_topic_120x36", with(120, 36, "norders2"));
    picture!("produce_80x24", with(80, 24, "p"));
    let mut console = with(120, 36, "c");
    console.press(KeyCode::Enter);
    let batch = console.cluster.poll_tail(kafkarium::cluster::view::TailId(1), 100);
    console.give(Msg::Tail(batch));
    console.press(KeyCode::Down);
    picture!("tail_120x36", console);
}

#[test]
fn a_port_that_is_taken() {
    use kafkarium::tui::pen::Pen;
    use kafkarium::tui::screens::start::{PortTaken, port_taken};
    let page = PortTaken {
        port: 9092,
        holder: Some("java (pid 4121), probably another Kafka".into()),
        free: Some((19092, 19094)),
    };
    let area = Rect::new(0, 0, 80, 24);
    let mut buffer = Buffer::empty(area);
    let theme = theme(ThemeName::Dark);
    port_taken(&mut Pen { buffer: &mut buffer, theme: &theme }, area, &page);
    let text = screenshot::text(&buffer);
    for part in ["Port 9092 is taken", "java (pid 4121)", "use 19092 to 19094", "kafkarium --port 19092"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    for columns in 1..40 {
        for rows in 1..20 {
            let area = Rect::new(0, 0, columns, rows);
            let mut buffer = Buffer::empty(area);
            port_taken(&mut Pen { buffer: &mut buffer, theme: &theme }, area, &page);
        }
    }
}

/// Around every breakpoint and far from them, each state and each dialog must be drawn without leaving the buffer.
#[test]
fn no_size_is_too_odd() {
    const COLUMNS: [u16; 17] = [1, 2, 5, 30, 59, 60, 61, 79, 80, 99, 100, 119, 139, 140, 179, 180, 210];
    const ROWS: [u16; 14] = [1, 2, 5, 15, 16, 17, 23, 24, 29, 30, 39, 40, 60, 70];
    let mut consoles: Vec<Console> = Scene::ALL.into_iter().map(|scene| Console::dark(scene, 80, 24)).collect();
    for keys in [":k", "?", "w", "x", "X", "D", "n", "p", "z", "/or", "c"] {
        let mut console = Console::dark(Scene::Failover, 80, 24);
        console.keys(keys);
        console
            .give(Msg::Notice { good: false, text: "It did not work, and this is a rather long reason for it".into() });
        consoles.push(console);
    }
    for console in &mut consoles {
        for columns in COLUMNS {
            for rows in ROWS {
                console.give(Msg::Resize(columns, rows));
                console.buffer();
            }
        }
    }
}

/// A kill is told before it happens: moving to a column shows it and then the key acts at once; without that the
/// first press shows it.
#[test]
fn a_kill_is_told_first() {
    let mut console = Console::dark(Scene::Healthy, 120, 36);
    console.keys("K");
    assert!(console.cluster.submitted.is_empty(), "the first press only tells");
    console.keys("K");
    assert_eq!(console.cluster.submitted, ["kill 1"]);
    console.keys("l");
    assert!(console.text().contains("4 partitions get new leaders."), "{}", console.text());
    console.keys("K");
    assert_eq!(console.cluster.submitted, ["kill 1", "kill 2"]);
    // The broker is dead now: the same key is refused, and another column's consequence does not stand in for it.
    console.keys("KK");
    assert_eq!(console.cluster.submitted.len(), 2);
    assert!(console.text().contains("Broker 2 is dead already."));
}

#[test]
fn what_can_be_undone_acts_at_once() {
    let mut console = Console::dark(Scene::Healthy, 120, 36);
    console.keys("SHu");
    assert_eq!(console.cluster.submitted, ["suspend 1", "heal", "undo"]);
    console.keys("llO");
    assert_eq!(console.cluster.submitted.len(), 3, "a power loss loses records: it is told first");
    console.keys("O");
    assert_eq!(console.cluster.submitted[3], "powerloss 3");
}

#[test]
fn a_told_consequence_does_not_stand_for_ever() {
    let mut console = Console::dark(Scene::Healthy, 120, 36);
    console.keys("K");
    console.give(Msg::Tick(60_000));
    console.keys("K");
    assert!(console.cluster.submitted.is_empty());
}

#[test]
fn restart_starts_what_is_dead() {
    let mut console = Console::dark(Scene::Failover, 120, 36);
    console.keys("R");
    assert_eq!(console.cluster.submitted, ["restart 1"]);
    console.keys("lR");
    assert_eq!(console.cluster.submitted, ["restart 1", "start 2"]);
}

#[test]
fn a_link_is_cut_by_two_keys() {
    let mut console = Console::dark(Scene::Healthy, 120, 36);
    console.keys("X3");
    assert_eq!(console.cluster.submitted, ["link cut 1 3"]);
    assert!(console.model.overlays.is_empty());
}

#[test]
fn the_world_is_paused_slowed_and_run() {
    let mut console = Console::dark(Scene::Healthy, 120, 36);
    console.keys("-");
    console.keys(" ");
    assert!(console.text().contains("PAUSED"));
    console.keys(" ");
    assert_eq!(console.cluster.submitted, ["speed 0.5", "pause", "run"]);
    assert!(!console.text().contains("PAUSED"));
}

#[test]
fn deleting_a_topic_asks_and_keeps_it_by_default() {
    let mut console = Console::dark(Scene::Failover, 120, 36);
    console.keys("jjD");
    let text = console.text();
    assert!(text.contains("Delete topic orders?") && text.contains("610 MB"), "{text}");
    console.press(KeyCode::Enter);
    console.press(KeyCode::Esc);
    assert!(console.cluster.submitted.is_empty());
    console.keys("DD");
    assert_eq!(console.cluster.submitted, ["topic delete orders"]);
}

#[test]
fn the_palette_completes_before_it_runs() {
    let mut console = Console::dark(Scene::Failover, 120, 36);
    console.keys(":kil");
    console.press(KeyCode::Enter);
    assert!(console.cluster.submitted.is_empty(), "kill needs to know whom");
    console.keys("3");
    console.press(KeyCode::Enter);
    assert_eq!(console.cluster.submitted, ["kill 3"]);
    assert!(console.model.overlays.is_empty());
    // Up in an empty palette brings the last line back.
    console.keys(":");
    console.press(KeyCode::Up);
    console.press(KeyCode::Enter);
    assert_eq!(console.cluster.submitted, ["kill 3", "kill 3"]);
}

/// An empty argument must never be filled in and run by one key: the highlighted broker would die.
#[test]
fn enter_behind_a_verb_kills_nobody() {
    let mut console = Console::dark(Scene::Failover, 120, 36);
    console.keys(":kill ");
    console.press(KeyCode::Enter);
    assert!(console.cluster.submitted.is_empty());
}

#[test]
fn every_command_of_the_language_is_in_the_palette() {
    let console = Console::dark(Scene::Failover, 120, 36);
    for doc in console.cluster.commands() {
        assert!(console.model.commands.iter().any(|known| known.name == doc.name), "{}", doc.name);
    }
    let mut names: Vec<_> = console.model.commands.iter().map(|doc| doc.name.clone()).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a verb stands in the palette twice");
}

#[test]
fn the_consoles_own_verbs_change_the_picture() {
    let mut console = Console::dark(Scene::Failover, 120, 36);
    let run = |console: &mut Console, line: &str| {
        console.keys(":");
        console.give(Msg::Paste(line.into()));
        console.press(KeyCode::Enter);
    };
    run(&mut console, "theme light");
    assert_eq!(console.model.theme.name, ThemeName::Light);
    run(&mut console, "filter payments");
    assert_eq!(console.model.view.rows.total, 4);
    run(&mut console, "screenshot here.svg");
    run(&mut console, "record here.cast");
    run(&mut console, "record off");
    let asked = [Cmd::Screenshot("here.svg".into()), Cmd::Record(Some("here.cast".into())), Cmd::Record(None)];
    assert_eq!(console.asked, asked);
    console.asked.clear();
    console.give(Msg::Key(KeyEvent::new(KeyCode::Char('s'), KeyModifiers::CONTROL)));
    let named = |path: &std::path::Path| path.to_string_lossy().starts_with("kafkarium-cluster-");
    assert!(matches!(&console.asked[..], [Cmd::Screenshot(path)] if named(path)), "{:?}", console.asked);
    run(&mut console, "theme pink");
    assert!(console.text().contains("There is no theme"), "{}", console.text());
    assert!(console.cluster.submitted.is_empty(), "none of it concerns the cluster");
}

#[test]
fn a_filter_narrows_while_it_is_typed_and_escape_clears_it() {
    let mut console = Console::dark(Scene::Failover, 120, 36);
    console.keys("/pay");
    assert_eq!(console.model.view.rows.total, 4);
    console.press(KeyCode::Enter);
    console.keys("j");
    assert_eq!(console.model.view.rows.total, 4);
    console.press(KeyCode::Esc);
    assert_eq!(console.model.view.rows.total, 28);
    console.keys("/nothing");
    console.press(KeyCode::Enter);
    assert!(console.text().contains("No partition matches nothing."), "{}", console.text());
}

/// The selection is a name: it stays on its partition while rows change places around it.
#[test]
fn the_selection_stays_with_its_partition() {
    let mut console = Console::dark(Scene::Failover, 120, 36);
    console.keys("jj");
    let selected = console.model.cluster.selected.clone();
    assert_eq!(selected.as_ref().map(ToString::to_string).as_deref(), Some("orders-0"));
    console.keys("/orders");
    console.press(KeyCode::Enter);
    assert_eq!(console.model.cluster.selected, selected);
    assert_eq!(console.model.cluster.selected_index, 0);
}

/// With 10,000 partitions a key press and a frame cost what is in view.
#[test]
fn ten_thousand_partitions_cost_what_is_in_view() {
    let mut console = Console::dark(Scene::Large, 160, 45);
    console.cluster.rows_built = 0;
    console.keys("G");
    assert!(console.text().contains("big-9999"), "{}", console.text());
    console.keys("kkkg");
    assert!(console.text().contains("big-0 "), "{}", console.text());
    let pictures = 5 * 3;
    assert!(console.cluster.rows_built <= pictures * 45, "{} rows for {pictures} pictures", console.cluster.rows_built);
}

#[test]
fn errors_stay_until_they_are_dismissed_and_good_news_go() {
    let mut console = Console::dark(Scene::Healthy, 120, 36);
    console.keys("S");
    assert!(console.text().contains("suspend 1: done"));
    console.give(Msg::Tick(7_000));
    assert!(!console.text().contains("suspend 1: done"));
    console.keys(":start 4");
    console.press(KeyCode::Enter);
    console.give(Msg::Tick(60_000));
    assert!(console.text().contains("Broker 4 is up already"), "{}", console.text());
    console.press(KeyCode::Esc);
    assert!(!console.text().contains("Broker 4 is up already"));
}

#[test]
fn output_of_a_command_gets_a_page() {
    let mut console = Console::dark(Scene::Healthy, 120, 36);
    console.keys(":topic list");
    console.press(KeyCode::Enter);
    assert!(matches!(console.model.overlays.last(), Some(Overlay::Output(_))), "{}", console.text());
    console.press(KeyCode::Esc);
    assert!(console.model.overlays.is_empty());
}

#[test]
fn quitting_asks_only_if_something_would_be_lost() {
    let mut console = Console::dark(Scene::Healthy, 120, 36);
    console.keys("q");
    assert_eq!(console.asked, [Cmd::Quit]);
    let mut console = Console::dark(Scene::Large, 120, 36);
    console.keys("q");
    assert!(console.asked.is_empty());
    assert!(console.text().contains("The data of this run is removed."));
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    console.give(Msg::Key(control_c));
    assert_eq!(console.asked, [Cmd::Quit]);
}

#[test]
fn y_copies_the_bootstrap_servers() {
    let mut console = Console::dark(Scene::Empty, 120, 36);
    console.keys("y");
    assert_eq!(console.asked, [Cmd::Copy("localhost:9092,localhost:9093,localhost:9094".into())]);
}

#[test]
fn a_record_is_produced_by_hand() {
    let mut console = Console::dark(Scene::Failover, 120, 36);
    console.keys("jjpeu-1");
    console.press(KeyCode::Tab);
    console.keys("hello: world?");
    console.press(KeyCode::Enter);
    let draft = &console.cluster.produced[0];
    assert_eq!(
        (&draft.topic[..], draft.key.as_deref(), draft.value.as_deref()),
        ("orders", Some("eu-1"), Some("hello: world?"))
    );
    assert!(console.text().contains("Sent 1 record to orders-3"));
    assert!(matches!(console.model.overlays.last(), Some(Overlay::Form(_))), "the form stays for the next record");
}

#[test]
fn the_mouse_selects_opens_and_scrolls() {
    let mut console = Console::dark(Scene::Failover, 120, 36);
    let lines: Vec<String> = console.text().lines().map(str::to_string).collect();
    let row = lines.iter().position(|line| line.contains("payments-0")).unwrap() as u16;
    let mouse = |kind, column, row| Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    let press = MouseEventKind::Down(MouseButton::Left);
    console.give(mouse(press, 60, row));
    assert_eq!(console.model.cluster.selected.as_ref().map(ToString::to_string).as_deref(), Some("payments-0"));
    assert_eq!(console.model.cluster.broker.map(|id| id.0), Some(3));
    console.give(mouse(press, 60, row));
    assert_eq!(console.model.screen, Screen::Partition, "a double click opens");
    console.press(KeyCode::Esc);
    console.give(mouse(MouseEventKind::ScrollDown, 5, row));
    assert_eq!(console.model.cluster.selected.as_ref().map(ToString::to_string).as_deref(), Some("inventory-1"));
    console.give(mouse(press, 100, 2));
    assert!(matches!(console.model.overlays.last(), Some(Overlay::Why(_))), "the headline tells why");
}

#[test]
fn the_events_of_the_timeline_can_be_walked() {
    let mut console = Console::dark(Scene::Failover, 160, 45);
    console.keys("{{");
    assert!(console.text().contains("fenced 2, 3 leaders  1.2 s ago"), "{}", console.text());
    console.press(KeyCode::End);
    assert!(!console.text().contains("1.2 s ago"));
}

/// A long walk of arbitrary keys over arbitrary sizes, in every state: nothing panics.
#[test]
fn no_keys_are_too_odd() {
    let keys: Vec<KeyCode> = " .-=+{}'ZkjhlgGKRSOXHupcnDszd1:/?wxyq#éW3"
        .chars()
        .map(KeyCode::Char)
        .chain([KeyCode::Enter, KeyCode::Esc, KeyCode::Tab, KeyCode::BackTab, KeyCode::Up, KeyCode::Down])
        .chain([KeyCode::PageDown, KeyCode::PageUp, KeyCode::End, KeyCode::Home, KeyCode::Backspace, KeyCode::Delete])
        .collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for scene in Scene::ALL {
        let mut console = Console::dark(scene, 100, 30);
        for step in 0..400 {
            console.press(keys[next(keys.len())]);
            if step % 40 == 0 {
                console.give(Msg::Resize(next(220) as u16 + 1, next(70) as u16 + 1));
                console.refresh();
            }
            if step % 10 == 0 {
                console.buffer();
            }
        }
    }
}

/// Nothing but the theme names a colour, so that every theme reaches every cell.
#[test]
fn colours_are_named_in_the_theme_only() {
    fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("the sources are there").flatten() {
            let path = entry.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_string();
            if path.is_dir() {
                walk(&path, found);
            } else if !matches!(&name[..], "theme.rs" | "screenshot.rs") {
                let source = std::fs::read_to_string(&path).expect("a source is text");
                if source.contains("Color::") {
                    found.push(name);
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tui"), &mut found);
    assert!(found.is_empty(), "colours are named in {found:?}");
}

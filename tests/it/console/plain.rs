//! Plain mode: what a seeded world with a kill is told as, and the program in pipes, spoken to by lines.

use kafkarium::cluster::command::parse_line;
use kafkarium::cluster::demo::Demo;
use kafkarium::cluster::sim::run::Run;
use kafkarium::cluster::sim::stage::Stage;
use kafkarium::cluster::view::{ClusterPort, ViewRequest};
use kafkarium::tui::plain::Narrator;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A world that is told in lines.
struct Heard {
    stage: Stage,
    narrator: Narrator,
    now_ms: u64,
    lines: Vec<String>,
}

impl Heard {
    fn say(&mut self, line: &str) {
        let reply = self.stage.execute(parse_line(line).expect("a command"));
        assert!(reply.is_done(), "{line}: {reply:?}");
        self.lines.push(format!("> {line}"));
    }

    /// Real time passes, and changes are told as often as in a session.
    fn pass(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 250 {
            self.stage.pass(Duration::from_millis(250));
            while self.stage.pass(Duration::ZERO) {}
            self.now_ms += 250;
            let view = self.stage.view(&ViewRequest::default());
            self.lines.extend(self.narrator.changes(&view, self.now_ms));
        }
    }
}

#[test]
fn a_failover_in_lines() {
    let stage = Stage::new(Run::open(7, 3), 7);
    let mut heard = Heard { stage, narrator: Narrator::default(), now_ms: 0, lines: Vec::new() };
    let view = heard.stage.view(&ViewRequest::default());
    heard.lines = heard.narrator.opening(&view);
    heard.say("topic create orders --partitions 3 --replicas 3");
    heard.say("produce orders --rate 50/s");
    heard.pass(4_000);
    heard.say("kill leader of orders-0");
    heard.pass(3_000);
    heard.say("restart killed");
    heard.pass(4_000);
    let text = heard.lines.join("\n");
    assert!(text.is_ascii(), "a voice cannot say it all:\n{text}");
    insta::assert_snapshot!("plain_failover", text);
}

/// The program with these lines at its input, which then ends.
fn kafkarium(words: &[&str], input: &str) -> Output {
    kafkarium_in(tempfile::tempdir().expect("a folder").path(), words, input)
}

/// The same in a folder.
fn kafkarium_in(home: &Path, words: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafkarium"));
    command.args(words).env_clear().env("HOME", home).current_dir(home);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // It may end before it has read everything.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn lines_in_a_pipe_run_in_order_and_are_answered_in_lines() {
    let script = "# what a script says\nhelp kill\ntopic create orders --partitions 1 --replicas 3\n\
                  wait isr orders-0 = 1,2,3 --within 20s\nkill 2\nwait alive = 2 --within 20s\nkil 2\n\
                  partitions orders\ngroups\nbrokers\nwhy broker 2\ntheme light\ntopic delete orders\nno\n\
                  topic delete orders\nyes\npartitions orders\nstatus\nquit\nkill 1\n";
    let Output { status, stdout, stderr } =
        kafkarium(&["up", "--sim", "--seed", "7", "--empty", "--speed", "10", "--plain"], script);
    let (out, err) = (text(&stdout), text(&stderr));
    assert_eq!((status.code(), &err[..]), (Some(0), ""), "{out}");
    let mut rest = &out[..];
    for part in [
        "Kafkarium: a simulated cluster of 3 brokers, seed 7.\n",
        "help lists the commands, quit leaves.\n",
        "\nkill ",
        "For example: kill",
        "opic orders created",
        "What it means: ",
        "Broker 2: killed ",
        "theme changes a screen, and there is none here.\n",
        "topic delete orders cannot be undone. Type yes to do it, no to leave it.\n",
        "Left as it was.\n",
        "topic delete orders cannot be undone.",
        "There is no such partition.\n",
        "\nLeft.\n",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("`{part}` does not come in its place in\n{out}"));
        rest = &rest[at + part.len()..];
    }
    for part in ["did you mean", "orders-0: leader ", "Kill -9 broker 2.", "There is no group."] {
        assert!(out.contains(part), "{part} is missing in\n{out}");
    }
    assert!(!out.contains("kill 1"), "what stands after quit was run\n{out}");
    assert!(!out.contains('\x1b') && !out.contains('│'), "{out}");
}

#[test]
fn without_a_terminal_the_console_is_plain_and_ends_with_its_input() {
    let Output { status, stdout, stderr } = kafkarium(&["--port", "0", "--ephemeral", "--empty"], "brokers\n");
    let out = text(&stdout);
    assert_eq!((status.code(), text(&stderr)), (Some(0), String::new()), "{out}");
    for part in ["Kafkarium: a cluster of 3 brokers.", "Clients connect to 127.0.0.1:", "Broker 3: ", "\nLeft.\n"] {
        assert!(out.contains(part), "{part} is missing in\n{out}");
    }
}

#[test]
fn a_session_can_be_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("session.cast");
    let record = file.to_string_lossy();
    let words = ["up", "--sim", "--seed", "7", "--plain", "--record", &record];
    let output = kafkarium(&words, "pause\nstatus\nquit\n");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let events = super::read_cast(&std::fs::read_to_string(&file).expect("a recording"));
    let shown: String = events.iter().filter(|(code, _)| code == "o").map(|(_, data)| &data[..]).collect();
    assert_eq!(shown.replace("\r\n", "\n"), text(&output.stdout), "what was recorded is what was said");
    assert!(events.contains(&("m".into(), "pause".into())), "{events:?}");
    assert_eq!(events.last(), Some(&("x".into(), "0".into())));
}

#[test]
fn what_was_done_is_saved_as_a_demo_that_passes_its_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "save early\ntopic create orders --partitions 2 --replicas 3\nwait isr orders-0 = 1,2,3 --within 20s\n\
                  link cut 1 to 2\nkill 3\nwait alive = 2 --within 20s\nsave two words\nsave done\nsave done\nquit\n";
    let words = ["up", "--sim", "--seed", "7", "--empty", "--speed", "10", "--plain"];
    let Output { status, stdout, stderr } = kafkarium_in(folder.path(), &words, script);
    let (out, err) = (text(&stdout), text(&stderr));
    assert_eq!((status.code(), &err[..]), (Some(0), ""), "{out}");
    for part in [
        "Failed: nothing was broken yet",
        "Failed: a demo's name is one word",
        "Wrote done.md; kafkarium play done.md --check passes.",
        "Failed: done.md is there already: save done --force writes over it",
    ] {
        assert!(out.contains(part), "{part} is missing in\n{out}");
    }
    let Output { status, stdout, stderr } = kafkarium_in(folder.path(), &["play", "done.md", "--check"], "");
    assert_eq!(status.code(), Some(0), "{}{}", text(&stdout), text(&stderr));
    let saved = std::fs::read_to_string(folder.path().join("done.md")).expect("a file");
    assert!(saved.contains("link cut 1 to 2\n----\n") && saved.contains("\nkill 3\n----\n"), "{saved}");
}

#[test]
fn what_was_done_to_a_live_cluster_is_saved_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "topic create orders --partitions 1 --replicas 3\nkill 2\nsave live-kill\n";
    let words = ["--port", "0", "--ephemeral", "--empty"];
    let Output { status, stdout, stderr } = kafkarium_in(folder.path(), &words, script);
    assert_eq!((status.code(), text(&stderr)), (Some(0), String::new()), "{}", text(&stdout));
    let saved = std::fs::read_to_string(folder.path().join("live-kill.md")).expect("a file");
    assert!(saved.contains("live: true") && saved.contains("topic create orders") && saved.contains("\nkill 2\n"));
    Demo::parse("live-kill.md", &saved).unwrap_or_else(|mistake| panic!("{mistake}\n{saved}"));
}

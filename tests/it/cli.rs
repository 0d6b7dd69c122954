//! The program as a user or a script runs it: what is written where, and how it ends.

use kafkarium::cli::exit::Exit;
use kafkarium::cluster::command::{Command as Line, Execute, Reply};
use kafkarium::cluster::control_socket::ControlServer;
use kafkarium::cluster::data_dir::DataDir;
use kafkarium::cluster::options::Place;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

/// The program with nothing of the user's around it.
fn kafkarium(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafkarium"));
    command.env_clear().env("HOME", home).env("XDG_RUNTIME_DIR", home.join("run")).current_dir(home);
    command
}

fn run(home: &Path, words: &[&str]) -> (Exit, String, String) {
    let Output { status, stdout, stderr } = kafkarium(home).args(words).output().expect("it starts");
    let code = status.code().unwrap_or_else(|| panic!("{words:?} was ended by a signal"));
    let exit = Exit::from_code(u8::try_from(code).expect("an exit code has 8 bits"));
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (exit, text(stdout), text(stderr))
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Has one broker, 2.
struct OneBroker;

impl Execute for OneBroker {
    fn execute(&self, command: Line) -> Reply {
        match command.to_string().as_str() {
            "kill 2" => Reply::told("Broker 2 is dead.", json!({"brokers": [2]})),
            "wait lost = 1 --within 1s" => Reply::timed_out("lost is 0"),
            line => Reply::failed(format!("`{line}`: there is only broker 2")),
        }
    }
}

#[test]
fn help_names_the_verbs_and_the_exit_codes() {
    let home = home();
    let (exit, out, err) = run(home.path(), &["--help"]);
    assert_eq!((exit, err.as_str()), (Exit::Done, ""));
    insta::assert_snapshot!("help", out);
    let (_, out, _) = run(home.path(), &["ctl", "link", "cut", "--help"]);
    insta::assert_snapshot!("help_link_cut", out);
}

#[test]
fn version_tells_what_is_embedded() {
    let home = home();
    let (exit, out, _) = run(home.path(), &["--version"]);
    assert_eq!(exit, Exit::Done);
    for part in ["kafkarium 0.1.0", "kafka-protocol 0.18.0", "redb 4.6.0", "Apache Kafka 4"] {
        assert!(out.contains(part), "{out}");
    }
}

#[test]
fn completions_and_manual_are_written_to_standard_output() {
    let home = home();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (exit, out, err) = run(home.path(), &["completions", shell]);
        assert!(exit == Exit::Done && out.contains("powerloss") && err.is_empty(), "{shell}");
    }
    let (exit, out, _) = run(home.path(), &["man"]);
    assert!(exit == Exit::Done && out.contains(".SH \"COMMAND LANGUAGE\""));
    let pages = home.path().join("pages");
    let (exit, ..) = run(home.path(), &["man", "--dir", &pages.to_string_lossy()]);
    assert!(exit == Exit::Done && pages.join("kafkarium.1").is_file() && pages.join("kafkarium-ctl.1").is_file());
}

#[test]
fn ctl_ends_with_what_the_command_came_to() {
    let home = home();
    let server = ControlServer::bind(&home.path().join("s"), Arc::new(OneBroker)).expect("bound");
    let socket = server.path().to_string_lossy().into_owned();
    let ctl = |words: &[&str]| run(home.path(), &[&["ctl", "--socket", &socket], words].concat());
    let told = |exit, out: &str, err: &str| (exit, out.to_owned(), err.to_owned());
    assert_eq!(ctl(&["kill", "2"]), told(Exit::Done, "Broker 2 is dead.\n", ""));
    assert_eq!(ctl(&["kill", "3"]), told(Exit::Failed, "", "kafkarium: `kill 3`: there is only broker 2\n"));
    assert_eq!(ctl(&["wait", "lost = 1", "--within", "1s"]), told(Exit::TimedOut, "", "kafkarium: lost is 0\n"));
    assert_eq!(ctl(&["kil", "2"]), told(Exit::Usage, "", "kafkarium: no verb `kil`: did you mean `kill`?\n"));
    let nearest = "kafkarium: no verb `topic creat`: did you mean `topic create`?\n";
    assert_eq!(ctl(&["topic", "creat", "x"]), told(Exit::Usage, "", nearest));
    let (exit, out, err) = ctl(&["kill", "2", "--output", "json"]);
    let answer: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((exit, err.as_str()), (Exit::Done, ""));
    assert_eq!(answer, json!({"ok": true, "text": "Broker 2 is dead.", "data": {"brokers": [2]}, "exit_code": 0}));
    let (exit, out, err) = ctl(&["--output", "json", "kill", "3"]);
    assert!(exit == Exit::Failed && err.is_empty() && out.contains("\"ok\":false"), "{out} {err}");
}

#[test]
fn ctl_finds_the_only_one_that_runs() {
    let home = home();
    let (exit, _, err) = run(home.path(), &["ctl", "heal"]);
    assert!(exit == Exit::NobodyThere && err.contains("no kafkarium runs"), "{err}");
    let default = home.path().join(".local/share/kafkarium");
    let mut held = DataDir::open(&Place::Folder(default)).expect("free");
    let server = ControlServer::bind(&held.default_socket(), Arc::new(OneBroker)).expect("bound");
    held.tell(Some(server.path().to_owned())).expect("told");
    assert_eq!(run(home.path(), &["ctl", "kill", "2"]).0, Exit::Done);
    let other = DataDir::open(&Place::Folder(home.path().join("run/kafkarium/1-a"))).expect("free");
    let (exit, _, err) = run(home.path(), &["ctl", "kill", "2"]);
    assert!(exit == Exit::Usage && err.contains("several kafkariums run"), "{err}");
    let folder = held.folder().to_string_lossy().into_owned();
    assert_eq!(run(home.path(), &["ctl", "--data", &folder, "kill", "2"]).0, Exit::Done);
    drop(other);
}

#[test]
fn data_in_use_are_left_alone() {
    let home = home();
    let folder = home.path().join("d");
    let words = |verb| ["data", verb, "--yes", "--data", "d"];
    let (exit, _, err) = run(home.path(), &words("reset"));
    assert!(exit == Exit::NoInput && !folder.exists(), "{err}");
    let held = DataDir::open(&Place::Folder(folder.clone())).expect("free");
    std::fs::write(folder.join("log"), "records").expect("written");
    let (exit, _, err) = run(home.path(), &words("reset"));
    assert!(exit == Exit::DataInUse && err.contains("in use by another kafkarium (process"), "{err}");
    drop(held);
    let (exit, _, err) = run(home.path(), &["data", "reset", "--data", "d"]);
    assert!(exit == Exit::Usage && folder.join("log").exists(), "{err}");
    assert_eq!(run(home.path(), &words("reset")).0, Exit::Done);
    assert!(!folder.join("log").exists());
}

#[test]
fn data_are_compacted() {
    let home = home();
    let folder = home.path().join("d");
    drop(DataDir::open(&Place::Folder(folder.clone())).expect("free"));
    let path = folder.join("broker-1.redb");
    let database = redb::Database::create(&path).expect("created");
    let table: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("log");
    for round in 0..2 {
        let write = database.begin_write().expect("begun");
        let mut rows = write.open_table(table).expect("opened");
        for key in 0..200_u64 {
            if round == 0 { rows.insert(key, &[7_u8; 16_384][..]).map(drop) } else { rows.remove(key).map(drop) }
                .expect("written");
        }
        drop(rows);
        write.commit().expect("committed");
    }
    drop(database);
    let size = || std::fs::metadata(&path).expect("there").len();
    let before = size();
    let (exit, out, err) = run(home.path(), &["data", "compact", "--data", "d"]);
    assert_eq!(exit, Exit::Done, "{err}");
    assert!(out.starts_with("1 files:") && size() < before / 2, "{out}: {before} to {}", size());
}

#[test]
fn a_closed_pipe_is_no_error() {
    use std::io::Read;
    use std::process::Stdio;
    let home = home();
    let mut child =
        kafkarium(home.path()).args(["completions", "bash"]).stdout(Stdio::piped()).spawn().expect("starts");
    let mut first = [0_u8; 16];
    child.stdout.take().expect("piped").read_exact(&mut first).expect("some output");
    assert!(child.wait().expect("ended").success());
}

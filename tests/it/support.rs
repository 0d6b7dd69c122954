//! The built program as a server of its own: started headless on free ports, spoken to over its control socket, killed like any
//! process.
//!
//! Invariants: no process and no folder outlives its value; every wait is for a condition and ends.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take on a machine that has other things to do.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again and again until there is an answer.
///
/// # Panics
/// If there is none within [`PATIENCE`].
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A number from the environment, or what it is without.
pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// The first of `count` free ports in a row, below those that the system gives to clients.
pub fn free_ports(count: u16) -> u16 {
    const FIRST: u16 = 20_000;
    const SPAN: u16 = 12_000;
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Runs side by side begin at different places.
    let begin = u16::try_from(std::process::id() % 1_200).expect("small") * 10;
    for _ in 0..SPAN / count {
        let first = FIRST + (begin + TAKEN.fetch_add(count, Ordering::Relaxed)) % (SPAN - count);
        if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("no {count} ports in a row are free");
}

/// A kafkarium with three brokers.
pub struct Server {
    folder: PathBuf,
    flags: Vec<String>,
    first_port: u16,
    child: Child,
    /// From the start of the process until it said that it is ready.
    pub opened_in: Duration,
    _home: tempfile::TempDir,
}

impl Server {
    /// Starts one on a folder of its own and waits until it is ready.
    pub fn start(flags: &[&str]) -> Server {
        let home = tempfile::tempdir().expect("a temporary folder");
        let folder = home.path().to_owned();
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let first_port = free_ports(3);
        let begun = Instant::now();
        let child = spawn(&folder, &flags, first_port);
        let mut server = Server { folder, flags, first_port, child, opened_in: Duration::ZERO, _home: home };
        server.await_ready(begun);
        server
    }

    /// What a client is told to connect to.
    pub fn bootstrap(&self) -> String {
        let addresses = (0..3).map(|index| format!("127.0.0.1:{}", self.first_port + index));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// The port of broker 1, 2 or 3.
    pub fn port(&self, broker: u16) -> u16 {
        self.first_port + broker - 1
    }

    /// Runs one command of the command language.
    ///
    /// # Panics
    /// If it fails.
    pub fn ctl(&self, line: &str) -> String {
        self.try_ctl(line).unwrap_or_else(|reason| panic!("`{line}`: {reason}"))
    }

    /// Runs one command of the command language; the reason if it fails.
    pub fn try_ctl(&self, line: &str) -> Result<String, String> {
        let words = line.split_whitespace();
        let socket = self.folder.join("control");
        let mut command = program(&self.folder);
        let output = command.args(["ctl", "--socket"]).arg(socket).args(words).output().expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// kill -9 of the whole program.
    pub fn kill_process(&mut self) {
        self.child.kill().expect("it runs");
        let status = self.child.wait().expect("its end is told");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "it ended by itself: {status}");
    }

    /// Starts the program again on the same folder and ports, and waits until it is ready.
    pub fn start_process(&mut self) {
        let _ = fs::remove_file(self.folder.join("ready"));
        let begun = Instant::now();
        self.child = spawn(&self.folder, &self.flags, self.first_port);
        self.await_ready(begun);
    }

    fn await_ready(&mut self, begun: Instant) {
        let ready = self.folder.join("ready");
        let bootstrap = eventually("the ready file", || {
            if let Some(status) = self.child.try_wait().expect("its state is told") {
                panic!("kafkarium ended with {status}: {}", self.narration());
            }
            fs::read_to_string(&ready).ok()
        });
        self.opened_in = begun.elapsed();
        assert_eq!(bootstrap.trim(), self.bootstrap(), "what the ready file says");
    }

    /// What it wrote to standard error.
    pub fn narration(&self) -> String {
        fs::read_to_string(self.folder.join("err")).unwrap_or_default()
    }

    /// Its events.
    pub fn events(&self) -> String {
        fs::read_to_string(self.folder.join("out")).unwrap_or_default()
    }

    /// The last of them.
    fn last_events(&self) -> String {
        let text = self.events();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let narration = self.narration();
        if std::thread::panicking() {
            eprintln!("--- kafkarium's last events\n{}\n--- and what it said\n{narration}", self.last_events());
        } else {
            assert!(!narration.contains("panicked"), "kafkarium panicked: {narration}");
        }
    }
}

/// The program with nothing of the user's around it.
fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafkarium"));
    command.env_clear().env("HOME", home).env("XDG_RUNTIME_DIR", home).env("RUST_BACKTRACE", "1");
    command.current_dir(home).stdin(Stdio::null());
    command
}

fn spawn(folder: &Path, flags: &[String], first_port: u16) -> Child {
    let append = |name| File::options().create(true).append(true).open(folder.join(name)).expect("a file");
    let mut command = program(folder);
    command.args(["serve", "--brokers=3", "--data=data", "--socket=control", "--ready-file=ready"]);
    command.arg(format!("--port={first_port}")).args(flags);
    command.stdout(append("out")).stderr(append("err")).spawn().expect("it starts")
}

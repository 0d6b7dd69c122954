//! The console's loop in a pseudo-terminal: what is on the screen of a real terminal, and that it is given back.
//!
//! Here the console runs in a process of its own: this test binary again, told by the environment to be the console of
//! a scripted cluster. [`super::end_to_end`] runs the program. Conditions are awaited on the terminal's output; nothing
//! sleeps.

use super::fake::{FakeCluster, Scene};
use kafkarium::tui::run::{ConsoleOptions, run};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Makes this binary the console. Its value is what the cluster does.
const BE_THE_CONSOLE: &str = "KAFKARIUM_TEST_CONSOLE";

/// A terminal with a console in it.
pub struct Terminal {
    screen: vt100::Parser,
    output: Receiver<Vec<u8>>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    size: (u16, u16),
}

impl Terminal {
    /// A terminal in which this test binary is the console of a scripted cluster.
    fn open(what: &str, environment: &[(&str, &str)]) -> Terminal {
        let mut command = CommandBuilder::new(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "console::terminal::the_terminal_is_given_back", "--nocapture", "--quiet"]);
        command.env(BE_THE_CONSOLE, what);
        command.env_remove("NO_COLOR");
        for (name, value) in environment {
            command.env(name, value);
        }
        Terminal::start(command, 120, 36)
    }

    /// A terminal with a program in it.
    pub fn start(mut command: CommandBuilder, columns: u16, rows: u16) -> Terminal {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env("RUST_BACKTRACE", "0");
        command.env_remove("LC_ALL");
        let child = pair.slave.spawn_command(command).expect("the console starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("the terminal's output");
        let keyboard = pair.master.take_writer().expect("the terminal's input");
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(count) = reader.read(&mut bytes) {
                if count == 0 || send.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = vt100::Parser::new(nonzero(rows), nonzero(columns), 0);
        Terminal { screen, output, keyboard, child, master: pair.master, size: (columns, rows) }
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// The row of the screen that holds `text`, with its number.
    pub fn row_with(&self, text: &str) -> Option<(u16, String)> {
        let rows = self.screen.screen().rows(0, self.size.0);
        rows.zip(0..).find(|(row, _)| row.contains(text)).map(|(row, number)| (number, row))
    }

    /// Reads until the condition holds. The console asks where the cursor is: a terminal answers.
    pub fn until(&mut self, what: &str, condition: impl Fn(&Terminal) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            let left = Duration::from_secs(30).checked_sub(begun.elapsed());
            let left = left.unwrap_or_else(|| panic!("{what} did not happen:\n{}", self.text()));
            match self.output.recv_timeout(left) {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    if bytes.windows(4).any(|window| window == b"\x1b[6n") {
                        self.keys("\x1b[1;2R");
                    }
                }
                Err(_) => assert!(condition(self), "{what} did not happen:\n{}", self.text()),
            }
        }
    }

    pub fn shows(&mut self, text: &str) {
        self.until(text, |terminal| terminal.text().contains(text));
    }

    pub fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).and_then(|()| self.keyboard.flush()).expect("the console reads keys");
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.screen.screen_mut().set_size(nonzero(rows), nonzero(columns));
        self.size = (columns, rows);
        self.master.resize(size).expect("a terminal of another size");
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = self.child.process_id().expect("a running process");
        let id = rustix::process::Pid::from_raw(id as i32).expect("a process id");
        rustix::process::kill_process(id, signal).expect("the console can be told");
    }

    /// Whether the terminal hands over whole lines and echoes what is typed, as a shell wants it.
    pub fn is_cooked(&self) -> bool {
        use rustix::termios::LocalModes;
        let path = self.master.tty_name().expect("a terminal has a name");
        let no_controlling_terminal = rustix::fs::OFlags::NOCTTY.bits() as i32;
        let terminal = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(no_controlling_terminal)
            .open(path)
            .expect("the terminal can be opened");
        let modes = rustix::termios::tcgetattr(&terminal).expect("a terminal").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Waits for the end of the program, reading what it still writes; its exit code.
    pub fn ends(&mut self) -> u32 {
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_secs(30)) {
            self.screen.process(&bytes);
        }
        self.child.wait().expect("the program ends").exit_code()
    }

    /// Nothing of the console is left in the terminal.
    pub fn is_clean(&self) {
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen(), "the alternate screen stayed");
        assert!(!screen.hide_cursor(), "the cursor stayed hidden");
        assert!(!screen.bracketed_paste(), "paste stayed bracketed");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None, "the mouse stayed caught");
    }

    /// Waits for the console's end; then nothing of it is left in the terminal.
    fn is_given_back(&mut self) {
        self.shows("LEFT:");
        self.is_clean();
    }
}

fn nonzero(cells: u16) -> std::num::NonZero<u16> {
    std::num::NonZero::new(cells).expect("a terminal has cells")
}

/// What the child process does instead of the test.
fn be_the_console(what: &str) {
    if what == "panic" {
        let outcome = std::panic::catch_unwind(|| {
            // The screen is taken over and drawn; then an assertion of the console fails.
            kafkarium::tui::terminal::enter(true).expect("a terminal");
            panic!("the console failed");
        });
        println!("LEFT: panicked {}", outcome.is_err());
        return;
    }
    let reason = run(FakeCluster::new(Scene::Failover), ConsoleOptions::default());
    println!("LEFT: {reason:?}");
}

#[test]
fn the_terminal_is_given_back() {
    if let Ok(what) = std::env::var(BE_THE_CONSOLE) {
        return be_the_console(&what);
    }
    let mut quits = Terminal::open("failover", &[]);
    quits.shows("Broker 2 died 2.4 s ago");
    assert!(quits.screen.screen().alternate_screen());
    quits.keys("l");
    quits.shows("R start 2");
    quits.keys("l");
    quits.shows("Killing 3 now leaves 1 of 3 voters");
    quits.keys("K");
    quits.shows("kill 3: done");
    quits.keys("q");
    quits.is_given_back();
    assert!(quits.screen.screen().contents().contains("LEFT: Ok(Quit)"));

    for (signal, reason) in
        [(rustix::process::Signal::TERM, "Ok(Terminated)"), (rustix::process::Signal::HUP, "Ok(TerminalGone)")]
    {
        let mut told = Terminal::open("failover", &[]);
        told.shows("Broker 2 died 2.4 s ago");
        told.signal(signal);
        told.is_given_back();
        assert!(told.screen.screen().contents().contains(reason), "{}", told.screen.screen().contents());
    }

    let mut panics = Terminal::open("panic", &[]);
    panics.is_given_back();
    let contents = panics.screen.screen().contents();
    assert!(contents.contains("the console failed"), "the message is readable: {contents}");
}

/// `NO_COLOR` takes the colours and nothing else: the selected row is still there, reversed.
#[test]
fn no_color_keeps_the_selection() {
    let mut terminal = Terminal::open("failover", &[("NO_COLOR", "1")]);
    terminal.shows("clicks-1     1/2");
    terminal.until("a whole frame", |terminal| terminal.screen.screen().contents().contains("? help"));
    let screen = terminal.screen.screen();
    let row = (0..36).find(|row| screen.contents_between(*row, 0, *row, 20).contains("clicks-1")).expect("the row");
    let cell = screen.cell(row, 5).expect("a cell");
    assert!(cell.inverse(), "the selected row is not reversed");
    assert_eq!(cell.fgcolor(), vt100::Color::Default);
    let corner = screen.cell(0, 0).expect("a cell").contents();
    assert!(corner.trim().is_empty(), "what the terminal was asked with is still there: {corner}");
    terminal.keys("q");
    terminal.is_given_back();
}

//! The loop around the pure console: input, answers and pictures in; drawing and commands out.
//!
//! Invariants: one thread, no async; everything that waits is taken before one frame is drawn; a frame is drawn only
//! when something has changed: at most 30 a second, 10 when nothing but offsets and rates moved, 4 for the clock
//! alone, none while the world is paused; the terminal is given back however the loop ends.
//!
//! Deliberately not here: what a message means (`update`) and how it looks (`draw`).

use super::commands;
use super::draw::{draw, finish};
use super::model::Model;
use super::msg::{Cmd, Forecast, Msg};
use super::pen::Pen;
use super::recording::{Recording, Tap, Tapped};
use super::saving;
use super::screens::start::{self, PortChoice, PortTaken};
use super::screenshot;
use super::terminal::{self, Answers, Signal};
use super::theme::{self, Theme, ThemeName};
use super::update::update;
use crate::cluster::view::{Change, ClockMode, ClusterPort, TailId, ViewRequest};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers, MouseEventKind};
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// How the console is to look and behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleOptions {
    /// `--theme`. `None`: by the environment and the terminal.
    pub theme: Option<ThemeName>,
    /// `--ascii`. `None`: by the environment and the terminal.
    pub ascii: Option<bool>,
    /// Catch the mouse.
    pub mouse: bool,
    /// `--reduced-motion` or `REDUCE_MOTION=1`.
    pub reduced_motion: bool,
    /// Leave the terminal's own background.
    pub keep_background: bool,
    /// Explain glyphs and bars (the first three starts).
    pub legend: bool,
    /// Where lines of earlier runs are kept, one a line, oldest first. `None`: they are forgotten.
    pub history_file: Option<PathBuf>,
    /// Record from the first frame on.
    pub record: Option<PathBuf>,
}

impl Default for ConsoleOptions {
    fn default() -> ConsoleOptions {
        ConsoleOptions {
            theme: None,
            ascii: None,
            mouse: true,
            reduced_motion: std::env::var("REDUCE_MOTION").is_ok_and(|value| value == "1"),
            keep_background: false,
            legend: true,
            history_file: None,
            record: None,
        }
    }
}

/// Why the console ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The user left.
    Quit,
    /// SIGTERM or SIGINT.
    Terminated,
    /// SIGHUP, or the terminal cannot be written to any more.
    TerminalGone,
}

/// Runs the console until the user leaves or the process is told to.
///
/// # Errors
/// When the terminal cannot be taken over. One that goes away later is [`ExitReason::TerminalGone`].
pub fn run(mut port: impl ClusterPort, options: ConsoleOptions) -> io::Result<ExitReason> {
    let signals = terminal::signals()?;
    terminal::enter(options.mouse)?;
    let (theme, answers) = look(&options);
    let history_file = options.history_file.clone();
    let result = Console::new(theme, answers, options, &port).and_then(|mut console| {
        let exit = console.run(&mut port, &signals);
        console.end_recording();
        if let Some(file) = history_file {
            // A history that cannot be kept is no reason to fail.
            let _ = std::fs::write(file, console.model.history.join("\n"));
        }
        exit
    });
    terminal::leave();
    match result {
        Err(error) if is_gone(&error) => Ok(ExitReason::TerminalGone),
        result => result,
    }
}

/// Shows the page of a port that is taken, and returns what the user chose.
///
/// # Errors
/// When the terminal cannot be used.
pub fn ask_port(page: &PortTaken, options: &ConsoleOptions) -> io::Result<PortChoice> {
    let signals = terminal::signals()?;
    terminal::enter(false)?;
    let (theme, _) = look(options);
    let result = ask_port_until(page, &theme, &signals);
    terminal::leave();
    result
}

fn ask_port_until(page: &PortTaken, theme: &Theme, signals: &Receiver<Signal>) -> io::Result<PortChoice> {
    let mut screen = Screen::new()?;
    loop {
        screen.show(|area, buffer| {
            let mut pen = Pen { buffer, theme };
            pen.clear(area, theme::Ground::Canvas);
            start::port_taken(&mut pen, area, page);
            finish(theme, buffer);
        })?;
        if matches!(signals.try_recv(), Ok(Signal::Terminate | Signal::HangUp)) {
            return Ok(PortChoice::Quit);
        }
        if !terminal::wait(Duration::from_millis(200))? {
            continue;
        }
        if let Event::Key(key) = event::read()? {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match (key.code, page.free) {
                (KeyCode::Enter, Some((first, _))) => return Ok(PortChoice::UseFrom(first)),
                (KeyCode::Char('r'), _) => return Ok(PortChoice::TryAgain),
                (KeyCode::Char('q') | KeyCode::Esc, _) => return Ok(PortChoice::Quit),
                (KeyCode::Char('c'), _) if control => return Ok(PortChoice::Quit),
                _ => {}
            }
        }
    }
}

/// Chooses the theme: what was asked for, the environment, and what the terminal says of itself.
fn look(options: &ConsoleOptions) -> (Theme, Answers) {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let term = variable("TERM");
    let poor = matches!(&term[..], "linux" | "dumb" | "");
    let answers = if poor { Answers::default() } else { terminal::ask() };
    let locale = [variable("LC_ALL"), variable("LC_CTYPE"), variable("LANG")].into_iter().find(|name| !name.is_empty());
    let utf8 = locale.is_none_or(|name| name.to_lowercase().replace('-', "").contains("utf8"));
    let light = answers.light.unwrap_or(false);
    let theme = theme::choose(options.theme, &variable("NO_COLOR"), &variable("COLORTERM"), &term, light);
    let ascii = options.ascii.unwrap_or(poor || !utf8 || answers.wide_glyphs);
    let theme =
        Theme { ascii, keep_background: options.keep_background, reduced_motion: options.reduced_motion, ..theme };
    (theme, answers)
}

/// Whether an error means that there is no terminal any more.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, UnexpectedEof};
    // EIO is what a terminal without its other end answers.
    matches!(error.kind(), BrokenPipe | UnexpectedEof) || error.raw_os_error() == Some(5)
}

/// A terminal to show frames on.
struct Screen {
    terminal: Terminal<CrosstermBackend<Tapped>>,
    tap: Tap,
}

impl Screen {
    fn new() -> io::Result<Screen> {
        let tap = Tap::default();
        let backend = CrosstermBackend::new(Tapped::new(&tap));
        let terminal = Terminal::with_options(backend, TerminalOptions::default())?;
        Ok(Screen { terminal, tap })
    }

    fn show(&mut self, paint: impl FnOnce(Rect, &mut Buffer)) -> io::Result<()> {
        terminal::begin_frame()?;
        self.terminal.draw(|frame| {
            let area = frame.area();
            paint(area, frame.buffer_mut());
        })?;
        terminal::end_frame()
    }
}

/// The console while it runs.
struct Console {
    model: Model,
    screen: Screen,
    begun: Instant,
    /// The least time between two frames.
    frame_time: Duration,
    drawn_at: Option<Instant>,
    /// The change that waits to be drawn.
    waiting: Change,
    facts_at: Option<Instant>,
    wanted: Option<ViewRequest>,
    tail: Option<TailId>,
    swallow: Swallow,
    recording: Option<Recording>,
}

const PROGRESS_FRAME: Duration = Duration::from_millis(100);
const CLOCK_FRAME: Duration = Duration::from_millis(250);
/// While something has just changed it flashes.
const FLASHES: Duration = Duration::from_millis(600);
/// How often the cluster is asked for changes.
const LOOKS: Duration = Duration::from_millis(33);

impl Console {
    fn new(theme: Theme, answers: Answers, options: ConsoleOptions, port: &impl ClusterPort) -> io::Result<Console> {
        let screen = Screen::new()?;
        let size = screen.terminal.size()?;
        let commands = Arc::from(commands::palette(port.commands()));
        let mut model = Model::new(theme, commands, Rect::new(0, 0, size.width, size.height));
        model.mouse = options.mouse;
        model.legend = options.legend;
        model.history = options.history_file.as_deref().map(read_history).unwrap_or_default();
        // A terminal that takes 80 ms to answer is far away: fewer frames, so that keys are not kept waiting.
        let far = answers.echo_ms.is_some_and(|echo| echo > 80);
        let record = options.record.as_deref();
        let recording =
            record.map(|path| Recording::begin(path, (size.width, size.height), &screen.tap, 0)).transpose()?;
        Ok(Console {
            model,
            screen,
            begun: Instant::now(),
            frame_time: Duration::from_millis(if far { 100 } else { 33 }),
            drawn_at: None,
            waiting: Change::Facts,
            facts_at: None,
            wanted: None,
            tail: None,
            swallow: Swallow::default(),
            recording,
        })
    }

    fn run(&mut self, port: &mut impl ClusterPort, signals: &Receiver<Signal>) -> io::Result<ExitReason> {
        loop {
            if terminal::wait(self.patience())? {
                // Everything that waits is taken before one frame is drawn.
                loop {
                    let event = event::read()?;
                    if let Some(exit) = self.on_event(port, event)? {
                        return Ok(exit);
                    }
                    if !terminal::wait(Duration::ZERO)? {
                        break;
                    }
                }
            }
            for signal in signals.try_iter() {
                match signal {
                    Signal::Terminate => return Ok(ExitReason::Terminated),
                    Signal::HangUp => return Ok(ExitReason::TerminalGone),
                    Signal::Continue => self.come_back()?,
                }
            }
            if let Some(exit) = self.on_cluster(port)? {
                return Ok(exit);
            }
            if self.is_due() {
                self.show(port)?;
            }
        }
    }

    /// How long to wait for input.
    fn patience(&self) -> Duration {
        if self.waiting == Change::Nothing { LOOKS } else { LOOKS.min(self.time_left()) }
    }

    /// Until the frame that waits may be drawn.
    fn time_left(&self) -> Duration {
        let Some(drawn_at) = self.drawn_at else { return Duration::ZERO };
        let least = match self.waiting {
            Change::Facts => self.frame_time,
            _ => PROGRESS_FRAME,
        };
        least.saturating_sub(drawn_at.elapsed())
    }

    fn is_due(&self) -> bool {
        self.waiting != Change::Nothing && self.time_left().is_zero()
    }

    fn on_event(&mut self, port: &mut impl ClusterPort, event: Event) -> io::Result<Option<ExitReason>> {
        if matches!(&event, Event::Mouse(mouse) if mouse.kind == MouseEventKind::Moved) {
            return Ok(None);
        }
        self.waiting = Change::Facts;
        let msg = match event {
            Event::Key(key) if key.kind == KeyEventKind::Release => return Ok(None),
            Event::Key(key) if self.swallow.takes(&key, self.begun.elapsed()) => return Ok(None),
            Event::Key(key) => Msg::Key(key),
            Event::Mouse(mouse) => Msg::Mouse(mouse),
            Event::Paste(text) => Msg::Paste(text),
            Event::Resize(width, height) => {
                self.recorded(|recording, now_ms| recording.resize(now_ms, width, height));
                Msg::Resize(width, height)
            }
            Event::FocusGained | Event::FocusLost => return Ok(None),
        };
        self.tick(port)?;
        self.take(port, msg)
    }

    fn tick(&mut self, port: &mut impl ClusterPort) -> io::Result<Option<ExitReason>> {
        let now_ms = self.now_ms();
        self.take(port, Msg::Tick(now_ms))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Gives a message to the console and does what it asks for, until it asks no more.
    fn take(&mut self, port: &mut impl ClusterPort, msg: Msg) -> io::Result<Option<ExitReason>> {
        let mut queue = vec![msg];
        while let Some(msg) = queue.pop() {
            for cmd in update(&mut self.model, msg) {
                if cmd == Cmd::Quit {
                    return Ok(Some(ExitReason::Quit));
                }
                queue.extend(self.execute(port, cmd)?);
            }
        }
        Ok(None)
    }

    /// Does one thing the console asked for; what comes of it at once goes back to the console.
    fn execute(&mut self, port: &mut impl ClusterPort, cmd: Cmd) -> io::Result<Option<Msg>> {
        if let Cmd::Submit(line) = &cmd {
            self.recorded(|recording, now_ms| recording.command(now_ms, line));
        }
        let cmd = match ask(port, cmd) {
            Answer::Said(msg) => return Ok(msg),
            Answer::NotMine(cmd) => cmd,
        };
        match cmd {
            Cmd::OpenTail(topic, from) => {
                if let Some(old) = self.tail.replace(port.open_tail(&topic, from)) {
                    port.close_tail(old);
                }
            }
            Cmd::Read(want) => {
                if let Some(old) = self.tail.replace(port.open_reader(&want)) {
                    port.close_tail(old);
                }
            }
            Cmd::CloseTail => {
                if let Some(tail) = self.tail.take() {
                    port.close_tail(tail);
                }
            }
            Cmd::Copy(text) => {
                terminal::copy(&text)?;
                return Ok(Some(Msg::Notice { good: true, text: format!("Copied {}", first_line(&text)) }));
            }
            Cmd::Screenshot(path) => return Ok(Some(self.screenshot(&path))),
            Cmd::Record(path) => return self.record(path).map(Some),
            Cmd::SaveDemo { name, overwrite } => {
                let (good, text) = match saving::save(port, Path::new(""), &name, overwrite) {
                    Ok(text) => (true, text),
                    Err(text) => (false, text),
                };
                return Ok(Some(Msg::Notice { good, text }));
            }
            Cmd::Mouse(on) => terminal::catch_mouse(on)?,
            Cmd::Redraw => self.screen.terminal.clear()?,
            Cmd::ToShell => {
                terminal::stop_process();
                self.come_back()?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn screenshot(&self, path: &Path) -> Msg {
        let mut buffer = Buffer::empty(self.model.area);
        draw(&self.model, &self.model.view, &self.model.theme, self.model.area, &mut buffer);
        let name = path.to_string_lossy();
        match std::fs::write(path, screenshot::by_name(&buffer, &name)) {
            Ok(()) => Msg::Notice { good: true, text: format!("Wrote {name}") },
            Err(error) => Msg::Notice { good: false, text: format!("Cannot write {name}: {error}") },
        }
    }

    /// Begins a recording, or ends the one there is.
    fn record(&mut self, path: Option<PathBuf>) -> io::Result<Msg> {
        let ended = self.end_recording();
        let area = self.model.area;
        Ok(match (path, ended) {
            (None, Some(path)) => Msg::Notice { good: true, text: format!("Recorded {}", path.display()) },
            (None, None) => Msg::Notice { good: false, text: "Nothing is recorded".to_owned() },
            (Some(path), _) => {
                match Recording::begin(&path, (area.width, area.height), &self.screen.tap, self.now_ms()) {
                    Ok(recording) => {
                        self.recording = Some(recording);
                        self.screen.terminal.clear()?;
                        Msg::Notice { good: true, text: format!("Records to {}; record off ends it", path.display()) }
                    }
                    Err(error) => Msg::Notice { good: false, text: format!("Cannot record to {error}") },
                }
            }
        })
    }

    /// A recording that cannot be written ends, and the user is told; the console goes on.
    fn recorded(&mut self, write: impl FnOnce(&mut Recording, u64) -> io::Result<()>) {
        let now_ms = self.now_ms();
        let Some(recording) = &mut self.recording else { return };
        if let Err(error) = write(recording, now_ms) {
            let text = format!("The recording {} ended: {error}", recording.path().display());
            self.end_recording();
            let _ = update(&mut self.model, Msg::Notice { good: false, text });
        }
    }

    /// Where the recording is that has ended with this.
    fn end_recording(&mut self) -> Option<PathBuf> {
        let recording = self.recording.take()?;
        let path = recording.path().to_owned();
        // Without its last event it is a recording as well.
        let _ = recording.end(self.now_ms());
        Some(path)
    }

    /// Takes the terminal over again, whatever state it is in.
    fn come_back(&mut self) -> io::Result<()> {
        terminal::enter(self.model.mouse)?;
        self.screen.terminal.clear()?;
        self.waiting = Change::Facts;
        Ok(())
    }

    /// Answers, records, and a new picture where there is one.
    fn on_cluster(&mut self, port: &mut impl ClusterPort) -> io::Result<Option<ExitReason>> {
        for reply in port.replies() {
            self.waiting = Change::Facts;
            if let Some(exit) = self.take(port, Msg::Reply(reply))? {
                return Ok(Some(exit));
            }
        }
        if let (Some(tail), room @ 1..) = (self.tail, self.model.tail_room()) {
            let batch = port.poll_tail(tail, room);
            if !batch.records.is_empty() || batch.skipped > 0 {
                self.waiting = self.waiting.max(Change::Progress);
            }
            self.take(port, Msg::Tail(batch))?;
        }
        let change = port.changed();
        if change == Change::Facts {
            self.facts_at = Some(Instant::now());
        }
        self.waiting = self.waiting.max(change).max(self.moves_on());
        if self.wanted.as_ref() != Some(&self.model.view_request()) {
            self.waiting = Change::Facts;
        }
        let shown = (self.model.toasts.len(), self.model.echo);
        let exit = self.tick(port)?;
        if (self.model.toasts.len(), self.model.echo) != shown {
            self.waiting = Change::Facts;
        }
        Ok(exit)
    }

    /// What moves without the cluster: flashes and the clock. Nothing while the world is paused.
    fn moves_on(&self) -> Change {
        let live = matches!(self.model.view.clock, ClockMode::Live { .. });
        let flashes = self.facts_at.is_some_and(|at| at.elapsed() < FLASHES) && !self.model.theme.reduced_motion;
        let clock = self.drawn_at.is_none_or(|at| at.elapsed() >= CLOCK_FRAME);
        if live && (flashes || clock) { Change::Progress } else { Change::Nothing }
    }

    /// Fetches the picture and draws it.
    fn show(&mut self, port: &mut impl ClusterPort) -> io::Result<()> {
        // A picture can move the window, which asks for another one: twice is always enough.
        for _ in 0..2 {
            let want = self.model.view_request();
            let view = port.view(&want);
            self.wanted = Some(want);
            self.take(port, Msg::View(view))?;
            if self.wanted.as_ref() == Some(&self.model.view_request()) {
                break;
            }
        }
        let model = &self.model;
        self.screen.show(|area, buffer| draw(model, &model.view, &model.theme, area, buffer))?;
        let view = Arc::clone(&self.model.view);
        self.recorded(|recording, now_ms| recording.frame(now_ms, &view));
        self.waiting = Change::Nothing;
        self.drawn_at = Some(Instant::now());
        Ok(())
    }
}

/// What became of a command that may be for the cluster.
pub enum Answer {
    /// It was; this is what came of it at once.
    Said(Option<Msg>),
    /// It is for the terminal.
    NotMine(Cmd),
}

/// Does what a command asks of the cluster.
pub fn ask(port: &mut impl ClusterPort, cmd: Cmd) -> Answer {
    Answer::Said(match cmd {
        Cmd::Submit(line) => {
            port.submit(&line);
            None
        }
        Cmd::Produce(draft) => {
            port.produce(&draft);
            None
        }
        Cmd::AskConsequence(line) => {
            let consequence = port.consequence(&line);
            let undo = port.undo_of(&line);
            Some(Msg::Consequence(Forecast { line, consequence, undo }))
        }
        Cmd::Complete(line) => {
            let completion = port.complete(&line);
            Some(Msg::Completion { line, completion })
        }
        Cmd::AskTopics(containing) => Some(Msg::Topics(port.topics(&containing, 200))),
        other => return Answer::NotMine(other),
    })
}

fn read_history(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(str::to_string).collect()
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 60 { line.chars().take(59).chain(['…']).collect() } else { line.to_string() }
}

/// Swallows an answer of the terminal that came too late to be one: `Alt-]` up to its end, in the first seconds.
#[derive(Debug, Default)]
struct Swallow {
    inside: bool,
}

impl Swallow {
    fn takes(&mut self, key: &event::KeyEvent, age: Duration) -> bool {
        if age > Duration::from_secs(3) {
            return false;
        }
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        if !self.inside {
            self.inside = alt && key.code == KeyCode::Char(']');
            return self.inside;
        }
        let bell = key.code == KeyCode::Char('g') && key.modifiers.contains(KeyModifiers::CONTROL);
        let end = alt && key.code == KeyCode::Char('\\');
        self.inside = !(bell || end);
        true
    }
}

/// The screen of a model as a file's content, for the picture in the README: no terminal is needed.
pub fn picture(port: &mut impl ClusterPort, theme: Theme, columns: u16, rows: u16, file_name: &str) -> String {
    let commands = Arc::from(commands::palette(port.commands()));
    let mut model = Model::new(theme, commands, Rect::new(0, 0, columns, rows));
    for _ in 0..2 {
        let view = port.view(&model.view_request());
        let _ = update(&mut model, Msg::View(view));
    }
    let mut buffer = Buffer::empty(model.area);
    draw(&model, &model.view, &model.theme, model.area, &mut buffer);
    screenshot::by_name(&buffer, file_name)
}

//! The loop of plain mode: lines in, lines out.
//!
//! Invariants: a line is done when what it said is answered, and only then the next one is taken, so that a script in
//! a pipe runs in order; answers are told whole, changes at a bounded rate ([`super::Narrator`]); what is read from a
//! pipe ends the session when its last line is answered, unless it never had one: then it goes on until it is told to
//! end.
//!
//! Deliberately not here: what is said.

use super::sentences;
use super::{Narrator, spoken};
use crate::cluster::view::{
    Change, ClusterPort, ClusterView, CommandId, GroupsRequest, Outcome, PartitionName, ViewRequest, Weight, WhyAbout,
};
use crate::tui::cast::{self, Recorder};
use crate::tui::commands::{self, Own};
use crate::tui::run;
use crate::tui::saving;
use crate::tui::theme::{Theme, ThemeName};
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// How often answers and commands are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often changes are told.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// A longer line is cut.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// So many lines may wait to be run.
const LINES_WAITING: usize = 64;
/// So many partitions and groups are described at once.
const ROWS: usize = 40;
/// The terminal that a recording or a picture of plain mode pretends to.
const PAPER: (u16, u16) = (120, 36);

/// Runs plain mode until its input ends, `quit` is read, or it is told to end.
///
/// # Errors
/// As writing to `out` fails; a closed pipe is one of these.
pub fn run(
    port: &mut impl ClusterPort,
    input: impl BufRead + Send + 'static,
    out: impl Write,
    record: Option<&Path>,
    is_ending: &AtomicBool,
) -> io::Result<()> {
    let lines = read_lines(input)?;
    let mut session = Session {
        port,
        out: Paper { out, recorder: None, begun: Instant::now() },
        narrator: Narrator::default(),
        waits_for: None,
        asks: None,
        told_at: None,
        is_over: false,
    };
    if let Some(path) = record {
        session.record(path)?;
    }
    let result = session.run(&lines, is_ending);
    session.out.end();
    result
}

/// Reads lines on a thread of its own: nobody can wait for a line and for the cluster at once.
fn read_lines(mut input: impl BufRead + Send + 'static) -> io::Result<Receiver<String>> {
    let (send, lines) = sync_channel(LINES_WAITING);
    std::thread::Builder::new().name("lines".to_owned()).spawn(move || {
        loop {
            let mut bytes = Vec::new();
            match input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
                Ok(count) if count > 0 => {}
                // The end, or a terminal that is gone: either way nobody says anything any more.
                _ => return,
            }
            if send.send(String::from_utf8_lossy(&bytes).trim().to_owned()).is_err() {
                return;
            }
        }
    })?;
    Ok(lines)
}

/// Where lines go: out, and into the recording.
struct Paper<W> {
    out: W,
    recorder: Option<(PathBuf, Recorder<File>)>,
    begun: Instant,
}

impl<W: Write> Paper<W> {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn say(&mut self, lines: &[String]) -> io::Result<()> {
        for line in lines {
            writeln!(self.out, "{}", spoken(line))?;
        }
        self.out.flush()?;
        let text: String = lines.iter().map(|line| format!("{}\r\n", spoken(line))).collect();
        self.recorded(|recorder, now_ms| recorder.output(now_ms, &text))
    }

    fn say_one(&mut self, line: impl Into<String>) -> io::Result<()> {
        self.say(&[line.into()])
    }

    /// A recording that cannot be written ends; the session does not.
    fn recorded(&mut self, write: impl FnOnce(&mut Recorder<File>, u64) -> io::Result<()>) -> io::Result<()> {
        let now_ms = self.now_ms();
        let Some((path, recorder)) = &mut self.recorder else { return Ok(()) };
        if let Err(error) = write(recorder, now_ms) {
            let ended = format!("The recording {} ended: {error}", path.display());
            self.recorder = None;
            writeln!(self.out, "{}", spoken(&ended))?;
        }
        Ok(())
    }

    fn end(&mut self) {
        let now_ms = self.now_ms();
        if let Some((_, recorder)) = self.recorder.take() {
            // Without its last event it is a recording as well.
            let _ = recorder.end(now_ms, 0);
        }
    }
}

struct Session<'a, P, W> {
    port: &'a mut P,
    out: Paper<W>,
    narrator: Narrator,
    /// The command whose answer the next line waits for.
    waits_for: Option<CommandId>,
    /// The line that destroys, and waits for a yes.
    asks: Option<String>,
    told_at: Option<Instant>,
    is_over: bool,
}

impl<P: ClusterPort, W: Write> Session<'_, P, W> {
    fn run(&mut self, lines: &Receiver<String>, is_ending: &AtomicBool) -> io::Result<()> {
        let view = self.port.view(&ViewRequest::default());
        let opening = self.narrator.opening(&view);
        self.out.say(&opening)?;
        let (mut had_lines, mut has_ended) = (false, false);
        while !is_ending.load(Ordering::Acquire) && !self.is_over {
            if self.waits_for.is_some() || has_ended {
                std::thread::sleep(LOOK_EVERY);
            } else {
                match lines.recv_timeout(LOOK_EVERY) {
                    Ok(line) => {
                        had_lines = true;
                        self.line(&line)?;
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => has_ended = true,
                }
            }
            self.answers()?;
            self.tell(false)?;
            if has_ended && had_lines && self.waits_for.is_none() {
                break;
            }
        }
        self.tell(true)?;
        let view = self.port.view(&ViewRequest::default());
        let verdict = view.ledger.as_ref().map(sentences::verdict);
        let loses = view.host.quit_loses.clone();
        self.out.say(&verdict.into_iter().chain(loses).chain(["Left.".to_owned()]).collect::<Vec<_>>())
    }

    /// Tells what has changed, if it is time to or has to be.
    fn tell(&mut self, at_once: bool) -> io::Result<()> {
        let is_time = self.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if !is_time && !at_once {
            return Ok(());
        }
        self.told_at = Some(Instant::now());
        // Fault countdowns and ages change the headline without any fact.
        if self.port.changed() == Change::Nothing && !self.narrator.has_untold() && !at_once {
            return Ok(());
        }
        let view = self.port.view(&ViewRequest::default());
        let now_ms = self.out.now_ms();
        let changes = self.narrator.changes(&view, now_ms);
        if changes.is_empty() { Ok(()) } else { self.out.say(&changes) }
    }

    fn answers(&mut self) -> io::Result<()> {
        for reply in self.port.replies() {
            // What came before its answer is told before it.
            self.tell(true)?;
            self.out.say(&sentences::reply(&reply))?;
            if !matches!(reply.outcome, Outcome::Progress(_)) && self.waits_for == Some(reply.id) {
                self.waits_for = None;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        let line = line.trim_start_matches(':').trim();
        if let Some(asked) = self.asks.take() {
            match line {
                "yes" => return self.submit(&asked),
                "" | "no" => return self.out.say_one("Left as it was."),
                _ => self.out.say_one("Left as it was.")?,
            }
        }
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (verb, rest) = line.split_once(' ').map_or((line, ""), |(verb, rest)| (verb, rest.trim()));
        let plain = ViewRequest { row_count: ROWS, ..ViewRequest::default() };
        match verb {
            "quit" | "q" | "exit" => {
                self.is_over = true;
                Ok(())
            }
            "help" | "?" => {
                let help = sentences::help(self.port.commands(), rest);
                self.out.say(&help)
            }
            "status" => self.answer(&plain, sentences::status),
            "brokers" if rest.is_empty() => self.answer(&plain, sentences::cluster),
            "partitions" => self.answer(&ViewRequest { filter: rest.to_owned(), ..plain }, sentences::partitions),
            "groups" if rest.is_empty() => {
                let groups = Some(GroupsRequest { row_count: ROWS, ..GroupsRequest::default() });
                let told = |view: &ClusterView| view.groups.as_ref().map(sentences::groups).unwrap_or_default();
                self.answer(&ViewRequest { groups, ..plain }, told)
            }
            "why" => {
                let why = Some(about(rest));
                self.answer(&ViewRequest { why, ..plain }, |view| sentences::why(view, view.why.as_ref()))
            }
            "screenshot" if !rest.is_empty() => self.screenshot(Path::new(rest)),
            "record" => self.record_line(rest),
            "save" => self.save(line),
            verb if sentences::has_no_use(verb) => {
                self.out.say_one(format!("{verb} changes a screen, and there is none here."))
            }
            _ => self.command(line),
        }
    }

    fn answer(&mut self, want: &ViewRequest, say: impl FnOnce(&ClusterView) -> Vec<String>) -> io::Result<()> {
        self.tell(true)?;
        let view: Arc<ClusterView> = self.port.view(want);
        self.out.say(&say(&view))
    }

    /// A line of the cluster's: what it costs is told first, and what it destroys is asked for.
    fn command(&mut self, line: &str) -> io::Result<()> {
        let destroys = commands::doc_of(self.port.commands(), line).is_some_and(|doc| doc.destructive);
        let consequence = self.port.consequence(line).filter(|consequence| consequence.weight > Weight::Harmless);
        if let Some(consequence) = &consequence {
            self.out.say_one(format!("What it means: {}", consequence.text))?;
        }
        if destroys {
            self.asks = Some(line.to_owned());
            return self.out.say_one(format!("{line} cannot be undone. Type yes to do it, no to leave it."));
        }
        self.submit(line)
    }

    fn submit(&mut self, line: &str) -> io::Result<()> {
        self.out.recorded(|recorder, now_ms| recorder.marker(now_ms, line))?;
        self.waits_for = Some(self.port.submit(line));
        Ok(())
    }

    fn screenshot(&mut self, path: &Path) -> io::Result<()> {
        let name = path.to_string_lossy();
        let picture = run::picture(self.port, Theme::new(ThemeName::Dark), PAPER.0, PAPER.1, &name);
        match std::fs::write(path, picture) {
            Ok(()) => self.out.say_one(format!("Wrote {name}.")),
            Err(error) => self.out.say_one(format!("Failed: {name}: {error}")),
        }
    }

    fn save(&mut self, line: &str) -> io::Result<()> {
        let said = match commands::parse(line) {
            Some(Ok(Own::Save { name: Some(name), overwrite })) => {
                saving::save(self.port, Path::new(""), &name, overwrite)
            }
            Some(Err(reason)) => Err(reason),
            _ => Err("save needs a name: save lost-leader".to_owned()),
        };
        self.out.say_one(said.unwrap_or_else(|reason| format!("Failed: {reason}")))
    }

    fn record_line(&mut self, rest: &str) -> io::Result<()> {
        match rest {
            "" => self.out.say_one("record needs a file, or off."),
            "off" if self.out.recorder.is_none() => self.out.say_one("Nothing is recorded."),
            "off" => {
                self.out.end();
                self.out.say_one("The recording has ended.")
            }
            _ => match self.record(Path::new(rest)) {
                Ok(()) => self.out.say_one(format!("Records to {rest}.")),
                Err(error) => self.out.say_one(format!("Failed: {error}")),
            },
        }
    }

    fn record(&mut self, path: &Path) -> io::Result<()> {
        self.out.end();
        let recorder = cast::create(path, PAPER, self.out.now_ms())
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        self.out.recorder = Some((path.to_owned(), recorder));
        Ok(())
    }
}

/// What a `why` is about: `2` and `broker 2`, `orders-0`, or a group's name.
fn about(words: &str) -> WhyAbout {
    let number = words.strip_prefix("broker ").unwrap_or(words).trim();
    if words.is_empty() {
        return WhyAbout::Headline;
    }
    if let Ok(broker) = number.parse() {
        return WhyAbout::Broker(crate::cluster::view::BrokerId(broker));
    }
    if let Some(group) = words.strip_prefix("group ") {
        return WhyAbout::Group(group.trim().into());
    }
    let partition = words.rsplit_once('-').and_then(|(topic, partition)| Some((topic, partition.parse().ok()?)));
    match partition {
        Some((topic, partition)) => WhyAbout::Partition(PartitionName::new(topic, partition)),
        None => WhyAbout::Group(words.into()),
    }
}

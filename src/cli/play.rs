//! `kafkarium play` and `kafkarium demos`: lessons that are run, and the list of those that ship.
//!
//! Invariants: with `--check` nothing is asked and nothing but the verdicts is written, one line a demo; the process fails if one demo
//! does not hold.
//!
//! Deliberately not here: what a demo is and how it is played (`cluster::demo`).

use super::exit::{Exit, Failure, Outcome};
use super::output;
use crate::cluster::data_dir::DataDir;
use crate::cluster::demo::{
    Demo, Host, LiveHost, Mismatch, Paragraph, Player, Question, SHIPPED, SimHost, Told, shipped,
};
use crate::cluster::live::LiveCluster;
use crate::cluster::options::{ClusterOptions, Durability, Place};
use clap::Args;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use textwrap::WordSeparator;

/// How long a live cluster may take until it is ready.
const READY_TIME: Duration = Duration::from_secs(60);
/// How wide text is told.
const WIDTH: usize = 80;

/// Arguments of `play`.
#[derive(Debug, Args)]
pub struct Play {
    /// Demos by name (see `kafkarium demos`) or by file; with --check all that ship unless some are named
    #[arg(value_name = "DEMO", required_unless_present = "check")]
    demos: Vec<String>,
    /// Play without stopping, and tell only whether everything the demo says is so
    #[arg(long)]
    check: bool,
    /// Write the answers that the cluster gives into the file, after `----`; read the difference
    #[arg(long, conflicts_with_all = ["check", "live"])]
    update: bool,
    /// On real sockets instead of in the simulator; with --check only the demos that are marked live
    #[arg(long)]
    live: bool,
}

/// Arguments of `demos`.
#[derive(Debug, Args)]
pub struct Demos {
    /// How to tell it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = output::Format::Text, help_heading = "Output")]
    output: output::Format,
}

impl Demos {
    /// Lists the demos that ship.
    pub fn run(&self) -> Outcome {
        let demos = SHIPPED.iter().filter_map(|(name, _)| shipped(name));
        if self.output == output::Format::Json {
            for demo in demos {
                output::json(&serde_json::json!({
                    "name": demo.name, "title": demo.title, "teaches": demo.teaches, "brokers": demo.brokers, "live": demo.is_live,
                }))?;
            }
            return Ok(());
        }
        let demos: Vec<Demo> = demos.collect();
        let width = demos.iter().map(|demo| demo.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for demo in &demos {
            let indent = " ".repeat(width + 2);
            let options = wrapped(WIDTH + 20).subsequent_indent(&indent);
            let line = format!("{:width$}  {}: {}", demo.name, demo.title, demo.teaches);
            text.push_str(&textwrap::fill(&line, options));
            text.push('\n');
        }
        text.push_str("\n`kafkarium play NAME` plays one.");
        output::text(&text)
    }
}

impl Play {
    /// Plays the demos.
    pub fn run(&self) -> Outcome {
        let demos = self.demos.iter().map(|name| find(name)).collect::<Result<Vec<Demo>, Failure>>()?;
        if self.check {
            let all = || SHIPPED.iter().filter_map(|(name, _)| shipped(name)).collect();
            return self.check(if demos.is_empty() { all() } else { demos });
        }
        for demo in demos {
            if self.update {
                update(demo)?;
            } else {
                self.tell(demo)?;
            }
        }
        Ok(())
    }

    fn host(&self, demo: &Demo) -> Result<Hosted, Failure> {
        if !self.live {
            return Ok(Hosted { host: Box::new(SimHost::new(demo.seed, demo.brokers)), cluster: None });
        }
        let options = ClusterOptions {
            brokers: demo.brokers,
            first_port: 0,
            place: Place::Ephemeral,
            durability: Durability::Memory,
            demo_load: false,
            ..ClusterOptions::default()
        };
        let data = DataDir::open(&options.place).map_err(Failure::from)?;
        let cluster = LiveCluster::start(options, data).map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
        let hosted = Hosted { host: Box::new(LiveHost::new(cluster.clone())), cluster: Some(cluster.clone()) };
        cluster.wait_ready(READY_TIME).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        Ok(hosted)
    }

    /// Whether every demo holds.
    fn check(&self, demos: Vec<Demo>) -> Outcome {
        let began = Instant::now();
        let (mut held, mut wrong) = (0, 0);
        for demo in demos.into_iter().filter(|demo| !self.live || demo.is_live) {
            let name = demo.name.clone();
            let began = Instant::now();
            let mut hosted = self.host(&demo)?;
            let mut player = Player::new(Arc::new(demo));
            match play(&mut player, &mut *hosted.host, |_| Ok(()))? {
                None => {
                    held += 1;
                    let (_, beats) = player.progress();
                    let (passed, took) = (hosted.host.elapsed().as_secs_f64(), began.elapsed().as_secs_f64());
                    output::text(&format!(
                        "ok  {name:<28} {beats:>3} beats, {passed:>6.1} s of its time in {took:.2} s"
                    ))?;
                }
                Some(mismatch) => {
                    wrong += 1;
                    output::text(&format!("NO  {name}\n{mismatch}"))?;
                }
            }
        }
        let host = if self.live { "on real sockets" } else { "in the simulator" };
        let took = began.elapsed().as_secs_f64();
        output::text(&format!("demos {host}: {held} hold, {wrong} do not, {took:.1} s"))?;
        if wrong > 0 { Err(Failure::new(Exit::Failed, "")) } else { Ok(()) }
    }

    /// Tells a demo line by line.
    fn tell(&self, demo: Demo) -> Outcome {
        let mut hosted = self.host(&demo)?;
        if let Some(cluster) = &hosted.cluster {
            output::narrate(&format!("kafkarium: your own clients are welcome at {}", cluster.bootstrap_servers()));
        }
        let mut player = Player::new(Arc::new(demo));
        match play(&mut player, &mut *hosted.host, |told| output::text(&page_of(told)).and_then(|()| answer(told)))? {
            None => Ok(()),
            Some(mismatch) => Err(Failure::new(Exit::Failed, mismatch.to_string())),
        }
    }
}

/// A cluster for the time of a demo.
struct Hosted {
    host: Box<dyn Host>,
    cluster: Option<LiveCluster>,
}

impl Drop for Hosted {
    fn drop(&mut self) {
        if let Some(cluster) = &self.cluster {
            cluster.shut_down();
        }
    }
}

fn play(
    player: &mut Player,
    host: &mut dyn Host,
    mut tell: impl FnMut(&Told) -> Outcome,
) -> Result<Option<Mismatch>, Failure> {
    while let Some(beat) = player.next(host) {
        match beat {
            Ok(told) => tell(&told)?,
            Err(mismatch) => return Ok(Some(mismatch)),
        }
    }
    Ok(None)
}

/// A demo by its name or its file.
fn find(name: &str) -> Result<Demo, Failure> {
    let is_file = name.ends_with(".md") || name.contains('/');
    if let Some(demo) = shipped(name).filter(|_| !is_file) {
        return Ok(demo);
    }
    let text = fs::read_to_string(Path::new(name)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if !is_file => {
            Failure::new(Exit::NoInput, format!("there is no demo `{name}`: `kafkarium demos` lists them"))
        }
        io::ErrorKind::NotFound => Failure::new(Exit::NoInput, format!("{name}: {error}")),
        _ => Failure::new(Exit::Io, format!("{name}: {error}")),
    })?;
    Demo::parse(name, &text).map_err(|mistake| Failure::new(Exit::Usage, mistake.to_string()))
}

/// Writes the cluster's answers into the demo's file.
fn update(demo: Demo) -> Outcome {
    let file = demo.file.clone();
    let before = demo.source.clone();
    let mut host = SimHost::new(demo.seed, demo.brokers);
    let mut player = Player::updating(Arc::new(demo));
    if let Some(mismatch) = play(&mut player, &mut host, |_| Ok(()))? {
        return Err(Failure::new(Exit::Failed, mismatch.to_string()));
    }
    let after = player.updated();
    if before == after {
        return output::text(&format!("{file}: nothing to change"));
    }
    fs::write(&file, after).map_err(|error| Failure::new(Exit::Io, format!("{file}: {error}")))?;
    output::text(&format!("{file}: answers written"))
}

/// What is told, as lines of plain text.
fn page_of(told: &Told) -> String {
    match told {
        Told::Scene(title) => format!("\n## {title}\n"),
        Told::Text(paragraph) => paragraph_of(paragraph),
        Told::Did { line, answer } if answer.is_empty() => format!("  $ {}", line.text),
        Told::Did { line, answer } => format!("  $ {}\n{}", line.text, textwrap::indent(answer, "  ")),
        Told::Asked(question) => question_of(question),
    }
}

/// Words stay whole: `under-replicated` is one.
fn wrapped<'a>(width: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(width)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .word_separator(WordSeparator::AsciiSpace)
}

fn paragraph_of(paragraph: &Paragraph) -> String {
    let (first, rest) = if paragraph.is_item { ("- ", "  ") } else { ("", "") };
    let options = wrapped(WIDTH).initial_indent(first).subsequent_indent(rest);
    format!("{}\n", textwrap::fill(&paragraph.text(), options))
}

fn question_of(question: &Question) -> String {
    let mut text = format!("{}\n", textwrap::fill(&question.text, wrapped(WIDTH)));
    for (number, choice) in (1..).zip(&question.choices) {
        writeln!(text, "  {number}  {}", choice.text).expect("a string takes everything");
    }
    text
}

/// Waits for an answer where somebody can give one, and says what is right.
fn answer(told: &Told) -> Outcome {
    let Told::Asked(question) = told else { return Ok(()) };
    let right = question.choices.iter().position(|choice| choice.is_right).expect("one choice is right");
    let mut chosen = None;
    if io::stdin().is_terminal() {
        output::narrate("Which one? A number, or Enter to see.");
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        chosen = line.trim().parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    }
    let mut text = String::new();
    if let Some(choice) = chosen.filter(|chosen| *chosen != right).and_then(|chosen| question.choices.get(chosen)) {
        writeln!(text, "Not quite. {}", choice.sentence).expect("a string takes everything");
    }
    let is_right = if chosen == Some(right) { "Right" } else { "It is" };
    let said = format!("{is_right}: {} {}", question.choices[right].text, question.choices[right].sentence);
    text.push_str(&textwrap::fill(said.trim(), wrapped(WIDTH)));
    text.push('\n');
    output::text(&text)
}

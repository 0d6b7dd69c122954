//! `kafkarium up`, the default: the console on a cluster that this process hosts.

use super::exit::{Exit, Failure, Outcome};
use super::host::HostArgs;
use super::ready::ReadyFile;
use super::{ports, replay, serve};
use crate::cluster::command::{Command, Reply};
use crate::cluster::live::LivePort;
use crate::cluster::options::ClusterOptions;
use crate::cluster::sim::run::Run;
use crate::cluster::sim::stage::Stage;
use crate::cluster::view::ClusterPort;
use crate::tui::plain::session;
use crate::tui::run::{self, ConsoleOptions};
use crate::tui::screens::start::{PortChoice, PortTaken};
use crate::tui::theme::ThemeName;
use clap::Args;
use std::io::{BufReader, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long the first picture may wait for the brokers.
const READY_TIME: Duration = Duration::from_secs(5);

/// What a simulated cluster has no use for: said, rather than left without effect.
const SIM_HAS_NONE: [&str; 11] = [
    "data",
    "ready_file",
    "controllers",
    "timing",
    "settings",
    "port",
    "listen",
    "advertise",
    "ephemeral",
    "durability",
    "memory_limit",
];

/// Host a cluster and show it (the default)
#[derive(Debug, Clone, Args)]
pub struct Up {
    #[command(flatten)]
    host: HostArgs,
    /// Simulate the cluster: virtual time, network and disks, no port and no file
    #[arg(long, help_heading = "Simulation", conflicts_with_all = SIM_HAS_NONE)]
    sim: bool,
    /// What everything random comes from [default: another one each time]
    #[arg(long, value_name = "S", requires = "sim", help_heading = "Simulation")]
    seed: Option<u64>,
    /// Start without the demo workload
    #[arg(long, help_heading = "Console")]
    empty: bool,
    /// dark, light, high-contrast or mono
    #[arg(long, value_name = "NAME", value_parser = theme, help_heading = "Console")]
    theme: Option<ThemeName>,
    /// Draw with ASCII characters alone
    #[arg(long, help_heading = "Console")]
    ascii: bool,
    /// Show end states only, nothing that moves
    #[arg(long, env = "REDUCE_MOTION", value_parser = clap::builder::FalseyValueParser::new(), help_heading = "Console")]
    reduced_motion: bool,
    /// Leave the mouse to the terminal
    #[arg(long, help_heading = "Console")]
    no_mouse: bool,
    /// Lines instead of screens, for screen readers, logs and pipes; so without a terminal
    #[arg(long, help_heading = "Console")]
    plain: bool,
    /// Record what is shown, as an asciicast (version 3) with a marker at each command
    #[arg(long, value_name = "FILE", help_heading = "Console")]
    record: Option<PathBuf>,
}

impl Up {
    fn console(&self) -> ConsoleOptions {
        ConsoleOptions {
            theme: self.theme,
            ascii: self.ascii.then_some(true),
            mouse: !self.no_mouse,
            reduced_motion: self.reduced_motion,
            record: self.record.clone(),
            ..ConsoleOptions::default()
        }
    }

    /// Shows the cluster until the user quits.
    pub fn run(&self) -> Outcome {
        let console = self.console();
        if self.sim {
            return self.simulate(console);
        }
        let is_ending = if self.is_plain() { serve::ending_signal()? } else { Arc::default() };
        let mut options = self.host.options(!self.empty)?;
        let ready = self.host.ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
        let hosted = loop {
            match serve::host(&self.host, options.clone()) {
                Ok(hosted) => break hosted,
                Err(failure) if failure.exit == Exit::PortInUse && !self.is_plain() => {
                    match self.ask(&options, &console, failure)? {
                        Some(first_port) => options.first_port = first_port,
                        None => return Ok(()),
                    }
                }
                Err(failure) => return Err(failure),
            }
        };
        let cluster = &hosted.cluster;
        // What keeps a broker from it, the console shows.
        let is_ready = cluster.wait_ready(READY_TIME).is_ok();
        if let (Some(ready), true) = (&ready, is_ready) {
            ready.write(&cluster.bootstrap_servers())?;
        }
        let mut port = LivePort::open(cluster)?;
        if !self.empty {
            cluster.start_demo_load();
        }
        let ended = if self.is_plain() {
            self.lines(&mut port, &is_ending)
        } else {
            run::run(port, console).map(|_| ()).map_err(Failure::from)
        };
        cluster.shut_down();
        drop(ready);
        ended
    }

    /// Without a terminal at both ends there is nothing to draw on, or nobody to press keys.
    fn is_plain(&self) -> bool {
        self.plain || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal()
    }

    /// Plain mode.
    fn lines(&self, port: &mut impl ClusterPort, is_ending: &AtomicBool) -> Outcome {
        let (out, record) = (std::io::stdout(), self.record.as_deref());
        let ended = if is_in_background() {
            session::run(port, std::io::empty(), out, record, is_ending)
        } else {
            session::run(port, BufReader::new(std::io::stdin()), out, record, is_ending)
        };
        ended.map_err(Failure::from)
    }

    /// The same console on a world without ports and files.
    fn simulate(&self, console: ConsoleOptions) -> Outcome {
        let seed = self.seed.unwrap_or_else(replay::any_seed);
        let mut stage = Stage::new(Run::open(seed, i32::from(self.host.brokers)), seed);
        let mut first = vec![Command::Speed { speed: self.host.speed }];
        first.extend((!self.empty).then_some(Command::Demo));
        for command in first {
            if let Reply::Failed { reason, .. } = stage.execute(command) {
                return Err(Failure::new(Exit::Usage, reason));
            }
        }
        let again = format!("kafkarium up --sim --seed {seed} --brokers {}", self.host.brokers);
        if self.is_plain() {
            let is_ending = serve::ending_signal()?;
            return replay::guard(stage, &again, |mut port| self.lines(&mut port, &is_ending));
        }
        replay::show(stage, console, &again)
    }

    /// A port is taken: the page that says by whom, and what is free instead.
    fn ask(
        &self,
        options: &ClusterOptions,
        console: &ConsoleOptions,
        failure: Failure,
    ) -> Result<Option<u16>, Failure> {
        let taken = (0..u16::from(options.brokers))
            .map(|offset| options.first_port + offset)
            .find(|port| std::net::TcpListener::bind((options.listen, *port)).is_err());
        let Some(port) = taken else { return Err(failure) };
        let free = ports::free_range(options.listen, options.first_port, options.brokers);
        let page = PortTaken { port, holder: ports::holder(port), free };
        match run::ask_port(&page, console)? {
            PortChoice::UseFrom(first) => Ok(Some(first)),
            PortChoice::TryAgain => Ok(Some(options.first_port)),
            PortChoice::Quit => Err(failure),
        }
    }
}

/// Whether reading from the terminal would stop the process: `kafkarium up > log &`.
fn is_in_background() -> bool {
    let stdin = std::io::stdin();
    let foreground = stdin.is_terminal().then(|| rustix::termios::tcgetpgrp(&stdin).ok()).flatten();
    foreground.is_some_and(|group| group != rustix::process::getpgrp())
}

fn theme(name: &str) -> Result<ThemeName, String> {
    ThemeName::parse(name).ok_or_else(|| {
        let names: Vec<&str> = ThemeName::ALL.iter().map(|theme| theme.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

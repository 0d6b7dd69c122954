//! `kafkarium ctl VERB …`: one command to a running kafkarium.
//!
//! Invariants: the verbs are the command language's own, parsed here first so that a mistake needs no cluster; the
//! process ends with the reply's number.
//!
//! Deliberately not here: the protocol (`cluster::control_socket`).

use super::exit::{Exit, Failure, Outcome};
use super::output::{self, Format};
use crate::cluster::command::Command;
use crate::cluster::control_socket::{ControlAnswer, ControlClient};
use crate::cluster::data_dir;
use clap::Args;
use std::io;
use std::path::PathBuf;

/// Arguments of `ctl`.
#[derive(Debug, Args)]
pub struct Ctl {
    /// The control socket of the kafkarium to talk to
    #[arg(long, value_name = "PATH", env = "KAFKARIUM_SOCKET", global = true, help_heading = "Which kafkarium")]
    socket: Option<PathBuf>,
    /// The data folder of the kafkarium to talk to [default: the only one that runs]
    #[arg(long, value_name = "DIR", env = "KAFKARIUM_DATA", global = true, help_heading = "Which kafkarium")]
    data: Option<PathBuf>,
    /// How to tell what came of it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, global = true)]
    #[arg(help_heading = "Output")]
    output: Format,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

impl Ctl {
    /// Sends the command and tells what came of it.
    pub fn run(&self) -> Outcome {
        if self.command.is_console_local() {
            let reason = format!("`{}` is about a console: type it at its `:` prompt", self.command);
            return Err(Failure::new(Exit::Unavailable, reason));
        }
        let path = self.socket()?;
        let answer = ControlClient::connect(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Failure::new(Exit::NobodyThere, format!("no kafkarium answers at {}", path.display()))
            }
            _ => Failure::new(Exit::NobodyThere, format!("{}: {error}", path.display())),
        });
        let answer = answer?.run(&self.command.to_string());
        self.tell(&answer.map_err(|error| Failure::new(Exit::NobodyThere, error.to_string()))?)
    }

    fn tell(&self, answer: &ControlAnswer) -> Outcome {
        match self.output {
            Format::Json => output::json(answer)?,
            Format::Text if answer.ok => output::text(&answer.text)?,
            Format::Text => {}
        }
        if answer.ok {
            return Ok(());
        }
        let reason = if self.output == Format::Json { "" } else { &answer.text };
        Err(Failure::new(Exit::from_code(answer.exit_code), reason))
    }

    fn socket(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.socket {
            return Ok(path.clone());
        }
        if let Some(folder) = &self.data {
            return data_dir::running_socket(folder)
                .ok_or_else(|| Failure::new(Exit::NobodyThere, format!("no kafkarium runs on {}", folder.display())));
        }
        let mut running = data_dir::running_sockets();
        match running.len() {
            1 => Ok(running.remove(0)),
            0 => Err(Failure::new(
                Exit::NobodyThere,
                "no kafkarium runs: start one with `kafkarium` or `kafkarium serve`, or name its --socket",
            )),
            _ => {
                let list = running.iter().map(|path| format!("\n  --socket {}", path.display())).collect::<String>();
                Err(Failure::new(Exit::Usage, format!("several kafkariums run, say which:{list}")))
            }
        }
    }
}

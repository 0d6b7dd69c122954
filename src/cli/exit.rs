//! What the process ends with. The numbers are an interface: scripts and tests rely on them.
//!
//! Invariants: one enum, one number each, documented in `--help` and the manual from [`Exit::ALL`]. 1 to 4 are a
//! command's own outcome and equal [`Reply`]'s; from 64 on they follow BSD's `sysexits.h`.
//!
//! Deliberately not here: which error leads to which.

use crate::cluster::command::Reply;
use std::io;
use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: it failed, an expectation does not hold, an invariant was violated.
    Failed,
    /// 2: the command line is wrong.
    Usage,
    /// 3: this cluster cannot do it.
    Unavailable,
    /// 4: it was not done in the time given.
    TimedOut,
    /// 66: a file to read is not there.
    NoInput,
    /// 68: nobody answers: no kafkarium runs, or no broker can be reached.
    NobodyThere,
    /// 69: a port is in use.
    PortInUse,
    /// 70: an error in kafkarium itself.
    Internal,
    /// 74: reading or writing failed.
    Io,
    /// 75: the data are in use by another kafkarium.
    DataInUse,
    /// 78: the data folder or a setting cannot be used.
    Config,
}

impl Exit {
    /// Every way to end, its number and its meaning.
    pub const ALL: [(Exit, u8, &'static str); 12] = [
        (Exit::Done, 0, "done"),
        (Exit::Failed, Reply::FAILED, "it failed, or an expectation does not hold"),
        (Exit::Usage, Reply::USAGE, "the command line is wrong"),
        (Exit::Unavailable, Reply::UNAVAILABLE, "this cluster cannot do that"),
        (Exit::TimedOut, Reply::TIMED_OUT, "not done in the time given"),
        (Exit::NoInput, 66, "a file to read is not there"),
        (Exit::NobodyThere, 68, "nobody answers: no kafkarium runs, or no broker can be reached"),
        (Exit::PortInUse, 69, "a port is in use"),
        (Exit::Internal, 70, "an error in kafkarium itself"),
        (Exit::Io, 74, "reading or writing failed"),
        (Exit::DataInUse, 75, "the data are in use by another kafkarium"),
        (Exit::Config, 78, "the data folder or a setting cannot be used"),
    ];

    /// Its number.
    pub fn code(self) -> u8 {
        Exit::ALL.iter().find(|(exit, ..)| *exit == self).expect("every way to end is listed").1
    }

    /// The way to end with that number, as a command's reply has it.
    pub fn from_code(code: u8) -> Exit {
        Exit::ALL.iter().find(|(_, number, _)| *number == code).map_or(Exit::Failed, |(exit, ..)| *exit)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a verb of the command line failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What is told on standard error; empty where everything has been said.
    pub reason: String,
}

impl Failure {
    /// A failure with its reason.
    pub fn new(exit: Exit, reason: impl Into<String>) -> Failure {
        Failure { exit, reason: reason.into() }
    }
}

impl From<io::Error> for Failure {
    /// Of reading and writing the standard streams. A reader that has seen enough (`| head`) is no failure.
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Exit::Done, ""),
            _ => Failure::new(Exit::Io, error.to_string()),
        }
    }
}

/// What a verb of the command line comes to.
pub type Outcome = Result<(), Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_stable() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|(exit, ..)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 66, 68, 69, 70, 74, 75, 78]);
        for (exit, code, _) in Exit::ALL {
            assert_eq!(Exit::from_code(code), exit);
        }
        assert_eq!(Exit::from_code(200), Exit::Failed);
    }
}

//! `kafkarium data`: where the data lie, make them smaller, delete them.
//!
//! Invariants: nothing is touched while another kafkarium uses it; nothing is deleted without `--yes` or an answer
//! typed at a terminal.
//!
//! Deliberately not here: what the files hold.

use super::exit::{Exit, Failure, Outcome};
use super::output;
use crate::cluster::command::values::Size;
use crate::cluster::data_dir::{self, DataDir, DataDirError};
use crate::cluster::options::Place;
use clap::{Args, Subcommand};
use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Arguments of `data`.
#[derive(Debug, Args)]
pub struct Data {
    /// The folder [default: kafkarium in the user's data folder]
    #[arg(long, value_name = "DIR", env = "KAFKARIUM_DATA", global = true)]
    data: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    verb: DataVerb,
}

#[derive(Debug, Subcommand)]
enum DataVerb {
    /// Print the folder the data lie in
    Path,
    /// Give back the space that deleted records have left in the files
    Compact,
    /// Delete everything: the next start begins anew
    Reset {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Failure {
        let exit = match error {
            DataDirError::InUse { .. } => Exit::DataInUse,
            DataDirError::NotOurs { .. } | DataDirError::Newer { .. } | DataDirError::NoHome => Exit::Config,
            DataDirError::Io { .. } => Exit::Io,
        };
        Failure::new(exit, error.to_string())
    }
}

impl Data {
    /// Does it.
    pub fn run(&self) -> Outcome {
        let folder = match &self.data {
            Some(folder) => folder.clone(),
            None => data_dir::default_folder()?,
        };
        match self.verb {
            DataVerb::Path => output::text(&folder.to_string_lossy()),
            DataVerb::Compact => compact(&existing(&folder)?),
            DataVerb::Reset { yes } => reset(&existing(&folder)?, yes),
        }
    }
}

/// Takes a folder, but does not make one.
fn existing(folder: &Path) -> Result<DataDir, Failure> {
    if !folder.is_dir() {
        return Err(Failure::new(Exit::NoInput, format!("{} does not exist: there are no data", folder.display())));
    }
    Ok(DataDir::open(&Place::Folder(folder.to_owned()))?)
}

fn reset(held: &DataDir, yes: bool) -> Outcome {
    let size = Size(files_below(held.folder()).iter().map(|(_, bytes)| bytes).sum());
    let what = format!("everything in {} ({})", held.folder().display(), bytesize::ByteSize(size.0));
    if !yes {
        if !io::stdin().is_terminal() {
            return Err(Failure::new(Exit::Usage, format!("this deletes {what}: say --yes")));
        }
        write!(io::stderr(), "Delete {what}? Type yes: ")?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if answer.trim() != "yes" {
            return Err(Failure::new(Exit::Failed, "nothing was deleted"));
        }
    }
    held.reset()?;
    output::narrate(&format!("Deleted {what}."));
    Ok(())
}

fn compact(held: &DataDir) -> Outcome {
    let databases =
        files_below(held.folder()).into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "redb"));
    let (mut before, mut after, mut count) = (0, 0, 0_u32);
    for (path, bytes) in databases {
        let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Io, format!("{}: {error}", path.display()));
        let mut database = redb::Database::open(&path).map_err(|error| failed(&error))?;
        database.compact().map_err(|error| failed(&error))?;
        drop(database);
        let now = fs::metadata(&path).map_err(|error| failed(&error))?.len();
        (before, after, count) = (before + bytes, after + now, count + 1);
        output::narrate(&format!("{}: {} to {}", path.display(), bytesize::ByteSize(bytes), bytesize::ByteSize(now)));
    }
    output::text(&format!("{count} files: {} before, {} after", bytesize::ByteSize(before), bytesize::ByteSize(after)))
}

/// Every file below a folder with its size; links are not followed.
fn files_below(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(facts) if facts.is_dir() => folders.push(entry.path()),
                Ok(facts) if facts.is_file() => files.push((entry.path(), facts.len())),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

//! The ready file: there once a produce with acks=all would succeed, gone when the cluster is.
//!
//! Invariants: it appears whole (written beside and renamed); it holds the bootstrap servers and a newline; a file of
//! an earlier run is removed before the cluster starts, so that nobody takes it for this one's.
//!
//! Deliberately not here: when the cluster is ready.

use super::exit::{Exit, Failure};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A ready file, removed when it is dropped.
#[derive(Debug)]
pub struct ReadyFile {
    path: PathBuf,
}

impl ReadyFile {
    /// Makes sure that there is none yet, and that there can be one.
    pub fn prepare(path: &Path) -> Result<ReadyFile, Failure> {
        let file = ReadyFile { path: path.to_owned() };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file.failed(&error)),
            _ => {}
        }
        // Better now than once everything runs. Nothing stays: the folder may be the data's, and a new one has to be empty.
        let probe = fs::write(file.beside(), "").and_then(|()| fs::remove_file(file.beside()));
        probe.map_err(|error| file.failed(&error))?;
        Ok(file)
    }

    /// Tells the bootstrap servers.
    pub fn write(&self, bootstrap: &str) -> Result<(), Failure> {
        let written = fs::write(self.beside(), format!("{bootstrap}\n"));
        written.and_then(|()| fs::rename(self.beside(), &self.path)).map_err(|error| self.failed(&error))
    }

    fn beside(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", std::process::id()));
        self.path.with_file_name(name)
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::new(Exit::Io, format!("{}: {error}", self.path.display()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Either may be missing.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(self.beside());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_only_between_ready_and_the_end() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ready");
        fs::write(&path, "of an earlier run").expect("written");
        let file = ReadyFile::prepare(&path).expect("it can be made");
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 0, "nothing yet");
        file.write("127.0.0.1:9092,127.0.0.1:9093").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "127.0.0.1:9092,127.0.0.1:9093\n");
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_said_before_anything_starts() {
        let failure = ReadyFile::prepare(Path::new("/nowhere/ready")).expect_err("no such folder");
        assert_eq!(failure.exit, Exit::Io);
    }
}

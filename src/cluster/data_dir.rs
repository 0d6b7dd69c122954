//! The folder a cluster's data lie in: found, made, marked as ours, and held by one kafkarium at a time.
//!
//! Invariants: whoever has a [`DataDir`] has the lock (an advisory lock on the file `lock`, so a process that dies
//! leaves none behind); a folder that holds something else is never taken over nor emptied; the folder is the user's
//! alone (0700). An ephemeral folder is removed when its [`DataDir`] is dropped, and one whose process died is removed
//! by the next.
//!
//! Deliberately not here: what the brokers store in it (`store`).

use super::options::Place;
use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Marks a folder as ours, and says how it is laid out.
const MARK: &str = "kafkarium.json";
const UNFINISHED_MARK: &str = "kafkarium.json.next";
/// Locked by whoever uses the folder; says who that is.
const LOCK: &str = "lock";
/// The control socket, if nothing else is asked for.
const SOCKET: &str = "control.sock";
/// The layout this program reads and writes.
const FORMAT: u32 = 1;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another kafkarium has it.
    #[error("{} is in use by another kafkarium{}", folder.display(), holder.told())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Who has it.
        holder: Holder,
    },
    /// It holds something else.
    #[error("{} is not empty and holds no data of kafkarium: name another folder", folder.display())]
    NotOurs {
        /// The folder.
        folder: PathBuf,
    },
    /// A newer kafkarium has written it.
    #[error("{} was written by a newer kafkarium (layout {format}, this one reads {FORMAT})", folder.display())]
    Newer {
        /// The folder.
        folder: PathBuf,
        /// Its layout.
        format: u32,
    },
    /// There is no home folder to put it in.
    #[error("no home folder is known: say where with --data DIR")]
    NoHome,
    /// The operating system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io { path, source }
}

/// Who holds a folder's lock, as far as the lock file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// Its process id; 0 if that is not known.
    pub pid: u32,
    /// When it took the lock, seconds since 1970 UTC.
    pub since_s: u64,
    /// Its control socket.
    pub socket: Option<PathBuf>,
}

impl Holder {
    fn told(&self) -> String {
        if self.pid == 0 {
            return String::new();
        }
        format!(
            " (process {}). `kafkarium ctl` talks to it; `--data DIR` or `--ephemeral` starts one beside it",
            self.pid
        )
    }
}

#[derive(Serialize, Deserialize)]
struct Mark {
    format: u32,
}

/// A folder for data, held by this process until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    folder: PathBuf,
    lock: File,
    ephemeral: bool,
}

impl DataDir {
    /// Takes the folder of a place, and makes it if it is missing.
    pub fn open(place: &Place) -> Result<DataDir, DataDirError> {
        match place {
            Place::Default => DataDir::take(&default_folder()?, false),
            Place::Folder(folder) => DataDir::take(folder, false),
            Place::Ephemeral => {
                let runtime = runtime_folder();
                sweep(&runtime);
                // A clock before 1970 makes no difference to the name's purpose.
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let name = format!("{}-{:x}", std::process::id(), now.as_micros());
                DataDir::take(&runtime.join(name), true)
            }
        }
    }

    fn take(folder: &Path, ephemeral: bool) -> Result<DataDir, DataDirError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
        let folder = folder.canonicalize().map_err(failed(folder))?;
        check_mark(&folder)?;
        let path = folder.join(LOCK);
        let mut options = OpenOptions::new();
        let mut lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = lock.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str(&text).ok());
                return Err(DataDirError::InUse { folder, holder: holder.unwrap_or_default() });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&path)(error)),
        }
        write_mark(&folder)?;
        let mut held = DataDir { folder, lock, ephemeral };
        held.tell(None)?;
        Ok(held)
    }

    /// The folder, absolute.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the folder is removed at the end.
    pub fn is_ephemeral(&self) -> bool {
        self.ephemeral
    }

    /// Where the control socket is, if nothing else is asked for.
    pub fn default_socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    /// Writes into the lock file who holds it and where its control socket is, for whoever finds the folder taken.
    pub fn tell(&mut self, socket: Option<PathBuf>) -> Result<(), DataDirError> {
        let path = self.folder.join(LOCK);
        let since_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let holder = Holder { pid: std::process::id(), since_s, socket };
        let text = serde_json::to_string(&holder).expect("plain data is always JSON");
        self.lock.set_len(0).map_err(failed(&path))?;
        self.lock.rewind().map_err(failed(&path))?;
        self.lock.write_all(text.as_bytes()).map_err(failed(&path))
    }

    /// Deletes everything the folder holds but its mark and its lock: the next start begins anew.
    pub fn reset(&self) -> Result<(), DataDirError> {
        for entry in fs::read_dir(&self.folder).map_err(failed(&self.folder))? {
            let entry = entry.map_err(failed(&self.folder))?;
            if entry.file_name() == MARK || entry.file_name() == LOCK {
                continue;
            }
            let path = entry.path();
            // `file_type` does not follow links: what a link points to is not ours to delete.
            let folder = entry.file_type().map_err(failed(&path))?.is_dir();
            if folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.map_err(failed(&path))?;
        }
        Ok(())
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if self.ephemeral {
            // Nobody is left to be told; the next ephemeral start sweeps what stays behind.
            let _ = fs::remove_dir_all(&self.folder);
        } else {
            // The lock ends with the file; the name of its holder should not outlive it.
            let _ = self.lock.set_len(0);
        }
    }
}

fn check_mark(folder: &Path) -> Result<(), DataDirError> {
    let path = folder.join(MARK);
    match fs::read_to_string(&path) {
        Ok(text) => match serde_json::from_str::<Mark>(&text) {
            Ok(mark) if mark.format > FORMAT => {
                Err(DataDirError::Newer { folder: folder.to_owned(), format: mark.format })
            }
            Ok(_) => Ok(()),
            Err(_) => Err(DataDirError::NotOurs { folder: folder.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A start that was interrupted may have left its lock without a mark.
            let is_ours = |name: &std::ffi::OsStr| name == LOCK || name == UNFINISHED_MARK;
            let foreign = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| !is_ours(&entry.file_name()));
            match fs::read_dir(folder).map_err(failed(folder))?.any(foreign) {
                true => Err(DataDirError::NotOurs { folder: folder.to_owned() }),
                false => Ok(()),
            }
        }
        Err(error) => Err(failed(&path)(error)),
    }
}

fn write_mark(folder: &Path) -> Result<(), DataDirError> {
    let path = folder.join(MARK);
    if path.exists() {
        return Ok(());
    }
    let text = serde_json::to_string(&Mark { format: FORMAT }).expect("plain data is always JSON");
    // Whole or not at all: a folder with half a mark would be nobody's.
    let unfinished = folder.join(UNFINISHED_MARK);
    fs::write(&unfinished, text + "\n").and_then(|()| fs::rename(&unfinished, &path)).map_err(failed(&path))
}

/// The folder that data lie in if nothing else is asked for: `$XDG_DATA_HOME/kafkarium`.
pub fn default_folder() -> Result<PathBuf, DataDirError> {
    let strategy = etcetera::base_strategy::Xdg::new().map_err(|_| DataDirError::NoHome)?;
    Ok(strategy.data_dir().join("kafkarium"))
}

/// The folder of logs of the program itself: `$XDG_STATE_HOME/kafkarium`. `None` without a home.
pub fn state_folder() -> Option<PathBuf> {
    let strategy = etcetera::base_strategy::Xdg::new().ok()?;
    Some(strategy.state_dir()?.join("kafkarium"))
}

/// The folder of what lives as long as a process: `$XDG_RUNTIME_DIR/kafkarium`, else one of the user's own in the
/// folder for temporary files.
pub fn runtime_folder() -> PathBuf {
    let runtime = etcetera::base_strategy::Xdg::new().ok().and_then(|strategy| strategy.runtime_dir());
    match runtime {
        Some(folder) => folder.join("kafkarium"),
        None => std::env::temp_dir().join(format!("kafkarium-{}", rustix::process::getuid().as_raw())),
    }
}

/// The control sockets of every kafkarium of this user that runs in the default or an ephemeral folder.
pub fn running_sockets() -> Vec<PathBuf> {
    let default = default_folder().ok();
    let ephemeral = fs::read_dir(runtime_folder()).into_iter().flatten().flatten().map(|entry| entry.path());
    default.into_iter().chain(ephemeral).filter_map(|folder| running_socket(&folder)).collect()
}

/// The control socket of the kafkarium that holds a folder, if one does.
pub fn running_socket(folder: &Path) -> Option<PathBuf> {
    if !is_held(folder) {
        return None;
    }
    let text = fs::read_to_string(folder.join(LOCK)).unwrap_or_default();
    let holder: Holder = serde_json::from_str(&text).unwrap_or_default();
    Some(holder.socket.unwrap_or_else(|| folder.join(SOCKET)))
}

/// Whether some process holds the folder's lock. A shared lock is tried, so that two who ask do not see each other.
fn is_held(folder: &Path) -> bool {
    let Ok(lock) = File::open(folder.join(LOCK)) else { return false };
    matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Removes the ephemeral folders of processes that died.
fn sweep(runtime: &Path) {
    for entry in fs::read_dir(runtime).into_iter().flatten().flatten() {
        let folder = entry.path();
        if folder.join(MARK).is_file() && folder.join(LOCK).is_file() && !is_held(&folder) {
            // Best effort: a folder that cannot be removed is no reason not to start.
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_folder(folder: &Path) -> Result<DataDir, DataDirError> {
        DataDir::open(&Place::Folder(folder.to_owned()))
    }

    #[test]
    fn one_at_a_time_and_told_who() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let folder = temporary.path().join("a/b");
        let mut first = in_folder(&folder).expect("the first gets it");
        first.tell(Some(PathBuf::from("/run/x.sock"))).expect("told");
        let error = in_folder(&folder).expect_err("the second does not");
        let DataDirError::InUse { holder, .. } = &error else { panic!("{error}") };
        assert_eq!((holder.pid, holder.socket.as_deref()), (std::process::id(), Some(Path::new("/run/x.sock"))));
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        assert_eq!(running_socket(&folder), Some(PathBuf::from("/run/x.sock")));
        drop(first);
        assert_eq!(running_socket(&folder), None);
        drop(in_folder(&folder).expect("free again"));
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        fs::write(temporary.path().join("thesis.txt"), "years of work").expect("written");
        assert!(matches!(in_folder(temporary.path()), Err(DataDirError::NotOurs { .. })));
        assert_eq!(fs::read_dir(temporary.path()).expect("read").count(), 1);
    }

    #[test]
    fn a_first_start_that_was_cut_short_can_be_made_again() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        fs::write(temporary.path().join(LOCK), "").expect("written");
        fs::write(temporary.path().join(UNFINISHED_MARK), "{\"for").expect("written");
        drop(in_folder(temporary.path()).expect("taken"));
        drop(in_folder(temporary.path()).expect("and marked"));
        assert!(!temporary.path().join(UNFINISHED_MARK).exists());
    }

    #[test]
    fn a_newer_layout_is_refused() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        fs::write(temporary.path().join(MARK), r#"{"format":99}"#).expect("written");
        assert!(matches!(in_folder(temporary.path()), Err(DataDirError::Newer { format: 99, .. })));
    }

    #[test]
    fn reset_empties_and_follows_no_link() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let (folder, elsewhere) = (temporary.path().join("data"), temporary.path().join("elsewhere"));
        fs::create_dir(&elsewhere).expect("made");
        fs::write(elsewhere.join("keep"), "").expect("written");
        let held = in_folder(&folder).expect("taken");
        fs::create_dir_all(folder.join("broker-1/x")).expect("made");
        fs::write(folder.join("broker-1/x/log"), "records").expect("written");
        std::os::unix::fs::symlink(&elsewhere, folder.join("link")).expect("linked");
        held.reset().expect("reset");
        let mut left: Vec<_> = fs::read_dir(&folder).expect("read").flatten().map(|entry| entry.file_name()).collect();
        left.sort();
        assert_eq!(left, [MARK, LOCK]);
        assert!(elsewhere.join("keep").exists());
        drop(held);
        drop(in_folder(&folder).expect("usable after a reset"));
    }

    #[test]
    fn the_dead_are_swept_and_the_living_are_not() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let dead = temporary.path().join("dead");
        drop(in_folder(&dead).expect("taken"));
        let alive = in_folder(&temporary.path().join("alive")).expect("taken");
        fs::create_dir(temporary.path().join("other")).expect("made");
        sweep(temporary.path());
        assert!(!dead.exists() && alive.folder().exists() && temporary.path().join("other").exists());
    }

    #[test]
    fn an_ephemeral_folder_goes_with_its_holder() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let held = DataDir::take(&temporary.path().join("x"), true).expect("taken");
        let folder = held.folder().to_owned();
        assert!(folder.exists());
        drop(held);
        assert!(!folder.exists());
    }
}

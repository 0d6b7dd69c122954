//! The control socket: commands from other processes of the same user, a line of JSON a request and a line an answer.
//!
//! ```text
//! > {"line":"kill 2"}
//! < {"ok":true,"text":"Broker 2 is dead.","data":{"brokers":[2]},"exit_code":0}
//! ```
//!
//! Invariants: the socket is mode 0600 from its first moment; a file that is no socket of a dead process is never
//! replaced; a request of any size or shape is answered or its connection closed; the socket's file goes with its
//! [`ControlServer`]. Requests of one connection are executed in order, those of several at once.
//!
//! Deliberately not here: what commands do ([`Execute`]).

use super::command::{Execute, ParseError, Reply, parse_line};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// The longest request, bytes: far beyond any command.
const MAX_REQUEST_BYTES: u64 = 1 << 20;
/// Connections served at once; further ones are closed.
const MAX_CONNECTIONS: usize = 64;
/// The longest path a socket can have on the systems we run on (`sun_path`, its end included).
const MAX_PATH_BYTES: usize = 104;

/// A request: one line of the command language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRequest {
    /// The line.
    pub line: String,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlAnswer {
    /// Whether it is done.
    pub ok: bool,
    /// For people: the output, or the reason it failed.
    pub text: String,
    /// For programs; `null` if there is nothing to tell.
    pub data: Value,
    /// What a process that ran the command ends with.
    pub exit_code: u8,
}

impl From<Reply> for ControlAnswer {
    fn from(reply: Reply) -> ControlAnswer {
        match reply {
            Reply::Done { text, data } => ControlAnswer { ok: true, text, data, exit_code: 0 },
            Reply::Failed { reason, exit_code } => {
                ControlAnswer { ok: false, text: reason, data: Value::Null, exit_code }
            }
        }
    }
}

/// Runs one line: what every door to a cluster does with what comes in.
pub fn run_line(line: &str, executor: &dyn Execute) -> Reply {
    match parse_line(line) {
        Ok(command) if command.is_console_local() => {
            Reply::unavailable(format!("`{command}` is about a console: type it at its `:` prompt"))
        }
        Ok(command) => executor.execute(command),
        Err(ParseError::Help(text)) => Reply::done(text),
        Err(error) => Reply::Failed { reason: error.to_string(), exit_code: Reply::USAGE },
    }
}

/// Listens until it is dropped.
pub struct ControlServer {
    path: PathBuf,
    inode: u64,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    executor: Arc<dyn Execute>,
    ended: AtomicBool,
    /// What is open, to be closed at the end. The key is a running number.
    connections: Mutex<BTreeMap<u64, UnixStream>>,
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, UnixStream>> {
        // The map is whole after every operation, whoever panicked.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ControlServer {
    /// Listens at `path`. Fails with `AddrInUse` if another process does.
    pub fn bind(path: &Path, executor: Arc<dyn Execute>) -> io::Result<ControlServer> {
        if path.as_os_str().len() >= MAX_PATH_BYTES {
            let reason =
                format!("the path of a socket can have {} bytes: name a shorter one with --socket", MAX_PATH_BYTES - 1);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        remove_dead(path)?;
        let listener = bind_private(path)?;
        let inode = std::fs::symlink_metadata(path)?.ino();
        let shared =
            Arc::new(Shared { executor, ended: AtomicBool::new(false), connections: Mutex::new(BTreeMap::new()) });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("control".to_owned()).spawn(move || accept(&listener, &shared))?
        };
        Ok(ControlServer { path: path.to_owned(), inode, shared, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes `accept`; if nobody can connect any more it has ended already.
        let woken = UnixStream::connect(&self.path).is_ok();
        if woken && let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in self.shared.connections().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if std::fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds a socket that nobody else can connect to, not for a moment: born in a folder of its own that is closed to
/// others, it is made private there and then given its name, unless the name was taken meanwhile. (A umask would do it
/// with less, but it holds for the files and folders of every other thread too.)
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let nursery = path.with_file_name(format!(".k{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&nursery)?;
    let born = nursery.join("s");
    let listener = (|| {
        let listener = UnixListener::bind(&born)?;
        std::fs::set_permissions(&born, Permissions::from_mode(0o600))?;
        std::fs::hard_link(&born, path)?;
        Ok(listener)
    })();
    // Whether it went well or not, the nursery is of no more use; what is left of it does no harm.
    let _ = std::fs::remove_file(&born);
    let _ = std::fs::remove_dir(&nursery);
    listener
}

/// Makes way for a new socket where a process that died left one.
fn remove_dead(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists and is no socket", path.display())))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => {
                let reason = format!("another kafkarium listens at {}", path.display());
                Err(io::Error::new(io::ErrorKind::AddrInUse, reason))
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(error) => Err(error),
        },
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for (number, stream) in (0_u64..).zip(listener.incoming()) {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        // An error here is one connection's (it was aborted, or there are too many open files): the next may do better.
        let Ok(stream) = stream else { continue };
        let Ok(kept) = stream.try_clone() else { continue };
        {
            let mut connections = shared.connections();
            if connections.len() >= MAX_CONNECTIONS {
                continue;
            }
            connections.insert(number, kept);
        }
        let shared_by_connection = Arc::clone(shared);
        let serving = move || {
            // Whatever ends the connection, its peer sees it end; there is nobody else to tell.
            let _ = serve(stream, &*shared_by_connection.executor);
            shared_by_connection.connections().remove(&number);
        };
        if thread::Builder::new().name("control connection".to_owned()).spawn(serving).is_err() {
            shared.connections().remove(&number);
        }
    }
}

fn serve(stream: UnixStream, executor: &dyn Execute) -> io::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        requests.by_ref().take(MAX_REQUEST_BYTES).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        let whole = line.last() == Some(&b'\n');
        let reply = match serde_json::from_slice::<ControlRequest>(&line) {
            Ok(request) => run_line(&request.line, executor),
            Err(error) => Reply::Failed { reason: format!("no request: {error}"), exit_code: Reply::USAGE },
        };
        write_line(&mut answers, &ControlAnswer::from(reply))?;
        if !whole {
            // The rest of a request that was too long, or the end.
            return Ok(());
        }
    }
}

fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// A connection to a running kafkarium.
pub struct ControlClient {
    requests: UnixStream,
    answers: BufReader<UnixStream>,
}

impl ControlClient {
    /// Connects to the socket at `path`.
    pub fn connect(path: &Path) -> io::Result<ControlClient> {
        let requests = UnixStream::connect(path)?;
        let answers = BufReader::new(requests.try_clone()?);
        Ok(ControlClient { requests, answers })
    }

    /// Runs one line there and waits for its answer, however long it takes.
    pub fn run(&mut self, line: &str) -> io::Result<ControlAnswer> {
        write_line(&mut self.requests, &ControlRequest { line: line.to_owned() })?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "kafkarium ended before it answered"));
        }
        serde_json::from_str(&answer).map_err(io::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::Command;
    use super::*;
    use serde_json::json;

    /// Repeats what it is told; `kill 9` fails.
    struct Echo;

    impl Execute for Echo {
        fn execute(&self, command: Command) -> Reply {
            match command.to_string().as_str() {
                "kill 9" => Reply::failed("there is no broker 9"),
                line => Reply::told(line, json!({ "line": line })),
            }
        }
    }

    fn server(folder: &tempfile::TempDir) -> ControlServer {
        ControlServer::bind(&folder.path().join("control.sock"), Arc::new(Echo)).expect("bound")
    }

    #[test]
    fn lines_are_run_and_answered_in_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = server(&folder);
        let mut client = ControlClient::connect(server.path()).expect("connected");
        let done = client.run("kill leader of orders-0").expect("answered");
        assert!(done.ok && done.exit_code == 0);
        assert_eq!(
            (done.text.as_str(), done.data),
            ("kill leader of orders-0", json!({"line": "kill leader of orders-0"}))
        );
        for (line, exit_code, text) in [
            ("kill 9", Reply::FAILED, "there is no broker 9"),
            ("kil 9", Reply::USAGE, "no verb `kil`: did you mean `kill`?"),
            ("", Reply::USAGE, "no command"),
            ("theme dark", Reply::UNAVAILABLE, "`theme dark` is about a console: type it at its `:` prompt"),
        ] {
            let failed = client.run(line).expect("answered");
            assert_eq!((failed.ok, failed.exit_code, failed.text.as_str()), (false, exit_code, text));
        }
        assert!(client.run("kill --help").expect("answered").text.contains("Usage: kill"));
    }

    #[test]
    fn the_socket_is_private_and_goes_with_its_server() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = server(&folder);
        let path = server.path().to_owned();
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let mut client = ControlClient::connect(&path).expect("connected");
        drop(server);
        assert!(!path.exists());
        assert!(client.run("heal").is_err(), "the connection was closed");
    }

    #[test]
    fn a_dead_socket_is_replaced_a_living_one_and_a_file_are_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("control.sock");
        drop(UnixListener::bind(&path).expect("bound, and left behind"));
        let living = ControlServer::bind(&path, Arc::new(Echo)).expect("the dead one is replaced");
        let Err(error) = ControlServer::bind(&path, Arc::new(Echo)) else { panic!("two at one path") };
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(living);
        std::fs::write(&path, "a letter").expect("written");
        let Err(error) = ControlServer::bind(&path, Arc::new(Echo)) else { panic!("a file was replaced") };
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn garbage_is_answered_and_what_is_endless_is_cut_off() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = server(&folder);
        let mut stream = UnixStream::connect(server.path()).expect("connected");
        stream.write_all(b"{\"line\":\n").expect("written");
        let mut answers = BufReader::new(stream.try_clone().expect("cloned"));
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("answered");
        assert!(answer.contains("no request"), "{answer}");
        let endless = vec![b'x'; usize::try_from(MAX_REQUEST_BYTES).expect("small") + 10];
        // The server may close before it has read all of it.
        let _ = stream.write_all(&endless);
        let mut rest = Vec::new();
        let _ = answers.read_to_end(&mut rest);
        let mut client = ControlClient::connect(server.path()).expect("others are served");
        assert!(client.run("heal").expect("answered").ok);
    }

    #[test]
    fn a_path_that_is_too_long_is_said_so() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
        let Err(error) = ControlServer::bind(&path, Arc::new(Echo)) else { panic!("bound") };
        assert!(error.to_string().contains("--socket"), "{error}");
    }
}

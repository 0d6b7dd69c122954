//! [`SimPort`]: the console's door to a simulated world, and the thread that lets its time pass.
//!
//! Invariants: one thread lets time pass and carries out commands, in the order in which they were given; whoever wants a picture waits
//! for one go of it at most. A run that panics stands still from then on, and [`SimPort::fall`] tells it.
//!
//! Deliberately not here: how much virtual time passes, and what is shown (`stage`).

use crate::cluster::command::catalogue;
use crate::cluster::demo::Deeds;
use crate::cluster::sim::stage::Stage;
use crate::cluster::view::{
    Change, ClusterPort, ClusterView, CommandDoc, CommandId, CommandReply, Completion, Consequence, ProduceDraft,
    ReadRequest, TailBatch, TailId, TopicSummary, ViewRequest,
};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest time between two goes while time passes.
const GO_EVERY: Duration = Duration::from_millis(10);
/// What others get of the world between two goes while more is due than one does.
const BREATH: Duration = Duration::from_micros(300);
/// Real time that counts at most in one go: a machine that stood still does not make the world hurry.
const STALL: Duration = Duration::from_millis(200);
/// What is said of commands to a world that has panicked.
const FALLEN: &str = "the simulated run panicked: leave, and the command that runs it again is told";
/// How long nothing may happen while time stands still.
const IDLE: Duration = Duration::from_secs(1);

struct Shared {
    stage: Mutex<Stage>,
    woken: Condvar,
    is_over: AtomicBool,
    fall: Mutex<Option<String>>,
}

impl Shared {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        // A run that panicked is looked at all the same: it is what one wants to see.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Lets somebody do something with the world; `None` if that panics, or something has before.
    fn guarded<T>(&self, act: impl FnOnce(&mut Stage) -> T) -> Option<T> {
        if self.has_fallen() {
            return None;
        }
        let mut stage = self.stage();
        catch_unwind(AssertUnwindSafe(|| act(&mut stage))).map_err(|panic| self.fell(&*panic)).ok()
    }

    fn has_fallen(&self) -> bool {
        self.fall.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn fell(&self, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
        self.fall.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| text.to_owned());
    }
}

/// What is left to know when the console has ended: whether the run panicked.
#[derive(Clone)]
pub struct Fall(Arc<Shared>);

impl Fall {
    /// What a run's panic said, if it panicked.
    pub fn message(&self) -> Option<String> {
        self.0.fall.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// See the module.
pub struct SimPort {
    shared: Arc<Shared>,
    commands: Vec<CommandDoc>,
}

impl SimPort {
    /// Lets a world's time pass from now on.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn open(stage: Stage) -> std::io::Result<SimPort> {
        let shared = Arc::new(Shared {
            stage: Mutex::new(stage),
            woken: Condvar::new(),
            is_over: AtomicBool::new(false),
            fall: Mutex::new(None),
        });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("world".to_owned()).spawn(move || keep_time(&theirs))?;
        Ok(SimPort { shared, commands: catalogue() })
    }

    /// Tells later whether the run panicked.
    pub fn fall(&self) -> Fall {
        Fall(Arc::clone(&self.shared))
    }
}

impl Drop for SimPort {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.shared.woken.notify_all();
    }
}

/// Lets time pass until the port is gone or the run panics.
fn keep_time(shared: &Shared) {
    let mut last = Instant::now();
    let mut stage = shared.stage();
    while !shared.is_over.load(Ordering::Relaxed) {
        let now = Instant::now();
        let real = now.saturating_duration_since(last).min(STALL);
        last = now;
        if shared.has_fallen() {
            return;
        }
        let is_behind = match catch_unwind(AssertUnwindSafe(|| stage.pass(real))) {
            Ok(is_behind) => is_behind,
            Err(panic) => return shared.fell(&*panic),
        };
        let nap = match (is_behind, stage.nap()) {
            (true, _) => BREATH,
            (false, Some(nap)) => nap.clamp(BREATH, GO_EVERY),
            (false, None) => IDLE,
        };
        stage = shared.woken.wait_timeout(stage, nap).unwrap_or_else(PoisonError::into_inner).0;
        if nap == IDLE {
            // Time stood still: what passed does not count.
            last = Instant::now();
        }
    }
}

impl ClusterPort for SimPort {
    fn view(&mut self, want: &ViewRequest) -> Arc<ClusterView> {
        self.shared.stage().view(want)
    }

    fn changed(&mut self) -> Change {
        self.shared.stage().changed()
    }

    fn submit(&mut self, line: &str) -> CommandId {
        let id = self.shared.guarded(|stage| stage.submit(line));
        self.shared.woken.notify_all();
        id.unwrap_or_else(|| self.shared.stage().refuse(line, FALLEN))
    }

    fn replies(&mut self) -> Vec<CommandReply> {
        self.shared.stage().replies()
    }

    fn consequence(&self, line: &str) -> Option<Consequence> {
        self.shared.stage().consequence(line)
    }

    fn undo_of(&self, line: &str) -> Option<String> {
        self.shared.stage().undo_of(line)
    }

    fn complete(&self, line: &str) -> Completion {
        self.shared.stage().complete(line)
    }

    fn deeds(&self) -> Result<Deeds, String> {
        self.shared.stage().deeds()
    }

    fn commands(&self) -> &[CommandDoc] {
        &self.commands
    }

    fn topics(&self, containing: &str, limit: usize) -> Vec<TopicSummary> {
        self.shared.stage().topics(containing, limit)
    }

    fn produce(&mut self, draft: &ProduceDraft) -> CommandId {
        let id = self.shared.guarded(|stage| stage.produce(draft));
        id.unwrap_or_else(|| self.shared.stage().refuse("produce", FALLEN))
    }

    fn open_reader(&mut self, want: &ReadRequest) -> TailId {
        self.shared.stage().open_reader(want)
    }

    fn poll_tail(&mut self, tail: TailId, limit: usize) -> TailBatch {
        self.shared.stage().poll_tail(tail, limit)
    }

    fn close_tail(&mut self, tail: TailId) {
        self.shared.stage().close_tail(tail);
    }
}

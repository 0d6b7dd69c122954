//! [`LivePort`]: the console's door to a live cluster.
//!
//! Invariants: nothing here waits for a broker: a thread asks them how they are as long as a port is open, commands run
//! on threads of their own and answer by [`ClusterPort::replies`], tails are read by the sockets' runtime.
//!
//! Deliberately not here: what is shown (`observation`), what commands do (`execute.rs`).

use crate::cluster::command::{Execute, catalogue, complete, parse_line, pin};
use crate::cluster::demo::Deeds;
use crate::cluster::live::handle::LiveCluster;
use crate::cluster::view::{
    Change, ClockMode, ClusterPort, ClusterView, CommandDoc, CommandId, CommandReply, Completion, Consequence, Outcome,
    ProduceDraft, ReadRequest, TailBatch, TailId, TopicSummary, ViewRequest,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Verbs that a live cluster cannot do.
const IN_WORLDS_ONLY: [&str; 7] =
    ["step", "rewind", "branch", "message deliver", "message drop", "message delay", "break"];

/// How often the brokers are asked how they are while nothing is told.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// ... and how often at most.
const ASK_AT_MOST_EVERY: Duration = Duration::from_millis(40);

/// See the module.
pub struct LivePort {
    cluster: LiveCluster,
    commands: Vec<CommandDoc>,
    last_id: u64,
    answers: (Sender<CommandReply>, Receiver<CommandReply>),
    /// Those that are open.
    tails: Vec<TailId>,
    is_over: Arc<AtomicBool>,
    /// Whether messages are recorded for it.
    looks_at_messages: bool,
}

impl LivePort {
    /// Opens a door.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn open(cluster: &LiveCluster) -> std::io::Result<LivePort> {
        cluster.inner.host.watch().begin_recording();
        let is_over = Arc::new(AtomicBool::new(false));
        let (weak, over) = (Arc::downgrade(&cluster.inner), Arc::clone(&is_over));
        std::thread::Builder::new().name("observer".to_owned()).spawn(move || {
            let mut seen = 0;
            while !over.load(Ordering::Relaxed) {
                let Some(supervisor) = weak.upgrade() else { return };
                supervisor.refresh();
                std::thread::sleep(ASK_AT_MOST_EVERY);
                seen = supervisor.host.history.wait(seen, ASK_EVERY);
            }
        })?;
        Ok(LivePort {
            cluster: cluster.clone(),
            // Only a simulated world's time can be gone back in: what cannot be done is not offered.
            commands: catalogue().into_iter().filter(|doc| !IN_WORLDS_ONLY.contains(&doc.name.as_str())).collect(),
            last_id: 0,
            answers: channel(),
            tails: Vec::new(),
            is_over,
            looks_at_messages: false,
        })
    }

    /// Runs something on a thread of its own and answers under a new id.
    fn run(&mut self, line: String, work: impl FnOnce(&LiveCluster) -> Outcome + Send + 'static) -> CommandId {
        self.last_id += 1;
        let id = CommandId(self.last_id);
        let (cluster, answer, told) = (self.cluster.clone(), self.answers.0.clone(), line.clone());
        let thread = std::thread::Builder::new().name("command".to_owned()).spawn(move || {
            let outcome = work(&cluster);
            // The console may be gone.
            drop(answer.send(CommandReply { id, line: told, outcome }));
        });
        if let Err(error) = thread {
            let outcome = Outcome::Failed { reason: error.to_string(), next: String::new() };
            drop(self.answers.0.send(CommandReply { id, line, outcome }));
        }
        id
    }
}

impl LivePort {
    /// Messages are recorded as long as somebody looks at them.
    fn look_at_messages(&mut self, looks: bool) {
        let recorder = &self.cluster.inner.host.wire;
        match (std::mem::replace(&mut self.looks_at_messages, looks), looks) {
            (false, true) => recorder.begin(),
            (true, false) => recorder.end(),
            _ => {}
        }
    }
}

impl Drop for LivePort {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.look_at_messages(false);
        self.tails.iter().for_each(|tail| self.cluster.inner.workload.close_tail(*tail));
    }
}

impl ClusterPort for LivePort {
    fn view(&mut self, want: &ViewRequest) -> Arc<ClusterView> {
        self.look_at_messages(want.wire.is_some());
        let host = &self.cluster.inner.host;
        let mut view = host.watch().view(want);
        if let Some(want) = &want.wire {
            let clock = &host.clock;
            let mut wire = host.wire.view(want, clock.now(), clock.is_paused(), &host.living());
            if matches!(view.clock, ClockMode::Rewound { .. }) {
                wire.go_back(view.at_ms * 1_000);
            }
            view.wire = Some(wire);
        }
        Arc::new(view)
    }

    fn changed(&mut self) -> Change {
        self.cluster.inner.host.watch().observer.changed()
    }

    fn submit(&mut self, line: &str) -> CommandId {
        let parsed = parse_line(line).map_err(|error| error.to_string());
        self.run(line.to_owned(), move |cluster| match parsed {
            Ok(command) => cluster.execute(command).outcome(),
            Err(reason) => Outcome::Failed { reason, next: String::new() },
        })
    }

    fn replies(&mut self) -> Vec<CommandReply> {
        self.answers.1.try_iter().collect()
    }

    fn consequence(&self, line: &str) -> Option<Consequence> {
        let command = parse_line(line).ok()?;
        self.cluster.inner.host.watch().observer.consequence(&command)
    }

    fn undo_of(&self, line: &str) -> Option<String> {
        let command = parse_line(line).ok()?;
        let pinned = pin(command, |who| self.cluster.inner.host.watch().observer.resolve(who)).ok()?;
        pinned.undo().map(|undo| undo.to_string())
    }

    fn complete(&self, line: &str) -> Completion {
        complete(line, &self.cluster.inner.host.watch().observer)
    }

    fn deeds(&self) -> Result<Deeds, String> {
        let inner = &self.cluster.inner;
        Ok(Deeds {
            brokers: inner.options.brokers,
            seed: None,
            deeds: inner.faults().deeds().to_vec(),
            now: Duration::from_millis(inner.host.clock.now().as_millis()),
        })
    }

    fn commands(&self) -> &[CommandDoc] {
        &self.commands
    }

    fn topics(&self, containing: &str, limit: usize) -> Vec<TopicSummary> {
        self.cluster.inner.host.watch().observer.topics(containing, limit)
    }

    fn produce(&mut self, draft: &ProduceDraft) -> CommandId {
        self.last_id += 1;
        let (id, line, answer) = (CommandId(self.last_id), format!("produce {}", draft.topic), self.answers.0.clone());
        let reply = move |outcome| {
            // The console may be gone.
            drop(answer.send(CommandReply { id, line, outcome }));
        };
        let supervisor = &self.cluster.inner;
        if supervisor.host.clock.is_paused() {
            let reason = "paused: time stands still until `run`".to_owned();
            reply(Outcome::Failed { reason, next: String::new() });
            return id;
        }
        supervisor.workload.send(draft, move |sent| {
            reply(match sent {
                Ok(summary) => Outcome::Done { summary, output: Vec::new() },
                Err(reason) => Outcome::Failed { reason, next: String::new() },
            });
        });
        id
    }

    fn open_reader(&mut self, want: &ReadRequest) -> TailId {
        let id = self.cluster.inner.workload.open_reader(want);
        self.tails.push(id);
        id
    }

    fn poll_tail(&mut self, tail: TailId, limit: usize) -> TailBatch {
        self.cluster.inner.workload.poll_tail(tail, limit)
    }

    fn close_tail(&mut self, tail: TailId) {
        self.cluster.inner.workload.close_tail(tail);
        self.tails.retain(|open| *open != tail);
    }
}

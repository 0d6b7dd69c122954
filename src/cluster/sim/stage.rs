//! A simulated world that somebody watches: how much virtual time passes, commands, and pictures of it.
//!
//! Invariants: virtual time passes only as [`Stage::pass`] is told that real time has, times the speed, and never while paused; a picture
//! is of one moment. What a command needs of virtual time it takes at once, and the world stands until real time has caught up (with two
//! seconds at most). The same calls give the same pictures.
//!
//! Deliberately not here: threads and real clocks (`port`), and what commands do to the world (`execute`).

use crate::cluster::command::{Command, Reply, catalogue, parse_line, pin};
use crate::cluster::observation::Observer;
use crate::cluster::sim::execute::resolve;
use crate::cluster::sim::run::{Phase, Run};
use crate::cluster::sim::timeline::Timeline;
use crate::cluster::view::{
    Change, ClockMode, ClusterPort, ClusterView, CommandDoc, CommandId, CommandReply, Completion, Consequence, Outcome,
    ProduceDraft, TailBatch, TailFrom, TailId, TopicSummary, ViewRequest, WorldFacts,
};
use crate::engine::time::Instant;
use std::sync::Arc;
use std::time::Duration;

/// So many happenings at most are let happen in one go: a few milliseconds of work.
const HAPPENINGS_MAX: u32 = 2_000;
/// What a command takes of virtual time beyond this, in milliseconds, is not waited for.
const AHEAD_MAX_MS: u64 = 2_000;
/// Thousandths: as fast as real time.
const NORMAL: u32 = 1_000;
/// The slowest and the fastest, in thousandths of real time.
const SPEEDS: std::ops::RangeInclusive<u32> = 10..=1_000_000;
/// A picture shows rates and offsets anew after so much virtual time, in milliseconds.
const PROGRESS_MS: u64 = 50;

/// See the module.
pub struct Stage {
    timeline: Timeline,
    seed: u64,
    is_paused: bool,
    speed_permille: u32,
    /// How far virtual time may go by now.
    due: Instant,
    /// The step and the moment of the last picture.
    shown: Option<(u64, Instant, ClockMode, u32)>,
    commands: Vec<CommandDoc>,
    last_id: u64,
    replies: Vec<CommandReply>,
    has_told_end: bool,
}

impl Stage {
    /// A run to watch from its beginning, at real time.
    pub fn new(run: Run, seed: u64) -> Stage {
        let timeline = Timeline::watched(run);
        Stage {
            due: timeline.now(),
            timeline,
            seed,
            is_paused: false,
            speed_permille: NORMAL,
            shown: None,
            commands: catalogue(),
            last_id: 0,
            replies: Vec::new(),
            has_told_end: false,
        }
    }

    /// A run to watch that stands still at its beginning.
    pub fn paused(run: Run, seed: u64) -> Stage {
        Stage { is_paused: true, ..Stage::new(run, seed) }
    }

    /// Goes to the first broken rule of this line of history, running it to its end to find it. False if every rule holds.
    pub fn go_to_violation(&mut self) -> bool {
        while self.timeline.broken().is_none() && self.timeline.step().is_some() {}
        let Some(step) = self.timeline.broken().map(|broken| broken.step) else { return false };
        self.timeline.go_to_step(step);
        self.is_paused = true;
        self.due = self.timeline.now();
        true
    }

    /// The run, its past and its commands.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Real time has passed: so much times the speed of virtual time passes. True if more is due than one go does.
    pub fn pass(&mut self, real: Duration) -> bool {
        if self.is_paused {
            return false;
        }
        let nanoseconds = real.as_nanos() * u128::from(self.speed_permille) / u128::from(NORMAL);
        self.due = self.due + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX / 4));
        let mut happenings = 0;
        let due = self.due;
        let is_behind = self.timeline.run_until(due, |_, _| {
            happenings += 1;
            happenings >= HAPPENINGS_MAX
        });
        if is_behind {
            // Faster than this machine: what it cannot do is not owed.
            self.due = self.timeline.now();
        } else if self.timeline.phase() == Phase::Open {
            self.timeline.run_to(due.max(self.timeline.now()));
        }
        self.look_for_the_end();
        is_behind
    }

    /// When the next thing is due in real time, at this speed; `None` while nothing is.
    pub fn nap(&self) -> Option<Duration> {
        if self.is_paused {
            return None;
        }
        let left = self.timeline.next_at()?.since(self.due);
        let nanoseconds = left.as_nanos() * u128::from(NORMAL) / u128::from(self.speed_permille);
        Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
    }

    /// Carries a command out.
    pub fn execute(&mut self, command: Command) -> Reply {
        match command {
            Command::Pause => self.pause(true),
            Command::Run => self.pause(false),
            Command::Speed { speed } if SPEEDS.contains(&speed.permille) => {
                self.speed_permille = speed.permille;
                Reply::done(format!("Time runs ×{speed}."))
            }
            Command::Speed { .. } => Reply::failed("a simulated world runs 0.01 to 1000 times as fast as real time"),
            command if command.needs_time() && self.is_paused => Reply::failed("paused: time stands still until `run`"),
            command => match pin(command, |who| resolve(self.timeline.world(), who)) {
                Ok(command) => {
                    let reply = self.timeline.command(command);
                    self.catch_up();
                    reply
                }
                Err(reason) => Reply::failed(reason),
            },
        }
    }

    fn pause(&mut self, is_paused: bool) -> Reply {
        if self.is_paused == is_paused {
            return Reply::failed(if is_paused { "paused already" } else { "time runs already" });
        }
        if !is_paused && self.timeline.phase() == Phase::Done {
            return Reply::failed("the run is over: go back in it, or give a command in its past");
        }
        self.is_paused = is_paused;
        self.due = self.timeline.now();
        Reply::done(if is_paused { "Time stands still." } else { "Time goes on." })
    }

    /// A command took virtual time: real time catches up, as far as anybody would wait for.
    fn catch_up(&mut self) {
        let now = self.timeline.now();
        let least = Instant::from_millis(now.as_millis().saturating_sub(AHEAD_MAX_MS));
        self.due = if self.is_paused { now } else { self.due.max(least) };
    }

    fn look_for_the_end(&mut self) {
        if self.timeline.phase() != Phase::Done {
            self.has_told_end = false;
        } else if !std::mem::replace(&mut self.has_told_end, true) {
            self.is_paused = true;
            let summary = match self.timeline.broken() {
                None => "The run is over: every rule held.".to_owned(),
                Some(broken) => format!("The run is over. {} was broken.", broken.violation.rule),
            };
            let outcome = Outcome::Done { summary, output: Vec::new() };
            self.replies.push(CommandReply { id: CommandId(0), line: "run".to_owned(), outcome });
        }
    }

    fn clock(&self) -> ClockMode {
        match (self.is_paused, self.timeline.is_in_the_past()) {
            (false, _) => ClockMode::Live { speed_permille: self.speed_permille },
            (true, true) => {
                let behind = self.timeline.furthest().since(self.timeline.now());
                ClockMode::Rewound { behind_ms: u64::try_from(behind.as_millis()).unwrap_or(u64::MAX) }
            }
            (true, false) => ClockMode::Paused { stale_ms: None },
        }
    }

    fn next_id(&mut self) -> CommandId {
        self.last_id += 1;
        CommandId(self.last_id)
    }

    fn answer(&mut self, id: CommandId, line: &str, outcome: Outcome) {
        self.replies.push(CommandReply { id, line: line.to_owned(), outcome });
    }

    fn observer(&self) -> &Observer {
        self.timeline.observer()
    }
}

impl ClusterPort for Stage {
    fn view(&mut self, want: &ViewRequest) -> Arc<ClusterView> {
        let clock = self.clock();
        self.shown = Some((self.timeline.steps(), self.timeline.now(), clock, self.timeline.branch()));
        let mut view = self.timeline.picture(clock).view(want);
        view.host.world =
            Some(WorldFacts { seed: self.seed, branch: self.timeline.branch() + 1, steps: self.timeline.steps() });
        Arc::new(view)
    }

    fn changed(&mut self) -> Change {
        let Some((steps, at, clock, branch)) = self.shown else { return Change::Facts };
        let is_same_mode = std::mem::discriminant(&clock) == std::mem::discriminant(&self.clock());
        if !is_same_mode || branch != self.timeline.branch() || self.timeline.now() < at {
            return Change::Facts;
        }
        if self.is_paused {
            return if steps == self.timeline.steps() { Change::Nothing } else { Change::Facts };
        }
        match self.observer().changed() {
            Change::Progress if self.timeline.now() < at.plus_millis(PROGRESS_MS) => Change::Nothing,
            change => change,
        }
    }

    fn submit(&mut self, line: &str) -> CommandId {
        let id = self.next_id();
        let outcome = match parse_line(line) {
            Ok(command) => self.execute(command).outcome(),
            Err(error) => Outcome::Failed { reason: error.to_string(), next: String::new() },
        };
        self.answer(id, line, outcome);
        id
    }

    fn replies(&mut self) -> Vec<CommandReply> {
        std::mem::take(&mut self.replies)
    }

    fn consequence(&self, line: &str) -> Option<Consequence> {
        self.observer().consequence(&parse_line(line).ok()?)
    }

    fn undo_of(&self, line: &str) -> Option<String> {
        let pinned = pin(parse_line(line).ok()?, |who| resolve(self.timeline.world(), who)).ok()?;
        pinned.undo().map(|undo| undo.to_string())
    }

    fn complete(&self, line: &str) -> Completion {
        crate::cluster::command::complete(line, self.observer())
    }

    fn commands(&self) -> &[CommandDoc] {
        &self.commands
    }

    fn topics(&self, containing: &str, limit: usize) -> Vec<TopicSummary> {
        self.observer().topics(containing, limit)
    }

    fn produce(&mut self, draft: &ProduceDraft) -> CommandId {
        let id = self.next_id();
        let reason = "records of a simulated world come from its own producers".to_owned();
        let next = "`demo` starts them".to_owned();
        self.answer(id, &format!("produce {}", draft.topic), Outcome::Failed { reason, next });
        id
    }

    fn open_tail(&mut self, _topic: &str, _from: TailFrom) -> TailId {
        TailId(0)
    }

    fn poll_tail(&mut self, _tail: TailId, _limit: usize) -> TailBatch {
        TailBatch {
            problem: "nobody outside a simulated world can read its records".to_owned(),
            ..TailBatch::default()
        }
    }

    fn close_tail(&mut self, _tail: TailId) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(seed: u64) -> Stage {
        let mut stage = Stage::new(Run::open(seed, 3), seed);
        say(&mut stage, "demo");
        stage
    }

    fn say(stage: &mut Stage, line: &str) -> Reply {
        stage.execute(parse_line(line).expect("a command"))
    }

    /// Real time passes in small pieces, as a thread lets it.
    fn pass(stage: &mut Stage, seconds: u64) {
        for _ in 0..seconds * 100 {
            while stage.pass(Duration::ZERO) {}
            stage.pass(Duration::from_millis(10));
        }
    }

    #[test]
    fn virtual_time_passes_with_real_time_times_the_speed_and_not_while_paused() {
        let mut stage = stage(1);
        pass(&mut stage, 1);
        assert_eq!(stage.timeline().now().as_millis(), 1_001);
        assert!(say(&mut stage, "speed 0.01").is_done());
        pass(&mut stage, 1);
        assert_eq!(stage.timeline().now().as_millis(), 1_011);
        assert!(say(&mut stage, "speed 10").is_done());
        pass(&mut stage, 1);
        assert_eq!(stage.timeline().now().as_millis(), 11_011);
        assert!(say(&mut stage, "pause").is_done());
        pass(&mut stage, 1);
        assert_eq!((stage.timeline().now().as_millis(), stage.nap()), (11_011, None));
        assert!(!say(&mut stage, "speed 0.001").is_done());
        assert!(!say(&mut stage, "speed 1001").is_done());
    }

    #[test]
    fn the_same_history_gives_the_same_picture_however_it_is_looked_at() {
        let want = ViewRequest::default();
        let picture = |looks: bool| {
            let mut stage = stage(7);
            pass(&mut stage, 2);
            assert!(say(&mut stage, "kill leader of orders-0").is_done());
            for _ in 0..30 {
                pass(&mut stage, 1);
                let _ = looks.then(|| stage.view(&want));
            }
            let mut view = (*stage.view(&want)).clone();
            // How full the strips are depends on when somebody looked.
            view.timeline.bytes_in.clear();
            view.timeline.stalls.clear();
            (view.rows, view.ledger, view.timeline.events, view.faults, view.host)
        };
        assert_eq!(picture(false), picture(true));
    }

    #[test]
    fn what_is_killed_is_seen_dead_and_the_ledger_loses_nothing() {
        let mut stage = stage(3);
        pass(&mut stage, 2);
        let id =
            resolve(stage.timeline().world(), &"leader of orders-0".parse().expect("a broker")).expect("a leader")[0];
        assert!(say(&mut stage, "kill leader of orders-0").is_done());
        pass(&mut stage, 3);
        let view = stage.view(&ViewRequest::default());
        let card = view.brokers.iter().find(|card| card.id == id).expect("a card");
        assert!(card.state.is_dead(), "{:?}", card.state);
        let row = view.rows.rows.iter().find(|row| row.name.to_string() == "orders-0").expect("a row");
        assert!(row.leader.is_some_and(|leader| leader != id));
        let ledger = view.ledger.expect("producers");
        assert!(ledger.acked > 100 && ledger.lost == 0 && ledger.readable == ledger.acked, "{ledger:?}");
        assert!(say(&mut stage, "undo").is_done());
        pass(&mut stage, 3);
        let view = stage.view(&ViewRequest::default());
        assert!(view.faults.is_empty() && view.brokers.iter().all(|card| !card.state.is_dead()));
        assert!(say(&mut stage, "undo").is_done(), "the load can be taken back too");
        assert!(!say(&mut stage, "undo").is_done(), "nothing is left to undo");
    }
}

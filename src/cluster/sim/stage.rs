//! A simulated world that somebody watches: how much virtual time passes, commands, and pictures of it.
//!
//! Invariants: virtual time passes only as [`Stage::pass`] is told that real time has, times the speed, and never while paused; a picture
//! is of one moment. What a command needs of virtual time it takes at once, and the world stands until real time has caught up (with two
//! seconds at most). The same calls give the same pictures.
//!
//! Deliberately not here: threads and real clocks (`port`), and what commands do to the world (`execute`).

use crate::cluster::command::values::MessageApi;
use crate::cluster::command::{Command, Far, Predicate, Produce, ProduceCommand, Reply, catalogue, parse_line, pin};
use crate::cluster::demo::Deeds;
use crate::cluster::observation::Observer;
use crate::cluster::sim::execute::resolve;
use crate::cluster::sim::run::{Phase, Run};
use crate::cluster::sim::tail::Tail;
use crate::cluster::sim::timeline::Timeline;
use crate::cluster::sim::world::World;
use crate::cluster::view::{
    Change, ClockMode, ClusterPort, ClusterView, CommandDoc, CommandId, CommandReply, Completion, Consequence, Outcome,
    ProduceDraft, ReadRequest, TailBatch, TailId, TopicSummary, ViewRequest, WireMessage, WireRequest, WorldFacts,
};
use crate::cluster::wire::Ring;
use crate::engine::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
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
/// So much virtual time at most does `run until` let pass.
const RUN_UNTIL_MAX: Duration = Duration::from_secs(60);
/// A picture shows rates and offsets anew after so much virtual time, in milliseconds.
const PROGRESS_MS: u64 = 50;
/// So many messages are told of what will follow, or what comes in so many happenings.
const FOLLOWING: usize = 6;
const FOLLOWING_HAPPENINGS: usize = 320;

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
    tails: BTreeMap<TailId, Tail>,
    /// What is sent next if nothing else fails, as it was found out last.
    foretold: Option<(Foretold, Vec<WireMessage>)>,
    /// APIs at whose messages time stands still.
    breaks: BTreeSet<&'static str>,
}

/// Looks whether a message is sent at which time is to stand still.
struct BreakWatch {
    breaks: BTreeSet<&'static str>,
    next: u64,
    /// What was sent, and from whom to whom.
    hit: Option<(&'static str, String)>,
}

impl BreakWatch {
    fn new(breaks: &BTreeSet<&'static str>, world: &World) -> BreakWatch {
        BreakWatch { breaks: breaks.clone(), next: world.wire.as_ref().map_or(0, Ring::next_id), hit: None }
    }

    /// Whether one was sent since the last look.
    fn look(&mut self, world: &World) -> bool {
        let Some(ring) = world.wire.as_ref().filter(|_| !self.breaks.is_empty()) else { return false };
        let new = std::mem::replace(&mut self.next, ring.next_id())..ring.next_id();
        self.hit = new.filter_map(|id| ring.api_and_way(id)).find(|(api, _)| self.breaks.contains(api));
        self.hit.is_some()
    }
}

/// What a forecast of messages is good for: the moment (step, time, branch, commands given), whether routine counts, and the filter.
type Foretold = ((u64, Instant, u32, usize), bool, String);

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
            tails: BTreeMap::new(),
            foretold: None,
            breaks: BTreeSet::new(),
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

    /// The same, and tells whoever looks which rule it is.
    pub fn show_violation(&mut self) -> bool {
        let is_broken = self.go_to_violation();
        if let Some(broken) = self.timeline.broken().filter(|_| is_broken) {
            let (reason, next) = (broken.violation.to_string(), "`rewind 1s` goes to before it".to_owned());
            self.answer(CommandId(0), "rewind --violation", Outcome::Failed { reason, next });
        }
        is_broken
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
        let mut breaks = BreakWatch::new(&self.breaks, self.timeline.world());
        let is_behind = self.timeline.run_until(due, |world, _| {
            happenings += 1;
            breaks.look(world) || happenings >= HAPPENINGS_MAX
        });
        if let Some((api, way)) = breaks.hit {
            self.stand_still();
            let outcome = Outcome::Done { summary: format!("Stopped at {api}: {way}"), output: Vec::new() };
            self.replies.push(CommandReply { id: CommandId(0), line: format!("break {api}"), outcome });
            return false;
        }
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
            Command::Run { far: Far::On } => self.pause(false),
            Command::Run { far: Far::For(time) } => self.run_for(time),
            Command::Run { far: Far::Until(predicate) } => self.run_until(&predicate),
            Command::Step { count, message: Some(words), .. } => self.step_messages(count, &words),
            Command::Step { count, back, .. } => self.step(count, back),
            Command::Break { api, off } => self.set_break(api, off),
            Command::Rewind { by, to, violation, end } => self.rewind(by, to, violation, end),
            Command::Branch => self.fork(),
            Command::Speed { speed } if SPEEDS.contains(&speed.permille) => {
                self.speed_permille = speed.permille;
                Reply::done(format!("Time runs ×{speed}."))
            }
            Command::Speed { .. } => Reply::failed("a simulated world runs 0.01 to 1000 times as fast as real time"),
            command if command.needs_time() && self.is_paused => Reply::failed("paused: time stands still until `run`"),
            command => {
                let reply = self.timeline.command(command);
                self.catch_up();
                reply
            }
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

    /// Time has gone to where somebody wanted it: it stands still there.
    fn stand_still(&mut self) -> String {
        self.is_paused = true;
        self.due = self.timeline.now();
        let now = self.timeline.now().as_millis();
        format!("T {}.{:03} s, step {}", now / 1_000, now % 1_000, self.timeline.steps())
    }

    fn run_for(&mut self, time: Duration) -> Reply {
        let end = self.timeline.now() + time;
        let mut breaks = BreakWatch::new(&self.breaks, self.timeline.world());
        self.timeline.run_until(end, |world, _| breaks.look(world));
        if let Some((api, way)) = breaks.hit {
            return Reply::done(format!("Stopped at {api}: {way}. {}.", self.stand_still()));
        }
        self.timeline.run_to(end);
        Reply::done(format!("{}.", self.stand_still()))
    }

    fn run_until(&mut self, predicate: &Predicate) -> Reply {
        let end = self.timeline.now() + RUN_UNTIL_MAX;
        let has_come = predicate.check(self.timeline.world()).holds
            || self.timeline.run_until(end, |world, _| predicate.check(world).holds);
        let seen = predicate.check(self.timeline.world()).seen;
        let now = self.stand_still();
        if has_come {
            return Reply::done(format!("{seen}. {now}."));
        }
        Reply::timed_out(format!("{predicate} did not come true: {seen} ({now})"))
    }

    fn step(&mut self, count: u64, back: bool) -> Reply {
        let before = self.timeline.steps();
        if back {
            self.timeline.go_to_step(before.saturating_sub(count));
        } else {
            for _ in 0..count {
                if self.timeline.step().is_none() {
                    break;
                }
            }
        }
        let now = self.stand_still();
        if self.timeline.steps() == before {
            return Reply::failed(if back { "this is the beginning" } else { "this is the end of the run" });
        }
        Reply::done(format!("{now}."))
    }

    /// Goes on until so many messages have arrived that words let through.
    fn step_messages(&mut self, count: u64, words: &str) -> Reply {
        let end = self.timeline.now() + RUN_UNTIL_MAX;
        for _ in 0..count {
            let seen = |world: &World| world.wire.as_ref().map(Ring::arrived);
            let mut last = seen(self.timeline.world());
            let has_come = self.timeline.run_until(end, |world, _| {
                let arrived = seen(world);
                let is_new = std::mem::replace(&mut last, arrived) != arrived;
                is_new && world.wire.as_ref().is_some_and(|ring| ring.fits(ring.arrived().1, words))
            });
            if !has_come {
                let now = self.stand_still();
                return Reply::failed(format!("no such message has arrived ({now})"));
            }
        }
        Reply::done(format!("{}.", self.stand_still()))
    }

    fn set_break(&mut self, api: Option<MessageApi>, off: bool) -> Reply {
        match (api, off) {
            (Some(MessageApi(api)), false) => {
                self.breaks.insert(api);
                Reply::done(format!("Time stands still when somebody sends {api}."))
            }
            (Some(MessageApi(api)), true) if self.breaks.remove(api) => Reply::done(format!("{api} passes.")),
            (Some(MessageApi(api)), true) => Reply::failed(format!("time does not stand still at {api}")),
            (None, _) => {
                self.breaks.clear();
                Reply::done("Every message passes.")
            }
        }
    }

    fn rewind(&mut self, by: Option<Duration>, to: Option<Duration>, violation: bool, end: bool) -> Reply {
        if violation {
            let (steps, at) = (self.timeline.steps(), self.timeline.now());
            if self.timeline.phase() == Phase::Open && self.timeline.broken().is_none() {
                return Reply::failed("every rule holds so far, and this world has no end to run to");
            }
            if !self.go_to_violation() {
                self.timeline.go_to_step(steps);
                self.due = at;
                return Reply::failed("every rule holds to the end of the run");
            }
            let broken = self.timeline.broken().expect("it was found").violation.to_string();
            return Reply::done(format!("{broken}. {}.", self.stand_still()));
        }
        let now = self.timeline.now();
        let moment = match (by, to) {
            (Some(by), _) => Instant(now.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX))),
            (None, Some(to)) => Instant::ZERO + to,
            (None, None) => self.timeline.furthest(),
        };
        if end && !self.timeline.is_in_the_past() {
            return Reply::failed("this is the latest moment already");
        }
        self.timeline.go_to(moment);
        self.timeline.run_to(moment);
        Reply::done(format!("{}.", self.stand_still()))
    }

    fn fork(&mut self) -> Reply {
        if !self.timeline.fork() {
            return Reply::failed("nothing has come after this moment: a branch begins in the past (`rewind 5s`)");
        }
        Reply::done(format!("Branch {} begins here. {}.", self.timeline.branch() + 1, self.stand_still()))
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
            self.replies.push(CommandReply { id: CommandId(0), line: "end of the run".to_owned(), outcome });
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

    /// What is sent next, found out once for each moment and filter.
    fn what_follows(&mut self, want: &WireRequest) -> Vec<WireMessage> {
        let timeline = &self.timeline;
        let moment = (timeline.steps(), timeline.now(), timeline.branch(), timeline.commands().len());
        let key = (moment, want.routine, want.filter.clone());
        match &self.foretold {
            Some((known, messages)) if *known == key => messages.clone(),
            _ => {
                let messages = timeline.what_follows(want, FOLLOWING, FOLLOWING_HAPPENINGS);
                self.foretold = Some((key, messages.clone()));
                messages
            }
        }
    }

    fn next_id(&mut self) -> CommandId {
        self.last_id += 1;
        CommandId(self.last_id)
    }

    fn answer(&mut self, id: CommandId, line: &str, outcome: Outcome) {
        self.replies.push(CommandReply { id, line: line.to_owned(), outcome });
    }

    /// Refuses a line.
    pub fn refuse(&mut self, line: &str, reason: &str) -> CommandId {
        let id = self.next_id();
        self.answer(id, line, Outcome::Failed { reason: reason.to_owned(), next: String::new() });
        id
    }

    fn observer(&self) -> &Observer {
        self.timeline.observer()
    }
}

impl ClusterPort for Stage {
    fn view(&mut self, want: &ViewRequest) -> Arc<ClusterView> {
        let clock = self.clock();
        self.shown = Some((self.timeline.steps(), self.timeline.now(), clock, self.timeline.branch()));
        let mut view = self.timeline.picture(clock, want).view(want);
        if let Some(want) = &want.wire {
            view.wire = self.timeline.world().wire.as_ref().map(|ring| ring.view(want, self.is_paused));
            if let Some(wire) = view.wire.as_mut().filter(|_| self.is_paused) {
                wire.following = self.what_follows(want);
            }
            if let Some(wire) = view.wire.as_mut() {
                wire.at_us = self.timeline.now().0 / 1_000;
                wire.breaks = self.breaks.iter().copied().collect();
            }
        }
        if let (Some(link), Some(ring)) =
            (view.link_faults.as_mut().and_then(|faults| faults.link.as_mut()), &self.timeline.world().wire)
        {
            link.traffic = Some(ring.traffic(link.ends, self.timeline.now()));
        }
        view.host.world =
            Some(WorldFacts { seed: self.seed, branch: self.timeline.branch() + 1, steps: self.timeline.steps() });
        Arc::new(view)
    }

    fn deeds(&self) -> Result<Deeds, String> {
        if self.timeline.phase() != Phase::Open {
            let seed = self.seed;
            return Err(format!("this world's faults are its plan's: `kafkarium sim --seed {seed} --emit-demo FILE`"));
        }
        Ok(self.timeline.deeds(self.seed))
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
        let command = Command::Produce(ProduceCommand::Records(Produce::from_draft(draft)));
        let line = command.to_string();
        let outcome = self.execute(command).outcome();
        self.answer(id, &line, outcome);
        id
    }

    fn open_reader(&mut self, want: &ReadRequest) -> TailId {
        self.last_id += 1;
        let id = TailId(self.last_id);
        self.tails.insert(id, Tail::new(want));
        id
    }

    fn poll_tail(&mut self, tail: TailId, limit: usize) -> TailBatch {
        let world = self.timeline.world();
        self.tails.get_mut(&tail).map(|tail| tail.poll(world, limit)).unwrap_or_default()
    }

    fn close_tail(&mut self, tail: TailId) {
        self.tails.remove(&tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::TailFrom;

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
        assert!(ledger.acked > 100 && ledger.lost == 0 && ledger.readable > 100, "{ledger:?}");
        assert!(say(&mut stage, "undo").is_done());
        pass(&mut stage, 3);
        let view = stage.view(&ViewRequest::default());
        assert!(view.faults.is_empty() && view.brokers.iter().all(|card| !card.state.is_dead()));
        assert!(say(&mut stage, "undo").is_done(), "the load can be taken back too");
        assert!(!say(&mut stage, "undo").is_done(), "nothing is left to undo");
    }

    fn facts(stage: &Stage) -> (u64, u64, u64) {
        (stage.timeline().now().as_millis(), stage.timeline().steps(), stage.timeline().world().trace.hash())
    }

    #[test]
    fn time_is_stepped_and_gone_back_in_and_comes_to_the_same_again() {
        let mut stage = stage(5);
        pass(&mut stage, 3);
        assert!(say(&mut stage, "step 10").is_done());
        let there = facts(&stage);
        assert!(say(&mut stage, "step --back").is_done());
        assert_eq!(facts(&stage).1, there.1 - 1);
        assert!(say(&mut stage, "step").is_done());
        assert_eq!(facts(&stage), there);
        assert!(say(&mut stage, "rewind 2s").is_done());
        assert!(facts(&stage).0 < there.0 - 1_900);
        assert!(matches!(stage.view(&ViewRequest::default()).clock, ClockMode::Rewound { behind_ms: 1_900.. }));
        assert!(say(&mut stage, "rewind --end").is_done());
        assert_eq!(facts(&stage), there);
        assert!(!say(&mut stage, "rewind --end").is_done(), "this is the latest moment already");
        assert!(!say(&mut stage, "branch").is_done(), "nothing comes after it");
        assert!(!say(&mut stage, "rewind --violation").is_done(), "every rule holds");
    }

    #[test]
    fn a_command_in_the_past_and_branch_forget_what_came_after() {
        let mut stage = stage(5);
        pass(&mut stage, 2);
        assert!(say(&mut stage, "kill leader of orders-0").is_done());
        pass(&mut stage, 2);
        assert!(say(&mut stage, "rewind --to 1500ms").is_done());
        assert_eq!(stage.timeline().commands().len(), 2, "the demo load and the kill");
        assert!(say(&mut stage, "branch").is_done());
        assert_eq!((stage.timeline().branch(), stage.timeline().commands().len()), (1, 1));
        assert!(say(&mut stage, "run 2s").is_done());
        assert_eq!(facts(&stage).0, 3_500);
        assert!(
            stage.timeline().world().nodes.values().all(|node| node.power == crate::cluster::sim::world::Power::On)
        );
        assert!(say(&mut stage, "run until log-end orders-0 > 100").is_done());
        let mut quiet = Stage::new(Run::open(5, 3), 5);
        assert!(!say(&mut quiet, "run until alive = 1").is_done(), "nobody dies");
    }

    #[test]
    fn a_form_writes_and_a_tail_reads_without_changing_the_world() {
        let mut stage = stage(6);
        pass(&mut stage, 2);
        let tail = stage.open_tail("orders", TailFrom::Last(3));
        let before = facts(&stage);
        let read = stage.poll_tail(tail, 100).records;
        assert!((3..=18).contains(&read.len()), "three of each of six partitions at most: {}", read.len());
        assert_eq!((facts(&stage), stage.poll_tail(tail, 100).records.len()), (before, 0));
        let draft = ProduceDraft { topic: "orders".into(), partition: Some(1), count: 2, ..ProduceDraft::default() };
        stage.produce(&draft);
        let done = |reply: &CommandReply| matches!(reply.outcome, Outcome::Done { .. });
        assert!(stage.replies().iter().all(done));
        pass(&mut stage, 1);
        let read = stage.poll_tail(tail, 10_000).records;
        assert_eq!(read.iter().filter(|record| record.value.is_none() && record.partition == 1).count(), 2);
        assert!(say(&mut stage, "rewind 2500ms").is_done());
        assert!(stage.poll_tail(tail, 10_000).records.is_empty(), "nothing is newer than what was read");
        stage.close_tail(tail);
        let nothing = stage.open_tail("nothing", TailFrom::Start);
        assert_eq!(stage.poll_tail(nothing, 1).problem, "there is no topic nothing");
    }
}

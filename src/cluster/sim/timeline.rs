//! A run that can be stepped, rewound and branched: checkpoints, each virtual second at first, and the commands that were given between
//! them.
//!
//! Invariants: the same commands at the same steps give the same world, so a rewound timeline that is run forward again comes to the very
//! state it left. A command that is given in the past forgets what came after it: a new branch, counted.
//!
//! There are at most [`CHECKPOINTS_MAX`] checkpoints: the older ones are thinned out, so that a long run does not fill the memory and going
//! back far costs a few virtual seconds more.
//!
//! Deliberately not here: pacing. Whoever holds a timeline decides how much virtual time passes in how much real time.

use crate::cluster::command::{BrokerCommand, Command, Reply, pin};
use crate::cluster::demo::{Deed, Deeds};
use crate::cluster::observation::Observer;
use crate::cluster::sim::check::Violation;
use crate::cluster::sim::execute;
use crate::cluster::sim::run::{Phase, Run};
use crate::cluster::sim::watch::Watch;
use crate::cluster::sim::world::{StepOutcome, World};
use crate::cluster::view::{ClockMode, ViewRequest, WireMessage, WireRequest};
use crate::cluster::wire::Ring;
use crate::engine::time::Instant;
use std::time::Duration;

/// How far apart checkpoints are, in virtual milliseconds.
const CHECKPOINT_EVERY_MS: u64 = 1_000;
/// So many checkpoints are kept.
const CHECKPOINTS_MAX: usize = 64;

/// A moment that one can go back to.
#[derive(Debug, Clone)]
struct Checkpoint {
    steps: u64,
    next_command: usize,
    run: Run,
    watch: Option<Box<Watch>>,
    undo: Vec<Command>,
}

/// A rule that was broken, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The happening after which it was seen.
    pub step: u64,
    /// The moment.
    pub at: Instant,
    /// Which, and how.
    pub violation: Violation,
}

/// A command that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// After how many happenings.
    pub step: u64,
    /// When.
    pub at: Instant,
    /// What.
    pub command: Command,
    /// When it was done, and whether it was: it may have let time pass, and may have been refused.
    pub outcome: Option<(Instant, bool)>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Timeline {
    run: Run,
    steps: u64,
    commands: Vec<Given>,
    next_command: usize,
    checkpoints: Vec<Checkpoint>,
    is_in_command: bool,
    branch: u32,
    furthest: Instant,
    broken: Option<Broken>,
    /// What somebody who looks at the world sees; `None` where nobody does.
    watch: Option<Box<Watch>>,
    /// What takes the last interventions back, the newest last.
    undo: Vec<Command>,
}

impl Timeline {
    /// A timeline at its beginning.
    pub fn new(run: Run) -> Timeline {
        Timeline {
            furthest: run.world.now,
            run,
            steps: 0,
            commands: Vec::new(),
            next_command: 0,
            checkpoints: Vec::new(),
            is_in_command: false,
            branch: 0,
            broken: None,
            watch: None,
            undo: Vec::new(),
        }
    }

    /// A timeline at its beginning, with somebody who looks at it.
    pub fn watched(mut run: Run) -> Timeline {
        let watch = Some(Box::new(Watch::new(&mut run.world)));
        Timeline { watch, ..Timeline::new(run) }
    }

    /// What is sent next if nothing else fails, found out in a copy of the world: as many messages as are asked for, or what comes in
    /// so many happenings.
    pub fn what_follows(&self, want: &WireRequest, messages: usize, happenings: usize) -> Vec<WireMessage> {
        let mut run = self.run.clone();
        let Some(first) = run.world.wire.as_ref().map(Ring::next_id) else { return Vec::new() };
        let look = |run: &Run| {
            let shown = run.world.wire.as_ref().map(|ring| ring.view(want, true).messages).unwrap_or_default();
            shown.into_iter().filter(|message| message.id >= first).collect::<Vec<_>>()
        };
        for happening in 1..=happenings {
            if !matches!(run.step(), Ok(Some(_))) {
                break;
            }
            let shown = if happening % 32 == 0 { look(&run) } else { Vec::new() };
            if shown.len() >= messages {
                return shown.into_iter().take(messages).collect();
            }
        }
        look(&run).into_iter().take(messages).collect()
    }

    /// What is seen of it, brought up to this moment: what is wanted tells which logs are looked into.
    ///
    /// # Panics
    /// If nobody looks at it.
    pub fn picture(&mut self, clock: ClockMode, want: &ViewRequest) -> &mut Observer {
        let watch = self.watch.as_mut().expect("somebody looks at it");
        // A checkpoint remembers what was looked into then.
        watch.observer.look_at(want.xray.as_ref());
        watch.refresh(&self.run.world, clock);
        &mut watch.observer
    }

    /// What was seen of it last.
    ///
    /// # Panics
    /// If nobody looks at it.
    pub fn observer(&self) -> &Observer {
        &self.watch.as_ref().expect("somebody looks at it").observer
    }

    /// The world at this moment.
    pub fn world(&self) -> &World {
        &self.run.world
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.run.world.now
    }

    /// Where the run is.
    pub fn phase(&self) -> Phase {
        self.run.phase()
    }

    /// How many happenings there were up to now.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How often a command given in the past began a new line of history.
    pub fn branch(&self) -> u32 {
        self.branch
    }

    /// The latest moment this line of history has seen.
    pub fn furthest(&self) -> Instant {
        self.furthest
    }

    /// Whether now lies before what this line of history has seen.
    pub fn is_in_the_past(&self) -> bool {
        self.now() < self.furthest
    }

    /// The first rule that was broken on this line of history.
    pub fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    /// The commands of this line of history that changed something or may have.
    pub fn commands(&self) -> &[Given] {
        &self.commands
    }

    /// What was done up to now, as a demo of it needs to know.
    pub fn deeds(&self, seed: u64) -> Deeds {
        let so_far = |moment: Instant| Duration::from_millis(moment.as_millis());
        let deeds = self.commands.iter().take(self.next_command).filter_map(|given| {
            let (until, _) = given.outcome.filter(|(_, is_done)| *is_done)?;
            Some(Deed { at: so_far(given.at), until: so_far(until), command: given.command.clone() })
        });
        // Before the first checkpoint is only the beginning.
        let first = self.checkpoints.first().map_or(self.world(), |point| &point.run.world);
        Deeds {
            brokers: u8::try_from(first.nodes.len()).unwrap_or(u8::MAX),
            seed: Some(seed),
            deeds: deeds.collect(),
            now: so_far(self.now()),
        }
    }

    /// Lets the next thing happen, commands that were given at this point included; `None` at the end.
    pub fn step(&mut self) -> Option<StepOutcome> {
        self.repeat_commands(None);
        self.advance()
    }

    /// Steps until a happening is of the kind that somebody waits for, or until a moment. Whether it came.
    pub fn run_until(&mut self, end: Instant, mut is_wanted: impl FnMut(&World, &StepOutcome) -> bool) -> bool {
        loop {
            if self.repeat_commands(Some(end)).is_some() {
                continue;
            }
            if self.next_at().is_none_or(|at| at > end) {
                return false;
            }
            let Some(outcome) = self.step() else { return false };
            if is_wanted(&self.run.world, &outcome) {
                return true;
            }
        }
    }

    /// Lets time pass up to a moment: everything happens that is due by then.
    pub fn run_to(&mut self, end: Instant) {
        self.run_until(end, |_, _| false);
        if self.phase() == Phase::Open {
            self.run.world.pass(end.max(self.now()));
            self.furthest = self.furthest.max(self.now());
        }
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Instant> {
        (self.phase() != Phase::Done).then(|| self.run.world.next_at())?
    }

    /// Goes to a moment of the past (or forward again): the state after the last happening that is not later.
    pub fn go_to(&mut self, at: Instant) {
        if at < self.now() {
            let reached = self.checkpoints.partition_point(|point| point.run.world.now <= at);
            // Before the first checkpoint is only the beginning, and that is the first checkpoint.
            let Some(point) = self.checkpoints.get(reached.saturating_sub(1)).cloned() else { return };
            self.restore(point);
        }
        self.run_until(at, |_, _| false);
    }

    /// Goes back to the state before a happening, by its number.
    pub fn go_to_step(&mut self, step: u64) {
        if step < self.steps {
            let reached = self.checkpoints.partition_point(|point| point.steps <= step);
            let Some(point) = self.checkpoints.get(reached.saturating_sub(1)).cloned() else { return };
            self.restore(point);
        }
        while self.steps < step && self.step().is_some() {}
    }

    /// Carries a command out now. In the past it begins a new branch: what came after is forgotten. A question changes nothing, and is no
    /// part of history.
    pub fn command(&mut self, command: Command) -> Reply {
        if matches!(command, Command::Expect { .. } | Command::Broker(BrokerCommand::List)) {
            return execute::carry_out(self, &command);
        }
        let command = match pin(command.clone(), |who| execute::resolve(self.world(), who)) {
            Ok(command) => command,
            Err(_) if execute::awaits_election(self.world(), &command) => command,
            Err(reason) => return Reply::failed(reason),
        };
        self.keep_checkpoint();
        self.fork();
        self.commands.push(Given { step: self.steps, at: self.now(), command, outcome: None });
        self.repeat_commands(None).expect("a command was just given")
    }

    /// Forgets what came after this moment: another line of history begins. False if nothing came after it.
    pub fn fork(&mut self) -> bool {
        let forgets = self.is_in_the_past() || self.next_command < self.commands.len();
        self.commands.truncate(self.next_command);
        self.checkpoints.retain(|point| point.steps <= self.steps);
        if forgets {
            self.branch += 1;
            self.furthest = self.now();
            let steps = self.steps;
            self.broken.take_if(|broken| broken.step > steps);
        }
        forgets
    }

    /// What commands that ask and wait let happen meanwhile.
    pub(super) fn advance(&mut self) -> Option<StepOutcome> {
        self.keep_checkpoint();
        let outcome = self.run.step();
        self.steps += 1;
        self.furthest = self.furthest.max(self.now());
        let outcome = outcome.unwrap_or_else(|violation| {
            self.note(violation);
            Some(StepOutcome::default())
        });
        self.look();
        outcome
    }

    fn look(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.look(&mut self.run.world);
        }
    }

    fn restore(&mut self, point: Checkpoint) {
        Checkpoint {
            steps: self.steps,
            next_command: self.next_command,
            run: self.run,
            watch: self.watch,
            undo: self.undo,
        } = point;
    }

    /// Remembers what takes a command back, and gives what takes the last one back.
    pub(super) fn undo_stack(&mut self) -> &mut Vec<Command> {
        &mut self.undo
    }

    /// The world, for a command to change it.
    pub(super) fn run_mut(&mut self) -> &mut Run {
        &mut self.run
    }

    /// Carries out what was given at this point of history, as far as it was given by a moment.
    fn repeat_commands(&mut self, until: Option<Instant>) -> Option<Reply> {
        let mut reply = None;
        while let Some(Given { step, at, command, .. }) = self.commands.get(self.next_command).cloned()
            && step <= self.steps
            && until.is_none_or(|until| at <= until)
        {
            self.next_command += 1;
            // Between two happenings time had passed before somebody said something.
            self.run.world.pass(at.max(self.now()));
            let (now, line) = (self.now(), command.to_string());
            self.run.world.trace.line(now, format_args!("command {line}"));
            self.is_in_command = true;
            let given = self.next_command - 1;
            let pinned = execute::pinned(self, &command);
            let (command, done) = match pinned {
                Ok(pinned) => {
                    let done = execute::carry_out(self, &pinned);
                    (pinned, done)
                }
                Err(reason) => (command, Reply::failed(reason)),
            };
            let outcome = Some((self.now(), done.is_done()));
            if let Some(given) = self.commands.get_mut(given) {
                (given.outcome, given.command) = (outcome, command.clone());
            }
            reply = Some(done);
            self.is_in_command = false;
            let undo = command.undo().filter(|_| !matches!(command, Command::Undo | Command::Resume { .. }));
            self.undo.extend(undo.filter(|_| reply.as_ref().is_some_and(Reply::is_done)));
            self.look();
        }
        reply
    }

    fn note(&mut self, violation: Violation) {
        if let Some(watch) = &mut self.watch {
            watch.broken(&violation);
        }
        let broken = Broken { step: self.steps, at: self.now(), violation };
        self.broken.get_or_insert(broken);
    }

    /// A command that lets time pass is never cut in two.
    fn keep_checkpoint(&mut self) {
        let is_due = |last: &Checkpoint| {
            self.steps > last.steps && self.now() >= last.run.world.now.plus_millis(CHECKPOINT_EVERY_MS)
        };
        if !self.is_in_command && self.checkpoints.last().is_none_or(is_due) {
            self.checkpoints.push(Checkpoint {
                steps: self.steps,
                next_command: self.next_command,
                run: self.run.clone(),
                watch: self.watch.clone(),
                undo: self.undo.clone(),
            });
            self.thin_out();
        }
    }

    /// Lets go of the older checkpoint where the distance between its neighbours is least against how far it is back.
    fn thin_out(&mut self) {
        if self.checkpoints.len() <= CHECKPOINTS_MAX {
            return;
        }
        let now_ms = self.now().as_millis();
        let at_ms = |index: usize| self.checkpoints[index].run.world.now.as_millis();
        // The first is the beginning, to which one can always go back; the last one is where one goes back to most.
        let inner = 1..self.checkpoints.len() - 1;
        let worth = |index: &usize| (at_ms(index + 1) - at_ms(index - 1)) * 1_000 / (now_ms - at_ms(*index) + 1);
        if let Some(index) = inner.min_by_key(worth) {
            self.checkpoints.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::command::parse_line;
    use crate::cluster::sim::run::Options;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn say(timeline: &mut Timeline, line: &str) -> Reply {
        timeline.command(parse_line(line).expect("a command"))
    }

    #[test]
    fn a_rewound_run_comes_to_the_same_state_again() {
        let mut timeline = Timeline::new(Run::new(Options::of(5), None));
        timeline.go_to(at(4_000));
        let (steps, hash) = (timeline.steps(), timeline.world().trace.hash());
        timeline.go_to(at(9_000));
        timeline.go_to(at(4_000));
        assert_eq!((timeline.steps(), timeline.world().trace.hash()), (steps, hash));
        timeline.go_to_step(steps - 1);
        assert!(timeline.is_in_the_past());
        timeline.step();
        assert_eq!((timeline.steps(), timeline.world().trace.hash()), (steps, hash));
        timeline.go_to(at(9_000));
        assert!(!timeline.is_in_the_past());
        assert_eq!((timeline.branch(), timeline.broken()), (0, None));
    }

    #[test]
    fn a_command_in_the_past_begins_a_branch_and_is_repeated_with_it() {
        let mut timeline = Timeline::new(Run::open(3, 3));
        timeline.run_to(at(2_000));
        assert!(say(&mut timeline, "topic create orders --partitions 2 --replicas 3").is_done());
        timeline.run_to(at(6_000));
        assert!(say(&mut timeline, "expect leader orders-0 != none").is_done());
        timeline.go_to(at(1_500));
        assert!(!say(&mut timeline, "expect leader orders-0 != none").is_done());
        assert_eq!((timeline.branch(), timeline.commands().len()), (0, 1));
        assert!(say(&mut timeline, "kill 3").is_done());
        assert_eq!((timeline.branch(), timeline.commands().len()), (1, 1));
        timeline.run_to(at(6_000));
        assert!(!say(&mut timeline, "expect leader orders-0 != none").is_done());
        assert!(say(&mut timeline, "kill 2").is_done());
        timeline.run_to(at(7_000));
        assert!(say(&mut timeline, "expect alive = 1").is_done());
        let hash = timeline.world().trace.hash();
        timeline.go_to(at(5_000));
        timeline.run_to(at(7_000));
        assert_eq!(timeline.world().trace.hash(), hash);
    }
}

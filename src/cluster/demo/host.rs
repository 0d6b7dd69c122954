//! What a demo is played on: a simulated cluster, where everything is exact, or a live one, where it comes true in the end.
//!
//! Deliberately not here: the order of things (`play`).

use crate::cluster::command::predicate::{Facts, Verdict};
use crate::cluster::command::{Command, Execute, Predicate, Reply};
use crate::cluster::live::LiveCluster;
use crate::cluster::sim::run::Run;
use crate::cluster::sim::timeline::Timeline;
use std::time::{Duration, Instant};

/// See the module.
pub trait Host {
    /// Carries out a command; returns when it is done.
    fn execute(&mut self, command: Command) -> Reply;
    /// Lets time pass.
    fn pass(&mut self, time: Duration);
    /// How much time has passed since it began.
    fn elapsed(&self) -> Duration;
    /// Whether a statement is true now, and what is.
    fn check(&mut self, claim: &Predicate) -> Verdict;
    /// Whether the same demo gives the same answers, to the letter.
    fn is_exact(&self) -> bool;
    /// A rule that the cluster broke, in words.
    fn broken(&self) -> Option<String>;
}

/// A simulated cluster.
pub struct SimHost {
    timeline: Timeline,
}

impl SimHost {
    /// A cluster of so many brokers at its beginning, in the world of a seed.
    pub fn new(seed: u64, brokers: u8) -> SimHost {
        SimHost { timeline: Timeline::new(Run::open(seed, i32::from(brokers))) }
    }

    /// Its world and what was done to it.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }
}

impl Host for SimHost {
    fn execute(&mut self, command: Command) -> Reply {
        OnTimeline(&mut self.timeline).execute(command)
    }

    fn pass(&mut self, time: Duration) {
        OnTimeline(&mut self.timeline).pass(time);
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.timeline.now().as_millis())
    }

    fn check(&mut self, claim: &Predicate) -> Verdict {
        OnTimeline(&mut self.timeline).check(claim)
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn broken(&self) -> Option<String> {
        self.timeline.broken().map(|broken| broken.violation.to_string())
    }
}

/// Somebody else's simulated cluster.
pub struct OnTimeline<'a>(pub &'a mut Timeline);

impl Host for OnTimeline<'_> {
    fn execute(&mut self, command: Command) -> Reply {
        self.0.command(command)
    }

    fn pass(&mut self, time: Duration) {
        let end = self.0.now() + time;
        self.0.run_to(end);
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.now().as_millis())
    }

    fn check(&mut self, claim: &Predicate) -> Verdict {
        claim.check(self.0.world() as &dyn Facts)
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn broken(&self) -> Option<String> {
        self.0.broken().map(|broken| broken.violation.to_string())
    }
}

/// A live cluster.
pub struct LiveHost {
    cluster: LiveCluster,
    began: Instant,
}

impl LiveHost {
    /// A cluster that runs and is ready.
    pub fn new(cluster: LiveCluster) -> LiveHost {
        LiveHost { cluster, began: Instant::now() }
    }
}

impl Host for LiveHost {
    fn execute(&mut self, command: Command) -> Reply {
        Execute::execute(&self.cluster, command)
    }

    fn pass(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn check(&mut self, claim: &Predicate) -> Verdict {
        let reply = Execute::execute(&self.cluster, Command::Expect { predicate: claim.clone() });
        match reply {
            Reply::Done { text, .. } => Verdict { holds: true, seen: text.trim_end_matches('.').to_owned() },
            Reply::Failed { reason, .. } => Verdict { holds: false, seen: reason },
        }
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn broken(&self) -> Option<String> {
        None
    }
}

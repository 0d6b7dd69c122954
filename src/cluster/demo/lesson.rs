//! A demo that is read: it stops before what is done next and at each question, and can be gone back in.
//!
//! Invariants: no time passes while it waits for its reader; a lesson that is read comes to the very states that the same demo comes to when
//! it is checked, whatever the pace; going back restores the world, the picture of it and the text to what they were.
//!
//! Deliberately not here: live clusters, which cannot go back (`play` tells them line by line).

use super::host::OnTimeline;
use super::play::{Next, Player, Told};
use super::story::{Action, Demo};
use crate::cluster::command::{Command, Predicate, Who};
use crate::cluster::sim::timeline::Timeline;
use crate::cluster::view::{LessonState, LessonView, Page, PartitionName, Turn};
use crate::engine::time::Instant;
use std::sync::Arc;

/// A place where the reader was waited for.
#[derive(Debug, Clone)]
struct Stop {
    timeline: Timeline,
    player: Player,
    pages: Vec<(usize, Page)>,
    state: LessonState,
    score: (u32, u32),
}

/// What time passes for.
#[derive(Debug, Clone)]
enum Pending {
    /// A moment.
    Moment(Instant),
    /// That something becomes true, at most until then.
    Truth(Box<Predicate>, Instant),
}

/// See the module.
pub struct Lesson {
    player: Player,
    /// What was told, with the scene it belongs to.
    pages: Vec<(usize, Page)>,
    state: LessonState,
    pending: Option<Pending>,
    stops: Vec<Stop>,
    score: (u32, u32),
    focus: Option<PartitionName>,
}

impl Lesson {
    /// A lesson before its first word; it is told up to its first stop at once.
    pub fn open(demo: Demo, timeline: &mut Timeline) -> Lesson {
        let focus = first_partition(&demo);
        let mut lesson = Lesson {
            player: Player::new(Arc::new(demo)),
            pages: Vec::new(),
            state: LessonState::Waits,
            pending: None,
            stops: Vec::new(),
            score: (0, 0),
            focus,
        };
        lesson.tell(timeline);
        lesson
    }

    /// Whether the world has to stand still.
    pub fn waits(&self) -> bool {
        self.pending.is_none()
    }

    /// The reader does something.
    pub fn turn(&mut self, turn: Turn, timeline: &mut Timeline) {
        match turn {
            Turn::Choose(choice) => {
                if let (LessonState::Asks, Some((_, page))) = (&self.state, self.pages.last_mut())
                    && let Told::Asked(question) = &page.told
                    && choice < question.choices.len()
                {
                    page.chosen = Some(choice);
                }
            }
            Turn::Next if self.state == LessonState::Asks => self.reveal(timeline),
            Turn::Next if self.state == LessonState::Waits => {
                self.keep_stop(timeline);
                self.go_on(timeline);
            }
            Turn::Next => {}
            Turn::Back => self.back(timeline),
            Turn::Again => {
                self.stops.truncate(1);
                self.back(timeline);
            }
        }
    }

    /// Lets time pass up to a moment, as far as the lesson wants it to.
    pub fn run(&mut self, due: Instant, timeline: &mut Timeline) {
        while let Some(pending) = &self.pending {
            let has_come = match pending {
                Pending::Moment(moment) => {
                    timeline.run_to((*moment).min(due));
                    timeline.now() >= *moment
                }
                Pending::Truth(predicate, until) => {
                    let is_true = |world: &_| predicate.check(world).holds;
                    let has_come = is_true(timeline.world())
                        || timeline.run_until((*until).min(due), |world, _| predicate.check(world).holds);
                    // When time is up, the command itself says what is wrong.
                    has_come || due >= *until
                }
            };
            if !has_come {
                // Time passes also while nothing happens.
                timeline.run_to(due.max(timeline.now()));
                return;
            }
            self.pending = None;
            self.play_line(timeline);
            if self.pending.is_none() && self.state_runs() {
                self.go_on(timeline);
            }
        }
    }

    /// What is shown of it.
    pub fn view(&self) -> LessonView {
        let scene = self.pages.last().map_or(0, |(scene, _)| *scene);
        let told = self.pages.iter().filter(|(of, _)| *of == scene).map(|(_, page)| page.clone()).collect();
        LessonView {
            demo: Arc::clone(self.player.demo()),
            scene,
            told,
            state: self.state.clone(),
            beats: self.player.progress(),
            score: self.score,
            can_go_back: !self.stops.is_empty(),
            focus: self.focus.clone(),
        }
    }

    fn state_runs(&self) -> bool {
        matches!(self.state, LessonState::Runs(_))
    }

    fn keep_stop(&mut self, timeline: &Timeline) {
        self.stops.push(Stop {
            timeline: timeline.clone(),
            player: self.player.clone(),
            pages: self.pages.clone(),
            state: self.state.clone(),
            score: self.score,
        });
    }

    fn back(&mut self, timeline: &mut Timeline) {
        if let Some(stop) = self.stops.pop() {
            *timeline = stop.timeline;
            self.player = stop.player;
            self.pages = stop.pages;
            self.state = stop.state;
            self.score = stop.score;
            self.pending = None;
        }
    }

    /// Shows the right answer, and goes on to the next stop.
    fn reveal(&mut self, timeline: &mut Timeline) {
        self.keep_stop(timeline);
        if let Some((_, page)) = self.pages.last_mut()
            && let Told::Asked(question) = &page.told
        {
            page.is_revealed = true;
            if let Some(chosen) = page.chosen {
                self.score.0 += u32::from(question.choices[chosen].is_right);
                self.score.1 += 1;
            }
        }
        self.state = LessonState::Waits;
    }

    /// Does what comes next, and tells what follows, up to the next stop or until time has to pass.
    fn go_on(&mut self, timeline: &mut Timeline) {
        while let Next::Line(line) = self.player.peek() {
            self.state = LessonState::Runs(line.text.clone());
            self.pending = match &line.action {
                Action::Pass(time) => Some(Pending::Moment(timeline.now() + *time)),
                Action::Command(command) if !line.is_refused => match &**command {
                    Command::Wait { predicate, within } => {
                        Some(Pending::Truth(Box::new(predicate.clone()), timeline.now() + *within))
                    }
                    _ => None,
                },
                Action::Focus(what) => {
                    self.focus = partition_of(what).or_else(|| self.focus.take());
                    None
                }
                Action::Command(_) | Action::Pace(_) | Action::Mark(_) => None,
            };
            if self.pending.is_some() {
                return;
            }
            self.play_line(timeline);
            if !self.state_runs() {
                return;
            }
        }
        self.tell(timeline);
    }

    /// Plays the line that is due, for which time has passed already.
    fn play_line(&mut self, timeline: &mut Timeline) {
        let has_passed = matches!(self.player.peek(), Next::Line(line) if matches!(line.action, Action::Pass(_)));
        let beat = if has_passed { self.player.skip().map(Ok) } else { self.player.next(&mut OnTimeline(timeline)) };
        self.take(beat);
    }

    /// Tells text up to the next stop.
    fn tell(&mut self, timeline: &mut Timeline) {
        loop {
            match self.player.peek() {
                Next::Line(_) => {
                    self.state = LessonState::Waits;
                    return;
                }
                Next::Scene
                    if self.pages.last().is_some_and(|(_, page)| !matches!(page.told, Told::Scene(_)))
                        && self.state_runs() =>
                {
                    // What a scene ends with is read before the next one covers it.
                    self.state = LessonState::Waits;
                    return;
                }
                Next::End => {
                    self.state = LessonState::Over;
                    return;
                }
                Next::Scene | Next::Text | Next::Question => {
                    let beat = self.player.next(&mut OnTimeline(timeline));
                    self.state = LessonState::Waits;
                    self.take(beat);
                    if self.state != LessonState::Waits {
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, beat: Option<Result<Told, super::Mismatch>>) {
        match beat {
            None => self.state = LessonState::Over,
            Some(Err(mismatch)) => {
                self.pending = None;
                self.state = LessonState::Broken(mismatch.to_string());
            }
            Some(Ok(told)) => {
                if matches!(told, Told::Asked(_)) {
                    self.state = LessonState::Asks;
                }
                let page = Page { told, chosen: None, is_revealed: false };
                self.pages.push((self.player.scene(), page));
            }
        }
    }
}

/// `orders-0`.
fn partition_of(text: &str) -> Option<PartitionName> {
    let name = text.split_whitespace().last()?;
    let (topic, partition) = name.rsplit_once('-')?;
    Some(PartitionName::new(topic, partition.parse().ok()?))
}

/// The first partition that a demo speaks of: what it is about unless it says something else.
fn first_partition(demo: &Demo) -> Option<PartitionName> {
    demo.lines().find_map(|line| {
        let Action::Command(command) = &line.action else { return None };
        let partition = match &**command {
            Command::Wait { predicate, .. } | Command::Expect { predicate } => predicate.partition()?,
            Command::Kill { who: Who::LeaderOf(partition) } => partition,
            _ => return None,
        };
        Some(PartitionName::new(&partition.topic, partition.partition))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::demo::{Host, SimHost, shipped};
    use crate::cluster::sim::run::Run;
    use std::time::Duration;

    fn open(name: &str) -> (Lesson, Timeline) {
        let demo = shipped(name).expect("it ships");
        let mut timeline = Timeline::watched(Run::open(demo.seed, i32::from(demo.brokers)));
        let lesson = Lesson::open(demo, &mut timeline);
        (lesson, timeline)
    }

    /// Lets time pass in small pieces until the reader is waited for.
    fn run(lesson: &mut Lesson, timeline: &mut Timeline) {
        while !lesson.waits() {
            lesson.run(timeline.now() + Duration::from_millis(7), timeline);
        }
    }

    fn read(lesson: &mut Lesson, timeline: &mut Timeline) -> usize {
        let mut stops = 0;
        while !matches!(lesson.view().state, LessonState::Over | LessonState::Broken(_)) {
            lesson.turn(Turn::Choose(1), timeline);
            lesson.turn(Turn::Next, timeline);
            run(lesson, timeline);
            stops += 1;
            assert!(stops < 100, "it never ends");
        }
        stops
    }

    #[test]
    fn a_lesson_that_is_read_comes_to_the_state_that_a_checked_one_comes_to() {
        let (mut lesson, mut timeline) = open("leader-failover");
        read(&mut lesson, &mut timeline);
        let view = lesson.view();
        assert_eq!((view.state, view.score, view.scene), (LessonState::Over, (1, 1), 1));
        let demo = shipped("leader-failover").expect("it ships");
        let mut host = SimHost::new(demo.seed, demo.brokers);
        let mut player = Player::new(Arc::new(demo));
        while player.next(&mut host).is_some() {}
        assert_eq!(host.elapsed(), Duration::from_millis(timeline.now().as_millis()));
        assert_eq!(host.timeline().steps(), timeline.steps());
    }

    #[test]
    fn it_waits_before_what_it_does_and_asks_before_it_shows() {
        let (mut lesson, mut timeline) = open("leader-failover");
        assert_eq!(lesson.view().state, LessonState::Waits);
        let before = timeline.now();
        lesson.run(before + Duration::from_secs(5), &mut timeline);
        assert_eq!(timeline.now(), before, "no time passes while it waits");
        lesson.turn(Turn::Next, &mut timeline);
        assert!(matches!(lesson.view().state, LessonState::Runs(line) if line.starts_with("wait isr")));
        run(&mut lesson, &mut timeline);
        assert_eq!(lesson.view().state, LessonState::Asks);
        assert_eq!(lesson.view().focus, Some(PartitionName::new("orders", 0)));
        lesson.turn(Turn::Choose(0), &mut timeline);
        lesson.turn(Turn::Next, &mut timeline);
        let view = lesson.view();
        let page = view.told.last().expect("a page");
        assert_eq!((view.state, view.score, page.is_revealed), (LessonState::Waits, (0, 1), true));
    }

    #[test]
    fn going_back_restores_text_and_world_and_going_on_again_comes_to_the_same() {
        let (mut lesson, mut timeline) = open("leader-failover");
        let first = (lesson.view(), timeline.now());
        let stops = read(&mut lesson, &mut timeline);
        let end = (lesson.view(), timeline.now(), timeline.world().trace.hash());
        for _ in 0..stops {
            lesson.turn(Turn::Back, &mut timeline);
        }
        assert_eq!((lesson.view(), timeline.now()), first);
        lesson.turn(Turn::Back, &mut timeline);
        read(&mut lesson, &mut timeline);
        assert_eq!((lesson.view(), timeline.now(), timeline.world().trace.hash()), end);
        lesson.turn(Turn::Again, &mut timeline);
        assert_eq!((lesson.view(), timeline.now()), first);
    }
}

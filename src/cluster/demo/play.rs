//! Plays a demo on a cluster, one beat at a time: a heading, a paragraph, a command, a question.
//!
//! Invariants: a beat that the cluster contradicts is a [`Mismatch`], and nothing is played after it; on an exact host an answer has to be
//! the demo's to the letter at once, elsewhere within [`EVENTUALLY`].
//!
//! Deliberately not here: what a viewer sees of it, and how long a viewer takes.

use super::host::Host;
use super::story::{Action, Block, Demo, Expected, Line, Paragraph, Part, Question, Span};
use crate::cluster::command::Reply;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer of a cluster that is not exact may take to become the demo's.
const EVENTUALLY: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a beat was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A scene begins: its title.
    Scene(String),
    /// Something was told.
    Text(Paragraph),
    /// Something was done.
    Did {
        /// The line of the demo.
        line: Line,
        /// What the cluster answered; may be empty.
        answer: String,
    },
    /// Something is asked.
    Asked(Question),
}

/// What comes next in a demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// A heading.
    Scene,
    /// Something is told.
    Text,
    /// Something is done.
    Line(&'a Line),
    /// Something is asked.
    Question,
    /// Nothing.
    End,
}

/// A demo and a cluster disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The demo's file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What the demo says.
    pub expected: String,
    /// What is.
    pub seen: String,
    /// The seed of the simulated world; `None` on a live cluster.
    pub seed: Option<u64>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = |f: &mut fmt::Formatter<'_>, what: &str, text: &str| {
            if text.contains('\n') {
                write!(f, "\n  {what}:\n    {}", text.replace('\n', "\n    "))
            } else {
                write!(f, "\n  {what}: {text}")
            }
        };
        write!(f, "{}:{}: the cluster says otherwise", self.file, self.line)?;
        lines(f, "expected", &self.expected)?;
        lines(f, "seen", &self.seen)?;
        match self.seed {
            Some(seed) => write!(f, "\n  seed: {seed}"),
            None => Ok(()),
        }
    }
}

/// Where a beat is: the scene, its part, and the line of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beat {
    Scene(usize),
    Part(usize, usize),
    Line(usize, usize, usize),
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Player {
    demo: Arc<Demo>,
    beats: Vec<Beat>,
    next: usize,
    /// Whether answers are taken as they come instead of compared.
    takes_answers: bool,
    answers: Vec<(Range<usize>, String)>,
}

impl Player {
    /// At the beginning of a demo.
    pub fn new(demo: Arc<Demo>) -> Player {
        let mut beats = Vec::new();
        for (scene_at, scene) in demo.scenes.iter().enumerate() {
            beats.push(Beat::Scene(scene_at));
            for (part_at, part) in scene.parts.iter().enumerate() {
                match part {
                    Part::Done(block) => {
                        beats.extend((0..block.lines.len()).map(|line| Beat::Line(scene_at, part_at, line)));
                    }
                    Part::Told(_) | Part::Asked(_) => beats.push(Beat::Part(scene_at, part_at)),
                }
            }
        }
        Player { demo, beats, next: 0, takes_answers: false, answers: Vec::new() }
    }

    /// The same, with answers taken from the cluster: what [`Player::updated`] writes.
    pub fn updating(demo: Arc<Demo>) -> Player {
        Player { takes_answers: true, ..Player::new(demo) }
    }

    /// The demo.
    pub fn demo(&self) -> &Arc<Demo> {
        &self.demo
    }

    /// How many beats were played, and how many there are.
    pub fn progress(&self) -> (usize, usize) {
        (self.next, self.beats.len())
    }

    /// What the next beat is.
    pub fn peek(&self) -> Next<'_> {
        let Some(beat) = self.beats.get(self.next) else { return Next::End };
        match *beat {
            Beat::Scene(_) => Next::Scene,
            Beat::Part(scene, part) => match &self.demo.scenes[scene].parts[part] {
                Part::Asked(_) => Next::Question,
                Part::Told(_) | Part::Done(_) => Next::Text,
            },
            Beat::Line(scene, part, line) => match &self.demo.scenes[scene].parts[part] {
                Part::Done(block) => Next::Line(&block.lines[line]),
                Part::Told(_) | Part::Asked(_) => unreachable!("only a block has lines"),
            },
        }
    }

    /// The scene of the last beat that was played, by its place.
    pub fn scene(&self) -> usize {
        match self.beats[self.next.saturating_sub(1)] {
            Beat::Scene(scene) | Beat::Part(scene, _) | Beat::Line(scene, ..) => scene,
        }
    }

    /// Takes the next line as played: somebody else has let its time pass. `None` where the next beat is no line.
    pub fn skip(&mut self) -> Option<Told> {
        let Next::Line(line) = self.peek() else { return None };
        let told = Told::Did { line: line.clone(), answer: String::new() };
        self.next += 1;
        Some(told)
    }

    /// Plays the next beat; `None` at the end.
    ///
    /// # Errors
    /// If the cluster contradicts the demo.
    pub fn next(&mut self, host: &mut dyn Host) -> Option<Result<Told, Mismatch>> {
        let beat = *self.beats.get(self.next)?;
        self.next += 1;
        let demo = Arc::clone(&self.demo);
        let told = match beat {
            Beat::Scene(scene) => Ok(Told::Scene(demo.scenes[scene].title.clone())),
            Beat::Part(scene, part) => match &demo.scenes[scene].parts[part] {
                Part::Told(paragraph) => self.tell(paragraph, host),
                Part::Asked(question) => Ok(Told::Asked(question.clone())),
                Part::Done(_) => unreachable!("a block is played by its lines"),
            },
            Beat::Line(scene, part, line) => {
                let Part::Done(block) = &demo.scenes[scene].parts[part] else { unreachable!("only a block has lines") };
                self.act(block, line, host)
            }
        };
        Some(told.and_then(|told| match host.broken() {
            Some(rule) => Err(self.mismatch(line_of(&told), "every rule of the cluster to hold".into(), rule, host)),
            None => Ok(told),
        }))
    }

    /// The demo's text with the answers that were taken.
    pub fn updated(&self) -> String {
        let mut source = self.demo.source.clone();
        for (range, answer) in self.answers.iter().rev() {
            source.replace_range(range.clone(), &format!("{answer}\n"));
        }
        source
    }

    fn mismatch(&self, line: usize, expected: String, seen: String, host: &dyn Host) -> Mismatch {
        let seed = host.is_exact().then_some(self.demo.seed);
        Mismatch { file: self.demo.file.clone(), line, expected, seen, seed }
    }

    /// Tells a paragraph, whose claims have to be true.
    fn tell(&self, paragraph: &Paragraph, host: &mut dyn Host) -> Result<Told, Mismatch> {
        for span in &paragraph.spans {
            let Span::Claim(claim, text) = span else { continue };
            let mut verdict = host.check(claim);
            let end = host.elapsed() + EVENTUALLY;
            while !verdict.holds && !host.is_exact() && host.elapsed() < end {
                host.pass(AGAIN_AFTER);
                verdict = host.check(claim);
            }
            if !verdict.holds {
                return Err(self.mismatch(paragraph.line, text.clone(), verdict.seen, host));
            }
        }
        Ok(Told::Text(paragraph.clone()))
    }

    /// Plays a line of a block; the last one's answer is compared.
    fn act(&mut self, block: &Block, at: usize, host: &mut dyn Host) -> Result<Told, Mismatch> {
        let line = &block.lines[at];
        let expected = block.expected.as_ref().filter(|_| at + 1 == block.lines.len());
        let Action::Command(command) = &line.action else {
            if let Action::Pass(time) = &line.action {
                host.pass(*time);
            }
            return Ok(Told::Did { line: line.clone(), answer: String::new() });
        };
        let ask = |host: &mut dyn Host| {
            let answer = answer_of(host.execute((**command).clone()));
            if !line.is_refused {
                return answer;
            }
            match answer {
                Err(reason) => Ok(reason),
                Ok(answer) => Err(format!("it was not refused: {answer}")),
            }
        };
        let mut answer = ask(host);
        let end = host.elapsed() + EVENTUALLY;
        while !host.is_exact() && command.is_question() && !is_as(&answer, expected) && host.elapsed() < end {
            host.pass(AGAIN_AFTER);
            answer = ask(host);
        }
        match (answer, expected) {
            (Err(reason), _) => Err(self.mismatch(line.number, line.text.clone(), reason, host)),
            (Ok(answer), Some(expected)) if self.takes_answers => {
                self.answers.push((expected.range.clone(), answer.clone()));
                Ok(Told::Did { line: line.clone(), answer })
            }
            (Ok(answer), Some(expected)) if answer != expected.text => {
                Err(self.mismatch(expected.line, expected.text.clone(), answer, host))
            }
            (Ok(answer), _) => Ok(Told::Did { line: line.clone(), answer }),
        }
    }
}

fn is_as(answer: &Result<String, String>, expected: Option<&Expected>) -> bool {
    answer.as_ref().is_ok_and(|answer| expected.is_none_or(|expected| *answer == expected.text))
}

/// A reply's text without trailing spaces, or its reason.
fn answer_of(reply: Reply) -> Result<String, String> {
    match reply {
        Reply::Done { text, .. } => {
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            Ok(lines.join("\n").trim_end().to_owned())
        }
        Reply::Failed { reason, .. } => Err(reason),
    }
}

fn line_of(told: &Told) -> usize {
    match told {
        Told::Scene(_) => 1,
        Told::Text(paragraph) => paragraph.line,
        Told::Did { line, .. } => line.number,
        Told::Asked(question) => question.line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::demo::SimHost;

    const DEMO: &str = "---\ntitle: The leader dies\nteaches: election\nneeds: 3 brokers\nseed: 7\n---\n\
        Every partition has one leader.\n\n```kafkarium\ntopic create orders --partitions 1 --replicas 3\n\
        wait isr orders-0 = 1,2,3 --within 5s\n```\n\
        Nobody is missing: `under-replicated = 0`.\n\n```kafkarium\nkill leader of orders-0\n\
        wait leader orders-0 != none --within 10s\nexpect alive = 2\n----\nalive is 2.\n```\n";

    fn play(source: &str) -> (Vec<Told>, Option<Mismatch>, Player) {
        let demo = Arc::new(Demo::parse("demos/a.md", source).unwrap_or_else(|mistake| panic!("{mistake}")));
        let mut host = SimHost::new(demo.seed, demo.brokers);
        let mut player = Player::new(demo);
        let mut told = Vec::new();
        while let Some(beat) = player.next(&mut host) {
            match beat {
                Ok(beat) => told.push(beat),
                Err(mismatch) => return (told, Some(mismatch), player),
            }
        }
        (told, None, player)
    }

    #[test]
    fn a_demo_that_is_true_is_played_to_its_end_twice_the_same() {
        let (told, mismatch, player) = play(DEMO);
        assert_eq!((mismatch, player.progress()), (None, (8, 8)));
        assert!(matches!(&told[0], Told::Scene(title) if title == "The leader dies"));
        assert!(matches!(&told[7], Told::Did { answer, .. } if answer == "alive is 2."));
        assert_eq!(told, play(DEMO).0);
    }

    #[test]
    fn a_claim_an_answer_and_a_command_that_are_not_so_are_told_with_line_and_seed() {
        let (_, mismatch, _) = play(&DEMO.replace("under-replicated = 0", "under-replicated = 1"));
        let told = mismatch.expect("a claim that is not true").to_string();
        assert_eq!(
            told,
            "demos/a.md:13: the cluster says otherwise\n  expected: under-replicated = 1\n  seen: under-replicated is 0\n  seed: 7"
        );
        let (_, mismatch, _) = play(&DEMO.replace("alive is 2.", "alive is 3."));
        let mismatch = mismatch.expect("another answer");
        assert_eq!((mismatch.line, mismatch.seen.as_str()), (20, "alive is 2."));
        let (_, mismatch, _) =
            play(&DEMO.replace("expect alive = 2\n----\nalive is 2.", "! kill 7\n----\nthere is no broker 7"));
        assert_eq!(mismatch, None, "what has to be refused is");
        let (_, mismatch, _) = play(&DEMO.replace("expect alive = 2", "! expect alive = 2"));
        assert_eq!(mismatch.expect("it is done").seen, "it was not refused: alive is 2.");
        let (told, mismatch, _) = play(&DEMO.replace("kill leader of orders-0", "kill 7"));
        let mismatch = mismatch.expect("no broker 7");
        assert_eq!((mismatch.line, mismatch.expected.as_str()), (16, "kill 7"));
        assert_eq!(told.len(), 5, "nothing is played after it");
    }

    #[test]
    fn answers_can_be_taken_from_the_cluster() {
        let wrong = DEMO.replace("alive is 2.", "to be\nseen");
        let demo = Arc::new(Demo::parse("a.md", &wrong).expect("a demo"));
        let mut host = SimHost::new(demo.seed, demo.brokers);
        let mut player = Player::updating(demo);
        while let Some(beat) = player.next(&mut host) {
            beat.unwrap_or_else(|mismatch| panic!("{mismatch}"));
        }
        assert_eq!(player.updated(), DEMO);
    }
}

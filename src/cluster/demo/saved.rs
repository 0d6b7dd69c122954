//! What somebody did to a cluster, written as a demo: the set-up, then the faults since the beginning or since everything was healed last,
//! each in its time.
//!
//! Invariants: what is written can be read ([`Demo::parse`]); an `undo` is written as what it did; who was down when everything was healed
//! is down at the demo's beginning. Times are rounded to milliseconds.
//!
//! Deliberately not here: where it is written to (the console), and prose: whoever saves it tells the story.

use super::host::{Host, SimHost};
use super::play::Player;
use super::story::Demo;
use crate::cluster::command::values::duration_text;
use crate::cluster::command::{BrokerCommand, ClockCommand, Command, Predicate, Who, catalogue};
use crate::protocol::ids::BrokerId;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// Between two steps of the set-up no more time passes than this.
const SET_UP_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Stands for an answer that was not given yet.
const ANSWER: &str = "…";
/// What is said of the end, where it is so.
const TRUE_AT_THE_END: [&str; 5] =
    ["no-leader = 0", "under-replicated = 0", "lost = 0", "duplicated = 0", "reordered = 0"];

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// When it began, in the cluster's time.
    pub at: Duration,
    /// When it was done.
    pub until: Duration,
    /// What.
    pub command: Command,
}

/// All that was done to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deeds {
    /// How many brokers it had at its beginning.
    pub brokers: u8,
    /// The seed of a simulated world.
    pub seed: Option<u64>,
    /// What was done, the oldest first.
    pub deeds: Vec<Deed>,
    /// The cluster's time now.
    pub now: Duration,
}

/// What a deed is in a demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// It breaks or mends something.
    Fault,
    /// It is needed for what comes later, faults or not.
    SetUp,
    /// It is about the time and the watching, or asks.
    Nothing,
}

fn sort(command: &Command) -> Sort {
    match command {
        Command::Stop { .. }
        | Command::Kill { .. }
        | Command::Powerloss { .. }
        | Command::Wipe { .. }
        | Command::Suspend { .. }
        | Command::Resume { .. }
        | Command::Start { .. }
        | Command::Restart { .. }
        | Command::Link(_)
        | Command::Drop(_)
        | Command::Disk(_)
        | Command::Clock(ClockCommand::Skew(_))
        | Command::Heal => Sort::Fault,
        Command::Broker(BrokerCommand::List) => Sort::Nothing,
        Command::Broker(_)
        | Command::Topic(_)
        | Command::Config(_)
        | Command::Reassign(_)
        | Command::Elect(_)
        | Command::Group(_)
        | Command::Transaction(_)
        | Command::Produce(_)
        | Command::Consume(_)
        | Command::Demo
            if !command.is_question() =>
        {
            Sort::SetUp
        }
        _ => Sort::Nothing,
    }
}

/// A deed with what `undo` meant when it was given.
fn resolved(deeds: &[Deed]) -> Vec<Deed> {
    let mut undo: Vec<Command> = Vec::new();
    let mut all = Vec::new();
    for deed in deeds {
        let mut deed = deed.clone();
        if deed.command == Command::Undo {
            let Some(meant) = undo.pop() else { continue };
            deed.command = meant;
        } else if !matches!(deed.command, Command::Resume { .. } | Command::Run { .. }) {
            undo.extend(deed.command.undo());
            if deed.command == Command::Heal {
                undo.clear();
            }
        }
        all.push(deed);
    }
    all
}

/// Brokers that are down after some deeds, each with what brought it there.
fn down(deeds: &[Deed]) -> Vec<Deed> {
    let mut down: Vec<(BrokerId, Deed)> = Vec::new();
    for deed in deeds {
        let (who, goes) = match &deed.command {
            Command::Stop { who } | Command::Kill { who } | Command::Powerloss { who } => (who, true),
            Command::Start { who } | Command::Restart { who } => (who, false),
            _ => continue,
        };
        let Who::Ids(ids) = who else { continue };
        let ids: BTreeSet<BrokerId> = ids.iter().copied().collect();
        down.retain(|(id, _)| !ids.contains(id));
        if goes {
            down.extend(ids.into_iter().map(|id| (id, deed.clone())));
        }
    }
    // One command may have ended several; only those that stayed down are meant.
    let only = |(id, deed): (BrokerId, Deed)| {
        let who = Who::Ids(vec![id]);
        let command = match deed.command {
            Command::Stop { .. } => Command::Stop { who },
            Command::Powerloss { .. } => Command::Powerloss { who },
            _ => Command::Kill { who },
        };
        Deed { command, ..deed }
    };
    down.into_iter().map(only).collect()
}

/// `2.1 s`, as one reads it.
fn spoken(time: Duration) -> String {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if ms < 1_000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1_000, ms % 1_000 / 100) }
}

fn pause(time: Duration) -> Option<String> {
    let rounded = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    (!rounded.is_zero()).then(|| format!("run {}", duration_text(rounded)))
}

/// What a command does, in the words of its manual, as the middle of a sentence.
fn summary(command: &Command) -> String {
    let line = command.to_string();
    let begins = |name: &str| line.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    let doc = catalogue().into_iter().filter(|doc| begins(&doc.name)).max_by_key(|doc| doc.name.len());
    let mut text = doc.map_or_else(|| line.clone(), |doc| doc.summary);
    if text.chars().nth(1).is_some_and(char::is_lowercase) {
        text[..1].make_ascii_lowercase();
    }
    text
}

impl Deeds {
    /// The demo's text. Answers stand in it as `…`; [`with_answers`] puts in what a simulated cluster says.
    ///
    /// # Errors
    /// If nothing was broken since the beginning, or since everything was healed.
    pub fn as_demo(&self, name: &str) -> Result<String, String> {
        let all = resolved(&self.deeds);
        let healed = all.iter().rposition(|deed| deed.command == Command::Heal).map_or(0, |place| place + 1);
        let (before, since) = all.split_at(healed);
        let Some(first) = since.iter().position(|deed| sort(&deed.command) == Sort::Fault) else {
            let since = if healed > 0 { "since everything was healed" } else { "yet" };
            return Err(format!("nothing was broken {since}: break something first"));
        };
        let mut set_up: Vec<Deed> = before.iter().filter(|deed| sort(&deed.command) == Sort::SetUp).cloned().collect();
        set_up.extend(down(before));
        set_up.sort_by_key(|deed| deed.at);
        set_up.extend(since[..first].iter().filter(|deed| sort(&deed.command) == Sort::SetUp).cloned());
        let done: Vec<&Deed> = since[first..].iter().filter(|deed| sort(&deed.command) != Sort::Nothing).collect();
        let lines: Vec<String> = done.iter().map(|deed| deed.command.to_string()).take(3).collect();
        let mut text = self.head(name, &lines.join(", "));
        write_set_up(&mut text, &set_up, done[0].at);
        let mut until = done[0].at;
        text.push_str("\n## What was done\n");
        for deed in &done {
            write_deed(&mut text, deed, deed.at.saturating_sub(until), self.seed.is_some());
            until = deed.until;
        }
        if let Some(line) = pause(self.now.saturating_sub(until)) {
            write!(text, "\n## Afterwards\n\nTime passes.\n\n```kafkarium\n{line}\n```\n").expect("a string takes it");
        }
        Ok(text)
    }

    /// The cluster's time that passes in the demo, about.
    pub fn length(&self) -> Duration {
        let all = resolved(&self.deeds);
        let healed = all.iter().rposition(|deed| deed.command == Command::Heal).map_or(0, |place| place + 1);
        let first = all[healed..].iter().find(|deed| sort(&deed.command) == Sort::Fault);
        self.now.saturating_sub(first.map_or(Duration::ZERO, |deed| deed.at))
    }

    fn head(&self, name: &str, lines: &str) -> String {
        let title = name.replace(['-', '_'], " ");
        let (seed, live) = (self.seed.unwrap_or(1), if self.seed.is_none() { "live: true\n" } else { "" });
        let brokers = self.brokers;
        let on = match self.seed {
            Some(seed) => format!("the simulated world of seed {seed}"),
            None => "a live cluster".to_owned(),
        };
        format!(
            "---\ntitle: {title}\nteaches: what comes of {lines}\nneeds: {brokers} brokers\nseed: {seed}\n{live}---\n\
             Saved from {on}. Tell here what is to be seen.\n"
        )
    }
}

/// Everything that is needed before the first fault, at most two seconds apart.
fn write_set_up(text: &mut String, set_up: &[Deed], end: Duration) {
    if set_up.is_empty() {
        return;
    }
    text.push_str("\n```kafkarium\n");
    let next = set_up.iter().skip(1).map(|deed| deed.at).chain([end]);
    for (deed, next) in set_up.iter().zip(next) {
        writeln!(text, "{}", deed.command).expect("a string takes it");
        if let Some(line) = pause(next.saturating_sub(deed.until).min(SET_UP_PAUSE_MAX)) {
            writeln!(text, "{line}").expect("a string takes it");
        }
    }
    text.push_str("```\n");
}

fn write_deed(text: &mut String, deed: &Deed, after: Duration, has_answer: bool) {
    let summary = summary(&deed.command);
    match pause(after) {
        Some(_) => writeln!(text, "\nAfter {}: {summary}.\n", spoken(after)),
        None => writeln!(text, "\nAnd: {summary}.\n"),
    }
    .expect("a string takes it");
    text.push_str("```kafkarium\n");
    if let Some(line) = pause(after) {
        writeln!(text, "{line}").expect("a string takes it");
    }
    writeln!(text, "{}", deed.command).expect("a string takes it");
    if has_answer {
        writeln!(text, "----\n{ANSWER}").expect("a string takes it");
    }
    text.push_str("```\n");
}

/// The demo with what its simulated cluster answers, and with what is true at its end: as it is then, it passes its check.
///
/// # Errors
/// If it cannot be read, or a command of it is refused when it is played.
pub fn with_answers(file: &str, text: &str) -> Result<String, String> {
    let demo = Demo::parse(file, text).map_err(|mistake| mistake.to_string())?;
    let (seed, brokers) = (demo.seed, demo.brokers);
    let mut host = SimHost::new(seed, brokers);
    let mut player = Player::updating(Arc::new(demo));
    while let Some(told) = player.next(&mut host) {
        told.map_err(|mismatch| mismatch.to_string())?;
    }
    let mut text = player.updated();
    let alive = (0..=u32::from(u8::MAX)).map(|count| format!("alive = {count}"));
    let mut is_so = |line: &String| line.parse::<Predicate>().is_ok_and(|claim| host.check(&claim).holds);
    let claims: Vec<String> = alive.filter(&mut is_so).take(1).collect();
    let claims: Vec<String> =
        claims.into_iter().chain(TRUE_AT_THE_END.iter().map(|line| (*line).to_owned()).filter(&mut is_so)).collect();
    if !claims.is_empty() {
        text.push_str("\nIn the end:\n\n```kafkarium\n");
        claims.iter().for_each(|claim| writeln!(text, "expect {claim}").expect("a string takes it"));
        text.push_str("```\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::command::parse_line;
    use crate::cluster::sim::run::Run;
    use crate::cluster::sim::stage::Stage;
    use crate::cluster::view::ClusterPort;

    /// What was done in a world of three brokers, half a second apart.
    fn deeds(lines: &[&str]) -> Deeds {
        let mut stage = Stage::new(Run::open(5, 3), 5);
        for line in lines {
            let reply = stage.execute(parse_line(line).expect("a command"));
            assert!(reply.is_done() || line.starts_with("kill 9"), "{line}: {reply:?}");
            for _ in 0..10 {
                stage.pass(Duration::from_millis(50));
                while stage.pass(Duration::ZERO) {}
            }
        }
        stage.deeds().expect("a world without a plan")
    }

    fn commands(text: &str) -> Vec<&str> {
        let verbs = ["topic", "produce", "link", "kill", "start", "stop", "disk", "heal", "undo", "pause", "clock"];
        text.lines().filter(|line| verbs.contains(&line.split(' ').next().unwrap_or_default())).collect()
    }

    fn check(text: &str) {
        let demo = Arc::new(Demo::parse("saved.md", text).unwrap_or_else(|mistake| panic!("{mistake}\n{text}")));
        let mut host = SimHost::new(demo.seed, demo.brokers);
        let mut player = Player::new(demo);
        while let Some(told) = player.next(&mut host) {
            told.unwrap_or_else(|mismatch| panic!("{mismatch}\n{text}"));
        }
    }

    const SET_UP: [&str; 2] = ["topic create orders --partitions 3 --replicas 3", "produce orders --rate 50/s"];

    #[test]
    fn what_was_done_becomes_a_demo_that_passes_its_check() {
        let done = ["link cut 1 to 2", "kill 3", "topic list", "disk slow 1 200ms", "undo", "undo", "clock skew 2 +5s"];
        let deeds = deeds(&[&SET_UP[..], &done[..]].concat());
        let text = with_answers("saved.md", &deeds.as_demo("saved").expect("faults")).expect("it can be played");
        let told = commands(&text);
        assert_eq!(
            told[2..],
            ["link cut 1 to 2", "kill 3", "disk slow 1 200ms", "disk heal 1", "start 3", "clock skew 2 +5s"]
        );
        assert!(told[0].starts_with("topic create orders") && told[1].starts_with("produce orders"), "{text}");
        assert!(text.contains("seed: 5") && text.contains("needs: 3 brokers") && !text.contains(ANSWER), "{text}");
        assert!(text.contains("expect alive = 3") && text.contains("expect lost = 0"), "{text}");
        check(&text);
    }

    #[test]
    fn what_was_healed_is_left_out_but_for_who_stayed_down() {
        let before = ["link cut 1 to 2", "kill 3", "kill 9", "heal"];
        let deeds = deeds(&[&SET_UP[..], &before[..], &["disk slow 1 100ms"]].concat());
        let text = deeds.as_demo("after").expect("a fault");
        assert_eq!(commands(&text)[2..], ["kill 3", "disk slow 1 100ms"], "{text}");
        check(&with_answers("after.md", &text).expect("it can be played"));
    }

    #[test]
    fn where_nothing_is_broken_there_is_nothing_to_save() {
        let refused = |lines: &[&str]| deeds(lines).as_demo("a").expect_err("nothing to tell");
        assert!(refused(&SET_UP).contains("nothing was broken yet"));
        assert!(refused(&[&SET_UP[..], &["link cut 1 2", "heal"]].concat()).contains("since everything was healed"));
    }
}

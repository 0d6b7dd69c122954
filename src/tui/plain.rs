//! Plain mode: the console as lines, for screen readers, logs and pipes.
//!
//! The same snapshots as the screens are made of ([`ClusterView`]) become sentences: first what there is
//! ([`Narrator::opening`]), then a line for each change ([`Narrator::changes`]). [`session`] is the loop around it.
//!
//! Invariants: no colour, no border, no key; glyphs that a voice cannot say are words; however much happens, at most
//! [`BURST`] lines come at once and [`LINES_A_SECOND`] go on coming, and what is left out is counted.
//!
//! Deliberately not here: reading and writing (`session`), and what answers to questions say (`sentences`).

pub mod sentences;
pub mod session;

use super::headline::{self, Mood};
use super::numbers::{count, moment, plural};
use crate::cluster::view::{ClockMode, ClusterView, EventKind, Ledger, TimelineEvent};
use std::collections::BTreeMap;

/// So many lines of changes may come at once.
pub const BURST: u64 = 24;
/// So many lines of changes a second go on coming.
pub const LINES_A_SECOND: u64 = 6;
/// Changes of one kind that are told one by one in one look; of more, the first ones and how many others.
const ALIKE: usize = 4;

/// Turns snapshots into lines.
#[derive(Debug, Clone, Default)]
pub struct Narrator {
    /// The newest fact told.
    seen: Option<u64>,
    at_ms: u64,
    chip: String,
    clock: ClockMode,
    verdict: Option<Verdict>,
    budget: Budget,
    /// Changes for which there was no room.
    untold: u64,
}

/// What a change of the ledger is told of.
type Verdict = (u64, u64, u64, bool);

fn verdict(ledger: &Ledger) -> Verdict {
    (ledger.lost, ledger.duplicated, ledger.reordered, ledger.unknown_since_ms.is_some())
}

impl Narrator {
    /// What there is, in sentences. What changes from here on is a change.
    pub fn opening(&mut self, view: &ClusterView) -> Vec<String> {
        let headline = headline::of(view);
        self.seen = Some(newest(view));
        (self.at_ms, self.clock, self.chip) = (view.at_ms, view.clock, headline.chip);
        self.verdict = view.ledger.as_ref().map(verdict);
        let mut lines = sentences::cluster(view);
        lines.extend(sentences::status(view));
        lines.push("Type a command and press Enter. help lists the commands, quit leaves.".to_owned());
        lines.iter().map(|line| spoken(line)).collect()
    }

    /// What has changed since the last picture. `now_ms` is real time since the beginning: it bounds the rate.
    pub fn changes(&mut self, view: &ClusterView, now_ms: u64) -> Vec<String> {
        let mut changes = Vec::new();
        let has_gone_back = view.at_ms < self.at_ms;
        if has_gone_back {
            changes.push((view.at_ms, "Time has gone back to this moment.".to_owned()));
            self.seen = Some(newest(view));
        }
        changes.extend(self.clock_change(view, has_gone_back));
        changes.extend(self.facts(view));
        changes.extend(self.headline_change(view));
        changes.extend(self.verdict_change(view));
        self.at_ms = view.at_ms;
        self.budget.refill(now_ms);
        let mut lines = Vec::new();
        if self.untold > 0 && self.budget.take() {
            let untold = std::mem::take(&mut self.untold);
            lines.push(told(
                view,
                view.at_ms,
                &format!("{} happened too fast to tell.", plural(untold, "more change")),
            ));
        }
        for (at_ms, change) in changes {
            if self.budget.take() {
                lines.push(told(view, at_ms, &change));
            } else {
                self.untold += 1;
            }
        }
        lines
    }

    /// Whether something is still to be told, though nothing changes any more.
    pub fn has_untold(&self) -> bool {
        self.untold > 0
    }

    fn clock_change(&mut self, view: &ClusterView, has_gone_back: bool) -> Option<(u64, String)> {
        let was = std::mem::replace(&mut self.clock, view.clock);
        let text = match (was, view.clock) {
            (ClockMode::Live { .. }, ClockMode::Live { .. }) => return None,
            (_, ClockMode::Live { .. }) => "Time goes on.",
            (ClockMode::Live { .. }, ClockMode::Paused { stale_ms: None }) => "Time stands still.",
            (ClockMode::Live { .. }, ClockMode::Paused { .. }) => "This picture stands still; the cluster goes on.",
            (ClockMode::Live { .. }, ClockMode::Rewound { .. }) if !has_gone_back => "Time stands still in the past.",
            _ => return None,
        };
        Some((view.at_ms, text.to_owned()))
    }

    /// The new facts of the timeline, many of a kind as a few and a number.
    fn facts(&mut self, view: &ClusterView) -> Vec<(u64, String)> {
        let seen = self.seen.unwrap_or(0);
        let new: Vec<&TimelineEvent> = view.timeline.events.iter().filter(|event| event.id > seen).collect();
        let mut of_kind: BTreeMap<EventKind, Vec<&TimelineEvent>> = BTreeMap::new();
        for event in &new {
            of_kind.entry(event.kind).or_default().push(event);
        }
        let (mut one_by_one, mut counts) = (Vec::new(), Vec::new());
        for (kind, mut alike) in of_kind {
            if alike.len() > ALIKE {
                let last_ms = alike.iter().map(|event| event.at_ms).max().unwrap_or(view.at_ms);
                let more = count((alike.len() - ALIKE) as u64);
                counts.push((last_ms, format!("And {more} more like it: {}.", kind_words(kind))));
                // The user's own topics before Kafka's.
                alike.sort_by_key(|event| event.text.starts_with("__"));
                alike.truncate(ALIKE);
            }
            one_by_one.extend(alike);
        }
        one_by_one.sort_by_key(|event| event.id);
        let mut lines: Vec<(u64, String)> =
            one_by_one.into_iter().map(|event| (event.at_ms, sentence(&event.text))).collect();
        lines.extend(counts);
        // More than the timeline holds came since the last look: the oldest of what it holds are all new.
        let is_gap = seen > 0 && view.timeline.dropped > 0 && new.len() == view.timeline.events.len();
        if is_gap && !new.is_empty() {
            lines.insert(0, (new[0].at_ms, "Earlier changes are not kept.".to_owned()));
        }
        self.seen = Some(newest(view).max(seen));
        lines
    }

    fn headline_change(&mut self, view: &ClusterView) -> Option<(u64, String)> {
        let headline = headline::of(view);
        if headline.chip == self.chip {
            return None;
        }
        self.chip.clone_from(&headline.chip);
        // That nothing is wrong any more is worth more with the verdict on the records.
        let verdict = match (headline.mood, &view.ledger) {
            (Mood::Good, Some(ledger)) if ledger.acked > 0 => format!(" {}", sentences::verdict(ledger)),
            _ => String::new(),
        };
        Some((view.at_ms, format!("{}: {}{verdict}", headline.chip, sentence(&headline.said()))))
    }

    fn verdict_change(&mut self, view: &ClusterView) -> Option<(u64, String)> {
        let ledger = view.ledger.as_ref()?;
        let new = verdict(ledger);
        let old = self.verdict.replace(new)?;
        (old != new).then(|| (view.at_ms, sentences::verdict(ledger)))
    }
}

fn newest(view: &ClusterView) -> u64 {
    view.timeline.events.iter().map(|event| event.id).max().unwrap_or(0)
}

/// A line of the log: the moment, then what happened.
fn told(view: &ClusterView, at_ms: u64, what: &str) -> String {
    spoken(&format!("{}: {what}", moment(view, at_ms, 1)))
}

/// A fact as a sentence: a capital where it begins with a word, and a full stop. Names keep their case.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let begins_with_word = ["broker ", "link ", "topic ", "disk ", "clock ", "fenced ", "kill ", "the "];
    let mut out = String::with_capacity(text.len() + 1);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if begins_with_word.iter().any(|word| text.starts_with(word)) => out.extend(first.to_uppercase()),
        first => out.extend(first),
    }
    out.push_str(letters.as_str());
    if !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}

/// A text with words for what a voice cannot say.
pub fn spoken(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '→' => out.push_str("to"),
            '⇄' => out.push_str("and"),
            '×' => out.push_str("times "),
            '≥' => out.push_str("at least"),
            '−' | '–' => out.push('-'),
            '—' => out.push_str(" - "),
            '…' => out.push_str("..."),
            '“' | '”' => out.push('"'),
            '’' => out.push('\''),
            control if control.is_control() && control != '\t' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

fn kind_words(kind: EventKind) -> &'static str {
    match kind {
        EventKind::BrokerDied => "brokers died",
        EventKind::BrokerStopped => "brokers stopped",
        EventKind::BrokerStarting => "brokers start",
        EventKind::BrokerUp => "brokers are up",
        EventKind::Suspended => "brokers were suspended",
        EventKind::Resumed => "brokers go on",
        EventKind::Fenced => "brokers were fenced",
        EventKind::LinkCut | EventKind::LinkSlow | EventKind::LinkLossy => "links have a fault",
        EventKind::DiskSlow | EventKind::DiskFault => "disks have a fault",
        EventKind::Healed => "faults ended",
        EventKind::LeaderElected => "partitions have a new leader",
        EventKind::LeaderLost => "partitions have no leader",
        EventKind::ControllerElected => "new controllers",
        EventKind::ControllerLost => "times without a controller",
        EventKind::CandidateStands => "brokers stood for controller",
        EventKind::IsrShrunk => "in-sync replicas left",
        EventKind::IsrExpanded => "replicas came back in sync",
        EventKind::HighWatermarkStalled => "high watermarks stand still",
        EventKind::Truncated => "replicas cut their logs",
        EventKind::RecordsLost => "partitions lost records",
        EventKind::TopicChanged => "topics changed",
        EventKind::ConfigChanged => "settings changed",
        EventKind::GroupRebalances => "groups rebalance",
        EventKind::GroupStable => "groups are stable",
        EventKind::Clock => "changes of the clock",
        EventKind::Mark => "marks",
    }
}

/// How many lines may still be written, in thousandths of a line.
#[derive(Debug, Clone)]
struct Budget {
    thousandths: u64,
    at_ms: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { thousandths: BURST * 1_000, at_ms: 0 }
    }
}

impl Budget {
    fn refill(&mut self, now_ms: u64) {
        let earned = now_ms.saturating_sub(self.at_ms).saturating_mul(LINES_A_SECOND);
        self.thousandths = self.thousandths.saturating_add(earned).min(BURST * 1_000);
        self.at_ms = self.at_ms.max(now_ms);
    }

    fn take(&mut self) -> bool {
        let has = self.thousandths >= 1_000;
        if has {
            self.thousandths -= 1_000;
        }
        has
    }
}

#[cfg(test)]
mod tests;

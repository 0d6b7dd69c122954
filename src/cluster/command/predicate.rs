//! PREDICATE: what `wait` waits for and `expect` expects.
//!
//! Invariants: one `FromStr`, one `Display`, each the other's inverse; one evaluation ([`Predicate::check`]) for every
//! host, over the few facts of [`Facts`]. What is unknown never holds, not even for `!=`.
//!
//! Deliberately not here: waiting, and how a host comes by its facts.

use super::values::{Partition, broker_id, broker_ids, join_ids};
use crate::protocol::ids::BrokerId;
use std::fmt;
use std::str::FromStr;

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Comparison {
    /// From the longest sign to the shortest, so that `<=` is not read as `<`.
    const SIGNS: [(&'static str, Comparison); 7] = [
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("==", Comparison::Equal),
        ("=", Comparison::Equal),
        ("<", Comparison::Less),
        (">", Comparison::More),
    ];

    fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::Less => left < right,
            Comparison::AtMost => left <= right,
            Comparison::More => left > right,
            Comparison::AtLeast => left >= right,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::More => ">",
            Comparison::AtLeast => ">=",
        })
    }
}

/// What a predicate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// Brokers that run and are not fenced.
    Alive,
    /// Records acknowledged to our own producers.
    Acked,
    /// Acknowledged records that can be read.
    Readable,
    /// Acknowledged records that can no longer be read.
    Lost,
    /// Records that can be read more than once.
    Duplicated,
    /// Records read in another order than they were sent in, within one partition.
    Reordered,
    /// Partitions with fewer in-sync replicas than replicas.
    UnderReplicated,
    /// Partitions without a leader.
    Leaderless,
    /// Faults that are active.
    Faults,
}

impl Count {
    /// Every count with its word.
    pub const WORDS: [(&'static str, Count); 9] = [
        ("alive", Count::Alive),
        ("acked", Count::Acked),
        ("readable", Count::Readable),
        ("lost", Count::Lost),
        ("duplicated", Count::Duplicated),
        ("reordered", Count::Reordered),
        ("under-replicated", Count::UnderReplicated),
        ("leaderless", Count::Leaderless),
        ("faults", Count::Faults),
    ];

    /// Its word in the language.
    pub fn word(self) -> &'static str {
        Count::WORDS.iter().find(|(_, count)| *count == self).expect("every count has a word").0
    }
}

/// A number of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// `epoch orders-0`: the leader epoch.
    LeaderEpoch,
    /// `high-watermark orders-0`: the offset below which records can be read.
    HighWatermark,
    /// `log-end orders-0`: the offset the leader gives to the next record.
    LogEndOffset,
    /// `log-start orders-0`: the offset of the oldest record that is kept.
    LogStartOffset,
}

impl Measure {
    const WORDS: [(&'static str, Measure); 4] = [
        ("epoch", Measure::LeaderEpoch),
        ("high-watermark", Measure::HighWatermark),
        ("log-end", Measure::LogEndOffset),
        ("log-start", Measure::LogStartOffset),
    ];

    fn word(self) -> &'static str {
        Measure::WORDS.iter().find(|(_, measure)| *measure == self).expect("every measure has a word").0
    }
}

/// A number of a consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupMeasure {
    /// `lag orders-app`: records between its committed offsets and the high watermarks, over all partitions that it has committed.
    Lag,
    /// `members orders-app`.
    Members,
    /// `generation orders-app`: of a group of KIP-848 its epoch.
    Generation,
}

impl GroupMeasure {
    const WORDS: [(&'static str, GroupMeasure); 3] =
        [("lag", GroupMeasure::Lag), ("members", GroupMeasure::Members), ("generation", GroupMeasure::Generation)];

    fn word(self) -> &'static str {
        GroupMeasure::WORDS.iter().find(|(_, measure)| *measure == self).expect("every measure has a word").0
    }

    fn of(self, facts: &GroupFacts) -> Option<i64> {
        match self {
            GroupMeasure::Lag => facts.lag,
            GroupMeasure::Members => i64::try_from(facts.members).ok(),
            GroupMeasure::Generation => Some(i64::from(facts.generation)),
        }
    }
}

/// What a consumer group does, in a word: `state orders-app = stable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupPhase {
    /// Nobody is in it.
    Empty,
    /// Its members are agreeing on who reads what.
    Rebalancing,
    /// Everybody reads.
    Stable,
}

impl GroupPhase {
    const WORDS: [(&'static str, GroupPhase); 3] =
        [("empty", GroupPhase::Empty), ("rebalancing", GroupPhase::Rebalancing), ("stable", GroupPhase::Stable)];

    fn word(self) -> &'static str {
        GroupPhase::WORDS.iter().find(|(_, phase)| *phase == self).expect("every phase has a word").0
    }
}

/// What is known of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFacts {
    /// What it does; `None` while it has no coordinator.
    pub phase: Option<GroupPhase>,
    /// How many members it has.
    pub members: usize,
    /// Its generation, or its epoch.
    pub generation: i32,
    /// See [`GroupMeasure::Lag`]; `None` if it has committed nothing.
    pub lag: Option<i64>,
    /// What it has committed.
    pub committed: Vec<(Partition, i64)>,
}

/// A list of brokers of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// `isr orders-0`: the in-sync replicas. Compared as a set.
    Isr,
    /// `replicas orders-0`: the assigned replicas, the preferred leader first. Compared in order.
    Replicas,
}

/// A statement about the cluster that holds or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predicate {
    /// `leader orders-0 = 2`, `leader orders-0 != none`.
    Leader {
        /// Of which partition.
        partition: Partition,
        /// `!=` instead of `=`.
        negated: bool,
        /// A broker, or none.
        broker: Option<BrokerId>,
    },
    /// `controller = 1`, `controller != none`.
    Controller {
        /// `!=` instead of `=`.
        negated: bool,
        /// A broker, or none.
        broker: Option<BrokerId>,
    },
    /// `isr orders-0 = 1,2`, `replicas orders-0 = 3,1,2`.
    Members {
        /// Which list.
        list: Members,
        /// Of which partition.
        partition: Partition,
        /// `!=` instead of `=`.
        negated: bool,
        /// The brokers; empty is `none`.
        brokers: Vec<BrokerId>,
    },
    /// `epoch orders-0 > 3`, `log-end orders-0 on 2 = 12`.
    Measure {
        /// Which number.
        measure: Measure,
        /// Of which partition.
        partition: Partition,
        /// As which broker's replica has it; the leader's if none is named.
        on: Option<BrokerId>,
        /// How it is compared.
        comparison: Comparison,
        /// With what.
        value: i64,
    },
    /// `lag orders-app < 10`, `members orders-app = 2`.
    Group {
        /// Which number.
        measure: GroupMeasure,
        /// Of which group.
        group: String,
        /// How it is compared.
        comparison: Comparison,
        /// With what.
        value: i64,
    },
    /// `state orders-app = stable`.
    GroupState {
        /// Of which group.
        group: String,
        /// `!=` instead of `=`.
        negated: bool,
        /// What it does.
        phase: GroupPhase,
    },
    /// `committed orders-app orders-0 >= 5`: the next offset that the group reads after a restart.
    Committed {
        /// By which group.
        group: String,
        /// Of which partition.
        partition: Partition,
        /// How it is compared.
        comparison: Comparison,
        /// With what.
        value: i64,
    },
    /// `lost = 0`, `alive >= 2`.
    Count {
        /// What is counted.
        count: Count,
        /// How it is compared.
        comparison: Comparison,
        /// With what.
        value: u64,
    },
}

/// What a host has to know for predicates. `None` from a method means that it is not known (no such partition, no
/// ledger).
pub trait Facts {
    /// The leader of a partition; `Some(None)` if it has none.
    fn leader(&self, partition: &Partition) -> Option<Option<BrokerId>>;
    /// The active controller.
    fn controller(&self) -> Option<Option<BrokerId>>;
    /// A list of brokers of a partition.
    fn members(&self, list: Members, partition: &Partition) -> Option<Vec<BrokerId>>;
    /// A number of a partition, as the leader's replica or a broker's own has it.
    fn measure(&self, measure: Measure, partition: &Partition, on: Option<BrokerId>) -> Option<i64>;
    /// A count.
    fn count(&self, count: Count) -> Option<u64>;
    /// A consumer group; `None` if nobody knows it.
    fn group(&self, _group: &str) -> Option<GroupFacts> {
        None
    }
}

/// Whether a predicate holds, and what was seen instead of guessed: `isr orders-0 is 1,3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// It holds.
    pub holds: bool,
    /// What is, in the words of the language.
    pub seen: String,
}

impl Predicate {
    /// The partition that it is about, if it is about one.
    pub fn partition(&self) -> Option<&Partition> {
        match self {
            Predicate::Leader { partition, .. }
            | Predicate::Members { partition, .. }
            | Predicate::Committed { partition, .. }
            | Predicate::Measure { partition, .. } => Some(partition),
            Predicate::Controller { .. }
            | Predicate::Group { .. }
            | Predicate::GroupState { .. }
            | Predicate::Count { .. } => None,
        }
    }

    /// Checks it against the facts of this moment.
    pub fn check(&self, facts: &dyn Facts) -> Verdict {
        match self {
            Predicate::Leader { partition, negated, broker } => {
                let seen = facts.leader(partition);
                verdict(format!("leader {partition}"), seen, |seen| (seen == broker) != *negated, some_id)
            }
            Predicate::Controller { negated, broker } => {
                let seen = facts.controller();
                verdict("controller".to_owned(), seen, |seen| (seen == broker) != *negated, some_id)
            }
            Predicate::Members { list, partition, negated, brokers } => {
                let seen = facts.members(*list, partition);
                let same = |seen: &Vec<BrokerId>| match list {
                    Members::Replicas => seen == brokers,
                    Members::Isr => sorted(seen) == sorted(brokers),
                };
                let what = format!("{} {partition}", list.word());
                verdict(what, seen, |seen| same(seen) != *negated, |ids| ids_text(ids))
            }
            Predicate::Measure { measure, partition, on, comparison, value } => {
                let seen = facts.measure(*measure, partition, *on);
                let what = format!("{} {partition}{}", measure.word(), on_text(*on));
                verdict(what, seen, |seen| comparison.holds(seen, value), ToString::to_string)
            }
            Predicate::Group { measure, group, comparison, value } => {
                let seen = facts.group(group).and_then(|facts| measure.of(&facts));
                let what = format!("{} {group}", measure.word());
                verdict(what, seen, |seen| comparison.holds(seen, value), ToString::to_string)
            }
            Predicate::GroupState { group, negated, phase } => {
                let seen = facts.group(group).and_then(|facts| facts.phase);
                let word = |seen: &GroupPhase| seen.word().to_owned();
                verdict(format!("state {group}"), seen, |seen| (seen == phase) != *negated, word)
            }
            Predicate::Committed { group, partition, comparison, value } => {
                let all = facts.group(group).map(|facts| facts.committed).unwrap_or_default();
                let seen = all.into_iter().find(|(one, _)| one == partition).map(|(_, offset)| offset);
                let what = format!("committed {group} {partition}");
                verdict(what, seen, |seen| comparison.holds(seen, value), ToString::to_string)
            }
            Predicate::Count { count, comparison, value } => {
                let seen = facts.count(*count);
                let holds = |seen: &u64| comparison.holds(seen, value);
                verdict(count.word().to_owned(), seen, holds, ToString::to_string)
            }
        }
    }
}

fn verdict<T>(what: String, seen: Option<T>, holds: impl Fn(&T) -> bool, text: impl Fn(&T) -> String) -> Verdict {
    match seen {
        Some(seen) => Verdict { holds: holds(&seen), seen: format!("{what} is {}", text(&seen)) },
        None => Verdict { holds: false, seen: format!("{what} is not known") },
    }
}

fn on_text(on: Option<BrokerId>) -> String {
    on.map_or_else(String::new, |broker| format!(" on {broker}"))
}

fn sorted(ids: &[BrokerId]) -> Vec<BrokerId> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}

fn some_id(id: &Option<BrokerId>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| id.to_string())
}

fn ids_text(ids: &[BrokerId]) -> String {
    if ids.is_empty() { "none".to_owned() } else { join_ids(ids) }
}

impl Members {
    fn word(self) -> &'static str {
        match self {
            Members::Isr => "isr",
            Members::Replicas => "replicas",
        }
    }
}

/// What a predicate may be about, for errors and completion.
pub const SUBJECTS: [&str; 22] = [
    "leader",
    "isr",
    "replicas",
    "epoch",
    "high-watermark",
    "log-end",
    "log-start",
    "lag",
    "members",
    "generation",
    "state",
    "committed",
    "controller",
    "alive",
    "acked",
    "readable",
    "lost",
    "duplicated",
    "reordered",
    "under-replicated",
    "leaderless",
    "faults",
];

impl FromStr for Predicate {
    type Err = String;
    fn from_str(text: &str) -> Result<Predicate, String> {
        let (subject, comparison, value) = split(text)?;
        let words: Vec<&str> = subject.split_whitespace().collect();
        let one_id = || if value == "none" { Ok(None) } else { broker_id(value).map(Some) };
        match words.as_slice() {
            ["leader", partition] => Ok(Predicate::Leader {
                partition: partition.parse()?,
                negated: negated(comparison, text)?,
                broker: one_id()?,
            }),
            ["controller"] => Ok(Predicate::Controller { negated: negated(comparison, text)?, broker: one_id()? }),
            [word @ ("isr" | "replicas"), partition] => Ok(Predicate::Members {
                list: if *word == "isr" { Members::Isr } else { Members::Replicas },
                partition: partition.parse()?,
                negated: negated(comparison, text)?,
                brokers: if value == "none" { Vec::new() } else { broker_ids(value)? },
            }),
            ["state", group] => Ok(Predicate::GroupState {
                group: (*group).to_owned(),
                negated: negated(comparison, text)?,
                phase: phase(value)?,
            }),
            ["committed", group, partition] => {
                let (group, partition) = ((*group).to_owned(), partition.parse()?);
                Ok(Predicate::Committed { group, partition, comparison, value: number(value)? })
            }
            [word, rest @ ..] => {
                if let (Some((_, measure)), [group]) = (GroupMeasure::WORDS.iter().find(|(name, _)| name == word), rest)
                {
                    let group = (*group).to_owned();
                    return Ok(Predicate::Group { measure: *measure, group, comparison, value: number(value)? });
                }
                let measure = Measure::WORDS.iter().find(|(name, _)| name == word);
                if let (Some((_, measure)), [partition, on @ ..]) = (measure, rest) {
                    let on = match on {
                        [] => None,
                        ["on", broker] => Some(broker_id(broker)?),
                        _ => return Err(format!("`{text}`: write {word} {partition} on 2 for what broker 2 has")),
                    };
                    let (measure, partition, value) = (*measure, partition.parse()?, number(value)?);
                    return Ok(Predicate::Measure { measure, partition, on, comparison, value });
                }
                match (Count::WORDS.iter().find(|(name, _)| name == word), rest) {
                    (Some((_, count)), []) => Ok(Predicate::Count { count: *count, comparison, value: number(value)? }),
                    _ => Err(unknown_subject(&subject)),
                }
            }
            [] => Err(unknown_subject(&subject)),
        }
    }
}

fn split(text: &str) -> Result<(String, Comparison, &str), String> {
    // The sign that comes first, and of those at one place the longest (the order of SIGNS).
    let found = Comparison::SIGNS
        .iter()
        .filter_map(|(sign, comparison)| text.find(sign).map(|at| (at, *sign, *comparison)))
        .min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len())));
    let Some((at, sign, comparison)) = found else {
        return Err(format!("`{text}` is no predicate: write leader orders-0 = 2, isr orders-0 = 1,2 or lost = 0"));
    };
    let value = text[at + sign.len()..].trim();
    if value.is_empty() {
        return Err(format!("`{text}` compares with nothing: leader orders-0 = 2"));
    }
    Ok((text[..at].trim().to_owned(), comparison, value))
}

fn negated(comparison: Comparison, text: &str) -> Result<bool, String> {
    match comparison {
        Comparison::Equal => Ok(false),
        Comparison::NotEqual => Ok(true),
        _ => Err(format!("`{text}`: brokers are compared with = or !=")),
    }
}

fn phase(text: &str) -> Result<GroupPhase, String> {
    let found = GroupPhase::WORDS.iter().find(|(word, _)| *word == text);
    found
        .map(|(_, phase)| *phase)
        .ok_or_else(|| format!("`{text}` is no state of a group: stable, rebalancing or empty"))
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.replace(['_', ','], "").parse().map_err(|_| format!("`{text}` is no number"))
}

fn unknown_subject(subject: &str) -> String {
    format!("`{subject}` is nothing a predicate can be about: {}", SUBJECTS.join(", "))
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |negated: &bool| if *negated { "!=" } else { "=" };
        match self {
            Predicate::Leader { partition, negated, broker } => {
                write!(f, "leader {partition} {} {}", sign(negated), some_id(broker))
            }
            Predicate::Controller { negated, broker } => {
                write!(f, "controller {} {}", sign(negated), some_id(broker))
            }
            Predicate::Members { list, partition, negated, brokers } => {
                write!(f, "{} {partition} {} {}", list.word(), sign(negated), ids_text(brokers))
            }
            Predicate::Measure { measure, partition, on, comparison, value } => {
                write!(f, "{} {partition}{} {comparison} {value}", measure.word(), on_text(*on))
            }
            Predicate::Group { measure, group, comparison, value } => {
                write!(f, "{} {group} {comparison} {value}", measure.word())
            }
            Predicate::GroupState { group, negated, phase } => {
                write!(f, "state {group} {} {}", sign(negated), phase.word())
            }
            Predicate::Committed { group, partition, comparison, value } => {
                write!(f, "committed {group} {partition} {comparison} {value}")
            }
            Predicate::Count { count, comparison, value } => write!(f, "{} {comparison} {value}", count.word()),
        }
    }
}

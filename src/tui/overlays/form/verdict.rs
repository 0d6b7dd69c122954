//! What is thought of each field of a form while it is typed.
//!
//! Invariants: pure; what blocks here is refused by the cluster too, what warns is not. Settings are judged by the cluster's own table.
//!
//! Deliberately not here: what only the cluster can know, such as quotas of others (its answer is told when it comes).

use super::{FOREVER, Form, Kind};
use crate::client::metadata::partition_of_key;
use crate::cluster::command::values::{Setting, duration};
use crate::cluster::view::ProduceDraft;
use crate::engine::controller::config_table::{self, Scope};
use crate::tui::numbers::plural;

/// The most partitions a form asks for.
pub(super) const PARTITIONS_MAX: u32 = 10_000;

/// What is thought of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Right.
    Fine,
    /// Right, and this is what it means.
    Means(String),
    /// Allowed, with a remark.
    Warns(String),
    /// Cannot be sent like this.
    Blocks(String),
}

/// A retention as `retention.ms` wants it; `None` for what is none.
pub(super) fn retention_ms(text: &str) -> Option<String> {
    if text == FOREVER {
        return Some("-1".to_owned());
    }
    // Both `1 h 30 m` and `1h 30m` are written.
    let joined: String = text.split_whitespace().collect();
    let ms = duration(&joined).ok()?.as_millis();
    i64::try_from(ms).ok().map(|ms| ms.to_string())
}

fn judge_number(value: &str, least: u64, most: u64) -> Verdict {
    match value.parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Verdict::Fine,
        _ => Verdict::Blocks(format!("a number from {least} to {most}")),
    }
}

impl Form {
    /// What is thought of the field at `place`.
    pub fn verdict(&self, place: usize) -> Verdict {
        let value = self.value(place);
        match (self.kind, self.fields[place].label) {
            (Kind::NewTopic, "name") => self.judge_name(value),
            (_, "topic") => self.judge_topic(value),
            (_, "partitions") => self.judge_partitions(value),
            (_, "replicas") => self.judge_replicas(value),
            (_, "min in sync") if value.is_empty() => Verdict::Fine,
            (_, "min in sync") => self.judge_min_isr(value),
            (_, "keep for") if value.is_empty() => Verdict::Fine,
            (_, "keep for") => match retention_ms(value) {
                Some(ms) if ms == "0" => Verdict::Blocks("at least 1ms".into()),
                Some(ms) => Verdict::Means(format!("{ms} ms")),
                None => Verdict::Blocks("90m, 7d, 1h 30m or forever".into()),
            },
            (_, "settings") => judge_settings(value),
            (_, "partition") if value.is_empty() => Verdict::Fine,
            (_, "partition") => {
                let count = self.topic().map_or(u64::from(PARTITIONS_MAX), |topic| u64::from(topic.partitions));
                match judge_number(value, 0, count.saturating_sub(1)) {
                    Verdict::Blocks(_) => Verdict::Blocks(format!("0 to {}", count.saturating_sub(1))),
                    verdict => verdict,
                }
            }
            (_, "times") => judge_number(value, 1, 100_000),
            (_, "key") => self.judge_key(value),
            (_, "value") => self.judge_value(value),
            (_, "headers") => match value.split_whitespace().find(|word| !word.contains('=')) {
                Some(word) if self.again.is_none() => Verdict::Blocks(format!("{word}: write NAME=VALUE")),
                _ => Verdict::Fine,
            },
            (_, "acks") if value != "all" => Verdict::Warns("may be lost when a broker dies".into()),
            _ => Verdict::Fine,
        }
    }

    /// Which partition the key leads to.
    fn judge_key(&self, key: &str) -> Verdict {
        let by_hand = !self.get("partition").is_empty();
        match self.topic().and_then(|topic| i32::try_from(topic.partitions).ok()) {
            Some(count) if !key.is_empty() && !by_hand && count > 0 => {
                Verdict::Means(format!("partition {}", partition_of_key(key.as_bytes(), count)))
            }
            _ => Verdict::Fine,
        }
    }

    fn judge_value(&self, value: &str) -> Verdict {
        let is_as_it_was = |again: &ProduceDraft| again.value.as_deref() == Some(value);
        if value.is_empty() && self.again.as_ref().is_some_and(is_as_it_was) {
            Verdict::Means("empty, as it was".into())
        } else if value.is_empty() && self.draft_has_no_key() {
            Verdict::Blocks("a value, or a key for a tombstone".into())
        } else if value.is_empty() {
            Verdict::Warns("a tombstone: deletes the key".into())
        } else if !value.starts_with(['{', '[']) {
            Verdict::Fine
        } else if serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok() {
            Verdict::Means("JSON".into())
        } else {
            Verdict::Warns("not valid JSON yet: sent as text".into())
        }
    }

    fn draft_has_no_key(&self) -> bool {
        self.get("key").is_empty() && self.again.as_ref().is_none_or(|again| again.key.is_none())
    }

    fn judge_name(&self, name: &str) -> Verdict {
        let legal = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
        if name.is_empty() {
            Verdict::Blocks("needs a name".into())
        } else if self.topics.iter().any(|topic| *topic.name == *name) {
            Verdict::Blocks("exists already".into())
        } else if name == "." || name == ".." || name.len() > 249 || !name.chars().all(legal) {
            Verdict::Blocks("letters, digits, . _ - only, at most 249".into())
        } else if name.contains('.') && name.contains('_') {
            Verdict::Warns("mixes . and _: metrics cannot tell them apart".into())
        } else {
            Verdict::Fine
        }
    }

    fn judge_topic(&self, name: &str) -> Verdict {
        if name.is_empty() {
            Verdict::Blocks("needs a topic".into())
        } else if self.topic().is_some() || self.topics.is_empty() {
            Verdict::Fine
        } else {
            Verdict::Blocks("there is no such topic".into())
        }
    }

    fn judge_partitions(&self, value: &str) -> Verdict {
        let before = self.subject.as_ref().map_or(1, |subject| subject.partitions);
        match (judge_number(value, 1, u64::from(PARTITIONS_MAX)), value.parse::<u32>()) {
            (Verdict::Fine, Ok(count)) if self.subject.is_some() && count < before => {
                Verdict::Blocks(format!("it has {before}: partitions are never taken away"))
            }
            (Verdict::Fine, Ok(count)) if self.subject.is_some() && count > before => {
                Verdict::Warns("keys go to other partitions from then on".into())
            }
            (verdict, _) => verdict,
        }
    }

    fn judge_replicas(&self, value: &str) -> Verdict {
        match (judge_number(value, 1, self.brokers.max(1) as u64), value.parse::<usize>()) {
            (Verdict::Blocks(_), _) => Verdict::Blocks(format!("1 to {}: one broker holds one copy", self.brokers)),
            (_, Ok(1)) if self.brokers > 1 => Verdict::Warns("no copy: a dead broker stops it".into()),
            (_, Ok(count)) if count > self.alive => {
                Verdict::Warns(format!("{} alive: it begins short of a copy", self.alive))
            }
            (verdict, _) => verdict,
        }
    }

    fn judge_min_isr(&self, value: &str) -> Verdict {
        let of_subject = self.subject.as_ref().map(|subject| u64::from(subject.replicas));
        let replicas = of_subject.or_else(|| self.get("replicas").parse().ok()).unwrap_or(1);
        let short = self.subject.as_ref().map_or(0, |subject| subject.short);
        match judge_number(value, 1, replicas) {
            Verdict::Blocks(_) => Verdict::Blocks(format!("1 to {replicas}, its replicas")),
            _ if value.parse() == Ok(replicas) && short > 0 => {
                Verdict::Warns(format!("stops acks=all at once: {} short", plural(u64::from(short), "partition")))
            }
            _ if value.parse() == Ok(replicas) && replicas > 1 => {
                Verdict::Warns("one dead broker stops acks=all".into())
            }
            verdict => verdict,
        }
    }

    /// The first field that blocks.
    pub(super) fn blocked(&self) -> Option<usize> {
        (0..self.fields.len()).find(|&place| matches!(self.verdict(place), Verdict::Blocks(_)))
    }
}

/// Every word is to be a setting of topics with a value that it may have.
fn judge_settings(text: &str) -> Verdict {
    let mut told = Verdict::Fine;
    for word in text.split_whitespace() {
        let Ok(Setting { key, value }) = word.parse() else {
            return Verdict::Blocks(format!("{word}: write KEY=VALUE"));
        };
        let Some(def) = config_table::find(Scope::Topic, &key) else {
            return Verdict::Blocks(format!("topics have no setting {key}"));
        };
        if let Err(reason) = def.validate(&value) {
            let why = reason.rsplit_once(": ").map_or(&*reason, |(_, why)| why);
            return Verdict::Blocks(format!("{key}: {why}"));
        }
        told = Verdict::Means(def.doc.to_owned());
    }
    told
}

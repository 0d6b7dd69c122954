//! What is told on request: the cluster, its brokers, partitions, groups and causes, commands and their answers.
//!
//! Invariants: pure; one sentence a line; lists are bounded and say what they leave out.
//!
//! Deliberately not here: what has changed ([`super::Narrator`]).

use super::super::headline;
use super::super::numbers::{UNKNOWN, count, moment, offset, plural, span_ms};
use crate::cluster::view::{
    BrokerCard, BrokerState, ClusterView, CommandDoc, CommandReply, GroupState, GroupsView, Ledger, Outcome,
    PartitionRow, QuorumRole, Why,
};
use std::fmt::Write;

/// Which cluster this is, and how clients reach it.
pub fn cluster(view: &ClusterView) -> Vec<String> {
    let brokers = plural(view.brokers.len() as u64, "broker");
    let mut lines = vec![match view.host.world {
        Some(world) => format!("Kafkarium: a simulated cluster of {brokers}, seed {}.", world.seed),
        None => format!("Kafkarium: a cluster of {brokers}."),
    }];
    if !view.host.bootstrap_servers.is_empty() {
        lines.push(format!("Clients connect to {}.", view.host.bootstrap_servers));
    }
    lines.extend(view.brokers.iter().map(|card| broker(view, card)));
    lines
}

/// What is going on: the headline, partitions, faults, the verdict on the records.
pub fn status(view: &ClusterView) -> Vec<String> {
    let headline = headline::of(view);
    let mut lines = vec![format!("{}: {}", headline.chip, headline.said())];
    lines.extend(partitions_in_short(view));
    lines.extend(view.faults.iter().map(|fault| format!("Fault: {}. {} ends it.", fault.text, fault.undo)));
    lines.extend(view.ledger.as_ref().map(verdict));
    lines
}

fn partitions_in_short(view: &ClusterView) -> Option<String> {
    let totals = view.totals;
    let counts = [
        (totals.no_leader, "without a leader"),
        (totals.stalled, "with a high watermark that stands still"),
        (totals.missing_copy, "with a copy out of sync"),
        (totals.all_in_sync, "all in sync"),
    ];
    let said: Vec<String> = counts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", count(u64::from(*number))))
        .collect();
    (totals.partitions > 0)
        .then(|| format!("{}: {}.", plural(u64::from(totals.partitions), "partition"), said.join(", ")))
}

/// One broker: what it does, since when, and what it leads.
pub fn broker(view: &ClusterView, card: &BrokerCard) -> String {
    let span = span_ms(view.at_ms.saturating_sub(card.since_ms));
    let state = match &card.state {
        BrokerState::Running => "running".to_owned(),
        BrokerState::Starting => format!("starting for {span}"),
        BrokerState::Stopping => format!("stopping for {span}"),
        BrokerState::Stopped => format!("stopped {span} ago"),
        BrokerState::Killed => format!("killed {span} ago"),
        BrokerState::PowerLost => format!("lost power {span} ago"),
        BrokerState::Suspended => format!("suspended for {span}"),
        BrokerState::Fenced => format!("up and fenced for {span}"),
        BrokerState::Crashed { message } => format!("crashed {span} ago ({message})"),
    };
    let mut line = format!("Broker {}: {state}", card.id);
    if card.quorum == QuorumRole::Controller && card.state.answers() {
        line.push_str(", the controller");
    }
    let (leads, of) = (count(u64::from(card.leaders)), plural(u64::from(card.replicas), "replica"));
    let _ = write!(line, ", leads {leads} of its {of}.");
    line
}

/// The verdict on the records of our own clients.
pub fn verdict(ledger: &Ledger) -> String {
    let numbers = format!(
        "Records: {} acknowledged, {} readable, {} lost, {} duplicated, {} reordered.",
        count(ledger.acked),
        count(ledger.readable),
        count(ledger.lost),
        count(ledger.duplicated),
        count(ledger.reordered)
    );
    match ledger.unknown_since_ms {
        Some(_) => format!("{numbers} Something was missed: this is not known for sure."),
        None => numbers,
    }
}

/// The partitions in view, and how many others there are.
pub fn partitions(view: &ClusterView) -> Vec<String> {
    let mut lines: Vec<String> = view.rows.rows.iter().map(partition).collect();
    let more = view.rows.total.saturating_sub(lines.len());
    match (lines.is_empty(), more) {
        (true, _) => lines.push("There is no such partition.".to_owned()),
        (false, 0) => {}
        (false, more) => lines.push(format!("And {} more; partitions TEXT shows those with TEXT.", count(more as u64))),
    }
    lines
}

fn partition(row: &PartitionRow) -> String {
    let leader = row.leader.map_or_else(|| "no leader".to_owned(), |leader| format!("leader {leader}"));
    let ids = |brokers: &[crate::cluster::view::BrokerId]| {
        brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let replicas: Vec<_> = row.replicas.iter().map(|replica| replica.broker).collect();
    let number = |value: Option<i64>| value.map_or_else(|| UNKNOWN.to_owned(), offset);
    let mut line = format!(
        "{}: {leader}, epoch {}, in sync {}, replicas {}, high watermark {}, log end {}",
        row.name,
        row.leader_epoch,
        if row.isr.is_empty() { "none".to_owned() } else { ids(&row.isr) },
        ids(&replicas),
        number(row.high_watermark),
        number(row.log_end())
    );
    for replica in row.replicas.iter().filter(|replica| replica.behind > 0 && !replica.in_isr) {
        let _ = write!(line, ", broker {} is {} behind", replica.broker, plural(replica.behind, "record"));
    }
    if !row.reason.is_empty() {
        let _ = write!(line, ", {}", row.reason);
    }
    line.push('.');
    line
}

/// The groups in view, and how many others there are.
pub fn groups(groups: &GroupsView) -> Vec<String> {
    let state = |state| match state {
        GroupState::Empty => "empty",
        GroupState::Preparing => "waits for its members to join",
        GroupState::Completing => "waits for its assignment",
        GroupState::Assigning => "assigns",
        GroupState::Reconciling => "moves partitions",
        GroupState::Stable => "stable",
        GroupState::NoCoordinator => "has no coordinator",
    };
    let group = |row: &crate::cluster::view::GroupRow| {
        let lag = row.lag.map_or_else(|| "lag unknown".to_owned(), |lag| format!("{} behind", plural(lag, "record")));
        format!("{}: {}, {}, {lag}.", row.name, state(row.state), plural(row.members as u64, "member"))
    };
    let mut lines: Vec<String> = groups.rows.iter().map(group).collect();
    let more = groups.total.saturating_sub(lines.len());
    match (lines.is_empty(), more) {
        (true, _) => lines.push("There is no group.".to_owned()),
        (false, 0) => {}
        (false, more) => lines.push(format!("And {} more.", count(more as u64))),
    }
    lines
}

/// A chain of causes, the first cause first.
pub fn why(view: &ClusterView, why: Option<&Why>) -> Vec<String> {
    let Some(why) = why else { return vec!["Nothing is known of why.".to_owned()] };
    let mut lines = vec![why.question.clone()];
    if why.truncated {
        lines.push("What came before is no longer kept.".to_owned());
    }
    lines.extend(why.steps.iter().map(|step| match step.expected {
        true => format!("In {}: {}", span_ms(step.at_ms.saturating_sub(view.at_ms)), step.text),
        false => format!("{}: {}", moment(view, step.at_ms, 1), step.text),
    }));
    lines
}

/// What came of a command.
pub fn reply(reply: &CommandReply) -> Vec<String> {
    match &reply.outcome {
        Outcome::Progress(text) => vec![format!("{}: {text}", reply.line)],
        Outcome::Done { summary, output } => {
            let is_silent = summary.is_empty() && output.is_empty();
            let summary = if is_silent { format!("Done: {}", reply.line) } else { summary.clone() };
            Some(summary).filter(|summary| !summary.is_empty()).into_iter().chain(output.iter().cloned()).collect()
        }
        Outcome::Failed { reason, next } => {
            let next = Some(next.clone()).filter(|next| !next.is_empty());
            std::iter::once(format!("Failed: {reason}")).chain(next).collect()
        }
    }
}

/// The commands that only plain mode has.
pub const OWN: [(&str, &str); 10] = [
    ("help [COMMAND]", "list the commands, or explain one"),
    ("status", "say what is going on"),
    ("brokers", "describe every broker"),
    ("partitions [TEXT]", "describe partitions whose name contains the text"),
    ("groups", "describe the consumer groups"),
    ("why [PARTITION|BROKER|GROUP]", "tell the causes of what is going on, or of one thing's state"),
    ("screenshot FILE", "write the Cluster screen to a file: .svg, .ans, or plain text"),
    ("save NAME", "write what was done to NAME.md as a demo; --force writes over a file"),
    ("record FILE", "record what is said from here on as an asciicast; record off ends it"),
    ("quit", "leave"),
];

/// All commands in a line each, or one in full.
pub fn help(commands: &[CommandDoc], about: &str) -> Vec<String> {
    if about.is_empty() {
        let own = OWN.iter().map(|(usage, summary)| format!("{usage}: {summary}."));
        let theirs =
            commands.iter().filter(|doc| !has_no_use(&doc.name)).map(|doc| format!("{}: {}.", doc.usage, doc.summary));
        let end = "help COMMAND explains one.".to_owned();
        return own.chain(theirs).chain([end]).collect();
    }
    if let Some((usage, summary)) = OWN.iter().find(|(usage, _)| usage.split(' ').next() == Some(about)) {
        return vec![format!("{usage}: {summary}.")];
    }
    let of =
        |doc: &&CommandDoc| doc.name == about || doc.name.strip_prefix(about).is_some_and(|rest| rest.starts_with(' '));
    let found: Vec<&CommandDoc> = commands.iter().filter(of).collect();
    match found[..] {
        [] => vec![format!("There is no command {about}. help lists them all.")],
        [doc] => {
            let mut lines = vec![doc.usage.clone()];
            lines.extend(doc.long.lines().filter(|line| !line.is_empty()).map(str::to_owned));
            lines.extend(doc.arguments.iter().map(|argument| format!("{}: {}", argument.name, argument.help)));
            lines.push(format!("For example: {}", doc.example));
            lines
        }
        _ => found.iter().map(|doc| format!("{}: {}.", doc.usage, doc.summary)).collect(),
    }
}

/// Verbs that change a screen: there is none.
pub fn has_no_use(verb: &str) -> bool {
    matches!(
        verb,
        "theme" | "mouse" | "legend" | "motion" | "filter" | "sort" | "copy" | "screenshot" | "quit" | "help"
    )
}

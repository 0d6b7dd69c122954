//! What a command would do, point by point, and one link from the inside: told from the same snapshots on every host.
//!
//! Invariants: a point is counted, never estimated; where a broker has told nothing, or nothing lately, that is a point of its own, so that
//! a short list means little happens and not that little is known.
//!
//! Deliberately not here: the one or two sentences of a forecast (`forecast`), and how anything looks.

use super::Observer;
use super::broker::Broker;
use super::forecast::Impact;
use super::meter::Rate;
use crate::cluster::command::values::duration_text;
use crate::cluster::command::{Command, DiskCommand, Who, parse_line};
use crate::cluster::link::{CLIENTS, Link, LinkFaults};
use crate::cluster::view::{
    Copies, FaultKind, FaultsRequest, FaultsView, LinkView, Outlook, Point, PointKind, Traffic, Weight,
};
use crate::protocol::ids::BrokerId;
use std::time::Duration;

/// What a broker said is of now if it is not older than this, in milliseconds.
const FRESH_MS: u64 = 2_000;

/// What a host tells of a link now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkReport {
    /// Sender and receiver.
    pub link: Link,
    /// What is set on it.
    pub faults: LinkFaults,
    /// Messages it holds.
    pub held: usize,
    /// Messages lost on it since it was healthy last.
    pub lost: u64,
    /// Messages and bytes that have set out on it so far; `None` where nobody counts.
    pub passed: Option<(u64, u64)>,
}

/// A link as it was told last, and how much passes.
#[derive(Debug, Clone)]
pub(super) struct LinkSeen {
    report: LinkReport,
    messages: Rate,
    bytes: Rate,
}

/// How a broker would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    /// At once: others notice.
    Killed,
    /// At once, with what was not synced.
    WithoutPower,
    /// In order: leaders move first.
    InOrder,
    /// It stays, and is silent.
    Silent,
}

fn point(kind: PointKind, count: impl Into<Option<u64>>, text: impl Into<String>) -> Point {
    Point { kind, count: count.into(), text: text.into() }
}

/// `partition elects`, `partitions elect`.
fn partitions(count: usize, one: &str, more: &str) -> String {
    if count == 1 { format!("partition {one}") } else { format!("partitions {more}") }
}

/// `: orders-0`, `: orders-0 and 3 more`.
fn named(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => format!(": {only}"),
        [first, others @ ..] => format!(": {first} and {} more", others.len()),
    }
}

impl Observer {
    /// What the Faults screen wants to know.
    pub(super) fn faults_view(&self, want: &FaultsRequest) -> FaultsView {
        let outlook = |line: &String| Outlook { line: line.clone(), points: self.points(line) };
        FaultsView {
            link: want.link.filter(|(from, to)| from != to).map(|link| self.link_view(link)),
            outlook: want.line.as_ref().map(outlook),
        }
    }

    fn points(&self, line: &str) -> Vec<Point> {
        let Ok(command) = parse_line(line) else { return vec![point(PointKind::Unknown, None, "not known")] };
        let said = self.consequence(&command);
        let is_refused = said.as_ref().is_some_and(|said| said.weight == Weight::Refused);
        let going = match &command {
            Command::Kill { who }
            | Command::Disk(DiskCommand::Full { who } | DiskCommand::Fail { who })
            | Command::Wipe { who } => Some((who, Going::Killed)),
            Command::Powerloss { who } => Some((who, Going::WithoutPower)),
            Command::Suspend { who } => Some((who, Going::Silent)),
            Command::Stop { who } | Command::Restart { who } => Some((who, Going::InOrder)),
            _ => None,
        };
        let gone = going.and_then(|(who, going)| Some((self.all_up(who)?, going)));
        match (gone, said) {
            (Some((gone, going)), _) if !is_refused => self.points_of_loss(&gone, going),
            (_, Some(said)) => vec![point(PointKind::Said(said.weight), None, said.text)],
            (_, None) => vec![point(PointKind::Unknown, None, "not known")],
        }
    }

    /// The brokers meant, if all of them are up.
    fn all_up(&self, who: &Who) -> Option<Vec<BrokerId>> {
        let brokers = self.resolve(who).ok()?;
        let is_down = |id: &BrokerId| self.brokers.get(id).is_none_or(|broker| broker.state.is_dead());
        (!brokers.iter().any(is_down)).then_some(brokers)
    }

    fn points_of_loss(&self, gone: &[BrokerId], going: Going) -> Vec<Point> {
        let impact = self.impact(gone);
        let mut points = points_of_partitions(&impact, going);
        points.extend(self.points_of_quorum(gone));
        match going {
            Going::WithoutPower => {
                points.push(point(PointKind::Unknown, None, "what it has not synced is lost: not known how much"));
            }
            Going::Silent => {
                let session = Duration::from_millis(self.setup.cluster.broker_session_timeout_ms);
                let text = format!("nobody is told: it is fenced after {}", duration_text(session));
                points.push(point(PointKind::Said(Weight::Notice), None, text));
            }
            Going::Killed | Going::InOrder => {}
        }
        points.extend(self.points_of_ignorance(gone, &impact));
        if points.is_empty() {
            points.push(point(PointKind::Said(Weight::Harmless), None, "no partition needs it"));
        }
        points
    }

    fn points_of_quorum(&self, gone: &[BrokerId]) -> Option<Point> {
        let (up, voters, needed) = self.voters_without(gone);
        let had_quorum = self.voters_without(&[]).0 >= needed;
        if had_quorum && up < needed && voters > 0 {
            let text = format!("no controller: quorum keeps {up} of {voters}");
            return Some(point(PointKind::NoQuorum, None, text));
        }
        let moves = self.controller.is_some_and(|controller| gone.contains(&controller));
        moves.then(|| point(PointKind::Quorum, None, format!("controller moves; {up} of {voters} voters up")))
    }

    /// What cannot be told, and why.
    fn points_of_ignorance(&self, gone: &[BrokerId], impact: &Impact) -> Vec<Point> {
        if self.image_from.is_none() {
            return vec![point(PointKind::Unknown, None, "not known: no broker has told anything yet")];
        }
        let mut points = Vec::new();
        if impact.untold > 0 {
            let text = format!("{} it has told nothing of: not known", partitions(impact.untold, "", "").trim_end());
            points.push(point(PointKind::Unknown, impact.untold as u64, text));
        }
        for broker in gone.iter().filter_map(|id| self.brokers.get(id)) {
            let age_ms = self.moment.at_ms.saturating_sub(broker.seen_at_ms);
            if age_ms > FRESH_MS {
                let text = format!(
                    "{} has told nothing for {}: more is not known",
                    broker.id,
                    duration_text(Duration::from_secs(age_ms / 1_000))
                );
                points.push(point(PointKind::Unknown, None, text));
            }
        }
        points
    }

    fn link_view(&self, (from, to): Link) -> LinkView {
        let report = self.links.get(&(from, to)).map(|link| &link.report);
        let faults = report.map_or(LinkFaults::default(), |report| report.faults);
        let acting = self.faults.iter().filter(|fault| fault.active.links.contains(&(from, to)));
        let since_ms = acting.clone().map(|fault| fault.active.since_ms).min();
        let (copies, asks) = (self.copies(from, to), self.copies(to, from));
        // A plan of a simulated world cuts links by itself: the list of faults knows.
        let stops = |link: Link| {
            let of_link = self.faults.iter().filter(move |fault| fault.active.links.contains(&link));
            let is_cut = of_link.clone().any(|fault| fault.active.kind == FaultKind::Cut);
            let is_held = self.links.get(&link).is_some_and(|link| link.report.faults.is_held);
            (is_cut || is_held).then(|| of_link.map(|fault| fault.active.since_ms).min()).flatten()
        };
        let is_copied = copies.in_sync > 0 || asks.in_sync > 0;
        let stopped_ms = [stops((from, to)), stops((to, from))].into_iter().flatten().min().filter(|_| is_copied);
        let lag_time_max_ms = self.setup.cluster.replica_lag_time_max_ms;
        let is_cut = acting.clone().any(|fault| fault.active.kind == FaultKind::Cut);
        LinkView {
            ends: (from, to),
            faults: LinkFaults { is_cut: faults.is_cut || is_cut, ..faults },
            held: report.map_or(0, |report| report.held),
            since_ms,
            lost: report.map_or(0, |report| report.lost),
            traffic: self.traffic((from, to)),
            copies,
            asks,
            from_controller: self.controller == Some(from),
            to_controller: self.controller == Some(to),
            leaves_isr_at_ms: stopped_ms.map(|since| since + lag_time_max_ms),
            lag_time_max_ms,
        }
    }

    /// What passes over a link, where its host counts; the bytes of clients are known from the brokers.
    fn traffic(&self, link: Link) -> Option<Traffic> {
        let rates = |id: BrokerId| self.brokers.get(&id).map(Broker::rates);
        let of_clients = match link {
            (CLIENTS, broker) => rates(broker).map(|(bytes_in, _)| bytes_in),
            (broker, CLIENTS) => rates(broker).map(|(_, bytes_out)| bytes_out),
            _ => None,
        };
        if let Some(bytes) = of_clients {
            return Some(Traffic { messages: None, bytes, over_ms: 1_000 });
        }
        let link = self.links.get(&link).filter(|link| link.report.passed.is_some())?;
        let (messages, bytes) = (link.messages.per_second(), link.bytes.per_second());
        Some(Traffic { messages: Some(messages), bytes, over_ms: 1_000 })
    }

    /// Partitions that one broker leads and another has a copy of.
    fn copies(&self, leader: BrokerId, follower: BrokerId) -> Copies {
        let mut copies = Copies::default();
        if leader == CLIENTS || follower == CLIENTS {
            return copies;
        }
        for partition in self.partitions.iter() {
            let state = &partition.state;
            if state.leader != Some(leader) || !state.replicas.contains(&follower) {
                continue;
            }
            copies.partitions += 1;
            copies.in_sync += u32::from(state.isr.contains(&follower));
            copies.behind += partition.behind(follower).0;
        }
        copies
    }

    /// Takes in what is set on links, and what has passed over them so far.
    pub fn set_links(&mut self, reports: Vec<LinkReport>) {
        let at_ms = self.moment.at_ms;
        let mut before = std::mem::take(&mut self.links);
        for report in reports {
            let (mut messages, mut bytes) =
                before.remove(&report.link).map(|seen| (seen.messages, seen.bytes)).unwrap_or_default();
            if let Some(passed) = report.passed {
                messages.read(at_ms, passed.0);
                bytes.read(at_ms, passed.1);
            }
            self.links.insert(report.link, LinkSeen { report, messages, bytes });
        }
    }
}

fn points_of_partitions(impact: &Impact, going: Going) -> Vec<Point> {
    let mut points = Vec::new();
    let until = if going == Going::InOrder { " until it is back" } else { "" };
    if impact.moved > 0 {
        let text = match going {
            Going::InOrder => partitions(impact.moved, "moves its leader first", "move their leaders first"),
            _ => partitions(impact.moved, "elects a new leader", "elect a new leader"),
        };
        points.push(point(PointKind::NewLeader, impact.moved as u64, text));
    }
    if !impact.leaderless.is_empty() {
        let count = impact.leaderless.len();
        let text = partitions(count, "loses its last in-sync copy", "lose their last in-sync copy");
        points.push(point(PointKind::Offline, count as u64, format!("{text}{}", named(&impact.leaderless))));
    }
    if !impact.refusing.is_empty() {
        let count = impact.refusing.len();
        let text = partitions(count, "drops below min ISR", "drop below min ISR");
        points.push(point(PointKind::BelowMin, count as u64, format!("{text}: writes refused{until}")));
    }
    if impact.thinner > 0 {
        let text = partitions(impact.thinner, "has", "have");
        points.push(point(PointKind::FewerCopies, impact.thinner as u64, format!("{text} one copy fewer{until}")));
    }
    if impact.at_risk > 0 && going != Going::InOrder {
        let text =
            if impact.at_risk == 1 { "record not copied yet: at risk" } else { "records not copied yet: at risk" };
        points.push(point(PointKind::AtRisk, impact.at_risk, text));
    }
    points
}

//! The headline: one sentence that says what is going on and why, made from facts by a pure function.
//!
//! Invariants: every headline exists in three lengths written by hand (at most 55, 95 and 135 cells with names of
//! usual length) and the longest that fits is shown, none is cut short of its meaning; subject first, one cause, one
//! consequence, present tense; the worst thing wins.
//!
//! Deliberately not here: the chain of causes behind it, which `w` asks the host for.

mod groups;
mod quorum;
mod wire;

use super::numbers::{count, offset, plural, span_ms};
use crate::cluster::view::{BrokerState, CatchUp, ClusterView, Death, PartitionSeverity, WorstPartition};

/// How a part of a headline is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As plain text.
    Plain,
    /// The subject.
    Strong,
    /// Something is lost or does not work.
    Bad,
    /// Something waits.
    Waits,
    /// Which keys help: left out where there are no keys.
    Keys,
}

/// How bad it is: the colour of the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Nothing to do.
    Good,
    /// Worth a look.
    Notice,
    /// Something does not work.
    Bad,
    /// The cluster decides who has authority.
    Election,
}

/// A sentence in parts.
pub type Sentence = Vec<(Tone, String)>;

/// What the headline row shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// One or two words in capitals.
    pub chip: String,
    /// The chip's colour.
    pub mood: Mood,
    /// The sentence in three lengths, the shortest first.
    pub lengths: [Sentence; 3],
}

impl Headline {
    /// The longest length that fits in `cells`, or else the shortest.
    pub fn fitting(&self, cells: u16) -> &Sentence {
        let fits = |sentence: &&Sentence| {
            sentence.iter().map(|(_, text)| super::pen::width(text)).fold(0, u16::saturating_add) <= cells
        };
        self.lengths.iter().rev().find(fits).unwrap_or(&self.lengths[0])
    }

    /// The longest length as text, for where there are no keys.
    pub fn said(&self) -> String {
        let parts = self.lengths[2].iter().filter(|(tone, _)| *tone != Tone::Keys);
        parts.map(|(_, text)| &text[..]).collect::<String>().trim_end().to_owned()
    }
}

fn plain(text: impl Into<String>) -> (Tone, String) {
    (Tone::Plain, text.into())
}
fn strong(text: impl Into<String>) -> (Tone, String) {
    (Tone::Strong, text.into())
}
fn bad(text: impl Into<String>) -> (Tone, String) {
    (Tone::Bad, text.into())
}
fn waits(text: impl Into<String>) -> (Tone, String) {
    (Tone::Waits, text.into())
}
fn keys(text: impl Into<String>) -> (Tone, String) {
    (Tone::Keys, text.into())
}

fn headline(chip: impl Into<String>, mood: Mood, lengths: [Sentence; 3]) -> Headline {
    Headline { chip: chip.into(), mood, lengths }
}

/// Longer than this ago a broker's death is no news but a state.
const NEWS_MS: u64 = 30_000;

/// What is going on.
pub fn of(view: &ClusterView) -> Headline {
    nobody_up(view)
        .or_else(|| records_lost(view))
        .or_else(|| wire::stopped(view))
        .or_else(|| groups::of(view))
        .or_else(|| quorum::of(view))
        .or_else(|| quorum::elected(view))
        .or_else(|| quorum::no_spare(view))
        .or_else(|| broker_down(view))
        .or_else(|| no_leader(view))
        .or_else(|| catching_up(view))
        .or_else(|| stalled(view))
        .or_else(|| copies_missing(view))
        .or_else(|| empty(view))
        .or_else(|| quorum::calm(view))
        .or_else(|| wire::calm(view))
        .unwrap_or_else(|| healthy(view))
}

fn nobody_up(view: &ClusterView) -> Option<Headline> {
    let brokers = view.brokers.len() as u64;
    if brokers > 0 && view.brokers.iter().any(|card| card.state.answers()) {
        return None;
    }
    if let Some(starting) = view.brokers.iter().find(|card| card.state == BrokerState::Starting) {
        let since = span_ms(view.at_ms.saturating_sub(starting.since_ms));
        let who = plural(brokers, "broker");
        return Some(headline(
            "STARTING",
            Mood::Notice,
            [
                vec![strong(format!("{who} starting for {since}."))],
                vec![
                    strong(format!("{who} starting for {since}: ")),
                    plain("logs are read, then a controller is elected."),
                ],
                vec![
                    strong(format!("{who} starting for {since}: ")),
                    plain(
                        "each reads its log, then they elect a controller and register. Clients can connect already.",
                    ),
                ],
            ],
        ));
    }
    let frozen = view.brokers.iter().filter(|card| card.state == BrokerState::Suspended).count();
    let key = match frozen {
        0 => "R starts",
        all if all == view.brokers.len() => "S resumes",
        _ => "R starts or S resumes",
    };
    Some(headline(
        "NO BROKER",
        Mood::Bad,
        [
            vec![bad("No broker answers."), keys(format!(" {key} it."))],
            vec![
                bad("No broker answers"),
                plain(", so nothing can be read or written."),
                keys(format!(" {key} it, u undoes.")),
            ],
            vec![
                bad("No broker answers"),
                plain(", so no client can produce or consume. Their logs are kept. "),
                keys(format!("{key} it, u undoes, H heals.")),
            ],
        ],
    ))
}

fn records_lost(view: &ClusterView) -> Option<Headline> {
    let lost = view.situation.lost.as_ref()?;
    let records = plural(lost.count, "acknowledged record");
    let were = if lost.count == 1 { "is" } else { "are" };
    let offsets = if lost.first_offset == lost.last_offset {
        format!("offset {}", offset(lost.first_offset))
    } else {
        format!("offsets {} to {}", offset(lost.first_offset), offset(lost.last_offset))
    };
    Some(headline(
        "RECORDS LOST",
        Mood::Bad,
        [
            vec![bad(format!("{records} lost")), plain(format!(" in {}.", lost.name))],
            vec![bad(format!("{records} {were} lost")), plain(format!(" in {}: {}.", lost.name, lost.rule))],
            vec![bad(format!("{records} {were} lost")), plain(format!(" in {}, {offsets}: {}.", lost.name, lost.rule))],
        ],
    ))
}

fn how(state: &BrokerState) -> (&'static str, &'static str) {
    match state {
        BrokerState::Suspended => ("was suspended", "has been suspended for"),
        BrokerState::Stopped | BrokerState::Stopping => ("was stopped", "has been stopped for"),
        BrokerState::PowerLost => ("lost power", "has had no power for"),
        BrokerState::Crashed { .. } => ("crashed", "has been down since it crashed,"),
        _ => ("died", "has been down for"),
    }
}

fn broker_down(view: &ClusterView) -> Option<Headline> {
    let death = view.situation.last_death.as_ref().filter(|death| death.back_at_ms.is_none())?;
    let ago_ms = view.at_ms.saturating_sub(death.at_ms);
    let waiting = view.totals.no_leader > 0 && death.elected == 0;
    match death.fence_at_ms {
        Some(fence_at) if fence_at > view.at_ms && waiting => Some(before_the_fence(view, death, fence_at)),
        _ if ago_ms < NEWS_MS && (death.elected > 0 || view.totals.no_leader > 0) => Some(failover(view, death)),
        _ => Some(still_down(view, death)),
    }
}

fn before_the_fence(view: &ClusterView, death: &Death, fence_at: u64) -> Headline {
    let silent = span_ms(view.at_ms.saturating_sub(death.at_ms));
    let in_ms = span_ms(fence_at - view.at_ms);
    let leaderless = plural(u64::from(view.totals.no_leader), "partition");
    let have = if view.totals.no_leader == 1 { "has" } else { "have" };
    let broker = death.broker;
    headline(
        format!("BROKER {broker} DOWN"),
        Mood::Bad,
        [
            vec![bad(format!("No heartbeat for {silent}. ")), strong(format!("{leaderless} wait."))],
            vec![
                bad(format!("No heartbeat for {silent}. ")),
                strong(format!("{leaderless} {have} no leader; ")),
                plain(format!("new ones in {in_ms}.")),
            ],
            vec![
                bad(format!("No heartbeat for {silent}. ")),
                strong(format!("{leaderless} {have} no leader; ")),
                plain(format!("the controller elects when the session times out, in {in_ms}.")),
            ],
        ],
    )
}

fn failover(view: &ClusterView, death: &Death) -> Headline {
    let ago = span_ms(view.at_ms.saturating_sub(death.at_ms));
    let (died, _) = how(&death.state);
    let subject = format!("Broker {} {died} {ago} ago. ", death.broker);
    let elected = plural(u64::from(death.elected), "partition");
    let took = span_ms(death.took_ms);
    let worst = |severity| view.situation.worst.iter().find(|worst| worst.severity == severity);
    let offline = worst(PartitionSeverity::NoLeader);
    let stalled = worst(PartitionSeverity::Stalled);
    let mut short = vec![strong(subject.clone())];
    short.push(match (death.elected, view.totals.no_leader) {
        (new, 0) => plain(format!("{new} new leaders.")),
        (0, gone) => bad(format!("{gone} without a leader.")),
        (new, gone) => plain(format!("{new} new leaders, {gone} gone.")),
    });
    let mut medium = vec![strong(subject.clone())];
    let mut long = medium.clone();
    if death.elected > 0 {
        let have = if death.elected == 1 { "has a new leader" } else { "have new leaders" };
        let end = if offline.is_some() { ", " } else { "." };
        medium.push(plain(format!("{elected} {have}{end}")));
        let verb = if death.elected == 1 { "elected a leader" } else { "elected leaders" };
        long.push(plain(format!("{elected} {verb} in {took}. ")));
    }
    if let Some(offline) = offline {
        medium.push(strong(format!("{} has none.", offline.name)));
        long.extend(offline_clause(offline));
    }
    if let Some(stalled) = stalled {
        let cells = |sentence: &Sentence| sentence.iter().map(|(_, text)| super::pen::width(text)).sum::<u16>();
        let clause = waits_clause(stalled);
        // The least of the facts goes when names are long.
        if cells(&long) + super::pen::width(&clause) <= 135 {
            long.push(waits(clause));
        }
    }
    headline("FAILOVER", Mood::Bad, [short, medium, long])
}

fn offline_clause(offline: &WorstPartition) -> Sentence {
    match offline.waits_for {
        Some(broker) => {
            vec![bad(format!("{} has none", offline.name)), plain(format!(": only {broker} had every record. "))]
        }
        None => vec![bad(format!("{} has none. ", offline.name))],
    }
}

fn waits_clause(stalled: &WorstPartition) -> String {
    match stalled.waits_for {
        Some(broker) => format!("{} waits for {broker}.", stalled.name),
        None => format!("{} waits.", stalled.name),
    }
}

fn still_down(view: &ClusterView, death: &Death) -> Headline {
    let ago = span_ms(view.at_ms.saturating_sub(death.at_ms));
    let (died, has_been) = how(&death.state);
    let missing = plural(u64::from(view.totals.missing_copy), "partition");
    let miss = if view.totals.missing_copy == 1 { "has" } else { "have" };
    let broker = death.broker;
    let key = if death.state == BrokerState::Suspended { "S resumes it" } else { "R starts it" };
    let mood = if view.totals.no_leader > 0 { Mood::Bad } else { Mood::Notice };
    let mut long = vec![
        strong(format!("Broker {broker} {has_been} {ago}. ")),
        plain(format!("{missing} {miss} one copy fewer; no acknowledged record is lost. ")),
    ];
    if let Some(worst) = view.situation.worst.first().filter(|worst| worst.severity != PartitionSeverity::MissingCopy) {
        long[1] = plain(format!("{missing} {miss} a copy fewer. "));
        match worst.severity {
            PartitionSeverity::NoLeader => long.extend(offline_clause(worst)),
            _ => long.push(waits(format!("{} ", waits_clause(worst)))),
        }
    }
    long.push(keys(format!("{key}.")));
    headline(
        format!("BROKER {broker} DOWN"),
        mood,
        [
            vec![strong(format!("Broker {broker} {died} {ago} ago. ")), keys(format!("{key}."))],
            vec![
                strong(format!("Broker {broker} {has_been} {ago}. ")),
                plain(format!("{missing} {miss} one copy fewer.")),
                keys(format!(" {key}.")),
            ],
            long,
        ],
    )
}

fn no_leader(view: &ClusterView) -> Option<Headline> {
    let worst = view.situation.worst.iter().find(|worst| worst.severity == PartitionSeverity::NoLeader)?;
    let ago = span_ms(view.at_ms.saturating_sub(worst.since_ms));
    let others = u64::from(view.totals.no_leader.saturating_sub(1));
    let and = if others > 0 { format!(" and {} more", count(others)) } else { String::new() };
    let have = if others > 0 { "have" } else { "has" };
    let name = &worst.name;
    let (short_why, long_why) = match worst.waits_for {
        Some(broker) => (
            format!(" Broker {broker} has the last copy."),
            format!(" Only broker {broker} has every record; nothing can be read or written until it is back."),
        ),
        None => (String::new(), " Nothing can be written or read there until a replica comes back.".to_string()),
    };
    Some(headline(
        "NO LEADER",
        Mood::Bad,
        [
            vec![bad(format!("{name}{and} {have} no leader"))],
            vec![bad(format!("{name}{and} {have} had no leader for {ago}.")), plain(short_why)],
            vec![bad(format!("{name}{and} {have} had no leader for {ago}.")), plain(long_why)],
        ],
    ))
}

fn catching_up(view: &ClusterView) -> Option<Headline> {
    let CatchUp { broker, replicas, records, cut } = view.situation.catching_up.first()?.clone();
    let behind = count(records);
    let copies = if replicas == 1 { "1 copy".to_string() } else { format!("{} copies", count(u64::from(replicas))) };
    let cut_clause = match cut {
        0 => String::new(),
        1 => "It cut 1 record nobody else had and copies what it missed: ".to_string(),
        _ => format!("It cut {} records nobody else had and copies what it missed: ", count(cut)),
    };
    let copies_clause = if cut == 0 { "It copies what it missed: " } else { &cut_clause };
    Some(headline(
        "CATCHING UP",
        Mood::Notice,
        [
            vec![strong(format!("Broker {broker} is back, ")), plain(format!("{behind} records behind."))],
            vec![
                strong(format!("Broker {broker} is back ")),
                plain(format!("and copies what it missed: {behind} records in {copies}.")),
            ],
            vec![
                strong(format!("Broker {broker} is back. ")),
                plain(format!("{copies_clause}{behind} records in {copies}. Then it joins the ISR.")),
            ],
        ],
    ))
}

fn stalled(view: &ClusterView) -> Option<Headline> {
    let worst = view.situation.worst.iter().find(|worst| worst.severity == PartitionSeverity::Stalled)?;
    let ago = span_ms(view.at_ms.saturating_sub(worst.since_ms));
    let name = &worst.name;
    let others = u64::from(view.totals.stalled.saturating_sub(1));
    let more = if others > 0 { format!(" {} more stall.", count(others)) } else { String::new() };
    let who = worst.waits_for.map(|broker| format!("broker {broker}"));
    let who = who.as_deref().unwrap_or("a replica in the ISR");
    Some(headline(
        "HW STALLED",
        Mood::Notice,
        [
            vec![waits(format!("{name} waits for {who}."))],
            vec![
                waits(format!("{name}'s high watermark has stood for {ago}: ")),
                plain(format!("it waits for {who}.{more}")),
            ],
            vec![
                waits(format!("{name}'s high watermark has stood for {ago}: ")),
                plain(format!("{who} is in the ISR and does not fetch, so acks=all waits.{more}")),
            ],
        ],
    ))
}

fn copies_missing(view: &ClusterView) -> Option<Headline> {
    if view.totals.missing_copy == 0 {
        return None;
    }
    let partitions = plural(u64::from(view.totals.missing_copy), "partition");
    let have = if view.totals.missing_copy == 1 { "has" } else { "have" };
    Some(headline(
        "COPY MISSING",
        Mood::Notice,
        [
            vec![waits(format!("{partitions} {have} a copy out of sync."))],
            vec![waits(format!("{partitions} {have} a copy out of sync. ")), plain("They can be written and read.")],
            vec![
                waits(format!("{partitions} {have} a copy out of sync. ")),
                plain("They can be written and read; one more loss may stop them."),
            ],
        ],
    ))
}

fn empty(view: &ClusterView) -> Option<Headline> {
    if !view.situation.no_topics {
        return None;
    }
    let brokers = view.brokers.iter().filter(|card| card.state.answers()).count() as u64;
    let are = if brokers == 1 { "is" } else { "are" };
    let who = plural(brokers, "broker");
    let sentence = vec![strong(format!("{who} {are} up and there is nothing in them yet."))];
    let short = vec![strong(format!("{who} {are} up, with nothing in them yet."))];
    Some(headline("READY", Mood::Good, [short, sentence.clone(), sentence]))
}

fn healthy(view: &ClusterView) -> Headline {
    let partitions = plural(u64::from(view.totals.partitions), "partition");
    let rate = count(view.totals.records_in_per_s);
    let faults = view.faults.len() as u64;
    if faults > 0 {
        let faults = plural(faults, "fault");
        return headline(
            "COPES",
            Mood::Notice,
            [
                vec![strong(format!("All in sync, with {faults} active.")), keys(" H heals.")],
                vec![
                    strong(format!("{partitions}, all in sync, ")),
                    plain(format!("with {faults} active.")),
                    keys(" u undoes the last, H all."),
                ],
                vec![
                    strong(format!("{partitions}, all replicas in sync, ")),
                    plain(format!("{rate} records/s in, with {faults} active.")),
                    keys(" u undoes the last one, H heals everything."),
                ],
            ],
        );
    }
    if view.totals.records_in_per_s == 0 {
        let sentence = vec![strong(format!("{partitions}, all replicas in sync. ")), plain("Nobody writes now.")];
        return headline("HEALTHY", Mood::Good, [sentence.clone(), sentence.clone(), sentence]);
    }
    headline(
        "HEALTHY",
        Mood::Good,
        [
            vec![plain(format!("{partitions} in sync, {rate} records/s in."))],
            vec![plain(format!("{partitions}, all replicas in sync. {rate} records/s in."))],
            vec![plain(format!(
                "{partitions}, all replicas in sync. {rate} records/s in, every high watermark moving."
            ))],
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::{
        BrokerCard, BrokerId, Contest, LostRecords, PartitionName, QuorumReplica, QuorumRole, QuorumView, Reach,
        Situation, Term, Totals,
    };

    fn card(id: i32, state: BrokerState) -> BrokerCard {
        BrokerCard {
            id: BrokerId(id),
            port: 9_092,
            state,
            since_ms: 0,
            cause: String::new(),
            fenced_at_ms: None,
            quorum: QuorumRole::Voter,
            leaders: 0,
            replicas: 0,
            bytes_in_per_s: 0,
            bytes_out_per_s: 0,
            in_history: Vec::new(),
            out_history: Vec::new(),
            disk_bytes: 0,
            disk_used_permille: None,
            faults: Vec::new(),
            next_wake: None,
        }
    }

    fn view(states: [BrokerState; 3]) -> ClusterView {
        let brokers = states.into_iter().zip(1..).map(|(state, id)| card(id, state)).collect();
        let totals = Totals { partitions: 28, all_in_sync: 28, records_in_per_s: 3_412, ..Totals::default() };
        ClusterView { at_ms: 3_600_000, brokers, totals, ..ClusterView::default() }
    }

    fn up() -> ClusterView {
        view([BrokerState::Running, BrokerState::Running, BrokerState::Running])
    }

    fn worst(severity: PartitionSeverity, broker: i32) -> WorstPartition {
        let (name, waits_for) = (PartitionName::new("payments", 2), Some(BrokerId(broker)));
        WorstPartition { name, severity, since_ms: 3_597_900, waits_for }
    }

    fn death(state: BrokerState, ago_ms: u64, elected: u32) -> Option<Death> {
        let at_ms = 3_600_000 - ago_ms;
        let fence_at_ms = (ago_ms < 2_000).then_some(at_ms + 2_000);
        Some(Death { broker: BrokerId(2), at_ms, state, elected, took_ms: 310, fence_at_ms, back_at_ms: None })
    }

    /// What the Quorum screen sees, with one voter reached or not.
    fn quorum(reach: Reach, from_ms: u64) -> ClusterView {
        let voter = |(broker, reach)| QuorumReplica::unheard(BrokerId(broker), true, reach);
        let replicas = [(1, Reach::Majority), (2, Reach::Majority), (3, reach)].map(voter).to_vec();
        let before = Term { epoch: 1_010, leader: BrokerId(3), from_ms: 3_000, until_ms: Some(from_ms - 412) };
        let terms = vec![before, Term { epoch: 1_011, leader: BrokerId(1), from_ms, until_ms: None }];
        let quorum = QuorumView { epoch: 1_011, needed: 2, replicas, terms, ..QuorumView::default() };
        ClusterView { quorum: Some(Box::new(quorum)), ..up() }
    }

    /// The same for headlines about the quorum.
    fn all_of_the_quorum() -> Vec<(&'static str, ClusterView)> {
        let contest = || Contest { epoch: 1_012, voters: 3, needed: 2, up: 3, reachable: 3, ..Contest::default() };
        let no_controller_since_ms = Some(3_595_800);
        let contested = |contest| Situation { no_controller_since_ms, contest: Some(contest), ..Situation::default() };
        let with = |contest| ClusterView { situation: contested(contest), ..up() };
        let (cut_off, next) = (Some((BrokerId(1), Some(3_600_620))), Some((BrokerId(3), 3_600_620)));
        let standing = || vec![(BrokerId(3), 1, true)];
        let split = Some(vec![(BrokerId(2), 1), (BrokerId(3), 1)]);
        let mut after_a_cut = quorum(Reach::Few, 3_599_900);
        if let Some(quorum) = &mut after_a_cut.quorum {
            quorum.terms[0].until_ms = Some(3_599_900);
        }
        let lost = ClusterView {
            situation: contested(Contest { up: 1, reachable: 1, ..contest() }),
            ..view([BrokerState::Running, BrokerState::Killed, BrokerState::Killed])
        };
        vec![
            ("NO CONTROLLER", lost),
            ("NO CONTROLLER", with(Contest { reachable: 1, ..contest() })),
            ("CUT OFF", with(Contest { cut_off, ..contest() })),
            ("ELECTION", with(Contest { cut_off, standing: standing(), ..contest() })),
            ("SPLIT VOTE", with(Contest { split, next, ..contest() })),
            ("ELECTION", with(Contest { standing: standing(), ..contest() })),
            ("ELECTED", quorum(Reach::Down, 3_599_900)),
            ("ELECTED", after_a_cut),
            ("NO SPARE VOTER", quorum(Reach::Down, 3_000_000)),
            ("QUORUM", quorum(Reach::Majority, 3_000_000)),
        ]
    }

    /// One view for every headline there is, with its chip.
    fn all() -> Vec<(&'static str, ClusterView)> {
        let with = |situation: Situation, totals: Totals| ClusterView { situation, totals, ..up() };
        let totals = |no_leader, stalled, missing_copy| Totals {
            partitions: 28,
            no_leader,
            stalled,
            missing_copy,
            records_in_per_s: 9_999,
            ..Totals::default()
        };
        let none = Situation::default;
        let offline = || vec![worst(PartitionSeverity::NoLeader, 2), worst(PartitionSeverity::Stalled, 5)];
        let stalled = || vec![worst(PartitionSeverity::Stalled, 5)];
        let lost = LostRecords {
            count: 14,
            name: PartitionName::new("orders", 0),
            first_offset: 12_840,
            last_offset: 12_853,
            rule: "acks=1 and the leader died".into(),
        };
        let back = |cut| vec![CatchUp { broker: BrokerId(2), replicas: 12, records: 1_022, cut }];
        let dead =
            |state, ago, elected| Situation { last_death: death(state, ago, elected), worst: offline(), ..none() };
        vec![
            ("NO BROKER", view([BrokerState::Killed, BrokerState::Suspended, BrokerState::Stopped])),
            ("STARTING", view([BrokerState::Starting, BrokerState::Starting, BrokerState::Stopped])),
            ("RECORDS LOST", with(Situation { lost: Some(lost), ..none() }, totals(0, 0, 0))),
            ("ELECTION", with(Situation { no_controller_since_ms: Some(3_599_800), ..none() }, totals(0, 0, 0))),
            ("BROKER 2 DOWN", with(dead(BrokerState::Killed, 1_200, 0), totals(14, 3, 0))),
            ("FAILOVER", with(dead(BrokerState::PowerLost, 2_400, 3), totals(1, 1, 5))),
            ("FAILOVER", with(dead(BrokerState::Suspended, 2_400, 0), totals(1, 1, 5))),
            ("BROKER 2 DOWN", with(dead(BrokerState::Suspended, 134_000, 3), totals(1, 1, 15))),
            (
                "BROKER 2 DOWN",
                with(Situation { last_death: death(BrokerState::Stopped, 134_000, 3), ..none() }, totals(0, 0, 15)),
            ),
            ("NO LEADER", with(Situation { worst: offline(), ..none() }, totals(14, 1, 0))),
            ("CATCHING UP", with(Situation { catching_up: back(0), ..none() }, totals(0, 0, 5))),
            ("CATCHING UP", with(Situation { catching_up: back(14), ..none() }, totals(0, 0, 5))),
            ("HW STALLED", with(Situation { worst: stalled(), ..none() }, totals(0, 3, 0))),
            ("COPY MISSING", with(none(), totals(0, 0, 28))),
            ("READY", with(Situation { no_topics: true, ..none() }, totals(0, 0, 0))),
            ("HEALTHY", up()),
        ]
    }

    /// Every headline is there in the three lengths the layout counts on, and the worst thing wins.
    #[test]
    fn every_headline_has_three_lengths() {
        for (chip, view) in all().into_iter().chain(all_of_the_quorum()) {
            let headline = of(&view);
            assert_eq!(headline.chip, chip);
            for (sentence, most) in headline.lengths.iter().zip([55, 95, 135]) {
                let text: String = sentence.iter().map(|(_, text)| text.as_str()).collect();
                let cells = crate::tui::pen::width(&text);
                assert!(cells <= most, "{cells} cells instead of {most}: {text}");
                assert!(!text.trim().is_empty() && !text.contains('!'), "{text}");
            }
        }
    }

    #[test]
    fn the_longest_that_fits_is_shown() {
        let headline = of(&up());
        assert_eq!(headline.fitting(200), &headline.lengths[2]);
        assert_eq!(headline.fitting(60), &headline.lengths[1]);
        assert_eq!(headline.fitting(3), &headline.lengths[0]);
    }
}

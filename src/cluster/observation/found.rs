//! The faults that act, in the words of the language: what a host lists, the newest first, and puts on the brokers' cards.
//!
//! Invariants: one text for one fault, the same on a live and on a simulated cluster; each comes with the command that ends it.
//!
//! Deliberately not here: finding out which brokers are down and which disks are slow (the hosts know).

use super::{Fault, LinkReport};
use crate::cluster::command::values::{LinkSpec, duration_text, link_end};
use crate::cluster::link::{CLIENTS, Link, LinkFaults, Links};
use crate::cluster::view::{ActiveFault, FaultChip, FaultKind};
use crate::protocol::ids::BrokerId;
use std::collections::{BTreeMap, BTreeSet};

/// A fault that was found to act.
#[derive(Debug, Clone)]
pub struct Found {
    /// What kind.
    pub kind: FaultKind,
    /// `link 1 ⇄ 3 cut`.
    pub text: String,
    /// The command that ends it.
    pub undo: String,
    chips: Vec<(BrokerId, String)>,
    links: Vec<(BrokerId, BrokerId)>,
}

impl Found {
    /// A fault with the command that ends it.
    pub fn new(kind: FaultKind, text: String, undo: &str) -> Found {
        Found { kind, text, undo: undo.to_owned(), chips: Vec::new(), links: Vec::new() }
    }

    /// It acts on these links, sender and receiver.
    #[must_use]
    pub fn over(mut self, links: Vec<(BrokerId, BrokerId)>) -> Found {
        self.links = links;
        self
    }

    /// It shows on a broker's card. A chip has nine cells.
    #[must_use]
    pub fn on(mut self, broker: BrokerId, chip: &str) -> Found {
        self.chips.push((broker, chip.chars().take(9).collect()));
        self
    }
}

/// The faults as they are shown, the newest first. `since`: since when one acts, by its text, in milliseconds of the cluster's time.
pub fn shown(found: Vec<Found>, mut since: impl FnMut(&str) -> u64) -> Vec<Fault> {
    let mut shown: Vec<Fault> = found
        .into_iter()
        .map(|Found { kind, text, undo, chips, links }| {
            let since_ms = since(&text);
            let chip = |(id, text)| (id, FaultChip { kind, text });
            Fault {
                active: ActiveFault { kind, text, since_ms, undo, links },
                chips: chips.into_iter().map(chip).collect(),
            }
        })
        .collect();
    shown.sort_by_key(|fault| std::cmp::Reverse(fault.active.since_ms));
    shown
}

/// What is wrong with links, and which messages are to be lost.
pub fn on_links(links: &Links) -> Vec<Found> {
    let mut found = Vec::new();
    let mut told = BTreeSet::new();
    for ((from, to), faults) in links.faulty() {
        let both = links.faults((to, from)) == faults;
        // The clients come last, as one says it.
        let (from, to) = if both && from == CLIENTS { (to, from) } else { (from, to) };
        if both && !told.insert((from.min(to), from.max(to))) {
            continue;
        }
        let spec = LinkSpec { from: vec![from], to: vec![to], one_way: !both };
        let arrow = if both { "⇄" } else { "→" };
        for (kind, word) in words(faults, links.held((from, to))) {
            let text = format!("link {} {arrow} {} {word}", link_end(from), link_end(to));
            let of = |other: BrokerId| match kind {
                FaultKind::Cut if other == CLIENTS => "no client".to_owned(),
                FaultKind::Cut => format!("cut {other}"),
                _ => word.clone(),
            };
            let mut fault = Found::new(kind, text, &format!("link heal {spec}")).over(spec.directed());
            for (end, other) in [(from, to), (to, from)] {
                fault = if end == CLIENTS { fault } else { fault.on(end, &of(other)) };
            }
            found.push(fault);
        }
    }
    for drops in links.drops() {
        let half = if drops.of_responses { "responses" } else { "requests" };
        let by = drops.by.map(|id| format!(" at {id}")).unwrap_or_default();
        let text = format!("next {} {half} of {}{by} dropped", drops.left, drops.api);
        found.push(Found::new(FaultKind::Loss, text, "heal"));
    }
    found
}

/// What is set on links, and what has passed over them: of every link with a fault, and of every one that is counted.
pub fn reports(links: &Links, passed: &BTreeMap<Link, (u64, u64)>) -> Vec<LinkReport> {
    let known: BTreeSet<Link> = links.faulty().map(|(link, _)| link).chain(passed.keys().copied()).collect();
    let report = |link: Link| LinkReport {
        link,
        faults: links.faults(link),
        held: links.held(link),
        lost: links.lost(link),
        passed: passed.get(&link).copied(),
    };
    known.into_iter().map(report).collect()
}

fn words(faults: LinkFaults, held: usize) -> Vec<(FaultKind, String)> {
    let mut words = Vec::new();
    if faults.is_cut {
        words.push((FaultKind::Cut, "cut".to_owned()));
    }
    if !faults.delay.is_zero() || !faults.jitter.is_zero() {
        words.push((FaultKind::Slow, format!("+{}", duration_text(faults.delay))));
    }
    if let Some(rate) = faults.bytes_per_s {
        words.push((FaultKind::Slow, format!("{rate} B/s")));
    }
    if faults.loss_per_million > 0 {
        words.push((FaultKind::Loss, format!("loses {} %", f64::from(faults.loss_per_million) / 10_000.0)));
    }
    if faults.is_held {
        words.push((FaultKind::Loss, format!("holds {held}")));
    }
    words
}

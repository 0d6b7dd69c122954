//! Facts become lines: many of a kind a few, whatever happens at a bounded rate, and nothing that a voice cannot say.

use super::*;
use crate::cluster::view::{BrokerId, ClusterView, WorldFacts};

fn view(at_ms: u64, events: &[(u64, EventKind, &str)]) -> ClusterView {
    let mut view = ClusterView { at_ms, ..ClusterView::default() };
    view.host.world = Some(WorldFacts { seed: 7, branch: 1, steps: 0 });
    view.situation.no_topics = true;
    view.timeline.events = events
        .iter()
        .map(|(id, kind, text)| TimelineEvent {
            id: *id,
            at_ms,
            until_ms: None,
            ongoing: false,
            kind: *kind,
            text: (*text).to_owned(),
            broker: Some(BrokerId(1)),
            partition: None,
        })
        .collect();
    view
}

#[test]
fn a_fact_is_told_once_with_its_moment() {
    let mut narrator = Narrator::default();
    narrator.opening(&view(1_000, &[(1, EventKind::BrokerUp, "broker 1 is up")]));
    let facts = [(1, EventKind::BrokerUp, "broker 1 is up"), (2, EventKind::IsrShrunk, "orders-0 ISR 1,2 → 1")];
    let next = view(4_210, &facts);
    assert_eq!(narrator.changes(&next, 0), ["T 4.2 s: orders-0 ISR 1,2 to 1."]);
    assert_eq!(narrator.changes(&next, 250), [""; 0]);
}

#[test]
fn many_of_a_kind_are_a_few_and_a_number() {
    let mut narrator = Narrator::default();
    narrator.opening(&view(0, &[]));
    let names: Vec<String> = (0..100).map(|number| format!("orders-{number} led by 2, epoch 3")).collect();
    let facts: Vec<_> = (1..).zip(&names).map(|(id, text)| (id, EventKind::LeaderElected, &text[..])).collect();
    let lines = narrator.changes(&view(500, &facts), 0);
    assert_eq!(lines.len(), ALIKE + 1, "{lines:?}");
    assert_eq!(lines[ALIKE], "T 0.5 s: And 96 more like it: partitions have a new leader.");
}

#[test]
fn however_much_happens_the_rate_is_bounded_and_the_rest_is_counted() {
    let mut narrator = Narrator::default();
    narrator.opening(&view(0, &[]));
    let kinds =
        [EventKind::BrokerDied, EventKind::BrokerUp, EventKind::Fenced, EventKind::LeaderElected, EventKind::IsrShrunk];
    let (mut lines, mut told, mut happened) = (Vec::new(), 0, 0);
    for look in 1..=40_u64 {
        let facts: Vec<_> = (0..).zip(kinds).map(|(place, kind)| (look * 10 + place, kind, "something")).collect();
        happened += facts.len() as u64;
        lines.extend(narrator.changes(&view(look * 250, &facts), look * 250));
    }
    assert!(lines.len() as u64 <= BURST + 10 * LINES_A_SECOND, "{} lines", lines.len());
    // When it has become quiet, nothing is left that was not told or counted.
    let quiet = view(20_000, &[]);
    lines.extend(narrator.changes(&quiet, 20_000));
    assert!(!narrator.has_untold());
    for line in &lines {
        let counted = line.strip_suffix(" happened too fast to tell.");
        let number = counted.and_then(|line| line.split(": ").nth(1)).and_then(|line| line.split(' ').next());
        told += number.map_or(1, |number| number.parse::<u64>().expect("a number"));
    }
    assert_eq!(told, happened);
}

#[test]
fn going_back_in_time_is_told_and_what_happens_again_is_told_again() {
    let mut narrator = Narrator::default();
    narrator.opening(&view(1_000, &[]));
    let died = [(3, EventKind::BrokerDied, "kill −9 broker 1")];
    assert_eq!(narrator.changes(&view(2_000, &died), 0), ["T 2.0 s: Kill -9 broker 1."]);
    assert_eq!(narrator.changes(&view(1_500, &[]), 250), ["T 1.5 s: Time has gone back to this moment."]);
    assert_eq!(narrator.changes(&view(2_000, &died), 500), ["T 2.0 s: Kill -9 broker 1."]);
}

#[test]
fn a_verdict_that_changes_is_told() {
    let mut narrator = Narrator::default();
    let with = |lost, at_ms| {
        let ledger = Ledger { acked: 10_000, readable: 9_990, lost, ..Ledger::default() };
        ClusterView { ledger: Some(ledger), ..view(at_ms, &[]) }
    };
    narrator.opening(&with(0, 1_000));
    assert_eq!(narrator.changes(&with(0, 2_000), 0), [""; 0]);
    let told = narrator.changes(&with(3, 3_000), 0);
    assert_eq!(told, ["T 3.0 s: Records: 10.0k acknowledged, 9,990 readable, 3 lost, 0 duplicated, 0 reordered."]);
}

#[test]
fn glyphs_are_words_and_no_escape_gets_through() {
    assert_eq!(spoken("link 1 ⇄ 3 cut, ISR 1,2 → 1, kill −9"), "link 1 and 3 cut, ISR 1,2 to 1, kill -9");
    assert_eq!(spoken("\x1b[31mred\u{7}"), " [31mred ");
}

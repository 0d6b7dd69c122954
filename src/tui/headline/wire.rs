//! Headlines of the Wire screen: what is in flight while time stands still, and how messages fare while all is well.
//!
//! Deliberately not here: what is wrong with the cluster, which comes first unless somebody steps through messages.

use super::{Headline, Mood, headline, keys, plain, strong};
use crate::cluster::view::{ClockMode, ClusterView, WireState, WireView};
use crate::tui::numbers::{plural, span_ms};
use crate::tui::screens::wire::in_flight;

/// Time stands still, and messages are looked at one by one.
pub(super) fn stopped(view: &ClusterView) -> Option<Headline> {
    let wire = view.wire.as_ref().filter(|_| view.host.can.step)?;
    if matches!(view.clock, ClockMode::Live { .. }) {
        return None;
    }
    let messages = in_flight(wire);
    let many = plural(messages.len() as u64, "message");
    let Some(next) = messages.first() else {
        let long = "The world is stopped and nothing that is shown is in flight. ";
        return Some(headline(
            "STEP",
            Mood::Notice,
            [
                vec![strong("Stopped, nothing in flight. "), keys(". goes on.")],
                vec![strong("The world is stopped, nothing is in flight. "), keys(". goes on to the next message.")],
                vec![strong(long), keys(". goes on until the next message has arrived, Space runs.")],
            ],
        ));
    };
    let what = if next.is_response { format!("{} answer", next.api) } else { next.api.to_owned() };
    if next.state == WireState::Held {
        return Some(headline(
            "STEP",
            Mood::Notice,
            [
                vec![strong(format!("Links hold {many}. ")), keys("x releases.")],
                vec![strong(format!("The world is stopped and links hold {many}. ")), keys("x releases them.")],
                vec![
                    strong(format!("The world is stopped and links hold {many}. ")),
                    plain(format!("The first: {what} to {}. ", next.to)),
                    keys("x releases it, H heals all."),
                ],
            ],
        ));
    }
    Some(headline(
        "STEP",
        Mood::Notice,
        [
            vec![strong(format!("{many} in flight. ")), keys(format!(". delivers {what}."))],
            vec![
                strong(format!("The world is stopped with {many} in flight. ")),
                keys(". delivers the next: "),
                plain(format!("{what} to {}.", next.to)),
            ],
            vec![
                strong(format!("The world is stopped with {many} in flight. ")),
                keys(". delivers the next one: "),
                plain(format!("{} reaches {}.", next.summary, next.to)),
            ],
        ],
    ))
}

/// Time runs and nothing is wrong.
pub(super) fn calm(view: &ClusterView) -> Option<Headline> {
    let wire = view.wire.as_ref().filter(|_| view.faults.is_empty())?;
    let (first, last) = (wire.messages.first()?, wire.messages.last()?);
    let many = plural(wire.messages.len() as u64, "message");
    let span = span_ms(last.sent_us.saturating_sub(first.sent_us) / 1_000);
    let fate = fate(wire);
    let stops = if view.host.can.step { "b stops it at the next such message, " } else { "" };
    Some(headline(
        "MESSAGES",
        Mood::Good,
        [
            vec![strong(format!("{many} in {span}, {fate}."))],
            vec![strong(format!("{many} in the last {span}, {fate}. ")), keys("Space stops them.")],
            vec![
                strong(format!("{many} in the last {span}, {fate}. ")),
                keys(format!("Space stops time, {stops}/ filters.")),
            ],
        ],
    ))
}

fn fate(wire: &WireView) -> String {
    let lost = wire.messages.iter().filter(|message| matches!(message.state, WireState::Dropped(..))).count();
    let failed = wire.messages.iter().filter(|message| message.error.is_some()).count();
    match (lost, failed) {
        (0, 0) => "none lost, no error".to_owned(),
        (0, failed) => format!("none lost, {}", plural(failed as u64, "error")),
        (lost, 0) => format!("{lost} lost"),
        (lost, failed) => format!("{lost} lost, {}", plural(failed as u64, "error")),
    }
}

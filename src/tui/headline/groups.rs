//! The headline of the Groups screen: what the group in view is doing, and why.
//!
//! Invariants: as in the module above; a group that reads undisturbed leaves the row to the cluster.
//!
//! Deliberately not here: what is worse than anything a group can do (nobody is up, records are lost).

use super::{Headline, Mood, headline, plain, strong, waits};
use crate::cluster::view::{ClusterView, GroupDetail, GroupState};
use crate::tui::numbers::{plural, span_ms};

/// What the group in view is doing, if it is worth a headline.
pub(super) fn of(view: &ClusterView) -> Option<Headline> {
    let group = view.groups.as_ref()?.detail.as_deref()?;
    match group.state {
        GroupState::NoCoordinator => Some(no_coordinator(group)),
        GroupState::Preparing => Some(preparing(view, group)),
        GroupState::Completing => Some(completing(group)),
        GroupState::Assigning | GroupState::Reconciling => Some(moving(group)),
        GroupState::Stable | GroupState::Empty => None,
    }
}

fn no_coordinator(group: &GroupDetail) -> Headline {
    let (name, broker) = (&group.name, group.coordinator);
    let lost = format!("{name} lost its coordinator with broker {broker}.");
    headline(
        "NO COORDINATOR",
        Mood::Bad,
        [
            vec![strong(lost.clone())],
            vec![strong(lost.clone()), plain(" Its members read on, and cannot commit.")],
            vec![
                strong(lost),
                plain(
                    " Its members read on and cannot commit, until another broker leads its part of __consumer_offsets.",
                ),
            ],
        ],
    )
}

/// Why it rebalances, with ids of members as short as on the screen.
fn cause(group: &GroupDetail) -> String {
    let Some(last) = group.rebalances.first() else { return "it has just begun".to_owned() };
    group.members.iter().fold(last.cause.clone(), |cause, member| {
        if member.id.is_empty() { cause } else { cause.replace(&*member.id, &member.label()) }
    })
}

fn pause(group: &GroupDetail) -> &'static str {
    if group.reads_on { "Who keeps a partition reads on" } else { "Reading is paused" }
}

fn preparing(view: &ClusterView, group: &GroupDetail) -> Headline {
    let (name, all) = (&group.name, group.members.len());
    let joined = group.members.iter().filter(|member| member.seen_ms.is_none()).count();
    let have = if joined == 1 { "has" } else { "have" };
    let left = group.state_ends_ms.map(|ends| span_ms(ends.saturating_sub(view.at_ms)));
    let at_most = left.map_or_else(String::new, |left| format!(", for {left} at most"));
    let why = cause(group);
    headline(
        "REBALANCING",
        Mood::Notice,
        [
            vec![strong(format!("{name} rebalances: ")), waits(format!("{joined} of {all} joined."))],
            vec![strong(format!("{name}: {why}. ")), waits(format!("{joined} of {all} members {have} joined again."))],
            vec![
                strong(format!("{name}: {why}. ")),
                waits(format!("{joined} of {all} members {have} joined again. ")),
                plain(format!("{}{at_most}.", pause(group))),
            ],
        ],
    )
}

fn completing(group: &GroupDetail) -> Headline {
    let name = &group.name;
    let members = plural(group.members.len() as u64, "member");
    headline(
        "REBALANCING",
        Mood::Notice,
        [
            vec![strong(format!("{name} rebalances: ")), waits("its leader assigns.")],
            vec![strong(format!("{name}: {}. ", cause(group))), waits("Its leader assigns the partitions.")],
            vec![
                strong(format!("{name}: {}. ", cause(group))),
                waits(format!("The leader of its {members} assigns the partitions. ")),
                plain(format!("{}.", pause(group))),
            ],
        ],
    )
}

fn moving(group: &GroupDetail) -> Headline {
    let name = &group.name;
    let awaited: usize = group.members.iter().map(|member| member.awaits.len()).sum();
    let partitions = plural(awaited as u64, "partition");
    let are = if awaited == 1 { "is" } else { "are" };
    headline(
        "REBALANCING",
        Mood::Notice,
        [
            vec![strong(format!("{name}: ")), waits(format!("{partitions} on the way."))],
            vec![strong(format!("{name}: {}. ", cause(group))), waits(format!("{partitions} {are} on the way."))],
            vec![
                strong(format!("{name}: {}. ", cause(group))),
                waits(format!("{partitions} {are} on the way to another member. ")),
                plain("All others are read on."),
            ],
        ],
    )
}

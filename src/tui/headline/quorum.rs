//! Headlines about the metadata quorum: a controller that is cut off, a quorum that is lost, a split vote, an election; and on the
//! Quorum screen also that all is well.

use super::{Headline, Mood, bad, headline, plain, strong, waits};
use crate::cluster::view::{BrokerId, ClusterView, Contest, Reach};
use crate::tui::numbers::span_ms;

/// An election is news for so long.
const NEWS_MS: u64 = 5_000;

/// What keeps the quorum from deciding.
pub(super) fn of(view: &ClusterView) -> Option<Headline> {
    let since = view.situation.no_controller_since_ms;
    let ago = since.map(|since| span_ms(view.at_ms.saturating_sub(since)));
    match (&view.situation.contest, ago) {
        (Some(contest), ago) => Some(match (&contest.split, contest.cut_off) {
            (_, Some((leader, resigns))) => cut_off(view, contest, leader, resigns),
            _ if contest.reachable < contest.needed => lost(contest, &ago.unwrap_or_default()),
            (Some(split), None) => split_vote(view, contest, split),
            (None, None) if !contest.standing.is_empty() => election(contest, &ago.unwrap_or_default()),
            (None, None) => waiting(&ago.unwrap_or_default()),
        }),
        (None, Some(ago)) => Some(waiting(&ago)),
        (None, None) => None,
    }
}

fn lost(contest: &Contest, ago: &str) -> Headline {
    let Contest { up, voters, needed, reachable, .. } = contest;
    let (have, short, word) = if up < needed {
        (up, "up", if *up == 1 { "is up" } else { "are up" })
    } else {
        (reachable, "connected", "can talk to each other")
    };
    let word = if *have == 1 && word == "is up" { "are up" } else { word };
    headline(
        "NO CONTROLLER",
        Mood::Bad,
        [
            vec![bad(format!("{have} of {voters} voters {short}, {needed} needed"))],
            vec![
                bad(format!("Only {have} of {voters} voters {word} and {needed} are needed. ")),
                plain("Nothing can be elected or changed."),
            ],
            vec![
                bad(format!("No controller for {ago}: {have} of {voters} voters {word} and {needed} are needed. ")),
                plain("Leaders go on; nothing can be elected or changed."),
            ],
        ],
    )
}

fn cut_off(view: &ClusterView, contest: &Contest, leader: BrokerId, resigns: Option<u64>) -> Headline {
    let resigns = resigns.map_or_else(
        || "It resigns soon.".to_owned(),
        |at_ms| format!("It resigns in {}.", span_ms(at_ms.saturating_sub(view.at_ms))),
    );
    let Some((broker, votes, _)) = contest.standing.iter().find(|(broker, ..)| *broker != leader) else {
        return headline(
            "CUT OFF",
            Mood::Bad,
            [
                vec![bad(format!("Controller {leader} reaches no majority of voters."))],
                vec![bad(format!("Controller {leader} reaches no majority of voters. ")), plain(resigns.clone())],
                vec![
                    bad(format!("The controller on broker {leader} reaches no majority, so it can commit nothing. ")),
                    plain(resigns),
                ],
            ],
        );
    };
    let Contest { epoch, needed, .. } = contest;
    let missing = needed.saturating_sub(*votes);
    let makes = if missing == 1 { "one more makes a majority.".to_owned() } else { format!("{missing} are needed.") };
    let own = match votes {
        0 => "and writes its own vote".to_owned(),
        1 => "with its own vote".to_owned(),
        votes => format!("with {votes} votes"),
    };
    headline(
        "ELECTION",
        Mood::Election,
        [
            vec![strong(format!("{leader} is cut off; {broker} has {votes} of {needed} votes."))],
            vec![
                strong(format!("Controller {leader} is cut off. ")),
                plain(format!("Broker {broker} stands for epoch {epoch}: ")),
                waits(format!("{votes} of {needed} votes.")),
            ],
            vec![
                strong(format!("The controller on broker {leader} is cut off. ")),
                plain(format!("Broker {broker} stands for epoch {epoch} {own}; ")),
                waits(makes),
            ],
        ],
    )
}

fn split_vote(view: &ClusterView, contest: &Contest, split: &[(BrokerId, usize)]) -> Headline {
    let needed = contest.needed;
    let epoch = view.quorum.as_ref().map_or(contest.epoch, |quorum| quorum.epoch);
    let epoch = if contest.standing.iter().any(|(.., is_pre_vote)| *is_pre_vote) { contest.epoch - 1 } else { epoch };
    let score: Vec<String> = split.iter().map(|(_, votes)| votes.to_string()).collect();
    let told: Vec<String> = split.iter().map(|(broker, votes)| format!("{votes} for {broker}")).collect();
    let told = told.join(", ");
    let next = match contest.next {
        Some((broker, at_ms)) => {
            format!("Broker {broker} tries again in {}.", span_ms(at_ms.saturating_sub(view.at_ms)))
        }
        None => "Each tries again after a wait of its own.".to_owned(),
    };
    headline(
        "SPLIT VOTE",
        Mood::Election,
        [
            vec![strong(format!("Epoch {epoch}: votes split {}, nobody wins.", score.join(" to ")))],
            vec![strong(format!("Nobody wins epoch {epoch}: {told}, {needed} needed. ")), waits(next.clone())],
            vec![
                strong(format!("The votes for epoch {epoch} are split: {told}, and {needed} are needed. ")),
                waits(next),
            ],
        ],
    )
}

fn election(contest: &Contest, ago: &str) -> Headline {
    let Contest { epoch, needed, .. } = contest;
    let (broker, votes, is_pre_vote) = contest.standing[0];
    let missing = needed.saturating_sub(votes);
    let makes =
        if missing == 1 { "one more makes a majority".to_owned() } else { format!("{missing} more are needed") };
    let stands = if is_pre_vote { "asks whether it would win" } else { "stands for" };
    let own = if votes == 1 { "with its own vote".to_owned() } else { format!("with {votes} votes") };
    headline(
        "ELECTION",
        Mood::Election,
        [
            vec![strong(format!("Broker {broker} stands for epoch {epoch}: {votes} of {needed}."))],
            vec![
                strong(format!("No controller for {ago}. ")),
                plain(format!("Broker {broker} {stands} epoch {epoch}: {votes} of {needed} votes.")),
            ],
            vec![
                strong(format!("No controller for {ago}. ")),
                plain(format!("Broker {broker} {stands} epoch {epoch} {own}; ")),
                waits(format!("{makes}. ")),
                plain("Leaders go on."),
            ],
        ],
    )
}

fn waiting(ago: &str) -> Headline {
    headline(
        "ELECTION",
        Mood::Election,
        [
            vec![strong(format!("No controller for {ago}; the voters elect one."))],
            vec![
                strong(format!("No controller for {ago}. ")),
                plain("The voters elect a new one; leaders go on meanwhile."),
            ],
            vec![
                strong(format!("No controller for {ago}. ")),
                plain("The voters elect a new one; leaders go on meanwhile, but no partition can get a new leader."),
            ],
        ],
    )
}

/// On the Quorum screen: another broker was elected just now.
pub(super) fn elected(view: &ClusterView) -> Option<Headline> {
    let quorum = view.quorum.as_ref()?;
    let [.., before, term] = quorum.terms.as_slice() else { return None };
    let ago_ms = view.at_ms.saturating_sub(term.from_ms);
    if term.until_ms.is_some() || ago_ms >= NEWS_MS {
        return None;
    }
    let (leader, epoch, ago) = (term.leader, term.epoch, span_ms(ago_ms));
    let gap_ms = term.from_ms.saturating_sub(before.until_ms.unwrap_or(term.from_ms));
    let gap = span_ms(gap_ms);
    // A leader that is cut off believes in its office until another one has it.
    let (took, gap) = match gap_ms {
        0 => (
            format!("Before it {} led.", before.leader),
            format!("Broker {} led before and had lost the majority.", before.leader),
        ),
        _ => (format!("It took {gap}."), format!("There was no controller for {gap}: changes waited, data flowed on.")),
    };
    let votes = quorum.ballots.iter().find(|ballot| ballot.is_won && ballot.epoch == epoch);
    let votes = votes.map_or_else(String::new, |ballot| {
        let granted = ballot.granted();
        format!(" with {granted} of {} votes", ballot.votes.len())
    });
    Some(headline(
        "ELECTED",
        Mood::Election,
        [
            vec![strong(format!("Broker {leader} has led epoch {epoch} for {ago}."))],
            vec![strong(format!("Broker {leader} was elected for epoch {epoch} {ago} ago{votes}. ")), plain(took)],
            vec![strong(format!("Broker {leader} was elected for epoch {epoch} {ago} ago{votes}. ")), plain(gap)],
        ],
    ))
}

/// On the Quorum screen: no voter may be lost any more.
pub(super) fn no_spare(view: &ClusterView) -> Option<Headline> {
    let quorum = view.quorum.as_ref()?;
    let voters = || quorum.replicas.iter().filter(|replica| replica.is_voter);
    let (all, up) = (voters().count(), voters().filter(|replica| replica.reach == Reach::Majority).count());
    if all < 3 || up != quorum.needed {
        return None;
    }
    let fine = format!("{up} of {all} voters are up and connected, just a majority");
    Some(headline(
        "NO SPARE VOTER",
        Mood::Notice,
        [
            vec![waits(format!("{up} of {all} voters: one more loss stops it."))],
            vec![strong(format!("{fine}. ")), waits("One more loss stops every change.")],
            vec![strong(format!("{fine}. ")), waits("One more loss, and nothing can be elected or changed.")],
        ],
    ))
}

/// On the Quorum screen, when nothing is wrong.
pub(super) fn calm(view: &ClusterView) -> Option<Headline> {
    let quorum = view.quorum.as_ref().filter(|_| view.faults.is_empty())?;
    let term = quorum.terms.last().filter(|term| term.until_ms.is_none())?;
    let since = span_ms(view.at_ms.saturating_sub(term.from_ms));
    let (leader, epoch) = (term.leader, term.epoch);
    let voters = quorum.replicas.iter().filter(|replica| replica.is_voter).count();
    let spare = voters.saturating_sub(quorum.needed);
    let may = if spare == 1 { "1 may fail".to_owned() } else { format!("{spare} may fail") };
    Some(headline(
        "QUORUM",
        Mood::Good,
        [
            vec![strong(format!("{leader} is the controller, epoch {epoch}, for {since}."))],
            vec![
                strong(format!("Broker {leader} has been the controller for {since}, epoch {epoch}. ")),
                plain(format!("Of {voters} voters {may}.")),
            ],
            vec![
                strong(format!("Broker {leader} has been the active controller for {since}, in epoch {epoch}. ")),
                plain(format!("All {voters} voters follow; {may} before changes stop.")),
            ],
        ],
    ))
}
